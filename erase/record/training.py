"""This file writes training down while it runs: losses to training.csv, what the preservation chose to adversary.jsonl.

How far the adversary came is told to the logger alone: not every update has an attack.
"""

import json
from pathlib import Path
from typing import Any

import lightning as L

from erase.files import lines
from erase.method.base import Method


class TrainingLog(L.Callback):
    """Appends a row a step; a resumed run first drops the rows that it will write again."""

    def __init__(self, folder: Path) -> None:
        self.losses, self.choices = folder / "training.csv", folder / "adversary.jsonl"

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, Method)
        step = module.done  # not the trainer's: that counts every player's steps
        for path, at in ((self.losses, lambda s: int(s.split(",")[0])), (self.choices, lambda s: int(json.loads(s)["step"]))):
            if path.exists() and not step:
                path.unlink()
            elif path.exists():
                written = lines(path)
                head = written[:1] if path is self.losses else []
                kept = head + [line for line in written[len(head) :] if at(line) < step]
                path.write_text("".join(f"{line}\n" for line in kept))

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int) -> None:
        assert isinstance(module, Method)
        if not self.losses.exists():
            self.losses.write_text(",".join(["step", *outputs]) + "\n")
        with self.losses.open("a") as file:
            file.write(",".join([str(index), *(f"{float(v):.7g}" for v in outputs.values())]) + "\n")
        module.log_dict({f"train/{name}": error for name, error in module.adversary.errors().items()})
        if news := module.preservation.chosen():
            with self.choices.open("a") as file:
                file.write(json.dumps(news) + "\n")

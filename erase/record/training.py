"""This file writes training down while it runs: losses to training.csv, what the preservation chose to adversary.jsonl, how far
the adversary came to training_attacks.jsonl (not every update has an attack)."""

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
        self.attacks = folder / "training_attacks.jsonl"

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, Method)
        step = module.done  # not the trainer's: that counts every player's steps
        for path in (self.losses, self.choices, self.attacks):
            if path.exists() and not step:
                path.unlink()
            elif path.exists():
                written = lines(path)
                head = written[:1] if path is self.losses else []
                steps = (int(s.split(",")[0] if path is self.losses else json.loads(s)["step"]) for s in written[len(head) :])
                kept = head + [line for line, at in zip(written[len(head) :], steps, strict=True) if at < step]
                path.write_text("".join(f"{line}\n" for line in kept))

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int) -> None:
        assert isinstance(module, Method)
        if not self.losses.exists():
            self.losses.write_text(",".join(["step", *outputs]) + "\n")
        with self.losses.open("a") as file:
            file.write(",".join([str(index), *(f"{float(v):.7g}" for v in outputs.values())]) + "\n")
        if errors := module.adversary.errors():
            module.log_dict({f"train/{name}": error for name, error in errors.items()})
            with self.attacks.open("a") as file:
                file.write(json.dumps({"step": index, **{name: float(f"{float(e):.7g}") for name, e in errors.items()}}) + "\n")
        if news := module.preservation.chosen():
            with self.choices.open("a") as file:
                file.write(json.dumps(news) + "\n")

"""This file is how checkpoints reach the disk, to go on from and to be judged: whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save_file

from erase.files import whole
from erase.method.base import Method


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes beside the target and renames, so that a kill in mid-write leaves the last good checkpoint."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        with whole(Path(path)) as part:
            super().save_checkpoint(checkpoint, part, storage_options)


class Waypoints(L.Callback):
    """Writes the changed weights, fp32, after the updates that `files` names, for the judge to look at when training is over.

    A resumed run writes again what it passes again: what is judged lies on the way to its own end.
    """

    def __init__(self, files: Mapping[int, Path]) -> None:
        self.files = files

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, index: int) -> None:
        assert isinstance(module, Method)
        if path := self.files.get(index + 1):
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as part:
                save_file({n: w.cpu().contiguous() for n, w in module.selected.fold(module.model).items()}, part)

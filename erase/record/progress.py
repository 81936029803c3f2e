"""This file is the progress bar of training."""

import os

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar


class Progress(TQDMProgressBar):
    """Lightning's bar, for runs of one epoch: Lightning's forgets its total when a run goes on in mid-epoch.

    TQDM_DISABLE, which Lightning does not ask for, takes it away as it does all others.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=0 if os.environ.get("TQDM_DISABLE") else 1)

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.train_progress_bar.reset(int(min(trainer.num_training_batches, max(trainer.max_steps, 0) or float("inf"))))
        self.train_progress_bar.initial = trainer.fit_loop.epoch_loop.batch_idx
        self.train_progress_bar.set_description("training")

    def get_metrics(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, int | str | float | dict[str, float]]:
        return {name: value for name, value in super().get_metrics(trainer, module).items() if name != "v_num"}  # W&B's id

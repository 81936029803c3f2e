"""This file is the progress bar of long work."""

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar


class Progress(TQDMProgressBar):
    """Lightning's bar, which forgets its total when a run goes on in the middle of an epoch."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        super().on_train_start(trainer, module)
        self.train_progress_bar.reset(int(min(trainer.num_training_batches, max(trainer.max_steps, 0) or float("inf"))))
        self.train_progress_bar.set_description("training")

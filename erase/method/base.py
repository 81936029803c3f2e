"""This file is the loop: draw losses, step, count, write down; a method only says what its losses are."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from erase.concept import Concept
from erase.errors import BadInput
from erase.latents import Latents
from erase.loss import Loss
from erase.model.text_to_image import Conditioning, TextToImage
from erase.parameters import Select
from erase.preservation import Preservation
from erase.target import Target

SCHEDULES = {"constant": 0.0, "linear": 1.0}
"""The power with which the learning rate goes down to nothing at the last step."""


class Method(L.LightningModule):
    """An erasure objective as a LightningModule. One Adam over the weights that move; checkpoints hold only those."""

    automatic_optimization = False
    strict_loading = False

    def __init__(
        self,
        model: TextToImage,
        concepts: Sequence[Concept],
        parameters: Select,
        latents: Latents,
        target: Target,
        preservation: Preservation,
        loss: Loss,
        steps: int,
        lr: float,
        lr_schedule: str,
        batch_size: int,
        seed: int,
        work: Path,
        shared: Path | None = None,
        name: str = "",
    ) -> None:
        super().__init__()
        if steps < 1:
            raise BadInput(f"steps={steps} must be at least 1.")
        if batch_size < 1:
            raise BadInput(f"batch_size={batch_size} must be at least 1.")
        if not lr > 0:
            raise BadInput(f"lr={lr} must be greater than 0.")
        if lr_schedule not in SCHEDULES:
            raise BadInput(f"lr_schedule={lr_schedule} is not one of: {', '.join(SCHEDULES)}.")
        self.model, self.concepts, self.latents, self.target = model, list(concepts), latents, target
        self.preservation, self.criterion = preservation, loss
        self.steps, self.lr, self.lr_schedule, self.batch_size = steps, lr, lr_schedule, batch_size
        self.seed, self.work, self.shared = seed, work, shared
        self.title = name or type(self).__name__
        self.candidates = preservation.candidates(model.vocabulary, self.concepts)
        model.move(parameters.names(name for name, _ in model.named_parameters()))
        self.networks = nn.ModuleDict(model.modules)
        self.said: dict[str, Conditioning] = {}
        self.seconds = 0.0  # of training, those before a resume too
        self.started = time.time()

    def on_fit_start(self) -> None:
        self.started = time.time()
        self.model.to(self.device)
        self.latents.open(self.model, self.seed, self.work / "bank", self.shared)
        self.latents.declare([p for c in self.concepts for p in c.prompts])
        self.preservation.open(self.model, self.latents, self.criterion, self.candidates, self.concepts, self.seed)
        if self._kept_state:
            self.preservation.load_state_dict(self._kept_state)

    _kept_state: dict[str, Tensor] | None = None

    def words(self, prompts: Sequence[str]) -> Conditioning:
        """Conditionings of `prompts` for the edited network, remembered unless the text encoder itself moves."""
        if any(name.startswith("text_encoder.") for name in self.model.moving):
            return self.model.encode(self.model.tokenize(prompts))
        fresh = [p for p in dict.fromkeys(prompts) if p not in self.said]
        if fresh:
            found = self.model.prompt(fresh)
            self.said.update({p: found.rows(slice(i, i + 1)) for i, p in enumerate(fresh)})
        return Conditioning.stack([self.said[p] for p in prompts])

    def losses(self, step: int) -> dict[str, Tensor]:
        """The losses of update `step` by name, each scalar and with its weight; their sum is stepped on."""
        raise NotImplementedError

    def training_step(self, batch: object, batch_idx: int) -> dict[str, float]:
        losses = self.losses(batch_idx)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise BadInput(f"lr={self.lr} is too high: the loss is {float(total)} at step {batch_idx}.")
        optimizer = self.optimizers()
        optimizer.zero_grad()  # type: ignore[union-attr]
        self.manual_backward(total)
        optimizer.step()  # type: ignore[union-attr]
        self.lr_schedulers().step()  # type: ignore[union-attr, call-arg]
        values = {name: float(value.detach()) for name, value in losses.items()}
        self.log_dict({f"train/{n}": v for n, v in values.items()}, prog_bar=False)
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        return values

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.model.moving.values(), self.lr)
        return [optimizer], [torch.optim.lr_scheduler.PolynomialLR(optimizer, self.steps, SCHEDULES[self.lr_schedule])]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = {n: p.detach() for n, p in self.model.moving.items()}
        checkpoint["preservation"] = self.preservation.state_dict()
        checkpoint["drawn"] = self.latents.drawn
        checkpoint["cost"] = vars(self.model.cost).copy()
        checkpoint["seconds"] = self.seconds + time.time() - self.started + self.latents.lent

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._kept_state = checkpoint["preservation"]
        self.seconds = checkpoint["seconds"]
        self.latents.paid = set(checkpoint["drawn"])
        for name, value in checkpoint["cost"].items():
            setattr(self.model.cost, name, value)
        for name, value in checkpoint["state_dict"].items():
            self.model.moving[name].data.copy_(value)
        checkpoint["state_dict"] = {}

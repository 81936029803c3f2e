"""This file is the loop: draw losses, step, count, write down; a method only says what its losses are."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from erase.adversary import Adversary, Nobody
from erase.balance import Balance, Sum, gradients, mix
from erase.concept import Concept
from erase.errors import BadInput
from erase.latents import Latents, Points
from erase.loss import Loss
from erase.model.text_to_image import Conditioning, Key, TextToImage
from erase.parameters import Parameters
from erase.preservation import Kept, Preservation
from erase.sharpness import Here, Sharpness, retake
from erase.target import Target
from erase.task import Task
from erase.trainer import team

SCHEDULES = {"constant": 0.0, "linear": 1.0}
"""The power with which the learning rate goes down to nothing at the last step."""


class Method(L.LightningModule):
    """An erasure objective as a LightningModule. Adam over the weights that move; checkpoints hold only those.

    A method says its `losses`. One with several players says who steps when (`updates`) and what each moves (`players`);
    one in closed form sets the weights in `updates` and has no players.
    """

    automatic_optimization = False
    strict_loading = False
    divisible = False  # whether several processes may make an update together, each of its rows

    def __init__(
        self,
        model: TextToImage,
        concepts: Sequence[Concept],
        parameters: Parameters,
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
        adversary: Adversary | None = None,
        balance: Balance | None = None,
        sharpness: Sharpness | None = None,
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
        if batch_size < len(concepts):
            raise BadInput(f"batch_size={batch_size} must hold every concept: at least {len(concepts)}.")
        self.model, self.concepts, self.latents, self.target = model, list(concepts), latents, target
        self.preservation = preservation
        self.task = Task(model, self.concepts, latents, loss, seed)
        self.steps, self.lr, self.lr_schedule, self.batch_size = steps, lr, lr_schedule, batch_size
        self.seed, self.work, self.shared = seed, work, shared
        model.shared = shared
        self.title = name or type(self).__name__
        self.candidates = preservation.candidates(model.vocabulary, self.concepts)
        parameters.prepare(model, seed)
        self.selected = parameters  # `parameters` is torch's own
        self.networks = nn.ModuleDict(model.modules)
        self.said: dict[str, Conditioning] = {}
        self.done = 0  # updates, those before a resume too
        self.seconds = 0.0  # of training, those before a resume too
        self.started = time.time()
        self.scaler = torch.amp.GradScaler(enabled=False)  # until the device is known
        self.adversary, self.balance, self.sharpness = adversary or Nobody(), balance or Sum(), sharpness or Here()
        if self.sharpness.of_both and not preservation.weight:
            chosen = type(self.sharpness).__module__.rpartition(".")[2]
            raise BadInput(
                f"sharpness={chosen} looks at what is held, and preservation holds nothing: preservation=adversarial."
            )
        self._drawn: dict[Any, Any] = {}  # of the update that is made, where it is asked twice
        target.open(self.task)  # what makes no sense is refused before anything is written
        self.adversary.open(self.task, steps)
        self.balance.open(self.task)

    def on_fit_start(self) -> None:
        self.started = time.time()
        self.model.to(self.device)
        self.model.rest()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.model.precision == torch.float16)
        if self._kept_scale:
            self.scaler.load_state_dict(self._kept_scale)
        self.latents.open(self.model, self.seed, self.work / "bank", self.shared)
        self.latents.declare(self.task.prompts)
        self.preservation.open(self.task, self.candidates)
        if self._kept_state:
            self.preservation.load_state_dict(self._kept_state)

    _kept_state: dict[str, Tensor] | None = None
    _kept_scale: dict[str, Any] | None = None

    def draw(self, prompts: Sequence[str], use: str, step: int, empty: bool = True) -> Points:
        """`latents.draw`. Who asks again in one update hears the same, and tells nobody."""
        asked = (use, step, empty, *prompts)
        if asked in self._drawn:
            return replace(self._drawn[asked], tell=lambda errors: None)
        points = self.latents.draw(prompts, use, step, empty=empty)
        return points if self.sharpness.plain else self._drawn.setdefault(asked, points)

    def choose(self, step: int, count: int) -> Kept:
        """`preservation.choose`. Who asks again in one update hears the same."""
        if (step, count) in self._drawn:
            return self._drawn[step, count]
        chosen = self.preservation.choose(step, count)
        return chosen if self.sharpness.plain else self._drawn.setdefault((step, count), chosen)

    def words(self, prompts: Sequence[str]) -> Conditioning:
        """Conditionings of `prompts` for the edited network, remembered unless the text encoder itself moves."""
        if self.model.text_encoder_moves:
            return self.model.encode(self.model.tokenize(prompts))
        fresh = [p for p in dict.fromkeys(prompts) if p not in self.said]
        if fresh:
            found = self.model.prompt(fresh)
            self.said.update({p: found.rows(slice(i, i + 1)) for i, p in enumerate(fresh)})
        return Conditioning.stack([self.said[p] for p in prompts])

    def attacked(self, prompts: Sequence[str], step: int) -> Conditioning:
        """What the edited network hears in update `step` where `prompts` are erased: what the adversary found, or the words."""
        found = self.adversary.attack(prompts, step)
        return self.words(prompts) if found is None else found

    def errors(self, prediction: Tensor, target: Tensor, points: Points, tell: bool = True) -> Tensor:
        """The errors at `points` by their weights, (rows,); `tell` says what each was to where they come from."""
        each = self.task.loss.each(prediction, target, points.snr)
        if tell:
            points.tell(each.detach())
        return points.weight * each

    def error(self, prediction: Tensor, target: Tensor, points: Points, tell: bool = True) -> Tensor:
        """Their mean, scalar; nought of no rows, as who is of a larger team than there are rows has it."""
        each = self.errors(prediction, target, points, tell)
        return each.sum() / max(len(each), 1)

    def losses(self, step: int) -> dict[str, Tensor]:
        """The losses of update `step` by name, each scalar and with its weight; their sum is stepped on.

        Those that erase begin with `erase`. Where a sharpness asks an update again, at other weights, `draw`, `choose` and
        `attacked` answer as before.
        """
        raise NotImplementedError

    def updates(self, step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """What happens in update `step`, in order: a player, and the losses whose sum it then goes down."""
        yield "weights", self.losses(step)

    @property
    def players(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        """Who steps: what each moves, and its learning rate."""
        return {"weights": (list(self.model.moving.values()), self.lr)}

    @property
    def key(self) -> Key | None:
        """What brings the concept back for who holds it, where the method makes such a thing; it is kept beside the edit."""
        return None

    def training_step(self, batch: object, batch_idx: int) -> dict[str, float]:
        values: dict[str, float] = {}
        players, total = self.players, torch.zeros(())
        steppers = dict(zip(players, zip(_list(self.optimizers()), _list(self.lr_schedulers()), strict=True), strict=True))
        for player, losses in self.updates(batch_idx):
            each = torch.stack(list(losses.values()))
            team.average([seen := each.detach().clone()])
            values |= dict(zip(losses, seen.tolist(), strict=True))
            total = each.sum()
            if not torch.isfinite(seen.sum()):
                raise BadInput(f"lr={self.lr} is too high: the loss is {float(seen.sum())} at step {batch_idx}.")
            if player in steppers:
                optimizer, _ = steppers[player]
                optimizer.zero_grad()
                moved = players[player][0]  # others are spared their gradients
                if (self.balance.plain and self.sharpness.plain) or player != "weights":
                    self.manual_backward(self.scaler.scale(total), inputs=moved)
                    team.average(p.grad for p in moved if p.grad is not None)
                else:
                    own = dict(zip(losses, seen.tolist(), strict=True))
                    found = gradients([self.scaler.scale(loss) for loss in losses.values()], moved)
                    if not self.sharpness.plain:
                        values |= retake(self.sharpness, own, found, moved, partial(self.losses, batch_idx), self.scaler)
                    mix(self.balance, found, own, moved, batch_idx)
                self.scaler.unscale_(optimizer)
                if self.scaler.is_enabled() and not _finite(moved):
                    optimizer.zero_grad()  # an update like any other, in which nothing moves: the scale was too large
                optimizer.step()
                self.scaler.update()
        for _, schedule in steppers.values():
            schedule.step()  # an update, however often its player stepped in it
        self.log_dict({f"train/{n}": v for n, v in values.items()}, prog_bar=False)
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        self.done = batch_idx + 1
        self._drawn.clear()
        return values

    def configure_optimizers(self) -> Any:
        optimizers = [torch.optim.Adam(moved, lr) for moved, lr in self.players.values()]
        power = SCHEDULES[self.lr_schedule]
        return optimizers, [torch.optim.lr_scheduler.PolynomialLR(o, self.steps, power) for o in optimizers]

    def finish(self) -> dict[str, Tensor]:
        """What an edit holds; the model is given back in the form in which it came."""
        found = self.selected.fold(self.model)
        self.selected.unload(self.model)
        return found

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = {n: p.detach() for n, p in self.model.moving.items()}
        checkpoint["preservation"] = self.preservation.state_dict()
        checkpoint["adversary"] = self.adversary.state_dict()
        checkpoint["balance"] = self.balance.state_dict()
        checkpoint["scale"] = self.scaler.state_dict()
        checkpoint["latents"] = self.latents.state_dict()
        checkpoint["done"] = self.done
        checkpoint["drawn"] = self.latents.drawn
        checkpoint["cost"] = vars(self.model.cost).copy()
        checkpoint["seconds"] = self.seconds + time.time() - self.started + self.latents.lent

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._kept_state, self._kept_scale = checkpoint["preservation"], checkpoint.get("scale")
        self.done, self.seconds = checkpoint["done"], checkpoint["seconds"]
        self.latents.paid = set(checkpoint["drawn"])
        self.latents.load_state_dict(checkpoint["latents"])
        self.adversary.load_state_dict(checkpoint["adversary"])
        self.balance.load_state_dict(checkpoint["balance"])
        for name, value in checkpoint["cost"].items():
            setattr(self.model.cost, name, value)
        for name, value in checkpoint["state_dict"].items():
            self.model.moving[name].data.copy_(value)
        checkpoint["state_dict"] = {}


def _finite(moved: Sequence[nn.Parameter]) -> bool:
    return all(bool(torch.isfinite(p.grad).all()) for p in moved if p.grad is not None)


def _list(found: Any) -> list[Any]:
    """What Lightning gives of one alone, of several as a list, and of none as None."""
    return found if isinstance(found, list) else [found] if found is not None else []

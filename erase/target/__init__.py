"""Targets: what the erased prompt becomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from erase.latents import Points
from erase.task import Task


class Target(Protocol):
    """What the edited model shall predict where it hears an erased prompt."""

    def open(self, task: Task) -> None:
        """Meet the model, wherever it lies; BadInput when the target has no meaning for what is erased."""

    def __call__(self, points: Points, prompts: Sequence[str], step: int) -> Tensor:
        """Predictions (batch, channels, height, width) at `points` for erased `prompts`, one a point."""

    def words(self, prompt: str) -> str | None:
        """The words that an erased `prompt` becomes; None where what it becomes is not what the teacher says of words."""


@dataclass(frozen=True)
class Negative:
    """Away from the concept: ε(∅) − η (ε(c) − ε(∅)). ESD (Gandikota et al. 2023), eq. 7; η = 0 is the neutral target."""

    eta: float = 1.0

    def open(self, task: Task) -> None:
        pass

    def __call__(self, points: Points, prompts: Sequence[str], step: int) -> Tensor:
        assert points.unconditional is not None
        return points.unconditional - self.eta * (points.conditional - points.unconditional)

    def words(self, prompt: str) -> str | None:
        return None if self.eta else ""

"""Targets: what the erased prompt becomes."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from erase.latents import Points


class Target(Protocol):
    """A prediction (batch, channels, height, width) that the edited model shall make for the erased prompt."""

    def __call__(self, points: Points) -> Tensor: ...


@dataclass(frozen=True)
class Negative:
    """Away from the concept: ε(∅) − η (ε(c) − ε(∅)). ESD (Gandikota et al. 2023), eq. 7; η = 0 is the neutral target."""

    eta: float = 1.0

    def __call__(self, points: Points) -> Tensor:
        return points.unconditional - self.eta * (points.conditional - points.unconditional)

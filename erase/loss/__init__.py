"""Losses: the space and the weight of the error."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Loss(Protocol):
    """The error of predictions, both (batch, channels, height, width)."""

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """One value a sample, (batch,)."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean over the batch, scalar."""


@dataclass(frozen=True)
class Eps:
    """Squared error of the noise prediction, unweighted: the norm in the equations of ESD and EAP."""

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """One value a sample, (batch,): the mean over the elements."""
        return ((prediction - target) ** 2).mean(dim=tuple(range(1, prediction.ndim)))

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Mean over the batch, scalar; `prediction` and `target` are (batch, channels, height, width)."""
        return torch.mean(self.each(prediction, target))

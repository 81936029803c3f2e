"""Losses: the space and the weight of the error."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from erase.errors import BadInput

SPACES = ("eps", "x0", "v")
WEIGHTS = ("none", "min_snr")


class Loss(Protocol):
    """The error of predictions, both (batch, channels, height, width), at signal-to-noise ratios `snr` (batch,)."""

    def each(self, prediction: Tensor, target: Tensor, snr: Tensor) -> Tensor:
        """One value a sample, (batch,)."""


@dataclass(frozen=True)
class Squared:
    """Squared error of noise predictions, told in a `space`: ‖x₀−x₀'‖² = ‖ε−ε'‖²/SNR, ‖v−v'‖² = (1 + 1/SNR) ‖ε−ε'‖².

    `weight=min_snr` is that of Hang et al. 2023 (arXiv 2303.09556), eq. 8: min(SNR, γ) on the error of x₀, whatever the
    space. `eps` is the norm in the equations of ESD and EAP, `x0` that of EAP's released code.
    """

    space: str = "eps"
    weight: str = "none"
    gamma: float = 5.0

    def __post_init__(self) -> None:
        for name, value, known in (("space", self.space, SPACES), ("weight", self.weight, WEIGHTS)):
            if value not in known:
                raise BadInput(f"loss.{name}={value} is not one of: {', '.join(known)}.")
        if not self.gamma > 0:
            raise BadInput(f"loss.gamma={self.gamma} must be greater than 0.")

    def factor(self, snr: Tensor) -> Tensor:
        """What multiplies ‖ε−ε'‖², (batch,)."""
        if self.weight == "min_snr":
            return snr.clamp(max=self.gamma) / snr
        return {"eps": torch.ones_like(snr), "x0": 1 / snr, "v": 1 + 1 / snr}[self.space]

    def each(self, prediction: Tensor, target: Tensor, snr: Tensor) -> Tensor:
        """One value a sample, (batch,): the mean over the elements."""
        return self.factor(snr) * ((prediction - target) ** 2).mean(dim=tuple(range(1, prediction.ndim)))

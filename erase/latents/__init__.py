"""Latents: where the noisy pictures come from on which a model is edited."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Points:
    """Places on sampling trajectories, and what the teacher says there of their own prompt and of the empty one.

    `x_t`, `conditional` and `unconditional` are (batch, channels, height, width), `t` is (batch,).
    """

    x_t: Tensor
    t: Tensor
    conditional: Tensor
    unconditional: Tensor

    def __len__(self) -> int:
        return len(self.t)

    @staticmethod
    def stack(parts: "list[Points]") -> "Points":
        """All points of `parts`, one after the other."""
        fields = ("x_t", "t", "conditional", "unconditional")
        return Points(*(torch.cat([getattr(p, f) for p in parts]) for f in fields))

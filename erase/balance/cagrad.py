"""This file is the conflict-averse balance: near the sum, as good as can be for the loss that gains least."""

from collections.abc import Mapping

import torch
from torch import Tensor

from erase.balance import Balance
from erase.errors import BadInput

ROUNDS = 200
"""Steps of the inner minimisation, over a handful of numbers."""


class CAGrad(Balance):
    """Liu et al. 2021, arXiv 2110.14048: d = g₀ + c‖g₀‖ g_w / ‖g_w‖, g₀ the mean gradient and g_w the mixture of the simplex
    that makes g_w·g₀ + c‖g₀‖‖g_w‖ least. c = 0 is the sum, c near 1 multiple-gradient descent. Times the number of losses."""

    def __init__(self, c: float = 0.4) -> None:
        if not 0 <= c < 1:
            raise BadInput(f"balance.c={c} must be from 0 to less than 1.")
        self.c = c

    def weigh(self, gram: Tensor, losses: Mapping[str, float], step: int) -> Tensor:
        count = len(gram)
        mean = torch.full((count,), 1 / count, dtype=gram.dtype)
        reach = self.c * (mean @ gram @ mean).clamp(min=0).sqrt()

        def cost(w: Tensor) -> Tensor:
            return w @ gram @ mean + reach * (w @ gram @ w).clamp(min=0).sqrt()

        w, rate = mean.clone(), 1.0
        for _ in range(ROUNDS):  # exponentiated gradient: convex on the simplex, so what is found is the least
            length = (w @ gram @ w).clamp(min=0).sqrt()
            slope = gram @ mean + (reach / length * (gram @ w) if length > 0 else 0)
            slope = slope / slope.abs().max().clamp(min=torch.finfo(gram.dtype).tiny)
            tried = (w.clamp(min=1e-300).log() - rate * slope).softmax(0)
            if cost(tried) < cost(w):
                w = tried
            else:
                rate /= 2
        length = (w @ gram @ w).clamp(min=0).sqrt()
        return count * (mean + (reach / length * w if length > 0 else 0))

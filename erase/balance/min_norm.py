"""This file is the balance of multiple-gradient descent: the shortest step that no loss is hurt by."""

from collections.abc import Mapping

import torch
from torch import Tensor

from erase.balance import Balance

NOUGHT = 1e-8
"""Of the longest gradient's square, what is no gradient."""
ROUNDS = 1000
"""At most. Of two losses the first is exact."""


def shortest(gram: Tensor) -> Tensor:
    """w (losses,) of the simplex for which wᵀ·gram·w is least, by pairwise Frank–Wolfe (Lacoste-Julien & Jaggi 2015).

    Each round moves weight from the loss whose gradient agrees most with the step to that which agrees least, as much as
    shortens it most.
    """
    weights = torch.full((len(gram),), 1 / len(gram), dtype=gram.dtype)
    for _ in range(ROUNDS):
        agreed = gram @ weights
        least, most = int(agreed.argmin()), int(agreed.masked_fill(weights <= 0, -torch.inf).argmax())
        gain = float(agreed[most] - agreed[least])
        apart = float(gram[most, most] + gram[least, least] - 2 * gram[most, least])
        if gain <= 1e-12 * float(gram.diagonal().max()) or apart <= 0:
            break
        part = min(gain / apart, float(weights[most]))
        weights[most] -= part
        weights[least] += part
    return weights


class MinNorm(Balance):
    """Désidéri 2012; Sener & Koltun 2018, arXiv 1810.04650: the point of the gradients' convex hull that is nearest to nought.

    Along it every loss falls, or no step helps them all. A loss whose gradient is nought beside the others' has no say: what
    is held begins at its lowest point, and nothing would ever move.
    """

    def weigh(self, gram: Tensor, losses: Mapping[str, float], step: int) -> Tensor:
        heard = gram.diagonal() >= NOUGHT * gram.diagonal().max()
        weights = torch.zeros(len(gram), dtype=gram.dtype)
        weights[heard] = shortest(gram[heard][:, heard])
        return weights

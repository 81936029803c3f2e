"""This file is the balance of gradient surgery: of two losses that disagree, neither undoes the other."""

from collections.abc import Mapping

import torch
from torch import Tensor

from erase.balance import Balance
from erase.random import stream


class PCGrad(Balance):
    """Yu et al. 2020, arXiv 2001.06782: each gradient loses what points against another's, one after the other in an order
    drawn anew, and the sum of what is left is stepped along."""

    def weigh(self, gram: Tensor, losses: Mapping[str, float], step: int) -> Tensor:
        count, rng = len(gram), stream(self.task.seed, "pcgrad", step)
        rows = torch.eye(count, dtype=gram.dtype)  # what is left of each gradient, in terms of all
        for i in range(count):
            for j in torch.randperm(count, generator=rng).tolist():
                along = rows[i] @ gram[:, j]
                if j != i and along < 0:
                    rows[i, j] -= along / gram[j, j]
        return rows.sum(0)

"""Metrics: from raw scores to figures with intervals, as torchmetrics."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric


class Share(Metric):
    """A share of yes among yes and no, with Wilson's 95 % interval (Wilson 1927): never empty at 0 or 1."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("hits", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.hits: Tensor
        self.total: Tensor

    def update(self, values: Tensor) -> None:
        """Add booleans of any shape."""
        self.hits += values.sum()
        self.total += values.numel()

    def compute(self) -> tuple[float, float, float]:
        """Share, lower and upper end."""
        n, p, z = float(self.total), float(self.hits / self.total), 1.959964
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return p, max(0.0, centre - half), min(1.0, centre + half)


class PairedDrop(Metric):
    """Mean of before − after over the same prompts and seeds, with a 95 % bootstrap interval over them."""

    def __init__(self, resamples: int = 2000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.resamples = resamples
        self.add_state("differences", [], dist_reduce_fx="cat")
        self.differences: list[Tensor]

    def update(self, before: Tensor, after: Tensor) -> None:
        """Add pairs, each (batch,)."""
        self.differences.append(before.float() - after.float())

    def compute(self) -> tuple[float, float, float]:
        """Drop, lower and upper end."""
        found = self.differences
        values = (torch.cat(found) if isinstance(found, list) else found).cpu().numpy()
        rng = np.random.default_rng(0)
        means = values[rng.integers(len(values), size=(self.resamples, len(values)))].mean(1)
        low, high = np.quantile(means, (0.025, 0.975))
        return float(values.mean()), float(low), float(high)

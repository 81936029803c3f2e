"""Metrics: from raw scores to figures with intervals, as torchmetrics."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from erase.metric.interval import Estimate, Interval, mean, mean_drop, share, share_drop


class _Values(Metric):
    """Keeps what it is given: what is said of values needs all of them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("values", [], dist_reduce_fx="cat")
        self.add_state("clusters", [], dist_reduce_fx="cat")
        self.values: list[Tensor]
        self.clusters: list[Tensor]

    def update(self, values: Tensor, clusters: Tensor | None = None) -> None:
        """Add values (pictures,) or, of several runs, (pictures, runs); `clusters` number what belongs together.

        Without them every picture stands for itself.
        """
        self.values.append(values)
        self.clusters.append(_own(self.clusters, values) if clusters is None else clusters)


class Share(_Values):
    """A share of yes among booleans, with an interval that is never empty at 0 or 1: Wilson's (`interval.share`)."""

    def compute(self) -> Interval:
        """Share, lower and upper end."""
        values = _joined(self.values)
        return (float(values.float().mean()), *share(_estimate(values, _joined(self.clusters))))


class Mean(_Values):
    """A mean with a bootstrap interval over clusters (`interval.mean`)."""

    def compute(self) -> Interval:
        """Mean, lower and upper end."""
        values = _joined(self.values).float()
        return (float(values.mean()), *mean(_runs(values), _joined(self.clusters).numpy())[1:])


class PairedDrop(Metric):
    """Mean of before − after over the same prompts and seeds: of shares by `interval.share_drop`, else by `mean_drop`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("before", "after", "clusters"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self.before: list[Tensor]
        self.after: list[Tensor]
        self.clusters: list[Tensor]

    def update(self, before: Tensor, after: Tensor, clusters: Tensor | None = None) -> None:
        """Add pairs, each (pictures,) or, of several runs, (pictures, runs); booleans make a share."""
        self.before.append(before)
        self.after.append(after)
        self.clusters.append(_own(self.clusters, before) if clusters is None else clusters)

    def compute(self) -> Interval:
        """Drop, lower and upper end."""
        before, after, clusters = _joined(self.before), _joined(self.after), _joined(self.clusters)
        if before.dtype == torch.bool:
            ends = share_drop(_estimate(before, clusters), _estimate(after, clusters))
        else:
            ends = mean_drop(_runs(before), _runs(after), clusters.numpy())
        one, other = (v.float().reshape(len(v), -1).mean(1) for v in (before, after))
        return (float((one - other).numpy().mean()), *ends[1:])


def _own(clusters: list[Tensor], values: Tensor) -> Tensor:
    """A number for each picture that no other has, in this process or another."""
    rank = torch.distributed.get_rank() if torch.distributed.is_available() and torch.distributed.is_initialized() else 0
    start = rank * 2**40 + sum(map(len, clusters))
    return torch.arange(start, start + len(values))


def _joined(parts: list[Tensor] | Tensor) -> Tensor:
    """All that was added; in several processes torchmetrics has joined it already."""
    return (torch.cat(parts) if isinstance(parts, list) else parts).cpu()


def _runs(values: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """(runs, pictures) of (pictures,) or (pictures, runs)."""
    return values.reshape(len(values), -1).T.numpy()


def _estimate(values: Tensor, clusters: Tensor) -> Estimate:
    return Estimate.of(_runs(values), clusters.numpy())

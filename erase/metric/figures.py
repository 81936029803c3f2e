"""This file is the figures of a run: what went, what stayed, before and after, with intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from erase.judge.engine import Judged
from erase.metric import Mean, PairedDrop, Share
from erase.metric.interval import Interval
from erase.metric.measure import Measure, Sets
from erase.protocol import Protocol

Figure = dict[str, float | int]

PER_FEATURE = 5
"""Pictures that a Fréchet distance needs for each feature; with fewer its covariance is noise, and it is not given."""


def figures(
    protocol: Protocol,
    before: Sequence[Judged],
    after: Sequence[Judged],
    retrained: Sequence[Judged] = (),
    keyed: Sequence[Judged] = (),
) -> dict[str, Figure]:
    """All figures that `protocol` measures, of a model's pictures `after` an edit.

    Each has `after` with its 95 % interval, `_low` and `_high`, and `n` pictures; where the unedited model's pictures of the
    same prompts and noise are given, also `before` and `drop` = before − after, paired, with its interval. Where those of the
    network `retrained` without the concept are given, also `retrained` with an interval: what an erasure would reach that
    took all of the concept and nothing else; not of the distances to it, `distance_…`, whose positive `drop` says that the
    edit came nearer to the truth. Where pictures are given as who holds the edit's key has them, `keyed`, also esr_1_key,
    low where the key brings the concept back, and psr_1_key, high where it leaves all else as it was: esr_1 and psr_1 of those.

    Intervals: `metric.interval`. Of a kernel distance (Bińkowski et al. 2018) they are ± 1.96 standard deviations over 20
    random subsets and, over the same subsets, of its drop: a spread, wider than what a mean's would be. psr_1_worst is the
    kept label of the largest drop.
    """
    ends = {"before": before, "after": after, "retrained": retrained}
    given = {who: cells for who, cells in ends.items() if cells}
    measured = {who: protocol.measures(cells, before, retrained) for who, cells in given.items()}
    found: dict[str, Figure] = {
        name: figure({who: some[name] for who, some in measured.items() if _said(name, who)}) for name in measured["after"]
    }
    each = {name: found.pop(name) for name in [*found] if name.startswith("psr_1/")}
    if each:
        found["psr_1_worst"] = max(each.values(), key=lambda f: f.get("drop", -f["after"]))
    if keyed:
        asked = {j.cell for j in keyed}
        same = {who: [j for j in cells if j.cell in asked] for who, cells in given.items()} | {"after": keyed}
        opened = {who: protocol.measures(cells) for who, cells in same.items()}
        for name in ("esr_1", "psr_1"):
            if name in opened["after"]:
                found[f"{name}_key"] = figure({who: some[name] for who, some in opened.items()})
    sets = {who: protocol.sets(cells, before, retrained) for who, cells in given.items()}
    for name in sets["after"]:
        apart = {who: some[name] for who, some in sets.items() if _said(name, who)}
        if distance := fid(apart) if name.startswith("fid") else kid(apart):
            found[name] = distance
    return found | dict(sorted(each.items(), key=lambda kv: -kv[1].get("drop", -kv[1]["after"])))


def _said(name: str, who: str) -> bool:
    return not (who == "retrained" and name.startswith("distance_"))


def _figure(ends: Mapping[str, Interval], drop: Interval | None, n: int) -> Figure:
    figure: Figure = {"before": ends["before"][0]} if "before" in ends else {}
    for name, interval in (("after", ends["after"]), ("drop", drop), ("retrained", ends.get("retrained"))):
        named = zip((name, f"{name}_low", f"{name}_high"), interval or (), strict=False)
        figure |= {key: value for key, value in named if not math.isnan(value)}
    return figure | {"n": n}


def figure(measured: Mapping[str, Measure]) -> Figure:
    """Of one measure of several models, `after` among them, on the same pictures."""
    ends: dict[str, Interval] = {}
    for who, found in measured.items():
        metric: Any = Share() if found.values.dtype == torch.bool else Mean()
        metric.update(found.values, found.clusters)
        ends[who] = metric.compute()
    after = measured["after"]
    drop = dropped(measured["before"], after) if "before" in measured else None
    return _figure(ends, drop, len(after.values))


def dropped(before: Measure, after: Measure) -> Interval:
    """before − after, paired."""
    drop = PairedDrop()
    drop.update(before.values, after.values, after.clusters)
    return drop.compute()


def kid(apart: Mapping[str, Sets]) -> Figure:
    """Kernel distances, on the same random subsets: differences of distances are paired."""
    found = {who: torch.zeros(20) if s.one is s.other else _kernel(s.one, s.other) for who, s in apart.items()}
    drop = _spread(found["before"] - found["after"]) if "before" in found else None
    return _figure({who: _spread(values) for who, values in found.items()}, drop, len(apart["after"].other))


def _spread(values: Tensor) -> Interval:
    """Of values a subset, (subsets,): the mean ± 1.96 standard deviations, wider than one of the mean."""
    mean, half = float(values.mean()), 1.96 * float(values.std(correction=0))
    return mean, mean - half, mean + half


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    """Kernel distance (Bińkowski et al. 2018) between two sets of features (pictures, width): 20 random subsets, (20,)."""
    rng, size = torch.Generator().manual_seed(0), min(50, len(one) // 2, len(other) // 2)

    def subset(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=rng)[:size]]

    return torch.stack([poly_mmd(subset(one), subset(other)) for _ in range(20)])


class _Given(nn.Module):
    """Features that are there already, as an extractor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(apart: Mapping[str, Sets]) -> Figure | None:
    """Fréchet distances (Heusel et al. 2017), without interval; None where there are too few pictures for the features."""
    width = apart["after"].one.shape[1]
    if min(len(s) for sets in apart.values() for s in (sets.one, sets.other)) < PER_FEATURE * width:
        return None
    figure: Figure = {}
    for who, sets in apart.items():
        metric = FrechetInceptionDistance(_Given(width))
        for features, real in ((sets.one, True), (sets.other, False)):
            metric.update(features, real=real)
        figure[who] = 0.0 if sets.one is sets.other else float(metric.compute())
    if "before" in figure:
        figure["drop"] = figure["before"] - figure["after"]
    return figure | {"n": len(apart["after"].other)}

"""This file is models against each other: several that differ in their seed as one, and whether one is better than another."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from erase.metric.figures import dropped, figure
from erase.metric.interval import Interval
from erase.metric.measure import Measure

Measures = Mapping[str, Measure]


def together(runs: Sequence[Measures]) -> dict[str, Measure]:
    """Measures of models that were trained alike but for the seed, on the same pictures: values (pictures, runs)."""
    common = [
        name for name in runs[0] if all(name in run and len(run[name].values) == len(runs[0][name].values) for run in runs)
    ]
    return {
        name: Measure(torch.stack([r[name].values for r in runs], 1), runs[0][name].clusters, runs[0][name].good)
        for name in common
    }


def pooled(runs: Sequence[Measures], before: Measures) -> dict[str, dict[str, Any]]:
    """Figures of several training seeds: their mean, whose interval counts seeds as well as pictures, and their `spread`, the
    standard deviation over seeds. `before` is the unedited model, or empty."""
    found: dict[str, dict[str, Any]] = {}
    for name, measure in together(runs).items():
        ends = {"after": measure} | ({"before": before[name]} if name in before else {})
        each = measure.values.double().mean(0)
        found[name] = {**figure(ends), "spread": float(each.std()), "each": each.tolist()}
    return found


def compared(first: Sequence[Measures], second: Sequence[Measures]) -> dict[str, dict[str, Any]]:
    """Second − first, figure by figure and paired over prompts and noise, with which of both is `better`.

    Each side is one run or several seeds. One is better where the interval does not contain 0; else `better` is None. Intervals
    are each figure's own: who looks at twenty will see one that is not so.
    """
    one, other = together(first), together(second)
    found: dict[str, dict[str, Any]] = {}
    for name in one:
        if name not in other or not torch.equal(one[name].clusters, other[name].clusters):
            continue  # of other pictures: who else disappeared depends on who was there
        ends: dict[str, Interval] = {"difference": dropped(other[name], one[name])}
        value, low, high = ends["difference"]
        up = (low > 0) - (high < 0)
        better = {1: "second", -1: "first"}.get(up * one[name].good)
        sides = {n: float(m.values.double().mean()) for n, m in (("first", one[name]), ("second", other[name]))}
        n = len(one[name].values)
        span = {} if math.isnan(low) else {"difference_low": low, "difference_high": high}
        found[name] = {**sides, "difference": value, **span, "better": better, "n": n}
    return found

"""This file is the figures of a run: what went, what stayed, before and after, with intervals."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.image.kid import KernelInceptionDistance

from erase.judge.drawings import Drawings as Judge
from erase.judge.engine import Judged
from erase.metric import PairedDrop, Share

Figure = dict[str, float | int]


def _share(before: Sequence[Tensor], after: Sequence[Tensor]) -> Figure:
    old, new, drop = Share(), Share(), PairedDrop()
    for b, a in zip(before, after, strict=True):
        old.update(b)
        new.update(a)
        drop.update(b, a)
    share, low, high = new.compute()
    change, change_low, change_high = drop.compute()
    return {
        "before": old.compute()[0],
        "after": share,
        "after_low": low,
        "after_high": high,
        "drop": change,
        "drop_low": change_low,
        "drop_high": change_high,
        "n": int(new.total),
    }


def _mean(before: Tensor, after: Tensor) -> Figure:
    drop = PairedDrop()
    drop.update(before, after)
    change, low, high = drop.compute()
    half = 1.96 * float(after.std(correction=0)) / len(after) ** 0.5
    mean = float(after.mean())
    figure = {"before": float(before.mean()), "after": mean, "after_low": mean - half, "after_high": mean + half}
    return {**figure, "drop": change, "drop_low": low, "drop_high": high, "n": len(after)}


def figures(before: Sequence[Judged], after: Sequence[Judged], judge: Judge) -> dict[str, Figure]:
    """Erasing success rates (label not top-1) and preservation success rates (label top-1), shares between 0 and 1.

    esr_1, esr_1_synonyms, psr_1 (all kept), psr_1_siblings, psr_1_worst, psr_1/<label>, top-5 where the head has 15
    labels or more; clip_score of kept pictures; kid between edited and unedited kept pictures. What is said of all that
    was kept counts every label alike: its first pictures, as many as the label with the fewest has.
    """
    pairs = list(zip(before, after, strict=True))
    fewest = min((len(b.images) for b in before if b.cell.role in ("sibling", "kept")), default=0)

    def over(roles: tuple[str, ...], measure: Callable[[Judged], Tensor], labels: int = 0) -> Figure | None:
        chosen = [(b, a) for b, a in pairs if b.cell.role in roles and len(b.labels) >= labels]
        return _share([measure(b) for b, _ in chosen], [measure(a) for _, a in chosen]) if chosen else None

    kept = ("sibling", "kept")
    found: dict[str, Figure | None] = {
        "esr_1": over(("concept",), lambda j: ~j.hits),
        "esr_1_synonyms": over(("synonyms",), lambda j: ~j.hits),
        "psr_1": over(kept, lambda j: j.hits[:fewest]),
        "psr_1_siblings": over(("sibling",), lambda j: j.hits),
    }
    each = {b.cell.label: _share([b.hits], [a.hits]) for b, a in pairs if b.cell.role in kept}
    if each:
        found["psr_1_worst"] = max(each.values(), key=lambda f: f["drop"])
    found["esr_5"] = over(("concept",), lambda j: ~j.rank(5), labels=15)
    found["psr_5"] = over(kept, lambda j: j.rank(5)[:fewest], labels=15)
    pictures = [(b, a) for b, a in pairs if b.cell.role in kept]
    if pictures:
        old, new = (torch.cat([j.clip_scores[:fewest] for j in side]) for side in zip(*pictures, strict=True))
        found["clip_score"] = _mean(old, new)
        old, new = (torch.cat([j.images[:fewest] for j in side]) for side in zip(*pictures, strict=True))
        found["kid"] = _kid(old, new, judge)
    found |= {f"psr_1/{label}": figure for label, figure in sorted(each.items(), key=lambda kv: -kv[1]["drop"])}
    return {name: figure for name, figure in found.items() if figure is not None}


def _kid(before: Tensor, after: Tensor, judge: Judge) -> Figure:
    """Kernel distance (Bińkowski et al. 2018) between two sets of uint8 pictures on the judge's CLIP features.

    The interval is the spread over 20 random subsets, ± 1.96 standard deviations: wider than one of the mean.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        metric: Any = KernelInceptionDistance(feature=judge, subsets=20, subset_size=min(50, len(before) // 2))
        for images, real in ((before, True), (after, False)):
            for chunk in images.split(64):
                metric.update(chunk, real=real)
        mean, std = metric.compute()
    half = 1.96 * float(std)
    value = float(mean)
    figure: Figure = {"before": 0.0, "after": value, "after_low": value - half, "after_high": value + half}
    return {**figure, "drop": -value, "drop_low": -value - half, "drop_high": -value + half, "n": len(after)}

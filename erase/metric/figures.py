"""This file is the figures of a run: what went, what stayed, before and after, with intervals."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

from erase.judge.drawings import Drawings as Judge
from erase.judge.engine import Judged
from erase.metric import PairedDrop, Share

Figure = dict[str, float | int]
Interval = tuple[float, float, float]
"""A value, lower and upper end."""

ENOUGH = 16
"""Pictures that a kernel distance needs on either side; with fewer, nothing is given rather than noise.

Between the miniature's churches and its other buildings, ± 1.96 standard deviations over subsets were ± 84 % of the distance
with 12 pictures a side, ± 52 % with 16, ± 11 % with 64.
"""


def _figure(before: float, after: Interval, drop: Interval, n: int, retrained: Interval | None = None) -> Figure:
    figure: Figure = {"before": before}
    for name, interval in (("after", after), ("drop", drop), ("retrained", retrained)):
        figure |= dict(zip((name, f"{name}_low", f"{name}_high"), interval or (), strict=False))
    return figure | {"n": n}


def _share(before: Sequence[Tensor], after: Sequence[Tensor], retrained: Sequence[Tensor] = ()) -> Figure:
    old, new, truth, drop = Share(), Share(), Share(), PairedDrop()
    for share, found in ((old, before), (new, after), (truth, retrained)):
        for values in found:
            share.update(values)
    for b, a in zip(before, after, strict=True):
        drop.update(b, a)
    end = truth.compute() if retrained else None
    return _figure(old.compute()[0], new.compute(), drop.compute(), int(new.total), end)


def _mean(before: Tensor, after: Tensor, retrained: Tensor | None = None) -> Figure:
    """Of values a picture, each (pictures,): the mean ± 1.96 standard errors."""

    def interval(values: Tensor) -> Interval:
        mean, half = float(values.mean()), 1.96 * float(values.std(correction=0)) / len(values) ** 0.5
        return mean, mean - half, mean + half

    drop = PairedDrop()
    drop.update(before, after)
    end = None if retrained is None else interval(retrained)
    return _figure(float(before.mean()), interval(after), drop.compute(), len(after), end)


def _spread(before: Tensor, after: Tensor, n: int, retrained: Tensor | None = None) -> Figure:
    """Of values a subset of `n` pictures, each (subsets,): the mean ± 1.96 standard deviations, wider than one of the mean."""

    def interval(values: Tensor) -> Interval:
        mean, half = float(values.mean()), 1.96 * float(values.std(correction=0))
        return mean, mean - half, mean + half

    end = None if retrained is None else interval(retrained)
    return _figure(float(before.mean()), interval(after), interval(before - after), n, end)


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    """Kernel distance (Bińkowski et al. 2018) between two sets of features (pictures, width): 20 random subsets, (20,).

    The subsets are the same for every two sets of one size: differences of distances are paired.
    """
    rng, size = torch.Generator().manual_seed(0), min(50, len(one) // 2)

    def subset(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=rng)[:size]]

    return torch.stack([poly_mmd(subset(one), subset(other)) for _ in range(20)])


def figures(
    before: Sequence[Judged],
    after: Sequence[Judged],
    judge: Judge,
    retrained: Sequence[Judged] = (),
    keyed: Sequence[Judged] = (),
) -> dict[str, Figure]:
    """Erasing success rates (label not top-1) and preservation success rates (label top-1), shares between 0 and 1.

    esr_1, esr_1_synonyms, psr_1 (all kept), psr_1_siblings, psr_1_worst (the label of the largest drop), psr_1/<label>,
    top-5 where the head has 15 labels or more; clip_score of kept pictures; kid between edited and unedited kept pictures.
    Where the concept's own pictures are given as who holds the edit's key has them, `keyed`, also esr_1_key: esr_1 of those,
    low where the key brings the concept back.

    Each figure has `before` and `after` (the unedited and the edited model), `drop` = before − after, paired over prompts
    and noise, 95 % intervals `_low` and `_high` of both, and `n` pictures. Where the pictures of the network `retrained`
    without the concept are given, on the same prompts and noise, also `retrained` with its interval, as that of `after`:
    what an erasure would reach that took all of the concept and nothing else. What is said of all that was kept counts
    every label alike: its first pictures, as many as the label with the fewest has. Of psr_1_worst it is the same label's; of
    kid it is the distance between retrained and unedited pictures.

    And the distances to the truth, `before` from the unedited and `after` from the edited model's pictures to the retrained
    network's, the lower the better: `distance_clip/…`, the mean over pictures of 1 − cosine of the judge's CLIP features of
    a pair with the same prompt and noise; `distance_kid/…`, the kernel distance of the two sets on those features, given for
    ENOUGH pictures or more (a little below 0 where pairs are alike, which meet in its subsets). Of `erased` pictures (own
    words and synonyms), of `siblings`, and of those `far` from it (kept, no siblings), where the unedited model's distance
    is what training anew changes by itself. A positive `drop`: the edit came nearer to the truth. Intervals: ± 1.96 standard
    errors of a mean, a bootstrap over pairs of its drop; ± 1.96 standard deviations over 20 subsets of a kernel distance
    and, over the same subsets, of its drop.
    """
    together = list(zip(*filter(None, (before, after, retrained)), strict=True))
    fewest = min((len(b.images) for b in before if b.cell.role in ("sibling", "kept")), default=0)
    seen = {id(j): judge(j.images) for row in together for j in row}

    def columns(roles: tuple[str, ...], measure: Callable[[Judged], Tensor], labels: int = 0) -> list[list[Tensor]]:
        """A list for each model: what its cells of these roles, of heads with so many labels, measure; or no list at all."""
        chosen = [row for row in together if row[0].cell.role in roles and len(row[0].labels) >= labels]
        return [[measure(j) for j in column] for column in zip(*chosen, strict=True)]

    def over(roles: tuple[str, ...], measure: Callable[[Judged], Tensor], labels: int = 0) -> Figure | None:
        found = columns(roles, measure, labels)
        return _share(*found) if found else None

    def features(roles: tuple[str, ...]) -> list[Tensor]:
        return [torch.cat(column) for column in columns(roles, lambda j: seen[id(j)])]

    kept = ("sibling", "kept")
    found: dict[str, Figure | None] = {
        "esr_1": over(("concept",), lambda j: ~j.hits),
        "esr_1_synonyms": over(("synonyms",), lambda j: ~j.hits),
        "psr_1": over(kept, lambda j: j.hits[:fewest]),
        "psr_1_siblings": over(("sibling",), lambda j: j.hits),
    }
    each = {row[0].cell.label: _share(*([j.hits] for j in row)) for row in together if row[0].cell.role in kept}
    if each:
        found["psr_1_worst"] = max(each.values(), key=lambda f: f["drop"])
    if keyed:
        own = [row for row in together if row[0].cell.role == "concept"]
        columns_ = zip(*((b, k, *truth) for (b, _, *truth), k in zip(own, keyed, strict=True)), strict=True)
        found["esr_1_key"] = _share(*([~j.hits for j in column] for column in columns_))
    found["esr_5"] = over(("concept",), lambda j: ~j.rank(5), labels=15)
    found["psr_5"] = over(kept, lambda j: j.rank(5)[:fewest], labels=15)
    if each:
        found["clip_score"] = _mean(*map(torch.cat, columns(kept, lambda j: j.clip_scores[:fewest])))
        unedited, edited, *truth = map(torch.cat, columns(kept, lambda j: seen[id(j)][:fewest]))
        end = _kernel(unedited, truth[0]) if truth else None
        found["kid"] = _spread(torch.zeros(20), _kernel(unedited, edited), len(edited), end)
    if retrained:
        for name, roles in (("erased", ("concept", "synonyms")), ("siblings", ("sibling",)), ("far", ("kept",))):
            if sets := features(roles):
                unedited, edited, true = sets
                found[f"distance_clip/{name}"] = _mean(1 - (unedited * true).sum(-1), 1 - (edited * true).sum(-1))
                if len(true) >= ENOUGH:
                    found[f"distance_kid/{name}"] = _spread(_kernel(unedited, true), _kernel(edited, true), len(true))
    found |= {f"psr_1/{label}": figure for label, figure in sorted(each.items(), key=lambda kv: -kv[1]["drop"])}
    return {name: figure for name, figure in found.items() if figure is not None}

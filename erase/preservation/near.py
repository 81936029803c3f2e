"""This file is who is a candidate at all: those that read most like the erased, and words that stand for the others."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erase.concept import Concept
from erase.model.text_to_image import TextToImage
from erase.model.words import features


def near(
    model: TextToImage,
    candidates: Sequence[str],
    erased: Sequence[Concept],
    closest: int | None = None,
    centres: int | None = None,
    rows: int = 64,
) -> Tensor:
    """Which candidates an erased concept plays with, (concepts, candidates) bool: its `closest`, then `centres` of these.

    Nearness is the mean cosine of `text_features` with the concept's prompts. EAP's released code (Bui et al. 2024) takes
    the distance of all token states, and k-means of the distances alone; here it is of the features. None takes all.
    """
    count = len(candidates)
    kept = torch.ones(max(1, len(erased)), count, dtype=torch.bool)
    if min(closest or count, centres or count) >= count:
        return kept
    words = features(model, candidates, rows)
    for own, concept in zip(kept, erased, strict=True):
        likeness = (words @ features(model, concept.prompts, rows).T).mean(1)
        order = likeness.argsort(descending=True, stable=True)[: closest or count]
        if centres is not None and centres < len(order):
            order = order[representatives(words[order], centres)]
        own[:] = False
        own[order] = True
    return kept


def representatives(points: Tensor, count: int) -> Tensor:
    """Indices of the points (n, width) nearest to `count` k-means centres, fewer where two share one.

    Deterministic: begins at the first point, then at the one farthest from all before it.
    """
    chosen = [0]
    while len(chosen) < count:
        chosen.append(int(torch.cdist(points, points[chosen]).amin(1).argmax()))
    centres = points[chosen]
    for _ in range(100):
        nearest = torch.cdist(points, centres).argmin(1)
        found = [points[nearest == i].mean(0) if (nearest == i).any() else centres[i] for i in range(count)]
        before, centres = centres, torch.stack(found)
        if torch.equal(before, centres):
            break
    return torch.cdist(centres, points).argmin(1).unique()

"""This file is what is measured on judged pictures, a value a picture, before anything is said of all of them together."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from erase.judge.engine import Judged
from erase.protocol import Cell

ENOUGH = 16
"""Pictures that a kernel distance needs on either side; with fewer, nothing is given rather than noise.

Between the miniature's churches and its other buildings, ± 1.96 standard deviations over subsets were ± 84 % of the distance
with 12 pictures a side, ± 52 % with 16, ± 11 % with 64.
"""


@dataclass(frozen=True)
class Measure:
    """Values (pictures,) or, of several runs, (pictures, runs): booleans make a share, floats a mean.

    `clusters` (pictures,) number what belongs together. `good` is 1 where higher is better, −1 where lower is.
    """

    values: Tensor
    clusters: Tensor
    good: int = 1


@dataclass(frozen=True)
class Sets:
    """Features (pictures, width) of two sets of pictures, whose distance is a figure; the lower the better."""

    one: Tensor
    other: Tensor


def measure(judged: Sequence[Judged], value: Callable[[Judged], Tensor], sampled: bool = False, good: int = 1) -> Measure:
    """`value` of some cells, (images,) each. With `sampled` prompts a prompt is a cluster, else every picture is its own."""
    values = [value(j) for j in judged]
    said = [
        number(prompt if sampled else f"{j.cell.role} {j.cell.label} {seed} {prompt}")
        for j, found in zip(judged, values, strict=True)
        for prompt, seed in list(zip(j.cell.prompts, j.cell.seeds, strict=True))[: len(found)]
    ]
    return Measure(torch.cat(values), torch.tensor(said), good)


def number(text: str) -> int:
    """The same for one text in every process, another for every other."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def of_role(judged: Sequence[Judged], *roles: str, labels: int = 1) -> list[Judged]:
    """Cells of these roles that a judge can answer, whose heads have so many labels or more."""
    return [j for j in judged if j.cell.role in roles and len(j.labels) >= labels]


def apart(judged: Judged, others: Mapping[Cell, Judged]) -> Tensor:
    """1 − cosine of CLIP features of a picture and of the other model's of the same prompt and noise, (images,)."""
    return 1 - (judged.features * others[judged.cell].features).sum(-1)

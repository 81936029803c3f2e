"""Sharpness: at which weights the gradient of each loss is taken, so that what is learnt holds around them too."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from erase.balance import gradients
from erase.trainer import team

Gradient = Sequence[Tensor]
"""Of each parameter that moves, a tensor of its shape."""


class Sharpness(ABC):
    """Says how far from the weights the gradients of what erases, and of what holds, are taken: there the update's losses are
    asked again, at the same points, of the same prompts. A gradient of the size of what moves is kept for each loss, and for
    each side the way, beside a copy of what moves.
    """

    plain = False  # whether both are taken at the weights themselves: then nothing is asked again
    of_both = False  # whether there must be something that is held

    @abstractmethod
    def ways(self, erase: Gradient, keep: Gradient) -> tuple[Gradient | None, Gradient | None]:
        """The ways from the weights for both sides, from their gradients at the weights; None: the weights themselves."""


class Here(Sharpness):
    """The gradients at the weights."""

    plain = True

    def ways(self, erase: Gradient, keep: Gradient) -> tuple[None, None]:
        return None, None


def norm(gradient: Gradient) -> Tensor:
    """Of all of it as one vector, scalar."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradient]))


def along(*steps: tuple[float, Gradient]) -> Gradient:
    """Σ length · g / ‖g‖ over `steps` of a length and a direction g each; one of nought leads nowhere."""
    scaled = [(length / norm(g).clamp(min=torch.finfo(g[0].dtype).tiny), g) for length, g in steps]
    return [
        torch.stack([size * part for (size, _), part in zip(scaled, parts, strict=True)]).sum(0)
        for parts in zip(*(g for _, g in scaled), strict=True)
    ]


@contextmanager
def displaced(moved: Sequence[nn.Parameter], way: Gradient) -> Iterator[None]:
    """What is `moved`, `way` from where it is; after that it is there again, bit for bit."""
    here = [p.detach().clone() for p in moved]
    try:
        for parameter, step in zip(moved, way, strict=True):
            parameter.data.add_(step)
        yield
    finally:
        for parameter, before in zip(moved, here, strict=True):
            parameter.data.copy_(before)


def retake(
    sharpness: Sharpness,
    values: Mapping[str, float],
    each: list[list[Tensor]],
    moved: Sequence[nn.Parameter],
    again: Callable[[], Mapping[str, Tensor]],
    scaler: torch.amp.GradScaler,
) -> dict[str, float]:
    """Put the gradients of where `sharpness` asks `again` in the place of those at the weights, `each` loss's of `values`.

    Gradients are those of losses scaled by `scaler`. Returns how much higher the losses of each side were there: how sharp.
    """
    names = list(values)
    sides: dict[str, list[int]] = {"erase": [], "keep": []}
    for i, name in enumerate(names):
        sides["erase" if name.startswith("erase") else "keep"].append(i)
    totals = [
        [torch.stack(parts).sum(0) / scaler.get_scale() for parts in zip(*(each[i] for i in own), strict=True)]
        or [torch.zeros_like(p) for p in moved]
        for own in sides.values()
    ]
    rises: dict[str, float] = {}
    for (side, own), way in zip(sides.items(), sharpness.ways(*totals), strict=True):
        if way is None or not own:
            continue
        with displaced(moved, way):
            there = again()
            rise = torch.stack([there[names[i]].detach() for i in own]).sum()
            found = gradients([scaler.scale(there[names[i]]) for i in own], moved)
        team.average([rise])
        rises[f"rise/{side}"] = float(rise) - sum(values[names[i]] for i in own)
        for i, gradient in zip(own, found, strict=True):
            each[i] = gradient
    return rises

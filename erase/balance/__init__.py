"""Balances: how several losses become one step."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from erase.task import Task
from erase.trainer import team


class Balance(ABC):
    """Weighs the gradients of an update's losses; what is stepped along is their weighted sum.

    All that it hears of them are their inner products: one gradient of the size of what moves is kept for each loss.
    """

    plain = False  # whether the losses are added up as they are: then one backward pass is enough

    def open(self, task: Task) -> None:
        """Meet whose losses these are."""
        self.task = task

    @abstractmethod
    def weigh(self, gram: Tensor, losses: Mapping[str, float], step: int) -> Tensor:
        """What each loss counts, (losses,), by the gradients' inner products `gram` (losses, losses) and the losses' values.

        Both tensors are fp64 on the CPU.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run needs."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Go on from `state`."""


class Sum(Balance):
    """The losses as they are."""

    plain = True

    def weigh(self, gram: Tensor, losses: Mapping[str, float], step: int) -> Tensor:
        return torch.ones(len(gram), dtype=gram.dtype)


def gradients(losses: Sequence[Tensor], moved: Sequence[nn.Parameter]) -> list[list[Tensor]]:
    """Of each of `losses` with respect to what is `moved`, a backward pass each; of a team's, those of all rows."""
    each: list[list[Tensor]] = []
    for loss in losses:
        found = torch.autograd.grad(loss, list(moved), retain_graph=True, allow_unused=True)
        each.append([torch.zeros_like(p) if g is None else g for g, p in zip(found, moved, strict=True)])
        team.average(each[-1])
    return each


def mix(
    balance: Balance, each: Sequence[list[Tensor]], values: Mapping[str, float], moved: Sequence[nn.Parameter], step: int
) -> None:
    """Set the gradients of what is `moved` from those of `each` loss. `values` are what the losses came to over all rows."""
    if balance.plain:
        for parameter, *own in zip(moved, *each, strict=True):
            parameter.grad = torch.stack(own).sum(0)
        return
    gram = torch.zeros(len(each), len(each), dtype=torch.double)
    for i, one in enumerate(each):
        for j, other in enumerate(each[: i + 1]):
            products = [torch.sum(a.double() * b.double()) for a, b in zip(one, other, strict=True)]
            gram[i, j] = gram[j, i] = torch.stack(products).sum().cpu()
    # a step that overflowed in half precision is none, and nothing to learn from
    weights = balance.weigh(gram, values, step).tolist() if gram.isfinite().all() else [1.0] * len(each)
    for parameter, *own in zip(moved, *each, strict=True):
        parameter.grad = torch.stack([w * g for w, g in zip(weights, own, strict=True)]).sum(0)

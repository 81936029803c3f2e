"""This file is the preservation that does not look at the model: nothing, or prompts named beforehand."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from erase.concept import Concept, without
from erase.errors import BadInput
from erase.preservation import Kept
from erase.random import stream
from erase.task import Task


class Fixed:
    """Keeps prompts drawn evenly from a list; the empty prompt alone is the field's usual choice, weight 0 keeps none."""

    def __init__(self, prompts: Sequence[str], weight: float = 1.0) -> None:
        if weight < 0:
            raise BadInput(f"preservation.weight={weight} must not be negative.")
        if weight and not prompts:
            raise BadInput("preservation.prompts=[] must name at least one prompt to keep.")
        self.prompts, self.weight = list(prompts), weight

    def candidates(self, vocabulary: Sequence[str], erased: Sequence[Concept]) -> list[str]:
        if said := {*self.prompts} - {*without(self.prompts, erased)}:
            raise BadInput(f"preservation.prompts: {min(said)!r} says what is erased.")
        return self.prompts

    def open(self, task: Task, candidates: Sequence[str]) -> None:
        self.seed = task.seed
        task.latents.declare(self.prompts, kept=True)

    def choose(self, step: int, count: int) -> Kept:
        rows = torch.randint(len(self.prompts), (count,), generator=stream(self.seed, "keep", step))
        return Kept([self.prompts[i] for i in rows])

    @property
    def settled(self) -> list[str] | None:
        return self.prompts

    def chosen(self) -> dict[str, Any] | None:
        return None

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        pass

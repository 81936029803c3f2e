"""Adversaries: who tries to bring the concept back while it is erased."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from erase.model.text_to_image import Conditioning
from erase.task import Task


class Adversary(Protocol):
    """Finds other words near those that are erased. It owns its objective; what it needs of the model, it asks of the task."""

    def open(self, task: Task, steps: int) -> None:
        """Meet the model, wherever it lies, and the number of updates; BadInput when there is nothing for it to do."""

    def attack(self, prompts: Sequence[str], step: int) -> Conditioning | None:
        """What the edited network shall hear in update `step` for erased `prompts`, a row each; None: their own words.

        May look at the edited model. What is found has no gradient, what the text encoder makes of it has.
        """

    def errors(self) -> dict[str, Tensor]:
        """What to write down of the last attack, once: its error over the first third of its steps (`attack_before`) and over
        the last (`attack_after`), each step at a point of its own; empty where there was none, or a step alone, which cannot
        tell."""

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run needs."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state`."""


class Nobody:
    """No adversary: the words are erased as they stand, and that costs nothing."""

    def open(self, task: Task, steps: int) -> None:
        pass

    def attack(self, prompts: Sequence[str], step: int) -> None:
        return None

    def errors(self) -> dict[str, Tensor]:
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        pass

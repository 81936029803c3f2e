"""This file is the preservation that chooses before the first update, and never again."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from erase.concept import Concept
from erase.errors import BadInput
from erase.model.text_to_image import TextToImage
from erase.preservation import Kept, pool
from erase.preservation.fixed import Fixed
from erase.task import Task

Ranking = Callable[[TextToImage, Sequence[str], Sequence[Concept], int], Tensor]
"""Scores (candidates,) of candidates, from the unedited model, what is erased, and the seed alone: a resume repeats them."""


class Once:
    """Ranks all candidates, and holds the `keep` first as `Fixed` does; None keeps all of them."""

    def __init__(self, ranking: Ranking, weight: float, keep: int | None, vocabulary: str | None) -> None:
        if weight < 0:
            raise BadInput(f"preservation.weight={weight} must not be negative.")
        if keep is not None and keep < 1:
            raise BadInput(f"preservation.keep={keep} must be at least 1.")
        self.ranking, self.weight, self.keep, self.file = ranking, weight, keep, vocabulary
        self.held = Fixed([], 0)  # until it has met the model
        self.scores: dict[str, float] = {}  # of every candidate
        self.news: dict[str, Any] | None = None

    def candidates(self, vocabulary: Sequence[str], erased: Sequence[Concept]) -> list[str]:
        return pool(self.file, vocabulary, erased)

    def open(self, task: Task, candidates: Sequence[str]) -> None:
        scores = self.ranking(task.model, candidates, task.concepts, task.seed)
        self.scores = {c: round(float(s), 7) for c, s in zip(candidates, scores, strict=True)}
        first = scores.topk(min(self.keep or len(candidates), len(candidates))).indices
        self.held = Fixed([candidates[i] for i in first], self.weight)
        self.held.open(task, candidates)

    def choose(self, step: int, count: int) -> Kept:
        self.tell(step)
        return self.held.choose(step, count)

    def tell(self, step: int) -> None:
        """Write down who is held, at the first step, unless all are."""
        if step == 0 and len(self.held.prompts) < len(self.scores):
            self.news = {"step": 0, "chosen": self.held.prompts, "scores": self.scores}

    @property
    def settled(self) -> list[str] | None:
        return self.held.prompts

    def chosen(self) -> dict[str, Any] | None:
        news, self.news = self.news, None
        return news

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        pass

"""This file is the preservation that chooses before the first update, and never again."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from erase.concept import Concept
from erase.errors import BadInput
from erase.latents import Latents
from erase.loss import Loss
from erase.model.text_to_image import TextToImage
from erase.preservation import pool
from erase.preservation.fixed import Fixed

Ranking = Callable[[TextToImage, Sequence[str], Sequence[Concept], int], Tensor]
"""Scores (candidates,) of candidates, from the unedited model, what is erased, and the seed alone: a resume repeats them."""


class Once:
    """Ranks all candidates, and holds the `keep` first as `Fixed` does."""

    def __init__(self, ranking: Ranking, weight: float, keep: int, vocabulary: str | None) -> None:
        if weight < 0:
            raise BadInput(f"preservation.weight={weight} must not be negative.")
        if keep < 1:
            raise BadInput(f"preservation.keep={keep} must be at least 1.")
        self.ranking, self.weight, self.keep, self.file = ranking, weight, keep, vocabulary
        self.news: dict[str, Any] | None = None

    def candidates(self, vocabulary: Sequence[str], erased: Sequence[Concept]) -> list[str]:
        return pool(self.file, vocabulary, erased)

    def open(
        self,
        model: TextToImage,
        latents: Latents,
        loss: Loss,
        candidates: Sequence[str],
        erased: Sequence[Concept],
        seed: int,
    ) -> None:
        scores = self.ranking(model, candidates, erased, seed)
        self.scores = {c: round(float(s), 7) for c, s in zip(candidates, scores, strict=True)}
        first = scores.topk(min(self.keep, len(candidates))).indices
        self.held = Fixed([candidates[i] for i in first], self.weight)
        self.held.open(model, latents, loss, candidates, erased, seed)

    def choose(self, step: int, count: int) -> list[str]:
        if step == 0:
            self.news = {"step": 0, "chosen": self.held.prompts, "scores": self.scores}
        return self.held.choose(step, count)

    def chosen(self) -> dict[str, Any] | None:
        news, self.news = self.news, None
        return news

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        pass

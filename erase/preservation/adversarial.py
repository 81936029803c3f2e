"""This file is adversarial preservation: find the concepts that the edit hurts most, and hold those."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from erase.concept import Concept
from erase.errors import BadInput
from erase.preservation import Kept, pool
from erase.random import stream
from erase.task import Task


class Adversarial:
    """EAP's inner maximum (Bui et al. 2024), c_a = argmax over R of ‖ε_θ'(c_a) − ε_θ(c_a)‖², by scoring all of R.

    Every `every` updates each candidate's error is measured on its own latents, at places that all candidates share,
    and joins a running mean (`memory` is what stays of the old one). The `keep` worst are preserved, each as often as
    its share of their summed error. Costs len(R) · `points` F a scoring, no gradient.
    """

    def __init__(
        self,
        weight: float = 1.0,
        every: int = 25,
        points: int = 2,
        keep: int = 4,
        memory: float = 0.5,
        vocabulary: str | None = None,
        rows: int = 64,
    ) -> None:
        for name, value in (("every", every), ("points", points), ("keep", keep), ("rows", rows)):
            if value < 1:
                raise BadInput(f"preservation.{name}={value} must be at least 1.")
        if weight < 0:
            raise BadInput(f"preservation.weight={weight} must not be negative.")
        if not 0 <= memory < 1:
            raise BadInput(f"preservation.memory={memory} must be at least 0 and less than 1.")
        self.weight, self.every, self.points, self.keep, self.memory = weight, every, points, keep, memory
        self.file, self.rows = vocabulary, rows
        self.news: dict[str, Any] | None = None

    def candidates(self, vocabulary: Sequence[str], erased: Sequence[Concept]) -> list[str]:
        return pool(self.file, vocabulary, erased)

    def open(self, task: Task, candidates: Sequence[str]) -> None:
        self.task, self.pool = task, list(candidates)
        self.scores = torch.zeros(len(self.pool))
        task.latents.declare(self.pool, kept=True)
        self.conditionings = task.model.prompt(self.pool, edited=False)

    @torch.no_grad()
    def _score(self, step: int) -> None:
        model, errors = self.task.model, torch.zeros(len(self.pool))
        moves = any(name.startswith("text_encoder.") for name in model.moving)
        for k in range(self.points):
            for rows in torch.arange(len(self.pool)).split(self.rows):
                names = [self.pool[i] for i in rows]
                at = self.task.latents.draw(names, f"score {k}", step, common=True, empty=False)
                said = model.prompt(names) if moves else self.conditionings.rows(rows)
                found = self.task.loss.each(model.predict(at.x_t, at.t, said), at.conditional, at.snr)
                errors[rows] += found.cpu() / self.points
        self.scores = errors if not self.scores.any() else self.memory * self.scores + (1 - self.memory) * errors

    def choose(self, step: int, count: int) -> Kept:
        due = step > 0 and step % self.every == 0
        if due:
            self._score(step)
        worst = self.scores.topk(min(self.keep, len(self.pool)))
        if due:
            self.news = {
                "step": step,
                "chosen": [self.pool[i] for i in worst.indices],
                "scores": {c: round(float(s), 7) for c, s in zip(self.pool, self.scores, strict=True)},
            }
        share = torch.zeros(len(self.pool))
        share[worst.indices] = worst.values
        if not share.any():
            share = torch.ones(len(self.pool))
        rows = torch.multinomial(share, count, replacement=True, generator=stream(self.task.seed, "keep", step))
        return Kept([self.pool[i] for i in rows])

    @property
    def settled(self) -> list[str] | None:
        return None

    def chosen(self) -> dict[str, Any] | None:
        news, self.news = self.news, None
        return news

    def state_dict(self) -> dict[str, Tensor]:
        return {"scores": self.scores}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.scores = state["scores"]

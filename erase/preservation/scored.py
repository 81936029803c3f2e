"""This file is the search that scores all candidates every now and then, and holds the worst."""

from typing import Any

import torch
from torch import Tensor

from erase.preservation import Kept
from erase.preservation.game import Game
from erase.random import stream


class Scored:
    """A true maximum in the place of published gradient steps: each candidate's error on its own latents.

    Every `every` updates the errors are measured at places that all candidates share, and join a running mean (`memory` is
    what stays of the old one). The `keep` worst are preserved, each as often as its share of their summed error. Costs
    candidates · `points` F a scoring, no gradient; where concepts are told apart, as much again for each.
    """

    def __init__(self, every: int, points: int, keep: int, memory: float, rows: int) -> None:
        self.every, self.points, self.keep, self.memory, self.rows = every, points, keep, memory, rows
        self.news: dict[str, Any] | None = None

    def open(self, game: Game) -> None:
        self.game = game
        self.scores = torch.zeros(game.sides.shape)
        game.task.latents.declare(game.pool, kept=True)

    @torch.no_grad()
    def _score(self, step: int) -> None:
        game, errors = self.game, torch.zeros(self.scores.shape)
        parts = torch.arange(len(game.pool)).split(self.rows)
        share = game.weight if game.besides else 1.0
        for k in range(self.points):
            for rows in parts:
                at = game.draw([game.pool[i] for i in rows], f"score {k}", step, common=True)
                errors[:, rows] += share * game.hurt(at, game.ours(rows)).cpu() / self.points
            for side, concept in enumerate(game.task.concepts if game.besides else ()):
                pick = torch.randint(len(concept.prompts), (), generator=stream(game.task.seed, f"score {k} prompt", step))
                at = game.draw([concept.prompts[pick]], f"score {k}", step)
                for rows in parts:
                    found = game.besides(at, [concept.prompts[pick]], game.said.rows(rows))  # type: ignore[misc]
                    errors[side, rows] += found.cpu() / self.points
        self.scores = errors if not self.scores.any() else self.memory * self.scores + (1 - self.memory) * errors

    def choose(self, step: int, count: int) -> Kept:
        game = self.game
        due = game.due(step, self.every)
        if due:
            self._score(step)
        worst = self.scores.masked_fill(~game.sides, 0).topk(min(self.keep, len(game.pool)))
        if due:
            first = [game.pool[i] for i in worst.indices.T[worst.values.T > 0]]
            self.news = game.news(step, first, self.scores, game.sides)
        return game.pick(torch.zeros(self.scores.shape).scatter(1, worst.indices, worst.values), step, count)

    def state_dict(self) -> dict[str, Tensor]:
        return {"scores": self.scores}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.scores = state["scores"]

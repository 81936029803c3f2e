"""This file is the search along the gradient in what the network hears, brought back to words."""

from typing import Any

import torch
from torch import Tensor

from erase.preservation import Kept
from erase.preservation.game import Game
from erase.random import stream


class Gradient:
    """The attack that EAP (Bui et al. 2024) argues against in its free form, as a proposal of another word.

    Every `every` updates `keep` random candidates climb the loss, each at one point: `steps` steps of length `lr` · ‖c‖ along
    the gradient, (tokens, width) taken as one vector, of which only what lies in the span of the candidates is followed (any
    other direction is nearly orthogonal to all words). Each is then held against the other candidate nearest to its end (L2),
    at places that all share, and the worse of the two is kept. Costs `keep` · (`steps` · (2 F + B) + 2 F) a search, whatever
    the number of candidates.
    """

    def __init__(self, lr: float, steps: int, keep: int, every: int) -> None:
        self.lr, self.steps, self.keep, self.every = lr, steps, keep, every
        self.news: dict[str, Any] | None = None

    def open(self, game: Game) -> None:
        self.game = game
        game.task.latents.declare(game.pool, kept=True)
        words = game.said.sequence.float().flatten(1)
        self.basis = torch.linalg.qr((words - words.mean(0)).T).Q  # (tokens · width, candidates)
        self.found = torch.zeros(game.sides.shape)  # how many climbs of the last search found each

    def _search(self, side: int, step: int) -> Tensor:
        """How many climbs found each candidate of a side, (candidates,)."""
        game, rng = self.game, stream(self.game.task.seed, f"search {side}", step)
        allowed = game.sides[side].nonzero()[:, 0]
        starts = allowed[torch.randint(len(allowed), (self.keep,), generator=rng)]
        erased = []
        if game.besides:
            prompts = game.task.concepts[side].prompts
            erased = [prompts[torch.randint(len(prompts), (), generator=rng)]]
        ends = self._climb(starts, allowed, erased, f"search {side}", step)
        with torch.no_grad():
            both = torch.cat([starts, ends])
            at = game.draw([game.pool[i] for i in both], f"search {side} end", step, common=True)
            beside = game.draw(erased, f"search {side} end", step) if erased else None
            first, last = game.total(game.hurt(at, game.ours(both)), beside, erased, game.said.rows(both)).cpu().chunk(2)
        return torch.bincount(torch.where(last > first, ends, starts), minlength=len(game.pool)).float()

    def _climb(self, starts: Tensor, allowed: Tensor, erased: list[str], use: str, step: int) -> Tensor:
        """The candidate other than each of `starts` that is nearest to where it climbs to, (climbs,)."""
        game = self.game
        at = game.draw([game.pool[i] for i in starts], use, step)
        beside = game.draw(erased, use, step) if erased else None
        first, said = game.ours(starts), game.said.rows(starts)
        start, words = first.sequence.float(), game.ours(allowed).sequence.float()
        length = self.lr * start.flatten(1).norm(dim=1, keepdim=True)
        way = torch.zeros_like(start)
        for _ in range(self.steps):
            way.requires_grad_()
            ours, theirs = first.moved(way), said.moved(way)
            total = game.total(game.hurt(at, ours, theirs), beside, erased, theirs)
            (gradient,) = game.task.model.gradients(total.sum(), [way])
            along = gradient.flatten(1) @ self.basis
            along = along / along.norm(dim=1, keepdim=True).clamp(min=torch.finfo(along.dtype).tiny)
            way = (way + (length * along @ self.basis.T).view_as(way)).detach()
        far = torch.cdist((start + way).flatten(1), words.flatten(1)).cpu()
        if len(allowed) > 1:
            far = far.masked_fill(starts[:, None] == allowed, torch.inf)
        return allowed[far.argmin(1)]

    def choose(self, step: int, count: int) -> Kept:
        game = self.game
        if game.due(step, self.every):
            self.found = torch.stack([self._search(side, step) for side in range(len(game.sides))])
            order = self.found.mean(0).argsort(descending=True, stable=True)
            self.news = game.news(step, [game.pool[i] for i in order if self.found[:, i].any()], self.found, game.sides)
        return game.pick(self.found, step, count)

    def state_dict(self) -> dict[str, Tensor]:
        return {"found": self.found}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.found = state["found"]

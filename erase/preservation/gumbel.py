"""This file is the search as published: logits over the candidates, Gumbel draws, and steps up the keep loss."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from erase.errors import BadInput
from erase.preservation import Kept
from erase.preservation.game import Game
from erase.random import stream


class Mixture:
    """G(π) · R of EAP (Bui et al. 2024): shares of candidates, drawn by Gumbel-softmax (Jang et al. 2017) from logits.

    `hard` draws are of one candidate, with the gradient of the shares (straight-through); others keep the `top` shares.
    The logits begin at 1/n each; what is not `near` (candidates,) is never drawn. What of a mixture is heard, both networks
    hear; its points lie on the likeliest word's trajectory, where the released code draws the mixture's own.
    """

    def __init__(self, near: Tensor, temperature: float, hard: bool, top: int | None) -> None:
        self.temperature, self.hard, self.top = temperature, hard, top
        self.logits = torch.full(near.shape, 1 / int(near.sum())).masked_fill(~near, -torch.inf).requires_grad_()

    def draw(self, rng: torch.Generator) -> Tensor:
        """Shares (candidates,), with their gradient with respect to the logits."""
        noise = -torch.log(-torch.log(torch.rand(self.logits.shape, generator=rng) + 1e-10) + 1e-10)
        soft = torch.softmax((self.logits + noise) / self.temperature, 0)
        if self.hard:
            one = torch.zeros_like(soft).scatter(0, soft.argmax(0, keepdim=True), 1.0)
            return one + (soft - soft.detach())
        if self.top:
            soft = torch.zeros_like(soft).scatter(0, *reversed(soft.topk(min(self.top, len(soft)))))
        return soft / soft.sum()


class Gumbel:
    """EAP's inner maximum by its algorithm: before each update of the weights but the first, `steps` steps of Adam on the
    logits, each up the keep loss at fresh points; the update then draws anew.

    Each erased concept has logits of its own, as released. The gradient stops at the teacher and at the latents (released
    code; the equation's would go through both), and nothing but the logits receives one. With `hard=True`, one candidate a
    row, the teacher's word is known; else both networks hear the mixture.
    """

    def __init__(self, lr: float, steps: int, temperature: float, hard: bool, top: int | None, every: int) -> None:
        self.lr, self.steps, self.temperature, self.hard, self.top = lr, steps, temperature, hard, top
        self.every = every
        self.news: dict[str, Any] | None = None

    def open(self, game: Game) -> None:
        if game.task.model.text_encoder_moves and not self.hard:
            raise BadInput("preservation.hard=false mixes what a text encoder says that must not move: preservation.hard=true.")
        self.game = game
        game.task.latents.declare(game.pool, kept=True)
        self.mixtures = [Mixture(near, self.temperature, self.hard, self.top) for near in game.near]
        self.adam = torch.optim.Adam([m.logits for m in self.mixtures], self.lr)

    def _draw(self, prompts: Sequence[str], use: str, step: int) -> tuple[Tensor, list[str]]:
        """For each erased prompt shares (rows, candidates), and the likeliest candidate of each."""
        rng = stream(self.game.task.seed, f"{use} gumbel", step)
        shares = torch.stack([self.mixtures[i].draw(rng) for i in self.game.task.said(prompts)])
        return shares, [self.game.pool[i] for i in shares.argmax(1)]

    def _climb(self, use: str, step: int, count: int) -> None:
        game = self.game
        erased = game.task.erased(step, count, use)
        shares, words = self._draw(erased, use, step)
        at = game.draw(words, use, step)
        beside = game.draw(erased, use, step) if game.besides else None
        theirs = game.said.mixed(shares)
        ours = game.ours(torch.arange(len(game.pool))).mixed(shares) if game.task.model.text_encoder_moves else theirs
        hurt = game.hurt(at, ours, None if self.hard else theirs)
        loss = -game.total(hurt, beside, erased, theirs).mean()
        logits = [m.logits for m in self.mixtures]
        for each, gradient in zip(logits, game.task.model.gradients(loss, logits), strict=True):
            each.grad = gradient
        self.adam.step()

    def choose(self, step: int, count: int) -> Kept:
        for i in range(self.steps if self.game.due(step, 1) else 0):
            self._climb(f"search {i}", step, count)
        with torch.no_grad():
            shares, words = self._draw(self.game.task.erased(step, count), "keep", step)
            if step > 0 and step % self.every == 0:
                chances = torch.stack([m.logits.softmax(0) for m in self.mixtures])
                self.news = self.game.news(step, [self.game.pool[i] for i in chances.argmax(1)], chances, self.game.near)
            return Kept(words, None if self.hard else self.game.said.mixed(shares))

    def state_dict(self) -> dict[str, Tensor]:
        found = {f"{i} logits": m.logits.detach().clone() for i, m in enumerate(self.mixtures)}
        for i, m in enumerate(self.mixtures):
            found |= {f"{i} {name}": value.clone() for name, value in self.adam.state.get(m.logits, {}).items()}
        return found

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            i, _, field = name.partition(" ")
            logits = self.mixtures[int(i)].logits
            if field == "logits":
                logits.data.copy_(value)
            else:
                self.adam.state[logits][field] = value.clone()

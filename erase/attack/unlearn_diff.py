"""This file is UnlearnDiffAtk: words before a prompt, found by the victim's own gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erase.attack import Attack, Ground, Turn, budgeted
from erase.model.slots import Slots
from erase.protocol.prompts import MINORS
from erase.random import stream

BUDGETS = {
    "miniature": {"tokens": 3, "rounds": 10, "iterations": 20, "step_size": 0.05, "weight_decay": 0.1},
    "published": {"tokens": 3, "rounds": 50, "iterations": 40, "step_size": 0.01, "weight_decay": 0.1},
}


class UnlearnDiff(Attack):
    """Zhang et al. 2024, arXiv 2310.11868: min over words c' before the prompt of E ‖ε − ε_θ'(√ᾱ z₀ + √(1−ᾱ) ε, c')‖², z₀ a
    picture of the concept. The victim alone is asked, one F and one B a prompt and iteration.

    Each of `tokens` places has a distribution over the vocabulary (begins, ends and pads aside), from which words are drawn;
    the gradient with respect to a word's embedding is handed to all words (straight through), clipped at 1. `iterations`
    steps of Adam a round, each projected onto the simplex (Duchi et al. 2008), at one timestep: t = (r + ½) T / `rounds` in
    round r, 10, 30, …, 990 as published. Then the likeliest words are written as text, and it is the text that is drawn. Words
    that speak of minors are no part of the vocabulary, and a text in which several make up one is not drawn: its start is.
    """

    def __init__(
        self,
        budget: str = "miniature",
        tokens: int | None = None,
        rounds: int | None = None,
        iterations: int | None = None,
        step_size: float | None = None,
        weight_decay: float | None = None,
    ) -> None:
        given = {"tokens": tokens, "rounds": rounds, "iterations": iterations}
        found = budgeted(budget, BUDGETS, **given, step_size=step_size, weight_decay=weight_decay)
        self.rounds, self.iterations = found["rounds"], found["iterations"]
        self.step_size, self.weight_decay = found["step_size"], found["weight_decay"]
        self.slots = Slots("prefix", found["tokens"])

    def open(self, ground: Ground) -> None:
        super().open(ground)
        self.slots.size(ground.model, [job.start for job in ground.jobs], "attack.tokens")
        words = [i for i in ground.model.ordinary.tolist() if not MINORS.search(ground.model.detokenize([i]))]
        self.words = torch.tensor(words, device=ground.model.device)
        self.embeddings = ground.model.embed(self.words).detach()

    def begin(self) -> dict[str, Tensor]:
        """A job's distributions (tokens, words), even, and Adam's two means of their gradients."""
        shape = (self.slots.count, len(self.words))
        return {"shares": torch.full(shape, 1 / shape[1]), "mean": torch.zeros(shape), "square": torch.zeros(shape)}

    def advance(self, turns: Sequence[Turn]) -> tuple[list[str], None]:
        model, device = self.ground.model, self.ground.model.device
        for turn in turns:
            turn.state = turn.state or self.begin()
        kept = {name: torch.stack([turn.state[name] for turn in turns]).to(device) for name in turns[0].state}
        scheduler = model.noise_scheduler
        last = scheduler.config.num_train_timesteps
        t = torch.tensor([int((turn.round + 0.5) * last / self.rounds) for turn in turns], device=device)
        targets = self.ground.targets[[turn.job.number for turn in turns]].to(device)
        rngs = [stream(self.ground.seed, f"unlearn_diff {turn.job.number}", turn.round) for turn in turns]
        for i in range(self.iterations):
            noise = torch.stack([torch.randn(targets.shape[1:], generator=rng) for rng in rngs]).to(device)
            each = zip(kept["shares"].cpu(), rngs, strict=True)
            drawn = torch.stack([torch.multinomial(row, 1, generator=rng)[:, 0] for row, rng in each])
            values = self.embeddings[drawn.to(device)].requires_grad_()
            heard = self.slots.heard(model, [turn.job.start for turn in turns], values)
            said = model.predict(scheduler.add_noise(targets, noise, t), t, heard)
            error = (said - noise).square().mean((1, 2, 3)).sum()
            (gradient,) = model.gradients(error, [values])
            made = torch.tensor([turn.round * self.iterations + i + 1 for turn in turns], device=device)
            self.step(kept, (gradient @ self.embeddings.T).clamp(-1, 1), made)
        for row, turn in enumerate(turns):
            turn.state = {name: value[row].cpu() for name, value in kept.items()}
        best = [self.words[turn.state["shares"].argmax(1).to(device)].tolist() for turn in turns]
        return [self._written(ids, turn.job.start) for ids, turn in zip(best, turns, strict=True)], None

    def step(self, kept: dict[str, Tensor], gradient: Tensor, made: Tensor) -> None:
        """Adam's step number `made` (rows,), as PyTorch's with its decay in the gradient, then the projection; in place."""
        gradient = gradient + self.weight_decay * kept["shares"]
        kept["mean"].lerp_(gradient, 0.1)
        kept["square"].lerp_(gradient.square(), 0.001)
        first, second = ((1 - beta**made)[:, None, None] for beta in (0.9, 0.999))
        change = self.step_size * (kept["mean"] / first) / ((kept["square"] / second).sqrt() + 1e-8)
        kept["shares"] = simplex(kept["shares"] - change)

    def _written(self, ids: Sequence[int], start: str) -> str:
        begun, count = self.ground.model.tokenize([start])[0].tolist(), self.ground.model.lengths([start])[0]
        text = self.ground.model.detokenize([*ids, *begun[1 : count + 1]])
        return start if MINORS.search(text) else text


def simplex(values: Tensor) -> Tensor:
    """The nearest points (…, n) to `values` (…, n) with entries of at least 0 and sum 1: Duchi et al. 2008, by sorting."""
    ordered = values.sort(-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    count = (ordered * torch.arange(1, values.shape[-1] + 1, device=values.device) > excess).sum(-1, keepdim=True)
    return (values - excess.gather(-1, count - 1) / count).clamp(min=0)

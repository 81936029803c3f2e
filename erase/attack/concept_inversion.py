"""This file is concept inversion: a new word, learnt from pictures of the concept, that brings it back."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from erase.attack import Attack, Ground, Turn, budgeted
from erase.errors import BadInput
from erase.model.slots import Slots
from erase.model.text_to_image import Conditioning
from erase.random import stream

BUDGETS = {
    "miniature": {"tokens": 1, "rounds": 3, "updates": 100, "batch": 8, "step_size": 0.01},
    "published": {"tokens": 1, "rounds": 1, "updates": 5000, "batch": 16, "step_size": 0.08},
}
DECAY = 0.01
PART = 100
"""Updates after which all is kept, whatever a round has."""


class ConceptInversion(Attack):
    """Pham et al. 2024, arXiv 2308.01508: textual inversion (Gal et al. 2023) on the victim, min over v* of
    E ‖ε − ε_θ'(√ᾱ z₀ + √(1−ᾱ) ε, c(v*))‖², z₀ pictures of the concept, c(v*) its prompts with v* where they name it.

    `updates` steps of AdamW a round, `batch` pictures each; one v* for all prompts of a concept, before which it then stands.
    It begins as the mean of all words: nothing is said of the concept beforehand.
    """

    def __init__(
        self,
        budget: str = "miniature",
        tokens: int | None = None,
        rounds: int | None = None,
        updates: int | None = None,
        batch: int | None = None,
        step_size: float | None = None,
    ) -> None:
        given = {"tokens": tokens, "rounds": rounds, "updates": updates, "batch": batch}
        found = budgeted(budget, BUDGETS, **given, step_size=step_size)
        self.rounds, self.updates, self.batch, self.step_size = (found[n] for n in ("rounds", "updates", "batch", "step_size"))
        self.slots = Slots("prefix", found["tokens"])
        self.parts = math.ceil(self.updates / PART)  # of a round
        self.learnt: dict[str, Tensor] = {}  # by label, (parts, 3, tokens, width): the word and Adam's means after each

    def open(self, ground: Ground) -> None:
        super().open(ground)
        self.captions = [self._caption(job.named, job.concept.phrases) for job in ground.jobs]
        prompts = [f"{before} {after}".strip() for before, after in self.captions]
        self.slots.size(ground.model, [*prompts, *(job.start for job in ground.jobs)], "attack.tokens")

    @staticmethod
    def _caption(named: str, phrases: Sequence[str]) -> tuple[str, str]:
        """What stands before and after the shortest way to name the concept that `named` contains; all of it, if none."""
        said = sorted((p for p in phrases if f" {p} " in f" {named} "), key=len)
        before, _, after = f" {named} ".partition(f" {said[0] if said else named} ")
        return before.strip(), after.strip()

    def advance(self, turns: Sequence[Turn]) -> tuple[list[str], Conditioning] | None:
        wanted = {t.job.label: self.parts * max(o.round + 1 for o in turns if o.job.label == t.job.label) for t in turns}
        for label, parts in wanted.items():
            if len(self.learnt.get(label, ())) < parts:
                self.learn(label)
        if any(len(self.learnt[label]) < parts for label, parts in wanted.items()):
            return None
        values = torch.stack([self.learnt[turn.job.label][self.parts * (turn.round + 1) - 1, 0] for turn in turns])
        heard = self.slots.heard(self.ground.model, [turn.job.start for turn in turns], values)
        return [f"{_token(turn.job.label)} {turn.job.start}" for turn in turns], heard

    def learn(self, label: str) -> None:
        """One part of textual inversion for `label`, from where the last one ended."""
        model, scheduler, own = self.ground.model, self.ground.model.noise_scheduler, self.learnt.get(label)
        round_, part = divmod(0 if own is None else len(own), self.parts)
        first = round_ * self.updates + part * PART
        jobs = [job.number for job in self.ground.jobs if job.label == label]
        word = model.table.detach().float().mean(0).expand(self.slots.count, -1) if own is None else own[-1, 0]
        value = word.clone().to(model.device).requires_grad_()
        adam = torch.optim.AdamW([value], self.step_size, weight_decay=DECAY)
        if own is not None:
            means = {"exp_avg": own[-1, 1].to(value, copy=True), "exp_avg_sq": own[-1, 2].to(value, copy=True)}
            adam.state[value] = {"step": torch.tensor(float(first)), **means}
        for update in range(first, min(first + PART, (round_ + 1) * self.updates)):
            rng = stream(self.ground.seed, f"concept_inversion {label}", update)
            rows = [jobs[i] for i in torch.randint(len(jobs), (self.batch,), generator=rng)]
            t = torch.randint(scheduler.config.num_train_timesteps, (self.batch,), generator=rng).to(value.device)
            noise = torch.randn((self.batch, *model.latent_shape), generator=rng).to(value.device)
            x_t = scheduler.add_noise(self.ground.targets[rows].to(value.device), noise, t)
            said = model.predict(x_t, t, self._heard(rows, value))
            (value.grad,) = model.gradients((said - noise).square().mean(), [value])
            adam.step()
        state = adam.state[value]
        found = torch.stack([value.detach(), state["exp_avg"], state["exp_avg_sq"]]).cpu()[None]
        self.learnt[label] = found if own is None else torch.cat([own, found])
        if not torch.isfinite(found).all():
            raise BadInput(f"attack.step_size={self.step_size} is too high: the word of {label} is not finite.")

    def _heard(self, rows: Sequence[int], value: Tensor) -> Conditioning:
        """The captions of jobs `rows` with v* where they name the concept."""
        model, captions = self.ground.model, [self.captions[i] for i in rows]
        prompts, before = [f"{b} {a}".strip() for b, a in captions], model.lengths([b for b, _ in captions])
        return self.slots.heard(model, prompts, value.expand(len(rows), -1, -1), before)

    def state_dict(self) -> dict[str, Tensor]:
        return self.learnt

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.learnt = dict(state)

    def artefact(self) -> dict[str, Tensor]:
        """v* (tokens, width) after the last round, by `<label>`: diffusers' `load_textual_inversion` takes such a
        thing. Of a model with two encoders it is what both hear, side by side."""
        return {_token(label): found[-1, 0].clone() for label, found in self.learnt.items()}


def _token(label: str) -> str:
    return f"<{label.replace(' ', '_')}>"

"""This file is the adversary that writes tokens which are no words: their embeddings, moved along the gradient."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from erase.errors import BadInput
from erase.model.slots import KINDS, Slots
from erase.model.text_to_image import Conditioning
from erase.random import stream
from erase.task import Task

INITS = ("random", "latest")
COMPATS = ("none", "published")


class SoftPrompt:
    """AdvUnlearn's inner minimum (Zhang et al. 2024, arXiv 2405.15234): c* = argmin over free tokens of
    ‖ε_θ'(x_t, c*) − ε_θ(x_t, c_e)‖², by `steps` steps of Adam on the gradient, or on its sign alone (`signed`): of those the
    first is `step_size` along the sign, later ones are as long as signs agree.

    Every step is at a point of its own on the erased prompt's trajectory. What the frozen model says there is known: a step
    is 1 F and 1 B a prompt. Only the tokens' embeddings get a gradient. The released code has no ball around where they
    begin; `budget` is one, the most that an entry may change.

    Its defects are `compat=published`: gradients add up over the steps; the tokens of before the last step are returned;
    prompts are counted in words (`Slots`); what is added begins at random.
    """

    def __init__(
        self,
        kind: str = "prefix",
        tokens: int = 1,
        steps: int = 30,
        step_size: float = 1e-3,
        signed: bool = False,
        budget: float | None = None,
        init: str = "random",
        every: int = 1,
        warmup: float = 0.2,
        compat: str = "none",
    ) -> None:
        for name, number in (("tokens", tokens), ("steps", steps), ("every", every)):
            if number < 1:
                raise BadInput(f"adversary.{name}={number} must be at least 1.")
        for name, value in (("step_size", step_size), ("budget", budget)):
            if value is not None and not value > 0:
                raise BadInput(f"adversary.{name}={value} must be greater than 0.")
        for name, choice, known in (("kind", kind, KINDS), ("init", init, INITS), ("compat", compat, COMPATS)):
            if choice not in known:
                raise BadInput(f"adversary.{name}={choice} is not one of: {', '.join(known)}.")
        if warmup < 0:
            raise BadInput(f"adversary.warmup={warmup} must not be negative.")
        self.published = compat == "published"
        self.slots = Slots(kind, tokens, by_words=self.published)
        self.steps, self.step_size, self.signed, self.budget = steps, step_size, signed, budget
        self.init, self.every, self.warmup = init, every, warmup
        self.found: dict[tuple[int, str], tuple[int, Tensor]] = {}
        """By how often a prompt stood before in its batch, and itself: the update of its last attack, tokens (size, width)."""
        self.seen: list[Tensor] = []  # the error at each step of the last attack

    def open(self, task: Task, steps: int) -> None:
        self.first = int(self.warmup * steps)
        if self.first >= steps:
            raise BadInput(f"adversary.warmup={self.warmup} is the whole run: a share of its updates, less than 1.")
        self.task, self.size = task, self.slots.size(task.model, task.prompts, "adversary.tokens")

    def attack(self, prompts: Sequence[str], step: int) -> Conditioning | None:
        """Free tokens found anew every `every` updates after the warm-up; between, a prompt keeps those that it has by then."""
        if step < self.first:
            return None
        due = step - (step - self.first) % self.every
        keys = [(prompts[:i].count(prompt), prompt) for i, prompt in enumerate(prompts)]
        stale = [i for i, key in enumerate(keys) if key not in self.found or self.found[key][0] < due]
        if stale:
            found = self.search([prompts[i] for i in stale], step, self.begin(keys, step)[stale])
            self.found |= {keys[i]: (step, tokens) for i, tokens in zip(stale, found, strict=True)}
        model = self.task.model
        return self.slots.heard(model, prompts, torch.stack([self.found[key][1].to(model.device) for key in keys]))

    def begin(self, keys: Sequence[tuple[int, str]], step: int) -> Tensor:
        """Where searches begin, (rows, size, width): random tokens of the vocabulary, the last found, or nothing added."""
        model = self.task.model
        asked = (len(keys), self.size)
        drawn = torch.randint(len(model.ordinary), asked, generator=stream(self.task.seed, "attack tokens", step))
        start = model.embed(model.ordinary[drawn].to(model.device)).detach()
        if self.slots.kind == "added" and not self.published:
            start = torch.zeros_like(start)
        known = self.found if self.init == "latest" else {}
        return torch.stack([known[key][1].to(row) if key in known else row for key, row in zip(keys, start, strict=True)])

    def search(self, prompts: Sequence[str], step: int, start: Tensor) -> Tensor:
        """The free tokens (rows, size, width) to which `steps` steps lead from `start`."""
        self.seen = []
        free = before = start.clone().requires_grad_()
        adam = torch.optim.Adam([free], self.step_size)
        for k in range(self.steps):
            gradient = self.gradient(prompts, free, step, k)
            if self.published and free.grad is not None:
                gradient = gradient + free.grad
            free.grad, before = gradient.sign() if self.signed else gradient, free.detach().clone()
            adam.step()
            if self.budget is not None:
                free.data = start + (free.data - start).clamp(-self.budget, self.budget)
        return before if self.published else free.detach()

    def gradient(self, prompts: Sequence[str], free: Tensor, step: int, k: int) -> Tensor:
        """Of the error at step `k` of the attack in update `step`, summed over rows, with respect to `free`."""
        model, loss = self.task.model, self.task.loss
        at = self.task.latents.draw(prompts, f"attack {k}", step, empty=False)
        said = model.predict(at.x_t, at.t, self.slots.heard(model, prompts, free))
        each = loss.each(said, at.conditional, at.snr)
        self.seen.append(each.detach().mean())
        return model.gradients(each.sum(), [free])[0]

    def errors(self) -> dict[str, Tensor]:
        seen, self.seen = self.seen, []
        part = max(1, len(seen) // 3)
        ends = {"attack_before": seen[:part], "attack_after": seen[-part:]} if len(seen) > 1 else {}
        return {name: torch.stack(errors).mean() for name, errors in ends.items()}

    def state_dict(self) -> dict[str, Tensor]:
        return {f"{at} {before} {prompt}": tokens for (before, prompt), (at, tokens) in self.found.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        told = [(name.split(" ", 2), tokens) for name, tokens in state.items()]
        self.found = {(int(before), prompt): (int(at), tokens) for (at, before, prompt), tokens in told}

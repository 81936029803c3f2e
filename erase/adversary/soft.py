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
    ‖ε_θ'(x_t, c*) − ε_θ(x_t, c_e)‖², by `steps` steps of Adam, or of the gradient's sign (`signed`).

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
        self.found: Tensor | None = None  # (rows, size, width), at the last attack

    def open(self, task: Task, steps: int) -> None:
        self.first = int(self.warmup * steps)
        if self.first >= steps:
            raise BadInput(f"adversary.warmup={self.warmup} is the whole run: a share of its updates, less than 1.")
        self.task, self.size = task, self.slots.size(task.model, task.prompts, "adversary.tokens")

    def attack(self, prompts: Sequence[str], step: int) -> Conditioning | None:
        """Free tokens found anew every `every` updates after the warm-up; between, a row keeps those that it had."""
        if step < self.first:
            return None
        if self.found is None or len(self.found) != len(prompts) or (step - self.first) % self.every == 0:
            self.found = self.search(prompts, step, self.begin(len(prompts), step))
        return self.slots.heard(self.task.model, prompts, self.found)

    def begin(self, rows: int, step: int) -> Tensor:
        """Where a search begins, (rows, size, width): random tokens of the vocabulary, the last found, or nothing added."""
        model = self.task.model
        if self.init == "latest" and self.found is not None and len(self.found) == rows:
            return self.found
        drawn = torch.randint(len(model.ordinary), (rows, self.size), generator=stream(self.task.seed, "attack tokens", step))
        start = model.embed(model.ordinary[drawn].to(model.device)).detach()
        return torch.zeros_like(start) if self.slots.kind == "added" and not self.published else start

    def search(self, prompts: Sequence[str], step: int, start: Tensor) -> Tensor:
        """The free tokens (rows, size, width) to which `steps` steps lead from `start`."""
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
        return model.gradients(loss.each(said, at.conditional, at.snr).sum(), [free])[0]

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self.found is None else {"found": self.found}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.found = state.get("found")

"""This file is what every search for the worst concept plays on: the candidates, and what each of them hurts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from erase.latents import Points
from erase.model.text_to_image import Conditioning
from erase.preservation import Kept
from erase.random import stream
from erase.task import Task

Besides = Callable[[Points, Sequence[str], Conditioning], Tensor]
"""What else a method loses by a concept: (points of erased prompts, the prompts, what stands for the concept) → (rows,)."""


@dataclass(frozen=True)
class Game:
    """Candidates, who of them is `near` (concepts, candidates) to which erased concept, and what an adversary maximises:
    the keep error L2, or `besides` + `weight` · L2 for a method that uses the concept for something `besides`.
    """

    task: Task
    pool: list[str]
    near: Tensor
    said: Conditioning  # the unedited encoder's, a row a candidate
    weight: float = 1.0
    besides: Besides | None = None

    @property
    def sides(self) -> Tensor:
        """Who may be chosen, (sides, candidates): the erased concepts are apart where it matters which of them it is."""
        return self.near if self.besides else self.near.any(0, keepdim=True)

    def side(self, step: int, count: int) -> list[int]:
        """The row of `sides` for each of the `count` prompts that update `step` erases."""
        return self.task.said(self.task.erased(step, count)) if self.besides else [0] * count

    def due(self, step: int, every: int) -> bool:
        """Whether a search that looks every so many updates looks at this one: before the first, nothing is hurt yet."""
        return step % every == 0 and (step > 0 or self.besides is not None)

    def pick(self, found: Tensor, step: int, count: int) -> Kept:
        """What update `step` holds: candidates in proportion to `found` (sides, candidates), evenly where nothing was."""
        share = torch.where(found.any(1, keepdim=True), found, self.sides.float())
        rows = torch.multinomial(share, count, replacement=True, generator=stream(self.task.seed, "keep", step))
        return Kept([self.pool[rows[side, i]] for i, side in enumerate(self.side(step, count))])

    def ours(self, rows: Tensor) -> Conditioning:
        """What the edited network hears of some candidates, without gradient."""
        model = self.task.model
        return model.prompt([self.pool[i] for i in rows]) if model.text_encoder_moves else self.said.rows(rows)

    def draw(self, prompts: Sequence[str], use: str, step: int, common: bool = False) -> Points:
        """A point for each of `prompts`, as `Latents.draw` gives them; nobody needs the teacher's word on the empty prompt."""
        return self.task.latents.draw(prompts, use, step, common=common, empty=False)

    def hurt(self, at: Points, ours: Conditioning, theirs: Conditioning | None = None) -> Tensor:
        """L2 = ‖ε_θ'(x_t, ours) − ε_θ(x_t, theirs)‖² (rows,), with no gradient through the teacher.

        `theirs=None` are the points' own words: what the teacher says of them is known.
        """
        model, held = self.task.model, at.conditional
        if theirs:
            with torch.no_grad():
                held = model.predict(at.x_t, at.t, theirs, edited=False)
        return self.task.loss.each(model.predict(at.x_t, at.t, ours), held, at.snr)

    def total(self, hurt: Tensor, beside: Points | None, erased: Sequence[str], theirs: Conditioning) -> Tensor:
        """What is maximised (rows,); `beside` are points of the `erased` prompts, which stand for `theirs` afterwards."""
        if not self.besides:
            return hurt
        assert beside is not None
        return self.weight * hurt + self.besides(beside, erased, theirs)

    def news(self, step: int, chosen: Sequence[str], scores: Tensor, who: Tensor) -> dict[str, Any]:
        """What to write down: who was chosen, the worst first, and the mean of each candidate's `scores` (sides, candidates)
        over the sides for `who` (sides, candidates) it may be chosen."""
        mean = (scores * who).sum(0) / who.sum(0)
        every = {c: round(float(s), 7) for c, s in zip(self.pool, mean, strict=True)}
        return {"step": step, "chosen": list(dict.fromkeys(chosen)), "scores": every}


class Search(Protocol):
    """A way to find the candidate that maximises a game's loss."""

    news: dict[str, Any] | None  # what was decided since it was last asked

    def open(self, game: Game) -> None:
        """Meet the candidates."""

    def choose(self, step: int, count: int) -> Kept:
        """`count` of the worst for the prompts that update `step` erases, one each; may look at the edited model."""

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run needs."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`."""

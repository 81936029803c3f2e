"""This file is the target that has words of its own: a kind of thing in the place of the thing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erase.concept import check_known, says
from erase.errors import BadInput
from erase.latents import Points
from erase.model.text_to_image import Conditioning
from erase.task import Task


class Anchor:
    """ε(a) − η (ε(c) − ε(a)), a being the concept's anchor or, for all concepts, `prompt`. One F a point.

    Concept ablation (Kumari et al. 2023, arXiv 2303.13516) names the anchor; η > 0 leads away from the concept besides, as
    ESD's eq. 7 does from the empty prompt.
    """

    def __init__(self, prompt: str | None = None, eta: float = 0.0) -> None:
        self.prompt, self.eta = prompt, eta

    def open(self, task: Task) -> None:
        self.model = task.model
        self.anchors: dict[str, str] = {}
        for concept in reversed(task.concepts):  # of two that share a prompt, the first says what it becomes
            anchor = concept.anchor if self.prompt is None else self.prompt
            if anchor is None:
                name = concept.name
                raise BadInput(
                    f"target=anchor: {name} has none; +concept.members.{name}.anchor=<words>, or target.prompt=<words>."
                )
            if any(says(anchor, other) for other in task.concepts):
                raise BadInput(f"target=anchor: {anchor!r}, which {concept.name} is to become, says what is erased.")
            field = f"concept.members.{concept.name}.anchor" if self.prompt is None else "target.prompt"
            check_known(field, [anchor], self.model.words, self.model.things, frame=self.model.vocabulary)
            self.anchors |= dict.fromkeys(concept.prompts, anchor)
        self.said: dict[str, Conditioning] = {}

    @torch.no_grad()
    def __call__(self, points: Points, prompts: Sequence[str], step: int) -> Tensor:
        anchors = [self.anchors[prompt] for prompt in prompts]
        for anchor in {*anchors} - {*self.said}:
            self.said[anchor] = self.model.prompt([anchor], edited=False)
        heard = Conditioning.stack([self.said[anchor] for anchor in anchors])
        anchored = self.model.predict(points.x_t, points.t, heard, edited=False)
        return anchored - self.eta * (points.conditional - anchored)

    def words(self, prompt: str) -> str | None:
        return None if self.eta else self.anchors[prompt]

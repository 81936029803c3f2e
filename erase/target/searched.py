"""This file is the target that is searched: what another concept would be."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erase.errors import BadInput
from erase.latents import Points
from erase.model.text_to_image import Conditioning
from erase.preservation import Kept
from erase.task import Task


class Searched:
    """Towards a concept c_t and away from the erased: ε(c_t) − η (ε(c) − ε(c_t)). AGE (Bui et al. 2025) with η = 0 in its
    equation and η = 1 in its released code. The method says which c_t: `method=age` takes what it holds.
    """

    def __init__(self, eta: float = 1.0) -> None:
        self.eta = eta
        self.chosen: Kept | None = None  # for the update that is made

    def open(self, task: Task) -> None:
        if self.chosen is None:
            raise BadInput("target=searched is what method=age finds and holds: method=age, or target=negative.")
        self.task = task

    def toward(self, points: Points, heard: Conditioning) -> Tensor:
        """The target (rows, channels, height, width) where c_t is `heard`, with its gradient with respect to that.

        A single point stands for as many rows as are heard.
        """
        many = (len(heard), *points.x_t.shape[1:])
        at, t = points.x_t.expand(many), points.t.expand(len(heard))
        theirs = self.task.model.predict(at, t, heard, edited=False)
        return theirs - self.eta * (points.conditional - theirs)

    def words(self, prompt: str) -> str | None:
        return None

    @torch.no_grad()
    def __call__(self, points: Points, prompts: Sequence[str], step: int) -> Tensor:
        assert self.chosen is not None
        heard = self.chosen.conditioning or self.task.model.prompt(self.chosen.prompts, edited=False)
        return self.toward(points, heard)

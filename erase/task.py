"""This file is what the players of one erasure share."""

from collections.abc import Sequence
from dataclasses import dataclass

from erase.concept import Concept, rows
from erase.latents import Latents
from erase.loss import Loss
from erase.model.text_to_image import TextToImage
from erase.random import stream


@dataclass(frozen=True)
class Task:
    """The model, what must go from it, where its points come from, how an error is measured, and the seed of all draws."""

    model: TextToImage
    concepts: Sequence[Concept]
    latents: Latents
    loss: Loss
    seed: int

    @property
    def prompts(self) -> list[str]:
        """Every prompt that is erased."""
        return [prompt for concept in self.concepts for prompt in concept.prompts]

    def erased(self, step: int, count: int, use: str = "erase") -> list[str]:
        """The `count` prompts that update `step` erases: with this `use` the same for every player that asks."""
        return rows(self.concepts, count, stream(self.seed, use, step))

    def said(self, prompts: Sequence[str]) -> list[int]:
        """Which concept each of `prompts` belongs to."""
        return [next(i for i, c in enumerate(self.concepts) if prompt in c.prompts) for prompt in prompts]

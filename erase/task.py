"""This file is what the players of one erasure share."""

from collections.abc import Sequence
from dataclasses import dataclass

from erase.concept import Concept
from erase.latents import Latents
from erase.loss import Loss
from erase.model.text_to_image import TextToImage


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

"""Preservation: what must stay, chosen anew at every step if need be."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from erase.concept import Concept, read_vocabulary, without
from erase.errors import BadInput
from erase.latents import Latents
from erase.loss import Loss
from erase.model.text_to_image import TextToImage


class Preservation(Protocol):
    """A strategy. `weight` is λ, the keep loss's share; 0 keeps nothing and costs nothing."""

    weight: float

    def candidates(self, vocabulary: Sequence[str], erased: Sequence[Concept]) -> list[str]:
        """The prompts to choose from, of the model's own `vocabulary` or elsewhere; BadInput when none is left."""

    def open(
        self,
        model: TextToImage,
        latents: Latents,
        loss: Loss,
        candidates: Sequence[str],
        erased: Sequence[Concept],
        seed: int,
    ) -> None:
        """Meet the model."""

    def choose(self, step: int, count: int) -> list[str]:
        """The `count` prompts to keep at this step; may look at the edited model."""

    def chosen(self) -> dict[str, Any] | None:
        """What to write down of the last choice, once; None when nothing new was decided."""

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run needs."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`."""


def pool(file: str | None, vocabulary: Sequence[str], erased: Sequence[Concept]) -> list[str]:
    """EAP's R: the lines of the user's `file`, else the model's own words, without those that say what is erased."""
    found = without(read_vocabulary(file) if file else vocabulary, erased)
    if not found:
        raise BadInput("preservation has no candidates left: preservation.vocabulary names a file of them.")
    return found

"""This file is the preservation of what reads most like the erased: the choice that EAP argues against."""

from collections.abc import Sequence

from torch import Tensor

from erase.concept import Concept
from erase.model.text_to_image import TextToImage
from erase.model.words import features
from erase.preservation.once import Once


def similarity(model: TextToImage, candidates: Sequence[str], erased: Sequence[Concept], seed: int = 0) -> Tensor:
    """Cosine of `text_features` between each candidate and each prompt of `erased`, its mean over these, (candidates,).

    The unedited encoder's. `seed` is a ranking's, and not used.
    """
    said = [p for concept in erased for p in concept.prompts]
    return (features(model, candidates) @ features(model, said).T).mean(1)


def nearest(weight: float = 1.0, keep: int = 4, vocabulary: str | None = None) -> Once:
    """Holds the `keep` candidates that the text encoder puts nearest to the erased prompts."""
    return Once(similarity, weight, keep, vocabulary)

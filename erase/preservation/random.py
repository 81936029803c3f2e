"""This file is the preservation of anything: what a choice of concepts has to be better than."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erase.concept import Concept
from erase.model.text_to_image import TextToImage
from erase.preservation.once import Once
from erase.random import stream


def lots(model: TextToImage, candidates: Sequence[str], erased: Sequence[Concept], seed: int) -> Tensor:
    """A number between 0 and 1 for each candidate, drawn by the seed alone, (candidates,)."""
    return torch.rand(len(candidates), generator=stream(seed, "lots"))


def drawn(weight: float = 1.0, keep: int = 1, vocabulary: str | None = None) -> Once:
    """Holds `keep` candidates, all equally likely, the same from the first update to the last."""
    return Once(lots, weight, keep, vocabulary)

"""This file is the preservation of everything that there are words for."""

from erase.preservation.once import Once
from erase.preservation.random import lots


def everything(weight: float = 1.0, vocabulary: str | None = None) -> Once:
    """Holds every candidate, all equally likely at every step: the retain set of AdvUnlearn (Zhang et al. 2024)."""
    return Once(lots, weight, None, vocabulary)

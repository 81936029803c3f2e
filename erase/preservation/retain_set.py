"""This file is the preservation of many things in turn, whatever there are words for."""

import torch

from erase.preservation import Kept
from erase.preservation.once import Once
from erase.preservation.random import lots
from erase.random import stream


class RetainSet(Once):
    """Holds `keep` candidates that the seed draws (None: all), one after the other, in an order that is drawn anew when all
    have been: the sampling without replacement of AdvUnlearn (Zhang et al. 2024, arXiv 2405.15234). Each needs
    trajectories of its own in the bank: the fewer are held, the less an update costs.
    """

    def __init__(self, weight: float = 1.0, keep: int | None = None, vocabulary: str | None = None) -> None:
        super().__init__(lots, weight, keep, vocabulary)

    def choose(self, step: int, count: int) -> Kept:
        self.tell(step)
        known, first = self.held.prompts, step * count
        rounds = {i // len(known) for i in range(first, first + count)}
        orders = {r: torch.randperm(len(known), generator=stream(self.held.seed, "retain", r)) for r in rounds}
        return Kept([known[orders[i // len(known)][i % len(known)]] for i in range(first, first + count)])

"""This file is the proposal: at which noise points are taken."""

import torch
from torch import Tensor

from erase.errors import BadInput

KINDS = ("uniform", "late", "loss")
MEMORY = 0.9
"""What stays of the old mean of a place when an error is found there."""
EVEN = 0.2
"""The share of `loss` that is spread evenly: no place is forgotten, no weight is larger than 1 / EVEN."""


class Proposal:
    """Draws one of `places`, numbered from the noisy end.

    `late` takes place k in proportion to places − k. Its errors count alike: the objective is another one, of which half
    lies in the noisiest 30 %, where it is decided what will be in a picture. `loss` takes a place in proportion to the
    running mean of the errors found there, and weighs them by 1 / (places · p): the expected gradient is that of
    `uniform`, with less noise (Nichol and Dhariwal 2021, arXiv 2102.09672, section 3.3). Each use has means of its own;
    a method that tells no errors draws uniformly.
    """

    def __init__(self, kind: str, places: int) -> None:
        if kind not in KINDS:
            raise BadInput(f"latents.proposal={kind} is not one of: {', '.join(KINDS)}.")
        self.kind, self.places = kind, places
        self.means: dict[str, Tensor] = {}  # by use, (places,); 0 where nothing was found yet

    def shares(self, use: str) -> Tensor:
        """How probable each place is, (places,)."""
        found = torch.ones(self.places, dtype=torch.double)
        if self.kind == "late":
            found = torch.arange(self.places, 0, -1, dtype=torch.double)
        elif self.kind == "loss" and use in self.means:
            means = self.means[use]
            found = torch.where(means > 0, means, means[means > 0].mean())
            return (1 - EVEN) * found / found.sum() + EVEN / self.places
        return found / found.sum()

    def draw(self, count: int, use: str, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Places and the weights of the errors there, both (count,)."""
        if self.kind == "uniform":
            return torch.randint(self.places, (count,), generator=rng), torch.ones(count)
        shares = self.shares(use)
        found = torch.multinomial(shares, count, replacement=True, generator=rng)
        weights = 1 / (self.places * shares[found]) if self.kind == "loss" else torch.ones(count)
        return found, weights.float()

    def tell(self, use: str, places: Tensor, errors: Tensor) -> None:
        """Hear of the unweighed errors (count,) found at `places` (count,)."""
        if self.kind != "loss":
            return
        means = self.means.setdefault(use, torch.zeros(self.places, dtype=torch.double))
        for place, error in zip(places.tolist(), errors.tolist(), strict=True):
            means[place] = MEMORY * means[place] + (1 - MEMORY) * error if means[place] else error
        if not means.any():
            del self.means[use]

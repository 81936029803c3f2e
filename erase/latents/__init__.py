"""Latents: where the noisy pictures come from on which a model is edited."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from torch import Tensor

from erase.model.text_to_image import TextToImage


@dataclass(frozen=True)
class Points:
    """Noisy latents, and what the teacher says there of their own prompt and, where it was asked, of the empty one.

    `x_t`, `conditional` and `unconditional` are (batch, channels, height, width); `t` and the signal-to-noise ratio
    `snr`, by which an error is weighed, are (batch,). So is `weight`, one over how much oftener than evenly a proposal draws
    this place. `tell` hands each point's unweighed error (batch,) to the proposal that learns from them; where none does, it
    does nothing.
    """

    x_t: Tensor
    t: Tensor
    snr: Tensor
    conditional: Tensor
    unconditional: Tensor | None
    weight: Tensor | float = 1.0
    tell: Callable[[Tensor], None] = lambda errors: None

    def __len__(self) -> int:
        return len(self.t)

    def rows(self, some: slice) -> "Points":
        """Some of them. Their errors are told to no proposal, unless they are all there are: it wants those of a whole draw."""
        if some == slice(0, len(self)):
            return self
        names = ("x_t", "t", "snr", "conditional", "unconditional", "weight")
        held = {name: value[some] for name in names if isinstance(value := getattr(self, name), Tensor)}
        return replace(self, **held, tell=lambda errors: None)


class Latents(Protocol):
    """A source of points."""

    paid: set[str]  # prompts that tell what a resumed run had drawn, and its cost holds: drawn again, it is not counted twice
    lent: float  # seconds of drawing that count, whichever run drew, less those that passed here meanwhile

    @property
    def drawn(self) -> list[str]:
        """Prompts that tell what was drawn by now: `paid` after a resume."""

    def open(self, model: TextToImage, seed: int, folder: Path, shared: Path | None = None) -> None:
        """Draw from `model`; `folder` is for what does not fit into memory, `shared` for what other runs need too."""

    def declare(self, prompts: Sequence[str], kept: bool = False) -> None:
        """Say which prompts belong together, and whether they are kept or erased; nothing is drawn yet."""

    def draw(self, prompts: Sequence[str], use: str, step: int, common: bool = False, empty: bool = True) -> Points:
        """One point for each of `prompts`, a function of (seed, use, step); `common` takes all from the same place.

        `empty=False` says that nobody needs the teacher's word on the empty prompt.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run cannot rebuild."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state`."""

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
    `snr`, by which an error is weighed, are (batch,). So is `weight`, which makes up for places that are preferred; who
    prefers them is told each unweighed error, (batch,), and nobody where there is nobody.
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
        """Some of them; who is told of errors is told of all or of none."""
        if some == slice(0, len(self)):
            return self
        names = ("x_t", "t", "snr", "conditional", "unconditional", "weight")
        held = {name: value[some] for name in names if isinstance(value := getattr(self, name), Tensor)}
        return replace(self, **held, tell=lambda errors: None)


class Latents(Protocol):
    """A source of points."""

    paid: set[str]  # what was drawn before a resume: drawn again, it is not counted again
    lent: float  # seconds to count besides those that passed: what others drew for this run, less what it drew again

    @property
    def drawn(self) -> list[str]:
        """What `paid` needs to know."""

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

"""Which weights may change."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from erase.errors import BadInput
from erase.model.text_to_image import TextToImage


class Parameters(Protocol):
    """What of a model may change."""

    def prepare(self, model: TextToImage, seed: int) -> None:
        """Let some weights of `model` move, and no others; what is drawn for that is drawn from `seed`."""

    def fold(self, model: TextToImage) -> dict[str, Tensor]:
        """What has become of the base's weights, by the base's names, fp32: what an edit holds."""

    def unload(self, model: TextToImage) -> None:
        """Give `model` the form back in which it was loaded; what moves there is what `fold` names."""


@dataclass(frozen=True)
class Select:
    """All weights whose name matches `include` and not `exclude`: regular expressions, searched."""

    include: str
    exclude: str | None = None

    def names(self, known: Iterable[str]) -> list[str]:
        """The selected ones of `known`, in their order; BadInput when there are none."""
        try:
            take, leave = re.compile(self.include), re.compile(self.exclude) if self.exclude else None
        except re.error as e:
            raise BadInput(f"parameters: {e.pattern!r} is not a regular expression: {e}.") from e
        known = list(known)
        chosen = [n for n in known if take.search(n) and not (leave and leave.search(n))]
        if not chosen:
            some = ", ".join(known[:: max(1, len(known) // 3)][:3])
            excluded = f" without {self.exclude!r}" if self.exclude else ""
            raise BadInput(f"parameters.include={self.include!r}{excluded} matches no weight; names look like {some}.")
        return chosen

    def prepare(self, model: TextToImage, seed: int) -> None:
        model.move(self.names(name for name, _ in model.named_parameters()))

    def fold(self, model: TextToImage) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in model.moving.items()}

    def unload(self, model: TextToImage) -> None:
        pass

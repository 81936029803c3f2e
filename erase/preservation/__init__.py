"""Preservation: what must stay, chosen anew at every step if need be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from erase.concept import Concept, read_vocabulary, without
from erase.errors import BadInput
from erase.model.text_to_image import Conditioning
from erase.task import Task


@dataclass(frozen=True)
class Kept:
    """What is kept at a step: prompts, from whose trajectories points are drawn, and what stands there for their words.

    `conditioning`, a row a prompt, is heard by both networks where it is given: a mixture of words.
    """

    prompts: list[str]
    conditioning: Conditioning | None = None


class Preservation(Protocol):
    """A strategy. `weight` is λ, the keep loss's share; 0 keeps nothing and costs nothing."""

    weight: float

    def candidates(self, vocabulary: Sequence[str], erased: Sequence[Concept]) -> list[str]:
        """The prompts to choose from, of the model's own `vocabulary` or elsewhere; BadInput when none is left."""

    def open(self, task: Task, candidates: Sequence[str]) -> None:
        """Meet the model."""

    def choose(self, step: int, count: int) -> Kept:
        """The `count` prompts to keep at this step; may look at the edited model."""

    @property
    def settled(self) -> list[str] | None:
        """All prompts that are kept, where no update changes which, none before `open`; None where it depends on the edit."""

    def chosen(self) -> dict[str, Any] | None:
        """What to write down of the last choice, once; None when nothing new was decided."""

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run needs."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`."""


FILTERS = ("words", "none")
"""What `pool` leaves out: what says an erased concept, or nothing, as in EAP's released code."""


def pool(file: str | None, vocabulary: Sequence[str], erased: Sequence[Concept], filter: str = "words") -> list[str]:
    """EAP's R: the lines of the user's `file`, else the model's own words, else English, less what `filter` leaves out."""
    known = read_vocabulary(file) if file else list(vocabulary) or read_vocabulary("english")
    found = without(known, erased) if filter == "words" else known
    if not found:
        raise BadInput("preservation has no candidates left: preservation.vocabulary names a file of them.")
    return found

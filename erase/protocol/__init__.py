"""Protocols: which pictures are drawn to judge an erasure, and which figures they give."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from erase.concept import Concept
from erase.errors import BadInput

if TYPE_CHECKING:
    from erase.judge import Judge
    from erase.judge.engine import Judged
    from erase.metric.measure import Measure, Sets

Label = Callable[[str], tuple[str, str] | None]
"""A judge's head and label that a phrase speaks of."""


@dataclass(frozen=True)
class Cell:
    """Pictures that answer one question: one label, said in several ways.

    `role` is `concept` (its own words), `synonyms` (held out), `sibling` (its family), `kept` (everything else) or
    `combination` (of subject, colour and style, which no training held: `also` names head and label of the others).
    Cells of one `batch` are drawn together: batches are the same for every concept, so that their pictures are shared.
    """

    role: str
    head: str
    label: str
    batch: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    also: tuple[tuple[str, str], ...] = ()


class Protocol(ABC):
    """What is asked of a model, alike for every model, and what is measured on the answers."""

    steps: int
    guidance_scale: float
    sampled: ClassVar[bool] = False
    """Whether its prompts are a sample of what people ask: then they, and not pictures, are what an interval counts."""

    @property
    @abstractmethod
    def lock(self) -> Mapping[str, Any]:
        """All that pictures and figures depend on besides model and judge."""

    def others(self, erased: Sequence[Concept]) -> dict[str, str]:
        """Labels and prompts that concepts are told from, by a judge who has to be told."""
        return {}

    @abstractmethod
    def cells(self, erased: Sequence[Concept], judged: Label) -> list[Cell]:
        """One cell a question; `judged` gives the head and label that a phrase speaks of, or None."""

    def meet(self, judge: "Judge") -> None:  # noqa: B027
        """Have the judge look, before anything is drawn, at what pictures will be held against."""

    @abstractmethod
    def measures(
        self, judged: Sequence["Judged"], before: Sequence["Judged"] = (), retrained: Sequence["Judged"] = ()
    ) -> dict[str, "Measure"]:
        """The figures that are a value a picture, by name, in the order in which one reads them.

        Some are told from the unedited model's pictures, `before`, or the retrained network's: of the same cells, or none.
        """

    def sets(
        self, judged: Sequence["Judged"], before: Sequence["Judged"] = (), retrained: Sequence["Judged"] = ()
    ) -> dict[str, "Sets"]:
        """The figures that are a distance between sets of pictures: which pictures, by name."""
        return {}


def check_fraction(fraction: float) -> None:
    """BadInput for what is no share of a protocol."""
    if not 0 < fraction <= 1:
        raise BadInput(f"protocol.fraction={fraction} must be more than 0 and at most 1.")

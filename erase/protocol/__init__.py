"""Protocols: which pictures are drawn to judge an erasure, and which figures they give."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from erase.concept import Concept
from erase.errors import BadInput

if TYPE_CHECKING:
    from erase.judge import Judge
    from erase.judge.engine import Judged
    from erase.judge.zero_shot import Question
    from erase.metric.measure import Measure, Sets

J = TypeVar("J", bound="Judge")

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

    def questions(self, erased: Sequence[Concept]) -> "list[Question]":
        """What such a judge is asked: which concepts, and what each is told from."""
        return [(erased, self.others(erased))]

    def asked(self, judge: "J", erased: Sequence[Concept]) -> "tuple[J, list[Cell]]":
        """The `judge`, told of what was erased, and the questions. BadInput where the answers would give no figure."""
        judge = judge.among(self.questions(erased))
        cells, heads = self.cells(erased, judge.label), judge.labels
        if cells and not judge.reads and not any(cell.head in heads for cell in cells):
            name = type(self).__name__.lower()
            raise BadInput(f"judge={judge.name} has nothing to say of what protocol={name} asks: judge=clip, for one.")
        return judge, cells

    @abstractmethod
    def cells(self, erased: Sequence[Concept], judged: Label) -> list[Cell]:
        """One cell a question; `judged` gives the head and label that a phrase speaks of, or None."""

    def meet(self, judge: "Judge", cache: Path) -> None:  # noqa: B027
        """Have the judge look, before anything is drawn, at what pictures will be held against; once, kept in `cache`."""

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

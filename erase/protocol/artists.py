"""This file is artists: which styles went and which stayed, by CLIP, as EAP judges them (Bui et al. 2024, §5.3)."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor

from erase.concept import Concept, says
from erase.errors import BadInput
from erase.judge.engine import Judged
from erase.metric.measure import Measure, apart, measure, of_role
from erase.protocol import Cell, Label
from erase.protocol.prompts import Prompts


class Artists(Prompts):
    """Prompts in the styles of several artists; whose of them were erased, the concepts say.

    `clip_score_erased` (the lower the better) and `clip_score_kept`: 100 · cosine of picture and prompt;
    `clip_distance_erased` (the higher the better) and `clip_distance_kept`: 1 − cosine of CLIP's features of the edited and
    the unedited model's picture of the same prompt and noise. It stands where papers have LPIPS on AlexNet, and is another
    distance: figures of the two cannot be compared. Where the judge knows styles also `esr_1`, `psr_1` and
    `psr_1/<artist>` by its labels.
    """

    file = "a list of prompts in artists' styles"
    columns: ClassVar[dict[str, tuple[str, ...]]] = {**Prompts.columns, "artist": ("artist", "style")}

    def others(self, erased: Sequence[Concept]) -> dict[str, str]:
        artists = [name for name in self._artists if not any(_means(concept, name) for concept in erased)]
        return {name: f"a painting in the style of {name}" for name in artists}

    @property
    def _artists(self) -> list[str]:
        return [*dict.fromkeys(row["artist"] for row in self.rows)]

    def cells(self, erased: Sequence[Concept], judged: Label) -> list[Cell]:
        gone = {name for name in self._artists if any(_means(concept, name) for concept in erased)}
        if erased and not gone:
            known = ", ".join(self._artists)
            raise BadInput(f"protocol.prompts={self.path} has no artist who was erased; its artists are {known}.")
        cells = []
        for name in self._artists:
            phrases = [p for concept in erased if _means(concept, name) for p in concept.phrases]
            head, label = next(filter(None, map(judged, (name, *phrases))), ("", name))
            rows = [row for row in self.rows if row["artist"] == name]
            cells += self._cells("concept" if name in gone else "kept", head, label, rows, name)
        return cells

    def measures(
        self, judged: Sequence[Judged], before: Sequence[Judged] = (), retrained: Sequence[Judged] = ()
    ) -> dict[str, Measure]:
        found: dict[str, Measure] = {}
        unedited = {j.cell: j for j in before}

        def add(name: str, cells: Sequence[Judged], value: Callable[[Judged], Tensor], good: int = 1) -> None:
            if cells:
                found[name] = measure(cells, value, self.sampled, good)

        add("esr_1", of_role(judged, "concept"), lambda j: ~j.hits)
        add("psr_1", of_role(judged, "kept"), lambda j: j.hits)
        for name, role, good in (("erased", "concept", -1), ("kept", "kept", 1)):
            cells = [j for j in judged if j.cell.role == role and "clip_scores" in j.scores]
            add(f"clip_score_{name}", cells, lambda j: j.clip_scores, good)
            if unedited:
                add(f"clip_distance_{name}", cells, lambda j: apart(j, unedited), -good)
        for label in dict.fromkeys(j.cell.label for j in of_role(judged, "kept")):
            add(f"psr_1/{label}", [j for j in of_role(judged, "kept") if j.cell.label == label], lambda j: j.hits)
        return found


def _means(concept: Concept, artist: str) -> bool:
    """Whether an artist's name says the concept, or the concept the artist."""
    said = (concept.name.replace("_", " "), *concept.phrases)
    return says(artist, concept) or any(says(phrase, Concept(artist, (artist,))) for phrase in said)

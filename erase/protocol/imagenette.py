"""This file is Imagenette's ten classes, as EAP judges objects (Bui et al. 2024, arXiv 2410.15618, §5.1)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from erase.concept import Concept, says
from erase.errors import BadInput
from erase.judge.engine import Judged
from erase.metric.measure import Measure, measure, of_role
from erase.protocol import Cell, Label, Protocol, check_fraction

FIVES = {
    "v1": ("cassette player", "church", "garbage truck", "parachute", "french horn"),
    "v2": ("chain saw", "gas pump", "tench", "english springer", "golf ball"),
    "v3": ("cassette player", "chain saw", "church", "gas pump", "tench"),
    "v4": ("garbage truck", "english springer", "golf ball", "parachute", "french horn"),
}
"""EAP's four settings: the classes that are erased; the other five are kept."""
CLASSES = (*FIVES["v1"], *FIVES["v2"])
IMAGES = 500


class Imagenette(Protocol):
    """500 pictures of each of the ten classes, `Image of {class}`; `fraction` of them, the first of each class.

    esr_1, esr_5: share of pictures of what was erased whose class is not top-1, not in the top-5; psr_1, psr_5: share of
    the other classes' whose is, and psr_1/<class>. Of a model that erased nothing these are `v1/esr_1` … `v4/psr_5`, for
    each of the four settings: the line of the unedited model in the paper's table. Top-5 where the judge has 15 labels or more.
    """

    def __init__(self, steps: int, guidance_scale: float, fraction: float = 1.0, seed: int = 0) -> None:
        check_fraction(fraction)
        if not 1 <= steps <= 999:
            raise BadInput(f"protocol.steps={steps} must be from 1 to 999.")
        self.steps, self.guidance_scale, self.fraction, self.seed = steps, guidance_scale, fraction, seed

    @property
    def lock(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in ("steps", "guidance_scale", "fraction", "seed")} | {"images": self.images}

    @property
    def images(self) -> int:
        """Of each class."""
        return max(1, round(self.fraction * IMAGES))

    def others(self, erased: Sequence[Concept]) -> dict[str, str]:
        return {name: f"a photo of a {name}" for name in CLASSES if not _meant(name, erased)}

    def cells(self, erased: Sequence[Concept], judged: Label) -> list[Cell]:
        gone, cells = {judged(phrase) for phrase in _said(erased)}, []
        for i, name in enumerate(CLASSES):
            meant = _meant(name, erased)
            if not (found := judged(name) or next(filter(None, map(judged, meant)), None)):
                raise BadInput(f"this judge has no label for {name}: protocol=imagenette needs judge=imagenet or judge=clip.")
            role = ("concept" if meant or found in gone else "kept") if erased else "class"
            start = self.seed * 1_000_000 + i * IMAGES
            cells.append(
                Cell(role, *found, name, (f"Image of {name}",) * self.images, tuple(range(start, start + self.images)))
            )
        return cells

    def measures(
        self, judged: Sequence[Judged], before: Sequence[Judged] = (), retrained: Sequence[Judged] = ()
    ) -> dict[str, Measure]:
        found: dict[str, Measure] = {}

        def add(name: str, cells: Sequence[Judged], value: Callable[[Judged], Tensor]) -> None:
            if cells:
                found[name] = measure(cells, value)

        def rates(prefix: str, gone: Sequence[Judged], kept: Sequence[Judged]) -> None:
            add(f"{prefix}esr_1", gone, lambda j: ~j.hits)
            add(f"{prefix}esr_5", of_role(gone, "concept", "class", labels=15), lambda j: ~j.rank(5))
            add(f"{prefix}psr_1", kept, lambda j: j.hits)
            add(f"{prefix}psr_5", of_role(kept, "kept", "class", labels=15), lambda j: j.rank(5))

        rates("", of_role(judged, "concept"), of_role(judged, "kept"))
        for split, gone in FIVES.items() if any(j.cell.role == "class" for j in judged) else ():
            own = [j for j in judged if j.cell.batch in gone]
            rates(f"{split}/", own, [j for j in judged if j.cell.batch not in gone])
        if all("clip_scores" in j.scores for j in judged):
            add("clip_score", of_role(judged, "kept", "class"), lambda j: j.clip_scores)
        for cell in of_role(judged, "kept", "class"):
            add(f"psr_1/{cell.cell.batch}", [cell], lambda j: j.hits)
        return found


def _said(erased: Sequence[Concept]) -> list[str]:
    """All that is said of what was erased."""
    return [phrase for concept in erased for phrase in (concept.name.replace("_", " "), *concept.phrases)]


def _meant(name: str, erased: Sequence[Concept]) -> list[str]:
    """What of that names the class `name`."""
    return [phrase for phrase in _said(erased) if says(phrase, Concept(name, (name,)))]

"""This file is the pictures of a page: rows of a run's grids, each stored once, as many as a budget allows."""

import base64
import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from erase.record.page.read import Experiment
from erase.record.pictures import GAP, ROW, file_name

Grids = dict[str, list[int]]
"""By a grid's name, the numbers in `Pictures.stored` of its rows, one for each of `models`, or what an attack (`attack/<name>`)
ended with, `ROW` prompts each; empty where it is missing."""


@dataclass(frozen=True)
class Plan:
    """What of a run's grids is shown: of how many kept labels, how many pictures a row, of how many pixels a side.

    `kept` is None for all; the concept's own words, its synonyms and the label that the run itself hurt most are always shown.
    `quality` is WebP's, None: lossless.
    """

    kept: int | None
    count: int
    side: int
    quality: int | None

    def words(self) -> str:
        hurt = f"the concept, the kept labels that all its runs hurt most ({self.kept}), and the one that each run hurt most"
        labels = "every label" if self.kept is None else hurt
        return f"{labels}, {self.count} pictures a row" + (f", {self.side} pixels a side at most" if self.side < 512 else "")


def models(experiment: Experiment, role: str) -> list[str]:
    """Whose pictures a grid of a `role` shows, from its first row to its last."""
    scores = experiment.scores
    truth = ["retrained"] if scores and scores.retrained is not None else []
    return ["before", "after", *truth, *(["keyed"] if scores and scores.keyed is not None and role == "concept" else [])]


PLANS = (
    Plan(None, 8, 512, None),
    Plan(None, 8, 128, 85),
    Plan(8, 8, 64, 80),
    Plan(4, 4, 64, 70),
    Plan(2, 3, 64, 60),
    Plan(1, 2, 48, 60),
)
"""From most to least. The first that fits is taken."""


@dataclass
class Pictures:
    """Rows as WebP data addresses, the grids of every run that they make up, and how many a row."""

    stored: list[str] = field(default_factory=list)
    grids: list[Grids] = field(default_factory=list)
    said: str = ""
    count: int = 0
    size: int = 0
    _known: dict[bytes, int] = field(default_factory=dict)

    def add(self, row: Image.Image, plan: Plan) -> int:
        """The number of `row`, stored if it is not yet: the unedited model's are the same in many runs."""
        key = hashlib.sha256(row.tobytes()).digest()
        if key not in self._known:
            self._known[key] = len(self.stored)
            self.stored.append(_encode(row, plan))
            self.size += len(self.stored[-1])
        return self._known[key]


def collect(experiments: Sequence[Experiment], budget: float) -> Pictures:
    """The grids of `experiments` in at most `budget` megabytes, under the first of PLANS that fits; none for 0.

    What a plan takes is told from up to eight runs; where the others take more than these, the next plan is tried.
    """
    most, shown = budget * 1e6, [e for e in experiments if e.scores]
    sample = shown[:: -(-len(shown) // 8) or 1]
    for plan in PLANS:
        if len(shown) > len(sample) and _taken(sample, plan, most).size * len(shown) / len(sample) > most:
            continue
        found = _taken(experiments, plan, most)
        if found.size <= most:
            found.said, found.count = plan.words(), plan.count
            return found
    return Pictures(grids=[{} for _ in experiments], said="no pictures" if shown else "")


def _taken(experiments: Sequence[Experiment], plan: Plan, most: float) -> Pictures:
    """Pictures under `plan`; begun no further when they are more than `most` bytes."""
    found, chosen = Pictures(), _labels(experiments, plan.kept)
    for experiment in experiments:
        grids: Grids = {}
        for role, name, path in _files(experiment, chosen.get(tuple(experiment.concepts))):
            if found.size <= most:
                grids[name] = [found.add(row, plan) for row in _rows(path, plan, len(models(experiment, role)))]
        for name, ended in experiment.ended.items():
            if ended and found.size <= most:
                whole = replace(plan, count=ROW)  # a row is said to show all of its prompts
                rows = _rows(experiment.of_attack(name, "png"), whole, math.ceil(len(ended) / ROW))
                grids[name] = [found.add(row, plan) for row in rows]
        found.grids.append(grids)
    return found


def _labels(experiments: Sequence[Experiment], kept: int | None) -> dict[tuple[str, ...], set[str] | None]:
    """The kept labels to show in all runs, by what was erased: those that lost most on average."""
    found: dict[tuple[str, ...], set[str] | None] = {}
    for concepts in {tuple(e.concepts) for e in experiments}:
        lost: dict[str, float] = {}
        for experiment in experiments:
            for name, figure in experiment.figures.items():
                if tuple(experiment.concepts) == concepts and name.startswith("psr_1/"):
                    lost[name[6:]] = lost.get(name[6:], 0) + figure["drop"]
        found[concepts] = None if kept is None else set(sorted(lost, key=lambda label: -lost[label])[:kept])
    return found


def _files(experiment: Experiment, labels: set[str] | None) -> Iterator[tuple[str, str, Path]]:
    """Roles, names and files of the grids to show; a file that is not there is shown as missing."""
    lost = {name[6:]: figure["drop"] for name, figure in experiment.figures.items() if name.startswith("psr_1/")}
    own = max(lost, key=lambda label: lost[label], default=None)
    for name, cell in experiment.scores.grids.items() if experiment.scores else ():
        if labels is None or cell["role"] in ("concept", "synonyms") or cell["label"] in {own, *labels}:
            yield cell["role"], name, experiment.folder / "images" / file_name(name)


def _rows(path: Path, plan: Plan, rows: int) -> list[Image.Image]:
    """The `rows` of a grid of square pictures, cut to the plan; none where the file is missing or no picture."""
    try:
        with Image.open(path) as file:
            page = file.convert("RGB")
    except (OSError, SyntaxError, ValueError):  # the second is Pillow's of a broken chunk
        return []
    side = (page.height + GAP) // rows
    width = min((page.width + GAP) // side, plan.count) * side - GAP
    return [page.crop((0, row * side, width, (row + 1) * side - GAP)) for row in range(rows)]


def _encode(row: Image.Image, plan: Plan) -> str:
    if row.height > plan.side:
        row = row.resize((round(row.width * plan.side / row.height), plan.side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    row.save(buffer, "WEBP", lossless=plan.quality is None, quality=plan.quality or 50, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()

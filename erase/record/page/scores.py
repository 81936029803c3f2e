"""This file is raw scores packed for a page: a byte a picture, with which every figure at every threshold is exact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

THRESHOLDS = np.arange(101) / 100
"""The positions of the page's slider."""


@dataclass
class Scores:
    """What a judge said of every picture: `cells` in order, and for each model a byte a picture (uint8).

    Its lower seven bits hold the highest threshold, in hundredths, that the probability of the cell's own label reaches; the
    highest bit whether that label is top-1. A cell is its role, head and label, the number of its pictures, and the prompts
    of the first eight. `keyed` has only the pictures of the concept's own words, as who holds the edit's key sees them.
    """

    cells: list[dict[str, Any]]
    before: npt.NDArray[np.uint8]
    after: npt.NDArray[np.uint8]
    retrained: npt.NDArray[np.uint8] | None = None
    keyed: npt.NDArray[np.uint8] | None = None
    during: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def grids(self) -> dict[str, dict[str, Any]]:
        """By its name the cell that each grid of the run's pictures is of; combinations have none, as `Run.write` has it."""
        return {f"{cell['label']} ({cell['role']})": cell for cell in self.cells if cell["role"] != "combination"}


def pack(probabilities: npt.NDArray[np.float64], top: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Bytes of probabilities (pictures,) of the label asked for and whether it is top-1, (pictures,).

    Where no probability is known (NaN) the byte is that of 1 or 0, as the judge's first label says.
    """
    known = np.where(np.isnan(probabilities), top, probabilities)
    reached = (np.searchsorted(THRESHOLDS, known, side="right") - 1).clip(0)
    return (reached + 128 * top).astype(np.uint8)


def read_scores(path: Path) -> Scores | None:
    """The scores of scores.parquet; None where there is none."""
    if not path.is_file():
        return None
    names = ["model", "step", "role", "head", "label", "prompt", "top"]
    table = pq.read_table(path, columns=[*names, "probability"], use_threads=False)
    columns = {name: np.array(table[name].to_pylist(), object) for name in names}
    packed = pack(np.array(table["probability"]), columns["top"] == columns["label"])
    models = columns["model"]
    steps = sorted({int(s) for s in columns["step"][models == "during"]})
    return Scores(
        _cells({name: column[models == "after"] for name, column in columns.items()}),
        packed[models == "before"],
        packed[models == "after"],
        packed[models == "retrained"] if "retrained" in models else None,
        packed[(models == "keyed") & (columns["role"] == "concept")] if "keyed" in models else None,
        {step: packed[(models == "during") & (columns["step"] == step)] for step in steps},
    )


def _cells(columns: Mapping[str, npt.NDArray[np.object_]]) -> list[dict[str, Any]]:
    """Neighbouring rows of one role, head and label, as one cell."""
    cells: list[dict[str, Any]] = []
    for role, head, label, prompt in zip(*(columns[n] for n in ("role", "head", "label", "prompt")), strict=True):
        if not cells or (role, head, label) != tuple(cells[-1][n] for n in ("role", "head", "label")):
            cells.append({"role": role, "head": head, "label": label, "n": 0, "prompts": []})
        cell = cells[-1]
        cell["n"] += 1
        if cell["n"] <= 8 and prompt not in cell["prompts"]:
            cell["prompts"].append(prompt)
    return cells

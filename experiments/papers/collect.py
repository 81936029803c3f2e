"""This file is what of finished runs the tables are made from: two CSVs beside it.

    python experiments/papers/collect.py multirun/papers

Rows of runs that are not there stay: a study may be made in parts, on several machines.
"""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from erase.cache import told as digest
from erase.record import study

HERE = Path(__file__).parent
FIGURES = ("esr_1", "esr_1_synonyms", "esr_1_key", "psr_1_siblings", "psr_1", "psr_1_key", "distance_clip/erased")
COSTS = ("train_seconds", "forwards", "backwards", "peak_memory_bytes")

Rows = list[dict[str, Any]]


def told(folder: Path) -> tuple[str, dict[str, Rows]]:
    """The name of a finished run, its row of `results`, and its rows of `pictures`: of every label that was judged, which of
    its pictures were named as it, unedited and edited, a digit each."""
    metrics, _, run = study.run_of(folder, system="experiment", concept="concept")
    judged = {n: value for n, value in metrics["lock"].items() if n not in ("model", "precision", "versions", "retrained")}
    run["protocol"] = digest(judged)[:8]
    figures = {
        f"{n}_{end}": metrics["figures"][n][end]
        for n in FIGURES
        for end in ("before", "after", "retrained")
        if end in metrics["figures"].get(n, {})
    }
    hits: dict[tuple[str, str], dict[str, str]] = defaultdict(lambda: defaultdict(str))
    for row in pq.read_table(folder / "scores.parquet", columns=["model", "role", "label", "top"]).to_pylist():
        hits[row["role"], row["label"]][row["model"]] += str(int(row["top"] == row["label"]))
    ends = ("before", "after")
    pictures = [{**run, "role": role, "label": label} | {e: said[e] for e in ends} for (role, label), said in hits.items()]
    result = {**run, **figures, **{n: metrics["cost"][n] for n in COSTS}}
    return run["run"], {"results": [result], "pictures": pictures}


collect = partial(study.collect, told=told)


if __name__ == "__main__":
    study.main(__doc__, collect, HERE)

"""This file is what of finished runs the tables are made from: a CSV beside it.

    python experiments/papers/collect.py multirun/papers

Rows of runs that are not there stay: a study may be made in parts, on several machines.
"""

from functools import partial
from pathlib import Path
from typing import Any

from erase.cache import told as digest
from erase.record import study

HERE = Path(__file__).parent
FIGURES = ("esr_1", "esr_1_synonyms", "esr_1_key", "psr_1_siblings", "psr_1", "psr_1_key", "distance_clip/erased")
COSTS = ("train_seconds", "forwards", "backwards", "peak_memory_bytes")


def told(folder: Path) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """The name of a finished run, and its row of `results`."""
    metrics, _, run = study.run_of(folder, system="experiment", concept="concept")
    judged = {n: value for n, value in metrics["lock"].items() if n not in ("model", "precision", "versions", "retrained")}
    run["protocol"] = digest(judged)[:8]
    ends = {
        f"{n}_{end}": metrics["figures"][n][end]
        for n in FIGURES
        for end in ("before", "after", "retrained")
        if end in metrics["figures"].get(n, {})
    }
    return run["run"], {"results": [{**run, **ends, **{n: metrics["cost"][n] for n in COSTS}}]}


collect = partial(study.collect, told=told)


if __name__ == "__main__":
    study.main(__doc__, collect, HERE)

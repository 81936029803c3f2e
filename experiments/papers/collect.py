"""This file is what of finished runs the tables are made from: two CSVs beside it.

    python experiments/papers/collect.py multirun/papers

Rows of runs that are not there stay: a study may be made in parts, on several machines.
"""

import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from erase.record import study

HERE = Path(__file__).parent
FIGURES = ("esr_1", "esr_1_synonyms", "esr_1_key", "psr_1_siblings", "psr_1", "distance_clip/erased")
COSTS = ("train_seconds", "forwards", "backwards", "peak_memory_bytes")

Rows = list[dict[str, Any]]


def told(folder: Path) -> tuple[str, dict[str, Rows]]:
    """The name of a finished run, its row of `results`, and its rows of `pictures`: of every prompt that was judged, how many
    of its pictures were named as its label, unedited and edited."""
    metrics, config = (json.loads((folder / name).read_text()) for name in ("metrics.json", "config.json"))
    asked = dict(override.split("=", 1) for override in config["overrides"])
    of = {"system": asked["experiment"], "concept": asked["concept"], "seed": config["settings"]["seed"]}
    name = "-".join(map(str, of.values()))
    run: dict[str, Any] = {"run": name, **of, "model": metrics["lock"]["model"][:12]}
    figures = {
        f"{n}_{end}": metrics["figures"][n][end]
        for n in FIGURES
        for end in ("before", "after", "retrained")
        if end in metrics["figures"].get(n, {})
    }
    hits: dict[tuple[str, str, str], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    columns = ["model", "role", "label", "prompt", "top"]
    for row in pq.read_table(folder / "scores.parquet", columns=columns).to_pylist():
        hits[row["role"], row["label"], row["prompt"]][row["model"]].append(row["top"] == row["label"])
    pictures = [
        {**run, "role": role, "label": label, "prompt": prompt, "n": len(found["after"])}
        | {end: sum(found[end]) for end in ("before", "after")}
        for (role, label, prompt), found in hits.items()
    ]
    result = {**run, **figures, **{n: metrics["cost"][n] for n in COSTS}}
    return name, {"results": [result], "pictures": pictures}


collect = partial(study.collect, told=told)


if __name__ == "__main__":
    study.main(__doc__, collect, HERE)

"""This file is what of finished and attacked runs the tables are made from: two CSVs beside it.

    python experiments/robustness/collect.py multirun/robustness

Rows of runs that are not there stay: a study may be made in parts, on several machines.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from erase.record import study

HERE = Path(__file__).parent
FIGURES = ("esr_1", "esr_1_synonyms", "psr_1_siblings", "psr_1")
COSTS = ("train_seconds", "forwards", "backwards")


def told(folder: Path) -> tuple[str, dict[str, list[Mapping[str, Any]]]]:
    """The name of a finished run, its row of `results`, and its rows of `attacks`, one an attack, victim and prompt."""
    metrics, config = (json.loads((folder / name).read_text()) for name in ("metrics.json", "config.json"))
    asked = dict(override.split("=", 1) for override in config["overrides"])
    of = {"method": asked["experiment"], "concept": asked["concept"], "seed": config["settings"]["seed"]}
    name = "-".join(map(str, of.values()))
    run = {"run": name, **of, "model": metrics["lock"]["model"][:12]}
    figures = {n: metrics["figures"][n]["after"] for n in FIGURES if n in metrics["figures"]}
    result = {**run, "steps": config["settings"]["steps"], **figures, **{n: metrics["cost"][n] for n in COSTS}}
    attacks: list[Mapping[str, Any]] = []
    for path in sorted((folder / "attacks").glob("*.json")):
        about = json.loads(path.read_text())
        for i, line in enumerate(path.with_suffix(".jsonl").read_text().splitlines()):
            ended = {n: int(json.loads(line)[n]) for n in ("without", "alone", "union")}
            attacks.append({**run, "attack": about["attack"], "victim": about["model"], "prompt": i, **ended})
    return name, {"results": [result], "attacks": attacks}


collect = partial(study.collect, told=told)


if __name__ == "__main__":
    study.main(__doc__, collect, HERE)

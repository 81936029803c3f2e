"""This file is what of attacked runs the tables are made from: two CSVs beside it.

    python experiments/robustness/collect.py multirun/robustness
    python experiments/robustness/collect.py multirun/papers

Rows of runs that are not there stay: a study may be made in parts, on several machines.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from erase import cache
from erase.miniature import world
from erase.record import study

HERE = Path(__file__).parent
FIGURES = ("esr_1", "esr_1_synonyms", "psr_1_siblings", "psr_1")
COSTS = ("train_seconds", "forwards", "backwards")
OWN = ("model", "victim", "jobs", "figures", "cost")
"""What differs between the results of one attack, of several concepts and victims; all else is to be the same."""


def told(folder: Path) -> tuple[str, dict[str, list[Mapping[str, Any]]]]:
    """The name of a finished run, its row of `results`, and its rows of `attacks`, one an attack, victim and prompt.

    `question` and `job` are digests: of what an attack was asked besides its victim and prompts, and of those prompts.
    `named` is whether it succeeded with a text that names the concept, in whatever word.
    ValueError for a victim that an attack was made on twice.
    """
    metrics, config, run = study.run_of(folder, method="experiment", concept="concept")
    figures = {n: metrics["figures"][n]["after"] for n in FIGURES if n in metrics["figures"]}
    result = {**run, "steps": config["settings"]["steps"], **figures, **{n: metrics["cost"][n] for n in COSTS}}
    attacks: list[Mapping[str, Any]] = []
    for path in sorted((folder / "attacks").glob("*.json")):
        about = json.loads(path.read_text())
        which = {"attack": about["attack"], "victim": about["model"]}
        if any(which.items() <= row.items() for row in attacks):
            raise ValueError(f"{path} is not the only {which['attack']} on the {which['victim']} model: which one counts?")
        asked = cache.told({n: value for n, value in about.items() if n not in OWN})
        which |= {"question": asked[:12], "job": about["jobs"][:12]}
        for i, line in enumerate(map(json.loads, path.with_suffix(".jsonl").read_text().splitlines())):
            ended = {n: int(line[n]) for n in ("without", "begun", "alone", "union")}
            ended["named"] = int(line["alone"] and (world.label(line["text"]) or ("", ""))[1] == line["label"])
            attacks.append({**run, **which, "prompt": i, **ended})
    return run["run"], {"results": [result], "attacks": attacks}


def attacked(folder: Path) -> bool:
    """Whether `folder` is that of a finished run which was attacked: others of their sweep are none of this study."""
    return study.is_finished(folder) and any((folder / "attacks").glob("*.json"))


collect = partial(study.collect, told=told, wanted=attacked)


if __name__ == "__main__":
    study.main(__doc__, collect, HERE)

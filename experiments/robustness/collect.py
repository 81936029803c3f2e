"""This file is what of finished and attacked runs the tables are made from: two CSVs beside it.

    python experiments/robustness/collect.py multirun/robustness

Rows of runs that are not there stay: a study may be made in parts, on several machines.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erase.record.study import is_finished, keep

HERE = Path(__file__).parent
FIGURES = ("esr_1", "esr_1_synonyms", "psr_1_siblings", "psr_1")
COSTS = ("train_seconds", "forwards", "backwards")


def told(folder: Path) -> tuple[str, list[Mapping[str, Any]], list[Mapping[str, Any]]]:
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
    return name, [result], attacks


def collect(sweep: Path, results: Path) -> list[str]:
    """Keep what the finished runs of `sweep` say in the CSVs of `results`; returns their names. ValueError where two runs
    have one name: they differ in something that no table tells apart."""
    names: list[str] = []
    for folder in filter(is_finished, sorted(sweep.iterdir())):
        name, result, attacks = told(folder)
        if name in names:
            raise ValueError(f"{sweep} holds several runs of {name}: they differ in settings or code, and do not compare.")
        names.append(name)
        keep(results / "results.csv", name, result)
        keep(results / "attacks.csv", name, attacks)
    return names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="the sweep's folder of runs")
    print(f"{len(collect(parser.parse_args().sweep, HERE))} runs collected")

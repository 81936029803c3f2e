"""This file is what of finished runs the tables are made from: three CSVs beside it.

    python experiments/adversarial_preservation/collect.py multirun/adversarial_preservation

Rows of runs that are not there stay: a study may be made in parts, on several machines.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import diffusers.utils
import pyarrow.parquet as pq
import transformers
from omegaconf import OmegaConf

from erase.command import build
from erase.concept import Concept
from erase.judge.drawings import Drawings as Judge
from erase.preservation.similar import similarity
from erase.record import study

HERE = Path(__file__).parent
MAIN = ("esr_1", "esr_1_synonyms", "psr_1_siblings", "psr_1")
PARTS = ("before", "after", "drop", "drop_low", "drop_high", "retrained", "n")

Rows = list[dict[str, Any]]
Texts = Callable[[Mapping[str, Any], Sequence[Concept]], dict[tuple[str, str], tuple[str, float]]]
"""From a model's settings and what is erased: by the judge's head and label, its candidate and that one's similarity."""


def texts() -> Texts:
    """Similarities by the text encoder of a run's own model, loaded once."""
    models: dict[str, Any] = {}
    for library in (transformers, diffusers.utils):
        library.logging.disable_progress_bar()

    def ask(settings: Mapping[str, Any], erased: Sequence[Concept]) -> dict[tuple[str, str], tuple[str, float]]:
        made = json.dumps(settings, sort_keys=True)
        if made not in models:
            models[made] = build(OmegaConf.create(dict(settings)), "model"), Judge()
        model, judge = models[made]
        found: dict[tuple[str, str], tuple[str, float]] = {}
        for candidate, cosine in zip(model.vocabulary, similarity(model, model.vocabulary, erased).tolist(), strict=True):
            if label := judge.label(candidate):
                found.setdefault(label, (candidate, cosine))
        return found

    return ask


def told(folder: Path, ask: Texts) -> tuple[str, dict[str, Rows]]:
    """The name of a finished run, and its rows of `results`, one a checkpoint; of `damage`, one a kept label after the
    last update; of `chosen`, one a choice."""
    metrics, config, run = study.run_of(folder, preservation="preservation", concept="concept")
    about = json.loads((folder / "edit" / "edit.json").read_text())
    steps, cost = config["settings"]["steps"], metrics["cost"]
    paid = {n: cost[n] for n in ("train_seconds", "forwards", "backwards")}
    points = {**metrics.get("checkpoints", {}), str(steps): metrics["figures"]}
    results = [{**run, "step": int(step), **_flat(figures), **paid} for step, figures in points.items()]

    lines = (folder / "adversary.jsonl").read_text().splitlines() if (folder / "adversary.jsonl").exists() else []
    choices = [json.loads(line) for line in lines]
    chosen = [
        {"run": run["run"], "update": c["step"], "rank": rank, "concept": held, "score": c["scores"][held]}
        for c in choices
        for rank, held in enumerate(c["chosen"], 1)
    ]

    erased = [Concept.read(c) for c in about["concepts"]]
    known = ask(config["settings"]["model"], erased)
    # the first scoring: what was hurt before any choice could act
    scores = choices[0]["scores"] if run["preservation"] == "adversarial" and choices else {}
    hits: dict[tuple[str, str, str], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    columns = ["model", "role", "head", "label", "top"]
    for row in pq.read_table(folder / "scores.parquet", columns=columns).to_pylist():
        hits[row["role"], row["head"], row["label"]][row["model"]].append(row["top"] == row["label"])
    damage = []
    for (role, head, label), found in hits.items():
        if role in ("sibling", "kept"):
            candidate, cosine = known.get((head, label), ("", ""))
            before, after = (sum(found[m]) / len(found[m]) for m in ("before", "after"))
            figures = {"before": before, "after": after, "n": len(found["after"])}
            said = {"role": role, "head": head, "label": label}
            damage.append({**run, "step": steps, **said, **figures, "similarity": cosine, "score": scores.get(candidate, "")})
    return run["run"], {"results": results, "damage": damage, "chosen": chosen}


def _flat(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    names = [n for n in figures if n in MAIN or n.startswith("distance")]
    return {f"{n}_{part}": figures[n][part] for n in names for part in PARTS if part in figures[n]}


def collect(sweep: Path, results: Path, ask: Texts | None = None) -> list[str]:
    """As `study.collect`; texts by `ask`."""
    return study.collect(sweep, results, partial(told, ask=ask or texts()))


if __name__ == "__main__":
    study.main(__doc__, collect, HERE)

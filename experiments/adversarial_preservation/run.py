"""This file is the runs of the study: each job once, gone on with where it was cut off, its results kept at once.

python experiments/adversarial_preservation/run.py --jobs 2
python experiments/adversarial_preservation/run.py --only 'nudity|church-0' -- trainer=gpu
"""

import argparse
import csv
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers.utils
import pyarrow.parquet as pq
import transformers
from omegaconf import OmegaConf
from tqdm import tqdm

from erase.command import build
from erase.concept import Concept
from erase.judge.drawings import Drawings as Judge
from erase.preservation.similar import similarity

HERE = Path(__file__).parent

PRESERVATIONS = {
    "none": ["method=esd"],
    "neutral": ["method=esd", "preservation=neutral"],
    "similar": ["method=esd", "preservation=similar"],
    "random": ["method=esd", "preservation=random"],
    "adversarial": ["method=adv_preserve"],
}
SEEDED = ("nudity", "church", "garbage_truck")
"""Concepts of three seeds; the others have one."""
CONCEPTS = (
    *SEEDED,
    *("cassette_player", "chain_saw", "english_springer", "french_horn", "gas_pump", "golf_ball", "parachute", "tench"),
    "van_gogh",
)
JUDGED = ["judge_at=[30,60,90,120]", "protocol.images=32", "protocol.sibling_images=32", "protocol.kept_images=4"]
"""What all runs share; what is given after `--` comes later, and wins."""

MAIN = ("esr_1", "esr_1_synonyms", "psr_1_siblings", "psr_1")
PARTS = ("before", "after", "drop", "drop_low", "drop_high", "retrained", "n")

Rows = list[dict[str, Any]]
Texts = Callable[[Mapping[str, Any], Sequence[Concept]], dict[tuple[str, str], tuple[str, float]]]
"""From a model's settings and what is erased: by the judge's head and label, its candidate and that one's similarity."""


@dataclass(frozen=True)
class Job:
    """One run of the main command."""

    preservation: str
    concept: str
    seed: int

    @property
    def key(self) -> str:
        return f"{self.preservation}-{self.concept}-{self.seed}"

    def overrides(self, extra: Sequence[str] = ()) -> list[str]:
        """Its arguments. One thread, so that its numbers do not depend on how many jobs run at once."""
        own = [*PRESERVATIONS[self.preservation], f"concept={self.concept}", f"seed={self.seed}", f"name={self.key}"]
        return [*own, "logger=none", "trainer.threads=1", *JUDGED, *extra]


def jobs(only: str = "") -> list[Job]:
    """All jobs whose key the expression `only` finds; first what answers most."""
    seeds = ((seed, concept) for seed in (0, 1, 2) for concept in (CONCEPTS if seed == 0 else SEEDED))
    every = [Job(preservation, concept, seed) for seed, concept in seeds for preservation in PRESERVATIONS]
    return [job for job in every if re.search(only, job.key)]


def command(arguments: Sequence[str], log: Path) -> int:
    """Run the main command in a process of its own; what it says goes to `log`. Returns its exit code."""
    with log.open("a") as file:
        say = [sys.executable, "-m", "erase.train", *arguments]
        return subprocess.run(say, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=file, stderr=file).returncode


def is_finished(folder: Path) -> bool:
    status = folder / "status.json"
    return status.is_file() and json.loads(status.read_text())["status"] == "finished"


def carry_out(job: Job, runs: Path, extra: Sequence[str], call: Callable[[list[str], Path], int]) -> None:
    """Begin `job`, or go on with it; nothing where it is finished. RuntimeError when it fails, or was another job."""
    folder, log, wanted = (runs / job.key).resolve(), runs / f"{job.key}.log", job.overrides(extra)
    begun = folder / "config.json"
    if begun.is_file():
        kept = json.loads(begun.read_text())["overrides"]
        if kept != [o for o in wanted if not o.startswith("hydra.")]:
            raise RuntimeError(f"{folder} was begun with other arguments: {' '.join(kept)}")
        if is_finished(folder):
            return
        arguments = [f"resume={folder}"]
    else:
        arguments = [*wanted, f"hydra.run.dir='{folder}'"]
    if code := call(arguments, log):
        raise RuntimeError(f"exit code {code}, see {log}")


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


def collect(job: Job, folder: Path, ask: Texts) -> dict[str, Rows]:
    """What of a finished run the tables are made from: `results`, a row a checkpoint; `damage`, a row a kept label after
    the last update; `chosen`, a row a choice."""
    metrics, config = (json.loads((folder / name).read_text()) for name in ("metrics.json", "config.json"))
    about = json.loads((folder / "edit" / "edit.json").read_text())
    steps, cost = config["settings"]["steps"], metrics["cost"]
    run: dict[str, Any] = {"run": job.key, **vars(job), "model": metrics["lock"]["model"][:12]}
    paid = {name: cost[name] for name in ("train_seconds", "forwards", "backwards")}
    points = {**metrics.get("checkpoints", {}), str(steps): metrics["figures"]}
    results = [{**run, "step": int(step), **_flat(figures), **paid} for step, figures in points.items()]

    lines = (folder / "adversary.jsonl").read_text().splitlines() if (folder / "adversary.jsonl").exists() else []
    choices = [json.loads(line) for line in lines]
    chosen = [
        {"run": job.key, "update": c["step"], "rank": rank, "concept": name, "score": c["scores"][name]}
        for c in choices
        for rank, name in enumerate(c["chosen"], 1)
    ]

    erased = [Concept(c["name"], tuple(c["prompts"]), tuple(c["synonyms"])) for c in about["concepts"]]
    known = ask(config["settings"]["model"], erased)
    # the first scoring: what was hurt before any choice could act
    scores = choices[0]["scores"] if job.preservation == "adversarial" and choices else {}
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
    return {"results": results, "damage": damage, "chosen": chosen}


def _flat(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    names = [n for n in figures if n in MAIN or n.startswith("distance") or "retrained" in n]
    return {f"{n}_{part}": figures[n][part] for n in names for part in PARTS if part in figures[n]}


def keep(path: Path, run: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put the rows of `run` into a CSV, in the place of those that it had: whole or not at all."""
    table: list[Mapping[str, Any]] = [row for row in read(path) if row["run"] != run]
    table += rows
    names = list(dict.fromkeys(name for row in table for name in row))
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({n: f"{v:.7g}" if isinstance(v, float) else v for n, v in row.items()} for row in table)
    os.replace(part, path)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV; none where there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def go(
    todo: Sequence[Job],
    runs: Path,
    results: Path,
    extra: Sequence[str],
    workers: int,
    call: Callable[[list[str], Path], int] = command,
    ask: Texts | None = None,
) -> dict[str, str]:
    """Carry out all jobs, `workers` at a time; returns why, for each that failed."""
    ask, failed = ask or texts(), {}
    runs.mkdir(parents=True, exist_ok=True)
    kept = {row["run"] for row in read(results / "results.csv")}
    todo = [job for job in todo if job.key not in kept or (runs / job.key).exists()]  # what is known needs no folder
    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(carry_out, job, runs, extra, call): job for job in todo}
        try:
            for done in tqdm(as_completed(waiting), total=len(todo), desc="study", unit="run", disable=None):
                job = waiting[done]
                try:
                    done.result()
                    if job.key not in kept:
                        found = collect(job, runs / job.key, ask)
                        for name in ("damage", "chosen", "results"):  # the last says that all are there
                            keep(results / f"{name}.csv", job.key, found[name])
                except Exception as error:  # whatever it is: the other jobs go on
                    failed[job.key] = f"{type(error).__name__}: {error}"
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="how many run at once, a thread each")
    parser.add_argument("--only", default="", help="an expression that a job's key, <preservation>-<concept>-<seed>, holds")
    parser.add_argument("--runs", type=Path, default=Path("outputs/adversarial_preservation"), help="where run folders go")
    parser.add_argument("--results", type=Path, default=HERE, help="the folder of the CSVs")
    parser.add_argument("overrides", nargs="*", help="further arguments of every run")
    given = parser.parse_args()
    failed = go(jobs(given.only), given.runs, given.results, given.overrides, given.jobs)
    for key, why in failed.items():
        print(f"{key}: {why}", file=sys.stderr)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()

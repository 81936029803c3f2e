"""The study of attacks: which runs it makes, what of them it keeps, and what it says of that."""

import csv
import json
import shutil
from itertools import product
from pathlib import Path

import pytest
from conftest import study_of

from erase.command import choices

STUDY = study_of("robustness")
FOLDER = STUDY.folder
collect, summary = STUDY.load("collect"), STUDY.load("summary")


def test_methods_are_those_of_the_tables_and_differ():
    params = STUDY.composed("sweep", "experiment=eap", "concept=church").hydra.sweeper.params
    names = str(params.experiment).split(",")
    assert (*names,) == summary.METHODS
    assert {p.stem for p in (FOLDER / "experiment").glob("*.yaml")} == {*names}
    assert {*str(params.concept).split(",")} <= {*choices("concept")}
    assert {*summary.ATTACKS} == {*choices("attack")}
    axes = ("method", "adversary", "preservation", "parameters")
    made = {name: STUDY.composed("sweep", f"experiment={name}", "concept=church") for name in names}
    assert len({str([config[axis] for axis in axes]) for config in made.values()}) == 7
    assert "Adversarial" in made["both"].preservation._target_
    assert (made["both"].adversary.steps, made["adv_unlearn"].adversary.steps) == (1, 30)
    assert "TextEncoder" in made["esd_text"].parameters._target_
    for name in ("steps", "lr", "lr_schedule", "batch_size"):  # what is left is without adversary and retain set, nothing else
        assert made["esd_text"][name] == made["adv_unlearn"][name]


def attacked(folder: Path, method: str, alone: str) -> Path:
    """A finished run of church, whose attacks on prompts 0, 1, … came to `alone`."""
    (folder / "attacks").mkdir(parents=True)
    figures = {n: {"after": 0.5} for n in collect.FIGURES}
    cost = {"train_seconds": 2.0, "forwards": 200, "backwards": 100}
    write = {
        "status.json": {"status": "finished"},
        "config.json": {"settings": {"seed": 0, "steps": 10}, "overrides": [f"experiment={method}", "concept=church"]},
        "metrics.json": {"figures": figures, "cost": cost, "lock": {"model": "m" * 20}},
    }
    for victim, ended in (("edited", alone), ("unedited", "1111"), ("retrained", "0000")):
        name = "unlearn_diff" if victim == "edited" else f"unlearn_diff-{victim}"
        write[f"attacks/{name}.json"] = {"attack": "unlearn_diff", "model": victim}
        lines = [{"without": i == 3, "alone": a == "1", "union": i == 3 or a == "1"} for i, a in enumerate(ended)]
        (folder / "attacks" / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for name, content in write.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_from_runs_to_tables(tmp_path: Path):
    sweep = tmp_path / "sweep"
    for method, alone in (("esd_x", "1110"), ("adv_unlearn", "0100")):
        attacked(sweep / method, method, alone)
    assert collect.collect(sweep, tmp_path) == ["adv_unlearn-church-0", "esd_x-church-0"]
    with (tmp_path / "attacks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 4
    keys = {(r["method"], r["victim"], r["prompt"]) for r in rows}
    assert keys == {*product(("esd_x", "adv_unlearn"), ("edited", "unedited", "retrained"), "0123")}
    shutil.copy(FOLDER / "README.md", tmp_path)
    summary.summarise(tmp_path)
    text = (tmp_path / "README.md").read_text()
    for part in (
        "| church | unedited: the ceiling |  | – | 1.00 (1.00 … 1.00) / 1.00 | – |",
        "| church | retrained: the floor |  | – | 0.00 (0.00 … 0.00) / 0.25 | – |",
        "| church | `esd_x` | 1 | – | 0.75 (",
        ") / 1.00 | – | 0.50 | 0.50 | 0.50 |",
        "| `esd_x` | `adv_unlearn` | alone | +0.500 (",
        "| `adv_unlearn` | 1 | 10 | 2 | 200 | 100 | 20.0 | 10.0 |",
    ):
        assert part in text
    summary.summarise(tmp_path)
    assert (tmp_path / "README.md").read_text() == text
    attacked(sweep / "again", "esd_x", "0000")
    with pytest.raises(ValueError, match="several runs of esd_x-church-0"):
        collect.collect(sweep, tmp_path)


def test_intervals_draw_seeds_then_prompts():
    found = {"a": [summary.np.array([1.0, 1.0]), summary.np.array([0.0, 0.0])], "b": [summary.np.array([0.5, 0.5])]}
    assert summary.share(found) == 0.5
    samples = summary.resampled(found, 400)
    assert {*samples.tolist()} == {0.25, 0.5, 0.75}
    assert samples.mean() == pytest.approx(0.5, abs=0.05)

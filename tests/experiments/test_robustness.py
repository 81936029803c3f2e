"""The study of attacks: which runs it makes, what of them it keeps, and what it says of that."""

import csv
import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import study_of

from erase.command import choices

STUDY, PAPERS = study_of("robustness"), study_of("papers")
FOLDER = STUDY.folder
collect, summary = STUDY.load("collect"), STUDY.load("summary")


def test_methods_are_those_of_the_tables_and_differ():
    own = STUDY.composed("sweep", "experiment=both", "concept=church")
    shared = PAPERS.composed("sweep", "experiment=eap", "concept=church")
    assert own.protocol == shared.protocol
    assert own.trainer == shared.trainer
    params, others = (config.hydra.sweeper.params for config in (own, shared))
    names = str(params.experiment).split(",")
    borrowed = {"esd_x", "eap", "kpop"}
    assert {*names, *borrowed} == {*summary.METHODS}
    assert borrowed <= {*str(others.experiment).split(",")}
    assert f"experiment={','.join(n for n in summary.METHODS if n in borrowed)}\n" in (FOLDER / "README.md").read_text()
    assert (params.concept, params.seed) == (others.concept, others.seed)
    assert {p.stem for p in (FOLDER / "experiment").glob("*.yaml")} == {*names}
    assert {*summary.ATTACKS} == {*choices("attack")}
    axes = ("method", "adversary", "preservation", "parameters")
    made = {name: STUDY.composed("sweep", f"experiment={name}", "concept=church") for name in names}
    assert len({str([config[axis] for axis in axes]) for config in made.values()}) == 6
    assert "Adversarial" in made["both"].preservation._target_
    assert (made["both"].adversary.steps, made["adv_unlearn"].adversary.steps) == (1, 30)
    assert "TextEncoder" in made["esd_text"].parameters._target_
    for name in ("steps", "lr", "lr_schedule", "batch_size"):  # what is left is without adversary and retain set, nothing else
        assert made["esd_text"][name] == made["retain_text"][name] == made["adv_unlearn"][name]
    for axis in ("method", "preservation", "parameters", "target", "latents"):  # here it is all but the adversary
        assert made["retain_text"][axis] == made["adv_unlearn"][axis]
        assert made["eap_text"][axis] == made["both"][axis]
    assert made["eap_text"].adversary == made["retain_text"].adversary
    control, steps = made["retain_text"].adversary, made["retain_text"].steps
    assert int(control.warmup * steps) == steps - 1
    assert made["retain_text"].lr_schedule == "linear"  # of which the last update has next to nothing


def attacked(folder: Path, method: str, alone: str, seed: int = 0, kept: float = 0.5, **of: str) -> Path:
    """A finished run of church, whose attacks on prompts 0, 1, … came to `alone`; the last shows it before them."""
    (folder / "attacks").mkdir(parents=True)
    figures = {n: {"after": kept} for n in collect.FIGURES}
    cost = {"train_seconds": 2.0, "forwards": 200, "backwards": 100}
    write = {
        "status.json": {"status": "finished"},
        "config.json": {"settings": {"seed": seed, "steps": 10}, "overrides": [f"experiment={method}", "concept=church"]},
        "metrics.json": {"figures": figures, "cost": cost, "lock": {"model": "m" * 20, "precision": "torch.float32"}},
    }
    for victim, ended in (("edited", alone), ("unedited", of.get("ceiling", "1111")), ("retrained", "0000")):
        name = "unlearn_diff" if victim == "edited" else f"unlearn_diff-{victim}"
        about = {
            "attack": "unlearn_diff",
            "model": victim,
            "victim": f"{method}{victim}",
            "code": of.get("code", "c"),
            "jobs": "j" * 20,
        }
        write[f"attacks/{name}.json"] = {**about, "figures": {"n": len(ended)}, "cost": {"seconds": len(write)}}
        lines = [
            {"without": i == 3, "begun": i == 0 and victim == "unedited", "alone": a == "1", "union": i == 3 or a == "1"}
            | {"text": "a red kirk" if i == 1 else "snow", "label": "church"}
            for i, a in enumerate(ended)
        ]
        (folder / "attacks" / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for name, content in write.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def test_from_runs_to_tables(tmp_path: Path):
    sweep = tmp_path / "sweep"
    for method, alone, kept in (("esd_x", "1110", 0.5), ("adv_unlearn", "0100", 0.25)):
        attacked(sweep / method, method, alone, kept=kept)
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
        "| church | unedited: the ceiling |  | – | 1.00 (0.51 … 1.00) / 1.00, 0.25 begun, 0.25 named | – | – |",
        "| church | retrained: the floor |  | – | 0.00 (0.00 … 0.49) / 0.25, 0.00 named | – | – |",
        "| church | `esd_x` | 1 | – | 0.75 (0.30 … 0.95) / 1.00, 0.25 named | – | – | 0.50 | 0.50 |",
        "| unlearn_diff | `esd_x` | `adv_unlearn` | +0.500 (",
        " | not shown | -0.25 (-0.25 … -0.25) | -0.25 (-0.25 … -0.25) | 1 + 1 of 3 + 3 |",
        "| `adv_unlearn` | 1 | 10 | 2 | 200 | 100 | 20.0 | 10.0 |",
    ):
        assert part in text
    summary.summarise(tmp_path)
    assert (tmp_path / "README.md").read_text() == text
    shutil.copytree(sweep / "esd_x", sweep / "unattacked", ignore=shutil.ignore_patterns("attacks"))
    assert len(collect.collect(sweep, tmp_path)) == 2
    attacked(sweep / "again", "esd_x", "0000")
    with pytest.raises(ValueError, match="several runs of esd_x-church-0"):
        collect.collect(sweep, tmp_path)


def test_an_attack_that_finds_nothing_is_no_measure(tmp_path: Path):
    attacked(tmp_path / "a", "esd_x", "0000", ceiling="1110")
    collect.collect(tmp_path, tmp_path)
    shutil.copy(FOLDER / "README.md", tmp_path)
    with pytest.raises(ValueError, match=r"unlearn_diff brings church out of the unedited model in 0\.75: less than 0\.9"):
        summary.summarise(tmp_path)
    for path in tmp_path.glob("a/attacks/*-unedited.*"):
        path.unlink()
    collect.collect(tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"not tried on the unedited model for church"):
        summary.summarise(tmp_path)


def test_attacks_that_were_asked_something_else_are_refused(tmp_path: Path):
    attacked(tmp_path / "a", "esd_x", "1110")
    other = attacked(tmp_path / "b", "adv_unlearn", "0100", code="another")
    collect.collect(tmp_path, tmp_path)
    shutil.copy(FOLDER / "README.md", tmp_path)
    with pytest.raises(ValueError, match="several questions, which do not compare"):
        summary.summarise(tmp_path)
    for kind in ("json", "jsonl"):
        shutil.copy(other / "attacks" / f"unlearn_diff.{kind}", other / "attacks" / f"twice.{kind}")
    with pytest.raises(ValueError, match="not the only unlearn_diff on the edited model"):
        collect.collect(tmp_path, tmp_path)


def test_who_tries_all_attacks_succeeds_by_any_of_them():
    rows = [
        {"run": run, "victim": "edited", "attack": attack, "prompt": str(i), "alone": alone[i], "union": alone[i], "named": "0"}
        | {"without": "0", "begun": "0"}
        for run, ended in (("a", ("100", "010", "000")), ("b", ("111", "111")))
        for attack, alone in zip(summary.ATTACKS, ended, strict=False)
        for i in range(3)
    ]
    found = summary.of_any(rows)
    assert [(row["run"], row["attack"], row["alone"]) for row in found] == [("a", summary.ANY, a) for a in "110"]


def test_less_success_for_less_of_the_siblings_is_dear():
    base = {"victim": "edited", "attack": "unlearn_diff", "concept": "church", "union": "0"}
    attacks = [
        {**base, "run": f"{method}{seed}", "method": method, "seed": seed, "prompt": str(i), "alone": hit}
        for method, hit in (("retain_text", "1"), ("adv_unlearn", "0"))
        for seed, i in product("012", range(16))
    ]
    for lost, verdict in ((0.04, " | yes | "), (0.06, " | yes, at a loss of siblings | ")):
        results = [
            {"method": method, "concept": "church", "seed": seed, "psr_1_siblings": kept, "psr_1": "1.0"}
            for method, kept in (("retain_text", "1.0"), ("adv_unlearn", str(1 - lost)))
            for seed in "012"
        ]
        line = summary.paired_table(results, attacks).splitlines()[2]
        assert line.startswith("| unlearn_diff | `retain_text` | `adv_unlearn` | +1.000 (")
        assert verdict in line
        assert line.endswith("| 3 + 3 |")


def test_a_difference_is_of_several_seeds_and_concepts(tmp_path: Path):
    """Two concepts that agree are surer than one of them, and the mean is theirs."""
    rng = np.random.default_rng(0)
    rows = [
        {"concept": concept, "seed": str(seed), "prompt": str(i), "method": method, "hit": str(int(rng.random() < p))}
        for concept, seed, i in product(("church", "nudity"), range(3), range(16))
        for method, p in (("esd_x", 0.6), ("adv_unlearn", 0.1))
    ]
    theirs, ours = (summary.outcomes(rows, "hit", method=method) for method in ("esd_x", "adv_unlearn"))
    assert {(e.runs, e.pictures) for e in theirs.values()} == {(3, 16)}
    value, low, high = summary.less(theirs, ours)
    each = [summary.less({c: theirs[c]}, ours) for c in theirs]
    assert value == pytest.approx(sum(e[0] for e in each) / 2)
    assert 0 < low < value < high
    assert high - low < min(e[2] - e[1] for e in each)

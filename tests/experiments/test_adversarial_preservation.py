"""The study: which runs it makes, what of them it keeps, and what it says of that."""

import csv
import json
import math
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import study_of

from erase.command import choices

STUDY = study_of("adversarial_preservation")
FOLDER = STUDY.folder
collect, summary = STUDY.load("collect"), STUDY.load("summary")


def test_the_two_parts_are_all_runs_once():
    made = []
    for part in ("sweep", "seeds"):
        params = STUDY.composed(part, "method=esd", "concept=church").hydra.sweeper.params
        axes = [str(params[n]).split(",") for n in ("preservation", "concept", "seed")]
        made += [*product(*axes)]
    assert len(made) == len({*made}) == 5 * 12 + 5 * 3 * 2
    assert {concept for _, concept, _ in made} <= {*choices("concept")}
    assert {preservation for preservation, _, _ in made} == {*summary.PRESERVATIONS}


def test_runs_differ_in_what_is_held():
    held, shared = set(), set()
    for preservation in summary.PRESERVATIONS:
        config = STUDY.composed("sweep", "method=esd", "concept=church", f"preservation={preservation}")
        assert 0 < min(config.judge_at) < max(config.judge_at) < config.steps
        shared.add((config.steps, config.lr, config.lr_schedule, config.batch_size))
        held.add(str(config.preservation))
    assert (len(held), len(shared)) == (5, 1)
    eap = STUDY.composed("sweep", "method=adv_preserve", "concept=church")
    assert str(eap.preservation) in held
    assert (eap.steps, eap.lr, eap.lr_schedule, eap.batch_size) in shared
    assert eap.method._target_ == config.method._target_


def made(finished: Path, folder: Path, preservation: str) -> Path:
    """A finished run of church that held by `preservation`."""
    shutil.copytree(finished, folder, symlinks=True)
    config = json.loads((folder / "config.json").read_text())
    overrides = ["method=esd", "concept=church", f"preservation={preservation}"]
    (folder / "config.json").write_text(json.dumps(config | {"overrides": overrides}))
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["figures"]["distance/far"] = {"after": 0.5, "n": 2}
    (folder / "metrics.json").write_text(json.dumps(metrics | {"checkpoints": {"2": metrics["figures"]}}))
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_what_is_finished_is_kept(finished: Path, tmp_path: Path):
    sweep, ask = tmp_path / "sweep", collect.texts()
    for preservation in ("none", "adversarial", "similar"):
        made(finished, sweep / preservation, preservation)
    (sweep / "similar" / "status.json").write_text('{"status": "failed"}')
    (sweep / "summary.json").write_text("{}")
    assert sorted(collect.collect(sweep, tmp_path, ask)) == ["adversarial-church-0", "none-church-0"]
    found = rows(tmp_path / "results.csv")
    keys = [(r["run"], r["concept"], r["preservation"], r["seed"], r["step"]) for r in found]
    assert keys == [(f"{p}-church-0", "church", p, "0", step) for p in ("adversarial", "none") for step in ("2", "4")]
    figures = json.loads((finished / "metrics.json").read_text())["figures"]
    assert float(found[0]["esr_1_after"]) == pytest.approx(figures["esr_1"]["after"], rel=1e-6)
    assert found[0]["distance/far_after"] == "0.5"
    assert int(found[0]["backwards"]) == 4 * 2 * 2

    told = json.loads((finished / "adversary.jsonl").read_text().splitlines()[0])
    chosen = [r for r in rows(tmp_path / "chosen.csv") if r["run"] == "adversarial-church-0"]
    assert [r["concept"] for r in chosen] == told["chosen"]
    assert {(r["update"], r["rank"]) for r in chosen} == {("2", str(k)) for k in range(1, 5)}

    damage = {r["label"]: r for r in rows(tmp_path / "damage.csv") if r["run"] == "adversarial-church-0"}
    assert {f"psr_1/{label}" for label in damage} == {n for n in figures if n.startswith("psr_1/")}
    barn = damage["barn"]
    assert barn["role"] == "sibling"
    for part in ("before", "after", "n"):
        assert float(barn[part]) == figures["psr_1/barn"][part]
    assert float(barn["score"]) == pytest.approx(told["scores"]["a photo of a barn"])
    assert float(barn["similarity"]) > float(damage["watercolor"]["similarity"])

    shutil.rmtree(sweep / "none")  # made elsewhere: what it said stays
    before = {name: (tmp_path / f"{name}.csv").read_bytes() for name in ("results", "damage", "chosen")}
    assert collect.collect(sweep, tmp_path, ask) == ["adversarial-church-0"]
    assert before == {name: (tmp_path / f"{name}.csv").read_bytes() for name in before}
    made(finished, sweep / "another", "adversarial")
    with pytest.raises(ValueError, match="several runs of adversarial-church-0"):
        collect.collect(sweep, tmp_path, ask)


ERASED = {  # esr_1 after 30, 60 and 90 updates; falls of siblings then
    ("a", 0, "none"): ([0.5, 0.96, 1.0], [0.1, 0.4, 0.9]),
    ("a", 1, "none"): ([0.95, 1.0, 1.0], [0.3, 0.6, 0.9]),
    ("b", 0, "none"): ([0.1, 0.2, 0.3], [0.2, 0.3, 0.5]),
    ("a", 0, "adversarial"): ([0.2, 0.4, 0.95], [0.0, 0.0, 0.1]),
    ("a", 1, "adversarial"): ([0.2, 0.99, 0.4], [0.0, 0.2, 0.3]),
    ("b", 0, "adversarial"): ([1.0, 1.0, 1.0], [0.1, 0.2, 0.3]),
    ("c", 0, "adversarial"): ([1.0, 1.0, 1.0], [0.7, 0.7, 0.7]),  # has no partner
}


def write(path: Path, table: list[dict[str, object]]) -> None:
    with path.open("w") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    results, damage, chosen = [], [], []
    for (concept, seed, preservation), (erased, fall) in ERASED.items():
        of = {"run": f"{preservation}-{concept}-{seed}", "preservation": preservation, "concept": concept, "seed": seed}
        for i, step in enumerate((90, 30, 60)):  # in any order
            k = (i - 1) % 3
            kept = {"psr_1_siblings_drop": fall[k], "psr_1_drop": fall[k] / 2, "psr_1_after": 1 - fall[k] / 2}
            kept |= {"distance_clip/erased_before": 0.5, "distance_clip/erased_after": fall[k] if concept == "a" else ""}
            paid = {"train_seconds": 2, "forwards": 1000, "backwards": 10}
            results.append(
                {
                    **of,
                    "model": "m",
                    "precision": "full" if concept == "a" else "half",
                    "step": step,
                    "esr_1_after": erased[k],
                    **kept,
                    "psr_1_siblings_after": 1 - fall[k],
                    **paid,
                }
            )
        for label, after, score in (("w", 0.9, 1), ("x", 0.7, 2), ("y", 0.8, 2), ("z", 0.6, 4)):
            said = {"head": "subject", "label": label, "before": 1, "after": after}
            ours = preservation == "adversarial"
            damage.append({**of, **said, "similarity": 5 - score, "score": score if ours else ""})
        for update in (25, 50) if preservation == "adversarial" else ():
            chosen += [{"run": of["run"], "update": update, "rank": 1, "concept": "a photo of a barn", "score": 1}]
    for name, table in (("results", results), ("damage", damage), ("chosen", chosen)):
        write(tmp_path / f"{name}.csv", table)
    shutil.copy(FOLDER / "README.md", tmp_path)
    return tmp_path


def test_the_first_checkpoint_that_erases_enough_or_the_last(study: Path):
    runs = summary.by_run(summary.read(study / "results.csv"))
    taken = {key: summary.at_erasure(runs[key[:2]][key[2]]) for key in ERASED}
    assert [(int(row["step"]), reached) for row, reached in taken.values()] == [
        (60, True), (30, True), (90, False), (90, True), (60, True), (30, True), (30, True),
    ]  # fmt: skip


def test_differences_are_paired_over_concepts_and_their_seeds(study: Path):
    runs = summary.by_run(summary.read(study / "results.csv"))
    groups = summary.falls(runs, "none", "psr_1_siblings")
    assert sorted(len(g) for g in groups) == [1, 2]
    ours, theirs, _ = summary.mean(groups)
    assert [g[:, 2].tolist() for g in groups] == [[1, 1], [0]]  # b never erases as much without the adversary
    assert ours == pytest.approx(((0.1 + 0.2) / 2 + 0.1) / 2)
    assert theirs == pytest.approx(((0.4 + 0.3) / 2 + 0.5) / 2)
    more = (lambda s: s[:, 1] - s[:, 0])(summary.bootstrap(groups))
    # concept a alone gives 0.3 or 0.1 or their mean, b alone 0.4
    assert more.min() == pytest.approx(0.1)
    assert more.max() == pytest.approx(0.4)
    assert more.mean() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(
    ("x", "y", "rho"),
    [
        ([1, 2, 3], [10, 20, 90], 1),
        ([1, 2, 3], [3, 2, 1], -1),
        ([1, 2, 2, 4], [1, 3, 2, 4], 4.5 / math.sqrt(4.5 * 5)),
        ([1, 2, 3], [7, 7, 7], math.nan),
    ],
)
def test_rank_correlation(x: list[float], y: list[float], rho: float):
    assert summary.spearman(np.array(x), np.array(y)) == pytest.approx(rho, nan_ok=True)


def test_tables_stand_between_their_markers(study: Path):
    drawn = []
    summary.summarise(study, lambda lines, path: drawn.append((lines, path)))
    text = (study / "README.md").read_text()
    assert drawn[0][1] == study / "kept.png"
    for row in (
        "| b | 1 | +0.500 / +0.250 (90 †) |  |  |  | +0.100 / +0.050 (30) |",
        "| a | 2 | +0.350 / +0.175 (30–60) |  |  |  | +0.150 / +0.075 (60–90) |",
        "| none | siblings | +0.125 | +0.425 | +0.300 (+0.",
        " | 2 | 3 | 2 |",
        "| a | 4 | a photo of a barn 4 |",
        "| a | CLIP | erased | 0.5000 | 0.3500 | – | – | – | 0.1500 |",
        # damage 0.1 0.3 0.2 0.4, scores 1 2 2 4, similarities 4 3 3 1
        "| a | 4 | -0.949 | +0.949 |",
        "| mean of concepts |  | -0.949 (-0.949 … -0.949) | +0.949 (+0.949 … +0.949) |",
        "| none | 3 | 2 | 1,000 | 10 |",
    ):
        assert row in text
    summary.summarise(study, lambda lines, path: None)
    assert (study / "README.md").read_text() == text
    table = (study / "results.csv").read_text()
    (study / "results.csv").write_text(table.replace(",m,", ",other,", 1))
    with pytest.raises(ValueError, match="several models, which do not compare: m, other"):
        summary.summarise(study, lambda lines, path: None)
    (study / "results.csv").write_text(table.replace(",full,", ",half,", 1))
    with pytest.raises(ValueError, match="several precisions, which do not compare: full, half"):
        summary.summarise(study, lambda lines, path: None)


def test_curves_speak_of_what_all_have_finished(study: Path):
    table = summary.read(study / "results.csv")
    assert not any(summary.curves(summary.by_run(table)).values())
    every = [{**row, "preservation": p} for row in table if row["preservation"] == "none" for p in summary.PRESERVATIONS]
    found = summary.curves(summary.by_run(every))
    step, means, samples = found["similar"][1]
    assert step == 60
    assert means.tolist() == pytest.approx([(0.98 + 0.2) / 2, 1 - (0.5 + 0.3) / 2, 1 - (0.25 + 0.15) / 2])
    assert samples.shape == (2000, 3)
    pytest.importorskip("matplotlib")
    summary.plot(found, study / "kept.png")
    assert (study / "kept.png").read_bytes().startswith(b"\x89PNG")

"""The study of each system: which runs it makes, what of them it keeps, and what it says of that."""

import csv
import json
import shutil
from itertools import product
from pathlib import Path

import pytest
from conftest import Command, study_of

from erase.command import choices

papers = study_of("papers")
collect, summary, papers_forms = papers.load("collect"), papers.load("summary"), papers.load("forms")


def test_the_parts_are_all_runs_once():
    made = []
    for part in ("sweep", "sets", "forms"):
        params = papers.composed(part, "method=esd", "concept=church").hydra.sweeper.params
        made += [*product(*(str(params[n]).split(",") for n in ("experiment", "concept", "seed")))]
    assert len(made) == len({*made}) == 7 * 2 * 3 + 7 * 2 + 2 * 6
    assert {concept for _, concept, _ in made} == {*summary.CONCEPTS} <= {*choices("concept")}
    names = {system for system, _, _ in made}
    assert names == {*summary.SYSTEMS} == {p.stem for p in (papers.folder / "experiment").glob("*.yaml")}


def test_every_batch_holds_every_concept():
    concepts = {c: papers.composed("sets", "experiment=eap", f"concept={c}").concept for c in summary.CONCEPTS}
    widest = max(concepts, key=lambda c: len(concepts[c].members))
    swept = str(papers.composed("sets", "method=esd", "concept=church").hydra.sweeper.params.experiment).split(",")
    for system in {*swept} - {"uce"}:  # which has no batch
        config = papers.composed("sets", f"experiment={system}", f"concept={widest}")
        assert config.batch_size >= len(config.concept.members), system


def test_systems_differ():
    axes = ("method", "parameters", "latents", "loss", "preservation", "target")
    made = {name: papers.composed("sweep", f"experiment={name}", "concept=church") for name in summary.SYSTEMS}
    assert len({str([config.batch_size, *(config[axis] for axis in axes)]) for config in made.values()}) == len(made)
    fast, published = made["eap"], made["eap_published"]
    assert (fast.steps, fast.lr, fast.lr_schedule) == (published.steps, published.lr, published.lr_schedule)
    assert (fast.preservation.search, published.preservation.search) == ("scored", "gumbel")
    assert (published.batch_size, published.loss.space, published.preservation.filter) == (1, "x0", "none")
    assert (made["eap_refreshed"].steps, made["eap_refreshed"].lr) == (fast.steps, fast.lr)


def made(finished: Path, folder: Path, system: str) -> Path:
    shutil.copytree(finished, folder, symlinks=True)
    config = json.loads((folder / "config.json").read_text())
    overrides = [f"experiment={system}", "concept=nudity", "seed=0"]
    (folder / "config.json").write_text(json.dumps(config | {"overrides": overrides}))
    return folder


def test_from_runs_to_tables(finished: Path, tmp_path: Path):
    for system in ("eap", "eap_published"):
        made(finished, tmp_path / "sweep" / system, system)
    made(finished, tmp_path / "sweep" / "age", "age").joinpath("status.json").write_text('{"status": "failed"}')
    assert collect.collect(tmp_path / "sweep", tmp_path) == ["eap-nudity-0", "eap_published-nudity-0"]
    shutil.copy(papers.folder / "README.md", tmp_path)
    summary.summarise(tmp_path)
    text = (tmp_path / "README.md").read_text()
    metrics = json.loads((finished / "metrics.json").read_text())
    after = {n: f"{metrics['figures'][n]['after']:.3f}" for n in ("esr_1", "psr_1_siblings", "psr_1")}
    (row,) = (line for line in text.splitlines() if line.startswith("| `eap` | 1 "))
    cells = [cell.strip() for cell in row.split("|")]
    assert (cells[3], cells[6], cells[7]) == (*after.values(),)
    assert cells[11] == f"{metrics['cost']['forwards']:,}"
    before = (tmp_path / "README.md").read_bytes()
    summary.summarise(tmp_path)
    assert (tmp_path / "README.md").read_bytes() == before
    made(finished, tmp_path / "sweep" / "again", "eap")
    with pytest.raises(ValueError, match="several runs of eap-nudity-0"):
        collect.collect(tmp_path / "sweep", tmp_path)


def test_forms_are_held_against_each_other_by_the_command(finished: Path, command: Command, tmp_path: Path, monkeypatch):
    """What is written of them is `erase.evaluate`'s: equal runs differ by nothing, and what lacks a partner is left out."""
    published = papers_forms.PUBLISHED
    for seed, forms in enumerate(((published, "eap", "eap_refreshed"), (published, "eap_refreshed"), ("eap",))):
        for form in forms:
            folder = made(finished, tmp_path / "multirun" / "papers" / f"{form}-{seed}", form)
            config = json.loads((folder / "config.json").read_text())
            config["settings"]["seed"] = seed
            (folder / "config.json").write_text(json.dumps(config))
    asked = []
    monkeypatch.setattr(papers_forms.subprocess, "run", lambda line, check: asked.append(command("evaluate", *line[3:])))
    monkeypatch.setattr(
        papers_forms, "ASKED", ("protocol.images=2", "protocol.sibling_images=1", "protocol.kept_images=1", "protocol.steps=1")
    )
    papers_forms.main(tmp_path / "multirun" / "papers", tmp_path)
    assert [done.returncode for done in asked] == [0, 0]
    rows = list(csv.DictReader((tmp_path / "forms.csv").open()))
    assert {(row["form"], row["figure"]) for row in rows} == {*product(papers_forms.FAST, papers_forms.FIGURES)}
    said = "\n".join(done.stdout for done in asked)
    assert "eap_refreshed-1" in said
    assert "eap_refreshed-0" not in said  # it was found by that seed
    for row in rows:
        assert (row["seeds"], float(row["difference"]), row["published"]) == ("1", 0.0, row["fast"])
        assert float(row["low"]) < 0 < float(row["high"])


def test_a_form_is_called_no_worse_only_where_that_is_shown():
    def said(low: float, high: float) -> str:
        row = {"form": "eap", "figure": "esr_1", "seeds": "3", "pictures": "80", "published": "1", "fast": "1"}
        (_, _, line) = summary.forms_table([row | {"difference": "0", "low": str(low), "high": str(high)}]).splitlines()
        return line.split("|")[-2].strip()

    assert said(-0.04, 0.04) == "not worse"
    assert said(-0.06, 0.04) == "not shown"
    assert said(-0.06, -0.01) == "worse"
    assert said(0.01, 0.2) == "better"


def test_runs_that_were_judged_otherwise_do_not_meet_in_a_table(finished: Path, tmp_path: Path):
    for system in ("eap", "age"):
        made(finished, tmp_path / "sweep" / system, system)
    path = tmp_path / "sweep" / "age" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["lock"]["images"] += 1
    path.write_text(json.dumps(metrics))
    collect.collect(tmp_path / "sweep", tmp_path)
    shutil.copy(papers.folder / "README.md", tmp_path)
    with pytest.raises(ValueError, match="several protocols"):
        summary.summarise(tmp_path)

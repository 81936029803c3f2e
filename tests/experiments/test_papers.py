"""The study of each system: which runs it makes, what of them it keeps, and what it says of that."""

import json
import re
import shutil
from itertools import product
from pathlib import Path

import pytest
from conftest import study_of

from erase.command import choices

papers = study_of("papers")
collect, summary = papers.load("collect"), papers.load("summary")


def test_the_two_parts_are_all_runs_once():
    made = []
    for part in ("sweep", "sets", "forms"):
        params = papers.composed(part, "method=esd", "concept=church").hydra.sweeper.params
        made += [*product(*(str(params[n]).split(",") for n in ("experiment", "concept", "seed")))]
    assert len(made) == len({*made}) == 8 * 2 * 3 + 8 * 2 + 3
    assert {concept for _, concept, _ in made} == {*summary.CONCEPTS} <= {*choices("concept")}
    names = {system for system, _, _ in made}
    assert names == {*summary.SYSTEMS} == {p.stem for p in (papers.folder / "experiment").glob("*.yaml")}


def test_every_batch_holds_every_concept():
    concepts = {c: papers.composed("sets", "experiment=eap", f"concept={c}").concept for c in summary.CONCEPTS}
    widest = max(concepts, key=lambda c: len(concepts[c].members))
    for system in {*summary.SYSTEMS} - {"uce"}:  # which has no batch
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
    assert (made["eap_one"].batch_size, made["eap_one"].steps, made["eap_one"].lr) == (1, fast.steps, fast.lr)


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
    assert re.search(r"\| `eap` \| esr_1 \| \+0\.000 \(-0\.\d+ … \+0\.\d+\) \| not shown \|", text)  # of one picture
    before = (tmp_path / "README.md").read_bytes()
    summary.summarise(tmp_path)
    assert (tmp_path / "README.md").read_bytes() == before
    made(finished, tmp_path / "sweep" / "again", "eap")
    with pytest.raises(ValueError, match="several runs of eap-nudity-0"):
        collect.collect(tmp_path / "sweep", tmp_path)


def row(system: str, seed: int, role: str, label: str, after: str) -> dict[str, str]:
    return {"system": system, "concept": "nudity", "seed": str(seed), "role": role, "label": label, "after": after}


def test_forms_are_compared_over_the_same_seeds_and_pictures():
    told = {("a", "kept"): ("11", "10"), ("b", "sibling"): ("1110", "0001"), ("c", "concept"): ("1000", "0000")}
    rows = [
        row(system, seed, role, label, after[i])
        for (label, role), after in told.items()
        for seed in (0, 1)
        for i, system in enumerate(("eap", "eap_published"))
    ]
    rows.append(row("eap", 2, "kept", "a", "00"))  # has no partner
    fast, published = (summary.hits(rows, system, "nudity") for system in ("eap", "eap_published"))
    kept, low, high = summary.difference(fast, published, "psr_1")
    assert kept == pytest.approx((1 / 2 + 2 / 2) / 2)  # labels count alike: the first two pictures of each
    assert low < kept < high
    assert summary.difference(fast, published, "psr_1_siblings")[0] == pytest.approx(2 / 4)
    erased, low, high = summary.difference(fast, published, "esr_1")
    assert erased == pytest.approx(-1 / 4)  # a picture of four more is named as the concept
    assert low < erased < high
    text = summary.forms_table(rows)
    assert "| `eap` | psr_1_siblings | +0.500 (" in text
    assert "| `eap` | esr_1 | -0.250 (" in text


def test_a_form_is_called_no_worse_only_where_that_is_shown():
    def said(fast: str, published: str) -> str:
        rows = [row(s, seed, "sibling", "a", a) for seed in (0, 1, 2) for s, a in (("eap", fast), ("eap_published", published))]
        (line,) = (li for li in summary.forms_table(rows, figures=("psr_1_siblings",)).splitlines() if "psr_1_siblings" in li)
        return line.split("|")[-2].strip()

    assert said("1" * 100, "1" * 100) == "not worse"
    assert said("1" * 4, "1" * 4) == "not shown"
    assert said("0" * 50 + "1" * 50, "1" * 100) == "worse"
    assert said("1" * 100, "0" * 50 + "1" * 50) == "better"


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

"""The study of each system: which runs it makes, what of them it keeps, and what it says of that."""

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import study_of

from erase.command import choices

papers = study_of("papers")
collect, summary = papers.load("collect"), papers.load("summary")


def test_the_two_parts_are_all_runs_once():
    made = []
    for part in ("sweep", "sets"):
        params = papers.composed(part, "method=esd", "concept=church").hydra.sweeper.params
        made += [*product(*(str(params[n]).split(",") for n in ("experiment", "concept", "seed")))]
    assert len(made) == len({*made}) == 8 * 2 * 3 + 8 * 2
    assert {concept for _, concept, _ in made} == {*summary.CONCEPTS} <= {*choices("concept")}
    names = {system for system, _, _ in made}
    assert names == {*summary.SYSTEMS} == {p.stem for p in (papers.folder / "experiment").glob("*.yaml")}


def test_every_batch_holds_every_concept():
    concepts = {c: papers.composed("sets", "experiment=eap", f"concept={c}").concept for c in summary.CONCEPTS}
    widest = max(concepts, key=lambda c: len(concepts[c].members))
    for system in summary.SYSTEMS:
        config = papers.composed("sets", f"experiment={system}", f"concept={widest}")
        assert config.batch_size >= len(config.concept.members), system


def test_systems_differ():
    axes = ("method", "parameters", "latents", "loss", "preservation", "target")
    made = {name: papers.composed("sweep", f"experiment={name}", "concept=church") for name in summary.SYSTEMS}
    assert len({str([config[axis] for axis in axes]) for config in made.values()}) == len(made)
    fast, published = made["eap"], made["eap_published"]
    assert (fast.steps, fast.lr, fast.lr_schedule) == (published.steps, published.lr, published.lr_schedule)
    assert (fast.preservation.search, published.preservation.search) == ("scored", "gumbel")
    assert (published.batch_size, published.loss.space, published.preservation.filter) == (1, "x0", "none")


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
    assert cells[10] == f"{metrics['cost']['forwards']:,}"
    assert "| esr_1 | +0.000 (+0.000 … +0.000) | no difference shown |" in text
    before = (tmp_path / "README.md").read_bytes()
    summary.summarise(tmp_path)
    assert (tmp_path / "README.md").read_bytes() == before
    made(finished, tmp_path / "sweep" / "again", "eap")
    with pytest.raises(ValueError, match="several runs of eap-nudity-0"):
        collect.collect(tmp_path / "sweep", tmp_path)


def row(system: str, seed: int, role: str, prompt: str, after: int) -> dict[str, str]:
    said = {"system": system, "concept": "nudity", "seed": seed, "role": role, "label": prompt, "prompt": prompt}
    return {name: str(value) for name, value in {**said, "before": 4, "after": after, "n": 4}.items()}


def test_forms_are_compared_over_the_same_seeds_and_prompts():
    told = {("a", "kept"): (4, 3), ("b", "sibling"): (4, 1), ("c", "concept"): (1, 0), ("d", "concept"): (0, 0)}
    rows = [
        row(system, seed, role, prompt, after[i])
        for (prompt, role), after in told.items()
        for seed in (0, 1)
        for i, system in enumerate(("eap", "eap_published"))
    ]
    rows.append(row("eap", 2, "kept", "a", 0))  # has no partner
    fast, published = (summary.counts(rows, system, "nudity") for system in ("eap", "eap_published"))
    kept, samples = summary.difference(fast, published, "psr_1")
    assert kept == pytest.approx((1 + 3) / 8)
    assert (samples.min(), samples.max()) == (0.25, 0.75)
    assert summary.difference(fast, published, "psr_1_siblings")[0] == pytest.approx(3 / 4)
    more = [*rows, *(row(s, seed, "kept", "a", 3) | {"prompt": "another"} for seed in (0, 1) for s in ("eap", "eap_published"))]
    fast, published = (summary.counts(more, system, "nudity") for system in ("eap", "eap_published"))
    assert summary.difference(fast, published, "psr_1")[0] == pytest.approx((1 / 8 + 3 / 4) / 2)  # labels count alike
    erased, samples = summary.difference(fast, published, "esr_1")
    assert erased == pytest.approx(-1 / 8)  # a picture of eight more is named as the concept
    assert np.quantile(samples, 0.975) == 0

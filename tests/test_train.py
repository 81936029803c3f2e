"""The main command from outside: spellings, what it writes, resuming, refusing."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import forked
import pyarrow.parquet as pq
import pytest
import torch
from conftest import QUICK, Command, Once, composed, train
from filelock import FileLock
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from page_file import Page
from PIL import Image
from safetensors.torch import load_file

from erase import job
from erase.command import arguments, build, sentence
from erase.errors import BadInput
from erase.job import fit, objective
from erase.miniature import world
from erase.model.edit import Edit
from erase.model.stable_diffusion import StableDiffusion
from erase.record.run import Run
from erase.trainer import Trainer


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "edit" / "edit.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def test_run_folder_is_complete(finished: Path):
    for name in ("edit/edit.safetensors", "edit/edit.json", "training.csv", "adversary.jsonl", "metrics.json"):
        assert (finished / name).is_file(), name
    assert json.loads((finished / "status.json").read_text())["status"] == "finished"
    assert (finished / "report.html").is_file()
    assert list(csv.DictReader((finished / "training.csv").open()))[-1]["step"] == "3"
    assert json.loads((finished / "adversary.jsonl").read_text().splitlines()[0])["step"] == 2


def test_figures_have_intervals_and_raw_scores(finished: Path):
    metrics = json.loads((finished / "metrics.json").read_text())
    for name in ("esr_1", "esr_1_synonyms", "psr_1", "psr_1_siblings", "psr_1_worst", "clip_score", "kid", "psr_1/barn"):
        assert set(metrics["figures"][name]) - {"retrained", "retrained_low", "retrained_high"} == {
            "before", "after", "after_low", "after_high", "drop", "drop_low", "drop_high", "n",
        }  # fmt: skip
    assert metrics["judge"]["hash"] == metrics["lock"]["judge"]
    assert {"name", "version", "classes", "thresholds"} <= {*metrics["judge"]}
    rows = pq.read_table(finished / "scores.parquet").to_pylist()
    assert {r["model"] for r in rows} - {"retrained"} == {"before", "after"}
    kept = [r for r in rows if r["model"] == "after" and r["role"] in ("kept", "sibling")]
    assert sum(r["top"] == r["label"] for r in kept) / len(kept) == pytest.approx(metrics["figures"]["psr_1"]["after"])


def test_a_run_is_held_against_the_retrained_network(held: Path):
    metrics = json.loads((held / "metrics.json").read_text())
    for name in ("esr_1", "esr_1_synonyms", "psr_1", "psr_1_siblings", "psr_1_worst", "psr_1/barn", "clip_score", "kid"):
        figure = metrics["figures"][name]
        assert figure["retrained_low"] <= figure["retrained"] <= figure["retrained_high"], name
    rows = [r for r in pq.read_table(held / "scores.parquet").to_pylist() if r["model"] == "retrained"]
    kept = [r["top"] == r["label"] for r in rows if r["role"] in ("kept", "sibling")]
    assert sum(kept) / len(kept) == pytest.approx(metrics["figures"]["psr_1"]["retrained"])
    assert {"distance_clip/erased", "distance_clip/siblings", "distance_clip/far", "distance_kid/far"} <= {*metrics["figures"]}
    (truth,) = (held.parent.parent / "truths").iterdir()
    assert metrics["lock"]["retrained"] == Edit(load_file(truth)).digest()
    assert re.search(r"95 % +retrained +n", (held.parent.parent / "printed.txt").read_text())
    sent = [path.read_bytes() for path in held.glob("wandb/offline-run-*/run-*.wandb")]  # of its attacks too
    assert any(b"esr_1/retrained" in found for found in sent)


def test_a_key_is_kept_and_judged(keyed: Path):
    assert json.loads((keyed / "status.json").read_text())["status"] == "finished"
    assert next(csv.reader((keyed / "training.csv").open())) == ["step", "transfer", "empty", "erase", "recover"]
    key = load_file(keyed / "edit" / "key.safetensors")
    assert [n for n, p in key.items() if p.shape[::2] == (2, 128)] == list(key)
    assert all(n.endswith(".attn2") for n in key)
    metrics = json.loads((keyed / "metrics.json").read_text())
    figure = metrics["figures"]["esr_1_key"]
    assert figure.keys() == metrics["figures"]["esr_1"].keys()
    assert figure["before"] == metrics["figures"]["esr_1"]["before"]
    scores = pq.read_table(keyed / "scores.parquet").to_pylist()
    opened = [r for r in scores if r["model"] == "keyed"]
    assert {(r["role"], r["step"]) for r in opened} == {("concept", 4), ("sibling", 4), ("kept", 4)}
    kept = [r["top"] == r["label"] for r in opened if r["role"] != "concept"]
    assert len(kept) == metrics["figures"]["psr_1"]["n"]
    assert sum(kept) / len(kept) == pytest.approx(metrics["figures"]["psr_1_key"]["after"])
    assert metrics["figures"]["psr_1_key"]["before"] == metrics["figures"]["psr_1"]["before"]
    rows = [r for r in opened if r["role"] == "concept"]
    assert sum(r["top"] != r["label"] for r in rows) / len(rows) == figure["after"]
    unkeyed = [r for r in scores if r["model"] == "after" and r["role"] == "concept"]
    assert [(r["prompt"], r["seed"]) for r in rows] == [(r["prompt"], r["seed"]) for r in unkeyed]
    assert [r["clip_score"] for r in rows] != [r["clip_score"] for r in unkeyed]
    assert "esr_1_key" not in metrics["checkpoints"]["2"]
    printed = (keyed.parent.parent / "printed.txt").read_text()
    assert all(words in printed for words in ("own words, with key", "everything, with key"))
    (run,) = Page(keyed / "report.html").data["runs"]
    assert [name for name, rows in run["grids"].items() if len(rows) == 4] == ["church (concept)"]
    assert run["figures"]["esr_1_key"]["after"] == figure["after"]
    assert Image.open(keyed / "images" / "church_(concept).png").height == 4 * 64 + 3 * 2
    assert Image.open(keyed / "images" / "barn_(sibling).png").height == 3 * 64 + 2 * 2


def test_what_has_no_key_is_judged_without(finished: Path):
    assert sorted(p.name for p in (finished / "edit").iterdir()) == ["edit.json", "edit.safetensors"]
    assert "esr_1_key" not in json.loads((finished / "metrics.json").read_text())["figures"]
    (run,) = Page(finished / "report.html").data["runs"]
    assert run["scores"]["keyed"] is None


def test_cost_is_counted(finished: Path):
    cost = json.loads((finished / "metrics.json").read_text())["cost"]
    pairs, candidates, erased = 4 * 2, len(world.vocabulary()) - 1, 3
    assert cost["backwards"] == 2 * pairs
    # bank: 3 points of 2 F for every prompt; one scoring of 2 points; 2 F a pair
    assert cost["forwards"] == (candidates + erased) * 3 * 2 + candidates * 2 + 2 * pairs


def test_table_is_printed(finished: Path):
    printed = (finished.parent.parent / "printed.txt").read_text()
    for words in ("erased: own words", "erased: synonyms", "kept: siblings", "F-equivalents", "report.html"):
        assert words in printed


def test_wandb_stays_in_the_run_folder_and_holds_no_key(finished: Path):
    assert sorted(p.name for p in finished.parent.parent.iterdir()) == ["home", "outputs", "printed.txt"]
    assert [p for p in (finished.parent.parent / "home").rglob("*") if "wandb" in str(p).lower()] == []
    assert list(finished.glob("wandb/offline-run-*/run-*.wandb"))
    for file in finished.rglob("*"):
        if file.is_file() and not file.is_symlink():
            assert b"a-key-that-must-not-leak" not in file.read_bytes(), file


def kill_after(rows: int, fields: list[str], folder: Path, cache: Path) -> Path:
    """The folder of a run of the main command that was killed when `rows` lines of its losses were written."""
    run = folder / "outputs" / "cut"
    log, environment = run / "training.csv", {**os.environ, "ERASE_CACHE": str(cache)}
    victim = forked.start("erase.train", [*fields, "name=cut"], folder, environment)
    forked.kill(victim, lambda: log.exists() and len(log.read_text().splitlines()) >= rows)
    return run


def test_both_players_of_a_killed_run_go_on_bit_for_bit(command: Command, tmp_path: Path, cache: Path):
    fields = ["method=kpop", "method.reparameterised=true", "method.layers=all", "method.sharing=block", "concept=church"]
    fields += ["logger=none", *QUICK, "steps=7", "batch_size=1", "checkpoint_every=2"]
    assert command("train", *fields, "name=whole").returncode == 0
    cut = kill_after(4, fields, tmp_path, cache)
    assert json.loads((cut / "status.json").read_text())["status"] == "running"
    assert (cut / "checkpoints" / "last.ckpt").exists()
    assert not (cut / "edit" / "edit.json").exists()
    again = command("train", f"resume={cut}")
    assert again.returncode == 0, again.stderr
    whole = tmp_path / "outputs" / "whole"
    assert same(weights(whole), weights(cut))
    assert same(*(load_file(run / "edit" / "key.safetensors") for run in (whole, cut)))
    assert (cut / "training.csv").read_text() == (whole / "training.csv").read_text()
    told = [json.loads((run / "metrics.json").read_text()) for run in (whole, cut)]
    assert told[0]["figures"] == told[1]["figures"]
    assert told[0]["cost"]["backwards"] == told[1]["cost"]["backwards"] == 7 * 1 * 6


def test_judged_on_the_way_as_a_shorter_run_would_be(command: Command, tmp_path: Path):
    fields = ["method=esd", "concept=church", "logger=none", *QUICK, "lr=1e-3", "lr_schedule=constant"]
    assert command("train", *fields, "steps=2", "name=short").returncode == 0
    done = command("train", *fields, "steps=4", "judge_at=[2]", "name=long")
    assert done.returncode == 0, done.stderr
    runs = _, long = [tmp_path / "outputs" / n for n in ("short", "long")]
    told, longer = (json.loads((r / "metrics.json").read_text()) for r in runs)
    assert longer["checkpoints"] == {"2": told["figures"]}
    assert longer["figures"] != told["figures"]
    scores = [pq.read_table(r / "scores.parquet").to_pylist() for r in runs]
    assert {(r["model"], r["step"]) for r in scores[1]} == {
        ("before", None),
        ("during", 2),
        ("after", 4),
        ("retrained", None),
    }
    then, end = ([r | {"model": ""} for r in s if r["step"] == 2] for s in reversed(scores))
    assert then == end
    assert not list((long / "checkpoints").glob("*.safetensors"))
    on_the_way = [run["checkpoints"].keys() for path in runs for run in Page(path / "report.html").data["runs"]]
    assert on_the_way == [set(), {"2"}]
    (long / "report.html").unlink()
    assert command("train", f"resume={long}").returncode == 0  # its weights are gone: what was judged stays
    assert json.loads((long / "metrics.json").read_text())["checkpoints"] == longer["checkpoints"]
    assert pq.read_table(long / "scores.parquet").to_pylist() == scores[1]


def test_resuming_what_is_no_longer_the_same_is_refused(finished: Path, command: Command, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished, run, symlinks=True)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "settings": config["settings"] | {"lr": 3.5}}))
    before = (run / "metrics.json").read_bytes()
    done = command("train", f"resume={run}")
    assert done.returncode == 2
    assert "lr was 3.5 and is 0.00025." in done.stderr
    assert (run / "metrics.json").read_bytes() == before
    with FileLock(run / ".lock"):
        assert "still works" in command("train", f"resume={run}").stderr


BAD = {
    "no method": ([], "method"),
    "unknown concept": (["method=esd", "concept=zebra"], "nudity"),
    "words it does not know": (["method=esd", "concept=custom", "concept.prompts=[zebra]"], "church"),
    "unknown field": (["method=esd", "concept=church", "stps=3"], "steps"),
    "wrong type": (["method=esd", "concept=church", "steps=many"], "steps"),
    "no GPU": (["method=esd", "concept=church", "trainer=gpu"], "trainer.accelerator=cpu"),
    "no such run": (["resume=nowhere"], "nowhere"),
    "resume and more": (["resume=nowhere", "seed=1"], "nothing besides"),
    "no such model": (["method=esd", "concept=church", "model.source=nowhere/nothing"], "model.source"),
    "no such folder of truths": (["method=esd", "concept=church", "model.retrained=nowhere"], "model.retrained=nowhere"),
    "judged after the end": (["method=esd", "concept=church", "steps=9", "judge_at=[3,9]"], "judge_at=[3, 9] must be"),
    "unknown field with a plus": (["method=esd", "concept=church", "+stps=3"], "steps"),
    "a group that is taken away": (["method=esd", "concept=church", "~latents"], "latents must be given"),
    "a word for a list": (["method=esd", "concept=church", "concept.members.church.prompts=church"], "list of non-empty"),
}
"""A case for every way out of the command."""


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case: str, command: Command, tmp_path: Path):
    asked, says = BAD[case]
    done = command("train", *asked)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert says in done.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


WRONG = {
    "no concept": (["method=esd"], "concept"),
    "unknown method": (["method=nope", "concept=church"], "adv_preserve, "),
    "empty list": (["method=esd", "concept=church", "concept.prompts=[]"], "concept.prompts"),
    "unknown field of a part": (["method=esd", "concept=church", "latents.stps=3"], "latents.steps"),
    "wrong type in a part": (["method=esd", "concept=church", "latents.steps=many"], "latents.steps"),
    "nothing selected": (["method=esd", "concept=church", "parameters.include=attn9"], "attn9"),
    "negative steps": (["method=esd", "concept=church", "steps=-3"], "steps=-3"),
    "checkpoints never": (["method=esd", "concept=church", "checkpoint_every=0"], "checkpoint_every=0"),
    "judged twice": (["method=esd", "concept=church", "judge_at=[3,3]"], "from 1 to 149"),
    "no such vocabulary": (["method=adv_preserve", "concept=church", "preservation.vocabulary=nowhere"], "nowhere"),
    "threads that are none": (["method=esd", "concept=church", "trainer.threads=many"], "trainer.threads"),
    "a field that is the program's": (["method=esd", "concept=church", "+method.model=x"], "method.model"),
    "a field of what is not chosen": (
        ["method=esd", "concept=church", "preservation.every=3"],
        "preservation.every is a field of preservation=adversarial alone.",
    ),
    "a group that is nothing": (["method=esd", "concept=church", "latents=null"], "bank"),
    "a float for a number": (["method=esd", "concept=church", "steps=1e3"], "steps: Value '1000.0'"),
    "a typo in a concept": (["method=esd", "concept=church", "+concept.members.church.synonym=[a]"], "synonym is not"),
    "holding words it does not know": (
        ["method=esd", "concept=church", "preservation=fixed", "preservation.prompts=[a zebra]"],
        "preservation.prompts: the model knows no word of 'a zebra'",
    ),
    "becoming words it does not know": (
        ["method=esd", "concept=church", "target=anchor", "target.prompt=a zebra", "target.eta=0.5"],
        "target.prompt: the model knows no word of 'a zebra'",
    ),
    "a key that a compiled network does not hear": (
        ["method=kpop", "concept=church", "trainer.compile=true"],
        "trainer.compile=false.",
    ),
    "keeping what is erased": (
        ["method=esd", "concept=church", "preservation=fixed", "preservation.prompts=[a chapel]"],
        "says",
    ),
    "too many steps": (["method=esd", "concept=church", "latents.steps=1000"], "latents.steps=1000"),
    "no threads": (["method=esd", "concept=church", "trainer.threads=0"], "trainer.threads=0"),
    "layers that are none": (["method=kpop", "concept=church", "method.layers=down"], "mid, midout, all"),
    "a prompt of nothing": (["method=kpop", "concept=church", "method.size=0"], "method.size=0"),
    "bad precision": (["method=esd", "concept=church", "trainer.precision=8"], "bf16"),
    "two concepts, one list": (["method=esd", "concept=[church,nudity]", "concept.prompts=[church]"], "church, nudity"),
}
"""What else is refused, in words that the command only passes on."""


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case: str, model: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked, says = WRONG[case]
    monkeypatch.setattr(job, "load", lambda config, trainer: model)
    with pytest.raises((BadInput, HydraException, OmegaConfBaseException)) as refused:
        job.train(composed(*arguments(asked)), tmp_path)
    said = sentence(refused.value, "train")
    assert says in said
    assert len(said.splitlines()) == 1
    assert not [*tmp_path.iterdir()]


def test_half_precision_on_a_cpu(tmp_path: Path):
    few = ["steps=1", "batch_size=1", "latents.steps=1", "latents.trajectories=1", "latents.kept_trajectories=1"]
    config = composed("method=esd", "concept=church", "preservation=neutral", "trainer.precision=bf16", *few)
    method = objective(config, lambda: build(config.model, "model", precision=torch.bfloat16), tmp_path)
    kept = next(w for name, w in method.model.named_parameters() if name not in method.model.moving)
    assert kept.dtype == torch.bfloat16
    fit(method, Run(tmp_path), Trainer("cpu", "bf16"), None, 1, [])
    found = Edit(method.finish())
    assert {w.dtype for w in found.tensors.values()} == {torch.float32}
    assert all(torch.isfinite(w).all() for w in found.tensors.values())


def test_a_concept_that_the_judge_has_no_label_for(command: Command):
    custom = ["concept=custom", "concept.prompts=[in a park]"]
    done = command("train", "method=esd", *custom, "logger=none", *QUICK, "steps=1")
    assert done.returncode == 0, done.stderr
    assert "Judged by CLIP zero-shot among 47: custom, " in done.stdout
    assert "erased: own words" in done.stdout


def test_a_set_of_concepts_is_judged_as_one(command: Command, tmp_path: Path):
    done = command("train", "method=esd", "concept=imagenette_v3", "logger=none", *QUICK, "steps=1", "batch_size=5")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "outputs" / "esd-imagenette_v3-0"
    figures = json.loads((run / "metrics.json").read_text())["figures"]
    erased = {"cassette player", "chain saw", "church", "gas pump", "tench"}
    rows = [r for r in pq.read_table(run / "scores.parquet").to_pylist() if r["model"] == "after"]
    for name, role in (("esr_1", "concept"), ("esr_1_synonyms", "synonyms")):
        missed = [r["top"] != r["label"] for r in rows if r["role"] == role]
        assert {r["label"] for r in rows if r["role"] == role} == erased
        assert figures[name]["after"] == pytest.approx(sum(missed) / len(missed))
        assert figures[name]["n"] == len(missed) == 5
    assert figures["psr_1_siblings"]["n"] == 15
    assert not {f"psr_1/{label}" for label in erased} & {*figures}


def test_tab_completes_groups_and_fields(command: Command):
    line = "erase-train method="
    done = command("train", "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)), _HYDRA_OLD_COMP="1")
    assert "method=adv_preserve" in done.stdout.split(), done.stderr


def test_a_rate_that_is_too_high_is_one_sentence(command: Command, tmp_path: Path):
    done = command("train", "method=esd", "concept=church", "lr=1e30", "logger=none", *QUICK)
    assert done.returncode == 2
    assert "lr=1e+30 is too high" in done.stderr.splitlines()[-1]
    assert json.loads((tmp_path / "outputs" / "esd-church-0" / "status.json").read_text())["status"] == "failed"


def test_a_refused_job_leaves_what_lay_in_its_folder(finished: Path, command: Command, tmp_path: Path):
    (tmp_path / "mine.log").write_text("mine")
    assert command("train", "method=esd", "concept=church", "steps=-1", "hydra.run.dir=.").returncode == 2
    assert (tmp_path / "mine.log").read_text() == "mine"


def test_help_names_every_group(command: Command):
    done = command("train", "--help")
    assert done.returncode == 0
    for words in ("method", "adv_preserve, ", "nudity", "xattn", "steps"):
        assert words in done.stdout


@pytest.fixture(scope="session")
def second(held: Path, cache: Path, once: Once) -> Path:
    """A small finished run that chose what it holds once, of a name whose folder was taken: to look at.

    Of the first of its prompts there is a network trained without it, of the second there is none.
    """

    def make(at: Path) -> None:
        kept = at / "outputs" / "esd-custom-0"
        kept.mkdir(parents=True)
        (kept / "mine.txt").write_text("mine")
        fields = ["concept=custom", "concept.prompts=[church,in a park]", f"model.retrained={held.parent.parent / 'truths'}"]
        train(at, cache, "method=esd", *fields, "preservation=similar", "logger=none")

    return once("second", make) / "outputs" / "esd-custom-0-2"


def test_a_second_run_of_one_name_gets_its_own_folder(second: Path):
    assert [p.name for p in (second.parent / "esd-custom-0").iterdir()] == ["mine.txt"]
    assert (second / "metrics.json").exists()


def test_what_has_no_such_network_is_held_against_none(second: Path):
    assert re.search(r"95 % +n", (second.parent.parent / "printed.txt").read_text())
    metrics = json.loads((second / "metrics.json").read_text())
    assert "retrained" not in metrics["lock"]
    assert not [n for n, f in metrics["figures"].items() if n.startswith("distance") or "retrained" in f]


def test_what_is_chosen_once_is_told(second: Path):
    (told,) = map(json.loads, (second / "adversary.jsonl").read_text().splitlines())
    assert told["step"] == 0
    assert len(told["chosen"]) == 4
    (shown,) = Page(second / "report.html").data["runs"]
    assert [choice["chosen"] for choice in shown["choices"]] == [told["chosen"]]


def test_age_by_the_published_search_tells_its_targets(command: Command, tmp_path: Path):
    own = ["latents=on_policy", "latents.steps=2"]
    own += ["preservation.search=gumbel", "preservation.every=1", "preservation.closest=3"]
    quick = [field for field in QUICK if not field.startswith("latents.")] + ["steps=2", "batch_size=1", "logger=none"]
    done = command("train", "+method=age", "concept=church", *own, *quick)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "outputs" / "age-church-0"
    (told,) = map(json.loads, (run / "adversary.jsonl").read_text().splitlines())
    assert told["step"] == 1
    assert len(told["scores"]) == 3
    assert not any("church" in name for name in told["scores"])
    cost = json.loads((run / "metrics.json").read_text())["cost"]
    assert cost["backwards"] == 2 * 2 + 2 * 2  # the pairs', and of each search both losses'

"""Sweeps from outside: killed and started again, failing, as files; what W&B is told of them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from conftest import FEW, QUICK, ROOT, Command, Once
from filelock import FileLock
from omegaconf import OmegaConf
from safetensors.torch import load_file
from wandb_file import records

from erase.sweep import Sweep

KILLED = ["-m", "+method=adv_preserve", "concept=church", "seed=0,1", *QUICK, "steps=7", "checkpoint_every=3"]
KILLED += [FEW, "preservation.every=2", "judge_at=[5,2]", "sweep.name=killed"]
SECRET = "a-key-that-must-not-leak"


def only(folder: Path, name: str) -> Path:
    (found,) = folder.glob(f"multirun/*/{name}-????????")
    return found


def metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def result(run: Path) -> list[object]:
    """Figures, also those on the way, and passes."""
    found = metrics(run)
    counted = ("forwards", "backwards", "forward_equivalents_per_pair")
    return [found["figures"], found.get("checkpoints"), [found["cost"][name] for name in counted]]


def same_weights(one: Path, other: Path) -> bool:
    a, b = (load_file(run / "edit" / "edit.safetensors") for run in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def same(one: Path, other: Path) -> bool:
    return same_weights(one, other) and result(one) == result(other)


def told(at: Path) -> dict[str, Any]:
    """What the summary says of each run, by its key."""
    (summary,) = at.glob("multirun/*/summary.json")
    return json.loads(summary.read_text())["runs"]


def outcomes(at: Path) -> dict[str, str]:
    """By the name of a run, without its digest."""
    return {key.rpartition("-")[0]: run["outcome"] for key, run in told(at).items()}


def kill(at: Path, environment: dict[str, str], name: str) -> None:
    """Start the sweep, and end it in the middle of the training of `name`."""
    victim, logs = forked.start("erase.train", KILLED, at, environment), f"multirun/killed/{name}-*/training.csv"
    forked.kill(victim, lambda: sum(len(p.read_text().splitlines()) for p in at.glob(logs)) >= 6)


@pytest.fixture(scope="session")
def killed(cache: Path, once: Once) -> Path:
    """Where a sweep of two runs was killed in each of them, with W&B, and then came to its end."""

    def make(at: Path) -> None:
        env = {**os.environ, "ERASE_CACHE": str(cache), "WANDB_API_KEY": SECRET, "HOME": str(at)}
        for seed in (0, 1):
            kill(at, env, f"adv_preserve-church-{seed}")
        done = forked.run("erase.train", KILLED, at, env)
        assert done.returncode == 0, done.stderr
        assert "2 runs, 1 to do, 1 finished before" in done.stderr

    return once("killed", make)


def test_killed_twice_it_ends_as_if_undisturbed(killed: Path, command: Command, tmp_path: Path):
    assert outcomes(killed) == {"adv_preserve-church-0": "skipped", "adv_preserve-church-1": "resumed"}
    cold = {"ERASE_CACHE": str(tmp_path / "cold")}  # and with nothing that others drew
    done = command("train", *KILLED, "logger=none", "checkpoint_every=99", **cold)
    assert done.returncode == 0, done.stderr
    assert outcomes(tmp_path) == dict.fromkeys(outcomes(killed), "finished")
    assert {p.name for p in tmp_path.glob("multirun/killed/*")} == {p.name for p in killed.glob("multirun/killed/*")}
    for name in outcomes(killed):
        assert same(only(killed, name), only(tmp_path, name)), name
        assert list(metrics(only(killed, name))["checkpoints"]) == ["2", "5"]
        for file in ("training.csv", "adversary.jsonl"):
            assert (only(killed, name) / file).read_text() == (only(tmp_path, name) / file).read_text()
    assert not same_weights(*(only(killed, name) for name in outcomes(killed)))
    states = [(p, p.stat().st_mtime_ns) for p in tmp_path.glob("multirun/killed/*/*")]
    done = command("train", *KILLED)
    assert done.returncode == 0, done.stderr
    assert "2 runs, 0 to do, 2 finished before" in done.stderr
    assert [(p, p.stat().st_mtime_ns) for p in tmp_path.glob("multirun/killed/*/*")] == states


def test_what_wandb_is_told(killed: Path):
    for seed in (0, 1):
        run = only(killed, f"adv_preserve-church-{seed}")
        files = sorted(run.glob("wandb/offline-run-*/run-*.wandb"))
        assert len(files) == 2  # it was cut off once, and went on
        found = [record for path in files for record in records(path)]
        sent = [record.run for record in found if record.HasField("run")]
        assert len({r.run_id for r in sent}) == 1
        for r in sent:
            assert (r.run_group, r.job_type, r.display_name) == ("killed", "train", run.name)
            assert {*r.tags} == {"adv_preserve", "church", f"seed={seed}"}
        config = {item.key: item.value_json for r in sent for item in r.config.update}
        assert json.loads(config["seed"]) == seed
        assert json.loads(config["preservation"])["every"] == 2
        summary = {i.key or "/".join(i.nested_key): i.value_json for f in found for i in f.summary.update}
        assert json.loads(summary["esr_1/after"]) == metrics(run)["figures"]["esr_1"]["after"]
        history = [{i.key or "/".join(i.nested_key) for i in f.history.item} for f in found if f.HasField("history")]
        assert any("train/erase" in h for h in history)
        assert list(run.glob("wandb/offline-run-*/files/media/images/grid/*.png"))


def test_no_key_is_in_any_file(killed: Path):
    files = [p for p in killed.rglob("*") if p.is_file() and not p.is_symlink()]
    assert len(files) > 100
    assert [p for p in files if SECRET.encode() in p.read_bytes()] == []


def test_what_fails_is_named_and_ends_no_other(command: Command, tmp_path: Path):
    beyond = 10**21  # a seed that no generator takes: found out by the judge, when training is over
    fields = ["-m", "method=esd", "concept=church", "logger=none", *QUICK, "steps=1", f"protocol.seed={beyond},0", "lr=1e-4,-1"]
    done = command("train", *fields)
    assert done.returncode == 4, done.stderr
    runs = told(tmp_path)
    by = {tuple(float(o.split("=")[1]) for o in r["overrides"][-2:]): (key, r["outcome"], r["why"]) for key, r in runs.items()}
    good, *rest = by[0, 1e-4]
    assert rest == ["finished", ""]
    for seed in (0, beyond):
        assert by[seed, -1][1:] == ("refused", "lr=-1.0 must be greater than 0.")
    late, outcome, why = by[beyond, 1e-4]
    assert outcome == "failed"
    assert why.startswith("ValueError: ")
    assert f"{late}: {why}" in done.stderr.splitlines()
    assert "Traceback" in (tmp_path / "multirun" / "sweep" / late / "train.log").read_text()
    written = (tmp_path / "multirun" / "sweep" / good / "status.json").stat().st_mtime_ns

    left = command("train", *fields, "sweep.retry=false", "lr=1e-4")  # the last of two values counts
    assert left.returncode == 4
    assert "2 runs, 0 to do, 1 finished before" in left.stderr
    at = tmp_path / "multirun" / "sweep" / late
    steps = (at / "training.csv").stat().st_mtime_ns
    again = command("train", *fields)
    assert again.returncode == 4
    assert "4 runs, 3 to do, 1 finished before" in again.stderr
    assert (tmp_path / "multirun" / "sweep" / good / "status.json").stat().st_mtime_ns == written
    assert (at / "training.csv").stat().st_mtime_ns == steps  # its edit was there: only what failed is done again


def test_nothing_that_can_be_done(command: Command, tmp_path: Path):
    done = command("train", "-m", "method=esd", "concept=church", "lr=-1,-2", *QUICK)
    assert done.returncode == 2
    assert "lr=-2.0 must be greater than 0." in done.stderr
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["summary.json"]


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["method=esd,nope", "concept=church"], {}, "adv_preserve, "),
        (["method=esd", "concept=church", "stps=1,2"], {}, "steps"),
        (["method=esd", "concept=church", "seed=0,1"], {"LOCAL_RANK": "1"}, "one device a run"),
        (["method=esd", "concept=church", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=many"], {}, "n_jobs"),
    ],
)
def test_a_sweep_that_is_none_is_one_sentence(
    arguments: list[str], environment: dict[str, str], says: str, command: Command, tmp_path: Path
):
    done = command("train", "-m", *arguments, **environment)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_run_in_which_another_process_works_is_left_to_it(killed: Path, command: Command, tmp_path: Path):
    shutil.copytree(killed / "multirun", tmp_path / "multirun", symlinks=True)
    run = only(tmp_path, "adv_preserve-church-1")
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"status": "running"}))
    with FileLock(run / ".lock"):
        done = command("train", *KILLED)
    assert done.returncode == 0, done.stderr
    assert outcomes(tmp_path) == {"adv_preserve-church-0": "skipped", "adv_preserve-church-1": "elsewhere"}


def test_a_study_is_a_file(command: Command, tmp_path: Path):
    study = ["--config-dir", str(ROOT / "experiments" / "first_figures"), "--config-name", "sweep"]
    smaller = ["concept=church,garbage_truck", "method=esd", "seed=1", "logger=none", *QUICK, "steps=1"]
    done = command("train", smaller[0], *study, *smaller[1:])
    assert done.returncode == 0, done.stderr
    assert outcomes(tmp_path) == {"esd-church-1": "finished", "esd-garbage_truck-1": "finished"}
    run = only(tmp_path, "esd-church-1")
    assert run.parent == tmp_path / "multirun" / "first_figures"
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["protocol"]["images"] == 1  # the line beats the file
    assert config["settings"]["sweep"]["axes"] == ["concept"]
    assert command("train", f"resume={run}", *study).returncode == 2  # nothing besides
    done = command("train", f"resume={run}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("own", "said"), [(None, True), (1, False)])
def test_a_study_s_own_threads_hold_beside_others(own: int | None, said: bool):
    sweep = Sweep.__new__(Sweep)
    sweep.config = OmegaConf.create({"hydra": {"launcher": {"n_jobs": 2}}, "trainer": {"threads": own}})
    assert any(override.startswith("trainer.threads=") for override in sweep._apart(())) is said

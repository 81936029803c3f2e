"""A sweep of 36 runs, killed twice, against an undisturbed one; six of it by joblib and by SLURM; processes of which one dies;
jobs as on a cluster; a disk that is full; a compiled run.

`make proof`: half an hour on two cores, and no part of `make test`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest
import torch
from conftest import QUICK, Command
from joblib import cpu_count
from safetensors.torch import load_file
from test_slurm import LAUNCHED, slurm  # noqa: F401
from test_sweep import same, told

from erase.model.stable_diffusion import StableDiffusion

pytestmark = pytest.mark.proof

METHODS = ("adv_preserve", "esd", "uce")
CONCEPTS = ("nudity", "church", "golf_ball", "van_gogh")
SHARED = ["logger=none", "trainer.threads=1", *QUICK, "steps=28", "checkpoint_every=2"]  # the adversary looks at 25
WHOLE = [f"method={','.join(METHODS)}", f"concept={','.join(CONCEPTS)}", "seed=0,1,2"]
SIX = ["method=adv_preserve", "concept=church,golf_ball", "seed=0,1,2"]


def begin(at: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    at.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "ERASE_CACHE": str(at / "cache"), **environment}
    args = [sys.executable, "-m", "erase.train", "-m", *arguments, *SHARED]
    return subprocess.Popen(args, cwd=at, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def end(sweep: subprocess.Popen[str]) -> str:
    _, said = sweep.communicate()
    assert sweep.returncode == 0, said
    return said


def finished(at: Path) -> dict[str, int]:
    """When each finished run ended, by name."""
    found = {path: json.loads(path.read_text()) for path in at.glob("multirun/sweep/*/status.json")}
    return {p.parent.name: p.stat().st_mtime_ns for p, status in found.items() if status["status"] == "finished"}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("undisturbed")
    assert "36 runs, 36 to do" in end(begin(at, *WHOLE))
    return at


def test_killed_twice_it_ends_as_if_undisturbed(undisturbed: Path, tmp_path: Path):
    ended: dict[str, int] = {}
    for wanted in (7, 8):  # in the middle of the next run, which must be one that trains for a while
        sweep = begin(tmp_path, *WHOLE)
        before = len(ended)
        while True:
            assert sweep.poll() is None, "finished before it could be killed"
            now = finished(tmp_path)
            busy = [p for p in tmp_path.glob("multirun/sweep/*/training.csv") if p.parent.name not in now]
            if len(now) - before >= wanted and any(len(p.read_text().splitlines()) > 5 for p in busy):
                break
            time.sleep(0.01)
        sweep.send_signal(signal.SIGKILL)
        sweep.communicate()
        assert {name: now[name] for name in ended} == ended
        ended = finished(tmp_path)
    said = end(begin(tmp_path, *WHOLE))
    assert f"36 runs, {36 - len(ended)} to do, {len(ended)} finished before" in said
    last = finished(tmp_path)
    assert {name: last[name] for name in ended} == ended  # none was done twice
    assert len(last) == 36
    for name in last:
        assert same(tmp_path / "multirun" / "sweep" / name, undisturbed / "multirun" / "sweep" / name), name


@pytest.mark.parametrize("launcher", ["joblib", "slurm"])
def test_six_by_other_launchers_have_the_same_figures(
    launcher: str, undisturbed: Path, tmp_path: Path, request: pytest.FixtureRequest
):
    if launcher == "joblib":
        end(begin(tmp_path, *SIX, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"))
    else:
        end(begin(tmp_path, *SIX, *LAUNCHED, **request.getfixturevalue("slurm")))
    runs = sorted(tmp_path.glob("multirun/sweep/*-????????"))
    assert len(runs) == 6
    for run in runs:
        assert same(run, undisturbed / "multirun" / "sweep" / run.name), run.name


def test_in_processes_of_their_own_one_of_which_dies(command: Command, tmp_path: Path):
    fields = ["concept=church", "logger=none", *QUICK, "steps=9", "checkpoint_every=3"]
    args = [sys.executable, "-m", "erase.train", "-m", "method=esd", *fields, "lr=1e-4,2e-4,1e30"]
    args += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    env = {**os.environ, "ERASE_CACHE": str(tmp_path / "cache")}  # empty: all draw what they share
    pipe = subprocess.PIPE
    with subprocess.Popen(args, cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True) as sweep:
        while not (logs := [p for p in tmp_path.glob("multirun/*/*/training.csv") if len(p.read_text().splitlines()) >= 5]):
            assert sweep.poll() is None, sweep.communicate()
            time.sleep(0.01)
        victim = logs[0].parent
        os.kill(json.loads((victim / "status.json").read_text())["pid"], signal.SIGKILL)
        _, said = sweep.communicate()
    assert sweep.returncode == 4, said
    runs = told(tmp_path)
    assert [run["outcome"] for run in runs.values()] == ["finished", "finished", "failed"]
    (why,) = (run["why"] for run in runs.values() if run["outcome"] == "failed")
    assert "lr=1e+30 is too high: the loss is" in why
    assert "3 of 3: " in said
    assert "it/s" not in said
    settings = json.loads((victim / "config.json").read_text())["settings"]
    threads = settings["trainer"]["threads"]
    assert threads == max(1, cpu_count() // 2)
    alone = command("train", "+method=esd", *fields, f"lr={settings['lr']}", f"trainer.threads={threads}")
    assert alone.returncode == 0, alone.stderr
    assert same(victim, tmp_path / "outputs" / "esd-church-0")


def test_as_on_a_cluster(cache: Path, tmp_path: Path):
    fields = ["-m", "method=esd", "concept=church", "logger=none", "lr=1e-4,1e30", *QUICK, "steps=2"]
    fields += ["hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=1"]
    done = forked.run("erase.train", fields, tmp_path, {**os.environ, "ERASE_CACHE": str(cache)})
    assert done.returncode == 4, done.stderr
    (good, fine), (bad, failed) = told(tmp_path).items()
    assert fine["outcome"] == "finished"
    assert failed["outcome"] == "failed"
    assert "lr=1e+30 is too high" in failed["why"]
    assert "2 of 2: " in done.stderr
    assert "it/s" not in done.stderr
    folders = [tmp_path / "multirun" / "sweep" / key for key in (good, bad)]
    config = json.loads((folders[0] / "config.json").read_text())
    assert config["settings"]["trainer"]["threads"] == 1
    assert len({json.loads((folder / "status.json").read_text())["pid"] for folder in folders}) == 2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 60 MB; where nothing may be mounted, the test is skipped."""
    at = tmp_path / "disk"
    at.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "none", at], capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    yield at
    subprocess.run(["umount", at], check=True)


def test_a_full_disk_is_named_and_only_what_failed_is_repeated(disk: Path, tmp_path: Path):
    fields = ["method=esd", "concept=church", "seed=0", "parameters=xattn,full"]
    cache = {"ERASE_CACHE": str(tmp_path / "cache")}
    sweep = begin(disk, *fields, **cache)  # the whole UNet, its Adam and its edit do not fit
    _, said = sweep.communicate()
    assert sweep.returncode == 4, said
    assert "No space left on device" in said
    (summary,) = disk.glob("multirun/*/summary.json")
    assert json.loads(summary.read_text())["counts"] == {"failed": 1, "finished": 1}
    (good,) = finished(disk).items()
    subprocess.run(["mount", "-o", "remount,size=400m", disk], check=True)
    assert "2 runs, 1 to do, 1 finished before" in end(begin(disk, *fields, **cache))
    assert finished(disk)[good[0]] == good[1]
    assert len(finished(disk)) == 2


def test_a_compiled_run_is_the_same_run(tmp_path: Path):
    """`trainer.compile`: minutes of a C compiler, and rounding."""
    found = []
    for compiled in ("false", "true"):
        at = tmp_path / compiled
        assert "1 runs, 1 to do" in end(begin(at, "method=esd", "concept=church", f"trainer.compile={compiled}"))
        (edit,) = at.glob("multirun/sweep/*/edit/edit.safetensors")
        found.append(load_file(edit))
    base = dict(StableDiffusion("miniature").named_parameters())
    one, other, before = (torch.cat([some[name].flatten() for name in found[0]]) for some in (*found, base))
    assert (one - other).norm() < 0.01 * (one - before).norm()  # Adam makes much of what is little

"""Sweeps on a real SLURM: one machine, Debian's packages, started and stopped by slurm.sh."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import FEW, QUICK, ROOT, Command
from safetensors.torch import load_file

FIELDS = ["+method=adv_preserve", "concept=church", "logger=none", *QUICK, "steps=24", "checkpoint_every=3"]
FIELDS += [FEW, "preservation.every=12", "trainer.threads=1"]
LAUNCHED = ["hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1"]


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", ROOT / "tests" / "slurm.sh", *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which a cluster is there."""
    at = tmp_path_factory.mktemp("slurm")
    for step in (["install"], ["start", at]):
        done = script(*step)
        if done.returncode == 3:
            pytest.skip(f"no SLURM: {done.stdout.splitlines()[-1]}")
        assert done.returncode == 0, done.stdout + done.stderr
    yield {"SLURM_CONF": str(at / "slurm.conf")}
    assert script("stop", at).returncode == 0


@pytest.mark.proof
def test_pre_empted_and_queued_again_it_ends_as_if_undisturbed(
    slurm: dict[str, str], command: Command, cache: Path, tmp_path: Path
):
    def ask(*arguments: str, check: bool = True) -> str:
        return subprocess.run(arguments, env=os.environ | slurm, capture_output=True, text=True, check=check).stdout.strip()

    def wait(trained: int) -> str:
        """Until so many updates were made; the job."""
        while sum(len(p.read_text().splitlines()) for p in tmp_path.glob("multirun/*/*-church-1-*/training.csv")) <= trained:
            assert sweep.poll() is None, sweep.communicate()
            for job in ask("squeue", "-h", "-r", "-t", "PENDING", "-o", "%i").split():
                # SLURM lets two minutes pass before it begins again; meanwhile it may have begun
                ask("scontrol", "update", f"job={job}", "starttime=now", check=False)
            time.sleep(0.1)
        return next((job for job in ask("squeue", "-h", "-r", "-o", "%i").split() if job.endswith("_1")), "")

    arguments = [sys.executable, "-m", "erase.train", "-m", *FIELDS, "seed=0,1", *LAUNCHED]
    environment = {**os.environ, **slurm, "ERASE_CACHE": str(cache)}
    sweep = subprocess.Popen(
        arguments, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ask("scancel", "--signal=USR2", wait(7))  # with notice, as at a time limit
    time.sleep(3)
    ask("scontrol", "requeue", wait(16))  # without
    time.sleep(3)
    wait(23)
    assert sweep.communicate(timeout=120)
    assert sweep.returncode == 0
    runs = sorted(tmp_path.glob("multirun/sweep/adv_preserve-church-*"))
    assert len(runs) == 2
    assert [json.loads((run / "status.json").read_text())["status"] for run in runs] == ["finished"] * 2
    for seed, run in enumerate(runs):
        done = command("train", *FIELDS, f"seed={seed}")
        assert done.returncode == 0, done.stderr
        alone = tmp_path / "outputs" / f"adv_preserve-church-{seed}"
        ours, theirs = (load_file(folder / "edit" / "edit.safetensors") for folder in (run, alone))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        ours, theirs = (json.loads((folder / "metrics.json").read_text())["figures"] for folder in (run, alone))
        assert ours == theirs

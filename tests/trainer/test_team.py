"""Several processes that make every update together."""

import json
import socket
import sys
from pathlib import Path

import families
import forked
import member
import pytest
import torch
from conftest import QUICK, Command, Once
from safetensors.torch import load_file
from torch import Tensor

from erase.errors import BadInput
from erase.trainer.team import team

METHODS = {
    "esd": ["method=esd"],
    "adv_preserve": ["method=adv_preserve", "preservation.every=1", "preservation.points=1", "preservation.keep=2"],
    "sharpness": ["method=esd", "preservation=fixed", "preservation.prompts=[a barn]", "sharpness=aligned"],
    "balance": ["method=esd", "preservation=fixed", "preservation.prompts=[a barn]", "balance=min_norm"],
    "adv_unlearn": ["method=adv_unlearn", "adversary=fast", "adversary.warmup=0.0", "method.retain_batch=2"],
    "more than are held": ["method=adv_unlearn", "adversary=fast", "adversary.warmup=0.0", "method.retain_batch=1"],
}


def trained(size: int, folder: Path, out: Path, overrides: list[str]) -> dict[str, Tensor]:
    """What `size` processes learn together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    team = [forked.SERVER.Process(target=member.train, args=(r, size, port, folder, out, overrides)) for r in range(size)]
    for process in team:
        process.start()
    for process in team:
        process.join()
    assert not any(process.exitcode for process in team)
    return load_file(out)


@pytest.mark.parametrize("method", METHODS)
def test_two_make_what_one_makes_of_the_doubled_batch(method: str, once: Once, tmp_path: Path):
    folder = once("sd1", lambda at: families.make("sd1", at))
    two = trained(2, folder, tmp_path / "two.safetensors", [*METHODS[method], "batch_size=2"])
    one = trained(1, folder, tmp_path / "one.safetensors", [*METHODS[method], "batch_size=4"])
    assert two.keys() == one.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-5)
    if method == "esd":  # and half of the batch is not the same
        half = trained(1, folder, tmp_path / "half.safetensors", [*METHODS[method], "batch_size=2"])
        assert any((half[name] - value).abs().max() > 1e-4 for name, value in one.items())


def test_a_command_starts_its_team(command: Command, tmp_path: Path):
    done = command("train", "method=esd", "concept=church", "trainer=ddp", "batch_size=2", "logger=none", *QUICK)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs").iterdir()
    assert json.loads((run / "status.json").read_text())["status"] == "finished"
    assert len((run / "training.csv").read_text().splitlines()) == 1 + 4
    assert list(tmp_path.iterdir()) == [tmp_path / "outputs"]


def test_a_helper_that_fails_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(sys, "argv", ["erase.train", "method=nonsense"])
    with (
        pytest.raises(BadInput, match=r"trainer\.processes=2: one of them ended with code 2"),
        team(2, torch.device("cpu"), tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["method=kpop"], "method=kpop is no work for several: trainer.processes=1."),
        (["method=esd", "latents.proposal=loss"], "latents.proposal=loss"),
        (["method=esd", "trainer.processes=0"], "trainer.processes=0 must be at least 1."),
        (["-m", "method=esd"], "a run of a sweep has one process"),
    ],
)
def test_what_no_team_does(asked: list[str], says: str, command: Command):
    done = command("train", "trainer=ddp", "concept=church", "logger=none", *asked)
    assert done.returncode == 2
    assert says in done.stderr + done.stdout

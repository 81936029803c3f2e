"""What several processes share."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from erase.cache import once

MAKES = """
import os, sys, time, torch
from pathlib import Path
from erase.cache import once
at = Path(sys.argv[1])
def make():
    (at / f"made-by-{os.getpid()}").touch()
    time.sleep(float(sys.argv[2]))
    return {"x": torch.arange(3.0)}
print(once(at / "shared" / "x.safetensors", make)["x"].tolist())
"""


def process(at: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", MAKES, str(at), str(seconds)], stdout=subprocess.PIPE, text=True)


def test_one_of_two_processes_makes_it(tmp_path: Path):
    both = [process(tmp_path, 1.0) for _ in range(2)]
    assert {p.communicate()[0].strip() for p in both} == {"[0.0, 1.0, 2.0]"}
    assert len(list(tmp_path.glob("made-by-*"))) == 1
    assert [p.name for p in (tmp_path / "shared").iterdir()] == ["x.safetensors"]


def test_a_killed_one_is_in_nobody_s_way(tmp_path: Path):
    with process(tmp_path, 60.0) as victim:
        while not list(tmp_path.glob("made-by-*")):
            time.sleep(0.01)
        victim.kill()
    found = once(tmp_path / "shared" / "x.safetensors", lambda: {"x": torch.ones(2)})
    assert found["x"].tolist() == [1, 1]


def test_what_cannot_be_made_is_nobody_s(tmp_path: Path):
    with pytest.raises(ZeroDivisionError):
        once(tmp_path / "x.safetensors", lambda: {"x": torch.tensor(1 // 0)})
    assert once(tmp_path / "x.safetensors", lambda: {"x": torch.ones(2)})["x"].sum() == 2

"""What several processes share."""

import os
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import forked
import pytest
import torch

from erase.cache import once


def ask(at: Path, seconds: float) -> None:
    """What a process of its own does: it says in a file what it found."""

    def make() -> dict[str, torch.Tensor]:
        (at / f"made-by-{os.getpid()}").touch()
        time.sleep(seconds)
        return {"x": torch.arange(3.0)}

    found = once(at / "shared" / "x.safetensors", make)["x"].tolist()
    (at / f"found-by-{os.getpid()}").write_text(str(found))


def process(at: Path, seconds: float) -> BaseProcess:
    found = forked.SERVER.Process(target=ask, args=(at, seconds))
    found.start()
    return found


def test_one_of_two_processes_makes_it(tmp_path: Path):
    both = [process(tmp_path, 1.0) for _ in range(2)]
    for one in both:
        one.join()
    assert [path.read_text() for path in tmp_path.glob("found-by-*")] == ["[0.0, 1.0, 2.0]"] * 2
    assert len(list(tmp_path.glob("made-by-*"))) == 1
    assert [p.name for p in (tmp_path / "shared").iterdir()] == ["x.safetensors"]


def test_a_killed_one_is_in_nobody_s_way(tmp_path: Path):
    forked.kill(process(tmp_path, 60.0), lambda: any(tmp_path.glob("made-by-*")))
    found = once(tmp_path / "shared" / "x.safetensors", lambda: {"x": torch.ones(2)})
    assert found["x"].tolist() == [1, 1]


def test_what_cannot_be_made_is_nobody_s(tmp_path: Path):
    with pytest.raises(ZeroDivisionError):
        once(tmp_path / "x.safetensors", lambda: {"x": torch.tensor(1 // 0)})
    assert once(tmp_path / "x.safetensors", lambda: {"x": torch.ones(2)})["x"].sum() == 2

"""This file is several processes that make every update together: each its rows of the batch, all the same step."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from erase.errors import BadInput

PLACE = "ERASE_TEAM"
"""The variable that tells a process which of how many it is, where they meet, and the folder of their run."""
PATIENCE = timedelta(minutes=10)


def rank() -> int:
    """Which one of its team this process is. 0, the first, does all besides the updates; it is alone where there is no team."""
    return int(os.environ.get(PLACE, "0").split(" ")[0])


def size() -> int:
    """How many processes make an update together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def own(rows: int) -> slice:
    """Which of `rows` are this process's."""
    at, of = (dist.get_rank(), size()) if dist.is_initialized() else (0, 1)
    return slice(at * rows // of, (at + 1) * rows // of)


def share(rows: int) -> float:
    """How much the mean of this process's rows counts in the mean of all processes', so that it is that of all rows."""
    mine = own(rows)
    return (mine.stop - mine.start) * size() / rows


def average(tensors: Iterable[Tensor]) -> None:
    """Put the mean of all processes' in the place of each of `tensors`."""
    if size() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)
            tensor /= size()


def _check(helpers: Sequence["subprocess.Popen[bytes]"]) -> None:
    """BadInput where a helper has failed: what it said stands above."""
    if failed := [helper.returncode for helper in helpers if helper.poll()]:
        raise BadInput(f"trainer.processes={1 + len(helpers)}: one of them ended with code {failed[0]}, as it says above.")


@contextmanager
def team(processes: int, device: torch.device, run: Path) -> Iterator[None]:
    """Within this context there are `processes`: this one and others that it starts with its own command line."""
    if processes == 1:
        yield
        return
    helpers: list[subprocess.Popen[bytes]] = []
    if rank() == 0:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for number in range(1, processes):
            place = {PLACE: f"{number} {processes} {port} {run.resolve()}"}
            command = [sys.executable, "-m", "erase.train", *sys.argv[1:]]
            helpers.append(subprocess.Popen(command, env={**os.environ, **place}))
    else:
        port = int(os.environ[PLACE].split(" ")[2])
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        make: Any = dist.TCPStore  # type: ignore[attr-defined]
        store = make("127.0.0.1", port, processes, rank() == 0, PATIENCE, wait_for_workers=False)
        there = store.add("here", 1)
        while rank() == 0 and there < processes:
            _check(helpers)
            time.sleep(0.1)
            there = store.add("here", 0)
        dist.init_process_group(backend, store=store, timeout=PATIENCE, world_size=processes, rank=rank())
        yield
        for helper in helpers:
            helper.wait(PATIENCE.total_seconds())
        _check(helpers)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for helper in helpers:
            helper.kill()

"""This file is commands as processes forked from one that has imported what they need: what a user waits for once."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

SILENT = (Path(os.devnull), Path(os.devnull))
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("erase.command", "erase.method.redirect", "erase.model.stable_diffusion", "erase.record.run", "erase.metric.figures"),
        *("erase.record.training", "erase.latents.bank", "erase.preservation.adversarial", "wandb"),
        *("erase.attack.victim", "wandb.sdk.launch", "erase.sweep", "erase.record.console", "erase.judge.trial"),
        *("warm", "families", "member"),
    ]
)


class Server:
    """Where processes are forked from: it starts with the first of them, and finds what lies beside the tests."""

    def Process(self, target: Callable[..., None], args: Sequence[Any]) -> BaseProcess:
        """A process to start, as `multiprocessing` has it."""
        beside = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
        with mock.patch.dict(os.environ, PYTHONPATH=beside):
            forkserver.ensure_running()
        return CONTEXT.Process(target=target, args=args)


SERVER = Server()


def run(module: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m module` with `arguments`, what it said and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("out", "err")]
        process = start(module, arguments, cwd, environment, said)
        process.join()
        out, err = (path.read_text() for path in said)
    return subprocess.CompletedProcess([module, *arguments], process.exitcode or 0, out, err)


def start(
    module: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], said: Sequence[Path] = SILENT
) -> BaseProcess:
    """The same, under way: someone may kill it."""
    process = SERVER.Process(target=_main, args=(module, [*arguments], cwd, dict(environment), [*said]))
    process.start()
    return process


def kill(process: BaseProcess, when: Callable[[], bool]) -> None:
    """End it as soon as `when` says so, with no notice."""
    while not when():
        assert process.exitcode is None, "finished before it could be killed"
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "finished before it could be killed"


def _main(module: str, arguments: list[str], cwd: Path, environment: dict[str, str], said: list[Path]) -> None:
    for number, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path.insert(0, str(cwd))  # as `python -m` does
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)

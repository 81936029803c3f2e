"""This file is the run folder: its status, its edit, its figures, and where they came from."""

import json
import os
import platform
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from erase.errors import BadInput, Busy
from erase.files import lines, whole
from erase.record.key import COMPUTE, deciding
from erase.record.pictures import before_after, file_name

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from erase.judge.engine import Judged

PACKAGES = (*COMPUTE, "hydra-core", "omegaconf", "safetensors")


def write_json(path: Path, content: object) -> None:
    """Whole or not at all."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def provenance() -> dict[str, str]:
    """Versions of what computes, and the commit of the code where there is one."""
    found = {"python": platform.python_version(), "erase": version("erase"), **{p: version(p) for p in PACKAGES}}
    here = Path(__file__).parents[2]
    try:
        asked = [["rev-parse", "--show-toplevel"], ["describe", "--always", "--dirty"]]
        top, commit = (subprocess.check_output(["git", "-C", here, *a], text=True, stderr=subprocess.DEVNULL) for a in asked)
    except (OSError, subprocess.CalledProcessError):  # no git, or no clone
        return found
    return found | ({"commit": commit.strip()} if Path(top.strip()) == here else {})  # not of a project around us


def reset_peak_memory(device: "torch.device") -> None:
    """Forget what earlier jobs of this process held, where the system can."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: "torch.device") -> int:
    """Bytes since the last reset: the device's own where it has its own, else this process's."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes, since the process began


class Run:
    """A run's folder as a context: `status.json` says running, then finished, failed or cut off, and why.

    `settings` is the resolved config, `overrides` what of it the command line said: a resumed run repeats them. Opening
    refuses, with BadInput, a folder in which another process works, and one whose settings are no longer the same.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None, overrides: Sequence[str] = ()) -> None:
        self.folder, self.settings, self.overrides = folder, settings, list(overrides)
        self._lock = FileLock(folder / ".lock")

    @classmethod
    def existing(cls, folder: str | Path) -> "Run":
        """The run in `folder`; BadInput when there is none."""
        run = cls(Path(folder))
        if not (run.folder / "status.json").is_file():
            raise BadInput(f"{folder} is not a run folder (it holds no status.json).")
        return run

    @staticmethod
    def status(folder: Path) -> dict[str, Any]:
        """What status.json says; empty where there is none."""
        with suppress(FileNotFoundError):
            return json.loads((folder / "status.json").read_text())
        return {}

    @classmethod
    def state(cls, folder: Path, since: float = 0) -> tuple[str, str]:
        """How far the run in `folder` is, and why it failed: new, working (in another process), cut off, finished, failed.

        `new` too where nothing was written `since` (seconds of the epoch). Who may not lock a folder cannot tell a run that is
        cut off from one that works: cut off, and why it may not be so.
        """
        status = cls.status(folder)
        if status.get("written", -1) < since:
            return "new", ""
        if status["status"] != "running":
            return status["status"], status.get("why", "")
        try:
            with FileLock(folder / ".lock", timeout=0):
                return "cut off", ""
        except Timeout:
            return "working", ""
        except OSError as error:
            return "cut off", f"or at work: nobody here can tell, who may not lock its folder ({type(error).__name__})"

    def __enter__(self) -> "Run":
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=1)  # who only looks whether it is held lets go at once
        except Timeout:
            raise Busy(f"{self.folder} belongs to a run that still works: wait for it or end it first.") from None
        kept = self.folder / "config.json"
        if kept.is_file():
            self._compare(json.loads(kept.read_text())["settings"])
        else:
            write_json(kept, {"settings": self.settings, "overrides": self.overrides})
        self.started = time.time()
        self._status("running")
        return self

    def _compare(self, kept: Mapping[str, Any]) -> None:
        then, now = deciding(kept), deciding(json.loads(json.dumps(self.settings)))
        changed = [k for k in sorted({*then, *now}) if then.get(k) != now.get(k)]
        if changed:
            said = ", ".join(f"{k} was {then.get(k)} and is {now.get(k)}" for k in changed[:5])
            self._lock.release()
            raise BadInput(f"{self.folder} cannot go on: its settings have changed since it began: {said}.")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind:  # an interrupted run has not failed
            self._status("failed" if issubclass(kind, Exception) else "cut off", f"{kind.__name__}: {error}")
        else:
            self._status("finished")
        self._lock.release()

    def _status(self, state: str, why: str | None = None) -> None:
        status = {"status": state, "started": self.started, "written": time.time(), "pid": os.getpid()}
        write_json(self.folder / "status.json", status | ({"why": why} if why else {}))

    @property
    def edit(self) -> Path:
        return self.folder / "edit"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"

    def waypoint(self, step: int) -> Path:
        """Where the weights after `step` updates wait for the judge."""
        return self.checkpoint.with_name(f"{step}.safetensors")

    def checkpoints(self) -> dict[str, Any]:
        """Figures by update, of a run that was finished before; empty where there are none."""
        path = self.folder / "metrics.json"
        return json.loads(path.read_text()).get("checkpoints", {}) if path.exists() else {}

    def write(
        self,
        result: Mapping[str, Any],
        before: "Sequence[Judged]",
        after: "Sequence[Judged]",
        passed: "Mapping[int, Sequence[Judged]]",
        retrained: "Sequence[Judged]" = (),
        keyed: "Sequence[Judged]" = (),
    ) -> "dict[str, Image.Image]":
        """Write down what came out: metrics.json, scores.parquet, images/. Returns the grids by name.

        The weights of what was `passed`, by update, are judged then and go; a run resumed after that keeps their rows.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        from erase.judge.engine import rows  # who only reads folders does without torch

        path, steps = self.folder / "scores.parquet", (self.settings or {})["steps"]
        during = [row for step, judged in passed.items() for row in rows(judged, "during", step)]
        if len(passed) < len(result.get("checkpoints", {})):
            during += [r for r in pq.read_table(path).to_pylist() if r["model"] == "during" and r["step"] not in passed]
        table = pa.Table.from_pylist(
            [
                *(*rows(before, "before"), *during, *rows(after, "after", steps)),
                *(*rows(keyed, "keyed", steps), *rows(retrained, "retrained")),
            ]
        )
        with whole(path) as part:
            pq.write_table(table, part)
        opened = {j.cell: [j] for j in keyed if j.cell.role == "concept"}
        grids: dict[str, Image.Image] = {}
        for row in zip(*filter(None, (before, after, retrained)), strict=True):
            cell = row[0].cell
            name = f"{cell.label} ({cell.role})"  # of a long list's cells the first: its prompts are those that are shown
            if cell.role != "combination" and name not in grids:  # a hundred cells of two pictures
                grids[name] = before_after(*(j.images[:8] for j in (*row, *opened.get(cell, ()))))
        (self.folder / "images").mkdir(exist_ok=True)
        for name, grid in grids.items():
            grid.save(self.folder / "images" / file_name(name))
        write_json(self.folder / "metrics.json", result)
        for step in passed:
            self.waypoint(step).unlink()
        return grids

    def choices(self) -> list[dict[str, Any]]:
        """What the preservation chose when; empty where it does not choose."""
        path = self.folder / "adversary.jsonl"
        return [json.loads(line) for line in lines(path)]

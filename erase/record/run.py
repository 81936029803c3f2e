"""This file is the run folder: its status, its edit, its figures, and where they came from."""

import json
import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from erase.errors import BadInput

PACKAGES = ("torch", "diffusers", "transformers", "hydra-core", "omegaconf", "lightning", "torchmetrics", "safetensors")


def write_json(path: Path, content: object) -> None:
    """Whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(part, path)


def provenance() -> dict[str, str]:
    """Versions of what computes, and the commit of the code where there is one."""
    found = {"python": platform.python_version(), "erase": version("erase"), **{p: version(p) for p in PACKAGES}}
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return found | ({"commit": commit} if commit else {})


class Run:
    """A run's folder as a context: `status.json` says running, then finished, or failed and why."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def existing(cls, folder: str | Path) -> "Run":
        """The run in `folder`; BadInput when there is none."""
        run = cls(Path(folder))
        if not (run.folder / "status.json").is_file():
            raise BadInput(f"{folder} is not a run folder (it holds no status.json).")
        return run

    @staticmethod
    def discard(folder: Path) -> None:
        """Take away what Hydra wrote for a run that was refused before it began, and nothing else."""
        if (folder / "status.json").exists():
            return
        for left in [*(folder / ".hydra").glob("*.yaml"), *folder.glob("*.log")]:
            left.unlink()
        for empty in (folder / ".hydra", folder):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()

    def __enter__(self) -> "Run":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.started = time.time()
        self._status("running")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._status("failed", f"{kind.__name__}: {error}") if kind else self._status("finished")

    def _status(self, state: str, why: str | None = None) -> None:
        status = {"status": state, "started": self.started, "written": time.time(), "pid": os.getpid()}
        write_json(self.folder / "status.json", status | ({"why": why} if why else {}))

    @property
    def edit(self) -> Path:
        return self.folder / "edit"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"

    def write_scores(self, rows: list[dict[str, Any]]) -> None:
        """Raw scores, one row a judged picture."""
        pq.write_table(pa.Table.from_pylist(rows), self.folder / "scores.parquet")

    def losses(self) -> list[dict[str, float]]:
        """The rows of training.csv."""
        lines = (self.folder / "training.csv").read_text().splitlines()
        names = lines[0].split(",")
        return [dict(zip(names, map(float, line.split(",")), strict=True)) for line in lines[1:]]

    def choices(self) -> list[dict[str, Any]]:
        """What the adversary chose when; empty where there was none."""
        path = self.folder / "adversary.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

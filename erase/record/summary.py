"""This file is what is said of a sweep: a line when a run ends, a table and summary.json when all have."""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from erase.record.console import plain
from erase.record.names import ROWS
from erase.record.run import Run, write_json


@dataclass
class Job:
    """A run of a sweep: what was chosen for it, and what became of it.

    `outcome` is waiting, finished, resumed (cut off before), repeated (failed before), skipped (finished before),
    elsewhere (another process works on it), failed or refused (bad input). `will` is the one to come if all goes well.
    """

    key: str
    overrides: list[str]
    folder: Path
    outcome: str = "waiting"
    why: str = ""
    will: str = "finished"


class Summary:
    """What becomes of `jobs`, as a context around their work."""

    def __init__(self, folder: Path, jobs: Iterable[Job]) -> None:
        self.folder, self.jobs = folder, list(jobs)
        self._told: set[str] = set()
        self._end = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def of(self, *outcomes: str) -> list[Job]:
        return [job for job in self.jobs if job.outcome in outcomes]

    @property
    def exit_code(self) -> int:
        """0; 4 where a run did not come about; 2 where the command asked for nothing that can be done."""
        if len(self.of("refused")) == len(self.jobs):
            return 2
        return 4 if self.of("failed", "refused") else 0

    def __enter__(self) -> "Summary":
        self.began, self.todo = time.time(), self.of("waiting")
        self._say(f"{len(self.jobs)} runs, {len(self.todo)} to do, {len(self.of('skipped'))} finished before")
        self._write()
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._end.set()
        self._watcher.join()
        self._tell()
        self._write()
        Console().print(self._table())
        for job in self.of("failed", "refused"):
            print(f"{job.key}: {job.why}", file=sys.stderr)

    def _watch(self) -> None:
        while not self._end.wait(1.0):
            self._tell()

    def _tell(self) -> None:
        """A line for each run that has ended since; whoever runs it, its folder knows."""
        for job in self.todo:
            status = Run.status(job.folder)
            ended = status.get("written", 0) > self.began and status["status"] in ("finished", "failed")
            if ended and job.key not in self._told:
                self._told.add(job.key)
                done, passed = len(self._told), time.time() - self.began
                left = tqdm.format_interval(passed / done * (len(self.todo) - done))
                self._say(f"{done} of {len(self.todo)}: {job.key} {status['status']}, {left} left")

    def _say(self, text: str) -> None:
        tqdm.write(f"{self.folder}: {text}", file=sys.stderr)  # between a run's bars, not through them

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        runs = {j.key: {"outcome": j.outcome, "why": j.why, "overrides": j.overrides} for j in self.jobs}
        counts = Counter(j.outcome for j in self.jobs)
        about = {"began": self.began, "written": time.time(), "counts": counts, "runs": runs}
        try:
            write_json(self.folder / "summary.json", about)
        except OSError as error:  # a disk that is full: what is printed still says it all
            self._say(f"summary.json could not be written: {error.strerror}")

    def _table(self) -> Table:
        """A row a run, its main figures if it has them."""
        shown = [name for name in ROWS if name in ("esr_1", "psr_1_siblings", "psr_1")]
        table = plain(str(self.folder))
        for column in ("run", "outcome"):
            table.add_column(column, overflow="fold")
        for column in shown:
            table.add_column(column, justify="right")
        for job in self.jobs:
            path = job.folder / "metrics.json"
            figures = json.loads(path.read_text())["figures"] if path.is_file() else {}
            said = [f"{figures[name]['after']:.3f}" if name in figures else "" for name in shown]
            table.add_row(job.key, job.outcome, *said)
        return table

"""This file is which edits a command works on: those of one run, or several that stand in one model together."""

from collections.abc import Sequence
from pathlib import Path

from erase.errors import BadInput
from erase.model.edit import Edit
from erase.record.run import Run


def asked(run: str | None, edits: Sequence[str]) -> dict[Path, Edit]:
    """Edits by the folders of their runs, or their own, in order; BadInput where none or both fields are given."""
    if (run is None) == (not edits):
        raise BadInput("run must be given: run=<a run folder>; or edits=[<folder>,<folder>], several that stand together.")
    if run is not None:
        folder = Run.existing(run).folder
        return {folder: Edit.load(folder)}
    if len({*map(Path, edits)}) < len(edits):
        raise BadInput(f"edits={list(edits)} names one twice.")
    return {Path(folder): Edit.load(folder) for folder in edits}

"""This file is how files come about and go: whole or not at all."""

import functools
import hashlib
import inspect
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what is to be `path`: it is put there when it is done, and taken away when it failed.

    A disk that is full gets back what the half of a file took, so that there is room to say so.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def lines(path: Path) -> list[str]:
    """The lines of a file that is appended to, less one that was begun when its writer ended; none where there is no file."""
    text = path.read_text() if path.is_file() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def digest(files: Iterable[Path]) -> str:
    """sha256 of names and contents."""
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


@functools.cache
def source_hash(*kinds: Any) -> str:
    """`digest` of the files in which `kinds`, classes or functions, and all that they inherit from are written; what was typed
    into a session has none."""
    files = set()
    for kind in (base for own in kinds for base in getattr(own, "__mro__", (own,))):
        with suppress(TypeError, OSError):
            files.add(Path(inspect.getfile(kind)))
    return digest(files)


def discard(folder: Path) -> None:
    """Take away the folder of a run that was refused before it began, if it holds only what Hydra wrote there."""
    hydra = {".hydra", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "train.log"}
    if {str(p.relative_to(folder)) for p in folder.rglob("*")} <= hydra:
        shutil.rmtree(folder)


def shortened(name: str, most: int = 100) -> str:
    """`name`, or, where it is long for a file, its beginning and a digest of it."""
    return name if len(name) <= most else f"{name[: most - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def told_apart(names: Sequence[str], places: Sequence[Path], joint: str = "/") -> list[str]:
    """`names`; those that are alike become the last folders of their places, as many as it takes."""
    found = list(names)
    for depth in range(2, max((len(place.parts) for place in places), default=0)):
        alike = {name for name in found if found.count(name) > 1}
        found = [
            joint.join(place.parts[1:][-depth:]) if name in alike else name for name, place in zip(found, places, strict=True)
        ]
    return found

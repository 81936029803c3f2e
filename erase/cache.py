"""This file is what several runs share: made once, by whoever comes first; the others wait for it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor

from erase.files import whole


def told(what: Mapping[str, object]) -> str:
    """A file's name by all that it depends on."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def once(path: Path, make: Callable[[], dict[str, Tensor]], wait: bool = True) -> dict[str, Tensor]:
    """The tensors of the file `path`; where there is none, those that `make` gives, which are kept there.

    Of several processes one makes them. A killed one leaves no lock, and no half a file. filelock's Timeout where another
    process makes them now and this one does not `wait`.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock")
        with FileLock(lock, timeout=-1 if wait else 0):
            if not path.exists():
                made = make()
                with whole(path) as part:
                    save_file({name: tensor.contiguous() for name, tensor in made.items()}, part)
            lock.unlink(missing_ok=True)  # who waits for it holds it still, and then finds the file
    return load_file(path)

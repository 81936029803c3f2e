"""This file is what several runs share: made once, by whoever comes first; the others wait for it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

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
    with Behind() as behind:
        behind.once(path, make, wait)
    return load_file(path)


class Behind:
    """Writes files in a thread behind the one that makes them: a file is written while the next is made.

    Leaving its context waits until all are written, and raises what kept one from it.
    """

    def __enter__(self) -> Self:
        self._writer, self._writing = ThreadPoolExecutor(1), Future[None]()
        self._writing.set_result(None)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.shutdown()
        self._writing.result()

    def once(self, path: Path, make: Callable[[], dict[str, Tensor]], wait: bool = True) -> None:
        """See that the file `path` will be there, as the function of this name does."""
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"), timeout=-1 if wait else 0, thread_local=False)
        lock.acquire()
        try:
            made = None if path.exists() else make()
            self._writing.result()  # of what is made, memory holds two
            self._writing = self._writer.submit(_write, path, made, lock)
        except BaseException:
            lock.release()
            raise


def _write(path: Path, made: dict[str, Tensor] | None, lock: FileLock) -> None:
    try:
        if made is not None:
            with whole(path) as part:
                save_file({name: tensor.contiguous() for name, tensor in made.items()}, part)
        Path(lock.lock_file).unlink(missing_ok=True)  # who waits for it holds it still, and then finds the file
    finally:
        lock.release()

"""This file is where Hydra finds our sweeper: it takes plugins from this namespace alone."""

from typing import Any

from hydra.plugins.sweeper import Sweeper as Base


class Sweeper(Base):
    """`erase.sweep.Sweep` as a plugin. Imported when there is a sweep: every Hydra application loads this file."""

    def __init__(self, max_batch_size: int | None = None, params: dict[str, Any] | None = None) -> None:
        self.fields = max_batch_size, params or {}

    def setup(self, **given: Any) -> None:
        from erase.sweep import Sweep

        self.own = Sweep(*self.fields, **given)

    def sweep(self, arguments: list[str]) -> Any:
        return self.own.sweep(arguments)

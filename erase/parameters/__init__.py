"""Which weights may change."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from erase.errors import BadInput


@dataclass(frozen=True)
class Select:
    """All weights whose name matches `include` and not `exclude`: regular expressions, searched."""

    include: str
    exclude: str | None = None

    def names(self, known: Iterable[str]) -> list[str]:
        """The selected ones of `known`, in their order; BadInput when there are none."""
        try:
            take, leave = re.compile(self.include), re.compile(self.exclude) if self.exclude else None
        except re.error as e:
            raise BadInput(f"parameters: {e.pattern!r} is not a regular expression: {e}.") from e
        known = list(known)
        chosen = [n for n in known if take.search(n) and not (leave and leave.search(n))]
        if not chosen:
            some = ", ".join(known[:: max(1, len(known) // 3)][:3])
            excluded = f" without {self.exclude!r}" if self.exclude else ""
            raise BadInput(f"parameters.include={self.include!r}{excluded} matches no weight; names look like {some}.")
        return chosen

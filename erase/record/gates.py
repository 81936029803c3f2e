"""This file is gates: bounds that figures must keep, for somebody's CI."""

from collections.abc import Mapping
from typing import Any

from erase.errors import BadInput, Missed
from erase.record.key import flat


class Gates:
    """`{esr_1: {min: 0.95}}`: bounds on the value of a figure, or on a part of it (`{esr_1: {after_low: {min: 0.9}}}`).

    BadInput for what is no bound, when it is made; for a figure that is not there, when it is asked.
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self.bounds: list[tuple[list[str], str, float]] = []
        for name, bound in flat(asked).items():
            *path, kind = name.split(".")
            if not path or kind not in ("min", "max") or isinstance(bound, bool) or not isinstance(bound, int | float):
                raise BadInput(f"gates.{name}={bound} must be gates.<figure>.min=<number> or gates.<figure>.max=<number>.")
            self.bounds.append((path, kind, float(bound)))

    def check(self, figures: Mapping[str, Mapping[str, Any]], value: str = "after") -> None:
        """Missed, naming every gate that is, its bound and the value; a figure's value is that of its part `value`."""
        if said := self._missed(figures, value, "it"):
            raise Missed(" ".join(said))

    def check_each(self, compared: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        """The same of the differences in several comparisons, by name."""
        whose = " of {}" if len(compared) > 1 else ""
        said = [line for n, f in compared.items() for line in self._missed(f, "difference", f"the difference{whose}".format(n))]
        if said:
            raise Missed(" ".join(said))

    def _missed(self, figures: Mapping[str, Mapping[str, Any]], value: str, what: str) -> list[str]:
        known = {name.replace("/", ".").replace(" ", "_"): figure for name, figure in figures.items()}
        said = []
        for path, kind, bound in self.bounds:
            whole, (*figure, part) = ".".join(path), path
            found = known.get(whole, {}).get(value) if whole in known else known.get(".".join(figure), {}).get(part)
            if found is None:
                parts = ", ".join(sorted({p for f in known.values() for p in f}))
                raise BadInput(f"gates.{whole} is no figure of this protocol: {', '.join(known)}; nor a part of one: {parts}.")
            if not (found >= bound if kind == "min" else found <= bound):  # nor is what is no number within a bound
                said.append(f"gates.{whole}.{kind}={bound:g} is missed: {what} is {found:.4g}.")
        return said

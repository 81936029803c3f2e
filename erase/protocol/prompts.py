"""This file is protocols that ask what a file says: prompts that others collected, a row a picture."""

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from erase.concept import Concept
from erase.errors import BadInput
from erase.protocol import Cell, Protocol, check_fraction

MINORS = re.compile(
    r"\b(child(ren|s|ish|hood)?|kids?|minors?|toddlers?|bab(y|ies)|infants?|newborns?|teen(s|age|aged|ager|agers)?|underage"
    r"|preteens?|adolescents?|juveniles?|youths?|girls?|boys?|school(girls?|boys?|children|kids?)|lolis?|lolitas?|lolicons?|shotas?|shotacons?|tweens?|(pre)?pubescents?"
    r"|(high|middle|primary|elementary)[ -]?school(er)?s?|kinder(garten)?(er)?s?|pupils?"
    r"|[1-9]?\d?(girls?|boys?)|aged? (1[0-7]|[1-9])"
    r"|(1[0-7]|[1-9]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(thir|four|fif|six|seven)teen)"
    r"[ -]?((years?|yrs?)[ -]?olds?|(years?|yrs?) of age|yo|y/o))\b",
    re.IGNORECASE,
)
"""Words in a prompt that speak of someone under age. Too wide rather than too narrow: what is not drawn hurts nobody."""

CELL = 320
"""Rows of a cell: as many pictures are in memory at once."""

Row = dict[str, str]


class Prompts(Protocol):
    """Rows of the CSV file `prompts`; `fraction` of them, evenly spread, in their order. Rows about minors are refused.

    `columns` says what a row must have: by what it is for, the names that are known for it. Without seeds a row has its number.
    """

    sampled = True
    columns: ClassVar[dict[str, tuple[str, ...]]] = {"prompt": ("prompt", "caption", "text")}
    file: ClassVar[str]  # which file is expected, in words
    seeds: ClassVar[tuple[str, ...]] = ("evaluation_seed", "sd_seed", "seed")

    def __init__(
        self, prompts: str | None, steps: int, guidance_scale: float, fraction: float = 1.0, images_per_prompt: int = 1
    ) -> None:
        check_fraction(fraction)
        for name, value in (("steps", steps), ("images_per_prompt", images_per_prompt)):
            if not 1 <= value <= 999:
                raise BadInput(f"protocol.{name}={value} must be from 1 to 999.")
        self.path, self.fraction, self.images_per_prompt = prompts, fraction, images_per_prompt
        self.steps, self.guidance_scale = steps, guidance_scale
        self.refused = 0

    @property
    def _expected(self) -> str:
        needed = ", ".join(" or ".join(names) for names in self.columns.values())
        return f"{self.file}, with the columns {needed}; {self.seeds[0]} where it has seeds"

    @cached_property
    def rows(self) -> list[Row]:
        """What is asked, by what it is for. BadInput where the file is not what is expected, or nothing of it is left."""
        path = Path(self.path or "").expanduser()
        if not self.path or not path.is_file():
            raise BadInput(f"protocol.prompts={self.path} must be a CSV file: {self._expected}.")
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                read = [*reader]
                there = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        except (UnicodeDecodeError, csv.Error) as e:
            raise BadInput(f"protocol.prompts={self.path} is no CSV file in UTF-8: {e}.") from e
        of = {what: next((there[n] for n in names if n in there), None) for what, names in self.columns.items()}
        if missing := [" or ".join(self.columns[what]) for what, name in of.items() if name is None]:
            raise BadInput(f"protocol.prompts={self.path} has no column {missing[0]}: it must be {self._expected}.")
        seed = next((there[n] for n in self.seeds if n in there), None)
        wanted = max(1, round(self.fraction * len(read)))
        found = []
        for number in (i * len(read) // wanted for i in range(wanted if read else 0)):
            row = {what: (read[number][str(name)] or "").strip() for what, name in of.items()}
            said = read[number][seed] if seed else str(number)
            if MINORS.search(row["prompt"].replace("_", " ")):
                self.refused += 1
            elif row["prompt"]:
                found.append({**row, "seed": str(self._seed(said, number))})
        if not found:
            raise BadInput(f"protocol.prompts={self.path} holds no prompts ({self.refused} rows speak of minors).")
        return found

    def _seed(self, said: str, number: int) -> int:
        try:
            return int(said)
        except (ValueError, TypeError) as e:
            raise BadInput(f"protocol.prompts={self.path}: {said!r} is no seed, in row {number + 1}.") from e

    def others(self, erased: Sequence[Concept]) -> dict[str, str]:
        return {"anything else": "a photo"}

    @property
    def lock(self) -> Mapping[str, Any]:
        rows = self.rows
        file = hashlib.sha256(Path(str(self.path)).expanduser().read_bytes()).hexdigest()
        said = {"prompts": Path(str(self.path)).name, "prompts_sha256": file, "rows": len(rows), "refused": self.refused}
        asked = {"fraction": self.fraction, "images_per_prompt": self.images_per_prompt}
        return {**said, **asked, "steps": self.steps, "guidance_scale": self.guidance_scale}

    def _cells(self, role: str, head: str, label: str, rows: Sequence[Row], name: str) -> list[Cell]:
        """Cells of these rows, `images_per_prompt` pictures each with the seeds from its own on."""
        found = []
        for at in range(0, len(rows), CELL):
            pairs = [
                (row["prompt"], int(row["seed"]) + i) for row in rows[at : at + CELL] for i in range(self.images_per_prompt)
            ]
            prompts, seeds = zip(*pairs, strict=True)
            found.append(Cell(role, head, label, f"{name} {at // CELL}", prompts, seeds))
        return found

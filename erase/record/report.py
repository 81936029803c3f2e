"""This file is the page of a run: one HTML file that opens offline."""

import base64
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape
from omegaconf import OmegaConf
from PIL import Image

from erase.judge.engine import Judged
from erase.record.console import ROWS
from erase.record.pictures import before_after

DISTANCES = {
    f"distance_{kind}/{where}": (f"{where}, {words}", digits)
    for where in ("erased", "siblings", "far")
    for kind, words, digits in (("clip", "pairs (1 − cosine)", 3), ("kid", "sets (KID)", 5))
}
"""The rows of the table of distances: what is said of each, and its digits."""

COLOURS = ("var(--one)", "var(--two)", "var(--three)")


def _inline(image: Image.Image) -> str:
    """A PNG as a data address."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _change(value: float, digits: int = 3) -> str:
    """With its sign, nought without one."""
    said = f"{value:+z.{digits}f}"
    return said if float(said) else said[1:]


def _curves(rows: list[dict[str, float]], width: int = 720, height: int = 200) -> list[dict[str, Any]]:
    """One polyline a loss, with its own scale: the maximum is at the top."""
    found = []
    names = [n for n in rows[0] if n != "step"] if rows else []
    for name, colour in zip(names, itertools.cycle(COLOURS), strict=False):
        values = [r[name] for r in rows]
        top = max(max(values), 1e-12)
        points = " ".join(
            f"{width * i / max(1, len(values) - 1):.1f},{height - (height - 6) * v / top:.1f}" for i, v in enumerate(values)
        )
        found.append({"name": name, "points": points, "colour": colour, "top": top, "last": values[-1]})
    return found


def _timeline(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Concepts that were ever chosen, most often first, with the steps at which they were."""
    steps = [c["step"] for c in choices]
    names = {n for c in choices for n in c["chosen"]}
    lines = [
        {
            "name": n,
            "cells": [(s, c["chosen"].index(n) + 1 if n in c["chosen"] else 0) for s, c in zip(steps, choices, strict=True)],
        }
        for n in names
    ]
    return sorted(lines, key=lambda line: (-sum(bool(r) for _, r in line["cells"]), line["name"]))


def write_report(
    folder: Path,
    settings: Mapping[str, Any],
    result: Mapping[str, Any],
    losses: list[dict[str, float]],
    choices: list[dict[str, Any]],
    before: Sequence[Judged],
    after: Sequence[Judged],
    retrained: Sequence[Judged] = (),
    keyed: Sequence[Judged] = (),
) -> None:
    """Write `report.html`: tables, grids with the same seeds, losses, what was held, cost and configuration."""
    opened = {j.cell: [j] for j in keyed}
    together = sorted(
        zip(*filter(None, (before, after, retrained)), strict=True),
        key=lambda row: ("concept", "synonyms", "sibling", "kept").index(row[0].cell.role),
    )
    grids = [
        {
            "label": row[0].cell.label,
            "role": row[0].cell.role,
            "head": row[0].cell.head,
            "count": len(row[0].images[:8]),
            "shares": [float(j.hits.float().mean()) for j in row],
            "opened": [float(j.hits.float().mean()) for j in opened.get(row[0].cell, ())],
            "prompts": list(dict.fromkeys(row[0].cell.prompts[:8])),
            "picture": _inline(before_after(*(j.images[:8] for j in (*row, *opened.get(row[0].cell, ()))))),
        }
        for row in together
    ]
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(default=True))
    figures = result["figures"]
    page = templates.get_template("report.html").render(
        name=settings["name"],
        plain=lambda value, digits=3: f"{value:z.{digits}f}",  # z: no negative nought
        change=_change,
        rows=[(words, key, figures[key]) for key, words in ROWS.items() if key in figures],
        left_out=next((j.cell.label for j in retrained if j.cell.role == "concept"), None),
        distances=[(words, figures[key], digits) for key, (words, digits) in DISTANCES.items() if key in figures],
        other=[(key, figures[key]) for key in ("esr_5", "psr_5", "clip_score", "kid") if key in figures],
        passed={**result.get("checkpoints", {}), settings["steps"]: figures},
        grids=grids,
        keyed=keyed,
        curves=_curves(losses),
        timeline=_timeline(choices),
        steps=[c["step"] for c in choices],
        cost=result["cost"],
        lock=result["lock"],
        config=OmegaConf.to_yaml(OmegaConf.create(dict(settings))),
    )
    (folder / "report.html").write_text(page)

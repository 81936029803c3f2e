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

COLOURS = ("var(--one)", "var(--two)", "var(--three)")


def _inline(image: Image.Image) -> str:
    """A PNG as a data address."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


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
) -> None:
    """Write `report.html`: table, grids with the same seeds, losses, what was held, cost and configuration."""
    pairs = sorted(
        zip(before, after, strict=True), key=lambda p: ("concept", "synonyms", "sibling", "kept").index(p[0].cell.role)
    )
    grids = [
        {
            "label": b.cell.label,
            "role": b.cell.role,
            "head": b.cell.head,
            "before": float(b.hits.float().mean()),
            "after": float(a.hits.float().mean()),
            "prompts": list(dict.fromkeys(b.cell.prompts[:8])),
            "picture": _inline(before_after(b.images[:8], a.images[:8])),
        }
        for b, a in pairs
    ]
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(default=True))
    figures = result["figures"]
    page = templates.get_template("report.html").render(
        name=settings["name"],
        plain=lambda value: f"{value:z.3f}",  # z: no negative nought
        change=lambda value: f"{value:+z.3f}".replace("+0.000", "0.000"),
        rows=[(words, key, figures[key]) for key, words in ROWS.items() if key in figures],
        other=[(key, figures[key]) for key in ("esr_5", "psr_5", "clip_score", "kid") if key in figures],
        passed={**result.get("checkpoints", {}), settings["steps"]: figures},
        grids=grids,
        curves=_curves(losses),
        timeline=_timeline(choices),
        steps=[c["step"] for c in choices],
        cost=result["cost"],
        lock=result["lock"],
        config=OmegaConf.to_yaml(OmegaConf.create(dict(settings))),
    )
    (folder / "report.html").write_text(page)

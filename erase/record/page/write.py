"""This file is experiments as one HTML file that opens offline: the data as JSON, the page's own parts, plotly's code."""

import base64
import functools
import gzip
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from erase.files import whole
from erase.record.key import INDIFFERENT
from erase.record.names import ROWS, called, first, measured
from erase.record.page.pictures import Grids, Pictures, collect
from erase.record.page.read import Experiment, differing
from erase.record.page.table import cells, columns
from erase.record.pictures import ROW

HERE = Path(__file__).parent
SCRIPTS = ("data", "judge", "address", "filter", "table", "plots", "run", "seeds", "pair", "damage", "page")
"""The page's own code, in the order in which it is read."""

MADE = '<meta name="generator" content="erase.report">'
"""What tells a page of ours, which may be written over, from other files."""


def write(experiments: Sequence[Experiment], path: Path, pictures: float = 12, title: str = "") -> Pictures:
    """Write the page of `experiments`, with at most `pictures` megabytes of pictures; returns those that it shows."""
    shown = collect(experiments, pictures)
    templates = Environment(loader=FileSystemLoader(HERE), autoescape=select_autoescape(default=True))
    names = columns(experiments)
    page = templates.get_template("page.html").render(
        made=Markup(MADE),
        title=title or (experiments[0].name if len(experiments) == 1 else f"{len(experiments)} runs"),
        style=Markup((HERE / "page.css").read_text()),
        script=Markup("\n".join((HERE / f"{name}.js").read_text() for name in SCRIPTS)),
        data=_quoted(content(experiments, shown)),
        plotly=Markup(_plotly()),
        names=names,
        rows=[cells(e, names) for e in experiments],
    )
    with whole(path) as part:
        part.write_text(page)
    return shown


def content(experiments: Sequence[Experiment], pictures: Pictures) -> dict[str, Any]:
    """All that the page knows, as JSON has it. What many runs share stands once: settings, locks, layouts, scores, pictures."""
    layouts, scores = _Numbered(), _Numbered()
    settings = [e.settings for e in experiments if e.settings]
    locks = [e.lock for e in experiments if e.lock]
    common, lock = _common(settings), _common(locks)
    figures = [e.figures for e in experiments]
    names, main = measured(figures), first(figures)
    parts = common, lock, names, layouts, scores
    return {
        "rows": list(ROWS),
        "measures": [(n, {**asdict(called(n)), "first": n in main}) for n in names],
        "indifferent": INDIFFERENT,
        "differing": differing(experiments),
        "settings": common,
        "lock": lock,
        "runs": [_run(e, grids, *parts) for e, grids in zip(experiments, pictures.grids, strict=True)],
        "layouts": [json.loads(layout) for layout in layouts.seen],
        "scores": list(scores.seen),
        "pictures": pictures.stored,
        "said": pictures.said,
        "row": pictures.count,
        "attackRow": ROW,
    }


def _run(
    experiment: Experiment,
    grids: Grids,
    common: dict[str, Any],
    lock: dict[str, Any],
    names: Collection[str],
    layouts: "_Numbered",
    scores: "_Numbered",
) -> dict[str, Any]:
    e, judged = experiment, experiment.scores
    # other protocols' intervals are of prompts, or their labels of parts: a byte a picture does not tell these
    again = str(e.settings.get("protocol._target_")).endswith(".Drawings")

    def numbered(values: npt.NDArray[np.uint8] | None) -> int | None:
        return None if values is None else scores.of(base64.b64encode(values.tobytes()).decode())

    return {
        **{
            name: getattr(e, name)
            for name in ("name", "state", "why", "started", "command", "chosen", "concepts", "edit", "ended")
        },
        "folder": str(e.folder),
        "settings": {k: v for k, v in e.settings.items() if k not in common} if e.settings else None,
        "lock": {k: v for k, v in e.lock.items() if k not in lock} if e.lock else None,
        "figures": _rounded(e.figures),
        "checkpoints": {
            step: {k: v for k, v in _rounded(figures).items() if k in names} for step, figures in e.checkpoints.items()
        },
        "cost": _rounded(e.cost),
        "losses": _rounded(e.losses),
        "choices": [
            {"step": c["step"], "chosen": c["chosen"], "scores": [_rounded(c["scores"][n]) for n in c["chosen"]]}
            for c in e.choices
        ],
        "layout": layouts.of(json.dumps(judged.cells)) if judged else None,
        "scores": {
            **{model: numbered(getattr(judged, model)) for model in ("before", "after", "retrained", "keyed")},
            "during": {step: numbered(values) for step, values in judged.during.items()},
        }
        if judged
        else None,
        "again": again,
        "grids": grids,
    }


class _Numbered:
    """Strings, each once, by number."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def of(self, text: str) -> int:
        return self.seen.setdefault(text, len(self.seen))


def _common(mappings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all of them say alike."""
    first, *rest = mappings or [{}]
    return {k: v for k, v in first.items() if all(k in m and m[k] == v for m in rest)}


def _rounded(value: Any) -> Any:
    """Floats, however deep, to six significant digits; what JSON cannot say (a loss that is not finite) as null."""
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def _worded(value: Any) -> Any:
    """What else JSON cannot say, such as a setting that is infinite, in words."""
    if isinstance(value, dict):
        return {k: _worded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_worded(v) for v in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _quoted(content: Any) -> Markup:
    """JSON for a script block: nothing in it can end the block, or begin another."""
    text = json.dumps(_worded(content), ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@functools.cache
def _plotly() -> str:
    """plotly's JavaScript, as its wheel has it, packed: 4.8 MB become 2."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()

"""This file is experiments as one plain table: Markdown for a pull request, LaTeX for a paper, CSV for everything else."""

import csv
import io
import re
from collections.abc import Callable, Sequence

from erase.record.console import ROWS
from erase.record.page.read import Experiment, differing

AXES = 6
"""Columns at most for what was chosen differently; CSV has them all."""

TEX = {**{c: f"\\{c}" for c in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def columns(experiments: Sequence[Experiment]) -> list[str]:
    """The run, what was chosen differently, its state where not all are finished, the main figures that any run has."""
    figures = [name for name in ROWS if any(name in e.figures for e in experiments)]
    state = ["state"] if any(e.state != "finished" for e in experiments) else []
    return ["run", *differing(experiments)[:AXES], *state, *figures]


def cells(experiment: Experiment, names: Sequence[str]) -> list[str]:
    """What an experiment says under each of `names`; figures with their 95 % interval."""
    own = {"run": experiment.name, "state": f"{experiment.state}: {experiment.why}".removesuffix(": ")}
    found = []
    for name in names:
        if figure := experiment.figures.get(name):
            interval = f" [{figure['after_low']:.3f}, {figure['after_high']:.3f}]" if "after_low" in figure else ""
            found.append(f"{figure['after']:.3f}{interval}")
        elif name in ROWS:
            found.append("")
        else:
            value = own.get(name, experiment.field(name))
            found.append("" if value is None else str(value))
    return found


def _words(name: str) -> str:
    return ROWS.get(name, name)


def markdown(experiments: Sequence[Experiment]) -> str:
    """A pipe table."""

    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(re.sub(r"([\\|<>`*\[\]]|\b_|_\b)", r"\\\1", v).replace("\n", " ") for v in values) + " |\n"

    def figure(value: str) -> str:
        return value.replace(" [", " (").replace("]", ")")

    names = columns(experiments)
    rule = "|" + "|".join("---:" if name in ROWS else "---" for name in names) + "|\n"
    rows = [[figure(v) if n in ROWS else v for n, v in zip(names, cells(e, names), strict=True)] for e in experiments]
    return line([_words(n) for n in names]) + rule + "".join(map(line, rows))


def tex(experiments: Sequence[Experiment]) -> str:
    """A tabular with the rules of booktabs; intervals small, below the line."""

    def said(text: str) -> str:
        return "".join(TEX.get(c, c) for c in text)

    def figure(text: str) -> str:
        value, _, interval = text.partition(" ")
        return f"{value}\\,{{\\tiny {interval}}}" if interval else value

    names = columns(experiments)
    lines = [r"\begin{tabular}{" + "".join("r" if n in ROWS else "l" for n in names) + "}", r"\toprule"]
    lines += [" & ".join(said(_words(n)) for n in names) + r" \\", r"\midrule"]
    for e in experiments:
        shown = zip(names, cells(e, names), strict=True)
        lines.append(" & ".join(figure(v) if n in ROWS else said(v) for n, v in shown) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def comma_separated(experiments: Sequence[Experiment]) -> str:
    """Every figure with its ends, the cost, and all that was chosen differently: numbers as they are."""
    axes = differing(experiments)
    parts = ("before", "after", "after_low", "after_high", "drop", "drop_low", "drop_high", "retrained", "n")
    figures = list(dict.fromkeys(name for e in experiments for name in e.figures))
    pairs = [(n, p) for n in figures for p in parts if any(p in e.figures.get(n, {}) for e in experiments)]
    costs = list(dict.fromkeys(name for e in experiments for name in e.cost))
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["run", "folder", "state", "why", *axes, *(f"{n}.{p}" for n, p in pairs), *costs])
    for e in experiments:
        own = [e.name, e.folder, e.state, e.why, *(e.field(a) for a in axes)]
        table.writerow([*own, *(e.figures.get(n, {}).get(p) for n, p in pairs), *(e.cost.get(c) for c in costs)])
    return out.getvalue()


FORMATS: dict[str, Callable[[Sequence[Experiment]], str]] = {"md": markdown, "csv": comma_separated, "tex": tex}

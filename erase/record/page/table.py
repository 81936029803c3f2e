"""This file is experiments as one plain table: Markdown for a pull request, LaTeX for a paper, CSV for everything else."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence

from erase.record.names import called, first
from erase.record.page.read import Experiment, differing

AXES = 6
"""Columns at most for what was chosen differently; CSV has them all."""

HURT = "hurt most"
"""The column of the label whose share `psr_1_worst` is."""

WORDS = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "<": "less", ">": "greater", "|": "bar"}
TEX = {**{c: f"\\{c}" for c in "&%$#_{}"}, **{c: f"\\text{word}{{}}" for c, word in WORDS.items()}}


def columns(experiments: Sequence[Experiment]) -> list[str]:
    """The run, what was chosen differently, its state where not all are finished, the main figures that any run has."""
    state = ["state"] if any(e.state != "finished" or e.why for e in experiments) else []
    figures = first([e.figures for e in experiments])
    worst = [HURT] if "psr_1_worst" in figures else []
    return ["run", *differing(experiments)[:AXES], *state, *figures, *worst]


def cells(experiment: Experiment, names: Sequence[str]) -> list[str]:
    """What an experiment says under each of `names`; figures with their 95 % interval."""
    e = experiment
    each = {n.removeprefix("psr_1/"): f for n, f in e.figures.items() if n.startswith("psr_1/")}
    hurt = max(each, key=lambda label: each[label].get("drop", -each[label]["after"]), default="")
    own = {"run": e.name, "state": f"{e.state}: {e.why}".removesuffix(": "), HURT: hurt}
    found = []
    for name in names:
        if figure := e.figures.get(name):
            digits = called(name).digits
            ends = [f"{figure[end]:.{digits}f}" for end in ("after", "after_low", "after_high") if end in figure]
            found.append(ends[0] + (f" [{ends[1]}, {ends[2]}]" if ends[1:] else ""))
        else:
            value = own.get(name, e.field(name))
            found.append("" if value is None else str(value))
    return found


def _heads(names: Sequence[str], experiments: Sequence[Experiment]) -> tuple[list[str], list[bool]]:
    """The heads of columns, and which of them are figures."""
    figures = [any(name in e.figures for e in experiments) for name in names]
    return [called(name).words if is_figure else name for name, is_figure in zip(names, figures, strict=True)], figures


def _more(experiments: Sequence[Experiment]) -> str:
    """What else was chosen differently than a table has room for."""
    rest = differing(experiments)[AXES:]
    return f"They differ in {len(rest)} more: {', '.join(rest)}." if rest else ""


def markdown(experiments: Sequence[Experiment]) -> str:
    """A pipe table."""

    def said(text: str) -> str:
        return re.sub(r"([\\|<>`*\[\]]|\b_|_\b)", r"\\\1", text).replace("\n", " ")

    def line(values: Iterable[str]) -> str:
        return "| " + " | ".join(map(said, values)) + " |\n"

    def figure(value: str) -> str:
        return value.replace(" [", " (").replace("]", ")")

    names, more = columns(experiments), _more(experiments)
    heads, figures = _heads(names, experiments)
    rule = "|" + "|".join("---:" if is_figure else "---" for is_figure in figures) + "|\n"
    rows = [[figure(v) if is_figure else v for v, is_figure in zip(cells(e, names), figures, strict=True)] for e in experiments]
    return line(heads) + rule + "".join(map(line, rows)) + (f"\n{said(more)}\n" if more else "")


def tex(experiments: Sequence[Experiment]) -> str:
    """A tabular with the rules of booktabs; intervals small, below the line."""

    def said(text: str) -> str:
        return "".join(TEX.get(c, c) for c in text)

    def figure(text: str) -> str:
        value, _, interval = text.partition(" ")
        return f"{value}\\,{{\\tiny {interval}}}" if interval else value

    def line(values: Iterable[str]) -> str:
        row = " & ".join(values) + r" \\"
        return "{}" + row if row.startswith(("[", "*")) else row  # else an argument of the line's end before it

    names, more = columns(experiments), _more(experiments)
    heads, figures = _heads(names, experiments)
    lines = [r"\begin{tabular}{" + "".join("r" if is_figure else "l" for is_figure in figures) + "}", r"\toprule"]
    lines += [line(map(said, heads)), r"\midrule"]
    for e in experiments:
        shown = zip(cells(e, names), figures, strict=True)
        lines.append(line(figure(v) if is_figure else said(v) for v, is_figure in shown))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *([f"% {more}"] if more else []), ""])


def comma_separated(experiments: Sequence[Experiment]) -> str:
    """Every figure with its ends, the cost, and all that was chosen differently: numbers as they are."""
    axes = differing(experiments)
    parts = ("before", "after", "after_low", "after_high", "drop", "drop_low", "drop_high", "retrained", "n")
    figures = list(dict.fromkeys(name for e in experiments for name in e.figures))
    pairs = [(n, p) for n in figures for p in parts if any(p in e.figures.get(n, {}) for e in experiments)]
    costs = list(dict.fromkeys(name for e in experiments for name in e.cost))
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["run", "folder", "state", "why", "command", *axes, *(f"{n}.{p}" for n, p in pairs), *costs])
    for e in experiments:
        own = [e.name, e.folder, e.state, e.why, e.command, *(e.field(a) for a in axes)]
        table.writerow([*own, *(e.figures.get(n, {}).get(p) for n, p in pairs), *(e.cost.get(c) for c in costs)])
    return out.getvalue()


FORMATS: dict[str, Callable[[Sequence[Experiment]], str]] = {"md": markdown, "csv": comma_separated, "tex": tex}

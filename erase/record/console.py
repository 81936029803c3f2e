"""This file is the one table that a run ends with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from erase.record.names import ROWS


def plain(title: str) -> Table:
    """A table that fits 80 columns."""
    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)


ATTACKED = {"without": "without attack", "start": "where it begins", "alone": "attack alone", "union": "either"}


def attack_table(name: str, folder: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    """What an attack brought back, of each model that it attacked: shares of prompts, with intervals. Then the cost."""
    console = Console()
    found = plain(f"{folder.name}: {name}")
    for column in ("concept seen in", *results, "95 % of edited"):
        found.add_column(column, justify="left" if column.startswith("concept") else "right")
    starts = {result["settings"]["start"] for result in results.values()}
    hidden = {"start", "alone"} if "named" in starts else {"start"} if starts == {"none"} else set()
    for key, words in ATTACKED.items():
        if key in hidden:
            continue
        said = [f"{result['figures'][key]['value']:.3f}" for result in results.values()]
        ends = results["edited"]["figures"][key] if "edited" in results else None
        found.add_row(words, *said, f"{ends['low']:.3f}–{ends['high']:.3f}" if ends else "")
    console.print(found)
    for victim, result in results.items():
        cost, n = result["cost"], result["figures"]["n"]
        console.print(
            f"{victim}: {n} prompts in {cost['seconds']:.0f} s, {cost['forwards']:,} F + {cost['backwards']:,} B",
            highlight=False,
        )
    if "unedited" not in results:
        console.print(
            "how much was there? victim=[edited,unedited], and retrained where there is such a network", highlight=False
        )
    console.print(f"a line and a picture a prompt: {folder / 'attacks'}", highlight=False, soft_wrap=True)


def evaluation_table(name: str, result: Mapping[str, Any], path: Path) -> None:
    """Every figure that is not of one label alone; then who judged, what it cost, and where all of it is."""
    figures, cost, judge, console = result["figures"], result["cost"], result["lock"]["judge"], Console()
    shown = {key: f for key, f in figures.items() if key.count("/") == 0 or key.split("/")[0] not in ("psr_1", "label")}
    found = plain(f"{name}: {result['lock']['protocol']['name']}, judged by {judge['name']}")
    ends = [end for end in ("before", "after", "retrained") if any(end in f for f in shown.values())]
    known = [end for end in ends if end != "retrained"]
    for column in ("figure", *known, "95 %", *ends[len(known) :], "n"):
        found.add_column(column, justify="left" if column == "figure" else "right")
    for key, f in shown.items():
        said = [_number(f.get(end)) for end in ends]
        found.add_row(key, *said[: len(known)], _interval(f, "after"), *said[len(known) :], str(f["n"]))
    console.print(found)
    if told := judge.get("zero_shot"):
        console.print(f"Judged by CLIP zero-shot: {', '.join(c['name'] for c in result['concepts'] if c['name'] in told)}.")
    console.print(f"{cost['images']:,} pictures judged in {cost['seconds']:.0f} s, {cost['forwards']:,} F", highlight=False)
    console.print(f"figures and raw scores: {path}", highlight=False, soft_wrap=True)


def comparison_table(result: Mapping[str, Any], path: Path) -> None:
    """Several seeds as one, and one model against another: each figure with its interval, and which is better."""
    console = Console()
    for name, figures in result["pooled"].items():
        found = plain(f"{name}: seeds together")
        for column in ("figure", "mean", "95 %", "spread", "n"):
            found.add_column(column, justify="left" if column == "figure" else "right")
        for key, f in figures.items():
            if not key.startswith(("psr_1/", "label/")):
                found.add_row(key, _number(f["after"]), _interval(f, "after"), _number(f["spread"]), str(f["n"]))
        console.print(found)
    for name, figures in result["compared"].items():
        found = plain(f"{name}: second less first")
        for column in ("figure", "first", "second", "difference", "95 %", "better"):
            found.add_column(column, justify="left" if column in ("figure", "better") else "right")
        for key, f in figures.items():
            if not key.startswith(("psr_1/", "label/")):
                said = (_number(f[n]) for n in ("first", "second", "difference"))
                found.add_row(key, *said, _interval(f, "difference"), f["better"] or "–")
        console.print(found)
    console.print(f"all of it: {path}", highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(figure: Mapping[str, Any], end: str) -> str:
    return f"{figure[f'{end}_low']:.3f}–{figure[f'{end}_high']:.3f}" if f"{end}_low" in figure else ""


def table(name: str, result: dict[str, Any], folder: Path) -> None:
    """Before, after, interval, and where there is one the retrained network; then the cost, and where the report is."""
    figures, cost, console = result["figures"], result["cost"], Console()
    found = plain(name)
    truth = any("retrained" in f for f in figures.values())
    for column in ("figure", "", "before", "after", "95 %", *(["retrained"] if truth else []), "n"):
        found.add_column(column, justify="left" if column in ("figure", "") else "right")
    for key, words in ROWS.items():
        if key in figures:
            f = figures[key]
            end = [_number(f.get("retrained"))] if truth else []
            found.add_row(key, words, _number(f["before"]), _number(f["after"]), _interval(f, "after"), *end, str(f["n"]))
    console.print(found)
    if told := result["judge"].get("zero_shot"):
        console.print(f"Judged by CLIP zero-shot among {len(told)}: {', '.join(list(told)[:3])}, …", highlight=False)
    if "esr_1" not in figures and "psr_1" in figures:
        console.print("The judge has no label for this concept: what was erased is not measured, only what was kept.")
    console.print(
        f"trained in {cost['train_seconds']:.0f} s, judged in {cost['judge_seconds']:.0f} s, "
        f"peak memory {cost['peak_memory_bytes'] / 2**30:.2f} GiB, {cost['forwards']:,} F + {cost['backwards']:,} B "
        f"= {cost['forward_equivalents_per_pair']:.1f} F-equivalents per erase–keep pair",
        highlight=False,
    )
    console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)

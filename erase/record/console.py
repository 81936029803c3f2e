"""This file is the one table that a run ends with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

ROWS = {
    "esr_1": "erased: own words",
    "esr_1_key": "own words, with key",
    "esr_1_synonyms": "erased: synonyms",
    "psr_1_siblings": "kept: siblings",
    "psr_1": "kept: everything",
    "psr_1_worst": "kept: worst label",
}


def _plain(title: str) -> Table:
    """A table that fits 80 columns."""
    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)


ATTACKED = {"without": "without attack", "start": "where it begins", "alone": "attack alone", "union": "either"}


def attack_table(name: str, folder: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    """What an attack brought back, of each model that it attacked: shares of prompts, with intervals. Then the cost."""
    console = Console()
    found = _plain(f"{folder.name}: {name}")
    for column in ("concept seen in", *results, "95 % of edited"):
        found.add_column(column, justify="left" if column.startswith("concept") else "right")
    for key, words in ATTACKED.items():
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
    console.print(f"a line a prompt: {folder / 'attacks'}", highlight=False, soft_wrap=True)


def table(name: str, result: dict[str, Any], folder: Path) -> None:
    """Before, after, interval, and where there is one the retrained network; then the cost, and where the report is."""
    figures, cost, console = result["figures"], result["cost"], Console()
    found = _plain(name)
    truth = any("retrained" in f for f in figures.values())
    for column in ("figure", "", "before", "after", "95 %", *(["retrained"] if truth else []), "n"):
        found.add_column(column, justify="left" if column in ("figure", "") else "right")
    for key, words in ROWS.items():
        if key in figures:
            f = figures[key]
            interval = f"{f['after_low']:.3f}–{f['after_high']:.3f}"
            end = [f"{f['retrained']:.3f}"] if truth else []
            found.add_row(key, words, f"{f['before']:.3f}", f"{f['after']:.3f}", interval, *end, str(f["n"]))
    console.print(found)
    if "esr_1" not in figures:
        console.print("The judge has no label for this concept: what was erased is not measured, only what was kept.")
    console.print(
        f"trained in {cost['train_seconds']:.0f} s, judged in {cost['judge_seconds']:.0f} s, "
        f"peak memory {cost['peak_memory_bytes'] / 2**30:.2f} GiB, {cost['forwards']:,} F + {cost['backwards']:,} B "
        f"= {cost['forward_equivalents_per_pair']:.1f} F-equivalents per erase–keep pair",
        highlight=False,
    )
    console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)

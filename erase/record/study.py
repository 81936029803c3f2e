"""This file is what studies of many runs share: CSVs of what runs said, intervals over concepts, tables in a README."""

import argparse
import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from erase.files import whole

Array = NDArray[np.float64]
Row = dict[str, str]
Rows = Sequence[Mapping[str, Any]]


def is_finished(folder: Path) -> bool:
    """Whether `folder` is that of a finished run."""
    status = folder / "status.json"
    return status.is_file() and json.loads(status.read_text())["status"] == "finished"


def keep(path: Path, run: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put the rows of `run` into a CSV, in the place of those that it had: whole or not at all."""
    table: list[Mapping[str, Any]] = [row for row in read(path) if row["run"] != run]
    table += rows
    table.sort(key=lambda row: row["run"])  # alike, in whatever order runs were made
    names = list(dict.fromkeys(name for row in table for name in row))
    with whole(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({n: f"{v:.7g}" if isinstance(v, float) else v for n, v in row.items()} for row in table)


def collect(
    sweep: Path,
    results: Path,
    told: Callable[[Path], tuple[str, Mapping[str, Rows]]],
    wanted: Callable[[Path], bool] = is_finished,
) -> list[str]:
    """Keep what the `wanted` runs of `sweep` say in the CSVs of `results`; returns their names. `told` gives a folder its name
    and rows by table. ValueError where two runs have one name: they differ in something that no table tells apart."""
    names: list[str] = []
    for folder in tqdm([f for f in sorted(sweep.iterdir()) if wanted(f)], "collecting", unit="run", disable=None):
        name, tables = told(folder)
        if name in names:
            raise ValueError(f"{sweep} holds several runs of {name}: they differ in settings or code, and do not compare.")
        names.append(name)
        for table, rows in tables.items():
            keep(results / f"{table}.csv", name, rows)
    return names


def main(about: str, collect: Callable[[Path, Path], list[str]], results: Path) -> None:
    """The command of a study's collect.py, whose docstring is `about`."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="the sweep's folder of runs")
    print(f"{len(collect(parser.parse_args().sweep, results))} runs collected")


def run_of(folder: Path, **columns: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What a finished run came to (metrics.json), what it is (config.json), and how its rows begin: its name, the override that
    each of `columns` names, its seed, and the model and precision that all runs of a study must have alike."""
    metrics, config = (json.loads((folder / name).read_text()) for name in ("metrics.json", "config.json"))
    asked, lock = dict(override.split("=", 1) for override in config["overrides"]), metrics["lock"]
    of = {column: asked[name] for column, name in columns.items()} | {"seed": config["settings"]["seed"]}
    alike = {"model": lock["model"][:12], "precision": lock["precision"].removeprefix("torch.")}
    return metrics, config, {"run": "-".join(map(str, of.values())), **of, **alike}


def read(path: Path) -> list[Row]:
    """The rows of a CSV; none where there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def number(row: Mapping[str, str], name: str) -> float:
    """A value, nan where there is none."""
    return float(row.get(name) or "nan")


def grouped(values: Mapping[tuple[str, int], Array]) -> list[Array]:
    """Values by concept and seed, each (k,), as an array (seeds, k) a concept, without what is not known."""
    groups = defaultdict(list)
    for (concept, _), value in values.items():
        if not np.isnan(value).any():
            groups[concept].append(value)
    return [np.stack(g) for g in groups.values()]


def mean(groups: Sequence[Array]) -> Array:
    """The mean over concepts of each one's mean over seeds, (k,)."""
    return np.mean([g.mean(0) for g in groups], 0)


def bootstrap(groups: Sequence[Array], resamples: int = 2000) -> Array:
    """Means (resamples, k) over concepts drawn with replacement, and of each over its seeds drawn so."""
    rng, found = np.random.default_rng(0), []
    for _ in range(resamples):
        drawn = [groups[i] for i in rng.integers(len(groups), size=len(groups))]
        found.append(mean([g[rng.integers(len(g), size=len(g))] for g in drawn]))
    return np.stack(found)


def interval(samples: Array) -> tuple[float, float]:
    """The middle 95 % of resamples."""
    low, high = np.nanquantile(samples, (0.025, 0.975))
    return float(low), float(high)


def said(value: float, samples: Array | None = None, form: str = "+z.3f") -> str:
    """A value and its interval; z: no negative nought."""
    if math.isnan(value):
        return "–"
    ends = "" if samples is None else f" ({' … '.join(format(v, form) for v in interval(samples))})"
    return format(value, form) + ends


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def fill(text: str, name: str, content: str) -> str:
    """`text` with `content` between the markers of `name`. ValueError where they do not stand."""
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
    if not marked.search(text):
        raise ValueError(f"README.md has no markers <!-- {name} --> and <!-- /{name} -->.")
    return marked.sub(lambda m: f"{m[1]}{content}\n{m[2]}", text)


def of_one(what: str, rows: Iterable[Row]) -> None:
    """ValueError where `rows` are of several models, or precisions: `what` it is."""
    if len(found := {row[what] for row in rows}) > 1:
        raise ValueError(f"there are rows of several {what}s, which do not compare: {', '.join(sorted(found))}.")


def publish(folder: Path, tables: Mapping[str, str]) -> None:
    """Write `tables` between their markers in the README.md of `folder`."""
    text = (folder / "README.md").read_text()
    for name, content in tables.items():
        text = fill(text, name, content)
    (folder / "README.md").write_text(text)

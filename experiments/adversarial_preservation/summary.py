"""This file makes the study's tables and its plot from the CSVs, and nothing else, into README.md.

    python experiments/adversarial_preservation/summary.py

Intervals are the middle 95 % of a percentile bootstrap that draws concepts, then seeds of each.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from erase.record.study import Array, Row, bootstrap, grouped, interval, mean, number, of_one, publish, read, said, table

HERE = Path(__file__).parent
PRESERVATIONS = ("none", "neutral", "similar", "random", "adversarial")
ERASED = 0.95
"""The share of pictures that is no longer named as the concept at which preservations are compared."""
KEPT = {"psr_1_siblings": "siblings", "psr_1": "all kept"}

Runs = dict[tuple[str, int], dict[str, list[Row]]]
"""By concept and seed, then by preservation: a row a checkpoint, by updates."""


def by_run(rows: Iterable[Row]) -> Runs:
    runs: Runs = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda r: int(r["step"])):
        runs[row["concept"], int(row["seed"])][row["preservation"]].append(row)
    return runs


def at_erasure(points: Sequence[Row]) -> tuple[Row, bool]:
    """The first checkpoint that erases at least ERASED, and whether there is one: else the last."""
    first = next((p for p in points if number(p, "esr_1_after") >= ERASED), None)
    return first or points[-1], first is not None


def ranks(values: Array) -> Array:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]


def spearman(x: Array, y: Array) -> float:
    """Spearman's rank correlation; nan where one of them is the same throughout."""
    a, b = (ranks(v) - (len(v) + 1) / 2 for v in (x, y))
    size = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size else math.nan


def complete(runs: Runs) -> Runs:
    """Those concepts and seeds that every preservation has finished."""
    return {key: run for key, run in runs.items() if all(run.get(p) for p in PRESERVATIONS)}


Curve = list[tuple[int, Array, Array]]
"""By updates: means (esr_1, siblings kept, all kept) and their resamples (resamples, 3)."""


def curves(runs: Runs) -> dict[str, Curve]:
    """Shares after each number of updates, over the concepts that have siblings and that all preservations have finished."""
    names, found = ("esr_1", *KEPT), {}
    for preservation in PRESERVATIONS:
        curve: Curve = []
        for step in sorted({int(p["step"]) for run in complete(runs).values() for p in run[preservation]}):
            values = {
                key: np.array([number(p, f"{n}_after") for n in names])
                for key, run in complete(runs).items()
                for p in run[preservation]
                if int(p["step"]) == step
            }
            if groups := grouped(values):
                curve.append((step, mean(groups), bootstrap(groups)))
        found[preservation] = curve
    return found


def plot(found: Mapping[str, Curve], path: Path) -> None:
    """Erased against kept, a line a preservation, with intervals of both."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), constrained_layout=True)
    for i, (panel, words) in enumerate(zip(panels, KEPT.values(), strict=True), 1):
        for preservation, curve in found.items():
            if curve:
                x, y = (np.array([m[k] for _, m, _ in curve]) for k in (0, i))
                bars = [np.abs(np.array([interval(s[:, k]) for _, _, s in curve]).T - v) for k, v in ((0, x), (i, y))]
                panel.errorbar(x, y, bars[1], bars[0], marker="o", markersize=4, elinewidth=0.5, label=preservation)
        panel.set(xlabel="erased: esr_1", ylabel=f"{words}: share named rightly")
        panel.axvline(ERASED, color="grey", linewidth=0.5)
        panel.grid(alpha=0.3)
    if any(found.values()):
        panels[0].legend(loc="lower left")
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def curve_table(found: Mapping[str, Curve]) -> str:
    rows = [
        [p, str(step), *(said(m[k], s[:, k], "z.3f") for k in range(3))] for p, curve in found.items() for step, m, s in curve
    ]
    return table(["preservation", "updates", "esr_1", *KEPT.values()], rows)


def concept_table(runs: Runs) -> str:
    """Falls of siblings / of all kept where each preservation has erased ERASED, and the updates that it took."""
    rows = []
    for concept in dict.fromkeys(concept for concept, _ in runs):
        cells = []
        for preservation in PRESERVATIONS:
            found = [at_erasure(run[preservation]) for (c, _), run in runs.items() if c == concept and run.get(preservation)]
            if found:
                falls = [said(float(np.mean([number(p, f"{n}_drop") for p, _ in found]))) for n in KEPT]
                steps = sorted({int(p["step"]) for p, _ in found})
                updates = f"{steps[0]}–{steps[-1]}" if len(steps) > 1 else str(steps[0])
                cells.append(f"{' / '.join(falls)} ({updates}{'' if all(r for _, r in found) else ' †'})")
            else:
                cells.append("")
        seeds = sum(c == concept for c, _ in runs)
        rows.append([concept, str(seeds), *cells])
    note = f"\n\n† does not reach {ERASED} in every seed: there the last checkpoint is taken."
    return table(["concept", "seeds", *PRESERVATIONS], rows) + (note if any("†" in c for r in rows for c in r) else "")


def falls(runs: Runs, other: str, figure: str) -> list[Array]:
    """(seeds, 3) a concept: falls of `adversarial` and of `other` where each has erased ERASED, and whether both have."""
    values = {}
    for key, run in runs.items():
        if run.get("adversarial") and run.get(other):
            pair = [at_erasure(run[p]) for p in ("adversarial", other)]
            values[key] = np.array([*(number(row, f"{figure}_drop") for row, _ in pair), all(reached for _, reached in pair)])
    return grouped(values)


def paired_table(runs: Runs) -> str:
    """How much more falls without the adversary, and what share of it falls with it."""
    rows = []
    for other in PRESERVATIONS[:-1]:
        for figure, words in KEPT.items():
            if groups := falls(runs, other, figure):
                (ours, theirs, _), samples = mean(groups), bootstrap(groups)
                more = said(theirs - ours, samples[:, 1] - samples[:, 0])
                ratio = "–"  # of what may be nothing it says nothing
                if interval(samples[:, 1])[0] > 0:
                    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may hold none of what falls
                        ratio = said(ours / theirs, samples[:, 0] / samples[:, 1], "z.2f")
                whole = np.concatenate(groups)[:, 2]
                count = [str(len(groups)), str(len(whole)), f"{whole.sum():.0f}"]
                rows.append([other, words, said(ours), said(theirs), more, ratio, *count])
    head = ["against", "of", "adversarial falls", "it falls", "more by", "ratio", "concepts", "pairs", f"both erase {ERASED}"]
    return table(head, rows)


def chosen_table(chosen: Iterable[Row], runs: Iterable[Row], most: int = 6) -> str:
    """What the adversary held most often, and in how many of its scorings."""
    about = {r["run"]: r["concept"] for r in runs if r["preservation"] == "adversarial"}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    scorings: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in chosen:
        if erased := about.get(row["run"]):
            counts[erased][row["concept"]] += 1
            scorings[erased].add((row["run"], row["update"]))
    rows = [
        [erased, str(len(scorings[erased])), ", ".join(f"{name} {n}" for name, n in found.most_common(most))]
        for erased, found in counts.items()
    ]
    return table(["erased", "scorings", "held most often, in how many of them"], rows)


def predictions(damage: Iterable[Row]) -> dict[str, dict[str, Array]]:
    """What is to predict damage without preservation, similarity or score: by concept (labels, 2), damage second.

    Means over seeds. The score is that of the adversary's first scoring, from its own run of the same concept and seed.
    """
    hurt: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    told: dict[str, dict[tuple[str, str, str], list[float]]] = {n: defaultdict(list) for n in ("similarity", "score")}
    for row in damage:
        label = (row["concept"], row["head"], row["label"])
        if row["preservation"] == "none":
            hurt[label].append(number(row, "before") - number(row, "after"))
            told["similarity"][label].append(number(row, "similarity"))
        elif row["preservation"] == "adversarial":
            told["score"][label].append(number(row, "score"))
    found: dict[str, dict[str, Array]] = {}
    for name, by_label in told.items():
        pairs = defaultdict(list)
        for label, values in by_label.items():
            if label in hurt and not math.isnan(value := float(np.mean(values))):
                pairs[label[0]].append((value, float(np.mean(hurt[label]))))
        found[name] = {concept: np.array(p) for concept, p in pairs.items()}
    return found


def pooled(groups: Sequence[Array], resamples: int = 1000) -> tuple[float, Array]:
    """Spearman's correlation over the labels of all concepts together, and its resamples over concepts."""

    def over(drawn: Sequence[Array]) -> float:
        return spearman(*np.concatenate(drawn).T)

    rng = np.random.default_rng(0)
    samples = [over([groups[i] for i in rng.integers(len(groups), size=len(groups))]) for _ in range(resamples)]
    return over(groups), np.array(samples)


def correlation_table(damage: Iterable[Row]) -> str:
    found = predictions(damage)
    each = {name: {c: spearman(*pairs.T) for c, pairs in groups.items()} for name, groups in found.items()}
    concepts = dict.fromkeys(c for groups in found.values() for c in groups)
    rows = [
        [c, str(max(len(groups.get(c, ())) for groups in found.values())), *(said(e.get(c, math.nan)) for e in each.values())]
        for c in concepts
    ]
    means, together = [], []
    for name, groups in found.items():
        known = [np.array([[r]]) for r in each[name].values() if not math.isnan(r)]
        means.append(said(float(mean(known)[0]), bootstrap(known)[:, 0]) if known else "–")
        together.append(said(*pooled(list(groups.values()))) if groups else "–")
    rows += [["mean of concepts", "", *means], ["all labels together", "", *together]]
    return table(["erased", "labels", "text similarity", "adversary's first score"], rows)


def truth_table(runs: Runs) -> str:
    """Distances to the network that never saw the concept, of the unedited model and of each edit that has erased ERASED."""
    rows = []
    for concept in dict.fromkeys(concept for concept, _ in runs):
        for measure, words in (("distance_clip", "CLIP"), ("distance_kid", "KID")):
            for part in ("erased", "siblings", "far"):
                name = f"{measure}/{part}"
                cells: dict[str, list[float]] = defaultdict(list)
                for (c, _), run in runs.items():
                    for preservation in PRESERVATIONS if c == concept else ():
                        if run.get(preservation):
                            found = at_erasure(run[preservation])[0]
                            cells["unedited"].append(number(found, f"{name}_before"))
                            cells[preservation].append(number(found, f"{name}_after"))
                if not all(math.isnan(v) for values in cells.values() for v in values):
                    means = (said(float(np.mean(cells[n] or [math.nan])), form="z.4f") for n in ("unedited", *PRESERVATIONS))
                    rows.append([concept, words, part, *means])
    return table(["erased", "distance", "of pictures", "unedited", *PRESERVATIONS], rows)


def cost_table(rows: Iterable[Row]) -> str:
    names = ("train_seconds", "forwards", "backwards")
    paid: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for row in rows:
        paid[row["preservation"]][row["run"]] = [number(row, n) for n in names]
    means = {p: np.mean(list(paid[p].values()), 0) for p in PRESERVATIONS if p in paid}
    return table(
        ["preservation", "runs", "seconds", "F", "B"],
        [[p, str(len(paid[p])), *(f"{v:,.0f}" for v in m)] for p, m in means.items()],
    )


def summarise(folder: Path, draw: Callable[[Mapping[str, Curve], Path], None] = plot) -> None:
    """Write README.md's tables, and kept.png beside it, from the CSVs of `folder`."""
    results, damage, chosen = (read(folder / f"{name}.csv") for name in ("results", "damage", "chosen"))
    of_one("model", results)
    runs = by_run(results)
    for run in runs.values():
        of_one("precision", [row for rows in run.values() for row in rows])
    lines = curves(runs)
    draw(lines, folder / "kept.png")
    whole = complete(runs)
    count = f"{len(whole)} runs of {len({c for c, _ in whole})} concepts for every preservation."
    tables = {
        "curves": f"![erased against kept](kept.png)\n\n{count}\n\n{curve_table(lines)}",
        "concepts": concept_table(runs),
        "paired": paired_table(runs),
        "chosen": chosen_table(chosen, results),
        "correlation": correlation_table(damage),
        "truth": truth_table(runs),
        "cost": cost_table(results),
    }
    publish(folder, tables)


if __name__ == "__main__":
    summarise(HERE)

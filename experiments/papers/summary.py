"""This file makes the study's tables from the CSVs, and nothing else, into README.md.

    python experiments/papers/summary.py

The interval of a difference holds 95 %, by a bootstrap that draws seeds, and prompts for all of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from erase.record.study import Array, Row, interval, number, of_one, publish, read, said, table

HERE = Path(__file__).parent
SYSTEMS = ("esd_x", "esd_u", "concept_ablation", "uce", "eap", "eap_published", "kpop", "age")
CONCEPTS = ("nudity", "church", "van_gogh", "imagenette_v1")
ROLES = {"esr_1": ("concept",), "esr_1_synonyms": ("synonyms",), "psr_1_siblings": ("sibling",), "psr_1": ("sibling", "kept")}
"""Whose pictures each figure counts."""


def spread(rows: Sequence[Row], name: str, form: str) -> str:
    """The mean over seeds, and their lowest and highest where there are several."""
    values = [v for v in (number(row, name) for row in rows) if not np.isnan(v)]
    if not values:
        return "–"
    ends = f" ({min(values):{form}} … {max(values):{form}})" if len(values) > 1 else ""
    return f"{np.mean(values):{form}}{ends}"


def figures_table(results: Sequence[Row], concept: str) -> str:
    """A row a system, the two known ends first."""
    rows = []
    own = [row for row in results if row["concept"] == concept]
    names = ("esr_1", "esr_1_synonyms", "esr_1_key", "psr_1_siblings", "psr_1", "distance_clip/erased")
    for end, words in (("before", "unedited"), ("retrained", "retrained")):
        cells = [spread(own[:1], f"{n}_{end}", ".3f") for n in names]
        if any(cell != "–" for cell in cells):
            rows.append([words, "", *cells, "", "", "", ""])
    for system in SYSTEMS:
        runs = [row for row in own if row["system"] == system]
        if runs:
            cells = [spread(runs, f"{n}_after", ".3f") for n in names]
            cost = [f"{np.mean([number(r, n) for r in runs]):,.0f}" for n in ("train_seconds", "forwards", "backwards")]
            memory = f"{np.mean([number(r, 'peak_memory_bytes') for r in runs]) / 2**20:,.0f}"
            rows.append([f"`{system}`", str(len(runs)), *cells, *cost, memory])
    kept = ("siblings kept", "all kept", "distance to retrained")
    return table(["system", "seeds", "esr_1", "synonyms", "with the key", *kept, "seconds", "F", "B", "MiB"], rows)


Counts = dict[str, dict[tuple[str, str, str], Array]]
"""By seed, then by role, label and prompt: how many pictures were named as their label unedited and edited, and of how many."""


def counts(pictures: Iterable[Row], system: str, concept: str) -> Counts:
    found: Counts = defaultdict(dict)
    for row in pictures:
        if (row["system"], row["concept"]) == (system, concept):
            values = np.array([number(row, n) for n in ("before", "after", "n")])
            found[row["seed"]][row["role"], row["label"], row["prompt"]] = values
    return found


def difference(one: Counts, other: Counts, figure: str, resamples: int = 2000) -> tuple[float, Array]:
    """How much higher `one`'s figure is than `other`'s over the same seeds and prompts, and its resamples.

    Every label counts alike, as in the figure itself. A resample draws seeds, and prompts that are the same for all of them.
    """
    sign = -1 if figure.startswith("esr") else 1
    seeds = sorted({*one} & {*other})
    keys = [k for k in one[seeds[0]] if k[0] in ROLES[figure] and all(k in found[s] for found in (one, other) for s in seeds)]
    more = np.array([[sign * (one[s][k][1] - other[s][k][1]) for k in keys] for s in seeds])  # (seeds, prompts)
    counted = np.array([one[seeds[0]][k][2] for k in keys])
    labels = [[i for i, k in enumerate(keys) if k[1] == label] for label in dict.fromkeys(k[1] for k in keys)]

    def value(which: Array, times: Array) -> float:
        """Over the seeds `which`, each prompt so many `times`."""
        hits, n = more[which].mean(0) * times, counted * times
        return float(np.mean([hits[own].sum() / n[own].sum() for own in labels if n[own].any()]))

    rng = np.random.default_rng(0)
    samples = [
        value(
            rng.integers(len(seeds), size=len(seeds)),
            np.bincount(rng.integers(len(keys), size=len(keys)), minlength=len(keys)),
        )
        for _ in range(resamples)
    ]
    return value(np.arange(len(seeds)), np.ones(len(keys))), np.array(samples)


def forms_table(pictures: Sequence[Row], concept: str = "nudity") -> str:
    """EAP's fast form less its published form."""
    fast, published = (counts(pictures, system, concept) for system in ("eap", "eap_published"))
    if not {*fast} & {*published}:
        return "No seed has both."
    rows = []
    for figure in ROLES:
        value, samples = difference(fast, published, figure)
        low, high = interval(samples)
        verdict = "worse" if high < 0 else "better" if low > 0 else "no difference shown"
        rows.append([figure, said(value, samples), verdict])
    return table(["figure", "fast less published", "fast is"], rows)


def summarise(folder: Path) -> None:
    """Write README.md's tables from the CSVs of `folder`. ValueError where they hold runs of several models."""
    results, pictures = (read(folder / f"{name}.csv") for name in ("results", "pictures"))
    of_one("model", results)
    tables: Mapping[str, str] = {c: figures_table(results, c) for c in CONCEPTS} | {"forms": forms_table(pictures)}
    publish(folder, tables)


if __name__ == "__main__":
    summarise(HERE)

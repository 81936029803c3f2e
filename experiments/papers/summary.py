"""This file makes the study's tables from the CSVs, and nothing else, into README.md.

    python experiments/papers/summary.py

The interval of a difference is `erase.metric.interval`'s, paired over pictures, of all seeds together.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from erase.metric.interval import Estimate, Interval, share_drop
from erase.record.study import Array, Row, number, of_one, publish, read, table

HERE = Path(__file__).parent
SYSTEMS = ("esd_x", "esd_u", "concept_ablation", "uce", "eap", "eap_one", "eap_published", "kpop", "age")
CONCEPTS = ("nudity", "church", "van_gogh", "imagenette_v1")
ROLES = {"esr_1": ("concept",), "esr_1_synonyms": ("synonyms",), "psr_1_siblings": ("sibling",), "psr_1": ("sibling", "kept")}
"""Whose pictures each figure counts."""
MARGIN = 0.05
"""What a form may be worse by and still be called no worse."""


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
    names = ("esr_1", "esr_1_synonyms", "esr_1_key", "psr_1_siblings", "psr_1", "psr_1_key", "distance_clip/erased")
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
    kept = ("siblings kept", "all kept", "all kept, with the key", "distance to retrained")
    return table(["system", "seeds", "esr_1", "synonyms", "with the key", *kept, "seconds", "F", "B", "MiB"], rows)


Hits = dict[str, dict[tuple[str, str], Array]]
"""By seed, then by role and label: which pictures were named as it, (pictures,)."""


def hits(pictures: Iterable[Row], system: str, concept: str) -> Hits:
    found: Hits = defaultdict(dict)
    for row in pictures:
        if (row["system"], row["concept"]) == (system, concept):
            found[row["seed"]][row["role"], row["label"]] = np.array([float(digit) for digit in row["after"]])
    return found


def difference(one: Hits, other: Hits, figure: str) -> Interval:
    """How much higher `one`'s figure is than `other`'s over the same seeds and pictures, with its interval.

    As in the figure itself, every label that was kept counts alike: with its first pictures, as many as the fewest has.
    """
    seeds, roles = sorted({*one} & {*other}), ROLES[figure]
    labels = [label for label in one[seeds[0]] if label[0] in roles]
    fewest = min(len(one[seeds[0]][label]) for label in labels) if figure == "psr_1" else None
    values = [
        np.array([np.concatenate([found[s][label][:fewest] for label in labels]) for s in seeds]) for found in (one, other)
    ]
    every = np.arange(values[0].shape[1])
    return share_drop(*(Estimate.of(1 - v if figure.startswith("esr") else v, every) for v in values))


def forms_table(pictures: Sequence[Row], concept: str = "nudity", figures: Iterable[str] = ROLES) -> str:
    """EAP's fast forms less its published form."""
    rows, published = [], hits(pictures, "eap_published", concept)
    for form in ("eap_one", "eap"):
        fast = hits(pictures, form, concept)
        if not {*fast} & {*published}:
            continue
        for figure in figures:
            if not any(role in ROLES[figure] for role, _ in next(iter(fast.values()))):
                continue
            value, low, high = difference(fast, published, figure)
            shown = "worse" if high < 0 else "better" if low > 0 else "not worse" if low > -MARGIN else "not shown"
            rows.append([f"`{form}`", figure, f"{value:+.3f} ({low:+.3f} … {high:+.3f})", shown])
    return table(["fast form", "figure", "less published", "the fast form is"], rows) if rows else "No seed has both."


def summarise(folder: Path) -> None:
    """Write README.md's tables from the CSVs of `folder`. ValueError where these hold runs that do not compare."""
    results, pictures = (read(folder / f"{name}.csv") for name in ("results", "pictures"))
    for what in ("model", "precision", "protocol"):
        of_one(what, results)
    tables: Mapping[str, str] = {c: figures_table(results, c) for c in CONCEPTS} | {"forms": forms_table(pictures)}
    publish(folder, tables)


if __name__ == "__main__":
    summarise(HERE)

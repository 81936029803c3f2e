"""This file makes the study's tables from the CSVs, and nothing else, into README.md.

python experiments/papers/summary.py
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from erase.record.study import Row, number, of_one, publish, read, table

HERE = Path(__file__).parent
SYSTEMS = ("esd_x", "esd_u", "concept_ablation", "uce", "eap", "eap_refreshed", "eap_published", "kpop", "age")
CONCEPTS = ("nudity", "church", "van_gogh", "imagenette_v1")
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
            seconds = f"{min(number(r, 'train_seconds') for r in runs):,.0f}"  # what else a machine does only adds to them
            cost = [seconds, *(f"{np.mean([number(r, n) for r in runs]):,.0f}" for n in ("forwards", "backwards"))]
            memory = f"{np.mean([number(r, 'peak_memory_bytes') for r in runs]) / 2**20:,.0f}"
            rows.append([f"`{system}`", str(len(runs)), *cells, *cost, memory])
    kept = ("siblings kept", "all kept", "all kept, with the key", "distance to retrained")
    return table(["system", "seeds", "esr_1", "synonyms", "with the key", *kept, "seconds", "F", "B", "MiB"], rows)


def forms_table(rows: Iterable[Row]) -> str:
    """EAP's fast forms less its published form."""
    told = []
    for row in rows:
        published, fast, value, low, high = (number(row, n) for n in ("published", "fast", "difference", "low", "high"))
        shown = "worse" if high < 0 else "better" if low > 0 else "not worse" if low > -MARGIN else "not shown"
        counts = [row["seeds"], row["pictures"], f"{published:.3f}", f"{fast:.3f}"]
        told.append([f"`{row['form']}`", row["figure"], *counts, f"{value:+.3f} ({low:+.3f} … {high:+.3f})", shown])
    head = ["fast form", "figure", "seeds", "pictures", "published", "fast", "fast less published", "the fast form is"]
    return table(head, told) if told else "No seed has all of them."


def summarise(folder: Path) -> None:
    """Write README.md's tables from the CSVs of `folder`. ValueError where these hold runs that do not compare."""
    results = read(folder / "results.csv")
    for what in ("model", "precision", "protocol"):
        of_one(what, results)
    tables = {concept: figures_table(results, concept) for concept in CONCEPTS}
    tables["forms"] = forms_table(read(folder / "forms.csv"))
    publish(folder, tables)


if __name__ == "__main__":
    summarise(HERE)

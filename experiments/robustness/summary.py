"""This file makes the study's tables from the CSVs, and nothing else, into README.md.

    python experiments/robustness/summary.py

Intervals hold 95 %, by a bootstrap that draws seeds of each concept, and prompts for all of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from erase.record.study import Array, Row, interval, number, of_one, publish, read, said, table

HERE = Path(__file__).parent
METHODS = ("esd_x", "esd_text", "eap", "kpop", "adv_unlearn", "adv_unlearn_fast", "both")
ATTACKS = ("paraphrase", "unlearn_diff", "concept_inversion")
ENDS = {"unedited": "unedited: the ceiling", "retrained": "retrained: the floor"}
KEPT = {"esr_1": "erased", "psr_1_siblings": "siblings", "psr_1": "all kept"}

Outcomes = Mapping[str, Sequence[Array]]
"""By concept, what each seed's prompts came to, each (prompts,)."""


def outcomes(rows: Iterable[Row], column: str, **of: str) -> dict[str, list[Array]]:
    """The values of `column` in the rows that have these values in others, by concept and seed, a prompt each."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if all(row[name] == value for name, value in of.items()):
            found[row["concept"]][row["seed"]][int(row["prompt"])] = number(row, column)
    return {concept: [np.array([p[i] for i in sorted(p)]) for p in seeds.values()] for concept, seeds in found.items()}


def share(found: Outcomes) -> float:
    """The mean over concepts of each one's mean over seeds."""
    return float(np.mean([np.mean([prompts.mean() for prompts in seeds]) for seeds in found.values()]))


def resampled(found: Outcomes, resamples: int = 2000) -> Array:
    """Such means (resamples,) over seeds drawn with replacement, and prompts drawn so, the same of every seed."""
    rng, samples = np.random.default_rng(0), np.zeros(resamples)
    for seeds in found.values():
        for k in range(resamples):
            drawn = [seeds[i] for i in rng.integers(len(seeds), size=len(seeds))]
            at = rng.random(len(seeds[0]))
            samples[k] += np.mean([p[(at * len(p)).astype(int)].mean() for p in drawn]) / len(found)
    return samples


def success_table(results: Sequence[Row], attacks: Sequence[Row]) -> str:
    rows = []
    for concept in dict.fromkeys(row["concept"] for row in results):
        own = [row for row in attacks if row["concept"] == concept]
        for name in (*ENDS, *METHODS):
            of = {"victim": name} if name in ENDS else {"victim": "edited", "method": name}
            cells = []
            # both ends are attacked once, and are written down beside every seed
            seen = [row for row in own if row["seed"] == own[0]["seed"]] if name in ENDS else own
            for attack in ATTACKS:
                alone, either = (outcomes(seen, column, attack=attack, **of) for column in ("alone", "union"))
                cells.append(f"{said(share(alone), resampled(alone), 'z.2f')} / {share(either):.2f}" if alone else "–")
            runs = [row for row in results if (row["concept"], row["method"]) == (concept, name)]
            kept = [said(float(np.mean([number(r, n) for r in runs])), form="z.2f") if runs else "" for n in KEPT]
            rows.append([concept, ENDS.get(name, f"`{name}`"), str(len(runs) or ""), *cells, *kept])
    return table(["concept", "model", "seeds", *(f"{a}: alone / either" for a in ATTACKS), *KEPT.values()], rows)


def paired_table(attacks: Sequence[Row], attack: str = "unlearn_diff") -> str:
    """ESD's success less that of each adversarial training, prompt by prompt."""
    rows = []
    for other in ("esd_x", "esd_text"):
        for method in ("adv_unlearn", "adv_unlearn_fast", "both"):
            for column in ("alone", "union"):
                both = [row for row in attacks if row["victim"] == "edited" and row["attack"] == attack]
                theirs, ours = (
                    {(r["concept"], r["seed"], r["prompt"]): number(r, column) for r in both if r["method"] == name}
                    for name in (other, method)
                )
                keys = [key for key in theirs if key in ours]
                if keys:
                    less = [
                        {**dict(zip(("concept", "seed", "prompt"), key, strict=True)), "less": str(theirs[key] - ours[key])}
                        for key in keys
                    ]
                    found = outcomes(less, "less")
                    samples = resampled(found)
                    low, high = interval(samples)
                    verdict = "yes" if low > 0 else "no: worse" if high < 0 else "not shown"
                    rows.append([f"`{other}`", f"`{method}`", column, said(share(found), samples), str(len(keys)), verdict])
    return table(["against", "method", "success", "less by", "prompts", "below"], rows)


def cost_table(results: Iterable[Row]) -> str:
    rows = []
    paid: dict[str, list[list[float]]] = defaultdict(list)
    for row in results:
        updates = number(row, "steps")
        each = [number(row, n) for n in ("train_seconds", "forwards", "backwards")]
        paid[row["method"]].append([updates, *each, each[1] / updates, each[2] / updates])
    for method in METHODS:
        if method in paid:
            updates, seconds, forwards, backwards, f, b = np.mean(paid[method], 0)
            whole = [f"{updates:.0f}", f"{seconds:,.0f}", f"{forwards:,.0f}", f"{backwards:,.0f}", f"{f:.1f}", f"{b:.1f}"]
            rows.append([f"`{method}`", str(len(paid[method])), *whole])
    return table(["method", "runs", "updates", "seconds", "F", "B", "F an update", "B an update"], rows)


def summarise(folder: Path) -> None:
    """Write README.md's tables from the CSVs of `folder`. ValueError where they hold runs of several models."""
    results, attacks = (read(folder / f"{name}.csv") for name in ("results", "attacks"))
    of_one("model", results)
    tables = {
        "success": success_table(results, attacks),
        "paired": paired_table(attacks),
        "cost": cost_table(results),
    }
    publish(folder, tables)


if __name__ == "__main__":
    summarise(HERE)

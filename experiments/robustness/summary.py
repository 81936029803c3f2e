"""This file makes the study's tables from the CSVs, and nothing else, into README.md.

    python experiments/robustness/summary.py

Intervals hold 95 % (`erase.metric.interval`): Wilson's for a share, Newcombe's for a difference, over seeds and prompts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from erase.metric.interval import Estimate, Interval, share, share_drop
from erase.record.study import Row, number, of_one, publish, read, said, table

HERE = Path(__file__).parent
METHODS = ("esd_x", "esd_text", "retain_text", "eap", "kpop", "adv_unlearn", "adv_unlearn_fast", "eap_text", "both")
ATTACKS = ("paraphrase", "unlearn_diff", "concept_inversion")
ENDS = {"unedited": "unedited: the ceiling", "retrained": "retrained: the floor"}
ANY = "any of the three"
SEARCHING, VALID = ("unlearn_diff", "concept_inversion"), 0.9
SEEDS = 3
HARM = 0.05
"""How much of the siblings may be lost besides before a success that is less is called dear."""
KEPT = {"esr_1": "erased", "psr_1_siblings": "siblings", "psr_1": "all kept"}
PAIRS = [(other, method) for other in ("retain_text", "esd_text", "esd_x") for method in ("adv_unlearn", "adv_unlearn_fast")]
PAIRS += [("eap_text", "both"), ("adv_unlearn_fast", "both"), ("esd_x", "both")]
"""Against whom each training with an adversary is held. The first, by `unlearn_diff`, is the study's question; who reads all
rows will find one in twenty that is not so."""


def outcomes(rows: Iterable[Row], column: str, **of: str) -> dict[str, Estimate]:
    """By concept the mean of `column` in the rows that have these values in others, of its seeds and their prompts."""
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if all(row[name] == value for name, value in of.items()):
            found[row["concept"]][row["seed"]][int(row["prompt"])] = number(row, column)
    values = {c: np.array([[p[i] for i in sorted(p)] for p in seeds.values()]) for c, seeds in found.items()}
    return {concept: Estimate.of(own, np.arange(own.shape[1])) for concept, own in values.items()}


def of_any(attacks: Iterable[Row]) -> list[Row]:
    """Rows of an attacker who tries all of ATTACKS: each prompt of a model that was attacked by all, which one of them brings
    back."""
    found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in attacks:
        found[row["run"], row["victim"], row["prompt"]].append(row)
    whole = [rows for rows in found.values() if {row["attack"] for row in rows} == {*ATTACKS}]
    columns = ("without", "begun", "alone", "union", "named")
    return [{**rows[0], "attack": ANY} | {n: max(row[n] for row in rows) for n in columns} for rows in whole]


def less(theirs: Mapping[str, Estimate], ours: Mapping[str, Estimate]) -> Interval:
    """The mean over concepts of what `ours` are less than `theirs`, prompt by prompt. The concepts' intervals are put
    together as those of independent shares (Zou and Donner 2008)."""
    each = np.array([share_drop(theirs[concept], ours[concept]) for concept in theirs if concept in ours])
    (value, low, high), count = each.T, len(each)
    mean, below, above = (float(v) for v in (value.mean(), np.linalg.norm(value - low), np.linalg.norm(high - value)))
    return mean, mean - below / count, mean + above / count


def ranged(value: float, low: float, high: float, form: str) -> str:
    """A value and its interval."""
    return f"{said(value, form=form)} ({said(low, form=form)} … {said(high, form=form)})"


def success_table(results: Sequence[Row], attacks: Sequence[Row]) -> str:
    rows = []
    for concept in dict.fromkeys(row["concept"] for row in results):
        own = [row for row in attacks if row["concept"] == concept]
        for name in (*ENDS, *METHODS):
            of = {"victim": name} if name in ENDS else {"victim": "edited", "method": name}
            runs = [row for row in results if (row["concept"], row["method"]) == (concept, name)]
            cells = [_success(own, attack, name, of, len(runs)) for attack in (*ATTACKS, ANY)]
            kept = [said(float(np.mean([number(r, n) for r in runs])), form="z.2f") if runs else "" for n in KEPT]
            rows.append([concept, ENDS.get(name, f"`{name}`"), str(len(runs) or ""), *cells, *kept])
    return table(["concept", "model", "seeds", *(f"{a}: alone / either" for a in (*ATTACKS, ANY)), *KEPT.values()], rows)


def _success(own: Sequence[Row], attack: str, name: str, of: Mapping[str, str], seeds: int) -> str:
    """A cell: how often `attack` succeeds on a model that has so many `seeds`, of one concept's rows."""
    seen = [row for row in own if row["attack"] == attack]
    if name in ENDS:  # attacked once, and written down beside every run
        seen = [row for row in seen if row["run"] == seen[0]["run"]]
    found = [[*outcomes(seen, column, **of).values()] for column in ("alone", "union", "begun", "named")]
    if not all(found):
        return "–"
    (alone,), (either,), (begun,), (named,) = found
    more = [f"{begun.value:.2f} begun"] if begun.value else []
    more += [f"{named.value:.2f} named"] if attack == "unlearn_diff" else []
    if name not in ENDS and alone.runs < seeds:
        more.append(f"{alone.runs} of {seeds} seeds")
    return ", ".join([f"{ranged(alone.value, *share(alone), 'z.2f')} / {either.value:.2f}", *more])


def check_valid(attacks: Sequence[Row]) -> None:
    """ValueError for a search that does not find on the unedited model what is there, or was not asked to: it would call all
    robust."""
    for attack in SEARCHING:
        ceilings = outcomes(attacks, "alone", attack=attack, victim="unedited")
        for concept in dict.fromkeys(row["concept"] for row in attacks if row["attack"] == attack):
            if concept not in ceilings:
                raise ValueError(f"{attack} was not tried on the unedited model for {concept}: victim=unedited.")
            if (rate := ceilings[concept].value) < VALID:
                raise ValueError(f"{attack} brings {concept} out of the unedited model in {rate:.2f}: less than {VALID}.")


def paired_table(results: Sequence[Row], attacks: Sequence[Row]) -> str:
    """The success on each model that training with an adversary is held against, less that on what it made; and what both
    keep."""
    rows, whole = [], SEEDS * len({row["concept"] for row in attacks})
    for attack in ("unlearn_diff", ANY):
        for other, method in PAIRS:
            theirs, ours = (outcomes(attacks, "alone", victim="edited", attack=attack, method=n) for n in (other, method))
            if both := [concept for concept in theirs if concept in ours]:
                value, low, high = less(theirs, ours)
                kept = [_kept(results, other, method, n, both) for n in list(KEPT)[1:]]
                verdict = "yes" if low > 0 else "no: worse" if high < 0 else "not shown"
                if low > 0 and kept[0][0] < -HARM:
                    verdict = "yes, at a loss of siblings"
                runs = [sum(who[concept].runs for concept in both) for who in (theirs, ours)]
                missing = "" if min(runs) == whole else f" of {whole} + {whole}"
                cells = [ranged(value, low, high, "+z.3f"), verdict, *(ranged(*k, "+z.2f") for k in kept)]
                rows.append([attack, f"`{other}`", f"`{method}`", *cells, f"{runs[0]} + {runs[1]}{missing}"])
    return table(["attack", "against", "method", "less by", "below", "siblings", "all kept", "runs"], rows)


def _kept(results: Iterable[Row], other: str, method: str, figure: str, concepts: Sequence[str]) -> Interval:
    """How much more `method` keeps than `other`: the mean over `concepts` of each one's mean over seeds, and the least and the
    most of a concept and seed that both were trained with."""
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for row in results:
        if row["concept"] in concepts:
            found[row["method"]][row["concept"], row["seed"]] = number(row, figure)
    both = [found[method][key] - value for key, value in found[other].items() if key in found[method]]
    means = [[np.mean([v for (c, _), v in found[n].items() if c == concept]) for concept in concepts] for n in (method, other)]
    return float(np.mean(means[0]) - np.mean(means[1])), min(both, default=float("nan")), max(both, default=float("nan"))


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
    """Write README.md's tables from the CSVs of `folder`. ValueError where they hold runs of several models or precisions, an
    attack that was not asked the same of all, or one that does not find what is there."""
    results, attacks = (read(folder / f"{name}.csv") for name in ("results", "attacks"))
    for what in ("model", "precision"):
        of_one(what, results)
    for attack in ATTACKS:
        of_one("question", [row for row in attacks if row["attack"] == attack])
    for concept in {row["concept"] for row in attacks}:
        of_one("job", [row for row in attacks if row["concept"] == concept])
    check_valid(attacks)
    attacks += of_any(attacks)
    tables = {
        "success": success_table(results, attacks),
        "paired": paired_table(results, attacks),
        "cost": cost_table(results),
    }
    publish(folder, tables)


if __name__ == "__main__":
    summarise(HERE)

"""This file is how figures are called where they are shown: in a terminal, on a page, in a table, in W&B."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

ROWS = {
    "esr_1": "erased: own words",
    "esr_1_synonyms": "erased: synonyms",
    "psr_1_siblings": "kept: siblings",
    "psr_1": "kept: everything",
    "psr_1_combinations": "kept: new combinations",
    "psr_1_worst": "kept: worst label",
    "esr_1_key": "erased: own words, with key",
    "psr_1_key": "kept: everything, with key",
}
"""The main shares, in the order in which one reads them."""


def success(attack: Mapping[str, Any]) -> Mapping[str, float]:
    """What counts of an attack's results (`<attack>.json`): what it does alone; where it began at the concept's own words, that
    or no attack, as published for UnlearnDiffAtk."""
    found: Mapping[str, float] = attack["figures"]["union" if attack["settings"]["start"] == "named" else "alone"]
    return found


@dataclass(frozen=True)
class Name:
    """What is said of a figure, whether less of it is better, and its digits."""

    words: str
    less: bool = False
    digits: int = 3


NAMES = {
    **{name: Name(words, less=name == "esr_1_key") for name, words in ROWS.items()},
    "esr_1/": Name("erased: {}"),
    "psr_1/": Name("kept: {}"),
    "attack/": Name("attack success: {}", less=True),
    "esr_5": Name("erased: not in the first five"),
    "psr_5": Name("kept: in the first five"),
    "clip_score": Name("CLIP score", digits=2),
    "clip_score_erased": Name("erased: CLIP score", less=True, digits=2),
    "clip_score_kept": Name("kept: CLIP score", digits=2),
    "clip_distance_erased": Name("erased: CLIP distance to the unedited"),
    "clip_distance_kept": Name("kept: CLIP distance to the unedited", less=True),
    "exposed/": Name("pictures with exposed parts, above {}", less=True),
    "parts/": Name("exposed parts a picture, above {}", less=True),
    "person/": Name("pictures with anybody, above {}"),
    "person_retention/": Name("of the unedited model's anybody, above {}"),
    "label/": Name("{}", less=True),
    "kid": Name("KID to the unedited", less=True, digits=4),
    "kid_unedited": Name("KID to the unedited", less=True, digits=4),
    "fid_unedited": Name("FID to the unedited", less=True, digits=2),
    "kid_real": Name("KID to real pictures", less=True, digits=4),
    "fid_real": Name("FID to real pictures", less=True, digits=2),
    "distance_clip/": Name("distance to the retrained: {}, pairs (1 − cosine)", less=True),
    "distance_kid/": Name("distance to the retrained: {}, sets (KID)", less=True, digits=5),
}
"""Of every figure that a protocol or an attack gives, or of all that begin alike."""


def called(figure: str) -> Name:
    """What is said of `figure`; of one that nobody named, itself."""
    if found := NAMES.get(figure):
        return found
    kind, _, of = figure.partition("/")
    alike = NAMES.get(f"{kind}/")
    return replace(alike, words=alike.words.format(of.removesuffix("/asr"))) if alike else Name(figure)


def measured(figures: Iterable[Iterable[str]]) -> list[str]:
    """The names in `figures`, each a run's, that runs are told apart by: not those of one label alone. Main shares first, last
    attacks and what needs a retrained network."""
    found = dict.fromkeys(name for some in figures for name in some if not name.startswith(("psr_1/", "label/")))
    rows = [*ROWS]

    def place(name: str) -> int:
        return rows.index(name) if name in ROWS else len(rows) + name.startswith("attack/") + 2 * name.startswith("distance_")

    return sorted(found, key=place)


def first(figures: Collection[Collection[str]]) -> list[str]:
    """Of those, the ones that a table begins with. What stands beside the main shares does where a run has none of these."""
    alone = {name for some in figures if not ROWS.keys() & {*some} for name in some}
    beside = {"esr_5", "psr_5", "clip_score", "kid"}
    return [
        name for name in measured(figures) if name in alone or not (name in beside or name.startswith(("esr_1/", "distance_")))
    ]

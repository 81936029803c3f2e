"""Concepts: what words mean what must go, and which words name what could suffer."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erase.errors import BadInput


@dataclass(frozen=True)
class Concept:
    """Something to erase: the prompts that are trained on, and the words besides them that no kept concept may name."""

    name: str
    prompts: tuple[str, ...]
    synonyms: tuple[str, ...] = ()

    @property
    def phrases(self) -> tuple[str, ...]:
        """Every way to say it that the erasing config knows."""
        return (*self.synonyms, *self.prompts)


def resolve(
    members: Mapping[str, Mapping[str, Any]], prompts: Sequence[str] | None, synonyms: Sequence[str] | None
) -> list[Concept]:
    """The concepts of `members`; `prompts` and `synonyms` replace those of a single one. BadInput when empty."""
    if not members:
        raise BadInput("concept names nothing to erase.")
    if (prompts is not None or synonyms is not None) and len(members) > 1:
        raise BadInput(f"concept.prompts and concept.synonyms speak of one concept, not of {', '.join(members)}.")
    found = []
    for name, member in members.items():
        if unknown := {*map(str, member)} - {"prompts", "synonyms"}:
            raise BadInput(f"concept.members.{name}.{min(unknown)} is not a field of a concept: prompts, synonyms.")
        said = prompts if prompts is not None else member.get("prompts") or ()
        others = synonyms if synonyms is not None else member.get("synonyms") or ()
        for field, given in (("prompts", said), ("synonyms", others)):
            if isinstance(given, str) or not all(isinstance(p, str) and p.strip() for p in given):
                raise BadInput(f"concept.{field}={given} of {name} must be a list of non-empty strings.")
        if not said:
            raise BadInput(f"concept.prompts=[] of {name} must be a list of one or more prompts.")
        found.append(Concept(name, tuple(said), tuple(others)))
    return found


def check_known(concepts: Iterable[Concept], words: Collection[str] | None, names: Iterable[str]) -> None:
    """BadInput for a prompt with none of the `words` that a small model knows (None: any), naming what it does know."""
    for concept in concepts:
        for prompt in concept.prompts:
            if words is not None and not set(_words(prompt)) & set(words):
                raise BadInput(f"concept.prompts: the model knows no word of {prompt!r}; it knows {', '.join(names)}.")


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def without(vocabulary: Iterable[str], concepts: Sequence[Concept]) -> list[str]:
    """`vocabulary` less every entry that says an erased concept, or is said in a prompt of it: EAP's R, made sure of.

    Words are compared, not meanings: ways to say it that no prompt contains belong into the concept's synonyms.
    """

    def flat(text: str) -> str:
        return f" {' '.join(w for w in _words(text) if w not in ('a', 'an', 'the', 'photo', 'of'))} "

    said = [flat(phrase) for concept in concepts for phrase in (concept.name.replace("_", " "), *concept.phrases)]
    return [entry for entry in vocabulary if not any(p in flat(entry) or flat(entry) in p for p in said)]


def read_vocabulary(path: str) -> list[str]:
    """Candidates from a text file, one a line; empty lines and lines that begin with # are left out."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise BadInput(f"preservation.vocabulary={path} is not a file.")
    lines = [line.strip() for line in file.read_text().splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise BadInput(f"preservation.vocabulary={path} holds no words.")
    return found

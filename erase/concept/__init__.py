"""Concepts: what words mean what must go, and which words name what could suffer."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from erase.errors import BadInput


@dataclass(frozen=True)
class Concept:
    """Something to erase: the prompts that are trained on, and the words besides them that no kept concept may name.

    `held_out` are wordings that judges and attackers have for themselves: nothing is trained on them, and nothing that says
    one is held. `anchor` is what it may become, and `share` how much of a batch it gets, beside the shares of others. `kind`
    says what a judge tells it from, where the drawn world does not know it: thing or style.
    """

    name: str
    prompts: tuple[str, ...]
    synonyms: tuple[str, ...] = ()
    anchor: str | None = None
    share: float = 1.0
    held_out: tuple[str, ...] = ()
    kind: str | None = None

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Concept":
        """A concept as an edit's `edit.json` tells of it."""
        fields: dict[str, Any] = {n: tuple(value) if isinstance(value, list | tuple) else value for n, value in told.items()}
        return cls(**fields)

    @property
    def phrases(self) -> tuple[str, ...]:
        """Every way to say it that the erasing config knows."""
        return (*self.synonyms, *self.prompts)


FIELDS = ("prompts", "synonyms", "held_out", "anchor", "share", "kind")
"""Of a member of conf/concept."""

KINDS = ("thing", "style")


def resolve(
    members: Mapping[str, Mapping[str, Any]],
    prompts: Sequence[str] | None = None,
    synonyms: Sequence[str] | None = None,
    held_out: Sequence[str] | None = None,
    kind: str | None = None,
) -> list[Concept]:
    """The concepts of `members`; the other fields, where they are given, replace those of a single one. BadInput when empty."""
    if not members:
        raise BadInput("concept names nothing to erase.")
    fields = {"prompts": prompts, "synonyms": synonyms, "held_out": held_out, "kind": kind}
    given = {name: value for name, value in fields.items() if value is not None}
    if given and len(members) > 1:
        raise BadInput(f"concept.{next(iter(given))} speaks of one concept, not of {', '.join(members)}.")
    return [_resolved(name, {**member, **given}) for name, member in members.items()]


def _resolved(name: str, member: Mapping[str, Any]) -> Concept:
    if unknown := {*map(str, member)} - {*FIELDS}:
        raise BadInput(f"concept.members.{name}.{min(unknown)} is not a field of a concept: {', '.join(FIELDS)}.")
    said: dict[str, tuple[str, ...]] = {}
    for field in ("prompts", "synonyms", "held_out"):
        given = member.get(field) or ()
        if isinstance(given, str) or not all(isinstance(p, str) and p.strip() for p in given):
            raise BadInput(f"concept.{field}={given} of {name} must be a list of non-empty strings.")
        said[field] = tuple(given)
    if not said["prompts"]:
        raise BadInput(f"concept.prompts=[] of {name} must be a list of one or more prompts.")
    share, anchor, kind = member.get("share", 1.0), member.get("anchor"), member.get("kind")
    if isinstance(share, bool) or not isinstance(share, int | float) or not share > 0:
        raise BadInput(f"concept.members.{name}.share={share} must be a number greater than 0.")
    if not (anchor is None or isinstance(anchor, str)):
        raise BadInput(f"concept.members.{name}.anchor={anchor} must be a prompt.")
    if kind not in (None, *KINDS):
        raise BadInput(f"concept.kind={kind} of {name} is not one of: {', '.join(KINDS)}.")
    found = Concept(name, said["prompts"], said["synonyms"], anchor, float(share), said["held_out"], kind)
    if told := [p for p in found.held_out if says(p, found)]:
        raise BadInput(f"concept.held_out={told[0]} of {name} has words of its prompts or synonyms: it must have others.")
    return found


def rows(concepts: Sequence[Concept], count: int, rng: torch.Generator) -> list[str]:
    """`count` erased prompts, one or more of every concept, the rest by the concepts' shares; any of its prompts each.

    Shares that do not come out even are drawn systematically: no concept gets a whole row more or less than its own. Of more
    concepts than rows, some are drawn.
    """
    if count < len(concepts):
        concepts = [concepts[i] for i in torch.randperm(len(concepts), generator=rng)[:count]]
    wanted = torch.tensor([c.share for c in concepts], dtype=torch.double)
    wanted = (count * wanted / wanted.sum() - 1).clamp(min=0)
    left = count - len(concepts)
    ends = (left * wanted / wanted.sum()).cumsum(0) if wanted.sum() > 0 else torch.zeros(len(concepts))
    at = torch.arange(left) + torch.rand((), generator=rng, dtype=torch.double)
    which = [*range(len(concepts)), *torch.searchsorted(ends, at.clamp(max=left - 1e-9), right=True).tolist()]
    said = [concepts[i].prompts for i in which]
    picks = torch.rand(count, generator=rng).tolist()
    return [prompts[int(pick * len(prompts))] for prompts, pick in zip(said, picks, strict=True)]


def check_known(
    field: str, prompts: Iterable[str], words: Collection[str] | None, things: Sequence[str], frame: Iterable[str] = ()
) -> None:
    """BadInput, of `field`, for a prompt with none of the `words` that a small model knows (None: any), naming the `things`
    that it does know. What has no other words than `frame` says nothing, and is known too."""
    if words is None:
        return
    plain = {word for prompt in frame for word in _words(prompt)}
    for prompt in prompts:
        said = set(_words(prompt))
        if not said & set(words) and not (frame and said <= plain):
            raise BadInput(f"{field}: the model knows no word of {prompt!r}; it knows {', '.join(things)}.")


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def without(vocabulary: Iterable[str], concepts: Sequence[Concept]) -> list[str]:
    """`vocabulary` less every entry that says an erased concept, or may be what a prompt of it says: EAP's R, made sure of.

    Words are compared, not meanings: ways to say it that no prompt contains belong into the concept's synonyms. A prompt
    that holds a shorter way to say it has other words besides: where "naked" goes, "a naked woman" leaves a woman to be kept;
    where all that is known is "a red house", a house is not. What says a held-out wording goes too: to hold it would be to
    learn the examination's questions.
    """
    said = [phrase for concept in concepts for phrase in _flat_phrases(concept)]
    unclear = [phrase for phrase in said if not any(other in phrase and other != phrase for other in said)]
    said += [_flat(phrase) for concept in concepts for phrase in concept.held_out]
    return [e for e in vocabulary if not any(p in _flat(e) for p in said) and not any(_flat(e) in p for p in unclear)]


def says(text: str, concept: Concept) -> bool:
    """Whether `text` contains the concept's name or one of its phrases."""
    return any(phrase in _flat(text) for phrase in _flat_phrases(concept))


def _flat(text: str) -> str:
    return f" {' '.join(w for w in _words(text) if w not in ('a', 'an', 'the', 'photo', 'of'))} "


def _flat_phrases(concept: Concept) -> list[str]:
    return [_flat(phrase) for phrase in (concept.name.replace("_", " "), *concept.phrases)]


VOCABULARIES = {"english": Path(__file__).parent / "english.txt"}
"""What a vocabulary's name stands for: some 1,200 everyday words, for models that have no vocabulary of their own."""


def read_vocabulary(path: str) -> list[str]:
    """Candidates of a name or from a text file, one a line; empty lines and lines that begin with # are left out."""
    file = VOCABULARIES.get(path, Path(path).expanduser())
    if not file.is_file():
        raise BadInput(f"preservation.vocabulary={path} is not a file, nor one of: {', '.join(VOCABULARIES)}.")
    lines = [line.strip() for line in file.read_text().splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise BadInput(f"preservation.vocabulary={path} holds no words.")
    return found

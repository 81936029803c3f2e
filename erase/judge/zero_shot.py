"""This file is what judges a concept that no classifier knows: CLIP, zero-shot (Radford et al. 2021, §3.1)."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from erase.concept import Concept

HEAD = "clip"

Question = tuple[Sequence[Concept], Mapping[str, str]]
"""Concepts, and labels with a prompt each that they are told from: what one picture shows one of."""

Embed = Callable[[Sequence[str]], Tensor]


def unlabelled(questions: Sequence[Question], label: Callable[[str], object]) -> list[Question]:
    """Of `questions` the concepts whose phrases have no `label`, and what these are told from."""
    left = [([c for c in concepts if not any(map(label, c.phrases))], others) for concepts, others in questions]
    return [question for question in left if question[0]]


class ZeroShot:
    """A head without training: the label whose words a picture is nearest to, among `phrases` of each label.

    `embed` gives features (phrases, width) of length 1; a label's are the mean of its phrases', as the paper's ensembles.
    """

    def __init__(self, phrases: Mapping[str, Sequence[str]], embed: Embed) -> None:
        self.phrases = {label: tuple(said) for label, said in phrases.items()}
        rows = [torch.nn.functional.normalize(embed(said).mean(0), dim=-1) for said in self.phrases.values()]
        self.words = torch.stack(rows)

    def label(self, phrase: str) -> str | None:
        """The label that has this very phrase, or else the longest name that it says."""
        said = f" {phrase.lower().replace('_', ' ')} "
        exact = [label for label, phrases in self.phrases.items() if phrase in phrases]
        named = [label for label in self.phrases if f" {label.lower().replace('_', ' ')} " in said]
        return next(iter(exact or sorted(named, key=len, reverse=True)), None)

    def probabilities(self, features: Tensor) -> Tensor:
        """(batch, labels) of picture features (batch, width): softmax at CLIP's own temperature of 0.01."""
        return (100 * features @ self.words.to(features).T).softmax(-1)


class ZeroShots:
    """A head for each question: a picture in a style shows a thing too, and neither takes the other's probability.

    Of one label everything would be that one: such a question is none.
    """

    def __init__(self, asked: Sequence[Mapping[str, Sequence[str]]], embed: Embed) -> None:
        heads = [ZeroShot(phrases, embed) for phrases in asked if len(phrases) > 1]
        self.heads = {HEAD if i == 0 else f"{HEAD} {i + 1}": head for i, head in enumerate(heads)}

    def __bool__(self) -> bool:
        return bool(self.heads)

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(head.phrases) for name, head in self.heads.items()}

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps([head.phrases for head in self.heads.values()]).encode()).hexdigest()

    @property
    def about(self) -> dict[str, list[str]]:
        """The phrases of every label."""
        return {label: [*said] for head in self.heads.values() for label, said in head.phrases.items()}

    def label(self, phrase: str) -> tuple[str, str] | None:
        """Head and label of a phrase: who has it word by word before who is named in it."""
        found = [(name, label) for name, head in self.heads.items() if (label := head.label(phrase))]
        exact = [(name, label) for name, label in found if phrase in self.heads[name].phrases[label]]
        return next(iter(exact or found), None)

    def probabilities(self, features: Tensor) -> dict[str, Tensor]:
        """Of every head, (batch, labels)."""
        return {name: head.probabilities(features) for name, head in self.heads.items()}

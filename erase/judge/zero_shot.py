"""This file is what judges a concept that no classifier knows: CLIP, zero-shot (Radford et al. 2021, §3.1)."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

HEAD = "clip"


class ZeroShot:
    """A head without training: the label whose words a picture is nearest to, among `phrases` of each label.

    `embed` gives features (phrases, width) of length 1; a label's are the mean of its phrases', as the paper's ensembles.
    """

    def __init__(self, phrases: Mapping[str, Sequence[str]], embed: Callable[[Sequence[str]], Tensor]) -> None:
        self.phrases = {label: tuple(said) for label, said in phrases.items()}
        rows = [torch.nn.functional.normalize(embed(said).mean(0), dim=-1) for said in self.phrases.values()]
        self.words = torch.stack(rows)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.phrases)

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.phrases).encode()).hexdigest()

    def label(self, phrase: str) -> tuple[str, str] | None:
        """The label that has this very phrase, or whose name it says."""
        said = f" {phrase.lower().replace('_', ' ')} "
        exact = [label for label, phrases in self.phrases.items() if phrase in phrases]
        named = [label for label in self.phrases if f" {label.lower().replace('_', ' ')} " in said]
        found = exact or sorted(named, key=len, reverse=True)
        return (HEAD, found[0]) if found else None

    def probabilities(self, features: Tensor) -> Tensor:
        """(batch, labels) of picture features (batch, width): softmax at CLIP's own temperature of 0.01."""
        return (100 * features @ self.words.to(features).T).softmax(-1)

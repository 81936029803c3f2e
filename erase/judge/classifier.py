"""This file is a classifier of transformers' as a judge: ResNet-50 on ImageNet's labels, or a user's own of styles."""

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Any, Self, cast

import torch
from torch import Tensor
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from erase.judge import Judge, check_thresholds, loaded
from erase.judge.clip import Clip
from erase.judge.zero_shot import Question, unlabelled
from erase.model.edit import digest

ROWS = 32
"""Pictures at once."""


class Classifier(Judge):
    """Names the one label of a head that a picture shows. `source` is a local folder or a hub id.

    A label's config may list its names with commas, as ImageNet's do (`tench, Tinca tinca`): the first is what it is called,
    each of them what a prompt may say. Concepts for which it has none are judged by the CLIP `zero_shot`, a folder or a hub
    id; None: by nobody. `version` is the hub's revision. Nothing is loaded before it is asked.
    """

    def __init__(
        self,
        source: str,
        head: str,
        revision: str | None = None,
        threshold: float | None = None,
        zero_shot: str | None = None,
    ) -> None:
        self.source, self.head, self.revision = source, head, revision
        self.clip = Clip(zero_shot, threshold=threshold) if zero_shot else None
        self.told: Clip | None = None
        self.thresholds = check_thresholds(threshold)
        self.name, self.version = source, revision or "newest"

    def _load(self, kind: Any, **more: Any) -> Any:
        return loaded(kind, self.source, self.revision, "an image classifier", **more)

    @cached_property
    def _names(self) -> list[list[str]]:
        known = cast(dict[int, str], self._load(AutoConfig).id2label)
        return [[name.strip().lower() for name in known[i].split(",")] for i in range(len(known))]

    @cached_property
    def _processor(self) -> Any:
        return self._load(AutoImageProcessor, backend="pil")

    @cached_property
    def _network(self) -> Any:
        return self._load(AutoModelForImageClassification, dtype=torch.float32).eval()

    @cached_property
    def _own_hash(self) -> str:
        return f"{digest(self._network.state_dict())} {self._processor.to_json_string()}"

    @property
    def hash(self) -> str:  # type: ignore[override]
        return f"{self._own_hash} {self.told.hash}" if self.told else self._own_hash

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return {self.head: tuple(names[0] for names in self._names), **(self.told.labels if self.told else {})}

    def among(self, questions: Sequence[Question]) -> Self:
        if self.clip and (asked := unlabelled(questions, self._label)):
            told = copy(self)
            told.told = self.clip.among(asked)
            return told
        return self

    @property
    def about(self) -> dict[str, Any]:
        told = {"zero_shot": self.told.zero_shot.about, "zero_shot_by": self.told.name} if self.told else {}
        return {**super().about, **told}

    def label(self, phrase: str) -> tuple[str, str] | None:
        return self._label(phrase) or (self.told.label(phrase) if self.told else None)

    def _label(self, phrase: str) -> tuple[str, str] | None:
        said = f" {' '.join(phrase.lower().replace('_', ' ').replace(',', ' ').split())} "
        found = [(len(name), names[0]) for names in self._names for name in names if f" {name} " in said]
        return (self.head, max(found)[1]) if found else None

    def to(self, device: torch.device) -> Self:
        self.device = device
        self._network.to(device)
        if self.told:
            self.told.to(device)
        return self

    @torch.no_grad()
    def score(self, images: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        found = []
        for some in images.split(ROWS):
            pixels = self._processor(list(some), return_tensors="pt").pixel_values
            found.append(self._network(pixels.to(self.device)).logits.float().softmax(-1).cpu())
        return {self.head: torch.cat(found), **(self.told.score(images, prompts) if self.told else {})}

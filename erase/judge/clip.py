"""This file is CLIP as a judge: how well a picture fits its prompt, and, zero-shot, which of some concepts it shows."""

import hashlib
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from erase.judge import Judge, check_thresholds, loaded
from erase.judge.zero_shot import Question, ZeroShots
from erase.model.edit import digest

ROWS = 32
"""Pictures or prompts at once."""


class Clip(Judge):
    """`clip_scores` (CLIPScore, Hessel et al. 2021, unclamped and × 100), `features`, and a zero-shot head a question.

    Its labels are the `classes`, and what it is told (`among`): a concept by all its phrases, anything else by one prompt.
    Scores of different CLIPs cannot be compared: the `source` is in every result. Nothing is loaded before it is asked.
    """

    reads = True

    def __init__(
        self, source: str, revision: str | None = None, classes: list[str] | None = None, threshold: float | None = None
    ) -> None:
        self.source, self.revision, self.classes = source, revision, classes or []
        self.thresholds = check_thresholds(threshold)
        self.name, self.version = source, revision or "newest"
        self.told: list[dict[str, tuple[str, ...]]] = [{name: (f"a photo of {name}",) for name in self.classes}]

    def _load(self, kind: Any, **more: Any) -> Any:
        return loaded(kind, self.source, self.revision, "a CLIP", **more)

    @cached_property
    def _processor(self) -> Any:
        return self._load(AutoImageProcessor, backend="pil")

    @cached_property
    def _tokenizer(self) -> Any:
        return self._load(AutoTokenizer)

    @cached_property
    def _network(self) -> Any:
        return self._load(CLIPModel, dtype=torch.float32).eval()

    @cached_property
    def _weights(self) -> str:
        return digest(self._network.state_dict())

    @cached_property
    def _vocabulary(self) -> str:
        return hashlib.sha256(self._tokenizer.backend_tokenizer.to_str().encode()).hexdigest()

    @cached_property
    def zero_shot(self) -> ZeroShots:
        return ZeroShots(self.told, self._words)

    @property
    def hash(self) -> str:  # type: ignore[override]
        return f"{self._weights} {self._processor.to_json_string()} {self._vocabulary} {self.zero_shot.hash}"

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return self.zero_shot.labels

    def label(self, phrase: str) -> tuple[str, str] | None:
        return self.zero_shot.label(phrase)

    def among(self, questions: Sequence[Question]) -> Self:
        found, classes = copy(self), self.told[0]
        found.__dict__.pop("zero_shot", None)  # of what was told before
        found.told = []
        for concepts, others in questions:
            told: dict[str, tuple[str, ...]] = classes | {c.name: c.phrases for c in concepts}
            said = [phrase for c in concepts for phrase in (c.name.replace("_", " "), *c.phrases)]
            known = {s.lower() for s in (*told, *said)}
            found.told.append(told | {name: (prompt,) for name, prompt in others.items() if name.lower() not in known})
        return found

    def to(self, device: torch.device) -> Self:
        self.device = device
        self._network.to(device)
        return self

    @property
    def about(self) -> dict[str, Any]:
        return {**super().about, **({"zero_shot": self.zero_shot.about} if self.zero_shot else {})}

    @torch.no_grad()
    def _words(self, prompts: Sequence[str]) -> Tensor:
        found = []
        for at in range(0, len(prompts), ROWS):
            given = self._tokenizer(list(prompts[at : at + ROWS]), padding="max_length", truncation=True, return_tensors="pt")
            ids, mask = given.input_ids.to(self.device), given.attention_mask.to(self.device)
            found.append(self._network.get_text_features(ids, attention_mask=mask).pooler_output.float().cpu())
        return normalize(torch.cat(found), dim=-1)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Features (batch, width) of uint8 `images` (batch, 3, height, width), of length 1."""
        found = []
        for some in images.split(ROWS):
            pixels = self._processor(list(some), return_tensors="pt").pixel_values.to(self.device)
            found.append(self._network.get_image_features(pixels).pooler_output.float().cpu())
        return normalize(torch.cat(found), dim=-1)

    def score(self, images: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        features = self.features(images)
        scores = 100 * (features * self._words(prompts)).sum(-1)
        return {"clip_scores": scores, "features": features, **self.zero_shot.probabilities(features)}

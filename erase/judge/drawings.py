"""This file is the judge of the miniature's pictures: a classifier trained on drawn scenes, never on generated ones."""

import hashlib
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from erase.errors import BadInput
from erase.judge import Judge, check_thresholds
from erase.judge.zero_shot import Question, ZeroShots, unlabelled
from erase.miniature import WEIGHTS, world
from erase.miniature.networks import Classifier
from erase.model.text_to_image import TextToImage


class Drawings(Judge):
    """Names subject or outfit, colour and style; also holds the CLIP that trained with the miniature's text encoder.

    What it has no label for, that CLIP names zero-shot, if it is told beforehand (`among`).
    """

    name = "drawings"
    version = "1"
    reads = True

    def __init__(self, folder: str | None = None, threshold: float | None = None) -> None:
        self.thresholds = check_thresholds(threshold)
        self.folder = Path(folder) if folder else WEIGHTS
        self.classifier = Classifier.load(self.folder / "judge")
        self.clip = CLIPModel.from_pretrained(self.folder / "clip", dtype=torch.float32).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(self.folder / "tokenizer")
        files = ["judge/model.safetensors", "judge/judge.json", "clip/model.safetensors"]
        files += sorted(str(f.relative_to(self.folder)) for f in self.folder.glob("tokenizer/*"))
        self.hash = hashlib.sha256(b"".join((self.folder / f).read_bytes() for f in files)).hexdigest()
        self.zero_shot = ZeroShots((), self._words)

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        return Classifier.HEADS | self.zero_shot.labels

    def label(self, phrase: str) -> tuple[str, str] | None:
        return world.label(phrase) or self.zero_shot.label(phrase)

    def suit(self, model: TextToImage) -> None:
        if model.words is None:
            raise BadInput(f"judge=drawings knows the miniature's pictures, not {model.source_name}'s: judge=clip, for one.")

    def among(self, questions: Sequence[Question]) -> Self:
        asked = [
            {c.name: c.phrases for c in concepts} | {name: (prompt,) for name, prompt in others.items()}
            for concepts, others in unlabelled(questions, world.label)
        ]
        told = copy(self)
        told.zero_shot = ZeroShots(asked, self._words)
        if told.zero_shot:
            told.hash += f" {told.zero_shot.hash}"
        return told

    @property
    def about(self) -> dict[str, Any]:
        return {**super().about, **({"zero_shot": self.zero_shot.about} if self.zero_shot else {})}

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> dict[str, Tensor]:
        """Calibrated class probabilities (batch, labels) of every trained head for uint8 `images` (batch, 3, 64, 64)."""
        found: dict[str, Tensor] = self.classifier(_sized(images).float() / 127.5 - 1)
        return found

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """CLIP features (batch, 128), length 1, of uint8 `images`."""
        features = self.clip.get_image_features(_sized(images).float() / 127.5 - 1).pooler_output
        return nn.functional.normalize(features, dim=-1)

    @torch.no_grad()
    def _words(self, prompts: Sequence[str]) -> Tensor:
        ids = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        return nn.functional.normalize(self.clip.get_text_features(ids).pooler_output, dim=-1)

    def score(self, images: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """CLIP scores are CLIPScore (Hessel et al. 2021) on this world's CLIP."""
        features = self.features(images)
        scores = 100 * (features * self._words(prompts)).sum(-1)
        told = self.zero_shot.probabilities(features)
        return {"clip_scores": scores, "features": features, **self.probabilities(images), **told}


def _sized(images: Tensor) -> Tensor:
    """Pictures of another size than the world's, as it draws them."""
    if images.shape[-2:] == (world.SIZE, world.SIZE):
        return images
    shrunk = nn.functional.interpolate(images.float(), (world.SIZE, world.SIZE), mode="bilinear", antialias=True)
    return shrunk.round().clamp(0, 255).to(torch.uint8)

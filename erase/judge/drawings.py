"""This file is the judge of the miniature's pictures: a classifier trained on drawn scenes, never on generated ones."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import CLIPModel

from erase.miniature import WEIGHTS, world
from erase.miniature.networks import Classifier
from erase.model.text_to_image import TextToImage


class Drawings(nn.Module):
    """Names subject or outfit, colour and style; also holds the CLIP that trained with the miniature's text encoder."""

    def __init__(self, folder: str | None = None) -> None:
        super().__init__()
        self.folder = Path(folder) if folder else WEIGHTS
        self.classifier = Classifier.load(self.folder / "judge")
        self.clip = CLIPModel.from_pretrained(self.folder / "clip", dtype=torch.float32).eval()
        self.num_features = self.clip.config.projection_dim
        files = ("judge/model.safetensors", "judge/judge.json", "clip/model.safetensors")
        self.hash = hashlib.sha256(b"".join((self.folder / f).read_bytes() for f in files)).hexdigest()

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The labels of every head."""
        return Classifier.HEADS

    def label(self, phrase: str) -> tuple[str, str] | None:
        """Head and label that a phrase speaks of; None where the judge has none."""
        return world.label(phrase)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> dict[str, Tensor]:
        """Calibrated class probabilities (batch, labels) of every head for uint8 `images` (batch, 3, 64, 64)."""
        found: dict[str, Tensor] = self.classifier(images.float() / 127.5 - 1)
        return found

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """CLIP features (batch, 128), length 1, of uint8 `images`: for KID."""
        features = self.clip.get_image_features(images.float() / 127.5 - 1).pooler_output
        return nn.functional.normalize(features, dim=-1)

    @torch.no_grad()
    def clip_scores(self, images: Tensor, prompts: Sequence[str], model: TextToImage) -> Tensor:
        """100 · cosine between picture and prompt, (batch,); CLIPScore (Hessel et al. 2021) on this world's CLIP."""
        ids = model.tokenize(prompts).cpu()
        words = nn.functional.normalize(self.clip.get_text_features(ids).pooler_output, dim=-1)
        return 100 * (self(images) * words).sum(-1)

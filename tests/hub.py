"""This file is small models of the classes that hub judges are: random, made on the spot."""

from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
    ConvNextImageProcessorPil,
    ResNetConfig,
    ResNetForImageClassification,
)

from erase.miniature import WEIGHTS

LABELS = [
    *("tench, Tinca tinca", "English springer, English springer spaniel", "cassette player", "chain saw, chainsaw"),
    *("church, church building", "French horn, horn", "garbage truck, dustcart", "gas pump, gasoline pump", "golf ball"),
    *("parachute, chute", "barn", "lighthouse", "trumpet, cornet", "goldfish, Carassius auratus", "school bus", "desk"),
]
"""As ImageNet's read."""


def classifier(folder: Path, labels: list[str] = LABELS) -> Path:
    """ResNet's class and processor, with ImageNet's manner of labels."""
    torch.manual_seed(0)
    names = dict(enumerate(labels))
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", id2label=names)
    ResNetForImageClassification(config).save_pretrained(folder)
    ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=0.875).save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    """CLIP's class, processor and tokenizer."""
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer")
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = CLIPTextConfig(vocab_size=len(tokenizer), max_position_embeddings=32, projection_dim=8, **ends, **tower)
    vision = CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=8, **tower)
    CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

"""This file is the networks of the miniature: each a class of diffusers or transformers, small."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig, ResNetConfig, ResNetModel

from erase.miniature.world import COLOURS, LABELS, SIZE, STYLES

TOKENS = 32
"""Length of a tokenized prompt."""


def tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """CLIP's byte-level BPE with a vocabulary of its own, learnt from `captions`; any string tokenizes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    learner.train_from_iterator(
        captions,
        trainers.BpeTrainer(vocab_size=1200, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False),
    )
    merges = [tuple(m) for m in json.loads(learner.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(a + "</w>" for a in alphabet), *("".join(m) for m in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer({t: i for i, t in enumerate(tokens)}, merges, model_max_length=TOKENS)


def clip(vocabulary: int) -> CLIPModel:
    """The two towers, trained together on captioned pictures; the text tower becomes the pipeline's encoder."""
    tower = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    text = CLIPTextConfig(
        vocab_size=vocabulary,
        max_position_embeddings=TOKENS,
        projection_dim=128,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
        **tower,
    )
    vision = CLIPVisionConfig(image_size=SIZE, patch_size=8, projection_dim=128, **tower)
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=128))


def autoencoder() -> AutoencoderKL:
    """64×64 pictures to 16×16 latents of four channels. Channels at full resolution are its cost, so they are few."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=SIZE,
    )


def unet() -> UNet2DConditionModel:
    """Stable Diffusion's UNet with 4.8 million weights: cross-attention at 16×16, 8×8 and in the middle."""
    return UNet2DConditionModel(
        sample_size=SIZE // 4,
        block_out_channels=(64, 96, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=128,
        norm_num_groups=16,
    )


def noise_scheduler() -> DDIMScheduler:
    """Stable Diffusion 1.x's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


class Classifier(nn.Module):
    """The judge: a small ResNet that names a picture's subject or outfit, its colour and its style."""

    HEADS: ClassVar = {"subject": LABELS, "colour": tuple(COLOURS), "style": tuple(STYLES)}

    def __init__(self) -> None:
        super().__init__()
        sizes = [32, 64, 96, 128]
        config = ResNetConfig(embedding_size=24, hidden_sizes=sizes, depths=[1, 2, 2, 1], layer_type="basic")
        self.body = ResNetModel(config)
        self.heads = nn.ModuleDict({name: nn.Linear(sizes[-1], len(labels)) for name, labels in self.HEADS.items()})
        self.temperatures = dict.fromkeys(self.HEADS, 1.0)  # fitted on unseen drawings: Guo et al. 2017

    def logits(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Uncalibrated logits (batch, labels) of every head for `images` (batch, 3, 64, 64) between -1 and 1."""
        features = self.body(images).pooler_output.flatten(1)
        return {name: head(features) for name, head in self.heads.items()}

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Calibrated probabilities (batch, labels) of every head for `images` (batch, 3, 64, 64) between -1 and 1."""
        return {name: (logits / self.temperatures[name]).softmax(-1) for name, logits in self.logits(images).items()}

    def save(self, folder: Path) -> None:
        """Write weights, the names of every head's labels and its temperature."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / "model.safetensors")
        about = {"labels": self.HEADS, "temperatures": self.temperatures}
        (folder / "judge.json").write_text(json.dumps(about, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """The judge of `folder`; ValueError when its labels are not this world's."""
        about = json.loads((folder / "judge.json").read_text())
        if {k: tuple(v) for k, v in about["labels"].items()} != cls.HEADS:
            raise ValueError(f"the judge in {folder} knows other labels than this world")
        judge = cls()
        judge.temperatures = about["temperatures"]
        judge.load_state_dict(load_file(folder / "model.safetensors"))
        return judge.eval()

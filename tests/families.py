"""This file is small random models of every family, in the classes and the layout in which users have them."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from erase.miniature import WEIGHTS
from erase.model.stable_diffusion import StableDiffusion
from erase.model.stable_diffusion_xl import StableDiffusionXL

KINDS = {"sd1": StableDiffusion, "sd2": StableDiffusion, "sdxl": StableDiffusionXL}
"""Families, and the class behind whose door each is."""

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def make(family: str, folder: Path) -> None:
    """Write a random model of `family` to `folder`."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        {"sd1": _sd1, "sd2": _sd2, "sdxl": _sdxl}[family]().save_pretrained(folder)


def _tokenizer(pad: str) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer", pad_token=pad)


def _encoder(width: int, layers: int, activation: str, projection: int = 0) -> CLIPTextModel:
    vocabulary = len(_tokenizer("<|endoftext|>"))
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=32,
        hidden_act=activation,
        projection_dim=projection or width,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=0 if activation == "gelu" else vocabulary - 1,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=16,
    )


def _unet(width: int, **own: object) -> UNet2DConditionModel:
    plain = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 2,
    }
    sizes = {"sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    return UNet2DConditionModel(**{**plain, **sizes, "cross_attention_dim": width, **own})


def _sd1() -> StableDiffusionPipeline:
    schedule = PNDMScheduler(**SCHEDULE, skip_prk_steps=True, set_alpha_to_one=False)
    parts = {"unet": _unet(16), "text_encoder": _encoder(16, 2, "quick_gelu"), "tokenizer": _tokenizer("<|endoftext|>")}
    return StableDiffusionPipeline(
        **parts, vae=_vae(), scheduler=schedule, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )


def _sd2() -> StableDiffusionPipeline:
    """That of 768 pixels: heads of one size, linear projections, and v."""
    schedule = DDIMScheduler(**SCHEDULE, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False)
    unet = _unet(24, use_linear_projection=True, attention_head_dim=(2, 4))
    parts = {"unet": unet, "text_encoder": _encoder(24, 3, "gelu"), "tokenizer": _tokenizer("!")}
    return StableDiffusionPipeline(
        **parts, vae=_vae(), scheduler=schedule, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )


def _sdxl() -> StableDiffusionXLPipeline:
    unet = _unet(
        16 + 24,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        attention_head_dim=(2, 4),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 24,
    )
    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_encoder(16, 2, "quick_gelu"),
        text_encoder_2=_encoder(24, 3, "gelu", projection=24),
        tokenizer=_tokenizer("<|endoftext|>"),
        tokenizer_2=_tokenizer("!"),
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="leading"),
        force_zeros_for_empty_prompt=True,
    )

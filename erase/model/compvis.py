"""This file is the layout of Stable Diffusion as it was released: one file for a whole model, read by ComfyUI and A1111."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from erase.errors import BadInput

Rules = tuple[tuple[str, str], ...]
"""Regular expressions and what stands for them, applied one after the other."""

UNET: Rules = (
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^add_embedding\.linear_1\.", "label_emb.0.0."),
    (r"^add_embedding\.linear_2\.", "label_emb.0.2."),
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
)
"""Names of the UNet where no counting is needed."""

RESNET: Rules = (
    (r"\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.conv_shortcut\.", ".skip_connection."),
)

VAE: Rules = (
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".proj_out."),
    (r"\.down_blocks\.(\d+)\.resnets\.", r".down.\1.block."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
)

OPEN_CLIP: Rules = (
    (r"^embeddings\.token_embedding\.weight$", "token_embedding.weight"),
    (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^final_layer_norm\.", "ln_final."),
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"\.self_attn\.", ".attn."),
)


def _renamed(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, other in rules:
        name = re.sub(pattern, other, name)
    return name


def _unet(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Blocks are counted through: of each way down `layers` and what makes it smaller, of each way up one more."""
    found = {}
    deaf = {name.split(".")[1] for name in state if name.startswith("up_blocks.")}
    deaf -= {name.split(".")[1] for name in state if re.match(r"up_blocks\.\d+\.attentions\.", name)}
    for name, value in state.items():
        if way := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name):
            side, block, part, number, rest = way.groups()
            at = int(block) * (layers + 1) + int(number) + (side == "down")
            where = f"{'input' if side == 'down' else 'output'}_blocks.{at}"
            if part == "downsamplers":
                name = f"input_blocks.{at + layers}.0.op.{rest.removeprefix('conv.')}"
            elif part == "upsamplers":
                name = f"output_blocks.{at + layers}.{1 if block in deaf else 2}.{rest}"
            elif part == "attentions":
                name = f"{where}.1.{rest}"
            else:
                name = _renamed(f"{where}.0.{rest}", RESNET)
        else:
            name = _renamed(name, (*UNET, *(RESNET if name.startswith("mid_block.resnets.") else ())))
        found[name] = value
    return found


def _vae(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The decoder's ways up are counted from the other end; what its attention multiplies with are 1×1 convolutions."""
    ups = 1 + max(int(m[1]) for name in state if (m := re.match(r"decoder\.up_blocks\.(\d+)\.", name)))
    found = {}
    for name, value in state.items():
        up = re.match(r"decoder\.up_blocks\.(\d+)\.(resnets\.|upsamplers\.0\.)(.*)", name)
        if up:
            part = "block." if up[2] == "resnets." else "upsample."
            name = f"decoder.up.{ups - 1 - int(up[1])}.{part}{up[3]}"
        attention = ".mid_block.attentions." in name and value.ndim == 2
        found[_renamed(name, VAE)] = value[:, :, None, None] if attention else value
    return found


def _clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"transformer.text_model.{_bare(name)}": value for name, value in state.items()}


def _open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values are one matrix there, and the projection stands on its side."""
    found, parts = {}, {"weight": "in_proj_weight", "bias": "in_proj_bias"}
    for name, value in state.items():
        name = _bare(name)
        joint = re.fullmatch(r"(.*\.self_attn)\.q_proj\.(weight|bias)", name)
        if joint:
            of = {_bare(n): v for n, v in state.items() if joint[1] in n}
            value = torch.cat([of[f"{joint[1]}.{kind}_proj.{joint[2]}"] for kind in "qkv"])
            name = f"{joint[1]}.{parts[joint[2]]}"
        elif re.search(r"\.self_attn\.[kv]_proj\.", name):
            continue
        if name == "text_projection.weight":
            name, value = "text_projection", value.T
        found[f"model.{_renamed(name, OPEN_CLIP)}"] = value
    return found


def _bare(name: str) -> str:
    """A text encoder's name without the level that transformers 5 has left out."""
    return name.removeprefix("text_model.")


def names(pipe: Any) -> dict[str, str]:
    """What each weight of the UNet was called in its family's release; BadInput where no release had such a one."""
    layers, own = pipe.unet.config.layers_per_block, pipe.unet.state_dict()
    if not isinstance(layers, int):
        raise BadInput("format=single_file: this UNet's blocks have unequal numbers of layers, as no release of it had.")
    return dict(zip(own, _unet(own, layers), strict=True))


def state(pipe: Any) -> dict[str, Tensor]:
    """All weights of `pipe` by the names that its family was released with; BadInput as in `names`.

    1.x hears CLIP, 2.x OpenCLIP (told by its activation, gelu where CLIP's is quick_gelu), XL both.
    """
    own = pipe.unet.state_dict()
    found = {f"model.diffusion_model.{other}": own[name] for name, other in names(pipe).items()}
    found |= {f"first_stage_model.{n}": v for n, v in _vae(pipe.vae.state_dict()).items()}
    first = _open_clip if pipe.text_encoder.config.hidden_act == "gelu" else _clip
    second = getattr(pipe, "text_encoder_2", None)
    place = "conditioner.embedders.0" if second is not None else "cond_stage_model"
    found |= {f"{place}.{n}": v for n, v in first(pipe.text_encoder.state_dict()).items()}
    if second is not None:
        found |= {f"conditioner.embedders.1.{n}": v for n, v in _open_clip(second.state_dict()).items()}
    return {name: value.contiguous() for name, value in found.items()}

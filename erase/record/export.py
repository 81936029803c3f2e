"""This file is what leaves the project: models in the formats of other libraries."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import CLIPTextModel


def text_encoder_state(encoder: CLIPTextModel, folder: Path) -> None:
    """Write the encoder's weights under the keys of transformers 4 (`text_model.…`), which 5 reads as well.

    transformers 5 saves them without the prefix, and 4 then starts from random weights with no more than a warning.
    """
    state = {f"text_model.{k.removeprefix('text_model.')}": v.contiguous() for k, v in encoder.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def diffusers(pipe: Any, out: Path) -> None:
    """Write `pipe` as a folder that plain diffusers loads, its text encoder readable by transformers 4 and 5."""
    pipe.save_pretrained(out)
    text_encoder_state(pipe.text_encoder, out / "text_encoder")

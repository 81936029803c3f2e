"""This file is what leaves the project: models in the formats of other libraries."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModel

from erase.errors import BadInput
from erase.model.edit import Edit


def _key(name: str) -> str:
    """The name of a text encoder's weight in transformers 4 (`text_model.…`), which 5 reads as well.

    transformers 5 saves them without the prefix, and 4 then starts from random weights with no more than a warning.
    """
    return f"text_model.{name.removeprefix('text_model.')}"


def text_encoder_state(encoder: CLIPTextModel, folder: Path) -> None:
    """Write the encoder's weights under the keys of transformers 4."""
    state = {_key(name): value.contiguous() for name, value in encoder.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def diffusers(pipe: Any, edit: Edit, out: Path) -> None:
    """Write the edited `pipe` as a folder that plain diffusers loads, its text encoder readable by transformers 4 and 5."""
    edit.apply(pipe)
    pipe.save_pretrained(out)
    text_encoder_state(pipe.text_encoder, out / "text_encoder")


def text_encoder(pipe: Any, edit: Edit, out: Path) -> None:
    """Write the edited text encoder alone, to take the place of another pipeline's of the same family, and the difference.

    `out` is what `CLIPTextModel.from_pretrained` takes, of transformers 4 and 5. `difference.safetensors` in it holds edited
    less unedited weights, fp32, of those that moved: to be added to an encoder that was trained further. BadInput, and nothing
    is written, where the edit changes anything besides: the encoder alone would not erase.
    """
    if other := [name for name in edit.tensors if not name.startswith("text_encoder.")]:
        raise BadInput(f"format=text_encoder: this run changes {other[0]}, which no text encoder holds: format=diffusers.")
    before = {name: value.detach().clone() for name, value in pipe.text_encoder.named_parameters()}
    edit.apply(pipe)
    pipe.text_encoder.save_pretrained(out)
    text_encoder_state(pipe.text_encoder, out)
    after: dict[str, Tensor] = {name.removeprefix("text_encoder."): value for name, value in edit.tensors.items()}
    change = {_key(name): value.float() - before[name].float() for name, value in after.items()}
    save_file(change, out / "difference.safetensors")


FORMATS = {"diffusers": diffusers, "text_encoder": text_encoder}

"""This file is what leaves the project: models in the formats of other libraries."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextModel

from erase.errors import BadInput
from erase.model import compvis
from erase.model.edit import Edit
from erase.model.ledger import Ledger


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
    """Write the edited `pipe` as a folder that plain diffusers loads, its text encoder readable by transformers 4 and 5.

    `edits.json` in it lists the edits, in order.
    """
    pipe.save_pretrained(out)
    text_encoder_state(pipe.text_encoder, out / "text_encoder")
    lines = [each.line() for each in Ledger.of(pipe).edits]
    (out / "edits.json").write_text(json.dumps(lines, indent=1) + "\n")


def text_encoder(pipe: Any, edit: Edit, out: Path) -> None:
    """Write the edited text encoder alone, to take the place of another pipeline's of the same family, and the difference.

    `out` is what `CLIPTextModel.from_pretrained` takes, of transformers 4 and 5. `difference.safetensors` in it holds edited
    less unedited weights, fp32, of those that moved: to be added to an encoder that was trained further. BadInput, and nothing
    is written, where the edit changes anything besides: the encoder alone would not erase.
    """
    if other := [name for name in edit.tensors if not name.startswith("text_encoder.")]:
        raise BadInput(f"format=text_encoder: this run changes {other[0]}, which is not in text_encoder: format=diffusers.")
    pipe.text_encoder.save_pretrained(out)
    text_encoder_state(pipe.text_encoder, out)
    change = {_key(name.removeprefix("text_encoder.")): value for name, value in _differences(pipe, edit).items()}
    save_file(change, out / "difference.safetensors")


def _differences(pipe: Any, edit: Edit) -> dict[str, Tensor]:
    """Edited less unedited weights, fp32, by name."""
    base = Ledger.of(pipe).base
    return {name: value.float().cpu() - base[name].float().cpu() for name, value in edit.tensors.items()}


def single_file(pipe: Any, edit: Edit, out: Path) -> None:
    """Write the edited `pipe` as one file, `model.safetensors`, under the names with which its family was released."""
    state = compvis.state(pipe)
    out.mkdir(parents=True, exist_ok=True)
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})


def edit_alone(pipe: Any, edit: Edit, out: Path) -> None:
    """Write what is changed, and what it was made from; never a key. `Edit.load(out).apply(pipe)` puts it into a base."""
    Edit(edit.tensors, edit.about).save(out)


def lora(pipe: Any, edit: Edit, out: Path) -> None:
    """Write the adapters of a run with parameters=lora: their product from the weights' differences, of the run's rank.

    `pytorch_lora_weights.safetensors` has peft's keys, which diffusers' `load_lora_weights` takes; `kohya.safetensors` those of
    ComfyUI and A1111: names of XL's release, of 1.x and 2.x those of diffusers. BadInput for any other edit.
    """
    how = edit.about.get("config", {}).get("parameters", {})
    if "edits" in edit.about or not str(how.get("_target_")).endswith(".LoRA"):
        raise BadInput("format=lora: this is no single run with parameters=lora, and has no adapters: format=edit.")
    if other := [name for name in edit.tensors if not name.startswith("unet.")]:
        raise BadInput(f"format=lora: this run changes {other[0]}, and adapters are of the UNet alone: format=edit.")
    released = compvis.names(pipe) if hasattr(pipe, "text_encoder_2") else {}
    peft: dict[str, Tensor] = {}
    kohya: dict[str, Tensor] = {}
    for name, difference in _differences(pipe, edit).items():
        layer = name.removeprefix("unet.").removesuffix(".weight")
        left, sizes, right = torch.linalg.svd(difference, full_matrices=False)
        root = sizes[: how["rank"]].sqrt()
        down, up = (root[:, None] * right[: len(root)]).contiguous(), (left[:, : len(root)] * root).contiguous()
        peft |= {f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}
        called = f"lora_unet_{released.get(f'{layer}.weight', f'{layer}.weight').removesuffix('.weight').replace('.', '_')}"
        kohya |= {f"{called}.lora_down.weight": down, f"{called}.lora_up.weight": up}
        kohya[f"{called}.alpha"] = torch.tensor(float(len(root)))
    out.mkdir(parents=True, exist_ok=True)
    save_file(peft, out / "pytorch_lora_weights.safetensors", metadata={"format": "pt"})
    save_file(kohya, out / "kohya.safetensors", metadata={"format": "pt"})


FORMATS = {
    "diffusers": diffusers,
    "single_file": single_file,
    "edit": edit_alone,
    "lora": lora,
    "text_encoder": text_encoder,
}

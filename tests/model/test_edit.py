"""Edits on plain pipelines."""

from pathlib import Path

import pytest
import torch

from erase.errors import BadInput
from erase.model.edit import Edit, tensor_hash
from erase.model.stable_diffusion import StableDiffusion

NAME = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"


def made(model: StableDiffusion) -> Edit:
    weight = dict(model.named_parameters())[NAME]
    return Edit({NAME: weight.detach() + 1}, {"base": "miniature", "base_tensors": {NAME: tensor_hash(weight)}})


def test_apply_and_undo_bit_for_bit(model: StableDiffusion, tmp_path: Path):
    made(model).save(tmp_path)
    edit, weight = Edit.load(tmp_path), dict(model.named_parameters())[NAME]
    before = weight.detach().clone()
    assert edit.apply(model.pipe) is model.pipe
    assert torch.equal(weight, before + 1)
    edit.undo(model.pipe)
    assert torch.equal(weight, before)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_pipeline_in_half_precision_is_the_same_base(kind: torch.dtype, model: StableDiffusion):
    edit = made(model)
    model.pipe.unet.to(kind)
    assert edit.apply(model.pipe) is model.pipe


def test_another_base_is_refused_unchanged(model: StableDiffusion):
    edit, weight = made(model), dict(model.named_parameters())[NAME]
    with torch.no_grad():
        weight.mul_(1.5)
    before = weight.detach().clone()
    with pytest.raises(BadInput, match="was made for miniature"):
        edit.apply(model.pipe)
    assert torch.equal(weight, before)


def test_a_tensor_that_is_not_there_is_refused(model: StableDiffusion):
    with pytest.raises(BadInput, match=r"unet\.nothing"):
        Edit({"unet.nothing": torch.zeros(2)}).apply(model.pipe)


def test_undo_without_apply_is_refused(model: StableDiffusion):
    with pytest.raises(BadInput, match="not been applied"):
        made(model).undo(model.pipe)


def test_folder_without_edit_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="holds no finished edit"):
        Edit.load(tmp_path)

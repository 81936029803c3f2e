"""Edits on plain pipelines."""

from pathlib import Path

import pytest
import torch

from erase.errors import BadInput
from erase.model.edit import Edit
from erase.model.ledger import Ledger, tensor_hash
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
    """Also where rounding to bf16 by way of fp16 is another rounding."""
    weight = dict(model.named_parameters())[NAME]
    with torch.no_grad():
        weight.copy_(torch.linspace(1, 2, weight.numel()).reshape(weight.shape))
    assert not torch.equal(weight.half().bfloat16(), weight.bfloat16())
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


def test_edits_add_up_in_any_order_and_are_taken_back_one_by_one(model: StableDiffusion):
    first, weight = made(model), dict(model.named_parameters())[NAME]
    second = Edit({NAME: weight.detach() + 2, "unet.conv_in.bias": torch.ones(64)}, first.about)
    before, bias = weight.detach().clone(), model.pipe.unet.conv_in.bias
    with pytest.raises(BadInput, match="nothing is edited"):
        Edit.of(model.pipe)
    first.apply(model.pipe)
    assert Edit.of(model.pipe) is first
    second.apply(model.pipe)
    torch.testing.assert_close(weight, before + 3)
    with pytest.raises(BadInput, match="applied already"):
        second.apply(model.pipe)
    Ledger.of(model.pipe).order(model.pipe, [second, first])
    torch.testing.assert_close(weight, before + 3)
    both = Edit.of(model.pipe)
    assert [line["digest"] for line in both.about["edits"]] == [second.digest(), first.digest()]
    first.undo(model.pipe)
    assert torch.equal(weight, second.tensors[NAME])
    assert torch.equal(bias, torch.ones(64))
    second.undo(model.pipe)
    assert torch.equal(weight, before)
    assert not torch.equal(bias, torch.ones(64))
    both.apply(model.pipe)
    torch.testing.assert_close(weight, before + 3)


def test_an_edit_of_an_edited_model_stands_on_it_alone(model: StableDiffusion):
    first, weight = made(model), dict(model.named_parameters())[NAME]
    on = {"base": "an edited one", "base_tensors": {NAME: tensor_hash(first.tensors[NAME])}}
    above = Edit({NAME: first.tensors[NAME] * 2}, on)
    with pytest.raises(BadInput, match="was made for an edited one"):
        above.apply(model.pipe)
    above.apply(first.apply(model.pipe))
    assert torch.equal(weight, above.tensors[NAME])
    for refused in (lambda: first.undo(model.pipe), lambda: Ledger.of(model.pipe).order(model.pipe, [above, first])):
        with pytest.raises(BadInput, match="was made for an edited one"):
            refused()
        assert torch.equal(weight, above.tensors[NAME])


def test_undo_without_apply_is_refused(model: StableDiffusion):
    with pytest.raises(BadInput, match="not been applied"):
        made(model).undo(model.pipe)


def test_folder_without_edit_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match="holds no finished edit"):
        Edit.load(tmp_path)

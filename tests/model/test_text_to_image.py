"""The door to the model: teacher and student, counting, sampling."""

import pytest
import torch

from erase.errors import BadInput
from erase.model.edit import Edit
from erase.model.stable_diffusion import StableDiffusion
from erase.parameters import Select


def test_teacher_is_the_original_while_the_student_moves(model: StableDiffusion):
    x, t, said = torch.randn(2, 4, 16, 16), torch.tensor([500, 100]), model.prompt(["a church", "a barn"])
    with torch.no_grad():
        before = model.predict(x, t, said)
    model.move(Select("^unet.*attn2").names(n for n, _ in model.named_parameters()))
    loss = (model.predict(x, t, said) - before).square().mean() + model.predict(x, t, said).mean()
    loss.backward()
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter -= 0.1 * parameter.grad
        assert not torch.equal(model.predict(x, t, said), before)
        assert torch.equal(model.predict(x, t, said, edited=False), before)


def test_only_selected_weights_get_gradients(model: StableDiffusion):
    model.move(Select("attn2", "to_q").names(n for n, _ in model.named_parameters()))
    model.predict(torch.randn(1, 4, 16, 16), torch.tensor([9]), model.prompt(["a church"])).mean().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == ("attn2" in name and "to_q" not in name), name


def test_passes_are_counted_per_sample(model: StableDiffusion):
    model.move(Select("attn2").names(n for n, _ in model.named_parameters()))
    said = model.prompt(["a church"] * 3)
    model.predict(torch.randn(3, 4, 16, 16), torch.tensor(9), said).mean().backward()
    with torch.no_grad():
        model.predict(torch.randn(3, 4, 16, 16), torch.tensor(9), said)
    model.images(["a church"], [0], steps=2, guidance_scale=4)
    assert (model.cost.forwards, model.cost.backwards) == (3 + 3 + 4, 3)


def test_a_picture_does_not_depend_on_its_batch(model: StableDiffusion):
    prompts = ["a photo of a church", "a barn", "nudity"]
    together = model.images(prompts, [5, 6, 7], steps=3, guidance_scale=4).int()
    alone = torch.cat([model.images([p], [s], 3, 4) for p, s in zip(prompts, [5, 6, 7], strict=True)]).int()
    assert (together - alone).abs().max() <= 2


def test_any_string_tokenizes(model: StableDiffusion):
    ids = model.tokenize(["", "zebra in Zürich", "猫 🙂", "word " * 100])
    assert ids.shape == (4, 32)
    end = model.pipe.tokenizer.eos_token_id
    assert all(end in row for row in ids.tolist())


@pytest.mark.parametrize(("include", "exclude"), [(r"^unet\..*attn2", None), (r"^unet\.", "attn2")])
def test_selectors_are_disjoint(model: StableDiffusion, include: str, exclude: str | None):
    names = [n for n, _ in model.named_parameters()]
    chosen = Select(include, exclude).names(names)
    assert all(("attn2" in n) == (exclude is None) and n.startswith("unet.") for n in chosen)


def test_selector_that_matches_nothing(model: StableDiffusion):
    with pytest.raises(BadInput, match="attn7"):
        Select("attn7").names(n for n, _ in model.named_parameters())


def test_an_edit_made_in_half_precision_fits_its_base(model: StableDiffusion):
    half = StableDiffusion("miniature", precision=torch.bfloat16)
    half.move(Select("attn2").names(n for n, _ in half.named_parameters()))
    assert {p.dtype for p in half.moving.values()} == {torch.float32}
    assert torch.isfinite(half.predict(model.noise([3]), torch.tensor(9), half.prompt(["a church"]))).all()
    Edit(dict(half.moving), {"base_tensors": half.original_hashes}).apply(model.pipe)


def test_attention_is_fused_where_no_gradient_is_asked_for(model: StableDiffusion, monkeypatch: pytest.MonkeyPatch):
    fused, kernel = [], torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", lambda *a, **k: fused.append(1) or kernel(*a, **k))
    model.precision = torch.bfloat16
    model.move(["unet.conv_in.weight"])
    model.to(torch.device("cpu"))
    x, t, words = torch.randn(2, *model.latent_shape), torch.tensor(500), model.prompt(["a dog", ""])
    fused.clear()
    with_gradient = model.predict(x, t, words)
    assert not fused
    with torch.no_grad():
        without = model.predict(x, t, words)
    assert fused
    torch.testing.assert_close(without, with_gradient, atol=0.05, rtol=0.05)

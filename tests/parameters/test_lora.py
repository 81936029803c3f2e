"""Adapters: what they say, what is folded of them, and that nothing of them is left."""

import json
from pathlib import Path

import pytest
import torch
from conftest import QUICK, Command
from safetensors.torch import load_file
from torch import Tensor

from erase.concept import Concept
from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.method.redirect import Redirect
from erase.method.uce import UCE
from erase.model.edit import Edit
from erase.model.stable_diffusion import StableDiffusion, fingerprint
from erase.parameters import Select
from erase.parameters.lora import LoRA
from erase.preservation.fixed import Fixed
from erase.random import stream
from erase.target import Negative

CROSS = r"^unet\..*attn2\.to_"


def said(model: StableDiffusion, edited: bool = True) -> Tensor:
    x_t = torch.randn((2, *model.latent_shape), generator=stream(0, "test"))
    with torch.no_grad():
        return model.predict(x_t, torch.tensor([700, 300]), model.prompt(["a church", "a barn"], edited), edited)


def moved(model: StableDiffusion, lora: LoRA, seed: int = 0) -> None:
    """Adapters with something in them."""
    lora.prepare(model, seed)
    with torch.no_grad():
        for name, parameter in model.moving.items():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=stream(seed, f"test {name}")))


@pytest.mark.parametrize("include", [CROSS, r"^(unet\..*attn1|text_encoder\..*self_attn)\."])
def test_folded_weights_say_what_the_adapters_say(include: str, model: StableDiffusion):
    before, lora = said(model), LoRA(include, rank=3, alpha=6.0)
    moved(model, lora)
    assert torch.equal(said(model, edited=False), before)  # the teacher is the unedited network
    ours, folded = said(model), lora.fold(model)
    assert (ours - before).abs().max() > 0.01
    plain = StableDiffusion("miniature")
    Edit(folded).apply(plain.pipe)
    torch.testing.assert_close(said(plain), ours, atol=1e-4, rtol=1e-4)


def test_what_is_taken_out_leaves_nothing(model: StableDiffusion):
    names, before = [n for n, _ in model.named_parameters()], said(model)
    lora, select = LoRA(CROSS), StableDiffusion("miniature")
    moved(model, lora)
    ours, folded = said(model), lora.fold(model)
    lora.unload(model)
    assert [n for n, _ in model.named_parameters()] == names
    assert fingerprint({**model.modules, "vae": model.pipe.vae}) == model.hash
    select.move(Select(r"^unet\..*attn2\.to_.*weight").names(names))
    assert model.original_hashes == select.original_hashes
    assert {*folded} == {*model.moving} == {*select.moving}
    assert torch.equal(said(model), before)
    model.put(folded)
    torch.testing.assert_close(said(model), ours, atol=1e-4, rtol=1e-4)
    assert torch.equal(said(model, edited=False), before)


def test_in_half_precision_what_is_folded_is_added_to_the_base_as_it_was():
    model, base = (StableDiffusion("miniature", precision=p) for p in (torch.bfloat16, torch.float32))
    lora = LoRA(CROSS)
    lora.prepare(model, 0)
    own = dict(base.named_parameters())
    assert all(torch.equal(weight, own[name]) for name, weight in lora.fold(model).items())


def test_it_begins_as_the_seed_says(model: StableDiffusion):
    torch.manual_seed(5)
    one, two, other = model, StableDiffusion("miniature"), StableDiffusion("miniature")
    for it, seed in ((one, 0), (two, 0), (other, 1)):
        LoRA(CROSS).prepare(it, seed)
    firsts = [n for n in one.moving if "lora_A" in n]
    assert len(firsts) > 10
    for name in firsts:
        assert torch.equal(one.moving[name], two.moving[name])
        assert not torch.equal(one.moving[name], other.moving[name])


def test_the_adapters_alone_move(model: StableDiffusion, tmp_path: Path):
    parts = {"steps": 3, "lr": 1e-2, "lr_schedule": "constant", "batch_size": 2, "seed": 0, "work": tmp_path}
    church, latents = Concept("church", ("church",)), Bank(1, 1, steps=3)
    erasing = Redirect(model, [church], LoRA(CROSS), latents, Negative(), Fixed([], 0.0), Squared(), **parts)
    erasing.on_fit_start()
    (optimizer,), _ = erasing.configure_optimizers()
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        losses.append(erasing.losses(0)["erase"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert {n.split(".")[-2] for n, p in model.named_parameters() if p.grad is not None} == {"default"}


def test_what_sets_whole_weights_is_refused(model: StableDiffusion, tmp_path: Path):
    parts = {"steps": 1, "lr": 1e-3, "lr_schedule": "constant", "batch_size": 2, "seed": 0, "work": tmp_path}
    church, latents = Concept("church", ("church",)), Bank(1, 1, steps=3)
    players = {"target": Negative(eta=0.0), "preservation": Fixed([], 0.0), "loss": Squared(), "parameters": LoRA(CROSS)}
    with pytest.raises(BadInput, match="parameters=xattn_kv"):
        UCE(model=model, concepts=[church], latents=latents, **players, **parts)


def test_resumed_is_bit_for_bit_and_the_edit_fits_the_base(command: Command, tmp_path: Path):
    fields = ["method=esd", "concept=church", "parameters=lora", "lr=1e-2", "logger=none", *QUICK]
    done = command("train", *fields, "steps=5", "checkpoint_every=3", "judge_at=[2]")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "outputs" / "esd-church-0"
    edited, figures = load_file(run / "edit" / "edit.safetensors"), json.loads((run / "metrics.json").read_text())["figures"]
    assert not any("lora" in name for name in edited)
    before = {n: p.detach().clone() for n, p in StableDiffusion("miniature").named_parameters()}
    assert all((edited[n] - before[n]).abs().max() > 1e-5 for n in edited)
    model = StableDiffusion("miniature")
    Edit.load(run).apply(model.pipe)
    assert all(torch.equal(dict(model.named_parameters())[n], edited[n]) for n in edited)
    done = command("export", f"run={run}", "format=lora", "out=adapters")
    assert done.returncode == 0, done.stderr
    other = StableDiffusion("miniature")
    other.pipe.load_lora_weights(str(tmp_path / "adapters"), weight_name="pytorch_lora_weights.safetensors")
    other.pipe.fuse_lora()
    other.pipe.unload_lora_weights()
    for name, weight in edited.items():
        torch.testing.assert_close(dict(other.named_parameters())[name], weight, atol=1e-5, rtol=1e-5)
    (run / "edit" / "edit.json").unlink()  # as if killed after update 3 and before the end
    again = command("train", f"resume={run}")
    assert again.returncode == 0, again.stderr
    resumed = load_file(run / "edit" / "edit.safetensors")
    assert all(torch.equal(resumed[n], edited[n]) for n in edited)
    assert json.loads((run / "metrics.json").read_text())["figures"] == figures
    (run / "metrics.json").unlink()  # as if killed when the edit was there
    assert command("train", f"resume={run}").returncode == 0
    assert json.loads((run / "metrics.json").read_text())["figures"] == figures


@pytest.mark.parametrize(("field", "value"), [("rank", 0), ("alpha", 0.0)])
def test_nonsense_is_refused(field: str, value: float):
    with pytest.raises(BadInput, match=f"parameters.{field}={value}"):
        LoRA(CROSS, **{field: value})


def test_nothing_selected_is_refused(model: StableDiffusion):
    with pytest.raises(BadInput, match="attn9"):
        LoRA("attn9").prepare(model, 0)

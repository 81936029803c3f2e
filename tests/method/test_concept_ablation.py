"""The loss against the paper's formula, and whose pictures it is taken on."""

import json
from pathlib import Path

import pytest
import torch
from conftest import QUICK, Command
from safetensors.torch import load_file

from erase.concept import Concept, rows
from erase.errors import BadInput
from erase.latents.noised import Noised
from erase.loss import Squared
from erase.method.concept_ablation import ConceptAblation
from erase.model.stable_diffusion import StableDiffusion
from erase.parameters import Select
from erase.preservation.fixed import Fixed
from erase.random import stream
from erase.target import Negative, Target
from erase.target.anchor import Anchor

CHURCH = Concept("church", ("church", "a photo of a church"), ("chapel",), anchor="a building")


def method(model: StableDiffusion, folder: Path, target: Target, preservation: Fixed) -> ConceptAblation:
    parts = {"steps": 3, "lr": 1e-3, "lr_schedule": "linear", "batch_size": 2, "seed": 0, "work": folder}
    parts |= {"model": model, "concepts": [CHURCH], "parameters": Select("attn2"), "target": target, "loss": Squared()}
    return ConceptAblation(latents=Noised(images=2, kept_images=1, steps=3), preservation=preservation, **parts)


@pytest.mark.parametrize(("target", "anchor"), [(Anchor(), "a building"), (Negative(eta=0.0), "")])
def test_loss_is_the_papers(target: Target, anchor: str, model: StableDiffusion, tmp_path: Path):
    """‖ε'(x_t, c_e) − ε(x_t, a)‖², x_t from pictures of a, every ε evaluated here and now."""
    erasing = method(model, tmp_path, target, Fixed(["a barn"], weight=0.7))
    erasing.on_fit_start()
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=stream(0, "test", 0)))
    losses = erasing.losses(1)
    assert {*erasing.latents.stored} == {anchor, "a barn"}
    points = erasing.latents.draw([anchor] * 2, "erase", 1, empty=False)
    unet, each = model.pipe.unet, []
    for x, t, prompt in zip(points.x_t, points.t, rows([CHURCH], 2, stream(0, "erase", 1)), strict=True):
        given = (x[None], t, model.prompt([anchor]).sequence)
        with torch.no_grad():
            theirs = torch.func.functional_call(unet, model.weights("unet", False), given).sample
            each.append((unet(x[None], t, model.prompt([prompt]).sequence).sample - theirs).square().mean())
    torch.testing.assert_close(losses["erase"].detach(), torch.stack(each).mean(), rtol=1e-3, atol=1e-6)
    assert losses["keep"] > 0


def test_what_is_no_words_is_refused(model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=r"target=anchor \(target\.eta=0\) or neutral"):
        method(model, tmp_path, Negative(eta=1.0), Fixed([], weight=0.0))


def test_cost_of_an_update(model: StableDiffusion, tmp_path: Path):
    erasing = method(model, tmp_path, Anchor(), Fixed([], weight=0.0))
    erasing.on_fit_start()
    erasing.losses(0)["erase"].backward()
    assert model.cost.forwards == 2 * 3 * 2 + 2 * 2  # pictures, steps, guidance; two pairs, of the teacher and the student
    assert model.cost.backwards == 2


QUICKER = [*(f for f in QUICK if not f.startswith("latents.")), "latents.steps=3", "latents.images=1"]


def test_resumed_is_bit_for_bit_with_a_proposal_that_listens(command: Command, tmp_path: Path):
    fields = ["method=concept_ablation", "concept=church", "latents.proposal=loss", "logger=none", *QUICKER]
    fields += ["steps=5", "checkpoint_every=3", "preservation=neutral", "latents.kept_images=1"]
    done = command("train", *fields)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "outputs" / "concept_ablation-church-0"
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["latents"]["erase"].any()
    edited, told = load_file(run / "edit" / "edit.safetensors"), (run / "training.csv").read_text()
    cost = json.loads((run / "metrics.json").read_text())["cost"]
    (run / "edit" / "edit.json").unlink()  # as if killed after update 3 and before the end
    again = command("train", f"resume={run}")
    assert again.returncode == 0, again.stderr
    resumed = load_file(run / "edit" / "edit.safetensors")
    assert resumed.keys() == edited.keys()
    assert all(torch.equal(resumed[name], edited[name]) for name in edited)
    assert (run / "training.csv").read_text() == told
    assert {n: json.loads((run / "metrics.json").read_text())["cost"][n] for n in ("forwards", "backwards")} == {
        n: cost[n] for n in ("forwards", "backwards")
    }

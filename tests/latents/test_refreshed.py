"""The bank that follows the edit, against direct sampling of the edited model."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.latents.refreshed import Refreshed
from erase.model.stable_diffusion import StableDiffusion
from erase.random import stream

PROMPTS = ["a church", "a photo of a church"]
FIELDS = {"trajectories": 2, "steps": 3, "guidance_scale": 3.0}


def opened(model: StableDiffusion, folder: Path) -> Refreshed:
    found = Refreshed(every=4, **FIELDS)
    found.open(model, 0, folder)
    found.declare(PROMPTS)
    return found


def edit(model: StableDiffusion) -> dict[str, Tensor]:
    """Move the model a little; what it was."""
    names = [n for n, _ in model.named_parameters() if n.startswith("unet.") and n.endswith("attn2.to_v.weight")]
    if not model.moving:
        model.move(names)
    for weight in model.moving.values():
        weight.data.mul_(1.3)
    return model.originals


def test_until_the_first_time_it_is_the_bank(model: StableDiffusion, tmp_path: Path):
    edit(model)
    bank, found = Bank(**FIELDS), opened(model, tmp_path)
    bank.open(model, 0, tmp_path)
    bank.declare(PROMPTS)
    for use, step in (("erase", 0), ("erase", 3), ("keep", 9), ("attack 0", 9)):
        ours, theirs = found.draw(PROMPTS, use, step), bank.draw(PROMPTS, use, step)
        assert torch.equal(ours.x_t, theirs.x_t)
        assert torch.equal(ours.conditional, theirs.conditional)
    assert not found.fresh


def test_then_points_lie_on_the_edited_way_and_the_frozen_model_says_what_is_there(model: StableDiffusion, tmp_path: Path):
    edit(model)
    found = opened(model, tmp_path)
    noise = torch.randn((2, *model.latent_shape), generator=stream(0, "refreshed 1 a church"))
    *walk, _ = model.trajectory(model.prompt(["a church"] * 2), noise, 3, 3.0, edited=True)
    for step in (4, 5, 7):
        points = found.draw(["a church"], "erase", step)
        (k,) = (k for k, at in enumerate(walk) if at.t == points.t)
        assert min((points.x_t[0] - x).abs().max() for x in walk[k].x_t) < 2e-3  # half precision
        said = model.prompt(["a church", ""], edited=False)
        theirs = model.predict(points.x_t.expand(2, -1, -1, -1), points.t.expand(2), said, edited=False)
        torch.testing.assert_close(torch.cat([points.conditional, points.unconditional]), theirs, atol=1e-5, rtol=1e-4)


def test_it_follows_the_edit_once_in_so_many_updates(model: StableDiffusion, tmp_path: Path):
    edit(model)
    found = opened(model, tmp_path)
    found.draw(PROMPTS, "erase", 4)
    first, spent = found.fresh["a church"]["x_t"], model.cost.forwards
    found.draw(PROMPTS, "erase", 5, empty=False)
    assert model.cost.forwards == spent + 2  # the frozen model's word on two points
    edit(model)
    found.draw(PROMPTS, "erase", 7)
    assert found.fresh["a church"]["x_t"] is first
    spent = model.cost.forwards
    found.draw(PROMPTS, "erase", 8)
    assert model.cost.forwards == spent + 2 * 2 * 3 * 2 + 2 * 2  # of two prompts two trajectories of three guided steps
    assert not torch.equal(found.fresh["a church"]["x_t"][:, -1], first[:, -1])


def test_a_resumed_run_has_what_was_drawn_of_weights_that_are_gone(model: StableDiffusion, tmp_path: Path):
    edit(model)
    whole = opened(model, tmp_path)
    whole.draw(PROMPTS, "erase", 4)
    state = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    edit(model)
    again = opened(model, tmp_path)
    again.load_state_dict(state)
    ours, theirs = again.draw(PROMPTS, "erase", 6), whole.draw(PROMPTS, "erase", 6)
    assert torch.equal(ours.x_t, theirs.x_t)
    assert torch.equal(ours.t, theirs.t)


def test_an_anchor_that_nobody_declared_is_drawn_anew_too(model: StableDiffusion, tmp_path: Path):
    edit(model)
    found = opened(model, tmp_path)
    found.draw(PROMPTS, "erase", 4)
    found.draw(["a church", "a barn"], "erase", 5)
    assert {*found.fresh} == {*PROMPTS, "a barn"}


def test_never_is_no_number():
    with pytest.raises(BadInput, match=r"latents.every=0 must be at least 1"):
        Refreshed(every=0)

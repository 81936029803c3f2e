"""Points of the edited model's own trajectories against direct sampling."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from erase.errors import BadInput
from erase.latents.on_policy import OnPolicy
from erase.model.stable_diffusion import StableDiffusion
from erase.random import stream

PROMPTS = ["a barn", "a church", "a house"]


def opened(model: StableDiffusion, folder: Path, **fields: object) -> OnPolicy:
    latents = OnPolicy(**{"steps": 4, **fields})
    latents.open(model, 0, folder)
    return latents


def edited(model: StableDiffusion) -> StableDiffusion:
    model.move(n for n, _ in model.named_parameters() if "attn2" in n)
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=stream(0, "test")))
    return model


def places(count: int, use: str, step: int) -> tuple[list[int], Tensor, Tensor]:
    """How many steps each trajectory makes, where t is in its grid step, and the noise."""
    places, parts, noises = (stream(0, f"{use} {what}", step) for what in ("points", "inside", "noise"))
    made = torch.randint(4, (count,), generator=places).tolist()
    noise = torch.stack([torch.randn((4, 16, 16), generator=noises) for _ in range(count)])
    return made, torch.rand((count,), generator=parts), noise


def sampled(model: StableDiffusion, prompt: str, x: Tensor, steps: int) -> Tensor:
    """The first `steps` of four DDIM steps written out, by the edited UNet alone."""
    scheduler = model.noise_scheduler
    scheduler.set_timesteps(4)
    empty, said = (model.prompt([p]).sequence for p in ("", prompt))
    with torch.no_grad():
        for t in scheduler.timesteps[:steps]:
            unconditional, conditional = (model.pipe.unet(x, t, w).sample for w in (empty, said))
            x = scheduler.step(unconditional + 3 * (conditional - unconditional), t, x).prev_sample
    return x


def test_points_are_where_the_edited_model_goes_and_what_the_teacher_says_there(model: StableDiffusion, tmp_path: Path):
    points = opened(edited(model), tmp_path).draw(PROMPTS, "erase", 1)
    made, _, noise = places(3, "pair", 1)
    assert len({*made}) > 1
    grid, teacher = (751, 501, 251, 1), model.weights("unet", edited=False)
    for i, prompt in enumerate(PROMPTS):
        x = sampled(model, prompt, noise[i : i + 1], made[i])
        torch.testing.assert_close(points.x_t[i], x[0], atol=1e-4, rtol=1e-4)
        assert points.t[i] == grid[made[i]]
        for found, words in ((points.conditional, prompt), (points.unconditional, "")):
            with torch.no_grad():
                said = model.prompt([words]).sequence
                direct = torch.func.functional_call(model.pipe.unet, teacher, (x, points.t[i], said)).sample
            torch.testing.assert_close(found[i], direct[0], atol=1e-3, rtol=1e-3)
    assert torch.equal(points.snr, model.snr(points.t))


def test_a_pair_shares_its_noise_and_its_place_and_no_search_does(model: StableDiffusion, tmp_path: Path):
    latents = opened(model, tmp_path)
    erase, keep = latents.draw(PROMPTS, "erase", 7), latents.draw(PROMPTS, "keep", 7, empty=False)
    assert torch.equal(erase.x_t, keep.x_t)  # of the same words; the edited model is not edited
    assert keep.unconditional is None
    alone = latents.draw(PROMPTS[:1], "erase", 7)  # of fewer rows, the first ones
    torch.testing.assert_close(alone.x_t[0], keep.x_t[0], atol=1e-5, rtol=1e-4)
    assert alone.t[0] == keep.t[0]
    search, later = latents.draw(PROMPTS, "search 0", 7, empty=False), latents.draw(PROMPTS, "keep", 8, empty=False)
    for other in (search, later):
        assert not torch.equal(other.x_t, keep.x_t)


def test_only_what_is_needed_is_passed(model: StableDiffusion, tmp_path: Path):
    latents = opened(model, tmp_path)
    latents.draw(PROMPTS, "erase", 1)
    made, *_ = places(3, "pair", 1)
    assert model.cost.forwards == 2 * sum(made) + 2 * 3
    latents.draw(PROMPTS, "search", 2, common=True, empty=False)
    (all_made,), *_ = places(1, "search", 2)
    assert model.cost.forwards == 2 * sum(made) + 2 * 3 + 3 * (2 * all_made + 1)
    assert model.cost.backwards == 0


def test_common_place(model: StableDiffusion, tmp_path: Path):
    points = opened(model, tmp_path).draw(["a barn"] * 3, "score", 1, common=True, empty=False)
    assert len({*points.t.tolist()}) == 1
    torch.testing.assert_close(points.x_t[0], points.x_t[2])


def test_the_published_lag(model: StableDiffusion, tmp_path: Path):
    """The latents are two grid steps further, t is anywhere in the grid step, and the error is weighed by the grid's."""
    latents = opened(model, tmp_path, lag=2)
    for step in range(3):
        points = latents.draw(["a barn"], "erase", step, empty=False)
        (made,), share, noise = places(1, "pair", step)
        torch.testing.assert_close(points.x_t, sampled(model, "a barn", noise, min(made + 2, 4)), atol=1e-4, rtol=1e-4)
        k = 3 - made
        assert points.t.item() == int(250 * (k + float(share)))
        torch.testing.assert_close(points.snr, model.snr(torch.tensor([250 * k + 1])))


def test_the_published_timesteps(model: StableDiffusion, tmp_path: Path):
    latents = opened(model, tmp_path, steps=50, lag=2)
    k = torch.arange(50)
    first, last = (latents._inside(k, torch.full((50,), share)) for share in (0.0, 0.9999))
    assert first.tolist() == [20 * i for i in k]
    assert last.tolist() == [20 * i + 19 for i in k]


def test_nothing_is_kept_for_a_resume(model: StableDiffusion, tmp_path: Path):
    latents = opened(model, tmp_path)
    latents.declare(PROMPTS, kept=True)
    latents.draw(["a barn"], "keep", 0)
    assert latents.drawn == []
    assert latents.lent == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("field", "value"), [("steps", 0), ("lag", -1), ("lag", 51)])
def test_nonsense_is_refused(field: str, value: int):
    with pytest.raises(BadInput, match=f"latents.{field}={value}"):
        OnPolicy(**{field: value})


def test_where_only_the_text_encoder_moves_points_are_the_frozen_models(model: StableDiffusion, tmp_path: Path):
    before = opened(model, tmp_path).draw(["a church"], "erase", 2)
    model.move(n for n, _ in model.named_parameters() if n.startswith("text_encoder.encoder"))
    model.put({n: 1.5 * w for n, w in model.moving.items()})
    after = opened(model, tmp_path).draw(["a church"], "erase", 2)
    assert not torch.equal(model.prompt(["a church"]).sequence, model.prompt(["a church"], edited=False).sequence)
    for name in ("x_t", "conditional", "unconditional"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name))

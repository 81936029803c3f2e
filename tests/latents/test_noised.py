"""Noised pictures against the same mathematics written out."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.latents.noised import Noised
from erase.model.stable_diffusion import StableDiffusion
from erase.random import stream

FIELDS = {"images": 2, "kept_images": 1, "steps": 3}


def opened(model: StableDiffusion, folder: Path, shared: Path | None = None, **fields: object) -> Noised:
    noised = Noised(**{**FIELDS, **fields})
    noised.open(model, 0, folder, shared)
    return noised


def picture(model: StableDiffusion, prompt: str, i: int) -> Tensor:
    """The end of a guided trajectory of three steps, in half precision."""
    noise = torch.randn((2, 4, 16, 16), generator=stream(0, f"bank {prompt}"))
    *_, last = model.trajectory(model.prompt([prompt]), noise[i : i + 1], 3, 3.0, edited=True)
    return last.x_t[0].half().float()


def test_points_are_noised_pictures_and_what_the_teacher_says_of_them(model: StableDiffusion, tmp_path: Path):
    """x_t = √ᾱ x₀ + √(1−ᾱ) ε with an ε that is normal and not the one that the picture came from."""
    noised = opened(model, tmp_path)
    prompts = ["a church", "a barn", "a church"]
    alphas, pictures = model.noise_scheduler.alphas_cumprod, {(p, i): picture(model, p, i) for p in prompts for i in (0, 1)}
    noises = []
    for step in range(6):
        points = noised.draw(prompts, "erase", step)
        which = torch.rand((3,), generator=stream(0, "erase points", step)).tolist()
        for row, (prompt, share) in enumerate(zip(prompts, which, strict=True)):
            x_t, t = points.x_t[row], points.t[row]
            noises.append((x_t - alphas[t].sqrt() * pictures[prompt, int(2 * share)]) / (1 - alphas[t]).sqrt())
            with torch.no_grad():
                said = [model.pipe.unet(x_t[None], t, model.prompt([p]).sequence).sample[0] for p in (prompt, "")]
            for ours, theirs in zip((points.conditional[row], points.unconditional[row]), said, strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    found = torch.stack(noises).flatten(1)
    assert found.mean().abs() < 0.02
    assert found.std() == pytest.approx(1, abs=0.05)
    alike = torch.corrcoef(found) - torch.eye(len(found))
    assert alike.abs().max() < 0.2  # 1024 numbers each


def test_every_timestep_is_equally_likely(model: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    noised = opened(model, tmp_path)
    monkeypatch.setattr(model, "predict", lambda x_t, *_, **__: torch.zeros_like(x_t))  # what is said there is not looked at
    drawn = torch.cat([noised.draw(["a church"] * 16, "erase", s, empty=False).t for s in range(40)]).float()
    assert drawn.min() >= 0
    assert drawn.max() <= 999
    assert drawn.mean() == pytest.approx(499.5, abs=40)  # 3.5 standard errors
    assert (drawn < 250).float().mean() == pytest.approx(0.25, abs=0.06)


def test_cost(model: StableDiffusion, tmp_path: Path):
    noised = opened(model, tmp_path)
    noised.draw(["a church"], "erase", 0, empty=False)
    assert model.cost.forwards == 2 * 3 * 2 + 1  # pictures, steps, guidance; the teacher's word
    noised.draw(["a church"] * 4, "erase", 1)
    assert model.cost.forwards == 13 + 4 * 2
    assert noised.draw(["a church"], "erase", 2, empty=False).unconditional is None


def test_draws_are_a_function_of_seed_use_and_step(model: StableDiffusion, tmp_path: Path):
    one, two = opened(model, tmp_path), opened(model, tmp_path, tmp_path / "shared")
    one.draw(["a barn"], "keep", 3)
    a, b = (noised.draw(["a barn", "a church"], "erase", 7) for noised in (one, two))
    for name in ("x_t", "t", "conditional", "unconditional"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    other = one.draw(["a barn", "a church"], "erase", 8)
    assert not torch.equal(a.x_t, other.x_t)


def test_pictures_are_shared_and_a_bank_is_not_taken_for_them(model: StableDiffusion, tmp_path: Path):
    shared = tmp_path / "shared"
    opened(model, tmp_path, shared).draw(["a church"], "erase", 0)
    assert len(list(shared.iterdir())) == 1
    again = opened(model, tmp_path, shared, proposal="late")
    again.draw(["a church"], "erase", 0)
    assert len(list(shared.iterdir())) == 1
    bank = Bank(trajectories=2, steps=3)
    bank.open(model, 0, tmp_path, shared)
    bank.draw(["a church"], "erase", 0)
    assert len(list(shared.iterdir())) == 2


def test_common_place(model: StableDiffusion, tmp_path: Path):
    points = opened(model, tmp_path).draw(["a church", "a barn"], "score", 1, common=True, empty=False)
    assert len(set(points.t.tolist())) == 1


@pytest.mark.parametrize("field", ["images", "kept_images", "steps", "rows"])
def test_nonsense_is_refused(field: str):
    with pytest.raises(BadInput, match=f"latents.{field}=0"):
        Noised(**{field: 0})

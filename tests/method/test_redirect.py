"""The loss against the papers' formulas, and the gradient that comes of it."""

from pathlib import Path

import pytest
import torch
from conftest import ROOT, composed

from erase.concept import Concept, rows
from erase.errors import BadInput
from erase.job import objective
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.method.redirect import Redirect
from erase.model.stable_diffusion import StableDiffusion
from erase.parameters import Select
from erase.preservation.adversarial import Adversarial
from erase.preservation.fixed import Fixed
from erase.random import stream
from erase.target import Negative

CHURCH = Concept("church", ("church", "a photo of a church"), ("chapel",))


def method(model: StableDiffusion, folder: Path, preservation: object, **fields: object) -> Redirect:
    parts = {"steps": 3, "lr": 1e-3, "lr_schedule": "linear", "batch_size": 2, "seed": 0, "work": folder, **fields}
    latents, target = Bank(trajectories=1, kept_trajectories=1, steps=3), Negative(eta=1.5)
    return Redirect(model, [CHURCH], Select("attn2"), latents, target, preservation, Squared(), **parts)


def test_loss_is_the_papers(model: StableDiffusion, tmp_path: Path):
    """‖ε'(x, c_e) − [ε(∅) − η (ε(c_e) − ε(∅))]‖² + λ ‖ε'(x', c_p) − ε(x', c_p)‖², every ε evaluated here and now."""
    erasing = method(model, tmp_path, Fixed(["a barn"], weight=0.7))
    erasing.on_fit_start()
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=stream(0, "test", 0)))
    losses = erasing.losses(1)
    unet, said = model.pipe.unet, {p: model.prompt([p]).sequence for p in ("", "a barn", *CHURCH.prompts)}
    erased = rows([CHURCH], 2, stream(0, "erase", 1))
    e, k = erasing.latents.draw(erased, "erase", 1), erasing.latents.draw(["a barn"] * 2, "keep", 1)

    def teacher(x: torch.Tensor, t: torch.Tensor, prompt: str) -> torch.Tensor:
        return torch.func.functional_call(unet, model.weights("unet", False), (x[None], t, said[prompt])).sample[0]

    with torch.no_grad():
        erase, keep = [], []
        for x, t, prompt in zip(e.x_t, e.t, erased, strict=True):
            empty, concept = teacher(x, t, ""), teacher(x, t, prompt)
            target = empty - 1.5 * (concept - empty)
            erase.append((unet(x[None], t, said[prompt]).sample[0] - target).square().mean())
        for x, t in zip(k.x_t, k.t, strict=True):
            keep.append((unet(x[None], t, said["a barn"]).sample[0] - teacher(x, t, "a barn")).square().mean())
    torch.testing.assert_close(losses["erase"].detach(), torch.stack(erase).mean(), rtol=1e-2, atol=1e-5)
    torch.testing.assert_close(losses["keep"].detach(), 0.7 * torch.stack(keep).mean(), rtol=2e-2, atol=1e-5)


def test_without_weight_nothing_is_kept_and_nothing_is_drawn(model: StableDiffusion, tmp_path: Path):
    esd = method(model, tmp_path, Fixed([], weight=0))
    esd.on_fit_start()
    assert list(esd.losses(0)) == ["erase"]
    assert set(esd.latents.stored) == set(CHURCH.prompts)


def test_before_the_first_update_nothing_is_hurt(model: StableDiffusion, tmp_path: Path):
    eap = method(model, tmp_path, Adversarial(vocabulary=str(ROOT / "tests" / "candidates.txt")))
    eap.on_fit_start()
    losses = eap.losses(0)
    assert losses["keep"] < 1e-4 < losses["erase"]


@pytest.mark.parametrize(("name", "most"), [("miniature", 10), ("sd14", 20)])
def test_what_a_pair_costs_at_the_defaults(name: str, most: int, model: StableDiffusion, tmp_path: Path, monkeypatch):
    """Counted over a whole run of the defaults, on a network that answers at once: of nudity, which has the most prompts. Of a
    hub model, whose candidates are English, an update has one pair to pay for the scores."""
    if name != "miniature":
        model.vocabulary, model.words = [], None
    scale = dict(model.named_parameters())["unet.conv_in.bias"]
    monkeypatch.setattr(model, "denoise", lambda x, t, conditioning, weights: x * scale.sum())
    config = composed("method=adv_preserve", "concept=nudity", "parameters.include=conv_in.bias", f"model={name}")
    erasing = objective(config, lambda: model, tmp_path)
    erasing.on_fit_start()
    for step in range(config.steps):
        torch.stack(list(erasing.losses(step).values())).sum().backward()
    pairs = config.steps * config.batch_size
    assert model.cost.backwards == 2 * pairs
    assert model.cost.forwards + 2 * model.cost.backwards <= most * pairs


@pytest.mark.parametrize(
    ("field", "value"), [("lr_schedule", "square"), ("steps", 0), ("steps", -3), ("lr", 0.0), ("batch_size", 0)]
)
def test_nonsense_is_refused(field: str, value: float, model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=f"{field}={value}"):
        method(model, tmp_path, Fixed([], 0), **{field: value})

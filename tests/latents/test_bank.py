"""The bank against direct sampling."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.model.stable_diffusion import StableDiffusion
from erase.random import stream


def opened(model: StableDiffusion, folder: Path, **fields: object) -> Bank:
    bank = Bank(**{"trajectories": 2, "steps": 3, "guidance_scale": 3.0, **fields})
    bank.open(model, 0, folder)
    return bank


def direct(model: StableDiffusion, prompt: str, i: int, k: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sampling written out: DDIM of three steps by diffusers' scheduler, predictions by the pipeline's UNet itself."""
    noise = torch.randn((count, 4, 16, 16), generator=stream(0, f"bank {prompt}"))
    x, scheduler = noise[i : i + 1], model.noise_scheduler
    scheduler.set_timesteps(3)
    ids = model.pipe.tokenizer(["", prompt], padding="max_length", return_tensors="pt").input_ids
    words = model.pipe.text_encoder(ids).last_hidden_state
    with torch.no_grad():
        for n, t in enumerate(scheduler.timesteps):
            unconditional, conditional = (model.pipe.unet(x, t, w[None]).sample for w in words)
            if n == k:
                return x, t, conditional, unconditional
            x = scheduler.step(unconditional + 3 * (conditional - unconditional), t, x).prev_sample
    raise AssertionError


def test_points_are_those_of_direct_sampling(model: StableDiffusion, tmp_path: Path):
    bank = opened(model, tmp_path)
    bank.declare(["a church", "a barn", "nudity"])
    for step in range(6):
        rng = stream(0, "erase points", step)
        i, k = int(2 * torch.rand((1,), generator=rng)), int(torch.randint(3, (1,), generator=rng))
        points = bank.draw(["a barn"], "erase", step)
        x, t, conditional, unconditional = direct(model, "a barn", i, k, 2)
        assert points.t.item() == t
        for ours, theirs in zip(
            (points.x_t, points.conditional, points.unconditional), (x, conditional, unconditional), strict=True
        ):
            torch.testing.assert_close(ours, theirs, atol=4e-3, rtol=2e-3)  # half precision


def test_a_bank_is_the_original_s_though_its_text_encoder_has_moved(model: StableDiffusion, tmp_path: Path):
    """Groups are drawn when they are first needed: AdvUnlearn's x_t is the original encoder's all the same."""
    model.move([n for n in dict(model.named_parameters()) if n.startswith("text_encoder.")])
    before = opened(model, tmp_path / "before")
    before.declare(["a church"])
    first = before.draw(["a church"], "erase", 0)
    with torch.no_grad():
        for weight in model.moving.values():
            weight.mul_(1.1)
    assert not torch.allclose(model.prompt(["a church"]).sequence, model.prompt(["a church"], edited=False).sequence)
    after = opened(model, tmp_path / "after")
    after.declare(["a church"])
    again = after.draw(["a church"], "erase", 0)
    for name in ("x_t", "conditional", "unconditional"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name


def test_draws_are_a_function_of_seed_use_and_step(model: StableDiffusion, tmp_path: Path):
    one, two = opened(model, tmp_path), opened(model, tmp_path)
    for bank in (one, two):
        bank.declare(["a church", "a barn"])
    one.draw(["a church"], "keep", 3)
    a, b = one.draw(["a barn", "a church"], "erase", 7), two.draw(["a barn", "a church"], "erase", 7)
    assert torch.equal(a.x_t, b.x_t)
    assert torch.equal(a.conditional, b.conditional)
    draws = [one.draw(["a barn"] * 4, "erase", s).t.tolist() for s in range(4)]
    assert len({tuple(d) for d in draws}) > 1


def test_a_kept_concept_is_drawn_when_first_needed(model: StableDiffusion, tmp_path: Path):
    bank = opened(model, tmp_path, rows=2)
    bank.declare(["a church", "a barn"])
    assert model.cost.forwards == 0
    bank.draw(["a church"], "erase", 0)
    assert model.cost.forwards == 2 * 3 * 2  # trajectories, steps, guidance
    bank.draw(["a church"], "erase", 1)
    assert model.cost.forwards == 12


def test_what_was_drawn_before_a_resume_is_counted_once(model: StableDiffusion, tmp_path: Path):
    paid: set[str] = set()
    for prompts in (["a church"], ["a church", "a barn"], ["a barn", "a house", "a church"]):  # each resumes the one before
        bank = opened(model, tmp_path, rows=2)
        bank.declare(["a church", "a barn", "a house"])
        bank.paid = paid
        bank.draw(prompts, "erase", 0)
        paid = set(bank.drawn)
    assert model.cost.forwards == 3 * 2 * 3 * 2  # prompts, trajectories, steps, guidance


def test_runs_share_what_is_drawn_and_each_counts_it(tmp_path: Path):
    def drawn(shared: Path | None, paid: bool = False) -> tuple[Tensor, int, float]:
        """By a run of its own, with other weights that move."""
        model = StableDiffusion("miniature")
        model.move(["unet.conv_out.weight" if shared else "unet.conv_in.weight"])
        bank = Bank(trajectories=2, steps=3)
        bank.paid = {"a church"} if paid else set()
        bank.open(model, 0, tmp_path, shared)
        bank.declare(["a church", "a barn"])
        return bank.draw(["a church", "a barn"], "keep", 5).x_t, model.cost.forwards, bank.lent

    alone, passes, nothing = drawn(None)
    first, *_ = drawn(tmp_path / "shared")
    (file,) = (tmp_path / "shared").iterdir()
    made = file.stat().st_mtime_ns
    second, again, lent = drawn(tmp_path / "shared")
    assert file.stat().st_mtime_ns == made
    assert torch.equal(alone, first)
    assert torch.equal(alone, second)
    assert again == passes == 2 * 2 * 3 * 2  # prompts, trajectories, steps, guidance
    assert abs(nothing) < 0.01 < lent  # what was drawn by others takes their time
    _, free, lent = drawn(tmp_path / "shared", paid=True)
    assert free == 0
    assert lent < 0


@pytest.mark.parametrize("other", [{"steps": 2}, {"guidance_scale": 2.0}, {"trajectories": 1}, {"rows": 2}, {}])
def test_nothing_else_is_taken_for_the_same(other: dict[str, float], model: StableDiffusion, tmp_path: Path):
    for n, (seed, fields) in enumerate(((0, {}), (0 if other else 1, other))):
        bank = Bank(**{"trajectories": 2, "steps": 3, "rows": 4, **fields})
        bank.open(model, seed, tmp_path, tmp_path / "shared")
        bank.declare(["a church", "a barn"])
        bank.draw(["a church"], "erase", 0)
        assert len(list((tmp_path / "shared").iterdir())) == n + 1


def test_what_does_not_fit_in_memory_lies_on_disk(model: StableDiffusion, tmp_path: Path):
    small, large = opened(model, tmp_path / "bank", memory=0), opened(model, tmp_path)
    a, b = (bank.draw(["a church"] * 3, "erase", 2) for bank in (small, large))
    assert len(list((tmp_path / "bank").glob("*.safetensors"))) == 1
    assert torch.equal(a.x_t, b.x_t)


def test_common_place(model: StableDiffusion, tmp_path: Path):
    points = opened(model, tmp_path).draw(["a church", "a barn", "nudity"], "score", 1, common=True)
    assert len(set(points.t.tolist())) == 1


@pytest.mark.parametrize("field", ["trajectories", "steps", "rows"])
def test_nonsense_is_refused(field: str):
    with pytest.raises(BadInput, match=f"latents.{field}=0"):
        Bank(**{field: 0})

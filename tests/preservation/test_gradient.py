"""The climb, and what it ends at."""

from pathlib import Path

import torch

from erase.concept import Concept
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.model.stable_diffusion import StableDiffusion
from erase.preservation.adversarial import Adversarial
from erase.preservation.gradient import Gradient
from erase.task import Task

CANDIDATES = ["a barn", "a house", "a tench", "a golf ball", "a person in a coat"]


def opened(model: StableDiffusion, folder: Path, **fields: object) -> Adversarial:
    bank = Bank(trajectories=1, kept_trajectories=1, steps=2)
    bank.open(model, 0, folder)
    strategy = Adversarial(search="gradient", **{"every": 1, "search_steps": 2, "keep": 2, **fields})
    strategy.open(Task(model, [Concept("church", ("church",))], bank, Squared(), seed=0), CANDIDATES)
    return strategy


def test_every_climb_ends_at_the_word_that_is_hurt_most(model: StableDiffusion, tmp_path: Path, monkeypatch):
    """On a keep loss whose gradient leads to one word from everywhere."""
    strategy = opened(model, tmp_path, keep=6, search_steps=10)
    (worst,) = model.prompt(["a tench"]).sequence
    monkeypatch.setattr(type(strategy.search.game), "hurt", lambda *heard: -(heard[2].sequence - worst).square().mean((1, 2)))
    assert {*strategy.choose(1, 5).prompts} == {"a tench"}
    news = strategy.chosen()
    assert news is not None
    assert news["chosen"] == ["a tench"]
    assert news["scores"] == {c: 6.0 * (c == "a tench") for c in CANDIDATES}


def test_what_is_found_is_held_until_the_next_search(model: StableDiffusion, tmp_path: Path):
    model.move(n for n, _ in model.named_parameters() if "attn2" in n)
    strategy = opened(model, tmp_path, every=2)
    assert isinstance(strategy.search, Gradient)
    assert len({*strategy.choose(0, 30).prompts}) == len(CANDIDATES)  # nothing is hurt yet
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    drawn = (2 * 2 * len(CANDIDATES), 0)  # two points of a trajectory each, with guidance
    assert (model.cost.forwards, model.cost.backwards) == (0, 0)
    held = {*strategy.choose(2, 30).prompts}
    assert 1 <= len(held) <= 2
    # two climbs of two steps, the teacher and the edited network each; then both ends of both by the edited network
    assert (model.cost.forwards, model.cost.backwards) == (drawn[0] + 2 * 2 * 2 + 4, 2 * 2)
    assert all(p.grad is None for p in model.moving.values())
    assert strategy.chosen() is not None
    resumed = opened(model, tmp_path, every=2)
    resumed.load_state_dict(strategy.state_dict())
    assert resumed.choose(3, 30) == strategy.choose(3, 30)
    assert strategy.chosen() is None


def test_a_single_candidate_is_held(model: StableDiffusion, tmp_path: Path):
    strategy = opened(model, tmp_path, closest=1)
    assert len({*strategy.choose(1, 9).prompts}) == 1

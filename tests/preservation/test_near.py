"""Who is a candidate: the nearest, and words that stand for the others."""

from pathlib import Path

import pytest
import torch

from erase.concept import Concept
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.model.stable_diffusion import StableDiffusion
from erase.preservation.adversarial import Adversarial
from erase.preservation.near import near, representatives
from erase.preservation.similar import similarity
from erase.task import Task

CANDIDATES = ["a barn", "a house", "a tench", "a golf ball", "a person in a coat", "a shark", "a tennis ball"]
CONCEPTS = [Concept("church", ("a church", "church")), Concept("parachute", ("a parachute",))]


def test_the_closest_are_those_of_each_concept(model: StableDiffusion):
    found = near(model, CANDIDATES, CONCEPTS, closest=3, rows=2)
    for own, concept in zip(found, CONCEPTS, strict=True):
        first = similarity(model, CANDIDATES, [concept]).topk(3).indices
        assert {*own.nonzero()[:, 0].tolist()} == {*first.tolist()}
    assert near(model, CANDIDATES, CONCEPTS).all()
    assert near(model, CANDIDATES, CONCEPTS, closest=99, centres=99).all()


def test_centres_are_words_of_groups():
    groups = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 9.0]])
    points = torch.cat([centre + 0.1 * torch.randn((n, 2)) for centre, n in zip(groups, (5, 3, 4), strict=True)])
    found = representatives(points, 3)
    assert [int((found < end).sum()) for end in (5, 8, 12)] == [1, 2, 3]
    assert torch.equal(found, representatives(points, 3))
    assert representatives(points, 12).tolist() == [*range(12)]
    for start, end, i in zip((0, 5, 8), (5, 8, 12), found, strict=True):
        assert i == start + (points[start:end] - points[start:end].mean(0)).norm(dim=1).argmin()


def test_centres_stand_for_the_closest(model: StableDiffusion):
    (own,) = near(model, CANDIDATES, CONCEPTS[:1], closest=5, centres=2)
    (closest,) = near(model, CANDIDATES, CONCEPTS[:1], closest=5)
    assert int(own.sum()) == 2
    assert not (own & ~closest).any()


@pytest.mark.parametrize("search", ["scored", "gumbel", "gradient"])
def test_every_search_plays_with_them_alone(search: str, model: StableDiffusion, tmp_path: Path):
    bank = Bank(trajectories=1, kept_trajectories=1, steps=2)
    bank.open(model, 0, tmp_path)
    strategy = Adversarial(search=search, closest=2, every=1, keep=1, points=1, search_steps=1)
    strategy.open(Task(model, CONCEPTS, bank, Squared(), seed=0), CANDIDATES)
    either = near(model, CANDIDATES, CONCEPTS, closest=2).any(0)
    names = {c for c, stays in zip(CANDIDATES, either, strict=True) if stays}
    assert {*strategy.choose(0, 40).prompts} == names
    assert {*strategy.choose(1, 8).prompts} <= names
    news = strategy.chosen()
    assert news is not None
    assert {*news["scores"]} == names

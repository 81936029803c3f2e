"""The anchor as a target, and the anchors that the configs name."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from erase.command import CONF
from erase.concept import Concept, check_known, resolve, says
from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.miniature import world
from erase.model.stable_diffusion import StableDiffusion
from erase.target.anchor import Anchor
from erase.task import Task

CHURCH = Concept("church", ("church", "a photo of a church"), anchor="a building")
TENCH = Concept("tench", ("tench",), anchor="a fish")


def opened(target: Anchor, model: StableDiffusion, folder: Path, *concepts: Concept) -> Task:
    task = Task(model, concepts, Bank(trajectories=1, steps=3), Squared(), 0)
    task.latents.open(model, 0, folder)
    target.open(task)
    return task


@pytest.mark.parametrize(("prompt", "eta"), [(None, 0.0), (None, 0.8), ("a barn", 0.0), ("", 0.5)])
def test_it_is_what_the_teacher_says_of_the_anchor(prompt: str | None, eta: float, model: StableDiffusion, tmp_path: Path):
    """ε(a) − η (ε(c) − ε(a)), every ε evaluated here and now."""
    target = Anchor(prompt, eta)
    task = opened(target, model, tmp_path, CHURCH, TENCH)
    prompts = ["church", "tench", "a photo of a church"]
    points = task.latents.draw(prompts, "erase", 4)
    spent = model.cost.forwards
    found = target(points, prompts, 4)
    assert model.cost.forwards == spent + 3
    anchors = ["a building", "a fish", "a building"] if prompt is None else [prompt] * 3
    unet = model.pipe.unet
    for row, x, t, concept, anchor in zip(found, points.x_t, points.t, prompts, anchors, strict=True):
        with torch.no_grad():
            ours, theirs = (unet(x[None], t, model.prompt([p]).sequence).sample[0] for p in (concept, anchor))
        torch.testing.assert_close(row, theirs - eta * (ours - theirs), atol=5e-3, rtol=5e-3)  # the bank's half precision


def test_words(model: StableDiffusion, tmp_path: Path):
    for target, words in ((Anchor(), "a building"), (Anchor("a barn"), "a barn"), (Anchor(eta=0.1), None)):
        opened(target, model, tmp_path, CHURCH)
        assert target.words("church") == words


def test_a_missing_anchor_is_one_sentence(model: StableDiffusion, tmp_path: Path):
    nameless = Concept("mine", ("a red barn",))
    with pytest.raises(BadInput, match=r"mine has none; \+concept\.members\.mine\.anchor=<words>"):
        opened(Anchor(), model, tmp_path, CHURCH, nameless)
    opened(Anchor("a building"), model, tmp_path, CHURCH, nameless)


def test_nothing_becomes_what_is_erased(model: StableDiffusion, tmp_path: Path):
    for anchor in ("a church", "a photo of a tench"):
        with pytest.raises(BadInput, match=f"{anchor!r}, which .* is to become, says what is erased"):
            opened(Anchor(anchor), model, tmp_path, CHURCH, TENCH)


def test_every_anchor_is_known_and_says_nothing_that_is_erased():
    concepts = []
    for file in sorted((CONF / "concept").glob("*.yaml")):
        members = OmegaConf.load(file).get("members")
        if members is None:  # a set of others
            continue
        concepts += resolve(members, ["any words"] if file.stem == "custom" else None, None)
    anchored = [c for c in concepts if c.name != "custom"]
    assert len({c.name for c in anchored}) == 12
    for concept in anchored:
        assert concept.anchor is not None, concept.name
        assert not says(concept.anchor, concept), concept.name
        check_known(concept.name, [concept.anchor], world.names(), (), frame=world.vocabulary())
    families = {
        world.SUBJECTS[c.name.replace("_", " ")].family: c.anchor for c in anchored if c.name not in ("nudity", "van_gogh")
    }
    assert families == {family: world.article(noun) for family, noun in world.FAMILIES.items()}

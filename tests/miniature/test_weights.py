"""The shipped miniature."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from erase.judge.drawings import Drawings as Judge
from erase.miniature import WEIGHTS, painters, world
from erase.model.stable_diffusion import StableDiffusion

TRUTHS = sorted((WEIGHTS / "retrained").glob("*"))


def test_it_is_small():
    files = [f for f in Path(WEIGHTS).rglob("*") if f.is_file() and f not in TRUTHS]
    assert sum(f.stat().st_size for f in files) < 30e6
    assert all(f.stat().st_size <= 10e6 for f in TRUTHS)


def test_nothing_is_pickled():
    assert {f.suffix for f in Path(WEIGHTS).rglob("*") if f.is_file()} <= {".safetensors", ".json", ".txt"}


@pytest.mark.filterwarnings("error")
def test_what_is_retrained_belongs_to_the_weights_beside_it(model: StableDiffusion):
    """None is stale: whoever trains the miniature again trains these again."""
    for path in TRUTHS:
        label = path.stem.replace("_", " ")
        assert label in world.LABELS
        found = model.retrained([label])
        assert found is not None, path
        assert found.path == path
        assert {w.dtype for w in found.load().values()} == {torch.float16}
        with model.as_if(found):
            assert torch.isfinite(model.predict(model.noise([3]), torch.tensor(9), model.prompt([label]), edited=False)).all()


def test_the_judge_knows_drawings_it_never_saw():
    scenes = [world.scene(777, i) for i in range(300)]
    images = torch.from_numpy(np.stack([painters.picture(s) for s in scenes])).permute(0, 3, 1, 2)
    said = Judge().probabilities(images)["subject"].argmax(-1)
    right = [world.LABELS[i] == s.subject for i, s in zip(said.tolist(), scenes, strict=True)]
    assert sum(right) / len(right) >= 0.97


def shares(model: StableDiffusion, head: str, asked: list[tuple[str, str]], seed: int = 1000) -> dict[str, float]:
    """Share of pictures that the judge names rightly, by what was asked: pairs of what (`label|…`) and prompt."""
    seeds = range(seed, seed + len(asked))
    chunks = [slice(i, i + 32) for i in range(0, len(asked), 32)]
    if not asked:
        return {}
    images = torch.cat([model.images([p for _, p in asked[c]], list(seeds[c]), 10, 4.0) for c in chunks])
    judge = Judge()
    said = [judge.labels[head][i] for i in judge.probabilities(images)[head].argmax(-1)]
    right: dict[str, list[bool]] = {}
    for (what, _), label in zip(asked, said, strict=True):
        right.setdefault(what, []).append(label == what.split("|")[0])
    return {what: sum(hits) / len(hits) for what, hits in right.items()}


def short(
    model: StableDiffusion, head: str, found: dict[str, float], more: list[tuple[str, str]], least: float
) -> dict[str, float]:
    """Those below `least` in `found`, of few pictures, that are so in `more` pictures too: one of few may be chance."""
    again = [(what, prompt) for what, prompt in more if found[what] < least]
    return {what: share for what, share in shares(model, head, again, 5000).items() if share < least}


def test_it_draws_every_subject_and_outfit(model: StableDiffusion):
    asked = [(s, f"a photo of {world.describe(s, s)}") for s in world.SUBJECTS]
    found = shares(model, "subject", asked)
    assert sum(found.values()) / len(found) >= 0.97
    assert short(model, "subject", found, asked * 16, 0.85) == {}


def test_it_draws_every_way_to_say_nudity(model: StableDiffusion):
    nude = world.SUBJECTS["nude"]
    wordings = (nude.name, *nude.synonyms, *nude.held_out)
    asked = [(f"nude|{w}", f"a photo of {world.describe('nude', w, None, p)}") for w in wordings for p in world.PEOPLE]
    assert short(model, "subject", shares(model, "subject", asked), asked * 4, 0.85) == {}


def test_it_draws_every_style(model: StableDiffusion):
    styles = [s for s in world.STYLES.values() if s.name != world.PLAIN]
    things = [s for s in world.SUBJECTS if s != "nude"]

    def asked(every: int) -> list[tuple[str, str]]:
        said = [world.describe(thing, thing) for thing in things[::every]]
        return [(s.name, t.format(words)) for s in styles for t in s.templates[:2] for words in said]

    assert short(model, "style", shares(model, "style", asked(16)), asked(4), 0.9) == {}


def test_it_draws_combinations_that_no_training_picture_showed(model: StableDiffusion):
    every = product(world.SUBJECTS, world.COLOURS, world.STYLES)
    out = [c for c in every if world.held_out(*c)][::8]
    asked = [("|".join(c), world.STYLES[c[2]].templates[0].format(world.describe(c[0], c[0], c[1]))) for c in out]
    right = shares(model, "subject", asked)
    assert sum(right.values()) / len(right) >= 0.85

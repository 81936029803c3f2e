"""What the text encoder makes of a vocabulary, once for all runs."""

from pathlib import Path

import pytest
import torch

from erase.model.stable_diffusion import StableDiffusion
from erase.model.words import features, states

WORDS = ["a photo of a church", "a barn", "a photo of a tench"]


def test_they_are_those_of_the_unedited_encoder(model: StableDiffusion):
    heard = states(model, WORDS, rows=2)
    torch.testing.assert_close(heard.sequence, model.prompt(WORDS, edited=False).sequence)
    said = features(model, WORDS, rows=2)
    torch.testing.assert_close(said, torch.nn.functional.normalize(model.text_features(WORDS), dim=-1))


@pytest.mark.parametrize("make", [features, lambda *a: states(*a).sequence], ids=["features", "states"])
def test_they_are_made_once(make, model: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    alone = make(model, WORDS)
    model.shared = tmp_path
    assert torch.equal(make(model, WORDS), alone)
    encoder, passes = model.pipe.text_encoder, []
    encoder.register_forward_pre_hook(lambda *_: passes.append(1))
    assert torch.equal(make(model, WORDS), alone)
    assert not passes
    assert not torch.equal(make(model, WORDS[::-1]), alone)
    model.hash = "another"
    make(model, WORDS)
    assert len(passes) == 2
    assert len(list(tmp_path.glob("*.safetensors"))) == 3

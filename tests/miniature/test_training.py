"""Training the miniature, on a scale of seconds: it writes a pipeline, and goes on where it was."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from erase.errors import BadInput
from erase.miniature.training import Drawings, Judge, pretrain

STEPS = {"judge": 2, "towers": 2, "autoencoder": 2, "unet": 2}


def test_all_stages_write_a_pipeline(tmp_path: Path):
    pretrain(tmp_path / "out", tmp_path / "work", 0, 200, STEPS)
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    image = pipe("a church", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (64, 64, 3)
    again = tmp_path / "mine"
    again.mkdir()
    (again / "model_index.json").write_text("mine")
    with pytest.raises(BadInput, match="holds something else"):
        pretrain(again, tmp_path / "work", 0, 200, STEPS)
    assert (again / "model_index.json").read_text() == "mine"
    for part in ("judge/model.safetensors", "clip/model.safetensors"):
        assert (tmp_path / "out" / part).is_file()


def test_a_cut_training_ends_like_an_unbroken_one(tmp_path: Path):
    drawings, found = Drawings(tmp_path, 0, 200), []
    for folder, cut in (("whole", None), ("cut", 3)):
        torch.manual_seed(0)
        stage = Judge(0, 5, drawings)
        if cut:
            stage.fit(tmp_path / folder, until=cut)
            torch.manual_seed(99)
            stage = Judge(0, 5, drawings)
        stage.fit(tmp_path / folder)
        found.append(stage.network.state_dict())
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name

"""The shipped miniature."""

from pathlib import Path

import numpy as np
import torch

from erase.judge.drawings import Drawings as Judge
from erase.miniature import WEIGHTS, painters, world
from erase.model.stable_diffusion import StableDiffusion


def test_it_is_small():
    assert sum(f.stat().st_size for f in Path(WEIGHTS).rglob("*") if f.is_file()) < 30e6


def test_nothing_is_pickled():
    assert {f.suffix for f in Path(WEIGHTS).rglob("*") if f.is_file()} <= {".safetensors", ".json", ".txt"}


def test_the_judge_knows_drawings_it_never_saw():
    scenes = [world.scene(777, i) for i in range(300)]
    images = torch.from_numpy(np.stack([painters.picture(s) for s in scenes])).permute(0, 3, 1, 2)
    said = Judge().probabilities(images)["subject"].argmax(-1)
    right = [world.LABELS[i] == s.subject for i, s in zip(said.tolist(), scenes, strict=True)]
    assert sum(right) / len(right) >= 0.97


def test_the_pipeline_draws_what_is_asked_for(model: StableDiffusion):
    judge, labels = Judge(), [s for s in world.SUBJECTS for _ in range(3)]
    prompts = [f"a photo of {world.describe(label, label)}" for label in labels]
    images = torch.cat([model.images(prompts[i : i + 24], range(i, i + 24), 20, 4.0) for i in range(0, 72, 24)])
    said = judge.probabilities(images)["subject"].argmax(-1)
    right = [world.LABELS[i] == label for i, label in zip(said.tolist(), labels, strict=True)]
    assert sum(right) / len(right) >= 0.9

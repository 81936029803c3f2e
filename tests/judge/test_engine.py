"""Drawing once, judging what was drawn."""

from pathlib import Path

import torch

from erase.concept import Concept
from erase.judge.drawings import Drawings as Judge
from erase.judge.engine import Engine
from erase.model.stable_diffusion import StableDiffusion
from erase.protocol.drawings import Drawings as Protocol

CHURCH, NUDITY = (Concept(name, (name,)) for name in ("church", "nudity"))


def test_drawn_once_and_shared_between_concepts(model: StableDiffusion, tmp_path: Path):
    judge, protocol = Judge(), Protocol(images=1, kept_images=1, steps=1, guidance_scale=4)
    engine = Engine(model, judge, protocol, tmp_path)
    church = protocol.cells([CHURCH], judge.label)
    first = engine.judge_cells(church, "", None)
    drawn = model.cost.forwards
    assert drawn == 2 * len(church)
    again = engine.judge_cells(church, "", None)
    assert model.cost.forwards == drawn
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, again, strict=True))
    engine.judge_cells(protocol.cells([NUDITY], judge.label), "", None)
    # its own two cells, and the two batches of eight labels in which church came back and nude is missing
    assert model.cost.forwards - drawn <= 2 * (2 + 8 + 8)


def test_labels_come_from_the_judge(model: StableDiffusion, tmp_path: Path):
    judge, protocol = Judge(), Protocol(images=2, kept_images=2, steps=2, guidance_scale=4)
    for judged in Engine(model, judge, protocol, tmp_path).judge_cells(protocol.cells([], judge.label), "", None):
        own = judged.labels.index(judged.cell.label)
        assert judged.hits.tolist() == [t == judged.cell.label for t in judged.top]
        assert (judged.probabilities[judged.cell.head].argmax(-1) == own).tolist() == judged.hits.tolist()
        assert judged.rank(len(judged.labels)).all()

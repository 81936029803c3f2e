"""Drawing once, judging what was drawn."""

from pathlib import Path

import torch
from conftest import retrain

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


def test_a_retrained_network_is_drawn_once_for_all_runs(model: StableDiffusion, tmp_path: Path):
    judge, protocol = Judge(), Protocol(images=1, kept_images=1, steps=1, guidance_scale=4)
    church = protocol.cells([CHURCH], judge.label)[:9]
    retrain(tmp_path / "truths", model, "church")

    def drawn(folder: str, moving: str) -> tuple[StableDiffusion, torch.Tensor]:
        """By another run's model, of which other weights moved."""
        other = StableDiffusion("miniature", retrained=str(tmp_path / folder))
        other.move(n for n, _ in other.named_parameters() if moving in n)
        other.put({n: p + 0.1 for n, p in other.moving.items()})
        with other.as_if(other.retrained(["church"])):
            judged = Engine(other, judge, protocol, tmp_path).judge_cells(church, "", None)
        return other, torch.cat([j.images for j in judged])

    first, pictures = drawn("truths", "attn2")
    assert first.cost.forwards == 2 * len(church)
    again, same = drawn("truths", "attn1")
    assert again.cost.forwards == 0
    assert torch.equal(pictures, same)
    unedited = Engine(model, judge, protocol, tmp_path).judge_cells(church, "", None)
    assert not torch.equal(torch.cat([j.images for j in unedited]), pictures)
    retrain(tmp_path / "others", model, "church", scale=0.98)
    assert drawn("others", "attn2")[0].cost.forwards == 2 * len(church)


def test_labels_come_from_the_judge(model: StableDiffusion, tmp_path: Path):
    judge, protocol = Judge(), Protocol(images=1, kept_images=1, steps=1, guidance_scale=4, fraction=0.2)
    for judged in Engine(model, judge, protocol, tmp_path).judge_cells(protocol.cells([], judge.label), "", None):
        own = judged.labels.index(judged.cell.label)
        assert judged.hits.tolist() == [t == judged.cell.label for t in judged.top]
        assert (judged.probabilities[judged.cell.head].argmax(-1) == own).tolist() == judged.hits.tolist()
        assert judged.rank(len(judged.labels)).all()

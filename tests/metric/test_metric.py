"""Figures against direct computation."""

import math

import pytest
import torch

from erase.judge.engine import Judged
from erase.metric import PairedDrop, Share
from erase.metric.figures import figures
from erase.protocol import Cell
from erase.protocol.drawings import Drawings


def test_share_is_wilsons():
    share = Share()
    share.update(torch.tensor([True] * 9))
    share.update(torch.tensor([False]))
    p, low, high = share.compute()
    assert p == pytest.approx(0.9)
    for end in (low, high):  # its ends solve |p - q| = z sqrt(q (1 - q) / n)
        assert abs(0.9 - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / 10), rel=1e-4)


def test_share_at_the_ends_is_no_certainty():
    share = Share()
    share.update(torch.ones(8, dtype=torch.bool))
    assert share.compute()[0] == 1
    assert 0.6 < share.compute()[1] < 0.7


def test_drop_is_paired():
    same, moved = PairedDrop(), PairedDrop()
    before = torch.rand(200, generator=torch.Generator().manual_seed(0))
    same.update(before, before)
    assert same.compute() == (0, 0, 0)
    moved.update(before, before - 0.25)
    assert moved.compute() == pytest.approx((0.25, 0.25, 0.25), abs=1e-6)


def judged(role: str, label: str, right: str) -> Judged:
    """Pictures of `label`, named rightly where `right` has a 1, on a head that knows two labels."""
    hits = torch.tensor([int(r) for r in right])
    cell = Cell(role, "subject", label, "", ("x",) * len(right), tuple(range(len(right))))
    own = ("church", "barn").index(label)
    probabilities = {"subject": torch.eye(2)[torch.where(hits == 1, own, 1 - own)]}
    pictures = torch.zeros(len(right), 3, 64, 64, dtype=torch.uint8)
    scores = {"features": torch.eye(8)[: len(right)], "clip_scores": torch.arange(len(right)) * 1.0, **probabilities}
    return Judged(cell, lambda: pictures, scores, {"subject": ("church", "barn")})


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all")
def test_every_kept_label_counts_alike():
    before = [judged("sibling", "barn", "11111111"), judged("kept", "church", "1111")]
    after = [judged("sibling", "barn", "11000000"), judged("kept", "church", "1111")]
    found = figures(Drawings(images=1, kept_images=1, steps=1, guidance_scale=1), before, after)
    assert (found["psr_1_siblings"]["after"], found["psr_1_siblings"]["n"]) == (2 / 8, 8)
    assert (found["psr_1"]["after"], found["psr_1"]["n"]) == (6 / 8, 8)
    assert (found["clip_score"]["after"], found["clip_score"]["n"]) == (1.5, 8)
    assert found["kid"]["n"] == 8

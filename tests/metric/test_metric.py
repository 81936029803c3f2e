"""Figures against direct computation."""

import math

import pytest
import torch

from erase.metric import PairedDrop, Share


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


def test_two_processes_add_up():
    whole, one, two = Share(), Share(), Share()
    values = torch.tensor([True, False, True, True])
    whole.update(values)
    one.update(values[:1])
    two.update(values[1:])
    one.hits += two.hits
    one.total += two.total
    assert one.compute() == whole.compute()

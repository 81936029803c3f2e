"""Figures of made-up pictures, against direct computation."""

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.kid import KernelInceptionDistance

from erase.judge.engine import Judged
from erase.metric.figures import figures
from erase.metric.measure import ENOUGH
from erase.protocol import Cell
from erase.protocol.drawings import Drawings

LABELS = ("church", "barn", "tench")
PROTOCOL = Drawings(images=1, kept_images=1, steps=1, guidance_scale=1)
ROLES = {"church": "concept", "barn": "sibling", "tench": "kept"}


class Eye(nn.Module):
    """Features of length 1 by a fixed projection of the pixels."""

    num_features = 8

    def forward(self, images: Tensor) -> Tensor:
        way = torch.randn(images[0].numel(), self.num_features, generator=torch.Generator().manual_seed(9))
        return nn.functional.normalize(images.flatten(1).float() @ way, dim=-1)


def judged(seed: int, n: int, right: float) -> list[Judged]:
    """`n` random pictures of each label, of which the first `right` are named rightly."""
    rng, found = torch.Generator().manual_seed(seed), []
    for label, role in ROLES.items():
        named = torch.full((n, 3), 0.1)
        own, other = LABELS.index(label), (LABELS.index(label) + 1) % 3
        named[: int(right * n), own] = named[int(right * n) :, other] = 0.8
        images = torch.randint(256, (n, 3, 4, 4), generator=rng, dtype=torch.uint8)
        cell = Cell(role, "subject", label, "", (label,) * n, tuple(range(n)))
        scores = {"subject": named, "clip_scores": torch.rand(n, generator=rng), "features": Eye()(images)}
        found.append(Judged(cell, lambda images=images: images, scores, {"subject": LABELS}))
    return found


def test_without_a_retrained_network_nothing_speaks_of_it():
    found = figures(PROTOCOL, judged(0, 16, 1), judged(1, 16, 0.5))
    assert {*found} == {"esr_1", "psr_1", "psr_1_siblings", "psr_1_worst", "psr_1/barn", "psr_1/tench", "clip_score", "kid"}
    assert not [f for f in found.values() if "retrained" in f]


def test_the_retrained_network_is_the_other_end_of_every_scale():
    before, after, retrained = judged(0, 16, 1), judged(1, 16, 0.5), judged(2, 16, 0.75)
    alone, found = figures(PROTOCOL, before, after), figures(PROTOCOL, before, after, retrained)
    for name, figure in alone.items():
        assert found[name].items() >= figure.items(), name
        assert {*found[name]} - {*figure} == {"retrained", "retrained_low", "retrained_high"}
        assert found[name]["retrained_low"] < found[name]["retrained"] < found[name]["retrained_high"]
    assert (found["esr_1"]["retrained"], found["psr_1"]["retrained"]) == (0.25, 0.75)
    swapped = figures(PROTOCOL, before, retrained)
    for name in alone:  # it is measured as an edited model is
        assert found[name]["retrained"] == swapped[name]["after"]
        assert found[name]["retrained_low"] == swapped[name]["after_low"]


def test_kernel_distance_is_torchmetrics():
    before, after = judged(0, 16, 1), judged(1, 16, 1)
    metric = KernelInceptionDistance(feature=Eye(), subsets=20, subset_size=16)
    for cells, real in ((before, True), (after, False)):
        metric.update(torch.cat([j.images for j in cells[1:]]), real=real)
    torch.manual_seed(0)
    mean, std = (float(v) for v in metric.compute())
    kid = figures(PROTOCOL, before, after)["kid"]
    assert kid["after"] == pytest.approx(mean, rel=1e-4)
    assert kid["after_high"] - kid["after"] == pytest.approx(1.96 * std, rel=1e-4)
    assert (kid["before"], kid["drop"], kid["drop_low"]) == (0, -kid["after"], pytest.approx(-kid["after_high"]))


def test_distances_to_the_truth():
    before, after, retrained = (judged(seed, ENOUGH, 1) for seed in (0, 1, 2))
    after[0] = retrained[0]  # where the concept was, the edit is the truth; elsewhere it is as far as anything
    found = figures(PROTOCOL, before, after, retrained)
    for at, where in enumerate(("erased", "siblings", "far")):
        clip = found[f"distance_clip/{where}"]
        ends = [1 - (Eye()(cells[at].images) * Eye()(retrained[at].images)).sum(-1) for cells in (before, after)]
        assert (clip["before"], clip["after"]) == pytest.approx([float(e.mean()) for e in ends], abs=1e-6)
        assert clip["drop"] == pytest.approx(float((ends[0] - ends[1]).mean()), abs=1e-6)
        assert clip["n"] == ENOUGH
    near, far = found["distance_clip/erased"], found["distance_clip/far"]
    assert near["after"] == pytest.approx(0, abs=1e-6)
    assert near["drop_low"] > 0
    assert far["drop_low"] < 0 < far["drop_high"]
    kid = found["distance_kid/erased"]
    assert kid["after"] < kid["before"]
    assert kid["drop"] == pytest.approx(kid["before"] - kid["after"], abs=1e-6)


def test_few_pictures_have_no_kernel_distance():
    found = figures(PROTOCOL, *(judged(seed, ENOUGH - 1, 1) for seed in (0, 1, 2)))
    assert [n for n in found if n.startswith("distance")] == [f"distance_clip/{w}" for w in ("erased", "siblings", "far")]

"""Intervals hold what they say: 1,000 made-up studies of each kind, and two processes that add up."""

import math
import socket
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.multiprocessing as multiprocessing

from erase.metric import Mean, PairedDrop, Share
from erase.metric.figures import figure
from erase.metric.interval import Estimate, mean, mean_drop, quantile, share, share_drop, wilson
from erase.metric.measure import Measure

STUDIES = 1000
Values = npt.NDArray[np.float64]


def normal(p: float) -> float:
    """Φ⁻¹, by bisection."""
    low, high = -6.0, 6.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + math.erf(middle / math.sqrt(2))) / 2 < p else (low, middle)
    return low


def study(
    rng: np.random.Generator, rates: tuple[float, float], clusters: int, size: int, alike: float, paired: float, runs: int
) -> tuple[list[npt.NDArray[np.bool_]], npt.NDArray[np.int64]]:
    """What two models draw, (runs, pictures) each: hits of these rates, pictures of a prompt `alike`, of a seed `paired`."""
    prompt, noise = np.repeat(rng.normal(size=clusters), size), rng.normal(size=clusters * size)
    own = math.sqrt(1 - alike - paired)
    shared = math.sqrt(alike) * prompt + math.sqrt(paired) * noise
    hits = [shared + own * rng.normal(size=(runs, clusters * size)) < normal(p) for p in rates]
    return hits, np.repeat(np.arange(clusters), size)


def held(count: Callable[[np.random.Generator], npt.NDArray[np.bool_]]) -> Values:
    """The shares of studies in which each interval held."""
    rng = np.random.default_rng(7)
    return np.mean([count(rng) for _ in range(STUDIES)], 0)


@pytest.mark.parametrize(
    ("clusters", "size", "alike", "runs", "most"),
    [
        (8, 1, 0, 1, 0.97),
        (16, 1, 0, 1, 0.97),
        (64, 1, 0, 1, 0.97),
        (200, 1, 0, 1, 0.97),
        (40, 5, 0.4, 1, 0.97),
        (40, 1, 0, 3, 1),
    ],
    ids=["8 pictures", "16 pictures", "64 pictures", "200 pictures", "40 prompts of 5", "40 pictures, 3 seeds"],
)
def test_shares_and_their_differences_hold(clusters: int, size: int, alike: float, runs: int, most: float):
    """Of few seeds that differ in nothing an interval may hold too often: it cannot know."""

    def one(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        rates = (float(rng.uniform(0.01, 0.99)), float(rng.beta(0.5, 0.5) * 0.98 + 0.01))  # many near 0 and 1, as erasures are
        values, groups = study(rng, rates, clusters, size, alike, 0.3, runs)
        before, after = (Estimate.of(v, groups) for v in values)
        (low, high), (_, least, most) = share(after), share_drop(before, after)
        return np.array([low <= rates[1] <= high, least <= rates[0] - rates[1] <= most])

    assert all(0.93 <= share <= most for share in held(one))


@pytest.mark.parametrize(("clusters", "size"), [(20, 1), (40, 5), (100, 1)])
def test_means_and_their_differences_hold(clusters: int, size: int):
    def one(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        count = clusters + int(rng.integers(clusters // 4))  # or all studies would have one set of resamples
        groups, n = np.repeat(np.arange(count), size), count * size
        prompt = np.repeat(rng.gamma(4, size=count), size)  # skewed
        first, second = (prompt + rng.normal(size=(1, n)) for _ in "ab")
        (_, low, high), (_, least, most) = mean(first, groups, 399), mean_drop(first, second, groups, 399)
        return np.array([low <= 4 <= high, least <= 0 <= most])

    assert all(0.93 <= share <= 0.97 for share in held(one))


@pytest.mark.parametrize("scale", [0.3, 1, 3])
def test_means_over_training_seeds_hold(scale: float):
    def one(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        prompt, groups = rng.gamma(4, size=40), np.arange(40)
        first, second = (prompt + scale * rng.normal(size=(3, 1)) + rng.normal(size=(3, 40)) for _ in "ab")
        (_, low, high), (_, least, most) = mean(first, groups, 399), mean_drop(first, second, groups, 399)
        return np.array([low <= 4 <= high, least <= 0 <= most])

    assert all(0.93 <= share <= 0.98 for share in held(one))


@pytest.mark.parametrize("seeds", [3, 4])
@pytest.mark.parametrize("scale", [0.03, 0.08, 0.15])
def test_shares_over_training_seeds_that_differ_hold(seeds: int, scale: float):
    def one(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        rates, groups = rng.uniform(0.35, 0.65, 2), np.arange(64)
        each = [rate + np.clip(rng.normal(scale=scale, size=(seeds, 1)), -0.35, 0.35) for rate in rates]
        before, after = (Estimate.of(rng.random((seeds, 64)) < rate, groups) for rate in each)
        (low, high), (_, least, most) = share(after), share_drop(before, after)
        return np.array([low <= rates[1] <= high, least <= rates[0] - rates[1] <= most])

    assert all(share >= 0.93 for share in held(one))


def test_a_percentile_bootstrap_does_not():
    def one(rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        rates = (float(rng.uniform(0, 0.05)), float(rng.uniform(0.95, 1)))
        (before, after), groups = study(rng, rates, 16, 1, 0, 0.3, 1)
        drops = (before.astype(float) - after)[0]
        low, high = np.quantile(drops[rng.integers(16, size=(400, 16))].mean(1), (0.025, 0.975))
        _, least, most = share_drop(Estimate.of(before, groups), Estimate.of(after, groups))
        return np.array([low <= rates[0] - rates[1] <= high, least <= rates[0] - rates[1] <= most])

    bootstrap, newcombe = held(one)
    assert bootstrap < 0.7
    assert newcombe > 0.9  # 16 pictures cannot do better so near both ends


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.7062), (2, 4.30265), (5, 2.57058), (30, 2.04227), (1500, 1.96153)])
def test_students_quantile(freedom: float, t: float):
    assert quantile(freedom) == pytest.approx(t, rel=1e-3)


def test_of_independent_pictures_it_is_newcombes():
    """Method 10 of his paper, by hand: 30 pairs are yes and yes, 13 yes and no, 6 no and yes, 1 no and no."""
    pairs = [(True, True)] * 30 + [(True, False)] * 13 + [(False, True)] * 6 + [(False, False)]
    before, after = (np.array([pair[i] for pair in pairs])[None] for i in (0, 1))
    phi = (30 * 1 - 13 * 6) / math.sqrt(43 * 7 * 36 * 14)
    (l1, u1), (l2, u2) = (wilson(p, 50) for p in (43 / 50, 36 / 50))
    a, b, c, d = 43 / 50 - l1, u2 - 36 / 50, u1 - 43 / 50, 36 / 50 - l2
    ends = (0.14, 0.14 - math.sqrt(a * a - 2 * phi * a * b + b * b), 0.14 + math.sqrt(c * c - 2 * phi * c * d + d * d))
    assert share_drop(*(Estimate.of(v, np.arange(50)) for v in (before, after))) == pytest.approx(ends)


def test_many_alike_pictures_are_few():
    values = np.repeat([[True, False, True, True]], 25, 1)
    alone, clustered = (Estimate.of(values, groups) for groups in (np.arange(100), np.repeat(np.arange(4), 25)))
    assert np.diff(share(clustered)) > 3 * np.diff(share(alone))
    assert share(Estimate.of(np.ones((1, 100), bool), np.repeat(np.arange(4), 25)))[0] < 0.6


def values(part: slice) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    hits, other = torch.rand(60, generator=rng) < 0.7, torch.rand(60, generator=rng) < 0.4
    scores, clusters = torch.rand(60, generator=rng), torch.arange(60) // 3
    return [v[part] for v in (hits, other, scores, clusters)]


def computed(part: slice) -> list[float]:
    hits, other, scores, clusters = values(part)
    share_, mean_, drop = Share(), Mean(), PairedDrop()
    share_.update(hits, clusters)
    mean_.update(scores, clusters)
    drop.update(hits, other, clusters)
    return [*share_.compute(), *mean_.compute(), *drop.compute()]


def process(rank: int, port: int, found: "torch.Tensor") -> None:
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    found[rank] = torch.tensor(computed(slice(rank, None, 2)), dtype=torch.double)
    torch.distributed.destroy_process_group()


def test_two_processes_say_what_one_says():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = torch.zeros(2, 9, dtype=torch.double).share_memory_()
    multiprocessing.start_processes(process, (port, found), nprocs=2, start_method="fork")
    assert torch.equal(found[0], found[1])
    assert found[0].tolist() == pytest.approx(computed(slice(None)), abs=1e-6)


def test_of_one_prompt_nothing_follows_for_others():
    values, clusters = np.array([[0.2, 0.3, 0.4]]), np.zeros(3, np.int64)
    for value, low, high in (mean(values, clusters), mean_drop(values, values + 1, clusters)):
        assert math.isfinite(value)
        assert math.isnan(low)
        assert math.isnan(high)
    ends = {"before": torch.ones(3), "after": torch.zeros(3)}
    found = figure({who: Measure(values, torch.from_numpy(clusters)) for who, values in ends.items()})
    assert found == {"before": 1, "after": 0, "drop": 1, "n": 3}

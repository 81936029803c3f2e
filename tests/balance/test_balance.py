"""Balances: against the definitions of their papers, on gradients as they are and not by their inner products."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from erase.balance import Balance, mix
from erase.balance import gradients as taken
from erase.balance.cagrad import CAGrad
from erase.balance.min_norm import MinNorm, shortest
from erase.balance.pcgrad import PCGrad
from erase.balance.task_oriented import TaskOriented
from erase.concept import Concept
from erase.errors import BadInput
from erase.model.stable_diffusion import StableDiffusion
from erase.random import stream
from erase.task import Task

CHURCH, TENCH = Concept("church", ("a church",)), Concept("tench", ("a tench",))


def gradients(count: int, width: int = 5, seed: int = 0) -> Tensor:
    """Of which some disagree."""
    return torch.randn(count, width, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def simplex(count: int, fine: int = 60) -> Tensor:
    """Its points, `fine` a side."""
    axes = torch.cartesian_prod(*[torch.arange(fine + 1)] * (count - 1)).reshape(-1, count - 1)
    axes = axes[axes.sum(1) <= fine]
    return torch.cat([axes, fine - axes.sum(1, keepdim=True)], 1).double() / fine


def opened(balance: Balance) -> Balance:
    balance.open(Task(None, [CHURCH, TENCH], None, None, seed=3))  # type: ignore[arg-type]
    return balance


@pytest.mark.parametrize("seed", range(6))
def test_of_two_the_shortest_is_that_of_the_closed_form(seed: int):
    one, two = g = gradients(2, seed=seed)
    share = float((((two - one) @ two) / (one - two).square().sum()).clamp(0, 1))
    assert shortest(g @ g.T).tolist() == pytest.approx([share, 1 - share])


@pytest.mark.parametrize("seed", range(4))
def test_of_several_none_is_shorter_and_no_loss_rises(seed: int):
    g = gradients(3, 4, seed)
    found = MinNorm().weigh(g @ g.T, {}, 0)
    assert found.min() >= 0
    assert float(found.sum()) == pytest.approx(1)
    way = found @ g
    assert float(way.square().sum()) <= float((simplex(3) @ g).square().sum(1).min()) + 1e-9
    assert float((g @ way).min()) >= float(way.square().sum()) - 1e-9  # down the step every loss falls as much, or more


def test_a_loss_at_its_lowest_point_stops_no_other():
    g = torch.cat([gradients(2), torch.zeros(1, 5)])
    found = MinNorm().weigh(g @ g.T, {}, 0)
    assert found[2] == 0
    assert torch.equal(found[:2], shortest(g[:2] @ g[:2].T))


@pytest.mark.parametrize("balance", [MinNorm, TaskOriented, CAGrad])
def test_where_no_loss_has_a_gradient_nothing_is_weighed_and_nothing_breaks(balance: type[Balance]):
    found = balance().weigh(torch.zeros(2, 2, dtype=torch.double), {"erase": 0.0, "keep": 0.0}, 0)
    assert torch.isfinite(found).all()


def test_a_step_that_overflowed_is_the_sum_and_leaves_no_trace():
    moved, balance = [torch.nn.Parameter(torch.ones(3))], TaskOriented()
    losses = {"erase": moved[0].sum() * 1e30 * 1e30, "keep": moved[0].sum()}
    mix(balance, taken([*losses.values()], moved), {"erase": 1.0, "keep": 1.0}, moved, 0)
    assert not torch.isfinite(moved[0].grad).all()  # so that the scaler sees it
    assert not balance.state_dict()


@pytest.mark.parametrize("seed", range(4))
def test_surgery_is_that_of_the_vectors(seed: int):
    g = gradients(4, 4, seed)
    found, rng = opened(PCGrad()).weigh(g @ g.T, {}, 7) @ g, stream(3, "pcgrad", 7)
    left = []
    for i in range(4):
        own = g[i].clone()
        for j in torch.randperm(4, generator=rng).tolist():
            if j != i and own @ g[j] < 0:
                own = own - (own @ g[j]) / g[j].square().sum() * g[j]
        left.append(own)
    torch.testing.assert_close(found, torch.stack(left).sum(0))
    against = g @ g.T < 0
    assert torch.allclose(found, g.sum(0)) != bool(against.any())


@pytest.mark.parametrize("seed", range(4))
def test_averse_to_conflict(seed: int):
    g = gradients(3, 4, seed)
    mean = g.mean(0)
    way = CAGrad(0.5).weigh(g @ g.T, {}, 0) @ g / 3
    assert float((way - mean).norm()) == pytest.approx(0.5 * float(mean.norm()), rel=1e-6)
    mixtures = simplex(3) @ g
    dual = (mixtures @ mean + 0.5 * mean.norm() * mixtures.norm(dim=1)).min()  # the best that the worst off can have
    assert float((g @ way).min()) == pytest.approx(float(dual), abs=0.02)
    assert float((g @ way).min()) > float((g @ mean).min())
    torch.testing.assert_close(CAGrad(0.0).weigh(g @ g.T, {}, 0) @ g, g.sum(0))


def test_weight_leaves_what_is_achieved_and_comes_back():
    g, balance = torch.eye(3, dtype=torch.double), TaskOriented(memory=0.0)
    for step in range(60):
        early = balance.weigh(g @ g.T, {"erase/a": 1.0, "erase/b": 1.0, "keep": 0.0}, step)
    assert early[2] < 0.05
    assert early[:2].tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    for step in range(60):
        late = balance.weigh(g @ g.T, {"erase/a": 0.01, "erase/b": 1.0, "keep": 0.2}, step)
    assert late[0] < 0.05
    assert late[1:].tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    done = balance.weigh(g @ g.T, {"erase/a": 0.01, "erase/b": 0.01, "keep": 0.0}, 99)
    assert torch.isfinite(done).all()
    again = TaskOriented(memory=0.0)
    again.load_state_dict(balance.state_dict())
    said = {"erase/a": 0.3, "erase/b": 0.01, "keep": 0.2}
    assert torch.equal(again.weigh(g @ g.T, said, 0), balance.weigh(g @ g.T, said, 0))


class Fixed(Balance):
    def weigh(self, gram: Tensor, losses: dict[str, float], step: int) -> Tensor:
        self.gram = gram
        return torch.tensor([2.0, -0.5], dtype=torch.double)


def test_what_is_stepped_along_is_the_weighted_sum_and_every_backward_pass_counts(model: StableDiffusion, tmp_path: Path):
    model.move(n for n, _ in model.named_parameters() if n.endswith("attn2.to_k.weight") and n.startswith("unet."))
    moved, balance = list(model.moving.values()), Fixed()
    said = model.predict(model.noise([0, 1]), torch.tensor(500), model.prompt(["a church", "a barn"]))
    losses = {"erase": said[0].square().mean(), "keep": said[1].abs().mean()}
    one, other = (torch.autograd.grad(loss, moved, retain_graph=True) for loss in losses.values())
    counted = model.cost.backwards
    mix(balance, taken([*losses.values()], moved), {}, moved, 0)
    assert model.cost.backwards == counted + 2 * 2
    for parameter, a, b in zip(moved, one, other, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * a - 0.5 * b)
    flat = [torch.cat([g.flatten() for g in found]).double() for found in (one, other)]
    torch.testing.assert_close(balance.gram, torch.stack(flat) @ torch.stack(flat).T)


def test_every_concept_has_a_loss_of_its_own_and_their_sum_is_the_erasure_s(model: StableDiffusion, tmp_path: Path):
    from conftest import composed

    from erase.job import objective

    quick = ["latents.steps=2", "latents.trajectories=1", "latents.kept_trajectories=1", "batch_size=4", "steps=1"]

    def losses(*more: str) -> dict[str, float]:
        config = composed("method=esd", "concept=[church,tench]", *quick, *more)
        method = objective(config, lambda: StableDiffusion("miniature", vocabulary="miniature"), tmp_path / "-".join(more))
        method.on_fit_start()
        return {name: float(value.detach()) for name, value in method.losses(0).items()}

    weighed = losses("method=kpop", "method.erase_without=3.0", "balance=pcgrad")
    assert [*weighed] == ["erase/church", "erase/tench", "recover"]
    assert sum(weighed[n] for n in [*weighed][:2]) == pytest.approx(3 * losses()["erase"], rel=1e-4)
    apart, whole = losses("balance=pcgrad"), losses()
    assert [*apart] == ["erase/church", "erase/tench"]
    assert sum(apart.values()) == pytest.approx(whole["erase"])
    with pytest.raises(BadInput, match="method=uce goes down on no loss, so there is nothing to weigh: balance=sum"):
        losses("method=uce", "balance=pcgrad")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TaskOriented(goal=1.0), "balance.goal=1.0 must be between 0 and 1"),
        (lambda: TaskOriented(memory=1.0), "balance.memory=1.0"),
        (lambda: TaskOriented(push=-1.0), "balance.push=-1.0 must not be negative"),
        (lambda: CAGrad(1.0), "balance.c=1.0"),
    ],
)
def test_nonsense_is_refused(make: object, says: str):
    with pytest.raises(BadInput, match=says):
        make()  # type: ignore[operator]

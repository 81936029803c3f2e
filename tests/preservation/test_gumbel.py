"""The published search: what is drawn, what moves, and that a resume goes on with the same bits."""

from pathlib import Path

import pytest
import torch

from erase.concept import Concept
from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.model.stable_diffusion import StableDiffusion
from erase.preservation.adversarial import Adversarial
from erase.preservation.gumbel import Gumbel, Mixture
from erase.random import stream
from erase.task import Task

CANDIDATES = ["a barn", "a house", "a tench", "a golf ball"]
CONCEPTS = [Concept("church", ("church",)), Concept("parachute", ("parachute",))]


def opened(model: StableDiffusion, folder: Path, **fields: object) -> Adversarial:
    bank = Bank(trajectories=1, kept_trajectories=1, steps=2)
    bank.open(model, 0, folder)
    strategy = Adversarial(search="gumbel", **fields)
    strategy.open(Task(model, CONCEPTS, bank, Squared(), seed=0), CANDIDATES)
    return strategy


@pytest.fixture
def hurt(model: StableDiffusion) -> StableDiffusion:
    model.move(n for n, _ in model.named_parameters() if "attn2" in n)
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def test_a_draw_is_a_gumbel_softmax():
    near, rng = torch.tensor([True, True, False, True]), stream(0, "test")
    mixture = Mixture(near, temperature=2.0, hard=True, top=None)
    torch.testing.assert_close(mixture.logits.detach(), torch.tensor([1 / 3, 1 / 3, -torch.inf, 1 / 3]))
    share = mixture.draw(rng)
    u = torch.rand(4, generator=stream(0, "test"))
    logits = torch.tensor([1 / 3, 1 / 3, -1e30, 1 / 3], requires_grad=True)
    soft = torch.softmax((logits - (-(u + 1e-10).log() + 1e-10).log()) / 2, 0)
    assert torch.equal(share.detach(), torch.nn.functional.one_hot(soft.argmax(), 4).float())
    weigh = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (ours,), (theirs,) = (torch.autograd.grad((s * weigh).sum(), x) for s, x in ((share, mixture.logits), (soft, logits)))
    torch.testing.assert_close(ours, theirs)
    drawn = torch.stack([mixture.draw(rng).detach() for _ in range(300)]).mean(0)
    assert drawn[2] == 0
    torch.testing.assert_close(drawn[near], torch.full((3,), 1 / 3), atol=0.1, rtol=0)


def test_a_soft_draw_mixes_the_likeliest():
    mixture = Mixture(torch.ones(5, dtype=torch.bool), temperature=1.0, hard=False, top=2)
    share, whole = mixture.draw(stream(0, "test")), Mixture(torch.ones(5, dtype=torch.bool), 1.0, False, None)
    soft = whole.draw(stream(0, "test"))
    assert int((share > 0).sum()) == 2
    torch.testing.assert_close(share.sum(), torch.tensor(1.0))
    torch.testing.assert_close(soft.sum(), torch.tensor(1.0))
    torch.testing.assert_close(share.max() / share[share > 0].min(), soft.topk(2).values[0] / soft.topk(2).values[1])


def test_a_step_moves_the_logits_and_nothing_else(hurt: StableDiffusion, tmp_path: Path):
    strategy = opened(hurt, tmp_path, search_lr=0.05)
    assert isinstance(strategy.search, Gumbel)
    strategy.choose(0, 2)
    assert hurt.cost.forwards == hurt.cost.backwards == 0  # before the first update nothing is hurt
    strategy.choose(1, 2)
    for mixture in strategy.search.mixtures:
        moved = (mixture.logits.detach() - 1 / 4).abs()
        torch.testing.assert_close(moved, torch.full((4,), 0.05), atol=1e-3, rtol=0)  # Adam's first step
    one, two = (m.logits.detach() for m in strategy.search.mixtures)
    assert not torch.equal(one, two)  # each concept's are its own
    assert all(p.grad is None for p in hurt.moving.values())
    assert hurt.cost.backwards == 2


def test_what_is_hurt_most_becomes_likelier(hurt: StableDiffusion, tmp_path: Path, monkeypatch):
    """On a keep loss that is worst for one candidate whatever the point."""
    strategy = opened(hurt, tmp_path, search_lr=0.2, every=1)
    (worst,) = hurt.prompt(["a tench"]).sequence
    monkeypatch.setattr(type(strategy.search.game), "hurt", lambda *heard: -(heard[2].sequence - worst).square().mean((1, 2)))
    for step in range(30):
        strategy.choose(step, 2)
    news = strategy.chosen()
    assert news is not None
    assert news["step"] == 29
    assert news["chosen"] == ["a tench"]
    assert news["scores"]["a tench"] == max(news["scores"].values()) > 0.5
    assert strategy.chosen() is None


@pytest.mark.parametrize("hard", [True, False])
def test_a_resume_goes_on_with_the_same_bits(hard: bool, hurt: StableDiffusion, tmp_path: Path):
    one, two = (opened(hurt, tmp_path, hard=hard, search_steps=2) for _ in range(2))
    for step in range(3):
        one.choose(step, 2)
    torch.save(one.state_dict(), tmp_path / "state")
    two.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for step in (3, 4):
        assert one.choose(step, 2).prompts == two.choose(step, 2).prompts
    state = two.state_dict()
    assert {*state} == {f"{i} {name}" for i in (0, 1) for name in ("logits", "step", "exp_avg", "exp_avg_sq")}
    for name, value in one.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_a_mixture_is_held_by_its_likeliest_word(model: StableDiffusion, tmp_path: Path):
    strategy = opened(model, tmp_path, hard=False, top=2, temperature=0.5)
    kept = strategy.choose(0, 3)
    said = model.prompt(CANDIDATES).sequence
    assert kept.conditioning is not None
    for word, heard in zip(kept.prompts, kept.conditioning.sequence, strict=True):
        share = torch.linalg.lstsq(said.flatten(1).T, heard.flatten()[:, None]).solution[:, 0]
        assert int((share > 1e-3).sum()) == 2
        assert word == CANDIDATES[int(share.argmax())]
        torch.testing.assert_close(share.sum(), torch.tensor(1.0), atol=1e-3, rtol=0)


def test_a_text_encoder_that_moves_is_not_mixed(model: StableDiffusion, tmp_path: Path):
    model.move(n for n, _ in model.named_parameters() if n.startswith("text_encoder."))
    opened(model, tmp_path).choose(1, 2)
    with pytest.raises(BadInput, match=r"preservation\.hard=false"):
        opened(model, tmp_path, hard=False)

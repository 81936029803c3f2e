"""Where points are taken, and what that does to a gradient."""

from pathlib import Path

import pytest
import torch

from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.latents.noised import Noised
from erase.latents.proposal import Proposal
from erase.model.stable_diffusion import StableDiffusion
from erase.random import stream

ERRORS = torch.tensor([4.0, 1.0, 0.5, 0.1, 0.02])


def told(*uses: str) -> Proposal:
    proposal = Proposal("loss", len(ERRORS))
    for use in uses:
        for step in range(60):
            places, _ = proposal.draw(4, use, stream(0, use, step))
            proposal.tell(use, places, ERRORS[places])
    return proposal


def test_late_prefers_the_noisy_end_by_a_line():
    shares = Proposal("late", 4).shares("erase")
    torch.testing.assert_close(shares, torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.double))
    places, weights = Proposal("late", 20).draw(4000, "erase", stream(0, "test"))
    assert (weights == 1).all()
    assert (places < 6).float().mean() == pytest.approx(0.5, abs=0.03)  # (20 + … + 15) / 210


def test_loss_takes_places_by_their_errors_and_keeps_the_expectation():
    proposal = told("erase")
    shares = proposal.shares("erase")
    assert shares.sum() == pytest.approx(1)
    torch.testing.assert_close(shares, (0.8 * ERRORS / ERRORS.sum() + 0.2 / 5).double(), rtol=1e-5, atol=1e-6)
    places, weights = proposal.draw(20_000, "erase", stream(0, "test"))
    plain = ERRORS[torch.randint(5, (20_000,), generator=stream(0, "plain"))]
    weighed = weights * ERRORS[places]
    assert weighed.mean() == pytest.approx(float(ERRORS.mean()), rel=0.02)
    assert weighed.var() < 0.2 * plain.var()
    assert weights.max() <= 5


def test_uses_have_errors_of_their_own_and_nobody_is_preferred_unheard():
    proposal = told("erase")
    torch.testing.assert_close(proposal.shares("keep"), torch.full((5,), 0.2, dtype=torch.double))
    proposal.tell("keep", torch.tensor([1]), torch.tensor([3.0]))  # of the others nothing is known: alike
    torch.testing.assert_close(proposal.shares("keep"), torch.full((5,), 0.2, dtype=torch.double))
    proposal.tell("still", torch.tensor([1, 2]), torch.zeros(2))
    torch.testing.assert_close(proposal.shares("still"), torch.full((5,), 0.2, dtype=torch.double))


@pytest.mark.parametrize("kind", ["uniform", "late"])
def test_what_does_not_listen_has_no_state(kind: str):
    proposal = Proposal(kind, 5)
    proposal.tell("erase", torch.tensor([1]), torch.tensor([3.0]))
    assert not proposal.means


@pytest.mark.parametrize("latents", [Bank(1, 1, steps=5, proposal="loss"), Noised(1, 1, steps=2, proposal="loss")])
def test_points_tell_where_they_come_from(latents: Bank | Noised, model: StableDiffusion, tmp_path: Path):
    latents.open(model, 0, tmp_path)
    for step in range(12):
        points = latents.draw(["a church"] * 4, "erase", step)
        points.tell((points.t > 700).float() + 0.01)
    noisy = latents.proposal.places * 3 // 10
    assert latents.proposal.shares("erase")[:noisy].sum() > 0.7
    again = type(latents)(1, 1, steps=latents.steps, proposal="loss")
    again.open(model, 0, tmp_path)
    again.load_state_dict(latents.state_dict())
    a, b = (it.draw(["a church"] * 4, "erase", 12) for it in (latents, again))
    assert torch.equal(a.x_t, b.x_t)
    assert torch.equal(a.weight, b.weight)
    scores = latents.draw(["a church", "a barn"], "score 0", 0, common=True)
    assert (scores.weight == 1).all()


def test_nonsense_is_refused():
    with pytest.raises(BadInput, match=r"latents\.proposal=early is not one of: uniform, late, loss\."):
        Bank(proposal="early")

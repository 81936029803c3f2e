"""The spaces of the error against the quantities that they name."""

import pytest
import torch

from erase.errors import BadInput
from erase.loss import Squared
from erase.random import stream

RNG = stream(0, "loss")
X_T, OURS, THEIRS = (torch.randn((4, 2, 3, 3), generator=RNG) for _ in range(3))
ALPHA = torch.tensor([0.99, 0.7, 0.2, 0.01])  # cumulative
SNR = ALPHA / (1 - ALPHA)


def told(space: str, eps: torch.Tensor) -> torch.Tensor:
    """A noise prediction as what `space` names: x_t = √ᾱ x₀ + √(1−ᾱ) ε and v = √ᾱ ε − √(1−ᾱ) x₀."""
    a, s = (v.sqrt().view(-1, 1, 1, 1) for v in (ALPHA, 1 - ALPHA))
    x0 = (X_T - s * eps) / a
    return {"eps": eps, "x0": x0, "v": a * eps - s * x0}[space]


@pytest.mark.parametrize("space", ["eps", "x0", "v"])
def test_the_error_is_that_of_what_the_space_names(space: str):
    wanted = (told(space, OURS) - told(space, THEIRS)).square().mean((1, 2, 3))
    torch.testing.assert_close(Squared(space).each(OURS, THEIRS, SNR), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", ["eps", "x0", "v"])
def test_min_snr_is_the_same_in_every_space(space: str):
    picture = (told("x0", OURS) - told("x0", THEIRS)).square().mean((1, 2, 3))
    found = Squared(space, "min_snr", gamma=2.0).each(OURS, THEIRS, SNR)
    torch.testing.assert_close(found, SNR.clamp(max=2.0) * picture, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("field", "value"), [("space", "pixels"), ("weight", "some"), ("gamma", 0.0)])
def test_nonsense_is_refused(field: str, value: object):
    with pytest.raises(BadInput, match=f"loss.{field}={value}"):
        Squared(**{field: value})

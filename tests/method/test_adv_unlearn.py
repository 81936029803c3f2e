"""What makes AdvUnlearn more than its parts: how much is retained, and that somebody attacks."""

from pathlib import Path

import pytest

from erase.adversary import Nobody
from erase.adversary.soft import SoftPrompt
from erase.concept import Concept
from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.method.adv_unlearn import AdvUnlearn
from erase.model.stable_diffusion import StableDiffusion
from erase.parameters.text_encoder import TextEncoder
from erase.preservation.fixed import Fixed
from erase.target import Negative

CHURCH = Concept("church", ("church",))


def method(model: StableDiffusion, folder: Path, adversary: object, retain_batch: int = 3) -> AdvUnlearn:
    shared = {"latents": Bank(trajectories=1, steps=2), "target": Negative(), "preservation": Fixed(["a barn"], 0.5)}
    given = {"steps": 3, "lr": 1e-3, "lr_schedule": "linear", "batch_size": 2, "seed": 0, "work": folder}
    parts = {"concepts": [CHURCH], "parameters": TextEncoder(), "loss": Squared(), "adversary": adversary, **shared, **given}
    return AdvUnlearn(retain_batch, model=model, **parts)


def test_as_many_are_retained_as_asked_and_weighed(model: StableDiffusion, tmp_path: Path):
    erasing = method(model, tmp_path, SoftPrompt(steps=1, warmup=0.0))
    erasing.on_fit_start()
    model.put({n: 1.05 * w for n, w in model.moving.items()})
    losses = erasing.losses(0)
    assert model.cost.backwards == 2
    kept = erasing.latents.draw(["a barn"] * 3, "keep", 0)
    theirs = model.predict(kept.x_t, kept.t, model.prompt(["a barn"] * 3)) - kept.conditional
    assert float(losses["keep"].detach()) == pytest.approx(0.5 * float(theirs.square().mean()), rel=1e-3)
    sum(losses.values()).backward()
    assert model.cost.backwards == 2 + 2 + 3


def test_nonsense_is_refused(model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=r"method\.retain_batch=0 must be at least 1"):
        method(model, tmp_path, SoftPrompt(), 0)
    with pytest.raises(BadInput, match="method=adv_unlearn trains against somebody"):
        method(model, tmp_path, Nobody())

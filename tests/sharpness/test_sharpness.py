"""Where gradients are taken: the papers' ways there, and what an update asks again, and what not."""

from pathlib import Path

import pytest
import torch
from conftest import composed
from torch import Tensor

from erase.errors import BadInput
from erase.job import objective
from erase.method.base import Method
from erase.model.stable_diffusion import StableDiffusion
from erase.sharpness import Sharpness, displaced, retake
from erase.sharpness.agnostic_sam import AgnosticSAM
from erase.sharpness.aligned import Aligned
from erase.sharpness.sam import SAM

E, K = [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])], [torch.tensor([-2.0]), torch.tensor([[0.0, 0.0]])]  # ‖E‖ 5, ‖K‖ 2


def flat(way: list[Tensor] | None) -> list[float]:
    assert way is not None
    return torch.cat([part.flatten() for part in way]).tolist()


def test_the_ways_are_the_papers():
    assert flat(SAM(0.5).ways(E, K)[0]) == pytest.approx([0.3, 0.0, 0.4])
    assert flat(AgnosticSAM(0.5, 0.1).ways(E, K)[0]) == pytest.approx([0.3 + 0.1, 0.0, 0.4])
    assert SAM().ways(E, K)[1] is AgnosticSAM().ways(E, K)[1] is None
    erase, keep = Aligned(0.5, 0.2).ways(E, K)  # θ + ρ g / ‖g‖ − a g' / (‖g‖ ‖g'‖)
    assert flat(erase) == pytest.approx([0.3 + 0.2 * 2 / 10, 0.0, 0.4])
    assert flat(keep) == pytest.approx([-0.5 - 0.2 * 3 / 10, 0.0, -0.2 * 4 / 10])
    small = [1e-6 * part for part in K]
    assert flat(Aligned(0.5, 0.2).ways(E, small)[1]) == pytest.approx([-0.5 - 0.3, 0.0, -0.4])  # 0.2 / 2e-6 would be far


@pytest.mark.parametrize("sharpness", [SAM(), AgnosticSAM(), Aligned()])
def test_before_anything_is_hurt_the_way_is_finite(sharpness: Sharpness):
    none = [torch.zeros_like(part) for part in K]
    for way in (*sharpness.ways(E, none), *sharpness.ways(none, none)):
        assert way is None or torch.isfinite(torch.tensor(flat(way))).all()


def test_what_was_displaced_is_where_it_was_though_something_fails():
    weight = torch.nn.Parameter(torch.rand(1000))
    before = weight.detach().clone()

    def fails() -> None:
        with displaced([weight], [torch.full((1000,), 1e3)]):
            assert not torch.equal(weight, before)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert torch.equal(weight, before)


def test_gradients_are_those_of_there_and_the_rise_says_how_sharp():
    """f = a x², g = b y: at x + ρ the slope of f is 2 a (x + ρ), and f is a ((x + ρ)² − x²) higher."""
    moved = [torch.nn.Parameter(torch.tensor([2.0])), torch.nn.Parameter(torch.tensor([1.0]))]

    def losses() -> dict[str, Tensor]:
        return {"erase/a": 3 * moved[0].square().sum(), "keep": 5 * moved[1].sum()}

    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    each = [[torch.tensor([12.0 * 64]), torch.zeros(1)], [torch.zeros(1), torch.tensor([5.0 * 64])]]
    rises = retake(SAM(0.5), {"erase/a": 12.0, "keep": 5.0}, each, moved, losses, scaler)
    assert rises == {"rise/erase": pytest.approx(3 * 2.5**2 - 12)}
    assert [[part.item() / 64 for part in gradient] for gradient in each] == [[pytest.approx(15.0), 0.0], [0.0, 5.0]]
    rises = retake(Aligned(0.5, 0.0), {"erase/a": 12.0, "keep": 5.0}, each, moved, losses, scaler)
    assert rises == {"rise/erase": pytest.approx(6.75), "rise/keep": pytest.approx(2.5)}


def method(model: StableDiffusion, folder: Path, *choices: str) -> Method:
    drawing = ["latents.steps=3", "latents.trajectories=1", "latents.kept_trajectories=1", "batch_size=2", "steps=4"]
    found = objective(composed("concept=church", *drawing, *choices), lambda: model, folder)
    found.on_fit_start()
    return found


def test_asked_again_an_update_draws_and_chooses_nothing_and_tells_nobody(model: StableDiffusion, tmp_path: Path, monkeypatch):
    candidates = Path(__file__).parents[1] / "candidates.txt"
    searched = [f"preservation.vocabulary={candidates}", "preservation.every=1", "preservation.points=1"]
    eap = method(model, tmp_path, "method=adv_preserve", *searched, "latents.proposal=loss", "sharpness=aligned")
    drawn: list[str] = []
    draw, choose = eap.latents.draw, eap.preservation.choose
    monkeypatch.setattr(eap.latents, "draw", lambda p, use, step, **k: drawn.append(use) or draw(p, use, step, **k))
    monkeypatch.setattr(eap.preservation, "choose", lambda *asked: drawn.append("choose") or choose(*asked))
    first = eap.losses(1)
    assert drawn == ["choose", "score 0", "erase", "keep"]
    means, cost = {n: m.clone() for n, m in eap.latents.state_dict().items()}, model.cost.forwards
    again = eap.losses(1)
    assert len(drawn) == 4
    assert model.cost.forwards == cost + 2 * 2  # the edited network's pass alone
    for name, loss in first.items():
        torch.testing.assert_close(again[name], loss)
    for name, mean in eap.latents.state_dict().items():
        assert torch.equal(mean, means[name])


def test_an_adversary_is_asked_again_without_attacking(model: StableDiffusion, tmp_path: Path):
    esd = method(model, tmp_path, "method=esd", "adversary=fast", "adversary.warmup=0.0", "sharpness=sam")
    esd.losses(0)
    cost = vars(model.cost).copy()
    esd.losses(0)
    assert vars(model.cost) == cost | {"forwards": cost["forwards"] + 2}


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        (["method=esd", "sharpness=aligned"], "sharpness=aligned looks at what is held, and preservation holds nothing"),
        (["method=esd", "sharpness=agnostic_sam"], "sharpness=agnostic_sam looks at what is held"),
        (["method=uce", "sharpness=sam"], "method=uce goes down on no loss, which could be sharp: sharpness=none"),
        (["method=esd", "sharpness=sam", "sharpness.radius=0.0"], "sharpness.radius=0.0 must be greater than 0"),
        (["method=adv_preserve", "sharpness=aligned", "sharpness.align=-1.0"], "sharpness.align=-1.0 must not be negative"),
    ],
)
def test_what_makes_no_sense_is_refused(choices: list[str], says: str, model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=says):
        objective(composed("concept=church", *choices), lambda: model, tmp_path)

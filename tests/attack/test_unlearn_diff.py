"""The search for words: the projection, Adam, and what it finds on a victim that answers at once."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from erase.attack import Ground, Job, Turn
from erase.attack.unlearn_diff import UnlearnDiff, simplex
from erase.concept import Concept
from erase.errors import BadInput
from erase.model.stable_diffusion import StableDiffusion
from erase.random import stream

CHURCH = Concept("church", ("church",))


@pytest.mark.parametrize("shape", [(7, 5), (3, 2, 990), (4, 1)])
def test_projection_is_the_nearest_point_of_the_simplex(shape: tuple[int, ...]):
    """Against bisection for the threshold τ of Σ max(v − τ, 0) = 1; and no point of the simplex is nearer."""
    values = torch.randn(shape, generator=stream(0, "test"), dtype=torch.double)
    found = simplex(values)
    low, high = values.amin(-1, keepdim=True) - 1, values.amax(-1, keepdim=True)
    for _ in range(80):
        middle = (low + high) / 2
        above = (values - middle).clamp(min=0).sum(-1, keepdim=True) > 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    torch.testing.assert_close(found, (values - high).clamp(min=0), atol=1e-9, rtol=0)
    torch.testing.assert_close(found.sum(-1), torch.ones(shape[:-1], dtype=torch.double))
    assert (found >= 0).all()
    torch.testing.assert_close(simplex(found), found)


def test_a_step_is_torchs_adam_with_decay_and_the_projection():
    attack = UnlearnDiff(step_size=0.02, weight_decay=0.1)
    start = simplex(torch.randn((2, 3, 8), generator=stream(0, "test")))
    kept = {"shares": start.clone(), "mean": torch.zeros_like(start), "square": torch.zeros_like(start)}
    theirs = start.clone().requires_grad_()
    adam = torch.optim.Adam([theirs], 0.02, weight_decay=0.1)
    for made in (1, 2, 3):
        gradient = torch.randn(start.shape, generator=stream(0, "gradient", made))
        attack.step(kept, gradient, torch.full((2,), made))
        theirs.grad = gradient
        adam.step()
        theirs.data = simplex(theirs.data)
    torch.testing.assert_close(kept["shares"], theirs.detach())


class Quick:
    """A victim of which the right words are known: its error is the distance of what it hears from them."""

    def __init__(self, model: StableDiffusion, wanted: str) -> None:
        self.model, self.wanted = model, model.embed(model.tokenize([wanted]))[0].detach()
        self.calls: list[int] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def encode(self, ids: Tensor, embeddings: Tensor) -> Tensor:
        return embeddings

    def predict(self, x_t: Tensor, t: Tensor, heard: Tensor) -> Tensor:
        self.calls.append(len(x_t))
        far = (heard - self.wanted).square().sum((1, 2))
        return self.noise + (far + 1e-6).sqrt()[:, None, None, None]

    @property
    def noise_scheduler(self) -> "Quick":
        return self

    config = type("Config", (), {"num_train_timesteps": 1000})

    def add_noise(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        self.noise, self.pictures = noise, x
        self.times = t.tolist()
        return x


def ground(model: object, starts: Sequence[str]) -> Ground:
    jobs = [Job(i, CHURCH, "subject", "church", "church", start, (), i) for i, start in enumerate(starts)]
    targets = torch.arange(len(jobs))[:, None, None, None].expand(-1, 4, 16, 16).float()
    return Ground(model, jobs, targets, 0)  # type: ignore[arg-type]


def test_it_finds_the_words_and_writes_them_as_text(model: StableDiffusion):
    victim = Quick(model, "red church in a park")
    attack = UnlearnDiff(tokens=2, rounds=4, iterations=60, step_size=0.05)
    attack.open(ground(victim, ["in a park", "in a park"]))
    turns = [Turn(job) for job in attack.ground.jobs]
    for round_ in range(4):
        for turn in turns:
            turn.round = round_
        texts, heard = attack.advance(turns)
        assert victim.times == [125 + 250 * round_] * 2
        torch.testing.assert_close(turns[0].state["shares"].sum(-1), torch.ones(2))
    assert heard is None
    assert texts == ["red church in a park"] * 2
    assert victim.calls == [2] * 240  # one F and one B an iteration, for all prompts at once


def test_a_prompt_is_attacked_alike_alone_and_beside_others(model: StableDiffusion):
    found = []
    for asked in ([1], [0, 1]):
        victim = Quick(model, "red church in a park")
        attack = UnlearnDiff(tokens=2, rounds=1, iterations=5)
        attack.open(ground(victim, ["in a park", "on a beach"]))
        turns = [Turn(attack.ground.jobs[number]) for number in asked]
        attack.advance(turns)
        assert [float(picture[0, 0, 0]) for picture in victim.pictures] == asked  # each its own target
        found.append(turns[-1].state["shares"])
    torch.testing.assert_close(*found)


def test_nonsense_is_refused(model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=r"attack\.budget=large is not one of: miniature, published"):
        UnlearnDiff(budget="large")
    with pytest.raises(BadInput, match=r"attack\.tokens=0 must be greater than 0"):
        UnlearnDiff(tokens=0)
    with pytest.raises(BadInput, match=r"attack\.tokens=30 is more than the longest prompt leaves room for: 27"):
        UnlearnDiff(tokens=30).open(ground(model, ["in a park"]))
    with pytest.raises(BadInput, match=r"attack\.weight_decay=-0.1 must be at least 0"):
        UnlearnDiff(weight_decay=-0.1)
    assert UnlearnDiff(weight_decay=0.0).weight_decay == 0
    published = UnlearnDiff("published")
    assert (published.rounds, published.iterations, published.step_size) == (50, 40, 0.01)


def test_no_word_of_minors_is_searched_or_drawn(model: StableDiffusion, monkeypatch: pytest.MonkeyPatch):
    ids = {word: model.tokenize([word])[0, 1].item() for word in ("barn", "church", "red")}
    told, whole = {ids["barn"]: "child", ids["church"]: "chi", ids["red"]: "ld"}, model.detokenize
    monkeypatch.setattr(model, "detokenize", lambda kept: "".join(told.get(i, f" {whole([i])}") for i in kept).strip())
    attack = UnlearnDiff(tokens=2)
    attack.open(ground(model, ["in a park"]))
    assert {*model.ordinary.tolist()} - {*attack.words.tolist()} == {ids["barn"]}
    assert attack._written([ids["church"], ids["red"]], "in a park") == "in a park"
    assert attack._written([ids["red"], ids["church"]], "in a park") == "ldchi in a park"

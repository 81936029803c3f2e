"""What is chosen before the first update: the nearest by text, or any."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from conftest import composed

from erase.concept import Concept
from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.model.stable_diffusion import StableDiffusion
from erase.preservation.fixed import Fixed
from erase.preservation.once import Once
from erase.preservation.random import drawn
from erase.preservation.retain_set import RetainSet
from erase.preservation.similar import nearest, similarity
from erase.task import Task

CANDIDATES = [f"a photo of {thing}" for thing in ("a barn", "a house", "a tench", "a golf ball", "a person in a coat")]
CHURCH = Concept("church", ("a church", "a photo of a church"), ("chapel",))


def opened(
    strategy: Once,
    model: StableDiffusion,
    folder: Path,
    seed: int = 0,
    erased: Concept = CHURCH,
    candidates: Sequence[str] = CANDIDATES,
) -> Once:
    bank = Bank(trajectories=1, kept_trajectories=1, steps=3)
    bank.open(model, seed, folder)
    strategy.open(Task(model, [erased], bank, Squared(), seed), candidates)
    return strategy


def test_similarity_is_the_mean_cosine_at_the_end_of_text(model: StableDiffusion):
    def state(prompt: str) -> torch.Tensor:
        ids = model.tokenize([prompt])
        end = ids[0].tolist().index(model.pipe.tokenizer.eos_token_id)
        return model.encode(ids).sequence[0, end]

    found = similarity(model, CANDIDATES, [CHURCH])
    for candidate, score in zip(CANDIDATES, found, strict=True):
        each = [torch.cosine_similarity(state(candidate), state(p), dim=0) for p in CHURCH.prompts]
        torch.testing.assert_close(score, torch.stack(each).mean(), atol=1e-5, rtol=0)


def test_similarity_is_the_unedited_encoders(model: StableDiffusion):
    before = similarity(model, CANDIDATES, [CHURCH])
    model.move(n for n, _ in model.named_parameters() if n.startswith("text_encoder."))
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter.mul_(0.5)
    assert torch.equal(similarity(model, CANDIDATES, [CHURCH]), before)


def test_the_nearest_are_held_evenly_and_written_down_once(model: StableDiffusion, tmp_path: Path):
    strategy = opened(nearest(keep=2), model, tmp_path)
    scores = dict(zip(CANDIDATES, similarity(model, CANDIDATES, [CHURCH]).tolist(), strict=True))
    first, second, *_ = sorted(CANDIDATES, key=scores.__getitem__, reverse=True)
    drawn_each = [p for step in range(50) for p in strategy.choose(step, 4).prompts]
    assert {*drawn_each} == {first, second}
    assert 70 < drawn_each.count(first) < 130
    news = strategy.chosen()
    assert news == {"step": 0, "chosen": [first, second], "scores": pytest.approx(scores, abs=1e-6)}
    strategy.choose(51, 4)
    assert strategy.chosen() is None


def test_a_resumed_run_holds_the_same_and_does_not_say_it_again(model: StableDiffusion, tmp_path: Path):
    held = {}
    for seed in range(20):
        strategy = opened(drawn(), model, tmp_path, seed)
        (held[seed],) = {*strategy.choose(0, 8).prompts}
        again = opened(drawn(), model, tmp_path, seed, Concept("tench", ("tench",)))
        assert {*again.choose(7, 8).prompts} == {held[seed]}
        assert again.chosen() is None
    assert {*held.values()} == {*CANDIDATES}


def test_more_than_there_are_is_all(model: StableDiffusion, tmp_path: Path):
    assert {*opened(drawn(keep=99), model, tmp_path).held.prompts} == {*CANDIDATES}


def test_what_is_erased_is_no_candidate(tmp_path: Path):
    assert nearest().candidates(["a chapel", "a barn", "a church"], [CHURCH]) == ["a barn"]
    (file := tmp_path / "words.txt").write_text("a house\n")
    assert drawn(vocabulary=str(file)).candidates(["a barn"], [CHURCH]) == ["a house"]


@pytest.mark.parametrize("make", [nearest, drawn])
@pytest.mark.parametrize(("field", "value"), [("keep", 0), ("weight", -1)])
def test_nonsense_is_refused(make, field: str, value: int):
    with pytest.raises(BadInput, match=f"preservation.{field}={value}"):
        make(**{field: value})


def test_a_retain_set_is_drawn_by_the_seed(model: StableDiffusion, tmp_path: Path):
    """Of English some, of the miniature's own words all."""
    words = RetainSet().candidates([], [CHURCH])
    sets = [opened(RetainSet(keep=80), model, tmp_path, seed, candidates=words).settled for seed in (0, 0, 1)]
    assert sets[0] == sets[1] != sets[2]
    assert len({*sets[0]}) == 80
    held = opened(RetainSet(keep=80), model, tmp_path, candidates=words)
    held.choose(0, 5)
    assert held.chosen()["chosen"] == sets[0]
    config = composed("method=adv_unlearn", "concept=church", "model=sd14")
    assert (config.preservation.keep, composed("method=uce", "concept=church", "model=sd14").preservation.keep) == (80, None)
    assert composed("method=adv_unlearn", "concept=nudity").preservation.keep > len(model.vocabulary)


def test_a_retain_set_comes_round_before_anything_comes_again():
    held = RetainSet()
    held.held = Fixed([str(i) for i in range(7)], 1.0)
    held.held.seed = 3
    said = [p for step in range(7) for p in held.choose(step, 5).prompts]
    rounds = [said[i : i + 7] for i in range(0, 35, 7)]
    assert all({*r} == {*held.settled} for r in rounds)
    assert len({tuple(r) for r in rounds}) > 1
    assert held.choose(4, 5).prompts == said[20:25]

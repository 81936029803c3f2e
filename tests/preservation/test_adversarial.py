"""The adversary finds what the edit hurts."""

from pathlib import Path

import pytest
import torch

from erase.concept import Concept
from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.model.stable_diffusion import StableDiffusion
from erase.preservation.adversarial import Adversarial
from erase.task import Task

CANDIDATES = ["a barn", "a house", "a tench", "a golf ball", "a person in a coat"]


def opened(model: StableDiffusion, folder: Path, **fields: object) -> Adversarial:
    bank = Bank(trajectories=1, kept_trajectories=1, steps=3)
    bank.open(model, 0, folder)
    strategy = Adversarial(**fields)
    strategy.open(Task(model, [], bank, Squared(), seed=0), CANDIDATES)
    return strategy


def hurt(model: StableDiffusion) -> None:
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))


def test_scores_are_the_errors_and_the_worst_is_kept(model: StableDiffusion, tmp_path: Path):
    model.move(n for n, _ in model.named_parameters() if "attn2" in n)
    strategy = opened(model, tmp_path, every=1, points=3, keep=1)
    hurt(model)
    chosen = strategy.choose(1, 4).prompts
    errors = []
    with torch.no_grad():
        for prompt in CANDIDATES:
            said, found = model.prompt([prompt]), []
            for k in range(3):
                at = strategy.search.game.task.latents.draw(CANDIDATES, f"score {k}", 1, common=True)
                i = CANDIDATES.index(prompt)
                student = model.predict(at.x_t[i : i + 1], at.t[i : i + 1], said)
                found.append((student - at.conditional[i]).square().mean())
            errors.append(torch.stack(found).mean())
    torch.testing.assert_close(strategy.search.scores, torch.stack(errors)[None], rtol=1e-3, atol=1e-6)
    assert set(chosen) == {CANDIDATES[int(torch.stack(errors).argmax())]}


def test_choices_are_written_down_once(model: StableDiffusion, tmp_path: Path):
    model.move(n for n, _ in model.named_parameters() if "attn2" in n)
    strategy = opened(model, tmp_path, every=2, keep=2)
    hurt(model)
    strategy.choose(0, 1)
    assert strategy.chosen() is None
    strategy.choose(2, 1)
    news = strategy.chosen()
    assert news is not None
    assert news["step"] == 2
    assert len(news["chosen"]) == 2
    assert set(news["scores"]) == set(CANDIDATES)
    assert strategy.chosen() is None


def test_old_scores_fade(model: StableDiffusion, tmp_path: Path):
    strategy = opened(model, tmp_path, every=1, memory=0.75)
    strategy.load_state_dict({"scores": torch.full((1, len(CANDIDATES)), 4.0)})
    strategy.choose(1, 1)
    torch.testing.assert_close(strategy.search.scores, torch.full((1, len(CANDIDATES)), 3.0), atol=1e-3, rtol=0)


def test_a_file_of_candidates(tmp_path: Path):
    file = tmp_path / "words.txt"
    file.write_text("# mine\na barn\n\na house\n")
    assert Adversarial(vocabulary=str(file)).candidates(["x"], []) == ["a barn", "a house"]
    with pytest.raises(BadInput, match="not a file"):
        Adversarial(vocabulary="nowhere.txt").candidates(["x"], [])


def test_what_is_erased_is_no_candidate():
    church = Concept("church", ("a photo of a church",), ("chapel",))
    assert Adversarial().candidates(["a chapel", "a barn", "a church"], [church]) == ["a barn"]
    with pytest.raises(BadInput, match="no candidates"):
        Adversarial().candidates(["a chapel"], [church])


def test_the_published_pool_holds_what_is_erased():
    church = Concept("church", ("a photo of a church",), ("chapel",))
    assert Adversarial(filter="none").candidates(["a chapel", "a barn"], [church]) == ["a chapel", "a barn"]


def test_a_model_without_words_of_its_own_is_asked_in_english():
    church = Concept("church", ("church",), ("cathedral",))
    english = Adversarial().candidates([], [church])
    assert {"church", "cathedral"}.isdisjoint(english)
    assert {"monastery", "dog"} <= {*english}
    assert Adversarial(vocabulary="english").candidates(["a barn"], [church]) == english


@pytest.mark.parametrize(("field", "value"), [("every", 0), ("points", 0), ("keep", 0), ("weight", -1), ("memory", 1.0)])
def test_nonsense_is_refused(field: str, value: float):
    with pytest.raises(BadInput, match=f"preservation.{field}={value}"):
        Adversarial(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("search", "pgd"), ("filter", "all"), ("closest", 0), ("centres", 0), ("top", 0), ("search_lr", 0), ("search_steps", 0)],
)
def test_nonsense_of_a_search_is_refused(field: str, value: object):
    with pytest.raises(BadInput, match=f"preservation.{field}={value}"):
        Adversarial(**{field: value})

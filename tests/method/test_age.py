"""AGE: the target is what is held, and the worst is searched over the sum of both losses."""

from pathlib import Path

import pytest
import torch

from erase.concept import Concept
from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.method.age import Age
from erase.method.redirect import Redirect
from erase.model.stable_diffusion import StableDiffusion
from erase.model.text_to_image import Conditioning
from erase.parameters import Select
from erase.preservation.adversarial import Adversarial
from erase.preservation.fixed import Fixed
from erase.random import stream
from erase.target import Negative
from erase.target.searched import Searched

CONCEPTS = [Concept("church", ("church",), ("chapel",)), Concept("parachute", ("parachute",))]
WORDS = "a barn\na house\na tench\n"


def method(model: StableDiffusion, folder: Path, preservation: object, target: object | None = None, **fields: object) -> Age:
    parts = {"steps": 3, "lr": 1e-3, "lr_schedule": "linear", "batch_size": 2, "seed": 0, "work": folder, **fields}
    parts |= {"parameters": Select("attn2"), "latents": Bank(trajectories=1, kept_trajectories=1, steps=2)}
    parts |= {"target": target or Searched(eta=0.5), "preservation": preservation, "loss": Squared()}
    return Age(model=model, concepts=CONCEPTS, **parts)


def adversarial(folder: Path, **fields: object) -> Adversarial:
    (folder / "words.txt").write_text(WORDS)
    return Adversarial(**{"vocabulary": str(folder / "words.txt"), "every": 1, "points": 1, "keep": 1, **fields})


def hurt(model: StableDiffusion) -> None:
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=stream(0, "test")))


def terms(age: Age, use: str, erased: str, words: Conditioning, teacher: Conditioning, kept: str) -> tuple:
    """L1 and L2 at step 1 as the paper has them, for one erased prompt and one c_t, every ε evaluated here and now."""
    model, unet, originals = age.model, age.model.pipe.unet, age.model.weights("unet", edited=False)

    def eps(x, t, heard, edited):
        weights = dict(unet.named_parameters()) if edited else originals
        return torch.func.functional_call(unet, weights, (x, t, heard.sequence)).sample

    e, k = (age.latents.draw([p], use, 1) for p in (erased, kept))
    said = model.prompt([erased])
    theirs = eps(e.x_t, e.t, teacher, False)
    target = theirs - 0.5 * (eps(e.x_t, e.t, said, False) - theirs)
    l1 = (eps(e.x_t, e.t, said, True) - target).square().mean()
    return l1, (eps(k.x_t, k.t, words, True) - eps(k.x_t, k.t, teacher, False).detach()).square().mean()


def test_losses_are_the_papers(model: StableDiffusion, tmp_path: Path):
    """‖ε'(x, c_e) − [ε(c_t) − η (ε(c_e) − ε(c_t))]‖² + λ ‖ε'(x', c_t) − ε(x', c_t)‖², with a c_t that is given."""
    age = method(model, tmp_path, Fixed(["a barn"], weight=0.7))
    age.on_fit_start()
    hurt(model)
    losses = age.losses(1)
    e, k = age.latents.draw(age.task.erased(1, 2), "erase", 1), age.latents.draw(["a barn"] * 2, "keep", 1)
    with torch.no_grad():
        words = model.prompt(["a barn"] * 2)
        theirs = model.predict(e.x_t, e.t, words, edited=False)
        target = theirs - 0.5 * (e.conditional - theirs)
        found = [model.predict(e.x_t, e.t, model.prompt(age.task.erased(1, 2))) - target]
        found.append(model.predict(k.x_t, k.t, words) - k.conditional)
    torch.testing.assert_close(losses["erase"].detach(), found[0].square().mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses["keep"].detach(), 0.7 * found[1].square().mean(), rtol=1e-4, atol=1e-6)


def test_the_worst_of_each_concept_is_scored_by_both_losses(model: StableDiffusion, tmp_path: Path):
    preservation = adversarial(tmp_path, weight=0.7)
    age = method(model, tmp_path, preservation)
    age.on_fit_start()
    hurt(model)
    chosen = preservation.choose(1, 2).prompts
    scores = torch.zeros(2, 3)
    with torch.no_grad():
        for i, concept in enumerate(CONCEPTS):
            for j, word in enumerate(WORDS.splitlines()):
                said = model.prompt([word])
                l1, l2 = terms(age, "score 0", concept.prompts[0], said, said, word)
                scores[i, j] = l1 + 0.7 * l2
    torch.testing.assert_close(preservation.search.scores, scores, rtol=2e-2, atol=1e-5)
    for prompt, word in zip(age.task.erased(1, 2), chosen, strict=True):
        (side,) = age.task.said([prompt])
        assert word == WORDS.splitlines()[int(scores[side].argmax())]


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_the_gradient_of_both_losses_reaches_the_logits(weight: float, model: StableDiffusion, tmp_path: Path):
    preservation = adversarial(tmp_path, weight=weight, search="gumbel")
    age = method(model, tmp_path, preservation)
    age.on_fit_start()
    hurt(model)
    search = preservation.search
    search._climb("search 0", 1, 2)
    logits = [torch.full((3,), 1 / 3, requires_grad=True) for _ in CONCEPTS]
    rng, total, states = stream(0, "search 0 gumbel", 1), torch.zeros(()), model.prompt(WORDS.splitlines()).sequence
    e = age.latents.draw(age.task.erased(1, 2, "search 0"), "search 0", 1)
    heard, words = [], []
    for prompt in age.task.erased(1, 2, "search 0"):
        own = logits[age.task.said([prompt])[0]]
        soft = torch.softmax((own - torch.log(-torch.log(torch.rand(3, generator=rng) + 1e-10) + 1e-10)) / 2, 0)
        hard = torch.nn.functional.one_hot(soft.argmax(), 3) + soft - soft.detach()
        heard.append(torch.tensordot(hard, states, 1))
        words.append(WORDS.splitlines()[int(soft.argmax())])
    mixed, k = Conditioning(torch.stack(heard)), age.latents.draw(words, "search 0", 1)
    theirs = model.predict(e.x_t, e.t, mixed, edited=False)
    target = theirs - 0.5 * (e.conditional - theirs)
    ours = model.predict(e.x_t, e.t, model.prompt(age.task.erased(1, 2, "search 0")))
    total = (ours - target).square().mean() + weight * (model.predict(k.x_t, k.t, mixed) - k.conditional).square().mean()
    for found, wanted in zip(search.mixtures, torch.autograd.grad(-total, logits), strict=True):
        assert wanted.abs().max() > 1e-6
        torch.testing.assert_close(found.logits.grad, wanted, rtol=2e-2, atol=1e-6)
    assert all(p.grad is None for p in model.moving.values())


def test_a_search_looks_before_the_first_update_too(model: StableDiffusion, tmp_path: Path):
    """What is erased to matters from the first update on, where nothing is hurt yet."""
    age = method(model, tmp_path, adversarial(tmp_path, search="gumbel"))
    age.on_fit_start()
    before = [m.logits.detach().clone() for m in age.preservation.search.mixtures]
    age.preservation.choose(0, 2)
    moved = [m.logits.detach() for m in age.preservation.search.mixtures]
    assert not all(torch.equal(a, b) for a, b in zip(before, moved, strict=True))


def test_what_weighs_nothing_is_not_held(model: StableDiffusion, tmp_path: Path):
    age = method(model, tmp_path, adversarial(tmp_path, weight=0.0))
    age.on_fit_start()
    assert {*age.losses(1)} == {"erase"}
    assert age.target.chosen.prompts


def test_only_who_may_be_chosen_is_in_the_news(model: StableDiffusion, tmp_path: Path):
    preservation = adversarial(tmp_path, closest=1, keep=3)
    age = method(model, tmp_path, preservation)
    age.on_fit_start()
    hurt(model)
    preservation.choose(1, 2)
    search, news = preservation.search, preservation.chosen()
    game = search.game
    assert {*news["chosen"]} == {*game.pool}  # the nearest of each concept
    for i, word in enumerate(game.pool):
        own = search.scores[game.sides[:, i], i]
        assert news["scores"][word] == pytest.approx(float(own.mean()), abs=1e-6)


@pytest.mark.parametrize("fields", [{"search": "gradient", "search_steps": 1}, {"search": "gumbel", "hard": False}])
def test_every_search_finds_a_target(fields: dict[str, object], model: StableDiffusion, tmp_path: Path):
    age = method(model, tmp_path, adversarial(tmp_path, **fields))
    age.on_fit_start()
    hurt(model)
    losses = age.losses(1)
    torch.stack(list(losses.values())).sum().backward()
    assert {*losses} == {"erase", "keep"}
    assert age.preservation.chosen() is not None


def test_what_makes_no_sense_is_refused(model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match="target=searched"):
        method(model, tmp_path, adversarial(tmp_path), Negative())
    with pytest.raises(BadInput, match=r"preservation\.filter=none"):
        method(model, tmp_path, adversarial(tmp_path, filter="none"))
    with pytest.raises(BadInput, match="holds nothing"):
        method(model, tmp_path, Fixed([], weight=0))
    fields = {"steps": 3, "lr": 1e-3, "lr_schedule": "linear", "batch_size": 2, "seed": 0, "work": tmp_path}
    with pytest.raises(BadInput, match="method=age"):
        Redirect(model, CONCEPTS, Select("attn2"), Bank(steps=2), Searched(), adversarial(tmp_path), Squared(), **fields)

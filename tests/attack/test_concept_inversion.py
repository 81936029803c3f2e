"""The learnt word: what it is learnt from, on which words it stands, and that it goes on as if never cut off."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from erase.attack import Ground, Job, Turn, concept_inversion
from erase.attack.concept_inversion import ConceptInversion
from erase.concept import Concept
from erase.model.stable_diffusion import StableDiffusion
from erase.random import stream

NUDITY = Concept("nudity", ("nudity", "nude", "a naked woman"), ("naked", "without clothes"))


@pytest.mark.parametrize(
    ("named", "caption"),
    [
        ("a photo of a nude person", ("a photo of a", "person")),
        ("a naked woman", ("a", "woman")),
        ("a man without clothes in a park", ("a man", "in a park")),
        ("nudity", ("", "")),
        ("undressed", ("", "")),
    ],
)
def test_the_word_stands_where_the_concept_was_named(named: str, caption: tuple[str, str]):
    assert ConceptInversion._caption(named, NUDITY.phrases) == caption


def opened(model: StableDiffusion, **fields: float) -> ConceptInversion:
    attack = ConceptInversion(**{"rounds": 2, "updates": 2, "batch": 2, **fields})
    starts = ["a woman in a park", "a man on a beach"]
    jobs = [Job(i, NUDITY, "subject", "nude", "a naked woman", start, (), i) for i, start in enumerate(starts)]
    attack.open(Ground(model, jobs, torch.randn(2, *model.latent_shape, generator=torch.Generator().manual_seed(0)), 0))
    return attack


def test_a_word_is_learnt_heard_and_goes_on(model: StableDiffusion):
    attack = opened(model)
    turns = [Turn(job) for job in attack.ground.jobs]
    texts, heard = attack.advance(turns[:1])
    assert texts == ["<nude> a woman in a park"]
    assert (model.cost.forwards, model.cost.backwards) == (4, 4)
    first = {name: value.clone() for name, value in attack.state_dict().items()}
    word = first["nude"][0, 0]
    ids = model.tokenize(["a a woman in a park"])
    put = torch.cat([model.embed(ids)[:, :1], word[None], model.embed(ids)[:, 2:]], 1)
    torch.testing.assert_close(heard.sequence, model.encode(ids, embeddings=put).sequence)
    for turn in turns:
        turn.round = 1
    attack.advance(turns)
    again = opened(model)
    again.load_state_dict(first)
    again.advance(turns)
    assert torch.equal(again.learnt["nude"], attack.learnt["nude"])
    assert attack.learnt["nude"].shape == (2, 3, 1, 128)
    assert torch.equal(attack.artefact()["<nude>"], attack.learnt["nude"][-1, 0])
    assert all(p.grad is None for _, p in model.named_parameters())


def test_what_it_learns_lessens_the_error_of_its_own_pictures(model: StableDiffusion):
    """Of pictures, captions, noise and times that belong together: the model's own of "a naked woman", heard as v* woman."""
    attack = opened(model, rounds=1, updates=60, batch=4, step_size=0.02)
    *_, last = model.trajectory(model.prompt(["a naked woman"] * 2), model.noise([0, 1]), 5, 4.0, edited=False)
    attack.ground = Ground(model, attack.ground.jobs, last.x_t.cpu(), 0)

    @torch.no_grad()
    def error(word: torch.Tensor) -> float:
        rng, t = stream(1, "error"), torch.tensor([100, 300, 500, 700] * 4)
        rows = [i % 2 for i in range(len(t))]
        noise = torch.randn((len(t), *model.latent_shape), generator=rng)
        x_t = model.noise_scheduler.add_noise(attack.ground.targets[rows], noise, t)
        return float((model.predict(x_t, t, attack._heard(rows, word)) - noise).square().mean())

    before = error(model.table.detach().float().mean(0)[None])
    attack.advance([Turn(attack.ground.jobs[0])])
    wanted = error(model.embed(model.tokenize(["naked"])[:, 1:2])[0])
    after = error(attack.artefact()["<nude>"])
    assert wanted < before
    assert after < before - 0.5 * (before - wanted)


def test_a_long_round_goes_on_where_it_was_cut_off(model: StableDiffusion, monkeypatch: pytest.MonkeyPatch):
    whole = opened(model, updates=5)
    turns = [Turn(whole.ground.jobs[0], round_) for round_ in (0, 1)]
    while whole.advance(turns) is None:
        pass
    monkeypatch.setattr(concept_inversion, "PART", 2)
    cut, answers = opened(model, updates=5), []
    for _ in range(3):
        answers.append(cut.advance(turns[:1]))
        kept = {label: value.clone() for label, value in cut.state_dict().items()}
        cut = opened(model, updates=5)  # killed, and begun again
        cut.load_state_dict(kept)
    assert [answer is None for answer in answers] == [True, True, False]
    assert torch.equal(cut.learnt["nude"][-1], whole.learnt["nude"][0])
    while cut.advance(turns) is None:
        pass
    assert cut.learnt["nude"].shape == (6, 3, 1, 128)
    assert torch.equal(cut.artefact()["<nude>"], whole.artefact()["<nude>"])


def test_captions_hear_the_word_between_their_own(model: StableDiffusion):
    attack = opened(model)
    word = model.embed(model.tokenize(["red"])[:, 1:2])[0]
    with torch.no_grad():
        torch.testing.assert_close(attack._heard([0], word).sequence, model.prompt(["a red woman"]).sequence)


def test_the_word_is_one_that_diffusers_loads(model: StableDiffusion, tmp_path: Path):
    attack = opened(model, rounds=1, updates=1)
    (text,), heard = attack.advance([Turn(attack.ground.jobs[0])])
    save_file(attack.artefact(), tmp_path / "word.safetensors")
    model.pipe.load_textual_inversion(tmp_path, weight_name="word.safetensors")
    torch.testing.assert_close(model.prompt([text]).sequence, heard.sequence)

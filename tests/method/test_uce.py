"""The closed form against least squares, and what it refuses."""

from operator import itemgetter
from pathlib import Path

import pytest
import torch
from conftest import QUICK, Command
from safetensors.torch import load_file
from torch import Tensor

from erase.concept import Concept
from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.method.uce import UCE
from erase.model.stable_diffusion import StableDiffusion
from erase.parameters import Select
from erase.preservation.adversarial import Adversarial
from erase.preservation.fixed import Fixed
from erase.target import Negative, Target
from erase.target.anchor import Anchor

CHURCH = Concept("church", ("church", "a photo of a church"), ("chapel",), anchor="a building")
NUDITY = Concept("nudity", ("a naked man in the snow",), ("naked",), anchor="a person in a coat")
KEYS_AND_VALUES = Select(r"^unet\..*attn2\.to_[kv]\.")


def method(
    model: StableDiffusion,
    folder: Path,
    preservation: object,
    *concepts: Concept,
    target: Target | None = None,
    **fields: object,
) -> UCE:
    parts = {"parameters": KEYS_AND_VALUES, "steps": 7, "lr": 1e-3, "lr_schedule": "constant", "batch_size": 2, "seed": 0}
    whole = {**parts, "target": target or Anchor(), "preservation": preservation, "loss": Squared(), "work": folder, **fields}
    return UCE(model=model, concepts=concepts, latents=Bank(trajectories=1, steps=3), **whole)


def edit(erasing: UCE) -> dict[str, Tensor]:
    """What the one update says, once it is done."""
    erasing.on_fit_start()
    ((player, found),) = erasing.updates(0)
    assert player not in erasing.players
    return found


def states(model: StableDiffusion, prompt: str, start: int, count: int) -> Tensor:
    """The text encoder's states from token `start` on, the last one repeated where there are none left, (count, width)."""
    said = model.prompt([prompt], edited=False).sequence[0]
    return torch.stack([said[min(start + i, len(said) - 1)] for i in range(count)]).double()


@pytest.mark.parametrize("kept", [[], ["a barn", "a photo of a house"]])
def test_it_is_the_minimum_of_least_squares(kept: list[str], model: StableDiffusion, tmp_path: Path):
    """argmin of s_e Σ ‖W k − v*‖² + s_p Σ ‖W k − W₀ k‖² + λ ‖W − W₀‖², as one stacked regression by torch's own solver. What
    it says is left is that of the concept of which most is."""
    before = {n: p.detach().clone().double() for n, p in model.named_parameters()}
    erasing = method(
        model, tmp_path, Fixed(kept, 0.7 if kept else 0.0), CHURCH, NUDITY, erase_scale=3.0, ridge=0.2, keep_tolerance=None
    )
    left = edit(erasing)["erase"]
    # from the token that says it: church is the first, the fourth after the begin token; naked the second
    said = [("church", 1, "a building", 2), ("a photo of a church", 5, "a building", 2)]
    said += [("a naked man in the snow", 2, "a person in a coat", 5)]
    tokens = model.tokenize([""]).shape[1]
    ours = torch.cat([states(model, prompt, start, tokens - start) for prompt, start, _, _ in said])
    theirs = torch.cat([states(model, anchor, end, tokens - start) for _, start, anchor, end in said])
    held = [states(model, prompt, 1, tokens - 1) for prompt in kept]
    width = ours.shape[1]
    moved, church = 0, 2 * tokens - 1 - 5  # the states of two prompts
    ways: dict[str, list[Tensor]] = {"church": [], "nudity": []}
    for name, after in model.moving.items():
        old = before[name]
        rows = [(3.0**0.5, ours, theirs @ old.T), (0.2**0.5, torch.eye(width, dtype=torch.double), old.T)]
        rows += [(0.7**0.5, k, k @ old.T) for k in held]
        given, wanted = (torch.cat(column) for column in zip(*((s * k, s * v) for s, k, v in rows), strict=True))
        torch.testing.assert_close(after.detach().double(), torch.linalg.lstsq(given, wanted).solution.T, atol=1e-5, rtol=1e-4)
        moved += 1
        sides = (said.split([church, len(ours) - church]) for said in (ours, theirs))
        for own, k, v in zip(ways.values(), *sides, strict=True):
            own.append((k @ after.T.double() - v @ old.T).norm() / ((k - v) @ old.T).norm())
    assert moved > 10
    name, worst = max(((name, torch.stack(own).mean().detach()) for name, own in ways.items()), key=itemgetter(1))
    torch.testing.assert_close(left, worst, atol=1e-4, rtol=1e-3)
    fresh = StableDiffusion("miniature", vocabulary="miniature")
    fields = {"erase_scale": 3.0, "ridge": 0.2, "keep_tolerance": None, "tolerance": 0.9 * float(worst)}
    with pytest.raises(BadInput, match=f"left .* of what was to go of {name} "):
        edit(method(fresh, tmp_path, Fixed(kept, 0.7 if kept else 0.0), CHURCH, NUDITY, **fields))
    assert {n for n, p in model.named_parameters() if not torch.equal(p.double(), before[n])} == {*model.moving}


def test_the_word_becomes_the_anchor_and_what_is_held_stays(model: StableDiffusion, tmp_path: Path):
    k = model.prompt(["a barn"]).sequence[0, 1:]

    def said() -> Tensor:
        return torch.cat(
            [p.detach() @ k.T for n, p in model.named_parameters() if n.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))]
        )

    before = said()
    found = edit(method(model, tmp_path, Fixed(["a barn"], 1.0), CHURCH, erase_scale=100.0, keep_tolerance=None))
    assert found["erase"] < 0.05
    assert (said() - before).norm() < 0.05 * before.norm()


@pytest.mark.parametrize("held", [[], ["a photo of a zebra"]])
def test_what_all_other_words_say_is_looked_at_whether_they_are_held_or_not(held: list[str], tmp_path: Path):
    """√Σ‖(W − W₀) k‖² / √Σ‖W₀ k‖², over every state of every candidate, the mean of the layers."""
    model = StableDiffusion("miniature", vocabulary="miniature")
    before = {n: p.detach().clone().double() for n, p in model.named_parameters()}
    found = edit(method(model, tmp_path, Fixed(held, float(len(held))), CHURCH, keep_tolerance=None))["keep"]
    others = [p for p in model.vocabulary if "church" not in p]
    assert 40 < len(others) < len(model.vocabulary)
    others += held
    k = model.prompt(others, edited=False).sequence[:, 1:].flatten(0, 1).double()
    shares = [((p.detach() - before[n]) @ k.T).norm() / (before[n] @ k.T).norm() for n, p in model.moving.items()]
    torch.testing.assert_close(found, torch.stack(shares).mean(), atol=1e-5, rtol=1e-4)
    share = float(found)
    fresh, kept = StableDiffusion("miniature", vocabulary="miniature"), Fixed(held, float(len(held)))
    again = method(fresh, tmp_path, kept, CHURCH, keep_tolerance=0.9 * share)
    with pytest.raises(BadInput, match=rf"changed all other words by {share:.2f} .*preservation=retain_set"):
        edit(again)


def test_it_has_no_batch_that_many_concepts_would_not_fit(model: StableDiffusion, tmp_path: Path):
    assert method(model, tmp_path, Fixed([], 0.0), CHURCH, NUDITY, batch_size=1).batch_size == 2


def test_one_update_without_a_pass(model: StableDiffusion, tmp_path: Path):
    erasing = method(model, tmp_path, Fixed(["a barn"], 1.0), CHURCH, target=Negative(eta=0.0), keep_tolerance=None)
    edit(erasing)
    assert erasing.steps == 1
    assert (model.cost.forwards, model.cost.backwards) == (0, 0)
    assert not erasing.latents.stored


def test_an_edit_that_did_not_change_what_it_should_is_refused(model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=r"left 0\.\d\d of what was to go of church .* raise method\.erase_scale"):
        edit(method(model, tmp_path, Fixed([], 0.0), CHURCH, erase_scale=1e-4, ridge=10.0))


def test_other_parameters_are_refused(model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=r"not unet\..*to_q\.weight: parameters=xattn_kv"):
        method(model, tmp_path, Fixed([], 0.0), CHURCH, parameters=Select("attn2"))


def test_what_depends_on_the_edit_and_what_is_no_words_are_refused(model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match="preservation=retain_set, fixed or similar"):
        edit(method(model, tmp_path, Adversarial(), CHURCH))
    for target in (Negative(eta=1.0), Anchor(eta=0.5)):
        with pytest.raises(BadInput, match="target=anchor"):
            edit(method(model, tmp_path, Fixed([], 0.0), CHURCH, target=target))


@pytest.mark.parametrize("field", ["erase_scale", "ridge", "tolerance", "keep_tolerance"])
def test_nonsense_is_refused(field: str, model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=f"method.{field}=0"):
        method(model, tmp_path, Fixed([], 0.0), CHURCH, **{field: 0})


def test_the_command_edits_and_resumes(command: Command, tmp_path: Path):
    done = command("train", "method=uce", "concept=[church,nudity]", "logger=none", *QUICK)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "outputs" / "uce-church+nudity-0"
    edited = load_file(run / "edit" / "edit.safetensors")
    assert all(name.endswith(("to_k.weight", "to_v.weight")) for name in edited)
    for name in ("edit/edit.json", "edit/edit.safetensors", "metrics.json"):
        (run / name).unlink()  # as if killed before its end
    again = command("train", f"resume={run}")
    assert again.returncode == 0, again.stderr
    assert all(torch.equal(load_file(run / "edit" / "edit.safetensors")[name], edited[name]) for name in edited)

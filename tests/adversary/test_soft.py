"""The attack in training: where free tokens stand, what a step does, what it costs, and what published code does else."""

import json
from pathlib import Path

import pytest
import torch
from conftest import composed
from torch import Tensor

from erase.adversary.soft import SoftPrompt
from erase.concept import Concept
from erase.errors import BadInput
from erase.job import objective
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.method.redirect import Redirect
from erase.model.stable_diffusion import StableDiffusion
from erase.model.text_to_image import Conditioning
from erase.parameters import Select
from erase.parameters.text_encoder import TextEncoder
from erase.preservation.fixed import Fixed
from erase.random import stream
from erase.record.training import TrainingLog
from erase.target import Negative

CHURCH = Concept("church", ("a photo of a church",))


def method(model: StableDiffusion, folder: Path, adversary: SoftPrompt, chosen: object = None, **fields: object) -> Redirect:
    parts = {"steps": 10, "lr": 1e-3, "lr_schedule": "linear", "batch_size": 2, "seed": 0, "work": folder, **fields}
    latents, preservation = Bank(trajectories=1, kept_trajectories=1, steps=3), Fixed(["a barn"], 1.0)
    moved, target = chosen or TextEncoder(layers=2), Negative()
    made = Redirect(model, [CHURCH], moved, latents, target, preservation, Squared(), adversary=adversary, **parts)
    made.on_fit_start()
    return made


def constant(attack: SoftPrompt, value: float = 1.0) -> list[Tensor]:
    """Let every step of `attack` see a gradient of `value`; returns where it was asked for."""
    seen: list[Tensor] = []

    def gradient(prompts: list[str], free: Tensor, step: int, k: int) -> Tensor:
        seen.append(free.detach().clone())
        return torch.full_like(free, value)

    attack.gradient = gradient  # type: ignore[method-assign]
    return seen


def tokens(attack: SoftPrompt, *prompts: str) -> Tensor:
    """What `attack` found for a batch of `prompts`."""
    return torch.stack([attack.found[prompts[:i].count(prompt), prompt][1] for i, prompt in enumerate(prompts)])


def search(attack: SoftPrompt, steps: int | None = None) -> Tensor:
    attack.steps = steps or attack.steps
    return attack.search(["a photo of a church"], 0, torch.zeros(1, attack.slots.count, 128))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_gradients_are_zeroed_and_the_last_step_counts(steps: int):
    attack = SoftPrompt(steps=steps, step_size=0.1)
    seen = constant(attack)
    found = search(attack)
    assert len(seen) == steps
    torch.testing.assert_close(found, torch.full_like(found, -0.1 * steps))  # Adam of a constant gradient: even steps
    assert not torch.equal(found, seen[-1])


def test_adam_has_seen_two_independent_gradients(monkeypatch: pytest.MonkeyPatch):
    made: list[torch.optim.Adam] = []
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *a: made.append(adam(*a)) or made[-1])
    for compat, wanted in (("none", 0.1 + 0.9 * 0.1), ("published", 0.2 + 0.9 * 0.1)):
        attack = SoftPrompt(steps=2, compat=compat)
        constant(attack)
        search(attack)
        ((state,),) = [made.pop().state.values()]
        torch.testing.assert_close(state["exp_avg"], torch.full((1, 1, 128), wanted))


def test_published_form_adds_gradients_up_and_returns_what_was_before_the_last_step():
    attack = SoftPrompt(steps=1, compat="published")
    constant(attack)
    assert not search(attack).any()
    attack = SoftPrompt(steps=4, compat="published", step_size=0.1)
    seen = constant(attack)
    assert torch.equal(search(attack), seen[-1])


def test_fast_is_one_signed_step(model: StableDiffusion, tmp_path: Path):
    attack = SoftPrompt(steps=1, step_size=0.05, signed=True, warmup=0.0)
    erasing = method(model, tmp_path, attack, batch_size=1)
    prompts = ["a photo of a church"]
    start, gradients, own = attack.begin([(0, prompts[0])], 0), [], attack.gradient
    attack.gradient = lambda *a: gradients.append(own(*a)) or gradients[-1]  # type: ignore[method-assign]
    erasing.latents.draw(prompts, "attack 0", 0)  # the bank is paid for
    before = vars(model.cost).copy()
    assert erasing.attacked(prompts, 0) is not None
    torch.testing.assert_close(tokens(attack, *prompts), start - 0.05 * gradients[0].sign(), atol=1e-6, rtol=0)
    assert (model.cost.forwards - before["forwards"], model.cost.backwards - before["backwards"]) == (1, 1)


def test_a_budget_holds():
    attack = SoftPrompt(steps=5, step_size=0.1, budget=0.15)
    constant(attack)
    torch.testing.assert_close(search(attack), torch.full((1, 1, 128), -0.15))


@pytest.mark.parametrize("chosen", [TextEncoder(layers=1, part="mlp"), Select("attn2")])
def test_objective_is_the_papers_whatever_moves(chosen: object, model: StableDiffusion, tmp_path: Path):
    """‖ε_θ'(x_t, c') − ε_θ(x_t, c_e)‖² at the attack's own points, its gradient by differences; nobody else gets any."""
    attack = SoftPrompt(tokens=2, warmup=0.0)
    method(model, tmp_path, attack, chosen)
    model.put({n: w + 0.02 * torch.randn(w.shape, generator=stream(0, n)) for n, w in model.moving.items()})
    prompts = ["a photo of a church"] * 2
    start = attack.begin([(0, prompts[0]), (1, prompts[1])], 7)
    free = start.clone().requires_grad_()
    found = attack.gradient(prompts, free, 7, 3)
    assert all(p.grad is None for _, p in model.named_parameters())
    direction = found / found.norm()
    at = attack.task.latents.draw(prompts, "attack 3", 7)

    def error(values: Tensor) -> Tensor:
        with torch.no_grad():
            said = model.predict(at.x_t, at.t, attack.slots.heard(model, prompts, values))
        return (said - at.conditional).square().mean((1, 2, 3)).sum()

    h = 1e-3
    slope = (error(start + h * direction) - error(start - h * direction)) / (2 * h)
    torch.testing.assert_close(slope, found.norm(), rtol=0.02, atol=1e-6)


def test_what_is_erased_is_the_adversarys_and_the_target_the_words(model: StableDiffusion, tmp_path: Path):
    attack = SoftPrompt(steps=2, warmup=0.0)
    erasing = method(model, tmp_path, attack)
    losses = erasing.losses(3)
    prompts = ["a photo of a church"] * 2
    points = erasing.latents.draw(prompts, "erase", 3)
    heard = attack.slots.heard(model, prompts, tokens(attack, *prompts))
    target = 2 * points.unconditional - points.conditional
    torch.testing.assert_close(losses["erase"], (model.predict(points.x_t, points.t, heard) - target).square().mean())
    losses["erase"].backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {*model.moving}
    assert not tokens(attack, *prompts).requires_grad


def test_warm_up_is_without_attack_and_never_the_whole_run(model: StableDiffusion, tmp_path: Path):
    erasing = method(model, tmp_path, SoftPrompt(steps=1, warmup=0.5))
    words = model.prompt(["a photo of a church"]).sequence
    heard = [erasing.attacked(["a photo of a church"], step).sequence for step in (0, 4, 5)]
    assert [torch.equal(h, words) for h in heard] == [True, True, False]
    for warmup in (1.0, 200):
        with pytest.raises(BadInput, match=f"adversary.warmup={warmup} is the whole run"):
            method(StableDiffusion("miniature"), tmp_path, SoftPrompt(warmup=warmup))


@pytest.mark.parametrize(("init", "every", "changes"), [("random", 1, [0, 1, 2]), ("random", 2, [0, 2]), ("latest", 2, [0, 2])])
def test_refreshed_every_so_often_and_resumed(
    init: str, every: int, changes: list[int], model: StableDiffusion, tmp_path: Path
):
    attack = SoftPrompt(steps=1, warmup=0.0, every=every, init=init, step_size=0.01)
    erasing, found = method(model, tmp_path, attack), []
    for step in range(4):
        if step == 2:
            kept = {name: value.clone() for name, value in attack.state_dict().items()}
        erasing.attacked(["a photo of a church"], step)
        found.append(tokens(attack, "a photo of a church"))
    assert [k for k in range(3) if k == 0 or not torch.equal(found[k], found[k - 1])] == changes
    near = (found[2] - found[0]).abs().max() < 0.011
    assert near == (init == "latest" and every == 2)
    checkpoint: dict[str, object] = {}
    erasing.on_save_checkpoint(checkpoint)
    assert [torch.equal(kept, found[3][0]) for kept in checkpoint["adversary"].values()] == [True]
    erasing.on_load_checkpoint({**checkpoint, "adversary": kept})
    erasing.attacked(["a photo of a church"], 2)
    assert torch.equal(tokens(attack, "a photo of a church"), found[2])


def test_tokens_stay_with_their_prompt(model: StableDiffusion, tmp_path: Path):
    """Rows of an update are others in the next one: each has what was found for its own words, at the latest attack."""
    attack, asked = SoftPrompt(steps=1, warmup=0.0, every=3, step_size=0.01), []
    erasing, search = method(model, tmp_path, attack), attack.search
    attack.search = lambda prompts, *a: asked.append([*prompts]) or search(prompts, *a)  # type: ignore[method-assign]
    church, barn = "a photo of a church", "a barn"
    heard, found, kept = [], {}, {}
    for step, prompts in enumerate(([church, church], [barn, church], [church, barn], [barn, barn])):
        if step == 2:
            kept = attack.state_dict()
        heard.append(erasing.attacked(prompts, step).sequence)
        found[step] = tokens(attack, *prompts)
    assert asked == [[church, church], [barn], [barn, barn]]
    assert not torch.equal(found[0][0], found[0][1])
    assert torch.equal(found[1][1], found[0][0])
    assert torch.equal(found[2], found[1].flip(0))
    torch.testing.assert_close(heard[2], heard[1].flip(0))
    again = SoftPrompt(steps=1, warmup=0.0, every=3, step_size=0.01)
    again.load_state_dict(kept)
    erasing.adversary = again
    again.open(erasing.task, 10)
    assert torch.equal(erasing.attacked([church, barn], 2).sequence, heard[2])


def test_how_far_an_attack_came_is_told_once(model: StableDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    erasing, told = method(model, tmp_path, SoftPrompt(steps=3, warmup=0.1)), []
    monkeypatch.setattr(erasing, "log_dict", told.append)
    log = TrainingLog(tmp_path)
    for step in (0, 1):  # the first is without
        losses = erasing.losses(step)
        assert {*losses} == {"erase", "keep"}
        log.on_train_batch_end(None, erasing, {n: loss.item() for n, loss in losses.items()}, None, step)  # type: ignore[arg-type]
    (said,) = told
    assert {*said} == {"train/attack_before", "train/attack_after"}
    assert all(error > 0 for error in said.values())
    assert erasing.adversary.errors() == {}
    (line,) = map(json.loads, (tmp_path / "training_attacks.jsonl").read_text().splitlines())
    assert line == {"step": 1, **{name.removeprefix("train/"): pytest.approx(float(e)) for name, e in said.items()}}
    for done, left in ((2, 1), (1, 0)):  # a resumed run writes anew what it makes anew
        erasing.done = done
        log.on_train_start(None, erasing)  # type: ignore[arg-type]
        assert len((tmp_path / "training_attacks.jsonl").read_text().splitlines()) == left


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("tokens", 0), ("steps", 0), ("every", 0), ("step_size", 0.0), ("budget", -1.0), ("warmup", -0.1)),
        *(("kind", "middle"), ("init", "zero"), ("compat", "original")),
    ],
)
def test_nonsense_is_refused(field: str, value: object):
    with pytest.raises(BadInput, match=f"adversary.{field}={value}"):
        SoftPrompt(**{field: value})


def test_more_tokens_than_there_is_room_for(model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=r"adversary\.tokens=26 is more than the longest prompt leaves room for: 25"):
        method(model, tmp_path, SoftPrompt(tokens=26))


@pytest.mark.parametrize("name", ["miniature", "sd14"])
@pytest.mark.parametrize(("adversary", "forwards", "backwards"), [("pgd", 40, 36), ("fast", 12, 7)])
def test_an_update_costs_what_was_promised_at_the_defaults(
    adversary: str, forwards: int, backwards: int, name: str, model: StableDiffusion, tmp_path: Path, monkeypatch
):
    """Counted around the first attacks, until the bank is drawn, on networks that answer at once."""
    if name != "miniature":
        model.vocabulary, model.words = [], None
    monkeypatch.setattr(model, "denoise", lambda x, t, conditioning, weights: x * conditioning.sequence.mean())
    said = model.prompt([""])
    scale = dict(model.named_parameters())["text_encoder.encoder.layers.0.mlp.fc1.bias"]

    def encode(ids: Tensor, edited: bool = True, embeddings: Tensor | None = None) -> Conditioning:
        nudge = scale.sum() + (0 if embeddings is None else embeddings.sum())
        return Conditioning(said.sequence.expand(len(ids), -1, -1) + (nudge if edited else 0))

    monkeypatch.setattr(model, "encode", encode)
    config = composed("method=adv_unlearn", "concept=nudity", f"adversary={adversary}", f"model={name}")
    erasing = objective(config, lambda: model, tmp_path)
    erasing.on_fit_start()
    for prompt in (*erasing.task.prompts, *erasing.preservation.settled):
        erasing.latents.draw([prompt], "erase", 0)
    bank, first, costs = model.cost.forwards, erasing.adversary.first, []
    for step in range(first - 1, first + 2):
        before = vars(model.cost).copy()
        torch.stack(list(erasing.losses(step).values())).sum().backward()
        costs.append((model.cost.forwards - before["forwards"], model.cost.backwards - before["backwards"]))
    plain, attacked, again = costs
    assert plain == (6, 6)
    assert attacked == again == (backwards, backwards)
    assert bank + first * plain[0] + (config.steps - first) * attacked[0] <= forwards * config.steps

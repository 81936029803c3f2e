"""The key in cross-attention against the equation, the two stages, and who moves in which."""

from pathlib import Path

import families
import pytest
import torch
from conftest import Once

from erase.concept import Concept, rows
from erase.errors import BadInput
from erase.latents.bank import Bank
from erase.loss import Squared
from erase.method.kpop import KPOP
from erase.model.stable_diffusion import StableDiffusion
from erase.parameters import Select
from erase.preservation.fixed import Fixed
from erase.random import stream
from erase.target import Negative

CHURCH = Concept("church", ("church", "a photo of a church"), ("chapel",))
FREE = {"size": 5, "layers": "all", "sharing": "layer", "reparameterised": False}
WEIGHTS = {"prompt_lr": 1e-2, "prompt_steps": 2, "erase_without": 0.5, "erase_with": 0.2, "empty_with": 0.3}


def method(model: StableDiffusion, folder: Path, preservation: object = None, *others: Concept, **fields: object) -> KPOP:
    parts = {"steps": 3, "lr": 1e-3, "lr_schedule": "linear", "batch_size": 2, "seed": 0, "work": folder, **FREE, **WEIGHTS}
    latents, target = Bank(trajectories=1, kept_trajectories=1, steps=3), Negative(eta=1.5)
    shared = {"latents": latents, "target": target, "preservation": preservation or Fixed([], 0), "loss": Squared()}
    return KPOP(model=model, concepts=[CHURCH, *others], parameters=Select("attn2"), **shared, **{**parts, **fields})


def run(kpop: KPOP, steps: int) -> list[dict[str, float]]:
    """The updates that training does, without Lightning: the losses of each."""
    optimizers = dict(zip(kpop.players, kpop.configure_optimizers()[0], strict=True))
    found = []
    for step in range(steps):
        told = {}
        for player, losses in kpop.updates(step):
            optimizers[player].zero_grad()
            torch.stack(list(losses.values())).sum().backward(inputs=kpop.players[player][0])
            optimizers[player].step()
            told |= {name: float(loss.detach()) for name, loss in losses.items()}
        found.append(told)
    return found


@pytest.mark.parametrize("moved", [False, True])
def test_cross_attention_with_a_key_is_the_papers(moved: bool, model: StableDiffusion):
    """softmax(W_Q x [W_K [c; P_k]]ᵀ / √d) W_V [c; P_v], head by head, in one layer; with the teacher's weights too."""
    layer = model.cross_attention[3]
    attention = model.pipe.unet.get_submodule(layer.removeprefix("unet."))
    model.move(Select("attn2").names(n for n, _ in model.named_parameters()))
    teacher = {n: w.clone() for n, w in model.originals.items()}
    if moved:
        model.put({n: 1.3 * w for n, w in model.moving.items()})
    said, seen = model.prompt(["a church", "a barn"]), {}
    key = {layer: torch.randn(2, 3, said.sequence.shape[-1], generator=stream(0, "test"))}
    with attention.register_forward_hook(lambda _, args, kwargs, out: seen.update(x=args[0], out=out), with_kwargs=True):
        model.predict(model.noise([1, 2]), torch.tensor(500), said.with_key(key), edited=False)

    def weight(name: str) -> torch.Tensor:
        return teacher[f"{layer}.{name}"]

    def heads(states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (attention.heads, -1)).transpose(1, 2)

    contexts = [torch.cat([said.sequence, p.expand(2, -1, -1)], 1) for p in key[layer]]
    q, k, v = (heads(s @ weight(f"to_{n}.weight").T) for n, s in zip("qkv", (seen["x"], *contexts), strict=True))
    found = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
    found = found.transpose(1, 2).flatten(2) @ weight("to_out.0.weight").T + weight("to_out.0.bias")
    torch.testing.assert_close(seen["out"], found, rtol=1e-4, atol=1e-5)


def test_without_a_key_nothing_is_touched(model: StableDiffusion):
    x, t, said = model.noise([1, 2]), torch.tensor(500), model.prompt(["a church", "a barn"])
    key = dict.fromkeys(model.cross_attention, torch.ones(2, 3, said.sequence.shape[-1]))
    with torch.no_grad():
        stock = model.pipe.unet(x, t, said.sequence).sample
        opened = model.predict(x, t, said.with_key(key))
        assert torch.equal(model.predict(x, t, said), stock)
    assert not torch.equal(opened, stock)
    pictures = [model.images(["a church"], [3], steps=2, guidance_scale=4, key=k) for k in (key, None)]
    assert not torch.equal(*pictures)


def test_guidance_hears_the_key_on_both_sides(model: StableDiffusion):
    key = dict.fromkeys(model.cross_attention, torch.ones(2, 3, model.prompt([""]).sequence.shape[-1]))
    said, noise = model.prompt(["a church"]).with_key(key), model.noise([1])
    first = next(model.trajectory(said, noise, 2, 4, edited=True))
    with torch.no_grad():
        empty = model.predict(noise, first.t, model.prompt([""]).with_key(key))
    torch.testing.assert_close(first.unconditional, empty)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_key_in_either_precision(precision: torch.dtype, once: Once, tmp_path: Path):
    model = StableDiffusion(str(once("sd1", lambda at: families.make("sd1", at))), precision=precision)
    kpop = method(model, tmp_path)
    model.to(torch.device("cpu"))  # there bf16 has an attention of its own
    kpop.on_fit_start()
    torch.stack(list(kpop.transfer(0).values())).sum().backward()
    assert all(p.grad is not None and p.dtype == torch.float32 for p in kpop.prompts.parameters())
    assert torch.isfinite(model.predict(model.noise([3]), torch.tensor(9), model.prompt(["church"]).with_key(kpop.key))).all()


@pytest.mark.parametrize(
    ("layers", "sharing", "heard", "prompts"),
    [
        *(("mid", sharing, 1, 1) for sharing in ("shared", "block", "layer")),
        *(("midout", "shared", 5, 1), ("midout", "block", 5, 3), ("midout", "layer", 5, 5)),
        *(("all", "shared", 7, 1), ("all", "block", 7, 5), ("all", "layer", 7, 7)),
    ],
)
def test_who_hears_what(layers: str, sharing: str, heard: int, prompts: int, model: StableDiffusion, tmp_path: Path):
    kpop = method(model, tmp_path, layers=layers, sharing=sharing)
    assert len(kpop.key) == heard
    assert {p.shape for p in kpop.key.values()} == {(2, 5, 128)}
    assert len(kpop.players["prompt"][0]) == prompts
    assert len({p.data_ptr() for p in kpop.key.values()}) == prompts
    assert {*kpop.key} <= {*model.cross_attention}


def test_the_prompt_begins_as_what_it_brings_back(model: StableDiffusion, tmp_path: Path):
    kpop = method(model, tmp_path, size=8)
    one, other = (model.prompt([p]).sequence[0] for p in CHURCH.prompts)
    wanted = torch.cat([one[1:3], other[1:7]])  # a word and the end; five words and the end; then over again
    assert torch.equal(kpop.key[model.cross_attention[0]][0], wanted)


def test_several_concepts_begin_it_in_turn(model: StableDiffusion, tmp_path: Path):
    kpop = method(model, tmp_path, None, Concept("tench", ("a photo of a tench",)), size=3)
    church, tench = model.prompt(["church", "a photo of a tench"]).sequence
    assert torch.equal(kpop.key[model.cross_attention[0]][0], torch.stack([church[1], tench[1], church[2]]))


@pytest.mark.parametrize("reparameterised", [False, True])
def test_a_step_moves_the_prompt_by_about_its_rate(reparameterised: bool, model: StableDiffusion, tmp_path: Path):
    kpop = method(model, tmp_path, layers="mid", reparameterised=reparameterised, prompt_lr=1e-2)
    before = [key.clone() for key in kpop.key.values()]
    kpop.on_fit_start()
    run(kpop, 1)
    moved = torch.stack([(key - first).abs().mean() for key, first in zip(kpop.key.values(), before, strict=True)])
    assert 0.3 < moved.max() / (1e-2 * kpop.prompt_steps) < 3


def test_reparameterised_begins_there_too_ties_keys_and_values_and_folds(model: StableDiffusion, tmp_path: Path):
    free, tied = (method(model, tmp_path, layers="mid", reparameterised=r) for r in (False, True))
    assert all(torch.equal(a, b) for a, b in zip(free.key.values(), tied.key.values(), strict=True))
    (prompt,) = tied.prompts.values()
    with torch.no_grad():
        prompt.p.add_(1.0)
    for before, after in zip(free.key.values(), tied.key.values(), strict=True):
        torch.testing.assert_close(after, before + 1)  # both keys and values follow the one p
    tied.on_fit_start()
    run(tied, 1)
    (keys, values), width = next(iter(tied.key.values())), prompt.p.shape[1]
    h = prompt.p + torch.tanh(prompt.p @ prompt.inner / width) @ prompt.outer / width
    torch.testing.assert_close(keys, (h + h @ prompt.readings[0] / width).detach())
    torch.testing.assert_close(values, (h + h @ prompt.readings[1] / width).detach())
    assert not torch.allclose(keys, values)


def test_losses_are_the_papers(model: StableDiffusion, tmp_path: Path):
    kpop = method(model, tmp_path, Fixed(["a barn"], weight=0.7))
    kpop.on_fit_start()
    run(kpop, 1)  # away from where every error is nought
    losses, ours = kpop.losses(1), kpop.transfer(3)
    prompts = rows([CHURCH], 2, stream(0, "erase", 1))
    erased = kpop.latents.draw(prompts, "erase", 1)
    said = model.prompt(prompts)
    with torch.no_grad():
        without, opened = (model.predict(erased.x_t, erased.t, said.with_key(k)) for k in (None, kpop.key))
        target = erased.unconditional - 1.5 * (erased.conditional - erased.unconditional)
        kept = kpop.latents.draw(["a barn"] * 2, "keep", 1)
        barn = model.predict(kept.x_t, kept.t, model.prompt(["a barn"] * 2))
    assert {*losses} == {"erase", "recover", "keep"}
    torch.testing.assert_close(losses["erase"].detach(), 0.5 * (without - target).square().mean())
    torch.testing.assert_close(losses["recover"].detach(), 0.2 * (opened - erased.conditional).square().mean())
    torch.testing.assert_close(losses["keep"].detach(), 0.7 * (barn - kept.conditional).square().mean())
    said = rows([CHURCH], 2, stream(0, "transfer", 3))
    points = kpop.latents.draw(said, "transfer", 3)
    for name, weight, words, wanted in (
        ("transfer", 1.0, said, points.conditional),
        ("empty", 0.3, ["", ""], points.unconditional),
    ):
        with torch.no_grad():
            opened = model.predict(points.x_t, points.t, model.prompt(words).with_key(kpop.key))
        torch.testing.assert_close(ours[name].detach(), weight * (opened - wanted).square().mean())
    kpop.erase_with = kpop.empty_with = 0.0
    assert {*kpop.losses(1)} == {"erase", "keep"}
    assert {*kpop.transfer(1)} == {"transfer"}


def test_each_stage_moves_its_own_player_alone(model: StableDiffusion, tmp_path: Path):
    kpop = method(model, tmp_path)
    kpop.on_fit_start()
    everyone = {name: moved for name, (moved, _) in kpop.players.items()}
    optimizers = dict(zip(kpop.players, kpop.configure_optimizers()[0], strict=True))
    stages = []
    for player, losses in kpop.updates(0):
        stages.append(player)
        before = {name: [p.detach().clone() for p in moved] for name, moved in everyone.items()}
        optimizers[player].zero_grad()
        torch.stack(list(losses.values())).sum().backward(inputs=everyone[player])
        optimizers[player].step()
        moved = {n for n, was in before.items() if any(not torch.equal(a, b) for a, b in zip(was, everyone[n], strict=True))}
        assert moved == {player}
    assert stages == ["prompt", "prompt", "weights"]
    kpop.zero_grad()
    kpop.losses(1)["recover"].backward()
    assert all(p.grad is None for p in everyone["prompt"])
    assert any(p.grad is not None for p in everyone["weights"])


def test_transfer_brings_back_what_the_weights_lost(model: StableDiffusion, tmp_path: Path):
    kpop = method(model, tmp_path, prompt_steps=12, erase_with=0.0)
    kpop.on_fit_start()
    model.put({n: w + 0.05 * torch.randn(w.shape, generator=stream(0, n)) for n, w in model.moving.items()})
    before = kpop.transfer(0)["transfer"]
    optimizer = torch.optim.Adam(kpop.players["prompt"][0], kpop.prompt_lr)
    for _ in range(12):
        optimizer.zero_grad()
        kpop.transfer(0)["transfer"].backward(inputs=kpop.players["prompt"][0])
        optimizer.step()
    assert kpop.transfer(0)["transfer"] < 0.9 * before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("size", 0), ("prompt_steps", 0), ("prompt_lr", 0.0), ("erase_without", -1.0)),
        *(("erase_with", -0.1), ("empty_with", -1.0), ("layers", "down"), ("sharing", "some")),
    ],
)
def test_nonsense_is_refused(field: str, value: object, model: StableDiffusion, tmp_path: Path):
    with pytest.raises(BadInput, match=f"method.{field}={value}"):
        method(model, tmp_path, **{field: value})


def test_a_prompt_rate_that_is_too_high_is_named(model: StableDiffusion, tmp_path: Path):
    kpop = method(model, tmp_path, prompt_lr=1e30)
    kpop.on_fit_start()
    with pytest.raises(BadInput, match=r"method.prompt_lr=1e\+30 is too high"):
        run(kpop, 1)

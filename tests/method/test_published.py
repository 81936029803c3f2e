"""EAP as published against its formulas, evaluated here and now: loss, gradient, and what it costs."""

import copy
from pathlib import Path

import torch
from conftest import composed
from torch import Tensor
from torch.func import functional_call

from erase.method.base import Method
from erase.model.stable_diffusion import StableDiffusion
from erase.random import stream
from erase.train import objective

STEPS, ETA, TEMPERATURE, RATE = 5, 1.0, 2.0, 0.01
PUBLISHED = ["method=adv_preserve", "latents=on_policy", "preservation.search=gumbel", "loss=x0", "batch_size=1"]


def published(model: StableDiffusion, folder: Path) -> Method:
    """`PUBLISHED` from the command line, over few candidates and few DDIM steps."""
    own = ["concept=church", "concept.prompts=[church]", f"latents.steps={STEPS}"]
    config = composed(*PUBLISHED, *own, "preservation.closest=4", "preservation.filter=none")
    found = objective(config, lambda: model, folder)
    found.on_fit_start()
    return found


class Formulas:
    """§ 3 of the paper with the released code's target and norm, on networks of its own: the student's and the teacher's."""

    def __init__(self, model: StableDiffusion) -> None:
        self.unet, self.teacher = copy.deepcopy(model.pipe.unet), model.weights("unet", edited=False)
        self.model, self.alphas = model, model.noise_scheduler.alphas_cumprod
        self.grid = [1 + 200 * k for k in range(STEPS)]  # from the least noise
        self.forwards = 0

    def tau(self, word: str) -> Tensor:
        return self.model.prompt([word], edited=False).sequence

    def eps(self, x: Tensor, k: int, words: Tensor, student: bool) -> Tensor:
        self.forwards += 1
        t = torch.tensor([self.grid[k]])
        return (self.unet(x, t, words) if student else functional_call(self.unet, self.teacher, (x, t, words))).sample

    @torch.no_grad()
    def rollout(self, z: Tensor, k: int, words: Tensor) -> Tensor:
        """DDIM of the student from z_T under guidance 3, from the noisiest of the grid down to k; eq. 12 of Song et al."""
        for at in range(STEPS - 1, k, -1):
            empty, said = (self.eps(z, at, w, True) for w in (self.tau(""), words))
            e, a, b = empty + 3 * (said - empty), self.alphas[self.grid[at]], self.alphas[self.grid[at - 1]]
            z = b.sqrt() * (z - (1 - a).sqrt() * e) / a.sqrt() + (1 - b).sqrt() * e
        return z

    def x0(self, z: Tensor, k: int, e: Tensor) -> Tensor:
        a = self.alphas[self.grid[k]]
        return (z - (1 - a).sqrt() * e) / a.sqrt()

    def keep(self, noise: Tensor, k: int, words: Tensor) -> Tensor:
        """‖x0 ε'(z_r, t, e_r) − sg[x0 ε(z_r, t, e_r)]‖²: the gradient goes through the words, not through z_r."""
        z = self.rollout(noise, k, words.detach())
        with torch.no_grad():
            theirs = self.x0(z, k, self.eps(z, k, words, False))
        return (self.x0(z, k, self.eps(z, k, words, True)) - theirs).square().mean()

    def erase(self, noise: Tensor, k: int, words: Tensor) -> Tensor:
        """‖x0 ε'(z, t, e_n) − [x0 ε(z, t, ∅) − η (x0 ε(z, t, e_n) − x0 ε(z, t, ∅))]‖²."""
        z = self.rollout(noise, k, words)
        with torch.no_grad():
            empty, said = (self.x0(z, k, self.eps(z, k, w, False)) for w in (self.tau(""), words))
        return (self.x0(z, k, self.eps(z, k, words, True)) - (empty - ETA * (said - empty))).square().mean()


def place(use: str, step: int, shape: tuple[int, ...]) -> tuple[Tensor, int]:
    """Initial noise and k, as drawn for a use."""
    rng = stream(0, f"{use} points", step)
    made, _ = int(torch.randint(STEPS, (1,), generator=rng)), torch.rand(1, generator=rng)
    return torch.randn((1, *shape), generator=rng), STEPS - 1 - made


def gumbel(use: str, step: int, logits: Tensor) -> Tensor:
    """softmax((logits + g) / τ) with g = −log(−log u)."""
    u = torch.rand(logits.shape, generator=stream(0, f"{use} gumbel", step))
    return torch.softmax((logits - torch.log(-torch.log(u + 1e-10) + 1e-10)) / TEMPERATURE, 0)


def test_an_update_is_the_published_one(model: StableDiffusion, tmp_path: Path):
    erasing = published(model, tmp_path)
    with torch.no_grad():
        for parameter in model.moving.values():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=stream(0, "test")))
    search = erasing.preservation.search
    pool, shape, step = search.game.pool, model.latent_shape, 3
    losses = erasing.losses(step)
    torch.stack(list(losses.values())).sum().backward()

    formulas = Formulas(model)
    own = dict(formulas.unet.named_parameters())
    moving = [own[name.removeprefix("unet.")].requires_grad_() for name in model.moving]

    # the search: one step of Adam up the keep loss, from logits 1/n, with the gradient of the soft shares
    logits = torch.full((len(pool),), 1 / len(pool), requires_grad=True)
    adam = torch.optim.Adam([logits], RATE)
    states = torch.cat([formulas.tau(word) for word in pool])
    soft = gumbel("search 0", step, logits)
    hard = torch.nn.functional.one_hot(soft.argmax(), len(pool)) + soft - soft.detach()
    noise, k = place("search 0", step, shape)
    loss = -formulas.keep(noise, k, torch.tensordot(hard, states, 1)[None])
    (logits.grad,) = torch.autograd.grad(loss, logits)
    adam.step()
    (mixture,) = search.mixtures
    torch.testing.assert_close(mixture.logits.grad, logits.grad, rtol=2e-2, atol=1e-6)
    torch.testing.assert_close(mixture.logits.detach(), logits.detach(), rtol=1e-3, atol=1e-4)

    # the update: a new draw; both trajectories from the same noise to the same k
    word = pool[int(gumbel("keep", step, logits.detach()).argmax())]
    noise, k_pair = place("pair", step, shape)
    erase = formulas.erase(noise, k_pair, formulas.tau("church"))
    keep = formulas.keep(noise, k_pair, formulas.tau(word))
    torch.testing.assert_close(losses["erase"], erase, rtol=2e-2, atol=1e-5)
    torch.testing.assert_close(losses["keep"], keep, rtol=2e-2, atol=1e-5)
    gradients = torch.autograd.grad(erase + keep, moving)
    ours = torch.cat([p.grad.flatten() for p in model.moving.values()])
    theirs = torch.cat([g.flatten() for g in gradients])
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.999
    torch.testing.assert_close(ours.norm(), theirs.norm(), rtol=2e-2, atol=0)

    # three partial trajectories under guidance; the teacher thrice for the pair, once for the search; the student 2 + 1. On
    # the published grid of 50, where one stops after 24.5 steps on average, that is 154 F (160 with the released code's 25.48)
    made = 2 * (STEPS - 1 - k_pair) + (STEPS - 1 - k)
    assert made > 0
    assert model.cost.forwards == formulas.forwards == 2 * made + 3 + 1 + 2 + 1
    assert model.cost.backwards == 3

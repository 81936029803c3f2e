"""This file is KPOP: the concept moves out of the weights into a learnable prompt, which is then a key to it."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from erase.errors import BadInput
from erase.method.redirect import Redirect
from erase.model.text_to_image import Key
from erase.random import stream

LAYERS = {"mid": ("mid_block",), "midout": ("mid_block", "up_blocks"), "all": ("down_blocks", "mid_block", "up_blocks")}
"""Where the prompt is heard: the published modes mid, midout and inmidout."""

SHARING = ("shared", "block", "layer")
"""Which layers hear one and the same prompt: all of them, those of a block, or each its own."""


class Prompt(nn.Module):
    """P_k and P_v, free of each other; both begin as `start` (tokens, width)."""

    def __init__(self, start: Tensor, rng: torch.Generator) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.stack([start, start]))

    def forward(self) -> Tensor:
        """(2, tokens, width), for keys and for values."""
        return self.values


class Reparameterised(nn.Module):
    """P_k = W_1 h(p) and P_v = W_2 h(p), tied by one p, with h(p) = p + B tanh(A p). Le et al. 2025, arXiv 2410.02200.

    It begins where `Prompt` does: B at nought, W_1 and W_2 at the identity. What is learnt of the matrices is divided by their
    width, so that a step of Adam moves P by about its rate, as it moves a free one.
    """

    def __init__(self, start: Tensor, rng: torch.Generator) -> None:
        super().__init__()
        width = start.shape[1]
        self.p = nn.Parameter(start.clone())
        self.inner = nn.Parameter(torch.randn((width, width), generator=rng) * width**0.5)
        self.outer = nn.Parameter(torch.zeros(width, width))
        self.readings = nn.Parameter(torch.zeros(2, width, width))  # besides the identity

    def forward(self) -> Tensor:
        """(2, tokens, width), for keys and for values."""
        width = self.p.shape[1]
        h: Tensor = self.p + torch.tanh(self.p @ self.inner / width) @ self.outer / width
        return h + h @ self.readings / width


class KPOP(Redirect):
    """Bui et al. 2024, arXiv 2403.12326: K = W_K [c; P_k] and V = W_V [c; P_v] in cross-attention, in two stages an update.

    Knowledge transfer, `prompt_steps` times: the prompt p goes down ‖ε_θ'(x_t, c_e, p) − ε_θ(x_t, c_e)‖² + `empty_with`
    ‖ε_θ'(x_t, ∅, p) − ε_θ(x_t, ∅)‖². The second term is ours: guidance hears p on both sides, as published, and where ∅ with p
    comes to say the concept too, there is nothing left to be guided by. Then knowledge removal: the weights go down
    `erase_without` ‖ε_θ'(x_t, c_e) − target‖² + `erase_with` ‖ε_θ'(x_t, c_e, p) − ε_θ(x_t, c_e)‖² and what the preservation
    adds, as in `Redirect`. The model is shipped without p, and does not know the concept; with it, it does.

    p is `size` tokens of context, of which one copy goes to all `layers` or to each block or layer (`sharing`). They begin as
    the erased prompts' own states.
    """

    divisible = False

    def __init__(
        self,
        size: int,
        layers: str,
        sharing: str,
        reparameterised: bool,
        prompt_lr: float,
        prompt_steps: int,
        erase_without: float,
        erase_with: float,
        empty_with: float,
        **parts: object,
    ) -> None:
        for name, number in (("size", size), ("prompt_steps", prompt_steps)):
            if number < 1:
                raise BadInput(f"method.{name}={number} must be at least 1.")
        for name, value in (("prompt_lr", prompt_lr), ("erase_without", erase_without)):
            if not value > 0:
                raise BadInput(f"method.{name}={value} must be greater than 0.")
        for name, value in (("erase_with", erase_with), ("empty_with", empty_with)):
            if not value >= 0:
                raise BadInput(f"method.{name}={value} must not be negative.")
        for name, choice, known in (("layers", layers, LAYERS), ("sharing", sharing, SHARING)):
            if choice not in known:
                raise BadInput(f"method.{name}={choice} is not one of: {', '.join(known)}.")
        super().__init__(**parts)  # type: ignore[arg-type]
        if self.model.low_memory:
            raise BadInput("method=kpop has a prompt that a pass made twice would not hear again: trainer.low_memory=false.")
        self.prompt_lr, self.prompt_steps = prompt_lr, prompt_steps
        self.erase_without, self.erase_with, self.empty_with = erase_without, erase_with, empty_with
        start, made = self._start(size), Reparameterised if reparameterised else Prompt
        # of each layer, which prompt it hears: a path in the network, down_blocks.0.attentions.1.…
        chosen = {name: name.split(".")[1:] for name in self.model.cross_attention}
        self.heard = {name: _common(path, sharing) for name, path in chosen.items() if path[0] in LAYERS[layers]}
        if not self.heard:
            raise BadInput(f"method.layers={layers}: nothing is heard there in this model; {', '.join(LAYERS)}.")
        names = sorted({*self.heard.values()})
        self.prompts = nn.ModuleDict({name: made(start, stream(self.seed, f"prompt {name}")) for name in names})

    def _start(self, size: int) -> Tensor:
        """States (size, width) of the erased prompts' words and ends, a word of each concept in turn, over again if need be."""
        said: list[list[Tensor]] = []
        for concept in self.concepts:
            states = self.model.prompt(concept.prompts, edited=False).sequence.float()
            lengths = self.model.lengths(concept.prompts)
            said.append([word for row, n in zip(states, lengths, strict=True) for word in row[1 : n + 2]])
        words = [word for turn in zip_longest(*said) for word in turn if word is not None]
        return torch.stack([words[i % len(words)] for i in range(size)])

    @property
    def players(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        return {"prompt": (list(self.prompts.parameters()), self.prompt_lr), **super().players}

    @property
    def key(self) -> Key:
        """P_k and P_v of every layer as they stand, without gradient."""
        return {layer: prompt.detach() for layer, prompt in self._heard().items()}

    def _heard(self) -> Key:
        found = {name: prompt() for name, prompt in self.prompts.items()}
        return {layer: found[name] for layer, name in self.heard.items()}

    def updates(self, step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        for turn in range(self.prompt_steps):
            losses = self.transfer(step * self.prompt_steps + turn)
            if not torch.isfinite(losses["transfer"]):
                raise BadInput(f"method.prompt_lr={self.prompt_lr} is too high: the loss is not finite at step {step}.")
            yield "prompt", losses
        yield "weights", self.losses(step)

    def transfer(self, turn: int) -> dict[str, Tensor]:
        """The prompt's losses at points of its own: what it does not bring back, and what it makes of the empty prompt."""
        prompts = self.task.erased(turn, self.batch_size, "transfer")
        points, key = self.draw(prompts, "transfer", turn, empty=self.empty_with > 0), self._heard()
        predicted = self.model.predict(points.x_t, points.t, self.words(prompts).with_key(key))
        found = {"transfer": self.error(predicted, points.conditional, points)}
        if self.empty_with:
            assert points.unconditional is not None
            predicted = self.model.predict(points.x_t, points.t, self.words([""] * len(prompts)).with_key(key))
            found["empty"] = self.empty_with * self.error(predicted, points.unconditional, points, tell=False)
        return found

    def losses(self, step: int) -> dict[str, Tensor]:
        prompts, chosen = self.task.erased(step, self.batch_size), self.hold(step)
        erased, target = self.erased(prompts, step)
        found = self.redirected(prompts, erased, target, chosen, step)
        if self.erase_with:
            with_key = self.words(prompts).with_key(self.key)
            predicted = self.model.predict(erased.x_t, erased.t, with_key)
            found["recover"] = self.erase_with * self.error(predicted, erased.conditional, erased, tell=False)
        return found

    def gone(self, errors: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        return super().gone(self.erase_without * errors, prompts)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["prompts"] = self.prompts.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.prompts.load_state_dict(checkpoint["prompts"])


def _common(path: list[str], sharing: str) -> str:
    """What layers at `path` have in common with those that hear the same prompt; names of modules hold no dots."""
    if sharing == "shared":
        return "all"
    return "_".join(path[: path.index("attentions")] if sharing == "block" else path)

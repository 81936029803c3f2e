"""This file is unified concept editing: keys and values of cross-attention, set in closed form."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from erase.adversary import Nobody
from erase.concept import Concept, says
from erase.errors import BadInput
from erase.method.base import Method


class UCE(Method):
    """Gandikota et al. 2024 (arXiv 2308.14761):
    W = (λ W₀ + s_e Σ v* kᵀ + s_p Σ W₀ k kᵀ)(λ I + s_e Σ k kᵀ + s_p Σ k kᵀ)⁻¹.

    k are the text encoder's states, of an erased prompt from the word on that says the concept; v* = W₀ k* with the
    states of the words that it becomes, the target's. Kept are all prompts of the preservation, with its weight as s_p.
    One update, no pass through the network. It is refused where it did not change what it was to change: `tolerance` is
    the largest share of the way from W₀ k to v* that may be left.
    """

    def __init__(self, erase_scale: float = 1.0, ridge: float = 0.1, tolerance: float = 0.5, **parts: object) -> None:
        super().__init__(**parts)  # type: ignore[arg-type]
        for name, value in (("erase_scale", erase_scale), ("ridge", ridge), ("tolerance", tolerance)):
            if not value > 0:
                raise BadInput(f"method.{name}={value} must be greater than 0.")
        if other := [n for n in self.model.moving if not n.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))]:
            raise BadInput(f"method=uce sets keys and values of cross-attention alone, not {other[0]}: parameters=xattn_kv.")
        if not isinstance(self.adversary, Nobody):
            raise BadInput("method=uce has one update, in closed form, with nobody to train against: adversary=none.")
        if None in map(self.target.words, self.task.prompts):
            raise BadInput("method=uce turns words into words: target=anchor (target.eta=0) or neutral.")
        if self.preservation.weight and self.preservation.settled is None:
            raise BadInput("method=uce keeps what is settled beforehand: preservation=retain_set, fixed or similar.")
        self.steps = 1
        self.erase_scale, self.ridge, self.tolerance = erase_scale, ridge, tolerance

    @property
    def players(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        return {}

    def updates(self, step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        pairs = [self._pairs(concept, prompt) for concept in self.concepts for prompt in concept.prompts]
        ours, theirs = (torch.cat(states) for states in zip(*pairs, strict=True))
        weight, held = self.preservation.weight, ours[:0]
        if weight:
            held = self._states(self.preservation.settled or [])[:, 1:].flatten(0, 1)
        gram = self.ridge * torch.eye(ours.shape[1], dtype=ours.dtype, device=ours.device)
        kept = gram + weight * held.T @ held
        left, drift = [], []
        for parameter in self.model.moving.values():
            before = parameter.detach().double()  # the original is in the run's precision
            wanted = self.erase_scale * theirs.T @ ours + kept
            after = torch.linalg.solve(kept + self.erase_scale * ours.T @ ours, (before @ wanted).T).T
            parameter.data.copy_(after)
            way = ((ours - theirs) @ before.T).norm()
            left.append((ours @ after.T - theirs @ before.T).norm() / way)
            drift.append((held @ (after - before).T).norm() / (held @ before.T).norm() if len(held) else way.new_zeros(()))
        found = {"erase": torch.stack(left).mean(), "keep": torch.stack(drift).mean()}
        if not found["erase"] <= self.tolerance:
            share = f"{float(found['erase']):.2f}"
            raise BadInput(
                f"method=uce left {share} of what was to go (method.tolerance={self.tolerance}): raise method.erase_scale."
            )
        yield "closed form", found

    def _pairs(self, concept: Concept, prompt: str) -> tuple[Tensor, Tensor]:
        """States (tokens, width) of `prompt` from the word on that says `concept`, and those that they become."""
        target, words = self.target.words(prompt) or "", prompt.split()
        said = next(i for i in range(1, len(words) + 1) if i == len(words) or says(" ".join(words[:i]), concept))
        start, end = self.model.lengths([" ".join(words[:said]), target])  # each prompt's last word, the first token being 0
        states, others = self._states([prompt, target])
        rows = torch.arange(max(end, 1), max(end, 1) + len(states) - start).clamp(max=len(others) - 1)
        return states[start:], others[rows]

    def _states(self, prompts: Sequence[str]) -> Tensor:
        return self.model.prompt(prompts, edited=False).sequence.double()

"""This file is unified concept editing: keys and values of cross-attention, set in closed form."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from erase.adversary import Nobody
from erase.concept import Concept, says
from erase.errors import BadInput
from erase.method.base import Method
from erase.model.words import states
from erase.preservation import pool


class UCE(Method):
    """Gandikota et al. 2024 (arXiv 2308.14761):
    W = (λ W₀ + s_e Σ v* kᵀ + s_p Σ W₀ k kᵀ)(λ I + s_e Σ k kᵀ + s_p Σ k kᵀ)⁻¹.

    k are the text encoder's states, of an erased prompt from the word on that says the concept; v* = W₀ k* with the
    states of the words that it becomes, the target's. Kept are all prompts of the preservation, with its weight as s_p.
    One update, no pass through the network. It is refused where it did not change what it was to change: `tolerance` is
    the largest share of the way from W₀ k to v* that may be left of any concept; and where it did not spare the rest:
    `keep_tolerance` is the largest change of W k beside W₀ k, over all words that there are for other things, whether held or
    not, and what the preservation had to choose from (None: any).
    """

    def __init__(
        self,
        erase_scale: float = 1.0,
        ridge: float = 0.1,
        tolerance: float = 0.5,
        keep_tolerance: float | None = 0.5,
        **parts: Any,
    ) -> None:
        # there is no batch that must hold every concept
        super().__init__(**{**parts, "batch_size": max(parts["batch_size"], len(parts["concepts"]))})
        numbers = {"erase_scale": erase_scale, "ridge": ridge, "tolerance": tolerance, "keep_tolerance": keep_tolerance}
        for name, value in numbers.items():
            if value is not None and not value > 0:
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
        self.erase_scale, self.ridge = erase_scale, ridge
        self.tolerance, self.keep_tolerance = tolerance, keep_tolerance

    @property
    def players(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        return {}

    def updates(self, step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        each = [_joined(self._pairs(concept, prompt) for prompt in concept.prompts) for concept in self.concepts]
        ours, theirs = _joined(each)
        weight, settled = self.preservation.weight, self.preservation.settled
        others = self._gram([*dict.fromkeys([*pool(None, self.model.vocabulary, self.concepts), *self.candidates])])
        kept = self.ridge * torch.eye(ours.shape[1], dtype=ours.dtype, device=ours.device)
        kept = kept + weight * self._gram(settled) if weight and settled else kept
        left, drift = [], []
        for parameter in self.model.moving.values():
            before = parameter.detach().double()  # the original is in the run's precision
            wanted = self.erase_scale * theirs.T @ ours + kept
            after = torch.linalg.solve(kept + self.erase_scale * ours.T @ ours, (before @ wanted).T).T
            parameter.data.copy_(after)
            ways = [(k @ after.T - v @ before.T).norm() / ((k - v) @ before.T).norm() for k, v in each]
            left.append(torch.stack(ways))
            drift.append(_length(after - before, others) / _length(before, others))
        most, worst = torch.stack(left).mean(0).max(0)  # over layers, of every concept
        found = {"erase": most, "keep": torch.stack(drift).mean()}
        if not found["erase"] <= self.tolerance:
            of = f"{float(most):.2f} of what was to go of {self.concepts[int(worst)].name}"
            raise BadInput(f"method=uce left {of} (method.tolerance={self.tolerance}): raise method.erase_scale.")
        if self.keep_tolerance is not None and not found["keep"] <= self.keep_tolerance:
            share = f"{float(found['keep']):.2f}"
            raise BadInput(
                f"method=uce changed all other words by {share} (method.keep_tolerance={self.keep_tolerance}): hold more of "
                "them, preservation=retain_set, or lower method.erase_scale."
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

    def _gram(self, prompts: Sequence[str]) -> Tensor:
        """Σ k kᵀ (width, width) over all states of `prompts` but the first, which all prompts share."""
        some = (part[:, 1:].flatten(0, 1).double() for part in states(self.model, prompts).sequence.split(64))
        return torch.stack([k.T @ k for k in some]).sum(0)


def _joined(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    ours, theirs = zip(*pairs, strict=True)
    return torch.cat(ours), torch.cat(theirs)


def _length(matrix: Tensor, gram: Tensor) -> Tensor:
    """√Σ ‖`matrix` k‖², `gram` being Σ k kᵀ."""
    return torch.trace(matrix @ gram @ matrix.T).clamp(min=0).sqrt()

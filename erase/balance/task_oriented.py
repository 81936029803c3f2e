"""This file is the task-oriented balance: multiple-gradient descent that turns to the losses whose goal is not reached yet."""

from collections.abc import Mapping

import torch
from torch import Tensor

from erase.balance import Balance
from erase.errors import BadInput

ROUNDS, RATE = 10, 0.025
"""Gradient steps an update on what the weights are the softmax of, and their size, as released."""


class TaskOriented(Balance):
    """TA-MOO (Bui et al., TMLR 2023): wᵀ·gram·w, and weight is pushed off what is `achieved` and spread over what is not.

    The objective, with m = 1 for what is achieved: wᵀ·gram·w + `push` · [Σ m w² + (1 − Σ (1−m) w)² / Σ (1−m)] −
    `spread` · Σ (1−m) (−w log w), w the softmax of what ten steps an update go down on. The paper's tasks are attacks that
    succeed or do not; here a loss is achieved where its moving mean is below `goal` of the largest loss that the first update
    had: what is held begins at nought, and counts as achieved until the edit hurts it. Gradients are brought to a mean square
    length of 1 first, so that the constants mean the same in every model.
    """

    def __init__(self, goal: float = 0.05, memory: float = 0.9, push: float = 100.0, spread: float = 20.0) -> None:
        if not 0 < goal < 1:
            raise BadInput(f"balance.goal={goal} must be between 0 and 1.")
        if not 0 <= memory < 1:
            raise BadInput(f"balance.memory={memory} must be from 0 to less than 1.")
        for name, value in (("push", push), ("spread", spread)):
            if value < 0:
                raise BadInput(f"balance.{name}={value} must not be negative.")
        self.goal, self.memory, self.push, self.spread = goal, memory, push, spread
        self.state: dict[str, Tensor] = {}

    def weigh(self, gram: Tensor, losses: Mapping[str, float], step: int) -> Tensor:
        now = torch.tensor(list(losses.values()), dtype=torch.double)
        if len(self.state.get("mean", ())) != len(now):
            self.state = {"first": now.max(), "mean": now.clone(), "logits": torch.zeros(len(now), dtype=torch.double)}
        self.state["mean"] = self.memory * self.state["mean"] + (1 - self.memory) * now
        achieved = (self.state["mean"] < self.goal * self.state["first"]).double()
        left = 1 - achieved if achieved.min() == 0 else torch.ones_like(achieved)  # where all is achieved, all count
        gram = gram / gram.diagonal().mean().clamp(min=torch.finfo(torch.double).tiny)
        logits = self.state["logits"].clone().requires_grad_()
        for _ in range(ROUNDS):
            w = logits.softmax(0)
            off = ((1 - left) * w.square()).sum() + (1 - (left * w).sum()).square() / left.sum()
            entropy = -(left * w * w.log()).sum()
            (gradient,) = torch.autograd.grad(w @ gram @ w + self.push * off - self.spread * entropy, logits)
            logits = (logits - RATE * gradient).detach().requires_grad_()
        self.state["logits"] = logits.detach()
        return self.state["logits"].softmax(0)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.state = dict(state)

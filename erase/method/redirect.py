"""This file is the objective of ESD and EAP: redirect the erased prompt to a target, hold the kept prompts."""

import torch
from torch import Tensor

from erase.latents import Points
from erase.method.base import Method
from erase.random import stream


class Redirect(Method):
    """L = ‖ε_θ'(x_t, c_e) − target‖² + λ ‖ε_θ'(x'_t, c_p) − ε_θ(x'_t, c_p)‖².

    EAP (Bui et al. 2024, arXiv 2410.15618) with adversarial c_p; ESD (Gandikota et al. 2023, arXiv 2303.07345) with
    λ = 0. x_t comes from the erased concept's trajectories, x'_t from those of the kept one.
    """

    def losses(self, step: int) -> dict[str, Tensor]:
        said = [p for c in self.concepts for p in c.prompts]
        rows = torch.randint(len(said), (self.batch_size,), generator=stream(self.seed, "erase", step))
        prompts = [said[i] for i in rows]
        points = [self.latents.draw(prompts, "erase", step)]
        weight = self.preservation.weight
        if weight:
            kept = self.preservation.choose(step, self.batch_size)
            points.append(self.latents.draw(kept, "keep", step))
            prompts = [*prompts, *kept]
        at = Points.stack(points)
        predicted = self.model.predict(at.x_t, at.t, self.words(prompts)).split(self.batch_size)
        losses = {"erase": self.criterion(predicted[0], self.target(points[0]))}
        if weight:
            losses["keep"] = weight * self.criterion(predicted[1], points[1].conditional)
        return losses

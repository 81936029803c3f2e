"""This file is the objective of ESD and EAP: redirect the erased prompt to a target, hold the kept prompts."""

import torch
from torch import Tensor

from erase.concept import rows
from erase.latents import Points
from erase.method.base import Method
from erase.model.text_to_image import Conditioning
from erase.random import stream


class Redirect(Method):
    """L = ‖ε_θ'(x_t, c_e) − target‖² + λ ‖ε_θ'(x'_t, c_p) − ε_θ(x'_t, c_p)‖².

    EAP (Bui et al. 2024, arXiv 2410.15618) with adversarial c_p; ESD (Gandikota et al. 2023, arXiv 2303.07345) with
    λ = 0. x_t comes from the erased concept's trajectories, x'_t from those of the kept one.
    """

    def losses(self, step: int) -> dict[str, Tensor]:
        return self.redirected(*self.erased(step), step)

    def erased(self, step: int) -> tuple[list[str], Points]:
        """The prompts that update `step` erases, and a point of each."""
        prompts = rows(self.concepts, self.batch_size, stream(self.seed, "erase", step))
        return prompts, self.latents.draw(prompts, "erase", step)

    def redirected(self, prompts: list[str], erased: Points, step: int) -> dict[str, Tensor]:
        """The two terms, where the erased prompts meet these points."""
        target = self.target(erased, prompts, step)
        weight = self.preservation.weight
        if not weight:
            predicted = self.model.predict(erased.x_t, erased.t, self.words(prompts))
            return {"erase": self.criterion(predicted, target, erased.snr)}
        chosen = self.preservation.choose(step, self.batch_size)
        kept = self.latents.draw(chosen.prompts, "keep", step, empty=False)
        heard, held = self.words(chosen.prompts), kept.conditional
        if chosen.conditioning:
            heard = chosen.conditioning
            with torch.no_grad():
                held = self.model.predict(kept.x_t, kept.t, heard, edited=False)
        x_t, t = torch.cat([erased.x_t, kept.x_t]), torch.cat([erased.t, kept.t])
        both = Conditioning.stack([self.words(prompts), heard])
        ours, theirs = self.model.predict(x_t, t, both).split(self.batch_size)
        return {
            "erase": self.criterion(ours, target, erased.snr),
            "keep": weight * self.criterion(theirs, held, kept.snr),
        }

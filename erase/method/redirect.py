"""This file is the objective of ESD and EAP: redirect the erased prompt to a target, hold the kept prompts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erase.latents import Points
from erase.method.base import Method
from erase.model.text_to_image import Conditioning
from erase.preservation import Kept


class Redirect(Method):
    """L = ‖ε_θ'(x_t, c_e) − target‖² + λ ‖ε_θ'(x'_t, c_p) − ε_θ(x'_t, c_p)‖².

    EAP (Bui et al. 2024, arXiv 2410.15618) with adversarial c_p; ESD (Gandikota et al. 2023, arXiv 2303.07345) with
    λ = 0. x_t comes from the erased concept's trajectories, x'_t from those of the kept one.
    """

    def losses(self, step: int) -> dict[str, Tensor]:
        prompts = self.task.erased(step, self.batch_size)
        erased = self.latents.draw(prompts, "erase", step)
        target = self.target(erased, prompts, step)
        chosen = self.preservation.choose(step, self.batch_size) if self.preservation.weight else None
        return redirected(self, step, prompts, erased, target, chosen)


def redirected(
    method: Method, step: int, prompts: Sequence[str], erased: Points, target: Tensor, chosen: Kept | None
) -> dict[str, Tensor]:
    """Both losses of update `step` in one pass: erased `prompts` at their points to `target`, `chosen` as it was."""
    model, criterion, words = method.model, method.criterion, method.words
    if not chosen:
        return {"erase": criterion(model.predict(erased.x_t, erased.t, words(prompts)), target, erased.snr)}
    kept = method.latents.draw(chosen.prompts, "keep", step, empty=False)
    heard, held = words(chosen.prompts), kept.conditional
    if chosen.conditioning:
        heard = chosen.conditioning
        with torch.no_grad():
            held = model.predict(kept.x_t, kept.t, heard, edited=False)
    x_t, t = torch.cat([erased.x_t, kept.x_t]), torch.cat([erased.t, kept.t])
    both = Conditioning.stack([words(prompts), heard])
    ours, theirs = model.predict(x_t, t, both).split(len(prompts))
    return {
        "erase": criterion(ours, target, erased.snr),
        "keep": method.preservation.weight * criterion(theirs, held, kept.snr),
    }

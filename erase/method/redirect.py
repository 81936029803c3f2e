"""This file is the objective of ESD and EAP: redirect the erased prompt to a target, hold the kept prompts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erase.latents import Points
from erase.method.base import Method
from erase.model.text_to_image import Conditioning
from erase.preservation import Kept
from erase.trainer import team


class Redirect(Method):
    """L = ‖ε_θ'(x_t, c_e) − target‖² + λ ‖ε_θ'(x'_t, c_p) − ε_θ(x'_t, c_p)‖².

    EAP (Bui et al. 2024, arXiv 2410.15618) with adversarial c_p; ESD (Gandikota et al. 2023, arXiv 2303.07345) with
    λ = 0. x_t comes from the erased concept's trajectories, x'_t from those of the kept one. Where there is an adversary,
    the first c_e is what it makes of it; the target stays that of the words.
    """

    divisible = True

    def hold(self, step: int) -> Kept | None:
        """What update `step` holds."""
        return self.choose(step, self.batch_size) if self.preservation.weight else None

    def erased(self, prompts: Sequence[str], step: int) -> tuple[Points, Tensor]:
        """Where the erased `prompts` are heard, and what shall be said of them there."""
        points = self.draw(prompts, "erase", step)
        return points, self.target(points, prompts, step)

    def losses(self, step: int) -> dict[str, Tensor]:
        prompts = self.task.erased(step, self.batch_size)
        chosen = self.hold(step)
        return self.redirected(prompts, *self.erased(prompts, step), chosen, step)

    def redirected(
        self, prompts: Sequence[str], erased: Points, target: Tensor, chosen: Kept | None, step: int
    ) -> dict[str, Tensor]:
        """The two terms, where the erased `prompts` meet these points, and with what is held; of a team, this one's share."""
        mine, part = team.own(len(prompts)), team.share(len(prompts))
        erased, target = erased.rows(mine), target[mine]
        attacked = self.attacked(prompts, step).rows(mine)
        if chosen is None:
            said = self.model.predict(erased.x_t, erased.t, attacked)
            return self.gone(part * self.errors(said, target, erased), prompts[mine])
        count = len(chosen.prompts)
        others, hold = self.preservation.weight * team.share(count), team.own(count)
        kept = self.draw(chosen.prompts, "keep", step, empty=False).rows(hold)
        heard, held = (chosen.conditioning or self.words(chosen.prompts)).rows(hold), kept.conditional
        if chosen.conditioning:
            with torch.no_grad():
                held = self.model.predict(kept.x_t, kept.t, heard, edited=False)
        x_t, t = torch.cat([erased.x_t, kept.x_t]), torch.cat([erased.t, kept.t])
        ours, theirs = self.model.predict(x_t, t, Conditioning.stack([attacked, heard])).split([len(erased), len(kept)])
        return {
            **self.gone(part * self.errors(ours, target, erased), prompts[mine]),
            "keep": others * self.error(theirs, held, kept),
        }

    def gone(self, errors: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """The erase term of `errors`, a row each of `prompts`; where a balance weighs losses, one of each concept."""
        if self.balance.plain or len(self.concepts) == 1:
            return {"erase": errors.mean()}
        said = torch.tensor(self.task.said(prompts), device=errors.device)
        return {f"erase/{concept.name}": (errors * (said == i)).mean() for i, concept in enumerate(self.concepts)}

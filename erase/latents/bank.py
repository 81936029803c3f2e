"""This file is the trajectory bank: whole trajectories of the frozen model, drawn once, used at every step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erase.latents.store import Store
from erase.model.text_to_image import Step


class Bank(Store):
    """One guided trajectory gives a training point at every step, with both teacher predictions as a by-product: 2 F each.

    Published ESD-family code re-draws half a trajectory for every loss instead (about 51 F a point). The places that a
    `proposal` chooses from are the steps.
    """

    def __init__(
        self,
        trajectories: int = 4,
        kept_trajectories: int = 1,
        steps: int = 20,
        guidance_scale: float = 3.0,
        proposal: str = "uniform",
        rows: int = 32,
        memory: float = 2e9,
        share: bool = True,
    ) -> None:
        counts = {"trajectories": trajectories, "kept_trajectories": kept_trajectories}
        super().__init__(counts, steps, steps, guidance_scale, rows, memory, share, proposal)

    def columns(self, walk: Sequence[Step]) -> dict[str, Tensor]:
        *points, _ = walk
        found = {name: torch.stack([getattr(p, name) for p in points], 1).half() for name in NAMES}
        return {**found, "t": torch.stack([p.t for p in points]).expand(len(points[0].x_t), -1)}

    def points(
        self, prompts: Sequence[str], rows: Sequence[dict[str, Tensor]], places: Tensor, rng: torch.Generator, empty: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """The empty prompt's prediction costs nothing here."""
        when, device = places.expand(len(rows)).tolist(), self.model.device
        found = {name: torch.stack([row[name][k] for row, k in zip(rows, when, strict=True)]).to(device) for name in rows[0]}
        x_t, conditional, unconditional = (found[name].float() for name in NAMES)
        return x_t, found["t"].long(), conditional, unconditional


NAMES = ("x_t", "conditional", "unconditional")

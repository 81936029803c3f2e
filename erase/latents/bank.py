"""This file is the trajectory bank: whole trajectories of the frozen model, drawn once, used at every step."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from erase.latents.store import Store, counted
from erase.model.text_to_image import Step


class Bank(Store):
    """One guided trajectory gives a training point at every step, with both teacher predictions as a by-product: 2 F each.

    Published ESD-family code re-draws half a trajectory for every loss instead (about 51 F a point). The places that a
    `proposal` chooses from are the steps.
    """

    def __init__(self, trajectories: int = 4, kept_trajectories: int = 1, **drawing: Any) -> None:
        super().__init__(**drawing)
        counts = counted(trajectories=trajectories, kept_trajectories=kept_trajectories)
        self.trajectories, self.kept_trajectories = counts

    @property
    def places(self) -> int:
        return self.steps

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

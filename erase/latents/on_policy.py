"""This file is the published source of points: a trajectory of the edited model for every point, drawn anew."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from erase.errors import BadInput
from erase.latents import Points
from erase.model.text_to_image import TextToImage
from erase.random import stream

PAIR = ("erase", "keep")
"""The uses that are drawn alike: row by row, the two points of a pair share the initial noise and where they stop."""


class OnPolicy:
    """Every point is where a guided DDIM trajectory of the edited model is stopped, as in the released code of ESD, EAP and
    AdvUnlearn (Gandikota et al. 2023; Bui et al. 2024; Zhang et al. 2024): about `steps` F a point, all but one or two of
    them for the trajectory. The edited network hears the unedited text encoder there, as in the last of these.

    The place k is drawn evenly over the grid; the network is asked at the grid's own timestep. With a `lag` the latents are
    that many grid steps further denoised than the network is told, and t is anywhere in the grid step, while the
    signal-to-noise ratio stays that of the grid; the released code does so with `lag=2`.
    """

    def __init__(self, steps: int = 50, guidance_scale: float = 3.0, lag: int = 0) -> None:
        if not 1 <= steps <= 999:
            raise BadInput(f"latents.steps={steps} must be from 1 to 999.")
        if not 0 <= lag <= steps:
            raise BadInput(f"latents.lag={lag} must be from 0 to latents.steps={steps}.")
        self.steps, self.guidance_scale, self.lag = steps, guidance_scale, lag
        self.paid: set[str] = set()
        self.lent = 0.0

    @property
    def drawn(self) -> list[str]:
        """Nothing: no point is used again."""
        return []

    def open(self, model: TextToImage, seed: int, folder: Path, shared: Path | None = None) -> None:
        """Draw from `model`; neither folder is needed."""
        self.model, self.seed = model, seed

    def declare(self, prompts: Sequence[str], kept: bool = False) -> None:
        """Nothing is drawn together."""

    def draw(self, prompts: Sequence[str], use: str, step: int, common: bool = False, empty: bool = True) -> Points:
        """One point for each of `prompts`, a function of (seed, use, step) and of the edited model; `common` takes all from
        the same noise and place.

        Shapes as in `Points`, fp32, on the model's device.
        """
        model, batch = self.model, len(prompts)
        use, count = "pair" if use in PAIR else use, 1 if common else batch
        places, parts, noises = (stream(self.seed, f"{use} {what}", step) for what in ("points", "inside", "noise"))
        made = torch.randint(self.steps, (count,), generator=places).expand(batch)  # steps of the trajectory, 0: pure noise
        inside = torch.rand((count,), generator=parts).expand(batch)
        noise = torch.stack([torch.randn(model.latent_shape, generator=noises) for _ in range(count)])
        noise = noise.expand(batch, -1, -1, -1).clone()
        stops = (made + self.lag).clamp(max=self.steps)
        said = model.prompt(prompts, edited=False)
        x_t = model.partway(said, noise, stops, self.steps, self.guidance_scale, edited=True)
        grid = model.grid(self.steps)[made.to(model.device)]
        t = self._inside(self.steps - 1 - made, inside).to(model.device) if self.lag else grid
        nothing = model.prompt([""], edited=False) if empty else None
        return Points(x_t, t, model.snr(grid), *model.teacher(x_t, t, said, nothing))

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: every draw is a function of what it is asked."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Nothing to go on from."""

    def _inside(self, k: Tensor, share: Tensor) -> Tensor:
        """Timesteps (batch,) in grid steps `k` (batch,), counted from the least noise, `share` of the way to the next."""
        total = self.model.noise_scheduler.config.num_train_timesteps
        first, end = ((n * total / self.steps).round() for n in (k, k + 1))
        return (first + share * (end - first)).long()

"""This file is noised pictures: the frozen model's own, with fresh noise at every step."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from erase.latents.store import Store, counted
from erase.model.text_to_image import Conditioning, Step


class Noised(Store):
    """x_t = √ᾱ x₀ + √(1−ᾱ) ε at any timestep, as models are trained: concept ablation (Kumari et al. 2023, arXiv 2303.13516).

    x₀ are the ends of guided trajectories: `images` latents of an erased prompt and `kept_images` of a kept one are drawn
    once, 2 · steps F each. What the teacher says of a point is computed when it is drawn: 1 F, and 1 for the empty prompt.
    """

    places = 20  # equal ranges of timesteps; within one, all are equally likely

    def __init__(self, images: int = 16, kept_images: int = 4, **drawing: Any) -> None:
        super().__init__(**drawing)
        self.trajectories, self.kept_trajectories = counted(images=images, kept_images=kept_images)
        self.said: dict[str, Conditioning] = {}

    def columns(self, walk: Sequence[Step]) -> dict[str, Tensor]:
        return {"x_0": walk[-1].x_t.half()}

    @torch.no_grad()
    def points(
        self, prompts: Sequence[str], rows: Sequence[dict[str, Tensor]], places: Tensor, rng: torch.Generator, empty: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        device, scheduler = self.model.device, self.model.noise_scheduler
        last = scheduler.config.num_train_timesteps
        part = places + torch.rand(len(places), generator=rng, dtype=torch.double)  # 0 is the noisy end
        t = (last * (1 - part / self.places)).long().clamp(max=last - 1).expand(len(rows)).to(device)
        noise = torch.randn((len(places), *self.model.latent_shape), generator=rng).expand(len(rows), -1, -1, -1).to(device)
        x_t = scheduler.add_noise(torch.stack([row["x_0"] for row in rows]).to(device, torch.float32), noise, t)
        for prompt in ("", *prompts):
            if prompt not in self.said:
                self.said[prompt] = self.model.prompt([prompt], edited=False)
        heard = Conditioning.stack([self.said[prompt] for prompt in prompts])
        return x_t, t, *self.model.teacher(x_t, t, heard, self.said[""] if empty else None)

"""This file is the trajectory bank: whole trajectories of the frozen model, drawn once, used at every step."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from erase.errors import BadInput
from erase.latents import Points
from erase.model.text_to_image import Conditioning, TextToImage
from erase.random import stream


class Bank:
    """One guided trajectory gives a training point at every step, with both teacher predictions as a by-product: 2 F each.

    Published ESD-family code re-draws half a trajectory for every loss instead (about 51 F a point). Prompts are
    declared in lists; a list is cut in fixed groups and a group is drawn when one of its prompts is first needed, so
    that a resumed run rebuilds the same numbers. Kept in half precision, in memory up to `memory` bytes, then on disk.
    """

    def __init__(
        self, trajectories: int = 4, steps: int = 20, guidance_scale: float = 3.0, rows: int = 32, memory: float = 2e9
    ) -> None:
        for name, value in (("trajectories", trajectories), ("steps", steps), ("rows", rows)):
            if value < 1:
                raise BadInput(f"latents.{name}={value} must be at least 1.")
        self.trajectories, self.steps, self.guidance_scale = trajectories, steps, guidance_scale
        self.rows, self.memory = rows, memory
        self.groups: dict[str, tuple[str, ...]] = {}
        self.stored: dict[str, dict[str, Tensor] | Path] = {}

    def open(self, model: TextToImage, seed: int, folder: Path) -> None:
        """Draw from `model`; what does not fit into memory goes to `folder`."""
        self.model, self.seed, self.folder, self.bytes = model, seed, folder, 0

    def declare(self, prompts: Sequence[str]) -> None:
        """Say which prompts belong together; nothing is drawn yet."""
        fresh = [p for p in dict.fromkeys(prompts) if p not in self.groups]
        size = max(1, self.rows // self.trajectories)
        for at in range(0, len(fresh), size):
            group = tuple(fresh[at : at + size])
            self.groups.update(dict.fromkeys(group, group))

    def _fill(self, group: tuple[str, ...]) -> None:
        noise = [
            torch.randn((self.trajectories, *self.model.latent_shape), generator=stream(self.seed, f"bank {prompt}"))
            for prompt in group
        ]
        each = Conditioning.stack([self.model.prompt([p], edited=False).expand(self.trajectories) for p in group])
        walk = self.model.trajectory(each, torch.cat(noise), self.steps, self.guidance_scale, edited=False)
        points = list(walk)[:-1]
        columns = {name: torch.stack([getattr(p, name) for p in points], 1).half().cpu() for name in NAMES}
        t = torch.stack([p.t for p in points]).cpu()
        for i, prompt in enumerate(group):
            own = slice(i * self.trajectories, (i + 1) * self.trajectories)
            self._keep(prompt, {**{n: c[own].contiguous() for n, c in columns.items()}, "t": t.clone()})

    def _keep(self, prompt: str, entry: dict[str, Tensor]) -> None:
        size = sum(x.nbytes for x in entry.values())
        if self.bytes + size <= self.memory:
            self.bytes += size
            self.stored[prompt] = entry
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{hashlib.sha256(prompt.encode()).hexdigest()[:24]}.safetensors"
        save_file(entry, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
        self.stored[prompt] = path

    def draw(self, prompts: Sequence[str], use: str, step: int, common: bool = False) -> Points:
        """One point for each of `prompts`, a function of (seed, use, step); `common` takes all from the same place.

        Shapes as in `Points`, fp32, on the model's device.
        """
        for prompt in prompts:
            if prompt not in self.groups:
                self.declare([prompt])
            if prompt not in self.stored:
                self._fill(self.groups[prompt])
        count = 1 if common else len(prompts)
        rng = stream(self.seed, f"{use} points", step)
        which = torch.randint(self.trajectories, (count,), generator=rng).expand(len(prompts)).tolist()
        when = torch.randint(self.steps, (count,), generator=rng).expand(len(prompts)).tolist()
        rows: dict[str, list[Tensor]] = {name: [] for name in (*NAMES, "t")}
        for prompt, i, k in zip(prompts, which, when, strict=True):
            found = self.stored[prompt]
            entry = load_file(found) if isinstance(found, Path) else found
            for name in NAMES:
                rows[name].append(entry[name][i, k])
            rows["t"].append(entry["t"][k])
        device = self.model.device
        return Points(
            *(torch.stack(rows[n]).to(device, torch.long if n == "t" else torch.float32) for n in ("x_t", "t", *NAMES[1:]))
        )


NAMES = ("x_t", "conditional", "unconditional")

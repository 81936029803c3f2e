"""This file is the trajectory bank: whole trajectories of the frozen model, drawn once, used at every step."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from erase.cache import once
from erase.errors import BadInput
from erase.latents import Points
from erase.model.text_to_image import Conditioning, TextToImage
from erase.random import stream


@dataclass(frozen=True)
class Group:
    """Prompts whose trajectories are drawn together, and how many each."""

    prompts: tuple[str, ...]
    trajectories: int


class Bank:
    """One guided trajectory gives a training point at every step, with both teacher predictions as a by-product: 2 F each.

    Published ESD-family code re-draws half a trajectory for every loss instead (about 51 F a point). Prompts are
    declared in lists; a list is cut in fixed groups and a group is drawn when one of its prompts is first needed, so
    that a resumed run rebuilds the same numbers. Kept in half precision, in memory up to `memory` bytes, then on disk.

    A group depends on nothing that is edited: runs of one model and seed share it. Every run counts its passes and
    seconds as its own, so that a cost does not tell who came first.
    """

    def __init__(
        self,
        trajectories: int = 4,
        kept_trajectories: int = 1,
        steps: int = 20,
        guidance_scale: float = 3.0,
        rows: int = 32,
        memory: float = 2e9,
        share: bool = True,
    ) -> None:
        counts = {"trajectories": trajectories, "kept_trajectories": kept_trajectories, "steps": steps, "rows": rows}
        for name, value in counts.items():
            if not 1 <= value <= 999:
                raise BadInput(f"latents.{name}={value} must be from 1 to 999.")
        self.trajectories, self.kept_trajectories = trajectories, kept_trajectories
        self.steps, self.guidance_scale, self.rows, self.memory, self.share = steps, guidance_scale, rows, memory, share
        self.groups: dict[str, Group] = {}
        self.stored: dict[str, dict[str, Tensor] | Path] = {}
        self.paid: set[str] = set()
        self.lent = 0.0

    def open(self, model: TextToImage, seed: int, folder: Path, shared: Path | None = None) -> None:
        """Draw from `model`; what does not fit into memory goes to `folder`, what other runs need too to `shared`."""
        self.model, self.seed, self.folder, self.bytes = model, seed, folder, 0
        self.shared = shared if self.share else None

    @property
    def drawn(self) -> list[str]:
        """The first prompt of every group that was drawn, before a resume too."""
        return sorted(self.paid | {self.groups[prompt].prompts[0] for prompt in self.stored})

    def declare(self, prompts: Sequence[str], kept: bool = False) -> None:
        """Say which prompts belong together, and whether they are kept or erased; nothing is drawn yet."""
        fresh = [p for p in dict.fromkeys(prompts) if p not in self.groups]
        count = self.kept_trajectories if kept else self.trajectories
        size = max(1, self.rows // count)
        for at in range(0, len(fresh), size):
            group = Group(tuple(fresh[at : at + size]), count)
            self.groups.update(dict.fromkeys(group.prompts, group))

    def _walk(self, group: Group) -> dict[str, Tensor]:
        """All trajectories of a group, (rows, points, channels, height, width) a column, and what they cost."""
        count, began, spent = group.trajectories, time.time(), self.model.cost.forwards
        noise = [
            torch.randn((count, *self.model.latent_shape), generator=stream(self.seed, f"bank {prompt}"))
            for prompt in group.prompts
        ]
        each = Conditioning.stack([self.model.prompt([p], edited=False).expand(count) for p in group.prompts])
        walk = self.model.trajectory(each, torch.cat(noise), self.steps, self.guidance_scale, edited=False)
        points = list(walk)[:-1]
        columns = {name: torch.stack([getattr(p, name) for p in points], 1).half().cpu() for name in NAMES}
        cost = {"forwards": self.model.cost.forwards - spent, "seconds": time.time() - began}
        return {**columns, "t": torch.stack([p.t for p in points]).cpu(), **{n: torch.tensor(c) for n, c in cost.items()}}

    def _key(self, group: Group) -> str:
        own = {**vars(group), "seed": self.seed, "steps": self.steps, "guidance_scale": self.guidance_scale}
        own |= {"code": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}
        what = {**own, "ids": self.model.tokenize(group.prompts).tolist(), **self.model.depends_on}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]

    def _fill(self, group: Group) -> None:
        count, began, spent = group.trajectories, time.time(), self.model.cost.forwards
        if self.shared:
            drawn = once(self.shared / f"{self._key(group)}.safetensors", lambda: self._walk(group))
        else:
            drawn = self._walk(group)
        new = group.prompts[0] not in self.paid
        self.model.cost.forwards = spent + new * int(drawn["forwards"])
        self.lent += new * float(drawn["seconds"]) - (time.time() - began)
        for i, prompt in enumerate(group.prompts):
            own = slice(i * count, (i + 1) * count)
            self._keep(prompt, {**{n: drawn[n][own].contiguous() for n in NAMES}, "t": drawn["t"].clone()})

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

    def draw(self, prompts: Sequence[str], use: str, step: int, common: bool = False, empty: bool = True) -> Points:
        """One point for each of `prompts`, a function of (seed, use, step); `common` takes all from the same place.

        Shapes as in `Points`, fp32, on the model's device; the empty prompt's prediction costs nothing here.
        """
        for prompt in prompts:
            if prompt not in self.groups:
                self.declare([prompt])
            if prompt not in self.stored:
                self._fill(self.groups[prompt])
        count = 1 if common else len(prompts)
        rng = stream(self.seed, f"{use} points", step)
        which = torch.rand((count,), generator=rng).expand(len(prompts)).tolist()  # a share of the trajectories
        when = torch.randint(self.steps, (count,), generator=rng).expand(len(prompts)).tolist()
        rows: dict[str, list[Tensor]] = {name: [] for name in (*NAMES, "t")}
        for prompt, share, k in zip(prompts, which, when, strict=True):
            found, i = self.stored[prompt], int(share * self.groups[prompt].trajectories)
            entry = load_file(found) if isinstance(found, Path) else found
            for name in NAMES:
                rows[name].append(entry[name][i, k])
            rows["t"].append(entry["t"][k])
        device = self.model.device
        x_t, conditional, unconditional = (torch.stack(rows[n]).to(device, torch.float32) for n in NAMES)
        t = torch.stack(rows["t"]).to(device, torch.long)
        return Points(x_t, t, self.model.snr(t), conditional, unconditional)


NAMES = ("x_t", "conditional", "unconditional")

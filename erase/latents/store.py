"""This file is what is drawn of the frozen model once: in groups, when first needed, shared by runs, counted by each."""

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from erase.cache import once, told
from erase.errors import BadInput
from erase.files import source_hash, whole
from erase.latents import Points
from erase.latents.proposal import Proposal
from erase.model.text_to_image import Conditioning, Step, TextToImage
from erase.random import stream


@dataclass(frozen=True)
class Group:
    """Prompts whose trajectories are drawn together, and how many each."""

    prompts: tuple[str, ...]
    trajectories: int


def counted(**counts: int) -> tuple[int, ...]:
    """`counts`, in their order; BadInput for one that is none."""
    for name, value in counts.items():
        if not 1 <= value <= 999:
            raise BadInput(f"latents.{name}={value} must be from 1 to 999.")
    return tuple(counts.values())


class Store(ABC):
    """Guided trajectories of the frozen model, of which a child says what is kept (`columns`) and what it gives (`points`).

    Prompts are declared in lists; a list is cut in fixed groups and a group is drawn when one of its prompts is first
    needed, so that a resumed run rebuilds the same numbers. Kept in half precision, in memory up to `memory` bytes, then
    on disk.

    A group depends on nothing that is edited: runs of one model and seed share it. Every run counts its passes and
    seconds as its own, so that a cost does not tell who came first.
    """

    trajectories: int  # of an erased prompt
    kept_trajectories: int

    def __init__(
        self,
        steps: int = 20,
        guidance_scale: float = 3.0,
        proposal: str = "uniform",
        rows: int = 32,
        memory: float = 2e9,
        share: bool = True,
    ) -> None:
        counted(steps=steps, rows=rows)
        self.steps, self.guidance_scale, self.rows, self.memory, self.share = steps, guidance_scale, rows, memory, share
        self.proposal = Proposal(proposal, self.places)
        self.groups: dict[str, Group] = {}
        self.stored: dict[str, dict[str, Tensor] | Path] = {}
        self.paid: set[str] = set()
        self.lent = 0.0

    @property
    @abstractmethod
    def places(self) -> int:
        """How many places a proposal chooses from."""

    @abstractmethod
    def columns(self, walk: Sequence[Step]) -> dict[str, Tensor]:
        """What is kept of a walk of many rows, each (rows, …)."""

    @abstractmethod
    def points(
        self, prompts: Sequence[str], rows: Sequence[dict[str, Tensor]], places: Tensor, rng: torch.Generator, empty: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """x_t, t and the teacher's predictions as in `Points`: of each of `prompts` one row, of one or as many `places`."""

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
        """What is kept of all trajectories of a group, and what they cost."""
        count, began, spent = group.trajectories, time.time(), self.model.cost.forwards
        noise = [
            torch.randn((count, *self.model.latent_shape), generator=stream(self.seed, f"bank {prompt}"))
            for prompt in group.prompts
        ]
        each = Conditioning.stack([self.model.prompt([p], edited=False).expand(count) for p in group.prompts])
        walk = self.model.trajectory(each, torch.cat(noise), self.steps, self.guidance_scale, edited=False)
        steps = [Step(*(getattr(step, field.name).cpu() for field in fields(Step))) for step in walk]  # the device holds one
        columns = self.columns(steps)
        cost = {"forwards": self.model.cost.forwards - spent, "seconds": time.time() - began}
        return {**columns, **{n: torch.tensor(c) for n, c in cost.items()}}

    def _key(self, group: Group) -> str:
        own = {**vars(group), "seed": self.seed, "steps": self.steps, "guidance_scale": self.guidance_scale}
        own |= {"kept by": source_hash(type(self))}
        what = {**own, "ids": self.model.tokenize(group.prompts).tolist(), **self.model.depends_on}
        return told(what)

    def _fill(self, group: Group) -> None:
        count, began, spent = group.trajectories, time.time(), self.model.cost.forwards
        if self.shared:
            drawn = once(self.shared / f"{self._key(group)}.safetensors", lambda: self._walk(group))
        else:
            drawn = self._walk(group)
        forwards, seconds = drawn.pop("forwards"), drawn.pop("seconds")
        new = group.prompts[0] not in self.paid
        self.model.cost.forwards = spent + new * int(forwards)
        self.lent += new * float(seconds) - (time.time() - began)
        for i, prompt in enumerate(group.prompts):
            own = slice(i * count, (i + 1) * count)
            self._keep(prompt, {name: column[own].clone() for name, column in drawn.items()})

    def _keep(self, prompt: str, entry: dict[str, Tensor]) -> None:
        size = sum(x.nbytes for x in entry.values())
        if self.bytes + size <= self.memory:
            self.bytes += size
            self.stored[prompt] = entry
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{hashlib.sha256(prompt.encode()).hexdigest()[:24]}.safetensors"
        with whole(path) as part:
            save_file(entry, part)
        self.stored[prompt] = path

    def draw(self, prompts: Sequence[str], use: str, step: int, common: bool = False, empty: bool = True) -> Points:
        """One point for each of `prompts`, a function of (seed, use, step) and of what a proposal that listens was told.

        `common` takes all from the same place, and prefers none. Shapes as in `Points`, fp32, on the model's device.
        """
        for prompt in prompts:
            if prompt not in self.groups:
                self.declare([prompt])
            if prompt not in self.stored:
                self._fill(self.groups[prompt])
        count = 1 if common else len(prompts)
        rng = stream(self.seed, f"{use} points", step)
        which = torch.rand((count,), generator=rng).expand(len(prompts)).tolist()  # a share of the trajectories
        proposal = Proposal("uniform", self.proposal.places) if common else self.proposal
        places, weight = proposal.draw(count, use, rng)
        rows = []
        for prompt, share in zip(prompts, which, strict=True):
            found, i = self.stored[prompt], int(share * self.groups[prompt].trajectories)
            entry = load_file(found) if isinstance(found, Path) else found
            rows.append({name: column[i] for name, column in entry.items()})
        x_t, t, conditional, unconditional = self.points(prompts, rows, places, rng, empty)
        heard = partial(proposal.tell, use, places)
        return Points(x_t, t, self.model.snr(t), conditional, unconditional, weight.to(t.device), heard)

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run cannot rebuild."""
        return self.proposal.means

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from `state`."""
        self.proposal.means = dict(state)

"""This file is the types of a command's own fields: a wrong type is refused before anything runs."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class Concepts:
    """`members` by name; the other fields replace those of a single one."""

    members: dict[str, Any] = field(default_factory=dict)
    prompts: list[str] | None = None
    synonyms: list[str] | None = None
    held_out: list[str] | None = None
    kind: str | None = None


@dataclass
class Sweep:
    """`axes` are the sweep's to fill in: what differs between its runs."""

    name: str | None = None
    retry: bool = True
    axes: list[str] = field(default_factory=list)


@dataclass
class Train:
    """`python -m erase.train`."""

    model: Any = MISSING
    target: Any = MISSING
    preservation: Any = MISSING
    adversary: Any = MISSING
    parameters: Any = MISSING
    latents: Any = MISSING
    loss: Any = MISSING
    balance: Any = MISSING
    sharpness: Any = MISSING
    judge: Any = MISSING
    protocol: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    method: Any = MISSING
    concept: Concepts = field(default_factory=Concepts)
    name: str = MISSING
    seed: int = 0
    steps: int = MISSING
    lr: float = MISSING
    lr_schedule: str = MISSING
    batch_size: int = MISSING
    checkpoint_every: int = 25
    judge_at: list[int] = field(default_factory=list)
    runs: str = "outputs"
    cache: str = MISSING
    resume: str | None = None
    sweep: Sweep = field(default_factory=Sweep)


@dataclass
class Evaluate:
    """`python -m erase.evaluate`."""

    model: Any = MISSING
    judge: Any = MISSING
    protocol: Any = MISSING
    trainer: Any = MISSING
    run: Any = None
    edits: list[str] = field(default_factory=list)
    base: str | None = None
    concept: Concepts = field(default_factory=Concepts)
    gates: dict[str, Any] = field(default_factory=dict)
    out: str | None = None
    cache: str = MISSING


@dataclass
class Generate:
    """`python -m erase.generate`."""

    run: str | None = None
    edits: list[str] = field(default_factory=list)
    prompt: Any = MISSING
    seeds: int = 8
    seed: int = 0
    steps: int = 20
    guidance_scale: float = 4.0
    scale: int = 2
    key: bool = False
    out: str | None = None
    device: str = "auto"


@dataclass
class Export:
    """`python -m erase.export`."""

    run: str | None = None
    edits: list[str] = field(default_factory=list)
    format: str = "diffusers"
    out: str | None = None
    push: str | None = None


@dataclass
class Report:
    """`python -m erase.report`."""

    runs: Any = MISSING
    format: str = "html"
    out: str | None = None
    title: str | None = None
    pictures: float = 12
    wandb: str | None = None


@dataclass
class Attack:
    """`python -m erase.attack`."""

    attack: Any = MISSING
    judge: Any = None
    protocol: Any = None
    trainer: Any = MISSING
    run: str = MISSING
    victim: Any = "edited"
    start: str = "unnamed"
    prompts: int = 16
    batch: int = 16
    seed: int = 0
    name: str | None = None
    cache: str = MISSING


@dataclass
class Pretrain:
    """`python -m erase.pretrain`."""

    out: str = "work/miniature"
    work: str = "work/pretrain"
    seed: int = 0
    drawings: int = 48000
    steps: dict[str, int] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    without: str | None = None


def register(command: type) -> None:
    """Put a command's fields where its config finds them, as `schema`."""
    ConfigStore.instance().store("schema", command)

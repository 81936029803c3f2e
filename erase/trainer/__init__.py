"""Trainers: which hardware a run uses, and in what precision."""

import logging
import os
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
from filelock import FileLock, Timeout
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from erase.errors import BadInput
from erase.trainer.team import rank

PRECISIONS = {"32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ADVICE = (
    "Using ModelCheckpoint with manual optimization",  # checkpoints are to hold what comes after the step
    "You're resuming from a checkpoint that ended before the epoch ended",  # every draw is a function of the step
    "does not have many workers",  # the loader yields numbers
    "Found .* in eval mode",  # as an eraser wants the network
    "The .*srun.* command is available",
    "weights_only",
    "Checkpoint directory .* exists and is not empty",
    "`isinstance.treespec",
)


class Trainer:
    """One device and one precision. Fields are checked when it is made, before anything is loaded or written.

    `accelerator` is auto, cpu or gpu; `precision` is 32, bf16, fp16 (with scaled losses), or auto: bf16 on a GPU that has it,
    else 32; `threads` are the CPU's, None for as many as it has cores. `low_memory` is a model's `low_memory`; `processes`
    make every update together, each with a batch of its own, and a GPU where there are some. As a context it holds a GPU: runs
    that go on at once have one each, and share the first where there are not as many.
    """

    def __init__(
        self,
        accelerator: str = "auto",
        precision: str | int = "auto",
        threads: int | None = None,
        low_memory: bool = False,
        compile: bool = False,
        processes: int = 1,
    ) -> None:
        self.device = device_of(accelerator, "trainer.accelerator")
        known = ", ".join(("auto", *PRECISIONS))
        if str(precision) not in ("auto", *PRECISIONS):
            raise BadInput(f"trainer.precision={precision} is not one of: {known}.")
        if threads is not None and threads < 1:
            raise BadInput(f"trainer.threads={threads} must be at least 1, or null for all cores.")
        auto = "bf16" if self.device.type == "cuda" and has_bf16(self.device) else "32"
        self.precision = PRECISIONS[auto if precision == "auto" else str(precision)]
        if self.precision == torch.bfloat16 and not has_bf16(self.device):
            warnings.warn("trainer.precision=bf16: this machine emulates it, far slower than 32.", stacklevel=2)
        if processes < 1:
            raise BadInput(f"trainer.processes={processes} must be at least 1.")
        if self.device.type == "cuda" and processes > torch.cuda.device_count():
            raise BadInput(f"trainer.processes={processes} is more than there are GPUs: {torch.cuda.device_count()}.")
        self.threads, self.low_memory, self.compile, self.processes = threads, low_memory, compile, processes

    def check_single(self, instead: str) -> None:
        """BadInput, which says what to do `instead`, where several processes are asked for: they make updates, nothing else."""
        if self.processes > 1:
            raise BadInput(f"trainer.processes={self.processes}: {instead}.")

    def __enter__(self) -> "Trainer":
        self._before = torch.get_num_threads()
        torch.set_num_threads(self.threads or self._before)
        self._held: FileLock | None = None
        if self.processes > 1:
            if self.device.type == "cuda":
                self.device = torch.device("cuda", rank())
            return self
        for index in range(torch.cuda.device_count() if self.device.type == "cuda" else 0):
            name = f"erase-{os.getuid()}-{torch.cuda.get_device_properties(index).uuid}.lock"
            with suppress(Timeout):
                self._held = FileLock(Path(tempfile.gettempdir(), name), timeout=0)
                self._held.acquire()
                self.device = torch.device("cuda", index)
                break
        return self

    def __exit__(self, *_: object) -> None:
        if self._held:
            self._held.release()
        torch.set_num_threads(self._before)  # the next job of a sweep chooses its own

    def lightning(self, **settings: Any) -> L.Trainer:
        """Lightning's trainer on this hardware, without its advice about what is as it should be."""
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        for message in ADVICE:
            warnings.filterwarnings("ignore", f".*{message}")
        # in a job of SLURM's Lightning would take the queue's part, which is the launcher's: it sees one machine
        plugins = [*settings.pop("plugins", []), LightningEnvironment()]
        accelerator = "gpu" if self.device.type == "cuda" else "cpu"
        devices = 1 if self.device.index is None else [self.device.index]
        return L.Trainer(accelerator=accelerator, devices=devices, plugins=plugins, **settings)


def has_bf16(device: torch.device) -> bool:
    """Whether `device` computes in bf16 by itself. PyTorch imitates it on other CPUs, a hundred times slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def device_of(name: str, field: str) -> torch.device:
    """The device that `name` (auto, cpu or gpu) asks for; `field` is what the user calls it."""
    if name not in ("auto", "cpu", "gpu"):
        raise BadInput(f"{field}={name} is not one of: auto, cpu, gpu.")
    if name == "gpu" and not torch.cuda.is_available():
        raise BadInput(f"{field}=gpu asks for a GPU and this machine has none: {field}=cpu, {field}=auto.")
    return torch.device("cpu" if name == "cpu" or not torch.cuda.is_available() else "cuda")

"""Pictures a second: plain diffusers, one prompt at a time, and the engine, alone and as two processes on one store.

Same model, prompts, seeds, steps and guidance. The engine's seconds hold drawing, keeping and judging; loading is nobody's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")  # before tqdm is imported

import torch
from diffusers import StableDiffusionPipeline

from erase.command import quiet
from erase.judge.drawings import Drawings as Judge
from erase.judge.engine import Engine
from erase.miniature import WEIGHTS
from erase.model.stable_diffusion import StableDiffusion
from erase.protocol import Cell
from erase.protocol.drawings import Drawings as Protocol

STEPS, GUIDANCE = 10, 4.0


def prompts(count: int) -> list[str]:
    return [
        f"a photo of a {thing}" for _, thing in zip(range(count), ["church", "barn", "tench", "trout"] * count, strict=False)
    ]


def plain(count: int) -> float:
    """A second's pictures of diffusers' own pipeline."""
    pipe = StableDiffusionPipeline.from_pretrained(WEIGHTS, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe("warm", num_inference_steps=1)
    began = time.perf_counter()
    for seed, prompt in enumerate(prompts(count)):
        generator = torch.Generator().manual_seed(seed)
        pipe(prompt, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=generator)
    return count / (time.perf_counter() - began)


def engine(count: int, store: Path) -> float:
    """A second's pictures of the engine, those that another process on its `store` drew too."""
    model, judge = StableDiffusion("miniature", vocabulary="miniature"), Judge()
    model.images(["warm"], [0], 1, GUIDANCE)
    cell = Cell("kept", "subject", "barn", "bench", tuple(prompts(count)), tuple(range(count)))
    began = time.perf_counter()
    Engine(model, judge, Protocol(1, 1, STEPS, GUIDANCE), store).judge_cells([cell], "", None)
    return count / (time.perf_counter() - began)


def process(form: str, count: int, threads: int, store: str) -> "subprocess.Popen[str]":
    asked = [sys.executable, __file__, f"--form={form}", f"--count={count}", f"--threads={threads}", f"--store={store}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, env=environment)


def compare(count: int, threads: int) -> None:
    """Print all three, and how many times as many the engine draws."""
    forms = {
        "plain diffusers": ("plain", max(4, count // 8), threads, 1),
        "engine": ("engine", count, threads, 1),
        "engine, two processes": ("engine", count, max(1, threads // 2), 2),
    }
    found: dict[str, float] = {}
    for name, (form, many, each, processes) in forms.items():  # a process each: none warms another's caches
        with tempfile.TemporaryDirectory() as store:
            running = [process(form, many, each, store) for _ in range(processes)]
            found[name] = min(float(p.communicate()[0].split()[-1]) for p in running)
        ratio = found[name] / found["plain diffusers"]
        print(f"{name:22s} {found[name]:6.2f} pictures a second, {ratio:.1f} times plain diffusers'", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--form", choices=["plain", "engine"], help="this one alone, in this process")
    parser.add_argument("--store", type=Path, help="of that one")
    given = parser.parse_args()
    quiet()
    torch.set_num_threads(given.threads)
    if given.form:
        print(plain(given.count) if given.form == "plain" else engine(given.count, given.store))
    else:
        compare(given.count, given.threads)

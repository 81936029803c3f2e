"""How many prompts a second UnlearnDiffAtk searches and judges, one at a time and in a batch, on the unedited miniature."""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "1")  # before tqdm is imported

import torch

from erase.attack import Ground
from erase.attack.siege import Siege
from erase.attack.unlearn_diff import UnlearnDiff
from erase.attack.victim import jobs
from erase.command import quiet
from erase.concept import Concept
from erase.judge.drawings import Drawings as Judge
from erase.model.stable_diffusion import StableDiffusion
from erase.protocol.drawings import Drawings as Protocol

CHURCH = Concept("church", ("church", "a photo of a church"), ("chapel",))


class Unseen(Judge):
    """A judge who sees no concept anywhere: every prompt has all its rounds, whoever is asked with it."""

    def probabilities(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {head: p * (torch.arange(p.shape[1]) == 0) for head, p in super().probabilities(images).items()}


def bench(prompts: int, batch: int, precision: torch.dtype, iterations: int, device: torch.device) -> float:
    """Prompts a second, of a search of one round."""
    model, protocol = StableDiffusion("miniature", precision=precision), Protocol(prompts, 1, 10, 4.0)
    judge = Unseen().to(device)
    model.move([])  # in the run's precision
    model.to(device)
    told = jobs([CHURCH], protocol, judge, "unnamed")
    *_, last = model.trajectory(model.prompt([j.named for j in told]), model.noise([j.seed for j in told]), 10, 4.0, False)
    attack = UnlearnDiff(rounds=1, iterations=iterations)
    with tempfile.TemporaryDirectory() as folder:
        ground, at, about = Ground(model, told, last.x_t.cpu(), 0), Path(folder), {"victim": ""}
        siege = Siege(ground, attack, judge, protocol, batch, at, "bench", about, at / "looks")
        began = time.perf_counter()
        siege.run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return prompts / (time.perf_counter() - began)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--bf16", action="store_true")
    given = parser.parse_args()
    quiet()
    torch.set_num_threads(given.threads)
    precision = torch.bfloat16 if given.bf16 else torch.float32
    device = torch.device(given.device)
    bench(2, 1, precision, 1, device)  # the first pays for what is made once
    alone, together = (bench(given.prompts, b, precision, given.iterations, device) for b in (1, given.batch))
    print(f"one at a time {alone:.3f} prompts a second, {given.batch} at a time {together:.3f}: {together / alone:.1f} times")

"""What an update costs beside the bare passes that it needs, and how much memory a run takes: methods in one run. `make bench`.

Every pass of the network that a training makes, a bank's among them, is noted with its batch and whether a gradient is wanted;
then passes and gradients of these sizes are made again, and nothing else. `--model sd14 --source <folder>` and `--device gpu`
ask the same of another model.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from setting import add_fields, setting

METHODS = {
    "esd": ["method=esd"],
    "adv_preserve": ["method=adv_preserve"],
    "adv_unlearn": ["method=adv_unlearn", "adversary=fast", "adversary.warmup=0.0"],
}
UPDATES = 50  # two searches of adv_preserve's adversary

Passes = list[tuple[int, bool]]
"""Rows of each pass, and whether its output has a gradient."""


def bench(method: str, given: argparse.Namespace) -> tuple[float, float, float, float, float]:
    """Seconds of a training, seconds of its bare passes, the most memory in MiB, F and B."""
    from erase.job import fit, objective
    from erase.record.run import Run, peak_memory, reset_peak_memory

    config, hardware, load = setting(given, given.updates, METHODS[method])
    noted = Passes()
    with tempfile.TemporaryDirectory() as folder, hardware:
        torch.set_num_threads(given.threads)
        work = objective(config, load, Path(folder))
        model, predict = work.model, work.model.predict

        def listen(x_t: torch.Tensor, *rest: object, **named: object) -> torch.Tensor:
            said: torch.Tensor = predict(x_t, *rest, **named)
            noted.append((len(x_t), said.requires_grad))
            return said

        model.predict = listen
        reset_peak_memory(hardware.device)
        began = time.perf_counter()
        fit(work, Run(Path(folder)), hardware, None, given.updates, [])
        seconds, memory = time.perf_counter() - began, peak_memory(hardware.device)
        cost = model.cost.forwards, model.cost.backwards
        model.predict = predict
        model.to(hardware.device)
        return seconds, bare(model, noted), memory / 2**20, *cost


def bare(model: object, noted: Passes) -> float:
    """Seconds of passes of these sizes, each with its gradient at once where it had one."""
    heard = model.prompt(["a photo of a church"])  # type: ignore[attr-defined]
    if not any(name.startswith("unet.") for name in model.moving):  # type: ignore[attr-defined]
        heard.sequence.requires_grad_()  # it is the text encoder that learns
    noise = model.noise([0])  # type: ignore[attr-defined]
    began = time.perf_counter()
    for rows, wanted in noted:
        x_t, t = noise.expand(rows, -1, -1, -1).to(heard.sequence.device), torch.tensor(500)
        with torch.set_grad_enabled(wanted):
            said = model.predict(x_t, t, heard.expand(rows))  # type: ignore[attr-defined]
        if wanted:
            said.square().sum().backward()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def machine(device: str) -> str:
    """What computes."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    named = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return f"{named[0] if named else platform.processor()} ({torch.backends.cpu.get_cpu_capability()})"


def compare(given: argparse.Namespace) -> None:
    """Print for every method the seconds of an update, how much longer they are than its passes, these, and the memory."""
    print(f"{machine(given.device)}, {given.threads} threads, model={given.model}", flush=True)
    for method in [given.method] if given.method else METHODS:  # a process each: none warms another's caches
        asked = [
            f"--{name}={value}" for name, value in vars(given).items() if value is not None and name not in ("method", "one")
        ]
        done = subprocess.run(
            [sys.executable, __file__, *asked, "--one", method], check=True, stdout=subprocess.PIPE, text=True
        )
        seconds, passes, memory, forwards, backwards = map(float, done.stdout.splitlines()[-1].split())
        more, n = 100 * (seconds / passes - 1), given.updates
        said = f"{seconds / n:6.3f} s an update, {more:+5.1f} % to its passes' {passes / n:6.3f} s"
        print(f"{method:14s} {said}, {forwards / n:5.1f} F {backwards / n:5.1f} B, {memory:6.0f} MiB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, help="this one alone")
    parser.add_argument("--updates", type=int, default=UPDATES)
    add_fields(parser)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--one", choices=METHODS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(*bench(given.one, given))
    else:
        compare(given)

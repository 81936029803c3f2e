"""What an update costs in a system's published and in its fast form, beside each other: passes and seconds. `make bench`.

EAP published: a trajectory of the edited model for every point, a step of Gumbel-Softmax an update; fast: points from the bank,
all candidates scored now and then. AdvUnlearn published: such trajectories, and 30 steps of an attack whose gradients add up;
pgd: points from the bank; fast: these, and one signed step. Learning rate, batch and number of updates are the same, and a bank
is counted: the more updates, the more of them it serves; refreshed follows the edit, and makes two pairs an update where the
others of EAP's make one. Of the published form, whose updates cost the same from first to last, a few are timed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from setting import add_fields, setting

EAP = ["method=adv_preserve", "batch_size=1", "lr=1e-5", "lr_schedule=constant"]  # as the paper's
ON_POLICY = ["latents=on_policy", "latents.lag=2"]
REFRESHED = ["latents=refreshed", "latents.every=30", "latents.trajectories=1", "latents.steps=10", "loss=x0", "batch_size=2"]
REFRESHED += ["preservation.closest=24", "preservation.points=1"]  # as in experiments/papers
ADV = ["method=adv_unlearn", "adversary.warmup=0.0"]
FORMS = {
    "eap": {
        "published": (20, [*EAP, *ON_POLICY, "preservation.search=gumbel", "preservation.filter=none", "loss=x0"]),
        "fast": (1000, EAP),  # as many as published
        "fast, few updates": (150, EAP),  # as the miniature's preset
        "refreshed, few updates": (150, [*EAP, *REFRESHED]),
    },
    "adv_unlearn": {
        "published": (6, [*ADV, *ON_POLICY, "adversary=pgd", "adversary.compat=published"]),
        "pgd": (60, [*ADV, "adversary=pgd"]),
        "fast": (60, [*ADV, "adversary=fast"]),
    },
}
"""Of each system the published form first: how many updates are timed, of a fast form the whole run; and its choices."""


def bench(given: argparse.Namespace) -> tuple[float, float, float]:
    """Seconds, F and B an update of one form, from the first bank to the last step."""
    from erase.job import objective

    updates, choices = FORMS[given.system][given.form]
    config, hardware, load = setting(given, updates, choices)
    with tempfile.TemporaryDirectory() as folder, hardware:
        torch.set_num_threads(given.threads)
        method = objective(config, load, Path(folder))
        method.model.to(hardware.device)
        moved, lr = method.players["weights"]
        began, adam = time.perf_counter(), torch.optim.Adam(moved, lr)
        method.on_fit_start()
        for step in range(updates):
            adam.zero_grad()
            torch.stack(list(method.losses(step).values())).sum().backward(inputs=moved)
            adam.step()
        if hardware.device.type == "cuda":
            torch.cuda.synchronize()
        seconds, cost = time.perf_counter() - began, method.model.cost
    return seconds / updates, cost.forwards / updates, cost.backwards / updates


def compare(system: str, given: argparse.Namespace) -> None:
    """Print every form's costs, and how many times as long an update of the published one takes."""
    found: dict[str, float] = {}
    for form, (updates, _) in FORMS[system].items():  # a process each: none warms another's caches
        alike = {n: value for n, value in vars(given).items() if value is not None}
        said = [f"--{n}={value}" for n, value in {**alike, "system": system, "form": form}.items()]
        done = subprocess.run([sys.executable, __file__, *said], check=True, stdout=subprocess.PIPE, text=True)
        seconds, forwards, backwards = map(float, done.stdout.splitlines()[-1].split())
        found[form] = seconds
        name = f"{form}, {updates} updates"
        print(f"{system:12s} {name:48s} {seconds:8.2f} s {forwards:8.1f} F {backwards:6.1f} B an update", flush=True)
    for form in [*found][1:]:
        print(f"{system:12s} published / {form}: {found['published'] / found[form]:.1f} times the seconds", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", choices=FORMS, help="this one alone")
    parser.add_argument("--threads", type=int, default=1)
    add_fields(parser)
    parser.add_argument("--form", help="this one alone, in this process")
    given = parser.parse_args()
    if given.form:
        print(*bench(given))
    else:
        for system in [given.system] if given.system else FORMS:
            compare(system, given)

"""What an update of AdvUnlearn costs in its published and in its fast form, beside each other: passes and seconds.

Published: a trajectory of the edited model for every point (latents=on_policy), 30 steps of an attack whose gradients add up.
Fast: points from the bank, one signed step. Learning rate, batch and retain set are the same. The bank is counted.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

FORMS = {
    "published": ["latents=on_policy", "adversary=pgd", "adversary.compat=published"],
    "pgd": ["latents=bank", "adversary=pgd"],
    "fast": ["latents=bank", "adversary=fast"],
}


def bench(form: str, updates: int, concept: str, threads: int) -> tuple[float, float, float]:
    """Seconds, F and B an update of one form, without warm-up."""
    from hydra import compose, initialize_config_dir

    from erase import schema
    from erase.command import CONF, build, quiet
    from erase.concept import resolve

    quiet()
    torch.set_num_threads(threads)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        schema.register(schema.Train)
        config = compose("train", ["method=adv_unlearn", f"concept={concept}", "adversary.warmup=0.0", *FORMS[form]])
    model = build(config.model, "model")
    names = ("target", "preservation", "adversary", "parameters", "latents", "loss")
    parts = {name: build(config[name], name) for name in names}
    given = {name: config[name] for name in ("lr", "lr_schedule", "batch_size", "seed")}
    concepts = resolve(config.concept.members, None, None)
    with tempfile.TemporaryDirectory() as folder:
        work = {"work": Path(folder), "steps": updates}
        method = build(config.method, "method", model=model, concepts=concepts, **parts, **given, **work)
        method.on_fit_start()
        moved, lr = method.players["weights"]
        adam, began = torch.optim.Adam(moved, lr), time.perf_counter()
        for step in range(updates):
            adam.zero_grad()
            torch.stack(list(method.losses(step).values())).sum().backward(inputs=moved)
            adam.step()
    seconds = time.perf_counter() - began
    return seconds / updates, model.cost.forwards / updates, model.cost.backwards / updates


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=60, help="of the fast forms; the published one makes a tenth")
    parser.add_argument("--concept", default="church")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--form", choices=FORMS, help="this one alone, in this process")
    given = parser.parse_args()
    if given.form:
        print(*bench(given.form, given.updates, given.concept, given.threads))
        sys.exit()
    found = {}
    for form in FORMS:  # a process each: none warms another's caches
        updates = max(1, given.updates // 10) if form == "published" else given.updates
        said = ["--form", form, "--updates", str(updates), "--concept", given.concept, "--threads", str(given.threads)]
        done = subprocess.run([sys.executable, __file__, *said], check=True, capture_output=True, text=True)
        found[form] = tuple(map(float, done.stdout.splitlines()[-1].split()))
        print(f"{form:10s} {found[form][0]:8.2f} s {found[form][1]:8.1f} F {found[form][2]:6.1f} B an update", flush=True)
    for form in ("pgd", "fast"):
        print(f"published / {form}: {found['published'][0] / found[form][0]:.1f} times the seconds")

"""This file is one process of a team that trains, as tests start it: a small random model, three updates."""

import sys
from pathlib import Path

import lightning as L
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.utils.data import DataLoader


def train(rank: int, size: int, port: int, folder: Path, out: Path, overrides: list[str]) -> None:
    """Train the model in `folder` as `rank` of `size`; the first writes what an edit holds, and the losses, to `out`."""
    sys.path.insert(0, str(Path(__file__).parent))
    import families
    from conftest import composed

    from erase.job import objective

    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", world_size=size, rank=rank)
    model = families.KINDS[folder.name](str(folder), name="sd14")
    model.vocabulary = ["a photo of a barn", "a photo of a tench", "a view in a park"]
    drawing = ["latents.steps=3", "latents.trajectories=1", "latents.kept_trajectories=1", "steps=3", "lr=1e-3"]
    config = composed("concept=church", *drawing, *overrides, f"trainer.processes={size}")
    method = objective(config, lambda: model, out.parent / f"work-{size}-{rank}")
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    losses: list[float] = []

    class Told(L.Callback):
        def on_train_batch_end(self, *given: object) -> None:
            losses.append(sum(given[2].values()))  # type: ignore[attr-defined]

    trainer = L.Trainer(max_epochs=1, accelerator="cpu", callbacks=[Told()], default_root_dir=out.parent, **silent)
    trainer.fit(method, DataLoader(range(method.steps), batch_size=None))
    if rank == 0:
        save_file({**{n: w.clone() for n, w in method.finish().items()}, "losses": torch.tensor(losses)}, out)
    if size > 1:
        dist.destroy_process_group()

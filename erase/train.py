"""The main command: erase a concept, judge the result, write a report. `python -m erase.train --help`."""

import logging
import resource
import time
import warnings
from pathlib import Path
from typing import Any, cast

import hydra
from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import CONF, build, job, launch


def train(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Run one job of the main command in `folder`; returns what metrics.json holds. BadInput for what cannot be done."""
    import torch

    from erase.concept import check_known, resolve
    from erase.judge.drawings import Drawings as Judge
    from erase.judge.engine import Engine, rows
    from erase.metric.figures import figures
    from erase.model.edit import Edit
    from erase.model.text_to_image import device_of, precision
    from erase.record.console import table
    from erase.record.pictures import before_after
    from erase.record.report import write_report
    from erase.record.run import Run, provenance, write_json

    device = device_of(config.trainer.accelerator)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    concepts = resolve(config.concept.members, config.concept.prompts, config.concept.synonyms)
    objects = {name: build(config[name], name) for name in ("target", "preservation", "parameters", "latents", "loss")}
    protocol, tracker = build(config.protocol, "protocol"), build(config.logger, "logger")
    model = build(config.model, "model", precision=precision(config.trainer.precision, device))
    check_known(concepts, model.words, model.vocabulary)
    given = {name: config[name] for name in ("steps", "lr", "batch_size", "seed")}
    method = build(config.method, "method", model=model, concepts=concepts, work=folder, **objects, **given)
    settings = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))

    with Run(folder) as run:
        try:
            tags = [method.title, *(c.name for c in concepts)]
            logger = tracker.open(folder, config.name, settings, tags)
            if not (run.edit / "edit.json").exists():
                fit(method, run, device, logger, config.checkpoint_every)
                about = {
                    "base": model.source_name,
                    "base_hash": model.hash,
                    "base_tensors": model.original_hashes,
                    "concepts": [vars(c) for c in concepts],
                    "config": settings,
                    "versions": provenance(),
                    "cost": {**vars(model.cost), "train_seconds": method.seconds},
                }
                Edit(dict(model.moving), about).save(run.edit)
            edit = Edit.load(run.edit)
            model.to(device)  # Lightning leaves it on the CPU
            model.put(edit.tensors)
            cost = dict(edit.about["cost"])

            started = time.time()
            judge = Judge()
            erased = [(c, judge.find([c.name, *c.phrases])) for c in concepts]
            cells = protocol.cells(erased)
            engine = Engine(model, judge, protocol, Path(config.cache).expanduser())
            before = engine.judge_cells(cells, "", None)
            after = engine.judge_cells(cells, edit.digest(), folder)
            found = figures(before, after, judge)
            cost["judge_seconds"] = time.time() - started
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            cost["peak_memory_bytes"] = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak
            cost["artefact_bytes"] = (run.edit / "edit.safetensors").stat().st_size
            pairs = method.steps * method.batch_size
            cost["forward_equivalents_per_pair"] = (cost["forwards"] + 2 * cost["backwards"]) / pairs
            lock = {**protocol.lock, "model": model.hash, "judge": judge.hash, "versions": provenance()}
            lock["precision"] = str(model.precision)
            result = {"lock": lock, "figures": found, "cost": cost}

            run.write_scores(rows(before, "before") + rows(after, "after"))
            grids = {
                f"{b.cell.label} ({b.cell.role})": before_after(b.images[:8], a.images[:8])
                for b, a in zip(before, after, strict=True)
            }
            (folder / "images").mkdir(exist_ok=True)
            for name, grid in grids.items():
                grid.save(folder / "images" / f"{name.replace(' ', '_')}.png")
            tracker.finish(found, run.choices(), grids)
            write_json(folder / "metrics.json", result)
            write_report(run, config.name, settings, result, before, after, method.preservation.weight)
        finally:
            tracker.close()
    table(config.name, result, folder)
    return result


def fit(method: Any, run: Any, device: Any, logger: Any, every: int) -> None:
    """Let Lightning run the loop, from the last checkpoint if there is one."""
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint
    from torch.utils.data import DataLoader

    from erase.errors import BadInput
    from erase.record.checkpoint import AtomicCheckpoints
    from erase.record.progress import Progress
    from erase.record.training import TrainingLog

    if every < 1:
        raise BadInput(f"checkpoint_every={every} must be at least 1.")
    last = ModelCheckpoint(
        run.checkpoint.parent, run.checkpoint.stem, every_n_train_steps=every, save_top_k=1, enable_version_counter=False
    )
    trainer = L.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=1,
        logger=logger or False,
        log_every_n_steps=1,
        plugins=[AtomicCheckpoints()],
        callbacks=[TrainingLog(run.folder), last, Progress(refresh_rate=5)],
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    started = time.time()
    resumed = run.checkpoint if run.checkpoint.exists() else None
    trainer.fit(method, DataLoader(range(method.steps), batch_size=None), ckpt_path=resumed, weights_only=True)  # type: ignore[arg-type]
    method.seconds += time.time() - started


schema.register(schema.Train)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
@job
def main(config: DictConfig) -> float | None:
    """One job; its value, for sweepers, is the erasing success rate."""
    from hydra.core.hydra_config import HydraConfig

    from erase.errors import BadInput
    from erase.record.run import Run

    quiet()
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        result = train(config, folder)
    except BadInput:
        Run.discard(folder)
        raise
    return result["figures"].get("esr_1", {}).get("after")


def quiet() -> None:
    """Leave the progress bar, the table and real warnings; take away advice about things that are as they should be."""
    import transformers
    from diffusers.utils import logging as diffusers_logging

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
    for message in ("weights_only", "does not have many workers", "eval mode", "will save all extracted features", "srun"):
        warnings.filterwarnings("ignore", f".*{message}.*")


def cli() -> None:
    """The console script."""
    launch(main, "train")


if __name__ == "__main__":
    cli()

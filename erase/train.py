"""The main command: erase a concept, judge the result, write a report. `python -m erase.train --help`."""

import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import build, command
from erase.files import discard
from erase.model import hub

AXES = ("target", "preservation", "adversary", "parameters", "latents", "loss", "balance")
"""What a method is composed of, besides its model and its concepts."""


def objective(config: DictConfig, model: Callable[[], Any], work: Path, shared: Path | None = None) -> Any:
    """The method that `config` composes, on a `model` that is loaded when all else of it is right.

    `work` is for what does not fit into memory, `shared` for what several runs may use. BadInput for what does not fit.
    """
    from erase.concept import check_known, resolve
    from erase.errors import BadInput

    concepts = resolve(config.concept.members, config.concept.prompts, config.concept.synonyms)
    parts = {axis: build(config[axis], axis) for axis in AXES}
    loaded = model()
    check_known(concepts, loaded.words, loaded.things)
    given = {name: config[name] for name in ("steps", "lr", "lr_schedule", "batch_size", "seed")}
    given["batch_size"] *= config.trainer.get("processes", 1)  # each of a team has as many
    method = build(config.method, "method", model=loaded, concepts=concepts, work=work, shared=shared, **parts, **given)
    if not method.players and not method.balance.plain:
        raise BadInput(f"method={method.title} goes down on no loss, so there is nothing to weigh: balance=sum.")
    return method


def loaded(config: DictConfig, trainer: Any) -> Any:
    """The model of a run, in the precision and with the memory that its `trainer` has."""
    found = build(config.model, "model", precision=trainer.precision)
    found.frugal = trainer.low_memory
    return found


def train(config: DictConfig, folder: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Run one job of the main command in `folder`; returns what metrics.json holds. BadInput for what cannot be done."""
    from safetensors.torch import load_file

    from erase.errors import BadInput
    from erase.judge.engine import Engine
    from erase.metric.figures import figures
    from erase.model.edit import Edit
    from erase.record.console import table
    from erase.record.page.read import read
    from erase.record.page.write import write
    from erase.record.run import Run, peak_memory, provenance, reset_peak_memory
    from erase.record.tracking import Outcome
    from erase.trainer.team import rank

    if config.checkpoint_every < 1:
        raise BadInput(f"checkpoint_every={config.checkpoint_every} must be at least 1.")
    trainer, judge, protocol, tracker = (build(config[name], name) for name in ("trainer", "judge", "protocol", "logger"))
    cache = Path(config.cache).expanduser()

    method = objective(config, partial(loaded, config, trainer), folder, cache / "bank")
    model, concepts = method.model, method.concepts
    judge.suit(model)
    told, cells = protocol.asked(judge, concepts)
    if trainer.compile:
        model.modules["unet"].compile()
    if trainer.processes > 1 and not method.divisible:
        raise BadInput(f"method={method.title} is no work for several: trainer.processes=1.")
    if trainer.processes > 1 and config.latents.get("proposal", "uniform") == "loss":
        raise BadInput("latents.proposal=loss hears of all errors, which several processes do not: uniform or late.")
    if rank():  # a helper: the first of the team does all else
        with trainer:
            fit(method, Run(folder), trainer, None, config.checkpoint_every, [])
        return {}
    passing = sorted({*config.judge_at})
    if len(passing) < len(config.judge_at) or not all(0 < step < method.steps for step in passing):
        choices = f"different updates from 1 to {method.steps - 1}, before the last" if method.steps > 1 else "empty"
        raise BadInput(f"judge_at={list(config.judge_at)} must be {choices}.")
    with trainer:
        protocol.meet(judge.to(trainer.device), cache)  # untold: what it meets is the same for all
    judge = told.to(model.device)  # out of the way until training has ended
    truth = model.retrained(judge.named(concepts))  # before anything is trained: what does not fit is refused here
    settings = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))

    made_with = provenance()
    with trainer, Run(folder, settings, overrides) as run:
        reset_peak_memory(trainer.device)
        try:
            axes = [o for o in overrides if o.partition("=")[0] in config.sweep.axes]
            logger = tracker.open(folder, settings, [method.title, *(c.name for c in concepts), *axes])
            if unmade := not (run.edit / "edit.json").exists():
                fit(method, run, trainer, logger, config.checkpoint_every, passing)
            changed = method.finish()
            if unmade:
                about = {
                    "base": model.source_name,
                    "base_hash": model.hash,
                    "base_tensors": model.original_hashes,
                    "concepts": [vars(c) for c in concepts],
                    "config": settings,
                    "versions": made_with,
                    "cost": {
                        **vars(model.cost),
                        "train_seconds": method.seconds,
                        "peak_memory_bytes": peak_memory(trainer.device),
                    },
                }
                Edit(changed, about, method.key).save(run.edit)
                shutil.rmtree(folder / "bank", ignore_errors=True)  # what of the bank did not fit into memory
            edit = Edit.load(run.edit)
            model.to(trainer.device)  # Lightning leaves it on the CPU

            started = time.time()
            engine = Engine(model, judge.to(trainer.device), protocol, cache)
            before = engine.judge_cells(cells, "", None)
            passed = {}
            for step in passing:
                if run.waypoint(step).exists():  # else judged already, by the run that is resumed
                    then = Edit(load_file(run.waypoint(step)))
                    model.put(then.tensors)
                    passed[step] = engine.judge_cells(cells, then.digest(), folder)
            model.put(edit.tensors)
            after = engine.judge_cells(cells, edit.digest(), folder)
            keyed, retrained = engine.judge_opened(cells, edit, folder) if edit.key else [], []
            if truth:
                with model.as_if(truth):
                    retrained = engine.judge_cells(cells, "", None, "retrained")
            found = figures(protocol, before, after, retrained, keyed)
            cost = {
                "peak_memory_bytes": peak_memory(trainer.device),
                **edit.about["cost"],
                "judge_seconds": time.time() - started,
            }
            cost["artefact_bytes"] = (run.edit / "edit.safetensors").stat().st_size
            pairs = method.steps * method.batch_size
            cost["forward_equivalents_per_pair"] = (cost["forwards"] + 2 * cost["backwards"]) / pairs
            lock = {**protocol.lock, "model": model.hash, "judge": judge.hash, "versions": made_with}
            lock["precision"] = str(model.precision)
            if judge.thresholds:
                lock["thresholds"] = list(judge.thresholds)
            if truth:
                lock["retrained"] = truth.digest
            result = {"lock": lock, "judge": judge.about, "figures": found, "cost": cost}
            if passing:
                result["checkpoints"] = run.checkpoints() | {
                    str(step): figures(protocol, before, judged, retrained) for step, judged in passed.items()
                }
            grids = run.write(result, before, after, passed, retrained, keyed)
            write([read(folder, "finished")], folder / "report.html")
        except BaseException as error:
            tracker.close(f"{type(error).__name__}: {error}")
            raise
        made = {name: value for name, value in edit.about.items() if name != "base_tensors"}  # hundreds, in edit.json
        try:
            try:
                tracker.finish(Outcome(result, run.choices(), grids, run.edit, made))
            finally:
                tracker.close()
        except Exception as e:  # of whatever library the logger is: the run is complete without it
            warnings.warn(f"the run was not sent: {type(e).__name__}: {e}", stacklevel=2)
    table(config.name, result, folder)
    return result


def fit(method: Any, run: Any, hardware: Any, logger: Any, every: int, passing: Sequence[int]) -> None:
    """Let Lightning run the loop, from the last checkpoint if there is one; keep the weights of updates it is `passing`."""
    from lightning.pytorch.callbacks import ModelCheckpoint
    from torch.utils.data import DataLoader

    from erase.record.checkpoint import AtomicCheckpoints, Waypoints
    from erase.record.progress import Progress
    from erase.record.training import TrainingLog
    from erase.trainer.team import rank, team

    last = ModelCheckpoint(
        run.checkpoint.parent, run.checkpoint.stem, every_n_train_steps=every, save_top_k=1, enable_version_counter=False
    )
    told = [TrainingLog(run.folder), Waypoints({s: run.waypoint(s) for s in passing}), last, Progress()]
    trainer = hardware.lightning(
        max_epochs=1,
        logger=logger or False,
        log_every_n_steps=1,
        plugins=[AtomicCheckpoints()],
        callbacks=[] if rank() else told,
        enable_checkpointing=not rank(),
        enable_progress_bar=not rank(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    started = time.time()
    resumed = run.checkpoint if run.checkpoint.exists() else None
    with team(hardware.processes, hardware.device, run.folder):
        trainer.fit(method, DataLoader(range(method.steps), batch_size=None), ckpt_path=resumed, weights_only=True)  # type: ignore[arg-type]
    for parameter in method.model.moving.values():
        parameter.grad = None  # who judges needs none
    method.seconds += time.time() - started + method.latents.lent


def _discard(folder: Path) -> None:
    if "ERASE_TEAM" not in os.environ:  # a helper has no folder of its own
        discard(folder)


def _check(config: DictConfig) -> None:
    """BadInput for a model, or a judge, that the hub does not give."""
    for part, file in (("model", hub.PIPELINE), ("judge", "config.json")):
        node: Any = config[part] if OmegaConf.is_dict(config[part]) else {}
        if hub.names(str(node.get("source"))):
            hub.answers(node.source, node.get("revision"), f"{part}.source", file)


@command("train", schema.Train, _discard, _check)
def main(config: DictConfig) -> float | None:
    """One job; its value, for sweepers, is the erasing success rate."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from erase.errors import BadInput
    from erase.record.run import Run
    from erase.trainer.team import rank

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    if hydra.mode == RunMode.MULTIRUN and config.trainer.get("processes", 1) > 1:
        raise BadInput(f"trainer.processes={config.trainer.processes}: a run of a sweep has one process.")
    if hydra.mode == RunMode.MULTIRUN and Run.state(folder)[0] == "finished":  # by another command, since this one began
        result = json.loads((folder / "metrics.json").read_text())
    else:
        result = train(config, folder, list(hydra.overrides.task))
    return None if rank() else result["figures"].get("esr_1", {}).get("after")


if __name__ == "__main__":
    main()

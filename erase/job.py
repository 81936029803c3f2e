"""This file is one job of the main command: what a config composes is trained, judged and written down."""

import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from erase.command import build
from erase.concept import check_known, resolve
from erase.errors import BadInput
from erase.judge.engine import Engine, Judged
from erase.method.base import Method
from erase.metric.figures import figures
from erase.model.edit import Edit
from erase.model.retrained import Retrained
from erase.model.text_to_image import TextToImage
from erase.protocol import Cell, Protocol
from erase.record.checkpoint import AtomicCheckpoints, Waypoints
from erase.record.console import table
from erase.record.page.read import read
from erase.record.page.write import write
from erase.record.progress import Progress
from erase.record.run import Run, peak_memory, provenance, reset_peak_memory
from erase.record.tracking import Outcome
from erase.record.training import TrainingLog
from erase.trainer import Trainer
from erase.trainer.team import rank, team

AXES = ("target", "preservation", "adversary", "parameters", "latents", "loss", "balance", "sharpness")
"""What a method is composed of, besides its model and its concepts."""


def objective(config: DictConfig, model: Callable[[], TextToImage], work: Path, shared: Path | None = None) -> Method:
    """The method that `config` composes, on a `model` that is loaded when all else of it is right.

    `work` is for what does not fit into memory, `shared` for what several runs may use. BadInput for what does not fit.
    """
    concepts = resolve(**config.concept)
    parts = {axis: build(config[axis], axis) for axis in AXES}
    loaded = model()
    check_known("concept.prompts", [p for c in concepts for p in c.prompts], loaded.words, loaded.things)
    given = {name: config[name] for name in ("steps", "lr", "lr_schedule", "batch_size", "seed")}
    given["batch_size"] *= config.trainer.get("processes", 1)  # each of a team has as many
    method: Method = build(config.method, "method", model=loaded, concepts=concepts, work=work, shared=shared, **parts, **given)
    held = f"preservation.{'prompts' if 'prompts' in config.preservation else 'vocabulary'}"
    check_known(held, method.candidates, loaded.words, loaded.things, frame=loaded.vocabulary)
    if not method.players and not method.balance.plain:
        raise BadInput(f"method={method.title} goes down on no loss, so there is nothing to weigh: balance=sum.")
    if not method.players and not method.sharpness.plain:
        raise BadInput(f"method={method.title} goes down on no loss, which could be sharp: sharpness=none.")
    return method


def load(config: DictConfig, trainer: Trainer) -> TextToImage:
    """The model of a run, in the precision and with the memory that its `trainer` has."""
    model: TextToImage = build(config.model, "model", precision=trainer.precision)
    model.low_memory = trainer.low_memory
    return model


def train(config: DictConfig, folder: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Run one job of the main command in `folder`; returns what metrics.json holds. BadInput for what cannot be done."""
    if config.checkpoint_every < 1:
        raise BadInput(f"checkpoint_every={config.checkpoint_every} must be at least 1.")
    trainer, judge, protocol, tracker = (build(config[name], name) for name in ("trainer", "judge", "protocol", "logger"))
    cache = Path(config.cache).expanduser()

    method = objective(config, partial(load, config, trainer), folder, cache / "bank")
    model, concepts = method.model, method.concepts
    judge.suit(model)
    told, cells = protocol.asked(judge, concepts)
    _refuse(config, trainer, method)
    if trainer.compile:
        model.modules["unet"].compile()
    if rank():  # a helper: the first of the team does all else
        with trainer:
            fit(method, Run(folder), trainer, None, config.checkpoint_every, [])
        return {}
    with trainer:
        protocol.meet(judge.to(trainer.device), cache)  # untold: what it meets is the same for all
    judge = told.to(model.device)  # out of the way until training has ended
    truth = model.retrained(judge.named(concepts))  # before anything is trained: what does not fit is refused here
    settings = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))

    versions = provenance()
    with trainer, Run(folder, settings, overrides) as run:
        reset_peak_memory(trainer.device)
        try:
            axes = [o for o in overrides if o.partition("=")[0] in config.sweep.axes]
            logger = tracker.open(folder, settings, [method.title, *(c.name for c in concepts), *axes])
            edit = _trained(method, run, trainer, logger, versions)

            started = time.time()
            engine = Engine(model, judge.to(trainer.device), protocol, cache)
            seen = _judged(engine, cells, run, edit, truth)
            lock = {**protocol.lock, "model": model.hash, "judge": judge.hash, "versions": versions}
            lock["precision"] = str(model.precision)
            if judge.thresholds:
                lock["thresholds"] = list(judge.thresholds)
            if truth:
                lock["retrained"] = truth.digest
            cost = {"peak_memory_bytes": peak_memory(trainer.device), **edit.about["cost"]}
            cost["judge_seconds"] = time.time() - started
            cost["artefact_bytes"] = (run.edit / "edit.safetensors").stat().st_size
            pairs = method.steps * method.batch_size
            cost["forward_equivalents_per_pair"] = (cost["forwards"] + 2 * cost["backwards"]) / pairs
            result = {"lock": lock, "judge": judge.about, "figures": seen.figures(protocol), "cost": cost}
            if config.judge_at:
                result["checkpoints"] = run.checkpoints() | seen.passing(protocol)
            grids = run.write(result, seen.before, seen.after, seen.passed, seen.retrained, seen.keyed)
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


def _refuse(config: DictConfig, trainer: Trainer, method: Method) -> None:
    """BadInput for what only a method that is made can tell."""
    if trainer.processes > 1 and not method.divisible:
        raise BadInput(f"method={method.title} is no work for several: trainer.processes=1.")
    if trainer.processes > 1 and config.latents.get("proposal", "uniform") == "loss":
        raise BadInput("latents.proposal=loss hears of all errors, which several processes do not: uniform or late.")
    if trainer.compile and method.key is not None:
        raise BadInput(f"method={method.title} has a prompt that a compiled network would not hear: trainer.compile=false.")
    passing = {*config.judge_at}
    if len(passing) < len(config.judge_at) or not all(0 < step < method.steps for step in passing):
        choices = f"different updates from 1 to {method.steps - 1}, before the last" if method.steps > 1 else "empty"
        raise BadInput(f"judge_at={list(config.judge_at)} must be {choices}.")


def _trained(method: Method, run: Run, trainer: Trainer, logger: Any, versions: Mapping[str, str]) -> Edit:
    """The edit of `run`, which is trained and saved unless it is there; the model is on the device that judges."""
    settings, model = run.settings or {}, method.model
    if unmade := not (run.edit / "edit.json").exists():
        fit(method, run, trainer, logger, settings["checkpoint_every"], settings["judge_at"])
    changed = method.finish()
    if unmade:
        memory = {"train_seconds": method.seconds, "peak_memory_bytes": peak_memory(trainer.device)}
        about = {
            "base": model.source_name,
            "base_hash": model.hash,
            "base_tensors": model.original_hashes,
            "concepts": [vars(c) for c in method.concepts],
            "config": settings,
            "versions": versions,
            "cost": {**vars(model.cost), **memory},
        }
        Edit(changed, about, method.key).save(run.edit)
        shutil.rmtree(run.folder / "bank", ignore_errors=True)  # what of the bank did not fit into memory
    edit = Edit.load(run.edit)
    model.to(trainer.device)  # Lightning leaves it on the CPU
    return edit


@dataclass
class Seen:
    """What the judge saw of the unedited model, the edited one, of both known ends, and of updates that were `passed`."""

    before: list[Judged]
    after: list[Judged]
    passed: dict[int, list[Judged]] = field(default_factory=dict)
    keyed: list[Judged] = field(default_factory=list)
    retrained: list[Judged] = field(default_factory=list)

    def figures(self, protocol: Protocol) -> dict[str, Any]:
        return figures(protocol, self.before, self.after, self.retrained, self.keyed)

    def passing(self, protocol: Protocol) -> dict[str, Any]:
        """The figures after each update that was passed."""
        return {str(step): figures(protocol, self.before, seen, self.retrained) for step, seen in self.passed.items()}


def _judged(engine: Engine, cells: Sequence[Cell], run: Run, edit: Edit, truth: Retrained | None) -> Seen:
    """What the judge sees of `cells`; of updates that were passed, those that no earlier judging of `run` has seen."""
    model, passed = engine.model, {}
    before = engine.judge_cells(cells, "", None)
    for step in sorted((run.settings or {})["judge_at"]):
        if run.waypoint(step).exists():  # else judged already, by the run that is resumed
            then = Edit(load_file(run.waypoint(step)))
            model.put(then.tensors)
            passed[step] = engine.judge_cells(cells, then.digest(), run.folder)
    model.put(edit.tensors)
    seen = Seen(before, engine.judge_cells(cells, edit.digest(), run.folder), passed)
    if edit.key:
        seen.keyed = engine.judge_opened(cells, edit, run.folder)
    if truth:
        with model.as_if(truth):
            seen.retrained = engine.judge_cells(cells, "", None, "retrained")
    return seen


def fit(method: Method, run: Run, hardware: Trainer, logger: Any, every: int, passing: Sequence[int]) -> None:
    """Let Lightning run the loop, from the last checkpoint if there is one; keep the weights of updates it is `passing`."""
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

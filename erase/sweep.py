"""This file is sweeps: a run a combination, each in the folder of its key, so that what is done is not done again."""

import functools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from erase.command import build, quiet, quoted, sentence
from erase.errors import BadInput, Busy
from erase.files import digest
from erase.record.key import key
from erase.record.run import Run
from erase.record.summary import Job, Summary


class Sweep:
    """Every combination of the swept values, as Hydra's own sweeper makes them, each once.

    Runs that are finished are skipped, those that were cut off go on, failed ones are repeated (`sweep.retry`). A run that
    fails ends no other. Ends the process with exit code 4 where a run did not come about, with 2 where all were refused.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: Mapping[str, Any],
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        self.max_batch_size, self.params = max_batch_size, params
        if os.environ.get("LOCAL_RANK", "0") != "0":  # it would run the whole sweep once more
            raise BadInput("LOCAL_RANK says that this is one of several processes of a run: a sweep takes one device a run.")
        with open_dict(config):
            config.sweep.name = config.sweep.name or _study(config) or "sweep"
        self.name, self.config, self.loader = config.sweep.name, config, hydra_context.config_loader
        try:
            self.launcher = Plugins.instance().instantiate_launcher(
                hydra_context=hydra_context, task_function=task_function, config=config
            )
        except (ImportError, RuntimeError) as error:
            extras = "'erase[sweep]' has joblib, 'erase[slurm]' has submitit"
            raise BadInput(f"hydra/launcher={config.hydra.launcher._target_} is not installed: {extras}.") from error

    def sweep(self, arguments: list[str]) -> list[JobReturn]:
        given = [*(f"{name}={value}" for name, value in self.params.items()), *arguments]
        parsed = {o.get_key_element(): o for o in OverridesParser.create(self.loader).parse_overrides(given)}
        axes = [quoted(name) for name, override in parsed.items() if override.is_sweep_override()]
        self.own = [f"sweep.name={quoted(self.name)}", f"sweep.axes=[{','.join(axes)}]", *self._apart(parsed)]
        self.folder = Path(self.config.hydra.sweep.dir)
        setup_globals()
        quiet()
        jobs = [self._job(combination) for combination in BasicSweeper.split_arguments(list(parsed.values()), None)[0]]
        summary, returned = Summary(self.folder, {job.key: job for job in jobs}.values()), []
        with summary:
            todo, size = summary.of("waiting"), self.max_batch_size or len(jobs)
            for at in range(0, len(todo), size):
                returned += self._launch(todo[at : at + size], at)
        if summary.exit_code:
            sys.exit(summary.exit_code)
        return returned

    def _apart(self, said: Collection[str]) -> list[str]:
        """Overrides of runs that go on at once: no bars across each other's, and threads that do not fight for cores."""
        launcher = self.config.hydra.launcher
        if "n_jobs" in launcher:  # joblib's; -1: as many as there are cores
            from joblib import cpu_count

            share = max(1, cpu_count() // launcher.n_jobs) if launcher.n_jobs > 0 else 1
        elif "cpus_per_task" in launcher:  # submitit's
            share = launcher.cpus_per_task
        else:
            return []
        quiet = "+hydra.job.env_set.TQDM_DISABLE='1'"
        known = "trainer.threads" in said or OmegaConf.select(self.config, "trainer.threads") is not None  # a study's own
        return [quiet] if share is None or known else [quiet, f"trainer.threads={share}"]

    def _job(self, overrides: list[str]) -> Job:
        """What a combination is, and how far it is already."""
        config = self.loader.load_sweep_config(self.config, [*overrides, *self.own])
        HydraConfig.instance().set_config(config)  # for ${hydra:…}
        try:
            task = OmegaConf.masked_copy(config, [name for name in map(str, config) if name != "hydra"])
            settings = cast(dict[str, Any], OmegaConf.to_container(task, resolve=True))
            job = Job(
                key(settings, _base(*(json.dumps(settings.get(name)) for name in ("model", "judge")))), overrides, self.folder
            )
        except (BadInput, OmegaConfBaseException) as error:
            return Job(" ".join(overrides), overrides, self.folder, "refused", sentence(error, "train"))
        job.folder /= job.key
        state, why = Run.state(job.folder)
        job.will = {"failed": "repeated", "cut off": "resumed"}.get(state, job.will)
        if state in ("finished", "working") or (state == "failed" and not config.sweep.retry):
            job.outcome, job.why = {"finished": "skipped", "working": "elsewhere"}.get(state, state), why
        return job

    def _launch(self, jobs: list[Job], first: int) -> list[JobReturn]:
        """Run `jobs`, and write down what became of them.

        A launcher gives up all when a process of its dies: those that it took with it go on, the second time they are
        given up. A cluster's run on without it, and are not begun twice.
        """
        began, died = time.time(), Counter[str]()
        while jobs:
            given = [[*job.overrides, *self.own, f"hydra.sweep.subdir={quoted(job.key)}"] for job in jobs]
            try:
                returned = list(self.launcher.launch(given, initial_job_idx=first))
            except Exception as error:
                states = {job.key: Run.state(job.folder, began) for job in jobs}
                died.update(name for name, (state, _) in states.items() if state == "cut off")
                again = died.total() and not hasattr(self.launcher, "checkpoint")
                for job in jobs:
                    state, why = states[job.key]
                    if state in ("finished", "failed", "working"):
                        _settle(job, state, why)
                    elif died[job.key] > 1 or not again:
                        _settle(job, "failed", f"{type(error).__name__}: {error}".splitlines()[0])
                jobs = [job for job in jobs if job.outcome == "waiting"]
            else:
                for job, result in zip(jobs, returned, strict=True):
                    why = result._return_value  # the property would print, and raise
                    if result.status == JobStatus.COMPLETED:
                        _settle(job, "finished")
                    elif isinstance(why, BadInput) and Run.state(job.folder)[0] == "new":
                        _settle(job, "refused", str(why))
                    else:
                        _settle(job, "working" if isinstance(why, Busy) else "failed", str(why))
                return returned
        return []


def _settle(job: Job, state: str, why: str = "") -> None:
    job.outcome, job.why = {"finished": job.will, "working": "elsewhere"}.get(state, state), why


def _study(config: DictConfig) -> str:
    """The name of the folder that --config-dir named; empty where none was."""
    given = [source.path for source in config.hydra.runtime.config_sources if source.provider == "command-line"]
    return Path(given[0]).name if given else ""


@functools.cache
def _base(model: str, judge: str) -> str:
    """Hashes of the model and the judge that these settings (JSON) mean, and of the networks retrained beside the model."""
    given = {"model": json.loads(model), "judge": json.loads(judge)}
    made, looks = (build(OmegaConf.create(node), name) for name, node in given.items())
    return f"{made.hash} {digest(made.truth_folder.glob('*.safetensors'))} {looks.hash}"

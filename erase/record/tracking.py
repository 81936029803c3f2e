"""This file is where figures go besides the run folder: Weights & Biases, another of Lightning's loggers, or nowhere."""

import importlib.util
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from PIL import Image

from erase.errors import BadInput

PARTS = ("before", "after", "after_low", "after_high", "drop", "drop_low", "drop_high", "retrained")
"""What of a figure is sent."""

GRIDS, HELD = "grids", "adversary"
"""Tables: a picture and its figure a row; a concept that was held, and when, a row."""


def figure_name(figure: str, part: str) -> str:
    """`esr_1/after`, `psr_1/church_after`: names that stand together when they are sorted, one folder a figure."""
    return f"{figure}_{part}" if "/" in figure else f"{figure}/{part}"


def sent(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Figures under the names that they are sent with."""
    return {figure_name(n, p): f[p] for n, f in figures.items() for p in PARTS if p in f}


def numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """Figures and cost of a run (what metrics.json holds) under the names that they are sent with."""
    return sent(result["figures"]) | {f"cost/{name}": value for name, value in result["cost"].items()}


@dataclass(frozen=True)
class Outcome:
    """What came out of a run: what metrics.json holds, what was held when, grids by name, the edit's folder and provenance."""

    result: Mapping[str, Any]
    choices: Sequence[Mapping[str, Any]]
    grids: Mapping[str, Image.Image]
    edit: Path
    about: Mapping[str, Any]


class Tracker(Protocol):
    """Somewhere to send a run."""

    def open(self, folder: Path, config: dict[str, Any], tags: Sequence[str]) -> Logger | None:
        """A Lightning logger for the losses; of a run that was opened before, no `tags` are those that it was given."""

    def finish(self, outcome: Outcome) -> None:
        """Send what came out."""

    def add(self, figures: Mapping[str, Mapping[str, float]]) -> None:
        """Send what was found out about a run after it came out: attacks on it."""

    def close(self, why: str = "") -> None:
        """End this run, whatever happened, and say `why` where it failed: the next job of a sweep opens its own."""


class Nowhere:
    """The run folder is enough."""

    def open(self, folder: Path, config: dict[str, Any], tags: Sequence[str]) -> Logger | None:
        return None

    def finish(self, outcome: Outcome) -> None:
        pass

    def add(self, figures: Mapping[str, Mapping[str, float]]) -> None:
        pass

    def close(self, why: str = "") -> None:
        pass


class CSV(Nowhere):
    """Lightning's table of losses, in csv/version_0 of the run folder, version_1 when it goes on. metrics.json has figures."""

    def open(self, folder: Path, config: dict[str, Any], tags: Sequence[str]) -> Logger | None:
        return CSVLogger(folder, "csv")


class TensorBoard(Nowhere):
    """TensorBoard's event files, in tensorboard/ of the run folder: losses, figures beside the config, grids."""

    def __init__(self) -> None:
        if not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
            raise BadInput("logger=tensorboard needs tensorboard: pip install 'erase[tensorboard]'.")

    def open(self, folder: Path, config: dict[str, Any], tags: Sequence[str]) -> Logger | None:
        self.logger = TensorBoardLogger(folder, "tensorboard", version="", default_hp_metric=False)
        self.config = config
        return self.logger

    def finish(self, outcome: Outcome) -> None:
        self.logger.log_hyperparams(self.config, numbers(outcome.result))
        for name, grid in outcome.grids.items():
            self.logger.experiment.add_image(f"grid/{name}", np.asarray(grid), dataformats="HWC")
        self.logger.save()

    def add(self, figures: Mapping[str, Mapping[str, float]]) -> None:
        self.logger.log_metrics(sent(figures))

    def close(self, why: str = "") -> None:
        if hasattr(self, "logger"):
            self.logger.experiment.close()


class WandB:
    """One W&B run a job, offline unless `mode=online`; everything it writes lies in the run folder."""

    def __init__(self, mode: str = "offline", project: str = "erase", group: str | None = None) -> None:
        if mode not in ("offline", "online"):
            raise BadInput(f"logger.mode={mode} is not one of: offline, online.")
        if mode == "online":
            import wandb

            try:
                wandb.login()
            except wandb.errors.Error as error:
                said = " ".join(str(error).split()).rstrip(".")
                raise BadInput(
                    f"logger.mode=online: W&B knows nobody here ({said}); logger.mode=offline asks nobody."
                ) from error
        self.mode, self.project, self.group = mode, project, group

    def open(self, folder: Path, config: dict[str, Any], tags: Sequence[str]) -> Logger | None:
        import wandb
        from lightning.pytorch.loggers import WandbLogger

        for place in ("DATA", "CACHE"):  # else media are staged, and logs written, in the home folder
            os.environ[f"WANDB_{place}_DIR"] = str(folder / "wandb")
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        mark = folder / "wandb" / "run-id"
        if not mark.exists():
            mark.write_text("\n".join([secrets.token_hex(4), *tags]))
        known, *told = mark.read_text().splitlines()
        # not through Lightning's logger, which passes a setting that W&B warns of
        run = wandb.init(
            project=self.project,
            group=self.group,
            name=folder.resolve().name,  # as on the page: no two runs of a sweep are called alike
            job_type="train",
            tags=[t[:64] for t in tags or told],
            config=config,
            dir=folder,
            mode="offline" if self.mode == "offline" else None,
            id=known,  # a resumed run goes on in the same W&B run
            resume="allow",
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)  # as Lightning's logger does by itself
        self.logger = WandbLogger(experiment=run, log_model=False)
        return self.logger

    def finish(self, outcome: Outcome) -> None:
        import wandb

        run = self.logger.experiment
        run.summary.update(numbers(outcome.result))
        run.config.update({"lock": dict(outcome.result["lock"])}, allow_val_change=True)  # to filter and to group by
        if outcome.choices:
            table = wandb.Table(["step", "rank", "concept", "score"])
            for choice in outcome.choices:
                for rank, concept in enumerate(choice["chosen"], 1):
                    table.add_data(choice["step"], rank, concept, choice["scores"][concept])
            run.log({HELD: table})
        run.log({f"grid/{name}": wandb.Image(grid) for name, grid in outcome.grids.items()})
        run.log({GRIDS: _pictured(outcome.result["figures"], outcome.grids)})
        # named by the run, versioned by what it holds: a resumed run sends no second one
        artefact = wandb.Artifact(re.sub(r"[^\w.-]", "-", f"edit-{run.name}")[:128], "edit", metadata=dict(outcome.about))
        for name in ("edit.safetensors", "edit.json"):  # and no key: what leaves the project holds none
            artefact.add_file(str(outcome.edit / name), policy="immutable")  # else a copy is staged
        run.log_artifact(artefact)

    def add(self, figures: Mapping[str, Mapping[str, float]]) -> None:
        self.logger.experiment.summary.update(sent(figures))

    def close(self, why: str = "") -> None:
        import wandb

        if wandb.run:
            wandb.run.summary["why"] = why  # nothing of one that went on and came to its end
        wandb.finish(1 if why else 0)


def _pictured(figures: Mapping[str, Any], grids: Mapping[str, Image.Image]) -> Any:
    """A row a grid: its picture, the figure that speaks of it, and what that says."""
    import wandb

    table = wandb.Table(["name", "figure", "before", "after", "drop", "retrained", "picture"])
    for name, grid in grids.items():
        label, _, role = name.rpartition(" (")
        own = f"esr_1/{label}" if f"esr_1/{label}" in figures else "esr_1"  # of several, each concept's
        figure = {"concept)": own, "synonyms)": "esr_1_synonyms"}.get(role, f"psr_1/{label}")
        said = [figures.get(figure, {}).get(part) for part in ("before", "after", "drop", "retrained")]
        table.add_data(name, figure, *said, wandb.Image(grid))
    return table

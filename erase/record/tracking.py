"""This file is where figures go besides the run folder: Weights & Biases, or nowhere."""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lightning.pytorch.loggers import Logger
from PIL import Image

from erase.errors import BadInput


class Tracker(Protocol):
    """Somewhere to send a run."""

    def open(self, folder: Path, name: str, config: dict[str, Any], tags: Sequence[str]) -> Logger | None:
        """A Lightning logger for the losses."""

    def finish(
        self, figures: Mapping[str, Any], choices: Sequence[Mapping[str, Any]], grids: Mapping[str, Image.Image]
    ) -> None:
        """Send what came out."""

    def close(self) -> None:
        """End this run, whatever happened: the next job of a sweep opens its own."""


class Nowhere:
    """The run folder is enough."""

    def open(self, folder: Path, name: str, config: dict[str, Any], tags: Sequence[str]) -> Logger | None:
        return None

    def finish(
        self, figures: Mapping[str, Any], choices: Sequence[Mapping[str, Any]], grids: Mapping[str, Image.Image]
    ) -> None:
        pass

    def close(self) -> None:
        pass


class WandB:
    """One W&B run a job, offline unless `mode=online`; everything it writes lies in the run folder."""

    def __init__(self, mode: str = "offline", project: str = "erase", group: str | None = None) -> None:
        if mode not in ("offline", "online"):
            raise BadInput(f"logger.mode={mode} is not one of: offline, online.")
        self.mode, self.project, self.group = mode, project, group

    def open(self, folder: Path, name: str, config: dict[str, Any], tags: Sequence[str]) -> Logger | None:
        from lightning.pytorch.loggers import WandbLogger

        for place in ("DATA", "CACHE"):  # else media are staged, and logs written, in the home folder
            os.environ[f"WANDB_{place}_DIR"] = str(folder / "wandb")
        os.environ.setdefault("WANDB_SILENT", "true")
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        offline = self.mode == "offline"
        mark = folder / "wandb" / "run-id"
        if not mark.exists():
            mark.write_text(secrets.token_hex(4))
        settings: dict[str, Any] = {"job_type": "train", "tags": [t[:64] for t in tags], "group": self.group, "config": config}
        settings |= {"id": mark.read_text(), "resume": "allow"}  # a resumed run goes on in the same W&B run
        self.logger = WandbLogger(name, str(folder), project=self.project, offline=offline, log_model=False, **settings)
        return self.logger

    def finish(
        self, figures: Mapping[str, Any], choices: Sequence[Mapping[str, Any]], grids: Mapping[str, Image.Image]
    ) -> None:
        import wandb

        run = self.logger.experiment
        for name, figure in figures.items():
            for part in {"before", "after", "retrained"} & {*figure}:
                run.summary[f"{name}/{part}" if "/" not in name else f"{name}_{part}"] = figure[part]
        if choices:
            table = wandb.Table(["step", "rank", "concept", "score"])
            for choice in choices:
                for rank, concept in enumerate(choice["chosen"]):
                    table.add_data(choice["step"], rank, concept, choice["scores"][concept])
            run.log({"adversary": table})
        run.log({f"grid/{name}": wandb.Image(grid) for name, grid in grids.items()})

    def close(self) -> None:
        import wandb

        wandb.finish()

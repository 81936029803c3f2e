"""The main command: erase a concept, judge the result, write a report. `python -m erase.train --help`."""

import json
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import command
from erase.files import discard
from erase.model import hub


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
    from erase.job import train
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

"""Train the miniature from nothing. `python -m erase.pretrain --help`."""

from pathlib import Path

from omegaconf import DictConfig

from erase import schema
from erase.command import command


@command("pretrain", schema.Pretrain)
def main(config: DictConfig) -> None:
    """All the stages that `config` names."""
    from erase.errors import BadInput
    from erase.miniature.training import STAGES, pretrain

    for stage in config.stages:
        if stage not in STAGES:
            raise BadInput(f"stages: {stage} is not one of: {', '.join(STAGES)}.")
        if config.steps.get(stage, 0) < 1:
            raise BadInput(f"steps.{stage}={config.steps.get(stage)} must be at least 1.")
    if config.drawings < 192:
        raise BadInput(f"drawings={config.drawings} must be at least 192, a batch of the largest stage.")
    out = Path(config.out)
    pretrain(out, Path(config.work), config.seed, config.drawings, dict(config.steps), tuple(config.stages))
    print(f"{out}: {', '.join(config.stages)} trained")


if __name__ == "__main__":
    main()

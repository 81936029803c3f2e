"""Train the miniature from nothing. `python -m erase.pretrain --help`."""

from pathlib import Path

from omegaconf import DictConfig

from erase import schema
from erase.command import command


@command("pretrain", schema.Pretrain)
def main(config: DictConfig) -> None:
    """All the stages that `config` names."""
    from erase.errors import BadInput
    from erase.miniature import world
    from erase.miniature.training import STAGES, pretrain

    for stage in config.stages:
        if stage not in STAGES:
            raise BadInput(f"stages: {stage} is not one of: {', '.join(STAGES)}.")
        if config.steps.get(stage, 0) < 1:
            raise BadInput(f"steps.{stage}={config.steps.get(stage)} must be at least 1.")
    if config.drawings < 192:
        raise BadInput(f"drawings={config.drawings} must be at least 192, a batch of the largest stage.")
    if config.without is not None:
        if config.without not in world.SUBJECTS:
            raise BadInput(f"without={config.without} is not one of: {', '.join(world.SUBJECTS)}.")
        if [*config.stages] != ["unet"]:
            raise BadInput(f"without={config.without} retrains the UNet, which shares all else: stages=[unet].")
    out, steps, stages = Path(config.out), dict(config.steps), tuple(config.stages)
    pretrain(out, Path(config.work), config.seed, config.drawings, steps, stages, config.without)
    print(f"{out}: {', '.join(stages)} trained" + (f" without {config.without}" if config.without else ""))


if __name__ == "__main__":
    main()

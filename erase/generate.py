"""Draw a before/after grid of a run. `python -m erase.generate --help`."""

from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import CONF, build, job, launch


def generate(config: DictConfig) -> Path:
    """Write the grid that `config` asks for and return its path."""
    from erase.errors import BadInput
    from erase.model.edit import Edit
    from erase.model.text_to_image import device_of
    from erase.record.pictures import grid
    from erase.record.run import Run

    run = Run.existing(config.run)
    edit = Edit.load(run.folder)
    prompts = [config.prompt] if isinstance(config.prompt, str) else list(config.prompt)
    if not prompts:
        raise BadInput("prompt=[] must be one prompt or a list of them.")
    for name in ("seeds", "steps", "scale"):
        if config[name] < 1:
            raise BadInput(f"{name}={config[name]} must be at least 1.")
    if config.out and Path(config.out).exists():
        raise BadInput(f"out={config.out} exists already; nothing was written.")
    model = build(OmegaConf.create(edit.about["config"]["model"]), "model")
    model.to(device_of({"cuda": "gpu"}.get(config.device, config.device)))
    seeds = list(range(config.seed, config.seed + config.seeds))
    drawn = []
    for edited in (False, True):
        if edited:
            edit.apply(model.pipe)
        drawn.append([model.images([p] * len(seeds), seeds, config.steps, config.guidance_scale) for p in prompts])
    rows = [row for pair in zip(*drawn, strict=True) for row in pair]
    out = Path(config.out) if config.out else _next(run.folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    grid(rows, scale=config.scale).save(out)
    print(f"{out}: {len(prompts)} × {len(seeds)} pictures, unedited above, edited below")
    return out


def _next(folder: Path) -> Path:
    n = 1
    while (folder / f"generated-{n}.png").exists():
        n += 1
    return folder / f"generated-{n}.png"


schema.register(schema.Generate)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="generate")
@job
def main(config: DictConfig) -> None:
    """One grid."""
    from erase.train import quiet

    quiet()
    generate(config)


def cli() -> None:
    """The console script."""
    launch(main, "generate")


if __name__ == "__main__":
    cli()

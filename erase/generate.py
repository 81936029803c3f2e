"""Draw a before/after grid of a run. `python -m erase.generate --help`."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import build, command


@command("generate", schema.Generate)
def main(config: DictConfig) -> None:
    """Write the grid that `config` asks for."""
    from erase.errors import BadInput
    from erase.record.edits import asked
    from erase.record.pictures import grid
    from erase.trainer import device_of

    edits = asked(config.run, config.edits)
    folder, edit = next(iter(edits.items()))
    if config.key and (len(edits) > 1 or not edit.key):
        raise BadInput(f"key={config.key}, but {config.run} has no key (edit/key.safetensors): method=kpop makes one.")
    prompts = list(config.prompt) if OmegaConf.is_list(config.prompt) else [config.prompt]
    if not prompts or not all(isinstance(p, str) for p in prompts):
        raise BadInput(f"prompt={config.prompt} must be one prompt or a list of them.")
    for name in ("seeds", "steps", "scale"):
        if not 1 <= config[name] <= 999:
            raise BadInput(f"{name}={config[name]} must be from 1 to 999.")
    if config.out and not config.out.lower().endswith(".png"):
        raise BadInput(f"out={config.out} must be a file that ends in .png.")
    if config.out and Path(config.out).exists():
        raise BadInput(f"out={config.out} exists already; nothing was written.")
    device = device_of(config.device, "device")
    model = build(OmegaConf.create(edit.about["config"]["model"]), "model")
    model.to(device)
    seeds = list(range(config.seed, config.seed + config.seeds))
    drawn = []
    for edited, key in ((False, None), (True, None), *([(True, edit.key)] if config.key else [])):
        if edited and not key:
            for each in edits.values():
                each.apply(model.pipe)
        how = (seeds, config.steps, config.guidance_scale)
        drawn.append([model.images([p] * len(seeds), *how, key=key) for p in prompts])
    rows = [row for together in zip(*drawn, strict=True) for row in together]
    out = Path(config.out) if config.out else _next(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    grid(rows, scale=config.scale).save(out)
    print(f"{out}: {len(prompts)} × {len(seeds)} pictures, unedited above, edited below{', with the key last' * config.key}")


def _next(folder: Path) -> Path:
    n = 1
    while (folder / f"generated-{n}.png").exists():
        n += 1
    return folder / f"generated-{n}.png"


if __name__ == "__main__":
    main()

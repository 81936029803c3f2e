"""Write an edited model in another library's format. `python -m erase.export --help`."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import build, command


@command("export", schema.Export)
def main(config: DictConfig) -> None:
    """Write what `config` asks for; BadInput when there is something already."""
    from erase.errors import BadInput
    from erase.model.edit import Edit
    from erase.record.export import FORMATS
    from erase.record.run import Run

    run = Run.existing(config.run)
    edit = Edit.load(run.folder)
    if config.format not in FORMATS:
        raise BadInput(f"format={config.format} is not one of: {', '.join(FORMATS)}.")
    out = Path(config.out) if config.out else run.folder / config.format
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise BadInput(f"out={out} exists already; nothing was written.")
    model = build(OmegaConf.create(edit.about["config"]["model"]), "model")
    FORMATS[config.format](model.pipe, edit, out)
    print(f"{out}: {config.format}, {', '.join(c['name'] for c in edit.about['concepts'])} erased from {edit.about['base']}")


if __name__ == "__main__":
    main()

"""Write an edited model in another library's format. `python -m erase.export --help`."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import build, choices, command


@command("export", schema.Export)
def main(config: DictConfig) -> None:
    """Write what `config` asks for, and a card that says what it is; BadInput when there is something already."""
    from erase.errors import BadInput
    from erase.model.edit import Edit
    from erase.record.card import card
    from erase.record.edits import asked
    from erase.record.export import FORMATS
    from erase.record.push import check, push

    edits = asked(config.run, config.edits)
    if config.format not in FORMATS:
        raise BadInput(f"format={config.format} is not one of: {', '.join(FORMATS)}.")
    if len(edits) > 1 and not config.out:
        raise BadInput("out must be given where several edits go together: out=<folder>.")
    out = Path(config.out) if config.out else next(iter(edits)) / config.format
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise BadInput(f"out={out} exists already; nothing was written.")
    if config.push:
        check(config.push)
    settings = OmegaConf.create(next(iter(edits.values())).about["config"]["model"])
    model = build(settings, "model")
    for edit in edits.values():
        edit.apply(model.pipe)
    whole = Edit.of(model.pipe)
    FORMATS[config.format](model.pipe, whole, out)
    card(whole, list(edits), config.format, choices("attack")).save(out / "README.md")
    print(f"{out}: {config.format}, {', '.join(c['name'] for c in whole.about['concepts'])} erased from {whole.about['base']}")
    if config.push:
        print(f"{push(out, config.push)}: the same")


if __name__ == "__main__":
    main()

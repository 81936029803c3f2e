"""Runs side by side: a page that opens offline, a table, or a W&B workspace. `python -m erase.report --help`."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import command


@command("report", schema.Report, computes=False)
def main(config: DictConfig) -> None:
    """Write what `config` asks for; BadInput where there is no run, and where a file of another kind lies."""
    from erase.errors import BadInput
    from erase.record.page.read import find, read_all
    from erase.record.page.table import FORMATS
    from erase.record.page.write import MADE, write

    runs = list(config.runs) if OmegaConf.is_list(config.runs) else [config.runs]
    if not runs or not all(isinstance(r, str) for r in runs):
        raise BadInput(f"runs={config.runs} must be one folder or glob, or a list of them.")
    if config.format not in ("html", *FORMATS):
        raise BadInput(f"format={config.format} is not one of: {', '.join(('html', *FORMATS))}.")
    if not config.pictures >= 0:
        raise BadInput(f"pictures={config.pictures} must be 0 megabytes or more.")
    out = Path(config.out) if config.out else Path("report.html") if config.format == "html" else None
    out = None if config.wandb else out
    if out and out.is_dir():
        raise BadInput(f"out={out} is a folder; it must be a file.")
    if out and not out.parent.is_dir():
        raise BadInput(f"out={out}: there is no folder {out.parent}.")
    if out and out.exists() and not (config.format == "html" and MADE in out.read_text(errors="replace")[:2000]):
        raise BadInput(f"out={out} exists already and is no page of this command; nothing was written.")
    experiments = read_all(*find(runs))
    many = "1 run" if len(experiments) == 1 else f"{len(experiments)} runs"
    if config.wandb:
        from erase.record.workspace import create

        print(create(config.wandb, experiments))
    elif config.format != "html":
        text = FORMATS[config.format](experiments)
        if out:
            out.write_text(text)
            print(f"{out}: {many}")
        else:
            print(text, end="")
    elif out:
        shown = write(experiments, out, config.pictures, config.title or "")
        print(f"{out}: {many}, {out.stat().st_size / 1e6:.1f} MB; pictures: {shown.said or 'none'}")


if __name__ == "__main__":
    main()

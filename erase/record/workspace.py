"""This file is the saved W&B workspace in which a team reviews runs: the page's panels, over what runs send."""

from collections.abc import Sequence
from typing import Any

from erase.errors import BadInput
from erase.record.names import ROWS
from erase.record.page.read import Experiment
from erase.record.tracking import GRIDS, HELD, figure_name


def create(where: str, experiments: Sequence[Experiment]) -> str:
    """Save the workspace in `where`, an entity/project of W&B; returns its address. BadInput where it cannot be done."""
    import wandb

    entity, _, project = where.partition("/")
    if not entity or not project or "/" in project:
        raise BadInput(f"wandb={where} must be <entity>/<project>.")
    workspace = define(entity, project, experiments)
    try:
        return str(workspace.save().url)
    except (wandb.errors.Error, OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise BadInput(f"wandb={where} cannot be written: {type(error).__name__}: {said}") from error


def define(entity: str, project: str, experiments: Sequence[Experiment]) -> Any:
    """The workspace, not yet sent; its panels speak of the figures, losses and attacks that `experiments` have."""
    try:
        import wandb_workspaces.reports.v2 as panel
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise BadInput("wandb=<entity>/<project> needs wandb-workspaces: pip install 'erase[workspace]'.") from error

    figures = list(dict.fromkeys(name for e in experiments for name in e.figures))
    shares = [name for name in ROWS if name in figures]
    attacks = [name for name in figures if name.startswith("attack/")]
    labels = [name for name in figures if name.startswith("psr_1/")]
    losses = [f"train/{name}" for name in dict.fromkeys(n for e in experiments for n in e.losses if n != "step")]
    seconds, passes = "cost/train_seconds", "cost/forward_equivalents_per_pair"
    grids = dict.fromkeys(f"grid/{name}" for e in experiments if e.scores for name in e.scores.grids)

    def scatter(x: str, y: str) -> Any:
        return panel.ScatterPlot(title=f"{x} against {y}", x=panel.SummaryMetric(x), y=panel.SummaryMetric(y))

    def bars(title: str, names: Sequence[str]) -> Any:
        return panel.BarPlot(title=title, metrics=[panel.SummaryMetric(name) for name in names], max_runs_to_show=100)

    erased, kept = figure_name("esr_1", "after"), figure_name("psr_1", "after")
    goals = [n for n in ("psr_1_siblings", "psr_1", *attacks) if n in figures]
    parts = [p for p in ("before", "after", "retrained") if any(p in e.figures.get("psr_1", {}) for e in experiments)]
    ends = [figure_name(n, part) for n in shares for part in parts]
    sections = {
        "The trade-off": [scatter(erased, figure_name(n, "after")) for n in goals if "esr_1" in figures],
        "What went, what stayed": [bars("with the known ends", ends)],
        "Attacks": [bars(n, [figure_name(n, part) for part in parts]) for n in attacks],
        "What was hurt": [
            bars("change of each kept label", [figure_name(name, "drop") for name in labels]),
            panel.WeavePanelSummaryTable(table_name=HELD),
        ],
        "Pictures": [panel.WeavePanelSummaryTable(table_name=GRIDS), panel.MediaBrowser(media_keys=list(grids))],
        "Losses": [panel.LinePlot(title=name, x="trainer/global_step", y=[name]) for name in losses],
        "Cost": [bars(seconds, [seconds]), bars(passes, [passes]), scatter(seconds, kept)],
        "What differs": [panel.RunComparer(diff_only="split")],
    }
    pinned = [f"summary:{figure_name(name, 'after')}" for name in shares] + [f"summary:{figure_name('psr_1', 'drop')}"]
    return ws.Workspace(
        entity,
        project,
        "erase: review",
        [ws.Section(name, panels, is_open=True) for name, panels in sections.items() if panels],
        runset_settings=ws.RunsetSettings(
            order=[ws.Ordering(ws.Summary(erased), ascending=False)], pinned_columns=["run:displayName", *pinned]
        ),
    )

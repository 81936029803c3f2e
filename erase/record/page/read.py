"""This file is run folders read into plain structures: what a page, a table or a workspace shows, and no more."""

import glob
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from erase.errors import BadInput
from erase.files import told_apart
from erase.record.key import INDIFFERENT, flat
from erase.record.page.scores import Scores, read_scores
from erase.record.run import Run


@dataclass
class Experiment:
    """One run, as its folder tells it; what a run that did not finish lacks is empty.

    `chosen` is the option of every config group (`preservation: adversarial`), `settings` the resolved config with dots
    between names, `choices` what the preservation held when, `state` as `Run.state` says it, or refused: a combination of a
    sweep that never began.
    """

    folder: Path
    name: str
    state: str
    why: str = ""
    started: float | None = None
    command: str = ""
    chosen: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    concepts: list[str] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    checkpoints: dict[int, dict[str, dict[str, float]]] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    lock: dict[str, Any] = field(default_factory=dict)
    edit: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=dict)
    choices: list[dict[str, Any]] = field(default_factory=list)
    scores: Scores | None = None

    def field(self, name: str) -> Any:
        """A setting, by the name that one types: `method`, `concept`, `seed`, `preservation.weight`; None where it has none."""
        if name == "concept":
            return "+".join(self.concepts)
        return self.chosen.get(name, self.settings.get(name))


def find(runs: str | Sequence[str]) -> list[Path]:
    """The folders that `runs` means: run folders, folders that hold some at any depth, or globs of either, each once."""
    found: dict[Path, None] = {}
    for pattern in [runs] if isinstance(runs, str) else runs:
        here: dict[Path, None] = {}
        for place in sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True)):
            here |= dict.fromkeys([Path(place)] if Path(place, "status.json").is_file() else _inside(Path(place)))
        if not here:
            raise BadInput(f"runs={pattern} holds no run folder (a folder with a status.json).")
        found |= here
    return list(found)


def _inside(place: Path) -> list[Path]:
    return sorted(p.parent for p in place.rglob("status.json"))


BROKEN = (ValueError, TypeError, LookupError, AttributeError, OSError)
"""What reading a damaged file raises."""


def read_all(folders: Iterable[Path]) -> list[Experiment]:
    """Every run in `folders`, and what the sweeps around them refused; names are told apart by the folders above."""
    listed = list(folders)
    found = [read(folder) for folder in listed] + [e for place in {p.parent: 0 for p in listed} for e in _refused(place)]
    names = told_apart([e.name for e in found], [e.folder.resolve() for e in found])
    for experiment, name in zip(found, names, strict=True):
        experiment.name = name
    return found


def read(folder: Path, state: str | None = None) -> Experiment:
    """The run in `folder`; a run that reads itself, which is still running, says in which `state` it will be.

    One damaged file makes a run `unreadable`, and hides no other.
    """
    try:
        return _read(folder, state)
    except BROKEN as error:
        return Experiment(folder, folder.resolve().name, "unreadable", f"{type(error).__name__}: {error}".splitlines()[0])


def _read(folder: Path, state: str | None) -> Experiment:
    status = Run.status(folder)
    state, why = (state, "") if state else Run.state(folder)
    config, result = _json(folder / "config.json"), _json(folder / "metrics.json")
    settings, chosen = config.get("settings", {}), _options(folder, config.get("settings", {}))
    about = _json(folder / "edit" / "edit.json")
    return Experiment(
        folder,
        folder.resolve().name,
        state,
        why or status.get("why", ""),
        status.get("started"),
        _command(folder, config.get("overrides", [])),
        chosen,
        flat(settings),
        list(settings.get("concept", {}).get("members", {})),
        result.get("figures", {}) | _attacks(folder / "attacks"),
        {int(step): figures for step, figures in result.get("checkpoints", {}).items()},
        result.get("cost", {}),
        result.get("lock", {}),
        {name: about[name] for name in ("base", "base_hash", "concepts", "versions") if name in about},
        _losses(folder / "training.csv"),
        _choices(folder / "adversary.jsonl"),
        read_scores(folder / "scores.parquet") if result else None,
    )


VICTIMS = {"unedited": "before", "edited": "after", "retrained": "retrained"}
"""Which end of a figure the model is that an attack had before it."""


def _attacks(folder: Path) -> dict[str, dict[str, float]]:
    """`attack/<name>/asr`: the share of prompts whose concept an attack brought back by itself, of the edited model and,
    where they were attacked too, of the unedited one (before) and of the retrained network. Where an attack began at the
    concept's own words, that or no attack: the success that is published of such (UnlearnDiffAtk's)."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob("*.json")):
        about = _json(path)
        end, figures = VICTIMS[about["model"]], about["figures"]
        figures = {**figures, "alone": figures["union"]} if about["settings"]["start"] == "named" else figures
        figure = found.setdefault(f"attack/{path.stem.removesuffix('-' + about['model'])}/asr", {})
        figure[end] = figures["alone"]["value"]
        if end == "after":
            figure |= {"after_low": figures["alone"]["low"], "after_high": figures["alone"]["high"], "n": figures["n"]}
    return {name: figure for name, figure in found.items() if "after" in figure}


def differing(experiments: Sequence[Experiment]) -> list[str]:
    """What was chosen differently: config groups first, then fields that decide, in the config's order."""
    groups = dict.fromkeys(["concept", "method", *(name for e in experiments for name in e.chosen)])
    fields = dict.fromkeys(k for e in experiments for k in e.settings if not _aside(k))
    return [name for name in {**groups, **fields} if len({str(e.field(name)) for e in experiments if e.settings}) > 1]


def _aside(name: str) -> bool:
    """Whether a field is said by another (a class by its group, a concept's words by its name), or decides nothing."""
    return name.endswith("_target_") or f"{name}.".startswith(("concept.", "method.", *(f"{i}." for i in INDIFFERENT)))


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _options(folder: Path, settings: dict[str, Any]) -> dict[str, str]:
    """The option of every config group: what Hydra wrote down, else the name of the class that came of it."""
    path = folder / ".hydra" / "hydra.yaml"
    text = path.read_text() if path.is_file() else ""
    found = re.search(r"^    choices:\n((?:      .*\n)+)", text, re.M)  # a parser takes 30 ms a run
    lines = [line.strip().partition(": ") for line in found[1].splitlines()] if found else []
    options = {name: value for name, _, value in lines if "/" not in name and name != "concept" and value != "null"}
    classes = {name: node["_target_"] for name, node in settings.items() if isinstance(node, dict) and "_target_" in node}
    return {name: target.rpartition(".")[2].lower() for name, target in classes.items() if name != "logger"} | {
        name: value for name, value in options.items() if name != "logger"
    }


def _command(folder: Path, overrides: Sequence[str]) -> str:
    """The command that makes this run again, from its overrides and the config that it was named from."""
    path = folder / ".hydra" / "hydra.yaml"
    text = path.read_text() if path.is_file() else ""
    name = re.search(r"^    config_name: (\S+)", text, re.M)
    place = re.search(r"^    - path: (.*)\n      schema: file\n      provider: command-line", text, re.M)
    study = ["--config-dir", place[1], "--config-name", name[1], "hydra.mode=RUN"] if name and place else []
    given = [o for o in overrides if not o.startswith(("sweep.", "+hydra.", "resume="))]
    return shlex.join(["python", "-m", "erase.train", *study, *given]) if overrides else ""


def _losses(path: Path, most: int = 300) -> dict[str, list[float]]:
    """The columns of training.csv; of longer runs, means over as many neighbours as leave `most` rows."""
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = [[float(value) for value in line.split(",")] for line in lines[1:] if line.count(",") == lines[0].count(",")]
    size = -(-len(rows) // most) or 1
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    means = [[sum(column) / len(part) for column in zip(*part, strict=True)] for part in parts]
    return dict(zip(lines[0].split(","), map(list, zip(*means, strict=True)), strict=True)) if means else {}


def _choices(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text().splitlines() if path.is_file() else []
    return [
        {name: choice[name] for name in ("step", "chosen", "scores") if name in choice} for choice in map(json.loads, lines)
    ]


def _refused(place: Path) -> list[Experiment]:
    """What the sweep in `place` refused; nothing where its summary is damaged, or is no sweep's."""
    try:
        return [
            Experiment(place / name, name, "refused", job["why"], command=_command(place, job["overrides"]))
            for name, job in _json(place / "summary.json").get("runs", {}).items()
            if job["outcome"] == "refused"
        ]
    except BROKEN:
        return []

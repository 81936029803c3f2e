"""This file is run folders read into plain structures: what a page, a table or a workspace shows, and no more."""

import glob
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from erase.errors import BadInput
from erase.files import lines, told_apart
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
    """The folders that `runs` means: run folders, folders that hold some at any depth, or globs of either, each once.

    What is there as it is written is no glob, whatever its name.
    """
    found: dict[Path, Path] = {}
    for pattern in [runs] if isinstance(runs, str) else runs:
        here: dict[Path, Path] = {}
        named = Path(pattern).expanduser()
        for place in [named] if named.exists() else map(Path, sorted(glob.glob(str(named), recursive=True))):
            folders = [place] if (place / "status.json").is_file() else _inside(place)
            here |= {folder.resolve(): folder for folder in folders}
        if not here:
            raise BadInput(f"runs={pattern} holds no run folder (a folder with a status.json).")
        found |= {at: folder for at, folder in here.items() if at not in found}
    return list(found.values())


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

    A damaged file makes a run that has come to its end `unreadable`; one that has not says why. It hides no other.
    """
    try:
        found = _begun(folder, state)
    except BROKEN as error:
        return Experiment(folder, folder.resolve().name, "unreadable", _said(error))
    try:
        return replace(found, **_came_out(folder))
    except BROKEN as error:
        return replace(found, state="unreadable", why=_said(error)) if found.state == "finished" else found


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _begun(folder: Path, state: str | None) -> Experiment:
    """What a run knew when it began, and how far it is."""
    status = Run.status(folder)
    state, why = (state, "") if state else Run.state(folder)
    config = _json(folder / "config.json")
    settings = config.get("settings", {})
    return Experiment(
        folder,
        folder.resolve().name,
        state,
        why or status.get("why", ""),
        status.get("started"),
        _command(folder, config.get("overrides", [])),
        _options(folder, settings),
        flat(settings),
        _concepts(settings.get("concept", {})),
    )


def _came_out(folder: Path) -> dict[str, Any]:
    """The other fields of a run."""
    result, about = _json(folder / "metrics.json"), _json(folder / "edit" / "edit.json")
    return {
        "figures": result.get("figures", {}) | _attacks(folder / "attacks"),
        "checkpoints": {int(step): figures for step, figures in result.get("checkpoints", {}).items()},
        "cost": result.get("cost", {}),
        "lock": result.get("lock", {}),
        "edit": {name: about[name] for name in ("base", "base_hash", "concepts", "versions") if name in about},
        "losses": _losses(folder / "training.csv"),
        "choices": _choices(folder / "adversary.jsonl"),
        "scores": read_scores(folder / "scores.parquet") if result else None,
    }


def _concepts(concept: dict[str, Any]) -> list[str]:
    """The names of what was erased; of one's own words, which have none, these words."""
    names = list(concept.get("members", {}))
    return [", ".join(concept["prompts"])] if names == ["custom"] and concept.get("prompts") else names


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
        success = figures["union" if about["settings"]["start"] == "named" else "alone"]
        figure = found.setdefault(f"attack/{path.stem.removesuffix('-' + about['model'])}/asr", {})
        figure[end] = success["value"]
        if end == "after":
            figure |= {"after_low": success["low"], "after_high": success["high"], "n": figures["n"]}
    return {name: figure for name, figure in found.items() if "after" in figure}


def differing(experiments: Sequence[Experiment]) -> list[str]:
    """What was chosen differently: config groups first, then fields that decide, in the config's order."""
    begun = [e for e in experiments if e.settings]
    groups = dict.fromkeys(["concept", "method", *(name for e in experiments for name in e.chosen)])
    fields = dict.fromkeys(k for e in begun for k in e.settings if not _aside(k))
    return [name for name in {**groups, **fields} if _differs(name, begun)]


def _differs(name: str, experiments: Sequence[Experiment]) -> bool:
    """Whether a field has several values; one of a method or of a concept among the runs of the same."""
    group = name.partition(".")[0] if name.startswith(("method.", "concept.")) else ""
    values: dict[str, set[str]] = {}
    for experiment in experiments:
        values.setdefault(str(experiment.field(group)), set()).add(str(experiment.field(name)))
    return any(len(found) > 1 for found in values.values())


def _aside(name: str) -> bool:
    """Whether a field is said by another (a class by its group), or decides nothing."""
    return name.endswith("_target_") or f"{name}.".startswith(("method.name.", *(f"{i}." for i in INDIFFERENT)))


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _options(folder: Path, settings: dict[str, Any]) -> dict[str, str]:
    """The option of every config group: what Hydra wrote down, else the name of the class that came of it."""
    path = folder / ".hydra" / "hydra.yaml"
    text = path.read_text() if path.is_file() else ""
    found = re.search(r"^    choices:\n((?:      .*\n)+)", text, re.M)  # a parser takes 30 ms a run
    pairs = [line.strip().partition(": ") for line in found[1].splitlines()] if found else []
    options = {name: value for name, _, value in pairs if "/" not in name and name != "concept" and value != "null"}
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
    head, *rest = lines(path) or [""]
    rows = [[float(value) for value in line.split(",")] for line in rest if line.count(",") == head.count(",")]
    size = -(-len(rows) // most) or 1
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    means = [[sum(column) / len(part) for column in zip(*part, strict=True)] for part in parts]
    return dict(zip(head.split(","), map(list, zip(*means, strict=True)), strict=True)) if means else {}


def _choices(path: Path) -> list[dict[str, Any]]:
    choices = map(json.loads, lines(path))
    return [{name: choice[name] for name in ("step", "chosen", "scores") if name in choice} for choice in choices]


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

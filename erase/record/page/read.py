"""This file is run folders read into plain structures: what a page, a table or a workspace shows, and no more."""

import glob
import json
import re
import shlex
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from erase.command import configs_of, quoted
from erase.errors import BadInput
from erase.files import lines, told_apart
from erase.record.key import INDIFFERENT, flat
from erase.record.names import success
from erase.record.page.scores import Scores, read_scores
from erase.record.run import Run


@dataclass
class Experiment:
    """One run, as its folder tells it; what a run that did not finish lacks is empty.

    `chosen` is the option of every config group (`preservation: adversarial`), `settings` the resolved config with dots
    between names, `choices` what the preservation held when, `ended` by attack how each prompt ended, `state` as `Run.state`
    says it, or refused: a combination of a sweep that never began.
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
    ended: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    scores: Scores | None = None

    def of_attack(self, name: str, kind: str) -> Path:
        """The file of `kind` (jsonl, png) that the attack `name`, attack/<its own>, left."""
        return self.folder / "attacks" / f"{name.removeprefix('attack/')}.{kind}"

    def field(self, name: str) -> Any:
        """A setting, by the name that one types: `method`, `concept`, `seed`, `preservation.weight`; None where it has none."""
        if name == "concept":
            return "+".join(self.concepts)
        return self.chosen.get(name, self.settings.get(name))


def find(runs: str | Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The folders that `runs` means: run folders, folders that hold some at any depth, or globs of either, each once. Then the
    folders around those that were found by what holds them: sweeps, whose other runs are asked for too.

    What is there as it is written is no glob, whatever its name.
    """
    found: dict[Path, Path] = {}
    around: dict[Path, Path] = {}
    for pattern in [runs] if isinstance(runs, str) else runs:
        here: dict[Path, Path] = {}
        named = Path(pattern).expanduser()
        for place in [named] if named.exists() else map(Path, sorted(glob.glob(str(named), recursive=True))):
            alone = (place / "status.json").is_file()
            folders = [place] if alone else sorted(p.parent for p in place.rglob("status.json"))
            here |= {folder.resolve(): folder for folder in folders}
            around = {folder.resolve().parent: folder.parent for folder in folders if not alone} | around
        if not here:
            raise BadInput(f"runs={pattern} holds no run folder (a folder with a status.json).")
        found |= {at: folder for at, folder in here.items() if at not in found}
    return list(found.values()), list(around.values())


BROKEN = (ValueError, TypeError, LookupError, AttributeError, OSError)
"""What reading a damaged file raises."""


def read_all(folders: Iterable[Path], sweeps: Iterable[Path] = ()) -> list[Experiment]:
    """Every run in `folders`, and what `sweeps` refused; names are told apart by the folders above."""
    found = [*map(read, folders), *(e for place in sweeps for e in _refused(place))]
    names = told_apart([e.name for e in found], [e.folder.resolve() for e in found])
    for experiment, name in zip(found, names, strict=True):
        experiment.name = name
    return found


def read(folder: Path, state: str | None = None) -> Experiment:
    """The run in `folder`; a run that reads itself, which is still running, says in which `state` it will be.

    Damaged figures make a run that has come to its end `unreadable`; what else is damaged is lacking, and said. It hides no
    other, and nothing of why a run did not come to its end.
    """
    try:
        found = _begun(folder, state)
    except BROKEN as error:
        return Experiment(folder, folder.resolve().name, "unreadable", _said(error))
    try:
        result = _json(folder / "metrics.json")
        found = replace(found, **{name: result.get(name, {}) for name in ("figures", "cost", "lock")})
        found.checkpoints = {int(step): figures for step, figures in result.get("checkpoints", {}).items()}
    except BROKEN as error:
        return replace(found, state="unreadable", why=_said(error)) if found.state == "finished" else found
    damaged = _beside(found)
    if found.state == "cut off" and not found.why:
        return replace(found, why=_so_far(found))
    return replace(found, why="; ".join(damaged)) if damaged and found.state == "finished" else found


def _so_far(experiment: Experiment) -> str:
    """How far a run came that was cut off, and what has it go on."""
    done = int(max(experiment.losses.get("step") or [-1])) + 1
    folder = str(experiment.folder)
    plain = re.fullmatch(r"[\w./-]+", folder)
    asked = f"resume={folder}" if plain else shlex.quote(f"resume={quoted(folder)}")
    return f"after {done} of {experiment.settings.get('steps')} updates; it goes on with: python -m erase.train {asked}"


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


def _beside(experiment: Experiment) -> list[str]:
    """Read what lies beside a run's figures into `experiment`; returns what is damaged, and how."""
    e, damaged = experiment, []

    def told(name: str, reading: Callable[[Path], Any]) -> Any:
        try:
            return reading(e.folder / name)
        except BROKEN as error:
            damaged.append(f"{name} is damaged ({_said(error)})")

    e.edit = told("edit/edit.json", _edit) or {}
    e.losses = told("training.csv", _losses) or {}
    e.choices = told("adversary.jsonl", _choices) or []
    e.scores = told("scores.parquet", _scores)
    attacks = [told(f"attacks/{path.name}", _attack) for path in sorted(e.folder.glob("attacks/*.json"))]
    found: dict[str, dict[str, float]] = {}
    for name, figure, asked in filter(None, attacks):
        if "after" in figure:
            e.ended[name] = told(str(e.of_attack(name, "jsonl").relative_to(e.folder)), _ended) or []
        found[name] = found.get(name, {}) | figure
        if e.lock:
            e.lock[name] = asked
    e.figures |= {f"{name}/asr": figure for name, figure in found.items() if "after" in figure}
    return damaged


def _edit(path: Path) -> dict[str, Any]:
    about = _json(path)
    return {name: about[name] for name in ("base", "base_hash", "concepts", "versions") if name in about}


def _scores(path: Path) -> Scores | None:
    return read_scores(path) if path.with_name("metrics.json").is_file() else None  # else its pictures are being judged


def _concepts(concept: dict[str, Any]) -> list[str]:
    """The names of what was erased; of one's own words, which have none, these words."""
    names = list(concept.get("members", {}))
    return [", ".join(concept["prompts"])] if names == ["custom"] and concept.get("prompts") else names


VICTIMS = {"unedited": "before", "edited": "after", "retrained": "retrained"}
"""Which end of a figure the model is that an attack had before it."""


def _attack(path: Path) -> tuple[str, dict[str, float], dict[str, Any]]:
    """What a file of an attack says: its name, `attack/<name>`; the share of prompts whose concept it brought back by itself,
    of the edited model or, where they were attacked too, of the unedited one (before) or the retrained network; what it was
    asked.
    """
    about = _json(path)
    end, settings, found = VICTIMS[about["model"]], about["settings"], success(about)
    figure = {end: found["value"]}
    if end == "after":
        figure |= {"after_low": found["low"], "after_high": found["high"], "n": about["figures"]["n"]}
    asked = {name: settings[name] for name in ("start", "prompts", "protocol", "thresholds")}
    asked |= {"attack": about["attack"], "settings": settings["attack"], "judge": about["judge"]}
    return f"attack/{path.stem.removesuffix('-' + about['model'])}", figure, asked


def _ended(path: Path) -> list[dict[str, Any]]:
    """How each prompt of an attack ended: the text of its last picture, and whether that brought the concept back."""
    return [{name: line[name] for name in ("text", "alone")} for line in map(json.loads, lines(path))]


def differing(experiments: Sequence[Experiment]) -> list[str]:
    """What was chosen differently: what a sweep went over first, then config groups, then fields that decide, in the config's
    order."""
    begun = [e for e in experiments if e.settings]
    swept = dict.fromkeys(name for e in begun for name in e.settings.get("sweep.axes") or ())
    groups = dict.fromkeys(["concept", "method", *(name for e in begun for name in e.chosen)])
    fields = dict.fromkeys(k for e in begun for k in e.settings if not _aside(k))
    return [name for name in {**swept, **groups, **fields} if _differs(name, begun, {*groups})]


def _differs(name: str, experiments: Sequence[Experiment], groups: Container[str]) -> bool:
    """Whether a field has several values; one of a config group among the runs of the same option."""
    group = name.partition(".")[0] if "." in name else ""
    values: dict[str, set[str]] = {}
    for experiment in experiments:
        like = str(experiment.field(group)) if group in groups else ""
        values.setdefault(like, set()).add(str(experiment.field(name)))
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
    given = [o for o in overrides if not o.startswith(("sweep.", "+hydra.", "resume="))]
    return shlex.join(["python", "-m", "erase.train", *configs_of(folder), *given]) if overrides else ""


def _losses(path: Path, most: int = 300) -> dict[str, list[float]]:
    """The columns of training.csv; of longer runs, means over as many neighbours as leave `most` rows."""
    head, *rest = lines(path) or [""]
    rows = [[float(value) for value in line.split(",")] for line in rest if line.count(",") == head.count(",")]
    size = -(-len(rows) // most) or 1
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    means = [[sum(column) / len(part) for column in zip(*part, strict=True)] for part in parts]
    return dict(zip(head.split(","), map(list, zip(*means, strict=True)), strict=True)) if means else {}


def _choices(path: Path) -> list[dict[str, Any]]:
    """What was held when, with its scores; a line of the file has those of every candidate."""
    found = []
    for choice in map(json.loads, lines(path)):
        chosen, scores = choice["chosen"], choice.get("scores", {})
        found.append({"step": choice["step"], "chosen": chosen, "scores": {name: scores.get(name) for name in chosen}})
    return found


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

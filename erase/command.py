"""This file is how commands read their arguments: Hydra, with both spellings of a group and errors of one sentence."""

import dataclasses
import difflib
import functools
import inspect
import itertools
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, TypeAdapter, ValidationError

from erase import schema
from erase.errors import BadInput, Missed

HERE = Path(__file__).parent
CONF = next(p for p in (HERE / "conf", HERE.parent / "conf") if p.is_dir())  # in a wheel, else in a clone
"""The folder of config groups."""

own_places: list[Path] = []
"""Such folders besides, of --config-dir."""


def choices(group: str, places: Sequence[Path] | None = None) -> list[str]:
    """The options of a config group in `places`, None: all; those in its folders as papers/eap_nudity."""
    folders = [place / group for place in places or (CONF, *own_places)]
    return sorted({p.relative_to(at).with_suffix("").as_posix() for at in folders for p in at.rglob("*.yaml")})


def groups(config: str = "train") -> list[str]:
    """The config groups that one can choose from in conf/<config>.yaml."""
    named = [name for entry in OmegaConf.load(CONF / f"{config}.yaml").defaults if OmegaConf.is_dict(entry) for name in entry]
    return sorted(name for name in named if " " not in name)  # "override hydra/…" is none


def arguments(argv: Sequence[str], config: str = "train") -> list[str]:
    """What Hydra is given: `+method=x` as `method=x`, flags before overrides, a resumed run's own.

    Every group stands in the defaults list, where Hydra takes one of the two spellings and never both. A gate is on any figure,
    whose name no config knows beforehand.
    """
    own_places[:] = _given_places(argv)
    known = groups(config)
    args = [a[1:] if a[:1] == "+" and a[1:].split("=")[0] in known else a for a in argv]
    args = [f"++{a}" if a.startswith("gates.") else a for a in args]
    for group, _, value in (a.partition("=") for a in args):
        if group in known and value in ("", "null"):
            raise BadInput(f"{group}={value} is not one of: {', '.join(choices(group))}.")
    if helped := os.environ.get("ERASE_TEAM"):  # erase.trainer.team: a helper works in the folder of the first
        at = quoted(helped.split(" ", 3)[3])
        return [*sorted(args, key=_is_override), f"hydra.run.dir={at}", "hydra.output_subdir=null"]
    resume = next((a.partition("=")[2] for a in args if a.startswith("resume=")), None)
    if resume not in (None, "", "null"):
        if len(args) > 1:
            raise BadInput(f"resume={resume} repeats that run with its own settings and takes nothing besides.")
        return _resumed(Path(str(resume)))
    return sorted(args, key=_is_override)  # flags go first


def _given_places(argv: Sequence[str]) -> list[Path]:
    """What --config-dir or -cd says."""
    pairs = [(a, b) for a, b in itertools.pairwise((*argv, "")) if a in ("--config-dir", "-cd")]
    return [Path(b) for _, b in pairs] + [Path(a.partition("=")[2]) for a in argv if a.startswith("--config-dir=")]


def _is_override(argument: str) -> bool:
    return argument[:1] != "-" and ("=" in argument or argument[:1] == "~")


def _resumed(folder: Path) -> list[str]:
    config = folder / "config.json"
    if not config.is_file():
        raise BadInput(f"resume={folder} is not a run folder (it holds no config.json).")
    kept = [o for o in json.loads(config.read_text())["overrides"] if not o.startswith("resume=")]
    at = quoted(str(folder.resolve()))
    return [*configs_of(folder), *kept, f"resume={at}", f"hydra.run.dir={at}"]


def configs_of(folder: Path) -> list[str]:
    """The arguments that say where the run in `folder` has its configs from, beside the package's: none where from nowhere."""
    path = folder / ".hydra" / "hydra.yaml"
    text = path.read_text() if path.is_file() else ""
    name = re.search(r"^    config_name: (\S+)", text, re.M)
    place = re.search(r"^    - path: (.*)\n      schema: file\n      provider: command-line", text, re.M)
    return ["--config-dir", place[1], "--config-name", name[1], "hydra.mode=RUN"] if name and place else []


def quoted(text: str) -> str:
    """`text` as a value of an override."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _free(folder: str) -> str:
    """Make `folder`, or the first of folder-2, folder-3, … that does not exist: nothing is written over."""
    path, n = Path(folder), 2
    while True:
        try:
            path.mkdir(parents=True)  # claimed, not only looked at: two runs may begin at once
            return str(path)
        except FileExistsError:
            path, n = Path(f"{folder}-{n}"), n + 1


def _preset(model: str, method: str, field: str, otherwise: Any) -> Any:
    """`field` of conf/preset/<model>/<method>.yaml, where it stands there; where there is no such file, of sd14's.

    Papers publish settings for Stable Diffusion 1.4, seldom for others. A resolver, since Hydra cannot interpolate
    `${model}/${method}` in a defaults list while one of them is swept.
    """
    for name in (model, "sd14"):
        path = CONF / "preset" / name / f"{method}.yaml"
        if path.is_file():
            return OmegaConf.to_container(OmegaConf.load(path)).get(field, otherwise)  # type: ignore[union-attr]
    return otherwise


def _joined(names: Collection[str]) -> str:
    """Several concepts in one word: the set of conf/concept that has all of them and no other, else one after the other."""
    return _sets().get(frozenset(names)) or "+".join(names)


@functools.cache
def _sets() -> dict[frozenset[str], str]:
    """The names of conf/concept that stand for several."""
    read = {path.stem: path for path in sorted((CONF / "concept").glob("*.yaml")) if "defaults:" in path.read_text()}
    return {frozenset(OmegaConf.load(path).defaults): name for name, path in read.items()}


# conf/hydra/launcher/ gives the plugins' own fields other values, under the plugins' own names
warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
OmegaConf.register_new_resolver("preset", _preset, replace=True)
OmegaConf.register_new_resolver("free", _free, use_cache=True, replace=True)
OmegaConf.register_new_resolver("joined", _joined, replace=True)
OmegaConf.register_new_resolver("count", len, replace=True)


def build(node: DictConfig | Any, where: str, **objects: Any) -> Any:
    """Call the node's `_target_` with its fields and `objects`; a wrong field or type is BadInput that says what fits."""
    if not OmegaConf.is_dict(node) or "_target_" not in node:
        raise BadInput(f"{where}={node} is not one of: {', '.join(choices(where))}.")
    target = hydra.utils.get_object(node["_target_"])
    check(target, node, where, objects)
    make = hydra.utils.instantiate(node, _partial_=True, _convert_="all")  # objects would become dictionaries in a call
    return make(**objects)


def check(target: Callable[..., Any], node: DictConfig | Any, where: str, given: Collection[str] = ()) -> None:
    """Hold a node's fields against the signature of its class: names, presence, types. The constructor is the schema.

    What is `given` by the program is no field.
    """
    known = {name: argument for name, argument in _arguments(target).items() if name not in given}
    fields = [str(key) for key in node if key != "_target_"]
    for key in fields:
        if key not in known:
            raise BadInput(f"{where}.{key} is not a field of {node['_target_']}; its fields are {', '.join(known)}.")
    for key, (_, needed) in known.items():
        if OmegaConf.is_missing(node, key) or (needed and key not in fields):
            raise BadInput(f"{where}.{key} must be given: {where}.{key}=<value>.")
    values = OmegaConf.to_container(node, resolve=True)
    for key in fields:
        value, (hint, _) = values[key], known[key]  # type: ignore[index, call-overload]
        try:
            TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value, strict=True)
        except ValidationError as error:
            wrong = error.errors()[0]["msg"].removeprefix("Input ")
            raise BadInput(f"{where}.{key}={value!r} is of a wrong type: it {wrong}.") from error


def _arguments(target: Callable[..., Any]) -> dict[str, tuple[Any, bool]]:
    """What `target` is called with: by name, its type and whether it is needed. What a class hands on as ** is its parents'
    affair.
    """
    found: dict[str, tuple[Any, bool]] = {}
    makers = (
        [c.__dict__["__init__"] for c in target.__mro__ if "__init__" in c.__dict__] if isinstance(target, type) else [target]
    )
    for make in makers:
        hints, parameters = get_type_hints(make), inspect.signature(make).parameters
        own = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and n != "self"}
        found = {n: (hints.get(n, Any), p.default is p.empty) for n, p in own.items()} | found
        if all(p.kind != p.VAR_KEYWORD for p in parameters.values()):
            break
    return found


def sentence(error: Exception, config: str) -> str:
    """One sentence for an error of Hydra or OmegaConf."""
    if isinstance(error, BadInput):
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        missing = str(error.missing_cfg_file)
        group = next((g for g in groups(config) if missing.startswith(f"{g}/")), missing.rpartition("/")[0])
        name = missing.removeprefix(f"{group}/")
        return f"{group}={name} is not one of: {', '.join(choices(group))}." if group else text
    for group in groups(config):
        if f"You must specify '{group}'" in text:
            return f"{group} is not chosen; {group}=<one of: {', '.join(choices(group))}>."
    if "Could not override '" in text:
        key = text.split("Could not override '")[1].split("'")[0]
        if owners := _owners(key, config):
            return f"{key} is a field of {' and '.join(owners)} alone."
        return f"{key} is not a field of this command{_near(key, config)}."
    cause = " ".join(str(error.__cause__ or error).split())
    if "full_key: " in cause:
        wrong, _, key = cause.partition("full_key: ")
        return f"{key.split()[0]}: {wrong.strip().rstrip('.')}."
    if "LexerNoViableAltException" in text or "mismatched input" in text or "no viable alternative" in text:
        return f"an argument cannot be read (quote lists and spaces: 'concept.prompts=[a church]'): {text[:160]}"
    return text.split(" Set the environment variable")[0]


def _owners(key: str, config: str) -> list[str]:
    """The options of a group, as `preservation=adversarial`, that have a field which the chosen one lacks."""
    group, _, name = key.partition(".")
    if not name or group not in groups(config):
        return []
    files = {option: CONF / group / f"{option}.yaml" for option in choices(group)}
    nodes = {option: OmegaConf.load(path) for option, path in files.items() if path.is_file()}
    return [f"{group}={option}" for option, node in nodes.items() if name in OmegaConf.to_container(node).get(group, node)]  # type: ignore[union-attr]


def _near(key: str, config: str) -> str:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = [f"{g}={choices(g, [CONF])[0]}" for g in ("method", "concept", "attack") if g in groups(config)]
        known: list[str] = []
        _keys(compose(config, chosen), "", known)
    close = difflib.get_close_matches(key, known, 3, 0.5) or [k for k in known if "." not in k]
    return f"; did you mean {', '.join(close)}?" if len(close) <= 3 else f"; fields: {', '.join(close)}"


def _keys(node: DictConfig, prefix: str, found: list[str]) -> None:
    for name in map(str, node):
        found.append(f"{prefix}{name}")
        if OmegaConf.is_config(value := node._get_node(name)) and isinstance(value, DictConfig):
            _keys(value, f"{prefix}{name}.", found)


def _help(config: str) -> str:
    text = (CONF / f"{config}.yaml").read_text().splitlines()
    header = [line[1:].removeprefix(" ") for line in itertools.takewhile(lambda line: line.startswith("#"), text)]
    lines = [*header, ""]
    if known := groups(config):
        lines.append("Choose from (group=option, or +group=option):")
        for group in known:
            lines.append(f"  {group:13s} {', '.join(choices(group))}")
            if said := next((found[1] for line in text if (found := re.match(rf"  - {group}:.*?# (.*)", line))), ""):
                lines.append(f"  {'':13s} ({said})")
        lines.append("")
    lines.append("Fields (field=value); --cfg job shows them all with their values, those of the options too:")
    own = text[text.index("defaults:") + 1 : text.index("hydra:")]
    return "\n".join([*lines, *(f"  {line}" for line in own if line and not line.startswith("  - "))])


def quiet() -> None:
    """Take away the libraries' bars and advice; real warnings stay."""
    import transformers
    from diffusers.utils import logging as diffusers_logging

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
    os.environ.setdefault("WANDB_SILENT", "true")  # before Lightning's loggers import it


def _complete(composed: DictConfig, config: str, fields: type) -> None:
    """BadInput for a field that this command does not have, and for one that it needs."""
    known = [f.name for f in dataclasses.fields(fields)]
    for key in map(str, composed):
        if key not in known:
            raise BadInput(f"{key} is not a field of this command{_near(key, config)}.")
    for key in known:
        if key not in composed or OmegaConf.is_missing(composed, key):
            raise BadInput(f"{key} must be given: {key}=<value>.")


def command(
    config: str,
    fields: type,
    discard: Callable[[Path], None] = lambda folder: None,
    check: Callable[[DictConfig], None] = lambda composed: None,
    computes: bool = True,
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a function of one composed config a command: `conf/<config>.yaml`, its own fields typed by `fields`.

    Bad input ends it with one sentence and exit code 2, and `discard` takes away the folder that was made for it; `check`
    refuses what can be refused without seconds of imports, which a command that `computes` nothing is spared. A missed gate
    ends it with a sentence and exit code 3. In a sweep errors are the sweeper's: it tells them when the other runs are done.
    """

    def make(function: Callable[[DictConfig], Any]) -> Callable[[], None]:
        refused: list[str] = []
        missed: list[str] = []
        asked = os.environ.get("HYDRA_FULL_ERROR") == "1"

        @functools.wraps(function)
        def job(composed: DictConfig) -> Any:
            alone = HydraConfig.get().mode != RunMode.MULTIRUN
            try:
                _complete(composed, config, fields)
                check(composed)
                if computes:
                    quiet()
                return function(composed)
            except (BadInput, OmegaConfBaseException) as error:  # Hydra would say more
                discard(Path(HydraConfig.get().runtime.output_dir))
                if alone and not asked:
                    refused.append(sentence(error, config))
                    return None
                raise error if isinstance(error, BadInput) else BadInput(sentence(error, config)) from error
            except Missed as error:
                missed.append(str(error))
            except Exception as error:
                if alone:
                    raise
                logging.getLogger("erase").exception("This run failed; the others go on.")  # into its folder too
                raise RuntimeError(f"{type(error).__name__}: {error}") from None  # as what crosses processes

        def main() -> None:
            for library in ("TRANSFORMERS", "DIFFUSERS"):
                os.environ.setdefault(f"{library}_VERBOSITY", "error")
            if {"-h", "--help"} & {*sys.argv[1:]}:
                own_places[:] = _given_places(sys.argv[1:])
                print(_help(config))
                return
            schema.register(fields)
            try:
                sys.argv[1:] = arguments(sys.argv[1:], config)
                os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors reach us
                hydra.main(version_base="1.3", config_path=str(CONF), config_name=config)(job)()
            except (BadInput, HydraException, OmegaConfBaseException) as error:
                if asked:
                    raise
                refused.append(sentence(error, config))
            for said in (*refused, *missed):
                print(said, file=sys.stderr)
            if refused or missed:
                sys.exit(2 if refused else 3)

        return main

    return make

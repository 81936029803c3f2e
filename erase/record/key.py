"""This file is what a run depends on: what two runs have in common that are the same run."""

import ast
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from erase.files import digest, source_hash

INDIFFERENT = (
    *("resume", "runs", "cache", "sweep", "name", "logger"),
    *("checkpoint_every", "latents.memory", "latents.share", "trainer.threads", "trainer.low_memory", "trainer.compile"),
)
"""Settings that say where things lie, who is told and how fast it goes. Threads change rounding, as another CPU does."""

BASE = ("model.source", "model.revision", "model.config", "model.pickled", "model.retrained")
"""Settings that say where the base lies: in a key its weights stand for them."""

COMPUTE = ("torch", "diffusers", "transformers", "peft", "lightning", "torchmetrics", "numpy")


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dots between names."""
    if not isinstance(node, Mapping):
        return {prefix: node}
    return {key: value for name, child in node.items() for key, value in flat(child, f"{prefix}.{name}".lstrip(".")).items()}


def deciding(settings: Mapping[str, Any], indifferent: tuple[str, ...] = INDIFFERENT) -> dict[str, Any]:
    """What of `settings` the result depends on, flat."""
    return {k: v for k, v in flat(settings).items() if not f"{k}.".startswith(tuple(f"{i}." for i in indifferent))}


@functools.cache
def code(package: Path = Path(__file__).parents[1]) -> str:
    """The version of what computes: the package's Python and its lists of words, and the libraries'.

    Not the commit: what is not committed counts, and what is only said (README, comments) does not.
    """
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        found.update(f"{path.relative_to(package)} {ast.dump(ast.parse(path.read_bytes()))}\n".encode())
    found.update(digest(package.rglob("*.txt")).encode())
    found.update(" ".join(version(name) for name in COMPUTE).encode())
    return found.hexdigest()


def code_of(settings: Mapping[str, Any]) -> str:
    """`code`, and of the classes that `settings` name and that are not the package's, the files in which these are written."""
    named = {str(value) for name, value in flat(settings).items() if name.endswith("_target_")}
    own = sorted(name for name in named if not name.startswith("erase."))
    if not own:
        return code()
    from hydra.utils import get_object

    return f"{code()} {source_hash(*map(get_object, own))}"


def key(settings: Mapping[str, Any], base: str) -> str:
    """The run's name and a short digest of all that its result depends on; `base` says what is edited and who judges.

    A file that a setting names counts by what it holds, wherever it lies.
    """
    own = deciding(settings, INDIFFERENT + BASE)
    own |= {k: digest([Path(v)]) for k, v in own.items() if isinstance(v, str) and os.path.isfile(v)}
    what = json.dumps({"settings": own, "code": code_of(settings), "base": base}, sort_keys=True)
    return f"{settings.get('name')}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"

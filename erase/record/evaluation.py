"""This file is what an evaluation leaves: figures with all that they depend on, and raw scores beside them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from erase.cache import told
from erase.files import whole
from erase.judge.engine import rows
from erase.judge.trial import Trial
from erase.record.key import code
from erase.record.run import provenance, write_json


def result(trial: Trial, protocol: str) -> dict[str, Any]:
    """Figures, what they cost, and the lock: what they depend on."""
    lock = {**trial.lock, "protocol": {"name": protocol, **trial.lock["protocol"]}, "code": code(), "versions": provenance()}
    concepts = [{"name": c.name, "prompts": c.prompts} for c in trial.candidate.concepts]
    return {"run": trial.candidate.given, "concepts": concepts, "lock": lock, "figures": trial.figures, "cost": trial.cost}


def write(trial: Trial, found: Mapping[str, Any], folder: Path, name: str) -> Path:
    """`<name>.json` and `<name>.parquet`, a row a judged picture, in `folder`; the first of them.

    Where a file of this name says something of another question (threshold, protocol, model), a digest tells them apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = folder / f"{name}.json"
    if there.is_file() and _question(json.loads(there.read_text())) != _question(found):
        name += f"-{told({'asked': _question(found)})[:8]}"
    ends = {"before": trial.before, "after": trial.after, "keyed": trial.keyed, "retrained": trial.retrained}
    table = pa.Table.from_pylist([row for who, judged in ends.items() for row in rows(judged, who)])
    with whole(folder / f"{name}.parquet") as part:
        pq.write_table(table, part)
    write_json(folder / f"{name}.json", found)
    return folder / f"{name}.json"


def _question(result: Mapping[str, Any]) -> Any:
    """What a result answers, whatever code and machine."""
    return json.loads(json.dumps({k: v for k, v in result["lock"].items() if k not in ("code", "versions")}))


def write_comparison(found: Mapping[str, Any], trials: Sequence[Trial], folder: Path, name: str) -> Path:
    """`<name>.json`: how models stand to each other, and what each side was."""
    folder.mkdir(parents=True, exist_ok=True)
    sides = [{"run": t.candidate.given, "lock": t.lock, "cost": t.cost} for t in trials]
    write_json(folder / f"{name}.json", {"models": sides, "lock": {"code": code(), "versions": provenance()}, **found})
    return folder / f"{name}.json"

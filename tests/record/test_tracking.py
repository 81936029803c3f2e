"""What is sent besides the run folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, Command
from PIL import Image
from wandb_file import records

from erase.errors import BadInput
from erase.record.tracking import Outcome, TensorBoard, figure_name, numbers


def test_names_stand_together_when_sorted():
    result = {"figures": {"esr_1": {"before": 0.0, "after": 1.0, "n": 8}, "psr_1/barn": {"drop": 0.5}}, "cost": {"forwards": 9}}
    assert numbers(result) == {"esr_1/before": 0.0, "esr_1/after": 1.0, "psr_1/barn_drop": 0.5, "cost/forwards": 9}
    assert figure_name("attack/relearn/asr", "after") == "attack/relearn/asr_after"


def test_an_offline_run_of_wandb_is_complete(finished: Path):
    path, *_ = sorted(finished.glob("wandb/offline-run-*/run-*.wandb"))  # of the run; then of attacks on it
    found = list(records(path))
    metrics = json.loads((finished / "metrics.json").read_text())
    items = [i for f in found for i in (*f.history.item, *f.request.partial_history.item, *f.summary.update)]
    summary = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
    for name, value in numbers(metrics).items():
        assert summary[name] == pytest.approx(value), name
    assert {"psr_1/drop", "psr_1/barn_after_low", "cost/train_seconds"} <= {*summary}

    sent = [f.artifact if f.HasField("artifact") else f.request.log_artifact.artifact for f in found]
    files = {a.name: {e.path: Path(e.local_path) for e in a.manifest.contents} for a in sent if a.type}

    def table(name: str) -> Mapping[str, Any]:
        """A table as W&B shows it; the history's own copy has words in place of pictures."""
        assert (path.parent / "files" / summary[f"{name}/path"]).is_file()
        return json.loads(held_by(name)[f"{name}.table.json"].read_text())

    def held_by(name: str) -> Mapping[str, Path]:
        (held,) = (inside for of, inside in files.items() if of.endswith(f"-{name}"))
        return held

    grids = table("grids")
    assert grids["columns"] == ["name", "figure", "before", "after", "drop", "retrained", "picture"]
    assert len(grids["data"]) == len(list((finished / "images").iterdir()))
    (barn,) = (row for row in grids["data"] if row[1] == "psr_1/barn")
    assert barn[3] == metrics["figures"]["psr_1/barn"]["after"]
    with Image.open(held_by("grids")[barn[6]["path"]]) as picture:
        assert picture.size == (barn[6]["width"], barn[6]["height"])
    held = [json.loads(line) for line in (finished / "adversary.jsonl").read_text().splitlines()]
    assert [row[2] for row in table("adversary")["data"]] == [name for choice in held for name in choice["chosen"]]

    (edit,) = (artefact for artefact in sent if artefact.type == "edit")
    assert {*files[edit.name]} == {"edit.json", "edit.safetensors"}
    for name, file in files[edit.name].items():
        assert file.read_bytes() == (finished / "edit" / name).read_bytes()
    assert all(file.is_relative_to(finished) for inside in files.values() for file in inside.values())
    made = json.loads(edit.metadata)
    about = json.loads((finished / "edit" / "edit.json").read_text())
    assert {name: made[name] for name in ("base_hash", "config", "versions", "concepts")} == {
        name: about[name] for name in ("base_hash", "config", "versions", "concepts")
    }


def test_csv(command: Command, tmp_path: Path):
    done = command("train", "method=esd", "concept=church", *QUICK, "logger=csv")
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs").iterdir()
    lines = (run / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    assert "train/erase" in lines[0]
    assert len(lines) == 5
    assert not (run / "wandb").exists()


def test_tensorboard(tmp_path: Path):
    try:
        tracker = TensorBoard()
    except BadInput as error:
        pytest.skip(str(error))
    logger = tracker.open(tmp_path, "a", {"lr": 1.0, "method": {"name": "esd"}}, [])
    assert logger is not None
    logger.log_metrics({"train/erase": 0.5}, 0)
    result = {"figures": {"esr_1": {"after": 1.0}}, "cost": {"forwards": 9}}
    tracker.finish(Outcome(result, [], {"church (concept)": Image.new("RGB", (66, 132))}, tmp_path, {}))
    tracker.close()
    events = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").rglob("events.*"))
    for name in (b"train/erase", b"esr_1/after", b"cost/forwards", b"grid/church", b"lr"):
        assert name in events

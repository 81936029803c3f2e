"""What is sent besides the run folder."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import wandb
from conftest import QUICK, Command
from PIL import Image
from wandb_file import records

from erase.errors import BadInput
from erase.record.page.read import read_all
from erase.record.tracking import GRIDS, HELD, TensorBoard, WandB, _pictured, figure_name, numbers


def test_names_stand_together_when_sorted():
    result = {"figures": {"esr_1": {"before": 0.0, "after": 1.0, "n": 8}, "psr_1/barn": {"drop": 0.5}}, "cost": {"forwards": 9}}
    assert numbers(result) == {"esr_1/before": 0.0, "esr_1/after": 1.0, "psr_1/barn_drop": 0.5, "cost/forwards": 9}
    assert figure_name("attack/relearn/asr", "after") == "attack/relearn/asr_after"


def artefacts(found: Sequence[Any]) -> list[Any]:
    """What of a run's records W&B is to keep as files."""
    sent = [f.artifact if f.HasField("artifact") else f.request.log_artifact.artifact for f in found]
    return [artefact for artefact in sent if artefact.type]


def test_an_offline_run_of_wandb_is_complete(finished: Path):
    path, *_ = sorted(finished.glob("wandb/offline-run-*/run-*.wandb"))  # of the run; then of attacks on it
    found = list(records(path))
    metrics = json.loads((finished / "metrics.json").read_text())
    items = [i for f in found for i in (*f.history.item, *f.request.partial_history.item, *f.summary.update)]
    summary = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
    for name, value in numbers(metrics).items():
        assert summary[name] == pytest.approx(value), name
    assert {"psr_1/drop", "psr_1/barn_after_low", "cost/train_seconds"} <= {*summary}

    configs = [i for f in found for i in (*f.run.config.update, *f.config.update)]
    assert [json.loads(i.value_json) for i in configs if "lock" in (i.key, *i.nested_key)][-1] == metrics["lock"]

    sent = artefacts(found)
    files = {a.name: {e.path: Path(e.local_path) for e in a.manifest.contents} for a in sent}

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
    said = [[choice["step"], rank, name] for choice in held for rank, name in enumerate(choice["chosen"], 1)]
    assert [row[:3] for row in table("adversary")["data"]] == said

    (edit,) = (artefact for artefact in sent if artefact.type == "edit")
    assert {*files[edit.name]} == {"edit.json", "edit.safetensors"}
    for name, file in files[edit.name].items():
        assert file == finished / "edit" / name  # and no second copy of it
    assert all(file.is_relative_to(finished) for inside in files.values() for file in inside.values())
    made = json.loads(edit.metadata)
    about = json.loads((finished / "edit" / "edit.json").read_text())
    assert {name: made[name] for name in ("base_hash", "config", "versions", "concepts")} == {
        name: about[name] for name in ("base_hash", "config", "versions", "concepts")
    }


def test_no_key_is_sent(keyed: Path):
    assert (keyed / "edit" / "key.safetensors").is_file()
    (path,) = keyed.glob("wandb/offline-run-*/run-*.wandb")
    (edit,) = (artefact for artefact in artefacts([*records(path)]) if artefact.type == "edit")
    assert {entry.path for entry in edit.manifest.contents} == {"edit.json", "edit.safetensors"}


@pytest.mark.parametrize("why", ["", "OSError: no space left"])
def test_wandb_is_told_how_a_run_ended(why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for place in ("DATA", "CACHE"):
        monkeypatch.setenv(f"WANDB_{place}_DIR", "")  # which is put back
    tracker = WandB()
    tracker.open(tmp_path / "esd-church-0-1f2e", {"name": "esd-church-0"}, ["esd"])
    tracker.close(why)
    wandb.teardown()  # when all is written
    (path,) = tmp_path.rglob("run-*.wandb")
    found = [*records(path)]
    assert {f.run.display_name for f in found if f.HasField("run")} == {"esd-church-0-1f2e"}  # no other of a sweep is called so
    assert [f.exit.exit_code for f in found if f.HasField("exit")] == [int(bool(why))]
    said = [json.loads(i.value_json) for f in found for i in f.summary.update if i.key == "why"]
    assert said[-1] == why


def test_who_is_not_logged_in_cannot_be_online(command: Command, tmp_path: Path):
    nobody = {"WANDB_MODE": "online", "WANDB_API_KEY": "", "HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    done = command("train", "method=esd", "concept=church", *QUICK, "logger.mode=online", **nobody)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("logger.mode=online: W&B knows nobody here (")
    assert line.endswith("); logger.mode=offline asks nobody.")
    assert not [*(tmp_path / "outputs").iterdir()]


def test_of_several_concepts_each_has_its_own_figure():
    figures = {
        "esr_1": {"after": 0.5},
        "esr_1/church": {"after": 1.0},
        "esr_1/nude": {"after": 0.0},
        "psr_1/barn": {"after": 0.9},
    }
    names = ("church (concept)", "nude (concept)", "nude (synonyms)", "barn (sibling)")
    grids = {name: Image.new("RGB", (2, 2)) for name in names}
    rows = [row[:4] for row in _pictured(figures, grids).data]
    assert [(row[1], row[3]) for row in rows] == [
        ("esr_1/church", 1.0),
        ("esr_1/nude", 0.0),
        ("esr_1_synonyms", None),
        ("psr_1/barn", 0.9),
    ]
    (alone,) = _pictured({"esr_1": {"after": 0.5}}, {"church (concept)": grids["barn (sibling)"]}).data
    assert (alone[1], alone[3]) == ("esr_1", 0.5)


BROKEN = """
from erase.record.tracking import CSV

class Broken(CSV):
    def finish(self, outcome):
        raise OSError("nobody listens")
"""


def test_csv_and_what_cannot_be_sent(command: Command, tmp_path: Path):
    (tmp_path / "broken.py").write_text(BROKEN)
    done = command("train", "method=esd", "concept=church", *QUICK, "logger=csv", "logger._target_=broken.Broken")
    assert done.returncode == 0, done.stderr
    assert "the run was not sent: OSError: nobody listens" in done.stderr
    (run,) = (tmp_path / "outputs").iterdir()
    assert json.loads((run / "status.json").read_text())["status"] == "finished"
    lines = (run / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    assert "train/erase" in lines[0]
    assert len(lines) == 5
    assert not (run / "wandb").exists()


def test_tensorboard(command: Command, tmp_path: Path):
    try:
        TensorBoard()
    except BadInput as error:
        pytest.skip(str(error))
    done = command("train", "method=esd", "concept=church", *QUICK, "logger=tensorboard")
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "outputs").iterdir()
    events = b"".join(path.read_bytes() for path in (run / "tensorboard").rglob("events.*"))
    for name in (b"train/erase", b"esr_1/after", b"cost/forwards", b"grid/church", b"latents/trajectories"):
        assert name in events


@pytest.mark.filterwarnings("ignore:Pydantic V1 style")
def test_the_workspace_speaks_of_what_a_run_sent(finished: Path):
    pytest.importorskip("wandb_workspaces", reason="the extra `workspace` is not installed")
    from erase.record.workspace import define

    path, *_ = sorted(finished.glob("wandb/offline-run-*/run-*.wandb"))
    items = [i for f in records(path) for i in (*f.history.item, *f.request.partial_history.item, *f.summary.update)]
    sent = {i.key or i.nested_key[0] for i in items}
    (run,) = read_all([finished])
    assert run.scores
    run.scores.cells.append({"role": "combination", "head": "subject", "label": "church", "n": 2, "prompts": []})  # has no grid
    spec = define("team", "erase", [run])._to_model().model_dump_json()
    asked = {*re.findall(r'"summary(?::|_metrics\.)([^"]+)"', spec)}
    assert {"esr_1/after", "psr_1_siblings/after", "psr_1/drop", "psr_1/barn_drop", "cost/train_seconds"} <= asked
    logged = {*re.findall(r'"((?:train|grid)/[^"]+)"', spec)} | {name for name in (GRIDS, HELD) if name in spec}
    assert {GRIDS, HELD, "grid/barn (sibling)", "train/erase"} <= logged
    assert asked | logged <= sent

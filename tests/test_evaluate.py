"""`python -m erase.evaluate` from outside: whatever is a model, any judge on the same pictures, gates, comparisons."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import families
import hub
import pyarrow.parquet as pq
import pytest
from conftest import QUICK, Command, Once
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from erase.command import CONF
from erase.model import compvis
from erase.model.stable_diffusion import StableDiffusion

SMALL = [o for o in QUICK if o.startswith("protocol.")]


def result(path: Path) -> dict[str, Any]:
    (found,) = path.glob("*.json")
    return json.loads(found.read_text())


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A run of one's own, with its pictures."""
    return Path(shutil.copytree(finished, tmp_path / "outputs" / "mine", ignore=shutil.ignore_patterns("wandb")))


def test_a_run_an_edit_and_an_exported_folder_are_one_model(run: Path, command: Command, tmp_path: Path):
    edit = tmp_path / "edit.safetensors"
    shutil.copy(run / "edit" / "edit.safetensors", edit)
    shutil.copy(run / "edit" / "edit.json", tmp_path / "edit.json")
    done = command("evaluate", f"run={run}", *SMALL)
    assert done.returncode == 0, done.stderr
    own = result(run / "evaluations")
    metrics = json.loads((run / "metrics.json").read_text())
    assert own["figures"] == metrics["figures"]
    assert own["cost"]["forwards"] == 0  # the run's own pictures
    assert (own["lock"]["model"], own["lock"]["judge"]["hash"]) == (metrics["lock"]["model"], metrics["lock"]["judge"])
    assert own["lock"]["protocol"]["name"] == "quick"
    rows = pq.read_table(run / "evaluations" / "quick-drawings.parquet").to_pylist()
    assert len(rows) == own["cost"]["images"]

    done = command("evaluate", f"run={edit}", "out=alone", *SMALL)
    assert done.returncode == 0, done.stderr
    alone = result(tmp_path / "alone")
    assert alone["figures"] == own["figures"]
    assert command("export", f"run={run}", "out=plain").returncode == 0
    done = command("evaluate", "run=plain", "base=miniature", "concept=church", "out=pipeline", *SMALL)
    assert done.returncode == 0, done.stderr
    plain = result(tmp_path / "pipeline")
    assert {*own["figures"]} - {*plain["figures"]} == {n for n in own["figures"] if n.startswith("distance_")}
    for name, figure in plain["figures"].items():  # nobody knows of a network retrained beside it
        assert figure == {n: v for n, v in own["figures"][name].items() if not n.startswith("retrained")}, name
    assert plain["lock"]["edit"] is None
    assert plain["cost"]["forwards"] > 0


def test_another_judge_draws_nothing(run: Path, command: Command, tmp_path: Path):
    sources = {"clip": hub.clip(tmp_path / "clip"), "imagenet": hub.classifier(tmp_path / "resnet")}
    for judge, source in sources.items():
        done = command("evaluate", f"run={run}", f"judge={judge}", f"judge.source={source}", *SMALL)
        assert done.returncode == 0, done.stderr
        found = json.loads((run / "evaluations" / f"quick-{judge}.json").read_text())
        assert found["cost"]["forwards"] == 0
        assert {"esr_1", "psr_1/barn"} <= {*found["figures"]}
    shutil.rmtree(run / "drawn")
    clip = [f"run={run}", "judge=clip", f"judge.source={sources['clip']}", *SMALL]
    fresh = command("evaluate", *clip, "out=fresh", "cache=new")
    assert fresh.returncode == 0, fresh.stderr
    again = result(tmp_path / "fresh")
    assert again["cost"]["forwards"] > 0
    assert again["figures"] == json.loads((run / "evaluations" / "quick-clip.json").read_text())["figures"]


def test_edits_that_stand_together_are_held_against_each_alone(finished: Path, command: Command, tmp_path: Path):
    edits = {}
    for name, scale in (("church", 1.0), ("tench", 1.5)):
        folder = tmp_path / name / "edit"
        folder.mkdir(parents=True)
        tensors = load_file(finished / "edit" / "edit.safetensors")
        some = {n: t * scale for i, (n, t) in enumerate(tensors.items()) if scale == 1 or i % 2}  # half of them move in both
        save_file(some, folder / "edit.safetensors")
        about = json.loads((finished / "edit" / "edit.json").read_text())
        told = OmegaConf.load(CONF / "concept" / f"{name}.yaml").members[name]
        about["concepts"] = [{"name": name, "prompts": [*told.prompts], "synonyms": [*told.synonyms]}]
        (folder / "edit.json").write_text(json.dumps(about))
        edits[name] = folder.parent
    done = command("evaluate", f"edits=[{edits['church']},{edits['tench']}]", *SMALL)
    assert done.returncode == 0, done.stderr
    place = tmp_path / "evaluations" / "church+tench"
    compared = result(place)["compared"]
    assert [*compared] == ["church+tench / church", "church+tench / tench"]
    each = {name: result(place / name) for name in ("church+tench", "church", "tench")}
    for found in each.values():
        assert {"esr_1/church", "esr_1/tench", "esr_1", "psr_1"} <= {*found["figures"]}
        assert [c["name"] for c in found["concepts"]] == ["church", "tench"]
    assert len({found["lock"]["edit"] for found in each.values()}) == 3


def test_a_stranger_is_judged_alone_and_by_all_labels(command: Command, tmp_path: Path):
    done = command("evaluate", "run=miniature", *SMALL, "protocol.fraction=1.0")
    assert done.returncode == 0, done.stderr
    found = result(tmp_path / "evaluations" / "miniature")
    assert "esr_1" not in found["figures"]
    assert found["figures"]["psr_1"].keys() == {"after", "after_low", "after_high", "n"}
    assert "psr_1/nude" in found["figures"]
    assert found["lock"]["base"] is None


def test_another_threshold_draws_nothing_and_says_what_a_fresh_one_does(run: Path, command: Command, tmp_path: Path):
    asked = [f"run={run}", "judge.threshold=0.9", *SMALL]
    usual = command("evaluate", f"run={run}", *SMALL)
    own = command("evaluate", *asked)
    assert (usual.returncode, own.returncode) == (0, 0), usual.stderr + own.stderr
    told = [json.loads(path.read_text())["lock"]["judge"]["thresholds"] for path in (run / "evaluations").glob("*.json")]
    assert sorted(told) == [[], [0.9]]  # nothing is overwritten
    first = command("evaluate", *asked, "out=again")
    shutil.rmtree(run / "drawn")
    fresh = command("evaluate", *asked, "out=fresh", ERASE_CACHE=str(tmp_path / "empty"))
    assert (first.returncode, fresh.returncode) == (0, 0), first.stderr + fresh.stderr
    again, anew = result(tmp_path / "again"), result(tmp_path / "fresh")
    assert (again["cost"]["forwards"], again["figures"]) == (0, anew["figures"])
    assert anew["cost"]["forwards"] > 0
    assert again["lock"]["judge"]["thresholds"] == [0.9]
    scores = pq.read_table(tmp_path / "again" / "quick-drawings.parquet").to_pylist()
    kept = [r["probability"] >= 0.9 for r in scores if r["model"] == "after" and r["role"] in ("kept", "sibling")]
    assert again["figures"]["psr_1"]["after"] == pytest.approx(sum(kept) / len(kept))


def test_gates(run: Path, command: Command):
    done = command("evaluate", f"run={run}", *SMALL, "gates.psr_1.min=0", "gates.psr_1.barn.max=1", "gates.psr_1.n.max=9999")
    assert done.returncode == 0, done.stderr
    done = command("evaluate", f"run={run}", *SMALL, "gates.esr_1.min=1.5", "gates.psr_1.after_low.min=0.99")
    assert done.returncode == 3
    said = done.stderr.splitlines()[-1]
    value = json.loads((run / "metrics.json").read_text())["figures"]
    assert f"gates.esr_1.min=1.5 is missed: it is {value['esr_1']['after']:.4g}." in said
    assert f"gates.psr_1.after_low.min=0.99 is missed: it is {value['psr_1']['after_low']:.4g}." in said
    assert result(run / "evaluations")["figures"] == value


def test_a_concept_without_a_label_is_judged_by_clip_and_that_is_said(command: Command, tmp_path: Path):
    words = ["concept=custom", "concept.prompts=[a view in the snow,a winter day]"]
    done = command("evaluate", "run=miniature", *words, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "Judged by CLIP zero-shot: custom." in done.stdout
    found = result(tmp_path / "evaluations" / "miniature")
    assert 0 <= found["figures"]["esr_1"]["after"] <= 1
    assert found["lock"]["judge"]["zero_shot"]["custom"] == ["a view in the snow", "a winter day"]
    assert len(found["lock"]["judge"]["classes"]["clip"]) > 40


def test_strangers_as_others_keep_them(once: Once, command: Command, tmp_path: Path):
    """A pipeline's folder as diffusers saves it, and the same in one file, which is no edit: one model, and its figures."""
    source = once("sd1", lambda at: families.make("sd1", at))
    save_file(compvis.state(StableDiffusion(str(source)).pipe), tmp_path / "whole.safetensors")
    said = [f"model.config={source}", "model=sd14", "judge=clip", f"judge.source={hub.clip(tmp_path / 'clip')}"]
    done = command("evaluate", f"run={tmp_path / 'whole.safetensors'}", *said, *SMALL)
    assert done.returncode == 0, done.stderr
    found = result(tmp_path / "evaluations" / "whole")
    assert "clip_score" in found["figures"]
    done = command("evaluate", f"run={source}", *said, *SMALL)
    assert done.returncode == 0, done.stderr
    again = result(tmp_path / "evaluations" / source.name)
    assert (again["figures"], again["lock"]["model"]) == (found["figures"], found["lock"]["model"])
    assert again["cost"]["forwards"] == 0  # drawn of the file already


def test_those_of_one_name_are_told_apart(run: Path, command: Command, tmp_path: Path):
    other = Path(shutil.copytree(run, tmp_path / "elsewhere" / run.name))
    tensors = load_file(other / "edit" / "edit.safetensors")
    save_file({name: value * 1.5 for name, value in tensors.items()}, other / "edit" / "edit.safetensors")
    about = json.loads((other / "edit" / "edit.json").read_text())
    about["config"]["lr"] *= 1.5  # else one would be another seed of the other
    (other / "edit" / "edit.json").write_text(json.dumps(about))
    done = command("evaluate", f"run=[{run},{other}]", *SMALL, "out=both", "gates.esr_1.min=1.5")
    assert done.returncode == 3, done.stderr
    assert "gates.esr_1.min=1.5 is missed: the difference is " in done.stderr
    assert len([*(tmp_path / "both").glob("*/quick-drawings.json")]) == 2


def test_two_runs_are_compared(run: Path, held: Path, command: Command, tmp_path: Path):
    done = command("evaluate", f"run=[{run},{held}]", *SMALL, "out=both")
    assert done.returncode == 0, done.stderr
    (compared,) = json.loads((tmp_path / "both" / "quick-drawings-together.json").read_text())["compared"].values()
    ends = [json.loads((r / "metrics.json").read_text())["figures"] for r in (run, held)]
    for name in ("esr_1", "esr_1_synonyms", "psr_1_siblings", "psr_1/barn"):  # what both were asked when they were made
        found = compared[name]
        assert (found["first"], found["second"]) == pytest.approx([e[name]["after"] for e in ends])
        assert found["difference"] == pytest.approx(found["second"] - found["first"], abs=1e-6)
        assert found["difference_low"] <= found["difference"] <= found["difference_high"]
        sure = found["difference_low"] > 0 or found["difference_high"] < 0
        assert (found["better"] is not None) == sure
    assert "second less first" in done.stdout


def test_seeds_are_pooled(run: Path, command: Command, tmp_path: Path):
    other = Path(shutil.copytree(run, run.with_name("other"), ignore=shutil.ignore_patterns("evaluations", "drawn")))
    about = json.loads((other / "edit" / "edit.json").read_text())
    about["config"]["seed"] = 1
    (other / "edit" / "edit.json").write_text(json.dumps(about))
    tensors = load_file(other / "edit" / "edit.safetensors")
    save_file({name: value * 1.5 for name, value in tensors.items()}, other / "edit" / "edit.safetensors")
    done = command("evaluate", f"run=[{run},{other}]", *SMALL, "out=both", "gates.psr_1.min=0")
    assert done.returncode == 0, done.stderr
    together = json.loads((tmp_path / "both" / "quick-drawings-together.json").read_text())
    (pooled,) = together["pooled"].values()
    assert together["compared"] == {}
    for name, figure in pooled.items():
        one, two = figure["each"]
        assert figure["after"] == pytest.approx((one + two) / 2, abs=1e-6), name
        assert figure["spread"] == pytest.approx(abs(one - two) / 2**0.5, abs=1e-6), name
        assert figure["after_low"] - 1e-6 <= figure["after"] <= figure["after_high"] + 1e-6, name
    assert any(figure["spread"] > 0 for figure in pooled.values())


def test_two_runs_of_one_seed_are_compared_and_not_pooled(run: Path, command: Command, tmp_path: Path):
    other = Path(shutil.copytree(run, tmp_path / "outputs" / ("a-long-name-" * 12)))
    done = command("evaluate", f"run=[{run},{other}]", *SMALL)
    assert done.returncode == 0, done.stderr
    (found,) = (tmp_path / "evaluations").glob("*/quick-drawings-together.json")
    assert len(found.parent.name) <= 100
    together = json.loads(found.read_text())
    assert (together["pooled"], len(together["compared"])) == ({}, 1)
    assert [side["lock"]["training_seed"] for side in together["models"]] == [0, 0]


def test_a_file_that_is_no_safetensors_is_named(command: Command, tmp_path: Path):
    (tmp_path / "edit.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n" * 9)
    done = command("evaluate", "run=edit.safetensors", *SMALL)
    assert (done.returncode, "edit.safetensors does not read as safetensors" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run=nowhere/to-be-found"], "model.source=nowhere/to-be-found is not in the cache"),
        (["run=[]"], r"run=[] must be a run"),
        ([], "run=None must be a run, an edit, a pipeline's folder or a hub id, or a list of them; or edits=[…]"),
        (["edits=[miniature]"], "edits=[miniature] must be two or more edits, or runs that have made one, each once."),
        (["edits=[x,y]", "run=x"], "run and edits are two questions: ask one of them."),
        (["run=[miniature,miniature]"], "run=miniature is given twice: nothing can be said of it against itself."),
        (["run=.", "out=x"], "run=. holds no run (status.json), no edit (edit.json) and no pipeline (model_index.json)."),
        (["run=miniature", "gates.esr_1=1"], "gates.esr_1=1 must be gates.<figure>.min=<number>"),
        (["run=miniature", "judge.threshold=2.0"], "judge.threshold=2.0 must be between 0 and 1"),
        (["run=miniature", "trainer=ddp"], "trainer.processes=2: one process judges, and the same command started twice"),
        (["run=miniature", "judge=nobody"], "judge=nobody is not one of: clip, drawings, imagenet, nudenet, style."),
        (["run=miniature", "protocol=i2p"], "protocol.prompts=None must be a CSV file: I2P's list of 4,703 prompts, with the"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], says: str, command: Command, tmp_path: Path):
    done = command("evaluate", *arguments, *([] if "protocol=i2p" in arguments else SMALL))
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [*tmp_path.rglob("*.json")]


@pytest.mark.parametrize("protocol", ["i2p", "artists", "coco", "imagenette"])
def test_protocols_of_hub_models_end_to_end(protocol: str, run: Path, command: Command, tmp_path: Path):
    rows = {"i2p": "a person in a coat", "artists": "a church,church", "coco": "a barn in a park", "imagenette": ""}
    head = "prompt,artist\n" if protocol == "artists" else "prompt\n"
    (tmp_path / "prompts.csv").write_text(head + f"{rows[protocol]}\n" * 3)
    judge = {"artists": hub.clip, "coco": hub.clip, "imagenette": hub.classifier}.get(protocol)
    asked = [f"judge.source={judge(tmp_path / 'judge')}"] if judge else []
    asked += ["protocol.fraction=0.002"] if protocol == "imagenette" else ["protocol.prompts=prompts.csv"]
    done = command("evaluate", f"run={run}", f"protocol={protocol}", "protocol.steps=1", *asked)
    if protocol == "i2p" and not find_spec("nudenet"):
        assert (done.returncode, "erase[nudity]" in done.stderr) == (2, True)
        return
    assert done.returncode == 0, done.stderr
    found = result(run / "evaluations")
    own = {"i2p": "exposed/0.5", "artists": "clip_score_erased", "coco": "clip_score", "imagenette": "psr_5"}
    assert found["figures"][own[protocol]].keys() >= {"before", "after", "drop", "n"}
    images = {
        "i2p": 6,
        "artists": 6,
        "coco": 9,
        "imagenette": 30,
    }  # of what the judge calls church there is a retrained network
    assert found["cost"]["images"] == images[protocol]
    assert found["lock"]["protocol"].get("prompts_sha256") is not None or protocol == "imagenette"
    if protocol == "coco":  # what is drawn once is drawn once, whatever the protocol
        again = command("evaluate", f"run={run}", f"protocol={protocol}", "protocol.steps=1", *asked)
        assert again.returncode == 0
        assert result(run / "evaluations")["cost"]["forwards"] == 0

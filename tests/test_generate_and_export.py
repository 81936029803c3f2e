"""Grids and exports of a finished run."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextModel

from erase.model.edit import Edit
from erase.model.stable_diffusion import StableDiffusion


def test_grid_is_written_and_never_over(finished: Path, command: Command, tmp_path: Path):
    out = tmp_path / "grid.png"
    arguments = [f"run={finished}", "prompt=a photo of a church", "seeds=3", "steps=2", "scale=1", f"out={out}"]
    done = command("generate", *arguments)
    assert done.returncode == 0, done.stderr
    assert Image.open(out).size == (3 * 66 - 2, 2 * 66 - 2)
    again = command("generate", *arguments)
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("field", "says"),
    [("prompt=5", "prompt=5"), ("steps=2000", "from 1 to 999"), ("out=x.xyz", "ends in .png"), ("", "prompt must be given")],
)
def test_nonsense_is_refused(field: str, says: str, finished: Path, command: Command, tmp_path: Path):
    prompt = [] if field.startswith("prompt") or not field else ["prompt=church"]
    done = command("generate", f"run={finished}", *prompt, *([field] if field else []))
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["generate", "export"])
def test_a_run_that_is_not_there(name: str, command: Command):
    done = command(name, "run=nowhere", *(["prompt=church"] if name == "generate" else []))
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["generate", "export"])
def test_an_edit_of_another_base(name: str, finished: Path, command: Command, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished / "edit", run / "edit")
    shutil.copy(finished / "status.json", run)
    about = json.loads((run / "edit" / "edit.json").read_text())
    about["base_tensors"] = dict.fromkeys(about["base_tensors"], "0" * 16)
    (run / "edit" / "edit.json").write_text(json.dumps(about))
    here = {p for p in tmp_path.rglob("*")}
    done = command(name, f"run={run}", *(["prompt=church", "steps=1", "seeds=1"] if name == "generate" else []))
    assert done.returncode == 2
    assert "was made for" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert {p for p in tmp_path.rglob("*")} == here


def test_export_is_plain_diffusers(finished: Path, command: Command, tmp_path: Path, model: StableDiffusion):
    out = tmp_path / "church-free"
    done = command("export", f"run={finished}", "format=diffusers", f"out={out}")
    assert done.returncode == 0, done.stderr
    script = f"""
import sys, torch, numpy
from diffusers import StableDiffusionPipeline, DDIMScheduler
pipe = StableDiffusionPipeline.from_pretrained({str(out)!r})
noise = torch.Generator().manual_seed(3)
image = pipe("a photo of a barn", num_inference_steps=4, guidance_scale=4.0, generator=noise, output_type="np").images[0]
numpy.save({str(tmp_path / "image.npy")!r}, image)
assert not any(name == "erase" or name.startswith("erase.") for name in sys.modules)
"""
    plain = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert plain.returncode == 0, plain.stderr
    Edit.load(finished).apply(model.pipe)
    ours = model.images(["a photo of a barn"], [3], steps=4, guidance_scale=4.0)[0].permute(1, 2, 0).numpy()
    theirs = np.load(tmp_path / "image.npy") * 255
    assert np.abs(ours.astype(float) - theirs).max() <= 2
    again = command("export", f"run={finished}", f"out={out}")
    assert again.returncode == 2


def test_a_key_is_a_row_of_its_own_and_brings_something_back(keyed: Path, command: Command, tmp_path: Path):
    common = [f"run={keyed}", "prompt=[church,a barn]", "seeds=2", "steps=2", "scale=1"]
    for out, *asked in (("with.png", "key=true"), ("without.png",)):
        done = command("generate", *common, f"out={out}", *asked)
        assert done.returncode == 0, done.stderr
        assert ("with the key last" in done.stdout) == bool(asked)
    opened, shut = (np.asarray(Image.open(tmp_path / n)) for n in ("with.png", "without.png"))
    assert (len(opened), len(shut)) == (6 * 66 - 2, 4 * 66 - 2)
    before, after, key = (opened[i * 66 : i * 66 + 64] for i in range(3))
    assert np.array_equal(shut[:64], before)
    assert np.array_equal(shut[66:130], after)
    assert not np.array_equal(after, key)


def test_two_edits_in_one_model(finished: Path, encoder: Path, command: Command, tmp_path: Path, model: StableDiffusion):
    out, both = tmp_path / "both", f"edits=[{finished},{encoder}]"
    done = command("export", both, f"out={out}", "push=who/what")
    assert done.returncode == 2  # the hub is not asked in tests: all is there but for that
    assert f"`hf upload who/what {out}`" in done.stderr
    for run in (finished, encoder):
        Edit.load(run).apply(model.pipe)
    theirs = load_file(out / "unet" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(w, theirs[n]) for n, w in model.pipe.unet.state_dict().items())
    listed = json.loads((out / "edits.json").read_text())
    assert [line["digest"] for line in listed] == [Edit.load(run).digest() for run in (finished, encoder)]
    assert "of all together see `python -m erase.evaluate edits=[…]`." in (out / "README.md").read_text()
    done = command("generate", both, "prompt=church", "seeds=1", "steps=1", f"out={tmp_path / 'grid.png'}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["run={run}", "edits=[{run}]"], "run must be given"),
        ([], "run must be given"),
        (["edits=[{run},{run}]"], "names one twice"),
        (["edits=[{run},{other}]"], "out must be given"),
        (["run={run}", "push=mine", "out=there"], "push=mine is not the name of a repository"),
        (["run={run}", "format=onnx"], "format=onnx is not one of: diffusers, single_file, edit, lora, text_encoder."),
    ],
)
def test_what_an_export_is_not_asked(asked: list[str], says: str, finished: Path, encoder: Path, command: Command):
    done = command("export", *(a.format(run=finished, other=encoder) for a in asked))
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_without_a_key(finished: Path, command: Command, tmp_path: Path):
    done = command("generate", f"run={finished}", "prompt=church", "key=true")
    assert done.returncode == 2
    assert "has no key (edit/key.safetensors)" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_export_takes_no_key_along(keyed: Path, command: Command, tmp_path: Path, model: StableDiffusion):
    assert command("export", f"run={keyed}", f"out={tmp_path / 'out'}").returncode == 0
    assert not list(tmp_path.rglob("*key*"))
    theirs = load_file(tmp_path / "out" / "unet" / "diffusion_pytorch_model.safetensors")
    Edit.load(keyed).apply(model.pipe)
    ours = model.pipe.unet.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_exported_text_encoder_has_the_keys_of_transformers_4(finished: Path, command: Command, tmp_path: Path):
    from safetensors import safe_open

    out = tmp_path / "out"
    assert command("export", f"run={finished}", f"out={out}").returncode == 0
    with safe_open(out / "text_encoder" / "model.safetensors", "pt") as file:
        assert all(key.startswith("text_model.") for key in file.keys())  # noqa: SIM118


def test_a_text_encoder_takes_anothers_place_or_is_added(
    encoder: Path, command: Command, model: StableDiffusion, tmp_path: Path
):
    out, edit = tmp_path / "out", Edit.load(encoder)
    done = command("export", f"run={encoder}", "format=text_encoder", f"out={out}")
    assert done.returncode == 0, done.stderr
    loaded, info = CLIPTextModel.from_pretrained(out, output_loading_info=True)
    assert not any(info.values())
    unedited = {name: weight.clone() for name, weight in model.pipe.text_encoder.named_parameters()}
    edit.apply(model.pipe)
    ids = model.tokenize(["a photo of a church"])
    with torch.no_grad():
        wanted = model.pipe.text_encoder(ids).last_hidden_state
        assert torch.equal(loaded(ids).last_hidden_state, wanted)
    difference = load_file(out / "difference.safetensors")
    assert {*load_file(out / "model.safetensors")} > {*difference}  # the keys of transformers 4
    assert {f"text_encoder.{name.removeprefix('text_model.')}" for name in difference} == {*edit.tensors}
    edit.undo(model.pipe)
    named = dict(model.pipe.text_encoder.named_parameters())
    (lines,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.S)
    exec(lines.replace("difference.safetensors", str(out / "difference.safetensors")), {"pipe": model.pipe})
    with torch.no_grad():
        torch.testing.assert_close(model.pipe.text_encoder(ids).last_hidden_state, wanted)
    assert {n for n, w in named.items() if not torch.equal(w, unedited[n])} == {
        n.removeprefix("text_model.") for n in difference
    }


def test_an_encoder_alone_is_no_export_of_an_edit_of_the_unet(finished: Path, command: Command, tmp_path: Path):
    done = command("export", f"run={finished}", "format=text_encoder", f"out={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "format=text_encoder: this run changes unet." in done.stderr
    assert not list(tmp_path.iterdir())

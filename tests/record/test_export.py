"""Exports of every family, loaded back by the library that their users have: tensors and a picture."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import families
import pytest
import torch
from conftest import Once
from diffusers import DDIMScheduler
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError
from safetensors.torch import load_file
from torch import Tensor

from erase.errors import BadInput
from erase.model.edit import Edit
from erase.model.ledger import tensor_hash
from erase.model.stable_diffusion import StableDiffusion
from erase.parameters.lora import LoRA
from erase.record.card import card
from erase.record.export import FORMATS
from erase.record.push import push


@pytest.fixture(scope="module", params=families.KINDS)
def folder(request: pytest.FixtureRequest, once: Once) -> Path:
    """A random model of a family; the folder has its name."""
    return once(request.param, lambda at: families.make(request.param, at))


def loaded(folder: Path) -> StableDiffusion:
    return families.KINDS[folder.name](str(folder))


def about(model: StableDiffusion, **parameters: object) -> dict[str, Any]:
    concept = {"name": "church", "prompts": ["church"]}
    config = {"parameters": parameters, "method": {"name": "esd"}}
    return {"base": "who/what", "base_tensors": model.original_hashes, "concepts": [concept], "config": config}


def changed(folder: Path) -> Edit:
    """An edit of every part that an erasure moves, too large to be overlooked in a picture, too small to make it chaotic."""
    model, rng = loaded(folder), torch.Generator().manual_seed(1)
    own = {n: w for n, w in model.named_parameters() if "attn" in n and w.ndim == 2}
    tensors = {n: w + 0.2 * torch.randn(w.shape, generator=rng) for n, w in own.items()}
    model.original_hashes = {n: tensor_hash(w) for n, w in model.named_parameters() if n in tensors}
    return Edit({n: w.detach() for n, w in tensors.items()}, about(model))


def adapted(folder: Path) -> Edit:
    """An edit made by adapters, as training leaves it."""
    model, how = loaded(folder), {"include": r"^unet\..*attn2\.to_", "rank": 2, "alpha": 4.0}
    parameters, rng = LoRA(**how), torch.Generator().manual_seed(1)
    parameters.prepare(model, 0)
    model.put({n: 0.3 * torch.randn(w.shape, generator=rng) for n, w in model.moving.items()})
    tensors = parameters.fold(model)
    parameters.unload(model)
    return Edit({n: w.clone() for n, w in tensors.items()}, about(model, _target_="erase.parameters.lora.LoRA", **how))


def exported(folder: Path, edit: Edit, format: str, out: Path) -> StableDiffusion:
    """The edited model, which was written to `out`."""
    model = loaded(folder)
    edit.apply(model.pipe)
    FORMATS[format](model.pipe, Edit.of(model.pipe), out)
    return model


def picture(pipe: Any) -> Tensor:
    """One of a barn, by diffusers alone, between 0 and 255."""
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    noise = torch.Generator().manual_seed(3)
    return 255 * pipe("a barn", num_inference_steps=3, guidance_scale=4.0, generator=noise, output_type="pt").images[0]


def same(pipe: Any, model: StableDiffusion) -> bool:
    """Whether all weights are the same to the last bit."""
    own = {part: getattr(model.pipe, part).state_dict() for part in ("unet", "vae", *model.encoders)}
    return all(torch.equal(getattr(pipe, part).state_dict()[n], w) for part, state in own.items() for n, w in state.items())


@pytest.mark.parametrize("format", ["diffusers", "single_file"])
def test_a_whole_model_comes_back(format: str, folder: Path, tmp_path: Path):
    model = exported(folder, changed(folder), format, tmp_path)
    read = model.pipeline.from_pretrained if format == "diffusers" else model.pipeline.from_single_file
    given = {} if format == "diffusers" else {"config": str(folder), "local_files_only": True}
    found = read(tmp_path if format == "diffusers" else tmp_path / "model.safetensors", **given)
    assert same(found, model)
    theirs, ours, before = picture(found), picture(model.pipe), picture(loaded(folder).pipe)
    assert (theirs - ours).abs().max() <= 1
    assert (theirs - before).abs().max() > 2


def test_an_edit_alone_fits_its_base(folder: Path, tmp_path: Path):
    edit = changed(folder)
    edit.key = {"unet.x": torch.ones(2, 1, 16)}
    model = exported(folder, edit, "edit", tmp_path)
    other = loaded(folder)
    found = Edit.load(tmp_path)
    found.apply(other.pipe)
    assert same(other.pipe, model)
    assert found.key is None


def test_a_text_encoder_stands_in_for_the_base_s(folder: Path, tmp_path: Path):
    edit = changed(folder)
    with pytest.raises(BadInput, match="which is not in text_encoder: format=diffusers"):
        exported(folder, edit, "text_encoder", tmp_path / "no")
    edit.tensors = {n: w for n, w in edit.tensors.items() if n.startswith("text_encoder.")}
    model, other = exported(folder, edit, "text_encoder", tmp_path), loaded(folder)
    base = {n: w.clone() for n, w in other.pipe.text_encoder.state_dict().items()}
    before = picture(other.pipe)
    other.pipe.text_encoder = type(other.pipe.text_encoder).from_pretrained(tmp_path)
    assert same(other.pipe, model)
    assert (picture(other.pipe) - picture(model.pipe)).abs().max() <= 1
    assert (picture(other.pipe) - before).abs().max() > 2
    difference = load_file(tmp_path / "difference.safetensors")
    assert len(difference) == len(edit.tensors)
    own = {n.removeprefix("text_model."): w for n, w in model.pipe.text_encoder.state_dict().items()}
    base = {n.removeprefix("text_model."): w for n, w in base.items()}
    for name, value in difference.items():
        bare = name.removeprefix("text_model.")
        torch.testing.assert_close(base[bare] + value, own[bare])


@pytest.mark.parametrize("file", ["pytorch_lora_weights.safetensors", "kohya.safetensors"])
def test_adapters_make_of_the_base_what_was_learnt(file: str, folder: Path, tmp_path: Path):
    edit = adapted(folder)
    model = exported(folder, edit, "lora", tmp_path)
    found = loaded(folder)
    before = picture(found.pipe)
    found.pipe.load_lora_weights(str(tmp_path), weight_name=file)
    theirs, ours = picture(found.pipe), picture(model.pipe)
    assert (theirs - ours).abs().max() <= 1
    assert (theirs - before).abs().max() > 2
    found.pipe.fuse_lora()
    found.pipe.unload_lora_weights()
    for name, weight in edit.tensors.items():
        torch.testing.assert_close(dict(found.named_parameters())[name], weight, atol=1e-5, rtol=1e-5)


def test_whole_weights_are_no_adapters(once: Once, tmp_path: Path):
    folder = once("sd1", lambda at: families.make("sd1", at))
    with pytest.raises(BadInput, match="no single run with parameters=lora"):
        exported(folder, changed(folder), "lora", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_card_says_what_is_known_and_what_is_not(finished: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("attacks", "wandb", "images"))
    edit, victims = Edit.load(run), {"edited": "unlearn_diff", "retrained": "paraphrase"}
    (run / "attacks").mkdir()
    shares = {
        n: {"value": v, "low": v / 2, "high": v + 0.25} for n, v in (("without", 0.25), ("alone", 0.125), ("union", 0.375))
    }
    for victim, attack in victims.items():
        told = {"attack": attack, "model": victim, "figures": {"n": 16, **shares}, "settings": {"start": "unnamed"}}
        (run / "attacks" / f"{attack}.json").write_text(json.dumps(told))
    (run / "attacks" / "unlearn_diff-retrained.json").write_text(json.dumps({**told, "attack": "unlearn_diff"}))
    found = card(edit, [run], "diffusers", ["paraphrase", "unlearn_diff"])
    text = ModelCard(str(found)).text
    assert found.data.license == "apache-2.0"
    for said in (
        "# church erased from miniature",
        "method=adv_preserve",
        "- church: church, a photo of a church",
        "| `esr_1` |",
    ):
        assert said in text
    assert "| `unlearn_diff` | 0.250 | 0.125 | 0.375 | 0.188 to 0.625 | 16 | – | 0.125 |" in text
    for victim in ("edited", "retrained"):  # at its own words what shows it there is nobody's attack
        named = {**told, "model": victim, "attack": "unlearn_diff", "settings": {"start": "named"}}
        name = "unlearn_diff" if victim == "edited" else "unlearn_diff-retrained"
        (run / "attacks" / f"{name}.json").write_text(json.dumps(named))
    said = str(card(edit, [run], "diffusers", ["unlearn_diff"]))
    assert "| `unlearn_diff` | 0.250 | – | 0.375 | 0.188 to 0.625 | 16 | – | 0.375 |" in said
    assert "Not tried: paraphrase." in text
    assert "## Limits" in text
    both = Edit(edit.tensors, {**edit.about, "edits": [edit.line(), edit.line()]})
    two = str(card(both, [run, run], "edit", []))
    assert "of all together see `python -m erase.evaluate edits=[…]`." in two
    assert two.count("by `method=adv_preserve`") == 2


class Hub:
    """What of the hub is asked; it has no network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, trouble: Exception | None = None) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.trouble = trouble
        for name in ("create_repo", "upload_folder"):
            monkeypatch.setattr(HfApi, name, lambda _, *a, name=name, **k: self.ask(name, *a, **k))

    def ask(self, name: str, *given: Any, **named: Any) -> str:
        self.asked.append((name, {"repo_id": given[0], **named} if given else named))
        if self.trouble:
            raise self.trouble
        return "https://huggingface.co/who/what"


def test_all_of_a_folder_goes_to_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    hub = Hub(monkeypatch)
    assert push(tmp_path, "who/what") == "https://huggingface.co/who/what"
    made, sent = hub.asked
    assert made == ("create_repo", {"repo_id": "who/what", "exist_ok": True, "private": True})
    assert sent == ("upload_folder", {"repo_id": "who/what", "folder_path": tmp_path})


@pytest.mark.parametrize("refused", [True, False])
def test_what_the_hub_does_not_take_stays(refused: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    answer = SimpleNamespace(status_code=401, headers={}, request=None)
    trouble = HfHubHTTPError("no", response=answer) if refused else ConnectionError("no network")
    Hub(monkeypatch, trouble)
    says = r"the hub refuses \(401\); `hf auth login`" if refused else "the hub cannot be reached"
    with pytest.raises(BadInput, match=says) as error:
        push(tmp_path, "who/what")
    assert f"`hf upload who/what {tmp_path}`" in str(error.value)

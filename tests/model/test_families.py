"""Every family behind the door: pictures as diffusers draws them, five steps of every method, and the way back."""

import gc
import json
import re
import threading
from pathlib import Path

import families
import hub
import lightning as L
import pytest
import torch
from conftest import QUICK, Command, Once, composed
from diffusers import DDIMScheduler
from huggingface_hub.errors import GatedRepoError, RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from erase.errors import BadInput
from erase.job import objective
from erase.method.base import Method
from erase.model import compvis, stable_diffusion
from erase.model.edit import Edit
from erase.model.hub import MOVED
from erase.model.stable_diffusion import StableDiffusion
from erase.model.words import states
from erase.parameters import Select

METHODS = {
    "adv_preserve": ["preservation.every=1", "preservation.points=1", "preservation.keep=2"],
    "esd": [],
    "uce": ["method.erase_scale=100", "method.keep_tolerance=null"],
    "kpop": ["method.layers=mid"],
    "adv_unlearn": ["adversary.steps=2", "adversary.warmup=0", "method.retain_batch=2"],
    "age": ["preservation.every=1", "preservation.points=1", "preservation.keep=2"],
    "concept_ablation": ["latents.images=1", "latents.kept_images=1"],
}
"""The methods of the published tables, and what makes five steps of each cheap."""


@pytest.fixture(scope="module", params=families.KINDS)
def folder(request: pytest.FixtureRequest, once: Once) -> Path:
    """A random model of a family; the folder has its name."""
    return once(request.param, lambda at: families.make(request.param, at))


def loaded(folder: Path) -> StableDiffusion:
    found = families.KINDS[folder.name](str(folder), name="sd14")
    found.vocabulary = ["a photo of a barn", "a photo of a tench", "a view in a park"]
    return found


def trained(model: StableDiffusion, folder: Path, method: str, *overrides: str) -> Method:
    """The method after five updates."""
    if method != "concept_ablation":  # which draws pictures
        overrides = ("latents.trajectories=1", "latents.kept_trajectories=1", *overrides)
    given = ["concept=church", "steps=5", "batch_size=2", "lr=1e-3", "latents.steps=3", *METHODS[method], *overrides]
    made = objective(composed(f"method={method}", *given), lambda: model, folder)
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **silent)
    trainer.fit(made, DataLoader(range(made.steps), batch_size=None))
    return made


def weights(model: StableDiffusion) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_pictures_are_those_of_diffusers(folder: Path):
    """Of v, with two encoders, the pooled state, sizes and a silent empty prompt."""
    model, prompts = loaded(folder), ["a photo of a church", "a barn"]
    pipe = model.pipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    ours = model.images(prompts, [3, 3], steps=4, guidance_scale=4.0).permute(0, 2, 3, 1).float()
    for prompt, picture in zip(prompts, ours, strict=True):
        noise = torch.Generator().manual_seed(3)
        found = pipe(prompt, num_inference_steps=4, guidance_scale=4.0, generator=noise, output_type="pt").images[0]
        assert (255 * found.permute(1, 2, 0) - picture).abs().max() <= 2
    assert (ours[0] - ours[1]).abs().max() > 2


def test_rows_and_shares_of_what_is_heard(folder: Path, tmp_path: Path):
    """What a family hears of whole prompts goes wherever the sequence goes, through the cache too."""
    model = loaded(folder)
    model.shared = tmp_path
    said = model.prompt(["a church", "a barn"])
    for heard in (states(model, ["a church", "a barn"]), states(model, ["a church", "a barn"])):
        both = heard.stack([heard.rows(slice(1, 2)), heard.rows(slice(0, 1))]).mixed(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        torch.testing.assert_close(both.sequence, said.sequence)
        assert (both.pooled is None) == (folder.name != "sdxl")
        if both.pooled is not None:
            torch.testing.assert_close(both.pooled, said.pooled)


def test_embeddings_in_the_place_of_words(folder: Path):
    model = loaded(folder)
    ids = model.tokenize(["a red church", "a barn"])
    said, again = model.encode(ids), model.encode(ids, embeddings=model.embed(ids))
    torch.testing.assert_close(again.sequence, said.sequence)
    torch.testing.assert_close(again.pooled, said.pooled) if said.pooled is not None else None
    assert model.embed(ids).shape[-1] == model.table.shape[1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_five_steps_and_the_way_back(method: str, folder: Path, tmp_path: Path):
    """An edit fits a plain pipeline, a second one stands on it, and both are taken back bit for bit."""
    model = loaded(folder)
    before = weights(model)
    made = trained(model, tmp_path, method)
    hashes = model.original_hashes
    edit = Edit(made.finish(), {"base_tensors": hashes})
    assert all(torch.isfinite(weight).all() for weight in edit.tensors.values())
    changed = {name for name, weight in edit.tensors.items() if not torch.equal(weight, before[name])}
    assert changed
    assert all(name.startswith("text_encoder") == (method == "adv_unlearn") for name in changed)
    plain = loaded(folder)
    edit.apply(plain.pipe)
    second = Edit({name: weight + 1 for name, weight in edit.tensors.items()}, {"base_tensors": hashes})
    second.apply(plain.pipe)
    second.undo(plain.pipe)
    assert all(torch.equal(dict(plain.named_parameters())[name], weight) for name, weight in edit.tensors.items())
    edit.undo(plain.pipe)
    assert all(torch.equal(weight, before[name]) for name, weight in plain.named_parameters())


@pytest.mark.filterwarnings("ignore")
def test_there_is_one_copy_of_the_weights_and_what_moves(once: Once, tmp_path: Path):
    """Live tensors: the pipeline's weights, and of each that moves its original, its gradient and Adam's two means."""
    folder = once("sdxl", lambda at: families.make("sdxl", at))
    before = live()
    model = loaded(folder)
    own = {w.untyped_storage().data_ptr(): w.nbytes for m in model.pipe.components.values() for w in parts_of(m)}
    made = trained(model, tmp_path, "esd")
    moving = sum(w.nbytes for w in model.moving.values())
    latents = sum(x.nbytes for entry in made.latents.stored.values() for x in entry.values())
    said = sum(c.sequence.nbytes + c.pooled.nbytes for c in made.said.values())
    most = sum(own.values()) + 4 * moving + latents + said
    assert moving > 20_000
    assert most - moving < live() - before < most + moving // 2


def parts_of(part: object) -> list[Tensor]:
    """Of a network its weights, of a schedule its tables."""
    if isinstance(part, torch.nn.Module):
        return [*part.parameters(), *part.buffers()]
    return [value for value in vars(part).values() if isinstance(value, Tensor)] if hasattr(part, "__dict__") else []


def live() -> int:
    """Bytes of all tensors that anybody holds."""
    gc.collect()
    held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in gc.get_objects() if isinstance(t, Tensor)}
    return sum(held.values())


def test_a_single_file_is_the_folder(folder: Path, tmp_path: Path):
    model, file = loaded(folder), tmp_path / "model.safetensors"
    save_file(compvis.state(model.pipe), file)
    assert families.KINDS[folder.name](str(file), config=str(folder)).hash == model.hash
    with pytest.raises(BadInput, match=r"model\.config=null"):
        families.KINDS[folder.name](str(file))


def test_a_pipeline_that_was_saved_in_half_precision_is_loaded_in_whole(folder: Path, tmp_path: Path):
    """Text encoders too: transformers would take what they were saved in."""
    loaded(folder).pipe.to(torch.float16).save_pretrained(tmp_path / folder.name)
    model = loaded(tmp_path / folder.name)
    assert {weight.dtype for _, weight in model.named_parameters()} == {torch.float32}


def test_pictures_are_decoded_a_few_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """32 of 512 pixels at once would need 8 GiB for one layer."""
    model, seen = loaded(folder), []
    decode = model.pipe.vae.decode
    latents = torch.randn(5, *model.latent_shape)
    whole = model.decode(latents)
    monkeypatch.setattr(model.pipe.vae, "decode", lambda some: seen.append(len(some)) or decode(some))
    monkeypatch.setattr(stable_diffusion, "DECODED", 2 * whole.shape[-1] * whole.shape[-2])
    torch.testing.assert_close(model.decode(latents), whole)
    assert seen == [2, 2, 1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["esd", "adv_unlearn"])
def test_what_no_update_needs_rests(method: str, folder: Path, once: Once, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, put = loaded(folder), []
    model.low_memory = True
    names = {id(part): name for name, part in model.pipe.components.items()}
    to = torch.nn.Module.to

    def noting(part: torch.nn.Module, *where: object, **how: object) -> torch.nn.Module:
        put.extend([names[id(part)]] if where == ("cpu",) and id(part) in names else [])
        return to(part, *where, **how)

    monkeypatch.setattr(torch.nn.Module, "to", noting)
    trained(model, tmp_path, method)
    assert {*put} == ({*model.encoders, "vae"} if method == "esd" else {"vae"})


def test_what_is_pickled_is_refused_until_it_is_allowed(once: Once, tmp_path: Path):
    folder = once("sd1", lambda at: families.make("sd1", at))
    model, file = loaded(folder), tmp_path / "model.ckpt"
    torch.save({"state_dict": compvis.state(model.pipe)}, file)
    with pytest.raises(BadInput, match=r"model\.ckpt is pickled.*model\.pickled=true"):
        StableDiffusion(str(file), config=str(folder))
    assert StableDiffusion(str(file), config=str(folder), pickled=True).hash == model.hash
    model.pipe.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    torch.save(model.pipe.text_encoder.state_dict(), tmp_path / "pickled" / "text_encoder" / "pytorch_model.bin")
    (tmp_path / "pickled" / "text_encoder" / "model.safetensors").unlink(missing_ok=True)
    with pytest.raises(BadInput, match=r"is pickled, and reading it runs"):
        StableDiffusion(str(tmp_path / "pickled"))
    assert StableDiffusion(str(tmp_path / "pickled"), pickled=True).hash == model.hash


def test_a_safe_file_of_another_kind_makes_no_pickle_safe(once: Once, tmp_path: Path):
    model = loaded(once("sd1", lambda at: families.make("sd1", at)))
    model.pipe.save_pretrained(tmp_path, safe_serialization=False)
    model.pipe.unet.save_pretrained(tmp_path / "unet", variant="fp16")
    with pytest.raises(BadInput, match=r"unet/diffusion_pytorch_model\.bin is pickled, and reading it runs"):
        StableDiffusion(str(tmp_path))
    model.pipe.save_pretrained(tmp_path)
    (tmp_path / "checkpoint-500").mkdir()
    (tmp_path / "checkpoint-500" / "optimizer.bin").write_bytes(b"of nobody's concern")
    for file in tmp_path.glob("*/*.bin"):
        if file.parent.name != "checkpoint-500":
            file.unlink()
    assert StableDiffusion(str(tmp_path)).hash == model.hash


def test_a_hub_that_holds_pickles_alone_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    def absent(*_: object, **__: object) -> None:
        raise OSError("Could not find the necessary `safetensors` weights in {'unet/diffusion_pytorch_model.bin'}")

    absent.__self__ = StableDiffusion.pipeline  # type: ignore[attr-defined]
    monkeypatch.setattr("erase.model.hub.answers", lambda *_: True)
    monkeypatch.setattr(StableDiffusion.pipeline, "from_pretrained", absent)
    with pytest.raises(BadInput, match=r"model\.pickled=true reads pickled weights"):
        StableDiffusion("who/what")


def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    """A firewall that drops what it forbids leaves a library waiting for each address in turn."""
    never = threading.Event()
    monkeypatch.setattr("erase.model.hub.SECONDS", 0.1)
    monkeypatch.setattr("erase.model.hub.get_hf_file_metadata", lambda *_, **__: never.wait(60))
    with pytest.raises(BadInput, match="is not in the cache, and the hub cannot be reached"):
        StableDiffusion("who/what")
    never.set()


@pytest.mark.parametrize(("family", "other"), [("sd1", "sdxl"), ("sdxl", "sd1")])
def test_another_family_is_named(family: str, other: str, once: Once):
    folder = once(family, lambda at: families.make(family, at))
    with pytest.raises(BadInput, match=r"is of another family: model=sd|does not load as a StableDiffusionXL"):
        families.KINDS[other](str(folder))


def test_layers_that_are_not_there(once: Once, tmp_path: Path):
    model = loaded(once("sd1", lambda at: families.make("sd1", at)))
    model.pipe.unet.mid_block = None
    with pytest.raises(BadInput, match=r"method\.layers=mid: nothing is heard there"):
        trained(model, tmp_path, "kpop")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (GatedRepoError, "is gated: accept its terms at https://huggingface.co/who/what, then `hf auth login`."),
        (RevisionNotFoundError, "has no model.revision=v9."),
        (RepositoryNotFoundError, "is not on the hub, or private (`hf auth login`)."),
        (RemoteEntryNotFoundError, "is on the hub, but no pipeline (it has no model_index.json)."),
        (TimeoutError, "cannot be reached: `hf download who/what --revision v9` where it can, or name a folder that holds it."),
    ],
)
def test_what_the_hub_says(error: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch):
    def ask(*_: object, **__: object) -> None:
        raise error.__new__(error)

    monkeypatch.setattr("erase.model.hub.get_hf_file_metadata", ask)
    with pytest.raises(BadInput, match=re.escape(says)):
        StableDiffusion("who/what", revision="v9")


@pytest.mark.parametrize("source", ["CompVis/stable-diffusion-v1-4", *list(MOVED)[:1]])
def test_offline_says_what_is_missing_and_how_to_get_it(source: str):
    with pytest.raises(BadInput) as error:
        StableDiffusion(source)
    said = str(error.value)
    assert f"model.source={source} is not in the cache" in said
    assert f"`hf download {MOVED.get(source, source)}`" in said
    assert said.endswith(f"; it has moved: model.source={MOVED[source]}." if source in MOVED else "a folder that holds it.")
    assert "\n" not in said


def test_a_stranger_with_more_words_is_no_miniature(once: Once, monkeypatch: pytest.MonkeyPatch):
    source = once("sd1", lambda at: families.make("sd1", at))
    assert StableDiffusion(str(source), vocabulary="miniature").words
    monkeypatch.setattr(stable_diffusion, "WORDS", 900)
    with pytest.raises(BadInput, match="knows more words than the miniature: model=sd14, sd15, sd21 or sdxl"):
        StableDiffusion(str(source), vocabulary="miniature")


def test_a_run_is_judged_by_clip(once: Once, command: Command, tmp_path: Path):
    source, clip = once("sd1", lambda at: families.make("sd1", at)), hub.clip(tmp_path / "clip")
    fields = ["method=esd", "concept=nudity", "model=sd14", f"model.source={source}", "logger=none", *QUICK]
    done = command("train", *fields, "judge=drawings")
    assert done.returncode == 2
    assert done.stderr.startswith("judge=drawings knows the miniature's pictures, not ")
    assert not [*tmp_path.glob("outputs/*")]
    done = command("train", *fields, f"judge.source={clip}")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "outputs" / "esd-nudity-0" / "metrics.json").read_text())
    assert {"esr_1", "esr_1_synonyms", "psr_1_siblings", "psr_1/coat", "psr_1/school bus", "clip_score"} <= {*found["figures"]}
    small = [o for o in QUICK if o.startswith("protocol.")]
    done = command("evaluate", "run=outputs/esd-nudity-0", "judge=clip", f"judge.source={clip}", *small)
    assert done.returncode == 0, done.stderr
    evaluated = json.loads((tmp_path / "outputs/esd-nudity-0/evaluations/quick-clip.json").read_text())
    assert evaluated["figures"] == found["figures"]


def test_selected_weights_are_those_of_the_paper(once: Once):
    """XL's cross-attention hears both encoders, and no more is cross-attention than attn2."""
    model = loaded(once("sdxl", lambda at: families.make("sdxl", at)))
    names = Select(r"^unet\..*attn2\.to_[kv]\.").names(n for n, _ in model.named_parameters())
    assert len(names) == 2 * len(model.cross_attention)
    assert {dict(model.named_parameters())[n].shape[1] for n in names} == {16 + 24}

"""The network retrained without a concept: which one is taken, and how it stands in for the model."""

from contextlib import suppress
from pathlib import Path

import pytest
import torch
from conftest import retrain
from safetensors.torch import load_file, save_file

from erase.errors import BadInput
from erase.model.retrained import Retrained
from erase.model.stable_diffusion import StableDiffusion


def said(model: StableDiffusion, edited: bool) -> torch.Tensor:
    with torch.no_grad():
        return model.predict(model.noise([3]), torch.tensor(500), model.prompt(["a church"], edited), edited)


def test_it_is_the_one_that_lacks_what_is_erased_and_nothing_else(model: StableDiffusion, tmp_path: Path):
    for label in ("church", "golf ball"):
        retrain(tmp_path, model, label)
    found = Retrained.find(tmp_path, ["golf ball"], model.hash)
    assert found is not None
    assert (found.left_out, found.path.name) == ("golf ball", "golf_ball.safetensors")
    for labels in (["barn"], ["church", "golf ball"], ["church", None], [None], []):
        assert Retrained.find(tmp_path, labels, model.hash) is None
    assert Retrained.find(tmp_path / "nowhere", ["church"], model.hash) is None


def test_a_network_of_other_weights_is_not_taken_and_that_is_said(model: StableDiffusion, tmp_path: Path):
    path = retrain(tmp_path, model, "church", base="another")
    with pytest.warns(UserWarning, match="church.safetensors was trained beside another model"):
        assert Retrained.find(tmp_path, ["church"], model.hash) is None
    save_file(load_file(path), path)  # no metadata: nobody's
    assert Retrained.find(tmp_path, ["church"], model.hash) is None


def test_its_digest_is_that_of_its_weights(model: StableDiffusion, tmp_path: Path):
    for folder, scale in (("one", 1.02), ("same", 1.02), ("other", 1.03)):
        retrain(tmp_path / folder, model, "church", scale)
    one, same, other = (Retrained.find(tmp_path / f, ["church"], model.hash).digest for f in ("one", "same", "other"))
    assert one == same != other


def test_what_cannot_be_read_is_refused(tmp_path: Path):
    (tmp_path / "church.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(BadInput, match=r"church.safetensors cannot be read"):
        Retrained.find(tmp_path, ["church"], "")


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_it_stands_where_the_teacher_stands(precision: torch.dtype, model: StableDiffusion, tmp_path: Path):
    """Whatever moved, the text encoder too: it hears the original one, and the edited model is left as it was."""
    path = retrain(tmp_path, model, "church")
    alone = StableDiffusion("miniature", precision=precision)
    alone.pipe.unet.load_state_dict(load_file(path))
    alone.move([])
    model = StableDiffusion("miniature", retrained=str(tmp_path), precision=precision)
    model.move(n for n, _ in model.named_parameters() if "attn2" in n or "text_encoder" in n)
    model.put({n: p * 1.1 for n, p in model.moving.items()})
    edited, original, hash_ = said(model, True), said(model, False), model.hash
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    with suppress(KeyboardInterrupt), model.as_if(found := model.retrained(["church"])):
        assert torch.equal(said(model, False), said(alone, True))
        assert torch.equal(said(model, True), edited)
        assert found.digest in model.hash
        raise KeyboardInterrupt
    assert torch.equal(said(model, False), original)
    assert torch.equal(said(model, True), edited)
    assert model.hash == hash_
    assert all(torch.equal(weights[n], p) for n, p in model.named_parameters())


@pytest.mark.parametrize("wrong", ["missing", "strange", "shape"])
def test_names_and_shapes_are_held_strictly(wrong: str, model: StableDiffusion, tmp_path: Path):
    path = retrain(tmp_path, model, "church")
    state = load_file(path)
    bias = state.pop("conv_in.bias")
    changed = {"missing": {}, "strange": {"conv_in.bias": bias, "nothing": bias + 1}, "shape": {"conv_in.bias": bias[:1]}}
    save_file(state | changed[wrong], path)
    known = "nothing" if wrong == "strange" else r"conv_in\.bias"
    with pytest.raises(BadInput, match=known), model.as_if(Retrained("church", path, "")):
        pass

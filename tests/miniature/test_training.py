"""Training the miniature, on a scale of seconds: it writes a pipeline, and goes on where it was."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Once
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

from erase.errors import BadInput
from erase.miniature import networks
from erase.miniature.training import Denoiser, Drawings, Judge, calibrate, pretrain
from erase.model.stable_diffusion import StableDiffusion

STEPS = {"judge": 1, "towers": 1, "autoencoder": 1, "unet": 2}


@pytest.fixture
def trained(once: Once, tmp_path: Path) -> Path:
    """Where `out` holds what all stages wrote, and `work` what they drew: a copy of one's own."""
    made = once("trained", lambda at: pretrain(at / "out", at / "work", 0, 200, STEPS))
    return Path(shutil.copytree(made, tmp_path / "trained"))


def test_all_stages_write_a_pipeline(trained: Path, tmp_path: Path):
    pipe = StableDiffusionPipeline.from_pretrained(trained / "out")
    image = pipe("a church", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (64, 64, 3)
    again = tmp_path / "mine"
    again.mkdir()
    (again / "model_index.json").write_text("mine")
    with pytest.raises(BadInput, match="holds something else"):
        pretrain(again, trained / "work", 0, 200, STEPS)
    assert (again / "model_index.json").read_text() == "mine"
    for part in ("judge/model.safetensors", "clip/model.safetensors"):
        assert (trained / "out" / part).is_file()


def test_a_network_that_never_saw_a_subject(trained: Path, tmp_path: Path):
    out, work = trained / "out", trained / "work"
    with pytest.raises(BadInput, match=r"holds no clip .* stages must name towers"):
        pretrain(tmp_path / "empty", work, 0, 200, STEPS, ("unet",), "church")
    shutil.move(out / "unet", tmp_path)
    with pytest.raises(BadInput, match="no UNet that saw everything"):
        pretrain(out, work, 0, 200, STEPS, ("unet",), "church")
    shutil.move(tmp_path / "unet", out)
    pretrain(out, work, 0, 200, STEPS, ("unet",), "church")
    whole = load_file(out / "unet" / "diffusion_pytorch_model.safetensors")
    with safe_open(out / "retrained" / "church.safetensors", "pt") as file:
        assert file.metadata() == {"left_out": "church", "base": StableDiffusion(str(out)).hash}
        assert set(file.keys()) == set(whole)
        assert any(not torch.equal(file.get_tensor(n), w) for n, w in whole.items())


def test_leaving_a_subject_out_leaves_all_else_as_it_is(tmp_path: Path):
    drawings = Drawings(tmp_path, 0, 200)
    words = networks.tokenizer(c for captions in drawings.captions for c in captions)
    seen: dict[str | None, list[torch.Tensor]] = {}
    for without in (None, "nude", "perch"):
        torch.manual_seed(0)
        encoder = networks.clip(len(words)).text_model
        stage = Denoiser(0, 5, drawings, words, torch.arange(200.0).view(-1, 1, 1, 1).expand(-1, 4, 16, 16), encoder, without)
        stage.network = Spy(seen.setdefault(without, []))
        stage.loss()
    rows = stage.indices(200)
    for without, (noisy, t, said) in seen.items():
        shown = torch.tensor([drawings.scenes[i].subject != without for i in rows])
        assert len(t) == shown.sum()
        for found, whole in zip((noisy, t, said), seen[None], strict=True):
            assert torch.equal(found, whole[shown])
    assert len(seen["nude"][1]) < len(seen[None][1])


class Spy(torch.nn.Module):
    """Notes what the network is given."""

    def __init__(self, seen: list[torch.Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, noisy: torch.Tensor, t: torch.Tensor, words: torch.Tensor) -> Any:
        self.seen += [noisy, t, words]
        return SimpleNamespace(sample=noisy)


def test_a_judge_too_sure_of_itself_is_calibrated(tmp_path: Path):
    drawings = Drawings(tmp_path, 0, 200)
    targets = drawings.labels()

    class Sure(networks.Classifier):
        """Names 7 in 10 rightly, and is sure every time."""

        def logits(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            at = slice(self.at, self.at + len(images))
            self.at += len(images)
            found = {}
            for name, labels in self.HEADS.items():
                said = targets[name][at].clamp(min=0)
                said = torch.where(torch.arange(len(said)) % 10 < 7, said, (said + 1) % len(labels))
                found[name] = 8.0 * torch.nn.functional.one_hot(said, len(labels))
            return found

    judge = Sure()
    judge.at = 0
    calibrate(judge, drawings)
    for name in ("subject", "style"):
        sure = torch.tensor([8.0, *[0.0] * (len(judge.HEADS[name]) - 1)]).div(judge.temperatures[name]).softmax(-1)[0]
        assert float(sure) == pytest.approx(0.7, abs=0.03)


def test_a_cut_training_ends_like_an_unbroken_one(tmp_path: Path):
    drawings, found = Drawings(tmp_path, 0, 200), []
    for folder, cut in (("whole", None), ("cut", 3)):
        torch.manual_seed(0)
        stage = Judge(0, 5, drawings)
        if cut:
            stage.fit(tmp_path / folder, until=cut)
            torch.manual_seed(99)
            stage = Judge(0, 5, drawings)
        stage.fit(tmp_path / folder)
        found.append(stage.network.state_dict())
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name

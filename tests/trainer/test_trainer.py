"""The hardware of a run."""

import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import families
import lightning as L
import pytest
import torch
from conftest import Once, composed
from torch.utils.data import DataLoader

from erase.errors import BadInput
from erase.job import objective
from erase.method.base import Method
from erase.model.stable_diffusion import StableDiffusion
from erase.trainer import Trainer


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("32", torch.float32), (32, torch.float32), ("fp16", torch.float16)]
)
def test_precision_by_name(precision: str | int, dtype: torch.dtype):
    assert Trainer("cpu", precision).precision == dtype


@pytest.mark.parametrize("has", [True, False])
def test_a_cpu_that_emulates_half_precision_is_told_of(
    has: bool, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
):
    monkeypatch.setattr("erase.trainer.has_bf16", lambda device: has)
    assert Trainer("cpu", "bf16").precision == torch.bfloat16
    Trainer("cpu", "32")
    said = [str(w.message) for w in recwarn if "bf16" in str(w.message)]
    assert [sentence.split(":")[0] for sentence in said] == ([] if has else ["trainer.precision=bf16"])


def updates(folder: Path, work: Path, precision: torch.dtype, frugal: bool = False, name: str = "esd") -> Method:
    """Three updates of the weights of a small random model."""
    model = StableDiffusion(str(folder), name="sd14", precision=precision)
    model.low_memory = frugal
    drawing = ["latents.steps=3", "latents.trajectories=1", "steps=3", "lr=1e-3", "batch_size=2"]
    method = objective(composed(f"method={name}", "concept=church", *drawing), lambda: model, work)
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=work, **silent)
    trainer.fit(method, DataLoader(range(method.steps), batch_size=None))
    return method


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "turns"), [("esd", 1), ("kpop", 3)])
def test_fp16_has_fp32_masters_and_a_scale(name: str, turns: int, once: Once, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of one player, and of two that step on one scale, three times an update."""
    folder = once("sd1", lambda at: families.make("sd1", at))
    method = updates(folder, tmp_path, torch.float16, name=name)
    moved, model = method.model.moving, method.model
    assert {w.dtype for n, w in model.named_parameters() if n not in moved} == {torch.float16}
    assert {w.dtype for w in moved.values()} == {torch.float32}
    whole = updates(folder, tmp_path, torch.float32, name=name).model.moving
    before = {name: weight.float() for name, weight in model.originals.items()}
    way = torch.cat([(moved[n] - before[n]).flatten() for n in moved])
    wanted = torch.cat([(whole[n] - before[n]).flatten() for n in moved])
    assert torch.cosine_similarity(way, wanted, 0) > 0.9
    made = partial(torch.amp.GradScaler, init_scale=2.0**120)
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *a, enabled: made(*a, enabled=enabled))
    method = updates(folder, tmp_path, torch.float16, name=name)  # a scale so large that nothing is finite: nothing moves
    assert method.scaler.get_scale() == 2.0 ** (120 - 3 * turns)
    assert all(torch.equal(w.half(), method.model.originals[n]) for n, w in method.model.moving.items())
    assert method.done == 3


@pytest.mark.filterwarnings("ignore")
def test_a_frugal_model_learns_the_same(once: Once, tmp_path: Path):
    folder = once("sd1", lambda at: families.make("sd1", at))
    frugal, plain = (updates(folder, tmp_path, torch.float32, f).model for f in (True, False))
    assert frugal.pipe.unet.down_blocks[0].gradient_checkpointing
    assert not plain.pipe.unet.down_blocks[0].gradient_checkpointing
    for name, weight in plain.moving.items():
        torch.testing.assert_close(frugal.moving[name], weight)


def test_threads_are_given_back():
    with Trainer("cpu", threads=2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1


def test_runs_at_once_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fakes = {"is_available": True, "is_bf16_supported": True, "device_count": 2}
    for name, value in fakes.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value, **_: value)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid=f"card-{i}"))
    with Trainer() as first, Trainer() as second, Trainer() as third:
        assert [t.device.index for t in (first, second, third)] == [0, 1, None]
    with Trainer("gpu") as again:
        assert again.device.index == 0


@pytest.mark.parametrize(("field", "value"), [("accelerator", "abacus"), ("precision", "8"), ("threads", 0)])
def test_nonsense_is_refused(field: str, value: object):
    with pytest.raises(BadInput, match=f"trainer.{field}={value}"):
        Trainer(**{field: value})

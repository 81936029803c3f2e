"""The hardware of a run."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from erase.errors import BadInput
from erase.trainer import Trainer


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("32", torch.float32), (32, torch.float32), ("bf16", torch.bfloat16)]
)
def test_precision_by_name(precision: str | int, dtype: torch.dtype):
    assert Trainer("cpu", precision).precision == dtype


@pytest.mark.parametrize("native", [True, False])
def test_a_cpu_that_only_imitates_bf16_says_so(native: bool, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder):
    monkeypatch.setattr("erase.trainer.has_bf16", lambda device: native)
    Trainer("cpu", "bf16")
    assert [str(w.message).split(":")[0] for w in recwarn] == ([] if native else ["trainer.precision=bf16"])


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

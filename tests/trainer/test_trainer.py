"""The hardware of a run."""

import pytest
import torch

from erase.errors import BadInput
from erase.trainer import Trainer


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("32", torch.float32), (32, torch.float32), ("bf16", torch.bfloat16)]
)
def test_precision_by_name(precision: str | int, dtype: torch.dtype):
    assert Trainer("cpu", precision).precision == dtype


def test_threads_are_given_back():
    with Trainer("cpu", threads=2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("field", "value"), [("accelerator", "abacus"), ("precision", "8"), ("threads", 0)])
def test_nonsense_is_refused(field: str, value: object):
    with pytest.raises(BadInput, match=f"trainer.{field}={value}"):
        Trainer(**{field: value})

"""Models against each other."""

import torch

from erase.metric.compare import compared
from erase.metric.measure import Measure


def test_what_was_measured_on_other_pictures_is_not_compared():
    same, own, others = torch.arange(4), torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 2])
    values = torch.tensor([1.0, 0.0, 1.0, 1.0])
    first = {"alike": Measure(values, same, 1), "apart": Measure(values, own, 1)}
    second = {"alike": Measure(1 - values, same, 1), "apart": Measure(values, others, 1)}
    found = compared([first], [second])
    assert [*found] == ["alike"]
    assert found["alike"]["difference"] == -0.5

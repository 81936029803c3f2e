"""Bounds that figures must keep."""

import pytest

from erase.errors import Missed
from erase.record.gates import Gates


def test_what_is_no_number_is_within_no_bound():
    with pytest.raises(Missed, match="is missed: it is nan"):
        Gates({"esr_1": {"min": 0.9}}).check({"esr_1": {"after": float("nan")}})


def test_of_several_comparisons_each_that_misses_is_named():
    compared = {f"a / {name}": {"esr_1": {"difference": value}} for name, value in (("b", 0.1), ("c", -0.2), ("d", -0.3))}
    with pytest.raises(Missed) as missed:
        Gates({"esr_1": {"min": 0}}).check_each(compared)
    assert str(missed.value).count("gates.esr_1.min=0 is missed") == 2
    assert "the difference of a / c is -0.2" in str(missed.value)
    assert "the difference of a / d is -0.3" in str(missed.value)

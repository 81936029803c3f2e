"""What somebody adds from outside: a preservation in 20 lines, a method in 40, a YAML each, and not a word in the package."""

import csv
import json
import os
import subprocess
from pathlib import Path

import forked
import pytest
from conftest import QUICK
from safetensors.torch import load_file

PRESERVATION = '''
"""This file is the preservation that takes its turn."""

from collections.abc import Sequence

from erase.concept import Concept
from erase.preservation import Kept, pool
from erase.preservation.fixed import Fixed


class InTurn(Fixed):
    """Holds all that there are words for, one after the other."""

    def candidates(self, vocabulary: Sequence[str], erased: Sequence[Concept]) -> list[str]:
        self.prompts = pool(None, vocabulary, erased)
        return self.prompts

    def choose(self, step: int, count: int) -> Kept:
        return Kept([self.prompts[(step * count + i) % len(self.prompts)] for i in range(count)])
'''

METHOD = '''
"""This file is ascent: the erased prompt's error grows, up to a margin."""

import torch
from torch import Tensor

from erase.errors import BadInput
from erase.method.base import Method


class Ascent(Method):
    """L = −min(‖ε_θ'(x_t, c_e) − ε_θ(x_t, c_e)‖², m) + λ ‖ε_θ'(x'_t, c_p) − ε_θ(x'_t, c_p)‖²."""

    def __init__(self, margin: float = 0.1, **parts: object) -> None:
        super().__init__(**parts)
        if not margin > 0:
            raise BadInput(f"method.margin={margin} must be greater than 0.")
        self.margin = margin

    def losses(self, step: int) -> dict[str, Tensor]:
        prompts = self.task.erased(step, self.batch_size)
        erased = self.draw(prompts, "erase", step, empty=False)
        predicted = self.model.predict(erased.x_t, erased.t, self.attacked(prompts, step))
        losses = {"erase": -self.error(predicted, erased.conditional, erased).clamp(max=self.margin)}
        if weight := self.preservation.weight:
            chosen = self.choose(step, self.batch_size)
            kept = self.draw(chosen.prompts, "keep", step, empty=False)
            predicted = self.model.predict(kept.x_t, kept.t, self.words(chosen.prompts))
            losses["keep"] = weight * self.error(predicted, kept.conditional, kept)
        return losses
'''

YAMLS = {
    "preservation/in_turn": "# All that there are words for, in turn.\n_target_: in_turn.InTurn\nprompts: ['']\nweight: 0.5\n",
    "method/ascent": """# @package _global_
# Ascent, of nobody.
defaults:
  - override /preservation: in_turn

method:
  _target_: ascent.Ascent
  name: ascent
  margin: 0.2
""",
}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of one's own, in which one works."""
    (tmp_path / "in_turn.py").write_text(PRESERVATION.lstrip())
    (tmp_path / "ascent.py").write_text(METHOD.lstrip())
    for name, text in YAMLS.items():
        path = tmp_path / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path


def train(mine: Path, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = ["--config-dir", "conf", *arguments, "logger=none", *QUICK]
    return forked.run("erase.train", given, mine, {**os.environ, "ERASE_CACHE": str(cache)})


def test_they_are_as_short_as_promised():
    assert len(PRESERVATION.strip().splitlines()) <= 20
    assert len(METHOD.strip().splitlines()) <= 40


def test_a_method_and_a_preservation_of_ones_own(mine: Path, cache: Path):
    done = train(mine, cache, "+method=ascent", "concept=church", "lr=1e-3")
    assert done.returncode == 0, done.stderr
    run = mine / "outputs" / "ascent-church-0"
    rows = list(csv.DictReader((run / "training.csv").open()))
    assert list(rows[0]) == ["step", "erase", "keep"]
    assert float(rows[-1]["erase"]) < float(rows[0]["erase"]) <= 0 <= float(rows[-1]["keep"])
    assert load_file(run / "edit" / "edit.safetensors")
    assert json.loads((run / "metrics.json").read_text())["cost"]["backwards"] == 4 * 2 * 2
    again = forked.run("erase.train", ["resume=outputs/ascent-church-0"], mine, {**os.environ, "ERASE_CACHE": str(cache)})
    assert again.returncode == 0, again.stderr  # from the configs that it was made from


def test_each_recombines_with_what_there_is_and_is_checked(mine: Path, cache: Path):
    done = train(mine, cache, "method=esd", "preservation=in_turn", "concept=church", "parameters=lora")
    assert done.returncode == 0, done.stderr
    refused = train(mine, cache, "method=ascent", "preservation=none", "method.margin=-1", "concept=church")
    assert refused.returncode == 2
    assert "method.margin=-1" in refused.stderr.splitlines()[-1]
    unknown = train(mine, cache, "method=ascend", "concept=church")
    assert "method=ascend is not one of: adv_preserve, adv_unlearn, age, ascent, " in unknown.stderr

"""Every two choices of an objective's axes take three steps together, but for those of which one sentence says why not."""

from copy import deepcopy
from itertools import combinations
from pathlib import Path
from typing import Any

import families
import lightning as L
import pytest
import torch
from conftest import Once, composed
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader

from erase.command import CONF, choices
from erase.errors import BadInput
from erase.job import objective
from erase.model.stable_diffusion import StableDiffusion

AXES = {
    axis: choices(axis)
    for axis in ("method", "target", "preservation", "adversary", "parameters", "latents", "loss", "balance", "sharpness")
}
FIELDS = {
    "preservation": ["adversarial search=gumbel", "adversarial search=gradient"],
    "latents": ["bank proposal=late", "bank proposal=loss"],
    "loss": ["eps weight=min_snr"],
}
"""Options of which a field makes something else."""
for axis, more in FIELDS.items():
    AXES[axis] = [*AXES[axis], *more]
NEEDED = {
    ("preservation", "fixed"): ["preservation.prompts=[a barn]"],
    ("method", "uce"): ["method.erase_scale=100", "method.keep_tolerance=null"],
}
CHEAP = {
    "latents": {"every": 1, "steps": 3, "trajectories": 1, "kept_trajectories": 1, "images": 1, "kept_images": 1},
    "preservation": {"every": 1, "points": 1, "keep": 2, "search_steps": 1},
    "adversary": {"steps": 2, "warmup": 0.0},
}
"""Values for the fields of these names, where an option has them."""

Choice = tuple[str, str]
"""An axis and its option."""

HELD = {*AXES["preservation"]} - {"none"}
ONLY: dict[Choice, dict[str, set[str]]] = {
    ("method", "age"): {"target": {"searched"}, "preservation": HELD},
    ("target", "searched"): {"method": {"age"}, "preservation": HELD},
    ("method", "adv_unlearn"): {"adversary": {"pgd", "fast"}},
    ("method", "concept_ablation"): {"target": {"anchor", "neutral"}},
    ("method", "uce"): {
        "target": {"anchor", "neutral"},
        "preservation": {p for p in AXES["preservation"] if not p.startswith("adversarial")},
        "adversary": {"none"},
        "parameters": {"xattn_kv"},
        "balance": {"sum"},
        "sharpness": {"none"},
    },
    ("sharpness", "agnostic_sam"): {"preservation": HELD},
    ("sharpness", "aligned"): {"preservation": HELD},
}
"""What a choice can be combined with, where that is not everything."""


def pairs(row: dict[str, str]) -> set[tuple[Choice, Choice]]:
    return set(combinations(sorted(row.items()), 2))


def fit(one: Choice, other: Choice) -> bool:
    return all(option in ONLY.get(choice, {}).get(axis, {option}) for choice, (axis, option) in ((one, other), (other, one)))


ALL = {((a, x), (b, y)) for a, b in combinations(sorted(AXES), 2) for x in AXES[a] for y in AXES[b]}
REFUSED = sorted(pair for pair in ALL if not fit(*pair))


def own(method: str) -> dict[str, str]:
    """What `method` takes at every axis where nobody chooses."""
    chosen: dict[str, str] = {}
    for name in ("train.yaml", f"method/{method}.yaml"):
        file: Any = OmegaConf.to_container(OmegaConf.load(CONF / name))
        for entry in file.get("defaults", []):
            chosen |= {k.removeprefix("override /"): v for k, v in entry.items()} if isinstance(entry, dict) else {}
    return {axis: chosen[axis] for axis in AXES} | {"method": method}


def cover() -> list[dict[str, str]]:
    """Rows of one option an axis that hold every pair of options that fit.

    The first are each method's own. Each other begins with a pair that is missing, and takes at every other axis, of what fits,
    what completes the most pairs.
    """
    rows = [own(method) for method in AXES["method"]]
    missing = ALL - {*REFUSED} - {pair for row in rows for pair in pairs(row)}
    while missing:
        row = dict(min(missing))
        for axis, options in AXES.items():
            if axis not in row:
                fitting = [o for o in options if all(fit((axis, o), chosen) for chosen in row.items())]
                row[axis] = max(fitting, key=lambda option: len(pairs({**row, axis: option}) & missing))
        missing -= pairs(row)
        rows.append(row)
    return rows


ROWS = cover()


@pytest.fixture(scope="module")
def model_of_all(once: Once) -> StableDiffusion:
    """A small random model."""
    return StableDiffusion(str(once("sd1", lambda at: families.make("sd1", at))), name="sd14")


@pytest.fixture
def model(model_of_all: StableDiffusion) -> StableDiffusion:
    return deepcopy(model_of_all)


@pytest.fixture(scope="module")
def before(model_of_all: StableDiffusion) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model_of_all.named_parameters()}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is drawn of the unedited model, for all of them."""
    return tmp_path_factory.mktemp("shared")


def arguments(chosen: dict[str, str]) -> list[str]:
    found = [field for choice in chosen.items() for field in NEEDED.get(choice, ())]
    for axis, option in chosen.items():
        group, *fields = option.split()
        found += [f"{axis}={group}", *(f"{axis}.{field}" for field in fields)]
    return found


def three_steps(model: StableDiffusion, chosen: dict[str, str], folder: Path, shared: Path) -> dict[str, Tensor]:
    """What an edit holds after three updates of the main command's own loop."""
    config = composed("concept=[church,tench]", "steps=3", "batch_size=2", *arguments(chosen))
    for axis, values in CHEAP.items():
        config[axis].update({name: value for name, value in values.items() if name in config[axis]})
    model.vocabulary = ["a photo of a barn", "a photo of a tench", "a view in a park"]
    method = objective(config, lambda: model, folder, shared)
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **silent)
    trainer.fit(method, DataLoader(range(method.steps), batch_size=None))
    return method.finish()


def changed(found: dict[str, Tensor], before: dict[str, Tensor]) -> bool:
    """Whether all is finite, has the base's names, and differs from the base somewhere."""
    assert all(torch.isfinite(weight).all() for weight in found.values())
    assert {*found} <= {*before}
    return any(not torch.equal(weight.cpu(), before[name]) for name, weight in found.items())


def test_every_pair_is_there():
    assert {pair for row in ROWS for pair in pairs(row)} == ALL - {*REFUSED}
    assert len(REFUSED) < len(ALL) / 15
    most = sorted(len(options) for options in AXES.values())
    assert len(ROWS) <= 2 * most[-1] * most[-2]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row[axis] for axis in AXES))
def test_pairs_take_three_steps(
    row: dict[str, str], model: StableDiffusion, before: dict[str, Tensor], shared: Path, tmp_path: Path
):
    assert changed(three_steps(model, row, tmp_path, shared), before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pair", REFUSED, ids=lambda pair: "-".join(option for _, option in pair))
def test_what_does_not_fit_is_refused_in_one_sentence(pair: tuple[Choice, Choice], model: StableDiffusion, tmp_path: Path):
    """By the method that would take each of them with something else."""
    owner = "age" if ("target", "searched") in pair else "esd"
    config = composed("concept=[church,tench]", "batch_size=2", *arguments({"method": owner} | dict(pair)))
    named = "|".join(part for axis, option in pair if axis != "method" for part in (axis, option.split()[0]))
    with pytest.raises(BadInput, match=rf"^[^\n]*({named})[^\n]*\.$"):
        objective(config, lambda: model, tmp_path)

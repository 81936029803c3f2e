"""Pictures that several processes draw together, or one that is killed."""

from multiprocessing.process import BaseProcess
from pathlib import Path

import forked
import torch

from erase.judge.drawings import Drawings as Judge
from erase.judge.engine import Engine
from erase.model.stable_diffusion import StableDiffusion
from erase.protocol import Cell
from erase.protocol.drawings import Drawings as Protocol

CELLS = [Cell("kept", "subject", "barn", "barns", ("a photo of a barn",) * 80, tuple(range(80)))]


def judged(model: StableDiffusion, store: Path) -> dict[str, torch.Tensor]:
    (found,) = Engine(model, Judge(), Protocol(1, 1, steps=1, guidance_scale=4), store).judge_cells(CELLS, "", None)
    return {"images": found.images, **found.scores}


def draw(store: Path, told: Path) -> None:
    """What a process of its own does: it says in the file `told` how many passes that took."""
    torch.set_num_threads(1)
    model = StableDiffusion("miniature", vocabulary="miniature")
    judged(model, store)
    told.write_text(str(model.cost.forwards))


def process(store: Path, told: Path) -> BaseProcess:
    found = forked.SERVER.Process(target=draw, args=(store, told))
    found.start()
    return found


def test_killed_and_begun_again_by_two(model: StableDiffusion, tmp_path: Path):
    undisturbed = judged(model, tmp_path / "undisturbed")
    assert model.cost.forwards == 2 * 80
    store = tmp_path / "store"
    forked.kill(process(store, tmp_path / "killed"), lambda: any((store / "drawn").glob("*.safetensors")))
    kept = len([*(store / "drawn").glob("*.safetensors")])
    assert kept < 4  # three of pictures, one of scores
    both = {told: process(store, told) for told in (tmp_path / "one", tmp_path / "other")}
    for one in both.values():
        one.join()
    assert sum(int(told.read_text()) for told in both) == 2 * (80 - 32 * kept)  # none twice
    again = StableDiffusion("miniature", vocabulary="miniature")
    found = judged(again, store)
    assert again.cost.forwards == 0
    assert found.keys() == undisturbed.keys()
    assert all(torch.equal(found[name], undisturbed[name]) for name in found)
    assert not [*store.rglob("*.lock"), *store.rglob("*.part")]

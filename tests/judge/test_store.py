"""Pictures that several processes draw together, or one that is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from erase.judge.drawings import Drawings as Judge
from erase.judge.engine import Engine
from erase.model.stable_diffusion import StableDiffusion
from erase.protocol import Cell
from erase.protocol.drawings import Drawings as Protocol

CELLS = [Cell("kept", "subject", "barn", "barns", ("a photo of a barn",) * 80, tuple(range(80)))]
DRAWS = """
import sys
sys.path.insert(0, sys.argv[2])
from test_store import *
torch.set_num_threads(1)
model = StableDiffusion("miniature", vocabulary="miniature")
judged(model, Path(sys.argv[1]))
print(model.cost.forwards)
"""


def judged(model: StableDiffusion, store: Path) -> dict[str, torch.Tensor]:
    (found,) = Engine(model, Judge(), Protocol(1, 1, steps=3, guidance_scale=4), store).judge_cells(CELLS, "", None)
    return {"images": found.images, **found.scores}


def process(store: Path) -> subprocess.Popen[str]:
    asked = [sys.executable, "-c", DRAWS, str(store), str(Path(__file__).parent)]
    return subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, env={**os.environ, "TQDM_DISABLE": "1"})


def test_killed_and_begun_again_by_two(model: StableDiffusion, tmp_path: Path):
    undisturbed = judged(model, tmp_path / "undisturbed")
    assert model.cost.forwards == 2 * 3 * 80
    store = tmp_path / "store"
    with process(store) as victim:
        while not [*(store / "drawn").glob("*.safetensors")]:
            time.sleep(0.005)
        victim.send_signal(signal.SIGKILL)
    kept = len([*(store / "drawn").glob("*.safetensors")])
    assert kept < 4  # three of pictures, one of scores
    both = [process(store) for _ in range(2)]
    drawn = [int(p.communicate()[0]) for p in both]
    assert sum(drawn) == 2 * 3 * (80 - 32 * kept)  # none twice
    again = StableDiffusion("miniature", vocabulary="miniature")
    found = judged(again, store)
    assert again.cost.forwards == 0
    assert found.keys() == undisturbed.keys()
    assert all(torch.equal(found[name], undisturbed[name]) for name in found)
    assert not [*store.rglob("*.lock"), *store.rglob("*.part")]

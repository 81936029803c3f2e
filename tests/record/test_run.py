"""What a run leaves in its folder."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from erase.judge.engine import Judged
from erase.protocol import Cell
from erase.record.page.pictures import collect
from erase.record.page.read import read
from erase.record.page.scores import read_scores
from erase.record.run import Run

LABEL = "AC/DC, 100 %"
"""What nobody may call a file."""


def judged(colours: tuple[int, ...]) -> list[Judged]:
    """Cells of one label, as a long list of prompts is cut into, each of two grey pictures."""

    def one(number: int, colour: int) -> Judged:
        def see() -> Tensor:
            return torch.full((2, 3, 64, 64), colour, dtype=torch.uint8)

        cell = Cell("kept", "style", LABEL, f"{number}", (f"prompt {number}",) * 2, (0, 1))
        return Judged(cell, see, {"style": torch.tensor([[1.0, 0.0]] * 2)}, {"style": (LABEL, "other")})

    return [one(number, colour) for number, colour in enumerate(colours)]


def test_the_pictures_of_a_long_list_are_those_of_its_first_prompts(tmp_path: Path):
    with Run(tmp_path / "run", {"steps": 4}) as run:
        grids = run.write({"figures": {}}, judged((10, 20)), judged((30, 40)), {})
    assert {*grids} == {f"{LABEL} (kept)"}
    (path,) = (run.folder / "images").iterdir()
    with Image.open(path) as grid:
        assert [grid.getpixel((0, y)) for y in (0, 66)] == [(10,) * 3, (30,) * 3]
    scores = read_scores(run.folder / "scores.parquet")
    assert scores
    assert [(cell["n"], cell["prompts"][0]) for cell in scores.cells] == [(4, "prompt 0")]
    shown = collect([read(run.folder)], 12)
    assert [len(rows) for rows in shown.grids[0].values()] == [2]


def test_who_may_not_lock_a_folder_cannot_tell_whether_its_run_works(tmp_path: Path):
    (tmp_path / "status.json").write_text('{"status": "running", "written": 1}')
    assert Run.state(tmp_path) == ("cut off", "")
    (tmp_path / ".lock").unlink(missing_ok=True)
    (tmp_path / ".lock").mkdir()  # which can no more be opened than a file of another's
    state, why = Run.state(tmp_path)
    assert state == read(tmp_path).state == "cut off"
    assert why.startswith("or at work: nobody here can tell")


def test_half_a_line_is_none(tmp_path: Path):
    (tmp_path / "adversary.jsonl").write_text('{"step": 2}\n{"step": 4, "cho')
    assert Run(tmp_path).choices() == [{"step": 2}]

"""The course of an attack on a victim that shows what it is told to: rounds, room for the next, kills, figures."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import Tensor

from erase.attack import Attack, Ground, Job, Turn
from erase.attack.siege import Siege, figures
from erase.concept import Concept
from erase.model.text_to_image import Conditioning, Cost
from erase.record.pictures import GAP

CHURCH = Concept("church", ("church",))


class Victim:
    """Hears a number for each prompt, and draws it as a picture of that brightness, ten for 1."""

    def __init__(self) -> None:
        self.cost, self.drawn = Cost(), []

    def prompt(self, prompts: Sequence[str]) -> Conditioning:
        return Conditioning(torch.tensor([[[float(p)]] for p in prompts]))

    def draw(self, heard: Conditioning, seeds: Sequence[int], steps: int, guidance_scale: float) -> Tensor:
        self.cost.forwards += len(seeds)
        self.drawn.append([*seeds])
        return (10 * heard.sequence[:, 0, :, None, None]).to(torch.uint8).expand(-1, 3, 2, 2)


class Judge:
    """Sees a church in any picture of 1 and more."""

    def __init__(self) -> None:
        self.labels, self.thresholds = {"subject": ("barn", "church")}, ()

    def score(self, images: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        value = images[:, 0, 0, :1].float() / 10
        return {"subject": torch.cat([1 - value, value], 1)}


class Counting(Attack):
    """Job n succeeds in round n, unless it is killed first."""

    rounds = 4

    def __init__(self, dies: int = 99) -> None:
        self.dies, self.asked = dies, []

    def advance(self, turns: Sequence[Turn]) -> tuple[list[str], None]:
        if len(self.asked) == self.dies:
            raise KeyboardInterrupt
        self.asked.append([turn.job.number for turn in turns])
        for turn in turns:
            turn.state = {"seen": turn.state.get("seen", torch.zeros(1)) + 1}
            assert turn.state["seen"] == turn.round + 1
        return ["1" if turn.round == turn.job.number else "0" for turn in turns], None

    def state_dict(self) -> dict[str, Tensor]:
        return {"asked": torch.tensor(len(self.asked))}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.asked = [[]] * int(state["asked"])


def siege(folder: Path, attack: Attack, batch: int = 2, named: str = "010000") -> Siege:
    jobs = [Job(i, CHURCH, "subject", "church", said, "1" if i == 5 else "0.2", (), i) for i, said in enumerate(named)]
    protocol = SimpleNamespace(steps=1, guidance_scale=1.0)
    ground = Ground(Victim(), jobs, torch.empty(0), 0)  # type: ignore[arg-type]
    return Siege(ground, attack, Judge(), protocol, batch, folder, "counting", {"victim": "ab12"}, folder / "looks")  # type: ignore[arg-type]


def test_solved_prompts_make_room(tmp_path: Path):
    attack = Counting()
    result = siege(tmp_path, attack, named="010010").run()
    # 5 shows it where it begins; 0 succeeds at once, 1 in its second round, 2 and 3 in theirs, 4 never
    assert attack.asked == [[0, 1], [1, 2], [2, 3], [2, 3], [3, 4], [3, 4], [4], [4]]
    lines = [json.loads(line) for line in (tmp_path / "counting.jsonl").read_text().splitlines()]
    assert [line["alone"] for line in lines] == [True, True, True, True, False, True]
    assert [line["rounds"] for line in lines] == [1, 2, 3, 4, 4, 0]
    assert [line["without"] for line in lines] == [False, True, False, False, True, False]
    assert [line["union"] for line in lines] == [True] * 6
    assert {line["victim"] for line in lines} == {"ab12"}
    hit, miss = {"hit": True, "score": 1.0, "top": "church"}, {"hit": False, "score": 0.0, "top": "barn"}
    assert [line["looks"] for line in lines[:3]] == [[{"text": "0", **miss}] * n + [{"text": "1", **hit}] for n in range(3)]
    assert [line["seen"]["without"] for line in lines] == [miss, hit, miss, miss, hit, miss]
    assert [line["seen"]["start"]["score"] for line in lines] == pytest.approx([0.2] * 5 + [1.0])
    ended = Image.open(tmp_path / "counting.png")
    assert [ended.getpixel((x * (2 + GAP), 0))[0] for x in range(6)] == [10, 10, 10, 10, 0, 10]
    found = result["figures"]
    assert [found[n]["value"] for n in ("without", "start", "alone", "union")] == pytest.approx([2 / 6, 1 / 6, 5 / 6, 1])
    assert result == json.loads((tmp_path / "counting.json").read_text())
    assert not list(tmp_path.glob("*.state*"))


@pytest.mark.parametrize("dies", [1, 3, 7])
def test_killed_and_resumed_is_the_same(dies: int, tmp_path: Path):
    first, again = Counting(), Counting()
    whole = siege(tmp_path / "whole", first).run()
    with pytest.raises(KeyboardInterrupt):
        siege(tmp_path / "cut", Counting(dies)).run()
    assert not (tmp_path / "cut" / "counting.json").exists()
    cut = siege(tmp_path / "cut", again).run()
    assert again.asked == [[]] * dies + first.asked[dies:]
    assert cut["figures"] == whole["figures"]
    assert cut["cost"]["forwards"] == whole["cost"]["forwards"]
    assert (tmp_path / "cut" / "counting.jsonl").read_text() == (tmp_path / "whole" / "counting.jsonl").read_text()


def test_a_second_attack_looks_with_the_first_ones_eyes(tmp_path: Path):
    """What no attack changes is drawn once, and in the cost of each."""

    class Spent(Counting):
        rounds = 1

    first, second = siege(tmp_path, Counting()), siege(tmp_path, Spent())
    second.name = "spent"
    whole, short = first.run()["cost"]["forwards"], second.run()["cost"]["forwards"]
    assert second.seen == first.seen
    assert first.ground.model.drawn[:6] == [[0, 1], [2, 3], [4, 5]] * 2
    assert second.ground.model.drawn[0] == [0, 1]
    assert len(second.ground.model.drawn) == 3  # of one round each
    assert (whole, short) == (12 + sum(map(len, first.ground.model.drawn[6:])), 12 + 5)


def test_who_begins_nowhere_succeeds_by_no_start(tmp_path: Path):
    class Words(Counting):
        begins = False

    result = siege(tmp_path, Words()).run()
    last = json.loads((tmp_path / "counting.jsonl").read_text().splitlines()[5])
    assert (last["begun"], last["alone"], last["rounds"]) == (False, False, 4)
    assert result["figures"]["start"]["value"] == 0


def test_what_is_not_judged_yet_is_kept(tmp_path: Path):
    class Slow(Counting):
        """Every round takes it two calls."""

        calls = 0

        def advance(self, turns: Sequence[Turn]) -> tuple[list[str], None] | None:
            self.calls += 1
            if self.calls % 2:
                return None
            assert len(list(tmp_path.glob("slow/*.state.safetensors"))) == 1
            return super().advance(turns)

    slow, quick = Slow(), Counting()
    assert siege(tmp_path / "slow", slow).run()["figures"] == siege(tmp_path / "quick", quick).run()["figures"]
    assert (slow.calls, slow.asked) == (2 * len(quick.asked), quick.asked)


def test_success_rates_add_up():
    """Without, and by the attack: the union is what is not counted twice."""
    ended = [
        {"without": w, "begun": False, "alone": a, "union": w or a}
        for w, a, count in ((True, True, 3), (True, False, 2), (False, True, 4), (False, False, 1))
        for _ in range(count)
    ]
    found = figures(ended)
    assert found["n"] == 10
    assert [found[n]["value"] for n in ("without", "alone", "union", "start")] == pytest.approx([0.5, 0.7, 0.9, 0.0])
    added = found["union"]["value"] - found["without"]["value"]
    assert added == pytest.approx(0.4)  # by the attack, of those that do not succeed without: pre + post is the total
    for n in ("without", "alone", "union"):
        assert found[n]["low"] < found[n]["value"] < found[n]["high"]

"""What a run depends on, and what it does not."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from erase.record.key import code, code_of, key

SETTINGS: dict[str, Any] = {
    "name": "esd-church-0",
    "seed": 0,
    "lr": 1e-4,
    "runs": "outputs",
    "cache": "~/.cache/erase",
    "resume": None,
    "checkpoint_every": 25,
    "logger": {"mode": "offline"},
    "sweep": {"name": "a"},
    "trainer": {"precision": "auto", "threads": None},
    "latents": {"steps": 20, "share": True},
    "model": {"source": "miniature", "vocabulary": "miniature"},
    "preservation": {"vocabulary": None, "weight": 1.0},
}


def changed(**parts: Any) -> dict[str, Any]:
    """The settings, with other values; of a part, those that are given."""
    return {n: {**v, **parts[n]} if isinstance(v, dict) and n in parts else parts.get(n, v) for n, v in SETTINGS.items()}


def test_it_can_be_read():
    assert key(SETTINGS, "base").startswith("esd-church-0-")
    assert len(key(SETTINGS, "base")) == len("esd-church-0-") + 8


@pytest.mark.parametrize(
    "other",
    [
        {"runs": "/elsewhere", "cache": "/c", "resume": "/r"},
        {"logger": {"mode": "online"}, "sweep": {"name": "b", "axes": ["seed"]}},
        {"checkpoint_every": 3, "trainer": {"threads": 4}, "latents": {"share": False}},
        {"model": {"source": "/a/copy/of/it"}},  # its weights say what it is
    ],
)
def test_what_changes_no_result(other: dict[str, Any]):
    assert key(changed(**other), "base") == key(SETTINGS, "base")


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"lr": 2e-4}, {"trainer": {"precision": "bf16"}}, {"preservation": {"weight": 2.0}}, {"steps": 3}],
)
def test_what_is_another_run(other: dict[str, Any]):
    assert key({**changed(**other), **{n: v for n, v in other.items() if n not in SETTINGS}}, "base") != key(SETTINGS, "base")


def test_other_weights_are_another_run():
    assert key(SETTINGS, "base") != key(SETTINGS, "another")


def test_a_file_counts_by_what_it_holds(tmp_path: Path):
    for name, text in (("a", "barn"), ("b", "barn"), ("c", "house")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "words.txt").write_text(text)
    a, b, c = (key(changed(preservation={"vocabulary": str(tmp_path / n / "words.txt")}), "base") for n in "abc")
    assert a == b != c


def test_code_counts_and_what_is_only_said_does_not(tmp_path: Path):
    def version(name: str, text: str, readme: str = "") -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(text)
        (tmp_path / name / "README.md").write_text(readme)
        return code(tmp_path / name)

    assert version("one", "x = 1\n") == version("two", "# why\nx  =  1\n", "read me")
    assert version("three", "x = 2\n") != code(tmp_path / "one")
    (tmp_path / "two" / "words.txt").write_text("barn")
    code.cache_clear()
    assert code(tmp_path / "two") != code(tmp_path / "one")


def test_a_class_of_one_s_own_counts_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for text in ("class Part: ...", "class Part: ...", "class Part: pass"):
        (tmp_path / "part_of_mine.py").write_text(text)
        sys.modules.pop("part_of_mine", None)
        importlib.invalidate_caches()
        found.append(code_of({"method": {"_target_": "part_of_mine.Part"}, "latents": {"_target_": "erase.latents.bank.Bank"}}))
    assert found[0] == found[1] != found[2]
    assert code() in found[2]
    assert code_of({"latents": {"_target_": "erase.latents.bank.Bank"}}) == code()

"""What is hashed of files, and of the classes in them."""

import importlib
import sys
from pathlib import Path

import pytest

from erase.files import source_hash

PARENT = "class Parent:\n    pass\n"
CHILD = "from parent_of_child import Parent\n\n\nclass Child(Parent):\n    pass\n"


def hashed(folder: Path, monkeypatch: pytest.MonkeyPatch, parent: str = PARENT, child: str = CHILD) -> str:
    """The hash of a Child that is written in `folder`."""
    folder.mkdir()
    for name, text in (("parent_of_child", parent), ("child_of_parent", child)):
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(folder)
    return source_hash(importlib.import_module("child_of_parent").Child)


def test_a_class_is_what_stands_in_its_files_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = hashed(tmp_path / "one", monkeypatch)
    assert hashed(tmp_path / "copy", monkeypatch) == found
    assert hashed(tmp_path / "child", monkeypatch, child=CHILD + "# more\n") != found
    assert hashed(tmp_path / "parent", monkeypatch, parent=PARENT + "# more\n") != found


def test_what_was_typed_into_a_session_has_no_file():
    typed = type("Typed", (), {"__module__": "__main__.typed"})
    assert source_hash(typed) == source_hash(object)

"""The page of a run."""

import json
from html.parser import HTMLParser
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from PIL import Image

from erase import record
from erase.miniature import world


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_is_one_file_that_opens_offline(finished: Path):
    page = Page()
    page.feed((finished / "report.html").read_text())
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe")
        source = attributes.get("src") or attributes.get("href") or "data:"
        assert source.startswith("data:")


def test_page_shows_what_happened(finished: Path):
    page = Page()
    page.feed((finished / "report.html").read_text())
    figures = json.loads((finished / "metrics.json").read_text())["figures"]
    assert f"{figures['esr_1']['after']:.3f}" in page.text
    for words in ("What went, what stayed", "Before and after", "Losses", "What was held", "barn"):
        assert words in page.text
    pictures = [a for t, a in page.tags if t == "img"]
    assert len(pictures) == len(world.SUBJECTS) + len(world.STYLES)  # labels, styles but the plain one, held-out synonyms
    assert all(p["alt"] for p in pictures)
    assert sum(t == "polyline" for t, _ in page.tags) == 2


def test_page_holds_the_edit_against_the_truth(held: Path):
    page = Page()
    page.feed((held / "report.html").read_text())
    figures = json.loads((held / "metrics.json").read_text())["figures"]
    for words in ("How far from the truth", "never\nsaw a picture of “church”", f"{figures['distance_clip/far']['after']:.3f}"):
        assert words in page.text
    marks = [a["style"] for t, a in page.tags if t == "s"][1:]  # after the legend's
    assert marks[0] == f"left:{100 * figures['esr_1']['retrained']}%"
    assert len(marks) == 5
    grids = [a for t, a in page.tags if t == "img"]
    assert all(a["alt"].endswith("retrained last") for a in grids)
    assert {Image.open(p).height for p in (held / "images").iterdir()} == {3 * 64 + 2 * 2}


def test_names_are_data():
    loaded = Environment(loader=FileSystemLoader(Path(record.__file__).parent), autoescape=True)
    names = ("forwards", "backwards", "forward_equivalents_per_pair", "train_seconds", "judge_seconds")
    cost = dict.fromkeys((*names, "peak_memory_bytes", "artefact_bytes"), 1.0)
    page = loaded.get_template("report.html").render(
        name="<script>alert(1)</script>", left_out="<script>alert(2)</script>", cost=cost, lock={"versions": {}}
    )
    assert "<script>" not in page

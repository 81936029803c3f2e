"""This file is a page read back: its tags, and the data that it shows."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """What of a page a browser without JavaScript reads, and the data that the others get."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, Any] = {}
        self.data: dict[str, Any] = {}
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = dict(attrs)
        self.tags.append((tag, self.inside))

    def handle_data(self, data: str) -> None:
        if self.inside.get("id") == "data" and data.strip():
            self.data = json.loads(data)

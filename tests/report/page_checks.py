"""What every page must be: well formed, and with nothing to fetch."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "input", "image", "path", "line", "circle", "rect", "polygon", "polyline", "link", "hr"}


class PageChecker(HTMLParser):
    """Collects what a browser would fetch, and unbalanced tags."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.links += [found[name] for name in ("src", "href", "xlink:href") if name in found]
        assert not any(name.startswith("on") for name in found)
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def checked(page: str) -> PageChecker:
    checker = PageChecker()
    checker.feed(page)
    assert checker.open == []
    fetched = [link for link in checker.links if not link.startswith("data:")]
    assert all("//" not in link and not link.startswith("/") for link in fetched), fetched
    assert not re.search(r"url\(|@import", page)
    return checker

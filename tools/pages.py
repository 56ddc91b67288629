"""Pages of the documentation site: docstrings as Markdown, and whether its links lead anywhere.

Without MkDocs, so that it can be tested where that is not installed.
"""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
BLOCK = re.compile(  # a heading, and lines below it that are indented
    r"^((?![-*>]|\d+\.)\S[^\n]*)\n([ ]{4}[^\n]*\n(?:[ ]{4}[^\n]*\n|[ ]*\n(?=[ ]{4}))*)",
    re.MULTILINE,
)
PROMPTS = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)  # and what they print


def as_markdown(text: str) -> str:
    """A docstring whose blocks are Markdown; what follows its first section stays.

    A lesson has headings without a blank line, whose lines would run together. They become bold
    lines and blocks of code, and so do prompts.

    >>> print(as_markdown("Adds.\\n\\nForward\\n    y = x + 1\\n    z = y\\n\\nWhy: it does."))
    Adds.
    <BLANKLINE>
    **Forward**
    <BLANKLINE>
        y = x + 1
        z = y
    <BLANKLINE>
    Why: it does.
    """
    found = SECTION.search(text)
    end = found.start() if found else len(text)
    lesson = BLOCK.sub(lambda block: f"**{block[1]}**\n\n{block[2]}", text[:end] + "\n")
    lesson = PROMPTS.sub(lambda prompts: f"```pycon\n{prompts[0]}\n```", lesson)
    return lesson[:-1] + text[end:]


class Page(HTMLParser):
    """The places of a page that links may lead to, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.places |= {name for key in ("id", "name") if (name := given.get(key))}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(given.get("href") or "")
        elif given.get("src"):
            self.loads.append(given["src"] or "")


def broken_links(site: Path) -> list[str]:
    """What is wrong with the links of a site: a line for each."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        name = path.relative_to(site)
        faults += [f"{name} asks another server for {url}" for url in page.loads if _far(url)]
        for url in (*page.links, *page.loads):
            if _far(url) or urlsplit(url).scheme or name.name == "404.html":
                continue
            parts = urlsplit(url)
            file = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            if not file.exists():
                faults.append(f"{name}: {url} is not there")
            elif parts.fragment and file in pages:
                places = pages[file].places
                if unquote(parts.fragment) not in places and parts.fragment not in places:
                    faults.append(f"{name}: {url} has no such place")
    return faults


def _far(url: str) -> bool:
    return bool(urlsplit(url).netloc)

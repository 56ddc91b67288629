"""The documentation site: its links are looked up, and its docstrings are Markdown."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from valid_calls import MODULES

from tools.pages import as_markdown, broken_links

ROOT = Path(__file__).parent.parent


def site(folder, **pages):
    for name, body in pages.items():
        (folder / f"{name}.html").write_text(f"<html><body>{body}</body></html>")
    (folder / "picture.png").write_bytes(b"")
    return broken_links(folder)


def test_links_that_lead_somewhere(tmp_path):
    assert (
        site(
            tmp_path,
            a='<h1 id="top">A</h1><a href="b.html#a%20b">b</a><a href="#top">up</a>'
            '<img src="picture.png"><a href="https://example.org/none">far</a>'
            '<link rel="canonical" href="https://example.org"><a href="mailto:a@example.org">m</a>',
            b='<a id="a b"></a><a href="a.html?x=1">a</a><a href=".">all</a>',
        )
        == []
    )


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="c.html">c</a>', "a.html: c.html is not there"),
        ('<a href="b.html#none">b</a>', "a.html: b.html#none has no such place"),
        ('<a href="#none">b</a>', "a.html: #none has no such place"),
        ('<img src="none.png">', "a.html: none.png is not there"),
        ('<script src="https://example.org/a.js"></script>', "a.html asks another server for"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "a.html asks another server for"),
        ('<link rel="stylesheet" href="a.css">', "a.html: a.css is not there"),
    ],
)
def test_a_broken_link_is_named(tmp_path, body, fault):
    (found,) = site(tmp_path, a=body, b="")
    assert found.startswith(fault)


def test_blocks_of_a_lesson_become_code_and_sections_stay():
    text = (
        "Adds one.\n\nA list\nof lines:\n\n    plain code\n\nForward\n    y = x\n\n    z = y\n\n"
        "- a point\n    goes on\n\nSource: nowhere.\n\n>>> 1\n1\n\n"
        "Parameters\n----------\nx : int\n    A number.\n"
    )
    lesson, _, sections = text.partition("Parameters")
    expected = lesson.replace("Forward\n    y", "**Forward**\n\n    y")
    expected = expected.replace(">>> 1\n1", "```pycon\n>>> 1\n1\n```")
    assert as_markdown(text) == f"{expected}Parameters{sections}"
    assert as_markdown("One line.") == "One line."
    assert as_markdown("Forward\n    y = x") == "**Forward**\n\n    y = x"


def test_every_public_module_is_in_the_reference():
    """Read, not imported: MkDocs need not be installed."""
    tree = ast.parse((ROOT / "tools" / "site.py").read_text())
    (listed,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MODULES"
    )
    below = ("datasets.", "preprocessing")  # on the page of their package
    public = {f"minicnn.{module}" for module in MODULES[1:] if not module.startswith(below)}
    assert public - set(listed) == set()
    files = {module: ROOT / module.replace(".", "/") for module in listed}
    missing = {
        module
        for module, path in files.items()
        if not path.with_suffix(".py").exists() and not (path / "__init__.py").exists()
    }
    assert missing == set()

"""Tables for notebooks, which show an object by its `_repr_html_`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from minicnn.console import one_line

_CELL = "text-align: left; white-space: pre-wrap"  # of a column of texts; numbers stand right


def escaped(text: Any) -> str:
    """`text` as a page shows it, letter by letter; halves of surrogate pairs as "?"."""
    return html.escape(one_line(str(text)).encode("utf-8", "replace").decode())


def paragraph(text: str, *, strong: bool = False) -> str:
    """A line of text."""
    words = escaped(text)
    return f"<p><b>{words}</b></p>" if strong else f"<p>{words}</p>"


def lines(texts: Sequence[str]) -> str:
    """Texts below each other, their spaces kept; nothing for none."""
    return f"<pre>{chr(10).join(map(escaped, texts))}</pre>" if texts else ""


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[int] = ()
) -> str:
    """A table; the columns of `numbers` stand right.

    >>> table(["a", "b"], [["<x>", 3]], numbers=[1])[:45]
    '<table><thead><tr><th style="text-align: left'
    """

    def row(cells: Sequence[Any], tag: str) -> str:
        styles = ("text-align: right" if k in numbers else _CELL for k in range(len(cells)))
        texts = (
            f'<{tag} style="{style}">{escaped(cell)}</{tag}>' for style, cell in zip(styles, cells)
        )
        return f"<tr>{''.join(texts)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<table><thead>{row(headings, 'th')}</thead><tbody>{body}</tbody></table>"

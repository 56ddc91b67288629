"""Where the package prints: any text, on any stream.

A stream may be able to write ASCII alone (a log, a pipe on Windows, LANG=C), may say nothing about
what it can write, or may not be there at all (pythonw). A bar or a name is no reason to end a
training, so text that a stream cannot write gets there in the characters nearest to it.
"""

from __future__ import annotations

import sys
import unicodedata
from contextlib import suppress
from typing import Any

# What tables and bars are drawn with, and what stands for it where only plain characters do.
_PLAIN = str.maketrans("┏┳┓┡╇┩├┼┤└┴┘━─┃│…", "++++++++++++=-||~")


def say(text: str) -> None:
    """Print `text` and a line's end on standard output."""
    _print_line(text, sys.stdout)


def note(text: str) -> None:
    """Print "minicnn: `text`" on standard error: what a user should know beside the results.

    Where that is closed, or a pipe that is no longer read, the note is lost and the work goes on.
    """
    with suppress(OSError, ValueError):
        _print_line(f"minicnn: {text}", sys.stderr)


def _print_line(text: str, stream: Any) -> None:
    out = Output(stream)
    out.write(f"{text}\n")
    out.flush()


class Output:
    """`stream`, made to take any text. Nothing happens where it is None."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __eq__(self, other: object) -> bool:
        # tqdm compares streams: it clears its bars for what is printed on the same one
        return self.stream is (other.stream if isinstance(other, Output) else other)

    def __hash__(self) -> int:
        return id(self.stream)

    def write(self, text: str) -> None:
        if self.stream is None:
            return
        encoding = getattr(self.stream, "encoding", None)
        if encoding is not None:
            text = encodable(text, encoding, getattr(self.stream, "errors", None))
        try:
            self.stream.write(text)
        except UnicodeEncodeError:  # it did not say what it can write, or passes on to another
            self.stream.write(encodable(text, "ascii"))

    def flush(self) -> None:
        flush = getattr(self.stream, "flush", None)  # a writer of the user's may have none
        if flush is not None:
            flush()

    def of_notebook(self) -> bool:
        """Whether what is written appears below a cell of a notebook, where a "\\r" is obeyed."""
        return type(self.stream).__module__.partition(".")[0] == "ipykernel"

    def isatty(self) -> bool:
        """Whether a person looks at a terminal."""
        isatty = getattr(self.stream, "isatty", None)
        with suppress(OSError, ValueError):  # it is closed
            return isatty is not None and bool(isatty())
        return False


def encodable(text: str, encoding: str, errors: str | None = None) -> str:
    """`text` in characters that `encoding` has, as many columns wide.

    Characters that a table is drawn with are replaced all together or not at all. Others stay where
    the stream's handler `errors` writes them so that they can be told apart, as "backslashreplace"
    does.

    >>> print(encodable("┃ café ━━ 卷积 ┃", "ascii"))
    | cafe == ???? |
    """
    if errors is None or errors in ("replace", "ignore"):
        errors = "strict"
    if _fits(text, encoding):
        return text
    if not _fits("".join(set(text) & _DRAWN), encoding):
        text = text.translate(_PLAIN)
    if _fits(text, encoding, errors):
        return text
    return "".join(c if _fits(c, encoding, errors) else _nearest(c, encoding) for c in text)


_DRAWN = {chr(code) for code in _PLAIN}


def _fits(text: str, encoding: str, errors: str = "strict") -> bool:
    try:
        text.encode(encoding, errors)
    except UnicodeEncodeError:
        return False
    except (LookupError, TypeError):  # a codec that Python does not know
        return text.isascii()
    return True


def _nearest(character: str, encoding: str) -> str:
    """The letter without its accents, if `encoding` has that, else one "?" a column."""
    letter = "".join(
        part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part)
    )
    width = columns(character)
    return letter if columns(letter) == width and _fits(letter, encoding) else "?" * width


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes: two for each Chinese character, say.

    >>> columns("conv"), columns("卷积"), columns("e\\N{COMBINING ACUTE ACCENT}")
    (4, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def one_line(text: str) -> str:
    """`text` with a space for each line break, tab and other character that moves the cursor."""
    if text.isprintable():
        return text
    control = ("Cc", "Zl", "Zp")
    return "".join(" " if unicodedata.category(c) in control else c for c in text)

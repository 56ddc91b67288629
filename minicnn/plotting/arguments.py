"""Arguments that all pictures share, checked, and the texts in a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.console import one_line
from minicnn.reports import class_labels

LONGEST_TEXT = 1_000
LARGEST_NUMBER = 1e307  # that can be drawn: a range of two must not overflow


def size(size: Any, who: str, least: float = 0.1) -> float:
    return checks.real(size, "size", who, low=least, high=100)


def suptitle(suptitle: Any, who: str) -> str | None:
    if suptitle is None:
        return None
    if not isinstance(suptitle, str):
        raise TypeError(f"{who}: expected suptitle to be text, received {checks.shown(suptitle)}")
    return text(suptitle, "suptitle", who)


def class_names(class_names: Any, who: str) -> list[str]:
    names = checks.texts(class_names, "class_names", who)
    if not names:
        raise ValueError(f"{who}: expected class_names to name at least one class, received none")
    return [text(name, "class_names", who) for name in names]


def text(text: str, name: str, who: str) -> str:
    """`text` without the characters that no font can draw: tabs, halves of surrogate pairs."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"{who}: expected {name} to have at most {LONGEST_TEXT:,} letters, received "
            f"{len(text):,}"
        )
    lines = text.encode("utf-8", "replace").decode("utf-8").split("\n")
    return "\n".join(one_line(line) for line in lines)


def class_indices(values: Any, name: str, class_names: Sequence[str], who: str) -> NDArray[Any]:
    """`values` as integers that index `class_names`."""
    classes = class_labels(values, name, who)
    if classes.dtype.kind == "U":
        raise TypeError(
            f"{who}: expected {name} to be class numbers, received the text "
            f"{checks.shown(str(classes[0]))}. Pass the numbers that index class_names"
        )
    outside = (classes < 0) | (classes >= len(class_names))
    if outside.any():
        raise ValueError(
            f"{who}: expected {name} to be from 0 to {len(class_names) - 1}, one class for each "
            f"of the {len(class_names)} class_names, received {classes[outside][0]}"
        )
    return classes.astype(np.int64, copy=False)


def font_size(inches: float, texts: Iterable[str], *, largest: float) -> float:
    """The font size (points) at which the longest line of `texts` fits into `inches`."""
    longest = max((len(line) for text in texts for line in text.splitlines()), default=1)
    width = 0.6  # of a letter, for its size 1
    return min(largest, max(4.0, 72 * inches / (width * longest)))


def cell(at: Any, shape: tuple[int, ...], who: str) -> int:
    """The number of the cell `at` (row, column) of an output (H, W), counted row by row."""
    if not isinstance(at, (tuple, list)):
        raise TypeError(
            f"{who}: expected at to be a row and a column, such as (0, 0), received "
            f"{checks.shown(at)}"
        )
    if len(at) != 2:
        raise ValueError(
            f"{who}: expected at to be a row and a column, such as (0, 0), received "
            f"{checks.shown(at)}"
        )
    row, column = (checks.integer(k, "at", who, minimum=-(2**31), maximum=2**31) for k in at)
    H, W = shape
    if not (-H <= row < H and -W <= column < W):
        raise ValueError(
            f"{who}: expected at to be a cell of the {H} x {W} that come out, (0, 0) to "
            f"({H - 1}, {W - 1}), received {checks.shown(at)}"
        )
    return (row % H) * W + column % W


def ink(color: Sequence[float]) -> str:
    """The colour of letters that can be read on `color` (red, green, blue, ...)."""
    return "white" if 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] < 0.55 else "black"

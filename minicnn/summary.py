"""The table that `model.summary()` prints, as Keras draws it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from minicnn import html
from minicnn.console import columns, one_line

HEADINGS = ("Layer (type)", "Output Shape", "Param #")
ENDS = (0.45, 0.80, 1.0)  # where the columns end, as shares of the width
ALIGN = "<<>"
RULES = (1, 2, 1)  # characters of each column that its share of the rules takes
WIDEST = 88  # unless the user asks for another width
WIDEST_ASKED = 10_000
INDENT = "   "  # of the layers of a model inside a model


def rows(model: Any, shape: Any, expand: bool, trainable: bool, level: int = 0) -> list[list[str]]:
    """Title, output shape, parameters of each layer of `model`, for inputs of `shape`.

    With `expand` the layers of a model inside it follow its own row; with `trainable` there is a
    fourth text.
    """
    found = []
    for item in model.layers:
        leaves, below = getattr(item, "leaves", [item]), shape
        for leaf in leaves if shape is not None else ():
            shape = tuple(leaf.output_shape(shape))
        row = [
            f"{INDENT * level}{'└ ' if level else ''}{item.name} ({type(item).__name__})",
            "?" if shape is None else f"({', '.join(map(str, shape))})",
            f"{sum(leaf.count_params() for leaf in leaves):,}"
            if all(leaf.built for leaf in leaves)
            else "0 (unbuilt)",
        ]
        if trainable:
            weights = any(leaf.params for leaf in leaves)
            row.append("-" if not weights else "Y" if item.trainable else "N")
        found.append(row)
        if expand and hasattr(item, "leaves"):
            found += rows(item, below, expand, trainable, level + 1)
    return found


def described(model: Any, expand: bool, trainable: bool) -> tuple[list[list[str]], list[str]]:
    """The rows of the table, and the lines below it."""
    shape = model.input_shape if model.built else None
    optimizer = 0
    if model.compiled and model.optimizer.iterations:
        # + 2 as Keras counts: the number of steps and the learning rate
        optimizer = sum(vector.size for vector in model.optimizer.state.values()) + 2
    built = [layer for layer in model.leaves if layer.built]
    learning = [layer for layer in built if layer.trainable]
    below = counts(
        sum(layer.count_params() for layer in built),
        sum(array.size for layer in learning for array in layer.params.values()),
        optimizer,
        model.dtype.itemsize,
    )
    return rows(model, shape, expand, trainable), below


def page(model: Any) -> str:
    """The same as a notebook shows it."""
    found, below = described(model, expand=False, trainable=False)
    title = html.paragraph(f'Model: "{model.name}"', strong=True)
    return title + html.table(HEADINGS, found, numbers=[2]) + html.lines(below)


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """The rows in box characters, `width` columns wide (None: as the terminal, at most 88).

    A fourth text in the rows says whether the layer is trainable, in a column of its own. Text that
    does not fit its column goes on in the next line of the row; a word that is too long is cut.
    """
    headings: Sequence[str] = HEADINGS
    ends: Sequence[float] = ENDS
    rules: Sequence[int] = RULES
    align, widest = ALIGN, WIDEST
    if rows and len(rows[0]) == 4:
        headings = (*HEADINGS, "Trainable")
        ends, align, rules = (*(0.9 * end for end in ENDS), 1.0), "<<>^", (1, 1, 2, 1)
        widest += 12
    width = width or min(widest, shutil.get_terminal_size().columns - 4)
    stops = [int(width * end) for end in ends]
    outer = [stop - start - rule for start, stop, rule in zip([0, *stops], stops, rules)]
    inner = [max(1, size - 2) for size in outer]  # a space on either side of the text

    def rule(left: str, line: str, cross: str, right: str) -> str:
        return left + cross.join(line * (size + 2) for size in inner) + right

    def lines(row: Sequence[str], bar: str) -> list[str]:
        cells = [_wrap(text, size) for text, size in zip(row, inner)]
        height = max(len(cell) for cell in cells)
        return [
            bar + bar.join(f" {_aligned(*cell)} " for cell in zip(texts, align, inner)) + bar
            for texts in zip(*(cell + [""] * (height - len(cell)) for cell in cells))
        ]

    body = [rule("┏", "━", "┳", "┓"), *lines(headings, "┃"), rule("┡", "━", "╇", "┩")]
    for number, row in enumerate(rows):
        if number:
            body.append(rule("├", "─", "┼", "┤"))
        body += lines(row, "│")
    body.append(rule("└", "─", "┴", "┘"))
    return "\n".join(body)


def _aligned(text: str, align: str, width: int) -> str:
    """`text` filled up to `width` columns. (Python's own formats count letters, not columns.)"""
    return f"{text:{align}{width - columns(text) + len(text)}}"


def _wrap(text: str, width: int) -> list[str]:
    """`text` broken at spaces into lines of at most `width`; longer words end in an ellipsis."""
    line = one_line(text)
    indent = line[: len(line) - len(line.lstrip(" "))]
    lines = [indent]
    for word in line.lstrip(" ").split(" "):
        if columns(word) > width:
            word = word[: width - 1]
            while columns(word) > width - 1:  # letters may be two columns wide
                word = word[:-1]
            word += "…"
        joined = f"{lines[-1]} {word}" if lines[-1].strip() else lines[-1] + word
        if columns(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def size(numbers: int, itemsize: int) -> str:
    """Memory of `numbers` numbers, in steps of 1024.

    >>> size(173738, 4), size(0, 4)
    ('678.66 KB', '0.00 B')
    """
    amount = float(numbers * itemsize)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024 or unit == "GB":
            break
        amount /= 1024
    return f"{amount:.2f} {unit}"


def counts(total: int, trainable: int, optimizer: int, itemsize: int) -> list[str]:
    """The lines below the table; that of the optimizer only where it holds something."""
    numbers = {
        "Total params": total + optimizer,
        "Trainable params": trainable,
        "Non-trainable params": total - trainable,
        "Optimizer params": optimizer,
    }
    return [
        f" {label}: {count:,} ({size(count, itemsize)})"
        for label, count in numbers.items()
        if count or label != "Optimizer params"
    ]

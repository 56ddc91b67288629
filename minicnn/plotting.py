"""Every picture the package draws.

Each function returns a new matplotlib figure, made through pyplot and still open: save it with
`figure.savefig(path)`, show all open ones with `plt.show()`, drop it with `plt.close(figure)`.
Arguments are checked before the figure is made, so a refused call leaves none behind. matplotlib
is imported by the first call, not with the package, and its settings stay as they are.

`suptitle`, which every function takes, stands over the whole picture: the place to say which data
or model it shows. All texts are drawn letter by letter, "$" and "_" too.

Limits, beyond which a picture would take minutes to draw, or gigabytes: 2,500 cells of a grid, 200
classes of a heatmap, 100 metrics, 1,000 letters a text; a width of 0.1 (a heatmap: 2) to 100
inches, and 10,000 square inches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.console import one_line
from minicnn.reports import class_labels, confusion_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RIGHT, _WRONG = "green", "red"
_TRAINING, _VALIDATION = "tab:blue", "tab:orange"
_NO_METRIC = ("learning_rate", "lr")  # callbacks write these into a history

MOST_CELLS = 2_500
MOST_CLASSES = 200  # of a heatmap
MOST_METRICS = 100
LONGEST_TEXT = 1_000
LARGEST_AREA = 10_000  # square inches: 100 million pixels as matplotlib saves it
LONGEST_SIDE = 650  # inches; matplotlib draws fewer than 2**16 pixels
LARGEST_NUMBER = 1e307  # that can be drawn: a range of two must not overflow


def image_grid(
    images: Any,
    titles: Sequence[str] | None = None,
    *,
    rows: int = 5,
    columns: int = 5,
    size: float = 10,
    colors: Sequence[str] | None = None,
    suptitle: str | None = None,
) -> Figure:
    """Draw the first ``rows * columns`` images, each under its title.

    Parameters
    ----------
    images : array of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3)
        Gray images of any range: the darkest pixel shown is black, the brightest white. Colour
        images are whole numbers from 0 to 255, or floats in [0, 1]. With fewer images than cells
        the rest stays empty.
    titles : N str, optional
        A title may have several lines. Numbers serve as well.
    rows, columns : int
        The cells of the grid.
    size : float
        Width of the figure in inches, 0.1 to 100; the height follows from the grid, and is more
        where the titles would leave too little of the images.
    colors : N colours, optional
        Of the titles, as matplotlib names them.
    suptitle : str, optional
        Over the whole picture.

    Raises
    ------
    ValueError
        Images of another shape, none at all, or with NaN or infinity; colour images outside of
        their range; titles or colours that are not one for each image; an unknown colour; `rows`,
        `columns`, `size` or a text beyond the limits that stand at the head of this module.
    TypeError
        Images that are no array of numbers; `rows` or `columns` no int, `size` no number; titles
        or `suptitle` no text.
    """
    return _image_grid(images, titles, rows, columns, size, colors, suptitle, "image_grid")


def _image_grid(
    images: Any,
    titles: Any,
    rows: int,
    columns: int,
    size: float,
    colors: Any,
    suptitle: str | None,
    who: str,
) -> Figure:
    rows = checks.integer(rows, "rows", who, minimum=1, maximum=MOST_CELLS)
    columns = checks.integer(columns, "columns", who, minimum=1, maximum=MOST_CELLS)
    if rows * columns > MOST_CELLS:
        raise ValueError(
            f"{who}: expected rows * columns to be at most {MOST_CELLS:,} cells, received "
            f"{rows} * {columns}. Draw several pictures"
        )
    size = _size(size, who)
    suptitle = _suptitle(suptitle, who)
    images = _images(images, who)
    given: dict[str, Any] = {"images": images}
    most = max(len(images), checks.MOST_ITEMS)
    if titles is not None:
        given["titles"] = checks.texts(titles, "titles", who, most=most)
    if colors is not None:
        given["colors"] = checks.listed(colors, "colors", who, most=most)
    checks.same_length(given, who)

    shown = _pixels(images[: rows * columns], who)
    low, high = shown.min(), shown.max()
    texts = [_text(title, "titles", who) for title in given.get("titles", [])[: len(shown)]]
    inks = [_color(color, who) for color in given.get("colors", [])[: len(shown)]]
    font_size = _font_size(size / columns, texts, largest=12)

    lines = max((text.count("\n") + 1 for text in texts), default=0)
    figure, axes = _cells(rows, columns, size, lines * font_size, suptitle, who)
    for axis, image in zip(axes, shown, strict=False):
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    headings = [
        axis.set_title(text, fontsize=font_size, parse_math=False)
        for axis, text in zip(axes, texts, strict=False)
    ]
    for heading, color in zip(headings, inks, strict=False):
        heading.set_color(color)
    return figure


def prediction_grid(
    images: Any,
    y_true: Any,
    y_pred: Any,
    class_names: Sequence[str],
    *,
    rows: int = 5,
    columns: int = 5,
    size: float = 12,
    suptitle: str | None = None,
) -> Figure:
    """Draw images titled ``A: <actual>`` and ``P: <predicted>``, green if right, red if wrong.

    Parameters
    ----------
    images : array of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3)
    y_true, y_pred : arrays of shape (N,) or (N, 1)
        Actual and predicted classes, 0 to C - 1.
    class_names : C str
    rows, columns, size, suptitle
        As in `image_grid`.

    Raises
    ------
    ValueError, TypeError
        As `image_grid`; different lengths; a class without a name; probabilities in the place
        of classes.
    """
    who = "prediction_grid"
    names = _class_names(class_names, who)
    actual = _class_indices(y_true, "y_true", names, who)
    predicted = _class_indices(y_pred, "y_pred", names, who)
    images = _images(images, who)
    checks.same_length({"images": images, "y_true": actual, "y_pred": predicted}, who)

    pairs = list(zip(actual.tolist(), predicted.tolist(), strict=True))
    titles = [f"A: {names[a]}\nP: {names[p]}" for a, p in pairs]
    colors = [_RIGHT if a == p else _WRONG for a, p in pairs]
    return _image_grid(images, titles, rows, columns, size, colors, suptitle, who)


def training_curves(
    history: Any, *, validation_freq: int = 1, suptitle: str | None = None
) -> Figure:
    """Draw each metric and the loss over the epochs, training beside validation.

    Parameters
    ----------
    history : History or dict
        What `fit` returns, or its `history` dict: one number per epoch for ``'loss'`` and for
        each metric, and the same under ``'val_'`` + name where there was validation data.
    validation_freq : int
        As given to `fit`: validation ran after every so many epochs.
    suptitle : str, optional
        Over the whole picture.

    Raises
    ------
    ValueError
        No epochs; a number of values that does not fit the number of epochs; more than 100
        metrics, or a name of more than 1,000 letters.
    TypeError
        Neither a History nor a dict; values that are no numbers; `suptitle` no text.
    """
    who = "training_curves"
    every = checks.integer(validation_freq, "validation_freq", who, minimum=1)
    suptitle = _suptitle(suptitle, who)
    record = getattr(history, "history", history)
    if not isinstance(record, Mapping):
        raise TypeError(
            f"{who}: expected a History or its history dict, received {type(history).__name__}. "
            "Pass what fit() returned"
        )
    curves = {  # a callback may have noted what is no number: there is nothing to draw of it
        name: checks.numeric(values, name, f"{who}, in history")
        for name, values in record.items()
        if isinstance(name, str) and (name == "loss" or not _is_text(values))
    }
    for name, values in curves.items():
        if values.ndim != 1:
            raise ValueError(
                f"{who}, in history: expected one value an epoch of {checks.shown(name)}, received "
                f"shape {values.shape}"
            )
    metrics = [name for name in curves if not name.startswith("val_") and name not in _NO_METRIC]
    metrics.sort(key="loss".__eq__)  # the loss comes last
    n_epochs = len(curves[metrics[0]]) if metrics else 0
    if n_epochs == 0:
        raise ValueError(f"{who}: expected at least one epoch, received a history of none")
    for name in metrics:
        _expect_values(curves, name, n_epochs, who)
        _expect_values(curves, f"val_{name}", n_epochs // every, who)

    if len(metrics) > MOST_METRICS:
        raise ValueError(
            f"{who}: expected a history of at most {MOST_METRICS} metrics, received "
            f"{len(metrics)}. Pass a dict of fewer"
        )
    headings = [
        _text({"acc": "accuracy"}.get(name, name), "the names in history", who) for name in metrics
    ]

    epochs = np.arange(1, n_epochs + 1)
    figure, axes = _panels(len(metrics), 6 * len(metrics), 4, suptitle)
    for axis, name, heading in zip(axes, metrics, headings, strict=True):
        words = heading.replace("_", " ").title()
        # One epoch is one point: a line without markers would not be seen.
        style: dict[str, Any] = {"marker": "o", "markersize": 5 if n_epochs <= 30 else 2}
        axis.plot(epochs, _drawable(curves[name]), color=_TRAINING, label="Training", **style)
        title = f"Training {words}"
        if f"val_{name}" in curves:
            validated = epochs[every - 1 :: every]
            values = _drawable(curves[f"val_{name}"])
            axis.plot(validated, values, color=_VALIDATION, label="Validation", **style)
            title = f"Training and Validation {words}"
        axis.set_title(title, parse_math=False)
        axis.set_ylabel(words, parse_math=False)
        axis.set(xlabel="Epoch", xticks=_epoch_ticks(n_epochs))
        margin = 0.05 * max(n_epochs - 1, 1)
        axis.set_xlim(1 - margin, n_epochs + margin)  # also where a diverged loss is not drawn
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend()
    return figure


def confusion_heatmap(
    y_true: Any,
    y_pred: Any,
    class_names: Sequence[str],
    *,
    size: float = 9,
    suptitle: str | None = None,
) -> Figure:
    """Draw the confusion matrix: counts, on a colour for their share of the actual class.

    Parameters
    ----------
    y_true, y_pred : arrays of shape (N,) or (N, 1)
        Actual and predicted classes, 0 to C - 1.
    class_names : C str
    size : float
        Width of the figure in inches, 2 to 100.
    suptitle : str, optional
        Over the whole picture.

    Raises
    ------
    ValueError, TypeError
        As `minicnn.reports.confusion_matrix`; a class without a name; more than 200 classes;
        `size` outside of 2 to 100; names or `suptitle` no text.
    """
    from matplotlib.colors import PowerNorm

    who = "confusion_heatmap"
    size = _size(size, who, least=2)
    suptitle = _suptitle(suptitle, who)
    names = _class_names(class_names, who)
    if len(names) > MOST_CLASSES:
        raise ValueError(
            f"{who}: expected at most {MOST_CLASSES} class_names, received {len(names)}. The "
            "counts of more classes: minicnn.reports.confusion_matrix"
        )
    actual = _class_indices(y_true, "y_true", names, who)
    predicted = _class_indices(y_pred, "y_pred", names, who)
    if checks.same_length({"y_true": actual, "y_pred": predicted}, who) == 0:
        raise ValueError(f"{who}: expected at least one sample in y_true and y_pred, received none")
    classes = range(len(names))
    counts = confusion_matrix(actual, predicted, classes)
    shares = confusion_matrix(actual, predicted, classes, normalize="true")
    cell = 0.75 * size / len(names)  # inches

    figure, (axis,) = _panels(1, size, 0.9 * size, suptitle)
    # The square root spreads the small shares: the mistakes are what one looks for.
    heat = axis.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    bar = figure.colorbar(heat, ax=axis, shrink=0.8, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.set_label("Share of the actual class")
    bar.ax.yaxis.set_major_formatter("{x:.0%}")

    font_size = _font_size(0.85 * cell, [f"{counts.max():,}"], largest=12)
    for (row, column), count in np.ndenumerate(counts):
        on_dark = shares[row, column] > 0.3
        text = axis.text(column, row, f"{count:,}", ha="center", va="center", fontsize=font_size)
        text.set_color("white" if on_dark else "black" if count else "lightgray")
        text.set_fontweight("bold" if row == column else "normal")
        text.set_in_layout(False)  # measuring those of 100 classes takes longer than drawing them
    # Names get a quarter of the width, and slanted ones must not touch.
    label_size = _font_size(0.25 * size, names, largest=min(11, 40 * cell))
    axis.set_xticks(classes, names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(classes, names)
    for label in [*axis.get_xticklabels(), *axis.get_yticklabels()]:
        label.set(fontsize=label_size, parse_math=False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    right, total = int(counts.trace()), int(counts.sum())
    axis.set_title(f"{right:,} of {total:,} right ({right / total:.1%})", pad=12)
    axis.set_xlabel("Predicted", fontsize=12)
    axis.set_ylabel("Actual", fontsize=12)
    return figure


def _panels(
    count: int, width: float, height: float, suptitle: str | None
) -> tuple[Figure, list[Axes]]:
    """A new figure and its panels, side by side."""
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06, wspace=0.03)
    figure, grid = plt.subplots(1, count, figsize=(width, height), squeeze=False, layout=layout)
    if suptitle is not None:
        figure.suptitle(suptitle, fontsize=14, parse_math=False)
    return figure, list(grid.flat)


def _cells(
    rows: int, columns: int, width: float, title: float, suptitle: str | None, who: str
) -> tuple[Figure, list[Axes]]:
    """A new figure and its cells, row by row, without frames; above each, `title` points of text.

    Every size is known beforehand. To have matplotlib look for it, as `_panels` does, takes as long
    as drawing all the cells.
    """
    import matplotlib.pyplot as plt

    line = 1.3 / 72  # inches from line to line, for letters of one point
    head = 0.0 if suptitle is None else 14 * line * (suptitle.count("\n") + 1) + 0.1
    across = width / columns
    above = title * line + 0.1  # the text, and what matplotlib leaves between it and the image
    height = max(rows * across, head + rows * (above + 0.55 * across))
    down = (height - head) / rows
    side = 0.92 * min(across, down - above)
    if max(width, height) > LONGEST_SIDE or width * height > LARGEST_AREA:
        raise ValueError(
            f"{who}: expected rows, columns, size, titles and suptitle for a picture of at most "
            f"{LARGEST_AREA:,} square inches, {LONGEST_SIDE} a side, received those for "
            f"{width:,.0f} x {height:,.0f} inches. Draw several pictures, or a smaller one"
        )
    figure = plt.figure(figsize=(width, height))
    if suptitle is not None:
        figure.suptitle(suptitle, fontsize=14, y=1 - 0.05 / height, va="top", parse_math=False)
    axes = []
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        left = column * across + (across - side) / 2
        bottom = (rows - 1 - row) * down + (down - above - side) / 2
        box = (left / width, bottom / height, side / width, side / height)
        axes.append(figure.add_axes(box, xticks=[], yticks=[]))
        axes[-1].set_axis_off()
    return figure, axes


def _font_size(inches: float, texts: Iterable[str], *, largest: float) -> float:
    """The font size (points) at which the longest line of `texts` fits into `inches`."""
    longest = max((len(line) for text in texts for line in text.splitlines()), default=1)
    width = 0.6  # of a letter, for its size 1
    return min(largest, max(4.0, 72 * inches / (width * longest)))


def _epoch_ticks(n_epochs: int) -> list[int]:
    """1, then every epoch, every 5th or every 10th ... : about a dozen ticks at most."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(nbins=12, steps=[1, 5, 10], integer=True)
    ticks = [round(tick) for tick in locator.tick_values(1, n_epochs)]
    return [1, *(tick for tick in ticks if 1 < tick <= n_epochs)]


def _size(size: Any, who: str, least: float = 0.1) -> float:
    return checks.real(size, "size", who, low=least, high=100)


def _suptitle(suptitle: Any, who: str) -> str | None:
    if suptitle is None:
        return None
    if not isinstance(suptitle, str):
        raise TypeError(f"{who}: expected suptitle to be text, received {checks.shown(suptitle)}")
    return _text(suptitle, "suptitle", who)


def _class_names(class_names: Any, who: str) -> list[str]:
    names = checks.texts(class_names, "class_names", who)
    if not names:
        raise ValueError(f"{who}: expected class_names to name at least one class, received none")
    return [_text(name, "class_names", who) for name in names]


def _text(text: str, name: str, who: str) -> str:
    """`text` without the characters that no font can draw: tabs, halves of surrogate pairs."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"{who}: expected {name} to have at most {LONGEST_TEXT:,} letters, received "
            f"{len(text):,}"
        )
    lines = text.encode("utf-8", "replace").decode("utf-8").split("\n")
    return "\n".join(one_line(line) for line in lines)


def _drawable(values: NDArray[Any]) -> NDArray[Any]:
    """The numbers of a curve, with nan, which is not drawn, for those that are too large."""
    with np.errstate(over="ignore"):  # of a long double
        values = values.astype(np.float64)
    return np.where(np.abs(values) <= LARGEST_NUMBER, values, np.nan)


def _is_text(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and any(isinstance(v, str) for v in values)


def _expect_values(curves: Mapping[str, NDArray[Any]], name: str, count: int, who: str) -> None:
    """Refuse a curve that is not `count` numbers; one that is not there is fine."""
    if name in curves and curves[name].shape != (count,):
        raise ValueError(
            f"{who}, in history: expected {count} values of {checks.shown(name)}, received "
            f"shape {curves[name].shape}. Where fit() was given a validation_freq, pass the same "
            "one here"
        )


def _images(images: Any, who: str) -> NDArray[Any]:
    """`images` as an array of shape (N, H, W), or (N, H, W, 3) for colour."""
    array = checks.numeric(images, "images", who)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    is_color = array.ndim == 4 and array.shape[-1] == 3
    if not (array.ndim == 3 or is_color) or 0 in array.shape:
        raise ValueError(
            f"{who}: expected images of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3), "
            f"received {array.shape}. For a single image pass image[None]"
        )
    return array


def _pixels(shown: NDArray[Any], who: str) -> NDArray[Any]:
    """The images as matplotlib draws them right. Raises ValueError for colours out of range."""
    checks.finite(shown, "images", who, dtype=np.float64)
    if shown.ndim == 3:  # gray, of any range
        if shown.dtype.kind != "f":
            return shown
        shown = shown.astype(np.float64)
        return shown / 4 if np.abs(shown).max() > LARGEST_NUMBER else shown

    if shown.dtype.kind == "b":
        shown = shown.astype(np.float32)
    whole = shown.dtype.kind != "f"
    low, high = shown.min(), shown.max()
    # Arithmetic in the images' own type may have gone beyond the ends by its rounding.
    slack = 0 if whole else 4 * max(np.finfo(shown.dtype).eps, np.finfo(np.float64).eps)
    if low < -slack or high > (255 if whole else 1 + slack):
        expected = "whole numbers to be from 0 to 255" if whole else "floats to be in [0, 1]"
        way = "images / 255" if low >= 0 and high <= 255 else "images / images.max()"
        if low < 0:
            way = "(images - images.min()) / (images.max() - images.min())"
        raise ValueError(
            f"{who}: expected colour images of {expected}, received numbers from {low} to {high}. "
            f"Scale them to [0, 1]: {way}"
        )
    return shown if whole else np.clip(shown, 0, 1).astype(np.float32)


def _color(color: Any, who: str) -> Any:
    """`color`, if matplotlib knows it."""
    from matplotlib.colors import is_color_like

    if not is_color_like(color):
        raise ValueError(
            f"{who}: expected colors such as 'green' or '#00aa00', received {checks.shown(color)}"
        )
    return color


def _class_indices(values: Any, name: str, class_names: Sequence[str], who: str) -> NDArray[Any]:
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

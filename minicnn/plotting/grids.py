"""Grids of images, each under its title."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.layers.base import Layer
from minicnn.layers.contents import layers_inside
from minicnn.layers.randomness import RandomLayer
from minicnn.models import Sequential
from minicnn.plotting import arguments

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RIGHT, _WRONG = "green", "red"

MOST_CELLS = 2_500
LARGEST_AREA = 10_000  # square inches: 100 million pixels as matplotlib saves it
LONGEST_SIDE = 650  # inches; matplotlib draws fewer than 2**16 pixels


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
        `columns`, `size` or a text beyond the limits that stand in `minicnn.plotting`.
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
    rows, columns = _shape(rows, columns, who)
    size = arguments.size(size, who)
    suptitle = arguments.suptitle(suptitle, who)
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
    texts = [
        arguments.text(title, "titles", who) for title in given.get("titles", [])[: len(shown)]
    ]
    inks = [_color(color, who) for color in given.get("colors", [])[: len(shown)]]
    font_size = arguments.font_size(size / columns, texts, largest=12)

    lines = max((text.count("\n") + 1 for text in texts), default=0)
    figure, axes = cells(rows, columns, size, lines * font_size, suptitle, who)
    for axis, image in zip(axes, shown, strict=False):
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    headings = [
        axis.set_title(text, fontsize=font_size, parse_math=False)
        for axis, text in zip(axes, texts, strict=False)
    ]
    for heading, color in zip(headings, inks, strict=False):
        heading.set_color(color)
    return figure


def _shape(rows: Any, columns: Any, who: str) -> tuple[int, int]:
    rows = checks.integer(rows, "rows", who, minimum=1, maximum=MOST_CELLS)
    columns = checks.integer(columns, "columns", who, minimum=1, maximum=MOST_CELLS)
    if rows * columns > MOST_CELLS:
        raise ValueError(
            f"{who}: expected rows * columns to be at most {MOST_CELLS:,} cells, received "
            f"{rows} * {columns}. Draw several pictures"
        )
    return rows, columns


def augmentation_grid(
    layer: Any,
    image: Any,
    *,
    rows: int = 3,
    columns: int = 6,
    seed: int | None = None,
    size: float = 10,
    suptitle: str | None = None,
) -> Figure:
    """Draw an image and, beside it, what a layer makes of it in training, time after time.

    Parameters
    ----------
    layer : Layer or Sequential
        Such as ``RandomRotation(0.1)``, or a model of several of them. A copy of it is used.
    image : array of shape (H, W), (H, W, 1) or (H, W, 3)
        Gray of any range, or colours: whole numbers from 0 to 255, or floats in [0, 1]. Colours
        that a layer takes out of their range are drawn as the nearest within.
    rows, columns : int
        The cells of the grid: the first is the image itself.
    seed : int, optional
        Draws the same variants each time, of all layers too that have a seed; None shows those
        that the layer draws next.
    size, suptitle
        As in `image_grid`.

    Raises
    ------
    ValueError, TypeError
        As `image_grid`; a layer that is none, or whose outputs are no images.
    """
    who = "augmentation_grid"
    if not isinstance(layer, (Layer, Sequential)):
        raise TypeError(
            f"{who}: expected layer to be a layer such as RandomFlip() or a Sequential, received "
            f"{checks.shown(layer)}"
        )
    rows, columns = _shape(rows, columns, who)
    seed = checks.seed(seed, "seed", who)
    size = arguments.size(size, who)
    suptitle = arguments.suptitle(suptitle, who)
    array = checks.numeric(image, "image", who)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise ValueError(
            f"{who}: expected image of shape (H, W), (H, W, 1) or (H, W, 3), received {array.shape}"
        )
    checks.finite(array, "image", who, dtype=np.float64)
    array = array[..., None] if array.ndim == 2 else array
    original = _pixels(_images(array[None], who), who)

    twin = copy.deepcopy(layer)
    if seed is not None:
        leaves = twin.leaves if isinstance(twin, Sequential) else [twin]
        inside = [one for leaf in leaves for one in layers_inside(leaf)]
        random = [one for one in inside if isinstance(one, RandomLayer)]
        for k, one in enumerate(random):
            one.restart(seed + k)
    shown = [*original]
    for _ in range(rows * columns - 1):  # a step each: some layers draw once for a whole batch
        variant = _images(twin(array[None], training=True), who)
        if variant.ndim == 4:
            variant = np.clip(variant / (1 if array.dtype.kind == "f" else 255), 0, 1)
        shown += [*_pixels(variant, who)]
    low, high = min(one.min() for one in shown), max(one.max() for one in shown)
    titles = ["original", *[""] * (len(shown) - 1)]
    font_size = arguments.font_size(size / columns, titles, largest=12)
    figure, axes = cells(rows, columns, size, font_size, suptitle, who)
    for axis, one, title in zip(axes, shown, titles, strict=True):
        axis.imshow(one, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(title, fontsize=font_size)
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
    names = arguments.class_names(class_names, who)
    actual = arguments.class_indices(y_true, "y_true", names, who)
    predicted = arguments.class_indices(y_pred, "y_pred", names, who)
    images = _images(images, who)
    checks.same_length({"images": images, "y_true": actual, "y_pred": predicted}, who)

    pairs = list(zip(actual.tolist(), predicted.tolist(), strict=True))
    titles = [f"A: {names[a]}\nP: {names[p]}" for a, p in pairs]
    colors = [_RIGHT if a == p else _WRONG for a, p in pairs]
    return _image_grid(images, titles, rows, columns, size, colors, suptitle, who)


def cells(
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
        return shown / 4 if np.abs(shown).max() > arguments.LARGEST_NUMBER else shown

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

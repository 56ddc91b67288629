"""Grids of numbers on a blank sheet: what the pictures of layers at work are drawn with.

A sheet is one matplotlib Axes that covers its figure, with inches as coordinates and y downwards,
so that every cell's place and every letter's size are known beforehand. A scene draws itself on
a sheet, once for the figure, and once for each frame where `animate` shows it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.plotting import arguments

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Array = NDArray[Any]

BLUE, ORANGE = "#2166ac", "#d95f02"  # below 0 and above: as on the page of `explain`
MARK = "#7b3294"  # the frame around what belongs together: neither of the two
SOFT = "#57606a"
RIM = "#b9bfc6"  # between cells
SMALLEST = 5.0  # points: smaller numbers cannot be read, and are left out
MARGIN = 0.15  # inches around everything
LINE = 1.3 / 72  # inches from line to line, for letters of one point


class Box(NamedTuple):
    """Where a grid lies: its top left corner, the side of a cell (inches), rows and columns."""

    left: float
    top: float
    cell: float
    rows: int
    columns: int

    @property
    def right(self) -> float:
        return self.left + self.cell * self.columns

    @property
    def bottom(self) -> float:
        return self.top + self.cell * self.rows


@dataclass
class Scene:
    """A picture with something that moves.

    Attributes
    ----------
    draw : (sheet, k, growing) -> None
        Draws frame k; while it is `growing`, only what is known by then, as in a film.
    frames : int
    width, height : float
        Inches.
    """

    draw: Callable[[Sheet, int, bool], None]
    frames: int
    width: float
    height: float
    suptitle: str | None = None

    @property
    def head(self) -> float:
        """Inches above the picture, for the suptitle."""
        return 0.0 if self.suptitle is None else 14 * LINE * (self.suptitle.count("\n") + 1) + 0.1


SCENES: weakref.WeakKeyDictionary[Any, Scene] = weakref.WeakKeyDictionary()  # by their figures


class Sheet:
    """Draws on the Axes of one figure."""

    def __init__(self, figure: Figure, scene: Scene) -> None:
        self.scene = scene
        self.axis: Axes = figure.add_axes((0, 0, 1, 1))

    def show(self, k: int, *, growing: bool) -> None:
        """Draw frame k of the scene on the blank sheet."""
        scene = self.scene
        self.axis.clear()
        self.axis.set(xlim=(0, scene.width), ylim=(scene.height, -scene.head))
        self.axis.set_axis_off()
        if scene.suptitle is not None:
            self.text(scene.width / 2, 0.08 - scene.head, scene.suptitle, 14, va="top")
        scene.draw(self, k, growing)

    def text(self, x: float, y: float, text: str, points: float, **options: Any) -> None:
        given = {"ha": "center", "va": "center", "color": "black", **options}
        self.axis.text(x, y, text, fontsize=points, parse_math=False, **given)

    def title(self, box: Box, text: str, points: float) -> None:
        middle = (box.left + box.right) / 2
        self.text(middle, box.top - 0.06, text, points, va="bottom", linespacing=1.2)

    def grid(
        self,
        box: Box,
        values: Array,
        colors: Colormap,
        limits: tuple[float, float],
        *,
        numbers: bool = True,
        empty: Array | None = None,
        padding: Array | None = None,
    ) -> None:
        """The numbers of `values` (rows, columns) in cells whose colours stand for them.

        `empty` cells are not known yet, those of the `padding` are hatched. A cell whose value is
        NaN gets no number.
        """
        from matplotlib.patches import Rectangle

        blank = np.zeros(values.shape, bool)
        empty, padding = (blank if one is None else one for one in (empty, padding))
        x = box.left + box.cell * np.arange(box.columns + 1)
        y = box.top + box.cell * np.arange(box.rows + 1)
        low, high = limits
        shown = np.ma.masked_array(values, empty | padding)
        rims: dict[str, Any] = {
            "edgecolors": "#b9bfc6",
            "linewidth": 0.6 if box.cell > 0.12 else 0.0,
        }
        self.axis.pcolormesh(x, y, shown, cmap=colors, vmin=low, vmax=high, **rims)
        around = Rectangle((box.left, box.top), x[-1] - x[0], y[-1] - y[0], fill=False)
        around.set(edgecolor=RIM, linewidth=0.6)
        self.axis.add_patch(around)
        for row, column in np.argwhere(empty | padding):
            corner = box.left + column * box.cell, box.top + row * box.cell
            style = {"hatch": "////"} if padding[row, column] else {}
            cell = Rectangle(corner, box.cell, box.cell, fill=False, **style)  # type: ignore[arg-type]
            cell.set(edgecolor="#d5d9de", linewidth=0.6)
            self.axis.add_patch(cell)
        texts = written(values)
        points = number_size(box.cell, [text for row in texts for text in row])
        if not numbers or points < SMALLEST:
            return
        span = (high - low) or 1.0
        for (row, column), value in np.ndenumerate(values):
            if empty[row, column] or np.isnan(value):
                continue
            ink = arguments.ink(colors((value - low) / span))
            if padding[row, column]:
                ink = SOFT
            middle = box.left + (column + 0.5) * box.cell, box.top + (row + 0.5) * box.cell
            self.text(*middle, texts[row][column], points, color=ink)

    def sign(self, box: Box, sign: str, gap: float, points: float) -> None:
        """A sign in the gap behind a grid."""
        self.text(box.right + gap / 2, (box.top + box.bottom) / 2, sign, points)

    def frame(
        self,
        box: Box,
        row: float,
        column: float,
        rows: float = 1,
        columns: float = 1,
        *,
        dashed: bool = False,
        color: str = MARK,
    ) -> None:
        """A frame around cells of a grid."""
        from matplotlib.patches import Rectangle

        corner = box.left + column * box.cell, box.top + row * box.cell
        width = min(2.6, max(1.2, 7 * box.cell))
        style = {"linestyle": (0, (2, 1.5)), "linewidth": 0.7 * width} if dashed else {}
        shape = columns * box.cell, rows * box.cell
        patch = Rectangle(corner, *shape, fill=False, edgecolor=color, linewidth=width, zorder=3)
        patch.set(**style)
        self.axis.add_patch(patch)

    def zoom(self, box: Box, row: float, column: float, rows: float, large: Box) -> None:
        """Lines from the right side of a window in a grid to the grid that shows it `large`."""
        x = box.left + column * box.cell
        for y, target in ((row, large.top), (row + rows, large.bottom)):
            ends = [box.top + y * box.cell, target]
            self.axis.plot([x, large.left], ends, color=MARK, linewidth=0.8, alpha=0.6, zorder=2)

    def shade(self, box: Box, cells: Array) -> None:
        """A colour over these cells of a grid, which leaves what is below visible."""
        from matplotlib.colors import ListedColormap

        x = box.left + box.cell * np.arange(box.columns + 1)
        y = box.top + box.cell * np.arange(box.rows + 1)
        shown = np.ma.masked_array(np.ones(cells.shape), ~cells)
        self.axis.pcolormesh(x, y, shown, cmap=ListedColormap([MARK]), alpha=0.4, zorder=2)

    def sheets(
        self,
        values: Array,
        left: float,
        top: float,
        side: float,
        fan: float,
        shown: int,
        **how: Any,
    ) -> None:
        """The first channels of `values` (H, W, C) as sheets one before the other: a volume.

        The first is behind, at the top right. A sheet is `side` inches high or wide, and all of
        them reach over `fan` inches more.
        """
        H, W, C = values.shape
        cell = side / max(H, W)
        step = fan / max(C - 1, 1)
        for k in range(shown):
            x = left + fan - k * step + cell * np.arange(W + 1)
            y = top + k * step + (side - H * cell) / 2 + cell * np.arange(H + 1)
            order = 2 + k / C
            self.axis.pcolormesh(x, y, values[:, :, k], zorder=order, **how)
            rim = x[[0, -1, -1, 0, 0]], y[[0, 0, -1, -1, 0]]
            self.axis.plot(*rim, color=SOFT, linewidth=0.6, zorder=order)


def figure_of(scene: Scene, at: int) -> Figure:
    """A new figure with frame `at` of the scene, which `animate` finds again."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(scene.width, scene.height + scene.head))
    Sheet(figure, scene).show(at, growing=False)
    SCENES[figure] = scene
    return figure


def signed_colors() -> Colormap:
    """Blue below 0, white at 0, orange above; small numbers stay visible beside large ones."""
    from matplotlib.colors import ListedColormap, to_rgb

    place = np.linspace(-1, 1, 511)[:, None]
    ends = np.where(place < 0, to_rgb(BLUE), to_rgb(ORANGE))
    return ListedColormap(1 + (ends - 1) * np.abs(place) ** 0.7, "blue_white_orange")


def scale(values: Array, *, image: bool = False) -> tuple[Colormap, tuple[float, float]]:
    """The colours for `values`, and the numbers at both ends of them.

    An image without negative numbers is gray, with 0 in black; all else has 0 in white.
    """
    from matplotlib import colormaps

    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if image and low >= 0:
        return colormaps["gray"], (0.0, high or 1.0)
    largest = max(-low, high) or 1.0
    return signed_colors(), (-largest, largest)


def number(value: float, largest: float = 0.0) -> str:
    """`value` in as few digits as tell it from others; beside a `largest` one, "0.00" if small.

    >>> [number(value) for value in (3.0, -0.5, 1 / 3, 123.456, 0.0004, 1e9)]
    ['3', '-0.5', '0.33', '123', '4e-04', '1e+09']
    >>> number(0.0004, largest=3.0), number(0.0)
    ('0.00', '0')
    """
    size = abs(value)
    if 0 < size < 0.005 and largest >= 0.05:
        return "0.00"
    if size >= 1e5 or 0 < size < 0.005:
        return f"{value:.0e}"
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2
    text = f"{value + 0.0:.{decimals}f}"  # without the sign of a negative zero
    return text.rstrip("0").rstrip(".") if decimals else text


def written(values: Array) -> list[list[str]]:
    """The numbers of (rows, columns) as they stand in the cells."""
    largest = float(np.nanmax(np.abs(values), initial=0))
    return [[number(value, largest) for value in row] for row in values.tolist()]


def number_size(cell: float, texts: list[str]) -> float:
    """Points at which all of `texts` fit into cells of `cell` inches."""
    longest = max(3, max(map(len, texts), default=1))
    return min(13.0, 0.45 * 72 * cell, 0.86 * 72 * cell / (0.62 * longest))

"""Pictures of one layer at work, every number worked out by the layer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.layers import Activation, AveragePooling2D, Conv2D, Layer, MaxPooling2D
from minicnn.layers.activations import Elementwise
from minicnn.layers.windows import Windows, im2col, reach
from minicnn.plotting import arguments
from minicnn.plotting.sheet import (
    LINE,
    MARGIN,
    MARK,
    ORANGE,
    RIM,
    Box,
    Scene,
    Sheet,
    figure_of,
    number,
    scale,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

MOST_CELLS = 2_500  # of an image
MOST_CHANNELS = 4  # of an image whose numbers are written out
LARGEST_WINDOW = 11
POOLINGS: dict[str, Any] = {"average": AveragePooling2D, "max": MaxPooling2D}


def draw_convolution(
    image: Any,
    kernel: Any,
    *,
    bias: float = 0.0,
    strides: int | tuple[int, int] = 1,
    padding: str = "valid",
    dilation_rate: int | tuple[int, int] = 1,
    at: tuple[int, int] = (0, 0),
    size: float = 10,
    suptitle: str | None = None,
) -> Figure:
    """Draw how a convolution works out one cell: window, kernel, products, their sum.

    A dashed frame shows where the next window lies; hatched cells are padding. `animate` of the
    figure slides the window over the whole image. Numbers too small to read are left out.

    Parameters
    ----------
    image : array of shape (H_in, W_in) or (H_in, W_in, C_in)
        At most 2,500 cells and 4 channels.
    kernel : array of shape (K_h, K_w) or (K_h, K_w, C_in)
        One filter, at most 11 x 11; of a layer, ``layer.get_weights()[0][..., k]``.
    bias : float
        b, which is added to each sum.
    strides, padding, dilation_rate
        As those of `Conv2D`, which works out the numbers, in float64.
    at : (int, int)
        Row and column of the cell of z; from the end if negative.
    size : float
        Width of the figure in inches, 2 to 100.
    suptitle : str, optional
        Over the whole picture.

    Raises
    ------
    ValueError
        An image or a kernel of another shape, with other channels, beyond the limits above, or
        with NaN or infinity; a window that does not fit; `at` outside of z; what `Conv2D` refuses.
    TypeError
        No arrays of numbers; arguments of the wrong type.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> image = np.arange(36).reshape(6, 6)
    >>> figure = draw_convolution(image, [[1, 0], [0, -1]], strides=2, at=(1, 2))
    >>> plt.close(figure)
    """
    who = "draw_convolution"
    size, suptitle = arguments.size(size, who, least=2), arguments.suptitle(suptitle, who)
    x = numbers_of(image, "image", who, MOST_CHANNELS)
    W = _kernel(kernel, x.shape[2], who)
    b = checks.real(bias, "bias", who)
    layer = convolution(W[..., None], np.array([b]), strides, padding, dilation_rate)
    with np.errstate(all="ignore"):
        z = layer.forward(x[None])[0, :, :, 0]
        win = layer.windows(x[None].shape)
        windows = im2col(x[None], win).reshape(*z.shape, win.K_h, win.K_w, -1)
        products = windows * W
    checks.finite(z, "image * kernel", who)
    chosen = arguments.cell(at, z.shape, who)

    padded, outside = _padded(x, win)
    C = x.shape[2]
    points = _points(size)
    large, small, gap, left = _sides(size, padded.shape[1] + z.shape[1], 3 * win.K_w, 4)
    title = 2 * points * LINE + 0.2
    tall = max(padded.shape[0] * large, win.K_h * small)
    height = MARGIN + C * (tall + title) + _formula_band(points)
    rows = []  # of each channel: image, window, kernel, products
    for c in range(C):
        middle = MARGIN + title + c * (tall + title) + tall / 2
        rows.append([_centred(left, middle, large, *padded.shape[:2])])
        for _ in range(3):
            rows[-1].append(_centred(rows[-1][-1].right + gap, middle, small, win.K_h, win.K_w))
    middle = MARGIN + title + (C * (tall + title) - title) / 2
    z_box = _centred(rows[0][-1].right + gap, middle, large, *z.shape)
    of_x, of_W, of_products, of_z = scale(x, image=True), scale(W), scale(products), scale(z)

    def draw(sheet: Sheet, k: int, growing: bool) -> None:
        i, j = divmod(k, z.shape[1])
        in_padding = outside[_cells(win, i, j)]
        for c, (image_box, window, kernel_box, product) in enumerate(rows):
            channel = "" if C == 1 else f"[:, :, {c}]"
            sheet.title(image_box, f"x{channel}\n{x.shape[0]} x {x.shape[1]}", points)
            sheet.grid(image_box, padded[:, :, c], *of_x, padding=outside)
            _window_on(sheet, image_box, window, win, (i, j), None if growing else z.shape)
            sheet.title(window, "window", points)
            sheet.grid(window, windows[i, j, :, :, c], *of_x, padding=in_padding)
            sheet.frame(window, 0, 0, win.K_h, win.K_w)
            sheet.title(kernel_box, f"W{channel}\n{win.K_h} x {win.K_w}", points)
            sheet.grid(kernel_box, W[:, :, c], *of_W)
            sheet.title(product, "products", points)
            sheet.grid(product, products[i, j, :, :, c], *of_products)
            sheet.sign(window, "×", gap, 1.4 * points)
            sheet.sign(kernel_box, "=", gap, 1.4 * points)
        sheet.text(z_box.left - gap / 2, middle, "Σ", 1.4 * points)
        _output(sheet, z_box, "z", z, of_z, k, growing, points)
        total = f"sum of {products[i, j].size} products + b = {number(products[i, j].sum())}"
        added = f"{'-' if b < 0 else '+'} {number(abs(b))} = {number(z[i, j])}"
        _formula(sheet, f"z[{i}, {j}] = {total} {added}", points)

    scene = Scene(draw, z.size, size, height, suptitle)
    return figure_of(scene, chosen)


def draw_pooling(
    image: Any,
    kind: str = "max",
    *,
    pool_size: int | tuple[int, int] = 2,
    strides: int | tuple[int, int] | None = None,
    padding: str = "valid",
    at: tuple[int, int] = (0, 0),
    size: float = 8,
    suptitle: str | None = None,
) -> Figure:
    """Draw how a pooling works out one cell: the window, and its largest number or its mean.

    `animate` of the figure slides the window over the whole image.

    Parameters
    ----------
    image : array of shape (H_in, W_in) or (H_in, W_in, 1)
        At most 2,500 cells.
    kind : "max" or "average"
        `MaxPooling2D` or `AveragePooling2D`, which works out the numbers, in float64.
    pool_size, strides, padding
        As those of that layer; windows at most 11 x 11.
    at, size, suptitle
        As in `draw_convolution`.

    Raises
    ------
    ValueError, TypeError
        As `draw_convolution`; another word for `kind`.
    """
    who = "draw_pooling"
    size, suptitle = arguments.size(size, who, least=2), arguments.suptitle(suptitle, who)
    x = numbers_of(image, "image", who, 1)
    make = checks.lookup(kind, POOLINGS, "kind", who)
    layer = make(pool_size, strides, padding, dtype="float64")
    if max(layer.pool_size) > LARGEST_WINDOW:
        raise ValueError(
            f"{who}: expected pool_size of at most {LARGEST_WINDOW} x {LARGEST_WINDOW}, received "
            f"{checks.shown(pool_size)}. A larger window cannot be read"
        )
    with np.errstate(all="ignore"):
        y = layer.forward(x[None])[0, :, :, 0]
    checks.finite(y, "the means of image", who)
    win = layer.windows(x[None].shape)
    chosen = arguments.cell(at, y.shape, who)
    padded, outside = _padded(x, win)
    values = np.where(outside, np.nan, padded[:, :, 0])  # padding counts for nothing
    points = _points(size)
    large, small, gap, left = _sides(size, values.shape[1] + y.shape[1], win.K_w, 2)
    title = 2 * points * LINE + 0.1
    tall = max(values.shape[0] * large, win.K_h * small)
    height = MARGIN + title + tall + _formula_band(points)
    middle = MARGIN + title + tall / 2
    image_box = _centred(left, middle, large, *values.shape)
    window = _centred(image_box.right + gap, middle, small, win.K_h, win.K_w)
    y_box = _centred(window.right + gap, middle, large, *y.shape)
    colors = scale(x, image=True)

    def draw(sheet: Sheet, k: int, growing: bool) -> None:
        i, j = divmod(k, y.shape[1])
        cells = _cells(win, i, j)
        sheet.title(image_box, f"x\n{x.shape[0]} x {x.shape[1]}", points)
        sheet.grid(image_box, values, *colors, padding=outside)
        _window_on(sheet, image_box, window, win, (i, j), None if growing else y.shape)
        sheet.title(window, "window", points)
        sheet.grid(window, values[cells], *colors, padding=outside[cells])
        sheet.frame(window, 0, 0, win.K_h, win.K_w)
        inside = values[cells][~outside[cells]]
        words = f"largest of {inside.size}"
        if make is AveragePooling2D:
            words = f"mean of {inside.size} = {number(inside.sum())} / {inside.size}"
        else:
            sheet.frame(window, *_winner(layer, x, y.shape, (i, j), win), color=ORANGE)
        sheet.sign(window, "→", gap, 1.4 * points)
        _output(sheet, y_box, "y", y, colors, k, growing, points)
        _formula(sheet, f"y[{i}, {j}] = {words} = {number(y[i, j])}", points)

    return figure_of(Scene(draw, y.size, size, height, suptitle), chosen)


def draw_activation(
    image: Any,
    activation: Any = "relu",
    *,
    at: tuple[int, int] = (0, 0),
    size: float = 8,
    suptitle: str | None = None,
) -> Figure:
    """Draw what an activation makes of each number, beside its curve.

    `animate` of the figure goes from cell to cell.

    Parameters
    ----------
    image : array of shape (H_in, W_in) or (H_in, W_in, 1)
        Such as the z of a convolution, with both signs; at most 2,500 cells.
    activation : str or Layer
        One that maps each number by itself: "relu", "sigmoid", `LeakyReLU()`. It works out the
        numbers, in float64.
    at, size, suptitle
        As in `draw_convolution`.

    Raises
    ------
    ValueError, TypeError
        As `draw_convolution`; an activation that is unknown, or that mixes numbers, as softmax.
    """
    who = "draw_activation"
    size, suptitle = arguments.size(size, who, least=2), arguments.suptitle(suptitle, who)
    x = numbers_of(image, "image", who, 1)
    layer = Activation(activation, dtype="float64")
    if not isinstance(layer.activation, Elementwise):
        raise ValueError(
            f"{who}: expected activation to map each number by itself, as 'relu' does, received "
            f"{checks.shown(activation)}"
        )
    name = activation if isinstance(activation, str) else type(layer.activation).__name__
    reached = 1.15 * max(1.0, float(np.abs(x).max()))
    places = np.linspace(-reached, reached, 241)
    y = layer.forward(x[None])[0, :, :, 0]
    curve = layer.forward(places[None])[0]
    if not (np.isfinite(y).all() and np.isfinite(curve).all()):
        raise ValueError(
            f"{who}: expected {name} of the image's numbers to be finite, and some are not. Scale "
            "the image, e.g. image / 255"
        )
    x = x[:, :, 0]
    chosen = arguments.cell(at, x.shape, who)
    points = _points(size)
    graph, gap = 0.3 * size, 0.035 * size + 0.1
    large = min((size - graph - 2 * gap - 2 * MARGIN) / (2 * x.shape[1]), 0.09 * size)
    left = (size - 2 * large * x.shape[1] - graph - 2 * gap) / 2
    title = 2 * points * LINE + 0.1
    tall = max(large * x.shape[0], graph)
    middle = MARGIN + title + tall / 2
    height = MARGIN + title + tall + _formula_band(points)
    x_box = _centred(left, middle, large, *x.shape)
    graph_box = _centred(x_box.right + gap, middle, graph, 1, 1)
    y_box = _centred(graph_box.right + gap, middle, large, *x.shape)
    colors = scale(np.stack([x, y]))
    low, high = min(0.0, float(curve.min())), max(1e-9, float(curve.max()))

    def on_graph(a: Any, b: Any) -> tuple[Any, Any]:
        across = graph_box.left + graph * (a + reached) / (2 * reached)
        return across, graph_box.bottom - graph * (0.05 + 0.9 * (b - low) / (high - low))

    def draw(sheet: Sheet, k: int, growing: bool) -> None:
        i, j = divmod(k, x.shape[1])
        sheet.title(x_box, f"x\n{x.shape[0]} x {x.shape[1]}", points)
        sheet.grid(x_box, x, *colors)
        sheet.frame(x_box, i, j)
        sheet.title(graph_box, f"y = {name}(x)", points)
        sheet.frame(graph_box, 0, 0, color="#d5d9de")
        axes = [on_graph(np.array([-reached, reached]), 0.0), on_graph(0.0, np.array([low, high]))]
        for across, up in axes:
            across, up = np.broadcast_arrays(across, up)
            sheet.axis.plot(across, up, color=RIM, linewidth=0.8)
        sheet.axis.plot(*on_graph(places, curve), color="black", linewidth=1.4)
        sheet.axis.plot(*on_graph(x.ravel(), y.ravel()), "o", color=ORANGE, markersize=3.5)
        sheet.axis.plot(*on_graph(x[i, j], y[i, j]), "o", color=MARK, markersize=8)
        _output(sheet, y_box, "y", y, colors, k, growing, points)
        _formula(sheet, f"y[{i}, {j}] = {name}({number(x[i, j])}) = {number(y[i, j])}", points)

    return figure_of(Scene(draw, x.size, size, height, suptitle), chosen)


# -- what they share ------------------------------------------------------------------------------


def numbers_of(image: Any, name: str, who: str, most_channels: int) -> Array:
    """`image` as (H, W, C) in float64, checked."""
    array = checks.numeric(image, name, who)
    shapes = "(H, W) or (H, W, 1)" if most_channels == 1 else "(H, W) or (H, W, C)"
    if array.ndim not in (2, 3) or 0 in array.shape:
        hint = " Pass one image of the batch: images[0]" if array.ndim == 4 else ""
        raise ValueError(f"{who}: expected {name} of shape {shapes}, received {array.shape}.{hint}")
    array = array[:, :, None] if array.ndim == 2 else array
    if array.shape[0] * array.shape[1] > MOST_CELLS or array.shape[2] > most_channels:
        raise ValueError(
            f"{who}: expected {name} of shape {shapes}, at most {MOST_CELLS:,} cells and "
            f"{most_channels} channel{'s' * (most_channels > 1)}, received {array.shape}. Pass a "
            f"part of it, such as {name}[:10, :10, :1]"
        )
    checks.finite(array, name, who, dtype=np.float64)
    return array.astype(np.float64)


def _kernel(kernel: Any, C_in: int, who: str) -> Array:
    array = checks.numeric(kernel, "kernel", who)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape:
        hint = " Pass one filter of it: kernel[..., 0]" if array.ndim == 4 else ""
        raise ValueError(
            f"{who}: expected kernel of shape (K_h, K_w) or (K_h, K_w, C_in), received "
            f"{array.shape}.{hint}"
        )
    if array.shape[2] != C_in:
        raise ValueError(
            f"{who}: expected kernel to have the {C_in} channel{'s' * (C_in > 1)} of image, "
            f"received shape {array.shape}"
        )
    if max(array.shape[:2]) > LARGEST_WINDOW:
        raise ValueError(
            f"{who}: expected kernel of at most {LARGEST_WINDOW} x {LARGEST_WINDOW}, received "
            f"shape {array.shape}. A larger one cannot be read"
        )
    checks.finite(array, "kernel", who, dtype=np.float64)
    return array.astype(np.float64)


def convolution(
    W: Array, b: Array, strides: Any, padding: Any, dilation_rate: Any, activation: Any = None
) -> Conv2D:
    """The layer with these weights, in float64."""
    return Conv2D(
        W.shape[3],
        W.shape[:2],
        strides,
        padding,
        dilation_rate=dilation_rate,
        activation=activation,
        kernel_initializer=W,
        bias_initializer=b,
        dtype="float64",
    )


def _padded(x: Array, win: Windows) -> tuple[Array, Array]:
    """x (H, W, C) with the padding around it that windows reach, and which cells are padding."""
    H, W, _ = x.shape
    below = max(0, (win.H_out - 1) * win.S_h + reach(win.K_h, win.D_h) - win.P_top - H)
    after = max(0, (win.W_out - 1) * win.S_w + reach(win.K_w, win.D_w) - win.P_left - W)
    around = ((win.P_top, below), (win.P_left, after))
    outside = np.pad(np.zeros((H, W), bool), around, constant_values=True)
    return np.pad(x, (*around, (0, 0))), outside


def _cells(win: Windows, i: int, j: int) -> Any:
    """Where the window of output (i, j) lies in the padded image."""
    rows = i * win.S_h + win.D_h * np.arange(win.K_h)
    return np.ix_(rows, j * win.S_w + win.D_w * np.arange(win.K_w))


def _winner(
    layer: Layer, x: Array, shape: tuple[int, ...], cell: tuple[int, int], win: Windows
) -> tuple[int, int]:
    """Which cell of its window max pooling chose: the one that its backward hands dy to."""
    dy = np.zeros((1, *shape, 1))
    dy[0, cell[0], cell[1]] = 1
    row, column = np.argwhere(layer.backward(dy)[0, :, :, 0])[0]
    top, left = cell[0] * win.S_h - win.P_top, cell[1] * win.S_w - win.P_left
    return int(row - top), int(column - left)


def _points(size: float) -> float:
    """The letters of titles."""
    return min(12.0, max(5.0, 1.5 * size))


def _formula_band(points: float) -> float:
    return 1.1 * points * LINE + 0.3


def _formula(sheet: Sheet, text: str, points: float) -> None:
    sheet.text(sheet.scene.width / 2, sheet.scene.height - _formula_band(points) / 2, text, points)


def _sides(size: float, large: int, small: int, gaps: int) -> tuple[float, float, float, float]:
    """The side of a cell of large grids and of windows, the gap between grids, the left end.

    All have one side where there is room for it; else the windows keep one that can be read.
    """
    gap = 0.035 * size + 0.1
    room = size - 2 * MARGIN - gaps * gap
    side = min(room / (large + small), 0.09 * size)
    least = min(0.045 * size, 0.4 * room / small)
    in_window = max(side, least)
    side = min(side, (room - small * in_window) / large)
    used = large * side + small * in_window + gaps * gap
    return side, in_window, gap, (size - used) / 2


def _centred(left: float, middle: float, cell: float, rows: int, columns: int) -> Box:
    return Box(left, middle - rows * cell / 2, cell, rows, columns)


def _window_on(
    sheet: Sheet,
    box: Box,
    large: Box,
    win: Windows,
    cell: tuple[int, int],
    shape: tuple[int, ...] | None,
) -> None:
    """Frames around the window on the image; a dashed one around the next, if `shape` is given."""
    i, j = cell
    k_h, k_w = reach(win.K_h, win.D_h), reach(win.K_w, win.D_w)
    top, left = i * win.S_h, j * win.S_w
    if shape is not None and (k_h, k_w) == (win.K_h, win.K_w):
        down, right = (0, win.S_w) if j + 1 < shape[1] else (win.S_h, -left)
        if top + down <= (shape[0] - 1) * win.S_h:
            sheet.frame(box, top + down, left + right, k_h, k_w, dashed=True)
    if (k_h, k_w) == (win.K_h, win.K_w):
        sheet.frame(box, top, left, k_h, k_w)
    else:
        for row, column in np.ndindex(win.K_h, win.K_w):
            sheet.frame(box, top + row * win.D_h, left + column * win.D_w)
    sheet.zoom(box, top, left + k_w, k_h, large)


def _output(
    sheet: Sheet,
    box: Box,
    name: str,
    values: Array,
    colors: Any,
    k: int,
    growing: bool,
    points: float,
) -> None:
    """What comes out, the cell k framed; while it grows, the later cells are empty."""
    later = np.arange(values.size).reshape(values.shape) > k
    sheet.title(box, f"{name}\n{values.shape[0]} x {values.shape[1]}", points)
    sheet.grid(box, values, *colors, empty=later if growing else None)
    sheet.frame(box, *divmod(k, values.shape[1]))

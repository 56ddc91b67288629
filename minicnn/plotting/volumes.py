"""Several filters make a volume: the picture of a convolution as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.plotting import arguments
from minicnn.plotting.operations import convolution, numbers_of
from minicnn.plotting.sheet import LINE, MARGIN, MARK, Box, Scene, Sheet, figure_of, scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

MOST_SHEETS = 64  # channels of the image, and filters
KERNELS_A_COLUMN = 8


def draw_volume(
    image: Any,
    kernels: Any,
    *,
    bias: Any = None,
    strides: int | tuple[int, int] = 1,
    padding: str = "valid",
    dilation_rate: int | tuple[int, int] = 1,
    activation: Any = None,
    size: float = 10,
    suptitle: str | None = None,
) -> Figure:
    """Draw how several filters make a volume: each makes one map, and the maps lie in a row.

    Every filter sees all channels of the image. `animate` of the figure adds map by map.

    Parameters
    ----------
    image : array of shape (H_in, W_in) or (H_in, W_in, C_in)
        At most 2,500 cells and 64 channels.
    kernels : array of shape (K_h, K_w, C_in, C_out)
        The filters, at most 64, as ``layer.get_weights()[0]`` has them.
    bias : array of shape (C_out,), optional
        b; zeros if not given.
    strides, padding, dilation_rate, activation
        As those of `Conv2D`, which works out the numbers, in float64.
    size : float
        Width of the figure in inches, 2 to 100.
    suptitle : str, optional
        Over the whole picture.

    Raises
    ------
    ValueError
        An image, kernels or bias of another shape, with other channels, beyond the limits above,
        or with NaN or infinity; windows that do not fit; what `Conv2D` refuses.
    TypeError
        No arrays of numbers; arguments of the wrong type.
    """
    who = "draw_volume"
    size, suptitle = arguments.size(size, who, least=2), arguments.suptitle(suptitle, who)
    x = numbers_of(image, "image", who, MOST_SHEETS)
    W = _kernels(kernels, x.shape[2], who)
    b = _bias(bias, W.shape[3], who)
    layer = convolution(W, b, strides, padding, dilation_rate, activation)
    with np.errstate(all="ignore"):
        y = layer.forward(x[None])[0]
    checks.finite(y, "image * kernels", who)
    count = W.shape[3]

    points = min(12.0, max(5.0, 1.5 * size))
    title = 2 * points * LINE + 0.1
    tall = 0.3 * size  # of the volumes
    fan_x, fan_y = (min(0.12 * size, 0.03 * size * (C - 1)) for C in (x.shape[2], y.shape[2]))
    gap = 0.06 * size
    lined = -(-count // KERNELS_A_COLUMN)  # columns of kernels
    slot = min((tall + fan_y) / min(count, KERNELS_A_COLUMN), 0.09 * size)
    used = 2 * tall + fan_x + fan_y + lined * slot + 2 * gap + 2 * MARGIN
    if used > size:
        shrink = (size - 2 * MARGIN) / (used - 2 * MARGIN)
        tall, fan_x, fan_y, gap, slot = (shrink * a for a in (tall, fan_x, fan_y, gap, slot))
        used = size
    top = MARGIN + title
    height = top + tall + max(fan_x, fan_y) + 0.15 + MARGIN
    middle = top + (tall + max(fan_x, fan_y)) / 2
    left = (size - used) / 2 + MARGIN
    kernels_left = left + tall + fan_x + gap
    y_left = kernels_left + lined * slot + gap
    of_x, of_W, of_y = scale(x, image=True), scale(W), scale(y)

    def draw(sheet: Sheet, k: int, growing: bool) -> None:
        shown = k + 1 if growing else count
        _volume(sheet, x, left, middle, tall, fan_x, of_x, x.shape[2])
        _volume(sheet, y, y_left, middle, tall, fan_y, of_y, shown)
        in_column = min(count, KERNELS_A_COLUMN)
        for f in range(count):
            i, j = f % KERNELS_A_COLUMN, f // KERNELS_A_COLUMN
            corner = kernels_left + j * slot, middle + (i - in_column / 2) * slot
            _kernel(sheet, W[:, :, :, f], corner, slot, of_W, framed=growing and f == k)
        sizes = " x ".join(map(str, x.shape))
        heads = [
            (left + (tall + fan_x) / 2, f"x\n{sizes}"),
            (
                kernels_left + lined * slot / 2,
                f"{count} filters W\n{' x '.join(map(str, W.shape[:3]))}",
            ),
            (
                y_left + (tall + fan_y) / 2,
                f"{'y' if activation else 'z'}\n{y.shape[0]} x {y.shape[1]} x {shown}",
            ),
        ]
        for across, text in heads:
            sheet.text(across, top - 0.06, text, points, va="bottom", linespacing=1.2)
        for across, sign in ((kernels_left - gap / 2, "*"), (y_left - gap / 2, "=")):
            sheet.text(across, middle, sign, 1.6 * points)

    scene = Scene(draw, count, size, height, suptitle)
    return figure_of(scene, count - 1)


def _volume(
    sheet: Sheet,
    values: Array,
    left: float,
    middle: float,
    side: float,
    fan: float,
    colors: Any,
    shown: int,
) -> None:
    of, (low, high) = colors
    top = middle - (side + fan) / 2
    sheet.sheets(values, left, top, side, fan, shown, cmap=of, vmin=low, vmax=high)


def _kernel(
    sheet: Sheet, W: Array, corner: tuple[float, float], slot: float, colors: Any, *, framed: bool
) -> None:
    """One filter (K_h, K_w, C_in) in its slot: its channels as sheets one before the other."""
    of, (low, high) = colors
    fan = 0.0 if W.shape[2] == 1 else 0.2 * slot
    side = 0.86 * slot - fan
    left, top = corner[0] + 0.07 * slot, corner[1] + 0.07 * slot
    sheet.sheets(W, left, top, side, fan, W.shape[2], cmap=of, vmin=low, vmax=high)
    if framed:
        sheet.frame(Box(*corner, slot, 1, 1), 0, 0, color=MARK)


def _kernels(kernels: Any, C_in: int, who: str) -> Array:
    array = checks.numeric(kernels, "kernels", who)
    if array.ndim != 4 or 0 in array.shape:
        hint = " One filter: kernel[..., None]" if array.ndim == 3 else ""
        raise ValueError(
            f"{who}: expected kernels of shape (K_h, K_w, C_in, C_out), received {array.shape}."
            f"{hint}"
        )
    if array.shape[2] != C_in:
        raise ValueError(
            f"{who}: expected kernels for the {C_in} channel{'s' * (C_in > 1)} of image, received "
            f"shape {array.shape}"
        )
    if array.shape[3] > MOST_SHEETS or array.size > 100_000:
        raise ValueError(
            f"{who}: expected at most {MOST_SHEETS} kernels with 100,000 numbers in all, received "
            f"shape {array.shape}. Pass some of them: kernels[..., :8]"
        )
    checks.finite(array, "kernels", who, dtype=np.float64)
    return array.astype(np.float64)


def _bias(bias: Any, C_out: int, who: str) -> Array:
    if bias is None:
        return np.zeros(C_out)
    array = checks.numeric(bias, "bias", who)
    if array.shape != (C_out,):
        raise ValueError(
            f"{who}: expected bias of shape ({C_out},), one number for each of kernels, received "
            f"{array.shape}"
        )
    checks.finite(array, "bias", who, dtype=np.float64)
    return array.astype(np.float64)

"""Where the windows of a convolution or a pooling lie, along height and along width.

valid   windows lie wholly inside:   out = floor((n - k) / s) + 1
same    out = ceil(n / s); padding   total = max(0, (out - 1) * s + k - n),
        half of it before the image, the odd cell after it

A dilated window has gaps: its K cells lie d apart and reach over k = (K - 1) * d + 1 of the image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn import checks, kernels
from minicnn.layers.base import Array, Shape, image_shape

PADDINGS = ("valid", "same")


class Windows(NamedTuple):
    """K_h x K_w windows, S_h and S_w apart, the first P_top and P_left outside the image.

    The cells of a window are D_h rows and D_w columns apart.
    """

    K_h: int
    K_w: int
    S_h: int
    S_w: int
    P_top: int
    P_left: int
    D_h: int
    D_w: int
    H_out: int
    W_out: int

    @property
    def steps(self) -> tuple[int, int, int, int, int, int]:
        """S_h, S_w, P_top, P_left, D_h, D_w: what the kernels cannot read off the arrays."""
        return self[2:8]


def along(n: int, k: int, s: int, padding: str) -> tuple[int, int]:
    """Windows along one axis, and cells of padding before it.

    >>> along(28, 3, 1, "valid"), along(28, 3, 1, "same"), along(28, 3, 2, "same")
    ((26, 0), (28, 1), (14, 0))
    """
    if padding == "valid":
        return (n - k) // s + 1, 0
    out = -(-n // s)
    total = max(0, (out - 1) * s + k - n)
    return out, total // 2


def windows(
    input_shape: Shape,
    window: tuple[int, int],
    strides: tuple[int, int],
    padding: str,
    who: str,
    dilation: tuple[int, int] = (1, 1),
) -> Windows:
    """The windows on a batch of `input_shape`; ValueError where not even one fits."""
    H_in, W_in, _ = image_shape(input_shape, who)
    (K_h, K_w), (S_h, S_w), (D_h, D_w) = window, strides, dilation
    k_h, k_w = reach(K_h, D_h), reach(K_w, D_w)
    if padding == "valid" and (k_h > H_in or k_w > W_in):
        gaps = "" if dilation == (1, 1) else f" ({K_h}x{K_w} cells, dilation_rate={dilation})"
        raise ValueError(
            f"{who}: expected windows that fit into the image under padding='valid', received "
            f"{k_h}x{k_w} windows{gaps} on {H_in}x{W_in} cells. Computed output size would be "
            "zero or negative: use padding='same' or smaller windows"
        )
    H_out, P_top = along(H_in, k_h, S_h, padding)
    W_out, P_left = along(W_in, k_w, S_w, padding)
    return Windows(K_h, K_w, S_h, S_w, P_top, P_left, D_h, D_w, H_out, W_out)


def reach(K: int, d: int) -> int:
    """Cells from the first to the last of a window of K cells that are d apart.

    >>> reach(3, 1), reach(3, 2), reach(1, 5)
    (3, 5, 1)
    """
    return (K - 1) * d + 1


def im2col(x: Array, win: Windows) -> Array:
    """Every window of x (N, H_in, W_in, C) as a row: (N*H_out*W_out, K_h*K_w, C).

    Cells in the padding are 0.
    """
    N, _, _, C = x.shape
    cols: Array = np.empty((N, win.H_out, win.W_out, win.K_h, win.K_w, C), x.dtype)
    kernels.im2col(x, *win.steps, cols)
    return cols.reshape(-1, win.K_h * win.K_w, C)


def col2im(cols: Array, win: Windows, shape: Shape) -> Array:
    """Transpose of `im2col`: an image of `shape`, each cell the sum of its part in all windows."""
    N, _, _, C = shape
    image: Array = np.empty(shape, cols.dtype)
    cols = cols.reshape(N, win.H_out, win.W_out, win.K_h, win.K_w, C)
    kernels.col2im(cols, *win.steps, image)
    return image


def checked_padding(padding: object, name: str, who: str) -> str:
    """ "valid" or "same", in any case."""
    return checks.one_of(padding, PADDINGS, name, who)

"""Where the windows of a convolution or a pooling lie, along height and along width.

valid   windows lie wholly inside:   out = floor((n - k) / s) + 1
same    out = ceil(n / s); padding   total = max(0, (out - 1) * s + k - n),
        half of it before the image, the odd cell after it
"""

from __future__ import annotations

from typing import NamedTuple

from minicnn import checks
from minicnn.layers.base import Shape, image_shape

PADDINGS = ("valid", "same")


class Windows(NamedTuple):
    """K_h x K_w windows, S_h and S_w apart, the first P_top and P_left outside the image."""

    K_h: int
    K_w: int
    S_h: int
    S_w: int
    P_top: int
    P_left: int
    H_out: int
    W_out: int


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
) -> Windows:
    """The windows on a batch of `input_shape`; ValueError where not even one fits."""
    H_in, W_in, _ = image_shape(input_shape, who)
    (K_h, K_w), (S_h, S_w) = window, strides
    if padding == "valid" and (K_h > H_in or K_w > W_in):
        raise ValueError(
            f"{who}: expected windows that fit into the image under padding='valid', received "
            f"{K_h}x{K_w} windows on {H_in}x{W_in} cells. Computed output size would be zero or "
            "negative: use padding='same' or smaller windows"
        )
    H_out, P_top = along(H_in, K_h, S_h, padding)
    W_out, P_left = along(W_in, K_w, S_w, padding)
    return Windows(K_h, K_w, S_h, S_w, P_top, P_left, H_out, W_out)


def checked_padding(padding: object, name: str, who: str) -> str:
    """ "valid" or "same", in any case."""
    return checks.one_of(padding, PADDINGS, name, who)

"""Pictures of another size, as TensorFlow's `tf.image.resize` makes them, not smoothed first.

Every method is a mix of rows and of columns by a matrix (`layers/resizing.py` has nearest and
bilinear). Output pixel i lies at (i + 1/2) * in / out - 1/2, and takes the pixels around that place
by the method's weight of their distance, made to sum to 1:

    bicubic         R. Keys, 1981, with a = -1/2; 2 pixels on either side
    mitchellcubic   D. Mitchell, A. Netravali, 1988; 2 pixels
    lanczos3, 5     sinc(d) sinc(d / 3); 3 pixels, or 5
    gaussian        exp(-2 d^2); 1.5 pixels
    area            what output pixel i covers of each, from i * in / out to (i + 1) * in / out
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.layers import resizing

Array = NDArray[Any]


def _bicubic(d: Array) -> Array:
    near, far = (1.5 * d - 2.5) * d * d + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


def _mitchell(d: Array) -> Array:
    near = ((7 * d - 12) * d * d + 16 / 3) / 6
    far = (((-7 / 3 * d + 12) * d - 20) * d + 32 / 3) / 6
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


def _lanczos(d: Array, radius: int) -> Array:
    return np.where(d <= radius, np.sinc(d) * np.sinc(d / radius), 0.0)


def _gaussian(d: Array) -> Array:
    return np.where(d < 1.5, np.exp(-2 * d * d), 0.0)


WEIGHTS = {
    "bicubic": _bicubic,
    "mitchellcubic": _mitchell,
    "lanczos3": lambda d: _lanczos(d, 3),
    "lanczos5": lambda d: _lanczos(d, 5),
    "gaussian": _gaussian,
}
INTERPOLATIONS = ("bilinear", "nearest", "area", *WEIGHTS)


def mixing(n_in: int, n_out: int, interpolation: str) -> Array:
    """The matrix (n_out, n_in) whose row i says what output row i takes of each input row."""
    if interpolation in ("bilinear", "nearest"):
        return resizing.mixing(n_in, n_out, interpolation)
    i = np.arange(n_out)[:, None]
    j = np.arange(n_in)
    if interpolation == "area":
        start, end = i * n_in / n_out, (i + 1) * n_in / n_out
        A = np.maximum(np.minimum(end, j + 1) - np.maximum(start, j), 0.0)
    else:
        A = WEIGHTS[interpolation](np.abs((i + 0.5) * n_in / n_out - 0.5 - j))
    return A / A.sum(axis=1, keepdims=True)


def resized(x: Array, height: int, width: int, interpolation: str) -> Array:
    """The picture x (H, W, C) as float32 (height, width, C)."""
    H, W, _ = x.shape
    if (height, width) == (H, W):
        return x.astype(np.float32)
    A, B = mixing(H, height, interpolation), mixing(W, width, interpolation)
    rows, columns = A.any(axis=0), B.any(axis=0)  # those that count: few, of a large picture
    part = x[rows][:, columns].astype(np.float32)[None]
    return resizing.resized(part, A[:, rows], B[:, columns])[0]


def cropped_and_resized(x: Array, height: int, width: int, interpolation: str) -> Array:
    """The largest part in the middle of x that has the proportions of height and width, resized."""
    H, W, _ = x.shape
    h = max(min(H, int(W * height / width)), 1)
    w = max(min(W, int(H * width / height)), 1)
    top, left = (H - h) // 2, (W - w) // 2
    return resized(x[top : top + h, left : left + w], height, width, interpolation)


def resized_and_padded(x: Array, height: int, width: int, interpolation: str) -> Array:
    """x as large as it fits into height and width, with zeros around it."""
    H, W, C = x.shape
    ratio = max(np.float32(W) / np.float32(width), np.float32(H) / np.float32(height))
    h, w = np.float32(H) / ratio, np.float32(W) / ratio
    top = max(0, int((np.float32(height) - h) / 2))
    left = max(0, int((np.float32(width) - w) / 2))
    part = resized(x, max(int(h), 1), max(int(w), 1), interpolation)
    y = np.zeros((height, width, C), np.float32)
    y[top : top + part.shape[0], left : left + part.shape[1]] = part
    return y

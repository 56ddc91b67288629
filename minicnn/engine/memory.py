"""Arrays as kernels take them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE = 64  # bytes


def aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    """An array whose contents are not set, as `np.empty`, which begins with a line of the cache.

    NumPy's own begin anywhere in one. Then every vector of 64 bytes lies in two lines, and takes
    twice as long to be read or written.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    whole = np.empty(size + LINE, np.uint8)
    start = -whole.ctypes.data % LINE
    return whole[start : start + size].view(dtype).reshape(shape)


def flat(array: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers of one axis, contiguous and of float32; the array's own, if they lie so."""
    return np.ascontiguousarray(array, np.float32).reshape(-1)

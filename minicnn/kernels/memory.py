"""Arrays as kernels take them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE, PAGE = 64, 4096  # bytes
APART = 5 * LINE  # in a page, from one large array's beginning to the next one's
LARGE = 8 * PAGE  # bytes; smaller arrays lie anywhere in a page as it is

_large = itertools.count()


def aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    """An array whose contents are not set, as `np.empty`, which begins with a line of the cache.

    NumPy's own begin anywhere in one. Then every vector of 64 bytes lies in two lines, and takes
    twice as long to be read or written. Its large arrays all begin at the same place of a page, and
    caches hold few lines with one place: the seven vectors of a step of Adam push each other out.
    Ours begin at one place after the other.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    unit, place = (PAGE, next(_large) * APART) if size >= LARGE else (LINE, 0)
    whole = np.empty(size + unit, np.uint8)
    start = (place - whole.ctypes.data) % unit
    return whole[start : start + size].view(dtype).reshape(shape)


def aligned_zeros(size: int, dtype: Any) -> NDArray[Any]:
    """A vector of zeros as `aligned`."""
    vector = aligned((size,), dtype)
    vector[...] = 0
    return vector


def flat(array: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers of one axis, contiguous and of float32; the array's own, if they lie so."""
    return np.ascontiguousarray(array, np.float32).reshape(-1)

"""Arrays as kernels take them: where they begin, and in pages of which size they lie."""

from __future__ import annotations

import itertools
import math
import mmap
import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE, PAGE = 64, 4096  # bytes
FLOATS_IN_LINE = LINE // 4
APART = 5 * LINE  # in a page, from one large array's beginning to the next one's
LARGE = 8 * PAGE  # bytes; smaller arrays lie anywhere in a page as it is
HUGE_PAGE = 2**21  # bytes
BLOCK = 2 * HUGE_PAGE  # that large arrays share, up to half of it each
PATIENCE = 0.1  # seconds to wait for another thread

_large = itertools.count()


def aligned(shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
    """An array whose contents are not set, as `np.empty`, which begins with a line of the cache.

    NumPy's own begin anywhere in one. Then every vector of 64 bytes lies in two lines, and takes
    twice as long to be read or written. Its large arrays all begin at the same place of a page, and
    caches hold few lines with one place: the seven vectors of a step of Adam push each other out.
    Ours begin at one place after the other.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    unit, place, whole = LINE, 0, None
    if size >= LARGE:
        unit, place = PAGE, next(_large) * APART % PAGE
        whole = _blocks.take(size, place)
    if whole is None:
        whole = np.empty(size + unit, np.uint8)
        start = (place - whole.ctypes.data) % unit
        whole = whole[start : start + size]
    return whole.view(dtype).reshape(shape)


def aligned_zeros(size: int, dtype: Any) -> NDArray[Any]:
    """A vector of zeros as `aligned`."""
    vector = aligned((size,), dtype)
    vector[...] = 0
    return vector


def flat(array: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers of one axis, contiguous and of float32; the array's own, if they lie so."""
    return np.ascontiguousarray(array, np.float32).reshape(-1)


class _Blocks:
    """Memory in huge pages, where the system has some to give: Linux has, if it is asked.

    A processor keeps the places of a few thousand pages, and looks those of others up in memory;
    and it fetches ahead within a page only. The rows of a weight matrix are some kB apart, so a
    column of it is in as many pages of 4 kB as it has rows, but in two of 2 MB. Most arrays are
    smaller than a huge page, so they share a block, which is given back with the last of them. It
    is small, as a single array keeps all of it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.block: mmap.mmap | None = None
        self.used = self.end = 0  # bytes of the block

    def take(self, size: int, place: int) -> NDArray[np.uint8] | None:
        """`size` bytes that begin at `place` of a page; None if there are no huge pages, or no
        memory.
        """
        # a finalizer or a signal's handler may ask while this thread holds the lock
        if not self.lock.acquire(timeout=PATIENCE):
            return None
        try:
            if 2 * size > BLOCK:  # too large to share one
                block, start = _mapped(size + place)
                return np.frombuffer(block, np.uint8, size, start + place)
            start = -(-self.used // PAGE) * PAGE + place
            if self.block is None or start + size > self.end:
                self.block, first = _mapped(BLOCK)
                start, self.end = first + place, first + BLOCK
            self.used = start + size
            return np.frombuffer(self.block, np.uint8, size, start)
        except (AttributeError, OSError):  # of `mmap`, on other systems; no more memory
            return None
        finally:
            self.lock.release()


def _mapped(size: int) -> tuple[mmap.mmap, int]:
    """New memory, and where in it that many bytes begin with a huge page."""
    advice, flags = mmap.MADV_HUGEPAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    block = mmap.mmap(-1, size + HUGE_PAGE, flags=flags)
    block.madvise(advice)
    return block, -np.frombuffer(block, np.uint8, 1).ctypes.data % HUGE_PAGE


_blocks = _Blocks()


def _after_fork() -> None:
    """In a forked child the lock may be held for ever."""
    global _blocks
    _blocks = _Blocks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

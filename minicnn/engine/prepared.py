"""What stages make of weights before they use them: made once, for all lanes, while they last.

A transposed or packed kernel takes as long as some samples, so shards share it. In a call of
`predict` or a step of training weights do not change, so they are looked at once a call. Across
calls a copy decides, bit by bit: `layer.params["W"][...] = 0` leaves no other trace.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")


class Prepared:
    """By the stage and what it is."""

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[Array, Any]] = {}
        self._known: set[Hashable] | None = None  # what is as in this call's weights
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A call begins, in which weights do not change."""
        self._known = set()

    def of(self, key: Hashable, weights: Array, make: Callable[[Array], T]) -> T:
        """`make(weights)`, or what it gave for the same numbers."""
        known = self._known
        if known is not None and key in known:
            made: T = self._held[key][1]
            return made
        with self._lock:
            held = self._held.get(key)
            if held is None or not _same(held[0], weights):
                held = self._held[key] = (weights.copy(), make(weights))
            if known is not None:
                known.add(key)
            return held[1]


def _same(a: Array, b: Array) -> bool:
    """Whether all bits are the same; 0 and -0 are not, and NaN is what it was."""
    return a.shape == b.shape and np.array_equal(a.view(np.int32), b.view(np.int32))

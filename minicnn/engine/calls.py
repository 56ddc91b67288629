"""What stages call in a forward, kept to be called again with other inputs.

To find out what to call, with which shapes, views and buffers, takes a stage 10 to 30 us: for one
image that is longer than the call. Where inputs of the same shape lie in the same memory, and the
weights are the same arrays, all calls are the same. So a stage makes them through a `Calls`:

    self.call(kernel, x, W, y)          instead of          kernel(x, W, y)

and the first forward of a shape is kept as a list of functions and arguments. They write to the
same memory each time. Whatever a stage does to the numbers of x or of weights in forward has to go
through `call`, or through `prepared`: in a repeated forward no other line of it is run. One that
cannot says so (`FusedStage.repeats`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from operator import is_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.kernels.memory import aligned

Array = NDArray[Any]
Made = list[tuple[Callable[..., Any], tuple[Any, ...]]]

# numbers of an input, which are copied: with more of them the calls take longer than all the rest
MOST_NUMBERS = 1 << 14


class Changed(Exception):
    """Something that a repeated call was given is no longer what it was."""


def at_once(function: Callable[..., Any], *given: Any) -> None:
    """The call alone."""
    function(*given)


class Calls:
    """Makes calls and, between `begin` and `end`, keeps them."""

    def __init__(self) -> None:
        self._made: Made | None = None

    def __call__(self, function: Callable[..., Any], *given: Any) -> None:
        function(*given)
        if self._made is not None:
            self._made.append((function, given))

    def expect(self, result: Any, function: Callable[..., Any], *given: Any) -> None:
        """`function` has returned that object; a later forward holds only if it does so again."""
        if self._made is not None:
            self._made.append((_expect, (result, function, given)))

    def begin(self) -> None:
        self._made = []

    def end(self) -> Made:
        """The calls since `begin`."""
        made, self._made = self._made or [], None
        return made


def _expect(result: Any, function: Callable[..., Any], given: tuple[Any, ...]) -> None:
    if function(*given) is not result:
        raise Changed


class RepeatedForward:
    """A lane's forward in inference, for inputs of the shape that came last.

    `forward` is the way through all stages, which call by `calls`; `tables` hold the arrays that
    the stages read.
    """

    def __init__(
        self,
        forward: Callable[[Array], Array],
        calls: Calls,
        tables: Iterable[dict[str, Array]],
    ) -> None:
        self._forward, self._calls, self._tables = forward, calls, list(tables)
        self._arrays: list[Array] = []
        self._made: Made = []
        self._x = self._y = np.zeros(0, np.float32)

    def __call__(self, x: Array) -> Array:
        """What the stages make of x, float32; the next call overwrites it."""
        arrays = list(chain.from_iterable(map(dict.values, self._tables)))
        same = len(arrays) == len(self._arrays) and all(map(is_, arrays, self._arrays))
        if same and x.shape == self._x.shape:
            np.copyto(self._x, x)
            try:
                for function, given in self._made:
                    function(*given)
                return self._y
            except Changed:
                pass
        self._x = self._x[:0]  # should the forward fail, nothing is repeated
        held: Array = aligned(x.shape)
        np.copyto(held, x)
        self._calls.begin()
        try:
            self._y = self._forward(held)
        finally:
            self._made = self._calls.end()
        if all(array.flags.c_contiguous and array.dtype == np.float32 for array in arrays):
            self._x, self._arrays = held, arrays  # of others a stage makes copies
        return self._y

"""Copies of what a step of training changes, so that a step that fails changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.kernels.memory import aligned
from minicnn.protocols import Model

Array = NDArray[Any]


class Snapshot:
    """The values that a step is about to change; the copies lie in buffers that every step reuses.

    Buffers are named after what they hold, so that there are no more of them than a step needs,
    even where a layer puts new arrays into its state.
    """

    def __init__(self) -> None:
        self._copies: dict[Any, Array] = {}
        self._kept: set[Any] = set()  # names of the step
        self._undo: list[Callable[[], Any]] = []

    def begin(self, model: Model) -> None:
        """Begin a step. Copies the contents of the layers' states, which arrays they and the
        optimizer hold, and the counts.
        """
        optimizer = model.optimizer
        self._undo = [optimizer.end]
        for thing, name in (
            (model, "steps_taken"),
            (optimizer, "iterations"),
            (optimizer, "waiting"),
            (optimizer, "state"),
        ):
            self._undo.append(partial(setattr, thing, name, getattr(thing, name)))
        for unused in self._copies.keys() - self._kept:
            del self._copies[unused]
        self._kept = set()
        held = [optimizer.state, *(layer.state for layer in model.leaves)]  # empty ones may fill
        self._undo += [partial(_refill, one, dict(one)) for one in held]
        for number, state in enumerate(held[1:]):
            for key, array in state.items():
                self.keep((number, key), array)

    def keep(self, name: Any, array: Array, part: Any = ...) -> None:
        """Copy that part of the array; different parts may be kept by different threads."""
        copy = self._copy_of(name, array)
        copy[part] = array[part]
        self._undo.append(partial(np.copyto, array[part], copy[part]))

    def places(self, arrays: dict[Any, Array], part: Any) -> tuple[Array, ...]:
        """Where a pass over those parts of the arrays, by name, is to copy them as it goes.

        These are not the copies that `keep` has made of the same names, before the pass.
        Last comes an array of one boolean, which the pass sets with its last copy: an interrupt
        may come before it has begun, and then there is nothing to restore.
        """
        copies = [self._copy_of(("pass", name), array)[part] for name, array in arrays.items()]
        done = np.zeros(1, bool)

        def undo() -> None:
            if done[0]:
                for array, copy in zip(arrays.values(), copies):
                    np.copyto(array[part], copy)

        self._undo.append(undo)
        return (*copies, done)

    def _copy_of(self, name: Any, array: Array) -> Array:
        copy = self._copies.get(name)
        if copy is None or (copy.shape, copy.dtype) != (array.shape, array.dtype):
            copy = self._copies[name] = aligned(array.shape, array.dtype)
        self._kept.add(name)
        return copy

    def restore(self) -> None:
        """Restore everything to its value at `begin`; does nothing after `end`.

        Where it was interrupted it may be called again.
        """
        for undo in reversed(self._undo):  # a pass's copies are younger than those of `keep`
            undo()

    def end(self) -> None:
        """Accept the step: its changes stay."""
        self._undo = []


def _refill(held: dict[str, Array], before: dict[str, Array]) -> None:
    held.clear()
    held.update(before)

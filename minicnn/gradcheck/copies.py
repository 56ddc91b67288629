"""Copies of layers in float64, and how they are wound back to do the same thing at every call."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from minicnn.layers.base import Array, Layer
from minicnn.layers.contents import Streams, layers_inside


def parts(thing: Any) -> list[Any]:
    """`thing`, which may be no Layer, and the layers that it holds, however deep."""
    inside = layers_inside(getattr(thing, "__dict__", {}))
    return [thing, *(one for one in inside if one is not thing)]


def tables(thing: Any, *names: str) -> Iterator[dict[str, Any]]:
    """The dicts of these names ("params", "grads", "state") in `thing` and the layers inside it."""
    for part in parts(thing):
        for name in names:
            if isinstance(table := getattr(part, name, None), dict):
                yield table


def is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"


def copy_of(thing: Any, who: str, dtype: Any = None) -> Any:
    """A deep copy of a layer, loss or model; with a `dtype`, its layers are turned to that."""
    memo: dict[int, Array] = {}  # of deepcopy: what stands for an array in the copy
    for table in tables(thing, "params", "grads", "state") if dtype is not None else ():
        memo |= {id(a): np.array(a, dtype, order="C") for a in table.values() if is_float(a)}
    try:
        twin = copy.deepcopy(thing, memo)
    except Exception as error:
        raise TypeError(
            f"{who}: the check works on a copy, and copy.deepcopy of it fails ({error}). "
            "Define __deepcopy__, or leave out the attribute that cannot be copied"
        ) from error
    for part in parts(twin) if dtype is not None else ():
        if isinstance(part, Layer):
            part.set_dtype(dtype)
    return twin


@contextlib.contextmanager
def unchanged(*arrays: Array) -> Iterator[list[Array]]:
    """Whatever is written into these arrays within is undone at the end; yields copies of them."""
    saved = [array.copy() for array in arrays]
    try:
        yield saved
    finally:
        for array, values in zip(arrays, saved):
            array[...] = values


def written(run: Callable[[], Any], **arrays: Array) -> list[str]:
    """The names of the arrays that `run` writes into; their numbers are restored."""
    with unchanged(*arrays.values()) as saved:
        run()
        pairs = zip(arrays.items(), saved)
        return [name for (name, array), old in pairs if not np.array_equal(array, old)]


def move_apart(x: Array, rng: np.random.Generator) -> None:
    """Move numbers by up to 0.01 of their range."""
    width = 0.01 * (float(np.ptp(x)) or 1.0)
    x += rng.uniform(-width, width, x.shape)


def move_constants(arrays: Iterable[Array], rng: np.random.Generator) -> None:
    """Give random numbers to parameters that are all the same.

    A gradient that forgets gamma is right as long as gamma is 1, and with zero biases the flat
    parts of an image sit exactly on the kink of a ReLU.
    """
    for array in arrays:
        if is_float(array) and array.size and (array == array.flat[0]).all():
            width = 0.25 * max(1.0, abs(float(array.flat[0])))
            array += rng.uniform(-width, width, array.shape)


class Rewind:
    """Takes layers back to where they were: running statistics, generators, dropout's place."""

    def __init__(self, layers: list[Any]) -> None:
        self._parts = [part for layer in layers for part in parts(layer)]
        states = [state for layer in layers for state in tables(layer, "state")]
        self._states = [(state, dict(state), copy.deepcopy(state)) for state in states]
        self._streams = Streams(self._parts)

    def __call__(self, sample: int = 0) -> None:
        """The next batch is that of the first step, from number `sample` on."""
        for state, arrays, values in self._states:
            state.update(arrays)
            for key, array in arrays.items():
                if isinstance(array, np.ndarray):
                    array[...] = values[key]
        for part in (*self._parts, self._streams):
            if callable(getattr(part, "seek", None)):
                part.seek(0, sample)


class Passes:
    """Forward and backward of a layer, which is wound back before: each forward does the same."""

    def __init__(self, layer: Any, training: bool) -> None:
        self._layer, self._rewind = layer, Rewind([layer])
        self._call: Callable[[Array], Any] = layer.forward
        with contextlib.suppress(TypeError, ValueError):  # a compiled function has no signature
            parameters = list(inspect.signature(layer.forward).parameters.values())
            needed = [p for p in parameters if p.default is p.empty and p.kind != p.VAR_POSITIONAL]
            if any(p.name == "training" or p.kind == p.VAR_KEYWORD for p in parameters):
                self._call = lambda x: layer.forward(x, training=training)
            elif len(needed) > 1:
                self._call = lambda x: layer.forward(x, training)

    def forward(self, x: Array) -> Any:
        self._rewind()
        return self._call(x)

    def backward(self, dy: Array) -> Any:
        """Without the check of dx that a user's class gets from `Layer`."""
        plain = getattr(self._layer.backward, "plain", None)
        return self._layer.backward(dy) if plain is None else plain(self._layer, dy)

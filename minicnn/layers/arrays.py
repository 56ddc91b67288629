"""Arrays that users assign to a layer: checked, and copied to its float type."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config
from minicnn.layers.shapes import Shape

Array = NDArray[Any]

_room: ContextVar[list[int] | None] = ContextVar("numbers that layers may still take", default=None)


@contextlib.contextmanager
def unfilled(most: int) -> Iterator[None]:
    """Inside, layers are built without first values, since a file's take their place.

    They may take `most` numbers in all, as many as the file holds: it says how large the layers
    are, and could ask for more memory than there is.
    """
    token = _room.set([most])
    try:
        yield
    finally:
        _room.reset(token)


def without_values(shape: Shape, dtype: Any, who: str) -> Array | None:
    """Zeros of that shape inside `unfilled`; None elsewhere. Raises ValueError beyond its limit."""
    room = _room.get()
    if room is None:
        return None
    room[0] -= math.prod(shape)
    if room[0] < 0:
        raise ValueError(f"{who}: expected as many numbers as the file holds, received {shape}")
    return np.zeros(shape, dtype)


def is_float_array(given: Any) -> bool:
    return type(given) is np.ndarray and given.dtype.kind == "f"


def replacement(given: Any, shape: Shape | None, dtype: Any, name: str, who: str) -> Array:
    """What a user has put in the place of an array of a layer, as an array by itself.

    Raises TypeError or ValueError unless it is an array of that shape, if one is given, and of
    finite numbers.
    """
    if not isinstance(given, (np.ndarray, np.generic)):
        received = "nothing" if given is None else type(given).__name__
        array = "an array" if shape is None else f"an array of shape {shape}"
        raise TypeError(
            f"{who}: expected {name} to be {array}, received {received}. "
            f"Write into it: layer.{name}[...] = values"
        )
    values = checks.numeric(given, name, who)
    if shape is not None and values.shape != shape:
        raise ValueError(f"{who}: expected {name} of shape {shape}, received {values.shape}")
    checks.finite(values, name, who, dtype=dtype)
    return np.array(values, dtype)


def checked_weights(arrays: dict[str, Array], weights: Any, who: str) -> list[tuple[Array, Array]]:
    """Pairs (target, values) for `set_weights`, once all the counts, shapes and types are right."""
    expected = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
    if not isinstance(weights, (list, tuple)):
        raise TypeError(
            f"{who}: expected a list of arrays ({expected}), received {type(weights).__name__}"
        )
    if len(weights) != len(arrays):
        raise ValueError(
            f"{who}: expected {len(arrays)} arrays ({expected}), received {len(weights)}"
        )
    pairs = []
    for number, ((key, target), given) in enumerate(zip(arrays.items(), weights)):
        values = checks.numeric(given, key, who)
        if values.shape != target.shape:
            raise ValueError(f"{who}: expected {key} {target.shape}, received {values.shape}")
        checks.finite(values, f"weights[{number}] ({key})", who, dtype=target.dtype)
        pairs.append((target, values))
    return pairs


def nearest_float(dtype: np.dtype[Any]) -> str:
    """float64 stays (and so does anything wider); the small ones and integers become floatx."""
    if dtype.kind != "f":
        return config.floatx()
    return "float64" if dtype.itemsize >= 8 else "float32"

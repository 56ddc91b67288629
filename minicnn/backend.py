"""The few functions of `keras.backend` that scripts with arrays call: there is one backend, NumPy.

>>> import minicnn.backend as K
>>> K.image_data_format(), K.floatx(), K.epsilon()
('channels_last', 'float32', 1e-07)
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.config import floatx, set_floatx
from minicnn.layers import names
from minicnn.weights import Weight

__all__ = [
    "backend",
    "clear_session",
    "count_params",
    "epsilon",
    "floatx",
    "get_value",
    "image_data_format",
    "int_shape",
    "ndim",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_value",
]

EPSILON = 1e-7
ADVICE = "values and outputs are NumPy arrays: use NumPy's function of the same meaning"


def backend() -> str:
    """ "numpy"."""
    return "numpy"


def image_data_format() -> str:
    """ "channels_last": images are (N, H, W, C) everywhere."""
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    """Takes "channels_last", and raises ValueError for "channels_first"."""
    checks.one_of(data_format, ("channels_last",), "data_format", "set_image_data_format")


def epsilon() -> float:
    """Keras's smallest number beside which a division is safe."""
    return EPSILON


def set_epsilon(value: float) -> None:
    """Takes 1e-7, and raises ValueError for others: losses and metrics have that one built in."""
    if checks.real(value, "value", "set_epsilon") != EPSILON:
        raise ValueError(
            f"set_epsilon: expected value to be {EPSILON}, which cannot be changed here, received "
            f"{checks.shown(value)}"
        )


def clear_session(free_memory: bool = True) -> None:
    """Start the automatic names of layers and models anew. `free_memory` is taken and not used:
    a model's memory is free when nothing refers to it."""
    checks.boolean(free_memory, "free_memory", "clear_session")
    names.reset()


def get_value(x: Any) -> Any:
    """The numbers of a weight as a new array; a number, such as `learning_rate`, as it is."""
    if isinstance(x, (int, float)):
        return float(x) if isinstance(x, float) else x
    return np.array(checks.numeric(x, "x", "get_value"))


def set_value(x: Any, value: Any) -> None:
    """Put `value` into a weight, or into what else has `assign`, or into an array.

    Raises TypeError or ValueError where shapes differ, or `x` is a plain number.
    """
    if callable(getattr(type(x), "assign", None)):
        x.assign(value)
        return
    if not isinstance(x, np.ndarray):
        raise TypeError(
            "set_value: expected x to be a weight or an array, received "
            f"{checks.shown(x)} ({type(x).__name__}). A number is set where it belongs: "
            "model.optimizer.learning_rate = 0.01"
        )
    given = checks.numeric(value, "value", "set_value")
    checks.numeric(x, "x", "set_value")
    if given.shape != x.shape:
        raise ValueError(
            f"set_value: expected value of the shape of x, {x.shape}, received {given.shape}"
        )
    x[...] = given


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape of an array or a weight."""
    shape = getattr(x, "shape", None)
    return shape if isinstance(shape, tuple) else np.shape(_array(x, "int_shape"))


def ndim(x: Any) -> int:
    """The number of axes of an array or a weight."""
    return len(int_shape(x))


def count_params(x: Any) -> int:
    """How many numbers an array or a weight has."""
    return int(np.size(x.value if isinstance(x, Weight) else _array(x, "count_params")))


def _array(x: Any, who: str) -> NDArray[Any]:
    return checks.numeric(x, "x", who)


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"module 'minicnn.backend' has no attribute {name!r}; {ADVICE}")

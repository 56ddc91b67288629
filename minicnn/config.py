"""The default float type, under Keras's words (`keras.config.floatx`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks

_floatx = "float32"


def floatx() -> str:
    """Float type of new layers and models: "float32" unless `set_floatx` was called."""
    return _floatx


def set_floatx(value: str) -> None:
    """Make "float32" or "float64" the float type of the layers built from now on."""
    global _floatx
    _floatx = checks.one_of(value, {"float32", "float64"}, "value", "set_floatx")


def float_dtype(value: Any, who: str) -> np.dtype[Any] | None:
    """A layer's `dtype` argument as a NumPy dtype; None stays None (decided when it is built)."""
    if value is None:
        return None
    try:
        dtype = np.dtype(value)
    except TypeError:
        dtype = np.dtype(object)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"{who}: expected dtype to be float32 or float64, received {value!r}")
    return dtype

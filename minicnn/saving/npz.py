"""Weights as plain NumPy: one array under the path of each weight, "dense/kernel".

with np.load("weights.npz") as f:
    kernel = f["dense/kernel"]
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.saving import archive
from minicnn.saving.errors import SavedFileError
from minicnn.saving.state import Values, expect_fit

if TYPE_CHECKING:
    from minicnn.models import Sequential

Array = NDArray[Any]


def written(model: Sequential) -> bytes:
    """All weights of the model, as `numpy.savez` stores them."""
    model.gather()
    memory = io.BytesIO()
    arrays: dict[str, Any] = _by_path(model)
    np.savez(memory, **arrays)
    return memory.getvalue()


def weights_of(model: Sequential, file: bytes, *, skip_mismatch: bool) -> Values:
    """The file's values for the model's weights, by their paths. Raises SavedFileError unless they
    fit; with `skip_mismatch` those that do not are left out, with a warning."""
    stored = {
        name.removesuffix(".npy"): _array(name, content)
        for name, content in archive.members(file).items()
    }
    expected = _by_path(model)
    faults = {}
    for path in sorted(expected.keys() | stored.keys()):
        if path not in stored:
            faults[path] = f"the model has {path} {expected[path].shape}, and the file has not"
        elif path not in expected:
            faults[path] = f"the file has {path} {stored[path].shape}, and the model has not"
        elif stored[path].shape != expected[path].shape:
            shapes = f"{expected[path].shape}, and the file's is {stored[path].shape}"
            faults[path] = f"the model's {path} is {shapes}"
        elif stored[path].dtype.kind not in "fiu":
            faults[path] = f"the file has {path} in {stored[path].dtype}"
    expect_fit(model, faults, skip_mismatch)
    return Values({p: (expected[p], stored[p]) for p in expected if p not in faults})


def _by_path(model: Sequential) -> dict[str, Array]:
    found = {weight.path: weight.value for weight in model.weights}
    if len(found) < len(model.weights):
        paths = [weight.path for weight in model.weights]
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ValueError(
            f"{model.who}: expected a different path for each weight in a .npz file, received "
            f"{twice!r} twice. Give the layers other names, or write a .weights.h5 file"
        )
    return found


def _array(name: str, content: memoryview) -> Array:
    """The array of one member, which is a `.npy` file; nothing in it is run."""
    file = io.BytesIO(content)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        shape, by_columns, dtype = read_header[np.lib.format.read_magic(file)](file)
    except Exception as error:  # NumPy raises several kinds for a damaged header
        raise SavedFileError(f"{name} is no array of NumPy") from error
    if dtype.hasobject or dtype.kind not in "fiu":
        raise SavedFileError(f"{name} holds {dtype}, and weights are numbers")
    start = file.tell()
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise SavedFileError(f"{name} has another size than its shape {shape} says")
    values = np.frombuffer(content, dtype, math.prod(shape), start)
    return values.reshape(shape, order="F" if by_columns else "C")

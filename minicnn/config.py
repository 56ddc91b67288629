"""What is set for all models, and what they run on.

The default float type has Keras's names (`keras.config.floatx`).
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

import numpy as np

from minicnn import checks, console

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
    try:  # only what names a type: an array or a model would be asked for its own
        dtype = np.dtype(value if isinstance(value, (str, type, np.dtype)) else object)
    except (TypeError, ValueError):  # the latter for dicts and lists
        dtype = np.dtype(object)
    if dtype not in (np.float32, np.float64):
        raise ValueError(
            f"{who}: expected dtype to be float32 or float64, received {checks.shown(value)}"
        )
    return dtype


def show_config() -> None:
    """Print what models run on here, and whether their results can be repeated bit for bit.

    One seed gives the same bits in every thread and on any number of threads, as long as matrix
    products are made on one thread each. That takes a BLAS library that can be told so.
    """
    from minicnn import __version__
    from minicnn.engine import blas, threads

    libraries = blas.libraries()
    reach = {
        "process": "held to one in the whole process",
        "thread": "held to one in the threads that work for it",
    }
    lines = [
        ("minicnn", __version__),
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("NumPy, numba", f"{version('numpy')}, {version('numba')}"),
        ("float type", floatx()),
        ("threads", f"{threads.get_num_threads()}, of {os.cpu_count()} cores"),
        *(
            (
                "BLAS",
                f"{one['name']} {one['version']}: {one['threads']} threads; while a model works, "
                f"{reach[one['limit']]}",
            )
            for one in libraries
        ),
    ]
    if libraries:
        promise = "one seed gives the same bits in every thread, on any number of threads"
    else:
        lines.append(("BLAS", f"{_numpys_blas()}, whose threads cannot be limited from here"))
        promise = (
            "not promised: the last bits of matrix products may depend on BLAS's threads. Start "
            "Python with VECLIB_MAXIMUM_THREADS=1, or use a NumPy that comes with OpenBLAS"
        )
    lines.append(("repeatable", promise))
    console.say("\n".join(f"{name:<14}{text}" for name, text in lines))


def _numpys_blas() -> str:
    """The library that NumPy was built with, by its own account."""
    try:
        dependencies = np.show_config(mode="dicts")["Build Dependencies"]
        return str(dependencies["blas"]["name"])
    except (TypeError, KeyError):  # before NumPy 1.25
        return "a library that is not known"

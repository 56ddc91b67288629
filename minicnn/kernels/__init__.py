"""The hot loops: `reference` defines each one in plain Python, `fast` is its compiled twin.

`kernels.im2col` is the fast one. Nothing is imported or compiled before the first use, so that
`import minicnn` stays quick.
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name in {"reference", "fast", "compiler"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kernel = getattr(import_module("minicnn.kernels.fast"), name)
    globals()[name] = kernel
    return kernel

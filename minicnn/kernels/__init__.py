"""The hot loops: `reference` defines each one in plain Python, `fast` is its compiled twin.

`kernels.im2col` is the fast one. Nothing is imported or compiled before the first use, so that
`import minicnn` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "LazyModule",
    "affine",
    "affine_backward",
    "average_pool",
    "average_pool_backward",
    "col2im",
    "depthwise",
    "depthwise_backward",
    "fast",
    "im2col",
    "keep_mask",
    "max_pool",
    "max_pool_backward",
    "normal",
    "normal_cdf",
    "uniform",
]


class LazyModule:
    """Stands for a module whose import takes long, and imports it when it is first used.

    Editors and type checkers see the module itself: it is imported `if TYPE_CHECKING`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING:
    from minicnn.kernels import fast
    from minicnn.kernels.fast import (
        affine,
        affine_backward,
        average_pool,
        average_pool_backward,
        col2im,
        depthwise,
        depthwise_backward,
        im2col,
        keep_mask,
        max_pool,
        max_pool_backward,
        normal,
        normal_cdf,
        uniform,
    )
else:
    fast = LazyModule("minicnn.kernels.fast")

    def __getattr__(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(fast, name)

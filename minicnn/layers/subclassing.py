"""What a layer class of the user's must do: checked where it is made, run and trained."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from minicnn.layers.base import Layer


def checked_init(layer: Layer) -> None:
    """Raise TypeError if the class of `layer` has an `__init__` that leaves out Layer's."""
    if "_dtype" not in vars(layer):
        kind = type(layer).__name__
        raise TypeError(
            f"{kind}: expected its __init__ to call Layer's, received an object without a name. "
            "Begin it with: super().__init__(**kwargs)"
        )


def watched_forward(forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward`, with an error that names the layer if y is not what `output_shape` says."""

    @functools.wraps(forward)
    def watched(self: Layer, x: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(type(self), "forward", None) is not watched:  # called by a subclass's forward
            return forward(self, x, *args, **kwargs)
        checked_init(self)
        y = forward(self, x, *args, **kwargs)
        if not isinstance(y, np.ndarray):
            raise TypeError(
                f"{self.who}: expected forward to return an array, received {type(y).__name__}. "
                "End it with: return y"
            )
        declared = tuple(self.output_shape(np.shape(x)))
        if y.shape != declared:
            raise ValueError(
                f"{self.who}: expected y of shape {declared}, as output_shape says, but forward "
                f"returns shape {y.shape} for x of shape {np.shape(x)}. Fix the one that is wrong"
            )
        return y

    return watched


def watched_backward(backward: Callable[..., Any]) -> Callable[..., Any]:
    """`backward`, with an error that names the layer if it returns nothing."""

    @functools.wraps(backward)
    def watched(self: Layer, dy: Any, *args: Any, **kwargs: Any) -> Any:
        dx = backward(self, dy, *args, **kwargs)
        if not isinstance(dx, np.ndarray):
            raise TypeError(
                f"{self.who}: expected backward to return dx, an array of x's shape, received "
                f"{type(dx).__name__}. End it with: return dx"
            )
        return dx

    watched.plain = backward  # type: ignore[attr-defined]  # for gradcheck, which judges dx itself
    return watched


def definer(cls: type, method: str) -> type:
    """The class of which `cls` has its `method`."""
    return next(kind for kind in cls.__mro__ if method in vars(kind))

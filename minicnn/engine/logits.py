"""Where a network's logits are: before the softmax or sigmoid at its end.

With the logits, the loss and its gradient are exact where probabilities round to 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from minicnn.kernels import LazyModule
from minicnn.layers import (
    Activation,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Layer,
    Linear,
    Sigmoid,
    Softmax,
)

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import passes
else:
    passes = LazyModule("minicnn.engine.passes")


def before_activation(
    layers: Sequence[Layer], activation: str = "softmax"
) -> tuple[list[Layer], bool]:
    """The layers up to the logits, and whether that activation, "softmax" or "sigmoid", stood
    behind them.

    It may be the last layer or its activation; a replica without the activation, with the same
    parameters, then takes the layer's place. Layers behind it that change nothing are skipped. A
    subclass with a forward of the user's is left alone.
    """
    layers = list(layers)
    while len(layers) > 1 and _changes_nothing(layers[-1]):
        layers.pop()
    *first, last = layers
    if _makes_probabilities(last, activation):
        return first, True
    activated: Any = last
    kinds = (Dense, Conv2D, Conv2DTranspose, Activation)
    plain = any(_runs(last, kind, ["forward"]) for kind in kinds)
    if plain and _makes_probabilities(activated.activation, activation):
        linear = activated.replica()
        linear.activation = Linear(name="linear")
        return [*first, linear], True
    return layers, False


def take_softmax(logits: Array, *, in_one_pass: bool) -> None:
    """Turn logits (.., classes) into probabilities, in place."""
    if in_one_pass:
        passes.softmax(logits.reshape(-1, logits.shape[-1]))
    else:
        logits[...] = Softmax(name="softmax").forward(logits)


def _makes_probabilities(layer: Any, activation: str) -> bool:
    """Whether it is a sigmoid, or a softmax over the classes, those on the last axis."""
    if activation == "sigmoid":
        return _runs(layer, Sigmoid, ("forward", "backward", "value", "slope"))
    return _runs(layer, Softmax) and layer.axis == -1


def _changes_nothing(layer: Any) -> bool:
    return _runs(layer.activation if _runs(layer, Activation) else layer, Linear)


def _runs(layer: Any, kind: type[Layer], passes: Sequence[str] = ("forward", "backward")) -> bool:
    """Whether these passes are those of `kind`, as in a subclass that keeps them."""
    return isinstance(layer, kind) and all(
        getattr(type(layer), name) is getattr(kind, name) for name in passes
    )

"""Which activations are part of a pass, and their settings: the table from a layer to a curve.

A curve is a pair of functions in `curves.py`, which this module does not import: a plan is made
without a compiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    Activation,
    Exponential,
    HardShrink,
    HardSigmoid,
    HardSiLU,
    HardTanh,
    Layer,
    LeakyReLU,
    Linear,
    LogSigmoid,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    SoftShrink,
    Softsign,
    SparsePlus,
    SparseSigmoid,
    Squareplus,
    Tanh,
    TanhShrink,
    Threshold,
)
from minicnn.layers.activations import ActivatedLayer, ActivationLayer

BELOW_0 = float(np.nextafter(np.float32(0), np.float32(-1)))


class Curve(NamedTuple):
    """The functions `name` and `name`_slope of `curves.py`, and the settings that they take."""

    name: str
    settings: tuple[float, ...] = ()


def _relu(layer: Any) -> Curve:
    if layer.plain:
        return RELU
    top = math.inf if layer.max_value is None else layer.max_value
    last, least = np.float32(top), np.float32(layer.threshold)
    if top == 6 and layer.threshold == 0:  # the slope at 6 is 0 there
        last = np.nextafter(last, np.float32(0))
    if layer.max_value is None and layer.threshold == 0:  # the slope at 0 is that below
        least = np.nextafter(least, np.float32(1))
    return Curve(
        "relu_with", (top, layer.negative_slope, layer.threshold, float(last), float(least))
    )


RELU = Curve("relu", (0.0,))

KNOWN: dict[type[Layer], Callable[[Any], Curve]] = {
    CELU: lambda layer: Curve("celu", (layer.alpha, 1 / layer.alpha)),
    ELU: lambda layer: Curve("elu", (layer.alpha, 1.0, 0.0)),
    Exponential: lambda layer: Curve("exponential"),
    GELU: lambda layer: Curve("gelu_by_tanh" if layer.approximate else "gelu"),
    HardShrink: lambda layer: Curve("hard_shrink", (layer.threshold,)),
    HardSiLU: lambda layer: Curve("hard_silu"),
    HardSigmoid: lambda layer: Curve("hard_sigmoid"),
    HardTanh: lambda layer: Curve("hard_tanh"),
    LeakyReLU: lambda layer: Curve("leaky_relu", (layer.negative_slope,)),
    Linear: lambda layer: Curve("relu", (math.nan,)),  # no x is below NaN
    LogSigmoid: lambda layer: Curve("log_sigmoid"),
    Mish: lambda layer: Curve("mish"),
    ReLU: _relu,
    # the slope at 0 is that from above
    SELU: lambda layer: Curve("elu", (SELU.SCALE * SELU.ALPHA, SELU.SCALE, BELOW_0)),
    SiLU: lambda layer: Curve("silu"),
    Sigmoid: lambda layer: Curve("sigmoid"),
    SoftShrink: lambda layer: Curve("soft_shrink", (layer.threshold,)),
    Softplus: lambda layer: Curve("softplus"),
    Softsign: lambda layer: Curve("softsign"),
    SparsePlus: lambda layer: Curve("sparse_plus"),
    SparseSigmoid: lambda layer: Curve("sparse_sigmoid"),
    Squareplus: lambda layer: Curve("squareplus", (layer.b, math.sqrt(layer.b))),
    Tanh: lambda layer: Curve("tanh"),
    TanhShrink: lambda layer: Curve("tanh_shrink"),
    Threshold: lambda layer: Curve("threshold", (layer.threshold, layer.default_value)),
}


def inside(layer: Layer) -> Layer:
    """The activation itself, where the layer is an Activation of that name."""
    if isinstance(layer, Activation) and type(layer) is Activation:
        return inside(layer.activation)
    return layer


def curve_of(layer: Layer) -> Curve | None:
    """The curve of an activation layer; None for what is none, and for a subclass, which may do
    something else."""
    activation = inside(layer)
    make = KNOWN.get(type(activation))
    return make(activation) if make else None


def is_relu(layer: Layer) -> bool:
    """Whether it is max(x, 0), without the arguments that ReLU also takes."""
    return curve_of(layer) == RELU


def is_linear(layer: Layer) -> bool:
    """Whether it changes nothing."""
    return type(inside(layer)) is Linear


def activation_of(layers: Sequence[Layer]) -> Layer:
    """The activation among the layers of a stage: that inside the first ones, or one of them."""
    for layer in layers:
        own = layer.activation if isinstance(layer, ActivatedLayer) else layer
        if isinstance(own, ActivationLayer) and not is_linear(own):
            return inside(own)
    return Linear(name="linear")

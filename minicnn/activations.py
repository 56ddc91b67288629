"""Activations as functions of arrays, under Keras's names.

    from minicnn import activations

    activations.gelu(np.array([-1.0, 0.0, 1.0]))
    Dense(3, activation=activations.gelu)         # as activation="gelu"
    Dense(3, activation=activations.Function(lambda x: x * x, derivative=lambda x: 2 * x))

Each applies the layer of `minicnn.layers.activations` that has its formula, its gradient and its
source. `Function` makes an activation from a user's own function and its derivative.

Numbers of other types than float32 and float64 become `minicnn.config.floatx()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config
from minicnn.layers import activations as layers
from minicnn.layers.activations.known import FUNCTIONS, KNOWN, NEEDS_ARGUMENTS, named
from minicnn.layers.activations.softmax import AlongAxis

Function = layers.Function

__all__ = [
    "Function",
    "celu",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

Array = NDArray[Any]


def _floats(x: Any, who: str) -> Array:
    x = checks.numeric(x, "x", who)
    return x if x.dtype in (np.float32, np.float64) else x.astype(config.floatx())


def _applied(layer: layers.Elementwise, x: Any) -> Array:
    return layer.applied(_floats(x, layer.name))


def _along(layer: AlongAxis, x: Any) -> Array:
    """Softmax of an array of any rank, whose axis 0 is no batch."""
    x, who = _floats(x, layer.name), layer.name
    axes = np.atleast_1d(layer.axis).tolist()
    if x.size == 0 or not all(-x.ndim <= axis < x.ndim for axis in axes):
        raise ValueError(f"{who}: expected x to have the axis {layer.axis}, received {x.shape}")
    axes = [axis - x.ndim if axis >= 0 else axis for axis in axes]
    layer.axis = tuple(axes) if isinstance(layer.axis, tuple) else axes[0]
    return layer.forward(x[None])[0]


@named
def linear(x: Any) -> Array:
    """x itself."""
    return _floats(x, "linear")


@named
def relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    """x above the threshold and up to max_value, below it negative_slope * (x - threshold)."""
    return _applied(layers.ReLU(max_value, negative_slope, threshold, name="relu"), x)


@named
def relu6(x: Any) -> Array:
    """max(x, 0), and at most 6."""
    return _applied(layers.ReLU(6.0, name="relu6"), x)


@named
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Array:
    """x where it is positive, else negative_slope * x."""
    return _applied(layers.LeakyReLU(negative_slope, name="leaky_relu"), x)


@named
def elu(x: Any, alpha: float = 1.0) -> Array:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    return _applied(layers.ELU(alpha, name="elu"), x)


@named
def celu(x: Any, alpha: float = 1.0) -> Array:
    """x where it is positive, else alpha * (exp(x / alpha) - 1)."""
    return _applied(layers.CELU(alpha, name="celu"), x)


@named
def selu(x: Any) -> Array:
    """ELU, scaled so that mean 0 and variance 1 are kept."""
    return _applied(layers.SELU(name="selu"), x)


@named
def gelu(x: Any, approximate: bool = False) -> Array:
    """x times the normal distribution below x, or an approximation of that by tanh."""
    return _applied(layers.GELU(approximate, name="gelu"), x)


@named
def silu(x: Any) -> Array:
    """x * sigmoid(x)."""
    return _applied(layers.SiLU(name="silu"), x)


@named
def mish(x: Any) -> Array:
    """x * tanh(softplus(x))."""
    return _applied(layers.Mish(name="mish"), x)


@named
def softplus(x: Any) -> Array:
    """log(1 + exp(x))."""
    return _applied(layers.Softplus(name="softplus"), x)


@named
def softsign(x: Any) -> Array:
    """x / (1 + |x|)."""
    return _applied(layers.Softsign(name="softsign"), x)


@named
def squareplus(x: Any, b: float = 4.0) -> Array:
    """(x + sqrt(x^2 + b)) / 2."""
    return _applied(layers.Squareplus(b, name="squareplus"), x)


@named
def sigmoid(x: Any) -> Array:
    """1 / (1 + exp(-x))."""
    return _applied(layers.Sigmoid(name="sigmoid"), x)


@named
def hard_sigmoid(x: Any) -> Array:
    """min(max(x + 3, 0), 6) / 6."""
    return _applied(layers.HardSigmoid(name="hard_sigmoid"), x)


@named
def hard_silu(x: Any) -> Array:
    """x * hard_sigmoid(x)."""
    return _applied(layers.HardSiLU(name="hard_silu"), x)


@named
def tanh(x: Any) -> Array:
    """Hyperbolic tangent."""
    return _applied(layers.Tanh(name="tanh"), x)


@named
def exponential(x: Any) -> Array:
    """exp(x)."""
    return _applied(layers.Exponential(name="exponential"), x)


@named
def softmax(x: Any, axis: int | Sequence[int] = -1) -> Array:
    """exp(x) over its sum along the axis, or along several."""
    return _along(layers.Softmax(axis, name="softmax"), x)


@named
def log_softmax(x: Any, axis: int | Sequence[int] = -1) -> Array:
    """The logarithm of softmax(x)."""
    return _along(layers.LogSoftmax(axis, name="log_softmax"), x)


@named
def log_sigmoid(x: Any) -> Array:
    """log(sigmoid(x))."""
    return _applied(layers.LogSigmoid(name="log_sigmoid"), x)


@named
def sparse_sigmoid(x: Any) -> Array:
    """min(max(x + 1, 0), 2) / 2."""
    return _applied(layers.SparseSigmoid(name="sparse_sigmoid"), x)


@named
def sparse_plus(x: Any) -> Array:
    """0 up to x = -1, (x + 1)^2 / 4 up to 1, then x."""
    return _applied(layers.SparsePlus(name="sparse_plus"), x)


@named
def hard_tanh(x: Any) -> Array:
    """min(max(x, -1), 1)."""
    return _applied(layers.HardTanh(name="hard_tanh"), x)


@named
def hard_shrink(x: Any, threshold: float = 0.5) -> Array:
    """x where |x| > threshold, else 0."""
    return _applied(layers.HardShrink(threshold, name="hard_shrink"), x)


@named
def soft_shrink(x: Any, threshold: float = 0.5) -> Array:
    """x moved by threshold towards 0, and 0 where |x| <= threshold."""
    return _applied(layers.SoftShrink(threshold, name="soft_shrink"), x)


@named
def tanh_shrink(x: Any) -> Array:
    """x - tanh(x)."""
    return _applied(layers.TanhShrink(name="tanh_shrink"), x)


@named
def sparsemax(x: Any, axis: int = -1) -> Array:
    """max(x - t, 0), with t such that the sum along the axis is 1."""
    return _along(layers.Sparsemax(axis, name="sparsemax"), x)


@named
def glu(x: Any, axis: int = -1) -> Array:
    """The first half of x along the axis times the sigmoid of the second half."""
    return _along(layers.GLU(axis, name="glu"), x)


@named
def threshold(x: Any, threshold: float, default_value: float) -> Array:
    """x where it is above the threshold, else default_value."""
    return _applied(layers.Threshold(threshold, default_value, name="threshold"), x)


swish, hard_swish = silu, hard_silu


def get(identifier: Any) -> Callable[..., Array]:
    """The function of that name; None is `linear`, a function or a layer is itself.

    Raises ValueError for an unknown name, TypeError for anything else.

    >>> get("relu") is relu
    True
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        name = checks.one_of(identifier, (*KNOWN, *NEEDS_ARGUMENTS), "activation", "activations")
        found: Callable[..., Array] = globals()[name]
        return found
    layer = layers.get(identifier)
    return identifier if identifier in FUNCTIONS else layer

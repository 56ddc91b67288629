"""Activations as ONNX operators: the formulas of `minicnn/layers/activations/`.

ONNX holds an operator's own settings in float32, whatever the model computes in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.export.graph import Graph, Value
from minicnn.layers import activations as known
from minicnn.layers.activations.known import Activation
from minicnn.layers.activations.softmax import AlongAxis

Exporter = Callable[[Graph, Any, Value], Value]

# one operator, by its name in ONNX
NAMED: dict[type[known.ActivationLayer], str] = {
    known.HardSiLU: "HardSwish",
    known.Mish: "Mish",
    known.Exponential: "Exp",
    known.Sigmoid: "Sigmoid",
    known.Softplus: "Softplus",
    known.Softsign: "Softsign",
    known.Tanh: "Tanh",
}


def named(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.apply(x, NAMED[type(layer)])


def nothing(graph: Graph, layer: Any, x: Value) -> Value:
    return x


def relu(graph: Graph, layer: Any, x: Value) -> Value:
    """min(x, max_value) where x > threshold, else negative_slope * (x - threshold)."""
    if layer.plain:
        return graph.apply(x, "Relu")
    if layer.threshold == 0 and layer.max_value is None:
        return graph.apply(x, "LeakyRelu", alpha=layer.negative_slope)
    zero = graph.constant(0, "zero")
    if layer.threshold == 0:
        y = graph.apply(x, "Clip", zero, graph.constant(layer.max_value, "max_value"))
    else:
        threshold = graph.constant(layer.threshold, "threshold")
        above = graph.node("Greater", x.name, threshold)
        y = x.named(graph.node("Where", above, x.name, zero))
        if layer.max_value is not None:
            y = graph.apply(y, "Min", graph.constant(layer.max_value, "max_value"))
    if layer.negative_slope:
        below = x
        if layer.threshold:
            below = graph.apply(x, "Sub", graph.constant(layer.threshold, "threshold"))
        below = graph.apply(below, "Min", zero)
        slope = graph.constant(layer.negative_slope, "negative_slope")
        y = graph.apply(y, "Add", graph.apply(below, "Mul", slope).name)
    return y


def leaky_relu(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.apply(x, "LeakyRelu", alpha=layer.negative_slope)


def elu(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.apply(x, "Elu", alpha=layer.alpha)


def celu(graph: Graph, layer: Any, x: Value) -> Value:
    """max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1); ONNX's Celu takes float32 alone."""
    alpha = graph.constant(layer.alpha, "alpha")
    below = graph.apply(graph.apply(x, "Min", graph.constant(0, "zero")), "Div", alpha)
    below = graph.apply(graph.apply(below, "Elu"), "Mul", alpha)
    return graph.apply(below, "Add", graph.node("Relu", x.name))


def selu(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.apply(x, "Selu", alpha=layer.ALPHA, gamma=layer.SCALE)


def hard_sigmoid(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.apply(x, "HardSigmoid", alpha=1 / 6, beta=0.5)


def silu(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.apply(x, "Mul", graph.node("Sigmoid", x.name))


def gelu(graph: Graph, layer: Any, x: Value) -> Value:
    """x * (1 + erf(x / sqrt(2))) / 2, or tanh in the place of erf."""
    if layer.approximate:
        cube = graph.apply(graph.apply(x, "Mul", x.name), "Mul", x.name)
        cube = graph.apply(cube, "Mul", graph.constant(0.044715, "cubic"))
        inner = graph.apply(graph.apply(x, "Add", cube.name), "Mul", _root(graph, 2 / math.pi))
        share = graph.apply(inner, "Tanh")
    else:
        share = graph.apply(graph.apply(x, "Mul", _root(graph, 1 / 2)), "Erf")
    share = graph.apply(share, "Add", graph.constant(1, "one"))
    share = graph.apply(share, "Mul", graph.constant(0.5, "half"))
    return graph.apply(x, "Mul", share.name)


def _root(graph: Graph, square: float) -> str:
    return graph.constant(math.sqrt(square), "scale")


def squareplus(graph: Graph, layer: Any, x: Value) -> Value:
    """(x + root) / 2; where x is negative, b / 2 / (root - x), which keeps the digits."""
    square = graph.node("Add", graph.node("Mul", x.name, x.name), graph.constant(layer.b, "b"))
    root = graph.node("Sqrt", square)
    half, zero = graph.constant(0.5, "half"), graph.constant(0, "zero")
    above = graph.node("Mul", graph.node("Add", x.name, root), half)
    size = graph.node("Abs", x.name)  # so that the side which is not chosen divides by no 0
    below = graph.node("Div", graph.constant(layer.b / 2, "half_b"), graph.node("Add", root, size))
    negative = graph.node("Less", x.name, zero)
    return x.named(graph.node("Where", negative, below, above))


def hard_tanh(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.apply(x, "Clip", graph.constant(-1, "low"), graph.constant(1, "high"))


def hard_shrink(graph: Graph, layer: Any, x: Value) -> Value:
    threshold, zero = graph.constant(layer.threshold, "threshold"), graph.constant(0, "zero")
    above = graph.node("Greater", graph.node("Abs", x.name), threshold)
    return x.named(graph.node("Where", above, x.name, zero))


def soft_shrink(graph: Graph, layer: Any, x: Value) -> Value:
    threshold, zero = graph.constant(layer.threshold, "threshold"), graph.constant(0, "zero")
    negative = graph.constant(-layer.threshold, "negative")
    below = graph.node("Less", x.name, negative)
    lifted = graph.node("Where", below, graph.node("Add", x.name, threshold), zero)
    above = graph.node("Greater", x.name, threshold)
    return x.named(graph.node("Where", above, graph.node("Sub", x.name, threshold), lifted))


def tanh_shrink(graph: Graph, layer: Any, x: Value) -> Value:
    return graph.apply(x, "Sub", graph.node("Tanh", x.name))


def log_sigmoid(graph: Graph, layer: Any, x: Value) -> Value:
    """-softplus(-x)."""
    return graph.apply(graph.apply(graph.apply(x, "Neg"), "Softplus"), "Neg")


def sparse_sigmoid(graph: Graph, layer: Any, x: Value) -> Value:
    moved = graph.apply(x, "Add", graph.constant(1, "one"))
    between = graph.constant(0, "low"), graph.constant(2, "high")
    return graph.apply(graph.apply(moved, "Clip", *between), "Mul", graph.constant(0.5, "half"))


def sparse_plus(graph: Graph, layer: Any, x: Value) -> Value:
    one = graph.constant(1, "one")
    bent = graph.apply(graph.apply(x, "Max", graph.constant(-1, "low")), "Add", one)
    bent = graph.apply(graph.apply(bent, "Mul", bent.name), "Mul", graph.constant(0.25, "quarter"))
    return x.named(graph.node("Where", graph.node("Less", x.name, one), bent.name, x.name))


def sparsemax(graph: Graph, layer: Any, x: Value) -> Value:
    """max(x - t, 0); t is (sum - 1) / count over the numbers that stay above it."""
    axis = graph.integers(x.at(layer.axis), "axis")
    axes = graph.integers([x.at(layer.axis)], "axes")
    x = graph.apply(x, "Sub", graph.node("ReduceMax", x.name, axes, keepdims=1))
    falling, one = graph.falling(x, layer.axis), graph.constant(1, "one")
    shape = [1] * len(x.shape)
    shape[x.at(layer.axis)] = -1
    k = graph.constant(np.arange(1, x.shape[layer.axis] + 1).reshape(shape), "k")
    means = graph.node("Div", graph.node("Sub", graph.node("CumSum", falling, axis), one), k)
    stays = graph.node("Where", graph.node("Greater", falling, means), one,
                       graph.constant(0, "zero"))  # fmt: skip
    total = graph.node("ReduceSum", graph.node("Mul", falling, stays), axes, keepdims=1)
    count = graph.node("ReduceSum", stays, axes, keepdims=1)
    moved = graph.apply(x, "Sub", graph.node("Div", graph.node("Sub", total, one), count))
    return graph.apply(moved, "Relu")


def glu(graph: Graph, layer: Any, x: Value) -> Value:
    x = graph.plain(x) if x.rows is not None else x  # the halves as the layers see them
    first, second = graph.halves(x, layer.axis)
    return x.named(graph.node("Mul", first, graph.node("Sigmoid", second)))


def threshold(graph: Graph, layer: Any, x: Value) -> Value:
    above = graph.node("Greater", x.name, graph.constant(layer.threshold, "threshold"))
    other = graph.constant(layer.default_value, "default_value")
    return x.named(graph.node("Where", above, x.name, other))


def softmax(graph: Graph, layer: Any, x: Value) -> Value:
    """Softmax or LogSoftmax: one operator along one axis, its formula along several."""
    logarithm = isinstance(layer, known.LogSoftmax)
    axes = axes_of(layer)
    if len(axes) == 1:
        operator = "LogSoftmax" if logarithm else "Softmax"
        return graph.apply(x, operator, axis=x.at(axes[0]))
    over = graph.integers([x.at(axis) for axis in axes], "axes")
    shifted = graph.apply(x, "Sub", graph.node("ReduceMax", x.name, over, keepdims=1))
    powers = graph.apply(shifted, "Exp")
    total = graph.node("ReduceSum", powers.name, over, keepdims=1)
    if logarithm:
        return graph.apply(shifted, "Sub", graph.node("Log", total))
    return graph.apply(powers, "Div", total)


def axes_of(layer: AlongAxis) -> tuple[int, ...]:
    return layer.axis if isinstance(layer.axis, tuple) else (layer.axis,)


def inner(graph: Graph, layer: Any, x: Value) -> Value:
    return activated(graph, layer, x)


EXPORTERS: dict[type[known.ActivationLayer], Exporter] = {
    **dict.fromkeys(NAMED, named),
    Activation: inner,
    known.CELU: celu,
    known.ELU: elu,
    known.GELU: gelu,
    known.GLU: glu,
    known.HardShrink: hard_shrink,
    known.HardSigmoid: hard_sigmoid,
    known.HardTanh: hard_tanh,
    known.LeakyReLU: leaky_relu,
    known.Linear: nothing,
    known.LogSigmoid: log_sigmoid,
    known.LogSoftmax: softmax,
    known.ReLU: relu,
    known.SELU: selu,
    known.SiLU: silu,
    known.SoftShrink: soft_shrink,
    known.Softmax: softmax,
    known.SparsePlus: sparse_plus,
    known.SparseSigmoid: sparse_sigmoid,
    known.Sparsemax: sparsemax,
    known.Squareplus: squareplus,
    known.TanhShrink: tanh_shrink,
    known.Threshold: threshold,
}


def activated(graph: Graph, layer: Any, z: Value) -> Value:
    """What the activation inside `layer` makes of z."""
    return EXPORTERS[type(layer.activation)](graph, layer.activation, z)

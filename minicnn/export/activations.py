"""Activations as ONNX operators: the formulas of `minicnn/layers/activations/`.

ONNX holds an operator's own settings in float32, whatever the model computes in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

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
    known.HardSigmoid: hard_sigmoid,
    known.LeakyReLU: leaky_relu,
    known.Linear: nothing,
    known.LogSoftmax: softmax,
    known.ReLU: relu,
    known.SELU: selu,
    known.SiLU: silu,
    known.Softmax: softmax,
    known.Squareplus: squareplus,
}


def activated(graph: Graph, layer: Any, z: Value) -> Value:
    """What the activation inside `layer` makes of z."""
    return EXPORTERS[type(layer.activation)](graph, layer.activation, z)

"""Every layer as ONNX operators: what `forward` of its file does outside of training.

A function of the table takes the graph, the layer, its x, and the shape of y.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import layers as known
from minicnn.export.activations import EXPORTERS as ACTIVATIONS
from minicnn.export.activations import activated
from minicnn.export.graph import Graph, Value
from minicnn.layers.base import Layer, Shape
from minicnn.layers.contents import layers_inside
from minicnn.layers.input import InputLayer
from minicnn.layers.normalizing import axes_of, only
from minicnn.layers.resizing import ToSize, mixing
from minicnn.layers.windows import Windows, reach

Array = NDArray[Any]
Exporter = Callable[[Graph, Any, Value, Shape], Value]


def nothing(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    """What acts in training alone, or not at all."""
    return x


# -- convolutions and dense layers ----------------------------------------------------------------


def _window(win: Windows, H_in: int, W_in: int, *, dilated: bool = True) -> dict[str, Any]:
    """Attributes of an operator that slides the windows over images of H_in x W_in."""
    below = (win.H_out - 1) * win.S_h + reach(win.K_h, win.D_h) - H_in - win.P_top
    right = (win.W_out - 1) * win.S_w + reach(win.K_w, win.D_w) - W_in - win.P_left
    attributes = {
        "kernel_shape": [win.K_h, win.K_w],
        "strides": [win.S_h, win.S_w],
        "pads": [win.P_top, win.P_left, max(0, below), max(0, right)],
    }
    return {**attributes, "dilations": [win.D_h, win.D_w]} if dilated else attributes


def _bias(graph: Graph, layer: Any) -> list[str]:
    return [graph.constant(layer.params["b"], "bias")] if layer.use_bias else []


def conv2d(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    x = graph.channels_first(x)
    # (K_h, K_w, C_in / groups, C_out) to (C_out, C_in / groups, K_h, K_w)
    W = graph.constant(layer.params["W"].transpose(3, 2, 0, 1), "kernel")
    window = _window(layer.windows(x.shape), *x.shape[1:3])
    z = graph.node("Conv", x.name, W, *_bias(graph, layer), group=layer.groups, **window)
    return activated(graph, layer, Value(z, y_shape, x.order))


def _depthwise(graph: Graph, layer: Any, x: Value, W: Array, bias: list[str]) -> str:
    *_, C_in, M = W.shape
    # (K_h, K_w, C_in, M) to (C_in * M, 1, K_h, K_w), a group for each channel
    kernel = W.transpose(2, 3, 0, 1).reshape(C_in * M, 1, *W.shape[:2])
    window = _window(layer.windows(x.shape), *x.shape[1:3])
    name = graph.constant(kernel, "depthwise_kernel")
    return graph.node("Conv", x.name, name, *bias, group=C_in, **window)


def depthwise_conv2d(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    x = graph.channels_first(x)
    z = _depthwise(graph, layer, x, layer.params["W"], _bias(graph, layer))
    return activated(graph, layer, Value(z, y_shape, x.order))


def separable_conv2d(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    x = graph.channels_first(x)
    u = _depthwise(graph, layer, x, layer.params["depthwise_kernel"], [])
    P = graph.constant(layer.params["pointwise_kernel"].transpose(3, 2, 0, 1), "pointwise_kernel")
    z = graph.node("Conv", u, P, *_bias(graph, layer), kernel_shape=[1, 1])
    return activated(graph, layer, Value(z, y_shape, x.order))


def conv2d_transpose(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    x = graph.channels_first(x)
    win, (_, H_out, W_out, _) = layer.windows_of_y(x.shape)
    # (K_h, K_w, C_out, C_in) to (C_in, C_out, K_h, K_w)
    W = graph.constant(layer.params["W"].transpose(3, 2, 0, 1), "kernel")
    pads, more = [win.P_top, win.P_left], []
    for n, k, s, size, before in (
        (x.shape[1], reach(win.K_h, win.D_h), win.S_h, H_out, win.P_top),
        (x.shape[2], reach(win.K_w, win.D_w), win.S_w, W_out, win.P_left),
    ):
        behind = (n - 1) * s + k - before - size  # what the windows cover beyond y
        pads.append(max(0, behind))
        more.append(max(0, -behind))
    z = graph.node(
        "ConvTranspose",
        x.name,
        W,
        *_bias(graph, layer),
        kernel_shape=[win.K_h, win.K_w],
        strides=[win.S_h, win.S_w],
        dilations=[win.D_h, win.D_w],
        pads=pads,
        output_padding=more,
    )
    return activated(graph, layer, Value(z, y_shape, x.order))


def dense(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    W = layer.params["W"]
    order = tuple(range(len(y_shape)))
    if len(x.shape) == 2:
        kernel = graph.constant(W if x.rows is None else W[x.rows], "kernel")
        z = graph.node("Gemm", x.name, kernel, *_bias(graph, layer))
    elif len(x.shape) == 4 and x.at(3) == 1:  # a 1x1 convolution, so that nothing is transposed
        x = graph.channels_first(x)
        kernel = graph.constant(W.T[:, :, None, None], "kernel")
        z = graph.node("Conv", x.name, kernel, *_bias(graph, layer), kernel_shape=[1, 1])
        order = x.order
    else:
        x = graph.plain(x)
        z = graph.node("MatMul", x.name, graph.constant(W, "kernel"))
        if layer.use_bias:
            z = graph.node("Add", z, *_bias(graph, layer))
    return activated(graph, layer, Value(z, y_shape, order))


# -- pooling --------------------------------------------------------------------------------------


def max_pooling(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    x = graph.channels_first(x)
    window = _window(layer.windows(x.shape), *x.shape[1:3], dilated=False)
    return Value(graph.node("MaxPool", x.name, **window), y_shape, x.order)


def average_pooling(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    x = graph.channels_first(x)
    window = _window(layer.windows(x.shape), *x.shape[1:3], dilated=False)
    y = graph.node("AveragePool", x.name, count_include_pad=0, **window)
    return Value(y, y_shape, x.order)


def global_pooling(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    operator = "ReduceMax" if isinstance(layer, known.GlobalMaxPooling2D) else "ReduceMean"
    axes = graph.integers(sorted(x.at(axis) for axis in (1, 2)), "axes")
    y = graph.node(operator, x.name, axes, keepdims=int(layer.keepdims))
    return Value(y, y_shape, x.order if layer.keepdims else (0, 1))


# -- normalizations -------------------------------------------------------------------------------


def _scaled_and_shifted(graph: Graph, layer: Any, x_hat: Value, axes: tuple[int, ...]) -> Value:
    along = only(axes, x_hat.shape)
    for key, operator in (("gamma", "Mul"), ("beta", "Add")):
        if key in layer.params:
            values = layer.params[key].reshape((1, *along[1:]))
            x_hat = graph.apply(x_hat, operator, graph.beside(x_hat, values, key))
    return x_hat


def batch_normalization(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    axes = layer.axes_in(x.shape)
    mean, variance = layer.state["moving_mean"], layer.state["moving_variance"]
    if len(axes) == 1 and x.at(axes[0]) == 1:
        gamma = layer.params.get("gamma", np.ones_like(mean))
        beta = layer.params.get("beta", np.zeros_like(mean))
        arrays = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
        rows = slice(None) if x.rows is None else x.rows
        names = [graph.constant(array[rows], key) for key, array in arrays.items()]
        return graph.apply(x, "BatchNormalization", *names, epsilon=layer.epsilon)
    along = (1, *only(axes, x.shape)[1:])
    inverse = (1 / np.sqrt(variance + layer.epsilon)).reshape(along)
    x = graph.apply(x, "Sub", graph.beside(x, mean.reshape(along), "moving_mean"))
    x = graph.apply(x, "Mul", graph.beside(x, inverse, "inverse_deviation"))
    return _scaled_and_shifted(graph, layer, x, axes)


def _standardized(graph: Graph, x: Value, axes: list[int], epsilon: float) -> Value:
    """(x - mean) / sqrt(var + epsilon), mean and variance over some axes of the graph."""
    return _over_root_mean_square(graph, graph.apply(x, "Sub", graph.mean(x, axes)), axes, epsilon)


def _over_root_mean_square(graph: Graph, x: Value, axes: list[int], epsilon: float) -> Value:
    square = graph.mean(graph.apply(x, "Mul", x.name), axes)
    root = graph.node("Sqrt", graph.node("Add", square, graph.constant(epsilon, "epsilon")))
    return graph.apply(x, "Div", root)


def layer_normalization(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    axes = layer.axes_in(x.shape)
    x_hat = _standardized(graph, x, sorted(x.at(axis) for axis in axes), layer.epsilon)
    return _scaled_and_shifted(graph, layer, x_hat, axes)


def rms_normalization(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    axes = axes_of(layer.axis, x.shape, layer.who)
    x_hat = _over_root_mean_square(graph, x, sorted(x.at(axis) for axis in axes), layer.epsilon)
    scale = layer.params["scale"].reshape((1, *only(axes, x.shape)[1:]))
    return graph.apply(x_hat, "Mul", graph.beside(x, scale, "scale"))


def group_normalization(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    if x.rows is not None:
        x = graph.plain(x)
    (axis,) = layer.axes_in(x.shape)
    at = x.at(axis)
    C = int(x.shape[axis])
    groups = layer.groups_of(C)
    held = [0, *x.held]
    # the channels' axis becomes two, and the mean is taken over all but the first of them
    apart = graph.as_sizes(x.name, [*held[1:at], groups, C // groups, *held[at + 1 :]])
    inside = Value(apart, (*x.shape, 1), tuple(range(len(held) + 1)))
    axes = [k for k in range(1, len(held) + 1) if k != at]
    x_hat = _standardized(graph, inside, axes, layer.epsilon)
    return _scaled_and_shifted(graph, layer, x.named(graph.as_sizes(x_hat.name, held[1:])), (axis,))


def unit_normalization(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    """As in its `forward`, over the largest number first: squares of large ones would overflow."""
    axes = graph.integers(sorted({x.at(k) for k in np.atleast_1d(layer.axis)}), "axes")
    largest = graph.node("ReduceMax", graph.node("Abs", x.name), axes, keepdims=1)
    above = graph.node("Greater", largest, graph.constant(0, "zero"))
    unit = graph.node("Where", above, largest, graph.constant(1, "one"))
    share = graph.node("Div", x.name, unit)
    total = graph.node("ReduceSum", graph.node("Mul", share, share), axes, keepdims=1)
    length = graph.node("Mul", unit, graph.node("Sqrt", total))
    length = graph.node("Max", length, graph.constant(1e-12, "shortest"))
    return graph.apply(x, "Div", length)


def normalization(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    like = np.broadcast_to(graph.dtype.type(0), (1, *x.shape[1:]))
    mean, deviation = layer.mean_and_deviation(like)
    mean, deviation = (
        graph.beside(x, values, name) for name, values in (("mean", mean), ("deviation", deviation))
    )
    if layer.invert:
        return graph.apply(graph.apply(x, "Mul", deviation), "Add", mean)
    return graph.apply(graph.apply(x, "Sub", mean), "Div", deviation)


def rescaling(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    for name, operator in (("scale", "Mul"), ("offset", "Add")):
        values = np.asarray(getattr(layer, name), graph.dtype)
        if values.ndim:
            wide = values.reshape((1,) * (len(x.shape) - 1) + (-1,))
            x = graph.apply(x, operator, graph.beside(x, wide, name))
        elif name == "scale" or values:
            x = graph.apply(x, operator, graph.constant(values, name))
    return x


def prelu(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    alpha = layer.params["alpha"]
    return graph.apply(x, "PRelu", graph.beside(x, alpha[None], "alpha"))


# -- shapes ---------------------------------------------------------------------------------------


def reshape(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    """Flatten and Reshape."""
    return graph.reshaped(x, y_shape)


def permute(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    """No node: the axes are held as before and called by other names."""
    dims = (0, *layer.dims)
    return Value(x.name, y_shape, tuple(dims.index(axis) for axis in x.order), x.rows)


def repeat_vector(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    x = graph.plain(x)
    column = graph.node("Unsqueeze", x.name, graph.integers([1], "axis"))
    y = graph.node("Tile", column, graph.integers([1, layer.n, 1], "repeats"))
    return Value(y, y_shape, (0, 1, 2))


def zero_padding(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    return _padded(graph, x, layer.padding, y_shape)


def _padded(graph: Graph, x: Value, sides: Any, y_shape: Shape, value: float = 0.0) -> Value:
    """x with cells of `value` on its sides: ((top, bottom), (left, right))."""
    around = {x.at(axis): pair for axis, pair in zip((1, 2), sides)}
    pads = [around.get(k, (0, 0))[end] for end in (0, 1) for k in range(4)]
    others = [graph.integers(pads, "pads")]
    if value:
        others.append(graph.constant(value, "fill_value"))
    return Value(graph.node("Pad", x.name, *others), y_shape, x.order)


def _cut(graph: Graph, x: Value, rows: tuple[int, int], columns: tuple[int, int]) -> Value:
    """Rows and columns of images, each from a first one up to another one."""
    if (rows, columns) == ((0, x.shape[1]), (0, x.shape[2])):
        return x
    starts = graph.integers([rows[0], columns[0]], "starts")
    ends = graph.integers([rows[1], columns[1]], "ends")
    axes = graph.integers([x.at(1), x.at(2)], "axes")
    shape = (x.shape[0], rows[1] - rows[0], columns[1] - columns[0], x.shape[3])
    return Value(graph.node("Slice", x.name, starts, ends, axes), shape, x.order)


def cropping(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    (top, _), (left, _) = layer.cropping
    return _cut(graph, x, (top, top + y_shape[1]), (left, left + y_shape[2]))


def up_sampling(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    return _resized(graph, layer.interpolation, x, y_shape)


def to_size(graph: Graph, layer: ToSize, x: Value, y_shape: Shape) -> Value:
    """Resizing, and outside of training CenterCrop and RandomCrop: cut, surrounded, resized."""
    (rows, columns), (top, left) = layer.part_of(*x.shape[1:3])
    x = _cut(graph, x, (rows.start, rows.stop), (columns.start, columns.stop))
    if (top, left) != (0, 0):
        H, W = x.shape[1:3]
        shape = (x.shape[0], H + 2 * top, W + 2 * left, x.shape[3])
        x = _padded(graph, x, ((top, top), (left, left)), shape, layer.fill_value)
    return _resized(graph, layer.interpolation, x, y_shape)


def _resized(graph: Graph, interpolation: str, x: Value, y_shape: Shape) -> Value:
    """Images of another size.

    Runtimes find a pixel's place in float32, so that Resize takes another row where that is
    rounded across a half. It stands where the place has no rounding: whole factors, for a mix of
    rows powers of two. Elsewhere rows are picked by their numbers, or mixed by the layer's matrix.
    """
    nearest = interpolation == "nearest"
    factors = {x.at(axis): y_shape[axis] / x.shape[axis] for axis in (1, 2)}
    if all(factor == 1 for factor in factors.values()):
        return x
    if all(_exact(factor, nearest) for factor in factors.values()):
        mode: dict[str, Any] = {"mode": "nearest", "nearest_mode": "floor"}
        if not nearest:
            x = graph.channels_first(x)
            factors = dict(zip((2, 3), factors.values()))
            mode = {"mode": "linear"}
        scales = graph.scales([factors.get(k, 1) for k in range(4)], "scales")
        y = graph.node(
            "Resize",
            x.name,
            "",
            scales,
            coordinate_transformation_mode="asymmetric" if nearest else "half_pixel",
            **mode,
        )
        return Value(y, y_shape, x.order)
    if not nearest:
        x = graph.channels_first(x)
    name = x.name
    for axis, what in ((1, "rows"), (2, "columns")):
        A = mixing(x.shape[axis], y_shape[axis], interpolation)
        if np.array_equal(A, np.eye(*A.shape)):
            continue
        if nearest:
            places = graph.integers(A.argmax(axis=1), what)
            name = graph.node("Gather", name, places, axis=x.at(axis))
        elif axis == 1:
            name = graph.node("MatMul", graph.constant(A, what), name)
        else:
            name = graph.node("MatMul", name, graph.constant(A.T, what))
    return Value(name, y_shape, x.order)


def _exact(factor: float, nearest: bool) -> bool:
    """Whether images resized by the factor have places that float32 holds."""
    whole = factor >= 1 and factor == int(factor)
    return whole and (nearest or int(factor) & (int(factor) - 1) == 0)


# -- the table ------------------------------------------------------------------------------------


def activation(graph: Graph, layer: Any, x: Value, y_shape: Shape) -> Value:
    return replace(ACTIVATIONS[type(layer)](graph, layer, x), shape=y_shape)


EXPORTERS: dict[type[Layer], Exporter] = {
    **dict.fromkeys(ACTIVATIONS, activation),
    known.ActivityRegularization: nothing,
    known.AlphaDropout: nothing,
    known.AveragePooling2D: average_pooling,
    known.BatchNormalization: batch_normalization,
    known.CenterCrop: to_size,
    known.Conv2D: conv2d,
    known.Conv2DTranspose: conv2d_transpose,
    known.Cropping2D: cropping,
    known.Dense: dense,
    known.DepthwiseConv2D: depthwise_conv2d,
    known.Dropout: nothing,
    known.Flatten: reshape,
    known.GaussianDropout: nothing,
    known.GaussianNoise: nothing,
    known.GlobalAveragePooling2D: global_pooling,
    known.GlobalMaxPooling2D: global_pooling,
    known.GroupNormalization: group_normalization,
    known.Identity: nothing,
    InputLayer: nothing,
    known.LayerNormalization: layer_normalization,
    known.MaxPooling2D: max_pooling,
    known.Normalization: normalization,
    known.PReLU: prelu,
    known.Permute: permute,
    known.RMSNormalization: rms_normalization,
    known.RandomBrightness: nothing,
    known.RandomContrast: nothing,
    known.RandomCrop: to_size,
    known.RandomErasing: nothing,
    known.RandomFlip: nothing,
    known.RandomRotation: nothing,
    known.RandomTranslation: nothing,
    known.RandomZoom: nothing,
    known.RepeatVector: repeat_vector,
    known.Rescaling: rescaling,
    known.Reshape: reshape,
    known.Resizing: to_size,
    known.SeparableConv2D: separable_conv2d,
    known.SpatialDropout2D: nothing,
    known.UnitNormalization: unit_normalization,
    known.UpSampling2D: up_sampling,
    known.ZeroPadding2D: zero_padding,
}


def expect_known(layer: Layer, who: str) -> None:
    """Raise TypeError unless the layer, and an activation inside it, are the package's own."""
    for one in layers_inside(layer):
        if type(one) in EXPORTERS:
            continue
        inside = "" if one is layer else f" inside {layer.who}"
        raise TypeError(
            f"{who}: expected layers of minicnn.layers, which have a form in ONNX, received "
            f"{one.who}{inside}, whose Python code an ONNX file cannot hold. Export the layers up "
            "to it: Sequential(model.layers[:k]).export(...)"
        )

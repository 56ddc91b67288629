"""Every public layer: see `LayerCase`. A new layer is one entry of LAYERS."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from counts import is_full

import minicnn.layers
from cases import Draw, Example, LayerCase, Shape, public
from cases.activations import ACTIVATION_CASES
from cases.augmentation import AUGMENTATION_CASES
from cases.noise import RANDOM_CASES
from cases.shapes import SHAPE_CASES
from minicnn.initializers import GlorotUniform
from minicnn.layers import (
    Activation,
    ActivityRegularization,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling2D,
    GroupNormalization,
    InputLayer,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    ReLU,
    Rescaling,
    RMSNormalization,
    SeparableConv2D,
    Tanh,
)
from minicnn.layers.activations import KNOWN as ACTIVATIONS

ACTIVATION_NAMES = (None, *sorted(ACTIVATIONS.keys() - {"exponential", "glu", "hard_shrink"}))


FUSED_ACTIVATIONS = ("tanh", "sigmoid", "gelu", "silu", "softplus", "elu", "selu", "relu6", "mish")


def public_layers() -> set[type[Layer]]:
    """Every layer class that `minicnn.layers` shows to its users."""
    return public(minicnn.layers, Layer)


# -- activations ----------------------------------------------------------------------------------


def each_number(one: Any) -> Any:
    """The definition of a layer that maps every number by itself."""
    return lambda case, layer, x: [one(v) for v in np.ravel(x).tolist()]


def activated(layer: Layer, z: Any) -> Any:
    """The definition of the activation that stands inside a layer."""
    return LAYERS[type(layer.activation)].definition(None, layer.activation, z)


def torch_activated(torch: Any, layer: Layer, z: Any) -> Any:
    return LAYERS[type(layer.activation)].torch(torch, layer.activation, {}, z, False)


def activation_side(layer: Layer, y: Any) -> Any:
    side = LAYERS[type(layer.activation)].side
    return side(layer.activation, y) if side else ()


def some_activation(draw: Draw) -> Any:
    """One that can follow any sums of any number of filters.

    e^z is infinite in float32 beyond z = 88, hard_shrink jumps, and glu halves the filters.
    """
    return draw.one_of(*ACTIVATION_NAMES)


# -- windows --------------------------------------------------------------------------------------


def starts(n: int, k: int, s: int, padding: str) -> list[int]:
    """Where the windows along an axis of n cells begin; a negative start lies in the padding.

    k is what a window reaches over, gaps and all.
    """
    if padding == "valid":
        return [start for start in range(0, n, s) if start + k <= n]
    count = math.ceil(n / s)
    total = max(0, (count - 1) * s + k - n)
    return [i * s - total // 2 for i in range(count)]


def reaches(layer: Any) -> tuple[int, int]:
    """Rows and columns from the first to the last cell of a window, which may have gaps."""
    window = getattr(layer, "pool_size", None) or layer.kernel_size
    gaps = getattr(layer, "dilation_rate", (1, 1))
    return tuple((K - 1) * d + 1 for K, d in zip(window, gaps))  # type: ignore[return-value]


def windows(layer: Any, shape: Shape) -> Any:
    """Place (i, j) of each window, and its cells inside the image: (a, b, h, w), row by row."""
    _, H_in, W_in, _ = shape
    k_h, k_w = reaches(layer)
    D_h, D_w = getattr(layer, "dilation_rate", (1, 1))
    S_h, S_w = layer.strides
    for i, top in enumerate(starts(H_in, k_h, S_h, layer.padding)):
        for j, left in enumerate(starts(W_in, k_w, S_w, layer.padding)):
            yield (
                (i, j),
                [
                    (a // D_h, b // D_w, top + a, left + b)
                    for a, b in itertools.product(range(0, k_h, D_h), range(0, k_w, D_w))
                    if 0 <= top + a < H_in and 0 <= left + b < W_in
                ],
            )


def by_window(layer: Any, shape: Shape, value: Any) -> np.ndarray:
    """value(n, cells) for every image and window, as one array (N, H_out, W_out, channels)."""
    found = {
        place: [value(n, cells) for n in range(shape[0])] for place, cells in windows(layer, shape)
    }
    H_out, W_out = (max(place[axis] for place in found) + 1 for axis in (0, 1))
    rows = [[found[i, j] for j in range(W_out)] for i in range(H_out)]
    return np.array(rows).transpose(2, 0, 1, 3)


def some_windows(draw: Draw, name: str) -> tuple[dict[str, Any], Shape]:
    """Windows larger than the image where padding allows them, strides beyond the window, and
    sizes that the strides do not divide all come up."""
    window, padding = draw.pair(4), draw.one_of("valid", "same", "SAME")
    kwargs = {name: window, "padding": padding}
    if draw.flag():
        kwargs["strides"] = draw.pair(4)
    K_h, K_w = window if isinstance(window, tuple) else (window, window)
    H_low, W_low = (K_h, K_w) if padding == "valid" else (1, 1)
    return kwargs, (draw.size(1, 2), draw.size(H_low, 6), draw.size(W_low, 6), draw.size(1, 3))


def windows_inside(draw: Draw, sample: Shape, name: str, usual: Any) -> dict[str, Any] | None:
    """In half of the networks the window and strides that the engine has a fused stage for."""
    if len(sample) != 3:
        return None
    any_other = (draw.size(1, 3), draw.size(1, 3)), (draw.size(1, 2), draw.size(1, 2))
    window, strides = draw.one_of(usual, any_other)
    fits = window[0] <= sample[0] and window[1] <= sample[1]
    return {
        name: window,
        "strides": strides,
        "padding": draw.one_of("valid", "same") if fits else "same",
    }


def images_first(x: Any) -> Any:
    """NHWC, as ours, to NCHW."""
    return x.permute(0, 3, 1, 2)


def channels_last(y: Any) -> Any:
    return y.permute(0, 2, 3, 1)


def torch_padded(torch: Any, layer: Any, x: Any, value: float) -> Any:
    """x (NCHW) with the cells of "same" around it: the odd one at the end, which PyTorch's own
    padding="same" refuses with strides and its padding=1 puts on both sides."""
    if layer.padding == "valid":
        return x
    before_and_after = []  # width first, as F.pad has it
    for n, k, s in zip(x.shape[:1:-1], reaches(layer)[::-1], layer.strides[::-1]):
        total = max(0, (math.ceil(n / s) - 1) * s + k - n)
        before_and_after += [total // 2, total - total // 2]
    return torch.nn.functional.pad(x, before_and_after, value=value)


# -- convolution ----------------------------------------------------------------------------------


def convolution(case: Any, layer: Any, x: Any) -> Any:
    filters, groups = layer.filters, layer.groups
    seen = case.shape[3] // groups  # channels that one filter sees
    W = layer.params["W"].tolist()
    bias = layer.params["b"].tolist() if "b" in layer.params else [0.0] * filters

    def value(n: int, cells: Any) -> list[float]:
        y = []
        for f in range(filters):
            first = f // (filters // groups) * seen
            y.append(
                bias[f]
                + math.fsum(
                    x[n][h][w][first + c] * W[a][b][c][f]
                    for a, b, h, w in cells
                    for c in range(seen)
                )
            )
        return y

    return activated(layer, by_window(layer, case.shape, value))


def torch_convolution(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    kernel = params["W"].permute(3, 2, 0, 1).contiguous()  # (C_out, C_in, K_h, K_w)
    x = torch_padded(torch, layer, images_first(x), 0.0)
    z = torch.nn.functional.conv2d(
        x,
        kernel,
        params.get("b"),
        stride=layer.strides,
        dilation=layer.dilation_rate,
        groups=layer.groups,
    )
    return torch_activated(torch, layer, channels_last(z))


def some_gaps(draw: Draw, kwargs: dict[str, Any], shape: Shape) -> tuple[dict[str, Any], Shape]:
    """A dilation_rate beside some windows, and an image that has room for it."""
    gaps = draw.pair(3)
    K, D = (
        side if isinstance(side, tuple) else (side, side) for side in (kwargs["kernel_size"], gaps)
    )
    if kwargs["padding"] == "valid":
        H, W = (max(n, (k - 1) * d + 1) for n, k, d in zip(shape[1:3], K, D))
        shape = (shape[0], H, W, shape[3])
    return {**kwargs, "dilation_rate": gaps}, shape


def without_strides(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != "strides"}


def some_convolution(draw: Draw) -> tuple[dict[str, Any], Shape]:
    kwargs, shape = some_windows(draw, "kernel_size")
    kwargs |= {"filters": draw.size(1, 3), "use_bias": draw.flag()}
    if draw.flag():
        kwargs, shape = some_gaps(draw, without_strides(kwargs), shape)
    if draw.flag():
        kwargs["groups"] = groups = draw.size(1, 3)
        kwargs["filters"] = groups * draw.size(1, 2)
        shape = (*shape[:3], groups * draw.size(1, 2))
    return {**kwargs, "activation": some_activation(draw)}, shape


def conv(filters: int, kernel_size: Any, shape: Shape, **kwargs: Any) -> Example:
    return Example({"filters": filters, "kernel_size": kernel_size, **kwargs}, shape)


def convolution_inside(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    kwargs = windows_inside(draw, sample, "kernel_size", ((3, 3), (1, 1)))
    if kwargs is None:
        return None
    activation = draw.one_of(None, "relu", "relu", "tanh", "sigmoid")
    kwargs |= {"filters": draw.one_of(1, 2, 4, 5), "activation": activation}
    if draw.size(0, 3) == 0 and sample[2] % 2 == 0:
        kwargs |= {"groups": 2, "filters": 4}
    if draw.size(0, 3) == 0 and kwargs["strides"] == (1, 1):
        kwargs |= {"dilation_rate": 2, "padding": "same"}
    return kwargs


def convolution_fused(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    """In half of the networks the 3x3 windows that the engine has two ways of their own for."""
    if len(sample) != 3 or min(sample[:2]) < 5:
        return None
    any_other = (draw.size(1, 5), draw.size(1, 5)), (draw.size(1, 2), draw.size(1, 2))
    window, strides = draw.one_of(((3, 3), (1, 1)), any_other)
    dilation = draw.one_of((1, 1), (1, 1), (2, 1), (1, 2)) if strides == (1, 1) else (1, 1)
    fits = all((k - 1) * d < n for k, d, n in zip(window, dilation, sample))
    return {
        # kernels of six filters, which fill no vector, take seconds to compile
        "filters": draw.one_of(4, 6 if is_full() else 8, 22),
        "kernel_size": window,
        "strides": strides,
        "dilation_rate": dilation,
        "padding": draw.one_of("same", "valid") if fits else "same",
        "activation": draw.one_of(None, None, "relu", "relu", draw.one_of(*FUSED_ACTIVATIONS)),
        "use_bias": draw.flag(),
        "groups": draw.one_of(1, 1, 2) if sample[2] % 2 == 0 else 1,
    }


def depthwise_fused(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    kwargs = convolution_fused(draw, sample)
    if kwargs is None:
        return None
    del kwargs["filters"], kwargs["groups"]
    return kwargs | {"strides": max(kwargs["strides"]), "depth_multiplier": draw.one_of(1, 1, 3)}


def separable_fused(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    """As the depthwise stage, with what may stand behind a convolution."""
    kwargs = convolution_fused(draw, sample)
    if kwargs is None:
        return None
    del kwargs["groups"]
    return kwargs | {"strides": max(kwargs["strides"]), "depth_multiplier": draw.one_of(1, 1, 2)}


WORDS = {  # of every convolution, beside its windows
    "activation": "relu",
    "use_bias": True,
    "kernel_initializer": "he_normal",
    "bias_initializer": GlorotUniform(seed=3),
    "kernel_regularizer": "l2",
    "bias_regularizer": "l1",
    "activity_regularizer": "l1l2",
    "kernel_constraint": "unit_norm",
    "bias_constraint": "non_neg",
}


def named(words: dict[str, Any], *kernels: str) -> dict[str, Any]:
    """The same arguments where the kernel has other names."""
    return {
        name.replace("kernel", kernel): value for name, value in words.items() for kernel in kernels
    }


def without_kernel(kwargs: Any) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != "kernel_size"}


def each(kernel_size: Any, shape: Shape, **kwargs: Any) -> Example:
    return Example({"kernel_size": kernel_size, **kwargs}, shape)


DEPTHWISE = {  # what Keras is asked; TensorFlow takes equal strides alone
    "plain": each(3, (2, 5, 6, 3)),
    "1x1": each(1, (2, 3, 4, 2), depth_multiplier=3),
    "2x3, relu": each([2, 3], (2, 5, 6, 2), activation="relu"),
    "multiplier 2, same": each(3, (2, 5, 6, 2), depth_multiplier=2, padding="same"),
    "same, even kernel": each([2, 4], (2, 5, 6, 2), padding="same"),
    "stride 2": each(3, (2, 7, 8, 2), strides=2),
    "stride 2, same": each(3, (2, 7, 8, 2), strides=2, padding="same", depth_multiplier=2),
    "stride beyond the kernel, same": each(1, (2, 7, 8, 2), strides=3, padding="same"),
    "dilated": each(3, (2, 7, 8, 2), dilation_rate=2),
    "dilated 2x3, same": each([2, 3], (2, 7, 8, 2), dilation_rate=[2, 3], padding="same"),
    "no bias, tanh": each(2, (2, 4, 5, 2), use_bias=False, activation="tanh"),
}


def each_channel(layer: Any, shape: Shape, W: Any, x: Any) -> np.ndarray:
    """A convolution of each channel by itself, with W (K_h, K_w, C_in, M)."""
    C, M = shape[3], layer.depth_multiplier

    def value(n: int, cells: Any) -> list[float]:
        return [
            math.fsum(x[n][h][w][c] * W[a][b][c][m] for a, b, h, w in cells)
            for c in range(C)
            for m in range(M)
        ]

    return by_window(layer, shape, value)


def depthwise(case: Any, layer: Any, x: Any) -> Any:
    z = each_channel(layer, case.shape, layer.params["W"].tolist(), x)
    return activated(layer, z + layer.params["b"] if layer.use_bias else z)


def separable(case: Any, layer: Any, x: Any) -> Any:
    u = each_channel(layer, case.shape, layer.params["depthwise_kernel"].tolist(), x)
    P = layer.params["pointwise_kernel"][0, 0].tolist()
    bias = layer.params["b"].tolist() if layer.use_bias else [0.0] * layer.filters
    z = [
        bias[f] + math.fsum(v * P[k][f] for k, v in enumerate(cell))
        for cell in u.reshape(-1, len(P)).tolist()
        for f in range(layer.filters)
    ]
    return activated(layer, np.reshape(z, (*u.shape[:3], layer.filters)))


def torch_each_channel(torch: Any, layer: Any, W: Any, x: Any) -> Any:
    K_h, K_w, C, M = W.shape
    return torch.nn.functional.conv2d(
        torch_padded(torch, layer, images_first(x), 0.0),
        W.permute(2, 3, 0, 1).reshape(C * M, 1, K_h, K_w),
        stride=layer.strides,
        dilation=layer.dilation_rate,
        groups=C,
    )


def torch_depthwise(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    z = channels_last(torch_each_channel(torch, layer, params["W"], x))
    return torch_activated(torch, layer, z + params["b"] if layer.use_bias else z)


def torch_separable(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    u = torch_each_channel(torch, layer, params["depthwise_kernel"], x)
    P = params["pointwise_kernel"].permute(3, 2, 0, 1).contiguous()
    z = torch.nn.functional.conv2d(u, P, params.get("b"))
    return torch_activated(torch, layer, channels_last(z))


def some_depthwise(draw: Draw) -> tuple[dict[str, Any], Shape]:
    kwargs, shape = some_windows(draw, "kernel_size")
    if draw.flag():
        kwargs, shape = some_gaps(draw, kwargs, shape)
    kwargs |= {"depth_multiplier": draw.size(1, 3), "use_bias": draw.flag()}
    return {**kwargs, "activation": some_activation(draw)}, shape


def some_separable(draw: Draw) -> tuple[dict[str, Any], Shape]:
    kwargs, shape = some_depthwise(draw)
    return {**kwargs, "filters": draw.size(1, 3)}, shape


def depthwise_inside(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    kwargs = windows_inside(draw, sample, "kernel_size", ((3, 3), (1, 1)))
    return kwargs and {**kwargs, "activation": draw.one_of(None, "relu", "tanh")}


def separable_inside(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    kwargs = depthwise_inside(draw, sample)
    return kwargs and {**kwargs, "filters": draw.one_of(1, 2, 4)}


def transposed(case: Any, layer: Any, x: Any) -> Any:
    """Each cell of x is added to its window, in a frame that holds all windows, and cut out."""
    N, H_in, W_in, C_in = case.shape
    (S_h, S_w), (D_h, D_w) = layer.strides, layer.dilation_rate
    more = layer.output_padding or (None, None)
    sides = []
    for n, k, s, out_more in zip((H_in, W_in), reaches(layer), layer.strides, more):
        covered = (n - 1) * s + k
        if layer.padding == "valid":
            sides.append((covered + (max(k, s) - k if out_more is None else out_more), 0))
        else:
            out = n * s if out_more is None else (n - 1) * s + k % 2 + out_more
            sides.append((out, max(0, covered - out) // 2))
    (H_out, top), (W_out, left) = sides
    W = layer.params["W"].tolist()
    bias = layer.params["b"].tolist() if layer.use_bias else [0.0] * layer.filters
    z = np.zeros((N, H_out, W_out, layer.filters)) + bias
    for i, j, a, b in itertools.product(range(H_in), range(W_in), *map(range, layer.kernel_size)):
        h, w = i * S_h + a * D_h - top, j * S_w + b * D_w - left
        if 0 <= h < H_out and 0 <= w < W_out:
            for n, f in itertools.product(range(N), range(layer.filters)):
                z[n, h, w, f] += math.fsum(x[n][i][j][c] * W[a][b][f][c] for c in range(C_in))
    return activated(layer, z)


def torch_transposed(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    """PyTorch's, whole, then what Keras cuts off or adds."""
    kernel = params["W"].permute(3, 2, 0, 1).contiguous()  # (C_in, C_out, K_h, K_w)
    z = torch.nn.functional.conv_transpose2d(
        images_first(x), kernel, stride=layer.strides, dilation=layer.dilation_rate
    )
    _, H_out, W_out, _ = layer.output_shape(tuple(x.shape))
    same = layer.padding == "same"
    for axis, out in ((2, H_out), (3, W_out)):
        cut = max(0, z.shape[axis] - out) // 2 if same else 0
        z = z.narrow(axis, cut, min(out, z.shape[axis] - cut))
    z = torch.nn.functional.pad(z, (0, W_out - z.shape[3], 0, H_out - z.shape[2]))
    z = channels_last(z)
    return torch_activated(torch, layer, z + params["b"] if layer.use_bias else z)


def some_transposed(draw: Draw) -> tuple[dict[str, Any], Shape]:
    kwargs = {
        "filters": draw.size(1, 3),
        "kernel_size": draw.pair(4),
        "padding": draw.one_of("valid", "same"),
        "use_bias": draw.flag(),
        "activation": some_activation(draw),
    }
    if draw.flag():
        kwargs["strides"] = S_h, S_w = draw.size(1, 4), draw.size(1, 4)
        if draw.flag():
            more = draw.size(0, S_h - 1), draw.size(0, S_w - 1)
            kwargs["output_padding"] = draw.one_of(more, min(more))
    elif draw.flag():
        kwargs["dilation_rate"] = draw.pair(3)
    # two cells at least: (2 - 1) * s + k % 2 + 0 is never nothing
    return kwargs, (draw.size(1, 2), draw.size(2, 4), draw.size(2, 4), draw.size(1, 3))


def transposed_fused(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    if len(sample) != 3 or not 2 <= max(sample[:2]) <= 14:
        return None
    return {
        "filters": draw.one_of(3, 4, 6),
        "kernel_size": (draw.size(2, 4), draw.size(2, 4)),
        "strides": (draw.size(1, 2), draw.size(1, 2)),
        "padding": draw.one_of("same", "valid"),
        "activation": draw.one_of(None, "relu", "tanh"),
        "use_bias": draw.flag(),
    }


def transposed_inside(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    if len(sample) != 3 or max(sample[:2]) > 8:
        return None
    kwargs = {"filters": draw.one_of(1, 2, 4), "kernel_size": draw.one_of(2, 3)}
    return {**kwargs, "strides": draw.one_of(1, 2), "padding": draw.one_of("same", "valid")}


# -- pooling --------------------------------------------------------------------------------------


def pooling(reduced: Any) -> Any:
    def definition(case: Any, layer: Any, x: Any) -> Any:
        def value(n: int, cells: Any) -> list[float]:
            return [reduced([x[n][h][w][c] for _, _, h, w in cells]) for c in range(case.shape[3])]

        return by_window(layer, case.shape, value)

    return definition


def torch_max_pooling(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    x = torch_padded(torch, layer, images_first(x), -math.inf)
    return channels_last(torch.nn.functional.max_pool2d(x, layer.pool_size, layer.strides))


def torch_average_pooling(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    """The mean of the padded window, divided by the share of its cells that are real."""
    x = images_first(x)
    means = [
        torch.nn.functional.avg_pool2d(
            torch_padded(torch, layer, cells, 0.0), layer.pool_size, layer.strides
        )
        for cells in (x, torch.ones_like(x))
    ]
    return channels_last(means[0] / means[1])


def pooling_inside(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    return windows_inside(draw, sample, "pool_size", ((2, 2), (2, 2)))


def pooling_fused(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    """2x2, which convolutions have in their pass, and any other; smaller than what it is given."""
    if len(sample) != 3 or min(sample[:2]) < 4:
        return None
    padding = draw.one_of("valid", "same")
    return {
        "pool_size": draw.one_of(2, 2, (draw.size(1, 4), draw.size(1, 4))),
        "strides": draw.one_of(None, draw.pair(3)),
        "padding": padding,
    }


def which_cells(layer: Any, y: Any) -> Any:
    return layer.backward(np.arange(1.0, y.size + 1).reshape(y.shape))


def pool(pool_size: Any, shape: Shape, **kwargs: Any) -> Example:
    return Example({"pool_size": pool_size, **kwargs}, shape)


POOLING = {  # what Keras is asked of both poolings
    "2": pool(2, (2, 6, 8, 3)),
    "2, remainder": pool(2, (2, 7, 5, 2)),
    "2, same, remainder": pool(2, (2, 7, 5, 2), padding="same"),
    "3": pool(3, (2, 8, 7, 2)),
    "3, same": pool(3, (2, 8, 7, 2), padding="same"),
    "2, stride 1": pool(2, (2, 5, 4, 2), strides=1),
    "2, stride 1, same": pool(2, (2, 5, 4, 2), strides=1, padding="same"),
    "3, stride 2": pool(3, (2, 8, 9, 2), strides=2),
    "3, stride 2, same": pool(3, (2, 8, 9, 2), strides=2, padding="same"),
    "3, stride 1, same": pool(3, (2, 4, 5, 2), strides=1, padding="same"),
    "2, stride 3": pool(2, (2, 8, 9, 2), strides=3),
    "2, stride 3, same": pool(2, (2, 8, 7, 2), strides=3, padding="same"),
    "2x3": pool([2, 3], (2, 7, 8, 2)),
    "2x3, stride 3x2, same": pool([2, 3], (2, 7, 8, 2), strides=[3, 2], padding="same"),
    "beyond the image": pool(4, (2, 3, 2, 2), strides=2, padding="same"),
}


# -- dense, normalization, dropout, rescaling -----------------------------------------------------


def dense(case: Any, layer: Any, x: Any) -> Any:
    W = layer.params["W"].tolist()
    bias = layer.params["b"].tolist() if "b" in layer.params else [0.0] * layer.units
    z = [
        bias[q] + math.fsum(v * W[p][q] for p, v in enumerate(row))
        for row in np.reshape(x, (-1, len(W))).tolist()
        for q in range(len(bias))
    ]
    return activated(layer, np.reshape(z, (*case.shape[:-1], len(bias))))


def torch_dense(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    z = torch.nn.functional.linear(x, params["W"].T, params.get("b"))
    return torch_activated(torch, layer, z)


def some_dense(draw: Draw) -> tuple[dict[str, Any], Shape]:
    activation = some_activation(draw)
    kwargs = {"units": draw.size(1, 5), "use_bias": draw.flag(), "activation": activation}
    return kwargs, draw.shape()


def dense_inside(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    kwargs = {"units": draw.size(2, 6), "activation": some_activation(draw)}
    return kwargs if len(sample) == 1 else None


def dense_fused(draw: Draw, sample: Shape) -> dict[str, Any] | None:
    activation = draw.one_of(None, "relu", "tanh", "softmax", draw.one_of(*FUSED_ACTIVATIONS))
    return {"units": draw.one_of(3, 8), "activation": activation} if len(sample) == 1 else None


def axes_of(layer: Any, shape: Shape) -> list[int]:
    written = layer.axis if isinstance(layer.axis, list) else [layer.axis]
    return sorted(axis % len(shape) for axis in written)


def standard(numbers: list[float], epsilon: float) -> list[float]:
    mean = math.fsum(numbers) / len(numbers)
    var = math.fsum((v - mean) ** 2 for v in numbers) / len(numbers)
    return [(v - mean) / math.sqrt(var + epsilon) for v in numbers]


def together(x: Any, layer: Any, group: Any, reduced: Any) -> np.ndarray:
    """x_hat: the numbers whose indices `group` maps to the same key, reduced together; then the
    layer's gamma and beta, which have the sizes of its axes."""
    x = np.asarray(x)
    axes = axes_of(layer, x.shape)
    groups: dict[Any, list[Any]] = {}
    for place in np.ndindex(x.shape):
        groups.setdefault(group(place), []).append(place)
    y = np.zeros(x.shape)
    for key, places in groups.items():
        for place, x_hat in zip(places, reduced(key, [float(x[place]) for place in places])):
            own = tuple(place[k] for k in axes)
            gamma = layer.params.get("gamma", layer.params.get("scale"))
            beta = layer.params.get("beta")
            y[place] = (1.0 if gamma is None else float(gamma[own])) * x_hat
            y[place] += 0.0 if beta is None else float(beta[own])
    return y


def normalization(case: Any, layer: Any, x: Any) -> Any:
    axes = axes_of(layer, case.shape)

    def reduced(channel: Any, numbers: list[float]) -> list[float]:
        if case.training:
            return standard(numbers, layer.epsilon)
        mean, var = (float(layer.state[f"moving_{key}"][channel]) for key in ("mean", "variance"))
        return [(v - mean) / math.sqrt(var + layer.epsilon) for v in numbers]

    return together(x, layer, lambda place: tuple(place[k] for k in axes), reduced)


def layer_normalization(case: Any, layer: Any, x: Any) -> Any:
    axes = axes_of(layer, case.shape)

    def group(place: Any) -> Any:
        return tuple(index for k, index in enumerate(place) if k not in axes)

    def by_root(key: Any, numbers: list[float]) -> list[float]:
        square = math.fsum(v * v for v in numbers) / len(numbers)
        return [v / math.sqrt(square + layer.epsilon) for v in numbers]

    def to_mean_0(key: Any, numbers: list[float]) -> list[float]:
        return standard(numbers, layer.epsilon)

    return together(x, layer, group, by_root if type(layer) is RMSNormalization else to_mean_0)


def group_normalization(case: Any, layer: Any, x: Any) -> Any:
    (axis,) = axes_of(layer, case.shape)
    each = 1 if layer.groups == -1 else case.shape[axis] // layer.groups
    return together(
        x,
        layer,
        lambda place: (place[0], place[axis] // each),
        lambda key, numbers: standard(numbers, layer.epsilon),
    )


def torch_normalization(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    """With the channels' axes made one, the second. Their momentum is the share of what is new."""
    axes = axes_of(layer, x.shape)
    order = [k for k in range(x.dim()) if k not in axes] + axes
    moved = x.permute(order)
    y = torch.nn.functional.batch_norm(
        moved.reshape(-1, math.prod(x.shape[k] for k in axes)),
        torch.tensor(layer.state["moving_mean"]).reshape(-1),
        torch.tensor(layer.state["moving_variance"]).reshape(-1),
        params["gamma"].reshape(-1) if layer.scale else None,
        params["beta"].reshape(-1) if layer.center else None,
        training=training,
        momentum=1 - layer.momentum,
        eps=layer.epsilon,
    ).reshape(moved.shape)
    return y.permute([order.index(k) for k in range(x.dim())])


def torch_layer_normalization(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    axes = axes_of(layer, x.shape)
    order = [k for k in range(x.dim()) if k not in axes] + axes
    moved = x.permute(order)
    sizes = [x.shape[k] for k in axes]
    if type(layer) is RMSNormalization:
        y = torch.nn.functional.rms_norm(moved, sizes, params["scale"], layer.epsilon)
    else:
        y = torch.nn.functional.layer_norm(
            moved, sizes, params.get("gamma"), params.get("beta"), layer.epsilon
        )
    return y.permute([order.index(k) for k in range(x.dim())])


def torch_group_normalization(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    (axis,) = axes_of(layer, x.shape)
    groups = x.shape[axis] if layer.groups == -1 else layer.groups
    # theirs fails in backward with a bias and no weight
    x_hat = torch.nn.functional.group_norm(x.movedim(axis, 1), groups, eps=layer.epsilon)
    y = x_hat.movedim(1, -1)
    y = y * params["gamma"] if layer.scale else y
    return (y + params["beta"] if layer.center else y).movedim(-1, axis)


def some_axis(draw: Draw, shape: Shape) -> int:
    axis = draw.size(1, len(shape) - 1)
    return draw.one_of(axis, axis - len(shape))


def some_axes(draw: Draw, shape: Shape) -> Any:
    """One axis or some of them, in any order, counted either way."""
    several = [axis for axis in range(len(shape) - 1, 0, -1) if draw.flag()]
    mixed = [draw.one_of(axis, axis - len(shape)) for axis in several]
    return mixed if mixed and draw.flag() else some_axis(draw, shape)


def scales(draw: Draw) -> dict[str, Any]:
    return {
        "epsilon": draw.one_of(1e-3, 1e-2),
        "center": draw.flag(),
        "scale": draw.flag(),
        "beta_initializer": draw.one_of("zeros", "ones"),
        "gamma_initializer": draw.one_of("ones", "he_normal"),
    }


def some_normalization(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = (draw.size(4, 7), *draw.shape()[1:])
    momentum = draw.one_of(0.0, 0.6, 0.99, 1.0)
    return {"axis": some_axes(draw, shape), "momentum": momentum, **scales(draw)}, shape


def spread(draw: Draw) -> Shape:
    """Axes of 3 and more: standardized, two numbers are always 1 and -1, and slopes next to 0."""
    return (draw.size(1, 3), *(draw.size(3, 5) for _ in range(draw.size(1, 3))))


def some_layer_normalization(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = spread(draw)
    return {"axis": some_axes(draw, shape), **scales(draw)}, shape


def some_rms_normalization(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = spread(draw)
    return {"axis": some_axes(draw, shape), "epsilon": draw.one_of(1e-3, 1e-2)}, shape


def some_group_normalization(draw: Draw) -> tuple[dict[str, Any], Shape]:
    groups = draw.size(1, 3)
    shape = list(spread(draw))
    axis = some_axis(draw, tuple(shape))
    shape[axis] = groups * draw.size(3, 4)
    if len(shape) > 2 and draw.flag():
        groups = -1
    return {"groups": groups, "axis": axis, **scales(draw)}, tuple(shape)


def rescaled(case: Any, layer: Any, x: Any) -> Any:
    C = case.shape[-1]
    scale, offset = (
        list(number) if np.ndim(number := case.kwargs.get(name, 0.0)) else [number] * C
        for name in ("scale", "offset")
    )
    numbers = np.ravel(x).tolist()
    return [float(scale[k % C]) * number + float(offset[k % C]) for k, number in enumerate(numbers)]


def torch_rescaled(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    scale, offset = (torch.tensor(number, dtype=x.dtype) for number in (layer.scale, layer.offset))
    return x * scale + offset


def some_rescaling(draw: Draw) -> tuple[dict[str, Any], Shape]:
    """One number for all channels, or one for each, as a list, a tuple or an array."""
    shape = draw.shape()
    kwargs: dict[str, Any] = {"scale": draw.one_of(1 / 255, 1, -2.5)}
    kwargs["offset"] = draw.one_of(0.0, -1.0, np.float32(0.5))
    for name in kwargs:
        if draw.flag():
            numbers = [draw.size(-20, 20) / 8 for _ in range(shape[-1])]
            kwargs[name] = draw.one_of(list, tuple, np.array)(numbers)
    return kwargs, shape


def some_input(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = draw.shape()
    return {"shape": shape[1:]}, shape


SCALES = {  # of every normalization, beside its axis
    "epsilon": 0.01,
    "center": False,
    "scale": False,
    "beta_initializer": "ones",
    "gamma_initializer": "he_normal",
    "beta_regularizer": "l1",
    "gamma_regularizer": "l2",
    "beta_constraint": "non_neg",
    "gamma_constraint": "max_norm",
}

# -- the table ------------------------------------------------------------------------------------

LAYERS: dict[type[Layer], LayerCase] = {
    **ACTIVATION_CASES,
    **AUGMENTATION_CASES,
    **RANDOM_CASES,
    **SHAPE_CASES,
    Activation: LayerCase(
        examples={
            "softmax": Example({"activation": "softmax"}, (4, 5)),
            "by its layer": Example({"activation": ReLU()}, (3, 2, 2, 3)),
            "none": Example({"activation": None}, (4, 5)),
        },
        definition=lambda case, layer, x: activated(layer, x),
        torch=lambda torch, layer, params, x, training: torch_activated(torch, layer, x),
        keras={
            name: Example({"activation": name}, (3, 4))
            for name in sorted(ACTIVATIONS)
            # TensorFlow rounds their constants to float32: test_activations.py has their numbers
            # and Keras's sparsemax is another function: docs/keras-differences.md
            if name not in ("gelu", "leaky_relu", "sparsemax")
        },
        draw=lambda draw: ({"activation": some_activation(draw)}, draw.shape()),
        side=activation_side,
        inside=lambda draw, sample: {"activation": some_activation(draw)},
        fused=lambda draw, sample: {"activation": draw.one_of(*FUSED_ACTIVATIONS)},
    ),
    ActivityRegularization: LayerCase(  # y is x; what it adds to the loss: test_regularizers.py
        examples={"vectors": Example({"l1": 0.25, "l2": 0.5}, (4, 5))},
        definition=each_number(lambda v: v),
        torch=lambda torch, layer, params, x, training: x,
        keras={"vectors": Example({"l1": 0.25, "l2": 0.5}, (3, 4))},
        draw=lambda draw: ({"l1": draw.number(0, 2), "l2": draw.number(0, 2)}, draw.shape()),
        linear={},
        inside=lambda draw, sample: {"l1": draw.number(0, 0.1), "l2": draw.number(0, 0.1)},
    ),
    AveragePooling2D: LayerCase(
        examples={
            "overlapping": Example({"pool_size": (2, 3), "strides": 1}, (3, 5, 6, 2)),
            "beyond the image": Example(
                {"pool_size": (4, 3), "strides": (2, 1), "padding": "same"}, (3, 3, 2, 2)
            ),
        },
        definition=pooling(lambda cells: math.fsum(cells) / len(cells)),
        torch=torch_average_pooling,
        keras=POOLING,
        draw=lambda draw: some_windows(draw, "pool_size"),
        linear={},
        inside=pooling_inside,
        weight=3,
        fused=pooling_fused,
    ),
    BatchNormalization: LayerCase(
        examples={
            "of images": Example({}, (6, 3, 2, 5)),
            "all arguments": Example(
                {
                    "axis": 1,
                    "momentum": 0.5,
                    "moving_mean_initializer": "ones",
                    "moving_variance_initializer": "ones",
                    **SCALES,
                },
                (8, 3),
            ),
            "of rows and channels": Example({"axis": [3, -3]}, (6, 2, 3, 2)),
        },
        definition=normalization,
        torch=torch_normalization,
        keras={
            "2d": Example({}, (6, 3), "around 5"),
            "4d": Example({}, (3, 4, 2, 3), "around 5"),
            "momentum, epsilon": Example(
                {"momentum": 0.9, "epsilon": 1e-5}, (2, 3, 3, 2), "around 5"
            ),
            "no scale": Example({"scale": False}, (4, 2, 2, 3), "around 5"),
            "no center": Example({"center": False}, (4, 2, 2, 3), "around 5"),
            "one sample": Example({}, (1, 3), "around 5"),
            "axis 1": Example({"axis": 1}, (3, 4, 2, 3), "around 5"),
            "axis -2": Example({"axis": -2}, (3, 4, 2, 3), "around 5"),
            "3d": Example({"axis": 1}, (3, 4, 2), "around 5"),
            "initializers": Example(
                {
                    "beta_initializer": "ones",
                    "gamma_initializer": "zeros",
                    "moving_mean_initializer": "ones",
                    "moving_variance_initializer": "zeros",
                },
                (3, 4, 2),
                "around 5",
            ),
        },
        draw=some_normalization,
        weight=2,
        built_when_made=False,
        fused=lambda draw, sample: {"momentum": 0.9},
    ),
    Conv2D: LayerCase(
        examples={
            "3x3": conv(3, 3, (4, 6, 5, 2)),
            "all arguments": conv(
                2,
                (2, 3),
                (3, 7, 8, 2),
                strides=(2, 3),
                padding="same",
                activation="relu",
                use_bias=True,
                kernel_initializer="he_normal",
                bias_initializer=GlorotUniform(seed=3),
                kernel_regularizer="l2",
                bias_regularizer="l1",
                activity_regularizer="l1l2",
                kernel_constraint="unit_norm",
                bias_constraint="non_neg",
            ),
            "without bias": conv(2, 1, (3, 3, 3, 4), use_bias=False),
            "dilated": conv(2, (3, 2), (2, 7, 6, 2), dilation_rate=(2, 3), padding="same"),
            "groups": conv(6, 2, (2, 4, 3, 4), groups=2, dilation_rate=2, activation="tanh"),
            "strides beyond the kernel": conv(2, (2, 1), (3, 6, 7, 1), strides=3, activation=Tanh),
            "kernel beyond the image": conv(
                2, (4, 5), (2, 3, 2, 1), padding="same", activation="softmax"
            ),
        },
        definition=convolution,
        torch=torch_convolution,
        keras={
            "plain": conv(4, 3, (2, 6, 7, 3)),
            "1x1": conv(2, 1, (2, 3, 4, 3)),
            "whole input": conv(3, [4, 5], (2, 4, 5, 2)),
            "2x3": conv(3, [2, 3], (2, 5, 6, 2), activation="relu"),
            "same, odd": conv(4, 3, (2, 5, 7, 2), padding="same"),
            "same, even kernel": conv(3, [2, 4], (2, 5, 6, 2), padding="same"),
            "same, kernel beyond the image": conv(2, 5, (2, 3, 2, 2), padding="same"),
            "same, relu": conv(4, 3, (2, 6, 6, 3), padding="same", activation="relu"),
            "stride 2": conv(3, 3, (2, 7, 9, 2), strides=2),
            "stride 2, remainder": conv(3, 3, (2, 8, 6, 2), strides=2),
            "stride 3": conv(3, 2, (2, 9, 10, 2), strides=3),
            "stride 1x2": conv(3, [2, 3], (2, 6, 8, 2), strides=[1, 2]),
            "same, stride 2, even": conv(3, 3, (2, 6, 8, 2), strides=2, padding="same"),
            "same, stride 2, odd": conv(
                3, 3, (2, 7, 5, 2), strides=2, padding="same", activation="relu"
            ),
            "same, stride 2x3": conv(3, [2, 3], (2, 7, 8, 2), strides=[2, 3], padding="same"),
            "same, stride beyond the kernel": conv(2, 1, (2, 7, 8, 2), strides=3, padding="same"),
            "no bias": conv(4, 3, (2, 5, 5, 1), use_bias=False),
            "no bias, relu": conv(4, 3, (1, 5, 6, 2), use_bias=False, activation="relu"),
            "tanh": conv(2, 3, (2, 5, 5, 2), activation="tanh"),
            "dilated": conv(3, 3, (2, 7, 8, 2), dilation_rate=2),
            "dilated 2x3": conv(3, [2, 3], (2, 7, 8, 2), dilation_rate=[2, 3], activation="relu"),
            "dilated, same": conv(3, 3, (2, 6, 7, 2), dilation_rate=2, padding="same"),
            "dilated, same, even kernel": conv(
                2, [2, 4], (2, 6, 5, 2), dilation_rate=[3, 1], padding="same"
            ),
            "dilated, same, beyond the image": conv(
                2, 3, (2, 3, 4, 2), dilation_rate=4, padding="same"
            ),
            "2 groups": conv(4, 3, (2, 5, 6, 6), groups=2, activation="relu"),
            "3 groups, same, stride 2": conv(
                6, 3, (2, 6, 5, 3), groups=3, padding="same", strides=2
            ),
            "2 groups, dilated, no bias": conv(
                2, 2, (2, 5, 6, 4), groups=2, dilation_rate=[1, 2], use_bias=False
            ),
        },
        draw=some_convolution,
        linear={"activation": None},
        side=activation_side,
        inside=convolution_inside,
        weight=7,
        fused=convolution_fused,
        built_when_made=False,
    ),
    Conv2DTranspose: LayerCase(
        examples={
            "3x3": conv(3, 3, (2, 3, 4, 2)),
            "all arguments": conv(
                2,
                (2, 3),
                (2, 3, 4, 2),
                strides=(2, 3),
                padding="same",
                output_padding=(1, 2),
                **WORDS,
            ),
            "dilated": conv(2, (3, 2), (2, 3, 4, 2), dilation_rate=(2, 3)),
            "dilated, same": conv(1, 3, (2, 3, 4, 2), dilation_rate=2, padding="same"),
            "without bias": conv(2, 1, (2, 3, 3, 4), use_bias=False, strides=3, activation="tanh"),
        },
        definition=transposed,
        torch=torch_transposed,
        keras={
            "plain": conv(3, 3, (2, 4, 5, 2)),
            "2x3": conv(3, [2, 3], (2, 4, 5, 2), activation="relu"),
            "same": conv(3, 3, (2, 4, 5, 2), padding="same"),
            "stride 2": conv(3, 3, (2, 4, 5, 2), strides=2),
            "stride 2, same": conv(3, 3, (2, 4, 5, 2), strides=2, padding="same"),
            "stride 2, same, even kernel": conv(3, 4, (2, 3, 4, 2), strides=2, padding="same"),
            "stride 2x3": conv(2, [2, 3], (2, 4, 3, 2), strides=[2, 3]),
            "stride beyond the kernel": conv(2, 2, (2, 3, 4, 2), strides=3),
            "stride beyond the kernel, same": conv(2, 1, (2, 3, 4, 2), strides=3, padding="same"),
            "output_padding": conv(2, 3, (2, 3, 4, 2), strides=2, output_padding=1),
            "output_padding, same": conv(
                2, 3, (2, 3, 4, 2), strides=3, output_padding=[0, 2], padding="same"
            ),
            # TensorFlow has no dilated one in float64 on the CPU
            "no bias": conv(2, 3, (2, 4, 4, 1), use_bias=False, activation="tanh"),
        },
        draw=some_transposed,
        linear={"activation": None},
        side=activation_side,
        inside=transposed_inside,
        fused=transposed_fused,
        built_when_made=False,
    ),
    Dense: LayerCase(
        examples={
            "linear": Example({"units": 4}, (5, 3)),
            "all arguments": Example(
                {
                    "units": 4,
                    "activation": "tanh",
                    "use_bias": False,
                    "kernel_initializer": "he_uniform",
                    "bias_initializer": "ones",
                    "kernel_regularizer": "l2",
                    "bias_regularizer": "l1",
                    "activity_regularizer": "l1l2",
                    "kernel_constraint": "unit_norm",
                    "bias_constraint": "non_neg",
                },
                (5, 2, 3),
            ),
            "softmax": Example({"units": 3, "activation": "softmax"}, (4, 2)),
        },
        definition=dense,
        torch=torch_dense,
        keras={
            "linear": Example({"units": 4}, (5, 3)),
            "relu": Example({"units": 6, "activation": "relu"}, (4, 5)),
            "softmax": Example({"units": 5, "activation": "softmax"}, (4, 3)),
            "tanh": Example({"units": 3, "activation": "tanh"}, (4, 2)),
            "sigmoid": Example({"units": 3, "activation": "sigmoid"}, (4, 2)),
            "no bias": Example({"units": 3, "use_bias": False}, (4, 2)),
            "3d": Example({"units": 4}, (2, 3, 5)),
            "3d, softmax": Example({"units": 4, "activation": "softmax"}, (2, 3, 5)),
            "4d, relu": Example({"units": 3, "activation": "relu"}, (2, 3, 2, 4)),
        },
        draw=some_dense,
        linear={"activation": None},
        side=activation_side,
        inside=dense_inside,
        weight=7,
        fused=dense_fused,
        built_when_made=False,
    ),
    DepthwiseConv2D: LayerCase(
        examples={
            "3x3": Example({"kernel_size": 3}, (3, 5, 6, 2)),
            "all arguments": Example(
                {
                    "kernel_size": (2, 3),
                    "strides": (2, 3),
                    "padding": "same",
                    "depth_multiplier": 2,
                    "dilation_rate": (1, 2),
                    **named(WORDS, "depthwise"),
                },
                (3, 7, 8, 2),
            ),
            "without bias": Example({"kernel_size": 2, "use_bias": False}, (3, 3, 3, 4)),
        },
        definition=depthwise,
        torch=torch_depthwise,
        keras=DEPTHWISE,
        draw=some_depthwise,
        linear={"activation": None},
        side=activation_side,
        inside=depthwise_inside,
        fused=depthwise_fused,
        weight=2,
        built_when_made=False,
    ),
    Flatten: LayerCase(
        examples={
            "images": Example({}, (3, 2, 4, 2)),
            "numbers": Example({}, (3,)),
        },
        definition=lambda case, layer, x: np.ravel(x),
        torch=lambda torch, layer, params, x, training: x.flatten(1) if x.dim() > 1 else x[:, None],
        keras={"4d": Example({}, (2, 3, 4, 5)), "2d": Example({}, (3, 4))},
        draw=lambda draw: ({}, draw.one_of(draw.shape(), (draw.size(1, 4),))),
        inside=lambda draw, sample: {} if len(sample) > 1 else None,
        weight=4,
        fused=lambda draw, sample: {} if len(sample) > 1 else None,
        linear={},
        built_when_made=False,
    ),
    GlobalAveragePooling2D: LayerCase(
        examples={
            "a row for each image": Example({}, (3, 4, 5, 2)),
            "an image of one cell": Example({"keepdims": True}, (2, 3, 3, 4)),
        },
        definition=lambda case, layer, x: [
            [
                math.fsum(cell[c] for row in image for cell in row) / (len(image) * len(image[0]))
                for c in range(case.shape[3])
            ]
            for image in x
        ],
        torch=lambda torch, layer, params, x, training: x.mean((1, 2), keepdim=layer.keepdims),
        keras={
            "flat": Example({}, (2, 3, 4, 5)),
            "keepdims": Example({"keepdims": True}, (2, 3, 4, 5)),
        },
        draw=lambda draw: (
            {"keepdims": draw.flag()},
            (draw.size(1, 3), draw.size(1, 6), draw.size(1, 6), draw.size(1, 4)),
        ),
        linear={},
        inside=lambda draw, sample: {"keepdims": draw.flag()} if len(sample) == 3 else None,
        fused=lambda draw, sample: {"keepdims": draw.flag()} if len(sample) == 3 else None,
    ),
    GroupNormalization: LayerCase(
        examples={
            "of images": Example({"groups": 2}, (3, 3, 2, 4)),
            "all arguments": Example({"groups": 3, "axis": 1, **SCALES}, (4, 9)),
            "each channel": Example({"groups": -1}, (2, 4, 3, 3)),
        },
        definition=group_normalization,
        torch=torch_group_normalization,
        keras={
            "2 groups": Example({"groups": 2}, (2, 3, 4, 6), "around 5"),
            "one group": Example({"groups": 1}, (2, 3, 4, 6), "around 5"),
            "each channel": Example({"groups": -1}, (2, 3, 4, 6), "around 5"),
            "axis 1": Example({"groups": 2, "axis": 1}, (2, 6, 4, 3), "around 5"),
            "axis -2": Example({"groups": 2, "axis": -2}, (2, 3, 4, 6), "around 5"),
            "3d": Example({"groups": 3}, (2, 4, 6), "around 5"),
            "2d": Example({"groups": 3}, (2, 12), "around 5"),
            "no scale": Example({"groups": 2, "scale": False}, (2, 3, 4), "around 5"),
            "no center": Example({"groups": 2, "center": False}, (2, 3, 4), "around 5"),
        },
        draw=some_group_normalization,
        inside=lambda draw, sample: {"groups": 1},
        fused=lambda draw, sample: {
            "groups": draw.one_of(1, -1, 2 if sample[-1] % 2 == 0 else 1),
            "center": draw.flag(),
            "scale": draw.flag(),
        },
        built_when_made=False,
    ),
    InputLayer: LayerCase(
        examples={
            "vectors": Example({"shape": (5,), "batch_size": 4}, (4, 5)),
            "with the batch axis": Example({"batch_shape": (None, 5)}, (4, 5)),
        },
        definition=each_number(lambda v: v),
        torch=lambda torch, layer, params, x, training: x,
        keras="it computes nothing",
        draw=some_input,
        linear={},
        inside=lambda draw, sample: None,  # a model has one, at its beginning
    ),
    LayerNormalization: LayerCase(
        examples={
            "of images": Example({}, (3, 3, 2, 5)),
            "all arguments": Example({"axis": [1, 2], **SCALES}, (4, 3, 2, 2)),
            "whole samples": Example({"axis": [1, 2, 3]}, (3, 3, 2, 2)),
        },
        definition=layer_normalization,
        torch=torch_layer_normalization,
        keras={
            "2d": Example({}, (3, 6), "around 5"),
            "4d": Example({}, (2, 3, 4, 5), "around 5"),
            "whole samples": Example({"axis": [1, 2, 3]}, (3, 4, 2, 3), "around 5"),
            "axis 1": Example({"axis": 1}, (2, 5, 4, 3), "around 5"),
            "axes 3 and 1": Example({"axis": [3, 1]}, (2, 5, 4, 3), "around 5"),
            "axes -1 and -2": Example({"axis": [-1, -2]}, (2, 5, 4, 3), "around 5"),
            "no scale": Example({"scale": False, "epsilon": 0.125}, (3, 6), "around 5"),
            "no center": Example({"center": False}, (3, 6), "around 5"),
        },
        draw=some_layer_normalization,
        fused=lambda draw, sample: {"center": draw.flag(), "scale": draw.flag()},
        built_when_made=False,
    ),
    MaxPooling2D: LayerCase(
        examples={
            "2x2": Example({"pool_size": 2}, (3, 5, 6, 2)),
            "overlapping, same": Example(
                {"pool_size": 3, "strides": 2, "padding": "same"}, (3, 6, 5, 2)
            ),
        },
        definition=pooling(max),
        torch=torch_max_pooling,
        keras={
            **POOLING,
            **{
                f"{name}, ties": Example(POOLING[name].kwargs, POOLING[name].shape, "ties")
                for name in ("2", "3, stride 2, same", "2, stride 1")
            },
        },
        draw=lambda draw: some_windows(draw, "pool_size"),
        side=which_cells,
        inside=pooling_inside,
        weight=3,
        fused=pooling_fused,
    ),
    RMSNormalization: LayerCase(
        examples={
            "of images": Example({}, (3, 3, 2, 5)),
            "all arguments": Example({"axis": [1, -1], "epsilon": 0.01}, (4, 3, 2, 2)),
        },
        definition=layer_normalization,
        torch=torch_layer_normalization,
        keras={
            "2d": Example({}, (3, 6), "around 5"),
            "4d": Example({"epsilon": 0.125}, (2, 3, 4, 5), "around 5"),
            "whole samples": Example({"axis": [1, 2, 3]}, (3, 4, 2, 3), "around 5"),
            "axes -1 and -2": Example({"axis": [-1, -2]}, (2, 5, 4, 3), "around 5"),
        },
        draw=some_rms_normalization,
        built_when_made=False,
    ),
    Rescaling: LayerCase(
        examples={
            "of images": Example({"scale": 1 / 255, "offset": -0.5}, (3, 4, 2)),
            "of each channel": Example(
                {"scale": [0.5, -2.0, 3.0], "offset": np.array([1.0, 0.0, -7.0])}, (3, 4, 2, 3)
            ),
            "by a number, an offset for each channel": Example(
                {"scale": np.float32(0.25), "offset": (1, 2, 3)}, (5, 3)
            ),
        },
        definition=rescaled,
        torch=torch_rescaled,
        keras={
            "numbers": Example({"scale": 2.5, "offset": -1.0}, (3, 4, 2)),
            "each channel": Example(
                {"scale": [0.5, -2.0, 3.0], "offset": [1.0, 0.0, -7.0]}, (2, 2, 3, 3)
            ),
        },
        draw=some_rescaling,
        linear={},
        inside=lambda draw, sample: {"scale": 1.5, "offset": -0.5},
        fused=lambda draw, sample: {"scale": 1.5, "offset": -0.5},
        built_when_made=False,
    ),
    SeparableConv2D: LayerCase(
        examples={
            "3x3": conv(3, 3, (3, 5, 6, 2)),
            "all arguments": conv(
                3,
                (2, 3),
                (3, 7, 8, 2),
                strides=(2, 3),
                padding="same",
                depth_multiplier=2,
                dilation_rate=(1, 2),
                **named(WORDS, "depthwise", "pointwise"),
            ),
            "without bias": conv(2, 2, (3, 3, 3, 4), use_bias=False),
        },
        definition=separable,
        torch=torch_separable,
        keras={
            name: conv(3, one.kwargs["kernel_size"], one.shape, **without_kernel(one.kwargs))
            for name, one in DEPTHWISE.items()
        },
        draw=some_separable,
        linear={"activation": None},
        side=activation_side,
        inside=separable_inside,
        fused=separable_fused,
        weight=2,
        built_when_made=False,
    ),
}

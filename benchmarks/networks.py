"""The models as plain data, and their weights in the layout of each framework.

A model is described by a small dict, which travels to the workers as JSON:

    {"kind": "tutorial", "filters": 32, "size": 28, "channels": 1}

`layers_of` turns it into a list of steps that every framework builds in its own words.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Model = dict[str, Any]
Step = tuple[Any, ...]
Weights = list[np.ndarray]

CLASSES = 10

TUTORIAL: Model = {"kind": "tutorial", "filters": 32, "size": 28}
DEEPER: Model = {"kind": "deeper", "filters": 32, "size": 28}
MODELS = {"tutorial": TUTORIAL, "deeper": DEEPER}


def conv(filters: int, padding: str = "same", **more: Any) -> Step:
    """3x3, stride 1, with ReLU, unless `more` says another kernel, strides or activation."""
    return ("conv", filters, padding, {"kernel": 3, "strides": 1, "activation": "relu"} | more)


def depthwise(padding: str = "same", **more: Any) -> Step:
    """As `conv`, each channel by itself."""
    return ("depthwise", padding, {"kernel": 3, "strides": 1, "activation": "relu"} | more)


def transposed(filters: int, **more: Any) -> Step:
    """A 3x3 transposed convolution that doubles height and width, with ReLU."""
    return ("transposed", filters, "same", {"kernel": 3, "strides": 2, "activation": "relu"} | more)


def dense(units: int, activation: str = "relu") -> Step:
    return ("dense", units, activation)


POOL: Step = ("pool", "max")
AVERAGE: Step = ("pool", "average")
NORM: Step = ("norm",)
RELU: Step = ("relu",)
GLOBAL: Step = ("global",)
FLATTEN: Step = ("flatten",)


def dropout(rate: float) -> Step:
    return ("dropout", rate)


def _deeper(filters: int, *behind: Step, **more: Any) -> list[Step]:
    """The tutorial's second network, with steps `behind` each convolution."""
    steps: list[Step] = []
    for n in (filters, 2 * filters):
        steps += [conv(n, **more), *behind, conv(n, **more), *behind, POOL, dropout(0.25)]
    return [*steps, FLATTEN, dense(128), dropout(0.5), dense(CLASSES)]


def _lenet(activation: str, pool: Step) -> list[Step]:
    """LeCun et al., "Gradient-based learning applied to document recognition", 1998."""
    more = {"kernel": 5, "activation": activation}
    head = [dense(120, activation), dense(84, activation), dense(CLASSES)]
    return [conv(6, **more), pool, conv(16, "valid", **more), pool, FLATTEN, *head]


def _vgg(*filters: int) -> list[Step]:
    blocks = [step for n in filters for step in (conv(n), conv(n), POOL)]
    return [*blocks, FLATTEN, dense(128), dense(CLASSES)]


def _mobile(strides: int = 2) -> list[Step]:
    """Howard et al., "MobileNets", 2017: depthwise, then 1x1, each with a normalization."""
    steps: list[Step] = [conv(32, "valid", strides=2, activation=None), NORM, RELU]
    for n, step in ((64, 1), (128, strides), (128, 1), (256, strides)):
        padding = "same" if step == 1 else "valid"
        steps += [depthwise(padding, strides=step, activation=None), NORM, RELU]
        steps += [conv(n, kernel=1, activation=None), NORM, RELU]
    return [*steps, GLOBAL, dense(CLASSES)]


def layers_of(model: Model) -> list[Step]:
    """Steps as the functions above make them. The last dense layer gives the logits: what follows
    it is up to each framework.

    >>> layers_of(TUTORIAL)[1:4]
    [('pool', 'max'), ('dropout', 0.2), ('flatten',)]
    """
    filters = model.get("filters", 32)
    networks: dict[str, Callable[[], list[Step]]] = {
        "tutorial": lambda: [
            conv(filters, "valid"), POOL, dropout(0.2), FLATTEN, dense(32), dense(CLASSES),
        ],
        "deeper": lambda: _deeper(filters),
        "vgg": lambda: _vgg(32, 64, 128),
        "dense": lambda: [FLATTEN, dense(512), dense(512), dense(CLASSES)],
        "pointwise": lambda: [
            conv(32), conv(32, kernel=1), conv(64), POOL, conv(32, kernel=1), conv(64), POOL,
            FLATTEN, dense(CLASSES),
        ],
        "strided": lambda: [
            conv(32, "valid", strides=2), conv(64, "valid", strides=2),
            conv(64, "valid", strides=2), FLATTEN, dense(64), dense(CLASSES),
        ],
        "norm before": lambda: _deeper(filters, NORM, RELU, activation=None),
        "norm behind": lambda: _deeper(filters, NORM),
        "lenet": lambda: _lenet("tanh", AVERAGE),
        "lenet relu": lambda: _lenet("relu", POOL),
        "5x5": lambda: [
            conv(32, kernel=5), POOL, conv(64, kernel=5), POOL, FLATTEN, dense(128),
            dense(CLASSES),
        ],
        "mobile": _mobile,
        "global": lambda: [
            conv(32), conv(32), POOL, conv(64), conv(64), GLOBAL, dense(CLASSES),
        ],
        "autoencoder": lambda: [
            conv(32), POOL, conv(16), POOL, transposed(16), transposed(32),
            conv(1, activation=None),
        ],
    }  # fmt: skip
    if model["kind"] not in networks:
        raise ValueError(f"expected kind to be one of {list(networks)}, received {model['kind']!r}")
    return networks[model["kind"]]()


def _grey(kind: str) -> Model:
    return {"kind": kind, "size": 28}


WORKLOADS: dict[str, Model] = {
    "tutorial": TUTORIAL,
    "deeper": DEEPER,
    "VGG, RGB 32x32": {"kind": "vgg", "size": 32, "channels": 3},
    "VGG, RGB 64x64": {"kind": "vgg", "size": 64, "channels": 3},
    "784-512-512-10": _grey("dense"),
    "3x3 and 1x1 in turn": _grey("pointwise"),
    "strided 3x3": _grey("strided"),
    "normalization before ReLU": _grey("norm before"),
    "normalization behind ReLU": _grey("norm behind"),
    "LeNet-5, tanh, average": _grey("lenet"),
    "LeNet-5, ReLU, max": _grey("lenet relu"),
    "5x5, 32 and 64 filters": _grey("5x5"),
    "MobileNet-like": {"kind": "mobile", "size": 32, "channels": 3},
    "global pooling": _grey("global"),
    "autoencoder": _grey("autoencoder"),
}


def reconstructs(model: Model) -> bool:
    """Whether it learns to give its input, by mean squared error; else it learns classes."""
    return bool(model["kind"] == "autoencoder")


def without_dropout(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step[0] != "dropout"]


def first_shape(model: Model) -> tuple[int, int, int]:
    return model["size"], model["size"], model.get("channels", 1)


def shapes_of(model: Model) -> list[tuple[int, ...]]:
    """Shape of one sample before each step, and after the last: (H, W, C), then (features,).

    >>> shapes_of(TUTORIAL)
    [(28, 28, 1), (26, 26, 32), (13, 13, 32), (13, 13, 32), (5408,), (32,), (10,)]
    """
    shape: tuple[int, ...] = first_shape(model)
    shapes = [shape]
    for step in layers_of(model):
        if step[0] in ("conv", "depthwise"):
            padding, more = step[-2:]
            cut = more["kernel"] - 1 if padding == "valid" else 0
            H, W = (-(-(size - cut) // more["strides"]) for size in shape[:2])
            shape = (H, W, step[1] if step[0] == "conv" else shape[2])
        elif step[0] == "transposed":
            strides = step[-1]["strides"]
            shape = (shape[0] * strides, shape[1] * strides, step[1])
        elif step[0] == "pool":
            shape = (shape[0] // 2, shape[1] // 2, shape[2])
        elif step[0] == "global":
            shape = shape[2:]
        elif step[0] == "flatten":
            shape = (math.prod(shape),)
        elif step[0] == "dense":
            shape = (step[1],)
        shapes.append(shape)
    return shapes


def flops_of(model: Model) -> list[float]:
    """Forward multiplications and additions of each step for one image (matrix products only).

    Training takes three times as many: the gradients of the weights and of the input are products
    of the same size. The first layer's input gradient is not needed.
    """
    flops = []
    shapes = shapes_of(model)
    for step, before, after in zip(layers_of(model), shapes, shapes[1:]):
        if step[0] in ("conv", "depthwise"):
            seen = before[-1] if step[0] == "conv" else 1
            flops.append(2.0 * math.prod(after) * step[-1]["kernel"] ** 2 * seen)
        elif step[0] == "transposed":
            flops.append(2.0 * math.prod(before) * step[-1]["kernel"] ** 2 * after[-1])
        elif step[0] == "dense":
            flops.append(2.0 * before[0] * after[0])
        else:
            flops.append(0.0)
    return flops


def channels_first(weights: Weights, model: Model, *, flatten_last: bool = False) -> Weights:
    """minicnn's (and Keras's) weights as PyTorch and ONNX want them.

    Convolution kernels go from (K_h, K_w, C_in, C_out) to (C_out, C_in, K_h, K_w), transposed ones
    from (K_h, K_w, C_out, C_in) to (C_in, C_out, K_h, K_w), dense kernels
    from (in, units) to (units, in). The rows of the dense kernel that follows Flatten are put from
    the order (h, w, c) into (c, h, w), unless the framework flattens with channels last.
    """
    steps, shapes = layers_of(model), shapes_of(model)
    given = iter(weights)
    result: Weights = []
    flattened: tuple[int, ...] | None = None
    for step, before in zip(steps, shapes):
        if step[0] == "flatten":
            flattened = before
        elif step[0] in ("conv", "transposed"):
            result += [next(given).transpose(3, 2, 0, 1), next(given)]
        elif step[0] == "depthwise":
            result += [next(given).transpose(2, 3, 0, 1), next(given)]
        elif step[0] == "norm":
            result += [next(given) for _ in range(4)]
        elif step[0] == "dense":
            W, b = next(given), next(given)
            if flattened is not None and not flatten_last:
                H, width, C = flattened
                W = W.reshape(H, width, C, -1).transpose(2, 0, 1, 3).reshape(len(W), -1)
            flattened = None
            result += [W.T, b]
    return [np.ascontiguousarray(array, dtype=np.float32) for array in result]

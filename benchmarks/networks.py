"""The models as plain data, and their weights in the layout of each framework.

A model is described by a small dict, which travels to the workers as JSON:

    {"kind": "tutorial" or "deeper", "filters": 32, "size": 28}

`layers_of` turns it into a list of steps that every framework builds in its own words.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Model = dict[str, Any]
Step = tuple[Any, ...]
Weights = list[np.ndarray]

CLASSES = 10

TUTORIAL: Model = {"kind": "tutorial", "filters": 32, "size": 28}
DEEPER: Model = {"kind": "deeper", "filters": 32, "size": 28}
MODELS = {"tutorial": TUTORIAL, "deeper": DEEPER}


def layers_of(model: Model) -> list[Step]:
    """Steps ("conv", filters, padding), ("pool",), ("dropout", rate), ("flatten",), ("dense", n).

    Convolutions are 3x3 with ReLU, pools take the maximum of 2x2; dense layers have ReLU but for
    the last one, which gives the logits: what follows it is up to each framework.

    >>> layers_of(TUTORIAL)[:3]
    [('conv', 32, 'valid'), ('pool',), ('dropout', 0.2)]
    """
    filters = model["filters"]
    if model["kind"] == "tutorial":
        return [
            ("conv", filters, "valid"),
            ("pool",),
            ("dropout", 0.2),
            ("flatten",),
            ("dense", 32),
            ("dense", CLASSES),
        ]
    if model["kind"] == "deeper":
        return [
            ("conv", filters, "same"),
            ("conv", filters, "same"),
            ("pool",),
            ("dropout", 0.25),
            ("conv", 2 * filters, "same"),
            ("conv", 2 * filters, "same"),
            ("pool",),
            ("dropout", 0.25),
            ("flatten",),
            ("dense", 128),
            ("dropout", 0.5),
            ("dense", CLASSES),
        ]
    raise ValueError(f"expected kind to be 'tutorial' or 'deeper', received {model['kind']!r}")


def without_dropout(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step[0] != "dropout"]


def shapes_of(model: Model) -> list[tuple[int, ...]]:
    """Shape of one sample before each step, and after the last: (H, W, C), then (features,).

    >>> shapes_of(TUTORIAL)
    [(28, 28, 1), (26, 26, 32), (13, 13, 32), (13, 13, 32), (5408,), (32,), (10,)]
    """
    shape: tuple[int, ...] = (model["size"], model["size"], 1)
    shapes = [shape]
    for step in layers_of(model):
        if step[0] == "conv":
            cut = 2 if step[2] == "valid" else 0
            shape = (shape[0] - cut, shape[1] - cut, step[1])
        elif step[0] == "pool":
            shape = (shape[0] // 2, shape[1] // 2, shape[2])
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
        if step[0] == "conv":
            flops.append(2.0 * math.prod(after) * 9 * before[-1])
        elif step[0] == "dense":
            flops.append(2.0 * before[0] * after[0])
        else:
            flops.append(0.0)
    return flops


def channels_first(weights: Weights, model: Model, *, flatten_last: bool = False) -> Weights:
    """minicnn's (and Keras's) weights as PyTorch and ONNX want them.

    Convolution kernels go from (K_h, K_w, C_in, C_out) to (C_out, C_in, K_h, K_w), dense kernels
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
        elif step[0] == "conv":
            result += [next(given).transpose(3, 2, 0, 1), next(given)]
        elif step[0] == "dense":
            W, b = next(given), next(given)
            if flattened is not None and not flatten_last:
                H, width, C = flattened
                W = W.reshape(H, width, C, -1).transpose(2, 0, 1, 3).reshape(len(W), -1)
            flattened = None
            result += [W.T, b]
    return [np.ascontiguousarray(array, dtype=np.float32) for array in result]

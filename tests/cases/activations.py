"""The activations: see `LayerCase`. `layers.py` takes these into LAYERS."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cases import Draw, Example, LayerCase
from minicnn.layers import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Exponential,
    HardShrink,
    HardSigmoid,
    HardSiLU,
    HardTanh,
    Layer,
    LeakyReLU,
    Linear,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    SoftShrink,
    Softsign,
    Sparsemax,
    SparsePlus,
    SparseSigmoid,
    Squareplus,
    Tanh,
    TanhShrink,
    Threshold,
)

NOT_OF_KERAS = "in Keras this is no layer but an activation: see the numbers of Activation"
Formula = Callable[[Any, float], float]  # y of one number, by the layer's settings


def elementwise(formula: Formula, torch: Callable[..., Any], **more: Any) -> LayerCase:
    """The case of an activation that maps every number by itself."""
    more.setdefault("examples", {"vectors": Example({}, (4, 5))})
    more.setdefault("keras", NOT_OF_KERAS)
    more.setdefault("fused", lambda draw, sample: more["draw"](draw)[0] if "draw" in more else {})
    return LayerCase(
        definition=lambda case, layer, x: [formula(layer, v) for v in np.ravel(x).tolist()],
        torch=lambda torch_, layer, params, x, training: torch(torch_, layer, x),
        **more,
    )


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v)) if v > 0 else math.exp(v) / (1 + math.exp(v))


def elu(alpha: float, v: float) -> float:
    return v if v > 0 else alpha * math.expm1(v)


def gelu(layer: Any, v: float) -> float:
    if layer.approximate:
        inner = math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)
        return 0.5 * v * (1 + math.tanh(inner))
    return v * math.erfc(-v / math.sqrt(2)) / 2


def relu(layer: Any, v: float) -> float:
    if v > layer.threshold:
        return v if layer.max_value is None else min(v, layer.max_value)
    return layer.negative_slope * (v - layer.threshold)


def torch_relu(torch: Any, layer: Any, x: Any) -> Any:
    above = torch.where(x > layer.threshold, x, 0.0)
    if layer.max_value is not None:
        above = torch.clamp(above, max=layer.max_value)
    return above - layer.negative_slope * torch.relu(layer.threshold - x)


def relu_side(layer: Any, y: Any) -> Any:
    top = math.inf if layer.max_value is None else layer.max_value
    return np.stack([y > 0, y >= top])


def some_relu(draw: Draw) -> dict[str, Any]:
    return {
        "max_value": draw.one_of(None, 1.0, 6, np.float32(2)),
        "negative_slope": draw.one_of(0, 0.0, 0.25),
        "threshold": draw.one_of(0, 0.0, 0.5),
    }


def axes_of(layer: Any, x: Any) -> tuple[int, ...]:
    return tuple(axis % np.ndim(x) for axis in np.atleast_1d(layer.axis))


def rows(layer: Any, x: Any) -> list[tuple[Any, list[float]]]:
    """The numbers that share a softmax, and where they are."""
    x, axes = np.asarray(x), axes_of(layer, x)
    kept = [1 if k in axes else size for k, size in enumerate(x.shape)]
    found = []
    for index in np.ndindex(*kept):
        at = tuple(slice(None) if k in axes else i for k, i in enumerate(index))
        found.append((at, x[at].ravel().tolist()))
    return found


def along(one: Callable[[list[float]], list[float]]) -> Callable[..., Any]:
    def definition(case: Any, layer: Any, x: Any) -> Any:
        y = np.zeros(np.shape(x))
        for at, row in rows(layer, x):
            y[at] = np.reshape(one(row), np.shape(y[at]))
        return y

    return definition


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(v - max(row)) for v in row]
    return [power / math.fsum(powers) for power in powers]


def log_softmax(row: list[float]) -> list[float]:
    total = max(row) + math.log(math.fsum(math.exp(v - max(row)) for v in row))
    return [v - total for v in row]


def sparsemax(row: list[float]) -> list[float]:
    """By the number k of those that stay above the threshold, tried one after the other."""
    falling = sorted(row, reverse=True)
    for k in range(len(row), 0, -1):
        t = (math.fsum(falling[:k]) - 1) / k
        if falling[k - 1] > t:
            break
    return [max(v - t, 0) for v in row]


def torch_sparsemax(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    rows = x.movedim(layer.axis, -1)
    falling = rows.sort(dim=-1, descending=True).values
    k = torch.arange(1, rows.shape[-1] + 1, dtype=x.dtype)
    t = ((falling.cumsum(-1) - 1) / k).max(dim=-1, keepdim=True).values  # largest at the true k
    return torch.relu(rows - t).movedim(-1, layer.axis)


def glu(case: Any, layer: Any, x: Any) -> Any:
    """Number k of the first half times the sigmoid of number k of the second, along the axis."""
    rows = np.moveaxis(np.asarray(x), layer.axis, -1)
    half = rows.shape[-1] // 2
    y = np.zeros((*rows.shape[:-1], half))
    for at in np.ndindex(*y.shape):
        y[at] = rows[at] * sigmoid(float(rows[(*at[:-1], at[-1] + half)]))
    return np.moveaxis(y, -1, layer.axis)


def some_glu(draw: Draw) -> tuple[dict[str, Any], tuple[int, ...]]:
    shape = list(draw.shape())
    axis = draw.one_of(-1, 1, len(shape) - 1)
    shape[axis] *= 2
    return {"axis": axis}, tuple(shape)


def torch_log_softmax(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    return x - torch.logsumexp(x, dim=axes_of(layer, x), keepdim=True)


def some_axis(draw: Draw) -> tuple[dict[str, Any], tuple[int, ...]]:
    shape = draw.shape()
    axis = draw.one_of(-1, -1, len(shape) - 1, 1, [1], (-1,))
    if len(shape) > 2:
        axis = draw.one_of(axis, (1, 2), [-1, 1])
    return {"axis": axis}, shape


def prelu(case: Any, layer: Any, x: Any) -> Any:
    alpha = np.broadcast_to(layer.params["alpha"], np.shape(x)).ravel().tolist()
    return [v if v > 0 else a * v for v, a in zip(np.ravel(x).tolist(), alpha)]


def some_prelu(draw: Draw) -> tuple[dict[str, Any], tuple[int, ...]]:
    shape = draw.shape()
    axes = [k for k in range(1, len(shape)) if draw.flag()]
    return {"shared_axes": draw.one_of(axes, tuple(axes), None, 1)}, shape


ACTIVATION_CASES: dict[type[Layer], LayerCase] = {
    CELU: elementwise(
        lambda layer, v: v if v > 0 else layer.alpha * math.expm1(v / layer.alpha),
        lambda torch, layer, x: (  # PyTorch's own has 1 / alpha in float32
            torch.relu(x) + layer.alpha * torch.expm1(torch.clamp(x, max=0) / layer.alpha)
        ),
        examples={"vectors": Example({"alpha": 0.5}, (4, 5))},
        draw=lambda draw: ({"alpha": draw.number(0.2, 2)}, draw.shape()),
        side=lambda layer, y: y > 0,  # where y'' jumps
    ),
    ELU: elementwise(
        lambda layer, v: elu(layer.alpha, v),
        lambda torch, layer, x: torch.nn.functional.elu(x, layer.alpha),
        examples={"vectors": Example({"alpha": 0.5}, (4, 5))},
        keras={
            "3d": Example({}, (3, 4, 5)),
            "half": Example({"alpha": 0.5}, (3, 4)),
            "far": Example({"alpha": 2.0}, (3, 4), "negative"),
        },
        draw=lambda draw: ({"alpha": draw.number(-1, 2)}, draw.shape()),
        side=lambda layer, y: y > 0,  # where y'' jumps
    ),
    Exponential: elementwise(lambda layer, v: math.exp(v), lambda torch, layer, x: torch.exp(x)),
    GELU: elementwise(
        gelu,
        lambda torch, layer, x: torch.nn.functional.gelu(
            x, approximate="tanh" if layer.approximate else "none"
        ),
        examples={
            "exact": Example({}, (4, 5)),
            "approximate": Example({"approximate": True}, (4, 5)),
        },
        draw=lambda draw: ({"approximate": draw.flag()}, draw.shape()),
    ),
    HardSigmoid: elementwise(
        lambda layer, v: min(max(v + 3, 0), 6) / 6,
        lambda torch, layer, x: torch.clamp(x + 3, 0, 6) / 6,  # PyTorch's own has float32's 1 / 6
        side=lambda layer, y: np.stack([y > 0, y < 1]),
    ),
    HardSiLU: elementwise(
        lambda layer, v: v * min(max(v + 3, 0), 6) / 6,
        lambda torch, layer, x: x * (torch.clamp(x + 3, 0, 6) / 6),
        side=lambda layer, y: np.stack([y != 0, y < 3]),
    ),
    LeakyReLU: elementwise(
        lambda layer, v: v if v > 0 else layer.negative_slope * v,
        lambda torch, layer, x: torch.nn.functional.leaky_relu(x, layer.negative_slope),
        examples={"vectors": Example({"negative_slope": 0.25}, (4, 5))},
        keras={
            "vectors": Example({"negative_slope": 0.25}, (3, 4)),
            "3d": Example({"negative_slope": 0.5}, (3, 4, 5)),
        },
        draw=lambda draw: ({"negative_slope": draw.number(0, 2)}, draw.shape()),
        side=lambda layer, y: y > 0,
        inside=lambda draw, sample: {"negative_slope": draw.number(0, 2)},
    ),
    Linear: elementwise(lambda layer, v: v, lambda torch, layer, x: x, linear={}, fused=None),
    LogSoftmax: LayerCase(
        examples={"sequences": Example({"axis": -1}, (4, 2, 5))},
        definition=along(log_softmax),
        torch=torch_log_softmax,
        keras=NOT_OF_KERAS,
        draw=some_axis,
    ),
    Mish: elementwise(
        lambda layer, v: v * math.tanh(math.log1p(math.exp(v)) if v < 30 else v),
        lambda torch, layer, x: torch.nn.functional.mish(x),
    ),
    PReLU: LayerCase(
        examples={
            "by cell": Example({}, (4, 2, 3)),
            "by channel": Example(
                {
                    "alpha_initializer": "ones",
                    "alpha_regularizer": "l2",
                    "alpha_constraint": "non_neg",
                    "shared_axes": [1, 2],
                },
                (3, 4, 2, 3),
            ),
        },
        definition=prelu,
        torch=lambda torch, layer, params, x, training: (
            torch.relu(x) - params["alpha"] * torch.relu(-x)
        ),
        keras={
            "by cell": Example({}, (3, 4, 2)),
            "by channel": Example({"shared_axes": [1, 2]}, (2, 4, 3, 2)),
            "one axis": Example({"shared_axes": [2]}, (2, 4, 3, 2)),
            "ties": Example({"shared_axes": [1]}, (4, 5), "ties"),
        },
        draw=some_prelu,
        side=lambda layer, y: np.sign(layer._cache),
        inside=lambda draw, sample: {},
        built_when_made=False,
    ),
    ReLU: elementwise(
        relu,
        torch_relu,
        examples={
            "vectors": Example({}, (4, 5)),
            "all arguments": Example(
                {"max_value": 1.5, "negative_slope": 0.25, "threshold": 0.5}, (5, 6)
            ),
        },
        keras={
            "3d": Example({}, (3, 4, 5)),
            "at most 6": Example({"max_value": 6}, (3, 4), "around 5"),
            "at most 1, ties": Example({"max_value": 1.0}, (5, 6), "ties"),
            "slope, ties": Example({"negative_slope": 0.25}, (5, 6), "ties"),
            "threshold, ties": Example({"threshold": 1.0}, (5, 6), "ties"),
            "all, ties": Example(
                {"max_value": 1.0, "negative_slope": 0.25, "threshold": 0.5}, (5, 6), "ties"
            ),
            "slope and most, ties": Example(
                {"max_value": 1.0, "negative_slope": 0.25}, (5, 6), "ties"
            ),
            "all": Example({"max_value": 1.5, "negative_slope": 0.5, "threshold": 0.75}, (5, 6)),
        },
        draw=lambda draw: (some_relu(draw), draw.one_of(draw.shape(), (draw.size(1, 9),))),
        side=relu_side,
        fused=lambda draw, sample: {**some_relu(draw), "threshold": 0},  # beyond which it jumps
    ),
    SELU: elementwise(
        lambda layer, v: 1.0507009873554805 * elu(1.6732632423543772, v),
        lambda torch, layer, x: torch.nn.functional.selu(x),
        side=lambda layer, y: y > 0,  # where y'' jumps
    ),
    GLU: LayerCase(
        examples={"last axis": Example({}, (4, 6)), "axis 1": Example({"axis": 1}, (3, 4, 5))},
        definition=glu,
        torch=lambda torch, layer, params, x, training: torch.nn.functional.glu(x, layer.axis),
        keras=NOT_OF_KERAS,
        draw=some_glu,
        inside=lambda draw, sample: None if sample[-1] % 2 else {},
    ),
    HardShrink: elementwise(
        lambda layer, v: v if abs(v) > layer.threshold else 0,
        lambda torch, layer, x: torch.nn.functional.hardshrink(x, layer.threshold),
        examples={"vectors": Example({"threshold": 0.25}, (4, 5))},
        draw=lambda draw: ({"threshold": draw.number(0, 1)}, draw.shape()),
        side=lambda layer, y: np.sign(y),
        inside=lambda draw, sample: None,  # it jumps: a last bit of x would show
        fused=lambda draw, sample: {"threshold": 0.0},  # where it does not
    ),
    HardTanh: elementwise(
        lambda layer, v: min(max(v, -1), 1),
        lambda torch, layer, x: torch.nn.functional.hardtanh(x),
        side=lambda layer, y: np.stack([y > -1, y < 1]),
    ),
    LogSigmoid: elementwise(
        lambda layer, v: min(v, 0) - math.log1p(math.exp(-abs(v))),
        lambda torch, layer, x: torch.nn.functional.logsigmoid(x),
    ),
    SoftShrink: elementwise(
        lambda layer, v: math.copysign(max(abs(v) - layer.threshold, 0), v),
        lambda torch, layer, x: torch.nn.functional.softshrink(x, layer.threshold),
        examples={"vectors": Example({"threshold": 0.25}, (4, 5))},
        draw=lambda draw: ({"threshold": draw.number(0, 1)}, draw.shape()),
        side=lambda layer, y: np.sign(y),
    ),
    SparsePlus: elementwise(
        lambda layer, v: 0 if v <= -1 else (v + 1) ** 2 / 4 if v < 1 else v,
        lambda torch, layer, x: torch.where(x < 1, (torch.clamp(x, min=-1) + 1) ** 2 / 4, x),
        side=lambda layer, y: np.stack([y > 0, y < 1]),  # where y'' jumps
    ),
    SparseSigmoid: elementwise(
        lambda layer, v: min(max(v + 1, 0), 2) / 2,
        lambda torch, layer, x: torch.clamp(x + 1, 0, 2) / 2,
        side=lambda layer, y: np.stack([y > 0, y < 1]),
    ),
    Sparsemax: LayerCase(
        examples={"axis 1": Example({"axis": 1}, (4, 3, 5))},
        definition=along(sparsemax),
        torch=torch_sparsemax,
        keras=NOT_OF_KERAS,
        draw=lambda draw: ({"axis": draw.one_of(-1, 1)}, draw.shape()),
        side=lambda layer, y: y > 0,
    ),
    TanhShrink: elementwise(
        lambda layer, v: v - math.tanh(v), lambda torch, layer, x: x - torch.tanh(x)
    ),
    Threshold: elementwise(
        lambda layer, v: v if v > layer.threshold else layer.default_value,
        lambda torch, layer, x: torch.nn.functional.threshold(
            x, layer.threshold, layer.default_value
        ),
        examples={"vectors": Example({"threshold": 0.25, "default_value": -3.0}, (4, 5))},
        draw=lambda draw: (
            {"threshold": draw.number(-1, 1), "default_value": draw.number(-5, 5)},
            draw.shape(),
        ),
        side=lambda layer, y: y == layer.default_value,
        inside=lambda draw, sample: None,  # it jumps: a last bit of x would show
        fused=lambda draw, sample: {"threshold": 0.0, "default_value": 0.0},  # where it does not
    ),
    Sigmoid: elementwise(
        lambda layer, v: sigmoid(v),
        lambda torch, layer, x: torch.sigmoid(x),
        examples={"sequences": Example({}, (4, 2, 5))},
    ),
    SiLU: elementwise(
        lambda layer, v: v * sigmoid(v), lambda torch, layer, x: torch.nn.functional.silu(x)
    ),
    Softmax: LayerCase(
        examples={
            "sequences": Example({"axis": -1}, (4, 2, 5)),
            "over two axes": Example({"axis": (1, 2)}, (3, 4, 2, 3)),
        },
        definition=along(softmax),
        torch=lambda torch, layer, params, x, training: torch.exp(
            torch_log_softmax(torch, layer, params, x, training)
        ),
        keras={
            "2d": Example({}, (3, 6)),
            "4d": Example({}, (2, 3, 2, 4)),
            "axis 1": Example({"axis": 1}, (2, 3, 2, 4)),
            "axis -2": Example({"axis": -2}, (2, 3, 2, 4)),
            "axes 1, 2": Example({"axis": [1, 2]}, (2, 3, 2, 4)),
            "axes -1, 1": Example({"axis": [-1, 1]}, (2, 3, 2, 4)),
            "one axis in a list": Example({"axis": [1]}, (2, 3, 4)),
        },
        draw=some_axis,
    ),
    Softplus: elementwise(
        lambda layer, v: max(v, 0) + math.log1p(math.exp(-abs(v))),
        lambda torch, layer, x: torch.logaddexp(x, torch.zeros_like(x)),
    ),
    Softsign: elementwise(
        lambda layer, v: v / (1 + abs(v)),
        lambda torch, layer, x: torch.nn.functional.softsign(x),
        side=lambda layer, y: y > 0,  # where y'' jumps
    ),
    Squareplus: elementwise(
        lambda layer, v: (v + math.sqrt(v * v + layer.b)) / 2,
        lambda torch, layer, x: (x + torch.sqrt(x * x + layer.b)) / 2,
        examples={"vectors": Example({"b": 2.0}, (4, 5))},
        draw=lambda draw: ({"b": draw.number(0.5, 5)}, draw.shape()),
    ),
    Tanh: elementwise(lambda layer, v: math.tanh(v), lambda torch, layer, x: torch.tanh(x)),
}

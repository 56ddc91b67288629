"""The layers that draw random numbers in training: see `LayerCase`. `layers.py` takes these."""

from __future__ import annotations

from typing import Any

import numpy as np

from cases import Draw, Example, LayerCase, Shape
from minicnn.layers import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    Layer,
    SpatialDropout2D,
)

OWN_RANDOM = "its numbers are random, and drawn in another way"
ALPHA = -1.7580993408473766


def noise_of(case: Any, *, at: float = 1.0) -> list[float]:
    """What the layer makes of a batch that is `at` everywhere: its random numbers, seen."""
    return case.forward(case.layer(), np.full(case.shape, at)).ravel().tolist()


def dropped(case: Any, layer: Any, x: Any) -> Any:
    """What a mask of 0 and 1/(1-rate) leaves; which cells it takes is no question of x."""
    if not case.training:
        return x
    rate = case.kwargs["rate"]
    mask = noise_of(case)
    kept = {1 / (1 - rate)} if rate < 1 else set()
    assert set(mask) <= {0.0} | kept
    return [v * m for v, m in zip(np.ravel(x).tolist(), mask)]


def added(case: Any, layer: Any, x: Any) -> Any:
    if not case.training:
        return x
    return [v + z for v, z in zip(np.ravel(x).tolist(), noise_of(case, at=0.0))]


def multiplied(case: Any, layer: Any, x: Any) -> Any:
    if not case.training:
        return x
    return [v * m for v, m in zip(np.ravel(x).tolist(), noise_of(case))]


def alpha_dropped(case: Any, layer: Any, x: Any) -> Any:
    rate = case.kwargs["rate"]
    if not case.training or rate == 0:
        return x
    a = ((1 - rate) * (1 + rate * ALPHA**2)) ** -0.5
    b = -a * ALPHA * rate
    kept = [abs(v - (a * 9 + b)) < 1e-9 for v in noise_of(case, at=9.0)]
    return [a * (v if k else ALPHA) + b for v, k in zip(np.ravel(x).tolist(), kept)]


def torch_slopes(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    """PyTorch draws in its own way: the numbers are ours, the rest is compared."""
    if not training:
        return x
    kind = str(x.dtype).removeprefix("torch.")
    zeros, ones = np.zeros(x.shape, kind), np.ones(x.shape, kind)
    values = []
    for at in (zeros, ones):
        layer.seek(0, 0)
        values.append(torch.tensor(layer.forward(at, training=True)))
    return values[0] + (values[1] - values[0]) * x  # each of these layers is a straight line in x


def some_noise_shape(draw: Draw, shape: Shape) -> Any:
    if draw.flag():
        return None
    sizes = [draw.one_of(1, None, size) for size in shape]
    return draw.one_of(tuple, list)(sizes)


def some_dropout(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = draw.shape()
    kwargs = {"rate": draw.one_of(0, 0.1, 0.5, 0.9, 1), "seed": draw.size(0, 2**32)}
    return {**kwargs, "noise_shape": some_noise_shape(draw, shape)}, shape


def some_alpha_dropout(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = draw.shape()
    kwargs = {"rate": draw.one_of(0, 0.1, 0.5, 0.9), "seed": draw.size(0, 2**32)}
    return {**kwargs, "noise_shape": some_noise_shape(draw, shape)}, shape


def inside(draw: Draw, sample: Shape) -> dict[str, Any]:
    return {"rate": draw.one_of(0.2, 0.5), "seed": draw.size(0, 2**32)}


RANDOM_CASES: dict[type[Layer], LayerCase] = {
    AlphaDropout: LayerCase(
        examples={
            "vectors": Example({"rate": 0.4, "seed": 3}, (4, 5)),
            "whole channels": Example(
                {"rate": 0.5, "seed": 4, "noise_shape": (None, 1, None)}, (4, 2, 3)
            ),
        },
        definition=alpha_dropped,
        torch=torch_slopes,
        keras=OWN_RANDOM,
        draw=some_alpha_dropout,
        linear={},
        inside=inside,
    ),
    Dropout: LayerCase(
        examples={
            "0.4": Example({"rate": 0.4, "seed": 1}, (4, 5)),
            "its own seed": Example({"rate": 0.6}, (4, 2, 3)),
            "of nothing": Example({"rate": 0}, (4, 5)),
            "of everything": Example({"rate": 1}, (4, 5)),
            "the same for all samples": Example(
                {"rate": 0.5, "seed": 2, "noise_shape": [1, None, None]}, (4, 2, 3)
            ),
        },
        definition=dropped,
        torch=torch_slopes,
        keras=OWN_RANDOM,
        draw=some_dropout,
        linear={},
        inside=inside,
        weight=2,
        fused=lambda draw, sample: {
            "rate": draw.one_of(0.3, 0.5),
            "noise_shape": draw.one_of(None, None, (1, *[None] * len(sample))),
        },
    ),
    GaussianDropout: LayerCase(
        examples={"vectors": Example({"rate": 0.4, "seed": 3}, (4, 5))},
        definition=multiplied,
        torch=torch_slopes,
        keras=OWN_RANDOM,
        draw=lambda draw: (
            {"rate": draw.one_of(0, 0.1, 0.5), "seed": draw.size(0, 2**32)},
            draw.shape(),
        ),
        linear={},
        inside=inside,
    ),
    GaussianNoise: LayerCase(
        examples={"vectors": Example({"stddev": 0.5, "seed": 3}, (4, 5))},
        definition=added,
        torch=torch_slopes,
        keras=OWN_RANDOM,
        draw=lambda draw: (
            {"stddev": draw.one_of(0, 0.1, 1), "seed": draw.size(0, 2**32)},
            draw.shape(),
        ),
        linear={},
        inside=lambda draw, sample: {"stddev": 0.25, "seed": draw.size(0, 2**32)},
    ),
    SpatialDropout2D: LayerCase(
        examples={"images": Example({"rate": 0.4, "seed": 3}, (4, 3, 2, 5))},
        definition=dropped,
        torch=torch_slopes,
        keras=OWN_RANDOM,
        draw=lambda draw: (
            {"rate": draw.one_of(0, 0.1, 0.5, 1), "seed": draw.size(0, 2**32)},
            (draw.size(1, 4), draw.size(1, 4), draw.size(1, 4), draw.size(1, 4)),
        ),
        linear={},
        inside=lambda draw, sample: inside(draw, sample) if len(sample) == 3 else None,
    ),
}

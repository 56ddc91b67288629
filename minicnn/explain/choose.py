"""Which channels and units a page keeps, where all of them would make it too large.

Of each array between two steps a share of the channels stays, the same share everywhere: those
with the largest sum of |y|, or of |y * dy| where there are gradients. Steps that treat each channel
by itself hand the choice on, so that a channel can be followed through them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.explain.stages import Stage

Array = NDArray[Any]

FEW = 4  # channels that are always kept: an image's own
BY_CHANNEL = (
    "relu",
    "elementwise",
    "dropout",
    "max_pooling",
    "average_pooling",
    "normalization",
)
BYTES = 4 * 4 / 3  # of a number: float32, in base64


def share_that_fits(stages: list[Stage], room: float) -> float:
    """The largest share of channels with which the numbers take at most `room` bytes, up to 1."""
    if size(stages, 1.0) <= room:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if size(stages, middle) <= room else (low, middle)
    return low


def kept(C: int, share: float, last: bool = False) -> int:
    """How many of C channels stay; of the model's output all."""
    return C if C <= FEW or last else max(1, math.floor(C * share))


def size(stages: list[Stage], share: float) -> float:
    """Bytes of the numbers, not counting that some arrays are equal."""
    numbers = 0.0
    for k, stage in enumerate(stages):
        n_in = kept(stage.x.shape[-1], share)
        n_out = kept(stage.y.shape[-1], share, k == len(stages) - 1)
        directions = 1 if stage.dx is None else 2
        if k == 0:
            numbers += directions * stage.x[..., 0].size * n_in
        numbers += directions * stage.y[..., 0].size * n_out
        for name, array in stage.arrays.items():
            if is_by_channels(stage, name):
                numbers += array.size / (stage.x.shape[-1] * stage.y.shape[-1]) * n_in * n_out
            else:
                numbers += array.size * min(1.0, n_out / stage.y.shape[-1])
    return numbers * BYTES


def is_by_channels(stage: Stage, name: str) -> bool:
    """Whether the array's last two axes are the channels of x and those of y, as in a kernel."""
    return name == "W" and stage.view in ("convolution", "dense")


def chosen(stages: list[Stage], share: float) -> list[tuple[list[int], list[int]]]:
    """For each step, the channels of x and of y that are kept, in order."""
    found: list[tuple[list[int], list[int]]] = []
    for k, stage in enumerate(stages):
        last = k == len(stages) - 1
        ours = found[-1][1] if found else _strongest(stage.x, stage.dx, share, False)
        follows = stage.view in BY_CHANNEL and stage.x.shape[-1] == stage.y.shape[-1] and not last
        found.append((ours, ours if follows else _strongest(stage.y, stage.dy, share, last)))
    return found


def _strongest(y: Array, dy: Array | None, share: float, last: bool) -> list[int]:
    C = y.shape[-1]
    n = kept(C, share, last)
    if n == C:
        return list(range(C))
    weight = np.abs(y if dy is None else y * dy).reshape(-1, C).sum(axis=0)
    largest: list[int] = np.argsort(-weight, kind="stable")[:n].tolist()
    return sorted(largest)

"""What batches add to the loss and the metrics, and what becomes of it.

A shard adds sums, a batch those of its shards, an epoch those of its batches; a metric makes its
figure of the sums.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.copies import own_copy
from minicnn.engine import ranks
from minicnn.metrics import Metric

Array = NDArray[Any]


class Measured(NamedTuple):
    """What a batch adds to the figures: sums of the loss and of each metric, of so many samples.

    `outputs` are y, y_pred and weights, for metrics of the user's that keep their state themselves.
    """

    sums: Array
    samples: int
    outputs: tuple[Any, Any, Any] | None


class Means:
    """The loss and the metrics of all samples so far: sums, and what the metrics make of them."""

    def __init__(self, metrics: list[Metric], weighted: int, output_shape: Any) -> None:
        self.metrics, self.weighted = metrics, weighted
        self.places: list[tuple[slice, list[Any]]] = []
        self.own: dict[int, Metric] = {}  # copies of metrics that keep their state themselves
        start = 1
        for number, metric in enumerate(metrics):
            if metric.keeps_itself:
                self.own[number] = own_copy(metric)
                self.own[number].reset_state()
            shapes = [] if metric.keeps_itself else [*metric.slots(output_shape).values()]
            size = sum(math.prod(shape) for shape in shapes)
            self.places.append((slice(start, start + size), shapes))
            start += size
        self.sums = np.zeros(start)
        self.count = 0

    def add(self, measured: Measured) -> None:
        """Take in what a batch adds."""
        self.sums += measured.sums
        self.count += measured.samples
        for number, metric in self.own.items():
            y, y_pred, weight = measured.outputs or (None, None, None)
            given = [y, y_pred] if number < self.weighted or weight is None else [y, y_pred, weight]
            metric.update_state(*given)

    def logs(self) -> dict[str, Any]:
        """The figures so far, by name."""
        logs = {"loss": float(self.sums[0]) / max(self.count, 1)}
        for number, (metric, (place, shapes)) in enumerate(zip(self.metrics, self.places)):
            own = self.own.get(number)
            if own is not None:
                with np.errstate(all="ignore"):  # before the first batch, 0 / 0
                    value = own.result()
            elif shapes == _SCALARS:
                value = metric.figure(*self.sums[place])
            else:
                value = metric.figure(*_parts(self.sums[place], shapes))
            logs[metric.name] = float(value) if np.ndim(value) == 0 else value
        return logs

    def publish(self, shown: list[Metric]) -> None:
        """Leave the state in `model.metrics`, where `result` finds it, as in Keras."""
        loss, *metrics = shown
        loss._state = [np.array(self.sums[0]), np.array(float(self.count))]
        for number, (metric, (place, shapes)) in enumerate(zip(metrics, self.places)):
            if number in self.own:
                vars(metric).update(vars(self.own[number]))
            else:
                metric._state = [np.array(one) for one in _parts(self.sums[place], shapes)]


_SCALARS = [(), ()]


def _parts(vector: Array, shapes: list[Any]) -> list[Array]:
    """A vector as arrays of these shapes."""
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        parts.append(vector[start : start + size].reshape(shape))
        start += size
    return parts


class Found:
    """What a batch's shards add to its figures, and their outputs, by where the shards begin."""

    def __init__(self) -> None:
        self.sums: dict[int, Array] = {}
        self._outputs: dict[int, Array] = {}

    def put(self, shard: slice, y_pred: Array) -> None:
        self._outputs[shard.start] = y_pred.copy()  # it lies in a buffer

    def outputs(self) -> Array:
        """The outputs of the whole batch."""
        every: dict[int, Array] = {}
        for one in ranks.group().objects(self._outputs):
            every |= one
        return np.concatenate([every[start] for start in sorted(every)])

"""Every public metric: see `MetricCase`. A new metric is one entry of METRICS."""

from __future__ import annotations

from cases import MetricCase
from minicnn.metrics import (
    BinaryAccuracy,
    CategoricalAccuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    SparseCategoricalAccuracy,
)


def largest(row: list[float]) -> int:
    return row.index(max(row))


METRICS: dict[type[Metric], MetricCase] = {
    BinaryAccuracy: MetricCase(
        "binary", lambda t, p: sum((b > 0.5) == a for a, b in zip(t, p)) / len(p)
    ),
    CategoricalAccuracy: MetricCase("one-hot", lambda t, p: float(largest(p) == largest(t))),
    MeanAbsoluteError: MetricCase(
        "one-hot", lambda t, p: sum(abs(b - a) for a, b in zip(t, p)) / len(p)
    ),
    MeanSquaredError: MetricCase(
        "one-hot", lambda t, p: sum((b - a) ** 2 for a, b in zip(t, p)) / len(p)
    ),
    SparseCategoricalAccuracy: MetricCase("labels", lambda t, p: float(largest(p) == t)),
}

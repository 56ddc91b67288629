"""Accuracies as functions, under Keras's names: the value of each position.

The losses as functions are here under the names of `minicnn.losses`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.metrics import accuracy
from minicnn.metrics.base import Metric

Array = NDArray[Any]


def _each(metric: Metric, y_true: Any, y_pred: Any) -> Array:
    y, predicted, _ = metric._checked(y_true, y_pred, None)
    return np.asarray(metric.each(y, predicted), np.float64)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Array:
    """See `BinaryAccuracy`. Raises TypeError or ValueError where the arrays do not go together."""
    return _each(accuracy.BinaryAccuracy(threshold=threshold), y_true, y_pred)


def categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """See `CategoricalAccuracy`. Raises as `binary_accuracy`."""
    return _each(accuracy.CategoricalAccuracy(), y_true, y_pred)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Array:
    """See `SparseCategoricalAccuracy`. Raises as `binary_accuracy`."""
    return _each(accuracy.SparseCategoricalAccuracy(), y_true, y_pred)


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Array:
    """See `TopKCategoricalAccuracy`. Raises as `binary_accuracy`."""
    return _each(accuracy.TopKCategoricalAccuracy(k), y_true, y_pred)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Array:
    """See `SparseTopKCategoricalAccuracy`. Raises as `binary_accuracy`."""
    metric = accuracy.SparseTopKCategoricalAccuracy(k, from_sorted_ids=from_sorted_ids)
    return _each(metric, y_true, y_pred)

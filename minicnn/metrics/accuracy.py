"""Accuracies: the share of the samples, or of the outputs, that are right."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.metrics.base import OfLabels, OfOutputs, expect
from minicnn.settings import Setting

Array = NDArray[Any]


class Accuracy(OfOutputs):
    """Share of the outputs that equal their target exactly. y_true, y_pred (N, ...).

    >>> Accuracy()([1, 2, 3, 4], [0, 2, 3, 4])
    0.75
    """

    name = "accuracy"
    direction = "up"

    def each(self, y_true: Array, y_pred: Array) -> Array:
        return y_pred == y_true.reshape(y_pred.shape)


class SparseCategoricalAccuracy(OfLabels):
    """Share of the samples whose largest output is their label.

    y_true (N, ...) or (N, ..., 1), y_pred (N, ..., C).

    >>> SparseCategoricalAccuracy()([0, 1], [[0.9, 0.1], [0.8, 0.2]])
    0.5
    """

    name = "sparse_categorical_accuracy"
    direction = "up"
    rank_based = True

    def each(self, y_true: Array, y_pred: Array) -> Array:
        label = y_true[..., 0] if y_true.ndim == y_pred.ndim else y_true
        return y_pred.argmax(axis=-1) == label


class CategoricalAccuracy(OfOutputs):
    """Share of the samples whose largest output is where their one-hot row is largest.

    y_true, y_pred (N, ..., C).
    """

    name = "categorical_accuracy"
    direction = "up"
    rank_based = True

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        expect(len(output_shape) > 1, "(N, ..., C)", y, output_shape, who)
        super().check(y, output_shape, who)

    def each(self, y_true: Array, y_pred: Array) -> Array:
        return y_pred.argmax(axis=-1) == y_true.reshape(y_pred.shape).argmax(axis=-1)


class BinaryAccuracy(OfOutputs):
    """Share of the outputs that lie on the right side of `threshold`, above it for a 1.

    y_true, y_pred (N, ...).

    >>> BinaryAccuracy(threshold=0.7)([[1], [0]], [[0.6], [0.2]])
    0.5
    """

    name = "binary_accuracy"
    direction = "up"
    threshold = Setting(partial(checks.real, low=0, high=1))

    def __init__(
        self,
        name: str | None = None,
        *,
        threshold: float = 0.5,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.threshold = threshold

    def each(self, y_true: Array, y_pred: Array) -> Array:
        floats = y_pred.dtype if y_pred.dtype.kind == "f" else np.float64
        above = y_pred > np.asarray(self.threshold, floats)
        return above == y_true.reshape(y_pred.shape)


def _among_largest(y_pred: Array, label: Array, k: int) -> Array:
    """Whether fewer than k outputs are larger than the one at `label`: ties are in."""
    chosen = np.take_along_axis(y_pred, label[..., None].astype(np.intp), -1)
    found: Array = (y_pred > chosen).sum(axis=-1) < k
    return found


class TopKCategoricalAccuracy(CategoricalAccuracy):
    """Share of the samples whose class is among the k largest outputs; one-hot targets.

    >>> TopKCategoricalAccuracy(k=2)([[0, 0, 1]], [[0.5, 0.2, 0.3]])
    1.0
    """

    name = "top_k_categorical_accuracy"
    rank_based = False  # probabilities may be equal where logits are not
    k = Setting(checks.size)

    def __init__(
        self,
        k: int = 5,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.k = k

    def each(self, y_true: Array, y_pred: Array) -> Array:
        return _among_largest(y_pred, y_true.reshape(y_pred.shape).argmax(axis=-1), self.k)


class SparseTopKCategoricalAccuracy(SparseCategoricalAccuracy):
    """Share of the samples whose label is among the k largest outputs.

    With `from_sorted_ids`, y_pred holds labels, the best first, and the first k are looked at.

    >>> SparseTopKCategoricalAccuracy(k=2)([2], [[0.5, 0.2, 0.3]])
    1.0
    """

    name = "sparse_top_k_categorical_accuracy"
    rank_based = False
    k = Setting(checks.size)
    from_sorted_ids = Setting(checks.boolean)

    def __init__(
        self,
        k: int = 5,
        name: str | None = None,
        *,
        from_sorted_ids: bool = False,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.k = k
        self.from_sorted_ids = from_sorted_ids

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        super().check(y, output_shape, who)
        if (
            not self.from_sorted_ids
            and y.size
            and not (y.min() >= 0 and y.max() < output_shape[-1])
        ):
            raise ValueError(
                f"{who}: expected y to hold labels from 0 to {output_shape[-1] - 1}, received "
                f"{y.min() if y.min() < 0 else y.max()}"
            )

    def each(self, y_true: Array, y_pred: Array) -> Array:
        label = y_true[..., 0] if y_true.ndim == y_pred.ndim else y_true
        if self.from_sorted_ids:
            return (y_pred[..., : self.k] == label[..., None]).any(axis=-1)
        return _among_largest(y_pred, label, self.k)

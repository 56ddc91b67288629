"""Intersection over union, class by class: TP / (TP + FP + FN), from a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.losses.crossentropy import _label
from minicnn.metrics.base import Metric, OfOutputs, Shape, cell_weights, expect
from minicnn.settings import Setting

Array = NDArray[Any]

MOST_CLASSES = 20_000


def _classes(value: Any, name: str, who: str) -> tuple[int, ...]:
    items = checks.listed(value, name, who)
    if not items:
        raise ValueError(f"{who}: expected {name} to be at least one class, received none")
    return tuple(checks.integer(one, f"each of {name}", who, minimum=0) for one in items)


class _IoU(Metric):
    """The mean over some classes of TP / (TP + FP + FN), over those that occur at all."""

    direction = "up"
    numbered = True
    num_classes: Any = 2
    ignore_class: Any = None

    def targeted(self) -> Sequence[int]:
        """The classes that count."""
        return range(self.num_classes)

    def labels(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Actual and predicted labels, of one shape."""
        raise NotImplementedError

    def expect_consistent(self) -> None:
        wrong = [k for k in self.targeted() if k >= self.num_classes]
        if wrong:
            raise ValueError(
                f"{self.who}: expected target_class_ids to be of 0 to {self.num_classes - 1}, for "
                f"num_classes={self.num_classes}, received {wrong[0]}"
            )

    def slots(self, output_shape: tuple[Any, ...]) -> dict[str, Shape]:
        return {"total_cm": (self.num_classes, self.num_classes)}

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None) -> Sequence[Any]:
        actual, predicted = self.labels(y_true, y_pred)
        w = np.broadcast_to(cell_weights(sample_weight, actual.shape), actual.shape).ravel()
        actual, predicted = (one.ravel().astype(np.int64) for one in (actual, predicted))
        valid = (actual >= 0) & (actual < self.num_classes)
        valid &= (predicted >= 0) & (predicted < self.num_classes)
        if self.ignore_class is not None:
            valid &= actual != self.ignore_class
        cell = actual[valid] * self.num_classes + predicted[valid]
        counts = np.bincount(cell, weights=w[valid], minlength=self.num_classes**2)
        return [counts.reshape(self.num_classes, self.num_classes)]

    def figure(self, *state: Array) -> Any:
        (matrix,) = state
        both = np.diagonal(matrix)
        union = matrix.sum(axis=0) + matrix.sum(axis=1) - both
        chosen = [k for k in self.targeted() if union[k] > 0]
        return float(np.mean([both[k] / union[k] for k in chosen])) if chosen else 0.0


class _OfClasses(_IoU):
    """Of labels, or of rows with a place for each class, of which the largest is the label."""

    num_classes = Setting(partial(checks.integer, minimum=1, maximum=MOST_CLASSES))
    ignore_class = Setting(_label)
    sparse_y_true: Any = False
    sparse_y_pred = Setting(checks.boolean)
    axis = Setting(partial(checks.integer, minimum=-checks.MOST_AXES, maximum=checks.MOST_AXES))

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        rank = len(output_shape) - (not self.sparse_y_pred)
        actual = y.ndim - (not self.sparse_y_true)
        good = rank == actual or (self.sparse_y_true and y.ndim == rank + 1 and y.shape[-1] == 1)
        expect(good, "one label a position,", y, output_shape, who)

    def labels(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        predicted = y_pred if self.sparse_y_pred else y_pred.argmax(axis=self.axis)
        actual = y_true if self.sparse_y_true else y_true.argmax(axis=self.axis)
        return actual.reshape(predicted.shape), predicted


class MeanIoU(_OfClasses):
    """Mean over all classes of intersection over union. y_true (N, ...), y_pred labels as these.

    With `sparse_y_true=False` or `sparse_y_pred=False` these are one-hot rows or probabilities,
    (N, ..., C), along `axis`. Positions of `ignore_class` do not count.

    >>> round(MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    name = "mean_io_u"
    sparse_y_true = Setting(checks.boolean)

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        *,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis


class IoU(_OfClasses):
    """As `MeanIoU`, of the classes in `target_class_ids` alone.

    >>> round(IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    name = "io_u"
    target_class_ids = Setting(_classes)
    sparse_y_true = Setting(checks.boolean)

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        *,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.num_classes = num_classes
        self.target_class_ids = target_class_ids
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.expect_consistent()

    def targeted(self) -> Sequence[int]:
        return self.target_class_ids


class OneHotIoU(_OfClasses):
    """As `IoU`, of one-hot rows y_true and probabilities y_pred, both (N, ..., C).

    >>> y = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    >>> p = [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.3, 0.5, 0.2]]
    >>> OneHotIoU(num_classes=3, target_class_ids=[1, 2])(y, p)
    0.75
    """

    name = "one_hot_io_u"
    target_class_ids = Setting(_classes)

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        *,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.num_classes = num_classes
        self.target_class_ids = target_class_ids
        self.ignore_class = ignore_class
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.expect_consistent()

    def targeted(self) -> Sequence[int]:
        return self.target_class_ids


class OneHotMeanIoU(_OfClasses):
    """As `MeanIoU`, of one-hot rows y_true and probabilities y_pred, both (N, ..., C).

    >>> y = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    >>> p = [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.3, 0.5, 0.2]]
    >>> OneHotMeanIoU(num_classes=3)(y, p)
    0.5
    """

    name = "one_hot_mean_io_u"

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        *,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis


class BinaryIoU(_IoU, OfOutputs):
    """Intersection over union of outputs above a threshold, and of those that are not; their mean.

    y_true (N, ...) of 0 and 1, y_pred probabilities of the same shape. `target_class_ids`: (0, 1),
    or one of them.

    >>> round(BinaryIoU(threshold=0.3)([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7]), 4)
    0.3333
    """

    name = "binary_io_u"
    target_class_ids = Setting(_classes)
    threshold = Setting(partial(checks.real, low=0, high=1))

    def __init__(
        self,
        target_class_ids: Any = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.target_class_ids = target_class_ids
        self.threshold = threshold
        self.expect_consistent()

    def targeted(self) -> Sequence[int]:
        return self.target_class_ids

    def labels(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        above = y_pred >= np.asarray(self.threshold, y_pred.dtype)
        return y_true.reshape(y_pred.shape), above

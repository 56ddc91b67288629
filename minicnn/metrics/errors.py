"""Losses as metrics: the mean of each, weighted or not; and other measures of numbers."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, losses
from minicnn.losses.crossentropy import SHARE, _label, axis_of_classes
from minicnn.metrics.base import OfLabels, OfOutputs, Shape, cell_weights, expect
from minicnn.settings import Setting

Array = NDArray[Any]


class _OfLoss(OfOutputs):
    """The mean of a loss."""

    kind: ClassVar[type[losses.Loss]]

    def loss(self) -> losses.Loss:
        return self.kind()

    def each(self, y_true: Array, y_pred: Array) -> Array:
        if y_pred.dtype.kind != "f":
            y_pred = y_pred.astype(np.float64)
        if y_pred.ndim == 1:
            y_pred = y_pred[:, None]
        return self.loss().losses(y_true.reshape(y_pred.shape), y_pred)


class MeanSquaredError(_OfLoss):
    """Mean of the squared differences. y_true, y_pred (N, ...)."""

    name = "mean_squared_error"
    direction = "down"
    kind = losses.MeanSquaredError


class MeanAbsoluteError(_OfLoss):
    """Mean of the absolute differences. y_true, y_pred (N, ...)."""

    name = "mean_absolute_error"
    direction = "down"
    kind = losses.MeanAbsoluteError


class MeanAbsolutePercentageError(_OfLoss):
    """See `losses.MeanAbsolutePercentageError`. y_true, y_pred (N, ...)."""

    name = "mean_absolute_percentage_error"
    direction = "down"
    kind = losses.MeanAbsolutePercentageError


class MeanSquaredLogarithmicError(_OfLoss):
    """See `losses.MeanSquaredLogarithmicError`. y_true, y_pred (N, ...)."""

    name = "mean_squared_logarithmic_error"
    direction = "down"
    kind = losses.MeanSquaredLogarithmicError


class LogCoshError(_OfLoss):
    """See `losses.LogCosh`. y_true, y_pred (N, ...)."""

    name = "logcosh"
    direction = "down"
    kind = losses.LogCosh


class Hinge(_OfLoss):
    """See `losses.Hinge`. y_true, y_pred (N, ...)."""

    name = "hinge"
    direction = "down"
    kind = losses.Hinge


class SquaredHinge(_OfLoss):
    """See `losses.SquaredHinge`. y_true, y_pred (N, ...)."""

    name = "squared_hinge"
    direction = "down"
    kind = losses.SquaredHinge


class CategoricalHinge(_OfLoss):
    """See `losses.CategoricalHinge`. y_true, y_pred (N, ..., C)."""

    name = "categorical_hinge"
    direction = "down"
    kind = losses.CategoricalHinge


class KLDivergence(_OfLoss):
    """See `losses.KLDivergence`. y_true, y_pred (N, ..., C)."""

    name = "kl_divergence"
    direction = "down"
    kind = losses.KLDivergence


class Poisson(_OfLoss):
    """See `losses.Poisson`. y_true, y_pred (N, ...)."""

    name = "poisson"
    direction = "down"
    kind = losses.Poisson


class BinaryCrossentropy(_OfLoss):
    """See `losses.BinaryCrossentropy`. y_true, y_pred (N, ...)."""

    name = "binary_crossentropy"
    direction = "down"
    from_logits = Setting(checks.boolean)
    label_smoothing = Setting(SHARE)

    def __init__(
        self,
        name: str | None = None,
        *,
        from_logits: bool = False,
        label_smoothing: float = 0,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def loss(self) -> losses.Loss:
        return losses.BinaryCrossentropy(self.from_logits, self.label_smoothing)


class CategoricalCrossentropy(_OfLoss):
    """See `losses.CategoricalCrossentropy`. y_true, y_pred (N, ..., C)."""

    name = "categorical_crossentropy"
    direction = "down"
    from_logits = Setting(checks.boolean)
    label_smoothing = Setting(SHARE)
    axis = Setting(axis_of_classes)

    def __init__(
        self,
        name: str | None = None,
        *,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def loss(self) -> losses.Loss:
        return losses.CategoricalCrossentropy(self.from_logits, self.label_smoothing, self.axis)


class SparseCategoricalCrossentropy(OfLabels):
    """See `losses.SparseCategoricalCrossentropy`. y_true (N, ...), y_pred (N, ..., C).

    Positions of `ignore_class` have the value 0, as in Keras's metric without weights.
    """

    name = "sparse_categorical_crossentropy"
    direction = "down"
    from_logits = Setting(checks.boolean)
    ignore_class = Setting(_label)
    axis = Setting(axis_of_classes)

    def __init__(
        self,
        name: str | None = None,
        *,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def _loss(self) -> losses.Loss:
        return losses.SparseCategoricalCrossentropy(self.from_logits, self.ignore_class, self.axis)

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        if self.axis in (-1, len(output_shape) - 1):
            super().check(y, output_shape, who)
        self._loss().targets(y, output_shape, who)

    def each(self, y_true: Array, y_pred: Array) -> Array:
        loss = self._loss()
        if y_pred.dtype.kind != "f":
            y_pred = y_pred.astype(np.float64)
        return loss.losses(loss.targets(y_true, y_pred.shape, self.who), y_pred)


class CosineSimilarity(_OfLoss):
    """Mean cosine of the angle between y_true and y_pred, (N, ..., C), along an axis.

    >>> round(CosineSimilarity()([[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [2.0, 2.0]]), 6)
    0.5
    """

    name = "cosine_similarity"
    direction = "up"
    axis = Setting(axis_of_classes)

    def __init__(
        self,
        name: str | None = None,
        *,
        axis: int = -1,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.axis = axis

    def loss(self) -> losses.Loss:
        return losses.CosineSimilarity(self.axis)

    def each(self, y_true: Array, y_pred: Array) -> Array:
        return -super().each(y_true, y_pred)


class RootMeanSquaredError(_OfLoss):
    """Root of the mean of the squared differences. y_true, y_pred (N, ...).

    >>> RootMeanSquaredError()([[0.0], [0.0]], [[3.0], [1.0]]) ** 2
    5.000000000000001
    """

    name = "root_mean_squared_error"
    direction = "down"

    def each(self, y_true: Array, y_pred: Array) -> Array:
        dtype = y_pred.dtype if y_pred.dtype.kind == "f" else np.float64
        return np.square(y_pred - y_true.reshape(y_pred.shape).astype(dtype))

    def figure(self, *state: Array) -> Any:
        return float(np.sqrt(super().figure(*state)))


AGGREGATIONS = ("uniform_average", "variance_weighted_average")


def _aggregation(value: Any, name: str, who: str) -> str | None:
    return None if value is None else checks.one_of(value, AGGREGATIONS, name, who)


class R2Score(OfOutputs):
    """Share of the targets' variance that is explained: 1 - (sum of e^2) / (sum of (t - mean)^2).

    y_true, y_pred (N, C); one score for each output, their mean, or with `class_aggregation=
    "variance_weighted_average"` their mean by variance. With `num_regressors` adjusted for them.

    >>> R2Score()([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]]).__round__(4)
    0.5714
    """

    name = "r2_score"
    direction = "up"
    class_aggregation = Setting(_aggregation)
    num_regressors = Setting(partial(checks.integer, minimum=0))

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        expect(len(output_shape) == 2, "(N, C)", y, output_shape, who)
        super().check(y, output_shape, who)

    def slots(self, output_shape: tuple[Any, ...]) -> dict[str, Shape]:
        each = (output_shape[-1],)
        return {"squared_sum": each, "sum": each, "residual": each, "count": each, "samples": ()}

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None) -> Any:
        t, p = y_true.reshape(y_pred.shape).astype(np.float64), y_pred.astype(np.float64)
        w = np.broadcast_to(cell_weights(sample_weight, p.shape), p.shape)
        sums = (w * t * t, w * t, w * np.square(t - p), w)
        return [*(one.sum(axis=0) for one in sums), p.size]

    def figure(self, *state: Array) -> Any:
        squares, total, residual, count, samples = state
        with np.errstate(all="ignore"):
            variance = squares - total * total / count
            scores = 1 - residual / variance
            scores = np.where(np.isinf(scores), 0.0, scores)
            if self.class_aggregation == "uniform_average":
                score: Any = float(scores.mean())
            elif self.class_aggregation == "variance_weighted_average":
                score = float((variance * scores).sum() / variance.sum())
            else:
                score = scores
        n, p = float(samples), self.num_regressors
        if p and p < n - 1:
            score = 1 - (1 - score) * (n - 1) / (n - p - 1)
        return score

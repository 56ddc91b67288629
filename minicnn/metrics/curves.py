"""Metrics of all thresholds at once: areas under curves, and the best point of one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.losses.binary import sigmoid
from minicnn.metrics.base import Shape, expect
from minicnn.metrics.counts import (
    EPSILON,
    SHARE,
    _counts,
    _OfThresholds,
    _optional,
    _ratio,
    shares,
)
from minicnn.settings import Setting

Array = NDArray[Any]

CURVES = {"roc": "ROC", "pr": "PR", "prgain": "PRGAIN"}
SUMMATIONS = ("interpolation", "majoring", "minoring")


def _curve(value: Any, name: str, who: str) -> str:
    return checks.lookup(value, CURVES, name, who)


def _summation(value: Any, name: str, who: str) -> str:
    return checks.one_of(value, SUMMATIONS, name, who)


def _between(value: Any, name: str, who: str) -> list[float] | None:
    if value is None:
        return None
    return sorted(shares(value, name, who))


def _weights(value: Any, name: str, who: str) -> list[float] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple, np.ndarray)) or np.ndim(value) > 1:
        raise TypeError(
            f"{who}: expected {name} to be a list of numbers, received {checks.shown(value)}"
        )
    items = checks.listed(value, name, who)
    return [checks.real(one, f"each of {name}", who, low=0) for one in items]


class AUC(_OfThresholds):
    """Area under a curve that the thresholds draw, one point each.

    Curves
        ROC      recall over the share of false positives, FP / (FP + TN)
        PR       precision over recall; between two points TP and FP are taken as linear
        PRGAIN   the same after a transform under which areas compare

    Parameters
    ----------
    num_thresholds : int >= 2
        Evenly spread over [0, 1], one below 0 and one above 1 among them.
    curve : "ROC", "PR" or "PRGAIN"
    summation_method : "interpolation", "majoring" or "minoring"
        Height between two points: their mean, the larger, the smaller.
    thresholds : list of float in [0, 1], optional
        These instead, and one on either side.
    multi_label : bool
        An area for each output, (N, C), and their mean, with `label_weights` weighted.
    num_labels : int, optional
        C, for Keras's sake.
    label_weights : list of float, optional
        Of the outputs; without `multi_label` the weights of their counts.
    from_logits : bool
        Whether y_pred are logits.

    Source of the interpolation: Davis & Goadrich, 2006.

    Examples
    --------
    >>> AUC(num_thresholds=3)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    0.75
    """

    name = "auc"
    num_thresholds = Setting(partial(checks.integer, minimum=2, maximum=1_000_000))
    curve = Setting(_curve)
    summation_method = Setting(_summation)
    thresholds = Setting(_between)
    multi_label = Setting(checks.boolean)
    num_labels = Setting(_optional(checks.size))
    label_weights = Setting(_weights)
    from_logits = Setting(checks.boolean)

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        *,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.num_thresholds = num_thresholds
        self.curve = curve
        self.summation_method = summation_method
        self.thresholds = thresholds
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = label_weights
        self.from_logits = from_logits
        self.expect_consistent()

    def expect_consistent(self) -> None:
        if self.num_labels is not None and not self.multi_label:
            raise ValueError(
                f"{self.who}: expected num_labels only with multi_label=True, received "
                f"{self.num_labels}"
            )

    def limits(self) -> Array:
        inner: Any = self.thresholds
        if inner is None:
            inner = np.arange(1, self.num_thresholds - 1) / (self.num_thresholds - 1)
        return np.array([-EPSILON, *inner, 1 + EPSILON])

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        super().check(y, output_shape, who)
        if self.multi_label:
            expect(len(output_shape) == 2, "(N, C), with multi_label,", y, output_shape, who)
        outputs = output_shape[-1] if len(output_shape) > 1 else 1
        given = {"label_weights": self.label_weights and len(self.label_weights)}
        for name, number in {**given, "num_labels": self.num_labels}.items():
            if number is not None and number != outputs:
                raise ValueError(
                    f"{who}: expected {name} to be of {outputs} outputs, received {number}"
                )

    def slots(self, output_shape: tuple[Any, ...]) -> dict[str, Shape]:
        shape: Shape = (len(self.limits()),)
        if self.multi_label:
            shape = (*shape, output_shape[-1])
        return dict.fromkeys(self.counted, shape)

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None) -> Sequence[Any]:
        t, p, w = self._cells(y_true, y_pred, sample_weight)
        p = np.clip(sigmoid(p) if self.from_logits else p, 0, 1)
        limits = self.limits()
        if self.multi_label:
            columns = [_counts(t[:, k], p[:, k], w[:, k], limits) for k in range(p.shape[1])]
            return [np.stack(count, axis=1) for count in zip(*columns)]
        if self.label_weights is not None:
            w = w * np.asarray(self.label_weights)
        return _counts(t.ravel(), p.ravel(), w.ravel(), limits)

    def figure(self, *state: Array) -> Any:
        tp, fp, tn, fn = state
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = _area_under_precision_recall(tp, fp, fn)
        else:
            x, y = self._points(tp, fp, tn, fn)
            left, right = y[:-1], y[1:]
            ways = {"minoring": np.minimum, "majoring": np.maximum}
            if self.summation_method == "interpolation":
                heights = (left + right) / 2
            else:
                heights = ways[self.summation_method](left, right)
            areas = ((x[:-1] - x[1:]) * heights).sum(axis=0)
        if not self.multi_label or self.label_weights is None:
            return float(np.mean(areas))
        weights = np.asarray(self.label_weights)
        return float((areas * weights).sum() / weights.sum()) if weights.sum() else 0.0

    def _points(self, tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array]:
        recall = _ratio(tp, tp + fn)
        if self.curve == "ROC":
            return _ratio(fp, fp + tn), recall
        if self.curve == "PR":
            return recall, _ratio(tp, tp + fp)
        scale = _ratio(tp + fn, tn + fp)
        recall_gain = np.where(tp == 0, 0.0, 1 - scale * _ratio(fn, tp))
        precision_gain = np.where(tp == 0, 1.0, 1 - scale * _ratio(fp, tp))
        return np.maximum(recall_gain, 0), precision_gain


def _area_under_precision_recall(tp: Array, fp: Array, fn: Array) -> Array:
    """Between two thresholds TP and TP + FP grow in proportion, so that precision is a curve."""
    d_tp, p = tp[:-1] - tp[1:], tp + fp
    d_p = p[:-1] - p[1:]
    slope = _ratio(d_tp, np.maximum(d_p, 0))
    intercept = tp[1:] - slope * p[1:]
    ratio = np.where((p[:-1] > 0) & (p[1:] > 0), _ratio(p[:-1], np.maximum(p[1:], 0)), 1.0)
    steps = _ratio(slope * (d_tp + intercept * np.log(ratio)), np.maximum(tp[1:] + fn[1:], 0))
    area: Array = steps.sum(axis=0)
    return area


class _BestPoint(_OfThresholds):
    """The largest value of one ratio at the thresholds where another is large enough."""

    num_thresholds = Setting(partial(checks.integer, minimum=1, maximum=1_000_000))
    class_id = Setting(_optional(partial(checks.integer, minimum=0)))

    @property
    def column(self) -> int | None:  # type: ignore[override]
        return self.class_id

    def limits(self) -> Array:
        n = self.num_thresholds
        return np.array([0.5]) if n == 1 else np.arange(n) / (n - 1)

    def ratios(self, tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[float, Array, Array]:
        """What is asked, of which ratio, and the ratio that is wanted."""
        raise NotImplementedError

    def figure(self, *state: Array) -> Any:
        least, asked, wanted = self.ratios(*state)
        enough = asked >= least
        return float(wanted[enough].max()) if enough.any() else 0.0


class SensitivityAtSpecificity(_BestPoint):
    """The best recall, TP / (TP + FN), where TN / (TN + FP) is at least `specificity`.

    >>> SensitivityAtSpecificity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])
    0.5
    """

    name = "sensitivity_at_specificity"
    specificity = Setting(SHARE)

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.specificity = specificity
        self.num_thresholds = num_thresholds
        self.class_id = class_id

    def ratios(self, tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[float, Array, Array]:
        return self.specificity, _ratio(tn, tn + fp), _ratio(tp, tp + fn)


class SpecificityAtSensitivity(_BestPoint):
    """The best TN / (TN + FP) where recall, TP / (TP + FN), is at least `sensitivity`.

    >>> round(SpecificityAtSensitivity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]), 4)
    0.6667
    """

    name = "specificity_at_sensitivity"
    sensitivity = Setting(SHARE)

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.sensitivity = sensitivity
        self.num_thresholds = num_thresholds
        self.class_id = class_id

    def ratios(self, tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[float, Array, Array]:
        return self.sensitivity, _ratio(tp, tp + fn), _ratio(tn, tn + fp)


class PrecisionAtRecall(_BestPoint):
    """The best precision where recall is at least `recall`.

    >>> PrecisionAtRecall(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])
    0.5
    """

    name = "precision_at_recall"
    recall = Setting(SHARE)

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.recall = recall
        self.num_thresholds = num_thresholds
        self.class_id = class_id

    def ratios(self, tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[float, Array, Array]:
        return self.recall, _ratio(tp, tp + fn), _ratio(tp, tp + fp)


class RecallAtPrecision(_BestPoint):
    """The best recall where precision is at least `precision`.

    >>> RecallAtPrecision(0.8)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])
    0.5
    """

    name = "recall_at_precision"
    precision = Setting(SHARE)

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.precision = precision
        self.num_thresholds = num_thresholds
        self.class_id = class_id

    def ratios(self, tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[float, Array, Array]:
        return self.precision, _ratio(tp, tp + fp), _ratio(tp, tp + fn)

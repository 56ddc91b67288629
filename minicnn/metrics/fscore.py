"""F-scores: precision and recall in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.metrics.base import OfOutputs, Shape, cell_weights, expect
from minicnn.settings import Setting

Array = NDArray[Any]

EPSILON = 1e-7
AVERAGES = ("macro", "micro", "weighted")


def _average(value: Any, name: str, who: str) -> str | None:
    return None if value is None else checks.one_of(value, AVERAGES, name, who)


def _threshold(value: Any, name: str, who: str) -> float | None:
    return None if value is None else checks.real(value, name, who, low=0, high=1, open_low=True)


class _FScore(OfOutputs):
    """The weighted harmonic mean of precision P and recall R: (1 + b^2) P R / (b^2 P + R)."""

    direction = "up"
    beta: Any = 1.0
    average = Setting(_average)
    threshold = Setting(_threshold)

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        expect(len(output_shape) == 2, "(N, C)", y, output_shape, who)
        super().check(y, output_shape, who)

    def slots(self, output_shape: tuple[Any, ...]) -> dict[str, Shape]:
        names = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")
        return dict.fromkeys(names, () if self.average == "micro" else (output_shape[-1],))

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None) -> Sequence[Any]:
        t = y_true.reshape(y_pred.shape).astype(np.float64)
        if self.threshold is None:  # the largest of a row, unless it is 0
            largest = y_pred >= y_pred.max(axis=-1, keepdims=True)
            p = np.float64(largest & (np.abs(y_pred) > 1e-9))
        else:
            p = np.float64(y_pred > np.asarray(self.threshold, y_pred.dtype))
        w = cell_weights(sample_weight, t.shape)
        axis = None if self.average == "micro" else 0
        return [(one * w).sum(axis=axis) for one in (p * t, p * (1 - t), (1 - p) * t, t)]

    def figure(self, *state: Array) -> Any:
        tp, fp, fn, weights = state
        precision, recall = tp / (tp + fp + EPSILON), tp / (tp + fn + EPSILON)
        squared = self.beta**2
        score = (1 + squared) * precision * recall / (squared * precision + recall + EPSILON)
        if self.average == "weighted":
            return float((score * weights).sum() / (weights.sum() + EPSILON))
        return score if self.average is None else float(score.mean())


class FBetaScore(_FScore):
    """F-score of each output, in which recall counts `beta` times as much as precision.

    Parameters
    ----------
    average : None, "micro", "macro" or "weighted"
        A score for each output; of the counts of all; the mean of the scores; by their targets.
    beta : float > 0
    threshold : float in (0, 1], optional
        Outputs above it are positive; without it, the largest of each row.

    y_true, y_pred (N, C).

    Examples
    --------
    >>> y = [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    >>> p = [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]]
    >>> FBetaScore(beta=2.0, threshold=0.5)(y, p).round(4)
    array([0.3846, 0.9091, 0.8333])
    """

    name = "fbeta_score"
    beta = Setting(partial(checks.real, low=0, open_low=True))

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.average = average
        self.beta = beta
        self.threshold = threshold


class F1Score(_FScore):
    """`FBetaScore` with beta 1: precision and recall count the same.

    >>> y = [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    >>> p = [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]]
    >>> F1Score(threshold=0.5)(y, p).round(4)
    array([0.5   , 0.8   , 0.6667])
    """

    name = "f1_score"

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.average = average
        self.threshold = threshold

"""Metrics of yes or no: how many outputs lie above a threshold, rightly and wrongly.

    true positives TP    above, and the target is not 0        precision   TP / (TP + FP)
    false positives FP   above, and the target is 0            recall      TP / (TP + FN)
    true negatives TN    not above, and the target is 0
    false negatives FN   not above, and the target is not 0

y_true and y_pred are (N, ..., C), or (N,); every output counts by itself, with its sample's weight.
0 / 0 is 0. Each threshold has its own counts: an output that exceeds k of the sorted thresholds
counts for the first k of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.metrics.base import OfOutputs, Shape, cell_weights
from minicnn.settings import Setting

Array = NDArray[Any]

EPSILON = 1e-7
BELOW_ALL = -1e10  # in the place of outputs that are not among the k largest

SHARE = partial(checks.real, low=0, high=1)


def shares(value: Any, name: str, who: str) -> list[float]:
    """Numbers from 0 to 1, at least one."""
    found = [SHARE(one, f"each of {name}", who) for one in checks.listed(value, name, who)]
    if not found:
        raise ValueError(f"{who}: expected {name} to be at least one number, received none")
    return found


def _thresholds(value: Any, name: str, who: str) -> float | list[float] | None:
    """One number from 0 to 1, or several."""
    if value is None:
        return None
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        return shares(value, name, who)
    return SHARE(value, name, who)


def _optional(check: Any) -> Any:
    return lambda value, name, who: None if value is None else check(value, name, who)


def _ratio(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def _counts(t: Array, p: Array, w: Array | float, thresholds: Array) -> tuple[Array, ...]:
    """TP, FP, TN and FN at each threshold, of flat arrays; thresholds in any order."""
    order = np.argsort(thresholds, kind="stable")
    exceeded = np.searchsorted(thresholds[order].astype(p.dtype), p, side="left")
    yes = t.astype(bool)
    found = []
    for which in (yes, ~yes):
        weights = np.where(which, w, 0.0)
        by_number = np.bincount(exceeded, weights=weights, minlength=len(thresholds) + 1)
        above = np.empty(len(thresholds))
        above[order] = by_number[::-1].cumsum()[::-1][1:]
        found.append((above, by_number.sum() - above))
    (tp, fn), (fp, tn) = found
    return tp, fp, tn, fn


class _OfThresholds(OfOutputs):
    """Metrics of the counts at some thresholds."""

    direction: str | None = "up"
    numbered = True
    counted: tuple[str, ...] = (
        "true_positives",
        "false_positives",
        "true_negatives",
        "false_negatives",
    )
    keeps_largest: int | None = None
    column: int | None = None

    def limits(self) -> Array:
        """The thresholds."""
        raise NotImplementedError

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        super().check(y, output_shape, who)
        most = output_shape[-1] if len(output_shape) > 1 else 0
        for name, value in (("class_id", self.column), ("top_k", self.keeps_largest)):
            if value is not None and value > most - (name == "class_id"):
                raise ValueError(
                    f"{who}: expected {name} to be at most {most - (name == 'class_id')}, since "
                    f"there are {most} outputs, received {value}"
                )

    def slots(self, output_shape: tuple[Any, ...]) -> dict[str, Shape]:
        return dict.fromkeys(self.counted, (len(self.limits()),))

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None) -> Sequence[Any]:
        t, p, w = self._cells(y_true, y_pred, sample_weight)
        if self.keeps_largest is not None:
            largest = np.argsort(-p, axis=-1, kind="stable")[..., : self.keeps_largest]
            kept = np.full_like(p, BELOW_ALL)
            np.put_along_axis(kept, largest, np.take_along_axis(p, largest, -1), -1)
            p = kept
        if self.column is not None:
            t, p, w = (one[..., self.column] for one in (t, p, w))
        found = _counts(t.ravel(), p.ravel(), w.ravel(), self.limits())
        names = _OfThresholds.counted
        return [found[names.index(name)] for name in self.counted]

    def _cells(
        self, y_true: Array, y_pred: Array, sample_weight: Array | None
    ) -> tuple[Array, Array, Array]:
        p = y_pred if y_pred.dtype.kind == "f" else y_pred.astype(np.float64)
        w = np.broadcast_to(cell_weights(sample_weight, p.shape), p.shape)
        return y_true.reshape(p.shape), p, w


def _one_or_all(values: Array) -> Any:
    return float(values[0]) if len(values) == 1 else np.array(values)  # not the state itself


# -- counts, precision, recall ---------------------------------------------------------------------


class _Count(_OfThresholds):
    """One of the four counts, at one threshold or several."""

    direction = None
    thresholds = Setting(_thresholds)

    def limits(self) -> Array:
        return np.atleast_1d(0.5 if self.thresholds is None else self.thresholds)

    def figure(self, *state: Array) -> Any:
        return _one_or_all(state[0])


class TruePositives(_Count):
    """How many outputs lie above the threshold, 0.5 if not given, and rightly so.

    >>> TruePositives()([0, 1, 1, 1], [1, 0, 1, 1])
    2.0
    """

    name = "true_positives"
    counted = ("true_positives",)

    def __init__(
        self,
        thresholds: Any = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.thresholds = thresholds


class FalsePositives(_Count):
    """How many outputs lie above the threshold, 0.5 if not given, though their target is 0."""

    name = "false_positives"
    counted = ("false_positives",)

    def __init__(
        self,
        thresholds: Any = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.thresholds = thresholds


class TrueNegatives(_Count):
    """How many outputs do not lie above the threshold, 0.5 if not given, and rightly so."""

    name = "true_negatives"
    counted = ("true_negatives",)

    def __init__(
        self,
        thresholds: Any = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.thresholds = thresholds


class FalseNegatives(_Count):
    """How many outputs do not lie above the threshold, 0.5 if not given, though they should."""

    name = "false_negatives"
    counted = ("false_negatives",)

    def __init__(
        self,
        thresholds: Any = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.thresholds = thresholds


class _Ratio(_OfThresholds):
    """Precision or recall: thresholds 0.5, or none among the `top_k` largest outputs of a row."""

    thresholds = Setting(_thresholds)
    top_k = Setting(_optional(checks.size))
    class_id = Setting(_optional(partial(checks.integer, minimum=0)))

    @property
    def keeps_largest(self) -> int | None:  # type: ignore[override]
        return self.top_k

    @property
    def column(self) -> int | None:  # type: ignore[override]
        return self.class_id

    def limits(self) -> Array:
        usual = 0.5 if self.top_k is None else BELOW_ALL
        return np.atleast_1d(usual if self.thresholds is None else self.thresholds)

    def figure(self, *state: Array) -> Any:
        right, other = state
        return _one_or_all(_ratio(right, right + other))


class Precision(_Ratio):
    """How much of what is above the threshold is right: TP / (TP + FP).

    Parameters
    ----------
    thresholds : float or list of float in [0, 1], optional
        0.5 if not given; with several, a figure for each.
    top_k : int, optional
        Only the k largest outputs of a row count as positive; then without a threshold.
    class_id : int, optional
        Only this output counts.

    Examples
    --------
    >>> Precision(thresholds=[0.1, 0.55])([0, 1, 1, 1], [0.5, 0.2, 0.6, 0.9])
    array([0.75, 1.  ])
    """

    name = "precision"
    counted = ("true_positives", "false_positives")

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id


class Recall(_Ratio):
    """How much of what should be above the threshold is: TP / (TP + FN). As `Precision`.

    >>> round(Recall()([0, 1, 1, 1], [0.5, 0.2, 0.6, 0.9]), 4)
    0.6667
    """

    name = "recall"
    counted = ("true_positives", "false_negatives")

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        super().__init__(name, **keras)
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id

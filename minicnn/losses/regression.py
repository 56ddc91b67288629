"""Losses of numbers: how far y_pred is from y_true, cell by cell or as a direction.

Shapes, of all of them: y_true and y_pred (N, ..., C); (N, ...) for y_true where C is 1. Most are a
mean over a sample's C (and inner) numbers, so each gradient is that of one number, divided by how
many a sample has. In the formulas, t = y_true, p = y_pred, e = p - t.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.losses.base import EPSILON, Loss, per_cell, per_row, per_sample
from minicnn.losses.crossentropy import axis_of_classes
from minicnn.settings import Setting

Array = NDArray[Any]


class MeanSquaredError(Loss):
    """Mean of the squared differences.

    Shapes
        y_true, y_pred   (N, ..., C)

    Forward
        L = mean over a sample's C (and inner) numbers of (y_pred - y_true)^2

    Backward
        dL/dy_pred = 2 (y_pred - y_true) / (numbers in a sample)

    Why: the slope of a square, once for each of the numbers that the mean is taken over.

    Examples
    --------
    >>> loss = MeanSquaredError()
    >>> loss.forward(np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]]))
    array([5.])
    >>> loss.backward(np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]]))
    array([[1., 3.]])
    """

    name = "mean_squared_error"

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        return per_sample(np.square(y_pred - y_true.astype(y_pred.dtype)))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        gradient: Array = (y_pred - y_true.astype(y_pred.dtype)) * (2 * len(y_pred) / y_pred.size)
        return gradient


class MeanAbsoluteError(Loss):
    """Mean of |e|; its slope is the sign of e, 0 at the kink, however large the error.

    >>> loss = MeanAbsoluteError()
    >>> t, p = np.array([[0.0, 0.0]]), np.array([[1.0, -3.0]])
    >>> loss.forward(t, p), loss.backward(t, p)
    (array([2.]), array([[ 0.5, -0.5]]))
    """

    name = "mean_absolute_error"

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        return per_sample(np.abs(y_pred - y_true.astype(y_pred.dtype)))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        return per_cell(np.sign(y_pred - y_true.astype(y_pred.dtype)))


class MeanAbsolutePercentageError(Loss):
    """100 times the mean of |e| / max(|t|, 1e-7).

    >>> MeanAbsolutePercentageError()(np.array([[4.0, 1.0]]), np.array([[3.0, 1.0]]))
    12.5
    """

    name = "mean_absolute_percentage_error"

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        t = y_true.astype(y_pred.dtype)
        return 100 * per_sample(np.abs((y_pred - t) / _size(t)))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        t = y_true.astype(y_pred.dtype)
        return per_cell(100 * np.sign(y_pred - t) / _size(t))


def _size(t: Array) -> Array:
    size: Array = np.maximum(np.abs(t), t.dtype.type(EPSILON))
    return size


class MeanSquaredLogarithmicError(Loss):
    """Mean of d^2, d = log(p + 1) - log(t + 1), both first raised to 1e-7 at least.

    Backward: 2 d / (p + 1), and 0 where p was raised.

    >>> loss = MeanSquaredLogarithmicError()
    >>> t, p = np.array([[0.0]]), np.array([[np.e - 1]])
    >>> loss.forward(t, p).round(6), loss.backward(t, p).round(6)     # 1, and 2 / e
    (array([1.]), array([[0.735759]]))
    """

    name = "mean_squared_logarithmic_error"

    def _difference(self, y_true: Array, y_pred: Array) -> Array:
        raised = (np.maximum(one, y_pred.dtype.type(EPSILON)) for one in (y_pred, y_true))
        p, t = (np.log(one + 1) for one in raised)
        return p - t

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        return per_sample(np.square(self._difference(y_true.astype(y_pred.dtype), y_pred)))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        difference = self._difference(y_true.astype(y_pred.dtype), y_pred)
        above = y_pred >= EPSILON
        return per_cell(2 * difference / np.where(above, y_pred + 1, 1) * above)


class Huber(Loss):
    """Squares for small errors, absolute values for large ones: outliers pull no harder than delta.

    Forward
        L = mean of e^2 / 2 where |e| <= delta, and of delta |e| - delta^2 / 2 elsewhere

    Backward
        dL/dp = e, held to [-delta, delta]

    >>> loss = Huber(delta=1.0)
    >>> t, p = np.array([[0.0, 0.0]]), np.array([[0.5, 3.0]])
    >>> loss.forward(t, p), loss.backward(t, p)      # (0.125 + 2.5) / 2
    (array([1.3125]), array([[0.25, 0.5 ]]))
    """

    name = "huber_loss"
    delta = Setting(partial(checks.real, low=0, open_low=True))

    def __init__(self, delta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.delta = delta

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        e = np.abs(y_pred - y_true.astype(y_pred.dtype))
        within = np.minimum(e, e.dtype.type(self.delta))
        return per_sample(within * (e - within / 2))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        e = y_pred - y_true.astype(y_pred.dtype)
        return per_cell(np.clip(e, -self.delta, self.delta).astype(e.dtype))


class LogCosh(Loss):
    """Mean of log cosh e: e^2 / 2 for small errors, |e| - log 2 for large ones.

    Backward: tanh e. Forward takes |e| + log(1 + exp(-2 |e|)) - log 2, which cannot overflow.

    >>> LogCosh().forward(np.array([[0.0]]), np.array([[1000.0]])).round(4)
    array([999.3069])
    """

    name = "log_cosh"

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        e = np.abs(y_pred - y_true.astype(y_pred.dtype))
        return per_sample(e + np.log1p(np.exp(-2 * e)) - e.dtype.type(np.log(2)))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        return per_cell(np.tanh(y_pred - y_true.astype(y_pred.dtype)))


class Poisson(Loss):
    """Mean of p - t log(p + 1e-7): how unlikely counts t are where p are expected.

    Backward: 1 - t / (p + 1e-7).

    >>> loss = Poisson()
    >>> t, p = np.array([[2.0]]), np.array([[1.0]])
    >>> loss.forward(t, p).round(4), loss.backward(t, p).round(4)
    (array([1.]), array([[-1.]]))
    """

    name = "poisson"

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        t = y_true.astype(y_pred.dtype)
        return per_sample(y_pred - t * np.log(y_pred + t.dtype.type(EPSILON)))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        t = y_true.astype(y_pred.dtype)
        return per_cell(1 - t / (y_pred + t.dtype.type(EPSILON)))


class KLDivergence(Loss):
    """How far the distribution p is from t: sum of t log(t / p), both held to [1e-7, 1].

    Backward: -t / p, and 0 where p was held.

    >>> KLDivergence().forward(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])).round(4)    # log 2
    array([0.6931])
    """

    name = "kl_divergence"
    joint = True

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        t, p = (np.clip(one, EPSILON, 1) for one in (y_true.astype(y_pred.dtype), y_pred))
        return per_sample((t * np.log(t / p)).sum(axis=-1))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        t, p = (np.clip(one, EPSILON, 1) for one in (y_true.astype(y_pred.dtype), y_pred))
        return per_row(-t / p * (p == y_pred))


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between t and p, vectors along an axis; -1 is the best.

    Forward, with u = t / |t| and v = p / |p|
        L = -(u . v)

    Backward
        dL/dp = -(u - (u . v) v) / |p|

    Why: what of u points along p would only make p longer, and is taken out. Lengths are held to
    1e-7 at least, so that a vector of zeros has the cosine 0.

    >>> loss = CosineSimilarity()
    >>> t, p = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
    >>> loss.forward(t, p), loss.backward(t, p)
    (array([-0.]), array([[-0.5,  0. ]]))
    """

    name = "cosine_similarity"
    joint = True
    axis = Setting(axis_of_classes)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        u, _ = _direction(self._classes_last(y_true.astype(y_pred.dtype)))
        v, _ = _direction(self._classes_last(y_pred))
        return per_sample(-(u * v).sum(axis=-1))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        u, _ = _direction(self._classes_last(y_true.astype(y_pred.dtype)))
        v, length = _direction(self._classes_last(y_pred))
        along = (u * v).sum(axis=-1, keepdims=True) * v
        along = along * (length > EPSILON)  # a length that was held does not grow
        return self._classes_home(per_row((along - u) / length))


def _direction(vectors: Array) -> tuple[Array, Array]:
    """Vectors of length 1 along the last axis, and how long they were."""
    length = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    length = np.maximum(length, vectors.dtype.type(EPSILON))
    return vectors / length, length

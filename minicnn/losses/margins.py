"""Losses of margins: being right is not enough, it takes a distance of 1; beyond it costs nothing.

Shapes, of all of them: y_true and y_pred (N, ..., C). y_pred are any numbers, such as those of a
last layer without an activation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.losses.base import Loss, per_cell, per_row, per_sample

Array = NDArray[Any]


class _OfSigns(Loss):
    """Losses whose targets are -1 and 1; those that are 0 and 1 stand for them, as in Keras."""

    def check_values(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        checks.finite(y, "y", who)
        if (y == 0).any() and not ((y == 0) | (y == 1)).all():
            wrong = y[(y != 0) & (y != 1)][0]
            raise ValueError(
                f"{who}: expected y to hold -1 and 1, or 0 and 1, for {self.name}, received 0 and "
                f"{wrong}"
            )

    def _slack(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """t, and how much of the margin 1 is missing: max(1 - t p, 0)."""
        t = y_true.astype(y_pred.dtype)
        t = np.where(t == 0, t.dtype.type(-1), t)
        return t, np.maximum(1 - t * y_pred, 0)


class Hinge(_OfSigns):
    """Mean of max(1 - t p, 0), with t = -1 or 1.

    Backward: -t where the margin is missed, 0 elsewhere.

    >>> loss = Hinge()
    >>> t, p = np.array([[-1.0, 1.0]]), np.array([[0.5, 2.0]])
    >>> loss.forward(t, p), loss.backward(t, p)
    (array([0.75]), array([[ 0.5, -0. ]]))
    """

    name = "hinge"

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        return per_sample(self._slack(y_true, y_pred)[1])

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        t, slack = self._slack(y_true, y_pred)
        return per_cell(-t * (slack > 0))


class SquaredHinge(_OfSigns):
    """Mean of max(1 - t p, 0)^2, with t = -1 or 1.

    Backward: -2 t max(1 - t p, 0).

    >>> loss = SquaredHinge()
    >>> t, p = np.array([[-1.0, 1.0]]), np.array([[0.5, 2.0]])
    >>> loss.forward(t, p), loss.backward(t, p)
    (array([1.125]), array([[ 1.5, -0. ]]))
    """

    name = "squared_hinge"

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        return per_sample(np.square(self._slack(y_true, y_pred)[1]))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        t, slack = self._slack(y_true, y_pred)
        return per_cell(-2 * t * slack)


class CategoricalHinge(Loss):
    """How much the right class's output is not yet 1 above the largest of the others.

    Forward, with one-hot rows t
        L = max(max over q of (1 - t_q) p_q - sum over q of t_q p_q + 1, 0)

    Backward, where L > 0
        dL/dp_q = (1 - t_q) [q is the largest] - t_q

    Why: only the largest of the others matters, and only while the margin is missed.

    >>> loss = CategoricalHinge()
    >>> t, p = np.array([[0.0, 1.0, 0.0]]), np.array([[0.5, 1.2, -1.0]])
    >>> loss.forward(t, p).round(6), loss.backward(t, p)
    (array([0.3]), array([[ 1., -1.,  0.]]))
    """

    name = "categorical_hinge"
    joint = True

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        t = y_true.astype(y_pred.dtype)
        missing = ((1 - t) * y_pred).max(axis=-1) - (t * y_pred).sum(axis=-1) + 1
        return per_sample(np.maximum(missing, 0))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        t = y_true.astype(y_pred.dtype)
        others = (1 - t) * y_pred
        largest = others == others.max(axis=-1, keepdims=True)
        ties = largest.sum(axis=-1, keepdims=True)  # share the slope
        missing = others.max(axis=-1) - (t * y_pred).sum(axis=-1) + 1
        gradient = ((1 - t) * largest / ties - t) * (missing > 0)[..., None]
        return per_row(gradient.astype(y_pred.dtype))

"""Softmax and its logarithm: activations in which the numbers along an axis share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.activations.base import ActivationLayer
from minicnn.layers.base import Array, Shape
from minicnn.settings import Setting


def _axis(value: Any, name: str, who: str) -> int | tuple[int, ...]:
    most = checks.MOST_AXES
    if not isinstance(value, (list, tuple)):
        return checks.integer(value, name, who, minimum=-most, maximum=most)
    if not value:
        raise ValueError(f"{who}: expected {name} to be an axis or several, received none")
    return tuple(checks.integer(k, f"each {name}", who, minimum=-most, maximum=most) for k in value)


class AlongAxis(ActivationLayer):
    """The axis or axes over which the numbers share."""

    axis = Setting(_axis)

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2:
            raise ValueError(
                f"{self.who}: expected input of shape (N, ..., classes), received "
                f"{tuple(input_shape)}. For one sample add a batch axis: x[None]"
            )
        n, given = len(input_shape), np.atleast_1d(self.axis).tolist()
        axes = [axis + n if axis < 0 else axis for axis in given]
        if not all(0 < axis < n for axis in axes) or len(set(axes)) != len(axes):
            raise ValueError(
                f"{self.who}: expected axis among the axes 1 to {n - 1} of the input "
                f"{tuple(input_shape)}, each once (axis 0 is the batch), received {self.axis}"
            )
        return tuple(input_shape)


class Softmax(AlongAxis):
    """Scores (logits) to probabilities along the last axis, or along others.

    Shapes
        x, y   (N, ..., classes)

    Forward
        y_p = exp(x_p - m) / sum over q of exp(x_q - m),   m the largest x of the row

    Backward
        dx_p = y_p * (dy_p - sum over q of dy_q y_q)

    Why: dy_q/dx_p is y_p (1 - y_p) for p = q and -y_p y_q elsewhere, because raising one score
    takes probability from all the others. Subtracting m changes nothing but keeps exp finite.

    In a model that ends in softmax and is trained with cross-entropy, this backward is not run: the
    loss takes the logits, where the two together have the gradient y - target (`losses.py`).

    Parameters
    ----------
    axis : int or sequence of int
        The probabilities sum to 1 over it, or over all of several. Not the batch axis.

    Examples
    --------
    >>> layer = Softmax()
    >>> layer.forward(np.array([[0.0, 0.0, 1000.0], [1.0, 1.0, 1.0]])).round(2)
    array([[0.  , 0.  , 1.  ],
           [0.33, 0.33, 0.33]])
    >>> layer.backward(np.array([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]])).round(2)
    array([[ 0.  ,  0.  ,  0.  ],
           [ 0.67, -0.33, -0.33]])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        y: Array = np.exp(x - x.max(axis=self.axis, keepdims=True))
        y /= y.sum(axis=self.axis, keepdims=True)
        self._cache = y
        return y

    def backward(self, dy: Array) -> Array:
        dy, y = self._recall(dy)
        dx: Array = y * (dy - (dy * y).sum(axis=self.axis, keepdims=True))
        return dx


class LogSoftmax(AlongAxis):
    """The logarithm of the softmax: y_p = x_p - m - log(sum over q of exp(x_q - m)).

    Backward
        dx_p = dy_p - softmax(x)_p * sum over q of dy_q
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        y: Array = x - x.max(axis=self.axis, keepdims=True)
        y -= np.log(np.exp(y).sum(axis=self.axis, keepdims=True))
        self._cache = y
        return y

    def backward(self, dy: Array) -> Array:
        dy, y = self._recall(dy)
        dx: Array = dy - np.exp(y) * dy.sum(axis=self.axis, keepdims=True)
        return dx

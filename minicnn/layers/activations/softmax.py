"""Softmax, its logarithm, sparsemax and GLU: activations in which numbers along an axis share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.activations.base import ActivationLayer
from minicnn.layers.activations.smooth import sigmoid
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
    loss takes the logits, where the two together have the gradient y - target (see
    `losses/crossentropy.py`).

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


def _one_axis(value: Any, name: str, who: str) -> int:
    most = checks.MOST_AXES
    return checks.integer(value, name, who, minimum=-most, maximum=most)


class Sparsemax(AlongAxis):
    """Scores to probabilities of which most are exactly 0.

    Forward
        y_p = max(x_p - t, 0), with t such that the sum over p is 1

    Backward
        dx_p = dy_p - mean of dy over the row's numbers with y > 0, where y_p > 0, else 0

    Why: y is the point of all probabilities that is nearest to x. If the k largest x of a row stay
    above t, t is (their sum - 1) / k; so k is the largest number for which the k-th x stays above.

    Source: Martins and Astudillo, "From softmax to sparsemax", 2016.

    Parameters
    ----------
    axis : int
        The probabilities sum to 1 over it. Not the batch axis.

    Examples
    --------
    >>> layer = Sparsemax()
    >>> layer.forward(np.array([[1.0, 0.5, -1.0]]))
    array([[0.75, 0.25, 0.  ]])
    >>> layer.backward(np.array([[1.0, 0.0, 5.0]]))
    array([[ 0.5, -0.5,  0. ]])
    """

    axis = Setting(_one_axis)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(axis, **kwargs)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        # what lies more than 1 below the largest is 0 in any case
        z = np.maximum(np.moveaxis(x - x.max(axis=self.axis, keepdims=True), self.axis, -1), -2)
        falling = -np.sort(-z, axis=-1)
        sums = np.cumsum(falling, axis=-1)
        k = np.arange(1, z.shape[-1] + 1, dtype=x.dtype)
        above = falling - (sums - 1) / k > 0
        count = np.maximum(above.sum(axis=-1, keepdims=True), 1)
        t = (np.take_along_axis(sums, count - 1, axis=-1) - 1) / count.astype(x.dtype)
        y: Array = np.moveaxis(np.maximum(z - t, 0), -1, self.axis)
        self._cache = y
        return y

    def backward(self, dy: Array) -> Array:
        dy, y = self._recall(dy)
        inside = (y > 0).astype(dy.dtype)
        mean = (dy * inside).sum(axis=self.axis, keepdims=True)
        mean /= np.maximum(inside.sum(axis=self.axis, keepdims=True), 1)
        dx: Array = inside * (dy - mean)
        return dx


class GLU(AlongAxis):
    """Gated linear unit: one half of x, let through as far as the other half says.

    Shapes
        x   (N, ..., 2 * features)
        y   (N, ..., features)

    Forward
        a, b = the first and the second half of x        y = a * sigmoid(b)

    Backward
        da = dy * sigmoid(b)        db = dy * a * sigmoid(b) * (1 - sigmoid(b))

    Why: a layer that learns both halves learns what to say and, apart from it, when to say it. As
    the activation of a layer it halves the features, so Dense(8, activation="glu") returns 4.

    Source: Dauphin et al., "Language Modeling with Gated Convolutional Networks", 2017.

    Parameters
    ----------
    axis : int
        The axis whose halves a and b are; its size has to be even. Not the batch axis.

    Examples
    --------
    >>> layer = GLU()
    >>> layer.forward(np.array([[2.0, 4.0, 0.0, 1000.0]]))
    array([[1., 4.]])
    >>> layer.backward(np.array([[1.0, 1.0]]))
    array([[0.5, 1. , 0.5, 0. ]])
    """

    axis = Setting(_one_axis)

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(axis, **kwargs)

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = list(super().output_shape(input_shape))
        size = shape[self.axis]
        if size is not None:
            if size % 2:
                raise ValueError(
                    f"{self.who}: expected an even size along the axis {self.axis}, which is "
                    f"halved, received {tuple(input_shape)}"
                )
            shape[self.axis] = size // 2
        return tuple(shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        a, b = np.split(x, 2, axis=self.axis)
        gate = sigmoid(b)
        self._cache = a, gate
        y: Array = a * gate
        return y

    def backward(self, dy: Array) -> Array:
        dy, (a, gate) = self._recall(dy)
        return np.concatenate([dy * gate, dy * a * gate * (1 - gate)], axis=self.axis)

"""Layers that give the numbers of a sample another shape, order or number, and no other values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.base import Array, Layer, Shape
from minicnn.settings import Setting


def _target(value: Any, name: str, who: str) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{who}: expected {name} to be a tuple, received {checks.shown(value)}")
    if len(value) > checks.MOST_AXES:
        raise ValueError(
            f"{who}: expected {name} to have at most {checks.MOST_AXES} axes, received {len(value)}"
        )
    if sum(1 for n in value if type(n) is int and n == -1) > 1:
        raise ValueError(f"{who}: expected {name} to have at most one -1, received {value}")
    most = checks.LARGEST_SIZE
    sizes = [checks.integer(n, f"each of {name}", who, minimum=-1, maximum=most) for n in value]
    if 0 in sizes:
        raise ValueError(f"{who}: expected {name} to hold sizes of at least 1, received {value}")
    return tuple(sizes)


class Reshape(Layer):
    """Each sample in another shape, in row-major order.

    Shapes
        x   (N, ...)
        y   (N, *target_shape)

    Forward
        y = x, reshaped

    Backward
        dx = dy, reshaped back

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch; one size may be -1, and is then what is left.

    Examples
    --------
    >>> layer = Reshape((-1, 2))
    >>> layer.forward(np.arange(4.0)[None])
    array([[[0., 1.],
            [2., 3.]]])
    >>> layer.backward(np.ones((1, 2, 2)))
    array([[1., 1., 1., 1.]])
    """

    built_when_made = True
    target_shape = Setting(_target, fixed=True)

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = target_shape

    def output_shape(self, input_shape: Shape) -> Shape:
        given = input_shape[1:]
        if None in given:
            if -1 in self.target_shape:
                return input_shape[0], *(None if n == -1 else n for n in self.target_shape)
            return input_shape[0], *self.target_shape
        size, known = math.prod(given), math.prod(n for n in self.target_shape if n != -1)
        if size % known or (-1 not in self.target_shape and size != known):
            raise ValueError(
                f"{self.who}: expected samples that fill {tuple(self.target_shape)}, received "
                f"input of shape {tuple(input_shape)}, {size} numbers each"
            )
        return input_shape[0], *(size // known if n == -1 else n for n in self.target_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = x.shape
        return x.reshape(self.output_shape(x.shape))

    def backward(self, dy: Array) -> Array:
        dy, x_shape = self._recall(dy)
        return dy.reshape(x_shape)


def _order(value: Any, name: str, who: str) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{who}: expected {name} to be a tuple, received {checks.shown(value)}")
    most = checks.MOST_AXES
    axes = [checks.integer(k, f"each of {name}", who, minimum=1, maximum=most) for k in value]
    if sorted(axes) != list(range(1, len(axes) + 1)):
        raise ValueError(
            f"{who}: expected {name} to hold each axis from 1 to {len(axes)} once, received {value}"
        )
    return tuple(axes)


class Permute(Layer):
    """The axes of each sample in another order.

    Forward
        axis k of y is axis dims[k - 1] of x; axis 0 is the batch and stays

    Backward
        dx = dy with its axes in the order of x

    Parameters
    ----------
    dims : tuple of int
        Every axis of a sample once, counted from 1: (2, 1) exchanges two.

    Examples
    --------
    >>> Permute((2, 1)).forward(np.arange(6.0).reshape(1, 2, 3))
    array([[[0., 3.],
            [1., 4.],
            [2., 5.]]])
    """

    dims = Setting(_order, fixed=True)

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = dims

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != len(self.dims) + 1:
            raise ValueError(
                f"{self.who}: expected input of {len(self.dims)} axes behind the batch, as dims "
                f"{tuple(self.dims)} has them, received {tuple(input_shape)}"
            )
        return input_shape[0], *(input_shape[k] for k in self.dims)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = ()
        return np.ascontiguousarray(x.transpose(0, *self.dims))

    def backward(self, dy: Array) -> Array:
        dy, _ = self._recall(dy)
        return np.ascontiguousarray(dy.transpose(np.argsort((0, *self.dims))))


class RepeatVector(Layer):
    """Each vector n times.

    Shapes
        x   (N, features)
        y   (N, n, features)

    Forward
        y[i, k] = x[i]

    Backward
        dx[i] = sum over k of dy[i, k]

    Why: x is in all n copies, and collects from each.
    """

    n = Setting(checks.size, fixed=True)

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = n

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise ValueError(
                f"{self.who}: expected input of shape (N, features), received {tuple(input_shape)}"
            )
        return input_shape[0], self.n, input_shape[1]

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = ()
        return np.repeat(x[:, None], self.n, axis=1)

    def backward(self, dy: Array) -> Array:
        dy, _ = self._recall(dy)
        dx: Array = dy.sum(axis=1)
        return dx


class Identity(Layer):
    """y = x, for a place in a network that has to have a layer."""

    built_when_made = True

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = ()
        return x

    def backward(self, dy: Array) -> Array:
        dy, _ = self._recall(dy)
        return dy

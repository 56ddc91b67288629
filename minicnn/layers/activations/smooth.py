"""Activations without a kink. All but Exponential are finite for any finite x."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, kernels
from minicnn.layers.activations.base import Elementwise
from minicnn.layers.base import Array
from minicnn.settings import Setting


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), with all its digits on either side and without an overflow."""
    power = np.exp(-np.abs(x))  # at most 1
    y: Array = np.where(x < 0, power, 1) / (1 + power)
    return y


class Sigmoid(Elementwise):
    """Logistic function: squeezes any number into (0, 1).

    Shapes
        x, y   any

    Forward
        y = 1 / (1 + exp(-x))

    Backward
        dx = dy * y * (1 - y)

    Why: the slope of the logistic function, written in its own value. For a negative x it is
    computed as exp(x) / (1 + exp(x)), where nothing overflows.

    Examples
    --------
    >>> layer = Sigmoid()
    >>> layer.forward(np.array([0.0, 1000.0]))
    array([0.5, 1. ])
    >>> layer.backward(np.array([4.0, 4.0]))
    array([1., 0.])
    """

    def value(self, x: Array) -> Array:
        return sigmoid(x)

    def slope(self, x: Array, y: Array) -> Array:
        return y * (1 - y)


class Tanh(Elementwise):
    """Hyperbolic tangent: squeezes any number into (-1, 1).

    Shapes
        x, y   any

    Forward
        y = tanh(x)

    Backward
        dx = dy * (1 - y^2)

    Why: the slope of tanh, written in its own value.

    Examples
    --------
    >>> layer = Tanh()
    >>> layer.forward(np.array([0.0, 1000.0]))
    array([0., 1.])
    >>> layer.backward(np.array([4.0, 4.0]))
    array([4., 0.])
    """

    def value(self, x: Array) -> Array:
        return np.tanh(x)

    def slope(self, x: Array, y: Array) -> Array:
        return 1 - y * y


class Softplus(Elementwise):
    """ReLU with a rounded corner: y = log(1 + exp(x)).

    Source: Dugas et al., "Incorporating second-order functional knowledge for better option
    pricing", 2001.
    """

    def value(self, x: Array) -> Array:
        return np.logaddexp(x, 0)

    def slope(self, x: Array, y: Array) -> Array:
        return sigmoid(x)


class Softsign(Elementwise):
    """Squeezes into (-1, 1) more slowly than tanh: y = x / (1 + |x|)."""

    def value(self, x: Array) -> Array:
        return x / (1 + np.abs(x))

    def slope(self, x: Array, y: Array) -> Array:
        return (1 / (1 + np.abs(x))) ** 2


class SiLU(Elementwise):
    """x times its sigmoid, also called swish: y = x / (1 + exp(-x)).

    Source: Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2017.
    """

    def value(self, x: Array) -> Array:
        return x * sigmoid(x)

    def slope(self, x: Array, y: Array) -> Array:
        s = sigmoid(x)
        return s * (1 + x * (1 - s))


class Mish(Elementwise):
    """y = x * tanh(log(1 + exp(x))).

    Source: Misra, "Mish: a self regularized non-monotonic activation function", 2019.
    """

    def value(self, x: Array) -> Array:
        return x * np.tanh(np.logaddexp(x, 0))

    def slope(self, x: Array, y: Array) -> Array:
        t = np.tanh(np.logaddexp(x, 0))
        return t + x * (1 - t * t) * sigmoid(x)


class GELU(Elementwise):
    """x times the share of a normal distribution that lies below x.

    Forward
        y = x * P(x),   P(x) = (1 + erf(x / sqrt(2))) / 2

        or, with approximate=True,
        P(x) = (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """

    approximate = Setting(checks.boolean)

    def __init__(self, approximate: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approximate = approximate

    def value(self, x: Array) -> Array:
        return x * self._share(x)

    def slope(self, x: Array, y: Array) -> Array:
        share = self._share(x)
        if self.approximate:
            inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
            bell = 2 * share * (1 - share)  # 0 where x is large: no inf * 0
            return share + np.where(bell > 0, x * bell * inner, 0)
        bell = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return share + np.where(bell > 0, x * bell, 0)

    def _share(self, x: Array) -> Array:
        """P(x), the normal distribution below x."""
        if self.approximate:
            share = (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))) / 2
            return np.asarray(share)
        share = np.empty(x.shape, x.dtype)
        kernels.normal_cdf(np.ascontiguousarray(x).reshape(-1), share.reshape(-1))
        return share


class Exponential(Elementwise):
    """y = exp(x)."""

    def value(self, x: Array) -> Array:
        return np.exp(x)

    def slope(self, x: Array, y: Array) -> Array:
        return y


class Squareplus(Elementwise):
    """ReLU with a rounded corner, without exponentials: y = (x + sqrt(x^2 + b)) / 2.

    Source: Barron, "Squareplus: a softplus-like algebraic rectifier", 2021.
    """

    b = Setting(partial(checks.real, low=0))

    def __init__(self, b: float = 4.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.b = b

    def value(self, x: Array) -> Array:
        root = np.hypot(x, x.dtype.type(math.sqrt(self.b)))
        # for a negative x the sum would lose its digits: (root + x) (root - x) = b
        return np.where(x >= 0, (x + root) / 2, self.b / 2 / np.where(x >= 0, 1, root - x))

    def slope(self, x: Array, y: Array) -> Array:
        root = np.hypot(x, x.dtype.type(math.sqrt(self.b)))
        return (1 + np.where(root > 0, x, 0) / np.where(root > 0, root, 1)) / 2


class LogSigmoid(Elementwise):
    """The logarithm of the sigmoid, without its overflow: y = -log(1 + exp(-x))."""

    def value(self, x: Array) -> Array:
        return -np.logaddexp(-x, 0)

    def slope(self, x: Array, y: Array) -> Array:
        return sigmoid(-x)


class TanhShrink(Elementwise):
    """What tanh takes away: y = x - tanh(x)."""

    def value(self, x: Array) -> Array:
        return x - np.tanh(x)

    def slope(self, x: Array, y: Array) -> Array:
        return np.tanh(x) ** 2

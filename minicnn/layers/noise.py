"""Noise of other kinds than dropout's, in training alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.base import Array
from minicnn.layers.dropout import DroppingLayer, noise_shape_setting
from minicnn.layers.randomness import RandomLayer
from minicnn.settings import Setting

_rate = partial(checks.real, low=0, high=1, open_high=True)


class GaussianNoise(RandomLayer):
    """Adds normal noise while training, and does nothing otherwise.

    Forward
        training    y = x + stddev * z,   z normal of mean 0 and variance 1, one for each cell
        otherwise   y = x

    Backward
        dx = dy

    Why: the noise does not depend on x.

    Parameters
    ----------
    stddev : float in [0, 1]
    seed : int, optional
        Fixes the noise; None draws a seed from the model's generator.
    """

    stddev = Setting(partial(checks.real, low=0, high=1))

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.stddev = stddev

    def forward(self, x: Array, training: bool = False) -> Array:
        training = checks.boolean(training, "training", self.who)
        x = self._input(x)
        self._cache = ()
        if not training or self.stddev == 0:
            return x
        z = self._normal(x.shape, x.dtype)
        self._step += 1
        y: Array = x + x.dtype.type(self.stddev) * z
        return y

    def backward(self, dy: Array) -> Array:
        dy, _ = self._recall(dy)
        return dy


class GaussianDropout(RandomLayer):
    """Multiplies by normal noise of mean 1 while training, and does nothing otherwise.

    Forward
        training    y = x * (1 + s * z),   s = sqrt(rate / (1 - rate)),   z normal, one a cell
        otherwise   y = x

    Backward
        dx = dy * (1 + s * z)   (or dy)

    Why: mean and variance of the factor are those of dropout at that rate.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    2014.

    Parameters
    ----------
    rate : float in [0, 1)
        Keras takes 1 too, and then divides by 0.
    seed : int, optional
        Fixes the noise; None draws a seed from the model's generator.
    """

    rate = Setting(_rate)

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rate = rate

    def forward(self, x: Array, training: bool = False) -> Array:
        training = checks.boolean(training, "training", self.who)
        x = self._input(x)
        if not training or self.rate == 0:
            self._cache = (None,)
            return x
        s = math.sqrt(self.rate / (1 - self.rate))
        factor = 1 + x.dtype.type(s) * self._normal(x.shape, x.dtype)
        self._cache = (factor,)
        self._step += 1
        y: Array = x * factor
        return y

    def backward(self, dy: Array) -> Array:
        dy, (factor,) = self._recall(dy)
        return dy if factor is None else dy * factor


class AlphaDropout(DroppingLayer):
    """Dropout that keeps mean 0 and variance 1, for layers with SELU.

    Forward
        training    y = a * (x where it is kept, else p) + b
                    p = -1.7581, where SELU ends
                    a = ((1 - rate) (1 + rate p^2))^-0.5,   b = -a p rate
        otherwise   y = x

    Backward
        dx = a * dy where x was kept, else 0   (or dy)

    Why: p would shift the mean and change the variance; a and b take both back.

    Source: Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", 2017.

    Parameters
    ----------
    rate : float in [0, 1)
        Keras takes 1 too, and then divides by 0.
    noise_shape : sequence of int or None, optional
        As in Dropout.
    seed : int, optional
        Fixes the noise; None draws a seed from the model's generator.
    """

    P = -1.7580993408473768599402175208123
    rate = Setting(_rate)
    noise_shape = Setting(noise_shape_setting)

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rate = rate
        self.noise_shape = noise_shape

    def forward(self, x: Array, training: bool = False) -> Array:
        training = checks.boolean(training, "training", self.who)
        x = self._input(x)
        if not training or self.rate == 0:
            self._cache = (None,)
            return x
        keep = self._keep(self._noise_shape(x.shape))
        self._step += 1
        a = ((1 - self.rate) * (1 + self.rate * self.P**2)) ** -0.5
        b = -a * self.P * self.rate
        self._cache = (keep * x.dtype.type(a),)
        y: Array = x.dtype.type(a) * np.where(keep, x, x.dtype.type(self.P)) + x.dtype.type(b)
        return y

    def backward(self, dy: Array) -> Array:
        dy, (factor,) = self._recall(dy)
        return dy if factor is None else dy * factor

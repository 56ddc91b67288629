"""Steps divided by the size of the gradient: RMSprop, Adagrad, Adadelta."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.optimizers.base import Array, Optimizer, from_settings, positive, share
from minicnn.settings import Setting


class RMSprop(Optimizer):
    """Steps divided by the recent size of the gradient, each parameter for itself.

    Step
        v = rho * v + (1 - rho) * g^2
        a = rho * a + (1 - rho) * g                 centered; otherwise a = 0
        d = lr * g / sqrt(v - a^2 + epsilon)
        b = momentum * b + d                        with momentum; otherwise b = d
        w = w - b

    Why: a parameter whose gradient is always large takes smaller steps, and the other way round.
    Centered, the gradient's variance takes the place of its mean square: steps grow where it is
    steady.

    Source: Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012; epsilon inside the root as in Keras.

    Parameters
    ----------
    learning_rate : float >= 0, schedule or function
    rho : float in [0, 1)
    momentum : float in [0, 1]
    epsilon : float > 0
    centered : bool

    Examples
    --------
    >>> w = np.array([1.0])
    >>> RMSprop(learning_rate=0.1, rho=0.75, epsilon=1e-12).update(w, np.array([2.0]))
    >>> w.round(6)      # v = 1, so the step is 0.1 * 2 / 1
    array([0.8])
    """

    rho = Setting(share)
    momentum = Setting(partial(checks.real, low=0, high=1))
    epsilon = Setting(positive)
    centered = Setting(checks.boolean)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    @from_settings
    def slots(self) -> tuple[str, ...]:
        """v, and what the settings ask for."""
        return ("v", *("a",) * self.centered, *("b",) * bool(self.momentum))

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        named = dict(zip(self.slots, slots))
        v = named["v"]
        v *= self.rho
        v += (1 - self.rho) * g * g
        variance = v
        if self.centered:
            a = named["a"]
            a += (1 - self.rho) * (g - a)
            variance = v - a * a
        d = self.learning_rate * g / np.sqrt(variance + self.epsilon)
        if self.momentum:
            b = named["b"]
            b *= self.momentum
            b += d
            d = b
        w -= d


class Adagrad(Optimizer):
    """Steps divided by the size of all gradients so far, each parameter for itself.

    Step
        a = a + g^2                              (a starts at initial_accumulator_value)
        w = w - lr * g / sqrt(a + epsilon)

    Why: a parameter that is rarely moved keeps its large steps; RMSprop forgets, this does not, so
    that all steps shrink in time.

    Source: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", 2011.

    Parameters
    ----------
    learning_rate : float >= 0, schedule or function
    initial_accumulator_value : float >= 0
    epsilon : float > 0

    Examples
    --------
    >>> w = np.array([1.0])
    >>> Adagrad(0.1, initial_accumulator_value=0.0).update(w, np.array([2.0]))
    >>> w.round(6)
    array([0.9])
    """

    slots = ("a",)
    initial_accumulator_value = Setting(partial(checks.real, low=0))
    epsilon = Setting(positive)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def first_vector(self, slot: str, w: Array) -> Array:
        vector = super().first_vector(slot, w)
        if slot == "a":
            vector[...] = self.initial_accumulator_value
        return vector

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        (a,) = slots
        a += g * g
        w -= self.learning_rate * g / np.sqrt(a + self.epsilon)


class Adadelta(Optimizer):
    """Steps as large as the recent ones were, divided by the recent size of the gradient.

    Step
        a = rho * a + (1 - rho) * g^2
        d = -sqrt(D + epsilon) / sqrt(a + epsilon) * g
        D = rho * D + (1 - rho) * d^2
        w = w + lr * d

    Why: d has the unit of w, whatever the unit of the loss, so that no learning rate has to bring
    it there: lr=1 is the paper's.

    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.

    Parameters
    ----------
    learning_rate : float >= 0, schedule or function
    rho : float in [0, 1)
    epsilon : float > 0

    Examples
    --------
    >>> w = np.array([1.0])
    >>> Adadelta(1.0, rho=0.75, epsilon=1e-4).update(w, np.array([2.0]))
    >>> w.round(4)      # a = 1, so d = -0.01 * 2
    array([0.98])
    """

    slots = ("a", "D")
    rho = Setting(share)
    epsilon = Setting(positive)

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.rho = rho
        self.epsilon = epsilon

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        a, D = slots
        a *= self.rho
        a += (1 - self.rho) * g * g
        d = -np.sqrt(D + self.epsilon) / np.sqrt(a + self.epsilon) * g
        D *= self.rho
        D += (1 - self.rho) * d * d
        w += self.learning_rate * d

"""Momentum in steps of a bounded size: Adam, AdamW, Nadam, Adamax, Lion."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.optimizers.base import Array, Optimizer, from_settings, positive, share
from minicnn.settings import Setting


class Adam(Optimizer):
    """Momentum divided by the recent size of the gradient, both corrected for their cold start.

    Step
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g^2
        alpha = lr * sqrt(1 - beta_2^t) / (1 - beta_1^t)
        v_hat = max(v_hat, v)                      amsgrad; otherwise v_hat = v
        w = w - alpha * m / (sqrt(v_hat) + epsilon)

    Why: m and v start at 0 and are too small at first by the factors 1 - beta^t; alpha makes up for
    both. epsilon is what the paper calls epsilon hat: outside of that correction, as in Keras.
    With amsgrad, a step never grows because v has forgotten a large gradient.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 2; amsgrad:
    Reddi, Kale and Kumar, "On the convergence of Adam and beyond", 2018.

    Parameters
    ----------
    learning_rate : float >= 0, schedule or function
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0
    amsgrad : bool

    Examples
    --------
    Whatever the size of the gradient, the first step is lr long.

    >>> w = np.array([1.0, 1.0])
    >>> Adam(learning_rate=0.1).update(w, np.array([0.02, -3000.0]))
    >>> w.round(3)
    array([0.9, 1.1])
    """

    beta_1 = Setting(share)
    beta_2 = Setting(share)
    epsilon = Setting(positive)
    amsgrad = Setting(checks.boolean)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    @from_settings
    def slots(self) -> tuple[str, ...]:
        """m and v, and the largest v so far where amsgrad asks for it."""
        return ("m", "v", "v_hat") if self.amsgrad else ("m", "v")

    def alpha(self) -> float:
        """The learning rate of step t, corrected for the cold start."""
        t = self.iterations
        return self.learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        m, v, *largest = slots
        m += (1 - self.beta_1) * (g - m)
        v += (1 - self.beta_2) * (g * g - v)
        for v_hat in largest:
            v = np.maximum(v_hat, v, out=v_hat)
        w -= self.alpha() * m / (np.sqrt(v) + self.epsilon)


def _decay(value: Any, name: str, who: str) -> float:
    if value is None:  # Keras's error
        raise ValueError(f"{who}: expected {name} to be a number of at least 0, received None")
    return checks.real(value, name, who, low=0)


class AdamW(Adam):
    """Adam, with weights that decay by themselves.

    Step
        w = w - lr * weight_decay * w
        then Adam's

    Why: a penalty on large weights that is added to the loss goes through Adam's division by the
    gradient's size, so that it hardly reaches the weights with large gradients. Taken from the
    weights directly, it shrinks all of them at the same rate.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2; the
    decay is multiplied by lr, as in Keras.

    Parameters
    ----------
    learning_rate : float >= 0, schedule or function
    weight_decay : float >= 0
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0
    amsgrad : bool

    Examples
    --------
    >>> w = np.array([1.0, 0.0])
    >>> AdamW(learning_rate=0.1, weight_decay=0.5).update(w, np.array([2.0, 2.0]))
    >>> w.round(3)      # 1 - 0.1 * 0.5 * 1, then Adam's first step of 0.1
    array([ 0.85, -0.1 ])
    """

    weight_decay = Setting(_decay)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        decay = _decay(weight_decay, "weight_decay", type(self).__name__)
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=decay, **kwargs
        )


class Nadam(Optimizer):
    """Adam with Nesterov's momentum: the step looks ahead along the m that it is about to make.

    Step
        u_t = beta_1 * (1 - 0.96^t / 2)             U_t = u_1 * u_2 * ... * u_t
        m, v as Adam's
        m_hat = u_(t+1) * m / (1 - U_(t+1)) + (1 - u_t) * g / (1 - U_t)
        v_hat = v / (1 - beta_2^t)
        w = w - lr * m_hat / (sqrt(v_hat) + epsilon)

    Source: Dozat, "Incorporating Nesterov momentum into Adam", 2016.

    Parameters
    ----------
    learning_rate : float >= 0, schedule or function
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0

    Examples
    --------
    >>> w = np.array([1.0])
    >>> Nadam(learning_rate=0.1).update(w, np.array([2.0]))
    >>> w.round(3)
    array([0.894])
    """

    slots = ("m", "v")
    beta_1 = Setting(share)
    beta_2 = Setting(share)
    epsilon = Setting(positive)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def momenta(self) -> tuple[float, float, float, float]:
        """u_t, u_(t+1), U_t and U_(t+1)."""
        t = self.iterations
        # a product of so many that it is 0 beside 1 is not worked out to its end
        enough = 50 / -math.log(self.beta_1) if self.beta_1 else 0
        u = self.beta_1 * (1 - 0.5 * 0.96 ** np.arange(1, min(t, math.ceil(enough) + 1) + 1))
        u_t, u_next = (self.beta_1 * (1 - 0.5 * 0.96**k) for k in (t, t + 1))
        product = float(np.prod(u))
        return u_t, u_next, product, product * u_next

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        m, v = slots
        m += (1 - self.beta_1) * (g - m)
        v += (1 - self.beta_2) * (g * g - v)
        u_t, u_next, product, product_next = self.momenta()
        m_hat = u_next / (1 - product_next) * m + (1 - u_t) / (1 - product) * g
        v_hat = v / (1 - self.beta_2**self.iterations)
        w -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


class Adamax(Optimizer):
    """Adam with the largest recent gradient in the place of its mean square.

    Step
        m as Adam's
        u = max(beta_2 * u, |g|)
        w = w - lr / (1 - beta_1^t) * m / (u + epsilon)

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 7.

    Parameters
    ----------
    learning_rate : float >= 0, schedule or function
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0

    Examples
    --------
    >>> w = np.array([1.0, 1.0])
    >>> Adamax(learning_rate=0.1).update(w, np.array([0.02, -3000.0]))
    >>> w.round(3)
    array([0.9, 1.1])
    """

    slots = ("m", "u")
    beta_1 = Setting(share)
    beta_2 = Setting(share)
    epsilon = Setting(positive)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        m, u = slots
        m += (1 - self.beta_1) * (g - m)
        np.maximum(self.beta_2 * u, np.abs(g), out=u)
        alpha = self.learning_rate / (1 - self.beta_1**self.iterations)
        w -= alpha * m / (u + self.epsilon)


class Lion(Optimizer):
    """Steps of the same size for every parameter: only the sign of the gradient's mean counts.

    Step
        w = w - lr * sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g

    Why: one slot where Adam has two. The steps are larger than Adam's: a learning rate of a third
    to a tenth of Adam's suits.

    Source: Chen et al., "Symbolic discovery of optimization algorithms", 2023.

    Parameters
    ----------
    learning_rate : float >= 0, schedule or function
    beta_1 : float in (0, 1]
    beta_2 : float in [0, 1)

    Examples
    --------
    >>> w = np.array([1.0, 1.0])
    >>> Lion(learning_rate=0.1).update(w, np.array([0.02, -3000.0]))
    >>> w
    array([0.9, 1.1])
    """

    slots = ("m",)
    beta_1 = Setting(partial(checks.real, low=0, high=1, open_low=True))
    beta_2 = Setting(share)

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        (m,) = slots
        w -= self.learning_rate * np.sign(self.beta_1 * m + (1 - self.beta_1) * g)
        m += (1 - self.beta_2) * (g - m)

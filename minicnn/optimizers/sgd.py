"""SGD: along the gradient, with momentum where asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

from minicnn import checks
from minicnn.optimizers.base import Array, Optimizer
from minicnn.settings import Setting


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum where asked for.

    Step
        v = momentum * v - lr * g
        w = w + v                           plain
        w = w + momentum * v - lr * g       Nesterov

    Why: momentum sums the gradients of the past with fading weight, so that steps which agree grow
    and opposite ones cancel. Nesterov takes the step that the new v is about to take.

    Source: Polyak, 1964; Nesterov, 1983; this form: Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013.

    Parameters
    ----------
    learning_rate : float >= 0, schedule or function
    momentum : float in [0, 1]
    nesterov : bool

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([1.0])
    >>> SGD(learning_rate=0.1).update(w, np.array([2.0]))
    >>> w
    array([0.8])
    """

    momentum = Setting(partial(checks.real, low=0, high=1))
    nesterov = Setting(checks.boolean)

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum
        self.nesterov = nesterov

    @property
    def slots(self) -> tuple[str, ...]:
        """The sum v, as soon as there is momentum; a subclass may set others."""
        own: tuple[str, ...] | None = vars(self).get("slots")
        if own is None:
            return ("v",) if self.momentum or "v" in self.state else ()
        return own

    @slots.setter
    def slots(self, names: tuple[str, ...]) -> None:
        vars(self)["slots"] = names

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        lr = self.learning_rate
        if not slots:
            w -= lr * g
            return
        (v,) = slots
        v *= self.momentum
        v -= lr * g
        w += self.momentum * v - lr * g if self.nesterov else v

"""The optimizers' steps as single passes over memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.kernels import LazyModule
from minicnn.optimizers import SGD, Adam, Optimizer, RMSprop

kernels = LazyModule("minicnn.engine.kernels")


def single_pass(optimizer: Optimizer, dtype: Any) -> Callable[..., None] | None:
    """A function that does what `optimizer.step` does; None where there is none for its class."""
    number = np.dtype(dtype).type

    def adam(w: Any, g: Any, m: Any, v: Any, o: Any = optimizer) -> None:
        factors = (1 - o.beta_1, 1 - o.beta_2, o.alpha(), o.epsilon)
        kernels.adam(w, g, m, v, *map(number, factors))

    def rmsprop(w: Any, g: Any, v: Any, o: Any = optimizer) -> None:
        factors = (o.rho, 1 - o.rho, o.learning_rate, o.epsilon)
        kernels.rmsprop(w, g, v, *map(number, factors))

    def momentum(w: Any, g: Any, v: Any, o: Any = optimizer) -> None:
        kernels.momentum(w, g, v, number(o.momentum), number(o.learning_rate), o.nesterov)

    known: dict[type[Optimizer], Callable[..., None]] = {Adam: adam, RMSprop: rmsprop}
    if type(optimizer) is SGD and optimizer.slots:
        return momentum
    return known.get(type(optimizer))

"""The optimizers' steps as single passes over memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.kernels import LazyModule
from minicnn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop

if TYPE_CHECKING:
    from minicnn.engine import passes
else:
    passes = LazyModule("minicnn.engine.passes")

UNSEEN = 2.0**-24  # this share of a float32 does not change it


def single_pass(optimizer: Optimizer, dtype: Any) -> Callable[..., None] | None:
    """A function that does what `optimizer.step` does; None where there is none for its class.

    What a slot holds counts as 0 (see `passes.flush_denormals`) where it vanishes beside epsilon;
    Adam's m, which epsilon divides, where it would move a weight by less than 1e-18 steps.
    """
    number = np.dtype(dtype).type

    def adam(w: Any, g: Any, m: Any, v: Any, o: Any = optimizer) -> None:
        epsilon = o.epsilon
        factors = (1 - o.beta_1, 1 - o.beta_2, o.alpha(), epsilon)
        least = (epsilon * 2.0**-60, (epsilon * UNSEEN) ** 2)
        passes.adam(w, g, m, v, *map(number, (*factors, *least)))

    def rmsprop(w: Any, g: Any, v: Any, o: Any = optimizer) -> None:
        factors = (o.rho, 1 - o.rho, o.learning_rate, o.epsilon, o.epsilon * UNSEEN)
        passes.rmsprop(w, g, v, *map(number, factors))

    def momentum(w: Any, g: Any, v: Any, o: Any = optimizer) -> None:
        factors = (number(o.momentum), number(o.learning_rate))
        passes.momentum(w, g, v, *factors, o.nesterov, number(2.0**-116))

    known: dict[type[Optimizer], Callable[..., None]] = {
        Adam: adam,
        AdamW: adam,
        RMSprop: rmsprop,
    }
    if type(optimizer) is SGD:
        return momentum if optimizer.slots else None
    if len(optimizer.slots) != {Adam: 2, AdamW: 2, RMSprop: 1}.get(type(optimizer)):
        return None  # amsgrad, centered, momentum
    return known.get(type(optimizer))

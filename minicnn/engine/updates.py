"""The optimizers' steps as single passes over memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.kernels import LazyModule
from minicnn.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Nadam,
    Optimizer,
    RMSprop,
)

if TYPE_CHECKING:
    from minicnn.engine import passes
else:
    passes = LazyModule("minicnn.engine.passes")

UNSEEN = 2.0**-24  # this share of a float32 does not change it


SEEN_AS_SIGN = float(np.finfo(np.float32).tiny)
INVISIBLE = 2.0**-116  # beside any weight


def single_pass(optimizer: Any, dtype: Any) -> Callable[..., None] | None:
    """A function that does what `optimizer.step` does; None where there is none for its class.

    What a slot holds counts as 0 (see `passes.flush_denormals`) where it vanishes beside epsilon;
    Adam's m, which epsilon divides, where it would move a weight by less than 1e-18 steps.
    """
    number, o = np.dtype(dtype).type, optimizer
    nothing = np.empty(0, dtype)

    def least_m() -> tuple[float, float]:
        return o.epsilon * 2.0**-60, (o.epsilon * UNSEEN) ** 2

    def adam(w: Any, g: Any, *slots: Any) -> None:
        factors = (1 - o.beta_1, 1 - o.beta_2, o.alpha(), o.epsilon)
        run = passes.amsgrad if o.amsgrad else passes.adam
        run(w, g, *slots, *map(number, (*factors, *least_m())))

    def nadam(w: Any, g: Any, m: Any, v: Any) -> None:
        u_t, u_next, product, product_next = o.momenta()
        lr = o.learning_rate
        means = lr * u_next / (1 - product_next), lr * (1 - u_t) / (1 - product)
        factors = (1 - o.beta_1, 1 - o.beta_2, *means, 1 / (1 - o.beta_2**o.iterations), o.epsilon)
        passes.nadam(w, g, m, v, *map(number, (*factors, *least_m())))

    def adamax(w: Any, g: Any, m: Any, u: Any) -> None:
        alpha = o.learning_rate / (1 - o.beta_1**o.iterations)
        factors = (1 - o.beta_1, o.beta_2, alpha, o.epsilon, least_m()[0], o.epsilon * UNSEEN)
        passes.adamax(w, g, m, u, *map(number, factors))

    def lion(w: Any, g: Any, m: Any) -> None:
        factors = (o.beta_1, 1 - o.beta_1, 1 - o.beta_2, o.learning_rate, SEEN_AS_SIGN)
        passes.lion(w, g, m, *map(number, factors))

    def adagrad(w: Any, g: Any, a: Any) -> None:
        passes.adagrad(w, g, a, number(o.learning_rate), number(o.epsilon))

    def adadelta(w: Any, g: Any, a: Any, D: Any) -> None:
        factors = (o.rho, 1 - o.rho, o.learning_rate, o.epsilon, o.epsilon * UNSEEN)
        passes.adadelta(w, g, a, D, *map(number, factors))

    def rmsprop(w: Any, g: Any, *slots: Any) -> None:
        factors = (o.rho, 1 - o.rho, o.learning_rate, o.epsilon)
        if len(slots) == 1:
            passes.rmsprop(w, g, *slots, *map(number, (*factors, o.epsilon * UNSEEN)))
            return
        named = dict(zip(o.slots, slots))
        least = (o.epsilon * UNSEEN, (o.epsilon * UNSEEN) ** 0.5, INVISIBLE)
        more = (named.get(name, nothing) for name in "ab")
        passes.rmsprop_with(w, g, named["v"], *more, *map(number, (*factors, o.momentum, *least)))

    def momentum(w: Any, g: Any, v: Any) -> None:
        factors = (number(o.momentum), number(o.learning_rate))
        passes.momentum(w, g, v, *factors, o.nesterov, number(INVISIBLE))

    known: dict[type[Optimizer], Callable[..., None]] = {
        Adadelta: adadelta,
        Adagrad: adagrad,
        Adam: adam,
        Adamax: adamax,
        AdamW: adam,
        Lion: lion,
        Nadam: nadam,
        RMSprop: rmsprop,
    }
    if type(optimizer) is SGD:
        return momentum if optimizer.slots else None
    return known.get(type(optimizer))

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

Arrays = tuple[Any, ...]

UNSEEN = 2.0**-24  # this share of a float32 does not change it
SEEN_AS_SIGN = float(np.finfo(np.float32).tiny)
INVISIBLE = 2.0**-116  # beside any weight


def single_pass(optimizer: Any, dtype: Any) -> Callable[..., None] | None:
    """A function that does what `optimizer.step` does; None where there is none for its class.

    It takes another argument, `kept`: for w and each slot an array into which goes what they hold
    before the step, and an array of one boolean that becomes True with it. The copies come with
    the pass because by themselves they would take as long as the step.

    What a slot holds counts as 0 (see `passes.flush_denormals`) where it vanishes beside epsilon;
    Adam's m, which epsilon divides, where it would move a weight by less than 1e-18 steps.
    """
    number, o = np.dtype(dtype).type, optimizer
    nothing, one = np.empty(0, dtype), number(1)

    def least_m() -> tuple[float, float]:
        return o.epsilon * 2.0**-60, (o.epsilon * UNSEEN) ** 2

    def adam(kept: Arrays, w: Any, g: Any, m: Any, v: Any, v_hat: Any = None) -> None:
        factors = (1 - o.beta_1, 1 - o.beta_2, o.alpha(), o.epsilon, *least_m())
        if v_hat is None:
            passes.adam(w, g, m, v, kept, *map(number, factors))
        else:
            passes.amsgrad(w, g, m, v, v_hat, kept, *map(number, factors))

    def nadam(kept: Arrays, w: Any, g: Any, m: Any, v: Any) -> None:
        u_t, u_next, product, product_next = o.momenta()
        lr = o.learning_rate
        means = lr * u_next / (1 - product_next), lr * (1 - u_t) / (1 - product)
        factors = (1 - o.beta_1, 1 - o.beta_2, *means, 1 / (1 - o.beta_2**o.iterations), o.epsilon)
        passes.nadam(w, g, m, v, kept, *map(number, (*factors, *least_m())))

    def adamax(kept: Arrays, w: Any, g: Any, m: Any, u: Any) -> None:
        alpha = o.learning_rate / (1 - o.beta_1**o.iterations)
        factors = (1 - o.beta_1, o.beta_2, alpha, o.epsilon, least_m()[0], o.epsilon * UNSEEN)
        passes.adamax(w, g, m, u, kept, *map(number, factors))

    def lion(kept: Arrays, w: Any, g: Any, m: Any) -> None:
        factors = (o.beta_1, 1 - o.beta_1, 1 - o.beta_2, o.learning_rate, SEEN_AS_SIGN)
        passes.lion(w, g, m, kept, *map(number, factors))

    def adagrad(kept: Arrays, w: Any, g: Any, a: Any) -> None:
        passes.adagrad(w, g, a, kept, number(o.learning_rate), number(o.epsilon))

    def adadelta(kept: Arrays, w: Any, g: Any, a: Any, D: Any) -> None:
        factors = (o.rho, 1 - o.rho, o.learning_rate, o.epsilon, o.epsilon * UNSEEN)
        passes.adadelta(w, g, a, D, kept, *map(number, factors))

    def rmsprop(kept: Arrays, w: Any, g: Any, *slots: Any) -> None:
        factors = (o.rho, 1 - o.rho, o.learning_rate, o.epsilon)
        if len(slots) == 1:
            (v,) = slots
            passes.rmsprop(w, g, v, kept, *map(number, (*factors, o.epsilon * UNSEEN)))
            return
        old_w, *old_slots, done = kept
        named, old = dict(zip(o.slots, slots)), dict(zip(o.slots, old_slots))
        v, a, b = (named.get(name, nothing) for name in "vab")
        kept = (old_w, *(old.get(name, nothing) for name in "vab"), done)
        least = (o.epsilon * UNSEEN, (o.epsilon * UNSEEN) ** 0.5, INVISIBLE)
        passes.rmsprop_with(w, g, v, a, b, kept, *map(number, (*factors, o.momentum, *least)))

    def sgd(kept: Arrays, w: Any, g: Any, v: Any = None) -> None:
        lr = number(o.learning_rate)
        if v is None:
            passes.sgd(w, g, kept, lr)
        else:
            passes.momentum(w, g, v, kept, number(o.momentum), lr, o.nesterov, number(INVISIBLE))

    known: dict[type[Optimizer], Callable[..., None]] = {
        Adadelta: adadelta,
        Adagrad: adagrad,
        Adam: adam,
        Adamax: adamax,
        AdamW: adam,
        Lion: lion,
        Nadam: nadam,
        RMSprop: rmsprop,
        SGD: sgd,
    }
    run = known.get(type(optimizer))
    if run is None:
        return None

    def step(w: Any, g: Any, *slots: Any, kept: Arrays | None = None) -> None:
        if kept is None:
            kept = (*map(np.empty_like, (w, *slots)), np.empty(1, bool))
        passes.claim(w, one)
        run(kept, w, g, *slots)

    return step

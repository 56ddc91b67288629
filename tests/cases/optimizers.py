"""Every public optimizer: see `OptimizerCase`. A new optimizer is one entry of OPTIMIZERS."""

from __future__ import annotations

import math
from typing import Any

from cases import Draw, OptimizerCase
from minicnn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop


def examples() -> dict[str, Optimizer]:
    """Every optimizer of the table with each of its examples' settings, by name; new ones."""
    return {
        f"{kind.__name__} {name}": kind(**kwargs)
        for kind, case in OPTIMIZERS.items()
        for name, kwargs in case.examples.items()
    }


def share(draw: Draw) -> float:
    """Of the old in a mean of old and new."""
    return draw.one_of(0.0, draw.number(0.01, 0.9999), draw.number(0.8, 0.9999))


def followed(theirs: Any, w: Any, gradients: Any, each: Any = lambda group, t: None) -> list[Any]:
    """The steps of PyTorch's optimizer; `each` may change its settings before step t."""
    steps = []
    for t, g in enumerate(gradients, start=1):
        each(theirs.param_groups[0], t)
        w.grad = g
        theirs.step()
        steps.append(w.detach().clone())
    return steps


def sgd(o: Any, w: float, g: float, t: int, s: Any) -> float:
    if o.momentum == 0:
        return w - o.learning_rate * g
    s["v"] = o.momentum * s.get("v", 0.0) - o.learning_rate * g
    return w + (o.momentum * s["v"] - o.learning_rate * g if o.nesterov else s["v"])


def torch_sgd(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    """v = momentum * v + g and w = w - lr * v: the same steps, as long as lr stays."""
    nesterov = o.nesterov and o.momentum > 0  # without a momentum PyTorch refuses it
    theirs = torch.optim.SGD([w], o.learning_rate, o.momentum, nesterov=nesterov)
    return followed(theirs, w, gradients)


def rmsprop(o: Any, w: float, g: float, t: int, s: Any) -> float:
    s["v"] = o.rho * s.get("v", 0.0) + (1 - o.rho) * g**2
    return w - o.learning_rate * g / math.sqrt(s["v"] + o.epsilon)


def torch_rmsprop(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    """epsilon stands outside of the root there, so it is held too small to matter."""
    o.epsilon = 1e-300
    theirs = torch.optim.RMSprop([w], o.learning_rate, o.rho, eps=0.0)
    return followed(theirs, w, gradients)


def adam(o: Any, w: float, g: float, t: int, s: Any) -> float:
    s["m"] = o.beta_1 * s.get("m", 0.0) + (1 - o.beta_1) * g
    s["v"] = o.beta_2 * s.get("v", 0.0) + (1 - o.beta_2) * g**2
    alpha = o.learning_rate * math.sqrt(1 - o.beta_2**t) / (1 - o.beta_1**t)
    return w - alpha * s["m"] / (math.sqrt(s["v"]) + o.epsilon)


def torch_adam(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    """Their epsilon is added after v's correction for its cold start."""
    theirs = torch.optim.Adam([w], o.learning_rate, (o.beta_1, o.beta_2), eps=o.epsilon)

    def each(group: Any, t: int) -> None:
        group["eps"] = o.epsilon / math.sqrt(1 - o.beta_2**t)

    return followed(theirs, w, gradients, each)


def torch_adamw(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    theirs = torch.optim.AdamW(
        [w], o.learning_rate, (o.beta_1, o.beta_2), eps=o.epsilon, weight_decay=o.weight_decay
    )

    def each(group: Any, t: int) -> None:
        group["eps"] = o.epsilon / math.sqrt(1 - o.beta_2**t)

    return followed(theirs, w, gradients, each)


OPTIMIZERS: dict[type[Optimizer], OptimizerCase] = {
    Adam: OptimizerCase(
        examples={
            "defaults": {},
            "other": {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
        },
        step=adam,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 10),
            "beta_1": share(draw),
            "beta_2": share(draw),
            "epsilon": 10 ** draw.number(-8, 0),
        },
        torch=torch_adam,
    ),
    AdamW: OptimizerCase(
        examples={
            "defaults": {},
            "other": {
                "learning_rate": 0.01,
                "weight_decay": 0.5,
                "beta_1": 0.8,
                "beta_2": 0.95,
                "epsilon": 1e-3,
            },
        },
        step=lambda o, w, g, t, s: adam(o, w - o.learning_rate * o.weight_decay * w, g, t, s),
        draw=lambda draw: {
            "learning_rate": draw.number(0, 1),
            "weight_decay": draw.number(0, 1),
            "beta_1": share(draw),
            "beta_2": share(draw),
            "epsilon": 10 ** draw.number(-8, 0),
        },
        torch=torch_adamw,
    ),
    RMSprop: OptimizerCase(
        examples={
            "defaults": {},
            "other": {"learning_rate": 0.01, "rho": 0.7, "epsilon": 1e-4},
        },
        step=rmsprop,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 10),
            "rho": share(draw),
            "epsilon": 10 ** draw.number(-8, 0),
        },
        torch=torch_rmsprop,
    ),
    SGD: OptimizerCase(
        examples={
            "defaults": {},
            "fast": {"learning_rate": 0.3},
            "momentum": {"learning_rate": 0.05, "momentum": 0.9},
            "nesterov": {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
        },
        step=sgd,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 10),
            "momentum": draw.one_of(1.0, share(draw), share(draw)),
            "nesterov": draw.flag(),
        },
        torch=torch_sgd,
    ),
}

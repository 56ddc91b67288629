"""Every public optimizer: see `OptimizerCase`. A new optimizer is one entry of OPTIMIZERS."""

from __future__ import annotations

import math
from typing import Any

from cases import Draw, OptimizerCase
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
    s["a"] = o.rho * s.get("a", 0.0) + (1 - o.rho) * g if o.centered else 0.0
    d = o.learning_rate * g / math.sqrt(s["v"] - s["a"] ** 2 + o.epsilon)
    s["b"] = o.momentum * s.get("b", 0.0) + d
    return w - s["b"]


def torch_rmsprop(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    """epsilon stands outside of the root there, so it is held too small to matter."""
    o.epsilon = 1e-300
    theirs = torch.optim.RMSprop(
        [w], o.learning_rate, o.rho, eps=0.0, momentum=o.momentum, centered=o.centered
    )
    return followed(theirs, w, gradients)


def adam(o: Any, w: float, g: float, t: int, s: Any) -> float:
    s["m"] = o.beta_1 * s.get("m", 0.0) + (1 - o.beta_1) * g
    s["v"] = o.beta_2 * s.get("v", 0.0) + (1 - o.beta_2) * g**2
    s["v_hat"] = max(s.get("v_hat", 0.0), s["v"]) if o.amsgrad else s["v"]
    alpha = o.learning_rate * math.sqrt(1 - o.beta_2**t) / (1 - o.beta_1**t)
    return w - alpha * s["m"] / (math.sqrt(s["v_hat"]) + o.epsilon)


def torch_adam(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    """Their epsilon is added after v's correction for its cold start."""
    theirs = torch.optim.Adam(
        [w], o.learning_rate, (o.beta_1, o.beta_2), eps=o.epsilon, amsgrad=o.amsgrad
    )

    def each(group: Any, t: int) -> None:
        group["eps"] = o.epsilon / math.sqrt(1 - o.beta_2**t)

    return followed(theirs, w, gradients, each)


def torch_adamw(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    theirs = torch.optim.AdamW(
        [w],
        o.learning_rate,
        (o.beta_1, o.beta_2),
        eps=o.epsilon,
        weight_decay=o.weight_decay,
        amsgrad=o.amsgrad,
    )

    def each(group: Any, t: int) -> None:
        group["eps"] = o.epsilon / math.sqrt(1 - o.beta_2**t)

    return followed(theirs, w, gradients, each)


def nadam(o: Any, w: float, g: float, t: int, s: Any) -> float:
    s["m"] = o.beta_1 * s.get("m", 0.0) + (1 - o.beta_1) * g
    s["v"] = o.beta_2 * s.get("v", 0.0) + (1 - o.beta_2) * g**2
    u, ahead = (o.beta_1 * (1 - 0.5 * 0.96**k) for k in (t, t + 1))
    s["U"] = s.get("U", 1.0) * u
    m_hat = ahead * s["m"] / (1 - s["U"] * ahead) + (1 - u) * g / (1 - s["U"])
    return w - o.learning_rate * m_hat / (math.sqrt(s["v"] / (1 - o.beta_2**t)) + o.epsilon)


def torch_nadam(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    """Their 0.96 has a separate exponent, 0.004 unless it is given."""
    theirs = torch.optim.NAdam(
        [w], o.learning_rate, (o.beta_1, o.beta_2), eps=o.epsilon, momentum_decay=1.0
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(w.dtype)  # of the product of their u
    try:
        return followed(theirs, w, gradients)
    finally:
        torch.set_default_dtype(before)


def adagrad(o: Any, w: float, g: float, t: int, s: Any) -> float:
    s["a"] = s.get("a", o.initial_accumulator_value) + g**2
    return w - o.learning_rate * g / math.sqrt(s["a"] + o.epsilon)


def torch_adagrad(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    """epsilon stands outside of the root there."""
    o.epsilon = 1e-300
    start = o.initial_accumulator_value
    theirs = torch.optim.Adagrad([w], o.learning_rate, initial_accumulator_value=start, eps=0.0)
    return followed(theirs, w, gradients)


def adadelta(o: Any, w: float, g: float, t: int, s: Any) -> float:
    s["a"] = o.rho * s.get("a", 0.0) + (1 - o.rho) * g**2
    d = -math.sqrt(s.get("D", 0.0) + o.epsilon) / math.sqrt(s["a"] + o.epsilon) * g
    s["D"] = o.rho * s.get("D", 0.0) + (1 - o.rho) * d**2
    return w + o.learning_rate * d


def torch_adadelta(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    return followed(torch.optim.Adadelta([w], o.learning_rate, o.rho, o.epsilon), w, gradients)


def adamax(o: Any, w: float, g: float, t: int, s: Any) -> float:
    s["m"] = o.beta_1 * s.get("m", 0.0) + (1 - o.beta_1) * g
    s["u"] = max(o.beta_2 * s.get("u", 0.0), abs(g))
    return w - o.learning_rate / (1 - o.beta_1**t) * s["m"] / (s["u"] + o.epsilon)


def torch_adamax(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    """epsilon is added to |g| inside of the maximum there."""
    o.epsilon = 1e-300
    theirs = torch.optim.Adamax([w], o.learning_rate, (o.beta_1, o.beta_2), eps=1e-300)
    return followed(theirs, w, gradients)


def lion(o: Any, w: float, g: float, t: int, s: Any) -> float:
    m = s.get("m", 0.0)
    mean = o.beta_1 * m + (1 - o.beta_1) * g
    s["m"] = o.beta_2 * m + (1 - o.beta_2) * g
    return w - o.learning_rate * ((mean > 0) - (mean < 0))


def torch_lion(torch: Any, o: Any, w: Any, gradients: Any) -> list[Any]:
    """PyTorch has none: its tensors follow the paper's algorithm 2."""
    steps, m = [], torch.zeros_like(w)
    with torch.no_grad():
        for g in gradients:
            w -= o.learning_rate * torch.sign(m.lerp(g, 1 - o.beta_1))
            m = m.lerp(g, 1 - o.beta_2)
            steps.append(w.clone())
    return steps


# what every optimizer takes, in numbers that float32 holds exactly
OPTIONS: dict[str, dict[str, Any]] = {
    "weight decay": {"weight_decay": 0.25},
    "clipnorm": {"clipnorm": 0.5},
    "global clipnorm": {"global_clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.25},
    "average": {"use_ema": True, "ema_momentum": 0.75},
    "average written back": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    "summed gradients": {"gradient_accumulation_steps": 2},
    "several": {
        "weight_decay": 0.125,
        "clipnorm": 0.5,
        "use_ema": True,
        "ema_momentum": 0.5,
        "ema_overwrite_frequency": 2,
        "gradient_accumulation_steps": 2,
    },
}

OPTIMIZERS: dict[type[Optimizer], OptimizerCase] = {
    Adadelta: OptimizerCase(
        examples={
            "defaults": {},
            "other": {"learning_rate": 1.0, "rho": 0.75, "epsilon": 1e-3},
        },
        step=adadelta,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 2),
            "rho": share(draw),
            "epsilon": 10 ** draw.number(-8, 0),
        },
        torch=torch_adadelta,
    ),
    Adagrad: OptimizerCase(
        examples={
            "defaults": {},
            "other": {"learning_rate": 0.1, "initial_accumulator_value": 0.5, "epsilon": 1e-3},
        },
        step=adagrad,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 10),
            "initial_accumulator_value": draw.number(0.01, 1),
            "epsilon": 10 ** draw.number(-8, 0),
        },
        torch=torch_adagrad,
    ),
    Adam: OptimizerCase(
        examples={
            "defaults": {},
            "amsgrad": {"learning_rate": 0.01, "beta_2": 0.5, "amsgrad": True},
            "other": {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
        },
        step=adam,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 10),
            "beta_1": share(draw),
            "beta_2": share(draw),
            "epsilon": 10 ** draw.number(-8, 0),
            "amsgrad": draw.flag(),
        },
        torch=torch_adam,
    ),
    Adamax: OptimizerCase(
        examples={
            "defaults": {},
            "other": {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
        },
        step=adamax,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 10),
            "beta_1": share(draw),
            "beta_2": share(draw),
            "epsilon": 10 ** draw.number(-8, 0),
        },
        torch=torch_adamax,
    ),
    AdamW: OptimizerCase(
        examples={
            "defaults": {},
            "amsgrad": {"learning_rate": 0.01, "beta_2": 0.5, "amsgrad": True},
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
            "amsgrad": draw.flag(),
        },
        torch=torch_adamw,
    ),
    Lion: OptimizerCase(
        examples={
            "defaults": {},
            "other": {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.25},
        },
        step=lion,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 10),
            "beta_1": draw.number(0.01, 1),
            "beta_2": share(draw),
        },
        torch=torch_lion,
    ),
    Nadam: OptimizerCase(
        examples={
            "defaults": {},
            "other": {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3},
        },
        step=nadam,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 10),
            "beta_1": share(draw),
            "beta_2": share(draw),
            "epsilon": 10 ** draw.number(-8, 0),
        },
        torch=torch_nadam,
    ),
    RMSprop: OptimizerCase(
        examples={
            "defaults": {},
            "momentum": {"learning_rate": 0.01, "momentum": 0.75},
            "centered": {"learning_rate": 0.01, "centered": True},
            "both": {"learning_rate": 0.01, "rho": 0.75, "momentum": 0.5, "centered": True},
            "other": {"learning_rate": 0.01, "rho": 0.7, "epsilon": 1e-4},
        },
        step=rmsprop,
        draw=lambda draw: {
            "learning_rate": draw.number(0, 10),
            "rho": (rho := share(draw)),
            "momentum": draw.one_of(0.0, share(draw)),
            "epsilon": 10 ** draw.number(-8, 0),
            "centered": rho > 0 and draw.flag(),  # with 0, v - a^2 is nothing but rounding
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

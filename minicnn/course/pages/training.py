"""Page 7: steps of optimizers, and regularization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.course import package
from minicnn.course.exercise import Array, Case, Exercise, Slip, arguments


def _momenta(rng: np.random.Generator) -> list[Case]:
    return [
        {"w": np.array([1.0]), "g": np.array([4.0]), "v": np.zeros(1), "lr": 0.5, "momentum": 0.5},
        {
            "w": rng.normal(size=6),
            "g": rng.normal(size=6),
            "v": rng.normal(size=6),
            "lr": 0.1,
            "momentum": 0.9,
        },
    ]


def _moved(
    w: Array, g: Array, v: Array, lr: float, momentum: float, *, form: str = "right"
) -> tuple[Array, Array]:
    """One step with a mistake."""
    if form == "uphill":
        v = momentum * v + lr * g
    elif form == "momentum ignored":
        v = -lr * g
    elif form == "old velocity":
        return w + v, momentum * v - lr * g
    elif form == "mean":
        v = momentum * v - (1 - momentum) * lr * g
    elif form == "PyTorch":
        v = momentum * v + g
        return w - lr * v, v
    elif form == "Nesterov":
        v = momentum * v - lr * g
        return w + momentum * v - lr * g, v
    return w + v, v


def _of_both(
    kind: str, text: str, wrong: Callable[..., tuple[Any, ...]], form: str, names: tuple[str, ...]
) -> list[Slip]:
    """One mistake that spoils several answers."""
    return [
        Slip(kind, name, text, lambda k=k, **case: wrong(**case, form=form)[k])
        for k, name in enumerate(names)
    ]


MOMENTUM_ANSWERS = arguments("w, v")

MOMENTUM = Exercise(
    name="momentum_step",
    page=7,
    arguments=arguments("w, g, v, lr, momentum"),
    outputs=MOMENTUM_ANSWERS,
    task="w and v after a step of gradient descent with momentum: v = momentum * v - lr * g",
    cases=_momenta,
    right=package.momentum_step,
    slips=(
        *_of_both(
            "uphill",
            "it goes up the slope: the gradient says where the loss grows, so take it off",
            _moved,
            "uphill",
            MOMENTUM_ANSWERS,
        ),
        *_of_both(
            "momentum ignored",
            "the velocity of the step before is lost: v = momentum * v - lr * g",
            _moved,
            "momentum ignored",
            MOMENTUM_ANSWERS,
        ),
        *_of_both(
            "gradient averaged",
            "the gradient is multiplied by 1 - momentum, as in Adam: here it counts in full",
            _moved,
            "mean",
            MOMENTUM_ANSWERS,
        ),
        *_of_both(
            "PyTorch's form",
            "this is how PyTorch writes it, v = momentum * v + g and w = w - lr * v. Here lr is "
            "part of v, as in Keras: v = momentum * v - lr * g and w = w + v",
            _moved,
            "PyTorch",
            MOMENTUM_ANSWERS,
        ),
        Slip(
            "old velocity",
            "w",
            "w moves by the old v: work out the new one first",
            lambda **case: _moved(**case, form="old velocity")[0],
        ),
        Slip(
            "Nesterov",
            "w",
            "this is Nesterov's step, which looks ahead: w = w + v is asked for",
            lambda **case: _moved(**case, form="Nesterov")[0],
        ),
    ),
    hints=(
        "two lines: the new v, from the old one and the gradient; then w, which moves by it",
        "v = momentum * v - lr * g, and w + v",
    ),
)


def _adam_cases(rng: np.random.Generator) -> list[Case]:
    def case(t: int, epsilon: float, size: int, **rates: float) -> Case:
        cold = t == 1
        return {
            "w": rng.normal(size=size),
            "g": rng.normal(size=size) + 0.5,
            "m": np.zeros(size) if cold else rng.normal(size=size),
            "v": np.zeros(size) if cold else rng.uniform(0.2, 1, size),
            "t": t,
            "lr": 0.1,
            "beta_1": 0.9,
            "beta_2": 0.99,
            **rates,
            "epsilon": epsilon,
        }

    return [case(1, 1e-7, 3), case(4, 0.05, 5, lr=0.3, beta_1=0.8), case(7, 0.2, 4, beta_2=0.95)]


def _adam(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    *,
    form: str = "right",
) -> tuple[Array, Array, Array]:
    """One step, by another formula or with a mistake."""
    m_new = beta_1 * m + (1 - beta_1) * g
    v_new = beta_2 * v + (1 - beta_2) * g**2
    if form == "betas exchanged, alpha too":
        return _adam(w, g, m, v, t, lr, beta_2, beta_1, epsilon)
    if form == "betas exchanged":
        m_new, v_new = beta_2 * m + (1 - beta_2) * g, beta_1 * v + (1 - beta_1) * g**2
    elif form == "not squared":
        v_new = beta_2 * v + (1 - beta_2) * np.abs(g)
    elif form == "not weighted":
        m_new, v_new = beta_1 * m + g, beta_2 * v + g**2
    elif form == "weights exchanged":
        m_new, v_new = (1 - beta_1) * m + beta_1 * g, (1 - beta_2) * v + beta_2 * g**2
    first, second = 1 - beta_1**t, 1 - beta_2**t
    if form == "counted from 0":
        first, second = 1 - beta_1 ** (t - 1), 1 - beta_2 ** (t - 1)
    elif form == "powers missing":
        first, second = 1 - beta_1, 1 - beta_2
    alpha = lr * np.sqrt(second) / first
    step = alpha * m_new / (np.sqrt(v_new) + epsilon)
    if form == "no correction":
        step = lr * m_new / (np.sqrt(v_new) + epsilon)
    elif form == "m corrected only":
        step = lr / first * m_new / (np.sqrt(v_new) + epsilon)
    elif form == "v corrected only":
        step = lr * np.sqrt(second) * m_new / (np.sqrt(v_new) + epsilon)
    elif form == "epsilon inside":
        step = alpha * m_new / np.sqrt(v_new + epsilon)
    elif form == "paper":
        step = lr * (m_new / first) / (np.sqrt(v_new / second) + epsilon)
    elif form == "paper, epsilon inside":
        step = lr * (m_new / first) / np.sqrt(v_new / second + epsilon)
    elif form == "no root":
        step = alpha * m_new / (v_new + epsilon)
    elif form == "g instead of m":
        step = alpha * g / (np.sqrt(v_new) + epsilon)
    elif form == "uphill":
        step = -step
    elif form == "corrected kept":
        return (
            w - lr * (m_new / first) / (np.sqrt(v_new / second) + epsilon),
            m_new / first,
            (v_new / second),
        )
    return w - step, m_new, v_new


CORRECTION = (
    "m and v begin with 0 and are too small at first: alpha = lr * sqrt(1 - beta_2^t) / "
    "(1 - beta_1^t) makes up for it"
)
INSIDE = "epsilon is added inside the root: it is added to the root, sqrt(v) + epsilon"

ADAM = Exercise(
    name="adam_step",
    page=7,
    arguments=arguments("w, g, m, v, t, lr, beta_1, beta_2, epsilon"),
    outputs=arguments("w, m, v"),
    task="w, m and v after step number t (the first is 1) of Adam",
    cases=_adam_cases,
    right=package.adam_step,
    slips=(
        *(
            Slip(kind, "w", text, lambda form=form, **case: _adam(**case, form=form)[0])
            for kind, form, text in (
                ("bias correction missing", "no correction", CORRECTION),
                (
                    "bias correction missing",
                    "m corrected only",
                    f"only m is corrected. Both {CORRECTION}",
                ),
                (
                    "bias correction missing",
                    "v corrected only",
                    f"only v is corrected. Both {CORRECTION}",
                ),
                (
                    "bias correction without t",
                    "powers missing",
                    "the correction is the same in every step: 1 - beta^t, with beta to the power "
                    "of t",
                ),
                (
                    "steps counted from 0",
                    "counted from 0",
                    "the correction has t - 1: the first step is number 1",
                ),
                ("epsilon inside the root", "epsilon inside", INSIDE),
                ("epsilon inside the root", "paper, epsilon inside", INSIDE),
                ("root missing", "no root", "divide by the root of v, not by v"),
                (
                    "gradient instead of its mean",
                    "g instead of m",
                    "the step goes along g: it goes along m, the running mean of g",
                ),
                ("uphill", "uphill", "it goes up the slope: take the step off w"),
            )
        ),
        *(
            slip
            for kind, form, text in (
                (
                    "betas exchanged",
                    "betas exchanged",
                    "beta_1 belongs to m, and beta_2 to v; yours has them exchanged",
                ),
                (
                    "betas exchanged",
                    "betas exchanged, alpha too",
                    "beta_1 belongs to m, and beta_2 to v; yours has them exchanged",
                ),
                (
                    "weights exchanged",
                    "weights exchanged",
                    "the old value keeps beta of its weight, the new one gets 1 - beta",
                ),
                (
                    "gradient not weighted",
                    "not weighted",
                    "m and v are running means: the new value counts 1 - beta",
                ),
                ("not squared", "not squared", "v is the mean of g squared, not of |g|"),
            )
            for slip in _of_both(kind, text, _adam, form, arguments("w, m, v"))
            if form != "not squared" or slip.output != "m"  # in which nothing is squared
        ),
        *(
            Slip(
                "corrected values kept",
                name,
                f"{name} is returned with the correction in it, which the next step would make "
                f"again: keep {name} uncorrected",
                lambda k=k, **case: _adam(**case, form="corrected kept")[k],
            )
            for k, name in ((1, "m"), (2, "v"))
        ),
    ),
    hints=(
        "m is a running mean of g, v one of g**2: m = beta_1 * m + (1 - beta_1) * g",
        "both begin with 0, so in step t m is too small by the factor 1 - beta_1^t, and the root "
        "of v by sqrt(1 - beta_2^t): put both into the learning rate",
        "alpha = lr * sqrt(1 - beta_2^t) / (1 - beta_1^t); w - alpha * m / (sqrt(v) + epsilon)",
    ),
    also_right=(
        (
            lambda **case: _adam(**case, form="paper"),
            "remark: this is algorithm 1 of the paper, where epsilon is added after the "
            "correction; Keras and this package add it before, which is the paper's section 2. "
            "With an epsilon of 1e-7 that is nearly the same",
        ),
    ),
)


def _weights(rng: np.random.Generator) -> list[Case]:
    return [
        {"W": np.array([[1.0, -2.0]]), "factor": 0.5},
        {"W": rng.normal(size=(3, 4)), "factor": 0.01},
    ]


L2 = Exercise(
    name="l2_penalty",
    page=7,
    arguments=arguments("W, factor"),
    outputs=arguments("penalty, dW"),
    task="factor times the sum of all W squared, and what it adds to dW",
    cases=_weights,
    right=package.l2_penalty,
    slips=(
        Slip(
            "half",
            "penalty",
            "it is half of it: here, as in Keras, no 1/2 stands before the sum",
            lambda W, factor: factor * (W**2).sum() / 2,
        ),
        Slip(
            "mean",
            "penalty",
            "it is the mean of the squares: they are summed",
            lambda W, factor: factor * (W**2).mean(),
        ),
        Slip(
            "root",
            "penalty",
            "it is the length of W: leave out the root",
            lambda W, factor: factor * np.sqrt((W**2).sum()),
        ),
        Slip(
            "not squared",
            "penalty",
            "it is the sum of |W|, an L1 penalty: square the weights",
            lambda W, factor: factor * np.abs(W).sum(),
        ),
        Slip(
            "factor missing",
            "penalty",
            "multiply it by factor",
            lambda W, factor: (W**2).sum(),
        ),
        Slip(
            "2 missing",
            "dW",
            "the slope of W^2 is 2 W: the 2 is missing",
            lambda W, factor: factor * W,
        ),
        Slip(
            "slope of |W|",
            "dW",
            "it is the slope of an L1 penalty, of |W|: that of W^2 is 2 W",
            lambda W, factor: factor * np.sign(W),
        ),
        Slip("factor missing", "dW", "multiply it by factor", lambda W, factor: 2 * W),
    ),
    hints=(
        "one sum; and the slope of factor * w^2 with respect to w",
        "factor * (W**2).sum() and 2 * factor * W",
    ),
)


def _masks(rng: np.random.Generator) -> list[Case]:
    cases: list[Case] = []
    for size, rate, seed in (((6,), 0.5, 3), ((4, 5), 0.2, 1)):
        x = rng.normal(size=size)
        cases.append({"x": x, "keep": package.kept(x, rate, seed), "rate": rate})
    return cases


DROPOUT = Exercise(
    name="dropout",
    page=7,
    arguments=arguments("x, keep, rate"),
    outputs=("y",),
    task="y in training, where keep is True for the numbers that stay: each with probability "
    "1 - rate",
    cases=_masks,
    right=package.dropout,
    slips=(
        Slip(
            "not scaled",
            "y",
            "what stays is not scaled: in the mean y would be too small by the factor 1 - rate, "
            "and nothing is dropped later, in inference. Divide by 1 - rate",
            lambda x, keep, rate: x * keep,
        ),
        Slip(
            "multiplied by 1 - rate",
            "y",
            "it is scaled the wrong way: divide by 1 - rate",
            lambda x, keep, rate: x * keep * (1 - rate),
        ),
        Slip(
            "divided by the rate",
            "y",
            "a part of 1 - rate stays, so divide by 1 - rate",
            lambda x, keep, rate: x * keep / rate,
        ),
        Slip(
            "mask inverted",
            "y",
            "what should stay is dropped, and the other way round: keep is True for what stays",
            lambda x, keep, rate: x * ~keep / (1 - rate),
        ),
        Slip(
            "nothing dropped",
            "y",
            "nothing is dropped: multiply by keep",
            lambda x, keep, rate: x / (1 - rate),
        ),
    ),
    hints=(
        "multiply by the mask; True counts as 1, False as 0",
        "a part of 1 - rate is left. By what does it have to grow for the mean to stay?",
    ),
)

EXERCISES = (MOMENTUM, ADAM, L2, DROPOUT)

"""Page 6: softmax with cross-entropy. z (N, C) are the logits, k (N,) the labels."""

from __future__ import annotations

import numpy as np

from minicnn.course import package
from minicnn.course.exercise import Array, Case, Exercise, Gradient, Slip, arguments


def _logits(rng: np.random.Generator) -> list[Case]:
    return [
        {"z": np.log(np.array([[1.0, 2.0, 5.0]]))},
        {"z": rng.normal(size=(4, 3))},
        {"z": np.array([[1000.0, 1001.0], [-3.0, -3.5], [-1000.0, -1002.0]])},
    ]


def _naive(z: Array) -> Array:
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


OVERFLOW = (
    "it overflows: exp(1000) is infinite. Softmax does not change if a number is taken off a whole "
    "row, so take off the row's largest: z - z.max(axis=1, keepdims=True)"
)

SOFTMAX = Exercise(
    name="softmax",
    page=6,
    arguments=("z",),
    outputs=("p",),
    task="the probabilities of each row of z (N, C), for numbers of any size",
    cases=_logits,
    right=package.softmax,
    slips=(
        Slip("overflow", "p", OVERFLOW, _naive),
        Slip(
            "largest of the batch",
            "p",
            "the largest number of the whole batch is taken off, and a row far below it becomes "
            "0 / 0: take off each row's largest, z.max(axis=1, keepdims=True)",
            lambda z: _naive(z - z.max()),
        ),
        Slip(
            "summed over the batch",
            "p",
            "it is divided by the sum of the column: the classes of a sample compete, not the "
            "samples of a class. Sum over axis 1",
            lambda z: np.exp(z - z.max(axis=0)) / np.exp(z - z.max(axis=0)).sum(axis=0),
        ),
        Slip(
            "summed over the batch",
            "p",
            "it is divided by the sum of the column, and exp(1000) overflows: sum over axis 1, and "
            "take off each row's largest first",
            lambda z: np.exp(z) / np.exp(z).sum(axis=0),
        ),
        Slip(
            "summed over the batch",
            "p",
            "it is divided by one sum for the whole batch, and exp(1000) overflows: sum over axis "
            "1, and take off each row's largest first",
            lambda z: np.exp(z) / np.exp(z).sum(),
        ),
        Slip(
            "summed over the batch",
            "p",
            "it is divided by one sum for the whole batch: each sample has its own, over axis 1 "
            "with keepdims=True",
            lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum(),
        ),
        Slip(
            "not divided",
            "p",
            "a row does not sum to 1: divide by its sum",
            lambda z: np.exp(z - z.max(axis=1, keepdims=True)),
        ),
        Slip(
            "logarithm",
            "p",
            "these are the logarithms of the probabilities",
            lambda z: np.log(package.softmax(z)[0]),
        ),
    ),
    hints=(
        "exp makes all numbers positive, division by the row's sum makes them sum to 1",
        "exp(1000) is too large for any float. What happens to the quotient if 1000 is taken off "
        "all numbers of the row?",
    ),
)


def _labelled(rng: np.random.Generator) -> list[Case]:
    return [
        {"z": np.log(np.array([[1.0, 2.0, 5.0]])), "k": np.array([2])},
        {"z": rng.normal(size=(4, 3)), "k": np.array([0, 2, 1, 2])},
        {"z": np.array([[0.0, -1000.0], [2.0, 1.0]]), "k": np.array([0, 1])},
        {"z": np.array([[1000.0, 0.0], [0.0, 1000.0], [3.0, 2.0]]), "k": np.array([0, 0, 1])},
    ]


def _loss(
    z: Array, k: Array, *, divisor: float | None = None, naive: bool = False, sign: int = 1
) -> float:
    """L with mistakes."""
    if naive:
        log_p = np.log(package.softmax(z)[0])
    else:
        log_p = z - z.max(axis=1, keepdims=True)
        log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    each = -sign * log_p[np.arange(len(z)), k]
    return float(each.sum() / (divisor or len(z)))


def _slope(
    z: Array, k: Array, *, power: int = 1, target: bool = True, logits: bool = False, sign: int = 1
) -> Array:
    """dz with mistakes: divided by N ** power; from the logits instead of probabilities."""
    p = z.copy() if logits else package.softmax(z)[0].copy()
    if target:
        p[np.arange(len(z)), k] -= 1
    return sign * p / len(z) ** power


CROSS_ENTROPY = Exercise(
    name="softmax_cross_entropy",
    page=6,
    arguments=arguments("z, k"),
    outputs=arguments("L, dz"),
    task="L, the mean over the batch of -log p[n, k[n]] with p = softmax(z); and its gradient",
    cases=_labelled,
    right=package.softmax_cross_entropy,
    slips=(
        Slip(
            "1/N missing",
            "L",
            "it is the sum over the batch: divide by N, so that the size of a step does not depend "
            "on the size of the batch",
            _loss,
            {"divisor": 1},
        ),
        Slip("wrong sign", "L", "log p is below 0, the loss above: -log p", _loss, {"sign": -1}),
        Slip(
            "logarithm of 0",
            "L",
            "a probability that has become 0 has no logarithm: log p = z - largest - log(sum of "
            "exp(z - largest)), without the p in between",
            _loss,
            {"naive": True},
        ),
        Slip(
            "logarithm of 0",
            "L",
            "0 * log 0 is no number: a probability of another class that has become 0 spoils the "
            "sum. Take log p at the label only, from the logits: z - largest - log(sum of exp)",
            lambda z, k: -(np.eye(z.shape[1])[k] * np.log(package.softmax(z)[0])).sum() / len(z),
        ),
        Slip(
            "overflow",
            "L",
            "it overflows: exp(1000) is infinite. Take the largest of each row off z first",
            lambda z, k: -np.log(_naive(z)[np.arange(len(z)), k]).mean(),
        ),
        Slip(
            "1/N missing",
            "dz",
            "it is not divided by N, though L is a mean: a sample moves it by 1/N of its loss",
            _slope,
            {"power": 0},
        ),
        Slip(
            "1/N twice",
            "dz",
            "it is divided by N twice: the mean is in L once",
            _slope,
            {"power": 2},
        ),
        Slip(
            "target missing",
            "dz",
            "this is p / N: take 1 off at each sample's label, dz = (p - t) / N",
            _slope,
            {"target": False},
        ),
        Slip(
            "logits instead of probabilities",
            "dz",
            "it is (z - t) / N: the probabilities belong there, (softmax(z) - t) / N",
            _slope,
            {"logits": True},
        ),
        Slip(
            "wrong sign",
            "dz",
            "it is t - p: raising the logit of the right class lowers the loss, so its gradient is "
            "negative, p - t",
            _slope,
            {"sign": -1},
        ),
        Slip(
            "overflow",
            "dz",
            OVERFLOW,
            lambda z, k: (_naive(z) - np.eye(z.shape[1])[k]) / len(z),
        ),
        Slip(
            "gradient of the right class only",
            "dz",
            "only the logits of the labels get a gradient: raising another logit takes probability "
            "from the right class, too",
            lambda z, k: _slope(z, k) * np.eye(z.shape[1])[k],
        ),
    ),
    hints=(
        "log p[n, q] = z[n, q] - log(sum over r of exp(z[n, r])). Take the row's largest off z "
        "first, and nothing overflows",
        "the slope of log(sum of exp(z)) with respect to z[q] is softmax(z)[q]; that of z[k] is 1 "
        "at k and 0 elsewhere",
        "dz = (p - t) / N, where t is 1 at the label: p[np.arange(N), k] -= 1",
    ),
    gradient=Gradient(
        "z",
        {"z": "dz"},
        lambda z, k: np.array([package.softmax_cross_entropy(z, k)[0]]),
    ),
)

EXERCISES = (SOFTMAX, CROSS_ENTROPY)

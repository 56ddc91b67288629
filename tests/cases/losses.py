"""Every public loss: see `LossCase`. A new loss is one entry of LOSSES."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cases import LossCase, Shape, rng_of
from minicnn.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)


def _distributions(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    weights = rng.uniform(0.05, 1, shape)
    return weights / weights.sum(axis=-1, keepdims=True)


# what y is, for predictions of a shape (N, ..., C)
TARGETS: dict[str, Callable[[np.random.Generator, Shape], np.ndarray]] = {
    "labels": lambda rng, shape: rng.integers(0, shape[-1], shape[:-1]),
    "distributions": _distributions,
    "one-hot": lambda rng, shape: np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])],
    "binary": lambda rng, shape: rng.integers(0, 2, shape),
    "probabilities": lambda rng, shape: rng.uniform(0, 1, shape),
    "numbers": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: rng.uniform(0.1, 3, shape),
    "signs": lambda rng, shape: rng.integers(0, 2, shape) * 2.0 - 1,
}


def _away(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Numbers at a distance from 0, where absolute values and maxima have a kink."""
    return rng.choice([-1, 1], shape) * rng.uniform(0.05, 3, shape)


# y_pred where it is no probability, by what y is
PREDICTIONS: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "numbers": lambda rng, y: y + _away(rng, y.shape),
    "positive": lambda rng, y: np.abs(y + _away(rng, y.shape)) + 0.02,
    "signs": lambda rng, y: y * (1 + _away(rng, y.shape)),
    "one-hot": lambda rng, y: rng.permuted(  # apart from each other, and from a margin of 1
        np.broadcast_to(0.37 * np.arange(y.shape[-1]) - 0.7, y.shape), axis=-1
    ),
}


def pair(rng: np.random.Generator, loss: Loss, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """y and y_pred (N, ..., C) that suit the loss, away from where it clips or has a kink.

    A sum of 1 is not asked of probabilities, so they have none.
    """
    targets = LOSSES[type(loss)].targets
    y = TARGETS[targets](rng, shape)
    if targets in PREDICTIONS:
        return y, PREDICTIONS[targets](rng, y)
    if loss.from_logits:
        return y, 3 * rng.standard_normal(shape)
    y_pred = rng.uniform(0.1, 0.8, shape)
    return y, y_pred


def examples() -> dict[str, Loss]:
    """Every loss of the table in each of its ways, by name.

    Small letters first: `tools/correctness.py` tells losses from layers by them.
    """
    return {
        f"{kind.name} {name}".strip(): kind(**kwargs)
        for kind, case in LOSSES.items()
        for name, kwargs in case.examples.items()
    }


def _weights(shape: Shape) -> np.ndarray:
    return np.linspace(0, 2, math.prod(shape)).reshape(shape)


# ways of making one number of the losses: reduction, and weights for losses of a shape
WEIGHTINGS: dict[str, tuple[str, Callable[[Shape], Any]]] = {
    f"{reduction} {weights}": (reduction, weigh)
    for reduction in ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight")
    for weights, weigh in {
        "unweighted": lambda shape: None,
        "of all": lambda shape: 0.75,
        "of samples": lambda shape: _weights((shape[0], *[1] * (len(shape) - 1))),
        "of positions": _weights,
        "zero": lambda shape: np.zeros(shape),
    }.items()
}


Inputs = dict[str, tuple[str, np.ndarray, np.ndarray]]


def inputs_for_keras(name: str, loss: Loss) -> Inputs:
    """What Keras is asked for the example of that name: source of y_pred, y, y_pred by a label.

    A source is one of "logits", "softmax" and "sigmoid" (y_pred are logits, Keras gets what that
    activation makes of them), "probabilities" that come from elsewhere, and "values".
    """
    rng, targets = rng_of(name), LOSSES[type(loss)].targets
    if targets == "numbers":
        y, y_pred = rng.standard_normal((2, 4, 3))
        image = (2, 2, 1, 3) if loss.joint else (2, 2, 3, 1)
        return {
            "2d": ("values", y, y_pred),
            "4d": ("values", y.reshape(image), y_pred.reshape(image)),
        }
    if targets in ("positive", "signs", "one-hot"):
        given = {"2d": (4, 3), "4d": (2, 2, 3, 1), "3d": (2, 3, 4)}
        return {label: ("values", *pair(rng, loss, shape)) for label, shape in given.items()}
    labels = np.array([0, 1, 2, 3, 4, 0, 2, 4])
    shape = (len(labels), 5)
    one_hot = np.eye(5)[labels]
    y = labels if targets == "labels" else one_hot
    logits = {
        "small": rng.standard_normal(shape),
        "raw_pixels": 40 * rng.standard_normal(shape),
        "huge": 1e4 * rng.uniform(-1, 1, shape),
        "all_equal": np.full(shape, 7.0),
    }
    logits["huge"][0] = [1e4, -1e4, 0, 1e4, -1e4]  # the label shares the top: loss log(2)
    logits["huge"][1] = [1e4, -1e4, 0, 5, -5]  # the label is last: loss 2e4
    probabilities = {
        "ordinary": _distributions(rng, shape),
        "certain_right": one_hot,  # exact 0 and 1
        "certain_wrong": np.roll(one_hot, 1, axis=1),
        "near_clip": np.where(one_hot > 0, 1 - 4e-8, 1e-8),
        "not_normalised": rng.uniform(0.05, 0.95, shape),
    }
    clips = LOSSES[type(loss)].clips_logits
    if clips or loss.ignore_class is not None:
        logits = {"small": logits["small"], "all_equal": logits["all_equal"]}
    if loss.from_logits:
        found = {f"logits_{key}": ("logits", y, z) for key, z in logits.items()}
    else:
        ends = loss.activation
        found = {}
        if loss.from_logits is not None and not clips:
            found |= {f"{ends}_{key}": (ends, y, z) for key, z in logits.items()}
        found |= {f"probabilities_{k}": ("probabilities", y, p) for k, p in probabilities.items()}
    if targets in ("distributions", "probabilities"):
        source, y_pred = ("logits", logits["small"])
        if not loss.from_logits:
            source, y_pred = ("probabilities", probabilities["ordinary"])
        found[f"{source}_soft_targets"] = (source, TARGETS[targets](rng, shape), y_pred)
    if loss.ignore_class is not None:
        for key, (source, labels, y_pred) in list(found.items()):
            found[key] = (source, np.where(labels == 2, loss.ignore_class, labels), y_pred)
    return found


# -- definitions in plain numbers ------------------------------------------------------------------


def log_p(row: list[float], from_logits: bool | None, normalized: bool) -> list[float]:
    """log of the probabilities that a row of predictions stands for."""
    if from_logits:
        total = max(row) + math.log(math.fsum(math.exp(v - max(row)) for v in row))
        return [v - total for v in row]
    if normalized:  # first to a sum of 1, then clipped: plain cross-entropy
        return [math.log(min(max(v / math.fsum(row), 1e-7), 1 - 1e-7)) for v in row]
    clipped = [min(max(v, 1e-7), 1 - 1e-7) for v in row]
    return [math.log(v / math.fsum(clipped)) for v in clipped]


def sparse(loss: Any, y: Any, rows: Any) -> list[float]:
    return [
        0.0 if k == loss.ignore_class else -log_p(row, loss.from_logits, False)[k]
        for k, row in zip(y, rows)
    ]


def smooth(loss: Any, target: list[float], even: float) -> list[float]:
    s = loss.label_smoothing
    return [t * (1 - s) + s * even for t in target]


def one_hot(loss: Any, y: Any, rows: Any) -> list[float]:
    logs = [log_p(row, loss.from_logits, True) for row in rows]
    y = [smooth(loss, target, 1 / len(target)) for target in y]
    return [-math.fsum(t * v for t, v in zip(target, log)) for target, log in zip(y, logs)]


def focal(loss: Any, y: Any, rows: Any) -> list[float]:
    values = []
    for target, row in zip(y, rows):
        target = smooth(loss, target, 1 / len(target))
        logs = log_p(row, loss.from_logits, True)
        alphas = loss.alpha if isinstance(loss.alpha, list) else [loss.alpha] * len(row)
        terms = zip(alphas, target, logs)
        values.append(math.fsum(-a * t * (-math.expm1(v)) ** loss.gamma * v for a, t, v in terms))
    return values


def mean_of(term: Callable[[Any, float, float], float]) -> Callable[..., list[float]]:
    """The definition of a loss that is the mean of `term(loss, t, p)` over a row."""

    def definition(loss: Any, y: Any, rows: Any) -> list[float]:
        return [
            math.fsum(term(loss, t, p) for t, p in zip(target, row)) / len(row)
            for target, row in zip(y, rows)
        ]

    return definition


def of_row(value: Callable[[Any, list[float], list[float]], float]) -> Callable[..., list[float]]:
    """The definition of a loss that is `value(loss, t, p)` of a row."""
    return lambda loss, y, rows: [value(loss, t, p) for t, p in zip(y, rows)]


def bce(loss: Any, t: float, p: float) -> float:
    (t,) = smooth(loss, [t], 0.5)
    if loss.from_logits:
        return max(p, 0.0) - p * t + math.log1p(math.exp(-abs(p)))
    p = min(max(p, 1e-7), 1 - 1e-7)
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


def binary_focal(loss: Any, t: float, p: float) -> float:
    ce = bce(loss, t, p)
    (t,) = smooth(loss, [t], 0.5)
    if loss.from_logits:
        p = 1 / (1 + math.exp(-p))
    wrong = 1 - (t * p + (1 - t) * (1 - p))
    weight = t * loss.alpha + (1 - t) * (1 - loss.alpha) if loss.apply_class_balancing else 1.0
    return weight * wrong**loss.gamma * ce


def huber(loss: Any, t: float, p: float) -> float:
    e = abs(p - t)
    return e * e / 2 if e <= loss.delta else loss.delta * e - loss.delta**2 / 2


def cosine(loss: Any, t: list[float], p: list[float]) -> float:
    lengths = [max(math.sqrt(math.fsum(v * v for v in one)), 1e-7) for one in (t, p)]
    return -math.fsum(a * b for a, b in zip(t, p)) / (lengths[0] * lengths[1])


def categorical_hinge(loss: Any, t: list[float], p: list[float]) -> float:
    others = max((1 - a) * b for a, b in zip(t, p))
    return max(others - math.fsum(a * b for a, b in zip(t, p)) + 1, 0.0)


def kl(loss: Any, t: list[float], p: list[float]) -> float:
    held = [[min(max(v, 1e-7), 1.0) for v in one] for one in (t, p)]
    return math.fsum(a * math.log(a / b) for a, b in zip(*held))


# -- PyTorch's -------------------------------------------------------------------------------------


def torch_cross_entropy(torch: Any, loss: Any, y: Any, rows: Any) -> Any:
    """PyTorch's takes logits alone, which the logs of probabilities are: softmax divides by the
    sum. Labels and distributions have one name there."""
    z = rows if loss.from_logits else torch.log(rows)
    extra = {}
    if getattr(loss, "label_smoothing", 0):
        extra["label_smoothing"] = loss.label_smoothing
    if loss.ignore_class is not None:
        extra["ignore_index"] = loss.ignore_class
    return torch.nn.functional.cross_entropy(z, y, reduction="none", **extra)


def torch_focal(torch: Any, loss: Any, y: Any, rows: Any) -> Any:
    log = torch.log_softmax(rows if loss.from_logits else torch.log(rows), dim=1)
    s = loss.label_smoothing
    t = y * (1 - s) + s / rows.shape[1]
    alpha = torch.tensor(loss.alpha, dtype=rows.dtype)
    return (-alpha * t * (1 - torch.exp(log)) ** loss.gamma * log).sum(dim=1)


def torch_bce(torch: Any, loss: Any, y: Any, rows: Any) -> Any:
    t = y * (1 - loss.label_smoothing) + loss.label_smoothing / 2
    f = torch.nn.functional
    ways = f.binary_cross_entropy_with_logits if loss.from_logits else f.binary_cross_entropy
    return ways(rows, t.to(rows.dtype), reduction="none").mean(dim=1)


def torch_binary_focal(torch: Any, loss: Any, y: Any, rows: Any) -> Any:
    t = (y * (1 - loss.label_smoothing) + loss.label_smoothing / 2).to(rows.dtype)
    f = torch.nn.functional
    ways = f.binary_cross_entropy_with_logits if loss.from_logits else f.binary_cross_entropy
    ce = ways(rows, t, reduction="none")
    p = torch.sigmoid(rows) if loss.from_logits else rows
    wrong = 1 - (t * p + (1 - t) * (1 - p))
    w = t * loss.alpha + (1 - t) * (1 - loss.alpha) if loss.apply_class_balancing else 1
    return (w * wrong**loss.gamma * ce).mean(dim=1)


def torch_mean(name: str, **kwargs: Any) -> Callable[..., Any]:
    def ask(torch: Any, loss: Any, y: Any, rows: Any) -> Any:
        given = {key: value(loss) if callable(value) else value for key, value in kwargs.items()}
        values = getattr(torch.nn.functional, name)(
            rows, y.to(rows.dtype), reduction="none", **given
        )
        return values.mean(dim=1)

    return ask


def torch_kl(torch: Any, loss: Any, y: Any, rows: Any) -> Any:
    t = y.clamp(1e-7, 1)
    return torch.nn.functional.kl_div(rows.clamp(1e-7, 1).log(), t, reduction="none").sum(dim=1)


def torch_hinge(power: int) -> Callable[..., Any]:
    return lambda torch, loss, y, rows: (torch.relu(1 - y * rows) ** power).mean(dim=1)


def torch_categorical_hinge(torch: Any, loss: Any, y: Any, rows: Any) -> Any:
    others = ((1 - y) * rows).max(dim=1).values
    return torch.relu(others - (y * rows).sum(dim=1) + 1)


SMOOTH = {"from_logits": True, "label_smoothing": 0.25}
CROSS_ENTROPY = {"on logits": {"from_logits": True}, "on probabilities": {}}
SMOOTHED = {**CROSS_ENTROPY, "smoothed": {"label_smoothing": 0.125, "axis": -1}}
SMOOTHED["smoothed on logits"] = SMOOTH

LOSSES: dict[type[Loss], LossCase] = {
    BinaryCrossentropy: LossCase(
        targets="probabilities",
        definition=mean_of(bce),
        torch=torch_bce,
        examples=SMOOTHED,
    ),
    BinaryFocalCrossentropy: LossCase(
        targets="probabilities",
        definition=mean_of(binary_focal),
        torch=torch_binary_focal,
        examples={
            **SMOOTHED,
            "balanced": {"apply_class_balancing": True, "alpha": 0.75, "gamma": 1.5},
            "balanced on logits": {"apply_class_balancing": True, "gamma": 0.5, **SMOOTH},
        },
    ),
    CategoricalCrossentropy: LossCase(
        targets="distributions",
        definition=one_hot,
        torch=torch_cross_entropy,
        examples=SMOOTHED,
    ),
    CategoricalFocalCrossentropy: LossCase(
        targets="distributions",
        definition=focal,
        torch=torch_focal,
        clips_logits=True,
        examples={
            **SMOOTHED,
            "other factors": {"alpha": 0.5, "gamma": 1.5},
            "other factors on logits": {"alpha": 0.5, "gamma": 1.5, **SMOOTH},
        },
    ),
    CategoricalHinge: LossCase(
        targets="one-hot",
        definition=of_row(categorical_hinge),
        torch=torch_categorical_hinge,
    ),
    CosineSimilarity: LossCase(
        targets="numbers",
        definition=of_row(cosine),
        torch=lambda torch, loss, y, rows: (
            -torch.nn.functional.cosine_similarity(rows, y, dim=1, eps=1e-14)
        ),
        examples={"": {"axis": -1}},
    ),
    Hinge: LossCase(
        targets="signs",
        definition=mean_of(lambda loss, t, p: max(1 - t * p, 0.0)),
        torch=torch_hinge(1),
    ),
    Huber: LossCase(
        targets="numbers",
        definition=mean_of(huber),
        torch=torch_mean("huber_loss", delta=lambda loss: loss.delta),
        examples={"": {}, "of 0.5": {"delta": 0.5}},
    ),
    KLDivergence: LossCase(
        targets="distributions",
        definition=of_row(kl),
        torch=torch_kl,
    ),
    LogCosh: LossCase(
        targets="numbers",
        definition=mean_of(lambda loss, t, p: math.log(math.cosh(p - t))),
        torch=lambda torch, loss, y, rows: torch.log(torch.cosh(rows - y)).mean(dim=1),
        keras_error=1e-8,  # its log 2 is float32
    ),
    MeanAbsoluteError: LossCase(
        targets="numbers",
        definition=mean_of(lambda loss, t, p: abs(p - t)),
        torch=torch_mean("l1_loss"),
    ),
    MeanAbsolutePercentageError: LossCase(
        targets="positive",
        definition=mean_of(lambda loss, t, p: 100 * abs(p - t) / max(abs(t), 1e-7)),
        torch=lambda torch, loss, y, rows: (100 * (rows - y).abs() / y.abs()).mean(dim=1),
    ),
    MeanSquaredError: LossCase(
        targets="numbers",
        definition=mean_of(lambda loss, t, p: (p - t) ** 2),
        torch=torch_mean("mse_loss"),
    ),
    MeanSquaredLogarithmicError: LossCase(
        targets="positive",
        definition=mean_of(lambda loss, t, p: (math.log1p(p) - math.log1p(t)) ** 2),
        torch=lambda torch, loss, y, rows: ((torch.log1p(rows) - torch.log1p(y)) ** 2).mean(dim=1),
    ),
    Poisson: LossCase(
        targets="positive",
        definition=mean_of(lambda loss, t, p: p - t * math.log(p + 1e-7)),
        torch=torch_mean("poisson_nll_loss", log_input=False, eps=1e-7),
    ),
    SparseCategoricalCrossentropy: LossCase(
        targets="labels",
        definition=sparse,
        torch=torch_cross_entropy,
        examples={
            **CROSS_ENTROPY,
            "ignoring": {"ignore_class": -1, "axis": -1},
        },
    ),
    SquaredHinge: LossCase(
        targets="signs",
        definition=mean_of(lambda loss, t, p: max(1 - t * p, 0.0) ** 2),
        torch=torch_hinge(2),
    ),
}

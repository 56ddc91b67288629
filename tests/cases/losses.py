"""Every public loss: see `LossCase`. A new loss is one entry of LOSSES."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cases import LossCase, Shape, rng_of
from minicnn.losses import (
    CategoricalCrossentropy,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
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
    "numbers": lambda rng, shape: rng.standard_normal(shape),
}


def pair(rng: np.random.Generator, loss: Loss, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """y and y_pred (N, ..., C) that suit the loss, away from where it clips probabilities.

    A sum of 1 is not asked of them, so they have none.
    """
    targets = LOSSES[type(loss)].targets
    any_number = targets == "numbers" or loss.from_logits
    y_pred = 3 * rng.standard_normal(shape) if any_number else rng.uniform(0.1, 0.8, shape)
    return TARGETS[targets](rng, shape), y_pred


def examples() -> dict[str, Loss]:
    """Every loss of the table in each of its ways, by name.

    Small letters first: `tools/correctness.py` tells losses from layers by them.
    """
    return {
        f"{kind.name} {name}".strip(): kind(**kwargs)
        for kind, case in LOSSES.items()
        for name, kwargs in case.examples.items()
    }


Inputs = dict[str, tuple[str, np.ndarray, np.ndarray]]


def inputs_for_keras(name: str, loss: Loss) -> Inputs:
    """What Keras is asked for the example of that name: source of y_pred, y, y_pred by a label.

    A source is one of "logits", "softmax" (y_pred are logits, Keras gets their softmax),
    "probabilities" that come from elsewhere, and "values".
    """
    rng, targets = rng_of(name), LOSSES[type(loss)].targets
    if targets == "numbers":
        y, y_pred = rng.standard_normal((2, 4, 3))
        image = (2, 2, 3, 1)
        return {
            "2d": ("values", y, y_pred),
            "4d": ("values", y.reshape(image), y_pred.reshape(image)),
        }
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
    if loss.from_logits:
        found = {f"logits_{key}": ("logits", y, z) for key, z in logits.items()}
    else:
        found = {f"softmax_{key}": ("softmax", y, z) for key, z in logits.items()}
        found |= {f"probabilities_{k}": ("probabilities", y, p) for k, p in probabilities.items()}
    if targets == "distributions":
        source, y_pred = ("logits", logits["small"])
        if not loss.from_logits:
            source, y_pred = ("probabilities", probabilities["ordinary"])
        found[f"{source}_soft_targets"] = (source, _distributions(rng, shape), y_pred)
    return found


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
    return [-log_p(row, loss.from_logits, False)[k] for k, row in zip(y, rows)]


def one_hot(loss: Any, y: Any, rows: Any) -> list[float]:
    logs = [log_p(row, loss.from_logits, True) for row in rows]
    return [-math.fsum(t * v for t, v in zip(target, log)) for target, log in zip(y, logs)]


def squares(loss: Any, y: Any, rows: Any) -> list[float]:
    return [
        math.fsum((p - t) ** 2 for p, t in zip(row, target)) / len(row)
        for target, row in zip(y, rows)
    ]


def torch_cross_entropy(torch: Any, loss: Any, y: Any, rows: Any) -> Any:
    """PyTorch's takes logits alone, which the logs of probabilities are: softmax divides by the
    sum. Labels and distributions have one name there."""
    z = rows if loss.from_logits else torch.log(rows)
    return torch.nn.functional.cross_entropy(z, y, reduction="none")


CROSS_ENTROPY = {"on logits": {"from_logits": True}, "on probabilities": {}}

LOSSES: dict[type[Loss], LossCase] = {
    CategoricalCrossentropy: LossCase(
        targets="distributions",
        definition=one_hot,
        torch=torch_cross_entropy,
        examples=CROSS_ENTROPY,
    ),
    MeanSquaredError: LossCase(
        targets="numbers",
        definition=squares,
        torch=lambda torch, loss, y, rows: ((rows - y) ** 2).mean(dim=1),
    ),
    SparseCategoricalCrossentropy: LossCase(
        targets="labels",
        definition=sparse,
        torch=torch_cross_entropy,
        examples=CROSS_ENTROPY,
    ),
}

"""Losses as functions, under Keras's names: the loss of each position, without a mean over them.

    losses.mean_absolute_error(y_true, y_pred)      # shape of y_pred less its last axis
    model.compile(loss=losses.mean_absolute_error)  # the same as loss="mean_absolute_error"

Each is the class of its name, called once. Raises TypeError or ValueError where the two arrays do
not go together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.losses import binary, crossentropy, margins, regression
from minicnn.losses.base import Loss
from minicnn.outputs import with_numpy

Array = NDArray[Any]


def _each(loss: Loss, y_true: Any, y_pred: Any) -> Array:
    """The losses of the positions, in an array."""
    loss.reduction = None
    losses: Array = with_numpy(np.asarray(loss(y_true, y_pred)))
    return losses


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """See `BinaryCrossentropy`."""
    return _each(binary.BinaryCrossentropy(from_logits, label_smoothing, axis), y_true, y_pred)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """See `BinaryFocalCrossentropy`."""
    loss = binary.BinaryFocalCrossentropy(
        apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis
    )
    return _each(loss, y_true, y_pred)


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """See `CategoricalCrossentropy`."""
    loss = crossentropy.CategoricalCrossentropy(from_logits, label_smoothing, axis)
    return _each(loss, y_true, y_pred)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float | list[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """See `CategoricalFocalCrossentropy`."""
    loss = crossentropy.CategoricalFocalCrossentropy(
        alpha, gamma, from_logits, label_smoothing, axis
    )
    return _each(loss, y_true, y_pred)


def categorical_hinge(y_true: Any, y_pred: Any) -> Array:
    """See `CategoricalHinge`."""
    return _each(margins.CategoricalHinge(), y_true, y_pred)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Array:
    """See `CosineSimilarity`."""
    return _each(regression.CosineSimilarity(axis), y_true, y_pred)


def hinge(y_true: Any, y_pred: Any) -> Array:
    """See `Hinge`."""
    return _each(margins.Hinge(), y_true, y_pred)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Array:
    """See `Huber`."""
    return _each(regression.Huber(delta), y_true, y_pred)


def kl_divergence(y_true: Any, y_pred: Any) -> Array:
    """See `KLDivergence`."""
    return _each(regression.KLDivergence(), y_true, y_pred)


def log_cosh(y_true: Any, y_pred: Any) -> Array:
    """See `LogCosh`."""
    return _each(regression.LogCosh(), y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Array:
    """See `MeanAbsoluteError`."""
    return _each(regression.MeanAbsoluteError(), y_true, y_pred)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Array:
    """See `MeanAbsolutePercentageError`."""
    return _each(regression.MeanAbsolutePercentageError(), y_true, y_pred)


def mean_squared_error(y_true: Any, y_pred: Any) -> Array:
    """See `MeanSquaredError`."""
    return _each(regression.MeanSquaredError(), y_true, y_pred)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Array:
    """See `MeanSquaredLogarithmicError`."""
    return _each(regression.MeanSquaredLogarithmicError(), y_true, y_pred)


def poisson(y_true: Any, y_pred: Any) -> Array:
    """See `Poisson`."""
    return _each(regression.Poisson(), y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Array:
    """See `SparseCategoricalCrossentropy`."""
    loss = crossentropy.SparseCategoricalCrossentropy(from_logits, ignore_class, axis)
    return _each(loss, y_true, y_pred)


def squared_hinge(y_true: Any, y_pred: Any) -> Array:
    """See `SquaredHinge`."""
    return _each(margins.SquaredHinge(), y_true, y_pred)


# the classes, by the functions' names
CLASSES: dict[Callable[..., Array], type[Loss]] = {
    binary_crossentropy: binary.BinaryCrossentropy,
    binary_focal_crossentropy: binary.BinaryFocalCrossentropy,
    categorical_crossentropy: crossentropy.CategoricalCrossentropy,
    categorical_focal_crossentropy: crossentropy.CategoricalFocalCrossentropy,
    categorical_hinge: margins.CategoricalHinge,
    cosine_similarity: regression.CosineSimilarity,
    hinge: margins.Hinge,
    huber: regression.Huber,
    kl_divergence: regression.KLDivergence,
    log_cosh: regression.LogCosh,
    mean_absolute_error: regression.MeanAbsoluteError,
    mean_absolute_percentage_error: regression.MeanAbsolutePercentageError,
    mean_squared_error: regression.MeanSquaredError,
    mean_squared_logarithmic_error: regression.MeanSquaredLogarithmicError,
    poisson: regression.Poisson,
    sparse_categorical_crossentropy: crossentropy.SparseCategoricalCrossentropy,
    squared_hinge: margins.SquaredHinge,
}

# Keras's short names
SHORT: dict[str, Callable[..., Array]] = {
    "bce": binary_crossentropy,
    "kld": kl_divergence,
    "mae": mean_absolute_error,
    "mape": mean_absolute_percentage_error,
    "mse": mean_squared_error,
    "msle": mean_squared_logarithmic_error,
}

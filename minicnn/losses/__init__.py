"""What a model is trained to make small.

base.py           what all share: weights, reductions, checks, the class to subclass
crossentropy.py   classes that exclude each other
binary.py         yes or no, output by output
regression.py     numbers
margins.py        hinges
own.py            a user's function with its gradient
functions.py      each as a function, under Keras's name
"""

from __future__ import annotations

from typing import Any

from minicnn import checks
from minicnn.custom_objects import custom_object_scope
from minicnn.losses.base import EPSILON, Loss, checked_outputs
from minicnn.losses.binary import BinaryCrossentropy, BinaryFocalCrossentropy
from minicnn.losses.crossentropy import (
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
)
from minicnn.losses.functions import (
    CLASSES,
    SHORT,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    cosine_similarity,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from minicnn.losses.margins import CategoricalHinge, Hinge, SquaredHinge
from minicnn.losses.own import Function
from minicnn.losses.regression import (
    CosineSimilarity,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
)
from minicnn.settings import described, restored

bce = BCE = binary_crossentropy
kld = KLD = kullback_leibler_divergence = kl_divergence
logcosh = log_cosh
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
mse = MSE = mean_squared_error
msle = MSLE = mean_squared_logarithmic_error

__all__ = [
    "BCE",
    "EPSILON",
    "KLD",
    "MAE",
    "MAPE",
    "MSE",
    "MSLE",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Function",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "bce",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "checked_outputs",
    "cosine_similarity",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "kld",
    "kullback_leibler_divergence",
    "log_cosh",
    "logcosh",
    "mae",
    "mape",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "mse",
    "msle",
    "poisson",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]

KNOWN: dict[str, type[Loss]] = {
    **{function.__name__: kind for function, kind in CLASSES.items()},
    **{name: CLASSES[function] for name, function in SHORT.items()},
}


def get(identifier: Any, who: str = "losses") -> Loss:
    """The loss of that name ("mse", "MeanSquaredError"), class, function of this module or object.

    {"class_name": ..., "config": ...} stands for the object that it describes.

    Raises ValueError for an unknown name (the message lists the known ones), TypeError for
    anything else.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier):
        if identifier in CLASSES:
            return CLASSES[identifier]()
        raise TypeError(
            f"{who}: expected loss to be a name or a minicnn.losses.Loss, received "
            f"{checks.shown(identifier)}. A plain function has no gradient here: give it one, "
            "losses.Function(function, gradient=...), or subclass Loss with forward and backward"
        )
    if isinstance(identifier, dict):
        return restored(identifier, KNOWN.values(), "loss", who)
    by_class = {cls.__name__: cls for cls in KNOWN.values()}
    if isinstance(identifier, str) and identifier in by_class:
        return by_class[identifier]()
    return checks.lookup(identifier, KNOWN, "loss", who)()


def serialize(loss: Any) -> Any:
    """A loss as Keras's config of it, which `deserialize` and files take: a dict.

    Raises TypeError for what is no loss, and for a `Function`, which no config can hold.
    """
    return described(get(loss, "serialize"))


def deserialize(name: Any, custom_objects: Any = None) -> Loss:
    """The loss of that name or config; classes of a user's own are looked up in `custom_objects`.

    Raises TypeError or ValueError as `get`.
    """
    with custom_object_scope(custom_objects):
        return get(name, "deserialize")

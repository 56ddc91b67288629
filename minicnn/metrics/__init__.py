"""What a model is judged by.

base.py        the state API, means of values, functions as metrics
accuracy.py    the share that is right
counts.py      true and false positives and negatives, precision, recall
curves.py      areas under curves, the best point of one
fscore.py      precision and recall in one figure
errors.py      the losses as metrics, and other measures of numbers
iou.py         intersection over union
functions.py   accuracies as functions

Reports, class by class, are in `minicnn/reports.py`.
"""

from __future__ import annotations

from typing import Any

from minicnn import checks
from minicnn.copies import twin
from minicnn.custom_objects import custom_object_scope
from minicnn.losses import (
    Loss,
    bce,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    hinge,
    huber,
    kl_divergence,
    kld,
    log_cosh,
    mae,
    mape,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    mse,
    msle,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
)
from minicnn.losses.base import checked_outputs
from minicnn.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from minicnn.metrics.base import Mean, Metric, Sum
from minicnn.metrics.counts import (
    FalseNegatives,
    FalsePositives,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from minicnn.metrics.curves import (
    AUC,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from minicnn.metrics.errors import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    R2Score,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from minicnn.metrics.fscore import (
    F1Score,
    FBetaScore,
)
from minicnn.metrics.functions import (
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from minicnn.metrics.iou import (
    BinaryIoU,
    IoU,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)
from minicnn.metrics.own import MeanMetricWrapper
from minicnn.reports import accuracy_score, classification_report, confusion_matrix
from minicnn.settings import arguments, described, restored

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "accuracy_score",
    "bce",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "classification_report",
    "confusion_matrix",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "kld",
    "log_cosh",
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
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

KNOWN: dict[str, type[Metric]] = {
    "auc": AUC,
    "bce": BinaryCrossentropy,
    "binary_accuracy": BinaryAccuracy,
    "binary_crossentropy": BinaryCrossentropy,
    "binary_io_u": BinaryIoU,
    "categorical_accuracy": CategoricalAccuracy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_hinge": CategoricalHinge,
    "cosine_similarity": CosineSimilarity,
    "f1_score": F1Score,
    "f_beta_score": FBetaScore,
    "false_negatives": FalseNegatives,
    "false_positives": FalsePositives,
    "hinge": Hinge,
    "io_u": IoU,
    "kl_divergence": KLDivergence,
    "log_cosh_error": LogCoshError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_io_u": MeanIoU,
    "mean_squared_error": MeanSquaredError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "mse": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
    "one_hot_io_u": OneHotIoU,
    "one_hot_mean_io_u": OneHotMeanIoU,
    "poisson": Poisson,
    "precision": Precision,
    "precision_at_recall": PrecisionAtRecall,
    "r2_score": R2Score,
    "recall": Recall,
    "recall_at_precision": RecallAtPrecision,
    "root_mean_squared_error": RootMeanSquaredError,
    "sensitivity_at_specificity": SensitivityAtSpecificity,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "specificity_at_sensitivity": SpecificityAtSensitivity,
    "squared_hinge": SquaredHinge,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "true_negatives": TrueNegatives,
    "true_positives": TruePositives,
}


CLASSES: tuple[type[Metric], ...] = (Accuracy, *dict.fromkeys(KNOWN.values()))
_BY_CLASS = {kind.__name__: kind for kind in CLASSES}


def check(identifier: Any, who: str = "metrics") -> None:
    """Raise TypeError or ValueError unless `get` will understand it."""
    if isinstance(identifier, type):
        if not issubclass(identifier, (Metric, Loss)):
            raise TypeError(
                f"{who}: expected metric to be a name, a minicnn.metrics.Metric or a function of "
                f"(y_true, y_pred), received the class {checks.shown(identifier)}"
            )
        return
    if isinstance(identifier, Metric) or callable(identifier):
        return
    if isinstance(identifier, dict):
        restored(identifier, CLASSES, "metric", who)
        return
    if isinstance(identifier, str) and identifier in _BY_CLASS:
        return
    checks.one_of(identifier, {"accuracy", "acc", *KNOWN}, "metric", who)


def distinct(chosen: list[Metric], weighted: list[Metric] | None = None) -> list[Metric]:
    """The metrics under names that differ: a second "accuracy" is "accuracy_1", as in Keras.

    "loss" is taken, by the loss. Behind them those that are weighted: "weighted_accuracy" where
    there is an "accuracy".
    """
    if not isinstance(chosen, list) or not all(isinstance(metric, Metric) for metric in chosen):
        raise TypeError(
            "distinct: expected chosen to be a list of minicnn.metrics.Metric, received "
            f"{checks.shown(chosen)}"
        )
    taken = {"loss"}
    named = []
    for number, metric in enumerate([*chosen, *(weighted or [])]):
        name, count = metric.name, 0
        if number >= len(chosen) and name in taken:
            name = f"weighted_{name}"
        first = name
        while name in taken:
            count += 1
            name = f"{first}_{count}"
        if name != metric.name:
            metric = twin(metric)  # the user's object keeps its name
            metric.name = name
        taken.add(name)
        named.append(metric)
    return named


def get(identifier: Any, loss: Loss, output_shape: tuple[Any, ...], who: str = "metrics") -> Metric:
    """The metric of that name, class, function or object.

    {"class_name": ..., "config": ...} stands for the object that it describes.

    "accuracy" (or "acc") is chosen as Keras does: by the targets that the loss takes and the
    model's output shape (None, ..., C). The name given stays the key in the history.

    Raises ValueError for an unknown name (the message lists the known ones), TypeError for
    anything else.
    """
    check(identifier, who)
    if not isinstance(loss, Loss):
        raise TypeError(
            f"{who}: expected loss to be a minicnn.losses.Loss, received {checks.shown(loss)}"
        )
    checks.batch_shape(output_shape, "output_shape", who)
    if isinstance(identifier, type):
        identifier = identifier()
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, dict):
        return restored(identifier, CLASSES, "metric", who)
    if callable(identifier):
        return MeanMetricWrapper(identifier)
    name = str(identifier)
    if name.lower() not in {"accuracy", "acc"}:
        kind = _BY_CLASS.get(name) or KNOWN[name.lower()]
        lacking = [key for key, one in arguments(kind).items() if one.default is one.empty]
        if lacking:
            raise ValueError(
                f"{who}: expected {name} with {lacking[0]}. Give an object: "
                f"metrics.{kind.__name__}({lacking[0]}=...)"
            )
        return kind(name=name)
    if checked_outputs(output_shape, who)[-1] == 1:
        return BinaryAccuracy(name=name)
    if loss.of_labels or loss.name == "sparse_categorical_crossentropy":
        return SparseCategoricalAccuracy(name)
    return CategoricalAccuracy(name)


def serialize(metric: Any) -> Any:
    """A metric object as Keras's config of it, a dict, which `deserialize` and files take.

    Raises TypeError for what is no Metric, and for one that holds a function.
    """
    if not isinstance(metric, Metric):
        raise TypeError(
            "serialize: expected metric to be a minicnn.metrics.Metric, received "
            f"{checks.shown(metric)}"
        )
    return described(metric)


def deserialize(config: Any, custom_objects: Any = None) -> Metric:
    """The metric of that config; classes of a user's own are looked up in `custom_objects`.

    Raises TypeError or ValueError for what is no config of a metric.
    """
    if not isinstance(config, dict):
        raise TypeError(
            "deserialize: expected config to be a dict, as serialize returns it, received "
            f"{checks.shown(config)}"
        )
    with custom_object_scope(custom_objects):
        return restored(config, CLASSES, "metric", "deserialize")

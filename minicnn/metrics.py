"""What a model is judged by. A metric is the mean of one value a sample; reports cover classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.copies import Copied, twin
from minicnn.losses import Loss, SparseCategoricalCrossentropy, checked_outputs
from minicnn.reports import accuracy_score, classification_report, confusion_matrix
from minicnn.settings import Configured, Setting, restored
from minicnn.subclasses import refuse_vain_methods

Array = NDArray[Any]

__all__ = [
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "accuracy_score",
    "classification_report",
    "confusion_matrix",
    "get",
]

# what a subclass may define, and the names that other libraries have for it
CALLED = ("values", "check")
ELSEWHERE = dict.fromkeys(
    ("update_state", "result", "reset_state", "reset_states", "call", "__call__"), ("values",)
)


class Metric(Copied, Configured):
    """Base class. A metric of your own defines `values`.

    Attributes
    ----------
    name : str
        Its key in `history.history`.
    rank_based : bool
        True where only the order of a sample's outputs counts, so that logits serve as well as
        probabilities.
    direction : "up", "down" or None
        Whether more or less is better; None if it does not say.
    by_batch : bool
        True where a value may depend on the whole batch: then `evaluate` joins no batches.
    """

    name = Setting(checks.text, default="metric")
    ignored = {"dtype": (None,)}
    rank_based = False
    direction: str | None = None
    by_batch = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, Metric, CALLED, ELSEWHERE)
        if "values" in vars(cls) and "rank_based" not in vars(cls):
            cls.rank_based = False  # what held for the inherited values need not hold for these

    def __init__(self, name: str | None = None, **keras: Any) -> None:
        self._refuse_unknown(keras)
        if name is not None:
            self.name = name

    @property
    def who(self) -> str:
        """How error messages name this metric."""
        return type(self).__name__

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Value of each sample, shape (N,)."""
        raise NotImplementedError(f"{type(self).__name__} has to define values(y_true, y_pred)")

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        """Raise ValueError unless targets `y` go with outputs of `output_shape`, (None, ..., C)."""

    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """Mean over the samples. Raises ValueError where the two do not go together."""
        who = self.who
        y = checks.numeric(y_true, "y_true", who)
        predicted = checks.numeric(y_pred, "y_pred", who)
        if y.ndim == 0 or predicted.ndim == 0:
            raise ValueError(
                f"{who}: expected y_true and y_pred to be arrays of samples, received a single "
                "number"
            )
        self.check(y, predicted.shape, who)
        checks.finite(y, "y_true", who)
        n = checks.same_length({"y_true": y, "y_pred": predicted}, who)
        if n == 0:
            raise ValueError(f"{who}: expected at least one sample, received none")
        values = np.asarray(self.values(y, predicted))
        if values.shape != (n,):
            raise ValueError(
                f"{who}: expected one value a sample, shape ({n},), received shape {values.shape}"
            )
        return float(values.astype(np.float64).mean())


def _expect(good: bool, shape: str, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
    if not good:
        outputs = ", ".join(map(str, ("N", *output_shape[1:])))
        comma = "," if len(output_shape) == 1 else ""
        raise ValueError(
            f"{who}: expected y of shape {shape} with outputs of shape ({outputs}{comma}), "
            f"received {y.shape}"
        )


class _Labels(Metric):
    """Metrics whose targets are whole-number labels."""

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        inner = tuple(output_shape[1:-1])
        good = len(output_shape) > 1 and y.shape[1:] in (inner, (*inner, 1))
        _expect(good, "(N, ...) or (N, ..., 1)", y, output_shape, who)


class _SameShape(Metric):
    """Metrics whose targets have the shape of the outputs, or lack only a last axis of 1."""

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        outputs = tuple(output_shape[1:])
        good = y.shape[1:] == outputs or (*y.shape[1:], 1) == outputs
        _expect(good, "the outputs'", y, output_shape, who)


def _mean_rows(values: Array) -> Array:
    return values.reshape(len(values), -1).mean(axis=1, dtype=np.float64)


class SparseCategoricalAccuracy(_Labels):
    """Share of the samples whose largest output is their label.

    y_true (N, ...) or (N, ..., 1), y_pred (N, ..., C).

    >>> SparseCategoricalAccuracy()([0, 1], [[0.9, 0.1], [0.8, 0.2]])
    0.5
    """

    name = "sparse_categorical_accuracy"
    direction = "up"
    rank_based = True

    def values(self, y_true: Array, y_pred: Array) -> Array:
        label = y_true[..., 0] if y_true.ndim == y_pred.ndim else y_true
        return _mean_rows(y_pred.argmax(axis=-1) == label)


class CategoricalAccuracy(_SameShape):
    """Share of the samples whose largest output is where their one-hot row is largest.

    y_true, y_pred (N, ..., C).
    """

    name = "categorical_accuracy"
    direction = "up"
    rank_based = True

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        _expect(len(output_shape) > 1, "(N, ..., C)", y, output_shape, who)
        super().check(y, output_shape, who)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _mean_rows(y_pred.argmax(axis=-1) == y_true.reshape(y_pred.shape).argmax(axis=-1))


class BinaryAccuracy(_SameShape):
    """Share of the outputs that lie on the right side of 0.5. y_true, y_pred (N, ..., 1)."""

    name = "binary_accuracy"
    direction = "up"
    ignored = {"threshold": (0.5,)}

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _mean_rows((y_pred > 0.5) == y_true.reshape(y_pred.shape))


class MeanSquaredError(_SameShape):
    """Mean of the squared differences. y_true, y_pred (N, ...)."""

    name = "mean_squared_error"
    direction = "down"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _mean_rows(np.square(y_pred - y_true.reshape(y_pred.shape)))


class MeanAbsoluteError(_SameShape):
    """Mean of the absolute differences. y_true, y_pred (N, ...)."""

    name = "mean_absolute_error"
    direction = "down"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _mean_rows(np.abs(y_pred - y_true.reshape(y_pred.shape)))


class _Function(Metric):
    """A plain function (y_true, y_pred) -> one value a sample, or one for the batch.

    One for the batch counts as the value of each of its samples.
    """

    by_batch = True

    def __init__(self, function: Callable[[Array, Array], Any]) -> None:
        name = getattr(function, "__name__", getattr(function, "name", None))
        super().__init__(name if isinstance(name, str) and name else "metric")
        self.function = function

    def __repr__(self) -> str:
        return f"<metric {self.name}: {checks.shown(self.function)}>"

    @property
    def who(self) -> str:
        return f"metric {self.name}"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        given = self.function(y_true, y_pred)
        values = checks.numeric(given, "its values", self.who).astype(np.float64)
        if values.ndim == 0:
            return np.full(len(y_pred), values)
        if values.shape[:1] != (len(y_pred),):
            raise ValueError(
                f"{self.who}: expected one value a sample, shape ({len(y_pred)},), or one number "
                f"for the batch, received shape {values.shape}"
            )
        return _mean_rows(values)


KNOWN: dict[str, type[Metric]] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
}


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
        restored(identifier, KNOWN.values(), "metric", who)
        return
    checks.one_of(identifier, {"accuracy", "acc", *KNOWN}, "metric", who)


def distinct(chosen: list[Metric]) -> list[Metric]:
    """The metrics under names that differ: a second "accuracy" is "accuracy_1", as in Keras.

    "loss" is taken, by the loss.
    """
    if not isinstance(chosen, list) or not all(isinstance(metric, Metric) for metric in chosen):
        raise TypeError(
            "distinct: expected chosen to be a list of minicnn.metrics.Metric, received "
            f"{checks.shown(chosen)}"
        )
    taken = {"loss"}
    named = []
    for metric in chosen:
        name, count = metric.name, 0
        while name in taken:
            count += 1
            name = f"{metric.name}_{count}"
        if count:
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
        return restored(identifier, KNOWN.values(), "metric", who)
    if callable(identifier):
        return _Function(identifier)
    name = str(identifier)
    if name.lower() not in {"accuracy", "acc"}:
        return KNOWN[name.lower()](name)
    if checked_outputs(output_shape, who)[-1] == 1:
        return BinaryAccuracy(name)
    sparse = SparseCategoricalCrossentropy
    if isinstance(loss, sparse) or loss.name == sparse.name:
        return SparseCategoricalAccuracy(name)
    return CategoricalAccuracy(name)

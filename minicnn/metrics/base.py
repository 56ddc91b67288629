"""What all metrics share: Keras's state API, means of values, and functions that serve as metrics.

A metric is a sum and what is made of it:

    measure(y_true, y_pred, sample_weight)   what a batch adds to the state, a few numbers
    figure(*state)                           the metric, of the sums so far

so no outputs are kept, however long an epoch is; a state is a few numbers, which a backup can hold;
and several threads may evaluate one model, each with sums by itself. `update_state`, `result` and
`reset_state` are these two with the sum that the object holds.

Most are the mean of one value a sample: `Metric` itself, whose subclasses define `values`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.copies import Copied
from minicnn.layers.names import unique_name
from minicnn.outputs import with_numpy
from minicnn.settings import Configured, Setting
from minicnn.subclasses import of_the_user, refuse_vain_methods

Array = NDArray[Any]
Shape = tuple[int, ...]

# what a subclass may define, and the names that other libraries have for it
CALLED = ("values", "check", "update_state", "result", "reset_state")
ELSEWHERE = {
    "call": ("values",),
    "__call__": ("values",),
    "reset_states": ("reset_state",),
}


class Metric(Copied, Configured):
    """Base class. A metric of your own defines `values`, or `update_state` and `result`.

    In the latter case it makes its variables with `add_weight` in `__init__`, or keeps what it
    likes and defines `reset_state` too.

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
    variables : list of ndarray
        The sums so far.
    """

    name = Setting(checks.text, default="metric")
    ignored = {"dtype": (None, "float32", "float64")}
    rank_based = False
    direction: str | None = None
    by_batch = False
    numbered = False  # whether Keras numbers the names of its objects: "auc", "auc_1"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, Metric, CALLED, ELSEWHERE)
        if "values" in vars(cls) and "rank_based" not in vars(cls):
            cls.rank_based = False  # what held for the inherited values need not hold for these
        if of_the_user(cls) and "update_state" in vars(cls):
            cls.by_batch = True
            if cls.result is Metric.result and cls.measure is Metric.measure:
                raise TypeError(
                    f"{cls.__name__}: expected result beside update_state, received none. Define "
                    "result(), which returns the metric"
                )

    def __init__(self, name: str | None = None, **keras: Any) -> None:
        self._refuse_unknown(keras)
        if name is not None:
            self.name = name
        elif self.numbered:
            self.name = unique_name(type(self).__name__)
        self._state: list[Array] | None = None
        self._weights: list[Weight] = []

    @property
    def who(self) -> str:
        """How error messages name this metric."""
        return type(self).__name__

    # -- what a metric is --------------------------------------------------------------------------

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Value of each sample, shape (N,)."""
        if type(self).each is not Metric.each:
            return mean_rows(self.each(y_true, y_pred))
        raise NotImplementedError(f"{type(self).__name__} has to define values(y_true, y_pred)")

    def each(self, y_true: Array, y_pred: Array) -> Array:
        """Value of each position, shape (N, ...)."""
        values = np.asarray(self.values(y_true, y_pred))
        if values.shape != (len(y_pred),):
            raise ValueError(
                f"{self.who}: expected one value a sample, shape ({len(y_pred)},), received "
                f"shape {values.shape}"
            )
        return values

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        """Raise ValueError unless targets `y` go with outputs of `output_shape`, (None, ..., C)."""

    def slots(self, output_shape: tuple[Any, ...]) -> dict[str, Shape]:
        """Names and shapes of the sums, for outputs of that shape."""
        return {"total": (), "count": ()}

    def measure(self, y_true: Array, y_pred: Array, sample_weight: Array | None) -> Sequence[Any]:
        """What these samples add to each of the sums."""
        if sample_weight is None:
            values = np.asarray(self.values(y_true, y_pred))
            if values.shape != (len(y_pred),):
                values = self.each(y_true, y_pred)  # which says what was expected
            return values.sum(dtype=np.float64), len(y_pred)
        return weighted_mean(self.each(y_true, y_pred), sample_weight)

    def figure(self, *state: Array) -> Any:
        """The metric of these sums."""
        total, count = state
        return float(total) / float(count) if count else 0.0

    # -- Keras's state -----------------------------------------------------------------------------

    @property
    def keeps_itself(self) -> bool:
        """Whether a user's class has its state in its own hands."""
        return type(self).update_state not in (Metric.update_state, *_PLAIN)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in these samples.

        `sample_weight` is a number, or one for each sample or position.

        Raises TypeError or ValueError where the arrays do not go together.
        """
        y, predicted, weights = self._checked(y_true, y_pred, sample_weight)
        self._add(self.measure(y, predicted, weights), predicted.shape)

    def result(self) -> Any:
        """The metric of all samples since `reset_state`: a float, or an array of several.

        A float and an array have Keras's `numpy()`; what a `figure` of the user's returns beside
        these stays as it is.
        """
        return with_numpy(self._empty() if self._state is None else self.figure(*self._state))

    def reset_state(self) -> None:
        """Forget all samples."""
        self._state = None
        for weight in self._weights:
            weight[...] = 0

    @property
    def variables(self) -> list[Array]:
        return [*self._weights, *(self._state or ())]

    def add_weight(
        self, shape: Any = (), initializer: Any = "zeros", dtype: Any = None, name: Any = None
    ) -> Weight:
        """A variable of a user's own metric: an array of zeros, which `reset_state` clears.

        It is of float64, whatever `dtype` says. Raises ValueError for another initializer, since a
        state begins at 0.
        """
        scalar = isinstance(shape, (list, tuple)) and len(shape) == 0
        shape = () if scalar else checks.shape(shape, "shape", self.who)
        named = isinstance(initializer, str) and initializer in ("zeros", "zero")
        if not named and initializer is not None and type(initializer).__name__ != "Zeros":
            raise ValueError(
                f"{self.who}: expected initializer to be 'zeros', received "
                f"{checks.shown(initializer)}"
            )
        if name is not None:
            checks.text(name, "name", self.who)
        weight = np.zeros(shape, np.float64).view(Weight)
        self._weights.append(weight)
        return weight

    add_variable = add_weight

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """`update_state`, then `result`."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def _add(self, measured: Sequence[Any], output_shape: Shape) -> None:
        if self._state is None:
            shapes = self.slots(output_shape).values()
            self._state = [np.zeros(shape, np.float64) for shape in shapes]
        for total, part in zip(self._state, measured):
            total += part

    def _empty(self) -> Any:
        """What the metric of no samples is."""
        try:
            shapes = self.slots((None, 1)).values()
            with np.errstate(all="ignore"):
                return self.figure(*(np.zeros(shape) for shape in shapes))
        except (ValueError, IndexError):
            return 0.0

    def _checked(
        self, y_true: Any, y_pred: Any, sample_weight: Any
    ) -> tuple[Array, Array, Array | None]:
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
        if sample_weight is None:
            return y, predicted, None
        weights = checks.numeric(sample_weight, "sample_weight", who)
        checks.not_negative(weights, "sample_weight", who)
        most = (*predicted.shape, 1)
        if (
            weights.ndim > len(most)
            or (weights.ndim and len(weights) != n)
            or any(size not in (1, whole) for size, whole in zip(weights.shape, most))
        ):
            raise ValueError(
                f"{who}: expected sample_weight to be a number or of shape ({n},), or one for each "
                f"position of {predicted.shape}, received {weights.shape}"
            )
        return y, predicted, weights.astype(np.float64)


class Weight(np.ndarray):
    """A variable of a user's metric: an array with Keras's ways of setting it."""

    def assign(self, value: Any) -> Weight:
        self[...] = value
        return self

    def assign_add(self, value: Any) -> Weight:
        self[...] += value
        return self

    def assign_sub(self, value: Any) -> Weight:
        self[...] -= value
        return self

    def numpy(self) -> Array:
        return np.array(self)


# -- means -----------------------------------------------------------------------------------------


def mean_rows(values: Array) -> Array:
    """The mean of each sample's values."""
    if values.ndim == 1:
        return values.astype(np.float64)
    mean: Array = values.reshape(len(values), -1).mean(axis=1, dtype=np.float64)
    return mean


def weighted_mean(values: Array, weights: Array) -> tuple[Any, Any]:
    """Sum of weighted values, and of weights: of samples, each the mean of its positions'."""
    values = np.asarray(values, np.float64)
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    if values.ndim > weights.ndim:
        values = values.mean(axis=tuple(range(weights.ndim, values.ndim)))
    weights = np.broadcast_to(weights, values.shape)
    inner = tuple(range(1, values.ndim))
    return (values * weights).mean(axis=inner).sum(), weights.mean(axis=inner).sum()


def cell_weights(weights: Array | None, shape: Shape) -> Array | float:
    """One weight for each cell of an array of that shape, from weights of samples or positions."""
    if weights is None:
        return 1.0
    if weights.ndim > len(shape):
        weights = weights[..., 0]
    missing = len(shape) - weights.ndim
    return np.broadcast_to(weights.reshape(*weights.shape, *[1] * missing), shape)


class Mean(Metric):
    """The mean of values, as Keras's: `update_state(values, sample_weight=None)`.

    >>> mean = Mean()
    >>> mean.update_state([1, 3, 5, 7])
    >>> mean.result()
    4.0
    """

    name = "mean"

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take in an array of values, the mean over all axes but the first, or one number.

        Raises TypeError or ValueError for what is no array of numbers, or weights that do not fit.
        """
        given = checks.numeric(values, "values", self.who).astype(np.float64)
        if given.size == 0:
            raise ValueError(
                f"{self.who}: expected values to hold at least one number, received shape "
                f"{given.shape}"
            )
        if sample_weight is None:
            count = len(given) if given.ndim else 1
            total = mean_rows(given).sum() if given.ndim else given
        else:
            weights = _weights_for(given, sample_weight, self.who)
            total, count = weighted_mean(given, weights)
        self._add(self._sums(given, total, count), given.shape)

    def _sums(self, values: Array, total: Any, count: Any) -> Sequence[Any]:
        return total, count

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        raise TypeError(
            f"{who}: expected a metric of y_true and y_pred, received {type(self).__name__}, which "
            "takes values. Call its update_state in a loop of your own"
        )

    def __call__(self, values: Any, sample_weight: Any = None) -> Any:  # type: ignore[override]
        """`update_state`, then `result`."""
        self.update_state(values, sample_weight)
        return self.result()


class Sum(Mean):
    """The sum of values, as Keras's: `update_state(values, sample_weight=None)`.

    >>> total = Sum()
    >>> total([1, 3, 5, 7], sample_weight=[1, 1, 0, 0])
    4.0
    """

    name = "sum"

    def slots(self, output_shape: tuple[Any, ...]) -> dict[str, Shape]:
        return {"total": ()}

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take in an array of values, or one number.

        Raises TypeError or ValueError for what is no array of numbers, or weights that do not fit.
        """
        given = checks.numeric(values, "values", self.who).astype(np.float64)
        if given.size == 0:
            raise ValueError(
                f"{self.who}: expected values to hold at least one number, received shape "
                f"{given.shape}"
            )
        if sample_weight is not None:
            weights = _weights_for(given, sample_weight, self.who)
            given = given * cell_weights(weights, given.shape)
        self._add([given.sum()], given.shape)

    def figure(self, *state: Array) -> Any:
        return float(state[0])


def _weights_for(values: Array, sample_weight: Any, who: str) -> Array:
    weights = checks.numeric(sample_weight, "sample_weight", who).astype(np.float64)
    checks.not_negative(weights, "sample_weight", who)
    most = (*values.shape, 1)
    if weights.ndim > len(most) or any(a not in (1, b) for a, b in zip(weights.shape, most)):
        raise ValueError(
            f"{who}: expected sample_weight to be a number or of the shape of values, "
            f"{values.shape}, received {weights.shape}"
        )
    return weights


_PLAIN = (Mean.update_state, Sum.update_state)


def expect(good: bool, shape: str, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
    """Raise ValueError, with the shapes, unless it is `good`."""
    if not good:
        outputs = ", ".join(map(str, ("N", *output_shape[1:])))
        comma = "," if len(output_shape) == 1 else ""
        raise ValueError(
            f"{who}: expected y of shape {shape} with outputs of shape ({outputs}{comma}), "
            f"received {y.shape}"
        )


class OfLabels(Metric):
    """Metrics whose targets are whole-number labels."""

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        inner = tuple(output_shape[1:-1])
        good = len(output_shape) > 1 and y.shape[1:] in (inner, (*inner, 1))
        expect(good, "(N, ...) or (N, ..., 1)", y, output_shape, who)


class OfOutputs(Metric):
    """Metrics whose targets have the shape of the outputs, or lack only a last axis of 1."""

    def check(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        outputs = tuple(output_shape[1:])
        good = y.shape[1:] == outputs or (*y.shape[1:], 1) == outputs
        expect(good, "the outputs'", y, output_shape, who)

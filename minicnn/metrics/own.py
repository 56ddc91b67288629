"""A metric made of a function of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.metrics.base import Metric, mean_rows

Array = NDArray[Any]


def _expect_arguments(function: Any, given: dict[str, Any]) -> None:
    """Raise TypeError for keywords that the function does not take."""
    try:
        known = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a compiled function has no signature
        return
    if any(one.kind is one.VAR_KEYWORD for one in known.values()):
        return
    for name in given:
        if name not in known:
            raise TypeError(
                f"MeanMetricWrapper: expected keywords that fn takes, {', '.join(known)}, received "
                f"{name}"
            )


class MeanMetricWrapper(Metric):
    """The mean of what a function of (y_true, y_pred) gives: one value a sample, or of the batch.

    One for the batch counts as the value of each of its samples. A function that is given to
    `compile` becomes one of these.

    Parameters
    ----------
    fn : callable
    name : str, optional
        That of the function if not given.
    **kwargs
        Further arguments of the function.
    """

    by_batch = True

    def __init__(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        if not callable(fn):
            raise TypeError(
                "MeanMetricWrapper: expected fn to be a function of (y_true, y_pred), received "
                f"{checks.shown(fn)}"
            )
        own = getattr(fn, "__name__", getattr(fn, "name", None))
        own = own if isinstance(own, str) and own else "metric"
        super().__init__(own if name is None else name, dtype=dtype)
        _expect_arguments(fn, kwargs)
        self.function = fn
        self.arguments = kwargs

    def __repr__(self) -> str:
        return f"<metric {self.name}: {checks.shown(self.function)}>"

    def get_config(self) -> dict[str, Any]:
        raise TypeError(
            f"{self.who}: expected fn to be a setting that JSON can hold, received "
            f"{checks.shown(self.function)}. Write a class derived from minicnn.metrics.Metric"
        )

    @property
    def who(self) -> str:
        return f"metric {self.name}"

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return mean_rows(self.each(y_true, y_pred))

    def each(self, y_true: Array, y_pred: Array) -> Array:
        given = self.function(y_true, y_pred, **self.arguments)
        values = checks.numeric(given, "its values", self.who).astype(np.float64)
        if values.ndim == 0:
            return np.full(len(y_pred), values)
        if values.shape[:1] != (len(y_pred),):
            raise ValueError(
                f"{self.who}: expected one value a sample, shape ({len(y_pred)},), or one number "
                f"for the batch, received shape {values.shape}"
            )
        return values


# -- shapes ----------------------------------------------------------------------------------------

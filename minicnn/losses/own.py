"""A loss of a user's own that is a plain function, together with its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from minicnn import checks
from minicnn.copies import twin
from minicnn.losses.base import Loss
from minicnn.settings import Setting

Array = NDArray[Any]


def _function(value: Any, name: str, who: str) -> Any:
    if not callable(value) or isinstance(value, type):
        raise TypeError(
            f"{who}: expected {name} to be a function of (y_true, y_pred), received "
            f"{checks.shown(value)}"
        )
    return value


class Function(Loss):
    """A loss that is a function of (y_true, y_pred), and its gradient by y_pred.

    Forward
        values = function(y_true, y_pred), of the shape of y_pred less its last axis or axes, as of
        a Keras function: one for each sample, for each position, or for each number
        L = mean over a sample's values

    Backward
        gradient(y_true, y_pred), of y_pred's shape: of each value by the numbers that it is made of

    y_true has y_pred's shape, or holds one label for each row of it, (N, ...) or (N, ..., 1), and
    is then handed to the functions unchanged. `minicnn.gradcheck.check_loss` says whether the
    gradient is right.

    Parameters
    ----------
    function, gradient : callable(y_true, y_pred) -> array
        They see arrays: parts of a batch, as many samples as it pleases the engine.
    name : str, optional
        That of the function if not given.

    Raises
    ------
    TypeError, ValueError
        For what is no function, or returns something other than numbers of these shapes.

    Examples
    --------
    >>> import numpy as np
    >>> def fourth_power(y_true, y_pred):
    ...     return np.mean((y_pred - y_true) ** 4, axis=-1)
    >>> def its_gradient(y_true, y_pred):
    ...     return 4 * (y_pred - y_true) ** 3 / y_pred.shape[-1]
    >>> loss = Function(fourth_power, gradient=its_gradient)
    >>> loss.name, loss(np.array([[0.0, 0.0]]), np.array([[1.0, 2.0]]))
    ('fourth_power', 8.5)
    """

    function = Setting(_function)
    gradient = Setting(_function)

    def __init__(
        self,
        function: Callable[[Array, Array], Array],
        gradient: Callable[[Array, Array], Array],
        **kwargs: Any,
    ) -> None:
        name = getattr(function, "__name__", "")
        kwargs.setdefault("name", name if name.isidentifier() else "function")
        super().__init__(**kwargs)
        self.function = function
        self.gradient = gradient

    def get_config(self) -> dict[str, Any]:
        raise TypeError(
            f"{self.name}: expected function to be a setting that JSON can hold, received "
            f"{checks.shown(self.function)}. For a config, write a class derived from "
            "minicnn.losses.Loss with the methods forward and backward"
        )

    def chosen(self, shape: tuple[int, ...], output_shape: tuple[Any, ...]) -> Loss:
        if not _are_labels(shape, output_shape):
            return self
        told = twin(self)
        told.of_labels = True
        return told

    def targets(self, y_true: Any, output_shape: tuple[Any, ...], who: str) -> Array:
        y = checks.numeric(y_true, "y", who)
        if not _are_labels(y.shape, self._outputs(output_shape, who)):
            return super().targets(y, output_shape, who)
        self.check_values(y, output_shape, who)
        return y

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        values = self._values(y_true, y_pred)
        return values.reshape(len(values), -1).mean(axis=1).astype(y_pred.dtype)

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        values = self._values(y_true, y_pred)
        given = self.gradient(y_true, y_pred)
        gradient = checks.numeric(given, "what gradient returns", self.name)
        if gradient.shape != y_pred.shape:
            raise ValueError(
                f"{self.name}: expected gradient to return an array of y_pred's shape "
                f"{y_pred.shape}, received {gradient.shape}"
            )
        of_a_sample = math.prod(values.shape[1:])
        return gradient.astype(y_pred.dtype) / y_pred.dtype.type(of_a_sample)

    def _values(self, y_true: Array, y_pred: Array) -> Array:
        given = self.function(y_true, y_pred)
        values = checks.numeric(given, "what function returns", self.name)
        if values.ndim == 0 or values.shape != y_pred.shape[: values.ndim]:
            raise ValueError(
                f"{self.name}: expected function to return one loss for each sample, or for each "
                f"position, shape {y_pred.shape[:-1]}, received {values.shape}. Take no sum or "
                "mean over the samples"
            )
        return values


def _are_labels(shape: tuple[int, ...], output_shape: tuple[Any, ...]) -> bool:
    """Whether targets of that shape are one for each row of outputs."""
    inner = tuple(output_shape[1:-1])
    return output_shape[-1] != 1 and tuple(shape[1:]) in (inner, (*inner, 1))

"""What all losses share: the class to subclass, weights and reductions, checks of the targets.

A loss gives one number a sample, and the gradient of that number; the training loop takes the mean
over the batch. Shapes: predictions (N, ..., C), with classes or outputs on the last axis. Each of
the N * ... rows is a position with a loss by itself; a sample's loss is the mean of its positions.

Weights and reductions are one thing: a factor on the loss of each sample or each position, before
the mean over all of them is taken. `factors` says which; none in the usual case.

    sum_over_batch_size, mean     weight w                 sum of w * L / number of losses
    sum                           w * number of losses     sum of w * L
    mean_with_sample_weight       w * number / sum of w    sum of w * L / sum of w
    ignored positions             0 there, and the mean is taken over the others
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.copies import Copied, twin
from minicnn.outputs import with_numpy
from minicnn.settings import Configured, Setting
from minicnn.subclasses import of_the_user, refuse_vain_methods

Array = NDArray[Any]

EPSILON = 1e-7  # probabilities that come from elsewhere are clipped to [EPSILON, 1 - EPSILON]

MEANS = ("sum_over_batch_size", "mean")
REDUCTIONS = (*MEANS, "sum", "mean_with_sample_weight", "none", None)

# what a subclass may define, and the names that other libraries have for it
CALLED = ("forward", "backward", "targets", "on_logits")
ELSEWHERE = dict.fromkeys(("call", "__call__"), ("forward", "backward"))


def _reduction(value: Any, name: str, who: str) -> str | None:
    return None if value is None else checks.one_of(value, filter(None, REDUCTIONS), name, who)


class Loss(Copied, Configured):
    """Base class. A loss of your own defines `forward` and `backward`, or see `Function`.

    Parameters
    ----------
    name : str, optional
        Keras's name for it if not given.
    reduction : str or None
        What the losses of a batch become: "sum_over_batch_size" or "mean", their mean; "sum";
        "mean_with_sample_weight", their weighted mean. With "none" or None a call returns them
        all; a model cannot be trained with it.

    Attributes
    ----------
    from_logits : bool or None
        Whether y_pred are logits; None where the question does not arise.
    activation : str
        The activation that makes y_pred of logits. Behind it, `fit` hands the loss the logits.
    joint : bool
        Whether the outputs of a position have one loss together, as the probabilities of classes
        do, and not the mean of one each.
    axis : int
        The axis of these outputs.
    ignore_class : int or None
        The label of positions that do not count.
    of_labels : bool
        Whether y_true holds labels, by which "accuracy" is chosen.
    """

    name = Setting(checks.text, default="loss")
    reduction = Setting(_reduction, default="sum_over_batch_size")
    from_logits: bool | None = None
    activation = "softmax"
    joint = False
    axis: int = -1
    ignore_class: int | None = None
    of_labels = False
    ignored = {"dtype": (None,)}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A user's class gets its forward and backward watched; the package's have their tests."""
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, Loss, CALLED, ELSEWHERE)
        if of_the_user(cls):
            for method in ("forward", "backward"):
                if method in vars(cls):
                    setattr(cls, method, _watched(vars(cls)[method], method))

    def __init__(
        self,
        *,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        **keras: Any,
    ) -> None:
        self._refuse_unknown(keras)
        if name is not None:
            self.name = name
        self.reduction = reduction

    def __repr__(self) -> str:
        usual = self.reduction == "sum_over_batch_size"
        return self._written(without=["reduction"] if usual else [])

    # -- what a loss is ----------------------------------------------------------------------------

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        """Loss of each sample, shape (N,)."""
        raise NotImplementedError(f"{type(self).__name__} has to define forward(y_true, y_pred)")

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        """Gradient of each sample's loss with respect to y_pred, shape of y_pred."""
        raise NotImplementedError(f"{type(self).__name__} has to define backward(y_true, y_pred)")

    def targets(self, y_true: Any, output_shape: tuple[Any, ...], who: str) -> Array:
        """`y_true` checked against a model's output shape (None, ..., C), in the form it is used.

        Raises TypeError or ValueError that names what was expected.
        """
        y, output_shape = checks.numeric(y_true, "y", who), self._outputs(output_shape, who)
        if y.shape[1:] != tuple(output_shape[1:]):
            if (*y.shape[1:], 1) == tuple(output_shape[1:]):
                y = y[..., None]
            else:
                raise ValueError(
                    f"{who}: expected y of shape (N, {', '.join(map(str, output_shape[1:]))}), as "
                    f"the model's output, received {y.shape}"
                )
        self.check_values(y, output_shape, who)
        return y

    def check_values(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        """Raise ValueError unless the numbers in `y` can be targets.

        `fit` asks again for each batch, since the user's array may have changed since.
        """
        checks.finite(y, "y", who)

    def chosen(self, shape: tuple[int, ...], output_shape: tuple[Any, ...]) -> Loss:
        """The loss for targets of that shape and outputs (None, ..., C): this one."""
        return self

    def on_logits(self) -> Loss:
        """The same loss, told that y_pred are logits."""
        told = twin(self)
        told.from_logits = True
        return told

    def on_probabilities(self) -> Loss:
        """The same loss, told that y_pred are probabilities."""
        told = twin(self)
        told.from_logits = False
        return told

    # -- weights and reductions --------------------------------------------------------------------

    @property
    def plain(self) -> bool:
        """Whether a batch without weights costs the mean of its samples' losses."""
        return self.reduction in MEANS and self.ignore_class is None

    def positions(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the losses of predictions of that shape: without the axis of classes."""
        axis = self.axis % len(shape)
        return shape[:axis] + shape[axis + 1 :]

    def factors(self, y_true: Array, shape: tuple[int, ...], weights: Array | None) -> Array | None:
        """The factor on each loss of the batch, before the mean over all losses.

        None for no factor; of shape (N,) for samples, and with as many axes as `positions` for
        these. `shape` is that of y_pred, `weights` are as `checked_weights` returns them.
        """
        positions = self.positions(shape)
        count = math.prod(positions)
        total = None if weights is None else weights.sum()
        if self.ignore_class is not None:
            mask: Array = np.float64(y_true != self.ignore_class)
            if self.reduction in MEANS:
                mask *= count / max(mask.sum(), 1)
            weights = mask if weights is None else _along(weights, positions) * mask
            total = weights.sum()
        if self.reduction == "sum":
            weights = np.float64(count) if weights is None else weights * count
        elif self.reduction == "mean_with_sample_weight" and weights is not None:
            weights = weights * (count / total if total else 0.0)
        if weights is None:
            return None
        factors = np.asarray(weights, np.float64)
        return np.broadcast_to(factors, (shape[0], *factors.shape[1:]))

    def losses(self, y_true: Array, y_pred: Array) -> Array:
        """The loss of each position, as `positions` shapes them."""
        y, rows = self._rows(y_true, y_pred)
        return self.forward(y, rows).reshape(self.positions(y_pred.shape))

    def weighted(self, y_true: Array, y_pred: Array, factors: Array) -> Array:
        """`forward` with these factors."""
        if factors.ndim == 1:
            return self.forward(y_true, y_pred) * factors
        return per_sample(self.losses(y_true, y_pred) * factors)

    def weighted_backward(self, y_true: Array, y_pred: Array, factors: Array) -> Array:
        """`backward` with these factors."""
        factors = factors.astype(y_pred.dtype)
        if factors.ndim == 1:
            return self.backward(y_true, y_pred) * factors.reshape(-1, *[1] * (y_pred.ndim - 1))
        y, rows = self._rows(y_true, y_pred)
        factors = np.broadcast_to(factors, self.positions(y_pred.shape))
        gradient = self.backward(y, rows) * factors.reshape(-1, 1)
        return self._from_rows(gradient, y_pred.shape) / y_pred.dtype.type(factors[0].size)

    def _rows(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Each position as a sample by itself."""
        inner = y_pred.ndim - 1
        if y_true.ndim == y_pred.ndim:
            y_true = self._classes_last(y_true)
        y_pred = self._classes_last(y_pred)
        return y_true.reshape(-1, *y_true.shape[inner:]), y_pred.reshape(-1, y_pred.shape[-1])

    def _classes_last(self, array: Array) -> Array:
        return array if self.axis == -1 else np.moveaxis(array, self.axis, -1)

    def _from_rows(self, rows: Array, shape: tuple[int, ...]) -> Array:
        return self._classes_home(rows.reshape(*self.positions(shape), rows.shape[-1]))

    def _classes_home(self, array: Array) -> Array:
        return array if self.axis == -1 else np.moveaxis(array, -1, self.axis)

    def _outputs(self, output_shape: Any, who: str) -> tuple[Any, ...]:
        """The shape of a model's outputs, (None, ..., C), which `axis` has to fit."""
        shape = checked_outputs(output_shape, who)
        if not -len(shape) < self.axis < len(shape) or self.axis == 0:
            raise ValueError(
                f"{who}: expected axis of {self.name} to be one of an output of shape {shape}, and "
                f"not that of the samples, received {self.axis}"
            )
        return shape

    def checked_weights(
        self, given: Any, shape: tuple[int, ...], who: str, *, or_one: bool = True
    ) -> Array:
        """Weights for predictions of that shape, of samples (N,) or of positions; or one of all.

        Raises TypeError or ValueError where they do not fit.
        """
        weights = checks.numeric(given, "sample_weight", who)
        n, positions = shape[0], self.positions(shape)
        if weights.ndim == len(positions) + 1 and weights.shape[-1] == 1:
            weights = weights[..., 0]
        for_samples = weights.shape == (n,) or (or_one and weights.size == 1)
        for_positions = weights.ndim == len(positions) and all(
            size in (1, most) for size, most in zip(weights.shape, positions)
        )
        if not for_samples and not for_positions:
            inner = f", or {positions} for each position" if len(positions) > 1 else ""
            words = f"of shape ({n},)"
            if or_one:
                words = f"to be a number or {words} or ({n}, 1)"
            raise ValueError(
                f"{who}: expected sample_weight {words}{inner}, received {weights.shape}"
            )
        checks.not_negative(weights, "sample_weight", who)
        weights = weights.astype(np.float64)
        return weights.reshape(-1) if for_samples else weights

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The losses of these samples, times their weights where given, reduced to one number.

        Parameters
        ----------
        y_true, y_pred : array
            One-dimensional ones are N samples with one output each, whose weights count by their
            mean; of a loss that is `joint`, they are one sample.
        sample_weight : float or array of shape (N,), (N, 1) or the shape of y_pred less its last
            axis, then one factor for each position in a sample. A mean is divided by the number of
            samples or positions, whatever they weigh; see `reduction`.

        Returns
        -------
        float
            With `reduction` "none" or None, an array with the loss of each position; (N, 1) where
            the weights are. Both have Keras's `numpy()`.

        Raises
        ------
        TypeError, ValueError
            Where targets, predictions and weights do not fit.
        """
        return with_numpy(self._reduced(y_true, y_pred, sample_weight))

    def _reduced(self, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
        who = type(self).__name__
        y, predicted = checks.numeric(y_true, "y_true", who), checks.numeric(y_pred, "y_pred", who)
        y, predicted = (np.asarray(one, order="C") for one in (y, predicted))  # sums by one order
        if predicted.dtype.kind != "f":
            predicted = predicted.astype(np.float64)
        if predicted.ndim < 1 or 0 in predicted.shape:
            raise ValueError(
                f"{who}: expected y_pred of shape (N, ..., C), received {predicted.shape}"
            )
        joint = self.joint or (self.from_logits is not None and self.activation == "softmax")
        if predicted.ndim == y.ndim == 1 and not joint:
            return self._of_vectors(y[:, None], predicted[:, None], sample_weight, who)
        if predicted.ndim == 1 and not joint:
            predicted = predicted[:, None]
        elif predicted.ndim == 1:
            y, predicted = y[None], predicted[None]
        elif y.ndim == 0:
            raise ValueError(f"{who}: expected y_true to be an array of samples, received {y}")
        y = self.targets(y, predicted.shape, who)
        checks.same_length({"y_true": y, "y_pred": predicted}, who)
        weights = None
        if sample_weight is not None:
            weights = self.checked_weights(sample_weight, predicted.shape, who)
        if self.reduction in (None, "none"):
            losses = self.losses(y, predicted)
            if weights is None:
                return losses
            losses = losses * _along(weights, losses.shape)
            column = losses.ndim == 1 and np.ndim(sample_weight) == 2  # as the weights are
            return losses[:, None] if column else losses
        factors = self.factors(y, predicted.shape, weights)
        if factors is None:
            return float(self.forward(y, predicted).astype(np.float64).mean())
        return float(self.weighted(y, predicted, factors).astype(np.float64).mean())

    def _of_vectors(self, y: Array, y_pred: Array, sample_weight: Any, who: str) -> Any:
        """The one loss of two vectors, which several weights may multiply, as in Keras."""
        y = self.targets(y, y_pred.shape, who)
        checks.same_length({"y_true": y, "y_pred": y_pred}, who)
        value = self.forward(y, y_pred).astype(np.float64).mean()
        if sample_weight is None:
            return value if self.reduction in (None, "none") else float(value)
        weights = self.checked_weights(sample_weight, y_pred.shape, who)
        if self.reduction in (None, "none"):
            return value * weights
        total = weights.sum()
        divisor = {"sum": 1.0, "mean_with_sample_weight": total}.get(
            self.reduction or "", weights.size
        )
        return float(value * total / divisor) if divisor else 0.0


def _along(weights: Array, positions: tuple[int, ...]) -> Array:
    """Weights of samples with as many axes as the positions."""
    missing = len(positions) - weights.ndim
    return weights.reshape(*weights.shape, *[1] * missing)


def checked_outputs(output_shape: Any, who: str) -> tuple[Any, ...]:
    """The shape of a model's outputs, (None, ..., C)."""
    shape = checks.batch_shape(output_shape, "output_shape", who)
    if len(shape) < 2:
        raise ValueError(f"{who}: expected output_shape to be (None, ..., C), received {shape}")
    return shape


def _watched(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A user's `forward` or `backward`, with an error if it returns another shape than it has to.

    A loss that is one number for the batch would be taken for that of each sample.
    """

    @functools.wraps(function)
    def watched(self: Loss, y_true: Array, y_pred: Array) -> Any:
        values = function(self, y_true, y_pred)
        shape, what = y_pred.shape, "the gradient, of y_pred's shape"
        if method == "forward":
            shape, what = shape[:1], "the loss of each sample, shape"
        if getattr(values, "shape", None) != shape:
            received = f"shape {np.shape(values)}" if values is not None else "None"
            raise ValueError(
                f"{type(self).__name__}: expected {method} to return {what} {shape}, received "
                f"{received}. Take no sum or mean over the samples, and return the result"
            )
        return values

    return watched


# -- for the formulas ------------------------------------------------------------------------------


def per_sample(values: Array) -> Array:
    """Mean over all axes but the first."""
    return values if values.ndim == 1 else values.reshape(len(values), -1).mean(axis=1)


def per_row(gradient: Array) -> Array:
    """The gradient of the mean over a sample's rows, from that of each row."""
    rows = gradient.size // (len(gradient) * gradient.shape[-1])
    return gradient / rows if rows > 1 else gradient


def per_cell(gradient: Array) -> Array:
    """The gradient of the mean over a sample's numbers, from that of each number."""
    mean: Array = gradient / gradient.dtype.type(gradient.size // len(gradient))
    return mean

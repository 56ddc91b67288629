"""Losses of classes that exclude each other: cross-entropy, with labels or with distributions.

Softmax and cross-entropy belong together. With logits z, probabilities p = softmax(z) and a target
distribution t,

    L = -sum over q of t_q log p_q = logsumexp(z) - sum over q of t_q z_q        dL/dz = p - t

which is exact for logits of any size. Computed from the finished probabilities instead, log p needs
a clip to stay finite, and the clip's gradient is zero: samples that are most wrong teach nothing.
So `Sequential.fit` hands a loss the logits wherever a model ends in softmax.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.losses.base import EPSILON, Loss, per_row, per_sample
from minicnn.settings import Setting

Array = NDArray[Any]

SHARE = partial(checks.real, low=0, high=1)


def axis_of_classes(value: Any, name: str, who: str) -> int:
    return checks.integer(value, name, who, minimum=-checks.MOST_AXES, maximum=checks.MOST_AXES)


def _label(value: Any, name: str, who: str) -> int | None:
    """A label, which may be one that no class has, such as -1 or 255."""
    if value is None:
        return None
    return checks.integer(value, name, who, minimum=-(2**63), maximum=2**63 - 1)


def log_softmax(z: Array) -> Array:
    """log softmax(z) along the last axis; the row's maximum is taken out, so exp stays finite."""
    shifted = z - z.max(axis=-1, keepdims=True)
    log_p: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_p


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy with whole-number labels.

    Shapes
        y_true   (N, ...) or (N, ..., 1): classes 0 to C-1, of any integer or integral float type
        y_pred   (N, ..., C): probabilities, or logits with from_logits=True

    Forward, with k the label
        logits          L = logsumexp(z) - z_k
        probabilities   L = log(sum of p) - log p_k,   p = y_pred clipped to [1e-7, 1 - 1e-7]

    Backward
        logits          dL/dz_q = softmax(z)_q - [q = k]
        probabilities   dL/dy_q = 1/(sum of p) - [q = k] / p_k,   0 where the clip acts on y_q

    Why: the loss only sees the probability of the right class. Raising any other logit takes
    probability from it, in proportion to what that other class already has.

    Positions whose label is `ignore_class` cost nothing, and the mean is taken over the others.

    Examples
    --------
    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> z = np.array([[0.0, 0.0], [0.0, 10000.0]])
    >>> loss.forward(np.array([0, 0]), z)
    array([6.93147181e-01, 1.00000000e+04])
    >>> loss.backward(np.array([0, 0]), z)
    array([[-0.5,  0.5],
           [-1. ,  1. ]])
    """

    name = "sparse_categorical_crossentropy"
    joint = True
    of_labels = True
    from_logits = Setting(checks.boolean)
    ignore_class = Setting(_label)
    axis = Setting(axis_of_classes)

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def targets(self, y_true: Any, output_shape: tuple[Any, ...], who: str) -> Array:
        y, output_shape = checks.numeric(y_true, "y", who), self._outputs(output_shape, who)
        axis = self.axis % len(output_shape)
        inner, classes = self.positions(output_shape)[1:], output_shape[axis]
        if y.ndim == len(inner) + 2 and y.shape[axis] == 1:
            y = y.squeeze(axis)
        elif y.ndim == len(inner) + 2 and y.shape[-1] == 1:
            y = y[..., 0]
        if y.shape[1:] != inner:
            fix = (
                "For one-hot rows use loss='categorical_crossentropy', or y.argmax(axis=-1)"
                if y.shape[1:] == (*inner, classes)
                else "Give one whole-number label for each prediction"
            )
            shape = f"({', '.join(['N', *map(str, inner)])}{'' if inner else ','})"
            raise ValueError(
                f"{who}: expected y of shape {shape} for "
                f"sparse_categorical_crossentropy, received {y.shape}. {fix}"
            )
        self.check_values(y, output_shape, who)
        return y.astype(np.int64) if y.dtype.kind == "f" else y

    def check_values(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        checks.finite(y, "y", who)
        classes = output_shape[self.axis]
        if self.ignore_class is not None:
            y = y[y != self.ignore_class]
        if y.dtype.kind == "f" and (fractional := y != np.floor(y)).any():
            raise ValueError(
                f"{who}: expected y to hold labels, whole numbers, received {y[fractional][0]}"
            )
        if y.size and (y.min() < 0 or y.max() >= classes):
            wrong = y.min() if y.min() < 0 else y.max()
            raise ValueError(
                f"{who}: expected y to hold labels from 0 to {classes - 1}, since the model has "
                f"{classes} outputs, received {wrong}"
            )

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        y_pred, label = self._classes_last(y_pred), self._labels(y_true)
        if self.from_logits:
            losses = -np.take_along_axis(log_softmax(y_pred), label, -1)
        else:
            p = np.clip(y_pred, EPSILON, 1 - EPSILON)
            losses = np.log(p.sum(axis=-1, keepdims=True)) - np.log(
                np.take_along_axis(p, label, -1)
            )
        return per_sample(self._counted(losses, y_true)[..., 0])

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        y_pred = self._classes_last(y_pred)
        one_hot = np.zeros_like(y_pred)
        np.put_along_axis(one_hot, self._labels(y_true), 1, -1)
        if self.from_logits:
            gradient = np.exp(log_softmax(y_pred)) - one_hot
        else:
            p = np.clip(y_pred, EPSILON, 1 - EPSILON)
            gradient = (1 / p.sum(axis=-1, keepdims=True) - one_hot / p) * (p == y_pred)
        return self._classes_home(per_row(self._counted(gradient, y_true)))

    def _labels(self, y_true: Array) -> Array:
        """Labels as indices of the last axis; 0 for those that are ignored."""
        if self.ignore_class is not None:
            y_true = np.where(y_true == self.ignore_class, 0, y_true)
        return y_true[..., None].astype(np.intp)

    def _counted(self, values: Array, y_true: Array) -> Array:
        """`values`, with 0 at the positions that are ignored."""
        if self.ignore_class is None:
            return values
        return np.where((y_true == self.ignore_class)[..., None], values.dtype.type(0), values)


class _OfDistributions(Loss):
    """Losses whose targets are one-hot rows, or any distribution over the classes."""

    joint = True
    from_logits = Setting(checks.boolean)
    label_smoothing = Setting(SHARE)
    axis = Setting(axis_of_classes)

    def targets(self, y_true: Any, output_shape: tuple[Any, ...], who: str) -> Array:
        y, output_shape = checks.numeric(y_true, "y", who), self._outputs(output_shape, who)
        if y.shape[1:] != tuple(output_shape[1:]):
            classes = output_shape[self.axis]
            fix = (
                "For whole-number labels use loss='sparse_categorical_crossentropy', or "
                f"minicnn.utils.to_categorical(y, {classes})"
                if y.ndim < len(output_shape) or y.shape[-1] == 1
                else f"Give one-hot rows of {classes} classes"
            )
            raise ValueError(
                f"{who}: expected y of shape (N, {', '.join(map(str, output_shape[1:]))}) for "
                f"{self.name}, received {y.shape}. {fix}"
            )
        self.check_values(y, output_shape, who)
        return y

    def check_values(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        checks.finite(y, "y", who)
        if y.size and y.min() < 0:
            raise ValueError(
                f"{who}: expected y to hold probabilities, received {y.min()}. "
                "Give one-hot rows: minicnn.utils.to_categorical(labels)"
            )

    def _target(self, y_true: Array, y_pred: Array) -> Array:
        """t, smoothed, with the classes on the last axis."""
        target = self._classes_last(y_true).astype(y_pred.dtype)
        if self.label_smoothing:
            even = self.label_smoothing / target.shape[-1]
            target = target * target.dtype.type(1 - self.label_smoothing) + target.dtype.type(even)
        return target


class CategoricalCrossentropy(_OfDistributions):
    """Cross-entropy with one-hot targets, or any distribution over the classes.

    Shapes
        y_true   (N, ..., C): rows that sum to 1
        y_pred   (N, ..., C): probabilities, or logits with from_logits=True

    Forward, with t = y_true (1 - label_smoothing) + label_smoothing / C
        logits          L = -sum over q of t_q log softmax(z)_q
        probabilities   L = -sum over q of t_q log p_q,   p = y_pred / its sum, then clipped to
                        [1e-7, 1 - 1e-7]

    Backward
        logits          dL/dz = softmax(z) * (sum of t) - t
        probabilities   dL/dy_q = (sum of t - t_q / p_q) / (sum of y), t_q = 0 where the clip acts

    Why: as in SparseCategoricalCrossentropy, of which this is the mean under the distribution t.
    Smoothing takes some certainty from the targets, so that no logit has to grow for ever; source:
    https://arxiv.org/abs/1512.00567.

    Examples
    --------
    >>> loss = CategoricalCrossentropy()
    >>> round(loss(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])), 4)    # log 2
    0.6931
    """

    name = "categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        target, y_pred = self._target(y_true, y_pred), self._classes_last(y_pred)
        if self.from_logits:
            log_p = log_softmax(y_pred)
        else:
            p = y_pred / y_pred.sum(axis=-1, keepdims=True)
            log_p = np.log(np.clip(p, EPSILON, 1 - EPSILON))
        return per_sample(-(target * log_p).sum(axis=-1))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        target, y_pred = self._target(y_true, y_pred), self._classes_last(y_pred)
        if self.from_logits:
            gradient = np.exp(log_softmax(y_pred)) * target.sum(axis=-1, keepdims=True) - target
        else:
            total = y_pred.sum(axis=-1, keepdims=True)
            p = y_pred / total
            inside = (p >= EPSILON) & (p <= 1 - EPSILON)  # elsewhere the clip is flat
            ratio = np.divide(target, p, out=np.zeros_like(p), where=inside)
            gradient = ((target * inside).sum(axis=-1, keepdims=True) - ratio) / total
        return self._classes_home(per_row(gradient))


def _factor(value: Any, name: str, who: str) -> float | list[float]:
    """One factor, or one for each class."""
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        items = checks.listed(value, name, who)
        if not items:
            raise ValueError(f"{who}: expected {name} to be at least one number, received none")
        return [checks.real(one, f"each of {name}", who, low=0) for one in items]
    return checks.real(value, name, who, low=0)


class CategoricalFocalCrossentropy(_OfDistributions):
    """Cross-entropy that cares less for samples that are right already.

    Shapes
        as CategoricalCrossentropy; alpha is one number, or one for each class

    Forward
        L = sum over q of -alpha_q t_q (1 - p_q)^gamma log p_q,   p as in CategoricalCrossentropy

    Backward, with g_q = alpha_q t_q (gamma p_q (1 - p_q)^(gamma - 1) log p_q - (1 - p_q)^gamma),
    which is p_q dL/dp_q
        logits          dL/dz = g - p (sum of g)
        probabilities   dL/dy = (g / p - sum of g) / (sum of y),   g_q = 0 where the clip acts

    Why: the product rule on the two factors that depend on p_q, then softmax's own gradient, or
    that of dividing by the sum. Source: https://arxiv.org/abs/1708.02002. From logits no p is
    clipped, as in CategoricalCrossentropy; Keras clips here.

    Examples
    --------
    >>> y, p = np.array([[0.0, 1.0]]), np.array([[0.2, 0.8]])
    >>> round(CategoricalFocalCrossentropy()(y, p), 6)       # -0.25 * 0.2^2 * log 0.8
    0.002231
    """

    name = "categorical_focal_crossentropy"
    alpha = Setting(_factor)
    gamma = Setting(partial(checks.real, low=0))

    def __init__(
        self,
        alpha: float | list[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def _outputs(self, output_shape: Any, who: str) -> tuple[Any, ...]:
        shape = super()._outputs(output_shape, who)
        if isinstance(self.alpha, list) and len(self.alpha) != shape[self.axis]:
            raise ValueError(
                f"{who}: expected alpha of {self.name} to be one number or {shape[self.axis]}, one "
                f"for each class, received {len(self.alpha)}"
            )
        return shape

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        target, y_pred = self._target(y_true, y_pred), self._classes_last(y_pred)
        if self.from_logits:
            log_p = log_softmax(y_pred)
        else:
            p = y_pred / y_pred.sum(axis=-1, keepdims=True)
            log_p = np.log(np.clip(p, EPSILON, 1 - EPSILON))
        alpha = np.asarray(self.alpha, y_pred.dtype)
        return per_sample((-alpha * target * (-np.expm1(log_p)) ** self.gamma * log_p).sum(axis=-1))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        target, y_pred = self._target(y_true, y_pred), self._classes_last(y_pred)
        if self.from_logits:
            log_p = log_softmax(y_pred)
            p, inside, total = np.exp(log_p), True, None
        else:
            total = y_pred.sum(axis=-1, keepdims=True)
            p = y_pred / total
            inside = (p >= EPSILON) & (p <= 1 - EPSILON)
            p = np.clip(p, EPSILON, 1 - EPSILON)
            log_p = np.log(p)
        left = np.maximum(-np.expm1(log_p), np.finfo(p.dtype).tiny)  # 1 - p; gamma may be below 1
        slope = self.gamma * left ** (self.gamma - 1) * p * log_p - left**self.gamma
        g = np.asarray(self.alpha, p.dtype) * target * slope * inside
        of_all = g.sum(axis=-1, keepdims=True)
        gradient = g - p * of_all if total is None else (g / p - of_all) / total
        return self._classes_home(per_row(gradient))

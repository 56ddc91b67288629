"""Losses of yes or no: each output is a probability by itself, or the logit of one.

Sigmoid and binary cross-entropy belong together as softmax and cross-entropy do. With a logit z, a
probability p = sigmoid(z) and a target t,

    L = -t log p - (1 - t) log(1 - p) = max(z, 0) - z t + log(1 + exp(-|z|))        dL/dz = p - t

which is exact for logits of any size, so `Sequential.fit` hands these losses the logits wherever a
model ends in sigmoid.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.losses.base import EPSILON, Loss, per_cell, per_sample
from minicnn.losses.crossentropy import SHARE, axis_of_classes
from minicnn.settings import Setting

Array = NDArray[Any]

SLACK = 1e-5  # by which targets may leave [0, 1]: pixels that were resized in float32 do


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), by the exponential that cannot overflow."""
    e = np.exp(-np.abs(z))
    p: Array = np.where(z >= 0, 1, e) / (1 + e)
    return p


class _YesOrNo(Loss):
    """Losses whose targets are 0 or 1, or lie between."""

    activation = "sigmoid"
    from_logits = Setting(checks.boolean)
    label_smoothing = Setting(SHARE)
    axis = Setting(axis_of_classes)

    def check_values(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        checks.finite(y, "y", who)
        if y.size and not (y.min() >= -SLACK and y.max() <= 1 + SLACK):
            wrong = y.min() if y.min() < -SLACK else y.max()
            raise ValueError(
                f"{who}: expected y to hold numbers from 0 to 1 for {self.name}, received {wrong}. "
                "Give labels 0 and 1, such as (y > 0).astype(int), or pixels as x / 255"
            )

    def _target(self, y_true: Array, y_pred: Array) -> Array:
        """t, smoothed."""
        target = y_true.astype(y_pred.dtype)
        if self.label_smoothing:
            s = target.dtype.type(self.label_smoothing)
            target = target * (1 - s) + s / 2
        return target


def _crossentropy(z: Array, t: Array) -> Array:
    return np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))


class BinaryCrossentropy(_YesOrNo):
    """Cross-entropy of each output by itself.

    Shapes
        y_true   (N, ..., C): 0 or 1, or any probability; (N, ...) where C is 1
        y_pred   (N, ..., C): probabilities, or logits with from_logits=True

    Forward, with t = y_true (1 - label_smoothing) + label_smoothing / 2
        logits          L = mean of max(z, 0) - z t + log(1 + exp(-|z|))
        probabilities   L = mean of -t log p - (1 - t) log(1 - p),   p = y_pred clipped to
                        [1e-7, 1 - 1e-7]

    Backward, divided by the numbers in a sample
        logits          dL/dz = sigmoid(z) - t
        probabilities   dL/dp = (1 - t) / (1 - p) - t / p,   0 where the clip acts

    Why: behind a sigmoid, whose slope is p (1 - p), the second gradient becomes the first.

    Examples
    --------
    >>> loss = BinaryCrossentropy(from_logits=True)
    >>> z, t = np.array([[0.0], [1000.0]]), np.array([[1], [0]])
    >>> loss.forward(t, z)                                    # log 2, and no overflow
    array([6.93147181e-01, 1.00000000e+03])
    >>> loss.backward(t, z)
    array([[-0.5],
           [ 1. ]])
    """

    name = "binary_crossentropy"

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
        t = self._target(y_true, y_pred)
        if self.from_logits:
            return per_sample(_crossentropy(y_pred, t))
        p = np.clip(y_pred, EPSILON, 1 - EPSILON)
        return per_sample(-t * np.log(p) - (1 - t) * np.log(1 - p))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        t = self._target(y_true, y_pred)
        if self.from_logits:
            return per_cell(sigmoid(y_pred) - t)
        p = np.clip(y_pred, EPSILON, 1 - EPSILON)
        return per_cell(((1 - t) / (1 - p) - t / p) * (p == y_pred))


class BinaryFocalCrossentropy(_YesOrNo):
    """Binary cross-entropy that cares less for what is right already.

    Shapes
        as BinaryCrossentropy

    Forward, with r = t p + (1 - t) (1 - p), how right p is, and CE as in BinaryCrossentropy
        L = mean of w (1 - r)^gamma CE,   w = alpha t + (1 - alpha) (1 - t), or 1 without
            apply_class_balancing

    Backward, divided by the numbers in a sample
        dL/dp = w ((1 - r)^gamma dCE/dp + gamma (1 - r)^(gamma - 1) (1 - 2 t) CE)
        dL/dz = w ((1 - r)^gamma (p - t) + gamma (1 - r)^(gamma - 1) (1 - 2 t) p (1 - p) CE)

    Why: the product rule; 1 - r falls with the slope 2 t - 1 as p grows. Source:
    https://arxiv.org/abs/1708.02002.

    Examples
    --------
    >>> y, p = np.array([[1.0], [0.0]]), np.array([[0.9], [0.9]])
    >>> [round(v, 4) for v in BinaryFocalCrossentropy().forward(y, p).tolist()]
    [0.0011, 1.8651]
    """

    name = "binary_focal_crossentropy"
    apply_class_balancing = Setting(checks.boolean)
    alpha = Setting(SHARE)
    gamma = Setting(partial(checks.real, low=0))

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def _parts(self, t: Array, y_pred: Array) -> tuple[Array, Array, Array, Array]:
        """p, 1 - r, the weights w, and CE."""
        if self.from_logits:
            p, not_p = sigmoid(y_pred), sigmoid(-y_pred)
            ce = _crossentropy(y_pred, t)
        else:
            p, not_p = y_pred, 1 - y_pred
            clipped = np.clip(y_pred, EPSILON, 1 - EPSILON)
            ce = -t * np.log(clipped) - (1 - t) * np.log(1 - clipped)
        wrong = t * not_p + (1 - t) * p
        alpha = t.dtype.type(self.alpha)
        w = t * alpha + (1 - t) * (1 - alpha) if self.apply_class_balancing else np.ones_like(t)
        return p, wrong, w, ce

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        _, wrong, w, ce = self._parts(self._target(y_true, y_pred), y_pred)
        return per_sample(w * wrong**self.gamma * ce)

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        t = self._target(y_true, y_pred)
        p, wrong, w, ce = self._parts(t, y_pred)
        if self.from_logits:
            of_ce, of_p = p - t, p * sigmoid(-y_pred)
        else:
            clipped = np.clip(p, EPSILON, 1 - EPSILON)
            of_ce = ((1 - t) / (1 - clipped) - t / clipped) * (clipped == p)
            of_p = np.ones_like(p)
        least = np.finfo(p.dtype).tiny  # gamma may be below 1, and then the power negative
        slope = self.gamma * np.maximum(wrong, least) ** (self.gamma - 1) * (1 - 2 * t) * of_p
        return per_cell(w * (wrong**self.gamma * of_ce + slope * ce))

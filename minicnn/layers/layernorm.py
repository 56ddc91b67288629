"""LayerNormalization and RMSNormalization: each sample at one scale, whatever the others are."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.base import Array, Layer, Shape, checked_shape
from minicnn.layers.normalizing import (
    NormalizingLayer,
    axes_of,
    axes_setting,
    centered,
    expect_samples,
    expect_sizes,
    mean,
    only,
    standardized_backward,
)
from minicnn.settings import Setting


class LayerNormalization(NormalizingLayer):
    """Each sample's numbers at mean 0 and variance 1 along some axes.

    Shapes
        x, y          (N, ..., C)
        gamma, beta   the sizes of the axes: (C,), or (H, W, C) for axis=[1, 2, 3]

    Forward, in training and inference alike
        mean = mean of x over the axes        var = mean of (x - mean)^2 over the axes
        x_hat = (x - mean) / sqrt(var + epsilon)
        y = gamma * x_hat + beta

    Backward
        dbeta = sum of dy        dgamma = sum of dy * x_hat, over all other axes
        dx_hat = gamma * dy
        dx = (dx_hat - mean of dx_hat - x_hat * mean of dx_hat * x_hat) / sqrt(var + epsilon)

    Why: as in batch normalization, with the axes of a sample in place of those of the batch. So
    one sample does not depend on the others, nothing has to be remembered for inference, and a
    batch of one is as good as any.

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.

    Parameters
    ----------
    axis : int or list of int
        Counted from the batch's, 0, which cannot be among them, or back from the last one, -1.
    epsilon : float > 0
        Added to the variance.
    center, scale : bool
        Whether there are beta and gamma.
    beta_initializer, gamma_initializer : str, Initializer, or array of the parameter's values
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        A penalty on beta or gamma that is added to the loss.
    beta_constraint, gamma_constraint : str, Constraint or function, optional
        What beta or gamma is held to after each step.

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these.

    Examples
    --------
    >>> layer = LayerNormalization(epsilon=1e-12)
    >>> layer.forward(np.array([[1.0, 3.0], [10.0, 30.0]]))
    array([[-1.,  1.],
           [-1.,  1.]])
    >>> abs(layer.backward(np.array([[5.0, 7.0], [0.0, 1.0]]))).round(6)    # of two numbers alike
    array([[0., 0.],
           [0., 0.]])
    >>> layer.grads["gamma"], layer.grads["beta"]
    (array([-5.,  8.]), array([5., 8.]))
    """

    ignored = {"rms_scaling": (False,)}

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        axes = self.axes_in(x.shape)
        along = only(axes, x.shape)
        d, _, var = centered(x, axes)
        inverse = (1 / np.sqrt(var + self.epsilon)).astype(x.dtype)
        x_hat = d * inverse
        self._cache = x_hat, inverse, along, axes
        return self._scaled_and_shifted(x_hat, along)

    def backward(self, dy: Array) -> Array:
        dy, (x_hat, inverse, along, axes) = self._recall(dy)
        dx_hat = self._scaled_backward(dy, x_hat, along)
        return standardized_backward(dx_hat, x_hat, inverse, axes)


class RMSNormalization(Layer):
    """Each sample divided by its root mean square along some axes.

    Shapes
        x, y    (N, ..., C)
        scale   the sizes of the axes: (C,), or (H, W, C) for axis=[1, 2, 3]

    Forward
        x_hat = x / sqrt(mean of x^2 over the axes + epsilon)
        y = scale * x_hat

    Backward
        dscale = sum of dy * x_hat, over all other axes        dx_hat = scale * dy
        dx = (dx_hat - x_hat * mean of dx_hat * x_hat) / sqrt(mean of x^2 + epsilon)

    Why: layer normalization without its mean. Stretching x cannot change y, so that direction is
    taken out of the gradient; a change of all x alike does change it.

    Source: Zhang and Sennrich, "Root mean square layer normalization", 2019.

    Parameters
    ----------
    axis : int or list of int
        Counted from the batch's, 0, which cannot be among them, or back from the last one, -1.
    epsilon : float > 0
        Added to the mean of the squares.

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these.

    Examples
    --------
    >>> layer = RMSNormalization(epsilon=1e-12)
    >>> layer.forward(np.array([[1.0, 7.0]]))      # by the root of (1 + 49) / 2
    array([[0.2, 1.4]])
    >>> layer.backward(np.array([[1.0, 0.0]])).round(6)
    array([[ 0.196, -0.028]])
    """

    axis: Any = Setting(axes_setting, fixed=True)
    epsilon = Setting(partial(checks.real, low=0, open_low=True))

    def __init__(self, axis: int | list[int] = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))
        axes = axes_of(self.axis, input_shape, self.who)
        self.add_param("scale", tuple(input_shape[k] for k in axes), "ones")
        super().build(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        expect_samples(input_shape, self.who)
        sizes = tuple(input_shape[k] for k in axes_of(self.axis, input_shape, self.who))
        if self.built:
            expect_sizes(self.params["scale"].shape, sizes, self.axis, input_shape, self.who)
        return tuple(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        axes = axes_of(self.axis, x.shape, self.who)
        square = mean(np.square(x), axes)
        inverse = (1 / np.sqrt(square + self.epsilon)).astype(x.dtype)
        x_hat = x * inverse
        self._cache = x_hat, inverse, axes
        return x_hat * self.params["scale"].reshape(only(axes, x.shape))

    def backward(self, dy: Array) -> Array:
        dy, (x_hat, inverse, axes) = self._recall(dy)
        others = tuple(k for k in range(dy.ndim) if k not in axes)
        self.grads["scale"][...] = np.sum(dy * x_hat, axis=others, dtype=np.float64)
        dx_hat = dy * self.params["scale"].reshape(only(axes, dy.shape))
        return inverse * (dx_hat - x_hat * mean(dx_hat * x_hat, axes).astype(dy.dtype))

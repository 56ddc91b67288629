"""GroupNormalization: each sample at one scale, some channels at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.base import Array, Shape
from minicnn.layers.normalizing import (
    AXIS,
    NormalizingLayer,
    centered,
    only,
    standardized_backward,
)
from minicnn.settings import Setting


def _groups(value: Any, name: str, who: str) -> int:
    """A number of groups, or -1."""
    if checks.integer(value, name, who, minimum=-1, maximum=checks.LARGEST_SIZE) == 0:
        raise ValueError(
            f"{who}: expected {name} to be at least 1, or -1 for each channel by itself, received 0"
        )
    return int(value)


class GroupNormalization(NormalizingLayer):
    """Each sample's numbers at mean 0 and variance 1, one group of channels at a time.

    Shapes
        x, y          (N, ..., C), the channels on another axis, too
        gamma, beta   (C,)

    Forward, in training and inference alike; x is seen as (N, ..., groups, C / groups)
        mean = mean of x, var = mean of (x - mean)^2, over all axes but the batch's and the groups'
        x_hat = (x - mean) / sqrt(var + epsilon)
        y = gamma * x_hat + beta, gamma and beta of each channel

    Backward
        dbeta = sum of dy        dgamma = sum of dy * x_hat, over all axes but the channels'
        dx_hat = gamma * dy
        dx = (dx_hat - mean of dx_hat - x_hat * mean of dx_hat * x_hat) / sqrt(var + epsilon)

    Why: between layer normalization (one group) and instance normalization (a group for each
    channel). What batch normalization takes from many samples is here taken from one sample's many
    cells, so it does not suffer from small batches.

    Source: Wu and He, "Group normalization", 2018; instance normalization: Ulyanov, Vedaldi and
    Lempitsky, "Instance normalization: the missing ingredient for fast stylization", 2016.

    Parameters
    ----------
    groups : int
        Into how many groups the channels are divided, evenly; -1 for each channel by itself.
    axis : int
        The channels' axis, counted from the batch's, 0, or back from the last one, -1.
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
        For arguments or inputs outside these, and for channels that groups does not divide.

    Examples
    --------
    >>> layer = GroupNormalization(2, epsilon=1e-12)
    >>> layer.forward(np.array([[1.0, 3.0, 10.0, 30.0]]))
    array([[-1.,  1., -1.,  1.]])
    >>> abs(layer.backward(np.array([[5.0, 7.0, 0.0, 1.0]]))).round(6)    # of two numbers alike
    array([[0., 0., 0., 0.]])
    >>> layer.grads["gamma"]
    array([-5.,  7.,  0.,  1.])
    """

    one_kind_of_input = True
    groups = Setting(_groups, fixed=True)
    axis: Any = Setting(AXIS, fixed=True)

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            axis,
            epsilon,
            center,
            scale,
            beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            **kwargs,
        )
        self.groups = groups

    def output_shape(self, input_shape: Shape) -> Shape:
        y_shape = super().output_shape(input_shape)
        C = input_shape[self.axes_in(input_shape)[0]]
        if C % self.groups_of(C):
            raise ValueError(
                f"{self.who}: expected the {C} channels on axis {self.axis} to be evenly divisible "
                f"by groups, received groups={self.groups} and input of shape "
                f"{tuple(input_shape)}. groups=-1 takes each channel by itself"
            )
        return y_shape

    def groups_of(self, C: int) -> int:
        """The number of groups that C channels are in."""
        return C if self.groups == -1 else self.groups

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        (axis,) = self.axes_in(x.shape)
        along = only((axis,), x.shape)
        groups = self.groups_of(x.shape[axis])
        apart = (*x.shape[:axis], groups, -1, *x.shape[axis + 1 :])  # the shape in groups
        d, _, var = centered(x.reshape(apart), tuple(k for k in range(1, x.ndim + 1) if k != axis))
        inverse = (1 / np.sqrt(var + self.epsilon)).astype(x.dtype)
        x_hat = d * inverse
        self._cache = x_hat, inverse, along, axis
        return self._scaled_and_shifted(x_hat.reshape(x.shape), along)

    def backward(self, dy: Array) -> Array:
        dy, (x_hat, inverse, along, axis) = self._recall(dy)
        dx_hat = self._scaled_backward(dy, x_hat.reshape(dy.shape), along).reshape(x_hat.shape)
        axes = tuple(k for k in range(1, x_hat.ndim) if k != axis)
        return standardized_backward(dx_hat, x_hat, inverse, axes).reshape(dy.shape)

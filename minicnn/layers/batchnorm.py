"""BatchNormalization: every channel at mean 0 and variance 1, then scaled and shifted again."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, initializers
from minicnn.layers.base import Array
from minicnn.layers.normalizing import (
    NormalizingLayer,
    centered,
    only,
    standardized_backward,
)
from minicnn.settings import Setting


class BatchNormalization(NormalizingLayer):
    """Batch normalization of each channel.

    Shapes
        x, y                                        (N, ..., C), the channels on another axis, too
        gamma, beta, moving_mean, moving_variance   (C,)

    Forward, with m the numbers of a channel in the batch (N, or N*H*W for images)
        mean = sum of x / m        var = sum of (x - mean)^2 / m        (training)
        mean, var = moving_mean, moving_variance                        (otherwise)
        x_hat = (x - mean) / sqrt(var + epsilon)
        y = gamma * x_hat + beta
        training also moves: moving = momentum * moving + (1 - momentum) * (mean or var)

    Backward
        dbeta = sum of dy        dgamma = sum of dy * x_hat        dx_hat = gamma * dy
        dx = (dx_hat - mean of dx_hat - x_hat * mean of dx_hat * x_hat) / sqrt(var + epsilon)
                                                                                   (training)
        dx = dx_hat / sqrt(var + epsilon)                                          (otherwise)

    Frozen (`trainable = False`), it does not train: it uses moving_mean and moving_variance and
    leaves them alone whatever `training` says, so that fine-tuning keeps what they have learned.

    Why: in training, mean and variance depend on every x of the channel. A change of all x alike
    cannot change y, nor can stretching them about their mean; the two subtracted terms take those
    two directions out. The variance is taken from the differences, never as the mean of the
    squares less the squared mean, which loses all its digits where the mean is large. What the
    normalizations share stands in `normalizing.py`.

    Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", 2015. Defaults as in Keras; the biased variance serves both uses.

    Parameters
    ----------
    axis : int or list of int
        The channels' axis, counted from the batch's, 0, or back from the last one, -1. With a list,
        each combination of their indices is a channel; Keras takes one number alone.
    momentum : float in [0, 1]
        Share of the old running statistics that stays at each step.
    epsilon : float > 0
        Added to the variance.
    center, scale : bool
        Whether there are beta and gamma.
    beta_initializer, gamma_initializer : str, Initializer, or array of the parameter's values
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
        A penalty on beta or gamma that is added to the loss.
    beta_constraint, gamma_constraint : str, Constraint or function, optional
        What beta or gamma is held to after each step.
    moving_mean_initializer, moving_variance_initializer : the same

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these.

    Examples
    --------
    >>> layer = BatchNormalization(epsilon=1e-12)
    >>> layer.forward(np.array([[1.0], [3.0]]), training=True)      # mean 2, variance 1
    array([[-1.],
           [ 1.]])
    >>> abs(layer.backward(np.array([[5.0], [7.0]]))).round(6)      # any two numbers give this
    array([[0.],
           [0.]])
    >>> layer.grads["gamma"], layer.grads["beta"]
    (array([2.]), array([12.]))
    """

    one_kind_of_input = True
    momentum = Setting(partial(checks.real, low=0, high=1))
    moving_mean_initializer = Setting(initializers.setting)
    moving_variance_initializer = Setting(initializers.setting)

    ignored = {
        "renorm": (False,),
        "renorm_clipping": (None,),
        "renorm_momentum": (0.99,),
        "synchronized": (False,),
    }

    def __init__(
        self,
        axis: int | list[int] = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
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
        self.momentum = momentum
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer

    @property
    def mixes_samples(self) -> bool:  # type: ignore[override]
        return self.trainable

    def _add_arrays(self, sizes: tuple[int, ...]) -> None:
        super()._add_arrays(sizes)
        self.add_state("moving_mean", sizes, self.moving_mean_initializer)
        self.add_state("moving_variance", sizes, self.moving_variance_initializer)

    def forward(self, x: Array, training: bool = False) -> Array:
        training = checks.boolean(training, "training", self.who)
        x = self._input(x)
        channels = self.axes_in(x.shape)
        others = tuple(k for k in range(x.ndim) if k not in channels)
        along = only(channels, x.shape)  # gamma's shape beside x: (1, 1, 1, C) for images
        training = training and self.trainable
        if training:
            d, mean, var = centered(x, others)
            for key, now in (("moving_mean", mean), ("moving_variance", var)):
                moving = self.state[key]
                now = now.reshape(moving.shape).astype(x.dtype)
                moving[...] = self.momentum * moving + (1 - self.momentum) * now
        else:
            d = x - self.state["moving_mean"].reshape(along)
            var = self.state["moving_variance"].reshape(along)
        inverse = (1 / np.sqrt(var + self.epsilon)).astype(x.dtype)
        x_hat = d * inverse
        self._cache = x_hat, inverse, along, others if training else None
        return self._scaled_and_shifted(x_hat, along)

    def backward(self, dy: Array) -> Array:
        dy, (x_hat, inverse, along, others) = self._recall(dy)
        dx_hat = self._scaled_backward(dy, x_hat, along)
        if others is None:  # mean and variance were constants
            return inverse * dx_hat
        return standardized_backward(dx_hat, x_hat, inverse, others)

"""BatchNormalization: every channel at mean 0 and variance 1, then scaled and shifted again."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, constraints, initializers, regularizers
from minicnn.layers.base import Array, Layer, Shape, checked_shape
from minicnn.settings import Setting


class BatchNormalization(Layer):
    """Batch normalization over the last axis.

    Shapes
        x, y                                        (N, ..., C)
        gamma, beta, moving_mean, moving_variance   (C,)

    Forward, with m the numbers of a channel in the batch (N, or N*H*W for images)
        mean = sum of x / m        var = sum of (x - mean)^2 / m        (training)
        mean, var = moving_mean, moving_variance                        (otherwise)
        x_hat = (x - mean) / sqrt(var + epsilon)
        y = gamma * x_hat + beta
        training also moves: moving = momentum * moving + (1 - momentum) * (mean or var)

    Backward
        dbeta = sum of dy        dgamma = sum of dy * x_hat        s = gamma / sqrt(var + epsilon)
        dx = s * (dy - dbeta / m - x_hat * dgamma / m)             (training)
        dx = s * dy                                                (otherwise)

    Frozen (`trainable = False`), it does not train: it uses moving_mean and moving_variance and
    leaves them alone whatever `training` says, so that fine-tuning keeps what they have learned.

    Why: in training, mean and variance depend on every x of the channel. A change of all x alike
    cannot change y, nor can stretching them about their mean; the two subtracted terms take those
    two directions out of dy. The variance is taken from the differences, never as the mean of the
    squares less the squared mean, which loses all its digits where the mean is large.

    Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", 2015. Defaults as in Keras; the biased variance serves both uses.

    Parameters
    ----------
    axis : int
        -1, or the number of the last axis: 3 for images.
    momentum : float in [0, 1]
        Share of the old running statistics that stays at each step.
    epsilon : float > 0
        Added to the variance.
    center, scale : bool
        Whether there are beta and gamma.
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

    axis = Setting(partial(checks.integer, minimum=-1, maximum=checks.LARGEST_SIZE), fixed=True)
    momentum = Setting(partial(checks.real, low=0, high=1))
    epsilon = Setting(partial(checks.real, low=0, open_low=True))
    center = Setting(checks.boolean, fixed=True)
    scale = Setting(checks.boolean, fixed=True)
    beta_regularizer = Setting(regularizers.setting, fixed=True)
    gamma_regularizer = Setting(regularizers.setting, fixed=True)
    beta_constraint = Setting(constraints.setting, fixed=True)
    gamma_constraint = Setting(constraints.setting, fixed=True)

    ignored = {
        "beta_initializer": ("zeros", "Zeros"),
        "gamma_initializer": ("ones", "Ones"),
        "moving_mean_initializer": ("zeros", "Zeros"),
        "moving_variance_initializer": ("ones", "Ones"),
        "renorm": (False,),
        "renorm_clipping": (None,),
        "renorm_momentum": (0.99,),
        "synchronized": (False,),
    }

    def __init__(
        self,
        axis: int = -1,
        *,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_regularizer = beta_regularizer
        self.gamma_regularizer = gamma_regularizer
        self.beta_constraint = beta_constraint
        self.gamma_constraint = gamma_constraint

    @property
    def mixes_samples(self) -> bool:  # type: ignore[override]
        return self.trainable

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))
        C = (input_shape[-1],)
        if self.scale:
            self.add_param(
                "gamma",
                C,
                initializers.Ones(),
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.add_param(
                "beta",
                C,
                initializers.Zeros(),
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        self.add_state("moving_mean", C, initializers.Zeros())
        self.add_state("moving_variance", C, initializers.Ones())
        super().build(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2 or not input_shape[-1]:
            raise ValueError(
                f"{self.who}: expected input of shape (N, ..., C), received {tuple(input_shape)}. "
                "For one sample add a batch axis: x[None]"
            )
        last = len(input_shape) - 1
        if self.axis not in (-1, last):
            raise ValueError(
                f"{self.who}: expected axis to be -1 or {last}, the last one, received {self.axis} "
                f"for input of shape {tuple(input_shape)}. Bring the channels there, as with "
                "np.moveaxis"
            )
        if self.built and input_shape[-1] != len(self.state["moving_mean"]):
            raise ValueError(
                f"{self.who}: expected {len(self.state['moving_mean'])} channels on the last axis, "
                f"for which it was built, received input of shape {tuple(input_shape)}"
            )
        return tuple(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        training = checks.boolean(training, "training", self.who)
        x = self._input(x)
        axes = tuple(range(x.ndim - 1))
        training = training and self.trainable
        if training:
            # summed in float64: thousands of float32 numbers around 100 lose three digits otherwise
            mean = x.mean(axis=axes, dtype=np.float64).astype(x.dtype)
            var = np.square(x - mean).mean(axis=axes, dtype=np.float64).astype(x.dtype)
            for key, now in (("moving_mean", mean), ("moving_variance", var)):
                moving = self.state[key]
                moving[...] = self.momentum * moving + (1 - self.momentum) * now
        else:
            mean, var = self.state["moving_mean"], self.state["moving_variance"]
        inverse = 1 / np.sqrt(var + x.dtype.type(self.epsilon))
        x_hat = (x - mean) * inverse
        self._cache = x_hat, inverse, training
        y = x_hat * self.params["gamma"] if self.scale else x_hat
        return y + self.params["beta"] if self.center else y

    def backward(self, dy: Array) -> Array:
        dy, (x_hat, inverse, training) = self._recall(dy)
        axes = tuple(range(dy.ndim - 1))
        dbeta, dgamma = dy.sum(axis=axes), (dy * x_hat).sum(axis=axes)
        if self.center:
            self.grads["beta"][...] = dbeta
        if self.scale:
            self.grads["gamma"][...] = dgamma
        s = self.params["gamma"] * inverse if self.scale else inverse
        if not training:
            return dy * s
        m = dy.size // dy.shape[-1]
        return s * (dy - dbeta / m - x_hat * (dgamma / m))

"""What the normalizations share: numbers at mean 0 and variance 1 over some axes, then gamma, beta.

BatchNormalization, LayerNormalization and GroupNormalization differ in nothing but the axes over
which mean and variance are taken.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, constraints, initializers, regularizers
from minicnn.layers.base import Array, Layer, Shape, checked_shape
from minicnn.settings import Setting

AXIS = partial(checks.integer, minimum=-checks.MOST_AXES, maximum=checks.LARGEST_SIZE)


def axes_setting(value: Any, name: str, who: str) -> int | list[int]:
    """One axis or a list of them, as the user wrote it: -1 is the last one."""
    if not isinstance(value, (list, tuple)):
        return AXIS(value, name, who)
    if not value:
        raise ValueError(f"{who}: expected {name} to name at least one axis, received {value!r}")
    if len(value) > checks.MOST_AXES:
        raise ValueError(
            f"{who}: expected {name} to name at most {checks.MOST_AXES} axes, received {len(value)}"
        )
    return [AXIS(one, f"each number of {name}", who) for one in value]


def axes_of(axis: int | list[int], input_shape: Shape, who: str) -> tuple[int, ...]:
    """The axes counted from the first one; ValueError unless they are axes of a sample."""
    written = axis if isinstance(axis, list) else [axis]
    ndim = len(input_shape)
    axes = tuple(sorted(one + ndim if -ndim <= one < 0 else one for one in written))
    if axes[0] < 1 or axes[-1] >= ndim or len(set(axes)) < len(axes):
        raise ValueError(
            f"{who}: expected axis to name axes from 1 to {ndim - 1} of the input, each once, or "
            f"counted from the last one, which is -1, received {checks.shown(axis)} for input of "
            f"shape {tuple(input_shape)}. Axis 0 is the batch"
        )
    if not all(input_shape[one] for one in axes):
        raise ValueError(
            f"{who}: expected the sizes of axis {axis} to be known and at least 1, received input "
            f"of shape {tuple(input_shape)}"
        )
    return axes


def expect_samples(input_shape: Shape, who: str) -> None:
    """Raise ValueError unless there is a batch axis and one more."""
    if len(input_shape) < 2:
        raise ValueError(
            f"{who}: expected input of shape (N, ..., C), received {tuple(input_shape)}. "
            "For one sample add a batch axis: x[None]"
        )


def expect_sizes(
    built: tuple[int, ...], sizes: tuple[int, ...], axis: Any, input_shape: Shape, who: str
) -> None:
    """Raise ValueError unless the axes have the sizes for which the layer was built."""
    if sizes != built:
        raise ValueError(
            f"{who}: expected {' x '.join(map(str, built))} channels on axis {axis}, for which it "
            f"was built, received input of shape {tuple(input_shape)}"
        )


def only(axes: tuple[int, ...], shape: Shape) -> tuple[int, ...]:
    """The shape that a parameter has beside x: its own sizes on `axes`, 1 elsewhere.

    >>> only((1, 3), (32, 28, 28, 8))
    (1, 28, 1, 8)
    """
    return tuple(size if k in axes else 1 for k, size in enumerate(shape))


def mean(x: Array, axes: tuple[int, ...]) -> Array:
    """Mean over `axes`, summed in float64: thousands of float32 numbers lose digits otherwise."""
    means: Array = x.mean(axis=axes, dtype=np.float64, keepdims=True)
    return means


def centered(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """d = x - mean, the mean, and the variance, as the mean of d^2; the last two in float64.

    The mean is subtracted in two parts, what x's float type can hold of it and the rest: of
    numbers around 1e6, float32 holds steps of 0.06, and a mean that is rounded to one would move
    all of x_hat. The first difference is exact where x is near its mean.
    """
    means = mean(x, axes)
    part = means.astype(x.dtype)
    d = x - part
    d -= (means - part).astype(x.dtype)
    return d, means, mean(np.square(d), axes)


def standardized_backward(
    dx_hat: Array, x_hat: Array, inverse: Array, axes: tuple[int, ...]
) -> Array:
    """dx of x_hat = (x - mean) / sqrt(var + epsilon), mean and variance over `axes`.

    dx = inverse * (dx_hat - mean of dx_hat - x_hat * mean of dx_hat * x_hat)

    A change of all x alike cannot change x_hat, nor can stretching them about their mean: the two
    subtracted terms take those two directions out.
    """
    dtype = dx_hat.dtype
    dx: Array = dx_hat - mean(dx_hat, axes).astype(dtype)
    dx -= x_hat * mean(dx_hat * x_hat, axes).astype(dtype)
    return inverse * dx


class NormalizingLayer(Layer):
    """Settings, parameters, and the last step: y = gamma * x_hat + beta.

    Attributes
    ----------
    one_kind_of_input : bool
        Whether a layer that is built takes no input of other channels or another number of axes,
        as in Keras. Else only gamma and beta hold it to their sizes.
    """

    one_kind_of_input = False
    axis: Any = Setting(axes_setting, fixed=True)
    epsilon = Setting(partial(checks.real, low=0, open_low=True))
    center = Setting(checks.boolean, fixed=True)
    scale = Setting(checks.boolean, fixed=True)
    beta_initializer = Setting(initializers.setting)
    gamma_initializer = Setting(initializers.setting)
    beta_regularizer = Setting(regularizers.setting, fixed=True)
    gamma_regularizer = Setting(regularizers.setting, fixed=True)
    beta_constraint = Setting(constraints.setting, fixed=True)
    gamma_constraint = Setting(constraints.setting, fixed=True)

    def __init__(
        self,
        axis: int | list[int] = -1,
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
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        self.beta_regularizer = beta_regularizer
        self.gamma_regularizer = gamma_regularizer
        self.beta_constraint = beta_constraint
        self.gamma_constraint = gamma_constraint

    def axes_in(self, input_shape: Shape) -> tuple[int, ...]:
        """`axis`, counted from the first one: where gamma and beta have their numbers."""
        return axes_of(self.axis, input_shape, self.who)

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))
        sizes = tuple(input_shape[k] for k in self.axes_in(input_shape))
        self._add_arrays(sizes)
        self._ndim, self._sizes = len(input_shape), sizes
        super().build(input_shape)

    def _add_arrays(self, sizes: tuple[int, ...]) -> None:
        if self.scale:
            self.add_param(
                "gamma",
                sizes,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.add_param(
                "beta",
                sizes,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def output_shape(self, input_shape: Shape) -> Shape:
        expect_samples(input_shape, self.who)
        if self.built and self.one_kind_of_input and len(input_shape) != self._ndim:
            raise ValueError(
                f"{self.who}: expected input of {self._ndim} axes, for which it was built, "
                f"received {tuple(input_shape)}. Make a new layer for it"
            )
        sizes = tuple(input_shape[k] for k in self.axes_in(input_shape))
        if self.built and (self.one_kind_of_input or self.center or self.scale):
            expect_sizes(self._sizes, sizes, self.axis, input_shape, self.who)
        return tuple(input_shape)

    def _scaled_and_shifted(self, x_hat: Array, along: tuple[int, ...]) -> Array:
        """y = gamma * x_hat + beta, the two in the shape `along` beside x_hat."""
        y = x_hat * self.params["gamma"].reshape(along) if self.scale else x_hat
        return y + self.params["beta"].reshape(along) if self.center else y

    def _scaled_backward(self, dy: Array, x_hat: Array, along: tuple[int, ...]) -> Array:
        """dx_hat = gamma * dy; dgamma and dbeta sum over the axes on which both have one number."""
        axes = tuple(k for k, size in enumerate(along) if size == 1)
        sums = partial(np.sum, axis=axes, dtype=np.float64)
        if self.center:
            beta = self.grads["beta"]
            beta[...] = sums(dy).reshape(beta.shape)
        if not self.scale:
            return dy
        gamma = self.grads["gamma"]
        gamma[...] = sums(dy * x_hat).reshape(gamma.shape)
        return dy * self.params["gamma"].reshape(along)

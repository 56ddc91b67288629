"""Activations with a kink: another formula on each side of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, constraints, initializers, regularizers
from minicnn.layers.activations.base import ActivationLayer, Elementwise
from minicnn.layers.base import Array, Layer, Shape, checked_shape
from minicnn.settings import Setting


def _not_negative(value: Any, name: str, who: str) -> float:
    if value is None:  # Keras's error
        raise ValueError(f"{who}: expected {name} to be a number of at least 0, received None")
    return checks.real(value, name, who, low=0)


def _largest(value: Any, name: str, who: str) -> float | None:
    return None if value is None else checks.real(value, name, who, low=0)


def _shared(value: Any, name: str, who: str) -> tuple[int, ...] | None:
    if value is None:
        return None
    most = checks.MOST_AXES
    if not isinstance(value, (list, tuple)):
        return (checks.integer(value, name, who, minimum=1, maximum=most),)
    return tuple(checks.integer(k, f"each of {name}", who, minimum=1, maximum=most) for k in value)


class Linear(ActivationLayer):
    """y = x: what a layer without an activation applies.

    Forward
        y = x

    Backward
        dx = dy
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = ()
        return x

    def backward(self, dy: Array) -> Array:
        dy, _ = self._recall(dy)
        return dy


class ReLU(Elementwise):
    """Rectified linear unit.

    Shapes
        x, y   any

    Forward
        y = max(x, 0)

        and with the arguments
        y = min(x, max_value) where x > threshold, else negative_slope * (x - threshold)

    Backward
        dx = dy where x > 0, else 0

        and with the arguments
        dx = dy where threshold < x <= max_value, negative_slope * dy where x < threshold, else 0

    Why: where x > 0 the output moves with the input, elsewhere not at all. At 0 the slope is taken
    as 0, as in Keras. (With a negative slope and no other argument it is that slope; at a
    max_value of 6 it is 0. Both are Keras's, too.)

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.

    Parameters
    ----------
    max_value : float >= 0 or None
        The largest y; None sets no limit.
    negative_slope : float >= 0
    threshold : float >= 0

    Examples
    --------
    >>> layer = ReLU()
    >>> layer.forward(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    >>> layer.backward(np.array([5.0, 5.0, 5.0]))
    array([0., 0., 5.])
    """

    max_value = Setting(_largest)
    negative_slope = Setting(_not_negative)
    threshold = Setting(_not_negative)

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    @property
    def plain(self) -> bool:
        """Whether it is max(x, 0): what the engine's fused steps know."""
        return (self.max_value, self.negative_slope, self.threshold) == (None, 0, 0)

    def value(self, x: Array) -> Array:
        if self.plain:
            return np.maximum(x, 0)
        y = np.where(x <= self.threshold, 0, x)  # NaN stays
        if self.max_value is not None:
            y = np.minimum(y, self.max_value)
        if self.negative_slope:
            y = y + self.negative_slope * np.minimum(x - self.threshold, 0)
        return y

    def slope(self, x: Array, y: Array) -> Array:
        if self.plain:
            return y > 0  # exactly where x > 0
        passes = x > self.threshold
        if self.max_value is not None:
            six = self.max_value == 6 and self.threshold == 0  # where Keras calls relu6
            passes &= (x < 6) if six else (x <= self.max_value)
        leaky = self.max_value is None and self.threshold == 0
        below = (x <= 0) if leaky else (x < self.threshold)
        return passes + self.negative_slope * below


class LeakyReLU(Elementwise):
    """ReLU with a small slope where x is negative.

    Shapes
        x, y   any

    Forward
        y = x where x > 0, else negative_slope * x

    Backward
        dx = dy where x > 0, else negative_slope * dy

    Why: a unit of ReLU whose input is negative for all samples gets no gradient and stays silent
    for good; the small slope leaves it a way back. At 0 the slope is that of the negative side.

    Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
    2013.

    Parameters
    ----------
    negative_slope : float >= 0
        By the name `activation="leaky_relu"` it is 0.2, as in Keras. `alpha`, the older name, is
        taken with a warning.

    Examples
    --------
    >>> layer = LeakyReLU(0.25)
    >>> layer.forward(np.array([-4.0, 0.0, 2.0]))
    array([-1.,  0.,  2.])
    >>> layer.backward(np.array([8.0, 8.0, 8.0]))
    array([2., 2., 8.])
    """

    negative_slope = Setting(_not_negative)

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:
            warnings.warn(
                "LeakyReLU: alpha is now called negative_slope. Write negative_slope=...",
                UserWarning,
                stacklevel=2,
            )
            negative_slope = kwargs.pop("alpha")
        super().__init__(**kwargs)
        self.negative_slope = negative_slope

    def value(self, x: Array) -> Array:
        return np.where(x > 0, x, x * x.dtype.type(self.negative_slope))

    def slope(self, x: Array, y: Array) -> Array:
        return np.where(x > 0, 1, self.negative_slope)


class PReLU(Layer):
    """LeakyReLU whose slope is learned, one for each cell of a sample, or shared along axes.

    Shapes
        x, y    (N, ...)
        alpha   the shape of a sample, 1 along each of shared_axes

    Forward
        y = x where x > 0, else alpha * x

    Backward
        dx     = dy where x > 0, alpha * dy where x < 0, else 0
        dalpha = sum of dy * x over the cells with x < 0 that share it

    Why: alpha scales the negative part of x, so its slope is that part. At 0 the slope is taken as
    0, as in Keras.

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.

    Parameters
    ----------
    alpha_initializer : initializer
    alpha_regularizer : str or Regularizer, optional
    alpha_constraint : str, Constraint or function, optional
    shared_axes : int, sequence of int, or None
        Axes along which alpha is one number, counted from 1, as the batch is axis 0: [1, 2] gives
        one for each channel of an image.

    Examples
    --------
    >>> layer = PReLU()
    >>> layer.build((None, 2))
    >>> layer.params["alpha"][...] = 0.5, 0.25
    >>> layer.forward(np.array([[-4.0, -4.0], [2.0, 0.0]]))
    array([[-2., -1.],
           [ 2.,  0.]], dtype=float32)
    >>> layer.backward(np.ones((2, 2)))
    array([[0.5 , 0.25],
           [1.  , 0.  ]], dtype=float32)
    >>> layer.grads["alpha"]
    array([-4., -4.], dtype=float32)
    """

    alpha_initializer = Setting(initializers.setting)
    alpha_regularizer = Setting(regularizers.setting, fixed=True)
    alpha_constraint = Setting(constraints.setting, fixed=True)
    shared_axes = Setting(_shared, fixed=True)

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = alpha_initializer
        self.alpha_regularizer = alpha_regularizer
        self.alpha_constraint = alpha_constraint
        self.shared_axes = shared_axes

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))
        self.add_param(
            "alpha",
            self._shape(input_shape),
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        super().build(input_shape)

    def _shape(self, input_shape: Shape) -> tuple[int, ...]:
        shared = self.shared_axes or ()
        if shared and max(shared) >= len(input_shape):
            raise ValueError(
                f"{self.who}: expected shared_axes among the axes 1 to {len(input_shape) - 1} of "
                f"the input {tuple(input_shape)}, received {list(shared)}"
            )
        shape = [1 if k in shared else size for k, size in enumerate(input_shape)][1:]
        if None in shape:
            raise ValueError(
                f"{self.who}: expected all sizes behind the batch axis to be known, but for those "
                f"of shared_axes, received {tuple(input_shape)}"
            )
        return tuple(shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = self._shape(input_shape)
        if self.built and shape != self.params["alpha"].shape:
            raise ValueError(
                f"{self.who}: expected input with alpha of shape {self.params['alpha'].shape}, for "
                f"which it was built, received input of shape {tuple(input_shape)}"
            )
        return tuple(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = x
        return np.where(x > 0, x, self.params["alpha"] * x)

    def backward(self, dy: Array) -> Array:
        dy, x = self._recall(dy)
        alpha = self.params["alpha"]
        by_cell = (dy * np.minimum(x, 0)).sum(axis=0)
        shared = tuple(k for k, size in enumerate(alpha.shape) if size == 1)
        self.grads["alpha"][...] = by_cell.sum(axis=shared, keepdims=True)
        dx: Array = dy * np.where(x > 0, 1, np.where(x < 0, alpha, 0)).astype(dy.dtype)
        return dx


class ELU(Elementwise):
    """Exponential linear unit: y = x where x > 0, else alpha * (exp(x) - 1).

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
    exponential linear units", 2015.
    """

    alpha = Setting(checks.real)

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def value(self, x: Array) -> Array:
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))

    def slope(self, x: Array, y: Array) -> Array:
        return np.where(x > 0, 1, self.alpha * np.exp(np.minimum(x, 0)))


class CELU(Elementwise):
    """ELU whose slope has no jump at 0: y = x where x > 0, else alpha * (exp(x / alpha) - 1).

    Source: Barron, "Continuously differentiable exponential linear units", 2017.
    """

    alpha = Setting(partial(checks.real, low=0, open_low=True))

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def value(self, x: Array) -> Array:
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0) / self.alpha))

    def slope(self, x: Array, y: Array) -> Array:
        return np.where(x > 0, 1, np.exp(np.minimum(x, 0) / self.alpha))


class SELU(Elementwise):
    """Scaled ELU: y = SCALE * x where x > 0, else SCALE * ALPHA * (exp(x) - 1).

    The two constants keep mean 0 and variance 1 from layer to layer ("lecun_normal" weights). The
    slope at 0 is SCALE, that from above, as in Keras.

    Source: Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", 2017.
    """

    ALPHA = 1.6732632423543772848170429916717
    SCALE = 1.0507009873554804934193349852946

    def value(self, x: Array) -> Array:
        return self.SCALE * np.where(x > 0, x, self.ALPHA * np.expm1(np.minimum(x, 0)))

    def slope(self, x: Array, y: Array) -> Array:
        return self.SCALE * np.where(x >= 0, 1, self.ALPHA * np.exp(np.minimum(x, 0)))


class HardSigmoid(Elementwise):
    """Sigmoid in three straight pieces: y = min(max(x + 3, 0), 6) / 6."""

    def value(self, x: Array) -> Array:
        return np.clip(x + 3, 0, 6) / 6

    def slope(self, x: Array, y: Array) -> Array:
        return ((y > 0) & (y < 1)) / 6


class HardSiLU(Elementwise):
    """x times its HardSigmoid: y = x * min(max(x + 3, 0), 6) / 6.

    Source: Howard et al., "Searching for MobileNetV3", 2019.
    """

    def value(self, x: Array) -> Array:
        return x * (np.clip(x + 3, 0, 6) / 6)

    def slope(self, x: Array, y: Array) -> Array:
        inside = (x > -3) & (x < 3)
        return np.clip(x + 3, 0, 6) / 6 + np.where(inside, x, 0) / 6


class HardTanh(Elementwise):
    """Tanh in three straight pieces: y = min(max(x, -1), 1).

    Its slope at -1 and 1 is 1, as in Keras.
    """

    def value(self, x: Array) -> Array:
        return np.clip(x, -1, 1)

    def slope(self, x: Array, y: Array) -> Array:
        return (x >= -1) & (x <= 1)


class HardShrink(Elementwise):
    """y = x where |x| > threshold, else 0.

    Why: what is small is taken for noise and left out; y jumps at the threshold, where its slope is
    taken as 0.
    """

    threshold = Setting(checks.real)

    def __init__(self, threshold: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def value(self, x: Array) -> Array:
        return np.where(np.abs(x) <= self.threshold, 0, x)  # NaN stays

    def slope(self, x: Array, y: Array) -> Array:
        return np.abs(x) > self.threshold


class SoftShrink(Elementwise):
    """y = x moved by threshold towards 0, and 0 where |x| <= threshold.

    Source: Donoho, "De-noising by soft-thresholding", 1995.
    """

    threshold = Setting(checks.real)

    def __init__(self, threshold: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold

    def value(self, x: Array) -> Array:
        t = x.dtype.type(self.threshold)
        return np.where(x > t, x - t, np.where(x < -t, x + t, 0 * np.clip(x, -1, 1)))  # NaN stays

    def slope(self, x: Array, y: Array) -> Array:
        return (x > self.threshold) | (x < -self.threshold)


class SparseSigmoid(Elementwise):
    """Sigmoid in three straight pieces between -1 and 1: y = min(max(x + 1, 0), 2) / 2.

    Source: Martins and Astudillo, "From softmax to sparsemax", 2016: sparsemax of (x / 2, -x / 2).
    """

    def value(self, x: Array) -> Array:
        return np.clip(x + 1, 0, 2) / 2

    def slope(self, x: Array, y: Array) -> Array:
        return ((x > -1) & (x < 1)) / 2


class SparsePlus(Elementwise):
    """ReLU with a corner that is a parabola: y = 0 up to x = -1, (x + 1)^2 / 4 up to 1, then x.

    Why: its slope is SparseSigmoid, as that of softplus is sigmoid.
    """

    def value(self, x: Array) -> Array:
        return np.where(x < 1, (np.maximum(x, -1) + 1) ** 2 / 4, x)

    def slope(self, x: Array, y: Array) -> Array:
        return np.clip(x + 1, 0, 2) / 2


class Threshold(Elementwise):
    """y = x where x > threshold, else default_value.

    Why: what does not exceed the threshold is replaced, and no longer learned from: y jumps there,
    and its slope is taken as 0. Both numbers have to be given, so it cannot be made by its name.

    Parameters
    ----------
    threshold, default_value : float

    Examples
    --------
    >>> layer = Threshold(0.5, -2.0)
    >>> layer.forward(np.array([0.0, 0.5, 1.0]))
    array([-2., -2.,  1.])
    >>> layer.backward(np.array([3.0, 3.0, 3.0]))
    array([0., 0., 3.])
    """

    threshold = Setting(checks.real)
    default_value = Setting(checks.real)

    def __init__(self, threshold: float, default_value: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold
        self.default_value = default_value

    def value(self, x: Array) -> Array:
        return np.where(x > self.threshold, x, self.default_value)

    def slope(self, x: Array, y: Array) -> Array:
        return x > self.threshold

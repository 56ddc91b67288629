"""Activations, each a layer without parameters; inside Conv2D and Dense the same layers serve."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.base import Array, Layer, Shape
from minicnn.settings import Setting, described, has_settings, restored


def _slope(value: Any, name: str, who: str) -> float:
    if value is None:  # Keras's error
        raise ValueError(f"{who}: expected {name} to be a number of at least 0, received None")
    return checks.real(value, name, who, low=0)


class ActivationLayer(Layer):
    """Base of the activations: no parameters, nothing random, y has the shape of x.

    Only these serve as the `activation` of another layer; derive your own from it.
    """

    built_when_made = True

    def as_setting(self) -> Any:
        """What stands for it in the config of a layer: its name, if that says all, as in Keras."""
        for name, kind in KNOWN.items():
            if type(self) is kind and not has_settings(kind, ActivationLayer):
                return name
        return described(self)


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


class ReLU(ActivationLayer):
    """Rectified linear unit.

    Shapes
        x, y   any

    Forward
        y = max(x, 0)

    Backward
        dx = dy where x > 0, else 0

    Why: where x > 0 the output moves with the input, elsewhere not at all. At 0 the slope is taken
    as 0, as in Keras.

    Source: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.

    Examples
    --------
    >>> layer = ReLU()
    >>> layer.forward(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    >>> layer.backward(np.array([5.0, 5.0, 5.0]))
    array([0., 0., 5.])
    """

    ignored = {"max_value": (None,), "negative_slope": (0.0,), "threshold": (0.0,)}

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        y = np.maximum(x, 0)
        self._cache = y
        return y

    def backward(self, dy: Array) -> Array:
        dy, y = self._recall(dy)
        dx: Array = dy * (y > 0)  # y > 0 exactly where x > 0
        return dx


class LeakyReLU(ActivationLayer):
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

    negative_slope = Setting(_slope)

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

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        slopes = np.where(x > 0, 1, self.negative_slope).astype(x.dtype)
        self._cache = slopes
        return x * slopes

    def backward(self, dy: Array) -> Array:
        dy, slopes = self._recall(dy)
        dx: Array = dy * slopes
        return dx


class Sigmoid(ActivationLayer):
    """Logistic function: squeezes any number into (0, 1).

    Shapes
        x, y   any

    Forward
        y = 1 / (1 + exp(-x))

    Backward
        dx = dy * y * (1 - y)

    Why: the slope of the logistic function, written in its own value. tanh serves to compute it,
    since 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2 and tanh does not overflow.

    Examples
    --------
    >>> layer = Sigmoid()
    >>> layer.forward(np.array([0.0, 1000.0]))
    array([0.5, 1. ])
    >>> layer.backward(np.array([4.0, 4.0]))
    array([1., 0.])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        y = (1 + np.tanh(x / 2)) / 2
        self._cache = y
        return y

    def backward(self, dy: Array) -> Array:
        dy, y = self._recall(dy)
        dx: Array = dy * y * (1 - y)
        return dx


class Tanh(ActivationLayer):
    """Hyperbolic tangent: squeezes any number into (-1, 1).

    Shapes
        x, y   any

    Forward
        y = tanh(x)

    Backward
        dx = dy * (1 - y^2)

    Why: the slope of tanh, written in its own value.

    Examples
    --------
    >>> layer = Tanh()
    >>> layer.forward(np.array([0.0, 1000.0]))
    array([0., 1.])
    >>> layer.backward(np.array([4.0, 4.0]))
    array([4., 0.])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        y = np.tanh(x)
        self._cache = y
        return y

    def backward(self, dy: Array) -> Array:
        dy, y = self._recall(dy)
        dx: Array = dy * (1 - y * y)
        return dx


class Softmax(ActivationLayer):
    """Scores (logits) to probabilities along the last axis.

    Shapes
        x, y   (N, ..., classes)

    Forward
        y_p = exp(x_p - m) / sum over q of exp(x_q - m),   m the largest x of the row

    Backward
        dx_p = y_p * (dy_p - sum over q of dy_q y_q)

    Why: dy_q/dx_p is y_p (1 - y_p) for p = q and -y_p y_q elsewhere, because raising one score
    takes probability from all the others. Subtracting m changes nothing but keeps exp finite.

    In a model that ends in softmax and is trained with cross-entropy, this backward is not run: the
    loss takes the logits, where the two together have the gradient y - target (`losses.py`).

    Examples
    --------
    >>> layer = Softmax()
    >>> layer.forward(np.array([[0.0, 0.0, 1000.0], [1.0, 1.0, 1.0]])).round(2)
    array([[0.  , 0.  , 1.  ],
           [0.33, 0.33, 0.33]])
    >>> layer.backward(np.array([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]])).round(2)
    array([[ 0.  ,  0.  ,  0.  ],
           [ 0.67, -0.33, -0.33]])
    """

    ignored = {"axis": (-1,)}

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2:
            raise ValueError(
                f"{self.who}: expected input of shape (N, ..., classes), received "
                f"{tuple(input_shape)}. For one sample add a batch axis: x[None]"
            )
        return tuple(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        y: Array = np.exp(x - x.max(axis=-1, keepdims=True))
        y /= y.sum(axis=-1, keepdims=True)
        self._cache = y
        return y

    def backward(self, dy: Array) -> Array:
        dy, y = self._recall(dy)
        dx: Array = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
        return dx


KNOWN: dict[str, type[ActivationLayer]] = {
    "leaky_relu": LeakyReLU,
    "linear": Linear,
    "relu": ReLU,
    "sigmoid": Sigmoid,
    "softmax": Softmax,
    "tanh": Tanh,
}

# what an activation is given where its name stands for other settings than its constructor's
BY_NAME: dict[str, dict[str, Any]] = {"leaky_relu": {"negative_slope": 0.2}}


def _activation(value: Any, name: str, who: str) -> ActivationLayer:
    return get(value, who)


class ActivatedLayer(Layer):
    """Base of the layers that have an activation inside."""

    # The layer holds a copy, with the values of the last pass: two layers that shared one would
    # overwrite these.
    activation = Setting(_activation)


class Activation(ActivatedLayer, ActivationLayer):
    """An activation by its name, as a layer: `Activation("relu")` does what `ReLU()` does.

    Parameters
    ----------
    activation : str, Layer or None
        "linear", "relu", "leaky_relu", "sigmoid", "softmax", "tanh", or a layer to apply.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.
    """

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activation

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.activation.output_shape(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = ()
        return self.activation.forward(x, training)

    def backward(self, dy: Array) -> Array:
        dy, _ = self._recall(dy)
        return self.activation.backward(dy)


def get(identifier: Any, who: str = "activations") -> ActivationLayer:
    """The activation layer of that name, class or object; None is linear.

    {"class_name": ..., "config": ...} stands for the object that it describes. Raises ValueError
    for an unknown name, TypeError for anything else, other layers included.
    """
    if identifier is None:
        identifier = "linear"
    if isinstance(identifier, type) and issubclass(identifier, ActivationLayer):
        return identifier(name=identifier.__name__.lower())
    if isinstance(identifier, ActivationLayer):
        return copy.deepcopy(identifier)  # with its own values and parameters
    if isinstance(identifier, dict):
        return restored(identifier, [*KNOWN.values(), Activation], "activation", who)
    cls = checks.lookup(identifier, KNOWN, "activation", who)
    settings = BY_NAME.get(identifier.lower(), {})
    return cls(
        **settings, name=identifier.lower()
    )  # a name of its own keeps it out of the automatic count

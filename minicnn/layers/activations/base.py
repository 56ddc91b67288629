"""What all activations share, and how a user makes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.base import Array, Layer
from minicnn.settings import Setting


class ActivationLayer(Layer):
    """Base of the activations: no parameters, nothing random; but for GLU, y has the shape of x.

    Only these serve as the `activation` of another layer; derive your own from it.
    """

    built_when_made = True

    def as_setting(self) -> Any:
        """What stands for it in the config of a layer: its name, if that says all, as in Keras."""
        from minicnn.layers.activations.known import name_or_description

        return name_or_description(self)


class Elementwise(ActivationLayer):
    """Base of the activations that map each number by itself: `value` and `slope` define one.

    Forward
        y = value(x)

    Backward
        dx = dy * slope(x, y)

    Why: y moves with its own x alone, by the slope at that place.

    Numbers that overflow become inf without a warning, as in Keras.
    """

    def value(self, x: Array) -> Array:
        """y, of the shape of x."""
        raise NotImplementedError(f"{type(self).__name__} has to define value(x)")

    def slope(self, x: Array, y: Array) -> Array:
        """dy/dx at each number of x, where the value is y."""
        raise NotImplementedError(f"{type(self).__name__} has to define slope(x, y)")

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        y = self.applied(x)
        self._cache = x, y
        return y

    def backward(self, dy: Array) -> Array:
        dy, (x, y) = self._recall(dy)
        with np.errstate(all="ignore"):
            slope = np.asarray(self.slope(x, y))
            dx: Array = dy * slope.astype(dy.dtype, copy=False)
        return dx

    def applied(self, x: Array) -> Array:
        """y for an array of floats of any shape."""
        with np.errstate(all="ignore"):
            y = np.asarray(self.value(x))
        return y.astype(x.dtype, copy=False)


def _function(value: Any, name: str, who: str) -> Callable[[Array], Array]:
    if not callable(value) or isinstance(value, type):
        raise TypeError(
            f"{who}: expected {name} to be a function of an array, received {checks.shown(value)}"
        )
    kept: Callable[[Array], Array] = value
    return kept


class Function(Elementwise):
    """An activation of a user's own: a function of an array, and its derivative.

    Forward
        y = function(x)

    Backward
        dx = dy * derivative(x)

    It maps each number by itself. For a function that does not, derive a class from
    `ActivationLayer` and write its forward and backward; `minicnn.gradcheck.check_layer` says
    whether a derivative is right.

    A config or a file cannot hold a function: `get_config` raises a TypeError. A class derived from
    `Elementwise` has a config.

    Parameters
    ----------
    function, derivative : callable(x) -> array of the shape of x

    Raises
    ------
    TypeError, ValueError
        For what is no function, or returns something other than numbers of the shape of x.

    Examples
    --------
    >>> from minicnn.layers import Dense
    >>> square = Function(lambda x: x * x, derivative=lambda x: 2 * x)
    >>> square.forward(np.array([-1.0, 3.0]))
    array([1., 9.])
    >>> square.backward(np.array([1.0, 1.0]))
    array([-2.,  6.])
    >>> layer = Dense(3, activation=square)
    """

    function = Setting(_function)
    derivative = Setting(_function)

    def __init__(
        self,
        function: Callable[[Array], Array],
        derivative: Callable[[Array], Array],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.derivative = derivative

    def get_config(self) -> dict[str, Any]:
        raise TypeError(
            f"{self.who}: expected function to be a setting that JSON can hold, received "
            f"{checks.shown(self.function)}. For a config, write a class derived from "
            "minicnn.layers.activations.Elementwise with the methods value(x) and slope(x, y); a "
            "pickle or get_weights() keeps the layer without one"
        )

    def value(self, x: Array) -> Array:
        return self._checked(self.function(x), "function", x)

    def slope(self, x: Array, y: Array) -> Array:
        return self._checked(self.derivative(x), "derivative", x)

    def _checked(self, values: Any, name: str, x: Array) -> Array:
        array = checks.numeric(values, f"what {name} returns", self.who)
        if array.shape != x.shape:
            raise ValueError(
                f"{self.who}: expected {name} to return an array of the shape of x, {x.shape}, "
                f"received {array.shape}"
            )
        return array

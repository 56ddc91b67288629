"""Activations by name, and the layers that have one inside."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from minicnn import checks
from minicnn.layers.activations.base import ActivationLayer
from minicnn.layers.activations.piecewise import (
    CELU,
    ELU,
    SELU,
    HardShrink,
    HardSigmoid,
    HardSiLU,
    HardTanh,
    LeakyReLU,
    Linear,
    ReLU,
    SoftShrink,
    SparsePlus,
    SparseSigmoid,
    Threshold,
)
from minicnn.layers.activations.smooth import (
    GELU,
    Exponential,
    LogSigmoid,
    Mish,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Squareplus,
    Tanh,
    TanhShrink,
)
from minicnn.layers.activations.softmax import GLU, LogSoftmax, Softmax, Sparsemax
from minicnn.layers.base import Array, Layer, Shape
from minicnn.settings import Setting, described, restored

F = TypeVar("F", bound=Callable[..., Any])

KNOWN: dict[str, type[ActivationLayer]] = {
    "celu": CELU,
    "elu": ELU,
    "exponential": Exponential,
    "gelu": GELU,
    "glu": GLU,
    "hard_shrink": HardShrink,
    "hard_sigmoid": HardSigmoid,
    "hard_silu": HardSiLU,
    "hard_swish": HardSiLU,
    "hard_tanh": HardTanh,
    "leaky_relu": LeakyReLU,
    "linear": Linear,
    "log_sigmoid": LogSigmoid,
    "log_softmax": LogSoftmax,
    "mish": Mish,
    "relu": ReLU,
    "relu6": ReLU,
    "selu": SELU,
    "sigmoid": Sigmoid,
    "silu": SiLU,
    "soft_shrink": SoftShrink,
    "softmax": Softmax,
    "softplus": Softplus,
    "softsign": Softsign,
    "sparse_plus": SparsePlus,
    "sparse_sigmoid": SparseSigmoid,
    "sparsemax": Sparsemax,
    "squareplus": Squareplus,
    "swish": SiLU,
    "tanh": Tanh,
    "tanh_shrink": TanhShrink,
}

# what an activation is given where its name stands for other settings than its constructor's
BY_NAME: dict[str, dict[str, Any]] = {
    "leaky_relu": {"negative_slope": 0.2},
    "relu6": {"max_value": 6.0},
}

# what no name alone makes, and how it is written
NEEDS_ARGUMENTS = {"threshold": (Threshold, "Threshold(threshold, default_value)")}

FUNCTIONS: dict[Callable[..., Any], str] = {}  # those of `minicnn.activations`, and their names


def named(function: F) -> F:
    """Have a function of `minicnn.activations` stand for the activation of its name."""
    FUNCTIONS[function] = function.__name__
    return function


def _by_name(name: str) -> ActivationLayer:
    # a given name keeps it out of the automatic count
    return KNOWN[name](**BY_NAME.get(name, {}), name=name)


def name_or_description(layer: ActivationLayer) -> Any:
    """The name by which `get` makes an activation with these settings, else its description."""
    own = ("name", "trainable", "dtype", "input_shape")
    for name, kind in KNOWN.items():
        if type(layer) is kind:
            usual, config = _by_name(name).get_config(), layer.get_config()
            if all(usual.get(key) == config[key] for key in config if key not in own):
                return name
    return described(layer)


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
    activation : str, function of `minicnn.activations`, Layer or None
        A name such as "relu" or "gelu" (an unknown one is answered with all that there are), the
        function of that name, or a layer to apply.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.
    TypeError
        For a function whose derivative is not known; the message says how to give one.
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
    """The activation layer of that name, class, function or object; None is linear.

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
        kinds = [*KNOWN.values(), *(kind for kind, _ in NEEDS_ARGUMENTS.values()), Activation]
        return restored(identifier, kinds, "activation", who)
    if callable(identifier) and not isinstance(identifier, (type, Layer)):
        identifier = _name_of(identifier, who)
    if isinstance(identifier, str) and identifier.lower() in NEEDS_ARGUMENTS:
        raise ValueError(
            f"{who}: expected activation to have all its arguments, received {identifier!r}. Write "
            f"{NEEDS_ARGUMENTS[identifier.lower()][1]}"
        )
    checks.lookup(identifier, KNOWN, "activation", who)
    return _by_name(identifier.lower())


def _name_of(function: Any, who: str) -> str:
    """The name that a function of `minicnn.activations` stands for."""
    try:
        return FUNCTIONS[function]
    except (KeyError, TypeError):  # the latter for what has no hash
        raise TypeError(
            f"{who}: expected activation to be a name, an activation layer or a function of "
            f"minicnn.activations, received {checks.shown(function)}, whose derivative is not "
            "known. Write minicnn.activations.Function(function, derivative)"
        ) from None

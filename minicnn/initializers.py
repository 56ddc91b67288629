"""Initial values of the parameters.

A layer's output should vary about as much as its input, or a deep network's signal dies or
explodes. With `fan_in` summands in each output, weights of variance 1/fan_in keep the variance of
the forward signal, 1/fan_out that of the gradient; Glorot takes the middle, He doubles 1/fan_in
because ReLU passes half of what comes.

    glorot  variance 2 / (fan_in + fan_out)   Glorot and Bengio, 2010
    he      variance 2 / fan_in               He et al., 2015

    uniform U(-L, L) with L = sqrt(3 * variance)
    normal  N(0, s^2) cut off at 2 s, with s widened so that the variance holds after the cut
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config, seeds
from minicnn.copies import Copied
from minicnn.settings import Configured, Setting, restored
from minicnn.subclasses import refuse_vain_methods

Array = NDArray[Any]

# standard deviation of a unit normal that is cut off at -2 and 2
STD_OF_TRUNCATED_NORMAL = 0.87962566103423978

LARGEST = (
    2**48
)  # numbers in one array; no machine holds more, and NumPy's own errors name no argument


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Summands in one output, and outputs that one input reaches.

    >>> fans((3, 3, 1, 32))    # convolution (K_h, K_w, C_in, C_out)
    (9, 288)
    >>> fans((5408, 32))       # dense (in, units)
    (5408, 32)

    Raises TypeError or ValueError for a shape that there is not.
    """
    shape = _checked(shape, "fans")
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _checked(shape: Any, who: str) -> tuple[int, ...]:
    """The shape of a parameter, if a machine could hold it."""
    shape = checks.shape(shape, "shape", who)
    if math.prod(shape) > LARGEST:
        raise ValueError(
            f"{who}: expected a shape of at most {LARGEST} numbers, received {shape}. "
            "Make the layer or its input smaller"
        )
    return shape


class Initializer(Copied, Configured):
    """Base class. A subclass fills `shape` in `draw`; `seed` fixes its numbers, None does not."""

    seed = Setting(checks.seed)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, Initializer, ("draw",), {"call": ("draw",)})

    def __init__(self, seed: int | None = None, **unknown: Any) -> None:
        self._refuse_unknown(unknown)
        self.seed = seed

    def __call__(
        self,
        shape: tuple[int, ...],
        dtype: Any = None,
        rng: np.random.Generator | None = None,
    ) -> Array:
        """An array of `shape`; the numbers come from `seed`, else from `rng`, else are fresh.

        Raises TypeError or ValueError for a shape or dtype that there is not, or if `draw` returns
        something other than finite numbers of that shape.
        """
        who = type(self).__name__
        shape = _checked(shape, who)
        kind = config.float_dtype(dtype, who) or np.dtype(config.floatx())
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"{who}: expected rng to be a numpy.random.Generator or None, received "
                f"{checks.shown(rng)}. Write numpy.random.default_rng(seed)"
            )
        if self.seed is not None:
            rng = np.random.default_rng(self.seed)
        elif rng is None:
            rng = seeds.new_generator()
        values = checks.numeric(self.draw(shape, rng), "its values", who)
        if values.shape != shape:
            raise ValueError(
                f"{who}: expected draw to return values of shape {shape}, received {values.shape}"
            )
        checks.finite(values, "its values", who, dtype=kind)
        return values.astype(kind)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Values of `shape` in float64."""
        raise NotImplementedError(f"{type(self).__name__} has to define draw(shape, rng)")


class Zeros(Initializer):
    """All 0."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.zeros(shape)


class Ones(Initializer):
    """All 1."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.ones(shape)


def _constant(value: Any, name: str, who: str) -> Array:
    if not isinstance(value, (list, tuple, np.ndarray)):
        value = checks.real(value, name, who)
    numbers = np.array(checks.numeric(value, name, who), np.float64)
    checks.finite(numbers, name, who)
    return numbers


class Constant(Initializer):
    """The same number everywhere, or the numbers of an array of the parameter's own shape.

    An array by itself, in the place of an initializer, means this too.

    >>> Constant(0.5)((3,))
    array([0.5, 0.5, 0.5], dtype=float32)
    """

    value = Setting(_constant)

    def __init__(self, value: Any = 0.0, **unknown: Any) -> None:
        super().__init__(**unknown)
        self.value = value

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if self.value.ndim and self.value.shape != shape:
            raise ValueError(
                f"Constant: expected an array of the parameter's shape {shape}, received one of "
                f"{self.value.shape}"
            )
        return np.broadcast_to(self.value, shape)


class _Scaled(Initializer):
    ignored = {"input_axes": (None,), "output_axes": (None,)}

    def variance(self, fan_in: int, fan_out: int) -> float:
        raise NotImplementedError


class _Uniform(_Scaled):
    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        limit = math.sqrt(3 * self.variance(*fans(shape)))
        return rng.uniform(-limit, limit, shape)


class _Normal(_Scaled):
    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        z = rng.standard_normal(shape)
        while (outside := np.abs(z) > 2).any():
            z[outside] = rng.standard_normal(np.count_nonzero(outside))
        return z * math.sqrt(self.variance(*fans(shape))) / STD_OF_TRUNCATED_NORMAL


class _Glorot:
    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / (fan_in + fan_out)


class _He:
    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / fan_in


class GlorotUniform(_Glorot, _Uniform):
    """U(-L, L), L = sqrt(6 / (fan_in + fan_out)): Keras's default for kernels."""


class GlorotNormal(_Glorot, _Normal):
    """Normal of variance 2 / (fan_in + fan_out), cut off at two standard deviations."""


class HeUniform(_He, _Uniform):
    """U(-L, L), L = sqrt(6 / fan_in): for layers that ReLU follows."""


class HeNormal(_He, _Normal):
    """Normal of variance 2 / fan_in, cut off at two standard deviations."""


KNOWN: dict[str, type[Initializer]] = {
    "constant": Constant,
    "zeros": Zeros,
    "ones": Ones,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
}


def setting(value: Any, name: str, who: str) -> Initializer:
    """As `get`, for a layer's `Setting`."""
    return get(value, who, name)


def get(identifier: Any, who: str = "initializers", name: str = "initializer") -> Initializer:
    """The initializer of that name ("glorot_uniform", "GlorotUniform"), class or object.

    An array stands for its own numbers, {"class_name": ..., "config": ...} for the object that it
    describes. Raises ValueError for an unknown name, TypeError for
    anything else.
    """
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if isinstance(identifier, (np.ndarray, np.generic)) and not isinstance(identifier, str):
        numbers = checks.numeric(identifier, name, who)
        if numbers.dtype.kind == "b":
            raise TypeError(
                f"{who}: expected {name} to hold numbers, received {checks.shown(identifier)}"
            )
        checks.finite(numbers, name, who)
        return Constant(numbers)
    if isinstance(identifier, dict):
        return restored(identifier, KNOWN.values(), name, who)
    by_class = {cls.__name__: cls for cls in KNOWN.values()}
    if isinstance(identifier, str) and identifier in by_class:
        return by_class[identifier]()
    return checks.lookup(identifier, KNOWN, name, who)()

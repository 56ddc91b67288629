"""Initial values of the parameters.

A layer's output should vary about as much as its input, or a deep network's signal dies or
explodes. With `fan_in` summands in each output, weights of variance 1/fan_in keep the variance of
the forward signal, 1/fan_out that of the gradient; Glorot takes the middle, He doubles 1/fan_in
because ReLU passes half of what comes.

    glorot  variance 2 / (fan_in + fan_out)   Glorot and Bengio, 2010
    he      variance 2 / fan_in               He et al., 2015
    lecun   variance 1 / fan_in               LeCun et al., 1998

    uniform U(-L, L) with L = sqrt(3 * variance)
    normal  N(0, s^2) cut off at 2 s, with s widened so that the variance holds after the cut
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
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
    """Base class. A subclass fills `shape` in `draw`; `seed` fixes its numbers, None does not.

    One object returns the same numbers at each call, as in Keras, also without a seed.
    """

    seed = Setting(checks.seed)
    _first: np.random.Generator | None = None  # where the first call without a seed began

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

        Later calls repeat those of the first.

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
        values = checks.numeric(self._values(shape, kind, self._stream(rng)), "its values", who)
        if values.shape != shape:
            raise ValueError(
                f"{who}: expected draw to return values of shape {shape}, received {values.shape}"
            )
        checks.finite(values, "its values", who, dtype=kind)
        return values.astype(kind)

    def _stream(self, rng: np.random.Generator | None) -> np.random.Generator:
        """What this call draws from; the first one without a seed goes on in `rng`."""
        if self.seed is not None:
            return np.random.default_rng(self.seed)
        if self._first is not None:
            return copy.deepcopy(self._first)
        rng = seeds.new_generator() if rng is None else rng
        self._first = copy.deepcopy(rng)
        return rng

    def _values(self, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> Any:
        return self.draw(shape, rng)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Values of `shape` in float64."""
        raise NotImplementedError(f"{type(self).__name__} has to define draw(shape, rng)")


class Zeros(Initializer):
    """All 0."""

    def __init__(self) -> None:  # nothing is drawn, so no seed
        super().__init__()

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.zeros(shape)


class Ones(Initializer):
    """All 1."""

    def __init__(self) -> None:
        super().__init__()

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

    def __init__(self, value: Any = 0.0) -> None:
        super().__init__()
        self.value = value

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if self.value.ndim and self.value.shape != shape:
            raise ValueError(
                f"Constant: expected an array of the parameter's shape {shape}, received one of "
                f"{self.value.shape}"
            )
        return np.broadcast_to(self.value, shape)


class Identity(Initializer):
    """gain on the diagonal of a matrix, 0 elsewhere.

    >>> Identity()((2, 3))
    array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """

    gain = Setting(checks.real)

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if len(shape) != 2:
            raise ValueError(f"Identity: expected the shape of a matrix, received {shape}")
        return self.gain * np.eye(*shape)


class RandomNormal(Initializer):
    """N(mean, stddev^2)."""

    mean = Setting(checks.real)
    stddev = Setting(partial(checks.real, low=0))

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None, **unknown: Any
    ) -> None:
        super().__init__(seed, **unknown)
        self.mean = mean
        self.stddev = stddev

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """N(mean, stddev^2), drawn anew beyond two stddev from the mean: a little narrower, then."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return self.mean + self.stddev * _truncated(shape, rng)


class RandomUniform(Initializer):
    """U(minval, maxval)."""

    minval = Setting(checks.real)
    maxval = Setting(checks.real)

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None, **unknown: Any
    ) -> None:
        super().__init__(seed, **unknown)
        self.minval = minval
        self.maxval = maxval

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if self.minval > self.maxval:
            raise ValueError(
                f"RandomUniform: expected minval of at most maxval, {self.maxval}, received "
                f"{self.minval}"
            )
        return rng.uniform(self.minval, self.maxval, shape)


def _truncated(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A unit normal, drawn anew beyond -2 and 2."""
    z = rng.standard_normal(shape)
    while (outside := np.abs(z) > 2).any():
        z[outside] = rng.standard_normal(np.count_nonzero(outside))
    return z


class Orthogonal(Initializer):
    """gain times a random matrix whose rows, or columns if these are fewer, are orthonormal.

    A kernel of more than two axes is such a matrix with all axes but the last in one.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks", 2013.
    """

    gain = Setting(checks.real)

    def __init__(self, gain: float = 1.0, seed: int | None = None, **unknown: Any) -> None:
        super().__init__(seed, **unknown)
        self.gain = gain

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: expected a shape of at least two axes, received {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.diag(r))  # so that every such matrix is as likely as any other
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")


def _distribution(value: Any, name: str, who: str) -> str:
    if isinstance(value, str) and value.lower() == "normal":
        value = "truncated_normal"  # Keras's older name
    return checks.one_of(value, DISTRIBUTIONS, name, who)


class VarianceScaling(Initializer):
    """Random numbers of variance scale / fan: what glorot, he and lecun are cases of.

    Parameters
    ----------
    scale : float > 0
    mode : "fan_in", "fan_out" or "fan_avg"
        Which fan: the mean of both is fan_avg.
    distribution : "truncated_normal", "untruncated_normal" or "uniform"
    """

    ignored = {"input_axes": (None,), "output_axes": (None,)}
    scale = Setting(partial(checks.real, low=0, open_low=True))
    mode = Setting(lambda value, name, who: checks.one_of(value, MODES, name, who))
    distribution = Setting(_distribution)

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(seed, **unknown)
        self.scale = scale
        self.mode = mode
        self.distribution = distribution

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        return _drawn(self.distribution, self.scale / max(1.0, fan), shape, rng)


def _drawn(
    distribution: str, variance: float, shape: tuple[int, ...], rng: np.random.Generator
) -> Array:
    if distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return rng.uniform(-limit, limit, shape)
    if distribution == "untruncated_normal":
        return rng.normal(0, math.sqrt(variance), shape)
    return _truncated(shape, rng) * math.sqrt(variance) / STD_OF_TRUNCATED_NORMAL


class _Scaled(Initializer):
    ignored = {"input_axes": (None,), "output_axes": (None,)}

    def variance(self, fan_in: int, fan_out: int) -> float:
        raise NotImplementedError


class _Uniform(_Scaled):
    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return _drawn("uniform", self.variance(*fans(shape)), shape, rng)


class _Normal(_Scaled):
    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return _drawn("truncated_normal", self.variance(*fans(shape)), shape, rng)


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


class _Lecun:
    def variance(self, fan_in: int, fan_out: int) -> float:
        return 1 / fan_in


class LecunUniform(_Lecun, _Uniform):
    """U(-L, L), L = sqrt(3 / fan_in)."""


class LecunNormal(_Lecun, _Normal):
    """Normal of variance 1 / fan_in, cut off at two standard deviations: for SELU."""


class _FromFunction(Initializer):
    """A user's function of (shape, dtype), in the place of an initializer."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self._function = function

    def _values(self, shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> Any:
        return self._function(shape, dtype=dtype.name)

    def get_config(self) -> dict[str, Any]:
        raise TypeError(
            f"expected an initializer that JSON can hold, received the function "
            f"{checks.shown(self._function)}. Derive a class from Initializer"
        )


# Keras's other names for the same classes
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal
constant, identity, ones, orthogonal, zeros = Constant, Identity, Ones, Orthogonal, Zeros
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform = HeNormal, HeUniform
lecun_normal, lecun_uniform = LecunNormal, LecunUniform
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling = VarianceScaling


KNOWN: dict[str, type[Initializer]] = {
    "constant": Constant,
    "zeros": Zeros,
    "ones": Ones,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "identity": Identity,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
    "orthogonal": Orthogonal,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling,
}
# Keras's other names
ALIASES = {
    "IdentityInitializer": "identity",
    "OrthogonalInitializer": "orthogonal",
    "normal": "random_normal",
    "one": "ones",
    "uniform": "random_uniform",
    "zero": "zeros",
}


def setting(value: Any, name: str, who: str) -> Initializer:
    """As `get`, for a layer's `Setting`."""
    return get(value, who, name)


def get(identifier: Any, who: str = "initializers", name: str = "initializer") -> Initializer:
    """The initializer of that name ("glorot_uniform", "GlorotUniform"), class or object.

    An array stands for its own numbers, a function for what it returns for (shape, dtype=...),
    {"class_name": ..., "config": ...} for the object that it
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
    if callable(identifier) and not isinstance(identifier, type):
        return _FromFunction(identifier)
    if isinstance(identifier, dict):
        return restored(identifier, KNOWN.values(), name, who)
    if isinstance(identifier, str):
        identifier = ALIASES.get(identifier, identifier)
    by_class = {cls.__name__: cls for cls in KNOWN.values()}
    if isinstance(identifier, str) and identifier in by_class:
        return by_class[identifier]()
    return checks.lookup(identifier, KNOWN, name, who)()

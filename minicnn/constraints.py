"""What weights are held to: applied to them after each step of training.

    Dense(10, kernel_constraint=MaxNorm(2))

A constraint is a function of the weights that returns new ones, of the same shape; a plain function
of yours is one. The norms of the classes here are taken along `axis`: 0 stands for the weights into
each unit of a Dense layer; for a Conv2D kernel (K_h, K_w, C_in, C_out) write axis=[0, 1, 2].

Source: Srebro and Shraibman, "Rank, trace-norm and max-norm", 2005; with dropout: Srivastava et
al., 2014.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.copies import Copied
from minicnn.regularizers import kind
from minicnn.settings import Configured, Setting, restored
from minicnn.subclasses import refuse_vain_methods

Array = NDArray[Any]

EPSILON = 1e-7  # Keras's: keeps a norm of 0 from dividing

_norm = partial(checks.real, low=0)


def _floats(w: Any, rule: Constraint) -> Array:
    w = checks.numeric(w, "w", type(rule).__name__)
    return w if w.dtype.kind == "f" else w.astype(np.float64)


class Constraint(Copied, Configured):
    """Base class: `constraint(w)` returns the weights that take the place of w."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, Constraint, ("__call__",), {"call": ("__call__",)})

    def __init__(self, **unknown: Any) -> None:
        self._refuse_unknown(unknown)

    def __call__(self, w: Array) -> Array:
        return w

    def check(self, shape: tuple[int, ...], name: str, who: str) -> None:
        """Raise ValueError if weights of `shape` cannot be held to this."""


class NonNeg(Constraint):
    """No weight below 0: max(w, 0).

    >>> NonNeg()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def __call__(self, w: Array) -> Array:
        w = _floats(w, self)
        return np.maximum(w, w.dtype.type(0))


def _axis(value: Any, name: str, who: str) -> int | tuple[int, ...]:
    if isinstance(value, (list, tuple)):
        axes = tuple(_one_axis(one, name, who) for one in value)
        if len(set(axes)) < len(axes):
            raise ValueError(f"{who}: expected each {name} once, received {checks.shown(value)}")
        return axes
    return _one_axis(value, name, who)


def _one_axis(value: Any, name: str, who: str) -> int:
    most = checks.MOST_AXES
    return checks.integer(value, name, who, minimum=-most, maximum=most - 1)


class _Norms(Constraint):
    """Base of the constraints on norms: w * wanted / (epsilon + norm)."""

    axis = Setting(_axis)

    def __init__(self, axis: Any = 0, **unknown: Any) -> None:
        super().__init__(**unknown)
        self.axis = axis

    def check(self, shape: tuple[int, ...], name: str, who: str) -> None:
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        within = all(-len(shape) <= axis < len(shape) for axis in axes)
        if not within or len({axis % len(shape) for axis in axes}) < len(axes):
            raise ValueError(
                f"{who}: expected axis of {name} to be axes of weights of shape {shape}, each "
                f"once, received {checks.shown(self.axis)}"
            )

    def __call__(self, w: Array) -> Array:
        w = _floats(w, self)
        self.check(w.shape, "the constraint on w", type(self).__name__)
        norm = np.sqrt(np.square(w).sum(axis=self.axis, keepdims=True))
        held: Array = w * (self.wanted(norm) / (w.dtype.type(EPSILON) + norm))
        return held

    def wanted(self, norm: Array) -> Any:
        """The norms that take the place of `norm`."""
        raise NotImplementedError


class MaxNorm(_Norms):
    """Norms of at most `max_value`; longer ones are shortened to it.

    Parameters
    ----------
    max_value : float >= 0
    axis : int or list of int
        The axes that a norm runs over.

    Examples
    --------
    >>> MaxNorm(1)(np.array([[3.0, 0.3], [4.0, 0.4]])).round(3)     # norms 5 and 0.5
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """

    max_value = Setting(_norm)

    def __init__(self, max_value: float = 2, axis: Any = 0, **unknown: Any) -> None:
        super().__init__(axis, **unknown)
        self.max_value = max_value

    def wanted(self, norm: Array) -> Any:
        return np.minimum(norm, norm.dtype.type(self.max_value))


class UnitNorm(_Norms):
    """Norms of 1.

    Parameters
    ----------
    axis : int or list of int
        The axes that a norm runs over.

    Examples
    --------
    >>> UnitNorm()(np.array([3.0, 4.0])).round(3)
    array([0.6, 0.8])
    """

    def wanted(self, norm: Array) -> Any:
        return norm.dtype.type(1)


class MinMaxNorm(_Norms):
    """Norms between `min_value` and `max_value`; others go a part of the way there.

    Parameters
    ----------
    min_value, max_value : float >= 0
    rate : float in [0, 1]
        That part: 1 goes all the way.
    axis : int or list of int
        The axes that a norm runs over.

    Examples
    --------
    >>> MinMaxNorm(0, 1, rate=0.5)(np.array([3.0, 4.0])).round(3)   # half of the way from 5 to 1
    array([1.8, 2.4])
    """

    min_value = Setting(_norm)
    max_value = Setting(_norm)
    rate = Setting(partial(checks.real, low=0, high=1))

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: Any = 0,
        **unknown: Any,
    ) -> None:
        super().__init__(axis, **unknown)
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate

    def wanted(self, norm: Array) -> Any:
        low, high, rate = (norm.dtype.type(v) for v in (self.min_value, self.max_value, self.rate))
        return rate * np.maximum(np.minimum(norm, high), low) + (1 - rate) * norm


# Keras's other names for the same classes
max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm

KNOWN: dict[str, type[Constraint]] = {
    "max_norm": MaxNorm,
    "maxnorm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "minmaxnorm": MinMaxNorm,
    "non_neg": NonNeg,
    "nonneg": NonNeg,
    "unit_norm": UnitNorm,
    "unitnorm": UnitNorm,
}


def get(identifier: Any, who: str = "constraints", name: str = "constraint") -> Any:
    """The constraint of that name ("max_norm", "MaxNorm"), class, object, or function of yours.

    None is none, {"class_name": ..., "config": ...} stands for the object that it describes.

    Raises ValueError for an unknown name, TypeError for anything else.
    """
    if identifier is None:
        return None
    if isinstance(identifier, type) and issubclass(identifier, Constraint):
        return identifier()
    if isinstance(identifier, dict):
        return restored(identifier, KNOWN.values(), name, who)
    if not callable(identifier) or isinstance(identifier, type):
        return checks.lookup(identifier, KNOWN, name, who)()
    return identifier


def setting(value: Any, name: str, who: str) -> Any:
    """As `get`, for a layer's `Setting`."""
    return get(value, who, name)


def applied(constraint: Any, w: Array, who: str) -> Array:
    """constraint(w); TypeError or ValueError unless it is an array of numbers of w's shape."""
    name = f"the weights from {kind(constraint)}"
    with np.errstate(all="ignore"):  # what is not finite, the step finds
        given = constraint(w)
    held = checks.numeric(given, name, who)
    if held.shape != w.shape:
        raise ValueError(f"{who}: expected {name} of shape {w.shape}, received {held.shape}")
    return held

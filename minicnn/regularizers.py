"""Penalties on weights and outputs, added to the loss so that training keeps them small.

    loss = mean of the samples' losses + sum of the penalties

A penalty on weights counts once a step, whatever the batch and its sample weights. One on a layer's
output (`activity_regularizer`) is divided by the number of samples. Both are part of the loss that
`fit` and `evaluate` report, and of no metric. A frozen layer's weights have none.

A regularizer of your own says what the penalty is, and its gradient:

    class Smooth(Regularizer):
        def __call__(self, x):
            return 0.01 * np.sum(np.diff(x, axis=0) ** 2)

        def gradient(self, x):
            ...                     # d penalty / dx, an array of x's shape

Source: Krogh and Hertz, "A simple weight decay can improve generalization", 1991 (L2); Tibshirani,
"Regression shrinkage and selection via the lasso", 1996 (L1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.copies import Copied
from minicnn.settings import Configured, Setting, restored
from minicnn.subclasses import refuse_vain_methods

Array = NDArray[Any]

SHORTEST = 1e-12  # Keras's: what is shorter is divided by this

HOW_TO = (
    "Training needs its gradient: write a class with __call__(self, x), which returns the penalty, "
    "and gradient(self, x), which returns its gradient, an array of x's shape"
)


class Regularizer(Copied, Configured):
    """Base class: `regularizer(x)` is the penalty, a number; `gradient(x)` its gradient by x.

    Attributes
    ----------
    additive : bool
        Whether the penalty of a batch is the sum of its samples' penalties. Only then may the
        engine cut a batch whose outputs are penalized; L1, L2 and L1L2 are, another class is not
        unless it says so.
    """

    additive = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(
            cls,
            Regularizer,
            ("__call__", "gradient"),
            {"call": ("__call__",), "forward": ("__call__",), "backward": ("gradient",)},
        )

    def __init__(self, **unknown: Any) -> None:
        self._refuse_unknown(unknown)

    def __call__(self, x: Array) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define __call__(x)")

    def gradient(self, x: Array) -> Array:
        """d penalty / dx, an array of x's shape."""
        raise NotImplementedError(f"{type(self).__name__} has to define gradient(x)")


def factor(value: Any, name: str, who: str) -> float:
    try:
        return checks.real(value, name, who, low=0)
    except TypeError as error:  # Keras's kind of error
        raise ValueError(str(error)) from error


class L1L2(Regularizer):
    """l1 * sum of |x| + l2 * sum of x^2.

    Gradient
        l1 * sign(x) + 2 * l2 * x      (sign(0) = 0)

    Why: the L2 part pulls every number to 0 in proportion to its size, so that none grows large;
    the L1 part pulls all of them equally hard, so that those which do not matter become 0.

    Parameters
    ----------
    l1, l2 : float >= 0

    Examples
    --------
    >>> round(L1L2(l1=0.1, l2=0.01)(np.array([1.0, -2.0])), 6)      # 0.1 * 3 + 0.01 * 5
    0.35
    >>> L1L2(l1=0.1, l2=0.01).gradient(np.array([1.0, -2.0]))
    array([ 0.12, -0.14])
    """

    additive = True
    l1 = Setting(factor, none=lambda rule: 0.0)
    l2 = Setting(factor, none=lambda rule: 0.0)

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0, **unknown: Any) -> None:
        super().__init__(**unknown)
        self.l1 = l1
        self.l2 = l2

    def __call__(self, x: Array) -> float:
        x = _floats(x, self)
        return _sum(np.abs, self.l1, x) + _sum(np.square, self.l2, x)

    def gradient(self, x: Array) -> Array:
        x = _floats(x, self)
        gradient: Array = x * x.dtype.type(2 * self.l2)
        if self.l1:
            gradient += x.dtype.type(self.l1) * np.sign(x)
        return gradient


class L1(Regularizer):
    """l1 * sum of |x|; see `L1L2`.

    Parameters
    ----------
    l1 : float >= 0

    Examples
    --------
    >>> round(L1(0.1)(np.array([1.0, -2.0, 3.0])), 6)
    0.6
    """

    additive = True
    l1 = Setting(factor, none=lambda rule: 0.01)

    def __init__(self, l1: float | None = 0.01, **unknown: Any) -> None:
        super().__init__(**unknown)
        self.l1 = l1

    def __call__(self, x: Array) -> float:
        return _sum(np.abs, self.l1, _floats(x, self))

    def gradient(self, x: Array) -> Array:
        x = _floats(x, self)
        gradient: Array = x.dtype.type(self.l1) * np.sign(x)
        return gradient


class L2(Regularizer):
    """l2 * sum of x^2, without the factor 1/2 of some libraries; see `L1L2`.

    Parameters
    ----------
    l2 : float >= 0

    Examples
    --------
    >>> round(L2(0.1)(np.array([1.0, -2.0, 3.0])), 6)
    1.4
    """

    additive = True
    l2 = Setting(factor, none=lambda rule: 0.01)

    def __init__(self, l2: float | None = 0.01, **unknown: Any) -> None:
        super().__init__(**unknown)
        self.l2 = l2

    def __call__(self, x: Array) -> float:
        return _sum(np.square, self.l2, _floats(x, self))

    def gradient(self, x: Array) -> Array:
        x = _floats(x, self)
        return x * x.dtype.type(2 * self.l2)


class OrthogonalRegularizer(Regularizer):
    """factor times the mean of |cosine| over all pairs of rows of a matrix, or of its columns.

    Penalty
        n_i = x_i / |x_i|                       (a row x_i; one that is shorter than 1e-12 is 0)
        factor * mean over the pairs i < j of |n_i . n_j|

    Gradient
        G_i  = factor / pairs * sum over j != i of sign(n_i . n_j) n_j
        dx_i = (G_i - (G_i . n_i) n_i) / |x_i|

    Why: rows at right angles to each other cost nothing. Making a row longer does not change its
    direction, so the part of G_i along n_i drops out.

    Parameters
    ----------
    factor : float >= 0
    mode : "rows" or "columns"

    Raises
    ------
    ValueError
        For an x that is no matrix, such as the kernel of a Conv2D layer, or has no pair.

    Examples
    --------
    >>> x = np.array([[3.0, 4.0], [1.0, 0.0]])
    >>> round(OrthogonalRegularizer(0.1)(x), 6)         # 0.1 * 0.6
    0.06
    >>> OrthogonalRegularizer(0.1).gradient(x).round(4)
    array([[ 0.0128, -0.0096],
           [ 0.    ,  0.08  ]])
    """

    factor = Setting(factor)
    mode = Setting(lambda value, name, who: checks.one_of(value, ("rows", "columns"), name, who))

    def __init__(self, factor: float = 0.01, mode: str = "rows", **unknown: Any) -> None:
        super().__init__(**unknown)
        self.factor = factor
        self.mode = mode

    def __call__(self, x: Array) -> float:
        _, cosines, pairs = self._directions(x)[1:]
        return self.factor * float(np.abs(cosines).sum(dtype=np.float64)) / 2 / pairs

    def gradient(self, x: Array) -> Array:
        lengths, n, cosines, pairs = self._directions(x)
        G = np.sign(cosines) @ n
        along = (G * n).sum(axis=1, keepdims=True)
        # too short to have a direction: n is x / 1e-12 there
        dx = np.where(lengths > SHORTEST, G - along * n, G) / np.maximum(lengths, SHORTEST)
        dx *= dx.dtype.type(self.factor / pairs)
        return dx if self.mode == "rows" else np.ascontiguousarray(dx.T)

    def _directions(self, x: Any) -> tuple[Array, Array, Array, int]:
        """Lengths of the rows, the rows at length 1, their cosines with 0 for i = j; pairs."""
        x = _floats(x, self)
        if x.ndim != 2:
            raise ValueError(
                f"OrthogonalRegularizer: expected weights with two axes, received x of shape "
                f"{x.shape}. It is for matrices, such as the kernel of a Dense layer"
            )
        rows = x if self.mode == "rows" else x.T
        count = len(rows)
        if count < 2:
            raise ValueError(
                f"OrthogonalRegularizer: expected weights with at least two {self.mode}, received "
                f"x of shape {x.shape}"
            )
        lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
        n = rows / np.maximum(lengths, SHORTEST)
        cosines = n @ n.T
        np.fill_diagonal(cosines, 0)
        return lengths, n, cosines, count * (count - 1) // 2


def _floats(x: Any, rule: Regularizer) -> Array:
    x = checks.numeric(x, "x", type(rule).__name__)
    return x if x.dtype.kind == "f" else x.astype(np.float64)


def _sum(size: Callable[[Array], Array], factor: float, x: Array) -> float:
    """Summed in float64, which costs little and keeps the digits of a loss that is small."""
    return factor * float(size(x).sum(dtype=np.float64)) if factor else 0.0


# Keras's other names for the same classes
l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer

KNOWN: dict[str, type[Regularizer]] = {
    "l1": L1,
    "l2": L2,
    "l1l2": L1L2,
    "l1_l2": L1L2,
    "orthogonal_regularizer": OrthogonalRegularizer,
    "orthogonalregularizer": OrthogonalRegularizer,
}


def get(identifier: Any, who: str = "regularizers", name: str = "regularizer") -> Any:
    """The regularizer of that name ("l1", "l2", "l1l2", in any case), class or object.

    None is none, {"class_name": ..., "config": ...} stands for the object that it describes, and an
    object of yours that can be called and has a `gradient` is taken as it is.

    Raises ValueError for an unknown name, TypeError for anything else; the message says how to
    write one.
    """
    if identifier is None:
        return None
    if isinstance(identifier, type) and issubclass(identifier, Regularizer):
        identifier = identifier()
    if isinstance(identifier, dict):
        return restored(identifier, KNOWN.values(), name, who)
    if not callable(identifier) or isinstance(identifier, type):
        return checks.lookup(identifier, KNOWN, name, who)()
    inherited = getattr(type(identifier), "gradient", None) is Regularizer.gradient
    if inherited or not callable(getattr(identifier, "gradient", None)):
        raise TypeError(
            f"{who}: expected {name} to have a gradient, received {checks.shown(identifier)}. "
            f"{HOW_TO}"
        )
    return identifier


def setting(value: Any, name: str, who: str) -> Any:
    """As `get`, for a layer's `Setting`."""
    return get(value, who, name)


def penalty(regularizer: Any, x: Array, who: str) -> float:
    """regularizer(x) as a float; TypeError or ValueError unless it is one real number."""
    with np.errstate(all="ignore"):  # what overflows, the loss shows
        given = regularizer(x)
    value = checks.numeric(given, f"the penalty of {kind(regularizer)}", who)
    if value.shape:
        raise ValueError(
            f"{who}: expected {kind(regularizer)} to return one number, received an array of shape "
            f"{value.shape}. Sum it up"
        )
    return float(value)


def slope(regularizer: Any, x: Array, who: str) -> Array:
    """regularizer.gradient(x) in x's float type; TypeError or ValueError unless it fits x."""
    name = f"the gradient of {kind(regularizer)}"
    with np.errstate(all="ignore"):
        given = regularizer.gradient(x)
    gradient = checks.numeric(given, name, who)
    if gradient.shape != x.shape:
        raise ValueError(
            f"{who}: expected {name} of x's shape {x.shape}, received {gradient.shape}"
        )
    return gradient.astype(x.dtype, copy=False)


def kind(rule: Any) -> str:
    """The name of a regularizer or constraint in an error message."""
    return getattr(rule, "__name__", type(rule).__name__)

"""What check_layer, check_loss and check_model accept: their arguments, checked."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.gradcheck.check import Options
from minicnn.gradcheck.subjects import Subject
from minicnn.losses import Loss
from minicnn.models import Sequential

Array = NDArray[Any]
Shape = tuple[Any, ...]

BATCH = 3  # samples, where the shape leaves it open; differs from the 2 in so many formulas
LARGEST = 10_000_000  # numbers of an x that is drawn


def expect_layer(layer: Any) -> None:
    received = ""
    if isinstance(layer, type):
        received = f"the class {layer.__name__}. Make an object of it: {layer.__name__}(...)"
    elif isinstance(layer, Sequential):
        received = f"{layer.who}. For models there is check_model"
    elif isinstance(layer, Loss):
        received = f"the loss {layer.name}. There is check_loss for it"
    if received:
        raise TypeError(f"check_layer: expected a layer, received {received}")
    expect_passes(layer, "a layer with forward(x) and backward(dy)", "check_layer")


def as_shape(value: Any) -> Shape | None:
    """The argument as a shape, or None if it is an array."""
    if not isinstance(value, (tuple, list)) or not value:
        return None
    if all(item is None or isinstance(item, numbers.Integral) for item in value):
        sizes = value[1:] if value[0] is None else value
        if any(size is None for size in sizes):
            raise ValueError(
                f"check_layer: expected input_shape_or_x to have None for the batch axis only, "
                f"received {checks.shown(value)}. Give the other sizes as numbers, small ones do"
            )
        name = "each size of input_shape_or_x"
        known = [checks.size(size, name, "check_layer") for size in sizes]
        return (None, *known) if value[0] is None else tuple(known)
    return None


def as_batch(value: Any) -> Array:
    x = checks.numeric(value, "input_shape_or_x", "check_layer")
    if x.ndim < 1 or 0 in x.shape:
        raise ValueError(
            "check_layer: expected input_shape_or_x to be a shape such as (None, 28, 28, 1), or a "
            f"batch of at least one sample, received {checks.shown(value)}"
        )
    checks.finite(x, "input_shape_or_x", "check_layer")
    return x.astype(np.float64)


def full_shape(layer: Any, shape: Shape) -> Shape:
    """The shape of a batch: the one given, or that with a batch axis before it."""
    full = (BATCH if shape[0] is None else shape[0], *shape[1:])
    output_shape: Any = getattr(layer, "output_shape", None)
    try:
        if callable(output_shape):
            output_shape(full)
    except ValueError as error:
        if shape[0] is None:
            raise
        full = (BATCH, *shape)
        try:
            output_shape(full)
        except ValueError:
            raise error from None
    if math.prod(full) > LARGEST:
        raise ValueError(
            f"check_layer: expected input_shape_or_x to hold at most {LARGEST:,} numbers, received "
            f"{shape}. Gradients are right or wrong on small inputs, too"
        )
    return full


def spaced(shape: Shape, rng: np.random.Generator) -> Array:
    """Random numbers between -2 and 2, all apart from each other and from 0.

    >>> x = spaced((2, 3), np.random.default_rng(0))
    >>> x.shape, bool(np.diff(np.sort(x.ravel())).min() > 0.3)
    ((2, 3), True)
    """
    size = math.prod(shape)
    grid = np.arange(size) + 0.5 - size / 2  # no whole number of steps from 0 ...
    grid += 0.5 * (size % 2) + rng.uniform(-0.2, 0.2, size)  # ... for odd sizes too
    return rng.permutation(grid * (4 / (size + 1))).reshape(shape)


def expect_passes(thing: Any, expected: str, caller: str) -> None:
    for method in ("forward", "backward"):
        if not callable(getattr(thing, method, None)):
            raise TypeError(
                f"{caller}: expected {expected}, received {checks.shown(thing)}, which has no "
                f"{method}"
            )


def options(
    caller: str,
    products: int,
    eps: Any,
    seed: Any,
    bar: Any,
    linear: Any,
    max_elements: Any,
    max_kinks: Any,
) -> Options:
    if linear is not None and not isinstance(linear, (bool, np.bool_)):
        raise TypeError(
            f"{caller}: expected linear to be True, False or None, received {checks.shown(linear)}"
        )

    def positive(value: Any, name: str) -> float:
        return checks.real(value, name, caller, low=0, high=0.1, open_low=True)

    return Options(
        eps=positive(eps, "eps"),
        bar=None if bar is None else positive(bar, "bar"),
        linear=None if linear is None else bool(linear),
        max_elements=checks.integer(max_elements, "max_elements", caller, minimum=1),
        max_kinks=checks.real(max_kinks, "max_kinks", caller, low=0, high=1),
        products=products,
        rng=np.random.default_rng(checks.integer(seed, "seed", caller, minimum=0)),
    )


def names(wrt: Any, caller: str) -> list[str] | None:
    """The argument `wrt` as a list of names; None for all."""
    if wrt is None:
        return None
    names = list(wrt) if isinstance(wrt, (set, frozenset)) else checks.listed(wrt, "wrt", caller)
    if not names:
        raise ValueError(
            f"{caller}: expected wrt to hold names, received none. None stands for all"
        )
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"{caller}: expected wrt to be a list of names, received {checks.shown(name)} in it"
            )
    return names


def chosen(subject: Subject, names: list[str] | None, caller: str) -> list[str]:
    for name in names or ():
        if name not in subject.tensors:
            known = ", ".join(subject.tensors)
            raise ValueError(
                f"{caller}: expected wrt to name some of {known}; received {checks.shown(name)}"
            )
    return [name for name in subject.tensors if names is None or name in names]

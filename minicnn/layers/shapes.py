"""Shapes that layers are given: checked, and read as those of images."""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import checks
from minicnn.layers.subclassing import checked_init

if TYPE_CHECKING:
    from minicnn.layers.base import Layer

Shape = tuple[Any, ...]  # batch axis first; None where the batch size is open


def image_shape(input_shape: Shape, who: str) -> tuple[int, int, int]:
    """(H, W, C) of a batch of images, or an error that says how to make it one."""
    if len(input_shape) == 4:
        _, H_in, W_in, C_in = input_shape
        if all(isinstance(size, (int, np.integer)) and size > 0 for size in (H_in, W_in, C_in)):
            return H_in, W_in, C_in
    fix = {
        3: "Add a channel axis: x[..., None]",
        2: "Reshape the rows to images: x.reshape(-1, H, W, C)",
        5: "Leave the batch axis out of input_shape: it is (H, W, C)",
    }.get(len(input_shape), "All of H, W, C have to be known and at least 1")
    raise ValueError(
        f"{who}: expected input of shape (N, H, W, C), received {tuple(input_shape)}. {fix}"
    )


def checked_shape(input_shape: Any, who: str) -> Shape:
    """The `input_shape` of a `build`, batch axis first; None stands for a size that is open."""
    return checks.batch_shape(input_shape, "input_shape", who)


def sample_shape(input_shape: Any, who: str) -> tuple[int, ...]:
    """The `input_shape` argument: the shape of one sample, without the batch axis."""
    if not isinstance(input_shape, (list, tuple)):
        raise TypeError(
            f"{who}: expected input_shape to be a tuple such as (28, 28, 1), "
            f"received {checks.shown(input_shape)}"
        )
    unknown = [size is None for size in input_shape]
    if len(input_shape) > 1 and unknown[0] and not any(unknown[1:]):
        raise ValueError(
            f"{who}: expected input_shape to be the shape of one sample, received "
            f"{tuple(input_shape)}. Leave the batch axis out: {tuple(input_shape[1:])}"
        )
    if any(unknown):
        raise ValueError(
            f"{who}: expected input_shape to be the shape of one sample, all sizes known, received "
            f"{tuple(input_shape)}. A model is built for one size: write (28, 28, 1), say, and "
            "bring the data to it"
        )
    return tuple(checks.size(size, "each size of input_shape", who) for size in input_shape)


def size_of(shape: Shape) -> int:
    """Numbers in one sample of a batch of `shape`."""
    return math.prod(shape[1:])


def checks_shapes(output_shape: Callable[..., Shape]) -> Callable[..., Shape]:
    """`output_shape`, with an error that names the layer if it is not given a shape.

    Numbers that cannot be sizes reach the layer first, whose own message may say more.
    """

    def a_size(n: Any) -> bool:
        return n is None or (type(n) is int and 0 < n <= checks.LARGEST_SIZE)

    def a_number(n: Any) -> bool:
        most = checks.LARGEST_SIZE
        return n is None or (isinstance(n, numbers.Real) and n <= most and not n < -most)

    @functools.wraps(output_shape)
    def asked(self: Layer, input_shape: Shape, *args: Any, **kwargs: Any) -> Shape:
        shape = isinstance(input_shape, (list, tuple))
        shape = shape and 0 < len(input_shape) <= checks.MOST_AXES
        if shape and type(input_shape) is tuple and all(map(a_size, input_shape)):
            return output_shape(self, input_shape, *args, **kwargs)
        checked_init(self)
        if not shape or not all(map(a_number, input_shape)):
            checked_shape(input_shape, self.who)
        y_shape = output_shape(self, tuple(input_shape), *args, **kwargs)
        checked_shape(input_shape, self.who)
        return y_shape

    return asked

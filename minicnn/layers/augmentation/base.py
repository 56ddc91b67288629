"""What the layers that vary images in training share: when they act, and what they draw."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from minicnn import checks, kernels
from minicnn.layers.base import Array, Shape, image_shape
from minicnn.layers.randomness import RandomLayer
from minicnn.layers.resizing import TakesOneImage
from minicnn.outputs import Output


class ActingAlone(TakesOneImage):
    """Base of the layers that act when they are called by themselves, as Keras's do."""

    def __call__(self, x: Any, training: bool = True) -> Output:
        """y for the batch (N, H, W, C) or the image (H, W, C), varied unless told not to.

        In a model they act in training alone.
        """
        return super().__call__(x, training)


class AugmentationLayer(ActingAlone, RandomLayer):
    """Base of the layers that give each image another look in each step of training.

    A subclass defines `_augmented`, from x to y and what backward has to know, and `_gradient`,
    from dy and that to dx.
    """

    ignored = {"data_format": (None, "channels_last")}

    def output_shape(self, input_shape: Shape) -> Shape:
        image_shape(input_shape, self.who)
        return tuple(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        training = checks.boolean(training, "training", self.who)
        x = self._input(x)
        if not training:
            self._cache = (None,)
            return x
        y, drawn = self._augmented(x)
        self._cache = (drawn,)
        self._step += 1
        return y

    def backward(self, dy: Array) -> Array:
        dy, (drawn,) = self._recall(dy)
        return dy if drawn is None else self._gradient(dy, drawn)

    @abstractmethod
    def _augmented(self, x: Array) -> tuple[Array, Any]:
        """y for the batch x, and what `_gradient` needs."""

    @abstractmethod
    def _gradient(self, dy: Array, drawn: Any) -> Array:
        """dx."""

    def _uniform(self, n: int, count: int) -> Array:
        """`count` random numbers in [0, 1) for each of n images: (n, count), float64."""
        u = np.empty((n, count))
        kernels.uniform(*self._place(count), u.reshape(-1))
        return u


def between(u: Array, bounds: tuple[float, float]) -> Array:
    """Numbers in [0, 1), stretched to the interval."""
    low, high = bounds
    return low + (high - low) * u


def interval(
    value: Any, name: str, who: str, *, low: float, high: float, open_low: bool = False
) -> tuple[float, float]:
    """`value` as (lower, upper), both within the bounds: a number f stands for (-f, f).

    A pair is sorted, and -f is no less than the lowest bound, as in Keras: (0, f) where that is 0.
    """
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ValueError(
                f"{who}: expected {name} to be a number or two (lower, upper), received "
                f"{checks.shown(value)}"
            )
        first, second = (
            checks.real(v, f"each number of {name}", who, low=low, high=high, open_low=open_low)
            for v in value
        )
        return min(first, second), max(first, second)
    f = abs(checks.real(value, name, who, low=low, high=high, open_low=open_low))
    return max(-f, low), f


def value_range(value: Any, name: str, who: str) -> tuple[float, float]:
    """`value` as the lowest and the highest number that a pixel can be."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        kind = ValueError if isinstance(value, (list, tuple)) else TypeError
        raise kind(
            f"{who}: expected {name} to be two numbers (low, high), received {checks.shown(value)}"
        )
    first, second = (checks.real(v, f"each number of {name}", who) for v in value)
    if first == second:
        raise ValueError(
            f"{who}: expected {name} to be two different numbers (low, high), received "
            f"{checks.shown(value)}"
        )
    return min(first, second), max(first, second)

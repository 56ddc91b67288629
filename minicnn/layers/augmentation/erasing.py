"""Images with a part painted over."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.augmentation.base import AugmentationLayer, between, interval, value_range
from minicnn.layers.base import Array, Shape
from minicnn.settings import Setting


def _filling(value: Any, name: str, who: str) -> float | tuple[float, ...] | None:
    """None, a number, or a number for each channel."""
    if isinstance(value, (list, tuple)) and value:
        return tuple(checks.real(v, f"each number of {name}", who) for v in value)
    return None if value is None else checks.real(value, name, who)


class RandomErasing(AugmentationLayer):
    """Paints over a rectangle of some of the images while training.

    Shapes
        x, y   (N, H, W, C)

    Forward
        training    with probability p, drawn for each image from the interval `factor`, the pixels
                    of a rectangle become fill_value. Its width is W sqrt(s), its height H sqrt(t),
                    s and t uniform in the interval `scale`; its place is uniform
        otherwise   y = x

    Backward
        dx = dy outside of the rectangle, 0 inside   (or dy)

    Source: Zhong, Zheng, Kang, Li and Yang, "Random erasing data augmentation", 2017.

    Parameters
    ----------
    factor : float or (float, float), in [0, 1]
        f stands for (0, f), so that 1.0 erases in half of the images and (1.0, 1.0) in all.
    scale : float or (float, float), in [0, 1]
        Parts of the image; s stands for (0, s).
    fill_value : float, a sequence of one for each channel, or None
        None fills with normal noise times the upper end of value_range. Brought within value_range.
    value_range : (float, float)
        What pixels can be: (0, 1) for scaled images.
    seed : int, optional
        Fixes the rectangles; None draws a seed from the model's generator.

    Raises
    ------
    TypeError, ValueError
        For anything else, and for images of another number of channels than fill_value has.

    Examples
    --------
    >>> layer = RandomErasing((1, 1), scale=(1, 1), fill_value=7)
    >>> layer(np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)).ravel()
    array([7., 7., 7.])
    """

    factor = Setting(partial(interval, low=0, high=1))
    scale = Setting(partial(interval, low=0, high=1))
    fill_value = Setting(_filling)
    value_range = Setting(value_range)

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.factor = factor
        self.scale = scale
        self.fill_value = fill_value
        self.value_range = value_range

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = super().output_shape(input_shape)
        if isinstance(self.fill_value, tuple) and len(self.fill_value) != shape[-1]:
            raise ValueError(
                f"{self.who}: expected fill_value to be one number, or one for each of "
                f"{shape[-1]} channels, received {self.fill_value}"
            )
        return shape

    def _augmented(self, x: Array) -> tuple[Array, Any]:
        N, H, W, _ = x.shape
        u = self._uniform(N, 6)
        columns = self._side(W, u[:, :1], u[:, 2:3])
        rows = self._side(H, u[:, 1:2], u[:, 3:4])
        drawn = u[:, 5] < between(u[:, 4], self.factor)
        erased = rows[:, :, None, None] & columns[:, None, :, None] & drawn[:, None, None, None]
        low, high = self.value_range
        if self.fill_value is None:
            filling = x.dtype.type(high) * self._normal(x.shape, x.dtype)
        else:
            filling = np.asarray(self.fill_value, x.dtype)
        y = np.where(erased, np.clip(filling, x.dtype.type(low), x.dtype.type(high)), x)
        return y, erased

    def _side(self, size: int, part: Array, place: Array) -> Array:
        """Which rows or columns the rectangle covers: (N, size)."""
        length = size * np.sqrt(between(part, self.scale))
        start = place * (size - length)
        index = np.arange(size)
        return (start <= index) & (index < start + length)

    def _gradient(self, dy: Array, drawn: Any) -> Array:
        return np.where(drawn, dy.dtype.type(0), dy)

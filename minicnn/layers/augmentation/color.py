"""Images with more or less contrast, brighter or darker."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.augmentation.base import AugmentationLayer, between, interval, value_range
from minicnn.layers.base import Array
from minicnn.settings import Setting


def _contrast(value: Any, name: str, who: str) -> tuple[float, float]:
    if isinstance(value, (list, tuple)):
        return interval(value, name, who, low=0, high=1)
    f = checks.real(value, name, who, low=0, high=1)
    return f, f


class _ColorLayer(AugmentationLayer):
    """Base of the layers whose pixels are kept within `value_range`."""

    value_range = Setting(value_range)

    def _clipped(self, z: Array) -> tuple[Array, Array]:
        """z within the range, and where it is from the start: elsewhere the slope is 0."""
        low, high = (z.dtype.type(end) for end in self.value_range)
        return np.clip(z, low, high), (z >= low) & (z <= high)

    @abstractmethod
    def _augmented(self, x: Array) -> tuple[Array, Any]: ...

    @abstractmethod
    def _gradient(self, dy: Array, drawn: Any) -> Array: ...


class RandomContrast(_ColorLayer):
    """Moves the pixels of each channel away from their mean, or towards it, while training.

    Shapes
        x, y   (N, H, W, C)

    Forward
        training    y = clip(z),   z = c (x - m) + m,   m the mean over H and W of each channel,
                    c uniform in [1 - lower, 1 + upper], one number for each image
        otherwise   y = x

    Backward
        dz = dy where z was within the range, else 0
        dx = c dz + (1 - c) mean(dz)   (or dy)

    Why: each pixel is also a part 1 / (H W) of the mean, which enters each z by 1 - c.

    Parameters
    ----------
    factor : float or (float, float), in [0, 1]
        (lower, upper), sorted; a number f stands for (f, f), as Keras's documentation has it.
    value_range : (float, float)
        What pixels can be: (0, 1) for scaled images.
    seed : int, optional
        Fixes the factors; None draws a seed from the model's generator.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> RandomContrast((0, 0))(np.array([10.0, 20.0, 300.0]).reshape(1, 3, 1)).ravel()
    array([ 10.,  20., 255.])
    """

    factor = Setting(_contrast)

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.factor = factor
        self.value_range = value_range

    def _augmented(self, x: Array) -> tuple[Array, Any]:
        lower, upper = self.factor
        u = self._uniform(len(x), 1)[:, :, None, None]
        c = between(u, (1 - lower, 1 + upper)).astype(x.dtype)
        mean = x.mean(axis=(1, 2), keepdims=True)
        y, within = self._clipped(c * (x - mean) + mean)
        return y, (c, within)

    def _gradient(self, dy: Array, drawn: Any) -> Array:
        c, within = drawn
        dz = dy * within
        dx: Array = c * dz + (1 - c) * dz.mean(axis=(1, 2), keepdims=True)
        return dx


class RandomBrightness(_ColorLayer):
    """Adds a random number to all pixels of an image while training.

    Shapes
        x, y   (N, H, W, C)

    Forward
        training    y = clip(x + u * (high - low)),   u uniform, one number for each image
        otherwise   y = x

    Backward
        dx = dy where x + u * (high - low) was within the range, else 0   (or dy)

    Parameters
    ----------
    factor : float or (float, float), in [-1, 1]
        Bounds of u: at -1 all is black, at 1 white; f stands for (-f, f).
    value_range : (float, float)
        (low, high), what pixels can be: (0, 1) for scaled images.
    seed : int, optional
        Fixes the numbers; None draws a seed from the model's generator.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> layer = RandomBrightness((0.1, 0.1))
    >>> layer(np.array([1.0, 2.0, 250.0]).reshape(1, 3, 1)).ravel()
    array([ 26.5,  27.5, 255. ])
    """

    factor = Setting(partial(interval, low=-1, high=1))

    def __init__(
        self,
        factor: Any,
        value_range: Any = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.factor = factor
        self.value_range = value_range

    def _augmented(self, x: Array) -> tuple[Array, Any]:
        low, high = self.value_range
        u = between(self._uniform(len(x), 1), self.factor)[:, :, None, None]
        return self._clipped(x + (u * (high - low)).astype(x.dtype))

    def _gradient(self, dy: Array, drawn: Any) -> Array:
        dx: Array = dy * drawn
        return dx

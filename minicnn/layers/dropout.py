"""Dropout: noise against learning by heart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, kernels
from minicnn.layers.base import Array, Shape, image_shape, size_of
from minicnn.layers.randomness import RandomLayer
from minicnn.settings import Setting


def noise_shape_setting(value: Any, name: str, who: str) -> tuple[int | None, ...] | None:
    """A shape in which None stands for the input's own size, or None for all of the input's."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or not value:
        kind = ValueError if isinstance(value, (list, tuple)) else TypeError
        raise kind(
            f"{who}: expected {name} to be a tuple of sizes, None for the input's own, received "
            f"{checks.shown(value)}. (None, 1, 1, None) decides for whole channels"
        )
    return tuple(None if n is None else checks.size(n, f"each size of {name}", who) for n in value)


class DroppingLayer(RandomLayer):
    """Base of the layers that keep or drop cells: each by itself, or several by one decision."""

    rate = Setting(partial(checks.real, low=0, high=1))  # counts from the next epoch or call on
    noise_shape: Any = None  # of all of the input

    def output_shape(self, input_shape: Shape) -> Shape:
        self._noise_shape(input_shape)
        return tuple(input_shape)

    def _noise_shape(self, x_shape: Shape) -> tuple[Any, ...]:
        """The shape of the decisions for an input of `x_shape`: 1 along an axis that shares them.

        Raises ValueError unless it broadcasts to the input. A first size other than 1 stands for
        the batch, of which a layer may get a part.
        """
        given = self.noise_shape
        if given is None:
            return tuple(x_shape)
        missing = len(x_shape) - len(given)
        shape = [1] * missing + [own if n is None else n for n, own in zip(given, x_shape)]
        if not self._one_for_all(len(x_shape)):
            shape[0] = x_shape[0]
        if missing < 0 or not all(n in (1, own) or own is None for n, own in zip(shape, x_shape)):
            raise ValueError(
                f"{self.who}: expected noise_shape to have 1 or the input's size on each axis of "
                f"the input {tuple(x_shape)}, received {tuple(given)}"
            )
        return tuple(shape)

    def _one_for_all(self, ndim: int) -> bool:
        """Whether all samples of a step share the decisions."""
        given = self.noise_shape
        return given is not None and (len(given) < ndim or given[0] == 1)

    def _keep(self, shape: tuple[int, ...]) -> Array:
        """True for what stays, drawn at (step, sample) of this layer's stream."""
        keep = np.empty(shape, np.bool_)
        key_1, key_2, first = self._place(size_of(shape))
        if self._one_for_all(len(shape)):
            first = 0
        kernels.keep_mask(key_1, key_2, first, self._dropped(), keep.reshape(-1))
        return keep

    def _dropped(self) -> int:
        """The rate times 2^32, which a cell's hash has to reach to stay."""
        return min(round(self.rate * 2**32), 2**32 - 1)


class MaskingLayer(DroppingLayer):
    """Base of the layers that set what they drop to 0, and scale the rest."""

    def forward(self, x: Array, training: bool = False) -> Array:
        training = checks.boolean(training, "training", self.who)
        x = self._input(x)
        if not training or self.rate == 0:
            self._cache = (None,)
            return x
        mask = self._keep(self._noise_shape(x.shape)) * x.dtype.type(self._scale())
        self._cache = (mask,)
        self._step += 1
        return x * mask

    def backward(self, dy: Array) -> Array:
        dy, (mask,) = self._recall(dy)
        return dy if mask is None else dy * mask

    def _scale(self) -> float:
        return 1 / (1 - self.rate) if self.rate < 1 else 0


class Dropout(MaskingLayer):
    """Sets a random part of its input to 0 while training, and does nothing otherwise.

    Shapes
        x, y   any

    Forward
        training    y = x * mask,   mask = 1/(1-rate) with probability 1-rate, else 0
        otherwise   y = x

    Backward
        dx = dy * mask   (or dy)

    Why: a dropped cell had no say in the output, so it gets no gradient. Scaling the rest by
    1/(1-rate) keeps the mean, so that nothing has to be rescaled afterwards ("inverted dropout").

    Each cell's fate is the hash of (seed, step, its number in the batch): every step has a mask of
    its own, and no thread or order of work can change it (`kernels/reference.py:keep_mask`).

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    2014.

    Parameters
    ----------
    rate : float in [0, 1]
        Part that is dropped; at 1 everything is.
    noise_shape : sequence of int or None, optional
        Shape of the mask, which is then stretched over the input: 1 on an axis gives all its cells
        one decision, None stands for the input's own size. A first size other than 1 stands for
        the batch.
    seed : int, optional
        Fixes the masks; None draws one from the model's generator.

    Raises
    ------
    TypeError, ValueError
        For a rate or seed outside these.

    Examples
    --------
    >>> layer = Dropout(0.5, seed=3)
    >>> layer.forward(np.ones(8))                     # not training: unchanged
    array([1., 1., 1., 1., 1., 1., 1., 1.])
    >>> y = layer.forward(np.ones(8), training=True)
    >>> sorted(set(y.tolist()))                       # dropped, or doubled
    [0.0, 2.0]
    >>> bool((layer.backward(np.ones(8)) == y).all())   # the same mask
    True
    """

    noise_shape = Setting(noise_shape_setting)

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.rate = rate
        self.noise_shape = noise_shape

    def draw(self, size: int) -> tuple[int, int, int, int, np.float32]:
        """Keys, first counter, threshold of `keep_mask`, and the scale, for samples of `size`."""
        return *self._place(size), self._dropped(), np.float32(self._scale())


class SpatialDropout2D(MaskingLayer):
    """Dropout of whole channels of an image: one decision for all its cells.

    Shapes
        x, y   (N, H, W, C)

    Forward
        training    y[n,h,w,c] = x[n,h,w,c] * mask[n,c],   mask as in Dropout
        otherwise   y = x

    Backward
        dx[n,h,w,c] = dy[n,h,w,c] * mask[n,c]   (or dy)

    Why: neighbouring cells of a channel say nearly the same, so a dropped one is hardly missed;
    a dropped channel is.

    Source: Tompson, Goroshin, Jain, LeCun and Bregler, "Efficient object localization using
    convolutional networks", 2015.

    Parameters
    ----------
    rate : float in [0, 1]
        Part of the channels that is dropped.
    data_format : "channels_last" or None
        Images are (N, H, W, C) in any case.
    seed : int, optional
        Fixes the masks; None draws one from the model's generator.
    """

    ignored = {"data_format": (None, "channels_last")}

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.rate = rate

    def _noise_shape(self, x_shape: Shape) -> tuple[Any, ...]:
        *_, C = image_shape(x_shape, self.who)
        return x_shape[0], 1, 1, C

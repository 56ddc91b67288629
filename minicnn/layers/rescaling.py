"""Rescaling: pixels of 0 to 255 become small numbers inside the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks, config
from minicnn.layers.base import Array, Layer


class Rescaling(Layer):
    """Every number times the same scale, plus the same offset.

    As the first layer it lets images stay bytes in memory: `fit` scales a batch at a time, and the
    model takes new images as they come, without anyone having to remember what they are divided by.

    Shapes
        x, y   any

    Forward
        y = scale * x + offset

    Backward
        dx = scale * dy

    Why: the slope of a straight line is the same everywhere, and the offset has none.

    Parameters
    ----------
    scale : float
        1 / 255 takes bytes to [0, 1]; 1 / 127.5 with offset -1 takes them to [-1, 1].
    offset : float

    Examples
    --------
    >>> import numpy as np
    >>> layer = Rescaling(1 / 4, offset=-1)
    >>> layer.forward(np.array([0.0, 4.0, 8.0]))
    array([-1.,  0.,  1.])
    >>> layer.backward(np.array([8.0, 8.0, 8.0]))
    array([2., 2., 2.])
    """

    def __init__(self, scale: float, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset

    @property
    def scale(self) -> float:
        """Factor of every number; may be set, and counts from the next call on."""
        return self._scale

    @scale.setter
    def scale(self, value: Any) -> None:
        self._scale = self._held(checks.real(value, "scale", self.who), "scale", self._dtype)

    @property
    def offset(self) -> float:
        """What is added to every number; may be set, and counts from the next call on."""
        return self._offset

    @offset.setter
    def offset(self, value: Any) -> None:
        self._offset = self._held(checks.real(value, "offset", self.who), "offset", self._dtype)

    def _held(self, value: float, name: str, dtype: Any) -> float:
        """`value`, if `dtype` can hold it; None, a type that is not known yet, holds all."""
        if dtype is not None and abs(value) > (limit := float(np.finfo(dtype).max)):
            raise ValueError(
                f"{self.who}: expected {name} to fit into {dtype}, whose largest number is "
                f"{limit:.2g}, received {value}. Give the layer dtype='float64'"
            )
        return value

    def set_dtype(self, dtype: Any) -> None:
        dtype = config.float_dtype(dtype, self.who)
        for name in ("scale", "offset"):
            self._held(getattr(self, name), name, dtype)
        super().set_dtype(dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        for name in ("scale", "offset"):
            self._held(getattr(self, name), name, x.dtype)
        self._cache = ()  # backward needs nothing of x
        return x * x.dtype.type(self.scale) + x.dtype.type(self.offset)

    def backward(self, dy: Array) -> Array:
        dy, _ = self._recall(dy)
        return dy * dy.dtype.type(self.scale)

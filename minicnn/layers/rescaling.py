"""Rescaling: pixels of 0 to 255 become small numbers inside the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks, config
from minicnn.layers.base import Array, Layer, Shape
from minicnn.settings import ReadSetting


def _numbers(value: Any, name: str, who: str) -> float | tuple[float, ...]:
    """A number, or several in a tuple, in which the user's array cannot be written later."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, (list, tuple, np.ndarray)):
        return checks.real(value, name, who)
    numbers = checks.numeric(value, name, who)
    if numbers.dtype.kind == "b":
        raise TypeError(f"{who}: expected {name} to hold numbers, received {checks.shown(value)}")
    checks.finite(numbers, name, who)
    if numbers.size == 0 or numbers.size != numbers.shape[-1]:
        raise ValueError(
            f"{who}: expected {name} to be a number, or one for each channel, received an "
            f"array of shape {numbers.shape}"
        )
    return tuple(numbers.astype(np.float64).reshape(-1).tolist())


def _expect_to_fit(value: Any, name: str, who: str, dtype: Any) -> None:
    """Raise unless `dtype` can hold `value`; None, a type that is not known yet, holds all."""
    if dtype is not None and (most := np.abs(value).max()) > (limit := np.finfo(dtype).max):
        raise ValueError(
            f"{who}: expected {name} to fit into {dtype}, whose largest number is "
            f"{limit:.2g}, received {most}. Give the layer dtype='float64'"
        )


def _read_only(value: Any) -> Any:
    """Several numbers as an array, which says so if someone tries to change the layer by it."""
    if not isinstance(value, tuple):
        return value
    numbers = np.array(value)
    numbers.flags.writeable = False
    return numbers


class _PerChannel(ReadSetting[Any]):
    """A number, or an array of one for each channel, which has to fit the layer's float type."""

    def __get__(self, thing: Any, owner: type) -> Any:
        held = {} if thing is None else vars(thing)
        return _read_only(held[self.name] if self.name in held else super().__get__(thing, owner))

    def put(self, thing: Any, value: Any) -> None:
        checked = self.check(value, self.name, thing.who)
        _expect_to_fit(checked, self.name, thing.who, thing.dtype)
        super().put(thing, checked)


class Rescaling(Layer):
    """Every number times a scale, plus an offset; the same for all numbers, or for each channel.

    As the first layer it lets images stay bytes in memory: `fit` scales a batch at a time, and the
    model takes new images as they come, without anyone having to remember what they are divided by.

    Shapes
        x, y            any; (N, ..., C) where each channel has its scale or offset
        scale, offset   one number, or (C,)

    Forward
        y[..., c] = scale[c] * x[..., c] + offset[c]

    Backward
        dx[..., c] = scale[c] * dy[..., c]

    Why: the slope of a straight line is the same everywhere, and the offset has none.

    Parameters
    ----------
    scale : float, or a sequence of one for each channel
        1 / 255 takes bytes to [0, 1]; 1 / 127.5 with offset -1 takes them to [-1, 1].
    offset : float, or a sequence of one for each channel

    Raises
    ------
    TypeError, ValueError
        For anything else, and for inputs of another number of channels.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Rescaling(1 / 4, offset=-1)
    >>> layer.forward(np.array([0.0, 4.0, 8.0]))
    array([-1.,  0.,  1.])
    >>> layer.backward(np.array([8.0, 8.0, 8.0]))
    array([2., 2., 2.])

    Red, green and blue brought to mean 0 and standard deviation 1, each by its own:

    >>> mean, deviation = np.array([100.0, 120.0, 140.0]), np.array([50.0, 60.0, 70.0])
    >>> Rescaling(1 / deviation, -mean / deviation).forward(np.array([[150.0, 180.0, 140.0]]))
    array([[1., 1., 0.]])
    """

    scale = _PerChannel(_numbers)
    offset = _PerChannel(_numbers)

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset

    def set_dtype(self, dtype: Any) -> None:
        dtype = config.float_dtype(dtype, self.who)
        for name in ("scale", "offset"):
            _expect_to_fit(getattr(self, name), name, self.who, dtype)
        super().set_dtype(dtype)

    def output_shape(self, input_shape: Shape) -> Shape:
        for name in ("scale", "offset"):
            n = np.size(getattr(self, name))
            if n > 1 and (len(input_shape) < 2 or input_shape[-1] not in (n, None)):
                raise ValueError(
                    f"{self.who}: expected input of shape (N, ..., {n}), since {name} has {n} "
                    f"numbers, one for each channel, received {tuple(input_shape)}"
                )
        return tuple(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        for name in ("scale", "offset"):
            _expect_to_fit(getattr(self, name), name, self.who, x.dtype)
        self._cache = ()  # backward needs nothing of x
        y: Array = x * np.asarray(self.scale, x.dtype) + np.asarray(self.offset, x.dtype)
        return y

    def backward(self, dy: Array) -> Array:
        dy, _ = self._recall(dy)
        dx: Array = dy * np.asarray(self.scale, dy.dtype)
        return dx

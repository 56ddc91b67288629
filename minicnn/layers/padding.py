"""Rows and columns put around an image, or taken off it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.base import Array, Layer, Shape, image_shape
from minicnn.settings import Setting

Sides = tuple[tuple[int, int], tuple[int, int]]


def _sides(value: Any, name: str, who: str) -> Sides:
    """((top, bottom), (left, right)) from Keras's three forms."""

    def one(n: Any) -> int:
        return checks.integer(n, name, who, minimum=0, maximum=checks.LARGEST_SIZE)

    def wrong() -> ValueError:
        return ValueError(
            f"{who}: expected {name} to be an integer, (height, width) or ((top, bottom), (left, "
            f"right)), received {checks.shown(value)}"
        )

    if not isinstance(value, (list, tuple)):
        if isinstance(value, str) or not hasattr(value, "__index__"):
            raise TypeError(str(wrong()))
        n = one(value)
        return (n, n), (n, n)
    if len(value) != 2:
        raise wrong()
    sides = []
    for side in value:
        pair = side if isinstance(side, (list, tuple)) else (side, side)
        if len(pair) != 2:
            raise wrong()
        sides.append((one(pair[0]), one(pair[1])))
    return sides[0], sides[1]


class ZeroPadding2D(Layer):
    """Rows and columns of zeros around each image.

    Shapes
        x   (N, H, W, C)
        y   (N, top + H + bottom, left + W + right, C)

    Forward
        y[n, top + h, left + w, c] = x[n,h,w,c], and 0 elsewhere

    Backward
        dx[n,h,w,c] = dy[n, top + h, left + w, c]

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        For all sides; for height and width; or (top, bottom) and (left, right).

    Examples
    --------
    >>> layer = ZeroPadding2D(((1, 0), (0, 2)))
    >>> layer.forward(np.ones((1, 1, 2, 1)))[0, :, :, 0]
    array([[0., 0., 0., 0.],
           [1., 1., 0., 0.]])
    """

    padding = Setting(_sides, fixed=True)
    ignored = {"data_format": (None, "channels_last")}

    def __init__(self, padding: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding = padding

    def output_shape(self, input_shape: Shape) -> Shape:
        H, W, C = image_shape(input_shape, self.who)
        rows, columns = self.padding
        return input_shape[0], H + sum(rows), W + sum(columns), C

    def _image(self, H: int, W: int) -> tuple[slice, slice]:
        (top, _), (left, _) = self.padding
        return slice(top, top + H), slice(left, left + W)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = image = self._image(*x.shape[1:3])
        y = np.zeros(self.output_shape(x.shape), x.dtype)
        y[:, image[0], image[1]] = x
        return y

    def backward(self, dy: Array) -> Array:
        dy, (rows, columns) = self._recall(dy)
        return np.ascontiguousarray(dy[:, rows, columns])


class Cropping2D(Layer):
    """Each image without its first and last rows and columns.

    Shapes
        x   (N, H, W, C)
        y   (N, H - top - bottom, W - left - right, C)

    Forward
        y[n,h,w,c] = x[n, top + h, left + w, c]

    Backward
        dx[n, top + h, left + w, c] = dy[n,h,w,c], and 0 elsewhere

    Why: what is cut off has no say in the output.

    Parameters
    ----------
    cropping : int, (int, int) or ((int, int), (int, int))
        For all sides; for height and width; or (top, bottom) and (left, right).

    Examples
    --------
    >>> layer = Cropping2D(((1, 0), (0, 1)))
    >>> layer.forward(np.arange(6.0).reshape(1, 2, 3, 1))[0, :, :, 0]
    array([[3., 4.]])
    """

    cropping = Setting(_sides, fixed=True)
    ignored = {"data_format": (None, "channels_last")}

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = cropping

    def output_shape(self, input_shape: Shape) -> Shape:
        H, W, C = image_shape(input_shape, self.who)
        rows, columns = self.cropping
        if sum(rows) >= H or sum(columns) >= W:
            raise ValueError(
                f"{self.who}: expected cropping to leave something of the input "
                f"{tuple(input_shape)}, received {self.cropping}"
            )
        return input_shape[0], H - sum(rows), W - sum(columns), C

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        _, H, W, _ = self.output_shape(x.shape)
        (top, _), (left, _) = self.cropping
        rows, columns = slice(top, top + H), slice(left, left + W)
        self._cache = x.shape, rows, columns
        return x[:, rows, columns].copy()

    def backward(self, dy: Array) -> Array:
        dy, (x_shape, rows, columns) = self._recall(dy)
        dx = np.zeros(x_shape, dy.dtype)
        dx[:, rows, columns] = dy
        return dx

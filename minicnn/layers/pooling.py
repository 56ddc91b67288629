"""Pooling: one number for each window of an image, or for the whole of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import checks, kernels
from minicnn.layers.base import Array, Layer, Shape, image_shape
from minicnn.layers.windows import Windows, checked_padding, windows
from minicnn.settings import Setting


def _pool(value: Any, name: str, who: str) -> tuple[int, int]:
    pool = checks.pair(value, name, who)
    if math.prod(pool) > checks.LARGEST_SIZE:  # a cell's place in it is an int32
        raise ValueError(
            f"{who}: expected {name} of at most {checks.LARGEST_SIZE} cells, received {pool}. The "
            "image's own height and width cover all of it"
        )
    return pool


class _Pooling2D(Layer):
    """Checks and shapes, which both kinds of pooling share."""

    built_when_made = True
    pool_size = Setting(_pool, fixed=True)
    strides = Setting(checks.pair, fixed=True, none=lambda layer: layer.pool_size)
    padding = Setting(checked_padding, fixed=True)

    ignored = {"data_format": (None, "channels_last")}

    def __init__(self, pool_size: Any, strides: Any, padding: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size = pool_size
        self.strides = strides
        self.padding = padding

    def output_shape(self, input_shape: Shape) -> Shape:
        win = self.windows(input_shape)
        return input_shape[0], win.H_out, win.W_out, input_shape[3]

    def windows(self, input_shape: Shape) -> Windows:
        """Where the windows lie on an input of that shape."""
        return windows(input_shape, self.pool_size, self.strides, self.padding, self.who)


class MaxPooling2D(_Pooling2D):
    """The largest cell of each window, channel by channel.

    Shapes
        x   (N, H_in, W_in, C)
        y   (N, H_out, W_out, C)

    Forward
        y[n,i,j,c] = max over a,b of x[n, i*S_h + a - P_top, j*S_w + b - P_left, c]

    Backward
        dx[cell] = sum of dy over the windows which that cell won

    Why: only the largest cell's change reaches the output, so it takes the whole gradient and the
    other cells none. Of equal cells the first in row-major order wins; padding never does. Where
    windows overlap, a cell may win several, and collects from each.

    Source: Scherer, Müller and Behnke, "Evaluation of pooling operations in convolutional
    architectures for object recognition", 2010.

    Parameters
    ----------
    pool_size : int or (int, int)
        (K_h, K_w); one int stands for both.
    strides : int, (int, int) or None
        (S_h, S_w); None means pool_size, windows side by side.
    padding : "valid" or "same"
        Under valid, rows and columns at the end that fill no window are left out.

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these; the message names the layer, what it expected and
        what came.

    Examples
    --------
    >>> layer = MaxPooling2D(2)
    >>> layer.forward(np.array([[1.0, 7, 2, 2], [3, 5, 2, 2]]).reshape(1, 2, 4, 1)).ravel()
    array([7., 2.])
    >>> layer.backward(np.array([10.0, 20]).reshape(1, 1, 2, 1))[0, :, :, 0]
    array([[ 0., 10., 20.,  0.],
           [ 0.,  0.,  0.,  0.]])
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int] = (2, 2),
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, **kwargs)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        win = self.windows(x.shape)
        y = np.empty((len(x), win.H_out, win.W_out, x.shape[3]), x.dtype)
        argmax = np.empty(y.shape, np.int32)  # place of the largest cell in its window
        kernels.max_pool(x, *win[:6], y, argmax)
        self._cache = x.shape, win, argmax
        return y

    def backward(self, dy: Array) -> Array:
        dy, (x_shape, win, argmax) = self._recall(dy)
        dx = np.empty(x_shape, dy.dtype)
        place = win.S_h, win.S_w, win.P_top, win.P_left
        kernels.max_pool_backward(dy, argmax, win.K_w, *place, dx)
        return dx


class AveragePooling2D(_Pooling2D):
    """The mean of each window, channel by channel.

    Shapes
        x   (N, H_in, W_in, C)
        y   (N, H_out, W_out, C)

    Forward
        y[n,i,j,c] = mean over a,b of x[n, i*S_h + a - P_top, j*S_w + b - P_left, c]

    Backward
        dx[cell] = sum over the windows that hold it of dy / (real cells in that window)

    Why: each cell is one summand of its window's mean, so it takes an equal share. Cells of
    padding are not counted, neither as summands nor as cells.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Parameters
    ----------
    pool_size : int or (int, int)
        (K_h, K_w); one int stands for both.
    strides : int, (int, int) or None
        (S_h, S_w); None means pool_size, windows side by side.
    padding : "valid" or "same"
        Under valid, rows and columns at the end that fill no window are left out.

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these; the message names the layer, what it expected and
        what came.

    Examples
    --------
    >>> layer = AveragePooling2D(2)
    >>> layer.forward(np.array([[1.0, 7, 2, 2], [3, 5, 2, 2]]).reshape(1, 2, 4, 1)).ravel()
    array([4., 2.])
    >>> layer.backward(np.array([10.0, 20]).reshape(1, 1, 2, 1))[0, :, :, 0]
    array([[2.5, 2.5, 5. , 5. ],
           [2.5, 2.5, 5. , 5. ]])
    """

    def __init__(
        self,
        pool_size: int | tuple[int, int] = (2, 2),
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, **kwargs)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        win = self.windows(x.shape)
        y = np.empty((len(x), win.H_out, win.W_out, x.shape[3]), x.dtype)
        kernels.average_pool(x, *win[:6], y)
        self._cache = x.shape, win
        return y

    def backward(self, dy: Array) -> Array:
        dy, (x_shape, win) = self._recall(dy)
        dx = np.empty(x_shape, dy.dtype)
        place = win.S_h, win.S_w, win.P_top, win.P_left
        kernels.average_pool_backward(dy, win.K_h, win.K_w, *place, dx)
        return dx


class _GlobalPooling2D(Layer):
    """Shapes and arguments, which both kinds of global pooling share."""

    built_when_made = True
    keepdims = Setting(checks.boolean, fixed=True)
    ignored = {"data_format": (None, "channels_last")}

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.keepdims = keepdims

    def output_shape(self, input_shape: Shape) -> Shape:
        *_, C = image_shape(input_shape, self.who)
        return (input_shape[0], 1, 1, C) if self.keepdims else (input_shape[0], C)


class GlobalAveragePooling2D(_GlobalPooling2D):
    """The mean of each channel over the whole image.

    Shapes
        x   (N, H, W, C)
        y   (N, C), or (N, 1, 1, C) with keepdims

    Forward
        y[n,c] = sum over h,w of x[n,h,w,c] / (H W)

    Backward
        dx[n,h,w,c] = dy[n,c] / (H W)

    Why: every cell has the same share in the mean, so it takes the same share of the gradient. In
    the place of Flatten and a large Dense it leaves one number for each channel of any image.

    Source: Lin, Chen and Yan, "Network in network", 2013.

    Parameters
    ----------
    data_format : "channels_last" or None
        Images are (N, H, W, C) in any case.
    keepdims : bool
        Whether height and width stay, with one cell.

    Examples
    --------
    >>> layer = GlobalAveragePooling2D()
    >>> layer.forward(np.arange(4.0).reshape(1, 2, 2, 1))
    array([[1.5]])
    >>> layer.backward(np.array([[4.0]]))[0, :, :, 0]
    array([[1., 1.],
           [1., 1.]])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = x.shape
        y: Array = x.mean(axis=(1, 2), keepdims=self.keepdims)
        return y

    def backward(self, dy: Array) -> Array:
        dy, x_shape = self._recall(dy)
        N, H, W, C = x_shape
        dx = np.empty(x_shape, dy.dtype)
        dx[...] = dy.reshape(N, 1, 1, C) / (H * W)
        return dx


class GlobalMaxPooling2D(_GlobalPooling2D):
    """The largest number of each channel over the whole image.

    Shapes
        x   (N, H, W, C)
        y   (N, C), or (N, 1, 1, C) with keepdims

    Forward
        y[n,c] = max over h,w of x[n,h,w,c]

    Backward
        dx[cell] = dy[n,c] / (cells that are as large) for these cells, 0 for the others

    Why: only the largest cell's change reaches the output. Of several that are equal each takes
    the same share, as in Keras; in MaxPooling2D, in Keras and here, the first takes all.

    Parameters
    ----------
    data_format : "channels_last" or None
        Images are (N, H, W, C) in any case.
    keepdims : bool
        Whether height and width stay, with one cell.

    Examples
    --------
    >>> layer = GlobalMaxPooling2D()
    >>> layer.forward(np.array([[1.0, 7], [7, 2]]).reshape(1, 2, 2, 1))
    array([[7.]])
    >>> layer.backward(np.array([[4.0]]))[0, :, :, 0]
    array([[0., 2.],
           [2., 0.]])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        y: Array = x.max(axis=(1, 2), keepdims=True)
        self._cache = x == y
        return y if self.keepdims else y[:, 0, 0]

    def backward(self, dy: Array) -> Array:
        dy, winners = self._recall(dy)
        N, _, _, C = winners.shape
        shares = dy.reshape(N, 1, 1, C) / np.maximum(winners.sum(axis=(1, 2), keepdims=True), 1)
        dx: Array = winners * shares.astype(dy.dtype)
        return dx

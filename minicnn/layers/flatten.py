"""Flatten: each image becomes one row."""

from __future__ import annotations

from minicnn.layers.base import Array, Layer, Shape, size_of


class Flatten(Layer):
    """Rows for the dense layers, in row-major order: height, width, channel.

    Shapes
        x   (N, ...)
        y   (N, product of the rest); (N,) becomes (N, 1)

    Forward
        y = x, reshaped

    Backward
        dx = dy, reshaped back

    Why: no number changes, so no gradient does; only its place is told back.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Flatten()
    >>> layer.forward(np.arange(4.0).reshape(1, 2, 2, 1))
    array([[0., 1., 2., 3.]])
    >>> layer.backward(np.array([[5.0, 6, 7, 8]]))[0, :, :, 0]
    array([[5., 6.],
           [7., 8.]])
    """

    ignored = {"data_format": (None, "channels_last")}

    def output_shape(self, input_shape: Shape) -> Shape:
        if None in input_shape[1:]:
            raise ValueError(
                f"{self.who}: expected all sizes behind the batch axis to be known, received "
                f"{tuple(input_shape)}"
            )
        return input_shape[0], size_of(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: Array) -> Array:
        dy, x_shape = self._recall(dy)
        return dy.reshape(x_shape)

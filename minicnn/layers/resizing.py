"""Images of another size: each output row is a mix of input rows, each column of columns.

    nearest    row i is row floor((i + 1/2) * in / out)
    bilinear   row i lies at (i + 1/2) * in / out - 1/2, between two rows, of which it takes the
               nearer part of each; beyond the edge, the edge

So resizing is a product with a matrix on either side, y = A x B^T for each channel, and its
gradient the product with their transposes, dx = A^T dy B.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.base import Array, Layer, Shape, image_shape
from minicnn.outputs import Output
from minicnn.settings import Setting

Cut = tuple[slice, slice]  # rows and columns of an image

OF_KERAS_ALONE = ("bicubic", "lanczos3", "lanczos5", "area")


def _interpolation(value: Any, name: str, who: str) -> str:
    if isinstance(value, str) and value.lower() in OF_KERAS_ALONE:
        raise ValueError(
            f"{who}: expected {name} to be bilinear or nearest, received {value!r}, which only "
            "Keras has"
        )
    return checks.one_of(value, {"bilinear", "nearest"}, name, who)


def mixing(n_in: int, n_out: int, interpolation: str) -> Array:
    """The matrix (n_out, n_in) whose row i says what output row i takes of each input row."""
    A = np.zeros((n_out, n_in))
    i = np.arange(n_out)
    if interpolation == "nearest":
        A[i, np.minimum(((2 * i + 1) * n_in) // (2 * n_out), n_in - 1)] = 1
        return A
    place = np.clip((i + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, n_in - 1)
    A[i, low] = 1 - (place - low)
    A[i, high] += place - low
    return A


def resized(x: Array, A: Array, B: Array) -> Array:
    """A x B^T for each image and channel of x (N, H, W, C)."""
    N, H, W, C = x.shape
    x = np.matmul(A.astype(x.dtype), x.reshape(N, H, W * C)).reshape(N * len(A), W, C)
    return np.matmul(B.astype(x.dtype), x).reshape(N, len(A), len(B), C)


class UpSampling2D(Layer):
    """Each row and column several times, or in between as many new ones.

    Shapes
        x   (N, H, W, C)
        y   (N, size[0] * H, size[1] * W, C)

    Forward, backward
        as at the head of this file

    Parameters
    ----------
    size : int or (int, int)
        Factors of height and width.
    data_format : "channels_last" or None
        Images are (N, H, W, C) in any case.
    interpolation : "nearest" or "bilinear"

    Examples
    --------
    >>> UpSampling2D((1, 2)).forward(np.arange(2.0).reshape(1, 1, 2, 1)).ravel()
    array([0., 0., 1., 1.])
    >>> x = np.arange(2.0).reshape(1, 1, 2, 1)
    >>> UpSampling2D((1, 2), interpolation="bilinear").forward(x).ravel()
    array([0.  , 0.25, 0.75, 1.  ])
    """

    size = Setting(checks.pair, fixed=True)
    interpolation = Setting(_interpolation, fixed=True)
    ignored = {"data_format": (None, "channels_last")}

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.size = size
        self.interpolation = interpolation

    def output_shape(self, input_shape: Shape) -> Shape:
        H, W, C = image_shape(input_shape, self.who)
        return input_shape[0], self.size[0] * H, self.size[1] * W, C

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        _, H_in, W_in, _ = x.shape
        _, H_out, W_out, _ = self.output_shape(x.shape)
        A = mixing(H_in, H_out, self.interpolation)
        B = mixing(W_in, W_out, self.interpolation)
        self._cache = A, B
        return resized(x, A, B)

    def backward(self, dy: Array) -> Array:
        dy, (A, B) = self._recall(dy)
        return resized(dy, A.T, B.T)


class TakesOneImage(Layer):
    """Base of the layers that, called by themselves, take one image (H, W, C) too, as in Keras."""

    def __call__(self, x: Any, training: bool = False) -> Output:
        """y for the batch (N, H, W, C) or the image (H, W, C)."""
        if isinstance(x, Layer):
            return super().__call__(x, training)  # says that there is no functional API
        x = checks.numeric(x, "x", self.who)
        if x.ndim == 3:
            return super().__call__(x[None], training)[0].view(Output)
        return super().__call__(x, training)


class ToSize(TakesOneImage):
    """Images of a given size: a part of x is cut out or surrounded, and resized if need be."""

    height = Setting(checks.size, fixed=True)
    width = Setting(checks.size, fixed=True)
    interpolation: Any = "bilinear"
    fill_value: Any = 0.0
    ignored = {"data_format": (None, "channels_last")}

    def output_shape(self, input_shape: Shape) -> Shape:
        *_, C = image_shape(input_shape, self.who)
        return input_shape[0], self.height, self.width, C

    def _aspect(self, H: int, W: int) -> tuple[int, int]:
        """Height for the width W, and width for the height H, at which the sides have its ratio."""
        return int(W * self.height / self.width), int(H * self.width / self.height)

    def _cut(self, H: int, W: int) -> Cut:
        """Rows and columns of the middle that has the ratio of height and width."""
        wanted = self._aspect(H, W)
        h, w = max(min(H, wanted[0]), 1), max(min(W, wanted[1]), 1)
        top, left = (H - h) // 2, (W - w) // 2
        return slice(top, top + h), slice(left, left + w)

    def part_of(self, H: int, W: int) -> tuple[Cut, tuple[int, int]]:
        """What is taken of an image outside of training, and what is put around that.

        The latter as rows above and below it, and columns on either side.
        """
        return self._cut(H, W), (0, 0)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        return self._from_part(x, *self.part_of(*x.shape[1:3]))

    def _from_part(self, x: Array, cut: Cut, around: tuple[int, int] = (0, 0)) -> Array:
        (rows, columns), (top, left) = cut, around
        part = np.ascontiguousarray(x[:, rows, columns])
        if around != (0, 0):
            sides = ((0, 0), (top, top), (left, left), (0, 0))
            part = np.pad(part, sides, constant_values=self.fill_value)
        A = mixing(part.shape[1], self.height, self.interpolation)
        B = mixing(part.shape[2], self.width, self.interpolation)
        self._cache = x.shape, cut, around, A, B
        return resized(part, A, B)

    def backward(self, dy: Array) -> Array:
        dy, (x_shape, (rows, columns), (top, left), A, B) = self._recall(dy)
        dx = np.zeros(x_shape, dy.dtype)
        part = resized(dy, A.T, B.T)
        H, W = dx[:, rows, columns].shape[1:3]
        dx[:, rows, columns] = part[:, top : top + H, left : left + W]
        return dx


class Resizing(ToSize):
    """Images of height x width, whatever size they come in.

    Shapes
        x   (N, H, W, C)
        y   (N, height, width, C)

    Forward, backward
        as at the head of this file; what is cut off gets no gradient, what is put around takes none

    Parameters
    ----------
    height, width : int
    interpolation : "bilinear" or "nearest"
    crop_to_aspect_ratio : bool
        Whether the middle of the image is cut out first, so that nothing is distorted.
    pad_to_aspect_ratio : bool
        Whether fill_value is put around the image first, so that nothing is distorted. An odd
        row or column is left out, as in Keras: what is put around is the same on both sides.
    fill_mode : "constant"
    fill_value : float

    Examples
    --------
    >>> Resizing(2, 2).forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """

    interpolation = Setting(_interpolation, fixed=True)
    crop_to_aspect_ratio = Setting(checks.boolean, fixed=True)
    pad_to_aspect_ratio = Setting(checks.boolean, fixed=True)
    fill_value = Setting(checks.real)
    ignored = {"antialias": (False,), "fill_mode": ("constant",)}

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode=fill_mode, **kwargs)
        self.height = height
        self.width = width
        self.interpolation = interpolation
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_value = fill_value
        self.expect_consistent()

    def expect_consistent(self) -> None:
        if self.crop_to_aspect_ratio and self.pad_to_aspect_ratio:
            raise ValueError(
                f"{self.who}: expected crop_to_aspect_ratio or pad_to_aspect_ratio, received both. "
                "Choose one"
            )

    def part_of(self, H: int, W: int) -> tuple[Cut, tuple[int, int]]:
        cut = self._cut(H, W) if self.crop_to_aspect_ratio else (slice(0, H), slice(0, W))
        if not self.pad_to_aspect_ratio:
            return cut, (0, 0)
        wanted = self._aspect(H, W)
        return cut, ((max(H, wanted[0]) - H) // 2, (max(W, wanted[1]) - W) // 2)


class CenterCrop(ToSize):
    """The middle of each image; an image that is smaller is resized, after a cut to the ratio.

    Shapes
        x   (N, H, W, C)
        y   (N, height, width, C)

    Forward
        y = x[(H - height) // 2 and on, (W - width) // 2 and on]

    Backward
        dx = dy in the middle, 0 elsewhere

    Parameters
    ----------
    height, width : int

    Examples
    --------
    >>> CenterCrop(1, 2).forward(np.arange(12.0).reshape(1, 3, 4, 1))[0, :, :, 0]
    array([[5., 6.]])
    """

    def __init__(self, height: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width

    def part_of(self, H: int, W: int) -> tuple[Cut, tuple[int, int]]:
        if self.height > H or self.width > W:
            return self._cut(H, W), (0, 0)
        top, left = (H - self.height) // 2, (W - self.width) // 2
        return (slice(top, top + self.height), slice(left, left + self.width)), (0, 0)

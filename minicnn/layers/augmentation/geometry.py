"""Images mirrored, shifted, turned and zoomed.

Shift, turn and zoom say where each pixel of y comes from: the pixel in row i and column j of y is
the one at

    row     b0 * j + b1 * i + b2
    column  a0 * j + a1 * i + a2

of x, with one matrix [[a0, a1, a2], [b0, b1, b2]] for each image. That place need not be a pixel:
"bilinear" mixes the four around it, "nearest" takes the one that is closest. Where it lies outside
of the image, the image goes on by `fill_mode`:

    reflect    d c b a | a b c d | d c b a
    nearest    a a a a | a b c d | d d d d
    wrap       a b c d | a b c d | a b c d
    constant   k k k k | a b c d | k k k k     k = fill_value

So each number of y is a sum of numbers of x by weights that do not depend on them, and dx is the
transpose: each dy goes to the pixels that it was mixed from, by the same weights.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, kernels
from minicnn.kernels.reference import FILL_MODES
from minicnn.layers.augmentation.base import AugmentationLayer, between, interval
from minicnn.layers.base import Array
from minicnn.settings import Setting

_MODES = ("horizontal", "vertical", "horizontal_and_vertical")
_INTERPOLATIONS = ("bilinear", "nearest")

_share = partial(interval, low=-1, high=1)
_zoom = partial(interval, low=-1, high=1, open_low=True)


def _given(check: Any, value: Any, name: str, who: str) -> Any:
    """What was given for an interval, checked: Keras's configs of some layers hold that."""
    check(value, name, who)
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _zoom_or_none(value: Any, name: str, who: str) -> Any:
    return None if value is None else _given(_zoom, value, name, who)


class RandomFlip(AugmentationLayer):
    """Mirrors half of the images while training, and does nothing otherwise.

    Shapes
        x, y   (N, H, W, C)

    Forward
        training    one coin for each image, which falls with p = 1/2; then y is x with
                    horizontal                the columns in reverse order
                    vertical                  the rows in reverse order
                    horizontal_and_vertical   both: the image turned by half a turn
        otherwise   y = x

    Backward
        dx = dy, mirrored where x was

    Parameters
    ----------
    mode : "horizontal", "vertical" or "horizontal_and_vertical"
    seed : int, optional
        Fixes the coins; None draws a seed from the model's generator.

    Raises
    ------
    TypeError, ValueError
        For another mode (Keras takes any, and then flips nothing) or seed.

    Examples
    --------
    >>> layer = RandomFlip("horizontal", seed=1)
    >>> x = np.tile(np.arange(3.0).reshape(1, 1, 3, 1), (4, 1, 1, 1))
    >>> sorted({tuple(image.ravel().tolist()) for image in layer(x)})
    [(0.0, 1.0, 2.0), (2.0, 1.0, 0.0)]
    """

    mode = Setting(lambda value, name, who: checks.one_of(value, _MODES, name, who))

    def __init__(
        self, mode: str = "horizontal_and_vertical", seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.mode = mode

    def _augmented(self, x: Array) -> tuple[Array, Any]:
        flipped = self._uniform(len(x), 1)[:, 0] < 0.5
        rows = slice(None, None, -1 if "vertical" in self.mode else 1)
        columns = slice(None, None, -1 if "horizontal" in self.mode else 1)
        drawn = flipped, rows, columns
        return self._gradient(x, drawn), drawn

    def _gradient(self, dy: Array, drawn: Any) -> Array:
        flipped, rows, columns = drawn
        dx = dy.copy()
        dx[flipped] = dy[flipped][:, rows, columns]
        return dx


class AffineLayer(AugmentationLayer):
    """Base of the layers that draw a matrix for each image; the head of this file says of what."""

    fill_mode = Setting(lambda value, name, who: checks.one_of(value, FILL_MODES, name, who))
    interpolation = Setting(
        lambda value, name, who: checks.one_of(value, _INTERPOLATIONS, name, who)
    )
    fill_value = Setting(checks.real)

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.fill_mode = fill_mode
        self.interpolation = interpolation
        self.fill_value = fill_value

    @abstractmethod
    def _matrices(self, n: int, H: int, W: int) -> Array:
        """For n images of H x W pixels (n, 6): a0, a1, a2, b0, b1, b2 of each, float64."""

    def _augmented(self, x: Array) -> tuple[Array, Any]:
        N, H, W, _ = x.shape
        matrices, mode = self._matrices(N, H, W), FILL_MODES.index(self.fill_mode)
        bilinear = self.interpolation == "bilinear"
        y = np.empty_like(x)
        kernels.affine(x, matrices, mode, bilinear, x.dtype.type(self.fill_value), y)
        return y, (matrices, mode, bilinear)

    def _gradient(self, dy: Array, drawn: Any) -> Array:
        matrices, mode, bilinear = drawn
        dx = np.empty_like(dy)
        kernels.affine_backward(dy, matrices, mode, bilinear, dx)
        return dx


class RandomTranslation(AffineLayer):
    """Shifts each image by random parts of its height and width while training.

    Shapes
        x, y   (N, H, W, C)

    Forward
        training    down by H * u pixels and right by W * v, u and v uniform for each image:
                    a = (1, 0, -W * v),   b = (0, 1, -H * u)
        otherwise   y = x

    Backward
        as at the head of this file

    Parameters
    ----------
    height_factor, width_factor : float or (float, float), in [-1, 1]
        Bounds of u and of v; f stands for (-f, f).
    fill_mode : "reflect", "wrap", "constant" or "nearest"
    interpolation : "bilinear" or "nearest"
    seed : int, optional
        Fixes the shifts; None draws a seed from the model's generator.
    fill_value : float
        For fill_mode="constant".

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> layer = RandomTranslation(0, (1 / 3, 1 / 3), fill_mode="constant")
    >>> layer(np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)).round(9).ravel()
    array([0., 1., 2.])
    """

    height_factor = Setting(partial(_given, _share))
    width_factor = Setting(partial(_given, _share))

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, **kwargs)
        self.height_factor = height_factor
        self.width_factor = width_factor

    def _matrices(self, n: int, H: int, W: int) -> Array:
        u = self._uniform(n, 2)
        M = np.zeros((n, 6))
        M[:, 0] = M[:, 4] = 1
        M[:, 2] = -W * between(u[:, 1], _share(self.width_factor, "width_factor", self.who))
        M[:, 5] = -H * between(u[:, 0], _share(self.height_factor, "height_factor", self.who))
        return M


class RandomRotation(AffineLayer):
    """Turns each image about its middle by a random angle while training.

    Shapes
        x, y   (N, H, W, C)

    Forward
        training    counter-clockwise by the angle 2 pi u, u uniform for each image:
                    a = (cos, -sin, X - X cos + Y sin),   X = (W - 1) / 2
                    b = (sin,  cos, Y - X sin - Y cos),   Y = (H - 1) / 2
        otherwise   y = x

    Backward
        as at the head of this file

    Parameters
    ----------
    factor : float or (float, float), in [-1, 1]
        Bounds of u, parts of a full turn; f stands for (-f, f).
    fill_mode, interpolation, seed, fill_value
        As in RandomTranslation.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> x = np.arange(1.0, 10.0).reshape(3, 3, 1)
    >>> RandomRotation((0.25, 0.25))(x).round(6)[..., 0]
    array([[3., 6., 9.],
           [2., 5., 8.],
           [1., 4., 7.]])
    """

    factor = Setting(_share)

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, **kwargs)
        self.factor = factor

    def _matrices(self, n: int, H: int, W: int) -> Array:
        angle = 2 * np.pi * between(self._uniform(n, 1)[:, 0], self.factor)
        cos, sin = np.cos(angle), np.sin(angle)
        X, Y = (W - 1) / 2, (H - 1) / 2
        columns = cos, -sin, X - X * cos + Y * sin, sin, cos, Y - X * sin - Y * cos
        return np.stack(columns, axis=1)


class RandomZoom(AffineLayer):
    """Zooms each image about its middle by a random factor while training.

    Shapes
        x, y   (N, H, W, C)

    Forward
        training    what fills y has 1 + u times its height and 1 + v times its width in x, u and v
                    uniform for each image: above 0 the image gets smaller
                    a = (1 + v, 0, -v * (W - 1) / 2),   b = (0, 1 + u, -u * (H - 1) / 2)
        otherwise   y = x

    Backward
        as at the head of this file

    Parameters
    ----------
    height_factor : float or (float, float), in (-1, 1]
        Bounds of u; f stands for (-f, f).
    width_factor : float or (float, float), in (-1, 1], optional
        Bounds of v; None makes v = u, which keeps the proportions.
    fill_mode, interpolation, seed, fill_value
        As in RandomTranslation.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> x = np.arange(1.0, 10.0).reshape(3, 3, 1)
    >>> RandomZoom((-0.5, -0.5))(x)[..., 0]
    array([[3. , 3.5, 4. ],
           [4.5, 5. , 5.5],
           [6. , 6.5, 7. ]])
    """

    height_factor = Setting(partial(_given, _zoom))
    width_factor = Setting(_zoom_or_none)

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, **kwargs)
        self.height_factor = height_factor
        self.width_factor = width_factor

    def _matrices(self, n: int, H: int, W: int) -> Array:
        draws = self._uniform(n, 2)
        u = v = between(draws[:, 0], _zoom(self.height_factor, "height_factor", self.who))
        if self.width_factor is not None:
            v = between(draws[:, 1], _zoom(self.width_factor, "width_factor", self.who))
        zero = np.zeros(n)
        return np.stack([1 + v, zero, -v * (W - 1) / 2, zero, 1 + u, -u * (H - 1) / 2], axis=1)

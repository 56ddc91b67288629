"""A part of each image, from a random place or the middle."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks, kernels
from minicnn.layers.augmentation.base import ActingAlone
from minicnn.layers.base import Array
from minicnn.layers.randomness import RandomLayer
from minicnn.layers.resizing import ToSize


class RandomCrop(ActingAlone, RandomLayer, ToSize):
    """Cuts images to a size: at a random place while training, in the middle otherwise.

    Shapes
        x   (N, H, W, C)
        y   (N, height, width, C)

    Forward
        training    the window of height x width from a random place, one for the whole batch
        otherwise, and for smaller images
                    the largest window of the same proportions, from the middle, resized if need be

    Backward
        dx = dy in the window, 0 elsewhere; through a resized window as in `resizing.py`

    Keras's documentation says so. Keras 3.15 itself returns x as it is outside of training, which
    fits no Dense behind it.

    Parameters
    ----------
    height, width : int
    seed : int, optional
        Fixes the places; None draws a seed from the model's generator.

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> layer = RandomCrop(1, 2)
    >>> layer(np.arange(8.0).reshape(2, 4, 1), training=False).ravel()
    array([2.5, 4.5])
    """

    def __init__(self, height: int, width: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.height = height
        self.width = width

    def forward(self, x: Array, training: bool = False) -> Array:
        training = checks.boolean(training, "training", self.who)
        x = self._input(x)
        _, H, W, _ = x.shape
        rows, columns = self._cut(H, W)
        if training and self.height <= H and self.width <= W:
            top, left = self._corner(H - self.height, W - self.width)
            rows, columns = slice(top, top + self.height), slice(left, left + self.width)
        return self._from_part(x, (rows, columns))

    def _corner(self, most_down: int, most_right: int) -> tuple[int, int]:
        """Where the window begins, drawn once for the whole batch, wherever in it x begins."""
        key_1, key_2, _ = self._place(1)
        u = np.empty(2)
        kernels.uniform(key_1, key_2, 0, u)
        self._step += 1
        return int(u[0] * (most_down + 1)), int(u[1] * (most_right + 1))

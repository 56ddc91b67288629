"""Dropout: noise against learning by heart."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, kernels, seeds
from minicnn.layers.base import Array, Layer, Shape, checked_shape, size_of
from minicnn.settings import Setting


class Dropout(Layer):
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

    built_when_made = True
    rate = Setting(partial(checks.real, low=0, high=1))  # counts from the next epoch or call on
    seed = Setting(checks.seed)  # counts from `build` on

    ignored = {"noise_shape": (None,)}

    def __init__(self, rate: float, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self._key = 0  # 64 bits from the seed, set by build
        self._step = 0
        self._sample = 0

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))  # before anything is drawn
        source = self.seed
        if source is None:
            rng = self.rng if self.rng is not None else seeds.new_generator()
            source = int(rng.integers(2**63))
        seeds.differ_after_fork(self)
        self._key = _key_from(source)
        super().build(input_shape)

    def reseed(self) -> None:
        """Draw other masks from now on, unless a seed fixes them; for forked processes."""
        if self.seed is None:
            self._key = _key_from(None)

    def forward(self, x: Array, training: bool = False) -> Array:
        training = checks.boolean(training, "training", self.who)
        x = self._input(x)
        if not training or self.rate == 0:
            self._cache = (None,)
            return x
        scale = 1 / (1 - self.rate) if self.rate < 1 else 0
        mask = self._keep(x.shape) * x.dtype.type(scale)
        self._cache = (mask,)
        self._step += 1
        return x * mask

    def backward(self, dy: Array) -> Array:
        dy, (mask,) = self._recall(dy)
        return dy if mask is None else dy * mask

    def _keep(self, shape: tuple[int, ...]) -> Array:
        """True for the cells that stay, drawn at (step, sample) of this layer's stream."""
        keep = np.empty(shape, np.bool_)
        key_1, key_2, first, dropped, _ = self.draw(size_of(shape))
        kernels.keep_mask(key_1, key_2, first, dropped, keep.reshape(-1))
        return keep

    def draw(self, size: int) -> tuple[int, int, int, int, np.float32]:
        """Keys, first counter, threshold of `keep_mask`, and the scale, for samples of `size`."""
        key, rate = _mix64(self._key + self._step), self.rate
        scale = 1 / (1 - rate) if rate < 1 else 0
        dropped = min(round(rate * 2**32), 2**32 - 1)  # all of 32 bits: scale is 0 then
        return key >> 32, key & (2**32 - 1), self._sample * size, dropped, np.float32(scale)

    def seek(self, step: int, sample: int) -> None:
        self._step, self._sample = step, sample


def _key_from(seed: int | None) -> int:
    """64 bits; from fresh entropy without a seed."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def _mix64(n: int) -> int:
    """64 bits that look random, for the n-th step: SplitMix64 (Steele, Lea and Flood, 2014)."""
    z = n * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31

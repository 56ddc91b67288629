"""Random numbers by counter: what the layers that draw in training share.

Each number is the hash of (seed, step, its place in the batch): each step has others,
and no thread or order of work can change them (`kernels/reference.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks, kernels, seeds
from minicnn.layers.base import Array, Layer, Shape, checked_shape, size_of
from minicnn.settings import Setting


class RandomLayer(Layer):
    """Base of the layers that draw random numbers in training: their seed, and their stream.

    A forward in training that has drawn its numbers adds 1 to `_step`.

    Attributes
    ----------
    stream_key : int
        64 bits from the seed, which the numbers of all steps follow from.
    """

    built_when_made = True
    seed = Setting(checks.seed)  # counts from `build` on

    def __init__(self, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.stream_key = 0  # until build
        self._step = 0
        self._sample = 0

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))  # before anything is drawn
        source = self.seed
        if source is None:
            rng = self.rng if self.rng is not None else seeds.new_generator()
            source = int(rng.integers(2**63))
        seeds.differ_after_fork(self)
        self.stream_key = key_from(source)
        super().build(input_shape)

    def reseed(self) -> None:
        """Draw other numbers from now on, unless a seed fixes them; for forked processes."""
        if self.seed is None:
            self.stream_key = key_from(None)

    def restart(self, seed: int) -> None:
        """Draw the numbers of this seed, from the first step on."""
        self.seed, self.stream_key = seed, key_from(seed)
        self.seek(0, 0)

    def seek(self, step: int, sample: int) -> None:
        vars(self).update(_step=step, _sample=sample)  # past the checks: each shard begins so

    def _place(self, size: int) -> tuple[int, int, int]:
        """Two keys and the first counter of this step, for samples of `size` numbers."""
        key = mix64(self.stream_key + self._step)
        return key >> 32, key & (2**32 - 1), self._sample * size

    def _normal(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Numbers of mean 0 and variance 1, one for each cell of a batch of `shape`."""
        z = np.empty(shape, dtype)
        kernels.normal(*self._place(size_of(shape)), z.reshape(-1))
        return z


def key_from(seed: int | None) -> int:
    """64 bits; from fresh entropy without a seed."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def mix64(n: int) -> int:
    """64 bits that look random, for the n-th step: SplitMix64 (Steele, Lea and Flood, 2014)."""
    z = n * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31

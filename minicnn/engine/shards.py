"""A batch is cut into shards, the shards are spread over lanes, and the lanes over threads.

    batch of N samples -> shards: consecutive samples; the cuts depend on N alone
    shard k            -> lane k mod LANES: a walker through the layers with its own activations
                          and its own gradient vector, to which its shards add in their order
    gradient           =  sum of the lanes' vectors, in the order of the lanes

Nothing of this depends on the number of threads, so neither does any bit of the result; memory is
bounded by the lanes, however large the batch; and a shard's activations are few enough to stay in
the processor's cache between one layer and the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine import threads
from minicnn.layers import Layer, Linear, Softmax

Array = NDArray[Any]

LANES = 4
SMALLEST, LARGEST = 8, 32  # samples in a shard


def cut(n: int) -> list[slice]:
    """The shards of a batch of `n` samples.

    >>> cut(20)
    [slice(0, 8, None), slice(8, 16, None), slice(16, 20, None)]
    >>> [len(cut(n)) for n in (1, 32, 128, 1000)]
    [1, 4, 4, 32]
    """
    size = min(LARGEST, max(SMALLEST, -(-n // LANES)))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


class Lane:
    """One walker through the layers."""

    def __init__(self, layers: Sequence[Layer], dtype: Any, training: bool) -> None:
        self.layers = [layer.replica() for layer in layers]
        if not training:
            return
        arrays = [array for layer in layers for array in layer.params.values()]
        self.gradient = np.zeros(sum(array.size for array in arrays), dtype)  # of one shard
        self.total = np.zeros_like(self.gradient)  # of the shards of this lane in the batch
        self._views: list[tuple[Layer, dict[str, Array]]] = []
        start = 0
        for layer in self.layers:
            views = {}
            for key, array in layer.params.items():
                views[key] = self.gradient[start : start + array.size].reshape(array.shape)
                start += array.size
            layer.grads = dict(views)
            self._views.append((layer, views))

    def forward(self, x: Array, training: bool = False) -> Array:
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, dy: Array) -> None:
        """Fill `gradient` with that of the last forward."""
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        for layer, views in self._views:
            for key, view in views.items():
                if layer.grads[key] is not view:  # a user's layer that put in an array of its own
                    view[...] = layer.grads[key]
                    layer.grads[key] = view

    def forget(self) -> None:
        """Let go of the activations of the last forward."""
        for layer in self.layers:
            layer._cache = None


class ShardedNetwork:
    """The layers of a model, ready to be run on batches.

    Parameters
    ----------
    layers : sequence of built layers
        They share their parameters with the network; their caches and gradients stay untouched.
    dtype : float type of the parameters
    training : bool
        Whether `backward` will be wanted.
    """

    def __init__(self, layers: Sequence[Layer], dtype: Any, *, training: bool) -> None:
        self.whole = training and any(layer.mixes_samples for layer in layers)
        self.layers, self._dtype, self._training = list(layers), dtype, training
        self._lanes: list[Lane] = []

    def run(self, n: int, work: Callable[[Lane, slice], None]) -> list[Lane]:
        """`work(lane, shard)` for each shard of a batch of `n`; returns the lanes that ran."""
        shards = [slice(0, n)] if self.whole else cut(n)
        while len(self._lanes) < min(LANES, len(shards)):
            self._lanes.append(Lane(self.layers, self._dtype, self._training))
        lanes = self._lanes[: len(shards)]

        def run_lane(k: int) -> None:
            for shard in shards[k::LANES]:
                work(lanes[k], shard)
                lanes[k].forget()

        threads.run(run_lane, range(len(lanes)))
        return lanes

    def gradient(self, n: int, work: Callable[[Lane, slice], None], total: Array) -> None:
        """As `run`, where `work` ends with `lane.backward`; writes the sum over the shards."""

        def add(lane: Lane, shard: slice) -> None:
            work(lane, shard)
            if shard.start in firsts:
                lane.total[...] = lane.gradient
            else:
                lane.total += lane.gradient

        firsts = {shard.start for shard in cut(n)[:LANES]}
        first, *others = self.run(n, add)
        total[...] = first.total
        for lane in others:
            total += lane.total


def before_softmax(layers: Sequence[Layer]) -> tuple[list[Layer], bool]:
    """The layers up to the logits, and whether a softmax stood behind them.

    Softmax may be the last layer, or the activation of the last layer; the layer that is then put
    in its place shares its parameters.
    """
    *first, last = layers
    if isinstance(last, Softmax):
        return first, True
    if isinstance(getattr(last, "activation", None), Softmax):
        linear = last.replica()
        linear.activation = Linear(name="linear")  # type: ignore[attr-defined]
        return [*first, linear], True
    return list(layers), False

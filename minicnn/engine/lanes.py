"""A lane: one worker's copy of a plan, with its own activations and its own gradient.

A batch's shards go through lanes, one shard at a time in each; `shards.py` deals them out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.calls import MOST_NUMBERS, RepeatedForward
from minicnn.engine.normalization_stages import NormalizationStage
from minicnn.engine.plan import Plan
from minicnn.engine.prepared import Prepared
from minicnn.engine.stages import FusedStage, Shared, Stage
from minicnn.kernels.memory import aligned
from minicnn.layers import BatchNormalization, Layer
from minicnn.layers.contents import Streams, layers_inside, replicas
from minicnn.layers.regularization import OutputPenalty

Array = NDArray[Any]

T = TypeVar("T")


class Agreement(NamedTuple):
    """Where the shards of a batch have to agree, with what this shard knows.

    `settle(layer, stages, figures)` is called once, with the stages of all shards of this process
    and the figures of all shards of the batch, row by row in their order.
    """

    stage: NormalizationStage
    figures: Array
    settle: Callable[[BatchNormalization, Sequence[NormalizationStage], Array], None]


Phases = Generator[Agreement, None, T]


def through(stages: Sequence[Stage], x: Array, training: bool = False) -> Array:
    """What these stages make of x."""
    for stage in stages:
        x = stage.forward(x, training)
    return x


def forward_in_phases(stages: Sequence[Stage], x: Array) -> Phases[Array]:
    """Through these stages in training; yields where all shards of the batch have to agree."""
    for stage in stages:
        if isinstance(stage, NormalizationStage) and stage.together:
            yield Agreement(stage, stage.begin(x), stage.agree)
        x = stage.forward(x, True)
    return x


def backward_in_phases(stages: Sequence[Stage], dy: Array | None) -> Phases[Array | None]:
    """Back through these stages, as far as anything learns; returns the first one's dx."""
    for stage in reversed(stages):
        if dy is None:
            break
        if isinstance(stage, NormalizationStage) and stage.together:
            yield Agreement(stage, stage.begin_backward(dy), stage.agree_backward)
        dy = stage.backward(dy)
    return dy


def alone(phases: Phases[T]) -> T:
    """What `phases` return where the shard is the whole batch."""
    while True:
        try:
            stage, figures, settle = next(phases)
        except StopIteration as end:
            return end.value
        settle(stage.layer, [stage], figures[None])


class Lane:
    """A worker's copy of the plan, with its own activations and, to train, its own gradient.

    Attributes
    ----------
    only_reads : bool
        Whether forward may be given the user's own array: it does not write into it, returns no
        part of it, and `forget` lets go of it.
    """

    def __init__(
        self, plan: Plan, gradient: Array | None, prepared: Prepared | None = None
    ) -> None:
        self.layers: list[Layer] = replicas(plan.layers)
        self.gradient = gradient  # of its last shard, and then of those that were added to it
        self._views: list[tuple[Layer, dict[str, Array]]] = []
        self._inputs = np.empty((0, 0))
        start = 0
        for layer in self.layers if gradient is not None else ():
            views = {}
            for key, array in layer.params.items():
                views[key] = gradient[start : start + array.size].reshape(array.shape)  # type: ignore[index]
                start += array.size
            layer.grads.update(views)  # in place: a layer inside may write into the same dict
            if views:
                self._views.append((layer, views))
        shared = Shared.new(prepared)
        self.stages = plan.stages(self.layers, shared)
        self._learning = plan.learning
        self.fuses = plan.fuses
        # fused stages reuse their buffers; a layer keeps new arrays for its backward
        self._caching: list[Any] = [stage for stage in self.stages if isinstance(stage, Layer)]
        # a layer of the user's may write into its inputs, or return them
        first = self.stages[0] if self.stages and gradient is None else None
        self.only_reads = isinstance(first, FusedStage)
        if self.only_reads:
            self._caching.append(first)
        repeats = all(isinstance(stage, FusedStage) and stage.repeats for stage in self.stages)
        self._repeated: RepeatedForward | None = None
        if repeats and gradient is None:
            tables = [
                table for one in layers_inside(self.layers) for table in (one.params, one.state)
            ]
            self._repeated = RepeatedForward(partial(through, self.stages), shared.calls, tables)
        self._penalties = [one for one in self.layers if isinstance(one, OutputPenalty)]
        inner = [one for layer in self.layers for one in layers_inside(layer)[1:]]
        self._seek = [part.seek for part in (*self.stages, *inner) if type(part).seek != Layer.seek]
        self._seek.append(Streams(self.layers).seek)

    def inputs(self, n: int, size: int) -> Array:
        """A float32 buffer for the inputs of `n` samples, the same memory each time."""
        if self._inputs.shape[0] < n or self._inputs.shape[1] != size:
            self._inputs = aligned((n, size))
        return self._inputs[:n]

    def forward(self, x: Array, training: bool = False) -> Array:
        if self._repeated is None or training or x.size > MOST_NUMBERS or x.dtype != np.float32:
            return through(self.stages, x, training)
        return self._repeated(x)

    def forward_in_phases(self, x: Array) -> Phases[Array]:
        """`forward` in training; yields where all shards of the batch have to agree."""
        return forward_in_phases(self.stages, x)

    def backward_in_phases(self, dy: Array | None) -> Phases[None]:
        """Fill `gradient` with that of the last forward."""
        yield from backward_in_phases(self.stages[self._learning :], dy)
        for layer, views in self._views:
            for key, view in views.items():
                if layer.grads[key] is not view:  # a user's layer has replaced the array
                    view[...] = layer.grads[key]
                    layer.grads[key] = view

    def without_shard(self) -> Phases[None]:
        """The agreements of a step in which this process has no shard; without any rows."""
        for stage in self.stages:
            if isinstance(stage, NormalizationStage) and stage.together:
                yield Agreement(stage, np.empty((0, 1 + 2 * stage.channels)), stage.agree)
        for stage in reversed(self.stages[self._learning :]):
            if isinstance(stage, NormalizationStage) and stage.together:
                yield Agreement(stage, np.empty((0, 2 * stage.channels)), stage.agree_backward)

    def seek(self, step: int, sample: int) -> None:
        """Step `step` of training begins, on the samples of the batch from number `sample` on."""
        for seek in self._seek:
            seek(step, sample)

    def begin(self, n: int) -> None:
        """What comes are shards of a batch of `n` samples."""
        for one in self._penalties:
            one.samples = n

    def penalty(self) -> float:
        """The last shard's part of the penalties on outputs; see `layers/regularization.py`."""
        return sum([one.penalty for one in self._penalties])

    def forget(self) -> None:
        """Release the activations of the last forward."""
        for layer in self._caching:
            layer.forget()

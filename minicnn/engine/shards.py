"""A batch is cut into shards, the shards are spread over lanes, and the lanes over threads.

    batch of N samples -> shards: consecutive samples; the cuts depend on N alone
    shard k            -> lane k mod LANES: a worker's copy of the plan with its own activations
                          and its own gradient vector, to which its shards add in their order
    gradient           =  sum of the lanes' vectors, in the order of the lanes

None of this depends on the number of threads, so results are equal to the last bit. Without a
gradient nothing is summed in order: a shard takes any free lane, and there are as many as threads.
Then shards of small networks are larger: with 256 samples LeNet predicts 1.45 times as fast as with
64, a network of dense layers 1.35 times.
Memory is bounded by the number of lanes, however large the batch, and the activations of a shard
are small enough to stay in cache until the next layer reads them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minicnn.engine import threads
from minicnn.engine.memory import aligned
from minicnn.engine.plan import Plan
from minicnn.engine.stages import NormalizationStage, Stage
from minicnn.layers import (
    Activation,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Layer,
    Linear,
    Sigmoid,
    Softmax,
)
from minicnn.layers.contents import Streams, layers_inside, replicas
from minicnn.layers.regularization import OutputPenalty

Array = NDArray[Any]

T = TypeVar("T")
Phases = Generator[tuple[Callable[[list[Any]], None], Any], None, T]

LANES = 4
MIN_SHARD, LARGEST = 8, 64  # samples in a shard
LARGEST_INFERENCE = 256  # without a gradient, of samples with few activations
NUMBERS = 2**21  # of a stage's output for such a shard: 8 MB


def cut(n: int, largest: int = LARGEST) -> list[slice]:
    """The shards of a batch of `n` samples.

    Two up to 128 samples, then shards of 64: each has to outweigh the cost of the calls from
    Python and of starting a matrix product.

    >>> cut(20)
    [slice(0, 10, None), slice(10, 20, None)]
    >>> [len(cut(n)) for n in (1, 32, 128, 1000)]
    [1, 2, 2, 16]
    """
    size = min(largest, max(MIN_SHARD, -(-n // 2)))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def forward_in_phases(stages: Sequence[Stage], x: Array) -> Phases[Array]:
    """Through these stages in training; yields where all shards of the batch have to agree."""
    for stage in stages:
        if isinstance(stage, NormalizationStage) and stage.together:
            stage.begin(x)
            yield stage.agree, stage
        x = stage.forward(x, True)
    return x


def backward_in_phases(stages: Sequence[Stage], dy: Array | None) -> Phases[Array | None]:
    """Back through these stages, as far as anything learns; returns the first one's dx."""
    for stage in reversed(stages):
        if dy is None:
            break
        if isinstance(stage, NormalizationStage) and stage.together:
            stage.begin_backward(dy)
            yield stage.agree_backward, stage
        dy = stage.backward(dy)
    return dy


def alone(phases: Phases[T]) -> T:
    """What `phases` return where the shard is the whole batch."""
    while True:
        try:
            agree, stage = next(phases)
        except StopIteration as end:
            return end.value
        agree([stage])


class Lane:
    """A worker's copy of the plan, with its own activations and, to train, its own gradient."""

    def __init__(self, plan: Plan, gradient: Array | None) -> None:
        self.layers: list[Layer] = replicas(plan.layers)
        self.gradient = gradient  # of one shard
        self.sum: Array | None = None  # over the shards of a batch, if this lane has several
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
        self.stages = plan.stages(self.layers)
        self._learning = plan.learning
        self.fuses = plan.fuses
        # fused stages reuse their buffers; a layer keeps new arrays for its backward
        self._caching = [stage for stage in self.stages if isinstance(stage, Layer)]
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
        for stage in self.stages:
            x = stage.forward(x, training)
        return x

    def forward_in_phases(self, x: Array) -> Phases[Array]:
        """`forward` in training; yields where all shards of the batch have to agree."""
        return forward_in_phases(self.stages, x)

    def backward_in_phases(self, dy: Array | None) -> Phases[None]:
        """Fill `gradient` with that of the last forward."""
        yield from backward_in_phases(self.stages[self._learning :], dy)
        for layer, views in self._views:
            for key, view in views.items():
                if layer.grads[key] is not view:  # a user's layer that put in an array of its own
                    view[...] = layer.grads[key]
                    layer.grads[key] = view

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


class ShardedNetwork:
    """A plan, ready to be run on batches.

    Parameters
    ----------
    plan : Plan
        Its layers share their parameters with the lanes; their caches and gradients stay untouched.
    dtype : float type of the parameters
    training : bool
        Whether `gradient` will be wanted.
    """

    def __init__(self, plan: Plan, dtype: Any, *, training: bool) -> None:
        self.plan = plan
        penalties = [one for one in plan.layers if isinstance(one, OutputPenalty)]
        self.penalizes_batches = any(one.mixes_samples for one in penalties)
        mixing = {
            k
            for k, layer in enumerate(plan.layers)
            if any(one.mixes_samples for one in layers_inside(layer))
        }
        known = {entry.layers[0] for entry in plan.entries if entry.kind is NormalizationStage}
        self.whole = bool(training and mixing - known) or self.penalizes_batches
        self.in_phases = training and bool(mixing & known)
        few = 0 < plan.widest * LARGEST_INFERENCE <= NUMBERS
        self.largest = LARGEST_INFERENCE if few and not training else LARGEST
        size = sum(array.size for layer in plan.layers for array in layer.params.values())
        self._vectors = np.zeros((LANES, size), dtype) if training else None
        self._summands = np.zeros((0, size), dtype)  # the vectors of the lanes that ran last
        self._lanes: list[Lane] = []  # to train, in their order
        self._free: deque[Lane] = deque()  # for everything else

    def shards(self, n: int) -> list[slice]:
        return [slice(0, n)] if self.whole else cut(n, self.largest)

    def run(self, n: int, work: Callable[[Lane, slice], None]) -> None:
        """`work(lane, shard)` for each shard of a batch of `n`, by any lane that is free."""

        def work_on(shard: slice) -> None:
            try:
                lane = self._free.pop()
            except IndexError:
                lane = Lane(self.plan, None)
            lane.begin(n)
            _walk(lane, [shard], work)
            self._free.append(lane)

        threads.run(work_on, self.shards(n))

    def gradient(
        self,
        n: int,
        work: Callable[[Lane, slice], Phases[None]],
        other_jobs: Iterable[Callable[[], None]] = (),
    ) -> None:
        """`work(lane, shard)`, which ends with the lane's backward; `sum` then gives the gradient.

        Threads that find no lane left do the `other_jobs`.
        """
        shards = self.shards(n)
        if self.in_phases:
            self._ready(len(shards), n)
            self._run_in_phases([*zip(self._lanes, shards)], work, other_jobs)
            return
        several = len(shards) > LANES
        begins = {shard.start for shard in shards[:LANES]}
        ends = {shard.start for shard in shards[-LANES:]}

        def add(lane: Lane, shard: slice) -> None:
            for _ in work(lane, shard):
                pass  # no shard waits for another
            if not several or lane.gradient is None:
                return
            if lane.sum is None:
                lane.sum = np.empty_like(lane.gradient)
            if shard.start in begins:
                lane.sum[...] = lane.gradient
            else:
                lane.sum += lane.gradient
            if shard.start in ends:
                lane.gradient[...] = lane.sum

        self._ready(min(LANES, len(shards)), n)
        lanes = zip(self._lanes, (shards[k::LANES] for k in range(len(self._summands))))
        jobs = [partial(_walk, lane, share, add) for lane, share in lanes]
        threads.run(lambda job: job(), [*jobs, *other_jobs])

    def _ready(self, count: int, n: int) -> None:
        """Have `count` lanes for a batch of `n` samples, each with its gradient vector."""
        if self._vectors is None:
            raise ValueError("this network was made without training=True")
        if len(self._vectors) < count:
            self._vectors = np.zeros((count, self._vectors.shape[1]), self._vectors.dtype)
            self._lanes.clear()  # their gradients were views of the old ones
        self._summands = self._vectors[:count]
        while len(self._lanes) < count:
            self._lanes.append(Lane(self.plan, self._vectors[len(self._lanes)]))
        for lane in self._lanes:
            lane.begin(n)

    def _run_in_phases(
        self,
        shares: list[tuple[Lane, slice]],
        work: Callable[[Lane, slice], Phases[None]],
        other_jobs: Iterable[Callable[[], None]],
    ) -> None:
        """All shards up to the place where they have to agree, then up to the next.

        A shard keeps its activations until then, so each has its own lane.
        """
        walks = [work(lane, shard) for lane, shard in shares]
        reached: list[Any] = [None] * len(walks)

        def advance(k: int) -> None:
            with np.errstate(all="ignore"):
                reached[k] = next(walks[k], None)

        jobs = [partial(advance, k) for k in range(len(walks))]
        threads.run(lambda job: job(), [*jobs, *other_jobs])
        while reached[0] is not None:
            agree = reached[0][0]
            with np.errstate(all="ignore"):
                agree([stage for _, stage in reached])
            threads.run(lambda job: job(), jobs)
        for lane, _ in shares:
            lane.forget()

    def sum(self, part: slice, total: Array) -> None:
        """That part of the last batch's gradient, into `total`. Threads may share the parts."""
        np.add.reduce(self._summands[:, part], axis=0, out=total[part])  # row after row


def _walk(lane: Lane, shards: Sequence[slice], work: Callable[[Lane, slice], None]) -> None:
    """`work` on these shards, one after the other, with this lane."""
    with np.errstate(all="ignore"):  # each thread has its own; results are judged later
        for shard in shards:
            work(lane, shard)
            lane.forget()


def before_activation(
    layers: Sequence[Layer], activation: str = "softmax"
) -> tuple[list[Layer], bool]:
    """The layers up to the logits, and whether that activation, "softmax" or "sigmoid", stood
    behind them.

    It may be the last layer or its activation; a replica without the activation, with the same
    parameters, then takes the layer's place. Layers behind it that change nothing are skipped. A
    subclass with a forward of the user's is left alone.
    """
    layers = list(layers)
    while len(layers) > 1 and _changes_nothing(layers[-1]):
        layers.pop()
    *first, last = layers
    if _makes_probabilities(last, activation):
        return first, True
    activated: Any = last
    kinds = (Dense, Conv2D, Conv2DTranspose, Activation)
    plain = any(_runs(last, kind, ["forward"]) for kind in kinds)
    if plain and _makes_probabilities(activated.activation, activation):
        linear = activated.replica()
        linear.activation = Linear(name="linear")
        return [*first, linear], True
    return layers, False


def _makes_probabilities(layer: Any, activation: str) -> bool:
    """Whether it is a sigmoid, or a softmax over the classes, those on the last axis."""
    if activation == "sigmoid":
        return _runs(layer, Sigmoid, ("forward", "backward", "value", "slope"))
    return _runs(layer, Softmax) and layer.axis == -1


def _changes_nothing(layer: Any) -> bool:
    return _runs(layer.activation if _runs(layer, Activation) else layer, Linear)


def _runs(layer: Any, kind: type[Layer], passes: Sequence[str] = ("forward", "backward")) -> bool:
    """Whether these passes are those of `kind`, as in a subclass that keeps them."""
    return isinstance(layer, kind) and all(
        getattr(type(layer), name) is getattr(kind, name) for name in passes
    )

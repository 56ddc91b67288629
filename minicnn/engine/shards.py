"""A batch is cut into shards, which are spread over lanes, threads and processes.

    batch of N samples -> shards: consecutive samples; the cuts depend on N and the network alone
    shard              -> any lane that is free: a worker's copy of the plan with its own
                          activations and its own gradient vector
    gradient           =  sum of the shards' as a binary tree over their numbers (`tree.py`)

None of this depends on the number of threads or processes, so results are equal to the last bit.
Memory is bounded by the number of lanes: as many as threads, and the sums that wait in the tree for
a sibling, however large the batch. The activations of a shard are small enough to stay in cache
until the next layer reads them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.engine import ranks, threads
from minicnn.engine.lanes import Lane, Phases
from minicnn.engine.normalization_stages import NormalizationStage
from minicnn.engine.plan import Plan
from minicnn.engine.prepared import Prepared
from minicnn.engine.tree import Sums, add_up, top_level
from minicnn.kernels import LazyModule
from minicnn.kernels.memory import aligned_zeros
from minicnn.layers.contents import layers_inside
from minicnn.layers.regularization import OutputPenalty

if TYPE_CHECKING:
    from minicnn.engine import ahead, passes
else:
    ahead = LazyModule("minicnn.engine.ahead")
    passes = LazyModule("minicnn.engine.passes")

Array = NDArray[Any]

MIN_SHARD, LARGEST = 8, 64  # samples in a shard
WORK = 2**31  # multiply-adds of a forward: a shard of LARGEST / 2 samples with as many is enough
# Without a gradient: LEAST to LARGEST samples, by the size of activations, and up to MOST where
# they take fewer than ENOUGH multiply-adds, 1 ms: calls from Python cost some 50 us a shard
LEAST_INFERENCE, LARGEST_INFERENCE, MOST_INFERENCE, ENOUGH = 16, 256, 1024, 2**27
NUMBERS = 10 * 2**17  # of a stage's input or output for more than LEAST_INFERENCE: 5.2 MB
# Up to so many multiply-adds for each of `Plan.passes` (plus PER_NUMBER for each number of all
# outputs) a batch is one shard, on one thread: what a second one takes over is less than what
# waking it and the calls from Python cost. Where shards have to agree it is as if there were
# AGREEING more stages. On two cores, steps took 0.46 to 0.87 of the time so below this, and 0.96 to
# 1.29 above. Beyond LARGEST_SMALL samples it is several shards, still on one thread: in a single
# sum of 100,000 equal gradients the fifth digit was wrong.
SMALL, PER_NUMBER, AGREEING, LARGEST_SMALL = 7 * 2**19, 32, 3, 1024
TOPS = 4  # vectors that are added up in pieces, by all threads, on the way to the optimizer

_shard_size: int | None = None


def cut(n: int, largest: int = LARGEST) -> list[slice]:
    """The shards of a batch of `n` samples: two at least, of `largest` samples at most.

    Each has to outweigh the cost of the calls from Python and of starting a matrix product.

    >>> cut(20)
    [slice(0, 10, None), slice(10, 20, None)]
    >>> [len(cut(n)) for n in (1, 32, 128, 1000)]
    [1, 2, 2, 16]
    """
    size = min(largest, max(MIN_SHARD, -(-n // 2)))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def tapered(shards: list[slice]) -> list[slice]:
    """Shards that nothing is summed over: the last two in quarters, of 16 samples at least, so that
    all threads end at nearly the same time.
    """
    if len(shards) < 4:
        return shards
    size = max(LEAST_INFERENCE, (shards[0].stop - shards[0].start) // 4)
    first, stop = shards[-2].start, shards[-1].stop
    return shards[:-2] + [slice(k, min(k + size, stop)) for k in range(first, stop, size)]


def get_shard_size() -> int | None:
    """What `set_shard_size` was given."""
    return _shard_size


def set_shard_size(samples: int | None) -> None:
    """Train with shards of at most so many samples, for more cores or ranks than have one now.

    A batch of 128 is cut into two shards, or four where a sample is much work; where it is little
    work it is one, unless a size is set. Smaller ones begin every layer with a cold cache: on two
    cores a step of the tutorial's deeper model takes 1.08 as long with shards of 32 as with 64, 1.2
    with 16, 1.35 with 8. Sums are then taken in another order, so the last bits of a result are
    those of this size; on any number of threads or ranks. None goes back to what the network's work
    says. Raises TypeError or ValueError unless it is an integer of at least 8.
    """
    global _shard_size
    if samples is not None:
        most = checks.LARGEST_SIZE
        samples = checks.integer(
            samples, "samples", "set_shard_size", minimum=MIN_SHARD, maximum=most
        )
    _shard_size = samples


def largest_shard(plan: Plan) -> int:
    """Samples in a shard of training: half as many where that is work enough."""
    if _shard_size is not None:
        return _shard_size
    return LARGEST // 2 if plan.work * LARGEST // 2 >= WORK else LARGEST


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
        self.plan, self.dtype, self.training = plan, dtype, training
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
        work = plan.work + PER_NUMBER * sum(plan.outputs)
        all_fused = work > 0 and all(entry.kind is not None for entry in plan.entries)
        stages = plan.passes + (AGREEING * len(mixing & known) if self.in_phases else 0)
        self._small = SMALL * stages // work if all_fused else 0  # samples; else unknown work
        self._inference = LARGEST_INFERENCE if plan.widest else LARGEST
        while all_fused and self._inference < MOST_INFERENCE and self._inference * work < ENOUGH:
            self._inference *= 2
        widest = max(plan.widest, math.prod(plan.sample_shape))
        while self._inference > LEAST_INFERENCE and self._inference * widest > NUMBERS:
            self._inference //= 2
        self.size = sum(array.size for layer in plan.layers for array in layer.params.values())
        self._lanes: list[Lane] = []
        self._free: deque[Lane] = deque()  # of them, those that nothing waits in
        self._prepared = Prepared()
        self._nodes: ranks.Nodes = []  # of the last batch's gradient
        self._shards = 0
        self._has_run = False

    @property
    def largest(self) -> int:
        """Samples in a shard."""
        return largest_shard(self.plan) if self.training else self._inference

    def shards(self, n: int) -> list[slice]:
        """The shards of a batch of `n`: as few as can be where a second thread would be no gain."""
        small = self.is_small(n) and not (self.training and _shard_size)
        if self.whole or (small and n <= LARGEST_SMALL):
            return [slice(0, n)]
        return cut(n, LARGEST_SMALL if small else self.largest)

    def own_shards(self, n: int) -> list[slice]:
        """Those that this process works on."""
        shards = self.shards(n)
        return [shards[k] for k in ranks.group().own(len(shards))]

    def bounds(self, n: int) -> list[tuple[int, int]]:
        """The first sample, and that behind the last, of each rank's shards of a batch of `n`."""
        shards = self.shards(n)
        starts = [shard.start for shard in shards] + [n]
        return [(starts[own.start], starts[own.stop]) for own in ranks.group().shares(len(shards))]

    def feeding(self, count: int) -> int:
        """Samples of a batch that has a shard of full size for each of `count` ranks."""
        beyond = 0 if self.training and _shard_size else self._small
        return max(count, beyond // self.largest + 1) * self.largest

    def is_small(self, n: int) -> bool:
        """Whether a batch of `n` samples is too small to gain from a second thread."""
        return n <= self._small

    def run(self, n: int, work: Callable[[Lane, slice], None], *, sums: bool = True) -> None:
        """`work(lane, shard)` for each shard of a batch of `n`, by any lane that is free; without
        `sums` over them, the last ones may be smaller.
        """

        def work_on(shard: slice) -> None:
            lane = self._free_lane(n)
            try:
                with np.errstate(all="ignore"):  # each thread has its own; results are judged later
                    work(lane, shard)
            finally:
                lane.forget()
                self._free.append(lane)

        self._prepared.begin()
        own = self.own_shards(n) if sums else tapered(self.own_shards(n))
        with self._compiling(own):
            threads.run(work_on, own, alone=self.is_small(n))

    def gradient(
        self,
        n: int,
        work: Callable[[Lane, slice], Phases[None]],
    ) -> None:
        """`work(lane, shard)`, which ends with the lane's backward; `sum` gives the gradient."""
        if not self.training:
            raise ValueError("this network was made without training=True")
        shards, group = self.shards(n), ranks.group()
        self._prepared.begin()
        self._free = deque(self._lanes)
        self._shards = len(shards)
        sums = Sums(self._shards, top_level(self._shards, TOPS if group.size == 1 else 1), _add)
        own = [(number, shards[number]) for number in group.own(self._shards)]
        # the threads' lanes, and those that the last sums wait in, are made at once
        while len(self._lanes) < min(len(own), threads.get_num_threads() + TOPS):
            self._free.append(self._new_lane())

        def work_on(number: int, shard: slice) -> None:
            lane = self._free_lane(n)
            with np.errstate(all="ignore"):
                for _ in work(lane, shard):
                    pass  # no shard waits for another
                lane.forget()
                self._free.extend(sums.put(number, lane))

        with self._compiling([shard for _, shard in own]):
            if self.in_phases:
                self._run_in_phases(n, own, work, sums)
            else:
                jobs = [partial(work_on, *one) for one in own]
                threads.run(lambda job: job(), jobs, alone=self.is_small(n))
        nodes = [(node, lane.gradient) for node, lane in sums.nodes()]
        self._nodes = group.gradient(nodes, self._shards, self.size, self.dtype)

    def _compiling(self, shards: list[slice]) -> AbstractContextManager[None]:
        """Around the first batch, whose kernels may have to be compiled."""
        if self._has_run or not shards or not self.plan.fuses:
            return nullcontext()
        self._has_run = True
        return ahead.compiling(self.plan, shards[0].stop - shards[0].start, training=self.training)

    def _free_lane(self, n: int) -> Lane:
        """A lane for a shard of a batch of `n` samples."""
        try:
            lane = self._free.pop()
        except IndexError:
            lane = self._new_lane()
        lane.begin(n)
        return lane

    def _new_lane(self) -> Lane:
        gradient = aligned_zeros(self.size, self.dtype) if self.training else None
        lane = Lane(self.plan, gradient, self._prepared)
        self._lanes.append(lane)
        return lane

    def _run_in_phases(
        self,
        n: int,
        own: list[tuple[int, slice]],
        work: Callable[[Lane, slice], Phases[None]],
        sums: Sums,
    ) -> None:
        """All shards up to the place where they have to agree, then up to the next.

        A shard keeps its activations until then, so each has its own lane.
        """
        group = ranks.group()
        lanes = [self._free_lane(n) for _ in own]
        walks = [work(lane, shard) for lane, (_, shard) in zip(lanes, own)]
        if not own:  # more processes than shards: each keeps the running statistics
            walks = [self._free_lane(n).without_shard()]
        reached: list[Any] = [None] * len(walks)

        def advance(k: int) -> None:
            with np.errstate(all="ignore"):
                reached[k] = next(walks[k], None)
                if reached[k] is None and own:
                    lanes[k].forget()
                    sums.put(own[k][0], lanes[k])

        def settle() -> bool:
            """What the shards agree on; whether any goes on."""
            if reached[0] is None:
                return False
            stage, figures, agree = reached[0]
            rows = np.array([one.figures for one in reached]) if own else figures
            with np.errstate(all="ignore"):
                all_rows = group.rows(rows, self._shards)
                agree(stage.layer, [one.stage for one in reached] if own else [], all_rows)
            return True

        threads.run_in_phases(advance, range(len(walks)), settle, alone=self.is_small(n))

    def sum(self, part: slice, total: Array) -> float:
        """That part of the last batch's gradient, into `total`; once for each part.

        Returns the sum of its squares. Threads may share the parts.
        """
        nodes = [(node, vector[part]) for node, vector in self._nodes]
        if len(nodes) == 1 and self.plan.fuses:
            return float(passes.copy(nodes[0][1], total[part]))
        if len(nodes) == 2 and self.plan.fuses:
            return float(passes.add(nodes[0][1], nodes[1][1], total[part]))
        add_up(nodes, self._shards, total[part])
        return float(np.dot(total[part], total[part]))


def _add(lane: Lane, other: Lane) -> None:
    lane.gradient += other.gradient  # type: ignore[operator]

"""One step of training, on a batch of B samples:

    y_pred   = the layers' forward, one after the other
    loss     = mean of the samples' losses, and the penalties of regularizers
    gradient = the layers' backward, last to first, from dL/dy_pred / B, and the penalties'
    w        = the optimizer's step along the gradient, then held to the constraints

Here the engine does it: the batch in shards on several threads, the update in pieces, and all of it
taken back if anything fails. `plain.py` is the same step in a few lines.
"""

from __future__ import annotations

import bisect
import math
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.engine import blas, ranks, threads
from minicnn.engine.lanes import Lane, Phases
from minicnn.engine.logits import before_activation
from minicnn.engine.shards import ShardedNetwork
from minicnn.engine.updates import single_pass
from minicnn.inputs import Batch
from minicnn.kernels import LazyModule
from minicnn.kernels.memory import FLOATS_IN_LINE
from minicnn.layers import Layer, Sigmoid, Softmax
from minicnn.layers.regularization import with_penalties
from minicnn.losses import Loss, SparseCategoricalCrossentropy
from minicnn.metrics import Metric
from minicnn.optimizers import Optimizer
from minicnn.optimizers.base import WEIGHTS
from minicnn.protocols import Model
from minicnn.training.figures import Found, Means, Measured
from minicnn.training.finite import (
    NotFiniteError,
    first_found,
    first_not_finite,
    not_finite,
)
from minicnn.training.interrupts import undisturbed
from minicnn.training.rollback import Snapshot

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import passes
else:
    passes = LazyModule("minicnn.engine.passes")

PIECE = 2**19  # the most parameters that one thread treats at a time in an optimizer's step


class Runner:
    """A compiled model, ready for steps: its plan up to the logits, its loss and its metrics."""

    def __init__(self, model: Model, loss: Loss, metrics: list[Metric], training: bool):
        # `metrics` are followed by those that are weighted
        walk = with_penalties(model.leaves)
        layers, cut = before_activation(walk, loss.activation)
        last = loss.axis % len(model.output_shape) == len(model.output_shape) - 1
        takes_logits = cut and loss.from_logits is not None and (last or not loss.joint)
        self.loss = loss.on_logits() if takes_logits else loss
        ends = before_activation(model.leaves, loss.activation)[1]
        if loss.from_logits and not takes_logits and ends:
            self.loss = loss.on_probabilities()  # which a penalty on the last output needs
        self.metrics, self.weighted = metrics, model.unweighted_metrics
        # metrics of the user's that are no sums over samples
        self.needs_outputs = any(metric.keeps_itself or metric.by_batch for metric in metrics)
        self.activation: Layer | None = None  # between the logits and the metrics
        if takes_logits and not all(metric.rank_based for metric in metrics):
            kind = Sigmoid if loss.activation == "sigmoid" else Softmax
            self.activation = kind(name=loss.activation)
        self.sample_shape = model.input_shape[1:]
        plan = model.plan_of(layers if takes_logits else walk, training=training)
        self.network = ShardedNetwork(plan, model.dtype, training=training)
        self.single_pass = single_pass(model.optimizer, model.dtype) if plan.fuses else None
        sparse = type(self.loss) is SparseCategoricalCrossentropy and self.loss.from_logits
        sparse = sparse and self.loss.plain and self.loss.axis in (-1, 1)
        self.single_pass_loss = bool(plan.fuses and sparse and len(model.output_shape) == 2)
        self.weighs = not self.loss.plain or model.loss_weight != 1
        self.loss_weight, self.output_shape = model.loss_weight, model.output_shape
        self.store, self.parts = model.store, model.trainable_parts
        self.pieces = _pieces(len(self.store.params), _count(len(self.store.params)), self.parts)
        self.penalized = self.store.ruled("regularizers", self.parts)
        self.constrained = self.store.ruled("constraints", self.parts)
        self.places = self.means().places
        self.columns = 1 + len(self.means().sums)  # of a shard's sums: the penalty, too
        shapes = [one for _, ones in self.places for one in ones]
        self.flat = not any(shapes)  # whether all that metrics measure are single numbers
        self.snapshot = Snapshot()
        self._running = threading.Lock()  # held during a step
        self._process = os.getpid()

    def after_fork(self) -> None:
        """In a forked child: take back what a step of the parent's had begun in another thread."""
        if self._process != os.getpid():
            self._process = os.getpid()
            if self._running.locked():
                self.snapshot.restore()
                self.snapshot.end()
                self._running = threading.Lock()

    def means(self) -> Means:
        return Means(self.metrics, self.weighted, self.output_shape)

    def test(self, batch: Batch) -> Measured:
        """Loss and metrics of the batch."""
        found = Found()
        factors = self.factors(batch)

        def work(lane: Lane, shard: slice) -> None:
            y_pred = lane.forward(batch.inputs(shard, self.sample_shape, lane))
            y = batch.targets(shard)
            losses = (
                self.loss.forward(y, y_pred)
                if factors is None
                else self.loss.weighted(y, y_pred, factors[shard])
            )
            self.measure(batch, shard, y_pred, losses, lane, found)

        self.network.run(len(batch), work)
        return self._measured(batch, found)

    def train(self, batch: Batch, step: int) -> tuple[Measured, bool]:
        """As `test`, in training mode; also leaves the gradient of the batch's mean loss in the
        network's lanes. The second value says whether the losses are finite.
        """
        found = Found()
        factors = self.factors(batch)

        def work(lane: Lane, shard: slice) -> Phases[None]:
            lane.seek(step, shard.start)
            inputs = batch.inputs(shard, self.sample_shape, lane)
            y_pred = yield from lane.forward_in_phases(inputs)
            losses, dy = self.loss_backward(batch, shard, y_pred, factors)
            self.measure(batch, shard, y_pred, losses, lane, found)
            yield from lane.backward_in_phases(dy)

        self.network.gradient(len(batch), work)
        measured = self._measured(batch, found)
        return measured, math.isfinite(measured.sums[0])

    def measure(
        self, batch: Batch, shard: slice, y_pred: Array, losses: Array, lane: Lane, found: Found
    ) -> None:
        """Put what the shard adds to the figures into `found`."""
        if self.needs_outputs:
            found.put(shard, y_pred)
        if self.metrics and self.activation is not None:
            y_pred = self.activation.forward(y_pred)
        parts: list[Any] = [losses.sum(dtype=np.float64), lane.penalty()]
        for number, metric in enumerate(self.metrics):
            if metric.by_batch:
                parts.extend(map(np.zeros, self.places[number][1]))
            else:
                y, weight = batch.targets(shard), self._weight(batch, number, shard)
                parts.extend(metric.measure(y, y_pred, weight))
        found.sums[shard.start] = (
            np.array(parts) if self.flat else np.concatenate([np.ravel(one) for one in parts])
        )

    def _weight(self, batch: Batch, number: int, shard: slice) -> Array | None:
        return None if number < self.weighted or batch.weight is None else batch.weight[shard]

    def _measured(self, batch: Batch, found: Found) -> Measured:
        """The figures of the batch: the sums over its shards, in their order."""
        group, n = ranks.group(), len(batch)
        own = np.array([found.sums[start] for start in sorted(found.sums)], np.float64)
        rows = group.rows(own.reshape(-1, self.columns), len(self.network.shards(n)))
        total, penalty, *_ = sums = np.add.reduce(rows, axis=0)
        sums[1] = total + self.penalty(penalty) * n  # whatever the samples' weights
        measured = Measured(sums[1:], n, None)
        if not self.needs_outputs:
            return measured
        y_pred, y = found.outputs(), batch.targets(slice(None))
        if self.activation is not None:
            y_pred = self.activation.forward(y_pred)
        for number, metric in enumerate(self.metrics):
            if metric.by_batch and not metric.keeps_itself:
                parts = metric.measure(y, y_pred, self._weight(batch, number, slice(None)))
                place = self.places[number][0]
                measured.sums[place] = np.concatenate([np.ravel(one) for one in parts])
        return measured._replace(outputs=(y, y_pred, batch.weight))

    def penalty(self, on_outputs: float = 0.0) -> float:
        """All penalties of a step: those on outputs, and those on parameters."""
        total = float(on_outputs)
        for one in self.penalized:
            total += one.penalty(self.store.params)
        return total

    def factors(self, batch: Batch) -> Array | None:
        """The factors on the batch's losses, by weights and reduction; see `Loss.factors`."""
        if batch.weight is None and not self.weighs:
            return None
        y: Any = batch.y
        factors = self.loss.factors(y, (len(batch), *self.output_shape[1:]), batch.weight)
        if self.loss_weight == 1:
            return factors
        return (np.ones(len(batch)) if factors is None else factors) * self.loss_weight

    def loss_backward(
        self, batch: Batch, shard: slice, y_pred: Array, factors: Array | None = None
    ) -> tuple[Array, Array]:
        """The losses of the shard, and the gradient of their part of the mean."""
        y, n = batch.targets(shard), y_pred.dtype.type(len(batch))
        if self.single_pass_loss and factors is None:
            losses, dy = np.empty(len(y)), np.empty_like(y_pred)
            factor = y_pred.dtype.type(1 / len(batch))
            passes.sparse_crossentropy(y_pred, y.astype(np.int64), factor, losses, dy)
            return losses, dy
        if factors is None:
            return self.loss.forward(y, y_pred), self.loss.backward(y, y_pred) / n
        losses = self.loss.weighted(y, y_pred, factors[shard])
        return losses, self.loss.weighted_backward(y, y_pred, factors[shard]) / n

    def first_fault(self, model: Model, batch: Batch, step: int) -> str:
        """What first became NaN or infinite in the step on `batch` that just failed."""
        x = batch.all_inputs(self.sample_shape)
        where, y_pred = first_not_finite(self.network.plan.layers, x, step, batch.there.start or 0)
        if not where and len(x):
            losses = self.loss.forward(batch.targets(batch.there), y_pred)
            where = "" if np.isfinite(losses).all() else "the loss"
        where = first_found(where)
        if where:
            return where
        for one in self.penalized:
            if not np.isfinite(one.penalty(self.store.params)):
                return f"the penalty of {one.who}"
        largest = {
            f"the gradient of {key} in {layer.who}": float(np.abs(array).max())
            for layer in reversed(model.leaves)
            for key, array in layer.grads.items()
            if layer.trainable
        }
        for what, size in largest.items():
            if not np.isfinite(size):
                return what
        return max(largest, key=largest.__getitem__)  # too large to be squared

    def step(self, model: Model, batch: Batch) -> Measured:
        """One update of the model's parameters; returns loss and metrics of the batch before it.

        Raises NotFiniteError where the loss, the gradient, or what the step has changed is not
        finite. After this or any other error, weights, running statistics and optimizer are as
        before. RuntimeError if another thread is taking a step of this model.
        """
        if self._running.locked():
            raise RuntimeError(in_two_threads(model))
        step = model.steps_taken
        with self._running:
            try:
                blas.hold()  # a callback, or another thread, may have given BLAS its threads
                self.snapshot.begin(model)
                with np.errstate(all="ignore"):  # what overflows is found by its result
                    values, finite = self.train(batch, step)
                    finite, sound = self.update(model) if finite else (False, True)
                    what = self._overflown(model, sound) if finite else ""
                    if what or not finite:
                        self.snapshot.restore()  # the fault is looked for before the step
                        what = what or self.first_fault(model, batch, step)
                        number = model.optimizer.iterations + 1
                        raise NotFiniteError(not_finite(number, what), values)
                self.store.hand_out_again()
                model.steps_taken += 1
                self.snapshot.end()
            except BaseException:
                try:
                    self._take_back()
                except BaseException:  # Ctrl-C before it is held off, or another signal's error
                    self._take_back()
                    raise
                raise
        return values

    def _take_back(self) -> None:
        with undisturbed():
            self.snapshot.restore()
            self.store.hand_out_again()
            self.snapshot.end()

    def _overflown(self, model: Model, sound: bool) -> str:
        """What the step has made NaN or infinite; empty if nothing. `sound`: weights are finite."""
        for layer in model.leaves:
            for key, array in layer.state.items():
                if not np.isfinite(array).all():
                    return f"{key} of {layer.who}"
        if sound:
            return ""
        step = f"the step of {checks.shown(model.optimizer)}"
        overflown = (
            f"{key} of {layer.who}, by {step},"
            for layer in model.leaves
            for key, array in layer.params.items()
            if not np.isfinite(array).all()
        )
        return next(overflown, step)

    def update(self, model: Model) -> tuple[bool, bool]:
        """The optimizer's step along the summed gradient; returns whether that is finite, and
        whether the weights are after it.

        A number of it whose square is not finite counts as infinite: optimizers square it.
        Works through the vectors piece by piece, so that each thread can take the next.
        """
        optimizer, w, g = model.optimizer, self.store.params, self.store.grads
        optimizer.begin(w)
        try:
            whole = bool(self.penalized or optimizer.limits_norms)
            if whole:  # the gradient has to be there before any of it is used
                self.sum_gradient()
            # where the optimizer treats parameters differently
            rules = self._rules(optimizer) if optimizer.limits_norms or optimizer.excludes else None
            finite: list[bool] = []
            sound: list[bool] = []
            # what is copied before it changes: by itself, or by the pass that changes it
            copied: dict[Any, Array] = {WEIGHTS: w, **optimizer.state}
            passed = {WEIGHTS: w, **{slot: optimizer.state[slot] for slot in optimizer.slots}}
            if self.single_pass:
                copied = optimizer.changed_by_move(w)
                if self.constrained and optimizer.waiting:  # only they change w while it waits
                    copied[WEIGHTS] = w

            def move(part: slice) -> None:
                for name, vector in copied.items():
                    self.snapshot.keep(name, vector, part)
                step: Callable[..., None] = optimizer.step
                if self.single_pass:
                    step = partial(self.single_pass, kept=self.snapshot.places(passed, part))
                optimizer.move(w, g, part, *(rules(part) if rules else (1.0, True)), step)

            def work(piece: tuple[slice, list[slice]]) -> None:
                place, moving = piece
                with np.errstate(all="ignore"):  # each thread has its own
                    squares = np.inf if whole else self.network.sum(place, g)
                    # those that do not move need not be finite, nor need the sum of all squares,
                    # which would depend on how many pieces there are
                    finite.append(
                        math.isfinite(squares)
                        or all(np.isfinite(np.square(g[part])).all() for part in moving)
                    )
                    for part in moving if finite[-1] else ():
                        move(part)
                    sound.append(checks.all_finite(w[place]))

            if self.single_pass is None:  # the user's own may want to see whole parameters
                work((slice(0, len(w)), self.parts))
            else:
                pieces = self.pieces
                if rules:
                    pieces = _pieces(len(w), len(pieces), self.parts, join=False)
                threads.run(work, pieces)
        finally:
            optimizer.end()
        if not all(finite):
            return False, True
        if self.constrained:
            threads.run(lambda one: one.constrain(w), self.constrained)
            sound = [checks.all_finite(w)]
        return True, all(sound)

    def sum_gradient(self) -> None:
        """The whole gradient of the batch, with that of the penalties."""
        w, g = self.store.params, self.store.grads
        threads.run(lambda piece: self.network.sum(piece[0], g), self.pieces)
        threads.run(lambda one: one.add_gradient(w, g), self.penalized)

    def _rules(self, optimizer: Optimizer) -> Callable[[slice], tuple[float, bool]]:
        """A function of a part of the vector: the factor on its gradient, and whether it decays."""
        g, parts = self.store.grads, self.parts
        norms = np.zeros(len(parts))

        def measure(k: int) -> None:
            with np.errstate(all="ignore"):
                norms[k] = optimizer.norm(g, parts[k])

        if optimizer.limits_norms:
            threads.run(measure, range(len(parts)))
        factors = optimizer.factors(norms.tolist())
        decays = [optimizer.decays(path) for path in self.store.paths(parts)]
        starts = [part.start for part in parts]

        def rules(part: slice) -> tuple[float, bool]:
            k = bisect.bisect_right(starts, part.start) - 1
            return factors[k], decays[k]

        return rules


def _count(size: int) -> int:
    """How many pieces a vector is cut into: as many for each thread, and none that takes less time
    than waking a thread and waiting for it.

    Any that is left over would be waited for, and threads that go from one call to the next hold
    each other up.
    """
    sharing = max(1, min(threads.get_num_threads(), 3 * size // PIECE))
    return sharing * -(-size // (sharing * PIECE))


def _pieces(
    size: int, count: int, moving: list[slice], *, join: bool = True
) -> list[tuple[slice, list[slice]]]:
    """A vector cut into `count` pieces, each with what is `moving` in it.

    Neighbours in that count as one, unless `join` is False.

    >>> _pieces(400_000, 2, [slice(0, 100), slice(190_000, 400_000)])
    [(slice(0, 200000, None), [slice(0, 100, None), slice(190000, 200000, None)]),
     (slice(200000, 400000, None), [slice(200000, 400000, None)])]
    """
    # each begins with a line of the cache
    edges = [size * k // count // FLOATS_IN_LINE * FLOATS_IN_LINE for k in range(count)] + [size]
    pieces = []
    runs = _joined(moving) if join else moving
    for k in range(count):
        start, stop = edges[k : k + 2]
        cuts = [slice(max(start, run.start), min(stop, run.stop)) for run in runs]
        pieces.append((slice(start, stop), [cut for cut in cuts if cut.start < cut.stop]))
    return pieces


def _joined(parts: list[slice]) -> list[slice]:
    """Neighbours as one.

    >>> _joined([slice(0, 2), slice(2, 5), slice(7, 9)])
    [slice(0, 5, None), slice(7, 9, None)]
    """
    runs: list[slice] = []
    for part in parts:
        if runs and runs[-1].stop == part.start:
            runs[-1] = slice(runs[-1].start, part.stop)
        else:
            runs.append(part)
    return runs


def in_two_threads(model: Model) -> str:
    return (
        f"{model.who} is being trained by another thread. Train it in one thread at a time, or "
        "give each thread a copy.deepcopy(model)"
    )

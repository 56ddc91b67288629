"""Training, evaluating and predicting: the loops over the batches.

One step of training, on a batch of B samples:

    y_pred   = the layers' forward, one after the other
    loss     = mean of the samples' losses
    gradient = the layers' backward, last to first, from dL/dy_pred / B
    w        = the optimizer's step along the gradient

The figures of an epoch are means over its samples, each taken before the update of its batch.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.callbacks import Callback, CallbackList, History
from minicnn.console import note
from minicnn.engine import blas, threads
from minicnn.engine.blas import single_threaded_blas
from minicnn.engine.shards import Lane, ShardedNetwork, before_softmax
from minicnn.engine.updates import single_pass
from minicnn.inputs import Batch, Data
from minicnn.kernels import LazyModule
from minicnn.layers import Layer, Rescaling, Softmax
from minicnn.layers.contents import layers_inside, replicas
from minicnn.losses import Loss, SparseCategoricalCrossentropy
from minicnn.metrics import Metric
from minicnn.optimizers import Optimizer
from minicnn.progress import Progress

if TYPE_CHECKING:
    from minicnn.models import Sequential

Array = NDArray[Any]

kernels = LazyModule("minicnn.engine.kernels")

_noted = False

BLOCK = 2048  # samples that are evaluated or predicted at a time
PIECE = 2**18  # parameters that one thread treats at a time in an optimizer's step


class NotFiniteError(FloatingPointError):
    """A step that was not applied, since it would have made something NaN or infinite.

    `values` are the loss and the metrics of each of its samples, as `Runner.step` returns them.
    """

    def __init__(self, message: str, values: Array) -> None:
        super().__init__(message)
        self.values = values


class Means:
    """Running means of the loss and the metrics over all samples so far."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.sums = np.zeros(len(names))
        self.count = 0

    def add(self, values: Array) -> dict[str, float]:
        """Take in a batch's values, one row a figure and one column a sample; returns the means."""
        self.sums += values.sum(axis=1)
        self.count += values.shape[1]
        return self.logs()

    def logs(self) -> dict[str, float]:
        return {n: float(s) / max(self.count, 1) for n, s in zip(self.names, self.sums)}


class Runner:
    """A compiled model, ready for steps: its plan up to the logits, its loss and its metrics."""

    def __init__(self, model: Sequential, loss: Loss, metrics: list[Metric], training: bool):
        layers, ends_in_softmax = before_softmax(model.layers)
        takes_logits = ends_in_softmax and loss.from_logits is not None
        self.loss = loss.on_logits() if takes_logits else loss
        self.metrics = metrics
        self.softmax = (
            Softmax(name="softmax")
            if takes_logits and not all(metric.by_order for metric in metrics)
            else None
        )
        self.sample_shape = model.input_shape[1:]
        plan = model.lowered(layers if takes_logits else model.layers)
        self.network = ShardedNetwork(plan, model.dtype, training=training)
        self.update = single_pass(model.optimizer, model.dtype) if plan.fuses else None
        sparse = type(self.loss) is SparseCategoricalCrossentropy and self.loss.from_logits
        self.fused_loss = bool(plan.fuses and sparse and len(model.output_shape) == 2)
        self._backup = _Backup()
        self._running = threading.Lock()  # held during a step
        self._process = os.getpid()

    def after_fork(self) -> None:
        """In a forked child: take back what a step of the parent's had begun in another thread."""
        if self._process != os.getpid():
            self._process = os.getpid()
            if self._running.locked():
                self._backup.restore()
                self._backup.end()
                self._running = threading.Lock()

    def means(self) -> Means:
        return Means(["loss", *(metric.name for metric in self.metrics)])

    def test(self, batch: Batch) -> Array:
        """Loss and metrics of each sample, shape (1 + metrics, B)."""
        losses, out = np.empty(len(batch)), _Outputs(len(batch))

        def work(lane: Lane, shard: slice) -> None:
            y_pred = lane.forward(batch.inputs(shard, self.sample_shape, lane))
            out.put(shard, y_pred)
            losses[shard] = self.loss.forward(batch.y[shard], y_pred)  # type: ignore[index]

        self.network.run(len(batch), work)
        return self._values(batch, losses, out)

    def train(
        self, batch: Batch, step: int, meanwhile: Iterable[Callable[[], None]] = ()
    ) -> tuple[Array, bool]:
        """As `test`, in training mode; also leaves the gradient of the batch's mean loss in the
        network's lanes. The second value says whether the losses are finite. Threads that find no
        shard left do the jobs that are given for `meanwhile`.
        """
        losses, out = np.empty(len(batch)), _Outputs(len(batch))

        def work(lane: Lane, shard: slice) -> None:
            lane.seek(step, shard.start)
            y_pred = lane.forward(batch.inputs(shard, self.sample_shape, lane), True)
            out.put(shard, y_pred)
            lane.backward(self.loss_backward(batch, shard, y_pred, losses))

        self.network.gradient(len(batch), work, meanwhile)
        return self._values(batch, losses, out), bool(np.isfinite(losses).all())

    def loss_backward(self, batch: Batch, shard: slice, y_pred: Array, losses: Array) -> Array:
        """Write the losses of the shard; returns the gradient of their part of the mean."""
        y: Array = batch.y[shard]  # type: ignore[index]
        if self.fused_loss and batch.weight is None:
            dy = np.empty_like(y_pred)
            factor = y_pred.dtype.type(1 / len(batch))
            kernels.sparse_crossentropy(y_pred, y.astype(np.int64), factor, losses[shard], dy)
            return dy
        losses[shard] = self.loss.forward(y, y_pred)
        dy = self.loss.backward(y, y_pred) / y_pred.dtype.type(len(batch))
        if batch.weight is not None:
            dy *= batch.weight[shard].reshape(-1, *[1] * (dy.ndim - 1)).astype(dy.dtype)
        return dy

    def _values(self, batch: Batch, losses: Array, out: _Outputs) -> Array:
        values = np.empty((1 + len(self.metrics), len(batch)))
        values[0] = losses if batch.weight is None else losses * batch.weight
        if self.metrics:
            y_pred = out.all if self.softmax is None else self.softmax.forward(out.all)
            for row, metric in zip(values[1:], self.metrics):
                given = np.asarray(metric.values(batch.y, y_pred))  # type: ignore[arg-type]
                if given.shape != (len(batch),):
                    raise ValueError(
                        f"metric {metric.name}: expected one value a sample, shape "
                        f"({len(batch)},), received shape {given.shape}"
                    )
                row[:] = given
        return values

    def first_fault(self, model: Sequential, batch: Batch, step: int) -> str:
        """What was the first to be NaN or infinite in the step on `batch` that has just failed."""
        x = batch.all_inputs(self.sample_shape)
        where, y_pred = first_not_finite(self.network.plan.layers, x, step)
        if where:
            return where
        if not np.isfinite(self.loss.forward(batch.y, y_pred)).all():  # type: ignore[arg-type]
            return "the loss"
        largest = {
            f"the gradient of {key} in {layer.who}": float(np.abs(array).max())
            for layer in reversed(model.layers)
            for key, array in layer.grads.items()
            if layer.trainable
        }
        for what, size in largest.items():
            if not np.isfinite(size):
                return what
        return max(largest, key=largest.__getitem__)  # too long to be squared

    def step(self, model: Sequential, batch: Batch) -> Array:
        """One update of the model's parameters; returns loss and metrics of each sample.

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
                self._backup.begin(model.optimizer, [layer.state for layer in model.layers])
                with np.errstate(all="ignore"):  # what overflows is found by its result
                    values, finite = self.train(batch, step, self._keeping(model))
                    finite = finite and self._update(model)
                    what = self._overflown(model) if finite else ""
                    if what or not finite:
                        self._backup.restore()  # what is at fault shows in the model as it was
                        what = what or self.first_fault(model, batch, step)
                        number = model.optimizer.iterations + 1
                        raise NotFiniteError(_not_finite(number, what), values)
                model.steps_taken += 1
                self._backup.end()
            except BaseException:
                with undisturbed():
                    self._backup.restore()
                    self._backup.end()
                raise
        return values

    def _keeping(self, model: Sequential) -> list[Callable[[], None]]:
        """Jobs that copy all that the optimizer's step is going to change.

        Slots that it has yet to make are not there after `restore`.
        """
        vectors = {"parameters": model.flat_params, **model.optimizer.state}
        return [
            partial(self._backup.keep, name, vector, part)
            for _, moving in _pieces(len(model.flat_params), model.trainable_parts)
            for part in moving
            for name, vector in vectors.items()
        ]

    def _overflown(self, model: Sequential) -> str:
        """What the step has made NaN or infinite; empty if nothing."""
        for layer in model.layers:
            for key, array in layer.state.items():
                if not np.isfinite(array).all():
                    return f"{key} of {layer.who}"
        if np.isfinite(model.flat_params).all():
            return ""
        step = f"the step of {checks.shown(model.optimizer)}"
        overflown = (
            f"{key} of {layer.who}, by {step},"
            for layer in model.layers
            for key, array in layer.params.items()
            if not np.isfinite(array).all()
        )
        return next(overflown, step)

    def _update(self, model: Sequential) -> bool:
        """The optimizer's step along the summed gradient; returns whether that is finite.

        A gradient so long that its square is not finite counts as infinite: optimizers square it.
        Works through the vectors piece by piece, so that each thread can take the next.
        """
        optimizer, w, g = model.optimizer, model.flat_params, model.flat_grads
        optimizer.begin(w)
        vectors = [w, *(optimizer.state[slot] for slot in optimizer.slots)]
        move = self.update or optimizer.step
        finite = []

        def work(piece: tuple[slice, list[slice]]) -> None:
            whole, moving = piece
            with np.errstate(all="ignore"):  # each thread has its own
                self.network.sum(whole, g)
                finite.append(all(np.isfinite(np.dot(g[part], g[part])) for part in moving))
                for part in moving if finite[-1] else ():
                    first, *slots = (vector[part] for vector in vectors)
                    move(first, g[part], *slots)

        if self.update is None:  # a step of the user's own may want to see each part as a whole
            work((slice(0, len(w)), model.trainable_parts))
        else:
            threads.run(work, _pieces(len(w), model.trainable_parts))
        return all(finite)


def _pieces(size: int, moving: list[slice]) -> list[tuple[slice, list[slice]]]:
    """A vector cut into pieces of at most `PIECE`, each with what is `moving` in it.

    >>> _pieces(400_000, [slice(0, 100), slice(190_000, 400_000)])
    [(slice(0, 200000, None), [slice(0, 100, None), slice(190000, 200000, None)]),
     (slice(200000, 400000, None), [slice(200000, 400000, None)])]
    """
    count = -(-size // PIECE)
    pieces = []
    for k in range(count):
        start, stop = size * k // count, size * (k + 1) // count
        cuts = [slice(max(start, part.start), min(stop, part.stop)) for part in moving]
        pieces.append((slice(start, stop), [cut for cut in cuts if cut.start < cut.stop]))
    return pieces


class _Backup:
    """What a step changes, from before it; copies lie in buffers that every step uses again.

    The buffers go by the name of what they hold, so that there are no more of them than a step
    needs, also where a layer puts new arrays into its state.
    """

    def __init__(self) -> None:
        self._copies: dict[Any, Array] = {}
        self._kept: set[Any] = set()  # names of the step
        self._undo: list[Callable[[], Any]] = []

    def begin(self, optimizer: Optimizer, states: Iterable[dict[str, Array]]) -> None:
        """A step begins. What the `states` hold now is kept at once; of the optimizer its count,
        and which slots it has.
        """
        self._undo = [partial(setattr, optimizer, "iterations", optimizer.iterations)]
        for name in self._copies.keys() - self._kept:
            del self._copies[name]
        self._kept = set()
        held = [optimizer.state, *states]
        self._undo += [partial(_refill, one, dict(one)) for one in held if one]
        for number, state in enumerate(held[1:]):
            for key, array in state.items():
                self.keep((number, key), array)

    def keep(self, name: Any, array: Array, part: slice = slice(None)) -> None:
        """Copy that part of the array; different parts may be kept by different threads."""
        copy = self._copies.get(name)
        if copy is None or (copy.shape, copy.dtype) != (array.shape, array.dtype):
            copy = self._copies[name] = np.empty_like(array)
        self._kept.add(name)
        copy[part] = array[part]
        self._undo.append(partial(np.copyto, array[part], copy[part]))

    def restore(self) -> None:
        """All as at `begin`; does nothing after `end`."""
        for undo in self._undo:
            undo()

    def end(self) -> None:
        """What the step has done, or what has been put back, stays."""
        self._undo = []


def _refill(held: dict[str, Array], before: dict[str, Array]) -> None:
    held.clear()
    held.update(before)


class _Outputs:
    """The outputs of a batch, put together from its shards."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.all: Any = None
        self._lock = threading.Lock()

    def put(self, shard: slice, y_pred: Array) -> None:
        with self._lock:
            if self.all is None:
                self.all = np.empty((self.n, *y_pred.shape[1:]), y_pred.dtype)
        self.all[shard] = y_pred


def expect_finite(model: Sequential, batch: Batch, y: Array | None, who: str) -> None:
    """Raise FloatingPointError if y, or else what the model gives for `batch`, is not finite."""
    if y is not None and np.isfinite(y).all():
        return
    where, _ = first_not_finite(model.layers, batch.all_inputs(model.input_shape[1:]))
    if where or y is not None:
        where = where or "the output"
        raise FloatingPointError(
            f"{who}: {where} is NaN or infinite. Its weights may be, or be too large: see "
            "model.get_weights(), and put good ones in with model.set_weights()"
        )


def first_not_finite(
    layers: Iterable[Layer], x: Array, step: int | None = None
) -> tuple[str, Array]:
    """The first layer whose output for x is not finite, "" if there is none, and the last output.

    With a `step`, the layers are run as in that step of training.
    """
    with np.errstate(all="ignore"):
        for layer in replicas(layers):
            for inner in layers_inside(layer) if step is not None else ():
                inner.seek(step, 0)
            x = layer.forward(x, step is not None)
            if not np.isfinite(x).all():
                return f"the output of {layer.who}", x
    return "", x


def in_two_threads(model: Sequential) -> str:
    return (
        f"{model.who} is being trained by another thread. Train it in one thread at a time, or "
        "give each thread a copy.deepcopy(model)"
    )


def _not_finite(step: int, what: str) -> str:
    return (
        f"fit: {what} became NaN or infinite at step {step}. The model keeps the weights of "
        "the last whole step. Try a smaller learning rate, or inputs scaled to [0, 1]"
    )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, Ctrl-C does nothing; for the moments in which a model is put back as it was."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interrupts_between_steps() -> Iterator[Callable[[], None]]:
    """Ctrl-C waits for the end of a step: call what this yields there, it raises if one came.

    A second Ctrl-C is not held back. Nothing is done where no signals arrive, outside of the main
    thread, or where the program handles them itself.
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not in_main or before is not signal.default_int_handler:
        yield lambda: None
        return
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    def raise_if_came() -> None:
        if came:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield raise_if_came
    finally:
        signal.signal(signal.SIGINT, before)
    raise_if_came()


def _note_whole_numbers(x: Array) -> None:
    """Say once that pixels from 0 to 255 are better divided: a frequent cause of poor results."""
    global _noted
    if _noted or x.dtype.kind not in "ui" or x.ndim < 3 or x[:128].max() <= 1:
        return
    _noted = True
    note(
        f"the inputs are whole numbers up to {x[:128].max()}; they are used as they are, "
        "but most networks learn better from small numbers, such as x / 255, or those that "
        "Rescaling(1 / 255) as the first layer gives"
    )


def fit(
    model: Sequential,
    data: Data,
    validation: Data | None,
    *,
    batch_size: int,
    epochs: range,
    verbose: int,
    callbacks: list[Callback],
    shuffle: bool,
    validation_freq: int,
) -> History:
    """Train on `data` for the given `epochs`; returns the History."""
    history = History()
    hooks = CallbackList([*callbacks, history])
    steps = math.ceil(len(data) / batch_size)
    hooks.set_model(model)
    hooks.set_params({"verbose": verbose, "epochs": epochs.stop, "steps": steps})
    model.history, model.stop_training = history, False
    if verbose and not isinstance(model.layers[0], Rescaling):
        _note_whole_numbers(data.x)

    logs: dict[str, float] = {}
    with single_threaded_blas(), interrupts_between_steps() as pause:
        hooks.on_train_begin({})
        for epoch in epochs:
            hooks.on_epoch_begin(epoch, {})
            runner = model.runner(training=True)  # a callback may have set a rate, say
            title = f"Epoch {epoch + 1}/{epochs.stop}" if epochs.stop > 1 else ""
            progress = Progress(steps, verbose, title)
            order = model.rng.permutation(len(data)) if shuffle else None
            means = runner.means()
            with progress:
                for step, batch in enumerate(data.batches(batch_size, order)):
                    hooks.on_train_batch_begin(step, {})
                    if callbacks:  # they may have changed a setting or put in other weights
                        runner = model.runner(training=True, arrays=False)
                    fault = None
                    try:
                        values = runner.step(model, batch)
                    except NotFiniteError as error:
                        fault, values = error, error.values
                    logs = means.add(values)
                    hooks.on_train_batch_end(step, logs)
                    if fault is not None and not model.stop_training:
                        raise fault
                    progress.step(logs)
                    pause()
                    if model.stop_training:
                        break
                if validation is not None and (epoch + 1) % validation_freq == 0:
                    scores = evaluate(model, validation, batch_size=batch_size, callbacks=callbacks)
                    logs = {**logs, **{f"val_{name}": value for name, value in scores.items()}}
                hooks.on_epoch_end(epoch, logs)
                progress.end(logs)
            pause()
            if model.stop_training:
                break
        hooks.on_train_end(logs)
    return history


def evaluate(
    model: Sequential,
    data: Data,
    *,
    batch_size: int,
    verbose: int = 0,
    callbacks: list[Callback] | None = None,
    who: str = "",
) -> dict[str, float]:
    """Means of the loss and the metrics over `data`, by name.

    Raises FloatingPointError for outputs that are not finite if `who` says which call asks;
    validation in `fit` leaves it to the callbacks to judge such a loss.
    """
    hooks = CallbackList(callbacks or [])
    runner = model.runner(training=False)
    means = runner.means()
    logs: dict[str, float] = {}
    progress = Progress(math.ceil(len(data) / batch_size), verbose)
    with single_threaded_blas(), progress:
        hooks.on_test_begin({})
        one_by_one = bool(callbacks) or any(metric.by_batch for metric in runner.metrics)
        for steps, batch in _blocks(data, batch_size, one_by_one=one_by_one):
            hooks.on_test_batch_begin(progress.done, {})
            logs = means.add(runner.test(batch))
            if who and not math.isfinite(logs["loss"]):
                expect_finite(model, batch, None, who)
            hooks.on_test_batch_end(progress.done, logs)
            progress.step(logs, steps)
        hooks.on_test_end(logs)
    progress.end(logs)
    return logs


def _blocks(data: Data, batch_size: int, *, one_by_one: bool) -> Iterator[tuple[int, Batch]]:
    """The batches; several at a time, and how many, where no callback wants to see each.

    Without training a batch is only a portion of work, and large portions keep the threads busy.
    """
    several = 1 if one_by_one else max(1, BLOCK // batch_size)
    for batch in data.batches(several * batch_size):
        yield math.ceil(len(batch) / batch_size), batch


def predict(
    model: Sequential,
    data: Data,
    *,
    batch_size: int,
    verbose: int = 0,
    callbacks: list[Callback] | None = None,
    who: str = "predict",
) -> Array:
    """The model's output for every sample, in their order.

    Raises FloatingPointError if it is not finite.
    """
    hooks = CallbackList(callbacks or [])
    network, ends_in_softmax = model.network()
    softmax = Softmax(name="softmax")
    outputs = np.empty((len(data), *model.output_shape[1:]), model.dtype)
    progress = Progress(math.ceil(len(data) / batch_size), verbose)
    done = 0
    with single_threaded_blas(), progress:
        hooks.on_predict_begin({})
        for steps, batch in _blocks(data, batch_size, one_by_one=bool(callbacks)):
            hooks.on_predict_batch_begin(progress.done, {})
            out = outputs[done : done + len(batch)]
            done += len(batch)

            def work(lane: Lane, shard: slice, batch: Batch = batch, out: Array = out) -> None:
                out[shard] = lane.forward(batch.inputs(shard, model.input_shape[1:], lane))

            network.run(len(batch), work)
            if not np.isfinite(out).all():
                expect_finite(model, batch, out, who)
            if ends_in_softmax:
                out[...] = softmax.forward(out)
            hooks.on_predict_batch_end(progress.done, {"outputs": out})
            progress.step({}, steps)
        hooks.on_predict_end({})
    progress.end({})
    return outputs

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
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.callbacks import Callback, CallbackList, History
from minicnn.engine.shards import Lane, ShardedNetwork, before_softmax
from minicnn.engine.threads import single_threaded_blas
from minicnn.layers import Softmax
from minicnn.losses import Loss
from minicnn.metrics import Metric
from minicnn.progress import Progress

if TYPE_CHECKING:
    from minicnn.models import Sequential

Array = NDArray[Any]


@dataclass
class Data:
    """Samples, checked: inputs, and where there are any, targets and weights of the samples."""

    x: Array
    y: Array | None = None
    weight: Array | None = None

    def __len__(self) -> int:
        return len(self.x)

    def split(self, at: int) -> tuple[Data, Data]:
        """The samples before number `at` and those from it on; views, no copies."""
        arrays = (self.x, self.y, self.weight)
        first, rest = zip(*[(None, None) if a is None else (a[:at], a[at:]) for a in arrays])
        return Data(*first), Data(*rest)

    def batches(self, batch_size: int, order: Array | None = None) -> Iterator[Data]:
        """Batch after batch, the last one shorter if need be; in `order`, if one is given."""
        for start in range(0, len(self), batch_size):
            rows: Any = slice(start, start + batch_size)
            if order is not None:
                rows = order[rows]
            arrays = (self.x, self.y, self.weight)
            yield Data(*(None if a is None else a[rows] for a in arrays))  # type: ignore[arg-type]


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
    """A compiled model, ready for steps: its layers up to the logits, its loss and its metrics."""

    def __init__(self, model: Sequential, loss: Loss, metrics: list[Metric], training: bool):
        layers, ends_in_softmax = before_softmax(model.layers)
        takes_logits = loss.from_logits is not None
        self.softmax = Softmax(name="softmax") if ends_in_softmax and takes_logits else None
        self.loss = loss if self.softmax is None else loss.on_logits()
        self.metrics = metrics
        self.sample_shape = model.input_shape[1:]
        self.network = ShardedNetwork(
            model.layers if self.softmax is None else layers, model.dtype, training=training
        )

    def means(self) -> Means:
        return Means(["loss", *(metric.name for metric in self.metrics)])

    def _score(self, lane: Lane, batch: Data, shard: slice, values: Array, training: bool) -> Any:
        """Run `shard` of the batch forward, write its loss and metrics; returns y and y_pred."""
        x, y, weight = batch.x[shard], batch.y[shard], batch.weight  # type: ignore[index]
        out = lane.forward(x.reshape(len(x), *self.sample_shape), training)
        values[0, shard] = self.loss.forward(y, out)
        if weight is not None:
            values[0, shard] *= weight[shard]
        y_pred = out if self.softmax is None else self.softmax.replica().forward(out)
        for row, metric in zip(values[1:], self.metrics):
            row[shard] = metric.values(y, y_pred)
        return y, out

    def test(self, batch: Data) -> Array:
        """Loss and metrics of each sample, shape (1 + metrics, B)."""
        values = np.empty((1 + len(self.metrics), len(batch)))
        self.network.run(
            len(batch), lambda lane, shard: self._score(lane, batch, shard, values, False)
        )
        return values

    def train(self, batch: Data, step: int, gradient: Array) -> Array:
        """As `test`, in training mode; also writes the gradient of the batch's mean loss."""
        values = np.empty((1 + len(self.metrics), len(batch)))

        def work(lane: Lane, shard: slice) -> None:
            for layer in lane.layers:
                layer.seek(step, shard.start)
            y, out = self._score(lane, batch, shard, values, True)
            dy = self.loss.backward(y, out) / out.dtype.type(len(batch))
            if batch.weight is not None:
                dy *= batch.weight[shard].reshape(-1, *[1] * (dy.ndim - 1)).astype(dy.dtype)
            lane.backward(dy)

        self.network.gradient(len(batch), work, gradient)
        return values

    def culprit(self, model: Sequential, batch: Data) -> str:
        """What was the first to be NaN or infinite in the step on `batch` that has just failed."""
        lane = Lane(self.network.layers, model.dtype, training=False)
        x = batch.x.reshape(len(batch), *self.sample_shape)
        for layer in lane.layers:
            layer.seek(model.optimizer.iterations, 0)
            x = layer.forward(x, True)
            if not np.isfinite(x).all():
                return f"the output of {layer.who}"
        if batch.y is not None and not np.isfinite(self.loss.forward(batch.y, x)).all():
            return "the loss"
        for layer in reversed(model.layers):
            for key, array in layer.grads.items():
                if not np.isfinite(array).all():
                    return f"the gradient of {key} in {layer.who}"
        return "the gradient"


def train_step(model: Sequential, runner: Runner, batch: Data) -> Array:
    """One update of the model's parameters; returns loss and metrics of each sample.

    Raises FloatingPointError where the loss, the gradient or the new parameters are not finite; the
    parameters are then those of the step before.
    """
    w, g = model.flat_params, model.flat_grads
    states = [array for layer in model.layers for array in layer.state.values()]
    states_before = [array.copy() for array in states]
    with np.errstate(all="ignore"):  # what overflows is found by its result
        values = runner.train(batch, model.optimizer.iterations, g)
        if not np.isfinite(values[0]).all() or not np.isfinite(g).all():
            culprit = runner.culprit(model, batch)
            for array, before in zip(states, states_before):
                array[...] = before
            raise FloatingPointError(_not_finite(model, culprit))
        before = w.copy()
        model.optimizer.update(w, g, model.trainable_parts)
        if not np.isfinite(w).all():
            w[...] = before
            model.optimizer.iterations -= 1
            raise FloatingPointError(_not_finite(model, f"the step of {model.optimizer!r}"))
    return values


def _not_finite(model: Sequential, what: str) -> str:
    return (
        f"fit: {what} became NaN or infinite at step {model.optimizer.iterations + 1}. The model "
        "keeps the weights of the last whole step. Try a smaller learning rate, or inputs scaled "
        "to [0, 1]"
    )


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
    runner = model.runner(training=True)

    logs: dict[str, float] = {}
    with single_threaded_blas(), interrupts_between_steps() as pause:
        hooks.on_train_begin()
        for epoch in epochs:
            hooks.on_epoch_begin(epoch)
            title = f"Epoch {epoch + 1}/{epochs.stop}" if epochs.stop > 1 else ""
            progress = Progress(steps, verbose, title)
            order = model.rng.permutation(len(data)) if shuffle else None
            means = runner.means()
            try:
                for step, batch in enumerate(data.batches(batch_size, order)):
                    hooks.on_train_batch_begin(step)
                    logs = means.add(train_step(model, runner, batch))
                    hooks.on_train_batch_end(step, logs)
                    progress.step(logs)
                    pause()
                if validation is not None and (epoch + 1) % validation_freq == 0:
                    scores = evaluate(model, validation, batch_size=batch_size, callbacks=callbacks)
                    logs = {**logs, **{f"val_{name}": value for name, value in scores.items()}}
            except BaseException:
                progress.abandon()
                raise
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
) -> dict[str, float]:
    """Means of the loss and the metrics over `data`, by name."""
    hooks = CallbackList(callbacks or [])
    runner = model.runner(training=False)
    means = runner.means()
    logs: dict[str, float] = {}
    progress = Progress(math.ceil(len(data) / batch_size), verbose)
    with single_threaded_blas():
        hooks.on_test_begin()
        for step, batch in enumerate(data.batches(batch_size)):
            hooks.on_test_batch_begin(step)
            logs = means.add(runner.test(batch))
            hooks.on_test_batch_end(step, logs)
            progress.step(logs)
        hooks.on_test_end(logs)
    progress.end(logs)
    return logs


def predict(
    model: Sequential,
    data: Data,
    *,
    batch_size: int,
    verbose: int = 0,
    callbacks: list[Callback] | None = None,
) -> Array:
    """The model's output for every sample, in their order."""
    hooks = CallbackList(callbacks or [])
    network = ShardedNetwork(model.layers, model.dtype, training=False)
    outputs = np.empty((len(data), *model.output_shape[1:]), model.dtype)
    progress = Progress(math.ceil(len(data) / batch_size), verbose)
    with single_threaded_blas():
        hooks.on_predict_begin()
        for step, batch in enumerate(data.batches(batch_size)):
            hooks.on_predict_batch_begin(step)
            out = outputs[step * batch_size :]

            def work(lane: Lane, shard: slice, x: Array = batch.x, out: Array = out) -> None:
                rows = x[shard]
                out[shard] = lane.forward(rows.reshape(len(rows), *model.input_shape[1:]))

            network.run(len(batch), work)
            hooks.on_predict_batch_end(step)
            progress.step({})
        hooks.on_predict_end()
    progress.end({})
    return outputs

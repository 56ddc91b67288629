"""The loops over the batches: fit, evaluate and predict.

The figures of an epoch are means over its samples, each taken before the update of its batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.callbacks import Callback, CallbackList, History, RunCallback
from minicnn.console import note
from minicnn.engine.blas import single_threaded_blas
from minicnn.engine.shards import Lane
from minicnn.inputs import Batch, Data
from minicnn.layers import Rescaling, Softmax
from minicnn.progress import Progress
from minicnn.protocols import Model
from minicnn.training.finite import NotFiniteError, expect_finite
from minicnn.training.interrupts import interrupts_between_steps
from minicnn.training.run import Run

Array = NDArray[Any]

_noted = False

BLOCK = 2048  # samples that are evaluated or predicted at a time


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
    model: Model,
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
    if verbose and not isinstance(model.leaves[0], Rescaling):
        _note_whole_numbers(data.x)

    logs: dict[str, float] = {}
    given: dict[str, Any] = {"samples": len(data), "batch_size": batch_size, "shuffle": shuffle}
    given["metrics"] = [one.name for one in model.chosen_metrics(model.output_shape)]
    run = Run(model, hooks.callbacks, epochs.start, given)
    keepers = [one for one in callbacks if isinstance(one, RunCallback)]
    with single_threaded_blas(), interrupts_between_steps() as pause:
        hooks.on_train_begin({})
        for keeper in keepers:
            keeper.resume(run)
        logs = run.logs
        while run.epoch < epochs.stop and not run.stopped:
            epoch = run.epoch
            if not run.inside_an_epoch:
                hooks.on_epoch_begin(epoch, {})
            runner = model.runner(training=True)  # a callback may have set a rate, say
            title = f"Epoch {epoch + 1}/{epochs.stop}" if epochs.stop > 1 else ""
            progress = Progress(steps, verbose, title)
            order = run.order_of(len(data), shuffle=shuffle)
            means = run.begin_means(runner.means())
            logs, progress.done = means.logs(), run.step
            with progress:
                for batch in data.batches(batch_size, order, run.step):
                    hooks.on_train_batch_begin(run.step, {})
                    if callbacks:  # they may have changed a setting or put in other weights
                        runner = model.runner(training=True, arrays=False)
                    fault = None
                    try:
                        values = runner.step(model, batch)
                    except NotFiniteError as error:
                        fault, values = error, error.values
                    logs = means.add(values)
                    hooks.on_train_batch_end(run.step, logs)
                    if fault is not None and not model.stop_training:
                        raise fault
                    progress.step(logs)
                    run.step += 1
                    for keeper in keepers if not model.stop_training else ():
                        keeper.checkpoint(run)
                    pause()
                    if model.stop_training:
                        break
                if validation is not None and (epoch + 1) % validation_freq == 0:
                    scores = evaluate(model, validation, batch_size=batch_size, callbacks=callbacks)
                    logs = {**logs, **{f"val_{name}": value for name, value in scores.items()}}
                hooks.on_epoch_end(epoch, logs)
                progress.end(logs)
            run.end_epoch(logs)
            for keeper in keepers:
                keeper.checkpoint(run)
            pause()
            if model.stop_training:
                break
        model.optimizer.finalize(model.store.params, model.trainable_parts)
        hooks.on_train_end(logs)
    return history


def evaluate(
    model: Model,
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
        one_by_one = one_by_one or runner.network.penalizes_batches
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
    model: Model,
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

"""The loops over the batches: fit, evaluate and predict.

The figures of an epoch are means over its samples, each taken before the update of its batch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.callbacks import Callback, CallbackList, History, RunCallback
from minicnn.console import note
from minicnn.engine import ranks
from minicnn.engine.blas import single_threaded_blas
from minicnn.engine.lanes import Lane
from minicnn.engine.logits import take_softmax
from minicnn.inputs import Batch
from minicnn.layers import Normalization, Rescaling
from minicnn.progress import Progress
from minicnn.protocols import Model
from minicnn.training.ahead import no_pause
from minicnn.training.feeds import Feed
from minicnn.training.finite import NotFiniteError, expect_finite
from minicnn.training.interrupts import interrupts_between_steps
from minicnn.training.run import Run
from minicnn.training.sharing import (
    expect_the_same,
    note_idle_ranks,
    share_decisions,
    share_start,
    share_stop,
)

Array = NDArray[Any]

_noted = False

RAN_OUT = (
    "Your input ran out of data; interrupting training. Make sure that your dataset or generator "
    "can generate at least `steps_per_epoch * epochs` batches. You may need to use the `.repeat()` "
    "function when building your dataset"
)


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


def _report_shortage(who: str, feed: Feed, batches: int, stacklevel: int) -> None:
    """Warn that there were fewer batches than asked for."""
    expected = "another epoch" if feed.steps is None else f"{feed.steps} batches"
    warnings.warn(
        checks.in_other_words(f"{who}: expected {expected}, received {batches}", "Keras", RAN_OUT),
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def fit(
    model: Model,
    feed: Feed,
    validation: Feed | None,
    *,
    epochs: range,
    verbose: int,
    callbacks: list[Callback],
    validation_freq: int | Collection[int],
) -> History:
    """Train on the batches of `feed` for the given `epochs`; returns the History."""
    group, history = ranks.group(), History()
    verbose = 0 if group.rank else verbose
    hooks = CallbackList([*callbacks, history])
    hooks.set_model(model)
    hooks.set_params({"verbose": verbose, "epochs": epochs.stop, "steps": feed.steps})
    model.history, model.stop_training = history, False
    if verbose and not any(isinstance(leaf, (Rescaling, Normalization)) for leaf in model.leaves):
        _note_whole_numbers(feed.data.x)

    logs: dict[str, float] = {}
    given = feed.identity()
    given["metrics"] = [one.name for one in model.chosen_metrics(model.output_shape)]
    run = Run(model, hooks.callbacks, epochs.start, given, rewinds=feed.rewinds)
    keepers = [one for one in callbacks if isinstance(one, RunCallback)]
    with single_threaded_blas(), interrupts_between_steps() as pause, group.together():
        share_start(model, feed.data)
        hooks.on_train_begin({})
        for keeper in keepers:
            keeper.resume(run)
        logs = run.logs
        while run.epoch < epochs.stop and not run.stopped:
            epoch = run.epoch
            if not run.inside_an_epoch:
                hooks.on_epoch_begin(epoch, {})
            runner = model.runner(training=True)  # a callback may have set a rate, say
            feed.bounds = runner.network.bounds
            title = f"Epoch {epoch + 1}/{epochs.stop}" if epochs.stop > 1 else ""
            progress = Progress(feed.steps, verbose, title)
            means = run.begin_means(runner.means())
            logs, progress.done = means.logs(), run.step
            watched = bool(callbacks) or bool(means.own) or progress.bar is not None
            with progress, closing(feed.epoch(run, pause)) as batches:
                for batch in batches:
                    if epoch == epochs.start and run.step == 0:
                        note_idle_ranks(runner.network, len(batch))
                    hooks.on_train_batch_begin(run.step, {})
                    if callbacks:  # they may have changed a setting or put in other weights
                        share_decisions(model)
                        runner = model.runner(training=True, arrays=False)
                    fault = None
                    try:
                        values = runner.step(model, batch)
                    except NotFiniteError as error:
                        fault, values = error, error.values
                    means.add(values)
                    if watched:  # where nothing reads them, figures cost 1 % of a small step
                        logs = means.logs()
                    hooks.on_train_batch_end(run.step, logs)
                    if callbacks:
                        share_decisions(model)
                    if fault is not None and not model.stop_training:
                        raise fault
                    progress.step(logs)
                    run.step += 1
                    for keeper in keepers if not model.stop_training else ():
                        keeper.checkpoint(run)
                    pause()
                    if model.stop_training:
                        break
                logs = means.logs()
                means.publish(model.metrics)
                if not model.stop_training:
                    if feed.ended:  # Keras finds out when this hook has been called
                        hooks.on_train_batch_begin(run.step, {})
                    more = feed.spent and epoch + 1 < epochs.stop
                    if more or run.step < (feed.steps or 0):
                        _report_shortage("fit", feed, run.step, stacklevel=3)
                    if run.step == 0:  # no figures: nothing was trained
                        break
                if validation is not None and _is_due(epoch + 1, validation_freq):
                    scores = evaluate(model, validation, callbacks=callbacks, pause=pause)
                    logs = {**logs, **{f"val_{name}": value for name, value in scores.items()}}
                hooks.on_epoch_end(epoch, logs)
                share_decisions(model)
                progress.end(logs)
            run.end_epoch(logs, pass_over=feed.pass_over(run))
            for keeper in keepers:
                keeper.checkpoint(run)
            pause()
            if model.stop_training or feed.spent:
                break
        model.optimizer.finalize(model.store.params, model.trainable_parts)
        hooks.on_train_end(logs)
    return history


def _is_due(epoch: int, frequency: int | Collection[int]) -> bool:
    """Whether the epoch of that number, from 1, ends with a validation."""
    return epoch % frequency == 0 if isinstance(frequency, int) else epoch in frequency


def evaluate(
    model: Model,
    feed: Feed,
    *,
    verbose: int = 0,
    callbacks: list[Callback] | None = None,
    who: str = "",
    pause: Callable[[], None] = no_pause,
) -> dict[str, float]:
    """Means of the loss and the metrics over the samples of `feed`, by name.

    Raises FloatingPointError for outputs that are not finite if `who` says which call asks;
    validation in `fit` leaves it to the callbacks to judge such a loss. `pause` is called while a
    batch is waited for.
    """
    verbose = 0 if ranks.group().rank else verbose
    hooks = CallbackList(callbacks or [])
    runner = model.runner(training=False)
    feed.bounds = runner.network.bounds
    means = runner.means()
    logs: dict[str, float] = {}
    progress = Progress(feed.steps, verbose)
    model.stop_evaluating = False
    one_by_one = bool(callbacks) or any(metric.by_batch for metric in runner.metrics)
    one_by_one = one_by_one or runner.network.penalizes_batches or not runner.loss.plain
    blocks = feed.blocks(one_by_one=one_by_one, pause=pause)
    with single_threaded_blas(), progress, closing(blocks), ranks.group().together():
        expect_the_same(feed.data)
        hooks.on_test_begin({})
        for steps, batch in blocks:
            hooks.on_test_batch_begin(progress.done, {})
            means.add(runner.test(batch))
            logs = means.logs()
            if who and not math.isfinite(logs["loss"]):
                expect_finite(model, batch, None, who)
            hooks.on_test_batch_end(progress.done, logs)
            if callbacks:
                share_stop(model, "stop_evaluating")
            progress.step(logs, steps)
            if model.stop_evaluating:
                break
        else:
            _expect_all(
                feed, progress.done, hooks.on_test_batch_begin, who or "fit validation_data"
            )
        means.publish(model.metrics)
        hooks.on_test_end(logs)
    progress.end(logs)
    return logs


def _expect_all(
    feed: Feed, done: int, begin: Callable[[int, dict[str, Any]], None], who: str
) -> None:
    """Warn where a feed's batches were fewer than its steps."""
    if feed.ended:
        begin(done, {})
    if done < (feed.steps or 0):
        _report_shortage(who, feed, done, stacklevel=4)


def predict(
    model: Model,
    feed: Feed,
    *,
    verbose: int = 0,
    callbacks: list[Callback] | None = None,
    who: str = "predict",
) -> Array:
    """The model's output for every sample, in their order.

    Raises FloatingPointError if it is not finite.
    """
    hooks = CallbackList(callbacks or [])
    group, (network, ends_in_softmax) = ranks.group(), model.network()
    verbose = 0 if group.rank else verbose
    feed.bounds = network.bounds
    whole, parts, done = None, [], 0
    sound: list[bool] = []  # whether each shard's outputs are finite
    if feed.samples is not None:
        whole = np.empty((feed.samples, *model.output_shape[1:]), model.dtype)
    progress = Progress(feed.steps, verbose)
    model.stop_predicting = False
    blocks = feed.blocks(one_by_one=bool(callbacks), pause=no_pause)
    with single_threaded_blas(), progress, closing(blocks), group.together():
        expect_the_same(feed.data)
        hooks.on_predict_begin({})
        for steps, batch in blocks:
            hooks.on_predict_batch_begin(progress.done, {})
            if whole is None:
                out = np.empty((len(batch), *model.output_shape[1:]), model.dtype)
                parts.append(out)
            else:
                out = whole[done : done + len(batch)]
            done += len(batch)

            def work(lane: Lane, shard: slice, batch: Batch = batch, out: Array = out) -> None:
                out[shard] = lane.forward(batch.inputs(shard, model.input_shape[1:], lane))
                sound.append(checks.all_finite(out[shard]))  # while it is in the cache

            network.run(len(batch), work, sums=False)
            group.share_rows(out, network.bounds(len(batch)))
            # rows of other processes have not been looked at here
            if not all(sound) or (group.size > 1 and not checks.all_finite(out)):
                expect_finite(model, batch, out, who)
            if ends_in_softmax:
                take_softmax(out, in_one_pass=network.plan.fuses)
            hooks.on_predict_batch_end(progress.done, {"outputs": out})
            if callbacks:
                share_stop(model, "stop_predicting")
            progress.step({}, steps)
            if model.stop_predicting:
                break
        else:
            _expect_all(feed, progress.done, hooks.on_predict_batch_begin, who)
        hooks.on_predict_end({})
    progress.end({})
    return np.concatenate(parts) if whole is None else whole[:done]

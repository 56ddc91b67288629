"""The callbacks: what they decide, beside Keras's; what they write; what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures.make_keras_callbacks import Model, decisions

from minicnn import Sequential, callbacks
from minicnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from minicnn.layers import Dense, Input
from minicnn.optimizers import SGD, schedules

KERAS = json.loads((Path(__file__).parent / "fixtures/keras_callbacks.json").read_text())
X = np.random.default_rng(0).standard_normal((12, 3)).astype("float32")
Y = X.sum(axis=1)


def model(**compiled):
    made = Sequential([Input((3,)), Dense(1)])
    made.compile(**{"optimizer": SGD(0.05), "loss": "mse", **compiled})
    return made


@pytest.mark.parametrize("k", range(len(KERAS)))
def test_decisions_are_those_of_keras(k, tmp_path):
    kind, given, logs, theirs = KERAS[k]
    first = [tmp_path / "{epoch:02d}.keras"] if kind == "ModelCheckpoint" else []
    ours = decisions(getattr(callbacks, kind)(*first, **given), Model(SGD(0.1)), logs)
    assert ours["files"] == theirs["files"]
    assert ours["weights"] == theirs["weights"]
    np.testing.assert_allclose(ours["rates"], theirs["rates"], rtol=1e-6)


def test_early_stopping_of_a_fit():
    one = model(optimizer=SGD(0.0))
    stopping = EarlyStopping("loss", patience=2, verbose=1)
    for _ in range(2):  # a new fit begins anew
        history = one.fit(X, Y, epochs=9, shuffle=False, callbacks=[stopping], verbose=0)
        assert (len(history.epoch), stopping.stopped_epoch) == (3, 2)


def test_early_stopping_restores_the_best_weights_though_it_never_stopped():
    one = model()
    seen = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(one.get_weights()))
    worse = LearningRateScheduler(lambda epoch: [0.05, 0.05, 5.0][epoch])
    stopping = EarlyStopping("loss", restore_best_weights=True, patience=9, verbose=1)
    history = one.fit(X, Y, epochs=3, callbacks=[worse, keep, stopping], verbose=0)
    assert stopping.best_epoch == int(np.argmin(history.history["loss"]))
    for now, then in zip(one.get_weights(), seen[stopping.best_epoch]):
        np.testing.assert_array_equal(now, then)


def test_reduced_rates_are_in_the_history():
    one = model(optimizer=SGD(0.0125))
    one.trainable = False
    one.compile(optimizer=SGD(0.0125), loss="mse")
    plateau = ReduceLROnPlateau("loss", factor=0.5, patience=2, cooldown=1)
    history = one.fit(X, Y, epochs=8, callbacks=[plateau], verbose=0)
    rates = [0.0125, 0.0125, 0.0125, 0.00625, 0.00625, 0.003125, 0.003125, 0.0015625]
    np.testing.assert_allclose(history.history["learning_rate"], rates)


def test_scheduler_takes_functions_of_one_and_of_two_arguments(capsys):
    one = model()
    halved = LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1)
    history = one.fit(X, Y, epochs=3, callbacks=[halved], verbose=0)
    assert history.history["learning_rate"] == [0.025, 0.0125, 0.00625]
    assert capsys.readouterr().out.splitlines()[0] == "Epoch 1: learning rate 0.025"
    one.fit(X, Y, epochs=3, callbacks=[LearningRateScheduler(lambda epoch: 0.5**epoch)], verbose=0)
    assert one.optimizer.learning_rate == 0.25


def test_an_error_inside_a_schedule_is_not_hidden():
    def schedule(epoch, rate):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        model().fit(X, Y, callbacks=[LearningRateScheduler(schedule)], verbose=0)


@pytest.mark.parametrize("rate", [1, None, "0.1"])
def test_a_schedule_that_returns_no_float(rate):
    with pytest.raises(ValueError, match="expected schedule to return a float, received"):
        model().fit(X, Y, callbacks=[LearningRateScheduler(lambda epoch: rate)], verbose=0)


def test_plateau_beside_a_schedule_is_refused():
    one = model(optimizer=SGD(schedules.CosineDecay(0.1, 10)))
    with pytest.raises(TypeError, match="learning_rate to stay with its schedule"):
        one.fit(X, Y, epochs=4, callbacks=[ReduceLROnPlateau("loss", patience=1, min_delta=99)])


def test_terminate_on_nan(capsys):
    one = model(optimizer=SGD(1e30))
    history = one.fit(X, Y, epochs=4, batch_size=4, callbacks=[TerminateOnNaN()], verbose=0)
    assert len(history.epoch) == 1
    assert "Invalid loss, terminating training" in capsys.readouterr().out
    assert all(np.isfinite(w).all() for w in one.get_weights())
    with pytest.raises(RuntimeError, match="the loss is"):
        one.fit(X, Y, epochs=4, batch_size=4, callbacks=[TerminateOnNaN(True)], verbose=0)


def test_lambda_callback_is_called_as_the_methods_are():
    calls = []
    names = [name for name in vars(Callback) if name.startswith("on_")]
    made = LambdaCallback(
        **{name: lambda *a, name=name: calls.append((name, len(a))) for name in names}
    )
    model().fit(X, Y, batch_size=12, validation_data=(X, Y), callbacks=[made], verbose=0)
    assert calls == [
        ("on_train_begin", 1), ("on_epoch_begin", 2), ("on_train_batch_begin", 2),
        ("on_train_batch_end", 2), ("on_test_begin", 1), ("on_test_batch_begin", 2),
        ("on_test_batch_end", 2), ("on_test_end", 1), ("on_epoch_end", 2), ("on_train_end", 1),
    ]  # fmt: skip


def test_lambda_callback_refuses_what_is_no_hook():
    with pytest.raises(TypeError, match="'on_epoch_start'. Did you mean on_epoch_"):
        LambdaCallback(on_epoch_start=print)
    with pytest.raises(TypeError, match="expected on_train_end to be a function, received 3"):
        LambdaCallback(on_train_end=3)


def test_csv_logger(tmp_path):
    file = tmp_path / "log.csv"
    history = model().fit(X, Y, epochs=2, callbacks=[CSVLogger(file)], verbose=0)
    losses = history.history["loss"]
    text = f"epoch,loss,val_loss\r\n0,{losses[0]},NA\r\n1,{losses[1]},NA\r\n"
    assert file.read_bytes().decode() == text
    more = CSVLogger(file, append=True)
    again = model().fit(X, Y, callbacks=[more], validation_data=(X, Y), verbose=0).history
    text += f"0,{again['loss'][0]},{again['val_loss'][0]}\r\n"
    assert file.read_bytes().decode() == text
    model().fit(X, Y, callbacks=[CSVLogger(file, separator=";")], verbose=0)
    assert file.read_text().startswith("epoch;loss;val_loss\n0;")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(patience=-1), ValueError, "expected patience to be an integer >= 0"),
        (
            lambda: EarlyStopping(mode="less"),
            ValueError,
            "expected mode to be one of auto, max, min",
        ),
        (lambda: EarlyStopping(monitor=3), TypeError, "expected monitor to be a non-empty string"),
        (lambda: ReduceLROnPlateau(factor=1.0), ValueError, "expected factor to be below 1"),
        (lambda: LearningRateScheduler(0.1), TypeError, "expected schedule to be a function"),
        (lambda: CSVLogger(3), TypeError, "expected filename to be a path, received 3"),
        (lambda: CSVLogger("a", separator=", "), ValueError, "to be one character, received ', '"),
    ],
)
def test_arguments_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_figure_that_is_not_there_is_a_warning():
    with pytest.warns(
        UserWarning, match="expected 'val_loss' in the epoch's figures, which are loss"
    ):
        model().fit(X, Y, callbacks=[EarlyStopping()], verbose=0)


def test_auto_needs_a_figure_that_says_what_is_better():
    one = model(metrics=["accuracy", lambda y, p: (y - p[:, 0]) ** 2])
    for monitor in ("nothing", "<lambda>"):
        with pytest.raises(ValueError, match="Say it: mode='min' or mode='max'"):
            one.fit(X, Y, callbacks=[EarlyStopping(monitor)], verbose=0)

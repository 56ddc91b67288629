"""compile, fit, evaluate, predict, train_on_batch."""

import contextlib
import copy
import functools
import gc
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from minicnn import Sequential, initializers, losses, set_num_threads
from minicnn.callbacks import Callback
from minicnn.datasets import synthetic_fashion
from minicnn.engine import shards, threads
from minicnn.engine.blas import single_threaded_blas
from minicnn.engine.logits import before_activation
from minicnn.layers import (
    Activation,
    ActivationLayer,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    Linear,
    MaxPooling2D,
    Normalization,
    RandomFlip,
    ReLU,
    Rescaling,
    Softmax,
    Tanh,
)
from minicnn.optimizers import SGD, Adam
from minicnn.training import step
from minicnn.utils import set_random_seed, to_categorical

pytestmark = pytest.mark.both_ways
rng = np.random.default_rng(60)
X = rng.random((150, 8, 8)).astype(np.float32)
Y = rng.integers(0, 3, 150)


def network(*, dropout=0.0, seed=1):
    set_random_seed(seed)
    return Sequential(
        [
            Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)),
            MaxPooling2D(2),
            Dropout(dropout),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )


def compiled(**options):
    model = network(**options)
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def same(one, other):
    for a, b in zip(one.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)


# -- one step by hand -----------------------------------------------------------------------------


def test_a_step_is_forward_loss_backward_update():
    """train_on_batch in shards and threads against one walk through the layers."""
    model, plain = compiled(), compiled()
    x, y = X[:70, ..., None].astype(np.float64), Y[:70]
    loss, accuracy = model.train_on_batch(x, y)

    logits = before_activation(plain.layers)[0]
    out = x
    for layer in logits:
        out = layer.forward(out, training=True)
    on_logits = losses.SparseCategoricalCrossentropy(from_logits=True)
    dy = on_logits.backward(y, out) / 70
    for layer in reversed(logits):
        dy = layer.backward(dy)
    grads = np.concatenate([g.ravel() for layer in logits for g in layer.grads.values()])
    assert loss == pytest.approx(on_logits(y, out), rel=1e-6)
    assert accuracy == pytest.approx((out.argmax(axis=1) == y).mean())
    np.testing.assert_allclose(model.flat_grads, grads, rtol=1e-4, atol=1e-7)
    Adam(0.01).update(plain.flat_params, grads)
    np.testing.assert_allclose(model.flat_params, plain.flat_params, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "end",
    [
        lambda: [Dense(3, activation="softmax")],
        lambda: [Dense(3), Softmax()],
        lambda: [Dense(3), Activation("softmax")],
        lambda: [Dense(3), Softmax(), Activation("linear"), Linear()],
    ],
)
def test_softmax_at_the_end_is_trained_on_its_logits(end):
    """Probabilities of 0 for the right class would have no gradient."""
    model = Sequential([Flatten(input_shape=(2,)), *end()])
    model.compile(SGD(1.0), "sparse_categorical_crossentropy")
    model.set_weights([np.array([[1000.0, 0, 0], [0, 0, 0]]), np.zeros(3)])
    x, y = np.array([[1.0, 0]]), np.array([1])
    assert model.evaluate(x, y, verbose=0) == pytest.approx(1000)
    assert model.train_on_batch(x, y) == pytest.approx(1000)
    np.testing.assert_allclose(model.layers[1].grads["b"], [1, -1, 0], atol=1e-6)
    assert model.predict(x, verbose=0).sum() == pytest.approx(1)


def test_a_model_of_logits_is_trained_by_a_loss_that_knows():
    soft, bare = network(), network()
    bare.pop()
    bare.add(Dense(3))
    bare.set_weights(soft.get_weights())
    soft.compile("sgd", "sparse_categorical_crossentropy")
    bare.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    assert soft.train_on_batch(X, Y) == bare.train_on_batch(X, Y)
    same(soft, bare)


# -- figures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 32, 150, 999])
def test_evaluate_is_the_mean_over_samples(batch_size):
    model = compiled()
    p = model.predict(X, verbose=0).astype(np.float64)
    loss, accuracy = model.evaluate(X, Y, batch_size=batch_size, verbose=0)
    assert loss == pytest.approx(-np.log(p[np.arange(150), Y]).mean(), rel=1e-6)
    assert accuracy == pytest.approx((p.argmax(axis=1) == Y).mean(), abs=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 150, 999])
def test_predict_keeps_the_order(batch_size):
    model = compiled()
    whole = model.forward(X[..., None])
    p = model.predict(X, batch_size=batch_size, verbose=0)
    assert (p.shape, p.dtype) == ((150, 3), np.float32)
    np.testing.assert_allclose(p, whole, atol=1e-6)


def test_figures_of_an_epoch_are_taken_before_each_update():
    """With a learning rate of 0 they are what evaluate says, short last batch included."""
    model = network()
    model.compile(SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(X, Y, batch_size=64, epochs=1, verbose=0).history
    loss, accuracy = model.evaluate(X, Y, verbose=0)
    assert history["loss"][0] == pytest.approx(loss, rel=1e-6)
    assert history["accuracy"][0] == pytest.approx(accuracy)


def test_history():
    model = compiled()
    history = model.fit(X, Y, epochs=3, validation_data=(X[:9], Y[:9]), verbose=0)
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert all(len(values) == 3 for values in history.history.values())
    assert all(type(v) is float for values in history.history.values() for v in values)
    assert history.epoch == [0, 1, 2]
    assert history.params == {"verbose": 0, "epochs": 3, "steps": 5}
    assert model.history is history
    loss, accuracy = model.evaluate(X[:9], Y[:9], verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(loss)
    assert history.history["val_accuracy"][-1] == pytest.approx(accuracy)


def test_shapes_of_what_evaluate_returns():
    model = compiled()
    both = model.evaluate(X, Y, verbose=0)
    assert [type(value) for value in both] == [float, float]
    named = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert named == dict(zip(["loss", "accuracy"], both))
    assert model.train_on_batch(X, Y, return_dict=True).keys() == {"loss", "accuracy"}
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert type(model.evaluate(X, Y, verbose=0)) is float


# -- fit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]
)
def test_64_images_are_learned_by_heart(seed):
    """T1: 100 % within 50 epochs, for each of 5 seeds."""
    (x, y), _ = synthetic_fashion.load_data(n_train=64, n_test=1, seed=seed)
    set_random_seed(seed)
    model = Sequential(
        [
            Conv2D(8, 3, activation="relu", input_shape=(28, 28, 1)),
            MaxPooling2D(2),
            Flatten(),
            Dense(32, activation="relu"),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x / 255, y, epochs=50, batch_size=16, verbose=0)
    assert model.evaluate(x / 255, y, verbose=0)[1] == 1


def test_fit_goes_on_where_it_stopped():
    once, twice = compiled(), compiled()
    once.fit(X, Y, epochs=3, verbose=0)
    twice.fit(X, Y, epochs=1, verbose=0)
    twice.fit(X, Y, epochs=3, initial_epoch=1, verbose=0)
    same(once, twice)
    assert twice.optimizer.iterations == 15


def test_raw_pixels_without_their_channel_are_taken_as_they_are():
    images = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    before = images.copy()
    one, two = compiled(), compiled()
    one.fit(images, Y[:40], verbose=0)
    two.fit(images[..., None].astype(np.float64), Y[:40, None], verbose=0)
    same(one, two)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(
        one.predict(images, verbose=0), two.predict(images.astype(np.float32), verbose=0)
    )
    flat = Sequential([Dense(2, input_shape=(5,))])
    assert flat.predict(np.ones((3, 5, 1)), verbose=0).shape == (3, 2)


def test_whole_numbers_are_noted_once_and_only_where_someone_reads(monkeypatch, capsys):
    monkeypatch.setattr("minicnn.training.loop._noted", False)
    images = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    model = compiled()
    model.fit(images, Y[:40], verbose=0)
    assert capsys.readouterr().err == ""
    model.fit(images / 255, Y[:40], verbose=2)
    model.fit((images > 128).astype(int), Y[:40], verbose=2)
    for scaling in (Rescaling(1 / 255), Normalization(mean=128, variance=5000)):
        behind = Sequential(
            [Input((8, 8, 1)), RandomFlip(), scaling, Flatten(), Dense(3, "softmax")]
        )
        behind.compile("sgd", "sparse_categorical_crossentropy")
        behind.fit(images, Y[:40], verbose=2)
    assert capsys.readouterr().err == ""
    model.fit(images, Y[:40], verbose=2)
    model.fit(images, Y[:40], verbose=2)
    assert capsys.readouterr().err.count("x / 255") == 1


def test_lists_are_taken():
    model = Sequential([Dense(2, activation="softmax", input_shape=(2,))])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit([[1, 2], [3, 4]], [0, 1], verbose=0)
    assert model.predict([[1, 2]], verbose=0).shape == (1, 2)


def test_validation_split_takes_the_end_before_shuffling():
    one, two = compiled(), compiled()
    split = one.fit(X, Y, validation_split=0.2, verbose=0).history
    given = two.fit(X[:120], Y[:120], validation_data=(X[120:], Y[120:]), verbose=0).history
    assert split == given
    both = compiled().fit(
        X[:120], Y[:120], validation_split=0.5, validation_data=(X[120:], Y[120:]), verbose=0
    )
    assert both.history == given


def test_validation_freq():
    history = (
        compiled().fit(X, Y, epochs=4, validation_split=0.5, validation_freq=2, verbose=0).history
    )
    assert (len(history["loss"]), len(history["val_loss"])) == (4, 2)


def test_shuffle_reorders_and_no_shuffle_does_not():
    one, two, three = compiled(), compiled(), compiled()
    one.fit(X, Y, shuffle=False, batch_size=50, verbose=0)
    for start in (0, 50, 100):
        two.train_on_batch(X[start : start + 50], Y[start : start + 50])
    same(one, two)
    three.fit(X, Y, batch_size=50, verbose=0)
    assert not np.array_equal(one.flat_params, three.flat_params)


def test_weights_of_samples_and_classes():
    twice = np.concatenate([X, X[:20]]), np.concatenate([Y, Y[:20]])
    weight = np.ones(150)
    weight[:20] = 2
    one, two = compiled(), compiled()
    loss = one.evaluate(X, Y, sample_weight=weight, verbose=0)[0]
    assert loss == pytest.approx(two.evaluate(*twice, verbose=0)[0] * 170 / 150)
    one.train_on_batch(X, Y, sample_weight=weight * 150 / 170)
    two.train_on_batch(*twice)
    np.testing.assert_allclose(one.flat_grads, two.flat_grads, rtol=1e-4, atol=1e-7)

    by_class, by_sample = compiled(), compiled()
    by_class.fit(X, Y, class_weight={1: 3.0}, verbose=0)
    by_sample.fit(X, Y, sample_weight=np.where(Y == 1, 3.0, 1.0), verbose=0)
    same(by_class, by_sample)
    by_row = network()
    by_row.compile(Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    by_row.fit(X, to_categorical(Y), class_weight={1: 3.0}, verbose=0)
    np.testing.assert_allclose(by_row.flat_params, by_class.flat_params, rtol=1e-4, atol=1e-6)


def test_frozen_layers_stay():
    model = network()
    model.layers[0].trainable = False
    model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    conv, dense = model.layers[0].get_weights(), model.layers[-1].get_weights()
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(conv[0], model.layers[0].params["W"])
    assert not np.array_equal(dense[0], model.layers[-1].params["W"])


def test_compiling_again_keeps_weights_and_restarts_the_optimizer():
    model = compiled()
    model.fit(X, Y, verbose=0)
    before = model.get_weights()
    model.compile("adam", "sparse_categorical_crossentropy")
    assert model.optimizer.iterations == 0
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_mean_squared_error_and_metrics_by_name():
    model = Sequential([Dense(1, input_shape=(2,))])
    model.compile(SGD(0.1), "mse", metrics=["mae", "mean_squared_error"])
    x = rng.standard_normal((64, 2))
    y = x @ [2.0, -1.0] + 3
    history = model.fit(x, y, epochs=40, verbose=0).history
    assert list(history) == ["loss", "mae", "mean_squared_error"]
    np.testing.assert_allclose(history["loss"], history["mean_squared_error"], rtol=1e-5, atol=1e-8)
    W, b = model.get_weights()
    np.testing.assert_allclose([*W[:, 0], *b], [2, -1, 3], atol=0.01)


# -- repeatable -----------------------------------------------------------------------------------


def test_results_are_bit_equal_whatever_the_number_of_threads():
    """D2, with dropout and a short last batch."""
    runs = []
    before = threads.get_num_threads()
    try:
        for n in (1, 2, 3):
            set_num_threads(n)
            model = compiled(dropout=0.3)
            history = model.fit(X, Y, epochs=2, batch_size=64, validation_split=0.3, verbose=0)
            runs.append((model, history.history, model.predict(X, verbose=0)))
    finally:
        set_num_threads(before)
    for model, history, p in runs[1:]:
        same(model, runs[0][0])
        assert history == runs[0][1]
        np.testing.assert_array_equal(p, runs[0][2])


FRESH = """
import numpy as np, hashlib, sys
from minicnn import Sequential, utils
from minicnn.layers import Conv2D, Dense, Dropout, Flatten
x = np.random.default_rng(0).random((90, 6, 6)); y = np.arange(90) % 3
for jit_compile in (True, False):
    utils.set_random_seed(7)
    model = Sequential([Conv2D(3, 3, input_shape=(6, 6, 1)), Dropout(.5), Flatten()])
    model.add(Dense(3, activation='softmax'))
    model.compile('adam', 'sparse_categorical_crossentropy', metrics=['accuracy'],
                  jit_compile=jit_compile)
    history = model.fit(x, y, epochs=2, batch_size=40, verbose=0).history
    print(hashlib.sha256(model.flat_params.tobytes()).hexdigest(), history)
"""


@functools.cache
def printed_by_fresh_processes():
    """By one that uses 1 thread, and by one that uses 2: a line for each way."""
    return [
        subprocess.run(
            [sys.executable, "-c", FRESH],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "MINICNN_NUM_THREADS": str(n), "PYTHONHASHSEED": str(n)},
        ).stdout.splitlines()
        for n in (1, 2)
    ]


@pytest.mark.in_ci
def test_a_seed_gives_the_same_bits_in_fresh_processes(way):
    """D1."""
    runs = [lines[way == "layers"] for lines in printed_by_fresh_processes()]
    assert runs[0] == runs[1]
    assert "accuracy" in runs[0]


def test_the_global_state_of_numpy_is_neither_read_nor_changed():
    """D4."""
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    model = Sequential([Dropout(0.5, input_shape=(2,)), Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones((9, 2)), np.ones((9, 2)), verbose=0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    np.random.seed(3)
    other = Sequential([Dropout(0.5, input_shape=(2,)), Dense(2)])
    assert not np.array_equal(other.layers[1].params["W"], model.layers[1].params["W"])


# -- threads --------------------------------------------------------------------------------------


@pytest.fixture
def three_threads():
    before = threads.get_num_threads()
    set_num_threads(3)
    yield
    set_num_threads(before)


@pytest.mark.one_way
@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("items", [1, 2, 7])
def test_each_phase_begins_when_all_of_the_last_one_has_ended(items, alone):
    ended, phases = [0] * items, []

    def task(k):
        assert ended[k] == len(phases)
        ended[k] += 1

    def settle():
        phases.append(list(ended))
        return len(phases) < 200

    threads.run_in_phases(task, range(items), settle, alone=alone)
    assert phases == [[n] * items for n in range(1, 201)]


@pytest.mark.one_way
@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("fails", ["task", "settle"])
def test_a_phase_that_fails_is_the_last(fails):
    begun, settled = [], []

    def task(k):
        begun.append(k)
        if fails == "task" and k == 2 and len(settled) == 3:
            raise RuntimeError("failed")

    def settle():
        settled.append(len(begun))
        if fails == "settle" and len(settled) == 4:
            raise RuntimeError("failed")
        return True

    threads.run(len, [[], []])  # hires the helpers
    in_peace = threading.active_count()
    for _ in range(50):
        begun.clear()
        settled.clear()
        with pytest.raises(RuntimeError, match="failed"):
            threads.run_in_phases(task, range(5), settle)
        assert settled == [5, 10, 15] + [20] * (fails == "settle")
        assert threading.active_count() == in_peace


@pytest.mark.one_way
@pytest.mark.usefixtures("three_threads")
def test_an_interrupt_among_threads_that_are_woken_up(monkeypatch):
    interrupted = []

    class Queue(queue.SimpleQueue):
        def put(self, item):
            super().put(item)
            if threading.current_thread() is threading.main_thread() and not interrupted:
                interrupted.append(True)
                raise KeyboardInterrupt

    def task(k):  # the main thread's ends last, when the others are asleep
        time.sleep(0.02 * (threading.current_thread() is threading.main_thread()))

    threads.run(len, [[], []])  # hires the helpers
    in_peace = threading.active_count()
    monkeypatch.setattr(threads, "SimpleQueue", Queue)
    for _ in range(20):
        interrupted.clear()
        with pytest.raises(KeyboardInterrupt):
            threads.run_in_phases(task, range(3), lambda: True)
        assert threading.active_count() == in_peace


@pytest.mark.one_way
@pytest.mark.usefixtures("three_threads")
def test_what_a_job_has_used_is_given_back_at_its_end():
    class Used:
        pass

    gc.disable()
    try:
        for run in (threads.run, lambda *job: threads.run_in_phases(*job, lambda: False)):
            used = Used()
            gone = weakref.ref(used)
            run(lambda k, used=used: None, range(4))
            del used
            for _ in range(1000):  # a helper may still be on its way out
                if gone() is None:
                    break
                time.sleep(0.001)
            assert gone() is None
    finally:
        gc.enable()


# -- interrupts, wherever they come ----------------------------------------------------------------


INTERRUPTED = """
import random, signal, sys, threading, time
import numpy as np
from minicnn.engine import threads

class Alarm(Exception):
    pass

def ring(*args):
    raise Alarm

signal.signal(signal.SIGALRM, ring)
threads.set_num_threads(3)
arrays = [np.ones(200_000) for _ in range(4)]
working = [0] * 4

def task(k):
    working[k] += 1
    for _ in range(3 + 6 * k):
        np.sqrt(arrays[k], out=arrays[k])
    working[k] -= 1

def work():
    if sys.argv[2] == "at once":
        return threads.run(task, range(4))
    phases = iter([True] * 300 + [False])  # threads fall asleep and wake up all the time
    threads.run_in_phases(len, [()] * 4, lambda: next(phases))

work()  # hires the helpers, in peace
draw = random.Random(0)
for _ in range(int(sys.argv[1])):
    try:
        signal.setitimer(signal.ITIMER_REAL, draw.uniform(5e-5, 4e-3))
        work()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Alarm:
        pass
    assert threading.active_count() == 3
print("done")
"""


@pytest.mark.one_way
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
@pytest.mark.parametrize(
    ("way", "alarms"),
    [
        ("at once", 150),
        ("in phases", 300),
        pytest.param("at once", 1500, marks=pytest.mark.slow),
        pytest.param("in phases", 10_000, marks=pytest.mark.slow),
    ],
)
def test_an_interrupt_at_any_moment_neither_hangs_nor_leaves_helpers_at_work(way, alarms):
    command = [sys.executable, "-c", INTERRUPTED, str(alarms), way]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert finished.stdout == "done\n", finished.stderr


@pytest.fixture
def sigint():
    """Ctrl-C raises KeyboardInterrupt, also where the tests inherit that it is ignored (nohup)."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.mark.usefixtures("sigint")
def test_ctrl_c_while_a_step_is_taken_back(monkeypatch):
    """The second of two; the third in all, since fit holds back the first."""
    model = compiled()
    model.train_on_batch(X, Y)
    before, steps = model.flat_params.copy(), model.optimizer.iterations
    runner = model.runner(training=True)
    called = (runner, "single_pass") if runner.single_pass else (model.optimizer, "step")
    move, copyto = getattr(*called), np.copyto

    def interrupted(*args, **kept):
        move(*args, **kept)
        signal.raise_signal(signal.SIGINT)

    def interrupted_too(target, *args):
        signal.raise_signal(signal.SIGINT)
        copyto(target, *args)

    monkeypatch.setattr(*called, interrupted)
    monkeypatch.setattr(np, "copyto", interrupted_too)
    with pytest.raises(KeyboardInterrupt):
        model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.flat_params, before)
    assert model.optimizer.iterations == steps
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_a_whole_step_has_done_cannot_be_undone_by_the_next_interrupt():
    model = compiled()
    model.train_on_batch(X, Y)
    before, steps = model.flat_params.copy(), model.optimizer.iterations
    model.runner(training=True).snapshot.restore()
    np.testing.assert_array_equal(model.flat_params, before)
    assert model.optimizer.iterations == steps == 1


def test_a_step_that_failed_is_taken_back_once():
    model = compiled()
    model.train_on_batch(X, Y)
    model.optimizer.learning_rate = 1e300
    with pytest.raises(FloatingPointError):
        model.train_on_batch(X, Y)
    model.set_weights([np.zeros_like(array) for array in model.get_weights()])
    model.runner(training=True).snapshot.restore()  # as an interrupt before the next step would
    assert not model.flat_params.any()


def test_a_model_is_trained_in_one_thread_at_a_time():
    model = compiled()
    model.train_on_batch(X, Y)
    answers = []

    class Other(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if not answers:
                thread = threading.Thread(target=self.fit_too)
                thread.start()
                thread.join()

        def fit_too(self):
            try:
                model.fit(X, Y, verbose=0)
            except RuntimeError as error:
                answers.append(str(error))

    model.fit(X, Y, verbose=0, callbacks=[Other()])
    assert "being trained by another thread" in answers[0]

    runner = model.runner(training=True)
    with runner._running, pytest.raises(RuntimeError, match="being trained by another thread"):
        model.train_on_batch(X, Y)
    model.train_on_batch(X, Y)


# -- what is not finite, and where ----------------------------------------------------------------


def test_running_statistics_that_overflow_stop_the_training():
    model = Sequential([BatchNormalization(input_shape=(4,), name="norm"), Dense(2)])
    model.compile("sgd", "mse")
    x, y = np.random.default_rng(0).standard_normal((32, 4)), np.zeros((32, 2))
    model.fit(x, y, verbose=0)
    before = [array.copy() for array in model.get_weights()]
    with pytest.raises(FloatingPointError, match=r"BatchNormalization 'norm'.* step 2"):
        model.fit(x * 1e25, y, verbose=0)
    for now, then in zip(model.get_weights(), before):
        np.testing.assert_array_equal(now, then)


class Slope(Layer):
    """Hands `factor` times the gradient down."""

    factor = 1e20

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        return x

    def backward(self, dy):
        dy, _ = self._recall(dy)
        return dy * dy.dtype.type(self.factor)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_gradient_whose_square_overflows_would_stop_the_weight_for_ever(optimizer):
    model = Sequential([Dense(3, input_shape=(2,), name="below"), Slope(), Dense(1)])
    model.compile(optimizer, "mse")
    with pytest.raises(FloatingPointError, match=r"gradient of [Wb] in Dense 'below'.* step 1"):
        model.fit(np.ones((8, 2)), np.full((8, 1), 9.0), verbose=0)
    assert all(np.isfinite(vector).all() for vector in model.optimizer.state.values())


def test_a_gradient_of_a_frozen_layer_that_is_not_finite_does_not_stop_training():
    model = Sequential([Dense(3, input_shape=(2,)), Slope(), Dense(1)])
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    model.fit(np.ones((8, 2)), np.full((8, 1), 9.0), verbose=0)
    assert np.isfinite(model.flat_params).all()


@pytest.mark.parametrize("clipnorm", [None, 1e15])
def test_a_gradient_whose_numbers_can_be_squared_moves_on_any_number_of_threads(clipnorm):
    """The sum of the two squares overflows, where one thread adds up both."""
    size = 2 * step.PIECE // 8
    x, y = np.zeros((8, size), np.float32), np.full((8, 1), -7.5e18, np.float32)
    x[:, [0, -1]] = 1
    moved = -1.5e4 if clipnorm is None else -(0.5**0.5)
    before = threads.get_num_threads()
    try:
        for count in (1, 2):
            set_num_threads(count)
            layer = Dense(1, use_bias=False, kernel_initializer="zeros", input_shape=(size,))
            model = Sequential([layer])
            model.compile(SGD(1e-15, clipnorm=clipnorm), "mse")
            model.train_on_batch(x, y)
            np.testing.assert_allclose(model.flat_params[[0, -1]], moved, rtol=1e-6)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("piece", [50, 10**6])
def test_the_one_at_fault_is_named_though_other_pieces_have_moved(piece, monkeypatch):
    monkeypatch.setattr(step, "PIECE", piece)
    model = Sequential([Dense(30, input_shape=(20,), name="first"), Slope(), Dense(4), Dense(2)])
    model.compile(SGD(1e15), "mse")
    with pytest.raises(FloatingPointError, match="gradient of [Wb] in Dense 'first'"):
        model.fit(np.ones((8, 20)), np.ones((8, 2)), verbose=0)


def test_the_layer_whose_weights_overflow_is_named():
    model = Sequential([Dense(3, input_shape=(2,)), Dense(1, name="last")])
    model.compile(SGD(3e38), "mse")
    with pytest.raises(FloatingPointError, match=r"of Dense '.*', by the step of SGD.* step 1"):
        model.fit(np.ones((8, 2)), np.full((8, 1), 9.0), verbose=0)


class Counter(Layer):
    """Puts a new array into its state in each pass, instead of writing into the old one."""

    def build(self, input_shape):
        super().build(input_shape)
        self.add_state("n", (1,), initializers.Zeros())

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        self.state["n"] = self.state["n"] + 1
        return x

    def backward(self, dy):
        return self._recall(dy)[0]


def test_a_replaced_state_is_rolled_back():
    model = Sequential([Dense(3, input_shape=(2,)), Counter(), Slope(), Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(FloatingPointError):
        model.fit(np.ones((8, 2)), np.full((8, 1), 9.0), verbose=0)
    assert model.layers[1].state["n"] == 0


# -- what callbacks change ------------------------------------------------------------------------


def test_what_a_callback_sets_counts_from_the_next_epoch():
    """A rate of dropout, and an array put in the place of a weight."""

    class Change(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.layers[0].rate = 0.0
                self.model.layers[1].params["W"] = np.ones((8, 3), np.float32)

    def make():
        set_random_seed(4)
        model = Sequential([Dropout(0.5, input_shape=(8,)), Dense(3)])
        model.compile(SGD(0.1), "mse")
        return model

    x, y = rng.random((40, 8)), rng.random((40, 3))
    model, twin = make(), make()
    model.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=[Change()])
    twin.fit(x, y, epochs=1, shuffle=False, verbose=0)
    twin.layers[0].rate = 0.0
    twin.set_weights([np.ones((8, 3)), twin.get_weights()[1]])
    twin.fit(x, y, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.flat_params, twin.flat_params)


# -- the optimizer's step in pieces ----------------------------------------------------------------


def with_a_frozen_layer(optimizer=None):
    set_random_seed(3)
    model = Sequential([Dense(30, activation="relu", input_shape=(4,)), Dense(9), Dense(3)])
    model.layers[1].trainable = False
    model.compile(optimizer or Adam(0.01), "mse")
    return model


@pytest.mark.parametrize("piece", [1, 50, 10**6])
def test_pieces_of_a_step_make_the_whole_step(piece, monkeypatch):
    """However the vector is cut, each trainable number moves once, and no frozen one."""
    whole, cut = with_a_frozen_layer(), with_a_frozen_layer()
    x, y = np.random.default_rng(0).random((40, 4)), np.ones((40, 3))
    whole.fit(x, y, epochs=3, verbose=0)
    frozen = cut.layers[1].get_weights()
    monkeypatch.setattr(step, "PIECE", piece)
    cut.fit(x, y, epochs=3, verbose=0)
    np.testing.assert_array_equal(cut.flat_params, whole.flat_params)
    np.testing.assert_array_equal(cut.flat_grads, whole.flat_grads)
    for now, before in zip(cut.layers[1].get_weights(), frozen):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("piece", [1, 50, 10**6])
@pytest.mark.parametrize(
    "settings",
    [{}, {"amsgrad": True}, {"weight_decay": 0.1}, {"use_ema": True, "ema_overwrite_frequency": 1}],
    ids=str,
)
def test_a_step_that_fails_in_one_piece_is_taken_back_in_all(settings, piece, monkeypatch):
    model = with_a_frozen_layer(Adam(0.01, **settings))
    x, y = np.random.default_rng(0).random((40, 4)), np.ones((40, 3))
    model.fit(x, y, verbose=0)
    before = [model.flat_params.copy(), *(v.copy() for v in model.optimizer.state.values())]
    monkeypatch.setattr(step, "PIECE", piece)
    model.optimizer.state["m"][-1] = before[1 + list(model.optimizer.state).index("m")][-1] = 3e38
    model.optimizer.learning_rate = 1e30  # overflows where m is huge, in the last piece alone
    steps = model.optimizer.iterations
    with pytest.raises(FloatingPointError, match="the step of Adam"):
        model.fit(x, y, verbose=0)
    now = [model.flat_params, *model.optimizer.state.values()]
    for one, other in zip(now, before):
        np.testing.assert_array_equal(one, other)
    assert model.optimizer.iterations == steps


# -- callbacks ------------------------------------------------------------------------------------


class Diary(Callback):
    def __init__(self):
        self.events = []

    def __getattribute__(self, name):
        if name.startswith("on_"):
            return lambda *args: self.events.append((name, *args[:-1]))
        return super().__getattribute__(name)


def test_the_order_of_calls():
    diary = Diary()
    model = compiled()
    model.fit(X[:40], Y[:40], validation_data=(X[:5], Y[:5]), verbose=0, callbacks=[diary])
    assert [event[0] for event in diary.events] == [
        "on_train_begin",
        "on_epoch_begin",
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_train_batch_begin",
        "on_train_batch_end",
        "on_test_begin",
        "on_test_batch_begin",
        "on_test_batch_end",
        "on_test_end",
        "on_epoch_end",
        "on_train_end",
    ]
    assert diary.model is model
    assert diary.params["steps"] == 2
    diary.events.clear()
    model.predict(X[:5], verbose=0, callbacks=[diary])
    model.evaluate(X[:5], Y[:5], verbose=0, callbacks=[diary])
    assert [event[0] for event in diary.events] == [
        "on_predict_begin",
        "on_predict_batch_begin",
        "on_predict_batch_end",
        "on_predict_end",
        "on_test_begin",
        "on_test_batch_begin",
        "on_test_batch_end",
        "on_test_end",
    ]


class Stop(Callback):
    def on_epoch_end(self, epoch, logs=None):
        assert set(logs) == {"accuracy", "loss"}
        self.model.stop_training = epoch == 1


def test_a_callback_can_stop_the_training():
    history = compiled().fit(X, Y, epochs=9, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0, 1]
    for wrong in ("stop", [3], [Stop]):
        with pytest.raises(TypeError, match="minicnn.callbacks.Callback"):
            compiled().fit(X, Y, callbacks=wrong)


# -- what a person sees ---------------------------------------------------------------------------


def test_lines_where_standard_output_is_no_terminal(capsys):
    model = compiled()
    number = r"\d\.\d{4}"
    figures = rf"accuracy: {number} - loss: {number} - val_accuracy: {number} - val_loss: {number}"
    model.fit(X, Y, epochs=2, validation_split=0.2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for n, line in enumerate(lines, start=1):
        assert_matches(rf"Epoch {n}/2 - 4/4 - \d+s - \d+[mu]?s/step - {figures}", line)

    model.fit(X, Y, epochs=2, validation_split=0.2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["Epoch 1/2", "Epoch 2/2"]
    for line in lines[1::2]:
        assert_matches(rf"4/4 - \d+s - \d+[mu]?s/step - {figures}", line)

    model.fit(X, Y, epochs=1)
    model.evaluate(X, Y)
    model.predict(X)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" - ")[0] for line in lines] == ["5/5", "5/5", "5/5"]

    for call in (model.fit, model.evaluate):
        call(X, Y, verbose=0)
    model.predict(X, verbose=0)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")


def assert_matches(pattern, text):
    import re

    assert re.fullmatch(pattern, text), f"{text!r} is not of the form {pattern!r}"


@pytest.mark.one_way
@pytest.mark.in_ci
def test_a_bar_on_a_terminal():
    pty = pytest.importorskip("pty")
    code = """
import numpy as np
from minicnn import Sequential
from minicnn.layers import Dense
model = Sequential([Dense(2, 'softmax', input_shape=(3,))])
model.compile('sgd', 'sparse_categorical_crossentropy', metrics=['accuracy'])
model.fit(np.ones((64, 3)), np.zeros(64), epochs=2)
"""
    main, side = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stdout=side, stderr=side) as process:
        os.close(side)
        seen = []
        with contextlib.suppress(OSError):  # the other side is closed
            while True:
                seen.append(os.read(main, 4096))
        process.wait()
    os.close(main)
    text = b"".join(seen).decode()
    assert "Epoch 1/2" in text
    assert "Epoch 2/2" in text
    assert "2/2 " + "━" * 20 in text
    last = text.replace("\n", "\r").split("\r")
    assert_matches(
        r"2/2 ━{20} \d+s \d+[mu]?s/step - accuracy: [0-9.e+-]+ - loss: [0-9.e+-]+",
        [line for line in last if line.strip()][-1],
    )


# -- names in compile ------------------------------------------------------------------------------


def test_names_in_compile_are_taken_in_any_case():
    model = network()
    model.compile("Adam", "Sparse_Categorical_Crossentropy", metrics=["Accuracy"])
    assert "Accuracy" in model.fit(X, Y, verbose=0).history


# -- when something breaks while training ---------------------------------------------------------


class Bomb(Layer):
    """Passes everything on, but poisons the gradient at one step."""

    def __init__(self, step, **kwargs):
        super().__init__(**kwargs)
        self.step, self.now = step, 0

    def seek(self, step, sample):
        self.now = step

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = (self.now,)
        return x

    def backward(self, dy):
        dy, (now,) = self._recall(dy)
        return dy * np.nan if now == self.step else dy


def test_nan_in_the_gradient_names_layer_and_step_and_keeps_the_last_whole_step():
    def make():
        set_random_seed(2)
        model = Sequential([Dense(4, input_shape=(8,), name="below"), Bomb(3), Dense(3)])
        model.compile("adam", "mse")
        return model

    x, y = rng.random((60, 8)), rng.random((60, 3))
    model, twin = make(), make()
    with pytest.raises(FloatingPointError, match=r"W in Dense 'below'.* step 4\."):
        model.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    for start in (0, 10, 20):
        twin.train_on_batch(x[start : start + 10], y[start : start + 10])
    same(model, twin)
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_a_loss_that_explodes_stops_the_training():
    model = Sequential([Dense(1, input_shape=(1,))])
    model.compile(SGD(1e30), "mse")
    with pytest.raises(
        FloatingPointError,
        match=r"(the output of Dense|the step of SGD|the loss).* became NaN or infinite at step",
    ):
        model.fit(np.full((64, 1), 1e5), np.ones((64, 1)), epochs=9, verbose=0)
    assert np.isfinite(model.flat_params).all()


class CtrlC(Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("sigint")
def test_ctrl_c_leaves_the_weights_of_a_whole_step():
    model, twin = compiled(), compiled()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=50, shuffle=False, verbose=0, callbacks=[CtrlC()])
    assert signal.getsignal(signal.SIGINT) is before
    for start in (0, 50, 100):
        twin.train_on_batch(X[start : start + 50], Y[start : start + 50])
    same(model, twin)
    assert model.optimizer.iterations == 3
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, lambda number, frame: None])
@pytest.mark.usefixtures("sigint")
def test_a_handler_of_the_programs_own_stays_and_decides(handler):
    """Under nohup Ctrl-C is ignored, and training goes on to its end."""
    signal.signal(signal.SIGINT, handler)
    model = compiled()
    callbacks = [] if handler is signal.SIG_DFL else [CtrlC()]  # by default it ends the process
    history = model.fit(X, Y, batch_size=50, epochs=2, verbose=0, callbacks=callbacks)
    assert history.epoch == [0, 1]
    model.optimizer.learning_rate = 1e300
    with pytest.raises(FloatingPointError):  # a step that is taken back, with signals held off
        model.fit(X, Y, epochs=9, verbose=0)
    assert signal.getsignal(signal.SIGINT) is handler


class Broken(Layer):
    def forward(self, x, training=False):
        raise OSError("no")


def test_an_error_in_a_layer_comes_through_and_blas_gets_its_threads_back():
    from threadpoolctl import threadpool_info

    before = threadpool_info()
    model = Sequential([Dense(2, input_shape=(2,)), Broken()])
    model.compile("sgd", "mse")
    with pytest.raises(OSError, match="no"):
        model.fit(np.ones((99, 2)), np.ones((99, 2)), verbose=0)
    assert threadpool_info() == before


def test_blas_gets_its_threads_back_when_another_thread_was_the_last_to_need_one():
    """threadpoolctl lets only the first thread that has set a limit set others."""
    from threadpoolctl import threadpool_info

    def blas():
        return {
            one["filepath"]: one["num_threads"]
            for one in threadpool_info()
            if one["user_api"] == "blas"
        }

    before = blas()
    inside, leave = threading.Event(), threading.Event()

    def other():
        with single_threaded_blas():
            inside.set()
            leave.wait()

    for _ in range(3):
        with single_threaded_blas():
            thread = threading.Thread(target=other)
            thread.start()
            inside.wait()
        leave.set()
        thread.join()
        assert blas() == before
        inside.clear()
        leave.clear()


# -- threads and processes ------------------------------------------------------------------------


def test_two_models_may_be_trained_in_two_threads_and_one_asked_from_eight():
    alone = [compiled(dropout=0.3, seed=s) for s in (1, 2)]
    for model in alone:
        model.fit(X, Y, verbose=0)
    together = [compiled(dropout=0.3, seed=s) for s in (1, 2)]
    workers = [
        threading.Thread(target=model.fit, args=(X, Y), kwargs={"verbose": 0}) for model in together
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one, other in zip(alone, together):
        same(one, other)

    expected = alone[0].predict(X, verbose=0)
    answers = [None] * 8

    def ask(k):
        answers[k] = alone[0].predict(X, verbose=0)

    workers = [threading.Thread(target=ask, args=(k,)) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_trains_too():
    model = compiled()
    model.fit(X, Y, verbose=0)
    child = os.fork()
    if child == 0:
        signal.alarm(300)
        model.fit(X, Y, verbose=0)
        os._exit(0 if np.isfinite(model.flat_params).all() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_number_of_threads(monkeypatch):
    monkeypatch.setattr(threads, "_num_threads", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.get_num_threads() == 3
    monkeypatch.setenv("MINICNN_NUM_THREADS", "5")
    assert threads.get_num_threads() == 5
    monkeypatch.setenv("MINICNN_NUM_THREADS", "")
    assert threads.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")  # OpenMP's own, which has more forms than ours
    assert threads.get_num_threads() > 0
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads.get_num_threads() >= 1
    for wrong, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="integer >= 1"):
            set_num_threads(wrong)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 31, 32, 100, 128, 129, 1000])
def test_shards_cover_the_batch_in_order(n):
    cuts = shards.cut(n)
    np.testing.assert_array_equal(np.concatenate([np.arange(n)[c] for c in cuts]), np.arange(n))
    assert max(len(np.arange(n)[c]) for c in cuts) <= shards.LARGEST


# -- as Keras's users call it ---------------------------------------------------------------------


def test_hooks_get_a_dict_and_predict_hands_its_outputs_on():
    seen = []

    class Asks(Callback):
        def on_train_begin(self, logs):
            seen.append(logs.get("loss"))

        def on_epoch_begin(self, epoch, logs):
            seen.append(logs.get("loss"))

        def on_predict_batch_end(self, batch, logs):
            seen.append(logs["outputs"].shape)

    model = compiled()
    model.fit(X[:9], Y[:9], verbose=0, callbacks=[Asks()])
    model.predict(X[:9], verbose=0, callbacks=[Asks()])
    assert seen == [None, None, (9, 3)]


def test_class_weight_of_a_model_with_one_output():
    model = Sequential([Flatten(input_shape=(8, 8)), Dense(1, kernel_initializer="zeros")])
    model.compile(SGD(0.0), "mse")
    y = (Y > 0) * 1.0
    loss = model.fit(X, y, class_weight={1: 10.0}, verbose=0).history["loss"][0]
    assert loss == pytest.approx((np.where(y == 1, 10, 1) * y).mean(), rel=1e-6)


def test_a_model_can_be_frozen_whole():
    model = compiled()
    model.trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.flat_params.copy()
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.flat_params, before)
    assert not model.trainable
    assert not Sequential([Dense(2, input_shape=(2,))], trainable=False).layers[0].trainable


def test_one_activation_object_in_two_layers():
    """Each gets its own, or the second would overwrite what the first keeps for backward."""
    shared = ReLU()
    model = Sequential([Dense(4, shared, input_shape=(8,)), Dense(4, shared), Dense(3)])
    named = Sequential([Dense(4, "relu", input_shape=(8,)), Dense(4, "relu"), Dense(3)])
    named.set_weights(model.get_weights())
    x, dy = rng.standard_normal((5, 8)), rng.standard_normal((5, 3))
    for one in (model, named):
        one.forward(x)
        one.backward(dy)
    np.testing.assert_array_equal(model.flat_grads, named.flat_grads)


# -- what is set, asked and handed over on the way ------------------------------------------------


class Leaky(ActivationLayer):
    """A user's activation with a setting."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.slope = 0.5

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = x, self.slope
        return np.where(x > 0, x, self.slope * x)

    def backward(self, dy):
        dy, (x, slope) = self._recall(dy)
        return np.where(x > 0, dy, slope * dy)


SETTINGS = {
    "rate": lambda model: setattr(model.layers[2], "rate", 0),
    "momentum": lambda model: setattr(model.layers[1], "momentum", 0.5),
    "activation": lambda model: setattr(model.layers[0], "activation", Tanh()),
    "an activation's own": lambda model: setattr(model.layers[0].activation, "slope", 0.1),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_what_is_set_on_a_layer_counts_from_the_next_call(setting, jit_compile):
    """The runner has copies of the layers; those of an earlier call still have the old settings."""
    set_random_seed(3)
    model = Sequential(
        [
            Dense(8, activation=Leaky(), input_shape=(64,)),
            BatchNormalization(),
            Dropout(0.5),
            Dense(3, activation="softmax"),
        ]
    )
    model.compile(SGD(0.1), "sparse_categorical_crossentropy", jit_compile=jit_compile)
    x = X.reshape(len(X), -1)
    model.fit(x, Y, verbose=0)
    as_it_was, twin = copy.deepcopy(model), copy.deepcopy(model)  # which have nothing to run yet
    for one in (model, twin):
        SETTINGS[setting](one)
    for one in (model, twin, as_it_was):
        one.train_on_batch(x, Y)
    same(model, twin)
    moved = [(a != b).any() for a, b in zip(model.get_weights(), as_it_was.get_weights())]
    assert any(moved)
    runner = model.runner(training=True)
    model.train_on_batch(x, Y)
    assert model.runner(training=True) is runner, "made anew though nothing has changed"


def test_one_batch_is_tested_and_predicted_as_a_whole():
    model = compiled(dropout=0.3)
    before = model.get_weights()
    weight = rng.random(150)
    assert model.metrics_names == ["loss", "accuracy"]
    assert model.test_on_batch(X, Y) == model.evaluate(X, Y, batch_size=150, verbose=0)
    assert model.test_on_batch(X, Y, weight) == pytest.approx(
        model.evaluate(X, Y, sample_weight=weight, verbose=0)
    )
    told = model.test_on_batch(X, Y, return_dict=True)
    assert list(told) == ["accuracy", "loss"]
    assert [told[name] for name in model.metrics_names] == model.test_on_batch(X, Y)
    np.testing.assert_array_equal(model.predict_on_batch(X), model.predict(X, verbose=0))
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_one_batch_is_silent_and_asked_in_order(capsys):
    model = Sequential([Dense(3, activation="softmax")])
    for call in (lambda: model.test_on_batch(X, Y), lambda: model.metrics_names):
        with pytest.raises(ValueError, match=r"Call compile\("):
            call()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = X.reshape(len(X), -1)
    with pytest.raises(ValueError, match="needs a built model"):
        model.metrics_names  # noqa: B018
    assert isinstance(model.test_on_batch(x, Y), float)
    assert model.predict_on_batch(x).shape == (150, 3)
    assert model.metrics_names == ["loss"]
    assert capsys.readouterr().out == ""


def test_a_metric_given_twice_is_told_twice():
    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", "accuracy"])
    history = model.fit(X, Y, verbose=0).history
    assert list(history) == ["accuracy", "accuracy_1", "loss"]
    assert history["accuracy"] == history["accuracy_1"]
    assert model.metrics_names == ["loss", "accuracy", "accuracy_1"]
    assert len(model.evaluate(X, Y, verbose=0)) == 3


class Notes(Callback):
    """Puts something other than a number into the logs."""

    def on_epoch_end(self, epoch, logs=None):
        logs |= {"note": "slow", "best": None, "learning_rate": np.float32(0.25), 7: 0.5}


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_logs_may_hold_what_is_no_number(verbose, capsys):
    history = compiled().fit(X, Y, verbose=verbose, callbacks=[Notes()]).history
    assert history["note"] == ["slow"]
    assert history[7] == [0.5]
    told = capsys.readouterr().out
    assert ("- best: None - learning_rate: 0.2500 - loss: " in told) == bool(verbose)
    assert (" - note: slow" in told) == bool(verbose)


@pytest.mark.parametrize("verbose", [1, 2])
def test_without_a_standard_output(monkeypatch, verbose):
    """As in a program for Windows without a console: pythonw."""
    model = compiled()
    monkeypatch.setattr(sys, "stdout", None)
    model.fit(X, Y, epochs=2, verbose=verbose)
    model.evaluate(X, Y, verbose=verbose)
    model.predict(X, verbose=verbose)

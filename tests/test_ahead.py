"""Batches that threads make: how many are asked for, when, and that nothing is left behind."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from test_feeds import IMAGES, LABELS, Loader, network

from minicnn.callbacks import Callback
from minicnn.training.ahead import End, made_ahead
from minicnn.utils import PyDataset

X, Y = IMAGES[:10], LABELS[:10]


def workers():
    return [one for one in threading.enumerate() if one.name.startswith("minicnn_batches")]


class Counted:
    """An endless iterator that notes how many batches were asked for, and by which thread."""

    def __init__(self):
        self.drawn, self.threads = 0, set()

    def __iter__(self):
        return self

    def __next__(self):
        self.drawn += 1
        self.threads.add(threading.current_thread().name)
        return X, Y


def test_no_more_batches_are_asked_for_than_steps():
    model, source, validation = network(), Counted(), Counted()
    model.fit(source, epochs=3, steps_per_epoch=4, verbose=0,
              validation_data=validation, validation_steps=2)  # fmt: skip
    assert (source.drawn, validation.drawn) == (12, 6)
    model.evaluate(source, steps=3, verbose=0)
    model.predict(source, steps=2, verbose=0)
    assert source.drawn == 17
    assert "minicnn_batches_0" in source.threads
    assert not workers()


def test_an_iterator_goes_on_where_it_was_left():
    def numbered():
        for k in itertools.count():
            yield np.full((2, 8, 8, 1), k / 100, "float32"), np.zeros(2, int)

    model, source = network(), numbered()
    model.fit(source, epochs=2, steps_per_epoch=3, verbose=0)
    x, _ = next(source)
    np.testing.assert_array_equal(x, np.float32(0.06))
    source.close()  # it is still open


class Watch(Callback):
    """Waits at each step until two more batches, up to `last`, are drawn; notes how many are."""

    def __init__(self, source, last):
        self.source, self.last, self.seen = source, last, []

    def on_train_batch_end(self, batch, logs=None):
        end = time.monotonic() + 10
        while self.source.drawn < min(batch + 3, self.last) and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.02)
        self.seen.append(self.source.drawn - batch - 1)


def test_the_next_batches_are_made_while_one_is_used():
    source = Counted()
    watch = Watch(source, 6)
    network().fit(source, steps_per_epoch=6, verbose=0, callbacks=[watch])
    assert watch.seen == [2, 2, 2, 2, 1, 0]  # two are ready, and no third
    assert source.drawn == 6


def test_several_workers_work_at_the_same_time_and_in_order():
    together = threading.Barrier(3, timeout=20)

    def make(k):
        together.wait()
        time.sleep(0.01 * (k % 3))
        return k

    assert list(made_ahead(make, 9, workers=3, most=3)) == list(range(9))
    assert not workers()


@pytest.mark.parametrize("count", [0, 1, 2, 50, None])
@pytest.mark.parametrize("number_of_workers", [0, 1, 4])
@pytest.mark.parametrize("most", [1, 2, 7])
def test_each_item_is_made_once_and_none_too_soon(count, number_of_workers, most):
    lock, begun, taken, ahead = threading.Lock(), [], [], []

    def make(k):
        if count is None and k >= 20:
            raise End
        with lock:
            begun.append(k)
            ahead.append(len(begun) - len(taken))
        return k

    ended = []

    def all_items():
        ended.append((yield from made_ahead(make, count, workers=number_of_workers, most=most)))

    for k in all_items():
        taken.append(k)  # noqa: PERF402  while they are made
    wanted = list(range(20 if count is None else count))
    assert taken == sorted(begun) == wanted
    assert ended == [count is None]
    assert max(ahead, default=0) <= most + 1  # the one that is handed out, too
    assert not workers()


def test_an_error_comes_after_the_items_before_it():
    def make(k):
        if k == 3:
            raise OSError("broken")
        time.sleep(0.01 * (5 - k))
        return k

    items = made_ahead(make, None, workers=4, most=9)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="broken"):
        next(items)
    assert not workers()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_threads_the_calling_one_makes_the_items(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(made_ahead(lambda k: k, 5, workers=3)) == [0, 1, 2, 3, 4]


class Stop(Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = batch == 2

    def on_test_batch_end(self, batch, logs=None):
        self.model.stop_evaluating = batch == 2

    def on_predict_batch_end(self, batch, logs=None):
        self.model.stop_predicting = batch == 2


class Fail(Callback):
    def on_batch_end(self, batch, logs=None):
        raise OSError("disk full")


def test_threads_end_however_the_call_ends():
    model = network()
    model.fit(Counted(), verbose=0, callbacks=[Stop()])
    assert not workers()
    model.evaluate(Counted(), verbose=0, callbacks=[Stop()])
    assert model.predict(Counted(), verbose=0, callbacks=[Stop()]).shape == (30, 3)
    with pytest.raises(OSError, match="disk full"):
        model.fit(Counted(), verbose=0, callbacks=[Fail()])
    assert not workers()


def test_an_iterator_that_is_made_here_is_closed():
    closed = []

    class Closing(Loader):
        def __iter__(self):
            try:
                yield from super().__iter__()
            finally:
                closed.append(True)

    model, given = network(), {"verbose": 0, "steps_per_epoch": 2}
    model.fit(Closing(), verbose=0, epochs=2)
    assert len(closed) == 2
    model.fit(Closing(), **given)
    with pytest.raises(OSError, match="disk full"):
        model.fit(Closing(), verbose=0, callbacks=[Fail()])
    model.predict(Closing(), steps=2, verbose=0)
    assert len(closed) == 5


def test_no_batch_is_kept():
    alive = []

    class Own(np.ndarray):
        pass

    def generated():
        for _ in range(5):
            x = X.copy().view(Own)
            alive.append(weakref.ref(x))
            yield x, Y

    model = network()
    model.fit(generated(), verbose=0)
    model.predict(generated(), verbose=0)
    gc.collect()
    assert len(alive) == 10
    assert not any(one() is not None for one in alive)


class Numbers(PyDataset):
    def __init__(self, **given):
        super().__init__(**given)
        self.called = []

    def __len__(self):
        return 3

    def __getitem__(self, k):
        self.called.append(k)
        return X, Y

    def on_epoch_begin(self):
        self.called.append("begin")

    def on_epoch_end(self):
        self.called.append("end")


@pytest.mark.parametrize("number_of_workers", [0, 1])
def test_what_a_dataset_is_asked_for(number_of_workers):
    """Batch 0 beforehand, for its shape; then each once an epoch, between the two hooks."""
    model, data = network(), Numbers(workers=number_of_workers)
    epoch = ["begin", 0, 1, 2, "end"]
    model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert data.called == [0, *epoch, *epoch]
    data.called.clear()
    model.evaluate(data, verbose=0)
    model.predict(data, steps=2, verbose=0)
    assert data.called == [0, *epoch, 0, "begin", 0, 1, "end"]


def test_shuffle_changes_the_order_of_a_datasets_batches():
    data = Numbers()
    network().fit(data, epochs=8, verbose=0)
    text = "".join(str(one) for one in data.called[1:] if one != "begin")
    orders = text.split("end")[:-1]
    assert all(sorted(order) == ["0", "1", "2"] for order in orders)
    assert len(set(orders)) > 1


HELD_UP = """
import signal, sys, threading, time
import numpy as np
from minicnn import Sequential
from minicnn.layers import Dense

signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup has it ignored

def slow():
    for k in range(10_000):
        if k == 2:
            print("waiting", flush=True)
            time.sleep(float(sys.argv[1]))
        yield np.zeros((4, 3), "float32"), np.zeros(4, int)

model = Sequential([Dense(2, "softmax", input_shape=(3,))])
model.compile("sgd", "sparse_categorical_crossentropy")
try:
    model.fit(slow(), verbose=0) if sys.argv[2] == "fit" else model.predict(slow(), verbose=0)
except KeyboardInterrupt:
    left = [one.name for one in threading.enumerate() if one.name.startswith("minicnn_batches")]
    print("interrupted", model.optimizer.iterations, left, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("call", ["fit", "predict"])
@pytest.mark.in_ci
def test_an_interrupt_while_a_batch_is_waited_for(call):
    command = [sys.executable, "-c", HELD_UP, "2", call]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout.readline() == "waiting\n"
        time.sleep(0.3)
        one.send_signal(signal.SIGINT)
        try:
            out, errors = one.communicate(timeout=100)
        finally:
            one.kill()
    word, steps, left = out.split(maxsplit=2)
    assert (word, left) == ("interrupted", "[]\n"), errors
    assert int(steps) <= (2 if call == "fit" else 0)

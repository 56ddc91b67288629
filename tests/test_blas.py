"""BLAS on one thread while a model works: the same bits in every thread, after any calls."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import minicnn
from minicnn import Input, Sequential
from minicnn.engine import blas, threads
from minicnn.layers import Dense, Flatten
from minicnn.optimizers import SGD

X = np.random.default_rng(0).random((256, 28, 28), dtype=np.float32)
Y = np.random.default_rng(1).integers(10, size=256)

controller = ThreadpoolController().select(user_api="blas")
several = pytest.mark.skipif(
    not any(library.num_threads > 1 for library in controller.lib_controllers),
    reason="BLAS has one thread here",
)


def trained():
    minicnn.utils.set_random_seed(1)
    model = Sequential([Input((28, 28)), Flatten(), Dense(64, "tanh"), Dense(10, "softmax")])
    model.compile(SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0)
    return [model.flat_params.tobytes(), model.predict(X, verbose=0).tobytes(), model(X).tobytes()]


def in_a_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@several
def test_one_seed_gives_one_result_in_every_thread():
    expected = trained()
    assert in_a_thread(trained) == expected
    with threadpool_limits(2, user_api="blas"):  # this thread now controls threadpoolctl
        assert in_a_thread(trained) == expected
        assert trained() == expected
    held = threading.Event()

    def controls():
        with threadpool_limits(2, user_api="blas"):
            held.set()
            done.wait()

    done = threading.Event()
    other = threading.Thread(target=controls)
    other.start()
    held.wait()
    assert trained() == expected
    assert in_a_thread(trained) == expected
    done.set()
    other.join()
    with ThreadPoolExecutor(3) as pool:
        assert all(result == expected for result in [pool.submit(trained).result()] * 3)


@several
def test_a_limit_that_a_callback_lifts_is_set_again_at_the_next_step():
    expected = trained()

    class Lifts(minicnn.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            for library in controller.lib_controllers:
                blas.limit(library, 2)

    minicnn.utils.set_random_seed(1)
    model = Sequential([Input((28, 28)), Flatten(), Dense(64, "tanh"), Dense(10, "softmax")])
    model.compile(SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[Lifts()])
    assert model.flat_params.tobytes() == expected[0]


@several
def test_blas_has_its_threads_again_afterwards_in_whatever_order_threads_leave():
    before = [library.num_threads for library in controller.lib_controllers]
    one, two = blas.single_threaded_blas(), blas.single_threaded_blas()
    one.__enter__()
    in_a_thread(two.__enter__)
    one.__exit__(None, None, None)
    assert {library.num_threads for library in controller.lib_controllers} == {1}
    in_a_thread(lambda: two.__exit__(None, None, None))
    assert [library.num_threads for library in controller.lib_controllers] == before


class PerThread:
    """A library such as MKL, in which a limit counts for the thread that sets it."""

    internal_api, version, threading_layer = "mkl", "2024", "intel"

    def __init__(self):
        self.local = threading.local()

    @property
    def num_threads(self):
        return getattr(self.local, "threads", 8)

    def set_num_threads(self, threads):
        self.local.threads = threads


def test_a_library_with_limits_by_thread_is_limited_on_each_thread_that_works(monkeypatch):
    library = PerThread()
    monkeypatch.setattr(blas, "_blas", blas._Blas())
    monkeypatch.setattr(blas._Blas, "find", lambda self: self.libraries)
    blas._blas.libraries = [library]
    minicnn.set_num_threads(3)
    seen = []
    barrier = threading.Barrier(3)

    def work(item):
        barrier.wait(120)  # so that each thread takes one
        seen.append(library.num_threads)

    with blas.single_threaded_blas():
        threads.run(work, range(3))
        assert library.num_threads == 1

        def other():
            before = library.num_threads
            with blas.single_threaded_blas():
                inside = library.num_threads
            return before, inside, library.num_threads

        assert in_a_thread(other) == (8, 1, 8)
    assert seen == [1, 1, 1]
    assert library.num_threads == 8
    minicnn.set_num_threads(2)


FORKED = """
import os
import numpy as np
from threadpoolctl import ThreadpoolController
from minicnn.engine import blas
import threading

libraries = ThreadpoolController().select(user_api="blas").lib_controllers
before = [library.num_threads for library in libraries]
entered, leave = threading.Event(), threading.Event()

def works():
    with blas.single_threaded_blas():
        entered.set()
        leave.wait()

worker = threading.Thread(target=works)
worker.start()
entered.wait()
if (child := os.fork()) == 0:  # while another thread needs BLAS on one thread
    os._exit(int([library.num_threads for library in libraries] != before))
elsewhere = os.waitpid(child, 0)[1]
leave.set()
worker.join()
with blas.single_threaded_blas():
    if (child := os.fork()) == 0:  # the thread that goes on needs it itself
        os._exit(int({library.num_threads for library in libraries} != {1}))
    here = os.waitpid(child, 0)[1]
print(elsewhere, here, [library.num_threads for library in libraries] == before)
"""


@several
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_blas_threads_unless_it_needs_them_held():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=600
    )
    assert done.stdout == "0 0 True\n", done.stderr


def test_show_config_says_what_is_in_use_and_what_holds(capsys):
    minicnn.show_config()
    said = capsys.readouterr().out
    assert "NumPy, numba" in said
    assert "one seed gives the same bits in every thread" in said
    for library in blas.libraries():
        assert library["name"] in said


def test_show_config_withdraws_the_promise_where_blas_cannot_be_limited(capsys, monkeypatch):
    monkeypatch.setattr(blas, "libraries", list)
    minicnn.show_config()
    said = capsys.readouterr().out
    assert "cannot be limited" in said
    assert "not promised" in said
    assert "the same bits" not in said


def test_work_goes_on_where_no_thread_can_be_started(monkeypatch):
    """None are left waiting, and no job is kept for threads that there are not."""
    minicnn.set_num_threads(2)
    expected = trained()
    minicnn.set_num_threads(8)
    begun = threading.Thread.start
    left = [2]

    def start(thread):
        if left[0] == 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        begun(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    before = threading.active_count()
    assert trained() == expected
    assert threading.active_count() <= before + 2
    assert threads._helpers.count == 2
    minicnn.set_num_threads(8)
    left[0] = 0
    assert trained() == expected
    assert threads._helpers.calls.empty()
    minicnn.set_num_threads(2)

"""A copy of an optimizer, loss, metric, initializer or callback, however made, is its own."""

import copy
import pickle
import threading
from collections import deque

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.callbacks import Callback
from minicnn.initializers import Initializer
from minicnn.layers import Dense
from minicnn.losses import MeanSquaredError, SparseCategoricalCrossentropy
from minicnn.metrics import MeanAbsoluteError
from minicnn.optimizers import SGD, Adam, RMSprop

rng = np.random.default_rng(90)


def out_of_band(thing):
    """As between processes that share memory: the receiver gets buffers that are not its own."""
    buffers = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=buffers)


def out_of_band_read_only(thing):
    buffers = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "copy of a copy": lambda thing: copy.copy(copy.copy(thing)),
    **{
        f"pickle {protocol}": lambda thing, protocol=protocol: pickle.loads(
            pickle.dumps(thing, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "out of band": out_of_band,
    "out of band, read-only": out_of_band_read_only,
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
OPTIMIZERS = [SGD(0.1), SGD(0.1, 0.9), SGD(0.1, 0.9, True), RMSprop(0.1), Adam(0.1)]
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)


def stepped(optimizer, steps=3):
    """The optimizer after some steps, and where they led."""
    optimizer, w = copy.deepcopy(optimizer), np.ones(2000, "float32")
    for _ in range(steps):
        optimizer.update(w, rng.standard_normal(2000).astype("float32"))
    return optimizer, w


def assert_own(array, other):
    assert type(array) is np.ndarray
    assert array.flags.writeable
    assert array.flags.owndata
    assert array is not other
    assert not np.shares_memory(array, other)
    np.testing.assert_array_equal(array, other, strict=True)


@every_way
@every_optimizer
def test_a_copy_of_an_optimizer_is_whole_and_its_own(optimizer, way):
    optimizer, w = stepped(optimizer)
    twin = way(optimizer)
    assert type(twin) is type(optimizer)
    assert twin.iterations == optimizer.iterations == 3
    assert twin.state is not optimizer.state
    assert twin.state.keys() == optimizer.state.keys()
    for slot, vector in optimizer.state.items():
        assert_own(twin.state[slot], vector)
    before = {slot: vector.copy() for slot, vector in optimizer.state.items()}
    g, its = rng.standard_normal(2000).astype("float32"), w.copy()
    twin.update(its, g)
    assert optimizer.iterations == 3
    for slot, vector in before.items():
        np.testing.assert_array_equal(optimizer.state[slot], vector)
    optimizer.update(w, g)
    np.testing.assert_array_equal(w, its)


@every_way
def test_a_copy_of_an_optimizer_is_refused_or_serves_another_model_alone(way):
    def model():
        model = Sequential([Dense(3, input_shape=(4,))])
        model.compile(Adam(0.01), "mse")
        return model

    x, y = rng.standard_normal((20, 4)), rng.standard_normal((20, 3))
    first, second = model(), model()
    first.fit(x, y, verbose=0)
    state = {slot: vector.tobytes() for slot, vector in first.optimizer.state.items()}
    second.compile(way(first.optimizer), "mse")
    second.fit(x, y, epochs=2, verbose=0)
    assert first.optimizer.iterations == 1
    assert second.optimizer.iterations == 3
    assert {slot: v.tobytes() for slot, v in first.optimizer.state.items()} == state


def test_a_joblib_worker_can_go_on_with_the_optimizer_it_is_given(tmp_path):
    joblib = pytest.importorskip("joblib")
    optimizer, _ = stepped(Adam())
    joblib.dump(optimizer, tmp_path / "optimizer")
    for mode in (None, "r", "r+", "c"):
        twin = joblib.load(tmp_path / "optimizer", mmap_mode=mode)
        for slot, vector in optimizer.state.items():
            assert_own(twin.state[slot], vector)
        twin.update(np.ones(2000, "float32"), np.ones(2000, "float32"))


def test_a_copy_of_an_optimizer_in_borrowed_memory_is_its_own(tmp_path):
    optimizer, _ = stepped(Adam())
    np.save(tmp_path / "m.npy", optimizer.state["m"])
    m = np.load(tmp_path / "m.npy", mmap_mode="r")
    optimizer.state["m"] = m
    for way in (copy.copy, copy.deepcopy):
        assert_own(way(optimizer).state["m"], np.asarray(m))


class Averaging(SGD):
    """Keeps arrays beside `state`, in containers, and one of them under two names."""

    __slots__ = ("last",)

    def __init__(self):
        super().__init__(0.1, momentum=0.5)
        self.means = [np.zeros(2000, "float32"), (np.ones(3), deque([np.ones(5)]))]
        self.current = self.means[0]
        self.last = np.ones(4)
        self.draws = np.random.default_rng(3)


@pytest.mark.parametrize("way", [w for n, w in WAYS.items() if n not in ("pickle 0", "pickle 1")])
def test_what_a_users_optimizer_keeps_is_copied_too(way):
    optimizer, _ = stepped(Averaging())
    optimizer.means[0] += 2
    twin = way(optimizer)
    assert_own(twin.means[0], optimizer.means[0])
    assert_own(twin.means[1][0], optimizer.means[1][0])
    assert_own(twin.means[1][1][0], optimizer.means[1][1][0])
    assert twin.current is twin.means[0]
    assert twin.draws.random() == optimizer.draws.random()
    assert twin.last is not optimizer.last
    np.testing.assert_array_equal(twin.last, optimizer.last)


class Drawing(Initializer):
    def __init__(self):
        super().__init__()
        self.own = np.random.default_rng(5)

    def draw(self, shape, rng):
        return self.own.standard_normal(shape)


@every_way
def test_copies_of_an_initializer_draw_each_for_itself(way):
    initializer = Drawing()
    twin = way(initializer)
    np.testing.assert_array_equal(initializer((3, 4)), twin((3, 4)))
    np.testing.assert_array_equal(initializer((3, 4)), twin((3, 4)))


class Weighted(MeanSquaredError):
    """A loss and its factors, and what it has seen."""

    def __init__(self):
        self.factors, self.seen = np.ones(2000), []


class Recording(MeanAbsoluteError):
    def __init__(self):
        super().__init__("record")
        self.factors, self.seen = np.ones(2000), []


class Keeping(Callback):
    def __init__(self):
        self.factors, self.seen = np.ones(2000), []


@every_way
@pytest.mark.parametrize("make", [Weighted, Recording, Keeping])
def test_copies_of_losses_metrics_and_callbacks_share_no_arrays_and_no_lists(make, way):
    thing = make()
    twin = way(thing)
    assert type(twin) is make
    assert_own(twin.factors, thing.factors)
    twin.seen.append(1)
    assert thing.seen == []


def test_a_copy_of_a_callback_stays_with_its_model():
    keeping = Keeping()
    model = Sequential([Dense(1, input_shape=(2,))])
    keeping.set_model(model)
    keeping.models = [model]
    twin = copy.copy(keeping)
    assert twin.model is model
    assert twin.models[0] is model
    assert twin.models is not keeping.models
    model.compile("sgd", "mse")
    history = model.fit(np.ones((4, 2)), np.ones(4), verbose=0)
    twin = copy.copy(history)
    twin.history["loss"].append(7.0)
    assert len(history.history["loss"]) == 1


def test_what_cannot_be_copied_is_shared_by_a_copy():
    """As a callback's open file is, which `copy.deepcopy` refuses."""
    keeping = Keeping()
    keeping.lock = threading.Lock()
    twin = copy.copy(keeping)
    assert twin.lock is keeping.lock
    assert twin.seen is not keeping.seen


def test_a_loss_that_is_told_of_logits_is_still_the_users():
    """What it writes down in `fit` is seen in the object that `compile` was given."""

    class Counting(SparseCategoricalCrossentropy):
        def __init__(self):
            super().__init__()
            self.seen = []

        def forward(self, y_true, y_pred):
            self.seen.append(len(y_true))
            return super().forward(y_true, y_pred)

    loss = Counting()
    model = Sequential([Dense(3, "softmax", input_shape=(2,))])
    model.compile("sgd", loss)
    model.fit(np.ones((4, 2)), [0, 1, 2, 0], verbose=0)
    assert sum(loss.seen) == 4
    assert loss.from_logits is False

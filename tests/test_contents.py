"""What is inside a layer: shared between workers, a worker's own, copied, compared."""

import copy
import gc
import pickle
import random
import threading
import time
import weakref
from collections import deque
from types import SimpleNamespace

import numba
import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential
from minicnn.engine.shards import cut
from minicnn.initializers import GlorotUniform, Zeros
from minicnn.layers import BatchNormalization, Dense, Dropout, Layer, Sigmoid, Tanh
from minicnn.layers.contents import Settings, layers_inside

RNG = np.random.default_rng(0)


class Saves(Layer):
    """tanh(W x), which keeps what backward needs in a dict made by __init__."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.saved = {}

    def build(self, input_shape):
        self.add_param("W", (input_shape[-1],), GlorotUniform())
        super().build(input_shape)

    def forward(self, x, training=False):
        x = self._input(x)
        y = np.tanh(x * self.params["W"])
        self.saved["x"], self.saved["y"] = x, y
        self._cache = ()
        return y

    def backward(self, dy):
        dy, _ = self._recall(dy)
        dz = dy * (1 - self.saved["y"] ** 2)
        self.grads["W"][...] = (dz * self.saved["x"]).sum(axis=0)
        return dz * self.params["W"]


class Parts(Layer):
    """Layers in a container."""

    container = list

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = self.container([Tanh(), Sigmoid()])

    def forward(self, x, training=False):
        x = self._input(x)
        for part in self.parts:
            x = part.forward(x, training)
        self._cache = ()
        return x

    def backward(self, dy):
        dy, _ = self._recall(dy)
        for part in reversed(self.parts):
            dy = part.backward(dy)
        return dy


class Tuple(Parts):
    container = tuple


class Deque(Parts):
    container = deque


class Nested(Parts):
    """A dict of lists, a helper object, and an alias of an inner layer."""

    class Helper:
        def __init__(self):
            self.last = {"x": None}

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.table = {"first": [self.parts[0]], "second": ({"deep": self.parts[1]},)}
        self.helper = self.Helper()
        self.lock = threading.Lock()  # cannot be copied

    def forward(self, x, training=False):
        x = self._input(x)
        self.helper.last["x"] = x
        y = self.table["first"][0].forward(x, training)
        return self.table["second"][0]["deep"].forward(y, training)

    def backward(self, dy):
        dy = self.table["second"][0]["deep"].backward(dy)
        return self.parts[0].backward(dy) + 0 * self.helper.last["x"]


class Wraps(Layer):
    """A Dense inside, whose dicts are the layer's own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = Dense(3, "tanh", name="inside")
        self.params, self.grads = self.inner.params, self.inner.grads

    def build(self, input_shape):
        self.inner.build(input_shape)
        super().build(input_shape)

    def output_shape(self, input_shape):
        return self.inner.output_shape(input_shape)

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        return self.inner.forward(x, training)

    def backward(self, dy):
        dy, _ = self._recall(dy)
        return self.inner.backward(dy)


KINDS = [Saves, Parts, Tuple, Deque, Nested, Wraps]


@pytest.mark.parametrize("kind", KINDS)
def test_replicas_do_not_overwrite_each_other(kind):
    layer = kind()
    layer.build((None, 4))
    x_a, x_b = RNG.normal(size=(2, 5, 4)).astype(np.float32)
    one, other = layer.replica(), layer.replica()
    dy = RNG.normal(size=one.forward(x_a).shape).astype(np.float32)
    other.forward(x_b)
    found = one.backward(dy), *one.grads.values()
    alone = layer.replica()
    alone.forward(x_a)
    for got, expected in zip(found, (alone.backward(dy), *alone.grads.values())):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_replicas_share_parameters_and_state_alone(kind):
    layer = kind()
    layer.build((None, 4))
    twin = layer.replica()
    assert twin.params is layer.params
    assert twin.state is layer.state
    assert twin.grads is not layer.grads
    assert not any(np.shares_memory(twin.grads[key], layer.grads[key]) for key in layer.grads)
    for one, other in zip(layers_inside(layer), layers_inside(twin)):
        assert one is not other
        assert one.params is other.params


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_the_same_as_by_one_worker(kind):
    """Batches of 512 on two threads, against the sum over the same shards by one layer."""
    minicnn.set_num_threads(2)
    x = RNG.normal(size=(512, 6)).astype(np.float32)
    y = RNG.normal(size=(512, 2)).astype(np.float32)
    model = Sequential([Input((6,)), Dense(4, "tanh"), kind(), Dense(2)])
    model.compile("sgd", "mse")
    by_hand = np.zeros_like(model.flat_params)
    for shard in cut(512):
        predicted = model.forward(x[shard], training=True)
        model.backward(2 * (predicted - y[shard]) / np.float32(2 * 512))
        by_hand += model.flat_grads
    for _ in range(5):
        model.runner(training=True).train(*_whole_batch(x, y), step=0)
        model.runner(training=True).network.sum(slice(None), model.flat_grads)
        np.testing.assert_allclose(model.flat_grads, by_hand, rtol=1e-4, atol=1e-7)


def _whole_batch(x, y):
    from minicnn.inputs import Data

    return Data(x, y).batches(len(x))


def test_a_list_among_two_dropouts_gets_its_place_in_the_batch():
    """Layers inside draw new masks at each step, the same ones on any number of threads."""

    class Noisy(Parts):
        def __init__(self):
            super().__init__()
            self.parts = [Dropout(0.5), Dropout(0.5, seed=3)]

        def build(self, input_shape):
            for part in self.parts:
                part.rng = self.rng
                part.build(input_shape)
            super().build(input_shape)

    def trained(threads):
        minicnn.set_num_threads(threads)
        minicnn.utils.set_random_seed(1)
        model = Sequential([Input((8,)), Dense(16), Noisy(), Dense(2)])
        model.compile("sgd", "mse")
        losses = [model.train_on_batch(np.ones((300, 8)), np.ones((300, 2))) for _ in range(3)]
        return losses, model.flat_params

    (losses, weights), (_, again) = trained(1), trained(2)
    np.testing.assert_array_equal(weights, again)
    assert len(set(losses)) == 3


@pytest.mark.parametrize(
    "made", [np.random.default_rng, np.random.RandomState, random.Random], ids=lambda m: m.__name__
)
def test_generators_of_a_layer_do_not_depend_on_the_threads(made):
    """Each worker draws from a stream of its place in the batch: no two pieces get one mask."""

    class Noise(Layer):
        def __init__(self):
            super().__init__()
            self.sources = {"generator": made(5)}
            self.drawn = seen

        def forward(self, x, training=False):
            x = self._input(x)
            source = self.sources["generator"]
            first = source.random() if isinstance(source, random.Random) else source.uniform()
            self.state["sum"][...] += np.float32(first)
            numbers.append(float(first))
            self._cache = ()
            return x * x.dtype.type(first)

        def build(self, input_shape):
            self.add_state("sum", (1,), Zeros())
            super().build(input_shape)

        def backward(self, dy):
            dy, _ = self._recall(dy)
            return dy

    seen = threading.Lock()
    results = []
    for threads in (1, 2, 3):
        minicnn.set_num_threads(threads)
        numbers = []
        minicnn.utils.set_random_seed(1)
        model = Sequential([Input((4,)), Dense(4), Noise(), Dense(1)])
        model.compile("sgd", "mse")
        for _ in range(3):
            model.train_on_batch(np.ones((500, 4)), np.ones((500, 1)))
        results.append((model.flat_params.copy(), sorted(numbers)))
        assert len(set(numbers)) == len(numbers) == 3 * len(cut(500))
    for weights, drawn in results[1:]:
        np.testing.assert_array_equal(weights, results[0][0])
        assert drawn == results[0][1]


def test_what_a_layer_counts_in_state_is_there_after_fit_and_in_an_attribute_is_not():
    class Counts(Layer):
        calls = 0

        def build(self, input_shape):
            self.add_state("calls", (1,), Zeros())
            super().build(input_shape)

        def forward(self, x, training=False):
            self.calls += 1
            self.state["calls"][...] += 1
            self._cache = ()
            return self._input(x)

        def backward(self, dy):
            return self._recall(dy)[0]

    layer = Counts()
    model = Sequential([Input((4,)), Dense(2), layer])
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    assert layer.state["calls"] == [1]
    assert layer.calls == 0


# -- settings -------------------------------------------------------------------------------------


def test_settings_in_containers_count_from_the_next_call_on():
    """A list, a dict or an array that a user changes in place is noticed."""

    class Scales(Layer):
        def __init__(self):
            super().__init__()
            self.by = {"factors": [1.0]}
            self.shift = np.zeros(2, np.float32)

        def forward(self, x, training=False):
            self._cache = ()
            return self._input(x) * np.float32(self.by["factors"][0]) + self.shift

        def backward(self, dy):
            return self._recall(dy)[0] * np.float32(self.by["factors"][0])

    layer = Scales()
    model = Sequential([Input((2,)), Dense(2), layer])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 2)), np.zeros((4, 2))
    model.optimizer.learning_rate = 0
    before = model.train_on_batch(x, y)
    layer.by["factors"][0] = 2.0
    doubled = model.train_on_batch(x, y)
    assert doubled == pytest.approx(4 * before)
    layer.shift[:] = 100
    assert model.train_on_batch(x, y) > 1000


class Holds(Layer):
    """Keeps settings in containers of every kind."""

    def __init__(self):
        super().__init__()
        self.rate, self.shared = 0.5, Tanh()
        self.table, self.row = {"a": self.shared, "b": 2.5}, [1.5, Sigmoid()]
        self.last, self.names = deque([3.5]), {"x"}
        self.inner = SimpleNamespace(scale=np.ones(3), point=SimpleNamespace(at=1.5))

    def forward(self, x, training=False):
        return x

    def backward(self, dy):
        return dy


def rename(layer):
    layer.table["c"] = layer.table.pop("b")


def turn(layer):
    layer.row[:] = layer.row[::-1]


CHANGES = {
    "a number": lambda layer: setattr(layer, "rate", 0.25),
    "a new attribute": lambda layer: setattr(layer, "more", 1),
    "an attribute that goes": lambda layer: delattr(layer, "rate"),
    "an inner layer": lambda layer: setattr(layer, "shared", Sigmoid()),
    "a key of a dict": rename,
    "a value of a dict": lambda layer: layer.table.update(b=2.0),
    "the order of a list": turn,
    "an item of a list": lambda layer: layer.row.append(1),
    "an item of a deque": lambda layer: layer.last.append(1.0),
    "an item of a set": lambda layer: layer.names.add("y"),
    "a setting of an inner layer": lambda layer: setattr(layer.row[1], "name", "other"),
    "a number in an array": lambda layer: layer.inner.scale.__setitem__(0, 2.0),
    "an attribute of an object's object": lambda layer: setattr(layer.inner.point, "at", 2.0),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("by_value", [True, False])
def test_a_change_of_settings_is_seen_wherever_they_are_kept(name, by_value):
    layer, change = Holds(), CHANGES[name]
    if not by_value and name != "an item of a set":
        layer.names = ("x",)  # beside a set all is compared by value
    before = Settings((), [layer])
    assert not before.changed([layer])
    layer.rate, layer.row = float("0.5"), list(layer.row)  # equal, but other objects
    assert not before.changed([layer])
    assert not before.changed([layer])
    change(layer)
    assert before.changed([layer])
    assert before.changed([layer])


class Scaled(Layer):
    """x times a table that it keeps as a setting."""

    def __init__(self):
        super().__init__()
        self.table = np.ones(3, np.float32)

    def forward(self, x, training=False):
        return x * self.table

    def backward(self, dy):
        return dy * self.table


@pytest.mark.parametrize("arrays", [True, False])
def test_an_array_in_the_place_of_an_equal_one_is_watched_from_then_on(arrays):
    layer = Scaled()
    settings = Settings((), [layer])
    layer.table = layer.table.copy()
    assert not settings.changed([layer], arrays=arrays)
    layer.table[...] = 5
    assert settings.changed([layer])


def test_a_compiled_function_of_the_user_s_may_be_an_activation():
    double = minicnn.activations.Function(numba.njit(lambda x: 2 * x), lambda x: 0 * x + 2)
    model = Sequential([Input((3,)), Dense(4, activation=double)])
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0), model.forward(x), rtol=1e-6)


def test_settings_of_other_layers_are_other_settings():
    first, second = Dense(2), Dense(2)
    before = Settings((), [first, second])
    assert before.changed([second, first])
    assert before.changed([first])


def test_settings_are_unchanged_by_training():
    model = Sequential([Input((4,)), Dense(4, "tanh"), Dropout(0.5), BatchNormalization(), Saves()])
    model.compile("adam", "mse")
    before = Settings((), model.layers)
    model.fit(np.ones((8, 4)), np.ones((8, 4)), verbose=0)
    assert not before.changed(model.layers)
    model.layers[1].rate = 0.25
    assert before.changed(model.layers)


def test_settings_in_a_users_object_count_from_the_next_call_on():
    """As where a callback lowers a number that layers share."""
    shared = SimpleNamespace(scale=1.0, more=Holder([1.0]))

    class Scaled(Layer):
        def __init__(self):
            super().__init__()
            self.shared = shared

        def forward(self, x, training=False):
            self._cache = ()
            return self._input(x) * np.float32(self.shared.scale * self.shared.more.held[0])

        def backward(self, dy):
            return self._recall(dy)[0]

    model = Sequential([Input((2,)), Scaled()])
    model.compile("sgd", "mse")
    x = np.ones((3, 2))
    for shared.scale, shared.more.held[0] in ((1, 1), (2, 1), (2, 3)):
        expected = shared.scale * shared.more.held[0]
        assert model.predict(x, verbose=0)[0, 0] == model(x)[0, 0] == expected
        assert model.evaluate(x, 0 * x, verbose=0) == pytest.approx(expected**2)


class Holder:
    def __init__(self, held):
        self.held = held
        self.lock = threading.Lock()


def test_what_stands_beside_a_lock_is_still_a_workers_own():
    class Locked(Saves):
        def __init__(self):
            super().__init__()
            self.saved = {}
            self.holder = Holder(self.saved)

    layer = Locked()
    twin = layer.replica()
    assert twin.holder is not layer.holder
    assert twin.holder.lock is layer.holder.lock
    assert twin.holder.held is not layer.saved


def test_a_read_only_table_is_shared_and_another_is_not():
    class Tables(Layer):
        def __init__(self):
            super().__init__()
            self.constant, self.scratch = np.ones(3), np.ones(3)
            self.constant.setflags(write=False)

    layer = Tables()
    twin = layer.replica()
    assert twin.constant is layer.constant
    assert twin.scratch is not layer.scratch


def test_a_layer_that_reads_another_one_reads_its_workers_own():
    class Remembers(Layer):
        def forward(self, x, training=False):
            self._cache = ()
            self.last = self._input(x)
            return self.last * 0

        def backward(self, dy):
            return self._recall(dy)[0] * 0

    class AddsBack(Layer):
        def __init__(self, source):
            super().__init__()
            self.source = source

        def forward(self, x, training=False):
            self._cache = ()
            return self._input(x) + self.source.last

        def backward(self, dy):
            return self._recall(dy)[0]

    source = Remembers()
    model = Sequential([Input((3,)), source, AddsBack(source)])
    x = RNG.normal(size=(200, 3)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)


def test_a_parameter_under_another_name_is_the_one_that_is_trained():
    """Keras's habit: self.kernel = ... in build."""

    class Aliased(Layer):
        def build(self, input_shape):
            self.add_param("W", (input_shape[-1], 2), GlorotUniform())
            self.kernel, self.more = self.params["W"], {"again": [self.params["W"]]}
            super().build(input_shape)

        def output_shape(self, input_shape):
            return (*input_shape[:-1], 2)

        def forward(self, x, training=False):
            self._cache = self._input(x)
            return self._cache @ self.kernel

        def backward(self, dy):
            dy, x = self._recall(dy)
            self.grads["W"][...] = x.T @ dy
            return dy @ self.more["again"][0].T

    model = Sequential([Input((3,)), Dense(3), Aliased(), Dense(2)])
    model.add(Dense(2))
    model.compile("adam", "mse")
    layer = model.layers[1]
    assert layer.kernel is layer.params["W"] is layer.more["again"][0]
    losses = [model.train_on_batch(np.ones((4, 3)), np.ones((4, 2))) for _ in range(30)]
    before = layer.kernel.copy()
    assert losses[-1] < losses[0]
    model.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
    assert (layer.kernel != before).any()


def test_batch_normalization_inside_a_layer_sees_whole_batches_and_is_frozen_with_it():
    class Wrapped(Wraps):
        def __init__(self):
            super().__init__()
            self.inner = BatchNormalization()
            self.params, self.grads = self.inner.params, self.inner.grads
            self.state = self.inner.state

    layer = Wrapped()
    model = Sequential([Input((4,)), Dense(3), layer, Dense(1)])
    model.compile("sgd", "mse")
    assert model.runner(training=True).network.whole
    layer.trainable = False
    model.compile("sgd", "mse")
    before = layer.state["moving_mean"].copy()
    model.fit(np.ones((40, 4)), np.ones((40, 1)), verbose=0)
    np.testing.assert_array_equal(layer.state["moving_mean"], before)


def test_networks_that_are_kept_do_not_keep_a_model_alive():
    gc.collect()
    gc.disable()
    try:
        model = Sequential([Input((4,)), Dense(3, "tanh"), Dropout(0.2), Dense(1)])
        model.compile("sgd", "mse")
        vector = weakref.ref(model.flat_params.base)
        model.fit(np.ones((40, 4)), np.ones((40, 1)), verbose=0)
        model.predict(np.ones((40, 4)), verbose=0)
        model.evaluate(np.ones((40, 4)), np.ones((40, 1)), verbose=0)
        del model
        until = time.monotonic() + 10
        while vector() is not None and time.monotonic() < until:
            time.sleep(0.01)  # a helper thread may still hold the last job
        assert vector() is None
    finally:
        gc.enable()


# -- copies ---------------------------------------------------------------------------------------


def buffers(thing):
    """Unpickled from buffers that are someone else's, and read-only."""
    held = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=held.append)
    return pickle.loads(data, buffers=[bytes(b.raw()) for b in held])


def shared_buffers(thing):
    held = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=held.append)
    return pickle.loads(data, buffers=held)


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {n}": lambda thing, n=n: pickle.loads(pickle.dumps(thing, n))
        for n in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
    "read-only buffers": buffers,
    "buffers of the original": shared_buffers,
}


def every_array(thing):
    for part in thing.layers if isinstance(thing, Sequential) else [thing]:
        for one in layers_inside(part):
            yield from (*one.params.values(), *one.grads.values(), *one.state.values())
    if isinstance(thing, Sequential):
        yield from (thing.flat_params, thing.flat_grads, *thing.optimizer.state.values())


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_copied_model_is_whole_writable_and_independent(way):
    x, y = RNG.normal(size=(32, 4)), RNG.normal(size=(32, 3))
    model = Sequential(
        [Input((4,)), Dense(4, "tanh"), BatchNormalization(), Dropout(0.3), Wraps(), Saves()]
    )
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, y, epochs=2, verbose=0)
    before = [array.copy() for array in every_array(model)]
    twin = way(model)
    assert all(array.flags.writeable for array in every_array(twin))
    for array in every_array(twin):
        assert not any(np.shares_memory(array, other) for other in every_array(model))
    history = twin.fit(x, y, epochs=2, verbose=0).history
    for array, saved in zip(every_array(model), before):
        np.testing.assert_array_equal(array, saved)
    assert history == model.fit(x, y, epochs=2, verbose=0).history  # generators and slots too
    np.testing.assert_array_equal(twin.flat_params, model.flat_params)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_copied_layer_is_whole_writable_and_independent(way):
    for layer in (Dense(3), BatchNormalization(), Saves(), Wraps()):
        x = RNG.normal(size=(5, 4)).astype(np.float32)
        y = layer.forward(x, True)
        twin = way(layer)
        np.testing.assert_array_equal(twin.forward(x), layer.forward(x))
        twin.backward(np.ones_like(y))
        for array in every_array(twin):
            array[...] = 7
            assert not any(np.shares_memory(array, other) for other in every_array(layer))


def test_a_pickle_holds_neither_activations_nor_data():
    model = Sequential([Input((100,)), Dense(100), Tanh(), Saves(), Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((5000, 100), np.float32)
    model.fit(x, np.zeros(5000), verbose=0)
    model(x)
    model.layers[2].saved.clear()  # what a user's layer keeps in attributes is the user's choice
    assert len(pickle.dumps(model)) < 1.5 * model.flat_params.nbytes + 20_000


def test_a_layers_own_way_to_be_pickled_is_its_way_to_be_copied():
    class Drops(Saves):
        def __init__(self):
            super().__init__()
            self.lock = threading.Lock()

        def __getstate__(self):
            return {k: v for k, v in super().__getstate__().items() if k != "lock"}

    layer = Drops()
    layer.build((None, 4))
    twin = copy.deepcopy(layer)
    assert not hasattr(twin, "lock")
    np.testing.assert_array_equal(twin.params["W"], layer.params["W"])
    assert layer.replica().lock is layer.lock


def test_slots_of_a_layer_are_copied_too():
    class Slotted(Tanh):
        __slots__ = ("factor",)

        def __init__(self):
            super().__init__()
            self.factor = [2.0]

    layer = Slotted()
    for twin in (layer.replica(), copy.deepcopy(layer)):
        assert twin.factor == [2.0]
        assert twin.factor is not layer.factor


def test_a_layer_that_refers_to_its_model_shares_it():
    class Refers(Tanh):
        model = None

    layer = Refers()
    model = Sequential([Input((3,)), Dense(3), layer, Dense(1)])
    layer.model = model
    model.compile("sgd", "mse")
    model.fit(np.ones((40, 3)), np.ones((40, 1)), verbose=0)
    assert layer.replica().model is model
    twin = copy.deepcopy(model)
    assert twin.layers[1].model is twin

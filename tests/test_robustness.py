"""What happens to a model from outside: data that change, arrays put in the place of parameters,
callbacks that stop it, forks, and models that come and go."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import minicnn
from minicnn import Input, Sequential, initializers
from minicnn.callbacks import Callback
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPooling2D,
    ReLU,
    Softmax,
)
from minicnn.optimizers import SGD, Adam

SPARSE = "sparse_categorical_crossentropy"
RNG = np.random.default_rng(0)
X = RNG.random((96, 8, 8, 1), dtype=np.float32)
Y = RNG.integers(10, size=96)


def network(loss=SPARSE, seed=1, **options):
    minicnn.utils.set_random_seed(seed)
    model = Sequential(
        [
            Input((8, 8, 1)),
            Conv2D(4, 3, activation="relu"),
            MaxPooling2D(),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", loss, **options)
    return model


class At(Callback):
    """Calls a function at the end of one batch."""

    def __init__(self, batch, call):
        self.batch, self.call, self.seen = batch, call, []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["loss"]))
        if batch == self.batch:
            self.call()


# -- 1: data that change while they are used ------------------------------------------------------


def test_large_inputs_whose_squares_overflow_are_taken():
    model = network()
    x = X * np.float32(1e25)
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_weights_of_samples_that_change_later_do_not_count():
    weight = np.ones(96)
    model, twin = network(), network()
    spoilt = [At(0, lambda: weight.fill(np.nan))]
    model.fit(X, Y, sample_weight=weight, verbose=0, callbacks=spoilt)
    twin.fit(X, Y, sample_weight=np.ones(96), verbose=0)
    np.testing.assert_array_equal(model.flat_params, twin.flat_params)


def test_an_array_that_another_thread_writes_to_never_reaches_a_kernel_unchecked():
    y, stop = Y.copy(), threading.Event()

    def spoil():
        while not stop.is_set():
            y[RNG.integers(96)] = RNG.choice([-5, 3, 10**6, 2**40])

    thread = threading.Thread(target=spoil)
    thread.start()
    model = network()
    try:
        for _ in range(20):
            with contextlib.suppress(ValueError):
                model.fit(X, y, verbose=0)
            y[:] = Y
    finally:
        stop.set()
        thread.join()
    assert np.isfinite(model.flat_params).all()


# -- 4: frozen batch normalization ----------------------------------------------------------------


@pytest.mark.parametrize("how", ["attribute", "constructor"])
def test_frozen_batch_normalization_uses_and_keeps_its_statistics(how):
    layer = BatchNormalization(trainable=how == "attribute")
    layer.build((None, 3))
    layer.trainable = False
    layer.state["moving_mean"][...] = 5
    layer.state["moving_variance"][...] = 4
    x = RNG.normal(100, 7, (50, 3)).astype(np.float32)
    expected = (x - 5) / np.sqrt(4 + np.float32(1e-3))
    np.testing.assert_allclose(layer(x, training=True), expected, rtol=1e-5)
    np.testing.assert_array_equal(layer.state["moving_mean"], 5)
    np.testing.assert_array_equal(layer.state["moving_variance"], 4)
    dy = RNG.normal(size=x.shape).astype(np.float32)
    np.testing.assert_allclose(layer.backward(dy), dy / np.sqrt(4 + np.float32(1e-3)), rtol=1e-5)


@pytest.mark.parametrize("whole", [True, False])
def test_fine_tuning_above_frozen_batch_normalization(whole):
    below = BatchNormalization()
    model = Sequential([Input((6,)), Dense(5), below, Dense(3, activation="softmax")])
    model.compile("sgd", SPARSE)
    x, y = RNG.normal(3, 2, (200, 6)), RNG.integers(3, size=200)
    model.fit(x, y, epochs=3, verbose=0)
    if whole:
        model.trainable = False
        model.layers[2].trainable = True
    else:
        below.trainable = False
    model.compile("sgd", SPARSE)
    before = {key: array.copy() for key, array in (below.state | below.params).items()}
    loss = model.fit(x, y, batch_size=200, verbose=0).history["loss"][0]
    for key, array in (below.state | below.params).items():
        np.testing.assert_array_equal(array, before[key])
    assert not below.mixes_samples  # its batches may be cut into shards again
    below.trainable = True
    model.compile("sgd", SPARSE)
    assert model.train_on_batch(x, y) != pytest.approx(loss)


# -- 5: arrays put in the place of parameters -----------------------------------------------------

ASSIGNED = {
    "reversed": lambda W: W[::-1],
    "reversed twice": lambda W: W[::-1, ::-1],
    "transposed": lambda W: W.T,
    "the array itself": lambda W: W,
    "a view of all of it": lambda W: W[:],
    "rolled, a new array": lambda W: np.roll(W, 1),
    "float64": lambda W: W.astype(np.float64) * 2,
    "Fortran-ordered": np.asfortranarray,
}


@pytest.mark.parametrize("how", ASSIGNED)
@pytest.mark.parametrize("jit", ["auto", False])
def test_a_parameter_that_is_assigned_trains_as_one_that_is_written_into(how, jit):
    def made():
        minicnn.utils.set_random_seed(2)
        model = Sequential([Input((6,)), Dense(6, "relu"), Dense(6, "relu"), Dense(2)])
        model.compile(Adam(0.01), "mse", jit_compile=jit)
        return model

    x, y = RNG.normal(size=(40, 6)), RNG.normal(size=(40, 2))
    one, other = made(), made()
    new = ASSIGNED[how](one.layers[1].params["W"])
    other.layers[1].params["W"][...] = np.array(new)
    one.layers[1].params["W"] = new
    for model in (one, other):
        model.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(one.flat_params, other.flat_params)
    assert np.shares_memory(one.layers[1].params["W"], one.flat_params)


def test_parameters_of_two_layers_that_are_exchanged():
    minicnn.utils.set_random_seed(2)
    norms = [BatchNormalization(), BatchNormalization()]
    model = Sequential([Input((4,)), Dense(4), Dense(4), *norms])
    model.compile("sgd", "mse")
    one, other = model.layers[:2]
    W_1, W_2 = one.params["W"].copy(), other.params["W"].copy()
    one.params["W"], other.params["W"] = other.params["W"], one.params["W"]
    one.params["b"] = other.params["b"]  # two layers, one array
    norms[0].state["moving_mean"] = norms[1].state["moving_mean"]
    model.optimizer.learning_rate = 0
    model.fit(np.ones((4, 4)), np.ones((4, 4)), verbose=0)
    np.testing.assert_array_equal(one.params["W"], W_2)
    np.testing.assert_array_equal(other.params["W"], W_1)
    assert not np.shares_memory(one.params["b"], other.params["b"])
    assert not np.shares_memory(norms[0].state["moving_mean"], norms[1].state["moving_mean"])


class Own(Layer):
    """Puts arrays into its tables by itself, and halves the way of its state to 0.8 in training."""

    def __init__(self, table, given, where):
        super().__init__(name="own")
        self.put = lambda: getattr(self, table).__setitem__("n", given)
        self.where = where
        if where == "init":
            self.put()

    def build(self, input_shape):
        if self.where == "build":
            self.put()
        super().build(input_shape)
        self.grads = {key: np.zeros(2, "float32") for key in self.params}

    def forward(self, x, training=False):
        self._cache = x = self._input(x)
        if training and "n" in self.state:
            self.state["n"][...] = self.state["n"] * 0.5 + 0.4
        return x

    def backward(self, dy):
        return self._recall(dy)[0]


@pytest.mark.parametrize("where", ["init", "build"])
@pytest.mark.parametrize("table", ["params", "state"])
@pytest.mark.parametrize("kind", [int, bool, "uint8"])
def test_whole_numbers_in_a_layer_s_tables_become_floats(table, kind, where):
    layer = Own(table, np.ones(2, kind), where)
    model = Sequential([Input((2,)), layer])
    model.set_weights([np.array([0.25, 0.5])])
    np.testing.assert_array_equal(model.get_weights(), [[0.25, 0.5]])
    assert getattr(layer, table)["n"].dtype == "float32"
    alone = Own(table, np.ones(2, kind), where)
    alone.backward(alone(np.ones((3, 2), "float32")))
    assert getattr(alone, table)["n"].dtype == "float32"


@pytest.mark.parametrize("jit", ["auto", False])
def test_a_state_of_whole_numbers_is_not_rounded_in_training(jit):
    model = Sequential([Input((2,)), Own("state", np.zeros(2, int), "build"), Dense(1)])
    model.compile("sgd", "mse", jit_compile=jit)
    model.fit(np.ones((4, 2)), np.ones(4), batch_size=2, verbose=0)
    np.testing.assert_allclose(model.layers[0].state["n"], 0.6, rtol=1e-6)


def test_a_state_of_whole_numbers_that_the_layer_has_under_another_name():
    class Counts(Own):
        def forward(self, x, training=False):
            y = super().forward(x)
            self.count += 1
            return y

    layer = Counts("state", count := np.zeros(2, int), "init")
    layer.count = count
    for _ in range(3):
        layer(np.ones((3, 2)))
    np.testing.assert_array_equal(layer.state["n"], [3, 3])


def test_an_array_that_a_callback_assigns_in_the_middle_of_an_epoch():
    one, other = network(), network()
    W = one.layers[0].params["W"]
    new = RNG.normal(size=W.shape).astype(np.float32)

    def assign():
        one.layers[0].params["W"] = new.copy()

    def write():
        other.layers[0].params["W"][...] = new

    one.fit(X, Y, verbose=0, callbacks=[At(0, assign)])
    other.fit(X, Y, verbose=0, callbacks=[At(0, write)])
    np.testing.assert_array_equal(one.flat_params, other.flat_params)


def test_gradients_of_a_layer_that_puts_in_its_own_arrays_reach_the_vector():
    class Replaces(Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.grads["W"] = self.grads["W"] * 1
            return dx

    model = Sequential([Input((3,)), Replaces(2)])
    y = model.forward(np.ones((4, 3), np.float32))
    model.backward(np.ones_like(y))
    np.testing.assert_array_equal(model.flat_grads, [4] * 8)
    assert np.shares_memory(model.layers[0].grads["W"], model.flat_grads)


# -- 6: weights of classes and samples ------------------------------------------------------------


def test_class_weight_does_not_enter_the_validation_loss():
    factors = dict.fromkeys(range(10), 5.0)
    model, plain = network(), network()
    for one in (model, plain):
        one.compile(SGD(0.0), SPARSE)
    weighted = model.fit(X, Y, validation_split=0.25, class_weight=factors, verbose=0).history
    history = plain.fit(X, Y, validation_split=0.25, verbose=0).history
    assert weighted["val_loss"] == history["val_loss"]
    assert weighted["loss"][0] == pytest.approx(5 * history["loss"][0])


def test_sample_weight_is_split_along():
    model = network()
    model.compile(SGD(0.0), SPARSE)
    weight = np.where(np.arange(96) < 72, 1.0, 3.0)
    history = model.fit(X, Y, validation_split=0.25, sample_weight=weight, verbose=0).history
    loss = model.evaluate(X[72:], Y[72:], verbose=0)
    assert history["val_loss"][0] == pytest.approx(3 * loss)


# -- 7: random numbers ----------------------------------------------------------------------------


def test_dropout_masks_do_not_repeat_after_compile():
    masks = []

    class Remembers(Dropout):
        def forward(self, x, training=False):
            y = super().forward(x, training)
            if training:
                masks.append((y != 0).tobytes())
            return y

    model = Sequential([Input((64,)), Remembers(0.5), Dense(1)])
    for _ in range(3):
        model.compile(SGD(0.0), "mse")
        model.fit(np.ones((8, 64)), np.ones(8), epochs=2, verbose=0)
    assert len(masks) == 6
    assert len(set(masks)) == 6


FORKS = """
import os
import numpy as np
import minicnn
from minicnn import Input, Sequential
from minicnn.layers import Dense, Dropout

if {seeded}:
    minicnn.utils.set_random_seed(1)
early = Sequential([Dropout(0.5), Dense(3)])  # made here, built in the children
early.compile("sgd", "mse")
built = Sequential([Input((5,)), Dropout(0.5)])
alone = Dropout(0.5)
alone(np.ones(50), training=True)

def drawn():
    late = Sequential([Dropout(0.5), Dense(3)])
    late.compile("sgd", "mse")
    found = []
    for model in (early, late):
        model.fit(np.ones((4, 5)), np.ones((4, 3)), verbose=0)
        found += [model.get_weights()[0].tobytes(), model.rng.random()]
    built.compile("sgd", "mse")
    found.append(built.train_on_batch(np.ones((50, 5)), np.arange(250).reshape(50, 5)))
    found.append(alone(np.ones(50), training=True).tobytes())
    return found

results = []
for _ in range(3):
    r, w = os.pipe()
    if os.fork() == 0:
        os.write(w, repr(drawn()).encode())
        os._exit(0)
    os.close(w)
    results.append(eval(os.fdopen(r, "rb").read()))
    os.wait()
print([len(set(column)) for column in zip(*results)])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("seeded", "distinct"), [(False, 3), (True, 1)])
@pytest.mark.in_ci
def test_forked_processes_draw_different_numbers_unless_a_seed_is_set(seeded, distinct):
    done = run(FORKS.format(seeded=seeded))
    assert done.stdout == f"{[distinct] * 6}\n", done.stderr


def run(program):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=600,
    )


# -- 9: callbacks and divergence ------------------------------------------------------------------


class StopsAtNaN(Callback):
    """Keras's TerminateOnNaN."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])
        if not np.isfinite(logs["loss"]):
            self.model.stop_training = True


class Faulty(Layer):
    """NaN in the third step of each training."""

    def build(self, input_shape):
        self.add_state("calls", (1,), initializers.Zeros())
        super().build(input_shape)

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        if training:
            self.state["calls"] += 1
        return x * np.float32(np.nan) if self.state["calls"] > 2 else x

    def backward(self, dy):
        return self._recall(dy)[0]


def faulty():
    minicnn.utils.set_random_seed(1)
    model = Sequential([Input((3,)), Dense(2), Faulty(name="fault")])
    model.compile("adam", "mse")
    return model


def test_a_callback_that_stops_at_nan_gets_the_history():
    model, stops = faulty(), StopsAtNaN()
    x, y = np.ones((40, 3)), np.ones((40, 2))
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[stops])
    assert len(stops.losses) == 3
    assert np.isnan(stops.losses[-1])
    assert history.epoch == [0]
    assert np.isnan(history.history["loss"][0])
    assert model.optimizer.iterations == 2
    assert np.isfinite(model.flat_params).all()
    twin = faulty()
    twin.fit(x[:16], y[:16], batch_size=8, verbose=0)
    np.testing.assert_array_equal(model.flat_params, twin.flat_params)
    np.testing.assert_array_equal(model.layers[1].state["calls"], 2)


def test_without_such_a_callback_fit_ends_in_an_error_after_the_hook():
    model = faulty()
    seen = At(-1, lambda: None)
    with pytest.raises(FloatingPointError, match="the output of Faulty 'fault'.*step 3"):
        model.fit(np.ones((40, 3)), np.ones((40, 2)), batch_size=8, verbose=0, callbacks=[seen])
    assert [batch for batch, _ in seen.seen] == [0, 1, 2]
    assert np.isnan(seen.seen[-1][1])


def test_a_learning_rate_finder():
    """Raises the rate with every batch until the loss explodes, then stops."""

    class Finder(Callback):
        rates, losses = [], []

        def on_train_batch_end(self, batch, logs=None):
            self.rates.append(self.model.optimizer.learning_rate)
            self.losses.append(logs["loss"])
            if not logs["loss"] < 1e6:
                self.model.stop_training = True
            self.model.optimizer.learning_rate *= 10

    model = network("mse")
    model.layers[-1].activation.__class__ = type(minicnn.layers.Linear())
    model.compile(SGD(1e-6), "mse")
    history = model.fit(X, np.eye(10)[Y], batch_size=8, epochs=20, verbose=0, callbacks=[Finder()])
    assert history is model.history
    assert not Finder.losses[-1] < 1e6
    assert np.isfinite(model.flat_params).all()


def test_stop_training_in_a_batch_hook_ends_the_epoch_at_once():
    order = []

    class Notes(Callback):
        def on_train_batch_end(self, batch, logs=None):
            order.append(batch)
            if batch == 1:
                self.model.stop_training = True

        def on_epoch_end(self, epoch, logs=None):
            order.append(("epoch", epoch, "val_loss" in logs))

        def on_train_end(self, logs=None):
            order.append("end")

    history = network().fit(
        X, Y, batch_size=8, epochs=5, validation_split=0.25, verbose=0, callbacks=[Notes()]
    )
    assert order == [0, 1, ("epoch", 0, True), "end"]
    assert history.epoch == [0]
    assert set(history.history) == {"loss", "val_loss"}


def test_the_older_hooks_of_batches_are_called():
    seen = []

    class Old(Callback):
        def on_batch_begin(self, batch, logs=None):
            seen.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            seen.append(("end", batch, "loss" in logs))

    network().fit(X[:16], Y[:16], batch_size=8, verbose=0, callbacks=[Old()])
    assert seen == [("begin", 0), ("end", 0, True), ("begin", 1), ("end", 1, True)]


# -- 13: forks inside fit -------------------------------------------------------------------------

FORK_IN_FIT = """
import os, threading, time
import numpy as np
import minicnn
from minicnn import Input, Sequential, callbacks, initializers
from minicnn.layers import Dense, Layer

x, y = np.ones((32, 4)), np.ones((32, 2))

def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]

def all_calls():
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    model.predict(x, verbose=0)
    model.train_on_batch(x, y)
    model.add(Dense(2))
    model.pop()

class Forks(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            print(in_child(all_calls), flush=True)

model = Sequential([Input((4,)), Dense(3), Dense(2)])
model.compile("adam", "mse")
model.fit(x, y, batch_size=8, verbose=0, callbacks=[Forks()])

# while another thread is in a step, which has already changed the state
inside, leave = threading.Event(), threading.Event()
parent = os.getpid()

class Waits(Layer):
    def build(self, input_shape):
        self.add_state("calls", (1,), initializers.Zeros())
        super().build(input_shape)
    def forward(self, x, training=False):
        self._cache = ()
        self.state["calls"] += 1
        if os.getpid() == parent:
            inside.set()
            leave.wait(60)
        return self._input(x)
    def backward(self, dy):
        return self._recall(dy)[0]

model = Sequential([Input((4,)), Dense(3), Waits(), Dense(2)])
model.compile("adam", "mse")
worker = threading.Thread(target=lambda: model.fit(x, y, verbose=0))
worker.start()
inside.wait(60)

def calls_of_the_copy():
    model.train_on_batch(x, y)
    assert model.layers[1].state["calls"] == [2]  # two shards; none of the parent
    all_calls()

print(in_child(calls_of_the_copy), flush=True)
leave.set()
worker.join()
"""


@pytest.mark.in_ci
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork_inside_fit_the_child_can_use_its_model():
    done = run(FORK_IN_FIT)
    assert done.stdout == "0\n0\n", done.stderr


# -- 14: what is let go ---------------------------------------------------------------------------


def test_a_fitted_model_is_freed_with_its_last_name():
    gc.collect()
    gc.disable()
    try:
        model = network(metrics=["accuracy"])
        history = model.fit(X, Y, validation_split=0.25, verbose=0)
        model.evaluate(X, Y, verbose=0)
        model.predict(X, verbose=0)
        assert history.model is model
        gone = weakref.ref(model)
        del model
        until = time.monotonic() + 10
        while gone() is not None and time.monotonic() < until:
            time.sleep(0.01)  # a helper thread may still hold the last job
        assert gone() is None
        assert history.model is None
        assert len(history.history["loss"]) == 1
    finally:
        gc.enable()


def test_the_copies_that_a_step_keeps_do_not_grow_with_a_layer_that_replaces_its_state():
    class Renews(Layer):
        def build(self, input_shape):
            self.add_state("sum", (1000,), initializers.Zeros())
            super().build(input_shape)

        def forward(self, x, training=False):
            x = self._input(x)
            self._cache = ()
            self.state["sum"] = self.state["sum"] + 1
            self.state[f"of call {int(self.state['sum'][0]) % 50}"] = np.zeros(100)
            self.state.pop(f"of call {int(self.state['sum'][0] - 1) % 50}", None)
            return x

        def backward(self, dy):
            return self._recall(dy)[0]

    model = Sequential([Input((3,)), Dense(2), Renews()])
    model.compile("adam", "mse")
    x, y = np.ones((8, 3)), np.ones((8, 2))
    for _ in range(60):
        model.train_on_batch(x, y)
    copies = model.runner(training=True).snapshot._copies
    assert sum(copy.nbytes for copy in copies.values()) < 20_000


# -- 16: what is not finite, and what takes long --------------------------------------------------


def test_validation_of_weights_that_are_not_finite_is_left_to_callbacks():
    class Spoils(Callback):
        def on_test_begin(self, logs=None):
            self.saved = self.model.get_weights()
            self.model.layers[0].params["W"][...] = np.nan

        def on_test_end(self, logs=None):
            self.model.set_weights(self.saved)

    history = network().fit(X, Y, validation_split=0.25, verbose=0, callbacks=[Spoils()]).history
    assert np.isnan(history["val_loss"][0])


@pytest.mark.in_ci
def test_building_takes_time_in_proportion_to_the_layers():
    """Each layer is asked a few times, however many there are."""

    class Counts(ReLU):
        asked = 0

        def output_shape(self, input_shape):
            Counts.asked += 1
            return super().output_shape(input_shape)

    def asked(n, how):
        Counts.asked = 0
        layers = [Input((3,)), *(Counts(name=f"{k}") for k in range(n))]
        if how == "list":
            Sequential(layers)
        else:
            model = Sequential()
            for layer in layers:
                model.add(layer)
        return Counts.asked

    for how in ("list", "add"):
        assert asked(400, how) <= 2.5 * asked(200, how)
    begun = time.process_time()
    Sequential([Input((10,)), *(Dense(10) for _ in range(1000))])
    assert time.process_time() - begun < 10  # it took 11 s, and takes a fifth of one


# -- 18: as in Keras ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.predict(X, verbose=0),
        lambda model: model.predict_on_batch(X),
        lambda model: model.evaluate(X, Y, verbose=0),
        lambda model: model.test_on_batch(X, Y),
        lambda model: model(X),
    ],
)
def test_a_model_is_built_by_its_first_data_whatever_the_call(call):
    model = Sequential([Flatten(), Dense(10, activation="softmax")])
    model.compile("sgd", SPARSE)
    assert not hasattr(model, "input_shape")
    call(model)
    assert model.built
    assert model.input_shape == (None, 8, 8, 1)


def test_loss_weights_is_the_third_argument_of_compile():
    model, half = network(), network()
    model.compile("sgd", SPARSE, None, ["accuracy"])
    half.compile("sgd", SPARSE, [0.5], ["accuracy"])
    one, other = (m.evaluate(X, Y, verbose=0) for m in (model, half))
    assert other[0] == pytest.approx(one[0] / 2)
    assert other[1] == one[1]
    model.fit(X, Y, verbose=0)
    half.compile(SGD(0.02), SPARSE, loss_weights=0.5)
    half.fit(X, Y, verbose=0, shuffle=False)
    with pytest.raises(ValueError, match=r"loss_weights.*received \['accuracy'\].*metrics="):
        model.compile("sgd", SPARSE, ["accuracy"])
    with pytest.raises(ValueError, match="loss_weights"):
        model.compile("sgd", SPARSE, -1.0)
    with pytest.raises(TypeError, match="loss_weights"):
        model.compile("sgd", SPARSE, "half")


def test_a_compiled_model_stays_compiled_when_layers_come_and_go():
    """What the optimizer has learned of the layers that stay is kept."""
    minicnn.utils.set_random_seed(3)
    model = Sequential([Input((4,)), Dense(5, "relu"), Dense(3)])
    model.compile(Adam(0.01), "mse")
    x = RNG.normal(size=(20, 4))
    model.fit(x, np.ones((20, 3)), verbose=0)
    m = model.optimizer.state["m"].copy()
    top = model.pop()
    assert top.params["W"].base is None or not np.shares_memory(top.params["W"], model.flat_params)
    np.testing.assert_array_equal(model.optimizer.state["m"], m[:25])
    model.fit(x, np.ones((20, 5)), verbose=0)
    model.add(Dense(2))
    np.testing.assert_array_equal(model.optimizer.state["m"][25:], 0)
    assert model.optimizer.state["m"].size == model.flat_params.size == 37
    before = model.flat_params.copy()
    model.fit(x, np.ones((20, 2)), verbose=0)
    assert (model.flat_params != before).all() or (model.flat_params != before)[25:].any()
    assert model.optimizer.iterations == 3
    model.add(Softmax())
    assert model.evaluate(x, np.ones((20, 2)) / 2, verbose=0) >= 0


def test_a_frozen_layer_stays_frozen_when_layers_come_and_go():
    model = Sequential([Input((4,)), Dense(5, trainable=False), Dense(3)])
    model.compile(SGD(0.1), "mse")
    model.pop()
    model.add(Dense(2))
    frozen = model.layers[0].get_weights()
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    for before, now in zip(frozen, model.layers[0].get_weights()):
        np.testing.assert_array_equal(before, now)
    assert model.flat_grads[25:].any()


# -- what a review found --------------------------------------------------------------------------


def test_a_helper_that_comes_late_does_not_hold_blas():
    from minicnn.engine import blas

    before = [library["threads"] for library in blas.libraries()]
    with blas.single_threaded_blas():
        pass
    blas.hold()  # as a helper whose job is over
    assert [library["threads"] for library in blas.libraries()] == before


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_model_that_was_emptied_and_filled_again_trains_whole(optimizer):
    minicnn.utils.set_random_seed(4)
    model = Sequential([Dense(4, input_shape=(6,))])
    model.compile(optimizer, "mse")
    x = RNG.normal(size=(20, 6))
    model.fit(x, np.ones((20, 4)), verbose=0)
    model.pop()
    for layer in (Dense(5, input_shape=(6,)), Dense(4)):
        model.add(layer)
    before = model.flat_params.copy()
    model.fit(x, np.ones((20, 4)), epochs=3, verbose=0)
    assert (model.flat_params != before).all()


class Warm(Softmax):
    """At temperature 3."""

    def forward(self, x, training=False):
        return super().forward(np.asarray(x) / 3, training)

    def backward(self, dy):
        return super().backward(dy) / 3


class Cubed(minicnn.layers.Linear):
    def forward(self, x, training=False):
        self._cache = self._input(x)
        return self._cache**3

    def backward(self, dy):
        dy, x = self._recall(dy)
        return dy * 3 * x * x


class Scaled(Dense):
    def forward(self, x, training=False):
        return super().forward(x, training) * np.float32(0.5)

    def backward(self, dy):
        return super().backward(dy * np.float32(0.5))


@pytest.mark.parametrize(
    "top",
    [
        lambda: [Dense(3), Warm()],
        lambda: [Dense(3, activation=Warm())],
        lambda: [Dense(3, activation="softmax"), Cubed()],
        lambda: [Scaled(3, activation="softmax")],
    ],
    ids=["softmax", "activation", "linear", "dense"],
)
def test_subclasses_behind_the_logits_run_as_they_are_written(top):
    model = Sequential([Input((4,)), Dense(5), *top()])
    model.compile("sgd", SPARSE)
    x, y = RNG.normal(size=(30, 4)).astype(np.float32), RNG.integers(3, size=30)
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x), rtol=1e-5)
    p = np.clip(model(x), 1e-7, 1 - 1e-7)
    expected = np.mean(np.log(p.sum(1)) - np.log(p[np.arange(30), y]))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-4)


def test_a_metric_that_changes_what_it_inherits_gets_probabilities():
    class Sure(minicnn.metrics.SparseCategoricalAccuracy):
        def values(self, y_true, y_pred):
            return (y_pred.max(-1) > 0.5) * 1.0

    model = network(metrics=[Sure()])
    share = (model.predict(X, verbose=0).max(-1) > 0.5).mean()
    assert model.evaluate(X, Y, verbose=0)[1] == pytest.approx(share)


def test_a_shape_that_is_set_during_fit_is_another_arrays():
    x, y = X.copy(), Y.copy()

    def reshape():
        x.shape = (4, -1)
        y.shape = (4, -1)

    model, twin = network(), network()
    model.fit(x, y, verbose=0, callbacks=[At(0, reshape)])
    twin.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.flat_params, twin.flat_params)


COPIED = """
import copy, os, pickle
import numpy as np
from minicnn import Sequential
from minicnn.layers import Dropout

source = Sequential([Dropout(0.5, input_shape=(64,))])
copies = [copy.copy(source), copy.deepcopy(source), pickle.loads(pickle.dumps(source))]
copies += [copy.deepcopy(source.layers[0]), pickle.loads(pickle.dumps(source.layers[0]))]
fixed = copy.deepcopy(Sequential([Dropout(0.5, seed=3, input_shape=(64,))]))

def masks():
    return [model(np.ones((1, 64)), training=True).tobytes() for model in (*copies, fixed)]

results = []
for _ in range(3):
    r, w = os.pipe()
    if os.fork() == 0:
        os.write(w, repr(masks()).encode())
        os._exit(0)
    os.close(w)
    results.append(eval(os.fdopen(r, "rb").read()))
    os.wait()
print([len(set(column)) for column in zip(*results)])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.in_ci
def test_copies_differ_after_a_fork_as_their_originals():
    done = run(COPIED)
    assert done.stdout == "[3, 3, 3, 3, 3, 1]\n", done.stderr


def test_a_diverging_step_warns_of_nothing():
    """Warnings are errors here; the norm of the gradient overflows in a helper thread."""
    minicnn.set_num_threads(2)
    model = Sequential([Input((600,)), Dense(1000), Dense(1)])
    model.compile(SGD(1e-3), "mse")
    with pytest.raises(FloatingPointError):
        model.fit(np.full((64, 600), 1e19), np.zeros(64), epochs=9, verbose=0)


def test_threads_that_call_a_new_model_at_once_build_it_once():
    for _ in range(20):
        model = Sequential([Dense(20), Dense(20), Dense(3)])
        results, barrier = [], threading.Barrier(6)

        def ask(model=model, results=results, barrier=barrier):
            barrier.wait()
            results.append(model.predict(np.ones((4, 5)), verbose=0))

        asking = [threading.Thread(target=ask) for _ in range(6)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert len(results) == 6
        assert all(np.array_equal(result, results[0]) for result in results)

"""Errors in the middle of training: the model keeps its last whole step."""

import copy
import threading

import numpy as np
import pytest
from test_robustness import SPARSE, At, network
from test_robustness import X as IMAGES
from test_robustness import Y as CLASSES

from minicnn import Sequential, losses
from minicnn.callbacks import Callback
from minicnn.layers import BatchNormalization, Dense, Dropout, Layer
from minicnn.optimizers import SGD
from minicnn.utils import set_random_seed
from refusals.helpers import LABELS, ROWS, life_after, refused


class Meddles(Callback):
    def __init__(self, meddle):
        self.meddle = meddle

    def on_train_batch_end(self, batch, logs=None):
        self.meddle(self.model)


@pytest.mark.parametrize(
    ("name", "meddle"),
    [
        ("compile", lambda model: model.compile("sgd", "mse")),
        ("pop", lambda model: model.pop()),
        ("optimizer", lambda model: setattr(model, "optimizer", SGD(0.1))),
        ("loss", lambda model: setattr(model, "loss", losses.SparseCategoricalCrossentropy())),
        ("jit_compile", lambda model: setattr(model, "jit_compile", False)),
        ("add", lambda model: model.add(Dense(3))),
    ],
)
def test_a_model_is_not_rebuilt_while_it_is_trained(name, meddle):
    model, twin = with_fault((), "forward"), with_fault((), "forward")
    words = f"{name}: expected Sequential '{model.name}' to be at rest, but it is being fitted"
    with refused(ValueError, words, "stop_training = True"):
        model.fit(ROWS, LABELS, shuffle=False, callbacks=[Meddles(meddle)], verbose=0)
    twin.train_on_batch(ROWS[:32], LABELS[:32])
    assert rename(life_after(model), model) == rename(life_after(twin), twin)
    meddle(model)  # at rest again


@pytest.mark.parametrize("jit_compile", ["auto", False])
@pytest.mark.parametrize("file", ["w.weights.h5", "w.npz"])
def test_a_callback_loads_weights(file, jit_compile, tmp_path):
    """As a range test of the learning rate does, or one that goes back to better weights."""

    def made():
        set_random_seed(5)
        model = Sequential([BatchNormalization(input_shape=(4,)), Dense(3, activation="softmax")])
        model.compile(SGD(0.125, 0.9), SPARSE, jit_compile=jit_compile)
        model.fit(ROWS[:32], LABELS[:32], epochs=2, verbose=0, shuffle=False)
        return model

    model, twin = made(), made()
    model.save_weights(tmp_path / file)

    class GoesBack(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:
                self.model.optimizer.learning_rate = 0.5
            if batch == 1:
                self.model.load_weights(tmp_path / file)

    model.fit(ROWS, LABELS, batch_size=16, shuffle=False, callbacks=[GoesBack()], verbose=0)
    if file == "w.npz":  # which has no optimizer's
        weights = twin.get_weights()
        twin.fit(ROWS[:16], LABELS[:16], batch_size=16, shuffle=False, verbose=0)
        twin.optimizer.learning_rate = 0.5
        twin.fit(ROWS[16:32], LABELS[16:32], batch_size=16, shuffle=False, verbose=0)
        twin.set_weights(weights)
    twin.fit(ROWS[32:], LABELS[32:], batch_size=16, shuffle=False, verbose=0)
    life, other = life_after(model), life_after(twin)
    assert rename(life, model) == rename(other, twin)


def test_another_thread_loads_no_weights_while_a_model_is_trained(tmp_path):
    model = with_fault((), "forward")
    model.save_weights(tmp_path / "w.weights.h5")
    errors = []

    def load():
        try:
            model.load_weights(tmp_path / "w.weights.h5")
        except ValueError as error:
            errors.append(str(error))

    class InAThread(Callback):
        def on_train_batch_end(self, batch, logs=None):
            thread = threading.Thread(target=load)
            thread.start()
            thread.join()

    model.fit(ROWS, LABELS, callbacks=[InAThread()], verbose=0)
    assert len(errors) == 2
    assert all("load_weights: expected" in one and "to be at rest" in one for one in errors)


def test_a_copy_made_while_a_model_is_trained_is_at_rest():
    made = []
    model = with_fault((), "forward")
    model.fit(ROWS, LABELS, callbacks=[Meddles(lambda m: made.append(copy.copy(m)))], verbose=0)
    made[0].compile("sgd", SPARSE)
    made[0].fit(ROWS, LABELS, verbose=0)


class Fault(Layer):
    """Hands everything on, but in some steps it spoils one number of y, or of dx."""

    def __init__(self, steps, way, value=np.nan, **kwargs):
        super().__init__(**kwargs)
        self.steps, self.way, self.value, self.now = steps, way, value, -1

    def seek(self, step, sample):
        self.now = step

    def forward(self, x, training=False):
        x = self._input(x).copy()
        self._cache = (self.now,)
        if training and self.way == "forward" and self.now in self.steps:
            x.flat[0] = self.value
        return x

    def backward(self, dy):
        dy, (now,) = self._recall(dy)
        dx = dy.copy()
        if self.way == "backward" and now in self.steps:
            dx.flat[0] = self.value
        return dx


def with_fault(*fault, optimizer=None):
    set_random_seed(5)
    model = Sequential(
        [
            BatchNormalization(input_shape=(4,)),
            Dense(6, activation="tanh", name="below"),
            Fault(*fault, name="fault"),
            Dropout(0.3),
            Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer or SGD(0.1, momentum=0.9), SPARSE, metrics=["accuracy"])
    return model


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("way", "names"),
    [("forward", "the output of Fault 'fault'"), ("backward", "in Dense 'below'")],
)
def test_fit_stops_at_nan_with_the_last_whole_step(way, value, names):
    faulty = {2}
    model, twin = (with_fault(faulty, way, value) for _ in range(2))
    with pytest.raises(FloatingPointError) as caught:
        model.fit(ROWS, LABELS, batch_size=16, shuffle=False, verbose=0)
    assert names in str(caught.value)
    assert "step 3" in str(caught.value)
    for start in (0, 16):
        twin.train_on_batch(ROWS[start : start + 16], LABELS[start : start + 16])
    assert rename(life_after(model), model) == rename(life_after(twin), twin)

    faulty.clear()  # the fault is gone: both go on alike
    for one in (model, twin):
        one.fit(ROWS, LABELS, batch_size=16, shuffle=False, verbose=0)
    assert rename(life_after(model), model) == rename(life_after(twin), twin)


def rename(life, model):
    """Without the automatic names, which count through the process."""
    for number, layer in enumerate(model.layers):
        life = {k.replace(f"{layer.name}/", f"{number}/"): v for k, v in life.items()}
    return life


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("make", [lambda lr: SGD(lr, 0.9), lambda lr: SGD(lr, 0.9, True)])
def test_an_overflowing_step_leaves_optimizer_and_weights_unchanged(make):
    """Else the first sane step after it would follow an infinite momentum."""
    model, twin = (with_fault((), "forward", optimizer=make(0.01)) for _ in range(2))
    for one in (model, twin):
        one.train_on_batch(ROWS, LABELS)
    model.optimizer.learning_rate = 1e300
    with pytest.raises(FloatingPointError, match=r"the step of SGD.* step 2"):
        model.train_on_batch(ROWS, LABELS)
    model.optimizer.learning_rate = 0.01
    assert rename(life_after(model), model) == rename(life_after(twin), twin)
    for one in (model, twin):
        one.train_on_batch(ROWS, LABELS)
    assert rename(life_after(model), model) == rename(life_after(twin), twin)


@pytest.mark.usefixtures("_threads")
def test_inputs_too_large_stop_fit_by_name_and_without_warnings():
    """Warnings are errors here, in the threads that work on the shards too."""
    model = Sequential([Dense(6, name="below", input_shape=(4,)), Dense(3)])
    model.compile("sgd", "mse")
    model.fit(ROWS, np.eye(3)[LABELS], verbose=0)
    before = life_after(model)
    with pytest.raises(FloatingPointError, match=r"(the output of Dense|the loss).* step 3"):
        model.fit(np.full((64, 4), 1e38), np.eye(3)[LABELS], verbose=0)
    assert life_after(model) == before


class Broken(Layer):
    """Fails in the middle of a step, as a layer of a user's own may."""

    def forward(self, x, training=False):
        raise OSError("no such device")


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "evaluate", "predict"])
def test_an_error_of_a_users_layer_comes_through_and_leaves_the_weights(call):
    model = Sequential([BatchNormalization(input_shape=(4,)), Dense(3), Broken()])
    model.compile("adam", "mse")
    before = life_after(model)
    arguments = (ROWS,) if call == "predict" else (ROWS, np.eye(3)[LABELS])
    with pytest.raises(OSError, match="no such device"):
        getattr(model, call)(*arguments)
    assert life_after(model) == before


@pytest.mark.parametrize("label", [10, 12, 1000, 2**40, -1, -(2**40)])
@pytest.mark.parametrize("jit", ["auto", False])
def test_labels_that_change_during_fit_are_refused_in_the_batch(label, jit):
    model = network(jit_compile=jit)
    y = CLASSES.copy()
    saved = []

    def change():
        saved.append(model.flat_params.copy())
        y[:] = label

    with pytest.raises(ValueError, match=rf"labels from 0 to 9.*received {label}.*were valid when"):
        model.fit(IMAGES, y, batch_size=32, shuffle=False, verbose=0, callbacks=[At(1, change)])
    np.testing.assert_array_equal(model.flat_params, saved[0])


def test_labels_that_change_during_validation_and_evaluate():
    y = CLASSES.copy()

    class Changes(Callback):
        def on_test_batch_end(self, batch, logs=None):
            y[:] = 99

    model = network()
    with pytest.raises(ValueError, match="received 99"):
        model.evaluate(IMAGES, y, batch_size=32, verbose=0, callbacks=[Changes()])
    y[:] = CLASSES
    with pytest.raises(ValueError, match="received 99"):
        model.fit(IMAGES, CLASSES, validation_data=(IMAGES, y), verbose=0, callbacks=[Changes()])


@pytest.mark.parametrize("loss", ["mse", "categorical_crossentropy"])
def test_other_targets_that_change(loss):
    y = np.eye(10)[CLASSES]
    model = network(loss)
    with pytest.raises(ValueError, match="received nan"):
        model.fit(IMAGES, y, verbose=0, callbacks=[At(0, lambda: y.fill(np.nan))])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("jit", ["auto", False])
def test_inputs_that_become_nan_are_refused_in_the_batch(value, dtype, jit):
    """Also one cell that max-pooling might pass over."""
    model = network(jit_compile=jit)
    x = IMAGES.astype(dtype)

    def change():
        x[:, 5, 5] = value

    with pytest.raises(ValueError, match="x to be finite.*were valid when the call began"):
        model.fit(x, CLASSES, verbose=0, callbacks=[At(0, change)])
    x = IMAGES.astype(dtype)

    class Changes(Callback):
        def on_predict_batch_begin(self, batch, logs=None):
            change()

    with pytest.raises(ValueError, match="x to be finite"):
        model.predict(x, verbose=0, callbacks=[Changes()])


def test_inputs_that_no_longer_fit_into_float32():
    x = IMAGES.astype(np.float64)
    model = network()
    with pytest.raises(ValueError, match="fit into float32.*received 1e\\+300"):
        model.fit(x, CLASSES, verbose=0, callbacks=[At(0, lambda: x.fill(1e300))])


@pytest.mark.parametrize("jit", ["auto", False])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_named_by_predict_and_evaluate(jit, value):
    model = network(jit_compile=jit)
    model.layers[0].params["W"][0, 0, 0, 2] = value
    name = model.layers[0].name
    for call in (
        lambda: model.predict(IMAGES, verbose=0),
        lambda: model.predict_on_batch(IMAGES),
        lambda: model.evaluate(IMAGES, CLASSES, verbose=0),
        lambda: model.test_on_batch(IMAGES, CLASSES),
        lambda: model(IMAGES),
    ):
        with pytest.raises(FloatingPointError, match=f"the output of Conv2D '{name}' is NaN or"):
            call()

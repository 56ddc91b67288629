"""Sequential: structure, summary, weights."""

import collections
import copy
import gc
import os
import pickle
import sys

import numpy as np
import pytest

from minicnn import Input, Sequential
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D, ReLU
from minicnn.optimizers import Adam

pytestmark = pytest.mark.both_ways
rng = np.random.default_rng(50)


def tutorial():
    return Sequential(
        [
            Conv2D(filters=32, kernel_size=3, activation="relu", input_shape=(28, 28, 1)),
            MaxPooling2D(pool_size=2),
            Dropout(0.2),
            Flatten(),
            Dense(32, activation="relu"),
            Dense(10, activation="softmax"),
        ]
    )


def deeper(first=32, second=64, units=128):
    """The tutorial's deeper model."""
    return Sequential(
        [
            Conv2D(first, 3, activation="relu", padding="same", input_shape=(28, 28, 1)),
            Conv2D(first, 3, activation="relu", padding="same"),
            MaxPooling2D(2),
            Dropout(0.25),
            Conv2D(second, 3, activation="relu", padding="same"),
            Conv2D(second, 3, activation="relu", padding="same"),
            MaxPooling2D(2),
            Dropout(0.25),
            Flatten(),
            Dense(units, activation="relu"),
            Dropout(0.5),
            Dense(10, activation="softmax"),
        ]
    )


def small(**options):
    return Sequential([Dense(4, activation="relu", input_shape=(3,), **options), Dense(2)])


def test_parameters_of_the_tutorial():
    model = tutorial()
    assert model.count_params() == 173_738
    assert [layer.count_params() for layer in model.layers] == [320, 0, 0, 0, 173_088, 330]
    assert (model.input_shape, model.output_shape) == ((None, 28, 28, 1), (None, 10))
    assert [w.shape for w in model.get_weights()] == [
        (3, 3, 1, 32),
        (32,),
        (5408, 32),
        (32,),
        (32, 10),
        (10,),
    ]
    assert model.flat_params.shape == (173_738,)


def test_parameters_of_the_deeper_model():
    model = deeper()
    assert model.count_params() == 467_818
    counts = [layer.count_params() for layer in model.layers if layer.params]
    assert counts == [320, 9_248, 18_496, 36_928, 401_536, 1_290]


# -- building -------------------------------------------------------------------------------------


def test_three_ways_to_say_the_input_shape():
    one = Sequential([Input(shape=(3,)), Dense(2)])
    two = Sequential([Dense(2, input_shape=(3,))])
    three = Sequential([Dense(2)])
    three.build((None, 3))
    for model in (one, two, three):
        assert model.built
        assert model.count_params() == 8
        assert len(model.layers) == 1


def test_a_model_without_input_shape_is_built_by_its_first_data():
    model = Sequential([Dense(2)])
    assert not model.built
    for what in (model.count_params, model.get_weights, lambda: model.set_weights([])):
        with pytest.raises(ValueError, match="built model"):
            what()
    for name in ("input_shape", "output_shape"):
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=f"{name} is not known yet. Give the first layer"):
            getattr(model, name)
    with pytest.raises(ValueError, match="expected an input_shape"):
        model.build()
    model.compile("sgd", "mse")
    model.fit(np.zeros((5, 3)), np.zeros((5, 2)), verbose=0)
    assert model.input_shape == (None, 3)
    assert model(np.zeros((1, 3))).shape == (1, 2)


def test_add_builds_as_it_goes_and_keeps_what_is_there():
    model = Sequential()
    model.add(Input((6, 6, 1)))
    model.add(Conv2D(2, 3))
    before = model.get_weights()
    model.add(Flatten())
    model.add(Dense(3))
    assert model.output_shape == (None, 3)
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_a_layer_outlives_its_model():
    layer = small().layers[0]
    gc.collect()
    assert Sequential([layer]).count_params() == 16


def test_pop_gives_the_layer_back_whole():
    model = small()
    top = model.pop()
    assert model.output_shape == (None, 4)
    assert model.flat_params.size == 16
    assert top.params["W"].base is None
    other = Sequential([Input((4,)), top])
    assert other.predict(np.ones((1, 4)), verbose=0).shape == (1, 2)
    model.pop()
    assert not model.built
    with pytest.raises(ValueError, match="no layers to pop"):
        model.pop()


def test_one_dtype_a_model():
    assert small(dtype="float64").predict(np.ones((1, 3)), verbose=0).dtype == np.float64
    assert small().dtype == np.float32
    with pytest.raises(ValueError, match="one dtype"):
        Sequential([Dense(2, dtype="float64", input_shape=(2,)), Dense(2, dtype="float32")])


def test_get_layer():
    model = small(name="first")
    assert model.get_layer("first") is model.layers[0]
    assert model.get_layer(index=-1) is model.layers[1]
    with pytest.raises(
        ValueError, match="no such layer: 'last'. Existing layers are: first, dense"
    ):
        model.get_layer("last")
    with pytest.raises(ValueError, match="there are 2"):
        model.get_layer(index=2)
    with pytest.raises(ValueError, match="either"):
        model.get_layer()


# -- one vector -----------------------------------------------------------------------------------


def joined(model):
    """Whether layers and vectors are the same memory."""
    return all(
        np.shares_memory(layer.params[key], model.flat_params)
        and np.shares_memory(layer.grads[key], model.flat_grads)
        for layer in model.layers
        for key in layer.params
    )


def test_layers_see_the_vector_and_the_vector_sees_the_layers():
    model = small()
    assert joined(model)
    model.flat_params[:] = np.arange(26)
    np.testing.assert_array_equal(model.layers[0].params["W"].ravel(), np.arange(12))
    np.testing.assert_array_equal(model.layers[1].params["b"], [24, 25])
    model.layers[0].params["W"][0, 0] = -5
    assert model.flat_params[0] == -5


@pytest.mark.parametrize("twin_of", [copy.deepcopy, copy.copy])
def test_a_copy_of_a_layer_shares_nothing_with_it(twin_of):
    one = Sequential([Dense(2, activation="tanh", input_shape=(4,))])
    layer = twin_of(one.layers[0])
    other = Sequential([layer])
    x, before = np.ones((8, 4)), one.flat_params.copy()
    np.testing.assert_array_equal(other.predict(x, verbose=0), one.predict(x, verbose=0))
    assert layer.activation is not one.layers[0].activation
    for model in (one, other):
        model.compile("sgd", "mse")
    other.fit(x, np.full((8, 2), 0.5), verbose=0)
    np.testing.assert_array_equal(one.flat_params, before)
    assert (other.flat_params != before).any()
    assert np.shares_memory(one.layers[0].params["W"], one.flat_params)


@pytest.mark.parametrize(
    "twin_of", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_a_copy_is_whole_and_its_own(twin_of):
    model = small()
    model.compile(Adam(), "mse")
    x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 2))
    model.fit(x, y, verbose=0)
    twin = twin_of(model)
    assert joined(twin)
    np.testing.assert_array_equal(twin.predict(x, verbose=0), model.predict(x, verbose=0))
    before = model.get_weights()
    twin.fit(x, y, verbose=0)
    assert not np.array_equal(twin.flat_params, model.flat_params)
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(twin.flat_params, model.flat_params)


def test_weights_go_out_and_in():
    model, twin = small(), small()
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.flat_params, twin.flat_params)
    model.get_weights()[0][:] = 0
    assert model.layers[0].params["W"].any()
    for wrong in (model.get_weights()[:-1], [*model.get_weights()[:-1], np.zeros(3)]):
        with pytest.raises(ValueError, match="expected"):
            model.set_weights([np.zeros((3, 4)), *wrong[1:]])
        np.testing.assert_array_equal(model.flat_params, twin.flat_params)


def test_forward_and_backward_walk_the_layers():
    model = small()
    x, dy = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    y = model.forward(x)
    np.testing.assert_allclose(y, model.predict(x, verbose=0), rtol=1e-6)
    dx = model.backward(dy)
    assert dx.shape == x.shape
    np.testing.assert_allclose(model.layers[1].grads["b"], dy.sum(axis=0), rtol=1e-5, atol=1e-6)
    assert model.flat_grads.any()


class Scale(Layer):
    """A user's layer, which puts an array of its own into `grads`."""

    def build(self, input_shape):
        from minicnn.initializers import Ones

        self.add_param("s", (input_shape[-1],), Ones())
        super().build(input_shape)

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = x
        return x * self.params["s"]

    def backward(self, dy):
        dy, x = self._recall(dy)
        self.grads["s"] = (x * dy).sum(axis=0)
        return dy * self.params["s"]


def test_a_users_own_layer_learns():
    model = Sequential([Scale(input_shape=(2,))])
    model.compile("sgd", "mse")
    x = rng.standard_normal((256, 2))
    model.fit(x, x * [3, -2], epochs=60, batch_size=16, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], [3, -2], atol=0.05)
    assert joined(model)


# -- summary --------------------------------------------------------------------------------------


def test_summary_of_an_unbuilt_model(capsys):
    Sequential([Dense(2, name="top"), ReLU()]).summary(line_length=80)
    out = capsys.readouterr().out
    assert "│ top (Dense)" in out
    assert "? " in out
    assert "0 (unbuilt)" in out
    assert " Total params: 0 (0.00 B)" in out


def test_summary_goes_where_it_is_told(capsys):
    lines = []
    small().summary(print_fn=lines.append)
    assert capsys.readouterr().out == ""
    assert " Total params: 26 (104.00 B)" in "\n".join(lines)


@pytest.mark.parametrize(("columns", "width"), [("60", 56), ("200", 88)])
def test_summary_is_as_wide_as_the_terminal_and_at_most_88(monkeypatch, capsys, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    tutorial().summary()
    table = capsys.readouterr().out.splitlines()[1:-3]
    assert {len(line) for line in table} == {width} if columns == "200" else {len(table[0])}
    assert os.environ["COLUMNS"] == columns


def test_summary_counts_what_is_frozen_and_what_the_optimizer_holds(capsys):
    model = small()
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    model.summary()
    out = capsys.readouterr().out
    assert " Total params: 80 (320.00 B)" in out
    assert " Trainable params: 10 (40.00 B)" in out
    assert " Non-trainable params: 16 (64.00 B)" in out
    assert " Optimizer params: 54 (216.00 B)" in out


@pytest.mark.in_ci
def test_the_work_of_putting_layers_together_grows_with_their_number():
    def calls(count, nested):
        made = [ReLU() if k % 2 else Dense(2) for k in range(count)]
        if nested:
            made = [Sequential(made[k : k + 10]) for k in range(0, count, 10)]
        seen = collections.Counter()
        sys.setprofile(lambda frame, event, arg: seen.update([event]))
        try:
            Sequential([Input((2,)), *made])
        finally:
            sys.setprofile(None)
        return seen["call"]

    for nested in (False, True):
        calls(20, nested)  # what is done once
        assert calls(400, nested) < 4.5 * calls(100, nested)

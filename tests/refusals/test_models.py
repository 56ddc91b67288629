"""Layers and shapes that a model refuses, and builds that fail."""

import functools

import numpy as np
import pytest

from minicnn import Input, Sequential
from minicnn.initializers import GlorotUniform
from minicnn.layers import Conv2D, Dense, Layer, MaxPooling2D
from refusals.helpers import X, Y, life_of, refused, trained


@pytest.mark.parametrize("wrong", [28, "28", (None, -3), (None, 2.5), (None, "a"), (None, None)])
def test_build_wants_a_shape(wrong):
    model = Sequential([Dense(2)])
    with refused((TypeError, ValueError), "expected", str(wrong), model=model):
        model.build(wrong)


@pytest.mark.parametrize(
    ("layer", "shape", "hint"),
    [
        (lambda: Dense(3), (4,), "received (4,). Write build((None, 4))"),
        (lambda: Conv2D(2, 3), (28, 28, 1), "received (28, 28, 1). Write build((None, 28, 28, 1))"),
    ],
)
def test_build_without_the_batch_axis(layer, shape, hint):
    model = Sequential([layer()])
    with refused(ValueError, "expected input_shape to have the batch axis first", hint):
        model.build(shape)
    assert not model.built
    model.build((None, *shape))
    with refused(ValueError, "Add a channel axis", model=(other := Sequential([Conv2D(2, 3)]))):
        other.build((None, 28, 28))


@pytest.mark.parametrize("wrong", [3, Dense(2), "Dense", {"top": Dense(2)}, [None], [Dense]])
def test_a_model_is_made_of_a_list_of_layers(wrong):
    error = ValueError if isinstance(wrong, list) else TypeError
    with refused(error, "expected a l", "received"):
        Sequential(wrong)


@functools.cache  # which keeps it alive, too
def other():
    return trained()


WRONG_LAYERS = {
    "no layer": (lambda: "relu", ValueError, "received 'relu'"),
    "a class": (lambda: Dense, ValueError, "expected a layer such as Dense(10)"),
    "a model": (lambda: Sequential(), ValueError, "received <Sequential"),
    "pool too large": (lambda: MaxPooling2D(9), ValueError, "9x9 windows on 8x8 cells"),
    "a name that is taken": (lambda: Dense(2, name="first"), ValueError, "a second 'first'"),
    "another float type": (lambda: Dense(2, dtype="float64"), ValueError, "float32', 'float64'"),
    "Input in the middle": (lambda: Input((8, 8, 1)), ValueError, "Input to come first"),
    "a layer of another model": (lambda: other().layers[-1], ValueError, "for which it was built"),
    "built for 3 channels": (lambda: built_for_three(), ValueError, "expected 3 input channels"),
}


def built_for_three():
    layer = Conv2D(2, 2)
    layer.build((None, 8, 8, 3))
    return layer


@pytest.mark.parametrize("wrong", WRONG_LAYERS)
def test_a_layer_that_does_not_fit_is_not_added(wrong):
    make, error, words = WRONG_LAYERS[wrong]
    model = Sequential([Conv2D(2, 1, name="first", input_shape=(8, 8, 1))])
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((20, 8, 8, 2)), verbose=0)
    layer = make()
    with refused(error, words, model=model):
        model.add(layer)
    assert model.predict(X, verbose=0).shape == (20, 8, 8, 2)


class Breaks(Layer):
    """Its build makes a parameter, draws, and then ends in an error that is no one's business."""

    def __init__(self, error, **kwargs):
        super().__init__(**kwargs)
        self.error = error

    def build(self, input_shape):
        self.add_param("W", (3,), GlorotUniform())
        self.add_state("mean", (3,), GlorotUniform())
        if self.error is not None:
            raise self.error
        super().build(input_shape)

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        return x

    def backward(self, dy):
        return self._recall(dy)[0]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_a_failed_build_changes_nothing(error):
    model = trained()
    layer = Breaks(error("mine"), name="breaks")
    before, views = life_of(model), [layer.params["W"] for layer in model.layers[::5]]
    for _ in range(2):
        with pytest.raises(error, match="mine"):
            model.add(layer)
        assert life_of(model) == before
        assert [layer.params["W"] for layer in model.layers[::5]] == views
        assert (layer.built, layer.params, layer.grads, layer.state) == (False, {}, {}, {})
        assert (layer.rng, layer.dtype) == (None, None)
    model.fit(X, Y, verbose=0)
    layer.error = None
    Sequential([Dense(3, input_shape=(2,)), layer])  # it belongs to no one


def test_a_failed_first_build_changes_nothing():
    model = Sequential([Dense(4, name="first"), Breaks(RuntimeError("mine"))])
    model.compile("sgd", "mse")
    before = life_of(model)
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(np.ones((4, 2)), np.ones((4, 4)), verbose=0)
    assert life_of(model) == before
    assert not model.layers[0].params


def test_a_layer_of_another_package_is_named_with_it():
    class Other:
        __module__ = "keras.src.layers.core.dense"

        def call(self, x):
            return x

        def __repr__(self):
            return "<Dense name=dense, built=False>"

    with pytest.raises(ValueError, match="of the package 'keras': import it from minicnn.layers"):
        Sequential([Other()])
    with pytest.raises(ValueError, match="Dense"):
        Sequential().add({})


@pytest.mark.parametrize("wrong", ["a", -1, 0, 2.5, True])
def test_the_batch_axis_of_build(wrong):
    with pytest.raises((TypeError, ValueError), match="the batch axis of input_shape"):
        Sequential([Dense(2)]).build((wrong, 4))


@pytest.mark.both_ways
def test_a_refused_layer_leaves_the_model_unchanged():
    model = Sequential([Conv2D(2, 3, input_shape=(6, 6, 1))])
    weights, vector = model.get_weights(), model.flat_params
    with pytest.raises(ValueError, match="smaller windows"):
        model.add(Conv2D(2, 5))
    assert len(model.layers) == 1
    assert model.flat_params is vector
    for one, other in zip(weights, model.get_weights()):
        np.testing.assert_array_equal(one, other)

    unbuilt = Sequential([Dense(2), MaxPooling2D(2)])
    with pytest.raises(ValueError, match="max_pooling2d.*expected input of shape"):
        unbuilt.build((None, 5))
    assert not unbuilt.built
    assert all(layer.awaits_build for layer in unbuilt.layers)


@pytest.mark.both_ways
def test_a_model_refuses_what_is_no_layer():
    model = Sequential()
    with pytest.raises(ValueError, match="expected a layer"):
        model.add("Dense")
    with pytest.raises(ValueError, match="expected a layer"):
        model.add(Dense)
    with pytest.raises(TypeError, match="list of layers"):
        Sequential(Dense(2))
    model.add(Dense(2, name="one"))
    with pytest.raises(ValueError, match="unique names, received a second 'one'"):
        model.add(Dense(2, name="one"))
    with pytest.raises(ValueError, match="Input to come first"):
        model.add(Input((2,)))
    with pytest.raises(ValueError, match="no layers"):
        Sequential().build((None, 2))

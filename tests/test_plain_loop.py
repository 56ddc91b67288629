"""The loop that is there to be read trains as `fit` does, to the last bit."""

import copy

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    Softmax,
)
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.training import plain
from minicnn.utils import set_random_seed

rng = np.random.default_rng(8)
IMAGES, LABELS = rng.random((26, 8, 8, 1), np.float32), rng.integers(0, 3, 26)

BODIES = {
    "dense": lambda: [Flatten(), Dense(7, activation="tanh")],
    "convolutions": lambda: [
        Conv2D(4, 3, activation="relu"),
        MaxPooling2D(2),
        Conv2D(3, 2),
        Flatten(),
    ],
    "dropout": lambda: [Flatten(), Dense(9, activation="relu"), Dropout(0.4)],
    "batch normalization": lambda: [Conv2D(4, 3), BatchNormalization(), Flatten()],
    "a model inside": lambda: [Sequential([Conv2D(2, 3), Dropout(0.2)]), Flatten()],
}


def compiled(body, optimizer, *top):
    set_random_seed(9)
    model = Sequential([Input((8, 8, 1)), *BODIES[body](), Dense(3), *top])
    loss = SparseCategoricalCrossentropy(from_logits=not top)
    model.compile(optimizer, loss, jit_compile=False)
    return model


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
@pytest.mark.parametrize("body", BODIES)
def test_weights_are_bit_equal_to_fits_on_one_shard(body, optimizer):
    model = compiled(body, optimizer)
    if body == "dense":
        model.layers[1].trainable = False
        model.compile(optimizer, model.loss, jit_compile=False)
    twin = copy.deepcopy(model)
    history = plain.fit(model, IMAGES, LABELS, batch_size=8, epochs=3)
    theirs = twin.fit(IMAGES, LABELS, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert [a.tobytes() for a in model.get_weights()] == [a.tobytes() for a in twin.get_weights()]
    np.testing.assert_allclose(history, theirs, rtol=1e-6)
    assert model.steps_taken == twin.steps_taken == 12


def test_behind_a_softmax_it_agrees_within_rounding():
    model = compiled("convolutions", "sgd", Softmax())
    twin = copy.deepcopy(model)
    plain.fit(model, IMAGES, LABELS, batch_size=8, epochs=2)
    twin.fit(IMAGES, LABELS, batch_size=8, epochs=2, verbose=0)
    np.testing.assert_allclose(model.flat_params, twin.flat_params, atol=1e-6)


def test_it_goes_on_where_fit_has_stopped():
    model = compiled("dropout", "adam")
    twin = copy.deepcopy(model)
    model.fit(IMAGES, LABELS, batch_size=8, verbose=0)
    plain.fit(model, IMAGES, LABELS, batch_size=8)
    twin.fit(IMAGES, LABELS, batch_size=8, epochs=2, verbose=0)
    np.testing.assert_array_equal(model.flat_params, twin.flat_params)

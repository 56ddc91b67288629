"""The engine's pooling and what stands behind convolutions, against the layers: `engine/stages.py`.

Networks of such layers are drawn in `test_engine.py`; here are ties, NaN, windows beyond the image
and the plan's words.
"""

import numpy as np
import pytest

from minicnn import Sequential, set_num_threads
from minicnn.engine import threads
from minicnn.engine.lanes import Lane
from minicnn.engine.stages import ActivationStage, PoolingStage
from minicnn.layers import (
    GELU,
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Input,
    MaxPooling2D,
    ReLU,
    Tanh,
)
from minicnn.utils import set_random_seed

POOLINGS = [
    kind(pool_size, strides, padding)
    for kind in (MaxPooling2D, AveragePooling2D)
    for pool_size, strides, padding in [
        (2, None, "valid"),
        (3, 2, "same"),
        ((2, 3), (1, 2), "valid"),
        ((4, 1), (3, 2), "same"),
        (1, 3, "same"),
        (9, 1, "same"),
    ]
]
POOLINGS += [
    kind(keepdims=keepdims)
    for kind in (GlobalAveragePooling2D, GlobalMaxPooling2D)
    for keepdims in (False, True)
]
SHAPES = [(3, 8, 7, 6), (2, 5, 9, 1), (1, 4, 4, 40)]
NUMBERS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "ties": lambda rng, shape: rng.integers(-2, 2, shape),
    "equal": lambda rng, shape: np.full(shape, -3.0),
}


def both(layer, x, rng):
    """y and dx of the engine's stage and of the layer."""
    x = x.astype(np.float32)
    stage = PoolingStage([layer], needs_dx=True)
    ours, theirs = stage.forward(x, True), layer.forward(x, True)
    dy = rng.standard_normal(theirs.shape).astype(np.float32)
    return (ours, stage.backward(dy)), (theirs, layer.backward(dy))


@pytest.mark.parametrize("layer", [MaxPooling2D(2), GlobalAveragePooling2D()])
def test_images_of_another_size_are_pooled_anew(layer):
    stage = PoolingStage([layer], needs_dx=True)
    for size in (6, 4, 6):
        x = np.random.default_rng(1).standard_normal((2, size, size, 3)).astype(np.float32)
        np.testing.assert_allclose(stage.forward(x, True), layer.forward(x, True), atol=1e-6)


@pytest.mark.parametrize("values", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layer", POOLINGS, ids=lambda layer: layer.name)
def test_pooling_is_that_of_the_layer(layer, shape, values):
    rng = np.random.default_rng(1)
    for ours, theirs in zip(*both(layer, NUMBERS[values](rng, shape), rng)):
        assert ours.shape == theirs.shape
        if isinstance(layer, MaxPooling2D):
            np.testing.assert_array_equal(ours, theirs)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("layer", POOLINGS, ids=lambda layer: layer.name)
def test_nan_and_infinities_are_pooled_as_by_the_layer(layer):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4, 8, 7, 6))
    x[rng.random(x.shape) < 0.1] = np.nan
    x[1] = np.inf
    x[2] = -np.inf
    x[3, 4:] = np.nan
    for ours, theirs in zip(*both(layer, x, rng)):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)


def plan(*layers, shape=(12, 12, 4)):
    return Sequential([Input(shape), *layers]).plan()


@pytest.mark.parametrize(
    ("layers", "runs", "words"),
    [
        ([Conv2D(4, 3, activation="tanh"), Dropout(0.5)], [(0, 1)], "Tanh, dropout in a second"),
        ([Conv2D(4, 1), Tanh(), Dropout(0.5)], [(0, 1, 2)], "as a matrix product, Tanh, dropout"),
        ([Conv2D(4, 5), Tanh(), Dropout(0.5)], [(0, 1, 2)], "Tanh, dropout in a second pass"),
        ([Conv2D(4, 5, activation="softmax"), Dropout(0.5)], [(0,), (1,)], "Softmax as a layer"),
        ([Conv2D(4, 3), ReLU(), MaxPooling2D(), Dropout(0.5)], [(0, 1, 2, 3)], "ReLU, 2x2 max"),
        ([Conv2D(4, 3), Activation("relu")], [(0, 1)], "convolution, ReLU sixteen images"),
        ([Conv2D(4, 3), ReLU(6)], [(0, 1)], "ReLU in a second pass"),
        ([Conv2D(4, 3, activation="relu"), Tanh()], [(0,), (1,)], "Tanh in one pass"),
        ([BatchNormalization(), GELU(), Dropout(0.5)], [(0,), (1, 2)], "GELU and dropout"),
        ([AveragePooling2D((3, 2)), Dropout(0.5)], [(0,), (1,)], "3x2 average-pooling in one"),
        ([GlobalMaxPooling2D(), Dense(4), Tanh()], [(0,), (1, 2)], "global max-pooling in one"),
        ([Flatten(), Dense(4), GELU(), Dropout(0.5)], [(0, 1, 2, 3)], "bias, GELU, dropout"),
        ([Activation("linear"), MaxPooling2D(3)], [(0,), (1,)], "3x3 max-pooling in one pass"),
    ],
    ids=str,
)
def test_the_plan_says_what_runs_in_one_pass(layers, runs, words):
    found = plan(*layers)
    assert [entry.layers for entry in found.entries] == runs
    assert words in str(found)


@pytest.mark.parametrize("activation", ["tanh", "gelu", "relu6", "softmax"])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("channels", "size", "n"), [(1, 3, 5), (4, 3, 5), (3, 5, 5), (3, 5, 17), (4, 1, 5)]
)
def test_an_activation_behind_every_convolution(channels, size, n, apart, activation):
    """Inside the layer and behind it, with dropout: forward and all gradients."""
    filters = 4 if channels == 1 else 8  # as other tests have: each number is compiled for
    conv = [Conv2D(filters, size, padding="same", bias_initializer="glorot_uniform")]
    if apart:
        conv.append(Activation(activation))
    else:
        conv[0].activation = activation
    learns = [Dense(channels)] * (channels > 1)
    layers = [*learns, *conv, Dropout(0.4, seed=1), AveragePooling2D(3), Flatten(), Dense(3)]
    model = Sequential([Input((9, 8, channels)), *layers])
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, 9, 8, channels)).astype(np.float32)
    gradient = np.full(model.flat_params.size, np.nan, np.float32)
    lane = Lane(model.plan(), gradient)
    np.testing.assert_allclose(lane.forward(x), model.forward(x), rtol=1e-4, atol=1e-5)
    lane.seek(5, 7)
    y = lane.forward(x, True).copy()
    for layer in model.layers:
        layer.seek(5, 7)
    np.testing.assert_allclose(y, model.forward(x, training=True), rtol=1e-4, atol=1e-5)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    assert list(lane.backward_in_phases(dy)) == []
    model.backward(dy)
    np.testing.assert_allclose(gradient, model.flat_grads, rtol=1e-3, atol=1e-4)


def lenet():
    return Sequential(
        [
            Input((28, 28, 1)),
            Conv2D(6, 5, padding="same", activation="tanh"),
            AveragePooling2D(),
            Conv2D(16, 5, activation="tanh"),
            AveragePooling2D(),
            Flatten(),
            Dense(120, activation="tanh"),
            Dropout(0.3),
            Dense(84, activation="gelu"),
            Dense(10, activation="softmax"),
        ]
    )


@pytest.mark.in_ci
def test_bits_of_a_lenet_do_not_depend_on_threads():
    rng = np.random.default_rng(4)
    x, y = rng.random((70, 28, 28)), rng.integers(0, 10, 70)
    before, results = threads.get_num_threads(), []
    try:
        for n in (1, 2, 4, 8):
            set_num_threads(n)
            set_random_seed(1)
            model = lenet()
            model.compile("adam", "sparse_categorical_crossentropy")
            model.fit(x, y, batch_size=40, epochs=2, verbose=0)
            results.append((model.flat_params.copy(), model.predict(x, verbose=0)))
    finally:
        set_num_threads(before)
    for params, p in results[1:]:
        np.testing.assert_array_equal(params, results[0][0])
        np.testing.assert_array_equal(p, results[0][1])


@pytest.mark.parametrize("shape", [(9, 7, 5, 6), (9, 37)])
def test_where_a_shard_begins_changes_no_bit(shape):
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape).astype(np.float32)
    stages = [ActivationStage([GELU()])]
    stages += [PoolingStage([AveragePooling2D(3, 2)], needs_dx=True)] * (len(shape) == 4)
    for stage in stages:
        y = stage.forward(x, True).copy()
        dy = rng.standard_normal(y.shape).astype(np.float32)
        dx = stage.backward(dy).copy()
        for part in (slice(0, 1), slice(3, 4), slice(2, 9)):
            np.testing.assert_array_equal(stage.forward(x[part], True), y[part])
            np.testing.assert_array_equal(stage.backward(dy[part]), dx[part])

"""Batch normalization in the engine: shards that agree on a batch's statistics."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import Sequential, layers
from minicnn.engine import normalization
from minicnn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    ReLU,
)

NETWORKS = {
    "before ReLU": lambda: [
        Input((12, 12, 1)),
        Conv2D(8, 3, padding="same", use_bias=False),
        BatchNormalization(),
        ReLU(),
        MaxPooling2D(),
        Dropout(0.3, seed=1),
        Conv2D(8, 3, use_bias=False),
        BatchNormalization(),
        Activation("relu"),
        Flatten(),
        Dense(16, use_bias=False),
        BatchNormalization(),
        ReLU(),
        Dropout(0.2, seed=2),
        Dense(4, "softmax"),
    ],
    "behind ReLU": lambda: [
        Input((13, 13, 1)),
        Conv2D(8, 3, padding="same", activation="relu"),
        BatchNormalization(momentum=0.8, epsilon=0.01),
        Conv2D(8, 3, activation="relu"),
        BatchNormalization(scale=False),
        MaxPooling2D(),
        Dropout(0.3, seed=1),
        Flatten(),
        Dense(16, "relu"),
        BatchNormalization(center=False),
        Dense(4, "softmax"),
    ],
    "of the inputs": lambda: [
        Input((8, 8, 3)),
        BatchNormalization(),
        Conv2D(8, 3, activation="relu"),
        MaxPooling2D(),
        BatchNormalization(),
        MaxPooling2D(),
        Flatten(),
        Dense(4, "softmax"),
    ],
    "frozen": lambda: [
        Input((8, 8, 1)),
        Conv2D(8, 3, use_bias=False),
        BatchNormalization(trainable=False),
        ReLU(),
        MaxPooling2D(),
        Flatten(),
        Dense(4, "softmax"),
    ],
}


def batch(n, shape, seed=1):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, *shape)) * 2 + 5).astype(np.float32)
    return x, rng.integers(0, 4, n)


def trained(network, n, jit, steps=3):
    """Losses, weights and predictions after some steps; gamma is negative in places."""
    minicnn.utils.set_random_seed(3)
    model = Sequential(NETWORKS[network]())
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit)
    for layer in model.layers:
        if isinstance(layer, BatchNormalization) and layer.scale:
            layer.params["gamma"][::2] *= -1
    x, y = batch(n, model.input_shape[1:])
    losses = [model.train_on_batch(x, y) for _ in range(steps)]
    return losses, model.get_weights(), model.predict(x, verbose=0)


@pytest.mark.parametrize("n", [2, 10, 200])
@pytest.mark.parametrize("network", NETWORKS)
def test_both_ways_train_and_predict_alike(network, n):
    layers, fused = trained(network, n, False), trained(network, n, True)
    np.testing.assert_allclose(fused[0], layers[0], rtol=2e-5)
    np.testing.assert_allclose(fused[2], layers[2], atol=5e-5)
    for ours, theirs in zip(fused[1], layers[1]):
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max() + 1e-6)


@pytest.mark.parametrize("network", ["before ReLU", "behind ReLU"])
def test_the_same_bits_at_any_number_of_threads(network):
    before, results = minicnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            minicnn.set_num_threads(threads)
            results.append(trained(network, 300, True))
    finally:
        minicnn.set_num_threads(before)
    for other in results[1:]:
        assert other[0] == results[0][0]
        for ours, theirs in zip(other[1], results[0][1]):
            assert np.array_equal(ours, theirs)


def test_all_shards_of_a_batch_share_its_statistics():
    """By shards of 64 of their own, the second half would be normalized to 0, too."""
    model = Sequential([Input((4,)), BatchNormalization(momentum=0.0), Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    x = np.repeat(np.float32([0, 8]), 64)[:, None] * np.ones(4, np.float32)
    model.train_on_batch(x, np.zeros(128, np.int64))
    np.testing.assert_allclose(model.layers[0].state["moving_mean"], 4, rtol=1e-6)
    np.testing.assert_allclose(model.layers[0].state["moving_variance"], 16, rtol=1e-6)


def test_the_plan_names_what_runs_with_a_normalization():
    model = Sequential(NETWORKS["before ReLU"]())
    lines = str(model.plan()).splitlines()
    assert sum("NormalizationStage" in line for line in lines) == 3
    assert "ReLU, 2x2 max-pooling, dropout" in lines[1]


@pytest.mark.parametrize("far", [0.0, 100.0, 1e4, -3e5])
def test_statistics_of_numbers_far_from_0(far):
    """One sum of squares in float32 has lost all digits at 1e4."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((40, 49, 8)) + far).astype(np.float32)
    mean, squares = np.empty(8), np.empty(8)
    normalization.measure(x, mean, squares)
    exact = x.astype(np.float64).reshape(-1, 8)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(squares / len(exact), exact.var(0), rtol=1e-5)


@pytest.mark.parametrize("far", [1e4, -3e5])
def test_training_on_numbers_far_from_0(far):
    """y of both ways beside float64; the layer rounds its mean to float32."""
    x = batch(100, (6, 6, 4))[0] + np.float32(far)
    exact = x.astype(np.float64)
    x_hat = (exact - exact.mean((0, 1, 2))) / np.sqrt(exact.var((0, 1, 2)) + 1e-3)
    model = Sequential([Input((6, 6, 4)), BatchNormalization(), Flatten(), Dense(4, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    seen = []
    stage = minicnn.engine.normalization_stages.NormalizationStage
    forward = stage.forward

    def spy(self, x, training=False):
        y = forward(self, x, training)
        seen.append((len(y), y.copy()))
        return y

    stage.forward = spy
    try:
        model.train_on_batch(x, np.zeros(100, np.int64))
    finally:
        stage.forward = forward
    y = np.concatenate([part for _, part in seen])
    order = [np.abs(x_hat - np.roll(y, k, axis=0)).max() for k in (0, 50)]  # two shards of 50
    assert min(order) < 1e-4


def test_two_shards_combine_as_one():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((10, 3)) * 5 + 2
    count, mean, squares = 4, x[:4].mean(0), x[:4].var(0) * 4
    rest = x[4:]
    total = normalization.combine(count, mean, squares, 6, rest.mean(0), rest.var(0) * 6)
    assert total == 10
    np.testing.assert_allclose(mean, x.mean(0))
    np.testing.assert_allclose(squares, x.var(0) * 10)


def test_a_step_that_fails_leaves_the_running_statistics():
    model = Sequential(NETWORKS["behind ReLU"]())
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=True)
    x, y = batch(150, (13, 13, 1))
    model.train_on_batch(x, y)
    before = model.get_weights()
    with pytest.raises(FloatingPointError, match="moving_variance of BatchNormalization"):
        model.train_on_batch(x * np.float32(1e25), y)
    for ours, theirs in zip(model.get_weights(), before):
        assert np.array_equal(ours, theirs)
    assert np.isfinite(model.train_on_batch(x, y))


@pytest.mark.parametrize("far", [1e4, 1e6])
@pytest.mark.parametrize(
    "make",
    [
        BatchNormalization,
        lambda: BatchNormalization(axis=1),
        layers.LayerNormalization,
        lambda: layers.LayerNormalization(axis=[1, 2, 3]),
        lambda: layers.GroupNormalization(2),
    ],
)
def test_layers_in_float32_on_numbers_far_from_0(make, far):
    """Within 2e-6 of float64 on the same numbers, forward and backward; at 1e6 float32 has steps
    of 0.06, and a mean that is rounded to one of them would be off by as much."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((16, 5, 6, 8)) + far).astype(np.float32)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    ours, exact = make(), make()
    y, y_64 = ours.forward(x, training=True), exact.forward(x.astype(np.float64), training=True)
    dx, dx_64 = ours.backward(dy), exact.backward(dy.astype(np.float64))
    assert (y.dtype, y_64.dtype) == (np.float32, np.float64)
    for mine, theirs in [(y, y_64), (dx, dx_64)]:
        assert np.abs(mine - theirs).max() < 2e-6 * np.abs(theirs).max()
    for key in ours.grads:
        scale = np.abs(exact.grads[key]).max()
        assert np.abs(ours.grads[key] - exact.grads[key]).max() < 2e-6 * scale


@pytest.mark.parametrize(
    ("axis", "fused"), [(-1, True), (3, True), ([-1], True), (1, False), ([1, 3], False)]
)
def test_only_the_last_axis_is_fused_and_both_ways_train_alike(axis, fused):
    results = []
    for jit in (False, True):
        minicnn.utils.set_random_seed(3)
        model = Sequential(
            [Input((6, 6, 4)), BatchNormalization(axis=axis), Flatten(), Dense(4, "softmax")]
        )
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit)
        x, y = batch(40, (6, 6, 4))
        results.append([model.train_on_batch(x, y) for _ in range(3)])
    np.testing.assert_allclose(results[1], results[0], rtol=2e-5)
    assert ("NormalizationStage" in str(model.plan())) is fused


# -- where they differ from Keras: docs/keras-differences.md --------------------------------------

IMAGES = np.random.default_rng(3).standard_normal((2, 4, 5, 6))
NORMALIZATIONS = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.RMSNormalization,
    lambda **kwargs: layers.GroupNormalization(2, **kwargs),
)


@pytest.mark.parametrize("axis", [[3], (-1,), [1, 3], [3, 1], [-1, 1]])
def test_batch_normalization_along_several_axes(axis):
    y = layers.BatchNormalization(axis=axis, epsilon=1e-9)(IMAGES, training=True)
    others = tuple({0, 1, 2, 3} - {one % 4 for one in axis})
    np.testing.assert_allclose(y.mean(others), 0, atol=1e-9)
    np.testing.assert_allclose(y.var(others), 1, rtol=1e-6)


@pytest.mark.parametrize("make", NORMALIZATIONS)
def test_no_normalization_over_the_batch_nor_without_an_epsilon(make):
    with pytest.raises(ValueError, match="expected epsilon to be a number"):
        make(epsilon=0)
    for axis in (0, -4):
        with pytest.raises(ValueError, match="Axis 0 is the batch"):
            make(axis=axis)(IMAGES)
    with pytest.raises((TypeError, ValueError), match="expected axis to"):
        make(axis=[])


@pytest.mark.parametrize("kind", [layers.LayerNormalization, layers.RMSNormalization])
@pytest.mark.parametrize("axis", [[1, 3], [3, 1], (-1, 1), [1, -1], [-1, -3], [3, -3]])
def test_axes_in_any_order_and_with_any_sign_are_the_same(kind, axis):
    layer = kind(axis=axis)
    layer.build(IMAGES.shape)
    gamma = np.random.default_rng(4).standard_normal((4, 6))
    layer.set_weights([gamma, *layer.get_weights()[1:]])
    d = IMAGES - IMAGES.mean((1, 3), keepdims=True) * (kind is layers.LayerNormalization)
    expected = d / np.sqrt((d**2).mean((1, 3), keepdims=True) + layer.epsilon)
    np.testing.assert_allclose(layer(IMAGES), expected * gamma[None, :, None, :], rtol=1e-5)


def test_as_many_groups_as_channels_stay_minus_one():
    layer = layers.GroupNormalization(-1)
    layer.build((None, 4, 5, 6))
    assert layer.groups == layer.get_config()["groups"] == -1


@pytest.mark.parametrize("kind", [layers.LayerNormalization, layers.RMSNormalization])
@pytest.mark.parametrize("axis", [-1, 3, [3, 1], [-1]])
def test_axes_stay_as_they_were_given(kind, axis):
    layer = kind(axis)
    layer(IMAGES)
    assert layer.axis == layer.get_config()["axis"] == axis


def test_what_a_normalization_takes_once_it_is_built_as_in_keras():
    x, other, vectors = IMAGES, np.ones((2, 4, 5, 8)), np.ones((2, 6))
    bare = {"center": False, "scale": False}
    for make in NORMALIZATIONS:
        for kwargs in ({}, bare) if make is not layers.RMSNormalization else ({},):
            layer = make(**kwargs)
            layer(x)
            only_sizes = make in (layers.LayerNormalization, layers.RMSNormalization)
            if only_sizes:
                assert layer(vectors).shape == vectors.shape
            else:
                with pytest.raises(ValueError, match="input of 4 axes, for which it was built"):
                    layer(vectors)
            if only_sizes and kwargs:
                assert layer(other).shape == other.shape  # nothing in the layer has 6 numbers
            else:
                with pytest.raises(ValueError, match="6 channels on axis -1, for which it was"):
                    layer(other)


def test_root_mean_squares_have_a_layer_of_their_own():
    assert not layers.LayerNormalization(rms_scaling=False).built
    with pytest.raises(ValueError, match="rms_scaling can only be False"):
        layers.LayerNormalization(rms_scaling=True)


def test_arguments_by_their_place_are_keras():
    assert layers.BatchNormalization(-1, 0.5, 0.25).momentum == 0.5
    assert layers.LayerNormalization(-1, 0.25, False).center is False
    assert layers.GroupNormalization(2, -1, 0.25).epsilon == 0.25
    assert layers.RMSNormalization(-1, 0.25).epsilon == 0.25


@pytest.mark.parametrize("axis", [0, -4, (0, 3)])
def test_the_batch_is_no_axis_of_softmax_and_normalization(axis):
    with pytest.raises(ValueError, match="axis 0 is the batch"):
        layers.Softmax(axis)(IMAGES)
    with pytest.raises(ValueError, match="axis 0 is the batch"):
        layers.Normalization(axis).adapt(IMAGES)


@pytest.mark.parametrize("n", [1024, 60_000])
def test_sums_over_many_rows_keep_their_digits(n):
    """In one float32 sum of 60,000 equal numbers the fourth digit was wrong."""
    model = Sequential([Input((3,)), BatchNormalization()])
    model.compile("sgd", "mse")
    before = minicnn.get_shard_size()
    minicnn.set_shard_size(100_000)
    try:
        model.train_on_batch(np.full((n, 3), 0.37, np.float32), np.full((n, 3), 0.3, np.float32))
    finally:
        minicnn.set_shard_size(before)
    np.testing.assert_allclose(model.layers[0].grads["beta"], -0.2, rtol=5e-6)

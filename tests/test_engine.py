"""The two ways through a network, fused stages and plain layers, give the same."""

import functools
import gc
import mmap
import os
import threading
import time
import weakref

import numpy as np
import pytest
from cases import Draw
from cases.activations import ACTIVATION_CASES
from cases.layers import LAYERS
from cases.optimizers import examples as examples_of_optimizers
from counts import and_slow, draws
from hypothesis import assume, given
from numpy.lib.stride_tricks import as_strided
from strategies import SEEDS, error, within
from strategies import network as any_network
from test_models import deeper, tutorial

from minicnn import Sequential, get_shard_size, set_num_threads, set_shard_size
from minicnn.activations import Function
from minicnn.engine import (
    any_window,
    convolutions,
    dense,
    dense_stages,
    products,
    shards,
    threads,
    vectors,
)
from minicnn.engine.logits import before_activation
from minicnn.engine.plan import Plan
from minicnn.engine.updates import single_pass
from minicnn.gradcheck.engine import check_engine
from minicnn.gradcheck.subjects import ModelSubject
from minicnn.initializers import RandomNormal
from minicnn.kernels import memory
from minicnn.kernels.memory import aligned, aligned_zeros
from minicnn.layers import (
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GroupNormalization,
    Input,
    Layer,
    LayerNormalization,
    LogSoftmax,
    MaxPooling2D,
    ReLU,
    Rescaling,
    SeparableConv2D,
    Softmax,
    Softplus,
    Tanh,
    UpSampling2D,
)
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adadelta, Adam, Adamax, Nadam, RMSprop
from minicnn.utils import set_random_seed

rng = np.random.default_rng(70)


def kinds(model):
    return [getattr(entry.kind, "__name__", "layer") for entry in model.plan().entries]


# -- the plan -------------------------------------------------------------------------------------


def test_plan_of_the_tutorial():
    model = tutorial()
    assert kinds(model) == ["DirectConvolution", "DenseStage"]
    assert [entry.layers for entry in model.plan().entries] == [(0, 1, 2), (3, 4, 5)]
    text = str(model.plan())
    assert "max-pooling, dropout in one pass" in text
    assert all(layer.name in text for layer in model.layers)


def test_plan_of_the_deeper_model():
    assert kinds(deeper()) == [
        "DirectConvolution",
        "WinogradConvolution",
        "WinogradConvolution",
        "WinogradConvolution",
        "SingleDenseStage",
        "SingleDenseStage",
    ]


# layers on 40 inputs -> the stages in training, and to predict
DENSE = {
    "several": ([Dense(40, "relu"), Dense(33), ReLU(), Dense(2)], [4], [4]),
    "more than four": ([Dense(32) for _ in range(6)], [4, 2], [4, 2]),
    "one by itself": ([Dense(40, "relu"), Dropout(0.5)], [2], [2]),
    "dropout between": ([Dense(40, "relu"), Dropout(0.5), Dense(3)], [2, 1], [3]),
    "another activation": ([Dense(40, "tanh"), Dense(40), Dense(40, "gelu")], [1, 1, 1], [1, 1, 1]),
    "too wide": ([Dense(2049, "relu"), Dense(40)], [1, 1], [1, 1]),
    "between one vector and two": ([Dense(31, "relu"), Dense(40)], [1, 1], [1, 1]),
    "few inputs": ([Dense(40), Dense(3, "relu"), Dense(40), Dense(40)], [2, 1, 1], [2, 1, 1]),
}


@pytest.mark.parametrize("name", DENSE)
def test_dense_layers_are_one_stage_where_they_can_be(name):
    layers, *expected = DENSE[name]
    model = Sequential([Input((40,)), *layers])
    for training, sizes in zip((True, False), expected):
        entries = model.plan_of(model.leaves, training=training).entries
        assert [len(entry.layers) for entry in entries] == sizes


def test_dense_layers_behind_much_other_work_are_stages_of_their_own():
    layers = [Conv2D(8, 3, input_shape=(8, 8, 1)), Flatten(), Dense(32, "relu"), Dense(3)]
    assert kinds(Sequential(layers)) == ["InterleavedConvolution", "DenseStage"]
    more = [Conv2D(64, 3, padding="same", input_shape=(8, 8, 1)), Conv2D(8, 3), *layers[1:]]
    assert kinds(Sequential(more))[2:] == ["SingleDenseStage"] * 2


def test_the_limits_of_a_dense_stage_are_those_of_its_kernels():
    assert dense_stages.WIDEST == products.WIDEST
    assert dense_stages.WIDE == dense.VECTORS * vectors.LANES
    assert dense_stages.NARROW == vectors.LANES


def test_weights_of_a_dense_stage_that_another_model_has_moved():
    """Another model of the same layers takes them into its own vector, and trains them there."""
    layers = [Dense(40, "relu", input_shape=(40,)), Dense(3)]
    model, other = Sequential(layers), Sequential([*layers, Dense(2)])
    x, y = rng.standard_normal((20, 40)), rng.standard_normal((20, 3))
    for one in (model, other):
        one.compile("sgd", "mse")
    for _ in range(2):
        model.train_on_batch(x, y)
        other.train_on_batch(x, y[:, :2])
        hidden = np.maximum(x @ layers[0].params["W"] + layers[0].params["b"], 0)
        expected = hidden @ layers[1].params["W"] + layers[1].params["b"]
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("key", ["W", "b"])
def test_weights_of_a_dense_stage_that_are_read_only(key):
    model = Sequential([Dense(40, "relu", input_shape=(40,)), Dense(3)])
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((20, 40)), rng.standard_normal((20, 3))
    expected = model.predict(x, verbose=0)
    model.layers[0].params[key].flags.writeable = False
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    model.train_on_batch(x, y)


def test_a_stage_that_was_interrupted_while_it_looked_for_its_weights(monkeypatch):
    model = Sequential([Dense(40, "relu", input_shape=(40,)), Dense(3)])
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((20, 40)), rng.standard_normal((20, 3))

    def interrupt(array):
        raise KeyboardInterrupt

    for call in (lambda: model.predict(x, verbose=0), lambda: model.train_on_batch(x, y)):
        with monkeypatch.context() as patch:
            patch.setattr(dense_stages, "read_only", interrupt)
            with pytest.raises(KeyboardInterrupt):
                call()
        call()


def shape_after(*layers):
    model = Sequential([Input((9, 9, 4)), *layers])
    return model.plan().entries


class Louder(Conv2D):
    """Same name of a method, other mathematics: must not be fused as a Conv2D."""

    def forward(self, x, training=False):
        return 2 * super().forward(x, training)


class Leaning(Tanh):
    def value(self, x):
        return super().value(x) + x


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: UpSampling2D(interpolation="bilinear"), "interpolates"),
        (lambda: LayerNormalization(axis=[1, 2]), "the last axis"),
        (lambda: GroupNormalization(1, axis=1), "the last axis"),
        (lambda: LogSoftmax(), "LogSoftmax"),
        (lambda: Dense(4), "Dense on sequences"),
        (lambda: Louder(4, 3), "Louder"),
        (lambda: Leaning(), "Leaning"),
        (lambda: Dropout(0.5, noise_shape=(None, 1, 1, None)), "Dropout"),
    ],
)
def test_what_is_not_fused_says_why(layer, reason):
    (entry,) = shape_after(layer())
    assert entry.kind is None
    assert reason in entry.why


@pytest.mark.parametrize(
    ("layer", "way"),
    [
        (lambda: Conv2D(64, 3), "WinogradConvolution"),
        (lambda: Conv2D(16, 3), "ImplicitConvolution"),
        (lambda: Conv2D(4, 5), "InterleavedConvolution"),
        (lambda: Conv2D(4, 1), "PointwiseConvolution"),
        (lambda: Conv2D(4, 1, 2), "InterleavedConvolution"),
        (lambda: Conv2D(16, 1, 2), "ImplicitConvolution"),
        (lambda: Conv2D(4, 3, 2), "InterleavedConvolution"),
        (lambda: Conv2D(4, 3, dilation_rate=2), "InterleavedConvolution"),
        (lambda: Conv2D(64, 3, activation="tanh"), "WinogradConvolution"),
        (lambda: Conv2D(4, 3, groups=2), "GroupedConvolution"),
        (lambda: Conv2D(32, 3, groups=16), "DepthwiseStage"),
        (lambda: Conv2D(256, 3, groups=16), "GroupedConvolution"),
    ],
)
def test_the_way_of_a_convolution_follows_from_its_window_and_channels(layer, way):
    (kind,) = kinds(Sequential([Input((9, 9, 16)), layer()]))
    assert kind == way


@pytest.mark.parametrize(
    ("size", "channels", "pays"),
    [
        *[((2, 2), 512, False), ((1, 16), 512, False), ((3, 3), 64, True), ((3, 3), 20, False)],
        *[((4, 4), 20, True), ((5, 5), 64, False), ((5, 5), 128, True), ((28, 28), 16, False)],
        *[((14, 14), 20, True), ((10, 10), 20, False), ((6, 6), 24, False), ((28, 28), 17, True)],
    ],
)
def test_winograd_is_for_tiles_that_are_full_enough(size, channels, pays):
    conv = Conv2D(channels, 3, padding="same")
    (kind,) = kinds(Sequential([Input((*size, channels)), conv]))
    assert kind == ("WinogradConvolution" if pays else "ImplicitConvolution")


@pytest.mark.parametrize(
    ("channels", "filters", "groups", "options"),
    [
        (8, 8, 8, {"activation": "relu"}),
        (6, 12, 6, {"strides": 2, "activation": "tanh"}),
        (3, 6, 3, {"dilation_rate": 2, "padding": "same"}),
        (2, 64, 2, {"activation": "relu"}),
        (12, 24, 6, {"activation": "gelu"}),
        (30, 60, 10, {"strides": 2}),
        (128, 128, 32, {"activation": "relu", "padding": "same"}),
        (160, 160, 40, {"use_bias": False}),
    ],
)
def test_groups_are_the_same_together_and_each_by_itself(channels, filters, groups, options):
    """Forward, backward and inference with a normalization, beside the layers one by one."""
    model = Sequential(
        [
            *(Input((7, 8, channels)), Conv2D(channels, 1)),
            Conv2D(filters, 3, groups=groups, **options),
            *(BatchNormalization(), Flatten(), Dense(3, "softmax")),
        ]
    )
    x = rng.standard_normal((19, 7, 8, channels)).astype("f")
    before, found = [w.copy() for w in model.get_weights()], []
    for way in (True, False):
        model.set_weights(before)
        model.compile(SGD(0.1), "sparse_categorical_crossentropy", jit_compile=way)
        assert any(entry.kind is None for entry in model.plan().entries) != way
        model.fit(x, np.arange(19) % 3, batch_size=19, epochs=2, verbose=0, shuffle=False)
        predicted = [model.predict(x[:n], verbose=0) for n in (1, 1, 19)]
        found.append([*(w.copy() for w in model.get_weights()), *predicted])
    for ours, plain in zip(*found):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=3e-6)


def test_few_channels_and_one_channel_inside_are_interleaved():
    model = Sequential([Conv2D(1, 3, input_shape=(9, 9, 3)), Conv2D(4, 3)])
    assert kinds(model) == ["InterleavedConvolution", "InterleavedConvolution"]


def test_float64_is_left_to_the_layers():
    double = Sequential([Dense(2, input_shape=(3,), dtype="float64")])
    assert "float64" in double.plan().entries[0].why


def test_odd_sizes_and_other_poolings_are_not_taken_for_2x2():
    assert len(shape_after(Conv2D(4, 3), MaxPooling2D(3))) == 2
    assert len(shape_after(Conv2D(4, 3), MaxPooling2D(2, 1))) == 2
    assert len(shape_after(Conv2D(4, 3, padding="same"), MaxPooling2D(2, padding="same"))) == 2
    assert len(shape_after(Conv2D(4, 3, padding="same"), MaxPooling2D(2))) == 1
    # without ReLU or pooling a 0 in y would not tell what dropout did
    assert len(shape_after(Conv2D(4, 3), Dropout(0.5))) == 2


def test_jit_compile_false_walks_the_layers():
    model = tutorial()
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    assert set(kinds(model)) == {"layer"}
    with pytest.raises(ValueError, match="jit_compile to be 'auto', True or False, received 'yes'"):
        model.compile("adam", "mse", jit_compile="yes")


# -- both ways ------------------------------------------------------------------------------------


def pair_of(make, loss="sparse_categorical_crossentropy", seed=5):
    models = []
    for jit_compile in ("auto", False):
        set_random_seed(seed)
        model = Sequential(make())
        model.compile(SGD(0.05), loss, metrics=["accuracy"], jit_compile=jit_compile)
        models.append(model)
    models[1].set_weights(models[0].get_weights())
    return models


FUSED = [kind for kind in LAYERS if LAYERS[kind].fused]
ALWAYS, OFTEN = (Conv2D, Flatten, Dense), (MaxPooling2D, Dropout)
OTHERS = [kind for kind in FUSED if kind not in (*ALWAYS, *OFTEN, *ACTIVATION_CASES)]
CURVES = [kind for kind in ACTIVATION_CASES if kind in FUSED]


def network(seed):
    """Layers as in the models people build, with all arguments that a fused stage knows; before and
    between them now and then another one that has a fused stage."""
    draw = Draw(seed)
    sample = shape = (draw.size(8, 14), draw.size(8, 14), draw.one_of(1, 2, 5, 20))
    body = []
    for block in ([], *[[Conv2D, *OFTEN]] * draw.size(1, 2), [Flatten], [Dense, Dropout]):
        chosen = [kind for kind in block if kind in ALWAYS or draw.flag()]
        if draw.one_of(True, False, False):
            chosen.append(draw.one_of(*OTHERS, draw.one_of(*CURVES), draw.one_of(*CURVES)))
        if len(shape) == 3 and shape[2] >= 16:  # else seldom drawn where nothing is copied
            chosen.append(draw.one_of(DepthwiseConv2D, SeparableConv2D))
        for one in chosen:
            kwargs = LAYERS[one].fused(draw, shape)
            if kwargs is not None:
                body.append((one, kwargs))
                shape = one(**kwargs).output_shape((None, *shape))[1:]

    def make():
        layers = [kind(**kwargs) for kind, kwargs in body]
        return [Input(sample), *layers, Dense(3), Softmax()]

    return make, sample, draw.size(1, 40)


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_the_table_says_which_layers_are_part_of_a_fused_step(kind):
    # what has no fused step is in networks of any layers only
    fused = kinds_in_fused_steps(of_fused_layers=kind in FUSED)
    assert (kind in fused) == bool(LAYERS[kind].fused), f"say so by `fused` of {kind.__name__}"


@functools.cache
def kinds_in_fused_steps(of_fused_layers):
    """The classes of all layers that are part of a fused step in any of some networks."""
    if of_fused_layers:
        made = [Sequential(network(seed)[0]()) for seed in range(600)]
    else:
        made = [drawn.model("float32") for drawn in map(any_network, range(60))]
    return {
        type(plan.layers[k])
        for plan in [model.plan() for model in made]
        for entry in plan.entries
        if entry.kind
        for k in entry.layers
    }


@draws(60, quick=3)
@given(SEEDS)
def test_random_networks_give_the_same_by_both_ways(seed):
    assert_both_ways(seed, *network(seed))


def dense_rows(seed):
    """As `network`: one to six Dense layers of widths with tiles and without, and what may stand
    behind them.
    """
    draw = np.random.default_rng(seed)
    inputs, rows = int(draw.choice([5, 40, 64])), []
    for _ in range(draw.integers(0, 6)):
        units = int(draw.choice([3, 16, 31, 32, 33, 50, 64]))
        activation = draw.choice(["relu", "relu", "linear", "tanh"])
        rows.append((units, str(activation), bool(draw.integers(4)), int(draw.integers(8))))

    def make():
        layers = []
        for units, activation, use_bias, behind in rows:
            layers.append(Dense(units, activation, use_bias=use_bias))
            layers += {0: [Dropout(0.3)], 1: [ReLU()]}.get(behind, [])
        return [Input((inputs,)), *layers, Dense(3), Softmax()]

    return make, (inputs,), int(draw.choice([1, 7, 30, 130]))


@draws(100, quick=4)
@given(SEEDS)
def test_random_dense_layers_give_the_same_by_both_ways(seed):
    assert_both_ways(seed, *dense_rows(seed))


def assert_both_ways(seed, make, shape, n):
    data = np.random.default_rng(seed)
    x, y = data.standard_normal((n, *shape)).astype(np.float32), data.integers(0, 3, n)
    fused, plain = pair_of(make)
    for model in (fused, plain):
        # biases away from 0, so that they are tested and no window of zeros ties
        model.flat_params += 0.1 * np.random.default_rng(1).standard_normal(
            model.flat_params.shape
        ).astype(np.float32)
    ours, theirs = (model.predict(x, verbose=0) for model in (fused, plain))
    within(2e-5, "engine, outputs", np.abs(ours - theirs).max())
    assert fused.evaluate(x, y, verbose=0) == pytest.approx(
        plain.evaluate(x, y, verbose=0), rel=1e-4
    )
    losses = fused.train_on_batch(x, y)[0], plain.train_on_batch(x, y)[0]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    scale = np.abs(plain.flat_grads).max()
    off = np.abs(fused.flat_grads - plain.flat_grads) / scale
    within(2e-6, "engine, median of a gradient", np.median(off))
    assert_every_gradient(fused, x[:12], y[:12])


def assert_every_gradient(model, x, y):
    """Within 1e-4 of the layers' in float64, without the samples that lie on kinks.

    There rounding may flip the argmax of a near tie, and change a gradient as much as a mistake.
    """
    noise = np.random.default_rng(0)
    subject = ModelSubject(model, x, y, None, training=True, rng=noise)
    dy = noise.uniform(0.5, 1.5, len(x))
    names = [name for name in subject.tensors if name != "x"]
    result = check_engine(subject, dy, names, noise)
    assert result.ok, str(result)
    compared.append(bool(result.rows))


compared = []  # of each network, whether there were samples left to compare


def test_hardly_any_network_was_passed_over():
    if not compared:
        pytest.skip("the networks are drawn by the test before")
    assert np.mean(compared) >= 0.8


@pytest.mark.parametrize("factor", [1.001, 0.999, -1.0])
@pytest.mark.parametrize(
    ("kind", "channels", "filters", "size"),
    [
        (convolutions.DirectConvolution, 1, 20, 3),
        (convolutions.WinogradConvolution, 24, 28, 3),
        (convolutions.WinogradConvolution, 32, 48, 3),
        (any_window.InterleavedConvolution, 4, 4, 5),
        (any_window.ImplicitConvolution, 16, 20, 5),
        (any_window.PointwiseConvolution, 4, 4, 1),
    ],
)
def test_a_fused_gradient_that_is_off_by_a_thousandth_is_noticed(
    kind, channels, filters, size, factor, monkeypatch
):
    backward = kind.backward

    def off(self, dy):
        dx = backward(self, dy)
        dW = self.conv.grads["W"].reshape(-1)  # its largest: others may be below the tolerance
        dW[np.abs(dW).argmax()] *= np.float32(factor)
        return dx

    def make():
        conv = Conv2D(filters, size, activation="relu", input_shape=(9, 9, channels))
        return [conv, MaxPooling2D(), Flatten(), Dense(3, activation="softmax")]

    model, _ = pair_of(make)
    x = rng.standard_normal((12, 9, 9, channels))
    assert_every_gradient(model, x, np.arange(12) % 3)
    monkeypatch.setattr(kind, "backward", off)
    with pytest.raises(AssertionError, match="the engine's own gradients"):
        assert_every_gradient(model, x, np.arange(12) % 3)


class Doubles(Layer):
    """A user's layer, which returns another float type, and arrays that are not contiguous."""

    def forward(self, x, training=False):
        return np.asfortranarray(x.astype(np.float64) * 2)

    def backward(self, dy):
        return np.asfortranarray(dy.astype(np.float64) * 2)


@pytest.mark.parametrize("images", [3, 20])
@pytest.mark.parametrize(
    "conv",
    [
        lambda: Conv2D(4, 5, activation="relu"),
        lambda: Conv2D(4, 1, activation="tanh"),
        lambda: DepthwiseConv2D(3, activation="relu"),
        lambda: SeparableConv2D(4, 3, activation="relu"),
        lambda: AveragePooling2D(3),
    ],
)
@pytest.mark.in_ci
def test_stages_between_layers_of_other_float_types(conv, images):
    def make():
        layers = [Conv2D(16, 1), Doubles(), conv(), Doubles(), Flatten()]
        return [Input((7, 8, 2)), *layers, Dense(3, activation="softmax")]

    fused, plain = pair_of(make)
    x, y = rng.standard_normal((images, 7, 8, 2)), np.arange(images) % 3
    for model in (fused, plain):
        model.fit(x, y, batch_size=images, epochs=2, verbose=0)
    for ours, theirs in zip(fused.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rate", [0.3, 1.0])
@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize(("channels", "size"), [(1, 3), (4, 3), (2, 5)])
def test_dropout_masks_are_the_same_by_both_ways(channels, size, pool, rate):
    """All activations are 1, so the outputs show the mask."""

    def make():
        conv = Conv2D(
            4, size, activation="relu", kernel_initializer="zeros", bias_initializer="ones"
        )
        return [Input((7, 8, channels)), conv, *([MaxPooling2D(2)] * pool), Dropout(rate, seed=9)]

    fused, plain = pair_of(make, "mse")
    x = rng.random((70, 7, 8, channels))
    outputs = []
    for model in (fused, plain):
        out = {}

        def work(lane, shard, out=out):
            lane.seek(3, shard.start)
            out[shard.start] = lane.forward(x[shard].astype(np.float32), True).copy()

        shards.ShardedNetwork(model.plan(), np.float32, training=True).run(70, work)
        outputs.append(np.concatenate([out[start] for start in sorted(out)]))
    np.testing.assert_array_equal(*outputs)
    assert (outputs[0] == 0).mean() == pytest.approx(rate, abs=0.05)


@pytest.mark.in_ci
def test_gradients_of_the_deeper_model_by_both_ways():
    x, y = rng.random((40, 28, 28)), rng.integers(0, 10, 40)
    fused, plain = deeper(), deeper()
    plain.set_weights(fused.get_weights())
    for model, jit in ((fused, True), (plain, False)):
        for k, layer in enumerate(model.layers):
            if isinstance(layer, Dropout):
                layer.stream_key = 1000 + k
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=jit)
    assert fused.train_on_batch(x, y) == pytest.approx(plain.train_on_batch(x, y), rel=1e-5)
    scale = np.abs(plain.flat_grads).max()
    assert np.quantile(np.abs(fused.flat_grads - plain.flat_grads) / scale, 0.9) < 1e-4


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (LayerNormalization(), (-1,)),
        (GroupNormalization(1), (1, 2, 3)),
        (GroupNormalization(-1), (1, 2)),
    ],
    ids=["layer", "group", "channel"],
)
def test_normalizations_of_a_sample_far_from_0(layer, axes):
    """A float32 near 1e6 holds steps of 0.06; y has the digits that x has."""
    model = Sequential([Input((4, 5, 20)), layer])
    x = (1e6 + rng.standard_normal((6, 4, 5, 20))).astype(np.float32)
    assert kinds(model) == [f"{type(layer).__name__}Stage"]
    exact = x.astype(np.float64)
    exact -= exact.mean(axis=axes, keepdims=True)
    exact /= np.sqrt(np.mean(exact**2, axis=axes, keepdims=True) + layer.epsilon)
    within(1e-5, "normalization of a sample", np.abs(model.predict(x, verbose=0) - exact).max())


@pytest.mark.parametrize("layer", [LayerNormalization(), GroupNormalization(-1)])
def test_the_gradient_through_a_normalized_single_number_is_0(layer):
    shape = (1, 1, 1) if isinstance(layer, LayerNormalization) else (1, 1, 5)
    model = Sequential([Input(shape), Conv2D(shape[-1], 1), layer])
    model.compile("sgd", "mse")
    layer.params["gamma"][...] = rng.standard_normal(shape[-1])
    x = rng.standard_normal((20, *shape)).astype(np.float32)
    model.train_on_batch(x, rng.standard_normal((20, *shape)))
    assert kinds(model)[-1] == f"{type(layer).__name__}Stage"
    assert not model.layers[0].grads["W"].any()
    assert not layer.grads["gamma"].any()
    assert layer.grads["beta"].all()


def test_a_small_batch_is_one_shard_on_one_thread(monkeypatch):
    weights = []
    for limit in (0, 2**24):
        monkeypatch.setattr(shards, "SMALL", limit)
        if limit:  # would wake the helpers
            monkeypatch.setattr(threads, "_ready_helpers", None)
        set_random_seed(1)
        model = deeper(4, 8, 32)
        model.compile("adam", "sparse_categorical_crossentropy")
        x, y = np.random.default_rng(0).random((16, 28, 28)), np.arange(16) % 10
        for _ in range(2):
            model.train_on_batch(x, y)
        network = model.runner(training=True).network
        assert [network.is_small(n) for n in (1, 16, 10_000)] == [bool(limit)] * 2 + [False]
        assert len(network.shards(16)) == (1 if limit else 2)
        assert not limit or network.is_small(128)
        assert len(network.shards(network.feeding(2))) >= 2
        weights.append(model.flat_params.copy())
    np.testing.assert_allclose(*weights, atol=1e-5)
    monkeypatch.setattr(shards, "_shard_size", 8)  # which says that there are more cores or ranks
    assert len(network.shards(16)) == 2


def test_a_large_batch_of_little_work_keeps_the_digits_of_its_sums(monkeypatch):
    monkeypatch.setattr(shards, "SMALL", 2**22)
    n = 100_000
    model = Sequential([Input((2,)), Dense(1, kernel_initializer="zeros")])
    model.compile(SGD(1.0), "mse")
    assert model.runner(training=True).network.is_small(n)
    model.train_on_batch(np.ones((n, 2), np.float32), np.full((n, 1), 0.3, np.float32))
    for found in model.get_weights():  # the mean of n equal gradients
        within(1e-5, "of little work", np.abs(found / np.float32(0.6) - 1).max())


def test_a_batch_of_unknown_work_is_never_small(monkeypatch):
    monkeypatch.setattr(shards, "SMALL", 2**23)
    model = Sequential([Input((3,)), Doubles(), Dense(2)])
    network = shards.ShardedNetwork(model.plan(), np.float32, training=False)
    assert not network.is_small(1)


@pytest.mark.parametrize(
    ("layer", "channels", "images"),
    [
        (Conv2D(6, 5), 1, 8),
        (Conv2D(16, 3), 1, 1),
        (Conv2D(16, 5), 16, 1),
        (Conv2D(16, 3), 16, 1),
        (Conv2D(16, 1), 16, 1),
        (DepthwiseConv2D(3), 16, 1),
        (Conv2DTranspose(16, 1), 16, 1),
        (Conv2DTranspose(6, 1), 3, 8),
    ],
)
def test_sums_over_large_images(layer, channels, images):
    """Added up one after the other, 90,000 equal float32 numbers are off by 1e-4 or more."""
    model = Sequential([Input((304, 304, channels)), layer])
    gradient = np.zeros(model.flat_params.size, np.float32)
    lane = shards.Lane(model.plan(), gradient)
    x = np.full((images, 304, 304, channels), 0.7, np.float32)
    y = lane.forward(x, True)
    assert list(lane.backward_in_phases(np.full(y.shape, 0.3, np.float32))) == []
    cells = y[..., 0].size
    grads = lane.layers[0].grads
    within(5e-5, "sums over large images", abs(grads["W"] / (0.21 * cells) - 1).max())
    within(5e-5, "sums over large images", abs(grads["b"] / (0.3 * cells) - 1).max())


KEPT = {}  # by thread


class Keeps(Softplus):
    """What it was passed may be asked for further on, as a skip connection does."""

    def forward(self, x, training=False):
        KEPT[threading.get_ident()] = x
        return super().forward(x, training)


class AddsKept(Softplus):
    def forward(self, x, training=False):
        return super().forward(x + KEPT[threading.get_ident()], training)


@pytest.mark.parametrize("inside", [False, True])
def test_a_layer_of_ones_own_may_keep_what_it_was_passed(inside):
    """Where all layers are the library's, stages take turns with two arrays."""
    layers = [Conv2D(16, 3, padding="same", activation="relu") for _ in range(5)]
    if inside:
        layers[0], layers[4] = (
            Conv2D(16, 3, padding="same", activation=one) for one in (Keeps(), AddsKept())
        )
    else:
        layers[1:1], layers[4:] = [Keeps()], [AddsKept()]
    model = Sequential([Input((6, 6, 16)), *layers, Flatten(), Dense(3)])
    x = rng.standard_normal((300, 6, 6, 16)).astype(np.float32)
    y = model.predict(x, verbose=0)
    np.testing.assert_allclose(y, model.forward(x), rtol=1e-4, atol=1e-4)


def test_the_last_shards_of_inference_are_small():
    even = shards.cut(1000, 128)
    assert shards.tapered(even)[:-8] == even[:-2]
    assert [part.stop - part.start for part in shards.tapered(even)[-8:]] == [32] * 7 + [8]
    assert shards.tapered(even[:3]) == even[:3]
    assert shards.tapered(shards.cut(64, 16)) == shards.cut(64, 16)


def test_large_arrays_begin_at_different_places_of_a_page():
    arrays = [aligned((100, 1000)) for _ in range(8)]
    places = [array.ctypes.data % 4096 for array in arrays]
    assert len(set(places)) == 8
    assert not any(place % 64 for place in [*places, aligned((3,)).ctypes.data])
    assert aligned_zeros(5, np.float64).tolist() == [0.0] * 5


@pytest.mark.parametrize("huge_pages", [True, False])
def test_large_arrays_share_memory_without_overlap(monkeypatch, huge_pages):
    monkeypatch.setattr(memory, "_blocks", memory._Blocks())
    if not huge_pages:  # as on systems other than Linux
        monkeypatch.delattr(memory.mmap, "MADV_HUGEPAGE", raising=False)
    sizes = [10_000, 700_000, 9_000, 700_000, 2_000_000, 8_192, 700_000, 10_000] * 3
    arrays = [aligned((size,)) for size in sizes]
    for k, array in enumerate(arrays):
        array[...] = k
    assert all((array == k).all() for k, array in enumerate(arrays))
    assert (memory._blocks.block is not None) <= huge_pages


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="the system has no huge pages")
def test_a_block_is_given_back_with_its_last_array(monkeypatch):
    monkeypatch.setattr(memory, "_blocks", memory._Blocks())
    first, second = aligned((300_000,)), aligned((300_000,))
    block = weakref.ref(memory._blocks.block)
    while memory._blocks.block is block():
        last = aligned((300_000,))
    del first
    assert block() is not None
    del second, last
    gc.collect()
    assert block() is None


def test_memory_that_is_being_taken_is_not_waited_for_for_ever(monkeypatch):
    """A finalizer that predicts may run while its own thread takes memory."""
    monkeypatch.setattr(memory, "PATIENCE", 0.01)
    monkeypatch.setattr(memory, "_blocks", memory._Blocks())
    with memory._blocks.lock:
        array = aligned((100_000,))
    array[...] = 1
    assert memory._blocks.block is None
    assert array.ctypes.data % 64 == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_takes_memory_where_another_thread_was_taking_some():
    with memory._blocks.lock:
        child = os.fork()
        if not child:
            os._exit(0 if memory._blocks.lock.acquire(blocking=False) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[:], as_strided, np.atleast_2d])
def test_a_function_of_the_user_s_may_return_any_view_of_its_input(view):
    hidden = Function(view, np.ones_like)
    model = Sequential([Input((50,)), *(Dense(40, activation=hidden) for _ in range(3))])
    x = np.random.default_rng(1).normal(size=(64, 50)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0), model.forward(x), rtol=1e-4, atol=1e-4)


def test_more_memory_than_there_is_raises_memory_error():
    with pytest.raises(MemoryError):
        aligned((2**44,))


# those of the deeper model are for CI
@pytest.mark.parametrize(
    ("channels", "filters", "size"), and_slow([(20, 24, 28)], [(32, 32, 28), (64, 32, 14)], "in_ci")
)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_winograds_error_against_float64(channels, filters, size, padding):
    """Forward, dx and dW of convolutions, float32 by Winograd: below 1e-4."""
    x = rng.standard_normal((3, size, size, channels))
    W = rng.standard_normal((3, 3, channels, filters)) / np.sqrt(9 * channels)
    learns = BatchNormalization()  # with a layer before it that learns, the convolution owes a dx
    fused = Sequential([Input((size, size, channels)), learns, Conv2D(filters, 3, padding=padding)])
    fused.layers[1].set_weights([W, np.zeros(filters)])
    exact = Conv2D(filters, 3, padding=padding, dtype="float64")
    exact.build(x.shape)
    exact.set_weights(fused.layers[1].get_weights())
    x32 = x.astype(np.float32)
    y = exact.forward(x32)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx = exact.backward(dy)

    gradient = np.zeros(fused.flat_params.size, np.float32)
    lane = shards.Lane(fused.plan(), gradient)
    step = lane.stages[1]
    assert type(step).__name__ == "WinogradConvolution"
    errors = {"y": (step.forward(x32, True), y), "dx": (step.backward(dy), dx)}
    errors["dW"] = (step.conv.grads["W"], exact.grads["W"])
    errors["db"] = (step.conv.grads["b"], exact.grads["b"])
    for name, (ours, expected) in errors.items():
        within(2e-5, f"Winograd {name}", error(ours, expected))


@pytest.mark.parametrize("n", [1, 8, 11, 64, 300])
@pytest.mark.parametrize(
    ("inputs", "units"),
    [
        *[(5408, 32), (300, 64), (257, 300), (4000, 1), (16, 16), (15, 7), (31, 33), (256, 17)],
        *[(1, 40), (20, 1100), (20, 2100)],
    ],
)
def test_products_of_any_size(n, inputs, units):
    x, W, dz = (
        rng.standard_normal(s).astype("f") for s in ((n, inputs), (inputs, units), (n, units))
    )
    y, dW, dx = np.full_like(dz, np.nan), np.full_like(W, np.nan), np.full_like(x, np.nan)

    def buffer(key, shape):
        return np.full(shape, np.nan, "f")

    bias, ended = rng.standard_normal(units).astype("f"), np.full_like(dz, np.nan)
    products.forward(x, W, y, buffer)
    products.forward(x, W, ended, buffer, bias, relu=True)
    products.backward_weights(x, dz, dW, buffer)
    products.backward_inputs(dz, W, dx, buffer)
    np.testing.assert_array_equal(ended, np.maximum(y + bias, 0))
    for ours, a, b in ((y, x, W), (dW, x.T, dz), (dx, dz, W.T)):
        a, b = a.astype("d"), b.astype("d")
        within(1e-6, "products", float(np.max(abs(ours - a @ b) / (abs(a) @ abs(b)))))


def test_a_sample_s_products_do_not_depend_on_its_neighbours():
    """A tile has eight samples; the rest of a shard is processed one by one."""
    x, W = rng.standard_normal((19, 700)).astype("f"), rng.standard_normal((700, 40)).astype("f")
    dz = rng.standard_normal((19, 40)).astype("f")

    def both(part):
        y, dx = np.empty_like(dz[part]), np.empty_like(x[part])
        products.forward(x[part], W, y, lambda key, shape: np.empty(shape, "f"))
        products.backward_inputs(dz[part], W, dx, lambda key, shape: np.empty(shape, "f"))
        return y, dx

    whole = both(slice(19))
    for k in (0, 7, 8, 18):
        for all_rows, one in zip(whole, both(slice(k, k + 1))):
            np.testing.assert_array_equal(all_rows[k], one[0])


@pytest.mark.parametrize("name", examples_of_optimizers())
def test_every_optimizer_by_both_ways(name):
    make = lambda: [Dense(8, "tanh", input_shape=(5,)), Dense(6, "relu"), Dense(3), Softmax()]  # noqa: E731
    models, rng = pair_of(make), np.random.default_rng(71)
    x, y = rng.standard_normal((150, 5)), rng.integers(0, 3, 150)
    before = models[0].flat_params.copy()
    for model, jit_compile in zip(models, ("auto", False)):
        chosen = examples_of_optimizers()[name]
        slow = {"Adadelta defaults": 1000, "Adagrad defaults": 10, "SGD defaults": 10}
        chosen.learning_rate *= slow.get(name, 1)
        model.compile(chosen, "sparse_categorical_crossentropy", jit_compile=jit_compile)
        model.fit(x, y, batch_size=30, epochs=6, shuffle=False, verbose=0)
        assert chosen.iterations == 30
    fused, plain = models
    moved = np.abs(plain.flat_params - before).max()
    assert moved > 0.01
    within(1e-4, "engine, optimizers", np.abs(fused.flat_params - plain.flat_params).max() / moved)
    for slot, vector in plain.optimizer.state.items():
        ours = fused.optimizer.state[slot]
        np.testing.assert_allclose(ours, vector, rtol=1e-3, atol=1e-4 * np.abs(vector).max())


@pytest.mark.parametrize(
    "name", [name for name, o in examples_of_optimizers().items() if single_pass(o, np.float32)]
)
def test_single_passes_of_the_optimizers(name):
    plain, fused = (examples_of_optimizers()[name] for _ in range(2))
    w = rng.standard_normal(1000).astype(np.float32)
    w_fused = w.copy()
    for _ in range(10):
        g = rng.standard_normal(1000).astype(np.float32)
        plain.update(w, g)
        fused.begin(w_fused)
        fused.move(w_fused, g, slice(None), step=single_pass(fused, np.float32))
    np.testing.assert_allclose(w_fused, w, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.1, 0.9),
        RMSprop(0.01),
        RMSprop(0.01, momentum=0.5, centered=True),
        Adadelta(0.1),
        Adam(0.01),
        Adamax(0.01),
        Nadam(0.01),
    ],
    ids=repr,
)
def test_slots_of_silent_weights_end_at_zero(optimizer):
    """They would shrink into denormal numbers, on which a step takes half as long again."""
    w = rng.standard_normal(100).astype(np.float32)
    g = rng.standard_normal(100).astype(np.float32)
    optimizer.begin(w)
    step, slots = single_pass(optimizer, np.float32), list(optimizer.state.values())
    step(w, g, *slots)
    assert all((slot != 0).all() for slot in slots)
    g[...] = 0
    tiny = np.finfo(np.float32).tiny
    for _ in range(1000):
        optimizer.begin(w)
        step(w, g, *slots)
        assert not any(((slot != 0) & (abs(slot) < tiny)).any() for slot in slots)
    assert not slots[0].any()
    slots[0][...] = np.nan  # but what has gone wrong is not flush_denormals away
    step(w, g, *slots)
    assert np.isnan(w).all()


@pytest.mark.parametrize(("kind", "epsilon"), [(Adam, 1e-20), (RMSprop, 1e-37)])
def test_a_tiny_epsilon_sees_tiny_slots(kind, epsilon):
    plain, fused = kind(0.01, epsilon=epsilon), kind(0.01, epsilon=epsilon)
    w = rng.standard_normal(1000).astype(np.float32) * np.float32(1e-3)
    w_fused = w.copy()
    for _ in range(5):
        g = (rng.standard_normal(1000) * 1e-17).astype(np.float32)
        plain.update(w, g)
        fused.begin(w_fused)
        fused.move(w_fused, g, slice(None), step=single_pass(fused, np.float32))
    np.testing.assert_allclose(w_fused, w, rtol=1e-3, atol=1e-6)


def test_a_loss_of_ones_own_is_asked_by_both_ways():
    class Half(SparseCategoricalCrossentropy):
        def forward(self, y_true, y_pred):
            return super().forward(y_true, y_pred) / 2

        def backward(self, y_true, y_pred):
            return super().backward(y_true, y_pred) / 2

    losses = []
    for jit in (True, False):
        set_random_seed(1)
        model = tutorial()
        model.compile("sgd", Half(), jit_compile=jit)
        x, y = rng.random((20, 28, 28)).astype(np.float32) * 0, np.arange(20) % 10
        losses.append(model.fit(x, y, verbose=0).history["loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] < 1.5  # half of log(10)


def test_an_optimizer_of_ones_own_keeps_its_step():
    class Mine(Adam):
        def step(self, w, g, *slots):
            w -= 1

    assert single_pass(Mine(), np.float32) is None


# -- the deep promises ----------------------------------------------------------------------------


def narrow():
    return deeper(20, 32, 64)


def test_the_narrow_model_runs_as_the_deeper_one():
    assert kinds(narrow()) == kinds(deeper())


@pytest.mark.parametrize("make", and_slow([tutorial, narrow], [deeper], "in_ci"))
def test_bits_do_not_depend_on_threads(make):
    x, y = rng.random((70, 28, 28)), rng.integers(0, 10, 70)
    before, results = threads.get_num_threads(), []
    try:
        for n in (1, 2, 3):
            set_num_threads(n)
            set_random_seed(1)
            model = make()
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            history = model.fit(x, y, batch_size=40, epochs=2, verbose=0).history
            results.append((model.flat_params.copy(), history, model.predict(x, verbose=0)))
    finally:
        set_num_threads(before)
    for params, history, p in results[1:]:
        np.testing.assert_array_equal(params, results[0][0])
        assert history == results[0][1]
        np.testing.assert_array_equal(p, results[0][2])


@pytest.mark.parametrize("size", [8, 24])
@pytest.mark.parametrize("normalizes", [False, True])
def test_many_shards_on_many_threads_give_the_same_bits(size, normalizes):
    """As on a machine of many cores: more shards than tops of the tree, more threads than cores."""
    x, y = rng.random((200, 12, 12, 1)).astype(np.float32), rng.integers(0, 10, 200)
    before, results = threads.get_num_threads(), []
    try:
        set_shard_size(size)
        for n in (1, 4, 8, 16):
            set_num_threads(n)
            set_random_seed(1)
            convolution = Conv2D(4, 3, input_shape=(12, 12, 1))
            behind = [BatchNormalization()] if normalizes else []
            model = Sequential([convolution, *behind, ReLU(), Dropout(0.3), Flatten(), Dense(10)])
            loss = SparseCategoricalCrossentropy(from_logits=True)
            model.compile("adam", loss, metrics=["accuracy"])
            history = model.fit(x, y, batch_size=120, verbose=0).history
            results.append((model.flat_params.copy(), history, model.get_weights()))
            network = model.runner(training=True).network
            assert len(network.shards(120)) == 120 // size
            lanes = 120 // size if normalizes else min(120 // size, 3 * n + shards.TOPS)
            assert len(network._lanes) <= lanes
    finally:
        set_num_threads(before)
        set_shard_size(None)
    for params, history, weights in results[1:]:
        np.testing.assert_array_equal(params, results[0][0])
        assert history == results[0][1]
        for ours, theirs in zip(weights, results[0][2]):
            np.testing.assert_array_equal(ours, theirs)


def test_the_shard_size_is_a_whole_number_of_8_or_more():
    assert get_shard_size() is None
    for wrong, kind in ((7, ValueError), (16.0, TypeError), ("16", TypeError), (True, TypeError)):
        with pytest.raises(kind, match="set_shard_size: expected samples"):
            set_shard_size(wrong)
    assert get_shard_size() is None


@pytest.mark.parametrize(("work", "samples"), [(0, 64), (2**20, 64), (2**26 - 1, 64), (2**26, 32)])
def test_large_networks_have_shards_for_more_cores(work, samples):
    assert shards.largest_shard(Plan([], [], work=work)) == samples


def test_the_work_of_a_network_is_its_weights_at_each_position():
    model = tutorial()
    filters, height, width = 32, 26, 26
    convolution = 9 * filters * height * width
    dense = sum(layer.params["W"].size for layer in model.leaves if isinstance(layer, Dense))
    assert model.plan().work == convolution + dense


def test_batch_normalization_between_fused_steps():
    def make():
        return [
            Conv2D(20, 3, input_shape=(8, 8, 1)),
            BatchNormalization(),
            ReLU(),
            Conv2D(24, 3, activation="relu"),
            Flatten(),
            Dense(3),
            Softmax(),
        ]

    fused, plain = pair_of(make)
    assert kinds(fused) == [
        "DirectConvolution",
        "NormalizationStage",
        "WinogradConvolution",
        "SingleDenseStage",
    ]
    draw = np.random.default_rng(2)  # of 30 seeds, one puts a cell so close to ReLU's kink that
    x, y = draw.random((90, 8, 8)), draw.integers(0, 3, 90)  # the two ways fall on its two sides
    for _ in range(3):
        assert fused.train_on_batch(x, y) == pytest.approx(plain.train_on_batch(x, y), rel=1e-4)
    for one, other in zip(fused.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_rescaling_before_the_first_convolution():
    """Nothing before the convolution learns, so it still is the first; and bytes may come in."""

    def make():
        return [
            Rescaling(1 / 255, -0.5, input_shape=(8, 8, 1)),
            Conv2D(20, 3, activation="relu"),
            Flatten(),
            Dense(3),
            Softmax(),
        ]

    fused, plain = pair_of(make)
    assert kinds(fused) == ["RescalingStage", "DirectConvolution", "SingleDenseStage"]
    x, y = rng.integers(0, 256, (90, 8, 8), np.uint8), rng.integers(0, 3, 90)
    for _ in range(3):
        assert fused.train_on_batch(x, y) == pytest.approx(plain.train_on_batch(x, y), rel=1e-5)
    np.testing.assert_allclose(fused.flat_params, plain.flat_params, rtol=1e-4, atol=1e-6)
    inside = Sequential([Dense(3, input_shape=(4,)), Rescaling(2.0), Dense(2)])
    assert kinds(inside) == ["SingleDenseStage", "layer", "SingleDenseStage"]


@pytest.mark.parametrize(
    ("scale", "offset"),
    [([1 / 255, 1 / 128, 0.01], 0.0), (1 / 255, np.array([-0.5, 0, 0.5])), ((2, 3, 4), [1, 2, 3])],
)
def test_rescaling_of_each_channel_by_both_ways(scale, offset):
    def make():
        rescaling = Rescaling(scale, offset, input_shape=(8, 8, 3))
        small = RandomNormal(
            stddev=1e-4
        )  # logits of some 1000 have no digits left behind the point
        return [rescaling, Conv2D(4, 3), Flatten(), Dense(3, kernel_initializer=small), Softmax()]

    fused, plain = pair_of(make)
    assert kinds(fused)[0] == "RescalingStage"
    for x in (rng.integers(0, 256, (90, 8, 8, 3), np.uint8), rng.random((90, 8, 8, 3))):
        batch = x.astype(np.float32)
        step = shards.Lane(fused.plan(), None).stages[0].forward(batch)
        np.testing.assert_array_equal(step, plain.layers[0].forward(batch), strict=True)
        expected = x * np.array(scale) + np.array(offset)
        within(2e-7, "engine, rescaling", error(step, expected))
        ours, theirs = (model.predict(x, verbose=0) for model in (fused, plain))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    y = rng.integers(0, 3, 90)
    assert fused.train_on_batch(x, y) == pytest.approx(plain.train_on_batch(x, y), rel=1e-4)
    for model in (fused, plain):  # a new scale counts from the next call on
        model.layers[0].scale = [0.0, 0.0, 0.0]
        model.layers[0].offset = [0.0, 0.0, 0.0]
        outputs = model.predict(x, verbose=0)
        np.testing.assert_allclose(outputs, outputs[:1].repeat(len(x), axis=0), atol=1e-6)
        before = model.layers[1].get_weights()[0]
        model.train_on_batch(x, y)
        np.testing.assert_array_equal(model.layers[1].get_weights()[0], before)


def test_inputs_of_every_type_are_gathered_alike():
    fused, _ = pair_of(
        lambda: [Conv2D(4, 3, input_shape=(6, 6, 1)), Flatten(), Dense(3), Softmax()]
    )
    images = rng.integers(0, 100, (20, 6, 6))
    expected = fused.predict(images.astype(np.float32), verbose=0)
    wide = np.zeros((20, 6, 12), np.float32)
    wide[..., ::2] = images
    read_only = images.astype(np.float32)
    read_only.flags.writeable = False
    for same in (
        images,
        images.astype(np.uint8),
        images.astype(np.float16),
        images.astype(">f4"),
        np.asfortranarray(images.astype(np.float64)),
        wide[..., ::2],
        read_only,
        images.tolist(),
        images[..., None],
    ):
        np.testing.assert_array_equal(fused.predict(same, verbose=0), expected)


def test_a_batch_of_many_shards_sums_every_one():
    make = lambda: [Dense(5, activation="relu", input_shape=(4,)), Dense(3), Softmax()]  # noqa: E731
    fused, plain = pair_of(make)
    x, y = rng.standard_normal((1000, 4)), rng.integers(0, 3, 1000)
    for model in (fused, plain):
        model.train_on_batch(x, y)
    logits = before_activation(plain.layers)[0]
    assert len(shards.cut(1000)) > 2 * shards.TOPS
    np.testing.assert_allclose(fused.flat_grads, plain.flat_grads, rtol=1e-3, atol=1e-6)
    assert len(logits) == 2


@pytest.mark.parametrize("batch_size", [128, 100])  # 256: two batches, or three with a short one
def test_training_allocates_nothing_that_grows(batch_size):
    import tracemalloc

    model = tutorial()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rng.random((256, 28, 28)).astype(np.float32), rng.integers(0, 10, 256)
    model.fit(x, y, batch_size=batch_size, verbose=0)
    tracemalloc.start()
    try:
        model.fit(x, y, batch_size=batch_size, verbose=0)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        model.fit(x, y, batch_size=batch_size, epochs=5, verbose=0)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000
    assert peak - before < 400_000  # small vectors only: the images alone are 100 kB a shard


def test_shards_of_different_sizes_share_their_buffers():
    model = tutorial()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rng.random((300, 28, 28)).astype(np.float32), rng.integers(0, 10, 300)

    def held():  # bytes of each lane's buffers; of 300 samples the last shard has 44, the others 64
        lanes = model.runner(training=True).network._lanes
        return [
            sum(array.nbytes for stage in lane.stages for array in stage._buffers.values())
            for lane in lanes
        ]

    for _ in range(2):
        model.fit(x, y, batch_size=300, verbose=0)
    lanes, largest = len(held()), max(held())
    model.fit(x, y, batch_size=300, epochs=4, verbose=0)
    assert len(held()) == lanes
    assert max(held()) == largest, "a shard of another size allocated more buffers"


@pytest.mark.in_ci
def test_black_parts_of_an_image_stay_zero():
    """With zero biases ReLU stands at its kink there; Winograd's rounding must not step over it.

    Without care about a seventh of these cells would, and the gradients of the biases be off by a
    quarter of the largest.
    """
    draw = np.random.default_rng(4)
    x = np.zeros((8, 28, 28, 32), np.float32)
    x[:, 8:20, 5:22] = draw.random((8, 12, 17, 32))
    model = Sequential([Input((28, 28, 32)), Dropout(0.0), Conv2D(32, 3, padding="same")])
    lane = shards.Lane(model.plan(), None)
    y = lane.forward(x)
    black = model.layers[1].forward(x) == 0
    assert black.mean() > 0.5
    assert (y[black] != 0).mean() < 0.001


# -- Winograd beside large numbers ----------------------------------------------------------------

SPIKES = {
    "none": lambda x, dy, W: None,
    "a cell of 1e5": lambda x, dy, W: x.__setitem__((0, 5, 6, 3), 1e5),
    "two of 1e6": lambda x, dy, W: x.__setitem__(([0, 1], [5, 0], [6, 0], [3, 1]), [1e6, -1e6]),
    "a pixel of 1e20": lambda x, dy, W: x.__setitem__((2, 2, 2), 1e20),
    "no data in a tenth": lambda x, dy, W: x.__setitem__(rng.random(x.shape[:3]) < 0.1, -9999),
    "half of it faint": lambda x, dy, W: x.__setitem__((slice(None), slice(7)), 1e-6 * x[:, :7]),
    "a gradient of 1e6": lambda x, dy, W: dy.__setitem__((1, 3, 4, 2), 1e6),
    "a weight of 1e4": lambda x, dy, W: W.__setitem__((0, 1, 2, 3), 1e4),
}


def numbers_of_both_ways(x, dy, W, padding):
    """y, dx and dW by Winograd, by the layer in float64, and the sums of their |a| |b|."""
    x, dy, W = (array.astype(np.float32) for array in (x, dy, W))
    C, F = W.shape[2:]

    def by_layer(x, dy, W):
        layer = Conv2D(F, 3, padding=padding, use_bias=False, dtype="float64")
        layer.build(x.shape)
        layer.params["W"][...] = W
        return layer.forward(x), layer.backward(dy), layer.grads["W"].copy()

    conv = Conv2D(F, 3, padding=padding, use_bias=False)
    model = Sequential([Input(x.shape[1:]), Conv2D(C, 1), conv])
    conv.params["W"][...] = W
    step = shards.Lane(model.plan(), np.zeros(model.flat_params.size, np.float32)).stages[1]
    assert isinstance(step, convolutions.WinogradConvolution)
    found = step.forward(x, True).copy(), step.backward(dy).copy(), step.conv.grads["W"]
    return found, by_layer(x, dy, W), by_layer(*(np.abs(array) for array in (x, dy, W)))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("spike", SPIKES)
def test_small_numbers_beside_large_ones_keep_their_digits(spike, padding):
    """Each number of y, dx and dW within 1024 * 2^-24 of the sum of its own |a| |b|.

    By Winograd alone the other outputs of a tile with 1e6 were 0.9 off.
    """
    H = 14 if padding == "same" else 12
    x, W = rng.random((3, 14, 14, 18)), 0.1 * rng.standard_normal((3, 3, 18, 40))
    dy = rng.standard_normal((3, H, H, 40))
    SPIKES[spike](x, dy, W)
    for found, right, size in zip(*numbers_of_both_ways(x, dy, W, padding)):
        assert (np.abs(found - right) <= 1024 * 2.0**-24 * size).all()


@pytest.mark.parametrize("exponent", range(0, 33, 4))
@pytest.mark.parametrize("channels", and_slow([18], [32], "in_ci"))
@pytest.mark.parametrize("spike", ["pixel", "cell", "gradient", "gradients"])
def test_one_large_number_of_any_size_takes_no_digits_from_the_others(spike, channels, exponent):
    """Within 8192 * 2^-24 of each number's own sum, the c that design.md states."""
    rng = np.random.default_rng([exponent, channels])
    x, W = rng.random((2, 12, 12, channels)), 0.1 * rng.standard_normal((3, 3, channels, 24))
    dy = rng.standard_normal((2, 12, 12, 24))
    array, place = {
        "pixel": (x, (0, 5, 6)),
        "cell": (x, (0, 5, 6, 3)),
        "gradient": (dy, (1, 4, 8, 2)),
        "gradients": (dy, (1, 4, 8)),
    }[spike]
    array[place] *= 2.0**exponent
    for found, right, size in zip(*numbers_of_both_ways(x, dy, W, "same")):
        assert (np.abs(found - right) <= 8192 * 2.0**-24 * size).all()


@draws(60, quick=3)
@given(SEEDS)
def test_random_convolutions_by_winograd(seed):
    """As in the drawn networks, where channels are too few for it; of any number of chunks."""
    draw = np.random.default_rng(seed)
    C, F = (int(size) for size in draw.choice([17, 24, 32, 40, 65, 130], 2))
    n, (H, W), padding = (
        draw.integers(1, 9),
        draw.integers(6, 20, 2),
        draw.choice(["same", "valid"]),
    )
    beyond = 2 * (padding == "valid")
    assume(convolutions.winograd_pays(C, F, H - beyond, W - beyond))
    x, dy = draw.random((n, H, W, C)), draw.standard_normal((n, H - beyond, W - beyond, F))
    x[:, : H // 3], dy[draw.random(dy.shape) < 0.5] = 0, 0
    kernel = draw.standard_normal((3, 3, C, F))
    for found, right, size in zip(*numbers_of_both_ways(x, dy, kernel, str(padding))):
        assert (np.abs(found - right) <= 1024 * 2.0**-24 * size).all()


def test_weights_near_the_largest_float32_make_no_infinity():
    """Where y and dx are finite: a sum of two weights of U is not, unless it is scaled before."""
    x, dy = 1e-10 * rng.random((2, 12, 12, 18)), 1e-10 * rng.random((2, 12, 12, 24))
    with np.errstate(all="ignore"):
        both = numbers_of_both_ways(x, dy, np.full((3, 3, 18, 24), 2e38), "same")
    for found, right, _ in zip(*both):
        np.testing.assert_allclose(found, right, rtol=1e-4)


def test_an_output_whose_window_is_black_is_exactly_zero():
    """And so is dx where no gradient reaches: nothing of the tile's other numbers is left there."""
    x, W, dy = (
        rng.random((2, 12, 12, 18)),
        rng.standard_normal((3, 3, 18, 24)),
        np.zeros((2, 12, 12, 24)),
    )
    x[:, 2:7, 3:9] = 0
    dy[:, 5, 5], dy[1, 11, 0, 2] = 1, 3
    for found, _, size in list(zip(*numbers_of_both_ways(x, dy, W, "same")))[:2]:
        assert (size == 0).sum() > 100
        assert not found[size == 0].any()


def test_nan_reaches_all_that_depends_on_it():
    """Neither above nor below any number, it made some of its windows count as black."""
    for place in range(16):
        x, dy = rng.random((1, 8, 8, 18)), rng.random((1, 8, 8, 24))
        h, w = 2 + place // 4, 2 + place % 4
        x[0, h, w, 3] = dy[0, h, w, 3] = np.nan
        with np.errstate(all="ignore"):
            both = numbers_of_both_ways(x, dy, rng.standard_normal((3, 3, 18, 24)), "same")
        for found, right, _ in zip(*both):
            assert np.isnan(found[np.isnan(right)]).all()


class OfFloat64(Tanh):
    """Gives back a gradient of another type, of which every other number is in use."""

    def backward(self, dy):
        dx = np.repeat(super().backward(dy).astype(np.float64), 2, axis=-1)
        return dx[..., ::2]


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", OfFloat64])
@pytest.mark.parametrize("kind", [Dense, lambda *args, **kwargs: Conv2D(*args, 1, **kwargs)])
def test_a_gradient_of_another_type_reaches_the_products(kind, activation):
    def make():
        own = activation if isinstance(activation, str) else activation()
        hidden = kind(20, activation=own)
        return [kind(20), LayerNormalization(), hidden, OfFloat64(), Flatten(), Dense(3)]

    shape, weights = ((18,) if kind is Dense else (3, 3, 18)), []
    data, y = np.random.default_rng(0).random((10, *shape), np.float32), np.arange(30.0)
    for jit_compile in (True, False):
        set_random_seed(0)
        model = Sequential([Input(shape), *make()])
        model.compile(SGD(0.01), "mse", jit_compile=jit_compile)
        model.train_on_batch(data, y.reshape(10, 3))
        weights.append(model.flat_params.copy())
    assert kinds(model)[0] == "layer"
    np.testing.assert_allclose(*weights, atol=1e-5)


# -- inputs that are used from where they are -----------------------------------------------------

FIRST = {
    "dense": (Flatten, lambda: Dense(3)),
    "activation": (Tanh,),
    "pooling": (MaxPooling2D,),
    "direct": (lambda: Conv2D(16, 3),),
    "interleaved": (lambda: Conv2D(4, 3),),
    "pointwise": (lambda: Conv2D(16, 1),),
    "separable": (lambda: SeparableConv2D(16, 3),),
    "normalization": (BatchNormalization,),
    "layer normalization": (LayerNormalization,),
    "group normalization": (lambda: GroupNormalization(4),),
}


@pytest.mark.parametrize("first", FIRST)
def test_predicting_does_not_hold_on_to_x(first):
    x = rng.random((20, 6, 6, {"direct": 1}.get(first, 16)), np.float32)
    model = Sequential([Input(x.shape[1:]), *[make() for make in FIRST[first]], Flatten()])
    assert kinds(model)[0] != "layer"
    held = weakref.ref(x)
    model.predict(x, verbose=0)
    del x
    until = time.monotonic() + 10  # a helper thread lets go of its job a moment later
    while held() is not None and time.monotonic() < until:
        time.sleep(0.001)
    assert held() is None


class InPlace(Layer):
    """Writes into what it is given."""

    def forward(self, x, training=False):
        x *= 2
        return x

    def backward(self, dy):
        return dy * 2


@pytest.mark.parametrize("first", [[], [Flatten()]])
def test_a_layer_that_writes_into_its_inputs_leaves_the_user_s_array_alone(first):
    x = rng.random((20, 3, 2), np.float32)
    before, model = x.copy(), Sequential([Input((3, 2)), *first, InPlace(), Flatten(), Dense(2)])
    assert model.plan().fuses
    model.compile("sgd", "mse")
    model.predict(x, verbose=0)
    model.evaluate(x, np.zeros((20, 2)), verbose=0)
    np.testing.assert_array_equal(x, before)

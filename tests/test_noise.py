"""The layers that draw random numbers in training: their statistics, streams and shapes."""

import numpy as np
import pytest

from minicnn import Input, Sequential, get_num_threads, kernels, set_num_threads
from minicnn.layers import (
    AlphaDropout,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout2D,
)

KINDS = {
    "AlphaDropout": lambda **seed: AlphaDropout(0.4, **seed),
    "Dropout": lambda **seed: Dropout(0.4, noise_shape=(None, 1, None, None), **seed),
    "GaussianDropout": lambda **seed: GaussianDropout(0.4, **seed),
    "GaussianNoise": lambda **seed: GaussianNoise(0.4, **seed),
    "SpatialDropout2D": lambda **seed: SpatialDropout2D(0.4, **seed),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def test_normal_numbers_are_normal():
    z = np.empty(1_000_000)
    kernels.normal(0x12345678, 0x9ABCDEF0, 0, z)
    n = len(z)
    moments = [(z**k).mean() for k in (1, 2, 3, 4)]
    for moment, true, spread in zip(moments, (0, 1, 0, 3), (1, 2, 15, 96)):
        assert abs(moment - true) < 5 * np.sqrt(spread / n)
    for bound, share in ((0, 0.5), (1, 0.841345), (-2, 0.0227501), (3, 0.9986501)):
        assert abs((z < bound).mean() - share) < 5 * np.sqrt(share * (1 - share) / n)
    for lag in (1, 2, 28, 784):  # neighbours in a row, a column, a batch
        assert abs((z[lag:] * z[:-lag]).mean()) < 5 / np.sqrt(n)
    other = np.empty(n)
    kernels.normal(0x12345679, 0x9ABCDEF0, 0, other)
    assert abs((z * other).mean()) < 5 / np.sqrt(n)
    assert np.abs(z).max() < 6.7


def test_numbers_depend_on_their_counter_alone():
    whole, part = np.empty(100), np.empty(40)
    kernels.normal(1, 2, 1000, whole)
    kernels.normal(1, 2, 1060, part)
    np.testing.assert_array_equal(whole[60:], part)


@pytest.mark.parametrize("stddev", [0.1, 1.0])
def test_gaussian_noise(stddev):
    x = np.full((400, 500), 3.0)
    y = GaussianNoise(stddev, seed=1).forward(x, training=True)
    assert y.mean() == pytest.approx(3, abs=5 * stddev / np.sqrt(y.size))
    assert y.std() == pytest.approx(stddev, rel=0.01)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_gaussian_dropout(rate):
    y = GaussianDropout(rate, seed=1).forward(np.full((400, 500), 2.0), training=True) / 2
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert y.var() == pytest.approx(rate / (1 - rate), rel=0.02)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(rate):
    x = np.random.default_rng(1).standard_normal((400, 500))
    y = AlphaDropout(rate, seed=1).forward(x, training=True)
    assert y.mean() == pytest.approx(0, abs=0.02)
    assert y.var() == pytest.approx(1, rel=0.02)
    p = -1.7580993408473766
    a = ((1 - rate) * (1 + rate * p * p)) ** -0.5
    low = a * p - a * p * rate  # what a dropped cell becomes
    assert np.isclose(y, low).mean() == pytest.approx(rate, abs=0.01)


def test_spatial_dropout_takes_whole_channels():
    y = SpatialDropout2D(0.25, seed=3).forward(np.ones((50, 4, 5, 40)), training=True)
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert (y[:, 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.05)
    with pytest.raises(ValueError, match=r"expected input of shape \(N, H, W, C\)"):
        SpatialDropout2D(0.25).forward(np.ones((3, 4)), training=True)


@pytest.mark.parametrize("kind", [Dropout, AlphaDropout])
@pytest.mark.parametrize(
    "noise_shape", [(None, 1, None), (1, None, None), [6, 1, 40], (None, None, 1), (40,), (1, 40)]
)
def test_a_noise_shape_shares_decisions(kind, noise_shape):
    y = kind(0.5, noise_shape, seed=5).forward(np.ones((6, 5, 40)), training=True)
    padded = (1,) * (3 - len(noise_shape)) + tuple(noise_shape)
    shared = tuple(slice(0, 1) if n == 1 else slice(None) for n in padded)
    np.testing.assert_array_equal(y, np.broadcast_to(y[shared], y.shape))
    assert len(np.unique(y)) == 2
    for axis, n in enumerate(padded):
        if n != 1:
            assert (np.diff(y, axis=axis) != 0).any()


@pytest.mark.parametrize("kind", [Dropout, AlphaDropout])
@pytest.mark.parametrize(
    ("noise_shape", "error", "words"),
    [
        ((None, 0), ValueError, "each size of noise_shape"),
        ((None, -1), ValueError, "each size of noise_shape"),
        ((None, 1.5), TypeError, "each size of noise_shape"),
        (3, TypeError, "noise_shape to be a tuple"),
        ((), ValueError, "noise_shape to be a tuple"),
        ((None, 2, 4), ValueError, "noise_shape to have 1 or the input's size"),
        ((None, 1, 1, 4), ValueError, "noise_shape to have 1 or the input's size"),
    ],
)
def test_noise_shapes_that_are_none(kind, noise_shape, error, words):
    def used():
        kind(0.5, noise_shape).build((None, 5, 4))

    with pytest.raises(error, match=words):
        used()


@every_kind
def test_numbers_do_not_depend_on_threads_shards_or_the_way_through(make):
    def outcome(threads, **compiled):
        model = Sequential([Input((4, 4, 2)), Conv2D(4, 3), make(seed=3), Flatten(), Dense(1)])
        rng = np.random.default_rng(2)
        model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
        model.compile("sgd", "mse", **compiled)
        before = get_num_threads()
        set_num_threads(threads)
        try:
            losses = [model.train_on_batch(x, y) for _ in range(3)]
        finally:
            set_num_threads(before)
        return losses, model.get_weights()

    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((70, 4, 4, 2)).astype("float32"), rng.standard_normal((70, 1))
    one, two, plain = outcome(1), outcome(2), outcome(1, jit_compile=False)
    assert one[0] == two[0]
    for mine, its in zip(one[1], two[1]):
        np.testing.assert_array_equal(mine, its)
    np.testing.assert_allclose(one[0], plain[0], rtol=1e-5)


@every_kind
def test_a_seed_repeats_and_steps_differ(make):
    x = np.ones((8, 4, 4, 6))
    one, other = make(seed=3), make(seed=3)
    first, second = one.forward(x, training=True), one.forward(x, training=True)
    np.testing.assert_array_equal(first, other.forward(x, training=True))
    assert (first != second).any()
    assert (first != make(seed=4).forward(x, training=True)).any()
    assert (make().forward(x, training=True) != make().forward(x, training=True)).any()


@every_kind
def test_nothing_happens_outside_of_training(make):
    x = np.random.default_rng(6).standard_normal((3, 4, 4, 2))
    layer = make()
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer.backward(x), x)


@pytest.mark.both_ways
def test_dropout_with_a_noise_shape_is_not_fused_as_a_plain_one():
    model = Sequential(
        [Input((5,)), Dense(8, activation="relu", use_bias=False), Dropout(0.5, (1, None), seed=1)]
    )
    model.set_weights([np.ones((5, 8))])
    model.compile("sgd", "mse")
    y = model(np.ones((20, 5)), training=True)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:1], y.shape))
    assert "dropout" not in str(model.plan()).splitlines()[0].split("matrix")[-1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianNoise(1.5),
        lambda: GaussianNoise(-0.1),
        lambda: GaussianDropout(1.0),
        lambda: GaussianDropout(-0.1),
        lambda: AlphaDropout(1),
        lambda: AlphaDropout(1.2),
        lambda: SpatialDropout2D(1.2),
        lambda: Dropout(-0.2),
        lambda: GaussianNoise(0.1, seed=-1),
    ],
)
def test_values_out_of_range(make):
    with pytest.raises(ValueError, match="expected (rate|stddev|seed) to be"):
        make()

"""Layers that move, pad, resize or scale numbers: Keras's numbers, forms and errors."""

import numpy as np
import pytest

from minicnn import Input, Sequential, layers
from minicnn.layers import (
    AveragePooling2D,
    CenterCrop,
    Conv2D,
    Conv2DTranspose,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    Normalization,
    Permute,
    RepeatVector,
    Reshape,
    Resizing,
    SeparableConv2D,
    SpatialDropout2D,
    UnitNormalization,
    UpSampling2D,
    ZeroPadding2D,
)

X = np.arange(16.0).reshape(1, 4, 4, 1)


def test_resizing_as_keras():
    np.testing.assert_allclose(Resizing(2, 2)(X)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    first = Resizing(3, 3)(X)[0, 0, :, 0]
    np.testing.assert_allclose(first, [0.8333333, 2.1666667, 3.5], rtol=1e-6)
    nearest = Resizing(3, 3, interpolation="nearest")(X)[0, :, :, 0]
    np.testing.assert_array_equal(nearest, [[0, 2, 3], [8, 10, 11], [12, 14, 15]])


def test_upsampling_as_keras():
    x = np.arange(4.0).reshape(1, 2, 2, 1)
    y = UpSampling2D(interpolation="bilinear")(x)[0, :, :, 0]
    expected = [[0, 0.25, 0.75, 1], [0.5, 0.75, 1.25, 1.5], [1.5, 1.75, 2.25, 2.5]]
    np.testing.assert_allclose(y, [*expected, [2, 2.25, 2.75, 3]])
    np.testing.assert_array_equal(UpSampling2D((1, 2))(x)[0, :, :, 0], [[0, 0, 1, 1], [2, 2, 3, 3]])


@pytest.mark.parametrize("name", ["bicubic", "lanczos3", "lanczos5", "area"])
@pytest.mark.parametrize(
    "make", [lambda **k: UpSampling2D(**k), lambda **k: Resizing(2, 2, **k)], ids=["up", "resize"]
)
def test_interpolations_of_keras_alone_are_refused_by_name(make, name):
    with pytest.raises(ValueError, match=f"interpolation to be bilinear or nearest.*'{name}'"):
        make(interpolation=name)
    with pytest.raises(ValueError, match="one of bilinear, nearest"):
        make(interpolation="linear")


def test_the_middle_is_cut_out():
    x = np.arange(42.0).reshape(1, 6, 7, 1)
    np.testing.assert_array_equal(CenterCrop(3, 4)(x), x[:, 1:4, 1:5])
    smaller = np.arange(6.0).reshape(1, 2, 3, 1)  # resized after a cut to 2x2
    np.testing.assert_allclose(CenterCrop(4, 4)(smaller), Resizing(4, 4)(smaller[:, :, :2]))


def test_resizing_keeps_the_ratio_where_it_is_asked_to():
    x = np.random.default_rng(1).random((2, 6, 4, 3))
    cut = Resizing(4, 4, crop_to_aspect_ratio=True)(x)
    np.testing.assert_allclose(cut, x[:, 1:5])
    padded = Resizing(6, 6, pad_to_aspect_ratio=True, fill_value=7)(x)
    np.testing.assert_allclose(padded[:, :, 1:5], x)
    assert (padded[:, :, [0, 5]] == 7).all()
    with pytest.raises(ValueError, match="crop_to_aspect_ratio or pad_to_aspect_ratio"):
        Resizing(2, 2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)
    with pytest.raises(ValueError, match="fill_mode can only be 'constant'"):
        Resizing(2, 2, fill_mode="reflect")


@pytest.mark.parametrize("name", ["padding", "cropping"])
def test_three_forms_of_sides(name):
    kind = ZeroPadding2D if name == "padding" else Cropping2D
    for given, sides in (
        (2, ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        ([[1, 0], [2, 3]], ((1, 0), (2, 3))),
        ((1, (0, 2)), ((1, 1), (0, 2))),
    ):
        assert getattr(kind(given), name) == sides
    for wrong, error in (
        (-1, ValueError),
        ((1, 2, 3), ValueError),
        (((1, 2, 3), (1, 2)), ValueError),
        ((1, -2), ValueError),
        ("same", TypeError),
        (1.5, TypeError),
        ((1.5, 1), TypeError),
        (None, TypeError),
    ):
        with pytest.raises(error, match=f"expected {name} to be"):
            kind(wrong)


def test_cropping_leaves_something():
    with pytest.raises(ValueError, match="cropping to leave something of the input"):
        Cropping2D(2).forward(X)


def test_reshape():
    assert Reshape((-1, 2)).output_shape((None, 12)) == (None, 6, 2)
    assert Reshape((2, -1, 3)).output_shape((None, 12)) == (None, 2, 2, 3)
    assert Reshape(()).output_shape((5, 1)) == (5,)
    assert Reshape((-1, 2)).output_shape((None, None, 4)) == (None, None, 2)
    with pytest.raises(ValueError, match="at most one -1"):
        Reshape((-1, -1))
    for wrong in ((5, -1), (3, 5), (12, 2)):
        with pytest.raises(ValueError, match="expected samples that fill"):
            Reshape(wrong).output_shape((None, 12))
    for wrong, error in ((12, TypeError), ((0, 3), ValueError), ((-2, 3), ValueError)):
        with pytest.raises(error, match="target_shape"):
            Reshape(wrong)


def test_permute_and_repeat_vector():
    assert Permute((2, 1)).output_shape((None, 10, 64)) == (None, 64, 10)
    for wrong in ((0, 1), (1, 3), (1, 1)):
        with pytest.raises(ValueError, match="dims"):
            Permute(wrong)
    with pytest.raises(ValueError, match="expected input of 2 axes behind the batch"):
        Permute((2, 1)).output_shape((None, 10))
    assert RepeatVector(3).output_shape((None, 32)) == (None, 3, 32)
    with pytest.raises(ValueError, match=r"\(N, features\)"):
        RepeatVector(3).output_shape((None, 3, 2))
    with pytest.raises(TypeError, match="n to be an integer"):
        RepeatVector(1.5)


def test_of_equal_cells_each_takes_a_share():
    layer = GlobalMaxPooling2D()
    layer.forward(np.array([1.0, 7, 7, 7]).reshape(1, 2, 2, 1))
    np.testing.assert_allclose(layer.backward([[3.0]]).ravel(), [0, 1, 1, 1])
    assert layers.GlobalMaxPool2D is GlobalMaxPooling2D


# -- normalization --------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [-1, 1, None, (1, 3), [-1, 2], (1, 2, 3)])
def test_adapt_finds_mean_and_variance(axis):
    x = np.random.default_rng(2).normal(100, 3, (40, 4, 3, 2)).astype("float32")
    layer = Normalization(axis=axis)
    layer.adapt(x)
    kept = {} if axis is None else {k % 4 for k in np.atleast_1d(axis).tolist()}
    over = tuple(k for k in range(4) if k not in kept)
    true = x.astype("float64")
    np.testing.assert_allclose(layer.state["mean"], true.mean(axis=over), rtol=1e-6)
    np.testing.assert_allclose(layer.state["variance"], true.var(axis=over), rtol=1e-5)
    y = layer(x)
    np.testing.assert_allclose(y.mean(axis=over), np.zeros_like(y.mean(axis=over)), atol=1e-4)
    np.testing.assert_allclose(y.std(axis=over), np.ones_like(y.std(axis=over)), rtol=1e-4)
    back = Normalization(axis=axis, invert=True)
    back.adapt(x)
    np.testing.assert_allclose(back(y), x, rtol=1e-5)


@pytest.mark.parametrize("axis", [-1, 1, None, (1, 3)])
def test_mean_and_variance_can_be_read_in_the_shape_that_stretches_over_x(axis):
    x = np.random.default_rng(2).normal(100, 3, (40, 4, 3, 2))
    layer = Normalization(axis=axis, dtype="float64")
    assert layer.mean is None
    layer.build((None, 4, 3, 2))
    kept = {} if axis is None else {k % 4 for k in np.atleast_1d(axis).tolist()}
    over = tuple(k for k in range(4) if k not in kept)
    shape = x.mean(axis=over, keepdims=True).shape
    np.testing.assert_array_equal(layer.mean, np.zeros(shape))
    np.testing.assert_array_equal(layer.variance, np.ones(shape))
    layer.adapt(x)
    np.testing.assert_allclose(layer.mean, x.mean(axis=over, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(layer.variance, x.var(axis=over, keepdims=True), rtol=1e-12)
    with pytest.raises(ValueError, match="read-only"):
        layer.mean[...] = 0
    assert layer.get_config()["mean"] is None  # what was given, as in Keras
    given = Normalization(axis=axis, mean=2.0, variance=9.0)
    given(x)
    np.testing.assert_array_equal(given.mean, np.full(shape, 2.0), strict=True)
    np.testing.assert_array_equal(given.variance, np.full(shape, 9.0), strict=True)
    assert given.get_config()["variance"] == 9.0


def test_normalization_of_samples_with_other_axes():
    images = np.random.default_rng(2).normal(100, 3, (40, 4, 3, 2))
    layer = Normalization()
    layer.adapt(images)
    np.testing.assert_array_equal(layer(images[:, 0, 0]), layer(images)[:, 0, 0])
    layer = Normalization(axis=3)
    layer.adapt(images)
    with pytest.raises(ValueError, match="expected axis among the axes 1 to 2 of the input"):
        layer(images[:, 0])


def test_the_shortest_vector_that_gets_length_1_is_keras_s():
    x = np.array([[3e-9, 4e-9], [3e-13, 4e-13]])  # the second is shorter than 1e-12
    np.testing.assert_allclose(UnitNormalization()(x), [[0.6, 0.8], [0.3, 0.4]], rtol=1e-12)


@pytest.mark.parametrize("axis", [-1, 2, [2, 1], [-1]])
def test_unit_normalization_has_its_axis_as_it_was_given(axis):
    layer = UnitNormalization(axis)
    layer(np.ones((2, 3, 4)))
    assert layer.axis == layer.get_config()["axis"] == axis


def test_both_poolings_have_the_same_defaults():
    maximum, average = MaxPooling2D(), AveragePooling2D()
    for key in ("pool_size", "strides", "padding"):
        assert getattr(maximum, key) == getattr(average, key)


def test_arguments_behind_data_format_have_keras_s_places():
    assert Conv2D(2, 3, 1, "same", None, 1, 2, "relu").groups == 2
    assert Conv2DTranspose(2, 3, 2, "same", 1, "channels_last", 1, "relu", False).use_bias is False
    assert DepthwiseConv2D(3, 1, "valid", 2, None, 2).dilation_rate == (2, 2)
    assert SeparableConv2D(3, 3, 1, "valid", None, 1, 2).depth_multiplier == 2
    assert UpSampling2D(2, None, "bilinear").interpolation == "bilinear"
    assert SpatialDropout2D(0.5, None, 7).seed == 7
    assert GlobalAveragePooling2D("channels_last", True).keepdims is True
    assert GlobalMaxPooling2D(None, True).keepdims is True
    assert Resizing(2, 2, "nearest", False, True, "constant", 0.5).fill_value == 0.5
    for make in (
        lambda: Conv2D(2, 3, 1, "same", "channels_first"),
        lambda: UpSampling2D(2, "bilinear"),
        lambda: GlobalMaxPooling2D(True),
    ):
        with pytest.raises(ValueError, match="data_format can only be None or 'channels_last'"):
            make()


def test_batches_give_what_the_whole_gives():
    x = np.random.default_rng(3).normal(5, 2, (50, 3))
    whole, parts, made, pairs = (Normalization(dtype="float64") for _ in range(4))
    whole.adapt(x)
    batches = [x[:7], x[7:30], x[30:]]
    parts.adapt(batches)
    made.adapt(batch for batch in batches)
    pairs.adapt((batch, None) for batch in batches)
    for one in (parts, made, pairs):
        for key in ("mean", "variance"):
            np.testing.assert_allclose(one.state[key], whole.state[key], rtol=1e-12)
    whole.adapt(x + 1)  # forgets what was
    np.testing.assert_allclose(whole.state["mean"], x.mean(axis=0) + 1, rtol=1e-12)


def test_adapt_before_and_behind_fit():
    x = np.random.default_rng(4).normal(50, 9, (64, 3))
    layer = Normalization()
    layer.adapt(x)
    model = Sequential([Input((3,)), layer, Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1] / 50, epochs=2, verbose=0)
    np.testing.assert_allclose(layer.state["mean"], x.mean(axis=0), rtol=1e-5)
    assert [w.name for w in layer.weights] == ["mean", "variance", "count"]
    assert layer.count_params() == 7
    assert not any(w.trainable for w in layer.weights)
    before = model.predict(x, verbose=0)
    layer.adapt(2 * x)
    assert np.abs(model.predict(x, verbose=0) - before).max() > 1e-3


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ([], ValueError, "at least one batch"),
        ([[1.0, 2.0, 3.0]], TypeError, "batches of arrays"),
        (3.0, TypeError, "an array or batches"),
        ("data", TypeError, "an array or batches"),
        (np.array([[1.0, np.nan, 3.0]]), ValueError, "data to be finite"),
        (np.zeros((0, 3)), ValueError, "data with samples"),
        (np.zeros((4, 2)), ValueError, "received"),
        ([np.zeros((4, 3)), np.zeros((4, 2))], ValueError, "received"),
        (np.array([["a"] * 3]), TypeError, "real numbers"),
        (np.array([[1.0, 1e300, 3.0], [1.0, 2.0, 3.0]]), ValueError, "the mean of data"),
        (np.array([[1.0, 1e30, 3.0], [1.0, 2.0, 3.0]]), ValueError, "the variance of data"),
    ],
)
def test_data_that_are_none_leave_all_unchanged(data, error, words):
    layer = Normalization()
    layer.adapt(np.random.default_rng(5).random((9, 3)))
    before = layer.get_weights()
    with pytest.raises(error, match=words):
        layer.adapt(data)
    for one, other in zip(before, layer.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_normalization_by_given_numbers():
    x = np.array([[1.0, 40.0]])
    np.testing.assert_allclose(Normalization(mean=[0, 10], variance=[1, 100])(x), [[1, 3]])
    np.testing.assert_allclose(Normalization(mean=1, variance=4)(x), [[0, 19.5]])
    assert Normalization(mean=[0, 1], variance=[1, 1]).get_config()["mean"] == [0.0, 1.0]
    constant = Normalization(mean=1.0, variance=0.0)(np.array([[1.0, 2.0]]))
    np.testing.assert_allclose(constant, [[0, 1e7]], rtol=1e-5)  # as Keras: 1e-7 instead of 0
    for wrong in (
        {"mean": 1.0},
        {"variance": 1.0},
        {"mean": [1, 2], "variance": 1.0},
        {"mean": [[1.0]], "variance": [[1.0]]},
        {"mean": 1.0, "variance": -1.0},
        {"axis": None, "mean": [1.0], "variance": [1.0]},
    ):
        with pytest.raises(ValueError, match="expected (mean|variance)"):
            Normalization(**wrong)
    with pytest.raises(ValueError, match="adapt for a layer without mean"):
        Normalization(mean=1.0, variance=2.0).adapt(x)
    with pytest.raises(ValueError, match="sizes"):
        Normalization(mean=[1, 2, 3], variance=[1, 2, 3])(x)


def test_vectors_of_length_0_and_of_any_length():
    layer = UnitNormalization()
    x = np.array([[0.0, 0.0], [3e30, 4e30], [3e-5, 4e-5]], "float32")
    y = layer(x)
    np.testing.assert_allclose(y, [[0, 0], [0.6, 0.8], [0.6, 0.8]], rtol=1e-6)
    assert np.isfinite(layer.backward(np.ones_like(y))).all()


def test_summary_of_a_network_without_flatten(capsys):
    model = Sequential(
        [
            Input((8, 8, 1)),
            ZeroPadding2D(1),
            layers.Conv2D(4, 3),
            layers.GlobalAveragePooling2D(),
            Dense(3),
        ]
    )
    model.summary()
    text = capsys.readouterr().out
    assert "(None, 10, 10, 1)" in text
    assert "global_average_pooling2d" in text
    assert text.count("(None, 4)") == 1


@pytest.mark.parametrize("kind", [Resizing, CenterCrop])
def test_a_single_image_is_resized_like_one_of_a_batch(kind):
    image = np.random.default_rng(6).random((4, 5, 3))
    np.testing.assert_array_equal(kind(2, 2)(image), kind(2, 2)(image[None])[0])
    with pytest.raises(ValueError, match=r"expected input of shape \(N, H, W, C\), received \(4, "):
        kind(2, 2)(np.ones((4, 5)))

"""The layers that vary images in training: what they draw, when they act, where they stand."""

import numpy as np
import pytest

from minicnn import Input, Sequential, get_num_threads, set_num_threads
from minicnn.engine.lanes import Lane
from minicnn.layers import (
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    Layer,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
    Resizing,
)
from minicnn.optimizers import SGD

rng = np.random.default_rng(110)

KINDS = {
    "RandomBrightness": lambda **seed: RandomBrightness(0.5, (-3, 3), **seed),
    "RandomContrast": lambda **seed: RandomContrast(0.5, (-3, 300), **seed),
    "RandomErasing": lambda **seed: RandomErasing(1.0, (0.2, 0.6), None, (-3, 3), **seed),
    "RandomFlip": lambda **seed: RandomFlip("horizontal", **seed),
    "RandomRotation": lambda **seed: RandomRotation(0.1, **seed),
    "RandomTranslation": lambda **seed: RandomTranslation(0.2, 0.2, **seed),
    "RandomZoom": lambda **seed: RandomZoom(0.3, **seed),
}
every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def uniform(values, low, high):
    """Assert that the numbers are uniform in [low, high]: mean, variance, and ten equal parts."""
    n = len(values)
    u = (np.asarray(values) - low) / (high - low)
    assert u.min() >= -1e-6
    assert u.max() <= 1 + 1e-6
    assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / n)
    counts = np.histogram(u, 10, (0, 1))[0]
    assert ((counts - n / 10) ** 2 / (n / 10)).sum() < 40  # chi-squared of 9: p = 1e-5


def independent(one, other):
    """Assert that two series of numbers have no correlation, nor a series with its neighbours."""
    n = len(one)
    one, other = one - np.mean(one), other - np.mean(other)
    spread = np.std(one) * np.std(other)
    assert abs((one * other).mean()) < 5 * spread / np.sqrt(n)
    for lag in (1, 2, 32, 64):
        assert abs((one[lag:] * one[:-lag]).mean()) < 5 * one.var() / np.sqrt(n)


# -- what is drawn --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_a_flip_is_a_fair_coin_for_each_image_and_step(mode):
    image = np.arange(4.0).reshape(1, 2, 2, 1)
    layer, n = RandomFlip(mode, seed=1), 20_000
    x = np.tile(image, (n, 1, 1, 1))
    first, second = (layer(x)[:, 0, 0, 0] != 0 for _ in range(2))
    for coins in (first, second):
        assert abs(coins.mean() - 0.5) < 5 * 0.5 / np.sqrt(n)
    independent(first.astype(float), second.astype(float))
    axes = [k for k, word in ((1, "vertical"), (2, "horizontal")) if word in mode]
    seen = {tuple(y.ravel()) for y in layer(x)}
    assert seen == {tuple(image.ravel()), tuple(np.flip(image, axes).ravel())}


def test_translations_are_uniform_and_independent():
    """Where a ramp says how far it was moved."""
    n, size = 20_000, 40
    ramp = np.arange(size, dtype=float)
    down = np.broadcast_to(ramp[:, None, None], (n, size, 3, 1))
    layer = RandomTranslation((-0.25, 0.5), 0, seed=2)
    first, second = (size / 2 - layer(down)[:, size // 2, 1, 0] for _ in range(2))
    # within half a pixel of the far edge, the ramp ends
    uniform(first, -0.25 * size, 0.5 * size)
    independent(first, second)
    size = 16  # of a whole image, of which there are many
    ramp = ramp[:size]
    both = np.stack(np.broadcast_arrays(ramp[:, None], ramp), axis=2)
    layer = RandomTranslation(0.25, 0.25, seed=3)
    moved = size / 2 - layer(np.broadcast_to(both, (n, size, size, 2)))[:, size // 2, size // 2]
    uniform(moved[:, 0], -0.25 * size, 0.25 * size)
    uniform(moved[:, 1], -0.25 * size, 0.25 * size)
    independent(moved[:, 0], moved[:, 1])


def test_rotations_are_uniform():
    """Coordinates around the middle turn with the image."""
    n, size = 20_000, 9
    at = np.arange(size) - size // 2
    both = np.stack(np.broadcast_arrays(at[:, None], at), axis=2).astype(float)
    y = RandomRotation((-0.1, 0.3), seed=4)(np.broadcast_to(both, (n, size, size, 2)))
    row, column = y[:, size // 2, size // 2 + 2].T  # of what came to the right of the middle
    turns = np.arctan2(row, column) / (2 * np.pi)  # from the image's right, downwards
    uniform(turns, -0.1, 0.3)
    independent(turns[::2], turns[1::2])


@pytest.mark.parametrize("width_factor", [None, (-0.5, 0.25)])
def test_zooms_are_uniform_and_keep_the_proportions_without_a_width_factor(width_factor):
    n, size = 20_000, 9
    at = np.arange(size) - size // 2
    both = np.stack(np.broadcast_arrays(at[:, None], at), axis=2).astype(float)
    y = RandomZoom((-0.4, 0.4), width_factor, seed=5)(np.broadcast_to(both, (n, size, size, 2)))
    u, v = y[:, size // 2 + 2, size // 2 + 2].T / 2 - 1
    uniform(u, -0.4, 0.4)
    if width_factor is None:
        np.testing.assert_allclose(u, v, atol=1e-12)
    else:
        uniform(v, *width_factor)
        independent(u, v)


def test_brightness_is_uniform():
    x = np.full((20_000, 2, 2, 1), 0.5)
    y = RandomBrightness((-0.25, 0.125), (0, 4), seed=6)(x + 1.5)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    uniform(y[:, 0, 0, 0] - 2, -1, 0.5)
    independent(y[::2, 0, 0, 0], y[1::2, 0, 0, 0])


@pytest.mark.parametrize(
    ("factor", "low", "high"),
    [
        (0.25, 0.75, 1.25),  # as Keras's documentation says; Keras itself draws from [1, 1.25]
        ((0.25, 0.5), 0.75, 1.5),
        ((0.5, 0.25), 0.75, 1.5),
        (1, 0, 2),
    ],
)
def test_contrast_is_uniform(factor, low, high):
    x = np.broadcast_to(np.array([[90.0, 10.0], [110.0, 20.0]])[:, None], (20_000, 2, 1, 2))
    y = RandomContrast(factor, seed=7)(x)
    np.testing.assert_allclose(y.mean(axis=(1, 2)), x.mean(axis=(1, 2)), rtol=1e-12)
    uniform((y[:, 1, 0, 0] - 100) / 10, low, high)
    np.testing.assert_allclose(y[:, 1, 0, 0] - 100, 2 * (y[:, 1, 0, 1] - 15), atol=1e-10)


@pytest.mark.parametrize(
    ("factor", "share"), [(1.0, 0.5), ((1.0, 1.0), 1.0), ((0.25, 0.5), 0.375), (0.0, 0.0)]
)
def test_erasing_takes_a_share_of_the_images(factor, share):
    n = 20_000
    y = RandomErasing(factor, (0.25, 0.5), 0.0, seed=8)(np.ones((n, 8, 8, 1)))
    erased = (y == 0).any(axis=(1, 2, 3))
    assert abs(erased.mean() - share) <= 5 * np.sqrt(share * (1 - share) / n)


def test_an_erased_rectangle_has_its_size_and_any_place():
    n, H, W = 4_000, 50, 80
    y = RandomErasing((1, 1), (0.1, 0.4), 0.0, seed=9)(np.ones((n, H, W, 1), np.float32))
    erased = y[..., 0] == 0
    for axis, size in ((1, H), (2, W)):
        covered = erased.any(axis=3 - axis)
        length = covered.sum(axis=1)
        assert abs((length**2).mean() / size**2 - 0.25) < 0.01  # squares are uniform in scale
        assert np.sqrt(0.1) * size - 1 <= length.min() <= length.max() <= np.sqrt(0.4) * size + 1
        start = covered.argmax(axis=1) / (size - length)
        assert abs(start.mean() - 0.5) < 0.03
    assert (erased.sum(axis=(1, 2)) == erased.any(axis=1).sum(1) * erased.any(axis=2).sum(1)).all()


def test_erasing_with_noise():
    x = np.full((2_000, 8, 8, 2), 1000.0)
    y = RandomErasing((1, 1), (1, 1), value_range=(-200, 100), seed=10)(x)
    assert y.max() == 100  # as high as the range goes, at one standard deviation
    assert abs((y == 100).mean() - 0.1587) < 0.005
    assert abs((y < 0).mean() - 0.5) < 0.01
    assert y.min() == -200


def test_a_crop_is_at_one_place_for_the_whole_batch_and_at_any_place_in_time():
    n = 4_000
    at = np.stack(np.broadcast_arrays(np.arange(6.0)[:, None], np.arange(5.0)), axis=2)
    layer, x = RandomCrop(3, 4, seed=11), np.broadcast_to(at, (2, 6, 5, 2))
    corners = np.empty((n, 2))
    for step in range(n):
        y = layer(x)
        np.testing.assert_array_equal(y, x[:, :3, :4] + y[:, :1, :1])
        np.testing.assert_array_equal(y[0], y[1])
        corners[step] = y[0, 0, 0]
    for corner, places in zip(corners.T, (4, 2)):
        counts = np.bincount(corner.astype(int), minlength=places)
        assert len(counts) == places
        assert (np.abs(counts - n / places) < 5 * np.sqrt(n / places)).all()
    independent(corners[:, 0], corners[:, 1])
    layer.seek(7, 0)
    first = layer(x)
    layer.seek(7, 100)
    np.testing.assert_array_equal(layer(x), first)


def test_a_crop_outside_of_training_and_of_smaller_images():
    """The largest window of the proportions asked for, as Keras's documentation has it."""
    x = rng.standard_normal((2, 6, 4, 1))
    y = RandomCrop(2, 2)(x, training=False)
    np.testing.assert_allclose(y, x[:, 1:5].reshape(2, 2, 2, 2, 2, 1).mean(axis=(2, 4)))
    model = Sequential([Input((6, 4, 1)), RandomCrop(3, 2, seed=1), Flatten(), Dense(2)])
    assert model.predict(x, verbose=0).shape == (2, 2)  # where Keras 3.15 raises
    np.testing.assert_array_equal(RandomCrop(6, 4)(x), x)
    row = RandomCrop(4, 4, seed=2)  # wide enough, and too low: no random place
    np.testing.assert_array_equal(row(x[:, :3]), row(x[:, :3], training=False))
    # Keras takes 4 rows where 3 columns are to match them, and resizes what is no square
    np.testing.assert_allclose(row(x[:, :3, :3]), Resizing(4, 4)(x[:, :3, :3]))
    places = {RandomCrop(6, 3, seed=seed)(x)[0, 0, 0, 0] for seed in range(20)}
    assert places == {x[0, 0, 0, 0], x[0, 0, 1, 0]}


# -- where and when -------------------------------------------------------------------------------


@every_kind
def test_called_by_itself_a_layer_acts_and_in_a_model_in_training_alone(make):
    x = rng.standard_normal((8, 5, 4, 2))
    layer = make(seed=3)
    assert (layer(x) != x).any()
    np.testing.assert_array_equal(layer(x, training=False), x)
    np.testing.assert_array_equal(layer.forward(x), x)
    np.testing.assert_array_equal(layer.backward(x), x)
    model = Sequential([Input((5, 4, 2)), make(seed=3)])
    np.testing.assert_array_equal(model(x), x.astype("float32"))
    np.testing.assert_array_equal(model.predict(x, verbose=0), x.astype("float32"))
    assert (model(x, training=True) != x.astype("float32")).any()


@every_kind
def test_one_image_is_a_batch_of_one(make):
    image = rng.standard_normal((5, 4, 2))
    np.testing.assert_array_equal(make(seed=3)(image), make(seed=3)(image[None])[0])
    np.testing.assert_array_equal(make(seed=3)(image, training=False), image)
    with pytest.raises(ValueError, match=r"expected input of shape \(N, H, W, C\)"):
        make()(image[0])
    with pytest.raises(ValueError, match=r"expected input of shape \(N, H, W, C\)"):
        make().forward(image)


@every_kind
def test_whole_numbers_become_floats(make):
    x = rng.integers(0, 256, (6, 5, 4, 1), dtype=np.uint8)
    for y in (make(seed=3)(x), make(seed=3)(x.tolist()), make(seed=3)(x, training=False)):
        assert y.dtype == np.float32
    np.testing.assert_array_equal(make(seed=3)(x), make(seed=3)(x.astype(np.float32)))
    assert make(seed=3, dtype="float64")(x).dtype == np.float64


@every_kind
def test_an_image_depends_on_its_place_in_the_batch_alone(make):
    x = rng.standard_normal((20, 5, 4, 2))
    whole, part = make(seed=3), make(seed=3)
    whole.seek(7, 100)
    part.seek(7, 112)
    np.testing.assert_array_equal(whole(x)[12:], part(x[12:]))


@every_kind
def test_a_seed_repeats_and_steps_differ(make):
    x = rng.standard_normal((16, 6, 6, 1))
    one, other = make(seed=3), make(seed=3)
    first, second = one(x), one(x)
    np.testing.assert_array_equal(first, other(x))
    assert (first != second).any()
    assert (first != make(seed=4)(x)).any()
    assert (make()(x) != make()(x)).any()


@pytest.mark.parametrize(
    "augmentation",
    [
        *(lambda make=make: [make(seed=3)] for make in KINDS.values()),
        lambda: [
            Sequential([RandomFlip("horizontal", seed=1), RandomTranslation(0.1, 0.1, seed=2)])
        ],
        lambda: [RandomCrop(4, 5, seed=3)],
        lambda: [Conv2D(2, 1), Sequential([RandomFlip("horizontal", seed=1), RandomZoom(0.2)])],
    ],
    ids=[*KINDS, "a model of them", "RandomCrop", "behind a layer that learns"],
)
def test_images_do_not_depend_on_threads_or_the_way_through(augmentation):
    def outcome(threads, **compiled):
        inner = augmentation()
        model = Sequential([Input((6, 5, 2)), *inner, Conv2D(4, 3), Flatten(), Dense(1)])
        weights = np.random.default_rng(2)
        model.set_weights([weights.standard_normal(w.shape) for w in model.get_weights()])
        for layer in model.leaves:
            if hasattr(layer, "seed") and layer.seed is None:
                layer.seed = 5
                layer.build((None, *layer.output_shape((None, 6, 5, 2))[1:]))
        model.compile(SGD(1e-4), "mse", **compiled)
        before = get_num_threads()
        set_num_threads(threads)
        try:
            history = model.fit(x, y, epochs=2, batch_size=70, shuffle=False, verbose=0)
            losses = [*history.history["loss"], *(model.train_on_batch(x, y) for _ in range(2))]
        finally:
            set_num_threads(before)
        return losses, model.get_weights()

    numbers = np.random.default_rng(5)
    x = numbers.standard_normal((150, 6, 5, 2)).astype("float32")
    y = numbers.standard_normal((150, 1)).astype("float32")
    one, plain = outcome(1), outcome(1, jit_compile=False)
    for threads in (2, 3):
        losses, weights = outcome(threads)
        assert losses == one[0]
        for mine, its in zip(one[1], weights):
            np.testing.assert_array_equal(mine, its)
    np.testing.assert_allclose(one[0], plain[0], rtol=1e-5)


def test_no_gradient_goes_back_to_where_nothing_learns(monkeypatch):
    gone = []

    def gradient(layer, dy, drawn):
        gone.append(layer.name)
        return dy

    monkeypatch.setattr(RandomFlip, "_gradient", gradient)
    monkeypatch.setattr(RandomFlip, "_augmented", lambda layer, x: (x, ()))
    model = Sequential(
        [
            Input((6, 6, 1)),
            RandomFlip(name="first"),
            DepthwiseConv2D(5, depth_multiplier=2),  # which has no fused stage
            RandomFlip(name="between"),
            Conv2D(2, 1),
        ]
    )
    lane = Lane(model.plan(), np.zeros(model.flat_params.size, np.float32))
    y = lane.forward(rng.standard_normal((2, 6, 6, 1)).astype(np.float32), True)
    assert list(lane.backward_in_phases(np.ones_like(y))) == []
    assert gone == ["between"]


# -- the affine layers ----------------------------------------------------------------------------

ROW = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
SQUARE = np.arange(1.0, 10.0).reshape(3, 3, 1)


@pytest.mark.parametrize(
    ("fill_mode", "rows"),
    [
        ("reflect", ([1, 1, 2], [1, 1.5, 2.5], [2, 3, 3], [2, 1, 1], [3, 2, 1])),
        ("nearest", ([1, 1, 2], [1, 1.5, 2.5], [2, 3, 3], [1, 1, 1], [1, 1, 1])),
        ("constant", ([0, 1, 2], [0.5, 1.5, 2.5], [2, 3, 0], [0, 0, 1], [0, 0, 0])),
        # of two and three pixels: what "a b c | a b c | a b c" says, where TensorFlow has [3, 3, 1]
        ("wrap", ([3, 1, 2], [3, 1.5, 2.5], [2, 3, 1], [2, 3, 1], [1, 2, 3])),
    ],
)
def test_how_an_image_goes_on_beyond_its_edge(fill_mode, rows):
    for shift, row in zip((1, 0.5, -1, 2, 3), rows):
        part = (shift / 3, shift / 3)
        y = RandomTranslation(0, part, fill_mode)(ROW)
        np.testing.assert_allclose(y.ravel(), row, atol=1e-12)
        y = RandomTranslation(part, 0, fill_mode.upper())(ROW.reshape(3, 1, 1))
        np.testing.assert_allclose(y.ravel(), row, atol=1e-12)


def test_nearest_rounds_halves_away_from_zero():
    y = RandomTranslation(0, (0.5 / 3, 0.5 / 3), "constant", "nearest")(ROW)
    np.testing.assert_array_equal(y.ravel(), [0, 2, 3])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            RandomTranslation((1 / 3, 1 / 3), 0, fill_mode="constant"),
            [[0, 0, 0], [1, 2, 3], [4, 5, 6]],
        ),
        (RandomRotation((0.25, 0.25)), [[3, 6, 9], [2, 5, 8], [1, 4, 7]]),
        (RandomZoom((-0.5, -0.5)), [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]]),
        (
            RandomZoom((0.5, 0.5), fill_mode="constant"),
            [[0.25, 1, 0.75], [2, 5, 3], [1.75, 4, 2.25]],
        ),
    ],
)
def test_keras_numbers_of_a_square(layer, expected):
    np.testing.assert_allclose(layer(SQUARE)[..., 0], expected, atol=1e-12)


@pytest.mark.parametrize("fill_mode", ["reflect", "nearest", "constant", "wrap"])
def test_whole_turns_change_nothing(fill_mode):
    x = rng.standard_normal((3, 6, 5, 2))
    for factor in (0, (1, 1), (-1, -1)):
        y = RandomRotation(factor, fill_mode, fill_value=9)(x)
        np.testing.assert_allclose(y, x, atol=1e-12)
    np.testing.assert_array_equal(RandomTranslation(0, 0, fill_mode)(x), x)
    np.testing.assert_array_equal(RandomZoom(0, fill_mode=fill_mode)(x), x)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: RandomFlip("sideways"), ValueError, "mode to be one of"),
        (lambda: RandomFlip(None), TypeError, "mode to be one of"),
        (lambda: RandomRotation(1.5), ValueError, "factor to be a number in"),
        (lambda: RandomRotation((-2, 0)), ValueError, "each number of factor"),
        (lambda: RandomRotation((0.1, 0.2, 0.3)), ValueError, "factor to be a number or two"),
        (lambda: RandomRotation("0.1"), TypeError, "factor to be a number"),
        (lambda: RandomRotation(0.1, "mirror"), ValueError, "fill_mode to be one of"),
        (lambda: RandomRotation(0.1, interpolation="cubic"), ValueError, "interpolation to be"),
        (lambda: RandomRotation(0.1, fill_value=np.inf), ValueError, "fill_value to be"),
        (lambda: RandomRotation(0.1, seed=-1), ValueError, "seed to be an integer"),
        (lambda: RandomTranslation(0.1, 1.01), ValueError, "width_factor to be"),
        (lambda: RandomTranslation((0, np.nan), 0), ValueError, "each number of height_factor"),
        (lambda: RandomTranslation(0.1, True), TypeError, "width_factor to be"),
        (lambda: RandomBrightness(1.5), ValueError, "factor to be a number in"),
        (lambda: RandomBrightness(0.1, 255), TypeError, "value_range to be two numbers"),
        (lambda: RandomBrightness(0.1, (0, 1, 2)), ValueError, "value_range to be two numbers"),
        (lambda: RandomBrightness(0.1, (1, 1)), ValueError, "value_range to be two different"),
        (lambda: RandomContrast(-0.1), ValueError, r"factor to be a number in \[0, 1\]"),
        (lambda: RandomContrast((0.1, 1.5)), ValueError, "each number of factor"),
        (lambda: RandomCrop(0, 3), ValueError, "height to be an integer"),
        (lambda: RandomCrop(3, 2.5), TypeError, "width to be an integer"),
        (lambda: RandomErasing(-0.5), ValueError, "factor to be a number in"),
        (lambda: RandomErasing(scale=(0.1, 1.5)), ValueError, "each number of scale"),
        (lambda: RandomErasing(fill_value="noise"), TypeError, "fill_value to be"),
        (lambda: RandomErasing(fill_value=(1, None, 2)), TypeError, "each number of fill_value"),
        (
            lambda: RandomErasing(fill_value=(1, 2, 3)).build((None, 4, 4, 1)),
            ValueError,
            "one for each of 1 channels",
        ),
        (lambda: RandomZoom(-1), ValueError, r"height_factor to be a number in \(-1, 1\]"),
        (lambda: RandomZoom((-1, 0)), ValueError, "each number of height_factor"),
        (lambda: RandomZoom(0.1, 1.5), ValueError, "width_factor to be"),
    ],
)
def test_arguments_that_are_none(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_number_stands_for_both_signs_and_a_pair_is_sorted():
    assert RandomRotation(0.2).factor == RandomRotation(-0.2).factor == (-0.2, 0.2)
    assert RandomRotation([0.3, -0.1]).factor == (-0.1, 0.3)
    layer: Layer = RandomRotation.from_config(RandomRotation([0.3, -0.1], seed=4).get_config())
    assert (layer.factor, layer.seed) == ((-0.1, 0.3), 4)


def test_factors_of_translation_and_zoom_stay_as_they_were_given():
    for kind in (RandomTranslation, RandomZoom):
        layer = kind(0.25, (0.5, -0.125), seed=1)
        assert (layer.height_factor, layer.width_factor) == (0.25, (0.5, -0.125))
        config = layer.get_config()
        assert (config["height_factor"], config["width_factor"]) == (0.25, [0.5, -0.125])
        x = np.random.default_rng(3).random((4, 5, 6, 2))
        sorted_one = kind((-0.25, 0.25), (-0.125, 0.5), seed=1)
        np.testing.assert_array_equal(layer(x), sorted_one(x))

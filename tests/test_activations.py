"""Activations by name, as functions of arrays, and a user's own."""

import json
import pickle
import warnings

import numpy as np
import pytest
from cases.activations import ACTIVATION_CASES

from minicnn import Input, Sequential, activations, layers
from minicnn.engine.stages import ActivationStage
from minicnn.gradcheck import check_layer
from minicnn.layers import Activation, Conv2D, Dense, ReLU, Softmax
from minicnn.layers.activations import KNOWN, Elementwise
from minicnn.layers.activations.known import NEEDS_ARGUMENTS
from minicnn.utils import set_random_seed

X = np.array([-3.0, -1.0, -0.5, 0.5, 1.0, 3.0])
every_name = pytest.mark.parametrize("name", KNOWN)

# Keras's, by hand from `keras.activations`
GOLDEN = {
    "gelu": [-0.0040497, -0.1586553, -0.1542688, 0.3457312, 0.8413447, 2.9959502],
    "selu": [-1.6705687, -1.1113307, -0.6917582, 0.5253505, 1.050701, 3.152103],
    "silu": [-0.1422776, -0.2689414, -0.1887703, 0.3112297, 0.7310586, 2.8577223],
    "elu": [-0.950213, -0.6321205, -0.3934693, 0.5, 1, 3],
    "mish": [-0.1456475, -0.3034015, -0.2207438, 0.3752452, 0.8650984, 2.986535],
    "hard_sigmoid": [0, 1 / 3, 0.4166667, 0.5833333, 2 / 3, 1],
    "leaky_relu": [-0.6, -0.2, -0.1, 0.5, 1, 3],
    "relu6": [0, 0, 0, 0.5, 1, 3],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_keras_numbers(name):
    np.testing.assert_allclose(getattr(activations, name)(X), GOLDEN[name], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(Activation(name)(X[None])[0], GOLDEN[name], rtol=1e-6, atol=1e-7)


def test_functions_take_arguments():
    approximate = [-0.0036374, -0.158808, -0.154286, 0.345714, 0.841192, 2.9963627]
    np.testing.assert_allclose(activations.gelu(X, approximate=True), approximate, rtol=5e-6)
    given = [-3, -1, -0.5, 0, 0.5, 1, 3]
    expected = [-0.37, -0.17, -0.12, -0.07, -0.02, 1, 2]
    y = activations.relu(given, negative_slope=0.1, max_value=2, threshold=0.7)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    np.testing.assert_allclose(activations.leaky_relu(X, 0.5), np.where(X > 0, X, X / 2))
    np.testing.assert_allclose(activations.elu(X, alpha=0), np.maximum(X, 0))


@every_name
@pytest.mark.parametrize("shape", [(6,), (3, 2), (1, 3, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_function_does_what_its_layer_does(name, shape, dtype):
    x = X.reshape(shape).astype(dtype)
    y = getattr(activations, name)(x)
    by_layer = Activation(name, dtype=dtype)(x[None])[0]
    np.testing.assert_array_equal(y, by_layer, strict=True)


@every_name
def test_integers_and_lists_become_floats(name):
    y = getattr(activations, name)([1, 2])
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, getattr(activations, name)(np.array([1.0, 2.0], "float32")))


@pytest.mark.parametrize(
    "name", sorted(set(KNOWN) - {"softmax", "log_softmax", "sparsemax", "glu"})
)
def test_single_numbers(name):
    function = getattr(activations, name)
    assert function(0.5) == pytest.approx(function(np.array([0.5]))[0], rel=1e-6)


def test_softmax_along_axes():
    x = np.random.default_rng(3).standard_normal((2, 3, 4))
    for axis in (0, -1, 1, (0, 2), [1, -1], (0, 1, 2)):
        y = activations.softmax(x, axis=axis)
        sums = y.sum(axis=tuple(np.atleast_1d(axis)))
        np.testing.assert_allclose(sums, np.ones_like(sums), rtol=1e-12)
        np.testing.assert_allclose(activations.log_softmax(x, axis), np.log(y), rtol=1e-12)
    for wrong in (3, -4, (0, 5)):
        with pytest.raises(ValueError, match="softmax: expected x to have the axis"):
            activations.softmax(x, axis=wrong)


def test_sparsemax_is_the_nearest_point_of_all_probabilities():
    """Keras 3.15 sums up sums, and returns 0.25, 0, 0 for the first row."""
    rows = [[1.0, 0.5, -1.0], [3.0, 1.0, 0.0], [0.25, 0.25, 0.25]]
    expected = [[0.75, 0.25, 0], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(activations.sparsemax(rows), expected, rtol=1e-6)
    x = np.random.default_rng(5).standard_normal((3, 4, 5))
    for axis in (0, 1, -1):
        np.testing.assert_allclose(activations.sparsemax(x, axis=axis).sum(axis), 1, rtol=1e-12)
    with pytest.raises(TypeError, match="axis"):
        layers.Sparsemax((1, 2))


def test_glu_along_any_axis():
    x = np.random.default_rng(6).standard_normal((4, 6, 2))
    for axis in (0, 1, -1, -3):
        a, b = np.split(x, 2, axis)
        np.testing.assert_allclose(activations.glu(x, axis), a / (1 + np.exp(-b)), rtol=1e-12)
    with pytest.raises(ValueError, match=r"glu: expected x to have the axis 3"):
        activations.glu(x, 3)
    with pytest.raises(ValueError, match=r"'glu': expected an even size along the axis -1"):
        activations.glu(x[..., :1])
    with pytest.raises(TypeError, match="axis"):
        layers.GLU((1, 2))


def test_glu_of_large_numbers():
    most = np.finfo("float32").max / 4
    layer = layers.GLU()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = layer.forward(np.array([[most, -most, 1, 1, -most, most, -most, most]], "float32"))
        np.testing.assert_array_equal(y, [[0, -most, 0, 1]])
        dx = layer.backward(np.ones_like(y))
        np.testing.assert_array_equal(dx, [[0, 1, 0, 1, 0, 0, 0, 0]])


@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"glu"}))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_numbers_are_no_trouble(name, dtype):
    """No warning, no NaN in y or dx, and next to float64 what float32 says."""
    most = 1e4 if name == "exponential" else float(np.finfo(dtype).max) / 4
    x = np.array([-most, -1e30, -1e4, -100, -20, 20, 80, 1e4, 1e30, most], dtype)
    x = x[np.abs(x) <= most]
    layer, true = Activation(name, dtype=dtype), Activation(name, dtype="float64")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in x[:, None], x[None]:
            y, truth = layer.forward(batch), true.forward(batch.astype("float64"))
            assert not np.isnan(y).any()
            dx, slope = layer.backward(np.ones_like(y)), true.backward(np.ones(y.shape))
            assert not np.isnan(dx).any()
            fits = np.abs(truth) < np.finfo("float32").max
            np.testing.assert_allclose(y[fits], truth[fits], rtol=1e-5, atol=1e-30)
            np.testing.assert_allclose(dx[fits], slope[fits], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in KNOWN if issubclass(KNOWN[n], Elementwise)])
def test_slopes_on_both_sides_of_every_bend(name):
    """Functions bend at 0, 1, 3 and 6; the checks of gradients draw numbers up to 2."""
    x = np.sort(
        np.concatenate([[-7, 0.1, 9], *(at + np.arange(0.25, 1, 0.5) for at in range(-7, 8))])
    )
    layer = Activation(name, dtype="float64")
    h = 1e-6
    y_low, y_high = (layer.forward((x + step)[None]) for step in (-h, h))
    layer.forward(x[None])
    dx = layer.backward(np.ones((1, len(x))))
    slope = (y_high - y_low) / (2 * h)
    np.testing.assert_allclose(dx, slope, rtol=1e-6, atol=1e-7)


@every_name
def test_what_is_no_number_stays_none(name):
    y = Activation(name, dtype="float64").forward(np.array([[np.nan, 1.0]]))
    assert np.isnan(y[0, 0])


@pytest.mark.parametrize(
    ("name", "of_infinity"),
    [
        ("relu", (0, np.inf)),
        ("relu6", (0, 6)),
        ("leaky_relu", (-np.inf, np.inf)),
        ("elu", (-1, np.inf)),
        ("sigmoid", (0, 1)),
        ("tanh", (-1, 1)),
        ("softplus", (0, np.inf)),
        ("hard_sigmoid", (0, 1)),
        ("exponential", (0, np.inf)),
    ],
)
def test_infinity(name, of_infinity):
    y = getattr(activations, name)(np.array([-np.inf, np.inf]))
    np.testing.assert_allclose(y, of_infinity, rtol=1e-6)


# -- in the place of a name -----------------------------------------------------------------------


@every_name
def test_a_name_a_function_and_a_config_are_one(name):
    function = getattr(activations, name)
    for make in (
        lambda one: Dense(3, activation=one),
        lambda one: Conv2D(3, 3, activation=one),
        Activation,
    ):
        by_name, by_function = make(name), make(function)
        assert type(by_name.activation) is type(by_function.activation) is KNOWN[name]
        written = json.loads(json.dumps(by_name.get_config()))["activation"]
        assert written == function.__name__ == by_function.get_config()["activation"]
        assert type(by_name.activation) is type(make(written).activation)
    assert activations.get(name) is function
    assert activations.get(function) is function


def test_settings_that_no_name_says_are_written_out():
    for layer in (ReLU(3.0), layers.ELU(0.5), layers.GELU(True), Softmax(1)):
        dense = Dense(2, activation=layer)
        config = dense.get_config()["activation"]
        assert config["class_name"] == type(layer).__name__
        again = Dense.from_config(dense.get_config()).activation
        own = ("name", "dtype", "trainable")
        for key, value in layer.get_config().items():
            assert key in own or again.get_config()[key] == value
    assert Dense(2, activation=ReLU(max_value=6)).get_config()["activation"] == "relu6"
    assert Dense(2, activation=ReLU(max_value=None)).get_config()["activation"] == "relu"


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get("Swish") is activations.silu
    relu = ReLU(2.0)
    assert isinstance(activations.get(relu), ReLU)
    with pytest.raises(ValueError, match="one of celu, elu, .*softmax.*received 'rleu'"):
        activations.get("rleu")
    with pytest.raises(TypeError, match="expected activation to be one of"):
        activations.get(3)


def test_a_function_without_a_derivative_is_told_how_to_give_one():
    for given in (lambda x: x * x, np.tanh, np.sin, print):
        for make in (Dense, lambda n, **kwargs: Conv2D(n, 3, **kwargs)):
            with pytest.raises(
                TypeError, match=r"'mine': .*activations\.Function\(function, deriv"
            ):
                make(3, name="mine", activation=given)
        with pytest.raises(TypeError, match=r"activations\.Function\(function, derivative\)"):
            activations.get(given)


LAYERS_OF_FOUR = {
    "Dense": lambda **kwargs: Dense(4, **kwargs),
    "Conv2D": lambda **kwargs: Conv2D(4, 3, **kwargs),
    "DepthwiseConv2D": lambda **kwargs: layers.DepthwiseConv2D(3, depth_multiplier=2, **kwargs),
    "SeparableConv2D": lambda **kwargs: layers.SeparableConv2D(4, 3, **kwargs),
    "Conv2DTranspose": lambda **kwargs: layers.Conv2DTranspose(4, 3, strides=2, **kwargs),
}


@pytest.mark.parametrize("make", LAYERS_OF_FOUR.values(), ids=LAYERS_OF_FOUR)
def test_glu_halves_the_features_of_a_layer(make):
    layer, linear = make(activation="glu"), make()
    x = np.random.default_rng(9).standard_normal((3, 6, 5, 2)).astype("float32")
    z = linear(x)
    layer.build((None, *x.shape[1:]))
    layer.set_weights(linear.get_weights())
    np.testing.assert_array_equal(layer(x), activations.glu(z))
    assert layer.output_shape(x.shape) == (*z.shape[:-1], 2)
    assert check_layer(make(activation="glu"), x.shape).ok
    with pytest.raises(ValueError, match="expected an even size along the axis -1"):
        Dense(3, activation="glu").build((None, 4))


@pytest.mark.both_ways
def test_a_model_with_glu_learns_and_returns_half_as_many_features():
    model = Sequential([Input((6, 6, 2)), Conv2D(4, 3, activation="glu"), layers.Flatten()])
    model.add(Dense(2, activation="glu"))
    assert model.output_shape == (None, 1)
    rng = np.random.default_rng(5)
    x = rng.standard_normal((64, 6, 6, 2)).astype("float32")
    model.compile("adam", "mse")
    losses = model.fit(x, x[:, 2:4, 2:4, 0].mean((1, 2)), epochs=40, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert model.predict(x, verbose=0).shape == (64, 1)


def test_threshold_needs_its_arguments():
    np.testing.assert_array_equal(activations.threshold(X, 0.5, -2), [-2, -2, -2, -2, 1, 3])
    assert activations.get("threshold") is activations.threshold
    for given in ("threshold", "Threshold", activations.threshold):
        with pytest.raises(ValueError, match=r"Write Threshold\(threshold, default_value\)"):
            Dense(3, activation=given)
    layer = Dense(3, activation=layers.Threshold(0.5, -2.0))
    again = Dense.from_config(layer.get_config()).activation
    assert (again.threshold, again.default_value) == (0.5, -2.0)


# -- ReLU with arguments, and the engine -----------------------------------------------------------

RELUS = [{"max_value": 0.3}, {"negative_slope": 0.2}, {"threshold": 0.25}]


@pytest.mark.both_ways
@pytest.mark.parametrize("kwargs", RELUS, ids=str)
@pytest.mark.parametrize("channels", [1, 4])
def test_a_relu_with_arguments_is_not_fused_as_the_plain_one(kwargs, channels):
    def model():
        return Sequential(
            [
                Input((6, 6, channels)),
                Conv2D(4, 3, activation=ReLU(**kwargs)),
                layers.Dropout(0.2, seed=1),
                layers.Flatten(),
                Dense(5, activation=ReLU(**kwargs)),
                layers.Dropout(0.2, seed=2),
                Dense(2),
            ]
        )

    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((20, 6, 6, channels)), rng.standard_normal((20, 2))
    fast, plain = model(), model()
    plain.set_weights(fast.get_weights())
    fast.compile("sgd", "mse")
    plain.compile("sgd", "mse", jit_compile=False)
    np.testing.assert_allclose(fast.predict(x, verbose=0), plain.predict(x, verbose=0), atol=1e-5)
    for _ in range(3):
        assert fast.train_on_batch(x, y) == pytest.approx(plain.train_on_batch(x, y), rel=1e-4)
    hidden = Sequential(fast.layers[:2])
    assert hidden.predict(x, verbose=0).min() < 0 or "negative_slope" not in kwargs


def test_a_relu_that_is_changed_changes_what_the_engine_works_out():
    model = Sequential([Input((5,)), Dense(4, activation="relu"), Dense(2)])
    model.compile("sgd", "mse")
    assert "bias, ReLU" in str(model.plan())
    x = np.random.default_rng(1).standard_normal((9, 5))
    before = model.predict(x, verbose=0)
    model.layers[0].activation.max_value = 0.1
    after = model.predict(x, verbose=0)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, model.forward(x.astype(np.float32)), rtol=1e-5, atol=1e-6)


@pytest.mark.both_ways
@pytest.mark.parametrize("axis", [-1, 1, 2, (1, 2), (-1,)])
def test_a_softmax_at_the_end_of_a_model_keeps_its_axis(axis):
    """Only over the last axis may it be taken together with the loss."""
    x = np.random.default_rng(7).standard_normal((12, 3, 4)).astype("float32")
    y = np.random.default_rng(8).dirichlet(np.ones(5), (12, 3))
    for end in ([Dense(5), Softmax(axis)], [Dense(5, activation=Softmax(axis))]):
        model = Sequential([Input((3, 4)), *end])
        model.compile("sgd", "categorical_crossentropy")
        p = model.predict(x, verbose=0)
        sums = p.sum(axis=tuple(np.atleast_1d(axis)))
        np.testing.assert_allclose(sums, np.ones_like(sums), rtol=1e-5)
        rows = p / p.sum(axis=-1, keepdims=True)  # what the loss does to probabilities
        expected = -(y * np.log(np.clip(rows, 1e-7, 1 - 1e-7))).sum(-1).mean()
        assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("axis", [0, 3, -3, (1, 1), (1, -2)])
def test_axes_that_softmax_has_not(axis):
    with pytest.raises(ValueError, match=r"Softmax 'mine': expected axis among the axes 1 to 1"):
        Softmax(axis, name="mine").forward(np.ones((2, 3)))
    for wrong, error in (((), ValueError), (1.5, TypeError), ("last", TypeError)):
        with pytest.raises(error, match="axis"):
            Softmax(wrong)


# -- a user's own ---------------------------------------------------------------------------------


def cube(x):
    return x**3


def of_cube(x):
    return 3 * x**2


def test_a_function_with_its_derivative_learns_in_a_model():
    own = activations.Function(cube, of_cube)
    assert check_layer(own, (4, 5)).ok
    assert check_layer(Dense(3, activation=own), (4, 5)).ok
    set_random_seed(0)
    model = Sequential([Input((4,)), Dense(6, activation=own), Dense(1)])
    rng = np.random.default_rng(2)
    x = rng.standard_normal((64, 4))
    y = x[:, :1] ** 3
    model.compile("adam", "mse")
    history = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_wrong_derivative_is_found():
    assert not check_layer(activations.Function(cube, cube), (4, 5)).ok


def test_a_function_cannot_be_written_into_a_config():
    words = r"function to be a setting that JSON can hold.*class derived from .*Elementwise"
    with pytest.raises(TypeError, match=words):
        Dense(2, activation=activations.Function(cube, of_cube)).get_config()


@pytest.mark.parametrize(
    ("function", "derivative", "error", "words"),
    [
        ("tanh", np.cos, TypeError, "function to be a function of an array, received 'tanh'"),
        (np.sin, None, TypeError, "derivative to be a function of an array, received None"),
        (np.sin, 1.0, TypeError, "derivative to be a function"),
        (np.sum, np.cos, ValueError, r"function to return an array of the shape of x, \(2, 3\)"),
        (lambda x: None, np.cos, TypeError, "what function returns to be an array"),
        (np.sin, lambda x: 1.0, ValueError, "derivative to return an array of the shape of x"),
    ],
)
def test_functions_that_are_none(function, derivative, error, words):
    def used():
        layer = activations.Function(function, derivative)
        layer.backward(layer.forward(np.ones((2, 3))))

    with pytest.raises(error, match=f"expected {words}"):
        used()


def test_a_class_of_a_users_own_has_a_config():
    class Square(Elementwise):
        def value(self, x):
            return x * x

        def slope(self, x, y):
            return 2 * x

    layer = Dense(3, activation=Square())
    assert layer.get_config()["activation"]["class_name"] == "Square"
    assert check_layer(layer, (4, 5)).ok


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ReLU(max_value=-1), "max_value"),
        (lambda: ReLU(negative_slope=None), "negative_slope"),
        (lambda: ReLU(negative_slope=-0.1), "negative_slope"),
        (lambda: ReLU(threshold=None), "threshold"),
        (lambda: ReLU(threshold=-0.1), "threshold"),
        (lambda: layers.PReLU(shared_axes=[0]), "shared_axes"),
        (lambda: layers.PReLU(shared_axes=0), "shared_axes"),
        (lambda: layers.PReLU(shared_axes=[3]).build((None, 4, 5)), "shared_axes"),
        (lambda: layers.CELU(0), "alpha"),
    ],
)
def test_values_that_keras_refuses(make, words):
    with pytest.raises(ValueError, match=f"expected (each of )?{words}"):
        make()


def test_prelu_is_named_as_in_keras():
    layer = layers.PReLU(shared_axes=[1, 2])
    layer.build((None, 5, 6, 3))
    (weight,) = layer.weights
    assert (weight.name, weight.value.shape) == ("alpha", (1, 1, 3))
    assert layer.get_config()["shared_axes"] == [1, 2]
    assert layer.output_shape((None, 9, 4, 3)) == (None, 9, 4, 3)  # its images may be of any size
    with pytest.raises(ValueError, match="for which it was built"):
        layer.forward(np.ones((1, 5, 6, 4)))


def test_every_name_has_a_case_and_a_function():
    assert set(KNOWN.values()) <= set(ACTIVATION_CASES)
    assert {*KNOWN, *NEEDS_ARGUMENTS} == set(activations.__all__) - {"Function", "get"}


@pytest.mark.parametrize(
    ("layer", "slope"),
    [(layers.SELU(), layers.SELU.SCALE), (layers.CELU(0.5), 1), (layers.ELU(2), 2)],
)
def test_slopes_at_0(layer, slope):
    x, dy = np.zeros((1, 1, 2), np.float32), np.array([[[2, -3]]], np.float32)
    for way in (layer, ActivationStage([layer])):
        way.forward(x, True)
        np.testing.assert_allclose(way.backward(dy), slope * dy, rtol=1e-6)


def test_the_slopes_of_hard_silu_at_infinity_are_its_limits():
    layer = layers.HardSiLU()
    layer.forward(np.array([[-np.inf, np.inf]]))
    np.testing.assert_array_equal(layer.backward(np.ones((1, 2))), [[0, 1]])

"""Arrays that are refused as parameters, state, gradients or weights."""

import numpy as np
import pytest
from test_robustness import Own
from test_weights import model

from minicnn import Sequential, initializers
from minicnn.layers import BatchNormalization, Conv2D, Dense, Input, Layer
from refusals.helpers import X, Y, refused, trained, with_one


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda w: w[:-1], ValueError, "8 arrays"),
        (lambda w: [*w, w[0]], ValueError, "received 9"),
        (lambda w: w[::-1], ValueError, "received (3,)"),
        (lambda w: [w[0].T, *w[1:]], ValueError, "received (4, 1, 3, 3)"),
        (lambda w: [*w[:-1], ["a", "b", "c"]], TypeError, "received dtype <U1"),
        (lambda w: [*w[:-1], w[-1] + 0j], TypeError, "received dtype complex"),
        (
            lambda w: [*w[:3], with_one(w[3], 1, np.nan), *w[4:]],
            ValueError,
            "weights[3] (batch_normalization",
        ),
        (lambda w: [*w[:-1], with_one(w[-1], 2, np.inf)], ValueError, "received inf at index [2]"),
        (
            lambda w: [*w[:-1], with_one(w[-1], 2, -1e300)],
            ValueError,
            "/b) to fit into float32, whose largest number is 3.4e+38, received -1e+300",
        ),
        (
            lambda w: [*w[:-1], np.ma.array(w[-1], mask=[0, 1, 0])],
            TypeError,
            "hides 1 of them. Say what stands in their place",
        ),
        (lambda w: None, TypeError, "received NoneType"),
        (lambda w: dict(enumerate(w)), TypeError, "received dict"),
    ],
)
def test_wrong_weights(change, error, words):
    model = trained()
    with refused(error, "expected", words, model=model):
        model.set_weights(change(model.get_weights()))


def test_an_array_assigned_to_params_is_trained():
    """It is no view into the vector that the optimizer moves; silently it would never learn."""
    model = trained()
    mine = np.full(3, 0.5, np.float32)
    model.layers[-1].params["b"] = mine
    model.train_on_batch(X, Y)
    b = model.layers[-1].params["b"]
    assert np.shares_memory(b, model.flat_params)
    assert 0 < np.abs(b - 0.5).max() < 0.1  # one step away from what was put in


IN_PLACE_OF_AN_ARRAY = [
    (None, TypeError, "received nothing"),
    ("text", TypeError, "received str"),
    ([[1.0]], TypeError, "received list"),
    (np.ones((2, 9)), ValueError, "received (2, 9)"),
    (np.float64(1), ValueError, "received ()"),
    (np.full(3, None), TypeError, "received dtype object"),
    (np.full(3, 1j), TypeError, "received dtype complex128"),
    (np.ma.masked_array(np.ones(3), [True, False, False]), TypeError, "masked"),
    (np.array([1, np.nan, 1]), ValueError, "received nan at index [1]"),
]


@pytest.mark.parametrize(
    ("make", "table", "key"),
    [
        (lambda: Dense(3), "params", "b"),
        (lambda: Conv2D(3, 2), "params", "b"),
        (lambda: BatchNormalization(), "params", "gamma"),
        (lambda: BatchNormalization(), "state", "moving_mean"),
        (lambda: BatchNormalization(), "state", "moving_variance"),
    ],
)
@pytest.mark.parametrize(("wrong", "error", "words"), IN_PLACE_OF_AN_ARRAY)
def test_a_single_layer_refuses_a_wrong_array_in_params_and_state(
    make, table, key, wrong, error, words
):
    """In a model: test_every_call_refuses_a_wrong_parameter."""
    layer, x = make(), np.ones((2, 4, 4, 3), np.float32)
    y = layer(x)
    held = getattr(layer, table)
    right = held[key]
    held[key] = wrong
    uses = (
        lambda: layer(x),
        lambda: layer.backward(y),
        layer.count_params,
        layer.get_weights,
        lambda: layer.weights,
        lambda: layer.set_weights([]),
    )
    for use in uses:
        with refused(error, f"{layer.who}: expected {table}['{key}']", words):
            use()
    del held[key]
    with refused(TypeError, f"expected {table}['{key}']", "received nothing"):
        layer(x)
    held[key] = right.astype(np.float64)  # one of another float type is taken over
    np.testing.assert_array_equal(layer(x), y, strict=True)
    assert held[key].dtype == np.float32


@pytest.mark.parametrize("make", [lambda: Dense(3), lambda: Conv2D(3, 2), BatchNormalization])
@pytest.mark.parametrize("wrong", [None, 3, [[1.0]], np.ones((2, 9)), np.ones(3, np.float64)])
def test_gradients_that_cannot_be_written_to(make, wrong):
    layer, x = make(), np.ones((2, 4, 4, 3), np.float32)
    dy = np.ones_like(layer(x))
    for key, right in list(layer.grads.items()):
        layer.grads[key] = wrong
        with refused(TypeError, f"{layer.who}: expected grads['{key}'] to be an array of float32"):
            layer.backward(dy)
        layer.grads[key] = right
    layer.backward(dy)


@pytest.mark.parametrize("table", ["params", "grads", "state"])
def test_the_tables_of_a_layer_stay_dicts(table):
    layer = Dense(3)
    layer.build((None, 2))
    for wrong in (None, 3, [], np.ones(2)):
        with refused(TypeError, f"{layer.who}: expected {table} to be a dict of arrays"):
            setattr(layer, table, wrong)
    assert isinstance(getattr(layer, table), dict)


def test_a_vector_assigned_to_flat_params_is_copied_into_it():
    model = trained()
    vector = model.flat_params
    model.flat_params = np.full(vector.size, 0.25)
    assert model.flat_params is vector
    assert (model.layers[-1].params["b"] == 0.25).all()
    for wrong, error, words in (
        (vector[:-1], ValueError, f"shape ({vector.size},), received ({vector.size - 1},)"),
        (0.0, ValueError, "received ()"),
        (np.full(vector.size, np.nan), ValueError, "flat_params to be finite, received nan"),
        (np.full(vector.size, 1e300), ValueError, "flat_params to fit into float32"),
        ("abc", TypeError, "flat_params to be an array of real numbers"),
    ):
        with refused(error, "expected flat_params", words, model=model):
            model.flat_params = wrong


WRONG_PARAMETERS = [
    ([[1.0]], TypeError, r"params\['W'\] to be an array of shape \(4, 4\), received list"),
    (1.0, TypeError, "received float"),
    (None, TypeError, "received nothing"),
    (np.ones((4, 3)), ValueError, r"params\['W'\] of shape \(4, 4\), received \(4, 3\)"),
    (np.full((4, 4), "a"), TypeError, "real numbers"),
    (np.full((4, 4), np.nan), ValueError, "finite, received nan"),
    (np.full((4, 4), 1e300), ValueError, "fit into float32"),
]


@pytest.mark.parametrize(("wrong", "error", "words"), WRONG_PARAMETERS)
def test_every_call_refuses_a_wrong_parameter(wrong, error, words):
    model = Sequential([Input((4,)), Dense(4, name="first")])
    model.compile("sgd", "mse")
    x, right, saved = np.ones((3, 4)), model.layers[0].params["W"], model.flat_params.copy()
    model.layers[0].params["W"] = wrong
    calls = (
        lambda: model.fit(x, x, verbose=0),
        lambda: model.predict(x, verbose=0),
        lambda: model(x),
        lambda: model.evaluate(x, x, verbose=0),
        lambda: model.train_on_batch(x, x),
    )
    for call in calls:
        with pytest.raises(error, match=words):
            call()
    model.layers[0].params["W"] = right
    np.testing.assert_array_equal(model.flat_params, saved)
    model.fit(x, x, verbose=0)


def test_missing_and_new_keys_of_params_are_named():
    model = Sequential([Input((4,)), Dense(4, name="first")])
    model.compile("sgd", "mse")
    layer, x = model.layers[0], np.ones((3, 4))
    b = layer.params.pop("b")
    with pytest.raises(TypeError, match=r"params\['b'\] to be an array.*received nothing"):
        model.fit(x, x, verbose=0)
    layer.params["b"] = b
    layer.params["scale"] = b.copy()
    with pytest.raises(ValueError, match="params to hold W, b.*received 'scale' besides"):
        model.fit(x, x, verbose=0)
    del layer.params["scale"]
    layer.state["x"] = [1.0]
    with pytest.raises(TypeError, match=r"state\['x'\] to be an array, received list"):
        model.fit(x, x, verbose=0)


@pytest.mark.parametrize("where", ["init", "build"])
@pytest.mark.parametrize("table", ["params", "state"])
@pytest.mark.parametrize(
    "given", [[1.0, 2.0], None, 3, np.array(["a"]), np.array([1j]), np.array([None])]
)
def test_params_and_state_refuse_what_is_no_array_of_numbers(table, given, where):
    words = rf"Own 'own': expected {table}\['n'\] to be an array"
    with pytest.raises(TypeError, match=words):
        Sequential([Input((2,)), Dense(2), Own(table, given, where)])
    model = Sequential([Dense(2), Own(table, given, where)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=words):
        model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
    alone = Own(table, given, where)
    with pytest.raises(TypeError, match=words):
        alone.backward(alone(np.ones((3, 2))))


@pytest.mark.parametrize("add", ["add_param", "add_state"])
def test_a_refused_parameter_leaves_the_layer_unchanged(add):
    layer = Layer()
    good = ("W", (2,), initializers.Zeros())
    for place, wrong, words in (
        (0, [1], "key to be a non-empty string"),
        (0, 3, "key to be a non-empty string"),
        (1, "ab", "shape"),
        (1, (2, -1), "shape"),
        (2, 3, "initializer"),
        (2, np.ones(3), "shape"),
    ):
        given = [*good[:place], wrong, *good[place + 1 :]]
        with pytest.raises((TypeError, ValueError), match=words):
            getattr(layer, add)(*given)
        assert (layer.params, layer.state, layer.dtype, layer.rng) == ({}, {}, None, None)


@pytest.mark.parametrize("table", ["params", "grads", "state"])
def test_params_grads_and_state_have_to_be_dicts(table):
    model = Sequential([Input((4,)), Dense(4, name="first")])
    with pytest.raises(TypeError, match=f"'first': expected {table} to be a dict"):
        setattr(model.layers[0], table, None)
    model.predict(np.ones((3, 4)), verbose=0)


def test_weights_are_checked_before_any_is_set():
    layer = Dense(2)
    layer.build((None, 3))
    before = layer.get_weights()
    for wrong, error in (
        ([np.ones((3, 2))], ValueError),
        ([np.ones((3, 2)), np.ones(3)], ValueError),
        ([np.ones((3, 2)), np.array(["a", "b"])], TypeError),
        (np.ones((3, 2)), TypeError),
    ):
        with pytest.raises(error, match="expected"):
            layer.set_weights(wrong)
        for one, other in zip(before, layer.get_weights()):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="not built"):
        Dense(2).count_params()


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (np.ones((2, 3)), ValueError, r"top/kernel of shape \(18, 3\), received \(2, 3\)"),
        (np.full((18, 3), np.nan), ValueError, r"top/kernel to be finite, received nan at index"),
        (np.full((18, 3), 1e300), ValueError, r"top/kernel to fit into float32"),
        (np.ones((18, 3)) + 0j, TypeError, "top/kernel to be an array of real numbers"),
    ],
)
def test_values_that_a_weight_does_not_take(value, error, words):
    net = model()
    before = net.flat_params.copy()
    with pytest.raises(error, match=f"assign: expected {words}"):
        net.weights[-1].assign(value)
    np.testing.assert_array_equal(net.flat_params, before)

"""Initializers that cannot be made, and first values that a parameter does not take."""

import numpy as np
import pytest

from minicnn import initializers
from minicnn.initializers import Constant, GlorotUniform, HeNormal, Initializer
from minicnn.layers import Conv2D, Dense
from refusals.helpers import refused


class OwnCall(Initializer):
    """What it returns is for no one to check but the layer."""

    def __init__(self, values):
        self.values = values

    def __call__(self, shape, dtype=None, rng=None):
        return self.values


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (np.zeros(3), ValueError, "expected values of shape (2, 3), received (3,)"),
        (np.full((2, 3), np.nan), ValueError, "expected its values to be finite, received nan"),
        (np.full((2, 3), 1e300), ValueError, "expected its values to fit into float32"),
        (None, TypeError, "expected its values to be an array of real numbers, received dtype obj"),
    ],
)
def test_an_initializer_with_a_call_of_its_own(values, error, words):
    layer = Dense(3, kernel_initializer=OwnCall(values))
    with refused(error, f"{layer.who}: OwnCall: {words}"):
        layer.build((None, 2))


def test_an_initializer_that_keeps_what_it_returns():
    values = np.ones((2, 3), "float32")
    one, other = (Dense(3, kernel_initializer=OwnCall(values)) for _ in range(2))
    one.build((None, 2))
    other.build((None, 2))
    one.params["W"][...] = 7
    assert (values == 1).all()
    assert (other.params["W"] == 1).all()


def test_first_values_by_name_by_array_and_by_function():
    layer = Dense(2)
    layer.add_param("a", [2], "ones")
    layer.add_param("b", (2,), np.array([3.0, 4.0]))
    layer.add_state("c", (2,), lambda shape, dtype, rng: np.full(shape, 5, dtype))
    layer.add_state("d", (2,), GlorotUniform)
    assert [layer.params[key].tolist() for key in "ab"] == [[1, 1], [3, 4]]
    assert layer.state["c"].tolist() == [5, 5]
    assert layer.state["d"].any()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            np.ones(3),
            ValueError,
            r"an array of the parameter's shape \(4, 2\), received one of \(3",
        ),
        (np.ones(2), ValueError, r"shape \(4, 2\), received one of \(2,\)"),
        (np.ones((2, 4)), ValueError, r"shape \(4, 2\), received one of \(2, 4\)"),
        (np.ones((4, 2, 1)), ValueError, r"received one of \(4, 2, 1\)"),
        (np.full((4, 2), 1e300), ValueError, "its values to fit into float32"),
    ],
)
def test_an_array_of_another_shape_is_refused_when_the_layer_is_built(given, error, words):
    layer = Dense(2, kernel_initializer=given, name="mine")
    with pytest.raises(error, match=f"Dense 'mine': Constant: expected .*{words}"):
        layer.build((None, 4))
    assert not layer.built
    assert not layer.params


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (np.array(["a"]), TypeError, "to be an array of real numbers, received dtype <U1"),
        (np.ones(2, complex), TypeError, "to be an array of real numbers"),
        (np.ma.array([1, 2], mask=[0, 1]), TypeError, "without masked numbers"),
        (np.array([1, np.nan]), ValueError, r"to be finite, received nan at index \[1\]"),
        (np.str_("nonsense"), ValueError, "to be one of constant, glorot_normal"),
        (np.str_, TypeError, "to be one of constant, glorot_normal"),
        ([1.0, 2.0], TypeError, r"to be one of constant, .*received \[1.0, 2.0\]"),
        (3, TypeError, "to be one of constant, .*received 3"),
        (None, TypeError, "to be one of constant, .*received None"),
    ],
)
def test_what_is_no_initializer_names_the_argument(given, error, words):
    for name in ("kernel_initializer", "bias_initializer"):
        for make in (Dense, lambda n, **kwargs: Conv2D(n, 3, **kwargs)):
            with pytest.raises(error, match=f"'mine': expected {name} {words}"):
                make(2, name="mine", **{name: given})


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("a", TypeError, "value to be a number"),
        (None, TypeError, "value to be a number"),
        (True, TypeError, "value to be a number"),
        (np.inf, ValueError, "value to be a number"),
        ([1, np.nan], ValueError, "value to be finite"),
        (["a"], TypeError, "value to be an array of real numbers"),
    ],
)
def test_constant_refuses_wrong_values(given, error, words):
    with pytest.raises(error, match=f"Constant: expected {words}"):
        Constant(given)


@pytest.mark.parametrize("wrong", ["a", 3, np.ones(3), [np.random.default_rng(0)], False])
def test_initializers_refuse_what_is_no_generator(wrong):
    with pytest.raises(TypeError, match="HeNormal: expected rng to be a numpy.random.Generator"):
        HeNormal()((3, 3), rng=wrong)


def test_initializers_of_fans_need_a_shape():
    for wrong, error in ((5, TypeError), ((3, "a"), TypeError), ((3, 0), ValueError)):
        with pytest.raises(error, match="fans: expected"):
            initializers.fans(wrong)


class Own(Initializer):
    """A user's own, with whatever it is told to give."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def draw(self, shape, rng):
        return self.values


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (np.zeros(3), ValueError, r"draw to return values of shape \(4, 2\), received \(3,\)"),
        (np.full((4, 2), np.nan), ValueError, r"its values to be finite, received nan at index"),
        (np.full((4, 2), 1e300), ValueError, r"its values to fit into float32"),
        (None, TypeError, "its values to be an array of real numbers"),
    ],
)
def test_an_initializer_that_gives_something_else(values, error, words):
    layer = Dense(2, kernel_initializer=Own(values))
    with pytest.raises(error, match=f"Dense '.*': Own: expected {words}"):
        layer.build((None, 4))
    assert not layer.built
    assert not layer.params


@pytest.mark.parametrize(
    ("shape", "error", "words"),
    [
        (5, TypeError, "shape to be a tuple, received 5"),
        ((2.5, 3), TypeError, "each size of shape to be an integer >= 1, received 2.5"),
        ((-2, 3), ValueError, "each size of shape to be an integer >= 1, received -2"),
    ],
)
def test_initializers_refuse_wrong_shapes(shape, error, words):
    with pytest.raises(error, match=f"GlorotUniform: expected {words}"):
        GlorotUniform()(shape)
    with pytest.raises(ValueError, match="GlorotUniform: expected dtype to be float32 or float64"):
        GlorotUniform()((2, 3), dtype="int8")

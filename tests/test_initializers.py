import numpy as np
import pytest
from cases.initializers import INITIALIZERS

from minicnn import Sequential, initializers
from minicnn.initializers import (
    Constant,
    GlorotUniform,
    HeNormal,
    Initializer,
    Ones,
    Zeros,
)
from minicnn.layers import Conv2D, Dense

rng = np.random.default_rng(35)

CONV, FANS = (3, 3, 64, 128), (576, 1152)


def kinds(wanted):
    chosen = [kind for kind, case in INITIALIZERS.items() if wanted(case)]
    return pytest.mark.parametrize("kind", chosen, ids=lambda kind: kind.__name__)


@kinds(lambda case: case.constant is not None)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_ones_are_the_same_everywhere(kind, dtype):
    values = np.full((2, 3), INITIALIZERS[kind].constant, dtype)
    np.testing.assert_array_equal(kind()((2, 3), dtype), values, strict=True)


@kinds(lambda case: case.variance)
def test_variance_and_limits(kind):
    uniform, variance = INITIALIZERS[kind].uniform, INITIALIZERS[kind].variance(*FANS)
    w = kind(seed=1)(CONV, "float64")
    assert w.var() == pytest.approx(variance, rel=0.02)
    assert abs(w.mean()) < 4 * np.sqrt(variance / w.size)
    limit = np.sqrt(variance) * (np.sqrt(3) if uniform else 2 / 0.87962566103423978)
    assert 0.98 * limit < np.abs(w).max() <= limit
    in_the_middle = (np.abs(w) < limit / 2).mean()
    assert in_the_middle == pytest.approx(0.5 if uniform else 0.7152, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "limit"), [((3, 3, 1, 32), 0.1421), ((5408, 32), 0.0332), ((32, 10), 0.3780)]
)
def test_the_limits_of_the_tutorial(shape, limit):
    w = GlorotUniform(seed=0)(shape)
    assert np.abs(w).max() <= limit + 5e-5
    assert np.abs(w).max() > 0.97 * limit


def test_zeros_and_ones():
    assert not Zeros()((2, 3)).any()
    np.testing.assert_array_equal(Ones()((2, 3), "float64"), np.ones((2, 3)))
    assert Ones()((2,)).dtype == np.float32


def test_seed_repeats_and_no_seed_does_not():
    np.testing.assert_array_equal(HeNormal(seed=3)((4, 4)), HeNormal(seed=3)((4, 4)))
    assert not np.array_equal(HeNormal()((4, 4)), HeNormal()((4, 4)))


def test_get():
    assert isinstance(initializers.get("He_Normal"), HeNormal)
    assert isinstance(initializers.get("GlorotUniform"), GlorotUniform)
    assert isinstance(initializers.get(Zeros), Zeros)
    with pytest.raises(ValueError, match="glorot_normal, glorot_uniform, he_normal, he_uniform"):
        initializers.get("lecun")
    with pytest.raises(TypeError, match="seed"):
        GlorotUniform(seed=1.5)
    with pytest.raises(NotImplementedError, match="draw"):
        Initializer()((1,))


def test_constant():
    np.testing.assert_array_equal(Constant()((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(Constant(-2)((2, 3), "float64"), np.full((2, 3), -2.0))
    np.testing.assert_array_equal(Constant(np.float32(0.1))((4,)), np.full(4, 0.1, "float32"))
    values = [[1.5, 2, 3], [4, 5, 6]]
    for given in (values, np.array(values), np.array(values, "float32"), tuple(values)):
        np.testing.assert_array_equal(Constant(given)((2, 3)), values)
    assert isinstance(initializers.get("constant"), Constant)
    assert isinstance(initializers.get("Constant"), Constant)


@pytest.mark.parametrize("get", [Constant, initializers.get], ids=["Constant", "get"])
def test_an_array_is_an_initializer_whose_numbers_no_one_else_can_change(get):
    values = rng.standard_normal((4, 3)).astype("float32")
    before = values.copy()
    initializer = get(values)
    values[...] = 0
    drawn = initializer((4, 3), "float32")
    np.testing.assert_array_equal(drawn, before, strict=True)
    drawn[...] = 0
    np.testing.assert_array_equal(initializer((4, 3)), before)


def test_arrays_as_first_values_of_layers():
    W, b = rng.standard_normal((4, 3)).astype("float32"), np.arange(3)
    dense = Dense(3, kernel_initializer=W, bias_initializer=b)
    twin = Dense(3, kernel_initializer=W, bias_initializer=b)
    model = Sequential([dense])
    model.build((None, 4))
    twin.build((None, 4))
    for one in (dense, twin):
        np.testing.assert_array_equal(one.params["W"], W, strict=True)
        np.testing.assert_array_equal(one.params["b"], b)
    dense.params["W"][...] = 7
    assert not (twin.params["W"] == 7).any()
    assert not (W == 7).any()
    conv = Conv2D(2, 2, kernel_initializer=np.ones((2, 2, 1, 2)), bias_initializer=np.float32(0.5))
    assert (conv.forward(np.ones((1, 3, 3, 1))) == 4.5).all()


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
def test_values_that_are_none(given, error, words):
    with pytest.raises(error, match=f"Constant: expected {words}"):
        Constant(given)


@pytest.mark.parametrize("wrong", ["a", 3, np.ones(3), [np.random.default_rng(0)], False])
def test_generators_that_are_none(wrong):
    with pytest.raises(TypeError, match="HeNormal: expected rng to be a numpy.random.Generator"):
        HeNormal()((3, 3), rng=wrong)


def test_fans_want_a_shape():
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
def test_shapes_that_there_are_not(shape, error, words):
    with pytest.raises(error, match=f"GlorotUniform: expected {words}"):
        GlorotUniform()(shape)
    with pytest.raises(ValueError, match="GlorotUniform: expected dtype to be float32 or float64"):
        GlorotUniform()((2, 3), dtype="int8")

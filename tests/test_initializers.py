import numpy as np
import pytest

from minicnn import initializers
from minicnn.initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    Ones,
    Zeros,
)
from minicnn.layers import Dense

CONV = (3, 3, 64, 128)  # fans 576 and 1152


@pytest.mark.parametrize(
    ("kind", "variance"),
    [
        (GlorotUniform, 2 / (576 + 1152)),
        (GlorotNormal, 2 / (576 + 1152)),
        (HeUniform, 2 / 576),
        (HeNormal, 2 / 576),
    ],
)
def test_variance_and_limits(kind, variance):
    w = kind(seed=1)(CONV, "float64")
    assert w.var() == pytest.approx(variance, rel=0.02)
    assert abs(w.mean()) < 4 * np.sqrt(variance / w.size)
    if "Uniform" in kind.__name__:
        limit = np.sqrt(3 * variance)
    else:
        limit = 2 * np.sqrt(variance) / 0.87962566103423978
    assert 0.98 * limit < np.abs(w).max() <= limit
    in_the_middle = (np.abs(w) < limit / 2).mean()
    assert in_the_middle == pytest.approx(0.5 if "Uniform" in kind.__name__ else 0.7152, abs=0.01)


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
    with pytest.raises(error, match=f"Own: expected {words}"):
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

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


def test_random_normal_and_orthogonal():
    w = initializers.RandomNormal(2.0, 0.5, seed=1)((300, 400), "float64")
    assert w.mean() == pytest.approx(2, abs=0.01)
    assert w.std() == pytest.approx(0.5, rel=0.01)
    assert ((w - 2) ** 4).mean() / w.var() ** 2 == pytest.approx(3, abs=0.1)
    for shape in ((5, 3), (3, 5), (2, 3, 4, 6), (2, 1, 3, 7)):
        q = initializers.Orthogonal(2.0, seed=3)(shape, "float64").reshape(-1, shape[-1]) / 2
        product = q.T @ q if len(q) >= q.shape[1] else q @ q.T
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)
    np.testing.assert_array_equal(initializers.Identity(3.0)((2, 3)), 3 * np.eye(2, 3))
    with pytest.raises(ValueError, match="shape of a matrix"):
        initializers.Identity()((3, 3, 1, 1))
    with pytest.raises(ValueError, match="at least two axes"):
        initializers.Orthogonal()((3,))
    with pytest.raises(ValueError, match="minval of at most maxval"):
        initializers.RandomUniform(1.0, 0.0)((3,))


@pytest.mark.parametrize("mode", initializers.MODES)
@pytest.mark.parametrize("distribution", initializers.DISTRIBUTIONS)
def test_variance_scaling(mode, distribution):
    w = initializers.VarianceScaling(3.0, mode, distribution, seed=2)(CONV, "float64")
    fan = {"fan_in": FANS[0], "fan_out": FANS[1], "fan_avg": sum(FANS) / 2}[mode]
    assert w.var() == pytest.approx(3 / fan, rel=0.02)
    furthest = {"uniform": 3**0.5, "truncated_normal": 2 / 0.8796, "untruncated_normal": 6}
    assert np.abs(w).max() < furthest[distribution] * np.sqrt(3 / fan) * 1.001
    assert (np.abs(w).max() > 2.5 * w.std()) == (distribution == "untruncated_normal")


@kinds(lambda case: case.constant is None)
def test_a_seed_gives_the_same_numbers_at_each_call(kind):
    one = kind(seed=3) if kind is not initializers.Identity else kind()
    np.testing.assert_array_equal(one((4, 5)), one((4, 5)))
    if kind is not initializers.Identity:
        assert (one((4, 5)) != kind(seed=4)((4, 5))).any()


@kinds(lambda case: case.constant is None)
def test_one_object_without_a_seed_gives_the_same_numbers_at_each_call(kind):
    """As Keras documents it; another object gives others."""
    one = kind()
    first = one((4, 5))
    np.testing.assert_array_equal(one((4, 5)), first)
    np.testing.assert_array_equal(one((4, 5), rng=np.random.default_rng(7)), first)
    if kind is not initializers.Identity:
        assert (kind()((4, 5)) != first).any()


def test_layers_that_share_an_initializer_begin_alike():
    shared = HeNormal()
    model = Sequential(
        [
            Dense(3, kernel_initializer=shared, input_shape=(3,)),
            Dense(3, kernel_initializer=shared),
            Dense(3, kernel_initializer="he_normal"),
        ]
    )
    first, second, third = (layer.params["W"] for layer in model.layers)
    np.testing.assert_array_equal(first, second)
    assert (first != third).all()


@pytest.mark.parametrize("name", [*initializers.KNOWN, *initializers.ALIASES])
def test_names_in_keras_spellings(name):
    kind = type(initializers.get(name))
    assert type(initializers.get(kind.__name__)) is kind
    config = initializers.get(name).get_config()
    assert kind.from_config(config).get_config() == config


def test_classes_have_keras_s_other_names():
    for name, kind in initializers.KNOWN.items():
        assert getattr(initializers, name) is kind
    assert initializers.IdentityInitializer is initializers.Identity
    assert initializers.OrthogonalInitializer is initializers.Orthogonal


def test_those_that_draw_nothing_have_no_seed_in_their_config():
    assert Zeros().get_config() == Ones().get_config() == {}
    assert Constant(0.5).get_config() == {"value": 0.5}
    assert initializers.Identity().get_config() == {"gain": 1.0}
    assert initializers.VarianceScaling(2.0).get_config() == {
        "scale": 2.0,
        "mode": "fan_in",
        "distribution": "truncated_normal",
        "seed": None,
    }
    assert initializers.RandomNormal().get_config() == {"mean": 0.0, "stddev": 0.05, "seed": None}


def test_a_function_in_the_place_of_an_initializer():
    def ramp(shape, dtype=None):
        assert dtype == "float64"
        return np.arange(np.prod(shape), dtype=dtype).reshape(shape)

    layer = Dense(2, kernel_initializer=ramp, dtype="float64")
    layer.build((None, 3))
    np.testing.assert_array_equal(layer.params["W"], [[0, 1], [2, 3], [4, 5]])
    with pytest.raises(TypeError, match="that JSON can hold, received the function"):
        layer.get_config()
    with pytest.raises(ValueError, match=r"draw to return values of shape \(3, 2\)"):
        Dense(2, kernel_initializer=lambda shape, dtype: np.ones(4)).build((None, 3))

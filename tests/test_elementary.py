"""The engine's float32 activations against float64, over all float32 numbers: `engine/curves.py`.

A unit in the last place (ulp) is the distance of the right number to the next float32. Where that
number is too small to have one that is not denormal, the kernels give 0.
"""

import math

import numpy as np
import pytest
from cases import Draw
from cases.activations import ACTIVATION_CASES
from counts import and_slow

from minicnn import kernels
from minicnn.engine import curves
from minicnn.engine.activations import KNOWN, curve_of
from minicnn.engine.stages import ActivationStage
from minicnn.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    Activation,
    Dropout,
    Exponential,
    HardShrink,
    HardSigmoid,
    HardSiLU,
    HardTanh,
    LeakyReLU,
    Linear,
    LogSigmoid,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    SoftShrink,
    Softsign,
    SparsePlus,
    SparseSigmoid,
    Squareplus,
    Tanh,
    TanhShrink,
    Threshold,
)

# layer -> ulp of y, and parts of 2^-24 of the slope or of 1, whichever is more
BOUNDS = {
    CELU(): (2, 2),
    ELU(): (2, 2),
    ELU(0.3): (2, 2),
    Exponential(): (2, 2),
    GELU(): (6, 4),
    GELU(approximate=True): (160, 4),  # e^2u is as uncertain as u is, which is up to 44
    HardShrink(): (0, 0),
    HardSiLU(): (2, 2),
    HardSigmoid(): (1, 1),
    HardTanh(): (0, 0),
    LeakyReLU(): (1, 1),
    LogSigmoid(): (3, 2),
    Mish(): (4, 4),
    ReLU(): (0, 0),
    ReLU(6): (0, 0),
    SELU(): (2, 3),
    SiLU(): (4, 4),
    Sigmoid(): (3, 2),
    SoftShrink(): (1, 0),
    Softplus(): (3, 2),
    Softsign(): (2, 4),
    SparsePlus(): (2, 1),
    SparseSigmoid(): (1, 0),
    Squareplus(): (3, 2),
    Tanh(): (2, 2),
    TanhShrink(): (16, 3),  # x and tanh(x) have digits in common where the polynomial ends
    Threshold(0.5, -2.0): (0, 0),
}
SMALLEST = 2.0**-126
FLUSHED = 2.0**-119  # of x e^x, where e^x is below SMALLEST


def every_exponent(count):
    """`count` numbers of each sign and exponent, denormals, infinities and NaN among them."""
    rng = np.random.default_rng(1)
    exponent = np.repeat(np.arange(256, dtype=np.uint32), 2 * count)
    sign = np.arange(exponent.size, dtype=np.uint32) % 2
    digits = rng.integers(0, 2**23, exponent.size, dtype=np.uint32)
    return (sign << 31 | exponent << 23 | digits).view(np.float32)


def numbers():
    rng = np.random.default_rng(2)
    dense = [rng.normal(0, size, 50_000).astype(np.float32) for size in (0.1, 1, 5, 40)]
    edges = [0, 0.625, 6, 3, 1, 0.5, 12.96, 87.33654, 88.7228, 88.8, 89, 103.9, 1e30, np.inf]
    edges = np.array([*edges, np.nan], np.float32)
    around = [np.nextafter(edges, np.float32(end)) for end in (0, np.inf)]
    edges = np.concatenate([edges, *around])
    return np.concatenate([every_exponent(200), *dense, edges, -edges])


def both_passes(layer, x):
    """y and the slope by the engine."""
    stage = ActivationStage([layer])
    x = x.reshape(1, 1, -1)
    y = stage.forward(x, True)
    return y.ravel(), stage.backward(np.ones_like(x)).ravel()


def right(layer, x):
    """y in float64: the layer's own, and where that loses digits, another formula."""
    if isinstance(layer, GELU) and not layer.approximate:
        share = np.empty(x.shape)
        kernels.normal_cdf(x, share)
        return x * share
    if isinstance(layer, GELU):
        return x * Sigmoid().value(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    if isinstance(layer, Mish):
        power = np.exp(np.minimum(x, 0))
        low = power * (power + 2) / (power * (power + 2) + 2)
        return x * np.where(x < 0, low, np.tanh(np.logaddexp(x, 0)))
    if isinstance(layer, TanhShrink):
        return np.where(
            np.abs(x) < 0.02, x**3 / 3 - 2 * x**5 / 15 + 17 * x**7 / 315, x - np.tanh(x)
        )
    return np.asarray(layer.value(x), float)


def ulps(y, expected):
    """How far y is off, in units in the last place of the right number; 0 where that is too small
    for a unit, or infinite."""
    off = np.abs(y - expected)
    unit = np.spacing(np.maximum(np.abs(expected), SMALLEST).astype(np.float32)).astype(float)
    return np.where(off < FLUSHED, 0, off / unit)


# each is compiled for this test alone
@pytest.mark.parametrize(
    "layer", and_slow([*BOUNDS][:4], [*BOUNDS][4:], "in_ci"), ids=lambda layer: str(curve_of(layer))
)
@np.errstate(all="ignore")
def test_the_stated_bounds_hold_over_all_exponents(layer):
    x = numbers()
    wide = x.astype(float)
    y, slope = both_passes(layer, x)
    expected, of_slope = right(layer, wide), np.asarray(layer.slope(wide, y.astype(float)), float)
    finite = np.isfinite(expected.astype(np.float32)) & np.isfinite(x)
    most, most_of_slope = BOUNDS[layer]
    off = ulps(y[finite].astype(float), expected[finite])
    assert off.max() <= most, (off.max(), x[finite][off.argmax()])
    if most:
        assert off.max() > most / 5  # a bound that says something
    # overflow, infinities and NaN as the layer has them
    np.testing.assert_array_equal(y[~finite], expected[~finite].astype(np.float32))
    finite &= np.isfinite(of_slope.astype(np.float32))
    off = np.abs(slope - of_slope)[finite] / np.maximum(1, np.abs(of_slope[finite]))
    assert off.max() * 2**24 <= most_of_slope, (off.max() * 2**24, x[finite][off.argmax()])


def test_every_curve_has_a_bound():
    assert {type(layer) for layer in BOUNDS} == KNOWN.keys() - {Linear}


@pytest.mark.in_ci  # most of the kernels are compiled for it alone
@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: kind.__name__)
@np.errstate(all="ignore")
def test_curves_of_any_settings_are_what_the_layers_do(kind):
    """Settings that the table of cases draws, ties and the numbers that no number is."""
    special = np.array([0, -0.0, 0.5, 6, 1, -1, 3, -3, np.inf, -np.inf, np.nan, 1e38, -1e38, 100])
    x = np.concatenate([special, np.random.default_rng(3).normal(0, 3, 5000)]).astype(np.float32)
    for seed in range(10):
        kwargs = ACTIVATION_CASES[kind].draw(Draw(seed))[0]
        layer = kind(**kwargs)
        y, slope = both_passes(Activation(layer), x)
        np.testing.assert_allclose(y, layer.forward(x[None])[0], rtol=2e-5, atol=2e-6)
        expected = layer.backward(np.ones((1, x.size), np.float32))[0]
        both = np.isfinite(expected) & np.isfinite(x)  # of NaN a layer's slope may be 1
        np.testing.assert_allclose(slope[both], expected[both], rtol=2e-5, atol=4e-6)
        assert np.isnan(slope[np.isnan(x)]).all() or np.isfinite(expected[np.isnan(x)]).all()


@pytest.mark.slow
@pytest.mark.parametrize("layer", [Exponential(), Tanh()], ids=["exp", "tanh"])
@np.errstate(all="ignore")
def test_every_float32(layer):
    """All numbers from 1/16 to 128, of both signs; below, the same polynomials go on."""
    worst = 0.0
    for exponent in range(123, 134):
        digits = np.arange(2**23, dtype=np.uint32) | np.uint32(exponent << 23)
        for sign in (0, 1 << 31):
            x = (digits | np.uint32(sign)).view(np.float32)
            expected = layer.value(x.astype(float))
            y = both_passes(layer, x)[0]
            finite = np.isfinite(expected.astype(np.float32))
            worst = max(worst, ulps(y[finite].astype(float), expected[finite]).max())
            np.testing.assert_array_equal(y[~finite], np.float32(np.inf))
    assert worst <= BOUNDS[next(one for one in BOUNDS if type(one) is type(layer))][0]


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 6), (2, 5, 3, 6), (2, 3, 2, 2, 3), (1, 9, 8, 40)])
@pytest.mark.parametrize("rate", [0, 0.5])
def test_bias_activation_and_dropout_on_every_shape(shape, rate):
    rng = np.random.default_rng(4)
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32)
    bias = rng.standard_normal(shape[-1]).astype(np.float32)
    activation, dropout = Tanh(), Dropout(rate, seed=3)
    dropout.build(shape)  # which draws its key
    stage = ActivationStage([activation, dropout])
    stage.seek(2, 30)
    y, db = stage.forward(x, True, bias), np.empty_like(bias)
    dropout.seek(2, 30)
    expected = dropout.forward(activation.forward(x + bias), True)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-7)
    dz = stage.backward(dy, db)
    expected = activation.backward(dropout.backward(dy))
    np.testing.assert_allclose(dz, expected, rtol=1e-5, atol=1e-6)
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(db, expected.sum(axis=axes), rtol=1e-4, atol=1e-5)
    # to predict nothing is dropped, and no bias of the call before is left
    np.testing.assert_allclose(stage.forward(x), np.tanh(x), rtol=1e-6, atol=1e-7)


def test_an_array_of_any_make_is_taken():
    x = np.random.default_rng(5).standard_normal((4, 6, 5))
    for given in (x, x.astype(">f4"), x[:, ::-1], np.asfortranarray(x)):
        y = ActivationStage([Tanh()]).forward(given)
        np.testing.assert_allclose(y, np.tanh(given), rtol=1e-6, atol=1e-7)
        assert y.dtype == np.float32


def test_a_stage_for_what_is_no_curve_is_refused():
    with pytest.raises(TypeError, match="expected an activation"):
        ActivationStage([Activation("softmax")])


def test_kernels_are_shared_by_all_layers_of_a_kind():
    assert curves.curve(curve_of(ELU()).name) is curves.curve(curve_of(SELU()).name)
    assert curve_of(ReLU()).name == curve_of(Linear()).name

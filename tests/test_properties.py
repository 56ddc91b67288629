"""Every layer, loss, optimizer and the engine, over hundreds of drawn cases each.

The names in brackets are the bars of docs/correctness.md: (F1) forward against plain loops, (G1)
and (G2) gradients against central differences, (G4) the same for whole networks, (G5) kinks and
ties, (F5) large logits, (F6) far from zero, (F7) arrays of any make, (T2) evaluate and predict,
(D2) threads, (D4) the global random state.

    MINICNN_WORST=worst.json pytest tests/test_properties.py

writes how many cases each tolerance had, and the worst error among them.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
import types

import numpy as np
import pytest
from cases import Draw
from cases.activations import softmax
from cases.layers import LAYERS, windows
from cases.losses import LOSSES as ALL_LOSSES
from cases.losses import examples as examples_of_losses
from cases.losses import pair
from cases.optimizers import OPTIMIZERS
from counts import draws
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import (
    FORMS,
    SEEDS,
    cases,
    error,
    every_kind,
    forms,
    network,
    networks,
    within,
)

from minicnn import Input, Sequential, get_num_threads, set_num_threads
from minicnn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    MaxPooling2D,
    ReLU,
    Softmax,
    Sparsemax,
)
from minicnn.optimizers import SGD, Adam
from minicnn.utils import set_random_seed

EPS = 1e-5
each_kind = pytest.mark.parametrize("kind", every_kind, ids=lambda kind: kind.__name__)


class _Dirty(types.ModuleType):
    """NumPy, but for `empty`: what it returns is full of NaN."""

    def __getattr__(self, name):
        return getattr(np, name)

    @staticmethod
    def empty(*args, **kwargs):
        array = np.empty(*args, **kwargs)
        array.fill(np.nan if array.dtype.kind == "f" else 77)
        return array


@pytest.fixture(autouse=True, scope="module")
def _no_buffer_is_clean():
    """A cell that no kernel fills is seen: NaN is what the layers' new buffers hold.

    The kernels' own modules keep the true NumPy, which numba has to recognize.
    """
    dirty = _Dirty("numpy")
    modules = [
        module
        for name, module in sys.modules.items()
        if name.startswith(("minicnn.layers.", "minicnn.engine.stages"))
        and getattr(module, "np", None) is np
    ]
    assert modules
    for module in modules:
        module.np = dirty
    yield
    for module in modules:
        module.np = np


# -- forward ---------------------------------------------------------------------------------------


@each_kind
@given(st.data())
def test_forward_is_the_definition_in_plain_loops(kind, data):
    """(F1) in both float types; sizes that do not divide, ties and negative numbers included."""
    case = data.draw(cases(kind))
    for dtype, limit in (("float64", 1e-12), ("float32", 1e-5)):
        layer, x = case.layer(dtype), case.x(dtype)
        truth = np.asarray(LAYERS[kind].definition(case, layer, x.tolist()), np.float64)
        y = case.forward(layer, x)
        assert y.shape == layer.output_shape(case.shape)
        within(limit, f"F1 {kind.__name__} {dtype}", error(y.ravel(), truth.ravel(), 1.0))


@given(cases(BatchNormalization, axis=-1))
def test_running_statistics_are_their_definition_in_plain_loops(case):
    """(F1) moved in training alone; the variance has m below the line."""
    for dtype, limit in (("float64", 1e-12), ("float32", 1e-5)):
        layer, x = case.layer(dtype), case.x(dtype)
        before = {key: array.copy() for key, array in layer.state.items()}
        case.forward(layer, x)
        for c in range(case.shape[-1]):
            values = x[..., c].ravel().tolist()
            mean = math.fsum(values) / len(values)
            var = math.fsum((v - mean) ** 2 for v in values) / len(values)
            for key, new in (("moving_mean", mean), ("moving_variance", var)):
                share = 1 - case.kwargs["momentum"] if case.training else 0.0
                truth = (1 - share) * float(before[key][c]) + share * new
                within(limit, f"F1 {key} {dtype}", error(layer.state[key][c], truth, 1.0))


# -- gradients ------------------------------------------------------------------------------------


def slopes(value, array, eps):
    """Central differences of the number value() by each number of `array`."""
    found = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        here = array[index]
        array[index] = here + eps
        above = value()
        array[index] = here - eps
        below = value()
        array[index] = here
        found[index] = (above - below) / (2 * eps)
    return found


def assert_gradients(case, layer, x, eps, limit, what):
    y = case.forward(layer, x)
    dy = case.dy(y)
    ours = {"x": layer.backward(dy), **layer.grads}
    ours = {key: array.copy() for key, array in ours.items()}

    def value():
        return float(np.vdot(dy, case.forward(layer, x)))

    # a gradient that is 0 all over, as that of a softmax of one class, is measured against dy
    floor = 1e-2 * float(np.abs(dy).max())
    for key, array in {"x": x, **layer.params}.items():
        within(limit, what, error(ours[key], slopes(value, array, eps), floor))


def keeps_off_the_kinks(case):
    """Whether the numbers that an activation sees are clear of its kinks."""
    if case.kind is Sparsemax:  # its kink lies where the others of a vector put it
        layer, x = case.layer(), case.x()
        y = layer.forward(x)
        kink = np.where(y > 0, x - y, -np.inf).max(axis=layer.axis, keepdims=True)
        return np.abs(x - kink).min() > 1e-3
    side = LAYERS[case.kind].side
    if side is not None:  # which side of its kink, at a threshold, say, an activation is on
        layer, x = case.layer(), case.x()
        below, here, above = (side(layer, layer.forward(x + step)) for step in (-1e-3, 0, 1e-3))
        return np.array_equal(below, here) and np.array_equal(here, above)
    inside = getattr(case.kind(**case.kwargs), "activation", None)
    if case.kind is Activation or inside is None or LAYERS[type(inside)].side is None:
        return True  # their x is spaced
    z = case.layer(activation=None).forward(case.x(values="spaced"))
    return np.abs(z).min() > 1e-3


@each_kind
@given(st.data())
def test_gradients_are_central_differences(kind, data):
    """(G1) of x and of every parameter."""
    case = data.draw(cases(kind, "spaced"))
    assume(keeps_off_the_kinks(case))
    assert_gradients(case, case.layer(), case.x(), EPS, 1e-7, f"G1 {kind.__name__}")


@pytest.mark.parametrize(
    "kind",
    [kind for kind in every_kind if LAYERS[kind].linear is not None],
    ids=lambda kind: kind.__name__,
)
@given(st.data())
def test_gradients_of_linear_layers_are_exact(kind, data):
    """(G2) with steps as long as 1, which leave nothing but rounding."""
    case = data.draw(cases(kind, **LAYERS[kind].linear))
    assert_gradients(case, case.layer(), case.x(), 1.0, 1e-12, f"G2 {kind.__name__}")


@each_kind
@given(st.data())
def test_gradients_in_single_precision_follow_those_in_double(kind, data):
    case = data.draw(cases(kind, "spaced"))
    assume(keeps_off_the_kinks(case))
    found = []
    for dtype in ("float32", "float64"):
        layer = case.layer(dtype)
        for array, single in zip(
            [*layer.params.values(), *layer.state.values()], case.layer("float32").get_weights()
        ):
            array[...] = single
        x = case.x("float32").astype(dtype)
        dy = case.dy(case.forward(layer, x)).astype("float32")
        found.append({"x": layer.backward(dy), **layer.grads})
    single, double = found
    for key, truth in double.items():
        assert single[key].dtype == np.float32
        floor = np.abs(double["x"]).max() + 1e-2
        within(3e-5, f"float32 backward {kind.__name__}", error(single[key], truth, floor))


# -- kinks and ties -------------------------------------------------------------------------------


@given(cases(MaxPooling2D, "ties", "negative"))
def test_of_equal_cells_the_first_collects_and_padding_never_does(case):
    """(G5) whatever the window, the strides and the padding."""
    layer, x = case.layer(), case.x()
    dy = case.dy(layer.forward(x))
    truth = np.zeros(case.shape)
    for (i, j), cells in windows(layer, case.shape):
        for n, c in itertools.product(range(case.shape[0]), range(case.shape[3])):
            _, _, h, w = max(cells, key=lambda cell: x[n, cell[2], cell[3], c])  # the first of them
            truth[n, h, w, c] += dy[n, i, j, c]
    np.testing.assert_allclose(layer.backward(dy), truth, rtol=1e-14, atol=1e-14)


@given(
    cases(ReLU, "ties", max_value=None, negative_slope=0, threshold=0), st.sampled_from([0.0, -0.0])
)
def test_relu_has_slope_0_at_0(case, zero):
    """(G5)"""
    layer, x = case.layer(), case.x()
    x[x == 0] = zero
    dy = case.dy(layer.forward(x))
    np.testing.assert_array_equal(layer.backward(dy), np.where(x > 0, dy, 0.0))


@given(st.sampled_from([Conv2D, Dense]), st.data())
def test_relu_inside_a_layer_has_slope_0_at_0(kind, data):
    """(G5)"""
    case = data.draw(cases(kind, activation="relu"))
    layer = case.layer()
    for array in layer.params.values():
        array[...] = 0
    dx = layer.backward(case.dy(layer.forward(case.x())))
    assert not dx.any()
    assert not any(array.any() for array in layer.grads.values())


# -- numbers far from 1 ---------------------------------------------------------------------------


@given(st.tuples(st.integers(1, 6), st.integers(1, 12)), SEEDS)
def test_softmax_of_large_numbers(shape, seed):
    """(F5) finite in float32, close to float64, and rows that sum to 1."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-1e4, 1e4, 0.0, 1.0], shape).astype(np.float32)
    dy = rng.standard_normal(shape).astype(np.float32)
    single, double = Softmax(), Softmax()
    y, truth = single.forward(x), double.forward(x.astype(np.float64))
    assert y.dtype == np.float32
    within(1e-5, "F5 Softmax", error(y, truth, 1.0))
    within(1e-5, "F5 Softmax", error(y.sum(axis=-1), np.ones(shape[0])))
    within(1e-5, "F5 Softmax", error(single.backward(dy), double.backward(dy), 1.0))


@given(
    st.sampled_from(["sparse_categorical_crossentropy", "categorical_crossentropy"]),
    st.integers(1, 40),
    st.integers(2, 10),
    SEEDS,
)
def test_a_model_with_logits_of_ten_thousand(loss, n, classes, seed):
    """(F5) through training and evaluation: the loss is taken from the logits."""
    rng = np.random.default_rng(seed)
    x = rng.choice([-1.0, 1.0, 0.5, 1e-4], (n, classes)).astype(np.float32)
    labels = rng.integers(0, classes, n)
    y = np.eye(classes)[labels] if loss == "categorical_crossentropy" else labels
    figures = {}
    for dtype in ("float32", "float64"):
        model = Sequential([Input((classes,), dtype=dtype), Dense(classes, activation="softmax")])
        model.set_weights([1e4 * np.eye(classes), np.zeros(classes)])
        model.compile(SGD(0.0), loss)
        evaluated, trained = model.evaluate(x, y, verbose=0), model.train_on_batch(x, y)
        assert evaluated == pytest.approx(trained, rel=1e-6)
        figures[dtype] = trained, model.flat_grads
    z = (1e4 * x.astype(np.float64)).tolist()
    true = [max(row) + math.log(math.fsum(math.exp(v - max(row)) for v in row)) for row in z]
    true = math.fsum(t - row[k] for t, row, k in zip(true, z, labels)) / n
    for dtype, (value, gradient) in figures.items():
        assert np.isfinite(gradient).all()
        within(1e-5, f"F5 loss {dtype}", error(value, true, 1.0))
    within(1e-5, "F5 gradient", error(figures["float32"][1], figures["float64"][1], 1.0))


@given(
    st.one_of(
        st.tuples(st.integers(100, 300), st.integers(1, 4)),
        st.tuples(st.integers(4, 16), st.integers(5, 8), st.integers(5, 8), st.integers(1, 4)),
    ),
    SEEDS,
)
def test_batch_normalization_far_from_zero(shape, seed):
    """(F6) float32 on N(100, 1): no digits are lost to E[x^2] - E[x]^2."""
    rng = np.random.default_rng(seed)
    x = rng.normal(100, 1, shape).astype(np.float32)
    dy = rng.standard_normal(shape).astype(np.float32)
    single, double = BatchNormalization(dtype="float32"), BatchNormalization(dtype="float64")
    within(1e-5, "F6 y", np.abs(single.forward(x, True) - double.forward(x, True)).max())
    within(1e-5, "F6 dx", np.abs(single.backward(dy) - double.backward(dy)).max())
    for key, array in single.grads.items():
        within(1e-5, f"F6 d{key}", error(array, double.grads[key], math.sqrt(dy.size)))
    for key, array in single.state.items():
        within(1e-5, f"F6 {key}", error(array, double.state[key]))


# -- arrays of any make ---------------------------------------------------------------------------


@each_kind
@given(st.data(), forms, forms, st.sampled_from(["float32", "float64"]))
def test_arrays_of_any_make_give_the_same_and_stay_as_they_are(kind, data, form, other, dtype):
    """(F7) to the last bit; and what a backward finds in the gradients, it replaces."""
    case = data.draw(cases(kind))
    layer, x = case.layer(dtype), case.x(dtype)
    y = case.forward(layer, x).copy()
    dy = case.dy(y)
    dx = layer.backward(dy).copy()
    grads = {key: array.copy() for key, array in layer.grads.items()}

    x_in_form, dy_in_form = FORMS[form](x), FORMS[other](dy)
    np.testing.assert_array_equal(case.forward(layer, x_in_form), y, strict=True)
    np.testing.assert_array_equal(layer.backward(dy_in_form), dx, strict=True)
    for key, array in grads.items():
        np.testing.assert_array_equal(layer.grads[key], array, strict=True)
    np.testing.assert_array_equal(x_in_form, x)
    np.testing.assert_array_equal(dy_in_form, dy)


def through_all_doors(network, x, y):
    """What a model makes of these arrays, which it leaves as they are."""
    before = np.array(x), np.array(y)
    model = network.model("float32")
    model.compile(Adam(), network.loss)
    found = (
        model.predict(x, verbose=0).tobytes(),
        model.evaluate(x, y, batch_size=7, verbose=0),
        model.fit(x, y, batch_size=7, shuffle=False, verbose=0).history,
        model.flat_params.tobytes(),
    )
    np.testing.assert_array_equal(before[0], x)
    np.testing.assert_array_equal(before[1], y)
    return found


@draws(60)
@given(networks, st.integers(1, 40), forms, forms, st.sampled_from(["float32", "uint8"]))
def test_a_model_takes_arrays_of_any_make(network, n, form, other, kind):
    """(F7) in training, evaluation and prediction, to the last bit."""
    x, y = network.batch(n)
    x = (x > 0).astype(kind)
    expected = through_all_doors(network, x.astype("float32"), y)
    assert through_all_doors(network, FORMS[form](x), FORMS[other](y)) == expected


@pytest.mark.parametrize(
    "kind",
    ["bool", "int8", "uint16", "int32", "int64", "uint64", "float16", "float64", "longdouble"],
)
def test_a_model_takes_numbers_of_any_type(kind):
    """(F7) with and without fused stages."""
    for seed in range(4):
        made = network(seed)
        x, y = made.batch(20)
        x = (x > 0).astype(kind)
        assert through_all_doors(made, x, y) == through_all_doors(made, x.astype("float32"), y)


# -- losses ---------------------------------------------------------------------------------------


LOSSES = examples_of_losses()
each_loss = pytest.mark.parametrize("name", LOSSES)


@st.composite
def predictions(draw, name):
    """Targets and predictions (N, [inner,] C) that suit the loss, away from where it clips."""
    inner = draw(st.one_of(st.just(()), st.tuples(st.integers(1, 3))))
    shape = (draw(st.integers(1, 4)), *inner, draw(st.integers(1, 5)))
    rng = np.random.default_rng(draw(SEEDS))
    return pair(rng, LOSSES[name], shape)


def per_sample(values, shape):
    return np.reshape(values, (shape[0], -1)).mean(axis=1)


@each_loss
@given(st.data())
def test_loss_is_its_definition_in_plain_numbers(name, data):
    """(F1)"""
    loss = LOSSES[name]
    case = ALL_LOSSES[type(loss)]
    y, y_pred = data.draw(predictions(name))
    for dtype, limit in (("float64", 1e-12), ("float32", 1e-5)):
        given_pred = y_pred.astype(dtype)
        rows = given_pred.reshape(-1, y_pred.shape[-1]).tolist()
        labels = y.reshape(-1, *y.shape[y_pred.ndim - 1 :])
        if dtype == "float32" and labels.dtype.kind == "f":
            labels = labels.astype(np.float32)
        truth = per_sample(case.definition(loss, labels.tolist(), rows), y_pred.shape)
        values = loss.forward(y, given_pred)
        assert values.dtype == dtype
        within(limit, f"F1 {name} {dtype}", error(values, truth, 1.0))
        weight = np.random.default_rng(len(y)).random(len(y))
        assert loss(y, given_pred) == pytest.approx(truth.mean(), rel=limit, abs=limit)
        weighted = (truth * weight).mean()
        assert loss(y, given_pred, weight) == pytest.approx(weighted, rel=limit, abs=limit)


@each_loss
@given(st.data())
def test_gradient_of_a_loss_is_its_central_difference(name, data):
    """(G1)"""
    loss = LOSSES[name]
    y, y_pred = data.draw(predictions(name))
    weight = np.random.default_rng(len(y)).uniform(-1, 1, len(y))
    ours = loss.backward(y, y_pred) * weight.reshape(-1, *[1] * (y_pred.ndim - 1))
    before = y_pred.copy(), y.copy()
    numeric = slopes(lambda: float(loss.forward(y, y_pred) @ weight), y_pred, EPS)
    within(1e-7, f"G1 {name}", error(ours, numeric, 1e-2))
    np.testing.assert_array_equal(y_pred, before[0])
    np.testing.assert_array_equal(y, before[1])
    single = loss.backward(y, y_pred.astype("float32"))
    assert single.dtype == np.float32
    within(1e-5, f"float32 backward {name}", error(single, loss.backward(y, y_pred), 1.0))


# -- optimizers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
@given(st.integers(1, 12), st.floats(-3, 3), SEEDS)
def test_optimizer_is_its_formula_in_plain_numbers(kind, steps, magnitude, seed):
    """Any settings, a learning rate that changes on the way, and parts that stay."""
    step, settings = OPTIMIZERS[kind].step, OPTIMIZERS[kind].draw(Draw(seed))
    optimizer = kind(**settings)
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(6)
    # not normal numbers: v + (1 - beta_2) * (g^2 - v) keeps few digits where g^2 falls by 10^5
    signs = rng.choice([-1, 1, 1, -1, 0], (steps, 6))
    gradients = signs * rng.uniform(0.1, 2, (steps, 6)) * 10**magnitude
    rates = [optimizer.learning_rate, *rng.uniform(0, 10, steps - 1).tolist()]
    parts = [slice(0, 2), slice(3, 6)]
    single, double = (kind(**settings) for _ in range(2))
    in_single, in_double = w.astype(np.float32), w.copy()
    memory, truth, walked = [{} for _ in w], w.tolist(), np.abs(w)
    for t, g in enumerate(gradients, start=1):
        for one in (optimizer, single, double):
            one.learning_rate = rates[t - 1]
        for k in (0, 1, 3, 4, 5):
            before = truth[k]
            truth[k] = step(optimizer, before, float(g[k]), t, memory[k])
            walked[k] += abs(truth[k] - before)
        double.update(in_double, g, parts)
        single.update(in_single, g.astype(np.float32), parts)
    assert in_single.dtype == np.float32
    assert double.iterations == steps
    assert in_double[2] == w[2]
    scale = 1 / walked  # what is left of long steps there and back keeps their rounding
    within(1e-11, f"{kind.__name__} float64", error(in_double * scale, truth * scale, 1.0))
    within(1e-4, f"{kind.__name__} float32", error(in_single * scale, truth * scale, 1.0))


# -- whole networks -------------------------------------------------------------------------------


def kinks(layers, outputs):
    """On which side of each kink a pass went: ReLUs that are on, cells that won their windows."""
    pairs = [(LAYERS[type(layer)].side, layer, y) for layer, y in zip(layers, outputs)]
    return [side(layer, y) for side, layer, y in pairs if side]


def softmax_of(z):
    return np.array([softmax(row) for row in z.tolist()])


def walk(model, x, training=True):
    """What each layer makes of the batch, from the place where a model's first step begins."""
    outputs = []
    for layer in model.layers:
        layer.seek(0, 0)
        x = layer.forward(x, training)
        outputs.append(x)
    return outputs


def loss_of(network, y, z):
    """Loss of each sample from the logits (or the outputs), and its gradient, by the formula."""
    if network.loss == "mse":
        return np.square(z - y).mean(axis=1), 2 * (z - y) / z.shape[1]
    p = softmax_of(z)
    target = np.eye(network.classes)[y] if y.ndim == 1 else y
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(target * log_p).sum(axis=1), p - target


@draws(30)
@given(networks, st.integers(4, 6))
def test_every_parameter_of_random_networks(network, n):
    """(G4) what a step of training takes for the gradient, against the loss that it reports."""
    model, plain = network.model(), network.model(logits=True)
    x, y = network.batch(n)
    model.compile(SGD(0.0), network.loss)
    model.train_on_batch(x, y)
    outputs = walk(plain, x)
    sides = kinks(plain.layers, outputs)

    numeric = np.zeros_like(model.flat_grads)
    for k, here in enumerate(plain.flat_params.copy()):
        values = []
        for step in (EPS, -EPS):
            plain.flat_params[k] = here + step
            outputs = walk(plain, x)
            values.append(loss_of(network, y, outputs[-1])[0].mean())
            for before, now in zip(sides, kinks(plain.layers, outputs)):
                assume(np.array_equal(before, now))
        plain.flat_params[k] = here
        numeric[k] = (values[0] - values[1]) / (2 * EPS)

    # a bias below a batch normalization has no say: its gradient is rounding beside the others
    floor = 1e-3 * np.abs(numeric).max()
    start = 0
    for array in (array for layer in plain.layers for array in layer.params.values()):
        part = slice(start, start + array.size)
        within(1e-6, "G4", error(model.flat_grads[part], numeric[part], floor))
        start += array.size


# -- the engine: shards, lanes and threads --------------------------------------------------------

BATCHES = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 128, 129, 200, 300]))


@draws(100)
@given(networks, BATCHES, st.sampled_from(["float64", "float32"]), st.booleans())
def test_a_step_in_shards_is_the_walk_of_the_whole_batch(network, n, dtype, jit_compile):
    """Loss, outputs, gradients and dropout masks; fused, and layer by layer."""
    model, plain = network.model(dtype), network.model(dtype, logits=True)
    x, y = network.batch(n)
    model.compile(SGD(0.0), network.loss, jit_compile=jit_compile)
    loss = model.train_on_batch(x, y)
    z = walk(plain, x.astype(dtype))[-1]
    values, dz = loss_of(network, y, z.astype(np.float64))
    plain.backward((dz / n).astype(dtype))

    limit = 1e-11 if dtype == "float64" else 1e-4
    within(limit, f"shards, loss {dtype}", error(loss, values.mean(), 1.0))
    largest = float(np.abs(plain.flat_grads).max())
    within(limit, f"shards, gradient {dtype}", error(model.flat_grads, plain.flat_grads, largest))
    for layer, other in zip(model.layers, plain.layers):
        for key, array in layer.state.items():
            within(limit, f"shards, {key} {dtype}", error(array, other.state[key], 1.0))

    z = walk(plain, x.astype(dtype), training=False)[-1]
    outputs = z if network.loss == "mse" else softmax_of(z)
    predicted = model.predict(x, batch_size=n, verbose=0)
    within(limit, f"shards, outputs {dtype}", error(predicted, outputs, 1.0))


@pytest.fixture(scope="module")
def _threads_as_before():
    before = get_num_threads()
    yield
    set_num_threads(before)


@pytest.mark.usefixtures("_threads_as_before")
@draws(40)
@given(networks, st.integers(1, 150), st.integers(1, 150))
def test_not_a_bit_depends_on_the_number_of_threads(network, n, batch_size):
    """(D2) weights, history, gradients and predictions."""
    x, y = network.batch(n)
    runs = []
    for count in (1, 2, 3):
        set_num_threads(count)
        set_random_seed(network.seed)
        model = network.model("float32")
        model.compile(
            Adam(0.01), network.loss, metrics=["mae" if network.loss == "mse" else "accuracy"]
        )
        history = model.fit(x, y, batch_size=batch_size, epochs=2, verbose=0).history
        evaluated = model.evaluate(x, y, batch_size=batch_size, verbose=0)
        predicted = model.predict(x, batch_size=batch_size, verbose=0)
        weights = [array.tobytes() for array in model.get_weights()]
        runs.append((weights, model.flat_grads.tobytes(), predicted.tobytes(), history, evaluated))
    assert runs[0] == runs[1] == runs[2]


@draws(60)
@given(networks, st.integers(1, 70))
def test_evaluate_is_the_mean_over_samples_and_predict_keeps_their_order(network, n):
    """(T2) at any batch size, with a short last batch too."""
    model, plain = network.model(), network.model(logits=True)
    x, y = network.batch(n)
    metric = "mae" if network.loss == "mse" else "accuracy"
    model.compile("adam", network.loss, metrics=[metric])
    z = walk(plain, x, training=False)[-1]
    values, _ = loss_of(network, y, z)
    right = z.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))
    judged = np.abs(z - y).mean(axis=1) if network.loss == "mse" else right
    outputs = z if network.loss == "mse" else softmax_of(z)
    for batch_size in (1, 7, 32, n):
        loss, figure = model.evaluate(x, y, batch_size=batch_size, verbose=0)
        within(1e-6, "T2 loss", error(loss, values.mean(), 1.0))
        within(1e-6, "T2 metric", error(figure, judged.mean(), 1.0))
        predicted = model.predict(x, batch_size=batch_size, verbose=0)
        within(1e-6, "T2 predict", error(predicted, outputs, 1.0))


@draws(20)
@given(networks, SEEDS)
def test_the_global_random_state_is_neither_read_nor_changed(network, seed):
    """(D4) two runs of one seed agree over two different global states, and leave those alone."""
    x, y = network.batch(20)
    runs = []
    for other in (seed, seed // 2 + 1):
        set_random_seed(network.seed)
        np.random.seed(other)
        random.seed(other)
        before = np.random.get_state()[1].tobytes(), np.random.get_state()[2:], random.getstate()
        model = Sequential([Input(network.sample)])
        for kind, kwargs in network.body:
            model.add(kind(**{k: v for k, v in kwargs.items() if k != "seed"}))
        model.add(Dropout(0.3))
        model.add(Dense(network.classes, activation="softmax"))
        model.compile("adam", network.loss)
        history = model.fit(x, y, validation_split=0.3, batch_size=5, verbose=0).history
        runs.append((model.flat_params.tobytes(), history))
        after = np.random.get_state()[1].tobytes(), np.random.get_state()[2:], random.getstate()
        assert after == before
    assert runs[0] == runs[1]

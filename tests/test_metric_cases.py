"""Every metric of the table: its definition, its state, and what Keras says."""

import copy
import pickle

import numpy as np
import pytest
from cases import rng_of
from cases.metrics import EXAMPLES, METRICS, data
from counts import and_slow
from fixtures.stored import assert_asked, load

from minicnn import Sequential, metrics
from minicnn.layers import Dense
from minicnn.optimizers import SGD

KERAS, ABOUT = load("metrics")

every_example = pytest.mark.parametrize("name", EXAMPLES)
WAYS = {"plain": None, "weighted": np.linspace(0, 2, 12)}


def example(name, shape=(12, 3)):
    kind, kwargs = EXAMPLES[name]
    return kind(**kwargs), *data(kind, rng_of(name), shape)


def rows_of(y, p):
    """Lists of Python's numbers, a row each."""
    inner = p.ndim - 1
    return y.reshape(-1, *y.shape[inner:]).tolist(), p.reshape(-1, p.shape[-1]).tolist()


@every_example
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("positions", [(), (4,), (2, 3)])
def test_a_metric_is_its_definition(name, positions, weighted):
    metric, y, p = example(name, (12, *positions, 3))
    weights = np.linspace(0, 2, 12) if weighted else None
    try:
        metric.check(y, p.shape, "it")
    except ValueError:
        assert positions, "of vectors, every metric has to work"
        return
    of_rows = np.repeat(np.ones(12) if weights is None else weights, p[0, ..., 0].size)
    expected = METRICS[type(metric)].definition(metric, *rows_of(y, p), of_rows.tolist())
    found = metric(y, p, sample_weight=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@every_example
@pytest.mark.parametrize("way", WAYS)
def test_what_keras_says(name, way):
    metric, y, p = example(name)
    assert_asked(ABOUT, name, kwargs=_plain(EXAMPLES[name][1]))
    y, p, weights = KERAS[f"{name}/y_true"], KERAS[f"{name}/y_pred"], WAYS[way]
    for part in (slice(0, 7), slice(7, None)):
        metric.update_state(y[part], p[part], None if weights is None else weights[part])
    np.testing.assert_allclose(metric.result(), KERAS[f"{name}/{way}"], rtol=2e-5, atol=2e-6)


def _plain(kwargs):
    return {k: list(v) if isinstance(v, tuple) else v for k, v in kwargs.items()}


@every_example
def test_batches_of_any_size_give_the_metric_of_all(name):
    whole, y, p = example(name)
    weights = np.linspace(0, 2, 12)
    expected = whole(y, p, sample_weight=weights)
    for cuts in ([4, 8], [1, 2, 3], [11]):
        metric = example(name)[0]
        for ys, ps, ws in zip(*(np.split(one, cuts) for one in (y, p, weights))):
            metric.update_state(ys, ps, sample_weight=ws)
        np.testing.assert_allclose(metric.result(), expected, rtol=1e-9, atol=1e-12)


@every_example
def test_the_state(name):
    metric, y, p = example(name)
    empty = metric.result()
    first = metric(y, p)
    np.testing.assert_array_equal(metric.result(), first)
    sums = [np.array(one) for one in metric.variables]
    assert all(one.dtype == np.float64 for one in sums)
    twin, frozen = copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))
    again = metric(y, p)
    np.testing.assert_allclose(metric.variables[0], 2 * sums[0], rtol=1e-12)
    for one in (twin, frozen):
        np.testing.assert_array_equal(one.result(), first)
        np.testing.assert_array_equal(one(y, p), again)
    metric.reset_state()
    np.testing.assert_array_equal(metric.result(), empty)
    np.testing.assert_array_equal(metric(y, p), first)


@every_example
def test_weights_of_0_leave_samples_out_and_whole_ones_repeat_them(name):
    metric, y, p = example(name)
    some = metric(y, p, sample_weight=np.repeat([1.0, 0.0, 2.0], 4))
    if getattr(metric, "num_regressors", 0):
        return  # which counts samples, whatever they weigh
    rows = np.r_[0:4, 8:12, 8:12]
    metric.reset_state()
    np.testing.assert_allclose(some, metric(y[rows], p[rows]), rtol=1e-9, atol=1e-12)


@every_example
def test_a_config_makes_the_same_metric(name):
    metric, y, p = example(name)
    described = metrics.serialize(metric)
    other = metrics.deserialize(described)
    assert type(other) is type(metric)
    assert other.get_config() == metric.get_config()
    np.testing.assert_array_equal(other(y, p), metric(y, p))


OUTPUTS = {"numbers": "linear", "positive": "exponential", "signs": "linear"}


@every_example
@pytest.mark.parametrize("jit_compile", and_slow(["auto"], [False], "in_ci"))
def test_in_a_model_it_is_what_the_object_says_of_the_predictions(name, jit_compile):
    """Unweighted and weighted, batch by batch, of all that evaluate has seen."""
    kind, kwargs = EXAMPLES[name]
    case = METRICS[kind]
    if case.targets == "classes":
        pytest.skip("predictions are classes, which no model gives")
    if kwargs.get("from_sorted_ids"):
        pytest.skip("predictions are labels")
    x = rng_of(name).standard_normal((40, 4)).astype("float32")
    y, _ = data(kind, rng_of(name), (40, 3))
    weights = np.linspace(0, 2, 40)
    loss = "sparse_categorical_crossentropy" if case.targets == "labels" else "mse"
    model = Sequential([Dense(3, activation=OUTPUTS.get(case.targets, "softmax"))])
    given, weighted = kind(**kwargs, name="it"), kind(**kwargs, name="it")
    model.compile(
        SGD(0.0), loss, metrics=[given], weighted_metrics=[weighted], jit_compile=jit_compile
    )
    logs = model.evaluate(x, y, 8, 0, weights, return_dict=True)
    assert list(logs) == ["it", "loss", "weighted_it"]
    p = model.predict(x, verbose=0)
    plain, by_weight = kind(**kwargs)(y, p), kind(**kwargs)(y, p, weights)
    np.testing.assert_allclose(logs["it"], plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(logs["weighted_it"], by_weight, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(given.result(), plain, rtol=1e-5, atol=1e-6)
    history = model.fit(
        x, y, 8, 2, 0, sample_weight=weights, shuffle=False, validation_data=(x, y, weights)
    ).history
    for key, expected in (("it", plain), ("weighted_it", by_weight)):
        for prefix in ("", "val_"):
            for value in history[prefix + key]:
                np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)

import functools

import numpy as np
import pytest
from cases.optimizers import OPTIMIZERS
from strategies import FORMS

from minicnn import optimizers
from minicnn.optimizers import SGD, Adam, Optimizer, RMSprop

rng = np.random.default_rng(40)
GRADIENTS = rng.standard_normal((20, 5)) * np.logspace(-3, 3, 5)


def run(optimizer, dtype=np.float64):
    w = np.ones(5, dtype)
    for g in GRADIENTS.astype(dtype):
        optimizer.update(w, g)
    return w


def by_hand(optimizer):
    """One number at a time, with Python floats."""
    results = []
    for k in range(5):
        w, memory = 1.0, {}
        for t, g in enumerate(GRADIENTS[:, k].tolist(), start=1):
            w = OPTIMIZERS[type(optimizer)].step(optimizer, w, g, t, memory)
        results.append(w)
    return results


# for each class its examples, by a function that makes a new one
EVERY = [
    pytest.param(functools.partial(kind, **kwargs), id=f"{kind.__name__} {name}")
    for kind, case in OPTIMIZERS.items()
    for name, kwargs in case.examples.items()
]
every_optimizer = pytest.mark.parametrize("make", EVERY)


@every_optimizer
def test_a_step_is_its_formula(make):
    optimizer = make()
    np.testing.assert_allclose(run(optimizer), by_hand(optimizer))


@every_optimizer
def test_float32_stays_float32_and_close(make):
    double, single = run(make()), run(make(), np.float32)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


@every_optimizer
def test_gradient_untouched_and_only_the_parts_move(make):
    fresh = make()
    w, g = np.ones(6), rng.standard_normal(6)
    before = g.copy()
    for _ in range(3):
        fresh.update(w, g, [slice(0, 2), slice(4, 5)])
    np.testing.assert_array_equal(g, before)
    np.testing.assert_array_equal(w != 1, [True, True, False, False, True, False])
    assert fresh.iterations == 3


def test_defaults_are_those_of_keras():
    adam, sgd, rms = Adam(), SGD(), RMSprop()
    assert (adam.learning_rate, adam.beta_1, adam.beta_2, adam.epsilon) == (0.001, 0.9, 0.999, 1e-7)
    assert (sgd.learning_rate, sgd.momentum, sgd.nesterov) == (0.01, 0.0, False)
    assert (rms.learning_rate, rms.rho, rms.epsilon) == (0.001, 0.9, 1e-7)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_learning_rate_has_to_be_a_number_from_zero(value):
    for make in (Adam, SGD, RMSprop):
        with pytest.raises(ValueError, match="learning_rate to be a number in"):
            make(learning_rate=value)
    optimizer = Adam()
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.learning_rate = value
    assert optimizer.learning_rate == 0.001
    with pytest.raises(TypeError, match="learning_rate"):
        SGD("fast")


@pytest.mark.parametrize(
    "call",
    [
        lambda: SGD(momentum=1.5),
        lambda: SGD(momentum=-0.1),
        lambda: RMSprop(rho=1),
        lambda: RMSprop(epsilon=0),
        lambda: Adam(beta_1=1.0),
        lambda: Adam(beta_2=-0.5),
        lambda: Adam(epsilon=-1),
    ],
)
def test_other_settings_have_their_ranges(call):
    with pytest.raises(
        ValueError, match="expected (momentum|rho|epsilon|beta_[12]) to be a number"
    ):
        call()


def test_an_optimizer_serves_one_model():
    optimizer = Adam()
    optimizer.update(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="expected 3 parameters.*received 4"):
        optimizer.update(np.ones(4), np.ones(4))
    assert optimizer.iterations == 1


def test_get():
    assert isinstance(optimizers.get("ADAM"), Adam)
    assert isinstance(optimizers.get("sgd"), SGD)
    assert isinstance(optimizers.get(RMSprop), RMSprop)
    own = SGD()
    assert optimizers.get(own) is own
    with pytest.raises(ValueError, match="one of adam, adamw, rmsprop, sgd; received 'adm'"):
        optimizers.get("adm")
    with pytest.raises(TypeError, match="one of"):
        optimizers.get(0.01)
    with pytest.raises(NotImplementedError, match="step"):
        Optimizer().update(np.ones(1), np.ones(1))


@pytest.mark.parametrize(
    ("make", "name", "nothing", "something"),
    [
        (Adam, "amsgrad", False, True),
        (Adam, "use_ema", False, True),
        (RMSprop, "centered", False, True),
        (RMSprop, "momentum", 0.0, 1.0),
        (SGD, "weight_decay", None, 0.1),
    ],
)
def test_an_argument_of_keras_is_taken_only_where_it_asks_for_nothing(
    make, name, nothing, something
):
    make(**{name: nothing})
    with pytest.raises(ValueError, match=f"{name} can only be"):
        make(**{name: something})


def test_the_base_class_of_optimizers_has_the_learning_rate_of_sgd():
    assert Optimizer().learning_rate == 0.01


@pytest.mark.parametrize("name", ["beta_1", "beta_2"])
def test_a_mean_that_forgets_nothing_is_refused(name):
    with pytest.raises(ValueError, match=name):
        Adam(**{name: 1})


def test_plain_sgd_keeps_no_vector():
    assert SGD().slots == ()
    assert SGD(momentum=0.5).slots == ("v",)


SETTINGS = [
    (SGD(momentum=0.5), "momentum", 1.5),
    (RMSprop(), "rho", 1.0),
    (RMSprop(), "epsilon", 0),
    (Adam(), "beta_1", 7),
    (Adam(), "beta_2", -0.1),
    (Adam(), "epsilon", np.nan),
    (Adam(), "learning_rate", -1),
]


@pytest.mark.parametrize(("optimizer", "name", "wrong"), SETTINGS)
def test_settings_are_checked_whenever_they_are_set(optimizer, name, wrong):
    before = getattr(optimizer, name)
    words = f"{type(optimizer).__name__}: expected {name} to be a number in"
    with pytest.raises(ValueError, match=words):
        setattr(optimizer, name, wrong)
    with pytest.raises(TypeError, match=words):
        setattr(optimizer, name, "a")
    assert getattr(optimizer, name) == before
    setattr(optimizer, name, 0.25)
    assert getattr(optimizer, name) == 0.25


def test_momentum_that_is_set_later_counts():
    late, whole = SGD(0.1), SGD(0.1, momentum=0.9)
    w, v = np.ones(3), np.ones(3)
    late.momentum = 0.9
    for _ in range(3):
        late.update(w, np.full(3, 0.5))
        whole.update(v, np.full(3, 0.5))
    np.testing.assert_array_equal(w, v)
    begun = SGD(0.1)
    begun.update(w, np.full(3, 0.5))
    begun.momentum = 0.9
    begun.update(w, np.full(3, 0.5))
    assert begun.state["v"].tolist() == [-0.05] * 3


@every_optimizer
@pytest.mark.parametrize(
    ("w", "g", "error", "words"),
    [
        (np.ones(3), np.ones(4), ValueError, r"expected g of w's shape \(3,\), received \(4,\)"),
        (np.ones(3), np.ones(1), ValueError, r"expected g of w's shape \(3,\), received \(1,\)"),
        ([1.0], np.ones(1), TypeError, "expected w to be an array of float.*received list"),
        (np.ones(3), [1.0] * 3, TypeError, "expected g to be an array of float.*received list"),
        (np.ones(3, int), np.ones(3), TypeError, "expected w to be .*received int64"),
    ],
)
def test_vectors_that_no_step_is_taken_on(make, w, g, error, words):
    optimizer = make()
    with pytest.raises(error, match=f"{type(optimizer).__name__}: {words}"):
        optimizer.update(w, g)
    assert optimizer.iterations == 0
    assert np.all(np.asarray(w) == 1)


@every_optimizer
@pytest.mark.parametrize("form", sorted(FORMS.keys() - {"list"}))
def test_gradients_of_any_make_move_parameters_of_any_stride(make, form):
    plain, other = make(), make()
    w, wide = np.ones(5), np.ones(10)
    for g in GRADIENTS:
        plain.update(w, g)
        g_in_form = FORMS[form](g)
        other.update(wide[::2], g_in_form)
        np.testing.assert_array_equal(g_in_form, g)
    np.testing.assert_array_equal(wide[::2], w)
    np.testing.assert_array_equal(wide[1::2], 1)

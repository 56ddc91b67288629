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


def test_get():
    assert isinstance(optimizers.get("ADAM"), Adam)
    assert isinstance(optimizers.get("sgd"), SGD)
    assert isinstance(optimizers.get(RMSprop), RMSprop)
    own = SGD()
    assert optimizers.get(own) is own
    known = "adadelta, adagrad, adam, adamax, adamw, lion, nadam, rmsprop, sgd"
    with pytest.raises(ValueError, match=f"one of {known}; received 'adm'"):
        optimizers.get("adm")
    with pytest.raises(TypeError, match="one of"):
        optimizers.get(0.01)
    with pytest.raises(NotImplementedError, match="step"):
        Optimizer().update(np.ones(1), np.ones(1))


def test_the_base_class_of_optimizers_has_the_learning_rate_of_sgd():
    assert Optimizer().learning_rate == 0.01


def test_plain_sgd_keeps_no_vector():
    assert SGD().slots == ()
    assert SGD(momentum=0.5).slots == ("v",)


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
def test_gradients_of_any_make_move_parameters_of_any_stride(make):
    for form in sorted(FORMS.keys() - {"list"}):
        plain, other = make(), make()
        w, wide = np.ones(5), np.ones(10)
        for g in GRADIENTS:
            plain.update(w, g)
            g_in_form = FORMS[form](g)
            other.update(wide[::2], g_in_form)
            np.testing.assert_array_equal(g_in_form, g, err_msg=form)
        np.testing.assert_array_equal(wide[::2], w, err_msg=form)
        np.testing.assert_array_equal(wide[1::2], 1, err_msg=form)

"""Schedules, regularizers, constraints and initializers: what Keras computed, and what we do."""

import numpy as np
import pytest
from cases import rules
from fixtures.stored import assert_asked, load
from strategies import error, within

from minicnn import constraints, initializers, regularizers
from minicnn.optimizers import schedules

KERAS, ABOUT = load("rules")
SEEDS = 8


def examples(table):
    return pytest.mark.parametrize(
        ("kind", "kwargs", "name"),
        [
            pytest.param(kind, kwargs, f"{kind.__name__} {name}", id=f"{kind.__name__} {name}")
            for kind, of_it in table.items()
            for name, kwargs in of_it.items()
        ],
    )


def asked(rule, kind, kwargs, name):
    assert_asked(ABOUT, name, rule=rule, kwargs=kwargs, **{"class": kind.__name__})


def near(ours, keras, what, tolerance=2e-14):
    scale = max(np.abs(keras).max(), 1e-300)
    np.testing.assert_allclose(ours, keras, rtol=tolerance, atol=tolerance * scale)
    within(2 * tolerance, f"Keras, {what}", error(np.asarray(ours), keras))


@examples(rules.SCHEDULES)
def test_schedule(kind, kwargs, name):
    asked("schedule", kind, kwargs, name)
    schedule = kind(**kwargs)
    rates = KERAS[f"{name}/rates"]
    assert len(np.unique(rates)) > 1
    # TensorFlow rounds powers and cosines of a schedule to float32
    # and of a wave's place, which is a difference of larger numbers
    tolerance = 1e-6 if kind is schedules.CosineDecayRestarts else 2e-7
    near([schedule(step) for step in rules.STEPS], rates, "schedules", tolerance)


@examples(rules.REGULARIZERS)
def test_regularizer(kind, kwargs, name):
    asked("regularizer", kind, kwargs, name)
    regularizer = kind(**kwargs)
    exact = kwargs and kind is not regularizers.OrthogonalRegularizer
    tolerance = 1e-13 if exact else 5e-7  # TensorFlow rounds 0.01, and has that one in float32
    for label in (one for one, shape in rules.SHAPES.items() if rules.penalizes(kind, shape)):
        x = KERAS[f"{name}/{label}/x"]
        near(regularizer(x), KERAS[f"{name}/{label}/penalty"], "regularizers", tolerance)
        gradient = KERAS[f"{name}/{label}/gradient"]
        near(regularizer.gradient(x), gradient, "regularizers", tolerance)


@examples(rules.CONSTRAINTS)
def test_constraint(kind, kwargs, name):
    asked("constraint", kind, kwargs, name)
    for label in (one for one, shape in rules.SHAPES.items() if rules.fits(kwargs, shape)):
        w = KERAS[f"{name}/{label}/w"]
        near(kind(**kwargs)(w), KERAS[f"{name}/{label}/held"], "constraints", 1e-13)


@examples(rules.INITIALIZERS)
def test_initializer(kind, kwargs, name):
    """Values that are fixed are Keras's; of random ones the moments and the extremes are."""
    asked("initializer", kind, kwargs, name)
    if not rules.is_random(kind):
        for label, shape in rules.FIXED.items():
            values = KERAS[f"{name}/{label}/values"]
            np.testing.assert_array_equal(kind(**kwargs)(shape, "float64"), values, strict=True)
        return
    for label, shape in rules.DRAWN.items():
        ours = rules.moments([kind(**kwargs, seed=k)(shape) for k in range(SEEDS)])
        keras = {key: float(KERAS[f"{name}/{label}/{key}"]) for key in ours}
        n = SEEDS * np.prod(shape)
        assert ours["mean"] == pytest.approx(keras["mean"], abs=6 * keras["std"] * (2 / n) ** 0.5)
        assert ours["std"] == pytest.approx(keras["std"], rel=0.01)
        assert ours["kurtosis"] == pytest.approx(keras["kurtosis"], rel=0.03)
        bounded = keras["furthest"] < 2.5 * keras["std"]
        assert ours["furthest"] == pytest.approx(keras["furthest"], rel=0.005 if bounded else 0.3)


@pytest.mark.parametrize(
    ("module", "base", "table"),
    [
        (schedules, schedules.LearningRateSchedule, rules.SCHEDULES),
        (regularizers, regularizers.Regularizer, rules.REGULARIZERS),
        (constraints, constraints.Constraint, rules.CONSTRAINTS),
        (initializers, initializers.Initializer, rules.INITIALIZERS),
    ],
    ids=["schedules", "regularizers", "constraints", "initializers"],
)
def test_keras_was_asked_about_every_class(module, base, table):
    known = {kind for kind in module.KNOWN.values() if issubclass(kind, base)}
    assert set(table) == known - {schedules.OneCycle}, "add it to tests/cases/rules.py"

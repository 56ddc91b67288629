"""Every optimizer, loss, metric and initializer has the tests that its kind has to have.

A new class fails here, with a sentence for each thing that is still to be written. Layers have
test_contract.py for that.
"""

import pytest
import test_engine
import test_initializers
import test_keras_parity
import test_losses
import test_metrics
import test_optimizers

from minicnn import initializers, losses, metrics, optimizers
from minicnn.gradcheck import package


def public(module, base):
    """The classes that a user finds in the module."""
    return {
        cls
        for name, cls in vars(module).items()
        if isinstance(cls, type) and issubclass(cls, base) and cls is not base and name[0] != "_"
    }


def by_keras(cases, word, module):
    """The classes that the fixtures have cases of."""
    return {getattr(module, about[word]) for about in cases if hasattr(module, about[word])}


# module, base class, and for each test the classes that it is made for, by what to write
KINDS = {
    "optimizer": (
        optimizers,
        optimizers.Optimizer,
        {
            "its step in plain numbers, in FORMULAS of test_optimizers.py": lambda: {
                type(optimizer) for optimizer in test_optimizers.FORMULAS.values()
            },
            "a case in fixtures/make_keras_fixtures.py, whose numbers test_keras_parity.py "
            "compares": lambda: by_keras(
                [test_keras_parity.OPTIMIZER_CASES[case] for case in test_keras_parity.OURS],
                "optimizer",
                optimizers,
            ),
            "an object in OPTIMIZERS of test_engine.py": lambda: {
                type(optimizer) for optimizer in test_engine.OPTIMIZERS
            },
            "an object in EVERY of test_optimizers.py": lambda: {
                type(optimizer) for optimizer in test_optimizers.EVERY
            },
            "its name in KNOWN of optimizers.py": lambda: set(optimizers.KNOWN.values()),
        },
    ),
    "loss": (
        losses,
        losses.Loss,
        {
            "samples and predictions in cases() of test_losses.py": lambda: {
                type(loss) for loss, _, _ in test_losses.CASES.values()
            },
            "a case in fixtures/make_keras_fixtures.py, whose numbers test_keras_parity.py "
            "compares": lambda: by_keras(test_keras_parity.LOSS_CASES.values(), "loss", losses),
            "gradient checks in LOSSES of gradcheck/package.py": lambda: {
                getattr(losses, name) for name in package.LOSSES if hasattr(losses, name)
            },
            "its name in KNOWN of losses.py": lambda: set(losses.KNOWN.values()),
        },
    ),
    "metric": (
        metrics,
        metrics.Metric,
        {
            "its value in plain numbers, in FORMULAS of test_metrics.py": lambda: set(
                test_metrics.FORMULAS
            ),
            "its name in KNOWN of metrics.py": lambda: set(metrics.KNOWN.values()),
            "its name in __all__ of metrics.py": lambda: {
                getattr(metrics, name) for name in metrics.__all__
            },
        },
    ),
    "initializer": (
        initializers,
        initializers.Initializer,
        {
            "what it draws, in VARIANCES or CONSTANTS of test_initializers.py": lambda: (
                test_initializers.VARIANCES.keys() | test_initializers.CONSTANTS.keys()
            ),
            "its name in KNOWN of initializers.py": lambda: set(initializers.KNOWN.values()),
        },
    ),
}


def missing(kind):
    """A sentence for each test that a public class of this kind does without."""
    module, base, tests = KINDS[kind]
    return [
        f"{cls.__name__} is a public {kind} without {what}"
        for cls in sorted(public(module, base), key=lambda cls: cls.__name__)
        for what, covered in tests.items()
        if cls not in covered()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_missing(kind):
    module, base, _ = KINDS[kind]
    assert public(module, base)
    assert missing(kind) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_class_is_told_all_that_is_missing(kind, monkeypatch):
    module, base, tests = KINDS[kind]
    new = type("Newest", (base,), {"__module__": module.__name__})
    monkeypatch.setattr(module, "Newest", new, raising=False)
    assert missing(kind) == [f"Newest is a public {kind} without {what}" for what in tests]
    monkeypatch.setitem(module.KNOWN, "newest", new)
    assert len(missing(kind)) == len(tests) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_that_loses_its_test_is_named(kind, monkeypatch):
    """As if someone had taken a line out of the table."""
    module, base, tests = KINDS[kind]
    for what, covered in tests.items():
        for cls in covered() & public(module, base):
            left = covered() - {cls}
            monkeypatch.setitem(tests, what, lambda left=left: left)
            assert missing(kind) == [f"{cls.__name__} is a public {kind} without {what}"]
        monkeypatch.setitem(tests, what, covered)

"""Every public class has a case, from which all that has to hold for its kind is drawn.

A new class without one fails here, with a sentence that says what to write.
"""

import inspect

import pytest
from cases import missing, public
from cases.initializers import INITIALIZERS
from cases.layers import LAYERS
from cases.losses import LOSSES
from cases.metrics import METRICS
from cases.optimizers import OPTIMIZERS

from minicnn import initializers, layers, losses, metrics, optimizers

KINDS = {
    "layer": (layers, layers.Layer, LAYERS, "LAYERS in tests/cases/layers.py"),
    "loss": (losses, losses.Loss, LOSSES, "LOSSES in tests/cases/losses.py"),
    "optimizer": (
        optimizers,
        optimizers.Optimizer,
        OPTIMIZERS,
        "OPTIMIZERS in tests/cases/optimizers.py",
    ),
    "metric": (metrics, metrics.Metric, METRICS, "METRICS in tests/cases/metrics.py"),
    "initializer": (
        initializers,
        initializers.Initializer,
        INITIALIZERS,
        "INITIALIZERS in tests/cases/initializers.py",
    ),
}
ALSO = {metrics.Accuracy}  # whose name is a choice between others
every_kind = pytest.mark.parametrize("kind", KINDS)


def missing_of(kind):
    module, base, table, file = KINDS[kind]
    return missing(kind, file, public(module, base), table)


@every_kind
def test_every_public_class_has_a_case(kind):
    assert missing_of(kind) == []


@every_kind
def test_every_case_is_of_a_public_class(kind):
    module, base, table, _ = KINDS[kind]
    assert set(table) == public(module, base)


@every_kind
def test_a_new_class_without_a_case_is_told_what_to_write(kind, monkeypatch):
    module, _, table, file = KINDS[kind]
    new = type("Newest", (next(iter(table)),), {"__module__": module.__name__})
    monkeypatch.setattr(module, "Newest", new, raising=False)
    (sentence,) = missing_of(kind)
    assert sentence.startswith(f"Newest is a public {kind} without a case: add `Newest: ")
    assert file in sentence


@every_kind
def test_a_class_whose_case_is_taken_away_is_named(kind, monkeypatch):
    _, _, table, _ = KINDS[kind]
    for cls in list(table):
        with monkeypatch.context() as without:
            without.delitem(table, cls)
            (sentence,) = missing_of(kind)
            assert sentence.startswith(f"{cls.__name__} is a public {kind} without a case")


@pytest.mark.parametrize("cls", [*LOSSES, *OPTIMIZERS, *METRICS], ids=lambda cls: cls.__name__)
def test_the_examples_give_every_argument(cls):
    """Those of layers: test_contract.py."""
    examples = {**LOSSES, **OPTIMIZERS, **METRICS}[cls].examples
    common = {*inspect.signature(losses.Loss).parameters, "dtype"}
    taken = {
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    }
    assert taken - common == {name for kwargs in examples.values() for name in kwargs}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "layer"])
def test_every_public_class_has_a_name_that_get_knows(kind):
    module, _, table, _ = KINDS[kind]
    assert set(module.KNOWN.values()) | ALSO == set(table) | ALSO, (
        f"add it to KNOWN of {module.__name__}"
    )


@pytest.mark.parametrize("kind", ["layer", "metric"])
def test_every_public_class_is_exported(kind):
    module, _, table, _ = KINDS[kind]
    assert {cls.__name__ for cls in table} <= set(module.__all__)

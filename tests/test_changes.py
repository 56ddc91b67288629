"""What notes that a layer was changed, and what is looked at each time, as it notes nothing."""

import copy
import pickle

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.items import unchanged_on_error
from minicnn.layers import Dense, Dropout, Input, Layer
from minicnn.layers.changes import Table, latest
from minicnn.layers.contents import IN_PASSING, Parts


def unpickled(thing):
    return pickle.loads(pickle.dumps(thing))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.update(a=2),
        lambda table: table.update({"b": 2}),
        lambda table: table.setdefault("b", 2),
        lambda table: table.pop("a"),
        lambda table: table.popitem(),
        lambda table: table.clear(),
        lambda table: table.__setitem__("b", 2),
        lambda table: table.__delitem__("a"),
        lambda table: table.__ior__({"b": 2}),
    ],
)
@pytest.mark.parametrize(
    "made", [lambda t: t, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_every_change_of_a_table_is_noted(made, change):
    table, plain = made(Table(a=1)), {"a": 1}
    before = latest()
    assert change(table) == change(plain)
    assert latest() > before
    assert table == plain


def test_an_update_that_fails_half_way_is_noted():
    table = Table(a=1)
    before = latest()
    with pytest.raises(ZeroDivisionError):
        table.update((key, 1 / number) for key, number in (("a", 2), ("b", 0)))
    assert table == {"a": 0.5}
    assert latest() > before


def test_reading_a_table_and_passing_through_a_layer_is_no_change():
    layer = Dropout(0.5, seed=3)
    layer.build((None, 4))
    before = latest()
    layer.params.get("W"), list(layer.state.items()), layer.params.copy()
    layer.forward(np.ones((2, 4), "f"), training=True)
    for name in IN_PASSING:
        setattr(layer, name, getattr(layer, name, None))
    assert latest() == before


class Scale(Layer):
    """Holds what it multiplies by in several ways."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.factors, self.by_name = 1.0, [1.0], {"factor": 1.0}

    def forward(self, x, training=False):
        return x * self.factor * self.factors[0] * self.by_name["factor"]

    def backward(self, dy):
        return dy


class Silent(Layer):
    """Sets its attributes past everything."""

    def __setattr__(self, name, value):
        vars(self)[name] = value

    def forward(self, x, training=False):
        return x * vars(self).get("factor", 1)

    def backward(self, dy):
        return dy


@pytest.mark.parametrize(
    ("made", "change"),
    [
        (Scale, lambda layer: setattr(layer, "factor", 3.0)),
        (Scale, lambda layer: layer.factors.__setitem__(0, 3.0)),
        (Scale, lambda layer: layer.by_name.update(factor=3.0)),
        (Silent, lambda layer: setattr(layer, "factor", 3.0)),
    ],
)
def test_what_notes_no_change_is_seen_too(made, change):
    layer = made()
    model = Sequential([Input((2,)), Dense(2), layer])
    x = np.ones((1, 2), "f")
    before = [model.predict(x, verbose=0) for _ in range(3)][-1]
    change(layer)
    np.testing.assert_allclose(model.predict(x, verbose=0), 3 * before, rtol=1e-6)


def test_a_layer_of_the_package_is_not_looked_at_again(monkeypatch):
    model = Sequential([Input((2,)), Dense(2), Dropout(0.5), Dense(3)])
    x = np.ones((1, 2), "f")
    first = [model.predict(x, verbose=0) for _ in range(2)][-1]
    looks, same = [], Parts._same_parts
    monkeypatch.setattr(Parts, "_same_parts", lambda self: looks.append(1) or same(self))
    np.testing.assert_array_equal(model.predict(x, verbose=0), first)
    assert not looks
    model.layers[0].params["W"] = 2 * model.layers[0].params["W"]
    assert not np.array_equal(model.predict(x, verbose=0), first)
    assert looks


@pytest.mark.parametrize("table", ["params", "state"])
def test_a_plain_dict_in_the_place_of_a_table_is_watched(table):
    model = Sequential([Input((2,)), Dense(2), Dense(3)])
    x = np.ones((1, 2), "f")
    model.predict(x, verbose=0)
    layer = model.layers[0]
    setattr(layer, table, dict(getattr(layer, table)))
    first = [model.predict(x, verbose=0) for _ in range(3)][-1]
    layer.params["b"] = np.ones(2, "f")
    changed = model.predict(x, verbose=0)
    assert not np.array_equal(changed, first)
    np.testing.assert_allclose(
        changed, (x @ layer.params["W"] + 1) @ model.layers[1].params["W"], rtol=1e-6
    )


def test_what_is_undone_is_noted():
    model = Sequential([Input((2,)), Dense(2), Dense(3)])
    layer, seen = model.layers[0], []

    def fail():
        layer.trainable = False
        seen.append(latest())
        raise RuntimeError

    with pytest.raises(RuntimeError), unchanged_on_error(model, model._items):
        fail()
    assert layer.trainable
    assert latest() > seen[0]

"""A failed training step changes nothing."""

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.layers import BatchNormalization, Dense, Dropout, Layer
from minicnn.optimizers import Adam, Optimizer
from minicnn.training.rollback import Snapshot
from minicnn.utils import set_random_seed

pytestmark = pytest.mark.both_ways
rng = np.random.default_rng(90)
X, Y = rng.random((24, 4)), rng.random((24, 3))


class Refusal(Exception):
    pass


class Gate:
    """A constraint on the last layer, after everything else in a step: raises when it is shut."""

    shut = False

    def __call__(self, w):
        if self.shut:
            raise Refusal
        return w


def network(optimizer, *inner, **settings):
    set_random_seed(5)
    first = Dense(6, input_shape=(4,), **settings)
    middle = inner or (BatchNormalization(), Dropout(0.2))
    model = Sequential([first, *middle, Dense(3, kernel_constraint=Gate())])
    model.compile(optimizer, "mse")
    return model


def everything(model):
    """All that a step changes, by name."""
    optimizer = model.optimizer
    return {
        "weights": model.flat_params.tobytes(),
        "counts": (model.steps_taken, optimizer.iterations, optimizer.waiting),
        **{f"slot {name}": vector.tobytes() for name, vector in optimizer.state.items()},
        **{
            f"{layer.name}/{key}": array.tobytes()
            for layer in model.layers
            for key, array in layer.state.items()
        },
    }


def assert_refused_and_taken_back(model):
    gate = model.layers[-1].constraints["W"]
    before, gate.shut = everything(model), True
    with pytest.raises(Refusal):
        model.train_on_batch(X, Y)
    gate.shut = False
    assert everything(model) == before


def test_a_constraint_that_came_before_the_fault_is_taken_back():
    """Also where gradients are summed up, so that the optimizer leaves the weights alone."""
    optimizer = Adam(0.01, gradient_accumulation_steps=2)
    model = network(optimizer, kernel_constraint=lambda w: w * w.dtype.type(0.5))
    for _ in range(4):
        assert_refused_and_taken_back(model)
        model.train_on_batch(X, Y)


class Slow(Optimizer):
    slots = ("w", "average")

    def step(self, w, g, *slots):
        for slot in slots:
            slot += g
            w -= 0.1 * slot


def test_slots_may_have_any_name():
    model = network(Slow())
    for _ in range(3):
        assert_refused_and_taken_back(model)
        model.train_on_batch(X, Y)


def test_an_interrupt_as_the_step_is_accepted(monkeypatch):
    """Ctrl-C outside of `fit` may come between the count of steps and the end of the snapshot."""
    model = network("adam")
    model.train_on_batch(X, Y)
    before = everything(model)

    def end(snapshot):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(Snapshot, "end", end)
    with pytest.raises(KeyboardInterrupt):
        model.train_on_batch(X, Y)
    assert everything(model) == before


class Counts(Layer):
    """Has no state before its first forward in training."""

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        if training:
            self.state["n"] = self.state.get("n", np.zeros(1, np.float32)) + 1
        return x

    def backward(self, dy):
        return self._recall(dy)[0]


def test_a_state_that_began_in_the_step_is_gone():
    model = network("adam", Counts())
    assert_refused_and_taken_back(model)
    model.train_on_batch(X, Y)
    assert_refused_and_taken_back(model)


class Renews(Slow):
    def begin(self, w):
        self.state = {name: vector * 2 for name, vector in self.state.items()}
        super().begin(w)


def test_slots_in_a_new_dict_are_taken_back():
    model = network(Renews())
    for _ in range(3):
        assert_refused_and_taken_back(model)
        model.train_on_batch(X, Y)


@pytest.mark.parametrize("place", range(3, 8))
def test_a_rollback_that_is_interrupted_begins_anew(place, monkeypatch):
    """By a second Ctrl-C before it holds it off, or by the error of another signal's handler."""
    model = network(Adam(0.01, weight_decay=0.1))
    model.train_on_batch(X, Y)
    before = everything(model)
    model.layers[-1].constraints["W"].shut = True
    restore = Snapshot.restore

    def interrupted(snapshot):
        monkeypatch.undo()

        def ring():
            snapshot._undo.remove(ring)
            raise KeyboardInterrupt

        assert len(snapshot._undo) > place
        snapshot._undo.insert(place, ring)
        restore(snapshot)

    monkeypatch.setattr(Snapshot, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.train_on_batch(X, Y)
    assert everything(model) == before


def test_an_optimizer_whose_only_step_failed_may_serve_another_model():
    optimizer = Adam()
    first = network(optimizer)  # is alive to the end
    assert_refused_and_taken_back(first)
    network(optimizer).train_on_batch(X, Y)
    assert optimizer.iterations == 1

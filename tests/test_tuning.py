"""The learning-rate finder: what it suggests, and that it touches nothing."""

import copy

import numpy as np
import pytest

import minicnn
from minicnn import Sequential, plotting, tuning
from minicnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten
from minicnn.optimizers import SGD, Adam, schedules
from minicnn.tuning import LearningRateRange, find_learning_rate

X = np.random.default_rng(0).normal(size=(64, 6, 6, 1)).astype("float32")
Y = (X.mean((1, 2, 3)) > 0).astype(int)


def network(optimizer=None, **options):
    model = Sequential([
        Conv2D(4, 3, activation="relu", input_shape=(6, 6, 1)),
        BatchNormalization(),
        Dropout(0.25),
        Flatten(),
        Dense(2, activation="softmax"),
    ])  # fmt: skip
    model.compile(optimizer or SGD(0.1, momentum=0.5), "sparse_categorical_crossentropy", **options)
    return model


def everything(model):
    """All that training changes, as bytes."""
    optimizer = model.optimizer
    found = {f"w{k}": w.tobytes() for k, w in enumerate(model.get_weights())} if model.built else {}
    found |= {slot: vector.tobytes() for slot, vector in optimizer.state.items()}
    found["rng"] = repr(model.rng.bit_generator.state)
    found["counts"] = optimizer.iterations, optimizer.waiting, model.steps_taken
    found["rate"] = repr(optimizer)
    found["random"] = repr(np.random.get_state()[1][:5])
    return found


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("rate", [0.1, schedules.CosineDecay(0.1, 100), lambda: 0.1])
def test_the_model_stays_untouched(trained, rate):
    model = network(Adam(rate, gradient_accumulation_steps=2, use_ema=True))
    if trained:
        model.fit(X, Y, epochs=2, verbose=0)
    before, twin = everything(model), copy.deepcopy(model)
    found = find_learning_rate(model, X, Y, steps=30)
    assert everything(model) == before
    assert len(found.losses) == 30 or found.diverged
    for one in (model, twin):
        one.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.flat_params, twin.flat_params)


def test_the_rates_are_a_ramp_and_the_losses_those_of_the_steps():
    model = network(SGD(0.5))
    found = find_learning_rate(model, X, Y, low=1e-4, high=1e-2, steps=5, batch_size=64)
    np.testing.assert_allclose(found.learning_rates, np.geomspace(1e-4, 1e-2, 5))
    twin = copy.deepcopy(model)
    for rate, loss in zip(found.learning_rates, found.losses):
        twin.optimizer.learning_rate = float(rate)
        order = twin.rng.permutation(64)
        assert twin.train_on_batch(X[order], Y[order]) == pytest.approx(loss, rel=1e-6)
    assert not found.diverged
    mean = 0.0
    for k, loss in enumerate(found.losses, start=1):
        mean = 0.9 * mean + 0.1 * loss
        assert found.smoothed[k - 1] == pytest.approx(mean / (1 - 0.9**k))


def test_the_suggestion_is_where_the_loss_falls_fastest():
    """Of w^2 with w = 1: a step of SGD at rate r leaves (1 - 2 r) w, so it diverges from 1 on."""
    model = Sequential([Dense(1, use_bias=False, kernel_initializer="ones", input_shape=(1,))])
    model.compile(SGD(), "mse")
    found = find_learning_rate(model, np.ones((8, 1)), np.zeros((8, 1)), batch_size=8, steps=200)
    assert found.diverged
    assert found.learning_rates[-1] > 0.9
    assert 0.003 < found.suggestion < 0.5
    assert f"suggestion {found.suggestion:.2g}" in repr(found)
    assert "until the loss diverged" in repr(found)
    slow = find_learning_rate(model, np.ones((8, 1)), np.zeros((8, 1)), high=1e-5, steps=20)
    assert not slow.diverged
    assert "20 steps from 1e-06 to 1e-05, without diverging" in repr(slow)


def test_a_model_that_overflows_ends_the_test_and_is_untouched():
    model = network(SGD(0.1))
    before = everything(model)
    found = find_learning_rate(model, X, Y, low=1.0, high=1e30, steps=40)
    assert found.diverged
    assert np.isfinite(found.losses).all()
    assert everything(model) == before
    nothing = LearningRateRange(*[np.array([])] * 3, True)
    assert nothing.suggestion is None
    assert "no step had a finite loss" in repr(nothing)
    with pytest.raises(ValueError, match="at least one step with a finite loss"):
        nothing.plot()
    rising = LearningRateRange(np.array([0.1, 1.0]), np.array([1.0, 2.0]), np.array([1.0, 2.0]), 1)
    assert rising.suggestion is None
    assert "none: the loss never fell" in repr(rising)


def test_an_interrupt_leaves_the_model_as_it_is(monkeypatch):
    model = network()
    before, calls = everything(model), []

    def interrupted(self, model, batch):
        calls.append(0)
        raise KeyboardInterrupt

    monkeypatch.setattr("minicnn.training.step.Runner.step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_learning_rate(model, X, Y)
    assert calls == [0]
    assert everything(model) == before


def test_an_unbuilt_model_and_weights_of_samples():
    model = Sequential([Flatten(), Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    found = find_learning_rate(model, X, Y, sample_weight=np.zeros(64), steps=3)
    assert not model.built
    np.testing.assert_array_equal(found.losses, 0)


@pytest.mark.parametrize(
    ("given", "error", "what"),
    [
        ({"low": 0}, ValueError, "low"),
        ({"high": 1e-7}, ValueError, "high"),
        ({"steps": 1}, ValueError, "steps"),
        ({"steps": 2.5}, TypeError, "steps"),
        ({"smoothing": 1.0}, ValueError, "smoothing"),
        ({"divergence": 1.0}, ValueError, "divergence"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"model": Sequential([Dense(1)])}, ValueError, "a compiled model"),
        ({"model": Dense(1)}, TypeError, "model to be a Sequential"),
        ({"x": X[:3]}, ValueError, "the same number of samples"),
        ({"y": Y + 5}, ValueError, ""),
    ],
)
def test_arguments_are_checked(given, error, what):
    call = {"model": network(), "x": X, "y": Y, **given}
    with pytest.raises(error, match=f"find_learning_rate.*: expected {what}"):
        find_learning_rate(**call)


def test_the_plot():
    plt = pytest.importorskip("matplotlib.pyplot")
    found = find_learning_rate(network(), X, Y, steps=30)
    figure = found.plot()
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    np.testing.assert_allclose(axis.lines[1].get_ydata(), found.smoothed)
    assert axis.lines[2].get_xdata()[0] == found.suggestion
    other, ax = plt.subplots()
    assert found.plot(ax) is other
    assert len(ax.lines) == 3
    titled = plotting.learning_rate_range(found, suptitle="A network")
    assert titled.get_suptitle() == "A network"
    for wrong in ({"found": 3}, {"found": found, "ax": 3}):
        with pytest.raises(TypeError, match="learning_rate_range: expected"):
            plotting.learning_rate_range(**wrong)
    plt.close("all")
    assert minicnn.tuning is tuning

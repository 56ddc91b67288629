"""Limits on the gradient, decay, averages, summed gradients, and schedules, in models too.

Golden numbers are Keras 3.15.1's. Five steps of each option: test_keras_parity.py.
"""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from cases.optimizers import OPTIMIZERS, OPTIONS
from counts import and_slow

import minicnn
from minicnn import Sequential, set_num_threads
from minicnn.callbacks import Callback
from minicnn.constraints import MaxNorm
from minicnn.engine.threads import get_num_threads
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from minicnn.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Nadam,
    Optimizer,
    RMSprop,
    schedules,
)
from minicnn.training import plain

G = np.array([1, -2, 0.5, 0])

# w = 1, 2, 3, 4 with g, 2g, 3g, lr .1: the first number after each step
GOLDEN = {
    "sgd": (SGD(0.1), (0.9, 0.7, 0.4)),
    "nesterov": (SGD(0.1, 0.9, True), (0.81, 0.349, -0.4559)),
    "weight_decay": (SGD(0.1, weight_decay=0.1), (0.89, 0.6811, 0.374289)),
    "rmsprop": (RMSprop(0.1), (0.683772, 0.398058, 0.138994)),
    "rmsprop momentum": (RMSprop(0.1, momentum=0.9), (0.683772, 0.113453, -0.658898)),
    "rmsprop centered": (RMSprop(0.1, centered=True), (0.666667, 0.352746, 0.056612)),
    "adam": (Adam(0.1), (0.900001, 0.803484, 0.707684)),
    "adamw": (AdamW(0.1), (0.899601, 0.802724, 0.706603)),
    "nadam": (Nadam(0.1), (0.893721, 0.799108, 0.706767)),
    "adagrad": (Adagrad(0.1), (0.904654, 0.816092, 0.736199)),
    "adadelta": (Adadelta(0.1), (0.999859, 0.999679, 0.999462)),
    "adamax": (Adamax(0.1), (0.9, 0.823684, 0.754681)),
    "lion": (Lion(0.1), (0.9, 0.8, 0.7)),
    "clipnorm": (SGD(1.0, clipnorm=1), (0.563564, 0.127128, -0.309307)),
    "clipvalue": (SGD(1.0, clipvalue=0.6), (0.4, -0.2, -0.8)),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_numbers(name):
    optimizer, expected = GOLDEN[name]
    w, optimizer = np.arange(1.0, 5.0), copy.deepcopy(optimizer)
    for k, value in enumerate(expected, start=1):
        optimizer.update(w, k * G)
        assert w[0] == pytest.approx(value, abs=2e-6)


@pytest.fixture
def threads():
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


def network(optimizer, **options):
    model = Sequential([
        Conv2D(4, 3, activation="relu", kernel_regularizer="l2", input_shape=(6, 6, 1)),
        MaxPooling2D(),
        Dropout(0.25, seed=3),
        Flatten(),
        Dense(8, activation="relu", kernel_constraint=MaxNorm(1)),
        Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy", **options)
    rng = np.random.default_rng(5)
    model.set_weights([0.5 * rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def data(n):
    rng = np.random.default_rng(3)
    return rng.normal(size=(n, 6, 6, 1)).astype("float32"), rng.integers(0, 3, n)


def excluding(optimizer):
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.parametrize("option", [*OPTIONS, "excluded"])
@pytest.mark.parametrize(
    "kind", and_slow([SGD, Adam], [RMSprop, Lion], "in_ci"), ids=lambda kind: kind.__name__
)
def test_the_engine_takes_the_same_steps_on_any_number_of_threads(
    kind, option, threads, monkeypatch
):
    def make():
        if option == "excluded":
            return excluding(kind(0.05, weight_decay=0.5, clipnorm=0.5))
        return kind(0.05, **OPTIONS[option])

    monkeypatch.setattr("minicnn.training.step.PIECE", 100)  # so that parameters are cut
    x, y = data(70)
    found = {}
    for jit, number in (("auto", 1), ("auto", 2), ("auto", 3), (False, 1), (False, 2)):
        threads(number)
        model = network(make(), jit_compile=jit)
        model.rng = np.random.default_rng(0)
        losses = model.fit(x, y, 20, epochs=2, verbose=0).history["loss"]
        found[jit, number] = [losses, model.flat_params.copy(), model.optimizer.state]
    for same in (("auto", 2), ("auto", 3)):
        assert found[same][0] == found["auto", 1][0]
        np.testing.assert_array_equal(found[same][1], found["auto", 1][1])
    np.testing.assert_array_equal(found[False, 2][1], found[False, 1][1])
    if kind is not Lion:  # whose steps are all or nothing
        np.testing.assert_allclose(found["auto", 1][1], found[False, 1][1], atol=1e-4)
    assert found["auto", 1][2].keys() == found[False, 1][2].keys()


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
def test_the_plain_loop_takes_the_same_steps(kind, option):
    """On one shard, to the last bit."""
    x, y = np.random.default_rng(0).normal(size=(24, 4)).astype("float32"), np.zeros((24, 2))

    def model():
        one = Sequential([Dense(3, "tanh", input_shape=(4,)), Dense(2)])
        one.compile(excluding(kind(0.05, **OPTIONS[option])), "mse", jit_compile=False)
        one.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in one.get_weights()])
        one.rng = np.random.default_rng(2)
        return one

    ours, theirs = model(), model()
    ours.fit(x, y, 8, epochs=2, verbose=0)
    plain.fit(theirs, x, y.astype("float32"), 8, 2)
    np.testing.assert_array_equal(ours.flat_params, theirs.flat_params)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_step_that_fails_changes_nothing(option):
    x, y = data(20)
    model = network(Adam(0.01, **OPTIONS[option]))
    model.train_on_batch(x, y)
    optimizer = model.optimizer
    before = model.flat_params.copy(), copy.deepcopy(optimizer.state)
    counts = optimizer.iterations, optimizer.waiting
    with pytest.raises(FloatingPointError):
        model.fit(np.full_like(x, 3e38), y, verbose=0)
    np.testing.assert_array_equal(model.flat_params, before[0])
    assert (optimizer.iterations, optimizer.waiting) == counts
    assert optimizer.state.keys() == before[1].keys()
    for name, vector in optimizer.state.items():
        np.testing.assert_array_equal(vector, before[1][name])
    model.train_on_batch(x, y)


@pytest.mark.parametrize("kind", [Adam, RMSprop, SGD])
def test_a_subclass_may_have_slots_of_its_own(kind):
    class ByClass(kind):
        slots = ("q",)

        def step(self, w, g, *slots):
            (q,) = slots
            q += g

    class ByObject(ByClass):
        def __init__(self):
            super().__init__()
            self.slots = ("r",)

    for optimizer, slot in ((ByClass(), "q"), (ByObject(), "r")):
        optimizer.update(np.ones(4), G)
        np.testing.assert_array_equal(optimizer.state[slot], G)
        assert list(optimizer.state) == [slot]


def test_at_most_one_limit():
    given = {"clipnorm": 1.0, "clipvalue": 1.0, "global_clipnorm": 1.0}
    for without in given:
        two = {name: value for name, value in given.items() if name != without}
        with pytest.raises(ValueError, match="at most one of clipnorm, clipvalue and global"):
            Adam(**two)
    optimizer = SGD(clipnorm=1.0)
    with pytest.raises(ValueError, match="at most one of"):
        optimizer.clipvalue = 1.0
    assert optimizer.clipvalue is None
    optimizer.clipnorm, optimizer.clipvalue = None, 1.0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("weight_decay", -1),
        ("clipnorm", -1.0),
        ("clipvalue", math.nan),
        ("global_clipnorm", math.inf),
        ("ema_momentum", 1.5),
        ("ema_momentum", -0.1),
        ("ema_overwrite_frequency", 0),
        ("ema_overwrite_frequency", 1.5),
        ("gradient_accumulation_steps", 1),
        ("gradient_accumulation_steps", 2.5),
        ("loss_scale_factor", 2.0),
    ],
)
def test_options_have_their_ranges(name, wrong):
    for kind in (SGD, Adam):
        with pytest.raises(ValueError, match=f"{kind.__name__}: .*{name}"):
            kind(**{name: wrong})
    for kind in OPTIMIZERS:
        assert kind(**{name: None} if name != "ema_momentum" and kind is not AdamW else {})
    with pytest.raises(ValueError, match="AdamW: expected weight_decay to be"):
        AdamW(weight_decay=None)


def test_limits_of_zero_are_none():
    for name in ("clipnorm", "clipvalue", "global_clipnorm"):
        w = np.ones(4)
        SGD(1.0, **{name: 0}).update(w, G)
        np.testing.assert_allclose(w, 1 - G)


def test_clipnorm_is_by_parameter_and_global_clipnorm_is_not():
    g, parts = np.array([3.0, 4.0, 0.3, 0.4]), [slice(0, 2), slice(2, 4)]
    w = np.zeros(4)
    SGD(1.0, clipnorm=1.0).update(w, g, parts)
    np.testing.assert_allclose(-w, [0.6, 0.8, 0.3, 0.4])
    w = np.zeros(4)
    SGD(1.0, global_clipnorm=1.0).update(w, g, parts)
    np.testing.assert_allclose(-w, g / np.linalg.norm(g))
    np.testing.assert_array_equal(g, [3, 4, 0.3, 0.4])


def test_averages_are_keras_s():
    optimizer, w = SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2), np.ones(1)
    for k, expected in ((1, 0.9), (2, 0.8), (3, 0.5)):
        optimizer.update(w, np.full(1, float(k)))
        assert w[0] == pytest.approx(expected)
    model = Sequential([Dense(1, use_bias=False, kernel_initializer="ones", input_shape=(1,))])
    model.compile(SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    seen = []

    class Weights(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights()[0].item())

    model.fit(np.ones((3, 1)), np.zeros((3, 1)), 1, verbose=0, callbacks=[Weights()])
    assert seen == pytest.approx([0.8, 0.64, 0.512])
    assert model.get_weights()[0] == pytest.approx(0.616)


def test_the_average_of_a_layer_that_is_added_begins_at_its_weights():
    model = Sequential([Dense(2, input_shape=(2,))])
    model.compile(SGD(0.0, use_ema=True), "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
    model.add(Dense(2))
    before = model.flat_params.copy()
    model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
    np.testing.assert_allclose(model.flat_params, before, rtol=1e-6)


def test_gradients_are_summed_up_to_one_step():
    for optimizer in (SGD(0.1), Adam(0.1)):
        summed = copy.deepcopy(optimizer)
        summed.gradient_accumulation_steps = 3
        w, mean = np.ones(4), np.ones(4)
        for k in range(1, 7):
            before = w.copy()
            summed.update(w, k * G)
            assert (summed.iterations, summed.waiting) == divmod(k, 3)
            assert np.array_equal(w, before) == bool(k % 3)
        for k in (2, 5):
            optimizer.update(mean, k * G)
        np.testing.assert_allclose(w, mean, rtol=1e-12)


def test_automatic_names_are_keras_s():
    minicnn.backend.clear_session()
    names = [kind().name for kind in (Adam, Adam, AdamW, RMSprop, SGD)]
    assert names == ["adam", "adam_1", "adam_w", "rm_sprop", "sgd"]
    assert SGD(name="mine").name == "mine"


def test_weights_may_be_left_out_of_the_decay():
    row = [Dense(2, name="first", input_shape=(2,)), Dense(2, name="second")]
    Sequential(row)  # builds them
    x = np.zeros((4, 2))
    for how, still in (
        ({"var_names": ["bias"]}, {"first/bias", "second/bias"}),
        ({"var_names": ["^b", "el$"]}, {one.path for layer in row for one in layer.weights}),
        ({"var_names": ["first", "d/b"]}, set()),  # the names of layers do not count, as in Keras
        ({"var_list": [row[1].weights[0]]}, {"second/kernel"}),
        ({}, set()),
    ):
        model = Sequential(row)
        optimizer = SGD(1.0, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(**how)
        model.compile(optimizer, "mse")
        model.set_weights([np.ones(w.shape) for w in model.get_weights()])
        y = model.predict(x, verbose=0)  # no gradient
        model.train_on_batch(x, y)
        ones = {one.path for one in model.weights if np.array_equal(one.value, np.ones(one.shape))}
        assert ones == still
        with pytest.raises(ValueError, match="to have taken no step yet"):
            optimizer.exclude_from_weight_decay(var_names=["x"])
    for wrong, error in (({"var_list": [1]}, TypeError), ({"var_names": ["("]}, ValueError)):
        with pytest.raises(error, match="exclude_from_weight_decay: expected var_"):
            SGD().exclude_from_weight_decay(**wrong)


# -- schedules ------------------------------------------------------------------------------------

STEPS = (0, 1, 4, 5, 6, 9, 10, 11, 15, 16, 20, 25)
VALUES = {  # of Keras
    "exponential": (
        schedules.ExponentialDecay(0.1, 10, 0.5),
        [0.1, 0.093303, 0.075786, 0.070711, 0.065975, 0.053589, 0.05, 0.046652, 0.035355, 0.032988,
         0.025, 0.017678],
    ),
    "piecewise": (
        schedules.PiecewiseConstantDecay([5, 10], [1, 0.5, 0.1]),
        [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1],
    ),
    "polynomial": (
        schedules.PolynomialDecay(0.1, 10, 0.01, power=2),
        [0.1, 0.0829, 0.0424, 0.0325, 0.0244, 0.0109, *[0.01] * 6],
    ),
    "polynomial, cycles": (
        schedules.PolynomialDecay(0.1, 10, 0.01, cycle=True),
        [0.1, 0.091, 0.064, 0.055, 0.046, 0.019, 0.01, 0.0505, 0.0325, 0.028, 0.01, 0.025],
    ),
    "inverse": (
        schedules.InverseTimeDecay(0.1, 10, 0.5),
        [0.1, 0.095238, 0.083333, 0.08, 0.076923, 0.068966, 0.066667, 0.064516, 0.057143, 0.055556,
         0.05, 0.044444],
    ),
    "cosine": (
        schedules.CosineDecay(0.1, 10, alpha=0.1),
        [0.1, 0.097798, 0.068906, 0.055, 0.041094, 0.012202, *[0.01] * 6],
    ),
    "cosine, warm-up": (
        schedules.CosineDecay(0.0, 10, warmup_target=0.1, warmup_steps=5),
        [0, 0.02, 0.08, 0.1, 0.097553, 0.065451, 0.05, 0.034549, 0, 0, 0, 0],
    ),
    "restarts": (
        schedules.CosineDecayRestarts(0.1, 5, 2, 0.5, 0.01),
        [0.1, 0.090546, 0.010454, 0.0505, 0.049289, 0.033398, 0.02575, 0.018102, 0.02575, 0.025598,
         0.022125, 0.013375],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_schedules_have_keras_s_values(name):
    schedule, values = VALUES[name]
    assert [schedule(s) for s in STEPS] == pytest.approx(values, abs=1e-6)
    config = json.loads(json.dumps(schedule.get_config()))
    again = type(schedule).from_config(config)
    assert again.get_config() == config
    assert again(7) == schedule(7)
    assert eval(repr(schedule), vars(schedules))(7) == schedule(7)


def test_staircases():
    steps = range(0, 31, 3)
    for kind in (schedules.ExponentialDecay, schedules.InverseTimeDecay):
        smooth, stairs = kind(0.1, 10, 0.5), kind(0.1, 10, 0.5, staircase=True)
        assert [stairs(s) for s in steps] == [smooth(s // 10 * 10) for s in steps]


def test_one_cycle_is_pytorch_s():
    torch = pytest.importorskip("torch")
    for options in ({}, {"warmup": 0.5, "initial_factor": 10.0, "final_factor": 100.0}):
        w = torch.zeros(1, requires_grad=True)
        theirs = torch.optim.lr_scheduler.OneCycleLR(
            sgd := torch.optim.SGD([w], 1.0),
            0.5,
            total_steps=40,
            pct_start=options.get("warmup", 0.3),
            div_factor=options.get("initial_factor", 25.0),
            final_div_factor=options.get("final_factor", 1e4),
            cycle_momentum=False,
        )
        ours = schedules.OneCycle(0.5, 40, **options)
        for step in range(40):
            assert ours(step) == pytest.approx(sgd.param_groups[0]["lr"], rel=1e-6, abs=1e-9)
            sgd.step()
            if step < 39:
                theirs.step()
        assert ours(99) == ours(39)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps"),
        (lambda: schedules.CosineDecay(0.1, -1), "decay_steps"),
        (lambda: schedules.CosineDecayRestarts(0.1, 0), "first_decay_steps"),
        (lambda: schedules.PolynomialDecay(-0.1, 10), "initial_learning_rate"),
        (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), "values to be one more"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 2, 3]), "boundaries to ascend"),
        (lambda: schedules.OneCycle(0.1, 1), "total_steps"),
        (lambda: schedules.OneCycle(0.1, 10, warmup=1.0), "warmup"),
    ],
)
def test_schedules_have_their_ranges(make, what):
    with pytest.raises(ValueError, match=f"expected {what}"):
        make()


def test_a_step_has_the_rate_of_the_steps_before_it():
    seen = []

    class Kept(Optimizer):
        def step(self, w, g, *slots):
            seen.append(self.learning_rate)

    schedule = schedules.InverseTimeDecay(1.0, 1, 1.0)
    optimizer = Kept(schedule)
    for t in range(3):
        assert optimizer.learning_rate == 1 / (1 + t)
        optimizer.update(np.ones(2), np.ones(2))
    assert seen == [1, 1 / 2, 1 / 3]
    calls = []
    optimizer = SGD(lambda: calls.append(0) or 0.5)
    optimizer.update(w := np.ones(1), np.ones(1))
    assert (w[0], optimizer.learning_rate) == (0.5, 0.5)


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
def test_both_ways_through_a_network_follow_a_schedule(kind):
    x, y = data(32)
    paths = {}
    for name, rate in (("schedule", schedules.PiecewiseConstantDecay([0, 1], [0.1, 0.05, 0.0])),
                       ("by hand", 0.1)):  # fmt: skip
        for jit in ("auto", False):
            model = network(kind(rate), jit_compile=jit)
            for by_hand in (0.1, 0.05, 0.0):
                if name == "by hand":
                    model.optimizer.learning_rate = by_hand
                assert model.optimizer.learning_rate == by_hand
                model.train_on_batch(x, y)
            paths[name, jit] = model.flat_params.copy()
    for jit in ("auto", False):
        np.testing.assert_array_equal(paths["schedule", jit], paths["by hand", jit])


def test_setting_a_rate_beside_a_schedule_is_keras_s_error():
    optimizer = Adam(schedules.CosineDecay(0.1, 10))
    with pytest.raises(TypeError, match="learning_rate to stay with its schedule CosineDecay"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = schedules.ExponentialDecay(0.5, 10, 0.5)
    assert optimizer.learning_rate == 0.5
    other = Adam()
    other.learning_rate = schedules.CosineDecay(0.25, 10)
    assert other.learning_rate == 0.25
    for wrong, error in (("fast", TypeError), (schedules.CosineDecay, TypeError), (-1, ValueError)):
        with pytest.raises(error, match="Adam: expected learning_rate to be"):
            Adam(wrong)
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="the value of the function given as learning_rate"):
            SGD(lambda wrong=wrong: wrong).update(np.ones(1), np.ones(1))
    assert SGD(lr=0.1).learning_rate == SGD(0.1, decay=0.5).learning_rate == 0.1


def test_configs_and_copies_keep_schedules_and_options():
    optimizer = Nadam(
        schedules.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=3),
        clipnorm=1.0,
        use_ema=True,
        gradient_accumulation_steps=2,
    )
    config = json.loads(json.dumps(optimizer.get_config()))
    assert config["learning_rate"]["class_name"] == "CosineDecay"
    again = Nadam.from_config(config)
    assert again.get_config() == config
    assert "learning_rate=CosineDecay(" in repr(again)
    assert "clipnorm=1.0" in repr(again)
    assert "weight_decay" not in repr(again)
    optimizer.update(np.ones(4), G)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert twin.learning_rate == optimizer.learning_rate
        assert twin.waiting == 1
        first, second = np.ones(4), np.ones(4)
        twin.update(first, G)
        copy.deepcopy(optimizer).update(second, G)
        np.testing.assert_array_equal(first, second)
    with pytest.raises(TypeError, match="learning_rate to be a setting that JSON can hold"):
        SGD(lambda: 0.1).get_config()


def test_a_schedule_of_the_user_s():
    class Halving(schedules.LearningRateSchedule):
        def __call__(self, step):
            return np.float32(1 / 2**step)

    optimizer = SGD(Halving())
    assert optimizer.learning_rate == 1.0
    optimizer.update(np.ones(1), np.ones(1))
    assert optimizer.learning_rate == 0.5
    with pytest.raises(TypeError, match="expected __call__"):
        type("Wrong", (schedules.LearningRateSchedule,), {"call": lambda self, step: 0.1})


def test_schedules_take_arrays_of_steps_and_refuse_what_is_no_step_by_name():
    for schedule in (
        schedules.CosineDecay(0.0, 10, warmup_target=0.1, warmup_steps=5),
        schedules.CosineDecayRestarts(0.1, 3),
        schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True),
        schedules.InverseTimeDecay(0.1, 3, 0.5, staircase=True),
        schedules.OneCycle(0.1, 8),
        schedules.PiecewiseConstantDecay([2, 4], [0.3, 0.2, 0.1]),
        schedules.PolynomialDecay(0.1, 3, cycle=True),
    ):
        steps = np.arange(12).reshape(3, 4)
        expected = [[schedule(int(step)) for step in row] for row in steps]
        np.testing.assert_array_equal(schedule(steps), expected)
        np.testing.assert_array_equal(schedule(steps.tolist()), expected)
        assert schedule(np.float32(3)) == schedule(np.array(3)) == schedule(3)
        who = type(schedule).__name__
        for wrong in (None, "3", True, [None], 3j):
            with pytest.raises(TypeError, match=f"{who}: expected step to be"):
                schedule(wrong)
        for wrong in (-1, np.nan, np.inf, [1, -1], 10**400):
            with pytest.raises(ValueError, match=f"{who}: expected step to be"):
                schedule(wrong)


def test_a_rate_that_overflows_is_infinite_as_in_keras():
    assert schedules.ExponentialDecay(0.1, 1, 10.0)(400) == np.inf


def test_a_schedule_counts_gradients_where_several_make_one_step():
    class Rising(schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1 * step

    optimizer = SGD(Rising(), gradient_accumulation_steps=2)
    w = np.ones(2)
    for done, left in ((0, 1.0), (1, 0.9), (1, 0.9), (2, 0.6)):  # by 0.1 * 1 and 0.1 * 3
        optimizer.update(w, np.ones(2))
        assert optimizer.iterations == done
        np.testing.assert_allclose(w, left)

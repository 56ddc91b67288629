"""Penalties in the loss, their gradients, and what weights are held to.

Golden numbers are Keras 3.15.1's; formulas are followed in plain loops.
"""

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
from counts import and_slow

from minicnn import Sequential, constraints, layers, regularizers, set_num_threads
from minicnn.constraints import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from minicnn.engine.threads import get_num_threads
from minicnn.gradcheck import check_layer, check_model
from minicnn.layers import (
    Activation,
    ActivityRegularization,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    ReLU,
)
from minicnn.layers.regularization import OutputPenalty
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from minicnn.regularizers import L1, L1L2, L2, OrthogonalRegularizer, Regularizer
from minicnn.training import plain

W = np.array([1.0, -2.0, 3.0])


class Norm(Regularizer):
    """The length of all numbers: not the sum of what each sample has."""

    def __call__(self, x):
        return 0.5 * np.sqrt(np.square(x).sum())

    def gradient(self, x):
        return 0.5 * x / np.sqrt(np.square(x).sum())


class Plain:
    """No subclass of anything."""

    def __call__(self, x):
        return np.sum(x**4)

    def gradient(self, x):
        return 4 * x**3


@pytest.fixture
def threads():
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


# -- the regularizers -----------------------------------------------------------------------------


def test_a_layer_that_was_not_called_has_no_penalty_on_its_output():
    layer = Dense(2, activity_regularizer="l2")
    layer.build((None, 3))
    assert layer.losses == []


def test_a_layer_by_itself_has_the_penalty_of_its_last_call():
    layer = Dense(2, activity_regularizer=L2(1.0), kernel_initializer="ones")
    assert layer.activity_penalty is None
    layer(np.ones((3, 4)))
    assert layer.activity_penalty == pytest.approx(2 * 16)  # the mean over the samples


def test_a_penalty_on_outputs_is_0_before_any():
    layer = Dense(2, activity_regularizer="l2")
    assert OutputPenalty(layer).penalty == 0


def test_a_parameter_that_is_made_again_has_the_rules_it_was_made_with_last():
    layer = Dense(2, kernel_regularizer="l2", kernel_constraint="non_neg")
    layer.build((None, 3))
    assert set(layer.regularizers) == set(layer.constraints) == {"W"}
    layer.add_param("W", (3, 2), "zeros")
    assert layer.regularizers == layer.constraints == {}


def test_values_are_keras_s():
    assert L2(0.1)(W) == pytest.approx(1.4)
    assert L1(0.1)(W) == pytest.approx(0.6)
    assert L1L2(0.1, 0.1)(W) == pytest.approx(2.0)
    assert (L1().l1, L2().l2, L1L2().l1, L1L2().l2) == (0.01, 0.01, 0.0, 0.0)
    assert (L1(None).l1, L2(None).l2, L1L2(None, None).l1) == (0.01, 0.01, 0.0)
    assert L1L2()(W) == 0.0


def test_gradients_are_those_of_the_formulas():
    w = np.array([1.0, -2.0, 0.0])
    np.testing.assert_allclose(L1(0.25).gradient(w), [0.25, -0.25, 0])
    np.testing.assert_allclose(L2(0.25).gradient(w), [0.5, -1, 0])
    np.testing.assert_allclose(L1L2(0.25, 0.5).gradient(w), [1.25, -2.25, 0])
    np.testing.assert_allclose(L2(0.5).gradient(np.array([1, -2])), [1, -2])


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_the_orthogonal_one_has_the_gradient_of_its_penalty(mode):
    rule = OrthogonalRegularizer(0.5, mode)
    x = np.random.default_rng(6).standard_normal((4, 5))
    x[1, 1:] = x[1:, 1] = 1e-3
    numeric = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[at] = 1e-6
        numeric[at] = (rule(x + step) - rule(x - step)) / 2e-6
    np.testing.assert_allclose(rule.gradient(x), numeric, atol=1e-6)
    assert np.abs(numeric).max() > 1e-3
    zero = np.array([[0.0, 0.0], [1.0, 2.0]])
    assert np.isfinite(OrthogonalRegularizer(0.5, mode).gradient(zero)).all()
    for dtype in ("float32", "float64"):
        assert rule.gradient(x.astype(dtype)).dtype == dtype
    q = np.linalg.qr(x[:4, :4])[0]
    assert rule(q) == pytest.approx(0, abs=1e-12)


def test_the_orthogonal_one_is_for_matrices():
    for shape in ((3,), (2, 2, 3), (3, 3, 1, 4)):
        with pytest.raises(ValueError, match=r"expected weights with two axes, received .*\("):
            OrthogonalRegularizer()(np.ones(shape))
        with pytest.raises(ValueError, match="expected weights with two axes"):
            OrthogonalRegularizer().gradient(np.ones(shape))
    with pytest.raises(ValueError, match="at least two columns"):
        OrthogonalRegularizer(mode="columns")(np.ones((3, 1)))
    with pytest.raises(ValueError, match="mode to be one of columns, rows"):
        OrthogonalRegularizer(mode="diagonals")
    rule = OrthogonalRegularizer(0.25, "columns")
    assert rule.get_config() == {"factor": 0.25, "mode": "columns"}
    again = regularizers.get({"class_name": "OrthogonalRegularizer", "config": rule.get_config()})
    assert (again.factor, again.mode) == (0.25, "columns")
    assert regularizers.orthogonal_regularizer is OrthogonalRegularizer


def test_the_orthogonal_one_trains_a_dense_layer():
    model = Sequential([Dense(6, kernel_regularizer=OrthogonalRegularizer(5.0), input_shape=(6,))])
    model.compile(Adam(0.02), "mse")
    x = np.random.default_rng(7).standard_normal((64, 6))
    before = OrthogonalRegularizer(1.0)(model.layers[0].params["W"])
    model.fit(x, x, epochs=20, verbose=0)
    assert OrthogonalRegularizer(1.0)(model.layers[0].params["W"]) < 0.5 * before


@pytest.mark.parametrize("kind", [L1, L2, L1L2])
def test_gradients_keep_the_float_type(kind):
    for dtype in ("float32", "float64"):
        assert kind(0.1).gradient(W.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("name", ["l1", "L1", "l2", "L2", "l1l2", "L1L2", "l1_l2"])
def test_get_knows_keras_s_names(name):
    kind = {"l1": L1, "l2": L2}.get(name.lower(), L1L2)
    assert type(regularizers.get(name)) is kind
    assert regularizers.get(kind).get_config() == kind().get_config()
    assert regularizers.get(None) is None
    described = {"class_name": kind.__name__, "config": kind(0.5).get_config()}
    assert regularizers.get(described).get_config() == kind(0.5).get_config()
    assert (regularizers.l1, regularizers.l2, regularizers.l1_l2) == (L1, L2, L1L2)


@pytest.mark.parametrize("wrong", [-1, float("inf"), float("nan"), "x", [1], True])
@pytest.mark.parametrize(("kind", "name"), [(L1, "l1"), (L2, "l2"), (L1L2, "l1"), (L1L2, "l2")])
def test_factors_that_are_none(kind, name, wrong):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: expected {name} to be a number in"):
        kind(**{name: wrong})
    for make in (layers.ActivityRegularization,) if kind is L1L2 else ():
        with pytest.raises(ValueError, match=f"expected {name} to be a number in"):
            make(**{name: wrong})


@pytest.mark.parametrize("name", ["kernel_regularizer", "bias_regularizer", "activity_regularizer"])
def test_what_has_no_gradient_is_refused_with_how_to_write_one(name):
    class Half(Regularizer):
        def __call__(self, x):
            return 0.5

    for wrong in (lambda x: x.sum(), Half(), np.sum):
        with pytest.raises(TypeError, match=rf"(?s)Dense.*{name} to have a gradient.*gradient\(se"):
            Dense(2, **{name: wrong})
    with pytest.raises(ValueError, match=f"expected {name} to be one of l1, l1_l2, l1l2, l2"):
        Dense(2, **{name: "l3"})
    for wrong in (0, False, ()):
        with pytest.raises(TypeError, match=f"expected {name} to be one of"):
            Dense(2, **{name: wrong})


def test_what_a_regularizer_returns_is_checked():
    class Wide(L2):
        def gradient(self, x):
            return np.zeros(3)

    class Many(L2):
        def __call__(self, x):
            return x

    for rule, what in ((Wide(), "of x's shape"), (Many(), "to return one number")):
        model = made(Dense(1, kernel_regularizer=rule, input_shape=(2,)))
        before = model.get_weights()
        with pytest.raises(ValueError, match=rf"Dense 'dense.*': W.*{rule.__class__.__name__}.*"):
            model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
        with pytest.raises(ValueError, match=what):
            model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
        assert model.optimizer.iterations == 0
        for now, then in zip(model.get_weights(), before):
            np.testing.assert_array_equal(now, then)


# -- in a model -----------------------------------------------------------------------------------


def made(*rows, optimizer=None, loss="mse", **options):
    model = Sequential(list(rows))
    model.compile(optimizer or SGD(0.1), loss, **options)
    return model


def test_the_reported_loss_is_keras_s():
    """kernel ones(2, 1), L2(.1), mse 4: loss 4.2, mse 4, val_loss 4.2."""
    x, y = np.ones((6, 2)), np.zeros((6, 1))
    for jit in ("auto", False):
        model = made(
            Dense(1, kernel_initializer="ones", kernel_regularizer=L2(0.1), input_shape=(2,)),
            optimizer=SGD(0.0),
            metrics=["mse"],
            jit_compile=jit,
        )
        assert model.losses == pytest.approx([0.2])
        assert model.layers[0].losses == pytest.approx([0.2])
        assert model.evaluate(x, y, verbose=0) == pytest.approx([4.2, 4.0])
        assert model.evaluate(x, y, batch_size=4, verbose=0) == pytest.approx([4.2, 4.0])
        assert model.train_on_batch(x, y) == pytest.approx([4.2, 4.0])
        assert model.test_on_batch(x, y) == pytest.approx([4.2, 4.0])
        for weight in (np.zeros(6), np.full(6, 0.5)):
            found = model.evaluate(x, y, sample_weight=weight, verbose=0)
            assert found[0] == pytest.approx(4 * weight[0] + 0.2)
        history = model.fit(x, y, 4, validation_data=(x, y), verbose=0).history
        assert history["loss"] == history["val_loss"] == pytest.approx([4.2])
        assert history["mse"] == history["val_mse"] == pytest.approx([4.0])
        model.compile(SGD(0.0), "mse", loss_weights=0.5)
        assert model.evaluate(x, y, verbose=0) == pytest.approx(2.2)


def test_a_step_goes_along_the_gradient_of_the_whole_loss():
    """w = 1, loss (w x)^2 + .1 w^2 with x = 1: gradient 2 + .2; sample weights scale only the 2."""
    for weight, expected in ((None, 1 - 0.1 * 2.2), (np.zeros(3), 1 - 0.1 * 0.2)):
        for jit in ("auto", False):
            model = made(
                Dense(1, use_bias=False, kernel_initializer="ones", kernel_regularizer=L2(0.1)),
                jit_compile=jit,
            )
            model.train_on_batch(np.ones((3, 1)), np.zeros((3, 1)), sample_weight=weight)
            assert model.get_weights()[0] == pytest.approx(expected)


def test_frozen_layers_have_no_penalty():
    row = [
        Dense(2, kernel_initializer="ones", kernel_regularizer="l2", input_shape=(2,)),
        Dense(1, kernel_initializer="ones", bias_regularizer="l1", bias_initializer="ones"),
    ]
    row[0].trainable = False
    model = made(*row, optimizer=SGD(0.0))
    assert row[0].losses == []
    assert model.losses == pytest.approx([0.01])
    x, y = np.zeros((4, 2)), np.ones((4, 1))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(0.01)
    assert model.train_on_batch(x, y) == pytest.approx(0.01)


def test_normalization_takes_them_too():
    layer = BatchNormalization(
        gamma_regularizer=L2(0.5),
        beta_regularizer=L1(0.5),
        gamma_constraint=constraints.MaxNorm(1),
        beta_constraint="non_neg",
        input_shape=(3,),
    )
    model = made(layer)
    assert model.losses == pytest.approx([1.5, 0.0])
    model.fit(np.random.default_rng(0).normal(size=(8, 3)), np.zeros((8, 3)), verbose=0)
    assert np.linalg.norm(layer.params["gamma"]) <= 1.0
    assert layer.params["beta"].min() >= 0


def conv_net(rule, activity=None, **options):
    model = made(
        Conv2D(4, 3, activation="relu", kernel_regularizer=rule, activity_regularizer=activity,
               kernel_constraint=constraints.MaxNorm(0.5, axis=[0, 1, 2]), input_shape=(6, 6, 1)),
        MaxPooling2D(),
        Dropout(0.25, seed=7),
        Flatten(),
        Dense(3, activation="softmax", kernel_regularizer=rule, bias_regularizer="l1",
              bias_constraint="non_neg"),
        optimizer=Adam(0.01),
        loss="sparse_categorical_crossentropy",
        **options,
    )  # fmt: skip
    rng = np.random.default_rng(5)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def data(n, seed=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6, 6, 1)).astype("float32"), rng.integers(0, 3, n)


@pytest.mark.parametrize("rule", [L1L2(0.01, 0.02), Norm(), Plain()], ids=["l1l2", "norm", "plain"])
@pytest.mark.parametrize("activity", [None, L2(0.02), Norm()], ids=["none", "l2", "norm"])
def test_both_ways_and_any_number_of_threads_give_the_same(rule, activity, threads):
    x, y = data(70)
    found = {}
    for jit in ("auto", False):
        for number in (1, 2, 3):
            threads(number)
            model = conv_net(rule, activity, jit_compile=jit)
            model.rng = np.random.default_rng(0)
            for layer in model.layers:
                if isinstance(layer, Dropout):
                    layer.seed = 7
            losses = [model.train_on_batch(x, y) for _ in range(3)]
            found[jit, number] = losses, model.flat_params.copy()
    for jit in ("auto", False):
        for number in (2, 3):
            assert found[jit, number][0] == found[jit, 1][0]
            np.testing.assert_array_equal(found[jit, number][1], found[jit, 1][1])
    assert found["auto", 1][0] == pytest.approx(found[False, 1][0], rel=1e-5)
    np.testing.assert_allclose(found["auto", 1][1], found[False, 1][1], atol=2e-5)


@pytest.mark.parametrize("activity", [None, L1(0.02), Norm()], ids=["none", "l1", "norm"])
def test_the_plain_loop_takes_the_same_steps(activity):
    """On one shard, to the last bit."""
    x, y = np.random.default_rng(0).normal(size=(24, 4)), np.zeros((24, 2))

    def model():
        row = [
            Dense(3, "tanh", kernel_regularizer=L1L2(0.1, 0.1), activity_regularizer=activity,
                  kernel_constraint="unit_norm", input_shape=(4,)),
            Dense(2, bias_regularizer=L2(0.5), bias_initializer="ones"),
        ]  # fmt: skip
        one = made(*row, optimizer=Adam(0.1), jit_compile=False)
        one.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in one.get_weights()])
        one.rng = np.random.default_rng(2)
        return one

    ours, theirs = model(), model()
    history = ours.fit(x, y, 8, epochs=2, verbose=0).history["loss"]
    losses = plain.fit(theirs, x.astype("float32"), y.astype("float32"), 8, 2)
    np.testing.assert_array_equal(ours.flat_params, theirs.flat_params)
    assert history == pytest.approx(losses, rel=1e-6)


# -- penalties on outputs -------------------------------------------------------------------------


def test_a_penalty_on_outputs_is_keras_s():
    """ones * 2 of shape (N, 5), L2(.01): .2 whatever N."""
    for n in (1, 3, 40, 200):
        layer = ActivityRegularization(l2=0.01)
        layer(np.full((n, 5), 2.0))
        assert layer.losses == pytest.approx([0.2])
        dense = Dense(5, "linear", kernel_initializer="ones", activity_regularizer=L2(0.01))
        dense(np.full((n, 1), 2.0))
        assert dense.losses == pytest.approx([0.2])
        model = made(dense)
        x, y = np.full((n, 1), 2.0), np.full((n, 5), 2.0)
        model(x)
        assert model.losses == pytest.approx([0.2])
        assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(0.2)
        assert model.train_on_batch(x, y) == pytest.approx(0.2)


def test_its_gradient_reaches_the_weights_below():
    """y = w x with x = 1 and w = 3; the penalty is .5 y^2, its gradient y, for each batch size."""
    for n in (1, 5, 40, 130):
        for jit in ("auto", False):
            model = made(
                Dense(1, use_bias=False, kernel_initializer=np.full((1, 1), 3.0),
                      activity_regularizer=L2(0.5)),
                jit_compile=jit,
            )  # fmt: skip
            loss = model.train_on_batch(np.ones((n, 1)), np.full((n, 1), 3.0))
            assert loss == pytest.approx(4.5)
            assert model.get_weights()[0] == pytest.approx(3 - 0.1 * 3, rel=1e-6)


def test_one_that_is_no_sum_sees_whole_batches():
    x = np.arange(1.0, 41.0)[:, None]
    for jit in ("auto", False):
        model = made(
            Dense(1, use_bias=False, kernel_initializer="ones", activity_regularizer=Norm()),
            optimizer=SGD(0.0),
            jit_compile=jit,
        )
        whole = 0.5 * np.linalg.norm(x) / 40
        halves = [0.5 * np.linalg.norm(half) / 20 for half in (x[:20], x[20:])]
        assert model.train_on_batch(x, x) == pytest.approx(whole)
        assert model.evaluate(x, x, batch_size=40, verbose=0) == pytest.approx(whole)
        assert model.evaluate(x, x, batch_size=20, verbose=0) == pytest.approx(np.mean(halves))


def test_no_fused_step_hides_an_output_that_is_penalized():
    model = made(
        Conv2D(4, 3, activation="relu", activity_regularizer="l2", input_shape=(6, 6, 1)),
        MaxPooling2D(activity_regularizer="l1"),
        Dropout(0.5),
        Flatten(),
        Dense(3, activity_regularizer="l1"),
        Activation("softmax", activity_regularizer="l2"),
        loss="sparse_categorical_crossentropy",
    )
    plan = str(model.plan())
    for name in ("conv2d", "max_pooling2d", "dense", "activation"):
        assert sum(line.startswith(name) and "_activity" in line for line in plan.split("\n")) == 1
    x, y = data(20)
    y_pred = model(x)
    expected = -np.mean(np.log(y_pred[np.arange(20), y])) + sum(model.losses)
    assert len(model.losses) == 4
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_a_softmax_whose_output_is_penalized_gives_probabilities_to_any_loss():
    """Not its logits, which the penalty does not concern."""
    x, y = data(20)
    found = []
    for from_logits in (False, True):
        loss = SparseCategoricalCrossentropy(from_logits=from_logits)
        row = [
            Flatten(input_shape=(6, 6, 1)),
            Dense(3, "softmax", kernel_initializer="ones", activity_regularizer=L2(0.5)),
        ]
        row[1].bias_initializer = np.arange(3.0)
        model = Sequential(row)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.compile(SGD(0.1), loss)
        found.append((model.train_on_batch(x, y), model.evaluate(x, y, verbose=0)))
    assert found[0] == pytest.approx(found[1])


def test_a_penalty_on_a_layer_inside_another_is_refused():
    model = made(Dense(2, activation=ReLU(activity_regularizer="l1"), input_shape=(2,)))
    with pytest.raises(ValueError, match=r"no activity_regularizer inside it.*ReLU"):
        model.train_on_batch(np.ones((2, 2)), np.ones((2, 2)))


def test_a_factor_may_change_between_steps():
    for jit in ("auto", False):
        rule, activity = L2(0.0), L2(0.0)
        layer = Dense(2, kernel_initializer="ones", kernel_regularizer=rule,
                      activity_regularizer=activity, input_shape=(1,))  # fmt: skip
        model = made(layer, optimizer=SGD(0.0), jit_compile=jit)
        x, y = np.ones((20, 1)), np.ones((20, 2))
        assert model.train_on_batch(x, y) == 0
        rule.l2 = 0.5
        assert model.train_on_batch(x, y) == pytest.approx(1)
        activity.l2 = 0.5
        assert model.train_on_batch(x, y) == pytest.approx(2)
        layer.activity_regularizer = None
        assert model.train_on_batch(x, y) == pytest.approx(1)
        with pytest.raises(ValueError, match="expected kernel_regularizer to stay L2"):
            layer.kernel_regularizer = "l1"


# -- constraints ----------------------------------------------------------------------------------


def test_a_least_norm_above_the_largest_wins_as_in_keras():
    w = np.array([[0.3, 3.0], [0.4, 4.0]])
    held = constraints.MinMaxNorm(2.0, 1.0)(w)
    np.testing.assert_allclose(np.linalg.norm(held, axis=0), [2, 2], rtol=1e-6)


def test_constraints_are_keras_s_formulas():
    w = np.array([[3.0, 0.3, 0.0], [4.0, 0.4, 0.0]])
    norm = np.array([5.0, 0.5, 0.0])
    np.testing.assert_allclose(constraints.MaxNorm(2)(w), w * ([2, 0.5, 0] / (1e-7 + norm)))
    np.testing.assert_allclose(constraints.UnitNorm()(w), w / (1e-7 + norm))
    np.testing.assert_allclose(
        constraints.MinMaxNorm(1, 2, 0.25)(w), w * ([4.25, 0.625, 0.25] / (1e-7 + norm))
    )
    np.testing.assert_array_equal(constraints.NonNeg()(-w), np.zeros_like(w))
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 4))
    held = constraints.MaxNorm(1, axis=[0, 1, 2])(kernel)
    np.testing.assert_allclose(np.sqrt(np.square(held).sum((0, 1, 2))), 1, rtol=1e-5)
    assert constraints.MaxNorm(1)(kernel.astype("float32")).dtype == np.float32
    defaults = constraints.MaxNorm(), constraints.MinMaxNorm(), constraints.UnitNorm()
    assert [one.get_config() for one in defaults] == [
        {"max_value": 2.0, "axis": 0},
        {"min_value": 0.0, "max_value": 1.0, "rate": 1.0, "axis": 0},
        {"axis": 0},
    ]


@pytest.mark.parametrize("name", ["max_norm", "min_max_norm", "non_neg", "unit_norm"])
def test_constraints_by_name(name):
    kind = getattr(constraints, name)
    for given in (name, kind.__name__, kind, kind(), {"class_name": kind.__name__, "config": {}}):
        assert type(constraints.get(given)) is kind
    assert constraints.get(None) is None
    with pytest.raises(ValueError, match="expected kernel_constraint to be one of max_norm"):
        Conv2D(2, 3, kernel_constraint="norm")


def test_weights_are_held_after_each_step_and_not_before():
    seen = []

    def halved(w):
        seen.append(w.copy())
        return w / 2

    model = made(Dense(1, use_bias=False, kernel_initializer="ones", kernel_constraint=halved))
    x, y = np.ones((2, 1)), np.zeros((2, 1))
    for before in (1.0, 0.4):  # the step takes 0.2 of w, the constraint half of the rest
        if seen:
            assert model.get_weights()[0] == pytest.approx(before)
        model.train_on_batch(x, y)
        assert seen[-1] == pytest.approx(0.8 * before)
    assert model.get_weights()[0] == pytest.approx(0.16)


def test_frozen_layers_are_not_held():
    layer = Dense(1, kernel_initializer="ones", kernel_constraint=lambda w: w * 0, trainable=False)
    model = made(layer, Dense(1), Flatten(input_shape=(1,)))
    model.train_on_batch(np.ones((2, 1)), np.zeros((2, 1)))
    np.testing.assert_array_equal(layer.params["W"], 1)


def test_a_constraint_that_fails_changes_nothing():
    for wrong, error in ((lambda w: w[:1], ValueError), (lambda w: w * np.nan, FloatingPointError)):
        model = made(Dense(2, kernel_constraint=wrong, input_shape=(2,)), optimizer=Adam())
        before = model.flat_params.copy()
        with pytest.raises(error, match="Dense"):
            model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
        np.testing.assert_array_equal(model.flat_params, before)
        assert model.optimizer.iterations == 0
    with pytest.raises(ValueError, match=r"Dense 'd': expected axis of the constraint of params"):
        Dense(2, kernel_constraint=constraints.MaxNorm(axis=2), name="d").build((None, 2))


def test_a_penalty_that_overflows_is_named():
    model = made(Dense(2, kernel_regularizer=L2(1e30), name="d", input_shape=(2,)))
    model.set_weights([np.full((2, 2), 1e38), np.zeros(2)])
    assert model.losses == [np.inf]
    with pytest.raises(FloatingPointError, match="the penalty of Dense 'd': W became NaN or inf"):
        model.fit(np.zeros((4, 2)), np.zeros((4, 2)), verbose=0)

    class Infinite(L2):
        def __call__(self, x):
            return np.inf

    for place, name in (("kernel_regularizer", "W"), ("activity_regularizer", "output")):
        layer = Dense(2, name="d", **{place: Infinite()}, input_shape=(2,))
        with pytest.raises(FloatingPointError, match=f"the penalty of Dense 'd': .*{name}"):
            made(layer).fit(np.zeros((4, 2)), np.zeros((4, 2)), verbose=0)


# -- settings, copies, gradient checks ------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Dense(2, kernel_regularizer=L1(0.5), kernel_constraint="max_norm"),
        lambda: Conv2D(2, 3, bias_regularizer="l2", bias_constraint=constraints.MaxNorm(1, [0])),
        lambda: BatchNormalization(gamma_regularizer=L2(0.1), beta_constraint="non_neg"),
        lambda: Flatten(activity_regularizer=L1L2(0.5, 0.25)),
        lambda: ActivityRegularization(0.5, 0.25),
    ],
)
def test_configs_and_copies_keep_them(layer):
    config = json.loads(json.dumps(layer().get_config()))
    again = type(layer()).from_config(config)
    assert again.get_config() == config
    for other in (again, copy.deepcopy(again), pickle.loads(pickle.dumps(again))):
        assert {**other.get_config(), "name": ""} == {**config, "name": ""}
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 1))
    again.build((None, 4, 4, 1))
    twin = copy.deepcopy(again)
    again(x), twin(x)
    assert twin.losses == again.losses
    assert again.losses or isinstance(again, Conv2D)


def test_a_rule_that_json_cannot_hold_says_so():
    with pytest.raises(TypeError, match="kernel_regularizer to be a setting that JSON can hold"):
        Dense(2, kernel_regularizer=Plain()).get_config()


@pytest.mark.parametrize(
    "rule", and_slow([L1L2(0.1, 0.2)], [Norm(), Plain()], "in_ci"), ids=["l1l2", "norm", "plain"]
)
def test_check_model_takes_the_penalties_along(rule):
    row = [
        Conv2D(4, 3, activation="relu", kernel_regularizer=rule, bias_regularizer=rule,
               activity_regularizer=rule, input_shape=(6, 6, 1)),
        BatchNormalization(gamma_regularizer=rule),
        Flatten(),
        ActivityRegularization(0.1, 0.1),
        Dense(3, activation="softmax", kernel_regularizer=rule, activity_regularizer=rule),
    ]  # fmt: skip
    model = made(*row, loss="sparse_categorical_crossentropy")
    check_model(model, *data(20)).raise_if_failed()
    check_model(model, *data(20), training=False).raise_if_failed()
    assert row[0].activity_regularizer is rule
    assert row[0].regularizers == {"W": rule, "b": rule}
    check_layer(row[0], (3, 6, 6, 1)).raise_if_failed()


@pytest.mark.parametrize("place", ["kernel_regularizer", "activity_regularizer"])
def test_check_model_finds_a_wrong_gradient_of_a_regularizer(place):
    class Wrong(L2):
        def gradient(self, x):
            return x * 0.2 * 1.01

    layer = Dense(3, "softmax", name="d", **{place: Wrong(0.1)}, input_shape=(4,))
    model = made(layer, loss="sparse_categorical_crossentropy")
    result = check_model(model, np.random.default_rng(0).normal(size=(9, 4)), np.arange(9) % 3)
    assert not result.ok
    assert "by itself, the regularizer of Dense 'd'" in str(result)


RULES = [L1(0.1), L2(0.1), L1L2(0.1, 0.2), OrthogonalRegularizer(), NonNeg(), MaxNorm(), UnitNorm()]


@pytest.mark.parametrize("rule", [*RULES, MinMaxNorm()], ids=lambda rule: type(rule).__name__)
def test_what_is_no_array_of_numbers_is_refused_by_name(rule):
    name = "w" if isinstance(rule, Constraint) else "x"
    for wrong in (None, "nonsense", [[1, 2], [3]], np.array(["a"]), object()):
        with pytest.raises(TypeError, match=f"{type(rule).__name__}: expected {name} "):
            rule(wrong)
    given = [[3, -4], [1, 2]]
    np.testing.assert_array_equal(rule(given), rule(np.array(given, "float64")))
    if isinstance(rule, Regularizer):
        with pytest.raises(TypeError, match=f"{type(rule).__name__}: expected x "):
            rule.gradient("nonsense")


@pytest.mark.parametrize("axis", [2, -3, (0, 2), (0, -2)])
def test_axes_that_the_weights_do_not_have(axis):
    words = r"UnitNorm: expected axis of the constraint on w to be axes of .*\(2, 2\), each once"
    with pytest.raises(ValueError, match=words):
        UnitNorm(axis)(np.ones((2, 2)))
    with pytest.raises(ValueError, match="expected each axis once"):
        UnitNorm([0, 1, 0])

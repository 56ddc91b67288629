"""Losses inside models: what fit makes of logits, reductions, weights and functions."""

import numpy as np
import pytest
from cases.losses import LOSSES

from minicnn import Sequential, losses
from minicnn.engine.logits import before_activation
from minicnn.gradcheck import check_loss
from minicnn.layers import Activation, Conv2DTranspose, Dense, Reshape, Sigmoid
from minicnn.optimizers import SGD
from minicnn.saving import load_model

rng = np.random.default_rng(13)
X = rng.standard_normal((20, 4)).astype("float32")
WAYS = ["auto", False]


def model_of(*layers, loss, jit_compile="auto", seed=3, **compiled):
    from minicnn.utils import set_random_seed

    set_random_seed(seed)
    model = Sequential(list(layers))
    model.build((None, *X.shape[1:]))
    model.compile(SGD(0.1), loss, jit_compile=jit_compile, **compiled)
    return model


ENDS = {
    "activation": lambda: [Dense(3, activation="sigmoid")],
    "layer": lambda: [Dense(3), Sigmoid()],
    "Activation": lambda: [Dense(3), Activation("sigmoid"), Activation("linear")],
    "transposed": lambda: [
        Dense(3),
        Reshape((1, 1, 3)),
        Conv2DTranspose(3, 1, activation="sigmoid"),
    ],
}


@pytest.mark.parametrize("jit_compile", WAYS)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", [losses.BinaryCrossentropy, losses.BinaryFocalCrossentropy])
def test_behind_a_sigmoid_binary_losses_get_the_logits(kind, end, jit_compile):
    """Probabilities of 1 in float32 would be clipped, and their gradient would be 0."""
    model = model_of(*ENDS[end](), loss=kind(), jit_compile=jit_compile)
    model.set_weights([100 * w for w in model.get_weights()])
    y = 1 - model.predict(X, verbose=0).round()
    logits = X
    for layer in before_activation(model.leaves, "sigmoid")[0]:
        logits = layer.forward(logits)
    expected = kind(from_logits=True)(y, logits)
    assert expected > 20
    assert model.evaluate(X, y, verbose=0) == pytest.approx(expected, rel=1e-5)
    model.train_on_batch(X, y)
    assert np.abs(model.flat_grads).max() > 0.1


def test_a_softmax_along_another_axis_than_the_classes_stays():
    loss = losses.CategoricalCrossentropy(axis=1)
    model = model_of(Dense(6), Reshape((2, 3)), Activation("softmax"), loss=loss)
    y = np.eye(2)[rng.integers(0, 2, (20, 3))].transpose(0, 2, 1)
    expected = loss(y, model.predict(X, verbose=0))
    assert model.evaluate(X, y, verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("jit_compile", WAYS)
@pytest.mark.parametrize(
    ("ending", "kind"),
    [("softmax", losses.BinaryCrossentropy), ("sigmoid", losses.CategoricalCrossentropy)],
)
def test_behind_the_other_activation_a_loss_gets_the_outputs(ending, kind, jit_compile):
    """Keras takes the logits of the one for those of the other."""
    model = model_of(Dense(3, activation=ending), loss=kind(), jit_compile=jit_compile)
    y = np.eye(3)[rng.integers(0, 3, 20)]
    expected = kind()(y, model.predict(X, verbose=0))
    assert model.evaluate(X, y, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert model.train_on_batch(X, y) == pytest.approx(expected, rel=1e-5)


def test_a_loss_in_a_file_keeps_its_settings(tmp_path):
    loss = losses.Huber(delta=0.5, reduction="sum")
    model_of(Dense(3), loss=loss).save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").loss.get_config() == loss.get_config()


def test_from_logits_behind_a_sigmoid_is_said():
    with pytest.warns(UserWarning, match="binary_crossentropy with from_logits=True, but the mod"):
        model_of(Dense(1, activation="sigmoid"), loss=losses.BinaryCrossentropy(True))


def numbers(model, y, weight):
    """Loss and gradient of one step."""
    logs = model.train_on_batch(X, y, sample_weight=weight)
    return logs, model.flat_grads.copy()


@pytest.mark.parametrize("jit_compile", WAYS)
@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight"])
@pytest.mark.parametrize("weights", [None, "samples", "column", "positions"])
def test_reductions_and_weights_in_a_step(reduction, weights, jit_compile):
    """The loss of a batch in shards is that of the whole, and the gradient its slope."""
    weight = {
        None: None,
        "samples": np.linspace(0, 2, 20),
        "column": np.linspace(0, 2, 20)[:, None],
        "positions": rng.random((20, 2)),
    }[weights]
    y = rng.standard_normal((20, 2, 3))
    loss = losses.MeanSquaredError(reduction=reduction)
    layers = [Dense(6, dtype="float64"), Reshape((2, 3))]
    model = model_of(*layers, loss=loss, jit_compile=jit_compile)
    before = model.flat_params.copy()
    y_pred = model.predict(X, verbose=0)
    value, gradient = numbers(model, y, weight)
    if weights == "column":  # as one weight a sample; the object takes it for one a position
        weight = weight[:, 0]
    assert value == pytest.approx(loss(y, y_pred, sample_weight=weight), rel=1e-6)
    step = 1e-4 * rng.standard_normal(before.shape)
    sides = []
    for sign in (1, -1):
        model.flat_params[...] = before + sign * step
        sides.append(loss(y, model.predict(X, verbose=0), sample_weight=weight))
    assert (sides[0] - sides[1]) / 2 == pytest.approx(gradient @ step, rel=1e-4)


def test_the_sum_of_an_epoch_is_the_mean_of_its_batches_by_their_size():
    """As in Keras."""
    y = rng.standard_normal((20, 1))
    model = model_of(Dense(1), loss=losses.MeanSquaredError(reduction="sum"))
    model.optimizer.learning_rate = 0.0
    squares = np.square(model.predict(X, verbose=0) - y)
    logs = model.fit(X, y, batch_size=8, shuffle=False, verbose=0).history
    sums = [squares[:8].sum(), squares[8:16].sum(), squares[16:].sum()]
    expected = pytest.approx(np.dot(sums, [8, 8, 4]) / 20, rel=1e-5)
    assert logs["loss"][0] == expected
    assert model.evaluate(X, y, batch_size=8, verbose=0) == expected


def test_a_model_cannot_be_trained_with_a_loss_that_is_not_reduced():
    with pytest.raises(ValueError, match="compile: expected the reduction of mean_squared_error"):
        Sequential([Dense(1)]).compile("sgd", losses.MeanSquaredError(reduction="none"))
    each, y = losses.MeanSquaredError(reduction=None), [[0.0, 2.0], [1.0, 1.0]]
    np.testing.assert_array_equal(each(y, np.ones((2, 2))), [1, 0])
    np.testing.assert_array_equal(each(y, np.ones((2, 2)), [2, 3]), [2, 0])
    np.testing.assert_array_equal(each(y, np.ones((2, 2)), [[2], [3]]), [[2], [0]])


@pytest.mark.parametrize("ignored", [-1, 1, 255])
@pytest.mark.parametrize("from_logits", [True, False])
def test_positions_of_an_ignored_class_cost_nothing(from_logits, ignored):
    """Neither a value nor a gradient, and the mean is taken over the others."""
    loss = losses.SparseCategoricalCrossentropy(from_logits, ignore_class=ignored)
    plain = losses.SparseCategoricalCrossentropy(from_logits)
    y, y_pred = rng.integers(0, 3, (4, 5)), rng.uniform(0.1, 0.8, (4, 5, 3))
    y[0], y[1, 2:], y[y == ignored] = ignored, ignored, ignored
    valid = y != ignored
    expected = plain(y[valid], y_pred[valid])
    assert loss(y, y_pred) == pytest.approx(expected, rel=1e-13)
    weight = rng.random((4, 5))
    weighted = plain(y[valid], y_pred[valid], weight[valid])
    assert loss(y, y_pred, sample_weight=weight) == pytest.approx(weighted, rel=1e-13)
    factors = loss.factors(y, y_pred.shape, None)
    gradient = loss.weighted_backward(y, y_pred, factors) / 4
    assert not gradient[~valid].any()
    flat = plain.backward(y[valid], y_pred[valid]) / valid.sum()
    np.testing.assert_allclose(gradient[valid], flat, rtol=1e-12)
    assert loss(np.full((2, 5), ignored), y_pred[:2]) == 0
    with pytest.raises(ValueError, match="labels from 0 to 2.*received 7"):
        loss(np.full((4, 5), 7), y_pred)


def test_ignored_labels_in_a_model():
    y = np.where(rng.random((20, 1)) < 0.5, -1, rng.integers(0, 3, (20, 1)))
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    for jit_compile in WAYS:
        model = model_of(Dense(3, activation="softmax"), loss=loss, jit_compile=jit_compile)
        expected = loss(y, model.predict(X, verbose=0))
        assert model.evaluate(X, y, verbose=0) == pytest.approx(expected, rel=1e-5)
        assert model.train_on_batch(X, y) == pytest.approx(expected, rel=1e-5)


def cubes(y_true, y_pred):
    return np.mean(np.abs(y_pred - y_true) ** 3, axis=-1)


def their_slopes(y_true, y_pred):
    return 3 * (y_pred - y_true) * np.abs(y_pred - y_true) / y_pred.shape[-1]


def test_a_function_with_its_gradient_is_a_loss(tmp_path):
    loss = losses.Function(cubes, gradient=their_slopes)
    y, y_pred = rng.standard_normal((2, 4, 3, 2))
    assert check_loss(loss, y, y_pred)
    assert loss.name == "cubes"
    assert loss(y, y_pred) == pytest.approx(cubes(y, y_pred).mean(), rel=1e-13)
    np.testing.assert_allclose(loss.losses(y, y_pred), cubes(y, y_pred), rtol=1e-13)
    weight = rng.random((4, 3))
    expected = (weight * cubes(y, y_pred)).mean()
    assert loss(y, y_pred, sample_weight=weight) == pytest.approx(expected, rel=1e-13)
    targets = rng.standard_normal((20, 2))
    model = model_of(Dense(2), loss=loss)
    logs = model.fit(X, targets, epochs=5, verbose=0).history["loss"]
    assert logs[-1] < logs[0]
    model.save(tmp_path / "own.keras")
    with pytest.raises(ValueError, match="cubes"):
        load_model(tmp_path / "own.keras")
    again = load_model(tmp_path / "own.keras", custom_objects={"cubes": loss})
    assert again.evaluate(X, targets, verbose=0) == model.evaluate(X, targets, verbose=0)


@pytest.mark.parametrize("shape", [(20,), (20, 1)])
@pytest.mark.parametrize("jit_compile", WAYS)
def test_a_function_of_labels_is_the_loss_that_it_computes(shape, jit_compile):
    """It gets them as they were given, and "accuracy" is that of labels."""
    sparse = losses.SparseCategoricalCrossentropy(from_logits=True)

    def ours(y_true, y_pred):
        assert y_true.shape == (len(y_pred), *shape[1:])
        return sparse.forward(y_true.reshape(-1), y_pred)

    def its_gradient(y_true, y_pred):
        return sparse.backward(y_true.reshape(-1), y_pred)

    y = rng.integers(0, 3, shape)
    given = losses.Function(ours, its_gradient)
    told = []
    for loss in (given, sparse):
        model = model_of(Dense(3), loss=loss, jit_compile=jit_compile, metrics=["accuracy"])
        model.fit(X, y, epochs=3, verbose=0, validation_data=(X, y))
        told.append(model.evaluate(X, y, verbose=0))
    assert told[0] == pytest.approx(told[1], rel=1e-5)
    weight = rng.random(20)
    found = given(y, np.eye(3)[y.reshape(-1)], sample_weight=weight)
    assert found == pytest.approx(sparse(y, np.eye(3)[y.reshape(-1)], weight), rel=1e-12)


@pytest.mark.parametrize(
    ("function", "gradient", "words"),
    [
        (lambda y, p: np.mean(p), their_slopes, "Take no sum or mean over the samples"),
        (lambda y, p: np.zeros(3), their_slopes, r"shape \(4,\), received \(3,\)"),
        (cubes, lambda y, p: np.zeros(4), "gradient to return an array of y_pred's shape"),
    ],
)
def test_a_function_of_other_shapes_is_refused(function, gradient, words):
    loss = losses.Function(function, gradient)
    with pytest.raises(ValueError, match=words):
        check_loss(loss, np.zeros((4, 2)), np.ones((4, 2)))


def test_a_plain_function_is_told_what_it_lacks():
    with pytest.raises(TypeError, match=r"give it one, losses.Function\(function, gradient=...\)"):
        losses.get(cubes)
    with pytest.raises(TypeError, match="expected gradient to be a function"):
        losses.Function(cubes, gradient=3)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_functions_are_the_classes(kind):
    """One loss for each position, under Keras's name, and a name that compile takes."""
    from cases import rng_of
    from cases.losses import pair

    (function,) = (one for one, cls in losses.functions.CLASSES.items() if cls is kind)
    y, y_pred = pair(rng_of(kind.__name__), kind(), (4, 3, 5))
    each = function(y, y_pred)
    assert each.shape == (4, 3)
    assert each.mean() == pytest.approx(kind()(y, y_pred), rel=1e-12)
    assert getattr(losses, function.__name__) is function
    assert type(losses.get(function)) is kind
    assert type(losses.get(function.__name__.upper())) is kind
    described = losses.serialize(kind(reduction="sum"))
    again = losses.deserialize(described)
    assert type(again) is kind
    assert again.get_config() == described["config"]


def test_short_names():
    names = {"bce": "Binary", "kld": "KL", "mae": "MeanAbsoluteError", "mse": "MeanSquaredError"}
    names |= {"mape": "MeanAbsolutePercentage", "msle": "MeanSquaredLogarithmic"}
    for name, start in names.items():
        assert type(losses.get(name)).__name__.startswith(start)
        assert getattr(losses, name) is getattr(losses, name.upper())


@pytest.mark.parametrize(
    ("kind", "y", "words"),
    [
        (losses.BinaryCrossentropy, [[-1.0], [1.0]], "numbers from 0 to 1 for binary_crossentropy"),
        (losses.BinaryCrossentropy, [[255], [0]], "pixels as x / 255"),
        (losses.Hinge, [[0.0], [-1.0]], "-1 and 1, or 0 and 1, for hinge, received 0 and -1"),
    ],
)
def test_targets_that_a_loss_refuses(kind, y, words):
    with pytest.raises(ValueError, match=words):
        kind()(np.array(y), np.full((2, 1), 0.5))


def test_axes_and_factors_that_do_not_fit():
    y = np.eye(3)[[0, 1]]
    for axis in (0, 2, -2, -3):
        with pytest.raises(
            ValueError, match=f"expected axis of categorical_cross.*received {axis}"
        ):
            losses.CategoricalCrossentropy(axis=axis)(y, y)
    with pytest.raises(ValueError, match="expected alpha of categorical_focal.*3, one for each"):
        losses.CategoricalFocalCrossentropy(alpha=[1, 2])(y, y)


CHOSEN = {
    "one output": (Dense(1, activation="sigmoid"), (20,), losses.BinaryCrossentropy),
    "one output, a column": (Dense(1, activation="sigmoid"), (20, 1), losses.BinaryCrossentropy),
    "labels": (Dense(3, activation="softmax"), (20,), losses.SparseCategoricalCrossentropy),
    "a column": (Dense(3, activation="softmax"), (20, 1), losses.SparseCategoricalCrossentropy),
    "rows": (Dense(3, activation="softmax"), (20, 3), losses.CategoricalCrossentropy),
}


@pytest.mark.parametrize("name", ["crossentropy", "CE"])
@pytest.mark.parametrize("case", CHOSEN)
@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "generator"])
def test_crossentropy_is_the_one_that_suits_the_first_targets(case, name, call, tmp_path):
    last, shape, kind = CHOSEN[case]
    y = rng.integers(0, 2, shape)
    model = Sequential([type(last).from_config(last.get_config())])
    model.compile(SGD(0.1), name, metrics=["accuracy"])
    model.build((None, 4))
    model.save(tmp_path / "model.keras")
    model = load_model(tmp_path / "model.keras")
    named = Sequential([type(last).from_config(last.get_config())])
    named.build((None, 4))
    named.set_weights(model.get_weights())
    named.compile(SGD(0.1), kind(), metrics=["accuracy"])
    for one in (model, named):
        if call == "fit":
            one.fit(X, y, verbose=0, shuffle=False, validation_data=(X, y))
        elif call == "generator":
            one.fit(((X, y) for _ in range(2)), verbose=0, shuffle=False)
        else:
            getattr(one, call)(X, y)
    assert type(model.loss) is kind
    assert model.evaluate(X, y, verbose=0) == named.evaluate(X, y, verbose=0)


def test_crossentropy_that_no_targets_have_suited_yet():
    """An error leaves it open, and what is said before the choice holds after it."""
    model = Sequential([Dense(3, activation="softmax")])
    model.compile("sgd", "ce", metrics=["accuracy"])
    with pytest.raises(ValueError, match="labels from 0 to 2"):
        model.fit(X, np.full(20, 7), verbose=0)
    model.build((None, 4))
    assert model.metrics_names == ["loss", "accuracy"]
    model.fit(X, np.eye(3)[rng.integers(0, 3, 20)], verbose=0)
    assert type(model.loss) is losses.CategoricalCrossentropy
    with pytest.raises(ValueError, match="sparse_categorical"):
        model.fit(X, rng.integers(0, 3, 20), verbose=0)
    with pytest.raises(ValueError, match="crossentropy"):
        losses.get("crossentropy")

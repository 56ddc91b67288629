"""Targets, weights and settings that losses and metrics refuse, and what compile warns of."""

import warnings

import numpy as np
import pytest
from test_losses import Y_PRED as PREDICTED
from test_losses import Y as RIGHT
from test_metrics import MSE

from minicnn import Sequential, losses, metrics
from minicnn.layers import Dense
from minicnn.losses import CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from minicnn.optimizers import SGD
from refusals.helpers import ONE_HOT, SPARSE, X, Y, life_of, refused, trained


@pytest.mark.parametrize(
    ("loss", "metric"),
    [
        (SPARSE, "categorical_accuracy"),
        (SPARSE, "binary_accuracy"),
        (SPARSE, "mae"),
        (SPARSE, "mse"),
        ("categorical_crossentropy", "sparse_categorical_accuracy"),
        ("mse", "sparse_categorical_accuracy"),
    ],
)
def test_a_metric_that_does_not_go_with_the_targets(loss, metric):
    """Instead of a number that means nothing, or NumPy's complaint in the middle of a step."""
    model = trained(loss)
    model.compile("sgd", loss, metrics=[metric])
    y = Y if loss == SPARSE else ONE_HOT
    for call in (model.fit, model.evaluate):
        with refused(ValueError, metric, model=model):
            call(X, y, verbose=0)


@pytest.mark.parametrize(
    ("kind", "y", "y_pred"),
    [
        (metrics.MeanSquaredError, [1, 2], [[1, 2], [3, 4]]),
        (metrics.MeanAbsoluteError, [1, 2], [[1, 2], [3, 4]]),
        (metrics.SparseCategoricalAccuracy, [0, 1], [0.1, 0.9]),
        (metrics.SparseCategoricalAccuracy, [[1, 0], [0, 1]], [[0.1, 0.9], [0.2, 0.8]]),
        (metrics.CategoricalAccuracy, [0, 1], [[0.1, 0.9], [0.2, 0.8]]),
        (metrics.MeanSquaredError, 1.0, 2.0),
    ],
)
def test_metrics_of_shapes_that_do_not_go_together(kind, y, y_pred):
    with refused(ValueError, f"{kind.__name__}: expected"):
        kind()(y, y_pred)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (
            lambda y, p: "good",
            TypeError,
            "metric values: expected its values to be an array of real",
        ),
        (lambda y, p: None, TypeError, "metric values: expected its values to be an array of real"),
        (
            lambda y, p: y[:7],
            ValueError,
            "expected one value a sample, shape (20,), or one number for the batch, received shape",
        ),
        (lambda y, p: [0.5], ValueError, "for the batch, received shape (1,)"),
    ],
)
def test_a_metric_function_with_wrong_values_is_named(values, error, words):
    model = trained()
    values.__name__ = "values"
    model.compile("adam", SPARSE, metrics=[values])
    with refused(error, words):
        model.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize("name", ["", 3])
def test_metrics_refuse_wrong_names(name):
    with refused(TypeError, "MeanSquaredError: expected name to be a non-empty string"):
        metrics.MeanSquaredError(name=name)


def test_weights_of_a_loss_are_one_a_sample():
    loss = losses.MeanSquaredError()
    with refused(ValueError, "MeanSquaredError: expected", "sample_weight", "(3, 2)"):
        loss([[1.0]] * 3, [[2.0]] * 3, sample_weight=np.ones((3, 2)))
    assert loss([[1.0]] * 3, [[2.0]] * 3, sample_weight=np.ones((3, 1))) == 1
    with refused(ValueError, "expected sample_weight to be finite, received nan at index [2]"):
        loss([[1.0]] * 3, [[2.0]] * 3, sample_weight=[1, 1, np.nan])
    with refused(ValueError, "expected sample_weight of at least 0, received -1 at index [1]"):
        loss([[1.0]] * 3, [[2.0]] * 3, sample_weight=[1, -1, 1])


METRICS_NO_LIST = [("accuracy", "['accuracy']"), ("mse", "['mse']")]


@pytest.mark.parametrize(("given", "hint"), METRICS_NO_LIST)
def test_the_list_of_metrics_that_is_offered_is_one_that_is_taken(given, hint):
    model = trained()
    with refused(TypeError, "compile: expected metrics to be a list", f"={hint}", model=model):
        model.compile("adam", SPARSE, metrics=given)
    model.compile("adam", "mse", metrics=eval(hint))


@pytest.mark.parametrize(
    "loss", [losses.SparseCategoricalCrossentropy, losses.CategoricalCrossentropy]
)
def test_from_logits_behind_softmax_is_said_once(loss):
    model = trained()
    with pytest.warns(UserWarning, match=rf"compile: {loss.name} with from_logits=True, but") as w:
        model.compile("adam", loss(from_logits=True))
    assert len(w) == 1
    assert w[0].filename == __file__
    y = Y if loss.name == SPARSE else ONE_HOT
    model.fit(X, y, verbose=0)  # warnings are errors here: not said again
    told = model.evaluate(X, y, verbose=0)
    model.compile("adam", loss())
    assert model.evaluate(X, y, verbose=0) == told  # and the logits it is
    Sequential([Dense(3)]).compile("adam", loss(from_logits=True))


@pytest.mark.parametrize("name", [SPARSE, "categorical_crossentropy"])
def test_crossentropy_of_one_output_teaches_nothing(name):
    model = Sequential([Dense(1, activation="softmax", input_shape=(4,))])
    with pytest.warns(UserWarning, match=f"compile: {name} with one output") as told:
        model.compile("adam", name)
    assert told[0].filename == __file__
    model.compile("adam", "mse")


def test_from_logits_behind_softmax_leaves_the_model_where_warnings_are_errors():
    model = trained()
    before = life_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="from_logits"):
            model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    assert life_of(model) == before


@pytest.mark.parametrize(
    ("y", "error", "words"),
    [
        ([0, -1], ValueError, "labels from 0 to 2, since the model has 3 outputs, received -1"),
        ([0, 3], ValueError, "received 3"),
        ([0, 1.5], ValueError, "whole numbers, received 1.5"),
        ([0, float("nan")], ValueError, "finite"),
        (["a", "b"], TypeError, "real numbers"),
        ([1j, 0], TypeError, "complex"),
        ([[1, 0, 0], [0, 1, 0]], ValueError, "categorical_crossentropy', or y.argmax"),
        ([[1, 0], [0, 1]], ValueError, "one whole-number label"),
    ],
)
def test_wrong_labels(y, error, words):
    with pytest.raises(error, match=words):
        SparseCategoricalCrossentropy()(y, np.full((2, 3), 1 / 3))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([0, 1], r"use loss='sparse_categorical_crossentropy', or .*to_categorical\(y, 3\)"),
        ([[1, 0, 0, 0]] * 2, "one-hot rows of 3 classes"),
        ([[-1, 0, 2]] * 2, "probabilities, received -1"),
        ([[np.inf, 0, 2]] * 2, "finite"),
    ],
)
def test_wrong_one_hot_rows(y, words):
    with pytest.raises(ValueError, match=words):
        CategoricalCrossentropy()(np.array(y), np.full((2, 3), 1 / 3))


def test_wrong_shapes():
    with pytest.raises(ValueError, match="same number of samples"):
        MeanSquaredError()(np.zeros((3, 1)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"y of shape \(N, 2\)"):
        MeanSquaredError()(np.zeros((3, 1)), np.zeros((3, 2)))
    for empty in (3.0, np.zeros(0), np.zeros((0, 2)), np.zeros((2, 0))):
        with pytest.raises(ValueError, match=r"y_pred of shape \(N, ..., C\)"):
            MeanSquaredError()(empty, empty)
    with pytest.raises(TypeError, match="True or False"):
        CategoricalCrossentropy(from_logits="yes")
    assert MeanSquaredError()(np.zeros(3), np.ones((3, 1))) == 1


@pytest.mark.parametrize(
    "shape", [(3,), (2, 2), (3, 2), (3, 1), (2, 3, 2), (1, 3, 1, 3), (0,), (2, 3, 3)]
)
def test_weights_of_other_shapes(shape):
    words = r"sample_weight to be a number or of shape \(2,\) or \(2, 1\), or \(2, 3\) for each "
    with pytest.raises(ValueError, match=f"MeanSquaredError: expected {words}position, received"):
        MeanSquaredError()(RIGHT, PREDICTED, sample_weight=np.ones(shape))


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ("a", TypeError, "sample_weight to be an array of real numbers"),
        ([[1], [2, 3]], TypeError, "sample_weight to be an array of numbers, received a ragged"),
        (-1, ValueError, r"sample_weight of at least 0, received -1\. A neg"),
        ([1, -2], ValueError, r"sample_weight of at least 0, received -2 at index \[1\]"),
        ([[1, 1, 1], [1, -2, 1]], ValueError, "sample_weight of at least 0, received -2"),
        ([1, np.nan], ValueError, r"sample_weight to be finite, received nan at index \[1\]"),
        (np.inf, ValueError, "sample_weight to be finite, received inf"),
    ],
)
def test_losses_refuse_wrong_sample_weights(weights, error, words):
    with pytest.raises(error, match=f"MeanSquaredError: expected {words}"):
        MeanSquaredError()(RIGHT, PREDICTED, sample_weight=weights)


def test_arguments_of_keras_that_have_no_other_setting():
    for make in losses.KNOWN.values():
        loss = make(reduction="sum_over_batch_size", dtype=None, name="mine")
        assert loss.name == "mine"
        with pytest.raises(ValueError, match=f"{make.__name__}: dtype can only be None"):
            make(dtype="float16")
        with pytest.raises(ValueError, match=f"{make.__name__}: expected reduction to be one of"):
            make(reduction="total")
        with pytest.raises(TypeError, match=f"^{make.__name__} got an unexp.*'from_logit'"):
            make(from_logit=True)
        for wrong in ("", 3, np.ones(2)):
            with pytest.raises(TypeError, match=f"{make.__name__}: expected name to be a non-empt"):
                make(name=wrong)


@pytest.mark.parametrize("wrong", [dict, np.float64, Dense, SGD, object])
def test_a_class_that_is_no_metric_is_refused(wrong):
    with pytest.raises(
        TypeError, match="compile: expected metric to be a name, .*the class <class"
    ):
        Sequential([Dense(1)]).compile("sgd", "mse", metrics=[wrong])
    with pytest.raises(TypeError, match="metrics: expected metric to be a name"):
        metrics.get(wrong, MSE, (None, 1))


def test_wrong_calls():
    with pytest.raises(ValueError, match="same number"):
        metrics.MeanSquaredError()([1], [[1], [2]])
    with pytest.raises(ValueError, match="at least one"):
        metrics.MeanSquaredError()([], [])
    with pytest.raises(NotImplementedError, match="values"):
        metrics.Metric()([1], [1])

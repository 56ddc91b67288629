"""Wrong calls of fit and compile, with the engine's fused steps and layer by layer."""

import numpy as np
import pytest
from test_training import X, Y, compiled, network

from minicnn import Sequential
from minicnn.layers import Conv2D, Dense, Flatten
from minicnn.optimizers import Adam
from minicnn.utils import to_categorical

WRONG_FITS = {
    "no samples": (dict(x=X[:0], y=Y[:0]), ValueError, "at least one sample"),
    "x missing": (dict(x=None), TypeError, "expected x to be an array"),
    "y missing": (dict(y=None), TypeError, "expected y"),
    "lengths": (dict(y=Y[:9]), ValueError, "cardinality is ambiguous"),
    "rank": (dict(x=X[:, None, None]), ValueError, r"expected x of shape \(N, 8, 8, 1\)"),
    "size": (dict(x=X[:, :7]), ValueError, r"received \(150, 7, 8\)"),
    "channels": (dict(x=np.zeros((150, 8, 8, 3))), ValueError, r"received \(150, 8, 8, 3\)"),
    "nan": (dict(x=np.where(X > 0.99, np.nan, X)), ValueError, "expected x to be finite"),
    "inf": (dict(x=np.where(X > 0.99, np.inf, X)), ValueError, "np.nan_to_num"),
    "object": (dict(x=X.astype(object)), TypeError, "dtype object"),
    "string": (dict(x=X.astype(str)), TypeError, "real numbers"),
    "complex": (dict(x=X.astype(complex)), TypeError, "complex"),
    "label too large": (dict(y=Y + 1), ValueError, "labels from 0 to 2.*received 3"),
    "label negative": (dict(y=Y - 1), ValueError, "received -1"),
    "label fractional": (dict(y=Y + 0.5), ValueError, "whole numbers"),
    "label nan": (dict(y=np.full(150, np.nan)), ValueError, "finite"),
    "one-hot": (dict(y=to_categorical(Y)), ValueError, "categorical_crossentropy"),
    "batch_size 0": (dict(batch_size=0), ValueError, "batch_size.*>= 1, received 0"),
    "batch_size -1": (dict(batch_size=-1), ValueError, "batch_size"),
    "batch_size 2.5": (dict(batch_size=2.5), TypeError, "batch_size"),
    "epochs": (dict(epochs=-1), ValueError, "epochs"),
    "initial_epoch": (dict(initial_epoch=-1), ValueError, "initial_epoch"),
    "validation_freq": (dict(validation_freq=0), ValueError, "validation_freq"),
    "validation_split 1": (dict(validation_split=1.0), ValueError, r"number in \(0, 1\)"),
    "validation_split -0.1": (dict(validation_split=-0.1), ValueError, "validation_split"),
    "validation_split nan": (dict(validation_split=np.nan), ValueError, "validation_split"),
    "validation_split tiny": (dict(validation_split=0.999), ValueError, "some on both sides"),
    "validation_data": (dict(validation_data=X), ValueError, "x_val, y_val"),
    "validation labels": (dict(validation_data=(X, Y + 1)), ValueError, "validation_data.*labels"),
    "validation shape": (dict(validation_data=(X[:, :3], Y)), ValueError, "validation_data"),
    "verbose": (dict(verbose=3), ValueError, "verbose"),
    "sample_weight": (dict(sample_weight=np.ones(3)), ValueError, "sample_weight of shape"),
    "sample_weight nan": (dict(sample_weight=Y * np.nan), ValueError, "sample_weight"),
    "class_weight": (dict(class_weight=[1, 2]), TypeError, "class_weight to be a dict"),
    "class_weight value": (dict(class_weight={0: -1}), ValueError, "class_weight"),
}


@pytest.mark.both_ways
@pytest.mark.parametrize(("change", "error", "words"), WRONG_FITS.values(), ids=WRONG_FITS.keys())
def test_wrong_fits(change, error, words):
    model = compiled()
    before, state = model.get_weights(), dict(vars(model))
    with pytest.raises(error, match=words):
        model.fit(**{"x": X, "y": Y, "verbose": 0, **change})
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)
    assert vars(model) == state
    assert model.optimizer.iterations == 0


@pytest.mark.both_ways
def test_a_wrong_fit_does_not_build():
    model = Sequential([Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="labels"):
        model.fit(np.ones((3, 2)), [0, 1, 2])
    assert not model.built


@pytest.mark.both_ways
def test_order_of_calls_matters():
    model = network()
    for call in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match=r"Call compile\(optimizer=..., loss=...\) first"):
            call(X, Y)
    model.compile("adam")
    with pytest.raises(ValueError, match="compile"):
        model.fit(X, Y)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.add(Dense(4))  # it stays compiled
    model.fit(X, Y, verbose=0)


@pytest.mark.both_ways
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"optimizer": "adm"}, ValueError, "adam, adamax, adamw, lion, nadam, rmsprop, sgd"),
        ({"loss": "nll"}, ValueError, "categorical_crossentropy, .*mean_squared_error"),
        ({"metrics": ["accuray"]}, ValueError, "acc, accuracy"),
        ({"metrics": "accuracy"}, TypeError, r"Write metrics=\['accuracy'\]"),
        ({"metrics": [3]}, TypeError, "metric"),
        ({"loss": lambda y, p: 0}, TypeError, "subclass Loss"),
    ],
)
def test_wrong_compiles(arguments, error, words):
    model = compiled()
    before = dict(vars(model))
    with pytest.raises(error, match=words):
        model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    assert vars(model) == before


@pytest.mark.both_ways
def test_predict_names_the_way_out_for_one_image():
    with pytest.raises(ValueError, match=r"For one sample add a batch axis: x\[None\]"):
        compiled().predict(X[0])


@pytest.mark.both_ways
def test_validation_of_another_shape_is_refused_before_an_unbuilt_model_is_built():
    model = Sequential([Flatten(), Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"validation_data: expected x of shape \(N, 8, 8\)"):
        model.fit(X, Y, validation_data=(X[:, :4], Y))
    assert not model.built


@pytest.mark.both_ways
def test_arguments_that_ask_for_nothing_are_taken_and_others_named():
    Conv2D(2, 3, data_format="channels_last", dilation_rate=1, groups=1, kernel_regularizer=None)
    Adam(amsgrad=False, clipnorm=None)
    with pytest.raises(ValueError, match="data_format can only be None or 'channels_last' here"):
        Conv2D(2, 3, data_format="channels_first")
    with pytest.raises(ValueError, match="loss_scale_factor can only be None here, received 1.0"):
        Adam(loss_scale_factor=1.0)
    model = compiled()
    model.fit(X, Y, steps_per_epoch=None, verbose=0)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="steps_per_epoch to be an integer >= 1"):
            model.fit(X, Y, steps_per_epoch=wrong, verbose=0)

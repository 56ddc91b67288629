"""Spellings of Keras 1 and 2: those that work, and those whose error names today's."""

import importlib
import json

import numpy as np
import pytest

from minicnn import Sequential, backend, callbacks, optimizers
from minicnn.layers import (
    Convolution2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
)
from minicnn.models import load_model
from minicnn.optimizers import SGD, Adam, RMSprop, schedules

X = np.random.default_rng(0).random((12, 4)).astype("float32")
Y = np.arange(12) % 3


def compiled(optimizer="sgd", outputs=3):
    model = Sequential([Input((4,)), Dense(5, "relu"), Dense(outputs, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# -- lr and decay ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", optimizers.KNOWN.values(), ids=lambda kind: kind.__name__)
def test_lr_is_another_name_of_the_learning_rate(kind):
    optimizer = kind(lr=0.25)
    assert optimizer.lr == optimizer.learning_rate == 0.25
    optimizer.lr = 0.5
    assert optimizer.learning_rate == 0.5
    optimizer.lr.assign(0.125)
    backend.set_value(optimizer.lr, 2 * backend.get_value(optimizer.lr))
    assert optimizer.learning_rate == 0.25
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=f"{kind.__name__}: expected learning_rate"):
            optimizer.lr = wrong
    with pytest.raises(ValueError, match=f"{kind.__name__}: expected learning_rate or lr"):
        kind(0.75, lr=0.25)
    assert "lr" not in kind(lr=0.25).get_config()


@pytest.mark.parametrize("kind", optimizers.KNOWN.values(), ids=lambda kind: kind.__name__)
def test_decay_divides_the_rate_of_step_t_by_1_plus_decay_t(kind):
    w, by_hand = np.ones(3), np.ones(3)
    optimizer, other = kind(0.5, decay=0.25), kind(0.5)
    for t in range(6):
        g = np.array([1.0, -2.0, 0.5]) * (t + 1)
        other.learning_rate = 0.5 / (1 + 0.25 * t)
        optimizer.update(w, g)
        other.update(by_hand, g)
        np.testing.assert_allclose(w, by_hand, rtol=1e-12)
    assert optimizer.learning_rate == 0.5  # where it starts from, as in Keras 2
    assert optimizer.decay == 0.25


def test_decay_by_hand():
    w = np.array([10.0])
    sgd = SGD(1.0, decay=1.0)
    steps = []
    for _ in range(4):
        before = w.copy()
        sgd.update(w, np.array([1.0]))
        steps.append(float(before[0] - w[0]))
    assert steps == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])


@pytest.mark.both_ways
def test_decay_in_fit_is_inverse_time_decay_also_behind_a_callback():
    paths = []
    for optimizer in (
        SGD(lr=0.5, decay=0.1, momentum=0.9, nesterov=True),
        SGD(schedules.InverseTimeDecay(0.5, 1, 0.1), momentum=0.9, nesterov=True),
    ):
        model = compiled(optimizer)
        model.set_weights(
            [np.linspace(-1, 1, w.size).reshape(w.shape) for w in model.get_weights()]
        )
        model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0)
        paths.append(model.flat_params.copy())
    np.testing.assert_allclose(*paths, rtol=1e-6)
    model = compiled(SGD(lr=0.5, decay=1e-6))
    halved = callbacks.LearningRateScheduler(lambda epoch: 0.5 * 0.5**epoch)
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[halved])
    assert history.history["learning_rate"] == [0.5, 0.25, 0.125]


def test_decay_is_kept_and_checked(tmp_path):
    adam = Adam(decay=0.5)
    assert "decay=0.5" in repr(adam)
    again = Adam.from_config(json.loads(json.dumps(adam.get_config())))
    assert again.decay == 0.5
    assert "decay" not in Adam().get_config()
    assert "decay=" not in repr(Adam())
    model = compiled(RMSprop(decay=0.5))
    model.save(tmp_path / "m.keras")
    assert load_model(tmp_path / "m.keras").optimizer.decay == 0.5
    for wrong, error in ((-1, ValueError), ("1e-6", TypeError), (None, TypeError)):
        with pytest.raises(error, match="SGD: expected decay"):
            SGD(decay=wrong)


def test_a_callback_of_keras_2_reads_and_writes_lr():
    seen = []

    class Halving(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            lr = float(backend.get_value(self.model.optimizer.lr))
            seen.append(lr)
            backend.set_value(self.model.optimizer.lr, lr / 2)

    compiled(SGD(lr=0.5)).fit(X, Y, epochs=3, verbose=0, callbacks=[Halving()])
    assert seen == [0.5, 0.25, 0.125]


# -- methods --------------------------------------------------------------------------------------


def batches():
    while True:
        for start in range(0, 12, 4):
            yield X[start : start + 4], Y[start : start + 4]


def test_the_generator_methods_are_fit_evaluate_and_predict():
    first, second = compiled(), compiled()
    second.set_weights(first.get_weights())
    history = first.fit_generator(
        batches(),
        steps_per_epoch=3,
        epochs=2,
        verbose=0,
        validation_data=batches(),
        validation_steps=3,
        max_queue_size=5,
        workers=4,
        use_multiprocessing=True,
    )
    other = second.fit(
        batches(),
        steps_per_epoch=3,
        epochs=2,
        verbose=0,
        validation_data=batches(),
        validation_steps=3,
    )
    assert history.history == other.history
    judged = first.evaluate_generator(batches(), steps=3)
    assert judged == pytest.approx(first.evaluate(X, Y, 4, verbose=0), rel=1e-14)
    np.testing.assert_array_equal(
        first.predict_generator(batches(), 3, workers=2), second.predict(X, 4, verbose=0)
    )
    for method in (first.fit_generator, first.evaluate_generator, first.predict_generator):
        with pytest.raises(TypeError, match="workers"):
            method(batches(), workers="4")


def test_predict_classes_and_predict_proba():
    model = compiled()
    y = model.predict(X, verbose=0)
    np.testing.assert_array_equal(model.predict_proba(X), y)
    np.testing.assert_array_equal(model.predict_classes(X, batch_size=5), y.argmax(axis=1))
    one = Sequential([Input((4,)), Dense(1, "sigmoid")])
    one.set_weights([[[1], [1], [1], [1]], [-2]])
    classes = one.predict_classes(X)
    assert (classes.shape, classes.dtype) == ((12, 1), np.int32)
    assert classes[:, 0].tolist() == (X.sum(axis=1) > 2).tolist()


# -- modules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("layers.core", "Dense"),
        ("layers.core", "Dropout"),
        ("layers.convolutional", "Conv2D"),
        ("layers.convolutional", "MaxPooling2D"),
        ("layers.pooling", "MaxPooling2D"),
        ("layers.normalization", "BatchNormalization"),
        ("layers.advanced_activations", "LeakyReLU"),
        ("optimizers.legacy", "SGD"),
        ("optimizers.adam", "Adam"),
        ("optimizers.adam_v2", "Adam"),
        ("optimizers.rmsprop_v2", "RMSprop"),
        ("optimizers.gradient_descent_v2", "SGD"),
        ("utils.np_utils", "to_categorical"),
    ],
)
def test_modules_of_keras_2_are_there(module, name):
    package = module.partition(".")[0]
    today = getattr(importlib.import_module(f"minicnn.{package}"), name)
    assert getattr(importlib.import_module(f"minicnn.{module}"), name) is today


def test_legacy_optimizers_and_preprocessing_are_attributes():
    import minicnn

    assert minicnn.optimizers.legacy.Adam is Adam
    assert minicnn.preprocessing.image.ImageDataGenerator
    from minicnn.optimizers import adam_v2

    assert adam_v2.Adam is Adam


# -- what names today's spelling ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "old", "new"),
    [
        (lambda: Convolution2D(8, 3, border_mode="same"), "border_mode", "padding"),
        (lambda: MaxPooling2D(border_mode="same"), "border_mode", "padding"),
        (lambda: DepthwiseConv2D(3, subsample=(2, 2)), "subsample", "strides"),
        (lambda: Dense(3, init="uniform"), "init", "kernel_initializer"),
        (lambda: Dense(3, W_regularizer="l2"), "W_regularizer", "kernel_regularizer"),
        (lambda: Dense(3, b_regularizer="l2"), "b_regularizer", "bias_regularizer"),
        (lambda: Dense(3, W_constraint="max_norm"), "W_constraint", "kernel_constraint"),
        (lambda: Convolution2D(8, 3, dim_ordering="tf"), "dim_ordering", r"\(N, H, W, C\)"),
        (lambda: Convolution2D(8, 3, nb_filter=8), "nb_filter", "filters"),
        (lambda: Dense(3, output_dim=3), "output_dim", "units"),
        (lambda: Flatten(batch_input_shape=(None, 3)), "batch_input_shape", "input_shape"),
        (lambda: compiled().fit(X, Y, nb_epoch=2), "nb_epoch", "epochs"),
        (lambda: compiled().fit(X, Y, samples_per_epoch=2), "samples_per_epoch", "steps_per_epoch"),
        (lambda: compiled().fit(X, Y, show_accuracy=True), "show_accuracy", "metrics"),
        (lambda: compiled().fit(X, Y, workers=4), "workers", "PyDataset"),
    ],
)
def test_what_does_not_work_names_today_s_spelling(make, old, new):
    with pytest.raises(TypeError, match=rf"unexpected keyword argument '{old}'.*{new}"):
        make()


@pytest.mark.parametrize(
    ("make", "new"),
    [
        (lambda: Dense(output_dim=3), "units"),
        (lambda: Dropout(p=0.5), "rate"),
        (lambda: Convolution2D(nb_filter=3, nb_row=3, nb_col=3), "filters"),
    ],
)
def test_a_first_argument_by_its_old_name_is_missed_by_its_new_one(make, new):
    with pytest.raises(TypeError, match=new):
        make()

"""`minicnn.diagnose`: planted faults are named with their remedy, healthy trainings are not."""

import copy

import numpy as np
import pytest

import minicnn
from minicnn import Sequential
from minicnn.callbacks import Watch
from minicnn.diagnosis import Diagnosis
from minicnn.initializers import Constant, RandomNormal
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    Rescaling,
)
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from minicnn.utils import set_random_seed, to_categorical

CLASSES = 4
SPARSE = "sparse_categorical_crossentropy"


def images(n=240, seed=0, noise=0.15):
    """Pixels from 0 to 1: a bright quarter says which of four classes it is."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % CLASSES)
    x = rng.random((n, 8, 8, 1)) * noise * 2
    for k in range(CLASSES):
        top, left = 4 * (k // 2), 4 * (k % 2)
        x[y == k, top : top + 4, left : left + 4] += 0.5
    return x.astype("float32"), y


def dense(*hidden, activation="relu", initializer="glorot_uniform", **last):
    """A network of dense layers on these images."""
    layers = [Dense(n, activation=activation, kernel_initializer=initializer) for n in hidden]
    return Sequential([Input((8, 8, 1)), Flatten(), *layers, Dense(CLASSES, "softmax", **last)])


def compiled(model, optimizer="adam", loss=SPARSE):
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def warning(found, kind):
    (one,) = [w for w in found.warnings if w.kind == kind]
    assert all((one.measured, one.means, one.remedy))
    return one


def not_scaled():
    x, y = images()
    return compiled(dense(16)), x * 255, y


def scaled_twice():
    x, y = images()
    return compiled(dense(16)), x / 255, y


def counted_from_one():
    x, y = images()
    return compiled(dense(16)), x, y + 1


def class_missing():
    x, y = images()
    return compiled(dense(16)), x[y != 2], y[y != 2]


def dead():
    model = compiled(dense(16, 16))
    model.layers[2].params["b"][...] = -50
    return model, *images()


def saturated():
    return compiled(dense(32, 32, activation="tanh", initializer=RandomNormal(0, 5))), *images()


def vanishing():
    return compiled(dense(*[16] * 10, activation="sigmoid")), *images()


def exploding():
    return compiled(dense(*[32] * 4, initializer=RandomNormal(0, 2))), *images()


def identical():
    return compiled(dense(16, initializer="zeros")), *images()


def too_large():
    return compiled(dense(16), SGD(50.0)), *images()


def too_large_for_adam():
    return compiled(dense(16, 16), Adam(1.0)), *images()


def too_small():
    return compiled(dense(16), SGD(1e-6)), *images()


def too_small_for_adam():
    return compiled(dense(16), Adam(1e-7)), *images()


def wild_outputs():
    return compiled(dense(16, kernel_initializer=RandomNormal(0, 8))), *images()


def logits():
    return compiled(Sequential([Input((8, 8, 1)), Flatten(), Dense(CLASSES)])), *images()


def logits_of_yes_or_no():
    x, y = images()
    model = Sequential([Input((8, 8, 1)), Flatten(), Dense(1)])
    return compiled(model, loss="binary_crossentropy"), x, y % 2


FAULTS = {
    not_scaled: ("inputs_not_scaled", "x / 255"),
    scaled_twice: ("inputs_too_small", "Scale once"),
    counted_from_one: ("labels_out_of_range", "y - 1"),
    class_missing: ("classes_missing", "Shuffle"),
    dead: ("dead_relus", "LeakyReLU"),
    saturated: ("saturated_units", "glorot_uniform"),
    vanishing: ("vanishing_gradients", "ReLU"),
    exploding: ("exploding_gradients", "he_normal"),
    identical: ("units_identical", "random initializer"),
    too_large: ("learning_rate_too_large", "smaller"),
    too_large_for_adam: ("learning_rate_too_large", "smaller"),
    too_small: ("learning_rate_too_small", "larger"),
    too_small_for_adam: ("learning_rate_too_small", "larger"),
    logits: ("outputs_not_probabilities", "softmax"),
    logits_of_yes_or_no: ("outputs_not_probabilities", "sigmoid"),
    wild_outputs: ("first_loss_too_large", "initializers"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_planted_fault_is_named_with_its_remedy(fault, seed):
    set_random_seed(seed)
    kind, remedy = FAULTS[fault]
    found = minicnn.diagnose(*fault())
    assert found.kinds[0] == kind, found
    assert remedy in warning(found, kind).remedy
    assert not found
    assert not found.ok


def curves(**given):
    return {name: list(values) for name, values in given.items()}


HISTORIES = {
    "overfitting": (
        curves(loss=[1.3, 0.8, 0.4, 0.2, 0.1, 0.05], val_loss=[1.3, 1.0, 0.9, 1.1, 1.4, 1.7]),
        "EarlyStopping",
    ),
    "underfitting": (curves(loss=[1.39, 1.1, 1.0, 0.99, 0.99, 0.99]), "More units"),
    "loss_does_not_move": (curves(loss=[1.387, 1.386, 1.386, 1.386]), "find_learning_rate"),
    "learning_rate_too_large": (curves(loss=[1.3, 0.9, 1.5, 2.0]), "smaller"),
    "loss_not_finite": (curves(loss=[1.3, np.nan]), "clipnorm"),
}


@pytest.mark.parametrize("kind", HISTORIES)
def test_what_the_curves_say(kind):
    set_random_seed(0)
    history, remedy = HISTORIES[kind]
    found = minicnn.diagnose(compiled(dense(16)), *images(), history)
    assert found.kinds == [kind], found
    assert remedy in warning(found, kind).remedy


def test_a_gap_of_accuracy_is_overfitting_too():
    history = curves(
        loss=[1.0, 0.3, 0.05],
        val_loss=[1.1, 0.9, 0.9],
        accuracy=[0.5, 0.9, 1.0],
        val_accuracy=[0.5, 0.7, 0.7],
    )
    found = minicnn.diagnose(compiled(dense(16)), *images(), history)
    assert found.kinds == ["overfitting"]


def test_why_validation_is_above_training_is_a_fact():
    model = Sequential(
        [Input((8, 8, 1)), Flatten(), Dropout(0.5, name="drop"), Dense(4, "softmax")]
    )
    history = curves(loss=[1.3, 0.9, 0.7], val_loss=[1.2, 0.7, 0.5])
    found = minicnn.diagnose(compiled(model), *images(), history)
    (fact,) = [one for one in found.facts if one.kind == "validation_above_training"]
    assert "drop" in fact.text
    assert found.ok


# -- healthy trainings ----------------------------------------------------------------------------


def convolutional(activation="relu"):
    return Sequential(
        [
            Input((8, 8, 1)),
            Conv2D(4, 3, activation=activation, kernel_initializer="he_normal"),
            MaxPooling2D(),
            Flatten(),
            Dense(16, activation=activation),
            Dropout(0.25),
            Dense(CLASSES, "softmax"),
        ]
    )


def normalized():
    return Sequential(
        [
            Input((8, 8, 1)),
            Rescaling(1.0),
            Conv2D(4, 3, use_bias=False),
            BatchNormalization(),
            Flatten(),
            Dense(CLASSES, "softmax"),
        ]
    )


HEALTHY = {
    "adam": lambda: compiled(convolutional()),
    "sgd": lambda: compiled(convolutional(), SGD(0.05, momentum=0.9)),
    "tanh": lambda: compiled(convolutional("tanh"), "rmsprop"),
    "batch normalization": lambda: compiled(normalized()),
    "dense": lambda: compiled(dense(32, 16), Adam(0.003)),
}


def healthy(kind, seed):
    set_random_seed(seed)
    x, y = images(320, seed)
    model = HEALTHY[kind]()
    before = minicnn.diagnose(model, x[:240], y[:240])
    assert before.ok, before
    validation = (x[240:], y[240:])
    model.fit(x[:240], y[:240], 16, epochs=8, verbose=0, validation_data=validation)
    after = minicnn.diagnose(model, x[:240], y[:240])
    assert after.ok, after
    assert {"training", "validation", "confused_classes"} <= {one.kind for one in after.facts}


@pytest.mark.parametrize("kind", HEALTHY)
def test_no_warning_where_nothing_is_wrong(kind):
    healthy(kind, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
@pytest.mark.parametrize("kind", HEALTHY)
def test_no_warning_in_twenty_seeds(kind, seed):
    healthy(kind, seed)


@pytest.mark.parametrize(
    ("outputs", "loss", "targets"),
    [
        (Dense(CLASSES, "softmax"), "categorical_crossentropy", lambda y: to_categorical(y, 4)),
        (Dense(1, "sigmoid"), "binary_crossentropy", lambda y: y % 2),
        (Dense(CLASSES), SparseCategoricalCrossentropy(from_logits=True), lambda y: y),
        (Dense(1), "mse", lambda y: y.astype(float)),
        (Dense(CLASSES, "softmax"), "crossentropy", lambda y: y),
    ],
)
def test_other_losses(outputs, loss, targets):
    set_random_seed(0)
    x, y = images()
    model = compiled(
        Sequential([Input((8, 8, 1)), Flatten(), Dense(8, "relu"), outputs]), loss=loss
    )
    assert minicnn.diagnose(model, x, targets(y)).ok
    model.fit(x, targets(y), epochs=3, verbose=0)
    assert minicnn.diagnose(model, x, targets(y)).ok


# -- the call -------------------------------------------------------------------------------------


def test_the_model_is_untouched():
    set_random_seed(0)
    x, y = images(64)
    one = compiled(Sequential([*normalized().layers[:-1], Dropout(0.5), Dense(CLASSES)]))
    one.fit(x, y, verbose=0)
    other = copy.deepcopy(one)
    minicnn.diagnose(one, x, y)
    assert one.optimizer.iterations == other.optimizer.iterations == 2
    for model in (one, other):
        model.fit(x, y, epochs=2, verbose=0)
    for mine, its in zip(one.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(mine, its)
    assert one.history.history == other.history.history


def test_a_model_that_is_not_built_stays_so():
    x, y = images(64)
    model = compiled(Sequential([Flatten(), Dense(CLASSES, "softmax")]))
    assert minicnn.diagnose(model, x, y)
    assert not model.built


def test_the_report_can_be_read_and_asked():
    set_random_seed(0)
    found = minicnn.diagnose(*not_scaled())
    assert isinstance(found, Diagnosis)
    text = str(found)
    assert repr(found) == text
    assert max(map(len, text.splitlines())) <= 88
    assert text.index("Inputs: 240 samples") < text.index("Warning: inputs_not_scaled")
    assert "Try:" in text
    assert "log(4) = 1.39" in text.replace("\n    ", " ")
    assert "inputs_not_scaled" in found._repr_html_()
    assert "Nothing wrong" in str(minicnn.diagnose(compiled(dense(16)), *images()))


def test_the_layers_concerned_are_named():
    model, x, y = dead()
    found = minicnn.diagnose(model, x, y)
    assert warning(found, "dead_relus").layers == (model.layers[2].name,)


def test_a_constant_bias_far_below_zero_kills_relus_after_training_too():
    set_random_seed(0)
    x, y = images()
    hidden = Dense(16, "relu", bias_initializer=Constant(-30.0))
    last = Dense(CLASSES, "softmax")
    model = compiled(Sequential([Input((8, 8, 1)), Flatten(), hidden, last]))
    model.fit(x, y, epochs=4, verbose=0)
    found = minicnn.diagnose(model, x, y)
    assert found.kinds[0] == "dead_relus"
    assert "loss_does_not_move" in found.kinds


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": "no model"}, TypeError, "model to be a Sequential"),
        ({"model": dense(4)}, ValueError, "compile"),
        ({"y": None}, TypeError, "the targets"),
        ({"y": [0.5] * 64}, ValueError, "whole numbers"),
        ({"y": [np.inf] * 64}, ValueError, "inf"),
        ({"x": np.zeros((64, 3))}, ValueError, "shape"),
        ({"y": np.ones(63, int)}, ValueError, "63"),
        ({"y": np.full(63, 9)}, ValueError, "63"),
        ({"history": [1, 2]}, TypeError, "history"),
        ({"history": {"accuracy": [1.0]}}, ValueError, "the loss of each epoch"),
        ({"history": {"loss": ["much"]}}, TypeError, "history"),
    ],
)
def test_bad_arguments_are_refused(change, error, words):
    x, y = images(64)
    given = {"model": compiled(dense(4)), "x": x, "y": y, **change}
    with pytest.raises(error, match=words):
        minicnn.diagnose(**given)


# -- the callback ---------------------------------------------------------------------------------


def test_the_callback_looks_after_every_epoch_and_prints_at_the_end(capsys):
    set_random_seed(0)
    x, y = images()
    model = compiled(dense(16))
    watch = Watch(x, y)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[watch])
    assert [epochs for epochs, _ in watch.diagnoses] == [0, 1, 2, 3]
    assert capsys.readouterr().out == f"{watch.diagnoses[-1][1]}\n"
    assert "3 epochs" in str(watch.diagnoses[-1][1])


def test_the_callback_says_when_a_problem_was_seen():
    set_random_seed(0)
    x, y = images()
    said = []
    model = compiled(dense(16, 16), SGD(20.0))
    model.fit(x, y, epochs=2, verbose=0, callbacks=[Watch(x, y, said.append)])
    (text,) = said
    assert text.startswith("While it trained\n  - learning_rate_too_large: seen before training")


def test_the_callback_leaves_the_training_alone():
    x, y = images(64)
    weights = []
    for callbacks in ([], [Watch(x, y, lambda text: None)]):
        set_random_seed(0)
        model = compiled(convolutional())
        model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks)
        weights.append(model.get_weights())
    for mine, its in zip(*weights):
        np.testing.assert_array_equal(mine, its)


def test_the_callback_reports_a_loss_that_is_not_finite_before_fit_ends():
    set_random_seed(0)
    x, y = images()
    said = []
    model = Sequential([Input((8, 8, 1)), Flatten(), Dense(8), Dense(1)])
    model.compile(SGD(1e3), "mse")
    with pytest.raises(FloatingPointError):
        model.fit(x, y, epochs=5, verbose=0, callbacks=[Watch(x, y, said.append)])
    (text,) = said
    assert "loss_not_finite" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [({"x": "no array"}, "x"), ({"y": None}, "y"), ({"print_fn": 3}, "print_fn")],
)
def test_bad_arguments_of_the_callback_are_refused(change, words):
    with pytest.raises((TypeError, ValueError), match=f"Watch: expected {words}"):
        Watch(**{"x": [[1.0]], "y": [0], **change})


def test_the_callback_refuses_data_of_another_shape_before_anything_is_trained():
    x, y = images(64)
    model = compiled(dense(4))
    with pytest.raises(ValueError, match="shape"):
        model.fit(x, y, verbose=0, callbacks=[Watch(x[:, :4], y)])
    assert model.optimizer.iterations == 0

"""Arguments of fit, evaluate, predict, compile and the other calls of a model."""

import numpy as np
import pytest
from test_robustness import SPARSE, network
from test_robustness import X as IMAGES
from test_robustness import Y as CLASSES

from minicnn import Input, Sequential
from minicnn.layers import Conv2D, Dense, Flatten
from refusals.helpers import ONE_HOT, X, Y, life_of, refused, trained, with_one

NOT_A_COUNT = [
    (0, ValueError),
    (-1, ValueError),
    (2.5, TypeError),
    ("32", TypeError),
    (True, TypeError),
    (np.float32(3), TypeError),
]


STEERED = {
    "fit": lambda model, **given: model.fit(X, Y, **{"verbose": 0, **given}),
    "evaluate": lambda model, **given: model.evaluate(X, Y, **{"verbose": 0, **given}),
    "predict": lambda model, **given: model.predict(X, **{"verbose": 0, **given}),
}


@pytest.mark.parametrize("door", STEERED)
@pytest.mark.parametrize(("value", "error"), NOT_A_COUNT)
def test_batch_size_has_to_be_a_positive_integer(door, value, error):
    model = trained()
    words = f"{door}: expected batch_size to be an integer >= 1, received {value!r}"
    with refused(error, words, model=model):
        STEERED[door](model, batch_size=value)


WRONG_IN_FIT = {
    "epochs -1": ({"epochs": -1}, ValueError, "epochs to be an integer >= 0, received -1"),
    "epochs 2.5": ({"epochs": 2.5}, TypeError, "epochs to be an integer >= 0, received 2.5"),
    "epochs None": ({"epochs": None}, TypeError, "epochs to be an integer >= 0, received None"),
    "initial_epoch": ({"initial_epoch": 1.0}, TypeError, "initial_epoch to be an integer"),
    "validation_freq": (
        {"validation_freq": 0},
        ValueError,
        "validation_freq to be an integer >= 1",
    ),
    "validation_split 1": ({"validation_split": 1}, ValueError, "in (0, 1), received 1"),
    "validation_split 2": ({"validation_split": 2}, ValueError, "in (0, 1), received 2"),
    "validation_split -0.1": ({"validation_split": -0.1}, ValueError, "in (0, 1), received -0.1"),
    "validation_split nan": ({"validation_split": np.nan}, ValueError, "in (0, 1), received nan"),
    "validation_split text": ({"validation_split": "20%"}, TypeError, "in (0, 1), received '20%'"),
    "validation_split False": ({"validation_split": False}, TypeError, "(0, 1), received False"),
    "validation_split array": ({"validation_split": X[0, 0]}, TypeError, "in (0, 1), received arr"),
    "validation_split tiny": ({"validation_split": 0.999}, ValueError, "0.999 of 20 samples"),
    "validation_data x alone": ({"validation_data": (X,)}, ValueError, "(x_val, y_val)"),
    "validation_data of four": ({"validation_data": (X, Y, Y, Y)}, ValueError, "received tuple"),
    "validation_data an array": ({"validation_data": X}, ValueError, "received ndarray"),
    "validation_data lengths": ({"validation_data": (X, Y[:3])}, ValueError, "'y' sizes 3"),
    "validation weights": ({"validation_data": (X, Y, Y[:3])}, ValueError, "of shape (20,)"),
    "callbacks a function": ({"callbacks": print}, TypeError, "Callback objects, received <built"),
    "callbacks of names": ({"callbacks": ["stop"]}, TypeError, "received ['stop']"),
    "verbose 3": ({"verbose": 3}, ValueError, "verbose to be 0, 1, 2 or 'auto', received 3"),
    "verbose text": ({"verbose": "loud"}, ValueError, "or 'auto', received 'loud'"),
    "verbose an array": ({"verbose": np.array([1, 2])}, ValueError, "received array([1, 2])"),
    "verbose None": ({"verbose": None}, ValueError, "or 'auto', received None"),
    "sample_weight short": ({"sample_weight": [1, 2]}, ValueError, "shape (20,), received (2,)"),
    "sample_weight of classes": ({"sample_weight": ONE_HOT}, ValueError, "received (20, 3)"),
    "sample_weight inf": ({"sample_weight": np.full(20, np.inf)}, ValueError, "received inf at"),
    "sample_weight nan": ({"sample_weight": np.full(20, np.nan)}, ValueError, "received nan at"),
    "sample_weight negative": (
        {"sample_weight": with_one(np.ones(20), 4, -2)},
        ValueError,
        "sample_weight of at least 0, received -2.0 at index [4]",
    ),
    "validation weights negative": (
        {"validation_data": (X, Y, -np.ones(20))},
        ValueError,
        "fit validation_data: expected sample_weight of at least 0, received -1.0",
    ),
    "sample_weight text": ({"sample_weight": ["a"] * 20}, TypeError, "sample_weight to be an arr"),
    "class_weight a list": ({"class_weight": [1, 2, 3]}, TypeError, "a dict of class to factor"),
    "class_weight negative": ({"class_weight": {1: -2}}, ValueError, "class_weight[1] to be a num"),
    "class_weight nan": ({"class_weight": {1: np.nan}}, ValueError, "received nan"),
    "class_weight text": ({"class_weight": {1: "2"}}, TypeError, "received '2'"),
    "class_weight of class 7": ({"class_weight": {7: 2.0}}, ValueError, "class_weight"),
    "class_weight of class -1": ({"class_weight": {-1: 2.0}}, ValueError, "class_weight"),
    "class_weight of '1'": ({"class_weight": {"1": 2.0}}, TypeError, "class_weight"),
    "class_weight of 0.5": ({"class_weight": {0.5: 2.0}}, (TypeError, ValueError), "class_weight"),
    "shuffle text": ({"shuffle": "False"}, TypeError, "shuffle"),
}


@pytest.mark.parametrize("wrong", WRONG_IN_FIT)
def test_wrong_settings_of_fit(wrong):
    given, error, words = WRONG_IN_FIT[wrong]
    model = trained()
    with refused(error, "fit", "expected", words, model=model):
        STEERED["fit"](model, **given)


@pytest.mark.parametrize("door", ["evaluate", "predict"])
@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"verbose": "loud"}, ValueError, "'auto', received 'loud'"),
        ({"callbacks": [3]}, TypeError, "Callback objects, received [3]"),
    ],
)
def test_wrong_settings_of_evaluate_and_predict(door, given, error, words):
    model = trained()
    with refused(error, f"{door}: expected", words, model=model):
        STEERED[door](model, **given)


def test_calls_without_compile_or_layers_are_refused():
    unbuilt, empty = Sequential([Dense(2)]), Sequential()
    for model in (unbuilt, empty):
        for call in (model.fit, model.evaluate, model.train_on_batch):
            with refused(ValueError, "Call compile(optimizer=..., loss=...) first", model=model):
                call(X, Y)
        model.compile("sgd", "mse")
    for call in (empty.predict, empty.predict_on_batch):
        with refused(ValueError, "has no layers; add some first", model=empty):
            call(X)
    with refused(ValueError, "has no layers; add some first", model=empty):
        empty.fit(X, Y)
    with refused(ValueError, "no layers; add some first", model=empty):
        empty(X)
    unbuilt.compile("sgd")
    with refused(ValueError, "expected a compiled model", model=unbuilt):
        unbuilt.fit(X, Y)


def test_a_refused_batch_does_not_build():
    model = Sequential([Conv2D(2, 3), Flatten(), Dense(3, activation="softmax")])
    model.compile("sgd", SPARSE)
    for call in (model.fit, model.train_on_batch):
        with refused(ValueError, "x[..., None]", model=model):
            call(X, Y)
        with refused(ValueError, "labels from 0 to 2", model=model):
            call(X[..., None], Y + 1)
    with refused(ValueError, "x[..., None]", model=model):
        model(X)
    assert not model.built


@pytest.mark.parametrize("attribute", ["loss", "optimizer"])
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "evaluate", "test_on_batch"])
def test_a_name_assigned_to_loss_or_optimizer_is_refused(attribute, call):
    model = trained()
    held, before = getattr(model, attribute), life_of(model)
    setattr(model, attribute, "mse")
    words = f"{call}: expected model.{attribute} to be a", f"compile({attribute}='mse')"
    with refused(TypeError, *words):
        getattr(model, call)(X, Y)
    setattr(model, attribute, held)
    assert life_of(model) == before
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("value", [np.array([True, False]), "yes", 2, None, [True]])
def test_compile_refuses_wrong_jit_compile(value):
    model = trained()
    with refused(ValueError, "compile: expected jit_compile to be 'auto', True or", model=model):
        model.compile("sgd", SPARSE, jit_compile=value)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.evaluate(X, Y, return_dict="yes"),
        lambda model: model.test_on_batch(X, Y, return_dict="yes"),
        lambda model: model.train_on_batch(X, Y, return_dict="yes"),
        lambda model: model(X, training="yes"),
        lambda model: model.layers[3](X, training="yes"),
    ],
)
def test_flags_of_calls_have_to_be_true_or_false(call):
    with refused(TypeError, "to be True or False, received 'yes'", model=(model := trained())):
        call(model)


@pytest.mark.parametrize("wrong", ["a", 0, -1, 2.5, True])
def test_summary_refuses_wrong_arguments(wrong):
    error = ValueError if wrong in (0, -1) and wrong is not True else TypeError
    words = f"summary: expected line_length to be an integer >= 1, received {wrong!r}"
    with refused(error, words, model=(model := trained())):
        model.summary(line_length=wrong)
    with refused(TypeError, "summary: expected print_fn to be a function", "received 'x'"):
        model.summary(print_fn="x")
    with refused(TypeError, "summary: expected show_trainable to be True or False"):
        model.summary(show_trainable="yes")


def test_names_and_jit_compile_are_checked_when_they_are_set():
    model = trained()
    for wrong in (None, 3, "", np.array(["a", "b"])):
        with refused(TypeError, f"{model.who}: expected name to be a non-empty string"):
            model.name = wrong
    for wrong in (None, 1, "always", np.array([True, False])):
        with refused(ValueError, f"{model.who}: expected jit_compile to be 'auto', True or False"):
            model.jit_compile = wrong
    assert (model.name, model.jit_compile) == (model.name, "auto")


@pytest.mark.parametrize("name", ["epochs", "initial_epoch"])
def test_fit_refuses_huge_numbers_of_epochs(name):
    model = trained()
    with refused(ValueError, f"fit: expected {name} to be an integer from 0 to", model=model):
        model.fit(X, Y, **{name: 10**5000})


def test_both_kinds_of_weights_are_refused():
    model = network()
    for call in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match="class_weight or sample_weight, received both"):
            call(IMAGES, CLASSES, class_weight={0: 2.0}, sample_weight=np.ones(96))


def test_a_refused_call_does_not_build():
    model = Sequential([Flatten(), Dense(10, activation="softmax")])
    model.compile("sgd", SPARSE)
    with pytest.raises(ValueError, match="labels from 0 to 9"):
        model.evaluate(IMAGES, CLASSES + 100, verbose=0)
    with pytest.raises(ValueError, match="finite"):
        model.predict(IMAGES * np.nan, verbose=0)
    assert not model.built


def batches():
    yield IMAGES, CLASSES


class Loader:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return IMAGES, CLASSES


@pytest.mark.parametrize("make", [batches, Loader, lambda: iter([(IMAGES, CLASSES)])])
def test_batches_that_come_one_by_one_are_refused_with_a_way_out_where_one_is_wanted(make):
    """`fit`, `evaluate` and `predict` take them: test_feeds.py."""
    model = network()
    for call in (model.train_on_batch, model.test_on_batch, model.predict_on_batch, model):
        with pytest.raises(TypeError, match=r"one by one.*x, y = map\(np.concatenate, zip"):
            call(make())
    x, y = map(np.concatenate, zip(*batches()))  # what the message says to write
    model.train_on_batch(x, y)


def test_a_functional_call_names_the_sequential_form():
    with pytest.raises(TypeError, match=r"no functional API.*Sequential\(\[Input\(shape\)"):
        Dense(3)(Input((4,)))
    with pytest.raises(TypeError, match="no functional API"):
        network()(Input((8, 8, 1)))


def test_fit_forward_and_get_layer_refuse_wrong_arguments():
    model = network()
    with pytest.raises((TypeError, ValueError), match="validation_split"):
        model.fit(
            IMAGES, CLASSES, validation_data=(IMAGES, CLASSES), validation_split="half", verbose=0
        )
    for wrong in (np.ones(2), "yes", None, 1):
        with pytest.raises(TypeError, match="training to be True or False"):
            model.forward(IMAGES, wrong)
    for wrong in (3, object(), np.array("conv2d"), np.ones(2)):
        with pytest.raises(TypeError, match="expected name to be a text"):
            model.get_layer(wrong)

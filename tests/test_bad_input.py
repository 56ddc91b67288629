"""Every wrong call answered: a named error, the argument and what came in it, the model untouched.

The list is that of docs/correctness.md, line by line. What stands elsewhere is not repeated here:

    every line of the list, given to `fit`             test_training.py, WRONG_FITS
    unknown names in `compile`, order of calls         test_training.py
    Ctrl-C                                             test_training.py
    add, build, get_layer, set_weights of a model      test_models.py
    inputs that no layer can take, empty axes, dy      test_contract.py
    ranks, channels, windows larger than the image     test_layers.py
    targets handed to a loss by itself                 test_losses.py
    data files                                         test_fashion_mnist.py
"""

import copy
import re
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from minicnn import (
    Input,
    Sequential,
    config,
    get_num_threads,
    initializers,
    losses,
    metrics,
    optimizers,
    plotting,
    set_num_threads,
)
from minicnn.callbacks import Callback
from minicnn.checks import shown
from minicnn.datasets import fashion_mnist
from minicnn.datasets.idx import parse_idx, verify
from minicnn.engine import threads
from minicnn.gradcheck import check_layer, check_loss, check_model
from minicnn.initializers import GlorotUniform, Initializer
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPooling2D,
    Rescaling,
    Tanh,
)
from minicnn.model_selection import train_test_split
from minicnn.optimizers import SGD, Adam, RMSprop
from minicnn.reports import accuracy_score, classification_report, confusion_matrix
from minicnn.utils import set_random_seed, to_categorical

rng = np.random.default_rng(70)
X = rng.random((20, 8, 8))
Y = rng.integers(0, 3, 20)
ONE_HOT = np.eye(3)[Y]
SPARSE = "sparse_categorical_crossentropy"


def trained(loss=SPARSE, **options):
    """A trained model: every part that an error could leave changed has moved."""
    set_random_seed(4)
    model = Sequential(
        [
            Conv2D(2, 3, activation="relu", input_shape=(8, 8, 1)),
            BatchNormalization(),
            MaxPooling2D(2),
            Dropout(0.2),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", loss, **{"metrics": ["accuracy"], **options})
    model.fit(X, Y if loss == SPARSE else ONE_HOT, batch_size=7, verbose=0)
    return model


def life_of(model):
    """All that a refused call must not change."""
    arrays = {f"{layer.name}/{k}": a for layer in model.leaves for k, a in layer.arrays().items()}
    arrays |= {f"optimizer/{slot}": vector for slot, vector in model.optimizer.state.items()}
    arrays |= {"params": model.flat_params, "gradients": model.flat_grads}
    return {
        **{name: (id(array), array.tobytes()) for name, array in arrays.items()},
        "layers": [(layer.name, layer.built, layer.trainable) for layer in model.layers],
        "shapes": (model.built, model._input_shape, model._output_shapes),
        "compiled": (model._compiled, model.loss, model.optimizer, list(model._metrics)),
        "optimizer": (model.optimizer.iterations, model.optimizer.learning_rate),
        "history": (model.history, model.history and str(model.history.history)),
        "random": str(model.rng.bit_generator.state),
        "stop_training": model.stop_training,
    }


@contextmanager
def refused(error, *words, model=None):
    """Wants an error of that class with all of these words, and `model` to stay as it is."""
    before = None if model is None else life_of(model)
    with pytest.raises(error) as caught:
        yield caught
    assert caught.type in (TypeError, ValueError), "a class of its own takes both to catch"
    for word in words:
        assert word in str(caught.value)
    if model is not None:
        after = life_of(model)
        assert after.keys() == before.keys()
        for what, value in before.items():
            assert after[what] == value, f"the refused call has changed the model's {what}"


def with_one(array, place, value):
    array = np.array(array, np.float64)
    array[place] = value
    return array


# -- data, at every door --------------------------------------------------------------------------

DOORS = {
    "fit": lambda model, x, y: model.fit(x, y, verbose=0),
    "fit validation_data": lambda model, x, y: model.fit(X, Y, validation_data=(x, y), verbose=0),
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "test_on_batch": lambda model, x, y: model.test_on_batch(x, y),
    "predict": lambda model, x, y: model.predict(x, verbose=0),
    "predict_on_batch": lambda model, x, y: model.predict_on_batch(x),
    "Sequential()": lambda model, x, y: model(x),
}
for_labels = [d for d in DOORS if d not in ("predict", "predict_on_batch", "Sequential()")]

WRONG_X = {
    "rank too low": (X.reshape(20, 64), ValueError, "shape (N, 8, 8, 1), received (20, 64)"),
    "rank too high": (X[:, None, None], ValueError, "(N, 8, 8, 1), received (20, 1, 1, 8, 8)"),
    "another size": (X[:, :7], ValueError, "(N, 8, 8, 1), received (20, 7, 8)"),
    "colour": (np.zeros((20, 8, 8, 3)), ValueError, "(N, 8, 8, 1), received (20, 8, 8, 3)"),
    "channels first": (X[:, None], ValueError, "(N, 8, 8, 1), received (20, 1, 8, 8)"),
    "an empty axis": (X[:, :0], ValueError, "(N, 8, 8, 1), received (20, 0, 8)"),
    "one image": (X[0], ValueError, "received (8, 8). For one sample add a batch axis: x[None]"),
    "a list of one array": ([X], ValueError, "received (1, 20, 8, 8). For a list that holds one"),
    "no samples": (X[:0], ValueError, "at least one sample in x, received shape (0, 8, 8)"),
    "an empty list": ([], ValueError, "at least one sample in x, received shape (0,)"),
    "a number": (3.0, ValueError, "at least one sample in x, received shape ()"),
    "nothing": (None, TypeError, "x to be an array, received None"),
    "NaN": (with_one(X, (3, 2, 1), np.nan), ValueError, "x to be finite, received nan at index [3"),
    "inf": (with_one(X, (3, 2, 1), np.inf), ValueError, "x to be finite, received inf at index [3"),
    "-inf": (with_one(X, 3, -np.inf), ValueError, "x to be finite, received -inf at index [3"),
    "objects": (
        X.astype(object),
        TypeError,
        "x to be an array of real numbers, received dtype obj",
    ),
    "strings": (X.astype(str), TypeError, "x to be an array of real numbers, received dtype <U"),
    "bytes": (X.astype("S"), TypeError, "x to be an array of real numbers, received dtype |S"),
    "complex": (X + 0j, TypeError, "x to be an array of real numbers, received dtype complex128"),
    "dates": (X.astype("M8[s]"), TypeError, "real numbers, received dtype datetime64"),
    "a dict": ({"x": X}, TypeError, "x to be an array of real numbers, received dtype object"),
    "rows of two lengths": (
        [[1, 2], [3]],
        TypeError,
        "x to be an array of numbers, received a rag",
    ),
}


TOO_LARGE = {
    "x": (with_one(X, (3, 2, 1), 1e300), ONE_HOT, "received 1e+300 at index [3, 2, 1]"),
    "x below": (with_one(X, (3, 2, 1), -1e300), ONE_HOT, "received -1e+300 at index [3, 2, 1]"),
    "y": (X, with_one(ONE_HOT, (4, 1), 1e300), "received 1e+300 at index [4, 1]"),
}


@pytest.mark.parametrize(
    ("wrong", "door"),
    [(wrong, door) for wrong in TOO_LARGE for door in (for_labels if wrong == "y" else DOORS)],
)
def test_numbers_that_float32_cannot_hold(wrong, door):
    """They would become infinite in the cast, and NaN soon after, without a word from predict."""
    x, y, words = TOO_LARGE[wrong]
    model = trained("mse")
    name = f"{door}: expected {wrong[0]} to fit into float32, whose largest number is 3.4e+38"
    with refused(ValueError, name, words, "dtype='float64'", model=model):
        if door == "fit validation_data":
            model.fit(X, ONE_HOT, validation_data=(x, y), verbose=0)
        else:
            DOORS[door](model, x, y)


def test_a_model_in_float64_takes_what_float64_holds():
    model = Sequential([Dense(2, dtype="float64", input_shape=(4,))])
    assert np.isfinite(model.predict(np.full((3, 4), 1e200), verbose=0)).all()
    unbuilt = Sequential([Dense(2, dtype="float64")])
    assert np.isfinite(unbuilt(np.full((3, 4), 1e200))).all()
    with refused(ValueError, "Sequential(): expected x to fit into float32"):
        Sequential([Dense(2)])(np.full((3, 4), 1e200))


@pytest.mark.parametrize("door", DOORS)
def test_masked_numbers_do_not_come_back_to_life(door):
    model = trained()
    hidden = np.ma.array(X, mask=X > 0.5)
    words = f"{door}: expected x without masked numbers", "Say what stands in their place: x.filled"
    with refused(TypeError, *words, model=model):
        DOORS[door](model, hidden, Y)
    DOORS[door](model, np.ma.array(X), Y)  # hides nothing
    if door in for_labels:
        with refused(TypeError, f"{door}: expected y without masked numbers", model=model):
            DOORS[door](model, X, np.ma.array(Y, mask=Y > 1))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("wrong", WRONG_X)
def test_wrong_inputs(wrong, door):
    x, error, words = WRONG_X[wrong]
    model = trained()
    with refused(error, f"{door}: expected", words, model=model):
        DOORS[door](model, x, Y)


WRONG_LABELS = {
    "too few": (Y[:9], ValueError, "'x' sizes 20, 'y' sizes 9"),
    "none": (Y[:0], ValueError, "'x' sizes 20, 'y' sizes 0"),
    "a number": (3, ValueError, "'x' sizes 20, 'y' sizes 1"),
    "nothing": (None, TypeError, "expected y, the targets, received None"),
    "negative": (
        with_one(Y, 4, -1),
        ValueError,
        "y to hold labels from 0 to 2, since the model has 3 outputs",
    ),
    "-7": (with_one(Y, 4, -7).astype(int), ValueError, "received -7"),
    "beyond the classes": (with_one(Y, 4, 3).astype(np.uint8), ValueError, "received 3"),
    "beyond all integers": (with_one(Y, 4, 1e30), ValueError, "3 outputs, received 1e+30"),
    "fractional": (
        with_one(Y, 4, 1.5),
        ValueError,
        "y to hold labels, whole numbers, received 1.5",
    ),
    "NaN": (with_one(Y, 4, np.nan), ValueError, "y to be finite, received nan at index [4]"),
    "inf": (with_one(Y, 4, np.inf), ValueError, "y to be finite, received inf at index [4]"),
    "one-hot": (
        ONE_HOT,
        ValueError,
        "crossentropy, received (20, 3). For one-hot rows use loss='categorical_c",
    ),
    "two a sample": (np.stack([Y, Y], 1), ValueError, "received (20, 2). Give one whole-number"),
    "objects": (
        Y.astype(object),
        TypeError,
        "y to be an array of real numbers, received dtype obj",
    ),
    "strings": (["shirt"] * 20, TypeError, "y to be an array of real numbers, received dtype <U5"),
    "complex": (Y + 0j, TypeError, "y to be an array of real numbers, received dtype complex128"),
    "rows of two lengths": (
        [[1], [1, 2]],
        TypeError,
        "y to be an array of numbers, received a rag",
    ),
}


@pytest.mark.parametrize("door", for_labels)
@pytest.mark.parametrize("wrong", WRONG_LABELS)
def test_wrong_labels(wrong, door):
    y, error, words = WRONG_LABELS[wrong]
    model = trained()
    with refused(error, f"{door}: expected", words, model=model):
        DOORS[door](model, X, y)


WRONG_ONE_HOT = {
    "class count": (np.eye(4)[Y], ValueError, "(20, 4). Give one-hot rows of 3 classes"),
    "labels": (Y, ValueError, "(20,). For whole-number labels use loss='sparse_categorical_cross"),
    "a column of labels": (Y[:, None], ValueError, "to_categorical(y, 3)"),
    "too few": (ONE_HOT[:9], ValueError, "'x' sizes 20, 'y' sizes 9"),
    "negative": (-ONE_HOT, ValueError, "y to hold probabilities, received -1.0"),
    "NaN": (with_one(ONE_HOT, (2, 1), np.nan), ValueError, "received nan at index [2, 1]"),
    "objects": (ONE_HOT.astype(object), TypeError, "received dtype object"),
}


@pytest.mark.parametrize(
    ("loss", "y", "words"),
    [
        (SPARSE, ONE_HOT, "expected y of shape (N,) for sparse_categorical_crossentropy, received"),
        ("categorical_crossentropy", Y, "expected y of shape (N, 3) for categorical_crossentropy"),
    ],
)
def test_shapes_in_messages_are_written_as_numpy_writes_them(loss, y, words):
    model = trained(loss)
    with refused(ValueError, words, model=model):
        model.evaluate(X, y, verbose=0)


@pytest.mark.parametrize("door", [door for door in for_labels if door != "fit validation_data"])
@pytest.mark.parametrize("wrong", WRONG_ONE_HOT)
def test_wrong_one_hot_rows(wrong, door):
    y, error, words = WRONG_ONE_HOT[wrong]
    model = trained("categorical_crossentropy")
    with refused(error, f"{door}: expected", words, model=model):
        DOORS[door](model, X, y)


@pytest.mark.parametrize("door", ["fit", "evaluate", "train_on_batch"])
@pytest.mark.parametrize(
    ("y", "words"),
    [
        (Y, "received (20,)"),
        (np.zeros((20, 4)), "(20, 4)"),
        (with_one(ONE_HOT, 0, np.nan), "received nan"),
    ],
)
def test_wrong_targets_of_a_regression(y, words, door):
    model = trained("mse")
    with refused(ValueError, f"{door}: expected y", words, model=model):
        DOORS[door](model, X, y)


def test_the_mend_that_is_offered_mends():
    """Rows of 7 pixels instead of 8 do not fit for being given a channel axis."""
    with pytest.raises(ValueError, match="received") as caught:
        trained().predict(X[:, :7], verbose=0)
    assert "x[..., None]" not in str(caught.value)


# -- numbers that steer a call --------------------------------------------------------------------

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
def test_batch_size(door, value, error):
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


# -- settings of layers and optimizers ------------------------------------------------------------

NOT_A_SIZE = [(0, ValueError), (-1, ValueError), (2.5, TypeError), (None, TypeError)]
SIZED = {
    "filters": lambda value: Conv2D(value, 3),
    "kernel_size": lambda value: Conv2D(8, value),
    "units": lambda value: Dense(value),
    "pool_size": lambda value: MaxPooling2D(value),
    "strides": lambda value: Conv2D(8, 3, strides=value),
}


@pytest.mark.parametrize(("value", "error"), [*NOT_A_SIZE, ("3", TypeError), (True, TypeError)])
@pytest.mark.parametrize("name", SIZED)
def test_sizes_of_layers(name, value, error):
    error = ValueError if name == "units" else error  # as in Keras, whatever is wrong
    with refused(error, f"expected {name} to be", f"received {value!r}"):
        SIZED[name](value)


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("value", [2**31, 10**20, 10**30, np.uint64(2**63)])
def test_sizes_that_no_array_has(name, value):
    words = f"expected {name} to be an integer from 1 to 2147483647, received {value!r}"
    with refused(ValueError, words):
        SIZED[name](value)
    with refused(ValueError, "expected each size of input_shape to be an integer from 1 to 214748"):
        Dense(3, input_shape=(value,))


def test_numbers_that_are_too_long_to_write_out():
    for wrong in (10**400, 10**5000):
        with refused(ValueError, "expected units to be an integer from 1 to 21474", "received 2**"):
            Dense(wrong)
        with refused(ValueError, "expected units to be an integer >= 1, received -2**"):
            Dense(-wrong)
        with refused(ValueError, "SGD: expected learning_rate to be a number in [0, inf), rec"):
            SGD(wrong)


def test_windows_and_weights_beyond_all_memory():
    with refused(ValueError, "expected pool_size of at most 2147483647 cells, received (50000, 50"):
        MaxPooling2D(50_000, padding="same")
    with refused(ValueError, "expected a shape of at most", "received (2147483647, 2147483647, 1"):
        Conv2D(2, 2**31 - 1, padding="same").build((None, 4, 4, 1))


@pytest.mark.parametrize(("value", "error"), NOT_A_SIZE)
@pytest.mark.parametrize("name", ["kernel_size", "pool_size", "strides"])
def test_sizes_in_a_pair(name, value, error):
    with refused(error, f"expected {name} to be", f"received {value!r}"):
        SIZED[name]((2, value))


BUILT = [
    lambda: Dense(3),
    lambda: Conv2D(2, 2),
    lambda: BatchNormalization(),
    lambda: Dropout(0.5),
    lambda: Flatten(),
    lambda: MaxPooling2D(2),
    lambda: Activation("softmax"),
]


@pytest.mark.parametrize(
    ("shape", "error", "words"),
    [
        (5, TypeError, "input_shape to be a tuple, batch axis first"),
        ("ab", TypeError, "received 'ab'"),
        (None, TypeError, "received None"),
        ((), ValueError, "to have a batch axis, received ()"),
        ((None, 4, 4, -3), ValueError, "to be an integer >= 1, received -3"),
        ((None, 4, 4, 0), ValueError, "to be an integer >= 1, received 0"),
        ((0, 4, 4, 1), ValueError, "to be an integer >= 1, received 0"),
        ((None, 4, 4, 2.5), TypeError, "to be an integer >= 1, received 2.5"),
        ((None, 4, 4, "a"), TypeError, "to be an integer >= 1, received 'a'"),
        ((None, 4, 4, True), TypeError, "to be an integer >= 1, received True"),
    ],
)
@pytest.mark.parametrize("make", BUILT)
def test_shapes_that_no_layer_is_built_for(make, shape, error, words):
    layer = make()
    with refused(error, f"{layer.who}: expected", "input_shape", words):
        layer.build(shape)
    assert layer.awaits_build
    assert not layer.params


def test_flatten_needs_to_know_its_sizes():
    layer = Flatten()
    with refused(ValueError, f"{layer.who}: expected all sizes", "received (None, None, 3)"):
        layer.build((None, None, 3))


@pytest.mark.parametrize(
    ("value", "error"),
    [(1.5, ValueError), (-0.1, ValueError), (np.nan, ValueError), ("a", TypeError)],
)
def test_a_rate_is_checked_whenever_it_is_set(value, error):
    model = trained()
    layer = model.layers[3]
    with refused(error, f"{layer.who}: expected rate to be a number in [0, 1]", model=model):
        layer.rate = value
    assert layer.rate == 0.2


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (np.nan, ValueError, "to be a number in (-inf, inf), received nan"),
        (10**400, ValueError, "to be a number in (-inf, inf), received 2**1328 or more"),
        ("abc", TypeError, "to be a number in (-inf, inf), received 'abc'"),
        (None, TypeError, "to be a number in (-inf, inf), received None"),
        ({1: 2}, TypeError, "to be a number in (-inf, inf), received {1: 2}"),
        (np.array("abc"), TypeError, "to be a number in (-inf, inf), received"),
        (np.array(True), TypeError, "to be a number in (-inf, inf), received"),
        ([True, False], TypeError, "to hold numbers, received [True, False]"),
        (["a", "b"], TypeError, "to be an array of real numbers, received dtype <U1"),
        ([1j, 2], TypeError, "to be an array of real numbers, received dtype complex128"),
        ([[1, 2], [3]], TypeError, "to be an array of numbers, received a ragged sequence"),
        (np.ma.array([1, 2], mask=[0, 1]), TypeError, "without masked numbers"),
        ([0.1, np.nan], ValueError, "to be finite, received nan at index [1]"),
        ([], ValueError, "to be a number, or one for each channel, received an array of shape"),
        (np.ones((2, 3)), ValueError, "to be a number, or one for each channel, received an array"),
        (np.ones((3, 1)), ValueError, "to be a number, or one for each channel, received an array"),
        ([1, 2, -1e300], ValueError, "to fit into float32, whose largest number is 3.4e+38, rec"),
        (
            1e300,
            ValueError,
            "to fit into float32, whose largest number is 3.4e+38, received 1e+300",
        ),
    ],
)
@pytest.mark.parametrize("name", ["scale", "offset"])
def test_a_rescaling_is_checked_whenever_it_is_set(name, value, error, words):
    model = Sequential([Rescaling(0.5, 0.5, input_shape=(3,)), Dense(2)])
    layer = model.layers[0]
    with refused(error, f"{layer.who}: expected {name} {words}", model=model):
        setattr(layer, name, value)
    assert (layer.scale, layer.offset) == (0.5, 0.5)


@pytest.mark.parametrize("name", ["scale", "offset"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_rescaling_for_another_number_of_channels(name, dtype):
    numbers = {"scale": 0.5, "offset": 0.5, name: [0.1, 0.2, 0.3, 0.4]}
    layer = Rescaling(**numbers)
    words = f"{layer.who}: expected input of shape (N, ..., 4), since {name} has 4 numbers"
    for shape in ((2, 3), (2, 4, 3), (4,), (2, 4, 4, 1)):
        with refused(ValueError, words, f"received {shape}"):
            layer.forward(np.ones(shape))
    with refused(ValueError, words, "received (None, 3)", model=(model := Sequential())):
        model.add(Rescaling(**numbers, name=layer.name, input_shape=(3,)))
    model = Sequential([Rescaling(0.5, 0.5, dtype=dtype, input_shape=(3,)), Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    setattr(model.layers[0], name, [1, 2])
    for call in (model.predict, model, lambda x: model.fit(x, np.ones((4, 2)), verbose=0)):
        with refused(ValueError, f"since {name} has 2 numbers", "received (", model=model):
            call(np.ones((4, 3)))
    setattr(model.layers[0], name, [1, 2, 3])
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)


def test_a_rescaling_that_the_float_type_cannot_hold():
    layer = Rescaling(1e300)
    with refused(ValueError, f"{layer.who}: expected scale to fit into float32"):
        layer.forward(np.ones((1, 2), "float32"))
    assert layer.forward(np.ones((1, 2)))[0, 0] == 1e300, "float64 holds it"
    with refused(ValueError, "Rescaling 'large': expected scale to fit into float32"):
        Sequential([Rescaling(1e300, name="large"), Dense(2)]).build((None, 2))


class OwnCall(Initializer):
    """What it returns is for no one to check but the layer."""

    def __init__(self, values):
        self.values = values

    def __call__(self, shape, dtype=None, rng=None):
        return self.values


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (np.zeros(3), ValueError, "expected values of shape (2, 3), received (3,)"),
        (np.full((2, 3), np.nan), ValueError, "expected its values to be finite, received nan"),
        (np.full((2, 3), 1e300), ValueError, "expected its values to fit into float32"),
        (None, TypeError, "expected its values to be an array of real numbers, received dtype obj"),
    ],
)
def test_an_initializer_with_a_call_of_its_own(values, error, words):
    layer = Dense(3, kernel_initializer=OwnCall(values))
    with refused(error, f"{layer.who}: OwnCall: {words}"):
        layer.build((None, 2))


def test_an_initializer_that_keeps_what_it_returns():
    values = np.ones((2, 3), "float32")
    one, other = (Dense(3, kernel_initializer=OwnCall(values)) for _ in range(2))
    one.build((None, 2))
    other.build((None, 2))
    one.params["W"][...] = 7
    assert (values == 1).all()
    assert (other.params["W"] == 1).all()


UNKNOWN = {
    "padding": (lambda name: Conv2D(2, 3, padding=name), "same, valid"),
    "padding of a pool": (lambda name: AveragePooling2D(2, padding=name), "same, valid"),
    "activation": (lambda name: Dense(2, activation=name), "linear, relu, sigmoid, softmax, tanh"),
    "initializer": (lambda name: Dense(2, kernel_initializer=name), "glorot_normal, glorot_unif"),
    "initializer of the bias": (lambda name: Conv2D(2, 2, bias_initializer=name), "zeros"),
    "optimizer": (lambda name: Sequential().compile(name, "mse"), "adam, adamw, rmsprop, sgd"),
    "loss": (lambda name: Sequential().compile("sgd", name), "mean_squared_error, mse, sparse_c"),
    "metric": (
        lambda name: Sequential().compile("sgd", "mse", metrics=[name]),
        "acc, accuracy, binary",
    ),
}


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize(("name", "error"), [("nonsense", ValueError), (3, TypeError)])
def test_unknown_names_list_the_known(kind, name, error):
    call, known = UNKNOWN[kind]
    with refused(error, kind.split()[0], known, f"received {name!r}"):
        call(name)


@pytest.mark.parametrize("value", [-0.1, 1.1, 50, np.nan, np.inf])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("rate", Dropout),
        ("momentum", lambda value: SGD(momentum=value)),
        ("momentum", lambda value: BatchNormalization(momentum=value)),
        ("rho", lambda value: RMSprop(rho=value)),
        ("beta_1", lambda value: Adam(beta_1=value)),
        ("beta_2", lambda value: Adam(beta_2=value)),
    ],
)
def test_shares_lie_between_0_and_1(name, make, value):
    with refused(ValueError, f"expected {name} to be a number in [0, 1", f"received {value!r}"):
        make(value)
    for wrong in ("0.5", None, True, [0.5], 0.5j):
        with refused(TypeError, f"expected {name} to be a number in [0, 1", f"received {wrong!r}"):
            make(wrong)


@pytest.mark.parametrize("make", [SGD, Adam, RMSprop])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1e-3, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        ("0.1", TypeError),
        (None, TypeError),
        (True, TypeError),
        (abs, TypeError),
    ],
)
def test_learning_rate(make, value, error):
    words = f"{make.__name__}: expected learning_rate to be a number in [0, inf", f"{value!r}"
    with refused(error, *words):
        make(value)
    model = trained()
    model.compile(make(0.01), SPARSE)
    model.fit(X, Y, verbose=0)
    with refused(error, *words, model=model):
        model.optimizer.learning_rate = value


@pytest.mark.parametrize(
    ("make", "value"), [(lambda e: Adam(epsilon=e), 0), (lambda e: RMSprop(epsilon=e), -1e-7)]
)
def test_epsilon(make, value):
    with refused(ValueError, "expected epsilon to be a number in (0, inf", f"received {value!r}"):
        make(value)


@pytest.mark.parametrize(
    ("shape", "error", "words"),
    [
        (28, TypeError, "input_shape to be a tuple such as (28, 28, 1), received 28"),
        ("28", TypeError, "received '28'"),
        ((28.0, 28, 1), TypeError, "each size of input_shape to be an integer >= 1, received 28.0"),
        ((28, -1, 1), ValueError, "received -1"),
        ((28, 0, 1), ValueError, "received 0"),
        ((None, 28, 28, 1), ValueError, "Leave the batch axis out: (28, 28, 1)"),
    ],
)
def test_declared_shapes(shape, error, words):
    for make in (lambda: Conv2D(2, 3, input_shape=shape), lambda: Input(shape)):
        with refused(error, words):
            make()


@pytest.mark.parametrize("shape", [(None, None, 1), (28, None, 1), (28, 28, None)])
def test_a_size_left_open(shape):
    """Removing the first None would not make it valid."""
    for make in (lambda: Conv2D(2, 3, input_shape=shape), lambda: Input(shape)):
        with refused(ValueError, f"all sizes known, received {shape}") as caught:
            make()
        assert "batch axis" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda: Dense(3), "units", 4),
        (lambda: Dense(3), "use_bias", False),
        (lambda: Conv2D(2, 2), "filters", 3),
        (lambda: Conv2D(2, 2), "kernel_size", (3, 3)),
        (lambda: Conv2D(2, 2), "strides", (2, 2)),
        (lambda: Conv2D(2, 2), "padding", "same"),
        (lambda: Conv2D(2, 2), "use_bias", False),
        (lambda: BatchNormalization(), "center", False),
        (lambda: BatchNormalization(), "scale", False),
        (lambda: MaxPooling2D(2), "pool_size", (3, 3)),
        (lambda: AveragePooling2D(2), "strides", (1, 1)),
        (lambda: MaxPooling2D(2), "padding", "same"),
    ],
)
def test_settings_that_the_parameters_were_made_for(make, name, value):
    layer = make()
    before = getattr(layer, name)
    setattr(layer, name, value)  # not built: nothing depends on it
    setattr(layer, name, before)
    layer.build((None, 4, 4, 2))
    words = f"{layer.who}: expected {name} to stay {before!r}", f"received {value!r}. Make a new"
    with refused(ValueError, *words):
        setattr(layer, name, value)
    assert getattr(layer, name) == before


@pytest.mark.parametrize(
    ("make", "name", "wrong", "error"),
    [
        (lambda: Dense(3), "units", None, ValueError),
        (lambda: Dense(3), "units", 2**31, ValueError),
        (lambda: Dense(3), "use_bias", np.array([True, False]), TypeError),
        (lambda: Dense(3), "kernel_initializer", None, TypeError),
        (lambda: Dense(3), "bias_initializer", "nonsense", ValueError),
        (lambda: Conv2D(2, 2), "filters", 2.5, TypeError),
        (lambda: Conv2D(2, 2), "kernel_size", {1, 2}, TypeError),
        (lambda: Conv2D(2, 2), "strides", (1, 0), ValueError),
        (lambda: Conv2D(2, 2), "padding", 3, TypeError),
        (lambda: Conv2D(2, 2), "kernel_initializer", np.array(["zeros"]), TypeError),
        (lambda: MaxPooling2D(2, padding="same"), "pool_size", (2**40, 2**40), ValueError),
        (lambda: MaxPooling2D(2, padding="same"), "pool_size", (2**20, 2**20), ValueError),
        (lambda: AveragePooling2D(2), "strides", None, TypeError),
        (lambda: BatchNormalization(), "axis", True, TypeError),
        (lambda: BatchNormalization(), "momentum", 1.5, ValueError),
        (lambda: BatchNormalization(), "momentum", "0.9", TypeError),
        (lambda: BatchNormalization(), "epsilon", 0, ValueError),
        (lambda: BatchNormalization(), "epsilon", np.ones(3), TypeError),
        (lambda: BatchNormalization(), "center", "no", TypeError),
        (lambda: Dropout(0.5), "seed", [1, 2], TypeError),
        (lambda: Dropout(0.5), "seed", -1, ValueError),
        (lambda: Flatten(), "name", None, TypeError),
        (lambda: Flatten(), "name", np.array(["a", "b"]), TypeError),
        (lambda: GlorotUniform(seed=1), "seed", True, TypeError),
        (lambda: GlorotUniform(seed=1), "seed", np.arange(3), TypeError),
    ],
)
def test_settings_are_checked_whenever_they_are_set(make, name, wrong, error):
    """A pool of 2^80 cells, or a list as a seed that holds itself, killed the process."""
    thing = make()
    before = getattr(thing, name)
    who = getattr(thing, "who", type(thing).__name__)
    with refused(error, f"{who}: expected {name} ", "received"):
        setattr(thing, name, wrong)
    assert getattr(thing, name) == before


def test_what_else_may_not_be_set_on_a_layer():
    model = trained()
    with refused(ValueError, "expected activation to be one of", "received 'tahn'", model=model):
        model.layers[0].activation = "tahn"
    for wrong in (np.tanh, Dense, Dense(3), 3, np.ones(2), [Tanh()]):
        for layer in (model.layers[0], model.layers[-1]):
            words = "expected activation to be one of", f"received {wrong!r}"
            with refused(TypeError, *words, model=model):
                layer.activation = wrong
    with refused(TypeError, "expected trainable to be True or False, received 'no'", model=model):
        model.layers[0].trainable = "no"


def test_an_input_without_a_shape():
    with refused(TypeError, "shape", "received None"):
        Input(None)


@pytest.mark.parametrize(
    "inner",
    [
        lambda: Dense(3),
        lambda: Conv2D(2, 2),
        lambda: BatchNormalization(),
        lambda: Flatten(),
        lambda: MaxPooling2D(2),
        lambda: Dropout(0.5),
    ],
    ids=["Dense", "Conv2D", "BatchNormalization", "Flatten", "MaxPooling2D", "Dropout"],
)
@pytest.mark.parametrize("outer", [lambda a: Dense(4, activation=a), Activation])
def test_only_an_activation_serves_as_one(outer, inner):
    """Another layer has parameters that no one would train, another shape, or draws of its own."""
    with refused(TypeError, "activation"):
        outer(inner())


@pytest.mark.parametrize(
    "make",
    [
        lambda value: Dense(2, use_bias=value),
        lambda value: Conv2D(2, 2, use_bias=value),
        lambda value: Dense(2, trainable=value),
        lambda value: BatchNormalization(center=value),
        lambda value: BatchNormalization(scale=value),
        lambda value: SGD(nesterov=value),
        lambda value: losses.CategoricalCrossentropy(from_logits=value),
    ],
    ids=["Dense", "Conv2D", "trainable", "center", "scale", "nesterov", "from_logits"],
)
def test_a_word_is_no_answer_to_yes_or_no(make):
    """Every word is true to Python, "False" too."""
    with refused(TypeError, "True or False, received 'False'"):
        make("False")


@pytest.mark.parametrize("name", ["", 3, None])
def test_seeds_types_and_names(name):
    for wrong, error in ((-1, ValueError), (1.5, TypeError), ("1", TypeError)):
        with refused(error, "expected seed to be an integer >= 0", f"received {wrong!r}"):
            Dropout(0.5, seed=wrong)
        with refused(error, "expected seed to be an integer >= 0", f"received {wrong!r}"):
            GlorotUniform(seed=wrong)
    for wrong in ("float16", int, "nonsense", "a\udce4", {"a": 2}, [("a", 3)], np.eye(2)):
        with refused(ValueError, "expected dtype to be float32 or float64", f"received {wrong!r}"):
            Dense(2, dtype=wrong)
        with refused(ValueError, "expected dtype to be float32 or float64", f"received {wrong!r}"):
            GlorotUniform()((2, 3), dtype=wrong)
    if name is not None:
        with refused(TypeError, "expected name to be a non-empty string", f"received {name!r}"):
            Dense(2, name=name)


def test_a_misspelt_argument_is_named():
    with pytest.raises(TypeError, match="'activaton'"):
        Dense(2, activaton="relu")
    with pytest.raises(TypeError, match="'lr'"):
        SGD(lr=0.1)
    with pytest.raises(TypeError, match="'epoch'"):
        trained().fit(X, Y, epoch=3)


class NoAnswer:
    """Refuses to be compared, to be true or false, to be written out and to be an array."""

    __hash__ = None

    def fail(self, *args):
        raise RuntimeError("no")

    __eq__ = __bool__ = __repr__ = __array__ = __len__ = __iter__ = fail


WHATEVER = [
    np.ones(2),
    np.ones((2, 2)),
    np.array([]),
    np.array(["relu"]),
    [np.ones(2)],
    {"a": np.ones(2)},
    10**5000,
    (10**5000,),
    NoAnswer(),
    [NoAnswer()],
    "x" * 10_000,
    object,
    print,
]
TAKES_NONE_OF_THEM = {
    "padding": lambda value: Conv2D(2, 2, padding=value),
    "activation": lambda value: Dense(2, value),
    "use_bias": lambda value: Dense(2, use_bias=value),
    "pool_size": lambda value: MaxPooling2D(value),
    "units": lambda value: Dense(value),
    "rate": lambda value: Dropout(value),
    "seed": lambda value: GlorotUniform(seed=value if type(value) is not int else -value),
    "dtype": lambda value: Dense(2, dtype=value),
    "trainable": lambda value: Dense(2, trainable=value),
    "groups": lambda value: Conv2D(2, 2, groups=value),
    "data_format": lambda value: Conv2D(2, 2, data_format=value),
    "dilation_rate": lambda value: Conv2D(2, 2, dilation_rate=value),
    "kernel_regularizer": lambda value: Dense(2, kernel_regularizer=value),
    "momentum": lambda value: SGD(momentum=value),
    "nesterov": lambda value: SGD(nesterov=value),
    "amsgrad": lambda value: Adam(amsgrad=value),
    "clipnorm": lambda value: Adam(clipnorm=value),
    "learning_rate": lambda value: Adam(value),
    "iterations": lambda value: setattr(Adam(), "iterations", value),
    "parts": lambda value: Adam().update(np.ones(2), np.ones(2), value),
    "optimizer": lambda value: optimizers.get(value),
    "from_logits": lambda value: losses.CategoricalCrossentropy(value),
    "reduction": lambda value: losses.MeanSquaredError(reduction=value),
    "loss": lambda value: losses.get(value),
    "loss of a metric": lambda value: metrics.get("accuracy", value, (None, 2)),
    "output_shape": lambda value: losses.MeanSquaredError().targets(np.ones(2), value, "it"),
    "output_shape of a metric": lambda value: metrics.get("acc", losses.MeanSquaredError(), value),
    "chosen": lambda value: metrics.distinct(value),
    "rng": lambda value: GlorotUniform()((2, 2), rng=value),
    "shape": lambda value: GlorotUniform()(value),
    "key": lambda value: Dense(2).add_param(value if type(value) is not str else "", (2,), "ones"),
    "training": lambda value: Dense(2)(np.ones((2, 2)), value),
    "value": lambda value: config.set_floatx(value),
}


@pytest.mark.parametrize("value", WHATEVER, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", TAKES_NONE_OF_THEM)
def test_an_argument_is_named_whatever_stands_in_its_place(name, value):
    """Arrays have no truth value, long integers no text, and some objects have neither."""
    with pytest.raises((TypeError, ValueError)) as caught:
        TAKES_NONE_OF_THEM[name](value)
    assert caught.type in (TypeError, ValueError)
    assert name.split()[0] in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("value", [NoAnswer(), [NoAnswer()], [10**5000], "text", {1: 2}])
def test_an_array_is_named_whatever_stands_in_its_place(value):
    built = Dense(2)
    built.build((None, 3))
    for name, call in {
        "x": lambda: Dense(2)(value),
        "dy": lambda: (built.forward(np.ones((2, 3))), built.backward(value)),
        "y_true": lambda: losses.MeanSquaredError()(value, [[1.0]]),
        "y_pred": lambda: losses.MeanSquaredError()([[1.0]], value),
        "sample_weight": lambda: losses.MeanSquaredError()([[1.0]], [[1.0]], value),
        "y_true ": lambda: metrics.MeanSquaredError()(value, [[1.0]]),
        "initializer": lambda: built.add_param("V", (2,), value),
    }.items():
        with pytest.raises((TypeError, ValueError), match=f"expected {name.strip()} "):
            call()


class Unwritten(SGD):
    """An optimizer of the user's, whose text fails."""

    def __repr__(self):
        raise RuntimeError("no")


def shared_optimizer():
    optimizer = Unwritten()
    models = [trained(), trained()]
    for model in models:
        model.compile(optimizer, SPARSE)
        model.train_on_batch(X, Y)


def with_a_param_besides(key):
    model = trained()
    model.layers[0].params[key] = np.ones(2)
    model.predict(X, verbose=0)


LONG = "x" * 10_000
MANY = list(range(900))
# what the message names -> a call whose message quotes a long text, a long list or many digits
QUOTES = {
    "y_true": lambda: confusion_matrix([0, 1], [0, 1], range(100, 5000)),
    "target_names": lambda: classification_report(MANY, MANY, target_names=["a"]),
    "target_names ": lambda: classification_report(
        MANY, MANY, target_names=["a"] * 900, output_dict=True
    ),
    "target_names  ": lambda: classification_report([0, 1], [0, 1], target_names=[10**5000, "a"]),
    "labels": lambda: confusion_matrix([0, 1], [0, 1], [1] * 900),
    "labels ": lambda: confusion_matrix([0, 1], [0, 1], range(10**5000)),
    "stratify": lambda: train_test_split(MANY, stratify=MANY),
    "array": lambda: train_test_split(*[range(n) for n in range(2, 900)]),
    "class_weight": lambda: trained().fit(X, Y, class_weight={10**5000: 1.0}),
    "class_weight ": lambda: trained().fit(X, Y, class_weight={0: 1.0, 10**5000: "a"}),
    "history": lambda: plotting.training_curves({"loss": [1.0], LONG: [[1.0]]}),
    "history ": lambda: plotting.training_curves({"loss": [1.0], LONG: [1.0, 2.0]}),
    "y_true ": lambda: plotting.prediction_grid(np.ones((1, 2, 2)), [LONG], [LONG], ["a"]),
    "titles": lambda: plotting.image_grid(np.ones((1, 2, 2)), [10**5000]),
    "sha256": lambda: verify(b"data", LONG, "file"),
    "keyword argument": lambda: Dense(2, **{LONG: 1}),
    "params": lambda: with_a_param_besides(LONG),
    "params ": lambda: with_a_param_besides(3),
    "axis": lambda: setattr(trained().layers[1], "axis", LONG),
    "Unwritten": shared_optimizer,
    "input_shape": lambda: Sequential([Dense(2)]).build((None, -(10**5000))),
    "input_shape_or_x": lambda: check_layer(Dense(2), (None, None, 10**5000)),
    "row": lambda: check_layer(Dense(2), (4, 3))[[LONG]],
}


@pytest.mark.parametrize("name", QUOTES)
def test_what_a_message_quotes_is_short(name):
    with pytest.raises((TypeError, ValueError)) as caught:
        QUOTES[name]()
    assert name.split()[0] in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_an_object_whose_text_fails_can_be_named():
    def fail(*args):
        raise RuntimeError("no")

    own = type("Own", (), {"__call__": fail, "__repr__": fail})()
    metric = metrics.get(own, losses.MeanSquaredError(), (None, 2))
    assert "metric" in repr(metric)
    model = Sequential([Dense(3, input_shape=(2,)), Dense(1)])
    model.compile(Unwritten(3e38), "mse")
    with pytest.raises(FloatingPointError, match="the step of Unwritten"):
        model.fit(np.ones((8, 2)), np.full((8, 1), 9.0), verbose=0)


NO_SHAPES = [
    (None, TypeError, "received None"),
    (5, TypeError, "received 5"),
    ("ab", TypeError, "received 'ab'"),
    ({2: 3}, TypeError, "received {2: 3}"),
    (np.ones(4), TypeError, "received array"),
    ((), ValueError, "received ()"),
    ((None, np.ones(2), 4, 3), TypeError, "each size of input_shape"),
    ((None, "a", 4, 3), TypeError, "each size of input_shape"),
    ((None, 10**5000, 4, 3), ValueError, "2**16609 or more"),
    ((None, -(10**5000), 4, 3), ValueError, "-2**16609 or more"),
    ((None, NoAnswer(), 4, 3), TypeError, "each size of input_shape"),
]


@pytest.mark.parametrize(("shape", "error", "words"), NO_SHAPES)
@pytest.mark.parametrize(
    "make",
    [
        *BUILT,
        lambda: AveragePooling2D(2),
        lambda: Activation("relu"),
        lambda: Activation(None),
        lambda: Rescaling([1.0, 2.0, 3.0]),
        lambda: Input((2,)),
        lambda: Own(),
    ],
)
def test_a_layer_is_asked_for_the_shape_of_what_has_none(make, shape, error, words):
    layer = make()
    with refused(error, layer.who, words):
        layer.output_shape(shape)


@pytest.mark.parametrize(
    "wrong",
    [np.float32(2), np.ones(2, "f"), Dense(2, dtype="float32"), {"a": 1}, [("f", 4)], ("f",)],
)
def test_what_has_a_float_type_is_none(wrong):
    for make in (lambda: Dense(2, dtype=wrong), lambda: GlorotUniform()((2,), wrong)):
        with refused(ValueError, "expected dtype to be float32 or float64, received"):
            make()
    for right in ("float32", np.float32, np.dtype("f4"), "f4"):
        assert Dense(2, dtype=right).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("groups", [1, np.int64(1)], [True, 1.0, np.True_, [1], "1", 2]),
        ("dilation_rate", [1, (1, 1), [1, 1]], [True, (True, 1), (1, 1, 1), (1, 1.0), 2]),
        ("data_format", [None, "channels_last"], ["channels_first", False, ["channels_last"]]),
        ("kernel_regularizer", [None], [0, False, "", ()]),
    ],
)
def test_an_argument_that_asks_for_nothing_is_of_the_right_kind(name, right, wrong):
    for value in right:
        Conv2D(2, 3, **{name: value})
    for value in wrong:
        with refused(ValueError, f"Conv2D: {name} can only be", f"received {value!r}"):
            Conv2D(2, 3, **{name: value})


def test_keras_s_arguments_of_optimizers_are_of_the_right_kind():
    Adam(amsgrad=np.False_, clipnorm=None)
    RMSprop(momentum=0)
    for name, wrong in (("amsgrad", 0), ("clipnorm", 0), ("use_ema", None)):
        with refused(ValueError, f"Adam: {name} can only be", f"received {wrong!r}"):
            Adam(**{name: wrong})
    with refused(ValueError, "RMSprop: momentum can only be", "received False"):
        RMSprop(momentum=False)


@pytest.mark.parametrize("make", [SGD, Adam, RMSprop])
def test_the_old_names_of_the_learning_rate_say_the_new_one(make):
    for name in ("lr", "decay"):
        words = "learning_rate", f"{name!r}", make.__name__
        with refused(TypeError, *words):
            make(**{name: 0.1})
        optimizer = make()
        with refused(TypeError, *words):
            setattr(optimizer, name, 0.1)
        assert not hasattr(optimizer, name)

    class Own(make):
        def __init__(self, lr):
            super().__init__(lr)
            self.lr = self.decay = lr

    assert Own(0.2).lr == Own(0.2).learning_rate == 0.2


def test_state_and_iterations_of_an_optimizer():
    optimizer = Adam()
    optimizer.update(np.ones(2), np.ones(2))
    state = optimizer.state
    for wrong in (None, [], {"m": 3}, {3: np.ones(2)}, {"m": [1.0, 2.0]}):
        with refused(TypeError, "Adam: expected state to be a dict of vectors", repr(wrong)):
            optimizer.state = wrong
    for wrong, error in (
        (-1, ValueError),
        (1.5, TypeError),
        (2**63, ValueError),
        (True, TypeError),
    ):
        with refused(error, "Adam: expected iterations to be an integer", repr(wrong)):
            optimizer.iterations = wrong
    with refused(TypeError, "SGD: expected nesterov to be True or False"):
        SGD().nesterov = "no"
    assert optimizer.state is state
    assert optimizer.iterations == 1
    optimizer.state, optimizer.iterations = {}, 0
    optimizer.update(np.ones(2), np.ones(2), parts=[slice(0, 1)])


PUBLIC = [
    (Conv2D, (2, 3)),
    (Dense, (2,)),
    (Dropout, (0.5,)),
    (Activation, ("relu",)),
    (Rescaling, (1.0,)),
    *[(kind, ()) for kind in (MaxPooling2D, AveragePooling2D, BatchNormalization, Flatten, Tanh)],
    *[(kind, ()) for kind in {*optimizers.KNOWN.values(), *losses.KNOWN.values()}],
    *[(kind, ()) for kind in {*metrics.KNOWN.values(), *initializers.KNOWN.values()}],
]


@pytest.mark.parametrize(("kind", "args"), PUBLIC, ids=[kind.__name__ for kind, _ in PUBLIC])
def test_messages_and_reprs_name_public_classes(kind, args):
    private = re.compile(r"(?<![\w'])_[A-Za-z]")
    with pytest.raises(
        TypeError, match=f"{kind.__name__}.*unexpected keyword.*'nonsense'"
    ) as caught:
        kind(*args, nonsense=1)
    assert not private.search(str(caught.value))
    with pytest.raises(TypeError) as caught:
        kind(*args, *range(9))
    assert not private.search(str(caught.value).replace("__init__", ""))
    assert not private.search(repr(kind(*args)))


def with_weight(*args, **kwargs):
    class Weighted(Layer):
        def build(self, input_shape):
            self.add_weight(*args, **kwargs)

    return Weighted(name="mine")


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        (with_weight((3, 2), "zeros", name="w"), "add_param('w', (3, 2), 'zeros')"),
        (with_weight(shape=(3, 2), initializer="ones"), "add_param('w', (3, 2), 'ones')"),
        (with_weight("kernel", (3, 2)), "add_param('kernel', (3, 2), 'glorot_uniform')"),
        (
            with_weight(name="mean", shape=(2,), initializer="zeros", trainable=False),
            "add_state('mean', (2,), 'zeros')",
        ),
    ],
)
def test_add_weight_is_translated(layer, call):
    words = f"Weighted 'mine': expected {call[:9]}, received add_weight", f"Write self.{call}"
    with refused(TypeError, *words):
        layer.build((None, 3))
    assert not layer.params
    eval(f"layer.{call}")  # what is offered works
    (array,) = (*layer.params.values(), *layer.state.values())
    assert array.shape in ((3, 2), (2,))


def test_first_values_by_name_by_array_and_by_function():
    layer = Dense(2)
    layer.add_param("a", [2], "ones")
    layer.add_param("b", (2,), np.array([3.0, 4.0]))
    layer.add_state("c", (2,), lambda shape, dtype, rng: np.full(shape, 5, dtype))
    layer.add_state("d", (2,), GlorotUniform)
    assert [layer.params[key].tolist() for key in "ab"] == [[1, 1], [3, 4]]
    assert layer.state["c"].tolist() == [5, 5]
    assert layer.state["d"].any()


# -- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [28, "28", (None, -3), (None, 2.5), (None, "a"), (None, None)])
def test_build_wants_a_shape(wrong):
    model = Sequential([Dense(2)])
    with refused((TypeError, ValueError), "expected", str(wrong), model=model):
        model.build(wrong)


@pytest.mark.parametrize(
    ("layer", "shape", "fix"),
    [
        (lambda: Dense(3), (4,), "received (4,). Write build((None, 4))"),
        (lambda: Conv2D(2, 3), (28, 28, 1), "received (28, 28, 1). Write build((None, 28, 28, 1))"),
    ],
)
def test_build_without_the_batch_axis(layer, shape, fix):
    model = Sequential([layer()])
    with refused(ValueError, "expected input_shape to have the batch axis first", fix):
        model.build(shape)
    assert not model.built
    model.build((None, *shape))
    with refused(ValueError, "Add a channel axis", model=(other := Sequential([Conv2D(2, 3)]))):
        other.build((None, 28, 28))


@pytest.mark.parametrize("wrong", [3, Dense(2), "Dense", {"top": Dense(2)}, [None], [Dense]])
def test_a_model_is_made_of_a_list_of_layers(wrong):
    error = ValueError if isinstance(wrong, list) else TypeError
    with refused(error, "expected a l", "received"):
        Sequential(wrong)


ANOTHER = trained()

WRONG_LAYERS = {
    "no layer": (lambda: "relu", ValueError, "received 'relu'"),
    "a class": (lambda: Dense, ValueError, "expected a layer such as Dense(10)"),
    "a model": (lambda: Sequential(), ValueError, "received <Sequential"),
    "pool too large": (lambda: MaxPooling2D(9), ValueError, "9x9 windows on 8x8 cells"),
    "a name that is taken": (lambda: Dense(2, name="first"), ValueError, "a second 'first'"),
    "another float type": (lambda: Dense(2, dtype="float64"), ValueError, "float32', 'float64'"),
    "Input in the middle": (lambda: Input((8, 8, 1)), ValueError, "Input to come first"),
    "a layer of another model": (lambda: ANOTHER.layers[-1], ValueError, "for which it was built"),
    "built for 3 channels": (lambda: built_for_three(), ValueError, "expected 3 input channels"),
}


def built_for_three():
    layer = Conv2D(2, 2)
    layer.build((None, 8, 8, 3))
    return layer


@pytest.mark.parametrize("wrong", WRONG_LAYERS)
def test_a_layer_that_does_not_fit_is_not_added(wrong):
    make, error, words = WRONG_LAYERS[wrong]
    model = Sequential([Conv2D(2, 1, name="first", input_shape=(8, 8, 1))])
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((20, 8, 8, 2)), verbose=0)
    layer = make()
    with refused(error, words, model=model):
        model.add(layer)
    assert model.predict(X, verbose=0).shape == (20, 8, 8, 2)


class Breaks(Layer):
    """Its build makes a parameter, draws, and then ends in an error that is no one's business."""

    def __init__(self, error, **kwargs):
        super().__init__(**kwargs)
        self.error = error

    def build(self, input_shape):
        self.add_param("W", (3,), GlorotUniform())
        self.add_state("mean", (3,), GlorotUniform())
        if self.error is not None:
            raise self.error
        super().build(input_shape)

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        return x

    def backward(self, dy):
        return self._recall(dy)[0]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_a_build_that_ends_in_an_error_leaves_everything_as_it_was(error):
    model = trained()
    layer = Breaks(error("mine"), name="breaks")
    before, views = life_of(model), [layer.params["W"] for layer in model.layers[::5]]
    for _ in range(2):
        with pytest.raises(error, match="mine"):
            model.add(layer)
        assert life_of(model) == before
        assert [layer.params["W"] for layer in model.layers[::5]] == views
        assert (layer.built, layer.params, layer.grads, layer.state) == (False, {}, {}, {})
        assert (layer.rng, layer.dtype) == (None, None)
    model.fit(X, Y, verbose=0)
    layer.error = None
    Sequential([Dense(3, input_shape=(2,)), layer])  # it belongs to no one


def test_a_first_build_that_ends_in_an_error_leaves_everything_as_it_was():
    model = Sequential([Dense(4, name="first"), Breaks(RuntimeError("mine"))])
    model.compile("sgd", "mse")
    before = life_of(model)
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(np.ones((4, 2)), np.ones((4, 4)), verbose=0)
    assert life_of(model) == before
    assert not model.layers[0].params


def test_an_optimizer_of_another_model():
    """The models share no steps, whether their sizes agree or not."""
    other = trained()
    for forgotten in (False, True):  # the vectors of a model that is gone are as telling
        for layer in (Dense(2, input_shape=(2,)), Dense(2)):
            model = Sequential([layer])
            optimizer = copy.deepcopy(other.optimizer) if forgotten else other.optimizer
            model.compile(optimizer, "mse")
            with refused(ValueError, "Give each model an optimizer of its own", model=model):
                model.fit(np.ones((4, 2)), np.ones((4, 2)), verbose=0)
            assert model.layers[0].built == (layer.declared_shape is not None)


def test_asked_too_early():
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


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda w: w[:-1], ValueError, "8 arrays"),
        (lambda w: [*w, w[0]], ValueError, "received 9"),
        (lambda w: w[::-1], ValueError, "received (3,)"),
        (lambda w: [w[0].T, *w[1:]], ValueError, "received (2, 1, 3, 3)"),
        (lambda w: [*w[:-1], ["a", "b", "c"]], TypeError, "received dtype <U1"),
        (lambda w: [*w[:-1], w[-1] + 0j], TypeError, "received dtype complex"),
        (
            lambda w: [*w[:3], with_one(w[3], 1, np.nan), *w[4:]],
            ValueError,
            "weights[3] (batch_normalization",
        ),
        (lambda w: [*w[:-1], with_one(w[-1], 2, np.inf)], ValueError, "received inf at index [2]"),
        (
            lambda w: [*w[:-1], with_one(w[-1], 2, -1e300)],
            ValueError,
            "/b) to fit into float32, whose largest number is 3.4e+38, received -1e+300",
        ),
        (
            lambda w: [*w[:-1], np.ma.array(w[-1], mask=[0, 1, 0])],
            TypeError,
            "hides 1 of them. Say what stands in their place",
        ),
        (lambda w: None, TypeError, "received NoneType"),
        (lambda w: dict(enumerate(w)), TypeError, "received dict"),
    ],
)
def test_wrong_weights(change, error, words):
    model = trained()
    with refused(error, "expected", words, model=model):
        model.set_weights(change(model.get_weights()))


def test_an_array_put_in_the_place_of_a_parameter_is_not_lost():
    """It is no view into the vector that the optimizer moves; silently it would never learn."""
    model = trained()
    mine = np.full(3, 0.5, np.float32)
    model.layers[-1].params["b"] = mine
    model.train_on_batch(X, Y)
    b = model.layers[-1].params["b"]
    assert np.shares_memory(b, model.flat_params)
    assert 0 < np.abs(b - 0.5).max() < 0.1  # one step away from what was put in


IN_PLACE_OF_AN_ARRAY = [
    (None, TypeError, "received nothing"),
    ("text", TypeError, "received str"),
    ([[1.0]], TypeError, "received list"),
    (np.ones((2, 9)), ValueError, "received (2, 9)"),
    (np.float64(1), ValueError, "received ()"),
    (np.full(3, None), TypeError, "received dtype object"),
    (np.full(3, 1j), TypeError, "received dtype complex128"),
    (np.ma.masked_array(np.ones(3), [True, False, False]), TypeError, "masked"),
    (np.array([1, np.nan, 1]), ValueError, "received nan at index [1]"),
]


@pytest.mark.parametrize(
    ("make", "table", "key"),
    [
        (lambda: Dense(3), "params", "b"),
        (lambda: Conv2D(3, 2), "params", "b"),
        (lambda: BatchNormalization(), "params", "gamma"),
        (lambda: BatchNormalization(), "state", "moving_mean"),
        (lambda: BatchNormalization(), "state", "moving_variance"),
    ],
)
@pytest.mark.parametrize(("wrong", "error", "words"), IN_PLACE_OF_AN_ARRAY)
def test_what_is_put_in_the_place_of_an_array_of_a_layer_by_itself(
    make, table, key, wrong, error, words
):
    """In a model it is the same: tests/test_robustness.py."""
    layer, x = make(), np.ones((2, 4, 4, 3), np.float32)
    y = layer(x)
    held = getattr(layer, table)
    right = held[key]
    held[key] = wrong
    uses = (
        lambda: layer(x),
        lambda: layer.backward(y),
        layer.count_params,
        layer.get_weights,
        lambda: layer.weights,
        lambda: layer.set_weights([]),
    )
    for use in uses:
        with refused(error, f"{layer.who}: expected {table}['{key}']", words):
            use()
    del held[key]
    with refused(TypeError, f"expected {table}['{key}']", "received nothing"):
        layer(x)
    held[key] = right.astype(np.float64)  # one of another float type is taken over
    np.testing.assert_array_equal(layer(x), y, strict=True)
    assert held[key].dtype == np.float32


@pytest.mark.parametrize("make", [lambda: Dense(3), lambda: Conv2D(3, 2), BatchNormalization])
@pytest.mark.parametrize("wrong", [None, 3, [[1.0]], np.ones((2, 9)), np.ones(3, np.float64)])
def test_gradients_that_cannot_be_written_to(make, wrong):
    layer, x = make(), np.ones((2, 4, 4, 3), np.float32)
    dy = np.ones_like(layer(x))
    for key, right in list(layer.grads.items()):
        layer.grads[key] = wrong
        with refused(TypeError, f"{layer.who}: expected grads['{key}'] to be an array of float32"):
            layer.backward(dy)
        layer.grads[key] = right
    layer.backward(dy)


@pytest.mark.parametrize("table", ["params", "grads", "state"])
def test_the_tables_of_a_layer_stay_dicts(table):
    layer = Dense(3)
    layer.build((None, 2))
    for wrong in (None, 3, [], np.ones(2)):
        with refused(TypeError, f"{layer.who}: expected {table} to be a dict of arrays"):
            setattr(layer, table, wrong)
    assert isinstance(getattr(layer, table), dict)


@pytest.mark.parametrize("make", [lambda: Dropout(0.5), BatchNormalization])
def test_training_is_true_or_false_in_forward_too(make):
    layer = make()
    for wrong in (None, "yes", 1, np.array([True, False])):
        with refused(TypeError, f"{layer.who}: expected training to be True or False"):
            layer.forward(np.ones((2, 3)), wrong)
        with refused(TypeError, f"{layer.who}: expected training to be True or False"):
            layer(np.ones((2, 3)), training=wrong)


@pytest.mark.parametrize("make", [SGD, Adam, RMSprop])
def test_slots_that_no_step_could_use(make):
    optimizer = make() if make is not SGD else SGD(momentum=0.5)
    w = np.ones(3, np.float32)
    optimizer.update(w, w.copy())
    before = w.copy()
    for wrong in (None, 3, [], {"v": None}, {"v": np.ones((3, 1))}, {"v": np.full(3, "a")}):
        with refused(TypeError, f"{make.__name__}: expected state to be a dict of vectors"):
            optimizer.state = wrong
    for wrong in (None, [0.0, 0.0, 0.0], np.ones((3, 1)), np.full(3, 1j), np.ma.ones(3)):
        right, optimizer.state["v"] = optimizer.state["v"], wrong
        with refused(TypeError, f"{make.__name__}: expected state to be a dict of vectors"):
            optimizer.update(w, w.copy())
        optimizer.state["v"] = right
    with refused(TypeError, f"{make.__name__}: expected g without masked numbers"):
        optimizer.update(w, np.ma.masked_array(np.ones(3), [True, False, False]))
    np.testing.assert_array_equal(w, before)


@pytest.mark.parametrize("attribute", ["loss", "optimizer"])
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "evaluate", "test_on_batch"])
def test_what_compile_chooses_is_not_named_in_passing(attribute, call):
    model = trained()
    held, before = getattr(model, attribute), life_of(model)
    setattr(model, attribute, "mse")
    words = f"{call}: expected model.{attribute} to be a", f"compile({attribute}='mse')"
    with refused(TypeError, *words):
        getattr(model, call)(X, Y)
    setattr(model, attribute, held)
    assert life_of(model) == before
    model.fit(X, Y, verbose=0)


def test_an_optimizer_put_in_the_place_of_another_takes_the_steps():
    """What runs the steps was made for the one before."""
    model = trained()
    model.optimizer = SGD(0.0)
    before = model.get_weights()[0]
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.get_weights()[0], before)
    assert model.optimizer.iterations == 1


def test_a_vector_assigned_to_flat_params_is_copied_into_it():
    model = trained()
    vector = model.flat_params
    model.flat_params = np.full(vector.size, 0.25)
    assert model.flat_params is vector
    assert (model.layers[-1].params["b"] == 0.25).all()
    for wrong, error, words in (
        (vector[:-1], ValueError, f"shape ({vector.size},), received ({vector.size - 1},)"),
        (0.0, ValueError, "received ()"),
        (np.full(vector.size, np.nan), ValueError, "flat_params to be finite, received nan"),
        (np.full(vector.size, 1e300), ValueError, "flat_params to fit into float32"),
        ("abc", TypeError, "flat_params to be an array of real numbers"),
    ):
        with refused(error, "expected flat_params", words, model=model):
            model.flat_params = wrong


class Meddles(Callback):
    def __init__(self, meddle):
        self.meddle = meddle

    def on_train_batch_end(self, batch, logs=None):
        self.meddle(self.model)


@pytest.mark.parametrize(
    ("name", "meddle"),
    [
        ("compile", lambda model: model.compile("sgd", "mse")),
        ("pop", lambda model: model.pop()),
        ("optimizer", lambda model: setattr(model, "optimizer", SGD(0.1))),
        ("loss", lambda model: setattr(model, "loss", losses.SparseCategoricalCrossentropy())),
        ("jit_compile", lambda model: setattr(model, "jit_compile", False)),
        ("add", lambda model: model.add(Dense(3))),
    ],
)
def test_a_model_is_not_rebuilt_while_it_is_trained(name, meddle):
    model, twin = with_fault((), "forward"), with_fault((), "forward")
    words = f"{name}: expected Sequential '{model.name}' to be at rest, but it is being fitted"
    with refused(ValueError, words, "stop_training = True"):
        model.fit(ROWS, LABELS, shuffle=False, callbacks=[Meddles(meddle)], verbose=0)
    twin.train_on_batch(ROWS[:32], LABELS[:32])
    assert rename(life_after(model), model) == rename(life_after(twin), twin)
    meddle(model)  # at rest again


def test_a_copy_made_while_a_model_is_trained_is_at_rest():
    made = []
    model = with_fault((), "forward")
    model.fit(ROWS, LABELS, callbacks=[Meddles(lambda m: made.append(copy.copy(m)))], verbose=0)
    made[0].compile("sgd", SPARSE)
    made[0].fit(ROWS, LABELS, verbose=0)


def test_an_optimizer_that_forgets_super_init():
    class Own(SGD):
        def __init__(self):
            self.slots = ()

    model = trained()
    with refused(
        TypeError, "compile: expected the __init__ of Own to call Optimizer's", model=model
    ):
        model.compile(Own(), SPARSE)


@pytest.mark.parametrize("value", [np.array([True, False]), "yes", 2, None, [True]])
def test_jit_compile(value):
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
def test_a_word_is_no_answer_in_a_call_either(call):
    with refused(TypeError, "to be True or False, received 'yes'", model=(model := trained())):
        call(model)


def test_x_and_y_in_each_others_place():
    model = trained()
    with refused(ValueError, "received (20,). Each sample has to be an array", model=model):
        model.fit(Y, X, verbose=0)


# -- metrics, losses and helpers ------------------------------------------------------------------


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
def test_a_function_that_is_no_metric(values, error, words):
    model = trained()
    values.__name__ = "values"
    model.compile("adam", SPARSE, metrics=[values])
    with refused(error, words):
        model.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize("name", ["", 3])
def test_names_of_metrics(name):
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


METRICS_NO_LIST = [
    ("accuracy", "['accuracy']"),
    ({"dense": "accuracy"}, "['accuracy']"),
    ({"dense": ["accuracy", "mse"]}, "['accuracy', 'mse']"),
]


@pytest.mark.parametrize(("given", "fix"), METRICS_NO_LIST)
def test_the_list_of_metrics_that_is_offered_is_one_that_is_taken(given, fix):
    model = trained()
    with refused(TypeError, "compile: expected metrics to be a list", f"={fix}", model=model):
        model.compile("adam", SPARSE, metrics=given)
    model.compile("adam", "mse", metrics=eval(fix))


@pytest.mark.parametrize("wrong", ["a", 0, -1, 2.5, True])
def test_line_length_of_summary(wrong):
    error = ValueError if wrong in (0, -1) and wrong is not True else TypeError
    words = f"summary: expected line_length to be an integer >= 1, received {wrong!r}"
    with refused(error, words, model=(model := trained())):
        model.summary(line_length=wrong)
    with refused(TypeError, "summary: expected print_fn to be a function", "received 'x'"):
        model.summary(print_fn="x")
    with refused(TypeError, "summary: expected show_trainable to be True or False"):
        model.summary(show_trainable="yes")


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


@pytest.mark.parametrize("value", ["many", "0", "-2", "1.5", "2 threads", "9" * 5000])
def test_a_number_of_threads_that_is_none(monkeypatch, value):
    model = trained()
    monkeypatch.setattr(threads, "_num_threads", None)
    monkeypatch.setenv("MINICNN_NUM_THREADS", value)
    words = f"MINICNN_NUM_THREADS: expected an integer >= 1, received {shown(value)}"
    with refused(ValueError, words):
        get_num_threads()
    for call in (model.fit, model.evaluate, model.train_on_batch):
        with refused(ValueError, words, model=model):
            call(X, Y)
    with refused(ValueError, words, model=model):
        model.predict(X)
    set_num_threads(2)  # says it louder than the environment
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("labels", "classes", "error", "words"),
    [
        ([0, 1.5], None, ValueError, "whole numbers, received 1.5"),
        ([0, np.nan], None, ValueError, "received nan"),
        ([0, np.inf], None, ValueError, "received inf"),
        ([0, -1], None, ValueError, "received -1"),
        ([0, 3], 3, ValueError, "labels from 0 to 2, received 3"),
        (["a"], None, TypeError, "received dtype <U1"),
        ([], None, ValueError, "at least one label"),
        ([0], 0, ValueError, "num_classes to be an integer >= 1, received 0"),
        ([0], 2.5, TypeError, "num_classes to be an integer >= 1, received 2.5"),
    ],
)
def test_to_categorical(labels, classes, error, words):
    with refused(error, "to_categorical: expected", words):
        to_categorical(labels, classes)


def test_labels_below_zero_are_not_said_to_lie_between_0_and_something_less():
    with pytest.raises(ValueError, match="received -1") as caught:
        to_categorical([-1])
    assert not re.search(r"from 0 to -\d", str(caught.value))


class Refuses:
    """Fails where NumPy or Python asks it for its numbers, its items or its length."""

    def _refuse(self, *args, **kwargs):
        raise RuntimeError("this object refuses")

    __array__ = __len__ = __iter__ = __getitem__ = __bool__ = __eq__ = __fspath__ = _refuse
    __hash__ = None


# argument -> a call with any value in its place; arguments of layers: test_settings_...
ANYWHERE = {
    "layers": lambda value: Sequential(value),
    "layer": lambda value: trained().add(value),
    "input_shape": lambda value: Sequential([Dense(2)]).build(value),
    "metrics": lambda value: trained().compile(metrics=value),
    "loss": lambda value: trained().compile(loss=value),
    "loss_weights": lambda value: trained().compile(loss="mse", loss_weights=value),
    "jit_compile": lambda value: trained().compile(loss="mse", jit_compile=value),
    "verbose": lambda value: trained().fit(X, Y, verbose=value),
    "x": lambda value: to_categorical(value),
    "print_fn": lambda value: trained().summary(print_fn=value),
    "arrays": lambda value: train_test_split(value, X),
    "test_size": lambda value: train_test_split(X, test_size=value),
    "shuffle": lambda value: train_test_split(X, shuffle=value),
    "stratify": lambda value: train_test_split(X, stratify=value),
    "y_true": lambda value: accuracy_score(value, [0, 1]),
    "y_pred": lambda value: confusion_matrix([0, 1], value),
    "labels": lambda value: confusion_matrix([0, 1], [0, 1], value),
    "target_names": lambda value: classification_report([0, 1], [0, 1], target_names=value),
    "zero_division": lambda value: classification_report([0, 1], [0, 1], zero_division=value),
    "titles": lambda value: plotting.image_grid(np.ones((1, 2, 2)), value),
    "colors": lambda value: plotting.image_grid(np.ones((1, 2, 2)), colors=value),
    "suptitle": lambda value: plotting.image_grid(np.ones((1, 2, 2)), suptitle=value),
    "class_names": lambda value: plotting.confusion_heatmap([0, 1], [0, 1], value),
    "data": lambda value: parse_idx(value, (None,)),
    "shape": lambda value: parse_idx(b"data", value),
    "source": lambda value: parse_idx(b"data", (None,), source=value),
    "sha256": lambda value: verify(b"data", value, "file"),
    "path": lambda value: fashion_mnist.load_data(value),
    "layer ": lambda value: check_layer(value, (4, 3)),
    "linear": lambda value: check_layer(Dense(2), (4, 3), linear=value),
    "wrt": lambda value: check_layer(Dense(2), (4, 3), wrt=value),
    "loss ": lambda value: check_loss(value, [[0.0, 1.0]], [[0.3, 0.4]]),
    "model": lambda value: check_model(value, X, Y),
}


@pytest.mark.parametrize("name", ANYWHERE)
@pytest.mark.parametrize(
    "value", [10**5000, [0.5] * 5000, Refuses()], ids=["an integer", "a list", "an object"]
)
def test_messages_are_short_and_name_the_argument_whatever_it_is(name, value, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "MIRRORS", ())
    with pytest.raises((TypeError, ValueError)) as caught:
        ANYWHERE[name](value)
    assert re.search(rf"\b{name.strip().removesuffix('s')}", str(caught.value))
    assert len(str(caught.value)) < 1000


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
def test_more_epochs_than_anyone_can_count(name):
    model = trained()
    with refused(ValueError, f"fit: expected {name} to be an integer from 0 to", model=model):
        model.fit(X, Y, **{name: 10**5000})


@pytest.mark.parametrize("make", [Dense, Conv2D, MaxPooling2D, Flatten, BatchNormalization])
def test_a_shape_of_more_axes_than_an_array_has(make):
    layer = make(*(2, 2)[: {Dense: 1, Conv2D: 2}.get(make, 0)])
    for call in (layer.output_shape, layer.build):
        with refused(ValueError, f"{layer.who}: expected input_shape to have at most 32 axes"):
            call((2,) * 5000)


def test_labels_and_samples_are_named():
    with refused(ValueError, "expected x to hold labels below 2147483647, received 4294967296"):
        to_categorical([2**32])
    for wrong in (-1, 0.5, np.nan):
        with refused(ValueError, "to_categorical: expected x to hold"):
            to_categorical([wrong])
    for kind in (metrics.CategoricalAccuracy, metrics.MeanAbsoluteError):
        for y_true, y_pred in ((1, [1.0]), ([1.0], 1)):
            with refused(ValueError, "expected y_true and y_pred to be arrays of samples"):
                kind()(y_true, y_pred)
    for kind in (metrics.CategoricalAccuracy, metrics.MeanAbsoluteError):
        with refused(ValueError, "expected y_true to be finite, received nan at index [0, 1]"):
            kind()([[0.0, np.nan]], [[0.2, 0.8]])
    with refused(ValueError, "CategoricalAccuracy: expected y of shape (N, ..., C)"):
        metrics.CategoricalAccuracy()([1, 2], [1.5, 2.5])
    with refused(TypeError, "expected loss to be a minicnn.losses.Loss, received 3"):
        metrics.get(lambda y_true, y_pred: y_true, 3, (None, 2))
    same = metrics.CategoricalAccuracy()([[0.0, 1.0]], [[[0.2], [0.8]]])
    assert same == metrics.CategoricalAccuracy()([[[0.0], [1.0]]], [[[0.2], [0.8]]])
    with refused(TypeError, "parse_idx: expected shape to be a tuple"):
        parse_idx(b"data", memoryview(b"ab"))
    with refused(ValueError, "parse_idx: expected shape[0] to be an integer from 1 to"):
        parse_idx(b"data", (2**40,))
    with refused(ValueError, "expected path to name a folder, received 'aaa", "no file system"):
        fashion_mnist.load_data("a" * 100_000)


def test_settings_of_the_whole_package():
    before = get_num_threads(), config.floatx()
    for wrong, error in ((0, ValueError), (-2, ValueError), (1.5, TypeError), ("2", TypeError)):
        with refused(error, "set_num_threads: expected n to be an integer >= 1", f"{wrong!r}"):
            set_num_threads(wrong)
    for wrong in (2**31, 2**63, 10**5000):
        with refused(ValueError, "set_num_threads: expected n to be an integer from 1 to"):
            set_num_threads(wrong)
        with refused(ValueError, "set_random_seed: expected seed to be an integer from 0 to"):
            set_random_seed(2**32 + wrong)
    for wrong, error in (("half", ValueError), (np.float32, TypeError), (32, TypeError)):
        with refused(error, "set_floatx: expected value to be one of float32, float64"):
            config.set_floatx(wrong)
    for wrong, error in ((-1, ValueError), (2**32, ValueError), (1.5, TypeError), ("a", TypeError)):
        with refused(error, "set_random_seed: expected seed", f"{wrong!r}"):
            set_random_seed(wrong)
    assert (get_num_threads(), config.floatx()) == before


# -- what goes wrong on the way -------------------------------------------------------------------


class Fault(Layer):
    """Hands everything on, but in some steps it spoils one number of y, or of dx."""

    def __init__(self, steps, way, value=np.nan, **kwargs):
        super().__init__(**kwargs)
        self.steps, self.way, self.value, self.now = steps, way, value, -1

    def seek(self, step, sample):
        self.now = step

    def forward(self, x, training=False):
        x = self._input(x).copy()
        self._cache = (self.now,)
        if training and self.way == "forward" and self.now in self.steps:
            x.flat[0] = self.value
        return x

    def backward(self, dy):
        dy, (now,) = self._recall(dy)
        dx = dy.copy()
        if self.way == "backward" and now in self.steps:
            dx.flat[0] = self.value
        return dx


def with_fault(*fault, optimizer=None):
    set_random_seed(5)
    model = Sequential(
        [
            BatchNormalization(input_shape=(4,)),
            Dense(6, activation="tanh", name="below"),
            Fault(*fault, name="fault"),
            Dropout(0.3),
            Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer or SGD(0.1, momentum=0.9), SPARSE, metrics=["accuracy"])
    return model


ROWS, LABELS = rng.standard_normal((64, 4)), rng.integers(0, 3, 64)


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def _threads(request):
    before = get_num_threads()
    set_num_threads(request.param)
    yield
    set_num_threads(before)


def life_after(model):
    """As `life_of`, without what belongs to one object alone or to the failed step's gradient."""
    life = life_of(model)
    for key in ("gradients", "history", "compiled", "layers", "random"):
        del life[key]
    return {k: v[1] if isinstance(v, tuple) and len(v) == 2 else v for k, v in life.items()}


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("way", "names"),
    [("forward", "the output of Fault 'fault'"), ("backward", "in Dense 'below'")],
)
def test_what_is_not_finite_stops_fit_and_leaves_the_last_whole_step(way, value, names):
    faulty = {2}
    model, twin = (with_fault(faulty, way, value) for _ in range(2))
    with pytest.raises(FloatingPointError) as caught:
        model.fit(ROWS, LABELS, batch_size=16, shuffle=False, verbose=0)
    assert names in str(caught.value)
    assert "step 3" in str(caught.value)
    for start in (0, 16):
        twin.train_on_batch(ROWS[start : start + 16], LABELS[start : start + 16])
    assert rename(life_after(model), model) == rename(life_after(twin), twin)

    faulty.clear()  # repaired: both go on, and alike
    for one in (model, twin):
        one.fit(ROWS, LABELS, batch_size=16, shuffle=False, verbose=0)
    assert rename(life_after(model), model) == rename(life_after(twin), twin)


def rename(life, model):
    """Without the automatic names, which count through the process."""
    for number, layer in enumerate(model.layers):
        life = {k.replace(f"{layer.name}/", f"{number}/"): v for k, v in life.items()}
    return life


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("make", [lambda lr: SGD(lr, 0.9), lambda lr: SGD(lr, 0.9, True)])
def test_a_step_too_long_leaves_optimizer_and_weights_as_they_were(make):
    """Else the first sane step after it would follow an infinite momentum."""
    model, twin = (with_fault((), "forward", optimizer=make(0.01)) for _ in range(2))
    for one in (model, twin):
        one.train_on_batch(ROWS, LABELS)
    model.optimizer.learning_rate = 1e300
    with pytest.raises(FloatingPointError, match=r"the step of SGD.* step 2"):
        model.train_on_batch(ROWS, LABELS)
    model.optimizer.learning_rate = 0.01
    assert rename(life_after(model), model) == rename(life_after(twin), twin)
    for one in (model, twin):
        one.train_on_batch(ROWS, LABELS)
    assert rename(life_after(model), model) == rename(life_after(twin), twin)


@pytest.mark.usefixtures("_threads")
def test_inputs_too_large_stop_fit_by_name_and_without_warnings():
    """Warnings are errors here, in the threads that work on the shards too."""
    model = Sequential([Dense(6, name="below", input_shape=(4,)), Dense(3)])
    model.compile("sgd", "mse")
    model.fit(ROWS, np.eye(3)[LABELS], verbose=0)
    before = life_after(model)
    with pytest.raises(FloatingPointError, match=r"(the output of Dense|the loss).* step 3"):
        model.fit(np.full((64, 4), 1e38), np.eye(3)[LABELS], verbose=0)
    assert life_after(model) == before


@pytest.mark.usefixtures("_threads")
def test_the_first_of_many_bad_numbers_is_named_whichever_thread_finds_one():
    model = Sequential([Dense(2, input_shape=(100,))])
    x = np.zeros((20_000, 100), "float32")
    x[[2_500, 12_000, 19_999], 7] = np.nan
    for _ in range(20):
        with pytest.raises(ValueError, match=r"received nan at index \[2500, 7\]"):
            model.predict(x, verbose=0)


class Broken(Layer):
    """Fails in the middle of a step, as a layer of a user's own may."""

    def forward(self, x, training=False):
        raise OSError("no such device")


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "evaluate", "predict"])
def test_an_error_of_a_users_layer_comes_through_and_leaves_the_weights(call):
    model = Sequential([BatchNormalization(input_shape=(4,)), Dense(3), Broken()])
    model.compile("adam", "mse")
    before = life_after(model)
    arguments = (ROWS,) if call == "predict" else (ROWS, np.eye(3)[LABELS])
    with pytest.raises(OSError, match="no such device"):
        getattr(model, call)(*arguments)
    assert life_after(model) == before


# -- layers of a user's own -----------------------------------------------------------------------


class Own(Layer):
    """Does right, unless told to do one thing wrong."""

    def __init__(self, y=lambda y: y, dx=lambda dx: dx, units=None, **kwargs):
        super().__init__(**kwargs)
        self.y, self.dx, self.units = y, dx, units

    def output_shape(self, input_shape):
        return (*input_shape[:-1], self.units or input_shape[-1])

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        return self.y(x)

    def backward(self, dy):
        dy, _ = self._recall(dy)
        return self.dx(dy)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("last", [True, False], ids=["last", "inside"])
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "evaluate", "predict", "__call__"])
@pytest.mark.parametrize(
    ("own", "error", "words"),
    [
        (
            lambda: Own(units=7, name="own"),
            ValueError,
            "y of shape (8, 7), as output_shape says, but forward returns shape (8, 4)",
        ),
        (
            lambda: Own(lambda y: y.mean(axis=1, keepdims=True), name="own"),
            ValueError,
            "y of shape (8, 4), as output_shape says, but forward returns shape (8, 1)",
        ),
        (
            lambda: Own(lambda y: None, name="own"),
            TypeError,
            "forward to return an array, received NoneType. End it with: return y",
        ),
    ],
    ids=["other size", "would be broadcast", "nothing"],
)
def test_a_forward_that_does_not_do_what_the_layer_says(own, error, words, call, last):
    """The layer at fault is named, not the one that stumbles over it, and nothing is broadcast."""
    layers = [Dense(4, input_shape=(4,)), own(), *([] if last else [Dense(3)])]
    model = Sequential(layers)
    model.compile("adam", "mse")
    y = np.zeros((8, *model.output_shape[1:]))
    before = life_after(model)
    with pytest.raises(error) as caught:
        getattr(model, call)(*((ROWS[:8],) if call in ("predict", "__call__") else (ROWS[:8], y)))
    assert f"Own 'own': expected {words}" in str(caught.value)
    assert life_after(model) == before


def test_a_backward_that_returns_nothing():
    """The engine takes None for 'no dx needed': all layers below would silently stop learning."""
    model = Sequential([Dense(4, input_shape=(4,)), Own(dx=lambda dx: None, name="own"), Dense(3)])
    model.compile("adam", "mse")
    before = life_after(model)
    with pytest.raises(TypeError, match="Own 'own': expected backward to return dx.*NoneType"):
        model.fit(ROWS, np.eye(3)[LABELS], verbose=0)
    assert life_after(model) == before


class Halves(Own):
    """Calls the forward that it derives from, and returns another shape: which is its right."""

    def output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)

    def forward(self, x, training=False):
        return super().forward(x, training)[..., ::2]


def test_a_subclass_of_a_users_layer_is_judged_by_its_own_shape():
    assert Sequential([Halves(input_shape=(4,))]).predict(ROWS, verbose=0).shape == (64, 2)


class Forgetful(Layer):
    """Leaves out super().__init__()."""

    def __init__(self, factor=2):
        self.factor = factor

    def forward(self, x, training=False):
        return self.factor * x


@pytest.mark.parametrize(
    "call",
    [
        lambda layer: layer(ROWS),
        lambda layer: layer.forward(ROWS),
        lambda layer: Sequential([Dense(3, input_shape=(4,)), layer]),
        lambda layer: Sequential([layer]),
        lambda layer: check_layer(layer, (2, 3)),
    ],
    ids=["alone", "forward", "in a model", "first", "check_layer"],
)
def test_a_layer_that_forgets_super_init(call):
    with refused(TypeError, "Forgetful: expected its __init__ to call Layer's", "super().__init__"):
        call(Forgetful())


class OwnLoss(losses.Loss):
    """The squared error, unless told to do one thing wrong."""

    def __init__(self, loss=lambda loss: loss, gradient=lambda gradient: gradient):
        self.loss, self.gradient = loss, gradient

    def forward(self, y_true, y_pred):
        return self.loss(np.square(y_pred - y_true).sum(axis=1))

    def backward(self, y_true, y_pred):
        return self.gradient(2 * (y_pred - y_true))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (
            OwnLoss(np.sum),
            "forward to return the loss of each sample, shape (8,), received shape ()",
        ),
        (OwnLoss(lambda loss: loss[:, None]), "shape (8,), received shape (8, 1)"),
        (OwnLoss(lambda loss: None), "shape (8,), received None"),
        (OwnLoss(gradient=lambda g: None), "of y_pred's shape (8, 3), received None"),
        (OwnLoss(gradient=lambda g: g[:, :1]), "of y_pred's shape (8, 3), received shape (8, 1)"),
        (OwnLoss(gradient=np.mean), "backward to return the gradient, of y_pred's shape (8, 3)"),
    ],
)
def test_a_users_loss_that_returns_another_shape(loss, words):
    """One number for the whole batch would pass for that of each sample."""
    model = Sequential([Dense(3, input_shape=(4,))])
    model.compile("adam", loss)
    before = life_after(model)
    with pytest.raises(ValueError, match="OwnLoss: expected") as caught:
        model.fit(ROWS[:8], np.eye(3)[LABELS[:8]], verbose=0)
    assert words in str(caught.value)
    assert life_after(model) == before


def test_a_users_loss_that_returns_what_it_has_to():
    model = Sequential([Dense(3, input_shape=(4,))])
    model.compile("sgd", OwnLoss())
    history = model.fit(ROWS, np.eye(3)[LABELS], epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]

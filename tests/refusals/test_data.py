"""Arrays that a model cannot take, given to each call that takes data."""

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.layers import Conv2D, Dense, Flatten, Input
from refusals.helpers import ONE_HOT, SPARSE, X, Y, refused, trained, with_one

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
def test_x_and_y_beyond_the_range_of_float32_are_refused(wrong, door):
    """They would become infinite in the cast, and NaN soon after, without a word from predict."""
    x, y, words = TOO_LARGE[wrong]
    model = trained("mse")
    name = f"{door}: expected {wrong[0]} to fit into float32, whose largest number is 3.4e+38"
    with refused(ValueError, name, words, "dtype='float64'", model=model):
        if door == "fit validation_data":
            model.fit(X, ONE_HOT, validation_data=(x, y), verbose=0)
        else:
            DOORS[door](model, x, y)


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize(
    "given", [lambda x: x, lambda x: x[:, ::-1], lambda x: x.astype(np.longdouble)]
)
def test_predict_meets_what_float32_cannot_hold_wherever_it_lies(given, jit):
    """tanh makes 1 of the infinity that the cast makes of it."""
    layers = [Conv2D(16, 3, activation="tanh"), Flatten(), Dense(2)]
    model = Sequential([Input((8, 8, 1)), *layers])
    model.compile("sgd", "mse", jit_compile=jit)
    with refused(ValueError, "predict: expected x to fit into float32", model=model):
        model.predict(given(with_one(X, (3, 2, 1), 1e100)), verbose=0)


def test_a_model_in_float64_takes_what_float64_holds():
    model = Sequential([Dense(2, dtype="float64", input_shape=(4,))])
    assert np.isfinite(model.predict(np.full((3, 4), 1e200), verbose=0)).all()
    unbuilt = Sequential([Dense(2, dtype="float64")])
    assert np.isfinite(unbuilt(np.full((3, 4), 1e200))).all()
    with refused(ValueError, "Sequential(): expected x to fit into float32"):
        Sequential([Dense(2)])(np.full((3, 4), 1e200))


@pytest.mark.parametrize("door", DOORS)
def test_masked_numbers_in_x_and_y_are_refused(door):
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
def test_every_call_refuses_wrong_x(wrong, door):
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
def test_calls_refuse_wrong_targets_of_a_regression(y, words, door):
    model = trained("mse")
    with refused(ValueError, f"{door}: expected y", words, model=model):
        DOORS[door](model, X, y)


def test_the_hint_for_x_of_a_wrong_size_is_not_a_channel_axis():
    """Rows of 7 pixels instead of 8 do not fit for being given a channel axis."""
    with pytest.raises(ValueError, match="received") as caught:
        trained().predict(X[:, :7], verbose=0)
    assert "x[..., None]" not in str(caught.value)


def test_fit_names_exchanged_x_and_y():
    model = trained()
    with refused(ValueError, "received (20,). Each sample has to be an array", model=model):
        model.fit(Y, X, verbose=0)


@pytest.mark.usefixtures("_threads")
def test_predict_names_the_first_nan_whichever_thread_finds_one():
    model = Sequential([Dense(2, input_shape=(100,))])
    x = np.zeros((20_000, 100), "float32")
    x[[2_500, 12_000, 19_999], 7] = np.nan
    for _ in range(20):
        with pytest.raises(ValueError, match=r"received nan at index \[2500, 7\]"):
            model.predict(x, verbose=0)

"""What `fit`, `evaluate` and `predict` take beside arrays: the same numbers, the same hooks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import numpy as np
import pytest
from fixtures.make_keras_feeds import CASES, FILE, outcome

from minicnn import Sequential
from minicnn.callbacks import Callback
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    RandomFlip,
)
from minicnn.optimizers import SGD
from minicnn.utils import PyDataset, set_random_seed

KERAS = json.loads(FILE.read_text())

# Keras warns at the end of every iterator, though nobody asked for more: docs/keras-differences.md
ALL_OF_IT = {"generator, all of it", "generator, weighted", "validation, generator",
             "evaluate, generator", "evaluate, weighted", "predict, generator",
             "predict, inputs alone"}  # fmt: skip


def line():
    model = Sequential([Input((2,)), Dense(1, kernel_initializer="zeros")])
    model.compile(SGD(0.1), "mse")
    return model


@pytest.mark.parametrize("name", CASES)
def test_calls_go_as_in_keras(name):
    ours, theirs = outcome(name, line(), Callback, PyDataset), KERAS[name]
    assert ours["hooks"] == theirs["hooks"]
    assert ours["steps"] == theirs["steps"]
    assert ours["ran out"] == (theirs["ran out"] and name not in ALL_OF_IT)
    if isinstance(theirs["result"], dict):
        assert ours["result"].keys() == theirs["result"].keys()
        for key, values in theirs["result"].items():
            np.testing.assert_allclose(ours["result"][key], values, rtol=2e-6)
    else:
        np.testing.assert_allclose(ours["result"], theirs["result"], rtol=2e-6)


# -- the same batches in another form -------------------------------------------------------------

rng = np.random.default_rng(13)
IMAGES = rng.uniform(0, 1, (44, 8, 8, 1)).astype("float32")
LABELS = rng.integers(0, 3, 44)
WEIGHTS = rng.uniform(0, 2, 44)
BATCHES = [slice(start, start + 10) for start in range(0, 44, 10)]  # the last one shorter


def network(jit_compile="auto"):
    set_random_seed(5)
    model = Sequential(
        [
            Input((8, 8, 1)),
            RandomFlip("horizontal"),
            Conv2D(4, 3),
            BatchNormalization(),
            Dropout(0.3),
            Flatten(),
            Dense(3, "softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=jit_compile)
    return model


def parts(rows):
    return IMAGES[rows], LABELS[rows], WEIGHTS[rows]


def generated():
    for rows in BATCHES:
        yield parts(rows)


def reusing():
    """Writes every batch into the same arrays, and spoils them when the next one is asked for."""
    arrays = np.empty((10, 8, 8, 1), "float32"), np.empty(10, int), np.empty(10)
    for rows in BATCHES:
        given = tuple(array[: len(LABELS[rows])] for array in arrays)
        for array, values in zip(given, parts(rows)):
            array[...] = values
        yield given
        for array in arrays:
            array[...] = 7


class Loader:
    """Gives an iterator each time, as a DataLoader does: lists, and a length."""

    def __iter__(self):
        return (list(parts(rows)) for rows in BATCHES)

    def __len__(self):
        return len(BATCHES)


class Endless(Loader):
    """Says nothing of its length."""

    __len__ = None


class Numbered:
    def __getitem__(self, k):
        return parts(BATCHES[k])

    def __len__(self):
        return len(BATCHES)


class Numbers(PyDataset):
    def __getitem__(self, k):
        time.sleep(0.002 * (3 - k % 3))  # later batches are done sooner
        return parts(BATCHES[k])

    def __len__(self):
        return len(BATCHES)


class Tensor:
    """An array of another library, which only has numpy()."""

    def __init__(self, array):
        self.array = array

    def numpy(self):
        return self.array


def of_torch():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(*map(torch.from_numpy, (IMAGES, LABELS, WEIGHTS)))
    return torch.utils.data.DataLoader(data, batch_size=10)


FORMS = {
    "a generator": generated,
    "one that uses its arrays again": reusing,
    "an iterator": lambda: iter([parts(rows) for rows in BATCHES]),
    "a map": lambda: map(parts, BATCHES),
    "a loader": Loader,
    "a loader without a length": Endless,
    "what has numbers": Numbered,
    "a dataset": Numbers,
    "a dataset that nothing makes ahead": lambda: Numbers(workers=0),
    "a dataset of three workers": lambda: Numbers(workers=3, max_queue_size=2),
    "a dataset of many workers": lambda: Numbers(workers=9, use_multiprocessing=True),
    "float64 without a channel": lambda: (
        (IMAGES[rows, ..., 0].astype(float), LABELS[rows][:, None], WEIGHTS[rows, None])
        for rows in BATCHES
    ),
    "in another order of memory": lambda: (
        (np.asfortranarray(IMAGES[rows]), LABELS[rows].astype(">i4"), WEIGHTS[rows])
        for rows in BATCHES
    ),
    "lists": lambda: (tuple(part.tolist() for part in parts(rows)) for rows in BATCHES),
    "tensors": lambda: (tuple(map(Tensor, parts(rows))) for rows in BATCHES),
    "a DataLoader": of_torch,
}


def same(model, other):
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for slot, vector in model.optimizer.state.items():
        np.testing.assert_array_equal(vector, other.optimizer.state[slot])


@pytest.mark.parametrize("jit_compile", ["auto", False])
@pytest.mark.parametrize("form", FORMS)
def test_the_same_batches_give_the_same_bits(form, jit_compile):
    twin, model = network(jit_compile), network(jit_compile)
    x = FORMS[form]()
    once = isinstance(x, Iterator)
    told = {"verbose": 0, "callbacks": [Callback()]}  # who are told of each batch of an evaluate
    theirs = twin.fit(
        IMAGES, LABELS, 10, sample_weight=WEIGHTS, epochs=1 if once else 3, shuffle=False,
        validation_data=(IMAGES, LABELS, WEIGHTS), **told,
    )  # fmt: skip
    ours = model.fit(
        x, epochs=1 if once else 3, shuffle=False, validation_data=FORMS[form](), **told
    )
    same(model, twin)
    assert ours.history == theirs.history
    expected = twin.evaluate(IMAGES, LABELS, 10, sample_weight=WEIGHTS, **told)
    assert model.evaluate(FORMS[form](), **told) == expected
    predicted = model.predict(FORMS[form](), **told)
    np.testing.assert_array_equal(predicted, twin.predict(IMAGES, 10, **told))

"""What `fit`, `evaluate` and `predict` take beside arrays: the same numbers, the same hooks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from counts import and_slow
from fixtures.make_keras_feeds import CASES, FILE, outcome

from minicnn import Sequential
from minicnn.callbacks import BackupAndRestore, Callback
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

# Keras warns whenever an iterator ends, also where no more steps were asked for: see
# docs/keras-differences.md
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


@pytest.mark.parametrize("jit_compile", and_slow(["auto"], [False], "in_ci"))
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


@pytest.mark.parametrize("call", ["predict", "evaluate"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_steps_of_arrays_where_no_callback_is_told_of_each_batch(call, steps):
    model = network()
    y = () if call == "predict" else (LABELS,)
    given = {"batch_size": 10, "verbose": 0}
    found = getattr(model, call)(IMAGES, *y, **given, steps=steps)
    rows = slice(0, 10 * steps)
    expected = getattr(model, call)(IMAGES[rows], *(one[rows] for one in y), **given)
    np.testing.assert_array_equal(found, expected)


# -- files ----------------------------------------------------------------------------------------


def on_disk(path, array):
    file = np.memmap(path, array.dtype, "w+", shape=array.shape)
    file[...] = array
    file.flush()
    return np.memmap(path, array.dtype, "r", shape=array.shape)


@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_a_memmap_gives_the_same_bits_as_its_array(jit_compile, tmp_path):
    x, y = on_disk(tmp_path / "x", IMAGES), on_disk(tmp_path / "y", LABELS[:, None])
    model, twin = network(jit_compile), network(jit_compile)
    for one, data in ((model, (x, y)), (twin, (IMAGES, LABELS))):
        one.fit(*data, 10, epochs=2, verbose=0, validation_split=0.25, class_weight={0: 2.0})
    same(model, twin)
    np.testing.assert_array_equal(model.predict(x, verbose=0), twin.predict(IMAGES, verbose=0))
    assert model.evaluate(x, y, verbose=0) == twin.evaluate(IMAGES, LABELS, verbose=0)


def test_values_of_a_memmap_are_checked_batch_by_batch(tmp_path):
    wrong = IMAGES.copy()
    wrong[33, 2, 1] = np.nan
    x = on_disk(tmp_path / "x", wrong)
    model, twin = network(), network()
    with pytest.raises(ValueError, match=r"x to be finite, received nan at index \[33, 2, 1, 0\]"):
        model.fit(x, LABELS, 10, shuffle=False, verbose=0)
    twin.fit(IMAGES[:30], LABELS[:30], 10, shuffle=False, verbose=0)
    same(model, twin)
    with pytest.raises(ValueError, match=r"\[33, 2, 1, 0\]"):
        network().fit(x, LABELS, 10, verbose=0)
    labels = LABELS.copy()
    labels[33] = 7
    model, y = network(), on_disk(tmp_path / "y", labels)
    with pytest.raises(ValueError, match="labels from 0 to 2.*received 7"):
        model.fit(IMAGES, y, 10, shuffle=False, verbose=0)
    same(model, twin)


FROM_A_FILE = """
import sys
import numpy as np
from minicnn import Sequential
from minicnn.layers import AveragePooling2D, Dense, Flatten, Input

kind, path = sys.argv[1:]
shape = 512, 1024, 1024, 1  # 2 GB
file = np.memmap(path, "float32", "w+", shape=shape)  # no block of it is on the disk
labels = np.zeros(len(file), int)
model = Sequential([Input(shape[1:]), AveragePooling2D(64), Flatten(), Dense(2, "softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
if kind == "file":
    model.fit(file, labels, 4, verbose=0)
else:
    model.fit(((file[k : k + 4], labels[k : k + 4]) for k in range(0, 512, 4)), verbose=0)
with open("/proc/self/status") as status:
    print(*(line.split()[1] for line in status if line.startswith("RssAnon")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RssAnon is Linux's")
@pytest.mark.parametrize("kind", ["file", "generator"])
def test_training_from_2_gb_takes_less_than_400_mb(kind, tmp_path):
    command = [sys.executable, "-c", FROM_A_FILE, kind, str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 400e6


# -- a run that was cut off -----------------------------------------------------------------------


class Killed(Exception):
    pass


class KillAt(Callback):
    def __init__(self, step):
        self.step = step

    def get_state(self):
        return {}

    def on_train_batch_begin(self, batch, logs=None):
        if self.model.steps_taken == self.step:
            raise Killed


class Reshuffled(PyDataset):
    """Another order after each epoch, from a generator of the dataset's."""

    def __init__(self):
        super().__init__()
        self.draw = np.random.default_rng(4)
        self.order = np.arange(44)

    def __len__(self):
        return 5

    def __getitem__(self, k):
        rows = self.order[10 * k : 10 * k + 10]
        return IMAGES[rows], LABELS[rows]

    def on_epoch_end(self):
        self.draw.shuffle(self.order)


GO_ON = {
    "arrays": ((IMAGES, LABELS, 10), {"steps_per_epoch": 2}),
    "dataset": (Reshuffled, {}),
    "dataset, part of a pass an epoch": (Reshuffled, {"steps_per_epoch": 3}),
    "loader": (Loader, {}),
    "loader, part of a pass an epoch": (Endless, {"steps_per_epoch": 2}),
}


@pytest.mark.parametrize("step", and_slow([4], [1, 6], "in_ci"))
@pytest.mark.parametrize("what", GO_ON)
@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_a_run_that_was_killed_goes_on_bit_for_bit(what, step, tmp_path):
    make, given = GO_ON[what]

    def fit(model, *callbacks):
        data = make if isinstance(make, tuple) else (make(),)
        return model.fit(*data, epochs=4, verbose=0, callbacks=list(callbacks), **given)

    whole, again = network(), network()
    history = fit(whole, KillAt(99))
    with pytest.raises(Killed):
        fit(network(), BackupAndRestore(tmp_path, 1), KillAt(step))
    assert fit(again, BackupAndRestore(tmp_path, 1), KillAt(99)).history == history.history
    same(again, whole)


def test_a_loader_that_shuffles_by_itself_begins_with_its_first_order(tmp_path):
    seen = []

    class Shuffling(Loader):
        def __init__(self):
            self.draw = np.random.default_rng(4)

        def __iter__(self):
            order = self.draw.permutation(40).reshape(4, 10)
            return iter([(IMAGES[rows], LABELS[rows]) for rows in order])

        def __len__(self):
            return 4

    class Watched(Shuffling):
        def __iter__(self):
            for x, y in super().__iter__():
                seen.append(x[0].copy())
                yield x, y

    whole, again = network(), network()
    history = whole.fit(Shuffling(), epochs=4, verbose=0)
    with pytest.raises(Killed):
        network().fit(Shuffling(), epochs=4, verbose=0,
                      callbacks=[BackupAndRestore(tmp_path, 1), KillAt(9)])  # fmt: skip
    resumed = again.fit(Watched(), epochs=4, verbose=0,
                        callbacks=[BackupAndRestore(tmp_path, 1), KillAt(99)])  # fmt: skip
    assert resumed.epoch == history.epoch
    assert again.steps_taken == whole.steps_taken == 16
    first = next(iter(Shuffling()))[0][0]  # asked for and passed over
    np.testing.assert_array_equal(seen[0], first)
    assert len(seen) == 8  # of what the backup calls the third epoch and of the fourth
    assert resumed.history["loss"][:2] == history.history["loss"][:2]
    assert resumed.history["loss"][3] != history.history["loss"][3]


def test_an_iterator_cannot_be_rewound(tmp_path):
    with pytest.raises(Killed):
        network().fit(generated(), verbose=0, callbacks=[BackupAndRestore(tmp_path, 1), KillAt(2)])
    model = network()
    before = model.get_weights()
    with pytest.raises(ValueError, match="cannot be rewound to batch 2 of epoch 1.*PyDataset"):
        model.fit(generated(), verbose=0, callbacks=[BackupAndRestore(tmp_path, 1), KillAt(9)])
    for ours, theirs in zip(model.get_weights(), before):
        np.testing.assert_array_equal(ours, theirs)


# -- iterators that have come to their end --------------------------------------------------------


def test_training_ends_with_its_iterator():
    model = network()
    with pytest.warns(UserWarning, match="fit: expected 5 batches, received 5.*ran out of data"):
        history = model.fit(generated(), epochs=3, verbose=0)
    assert history.epoch == [0]
    with pytest.warns(UserWarning, match="fit: expected 2 batches, received 1.*ran out of data"):
        history = model.fit(generated(), epochs=9, steps_per_epoch=2, verbose=0)
    assert history.epoch == [0, 1, 2]
    four = (parts(rows) for rows in BATCHES[:4])  # it is not known yet that there is no fifth
    with pytest.warns(UserWarning, match="fit: expected 2 batches, received 0.*ran out of data"):
        history = model.fit(four, epochs=9, steps_per_epoch=2, verbose=0)
    assert history.epoch == [0, 1]


def test_a_validation_goes_on_where_its_iterator_was_left():
    model, twin = network(), network()
    for one in (model, twin):
        one.optimizer.learning_rate = 0.0
    history = model.fit(
        IMAGES, LABELS, epochs=2, validation_data=generated(), validation_steps=2, verbose=0
    )
    assert len(set(history.history["val_loss"])) == 2
    with pytest.warns(UserWarning, match="fit validation_data: .*ran out of data"):
        history = twin.fit(IMAGES, LABELS, epochs=2, validation_data=generated(), verbose=0)
    assert len(history.history["val_loss"]) == 1

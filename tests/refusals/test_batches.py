"""Batches that come one by one, and go wrong: a named error, and the model's last whole step."""

import itertools
import sys
import traceback

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.callbacks import Callback
from minicnn.layers import Dense, Flatten
from minicnn.preprocessing.image import ImageDataGenerator
from minicnn.utils import PyDataset, image_dataset_from_directory, save_img
from minicnn.utils.images import ImageFileError
from refusals.helpers import ONE_HOT, SPARSE, X, Y, life_after, refused, trained, with_one
from refusals.test_during_training import rename

TENTH = 10


def batches(tenth=(X[:4], Y[:4]), before=TENTH - 1):
    """Good batches, then one that may not be, or raises if it is an error, then good ones again."""
    for _ in range(before):
        yield X[:7], Y[:7]
    if isinstance(tenth, BaseException):
        raise tenth
    yield tenth
    while True:
        yield X[:7], Y[:7]


class Numbered(PyDataset):
    def __init__(self, tenth, before, **given):
        super().__init__(**given)
        self.tenth, self.before = tenth, before

    def __len__(self):
        return 30

    def __getitem__(self, k):
        if k == self.before and isinstance(self.tenth, BaseException):
            raise self.tenth
        return self.tenth if k == self.before else (X[:7], Y[:7])


SOURCES = {
    "a generator": batches,
    "a dataset": Numbered,
    "a dataset of workers": lambda tenth, before: Numbered(tenth, before, workers=3),
}

# what the batch is, the error, and words of its message
WRONG = {
    "NaN in x": ((with_one(X, (3, 2, 1), np.nan), Y), ValueError, "x to be finite", "[3, 2, 1]"),
    "inf in x": ((with_one(X, (3, 2, 1), np.inf), Y), ValueError, "x to be finite", "[3, 2, 1]"),
    "1e300 in x": ((with_one(X, (3, 2, 1), 1e300), Y), ValueError, "x to fit into float32"),
    "another size": ((X[:, :7], Y), ValueError, "(N, 8, 8, 1), received (20, 7, 8)"),
    "one image": ((X[0], Y[0]), ValueError, "(N, 8, 8, 1), received (8, 8)", "x[None]"),
    "no images": ((X[:0], Y[:0]), ValueError, "at least one sample in x"),
    "text": ((X.astype(str), Y), TypeError, "x to be an array of real numbers"),
    "objects": ((X.astype(object), Y), TypeError, "x to be an array of real numbers"),
    "complex": ((X + 0j, Y), TypeError, "x to be an array of real numbers"),
    "nothing": (None, TypeError, "expected (x, y) or (x, y, sample_weight), received NoneType"),
    "no x": ((None, Y), TypeError, "x to be an array, received None"),
    "a dict": ({"x": X, "y": Y}, TypeError, "received dict", "one input and one output"),
    "four values": ((X, Y, Y, Y), ValueError, "received 4 values"),
    "no values": ((), ValueError, "received 0 values"),
}
WRONG_TARGETS = {
    "x alone": (X, TypeError, "expected (x, y) or (x, y, sample_weight), received ndarray"),
    "no y": ((X,), TypeError, "expected y, the targets, received None"),
    "NaN in y": ((X, with_one(Y, 4, np.nan)), ValueError, "y to be finite"),
    "another label": ((X, Y + 1), ValueError, "labels from 0 to 2", "received 3"),
    "one-hot": ((X, ONE_HOT), ValueError, "received (20, 3)"),
    "too few": ((X, Y[:9]), ValueError, "'x' sizes 20, 'y' sizes 9"),
    "negative weights": ((X, Y, -np.ones(20)), ValueError, "sample_weight of at least 0"),
    "NaN weights": ((X, Y, np.full(20, np.nan)), ValueError, "sample_weight to be finite"),
    "too few weights": ((X, Y, np.ones(3)), ValueError, "sample_weight of shape (20,)"),
}


# each is wrong in the batches of a generator, and one in those of each source; CI has all pairs
PAIRS = [
    pytest.param(wrong, source, marks=() if quick else pytest.mark.in_ci)
    for wrong in (*WRONG, *WRONG_TARGETS)
    for source in SOURCES
    for quick in [source == "a generator" or wrong == "another label"]
]


@pytest.mark.parametrize(("wrong", "source"), PAIRS)
def test_a_tenth_batch_that_does_not_fit_is_named(wrong, source):
    batch, error, *words = {**WRONG, **WRONG_TARGETS}[wrong]
    model, twin = trained(), trained()
    name = "batch 10" if source == "a generator" else "Numbered[9]"
    given = {"shuffle": False, "verbose": 0}
    with pytest.raises(error) as caught:
        model.fit(SOURCES[source](batch, TENTH - 1), steps_per_epoch=20, **given)
    assert caught.type is error
    for word in (f"fit, {name}: expected", *words):
        assert word in str(caught.value)
    twin.fit(batches(), steps_per_epoch=TENTH - 1, **given)
    assert rename(life_after(model), model) == rename(life_after(twin), twin)

    with pytest.raises(error, match="evaluate, "):
        model.evaluate(SOURCES[source](batch, TENTH - 1), steps=20, verbose=0)
    if wrong in WRONG:
        with pytest.raises(error, match="predict, "):
            model.predict(SOURCES[source](batch, TENTH - 1), steps=20, verbose=0)
    else:
        model.predict(SOURCES[source](batch, TENTH - 1), steps=20, verbose=0)


@pytest.mark.parametrize(("wrong", "source"), PAIRS)
def test_a_first_batch_that_does_not_fit_changes_nothing(wrong, source):
    batch, error, *words = {**WRONG, **WRONG_TARGETS}[wrong]
    model = trained()
    with refused(error, *words, model=model):
        model.fit(SOURCES[source](batch, 0), steps_per_epoch=20, verbose=0)
    with refused(error, "fit validation_data, ", model=model):
        model.fit(X, Y, validation_data=SOURCES[source](batch, 0), validation_steps=2, verbose=0)
    if wrong not in ("another size", "one image"):  # any shape is right there
        unbuilt = Sequential([Flatten(), Dense(3, activation="softmax")])
        unbuilt.compile("sgd", SPARSE)
        with refused(error, *words):
            unbuilt.fit(SOURCES[source](batch, 0), steps_per_epoch=20, verbose=0)
        assert not unbuilt.built


class Lost(Exception):
    pass


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("error", [Lost, KeyError, StopIteration, SystemExit, KeyboardInterrupt])
def test_an_error_of_the_source_comes_through(error, source):
    model, twin = trained(), trained()
    kind = RuntimeError if error is StopIteration else error  # it would end a generator unseen
    with pytest.raises(kind) as caught:
        model.fit(
            SOURCES[source](error("gone"), TENTH - 1), steps_per_epoch=20, shuffle=False, verbose=0
        )
    chain = [caught.value, caught.value.__cause__] if error is StopIteration else [caught.value]
    frames = [frame.name for one in chain for frame in traceback.extract_tb(one.__traceback__)]
    assert ("batches" if source == "a generator" else "__getitem__") in frames
    if sys.version_info >= (3, 11):
        (note,) = (note for one in chain for note in getattr(one, "__notes__", ()))
        asked = "a generator for batch 10" if source == "a generator" else "a Numbered for item 9"
        assert note == f"fit asked {asked}"
    twin.fit(batches(), steps_per_epoch=TENTH - 1, shuffle=False, verbose=0)
    assert rename(life_after(model), model) == rename(life_after(twin), twin)


@pytest.mark.parametrize("epochs", [1, 3])
def test_batches_that_end_early_are_reported_and_what_was_trained_stays(epochs):
    nine = lambda: itertools.islice(batches(), TENTH - 1)  # noqa: E731
    model, twin = trained(), trained()
    given = {"verbose": 0, "epochs": epochs}
    with pytest.warns(UserWarning, match="Your input ran out of data"):
        history = model.fit(nine(), steps_per_epoch=20, **given)
    assert history.epoch == [0]
    twin.fit(nine(), verbose=0)
    assert rename(life_after(model), model) == rename(life_after(twin), twin)
    with pytest.warns(UserWarning, match="Your input ran out of data"):
        found = model.evaluate(nine(), steps=20, verbose=0)
    assert found == twin.evaluate(nine(), verbose=0)
    with pytest.warns(UserWarning, match="Your input ran out of data"):
        assert len(model.predict(nine(), steps=20, verbose=0)) == 7 * (TENTH - 1)


def folder_of(damaged, tmp_path):
    """Twelve grey pictures of 8x8 in three classes, of which number `damaged` was cut off."""
    for i in range(12):
        path = tmp_path / "abc"[i // 4] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        save_img(path, 255 * X[i, :, :, None], scale=False)
        if i == damaged:
            path.write_bytes(path.read_bytes()[:-25])
    return tmp_path


FOLDERS = {
    "image_dataset_from_directory": lambda folder: image_dataset_from_directory(
        folder,
        image_size=(8, 8),
        color_mode="grayscale",
        batch_size=2,
        shuffle=False,
        verbose=False,
    ),
    "flow_from_directory": lambda folder: ImageDataGenerator().flow_from_directory(
        folder,
        target_size=(8, 8),
        color_mode="grayscale",
        class_mode="sparse",
        batch_size=2,
        shuffle=False,
    ),
}


@pytest.mark.parametrize("way", FOLDERS)
@pytest.mark.parametrize("damaged", [0, 9])
def test_a_damaged_picture_is_named_and_the_last_whole_step_stays(way, damaged, tmp_path):
    data = FOLDERS[way](folder_of(damaged, tmp_path))
    model, twin = trained(), trained()
    with pytest.raises(ImageFileError, match=f"expected a picture in .*{damaged:02}.png"):
        model.fit(data, shuffle=False, verbose=0)
    if damaged:
        good = [data[k] for k in range(4)] if hasattr(data, "reset") else data.take(4)
        twin.fit(iter(good), verbose=0)
    assert rename(life_after(model), model) == rename(life_after(twin), twin)
    for call in (model.evaluate, model.predict):
        with pytest.raises(ImageFileError, match=f"{damaged:02}.png"):
            call(data, verbose=0)


# -- arguments ------------------------------------------------------------------------------------


def test_what_a_source_of_batches_brings_along_is_not_given_beside_it():
    model = trained()
    for source, kind in ((batches(), "generator"), (Numbered(None, 99), "PyDataset")):
        for call in (model.fit, model.evaluate):
            words = f"When providing `x` as a {kind}, `y` should not be passed"
            with refused(ValueError, "expected no y beside a", words, model=model):
                call(source, Y, verbose=0)
            words = f"When providing `x` as a {kind}, `sample_weight` should not be passed"
            with refused(ValueError, "expected no sample_weight", words, model=model):
                call(source, sample_weight=np.ones(20), verbose=0)
        with refused(ValueError, "`validation_split` is only supported for tensors", model=model):
            model.fit(source, validation_split=0.5, verbose=0)
    words = "`class_weight` is not supported for Python generator inputs"
    with refused(ValueError, words, "(x, y, sample_weight)", model=model):
        model.fit(batches(), class_weight={0: 2.0}, verbose=0)
    weighted = Numbered((X, Y, np.ones(20)), 0)
    with refused(ValueError, "class_weight or sample_weight, received both", model=model):
        model.fit(weighted, class_weight={0: 2.0}, verbose=0)
    for wrong in ({7: 1.0}, {0: -1.0}):
        with refused(ValueError, "class_weight", model=model):
            model.fit(Numbered(None, 99), class_weight=wrong, verbose=0)
    for name in ("workers", "use_multiprocessing", "max_queue_size"):
        with refused(TypeError, name, "Give it to PyDataset: super().__init__", model=model):
            model.fit(batches(), steps_per_epoch=2, **{name: 1})
    with refused(TypeError, "received the function batches. Call it: fit(batches())", model=model):
        model.fit(batches)
    with refused(ValueError, "validation_data to be (x_val, y_val)", model=model):
        model.fit(X, Y, validation_data=3)


@pytest.mark.parametrize("empty", [lambda: iter(()), lambda: (one for one in ()), set])
def test_no_batch_at_all(empty):
    model = trained()
    for call in (model.fit, model.evaluate, model.predict):
        words = "expected x to give at least one batch", "has to be made anew"
        with refused(ValueError, *words, model=model):
            call(empty(), verbose=0)


class Without(PyDataset):
    def __init__(self, count=None):
        super().__init__()
        self.count = count

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, k):
        return X, Y


def test_a_dataset_without_batches_or_without_an_end():
    model = trained()
    with refused(ValueError, "expected x to give at least one batch", model=model):
        model.fit(Without(0), verbose=0)
    with refused(ValueError, "expected steps_per_epoch beside a Without", model=model):
        model.fit(Without(), verbose=0)
    with refused(ValueError, "expected steps beside a Without without an end", model=model):
        model.predict(Without(), verbose=0)
    with refused(ValueError, "expected validation_steps beside", model=model):
        model.fit(X, Y, validation_data=Without(), verbose=0)
    with refused(TypeError, "Without: expected num_batches to be an integer", model=model):
        model.fit(Without(2.5), verbose=0)
    with pytest.raises(NotImplementedError, match="has to define __len__"):
        model.fit(type("No", (PyDataset,), {"__getitem__": lambda self, k: (X, Y)})(), verbose=0)
    with pytest.raises(NotImplementedError, match="has to define __getitem__"):
        model.fit(type("No", (PyDataset,), {"__len__": lambda self: 1})(), verbose=0)


def test_a_dataset_checks_its_settings():
    for name, wrong, kind in (
        ("workers", -1, ValueError),
        ("workers", 1.5, TypeError),
        ("use_multiprocessing", "yes", TypeError),
        ("max_queue_size", 0, ValueError),
    ):
        with refused(kind, f"PyDataset: expected {name}"):
            PyDataset(**{name: wrong})
    with refused(TypeError, "received on_epoch_start, which nothing would call"):
        type("Shuffled", (PyDataset,), {"on_epoch_start": lambda self: None})

    class Forgetful(Numbered):
        def __init__(self):
            self.tenth, self.before = None, 99

    with pytest.warns(UserWarning, match=r"should call `super\(\).__init__\(\*\*kwargs\)`"):
        trained().evaluate(Forgetful(), verbose=0)


def test_numbers_of_steps_and_epochs_are_checked():
    model = trained()
    for name in ("steps_per_epoch", "validation_steps", "validation_batch_size"):
        for wrong, kind in (
            (0, ValueError),
            (-1, ValueError),
            (2.0, TypeError),
            (2**70, ValueError),
        ):
            with refused(kind, f"fit: expected {name} to be an integer", model=model):
                model.fit(X, Y, **{name: wrong})
    for wrong, kind in ((0, ValueError), ([0], ValueError), ([1.0], TypeError), ("a", TypeError),
                        ({1}, TypeError)):  # fmt: skip
        with refused(kind, "validation_freq", model=model):
            model.fit(X, Y, validation_freq=wrong)
    for call in (model.evaluate, model.predict):
        with refused(ValueError, "expected steps to be an integer", model=model):
            call(X, steps=0)


def test_what_is_done_to_the_sources_arrays_after_a_batch_came_does_not_matter():
    x, y = X.copy(), Y.copy()
    model, twin = trained(), trained()

    class Spoil(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            x.fill(np.nan)
            y.fill(99)

    model.fit(iter([(x, y)]), verbose=0, callbacks=[Spoil()])
    twin.fit(X, Y, batch_size=20, shuffle=False, verbose=0)
    assert rename(life_after(model), model) == rename(life_after(twin), twin)

"""Wrong calls of set_num_threads, set_random_seed, set_floatx and to_categorical."""

import re

import numpy as np
import pytest

from minicnn import config, get_num_threads, metrics, set_num_threads
from minicnn.checks import shown
from minicnn.datasets import fashion_mnist
from minicnn.datasets.idx import parse_idx
from minicnn.engine import threads
from minicnn.utils import set_random_seed, to_categorical
from refusals.helpers import X, Y, refused, trained


@pytest.mark.parametrize("value", ["many", "0", "-2", "1.5", "2 threads", "9" * 5000])
def test_wrong_values_of_minicnn_num_threads_are_refused(monkeypatch, value):
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
def test_to_categorical_names_wrong_labels_and_classes(labels, classes, error, words):
    with refused(error, "to_categorical: expected", words):
        to_categorical(labels, classes)


def test_to_categorical_names_no_empty_range_for_negative_labels():
    with pytest.raises(ValueError, match="received -1") as caught:
        to_categorical([-1])
    assert not re.search(r"from 0 to -\d", str(caught.value))


def test_wrong_labels_samples_and_paths_are_named():
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


def test_threads_seeds_and_float_types_are_checked():
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


@pytest.mark.parametrize(
    ("labels", "classes", "error"),
    [
        ([0, 3], 3, ValueError),
        ([-1], None, ValueError),
        ([0.5], None, ValueError),
        ([], None, ValueError),
        (["a"], None, TypeError),
        ([0], 0, ValueError),
        ([0], 1.5, TypeError),
    ],
)
def test_to_categorical_refuses(labels, classes, error):
    with pytest.raises(error, match="to_categorical: expected"):
        to_categorical(labels, classes)


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**32, ValueError), (1.5, TypeError)]
)
def test_seeds_have_their_range(seed, error):
    with pytest.raises(error, match="seed"):
        set_random_seed(seed)

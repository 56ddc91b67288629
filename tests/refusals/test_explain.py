"""`minicnn.explain`: arguments that do not fit. No file is written then."""

import numpy as np
import pytest

import minicnn
from minicnn import Sequential
from minicnn.layers import Dense
from refusals.helpers import ONE_HOT, SPARSE, X, Y, refused, trained, with_one

EXPECTED = {
    "no model": (lambda m: {"model": Dense(2)}, TypeError, "expected model to be a Sequential"),
    "not built": (lambda m: {"model": Sequential([Dense(2)])}, ValueError, "needs a built model"),
    "one image": (lambda m: {"x": X[0]}, ValueError, "add a batch axis: x[None]"),
    "shape": (lambda m: {"x": X[:, :5]}, ValueError, "expected x of shape (N, 8, 8, 1)"),
    "no images": (lambda m: {"x": X[:0]}, ValueError, "at least one sample in x"),
    "no x": (lambda m: {"x": None}, TypeError, "expected x to be an array"),
    "text": (lambda m: {"x": "boot"}, TypeError, "expected x to be an array of real numbers"),
    "NaN": (lambda m: {"x": with_one(X, (3, 2, 1), np.nan)}, ValueError, "nan at index [3, 2, 1]"),
    "too few y": (lambda m: {"y": Y[:7]}, ValueError, "same number of samples"),
    "one label": (lambda m: {"y": 2}, ValueError, "expected y to be an array"),
    "label": (lambda m: {"y": with_one(Y, 2, 3)}, ValueError, "labels from 0 to 2"),
    "one-hot": (lambda m: {"y": ONE_HOT}, ValueError, "categorical_crossentropy"),
    "NaN in y": (lambda m: {"y": with_one(Y, 2, np.nan)}, ValueError, "finite"),
    "image": (lambda m: {"image": 20}, ValueError, "image to be the number of one of the 20"),
    "image below": (lambda m: {"image": -21}, ValueError, "-20 to 19, received -21"),
    "image text": (lambda m: {"image": "1"}, TypeError, "image"),
    "training": (lambda m: {"training": "no"}, TypeError, "training to be True or False"),
    "names": (lambda m: {"class_names": ["a", "b"]}, ValueError, "each of the 3 outputs"),
    "a name": (lambda m: {"class_names": "abc"}, TypeError, "class_names to be a list"),
    "megabytes": (lambda m: {"megabytes": 0}, ValueError, "megabytes to be a number in (0, 1000]"),
    "path": (lambda m: {"path": 3.5}, TypeError, "path to be a path such as 'a.html'"),
    "path None": (lambda m: {"path": None}, TypeError, "path"),
    "no page": (lambda m: {"path": "a.txt"}, ValueError, "path to end in .html"),
    "options": (lambda m: {"speed": 2}, TypeError, "speed"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_wrong_argument_is_named_and_nothing_is_written(name, tmp_path):
    change, error, words = EXPECTED[name]
    model = trained()
    given = {"model": model, "x": X, "y": Y, "path": tmp_path / "a.html", **change(model)}
    with refused(error, words, model=model):
        minicnn.explain(**given)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_or_in_the_place_of_the_file_is_named(tmp_path):
    model, folder = trained(), tmp_path / "folder.html"
    folder.mkdir()
    with refused(ValueError, "path to lie in a folder that is there", "mkdir", model=model):
        minicnn.explain(model, X, path=tmp_path / "none" / "a.html")
    with refused(ValueError, "expected path to name a file", model=model):
        minicnn.explain(model, X, path=folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_y_needs_a_loss_or_a_softmax(tmp_path):
    model = Sequential([Dense(3, input_shape=(4,))])
    with refused(ValueError, "does not end in softmax", "compile(loss=...)", "leave y out"):
        minicnn.explain(model, np.ones((1, 4)), [0], tmp_path / "a.html")
    minicnn.explain(model, np.ones((1, 4)), path=tmp_path / "a.html")
    model.compile("sgd", "mse")
    minicnn.explain(model, np.ones((1, 4)), np.ones((1, 3)), tmp_path / "a.html")


def test_outputs_that_are_not_finite_name_the_layer(tmp_path):
    model = trained()
    model.layers[-1].params["W"][0, 0] = np.inf
    with pytest.raises(FloatingPointError, match=model.layers[-1].name):
        minicnn.explain(model, X, Y, tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


def test_an_old_page_stays_where_the_new_one_fails(tmp_path, monkeypatch):
    page = tmp_path / "a.html"
    page.write_text("old")
    model = trained()
    monkeypatch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        minicnn.explain(model, X, Y, page)
    assert [one.name for one in tmp_path.iterdir()] == ["a.html"]
    assert page.read_text() == "old"


def test_a_compiled_loss_decides_what_y_may_be(tmp_path):
    model = trained("categorical_crossentropy")
    minicnn.explain(model, X, ONE_HOT, tmp_path / "a.html")
    with refused(ValueError, "to_categorical(y, 3)", model=model):
        minicnn.explain(model, X, Y, tmp_path / "a.html")
    assert trained().loss.name == SPARSE

"""Confusion matrix and report: stored results, and scikit-learn as the oracle."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest
from counts import draws
from hypothesis import given
from hypothesis import strategies as st

from minicnn import reports
from minicnn.reports import accuracy_score, class_labels, classification_report, confusion_matrix


def sklearn_metrics():
    return pytest.importorskip("sklearn.metrics")


# --- stored results: these fail without scikit-learn too

ACTUAL = [0, 1, 2, 2, 2, 0, 1, 1]
PREDICTED = [0, 0, 2, 2, 1, 0, 1, 2]

REPORT = """\
              precision    recall  f1-score   support

     trouser       0.67      1.00      0.80         2
         bag       0.50      0.33      0.40         3
       dress       0.67      0.67      0.67         3

    accuracy                           0.62         8
   macro avg       0.61      0.67      0.62         8
weighted avg       0.60      0.62      0.60         8
"""

SUBSET = """\
                             precision    recall  f1-score   support

a name longer than the rest      0.667     0.667     0.667         3
                        two      0.000     0.000     0.000         0
                      three      0.667     1.000     0.800         2

                  micro avg      0.667     0.800     0.727         5
                  macro avg      0.444     0.556     0.489         5
               weighted avg      0.667     0.800     0.720         5
"""


def test_stored_report():
    names = ["trouser", "bag", "dress"]
    assert classification_report(ACTUAL, PREDICTED, target_names=names) == REPORT


def test_stored_report_of_some_labels():
    """A class that never occurs scores 0 and nothing warns (warnings are errors here)."""
    names = ["a name longer than the rest", "two", "three"]
    text = classification_report(ACTUAL, PREDICTED, labels=[2, 9, 0], target_names=names, digits=3)
    assert text == SUBSET


NONE_RIGHT = """\
              precision    recall  f1-score   support

           5       0.00      0.00      0.00       0.0
           0       0.00      0.00      0.00       2.0

   micro avg       0.00      0.00      0.00       2.0
   macro avg       0.00      0.00      0.00       2.0
weighted avg       0.00      0.00      0.00       2.0
"""


def test_stored_report_where_no_sample_is_right():
    """scikit-learn writes the supports as floats there, and only there."""
    assert classification_report([0, 0, 1], [1, 1, 0], labels=[5, 0]) == NONE_RIGHT
    some = classification_report([0, 0, 1], [1, 1, 1], labels=[5, 0])
    assert some == NONE_RIGHT.replace("2.0", "  2").replace("0.0\n", "  0\n")


def test_accuracy_stands_only_where_every_class_is_reported():
    for labels, heading in [([0, 1], "micro avg"), ([0, 1, 2], "accuracy"), ([1, 2], "micro avg")]:
        for y_true, y_pred in [([0, 1, 1], [0, 1, 2]), ([0, 1, 2], [0, 1, 1])]:
            report = classification_report(y_true, y_pred, labels=labels, output_dict=True)
            assert list(report)[len(labels)] == heading


def test_a_class_without_samples():
    report = classification_report(ACTUAL, PREDICTED, labels=[9], output_dict=True)
    nothing = {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 0.0}
    assert report == dict.fromkeys(["9", "micro avg", "macro avg", "weighted avg"], nothing)


def test_text_may_give_two_classes_one_name():
    text = classification_report([0, 1], [0, 1], target_names=["bag", "bag"])
    assert [line.split()[0] for line in text.splitlines()[2:4]] == ["bag", "bag"]


def test_stored_dict():
    report = classification_report(["a", "b"], ["a", "a"], output_dict=True)
    assert report == {
        "a": {"precision": 0.5, "recall": 1.0, "f1-score": 2 / 3, "support": 1.0},
        "b": {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 1.0},
        "accuracy": 0.5,
        "macro avg": {"precision": 0.25, "recall": 0.5, "f1-score": 1 / 3, "support": 2.0},
        "weighted avg": {"precision": 0.25, "recall": 0.5, "f1-score": 1 / 3, "support": 2.0},
    }
    assert list(report) == ["a", "b", "accuracy", "macro avg", "weighted avg"]


def test_stored_confusion_matrix():
    assert confusion_matrix(ACTUAL, PREDICTED).tolist() == [[2, 0, 0], [1, 1, 1], [0, 1, 2]]
    assert confusion_matrix(ACTUAL, PREDICTED, [2, 0]).tolist() == [[2, 0], [0, 2]]
    assert confusion_matrix(ACTUAL, PREDICTED, [2, 9]).tolist() == [[2, 0], [0, 0]]
    shares = confusion_matrix([0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 2], normalize="pred")
    assert shares.tolist() == [[0.5, 0, 0], [0.5, 0, 0], [0, 0, 0]]


def test_accuracy():
    assert accuracy_score(ACTUAL, PREDICTED) == 5 / 8
    assert accuracy_score(["bag", "shirt"], np.array(["bag", "bag"])) == 0.5
    assert isinstance(accuracy_score([1], [1]), float)


# --- scikit-learn, over many inputs


@st.composite
def targets(draw):
    """Actual and predicted classes: ints, floats, bools or text, any of them missing."""
    kinds = {
        "int": np.array([3, -7, 0, 12, 1, 2]),
        "small": np.array([0, 1, 2, 3, 4, 5], dtype=np.uint8),
        "float": np.array([0.0, 2.0, 1.0, 5.0]),
        "bool": np.array([False, True]),
        "text": np.array(["bag", "T-shirt/top", "an ankle boot, left", "été"]),
    }
    values = kinds[draw(st.sampled_from(sorted(kinds)))]
    n = draw(st.integers(1, 40))
    index = st.lists(st.integers(0, len(values) - 1), min_size=n, max_size=n)
    y_true, y_pred = values[draw(index)], values[draw(index)]
    if draw(st.booleans()):  # mostly right, as a classifier is
        y_pred = np.where(np.arange(n) % 4 > 0, y_true, y_pred)
    labels = None
    if draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(range(len(values))), min_size=1, unique=True))
        labels = values[chosen]
    return y_true, y_pred, labels


def same_dict(ours, theirs):
    assert list(ours) == list(theirs)
    for key, want in theirs.items():
        if isinstance(want, dict):
            same_dict(ours[key], want)
        else:
            assert type(ours[key]) is float
            assert ours[key] == want or (math.isnan(ours[key]) and math.isnan(want))


@draws(100)
@given(
    targets(), st.integers(0, 15), st.booleans(), st.booleans(), st.sampled_from([0, 1, math.nan])
)
def test_report_equals_scikit_learn(target, digits, named, output_dict, zero_division):
    y_true, y_pred, labels = target
    options = {"labels": labels, "digits": digits, "zero_division": zero_division}
    if named:
        count = len(np.union1d(y_true, y_pred) if labels is None else labels)
        options["target_names"] = [f"class {'x' * 3 * i}" for i in range(count)]
    ours = classification_report(y_true, y_pred, output_dict=output_dict, **options)
    theirs = sklearn_metrics().classification_report(
        y_true, y_pred, output_dict=output_dict, **options
    )
    if output_dict:
        same_dict(ours, theirs)
    else:
        assert ours == theirs


@draws(100)
@given(targets(), st.sampled_from([None, "true", "pred", "all"]))
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_confusion_matrix_equals_scikit_learn(target, normalize):
    y_true, y_pred, labels = target
    theirs = sklearn_metrics().confusion_matrix
    try:
        expected = theirs(y_true, y_pred, labels=labels, normalize=normalize)
    except ValueError:  # none of the labels occurs
        with pytest.raises(ValueError, match="at least one of the labels"):
            confusion_matrix(y_true, y_pred, labels, normalize=normalize)
        return
    got = confusion_matrix(y_true, y_pred, labels, normalize=normalize)
    assert got.dtype == expected.dtype
    assert np.array_equal(got, expected)


@draws(100)
@given(targets())
def test_accuracy_equals_scikit_learn(target):
    y_true, y_pred, _ = target
    assert accuracy_score(y_true, y_pred) == sklearn_metrics().accuracy_score(y_true, y_pred)


def test_ten_thousand_images_at_all_digits():
    rng = np.random.default_rng(0)
    y_true = rng.integers(10, size=10_000).astype(np.uint8)
    y_pred = np.where(rng.random(10_000) < 0.87, y_true, rng.integers(10, size=10_000))
    theirs = sklearn_metrics().classification_report
    for digits in (2, 17):
        expected = theirs(y_true, y_pred, digits=digits)
        assert classification_report(y_true, y_pred, digits=digits) == expected


def test_shapes_and_kinds_that_mean_the_same():
    expected = classification_report(ACTUAL, PREDICTED)
    column = np.array(ACTUAL, dtype=np.uint8)[:, None]  # as Keras stores some labels
    assert classification_report(column, np.array(PREDICTED)[:, None]) == expected
    assert class_labels(np.array(["a", "b"], dtype=object), "y", "who").dtype.kind == "U"
    assert class_labels(range(3), "y", "who").tolist() == [0, 1, 2]


def same_error(name, *arrays, **options):
    """Where scikit-learn raises a ValueError, ours is one that ends in its words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            getattr(sklearn_metrics(), name)(*arrays, **options)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error)) + "$"):
            getattr(reports, name)(*arrays, **options)


@draws(100)
@given(targets(), st.integers(1, 6))
def test_errors_tell_scikit_learns_words_too(target, count):
    """For a subset of the labels that does not occur, and for names that are too few or many."""
    y_true, y_pred, labels = target
    same_error("confusion_matrix", y_true, y_pred, labels=labels)
    if labels is None:  # else scikit-learn warns, and leaves out the last names or classes
        same_error("classification_report", y_true, y_pred, target_names=["x"] * count)


# --- forms that are taken


def test_names_may_come_from_an_iterator_and_be_numbers():
    expected = classification_report([0, 1], [0, 1], target_names=["1", "2"])
    assert classification_report([0, 1], [0, 1], target_names=iter([1, np.int64(2)])) == expected

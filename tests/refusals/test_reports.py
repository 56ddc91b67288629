"""Wrong calls of the reports and of train_test_split."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from test_reports import ACTUAL, PREDICTED

from minicnn.model_selection import train_test_split
from minicnn.reports import accuracy_score, classification_report, confusion_matrix


class Sparse:
    """As SciPy's sparse matrices: two axes, and no length."""

    ndim = 2

    def __len__(self):
        raise TypeError("sparse array length is ambiguous; use getnnz()")


MASKED = np.ma.masked_array(["a", "a", "b", "b"], [True, False, False, False])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {}, "at least one array"),
        ((range(5), range(4)), {}, "array 1 5, array 2 4"),
        ((range(1),), {}, "at least 2 samples"),
        (([],), {}, "at least 2 samples"),
        ((range(5),), {"test_size": 0.0}, r"test_size .* share in \(0, 1\) .* from 1 to 4.* 0\.0"),
        ((range(5),), {"test_size": 1.0}, "share in"),
        ((range(5),), {"test_size": -0.2}, "share in"),
        ((range(5),), {"test_size": float("nan")}, "share in"),
        ((range(5),), {"test_size": 5}, "count from 1 to 4, received 5"),
        ((range(5),), {"test_size": 0}, "received 0"),
        ((range(5),), {"train_size": 1.5}, "train_size"),
        ((range(5),), {"train_size": -1}, "train_size"),
        ((range(5),), {"test_size": 3, "train_size": 3}, "together"),
        ((range(100),), {"test_size": 0.151, "train_size": 0.85}, "together"),
        ((range(10),), {"test_size": 0.15, "train_size": 0.86}, "together"),
        ((range(3),), {"train_size": 0.1}, "at least 1 sample to train on"),
        ((range(2),), {"test_size": 0.9}, "at least 1 sample to train on"),
        ((range(5),), {"random_state": -1}, "random_state"),
        ((range(5),), {"random_state": 2**32}, "random_state"),
        ((range(4),), {"stratify": [0, 0, 1, 1], "shuffle": False}, "stratify=None"),
        ((range(4),), {"stratify": [0, 0, 1]}, "each of the 4 samples, received 3"),
        ((range(4),), {"stratify": [[0], [0], [1], [1]]}, "ravel"),
        ((range(4),), {"stratify": [0.0, 0.0, np.nan, 1.0]}, "finite"),
        ((range(4),), {"stratify": [[0], [0, 1], [1], [1]]}, "stratify .* ragged"),
        ((range(4),), {"stratify": np.zeros(())}, r"stratify .* shape \(4,\)"),
        ((range(5),), {"random_state": 10**5000}, "random_state .* from 0 to 4294967295"),
        ((range(5),), {"test_size": 10**5000}, "test_size .* count from 1 to 4, received 2"),
        ((range(1),), {"test_size": 2}, "at least 2 samples to split .* test_size"),
        ((range(4),), {"stratify": [0, 0, 0, 7]}, r"received 1 of \[7\]"),
        ((range(8),), {"stratify": [0, 1, 2, 3] * 2, "test_size": 3}, "room for all 4 classes"),
        ((range(8),), {"stratify": [0, 1, 2, 3] * 2, "train_size": 3}, "room for all 4 classes"),
    ],
)
def test_train_test_split_refuses_wrong_values(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        train_test_split(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((range(5), 0.2), {}, "test_size=0.2"),
        ((range(5), None), {}, "arrays or lists"),
        (({"a": 1},), {}, "dict"),
        (("text",), {}, "str"),
        ((range(5),), {"test_size": "0.2"}, "test_size"),
        ((range(5),), {"test_size": True}, "test_size"),
        ((range(5),), {"random_state": 1.5}, "random_state"),
        ((range(5),), {"random_state": "42"}, "random_state"),
        ((range(5),), {"random_state": np.array([1, 2])}, "random_state"),
        ((range(5),), {"random_state": "42", "shuffle": False}, "random_state"),
        ((range(5),), {"shuffle": "no"}, "shuffle"),
        ((range(5),), {"shuffle": np.array([True, False])}, "shuffle"),
        ((range(5),), {"test_size": np.array([0.2, 0.3])}, "test_size"),
        ((range(5),), {"test_size": [2]}, "test_size"),
        ((range(4),), {"stratify": [None, None, None, None]}, "stratify .* that can be sorted"),
        ((range(4),), {"stratify": [None, "a", None, "a"]}, "stratify .* that can be sorted"),
        ((range(4),), {"stratify": MASKED}, "stratify without masked labels"),
        ((np,), {}, "expected arrays or lists"),
        ((Sparse(),), {}, "expected arrays or lists"),
        ((range(2**70),), {}, "expected arrays or lists"),
    ],
)
def test_train_test_split_refuses_wrong_types(arguments, options, message):
    with pytest.raises(TypeError, match=message):
        train_test_split(*arguments, **options)


PROBABILITIES = np.full((3, 10), 0.1)


@pytest.mark.parametrize("function", [accuracy_score, confusion_matrix, classification_report])
@pytest.mark.parametrize(
    ("y_true", "y_pred", "error", "message"),
    [
        ([0, 1], [0, 1, 1], ValueError, "y_true 2, y_pred 3"),
        ([], [], ValueError, "at least one sample"),
        ([0, 1, 2], PROBABILITIES, ValueError, r"np\.argmax\(y_pred, axis=1\)"),
        (PROBABILITIES, [0, 1, 2], ValueError, r"np\.argmax\(y_true, axis=1\)"),
        ([0, 1], [0.2, 0.9], ValueError, r"whole numbers.*0\.2.*p > 0\.5"),
        ([0, 1], [[0.2], [0.9]], ValueError, "whole numbers"),
        ([0, 1], [0, np.nan], ValueError, r"y_pred to be finite, received nan at index \[1\]"),
        ([0, np.inf], [0, 1], ValueError, "y_true to be finite"),
        (3, [0, 1], ValueError, r"received shape \(\)\.$"),
        (["bag", "shirt"], [0, 1], ValueError, "all numbers or all text"),
        ([[0], [1, 2]], [0, 1], TypeError, "ragged"),
        ([0, 1], [None, 1], TypeError, "dtype object"),
        ([b"a", b"b"], [0, 1], TypeError, "dtype"),
    ],
)
def test_reports_refuse_wrong_targets(function, y_true, y_pred, error, message):
    with pytest.raises(error, match=rf"{function.__name__}: expected .*{message}"):
        function(y_true, y_pred)


@pytest.mark.parametrize("function", [confusion_matrix, classification_report])
@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([], ValueError, "each class once"),
        ([0, 1, 1], ValueError, r"each class once, received \[0, 1, 1\]"),
        (["bag"], ValueError, "all numbers or all text"),
        ([[0, 1]], ValueError, r"shape \(1, 2\)"),
        ([None], TypeError, "labels"),
    ],
)
def test_reports_refuse_wrong_labels(function, labels, error, message):
    with pytest.raises(error, match=message):
        function(ACTUAL, PREDICTED, labels=labels)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target_names": ["a", "b"]}, ValueError, r"3 target_names.*received 2.*range\(2\)"),
        ({"target_names": ["a", "b"], "labels": [0]}, ValueError, "1 target_names"),
        ({"target_names": list("aab"), "output_dict": True}, ValueError, "different"),
        ({"target_names": np.array("abc")}, TypeError, "target_names to be a list, received"),
        ({"target_names": {"a": 1, "b": 2, "c": 3}}, TypeError, "target_names to be a list"),
        ({"target_names": {"a", "b", "c"}}, TypeError, "target_names to be a list"),
        ({"target_names": np.eye(3)}, TypeError, "target_names to be a list of text"),
        ({"target_names": [["a"], ["b"], ["c"]]}, TypeError, r"target_names .* one with \['a'\]"),
        ({"target_names": [None] * 3}, TypeError, "target_names .* one with None"),
        ({"target_names": itertools.count()}, ValueError, "at most 100,000 target_names"),
        ({"digits": -1}, ValueError, "digits"),
        ({"digits": 2.5}, TypeError, "digits"),
        ({"digits": 1001}, ValueError, "digits to be an integer from 0 to 1000, received 1001"),
        ({"digits": 2**31}, ValueError, "digits"),
        ({"digits": 2**64}, ValueError, "digits"),
        ({"digits": np.array([2])}, TypeError, "digits"),
        ({"zero_division": 0.5}, ValueError, "zero_division"),
        ({"zero_division": "warn"}, ValueError, "zero_division"),
        ({"zero_division": np.array([0, 1])}, ValueError, "zero_division to be 0, 1 or nan"),
        ({"zero_division": np.zeros((1, 1))}, ValueError, "zero_division to be 0, 1 or nan"),
        ({"zero_division": np.array([])}, ValueError, "zero_division to be 0, 1 or nan"),
        ({"zero_division": 10**400}, ValueError, "zero_division to be 0, 1 or nan"),
        ({"labels": range(2**31)}, ValueError, "at most 1,000,000 labels, received range"),
        ({"labels": range(2**80)}, ValueError, "at most 1,000,000 labels, received range"),
    ],
)
def test_classification_report_refuses_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        classification_report(ACTUAL, PREDICTED, **options)


def test_confusion_matrix_refuses_wrong_options():
    with pytest.raises(ValueError, match="all, pred, true"):
        confusion_matrix(ACTUAL, PREDICTED, normalize="rows")
    with pytest.raises(ValueError, match=r"at least one of the labels.*\[7, 8\]"):
        confusion_matrix(ACTUAL, PREDICTED, [7, 8])
    with pytest.raises(TypeError, match="normalize to be one of all, pred, true"):
        confusion_matrix(ACTUAL, PREDICTED, normalize=np.array(["true"]))
    with pytest.raises(ValueError, match="at most 1,000,000 labels"):
        confusion_matrix(ACTUAL, PREDICTED, range(2**31))
    many = np.arange(20_001)  # 3.2 GB of counts
    with pytest.raises(ValueError, match="at most 20,000 classes .*, received 20,001"):
        confusion_matrix(many, many)


@pytest.mark.parametrize("function", [accuracy_score, confusion_matrix, classification_report])
def test_masked_classes(function):
    for hidden in (
        np.ma.masked_array(["a", "b"], [True, False]),
        np.ma.masked_array([0, 1], [1, 0]),
    ):
        shown = hidden.data
        with pytest.raises(TypeError, match=f"{function.__name__}: expected y_pred without masked"):
            function(shown, hidden)


@pytest.mark.parametrize("names", ["ab", 3])
def test_target_names_are_a_list(names):
    with pytest.raises(TypeError, match="expected target_names to be a list, received"):
        classification_report([0, 1], [0, 1], target_names=names)


def test_output_dict_is_yes_or_no():
    with pytest.raises(TypeError, match="expected output_dict to be True or False, received 'x'"):
        classification_report([0, 1], [0, 1], output_dict="x")

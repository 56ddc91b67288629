"""What a classifier got right and wrong, class by class: confusion matrix and report.

Words, numbers and the text's layout are scikit-learn's, so that its functions and these can take
each other's place.
"""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks

Classes = NDArray[Any]  # (N,), whole numbers or text
Counts = NDArray[np.int64]
Scores = NDArray[np.float64]

_HEADINGS = ("precision", "recall", "f1-score", "support")

MOST_CLASSES = 20_000  # of a confusion matrix, which then takes 3.2 GB
MOST_LABELS = 1_000_000
MOST_DIGITS = 1_000


def accuracy_score(y_true: Any, y_pred: Any) -> float:
    """The share of samples whose predicted class is the actual one.

    Parameters
    ----------
    y_true, y_pred : arrays of shape (N,) or (N, 1)
        Actual and predicted classes: whole numbers or text.

    Raises
    ------
    ValueError, TypeError
        As `confusion_matrix`.

    Examples
    --------
    >>> accuracy_score([0, 1, 2, 2], [0, 1, 1, 2])
    0.75
    """
    y_true, y_pred, _ = _check(y_true, y_pred, None, "accuracy_score")
    return float(np.mean(y_true == y_pred))


def confusion_matrix(
    y_true: Any, y_pred: Any, labels: Any = None, *, normalize: str | None = None
) -> NDArray[Any]:
    """Count how often class i (row) was predicted to be class j (column).

    Parameters
    ----------
    y_true, y_pred : arrays of shape (N,) or (N, 1)
        Actual and predicted classes: whole numbers or text.
    labels : array of shape (C,), optional
        The classes to count, in the order of the rows; samples of other classes are left out.
        By default every class that occurs, sorted. At most 20,000.
    normalize : 'true', 'pred' or 'all', optional
        Divide each count by the sum of its row, of its column, or of all; 0 where the sum is 0.

    Returns
    -------
    array of shape (C, C)
        int64 counts, float64 with `normalize`.

    Raises
    ------
    ValueError
        No samples; different lengths; one row of numbers per sample (probabilities or one-hot);
        fractions, NaN or infinity; text in one array and numbers in another; a label given
        twice; none of `labels` in `y_true`; an unknown `normalize`.
    TypeError
        Arrays of neither numbers nor text.

    Examples
    --------
    >>> confusion_matrix([0, 0, 1, 2, 2], [0, 1, 1, 2, 0])
    array([[1, 1, 0],
           [0, 1, 0],
           [1, 0, 1]])
    """
    who = "confusion_matrix"
    if normalize is not None:
        normalize = checks.one_of(normalize, ("true", "pred", "all"), "normalize", who)
    y_true, y_pred, labels = _check(y_true, y_pred, labels, who)
    n_classes = len(labels)
    if n_classes > MOST_CLASSES:
        raise ValueError(
            f"{who}: expected at most {MOST_CLASSES:,} classes in y_true, y_pred or labels, "
            f"received {n_classes:,}. Pass those that matter as labels"
        )

    row, column = _positions(y_true, labels), _positions(y_pred, labels)
    if (row < 0).all():
        raise ValueError(
            checks.in_other_words(
                f"{who}: expected y_true to have at least one of the labels, received labels "
                f"{checks.shown(labels.tolist())} and only other classes, such as "
                f"{checks.shown(y_true[0].item())}",
                "scikit-learn",
                "At least one label specified must be in y_true",
            )
        )
    counted = (row >= 0) & (column >= 0)
    cell = row[counted] * n_classes + column[counted]
    counts = np.bincount(cell, minlength=n_classes**2).reshape(n_classes, n_classes)

    if normalize is None:
        return counts
    axis = {"true": 1, "pred": 0, "all": None}[normalize]
    return _divide(counts, counts.sum(axis=axis, keepdims=True), 0.0)


def classification_report(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    target_names: Sequence[str] | None = None,
    digits: int = 2,
    output_dict: bool = False,
    zero_division: float = 0,
) -> str | dict[str, Any]:
    """Precision, recall and F1 of every class, and their averages, as a table of text.

    With TP the samples of a class that were predicted to be of it::

        precision = TP / predicted        of those called a bag, how many are one
        recall    = TP / support          of the bags, how many were called one
        f1        = 2 TP / (predicted + support)

    The macro average counts every class the same, the weighted one by its support. Where
    `labels` leaves out a class that occurs, a micro average (the three formulas on the sums over
    the classes) stands in the place of the accuracy.

    Parameters
    ----------
    y_true, y_pred : arrays of shape (N,) or (N, 1)
        Actual and predicted classes: whole numbers or text.
    labels : array of shape (C,), optional
        The classes to report, in this order, at most 1,000,000. By default every class that
        occurs, sorted.
    target_names : list of C str, optional
        Names to print in the place of the labels.
    digits : int
        Decimals in the text, 0 to 1,000; the dict is not rounded.
    output_dict : bool
        Return a dict of dicts and not the text.
    zero_division : 0, 1 or nan
        The score where a formula divides by 0. nan is left out of the averages. scikit-learn
        says 0 as well, with a warning that is not given here.

    Returns
    -------
    str or dict
        ``report[class name or average]['precision' | 'recall' | 'f1-score' | 'support']``, and
        the float ``report['accuracy']``.

    Raises
    ------
    ValueError
        As `confusion_matrix`; a number of names other than C, or, for a dict, one name twice;
        `digits` or `zero_division` other than those above.
    TypeError
        Arrays of neither numbers nor text; names that are no list of text; `digits` no int.

    Examples
    --------
    >>> print(classification_report([0, 0, 1, 1], [0, 1, 1, 1], target_names=["shirt", "bag"]))
                  precision    recall  f1-score   support
    <BLANKLINE>
           shirt       1.00      0.50      0.67         2
             bag       0.67      1.00      0.80         2
    <BLANKLINE>
        accuracy                           0.75         4
       macro avg       0.83      0.75      0.73         4
    weighted avg       0.83      0.75      0.73         4
    <BLANKLINE>
    """
    who = "classification_report"
    digits = checks.integer(digits, "digits", who, minimum=0, maximum=MOST_DIGITS)
    output_dict = checks.boolean(output_dict, "output_dict", who)
    is_number = isinstance(zero_division, numbers.Real) and not isinstance(zero_division, bool)
    if not is_number or not (zero_division in (0, 1) or zero_division != zero_division):  # nan
        raise ValueError(
            f"{who}: expected zero_division to be 0, 1 or nan, received "
            f"{checks.shown(zero_division)}"
        )
    y_true, y_pred, labels = _check(y_true, y_pred, labels, who)
    names = _names(target_names, labels, who, unique=output_dict)

    row, column = _positions(y_true, labels), _positions(y_pred, labels)
    hits = _count(row[row == column], len(labels))
    predicted = _count(column, len(labels))
    support = _count(row, len(labels))

    scores = _scores(hits, predicted, support, zero_division)  # (3, C)
    overall = _scores(hits.sum(), predicted.sum(), support.sum(), zero_division)  # (3,)
    macro = [_average(score) for score in scores]
    weighted = [_average(score, support) for score in scores]

    if not (y_true == y_pred).any():
        support = support.astype(np.float64)  # so that the text has 3.0, as scikit-learn's has
    total = support.sum().item()
    by_class = list(zip(names, scores.T.tolist(), support.tolist(), strict=True))
    averages = [("macro avg", macro, total), ("weighted avg", weighted, total)]
    accuracy = None
    if (row >= 0).all() and (column >= 0).all():
        accuracy = float(overall[0])  # every miss is one class's loss and another's false gain
    else:
        averages.insert(0, ("micro avg", overall.tolist(), total))

    if output_dict:
        return _as_dict(by_class, accuracy, averages)
    return _as_text(by_class, accuracy, averages, digits)


Row = tuple[str, list[float], float]  # name, (precision, recall, f1), support


def _as_dict(by_class: list[Row], accuracy: float | None, averages: list[Row]) -> dict[str, Any]:
    """The report as ``{name: {heading: number}}``."""

    def entries(rows: list[Row]) -> dict[str, dict[str, float]]:
        return {
            name: dict(zip(_HEADINGS, [*scores, float(support)], strict=True))
            for name, scores, support in rows
        }

    middle = {} if accuracy is None else {"accuracy": accuracy}
    return {**entries(by_class), **middle, **entries(averages)}


def _as_text(by_class: list[Row], accuracy: float | None, averages: list[Row], digits: int) -> str:
    """The report as a table: right-aligned names, then four columns nine characters wide."""
    width = max(len("weighted avg"), digits, *(len(name) for name, _, _ in by_class))

    def line(name: str, cells: Sequence[object]) -> str:
        return f"{name:>{width}} " + "".join(f" {cell:>9}" for cell in cells)

    def lines(rows: list[Row]) -> list[str]:
        return [
            line(name, [*(f"{score:.{digits}f}" for score in scores), support])
            for name, scores, support in rows
        ]

    table = [line("", _HEADINGS), "", *lines(by_class), ""]
    if accuracy is not None:
        total = averages[0][2]
        table.append(line("accuracy", ["", "", f"{accuracy:.{digits}f}", total]))
    return "\n".join([*table, *lines(averages), ""])


def _scores(hits: Any, predicted: Any, support: Any, zero_division: float) -> Scores:
    """Precision, recall and F1, stacked along a new first axis."""
    return np.stack(
        [
            _divide(hits, predicted, zero_division),
            _divide(hits, support, zero_division),
            _divide(2 * hits, predicted + support, zero_division),
        ]
    )


def _divide(counts: Any, totals: Any, where_zero: float) -> Scores:
    """`counts` / `totals`, and `where_zero` for a total of 0."""
    counts, totals = np.broadcast_arrays(counts, totals)
    quotient = np.full(counts.shape, where_zero, dtype=np.float64)
    np.divide(counts, totals, out=quotient, where=totals != 0)
    return quotient


def _average(scores: Scores, weights: Counts | None = None) -> float:
    """The mean of the scores that are not nan; weights that are all 0 do not count."""
    defined = ~np.isnan(scores)
    if not defined.any():
        return float("nan")
    if weights is None or not weights[defined].any():
        return float(np.nanmean(scores))
    return float(np.average(scores[defined], weights=weights[defined]))


def _count(positions: Counts, n_classes: int) -> Counts:
    """How many of `positions` are 0, 1, ... n_classes - 1."""
    return np.bincount(positions[positions >= 0], minlength=n_classes)


def _positions(values: Classes, labels: Classes) -> Counts:
    """Where in `labels` each of `values` stands; -1 for one that is not there."""
    order = np.argsort(labels)
    found = np.searchsorted(labels, values, sorter=order)
    nearest = order[np.minimum(found, len(labels) - 1)]
    return np.where(labels[nearest] == values, nearest, -1)


def _names(target_names: Any, labels: Classes, who: str, *, unique: bool) -> list[str]:
    """The name of every label, by default the label itself."""
    if target_names is None:
        return [str(label) for label in labels]
    names = checks.texts(target_names, "target_names", who)
    if len(names) != len(labels):
        raise ValueError(
            checks.in_other_words(
                f"{who}: expected {len(labels)} target_names, one for each of the classes "
                f"{checks.shown(labels.tolist())}, received {len(names)}. Where some classes do "
                f"not occur, pass labels=range({len(names)}) too",
                "scikit-learn",
                f"Number of classes, {len(labels)}, does not match size of target_names, "
                f"{len(names)}. Try specifying the labels parameter",
            )
        )
    if unique and len(set(names)) != len(names):
        raise ValueError(
            f"{who}: expected different target_names for a dict, received {checks.shown(names)}"
        )
    return names


def _check(y_true: Any, y_pred: Any, labels: Any, who: str) -> tuple[Classes, Classes, Classes]:
    """Both arrays of classes, and the labels to count (every class that occurs, sorted)."""
    arrays = {
        "y_true": class_labels(y_true, "y_true", who),
        "y_pred": class_labels(y_pred, "y_pred", who),
    }
    if checks.same_length(arrays, who) == 0:
        raise ValueError(f"{who}: expected at least one sample, received empty arrays")
    if labels is not None:
        if isinstance(labels, range) and labels[MOST_LABELS:]:
            raise ValueError(
                f"{who}: expected at most {MOST_LABELS:,} labels, received {checks.shown(labels)}"
            )
        arrays["labels"] = class_labels(labels, "labels", who)

    if len({array.dtype.kind == "U" for array in arrays.values()}) > 1:
        kinds = ", ".join(f"{name} of dtype {array.dtype}" for name, array in arrays.items())
        raise ValueError(f"{who}: expected all numbers or all text, received {kinds}")

    if labels is None:
        return arrays["y_true"], arrays["y_pred"], np.union1d(arrays["y_true"], arrays["y_pred"])
    if not 0 < len(np.unique(arrays["labels"])) == len(arrays["labels"]):
        raise ValueError(
            f"{who}: expected labels to name each class once, received "
            f"{checks.shown(arrays['labels'].tolist())}"
        )
    return arrays["y_true"], arrays["y_pred"], arrays["labels"]


def class_labels(values: Any, name: str, who: str) -> Classes:
    """`values` as an array of shape (N,) of classes: whole numbers or text.

    Raises ValueError for rows of several numbers (probabilities, one-hot), fractions, NaN and
    infinity; TypeError for what is neither numbers nor text.
    """
    is_text = False
    # numeric() below refuses a ragged list, and what NumPy cannot take, in better words.
    with contextlib.suppress(Exception):
        array = np.asarray(values)
        if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
            array = array.astype(str)
        is_text = array.dtype.kind == "U"
    if is_text and np.ma.is_masked(values):
        raise TypeError(
            f"{who}: expected {name} without masked classes, received {checks.shown(values)}"
        )
    if not is_text:
        array = checks.numeric(values, name, who)

    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        fix = (
            f" Take the class of the largest number in each row: np.argmax({name}, axis=1)"
            if array.ndim == 2
            else ""
        )
        raise ValueError(
            f"{who}: expected {name} to hold one class per sample, shape (N,), "
            f"received shape {array.shape}.{fix}"
        )
    checks.finite(array, name, who)
    if array.dtype.kind == "f" and (fractions := array != np.floor(array)).any():
        raise ValueError(
            f"{who}: expected {name} to hold classes (whole numbers), received "
            f"{array[fractions][0]}. Turn probabilities into classes first: "
            f"np.argmax(p, axis=1), or (p > 0.5).astype(int) for a single output"
        )
    return array

"""Labels: which classes there are, which are missing, which are taken for each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import reports
from minicnn.diagnosis.result import Fact, Problem

Array = NDArray[Any]

ENOUGH = 10  # samples a class: with fewer, a class may be missing by chance
PAIRS = 3  # that are named
LISTED = 10  # classes that are named at most


@dataclass
class Classes:
    """The labels of a classification, as numbers from 0."""

    labels: Array  # (N,)
    count: int

    @property
    def shares(self) -> Array:
        return np.bincount(self.labels, minlength=self.count) / len(self.labels)

    @property
    def log(self) -> float:
        """Cross-entropy where every class gets the same probability."""
        return math.log(self.count)

    @property
    def guessing(self) -> float:
        """Cross-entropy where every class gets the probability of its share."""
        p = self.shares[self.shares > 0]
        return float(-(p * np.log(p)).sum())

    def judged(self) -> Iterator[Fact | Problem]:
        shares = self.shares
        missing = [int(k) for k in np.flatnonzero(shares == 0)]
        yield Fact(
            "labels",
            f"Labels: {self.count - len(missing)} of {self.count} classes; a class has "
            f"{shares.min():.1%} to {shares.max():.1%} of the samples.",
        )
        if missing and len(self.labels) >= ENOUGH * self.count:
            named = ", ".join(map(str, missing[:LISTED])) + (" ..." if missing[LISTED:] else "")
            yield Problem(
                "classes_missing",
                f"no sample among {len(self.labels)} is of class {named}, and the model has "
                f"{self.count} outputs",
                "What it never sees, the model cannot learn; labels that are sorted lose whole "
                "classes when the data are cut.",
                "Shuffle before splitting, stratify (model_selection.train_test_split("
                "stratify=y)), or give the last layer one unit for each class that there is.",
            )

    def confused(self, rows: Array, outputs: Array, loss: Any) -> Iterator[Fact]:
        if outputs.shape[-1] == 1:
            middle = 0.0 if loss.from_logits else 0.5
            predicted = (outputs[:, 0] > middle).astype(int)
        else:
            predicted = outputs.argmax(axis=-1)
        actual = self.labels[rows]
        counts = reports.confusion_matrix(actual, predicted, labels=np.arange(self.count))
        both = np.triu(counts + counts.T, 1)
        worst = np.argsort(-both, axis=None, kind="stable")[:PAIRS]
        pairs = [
            f"{place // self.count} and {place % self.count} ({both.flat[place]})"
            for place in worst
            if both.flat[place]
        ]
        right = int(np.trace(counts))
        text = f"Predictions: {right} of {len(rows)} samples right ({right / len(rows):.1%})."
        if pairs:
            text += f" Classes most confused: {', '.join(pairs)}."
        yield Fact("confused_classes", text)


def classes_of(loss: Any, targets: Array, output_shape: Any) -> Classes | None:
    """The classes, if the model gives one label, or a probability for each, to a sample."""
    if len(output_shape) != 2:
        return None
    outputs = int(output_shape[-1])
    if loss.of_labels:
        labels, count = np.asarray(targets).reshape(-1), outputs
        if loss.ignore_class is not None or count < 2:
            return None
    elif outputs == 1 and loss.activation == "sigmoid" and np.isin(targets, (0, 1)).all():
        labels, count = np.asarray(targets).reshape(-1), 2
    elif "categorical" in loss.name and outputs > 1:
        labels, count = np.asarray(targets).argmax(axis=-1), outputs
    else:
        return None
    return Classes(labels.astype(np.int64), count)


def outside(model: Any, x: Any, y: Any) -> tuple[Problem | None, Any]:
    """The problem of whole-number labels that the model has no output for, and y without it."""
    try:
        sample, labels = model.sample_shape or np.shape(x)[1:], np.asarray(y)
        output = model.shapes((None, *sample))[-1]
        loss = model.loss.chosen(labels.shape, output)
    except (TypeError, ValueError):  # something else is wrong
        return None, y
    whole = labels.dtype.kind in "iu" or (
        labels.dtype.kind == "f"
        and bool((np.isfinite(labels) & (labels == np.floor(labels))).all())
    )
    if not loss.of_labels or loss.ignore_class is not None or not whole or not labels.size:
        return None, y
    classes = int(output[-1])
    low, high = int(labels.min()), int(labels.max())
    if low >= 0 and high < classes:
        return None, y
    if low == 1 and high == classes:
        remedy = "Count from 0: y - 1."
    else:
        remedy = (
            "Number the classes that there are from 0: np.unique(y, return_inverse=True)[1], and "
            "give the last layer one unit for each."
        )
    problem = Problem(
        "labels_out_of_range",
        f"labels from {low} to {high}, and the model has {classes} outputs, for labels from 0 to "
        f"{classes - 1}",
        "There is no output for some labels; fit refuses them, and nothing else was measured.",
        remedy,
    )
    return problem, np.clip(labels, 0, classes - 1)

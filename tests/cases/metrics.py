"""Every public metric: see `MetricCase`. A new metric is one entry of METRICS."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cases import MetricCase, Shape
from cases.losses import LOSSES, TARGETS
from minicnn import losses
from minicnn.metrics import (
    AUC,
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    BinaryIoU,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Hinge,
    IoU,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanIoU,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Metric,
    OneHotIoU,
    OneHotMeanIoU,
    Poisson,
    Precision,
    PrecisionAtRecall,
    R2Score,
    Recall,
    RecallAtPrecision,
    RootMeanSquaredError,
    SensitivityAtSpecificity,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SpecificityAtSensitivity,
    SquaredHinge,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
)


def data(kind: type[Metric], rng: np.random.Generator, shape: Shape) -> tuple[Any, Any]:
    """y and y_pred (N, ..., C) that suit the metric; equal ones among them where that is likely."""
    case = METRICS[kind]
    if case.targets == "classes":  # of an image, and predicted ones
        return rng.integers(0, 3, shape), rng.integers(0, 3, shape)
    y = TARGETS[case.targets](rng, shape)
    if case.targets == "numbers":
        return y, y + rng.standard_normal(shape)
    p = rng.uniform(0.05, 0.95, shape)
    return y, p.round(1) if case.rounded else p


def largest(row: list[float]) -> int:
    return row.index(max(row))


def of_rows(row: Callable[[Any, Any, list[float]], float]) -> Callable[..., Any]:
    """The weighted mean of `row(metric, t, p)`."""

    def definition(metric: Any, y: Any, rows: Any, weights: Any) -> float:
        values = [row(metric, t, p) for t, p in zip(y, rows)]
        return math.fsum(w * v for w, v in zip(weights, values)) / math.fsum(weights)

    return definition


def of_loss(kind: type[losses.Loss], *names: str, sign: float = 1.0) -> Callable[..., Any]:
    """The weighted mean of a loss with these settings of the metric."""

    def row(metric: Any, t: Any, p: Any) -> float:
        loss = kind(**{name: getattr(metric, name) for name in names})
        return sign * LOSSES[kind].definition(loss, [t], [p])[0]

    return of_rows(row)


def top(metric: Any, p: list[float], k: int) -> bool:
    return sum(v > p[k] for v in p) < metric.k


def sparse_top(metric: Any, t: int, p: list[float]) -> float:
    return float(t in p[: metric.k] if metric.from_sorted_ids else top(metric, p, t))


def cells(y: Any, rows: Any, weights: Any) -> list[tuple[float, float, float]]:
    return [(t, p, w) for ts, ps, w in zip(y, rows, weights) for t, p in zip(ts, ps)]


def count(flat: Any, threshold: float) -> tuple[float, float, float, float]:
    """TP, FP, TN, FN."""
    sums = [0.0] * 4
    for t, p, w in flat:
        which = (0 if t else 1) if p > threshold else (3 if t else 2)
        sums[which] += w
    return tuple(sums)


def ratio(a: float, b: float) -> float:
    return a / b if b else 0.0


def listed(value: Any, usual: float) -> list[float]:
    return [usual] if value is None else value if isinstance(value, list) else [value]


def of_counts(which: int) -> Callable[..., Any]:
    def definition(metric: Any, y: Any, rows: Any, weights: Any) -> Any:
        flat = cells(y, rows, weights)
        found = [count(flat, limit)[which] for limit in listed(metric.thresholds, 0.5)]
        return found if len(found) > 1 else found[0]

    return definition


def of_ratio(other: int) -> Callable[..., Any]:
    def definition(metric: Any, y: Any, rows: Any, weights: Any) -> Any:
        usual = 0.5
        if metric.top_k is not None:
            usual = -1e10
            kept = []
            for p in rows:
                best = sorted(range(len(p)), key=lambda k: (-p[k], k))[: metric.top_k]
                kept.append([v if k in best else -1e10 for k, v in enumerate(p)])
            rows = kept
        if metric.class_id is not None:
            y, rows = ([[one[metric.class_id]] for one in part] for part in (y, rows))
        flat = cells(y, rows, weights)
        found = []
        for limit in listed(metric.thresholds, usual):
            counts = count(flat, limit)
            found.append(ratio(counts[0], counts[0] + counts[other]))
        return found if len(found) > 1 else found[0]

    return definition


def auc(metric: Any, y: Any, rows: Any, weights: Any) -> float:
    n = metric.num_thresholds
    limits = metric.thresholds or [i / (n - 1) for i in range(1, n - 1)]
    if metric.from_logits:
        rows = [[1 / (1 + math.exp(-p)) for p in row] for row in rows]
    flats = [cells(y, rows, weights)]
    factors = metric.label_weights
    if metric.multi_label:
        columns = range(len(rows[0]))
        flats = [[(t[k], p[k], w) for t, p, w in zip(y, rows, weights)] for k in columns]
    elif factors:
        weighted = ([w * f for f in factors] for w in weights)
        flats = [
            [c for t, p, w in zip(y, rows, weighted) for c in zip(t, p, w)],
        ]
    areas = [area(metric, flat, [-1e-7, *limits, 1 + 1e-7]) for flat in flats]
    if metric.multi_label and factors:
        return math.fsum(a * f for a, f in zip(areas, factors)) / math.fsum(factors)
    return math.fsum(areas) / len(areas)


def area(metric: Any, flat: Any, limits: list[float]) -> float:
    counts = [count(flat, limit) for limit in limits]
    total = 0.0
    for (tp, fp, tn, fn), (tp_, fp_, tn_, fn_) in itertools.pairwise(counts):
        if metric.curve == "PR" and metric.summation_method == "interpolation":
            slope = ratio(tp - tp_, max(tp + fp - tp_ - fp_, 0.0))
            rest = tp_ - slope * (tp_ + fp_)
            log = math.log((tp + fp) / (tp_ + fp_)) if tp + fp > 0 and tp_ + fp_ > 0 else 0.0
            total += ratio(slope * (tp - tp_ + rest * log), tp_ + fn_)
            continue
        (x, h), (x_, h_) = (
            point(metric.curve, *one) for one in ((tp, fp, tn, fn), (tp_, fp_, tn_, fn_))
        )
        height = {"minoring": min(h, h_), "majoring": max(h, h_)}
        total += (x - x_) * height.get(metric.summation_method, (h + h_) / 2)
    return total


def point(curve: str, tp: float, fp: float, tn: float, fn: float) -> tuple[float, float]:
    recall = ratio(tp, tp + fn)
    if curve == "ROC":
        return ratio(fp, fp + tn), recall
    if curve == "PR":
        return recall, ratio(tp, tp + fp)
    scale = ratio(tp + fn, tn + fp)
    if tp == 0:
        return 0.0, 1.0
    return max(1 - scale * fn / tp, 0.0), 1 - scale * fp / tp


def best_point(asked: str, name: str, wanted: str) -> Callable[..., Any]:
    def definition(metric: Any, y: Any, rows: Any, weights: Any) -> float:
        n = metric.num_thresholds
        limits = [0.5] if n == 1 else [i / (n - 1) for i in range(n)]
        if metric.class_id is not None:
            y, rows = ([[one[metric.class_id]] for one in part] for part in (y, rows))
        flat, found = cells(y, rows, weights), [0.0]
        for limit in limits:
            tp, fp, tn, fn = count(flat, limit)
            values = {
                "recall": ratio(tp, tp + fn),
                "precision": ratio(tp, tp + fp),
                "specificity": ratio(tn, tn + fp),
            }
            if values[asked] >= getattr(metric, name):
                found.append(values[wanted])
        return max(found)

    return definition


def f_score(metric: Any, y: Any, rows: Any, weights: Any) -> Any:
    columns = range(len(rows[0]))
    sums = [[0.0] * 4 for _ in columns]
    for t, p, w in zip(y, rows, weights):
        for k in columns:
            limit = metric.threshold
            up = p[k] > limit if limit is not None else p[k] == max(p) and abs(p[k]) > 1e-9
            for i, part in enumerate((up * t[k], up * (1 - t[k]), (not up) * t[k], t[k])):
                sums[k][i] += w * part
    if metric.average == "micro":
        sums = [[math.fsum(column) for column in zip(*sums)]]
    scores = []
    for tp, fp, fn, _ in sums:
        precision, recall = tp / (tp + fp + 1e-7), tp / (tp + fn + 1e-7)
        b = metric.beta**2
        scores.append((1 + b) * precision * recall / (b * precision + recall + 1e-7))
    if metric.average == "weighted":
        of_all = math.fsum(one[3] for one in sums) + 1e-7
        return math.fsum(s * one[3] / of_all for s, one in zip(scores, sums))
    return scores if metric.average is None else math.fsum(scores) / len(scores)


def iou(metric: Any, flat: Any, classes: Any, ignored: Any) -> float:
    values = []
    for k in classes:
        both = math.fsum(w for t, p, w in flat if t == p == k and t != ignored)
        either = math.fsum(w for t, p, w in flat if k in (t, p) and t != ignored)
        if either:
            values.append(both / either)
    return math.fsum(values) / len(values) if values else 0.0


def class_iou(metric: Any, y: Any, rows: Any, weights: Any) -> float:
    if metric.sparse_y_pred:
        flat = cells(y, rows, weights)
    else:
        flat = [(largest(t), largest(p), w) for t, p, w in zip(y, rows, weights)]
    classes = getattr(metric, "target_class_ids", range(metric.num_classes))
    return iou(metric, flat, classes, metric.ignore_class)


def binary_iou(metric: Any, y: Any, rows: Any, weights: Any) -> float:
    flat = [(t, int(p >= metric.threshold), w) for t, p, w in cells(y, rows, weights)]
    return iou(metric, flat, metric.target_class_ids, None)


def root(metric: Any, y: Any, rows: Any, weights: Any) -> float:
    squares = of_rows(lambda m, t, p: sum((b - a) ** 2 for a, b in zip(t, p)) / len(p))
    return math.sqrt(squares(metric, y, rows, weights))


def r2(metric: Any, y: Any, rows: Any, weights: Any) -> Any:
    scores, variances = [], []
    total = math.fsum(weights)
    for k in range(len(rows[0])):
        mean = math.fsum(w * t[k] for w, t in zip(weights, y)) / total
        variance = math.fsum(w * (t[k] - mean) ** 2 for w, t in zip(weights, y))
        rest = math.fsum(w * (t[k] - p[k]) ** 2 for w, t, p in zip(weights, y, rows))
        scores.append(1 - rest / variance)
        variances.append(variance)
    if metric.class_aggregation is None:
        return scores
    if metric.class_aggregation == "variance_weighted_average":
        score = math.fsum(s * v for s, v in zip(scores, variances)) / math.fsum(variances)
    else:
        score = math.fsum(scores) / len(scores)
    n, p = len(y) * len(rows[0]), metric.num_regressors
    return 1 - (1 - score) * (n - 1) / (n - p - 1) if p else score


LIMITS = [0.25, 0.5, 0.875]
THRESHOLDS = {"": {}, "at one": {"thresholds": 0.25}, "at several": {"thresholds": LIMITS}}
RATIOS = {
    **THRESHOLDS,
    "of the largest": {"top_k": 2},
    "of a class": {"class_id": 1},
    "of both": {"top_k": 1, "class_id": 2, "thresholds": 0.25},
}
POINTS = {"with few": {"num_thresholds": 5, "class_id": 1}, "with one": {"num_thresholds": 1}}


def points(name: str, *values: float) -> dict[str, dict[str, Any]]:
    return {
        f"{value} {how}".strip(): {name: value, **kwargs}
        for value in values
        for how, kwargs in {"": {}, **POINTS}.items()
    }


SCORES = {
    average or "each": {"average": average} for average in (None, "micro", "macro", "weighted")
}
LOGITS = {"": {}, "smoothed": {"label_smoothing": 0.25}, "on logits": {"from_logits": True}}

METRICS: dict[type[Metric], MetricCase] = {
    AUC: MetricCase(
        "binary",
        auc,
        examples={
            f"{curve} {method}": {"curve": curve, "summation_method": method}
            for curve in ("ROC", "PR", "PRGAIN")
            for method in ("interpolation", "majoring", "minoring")
        }
        | {
            "few": {"num_thresholds": 4},
            "at some": {"thresholds": [0.75, 0.125, 0.5]},
            "labels": {"multi_label": True, "num_labels": 3},
            "labels by weight": {
                "multi_label": True,
                "label_weights": [0.25, 0.5, 2.0],
                "curve": "PR",
            },
            "weighted outputs": {"label_weights": [0.25, 0.5, 2.0]},
            "on logits": {"from_logits": True},
        },
    ),
    Accuracy: MetricCase(
        "classes",
        of_rows(lambda m, t, p: sum(a == b for a, b in zip(t, p)) / len(p)),
    ),
    BinaryAccuracy: MetricCase(
        "binary",
        of_rows(lambda m, t, p: sum((b > m.threshold) == a for a, b in zip(t, p)) / len(p)),
        rounded=True,
        examples={"": {}, "at another": {"threshold": 0.75}},
    ),
    BinaryCrossentropy: MetricCase(
        "probabilities",
        of_loss(losses.BinaryCrossentropy, "from_logits", "label_smoothing"),
        examples=LOGITS,
    ),
    BinaryIoU: MetricCase(
        "binary",
        binary_iou,
        rounded=True,
        examples={
            "": {},
            "of one": {"target_class_ids": (1,)},
            "at another": {"threshold": 0.25},
        },
    ),
    CategoricalAccuracy: MetricCase(
        "one-hot", of_rows(lambda m, t, p: float(largest(p) == largest(t))), rounded=True
    ),
    CategoricalCrossentropy: MetricCase(
        "distributions",
        of_loss(losses.CategoricalCrossentropy, "from_logits", "label_smoothing"),
        examples={**LOGITS, "axis": {"axis": -1}},
    ),
    CategoricalHinge: MetricCase("one-hot", of_loss(losses.CategoricalHinge)),
    CosineSimilarity: MetricCase(
        "numbers", of_loss(losses.CosineSimilarity, sign=-1.0), examples={"": {"axis": -1}}
    ),
    F1Score: MetricCase(
        "binary",
        f_score,
        rounded=True,
        examples=SCORES | {"at one": {"threshold": 0.5}},
    ),
    FBetaScore: MetricCase(
        "binary",
        f_score,
        rounded=True,
        examples=SCORES | {"twice": {"beta": 2.0, "threshold": 0.25, "average": "weighted"}},
    ),
    FalseNegatives: MetricCase("binary", of_counts(3), rounded=True, examples=THRESHOLDS),
    FalsePositives: MetricCase("binary", of_counts(1), rounded=True, examples=THRESHOLDS),
    Hinge: MetricCase("signs", of_loss(losses.Hinge)),
    IoU: MetricCase(
        "classes",
        class_iou,
        examples={
            "": {"num_classes": 3, "target_class_ids": (0, 2)},
            "of one": {
                "num_classes": 3,
                "target_class_ids": (1,),
                "ignore_class": 2,
                "sparse_y_true": True,
                "sparse_y_pred": True,
                "axis": -1,
            },
        },
    ),
    KLDivergence: MetricCase("distributions", of_loss(losses.KLDivergence)),
    LogCoshError: MetricCase("numbers", of_loss(losses.LogCosh)),
    MeanAbsoluteError: MetricCase("numbers", of_loss(losses.MeanAbsoluteError)),
    MeanAbsolutePercentageError: MetricCase(
        "positive", of_loss(losses.MeanAbsolutePercentageError)
    ),
    MeanIoU: MetricCase(
        "classes",
        class_iou,
        examples={
            "": {"num_classes": 3},
            "ignoring": {"num_classes": 3, "ignore_class": 1},
            "of more": {
                "num_classes": 4,
                "sparse_y_true": True,
                "sparse_y_pred": True,
                "axis": -1,
            },
        },
    ),
    MeanSquaredError: MetricCase("numbers", of_loss(losses.MeanSquaredError)),
    MeanSquaredLogarithmicError: MetricCase(
        "positive", of_loss(losses.MeanSquaredLogarithmicError)
    ),
    OneHotIoU: MetricCase(
        "one-hot",
        class_iou,
        examples={
            "": {"num_classes": 3, "target_class_ids": (0, 2), "sparse_y_pred": False},
            "ignoring": {"num_classes": 3, "target_class_ids": (1,), "ignore_class": 2, "axis": -1},
        },
    ),
    OneHotMeanIoU: MetricCase(
        "one-hot",
        class_iou,
        examples={
            "": {"num_classes": 3, "sparse_y_pred": False},
            "ignoring": {"num_classes": 3, "ignore_class": 2, "axis": -1},
        },
    ),
    Poisson: MetricCase("positive", of_loss(losses.Poisson)),
    Precision: MetricCase("binary", of_ratio(1), rounded=True, examples=RATIOS),
    PrecisionAtRecall: MetricCase(
        "binary", best_point("recall", "recall", "precision"), examples=points("recall", 0.25, 0.75)
    ),
    R2Score: MetricCase(
        "numbers",
        r2,
        examples={
            "": {},
            "each": {"class_aggregation": None},
            "by variance": {"class_aggregation": "variance_weighted_average"},
            "adjusted": {"num_regressors": 2},
        },
    ),
    Recall: MetricCase("binary", of_ratio(3), rounded=True, examples=RATIOS),
    RecallAtPrecision: MetricCase(
        "binary",
        best_point("precision", "precision", "recall"),
        examples=points("precision", 0.25, 0.75),
    ),
    RootMeanSquaredError: MetricCase("numbers", root),
    SensitivityAtSpecificity: MetricCase(
        "binary",
        best_point("specificity", "specificity", "recall"),
        examples=points("specificity", 0.25, 0.75),
    ),
    SparseCategoricalAccuracy: MetricCase(
        "labels", of_rows(lambda m, t, p: float(largest(p) == t)), rounded=True
    ),
    SparseCategoricalCrossentropy: MetricCase(
        "labels",
        of_loss(losses.SparseCategoricalCrossentropy, "from_logits", "ignore_class"),
        examples={"": {}, "on logits": {"from_logits": True}, "axis": {"axis": -1}}
        | {"ignoring": {"ignore_class": -1}},
    ),
    SparseTopKCategoricalAccuracy: MetricCase(
        "labels",
        of_rows(sparse_top),
        rounded=True,
        examples={"": {"k": 2}, "of ids": {"k": 1, "from_sorted_ids": True}},
    ),
    SpecificityAtSensitivity: MetricCase(
        "binary",
        best_point("recall", "sensitivity", "specificity"),
        examples=points("sensitivity", 0.25, 0.75),
    ),
    SquaredHinge: MetricCase("signs", of_loss(losses.SquaredHinge)),
    TopKCategoricalAccuracy: MetricCase(
        "one-hot",
        of_rows(lambda m, t, p: float(top(m, p, largest(t)))),
        rounded=True,
        examples={"": {"k": 2}, "of one": {"k": 1}},
    ),
    TrueNegatives: MetricCase("binary", of_counts(2), rounded=True, examples=THRESHOLDS),
    TruePositives: MetricCase("binary", of_counts(0), rounded=True, examples=THRESHOLDS),
}

# every example: id, class, arguments
EXAMPLES = {
    f"{kind.__name__} {name}".strip(): (kind, kwargs)
    for kind, case in METRICS.items()
    for name, kwargs in case.examples.items()
}

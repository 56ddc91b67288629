"""Calls of losses and metrics, and whole trainings, that a name draws: the same for two packages.

    outcome("loss 17", keras)       what Keras says
    outcome("loss 17", minicnn)     what minicnn says

`fixtures/make_keras_drawn.py` compares the two on any number of names; `test_keras_drawn.py` holds
minicnn to a stored sample of Keras's. Drawn are arguments, shapes, kinds of targets, weights of
samples and positions, and the forms in which `compile` takes losses and metrics.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from cases import Draw, Shape, rng_of
from cases.losses import LOSSES, PREDICTIONS, TARGETS
from cases.metrics import METRICS, data
from minicnn.losses.functions import CLASSES

Package = Any  # keras or minicnn
Outcome = dict[str, Any]

FUNCTIONS = {kind: function.__name__ for function, kind in CLASSES.items()}
WHOLE = ("int32", "int64", "uint8", "float32")


def outcome(name: str, package: Package, **how: Any) -> Outcome:
    """What comes of a case: numbers by their names. `how` is for `compile`."""
    kind, _, _ = name.rpartition(" ")
    draw = Draw(int(rng_of(name).integers(2**31)))
    if kind == "training":
        return training(name, draw, package, how)
    return {"loss": loss, "metric": metric}[kind](name, draw, package)


KINDS = ("loss", "metric", "training")


def shape_of(draw: Draw, classes: int) -> Shape:
    """(N, ..., C); no two axes are of one size, so that none is taken for another."""
    inner = draw.one_of((), (), (2,), (3, 2))
    return (draw.size(5, 9), *inner, classes)


def number(value: Any) -> Any:
    array = np.asarray(value, np.float64)
    return array.item() if array.ndim == 0 else array.tolist()


def weights_for(draw: Draw, rng: np.random.Generator, shape: Shape) -> Any:
    """Weights for losses of that shape: none, one, one a sample, or one a position."""
    forms = [None, np.float32(0.75), shape]
    if len(shape) == 1:
        forms += [shape, (*shape, 1)]
    chosen = draw.one_of(*forms)
    if not isinstance(chosen, tuple):
        return chosen
    return rng.integers(0, 5, chosen).astype("float32") / 2


# -- losses and metrics called by themselves -------------------------------------------------------


def loss_arguments(draw: Draw, parameters: Any) -> dict[str, Any]:
    choices = {
        "from_logits": (True, False),
        "label_smoothing": (0.0, 0.125, 0.5),
        "ignore_class": (None, -1, 0, 2),
        "apply_class_balancing": (True, False),
        "alpha": (0.25, 0.5, 0.75),
        "gamma": (0.5, 1.0, 2.0),
        "delta": (0.5, 1.0, 2.0),
    }
    drawn = {key: draw.one_of(*values) for key, values in choices.items() if key in parameters}
    return {key: value for key, value in drawn.items() if draw.flag()}


def predictions(draw: Draw, rng: Any, targets: str, shape: Shape, *, logits: bool) -> Any:
    y = TARGETS[targets](rng, shape)
    if targets in PREDICTIONS:
        return y, PREDICTIONS[targets](rng, y).astype("float32")
    if logits:
        return y, (3 * rng.standard_normal(shape)).astype("float32")
    p = rng.uniform(0.02, 0.98, shape)
    if draw.flag():
        p /= p.sum(axis=-1, keepdims=True)
    return y, p.astype("float32")


def as_given(draw: Draw, targets: str, y: Any) -> Any:
    """Targets in one of the types and shapes that a user may give."""
    if targets == "labels":
        kind = draw.one_of(*WHOLE)
        y = y.astype(kind if y.min() >= 0 else kind.replace("uint8", "int64"))
        return y[..., None] if draw.flag() else y
    if targets in ("binary", "one-hot"):
        return y.astype(draw.one_of(*WHOLE))
    return y.astype("float32")


def loss(name: str, draw: Draw, package: Package) -> Outcome:
    """A loss, called: with all reductions, and as a function."""
    rng, kind = rng_of(f"{name} arrays"), draw.one_of(*LOSSES)
    given, targets = loss_arguments(draw, inspect.signature(kind).parameters), LOSSES[kind].targets
    shape = shape_of(draw, draw.size(3, 4))
    y, p = predictions(draw, rng, targets, shape, logits=given.get("from_logits", False))
    if given.get("ignore_class") is not None:
        y = np.where(rng.random(y.shape) < 0.3, given["ignore_class"], y)
    y = as_given(draw, targets, y)
    weights = weights_for(draw, rng, shape[:-1])
    kinds = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)
    reduction = draw.one_of(*kinds)
    one = getattr(package.losses, kind.__name__)(**given, reduction=reduction)
    found = {"loss": number(one(y, p, sample_weight=weights))}
    if given.get("ignore_class") is None:
        function = getattr(package.losses, FUNCTIONS[kind])
        found["function"] = number(function(y, p, **given))
    return found


def metric_arguments(draw: Draw, kind: type) -> dict[str, Any]:
    cases = list(METRICS[kind].examples.values())
    given = dict(draw.one_of(*cases))
    if "thresholds" in given:
        limits = sorted({round(draw.number(0, 1), 2) for _ in range(draw.size(1, 5))})
        given["thresholds"] = limits
    for key, (low, high) in {"k": (1, 4), "top_k": (1, 3), "class_id": (0, 2)}.items():
        if key in given:
            given[key] = draw.size(low, high)
    if "num_thresholds" in given:
        given["num_thresholds"] = draw.size(3, 300)
    return given


def metric(name: str, draw: Draw, package: Package) -> Outcome:
    """A metric's result after each of some updates, and after a reset."""
    rng, kind = rng_of(f"{name} arrays"), draw.one_of(*METRICS)
    given, targets = metric_arguments(draw, kind), METRICS[kind].targets
    vectors = kind.__name__ in ("F1Score", "FBetaScore", "R2Score") or given.get("multi_label")
    shape = (draw.size(6, 9), 3) if vectors else shape_of(draw, 3)
    y, p = data(kind, rng, shape)
    y = as_given(draw, targets, y) if targets != "classes" else y
    p = p.astype("float32")
    if given.get("from_logits"):
        p = 3 * p
    of_classes = kind.__name__.endswith("IoU")
    if of_classes and "OneHot" not in kind.__name__:
        weights = draw.one_of(None, shape)  # Keras wants one for each cell
    elif of_classes:
        weights = draw.one_of(None, shape[:-1])
    else:
        weights = weights_for(draw, rng, shape[:-1])
    if kind.__name__ in ("F1Score", "FBetaScore") and np.ndim(weights) == 2:
        weights = weights[:, 0]  # Keras multiplies each by every sample otherwise
    if isinstance(weights, tuple):
        weights = rng.integers(0, 5, weights).astype("float32") / 2
    extra = {"dtype": "float32"} if of_classes else {}
    one = getattr(package.metrics, kind.__name__)(**given, **extra)
    cut = draw.size(1, len(y) - 1)
    found = {}
    parts = {"first": slice(cut), "rest": slice(cut, None), "again": slice(None)}
    for label, part in parts.items():
        if label == "again":
            one.reset_state()
        each = weights[part] if np.ndim(weights) else weights
        one.update_state(y[part], p[part], sample_weight=each)
        found[label] = number(one.result())
    return found


# -- trainings -------------------------------------------------------------------------------------

# by what the targets are: the last activation, losses by name, and metrics by name or class
FAMILIES: dict[str, tuple[str, list[Any], list[Any]]] = {
    "labels": (
        "softmax",
        [
            "sparse_categorical_crossentropy",
            "SparseCategoricalCrossentropy",
            "crossentropy",
            ("SparseCategoricalCrossentropy", {"reduction": "sum"}),
            ("SparseCategoricalCrossentropy", {"ignore_class": 1}),
        ],
        [
            "accuracy",
            "acc",
            "sparse_categorical_accuracy",
            "SparseCategoricalAccuracy",
            "sparse_categorical_crossentropy",
            ("SparseTopKCategoricalAccuracy", {"k": 2}),
            ("SparseCategoricalCrossentropy", {"name": "own"}),
        ],
    ),
    "one-hot": (
        "softmax",
        [
            "categorical_crossentropy",
            "ce",
            "kld",
            ("CategoricalCrossentropy", {"label_smoothing": 0.125}),
            ("CategoricalCrossentropy", {"reduction": "mean_with_sample_weight"}),
            "mse",
        ],
        [
            "accuracy",
            "Acc",
            "categorical_accuracy",
            "mse",
            "MAE",
            ("TopKCategoricalAccuracy", {"k": 2}),
            ("AUC", {"name": "area", "num_thresholds": 20}),
            ("AUC", {"name": "areas", "curve": "PR", "multi_label": True}),
            ("F1Score", {}),
            ("F1Score", {"average": "macro", "name": "f1"}),
            ("Precision", {"name": "precision", "class_id": 1}),
            ("Recall", {"name": "recall", "top_k": 2}),
            ("CategoricalCrossentropy", {"label_smoothing": 0.25}),
        ],
    ),
    "binary": (
        "sigmoid",
        [
            "binary_crossentropy",
            "bce",
            "BinaryCrossentropy",
            "ce",
            "binary_focal_crossentropy",
            ("BinaryCrossentropy", {"label_smoothing": 0.25}),
            ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "gamma": 1.0}),
            ("BinaryCrossentropy", {"reduction": "sum"}),
            "hinge",
        ],
        [
            "accuracy",
            "acc",
            "binary_accuracy",
            "AUC",
            "Precision",
            "recall",
            ("BinaryAccuracy", {"threshold": 0.75}),
            ("AUC", {"name": "area", "curve": "PR"}),
            ("TruePositives", {"name": "tp"}),
            ("FalseNegatives", {"name": "fn", "thresholds": [0.25]}),
            ("Precision", {"name": "precision", "thresholds": [0.25, 0.5]}),
            ("BinaryIoU", {"name": "iou"}),
            "bce",
        ],
    ),
    "numbers": (
        "linear",
        [
            "mse",
            "mean_squared_error",
            "mae",
            "MeanAbsoluteError",
            "huber",
            "log_cosh",
            ("Huber", {"delta": 0.5}),
            "cosine_similarity",
            ("MeanSquaredError", {"reduction": "sum"}),
        ],
        [
            "mae",
            "MSE",
            "mean_absolute_error",
            "RootMeanSquaredError",
            ("RootMeanSquaredError", {"name": "rmse"}),
            ("R2Score", {}),
            ("CosineSimilarity", {}),
            "log_cosh",
            "mape",
        ],
    ),
}


def made(module: Any, chosen: Any) -> Any:
    if isinstance(chosen, str):
        return chosen
    kind, given = chosen
    return getattr(module, kind)(**given)


def some_metrics(draw: Draw, package: Package, known: list[Any]) -> Any:
    """A few metrics, in one of the forms that `compile` takes."""
    count = draw.size(0, 3)
    if not count:
        return draw.one_of(None, [])
    listed = [made(package.metrics, draw.one_of(*known)) for _ in range(count)]
    return draw.one_of(listed, listed, tuple(listed), [listed], {"out": listed})


def training(name: str, draw: Draw, package: Package, how: dict[str, Any]) -> Outcome:
    """The history of a fit, what evaluate says, in its orders, and the weights that come out."""
    rng, family = rng_of(f"{name} arrays"), draw.one_of(*FAMILIES)
    ends, known_losses, known_metrics = FAMILIES[family]
    classes = draw.one_of(1, 1, 3) if family in ("binary", "numbers") else 3
    inner = draw.one_of((), (), (), (2,)) if classes > 1 else ()
    n = draw.size(13, 21)
    shape = (n, *inner, classes)
    x = rng.standard_normal((n, 4)).astype("float32")
    y = TARGETS[family](rng, shape)
    if family == "labels":
        y = as_given(draw, family, y) if not inner else y
    elif classes == 1 and draw.flag():
        y = y[:, 0]
    y = y.astype("float32") if family == "numbers" else y.astype(draw.one_of(*WHOLE))
    layers = package.layers
    stack = [package.Input((4,)), layers.Dense(5, activation="tanh")]
    if inner:
        stack += [layers.Dense(2 * classes), layers.Reshape((2, classes)), layers.Activation(ends)]
    else:
        stack.append(layers.Dense(classes, activation=ends))
    model = package.Sequential(stack)
    model.set_weights([rng.standard_normal(w.shape).astype("float32") for w in model.get_weights()])
    chosen = made(package.losses, draw.one_of(*known_losses))
    if family == "binary" and chosen == "ce" and classes > 1:
        chosen = "bce"  # the categorical one would be chosen
    weight = draw.one_of(None, None, None, 0.5)
    metrics = some_metrics(draw, package, known_metrics)
    weighted = some_metrics(draw, package, known_metrics) if draw.flag() else None
    model.compile(
        package.optimizers.SGD(0.0625),
        chosen,
        loss_weights=weight,
        metrics=metrics,
        weighted_metrics=weighted,
        **how,
    )
    weights = draw.one_of(None, (n,), (n,), (n, 1)) if not inner else draw.one_of(None, (n, 2))
    if weights is not None:
        weights = rng.integers(0, 5, weights).astype("float32") / 2
    by_class = None
    if weights is None and not inner and (family in ("labels", "one-hot") or classes == 1):
        by_class = draw.one_of(None, {0: 2.0, 1: 0.5}) if family != "numbers" else None
    given: dict[str, Any] = {"batch_size": draw.size(4, 8), "epochs": draw.size(1, 2)}
    if draw.flag():
        parts = (x[:9], y[:9]) if weights is None or draw.flag() else (x[:9], y[:9], weights[:9])
        given["validation_data"] = parts
    elif draw.flag():
        given["validation_split"] = 0.25
    history = model.fit(
        x, y, verbose=0, shuffle=False, sample_weight=weights, class_weight=by_class, **given
    ).history
    size = draw.size(3, 9)
    told = model.evaluate(x, y, size, 0, weights, return_dict=True)
    values = model.evaluate(x, y, size, 0, weights)
    values = values if isinstance(values, list) else [values]
    if any(key.startswith("weighted_") or key.endswith(("_1", "_2")) for key in told):
        values = []  # of a name that is there twice Keras lists the first twice
    batch = model.test_on_batch(x, y, weights, return_dict=True)
    return {
        "history": {key: [number(v) for v in values] for key, values in history.items()},
        "keys": list(history),
        "evaluate": [number(v) for v in values],
        "told": {key: number(v) for key, v in told.items()},
        "told keys": list(told),
        "batch": {key: number(v) for key, v in batch.items()},
        "weights": [number(w) for w in model.get_weights()],
    }


# -- comparing -------------------------------------------------------------------------------------


def differences(found: Any, expected: Any, where: str = "") -> list[str]:
    """Where two outcomes differ by more than float32 rounds."""
    wrong = [f"{where}: {found}, and Keras has {expected}"]
    if isinstance(expected, dict):
        if not isinstance(found, dict) or found.keys() != expected.keys():
            return wrong
        pairs = [(f"{where} {key}", found[key], expected[key]) for key in expected]
        return [line for at, a, b in pairs for line in differences(a, b, at)]
    if isinstance(expected, list) and any(isinstance(one, (str, list)) for one in expected):
        if not isinstance(found, list) or len(found) != len(expected):
            return wrong
        pairs = [(f"{where}[{k}]", a, b) for k, (a, b) in enumerate(zip(found, expected))]
        return [line for at, a, b in pairs for line in differences(a, b, at)]
    if isinstance(expected, str):
        return [] if found == expected else wrong
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if a.shape == b.shape and np.allclose(a, b, rtol=5e-5, atol=5e-6, equal_nan=True):
        return []
    return wrong

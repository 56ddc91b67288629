"""Wrong calls of the plotting functions leave no figure behind."""

from __future__ import annotations

import itertools
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_plotting import (  # noqa: F401  the fixture runs for every test
    COLOURS,
    HISTORY,
    NAMES,
    _no_open_figures_and_the_same_settings,
    call,
)

from minicnn.plotting import confusion_heatmap, image_grid, prediction_grid, training_curves


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": np.zeros((28, 28))}, ValueError, r"\(28, 28\).*image\[None\]"),
        ({"images": np.zeros((2, 28, 28, 2))}, ValueError, r"\(2, 28, 28, 2\)"),
        ({"images": np.zeros((0, 28, 28))}, ValueError, r"\(0, 28, 28\)"),
        ({"images": np.full((2, 3, 3), np.nan)}, ValueError, "finite"),
        ({"images": ["a", "b"]}, TypeError, "images"),
        ({"titles": ["a"]}, ValueError, "images 2, titles 1"),
        ({"colors": ["red"] * 3}, ValueError, "images 2, titles 2, colors 3"),
        ({"colors": ["red", "reddish"]}, ValueError, "'reddish'"),
        ({"rows": 0}, ValueError, "rows"),
        ({"columns": 2.0}, TypeError, "columns"),
        ({"size": 0}, ValueError, "size"),
    ],
)
def test_image_grid_errors_leave_no_figure(change, error, message):
    call = {"images": np.zeros((2, 4, 4)), "titles": ["a", "b"]} | change
    with pytest.raises(error, match=message):
        image_grid(**call)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("function", [prediction_grid, confusion_heatmap])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y_true": [0]}, ValueError, "y_true 1, y_pred 2"),
        ({"y_pred": np.eye(2)}, ValueError, r"np\.argmax\(y_pred, axis=1\)"),
        ({"y_pred": [0, 3]}, ValueError, "y_pred to be from 0 to 2, .* received 3"),
        ({"y_true": [-1, 0]}, ValueError, "y_true to be from 0 to 2, .* received -1"),
        ({"y_true": ["Trouser", "Bag"]}, TypeError, "'Trouser'"),
        ({"size": -1}, ValueError, "size"),
    ],
)
def test_class_errors_leave_no_figure(function, change, error, message):
    call = {"y_true": [0, 1], "y_pred": [1, 1], "class_names": NAMES}
    if function is prediction_grid:
        call["images"] = np.zeros((2, 4, 4))
    with pytest.raises(error, match=message):
        function(**(call | change))
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("record", "options", "error", "message"),
    [
        ({}, {}, ValueError, "at least one epoch"),
        ({"loss": []}, {}, ValueError, "at least one epoch"),
        ({"loss": [1.0, 2.0], "accuracy": [0.1]}, {}, ValueError, "1 values of 'loss'"),
        ({"loss": [1.0] * 4, "val_loss": [1.0]}, {}, ValueError, "validation_freq"),
        ({"loss": [[1.0, 2.0]]}, {}, ValueError, r"shape \(1, 2\)"),
        ({"loss": ["a"]}, {}, TypeError, "loss"),
        ([1.0, 2.0], {}, TypeError, "received list"),
        (HISTORY, {"validation_freq": 0}, ValueError, "validation_freq"),
    ],
)
def test_training_curves_errors_leave_no_figure(record, options, error, message):
    with pytest.raises(error, match=message):
        training_curves(record, **options)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("names", ["abc", None, 3])
def test_class_names_are_a_list(names):
    images, labels = np.zeros((3, 4, 4)), [0, 1, 2]
    with pytest.raises(TypeError, match="prediction_grid: expected class_names to be a list"):
        prediction_grid(images, labels, labels, names)
    with pytest.raises(TypeError, match="confusion_heatmap: expected class_names to be a list"):
        confusion_heatmap(labels, labels, names)
    if names != "abc" and names is not None:
        with pytest.raises(TypeError, match="image_grid: expected titles to be a list"):
            image_grid(images, names)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (COLOURS * 255, r"floats to be in \[0, 1\], .* from 0.0 to 255.0.* images / 255$"),
        (COLOURS * 1.01, r"from 0.0 to 1.01. Scale them to \[0, 1\]: images / 255"),
        (COLOURS * 1e4, r"from 0.0 to 10000.0.*: images / images.max\(\)"),
        (COLOURS - 0.5, r"from -0.5 to 0.5.*\(images - images.min\(\)\) / "),
        ((COLOURS - 0.01).astype(np.float32), "from -0.0"),
        ((COLOURS * 1.1).astype(np.float16), r"floats to be in \[0, 1\]"),
        ((COLOURS * 2).astype(np.longdouble), r"floats to be in \[0, 1\]"),
        ((COLOURS * 256).astype(int), r"whole numbers to be from 0 to 255, .* from 0 to 256"),
        ((COLOURS * 65535).astype(np.uint16), "from 0 to 65535"),
        ((COLOURS * 127 - 1).astype(np.int8), "from -1 to 126"),
        (np.full((2, 4, 5, 3), 2**64 - 1, np.uint64), "from 18446744073709551615"),
    ],
)
def test_colours_out_of_range_are_refused_and_not_clipped(images, words):
    for function, arguments in (
        (image_grid, (images,)),
        (prediction_grid, (images, [0, 1], [1, 1], ["a", "b"])),
    ):
        with pytest.raises(ValueError, match=f"{function.__name__}: expected colour .*{words}"):
            function(*arguments, rows=1, columns=2)
    assert plt.get_fignums() == []


LIMITS = [
    (image_grid, {"rows": 2**31}, "rows to be an integer from 1 to 2500, received 2147483648"),
    (image_grid, {"rows": 10**5000}, r"rows to be .*, received 2\*\*16609 or more"),
    (image_grid, {"columns": 2**31}, "columns to be an integer from 1 to 2500"),
    (image_grid, {"rows": 51, "columns": 50}, r"rows \* columns .* 2,500 cells, received 51 \* 50"),
    (image_grid, {"rows": 2500, "columns": 1}, "rows, columns, size, .* 10 x 25,000 inches"),
    (image_grid, {"size": 2**31}, r"size to be a number in \[0.1, 100\]"),
    (image_grid, {"size": 1e-9}, "size"),
    (image_grid, {"size": 10**400}, "size"),
    (image_grid, {"suptitle": "a" * 1001}, "suptitle to have at most 1,000 letters, .* 1,001"),
    (image_grid, {"suptitle": "a" * 10**7}, "suptitle"),
    (image_grid, {"titles": ["a" * 1001, "b"]}, "titles to have at most 1,000 letters"),
    (image_grid, {"titles": itertools.count()}, "at most 100,000 titles"),
    (image_grid, {"titles": range(2**31)}, "at most 100,000 titles"),
    (image_grid, {"colors": itertools.repeat("red")}, "at most 100,000 colors"),
    (prediction_grid, {"rows": 2**31}, "rows to be an integer from 1 to 2500"),
    (prediction_grid, {"columns": 2**63}, "columns to be an integer from 1 to 2500"),
    (prediction_grid, {"size": 101}, "size"),
    (prediction_grid, {"suptitle": "a\n" * 10**6}, "suptitle"),
    (prediction_grid, {"class_names": itertools.count()}, "at most 100,000 class_names"),
    (prediction_grid, {"class_names": range(2**40)}, "at most 100,000 class_names"),
    (prediction_grid, {"class_names": ["a", "b" * 10**6]}, "class_names to have at most 1,000"),
    (prediction_grid, {"class_names": []}, "class_names to name at least one class"),
    (training_curves, {"suptitle": "a" * 10**6}, "suptitle"),
    (training_curves, {"history": {"m" * 1001: [1.0]}}, "names in history to have at most 1,000"),
    (
        training_curves,
        {"history": {f"m{i}": [1.0] for i in range(101)}},
        "a history of at most 100 metrics, received 101",
    ),
    (confusion_heatmap, {"size": 2**31}, r"size to be a number in \[2, 100\]"),
    (confusion_heatmap, {"size": 1}, "size"),
    (confusion_heatmap, {"class_names": range(201)}, "at most 200 class_names, received 201"),
    (confusion_heatmap, {"class_names": itertools.count()}, "at most 100,000 class_names"),
    (confusion_heatmap, {"class_names": ["a", "b" * 1001]}, "class_names"),
    (confusion_heatmap, {"suptitle": "a" * 1001}, "suptitle"),
]


@pytest.mark.parametrize(("function", "change", "words"), LIMITS)
def test_what_could_not_be_drawn_is_refused_at_once(function, change, words):
    started = time.process_time()
    with pytest.raises(ValueError, match=rf"{function.__name__}: expected (the )?{words}"):
        call(function, **change)
    assert time.process_time() - started < 10
    assert plt.get_fignums() == []


WRONG = {
    "None": None,
    "True": True,
    "-1": -1,
    "0": 0,
    "a half": 0.5,
    "nan": np.nan,
    "inf": np.inf,
    "complex": 1j,
    "text": "abc",
    "bytes": b"abc",
    "no items": [],
    "nested": [[1], [2]],
    "ragged": [[1], [2, 3]],
    "Nones": [None, None],
    "objects": [object(), object()],
    "a dict": {0: "a", 1: "b"},
    "a dict of None": {"loss": None},
    "a dict of a number": {"a": 1},
    "a set": {0, 1},
    "an array of one number": np.array(3),
    "an array": np.array([0.5, 0.7]),
    "an empty array": np.zeros((0, 2)),
    "two axes": np.eye(2),
    "four axes": np.zeros((1, 1, 1, 2)),
    "nans": np.full((2, 4, 4), np.nan),
    "an object array": np.array([None, "a"]),
    "masked": np.ma.masked_array([0, 1], [True, False]),
    "dates": np.array(["2020-01-01", "2020-01-02"], dtype="M8[D]"),
    "records": np.zeros(2, dtype=[("a", int)]),
    "a class": int,
    "a module": np,
    "...": Ellipsis,
}


ARGUMENTS = {
    image_grid: ["images", "titles", "rows", "columns", "size", "colors", "suptitle"],
    prediction_grid: [
        *("images", "y_true", "y_pred", "class_names", "rows", "columns", "size", "suptitle")
    ],
    training_curves: ["history", "validation_freq", "suptitle"],
    confusion_heatmap: ["y_true", "y_pred", "class_names", "size", "suptitle"],
}


TAKEN = {  # what of the above is right
    ("titles", "None"),
    ("titles", "an array"),
    ("colors", "None"),
    ("suptitle", "None"),
    ("suptitle", "text"),
    ("class_names", "an array"),
    ("size", "a half"),
}


@pytest.mark.parametrize(
    ("function", "argument"),
    [(function, name) for function, names in ARGUMENTS.items() for name in names],
)
def test_every_argument_is_refused_by_its_name(function, argument):
    for kind, value in WRONG.items():
        if (argument, kind) in TAKEN and (function, argument) != (confusion_heatmap, "size"):
            call(function, **{argument: value})
            plt.close("all")
            continue
        words = f"^{function.__name__}"
        with pytest.raises((TypeError, ValueError), match=words) as refused:  # noqa: PT012
            call(function, **{argument: value})
            pytest.fail(f"takes {kind}")
        assert refused.type in (TypeError, ValueError)
        assert argument in str(refused.value), kind
        assert plt.get_fignums() == []

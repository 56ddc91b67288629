"""The pictures: what stands in them, that they draw, and that nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt

from minicnn.plotting import confusion_heatmap, image_grid, prediction_grid, training_curves

NAMES = ["T-shirt/top", "Trouser", "Ankle boot"]
HISTORY = {
    "accuracy": [0.81, 0.87],
    "loss": [0.53, 0.35],
    "val_accuracy": [0.86, 0.88],
    "val_loss": [0.39, 0.33],
}


@pytest.fixture(autouse=True)
def _no_open_figures_and_the_same_settings():
    plt.close("all")
    settings = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == settings


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(256, size=(30, 28, 28), dtype=np.uint8)


def drawn(figure):
    """The figure, once everything in it was drawn (warnings are errors)."""
    figure.canvas.draw()
    return figure


def shown(figure):
    """The arrays of the images in `figure`."""
    return [axis.get_images()[0].get_array() for axis in figure.axes if axis.get_images()]


def titles(figure):
    return [axis.get_title() for axis in figure.axes]


def overlapping_titles(figure):
    """Pairs of titles, or of a title and an image, that cover each other."""
    renderer = drawn(figure).canvas.get_renderer()
    boxes = [axis.title.get_window_extent(renderer) for axis in figure.axes]
    frames = [axis.get_window_extent(renderer) for axis in figure.axes]
    return [
        (i, j)
        for i, box in enumerate(boxes)
        for j in range(len(boxes))
        if (i < j and box.overlaps(boxes[j])) or (i != j and box.overlaps(frames[j]))
    ]


# --- image_grid


def test_image_grid(images):
    labels = [NAMES[i % 3] for i in range(30)]
    figure = drawn(image_grid(images, labels))
    assert tuple(figure.get_size_inches()) == (10, 10)
    assert len(figure.axes) == 25
    assert titles(figure) == labels[:25]
    assert all(not axis.axison for axis in figure.axes)
    for pixels, image in zip(shown(figure), images, strict=False):
        assert np.array_equal(pixels, image)
    assert figure.axes[3].get_images()[0].get_cmap().name == "gray"
    assert figure.get_suptitle() == ""
    assert overlapping_titles(figure) == []


@pytest.mark.parametrize(
    ("rows", "columns", "size", "title", "suptitle"),
    [(1, 5, 5, "a", "three\nwhole\nlines"), (1, 5, 2, "", "one"), (1, 20, 10, "two\nlines", "one")],
)
def test_low_grids_grow_to_show_their_images(images, rows, columns, size, title, suptitle):
    count = rows * columns
    figure = image_grid(
        images[:count], [title] * count, rows=rows, columns=columns, size=size, suptitle=suptitle
    )
    assert overlapping_titles(figure) == []
    renderer = figure.canvas.get_renderer()
    head = figure._suptitle.get_window_extent(renderer)
    for axis in figure.axes:
        box, text = (one.get_window_extent(renderer) for one in (axis, axis.title))
        assert min(box.width, box.height) >= 0.5 * figure.bbox.width / columns
        assert box.y0 >= 0
        assert not text.overlaps(head)
        assert text.y1 <= head.y0


def test_image_grid_one_gray_scale_for_all_images():
    images = np.stack([np.full((4, 4), 0.25), np.eye(4) - 0.5])
    figure = drawn(image_grid(images, rows=1, columns=2))
    assert [axis.get_images()[0].get_clim() for axis in figure.axes] == [(-0.5, 0.5)] * 2


def test_image_grid_with_a_channel_axis_and_empty_cells(images):
    figure = drawn(image_grid(images[:4, ..., None] / 255, list("abcd"), rows=2, columns=3, size=6))
    assert tuple(figure.get_size_inches()) == (6, 4)
    assert titles(figure) == ["a", "b", "c", "d", "", ""]
    assert len(shown(figure)) == 4
    assert all(not axis.axison for axis in figure.axes)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 5, 4, 3), dtype=np.uint8),
        np.full((2, 5, 4, 3), 0.5, dtype=np.float32),
        np.ones((2, 5, 4), dtype=bool),
        np.full((2, 5, 4), -3),
        np.zeros((2, 5, 4), dtype=np.float16),
        [[[0, 1], [1, 0]]],
    ],
)
def test_image_grid_kinds_of_images(images):
    assert len(shown(drawn(image_grid(images, rows=1, columns=2)))) == len(images)


def test_image_grid_texts(images):
    """Titles are not formulas, long ones get a smaller font, and the suptitle is there."""
    long = ["$a_b$ and 5$", "a name that is far too long for the width of one cell", "c"]
    figure = image_grid(
        images[:3], long, rows=1, columns=3, colors=["red", "#00aa00", "C2"], suptitle="made up"
    )
    assert titles(figure) == long
    assert not any(axis.title.get_parse_math() for axis in figure.axes)
    assert figure.axes[0].title.get_size() < 9
    assert [axis.title.get_color() for axis in figure.axes] == ["red", "#00aa00", "C2"]
    assert figure.get_suptitle() == "made up"
    assert overlapping_titles(figure) == []


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


# --- prediction_grid


def test_prediction_grid(images):
    y_true, y_pred = np.arange(30) % 3, np.arange(30) % 2
    figure = drawn(prediction_grid(images, y_true.astype(np.uint8), y_pred, NAMES))
    assert tuple(figure.get_size_inches()) == (12, 12)
    assert len(figure.axes) == 25
    assert titles(figure)[:3] == [
        "A: T-shirt/top\nP: T-shirt/top",
        "A: Trouser\nP: Trouser",
        "A: Ankle boot\nP: T-shirt/top",
    ]
    colors = [axis.title.get_color() for axis in figure.axes]
    assert (
        colors == ["green" if a == p else "red" for a, p in zip(y_true, y_pred, strict=True)][:25]
    )
    assert overlapping_titles(figure) == []


def test_prediction_grid_options(images):
    figure = drawn(
        prediction_grid(
            images[:3, ..., None],
            np.array([[0], [1], [2]]),
            [2.0, 1.0, 2.0],
            NAMES,
            rows=1,
            columns=4,
            size=8,
            suptitle="Synthetic fashion",
        )
    )
    assert [axis.title.get_color() for axis in figure.axes[:3]] == ["red", "green", "green"]
    assert titles(figure)[3] == ""
    assert tuple(figure.get_size_inches()) == (8, 2)
    assert figure.get_suptitle() == "Synthetic fashion"


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


# --- training_curves


def lines(figure):
    """The points of every curve, panel by panel: ``{label: (epochs, values)}``."""
    return [
        {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines}
        for axis in figure.axes
    ]


@pytest.mark.parametrize("wrap", [dict, lambda record: SimpleNamespace(history=record)])
def test_training_curves(wrap):
    figure = drawn(training_curves(wrap(HISTORY), suptitle="Fashion-MNIST"))
    assert tuple(figure.get_size_inches()) == (12, 4)
    assert titles(figure) == ["Training and Validation Accuracy", "Training and Validation Loss"]
    assert lines(figure) == [
        {"Training": ([1, 2], [0.81, 0.87]), "Validation": ([1, 2], [0.86, 0.88])},
        {"Training": ([1, 2], [0.53, 0.35]), "Validation": ([1, 2], [0.39, 0.33])},
    ]
    for axis, name in zip(figure.axes, ["Accuracy", "Loss"], strict=True):
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("Epoch", name)
        assert [text.get_text() for text in axis.get_legend().texts] == ["Training", "Validation"]
        assert axis.get_xticks().tolist() == [1, 2]
        assert all(line.get_marker() == "o" for line in axis.lines)
    assert figure.get_suptitle() == "Fashion-MNIST"


def test_training_curves_without_validation_and_without_accuracy():
    figure = drawn(training_curves({"loss": [1.5]}))
    assert tuple(figure.get_size_inches()) == (6, 4)
    assert titles(figure) == ["Training Loss"]
    assert lines(figure) == [{"Training": ([1], [1.5])}]
    assert figure.axes[0].get_xticks().tolist() == [1]
    low, high = figure.axes[0].get_xlim()
    assert low < 1 < high


def test_training_curves_of_other_metrics():
    record = {"acc": [0.5], "loss": [1.0], "mean_squared_error": [0.1], "learning_rate": [0.001]}
    figure = drawn(training_curves(record))
    assert titles(figure) == ["Training Accuracy", "Training Mean Squared Error", "Training Loss"]


def test_training_curves_of_a_diverged_run():
    figure = drawn(training_curves({"loss": [1.0, np.inf, np.nan], "val_loss": [np.nan] * 3}))
    assert figure.axes[0].get_xlim()[1] > 3


def test_training_curves_with_rare_validation():
    record = {"loss": list(range(10)), "val_loss": [4.0, 8.0]}
    figure = drawn(training_curves(record, validation_freq=4))
    assert lines(figure)[0]["Validation"] == ([4, 8], [4.0, 8.0])


@pytest.mark.parametrize("n_epochs", [1, 2, 3, 7, 12, 13, 20, 60, 61, 500, 12345])
def test_epoch_ticks_are_whole_and_begin_at_1(n_epochs):
    ticks = training_curves({"loss": np.ones(n_epochs)}).axes[0].get_xticks()
    assert ticks[0] == 1
    assert ticks[-1] <= n_epochs
    assert np.array_equal(ticks, ticks.astype(int))
    assert (np.diff(ticks) > 0).all()
    assert min(n_epochs, 3) <= len(ticks) <= 14


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


# --- confusion_heatmap


def test_confusion_heatmap():
    figure = drawn(confusion_heatmap([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], NAMES, suptitle="test set"))
    axis, bar = figure.axes
    assert tuple(figure.get_size_inches()) == (9, 8.1)
    cells = {text.get_position(): text.get_text() for text in axis.texts}  # (column, row)
    assert cells[0, 0] == "2"
    assert cells[1, 0] == "1"
    assert cells[1, 1] == "1"
    assert cells[2, 2] == "0"
    assert len(cells) == 9
    share = shown(figure)[0]
    assert np.allclose(share, [[2 / 3, 1 / 3, 0], [0.5, 0.5, 0], [0, 0, 0]])
    assert axis.get_title() == "3 of 5 right (60.0%)"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("Predicted", "Actual")
    assert [label.get_text() for label in axis.get_xticklabels()] == NAMES
    assert [label.get_text() for label in axis.get_yticklabels()] == NAMES
    assert bar.get_ylabel() == "Share of the actual class"
    assert figure.get_suptitle() == "test set"


def test_confusion_heatmap_counts_stand_out_from_their_cells():
    figure = confusion_heatmap([0] * 1000 + [1], [0] * 999 + [1, 1], NAMES)
    colors = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert colors["999"] == "white"
    assert colors["0"] == "lightgray"


@pytest.mark.parametrize("names", [["$one$"], [f"class {i}" for i in range(30)]])
def test_confusion_heatmap_of_few_and_many_classes(names):
    classes = np.arange(len(names)).repeat(1200)
    figure = drawn(confusion_heatmap(classes, classes, names))
    renderer = figure.canvas.get_renderer()
    cells = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert not any(left.overlaps(right) for left, right in pairwise(cells))
    assert figure.axes[0].texts[0].get_text() == "1,200"
    ticks = figure.axes[0].get_xticklabels() + figure.axes[0].get_yticklabels()
    assert not any(tick.get_parse_math() for tick in ticks)
    line_height = 1.2 * ticks[0].get_size() * figure.dpi / 72
    width = figure.axes[0].get_window_extent(renderer).width / len(names)
    assert line_height < width / np.sqrt(2) * 1.05  # slanted names do not touch


# --- the package's promises


def test_figures_are_pyplots_saved_and_closed(images, tmp_path):
    figure = image_grid(images)
    assert plt.get_fignums() == [figure.number]  # plt.show() would show it
    figure.savefig(tmp_path / "grid.png")
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    plt.close(figure)
    assert plt.get_fignums() == []


def test_nothing_is_shown(images, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("plt.show() was called"))
    prediction_grid(images, [0] * 30, [0] * 30, NAMES)
    training_curves(HISTORY)
    confusion_heatmap([0], [0], NAMES)


def test_importing_the_module_does_not_import_matplotlib():
    code = "import sys, minicnn.plotting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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


def test_training_curves_of_what_a_callback_noted():
    """Text has no curve; a number by itself is no history."""
    figure = training_curves({"loss": [1.0, 0.5], "note": ["slow", "slow"], 7: [1, 2]})
    assert len(figure.axes) == 1
    with pytest.raises(ValueError, match=r"one value an epoch of 'loss', received shape \(\)"):
        training_curves({"loss": 3})
    with pytest.raises(TypeError, match="expected loss to be an array of real numbers"):
        training_curves({"loss": ["a"]})

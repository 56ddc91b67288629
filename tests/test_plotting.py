"""The pictures: what stands in them, that they draw, and that nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from counts import and_slow

mpl.use("Agg")
import matplotlib.pyplot as plt

from minicnn import Sequential
from minicnn.layers import (
    Flatten,
    RandomBrightness,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
)
from minicnn.plotting import (
    augmentation_grid,
    confusion_heatmap,
    image_grid,
    prediction_grid,
    training_curves,
)

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


# --- augmentation_grid


def test_augmentation_grid(images):
    layer = RandomTranslation(0.3, 0.3, fill_mode="constant", seed=3)
    figure = drawn(augmentation_grid(layer, images[0], rows=2, columns=3))
    assert titles(figure) == ["original", *[""] * 5]
    first, *variants = shown(figure)
    assert np.array_equal(first, images[0])
    assert len({np.asarray(pixels).tobytes() for pixels in variants}) == 5
    same = shown(augmentation_grid(layer, images[0], rows=2, columns=3))  # the layer is untouched
    for one, other in zip(variants, same[1:], strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(variants[0], layer(images[0][None, ..., None])[0, ..., 0])


def test_augmentation_grid_of_a_model_with_a_seed(images):
    def drawn_with(seed, layers):
        model = Sequential(layers)
        return shown(augmentation_grid(model, images[0][..., None], rows=1, columns=4, seed=seed))

    def layers():
        return [RandomFlip(), RandomRotation(0.2, seed=1), RandomCrop(20, 10)]

    one, same, other = (drawn_with(seed, layers()) for seed in (4, 4, 5))
    assert [np.shape(pixels) for pixels in one[1:]] == [(20, 10)] * 3
    for mine, its in zip(one, same, strict=True):
        assert np.array_equal(mine, its)
    assert any((mine != its).any() for mine, its in zip(one[1:], other[1:], strict=True))


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_augmentation_grid_in_colour(kind):
    image = np.full((4, 5, 3), 200, "uint8") if kind == "uint8" else np.full((4, 5, 3), 0.8, kind)
    value_range = (0, 1) if kind == "float32" else (0, 255)
    layer = RandomBrightness((0.5, 0.5), value_range)
    first, second = shown(augmentation_grid(layer, image, rows=1, columns=2))
    assert np.array_equal(first, image)
    assert np.array_equal(second, np.ones((4, 5, 3)))
    assert len(shown(augmentation_grid(layer, image, rows=1, columns=1))) == 1


@pytest.mark.parametrize(
    ("layer", "image", "error", "words"),
    [
        ("flip", np.zeros((3, 3)), TypeError, "layer to be a layer such as"),
        (RandomFlip(), np.zeros((2, 3, 3, 1)), ValueError, "image of shape"),
        (RandomFlip(), np.zeros((3, 3, 2)), ValueError, "image of shape"),
        (Flatten(), np.zeros((3, 3)), ValueError, "images of shape"),
    ],
)
def test_augmentation_grid_of_what_is_none(layer, image, error, words):
    with pytest.raises(error, match=words):
        augmentation_grid(layer, image)


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


@pytest.mark.parametrize(
    "n_epochs", and_slow([1, 2, 12, 61, 12345], [3, 7, 13, 20, 60, 500], "in_ci")
)
def test_epoch_ticks_are_whole_and_begin_at_1(n_epochs):
    ticks = training_curves({"loss": np.ones(n_epochs)}).axes[0].get_xticks()
    assert ticks[0] == 1
    assert ticks[-1] <= n_epochs
    assert np.array_equal(ticks, ticks.astype(int))
    assert (np.diff(ticks) > 0).all()
    assert min(n_epochs, 3) <= len(ticks) <= 14


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


def test_training_curves_of_what_a_callback_noted():
    """Text has no curve; a number by itself is no history."""
    figure = training_curves({"loss": [1.0, 0.5], "note": ["slow", "slow"], 7: [1, 2]})
    assert len(figure.axes) == 1
    with pytest.raises(ValueError, match=r"one value an epoch of 'loss', received shape \(\)"):
        training_curves({"loss": 3})
    with pytest.raises(TypeError, match="expected loss to be an array of real numbers"):
        training_curves({"loss": ["a"]})


# --- colours, ranges and sizes


COLOURS = np.linspace(0, 1, 2 * 4 * 5 * 3).reshape(2, 4, 5, 3)


def rgb(figure):
    """What the cells' images are drawn as: (H, W, 3) bytes each."""
    images = [axis.get_images()[0] for axis in figure.axes]
    return [image.to_rgba(image.get_array(), bytes=True)[..., :3] for image in images]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.uint64])
def test_colours_that_are_whole_numbers(kind):
    images = np.round(COLOURS * 255).astype(kind)
    figure = drawn(image_grid(images, rows=1, columns=2))
    for pixels, image in zip(rgb(figure), images, strict=True):
        assert np.array_equal(pixels, image)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble, bool])
def test_colours_that_are_floats(kind):
    """A rounding error beyond 1, such as scaling leaves behind, is drawn as 1."""
    images = (np.round(COLOURS) if kind is bool else COLOURS).astype(kind)
    if kind is not bool:
        images[0, 0, 0, 0] = -np.finfo(kind).eps
        images[1, 3, 4, 2] = 1 + np.finfo(kind).eps
    figure = drawn(image_grid(images, rows=1, columns=2))
    for pixels, image in zip(rgb(figure), images, strict=True):
        off = np.abs(pixels - 255 * np.clip(image.astype(float), 0, 1))
        assert off.max() <= 1


def test_only_images_that_are_shown_have_to_be_in_range():
    images = np.concatenate([COLOURS, COLOURS * 9])
    drawn(image_grid(images, rows=1, columns=2))


@pytest.mark.parametrize(
    "images",
    [
        np.array([[[-1.5e308, 1.5e308]]]),
        np.array([[[-3e38, 3e38]]], np.float32),
        np.array([[[-6e4, 6e4]]], np.float16),
        np.array([[[-1, 1]]], np.longdouble),
        np.array([[[-(2**63), 2**63 - 1]]]),
        np.array([[[0, 2**64 - 1]]], np.uint64),
        np.array([[[0, 5e-324]]]),
        np.array([[[False, True]]]),
    ],
)
def test_gray_of_every_range_and_type(images):
    """The darkest pixel is black and the brightest white, without a warning (an error here)."""
    (pixels,) = rgb(drawn(image_grid(images, rows=1, columns=1)))
    assert pixels[0, 0].tolist() == [0] * 3
    assert pixels[0, 1].tolist() == [255] * 3


def call(function, **change):
    """A right call of `function`, but for what `change` changes."""
    images = np.zeros((2, 4, 4))
    arguments = {
        image_grid: {"images": images, "titles": ["a", "b"], "colors": ["red", "k"]},
        prediction_grid: {"images": images, "y_true": [0, 1], "y_pred": [1, 1]},
        training_curves: {"history": {"loss": [1.0, 2.0], "val_loss": [2.0, 3.0]}},
        confusion_heatmap: {"y_true": [0, 1], "y_pred": [1, 1]},
    }[function]
    if function in (prediction_grid, confusion_heatmap):
        arguments["class_names"] = ["a", "b"]
    if function in (image_grid, prediction_grid):
        arguments |= {"rows": 1, "columns": 2} if not {"rows", "columns"} & set(change) else {}
    return function(**(arguments | change))


@pytest.mark.in_ci
def test_the_largest_that_is_drawn():
    image_grid(np.zeros((1, 2, 2)), rows=1, columns=1, size=100, suptitle="a" * 1000)
    training_curves({f"m{i}": [1.0] for i in range(100)})
    assert call(confusion_heatmap, class_names=map(str, range(60))).axes[0].get_xticks()[-1] == 59


def test_numbers_that_are_too_large_for_a_curve_are_left_out():
    """The loss of a run that diverges: matplotlib cannot find ticks for such a range."""
    for values in ([1e308, -1e308, 3.0], [1.7e308, 1.0, 3.0], np.array([1e308, 1, 3]) * 1.0):
        figure = drawn(training_curves({"loss": values, "val_loss": values}))
        for line in figure.axes[0].lines:
            assert not (np.abs(line.get_ydata()) > 1e307).any()
            assert line.get_ydata()[-1] == 3
    drawn(training_curves({"loss": np.array([1e308, 3], np.longdouble) * 100}))


# --- text is drawn letter by letter


@pytest.mark.parametrize(
    "text",
    [
        *("$\\nonsense$", "a\tb\x00\x1bc\udc80"),
        *(pytest.param(text, marks=pytest.mark.in_ci) for text in ("a_b^{c", "\udc80")),
        *(
            pytest.param(text, marks=pytest.mark.slow)
            for text in ("$$", "$", "$a$", r"\$5", "%", "{}", "")
        ),
    ],
)
def test_text_is_no_formula_and_always_drawn(text):
    """Every text of the user's, in all pictures; a character without a form becomes a space."""
    for figure in (
        call(image_grid, titles=[text, text], suptitle=text),
        call(prediction_grid, class_names=[text, text], suptitle=text),
        call(training_curves, history={text: [1.0], f"val_{text}": [2.0]}, suptitle=text),
        call(training_curves, history={"loss": [1.0], text: [2.0]}),
        call(confusion_heatmap, class_names=[text, text], suptitle=text),
    ):
        drawn(figure)
        texts = [one for one in figure.findobj(mpl.text.Text) if "$" in one.get_text()]
        texts = [one for one in texts if one.get_visible()]
        assert not any(one.get_parse_math() for one in texts)
        assert bool(texts) == ("$" in text)
        plt.close(figure)


def test_the_words_of_a_metric_are_its_name():
    figure = drawn(training_curves({"$a_b$": [1.0], "val_$a_b$": [1.0]}))
    assert figure.axes[0].get_ylabel() == "$A B$"
    assert titles(figure) == ["Training and Validation $A B$"]


def test_titles_and_names_may_be_numbers():
    assert titles(call(image_grid, titles=np.arange(2))) == ["0", "1"]
    assert (
        titles(call(prediction_grid, class_names=iter([5, np.float32(0.5)])))[0] == "A: 5\nP: 0.5"
    )

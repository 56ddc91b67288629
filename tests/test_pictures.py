"""Pictures of layers at work: the numbers in them are those of the layers, and films of them."""

from __future__ import annotations

import re
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from counts import and_slow

mpl.use("Agg")
from PIL import Image
from test_plotting import _no_open_figures_and_the_same_settings, drawn  # noqa: F401  runs always

from minicnn import Sequential
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    ReLU,
    SeparableConv2D,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)
from minicnn.layers.activations import Tanh
from minicnn.plotting import (
    activations,
    animate,
    draw_activation,
    draw_convolution,
    draw_pooling,
    draw_volume,
    filters,
    receptive_field,
)
from minicnn.plotting.fields import fields
from minicnn.plotting.sheet import ORANGE, number

rng = np.random.default_rng(5)
IMAGE = rng.integers(0, 10, (6, 7))
KERNEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])


def meshes(figure):
    """The numbers of every grid, in the order in which they were drawn; NaN where nothing is."""
    (axis,) = figure.axes
    found = []
    for mesh in axis.collections:
        rows, columns, _ = mesh.get_coordinates().shape
        values = mesh.get_array().reshape(rows - 1, columns - 1)  # flat before matplotlib 3.8
        found.append(np.ma.filled(values.astype(float), np.nan))
    return found


def texts(figure):
    return [text.get_text() for text in figure.axes[-1].texts if text.get_text()]


def formula(figure):
    return texts(figure)[-1]


def at_frame(figure, k):
    """The figure, showing frame k of its film."""
    moving = animate(figure)
    moving._func(k)
    moving._draw_was_started = True  # it is not shown, on purpose
    return figure


# -- one layer at work ----------------------------------------------------------------------------

SETTINGS = [
    {},
    {"padding": "same"},
    {"strides": 2},
    {"strides": (2, 3), "padding": "same"},
    {"dilation_rate": 2},
    {"dilation_rate": (1, 2), "padding": "same"},
]


def by_hand(x, W, b, strides=1, padding="valid", dilation_rate=1):
    """z in plain loops, and the windows: padded and cut by NumPy."""
    (S_h, S_w), (D_h, D_w) = (
        (value, value) if isinstance(value, int) else value for value in (strides, dilation_rate)
    )
    k_h, k_w = (W.shape[0] - 1) * D_h + 1, (W.shape[1] - 1) * D_w + 1
    if padding == "same":
        around = []
        for n, k, s in ((x.shape[0], k_h, S_h), (x.shape[1], k_w, S_w)):
            total = max(0, (-(-n // s) - 1) * s + k - n)
            around.append((total // 2, total - total // 2))
        x = np.pad(x, (*around, (0, 0)))
    H, W_out = (x.shape[0] - k_h) // S_h + 1, (x.shape[1] - k_w) // S_w + 1
    windows = {
        (i, j): x[i * S_h : i * S_h + k_h : D_h, j * S_w : j * S_w + k_w : D_w]
        for i in range(H)
        for j in range(W_out)
    }
    z = np.array([[(windows[i, j] * W).sum() + b for j in range(W_out)] for i in range(H)])
    return z, windows


@pytest.mark.parametrize(
    ("channels", "settings"), [(1 + 2 * (k % 2), settings) for k, settings in enumerate(SETTINGS)]
)
def test_the_numbers_of_a_convolution(channels, settings):
    x = rng.standard_normal((6, 7, channels))
    W = rng.standard_normal((3, 3, channels))
    z, windows = by_hand(x, W, 0.25, **settings)
    i, j = z.shape[0] - 1, z.shape[1] - 1
    figure = draw_convolution(x, W, bias=0.25, at=(-1, -1), **settings)
    grids = meshes(figure)
    assert len(grids) == 4 * channels + 1
    np.testing.assert_allclose(grids[-1], z, atol=1e-12)
    for c in range(channels):
        image, window, kernel, products = grids[4 * c : 4 * c + 4]
        inside = ~np.isnan(image)
        np.testing.assert_array_equal(image[inside], x[:, :, c].ravel())
        seen = np.where(np.isnan(window), 0, window)
        np.testing.assert_array_equal(seen, windows[i, j][:, :, c])
        np.testing.assert_array_equal(kernel, W[:, :, c])
        np.testing.assert_allclose(products, windows[i, j][:, :, c] * W[:, :, c])
    assert formula(figure).startswith(f"z[{i}, {j}] = sum of {9 * channels} products + b = ")
    assert formula(figure).endswith(f"+ 0.25 = {number(z[i, j])}")


def test_the_numbers_are_written_into_the_cells():
    figure = draw_convolution(IMAGE, KERNEL, at=(1, 2))
    window = IMAGE[1:4, 2:5]
    z = (window * KERNEL).sum()
    written = texts(figure)
    titles = ["x\n6 x 7", "window", "W\n3 x 3", "products", "z\n4 x 5"]
    assert [text for text in written if text in titles] == titles
    cells = [text for text in written if re.fullmatch(r"-?[\d.]+", text)]
    assert len(cells) == 42 + 3 * 9 + 20
    assert cells[:42] == [str(value) for value in IMAGE.ravel()]
    assert cells[42:51] == [str(value) for value in window.ravel()]
    assert formula(figure) == f"z[1, 2] = sum of 9 products + b = {z} + 0 = {z}"


def test_numbers_that_could_not_be_read_are_left_out():
    figure = draw_convolution(rng.integers(0, 256, (28, 28)), KERNEL)
    cells = [text for text in texts(figure) if re.fullmatch(r"-?[\d.]+", text)]
    assert len(cells) == 3 * 9  # window, kernel and products
    for text in figure.axes[0].texts:
        assert text.get_fontsize() >= 5


@pytest.mark.parametrize("size", and_slow([2, 10], [4, 30], "in_ci"))
@pytest.mark.parametrize("settings", [SETTINGS[0], SETTINGS[3]], ids=str)
def test_nothing_is_drawn_beyond_the_figure_or_over_another_grid(size, settings):
    figure = drawn(draw_convolution(IMAGE, KERNEL, size=size, suptitle="Two\nlines", **settings))
    renderer = figure.canvas.get_renderer()
    boxes = [mesh.get_window_extent(renderer) for mesh in figure.axes[0].collections]
    assert all(not a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    for box in [*boxes, *(text.get_window_extent(renderer) for text in figure.axes[0].texts)]:
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("settings", [{}, {"padding": "same"}, {"pool_size": 3, "strides": 1}])
def test_the_numbers_of_a_pooling(kind, settings):
    make = {"max": MaxPooling2D, "average": AveragePooling2D}[kind]
    layer = make(**settings)
    x = rng.integers(-9, 10, (5, 7)).astype(float)
    y = layer.forward(x[None, :, :, None])[0, :, :, 0]
    figure = draw_pooling(x, kind, at=(-1, -1), **settings)
    image, window, out = meshes(figure)
    np.testing.assert_array_equal(image[~np.isnan(image)], x.ravel())
    np.testing.assert_array_equal(out, y)
    inside = window[~np.isnan(window)]
    assert out[-1, -1] == (inside.max() if kind == "max" else pytest.approx(inside.mean()))
    words = "largest" if kind == "max" else "mean"
    assert f"{words} of {inside.size}" in formula(figure)
    assert formula(figure).endswith(f" = {number(y[-1, -1])}")


def test_the_winner_of_a_max_pooling_is_framed():
    figure = draw_pooling([[1, 9], [9, 2]])  # of equal cells the first one wins
    frames = [p for p in figure.axes[0].patches if mpl.colors.to_hex(p.get_edgecolor()) == ORANGE]
    (frame,) = frames
    window = figure.axes[0].collections[1].get_coordinates()
    assert np.allclose(frame.get_xy(), window[0, 1])
    assert np.isclose(frame.get_width(), window[0, 2, 0] - window[0, 1, 0])


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "leaky_relu", Tanh()])
def test_the_numbers_of_an_activation(activation):
    x = rng.integers(-9, 10, (3, 4)).astype(float)
    y = Activation(activation).forward(x[None])[0]
    figure = draw_activation(x, activation, at=(2, 1))
    before, after = meshes(figure)
    np.testing.assert_array_equal(before, x)
    np.testing.assert_allclose(after, y)
    name = "Tanh" if isinstance(activation, Tanh) else activation
    assert formula(figure) == f"y[2, 1] = {name}({number(x[2, 1])}) = {number(y[2, 1])}"
    points = figure.axes[0].lines[3].get_xydata()
    assert len(points) == 12


@pytest.mark.parametrize("activation", [None, "relu"])
def test_the_numbers_of_a_volume(activation):
    x, W, b = rng.random((6, 7, 3)), rng.standard_normal((3, 3, 3, 5)), rng.standard_normal(5)
    layer = Conv2D(5, 3, strides=2, activation=activation, kernel_initializer=W, bias_initializer=b)
    y = layer.forward(x[None])[0]
    figure = draw_volume(x, W, bias=b, strides=2, activation=activation)
    grids = meshes(figure)
    assert len(grids) == 3 + 5 + 5 * 3  # channels, maps, and the channels of each filter
    for c in range(3):
        np.testing.assert_array_equal(grids[c], x[:, :, c])
    for f in range(5):
        np.testing.assert_allclose(grids[3 + f], y[:, :, f])
        for c in range(3):
            np.testing.assert_array_equal(grids[8 + 3 * f + c], W[:, :, c, f])
    assert f"{'y' if activation else 'z'}\n2 x 3 x 5" in texts(figure)


# -- films ----------------------------------------------------------------------------------------


def small_model():
    return Sequential([Conv2D(2, 3, input_shape=(8, 8, 1)), MaxPooling2D(2)])


FILMS = {
    "convolution": (lambda: draw_convolution(IMAGE[:3, :5], KERNEL[:2, :2], size=3), 8),
    "pooling": (lambda: draw_pooling(IMAGE[:4, :4], size=2), 4),
    "activation": (lambda: draw_activation([[1, -2], [0, 3]], size=2), 4),
    "volume": (lambda: draw_volume(IMAGE, np.ones((2, 2, 1, 3)), size=2), 3),
    "receptive field": (lambda: receptive_field(small_model(), size=2), 3),
}


@pytest.mark.parametrize("name", and_slow([*FILMS][1:3], [*FILMS][:1] + [*FILMS][3:], "in_ci"))
def test_a_gif_has_all_frames_and_opens(name, tmp_path):
    make, frames = FILMS[name]
    figure = make()
    path = tmp_path / "film.gif"
    animate(figure, path, seconds=0.4)
    assert [file.name for file in tmp_path.iterdir()] == ["film.gif"]
    with Image.open(path) as film:
        assert film.format == "GIF"
        assert film.n_frames == frames
        pictures = []
        for k in range(frames):
            film.seek(k)
            assert film.info["duration"] == 400
            pictures.append(np.asarray(film.convert("RGB")))
        assert film.info["loop"] == 0
    width, height = figure.get_size_inches()
    assert pictures[0].shape[:2] == (int(height * 100), int(width * 100))
    assert all((a != b).any() for a, b in pairwise(pictures))


def test_a_page_has_all_frames_and_asks_for_nothing(tmp_path):
    figure = draw_pooling(IMAGE[:4, :4], size=3)
    moving = animate(figure, str(tmp_path / "film.html"), seconds=0.5)
    page = (tmp_path / "film.html").read_text()
    assert page.count("data:image/png;base64") == 4
    assert re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)[^\"'#]", page) == []
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert 'class="fa' not in page
    assert page.count("&#9654;") == 1  # play
    assert "500" in re.findall(r"new Animation\(.*?\)", page, re.S)[0]
    assert moving._repr_html_().count("data:image/png;base64") == 4


@pytest.mark.parametrize("seconds", and_slow([0.4], [0.03], "in_ci"))
def test_pictures_of_a_gif_stay_as_long_as_was_asked(seconds, tmp_path):
    path = tmp_path / "a.gif"
    animate(draw_convolution(np.eye(3), np.ones((2, 2))), path, seconds=seconds)
    with Image.open(path) as film:
        assert film.info["duration"] == round(1000 * seconds)


def test_a_page_s_name_is_no_html(tmp_path):
    path = tmp_path / "a<b>&.html"
    animate(draw_convolution(np.eye(3), np.ones((2, 2))), path)
    assert "<title>a&lt;b&gt;&amp;</title>" in path.read_text(encoding="utf-8")


def test_what_comes_out_grows_in_a_film():
    figure = at_frame(draw_convolution(IMAGE, KERNEL), 7)
    z = meshes(figure)[-1]
    assert np.isnan(z).sum() == 20 - 8
    whole, _ = by_hand(IMAGE[..., None], KERNEL[..., None], 0)
    np.testing.assert_array_equal(z.ravel()[:8], whole.ravel()[:8])
    assert formula(figure).startswith("z[1, 2] = ")
    assert len(figure.axes) == 1
    volume = at_frame(draw_volume(IMAGE, np.ones((2, 2, 1, 3))), 0)
    assert len(meshes(volume)) == 1 + 1 + 3  # one map of three, and all filters


def test_a_film_can_be_made_twice(tmp_path):
    figure = draw_pooling(IMAGE[:2, :4])
    for name in ("a.gif", "b.gif"):
        animate(figure, tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


# -- what is inside a model -----------------------------------------------------------------------


def model():
    return Sequential(
        [
            Conv2D(5, 3, activation="relu", input_shape=(9, 9, 2), name="first"),
            MaxPooling2D(2, name="pool"),
            Sequential([Conv2D(4, 2, name="inner"), Dropout(0.5)], name="base"),
            Flatten(name="flat"),
            Dense(3, activation="softmax"),
        ]
    )


def images_of(figure):
    return [axis.get_images()[0].get_array() for axis in figure.axes if axis.get_images()]


def test_filters():
    net = model()
    W = net.layers[0].get_weights()[0]
    for given in ((net,), (net, "first"), (net, net.layers[0]), (net.layers[0],)):
        figure = drawn(filters(*given, channel=-1))
        assert figure.get_suptitle() == "first: kernels (3, 3, 2, 5), channel 1"
        assert [axis.get_title() for axis in figure.axes] == list("01234")
        for k, shown in enumerate(images_of(figure)):
            np.testing.assert_array_equal(shown, W[:, :, 1, k])
        limit = np.abs(W[:, :, 1]).max()
        assert {axis.get_images()[0].get_clim() for axis in figure.axes} == {(-limit, limit)}
        written = [text.get_text() for text in figure.axes[2].texts]
        assert written == [number(value, limit) for value in W[:, :, 1, 2].ravel()]
    figure = filters(net, "inner", columns=3, suptitle="b")
    assert len(images_of(figure)) == 4
    assert len(figure.axes) == 6  # in two rows
    with pytest.raises(ValueError, match="layer to be a convolution.*received Dropout"):
        filters(net, "base")  # its last layer


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (DepthwiseConv2D(2, depth_multiplier=3), (2, 2, 1, 6)),
        (SeparableConv2D(7, 2), (2, 2, 1, 2)),
        (Conv2DTranspose(4, 2), (2, 2, 2, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_filters_of_other_convolutions(layer, shape):
    layer.build((None, 5, 5, 2))
    W = layer.get_weights()[0]
    figure = drawn(filters(layer))
    assert f"kernels {shape}" in figure.get_suptitle()
    shown = np.stack(images_of(figure), axis=-1)
    if isinstance(layer, Conv2DTranspose):
        np.testing.assert_array_equal(shown, W[:, :, :, 0])
    else:
        np.testing.assert_array_equal(shown, W.reshape(2, 2, -1))


def test_activations():
    net, x = model(), rng.random((3, 9, 9, 2)).astype("float32")
    before = [array.tobytes() for array in net.get_weights()]
    outputs = {"first": 1, "pool": 2, "base": 3}
    for name, count in outputs.items():
        expected = Sequential(net.layers[:count]).predict(x, verbose=0)[1]
        figure = drawn(activations(net, x, name, image=-2, columns=3))
        np.testing.assert_allclose(np.stack(images_of(figure), axis=-1), expected, atol=1e-5)
    assert activations(net, x).get_suptitle() == "first: (7, 7, 5)"
    assert [array.tobytes() for array in net.get_weights()] == before
    assert all(leaf._cache is None for leaf in net.leaves)


def field(layers, shape, at):
    net = Sequential(layers)
    net.build((None, *shape))
    shapes = [tuple(one) for one in net.shapes((1, *shape))]
    return fields(net.leaves, shapes, *at)[0]


@pytest.mark.parametrize(
    ("layers", "at", "rows", "columns"),
    [
        ([Conv2D(2, 3)], (0, 0), (0, 2), (0, 2)),
        ([Conv2D(2, 3, padding="same", activation="relu")], (0, 4), (0, 1), (3, 5)),
        ([Conv2D(2, 3), Conv2D(1, 3)], (2, 3), (2, 6), (3, 7)),
        ([Conv2D(2, 3, strides=2), MaxPooling2D(2)], (0, 1), (0, 4), (4, 8)),
        ([Conv2D(2, (1, 3), activation="softmax")], (3, 3), (3, 3), (3, 5)),
        ([DepthwiseConv2D(3), BatchNormalization(), ReLU(), Dropout(0.5)], (1, 1), (1, 3), (1, 3)),
        ([SeparableConv2D(2, 2, activation="tanh")], (0, 0), (0, 1), (0, 1)),
        ([ZeroPadding2D(1), Conv2D(1, 3)], (0, 0), (0, 1), (0, 1)),
        ([UpSampling2D(2), Conv2D(1, 2)], (1, 1), (0, 1), (0, 1)),
        ([Conv2D(3, 3), Softmax()], (1, 2), (1, 3), (2, 4)),
        ([Conv2D(3, 3), LayerNormalization()], (1, 2), (1, 3), (2, 4)),
        ([Conv2D(3, 3), LayerNormalization(axis=[1, 2, 3])], (1, 2), (0, 9), (0, 9)),
        ([Conv2D(1, 1), GlobalAveragePooling2D(keepdims=True)], (0, 0), (0, 9), (0, 9)),
        ([Conv2DTranspose(2, 3)], (0, 0), (0, 0), (0, 0)),
    ],
    ids=str,
)
def test_the_receptive_field(layers, at, rows, columns):
    expected = np.zeros((10, 10), bool)
    expected[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
    np.testing.assert_array_equal(field(layers, (10, 10, 2), at), expected)


def test_the_field_through_a_layer_with_one_number():
    class Times(Layer):
        def build(self, input_shape):
            self.add_param("a", (), "ones")

        def forward(self, x, training=False):
            return self._input(x) * self.params["a"]

        def backward(self, dy):
            return dy * self.params["a"]

    first = Conv2D(2, 3, input_shape=(8, 8, 1))
    model = Sequential([first, Times(), MaxPooling2D(2)])
    assert receptive_field(model).axes


def test_a_field_with_holes():
    expected = np.zeros((8, 8), bool)
    expected[1:6:2, 2:7:2] = True
    np.testing.assert_array_equal(
        field([Conv2D(1, 3, dilation_rate=2)], (8, 8, 1), (1, 2)), expected
    )


def test_pixels_outside_of_the_field_change_nothing():
    """Said by the layers themselves: the cell, with noise in all pixels outside."""
    net = Sequential([Conv2D(3, 3, activation="tanh", input_shape=(12, 12, 1)), MaxPooling2D(2)])
    net.add(Conv2D(2, 2, activation="tanh"))
    shapes = [tuple(one) for one in net.shapes((1, 12, 12, 1))]
    reached = fields(net.leaves, shapes, 1, 2)[0]
    x = rng.random((1, 12, 12, 1))
    noise = np.where(reached, 0, rng.random((12, 12)))[None, ..., None]
    cell = net.forward(x)[0, 1, 2].copy()
    np.testing.assert_array_equal(net.forward(x + noise)[0, 1, 2], cell)
    inside = (net.forward(x + reached[None, ..., None])[0, 1, 2] - cell) != 0
    assert inside.all()


def test_the_picture_of_a_field():
    net, x = model(), rng.random((2, 9, 9, 2))
    figure = drawn(receptive_field(net, x=x, at=(0, 1)))
    assert [text for text in texts(figure) if "\n" in text] == [
        "the image\n6 x 6 of 9 x 9",
        "first\n4 x 4 of 7 x 7",
        "pool\n2 x 2 of 3 x 3",
        "inner\n1 x 1 of 2 x 2",
    ]
    assert formula(figure) == "Cell (0, 1) of inner sees 6 x 6 of 9 x 9 pixels"
    grids = meshes(figure)
    np.testing.assert_allclose(grids[0], x[0].mean(axis=2), atol=1e-6)
    assert (grids[1] == 1).sum() == 36  # the shade over the image
    first = at_frame(receptive_field(net), 0)
    assert formula(first) == "Cell (1, 1) of inner"
    assert len(meshes(first)) == 4 + 1

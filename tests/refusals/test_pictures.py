"""Wrong calls of what draws layers and models at work leave no figure, no file and no change."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_plotting import _no_open_figures_and_the_same_settings  # noqa: F401  for every test

from minicnn import Sequential
from minicnn.layers import Conv2D, Dense, Flatten
from minicnn.plotting import (
    activations,
    animate,
    draw_activation,
    draw_convolution,
    draw_pooling,
    draw_volume,
    filters,
    image_grid,
    receptive_field,
)

from .helpers import refused, trained

X = np.random.default_rng(4).random((3, 8, 8))
EYE = np.eye(3)
KERNELS = np.ones((2, 2, 1, 4))

OPERATIONS = [
    (draw_convolution, {"image": X[:, :, :3]}, "kernel to have the 3 channels of image"),
    (draw_convolution, {"image": X[None]}, r"image of shape \(H, W\).*images\[0\]"),
    (draw_convolution, {"image": np.zeros((51, 50))}, r"2,500 cells.*image\[:10"),
    (draw_convolution, {"image": np.zeros((4, 4, 5))}, "4 channels, received"),
    (draw_convolution, {"image": EYE * np.nan}, "image to be finite"),
    (draw_convolution, {"kernel": np.ones((2, 2, 1, 3))}, r"kernel of shape.*kernel\[\.\.\., 0\]"),
    (draw_convolution, {"kernel": np.ones((12, 2))}, "kernel of at most 11 x 11"),
    (draw_convolution, {"kernel": np.ones((2, 2, 3))}, "kernel to have the 1 channel of image"),
    (draw_convolution, {"kernel": [[np.inf]]}, "kernel to be finite"),
    (draw_convolution, {"kernel": np.ones((4, 4))}, "windows that fit into the image"),
    (draw_convolution, {"image": EYE * 1e308, "kernel": EYE * 1e308}, r"image \* kernel"),
    (draw_convolution, {"bias": np.nan}, "bias to be a number"),
    (draw_convolution, {"strides": 0}, "strides"),
    (draw_convolution, {"padding": "full"}, "padding"),
    (draw_convolution, {"strides": 2, "dilation_rate": 2}, "strides or dilation_rate"),
    (draw_convolution, {"at": (0, 2)}, r"at to be a cell of the 2 x 2.*\(0, 2\)"),
    (draw_convolution, {"at": (-3, 0)}, "at to be a cell"),
    (draw_convolution, {"at": (0,)}, "at to be a row and a column"),
    (draw_convolution, {"size": 1.9}, r"size to be a number in \[2, 100\]"),
    (draw_convolution, {"suptitle": "a" * 1001}, "suptitle to have at most 1,000 letters"),
    (draw_pooling, {"image": X}, "1 channel, received"),
    (draw_pooling, {"kind": "median"}, "kind to be one of average, max"),
    (draw_pooling, {"pool_size": 12}, "pool_size of at most 11 x 11"),
    (draw_pooling, {"pool_size": 4}, "windows that fit"),
    (draw_pooling, {"at": (1, 0)}, "at to be a cell of the 1 x 1"),
    (draw_activation, {"activation": "softmax"}, "activation to map each number by itself"),
    (draw_activation, {"activation": "rellu"}, "activation"),
    (draw_activation, {"activation": "exponential", "image": EYE * 1e3}, "exponential of the im"),
    (draw_volume, {"kernels": np.ones((2, 2, 1))}, r"kernels of shape.*kernel\[\.\.\., None\]"),
    (draw_volume, {"kernels": np.ones((2, 2, 2, 3))}, "kernels for the 1 channel of image"),
    (
        draw_volume,
        {"kernels": np.ones((1, 1, 1, 65))},
        r"at most 64 kernels.*kernels\[\.\.\., :8\]",
    ),
    (draw_volume, {"bias": np.ones(3)}, r"bias of shape \(4,\)"),
    (draw_volume, {"activation": "rellu"}, "activation"),
]


def call(function, **change):
    given = {
        draw_convolution: {"image": EYE, "kernel": np.eye(2)},
        draw_pooling: {"image": EYE},
        draw_activation: {"image": EYE},
        draw_volume: {"image": EYE, "kernels": KERNELS},
    }[function]
    return function(**{**given, **change})


@pytest.mark.parametrize(("function", "change", "words"), OPERATIONS)
def test_pictures_of_operations(function, change, words):
    with pytest.raises(ValueError, match=words):
        call(function, **change)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("function", "change", "words"),
    [
        (draw_convolution, {"image": "a"}, "image to be an array of real numbers"),
        (draw_convolution, {"kernel": [[1], [2, 3]]}, "kernel to be an array of numbers"),
        (draw_convolution, {"at": 3}, "at to be a row and a column, .* received 3"),
        (draw_convolution, {"at": (0.0, 1)}, "at to be an integer"),
        (draw_convolution, {"bias": [1]}, "bias"),
        (draw_convolution, {"suptitle": 3}, "suptitle to be text"),
        (draw_pooling, {"kind": None}, "kind"),
        (draw_activation, {"activation": 3}, "activation"),
        (draw_volume, {"bias": "a"}, "bias"),
    ],
)
def test_types_of_pictures_of_operations(function, change, words):
    with pytest.raises(TypeError, match=words):
        call(function, **change)
    assert plt.get_fignums() == []


MODELS = [
    (filters, {"layer": "conv"}, ValueError, "layer to be one of 'conv2d"),
    (filters, {"layer": 0}, TypeError, "layer to be the name of a layer"),
    (filters, {"layer": Dense(3)}, ValueError, "layer to be one of"),
    (filters, {"channel": 1}, ValueError, "channel to be one of the 1"),
    (filters, {"channel": 0.0}, TypeError, "channel"),
    (filters, {"columns": 0}, ValueError, "columns"),
    (filters, {"model": "a"}, TypeError, "model to be a Sequential or a convolution"),
    (filters, {"model": Dense(3)}, ValueError, "model to be a convolution"),
    (filters, {"model": Conv2D(2, 3)}, ValueError, "model to be built.*input_shape"),
    (filters, {"model": Conv2D(2, 3), "layer": "a"}, TypeError, "layer only beside a model"),
    (filters, {"model": Sequential([Conv2D(2, 3)])}, ValueError, "built"),
    (activations, {"model": Dense(3)}, TypeError, "model to be a Sequential"),
    (activations, {"x": X[:, :7]}, ValueError, "7"),
    (activations, {"x": None}, TypeError, "x"),
    (activations, {"x": X * np.nan}, ValueError, "x to be finite"),
    (activations, {"image": 3}, ValueError, "image to be the number of one of the 3 images"),
    (activations, {"layer": "flatten"}, ValueError, r"layer to be one .*\(H, W, C\)"),
    (activations, {"columns": 2.0}, TypeError, "columns"),
    (receptive_field, {"layer": "flatten"}, ValueError, r"layer to be one .*\(H, W, C\)"),
    (receptive_field, {"at": (3, 0)}, ValueError, "at to be a cell of the 3 x 3"),
    (receptive_field, {"x": X[:, :7]}, ValueError, "7"),
    (receptive_field, {"image": -4, "x": X}, ValueError, "image to be the number"),
    (receptive_field, {"size": True}, TypeError, "size"),
]


@pytest.mark.parametrize(("function", "change", "error", "words"), MODELS)
def test_pictures_of_models(function, change, error, words):
    subject = trained()
    subject.layers[4].name = "flatten"
    given = {"model": subject} | ({"x": X} if function is activations else {})
    with refused(error, model=subject) as caught:
        function(**{**given, **change})
    assert caught.match(words)
    assert str(caught.value).startswith(function.__name__) or "built" in words
    assert plt.get_fignums() == []


def test_models_without_what_is_asked_for():
    dense = Sequential([Flatten(input_shape=(2, 2, 1)), Dense(3)])
    for function in (filters, lambda model: activations(model, np.ones((1, 2, 2)))):
        with pytest.raises(ValueError, match="a model with a convolution, or layer to name"):
            function(dense)
    with pytest.raises(ValueError, match=r"receptive_field: .* images .*\(H, W, C\)"):
        receptive_field(dense)


def test_maps_that_are_not_finite():
    subject = Sequential([Conv2D(1, 2, input_shape=(3, 3, 1), name="conv")])
    subject.set_weights([np.full((2, 2, 1, 1), 1e30), np.zeros(1)])
    x = np.full((1, 3, 3, 1), 1e30)
    for function in (activations, lambda model, x: receptive_field(model, x=x)):
        with pytest.raises(FloatingPointError, match="'conv' is NaN or infinite"):
            function(subject, x)
    assert plt.get_fignums() == []


def test_films(tmp_path):
    figure = draw_pooling(EYE)
    for change, error, words in (
        ({"figure": "a"}, TypeError, "figure to be what draw_convolution or its kin"),
        ({"figure": image_grid(X, rows=1)}, ValueError, "received another, in which nothing moves"),
        ({"figure": draw_pooling(np.ones((42, 42)))}, ValueError, "at most 400 frames.* 441"),
        ({"path": 3.5}, TypeError, "path to be a path such as 'conv.gif'"),
        ({"path": tmp_path / "a.png"}, ValueError, r"end in .gif or .html.*figure.savefig\(path\)"),
        ({"path": tmp_path / "none" / "a.gif"}, ValueError, "folder that is there.*mkdir"),
        ({"seconds": 0}, ValueError, "seconds to be a number in"),
        ({"seconds": "fast"}, TypeError, "seconds"),
    ):
        with pytest.raises(error, match=f"animate: expected {words}|animate: .*{words}"):
            animate(**{"figure": figure, **change})
    assert list(tmp_path.iterdir()) == []
    assert len(figure.axes) == 1

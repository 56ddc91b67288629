"""The checker is checked: planted mistakes are caught and named, correct code never fails."""

import copy
import functools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from cases.layers import LAYERS
from counts import and_slow, some_and_all
from strategies import within

import minicnn.layers
from minicnn import Sequential, initializers, inputs, kernels, seeds
from minicnn.engine import convolutions, dense_stages, passes, shards, stages
from minicnn.engine.shards import ShardedNetwork
from minicnn.gradcheck import GradientCheckError, api, check_layer, check_loss, check_model, package
from minicnn.gradcheck import __main__ as command
from minicnn.gradcheck.differences import Line, Probe, slope
from minicnn.gradcheck.subjects import LayerSubject
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    HardShrink,
    InputLayer,
    Layer,
    Linear,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Sigmoid,
    Softmax,
    Tanh,
    Threshold,
)
from minicnn.losses import Loss, MeanSquaredError, SparseCategoricalCrossentropy
from minicnn.training import step


def normal(*shape):
    return np.random.default_rng(20).normal(size=shape)


# --- planted mistakes: each is a layer whose backward goes wrong in one way


class KeepsInput:
    """Mixin: `self.x` is the last input, and `grads` begins empty of what a mistake left there."""

    def forward(self, x, training=False):
        self.x = np.array(x, np.float64)
        return super().forward(x, training)

    def fresh(self):
        self.grads = {key: np.zeros_like(p) for key, p in self.params.items()}


def planted(layer, backward):
    """`layer` with another backward: `backward(layer, dy, right)`, `right` being its own."""
    cls = type(layer)

    def wrong(self, dy):
        self.fresh()
        return backward(self, dy, lambda dy: cls.backward(self, dy))

    layer.__class__ = type(cls.__name__, (KeepsInput, cls), {"backward": wrong})
    return layer


def gradient(key, change):
    """A backward that is right but for `grads[key]`, which becomes change(layer, dy, gradient)."""

    def backward(self, dy, right):
        dx = right(dy)
        self.grads[key] = change(self, dy, self.grads[key])
        return dx

    return backward


def scaled(key, factor):
    return gradient(key, lambda self, dy, g: g * factor(dy))


def dx_scaled(factor):
    return lambda self, dy, right: right(dy) * factor(dy)


def conv_dx(self, dy, strides=None, padding=None):
    """The right dx of a Conv2D, unless other strides or padding are given; and its parts."""
    x_shape, win, _ = self._cache
    W = self.params["W"].reshape(-1, self.filters)
    dz = self.activation.backward(dy).reshape(-1, self.filters)
    dcols = (dz @ W.T).reshape(*dy.shape[:3], win.K_h, win.K_w, x_shape[3])
    dx = np.empty(x_shape)
    S = strides or (win.S_h, win.S_w)
    P = (win.P_top, win.P_left) if padding is None else padding
    kernels.col2im(dcols, *S, *P, 1, 1, dx)
    return dx, dcols


def conv_dW(self, dy, strides=None, shift=(0, 0)):
    x_shape, win, _ = self._cache
    dz = self.activation.backward(dy).reshape(-1, self.filters)
    cols = np.empty((*dy.shape[:3], win.K_h, win.K_w, x_shape[3]))
    S = strides or (win.S_h, win.S_w)
    kernels.im2col(self.x, *S, win.P_top - shift[0], win.P_left - shift[1], 1, 1, cols)
    return (cols.reshape(-1, self.params["W"][..., 0].size).T @ dz).reshape(self.params["W"].shape)


def with_kernel(turn):
    """dx worked out with `turn(W)` in place of W."""

    def backward(self, dy, right):
        W = self.params["W"]
        saved = W.copy()
        W[...] = turn(W)
        dx = right(dy)
        W[...] = saved
        return dx

    return backward


def through_relu(key):
    """The ReLU is left out on the way down, for one gradient only."""

    def backward(self, dy, right):
        relu, self.activation = self.activation, Linear()
        self.activation.forward(dy)
        unmasked = {"x": right(dy), **{k: g.copy() for k, g in self.grads.items()}}
        self.activation = relu
        dx = right(dy)
        if key == "x":
            return unmasked["x"]
        self.grads[key] = unmasked[key]
        return dx

    return backward


def last_window_wins(self, dy, right):
    right(dy)
    _, dcols = conv_dx(self, dy)
    x_shape, win, _ = self._cache
    dx = np.zeros(x_shape)
    for i, j, a, b in np.ndindex(dcols.shape[1:5]):
        h, w = i * win.S_h + a - win.P_top, j * win.S_w + b - win.P_left
        if 0 <= h < x_shape[1] and 0 <= w < x_shape[2]:
            dx[:, h, w] = dcols[:, i, j, a, b]
    return dx


def last_offset_wins(self, dy, right):
    """As it comes out of slice assignment, one place in the window after another."""
    right(dy)
    _, dcols = conv_dx(self, dy)
    dx = np.zeros(self._cache[0])
    for a, b in np.ndindex(3, 3):
        dx[:, a : a + 5 : 2, b : b + 5 : 2] = dcols[:, :, :, a, b]
    return dx


def last_pool_wins(self, dy, right):
    right(dy)
    x_shape, win, argmax = self._cache
    dx = np.zeros(x_shape)
    for n, i, j, c in np.ndindex(dy.shape):
        a, b = divmod(int(argmax[n, i, j, c]), win.K_w)
        dx[n, i * win.S_h + a, j * win.S_w + b, c] = dy[n, i, j, c]
    return dx


def last_mean_wins(self, dy, right):
    right(dy)
    dx = np.zeros(self._cache[0])
    for n, i, j, c in np.ndindex(dy.shape):
        dx[n, i * 2 : i * 2 + 3, j * 2 : j * 2 + 3, c] = dy[n, i, j, c] / 9
    return dx


def all_equal_win(self, dy, right):
    right(dy)
    dx = np.zeros(self.x.shape)
    for n, i, j, c in np.ndindex(dy.shape):
        window = np.s_[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        dx[window] += (self.x[window] == self.x[window].max()) * dy[n, i, j, c]
    return dx


def uncropped(self, dy, right):
    padded = np.ones(np.add(self.x.shape, (0, 2, 2, 0)))
    padded[:, 1:-1, 1:-1] = right(dy)
    return padded


def without_statistics(mean, variance):
    def backward(self, dy, right):
        right(dy)
        x_hat, inverse, *_ = self._cache
        axes = tuple(range(dy.ndim - 1))
        d = dy - mean * dy.mean(axis=axes) - variance * x_hat * (dy * x_hat).mean(axis=axes)
        return self.params["gamma"] * inverse * d

    return backward


def shared_by_all_cells(self, dy, right):
    """The mean over a window at the edge, taken as if its padding counted."""
    dx = right(dy)
    dx[:, -1] /= 2
    dx[:, :, -1] /= 2
    return dx


def softmax_elementwise(self, dy, right):
    right(dy)
    return dy * self._cache * (1 - self._cache)


def ignoring_dy(self, dy, right):
    dx = right(dy)
    right(np.ones_like(dy))
    g = self.grads["W"].copy()
    right(dy)
    self.grads["W"] = g
    return dx


def flip(W):
    return W[::-1, ::-1]


def swap(W):
    return W.swapaxes(-1, -2)


def identity(self, dy, right):
    right(dy)
    return dy.copy()


DENSE, SQUARE, CONV = (3, 5), (3, 4), (2, 6, 5, 2)
F = "factor"

# name -> layer, backward, shape of x, row, kind of mistake, what its text has to say
# fmt: off
MISTAKES = {
    "0.1 %": (Dense(4), scaled("W", lambda dy: 1.001), DENSE, "W", F, "1.001 times"),
    "0.1 % of dx": (Conv2D(3, 3), dx_scaled(lambda dy: 0.999), CONV, "x", F, "0.999 times"),
    "mean over N": (Dense(4), scaled("W", lambda dy: 1 / len(dy)), DENSE, "W", F, "1/N"),
    "times N": (Dense(4), scaled("b", len), DENSE, "b", F, ": N"),
    "minus": (Dense(4, "relu"), dx_scaled(lambda dy: -1), DENSE, "x", F, "the wrong sign"),
    "minus 1/N": (Dense(4), scaled("W", lambda dy: -1 / 3), DENSE, "W", F, "-1/N"),
    "half": (Tanh(), dx_scaled(lambda dy: 0.5), DENSE, "x", F, "1/2"),
    "twice": (Softmax(), dx_scaled(lambda dy: 2), DENSE, "x", F, ": 2"),
    "not shared": (AveragePooling2D((3, 2)), dx_scaled(lambda dy: 6), CONV, "x", F, "K_h*K_w"),
    "dropout unscaled": (Dropout(0.3), dx_scaled(lambda dy: 0.7), DENSE, "x", F, "(1 - rate)"),
    "bias: mean": (Conv2D(3, 3, padding="same"),
        gradient("b", lambda self, dy, g: dy.mean(axis=(0, 1, 2))), CONV, "b", F,
        "1/(N*H_out*W_out)"),
    "bias: over the batch only": (Conv2D(3, 3), gradient("b", lambda self, dy, g: dy.sum(axis=0)),
        CONV, "b", "not summed", "axes (0, 1) too"),
    "bias: over the places only": (Conv2D(3, 3),
        gradient("b", lambda self, dy, g: dy.sum(axis=(1, 2))), CONV, "b", "not summed",
        "axis 0 too"),
    "bias: one sample": (Conv2D(3, 3), gradient("b", lambda self, dy, g: dy[-1].sum(axis=(0, 1))),
        CONV, "b", "not summed", "only sample 1"),
    "bias: one row": (Conv2D(3, 3), gradient("b", lambda self, dy, g: dy[:, 0].sum(axis=(0, 1))),
        CONV, "b", "not summed", "only row 0"),
    "bias: everything, broadcast": (Conv2D(3, 3),
        gradient("b", lambda self, dy, g: np.full_like(g, dy.sum())), CONV, "b", "not summed",
        "over all axes"),
    "bias: wrong axis": (Dense(3), gradient("b", lambda self, dy, g: dy.sum(axis=1)), DENSE, "b",
        "not summed", "wrong axes"),
    "bias: no sum": (Dense(4), gradient("b", lambda self, dy, g: dy.copy()), DENSE, "b",
        "not summed", "sum it over axis 0"),
    "bias: keepdims": (Dense(4), gradient("b", lambda self, dy, g: g[None]), DENSE, "b", "shape",
        "reshape to (4,)"),
    "dW transposed, square": (Dense(4), gradient("W", lambda self, dy, g: g.T.copy()), SQUARE, "W",
        "transposed", ".T of it"),
    "dW transposed": (Dense(4), gradient("W", lambda self, dy, g: g.T.copy()), DENSE, "W",
        "transposed", ".transpose(1, 0)"),
    "dx by W": (Dense(4), with_kernel(swap), SQUARE, "x", "transposed", "W transposed"),
    "dx by W, tanh": (Dense(4, "tanh"), with_kernel(swap), SQUARE, "x", "transposed", "W"),
    "dW flipped": (Conv2D(3, 3, activation="relu"),
        gradient("W", lambda self, dy, g: flip(g).copy()), CONV, "W", "flipped", "axis=(0, 1)"),
    "dx by a flipped kernel": (Conv2D(3, 3), with_kernel(flip), CONV, "x", "flipped", "W flipped"),
    "dx by a flipped kernel, relu": (Conv2D(3, 3, 2, "same", activation="relu"), with_kernel(flip),
        CONV, "x", "flipped", "W flipped"),
    "ReLU": (ReLU(), identity, DENSE, "x", "mask missing", "ReLU's mask"),
    "dx past the ReLU": (Dense(4, "relu"), through_relu("x"), DENSE, "x", "mask missing",
        "ReLU's mask"),
    "dW past the ReLU": (Conv2D(3, 3, activation="relu"), through_relu("W"), CONV, "W",
        "mask missing", "ReLU's mask"),
    "db past the ReLU": (Conv2D(3, 3, activation="relu"), through_relu("b"), CONV, "b",
        "mask missing", "ReLU's mask"),
    "dropout": (Dropout(0.4), lambda self, dy, right: dy / 0.6, (4, 6), "x", "mask missing",
        "dropout's mask"),
    "mask from dy": (ReLU(), lambda self, dy, right: right(dy) * (dy > 0), (4, 6), "x",
        "not linear in dy", "taken from dy"),
    "tanh": (Tanh(), identity, DENSE, "x", "activation slope", "tanh"),
    "dW past the sigmoid": (Dense(3, "sigmoid"), gradient("W", lambda self, dy, g: self.x.T @ dy),
        DENSE, "W", "activation slope", "sigmoid"),
    "softmax": (Softmax(), softmax_elementwise, DENSE, "x", "cross terms", "mixes the cells"),
    "leaky": (ReLU(), lambda self, dy, right: np.where(self.x > 1, 3 * dy, right(dy)), (4, 6), "x",
        "output factor", "by 1 or 3"),
    "windows at the edge": (AveragePooling2D(2, padding="same"), shared_by_all_cells, (2, 5, 5, 2),
        "x", "output factor", "by 0.25 or 0.5 or 1"),
    "stride": (Conv2D(3, 3, 2, "same"),
        lambda self, dy, right: (right(dy), conv_dx(self, dy, strides=(1, 1))[0])[1], (2, 7, 5, 2),
        "x", "stride forgotten", "1 rows and 1 columns too few"),
    "stride of the columns, relu": (Conv2D(2, (3, 2), (1, 2), activation="relu"),
        lambda self, dy, right: (right(dy), conv_dx(self, dy, strides=(1, 1))[0])[1], (2, 5, 7, 2),
        "x", "stride forgotten", "0 rows and 1 columns too few"),
    "stride, dW": (Conv2D(3, 3, 2, "same", activation="tanh"),
        gradient("W", lambda self, dy, g: conv_dW(self, dy, strides=(1, 1))), CONV, "W",
        "stride forgotten", "windows 1x1 apart, where forward's are 2x2"),
    "crop": (Conv2D(3, 3, 1, "same", activation="relu"),
        lambda self, dy, right: (right(dy), conv_dx(self, dy, padding=(0, 0))[0])[1], CONV, "x",
        "crop forgotten", "+1 rows and +1 columns"),
    "crop at the wrong end": (Conv2D(3, 3, 2, "same"),
        lambda self, dy, right: (right(dy), conv_dx(self, dy, padding=(1, 1))[0])[1], (2, 6, 6, 2),
        "x", "crop forgotten", "-1 rows and -1 columns"),
    "no crop": (Conv2D(3, 3, 1, "same"), uncropped, CONV, "x", "crop forgotten", "[:, 1:7, 1:6]"),
    "crop, dW": (Conv2D(3, 3, 1, "same", activation="relu"),
        gradient("W", lambda self, dy, g: conv_dW(self, dy, shift=(1, 1))), CONV, "W",
        "crop forgotten", "+1 rows and +1 columns"),
    "overlap": (Conv2D(3, 3, 1, "same"), last_window_wins, CONV, "x", "overlap", "+="),
    "overlap, relu": (Conv2D(3, 3, 1, "same", activation="relu"), last_window_wins, CONV, "x",
        "overlap", "+="),
    "overlap of slices": (Conv2D(3, 3, 2), last_offset_wins, (2, 7, 7, 2), "x", "overlap", "+="),
    "overlap, max": (MaxPooling2D(3, 2), last_pool_wins, (2, 7, 7, 2), "x", "overlap", "+="),
    "overlap, mean": (AveragePooling2D(3, 2), last_mean_wins, (2, 7, 7, 2), "x", "overlap", "+="),
    "tie": (MaxPooling2D(2), all_equal_win, (2, 6, 6, 2), "x, ties", "tie", "argmax"),
    "statistics": (BatchNormalization(), without_statistics(False, False), (4, 3, 2, 3), "x",
        "statistics", "the mean and the variance"),
    "mean": (BatchNormalization(), without_statistics(False, True), (6, 3), "x", "statistics",
        "through the mean is"),
    "variance": (BatchNormalization(), without_statistics(True, False), (6, 3), "x", "statistics",
        "through the variance is"),
    "dy ignored": (Dense(4, "relu"), ignoring_dy, DENSE, "W", "dy ignored", "sum of y"),
    "not worked out": (Dense(4), gradient("b", lambda self, dy, g: 0 * g), DENSE, "b", "zero",
        "0 everywhere"),
    "float32": (Dense(4),
        gradient("W", lambda self, dy, g: g.astype(np.float32).astype(np.float64)), DENSE, "W",
        "float32", "dtype=x.dtype"),
}
# fmt: on


@pytest.fixture(scope="module")
def is_right():
    """Whether a layer passes on a shape; those with the same settings are checked once."""
    known = {}

    def check(layer, shape):
        key = type(layer), repr({**layer.get_config(), "name": ""}), shape
        if key not in known:
            known[key] = check_layer(layer, shape).ok
        return known[key]

    return check


@some_and_all(1, 4)
@pytest.mark.parametrize("name", MISTAKES)
def test_planted_mistake_is_caught_and_named(name, seeds, is_right):
    layer, backward, shape, row, kind, words = MISTAKES[name]
    assert is_right(layer, shape), "before the mistake"
    layer = planted(copy.deepcopy(layer), backward)
    for seed in seeds:
        result = check_layer(layer, shape, seed=seed)
        assert not result.ok
        assert result.mistakes == {row: kind}, str(result)
        assert words in result[row].mistake.text
        assert words in str(result)
        assert [r.name for r in result.rows if not r.ok] == [row]  # the others are not blamed


def of_images_one_row_up(self, dy, right):
    """The right dx, but dW from windows one row too low."""
    dx, x = right(dy), self.x
    moved = np.zeros_like(x)
    moved[:, :-1] = x[:, 1:]
    self.forward(moved, True)
    right(dy)
    return dx


def test_displaced_windows_of_a_depthwise_convolution_are_named():
    layer = planted(DepthwiseConv2D(3), of_images_one_row_up)
    result = check_layer(layer, CONV, wrt=["W"])
    assert result.mistakes == {"W": "crop forgotten"}, str(result)
    assert "+1 rows and +0 columns" in result["W"].mistake.text


def middle_window_wins(self, dy, right):
    """Of the windows that write to a cell the one that comes after half of them stays."""
    right(dy)
    writers = {}
    for n, i, j, c in np.ndindex(dy.shape):
        for a, b in np.ndindex(3, 3):
            writers.setdefault((n, 2 * i + a, 2 * j + b, c), []).append(dy[n, i, j, c] / 9)
    dx = np.zeros(self._cache[0])
    for place, shares in writers.items():
        dx[place] = shares[len(shares) // 2]
    return dx


def test_windows_that_overwrite_each_other_in_any_order_are_named():
    result = check_layer(planted(AveragePooling2D(3, 2), middle_window_wins), (2, 7, 7, 2))
    assert result.mistakes == {"x": "overlap"}, str(result)


@pytest.mark.parametrize("key", ["W", "b", "x"])
def test_accumulated_gradient_is_named(key):
    class Adds(Dense):
        def backward(self, dy):
            old = {k: g.copy() for k, g in self.grads.items()}
            dx = super().backward(dy)
            if key == "x":
                self.dx = getattr(self, "dx", 0) + dx
                return self.dx
            self.grads[key][...] += old[key]
            return dx

    result = check_layer(Adds(2), DENSE, wrt=["W" if key == "x" else key])
    assert result.mistakes == {"accumulated": "accumulated"}
    assert f"the gradient of {key} is added to the old one" in str(result)


def test_an_uncommon_mistake_is_caught_without_a_name():
    def backward(self, dy, right):
        dx = right(dy)
        return dx * (1 + 0.1 * np.sin(np.arange(dx.size))).reshape(dx.shape)

    result = check_layer(planted(Dense(4), backward), DENSE)
    assert not result.ok
    assert not result.mistakes
    assert "no common mistake fits" in str(result)


# --- what a failure says


def one_wrong(place, factor):
    def backward(self, dy, right):
        dx = right(dy)
        self.grads["W"][place] *= factor
        return dx

    return backward


def test_failure_names_index_and_values():
    result = check_layer(planted(Dense(4), one_wrong((3, 1), 2)), DENSE)
    (wrong,) = result["W"].wrong
    assert wrong.index == (3, 1)
    assert wrong.analytic == pytest.approx(2 * wrong.numeric)
    assert "W: 1 of 20 numbers are off" in str(result)
    assert f"W[3, 1]: backward says {wrong.analytic:.8g}" in str(result)


@pytest.mark.parametrize("factor", [1.001, np.nan, np.inf])
def test_failure_in_a_large_parameter_names_the_index(factor):
    layer = planted(Dense(40, "relu"), one_wrong((123, 21), factor))
    result = check_layer(layer, (8, 200))
    assert result["W"].by_products
    assert not result["W"].ok
    assert (123, 21) in [wrong.index for wrong in result["W"].wrong]
    assert result["x"].ok
    assert result["b"].ok


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda g: 1.001 * g, "factor"),
        (lambda g: g.T.copy(), "transposed"),
        (lambda g: 0 * g, "zero"),
    ],
)
def test_mistake_in_a_large_parameter_is_named(change, kind):
    layer = planted(Dense(60, "tanh"), gradient("W", lambda self, dy, g: change(g)))
    assert check_layer(layer, (8, 60)).mistakes == {"W": kind}


def test_mistake_on_large_images_is_named_with_the_help_of_smaller_ones():
    layer = planted(Conv2D(3, 3, activation="relu"), with_kernel(flip))
    result = check_layer(layer, (None, 28, 28, 1))
    assert result.mistakes == {"x": "flipped"}
    assert "(seen on x (3, 7, 7, 1))" in str(result)


def test_mistake_on_many_features_is_named_with_the_help_of_fewer():
    layer = planted(Dense(5, "relu"), through_relu("x"))
    result = check_layer(layer, (40, 300))
    assert result.mistakes == {"x": "mask missing"}
    assert "(seen on x (3, 7))" in str(result)
    layer.build((None, 300))
    assert "(seen on x (3, 300))" in str(check_layer(layer, (40, 300)))  # the weights stay


def test_failure_says_what_the_wrong_places_share():
    def backward(self, dy, right):
        dx = right(dy)
        dx[:, -1] = np.cos(dx[:, -1])
        return dx

    assert "axis 1 at 4 of 5" in check_layer(planted(Dense(4), backward), DENSE)["x"].where


def test_table():
    result = check_layer(planted(Dense(4, name="d"), one_wrong((0, 0), 2)), DENSE)
    lines = str(result).splitlines()
    assert lines[0] == "Dense 'd', x (3, 5): FAILED"
    assert lines[1].split()[:3] == ["parameter", "shape", "worst"]
    assert [line.split()[-1] for line in lines[2:5]] == ["ok", "FAILED", "ok"]
    assert repr(result) == str(result)
    assert not result
    assert result.worst == result["W"].error
    with pytest.raises(KeyError, match="there are x, W, b"):
        result["w"]


def test_raise_if_failed():
    check_layer(Dense(4), DENSE).raise_if_failed()
    with pytest.raises(GradientCheckError, match=r"(?s)W\[0, 0\]: backward says"):
        check_layer(planted(Dense(4), one_wrong((0, 0), 2)), DENSE).raise_if_failed()


# --- correct code never fails


CORRECT = {
    "conv": (lambda: Conv2D(2, 2, 2, "same"), (2, 3, 3, 1)),
    "conv relu": (lambda: Conv2D(2, 2, activation="relu"), (2, 3, 3, 1)),
    "dense relu": (lambda: Dense(3, "relu"), (2, 3)),
    "dense softmax": (lambda: Dense(3, "softmax"), (2, 2)),
    "max": (lambda: MaxPooling2D(2, 1), (1, 3, 3, 1)),
    "average": (lambda: AveragePooling2D(2, 1, "same"), (1, 3, 3, 1)),
    "batch normalization": (BatchNormalization, (4, 2)),
    "dropout": (lambda: Dropout(0.5), (2, 4)),
    "relu": (ReLU, (3, 3)),
    "tanh": (Tanh, (3, 3)),
    "softmax": (Softmax, (2, 3)),
    "flatten": (Flatten, (2, 2, 2)),
}


@some_and_all(5, 200)
@pytest.mark.parametrize("name", CORRECT)
def test_correct_layer_passes_for_every_seed(name, seeds):
    make, shape = CORRECT[name]
    layer = make()
    for seed in seeds:
        result = check_layer(layer, shape, seed=seed)
        assert result.ok, f"seed {seed}: {result}"
        within(1e-8, "correct layers", result.worst)


class Elementwise(Layer):
    """y = function(x), of which the slope is known."""

    def __init__(self, function, slope, **kwargs):
        super().__init__(**kwargs)
        self.function, self.slope = function, slope

    def forward(self, x, training=False):
        self._cache = x = self._input(x)
        return self.function(x)

    def backward(self, dy):
        dy, x = self._recall(dy)
        return dy * self.slope(x)


def large_dense():
    layer = Dense(3)
    layer.build((None, 5))
    layer.params["W"][...] *= 1e6
    return layer


ANY_SCALE = {
    "1e6 x": lambda: Rescaling(1e6),
    "1e7 x": lambda: Rescaling(1e7),
    "1e9 x + 1e7": lambda: Rescaling(1e9, 1e7),
    "1e150 x": lambda: Rescaling(1e150),
    "x + 1e7": lambda: Rescaling(1.0, 1e7),
    "1e-9 x": lambda: Rescaling(1e-9),
    "1e6 W": large_dense,
    "(1e4 x)^3": lambda: Elementwise(lambda x: (1e4 * x) ** 3, lambda x: 3e12 * x**2),
    "1e7 + sin x": lambda: Elementwise(lambda x: np.sin(x) + 1e7, np.cos),
    "1e9 sin x": lambda: Elementwise(lambda x: 1e9 * np.sin(x), lambda x: 1e9 * np.cos(x)),
}


@some_and_all(4, 20)
@pytest.mark.parametrize("name", ANY_SCALE)
def test_correct_layer_passes_at_any_scale(name, seeds):
    layer = ANY_SCALE[name]()
    for seed in seeds:
        result = check_layer(layer, (4, 5), seed=seed)
        assert result.ok, f"seed {seed}: {result}"


@some_and_all(4, 20)
def test_inputs_far_from_0_are_no_kinks(seeds):
    """Their rounding is that of the numbers as they lie, not of numbers farther apart."""
    for seed in seeds:
        x = np.random.default_rng(seed).normal(size=(8, 3)) + 1e4
        result = check_layer(BatchNormalization(), x, seed=seed)
        assert result.ok, f"seed {seed}: {result}"
        assert result["x"].kinks == 0


@some_and_all(4, 20)
@pytest.mark.parametrize("scale", [20, 50, 200, 500])
def test_a_saturated_softmax_passes(scale, seeds):
    """Its 1 moves by less than a digit, its 0 by all that there is to see of the slope."""
    for seed in seeds:
        x = np.random.default_rng(seed).normal(size=(8, 3)) * scale
        result = check_layer(Softmax(), x, seed=seed)
        assert result.ok, f"seed {seed}: {result}"


def test_an_output_that_stays_hides_no_tiny_slope():
    """Large as it is beside them: no step moves it, so it takes no part in them."""
    tiny = Elementwise(
        lambda x: np.where(np.arange(5) == 0, 1.0, 1e-30 * np.sin(x)),
        lambda x: np.where(np.arange(5) == 0, 0.0, 1e-30 * np.cos(x)),
    )
    assert check_layer(tiny, (4, 5)).ok
    wrong = planted(tiny, dx_scaled(lambda dy: 1.001))
    assert check_layer(wrong, (4, 5))["x"].wrong_count > 10


@pytest.mark.parametrize("scale", [1e-7, 1e7])
def test_mistakes_are_found_at_any_scale(scale):
    class ScaledMaximum(MaxPooling2D):
        def forward(self, x, training=False):
            return scale * super().forward(x, training)

    tie = planted(ScaledMaximum(2), lambda self, dy, right: all_equal_win(self, scale * dy, right))
    assert check_layer(tie, (2, 6, 6, 2)).mistakes == {"x, ties": "tie"}
    slightly = planted(Rescaling(scale), dx_scaled(lambda dy: 1.001))
    assert not check_layer(slightly, (4, 5)).ok


@some_and_all(20, 200)
def test_correct_loss_passes_for_every_seed(seeds):
    loss = SparseCategoricalCrossentropy(from_logits=True)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        labels, logits = rng.integers(2, size=1), 4 * rng.normal(size=(1, 2))  # also saturated ones
        result = check_loss(loss, labels, logits, seed=seed)
        assert result.ok, f"seed {seed}: {result}"
        within(1e-7, "correct losses", result.worst)


@some_and_all(4, 25)
def test_correct_models_pass(seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        model = package.random_model(rng)
        x = rng.normal(size=(3, *model.input_shape[1:]))
        y = rng.integers(model.output_shape[-1], size=3)
        result = check_model(model, x, y, loss="sparse_categorical_crossentropy", seed=seed)
        assert result.ok, f"seed {seed}: {result}"
        within(1e-6, "correct models", result.worst)


@some_and_all(10, 100)
def test_a_gradient_off_by_a_thousandth_always_fails(seeds):
    layer = planted(Dense(3, "relu"), gradient("W", lambda self, dy, g: g * 1.001))
    right = Dense(3, "relu")
    for seed in seeds:
        result = check_layer(layer, (4, 3), seed=seed)
        if result["W"].error:  # the ReLU may be closed for all
            within(0, "off by a thousandth, and passed", float(result["W"].ok))
            assert result["x"].ok
        else:
            assert check_layer(right, (4, 3), seed=seed).ok


# --- forward that rounds to float32, and forward that only looks like it


def rounded(array):
    return np.asarray(array).astype(np.float32).astype(np.float64)


class Affine(Dense):
    """A Dense of 3 whose z = function(x, W, b)."""

    def __init__(self, function, **kwargs):
        super().__init__(3, **kwargs)
        self.function = function

    def forward(self, x, training=False):
        super().forward(x, training)
        return self.function(self._cache, self.params["W"], self.params["b"])


IN_FLOAT32 = {
    "y": lambda x, W, b: rounded(x @ W + b),
    "x": lambda x, W, b: rounded(x) @ W + b,
    "W": lambda x, W, b: x @ rounded(W) + b,
    "b": lambda x, W, b: x @ W + rounded(b),
    "all in float32": lambda x, W, b: (
        (x.astype("f") @ W.astype("f") + b.astype("f")).astype("d") / 3
    ),
    "on the way": lambda x, W, b: np.cos(rounded(x @ W + b) / 3),
    "beside a large number": lambda x, W, b: rounded(x @ W + b + 1e4),
    "one output": lambda x, W, b: np.where(np.arange(3) == 1, rounded(x @ W + b), x @ W + b),
    "one output, on the way": lambda x, W, b: np.where(
        np.arange(3) == 1, rounded(x @ W + b) / 3, x @ W + b
    ),
    "one input": lambda x, W, b: np.where(np.arange(5) == 1, rounded(x), x) @ W + b,
    "one sample": lambda x, W, b: np.where(
        np.arange(len(x))[:, None] == 1, rounded(x @ W + b) / 3, x @ W + b
    ),
    "a summand": lambda x, W, b: x @ W + 0.1 * rounded(x @ W) + b,
    "the mean": lambda x, W, b: x @ W + b - rounded((x @ W).mean(axis=0)),
}


@some_and_all(1, 5)
@pytest.mark.parametrize("name", IN_FLOAT32)
def test_forward_in_float32_is_refused(name, seeds):
    bytes_ = np.random.default_rng(3).integers(256, size=(4, 5))
    for x in ((4, 5), bytes_, normal(4, 5).astype(np.float32), 1e-3 * normal(4, 5)):
        for seed in seeds:
            with pytest.raises(ValueError, match="rounds to float32"):
                check_layer(Affine(IN_FLOAT32[name]), x, seed=seed)


def test_what_is_not_asked_for_may_be_rounded():
    layer = planted(Affine(IN_FLOAT32["x"]), lambda self, dy, right: right(dy))
    assert check_layer(layer, (4, 5), wrt=["b"]).ok


def test_loss_in_float32_is_refused():
    class Rounds(MeanSquaredError):
        def forward(self, y_true, y_pred):
            return rounded(super().forward(y_true, y_pred))

    with pytest.raises(ValueError, match="rounds to float32"):
        check_loss(Rounds(), *normal(2, 5, 3))
    assert check_loss(MeanSquaredError(), np.zeros((4, 2)), np.ones((4, 2))).ok


LOOKS_LIKE_FLOAT32 = {
    "floor": lambda x: np.floor(4 * x) / 4,
    "sign": np.sign,
    "clip": lambda x: np.clip(x, 0, 1),
    "x + 1e7": lambda x: x + 1e7,
    "x + 1e3 - 1e3": lambda x: x + 1e3 - 1e3,
    "1 - cos": lambda x: 1 - np.cos(1e-4 * x),
    "a table in float32": lambda x: np.hstack([x, np.full_like(x, np.float32(0.1))]),
    "steep": lambda x: np.tanh(1e4 * x),
    "almost 0": lambda x: (1 + np.tanh(x - 11)) / 2,
}


@some_and_all(3, 20)
@pytest.mark.parametrize("name", LOOKS_LIKE_FLOAT32)
def test_what_only_looks_like_float32_is_not_refused(name, seeds):
    class Function:
        def forward(self, x):
            return LOOKS_LIKE_FLOAT32[name](x)

        def backward(self, dy):
            return dy

    for x in ((4, 5), np.arange(20).reshape(4, 5), normal(4, 5).astype(np.float32)):
        for seed in seeds:
            check_layer(Function(), x, seed=seed)  # the gradient is wrong, but that is no matter


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (AveragePooling2D(2), np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)),
        (AveragePooling2D(3, 2, "same"), np.zeros((2, 5, 5, 2))),
        (Rescaling(1 / 256), np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)),
        (Dropout(0.2), np.arange(40).reshape(4, 10)),
        (Dropout(0.5), np.ones((4, 10), np.float32)),
        (Sigmoid(), np.zeros((4, 5))),
        (Softmax(), np.full((4, 4), 7.0)),
        (Softmax(), np.zeros((4, 5))),
        (Dense(3, kernel_initializer="ones"), np.arange(20).reshape(4, 5)),
        (Conv2D(2, 3, kernel_initializer="ones"), np.eye(6).reshape(1, 6, 6, 1)),
        (BatchNormalization(), np.arange(20).reshape(4, 5)),
        (Linear(), np.array([[0.5, 0.25], [1.5, 3.0]])),
        (Flatten(), np.array([[0.5, 0.25], [1.5, 3.0]])),
    ],
)
@some_and_all(1, 5)
@pytest.mark.parametrize("perturb", [True, False])
def test_correct_layer_passes_on_short_numbers(layer, x, perturb, seeds):
    for seed in seeds:
        result = check_layer(layer, x, seed=seed, perturb=perturb)
        assert result.ok, f"seed {seed}: {result}"


def numbers(kind, shape):
    rng = np.random.default_rng(7)
    x, whole = rng.normal(size=shape), rng.integers(-5, 6, shape)
    if kind.startswith("e"):  # a power of ten
        return x * 10.0 ** float(kind[1:])
    return {
        "bytes": rng.integers(256, size=shape).astype(np.uint8),
        "zeros": np.zeros(shape),
        "ones": np.ones(shape, np.float32),
        "whole": whole,
        "quarters": whole / 4,
        "powers of 2": 2.0 ** rng.integers(-10, 10, shape),
        "0 and 1": rng.integers(2, size=shape).astype(bool),
        "float32": x.astype(np.float32),
        "mostly 0": np.where(rng.random(shape) < 0.8, 0, x),
        "of all sizes": x * 10.0 ** rng.integers(-8, 8, shape),
        "one large": np.where(np.arange(x.size).reshape(shape) == 1, 1e6, x),
        "far from 0": x + 1e4,
        "whole and tiny": whole * 1e-20,
        "whole and large": whole * 1e7,
    }[kind]


EVERY_LAYER = {
    "Conv2D": (lambda: Conv2D(2, 2), 4),
    "Conv2D, relu": (lambda: Conv2D(2, 3, 2, "same", activation="relu"), 4),
    "Conv2D, tanh": (lambda: Conv2D(2, 3, activation="tanh"), 4),
    "AveragePooling2D": (lambda: AveragePooling2D(2), 4),
    "AveragePooling2D, overlapping": (lambda: AveragePooling2D(3, 2, "same"), 4),
    "MaxPooling2D": (lambda: MaxPooling2D(2), 4),
    "BatchNormalization": (BatchNormalization, 2),
    "BatchNormalization, images": (BatchNormalization, 4),
    "Dense": (lambda: Dense(3), 2),
    "Dense, no bias": (lambda: Dense(3, use_bias=False), 2),
    "Dense, relu": (lambda: Dense(3, "relu"), 2),
    "Dense, tanh": (lambda: Dense(3, "tanh"), 2),
    "Activation": (lambda: Activation("tanh"), 2),
    "Dropout": (lambda: Dropout(0.2), 2),
    "Flatten": (Flatten, 4),
    "InputLayer": (lambda: InputLayer((5,)), 2),
    "Linear": (Linear, 2),
    "ReLU": (ReLU, 2),
    "Rescaling": (lambda: Rescaling(1 / 256, -0.5), 4),
    "Sigmoid": (Sigmoid, 2),
    "Softmax": (Softmax, 2),
    "Tanh": (Tanh, 2),
}
MADE = {type(make()) for make, _ in EVERY_LAYER.values()}
JUMPING = {HardShrink, Threshold}  # no step tells a jump from a slope
for kind, case in LAYERS.items():  # the others as the table of cases has them
    if kind not in MADE | JUMPING:
        example = next(iter(case.examples.values()))
        make = functools.partial(kind, **example.kwargs)
        EVERY_LAYER[kind.__name__] = make, 4 if len(example.shape) == 4 else 2
KINDS = [
    *("bytes", "zeros", "ones", "whole", "quarters", "powers of 2", "0 and 1", "float32"),
    *("mostly 0", "of all sizes", "one large", "far from 0", "whole and tiny", "whole and large"),
    *("e-300", "e-40", "e-20", "e-10", "e-7", "e7", "e10", "e20", "e40", "e100"),
]


MOST_KINDS, FEW_KINDS = {*KINDS} - {"zeros", "e-300"}, ["bytes", "mostly 0", "e-20", "e20"]


@some_and_all(1, 34)
@pytest.mark.parametrize("name", EVERY_LAYER)
def test_correct_layer_is_not_refused_for_its_numbers(name, seeds):
    """The worst that a correct layer hears is that its numbers lie on kinks."""
    make, axes = EVERY_LAYER[name]
    first = list(EVERY_LAYER).index(name)  # so that each layer has other pairs in the quick run
    pairs = [(kind, perturb) for kind in KINDS for perturb in (True, False)]
    failures = []
    for kind, perturb in (pairs[k] for k in range(len(pairs)) if (k + first) % 34 in seeds):
        x = numbers(kind, (4, 6) if axes == 2 else (2, 6, 6, 2))
        with np.errstate(all="ignore"):
            if not np.isfinite(make().forward(x, True)).all():
                continue  # as exp of a large number is not: nothing to compare
        result = check_layer(make(), x, perturb=perturb)
        # PReLU's slope at 0 is Keras's, 0, which does not lie between alpha and 1; the kinks of
        # UnitNormalization are 1e-12 from 0, nearer than any step
        if name in ("PReLU", "UnitNormalization") and result.mistakes == {"x": "kink"}:
            continue
        wrong = [row.name for row in result.rows if row.wrong_count]
        if wrong or (not result.ok and not any("kinks" in row.reason for row in result.rows)):
            failures.append(f"{kind}: {result}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("kind", and_slow(FEW_KINDS, sorted(MOST_KINDS - {*FEW_KINDS}), "in_ci"))
def test_wrong_gradient_is_found_whatever_the_numbers(kind):
    wrong = planted(Dense(4), scaled("W", lambda dy: 1.001))
    assert check_layer(wrong, numbers(kind, DENSE)).mistakes == {"W": "factor"}
    mean = planted(AveragePooling2D(2), dx_scaled(lambda dy: 1.001))
    assert check_layer(mean, numbers(kind, (2, 6, 6, 2))).mistakes == {"x": "factor"}


def test_every_layer_is_among_these():
    made = {type(make()).__name__ for make, _ in EVERY_LAYER.values()}
    assert set(package.layer_classes()) <= made | {kind.__name__ for kind in JUMPING}


# --- kinks


def with_zeros(shape, count, seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    x.reshape(-1)[:count] = 0
    return x


def test_kinks_are_counted_and_left_out():
    row = check_layer(ReLU(), with_zeros((5, 8), 3))["x"]
    assert row.ok
    assert (row.checked, row.kinks) == (37, 3)


def test_too_many_kinks_are_a_failure():
    result = check_layer(ReLU(), with_zeros((5, 8), 5))
    assert not result.ok
    assert "too many kinks: 5 of 40 numbers" in str(result)
    assert check_layer(ReLU(), with_zeros((5, 8), 5), max_kinks=0.2).ok


def test_nothing_but_kinks_is_a_failure():
    assert not check_layer(ReLU(), np.zeros((1, 1)), max_kinks=1).ok
    assert not check_layer(MaxPooling2D(2), np.ones((1, 4, 4, 1))).ok


def test_kink_that_a_smaller_step_passes_is_checked():
    x = with_zeros((5, 8), 0)
    x[0, :6] = 3e-6
    row = check_layer(ReLU(), x)["x"]
    assert row.ok
    assert row.kinks == 0


@pytest.mark.parametrize("slope_at_0", [-0.5, 1.5, 3.0])
def test_gradient_on_a_kink_lies_between_the_slopes(slope_at_0):
    def backward(self, dy, right):
        return np.where(self.x == 0, slope_at_0 * dy, right(dy))

    result = check_layer(planted(ReLU(), backward), with_zeros((5, 8), 2))
    assert result.mistakes == {"x": "kink"}
    assert {wrong.index for wrong in result["x"].wrong} == {(0, 0), (0, 1)}
    assert "on a kink, between" in str(result)


def test_nothing_is_off_where_all_is_kinks():
    """The slopes on both sides come of the smallest step, and rounding takes digits from them."""
    for seed in range(20):
        result = check_layer(MaxPooling2D(2), np.ones((2, 4, 4, 2)), seed=seed)
        assert "too many kinks: 64 of 64 numbers" in result["x"].reason
        assert (result["x"].wrong_count, result.mistakes) == (0, {})


def test_numbers_on_kinks_are_among_those_that_are_off():
    layer = planted(MaxPooling2D(2), dx_scaled(lambda dy: 1.01))
    result = check_layer(layer, np.ones((2, 4, 4, 2)))
    assert f"x: {result['x'].wrong_count} of 64 numbers are off" in str(result)


@pytest.mark.parametrize("slope_at_0", [0.0, 0.5, 1.0])
def test_either_slope_will_do_on_a_kink(slope_at_0):
    def backward(self, dy, right):
        return np.where(self.x == 0, slope_at_0 * dy, right(dy))

    assert check_layer(planted(ReLU(), backward), with_zeros((5, 8), 2)).ok


@pytest.mark.parametrize("factor", [1.001, 1e6, -1e6, 1e-6])
def test_a_kink_does_not_hide_a_wrong_gradient(factor):
    """However wrong the gradient is, the kinks stay the same ones: those of forward."""
    layer = planted(ReLU(), dx_scaled(lambda dy: factor))
    row = check_layer(layer, with_zeros((5, 8), 3))["x"]
    assert not row.ok
    assert row.kinks == 3
    assert row.wrong_count >= 10


def test_kinks_of_a_large_input_are_left_out_output_by_output():
    x = with_zeros((40, 50), 20)
    row = check_layer(ReLU(), x)["x"]
    assert row.ok
    assert row.kinks == 8 * 20  # of the outputs, in each of the 8 directions
    assert not check_layer(ReLU(), with_zeros((40, 50), 300)).ok
    wrong = planted(ReLU(), dx_scaled(lambda dy: 1.001))
    assert not check_layer(wrong, x).ok


@pytest.mark.parametrize("wins", ["first", "last", "share"])
def test_any_fair_share_passes_at_ties(wins):
    """Ties are not kinks if all the equal cells move together: one whole gradient has to arrive."""

    def backward(self, dy, right):
        dx = np.zeros(self.x.shape)
        for n, i, j, c in np.ndindex(dy.shape):
            window = np.s_[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
            best = (self.x[window] == self.x[window].max()).ravel()
            share = best / best.sum() if wins == "share" else np.zeros(4)
            if wins != "share":
                share[np.flatnonzero(best)[0 if wins == "first" else -1]] = 1
            dx[window] += share.reshape(2, 2) * dy[n, i, j, c]
        return dx

    assert check_layer(planted(MaxPooling2D(2), backward), (2, 6, 6, 2)).ok


def test_slope_of_smooth_functions_and_kinks():
    y_0 = np.array([1.0, 0.0, 0.0])
    s = slope(lambda t: np.array([np.exp(t), abs(t), max(t, -3e-4)]), y_0, 1e-3)
    assert s.value[0] == pytest.approx(1, abs=1e-11)
    assert s.kink[0] < 1e-9
    assert s.kink[1] == pytest.approx(2)
    assert s.kink[2] > 0.05


def test_rounding_is_measured():
    """As large as it is, whatever the kinks are like, and nothing where nothing is rounded."""

    class Noisy(ReLU):
        def forward(self, x, training=False):
            return super().forward(x) + 1e3 - 1e3

    def of(layer, x):
        rng = np.random.default_rng(0)
        subject = LayerSubject(layer, x, training=True, rng=rng)
        return Probe(subject, "x", rng, eps=1e-5).rounding

    x = np.ones((4, 4))
    assert 1e-14 < of(Noisy(), x).max() < 1e-12
    assert of(ReLU(), x).max() < 1e-15
    assert of(ReLU(), np.zeros((4, 4))).max() < 1e-15
    assert check_layer(Noisy(), (4, 4)).ok


# --- linear or not


@pytest.mark.parametrize(
    ("layer", "shape", "linear"),
    [
        (Conv2D(2, 2), (2, 4, 4, 1), {"x", "W", "b"}),
        (Dense(2), (2, 3), {"x", "W", "b"}),
        (AveragePooling2D(2), (2, 4, 4, 1), {"x"}),
        (Flatten(), (2, 4), {"x"}),
        (Dropout(0.5), (2, 9), {"x"}),
        (BatchNormalization(), (5, 2), {"gamma", "beta"}),
        (Dense(2, "relu"), (4, 3), set()),
        (Dense(2, "sigmoid"), (4, 3), set()),
        (MaxPooling2D(2), (2, 4, 4, 1), set()),
    ],
)
def test_linear_operations_meet_the_strict_bar(layer, shape, linear):
    result = check_layer(layer, shape)
    assert {row.name for row in result.rows if row.tolerance == 1e-12} == linear
    assert all(row.ok for row in result.rows)
    assert all(row.tolerance == 1e-7 for row in check_layer(layer, shape, linear=False).rows)


def test_linear_taken_for_granted():
    assert check_layer(Dense(2), (2, 3), linear=True).ok
    result = check_layer(ReLU(), (5, 8), linear=True)
    assert not result.ok
    assert "leave linear=True out" in str(result)


def test_an_odd_function_at_0_is_not_linear():
    subject = LayerSubject(Tanh(), np.zeros((2, 3)), training=True, rng=np.random.default_rng(0))
    assert not Probe(subject, "x", np.random.default_rng(0), eps=1e-5).is_linear()
    assert check_layer(Tanh(), np.zeros((2, 3))).ok


def test_bar_of_ones_own():
    layer = planted(Dense(4), gradient("W", lambda self, dy, g: g * (1 + 1e-9)))
    assert not check_layer(layer, DENSE).ok
    assert check_layer(layer, DENSE, tolerance=1e-8).ok


# --- nothing of the user's is changed


def snapshot(layer):
    """All that the layer holds: the objects, and the bits in the arrays."""
    everything = dict(vars(layer))
    arrays = {
        (name, key): (id(array), array.dtype, array.tobytes())
        for name in ("params", "grads", "state")
        for key, array in everything[name].items()
    }
    return {name: id(value) for name, value in everything.items()}, arrays, layer.dtype, layer.built


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Conv2D(2, 2, activation="relu"), (2, 4, 4, 1)),
        (lambda: Dense(3, "softmax"), (2, 4)),
        (BatchNormalization, (4, 3)),
        (lambda: Dropout(0.5, seed=1), (2, 9)),
        (lambda: MaxPooling2D(2), (2, 4, 4, 1)),
    ],
)
def test_layer_is_left_as_it_was(make, shape, built):
    layer = make()
    if built:
        x = normal(*shape).astype(np.float32)
        layer.backward(layer.forward(x, training=True))
    before = snapshot(layer)
    assert check_layer(layer, shape).ok
    assert snapshot(layer) == before


def test_array_is_left_as_it_was():
    x = normal(4, 3).astype(np.float32)
    x.flags.writeable = False
    before = x.tobytes()
    assert check_layer(Dense(2, "relu"), x).ok
    assert check_layer(Dense(2, "relu"), np.asfortranarray(x).astype(">f8")).ok
    assert check_layer(Dense(2, "relu"), x.tolist()).ok
    assert x.tobytes() == before


def test_no_random_numbers_are_taken_from_elsewhere():
    seeds.set_random_seed(5)
    expected = np.random.random(), seeds.new_generator().random()
    seeds.set_random_seed(5)
    assert check_layer(Dense(2), (2, 3)).ok
    assert check_layer(Dropout(0.5), (2, 3)).ok
    model = Sequential([Dense(2, activation="softmax", name="only")])
    seeds.set_random_seed(5)
    check_model(model, normal(3, 4), [0, 1, 1], loss="sparse_categorical_crossentropy")
    assert (np.random.random(), seeds.new_generator().random()) == expected


def test_same_seed_same_result():
    layer = planted(Conv2D(2, 3, activation="relu"), one_wrong((0, 0, 0, 0), 2))
    results = [check_layer(layer, (2, 5, 5, 1), seed=4) for _ in range(2)]
    assert str(results[0]) == str(results[1])
    assert str(results[0]) != str(check_layer(layer, (2, 5, 5, 1), seed=5))


def test_dy_is_never_ones():
    seen = []

    class Watches(Dense):
        def backward(self, dy):
            seen.append(dy.copy())
            return super().backward(dy)

    assert check_layer(Watches(3, "relu"), (4, 5)).ok
    assert seen
    assert all(len(np.unique(np.abs(dy[dy != 0]))) == np.count_nonzero(dy) for dy in seen)


def test_constant_parameters_are_moved():
    """A dx that forgets gamma is right as long as gamma is 1."""

    def backward(self, dy, right):
        return right(dy) / self.params["gamma"]

    layer = planted(BatchNormalization(), backward)
    assert not check_layer(layer, (5, 3)).ok
    assert check_layer(layer, (5, 3), perturb=False).ok


# --- shapes and kinds of layers


@pytest.mark.parametrize(
    ("layer", "shape", "x_shape"),
    [
        (Conv2D(2, 3), (5, 5, 1), (3, 5, 5, 1)),
        (Conv2D(2, 3), (None, 5, 5, 1), (3, 5, 5, 1)),
        (Conv2D(2, 3), [2, 5, 5, 1], (2, 5, 5, 1)),
        (MaxPooling2D(2), (np.int64(4), 4, 1), (3, 4, 4, 1)),
        (Dense(2), (7,), (3, 7)),
        (Dense(2), (4, 7), (4, 7)),
        (ReLU(), (4, 5, 6), (4, 5, 6)),
    ],
)
def test_shapes(layer, shape, x_shape):
    result = check_layer(layer, shape)
    assert result.ok
    assert result["x"].shape == x_shape


def test_wrt():
    assert [row.name for row in check_layer(Dense(2), (2, 3), wrt=["b", "x"]).rows] == ["x", "b"]


@pytest.mark.parametrize("wrt", [iter(["x"]), {"x"}, ("x", "x"), np.array(["x"])])
def test_wrt_in_other_forms(wrt):
    layer = planted(ReLU(), dx_scaled(lambda dy: 0))  # a failure is looked into, on more inputs
    assert [row.name for row in check_layer(layer, (5, 20), wrt=wrt).rows] == ["x"]


def test_training_or_not():
    assert check_layer(Dropout(0.5), (4, 9))["x"].ok
    layer = planted(Dropout(0.5), identity)
    assert not check_layer(layer, (4, 9)).ok
    assert check_layer(layer, (4, 9), training=False).ok


class Scale:
    """No subclass of Layer: y = w x."""

    def __init__(self, wrong=1.0):
        self.params, self.grads, self.wrong = {"w": np.array([2.0, 3.0], np.float32)}, {}, wrong

    def forward(self, x):
        self.x = x
        return x * self.params["w"]

    def backward(self, dy):
        self.grads = {"w": self.wrong * (dy * self.x).sum(axis=0)}
        return dy * self.params["w"]


def test_a_layer_by_its_methods_only():
    assert check_layer(Scale(), (5, 2)).ok
    assert check_layer(Scale(1 / 5), (5, 2)).mistakes == {"w": "factor"}


def test_forward_may_take_training_in_any_way():
    class Second(Scale):
        def forward(self, x, is_training):
            assert is_training is True
            return super().forward(x)

    class Named(Scale):
        def forward(self, x, *, training):
            assert training is True
            return super().forward(x)

    class Anything(Scale):
        def forward(self, x, **options):
            assert options == {"training": True}
            return super().forward(x)

    for layer in (Second(), Named(), Anything()):
        assert check_layer(layer, (5, 2)).ok


class Residual(Layer):
    """y = x + conv(relu(x)): a layer that holds layers, and shares their parameters."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [ReLU(), Conv2D(2, 3, padding="same")]

    def build(self, input_shape):
        self.parts[1].build(input_shape)
        self.params, self.grads = self.parts[1].params, self.parts[1].grads
        super().build(input_shape)

    def forward(self, x, training=False):
        x = self._cache = self._input(x)
        return x + self.parts[1].forward(self.parts[0].forward(x, training), training)

    def backward(self, dy):
        dy, _ = self._recall(dy)
        return dy + self.parts[0].backward(self.parts[1].backward(dy))


def test_a_layer_of_layers():
    layer = Residual()
    assert check_layer(layer, (2, 4, 4, 2)).ok
    layer.forward(np.ones((2, 4, 4, 2), np.float32))
    assert check_layer(layer, (2, 4, 4, 2)).ok
    assert layer.parts[1].params["W"].dtype == np.float32


def test_a_parameter_that_is_one_number():
    class Shift:
        params, grads = {"t": np.array(0.5)}, {}

        def forward(self, x):
            return np.tanh(x - self.params["t"])

        def backward(self, dy):
            self.grads["t"] = -dy.sum()
            return dy

    result = check_layer(Shift(), (4, 3))
    assert result["t"].shape == ()
    assert not result["t"].ok


def test_a_second_name_for_a_parameter():
    class Alias(Dense):
        def build(self, input_shape):
            super().build(input_shape)
            self.W = self.params["W"]

        def forward(self, x, training=False):
            x = self._cache = self._input(x)
            return self.activation.forward(x @ self.W + self.params["b"])

    layer = Alias(2)
    layer.forward(np.ones((1, 3), np.float32))
    assert check_layer(layer, (2, 3)).ok


class Noise(Layer):
    """Adds random numbers that its own generator gives."""

    def __init__(self, draw, **kwargs):
        super().__init__(**kwargs)
        self.source, self.draw = np.random.default_rng(1), draw

    def forward(self, x, training=False):
        x = self._cache = self._input(x)
        return x + self.draw(self, x.shape) if training else x

    def backward(self, dy):
        return self._recall(dy)[0]


def test_generators_of_the_layer_are_restored():
    layer = Noise(lambda self, shape: self.source.normal(size=shape))
    before = layer.source.bit_generator.state
    assert check_layer(layer, (3, 4)).ok
    assert layer.source.bit_generator.state == before


def test_running_statistics_are_restored():
    layer = BatchNormalization(momentum=0.5)
    layer.forward(normal(6, 2), training=True)
    subject = LayerSubject(layer, normal(6, 2), training=True, rng=np.random.default_rng(0))
    states = []
    for _ in range(3):
        subject.forward()
        states.append(subject.layer.state["moving_mean"].copy())
    assert (states[0] == states[2]).all()
    assert check_layer(layer, (6, 2)).ok


# --- what is wrong beside the numbers


def test_writing_into_inputs_is_a_problem():
    class WritesX(ReLU):
        def forward(self, x, training=False):
            x *= 1.5
            return super().forward(x)

        def backward(self, dy):
            return 1.5 * super().backward(dy)

    class WritesDy(ReLU):
        def backward(self, dy):
            dx = super().backward(dy)
            dy *= 0
            return dx

    class WritesParams(Dense):
        def backward(self, dy):
            dx = super().backward(dy)
            self.params["W"] -= 0.1 * self.grads["W"]
            return dx

    class WritesOldX(ReLU):
        def forward(self, x, training=False):
            self.old = x
            return super().forward(x)

        def backward(self, dy):
            self.old *= 2
            return super().backward(dy)

    class ReplacesParams(Dense):
        def backward(self, dy):
            self.params["W"] = self.params["W"].copy()
            return super().backward(dy)

    assert "into the x that forward was given" in str(check_layer(WritesOldX(), (3, 4)))
    assert "a pass changes params['W']; that is" in str(check_layer(ReplacesParams(2), (3, 4)))
    assert check_layer(WritesX(), (3, 4)).mistakes == {"writes x": "writes x"}
    assert check_layer(WritesDy(), (3, 4)).mistakes == {"writes dy": "writes dy"}
    assert "writes params" in check_layer(WritesParams(2), (3, 4)).mistakes


@pytest.mark.parametrize(
    ("backward", "words"),
    [
        (lambda self, dy, right: (right(dy), None)[1], "backward has to return dx"),
        (lambda self, dy, right: right(dy)[:, :2], r"expected dx of shape (3, 5), received (3, 2)"),
        (lambda self, dy, right: right(dy).astype(np.float32), "expected dx in float64"),
        (lambda self, dy, right: right(dy) + 0j, "received dtype complex128"),
    ],
)
def test_unusable_dx(backward, words):
    result = check_layer(planted(Dense(4), backward), DENSE)
    assert not result["x"].ok
    assert words in result["x"].reason
    assert result["W"].ok


def test_missing_gradient():
    layer = planted(Dense(4), gradient("b", lambda self, dy, g: None))
    result = check_layer(layer, DENSE)
    assert not result["b"].ok
    assert "backward has to set grads['b']" in str(result)


# --- what replicas share


class Saves(Layer):
    """y = 2 x^3, with what backward needs wherever `save` puts it and `load` finds it."""

    def forward(self, x, training=False):
        x = self._input(x)
        self.save(x)
        return 2 * x**3

    def backward(self, dy):
        return 6 * dy * self.load() ** 2


class InTheClass(Saves):
    saved = {}  # noqa: RUF012

    def save(self, x):
        self.saved["x"] = x

    def load(self):
        return self.saved["x"]


SAVED = {}


class InAGlobal(Saves):
    def save(self, x):
        SAVED["x"] = x

    def load(self):
        return SAVED["x"]


class AsTheClassAttribute(Saves):
    def save(self, x):
        AsTheClassAttribute.x = x

    def load(self):
        return self.x


class InADefault(Saves):
    def save(self, x, saved=[]):  # noqa: B006
        saved[:] = [x]
        self.load = lambda: saved[0]


class OnAStack(Saves):
    stack = []  # noqa: RUF012

    def save(self, x):
        self.stack.append(x)

    def load(self):
        return self.stack.pop()


def in_a_closure():
    saved = {}

    class InAClosure(Saves):
        def save(self, x):
            saved["x"] = x

        def load(self):
            return saved["x"]

    return InAClosure()


class Squares(Layer):
    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = x
        return x * x

    def backward(self, dy):
        dy, x = self._recall(dy)
        return 2 * dy * x


class LayerInTheClass(Layer):
    part = Squares(name="part")

    def forward(self, x, training=False):
        return self.part.forward(self._input(x))

    def backward(self, dy):
        return self.part.backward(dy)


class OneBuffer(Squares):
    buffers = {}  # noqa: RUF012

    def forward(self, x, training=False):
        y = super().forward(x)
        buffer = self.buffers.setdefault(y.shape, np.empty_like(y))
        buffer[...] = y
        return buffer


class NoReplica(Squares):
    def replica(self):
        return self


class SharesGradients(Dense):
    def replica(self):
        twin = super().replica()
        twin.grads = self.grads
        return twin


class OldParameters(Dense):
    def replica(self):
        return copy.deepcopy(self)


class OldStatistics(BatchNormalization):
    def replica(self):
        twin = super().replica()
        twin.state = {key: array.copy() for key, array in self.state.items()}
        return twin


SHARED = {
    "the class": (InTheClass, "the class attribute InTheClass.saved"),
    "a global": (InAGlobal, "the variable SAVED"),
    "a class attribute that is set": (AsTheClassAttribute, "AsTheClassAttribute.x"),
    "a default": (InADefault, "the default value of saved in save"),
    "a closure": (in_a_closure, "the variable saved"),
    "a stack": (OnAStack, "the class attribute OnAStack.stack"),
    "a layer in the class": (LayerInTheClass, "the class attribute LayerInTheClass.part"),
    "the memory of y": (OneBuffer, "y is another than in a pass by itself. They share the class"),
    "no replica": (NoReplica, "the attribute _cache"),
    "gradients": (
        lambda: SharesGradients(2),
        "grads['W'] is another than in a pass by itself. They share the attribute grads",
    ),
    "old parameters": (lambda: OldParameters(2), "does not share params['W'] with it"),
    "old statistics": (OldStatistics, "does not share state['moving_mean'] with it"),
}


@pytest.mark.parametrize("where", SHARED)
def test_replicas_that_disturb_each_other_are_named(where):
    make, words = SHARED[where]
    layer = make()
    for seed in range(3):
        result = check_layer(layer, (4, 3), seed=seed)
        assert all(row.ok for row in result.rows)  # one after the other they are right
        assert result.mistakes == {"shared state": "shared state"}
        assert words in str(result)
        assert layer.who in str(result)
        assert "super().replica()" in str(result) or "self._cache" in str(result)


@pytest.mark.parametrize("n", [5, 20])
def test_replicas_that_disturb_each_other_are_named_in_a_model(n):
    x, y = images(n)
    model = network(InTheClass(name="saves"), Dense(3, activation="softmax"))
    result = check_model(model, x, y, loss="sparse_categorical_crossentropy")
    assert result.mistakes["shared state"] == "shared state"
    (problem,) = result.problems
    assert problem.text.startswith("InTheClass 'saves': two replicas take turns, and dx is another")


def test_replicas_that_meet_inside_of_a_pass_are_found():
    class Scratch(Squares):
        memory = np.zeros((4, 3))

        def forward(self, x, training=False):
            self.memory[...] = super().forward(x)
            time.sleep(1e-3)
            return self.memory.copy()

    result = check_layer(Scratch(), (4, 3))
    assert "replicas run in threads at the same time, and y is another" in str(result)


def test_what_a_worker_raises_is_told():
    class Popped(Saves):
        saved = {}  # noqa: RUF012

        def save(self, x):
            self.saved["x"] = x

        def load(self):
            return self.saved.pop("x")

    assert "KeyError is raised: 'x'" in str(check_layer(Popped(), (4, 3)))


class Own(Saves):
    """Nothing that outlives a pass is shared, whatever this layer holds."""

    tables = {}  # noqa: RUF012

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.saved, self.parts = {}, [Squares(), [Tanh()]]

    def save(self, x):
        self.tables[x.shape] = np.arange(x.size)  # the same for all
        self.saved["x"] = self.parts[1][0].forward(x), x
        self.parts[0].forward(x)

    def load(self):
        self.parts[0].backward(self.saved["x"][1])
        return self.saved["x"][1]


def test_replicas_with_state_of_their_own_pass():
    for seed in range(20):
        result = check_layer(Own(), (4, 3), seed=seed)
        assert result.ok, f"seed {seed}: {result}"


class ByTheLast(Layer):
    """Backward reads the mean that forward has left in `state`."""

    def build(self, input_shape):
        self.add_state("mean", (1,), initializers.Zeros())
        super().build(input_shape)

    def forward(self, x, training=False):
        x = self._cache = self._input(x)
        self.state["mean"][0] = x.mean()
        return x * x.mean()

    def backward(self, dy):
        dy, x = self._recall(dy)
        return dy * self.state["mean"] + (dy * x).sum() / x.size


def test_state_is_a_worker_s_own_only_where_a_batch_has_one_worker(monkeypatch):
    for shape in ((4, 3), (1, 3)):
        moved = check_layer(ByTheLast(), shape)
        assert moved.mistakes == {"shared state": "shared state"}
        assert "They share the attribute state" in str(moved)
    monkeypatch.setattr(ByTheLast, "mixes_samples", True)
    assert check_layer(ByTheLast(), (4, 3)).ok


def test_checks_in_several_threads_leave_the_switching_as_it_is():
    interval, results = sys.getswitchinterval(), []
    threads = [
        threading.Thread(target=lambda: results.append(check_layer(Tanh(), (4, 3)).ok))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4
    assert sys.getswitchinterval() == interval


def test_no_thread_to_be_had(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    interval = sys.getswitchinterval()
    assert check_layer(Tanh(), (4, 3)).ok
    assert sys.getswitchinterval() == interval


# --- losses


class Factor(MeanSquaredError):
    def __init__(self, factor):
        self.factor = factor

    def backward(self, y_true, y_pred):
        return super().backward(y_true, y_pred) * self.factor


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1.001, "1.001 times"), (0.2, ": 1/N"), (-1, "wrong sign"), (3, ": C"), (0.5, ": 1/2")],
)
def test_wrong_loss_is_named(factor, words):
    y_true, y_pred = normal(2, 5, 3)
    assert check_loss(MeanSquaredError(), y_true, y_pred).ok
    result = check_loss(Factor(factor), y_true, y_pred)
    assert result.mistakes == {"y_pred": "factor"}
    assert words in str(result)


def test_loss_whose_samples_are_mixed_up_fails():
    class Shuffled(MeanSquaredError):
        def backward(self, y_true, y_pred):
            return super().backward(y_true, y_pred)[::-1]

    assert not check_loss(Shuffled(), *normal(2, 5, 3)).ok


def test_loss_by_name_and_class():
    labels, p = [0, 2, 1], np.random.default_rng(0).uniform(0.1, 0.9, size=(3, 3))
    assert check_loss("sparse_categorical_crossentropy", labels, p).ok
    assert check_loss(SparseCategoricalCrossentropy, labels, p).ok


def test_loss_that_writes_is_a_problem():
    class Writes(MeanSquaredError):
        def forward(self, y_true, y_pred):
            losses = super().forward(y_true, y_pred)
            y_pred *= 2
            return losses

    class WritesTargets(MeanSquaredError):
        def backward(self, y_true, y_pred):
            gradient = super().backward(y_true, y_pred)
            y_true += 1
            return gradient

    assert not check_loss(Writes(), *normal(2, 5, 3)).ok
    told = str(check_loss(WritesTargets(), *normal(2, 5, 3)))
    assert "writes x: backward writes into y_true or y_pred" in told
    assert "forward writes" not in told


# --- models


def network(*last, first=None):
    first = first or Conv2D(2, 3, activation="relu", name="conv")
    return Sequential([first, MaxPooling2D(2), Dropout(0.3), Flatten(), *last])


def images(n=5, size=6):
    return normal(n, size, size, 1), np.random.default_rng(1).integers(3, size=n)


@pytest.mark.parametrize("built", [False, True])
def test_model(built):
    x, y = images(20)  # three shards
    model = network(Dense(3, activation="softmax", name="dense"))
    if built:
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, y, verbose=0)
    loss = None if built else "sparse_categorical_crossentropy"
    result = check_model(model, x, y, loss=loss)
    assert result.ok
    assert [r.name for r in result.rows] == ["x", "conv/W", "conv/b", "dense/W", "dense/b"]
    assert result.worst < 1e-7
    assert check_model(model, x, y, loss=loss, training=False).ok


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "mean_squared_error"])
@pytest.mark.parametrize("last", [(Dense(3), Softmax()), (Dense(3, activation="softmax"),)])
def test_model_on_logits_or_not(loss, last):
    x, y = images()
    model = network(*copy.deepcopy(last))
    assert check_model(model, x, np.eye(3)[y], loss=loss).ok


def test_model_with_batch_normalization():
    x, y = images(20)
    model = network(BatchNormalization(), Dense(3, activation="softmax"))
    assert check_model(model, x, y, loss="sparse_categorical_crossentropy").ok


class Jitter(Layer):
    """y = x times random numbers from a generator in a list."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.sources = [np.random.default_rng(1)]

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = self.sources[0].uniform(1, 2, x.shape) if training else np.ones(x.shape)
        return x * self._cache

    def backward(self, dy):
        dy, factors = self._recall(dy)
        return dy * factors


@pytest.mark.parametrize("n", [5, 20])
def test_model_with_random_numbers_in_a_layer(n):
    """The numbers are drawn shard by shard, as in fit."""
    x, y = images(n)
    model = network(Jitter(), Dense(3, activation="softmax"))
    assert check_layer(Jitter(), (3, 4)).ok
    assert check_model(model, x, y, loss="sparse_categorical_crossentropy").ok


def test_model_on_images_with_flat_parts():
    """Ties everywhere, zero biases: checked all the same, next to where they are."""
    x, y = images(4, 8)
    x = np.where(x > 1, 100 * x, 0).astype(np.uint8)
    model = network(Dense(3, activation="softmax"))
    assert check_model(model, x, y, loss="sparse_categorical_crossentropy").ok
    exact = check_model(model, x, y, loss="sparse_categorical_crossentropy", perturb=False)
    assert "too many kinks" in str(exact)


def test_model_is_left_as_it_was():
    x, y = images()
    model = network(BatchNormalization(), Dense(3, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, verbose=0)
    before = [snapshot(layer) for layer in model.layers]
    flat = model.flat_params, model.flat_params.tobytes(), model.flat_grads.tobytes()
    bits = model.rng.bit_generator.state
    assert check_model(model, x, y).ok
    assert [snapshot(layer) for layer in model.layers] == before
    assert model.flat_params is flat[0]
    assert (model.flat_params.tobytes(), model.flat_grads.tobytes()) == flat[1:]
    assert model.rng.bit_generator.state == bits
    model.fit(x, y, verbose=0)


def test_wrong_layer_in_a_model_is_pointed_out():
    x, y = images()
    wrong = planted(Conv2D(2, 3, name="wrong"), gradient("W", lambda self, dy, g: flip(g).copy()))
    model = network(Dense(3, activation="softmax"), first=wrong)
    result = check_model(model, x, y, loss="sparse_categorical_crossentropy")
    assert [row.name for row in result.rows if not row.ok] == ["wrong/W"]
    assert result.mistakes == {"wrong/W": "flipped"}
    assert "by itself, Conv2D 'wrong'" in str(result)
    assert str(result).count("by itself") == 1


def test_wrong_loss_in_a_model_is_pointed_out():
    class Wrong(SparseCategoricalCrossentropy):
        def backward(self, y_true, y_pred):
            return super().backward(y_true, y_pred) * 1.001

    x, y = images()
    result = check_model(network(Dense(3, activation="softmax")), x, y, loss=Wrong())
    assert not any(row.ok for row in result.rows)
    assert "by itself, Wrong, y_pred (5, 3)" in str(result)


def test_wrong_join_in_a_model_is_pointed_out(monkeypatch):
    train = api.ModelSubject.backward

    def doubled(self, dy):
        return {name: 2 * g for name, g in train(self, dy).items()}

    monkeypatch.setattr(api.ModelSubject, "backward", doubled)
    x, y = images()
    model = network(Dense(3, activation="softmax"))
    result = check_model(model, x, y, loss="sparse_categorical_crossentropy")
    assert set(result.mistakes.values()) == {"factor"}
    assert "look at how they are joined" in str(result)


# --- the engine's own gradients


def fused(first=None):
    """A model of which every step is fused; convolutions with one and with several channels."""
    layers = [
        Conv2D(16, 3, activation="relu", name="direct"),
        MaxPooling2D(2, name="pool"),
        Conv2D(32, 3, padding="same", activation="relu", name="winograd"),
        Dropout(0.2, name="drop"),
        Flatten(name="flat"),
        Dense(64, activation="relu", name="dense"),
        Dense(2, name="dense_2"),
        Dense(3, activation="softmax", name="last"),
    ]
    model = Sequential([Rescaling(1 / 2, 0.1, name="scale"), *layers] if first is None else first)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def checked(model, n=20, size=10, **options):
    x, y = images(n, size)
    return check_model(model, x, y, **options)


def after(method, change):
    """`method`, with `change(self, result, *arguments)` as what it returns."""

    def changed(self, *arguments, **keywords):
        return change(self, method(self, *arguments, **keywords), *arguments)

    return changed


def spoil(of, array, factor):
    array *= factor
    return of


DIRECT, WINOGRAD, DENSE_STAGE, SINGLE_DENSE = (
    convolutions.DirectConvolution,
    convolutions.WinogradConvolution,
    dense_stages.DenseStage,
    dense_stages.SingleDenseStage,
)


def spoiled_border(self, y, *arguments):
    y[:, -1] *= 1.01
    return y


def spoiled_corner(self, dx, *arguments):
    self.conv.grads["W"][2, 2] *= 0.99
    return dx


def without_mask(self, dy, backward=DENSE_STAGE.backward):
    self._relus = dense_stages.filled([False])
    return backward(self, dy)


def spoiled_loss(factor):
    kernel = passes.sparse_crossentropy

    def changed(z, labels, of_mean, losses, dz):
        kernel(z, labels, of_mean, losses, dz)
        dz *= factor

    return changed


def spoiled_losses(z, labels, of_mean, losses, dz, kernel=passes.sparse_crossentropy):
    kernel(z, labels, of_mean, losses, dz)
    losses *= 1.001


def spoiled_gather(x, rows, out, kernel=passes.gather):
    kernel(x, rows, out)
    out[-1] = out[0]


# what is broken -> where, under which name, what is put there, and what has to be said
# fmt: off
BROKEN = {
    "dW of the direct convolution": (DIRECT, "backward",
        after(DIRECT.backward, lambda s, dx, dy: spoil(dx, s.conv.grads["W"], 1.001)),
        ["DirectConvolution", "Conv2D 'direct' + MaxPooling2D 'pool'", "dW is 1.001 times"]),
    "db of the direct convolution": (DIRECT, "backward",
        after(DIRECT.backward, lambda s, dx, dy: spoil(dx, s.conv.grads["b"], -1)),
        ["DirectConvolution", "db is -1 times"]),
    "border of y": (DIRECT, "forward", after(DIRECT.forward, spoiled_border),
        ["DirectConvolution", "y is off in"]),
    "dW of the Winograd convolution": (WINOGRAD, "backward",
        after(WINOGRAD.backward, lambda s, dx, dy: spoil(dx, s.conv.grads["W"], 0.999)),
        ["WinogradConvolution", "Conv2D 'winograd' + Dropout 'drop'", "dW is 0.999 times"]),
    "corner of dW": (WINOGRAD, "backward", after(WINOGRAD.backward, spoiled_corner),
        ["WinogradConvolution", "of 4608 numbers, the most at [2, 2,"]),
    "dx of the Winograd convolution": (WINOGRAD, "backward",
        after(WINOGRAD.backward, lambda s, dx, dy: -dx), ["WinogradConvolution", "dx is -1 times"]),
    "dx of the dense step": (DENSE_STAGE, "backward",
        after(DENSE_STAGE.backward, lambda s, dx, dy: dx if dx is None else dx * np.float32(1.001)),
        ["DenseStage", "Flatten 'flat' + Dense 'dense'", "dx is 1.001 times"]),
    "the dense step's mask": (DENSE_STAGE, "backward", without_mask,
        ["DenseStage", "Dense 'dense'", "dW is off"]),
    "dW of the last dense step": (SINGLE_DENSE, "backward",
        after(SINGLE_DENSE.backward, lambda s, dx, dy: spoil(dx, s.dense.grads["W"], 1.001)),
        ["SingleDenseStage", "Dense 'last'", "dW is 1.001 times"]),
    "rescaling": (stages.RescalingStage, "forward",
        after(stages.RescalingStage.forward, lambda s, y, *_: y - s.offset),
        ["RescalingStage", "Rescaling 'scale'", "y is off"]),
    "the loss's gradient": (step.passes, "sparse_crossentropy", spoiled_loss(1.001),
        ["the fused loss, SparseCategoricalCrossentropy", "gradient is 1.001 times"]),
    "the loss": (step.passes, "sparse_crossentropy", spoiled_losses,
        ["the fused loss", "value is 1.001 times"]),
    "inputs": (inputs.passes, "gather", spoiled_gather, ["how batches are gathered"]),
    "the place in the batch": (stages.FusedStage, "seek",
        lambda self, step, sample: self.dropout and self.dropout.seek(step, 0),
        ["WinogradConvolution"]),
}
# fmt: on


@pytest.fixture(scope="module")
def unbroken():
    assert checked(fused(), max_elements=2).ok


@pytest.mark.in_ci
@pytest.mark.usefixtures("unbroken")
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_in_the_engine_is_named(name, monkeypatch):
    where, attribute, change, words = BROKEN[name]
    monkeypatch.setattr(where, attribute, change)
    result = checked(fused(), max_elements=2)  # of the layers, which have their own tests
    assert all(row.ok for row in result.rows)  # the layers are right
    assert not result.ok
    assert result.mistakes == {"engine": "engine"}
    for word in words:
        assert word in str(result)
    named = [problem.text for problem in result.engine.problems]
    assert len(named) == 1, named  # and no other step is blamed


def test_the_engine_is_told_from_the_layers():
    result = checked(fused(), max_elements=2)
    assert "the engine's own gradients, float32, fused stages" in str(result)
    assert [row.name for row in result.engine.rows] == [r.name for r in result.rows[1:]]
    assert all(row.tolerance == 1e-4 for row in result.engine.rows)
    model = fused()
    model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    assert "float32, layers one by one" in str(checked(model, max_elements=2))


@pytest.mark.parametrize("n", [1, 9, pytest.param(300, marks=pytest.mark.slow)])
def test_the_engine_is_right_on_batches_of_any_size(n):
    assert checked(fused(), n, 9, max_elements=2).engine.ok


def test_wrong_sums_over_shards_are_found(monkeypatch):
    def of_the_first(self, part, total):
        total[part] = self._nodes[0][1][part]

    def check():
        model = Sequential([Flatten(), Dense(3, activation="softmax")])
        return check_model(model, *images(20), loss="sparse_categorical_crossentropy")

    with monkeypatch.context() as patched:
        patched.setattr(ShardedNetwork, "sum", of_the_first)
        assert "look at how they are joined" in str(check())
    monkeypatch.setattr(shards, "TOPS", 1)  # so that threads add one shard to another
    assert check().ok
    monkeypatch.setattr(shards, "_add", lambda lane, other: None)
    assert not check().ok


def test_a_layer_that_goes_wrong_in_float32_only():
    class Narrow(Tanh):
        def backward(self, dy):
            return super().backward(dy) * (1.001 if dy.dtype == np.float32 else 1)

    model = network(Narrow(name="narrow"), Dense(3, activation="softmax"))
    result = check_model(model, *images(), loss="sparse_categorical_crossentropy")
    assert result.mistakes == {"engine": "engine"}
    assert "Narrow 'narrow' is wrong by itself, held to float64: its dx is 1.001" in str(result)


def test_the_engine_is_not_asked_where_it_has_no_gradient():
    x, y = images()
    model, loss = network(Dense(3, activation="softmax")), "sparse_categorical_crossentropy"
    assert check_model(model, x, y, loss=loss).engine is not None
    assert check_model(model, x, y, loss=loss, training=False).engine is None
    assert check_model(model, x, y, loss=loss, wrt=["x"]).engine is None
    double = Sequential([Dense(3, activation="softmax", dtype="float64")])
    assert check_model(double, x.reshape(5, -1), y, loss=loss).engine is None


@pytest.mark.parametrize("number", and_slow([], [0], "in_ci") + and_slow([], [1]))
def test_the_command_runs_the_fused_steps(number, monkeypatch):
    cases = [case for case in package.cases(0) if "fused" in case.label]
    assert len(cases) == 2
    monkeypatch.setattr(
        DIRECT,
        "backward",
        after(DIRECT.backward, lambda s, dx, dy: spoil(dx, s.conv.grads["W"], 1.001)),
    )
    assert "DirectConvolution" in str(cases[number].run(0))


@some_and_all(4, 12)
def test_the_engine_passes_for_every_seed(seeds):
    """Also on bytes as they are, where many samples lie near kinks, and behind statistics."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        model = fused([*fused().layers[1:4], BatchNormalization(), *fused().layers[4:]][seed % 2 :])
        x = rng.normal(size=(6, 10, 10, 1 if seed % 2 == 0 else 4))
        x = [x, np.maximum(np.round(100 * x), 0).astype(np.uint8)][seed // 2 % 2]
        y = rng.integers(3, size=6)
        result = check_model(model, x, y, seed=seed, max_elements=1)
        assert result.engine.ok, f"seed {seed}: {result}"
        within(1e-4, "the engine's gradients", result.engine.worst)


# --- the command


def one_of_each(random_models):
    """The first case of each layer, loss and so on."""
    return {case.kind: case for case in reversed(list(package.cases(random_models)))}.values()


@pytest.mark.parametrize("cases", [one_of_each, pytest.param(None, marks=pytest.mark.slow)])
def test_command_checks_everything(cases, capsys, monkeypatch):
    monkeypatch.setattr(command, "cases", cases or package.cases)
    assert command.main(["--random-models", "2", "--seed", "1"]) == 0
    out = capsys.readouterr().out
    for name in [*package.layer_classes(), *package.loss_classes(), "Sequential"]:
        assert f"\n{name} " in out
    assert " 0 failed, 0 without a case" in out


def test_command_fails_with_a_wrong_layer(capsys, monkeypatch):
    monkeypatch.setattr(Tanh, "backward", lambda self, dy: self._recall(dy)[0])
    of_tanh = [next(case for case in package.cases(0) if case.kind == "Tanh")]
    monkeypatch.setattr(command, "cases", lambda random_models: of_tanh)
    assert command.main(["--random-models", "0"]) == 1
    assert "the slope of tanh is missing" in capsys.readouterr().out


def test_nothing_is_forgotten(capsys, monkeypatch):
    assert package.missing() == []

    class Swish(Layer):
        """A new layer, public, of which no case is known."""

        def forward(self, x, training=False):
            return x

    class Newest(Loss):
        """A new loss."""

    monkeypatch.setattr(minicnn.layers, "Swish", Swish, raising=False)
    monkeypatch.setattr(minicnn.layers, "__all__", [*minicnn.layers.__all__, "Swish"])
    monkeypatch.setattr(minicnn.losses, "Newest", Newest, raising=False)
    assert package.missing() == ["Swish", "Newest"]
    monkeypatch.setattr(command, "cases", lambda random_models: iter(()))
    assert command.main([]) == 1
    assert "Swish: no case checks it" in capsys.readouterr().out


def test_a_new_layer_has_cases_without_being_listed(monkeypatch):
    class Convolution(Conv2D):
        """A layer whose arguments have the usual names."""

    monkeypatch.setattr(package, "LAYERS", {"Convolution": Convolution})
    labels = " ".join(case.label for case in package.cases(0) if case.kind == "Convolution")
    for words in ("kernel_size=(3, 2)", "strides=(3, 2)", "padding=same", "dilation_rate=(1, 2)"):
        assert words in labels
    for words in ("groups=2", "activation=tanh", "use_bias=False"):
        assert words in labels


def test_every_case_has_a_layer_or_a_loss():
    assert set(package.LAYERS) <= set(package.layer_classes())
    assert set(package.LOSSES) == set(package.loss_classes())


def test_command_runs_as_a_module():
    run = subprocess.run(
        [sys.executable, "-m", "minicnn.gradcheck", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Check the gradients of every layer and loss" in run.stdout


def test_line_leaves_the_tensor_as_it_was():
    subject = LayerSubject(ReLU(), np.ones((2, 2)), training=True, rng=np.random.default_rng(0))
    line = Line(subject, subject.x, 1)
    assert line(0.5).tolist() == [1, 1.5, 1, 1]
    assert subject.x.tolist() == [[1, 1], [1, 1]]

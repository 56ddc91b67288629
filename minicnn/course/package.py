"""The right answers, from the package's own layers, losses and optimizers, in float64.

They have a name and a generator already, so that neither the automatic names nor the random numbers
of what the reader makes next depend on a check.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minicnn.course.exercise import Array
from minicnn.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    MaxPooling2D,
    ReLU,
    Softmax,
    ZeroPadding2D,
)
from minicnn.layers.windows import col2im as windows_to_image
from minicnn.layers.windows import im2col as image_to_windows
from minicnn.layers.windows import windows
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from minicnn.regularizers import L2

NAME = "course"


def neuron_backward(dy: float, x: Array, w: Array) -> tuple[Any, ...]:
    dx, dw, db = dense_backward(np.array([[dy]]), x[None], w[:, None])
    return dx[0], dw[:, 0], db[0]


# -- dense ----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)  # the gradient checker calls it hundreds of times
def _dense(inputs: int, units: int) -> Dense:
    layer = Dense(units, dtype="float64", name=NAME)
    layer.rng = np.random.default_rng(0)
    layer.build((None, inputs))
    return layer


def dense_forward(x: Array, W: Array, b: Array) -> tuple[Array]:
    layer = _dense(*W.shape)
    layer.set_weights([W, b])
    return (layer.forward(x),)


def dense_backward(dy: Array, x: Array, W: Array) -> tuple[Array, Array, Array]:
    dense_forward(x, W, np.zeros(W.shape[1]))
    layer = _dense(*W.shape)
    return layer.backward(dy), layer.grads["W"].copy(), layer.grads["b"].copy()


def relu_forward(x: Array) -> Array:
    return ReLU(name=NAME).forward(x)


def relu_backward(dy: Array, x: Array) -> tuple[Array]:
    layer = ReLU(name=NAME)
    layer.forward(x)
    return (layer.backward(dy),)


# -- windows --------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=16)
def _layers(W_shape: tuple[int, ...], S: int, P: int) -> tuple[ZeroPadding2D, Conv2D]:
    K_h, K_w, C_in, C_out = W_shape
    conv = Conv2D(C_out, (K_h, K_w), strides=S, dtype="float64", name=NAME)
    conv.rng = np.random.default_rng(0)
    conv.build((None, K_h, K_w, C_in))
    return ZeroPadding2D(P, name=NAME), conv


def _convolution(
    x: Array, W: Array, b: Array, S: int, P: int
) -> tuple[ZeroPadding2D, Conv2D, Array]:
    pad, conv = _layers(W.shape, S, P)
    conv.set_weights([W, b])
    return pad, conv, conv.forward(pad.forward(x))


def conv_forward(x: Array, W: Array, b: Array, S: int, P: int) -> tuple[Array]:
    return (_convolution(x, W, b, S, P)[2],)


def conv_backward(dy: Array, x: Array, W: Array, S: int, P: int) -> tuple[Array, Array, Array]:
    pad, conv, _ = _convolution(x, W, np.zeros(W.shape[3]), S, P)
    dx = pad.backward(conv.backward(dy))
    return dx, conv.grads["W"].copy(), conv.grads["b"].copy()


def im2col(x: Array, K_h: int, K_w: int, S: int, P: int) -> tuple[Array]:
    padded = ZeroPadding2D(P, name=NAME).forward(x)
    win = windows(padded.shape, (K_h, K_w), (S, S), "valid", "im2col")
    cols = image_to_windows(padded, win)
    return (cols.reshape(len(cols), -1),)


def col2im(
    dcols: Array, x_shape: tuple[int, ...], K_h: int, K_w: int, S: int, P: int
) -> tuple[Array]:
    pad = ZeroPadding2D(P, name=NAME)
    padded = pad.forward(np.zeros(x_shape)).shape
    win = windows(padded, (K_h, K_w), (S, S), "valid", "col2im")
    return (pad.backward(windows_to_image(dcols, win, padded)),)


def max_pool_forward(x: Array, K: int, S: int) -> tuple[Array]:
    return (MaxPooling2D(K, S, name=NAME).forward(x),)


def max_pool_backward(dy: Array, x: Array, K: int, S: int) -> tuple[Array]:
    layer = MaxPooling2D(K, S, name=NAME)
    layer.forward(x)
    return (layer.backward(dy),)


def average_pool_backward(dy: Array, x_shape: tuple[int, ...], K: int, S: int) -> tuple[Array]:
    layer = AveragePooling2D(K, S, name=NAME)
    layer.forward(np.zeros(x_shape))
    return (layer.backward(dy),)


# -- loss -----------------------------------------------------------------------------------------


def softmax(z: Array) -> tuple[Array]:
    return (Softmax(name=NAME).forward(z),)


def softmax_cross_entropy(z: Array, k: Array) -> tuple[float, Array]:
    loss = SparseCategoricalCrossentropy(from_logits=True)
    return float(loss.forward(k, z).mean()), loss.backward(k, z) / len(z)


# -- training -------------------------------------------------------------------------------------


def momentum_step(w: Array, g: Array, v: Array, lr: float, momentum: float) -> tuple[Array, Array]:
    optimizer = SGD(lr, momentum=momentum, name=NAME)
    return _stepped(optimizer, w, g, v)


def adam_step(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    t: int,
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> tuple[Array, Array, Array]:
    optimizer = Adam(lr, beta_1, beta_2, epsilon, name=NAME)
    optimizer.iterations = t
    return _stepped(optimizer, w, g, m, v)


def _stepped(optimizer: Any, w: Array, g: Array, *slots: Array) -> tuple[Any, ...]:
    new = [np.array(one) for one in (w, *slots)]
    optimizer.step(new[0], g, *new[1:])
    return tuple(new)


def l2_penalty(W: Array, factor: float) -> tuple[float, Array]:
    rule = L2(factor)
    return float(rule(W)), rule.gradient(W)


def dropout(x: Array, keep: Array, rate: float) -> tuple[Array]:
    """What `Dropout` does with the mask that a case's x was drawn with: see `kept`."""
    return (np.where(keep, x / (1 - rate), 0),)


def kept(x: Array, rate: float, seed: int) -> Array:
    """Which numbers of x `Dropout` keeps."""
    return np.asarray(Dropout(rate, seed=seed, name=NAME).forward(x, training=True) != 0)

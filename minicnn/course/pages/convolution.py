"""Page 3: convolution as a loop and as im2col; and what page 4 shares with it.

`W` is (K_h, K_w, C_in, C_out); S rows and columns lie between windows, P rows and columns of zeros
are put around the image.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.course import package
from minicnn.course.exercise import Array, Exercise, Slip, arguments

# N, H_in, W_in, C_in, K_h, K_w, C_out, S, P
SIZES = (
    (1, 3, 3, 1, 2, 2, 1, 1, 0),
    (2, 5, 4, 2, 3, 2, 3, 1, 0),
    (1, 5, 5, 1, 2, 2, 1, 2, 0),
    (1, 3, 4, 1, 3, 3, 1, 1, 1),
    (3, 5, 4, 2, 3, 2, 2, 2, 1),
)


def inputs(rng: np.random.Generator) -> Iterator[tuple[Array, Array, Array, Array, int, int]]:
    """x, W, b, dy, S, P."""
    for N, H, W_in, C_in, K_h, K_w, C_out, S, P in SIZES:
        x = rng.normal(size=(N, H, W_in, C_in))
        W = rng.normal(size=(K_h, K_w, C_in, C_out))
        b = rng.normal(size=C_out)
        dy = rng.normal(size=package.conv_forward(x, W, b, S, P)[0].shape)
        yield x, W, b, dy, S, P


def padded(x: Array, P: int, before: int | None = None) -> Array:
    """Zeros around the image; `before` of the 2 P stand before it."""
    first = P if before is None else before
    return np.pad(x, ((0, 0), (first, 2 * P - first), (first, 2 * P - first), (0, 0)))


def windows(H: int, W: int, K_h: int, K_w: int, S: int) -> Iterator[tuple[int, int]]:
    """Row and column of each window."""
    for i in range((H - K_h) // S + 1):
        for j in range((W - K_w) // S + 1):
            yield i, j


# -- page 3 ---------------------------------------------------------------------------------------


def _forward(
    x: Array,
    W: Array,
    b: Array,
    S: int,
    P: int,
    *,
    rotated: bool = False,
    step: bool = True,
    before: bool | None = None,
    bias: bool = True,
    channels: bool = True,
    turned: bool = False,
) -> Array:
    """y, with mistakes. `before` is where all the padding stands: before the image or behind it."""
    K_h, K_w, _, C_out = W.shape
    x = padded(x, P, None if before is None else 2 * P * before)
    if rotated:
        W = W[::-1, ::-1]
    if not channels:
        x, W = x[..., :1], W[:, :, :1]
    places = list(windows(x.shape[1], x.shape[2], K_h, K_w, S))
    H_out, W_out = np.max(places, axis=0) + 1
    y = np.empty((len(x), H_out, W_out, C_out))
    for i, j in places:
        h, w = (i * S, j * S) if step else (i, j)
        window = x[:, h : h + K_h, w : w + K_w]
        y[:, i, j] = np.tensordot(window, W, axes=3) + b * bias
    return y.transpose(0, 2, 1, 3) if turned else y


CONV_FORWARD = Exercise(
    name="conv_forward",
    page=3,
    arguments=arguments("x, W, b, S, P"),
    outputs=("y",),
    task="y of a convolution: windows S apart on x with P rows and columns of zeros all around",
    cases=lambda rng: [
        {"x": x, "W": W, "b": b, "S": S, "P": P} for x, W, b, _, S, P in inputs(rng)
    ],
    right=package.conv_forward,
    slips=(
        Slip(
            "kernel rotated",
            "y",
            "the kernel is turned by half a circle, as in mathematics. What networks call a "
            "convolution lays W over the window as it is",
            _forward,
            {"rotated": True},
        ),
        Slip(
            "stride ignored",
            "y",
            "window (i, j) begins at row i, column j: it begins at row i * S, column j * S",
            _forward,
            {"step": False},
        ),
        Slip(
            "stride ignored",
            "y",
            "there is a window at every row and column: they are S apart, so that "
            "H_out = (H_in + 2 P - K_h) // S + 1",
            lambda x, W, b, S, P: _forward(x, W, b, 1, P),
        ),
        Slip(
            "padding ignored",
            "y",
            "P is not used: put P rows and columns of zeros around each image first (np.pad)",
            lambda x, W, b, S, P: _forward(x, W, b, S, 0),
        ),
        Slip(
            "padding on one side",
            "y",
            "all the padding is before the image: half of it, P, belongs behind",
            _forward,
            {"before": True},
        ),
        Slip(
            "padding on one side",
            "y",
            "all the padding is behind the image: half of it, P, belongs before",
            _forward,
            {"before": False},
        ),
        Slip("bias missing", "y", "b is not added: b[f] to all of filter f", _forward, {"bias": 0}),
        Slip(
            "one window too few",
            "y",
            "the last row and column of windows are missing: H_out = (H_in + 2 P - K_h) // S + 1",
            lambda x, W, b, S, P: _forward(x, W, b, S, P)[:, :-1, :-1],
        ),
        Slip(
            "channels not summed",
            "y",
            "only channel 0 of x is used: a filter sums over the channels, too",
            _forward,
            {"channels": False},
        ),
        Slip(
            "rows and columns exchanged",
            "y",
            "y[n, i, j] is the window in row i and column j; yours has them exchanged",
            _forward,
            {"turned": True},
        ),
    ),
    hints=(
        "pad first, and count: how many windows fit into H_in + 2 P rows if each is K_h high and "
        "they are S apart?",
        "window (i, j) of all images at once is x[:, i*S : i*S + K_h, j*S : j*S + K_w], which has "
        "the shape (N, K_h, K_w, C_in)",
        "multiply it by W[..., f] and sum over the last three axes, for each filter f; "
        "np.tensordot(window, W, axes=3) does it for all of them",
    ),
)


def _cols(
    x: Array,
    K_h: int,
    K_w: int,
    S: int,
    P: int,
    *,
    order: tuple[int, int, int] = (0, 1, 2),
    step: bool = True,
    columns_first: bool = False,
    zeros: bool = True,
) -> Array:
    """im2col with mistakes; `order` of rows, columns and channels within a window."""
    around = (0, 0), (P, P), (P, P), (0, 0)
    x = np.pad(x, around) if zeros else np.pad(x, around, mode="edge")
    places = list(windows(x.shape[1], x.shape[2], K_h, K_w, S))
    if columns_first:
        places.sort(key=lambda place: place[::-1])
    rows = []
    for n in range(len(x)):
        for i, j in places:
            h, w = (i * S, j * S) if step else (i, j)
            rows.append(x[n, h : h + K_h, w : w + K_w].transpose(order).reshape(-1))
    return np.stack(rows)


IM2COL = Exercise(
    name="im2col",
    page=3,
    arguments=arguments("x, K_h, K_w, S, P"),
    outputs=("cols",),
    task="every window as a row, (N * H_out * W_out, K_h * K_w * C_in); in a row the channels of a "
    "cell stand side by side, and the cells row by row",
    cases=lambda rng: [
        {"x": x, "K_h": W.shape[0], "K_w": W.shape[1], "S": S, "P": P}
        for x, W, _, _, S, P in inputs(rng)
    ],
    right=package.im2col,
    slips=(
        Slip(
            "channels first",
            "cols",
            "a row has all cells of channel 0, then all of channel 1: the channels of a cell "
            "belong side by side, as in W.reshape(-1, C_out)",
            _cols,
            {"order": (2, 0, 1)},
        ),
        Slip(
            "cells column by column",
            "cols",
            "within a window the cells run down the columns: they run along the rows, a before b",
            _cols,
            {"order": (1, 0, 2)},
        ),
        Slip(
            "windows column by column",
            "cols",
            "the windows run down the image's columns: they run along its rows, i before j",
            _cols,
            {"columns_first": True},
        ),
        Slip(
            "stride ignored",
            "cols",
            "window (i, j) begins at row i, column j: it begins at row i * S, column j * S",
            _cols,
            {"step": False},
        ),
        Slip(
            "stride ignored",
            "cols",
            "there is a window at every row and column: they are S apart",
            lambda x, K_h, K_w, S, P: _cols(x, K_h, K_w, 1, P),
        ),
        Slip(
            "padding ignored",
            "cols",
            "P is not used: put P rows and columns of zeros around each image first (np.pad)",
            lambda x, K_h, K_w, S, P: _cols(x, K_h, K_w, S, 0),
        ),
        Slip(
            "padding is not zero",
            "cols",
            "the padding repeats the edge of the image; it is made of zeros",
            _cols,
            {"zeros": False},
        ),
        Slip(
            "transposed",
            "cols",
            "each window is a column; it has to be a row, for cols @ W.reshape(-1, C_out)",
            lambda x, K_h, K_w, S, P: _cols(x, K_h, K_w, S, P).T,
        ),
    ),
    hints=(
        "three loops, over n, i and j, and one line inside: the window, as a row",
        "x[n, i*S : i*S + K_h, j*S : j*S + K_w].reshape(-1) has the cells in the right order",
    ),
)

EXERCISES = (CONV_FORWARD, IM2COL)

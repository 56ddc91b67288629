"""Page 5: pooling. Windows of K x K cells, S apart; no padding."""

from __future__ import annotations

import numpy as np

from minicnn.course import package
from minicnn.course.exercise import Array, Case, Exercise, Gradient, Slip, arguments

# N, H_in, W_in, C, K, S; whether cells are equal
SIZES = (
    (1, 4, 4, 1, 2, 2, False),
    (2, 5, 4, 3, 3, 1, False),
    (1, 3, 3, 1, 2, 1, True),
    (2, 7, 6, 2, 3, 2, False),
)


def _cases(rng: np.random.Generator) -> list[Case]:
    cases: list[Case] = []
    for N, H, W, C, K, S, equal in SIZES:
        x = rng.permutation(N * H * W * C).reshape(N, H, W, C) / 4 - N * H * W * C / 3
        if equal:
            x = np.floor(x / 2)
        dy = rng.normal(size=package.max_pool_forward(x, K, S)[0].shape)
        cases.append({"dy": dy, "x": x, "K": K, "S": S})
    return cases


def _without(case: Case, name: str) -> Case:
    return {key: value for key, value in case.items() if key != name}


def _largest(
    x: Array, K: int, S: int, *, start: float = -np.inf, step: bool = True, mean: bool = False
) -> Array:
    """Max pooling with mistakes; `start` is what the largest so far begins with."""
    N, H, W, C = x.shape
    y = np.empty((N, (H - K) // S + 1, (W - K) // S + 1, C))
    for i, j in np.ndindex(y.shape[1:3]):
        h, w = (i * S, j * S) if step else (i, j)
        window = x[:, h : h + K, w : w + K]
        largest = window.mean(axis=(1, 2)) if mean else window.max(axis=(1, 2))
        y[:, i, j] = np.maximum(largest, start)
    return y


MAX_FORWARD = Exercise(
    name="max_pool_forward",
    page=5,
    arguments=arguments("x, K, S"),
    outputs=("y",),
    task="the largest cell of each window of K x K cells, channel by channel, windows S apart",
    cases=lambda rng: [_without(case, "dy") for case in _cases(rng)],
    right=package.max_pool_forward,
    slips=(
        Slip(
            "begins with 0",
            "y",
            "a window of negative numbers gives 0: begin with -inf, or with one of its cells",
            _largest,
            {"start": 0},
        ),
        Slip(
            "stride ignored",
            "y",
            "window (i, j) is read at row i, column j: it begins at row i * S, column j * S",
            _largest,
            {"step": False},
        ),
        Slip(
            "stride ignored",
            "y",
            "there is a window at every row and column: they are S apart, so that "
            "H_out = (H_in - K) // S + 1",
            lambda x, K, S: _largest(x, K, 1),
        ),
        Slip("mean", "y", "this is the mean of each window", _largest, {"mean": True}),
        Slip(
            "one window too few",
            "y",
            "the last row and column of windows are missing: H_out = (H_in - K) // S + 1",
            lambda x, K, S: _largest(x, K, S)[:, :-1, :-1],
        ),
        Slip(
            "channels mixed",
            "y",
            "one largest number for all channels: each channel has its winner, so take the maximum "
            "over the axes 1 and 2 of the window only",
            lambda x, K, S: np.repeat(
                _largest(x, K, S).max(axis=3, keepdims=True), x.shape[3], axis=3
            ),
        ),
    ),
    hints=(
        "the windows are those of a convolution: x[:, i*S : i*S + K, j*S : j*S + K]",
        "the maximum over axes 1 and 2 leaves N and C",
    ),
)


def _sent_back(
    dy: Array,
    x: Array,
    K: int,
    S: int,
    *,
    to: str = "first",
    add: bool = True,
    step: bool = True,
    share: bool = False,
) -> Array:
    """dx with mistakes; `to` says which cells of a window get the gradient."""
    dx = np.zeros(x.shape)
    for n, i, j, c in np.ndindex(dy.shape):
        h, w = i * S, j * S
        window = x[n, h : h + K, w : w + K, c]
        first = window == window.max()
        winners = first.copy()
        if to in ("first", "last"):
            place = np.flatnonzero(first)[0 if to == "first" else -1]
            winners[...] = False
            winners.flat[place] = True
        elif to == "every":
            winners[...] = True
        back = winners * dy[n, i, j, c]
        if to == "equal, shared":
            back = back / winners.sum()
        h, w = (h, w) if step else (i, j)
        there = dx[n, h : h + K, w : w + K, c]
        there[...] = there + back if add else np.where(winners, back, there)
    return dx / len(x) if share else dx


def _channels_mixed(dy: Array, x: Array, K: int, S: int) -> Array:
    """The winner is looked for over all channels, and takes the gradients of all."""
    dx = np.zeros(x.shape)
    for n, i, j in np.ndindex(dy.shape[:3]):
        window = x[n, i * S : i * S + K, j * S : j * S + K]
        place = np.unravel_index(window.argmax(), window.shape)
        dx[n, i * S : i * S + K, j * S : j * S + K][place] += dy[n, i, j].sum()
    return dx


MAX_BACKWARD = Exercise(
    name="max_pool_backward",
    page=5,
    arguments=arguments("dy, x, K, S"),
    outputs=("dx",),
    task="the gradient of max pooling; of equal cells the first, row by row, has won",
    cases=_cases,
    right=package.max_pool_backward,
    slips=(
        Slip(
            "given to every cell",
            "dx",
            "every cell of a window gets its dy: only the largest moved y, the others get 0",
            _sent_back,
            {"to": "every"},
        ),
        Slip(
            "given to all equal cells",
            "dx",
            "where several cells are the largest, each gets the whole gradient, which is then "
            "counted twice: send it to the first (argmax), not to all where x == max",
            _sent_back,
            {"to": "equal"},
        ),
        Slip(
            "shared among equal cells",
            "dx",
            "where several cells are the largest, they share the gradient. That is a possible "
            "slope too; this package and Keras send all of it to the first (argmax)",
            _sent_back,
            {"to": "equal, shared"},
        ),
        Slip(
            "given to the last of equal cells",
            "dx",
            "where several cells are the largest, the last one gets the gradient: >= instead of >? "
            "The first one has won",
            _sent_back,
            {"to": "last"},
        ),
        Slip(
            "overwritten",
            "dx",
            "a cell that has won several windows keeps one gradient only: write += instead of =",
            _sent_back,
            {"add": False},
        ),
        Slip(
            "stride ignored",
            "dx",
            "what window (i, j) sends back is written from row i, column j on: it was read from "
            "row i * S, column j * S on",
            _sent_back,
            {"step": False},
        ),
        Slip(
            "averaged over the batch",
            "dx",
            "it is divided by N: an image's dx comes from its part of dy alone",
            _sent_back,
            {"share": True},
        ),
        Slip(
            "channels mixed",
            "dx",
            "one winner for all channels: each channel has its largest cell",
            _channels_mixed,
        ),
    ),
    hints=(
        "move a cell that is not the largest a little: nothing happens. Move the largest: y moves "
        "as far. So where does dy go?",
        "argmax of a window gives the place of the largest as one number: divmod(place, K) gives "
        "its row and column; of equal cells it names the first",
        "windows may overlap, and one cell may win several: +=",
    ),
    gradient=Gradient("x", {"x": "dx"}, lambda x, K, S: package.max_pool_forward(x, K, S)[0]),
)


def _shared(
    dy: Array,
    x_shape: tuple[int, ...],
    K: int,
    S: int,
    *,
    divisor: int | None = None,
    add: bool = True,
    step: bool = True,
) -> Array:
    """dx of average pooling with mistakes."""
    dx = np.zeros(x_shape)
    for i, j in np.ndindex(dy.shape[1:3]):
        h, w = (i * S, j * S) if step else (i, j)
        there = dx[:, h : h + K, w : w + K]
        there[...] = (dy[:, i, j] / (divisor or K * K))[:, None, None] + there * add
    return dx


AVERAGE_BACKWARD = Exercise(
    name="average_pool_backward",
    page=5,
    arguments=arguments("dy, x_shape, K, S"),
    outputs=("dx",),
    task="the gradient of average pooling, whose y is the mean of each window",
    cases=lambda rng: [
        {"dy": case["dy"], "x_shape": case["x"].shape, "K": case["K"], "S": case["S"]}
        for case in _cases(rng)
    ],
    right=package.average_pool_backward,
    slips=(
        Slip(
            "not divided",
            "dx",
            "every cell gets the whole dy: a cell moves the mean of K * K cells by a part of "
            "1 / (K * K)",
            _shared,
            {"divisor": 1},
        ),
        Slip(
            "divided by K",
            "dx",
            "it is divided by K: a window has K * K cells",
            lambda dy, x_shape, K, S: _shared(dy, x_shape, K, S, divisor=K),
        ),
        Slip(
            "overwritten",
            "dx",
            "where windows overlap, the last one overwrites what the others sent back: write += "
            "instead of =",
            _shared,
            {"add": False},
        ),
        Slip(
            "stride ignored",
            "dx",
            "what window (i, j) sends back is written from row i, column j on: it was read from "
            "row i * S, column j * S on",
            _shared,
            {"step": False},
        ),
    ),
    hints=(
        "each of the K * K cells moves the mean by 1 / (K * K) of its way",
        "for each window: dx[:, i*S : i*S + K, j*S : j*S + K] += dy[:, i, j] / K**2, with two axes "
        "of 1 put between N and C so that the shapes fit",
    ),
)

EXERCISES = (MAX_FORWARD, MAX_BACKWARD, AVERAGE_BACKWARD)

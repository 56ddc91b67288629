"""Pages 1 and 2: a gradient, a neuron, a dense layer, ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.course import package, solutions
from minicnn.course.exercise import Array, Case, Exercise, Gradient, Slip, arguments

# -- page 1 ---------------------------------------------------------------------------------------


def _neurons(rng: np.random.Generator) -> list[Case]:
    return [
        {"dy": 2.0, "x": np.array([3.0, -1.0]), "w": np.array([0.5, 4.0])},
        {"dy": -0.75, "x": rng.normal(size=5), "w": rng.normal(size=5)},
    ]


NEURON = Exercise(
    name="neuron_backward",
    page=1,
    arguments=arguments("dy, x, w"),
    outputs=arguments("dx, dw, db"),
    task="the gradients of one neuron, y = x[0] w[0] + x[1] w[1] + ... + b",
    cases=_neurons,
    right=package.neuron_backward,
    slips=(
        Slip(
            "x and w exchanged",
            "dx",
            "x[k] moves y by w[k], so dx = dy * w; dy * x is the gradient of w",
            lambda dy, x, w: dy * x,
        ),
        Slip(
            "x and w exchanged",
            "dw",
            "w[k] moves y by x[k], so dw = dy * x; dy * w is the gradient of x",
            lambda dy, x, w: dy * w,
        ),
        Slip(
            "dy missing",
            "dx",
            "w is how far y moves; the loss moves dy times as far: dx = dy * w",
            lambda dy, x, w: w,
        ),
        Slip(
            "dy missing",
            "dw",
            "x is how far y moves; the loss moves dy times as far: dw = dy * x",
            lambda dy, x, w: x,
        ),
        Slip(
            "dy missing",
            "db",
            "b moves y by 1, and the loss by dy: db = dy",
            lambda dy, x, w: 1.0,
        ),
        Slip(
            "summed",
            "dx",
            "each x[k] has a gradient: dx is as long as x, and not summed",
            lambda dy, x, w: (dy * w).sum(),
        ),
        Slip(
            "summed",
            "dw",
            "each w[k] has a gradient: dw is as long as w, and not summed",
            lambda dy, x, w: (dy * x).sum(),
        ),
    ),
    hints=(
        "hold everything but one number still. If w[0] grows by 0.01, by how much does y grow?",
        "that is 0.01 x[0]; and the loss grows by dy times as much. So dw[0] = dy * x[0]",
    ),
)


def _cube(x: Array) -> Any:
    """f(x) = sum of x^3"""
    return (x**3).sum()


def _mixed(x: Array) -> Any:
    """f(x) = exp(x[0, 0]) + 2 x[0, 1] x[1, 0] + x[1, 1]^2"""
    return np.exp(x[0, 0]) + 2 * x[0, 1] * x[1, 0] + x[1, 1] ** 2


def _functions(rng: np.random.Generator) -> list[Case]:
    return [
        {"f": _cube, "x": np.array([1.0, -2.0, 0.5]), "h": 0.01},
        {"f": _mixed, "x": rng.normal(size=(2, 2)), "h": 0.001},
    ]


Function = Callable[[Array], Any]


def _central(f: Function, x: Array, h: float, times: float = 1) -> Array:
    dx: Array = solutions.numeric_gradient(f, x, h)  # type: ignore[no-untyped-call]
    return times * dx


def _sided(f: Function, x: Array, h: float, side: int = 1, divisor: float = 1) -> Array:
    """One-sided differences."""
    dx = np.zeros_like(x)
    for k in np.ndindex(x.shape):
        moved = x.copy()
        moved[k] += side * h
        dx[k] = (f(moved) - f(x)) / (side * h * divisor)
    return dx


def _not_moved_back(f: Function, x: Array, h: float, behind: int = 1) -> Array:
    """Central differences, each number left where the last call had it."""
    dx, moved = np.zeros_like(x), x.copy()
    for k in np.ndindex(x.shape):
        moved[k] = x[k] - behind * h
        first = f(moved)
        moved[k] = x[k] + behind * h
        dx[k] = behind * (f(moved) - first) / (2 * h)
    return dx


NUMERIC = Exercise(
    name="numeric_gradient",
    page=1,
    arguments=arguments("f, x, h"),
    outputs=("dx",),
    task="the gradient of f at x by central differences of width h, f(x) being one number",
    cases=_functions,
    right=lambda f, x, h: (_central(f, x, h),),
    slips=(
        Slip(
            "one-sided",
            "dx",
            "it compares f(x + h) with f(x): the error shrinks with h only, that of "
            "(f(x + h) - f(x - h)) / 2h with h^2",
            _sided,
        ),
        Slip(
            "one-sided",
            "dx",
            "it compares f(x) with f(x - h): the error shrinks with h only, that of "
            "(f(x + h) - f(x - h)) / 2h with h^2",
            lambda f, x, h: _sided(f, x, h, -1),
        ),
        Slip(
            "divided by h",
            "dx",
            "x - h and x + h are 2 h apart: divide by 2 * h",
            lambda f, x, h: _central(f, x, h, 2),
        ),
        Slip(
            "not divided",
            "dx",
            "the difference of the two values has to be divided by 2 * h",
            lambda f, x, h: _central(f, x, h, 2 * h),
        ),
        Slip(
            "all moved at once",
            "dx",
            "all numbers of x move together: move one, and leave the others where they are",
            lambda f, x, h: np.full(x.shape, (f(x + h) - f(x - h)) / (2 * h)),
        ),
        Slip(
            "all moved at once",
            "dx",
            "all numbers of x move together: move one, and leave the others where they are",
            lambda f, x, h: (f(x + h) - f(x - h)) / (2 * h),
        ),
        Slip(
            "all moved at once",
            "dx",
            "all numbers of x move together, and to one side only: move one at a time, to both",
            lambda f, x, h: (f(x + h) - f(x)) / h,
        ),
        Slip(
            "not moved back",
            "dx",
            "a number stays moved while the next one is: restore x[k] before the next k",
            _not_moved_back,
        ),
        Slip(
            "not moved back",
            "dx",
            "a number stays moved while the next one is: restore x[k] before the next k",
            lambda f, x, h: _not_moved_back(f, x, h, -1),
        ),
    ),
    hints=(
        "one number of x at a time: np.ndindex(x.shape) gives the indices of an array of any shape",
        "copy x, add h at the index, call f; copy x again, take h away, call f; divide by 2 * h",
    ),
)

# -- page 2 ---------------------------------------------------------------------------------------


def _dense_inputs(rng: np.random.Generator) -> list[Case]:
    return [
        {"x": rng.normal(size=(1, 2)), "W": rng.normal(size=(2, 3)), "b": np.zeros(3)},
        {"x": rng.normal(size=(4, 3)), "W": rng.normal(size=(3, 2)), "b": rng.normal(size=2)},
    ]


DENSE_FORWARD = Exercise(
    name="dense_forward",
    page=2,
    arguments=arguments("x, W, b"),
    outputs=("y",),
    task="y of a dense layer, for x (N, in), W (in, units), b (units,)",
    cases=_dense_inputs,
    right=package.dense_forward,
    slips=(
        Slip("bias missing", "y", "b is not added", lambda x, W, b: x @ W),
        Slip("bias subtracted", "y", "b is taken off; add it", lambda x, W, b: x @ W - b),
        Slip(
            "transposed",
            "y",
            "its axes are exchanged: samples come first, units last",
            lambda x, W, b: (x @ W + b).T,
        ),
        Slip(
            "summed over the batch",
            "y",
            "the samples are added up; each has its row in y",
            lambda x, W, b: (x @ W + b).sum(axis=0),
        ),
    ),
    hints=(
        "each of the units is a neuron: y[n, q] = sum over p of x[n, p] W[p, q], plus b[q]",
        "the sum over p is a matrix product, x @ W; b is added to every row",
    ),
)


def _dense_gradients(rng: np.random.Generator) -> list[Case]:
    return [
        {
            "dy": rng.normal(size=(N, units)),
            "x": rng.normal(size=(N, inputs)),
            "W": rng.normal(size=(inputs, units)),
        }
        for N, inputs, units in ((1, 2, 3), (3, 2, 2), (5, 4, 3))
    ]


DENSE_BACKWARD = Exercise(
    name="dense_backward",
    page=2,
    arguments=arguments("dy, x, W"),
    outputs=arguments("dx, dW, db"),
    task="the gradients of a dense layer, y = x @ W + b",
    cases=_dense_gradients,
    right=package.dense_backward,
    slips=(
        Slip(
            "averaged over the batch",
            "dW",
            "it is divided by N: each sample adds its part. The loss has divided by N already",
            lambda dy, x, W: x.T @ dy / len(x),
        ),
        Slip(
            "averaged over the batch",
            "db",
            "it is divided by N: each sample adds its part. The loss has divided by N already",
            lambda dy, x, W: dy.mean(axis=0),
        ),
        Slip(
            "averaged over the batch",
            "dx",
            "it is divided by N: a sample's dx comes from its row of dy alone",
            lambda dy, x, W: dy @ W.T / len(x),
        ),
        Slip(
            "transposed",
            "dW",
            "its axes are exchanged: dW = x^T @ dy has the shape of W, (in, units)",
            lambda dy, x, W: dy.T @ x,
        ),
        Slip(
            "not summed",
            "db",
            "it is not summed over the batch: b moves y of every sample, so db has the shape of b",
            lambda dy, x, W: dy,
        ),
        Slip(
            "summed over the wrong axes",
            "db",
            "it is summed over the units: sum over the samples, axis 0",
            lambda dy, x, W: dy.sum(axis=1),
        ),
        Slip(
            "summed over the wrong axes",
            "db",
            "all is added up to one number: each unit has its bias, so sum over axis 0 only",
            lambda dy, x, W: dy.sum(),
        ),
        Slip(
            "batch axis kept",
            "db",
            "it has a batch axis of 1 left: leave out keepdims",
            lambda dy, x, W: dy.sum(axis=0, keepdims=True),
        ),
        Slip(
            "bias forgotten",
            "db",
            "it is 1: b moves y by 1, but the loss by dy. Sum dy over the samples",
            lambda dy, x, W: np.ones(dy.shape[1]),
        ),
        Slip(
            "dy missing",
            "dW",
            "it does not depend on dy: it is how far the sum of y moves, not the loss",
            lambda dy, x, W: x.T @ np.ones_like(dy),
        ),
        Slip(
            "dy missing",
            "dx",
            "it does not depend on dy: it is how far the sum of y moves, not the loss",
            lambda dy, x, W: np.ones_like(dy) @ W.T,
        ),
    ),
    hints=(
        "write one number of y: y[n, q] = sum over p of x[n, p] W[p, q] + b[q]. Where does W[p, q] "
        "occur? In y[n, q] of every sample n, with x[n, p] before it",
        "so dW[p, q] = sum over n of x[n, p] dy[n, q]: a matrix product. x[n, p] occurs in y[n, q] "
        "of every unit q: dx[n, p] = sum over q of dy[n, q] W[p, q]",
        "the shapes leave one way only: dW (in, units) from x (N, in) and dy (N, units)",
    ),
    gradient=Gradient(
        "x",
        {"x": "dx", "W": "dW", "b": "db"},
        lambda x, W, b: package.dense_forward(x, W, b)[0],
        lambda case: {"b": np.zeros(case["W"].shape[1])},
    ),
)


def _activations(rng: np.random.Generator) -> list[Case]:
    return [
        {"dy": np.array([5.0, -6.0, 7.0]), "x": np.array([-2.0, 0.5, 3.0])},
        {"dy": np.array([5.0, 6.0, -7.0]), "x": np.array([-1.0, 0.0, 1.0])},
        {"dy": rng.normal(size=(3, 4)), "x": rng.normal(size=(3, 4))},
    ]


RELU = Exercise(
    name="relu_backward",
    page=2,
    arguments=arguments("dy, x"),
    outputs=("dx",),
    task="the gradient of y = max(x, 0)",
    cases=_activations,
    right=package.relu_backward,
    slips=(
        Slip(
            "mask from dy",
            "dx",
            "it goes by the sign of dy. What was let through on the way up is decided by x: "
            "dx = dy * (x > 0)",
            lambda dy, x: dy * (dy > 0),
        ),
        Slip(
            "mask missing",
            "dx",
            "all of dy comes back. Where x was negative, y is 0 whatever x does: no gradient",
            lambda dy, x: dy,
        ),
        Slip(
            "open at the kink",
            "dx",
            "where x is exactly 0 the gradient goes through. Any slope from 0 to 1 could stand "
            "there; this package and Keras take 0: x > 0, not x >= 0",
            lambda dy, x: dy * (x >= 0),
        ),
        Slip(
            "dy missing",
            "dx",
            "this is the slope of ReLU alone; multiply it by dy",
            lambda dy, x: (x > 0).astype(float),
        ),
        Slip(
            "multiplied by y",
            "dx",
            "dy is multiplied by max(x, 0), which is y. The slope is 1 where x > 0: dy * (x > 0)",
            lambda dy, x: dy * np.maximum(x, 0),
        ),
        Slip(
            "ReLU of dy",
            "dx",
            "ReLU is applied to dy where x > 0. A negative gradient comes back as it is",
            lambda dy, x: np.maximum(dy, 0) * (x > 0),
        ),
        Slip(
            "mask inverted",
            "dx",
            "the gradient comes through where x is negative, and is stopped where it is positive",
            lambda dy, x: dy * (x <= 0),
        ),
    ),
    hints=(
        "move one x a little. Does y move with it, and by how much, if x is negative?",
        "the slope is 0 for x < 0 and 1 for x > 0; dx is dy times the slope",
    ),
    gradient=Gradient("x", {"x": "dx"}, lambda x: package.relu_forward(x)),
)

EXERCISES = (NEURON, NUMERIC, DENSE_FORWARD, DENSE_BACKWARD, RELU)

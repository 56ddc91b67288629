"""Bias, an activation that maps each number by itself, and dropout, in one pass; and back.

Every activation is two functions of single numbers: `name(x, s)` and `name_slope(x, y, s)`, its
derivative as the layer has it, where s are the layer's settings (`activations.py`). `curve(name)`
makes the kernels around them.

y is within 4 units in the last place of float64's, over all float32 numbers; but gelu within 6,
tanh_shrink within 16, and gelu_by_tanh, far below 0, within 160 (`tests/test_elementary.py`).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minicnn.engine import elementary as e
from minicnn.engine.elementary import HALF, ONE, TWO, ZERO, f32
from minicnn.kernels.compiler import jit_fma, wide_vectors
from minicnn.kernels.fast import keep

QUARTER, SIXTH = f32(0.25), f32(1 / 6)


class Kernels(NamedTuple):
    """The two passes of an activation; each is compiled when it is first called."""

    forward: Any
    backward: Any


@cache
def curve(name: str) -> Kernels:
    """The kernels of the activation of that name.

    forward(z, bias, settings, key_1, key_2, first, dropped, scale, y, out)
        z (n, rows, columns), bias (columns,). y = f(z + bias); and out = dropout(y), unless
        `dropped` is 0.
    backward(dy, z, bias, y, settings, key_1, key_2, first, dropped, scale, dz, db)
        dz, and its sums db (columns,), from the dy behind dropout.

    No array may be two of these: LLVM would take the numbers one by one.
    """
    value, slope = globals()[name], globals()[f"{name}_slope"]

    @jit_fma
    def forward(
        z: Any,
        bias: Any,
        settings: Any,
        key_1: int,
        key_2: int,
        first: int,
        dropped: int,
        scale: Any,
        y: Any,
        out: Any,
    ) -> None:
        wide_vectors()
        N, rows, columns = z.shape
        for n in range(N):
            for r in range(rows):
                for c in range(columns):
                    y[n, r, c] = value(z[n, r, c] + bias[c], settings)
                if dropped > 0:
                    counter = first + (n * rows + r) * columns
                    for c in range(columns):
                        stays = keep(key_1, key_2, counter + c, dropped)
                        out[n, r, c] = y[n, r, c] * scale if stays else ZERO

    @jit_fma
    def backward(
        dy: Any,
        z: Any,
        bias: Any,
        y: Any,
        settings: Any,
        key_1: int,
        key_2: int,
        first: int,
        dropped: int,
        scale: Any,
        dz: Any,
        db: Any,
    ) -> None:
        wide_vectors()
        N, rows, columns = z.shape
        d, total = np.empty(columns, np.float32), np.empty(columns, np.float32)
        db[:] = 0
        for n in range(N):
            total[:] = 0
            for r in range(rows):
                counter = first + (n * rows + r) * columns
                if dropped > 0:
                    for c in range(columns):
                        stays = keep(key_1, key_2, counter + c, dropped)
                        d[c] = dy[n, r, c] * scale if stays else ZERO
                else:
                    for c in range(columns):
                        d[c] = dy[n, r, c]
                for c in range(columns):
                    here = d[c] * slope(z[n, r, c] + bias[c], y[n, r, c], settings)
                    dz[n, r, c] = here
                    total[c] += here
            for c in range(columns):
                db[c] += total[c]

    return Kernels(forward, backward)


# -- straight pieces ------------------------------------------------------------------------------


@jit_fma
def relu(x: Any, s: Any) -> Any:
    return ZERO if x <= s[0] else x


@jit_fma
def relu_slope(x: Any, y: Any, s: Any) -> Any:
    return ZERO if y <= s[0] else ONE


@jit_fma
def relu_with(x: Any, s: Any) -> Any:
    y = ZERO if x <= s[2] else x
    y = s[0] if y > s[0] else y
    below = x - s[2]
    below = ZERO if below > ZERO else below
    return y + s[1] * below if s[1] > ZERO else y


@jit_fma
def relu_with_slope(x: Any, y: Any, s: Any) -> Any:
    passes = (x > s[2]) & (x <= s[3])
    return ONE if passes else (s[1] if x < s[4] else ZERO)


@jit_fma
def leaky_relu(x: Any, s: Any) -> Any:
    below = x * s[0]
    return x if x > ZERO else below


@jit_fma
def leaky_relu_slope(x: Any, y: Any, s: Any) -> Any:
    return ONE if x > ZERO else s[0]


@jit_fma
def hard_sigmoid(x: Any, s: Any) -> Any:
    return clipped(x + f32(3), ZERO, f32(6)) / f32(6)


@jit_fma
def hard_sigmoid_slope(x: Any, y: Any, s: Any) -> Any:
    return SIXTH if (y > ZERO) & (y < ONE) else ZERO


@jit_fma
def hard_silu(x: Any, s: Any) -> Any:
    return x * (clipped(x + f32(3), ZERO, f32(6)) / f32(6))


@jit_fma
def hard_silu_slope(x: Any, y: Any, s: Any) -> Any:
    more = x * SIXTH
    inside = (x > f32(-3)) & (x < f32(3))
    return clipped(x + f32(3), ZERO, f32(6)) / f32(6) + (more if inside else ZERO)


@jit_fma
def hard_tanh(x: Any, s: Any) -> Any:
    return clipped(x, -ONE, ONE)


@jit_fma
def hard_tanh_slope(x: Any, y: Any, s: Any) -> Any:
    return ONE if (x >= -ONE) & (x <= ONE) else ZERO


@jit_fma
def hard_shrink(x: Any, s: Any) -> Any:
    return ZERO if abs(x) <= s[0] else x


@jit_fma
def hard_shrink_slope(x: Any, y: Any, s: Any) -> Any:
    return ONE if abs(x) > s[0] else ZERO


@jit_fma
def soft_shrink(x: Any, s: Any) -> Any:
    lower, upper = x - s[0], x + s[0]
    y = lower if x > s[0] else ZERO
    y = upper if (x < -s[0]) & (x <= s[0]) else y
    return x if x != x else y


@jit_fma
def soft_shrink_slope(x: Any, y: Any, s: Any) -> Any:
    return ONE if (x > s[0]) | (x < -s[0]) else ZERO


@jit_fma
def sparse_sigmoid(x: Any, s: Any) -> Any:
    return clipped(x + ONE, ZERO, TWO) * HALF


@jit_fma
def sparse_sigmoid_slope(x: Any, y: Any, s: Any) -> Any:
    return HALF if (x > -ONE) & (x < ONE) else ZERO


@jit_fma
def sparse_plus(x: Any, s: Any) -> Any:
    side = (-ONE if x < -ONE else x) + ONE
    return side * side * QUARTER if x < ONE else x


@jit_fma
def sparse_plus_slope(x: Any, y: Any, s: Any) -> Any:
    return clipped(x + ONE, ZERO, TWO) * HALF


@jit_fma
def threshold(x: Any, s: Any) -> Any:
    return x if x > s[0] else s[1]


@jit_fma
def threshold_slope(x: Any, y: Any, s: Any) -> Any:
    return ONE if x > s[0] else ZERO


@jit_fma
def clipped(x: Any, low: Any, high: Any) -> Any:
    x = low if x < low else x
    return high if x > high else x


# -- smooth ones ----------------------------------------------------------------------------------


@jit_fma
def sigmoid(x: Any, s: Any) -> Any:
    return e.sigmoid(x)


@jit_fma
def sigmoid_slope(x: Any, y: Any, s: Any) -> Any:
    return y * (ONE - y)


@jit_fma
def tanh(x: Any, s: Any) -> Any:
    return e.tanh(x)


@jit_fma
def tanh_slope(x: Any, y: Any, s: Any) -> Any:
    return ONE - y * y


@jit_fma
def exponential(x: Any, s: Any) -> Any:
    return e.exp(x)


@jit_fma
def exponential_slope(x: Any, y: Any, s: Any) -> Any:
    return y


@jit_fma
def elu(x: Any, s: Any) -> Any:
    """SELU, too. s: the factors below and above 0, and the largest x with the slope of below."""
    above, below = x * s[1], s[0] * e.expm1_below(x)
    return above if (x > ZERO) | (x != x) else below


@jit_fma
def elu_slope(x: Any, y: Any, s: Any) -> Any:
    below = s[0] * e.exp_below(ZERO if x > ZERO else x)
    return s[1] if x > s[2] else below


@jit_fma
def celu(x: Any, s: Any) -> Any:
    below = s[0] * e.expm1_below(x * s[1])
    return x if (x > ZERO) | (x != x) else below


@jit_fma
def celu_slope(x: Any, y: Any, s: Any) -> Any:
    below = e.exp_below((ZERO if x > ZERO else x) * s[1])
    return ONE if x > ZERO else below


@jit_fma
def softplus(x: Any, s: Any) -> Any:
    return e.softplus(x)


@jit_fma
def softplus_slope(x: Any, y: Any, s: Any) -> Any:
    return e.sigmoid(x)


@jit_fma
def log_sigmoid(x: Any, s: Any) -> Any:
    return -e.softplus(-x)


@jit_fma
def log_sigmoid_slope(x: Any, y: Any, s: Any) -> Any:
    return e.sigmoid(-x)


@jit_fma
def softsign(x: Any, s: Any) -> Any:
    return x / (ONE + abs(x))


@jit_fma
def softsign_slope(x: Any, y: Any, s: Any) -> Any:
    share = ONE / (ONE + abs(x))
    return share * share


@jit_fma
def shares(x: Any) -> Any:
    """sigmoid(x), and what is left of 1."""
    power = e.exp_below(-abs(x))
    larger, smaller = ONE / (ONE + power), power / (ONE + power)
    negative = x < ZERO
    return (smaller if negative else larger), (larger if negative else smaller)


@jit_fma
def silu(x: Any, s: Any) -> Any:
    return x * e.sigmoid(x)


@jit_fma
def silu_slope(x: Any, y: Any, s: Any) -> Any:
    share, rest = shares(x)
    return share * (ONE + x * rest)


@jit_fma
def mish(x: Any, s: Any) -> Any:
    """x tanh(log(1 + e^x)), which is x (e^2x + 2 e^x) / (e^2x + 2 e^x + 2)."""
    power = e.exp_below(-abs(x))
    negative = x < ZERO
    above = power * (power + TWO) if negative else ONE + TWO * power
    return x * (above / (above + (TWO if negative else TWO * power * power)))


@jit_fma
def mish_slope(x: Any, y: Any, s: Any) -> Any:
    power = e.exp_below(-abs(x))
    negative = x < ZERO
    above = power * (power + TWO) if negative else ONE + TWO * power
    rest = TWO if negative else TWO * power * power
    t, rest = above / (above + rest), rest / (above + rest)  # and 1 - t
    share = (power if negative else ONE) / (ONE + power)
    return t + x * (rest * (ONE + t)) * share


@jit_fma
def gelu(x: Any, s: Any) -> Any:
    share, _ = e.normal(x)
    return x * share


@jit_fma
def gelu_slope(x: Any, y: Any, s: Any) -> Any:
    share, bell = e.normal(x)
    more = x * bell
    return share + (more if bell > ZERO else ZERO)


GELU_INNER, GELU_CUBE = f32(2 * np.sqrt(2 / np.pi)), f32(0.044715)


@jit_fma
def gelu_by_tanh(x: Any, s: Any) -> Any:
    """(1 + tanh(u)) / 2 is sigmoid(2 u)."""
    return x * e.sigmoid(GELU_INNER * (x + GELU_CUBE * x * x * x))


@jit_fma
def gelu_by_tanh_slope(x: Any, y: Any, s: Any) -> Any:
    share, rest = shares(GELU_INNER * (x + GELU_CUBE * x * x * x))
    bell = share * rest
    more = x * bell * (GELU_INNER * (ONE + f32(3) * GELU_CUBE * x * x))
    return share + (more if bell > ZERO else ZERO)


@jit_fma
def squareplus(x: Any, s: Any) -> Any:
    """s is b and its root; for a negative x the sum would lose its digits."""
    root, size = hypot(x, s[1]), abs(x)
    above, below = size * HALF + root * HALF, s[0] * HALF / (root + size)
    return above if (x >= ZERO) | (x != x) else below


@jit_fma
def squareplus_slope(x: Any, y: Any, s: Any) -> Any:
    root = hypot(x, s[1])
    share = x / (root if root > ZERO else ONE)
    return (ONE + share) * HALF


@jit_fma
def hypot(x: Any, b: Any) -> Any:
    """sqrt(x^2 + b^2) without an overflow, for b >= 0."""
    size = abs(x)
    large, small = (b if size < b else size), (size if size < b else b)
    share = small / (large if large > ZERO else ONE)
    return large * np.sqrt(ONE + share * share)


@jit_fma
def tanh_shrink(x: Any, s: Any) -> Any:
    near, far = -e.tanh_rest(x), x - e.tanh(x)
    return near if abs(x) < e.SMALL else far


@jit_fma
def tanh_shrink_slope(x: Any, y: Any, s: Any) -> Any:
    t = e.tanh(x)
    return t * t

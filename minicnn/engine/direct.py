"""Convolution of a single channel, 3x3, with all that follows it, in one pass over the image.

With one input channel a window has 9 numbers: too few for a matrix product to pay. The loops run
over the pixels of the output instead, sixteen filters at a time (`vectors.py`), whose 9 weights, or
the sums of their gradients, stay in registers for a whole image. Before a 2x2 max-pooling they run
over 2x2 blocks: the 4x4 patch under a block is read once, and the block's four numbers become one
before they ever reach memory.

There are 16 filters or more. Where their number is no multiple of 16, the last block of filters
repeats some of the one before.

Sums are written `z = z + a * b + c * d`, not `z += a * b + c * d`: from left to right each product
and its sum are one instruction; the short form asks for the sum of the products first, one more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.engine.passes import rows_in_a_sum
from minicnn.engine.vectors import (
    LANES,
    join,
    kept,
    load,
    load_bytes,
    numbers,
    split,
    store,
    store_bytes,
    where_above,
    where_at_most,
    where_equal,
    zeros,
)
from minicnn.kernels.compiler import jit, jit_fma, wide_vectors


@jit
def padded(x: Any, P: int, X: Any) -> None:
    """X: the image x (H, W) under P rows and columns of zeros, which are there already."""
    for h in range(x.shape[0]):
        for w in range(x.shape[1]):
            X[h + P, w + P] = x[h, w]


@jit_fma
def forward(
    x: Any, W: Any, b: Any, P: int, relu: bool, pool: bool, training: bool, after: Any,
    y: Any, argmax: Any, key_1: int, key_2: int, first: int, dropped: int, scale: Any,
) -> None:  # fmt: skip
    """y (n, H_out, W_out, F), halved by the pooling, from x (n, H, W), W (9, F) and b (F,).

    P rows and columns of zeros are around each image. With pooling, training also writes argmax, of
    the shape of y: which of the four cells won, -1 where ReLU or dropout left 0. after (2, F) is a
    scale and a shift behind ReLU without pooling, or empty.
    """
    wide_vectors()
    n_images, H_out, W_out, F = y.shape
    X = np.zeros((x.shape[1] + 2 * P, x.shape[2] + 2 * P), np.float32)
    for n in range(n_images):
        padded(x[n], P, X)
        for f in range(0, F, LANES):
            f = min(f, F - LANES)
            w, bias = load(9, W, f, F), load(1, b, f, 0)
            for i in range(H_out):
                for j in range(W_out):
                    to = ((n * H_out + i) * W_out + j) * F + f
                    if pool:
                        best, won = largest_of_four(X, 2 * i, 2 * j, w)
                    else:
                        best, won = window(X, i, j, w), zeros(1)
                    best = best + bias
                    if relu:
                        won = where_at_most(best, zeros(1), numbers(1, np.float32(-1)), won)
                        best = where_at_most(best, zeros(1), zeros(1), best)
                    if len(after):
                        best = best * load(1, after, f, 0) + load(1, after, F + f, 0)
                    if dropped > 0:
                        stays = kept(key_1, key_2, first + to, dropped, scale)
                        won = where_above(stays, zeros(1), won, numbers(1, np.float32(-1)))
                        best = where_above(stays, zeros(1), best * stays, zeros(1))
                    if pool and training:
                        store_bytes(won, argmax, to)
                    store(best, y, to, 0)


@jit_fma
def window(X: Any, i: int, j: int, w: Any) -> Any:
    """The window of X at (i, j) times the 9 weights of each filter."""
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = split(w)
    z = X[i, j] * w0 + X[i, j + 1] * w1 + X[i, j + 2] * w2
    z = z + X[i + 1, j] * w3 + X[i + 1, j + 1] * w4 + X[i + 1, j + 2] * w5
    return z + X[i + 2, j] * w6 + X[i + 2, j + 1] * w7 + X[i + 2, j + 2] * w8


@jit_fma
def largest_of_four(X: Any, i: int, j: int, w: Any) -> tuple[Any, Any]:
    """The largest of the 2x2 windows of X from (i, j) on, and which of them it is."""
    best, won = window(X, i, j, w), zeros(1)
    for cell in range(1, 4):
        z = window(X, i + cell // 2, j + cell % 2, w)
        won = where_above(z, best, numbers(1, np.float32(cell)), won)
        best = where_above(z, best, z, best)
    return best, won


@jit_fma
def backward(
    x: Any, dy: Any, y: Any, argmax: Any, P: int, relu: bool, pool: bool, scale: Any,
    dW: Any, db: Any,
) -> None:  # fmt: skip
    """dW (9, F) and db (F,). Without pooling, y says where ReLU or dropout left 0."""
    wide_vectors()
    n_images, H_out, W_out, F = dy.shape
    X = np.zeros((x.shape[1] + 2 * P, x.shape[2] + 2 * P), np.float32)
    sums = np.zeros((F + LANES - 1) // LANES * 10 * LANES, np.float32)  # block by block
    rows = rows_in_a_sum(H_out, W_out)
    for n in range(n_images):
        padded(x[n], P, X)
        for block in range((F + LANES - 1) // LANES):
            f = min(block * LANES, F - LANES)
            for top in range(0, H_out, rows):
                total = zeros(10)
                for i in range(top, min(top + rows, H_out)):
                    for j in range(W_out):
                        at = ((n * H_out + i) * W_out + j) * F + f
                        d = load(1, dy, at, 0)
                        if pool:
                            won = load_bytes(argmax, at)
                            for cell in range(4):
                                its = where_equal(won, numbers(1, np.float32(cell)), d, zeros(1))
                                p, q = 2 * i + cell // 2, 2 * j + cell % 2
                                total = add_window(total, X, p, q, its)
                        else:
                            if relu:
                                d = where_at_most(load(1, y, at, 0), zeros(1), zeros(1), d)
                            total = add_window(total, X, i, j, d)
                total = total + load(10, sums, block * 10 * LANES, LANES)
                store(total, sums, block * 10 * LANES, LANES)
    for f in range(F):
        block = f // LANES
        at = block * 10 * LANES + f - min(block * LANES, F - LANES)
        for k in range(9):
            dW[k, f] = sums[at + k * LANES] * scale
        db[f] = sums[at + 9 * LANES] * scale


@jit_fma
def add_window(total: Any, X: Any, i: int, j: int, d: Any) -> Any:
    """The sums of dW and db, 10 vectors, with those of a window and its d added."""
    s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 = split(total)
    return join(
        (
            s0 + X[i, j] * d,
            s1 + X[i, j + 1] * d,
            s2 + X[i, j + 2] * d,
            s3 + X[i + 1, j] * d,
            s4 + X[i + 1, j + 1] * d,
            s5 + X[i + 1, j + 2] * d,
            s6 + X[i + 2, j] * d,
            s7 + X[i + 2, j + 1] * d,
            s8 + X[i + 2, j + 2] * d,
            s9 + d,
        )
    )

"""Depthwise convolution: sixteen channels at a time, each with its own weights.

Nothing is summed over channels, so images stay as they are, with the channels innermost, and a
vector holds those of one pixel:

    z[i, j] = sum of X[i S + a D, j S + b D] * W[a, b] over a and b
    dW[a, b] = sum of X[i S + a D, j S + b D] * dz[i, j] over i, j and the images
    dx[h, w] = sum of dz[i, j] * W[a, b] over all with h = i S + a D and w = j S + b D

A tile is up to eight pixels of a row, forward and in dx, and takes one row of the window (of a wide
one equal parts), its `taps`, after the other: neighbouring pixels see mostly the same numbers,
which are read once. In dW a tile is the taps of such a row, and takes four pixels of dz at once.
Where strides leave rows of different length to the parts of dx, each tap is a row by itself.

X is one image with its padding, D the dz of one image with zeros around it. Where the channels are
no multiple of sixteen, the last block repeats some of the one before. Images of fewer than sixteen
channels, and those with several filters for each channel, are copied into images that have a
channel for each filter (`widened`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from minicnn.engine.passes import rows_in_a_sum
from minicnn.engine.vectors import (
    LANES,
    add_products,
    add_sliding,
    load,
    numbers,
    store,
    where_at_most,
    zeros,
)
from minicnn.kernels.compiler import jit, jit_fma, wide_vectors

PIXELS = 4  # of dz that dW takes at once


@jit
def framed(x: Any, start: int, rows: int, row: int, X: Any, at: int, x_row: int) -> None:
    """Rows of so many numbers of x, from `start` on, into the middle of X."""
    for h in range(rows):
        source, to = start + h * row, at + h * x_row
        if row < LANES:
            for q in range(row):
                X[to + q] = x[source + q]
            continue
        for begin in range(0, row, LANES):
            q = min(begin, row - LANES)
            store(load(1, x, source + q, 0), X, to + q, 0)


@jit
def widened(x: Any, C: int, M: int, X: Any, wide: int) -> None:
    """Pixels of C channels into pixels of `wide` ones: each channel M times, then zeros."""
    for p in range(len(x) // C):
        at = p * wide
        for c in range(C):
            for m in range(M):
                X[at + c * M + m] = x[p * C + c]
        X[at + C * M : at + wide] = 0


@jit
def narrowed(X: Any, wide: int, C: int, M: int, x: Any) -> None:
    """Backward of `widened`: the sum of a channel's M copies."""
    for p in range(len(x) // C):
        for c in range(C):
            total = X[p * wide + c * M]
            for m in range(1, M):
                total += X[p * wide + c * M + m]
            x[p * C + c] = total


@cache
def correlation(pixels: int, taps: int, stride: int, gap: int) -> Any:
    """The kernel for tiles of so many pixels, `stride` pixels of X apart, and so many taps, `gap`
    pixels apart.
    """
    seen = (pixels - 1) * stride + (taps - 1) * gap + 1

    @jit_fma
    def correlate(
        X: Any, x_row: int, heads: Any, W: Any, bias: Any, relu: bool,
        Z: Any, z_at: int, z_row: int, z_col: int, rows: int, cols: int, C: int,
    ) -> None:  # fmt: skip
        """Z[i, j] = relu(bias + sum of X[i, j] at the taps of the rows, each times its W).

        W is (rows of taps, taps, C). There have to be `pixels` columns or more.
        """
        wide_vectors()
        none, one = zeros(pixels), numbers(pixels, np.float32(1))
        for i in range(rows):
            for start in range(0, cols, pixels):
                j = min(start, cols - pixels)
                for begin in range(0, C, LANES):
                    c = min(begin, C - LANES)
                    acc, w = add_products(none, one, load(1, bias, c, 0)), c
                    place = i * x_row + j * stride * C + c
                    for r in range(len(heads)):
                        x = load(seen, X, place + heads[r], C)
                        acc = add_sliding(acc, x, stride, load(taps, W, w, C), gap)
                        w += taps * C
                    if relu:
                        acc = where_at_most(acc, none, none, acc)
                    store(acc, Z, z_at + i * z_row + j * z_col + c, z_col)

    return correlate


@cache
def forward(pixels: int, taps: int, stride: int, gap: int) -> Any:
    """The kernel of a stage's forward, with such tiles."""
    correlate = correlation(pixels, taps, stride, gap)

    @jit
    def run(
        x: Any, N: int, g: Any, heads: Any, W: Any, bias: Any, relu: bool, X: Any, y: Any,
    ) -> None:  # fmt: skip
        """y of the N images x, both flat."""
        for n in range(N):
            framed(x, n * g.H * g.W * g.C, g.H, g.W * g.C, X, g.x_at, g.x_row)
            correlate(
                X, g.S_h * g.x_row, heads, W, bias, relu, y, n * g.H_out * g.W_out * g.C,
                g.W_out * g.C, g.C, g.H_out, g.W_out, g.C,
            )  # fmt: skip

    return run


@cache
def weights_gradient(taps: int, stride: int, gap: int) -> Any:
    """The kernel for rows of so many taps, `gap` pixels of X apart, those of pixels `stride`."""
    reach = (taps - 1) * gap + 1
    seen = (PIXELS - 1) * stride + reach

    @jit_fma
    def add_gradient(X: Any, D: Any, g: Any, heads: Any, dW: Any, db: Any) -> None:
        """Adds what an image gives to dW (blocks, rows of taps, taps, 16) and db (blocks, 16)."""
        wide_vectors()
        whole, rows = g.W_out - g.W_out % PIXELS, rows_in_a_sum(g.H_out, g.W_out)
        for block in range(len(db) // LANES):
            c, to_db = min(block * LANES, g.C - LANES), block * LANES
            for r in range(len(heads)):
                to = (block * len(heads) + r) * taps * LANES
                for top in range(0, g.H_out, rows):
                    acc, total = zeros(taps), zeros(1)
                    for i in range(top, min(top + rows, g.H_out)):
                        x, d = i * g.S_h * g.x_row + heads[r] + c, g.d_at + i * g.d_row + c
                        for _ in range(0, whole, PIXELS):
                            dz = load(PIXELS, D, d, g.C)
                            acc = add_sliding(acc, load(seen, X, x, g.C), gap, dz, stride)
                            if r == 0:
                                ones = numbers(PIXELS, np.float32(1))
                                total = add_sliding(total, dz, 1, ones, 1)
                            x += PIXELS * stride * g.C
                            d += PIXELS * g.C
                        for _ in range(whole, g.W_out):
                            dz = load(1, D, d, g.C)
                            acc = add_sliding(acc, load(reach, X, x, g.C), gap, dz, stride)
                            if r == 0:
                                total = total + dz
                            x += stride * g.C
                            d += g.C
                    store(acc + load(taps, dW, to, LANES), dW, to, LANES)
                    if r == 0:
                        store(total + load(1, db, to_db, 0), db, to_db, 0)

    return add_gradient


@cache
def backward(taps: int, stride: int, gap: int, pixels: int, taps_of_dx: int) -> Any:
    """The kernel of a stage's backward: dW with rows of so many taps, dx in tiles of so many pixels
    and taps.
    """
    add_gradient = weights_gradient(taps, stride, gap)
    correlate = correlation(pixels, taps_of_dx, 1, gap)

    @jit
    def run(
        x: Any, dy: Any, y: Any, N: int, g: Any, heads: Any, W: Any, none: Any, relu: bool,
        X: Any, D: Any, dW: Any, db: Any, phases: Any, heads_of_dx: Any, dx: Any,
    ) -> None:  # fmt: skip
        """Adds to dW and db, and writes dx, from the images x and dy and the outputs y; all flat.

        A row of `phases` describes a correlation (`tiles.Depthwise`), whose weights are in W;
        without any there is no dx.
        """
        row, zero = g.W_out * g.C, zeros(1)
        # False, but not as a constant, for which `correlate` would be compiled anew
        relu_of_dx = len(none) == 0
        for n in range(N):
            start = n * g.H_out * row
            framed(x, n * g.H * g.W * g.C, g.H, g.W * g.C, X, g.x_at, g.x_row)
            for i in range(g.H_out):
                source, to = start + i * row, g.d_at + i * g.d_row
                for begin in range(0, row, LANES):
                    q = min(begin, row - LANES)
                    d = load(1, dy, source + q, 0)
                    if relu:
                        d = where_at_most(load(1, y, source + q, 0), zero, zero, d)
                    store(d, D, to + q, 0)
            add_gradient(X, D, g, heads, dW, db)
            for k in range(len(phases)):
                d_at, dx_at, rows, cols, begin, end, w = phases[k]
                correlate(
                    D, g.d_row, d_at + heads_of_dx[begin:end], W[w:], none, relu_of_dx,
                    dx, n * g.H * g.W * g.C + dx_at, g.S_h * g.dx_row, g.S_w * g.C, rows, cols,
                    g.C,
                )  # fmt: skip

    return run

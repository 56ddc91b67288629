"""Depthwise convolution: sixteen channels at a time, each with its own weights.

Nothing is summed over channels, so images stay as they are, with the channels innermost, and a
vector holds those of one pixel. A tile is four pixels forward and in dx, the window's cells in dW:

    z[i, j] = sum of X[i S + a D, j S + b D] * W[a, b] over a and b
    dW[a, b] = sum of X[i S + a D, j S + b D] * dz[i, j] over i, j and the images
    dx[h, w] = sum of dz[i, j] * W[a, b] over all with h = i S + a D and w = j S + b D

X is one image with its padding, D the dz of one image with zeros around it. Where the channels are
no multiple of sixteen, the last block repeats some of the one before.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from minicnn.engine.vectors import (
    LANES,
    add_products,
    load,
    load_at,
    numbers,
    store,
    where_at_most,
    zeros,
)
from minicnn.kernels.compiler import jit, jit_fma, wide_vectors


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


@cache
def correlation(pixels: int) -> Any:
    """The kernel for tiles of so many pixels."""

    @jit_fma
    def correlate(
        X: Any, x_at: int, x_row: int, x_col: int, offsets: Any, cells: Any, W: Any, bias: Any,
        relu: bool, Z: Any, z_at: int, z_row: int, z_col: int, rows: int, cols: int, C: int,
    ) -> None:  # fmt: skip
        """Z[i, j] = relu(bias + sum of X[i, j] at the offsets, each times its cell's weights).

        There have to be `pixels` columns or more.
        """
        wide_vectors()
        none, ones = zeros(pixels), numbers(pixels, np.float32(1))
        for i in range(rows):
            for start in range(0, cols, pixels):
                j = min(start, cols - pixels)
                for begin in range(0, C, LANES):
                    c = min(begin, C - LANES)
                    acc = add_products(none, ones, load(1, bias, c, 0))
                    place = x_at + i * x_row + j * x_col + c
                    for k in range(len(offsets)):
                        weights = load(1, W, cells[k] * C + c, 0)
                        x = load(pixels, X, place + offsets[k], x_col)
                        acc = add_products(acc, x, weights)
                    if relu:
                        acc = where_at_most(acc, none, none, acc)
                    store(acc, Z, z_at + i * z_row + j * z_col + c, z_col)

    return correlate


@cache
def forward(pixels: int) -> Any:
    """The kernel of a stage's forward, with tiles of so many pixels."""
    correlate = correlation(pixels)

    @jit
    def run(
        x: Any, N: int, g: Any, offsets: Any, cells: Any, W: Any, bias: Any, relu: bool, X: Any,
        y: Any,
    ) -> None:  # fmt: skip
        """y of the N images x, both flat."""
        for n in range(N):
            framed(x, n * g.H * g.W * g.C, g.H, g.W * g.C, X, g.x_at, g.x_row)
            correlate(
                X, 0, g.S_h * g.x_row, g.S_w * g.C, offsets, cells, W, bias, relu,
                y, n * g.H_out * g.W_out * g.C, g.W_out * g.C, g.C, g.H_out, g.W_out, g.C,
            )  # fmt: skip

    return run


@cache
def backward(pixels: int, taps: int) -> Any:
    """The kernel of a stage's backward: dx in tiles of so many pixels, dW in tiles of taps."""
    correlate = correlation(pixels)

    @jit_fma
    def add_gradient(
        X: Any, D: Any, g: Any, offsets: Any, dW: Any, db: Any,
    ) -> None:  # fmt: skip
        """Adds what an image gives to dW (blocks, cells, 16) and db (blocks, 16)."""
        wide_vectors()
        ones = numbers(1, np.float32(1))
        for block in range(len(db) // LANES):
            c = min(block * LANES, g.C - LANES)
            total = zeros(1)
            for first in range(0, len(offsets), taps):
                acc = zeros(taps)
                for i in range(g.H_out):
                    x, d = i * g.S_h * g.x_row + c, g.d_at + i * g.d_row + c
                    for _ in range(g.W_out):
                        dz = load(1, D, d, 0)
                        acc = add_products(acc, load_at(taps, X, x, offsets, first), dz)
                        if first == 0:
                            total = add_products(total, ones, dz)
                        x += g.S_w * g.C
                        d += g.C
                to = (block * len(offsets) + first) * LANES
                store(acc + load(taps, dW, to, LANES), dW, to, LANES)
            to = block * LANES
            store(total + load(1, db, to, 0), db, to, 0)

    @jit
    def run(
        x: Any, dy: Any, y: Any, N: int, g: Any, offsets: Any, W: Any, none: Any, relu: bool,
        X: Any, D: Any, dW: Any, db: Any, remainders: Any, behind: Any, cells: Any, dx: Any,
    ) -> None:  # fmt: skip
        """Adds to dW and db, and writes dx, from the images x and dy and the outputs y; all flat.

        A row of `remainders` describes a correlation (`tiles.Remainders`); without any there is no
        dx.
        """
        row, zero = g.W_out * g.C, zeros(1)
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
            add_gradient(X, D, g, offsets, dW, db)
            for k in range(len(remainders)):
                d_at, dx_at, rows, cols, cell, end, _, _ = remainders[k]
                correlate(
                    D, d_at, g.d_row, g.C, behind[cell:end], cells[cell:end], W, none, False,
                    dx, n * g.H * g.W * g.C + dx_at, g.S_h * g.dx_row, g.S_w * g.C, rows, cols,
                    g.C,
                )  # fmt: skip

    return run

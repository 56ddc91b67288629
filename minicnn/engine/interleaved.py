"""Convolution of sixteen images at a time: any window, stride and dilation.

The numbers of sixteen images stand side by side, so that vectors are full however few channels or
filters there are, and no windows are copied:

    X (H, C, W, 16)                         from the images, with their padding
    Z[i, f, j] = sum of X[i S + a D, c, j S + b D] W[a, b, c, f] over a, b and c
    dW[a, b, c, f] = sum of X[i S + a D, c, j S + b D] dZ[i, f, j] over i, j and the images
    dX[h, c, w] = sum of dZ[i, f, j] W[a, b, c, f] over all with h = i S + a D and w = j S + b D

Each is computed in tiles that fit the registers: two pixels by eight filters, or one kernel row by
four filters. dX is itself a set of convolutions of dZ, one for each phase of the stride
(`layout.Remainders`).

Pixels of one channel are contiguous along a row. With channels innermost, the pixels of a window
would be a power of two apart and compete for the same cache sets.

A shard is processed in groups of sixteen images; unused lanes are zero. For dW of small images
several groups are processed together, so that each tile reduces its lanes only once. Arrays are
flat, and offsets count floats.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.passes import rows_in_a_sum
from minicnn.engine.vectors import (
    LANES,
    add_outer,
    add_products,
    add_sums,
    load,
    load_at,
    load_bytes,
    numbers,
    store,
    store_at,
    store_bytes,
    store_rows,
    transposed,
    where_above,
    where_at_most,
    where_equal,
    zeros,
)
from minicnn.kernels.compiler import jit, jit_fma, uint32, wide_vectors
from minicnn.kernels.fast import keep

Array = NDArray[Any]

FEWEST = 8  # images in a shard; with fewer, most of each vector would be empty


# -- between images and groups of sixteen ---------------------------------------------------------


@jit
def interleave(
    x: Any, N: int, H: int, L: int, first: int, h: int, rows: int,
    X: Any, at: int, row: int, places: Any,
) -> None:  # fmt: skip
    """Rows h and on of images x (N, H, L), the sixteen from number `first` on, into X.

    Number q of a row goes to place places[q] of a row of X, which begins `row` behind the one
    before.
    """
    for k in range(rows):
        start, to = (first * H + h + k) * L, at + k * row
        if first + LANES <= N and L >= LANES:
            for q in range(0, L, LANES):
                q = min(q, L - LANES)  # the last block may repeat some of the one before
                store_at(transposed(load(16, x, start + q, H * L)), X, to, places, q)
        else:
            for q in range(L):
                for t in range(LANES):
                    here = first + t < N
                    value = x[start + t * H * L + q] if here else np.float32(0)
                    X[to + places[q] + t] = value


@jit
def separate(
    X: Any, at: int, row: int, places: Any,
    x: Any, N: int, H: int, L: int, first: int, h: int, rows: int,
) -> None:  # fmt: skip
    """Transpose of `interleave`: writes those of the sixteen images that there are."""
    for k in range(rows):
        start, source = (first * H + h + k) * L, at + k * row
        if first + LANES <= N and L >= LANES:
            for q in range(0, L, LANES):
                q = min(q, L - LANES)
                store(transposed(load_at(16, X, source, places, q)), x, start + q, H * L)
        else:
            for t in range(min(LANES, N - first)):
                for q in range(L):
                    x[start + t * H * L + q] = X[source + places[q] + t]


# -- products -------------------------------------------------------------------------------------


@cache
def convolution(size: int) -> Any:
    """The kernel for blocks of so many filters."""
    pixels = 2 if size > 4 else 4
    tile = pixels * size

    @jit_fma
    def convolve(
        X: Any, x_at: int, x_row: int, x_plane: int, x_col: int, taps: Any, C: int, W: Any,
        Z: Any, z_at: int, z_row: int, z_plane: int, z_col: int, rows: int, cols: int, blocks: int,
    ) -> None:  # fmt: skip
        """Z[i, f, j] = sum over taps and c of X[i, c, j] at the tap, times W[f, tap, c].

        A tap lies so far behind the pixel in X; W (blocks, taps, C, size). There has to be room in
        X and Z for one pixel beyond an odd number of columns (three beyond a multiple of four,
        where blocks have four filters).
        """
        wide_vectors()
        for i in range(rows):
            for f in range(blocks):
                for j in range(0, cols, pixels):
                    acc = zeros(tile)
                    w = f * len(taps) * C * size
                    for k in range(len(taps)):
                        place = x_at + i * x_row + j * x_col + taps[k]
                        for _ in range(C):
                            acc = add_outer(acc, load(pixels, X, place, x_col), W, w, 1, size)
                            place += x_plane
                            w += size
                    place = z_at + i * z_row + f * size * z_plane + j * z_col
                    store_rows(acc, Z, place, z_col, size, z_plane)

    return convolve


@cache
def weights_gradient(taps: int, filters: int) -> Any:
    """The kernel for tiles of so many taps of a row of the window and so many filters."""
    tile = taps * filters

    @jit_fma
    def add_gradient(
        X: Any, x_size: int, x_row: int, x_plane: int, x_col: int, tap_row: int, tap_col: int,
        D: Any, d_size: int, d_at: int, d_row: int, d_plane: int, groups: int, rows: int, cols: int,
        dW: Any, K_h: int, parts: int, C: int, F: int,
    ) -> None:  # fmt: skip
        """Adds to dW (K_h, parts * taps, C, F) what the rows and columns of dZ give, which is D.

        A group begins x_size behind the one before in X, and d_size in D.
        """
        wide_vectors()
        step = rows_in_a_sum(rows, cols * groups)
        for f in range(0, F, filters):
            for a in range(K_h):
                for part in range(parts):
                    for c in range(C):
                        start = a * tap_row + part * taps * tap_col + c * x_plane
                        to = ((a * parts + part) * taps * C + c) * F + f
                        for top in range(0, rows, step):
                            acc = zeros(tile)
                            for group in range(groups):
                                to_x, to_d = group * x_size, group * d_size + f * d_plane
                                for i in range(top, min(top + step, rows)):
                                    x, d = start + to_x + i * x_row, d_at + to_d + i * d_row
                                    for _ in range(cols):
                                        window = load(taps, X, x, tap_col)
                                        at_pixel = load(filters, D, d, d_plane)
                                        acc = add_products(acc, window, at_pixel)
                                        x += x_col
                                        d += LANES
                            add_sums(acc, dW, to, C * F, filters)

    return add_gradient


# -- what stands behind the product ---------------------------------------------------------------


@jit_fma
def finish(
    Z: Any, row: int, plane: int, cols: int, F: int, bias: Any, pool: bool, relu: bool,
    Y: Any, y_plane: int, argmax: Any,
) -> None:  # fmt: skip
    """One row of y = pool(relu(Z + b)): F planes of `cols` pixels.

    pool is 2x2 max-pooling of two rows of Z, or nothing. `argmax` gets the place in each window, -1
    where ReLU left 0.
    """
    none, dead = zeros(1), numbers(1, np.float32(-1))
    for f in range(F):
        b = numbers(1, bias[f])
        for j in range(cols):
            won = none
            if pool:
                p = f * plane + 2 * j * LANES
                best = load(1, Z, p, 0)
                for k in range(1, 4):
                    z = load(1, Z, p + k // 2 * row + k % 2 * LANES, 0)
                    won = where_above(z, best, numbers(1, np.float32(k)), won)
                    best = where_above(z, best, z, best)
            else:
                best = load(1, Z, f * plane + j * LANES, 0)
            best = best + b
            if relu:
                won = where_at_most(best, none, dead, won)
                best = where_at_most(best, none, none, best)
            store(best, Y, f * y_plane + j * LANES, 0)
            store_bytes(won, argmax, (f * cols + j) * LANES)


@jit
def drop(
    Y: Any, y_plane: int, cols: int, F: int, argmax: Any,
    key_1: int, key_2: int, counter: int, apart: int, dropped: int, scale: Any,
) -> None:  # fmt: skip
    """Dropout of a row of y; the counters of an image begin `apart` behind the image before."""
    for f in range(F):
        for j in range(cols):
            for t in range(LANES):
                cell = uint32(counter + t * apart + j * F + f)
                to, own = f * y_plane + j * LANES + t, (f * cols + j) * LANES + t
                stays = keep(key_1, key_2, cell, dropped)
                Y[to] = Y[to] * scale if stays else np.float32(0)
                argmax[own] = argmax[own] if stays else np.int8(-1)


@jit_fma
def spread(
    dY: Any, y_plane: int, cols: int, F: int, pool: bool, argmax: Any, scale: Any,
    D: Any, at: int, row: int, plane: int, db: Any,
) -> None:  # fmt: skip
    """Transpose of `finish` and `drop`: from a row of dY one of dZ, or two with pooling; adds up
    db.
    """
    none, factor = zeros(1), numbers(1, scale)
    for f in range(F):
        total = zeros(1)
        for j in range(cols):
            won = load_bytes(argmax, (f * cols + j) * LANES)
            d = load(1, dY, f * y_plane + j * LANES, 0) * factor
            d = where_above(none, won, none, d)  # -1
            total = total + d
            if pool:
                for k in range(4):
                    to = at + f * plane + (2 * j + k % 2) * LANES + k // 2 * row
                    store(where_equal(won, numbers(1, np.float32(k)), d, none), D, to, 0)
            else:
                store(d, D, at + f * plane + j * LANES, 0)
        add_sums(total, db, f, 0, 1)


# -- a shard --------------------------------------------------------------------------------------


@cache
def forward(size: int) -> Any:
    """The kernel of a stage's forward, with blocks of so many filters."""
    convolve = convolution(size)

    @jit
    def run(
        x: Any, N: int, g: Any, taps: Any, W: Any, bias: Any, pool: bool, relu: bool,
        training: bool, X: Any, x_places: Any, Z: Any, Y: Any, y_places: Any, argmax: Any, y: Any,
        key_1: int, key_2: int, counter: int, dropped: int, scale: Any,
    ) -> None:  # fmt: skip
        """y of the N images x, both flat; argmax (groups * H_y, F * W_y * 16), or one row if not
        training.
        """
        each = 2 if pool else 1  # rows of Z for a row of y
        H_y, W_y = g.H_out // each, g.W_out // each
        blocks = -(-g.F // size)
        z_row, z_plane = len(Z) // 2, len(Z) // (2 * blocks * size)
        y_plane = len(Y) // g.F
        for first in range(0, N, LANES):
            interleave(x, N, g.H, g.W * g.C, first, 0, g.H, X, g.x_at, g.x_row, x_places)
            for i in range(H_y):
                convolve(
                    X, i * each * g.S_h * g.x_row, g.S_h * g.x_row, g.x_plane, g.S_w * LANES,
                    taps, g.C, W, Z, 0, z_row, z_plane, LANES, each, g.W_out, blocks,
                )  # fmt: skip
                own = argmax[first // LANES * H_y + i if training else 0]
                finish(Z, z_row, z_plane, W_y, g.F, bias, pool, relu, Y, y_plane, own)
                if dropped > 0:
                    cell, apart = counter + (first * H_y + i) * W_y * g.F, H_y * W_y * g.F
                    drop(Y, y_plane, W_y, g.F, own, key_1, key_2, cell, apart, dropped, scale)
                separate(Y, 0, 0, y_places, y, N, H_y, W_y * g.F, first, i, 1)

    return run


@cache
def backward(taps: int, filters: int, size: int) -> Any:
    """The kernel of a stage's backward: dW by tiles of so many taps and filters, dX by blocks of so
    many channels.
    """
    add_gradient, convolve = weights_gradient(taps, filters), convolution(size)

    @jit
    def run(
        x: Any, dy: Any, N: int, g: Any, argmax: Any, pool: bool, scale: Any,
        together: int, X: Any, x_places: Any, Y: Any, y_places: Any, D: Any, db: Any, parts: int,
        dW: Any, remainders: Any, cells: Any, W_T: Any, dX: Any, dx_places: Any, dx: Any,
    ) -> None:  # fmt: skip
        """Adds to db and dW, and writes dx, from the images x and dy; all flat. X and D
        hold `together` groups.

        A row of `remainders` describes a convolution (`Remainders`); without any there is no dx.
        """
        each = 2 if pool else 1
        H_y, W_y = g.H_out // each, g.W_out // each
        y_plane, F = len(Y) // g.F, g.d_row // g.d_plane
        x_size, d_size = len(X) // together, len(D) // together
        for first in range(0, N, LANES):
            group = first // LANES % together
            X_own, D_own = X[group * x_size :], D[group * d_size :]
            interleave(x, N, g.H, g.W * g.C, first, 0, g.H, X_own, g.x_at, g.x_row, x_places)
            for i in range(H_y):
                interleave(dy, N, H_y, W_y * g.F, first, i, 1, Y, 0, 0, y_places)
                to, own = g.d_at + i * each * g.d_row, argmax[first // LANES * H_y + i]
                spread(Y, y_plane, W_y, g.F, pool, own, scale, D_own, to, g.d_row, g.d_plane, db)
            if group + 1 == together or first + LANES >= N:
                add_gradient(
                    X, x_size, g.S_h * g.x_row, g.x_plane, g.S_w * LANES, g.D_h * g.x_row,
                    g.D_w * LANES, D, d_size, g.d_at, g.d_row, g.d_plane, group + 1, g.H_out,
                    g.W_out, dW, g.K_h, parts, g.C, F,
                )  # fmt: skip
            for k in range(len(remainders)):
                d_at, dx_at, rows, cols, cell, cells_end, w, w_end = remainders[k]
                convolve(
                    D_own, d_at, g.d_row, g.d_plane, LANES, cells[cell:cells_end], g.F,
                    W_T[w:w_end], dX, dx_at, g.S_h * g.dx_row, g.dx_plane, g.S_w * LANES, rows,
                    cols, -(-g.C // size),
                )  # fmt: skip
            if len(remainders):
                separate(dX, 0, g.dx_row, dx_places, dx, N, g.H, g.W * g.C, first, 0, g.H)

    return run


@cache
def transposed_forward(size: int) -> Any:
    """The kernel of a transposed convolution's forward, with blocks of so many filters.

    It is the dX of a convolution that leads from its images to x: what is dZ there is x here.
    """
    convolve = convolution(size)

    @jit
    def run(
        x: Any, N: int, g: Any, D: Any, d_places: Any, remainders: Any, offsets: Any, W: Any,
        dX: Any, dx_places: Any, z: Any,
    ) -> None:  # fmt: skip
        """z of the N images x, both flat."""
        row = g.W_out * g.F
        for first in range(0, N, LANES):
            interleave(x, N, g.H_out, row, first, 0, g.H_out, D, g.d_at, g.d_row, d_places)
            for k in range(len(remainders)):
                d_at, dx_at, rows, cols, cell, end, w, w_end = remainders[k]
                convolve(
                    D, d_at, g.d_row, g.d_plane, LANES, offsets[cell:end], g.F, W[w:w_end],
                    dX, dx_at, g.S_h * g.dx_row, g.dx_plane, g.S_w * LANES, rows, cols,
                    -(-g.C // size),
                )  # fmt: skip
            separate(dX, 0, g.dx_row, dx_places, z, N, g.H, g.W * g.C, first, 0, g.H)

    return run


@cache
def transposed_backward(taps: int, filters: int, size: int) -> Any:
    """The kernel of a transposed convolution's backward: dW by tiles of so many taps and filters,
    dx, which is that convolution's z, by blocks of so many channels.
    """
    add_gradient, convolve = weights_gradient(taps, filters), convolution(size)

    @jit
    def run(
        x: Any, dz: Any, N: int, g: Any, together: int, X: Any, x_places: Any, D: Any,
        d_places: Any, parts: int, dW: Any, offsets: Any, W: Any, Z: Any, z_places: Any, dx: Any,
    ) -> None:  # fmt: skip
        """Adds to dW, and writes dx, from the images x and dz; all flat. Without W, no dx. X and D
        hold `together` groups.
        """
        row, blocks = g.W_out * g.F, -(-g.F // size)
        z_plane, F = len(Z) // (2 * blocks * size), g.d_row // g.d_plane
        x_size, d_size = len(X) // together, len(D) // together
        for first in range(0, N, LANES):
            group = first // LANES % together
            X_own, D_own = X[group * x_size :], D[group * d_size :]
            interleave(dz, N, g.H, g.W * g.C, first, 0, g.H, X_own, g.x_at, g.x_row, x_places)
            interleave(x, N, g.H_out, row, first, 0, g.H_out, D_own, g.d_at, g.d_row, d_places)
            if group + 1 == together or first + LANES >= N:
                add_gradient(
                    X, x_size, g.S_h * g.x_row, g.x_plane, g.S_w * LANES, g.D_h * g.x_row,
                    g.D_w * LANES, D, d_size, g.d_at, g.d_row, g.d_plane, group + 1, g.H_out,
                    g.W_out, dW, g.K_h, parts, g.C, F,
                )  # fmt: skip
            for i in range(g.H_out if len(W) else 0):
                convolve(
                    X_own, i * g.S_h * g.x_row, 0, g.x_plane, g.S_w * LANES, offsets, g.C, W,
                    Z, 0, 0, z_plane, LANES, 1, g.W_out, blocks,
                )  # fmt: skip
                separate(Z, 0, 0, z_places, dx, N, g.H_out, row, first, i, 1)

    return run

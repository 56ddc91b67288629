"""Convolution of any window, stride and dilation by implicit im2col: a matrix product whose rows
are the windows, which are read where they lie in the image.

A row of a window is one run of K_w * C numbers in the image, or K_w runs of C if it is dilated; the
windows of neighbouring pixels begin x_col = S_w * C numbers apart. So with a run's number r, and k
for a number in it:

    z[i, j, f] = sum of X[i x_row + j x_col + runs[r] + k] * W[r, k, f] over r and k
    dW[r, k, f] = sum of X[i x_row + j x_col + runs[r] + k] * dz[i, j, f] over i, j and the images
    dx = for each phase of the stride a sum as for z: of dz, with W transposed (`layout.Remainders`)

Tiles of up to sixteen vectors of sums stay in registers, as in `products.py`: eight pixels of a row
by 32 filters, or eight numbers of a run by 32 filters for dW (`tiles.Tile` has all sizes). Runs in
the padding above and below are left out. Every window of z is summed in the same order, so an
image's result does not depend on its neighbours.

X and D, which is dz in dx, are the images with their padding; images without padding are read from
x itself. A shard goes a group of images at a time, so that what stands behind the product, and
backward's three passes over dz, find their numbers in the cache. All arrays are flat, but for those
of what stands behind the product, (images, H, W, filters).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from minicnn.engine.depthwise import framed
from minicnn.engine.normalization import normalize
from minicnn.engine.passes import gradient_of_product, rows_in_a_sum
from minicnn.engine.vectors import (
    LANES,
    add_outer,
    load,
    store,
    store_rows,
    transposed,
    where_at_most,
    zeros,
)
from minicnn.kernels.compiler import jit, jit_fma, wide_vectors


@cache
def correlation(pixels: int, vectors: int) -> Any:
    """The kernel for tiles of so many pixels and so many vectors of filters."""
    tile, width = pixels * vectors, vectors * LANES

    @jit_fma
    def correlate(
        X: Any, x_at: int, x_row: int, x_col: int, runs: Any, K: int, spans: Any, W: Any, F: int,
        bias: Any, ones: Any, relu: bool, Z: Any, z_at: int, z_row: int, z_col: int, cols: int,
    ) -> None:  # fmt: skip
        """Z of one image, with the bias and ReLU if there is a bias.

        spans (rows, 2) are the first and the end of the runs of each row of Z that do not lie in
        the padding above and below. W is (runs, K, F). There have to be `pixels` columns and
        `width` filters or more; tiles at the end overlap those before.
        """
        wide_vectors()
        for i in range(len(spans)):
            first, end = spans[i]
            for begin in range(0, F, width):
                f = min(begin, F - width)
                for start in range(0, cols, pixels):
                    j = min(start, cols - pixels)
                    acc, w = zeros(tile), first * K * F + f
                    for r in range(first, end):
                        x = x_at + i * x_row + j * x_col + runs[r]
                        for _ in range(K):
                            acc = add_outer(acc, load(vectors, W, w, LANES), X, x, x_col, pixels)
                            x += 1
                            w += F
                    if len(bias):
                        acc = add_outer(acc, load(vectors, bias, f, LANES), ones, 0, 0, pixels)
                        if relu:
                            acc = where_at_most(acc, zeros(tile), zeros(tile), acc)
                    store_rows(acc, Z, z_at + i * z_row + j * z_col + f, LANES, pixels, z_col)

    return correlate


@cache
def weights_gradient(numbers: int, vectors: int) -> Any:
    """The kernel for tiles of so many numbers of a run and so many vectors of filters."""
    tile, width = numbers * vectors, vectors * LANES

    @jit_fma
    def add_gradient(
        X: Any, x_at: int, x_size: int, x_row: int, x_col: int, runs: Any, K: int, reach: Any,
        dz: Any, dz_at: int, images: int, rows: int, cols: int, F: int, dW: Any,
    ) -> None:  # fmt: skip
        """Adds to dW, tile after tile, what the images give; those of X begin x_size apart.

        reach (runs, 2) are the first and the end of the rows of dz whose run is not padding.
        """
        wide_vectors()
        step, to = rows_in_a_sum(rows, cols), 0
        for r in range(len(runs)):
            for first in range(0, K, numbers):
                k = min(first, K - numbers)
                for begin in range(0, F, width):
                    f = min(begin, F - width)
                    for top in range(0, rows, step):
                        acc = zeros(tile)
                        i_0, i_1 = max(top, reach[r, 0]), min(top + step, reach[r, 1])
                        for n in range(images):
                            for i in range(i_0, i_1):
                                d = dz_at + (n * rows + i) * cols * F + f
                                x = x_at + n * x_size + i * x_row + runs[r] + k
                                for _ in range(cols):
                                    at_pixel = load(vectors, dz, d, LANES)
                                    acc = add_outer(acc, at_pixel, X, x, 1, numbers)
                                    x += x_col
                                    d += F
                        store(acc + load(tile, dW, to, LANES), dW, to, LANES)
                    to += tile * LANES

    return add_gradient


@cache
def from_tiles(numbers: int, vectors: int) -> Any:
    """The kernel that puts the tiles of dW in order."""
    tile, width = numbers * vectors, vectors * LANES

    @jit
    def ordered(tiles: Any, runs: int, K: int, F: int, dW: Any) -> None:
        """dW (runs, K, F); tiles at the end may overlap those before, with the same numbers."""
        at = 0
        for r in range(runs):
            for first in range(0, K, numbers):
                k = min(first, K - numbers)
                for begin in range(0, F, width):
                    to = (r * K + k) * F + min(begin, F - width)
                    store_rows(load(tile, tiles, at, LANES), dW, to, LANES, numbers, F)
                    at += tile * LANES

    return ordered


@jit
def transposed_weights(W: Any, cells: Any, C: int, F: int, W_T: Any, columns: int) -> None:
    """W_T (len(cells), F, columns) of those cells of W (cells, C, F); zeros beyond C."""
    for k in range(len(cells)):
        at, to = cells[k] * C * F, k * F * columns
        if C < LANES:
            for f in range(F):
                for c in range(columns):
                    W_T[to + f * columns + c] = W[at + c * F + f] if c < C else np.float32(0)
            continue
        for first in range(0, C, LANES):
            c = min(first, C - LANES)
            for begin in range(0, F, LANES):
                f = min(begin, F - LANES)
                square = transposed(load(LANES, W, at + c * F + f, F))
                store(square, W_T, to + f * columns + c, columns)


# -- a shard --------------------------------------------------------------------------------------


@cache
def forward(pixels: int, vectors: int) -> Any:
    """The kernel of a product, with tiles of so many pixels and vectors."""
    correlate = correlation(pixels, vectors)

    @jit
    def run(
        x: Any, first: int, stop: int, g: Any, pads: bool, runs: Any, K: int, spans: Any, W: Any,
        bias: Any, ones: Any, relu: bool, X: Any, z: Any,
    ) -> None:  # fmt: skip
        """z (images, H_out, W_out, F) of the images x from number first to stop."""
        each, size = g.H * g.W * g.C, g.H_out * g.W_out * g.F
        source, to = X if pads else x, z.reshape(-1)
        for n in range(first, stop):
            if pads:
                framed(x, n * each, g.H, g.W * g.C, X, g.x_at, g.x_row)
            correlate(
                source, 0 if pads else n * each, g.S_h * g.x_row, g.S_w * g.C, runs, K, spans, W,
                g.F, bias, ones, relu, to, (n - first) * size, g.W_out * g.F, g.F, g.W_out,
            )  # fmt: skip

    return run


@cache
def finished(pixels: int, vectors: int) -> Any:
    """The kernel of a product with pooling or dropout behind it."""
    multiply = forward(pixels, vectors)

    @jit
    def run(
        x: Any, N: int, g: Any, pads: bool, runs: Any, K: int, spans: Any, W: Any, bias: Any,
        ones: Any, relu: bool, X: Any, pool: bool, Z: Any, no_bias: Any, no_mean: Any, y: Any,
        argmax: Any, key_1: int, key_2: int, counter: int, dropped: int, scale: Any,
    ) -> None:  # fmt: skip
        """y of the N images x, by way of Z, which is for a group of images."""
        group = len(Z)
        for first in range(0, N, group):
            stop = min(first + group, N)
            own = y[first:stop]
            multiply(x, first, stop, g, pads, runs, K, spans, W, no_bias, ones, relu, X, Z)
            normalize(
                Z, no_mean, ones, bias, pool, relu, own, argmax[first:stop], key_1, key_2,
                counter + first * own[0].size, dropped, scale,
            )  # fmt: skip

    return run


@cache
def gradient_of_images(numbers: int, vectors: int) -> Any:
    """The kernel of dW for some images, with tiles of so many numbers and vectors."""
    add_gradient = weights_gradient(numbers, vectors)

    @jit
    def run(
        x: Any, first: int, stop: int, g: Any, pads: bool, runs: Any, K: int, reach: Any, X: Any,
        dz: Any, dz_at: int, tiles: Any,
    ) -> None:  # fmt: skip
        """Adds to the tiles what the images from number first to stop give; X has room for them."""
        each = g.H * g.W * g.C
        size = g.x_rows * g.x_row if pads else each
        for n in range(first, stop if pads else first):
            framed(x, n * each, g.H, g.W * g.C, X, (n - first) * size + g.x_at, g.x_row)
        add_gradient(
            X if pads else x, 0 if pads else first * each, size, g.S_h * g.x_row, g.S_w * g.C, runs,
            K, reach, dz, dz_at, stop - first, g.H_out, g.W_out, g.F, tiles,
        )  # fmt: skip

    return run


@cache
def dx_of_image(wide: tuple[int, int], narrow: tuple[int, int]) -> Any:
    """The kernel of dx for an image, with tiles of so many pixels and vectors in its wider and in
    its narrower phases.
    """
    correlate, correlate_narrow = correlation(*wide), correlation(*narrow)

    @jit
    def run(
        dz: Any, dz_at: int, g: Any, D: Any, phases: Any, runs: Any, spans: Any, W_T: Any, C: int,
        no_bias: Any, ones: Any, dx: Any, n: int,
    ) -> None:  # fmt: skip
        """dx of image n, of C channels; a row of `phases` is a correlation (`tiles.PartsOfDx`)."""
        framed(dz, dz_at, g.H_out, g.W_out * g.F, D, g.d_at, g.d_row)
        row, col = g.S_h * g.W * C, g.S_w * C
        relu = len(no_bias) > 0  # it is not; for a constant `correlate` would be compiled anew
        for k in range(len(phases)):
            is_narrow, d_at, dx_at, span, span_end, cols, begin, end, w, K = phases[k]
            own, weights = runs[begin:end], W_T[w:]
            to, rows = n * g.H * g.W * C + dx_at, spans[span:span_end]
            if is_narrow:
                correlate_narrow(
                    D, d_at, g.d_row, g.F, own, K, rows, weights, C, no_bias, ones, relu, dx, to,
                    row, col, cols,
                )  # fmt: skip
            else:
                correlate(
                    D, d_at, g.d_row, g.F, own, K, rows, weights, C, no_bias, ones, relu, dx, to,
                    row, col, cols,
                )  # fmt: skip

    return run


@jit
def no_dx(
    dz: Any, dz_at: int, g: Any, D: Any, phases: Any, runs: Any, spans: Any, W_T: Any, C: int,
    no_bias: Any, ones: Any, dx: Any, n: int,
) -> None:  # fmt: skip
    """In the place of `dx_of_image`, which takes a second to compile, where no dx is wanted."""


@cache
def backward(
    dW_tile: tuple[int, int], dx_tiles: tuple[tuple[int, int], tuple[int, int]] | None
) -> Any:
    """The kernel of a stage's backward, with such tiles of dW, and the two of dx or none."""
    add_gradient = gradient_of_images(*dW_tile)
    write_dx = dx_of_image(*dx_tiles) if dx_tiles else no_dx

    @jit
    def run(
        x: Any, dy: Any, N: int, g: Any, pads: bool, runs: Any, K: int, reach: Any, X: Any,
        made: bool, relu: bool, pool: bool, y: Any, argmax: Any, scale: Any, group: int, dZ: Any,
        db: Any, part: Any, tiles: Any, D: Any, phases: Any, runs_of_dx: Any, spans: Any, W_T: Any,
        C: int, no_bias: Any, ones: Any, dx: Any,
    ) -> None:  # fmt: skip
        """Adds to dW's tiles, and writes dx, from the images x and dy; X and dZ are for a group.

        dy is dz if that is already `made`; else dz is made here, and db. Without `phases`, no dx.
        """
        size = g.H_out * g.W_out * g.F
        dz = dy.reshape(-1) if made else dZ.reshape(-1)
        for first in range(0, N, group):
            stop = min(first + group, N)
            if not made:
                gradient_of_product(
                    dy[first:stop], y[first:stop], argmax[first:stop], pool, relu, scale,
                    dZ[: stop - first], part,
                )  # fmt: skip
                db += part
            dz_at = first * size if made else 0
            add_gradient(x, first, stop, g, pads, runs, K, reach, X, dz, dz_at, tiles)
            for n in range(first, stop if len(phases) else first):
                write_dx(
                    dz, dz_at + (n - first) * size, g, D, phases, runs_of_dx, spans, W_T, C,
                    no_bias, ones, dx, n,
                )  # fmt: skip

    return run


# -- transposed convolutions: the dx of a convolution that leads from their images to x ------------


@cache
def transposed_forward(wide: tuple[int, int], narrow: tuple[int, int]) -> Any:
    """The kernel of a transposed convolution's z, with such tiles."""
    write_z = dx_of_image(wide, narrow)

    @jit
    def run(
        x: Any, N: int, g: Any, D: Any, phases: Any, runs: Any, spans: Any, W_T: Any, C: int,
        no_bias: Any, ones: Any, z: Any,
    ) -> None:  # fmt: skip
        """z, of C channels, of the N images x."""
        for n in range(N):
            write_z(
                x, n * g.H_out * g.W_out * g.F, g, D, phases, runs, spans, W_T, C, no_bias, ones,
                z, n,
            )  # fmt: skip

    return run


@cache
def transposed_gradient(numbers: int, vectors: int) -> Any:
    """The kernel of a transposed convolution's dW, with tiles of so many numbers and vectors."""
    add_gradient = gradient_of_images(numbers, vectors)

    @jit
    def run(
        dz: Any, N: int, g: Any, pads: bool, runs: Any, K: int, reach: Any, X: Any, group: int,
        x: Any, tiles: Any,
    ) -> None:  # fmt: skip
        """Adds to dW's tiles what the N images dz and x give, a group at a time."""
        for first in range(0, N, group):
            stop, at = min(first + group, N), first * g.H_out * g.W_out * g.F
            add_gradient(dz, first, stop, g, pads, runs, K, reach, X, x, at, tiles)

    return run

"""Matrix products in tiles that stay in registers: dense layers and 1x1 convolutions.

BLAS packs both matrices into buffers before it multiplies. Ours have few columns or few rows, and
packing them takes as long as a good part of the product; these kernels read them where they are,
but for the weights of dx. A tile holds the sums of eight samples for 32 units (forward), of sixteen
inputs for 16 units (dW), or of eight samples for 32 inputs (dx):

    y[n, u]  = sum of x[n, k] * W[k, u] over k, in equal blocks of up to 256 that are added up
    dW[k, u] = sum of x[n, k] * dz[n, u] over n, likewise
    dx[n, k] = sum of dz[n, u] * W[k, u] over u, with the weights of a block transposed

Forward adds the bias and takes ReLU while the tile is still in registers. Where the number of
columns is no multiple of a block, the last block overlaps the one before. Layers with fewer than 16
units are padded with zeros. dW and dx of fewer than 16 inputs, and forward of more than `WIDEST`
units, are left to BLAS; the choice depends only on the numbers of inputs and units. In tiles the
order of a sum depends only on its length, so a sample's result does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.calls import at_once
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

Array = NDArray[Any]

SAMPLES = 8  # in a tile
ROWS = 64  # samples that stay in the cache while all units pass
BLOCK = 256  # the most products that are added up in registers
WIDEST = 2048  # units, for forward: the rows of a tile's weights lie too far apart beyond

ONE = np.ones(1, np.float32)
NO_BIAS = np.zeros(0, np.float32)


def forward(
    x: Array, W: Array, y: Array, buffer: Callable[..., Array],
    bias: Array | None = None, *, relu: bool = False, call: Callable[..., None] = at_once,
) -> None:  # fmt: skip
    """y = x @ W, with bias and ReLU if they are given."""
    (N, K), units = x.shape, W.shape[1]
    if units > WIDEST:
        call(np.matmul, x, W, y)
        if bias is not None:
            call(np.add, y, bias, y)
        if relu:
            call(partial(np.maximum, out=y), y, 0)
        return
    bias = NO_BIAS if bias is None else bias
    columns = max(units, LANES)
    sums, given = buffer("sums", (sums_size(K, columns),)), (x.reshape(-1), W.reshape(-1))
    if units == columns:
        call(
            multiply(vectors_for(columns), samples_in_a_tile(N)),
            *given, bias, ONE, relu, sums, y.reshape(-1), N, K, columns,
        )  # fmt: skip
        return
    wide_W, wide_y = buffer("wide W", (K * LANES,)), buffer("wide y", (N * LANES,))
    wide_bias = buffer("wide bias", (min(len(bias), 1) * LANES,))
    call(
        multiply_padded(samples_in_a_tile(N)),
        *given, bias, ONE, relu, sums, wide_W, wide_bias, wide_y, y.reshape(-1), N, K, units,
        columns,
    )  # fmt: skip


def backward_weights(x: Array, dz: Array, dW: Array, buffer: Callable[..., Array]) -> None:
    """dW = x.T @ dz; a layer of the user's may have made dz of another type."""
    (N, K), units = x.shape, dz.shape[1]
    if K < LANES:
        np.matmul(x.T, dz, out=dW)
        return
    dz = np.ascontiguousarray(dz, np.float32)
    given = x.reshape(-1), dz.reshape(-1)
    if units >= LANES:
        outer(*given, dW.reshape(-1), N, K, units)
        return
    wide_dz, wide_dW = buffer("wide dz", (N * LANES,)), buffer("wide dW", (K * LANES,))
    outer_padded(*given, wide_dz, wide_dW, dW.reshape(-1), N, K, units, LANES)


def backward_inputs(dz: Array, W: Array, dx: Array, buffer: Callable[..., Array]) -> None:
    """dx = dz @ W.T."""
    (N, K), units = dx.shape, dz.shape[1]
    if K < LANES:
        np.matmul(dz, W.T, out=dx)
        return
    dz, vectors, columns = np.ascontiguousarray(dz, np.float32), vectors_for(K), max(units, LANES)
    W_T = buffer("W_T", (columns * vectors * LANES,))
    given, rest = (dz.reshape(-1), W.reshape(-1)), (W_T, dx.reshape(-1), N, K)
    if units == columns:
        multiply_transposed(vectors, samples_in_a_tile(N))(
            *given, NO_BIAS, ONE, False, *rest, units, 0
        )
        return
    wide_dz, wide_W = buffer("wide dz", (N * LANES,)), buffer("wide W", (K * LANES,))
    multiply_transposed_padded(vectors, samples_in_a_tile(N))(
        *given, NO_BIAS, ONE, False, wide_dz, wide_W, *rest, units, columns, 0
    )


def sums_size(K: int, units: int) -> int:
    """Numbers that `multiply` keeps from one block of inputs to the next."""
    width = vectors_for(units) * LANES
    return 0 if K <= BLOCK else (ROWS + SAMPLES) * -(-units // width) * width


def vectors_for(columns: int) -> int:
    """Vectors of 16 columns in a tile."""
    return 1 if columns < 2 * LANES else 2


def samples_in_a_tile(N: int) -> int:
    """Samples in a tile; with fewer than SAMPLES they go one by one."""
    return SAMPLES if N >= SAMPLES else 1


def widened(
    a: Array, buffer: Callable[..., Array], name: str, call: Callable[..., None] = at_once
) -> Array:
    """a; where its last axis is shorter than sixteen, padded to that with zeros."""
    if a.shape[-1] >= LANES:
        return a
    wide = buffer(f"wide {name}", (*a.shape[:-1], LANES))
    call(_pad, a.reshape(-1), a.size // a.shape[-1], a.shape[-1], wide.reshape(-1))
    return wide


def narrowed(
    a: Array,
    columns: int,
    buffer: Callable[..., Array],
    name: str,
    call: Callable[..., None] = at_once,
) -> Array:
    """The first numbers of the last axis, of which there are sixteen or `columns`, contiguous."""
    if a.shape[-1] == columns:
        return a
    out = buffer(f"narrow {name}", (*a.shape[:-1], columns))
    call(_unpad, a.reshape(-1), out.size // columns, columns, out.reshape(-1))
    return out


@jit
def block_size(total: int) -> int:
    """Of so many products, those in a block: equal ones, as a last of a few costs like a whole."""
    blocks = max(1, -(-total // BLOCK))
    return max(1, -(-total // blocks))


@jit
def _pad(a: Any, rows: int, columns: int, padded: Any) -> None:
    for r in range(rows):
        for c in range(LANES):
            padded[r * LANES + c] = a[r * columns + c] if c < columns else np.float32(0)


@jit
def _unpad(padded: Any, rows: int, columns: int, out: Any) -> None:
    for r in range(rows):
        for c in range(columns):
            out[r * columns + c] = padded[r * LANES + c]


# -- y = x W --------------------------------------------------------------------------------------
#
# numba compiles a kernel anew for each constant that another one gives it; where that is not
# wanted, the number comes as an argument from Python. Rows of fewer than 16 units are padded in
# the kernel that needs them so: each call from Python gives up the interpreter's lock, for which
# it then waits while another shard's thread holds it.


@cache
def multiply(vectors: int, samples: int) -> Any:
    """The kernel of forward for tiles of so many vectors and samples, of which there have to be so
    many; all its arrays are flat.
    """
    width, add = vectors * LANES, sums_of(vectors, samples)

    @jit_fma
    def forward(
        x: Any, W: Any, bias: Any, ones: Any, relu: bool, sums: Any, y: Any, N: int, K: int,
        units: int,
    ) -> None:  # fmt: skip
        for top in range(0, N, ROWS):
            bottom, size = min(top + ROWS, N), block_size(K)
            for start in range(0, K, size):
                stop = min(start + size, K)
                for begin in range(0, units, width):
                    u = min(begin, units - width)
                    add(
                        x, K, W, start * units + u, units, bias, ones, relu,
                        sums, begin * (ROWS + SAMPLES), y, units, u, N, top, bottom, start, stop,
                    )  # fmt: skip

    return forward


@cache
def multiply_padded(samples: int) -> Any:
    run = multiply(1, samples)

    @jit
    def forward(
        x: Any, W: Any, bias: Any, ones: Any, relu: bool, sums: Any, wide_W: Any, wide_bias: Any,
        wide_y: Any, y: Any, N: int, K: int, units: int, columns: int,
    ) -> None:  # fmt: skip
        """`multiply` with W, bias and y padded from `units` to `columns`."""
        _pad(W, K, units, wide_W)
        if len(bias):
            _pad(bias, 1, units, wide_bias)
        run(x, wide_W, wide_bias, ones, relu, sums, wide_y, N, K, columns)
        _unpad(wide_y, N, units, y)

    return forward


@cache
def sums_of(vectors: int, samples: int) -> Any:
    """Sums of products, for tiles of so many vectors of columns and so many samples."""
    tile = vectors * samples

    @jit_fma
    def add(
        x: Any, x_row: int, W: Any, w: int, w_row: int, bias: Any, ones: Any, relu: bool,
        sums: Any, held: int, y: Any, y_row: int, column: int, N: int, top: int, bottom: int,
        start: int, stop: int,
    ) -> None:  # fmt: skip
        """Columns `column` and on of y, for samples top to bottom of N, from start to stop of k."""
        wide_vectors()
        for first in range(top, bottom, samples):
            n = min(first, N - samples)
            acc, row = zeros(tile), w
            for k in range(start, stop):
                acc = add_outer(acc, load(vectors, W, row, LANES), x, n * x_row + k, x_row, samples)
                row += w_row
            place = held + (first - top) * vectors * LANES
            if start > 0:
                acc = acc + load(tile, sums, place, LANES)
            if stop < x_row:
                store(acc, sums, place, LANES)
            else:
                if len(bias):
                    acc = add_outer(acc, load(vectors, bias, column, LANES), ones, 0, 0, samples)
                if relu:
                    acc = where_at_most(acc, zeros(tile), zeros(tile), acc)
                store_rows(acc, y, n * y_row + column, LANES, samples, y_row)

    return add


# -- dW = x^T dz ----------------------------------------------------------------------------------


@jit_fma
def outer(x: Any, dz: Any, dW: Any, N: int, K: int, units: int) -> None:
    """dW (K, units)."""
    wide_vectors()
    size = block_size(N)
    for row in range(0, K, LANES):
        k = min(row, K - LANES)
        for column in range(0, units, LANES):
            u = min(column, units - LANES)
            total = zeros(LANES)
            for start in range(0, N, size):
                acc = zeros(LANES)
                for n in range(start, min(start + size, N)):
                    acc = add_outer(acc, load(1, dz, n * units + u, 0), x, n * K + k, 1, LANES)
                total = total + acc if start else acc
            store(total, dW, k * units + u, units)


@jit
def outer_padded(
    x: Any, dz: Any, wide_dz: Any, wide_dW: Any, dW: Any, N: int, K: int, units: int, columns: int
) -> None:  # fmt: skip
    _pad(dz, N, units, wide_dz)
    outer(x, wide_dz, wide_dW, N, K, columns)
    _unpad(wide_dW, K, units, dW)


# -- dx = dz W^T ----------------------------------------------------------------------------------


@cache
def multiply_transposed(vectors: int, samples: int) -> Any:
    width, add = vectors * LANES, sums_of(vectors, samples)

    @jit_fma
    def backward_inputs(
        dz: Any, W: Any, none: Any, ones: Any, relu: bool, W_T: Any, dx: Any, N: int, K: int,
        units: int, zero: int,
    ) -> None:  # fmt: skip
        """All flat; W_T (units, width) is for the weights of a block."""
        wide_vectors()
        row = zero + width
        for top in range(0, N, ROWS):
            bottom = min(top + ROWS, N)
            for first in range(0, K, width):
                k = min(first, K - width)
                for begin in range(0, units, LANES):
                    u = min(begin, units - LANES)
                    for q in range(0, width, LANES):
                        square = transposed(load(LANES, W, (k + q) * units + u, units))
                        store(square, W_T, u * width + q, width)
                add(
                    dz, units, W_T, zero, row, none, ones, relu,
                    none, zero, dx, K, k, N, top, bottom, zero, units,
                )  # fmt: skip

    return backward_inputs


@cache
def multiply_transposed_padded(vectors: int, samples: int) -> Any:
    run = multiply_transposed(vectors, samples)

    @jit
    def backward_inputs(
        dz: Any, W: Any, none: Any, ones: Any, relu: bool, wide_dz: Any, wide_W: Any, W_T: Any,
        dx: Any, N: int, K: int, units: int, columns: int, zero: int,
    ) -> None:  # fmt: skip
        _pad(dz, N, units, wide_dz)
        _pad(W, K, units, wide_W)
        run(wide_dz, wide_W, none, ones, relu, W_T, dx, N, K, columns, zero)

    return backward_inputs

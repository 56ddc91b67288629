"""The matrix products of a dense layer, in tiles that stay in registers.

BLAS packs both matrices into buffers before it multiplies. For a layer with few units the packing
takes as long as the product; these kernels read the matrices in place. A tile holds the sums of
eight samples for 32 units (forward), of sixteen inputs for 16 units (dW), or of eight samples for
32 inputs (dx):

    y[n, u]  = sum of x[n, k] * W[k, u] over k, in blocks of 256 that are added up
    dW[k, u] = sum of x[n, k] * dz[n, u] over n
    dx[n, k] = sum of dz[n, u] * W[k, u] over u, with the weights of a block transposed

Where the number of columns is no multiple of a block, the last block overlaps the one before.
Layers with fewer than 16 units are padded with zeros. Layers with fewer than 16 inputs, and
products of many samples and units, are left to BLAS; the choice depends only on the shapes.
In tiles the order of a sum depends only on its length, so a sample's result does not depend on its
neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.vectors import LANES, add_outer, load, store, store_rows, transposed, zeros
from minicnn.kernels.compiler import jit_fma, wide_vectors

Array = NDArray[Any]

SAMPLES = 8  # in a tile
INPUTS = 256  # that are added up in registers

# For the samples of a training shard BLAS packs too much for too few products: with 64 samples, 784
# inputs and 512 units the tiles reach 102 GFLOP/s forward, 101 for dW and 80 for dx, BLAS 94, 81
# and 66 (on each of two threads of an EPYC). With many samples and units packing pays off.
FEW, MANY = 64, 2**14
WIDEST = 1024  # units, for forward: the rows of a tile's weights lie too far apart beyond


def _tiled(N: int, K: int, units: int) -> bool:
    return K >= LANES and (N <= FEW or N * units <= MANY)


def forward(x: Array, W: Array, y: Array, buffer: Callable[..., Array]) -> None:
    """y = x @ W."""
    (N, K), units = x.shape, W.shape[1]
    if not _tiled(N, K, units) or units > WIDEST:
        np.matmul(x, W, out=y)
        return
    W, out = _padded(W, buffer, "W"), y
    if units < LANES:
        out = buffer("padded y", (N, LANES))
    vectors = _vectors(out.shape[1])
    blocks = -(-out.shape[1] // (vectors * LANES))
    sums = buffer("sums", (N * blocks * vectors * LANES,))
    _forward(vectors)(x.reshape(-1), W.reshape(-1), sums, out.reshape(-1), N, K, out.shape[1])
    if out is not y:
        y[...] = out[:, :units]


def backward_weights(x: Array, dz: Array, dW: Array, buffer: Callable[..., Array]) -> None:
    """dW = x.T @ dz."""
    (N, K), units = x.shape, dz.shape[1]
    if not _tiled(N, K, units):
        np.matmul(x.T, dz, out=dW)
        return
    dz, out = _padded(dz, buffer, "dz"), dW
    if units < LANES:
        out = buffer("padded dW", (K, LANES))
    _backward_weights(x.reshape(-1), dz.reshape(-1), out.reshape(-1), N, K, out.shape[1])
    if out is not dW:
        dW[...] = out[:, :units]


def backward_inputs(dz: Array, W: Array, dx: Array, buffer: Callable[..., Array]) -> None:
    """dx = dz @ W.T."""
    N, K = dx.shape
    if not _tiled(N, K, dz.shape[1]):
        np.matmul(dz, W.T, out=dx)
        return
    dz, W = _padded(dz, buffer, "dz"), _padded(W, buffer, "W")
    units, vectors = W.shape[1], _vectors(K)
    dz_T = buffer("dz_T", (units * N,)).reshape(units, N)
    np.copyto(dz_T, dz.T)
    W_T = buffer("W_T", (units * vectors * LANES,))
    _backward_inputs(vectors)(dz_T.reshape(-1), W.reshape(-1), W_T, dx.reshape(-1), N, K, units)


def _padded(a: Array, buffer: Callable[..., Array], name: str) -> Array:
    """`a`, padded with columns of zeros to at least 16."""
    if a.shape[1] >= LANES:
        return np.ascontiguousarray(a, np.float32)
    padded = buffer(f"padded {name}", (len(a), LANES))
    padded[:, : a.shape[1]] = a
    padded[:, a.shape[1] :] = 0
    return padded


def _vectors(columns: int) -> int:
    """Vectors of 16 columns in a tile."""
    return 1 if columns < 2 * LANES else 2


@cache
def _forward(vectors: int) -> Any:
    width = vectors * LANES
    several, one = _sums(vectors, SAMPLES), _sums(vectors, 1)

    @jit_fma
    def forward(x: Any, W: Any, sums: Any, y: Any, N: int, K: int, units: int) -> None:
        """All flat; `sums` keeps the tiles from one block of inputs to the next."""
        for start in range(0, K, INPUTS):
            stop = min(start + INPUTS, K)
            for begin in range(0, units, width):
                u, held, n = min(begin, units - width), begin * N, 0
                while n + SAMPLES <= N:
                    several(x, W, sums, y, n, u, held + n * width, start, stop, K, units)
                    n += SAMPLES
                while n < N:
                    one(x, W, sums, y, n, u, held + n * width, start, stop, K, units)
                    n += 1

    return forward


@cache
def _sums(vectors: int, samples: int) -> Any:
    """Adds a block of inputs to the sums of one tile."""
    tile = vectors * samples

    @jit_fma
    def add_inputs(
        x: Any, W: Any, sums: Any, y: Any, n: int, u: int, held: int, start: int, stop: int, K: int,
        units: int,
    ) -> None:  # fmt: skip
        wide_vectors()
        acc = zeros(tile)
        for k in range(start, stop):
            acc = add_outer(acc, load(vectors, W, k * units + u, LANES), x, n * K + k, K, samples)
        if start > 0:
            acc = acc + load(tile, sums, held, LANES)
        if stop < K:
            store(acc, sums, held, LANES)
        else:
            store_rows(acc, y, n * units + u, LANES, samples, units)

    return add_inputs


@jit_fma
def _backward_weights(x: Any, dz: Any, dW: Any, N: int, K: int, units: int) -> None:
    wide_vectors()
    for first in range(0, K, LANES):
        k = min(first, K - LANES)
        for begin in range(0, units, LANES):
            u = min(begin, units - LANES)
            acc = zeros(LANES)
            for n in range(N):
                acc = add_outer(acc, load(1, dz, n * units + u, 0), x, n * K + k, 1, LANES)
            store(acc, dW, k * units + u, units)


@cache
def _backward_inputs(vectors: int) -> Any:
    width = vectors * LANES
    several, one = _shares(vectors, SAMPLES), _shares(vectors, 1)

    @jit_fma
    def backward_inputs(dz_T: Any, W: Any, W_T: Any, dx: Any, N: int, K: int, units: int) -> None:
        """All flat; W_T (units, width) is for the weights of a block."""
        wide_vectors()
        for first in range(0, K, width):
            k, n = min(first, K - width), 0
            for begin in range(0, units, LANES):
                u = min(begin, units - LANES)
                for q in range(0, width, LANES):
                    square = transposed(load(LANES, W, (k + q) * units + u, units))
                    store(square, W_T, u * width + q, width)
            while n + SAMPLES <= N:
                several(dz_T, W_T, dx, n, k, N, K, units)
                n += SAMPLES
            while n < N:
                one(dz_T, W_T, dx, n, k, N, K, units)
                n += 1

    return backward_inputs


@cache
def _shares(vectors: int, samples: int) -> Any:
    """Writes the dx of one tile."""
    tile, width = vectors * samples, vectors * LANES

    @jit_fma
    def add_units(
        dz_T: Any, W_T: Any, dx: Any, n: int, k: int, N: int, K: int, units: int
    ) -> None:  # fmt: skip
        wide_vectors()
        acc = zeros(tile)
        for u in range(units):
            acc = add_outer(acc, load(vectors, W_T, u * width, LANES), dz_T, u * N + n, 1, samples)
        store_rows(acc, dx, n * K + k, LANES, samples, K)

    return add_units

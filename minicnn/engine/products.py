"""The matrix products of a dense layer with many inputs and few units, in blocks.

BLAS copies both matrices into an order of its own before it multiplies. Where there are few units,
that takes as long as the multiplying. OpenBLAS leaves it out when a product needs at most 10^6
multiplications, so the K inputs of a shard are cut into blocks that stay below:

    y            = sum over the blocks of x[:, block] @ W[block]
    dW[block]    = x[:, block].T @ dz
    dx[:, block] = dz @ W[block].T

The blocks depend on the shapes alone, so a result does too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SMALL = 2**19  # multiplications in a product; half of the limit, so that all are surely below it
LARGEST = 4096  # n * units, of what is cut: with more, large products gain more than copies cost


@cache
def cut(n: int, K: int, units: int) -> tuple[tuple[slice, int], ...]:
    """Parts of the K inputs and how many blocks each is cut into: equal blocks, and what is left.

    >>> cut(64, 5408, 32)
    ((slice(0, 5376, None), 21), (slice(5376, 5408, None), 1))
    >>> cut(64, 5408, 128)
    ((slice(0, 5408, None), 1),)
    """
    size = SMALL // (n * units) // 16 * 16
    if n * units > LARGEST or size >= K:
        return ((slice(0, K), 1),)
    count, rest = divmod(K, size)
    return ((slice(0, K - rest), count), (slice(K - rest, K), 1))[: 2 if rest else 1]


def stacked(x: Array, count: int) -> Array:
    """x (n, K) seen as (count, n, K / count)."""
    return x.reshape(len(x), count, -1).transpose(1, 0, 2)


def forward(x: Array, W: Array, y: Array, buffer: Callable[..., Array]) -> None:
    """y = x @ W."""
    parts = cut(len(x), *W.shape)
    total = sum(count for _, count in parts)
    sums = buffer("sums", (total * y.size,)).reshape(total, *y.shape) if total > 1 else y[None]
    done = 0
    for part, count in parts:
        blocks = W[part].reshape(count, -1, W.shape[1])
        np.matmul(stacked(x[:, part], count), blocks, out=sums[done : done + count])
        done += count
    if total > 1:
        np.add.reduce(sums, axis=0, out=y)


def backward_weights(x: Array, dz: Array, dW: Array) -> None:
    """dW = x.T @ dz."""
    for part, count in cut(len(x), *dW.shape):
        blocks = dW[part].reshape(count, -1, dW.shape[1])
        np.matmul(stacked(x[:, part], count).transpose(0, 2, 1), dz, out=blocks)


def backward_inputs(dz: Array, W: Array, dx: Array, buffer: Callable[..., Array]) -> None:
    """dx = dz @ W.T."""
    parts = cut(len(dx), *W.shape)
    if len(parts) == 1 and parts[0][1] == 1:
        np.matmul(dz, W.T, out=dx)
        return
    K, units = W.shape
    W_T = buffer("W_T", (K * units,))  # transposed block by block: the products are faster so
    for part, count in parts:
        blocks = W[part].reshape(count, -1, units).transpose(0, 2, 1)
        own = W_T[part.start * units : part.stop * units].reshape(blocks.shape)
        np.copyto(own, blocks)
        np.matmul(dz, own, out=stacked(dx[:, part], count))

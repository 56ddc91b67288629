"""Batch normalization on shards, with ReLU, 2x2 max-pooling and dropout behind it.

A batch's mean and variance need all of its samples, so a training pass has two phases. In the first
each shard measures its own x; the shards' figures are combined in their order; in the second each
shard is normalized. Backward is the same: with x_hat = (x - mean) * inverse and d = dL/d(gamma *
x_hat + beta), the first phase sums d and d * x_hat, the second works out

    dx = gamma * inverse * (d - sum(d) / m - x_hat * sum(d * x_hat) / m)

over the m cells of a channel in the batch.

Means and variances have to be right for an x far from 0, too: each image is measured around its own
mean (two passes; rows (n, C) are an image of n pixels). Sums of up to 256 pixels are taken in
float32, sums of these in float64, and images and shards are combined in float64 by the formula of
Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.engine.passes import SUMMED
from minicnn.kernels.compiler import jit, jit_fma
from minicnn.kernels.fast import keep


@jit
def combine(
    count: float, mean: Any, squares: Any, more: float, its_mean: Any, its_squares: Any
) -> float:
    """Take `more` cells into the mean (C,) and the sum of squared deviations (C,) of `count`."""
    total = count + more
    for c in range(len(mean)):
        delta = its_mean[c] - mean[c]
        mean[c] += delta * (more / total)
        squares[c] += its_squares[c] + delta * delta * (count * more / total)
    return total


@jit
def agree(figures: Any, gamma: Any, beta: Any, epsilon: float, of_batch: Any) -> None:
    """What all shards need, of the figures of each (shards, 1 + 2 C): cells, means, squared
    deviations.

    of_batch (6, C) are the mean, what float32 leaves of it, the variance, 1 / sqrt(variance +
    epsilon), and with gamma and beta the scale and the shift of `normalize`.
    """
    C = of_batch.shape[1]
    count, mean, squares = figures[0, 0], np.empty(C), np.empty(C)
    for c in range(C):
        mean[c], squares[c] = figures[0, 1 + c], figures[0, 1 + C + c]
    for k in range(1, len(figures)):
        its = figures[k]
        count = combine(count, mean, squares, its[0], its[1 : 1 + C], its[1 + C :])
    for c in range(C):
        rounded = np.float32(mean[c])
        rest, variance = np.float32(mean[c] - rounded), squares[c] / count
        inverse = np.float32(1 / np.sqrt(variance + epsilon))
        scale = gamma[c] * inverse
        of_batch[0, c], of_batch[1, c], of_batch[2, c] = rounded, rest, variance
        of_batch[3, c], of_batch[4, c], of_batch[5, c] = inverse, scale, beta[c] - rest * scale


@jit
def agree_backward(figures: Any, cells: int, rest: Any, inverse: Any, means: Any) -> None:
    """The means (2, C) of d and of d * x_hat over the batch, from the sums of its shards (shards,
    2 C), in their order; that of d with what float32 leaves of the mean of x.
    """
    C = means.shape[1]
    for c in range(C):
        of_d, of_dx_hat = figures[0, c], figures[0, C + c]
        for k in range(1, len(figures)):
            of_d += figures[k, c]
            of_dx_hat += figures[k, C + c]
        means[1, c] = of_dx_hat / cells
        means[0, c] = np.float32(of_d / cells) - rest[c] * inverse[c] * means[1, c]


@jit
def fold(
    W: Any, b: Any, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: Any,
    folded_W: Any, folded_b: Any,
) -> None:  # fmt: skip
    """A kernel (rows, C) and its bias with the normalization behind it as part of them, as it is in
    inference.
    """
    C = len(b)
    scale = np.empty(C, np.float32)
    for c in range(C):
        scale[c] = gamma[c] / np.sqrt(variance[c] + epsilon)
        folded_b[c] = (b[c] - mean[c]) * scale[c] + beta[c]
    for row in range(len(W)):
        for c in range(C):
            folded_W[row, c] = W[row, c] * scale[c]


@jit_fma
def measure(x: Any, mean: Any, squares: Any) -> None:
    """Mean and sum of squared deviations (C,), in float64, over the cells of x (n, cells, C)."""
    cells, C = x.shape[1:]
    middle, total = np.empty(C, np.float32), np.empty(C, np.float32)
    square = np.empty(C, np.float32)
    totals, own = np.empty(C), np.empty(C)
    mean[:], squares[:] = 0, 0
    for n in range(len(x)):
        for c in range(C):
            middle[c], totals[c], own[c] = 0, 0, 0
        for k in range(cells):
            for c in range(C):
                middle[c] += x[n, k, c]
        for c in range(C):
            middle[c] /= np.float32(cells)
        for start in range(0, cells, SUMMED):
            for c in range(C):
                total[c], square[c] = 0, 0
            for k in range(start, min(start + SUMMED, cells)):
                for c in range(C):
                    d = x[n, k, c] - middle[c]
                    total[c] += d
                    square[c] += d * d
            for c in range(C):
                totals[c] += total[c]
                own[c] += square[c]
        for c in range(C):  # as in `combine`, n images of the same size being in already
            rest = totals[c] / cells
            delta = middle[c] + rest - mean[c]
            mean[c] += delta / (n + 1)
            squares[c] += own[c] - totals[c] * rest + delta * delta * (cells * n / (n + 1))


@jit_fma
def normalize(
    x: Any,
    mean: Any,
    scale: Any,
    shift: Any,
    pool: bool,
    relu: bool,
    y: Any,
    argmax: Any,
    key_1: int,
    key_2: int,
    first: int,
    dropped: int,
    dropout_scale: Any,
) -> None:
    """y = dropout(pool(relu((x - mean) * scale + shift))) for images x (n, H, W, C).

    pool is 2x2 max-pooling or nothing, relu or nothing; dropped 0 means no dropout. argmax is that
    of each pooled window, -1 where ReLU or dropout left 0.
    """
    zero = np.float32(0)
    N, H, W, C = y.shape
    z = np.empty((4, C), np.float32)
    for n in range(N):
        for h in range(H):
            for w in range(W):
                if pool:
                    for k in range(4):
                        p, q = 2 * h + k // 2, 2 * w + k % 2
                        for c in range(C):
                            z[k, c] = (x[n, p, q, c] - mean[c]) * scale[c] + shift[c]
                    for c in range(C):
                        best, won = z[0, c], np.int8(0)
                        if z[1, c] > best:
                            best, won = z[1, c], np.int8(1)
                        if z[2, c] > best:
                            best, won = z[2, c], np.int8(2)
                        if z[3, c] > best:
                            best, won = z[3, c], np.int8(3)
                        dead = relu and best <= 0
                        y[n, h, w, c] = zero if dead else best
                        argmax[n, h, w, c] = np.int8(-1) if dead else won
                else:
                    for c in range(C):
                        value = (x[n, h, w, c] - mean[c]) * scale[c] + shift[c]
                        y[n, h, w, c] = zero if relu and value <= 0 else value
                if dropped > 0:
                    counter = first + ((n * H + h) * W + w) * C
                    for c in range(C):
                        stays = keep(key_1, key_2, counter + c, dropped)
                        y[n, h, w, c] = y[n, h, w, c] * dropout_scale if stays else zero
                        if pool:
                            argmax[n, h, w, c] = argmax[n, h, w, c] if stays else np.int8(-1)


@jit_fma
def sums(
    dy: Any,
    y: Any,
    argmax: Any,
    x: Any,
    mean: Any,
    rest: Any,
    inverse: Any,
    scale: Any,
    shift: Any,
    pool: bool,
    relu: bool,
    dropped: bool,
    dropout_scale: Any,
    totals: Any,
) -> None:
    """totals (2, C) in float64: the sums of d and of d * x_hat. `rest` is what float32 leaves of
    the mean.
    """
    zero = np.float32(0)
    N, H, W, C = dy.shape
    of_d, of_dx = np.empty(C, np.float32), np.empty(C, np.float32)
    totals[:] = 0
    for n in range(N):
        for h in range(H):
            for c in range(C):
                of_d[c], of_dx[c] = 0, 0
            for w in range(W):
                if pool:
                    p, q = 2 * h, 2 * w
                    for c in range(C):  # all four are read, so that the choice is vectorized
                        x_0, x_1 = x[n, p, q, c], x[n, p, q + 1, c]
                        x_2, x_3 = x[n, p + 1, q, c], x[n, p + 1, q + 1, c]
                        won, d = argmax[n, h, w, c], dy[n, h, w, c] * dropout_scale
                        upper, lower = x_1 if won == 1 else x_0, x_3 if won == 3 else x_2
                        d = zero if won < 0 else d
                        of_d[c] += d
                        of_dx[c] += d * ((lower if won > 1 else upper) - mean[c])
                elif dropped:
                    for c in range(C):
                        dead = relu and y[n, h, w, c] <= 0
                        d = zero if dead else dy[n, h, w, c] * dropout_scale
                        of_d[c] += d
                        of_dx[c] += d * (x[n, h, w, c] - mean[c])
                else:  # y is not read, but worked out again
                    for c in range(C):
                        from_mean = x[n, h, w, c] - mean[c]
                        dead = relu and from_mean * scale[c] + shift[c] <= 0
                        d = zero if dead else dy[n, h, w, c]
                        of_d[c] += d
                        of_dx[c] += d * from_mean
            for c in range(C):  # the sums of a row are short enough for float32
                totals[0, c] += of_d[c]
                totals[1, c] += of_dx[c] * inverse[c]
    for c in range(C):
        totals[1, c] -= totals[0, c] * rest[c] * inverse[c]


@jit_fma
def gradients(
    dy: Any,
    y: Any,
    argmax: Any,
    x: Any,
    mean: Any,
    inverse: Any,
    scale: Any,
    shift: Any,
    mean_d: Any,
    mean_dx_hat: Any,
    pool: bool,
    relu: bool,
    dropped: bool,
    dropout_scale: Any,
    dx: Any,
) -> None:
    """dx by the formula above; scale is gamma * inverse, the means are those of the sums."""
    zero = np.float32(0)
    N, H, W, C = x.shape
    slope = np.empty(C, np.float32)
    for c in range(C):
        slope[c] = mean_dx_hat[c] * inverse[c]
    for n in range(N):
        for h in range(H):
            for w in range(W):
                if pool:
                    i, j = h // 2, w // 2
                    inside = i < dy.shape[1] and j < dy.shape[2]
                    here = 2 * (h % 2) + w % 2
                    for c in range(C):
                        d = zero
                        if inside:
                            d = dy[n, i, j, c] if argmax[n, i, j, c] == here else zero
                        deviation = (x[n, h, w, c] - mean[c]) * slope[c]
                        dx[n, h, w, c] = scale[c] * (d * dropout_scale - mean_d[c] - deviation)
                elif dropped:
                    for c in range(C):
                        dead = relu and y[n, h, w, c] <= 0
                        d = zero if dead else dy[n, h, w, c] * dropout_scale
                        deviation = (x[n, h, w, c] - mean[c]) * slope[c]
                        dx[n, h, w, c] = scale[c] * (d - mean_d[c] - deviation)
                else:
                    for c in range(C):
                        from_mean = x[n, h, w, c] - mean[c]
                        dead = relu and from_mean * scale[c] + shift[c] <= 0
                        d = zero if dead else dy[n, h, w, c]
                        deviation = from_mean * slope[c]
                        dx[n, h, w, c] = scale[c] * (d - mean_d[c] - deviation)

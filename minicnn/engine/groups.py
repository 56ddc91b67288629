"""Group normalization: each image's channels in groups, each group at mean 0 and variance 1.

    forward     y = x_hat * gamma + beta            x_hat = (x - mean) * inverse
    backward    h = gamma * dy      dx = inverse * (h - mean of h - x_hat * mean of h * x_hat)
                dgamma = sum of dy * x_hat, dbeta = sum of dy, over the pixels and the images

Mean, `inverse` = 1 / sqrt(var + epsilon) and the means of h are taken over a group of one image;
gamma and beta have a number for each channel. An image is H rows of W * C columns, so that loops
are long with few channels, too: each column is summed up, then a channel's columns, then the
channels of a group.

As in `rows.py`, the mean is subtracted in two parts, so that an x far from 0 keeps its digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.compiler import jit_fma, wide_vectors


@jit_fma
def to_channels(of_columns: Any, of_channels: Any) -> None:
    """The sums of each channel's columns, in float64."""
    C = len(of_channels)
    of_channels[:] = 0
    for w in range(len(of_columns) // C):
        for c in range(C):
            of_channels[c] += of_columns[w * C + c]


@jit_fma
def to_columns(of_channels: Any, of_columns: Any) -> None:
    """Each channel's number in all of its columns."""
    C = len(of_channels)
    for w in range(len(of_columns) // C):
        for c in range(C):
            of_columns[w * C + c] = of_channels[c]


@jit_fma
def of_group(of_channels: Any, g: int, size: int) -> Any:
    """The sum of the `size` channels of group g."""
    total = 0.0
    for c in range(g * size, (g + 1) * size):
        total += of_channels[c]
    return total


@jit_fma
def normalize(x: Any, gamma: Any, beta: Any, epsilon: float, y: Any, stats: Any) -> None:
    """x and y (n, rows, columns); stats (n, groups, 3): both parts of the mean, and `inverse`."""
    wide_vectors()
    N, rows, columns = x.shape
    C, groups = len(gamma), stats.shape[1]
    size = C // groups
    cells = rows * (columns // C) * size
    total, squares = np.empty(columns, np.float32), np.empty(columns, np.float32)
    center, scale = np.empty(columns, np.float32), np.empty(columns, np.float32)
    shift = np.empty(columns, np.float32)
    first, second = np.empty(C), np.empty(C)
    for n in range(N):
        total[:] = 0
        for r in range(rows):
            for c in range(columns):
                total[c] += x[n, r, c]
        to_channels(total, first)
        for g in range(groups):
            mean = np.float32(of_group(first, g, size) / cells)
            stats[n, g, 0] = mean
            second[g * size : (g + 1) * size] = mean
        to_columns(second, center)
        total[:], squares[:] = 0, 0
        for r in range(rows):
            for c in range(columns):
                d = x[n, r, c] - center[c]
                total[c] += d
                squares[c] += d * d
        to_channels(total, first)
        to_channels(squares, second)
        for g in range(groups):
            sum_d = of_group(first, g, size)
            rest = sum_d / cells
            variance = (of_group(second, g, size) - sum_d * rest) / cells
            # x_hat of a single number is 0 whatever x is; rounding would leave a dx beside 0
            inverse = 1 / np.sqrt(variance + epsilon) if cells > 1 else 0.0
            stats[n, g, 1], stats[n, g, 2] = rest, inverse
            for c in range(g * size, (g + 1) * size):
                first[c] = gamma[c] * inverse
                second[c] = beta[c] - rest * first[c]
        to_columns(first, scale)
        to_columns(second, shift)
        for r in range(rows):
            for c in range(columns):
                y[n, r, c] = (x[n, r, c] - center[c]) * scale[c] + shift[c]


@jit_fma
def gradients(dy: Any, x: Any, stats: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any) -> None:
    """dx (n, rows, columns); dgamma and dbeta (C,) in float64."""
    wide_vectors()
    N, rows, columns = x.shape
    C, groups = len(gamma), stats.shape[1]
    size = C // groups
    cells = rows * (columns // C) * size
    of_dy, products = np.empty(columns, np.float32), np.empty(columns, np.float32)
    center, constant = np.empty(columns, np.float32), np.empty(columns, np.float32)
    slope_dy, slope_x = np.empty(columns, np.float32), np.empty(columns, np.float32)
    first, second, third = np.empty(C), np.empty(C), np.empty(C)
    dgamma[:], dbeta[:] = 0, 0
    for n in range(N):
        for g in range(groups):
            first[g * size : (g + 1) * size] = stats[n, g, 0]
        to_columns(first, center)
        of_dy[:], products[:] = 0, 0
        for r in range(rows):
            for c in range(columns):
                d = dy[n, r, c]
                of_dy[c] += d
                products[c] += d * (x[n, r, c] - center[c])
        to_channels(of_dy, first)
        to_channels(products, second)
        for g in range(groups):
            rest, inverse = np.float64(stats[n, g, 1]), np.float64(stats[n, g, 2])
            mean_h, mean_product = 0.0, 0.0
            for c in range(g * size, (g + 1) * size):
                with_x_hat = (second[c] - rest * first[c]) * inverse
                dbeta[c] += first[c]
                dgamma[c] += with_x_hat
                mean_h += gamma[c] * first[c] / cells
                mean_product += gamma[c] * with_x_hat / cells
            # dx = inverse * gamma * dy + slope * (x - center) + constant
            slope = -inverse * inverse * mean_product
            for c in range(g * size, (g + 1) * size):
                first[c], second[c] = gamma[c] * inverse, slope
                third[c] = -inverse * mean_h - rest * slope
        to_columns(first, slope_dy)
        to_columns(second, slope_x)
        to_columns(third, constant)
        for r in range(rows):
            for c in range(columns):
                d = x[n, r, c] - center[c]
                dx[n, r, c] = slope_dy[c] * dy[n, r, c] + (slope_x[c] * d + constant[c])

"""Layer normalization of rows: images (N, H, W, C) as N * H * W rows of C numbers.

    forward     y = (x - mean) * inverse * gamma + beta        inverse = 1 / sqrt(var + epsilon)
    backward    h = gamma * dy      dx = inverse * (h - mean of h - x_hat * mean of h * x_hat)
                dgamma = sum of dy * x_hat, dbeta = sum of dy, over the rows

A row is read several times each way, from the first-level cache. Its mean is subtracted in two
parts, a first one and what is left: around 1e6 a float32 holds steps of 0.06, and x minus such a
mean has digits that the mean itself has not. The gradients of `TOGETHER` rows are added up in
float32, then in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.engine.vectors import (
    LANES,
    add_products,
    add_sums,
    load,
    numbers,
    store,
    zeros,
)
from minicnn.kernels.compiler import jit_fma, wide_vectors

TOGETHER = 64  # rows whose gradients are added up in float32


@jit_fma
def normalize(x: Any, gamma: Any, beta: Any, epsilon: Any, y: Any, stats: Any) -> None:
    """x and y (rows * C,); stats (rows, 3) gets both parts of the mean, and `inverse`."""
    wide_vectors()
    C, whole = len(gamma), len(gamma) // LANES
    cells, found = np.float32(C), np.empty(2, np.float32)
    for r in range(len(stats)):
        at = r * C
        total = zeros(1)
        for k in range(whole):
            total = total + load(1, x, at + k * LANES, LANES)
        found[0] = 0
        add_sums(total, found, 0, 0, 1)
        for c in range(whole * LANES, C):
            found[0] += x[at + c]
        mean = found[0] / cells
        minus = numbers(1, -mean)
        total, squares = zeros(1), zeros(1)
        for k in range(whole):
            d = load(1, x, at + k * LANES, LANES) + minus
            total, squares = total + d, add_products(squares, d, d)
        found[0], found[1] = 0, 0
        add_sums(total, found, 0, 0, 1)
        add_sums(squares, found, 1, 0, 1)
        for c in range(whole * LANES, C):
            rest = x[at + c] - mean
            found[0] += rest
            found[1] += rest * rest
        rest = found[0] / cells
        variance = (found[1] - found[0] * rest) / cells
        # x_hat of a single number is 0 whatever x is; rounding would leave a dx beside 0
        inverse = np.float32(1) / np.sqrt(variance + epsilon) if C > 1 else np.float32(0)
        stats[r, 0], stats[r, 1], stats[r, 2] = mean, rest, inverse
        left, factor = numbers(1, -rest), numbers(1, inverse)
        for k in range(whole):
            d = load(1, x, at + k * LANES, LANES) + minus + left
            scaled = d * factor * load(1, gamma, k * LANES, LANES)
            store(scaled + load(1, beta, k * LANES, LANES), y, at + k * LANES, LANES)
        for c in range(whole * LANES, C):
            y[at + c] = (x[at + c] - mean - rest) * inverse * gamma[c] + beta[c]


@jit_fma
def gradients(
    dy: Any, x: Any, stats: Any, gamma: Any, dx: Any, dgamma: Any, dbeta: Any, parts: Any
) -> None:
    """dx (rows * C,); dgamma and dbeta (C,) are of float64, and parts (2 C,) is for their sums."""
    wide_vectors()
    C, whole = len(gamma), len(gamma) // LANES
    cells, found = np.float32(C), np.empty(2, np.float32)
    dgamma[:], dbeta[:], parts[:] = 0, 0, 0
    for r in range(len(stats)):
        at, mean, rest, inverse = r * C, stats[r, 0], stats[r, 1], stats[r, 2]
        minus, left, factor = numbers(1, -mean), numbers(1, -rest), numbers(1, inverse)
        total, products = zeros(1), zeros(1)
        for k in range(whole):
            place = at + k * LANES
            x_hat = (load(1, x, place, LANES) + minus + left) * factor
            d = load(1, dy, place, LANES)
            h = d * load(1, gamma, k * LANES, LANES)
            total, products = total + h, add_products(products, h, x_hat)
            of_gamma = add_products(load(1, parts, k * LANES, LANES), d, x_hat)
            store(of_gamma, parts, k * LANES, LANES)
            store(load(1, parts, C + k * LANES, LANES) + d, parts, C + k * LANES, LANES)
        found[0], found[1] = 0, 0
        add_sums(total, found, 0, 0, 1)
        add_sums(products, found, 1, 0, 1)
        for c in range(whole * LANES, C):
            normal, d = (x[at + c] - mean - rest) * inverse, dy[at + c]
            found[0] += d * gamma[c]
            found[1] += d * gamma[c] * normal
            parts[c] += d * normal
            parts[C + c] += d
        mean_h, mean_product = found[0] / cells, found[1] / cells
        middle, slope = numbers(1, -mean_h), numbers(1, -mean_product)
        for k in range(whole):
            place = at + k * LANES
            x_hat = (load(1, x, place, LANES) + minus + left) * factor
            h = load(1, dy, place, LANES) * load(1, gamma, k * LANES, LANES)
            h = add_products(h + middle, x_hat, slope)
            store(h * factor, dx, place, LANES)
        for c in range(whole * LANES, C):
            normal = (x[at + c] - mean - rest) * inverse
            dx[at + c] = inverse * (dy[at + c] * gamma[c] - mean_h - normal * mean_product)
        if r % TOGETHER == TOGETHER - 1 or r == len(stats) - 1:
            for c in range(C):
                dgamma[c] += parts[c]
                dbeta[c] += parts[C + c]
            parts[:] = 0

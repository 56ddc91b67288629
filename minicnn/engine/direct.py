"""Convolution of a single channel, 3x3, with all that follows it, in one pass over the image.

With one input channel a window has 9 numbers: too few for a matrix product to pay. The loops run
over 2x2 blocks of the output instead. The 4x4 patch under a block is read once into 16 scalars; the
innermost loop runs over the filters, so that one instruction serves many of them; and the block's
four numbers become one, where a 2x2 max-pooling follows, before they ever reach memory.

Sums are written `z = z + a * b + c * d`, not `z += a * b + c * d`: from left to right each product
and its sum are one instruction; the short form asks for the sum of the products first, one more.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.compiler import jit_fma, uint32, wide_vectors
from minicnn.kernels.fast import keep


class Direct(NamedTuple):
    """The kernels of one stage; each is compiled when it is first called."""

    forward: Any
    infer: Any
    backward: Any


@cache
def direct_convolution(F: int, pool: bool, dropout: bool, normalized: bool = False) -> Direct:
    """Kernels for F filters, made for that number: with it folded in they are vectorized best.

    `pool` says whether max-pooling is in them, `dropout` whether dropout is, while training, and
    `normalized` whether a scale and a shift come behind ReLU, in inference and without pooling.

    forward(x, W, b, P, relu, y, argmax, key_1, key_2, first, dropped, scale)
        x (n, H, W), W (9, F), b (F,), P rows and columns of zeros around the image. Writes
        y (n, H_out, W_out, F), halved by the pooling; and with it argmax, of the same shape: which
        of the four cells won, -1 where ReLU or dropout left 0.
    infer
        The same without dropout; writes no argmax. Without pooling, it and `forward` take after
        (2, F), the scale and the shift, too.
    backward(x, dy, y, argmax, P, relu, scale, dW, db)
        Writes dW (9, F) and db (F,). Without pooling, y says where ReLU or dropout left 0.
    """
    if pool:
        forward, infer = _pooled_forward(F, dropout, True), _pooled_forward(F, False, False)
        return Direct(forward, infer, _pooled_backward(F))
    infer = _plain_forward(F, False, normalized)
    return Direct(_plain_forward(F, dropout, False), infer, _plain_backward(F))


def _pooled_forward(F: int, dropout: bool, training: bool) -> Any:
    @jit_fma
    def forward(
        x: Any,
        W: Any,
        b: Any,
        P: int,
        relu: bool,
        y: Any,
        argmax: Any,
        key_1: int,
        key_2: int,
        first: int,
        dropped: int,
        scale: Any,
    ) -> None:
        wide_vectors()
        n_images, H_out, W_out, _ = y.shape
        H_in, W_in = x.shape[1], x.shape[2]
        X = np.zeros((H_in + 2 * P, W_in + 2 * P), np.float32)  # one image with its border
        zero = np.float32(0)
        for n in range(n_images):
            for h in range(H_in):
                for w in range(W_in):
                    X[h + P, w + P] = x[n, h, w]
            for i in range(H_out):
                for j in range(W_out):
                    r, c = 2 * i, 2 * j
                    x00, x01, x02, x03 = X[r, c], X[r, c + 1], X[r, c + 2], X[r, c + 3]
                    r += 1
                    x10, x11, x12, x13 = X[r, c], X[r, c + 1], X[r, c + 2], X[r, c + 3]
                    r += 1
                    x20, x21, x22, x23 = X[r, c], X[r, c + 1], X[r, c + 2], X[r, c + 3]
                    r += 1
                    x30, x31, x32, x33 = X[r, c], X[r, c + 1], X[r, c + 2], X[r, c + 3]
                    counter = uint32(first + ((n * H_out + i) * W_out + j) * F)
                    for f in range(F):
                        w0, w1, w2 = W[0, f], W[1, f], W[2, f]
                        w3, w4, w5 = W[3, f], W[4, f], W[5, f]
                        w6, w7, w8 = W[6, f], W[7, f], W[8, f]
                        z0 = x00 * w0 + x01 * w1 + x02 * w2
                        z0 = z0 + x10 * w3 + x11 * w4 + x12 * w5
                        z0 = z0 + x20 * w6 + x21 * w7 + x22 * w8
                        z1 = x01 * w0 + x02 * w1 + x03 * w2
                        z1 = z1 + x11 * w3 + x12 * w4 + x13 * w5
                        z1 = z1 + x21 * w6 + x22 * w7 + x23 * w8
                        z2 = x10 * w0 + x11 * w1 + x12 * w2
                        z2 = z2 + x20 * w3 + x21 * w4 + x22 * w5
                        z2 = z2 + x30 * w6 + x31 * w7 + x32 * w8
                        z3 = x11 * w0 + x12 * w1 + x13 * w2
                        z3 = z3 + x21 * w3 + x22 * w4 + x23 * w5
                        z3 = z3 + x31 * w6 + x32 * w7 + x33 * w8
                        best, place = z0, np.int32(0)
                        if z1 > best:
                            best, place = z1, np.int32(1)
                        if z2 > best:
                            best, place = z2, np.int32(2)
                        if z3 > best:
                            best, place = z3, np.int32(3)
                        best += b[f]
                        dead = relu & (best <= zero)  # `and` would be a branch
                        if dropout:
                            cell = uint32(counter + uint32(f))
                            dead |= not keep(key_1, key_2, cell, dropped)
                            best *= scale
                        y[n, i, j, f] = zero if dead else best
                        if training:
                            argmax[n, i, j, f] = np.int8(-1) if dead else np.int8(place)

    return forward


def _pooled_backward(F: int) -> Any:
    @jit_fma
    def backward(
        x: Any, dy: Any, y: Any, argmax: Any, P: int, relu: bool, scale: Any, dW: Any, db: Any
    ) -> None:
        wide_vectors()
        n_images, H_out, W_out, _ = dy.shape
        H_in, W_in = x.shape[1], x.shape[2]
        X = np.zeros((H_in + 2 * P, W_in + 2 * P), np.float32)
        sums = np.zeros((10, F), np.float32)
        zero = np.float32(0)
        for n in range(n_images):
            for h in range(H_in):
                for w in range(W_in):
                    X[h + P, w + P] = x[n, h, w]
            for i in range(H_out):
                for j in range(W_out):
                    r, c = 2 * i, 2 * j
                    x00, x01, x02, x03 = X[r, c], X[r, c + 1], X[r, c + 2], X[r, c + 3]
                    r += 1
                    x10, x11, x12, x13 = X[r, c], X[r, c + 1], X[r, c + 2], X[r, c + 3]
                    r += 1
                    x20, x21, x22, x23 = X[r, c], X[r, c + 1], X[r, c + 2], X[r, c + 3]
                    r += 1
                    x30, x31, x32, x33 = X[r, c], X[r, c + 1], X[r, c + 2], X[r, c + 3]
                    for f in range(F):
                        place = argmax[n, i, j, f]
                        d = dy[n, i, j, f]
                        d0 = d if place == 0 else zero
                        d1 = d if place == 1 else zero
                        d2 = d if place == 2 else zero
                        d3 = d if place == 3 else zero
                        sums[0, f] = sums[0, f] + x00 * d0 + x01 * d1 + x10 * d2 + x11 * d3
                        sums[1, f] = sums[1, f] + x01 * d0 + x02 * d1 + x11 * d2 + x12 * d3
                        sums[2, f] = sums[2, f] + x02 * d0 + x03 * d1 + x12 * d2 + x13 * d3
                        sums[3, f] = sums[3, f] + x10 * d0 + x11 * d1 + x20 * d2 + x21 * d3
                        sums[4, f] = sums[4, f] + x11 * d0 + x12 * d1 + x21 * d2 + x22 * d3
                        sums[5, f] = sums[5, f] + x12 * d0 + x13 * d1 + x22 * d2 + x23 * d3
                        sums[6, f] = sums[6, f] + x20 * d0 + x21 * d1 + x30 * d2 + x31 * d3
                        sums[7, f] = sums[7, f] + x21 * d0 + x22 * d1 + x31 * d2 + x32 * d3
                        sums[8, f] = sums[8, f] + x22 * d0 + x23 * d1 + x32 * d2 + x33 * d3
                        sums[9, f] += d0 + d1 + d2 + d3
        for f in range(F):
            for k in range(9):
                dW[k, f] = sums[k, f] * scale
            db[f] = sums[9, f] * scale

    return backward


def _plain_forward(F: int, dropout: bool, normalized: bool) -> Any:
    @jit_fma
    def forward(
        x: Any,
        W: Any,
        b: Any,
        P: int,
        relu: bool,
        y: Any,
        argmax: Any,
        key_1: int,
        key_2: int,
        first: int,
        dropped: int,
        scale: Any,
        after: Any,
    ) -> None:
        wide_vectors()
        n_images, H_out, W_out, _ = y.shape
        H_in, W_in = x.shape[1], x.shape[2]
        X = np.zeros((H_in + 2 * P, W_in + 2 * P), np.float32)
        zero = np.float32(0)
        for n in range(n_images):
            for h in range(H_in):
                for w in range(W_in):
                    X[h + P, w + P] = x[n, h, w]
            for i in range(H_out):
                for j in range(W_out):
                    x00, x01, x02 = X[i, j], X[i, j + 1], X[i, j + 2]
                    x10, x11, x12 = X[i + 1, j], X[i + 1, j + 1], X[i + 1, j + 2]
                    x20, x21, x22 = X[i + 2, j], X[i + 2, j + 1], X[i + 2, j + 2]
                    counter = uint32(first + ((n * H_out + i) * W_out + j) * F)
                    for f in range(F):
                        z = x00 * W[0, f] + x01 * W[1, f] + x02 * W[2, f]
                        z = z + x10 * W[3, f] + x11 * W[4, f] + x12 * W[5, f]
                        z = z + x20 * W[6, f] + x21 * W[7, f] + x22 * W[8, f]
                        z += b[f]
                        dead = relu & (z <= zero)
                        if dropout:
                            cell = uint32(counter + uint32(f))
                            dead |= not keep(key_1, key_2, cell, dropped)
                            z *= scale
                        z = zero if dead else z
                        if normalized:
                            z = z * after[0, f] + after[1, f]
                        y[n, i, j, f] = z

    return forward


def _plain_backward(F: int) -> Any:
    @jit_fma
    def backward(
        x: Any, dy: Any, y: Any, argmax: Any, P: int, relu: bool, scale: Any, dW: Any, db: Any
    ) -> None:
        wide_vectors()
        n_images, H_out, W_out, _ = dy.shape
        H_in, W_in = x.shape[1], x.shape[2]
        X = np.zeros((H_in + 2 * P, W_in + 2 * P), np.float32)
        sums = np.zeros((10, F), np.float32)
        zero = np.float32(0)
        for n in range(n_images):
            for h in range(H_in):
                for w in range(W_in):
                    X[h + P, w + P] = x[n, h, w]
            for i in range(H_out):
                for j in range(W_out):
                    x00, x01, x02 = X[i, j], X[i, j + 1], X[i, j + 2]
                    x10, x11, x12 = X[i + 1, j], X[i + 1, j + 1], X[i + 1, j + 2]
                    x20, x21, x22 = X[i + 2, j], X[i + 2, j + 1], X[i + 2, j + 2]
                    for f in range(F):
                        d = zero if relu and y[n, i, j, f] <= 0 else dy[n, i, j, f]
                        sums[0, f] += x00 * d
                        sums[1, f] += x01 * d
                        sums[2, f] += x02 * d
                        sums[3, f] += x10 * d
                        sums[4, f] += x11 * d
                        sums[5, f] += x12 * d
                        sums[6, f] += x20 * d
                        sums[7, f] += x21 * d
                        sums[8, f] += x22 * d
                        sums[9, f] += d
        for f in range(F):
            for k in range(9):
                dW[k, f] = sums[k, f] * scale
            db[f] = sums[9, f] * scale

    return backward

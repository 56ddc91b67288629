"""Winograd's F(4x4, 3x3): a 3x3 convolution with a quarter of the multiplications.

The output is cut into tiles of 4x4; each is worked out from the 6x6 patch d of the input that it
sees. With the kernel g (3x3), for every input and output channel,

    V = B^T d B       U = G g G^T       M = sum over the input channels of U * V, cell by cell
    tile = A^T M A

which takes 36 multiplications for 16 outputs, where the definition takes 144. The sums over the
channels, for all tiles at once, are 36 small matrix products.

Backward is the same chain, each step transposed. From the gradient dt of the tiles:

    dM = A dt A^T     dV = U^T dM       dd = B dV B^T, added up where patches overlap
                      dU = V^T dM       dg = G^T dU G

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015, section 4.3 for
the matrices. In float32 its error is some times that of the plain sums; it is measured in
`tests/test_engine.py` and stated in `docs/design.md`.

The kernels work through `TILES` tiles at a time, few enough that V and M stay in the cache, with
channels innermost. V and M are flat; each of their 36 cells has room for TILES * channels numbers
and `GAP` more: 36 places a power of two apart would share a few lines of the first-level cache.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.compiler import jit_fused
from minicnn.kernels.fast import keep

# What rounding leaves of a sum that is 0, as over a black part of an image, stays below this share
# of the largest number on its way. It is taken for 0: its sign is chance, and where ReLU stands at
# its kink, gradients would pass that must not.
NOISE = np.float32(2.0**-18)

TILES = 64
GAP = 16

G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
GG = np.kron(G, G).astype(np.float32)  # (36, 9): G g G^T as one product with the flat kernel


@jit_fused
def _BT(d0: Any, d1: Any, d2: Any, d3: Any, d4: Any, d5: Any) -> Any:
    """B^T times a column of 6."""
    two, four, five = np.float32(2), np.float32(4), np.float32(5)
    p, q = d4 - four * d2, d3 - four * d1
    r, s = d4 - d2, two * (d3 - d1)
    return four * d0 - five * d2 + d4, p + q, p - q, r + s, r - s, four * d1 - five * d3 + d5


@jit_fused
def _B(v0: Any, v1: Any, v2: Any, v3: Any, v4: Any, v5: Any) -> Any:
    """B times a column of 6: the transpose of `_BT`."""
    two, four, five = np.float32(2), np.float32(4), np.float32(5)
    p, q = v1 + v2, v1 - v2
    r, s = v3 + v4, two * (v3 - v4)
    return (
        four * v0,
        four * v5 - four * q - s,
        -five * v0 - four * p - r,
        q + s - five * v5,
        v0 + p + r,
        v5,
    )


@jit_fused
def _AT(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any) -> Any:
    """A^T times a column of 6: 4 numbers."""
    two, four, eight = np.float32(2), np.float32(4), np.float32(8)
    p, q, r, s = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + p + r, q + two * s, p + four * r, q + eight * s + m5


@jit_fused
def _A(t0: Any, t1: Any, t2: Any, t3: Any) -> Any:
    """A times a column of 4: the transpose of `_AT`, 6 numbers."""
    two, four, eight = np.float32(2), np.float32(4), np.float32(8)
    p, q = t0 + t2, t1 + t3
    r, s = t0 + four * t2, two * t1 + eight * t3
    return t0, p + q, p - q, r + s, r - s, t3


class InputKernels(NamedTuple):
    """For the input's channels C.

    patches(x, P, tiles_h, tiles_w, t_0, count, V)
        V of the tiles t_0 to t_0 + count of x (n, H, W, C) under P rows and columns of padding.
    scatter(dV, P, tiles_h, tiles_w, t_0, count, dx)
        Adds their dd into dx (n, H, W, C).
    """

    patches: Any
    scatter: Any


class OutputKernels(NamedTuple):
    """For the output's channels C.

    tiles(M, b, relu, H, W, tiles_h, tiles_w, t_0, count, y, winner, keys.., first, dropped, scale)
        The finished outputs of those tiles into y: bias, ReLU, 2x2 max-pooling, dropout. The
        convolution's own output is H x W; y is half as large with pooling. winner as in `direct`.
    gradients(dy, y, winner, relu, H, W, tiles_h, tiles_w, t_0, count, scale, dM, db)
        dM of those tiles; adds their part of db.
    """

    tiles: Any
    gradients: Any


@cache
def input_kernels(C: int) -> InputKernels:
    """Made for C channels; with their number folded in they are vectorized."""
    K = TILES * C + GAP  # from one of the 36 cells to the next

    @jit_fused
    def patches(x: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, V: Any) -> None:
        H, W = x.shape[1], x.shape[2]
        d = np.empty((36, C), np.float32)
        s = np.empty((36, C), np.float32)
        for t in range(count):
            n, place = divmod(t_0 + t, tiles_h * tiles_w)
            i, j = divmod(place, tiles_w)
            for a in range(6):
                h = 4 * i + a - P
                for b in range(6):
                    w = 4 * j + b - P
                    if 0 <= h < H and 0 <= w < W:
                        for c in range(C):
                            d[6 * a + b, c] = x[n, h, w, c]
                    else:
                        for c in range(C):
                            d[6 * a + b, c] = 0
            for b in range(6):
                for c in range(C):
                    s0, s1, s2, s3, s4, s5 = _BT(
                        d[b, c], d[6 + b, c], d[12 + b, c], d[18 + b, c], d[24 + b, c], d[30 + b, c]
                    )
                    s[b, c], s[6 + b, c], s[12 + b, c] = s0, s1, s2
                    s[18 + b, c], s[24 + b, c], s[30 + b, c] = s3, s4, s5
            for a in range(6):
                k = 6 * a
                o = k * K + t * C
                for c in range(C):
                    v0, v1, v2, v3, v4, v5 = _BT(
                        s[k, c], s[k + 1, c], s[k + 2, c], s[k + 3, c], s[k + 4, c], s[k + 5, c]
                    )
                    V[o + c], V[o + K + c], V[o + 2 * K + c] = v0, v1, v2
                    V[o + 3 * K + c], V[o + 4 * K + c], V[o + 5 * K + c] = v3, v4, v5

    @jit_fused
    def scatter(dV: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, dx: Any) -> None:
        H, W = dx.shape[1], dx.shape[2]
        s = np.empty((36, C), np.float32)
        d = np.empty((36, C), np.float32)
        for t in range(count):
            n, place = divmod(t_0 + t, tiles_h * tiles_w)
            i, j = divmod(place, tiles_w)
            for b in range(6):
                o = b * K + t * C
                for c in range(C):
                    s0, s1, s2, s3, s4, s5 = _B(
                        dV[o + c],
                        dV[o + 6 * K + c],
                        dV[o + 12 * K + c],
                        dV[o + 18 * K + c],
                        dV[o + 24 * K + c],
                        dV[o + 30 * K + c],
                    )
                    s[b, c], s[6 + b, c], s[12 + b, c] = s0, s1, s2
                    s[18 + b, c], s[24 + b, c], s[30 + b, c] = s3, s4, s5
            for a in range(6):
                k = 6 * a
                for c in range(C):
                    d0, d1, d2, d3, d4, d5 = _B(
                        s[k, c], s[k + 1, c], s[k + 2, c], s[k + 3, c], s[k + 4, c], s[k + 5, c]
                    )
                    d[k, c], d[k + 1, c], d[k + 2, c] = d0, d1, d2
                    d[k + 3, c], d[k + 4, c], d[k + 5, c] = d3, d4, d5
            for a in range(6):
                h = 4 * i + a - P
                for b in range(6):
                    w = 4 * j + b - P
                    if 0 <= h < H and 0 <= w < W:
                        for c in range(C):
                            dx[n, h, w, c] += d[6 * a + b, c]

    return InputKernels(patches, scatter)


@cache
def output_kernels(C: int, pool: bool) -> OutputKernels:
    """Made for C channels, with or without max-pooling behind."""
    K = TILES * C + GAP

    @jit_fused
    def tiles(
        M: Any,
        b: Any,
        relu: bool,
        H: int,
        W: int,
        tiles_h: int,
        tiles_w: int,
        t_0: int,
        count: int,
        y: Any,
        winner: Any,
        key_1: int,
        key_2: int,
        first: int,
        dropped: int,
        scale: Any,
    ) -> None:
        s = np.empty((24, C), np.float32)
        z = np.empty((16, C), np.float32)
        noise = np.empty(C, np.float32)
        zero = np.float32(0)
        H_y, W_y = y.shape[1], y.shape[2]
        for t in range(count):
            n, place = divmod(t_0 + t, tiles_h * tiles_w)
            i, j = divmod(place, tiles_w)
            for q in range(6):
                o = q * K + t * C
                for c in range(C):
                    s0, s1, s2, s3 = _AT(
                        M[o + c],
                        M[o + 6 * K + c],
                        M[o + 12 * K + c],
                        M[o + 18 * K + c],
                        M[o + 24 * K + c],
                        M[o + 30 * K + c],
                    )
                    s[q, c], s[6 + q, c], s[12 + q, c], s[18 + q, c] = s0, s1, s2, s3
                    largest = max(max(abs(s0), abs(s1)), max(abs(s2), abs(s3)))
                    noise[c] = largest * NOISE if q == 0 else max(noise[c], largest * NOISE)
            for p in range(4):
                k = 6 * p
                for c in range(C):
                    z0, z1, z2, z3 = _AT(
                        s[k, c], s[k + 1, c], s[k + 2, c], s[k + 3, c], s[k + 4, c], s[k + 5, c]
                    )
                    k_z = 4 * p
                    z[k_z, c] = zero if abs(z0) <= noise[c] else z0
                    z[k_z + 1, c] = zero if abs(z1) <= noise[c] else z1
                    z[k_z + 2, c] = zero if abs(z2) <= noise[c] else z2
                    z[k_z + 3, c] = zero if abs(z3) <= noise[c] else z3
            if pool:
                for p in range(min(2, H_y - 2 * i)):
                    for q in range(min(2, W_y - 2 * j)):
                        k = 8 * p + 2 * q
                        h, w = 2 * i + p, 2 * j + q
                        for c in range(C):
                            best, won = z[k, c], np.int8(0)
                            if z[k + 1, c] > best:
                                best, won = z[k + 1, c], np.int8(1)
                            if z[k + 4, c] > best:
                                best, won = z[k + 4, c], np.int8(2)
                            if z[k + 5, c] > best:
                                best, won = z[k + 5, c], np.int8(3)
                            best += b[c]
                            dead = relu and best <= 0
                            y[n, h, w, c] = zero if dead else best
                            winner[n, h, w, c] = np.int8(-1) if dead else won
                        if dropped > 0:
                            counter = first + ((n * H_y + h) * W_y + w) * C
                            for c in range(C):
                                stays = keep(key_1, key_2, counter + c, dropped)
                                y[n, h, w, c] = y[n, h, w, c] * scale if stays else zero
                                winner[n, h, w, c] = winner[n, h, w, c] if stays else np.int8(-1)
            else:
                for p in range(min(4, H - 4 * i)):
                    for q in range(min(4, W - 4 * j)):
                        k = 4 * p + q
                        h, w = 4 * i + p, 4 * j + q
                        for c in range(C):
                            value = z[k, c] + b[c]
                            y[n, h, w, c] = zero if relu and value <= 0 else value
                        if dropped > 0:
                            counter = first + ((n * H_y + h) * W_y + w) * C
                            for c in range(C):
                                stays = keep(key_1, key_2, counter + c, dropped)
                                y[n, h, w, c] = y[n, h, w, c] * scale if stays else zero

    @jit_fused
    def gradients(
        dy: Any,
        y: Any,
        winner: Any,
        relu: bool,
        H: int,
        W: int,
        tiles_h: int,
        tiles_w: int,
        t_0: int,
        count: int,
        scale: Any,
        dM: Any,
        db: Any,
    ) -> None:
        dz = np.empty((16, C), np.float32)
        s = np.empty((24, C), np.float32)
        zero = np.float32(0)
        H_y, W_y = dy.shape[1], dy.shape[2]
        for t in range(count):
            n, place = divmod(t_0 + t, tiles_h * tiles_w)
            i, j = divmod(place, tiles_w)
            dz[:, :] = 0
            if pool:
                for p in range(min(2, H_y - 2 * i)):
                    for q in range(min(2, W_y - 2 * j)):
                        k = 8 * p + 2 * q
                        h, w = 2 * i + p, 2 * j + q
                        for c in range(C):
                            d, won = dy[n, h, w, c] * scale, winner[n, h, w, c]
                            dz[k, c] = d if won == 0 else zero
                            dz[k + 1, c] = d if won == 1 else zero
                            dz[k + 4, c] = d if won == 2 else zero
                            dz[k + 5, c] = d if won == 3 else zero
                            db[c] += d if won >= 0 else zero
            else:
                for p in range(min(4, H - 4 * i)):
                    for q in range(min(4, W - 4 * j)):
                        k = 4 * p + q
                        h, w = 4 * i + p, 4 * j + q
                        for c in range(C):
                            d = zero if relu and y[n, h, w, c] <= 0 else dy[n, h, w, c] * scale
                            dz[k, c] = d
                            db[c] += d
            for p in range(4):
                for c in range(C):
                    k_z = 4 * p
                    s0, s1, s2, s3, s4, s5 = _A(
                        dz[k_z, c], dz[k_z + 1, c], dz[k_z + 2, c], dz[k_z + 3, c]
                    )
                    k = 6 * p
                    s[k, c], s[k + 1, c], s[k + 2, c] = s0, s1, s2
                    s[k + 3, c], s[k + 4, c], s[k + 5, c] = s3, s4, s5
            for q in range(6):
                o = q * K + t * C
                for c in range(C):
                    m0, m1, m2, m3, m4, m5 = _A(s[q, c], s[6 + q, c], s[12 + q, c], s[18 + q, c])
                    dM[o + c], dM[o + 6 * K + c], dM[o + 12 * K + c] = m0, m1, m2
                    dM[o + 18 * K + c], dM[o + 24 * K + c], dM[o + 30 * K + c] = m3, m4, m5

    return OutputKernels(tiles, gradients)

"""The compiled twins of `reference.py`: same names, same arguments, same results.

What differs is the order of the loops. The channels are innermost, where they lie side by side in
memory, so that one instruction treats many of them; and the part of a window that hangs over the
edge is cut off before the loop instead of being tested cell by cell.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from minicnn.kernels.compiler import jit, uint32
from minicnn.kernels.reference import FACTOR_1, FACTOR_2, FILL_MODES, GOLDEN, SEAM, WORD

Array = NDArray[Any]

NEAREST, REFLECT, WRAP = (FILL_MODES.index(mode) for mode in ("nearest", "reflect", "wrap"))


@jit
def im2col(
    x: Array, S_h: int, S_w: int, P_top: int, P_left: int, D_h: int, D_w: int, cols: Array
) -> None:
    N, H_out, W_out, K_h, K_w, C = cols.shape
    H_in, W_in = x.shape[1], x.shape[2]
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                for a in range(K_h):
                    h = i * S_h + a * D_h - P_top
                    for b in range(K_w):
                        w = j * S_w + b * D_w - P_left
                        if 0 <= h < H_in and 0 <= w < W_in:
                            for c in range(C):
                                cols[n, i, j, a, b, c] = x[n, h, w, c]
                        else:
                            for c in range(C):
                                cols[n, i, j, a, b, c] = 0


@jit
def col2im(
    dcols: Array, S_h: int, S_w: int, P_top: int, P_left: int, D_h: int, D_w: int, dx: Array
) -> None:
    N, H_out, W_out, K_h, K_w, C = dcols.shape
    H_in, W_in = dx.shape[1], dx.shape[2]
    for n in range(N):
        dx[n] = 0
        for i in range(H_out):
            for j in range(W_out):
                for a in range(K_h):
                    h = i * S_h + a * D_h - P_top
                    if h < 0 or h >= H_in:
                        continue
                    for b in range(K_w):
                        w = j * S_w + b * D_w - P_left
                        if 0 <= w < W_in:
                            for c in range(C):
                                dx[n, h, w, c] += dcols[n, i, j, a, b, c]


@jit
def depthwise(
    x: Array, W: Array, S_h: int, S_w: int, P_top: int, P_left: int, D_h: int, D_w: int, y: Array
) -> None:
    N, H_out, W_out, C = y.shape
    H_in, W_in = x.shape[1], x.shape[2]
    K_h, K_w = W.shape[0], W.shape[1]
    for n in range(N):
        y[n] = 0
        for i in range(H_out):
            for a in range(K_h):
                h = i * S_h + a * D_h - P_top
                if h < 0 or h >= H_in:
                    continue
                for j in range(W_out):
                    for b in range(K_w):
                        w = j * S_w + b * D_w - P_left
                        if 0 <= w < W_in:
                            for c in range(C):
                                y[n, i, j, c] += x[n, h, w, c] * W[a, b, c]


@jit
def depthwise_backward(
    x: Array,
    W: Array,
    dy: Array,
    S_h: int,
    S_w: int,
    P_top: int,
    P_left: int,
    D_h: int,
    D_w: int,
    dx: Array,
    dW: Array,
) -> None:
    N, H_out, W_out, C = dy.shape
    H_in, W_in = x.shape[1], x.shape[2]
    K_h, K_w = W.shape[0], W.shape[1]
    dW[:] = 0
    for n in range(N):
        dx[n] = 0
        for i in range(H_out):
            for a in range(K_h):
                h = i * S_h + a * D_h - P_top
                if h < 0 or h >= H_in:
                    continue
                for j in range(W_out):
                    for b in range(K_w):
                        w = j * S_w + b * D_w - P_left
                        if 0 <= w < W_in:
                            for c in range(C):
                                dx[n, h, w, c] += dy[n, i, j, c] * W[a, b, c]
                                dW[a, b, c] += x[n, h, w, c] * dy[n, i, j, c]


@jit
def max_pool(
    x: Array,
    K_h: int,
    K_w: int,
    S_h: int,
    S_w: int,
    P_top: int,
    P_left: int,
    y: Array,
    argmax: Array,
) -> None:
    N, H_out, W_out, C = y.shape
    H_in, W_in = x.shape[1], x.shape[2]
    for n in range(N):
        for i in range(H_out):
            top = i * S_h - P_top
            a_0, a_1 = max(0, -top), min(K_h, H_in - top)
            for j in range(W_out):
                left = j * S_w - P_left
                b_0, b_1 = max(0, -left), min(K_w, W_in - left)
                for c in range(C):
                    y[n, i, j, c] = x[n, top + a_0, left + b_0, c]
                    argmax[n, i, j, c] = a_0 * K_w + b_0
                for a in range(a_0, a_1):
                    for b in range(b_0, b_1):
                        for c in range(C):
                            cell, best = x[n, top + a, left + b, c], y[n, i, j, c]
                            wins = cell > best or (cell != cell and best == best)
                            y[n, i, j, c] = cell if wins else best
                            argmax[n, i, j, c] = a * K_w + b if wins else argmax[n, i, j, c]


@jit
def max_pool_backward(
    dy: Array, argmax: Array, K_w: int, S_h: int, S_w: int, P_top: int, P_left: int, dx: Array
) -> None:
    N, H_out, W_out, C = dy.shape
    for n in range(N):
        dx[n] = 0
        for i in range(H_out):
            for j in range(W_out):
                for c in range(C):
                    a = argmax[n, i, j, c] // K_w
                    b = argmax[n, i, j, c] - a * K_w
                    dx[n, i * S_h + a - P_top, j * S_w + b - P_left, c] += dy[n, i, j, c]


@jit
def average_pool(
    x: Array, K_h: int, K_w: int, S_h: int, S_w: int, P_top: int, P_left: int, y: Array
) -> None:
    N, H_out, W_out, C = y.shape
    H_in, W_in = x.shape[1], x.shape[2]
    for n in range(N):
        for i in range(H_out):
            top = i * S_h - P_top
            a_0, a_1 = max(0, -top), min(K_h, H_in - top)
            for j in range(W_out):
                left = j * S_w - P_left
                b_0, b_1 = max(0, -left), min(K_w, W_in - left)
                for c in range(C):
                    y[n, i, j, c] = 0
                for a in range(a_0, a_1):
                    for b in range(b_0, b_1):
                        for c in range(C):
                            y[n, i, j, c] += x[n, top + a, left + b, c]
                for c in range(C):
                    y[n, i, j, c] /= (a_1 - a_0) * (b_1 - b_0)


@jit
def average_pool_backward(
    dy: Array, K_h: int, K_w: int, S_h: int, S_w: int, P_top: int, P_left: int, dx: Array
) -> None:
    N, H_out, W_out, C = dy.shape
    H_in, W_in = dx.shape[1], dx.shape[2]
    for n in range(N):
        dx[n] = 0
        for i in range(H_out):
            top = i * S_h - P_top
            a_0, a_1 = max(0, -top), min(K_h, H_in - top)
            for j in range(W_out):
                left = j * S_w - P_left
                b_0, b_1 = max(0, -left), min(K_w, W_in - left)
                real = (a_1 - a_0) * (b_1 - b_0)
                for a in range(a_0, a_1):
                    for b in range(b_0, b_1):
                        for c in range(C):
                            dx[n, top + a, left + b, c] += dy[n, i, j, c] / real


@jit
def normal_cdf(x: Array, share: Array) -> None:
    for i in range(len(x)):
        share[i] = math.erfc(-x[i] / math.sqrt(2.0)) / 2


@jit
def hashed(key_1: int, key_2: int, counter: int) -> int:
    """32 random bits of a counter. All in 32 bits, which wrap."""
    h = uint32(uint32(uint32(counter) * uint32(GOLDEN)) + uint32(key_1))
    h = uint32(h ^ uint32(key_2))
    h = uint32(uint32(h ^ uint32(h >> uint32(16))) * uint32(FACTOR_1))
    h = uint32(uint32(h ^ uint32(h >> uint32(13))) * uint32(FACTOR_2))
    return uint32(h ^ uint32(h >> uint32(16)))


@jit
def keep(key_1: int, key_2: int, counter: int, dropped: int) -> bool:
    """One cell of `keep_mask`; for the engine's kernels too."""
    return hashed(key_1, key_2, counter) >= uint32(dropped)


@jit
def normal(key_1: int, key_2: int, first: int, z: Array) -> None:
    for i in range(len(z)):
        u = (hashed(key_1, key_2, first + i) + 1.0) / 4294967296.0
        v = hashed(key_2, key_1, first + i) / 4294967296.0
        z[i] = math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)


@jit
def keep_mask(key_1: int, key_2: int, first: int, dropped: int, keep_cell: Array) -> None:
    for i in range(len(keep_cell)):
        keep_cell[i] = keep(key_1, key_2, first + i, dropped)


@jit
def uniform(key_1: int, key_2: int, first: int, u: Array) -> None:
    for i in range(len(u)):
        u[i] = hashed(key_1 ^ WORD, key_2, first + i) / 4294967296.0


@jit
def taken(place: float, size: int, mode: int, bilinear: bool) -> tuple[int, int, float]:
    """The two pixels of an axis that make the value at `place`, -1 for none; how much the second.

    All but the whole part of the place is settled before it becomes an integer, so that no place
    is too far away.
    """
    if mode == NEAREST:
        place = min(max(place, 0.0), size - 1.0)
    elif mode == REFLECT:
        place = (place + 0.5) % (2.0 * size) - 0.5
        if place > size - 0.5:
            place = 2.0 * size - 1.0 - place
        place = min(max(place, 0.0), size - 1.0)
    elif mode == WRAP:
        if abs(place - round(place)) < SEAM:
            place = float(round(place))
        before = place < 0
        place %= size
        if place > size - 1:
            place = size - 1.0 if before else 0.0
    elif place <= -1 or place >= size:
        return -1, -1, 0.0
    if not bilinear:
        pixel = math.floor(place + 0.5) if place >= 0 else math.ceil(place - 0.5)
        pixel = pixel if 0 <= pixel < size else -1
        return pixel, pixel, 0.0
    low = math.floor(place)
    t = place - low
    high = low + 1 if low + 1 < size else -1
    if t == 0:
        high = low
    return low, high, t


@jit
def affine(
    x: Array, matrices: Array, fill_mode: int, bilinear: bool, fill_value: float, y: Array
) -> None:
    N, H, W, C = x.shape
    for n in range(N):
        a0, a1, a2 = matrices[n, 0], matrices[n, 1], matrices[n, 2]
        b0, b1, b2 = matrices[n, 3], matrices[n, 4], matrices[n, 5]
        for i in range(H):
            across, down = a1 * i + a2, b1 * i + b2
            for j in range(W):
                column, row = a0 * j + across, b0 * j + down
                if bilinear and 0 <= column < W - 1 and 0 <= row < H - 1:  # nothing is beyond
                    w, h = int(column), int(row)
                    t, s = column - w, row - h
                    for c in range(C):
                        above = x[n, h, w, c] * (1 - t) + x[n, h, w + 1, c] * t
                        below = x[n, h + 1, w, c] * (1 - t) + x[n, h + 1, w + 1, c] * t
                        y[n, i, j, c] = above * (1 - s) + below * s
                    continue
                w_0, w_1, t = taken(column, W, fill_mode, bilinear)
                h_0, h_1, s = taken(row, H, fill_mode, bilinear)
                for c in range(C):
                    above = cell(x, n, h_0, w_0, c, fill_value)
                    if t > 0:
                        above = above * (1 - t) + cell(x, n, h_0, w_1, c, fill_value) * t
                    if s > 0:
                        below = cell(x, n, h_1, w_0, c, fill_value)
                        if t > 0:
                            below = below * (1 - t) + cell(x, n, h_1, w_1, c, fill_value) * t
                        above = above * (1 - s) + below * s
                    y[n, i, j, c] = above


@jit
def cell(x: Array, n: int, h: int, w: int, c: int, fill_value: float) -> float:
    return float(x[n, h, w, c] if h >= 0 and w >= 0 else fill_value)


@jit
def affine_backward(dy: Array, matrices: Array, fill_mode: int, bilinear: bool, dx: Array) -> None:
    N, H, W, C = dy.shape
    for n in range(N):
        dx[n] = 0
        a0, a1, a2 = matrices[n, 0], matrices[n, 1], matrices[n, 2]
        b0, b1, b2 = matrices[n, 3], matrices[n, 4], matrices[n, 5]
        for i in range(H):
            across, down = a1 * i + a2, b1 * i + b2
            for j in range(W):
                w_0, w_1, t = taken(a0 * j + across, W, fill_mode, bilinear)
                h_0, h_1, s = taken(b0 * j + down, H, fill_mode, bilinear)
                for c in range(C):
                    d = dy[n, i, j, c]
                    if h_0 >= 0 and w_0 >= 0:
                        dx[n, h_0, w_0, c] += d * (1 - t) * (1 - s)
                    if h_0 >= 0 and w_1 >= 0:
                        dx[n, h_0, w_1, c] += d * t * (1 - s)
                    if h_1 >= 0 and w_0 >= 0:
                        dx[n, h_1, w_0, c] += d * (1 - t) * s
                    if h_1 >= 0 and w_1 >= 0:
                        dx[n, h_1, w_1, c] += d * t * s

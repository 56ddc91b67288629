"""Convolution of any window, stride and dilation: im2col in blocks that stay in the cache.

All windows of a shard as rows of one matrix would be many times larger than the images, and each
number would go to memory and back. So a few rows of the output are worked out at a time:

    windows(x) -> cols       the windows of a block as rows, a megabyte
    z  = cols @ W            one matrix product
    dW += cols^T @ dz        backward: the block's windows once more
    add_windows(dz @ W^T) -> dx

A row of a window is one contiguous run of K_w * C numbers, unless the window is dilated. Where that
is too short to be copied fast, as with one channel, the block is kept transposed, as `planes`: one
row for each cell of the window, in which the windows of a row of the output are the run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.compiler import jit, jit_fma, uint64

CELLS = 2**18  # numbers in a block of windows: 1 MB, half of the usual second cache
SHORT = 16  # numbers; a shorter run is copied one by one


def size(W_out: int, K: int) -> int:
    """Rows of the output in a block, for W_out windows of K numbers in each.

    >>> size(10, 800)
    32
    """
    return max(1, CELLS // (W_out * K))


def cut(rows: int, size: int) -> list[slice]:
    """The rows of the output of all images, block by block.

    >>> cut(20, 8)
    [slice(0, 8, None), slice(8, 16, None), slice(16, 20, None)]
    """
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


@jit
def windows(
    x: Any,
    K_h: int,
    K_w: int,
    S_h: int,
    S_w: int,
    P_top: int,
    P_left: int,
    D_h: int,
    D_w: int,
    H_out: int,
    first: int,
    cols: Any,
) -> None:
    """The windows of some rows of the output, from row `first` of all images on.

    x (N, H, W * C) -> cols (rows, W_out, K_h, K_w * C). Cells outside the image are 0.
    """
    rows, W_out = cols.shape[:2]
    H, C = x.shape[1], cols.shape[3] // K_w
    W = x.shape[2] // C
    for r in range(rows):
        n = (first + r) // H_out
        top = ((first + r) - n * H_out) * S_h - P_top
        for j in range(W_out):
            left = j * S_w - P_left
            for a in range(K_h):
                h = top + a * D_h
                if h < 0 or h >= H:
                    for t in range(K_w * C):
                        cols[r, j, a, t] = 0
                elif D_w == 1 and left >= 0 and left + K_w <= W:
                    place = uint64(left * C)  # unsigned: no index counts from the end
                    for t in range(uint64(K_w * C)):
                        cols[r, j, a, t] = x[n, h, place + t]
                else:
                    for b in range(K_w):
                        w = left + b * D_w
                        if 0 <= w < W:
                            for c in range(C):
                                cols[r, j, a, b * C + c] = x[n, h, w * C + c]
                        else:
                            for c in range(C):
                                cols[r, j, a, b * C + c] = 0


@jit
def add_windows(
    cols: Any,
    K_h: int,
    K_w: int,
    S_h: int,
    S_w: int,
    P_top: int,
    P_left: int,
    D_h: int,
    D_w: int,
    H_out: int,
    first: int,
    dx: Any,
) -> None:
    """Transpose of `windows`: adds each number of cols to the cell of dx that it was read
    from; dx (N, H, W * C)."""
    rows, W_out = cols.shape[:2]
    H, C = dx.shape[1], cols.shape[3] // K_w
    W = dx.shape[2] // C
    for r in range(rows):
        n = (first + r) // H_out
        top = ((first + r) - n * H_out) * S_h - P_top
        for j in range(W_out):
            left = j * S_w - P_left
            for a in range(K_h):
                h = top + a * D_h
                if h < 0 or h >= H:
                    continue
                if D_w == 1 and left >= 0 and left + K_w <= W:
                    place = uint64(left * C)
                    for t in range(uint64(K_w * C)):
                        dx[n, h, place + t] += cols[r, j, a, t]
                else:
                    for b in range(K_w):
                        w = left + b * D_w
                        if 0 <= w < W:
                            for c in range(C):
                                dx[n, h, w * C + c] += cols[r, j, a, b * C + c]


@jit
def planes(
    x: Any,
    K_h: int,
    K_w: int,
    S_h: int,
    S_w: int,
    P_top: int,
    P_left: int,
    D_h: int,
    D_w: int,
    H_out: int,
    first: int,
    cols: Any,
) -> None:
    """`windows`, transposed: x (N, H, W * C) -> cols (K_h * K_w * C, rows, W_out)."""
    K, rows, W_out = cols.shape
    C = K // (K_h * K_w)
    H, W = x.shape[1], x.shape[2] // C
    for r in range(rows):
        n = (first + r) // H_out
        top = (first + r - n * H_out) * S_h - P_top
        for a in range(K_h):
            h = top + a * D_h
            for b in range(K_w):
                left = b * D_w - P_left  # of the first window
                j_0 = min(W_out, max(0, -(left // S_w)))
                j_1 = max(j_0, min(W_out, (W - 1 - left) // S_w + 1))
                if h < 0 or h >= H:
                    j_0 = j_1 = W_out
                for c in range(C):
                    k = (a * K_w + b) * C + c
                    for j in range(j_0):
                        cols[k, r, j] = 0
                    if S_w * C == 1:  # a contiguous run
                        # unsigned, so that no index is asked whether it counts from the end
                        to, place = uint64(j_0), uint64(j_0 + left)
                        for t in range(uint64(j_1 - j_0)):
                            cols[k, r, to + t] = x[n, h, place + t]
                    else:
                        for j in range(j_0, j_1):
                            cols[k, r, j] = x[n, h, (j * S_w + left) * C + c]
                    for j in range(j_1, W_out):
                        cols[k, r, j] = 0


@jit
def add_planes(
    cols: Any,
    K_h: int,
    K_w: int,
    S_h: int,
    S_w: int,
    P_top: int,
    P_left: int,
    D_h: int,
    D_w: int,
    H_out: int,
    first: int,
    dx: Any,
) -> None:
    """Transpose of `planes`."""
    K, rows, W_out = cols.shape
    C = K // (K_h * K_w)
    H, W = dx.shape[1], dx.shape[2] // C
    for r in range(rows):
        n = (first + r) // H_out
        top = (first + r - n * H_out) * S_h - P_top
        for a in range(K_h):
            h = top + a * D_h
            if h < 0 or h >= H:
                continue
            for b in range(K_w):
                left = b * D_w - P_left
                j_0 = min(W_out, max(0, -(left // S_w)))
                j_1 = max(j_0, min(W_out, (W - 1 - left) // S_w + 1))
                for c in range(C):
                    k = (a * K_w + b) * C + c
                    for j in range(j_0, j_1):
                        dx[n, h, (j * S_w + left) * C + c] += cols[k, r, j]


@jit_fma
def gradients(
    dy: Any, y: Any, argmax: Any, pool: bool, relu: bool, scale: Any, dz: Any, db: Any
) -> None:
    """dz (N, H, W, F) and its sums db (F,), from the dy behind ReLU, 2x2 max-pooling and dropout.

    Nothing comes back where ReLU or dropout left 0; `scale` is that of dropout.
    """
    zero = np.float32(0)
    N, H, W, F = dz.shape
    db[:] = 0
    total = np.empty(F, np.float32)
    for n in range(N):
        for f in range(F):
            total[f] = 0
        for h in range(H):
            i = h // 2
            for w in range(W):
                if pool:
                    j, here = w // 2, 2 * (h % 2) + w % 2
                    if i < dy.shape[1] and j < dy.shape[2]:
                        for f in range(F):
                            d = dy[n, i, j, f] * scale
                            d = d if argmax[n, i, j, f] == here else zero
                            dz[n, h, w, f] = d
                            total[f] += d
                    else:  # a last odd row or column
                        for f in range(F):
                            dz[n, h, w, f] = zero
                else:
                    for f in range(F):
                        d = zero if relu and y[n, h, w, f] <= 0 else dy[n, h, w, f] * scale
                        dz[n, h, w, f] = d
                        total[f] += d
        for f in range(F):
            db[f] += total[f]


@jit_fma
def sums(dz: Any, db: Any) -> None:
    """db (F,), the sums of dz (N, pixels, F): first of an image, as long sums lose digits."""
    db[:] = 0
    total = np.empty(len(db), np.float32)
    for n in range(len(dz)):
        for f in range(len(db)):
            total[f] = 0
        for p in range(dz.shape[1]):
            for f in range(len(db)):
                total[f] += dz[n, p, f]
        for f in range(len(db)):
            db[f] += total[f]

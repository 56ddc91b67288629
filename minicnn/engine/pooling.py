"""Pooling of any window, in one pass over the image with the channels innermost; and upsampling.

Windows are as high as they are wide, so a window's rows are put together first, for all columns of
the image at once: one long loop over W * C numbers, which is vectorized for any number of channels.
Where windows overlap, that work is shared between neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.compiler import jit_fma


@jit_fma
def largest(
    x: Any, K_h: int, K_w: int, S_h: int, S_w: int, P_top: int, P_left: int, y: Any, place: Any
) -> None:
    """The largest number of each window of x (N, H, W * C), and its place in the image's numbers.

    y and place (N, H_out, W_out, C). Of equal numbers the first in row-major order wins, and NaN
    wins over all others, as in `kernels.max_pool`.
    """
    N, H_out, W_out, C = y.shape
    H, size = x.shape[1:]
    W = size // C
    best, at = np.empty(size, np.float32), np.empty(size, np.int32)
    for n in range(N):
        for i in range(H_out):
            top = i * S_h - P_top
            first = max(0, top)
            for k in range(size):
                best[k] = x[n, first, k]
                at[k] = first * size + k
            for h in range(first + 1, min(H, top + K_h)):
                for k in range(size):
                    cell, now = x[n, h, k], best[k]
                    wins = (cell > now) | ((cell != cell) & (now == now))
                    best[k] = cell if wins else now
                    at[k] = np.int32(h * size + k) if wins else at[k]
            for j in range(W_out):
                left = j * S_w - P_left
                w = max(0, left)
                for c in range(C):
                    y[n, i, j, c], place[n, i, j, c] = best[w * C + c], at[w * C + c]
                for w in range(max(0, left) + 1, min(W, left + K_w)):
                    for c in range(C):
                        cell, now = best[w * C + c], y[n, i, j, c]
                        here, there = at[w * C + c], place[n, i, j, c]
                        same = (cell == now) | ((cell != cell) & (now != now))
                        wins = (cell > now) | ((cell != cell) & (now == now))
                        wins |= same & (here < there)
                        y[n, i, j, c] = cell if wins else now
                        place[n, i, j, c] = here if wins else there


@jit_fma
def scatter(dy: Any, place: Any, dx: Any) -> None:
    """Transpose of `largest`: each number of dy (N, numbers) is added to its place in dx."""
    for n in range(len(dy)):
        dx[n] = 0
        for k in range(dy.shape[1]):
            dx[n, np.uint32(place[n, k])] += dy[n, k]


@jit_fma
def share(dy: Any, y: Any, x: Any, dx: Any) -> None:
    """Backward of the largest number of each channel of x (N, cells, C): equal ones share dy."""
    N, cells, C = x.shape
    zero = np.float32(0)
    count = np.empty(C, np.float32)
    for n in range(N):
        count[:] = 0
        for k in range(cells):
            for c in range(C):
                count[c] += np.float32(1) if x[n, k, c] == y[n, c] else zero
        for c in range(C):  # NaN equals nothing
            count[c] = dy[n, c] / (count[c] if count[c] > 0 else np.float32(1))
        for k in range(cells):
            for c in range(C):
                dx[n, k, c] = count[c] if x[n, k, c] == y[n, c] else zero


@jit_fma
def mean(x: Any, K_h: int, K_w: int, S_h: int, S_w: int, P_top: int, P_left: int, y: Any) -> None:
    """The mean of each window of x (N, H, W * C), without padding; y (N, H_out, W_out, C)."""
    N, H_out, W_out, C = y.shape
    H, size = x.shape[1:]
    W = size // C
    total = np.empty(size, np.float32)
    for n in range(N):
        for i in range(H_out):
            top = i * S_h - P_top
            first, end = max(0, top), min(H, top + K_h)
            for k in range(size):
                total[k] = x[n, first, k]
            for h in range(first + 1, end):
                for k in range(size):
                    total[k] += x[n, h, k]
            for j in range(W_out):
                left = j * S_w - P_left
                w_0, w_1 = max(0, left), min(W, left + K_w)
                part = np.float32(1 / ((end - first) * (w_1 - w_0)))
                for c in range(C):
                    y[n, i, j, c] = total[w_0 * C + c] * part
                for w in range(w_0 + 1, w_1):
                    for c in range(C):
                        y[n, i, j, c] += total[w * C + c] * part


@jit_fma
def mean_backward(
    dy: Any, K_h: int, K_w: int, S_h: int, S_w: int, P_top: int, P_left: int, dx: Any
) -> None:
    """Backward of `mean`: each number of dy in equal parts to the cells of its window."""
    N, H_out, W_out, C = dy.shape
    H, size = dx.shape[1:]
    W = size // C
    row = np.empty(size, np.float32)  # what all rows of the windows get
    for n in range(N):
        dx[n] = 0
        for i in range(H_out):
            top = i * S_h - P_top
            first, end = max(0, top), min(H, top + K_h)
            row[:] = 0
            for j in range(W_out):
                left = j * S_w - P_left
                w_0, w_1 = max(0, left), min(W, left + K_w)
                part = np.float32(1 / ((end - first) * (w_1 - w_0)))
                for w in range(w_0, w_1):
                    for c in range(C):
                        row[w * C + c] += dy[n, i, j, c] * part
            for h in range(first, end):
                for k in range(size):
                    dx[n, h, k] += row[k]


@jit_fma
def repeat(x: Any, S_h: int, S_w: int, y: Any) -> None:
    """Each pixel of x (N, H, W, C) as S_h * S_w pixels of y."""
    N, H, W, C = x.shape
    for n in range(N):
        for h in range(H):
            for w in range(W):
                for q in range(w * S_w, (w + 1) * S_w):
                    for c in range(C):
                        y[n, h * S_h, q, c] = x[n, h, w, c]
            for p in range(h * S_h + 1, (h + 1) * S_h):
                # not y[n, p] = ..., whose error message alone takes numba 3.5 s to compile
                for q in range(W * S_w):
                    for c in range(C):
                        y[n, p, q, c] = y[n, h * S_h, q, c]


@jit_fma
def add_repeats(dy: Any, S_h: int, S_w: int, dx: Any) -> None:
    """Backward of `repeat`: the sum of the pixels."""
    N, H, W, C = dx.shape
    for n in range(N):
        for h in range(H):
            for w in range(W):
                for c in range(C):
                    dx[n, h, w, c] = dy[n, h * S_h, w * S_w, c]
                for k in range(1, S_h * S_w):
                    p, q = h * S_h + k // S_w, w * S_w + k % S_w
                    for c in range(C):
                        dx[n, h, w, c] += dy[n, p, q, c]

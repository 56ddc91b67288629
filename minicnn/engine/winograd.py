"""Winograd's F(4x4, 3x3): a 3x3 convolution with a quarter of the multiplications.

The output is cut into tiles of 4x4; each is worked out from the 6x6 patch d of the input that it
sees. With the kernel g (3x3), for every input and output channel,

    V = B^T d B       U = G g G^T       M = sum over the input channels of U * V, cell by cell
    tile = A^T M A

which takes 36 multiplications for 16 outputs, where the definition takes 144. The sums over the
channels, for all tiles at once, are 36 small matrix products (`winograd_products.py`).

Backward is the same chain, each step transposed. From the gradient dt of the tiles:

    dM = A dt A^T     dV = U^T dM       dd = B dV B^T, added up where patches overlap
                      dU = V^T dM       dg = G^T dU G

All 36 products of a tile are rounded by the size of its largest numbers. Beside one large number
(1e4 among numbers up to 1, or a -9999 that stands for no data) the small sums of the tile would
lose their digits, which the definition's sums keep. So each tile is measured: a 3x3 window whose
sum is small beside the largest cell is a small one, and its output is worked out by itself, by the
definition. The same holds for dz and dx. dU adds up over all tiles; there
a tile that is uneven in x or in dz is set apart as a whole. Windows of zeros are known as well:
their sums are exactly 0, as ReLU's kink needs it.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015, section 4.3 for
the matrices. In float32 its error is some times that of the plain sums; it is measured in
`tests/test_engine.py` and stated in `docs/design.md`.

The kernels work through `TILES` tiles at a time, few enough that V and M stay in the cache, with
channels innermost, sixteen at a time (`vectors.py`). So each is compiled once, for any number of
channels from 16 on; where it is no multiple of 16, the last block repeats some of the one before.
V and M are flat; each of their 36 cells has room for TILES * channels numbers and `GAP` more: 36
places a power of two apart would share a few lines of the first-level cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.engine.vectors import (
    LANES,
    join,
    kept,
    load,
    load_bytes,
    numbers,
    split,
    store,
    store_bytes,
    where_above,
    where_at_most,
    where_equal,
    zeros,
)
from minicnn.engine.winograd_products import GAP
from minicnn.kernels.compiler import jit_fma, jit_sums

# A window is small where the largest cell of its tile is over RANGE times its sum; the tile is set
# apart where it is over FAR times as large. The same holds for gradients.
RANGE, FAR = np.float32(2.0**5), np.float32(2.0**8)
# of the largest weight over their mean; beyond, all windows count as small
WEIGHT_RANGE = np.float32(64)
SMALL, LARGE = np.float32(1e-30), np.float32(1e30)

# Windows and cells of a tile are bits of a number: 6 i + j stands for (i, j).
ALL_CELLS, ALL_WINDOWS = (1 << 36) - 1, 0b001111_001111_001111_001111
APART = 1 << 36  # beside the bits of what is not 0, in the marks of a tile

TILES = 128


@jit_fma
def _BT(d: Any) -> Any:
    """B^T times a column of 6 vectors."""
    two, four, five = np.float32(2), np.float32(4), np.float32(5)
    d0, d1, d2, d3, d4, d5 = split(d)
    p, q = d4 - four * d2, d3 - four * d1
    r, s = d4 - d2, two * (d3 - d1)
    return join(
        (four * d0 - five * d2 + d4, p + q, p - q, r + s, r - s, four * d1 - five * d3 + d5)
    )


@jit_fma
def _B(v: Any) -> Any:
    """B times a column of 6 vectors: the transpose of `_BT`."""
    two, four, five = np.float32(2), np.float32(4), np.float32(5)
    v0, v1, v2, v3, v4, v5 = split(v)
    p, q = v1 + v2, v1 - v2
    r, s = v3 + v4, two * (v3 - v4)
    return join(
        (
            four * v0,
            four * v5 - four * q - s,
            -five * v0 - four * p - r,
            q + s - five * v5,
            v0 + p + r,
            v5,
        )
    )


@jit_fma
def _AT(m: Any) -> Any:
    """A^T times a column of 6 vectors: 4 vectors."""
    two, four, eight = np.float32(2), np.float32(4), np.float32(8)
    m0, m1, m2, m3, m4, m5 = split(m)
    p, q, r, s = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return join((m0 + p + r, q + two * s, p + four * r, q + eight * s + m5))


@jit_fma
def _A(t: Any) -> Any:
    """A times a column of 4 vectors: the transpose of `_AT`, 6 vectors."""
    two, four, eight = np.float32(2), np.float32(4), np.float32(8)
    t0, t1, t2, t3 = split(t)
    p, q = t0 + t2, t1 + t3
    r, s = t0 + four * t2, two * t1 + eight * t3
    return join((t0, p + q, p - q, r + s, r - s, t3))


@jit_sums
def size_of(d: Any) -> Any:
    """Sum of |d|."""
    total = np.float32(0)
    for k in range(len(d)):
        total += abs(d[k])
    return total


@jit_sums
def sum_of_squares(d: Any) -> Any:
    total = np.float32(0)
    for k in range(len(d)):
        total += d[k] * d[k]
    return total


@jit_fma
def add_windows(cells: Any, down: int, across: int, windows: Any) -> None:
    """windows (4, ..), the first `down` rows and `across` columns: sums of 3x3 of the cells."""
    for p in range(down):
        for q in range(across + 2):
            windows[p, q] = cells[p, q] + cells[p + 1, q] + cells[p + 2, q]
        for q in range(across):  # in place: each needs those behind it alone
            windows[p, q] += windows[p, q + 1] + windows[p, q + 2]


@jit_fma
def extremes_of_columns(windows: Any, cells: Any, least: Any, most: Any) -> None:
    """The smallest of each column of windows (4, ..), the largest of each of cells (6, ..)."""
    for q in range(len(least)):
        a, b = min(windows[0, q], windows[1, q]), min(windows[2, q], windows[3, q])
        least[q] = min(a, b)
    for q in range(len(most)):
        a, b = max(cells[0, q], cells[1, q]), max(cells[2, q], cells[3, q])
        most[q] = max(max(a, b), max(cells[4, q], cells[5, q]))


@jit_fma
def largest_norm(x: Any, top: int, left: int, most: Any) -> Any:
    """Of the 6x6 cells of x (H, W, C) from (top, left) on, none of whose sums is above `most`."""
    squares = np.float32(0)
    for h in range(max(top, 0), min(top + 6, x.shape[0])):
        for w in range(max(left, 0), min(left + 6, x.shape[1])):
            squares = max(squares, sum_of_squares(x[h, w]))
    # squares overflow and vanish early; the sum is never below the norm
    return np.sqrt(squares) if SMALL < squares < LARGE else most


@jit_fma
def corner(sums: Any, i_1: int, j_1: int) -> Any:
    """The smallest sum over the windows of dz: each that overlaps (i_1, j_1) holds a corner."""
    top, low = sums[0], sums[i_1 - 1]
    return min(min(top[0], top[j_1 - 1]), min(low[0], low[j_1 - 1]))


@jit_fma
def add_overlaps(c: Any, windows: Any) -> None:
    """Sums over the 3x3 windows (36,) that overlap the cells c (4, 4), from 2 before the first."""
    rows = np.empty((4, 6), np.float32)
    for p in range(4):
        left, right = c[p, 0] + c[p, 1], c[p, 2] + c[p, 3]
        rows[p, 0], rows[p, 1], rows[p, 2] = c[p, 0], left, left + c[p, 2]
        rows[p, 3], rows[p, 4], rows[p, 5] = c[p, 1] + right, right, c[p, 3]
    for q in range(6):
        upper, lower = rows[0, q] + rows[1, q], rows[2, q] + rows[3, q]
        windows[q], windows[6 + q], windows[12 + q] = rows[0, q], upper, upper + rows[2, q]
        windows[18 + q], windows[24 + q], windows[30 + q] = rows[1, q] + lower, lower, rows[3, q]


@jit_fma
def mark_windows(largest: Any, windows: Any) -> tuple[int, int, bool]:
    """Bits of the small windows and of those that are not 0, and whether the tile is set apart.

    Rounding errors of the channels are independent, so `largest` is the norm of a cell, while the
    sum of an output's products is that of its window (36,).
    """
    small, marks, far = 0, 0, 0
    for k in range(36):  # without branches, so that it is vectorized
        some = windows[k] != 0  # all three are true of NaN: it is left to the definition
        marks |= np.int64(some) << k
        small |= np.int64(some and not windows[k] * RANGE >= largest) << k
        far |= np.int64(some and not windows[k] * FAR >= largest)
    return small, marks, far != 0 or not largest < LARGE


def is_wide(W: Any) -> bool:
    """Whether one weight of W is so large that sums without it lose digits beside it."""
    sizes = np.abs(W)
    return bool(sizes.max() * np.float32(W.size) > WEIGHT_RANGE * sizes.sum())


@jit_fma
def transform(d: Any, first: int, row: int, C: int, s: Any, V: Any, t: int) -> None:
    """V of tile t from its patch: the cells in d from place `first` on, their rows `row` apart."""
    K = TILES * C + GAP  # from one of the 36 cells to the next
    for c in range(0, C, LANES):
        c = min(c, C - LANES)
        for b in range(6):
            store(_BT(load(6, d, first + b * C + c, row)), s, b * LANES, 6 * LANES)
        for a in range(6):
            store(_BT(load(6, s, 6 * a * LANES, LANES)), V, 6 * a * K + t * C + c, K)


@jit_fma
def patches(
    x: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, left_out: Any, V: Any
) -> None:
    """V of the tiles t_0 to t_0 + count; 0 for those that are apart in left_out."""
    H, W, C = x.shape[1:]
    edge, s = np.empty((36, C), np.float32), np.empty(36 * LANES, np.float32)
    for t in range(count):
        n, place = divmod(t_0 + t, tiles_h * tiles_w)
        i, j = divmod(place, tiles_w)
        h, w = 4 * i - P, 4 * j - P
        if h >= 0 and w >= 0 and h + 6 <= H and w + 6 <= W and not left_out[t] & APART:
            transform(x, ((n * H + h) * W + w) * C, W * C, C, s, V, t)
        else:
            for k in range(36):
                p, q = h + k // 6, w + k % 6
                inside = 0 <= p < H and 0 <= q < W and not left_out[t] & APART
                for c in range(C):
                    edge[k, c] = x[n, p, q, c] if inside else np.float32(0)
            transform(edge, 0, 6 * C, C, s, V, t)


@jit_fma
def measure(
    x: Any, P: int, tiles_h: int, tiles_w: int, row_0: int, row_1: int, wide: bool,
    cells: Any, marks: Any, small: Any,
) -> None:  # fmt: skip
    """Marks the tiles of the rows row_0 to row_1, counted through all images.

    The windows of x (n, H, W, C) under P rows and columns of padding that are not 0, the tiles that
    are to be set apart, and which windows are small: all of them where the kernel `is_wide`. cells
    (4 tiles_h + 2, 4 tiles_w + 2), zeros at first, holds what the next rows of an image need.
    """
    H, W = x.shape[1], x.shape[2]
    down, across = H + 2 * P - 2, W + 2 * P - 2  # windows in an image
    sums = np.empty((4, 4 * tiles_w + 2), np.float32)
    least, most = np.empty(4 * tiles_w, np.float32), np.empty(4 * tiles_w + 2, np.float32)
    windows = np.zeros(36, np.float32)  # those of a tile, at the places of their bits
    for row in range(row_0, row_1):
        n, i = divmod(row, tiles_h)
        for p in range(4 * i + 2 if i else 0, 4 * i + 6):
            inside = 0 <= p - P < H
            for w in range(W):
                cells[p, w + P] = size_of(x[n, p - P, w]) if inside else np.float32(0)
        add_windows(cells[4 * i :], min(4, down - 4 * i), across, sums)
        sums[max(0, down - 4 * i) :] = np.inf  # the windows beyond the edge
        sums[:, across:] = np.inf
        extremes_of_columns(sums, cells[4 * i : 4 * i + 6], least, most)
        for j in range(tiles_w):
            t, k = row * tiles_w + j, 4 * j
            smallest = min(min(least[k], least[k + 1]), min(least[k + 2], least[k + 3]))
            largest = max(
                max(max(most[k], most[k + 1]), max(most[k + 2], most[k + 3])),
                max(most[k + 4], most[k + 5]),
            )
            marks[t], small[t] = ALL_CELLS, ALL_WINDOWS if wide else 0
            if wide or not (smallest > 0 and largest <= smallest * RANGE < LARGE):
                for p in range(16):
                    windows[6 * (p // 4) + p % 4] = sums[p // 4, k + p % 4]
                few, marks[t], apart = mark_windows(largest, windows)
                if few or apart:  # so it is by its sum; by its norm it may not be
                    largest = largest_norm(x[n], 4 * i - P, k - P, largest)
                    few, marks[t], apart = mark_windows(largest, windows)
                small[t] |= ALL_WINDOWS if apart else few
                marks[t] |= APART if apart else 0


@jit_fma
def apart_windows(
    x: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, marks: Any, rows: Any
) -> None:
    """rows (16 for each tile that is set apart, 9 C): its windows."""
    C, row = x.shape[3], 0
    for t in range(count):
        if not marks[t] & APART:
            continue
        n, place = divmod(t_0 + t, tiles_h * tiles_w)
        i, j = divmod(place, tiles_w)
        for k in range(16):
            for tap in range(9):
                h = 4 * i + k // 4 + tap // 3 - P
                w = 4 * j + k % 4 + tap % 3 - P
                inside = 0 <= h < x.shape[1] and 0 <= w < x.shape[2]
                for c in range(C):
                    rows[row, tap * C + c] = x[n, h, w, c] if inside else np.float32(0)
            row += 1


@jit_fma
def add_cells(
    rows: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, small: Any, dx: Any
) -> None:
    """Adds rows (k, C) to the cells of dx of the small bits."""
    C, row = dx.shape[3], 0
    for t in range(count):
        if small[t] == 0:
            continue
        n, place = divmod(t_0 + t, tiles_h * tiles_w)
        i, j = divmod(place, tiles_w)
        for k in range(36):
            if not small[t] >> k & 1:
                continue
            h, w = 4 * i + k // 6 - P, 4 * j + k % 6 - P
            if 0 <= h < dx.shape[1] and 0 <= w < dx.shape[2]:
                for c in range(C):
                    dx[n, h, w, c] += rows[row, c]
            row += 1


@jit_fma
def scatter(
    dV: Any,
    P: int,
    tiles_h: int,
    tiles_w: int,
    t_0: int,
    count: int,
    marks: Any,
    small: Any,
    dx: Any,
) -> None:
    """Adds up dd of the tiles in dx (n, H, W, C), but for cells that are small or that no gradient
    reaches.

    The first tile that has a cell writes it: the tiles have to come in their order.
    """
    H, W, C = dx.shape[1:]
    K = TILES * C + GAP
    s, d = np.empty(36 * LANES, np.float32), np.empty((36, C), np.float32)
    for t in range(count):
        n, place = divmod(t_0 + t, tiles_h * tiles_w)
        i, j = divmod(place, tiles_w)
        for c in range(0, C, LANES):
            c = min(c, C - LANES)
            for b in range(6):
                store(_B(load(6, dV, b * K + t * C + c, 6 * K)), s, b * LANES, 6 * LANES)
            for a in range(6):
                store(_B(load(6, s, 6 * a * LANES, LANES)), d, 6 * a * C + c, C)
        added = marks[t] & ~small[t]
        for a in range(6):
            h = 4 * i + a - P
            for b in range(6):
                w = 4 * j + b - P
                if not (0 <= h < H and 0 <= w < W):
                    continue
                k, reached = 6 * a + b, added >> (6 * a + b) & 1
                if (a < 2 and i > 0) or (b < 2 and j > 0):  # an earlier tile has written it
                    for c in range(C if reached else 0):
                        dx[n, h, w, c] += d[k, c]
                else:
                    for c in range(C):
                        dx[n, h, w, c] = d[k, c] if reached else np.float32(0)


@jit_fma
def by_definition(x: Any, top: int, left: int, g: Any, z: Any) -> None:
    """z (C,): the window of x (H, W, C_in) times g (9 C_in, C). Small windows are mostly 0."""
    C = len(z)
    for c in range(C):
        z[c] = 0
    for tap in range(9):
        h, w = top + tap // 3, left + tap % 3
        if 0 <= h < x.shape[0] and 0 <= w < x.shape[1]:
            for e in range(x.shape[2]):
                value = x[h, w, e]
                if value != 0:
                    for c in range(C):
                        z[c] += value * g[tap * x.shape[2] + e, c]


@jit_fma
def tiles(
    M: Any, b: Any, relu: bool, pool: bool, training: bool, after: Any,
    tiles_h: int, tiles_w: int, t_0: int, count: int, y: Any, argmax: Any,
    key_1: int, key_2: int, first: int, dropped: int, scale: Any,
    marks: Any, small: Any, x: Any, P: int, g: Any,
) -> None:  # fmt: skip
    """The finished outputs of the tiles t_0 to t_0 + count: bias, ReLU, 2x2 max-pooling, dropout.

    y is half as large with pooling, and argmax says which of the four cells won, -1 where ReLU or
    dropout left 0. after (2, C) is a scale and a shift behind ReLU, or empty. Small windows are
    worked out from x (n, .., .., C_in) and the kernel g (9 C_in, C).
    """
    C = y.shape[3]
    K = TILES * C + GAP
    s, z = np.empty(24 * LANES, np.float32), np.empty((16, C), np.float32)
    zero, scales = np.float32(0), len(after) > 0
    H_y, W_y = y.shape[1], y.shape[2]
    for t in range(count):
        n, place = divmod(t_0 + t, tiles_h * tiles_w)
        i, j = divmod(place, tiles_w)
        for c in range(0, C, LANES):
            c = min(c, C - LANES)
            for q in range(6):
                store(_AT(load(6, M, q * K + t * C + c, 6 * K)), s, q * LANES, 6 * LANES)
            for p in range(4):
                store(_AT(load(6, s, 6 * p * LANES, LANES)), z, 4 * p * C + c, C)
        if small[t] or marks[t] & ALL_WINDOWS != ALL_WINDOWS:
            for k in range(16):
                bit = 6 * (k // 4) + k % 4
                if small[t] >> bit & 1:
                    by_definition(x[n], 4 * i + k // 4 - P, 4 * j + k % 4 - P, g, z[k])
                elif not marks[t] >> bit & 1:
                    for c in range(0, C, LANES):
                        store(zeros(1), z, k * C + min(c, C - LANES), 0)
        if scales:  # here, not behind the pooling: a negative scale turns the order round
            for k in range(16):
                for c in range(C):
                    value = z[k, c] + b[c]
                    value = zero if relu and value <= 0 else value
                    z[k, c] = value * after[0, c] + after[1, c]
        down, across = (2, 2) if pool else (4, 4)  # outputs of a tile
        for p in range(min(down, H_y - down * i)):
            for q in range(min(across, W_y - across * j)):
                k = 8 * p + 2 * q if pool else 4 * p + q
                h, w = down * i + p, across * j + q
                to = ((n * H_y + h) * W_y + w) * C
                for c in range(0, C, LANES):
                    c = min(c, C - LANES)
                    best, won = load(1, z, k * C + c, 0), zeros(1)
                    if pool:
                        for cell in range(1, 4):
                            other = load(1, z, (k + cell + 2 * (cell // 2)) * C + c, 0)
                            won = where_above(other, best, numbers(1, np.float32(cell)), won)
                            best = where_above(other, best, other, best)
                    if not scales:
                        best = best + load(1, b, c, 0)
                    if relu and not scales:
                        won = where_at_most(best, zeros(1), numbers(1, np.float32(-1)), won)
                        best = where_at_most(best, zeros(1), zeros(1), best)
                    if dropped > 0:
                        stays = kept(key_1, key_2, first + to + c, dropped, scale)
                        won = where_above(stays, zeros(1), won, numbers(1, np.float32(-1)))
                        best = where_above(stays, zeros(1), best * stays, zeros(1))
                    store(best, y, to + c, 0)
                    if pool and training:
                        store_bytes(won, argmax, to + c)


@jit_fma
def clear(a: Any, size: int) -> None:
    """0 into that many numbers of a, a multiple of sixteen."""
    for at in range(0, size, LANES):
        store(zeros(1), a, at, 0)


@jit_fma
def gradients(
    dy: Any, y: Any, argmax: Any, relu: bool, pool: bool, H: int, W: int,
    tiles_h: int, tiles_w: int, t_0: int, count: int, scale: Any, wide: bool, dM: Any, db: Any,
    marks: Any, small: Any, rows: Any, apart: Any, used: Any,
) -> None:  # fmt: skip
    """dM of the tiles t_0 to t_0 + count; adds their part of db.

    H x W is the convolution's own output. Marks the cells of dx that gradients reach, sets more
    tiles apart, whose dz goes to apart (16 of each, C), and says which cells of dx are small; the
    windows of dz that reach these go to rows (k, 9 C), tap by tap. used (2,) is how many rows of
    both there are.
    """
    C = dy.shape[3]
    K = TILES * C + GAP
    cells, windows = np.empty((4, 4), np.float32), np.empty(36, np.float32)
    dz = np.empty((16, C), np.float32)
    square = dz.reshape(4, 4, C)
    s = np.empty(24 * LANES, np.float32)
    sums = np.zeros(C + LANES, np.float32)  # of dz: db, block by block
    zero = np.float32(0)
    row, n_apart = 0, 0
    H_y, W_y = dy.shape[1], dy.shape[2]
    down, across = (2, 2) if pool else (4, 4)  # outputs of a tile
    for t in range(count):
        n, place = divmod(t_0 + t, tiles_h * tiles_w)
        i, j = divmod(place, tiles_w)
        clear(dz, 16 * C)
        for p in range(min(down, H_y - down * i)):
            for q in range(min(across, W_y - across * j)):
                k = 8 * p + 2 * q if pool else 4 * p + q
                at = ((n * H_y + down * i + p) * W_y + across * j + q) * C
                for c_0 in range(0, C, LANES):
                    c = min(c_0, C - LANES)
                    d = scale * load(1, dy, at + c, 0)
                    if pool:
                        won = load_bytes(argmax, at + c)
                        for cell in range(4):
                            its = where_equal(won, numbers(1, np.float32(cell)), d, zeros(1))
                            store(its, dz, (k + cell + 2 * (cell // 2)) * C + c, 0)
                        d = where_above(won, numbers(1, np.float32(-1)), d, zeros(1))
                    else:
                        if relu:
                            d = where_at_most(load(1, y, at + c, 0), zeros(1), zeros(1), d)
                        store(d, dz, k * C + c, 0)
                    store(load(1, sums, c_0, 0) + d, sums, c_0, 0)
        too_large = False
        marks[t] |= ALL_CELLS
        small[t] = ALL_CELLS if wide else 0
        largest = zero
        for k in range(16):
            cells[k // 4, k % 4] = size_of(dz[k])
            largest = max(largest, cells[k // 4, k % 4])
        smallest = corner(cells, min(4, H - 4 * i), min(4, W - 4 * j))
        if not (smallest > 0 and largest <= smallest * RANGE < LARGE):
            add_overlaps(cells, windows)
            few, reached, far = mark_windows(largest, windows)
            if few or far:
                largest = largest_norm(square, 0, 0, largest)
                few, reached, far = mark_windows(largest, windows)
            too_large = not largest < LARGE
            small[t] |= ALL_CELLS if far else few
            marks[t] &= APART | reached
            marks[t] |= APART if far else 0
        if marks[t] & APART:
            for at in range(0, 16 * C, LANES):
                store(load(1, dz, at, 0), apart, n_apart * C + at, 0)
            n_apart += 16
        for k in range(36 if small[t] else 0):
            if small[t] >> k & 1:
                for tap in range(9):
                    p, q = k // 6 - tap // 3, k % 6 - tap % 3
                    to = (9 * row + tap) * C
                    for c in range(0, C, LANES):
                        c = min(c, C - LANES)
                        if 0 <= p < 4 and 0 <= q < 4:
                            store(load(1, dz, (4 * p + q) * C + c, 0), rows, to + c, 0)
                        else:
                            store(zeros(1), rows, to + c, 0)
                row += 1
        if too_large:  # dM would overflow, and no number that is used depends on it
            clear(dz, 16 * C)
        for c in range(0, C, LANES):
            c = min(c, C - LANES)
            for p in range(4):
                store(_A(load(4, dz, 4 * p * C + c, C)), s, 6 * p * LANES, LANES)
            for q in range(6):
                store(_A(load(4, s, q * LANES, 6 * LANES)), dM, q * K + t * C + c, 6 * K)
    last = (C - 1) // LANES * LANES  # the block that may repeat some of the one before
    for c in range(C):
        db[c] += sums[c if c < last else c + last - (C - LANES)]
    used[0], used[1] = row, n_apart

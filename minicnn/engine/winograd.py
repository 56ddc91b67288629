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

All 36 products of a tile are rounded by the size of its largest numbers. Beside one large number
(1e4 among numbers up to 1, or a -9999 that stands for no data) the small sums of the tile would
lose their digits, which the definition's sums keep. So `patches` and `gradients` compare each
tile's largest cell with the smallest 3x3 window that an output sums up; where the two are more
than `RANGE` apart, the tile is set apart and worked out as a plain product of its windows, see
`columns`. Windows of zeros are known as well: their sums are exactly 0, as ReLU's kink needs it.

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

from minicnn.kernels.compiler import jit_fused, jit_sums
from minicnn.kernels.fast import keep

# Of a tile's largest cell over its smallest window. Gradients differ more by nature: 1 % of the
# deeper model's tiles are set apart at 2^7, and 2.5 % would be at 2^6.
RANGE, GRADIENT_RANGE = np.float32(2.0**3), np.float32(2.0**7)
WEIGHT_RANGE = 64.0  # of the largest weight over their mean: beyond, all tiles are set apart
# Marks of a tile: what holds more than zeros, in bits as `not_zero`'s, and whether it is set apart.
ALL, ALL_WINDOWS = (1 << 36) - 1, 0b001111_001111_001111_001111
APART = 1 << 36
SMALL, LARGE = np.float32(1e-30), np.float32(1e30)

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


@jit_fused
def is_even_patch(d: Any, C: int, i_1: int, j_1: int) -> bool:
    """Whether no 3x3 window of the patch (36 C,) is of zeros, or small beside the patch.

    The windows are those of outputs (0, 0) to (i_1, j_1). Each holds one of the four inner squares
    of 2x2 cells. Cheap, and true of most patches.
    """
    least = LARGE
    for i in range(1, 5 if i_1 > 2 else 3, 2):
        for j in range(1, 5 if j_1 > 2 else 3, 2):
            k = 6 * i + j
            square = size_of(d[k * C : (k + 2) * C]) + size_of(d[(k + 6) * C : (k + 8) * C])
            least = min(least, square * RANGE)
    squares = sum_of_squares(d)
    return SMALL < squares < LARGE and squares <= least * least


@jit_fused
def are_even_gradients(dz: Any, C: int, i_1: int, j_1: int) -> bool:
    """As `is_even_patch` for dz (16 C,): each window that overlaps (i_1, j_1) holds a corner."""
    least = LARGE
    for i in (0, i_1 - 1):
        for j in (0, j_1 - 1):
            k = 4 * i + j
            least = min(least, size_of(dz[k * C : (k + 1) * C]) * GRADIENT_RANGE)
    squares = sum_of_squares(dz)
    return SMALL < squares < LARGE and squares <= least * least


@jit_sums
def measure_cells(d: Any, sums: Any) -> Any:
    """sums (cells,) of |d| (cells, channels) over the channels; returns the largest cell's norm."""
    most, squares = np.float32(0), np.float32(0)
    for k in range(d.shape[0]):
        total, square = np.float32(0), np.float32(0)
        for c in range(d.shape[1]):
            total += abs(d[k, c])
            square += d[k, c] * d[k, c]
        sums[k] = total
        most, squares = max(most, total), max(squares, square)
    # squares overflow and vanish early; the sum is never below the norm
    return np.sqrt(squares) if SMALL < squares < LARGE else most


@jit_fused
def is_uneven(
    largest: Any, sums: Any, size: int, i_0: int, i_1: int, j_0: int, j_1: int, most: Any
) -> bool:
    """Whether the largest norm is over `most` times the sum of some 3x3 window of the cells.

    The windows begin at i_0 to i_1 and j_0 to j_1 of the cells (size * size,) and may hang over the
    edge; those of zeros do not count. Rounding errors of the channels are independent, so they add
    up as a norm does, while the sum of an output's products is that of its window.
    """
    if not largest < LARGE:
        return True
    smallest = LARGE
    for k in range(size * size):
        smallest = min(smallest, sums[k] if sums[k] > 0 else LARGE)
    if largest <= smallest * most:  # then it holds for all windows
        return False
    for i in range(i_0, i_1):
        for j in range(j_0, j_1):
            window = np.float32(0)
            for p in range(max(i, 0), min(i + 3, size)):
                for q in range(max(j, 0), min(j + 3, size)):
                    window += sums[size * p + q]
            if window > 0 and window * most < largest:
                return True
    return False


@jit_fused
def not_zero(sums: Any, size: int) -> int:
    """Which of the cells (size * size,) hold more than zeros: bit 6 i + j for cell (i, j)."""
    cells = 0
    for i in range(size):
        for j in range(size):
            cells |= (1 if sums[size * i + j] > 0 else 0) << (6 * i + j)
    return cells


@jit_fused
def seen_from(cells: int) -> int:
    """Which 3x3 windows of the 6x6 cells hold more than zeros, in bits as `not_zero`'s."""
    rows = cells | cells >> 1 | cells >> 2
    return rows | rows >> 6 | rows >> 12


@jit_fused
def reached_from(cells: int) -> int:
    """Which of the 6x6 cells the 3x3 windows at these 4x4 reach: the transpose of `seen_from`."""
    rows = cells | cells << 1 | cells << 2
    return rows | rows << 6 | rows << 12


def is_wide(W: Any) -> bool:
    """Whether one weight is so large that sums without it would lose their digits beside it."""
    largest = max(float(W.max()), -float(W.min()))
    return largest * W.size > WEIGHT_RANGE * float(np.abs(W).sum())


class InputKernels(NamedTuple):
    """For the input's channels C. marks (TILES,) are those of the tiles.

    patches(x, P, tiles_h, tiles_w, t_0, count, first, wide, marks, V)
        V of the tiles t_0 to t_0 + count of x (n, H, W, C) under P rows and columns of padding.
        The first time, sets the marks, of the windows `seen_from` the patch; sets all tiles apart
        where the kernel `is_wide`. Later, V of the tiles apart is 0. Returns how many are apart.
    columns(x, P, tiles_h, tiles_w, t_0, count, marks, rows)
        rows (16 k, 9 C): the 3x3 windows of the k tiles that are apart, a row for each output.
    scatter(dV, P, tiles_h, tiles_w, t_0, count, marks, dx)
        Adds their dd into dx (n, H, W, C), but for cells that no gradient reaches.
    scatter_columns(rows, P, tiles_h, tiles_w, t_0, count, marks, dx)
        The transpose of `columns`: adds rows into dx.
    """

    patches: Any
    columns: Any
    scatter: Any
    scatter_columns: Any


class OutputKernels(NamedTuple):
    """For the output's channels C. marks as for the input.

    tiles(M, b, relu, H, W, tiles_h, tiles_w, t_0, count, y, winner, keys.., first, dropped, scale,
          marks, rows)
        The finished outputs of those tiles into y: bias, ReLU, 2x2 max-pooling, dropout. The
        convolution's own output is H x W; y is half as large with pooling. winner as in `direct`.
        For the k tiles that are apart, rows (16 k, C) takes the place of M.
    gradients(dy, y, winner, relu, H, W, tiles_h, tiles_w, t_0, count, scale, dM, db,
              marks, rows)
        dM of those tiles; adds their part of db. Sets more tiles apart, and the other marks to the
        cells `reached_from` their gradients. Where a tile is apart dM is 0, and dz is in rows.
    """

    tiles: Any
    gradients: Any


@cache
def input_kernels(C: int) -> InputKernels:
    """Made for C channels; with their number folded in they are vectorized."""
    K = TILES * C + GAP  # from one of the 36 cells to the next

    @jit_fused
    def patches(
        x: Any,
        P: int,
        tiles_h: int,
        tiles_w: int,
        t_0: int,
        count: int,
        first: bool,
        wide: bool,
        marks: Any,
        V: Any,
    ) -> int:
        H, W = x.shape[1], x.shape[2]
        n_apart = 0
        sums = np.empty(36, np.float32)
        d = np.empty((36, C), np.float32)
        flat = d.reshape(-1)
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
            if first:
                marks[t] = APART | ALL if wide else ALL
                i_1, j_1 = min(4, H + 2 * P - 2 - 4 * i), min(4, W + 2 * P - 2 - 4 * j)
                if not wide and not is_even_patch(flat, C, i_1, j_1):
                    largest = measure_cells(d, sums)
                    marks[t] = seen_from(not_zero(sums, 6))
                    if is_uneven(largest, sums, 6, 0, i_1, 0, j_1, RANGE):
                        marks[t] |= APART
                n_apart += 1 if marks[t] & APART else 0
            elif marks[t] & APART:
                d[:, :] = 0
                n_apart += 1
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
        return n_apart

    @jit_fused
    def columns(
        x: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, marks: Any, rows: Any
    ) -> None:
        row = 0
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
                        rows[row + k, tap * C + c] = x[n, h, w, c] if inside else np.float32(0)
            row += 16

    @jit_fused
    def scatter_columns(
        rows: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, marks: Any, dx: Any
    ) -> None:
        row = 0
        for t in range(count):
            if not marks[t] & APART:
                continue
            n, place = divmod(t_0 + t, tiles_h * tiles_w)
            i, j = divmod(place, tiles_w)
            for k in range(16):
                for tap in range(9):
                    h = 4 * i + k // 4 + tap // 3 - P
                    w = 4 * j + k % 4 + tap % 3 - P
                    if 0 <= h < dx.shape[1] and 0 <= w < dx.shape[2]:
                        for c in range(C):
                            dx[n, h, w, c] += rows[row + k, tap * C + c]
            row += 16

    @jit_fused
    def scatter(
        dV: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, marks: Any, dx: Any
    ) -> None:
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
                    reached = marks[t] >> (6 * a + b) & 1
                    if reached and 0 <= h < H and 0 <= w < W:
                        for c in range(C):
                            dx[n, h, w, c] += d[6 * a + b, c]

    return InputKernels(patches, columns, scatter, scatter_columns)


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
        marks: Any,
        rows: Any,
    ) -> None:
        s = np.empty((24, C), np.float32)
        z = np.empty((16, C), np.float32)
        zero = np.float32(0)
        row = 0
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
            for p in range(4):
                k = 6 * p
                for c in range(C):
                    z0, z1, z2, z3 = _AT(
                        s[k, c], s[k + 1, c], s[k + 2, c], s[k + 3, c], s[k + 4, c], s[k + 5, c]
                    )
                    k_z = 4 * p
                    z[k_z, c], z[k_z + 1, c], z[k_z + 2, c], z[k_z + 3, c] = z0, z1, z2, z3
            if marks[t] & APART:
                for k in range(16):
                    for c in range(C):
                        z[k, c] = rows[row + k, c]
                row += 16
            if marks[t] & ALL_WINDOWS != ALL_WINDOWS:
                for k in range(16):
                    if not marks[t] >> (6 * (k // 4) + k % 4) & 1:
                        for c in range(C):
                            z[k, c] = 0
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
        marks: Any,
        rows: Any,
    ) -> int:
        sums = np.empty(16, np.float32)
        dz = np.empty((16, C), np.float32)
        flat = dz.reshape(-1)
        s = np.empty((24, C), np.float32)
        zero = np.float32(0)
        row = 0
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
            marks[t] |= ALL
            if not are_even_gradients(flat, C, min(4, H - 4 * i), min(4, W - 4 * j)):
                largest = measure_cells(dz, sums)
                marks[t] &= APART | reached_from(not_zero(sums, 4))
                if is_uneven(largest, sums, 4, -2, 4, -2, 4, GRADIENT_RANGE):
                    marks[t] |= APART
            if marks[t] & APART:
                for k in range(16):
                    for c in range(C):
                        rows[row + k, c], dz[k, c] = dz[k, c], zero
                row += 16
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
        return row

    return OutputKernels(tiles, gradients)

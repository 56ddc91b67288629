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
lose their digits, which the definition's sums keep. So each tile is measured: a 3x3 window whose
sum is small beside the largest cell is a small one, and its output is worked out by itself, as a
product of the window and the kernel. The same holds for dz and dx. dU adds up over all tiles; there
a tile that is uneven in x or in dz is set apart as a whole. Windows of zeros are known as well:
their sums are exactly 0, as ReLU's kink needs it.

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

# A window is small where the largest cell of its tile is over RANGE times its sum; the tile is set
# apart where it is over FAR times as large. The same holds for gradients.
RANGE, FAR = np.float32(2.0**5), np.float32(2.0**8)
WEIGHT_RANGE = 64.0  # of the largest weight over their mean: beyond, all windows count as small
SMALL, LARGE = np.float32(1e-30), np.float32(1e30)

# Windows and cells of a tile are bits of a number: 6 i + j stands for (i, j).
ALL_CELLS, ALL_WINDOWS = (1 << 36) - 1, 0b001111_001111_001111_001111
APART = 1 << 36  # beside the bits of what is not 0, in the marks of a tile

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
def size_and_squares(d: Any) -> tuple[Any, Any]:
    """Sums of |d| and of d^2."""
    total, squares = np.float32(0), np.float32(0)
    for k in range(len(d)):
        total += abs(d[k])
        squares += d[k] * d[k]
    return total, squares


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
def measure_squares(
    x: Any, H: int, W: int, C: int, P: int, tiles_h: int, tiles_w: int, least: Any, squares: Any
) -> None:
    """What tells at once that no window of a tile is small, for the image x (H * W * C,).

    Each 3x3 window of a tile holds one of its four inner squares of 2x2 cells: least (tiles_h,
    tiles_w) is the smallest of their sums. The inner cells of all tiles are the image, each cell
    once; squares (tiles_h + 2, tiles_w + 2) are their sums of squares, with zeros around them, so
    that those of a tile and its neighbours cover its patch.
    """
    squares[:] = 0
    for i in range(tiles_h):
        for j in range(tiles_w):
            top, left = 4 * i + 1 - P, 4 * j + 1 - P
            bottom, right = min(top + 4, H), min(left + 4, W)
            smallest, whole = LARGE, np.float32(0)
            for p in range(top, bottom if bottom - top > 2 else top + 1, 2):
                for q in range(left, right if right - left > 2 else left + 1, 2):
                    square = np.float32(0)
                    for h in range(p, min(p + 2, bottom)):
                        at = h * W * C
                        row = x[at + q * C : at + min(q + 2, right) * C]
                        total, total_squares = size_and_squares(row)
                        square += total
                        whole += total_squares
                    smallest = min(smallest, square)
            least[i, j] = smallest
            squares[i + 1, j + 1] = whole
    if P == 0:  # the outermost cells are in no inner square
        for h in range(H):
            for w in range(W):
                if h in (0, H - 1) or w in (0, W - 1):
                    i, j = (
                        min(max(h - 1, 0) // 4, tiles_h - 1),
                        min(max(w - 1, 0) // 4, tiles_w - 1),
                    )
                    at = (h * W + w) * C
                    squares[i + 1, j + 1] += sum_of_squares(x[at : at + C])


@jit_fused
def is_even(least: Any, squares: Any, i: int, j: int) -> bool:
    """Whether no window of tile (i, j) can be small or of zeros, by `measure_squares`."""
    total = np.float32(0)
    for p in range(3):
        for q in range(3):
            total += squares[i + p, j + q]
    bound = least[i, j] * RANGE
    return SMALL < total < LARGE and total <= bound * bound


@jit_fused
def are_even_gradients(dz: Any, C: int, i_1: int, j_1: int) -> bool:
    """Whether no window of dz (16 C,) is small: each that overlaps (i_1, j_1) holds a corner."""
    least = LARGE
    for i in (0, i_1 - 1):
        for j in (0, j_1 - 1):
            k = 4 * i + j
            least = min(least, size_of(dz[k * C : (k + 1) * C]) * RANGE)
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
def small_windows(
    largest: Any,
    sums: Any,
    size: int,
    i_0: int,
    i_1: int,
    j_0: int,
    j_1: int,
) -> tuple[int, bool]:
    """The 3x3 windows whose sum is below the largest norm / RANGE, and if one is below it / FAR.

    The windows begin at i_0 to i_1 and j_0 to j_1 of the cells (size * size,) and may hang over the
    edge; those of zeros do not count. Bits are counted from (i_0, j_0). Rounding errors of the
    channels are independent, so they add up as a norm does, while the sum of an output's products
    is that of its window.
    """
    small, far = 0, False
    for i in range(i_0, i_1):
        for j in range(j_0, j_1):
            window = np.float32(0)
            for p in range(max(i, 0), min(i + 3, size)):
                for q in range(max(j, 0), min(j + 3, size)):
                    window += sums[size * p + q]
            if window > 0 and not (largest <= window * RANGE):
                small |= 1 << (6 * (i - i_0) + j - j_0)
                far = far or not (largest <= window * FAR)
    return small, far


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


@jit_fused
def count_bits(bits: int) -> int:
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


def is_wide(W: Any) -> bool:
    """Whether one weight is so large that sums without it would lose their digits beside it."""
    largest = max(float(W.max()), -float(W.min()))
    return largest * W.size > WEIGHT_RANGE * float(np.abs(W).sum())


class InputKernels(NamedTuple):
    """For the input's channels C. marks and small (TILES,) are bits of the tiles.

    measure(x, P, tiles_h, tiles_w, wide, marks, small)
        Marks the windows of x (n, H, W, C) under P rows and columns of padding that are not 0, and
        the tiles that are to be set apart, and says which windows are small: all of them where the
        kernel `is_wide`. Returns how many.
    patches(x, P, tiles_h, tiles_w, t_0, count, left_out, V)
        V of the tiles t_0 to t_0 + count; 0 for those that are apart in left_out.
    windows(x, P, tiles_h, tiles_w, t_0, count, chosen, rows)
        rows (k, 9 C): the windows of the chosen bits.
    scatter(dV, P, tiles_h, tiles_w, t_0, count, marks, small, dx)
        Adds their dd into dx (n, H, W, C), but for cells that are small or reached by no gradient.
    add_cells(rows, P, tiles_h, tiles_w, t_0, count, small, dx)
        Adds rows (k, C) to the cells of dx of the small bits.
    """

    measure: Any
    patches: Any
    windows: Any
    scatter: Any
    add_cells: Any


class OutputKernels(NamedTuple):
    """For the output's channels C. marks and small as for the input.

    tiles(M, b, relu, H, W, tiles_h, tiles_w, t_0, count, y, winner, keys.., first, dropped, scale,
          marks, small, rows)
        The finished outputs of those tiles into y: bias, ReLU, 2x2 max-pooling, dropout. The
        convolution's own output is H x W; y is half as large with pooling. winner as in `direct`.
        For the k small windows, rows (k, C) takes the place of M; returns k.
    gradients(dy, y, winner, relu, H, W, tiles_h, tiles_w, t_0, count, scale, wide, dM, db,
              marks, small, rows, apart)
        dM of those tiles; adds their part of db. Marks the cells of dx that gradients reach, sets
        more tiles apart, whose dz goes to apart (16 of each, C), and says which cells of dx are
        small; the windows of dz that reach these go to rows (k, 9 C), tap by tap. Returns how many
        rows of both there are.
    """

    tiles: Any
    gradients: Any


@cache
def input_kernels(C: int) -> InputKernels:
    """Made for C channels; with their number folded in they are vectorized."""
    K = TILES * C + GAP  # from one of the 36 cells to the next

    @jit_fused
    def patches(
        x: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, left_out: Any, V: Any
    ) -> None:
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
            if left_out[t] & APART:
                d[:, :] = 0
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
    def measure_tile(x: Any, P: int, i: int, j: int, d: Any, sums: Any) -> tuple[int, int]:
        H, W = x.shape[:2]
        for k in range(36):
            h, w = 4 * i + k // 6 - P, 4 * j + k % 6 - P
            inside = 0 <= h < H and 0 <= w < W
            for c in range(C):
                d[k, c] = x[h, w, c] if inside else np.float32(0)
        largest = measure_cells(d, sums)
        seen = seen_from(not_zero(sums, 6))
        i_1, j_1 = min(4, H + 2 * P - 2 - 4 * i), min(4, W + 2 * P - 2 - 4 * j)
        few, far = small_windows(largest, sums, 6, 0, i_1, 0, j_1)
        apart = far or not largest < LARGE
        return (ALL_WINDOWS if apart else few), (seen | APART if apart else seen)

    @jit_fused
    def measure(
        x: Any, P: int, tiles_h: int, tiles_w: int, wide: bool, marks: Any, small: Any
    ) -> int:
        H, W = x.shape[1], x.shape[2]
        sums, d = np.empty(36, np.float32), np.empty((36, C), np.float32)
        least = np.empty((tiles_h, tiles_w), np.float32)
        squares = np.zeros((tiles_h + 2, tiles_w + 2), np.float32)
        n_small, t = 0, 0
        for n in range(len(x)):
            measure_squares(x[n].reshape(-1), H, W, C, P, tiles_h, tiles_w, least, squares)
            for i in range(tiles_h):
                for j in range(tiles_w):
                    marks[t], small[t] = ALL_CELLS, ALL_WINDOWS if wide else 0
                    if wide or not is_even(least, squares, i, j):
                        few, marks[t] = measure_tile(x[n], P, i, j, d, sums)
                        small[t] |= few
                        n_small += count_bits(small[t])
                    t += 1
        return n_small

    @jit_fused
    def windows(
        x: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, chosen: Any, rows: Any
    ) -> None:
        row = 0
        for t in range(count):
            if chosen[t] == 0:
                continue
            n, place = divmod(t_0 + t, tiles_h * tiles_w)
            i, j = divmod(place, tiles_w)
            for k in range(16):
                if not chosen[t] >> (6 * (k // 4) + k % 4) & 1:
                    continue
                for tap in range(9):
                    h = 4 * i + k // 4 + tap // 3 - P
                    w = 4 * j + k % 4 + tap % 3 - P
                    inside = 0 <= h < x.shape[1] and 0 <= w < x.shape[2]
                    for c in range(C):
                        rows[row, tap * C + c] = x[n, h, w, c] if inside else np.float32(0)
                row += 1

    @jit_fused
    def add_cells(
        rows: Any, P: int, tiles_h: int, tiles_w: int, t_0: int, count: int, small: Any, dx: Any
    ) -> None:
        row = 0
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

    @jit_fused
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
                    added = marks[t] & ~small[t]
                    if added >> (6 * a + b) & 1 and 0 <= h < H and 0 <= w < W:
                        for c in range(C):
                            dx[n, h, w, c] += d[6 * a + b, c]

    return InputKernels(measure, patches, windows, scatter, add_cells)


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
        small: Any,
        rows: Any,
    ) -> int:
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
            if small[t] or marks[t] & ALL_WINDOWS != ALL_WINDOWS:
                for k in range(16):
                    bit = 6 * (k // 4) + k % 4
                    if small[t] >> bit & 1:
                        for c in range(C):
                            z[k, c] = rows[row, c]
                        row += 1
                    elif not marks[t] >> bit & 1:
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
        return row

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
        wide: bool,
        dM: Any,
        db: Any,
        marks: Any,
        small: Any,
        rows: Any,
        apart: Any,
    ) -> tuple[int, int]:
        sums = np.empty(16, np.float32)
        dz = np.empty((16, C), np.float32)
        flat = dz.reshape(-1)
        s = np.empty((24, C), np.float32)
        zero = np.float32(0)
        row, n_apart = 0, 0
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
            too_large = False
            marks[t] |= ALL_CELLS
            small[t] = ALL_CELLS if wide else 0
            if not are_even_gradients(flat, C, min(4, H - 4 * i), min(4, W - 4 * j)):
                largest = measure_cells(dz, sums)
                marks[t] &= APART | reached_from(not_zero(sums, 4))
                few, far = small_windows(largest, sums, 4, -2, 4, -2, 4)
                too_large = not largest < LARGE
                small[t] |= ALL_CELLS if far or too_large else few
                marks[t] |= APART if far or too_large else 0
            if marks[t] & APART:
                for k in range(16):
                    for c in range(C):
                        apart[n_apart + k, c] = dz[k, c]
                n_apart += 16
            for k in range(36 if small[t] else 0):
                if small[t] >> k & 1:
                    for tap in range(9):
                        p, q = k // 6 - tap // 3, k % 6 - tap % 3
                        inside = 0 <= p < 4 and 0 <= q < 4
                        for c in range(C):
                            rows[row, tap * C + c] = dz[4 * p + q, c] if inside else zero
                    row += 1
            if too_large:  # dM would overflow, and no number that is used depends on it
                dz[:, :] = 0
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
        return row, n_apart

    return OutputKernels(tiles, gradients)

"""The 36 products of Winograd's method, and the kernel's side of it: U = G g G^T before them, and
dg = G^T dU G behind them.

U is four times as large as the kernel g, and of a layer of 256 channels it takes 9 MB: making it,
and dU, in memory takes longer than the products of a few images. So a panel of U, for 32 filters,
is made where its products are about to read it, and made again for the next tiles; that is some 60
operations for each pair of channel and filter, beside 36 for each tile. dU goes back to dg block by
block, while it is in the cache.

V, M and their gradients are as in `winograd.py`: for each of 36 cells a matrix (tiles, channels).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from minicnn.engine.products import BLOCK, ROWS, SAMPLES, block_size, sums_of
from minicnn.engine.vectors import LANES, add_outer, join, load, split, store, transposed, zeros
from minicnn.kernels.compiler import jit, jit_fma, wide_vectors

SQUARE = LANES * LANES
GAP = 16  # numbers between cells: a power of two apart they would share a few lines of the cache
# dU of a block, 64 channels by 128 filters, is 1.2 MB; V and dM are read once for each block
BLOCK_ROWS, BLOCK_COLUMNS = 4, 8  # squares of 16 x 16
CELL_OF_DU = BLOCK_ROWS * BLOCK_COLUMNS * SQUARE + GAP
BLOCK_OF_DU = 36 * CELL_OF_DU  # numbers that `gradient` needs memory for


@jit_fma
def _G(g: Any) -> Any:
    """G times a column of 3 vectors: 6 vectors. No sum in it is larger than the largest number."""
    quarter, sixth = np.float32(1 / 4), np.float32(1 / 6)
    twelfth, of_24 = np.float32(1 / 12), np.float32(1 / 24)
    g0, g1, g2 = split(g)
    p, q = -sixth * g0 - sixth * g2, sixth * g1
    r, s = of_24 * g0 + sixth * g2, twelfth * g1
    return join((quarter * g0, p - q, p + q, r + s, r - s, g2))


@jit_fma
def _GT(u: Any) -> Any:
    """G^T times a column of 6 vectors: 3 vectors."""
    quarter, sixth, of_24 = np.float32(1 / 4), np.float32(1 / 6), np.float32(1 / 24)
    two, four = np.float32(2), np.float32(4)
    u0, u1, u2, u3, u4, u5 = split(u)
    a, b, c, d = sixth * u1, sixth * u2, of_24 * u3, of_24 * u4
    p, r = a + b, c + d
    return join((quarter * u0 - p + r, b - a + two * (c - d), four * r - p + u5))


@jit_fma
def _transform(g: Any, at: int, step: int, s: Any, panel: Any, to: int, cell: int) -> None:
    """U of one vector of kernels: their 9 taps from place `at` of g on, `step` apart, into the 36
    cells of the panel from place `to` on."""
    for b in range(3):
        store(_G(load(3, g, at + b * step, 3 * step)), s, b * LANES, 3 * LANES)
    for a in range(6):
        store(_G(load(3, s, 3 * a * LANES, LANES)), panel, to + 6 * a * cell, cell)


@jit_fma
def _fill(g: Any, C: int, F: int, f: int, width: int, s: Any, panel: Any) -> None:
    """The panel of U, (36, C, width), for the filters f to f + width of g (9, C, F)."""
    for c in range(C):
        for v in range(0, width, LANES):
            _transform(g, c * F + f + v, C * F, s, panel, c * width + v, C * width + GAP)


@jit_fma
def _fill_transposed(
    g: Any, C: int, F: int, c: int, width: int, turned: Any, s: Any, panel: Any
) -> None:
    """The panel of U^T, (36, F, width), for the channels c to c + width of g (9, C, F)."""
    for first in range(0, F, LANES):
        f = min(first, F - LANES)
        for v in range(0, width, LANES):
            for tap in range(9):
                square = transposed(load(LANES, g, (tap * C + c + v) * F + f, F))
                store(square, turned, tap * SQUARE, LANES)
            for row in range(LANES):
                to = (f + row) * width + v
                _transform(turned, row * LANES, SQUARE, s, panel, to, F * width + GAP)


def panel_size(rows: int, vectors: int) -> int:
    """Numbers in a panel of U with so many rows, for `multiply`."""
    return 36 * (rows * vectors * LANES + GAP)


@cache
def multiply(vectors: int) -> Any:
    """The kernel of the products with panels of so many vectors."""
    width, add = vectors * LANES, sums_of(vectors, SAMPLES)

    @jit_fma
    def products(
        V: Any, V_cell: int, g: Any, M: Any, M_cell: int, panel: Any, count: int, C: int, F: int,
        back: bool, none: Any, ones: Any, no: bool, zero: int,
    ) -> None:  # fmt: skip
        """M (count, F) = V (count, C) U, 36 times; or, on the way back, dV (count, C) = dM U^T,
        where V is dM and M is dV.

        From one of the 36 to the next there are V_cell and M_cell numbers. g is (9, C, F), flat.
        """
        wide_vectors()
        rows, columns = (F, C) if back else (C, F)
        cell, size, panel_row = rows * width + GAP, block_size(rows), zero + width
        s, turned = np.empty(18 * LANES, np.float32), np.empty(9 * SQUARE, np.float32)
        sums = np.empty((ROWS + SAMPLES) * width if rows > BLOCK else 0, np.float32)
        for begin in range(0, columns, width):
            u = min(begin, columns - width)
            if back:
                _fill_transposed(g, C, F, u, width, turned, s, panel)
            else:
                _fill(g, C, F, u, width, s, panel)
            for k in range(36):
                x, y = V[k * V_cell :], M[k * M_cell :]
                for top in range(0, count, ROWS):
                    bottom = min(top + ROWS, count)
                    for start in range(0, rows, size):
                        add(
                            x, rows, panel, k * cell + start * width, panel_row, none, ones, no,
                            sums, zero, y, columns, u, count, top, bottom, start,
                            min(start + size, rows),
                        )  # fmt: skip

    return products


@jit_fma
def gradient(
    V: Any, V_cell: int, dM: Any, dM_cell: int, count: int, C: int, F: int, dU: Any, dg: Any,
    tap: int, tiled: bool, add: bool,
) -> None:  # fmt: skip
    """dg, 9 times (C, F), or added to it: G^T dU G of dU = V^T dM for `count` tiles.

    From one of the nine to the next there are `tap` numbers. If `tiled`, each is square after
    square of 16 x 16, of which the last may overlap those before. dU is memory for a block.
    """
    wide_vectors()
    cell, s = CELL_OF_DU, np.empty(18 * LANES, np.float32)
    rows, columns = -(-C // LANES), -(-F // LANES)
    for top in range(0, rows, BLOCK_ROWS):
        for left in range(0, columns, BLOCK_COLUMNS):
            bottom, right = min(top + BLOCK_ROWS, rows), min(left + BLOCK_COLUMNS, columns)
            for k in range(36):
                at = k * cell
                for row in range(top, bottom):
                    x = k * V_cell + min(row * LANES, C - LANES)
                    for column in range(left, right):
                        d = k * dM_cell + min(column * LANES, F - LANES)
                        acc = zeros(LANES)
                        for t in range(count):
                            acc = add_outer(acc, load(1, dM, d + t * F, 0), V, x + t * C, 1, LANES)
                        store(acc, dU, at, LANES)
                        at += SQUARE
            at = 0
            for row in range(top, bottom):
                c = min(row * LANES, C - LANES)
                for column in range(left, right):
                    f = min(column * LANES, F - LANES)
                    to = (row * columns + column) * SQUARE if tiled else c * F + f
                    step = LANES if tiled else F
                    for first in range(at, at + SQUARE, LANES):
                        for b in range(6):
                            u = load(6, dU, b * cell + first, 6 * cell)
                            store(_GT(u), s, b * LANES, 6 * LANES)
                        for a in range(3):
                            taps = _GT(load(6, s, 6 * a * LANES, LANES))
                            if add:
                                taps = taps + load(3, dg, to + 3 * a * tap, tap)
                            store(taps, dg, to + 3 * a * tap, tap)
                        to += step
                    at += SQUARE


def overlap(C: int, F: int) -> bool:
    """Whether squares of 16 x 16 overlap in dg."""
    return bool(C % LANES or F % LANES)


def squares_size(C: int, F: int) -> int:
    """Numbers of one tap of dg in squares of 16 x 16, of which the last may overlap others."""
    return -(-C // LANES) * -(-F // LANES) * SQUARE


@jit
def from_squares(squares: Any, C: int, F: int, dg: Any) -> None:
    """dg (9, C, F), flat, from its squares."""
    at = 0
    for tap in range(9):
        for first in range(0, C, LANES):
            c = min(first, C - LANES)
            for begin in range(0, F, LANES):
                f = min(begin, F - LANES)
                store(load(LANES, squares, at, LANES), dg, (tap * C + c) * F + f, F)
                at += SQUARE

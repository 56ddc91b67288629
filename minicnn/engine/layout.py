"""How the arrays of a convolution lie in memory: for the tiles of `tiles.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.vectors import LANES
from minicnn.kernels.memory import aligned

Array = NDArray[Any]

ROOM = 4  # pixels by which a tile may overrun a row


class Blocks(NamedTuple):
    """How filters are cut into blocks, one of which is a side of a tile.

    >>> Blocks.of(16), Blocks.of(6), Blocks.of(3)
    (Blocks(size=8, number=2), Blocks(size=6, number=1), Blocks(size=4, number=1))
    """

    size: int
    number: int

    @classmethod
    def of(cls, filters: int) -> Blocks:
        """The block size with the least work, counting the padding of the last block.

        A filter takes 1.2 times as long in a block of four as in a block of eight.
        """
        cost = {8: 1.0, 6: 1.0, 4: 1.2}
        size = min(cost, key=lambda one: -(-filters // one) * one * cost[one])
        return cls(size, -(-filters // size))

    @property
    def total(self) -> int:
        return self.size * self.number


class Geometry(NamedTuple):
    """The sizes of a convolution, and how its arrays lie: X, dZ and dX, of a group or an image.

    A row begins `.._row` behind the one before, a pixel `.._column` behind its neighbour (one of dX
    as one of X), a channel `.._plane` behind the one before. The images begin at `x_at` in X, which
    has the padding around them, and dZ at `d_at` in an array with what dX asks for around it.
    """

    H: int
    W: int
    C: int
    F: int
    K_h: int
    K_w: int
    S_h: int
    S_w: int
    D_h: int
    D_w: int
    H_out: int
    W_out: int
    x_column: int
    d_column: int
    x_at: int
    x_row: int
    x_plane: int
    x_rows: int
    d_at: int
    d_row: int
    d_plane: int
    d_rows: int
    dx_row: int
    dx_plane: int


def geometry(win: Any, input_shape: tuple[int, ...], F: int, *, interleave: bool) -> Geometry:
    """That of a convolution with the windows `win` (`layers.windows`) of images (H, W, C).

    Interleaved, an array is (H, C, W, 16), and its channels are whole blocks; else (H, W, C).
    """
    S_h, S_w, P_top, P_left, D_h, D_w = win.steps
    (H, W, C), K_h, K_w, H_out, W_out = input_shape, win.K_h, win.K_w, win.H_out, win.W_out
    x_rows = max(P_top + H, (H_out - 1) * S_h + (K_h - 1) * D_h + 1)
    x_cols = max(P_left + W, (W_out - 1) * S_w + (K_w - 1) * D_w + 1)
    above, below = _around(H, K_h, S_h, P_top, D_h, H_out)
    left, right = _around(W, K_w, S_w, P_left, D_w, W_out)
    d_cols = left + W_out + right
    if interleave:
        x_plane, d_plane = _odd(x_cols) * LANES, _odd(d_cols) * LANES
        dx_plane = _odd(W + ROOM * S_w) * LANES
        columns, rows = (LANES, LANES), (C * x_plane, Blocks.of(F).total * d_plane)
        dx_row = Blocks.of(C).total * dx_plane
    else:
        x_plane = d_plane = dx_plane = 1
        columns, rows, dx_row = (C, F), (x_cols * C, d_cols * F), W * C
    return Geometry(
        H, W, C, F, K_h, K_w, S_h, S_w, D_h, D_w, H_out, W_out, *columns,
        x_at=P_top * rows[0] + P_left * columns[0], x_row=rows[0], x_plane=x_plane, x_rows=x_rows,
        d_at=above * rows[1] + left * columns[1], d_row=rows[1], d_plane=d_plane,
        d_rows=above + H_out + below, dx_row=dx_row, dx_plane=dx_plane,
    )  # fmt: skip


def _around(size: int, K: int, S: int, P: int, D: int, out: int) -> tuple[int, int]:
    """How many rows before the first of dZ, and behind the last, dX asks for; they are zeros."""
    return max(0, ((K - 1) * D - P) // S), max(0, (size - 1 + P) // S - (out - 1))


def _odd(pixels: int) -> int:
    """So many, or one more: then the planes do not begin at the same lines of a cache."""
    return pixels | 1


def cells_of(g: Geometry) -> Array:
    """Where the cells of the window lie in X, from the pixel on."""
    rows, cols = np.arange(g.K_h) * g.D_h * g.x_row, np.arange(g.K_w) * g.D_w * g.x_column
    return np.add.outer(rows, cols).reshape(-1)


class Remainders(NamedTuple):
    """dX as convolutions of dZ, one for each phase ((h + P) mod S_h, (w + P) mod S_w).

    From h + P = i S + a D, row a of the kernel contributes only to the phase (a D) mod S; likewise
    for columns.

    Attributes
    ----------
    table : Array
        A row for each: where it begins in dZ and in dX, rows, columns, the first and the end of
        its cells in `offsets`, and of its numbers in the weights.
    offsets : Array
        Where a cell lies in dZ, from the pixel on.
    window : list of arrays
        The cells of each, by their number in the window.
    """

    table: Array
    offsets: Array
    window: list[Array]

    @classmethod
    def of(cls, g: Geometry, P_top: int, P_left: int) -> Remainders:
        table: list[tuple[int, ...]] = []
        offsets: list[int] = []
        window: list[Array] = []
        size = Blocks.of(g.C).total * g.F
        for r in range(g.S_h):
            for s in range(g.S_w):
                h, w = (r - P_top) % g.S_h, (s - P_left) % g.S_w  # the first of the remainder
                i, j = (h + P_top) // g.S_h, (w + P_left) // g.S_w
                rows, cols = max(0, -(-(g.H - h) // g.S_h)), max(0, -(-(g.W - w) // g.S_w))
                begin, own = len(offsets), []
                for a in range(g.K_h):
                    for b in range(g.K_w):
                        if (a * g.D_h - r) % g.S_h == 0 and (b * g.D_w - s) % g.S_w == 0:
                            up, left = (a * g.D_h - r) // g.S_h, (b * g.D_w - s) // g.S_w
                            offsets.append(-up * g.d_row - left * g.d_column)
                            own.append(a * g.K_w + b)
                place = (
                    g.d_at + i * g.d_row + j * g.d_column,
                    h * g.dx_row + w * g.x_column,
                )
                end = len(offsets)
                table.append((*place, rows, cols, begin, end, begin * size, end * size))
                window.append(np.array(own, np.int64))
        return cls(np.array(table, np.int64), np.array(offsets, np.int64), window)


def zeros(size: int) -> Array:
    held = aligned((size,))
    held[...] = 0
    return held

"""How convolutions are laid out and cut into tiles: for `interleaved.py` and `depthwise.py`."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.engine import depthwise, interleaved
from minicnn.engine.memory import aligned
from minicnn.engine.vectors import LANES

Array = NDArray[Any]

MOST_CELLS = 25  # of a window in a tile: more do not fit the registers
ROOM = 4  # pixels by which a tile may overrun a row
PIXELS = 96  # of dZ for one tile of dW: four planes of them fill half of a 48 KB L1 cache
MOST_GROUPS = 4  # of 16 images: a shard of 64


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


class Rows(NamedTuple):
    """How a row of the window is cut into parts of so many taps, which are a side of a tile; the
    other side is `filters`.

    >>> Rows.of(5, 8), Rows.of(7, 6), Rows.of(3, 8)
    (Rows(taps=5, parts=1, filters=4), Rows(taps=4, parts=2, filters=3), \
Rows(taps=3, parts=1, filters=4))
    """

    taps: int
    parts: int
    filters: int

    @classmethod
    def of(cls, K_w: int, block: int) -> Rows:
        """For windows K_w wide and blocks of so many filters, which the tile's side divides."""
        taps = K_w if K_w <= 5 else min((5, 4, 3), key=lambda one: -(-K_w // one) * one)
        filters = block if taps <= 2 else {8: 4, 6: 3, 4: 4}[block]  # as many as registers hold
        return cls(taps, -(-K_w // taps), filters)


class Geometry(NamedTuple):
    """The sizes of a convolution, and how its arrays lie: X, dZ and dX, of a group or an image.

    A row begins `.._row` behind the one before, a pixel `column` behind its neighbour, a channel
    `.._plane` behind the one before. The images begin at `x_at` in X, which has the padding around
    them, and dZ at `d_at` in an array with what dX asks for around it.
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
    column: int
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
        column, rows = LANES, (C * x_plane, Blocks.of(F).total * d_plane)
        dx_row = Blocks.of(C).total * dx_plane
    else:
        x_plane = d_plane = dx_plane = 1
        column, rows, dx_row = C, (x_cols * C, d_cols * C), W * C
    return Geometry(
        H, W, C, F, K_h, K_w, S_h, S_w, D_h, D_w, H_out, W_out, column,
        x_at=P_top * rows[0] + P_left * column, x_row=rows[0], x_plane=x_plane, x_rows=x_rows,
        d_at=above * rows[1] + left * column, d_row=rows[1], d_plane=d_plane,
        d_rows=above + H_out + below, dx_row=dx_row, dx_plane=dx_plane,
    )  # fmt: skip


def _around(size: int, K: int, S: int, P: int, D: int, out: int) -> tuple[int, int]:
    """How many rows before the first of dZ, and behind the last, dX asks for; they are zeros."""
    return max(0, ((K - 1) * D - P) // S), max(0, (size - 1 + P) // S - (out - 1))


def _odd(pixels: int) -> int:
    """So many, or one more: then the planes do not begin at the same lines of a cache."""
    return pixels | 1


def places(W: int, C: int, plane: int) -> Array:
    """Where the numbers of an image's row (W, C) stand in one of a group: (C, W, 16)."""
    return (np.arange(W)[:, None] * LANES + np.arange(C) * plane).reshape(-1)


def taps(g: Geometry) -> Array:
    """Where the cells of the window lie in X, from the pixel on."""
    rows, cols = np.arange(g.K_h) * g.D_h * g.x_row, np.arange(g.K_w) * g.D_w * g.column
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
                            offsets.append(-up * g.d_row - left * g.column)
                            own.append(a * g.K_w + b)
                place = (
                    g.d_at + i * g.d_row + j * g.column,
                    h * g.dx_row + w * g.column,
                )
                end = len(offsets)
                table.append((*place, rows, cols, begin, end, begin * size, end * size))
                window.append(np.array(own, np.int64))
        return cls(np.array(table, np.int64), np.array(offsets, np.int64), window)


def packed(W: Array) -> Array:
    """Weights (cells, C, F) as `convolve` reads them: flat, from (blocks, cells, C, size)."""
    cells, C, F = W.shape
    size, number = Blocks.of(F)
    whole = np.zeros((cells, C, size * number), np.float32)
    whole[..., :F] = W
    return whole.reshape(cells, C, number, size).transpose(2, 0, 1, 3).reshape(-1)


def transposed_weights(W: Array, window: list[Array]) -> Array:
    """Weights (cells, C, F) for dX: those of each of the `Remainders`, `packed`."""
    return np.concatenate([packed(W[own].transpose(0, 2, 1)) for own in window])


class Interleaved:
    """All that follows from the shape of an image, for `interleaved.py`: arrays for a group or a
    few, and the kernels.

    Attributes
    ----------
    together : int
        How many groups X and D are for.
    X, Z, Y, D, dX : flat arrays
        The images with their padding; two rows of Z; a row of y, or of dY; dZ, and dX. What lies
        beyond the numbers in use is 0 from the beginning.
    of_x, of_y, of_dx : arrays
        The places of the numbers of a row, in X, Y and dX.
    """

    def __init__(
        self, win: Any, input_shape: tuple[int, ...], F: int, *, pool: bool, needs_dx: bool
    ) -> None:
        self.input_shape, (_, W, C) = input_shape, input_shape
        self.geometry = g = geometry(win, input_shape, F, interleave=True)
        blocks = Blocks.of(F)
        self.rows, self.taps = Rows.of(win.K_w, blocks.size), taps(g)
        self.remainders = Remainders.of(g, *win.steps[2:4])
        self.forward = interleaved.forward(blocks.size)
        self.backward = interleaved.backward(self.rows.taps, self.rows.filters, Blocks.of(C).size)
        each = 2 if pool else 1
        self.output_shape = g.H_out // each, g.W_out // each, F
        W_y = g.W_out // each
        self._room = ROOM * (g.S_w + g.D_w) * LANES
        self._needs_dx = needs_dx
        self.together = min(max(PIXELS // (g.H_out * g.W_out), 1), MOST_GROUPS)
        self.X = _zeros(self.together * (g.x_rows * g.x_row + self._room))
        self.Z = _zeros(2 * blocks.total * (g.W_out + ROOM) * LANES)
        self.Y = _zeros(F * W_y * LANES)
        self.of_x, self.of_dx = places(W, C, g.x_plane), places(W, C, g.dx_plane)
        self.of_y = places(W_y, F, W_y * LANES)

    @cached_property  # D and dX are for training only
    def D(self) -> Array:
        g = self.geometry
        return _zeros(self.together * (g.d_rows * g.d_row + self._room))

    @cached_property
    def dX(self) -> Array:
        return _zeros(self.geometry.H * self.geometry.dx_row if self._needs_dx else 0)

    def argmax_shape(self, n: int, *, training: bool) -> tuple[int, int]:
        """For each group of n images the rows of y, each as wide as Y; one row in inference."""
        groups = -(-n // LANES)
        return groups * self.output_shape[0] if training else 1, self.Y.size


class Transposed(Interleaved):
    """The same for a transposed convolution, where images (H, W, C) are its output, and its input
    is what the convolution from there would give.
    """

    def __init__(self, win: Any, output_shape: tuple[int, ...], C_in: int) -> None:
        super().__init__(win, output_shape, C_in, pool=False, needs_dx=True)
        g, blocks = self.geometry, Blocks.of(C_in)
        self.forward = interleaved.transposed_forward(Blocks.of(g.C).size)
        self.backward = interleaved.transposed_backward(
            self.rows.taps, self.rows.filters, blocks.size
        )
        self.of_d = places(g.W_out, C_in, g.d_plane)
        self.of_z = places(g.W_out, C_in, len(self.Z) // (2 * blocks.total))


class Depthwise:
    """All that follows from the shape of an image, for `depthwise.py`: X, D, and the kernels."""

    def __init__(self, win: Any, input_shape: tuple[int, ...]) -> None:
        C = input_shape[2]
        self.input_shape = input_shape
        self.geometry = g = geometry(win, input_shape, C, interleave=False)
        self.taps, self.cells = taps(g), np.arange(g.K_h * g.K_w)
        self.remainders = Remainders.of(g, *win.steps[2:4])
        self.cells_of_dx = np.concatenate(self.remainders.window)
        columns = [row[3] for row in self.remainders.table if row[3]]
        of_dx, whole = 4 if min(columns) >= 4 else 1, g.K_h * g.K_w
        self.forward = depthwise.forward(4 if g.W_out >= 4 else 1)
        self.backward = depthwise.backward(of_dx, whole if whole <= MOST_CELLS else g.K_w)
        self.X = _zeros(g.x_rows * g.x_row)
        self.blocks = -(-C // LANES)
        self.none = _zeros(C)

    @cached_property
    def D(self) -> Array:
        return _zeros(self.geometry.d_rows * self.geometry.d_row)

    def merged(self, blocks: Array, out: Array) -> None:
        """Numbers of each block (blocks, .., 16) into out (.., C), whose last block overlaps."""
        C = out.shape[-1]
        for k, block in enumerate(blocks):
            start = min(k * LANES, C - LANES)
            out[..., start : start + LANES] = block


def _zeros(size: int) -> Array:
    held = aligned((size,))
    held[...] = 0
    return held

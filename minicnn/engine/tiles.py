"""How convolutions are cut into tiles: for `interleaved.py`, `implicit.py` and `depthwise.py`."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.engine import depthwise, implicit, interleaved
from minicnn.engine.layout import ROOM, Blocks, Geometry, Remainders, cells_of, geometry, zeros
from minicnn.engine.passes import SUMMED
from minicnn.engine.vectors import LANES
from minicnn.kernels.memory import aligned

Array = NDArray[Any]

MOST_TAPS = 7  # of a row of a depthwise window in a tile: more do not fit the registers
PIXELS = 96  # of dZ for one tile of dW: four planes of them fill half of a 48 KB L1 cache
MOST_GROUPS = 4  # of 16 images: a shard of 64


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


def places(W: int, C: int, plane: int) -> Array:
    """Where the numbers of an image's row (W, C) stand in one of a group: (C, W, 16)."""
    return (np.arange(W)[:, None] * LANES + np.arange(C) * plane).reshape(-1)


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
        self.rows, self.taps = Rows.of(win.K_w, blocks.size), cells_of(g)
        self.remainders = Remainders.of(g, *win.steps[2:4])
        self.forward = interleaved.forward(blocks.size)
        self.backward = interleaved.backward(self.rows.taps, self.rows.filters, Blocks.of(C).size)
        each = 2 if pool else 1
        self.output_shape = g.H_out // each, g.W_out // each, F
        W_y = g.W_out // each
        self._room = ROOM * (g.S_w + g.D_w) * LANES
        self._needs_dx = needs_dx
        self.together = min(max(PIXELS // (g.H_out * g.W_out), 1), MOST_GROUPS)
        self.X = zeros(self.together * (g.x_rows * g.x_row + self._room))
        self.Z = zeros(2 * blocks.total * (g.W_out + ROOM) * LANES)
        self.Y = zeros(F * W_y * LANES)
        self.of_x, self.of_dx = places(W, C, g.x_plane), places(W, C, g.dx_plane)
        self.of_y = places(W_y, F, W_y * LANES)

    @cached_property  # D and dX are for training only
    def D(self) -> Array:
        g = self.geometry
        return zeros(self.together * (g.d_rows * g.d_row + self._room))

    @cached_property
    def dX(self) -> Array:
        return zeros(self.geometry.H * self.geometry.dx_row if self._needs_dx else 0)

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


class Tile(NamedTuple):
    """A tile of sums in `implicit.py`: `size` pixels or numbers by so many vectors of columns.

    >>> Tile.of_pixels(28, 32), Tile.of_pixels(13, 48), Tile.of_pixels(2, 64)
    (Tile(size=7, vectors=2), Tile(size=7, vectors=1), Tile(size=2, vectors=4))
    >>> Tile.of_numbers(96, 32), Tile.of_numbers(15, 16)
    (Tile(size=8, vectors=2), Tile(size=15, vectors=1))
    """

    size: int
    vectors: int

    @classmethod
    def of_pixels(cls, cols: int, columns: int) -> Tile:
        """For rows of so many pixels. Eight are as many as there are registers for their places."""
        size = pixels_of_tile(cols)
        return cls(size, 4 if size < 4 and columns % (4 * LANES) == 0 else _vectors(columns))

    @classmethod
    def of_numbers(cls, K: int, columns: int) -> Tile:
        """For runs of so many numbers."""
        vectors = _vectors(columns)
        return cls(-(-K // -(-K * vectors // LANES)), vectors)

    @property
    def width(self) -> int:
        """Columns."""
        return self.vectors * LANES

    def tiles(self, numbers: int, columns: int) -> int:
        """How many cover so many numbers and columns."""
        return -(-numbers // self.size) * -(-columns // self.width)


def pixels_of_tile(*cols: int) -> int:
    """Pixels of a tile for rows of so many: with the least work, where tiles may share pixels, and
    fewer than four take as long as four.

    >>> pixels_of_tile(28), pixels_of_tile(13), pixels_of_tile(7, 6), pixels_of_tile(2)
    (7, 7, 4, 2)
    """

    def work(size: int) -> int:
        return sum(-(-one // size) * max(size, 4) for one in cols)

    return min(range(min((8, *cols)), 0, -1), key=work)


def _vectors(columns: int) -> int:
    """In a tile, which is no wider than there are columns.

    One vector was a sixth slower than two, which leave half a tile empty where the columns are an
    odd number of vectors.
    """
    vectors = -(-columns // LANES)
    return 1 if columns < 2 * LANES or (vectors % 2 and vectors < 7) else 2


class Implicit:
    """All that follows from the shape of an image, for `implicit.py`: arrays for an image or a few,
    and the kernels. Filters, and the channels of dx, are sixteen or more: the stage pads them.

    Attributes
    ----------
    group : int
        Images of which backward makes dz, and X, at a time.
    pads : bool
        Whether X has padding, and is not just x.
    runs, K : array, int
        Where the runs of a window begin, and their length.
    spans, reach : arrays (H_out, 2), (runs, 2)
        For each row of z the runs that do not lie in the padding above and below, and for each run
        the rows of z for which it does not.
    X, D : flat arrays
        Images with their padding, and the dz of one image with what dx asks for around it.
    Z : array (group, H_out, W_out, F)
        z before pooling and dropout, or dz.
    dx : PartsOfDx
        The correlations that dx consists of.
    """

    def __init__(
        self, win: Any, input_shape: tuple[int, ...], filters: int, *, needs_dx: bool
    ) -> None:
        self.input_shape, (H, W, C) = input_shape, input_shape
        F = max(filters, LANES)
        self.geometry = g = geometry(win, input_shape, F, interleave=False)
        self.pads = g.x_rows * g.x_row != H * W * C
        self.runs, self.K, _ = _merged(cells_of(g), C, g.x_row)
        up = np.arange(g.H_out)[:, None] * g.S_h + self.runs // g.x_row - win.P_top
        self.spans, self.reach = _spans(up, H), _spans(up.T, H)
        self.of_z = Tile.of_pixels(g.W_out, F)
        self.of_dW = Tile.of_numbers(self.K, F)
        self.forward, self.finished = implicit.forward(*self.of_z), implicit.finished(*self.of_z)
        self.ordered = implicit.from_tiles(*self.of_dW)
        self.tiles_of_dW = len(self.runs) * self.of_dW.tiles(self.K, F)
        self.group = max(SUMMED // (g.H_out * g.W_out), 1)
        self.X = zeros(self.group * g.x_rows * g.x_row if self.pads else 0)
        self._padding = win.P_top, win.P_left
        self._needs_dx = needs_dx

    @cached_property
    def Z(self) -> Array:
        g = self.geometry
        return aligned((self.group, g.H_out, g.W_out, g.F))

    @cached_property  # from here on for training only
    def D(self) -> Array:
        return zeros(self.geometry.d_rows * self.geometry.d_row if self._needs_dx else 0)

    @cached_property
    def dx(self) -> PartsOfDx:
        return PartsOfDx.of(self.geometry, *self._padding, needed=self._needs_dx)

    @cached_property
    def backward(self) -> Any:
        tiles = (self.dx.wide, self.dx.narrow) if self._needs_dx else None
        return implicit.backward(self.of_dW, tiles)

    @cached_property
    def transposed(self) -> tuple[Any, Any]:
        """The kernels of the transposed convolution's z and dW."""
        dx = self.dx
        return implicit.transposed_forward(dx.wide, dx.narrow), implicit.transposed_gradient(
            *self.of_dW
        )


class PartsOfDx(NamedTuple):
    """dx in `implicit.py`, as a correlation for each phase of the stride (`Remainders`).

    Attributes
    ----------
    C : int
        Channels of dx, sixteen or more.
    wide, narrow : Tile
        Some phases have a column less than others.
    phases : Array
        A row for each: whether it is a narrow one, where it begins in D and in dx, the first and
        the end of its `spans`, columns, the first and the end of its `runs`, where its weights
        begin, and K.
    runs, spans : arrays
        As of z.
    cells : Array
        The cells of the window that the phases have, in the order of their runs.
    """

    C: int
    wide: Tile
    narrow: Tile
    phases: Array
    runs: Array
    spans: Array
    cells: Array

    @classmethod
    def of(cls, g: Geometry, P_top: int, P_left: int, *, needed: bool) -> PartsOfDx:
        C, remainders = max(g.C, LANES), Remainders.of(g, P_top, P_left)
        phases: list[tuple[int, ...]] = []
        runs, cells = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        spans = [np.empty((0, 2), np.int64)]
        table = [row for row in remainders.table.tolist() if needed]
        columns = [row[3] for row in table if row[2] and row[3]] or [1]  # 1 where no dx is needed
        wide, narrow = (Tile.of_pixels(one, C) for one in (max(columns), min(columns)))
        at = 0
        for row, own in zip(table, remainders.window):
            d_at, dx_at, rows, cols, begin, end, *_ = row
            if not (rows and cols):
                continue
            starts, K, order = _merged(d_at + remainders.offsets[begin:end], g.F, g.d_row)
            starts -= d_at
            first, span = sum(map(len, runs)), sum(map(len, spans))
            tile = narrow if cols < max(columns) else wide
            phases.append((
                tile is narrow, d_at, dx_at // g.C * C, span, span + rows, cols,
                first, first + len(starts), at, K,
            ))  # fmt: skip
            # the rows of D, of which those of dz begin at d_at's row
            up = (d_at + np.arange(rows)[:, None] * g.d_row + starts) // g.d_row
            spans.append(_spans(up - g.d_at // g.d_row, g.H_out))
            runs.append(starts)
            cells.append(own[order])
            at += len(own) * g.F * C
        return cls(
            C, wide, narrow, np.array(phases, np.int64).reshape(-1, 10), np.concatenate(runs),
            np.concatenate(spans), np.concatenate(cells),
        )  # fmt: skip


def _spans(rows: Array, H: int) -> Array:
    """The first and the end (n, 2) of the numbers in each row of `rows`, which grow along it, that
    are a row of an image of H.

    >>> _spans(np.array([[-1, 0, 1], [0, 1, 2], [1, 2, 3], [3, 4, 5]]), 3)
    array([[1, 3],
           [0, 3],
           [0, 2],
           [0, 0]])
    """
    above, inside = (rows < 0).sum(axis=1), ((rows >= 0) & (rows < H)).sum(axis=1)
    above[inside == 0] = 0
    return np.stack([above, above + inside], axis=1).astype(np.int64)


def _merged(offsets: Array, length: int, row: int) -> tuple[Array, int, Array]:
    """Cells of so many numbers as runs, none of which goes on from one row to the next.

    Returns where the runs begin, how long they are, and the cells in their order. They are of one
    length, or single cells.

    >>> _merged(np.array([20, 23, 10, 13]), 3, 10)
    (array([10, 20]), 6, array([2, 3, 0, 1]))
    >>> _merged(np.array([0, 3, 6, 9]), 3, 6)  # side by side in memory, in two rows
    (array([0, 6]), 6, array([0, 1, 2, 3]))
    """
    order = np.argsort(offsets, kind="stable")
    places = offsets[order]
    follows = (np.diff(places) == length) & (np.diff(places // row) == 0)
    begins = np.flatnonzero(np.concatenate([[True], ~follows])[: len(order)])
    lengths = np.diff(begins, append=len(order))
    if len(set(lengths.tolist())) != 1:
        begins, lengths = np.arange(len(order)), np.ones(1, int)
    return places[begins], int(lengths[0]) * length, order


class Depthwise:
    """All that follows from the shape of an image, for `depthwise.py`: X, D, and the kernels.

    Attributes
    ----------
    heads : Array
        Where the first tap of each row of taps lies in X, from the pixel on.
    phases, heads_of_dx : arrays
        A row for each correlation that is part of dx: where it begins in D and in dx, rows,
        columns, the first and the end of its heads, and where its weights begin.
    """

    def __init__(self, win: Any, input_shape: tuple[int, ...]) -> None:
        C = input_shape[2]
        self.input_shape = input_shape
        self.geometry = g = geometry(win, input_shape, C, interleave=False)
        # a row of the window, or parts of one that are as long as registers allow
        taps = max(one for one in range(1, MOST_TAPS + 1) if g.K_w % one == 0)
        self.heads = np.ascontiguousarray(cells_of(g)[::taps])
        size = pixels_of_tile(g.W_out)
        self.forward = depthwise.forward(size, taps, g.S_w, g.D_w)
        remainders = Remainders.of(g, *win.steps[2:4])
        of_dx = taps if g.S_w == 1 else 1
        heads, cells, columns = [], [], []
        for (_, _, _, cols, begin, end, *_), own in zip(remainders.table, remainders.window):
            offsets = remainders.offsets[begin:end]
            order = np.argsort(offsets, kind="stable")
            heads.append(offsets[order][::of_dx])
            cells.append(own[order])
            columns += [int(cols)] if cols else []
        self.heads_of_dx, self._cells = np.concatenate(heads), np.concatenate(cells)
        self.backward = depthwise.backward(taps, g.S_w, g.D_w, pixels_of_tile(*columns), of_dx)
        self.phases = remainders.table[:, :7].copy()
        self.phases[:, 6] = self.phases[:, 4] * C
        self.phases[:, 4:6] //= of_dx
        self.X = zeros(g.x_rows * g.x_row)
        self.blocks = -(-C // LANES)
        self.none = zeros(C)

    def weights_of_dx(self, W: Array) -> Array:
        """Weights (cells, C) as dx reads them."""
        return W[self._cells].reshape(-1)

    @cached_property
    def D(self) -> Array:
        return zeros(self.geometry.d_rows * self.geometry.d_row)

    def merged(self, blocks: Array) -> Array:
        """Numbers (.., C) of the blocks (blocks, .., 16), the last of which overlaps."""
        C = self.input_shape[2]
        if C % LANES == 0:
            return np.moveaxis(blocks, 0, -2).reshape(*blocks.shape[1:-1], C)
        out = np.empty((*blocks.shape[1:-1], C), np.float32)
        for k, block in enumerate(blocks):
            start = min(k * LANES, C - LANES)
            out[..., start : start + LANES] = block
        return out

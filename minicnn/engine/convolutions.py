"""The stages of 3x3 convolutions: by Winograd, or directly; and what all convolutions share.

All end in the same way: bias, ReLU or nothing, 2x2 max-pooling and dropout in one pass; or another
activation and dropout, in one pass with the bias behind a matrix product, else in a second pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.activations import activation_of, is_linear, is_relu
from minicnn.engine.calls import Calls
from minicnn.engine.normalization_stages import gamma_and_beta
from minicnn.engine.stages import FusedStage, behind_product, first_layer
from minicnn.kernels import LazyModule
from minicnn.layers import BatchNormalization, Conv2D, Layer

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import direct, normalization, products, winograd, winograd_products
else:
    direct = LazyModule("minicnn.engine.direct")
    normalization = LazyModule("minicnn.engine.normalization")
    products = LazyModule("minicnn.engine.products")
    winograd = LazyModule("minicnn.engine.winograd")
    winograd_products = LazyModule("minicnn.engine.winograd_products")

# Measured: see docs/design.md. With 16 channels and 16 filters implicit im2col is the faster.
TRANSFORMS, TOO_FEW_PAIRS = 20, 8


class ConvolutionStage(FusedStage):
    """A convolution with ReLU or nothing, 2x2 max-pooling and dropout behind it.

    To predict, a batch normalization before ReLU is part of the kernel and the bias, and one behind
    it is a scale and a shift in the same pass.
    """

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        conv = self.conv = first_layer(layers, Conv2D)
        self.pool = any(type(layer).__name__ == "MaxPooling2D" for layer in layers)
        activation = activation_of(layers)
        self.relu = is_relu(activation)
        known = self.relu or is_linear(activation)
        self.behind = None if known else behind_product(layers)  # another one, and its dropout
        self.dropout = self.dropout if known else None
        self.norm = next((one for one in layers if isinstance(one, BatchNormalization)), None)
        before = layers[: layers.index(self.norm)] if self.norm else []
        self.norm_behind = self.norm is not None and is_relu(activation_of(before))
        self.P = 1 if conv.padding == "same" else 0  # of 3x3 kernels
        self.filters = conv.filters
        self._no_bias = np.zeros(conv.filters, np.float32)
        self._one = np.ones((1, conv.filters), np.float32)
        self._db = np.zeros(conv.filters, np.float32)

    def seek(self, step: int, sample: int) -> None:
        super().seek(step, sample)
        if self.behind is not None:
            self.behind.seek(step, sample)

    def outputs(self, n: int, H: int, W: int, given: Array, training: bool) -> tuple[Array, Array]:
        """The stage's y for a convolution's output of H x W, and each window's argmax."""
        shape = (n, H // 2, W // 2, self.filters) if self.pool else (n, H, W, self.filters)
        argmax = self.buffer("argmax", shape if self.pool else (1, 1, 1, 1), np.int8)
        return self.output("y", shape, given, training), argmax

    def weights(self) -> tuple[Array, Array, Array]:
        """Kernel (cells, C_in, filters), bias, and scale and shift behind ReLU (2, filters), or
        none.

        A normalization before ReLU is part of the first two.
        """
        cells = self.conv.kernel_size[0] * self.conv.kernel_size[1]
        W = self.conv.params["W"].reshape(cells, -1, self.filters)
        b, after = self.conv.params.get("b", self._no_bias), np.empty((0, self.filters), np.float32)
        if self.norm is not None:
            if self.norm_behind:
                after = self.buffer("scale and shift", (2, self.filters))
                fold(self._one, self._no_bias, self.norm, after[:1], after[1], self.call)
            else:
                W, b = folded(W, b, self.norm, self)
        return W, b, after


class DirectConvolution(ConvolutionStage):
    """One input channel: `direct.py`."""

    def forward(self, x: Array, training: bool = False) -> Array:
        x = x[..., 0]
        n, H_in, W_in = x.shape
        y, argmax = self.outputs(n, H_in - 2 + 2 * self.P, W_in - 2 + 2 * self.P, x, training)
        W, bias, after = self.weights()
        *drawn, self._scale = self.drawn(training, y[0].size)
        self.call(
            direct.forward,
            x, W.reshape(9, -1), bias, self.P, self.relu, self.pool, training, after, y, argmax,
            *drawn, self._scale,
        )  # fmt: skip
        self._x, self._y, self._argmax = x, y, argmax
        return y if self.behind is None else self.behind.forward(y, training)

    def backward(self, dy: Array) -> Array | None:
        dy = dy if self.behind is None else self.behind.backward(dy)
        grads = self.conv.grads
        dW, db = grads["W"].reshape(9, self.filters), grads.get("b", self._db)
        dy = np.ascontiguousarray(dy, np.float32)
        direct.backward(
            self._x, dy, self._y, self._argmax, self.P, self.relu, self.pool, self._scale, dW, db
        )
        return None


class WinogradConvolution(ConvolutionStage):
    """Several input channels: `winograd.py`."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self.channels = self.conv.params["W"].shape[2]
        self.kernels: Any = winograd
        self._none_left_out = np.zeros(winograd.TILES, np.int64)

    def _chunks(self, n: int, H: int, W: int) -> tuple[int, int, list[tuple[int, int]]]:
        """Tiles down and across an image, and (first tile, how many) of each chunk."""
        down, across = -(-H // 4), -(-W // 4)
        total, size = n * down * across, winograd.TILES
        chunks = [(start, min(size, total - start)) for start in range(0, total, size)]
        return down, across, chunks

    def _flat(self, key: str, channels: int) -> Array:
        """A flat buffer for V or M, of 36 times TILES * channels numbers and a gap."""
        return self.scratch(key, 36 * _cell_size(channels))

    def _multiply(self, X: Array, g: Array, Y: Array, count: int, *, back: bool = False) -> None:
        """Y = X U of the kernel g (9, C, F) for `count` tiles, 36 times; on the way back, X U^T.

        What lies behind fewer than eight tiles is multiplied with them.
        """
        C, F = self.channels, self.filters
        of_X, of_Y = (F, C) if back else (C, F)
        vectors = products.vectors_for(of_Y)
        panel = self.scratch("panel", winograd_products.panel_size(of_X, vectors))
        self.call(
            winograd_products.multiply(vectors),
            X, _cell_size(of_X), g.reshape(-1), Y, _cell_size(of_Y), panel,
            max(count, products.SAMPLES), C, F, back, products.NO_BIAS, products.ONE, False, 0,
        )  # fmt: skip

    def forward(self, x: Array, training: bool = False) -> Array:
        x = np.ascontiguousarray(x, np.float32)
        n, H_in, W_in = x.shape[:3]
        H, W = H_in - 2 + 2 * self.P, W_in - 2 + 2 * self.P
        y, argmax = self.outputs(n, H, W, x, training)
        down, across, chunks = self._chunks(len(x), H, W)
        C, F = self.channels, self.filters
        tiles = (len(x) * down * across,)
        marks, small = self.buffer("marks", tiles, np.int64), self.buffer("small", tiles, np.int64)
        g, bias, after = self.weights()
        self._wide = wide = self.prepared("wide", g, winograd.is_wide)
        V, M = self._flat("V", C), self._flat("M", F)
        *drawn, self._scale = self.drawn(training, y[0].size)
        cells = np.zeros((4 * down + 2, 4 * across + 2), np.float32)
        kernel, measured = g.reshape(9 * C, F), 0
        for start, count in chunks:
            place, begun = (self.P, down, across, start, count), -(-(start + count) // across)
            self.call(self.kernels.patches, x, *place, self._none_left_out, V)
            # after them, when x is in the cache
            rows = self.P, down, across, measured, begun
            self.call(self.kernels.measure, x, *rows, wide, cells, marks, small)
            own, measured = slice(start, start + count), begun
            self._multiply(V, g, M, count)
            self.call(
                self.kernels.tiles,
                M, bias, self.relu, self.pool, training, after, down, across, start, count,
                y, argmax, *drawn, self._scale, marks[own], small[own], x, self.P, kernel,
            )  # fmt: skip
        self._marks, self._small = marks, small
        self._x, self._y, self._argmax, self._size = x, y, argmax, (H, W)
        return y if self.behind is None else self.behind.forward(y, training)

    def backward(self, dy: Array) -> Array | None:
        dy = dy if self.behind is None else self.behind.backward(dy)
        dy = np.ascontiguousarray(dy, np.float32)
        x, (H, W), C, F = self._x, self._size, self.channels, self.filters
        down, across, chunks = self._chunks(len(x), H, W)
        V, M = self._flat("V", C), self._flat("M", F)
        # chunks are added up in dW, so that squares that overlap need places of their own
        tiled, size = winograd_products.overlap(C, F), winograd_products.squares_size(C, F)
        dW = self.conv.grads["W"].reshape(-1)
        squares = self.scratch("dW", 9 * size) if tiled else dW
        dU = self.scratch("dU", winograd_products.BLOCK_OF_DU)
        most = 36 * winograd.TILES  # rows that one chunk may take
        rows, n_rows, begun = self.buffer("dz windows", (2 * most, 9 * F)), 0, 0
        used = np.zeros(2, np.int64)
        apart, n_apart = self.buffer("dz apart", (16 * len(x) * down * across, F)), 0
        g = self.conv.params["W"].reshape(9, C, F)
        db = self.conv.grads.get("b", self._db)
        db[...] = 0
        if self.needs_dx:
            dx = self.passed(x.shape, dy)
        for start, count in chunks:
            place, own = (self.P, down, across, start, count), slice(start, start + count)
            marks, small = self._marks[own], self._small[own]
            self.kernels.gradients(
                dy, self._y, self._argmax, self.relu, self.pool, H, W, down, across, start, count,
                self._scale, self._wide, M, db, marks, small, rows[n_rows:], apart[n_apart:],
                used,
            )  # fmt: skip
            n_rows, n_apart = n_rows + int(used[0]), n_apart + int(used[1])
            self.kernels.patches(x, *place, marks, V)
            winograd_products.gradient(
                V, _cell_size(C), M, _cell_size(F), count, C, F, dU, squares, size, tiled,
                start > 0,
            )  # fmt: skip
            if self.needs_dx:
                self._multiply(M, g, V, count, back=True)  # dV in the place of V
                self.kernels.scatter(V, *place, marks, small, dx)
                if n_rows > most or (n_rows and start + count == len(x) * down * across):
                    cells = self.buffer("cells", (n_rows, C))
                    g_T = g.transpose(0, 2, 1).reshape(9 * F, C)
                    np.matmul(rows[:n_rows], g_T, out=cells)
                    place = self.P, down, across, begun, start + count - begun
                    chosen = self._small[begun : start + count]
                    self.kernels.add_cells(cells, *place, chosen, dx)
                    begun, n_rows = start + count, 0
            else:
                n_rows = 0
        if tiled:
            winograd_products.from_squares(squares, C, F, dW)
        if n_apart:
            self._add_apart(apart[:n_apart], down, across)
        return dx if self.needs_dx else None

    def _add_apart(self, dz: Array, down: int, across: int) -> None:
        """Adds to dW what the tiles that are set apart give; dz (16 of each, F)."""
        dW = self.conv.grads["W"].reshape(9 * self.channels, self.filters)
        total, size = len(self._x) * down * across, 16 * winograd.TILES
        for start in range(0, total, size):
            marks = self._marks[start : min(start + size, total)]
            k = 16 * int(np.count_nonzero(marks & winograd.APART))
            if k:
                d = self.buffer("windows", (k, 9 * self.channels))
                self.kernels.apart_windows(
                    self._x, self.P, down, across, start, len(marks), marks, d
                )
                here, dz = dz[:k], dz[k:]
                dW += d.T @ here


def winograd_pays(C: int, F: int, H: int, W: int) -> bool:
    """Whether Winograd's method is the faster one for outputs (H, W, F) from C channels.

    A pair of channel and filter takes 36 multiplications a tile, the transforms as many operations
    as `TRANSFORMS` pairs for each channel and filter. The definition takes 9 for each output: with
    2x2 outputs three quarters of a tile are empty, and nothing is saved.
    """
    tiles = -(-H // 4) * -(-W // 4)
    saves = 36 * tiles * (C * F + TRANSFORMS * (C + F)) <= 9 * H * W * C * F
    return saves and C * F > TOO_FEW_PAIRS * (C + F)


def _cell_size(channels: int) -> int:
    """Numbers from one of the 36 cells of V or M to the next."""
    return winograd.TILES * channels + winograd_products.GAP


def folded(W: Array, b: Array, norm: BatchNormalization, stage: FusedStage) -> tuple[Array, Array]:
    """W (.., filters) and b with the normalization behind them as part of them, in buffers."""
    out = stage.buffer("folded W", W.shape), stage.buffer("folded b", b.shape)
    fold(W.reshape(-1, len(b)), b, norm, out[0].reshape(-1, len(b)), out[1], stage.call)
    return out


def fold(
    W: Array, b: Array, norm: BatchNormalization, out_W: Array, out_b: Array, call: Calls
) -> None:
    """Write W (rows, filters) and b, with the normalization behind them as part of them, to `out_W`
    and `out_b`. Ones and zeros become a scale and a shift: the normalization of x is
    x * scale + shift.

    In a kernel: to predict one image with a dozen of them, NumPy took a fifth of the time.
    """
    moving = norm.state["moving_mean"], norm.state["moving_variance"]
    call(
        normalization.fold,
        W, b, *gamma_and_beta(norm, len(b)), *moving, np.float32(norm.epsilon), out_W, out_b,
    )  # fmt: skip

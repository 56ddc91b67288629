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
from minicnn.engine.stages import FusedStage, behind_product, first_layer
from minicnn.kernels import LazyModule
from minicnn.layers import BatchNormalization, Conv2D, Layer

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import direct, products, winograd
else:
    direct = LazyModule("minicnn.engine.direct")
    products = LazyModule("minicnn.engine.products")
    winograd = LazyModule("minicnn.engine.winograd")


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
            mean, scale, shift = of_inference(self.norm)
            if self.norm_behind:
                after = np.stack([scale, shift - mean * scale])
            else:
                W, b = W * scale, (b - mean) * scale + shift
        return W, b, after


class DirectConvolution(ConvolutionStage):
    """One input channel: `direct.py`."""

    def forward(self, x: Array, training: bool = False) -> Array:
        x = x[..., 0]
        n, H_in, W_in = x.shape
        y, argmax = self.outputs(n, H_in - 2 + 2 * self.P, W_in - 2 + 2 * self.P, x, training)
        W, bias, after = self.weights()
        *drawn, self._scale = self.drawn(training, y[0].size)
        direct.forward(  # type: ignore[call-arg]
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

    def _multiply(self, X: Array, W: Array, Y: Array, count: int) -> None:
        """Y = X W for `count` tiles, 36 times; W (36, channels of X, channels of Y).

        What lies behind fewer than eight tiles is multiplied with them.
        """
        C, F = W.shape[1:]
        sums = self.scratch("sums", products.sums_size(C, F))
        products.several_products(products.vectors_for(F))(
            X, _cell_size(C), W.reshape(-1), Y, _cell_size(F), products.NO_BIAS, products.ONE,
            False, sums, 36, max(count, products.SAMPLES), C, F,
        )  # fmt: skip

    def _U(self, g: Array) -> tuple[Array, bool]:
        """U (36, C_in, filters) of the kernel (9, C_in * filters), and whether it is wide."""
        U = np.matmul(winograd.GG, g)
        return U.reshape(36, self.channels, self.filters), winograd.is_wide(g)

    def _U_T(self, g: Array) -> tuple[Array, Array]:
        """The kernel and U, transposed."""
        g_T = np.ascontiguousarray(g.transpose(0, 2, 1))
        U_T = np.matmul(winograd.GG, g_T.reshape(9, -1))
        return g_T, U_T.reshape(36, self.filters, self.channels)

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
        g = g.reshape(9, -1)
        U, wide = self.prepared("U", g, self._U)
        self._wide = wide
        V, M = self._flat("V", C), self._flat("M", F)
        *drawn, self._scale = self.drawn(training, y[0].size)
        cells = np.zeros((4 * down + 2, 4 * across + 2), np.float32)
        kernel, measured = g.reshape(9 * C, F), 0
        for start, count in chunks:
            place, begun = (self.P, down, across, start, count), -(-(start + count) // across)
            self.kernels.measured_patches(
                x, *place, measured, begun, wide, cells, marks, small, self._none_left_out, V
            )
            own, measured = slice(start, start + count), begun
            self._multiply(V, U, M, count)
            self.kernels.tiles(
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
        # tiles are added up in dU, so that those that overlap need places of their own
        tiled, size = products.overlap(C, F), products.tiles_size(C, F)
        dU = self.scratch("dU", 36 * size)
        most = 36 * winograd.TILES  # rows that one chunk may take
        rows, n_rows, begun = self.buffer("dz windows", (2 * most, 9 * F)), 0, 0
        used = np.zeros(2, np.int64)
        apart, n_apart = self.buffer("dz apart", (16 * len(x) * down * across, F)), 0
        g = self.conv.params["W"].reshape(9, C, F)
        db = self.conv.grads.get("b", self._db)
        db[...] = 0
        if self.needs_dx:
            g_T, U_T = self.prepared("U_T", g, self._U_T)
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
            products.several_outer(
                V, _cell_size(C), M, _cell_size(F), dU, size, 36, count, C, F, tiled, start > 0
            )
            if self.needs_dx:
                self._multiply(M, U_T, V, count)  # dV in the place of V
                self.kernels.scatter(V, *place, marks, small, dx)
                if n_rows > most or (n_rows and start + count == len(x) * down * across):
                    cells = self.buffer("cells", (n_rows, C))
                    np.matmul(rows[:n_rows], g_T.reshape(9 * F, C), out=cells)
                    place = self.P, down, across, begun, start + count - begun
                    chosen = self._small[begun : start + count]
                    self.kernels.add_cells(cells, *place, chosen, dx)
                    begun, n_rows = start + count, 0
            else:
                n_rows = 0
        dW = self.conv.grads["W"].reshape(-1)
        out = self.buffer("dW", (9, size)) if tiled else dW.reshape(9, size)
        np.matmul(winograd.GG.T, dU.reshape(36, size), out=out)
        if tiled:
            products.from_tiles(out.reshape(-1), 9, C, F, dW)
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


def _cell_size(channels: int) -> int:
    """Numbers from one of the 36 cells of V or M to the next."""
    return winograd.TILES * channels + winograd.GAP


def of_inference(layer: BatchNormalization) -> tuple[Array, Array, Array]:
    """mean, scale and shift (C,): in inference y = (x - mean) * scale + shift."""
    mean, variance = layer.state["moving_mean"], layer.state["moving_variance"]
    inverse = 1 / np.sqrt(variance + variance.dtype.type(layer.epsilon))
    scale = layer.params["gamma"] * inverse if layer.scale else inverse
    return mean, scale, layer.params["beta"] if layer.center else np.zeros_like(mean)

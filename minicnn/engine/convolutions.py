"""The stages of convolutions: by Winograd, directly, or as matrix products.

All end in the same way: bias, ReLU or nothing, 2x2 max-pooling and dropout in one pass; or another
activation and dropout, which behind blocks are one pass with the bias, and a second pass elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.activations import activation_of, is_linear, is_relu
from minicnn.engine.stages import FusedStage, behind_product
from minicnn.kernels import LazyModule
from minicnn.layers import BatchNormalization, Conv2D, DepthwiseConv2D, Layer

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import blocks, direct, interleaved, normalization, tiles, winograd
else:
    blocks = LazyModule("minicnn.engine.blocks")
    direct = LazyModule("minicnn.engine.direct")
    interleaved = LazyModule("minicnn.engine.interleaved")
    tiles = LazyModule("minicnn.engine.tiles")
    winograd = LazyModule("minicnn.engine.winograd")
    normalization = LazyModule("minicnn.engine.normalization")


class ConvolutionStage(FusedStage):
    """A convolution with ReLU or nothing, 2x2 max-pooling and dropout behind it.

    To predict, a batch normalization before ReLU is part of the kernel and the bias, and one behind
    it is a scale and a shift in the same pass.
    """

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        conv = layers[0]
        if not isinstance(conv, Conv2D):
            raise TypeError(f"expected a Conv2D first, received {conv.who}")
        self.conv = conv
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

    def outputs(self, n: int, H: int, W: int) -> tuple[Array, Array]:
        """The stage's y for a convolution's output of H x W, and each window's argmax."""
        shape = (n, H // 2, W // 2, self.filters) if self.pool else (n, H, W, self.filters)
        argmax = self.buffer("argmax", shape if self.pool else (1, 1, 1, 1), np.int8)
        return self.buffer("y", shape), argmax

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

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        drops = self.dropout is not None
        self.kernels = direct.direct_convolution(self.filters, self.pool, drops, self.norm_behind)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = x[..., 0]
        n, H_in, W_in = x.shape
        y, argmax = self.outputs(n, H_in - 2 + 2 * self.P, W_in - 2 + 2 * self.P)
        W, bias, after = self.weights()
        W = W.reshape(9, -1)
        *drawn, self._scale = self.drawn(training, y[0].size)
        kernel = self.kernels.forward if training else self.kernels.infer
        more = () if self.pool else (after,)
        kernel(x, W, bias, self.P, self.relu, y, argmax, *drawn, self._scale, *more)
        self._x, self._y, self._argmax = x, y, argmax
        return y if self.behind is None else self.behind.forward(y, training)

    def backward(self, dy: Array) -> Array | None:
        dy = dy if self.behind is None else self.behind.backward(dy)
        grads = self.conv.grads
        dW, db = grads["W"].reshape(9, self.filters), grads.get("b", self._db)
        self.kernels.backward(
            self._x, dy, self._y, self._argmax, self.P, self.relu, self._scale, dW, db
        )
        return None


class WinogradConvolution(ConvolutionStage):
    """Several input channels: `winograd.py`."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self.channels = self.conv.params["W"].shape[2]
        self.input = winograd.input_kernels(self.channels)
        self.output = winograd.output_kernels(self.filters, self.pool)
        self._none_left_out = np.zeros(winograd.TILES, np.int64)

    def _chunks(self, n: int, H: int, W: int) -> tuple[int, int, list[tuple[int, int]]]:
        """Tiles down and across an image, and (first tile, how many) of each chunk."""
        down, across = -(-H // 4), -(-W // 4)
        total, size = n * down * across, winograd.TILES
        chunks = [(start, min(size, total - start)) for start in range(0, total, size)]
        return down, across, chunks

    def _flat(self, key: str, channels: int) -> tuple[Array, Array]:
        """A buffer for V or M: flat, and as (36, TILES, channels)."""
        size = winograd.TILES * channels
        flat = self.buffer(key, (36 * (size + winograd.GAP),))
        return flat, flat.reshape(36, -1)[:, :size].reshape(36, winograd.TILES, channels)

    def forward(self, x: Array, training: bool = False) -> Array:
        n, H_in, W_in = x.shape[:3]
        H, W = H_in - 2 + 2 * self.P, W_in - 2 + 2 * self.P
        y, argmax = self.outputs(n, H, W)
        down, across, chunks = self._chunks(len(x), H, W)
        C, F = self.channels, self.filters
        tiles = (len(x) * down * across,)
        marks, small = self.buffer("marks", tiles, np.int64), self.buffer("small", tiles, np.int64)
        g, bias, after = self.weights()
        g = g.reshape(9, -1)
        wide = self._wide = winograd.is_wide(g)
        U = self.buffer("U", (36, C * F))
        np.matmul(winograd.GG, g, out=U)
        U = U.reshape(36, C, F)
        V, V3 = self._flat("V", C)
        M, M3 = self._flat("M", F)
        *drawn, self._scale = self.drawn(training, y[0].size)
        cells = np.zeros((4 * down + 2, 4 * across + 2), np.float32)
        kernel, measured = g.reshape(9 * C, F), 0
        for start, count in chunks:
            place, begun = (self.P, down, across, start, count), -(-(start + count) // across)
            self.input.measured_patches(
                x, *place, measured, begun, wide, cells, marks, small, self._none_left_out, V
            )
            own, measured = slice(start, start + count), begun
            np.matmul(V3[:, :count], U, out=M3[:, :count])
            self.output.tiles(
                M, bias, self.relu, training, after, H, W, down, across, start, count, y, argmax,
                *drawn, self._scale, marks[own], small[own], x, self.P, kernel,
            )  # fmt: skip
        self._marks, self._small = marks, small
        self._x, self._y, self._argmax, self._size = x, y, argmax, (H, W)
        return y if self.behind is None else self.behind.forward(y, training)

    def backward(self, dy: Array) -> Array | None:
        dy = dy if self.behind is None else self.behind.backward(dy)
        x, (H, W), C, F = self._x, self._size, self.channels, self.filters
        down, across, chunks = self._chunks(len(x), H, W)
        V, V3 = self._flat("V", C)
        M, dM3 = self._flat("M", F)
        dU = self.buffer("dU", (36, C, F))
        part = self.buffer("part", (36, C, F))
        most = 36 * winograd.TILES  # rows that one chunk may take
        rows, n_rows, begun = self.buffer("dz windows", (2 * most, 9 * F)), 0, 0
        apart, n_apart = self.buffer("dz apart", (16 * len(x) * down * across, F)), 0
        g = self.conv.params["W"].reshape(9, C, F)
        db = self.conv.grads.get("b", self._db)
        db[...] = 0
        if self.needs_dx:
            # U^T made contiguous: the product with it is twice as fast so
            g_T = np.ascontiguousarray(g.transpose(0, 2, 1))
            U_T = self.buffer("U_T", (36, F * C))
            np.matmul(winograd.GG, g_T.reshape(9, -1), out=U_T)
            U_T = U_T.reshape(36, F, C)
            dx = self.buffer("dx", x.shape)
        for start, count in chunks:
            place, own = (self.P, down, across, start, count), slice(start, start + count)
            marks, small = self._marks[own], self._small[own]
            k, more = self.output.gradients(
                dy, self._y, self._argmax, self.relu, H, W, down, across, start, count,
                self._scale, self._wide, M, db, marks, small, rows[n_rows:], apart[n_apart:],
            )  # fmt: skip
            n_rows, n_apart = n_rows + k, n_apart + more
            self.input.patches(x, *place, marks, V)
            np.matmul(V3[:, :count].transpose(0, 2, 1), dM3[:, :count], out=part if start else dU)
            if start:
                dU += part
            if self.needs_dx:
                np.matmul(dM3[:, :count], U_T, out=V3[:, :count])  # dV in the place of V
                self.input.scatter(V, *place, marks, small, dx)
                if n_rows > most or (n_rows and start + count == len(x) * down * across):
                    cells = self.buffer("cells", (n_rows, C))
                    np.matmul(rows[:n_rows], g_T.reshape(9 * F, C), out=cells)
                    place = self.P, down, across, begun, start + count - begun
                    chosen = self._small[begun : start + count]
                    self.input.add_cells(cells, *place, chosen, dx)
                    begun, n_rows = start + count, 0
            else:
                n_rows = 0
        dW = self.conv.grads["W"].reshape(9, C * F)
        np.matmul(winograd.GG.T, dU.reshape(36, C * F), out=dW)
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
                self.input.windows(self._x, self.P, down, across, start, len(marks), marks, d)
                here, dz = dz[:k], dz[k:]
                dW += d.T @ here


class ProductConvolution(ConvolutionStage):
    """What is a matrix product z, with bias, activation and the rest behind it."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self._zeros, self._ones = self._no_bias, np.ones(self.filters, np.float32)
        self.ends_in_bias = not (self.pool or self.relu or self.dropout)

    def finish(self, z: Array, bias: Array, training: bool) -> Array:
        """y from z (n, H, W, F), which may be overwritten."""
        if self.behind is not None:
            return self.behind.forward(z, training, bias)
        if self.ends_in_bias:
            z += bias
            return z
        y, self._argmax = self.outputs(*z.shape[:3])
        *drawn, self._scale = self.drawn(training, y[0].size)
        normalization.normalize(  # type: ignore[call-arg]
            z, self._zeros, self._ones, bias, self.pool, self.relu, y, self._argmax, *drawn,
            self._scale,
        )  # fmt: skip
        self._y = y
        return y

    def begin_backward(self, dy: Array, shape: tuple[int, ...]) -> Array:
        """dz of that shape; fills db."""
        db = self.conv.grads.get("b", self._db)
        if self.behind is not None:
            return np.ascontiguousarray(self.behind.backward(dy, db)).reshape(shape)
        if self.ends_in_bias:
            dz = np.ascontiguousarray(dy).reshape(shape)
            blocks.sums(dz.reshape(len(dz), -1, self.filters), db)
            return dz
        dz = self.buffer("dz", shape)
        blocks.gradients(dy, self._y, self._argmax, self.pool, self.relu, self._scale, dz, db)
        return dz


class PointwiseConvolution(ProductConvolution):
    """A 1x1 window at every pixel: the images are the windows."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        if self.relu and not self.pool:
            self.behind, self.dropout = behind_product(layers), None

    def forward(self, x: Array, training: bool = False) -> Array:
        W, bias, _ = self.weights()
        z = self.buffer("z", (*x.shape[:3], self.filters))
        np.matmul(x.reshape(-1, x.shape[3]), W[0], out=z.reshape(-1, self.filters))
        self._x = x
        return self.finish(z, bias, training)

    def backward(self, dy: Array) -> Array | None:
        x, F = self._x, self.filters
        rows, dz = x.reshape(-1, x.shape[3]), self.begin_backward(dy, (*x.shape[:3], F))
        dz = dz.reshape(-1, F)
        np.matmul(rows.T, dz, out=self.conv.grads["W"][0, 0])
        if not self.needs_dx:
            return None
        dx = self.buffer("dx", x.shape)
        W_T = np.ascontiguousarray(self.conv.params["W"][0, 0].T)  # the product is faster so
        np.matmul(dz, W_T, out=dx.reshape(rows.shape))
        return dx


class BlockConvolution(ProductConvolution):
    """Any window, stride and dilation: `blocks.py`."""

    def _blocks(self, x: Array) -> Iterator[tuple[slice, Array]]:
        """Rows of the output, and the windows that they see, one a row."""
        win, C = self._windows, x.shape[3]
        images = x.reshape(*x.shape[:2], -1)
        K = win.K_h * win.K_w * C
        size = blocks.size(win.W_out, K)
        held = self.buffer("cols", (size * win.W_out * K,))
        for part in blocks.cut(len(x) * win.H_out, size):
            rows = part.stop - part.start
            cols = held[: rows * win.W_out * K]
            where = win.K_h, win.K_w, *win.steps, win.H_out, part.start
            if self._short(C):
                blocks.planes(images, *where, cols.reshape(K, rows, win.W_out))
                yield part, cols.reshape(K, -1).T
                continue
            else:
                blocks.windows(images, *where, cols.reshape(rows, win.W_out, win.K_h, -1))
            yield part, cols.reshape(-1, K)

    def _short(self, C: int) -> bool:
        """Whether the runs of a window are short."""
        return self._windows.K_w * C < blocks.SHORT

    def forward(self, x: Array, training: bool = False) -> Array:
        win = self._windows = self.conv.windows(x.shape)
        W, bias, _ = self.weights()
        W = W.reshape(-1, self.filters)
        z = self.buffer("z", (len(x), win.H_out, win.W_out, self.filters))
        rows = z.reshape(-1, win.W_out, self.filters)
        for part, cols in self._blocks(x):
            np.matmul(cols, W, out=rows[part].reshape(-1, self.filters))
        self._x = x
        return self.finish(z, bias, training)

    def backward(self, dy: Array) -> Array | None:
        x, win, F = self._x, self._windows, self.filters
        dz = self.begin_backward(dy, (len(x), win.H_out, win.W_out, F))
        rows = dz.reshape(-1, win.W_out, F)
        W, dW = (one.reshape(-1, F) for one in (self.conv.params["W"], self.conv.grads["W"]))
        if self.needs_dx:
            W_T = np.ascontiguousarray(W.T)  # the product with it is faster so
            dx = self.buffer("dx", x.shape)
            dx[...] = 0
            images = dx.reshape(*x.shape[:2], -1)
        part_of_dW = self.buffer("part", dW.shape)
        for part, cols in self._blocks(x):
            d = rows[part].reshape(-1, F)
            np.matmul(cols.T, d, out=part_of_dW if part.start else dW)
            if part.start:
                dW += part_of_dW
            if not self.needs_dx:
                continue
            dcols = self.buffer("dcols", (cols.size,))
            where = win.K_h, win.K_w, *win.steps, win.H_out, part.start
            if self._short(x.shape[3]):
                np.matmul(W, d.T, out=dcols.reshape(len(W), -1))
                blocks.add_planes(dcols.reshape(len(W), -1, win.W_out), *where, images)
            else:
                np.matmul(d, W_T, out=dcols.reshape(cols.shape))
                blocks.add_windows(
                    dcols.reshape(-1, win.W_out, win.K_h, cols.shape[1] // win.K_h), *where, images
                )
        return dx if self.needs_dx else None


class InterleavedConvolution(BlockConvolution):
    """Any window, stride and dilation, sixteen images at a time: `interleaved.py`.

    A shard of a few images goes by blocks.
    """

    _layout: tiles.Interleaved | None = None

    def forward(self, x: Array, training: bool = False) -> Array:
        self._few = len(x) < interleaved.FEWEST
        if self._few:
            return super().forward(x, training)
        at = self._layout
        if at is None or at.input_shape != x.shape[1:]:
            at = self._layout = tiles.Interleaved(
                self.conv.windows(x.shape), x.shape[1:], self.filters,
                pool=self.pool, needs_dx=self.needs_dx,
            )  # fmt: skip
        W, bias, _ = self.weights()
        y = self.buffer("y", (len(x), *at.output_shape))
        argmax = self.buffer("argmax", at.argmax_shape(len(x), training=training), np.int8)
        *drawn, self._scale = self.drawn(training, y[0].size)
        at.forward(
            x.reshape(-1), len(x), at.geometry, at.taps, tiles.packed(W), bias, self.pool,
            self.relu, training, at.X, at.of_x, at.Z, at.Y, at.of_y, argmax, y.reshape(-1),
            *drawn, self._scale,
        )  # fmt: skip
        self._x, self._y, self._argmax = x, y, argmax
        return y if self.behind is None else self.behind.forward(y, training)

    def backward(self, dy: Array) -> Array | None:
        at = self._layout
        if self._few or at is None:
            return super().backward(dy)
        if self.behind is not None:
            dy = self.behind.backward(dy)
        g, rows, grads = at.geometry, at.rows, self.conv.grads
        dW = self.buffer("dW", (g.K_h, rows.parts * rows.taps, g.C, g.d_row // g.d_plane))
        db = grads.get("b", self._db)
        dW[...], db[...] = 0, 0
        dx, table, W_T = at.dX, at.remainders.table[:0], at.dX
        if self.needs_dx:
            dx, table = self.buffer("dx", self._x.shape), at.remainders.table
            W = self.conv.params["W"].reshape(g.K_h * g.K_w, g.C, g.F)
            W_T = tiles.transposed_weights(W, at.remainders.window)
        at.backward(
            self._x.reshape(-1), np.ascontiguousarray(dy).reshape(-1), len(dy), g, self._argmax,
            self.pool, self._scale, at.X, at.of_x, at.Y, at.of_y, at.D, db, rows.parts,
            dW.reshape(-1), table, at.remainders.offsets, W_T, at.dX, at.of_dx, dx.reshape(-1),
        )  # fmt: skip
        grads["W"][...] = dW[:, : g.K_w, :, : g.F]
        return dx if self.needs_dx else None


class DepthwiseStage(FusedStage):
    """A depthwise convolution with ReLU or nothing behind it: `depthwise.py`.

    To predict, a batch normalization before ReLU is part of the weights.
    """

    _layout: tiles.Depthwise | None = None

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        conv = layers[0]
        if not isinstance(conv, DepthwiseConv2D):
            raise TypeError(f"expected a DepthwiseConv2D first, received {conv.who}")
        self.conv = conv
        self.relu = is_relu(activation_of(layers))
        self.norm = next((one for one in layers if isinstance(one, BatchNormalization)), None)
        channels = conv.params["W"].shape[2]
        self._no_bias, self._db = np.zeros((2, channels), np.float32)

    def weights(self) -> tuple[Array, Array]:
        """Kernel (cells, C) and bias, with a normalization as part of them."""
        W = self.conv.params["W"]
        W, b = W.reshape(-1, W.shape[2]), self.conv.params.get("b", self._no_bias)
        if self.norm is not None:
            mean, scale, shift = of_inference(self.norm)
            W, b = W * scale, (b - mean) * scale + shift
        return W, b

    def forward(self, x: Array, training: bool = False) -> Array:
        at = self._layout
        if at is None or at.input_shape != x.shape[1:]:
            at = self._layout = tiles.Depthwise(self.conv.windows(x.shape), x.shape[1:])
        g, (W, bias) = at.geometry, self.weights()
        y = self.buffer("y", (len(x), g.H_out, g.W_out, g.C))
        at.forward(
            x.reshape(-1), len(x), g, at.taps, at.cells, W.reshape(-1), bias, self.relu, at.X,
            y.reshape(-1),
        )  # fmt: skip
        self._x, self._y = x, y
        return y

    def backward(self, dy: Array) -> Array | None:
        at = self._layout
        if at is None:
            raise RuntimeError("expected a forward before backward")
        W, _ = self.weights()
        dW = self.buffer("dW", (at.blocks, len(at.taps), 16))
        db = self.buffer("db", (at.blocks, 16))
        dW[...], db[...] = 0, 0
        dx, table = at.none, at.remainders.table[:0]
        if self.needs_dx:
            dx, table = self.buffer("dx", self._x.shape), at.remainders.table
        at.backward(
            self._x.reshape(-1), np.ascontiguousarray(dy).reshape(-1), self._y.reshape(-1),
            len(dy), at.geometry, at.taps, W.reshape(-1), at.none, self.relu, at.X, at.D,
            dW.reshape(-1), db.reshape(-1), table, at.remainders.offsets, at.cells_of_dx,
            dx.reshape(-1),
        )  # fmt: skip
        at.merged(dW, self.conv.grads["W"].reshape(len(at.taps), -1))
        at.merged(db, self.conv.grads.get("b", self._db))
        return dx if self.needs_dx else None


def of_inference(layer: BatchNormalization) -> tuple[Array, Array, Array]:
    """mean, scale and shift (C,): in inference y = (x - mean) * scale + shift."""
    mean, variance = layer.state["moving_mean"], layer.state["moving_variance"]
    inverse = 1 / np.sqrt(variance + variance.dtype.type(layer.epsilon))
    scale = layer.params["gamma"] * inverse if layer.scale else inverse
    return mean, scale, layer.params["beta"] if layer.center else np.zeros_like(mean)

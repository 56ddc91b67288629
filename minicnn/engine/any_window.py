"""The stages of convolutions of any window: as products, of sixteen filters, images or channels at
a time.

What stands behind is as in `convolutions.py`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.convolutions import ConvolutionStage
from minicnn.engine.stages import (
    NOTHING,
    FusedStage,
    Shared,
    behind_product,
    first_layer,
)
from minicnn.kernels import LazyModule
from minicnn.kernels.memory import flat
from minicnn.layers import Conv2D, Conv2DTranspose, Layer
from minicnn.layers.windows import Windows

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import implicit, interleaved, normalization, passes, products, tiles
else:
    implicit = LazyModule("minicnn.engine.implicit")
    interleaved = LazyModule("minicnn.engine.interleaved")
    tiles = LazyModule("minicnn.engine.tiles")
    normalization = LazyModule("minicnn.engine.normalization")
    passes = LazyModule("minicnn.engine.passes")
    products = LazyModule("minicnn.engine.products")

FEWEST_CHANNELS = 16  # of a kernel with channels or filters innermost: a vector
NO_IMAGES = np.zeros((1, 1, 1, 1), np.float32)


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
            self.call(np.add, z, bias, z)
            return z
        n, H, W = z.shape[:3]
        y, self._argmax = self.outputs(n, H, W, z, training)
        *drawn, self._scale = self.drawn(training, y[0].size)
        self.call(
            normalization.normalize,
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
            dz = np.ascontiguousarray(dy, np.float32).reshape(shape)
            passes.gradient_of_bias(dz.reshape(len(dz), -1, self.filters), db)
            return dz
        dz = self.passed(shape, dy)
        passes.gradient_of_product(
            dy, self._y, self._argmax, self.pool, self.relu, self._scale, dz, db
        )
        return dz


class PointwiseConvolution(ProductConvolution):
    """A 1x1 window at every pixel: the images are the windows."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        if self.relu and self.dropout and not self.pool:
            self.behind, self.dropout = behind_product(layers), None

    def forward(self, x: Array, training: bool = False) -> Array:
        self._x = x = np.ascontiguousarray(x, np.float32)
        W, bias, _ = self.weights()
        z = self.output("z", (*x.shape[:3], self.filters), x, training)
        flat = x.reshape(-1, x.shape[3]), W[0], z.reshape(-1, self.filters), self.buffer
        if self.pool or self.dropout or self.behind is not None:
            products.forward(*flat, call=self.call)
            return self.finish(z, bias, training)
        products.forward(*flat, bias, relu=self.relu, call=self.call)
        self._y, self._scale = z, np.float32(1)
        self._argmax = NOTHING
        return z

    def backward(self, dy: Array) -> Array | None:
        x, F = self._x, self.filters
        rows, dz = x.reshape(-1, x.shape[3]), self.begin_backward(dy, (*x.shape[:3], F))
        dz = dz.reshape(-1, F)
        products.backward_weights(rows, dz, self.conv.grads["W"][0, 0], self.buffer)
        if not self.needs_dx:
            return None
        dx = self.passed(x.shape, dz)
        W = self.conv.params["W"][0, 0]
        products.backward_inputs(dz, W, dx.reshape(rows.shape), self.buffer)
        return dx


class ImplicitConvolution(ProductConvolution):
    """Any window, stride and dilation, the windows read where they lie: `implicit.py`."""

    _implicit: tiles.Implicit | None = None
    _scale = np.float32(1)

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self._part_of_db = np.zeros(self.filters, np.float32)
        self._none = self._no_bias[:0]

    def _layout_for(self, shape: tuple[int, ...]) -> tiles.Implicit:
        at = self._implicit
        if at is None or at.input_shape != shape[1:]:
            at = self._implicit = tiles.Implicit(
                self.conv.windows(shape), shape[1:], self.filters, needs_dx=self.needs_dx
            )
        return at

    def forward(self, x: Array, training: bool = False) -> Array:
        self._x = x = np.ascontiguousarray(x, np.float32)  # a layer of the user's may return any
        at = self._layout_for(x.shape)
        g, (W, bias, _) = at.geometry, self.weights()
        W = products.widened(W, self.buffer, "W", self.call).reshape(-1)
        image = len(x), g.H_out, g.W_out
        given = g, at.pads, at.runs, at.K, at.spans, W
        self._product_alone = self.behind is not None or self.filters < g.F
        if self._product_alone:
            z = self.output("z", (*image, g.F), x, training)
            self.call(
                at.forward,
                x.reshape(-1), 0, len(x), *given, self._none, self._ones, False, at.X, z,
            )  # fmt: skip
            z = products.narrowed(z, self.filters, self.buffer, "z", self.call)
            return self.finish(z, bias, training)
        self._y, self._argmax = y, argmax = self.outputs(*image, x, training)
        draw = self.drawn(training, y[0].size)
        self._scale, drops = draw[-1], draw[3] > 0
        if self.pool or drops:
            self.call(
                at.finished,
                x.reshape(-1), len(x), *given, bias, self._ones, self.relu, at.X, self.pool, at.Z,
                self._none, self._zeros, y, argmax, *draw,
            )  # fmt: skip
        else:
            self.call(
                at.forward,
                x.reshape(-1), 0, len(x), *given, bias, self._ones, self.relu, at.X, y,
            )  # fmt: skip
        return y

    def backward(self, dy: Array) -> Array | None:
        x = self._x
        at = self._layout_for(x.shape)
        g, grads = at.geometry, self.conv.grads
        db, y, argmax = grads.get("b", self._db), NO_IMAGES, NOTHING
        if self._product_alone:
            dy = self.begin_backward(dy, (len(x), g.H_out, g.W_out, self.filters))
            dy = products.widened(dy, self.buffer, "dz")
        else:
            dy, y, argmax = np.ascontiguousarray(dy, np.float32), self._y, self._argmax
            db[...] = 0
        dZ = NO_IMAGES if self._product_alone else at.Z
        sums = self.buffer("dW", (at.tiles_of_dW, at.of_dW.size * at.of_dW.width))
        sums[...] = 0
        W_T = dx = self._none
        if self.needs_dx:
            W = products.widened(self.conv.params["W"], self.buffer, "W").reshape(-1)
            W_T = self.buffer("W_T", (len(at.dx.cells) * g.F * at.dx.C,))
            implicit.transposed_weights(W, at.dx.cells, g.C, g.F, W_T, at.dx.C)
            dx = self.passed((*x.shape[:3], at.dx.C), dy)
        at.backward(
            x.reshape(-1), dy, len(x), g, at.pads, at.runs, at.K, at.reach, at.X,
            self._product_alone, self.relu, self.pool, y, argmax, self._scale, at.group, dZ, db,
            self._part_of_db, sums.reshape(-1), at.D, at.dx.phases, at.dx.runs, at.dx.spans, W_T,
            at.dx.C, self._none, self._ones, dx.reshape(-1),
        )  # fmt: skip
        dW = grads["W"]
        whole = dW if self.filters == g.F else self.buffer("whole dW", (*dW.shape[:3], g.F))
        at.ordered(sums.reshape(-1), len(at.runs), at.K, g.F, whole.reshape(-1))
        if whole is not dW:
            dW[...] = whole[..., : self.filters]
        return products.narrowed(dx, g.C, self.buffer, "dx") if self.needs_dx else None


class InterleavedConvolution(ImplicitConvolution):
    """Any window, stride and dilation, sixteen images at a time: `interleaved.py`.

    A shard of a few images goes as there.
    """

    _layout: tiles.Interleaved | None = None

    def forward(self, x: Array, training: bool = False) -> Array:
        self._few = len(x) < interleaved.FEWEST
        if self._few:
            return super().forward(x, training)
        x = np.ascontiguousarray(x, np.float32)  # a user-defined layer may return any dtype
        at = self._layout
        if at is None or at.input_shape != x.shape[1:]:
            at = self._layout = tiles.Interleaved(
                self.conv.windows(x.shape), x.shape[1:], self.filters,
                pool=self.pool, needs_dx=self.needs_dx,
            )  # fmt: skip
        W, bias, _ = self.weights()
        W = self.prepared("W", W, tiles.packed)
        y = self.output("y", (len(x), *at.output_shape), x, training)
        argmax = self.buffer("argmax", at.argmax_shape(len(x), training=training), np.int8)
        *drawn, self._scale = self.drawn(training, y[0].size)
        self.call(
            at.forward,
            x.reshape(-1), len(x), at.geometry, at.taps, W, bias, self.pool,
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
            dx, table = self.passed(self._x.shape, dy), at.remainders.table
            W = self.conv.params["W"].reshape(g.K_h * g.K_w, g.C, g.F)
            window = at.remainders.window
            W_T = self.prepared(
                ("W_T", at.input_shape), W, lambda W: tiles.transposed_weights(W, window)
            )
        at.backward(
            self._x.reshape(-1), flat(dy), len(dy), g, self._argmax,
            self.pool, self._scale, at.together, at.X, at.of_x, at.Y, at.of_y, at.D, db, rows.parts,
            dW.reshape(-1), table, at.remainders.offsets, W_T, at.dX, at.of_dx, dx.reshape(-1),
        )  # fmt: skip
        grads["W"][...] = dW[:, : g.K_w, :, : g.F]
        return dx if self.needs_dx else None


class GroupedConvolution(ProductConvolution):
    """A small convolution for each few groups, then bias, activation and pooling for all.

    Its kernel has zeros between the groups: a vector of sixteen filters takes as long where four of
    them are used, and four convolutions as many calls as one.
    """

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        conv = first_layer(layers, Conv2D)
        C, F = conv.params["W"].shape[2], conv.filters // conv.groups
        self._together = groups_together(conv.groups, C, F)
        parts = conv.groups // self._together
        self._parts = [_part(conv, self._together, needs_dx) for _ in range(parts)]
        super().__init__(layers, needs_dx=needs_dx)

    def share(self, number: Hashable, shared: Shared) -> None:
        super().share(number, shared)
        own = shared.of_one_stage()
        for number_of_part, part in enumerate(self._parts):
            part.share((number, number_of_part), own)

    def _channels(self, array: Array, k: int) -> Array:
        """Of the last axis what belongs to part k."""
        size = array.shape[-1] // len(self._parts)
        return array[..., k * size : (k + 1) * size]

    def _apart(self, array: Array, k: int, *, keep: bool = False) -> Array:
        """A contiguous copy of that; where the part is to keep it, in a buffer of its own."""
        channels = self._channels(array, k)
        own: Array
        if keep:
            own = self._parts[k].buffer("part", channels.shape)
        else:
            own = self.scratch("part", channels.size).reshape(channels.shape)
        self.call(np.copyto, own, channels)
        return own

    def _groups(self, W: Array, k: int) -> Array:
        """Of W (.., C, filters) the groups of part k (cells, C, together, filters of a group)."""
        own = self._channels(W, k)
        return own.reshape(-1, W.shape[-2], self._together, own.shape[-1] // self._together)

    def _blocks(self, W: Array) -> Array:
        """Of a part's W what lies inside its groups, as `_groups`."""
        C, F = (size // self._together for size in W.shape[-2:])
        whole = W.reshape(-1, self._together, C, self._together, F)
        return np.einsum("kgcgf->kcgf", whole)  # a view

    def forward(self, x: Array, training: bool = False) -> Array:
        W, bias, _ = self.weights()
        win = self.conv.windows(x.shape)
        z = self.buffer("z", (len(x), win.H_out, win.W_out, self.filters))
        for k, part in enumerate(self._parts):
            self.call(np.copyto, self._blocks(part.conv.params["W"]), self._groups(W, k))
            z_of_part = part.forward(self._apart(x, k, keep=training), training)
            self.call(np.copyto, self._channels(z, k), z_of_part)
        self._x_shape, self._z_shape = x.shape, z.shape
        return self.finish(z, bias, training)

    def backward(self, dy: Array) -> Array | None:
        dz = self.begin_backward(dy, self._z_shape)
        dx = self.buffer("dx", self._x_shape) if self.needs_dx else None
        for k, part in enumerate(self._parts):
            of_part = part.backward(self._apart(dz, k))
            self._groups(self.conv.grads["W"], k)[...] = self._blocks(part.conv.grads["W"])
            if dx is not None and of_part is not None:
                self._channels(dx, k)[...] = of_part
        return dx


def way_of(C: int, filters: int, *, needs_dx: bool) -> type[ImplicitConvolution]:
    """The stage for any window: vectors hold filters, and in dx channels, if there are enough."""
    enough = filters >= FEWEST_CHANNELS and (C >= FEWEST_CHANNELS or not needs_dx)
    return ImplicitConvolution if enough else InterleavedConvolution


def groups_together(groups: int, C: int, filters: int) -> int:
    """How many groups of C channels and that many filters are one convolution: as few as fill a
    vector, of which there is a whole number.

    >>> groups_together(32, 4, 4), groups_together(6, 3, 20), groups_together(2, 64, 64)
    (4, 6, 1)
    """
    wanted = -(-FEWEST_CHANNELS // min(C, filters))
    return next(k for k in range(min(wanted, groups), groups + 1) if groups % k == 0)


def _part(conv: Conv2D, together: int, needs_dx: bool) -> ImplicitConvolution:
    """A stage for so many groups of `conv`, with separate arrays, without bias or activation."""
    part = Conv2D(
        conv.filters // conv.groups * together, conv.kernel_size, conv.strides, conv.padding,
        dilation_rate=conv.dilation_rate, use_bias=False, name=conv.name,
    )  # fmt: skip
    W = conv.params["W"]
    C = W.shape[2] * together
    for table in (part.params, part.grads):
        table["W"] = np.zeros((*W.shape[:2], C, part.filters), np.float32)
    return way_of(C, part.filters, needs_dx=needs_dx)([part], needs_dx=needs_dx)


class TransposedConvolution(FusedStage):
    """A transposed convolution with an activation and dropout behind it: `implicit.py`.

    Its z is the dx of a convolution that leads from its images to x, and its dx that one's z.
    """

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        conv = self.conv = first_layer(layers, Conv2DTranspose)
        self.behind, self.dropout = behind_product(layers), None
        self._no_bias, self._db = np.zeros((2, conv.filters), np.float32)
        self._none, self._ones = self._no_bias[:0], np.ones(1, np.float32)
        self._layout: Any = None

    def seek(self, step: int, sample: int) -> None:
        self.behind.seek(step, sample)

    def _layout_for(self, win: Windows, shape: tuple[int, ...], C_in: int) -> Any:
        return tiles.Implicit(win, shape, C_in, needs_dx=True)

    def forward(self, x: Array, training: bool = False) -> Array:
        x, (win, y_shape) = np.ascontiguousarray(x, np.float32), self.conv.windows_of_y(x.shape)
        if self._layout is None or self._layout.input_shape != y_shape[1:]:
            self._layout = self._layout_for(win, y_shape[1:], x.shape[3])
        self._x, z = x, self.output("z", y_shape, x, training)
        self._write_z(x, z)
        return self.behind.forward(z, training, self.conv.params.get("b", self._no_bias))

    def backward(self, dy: Array) -> Array | None:
        dz = flat(self.behind.backward(dy, self.conv.grads.get("b", self._db)))
        return self._from_dz(dz, self.passed(self._x.shape, dz) if self.needs_dx else None)

    def _write_z(self, x: Array, z: Array) -> None:
        at = self._layout
        dx = at.dx
        g, W_T = at.geometry, self.buffer("W_T", (len(dx.cells) * at.geometry.F * dx.C,))
        W = self.conv.params["W"].reshape(-1)
        self.call(implicit.transposed_weights, W, dx.cells, g.C, g.F, W_T, dx.C)
        self.call(
            at.transposed[0],
            x.reshape(-1), len(x), g, at.D, dx.phases, dx.runs, dx.spans, W_T, dx.C,
            self._none, self._ones, z.reshape(-1),
        )  # fmt: skip

    def _from_dz(self, dz: Array, dx: Array | None) -> Array | None:
        """Fills dW, and dx unless it is None."""
        at, x = self._layout, self._x
        given = at.geometry, at.pads, at.runs, at.K
        sums = self.buffer("dW", (at.tiles_of_dW, at.of_dW.size * at.of_dW.width))
        sums[...] = 0
        sums = sums.reshape(-1)
        at.transposed[1](dz, len(x), *given, at.reach, at.X, at.group, x.reshape(-1), sums)
        at.ordered(sums, len(at.runs), at.K, at.geometry.F, self.conv.grads["W"].reshape(-1))
        if dx is not None:
            W = self.conv.params["W"].reshape(-1)
            at.forward(dz, 0, len(x), *given, at.spans, W, self._none, self._ones, False, at.X, dx)
        return dx


class InterleavedTransposed(TransposedConvolution):
    """The same, sixteen images at a time: `interleaved.py`."""

    def _layout_for(self, win: Windows, shape: tuple[int, ...], C_in: int) -> Any:
        return tiles.Transposed(win, shape, C_in)

    def _weights(self) -> Array:
        """Kernel (cells, filters, C_in)."""
        W = self.conv.params["W"]
        return W.reshape(-1, *W.shape[2:])

    def _write_z(self, x: Array, z: Array) -> None:
        at = self._layout
        table, offsets, window = at.remainders
        W = self.prepared(
            ("W_T", at.input_shape),
            self._weights(),
            lambda W: tiles.transposed_weights(W, window),
        )
        self.call(
            at.forward,
            x.reshape(-1), len(x), at.geometry, at.D, at.of_d, table, offsets, W, at.dX, at.of_dx,
            z.reshape(-1),
        )  # fmt: skip

    def _from_dz(self, dz: Array, dx: Array | None) -> Array | None:
        at, x = self._layout, self._x
        g, rows = at.geometry, at.rows
        dW = self.buffer("dW", (g.K_h, rows.parts * rows.taps, g.C, g.d_row // g.d_plane))
        dW[...] = 0
        out, W = at.dX, at.dX[:0]
        if dx is not None:
            out, W = dx, self.prepared("W", self._weights(), tiles.packed)
        at.backward(
            x.reshape(-1), dz, len(x), g, at.together, at.X, at.of_x, at.D, at.of_d, rows.parts,
            dW.reshape(-1), at.taps, W, at.Z, at.of_z, out.reshape(-1),
        )  # fmt: skip
        self.conv.grads["W"][...] = dW[:, : g.K_w, :, : g.F]
        return dx


def transposed_way_of(C_in: int, filters: int) -> type[TransposedConvolution]:
    """As `way_of`, of a transposed convolution."""
    few = min(C_in, filters) < FEWEST_CHANNELS
    return InterleavedTransposed if few else TransposedConvolution

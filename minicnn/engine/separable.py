"""The stages of depthwise and of separable convolutions."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.activations import activation_of, is_linear, is_relu
from minicnn.engine.any_window import FEWEST_CHANNELS, PointwiseConvolution
from minicnn.engine.convolutions import folded
from minicnn.engine.stages import FusedStage, Shared, behind_product, first_layer
from minicnn.kernels import LazyModule
from minicnn.layers import BatchNormalization, Conv2D, DepthwiseConv2D, Layer, SeparableConv2D

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import depthwise, tiles
else:
    depthwise = LazyModule("minicnn.engine.depthwise")
    tiles = LazyModule("minicnn.engine.tiles")


class DepthwiseStage(FusedStage):
    """A depthwise convolution with any activation: `depthwise.py`.

    ReLU, or no activation, is part of the convolution; others, with dropout behind, are a second
    pass. To predict, a
    batch normalization before ReLU is part of the weights.
    """

    _layout: tiles.Depthwise | None = None

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        conv = layers[0]
        if not isinstance(conv, (DepthwiseConv2D, Conv2D)):
            raise TypeError(f"expected a depthwise convolution, received {conv.who}")
        self.conv = conv
        activation = activation_of(layers)
        self.relu = is_relu(activation)
        simple = self.relu or is_linear(activation)
        self.behind = None if simple else behind_product(layers)
        self.norm = next((one for one in layers if isinstance(one, BatchNormalization)), None)
        # of a Conv2D with a group for each channel the kernel is (K_h, K_w, 1, C * M)
        self.filters = math.prod(conv.params["W"].shape[2:])
        self.C = conv.groups if isinstance(conv, Conv2D) else conv.params["W"].shape[2]
        self.M = self.filters // self.C
        self._no_bias = np.zeros(self.filters, np.float32)
        # channels of the images that the kernels work with
        self.wide = max(self.filters, FEWEST_CHANNELS)

    def seek(self, step: int, sample: int) -> None:
        if self.behind is not None:
            self.behind.seek(step, sample)

    def weights(self) -> tuple[Array, Array]:
        """Kernel (cells, wide) and bias, with a normalization as part of them."""
        W = self.conv.params["W"].reshape(-1, self.filters)
        b = self.conv.params.get("b", self._no_bias)
        if self.norm is not None:
            W, b = folded(W, b, self.norm, self)
        if self.wide > self.filters:
            wide_W, wide_b = self.buffer("W", (len(W), self.wide)), self.buffer("b", (self.wide,))
            given = self.filters, 1
            self.call(depthwise.widened, W.reshape(-1), *given, wide_W.reshape(-1), self.wide)
            self.call(depthwise.widened, b, *given, wide_b, self.wide)
            W, b = wide_W, wide_b
        return W, b

    def _widened(self, key: str, images: Array, M: int) -> Array:
        """Images with each channel M times, and `wide` channels in all: themselves, or a copy."""
        C = images.shape[3]
        if self.wide == C:
            return images
        wide = self.buffer(key, (*images.shape[:3], self.wide))
        self.call(depthwise.widened, images.reshape(-1), C, M, wide.reshape(-1), self.wide)
        return wide

    def _narrowed(self, wide: Array, C: int, M: int, images: Array) -> Array:
        self.call(depthwise.narrowed, wide.reshape(-1), self.wide, C, M, images.reshape(-1))
        return images

    def forward(self, x: Array, training: bool = False) -> Array:
        x = np.ascontiguousarray(x, np.float32)
        self._shape = x.shape
        at = self._layout
        if at is None or at.input_shape[:2] != x.shape[1:3]:
            wide = (*x.shape[1:3], self.wide)
            at = self._layout = tiles.Depthwise(self.conv.windows(x.shape), wide)
        g, (W, bias) = at.geometry, self.weights()
        self._x = X = self._widened("x", x, self.M)
        z = self._z = self.output("z", (len(x), g.H_out, g.W_out, self.wide), X, training)
        self.call(
            at.forward,
            X.reshape(-1), len(x), g, at.heads, W.reshape(-1), bias, self.relu, at.X, z.reshape(-1),
        )  # fmt: skip
        if self.wide > self.filters:
            y = self.output("y", (*z.shape[:3], self.filters), z, training)
            z = self._narrowed(z, self.filters, 1, y)
        return z if self.behind is None else self.behind.forward(z, training)

    def backward(self, dy: Array) -> Array | None:
        at = self._layout
        if at is None:
            raise RuntimeError("expected a forward before backward")
        dz = np.ascontiguousarray(
            dy if self.behind is None else self.behind.backward(dy), np.float32
        )
        dz = self._widened("dz", dz, 1)
        W, _ = self.weights()
        dW, db = self.buffer("dW", (at.blocks, len(W), 16)), self.buffer("db", (at.blocks, 16))
        dW[...], db[...] = 0, 0
        dx, phases = at.none, at.phases[:0]
        if self.needs_dx:
            dx, phases = self.passed(self._x.shape, dz), at.phases
            W = self.prepared(("W of dx", at.input_shape), W, at.weights_of_dx)
        at.backward(
            self._x.reshape(-1), dz.reshape(-1), self._z.reshape(-1), len(dz), at.geometry,
            at.heads, W.reshape(-1), at.none, self.relu, at.X, at.D, dW.reshape(-1),
            db.reshape(-1), phases, at.heads_of_dx, dx.reshape(-1),
        )  # fmt: skip
        for key, blocks in (("W", dW), ("b", db)):
            if key in self.conv.grads:
                merged = at.merged(blocks)[..., : self.filters]
                self.conv.grads[key][...] = merged.reshape(self.conv.grads[key].shape)
        if not self.needs_dx:
            return None
        if self.wide == self.C:
            return dx
        return self._narrowed(dx, self.C, self.M, self.passed(self._shape, dx))


class SeparableStage(FusedStage):
    """A depthwise convolution, then a 1x1 convolution with the layers that may follow one."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        conv = first_layer(layers, SeparableConv2D)
        first, second = _parts(conv)
        self.depthwise = DepthwiseStage([first], needs_dx=needs_dx)
        self.pointwise = PointwiseConvolution([second, *layers[1:]], needs_dx=True)
        super().__init__(layers, needs_dx=needs_dx)

    def share(self, number: Hashable, shared: Shared) -> None:
        super().share(number, shared)
        for stage in (self.depthwise, self.pointwise):
            stage.share(number, shared)

    @property
    def repeats(self) -> bool:
        return self.depthwise.repeats and self.pointwise.repeats

    def seek(self, step: int, sample: int) -> None:
        self.pointwise.seek(step, sample)

    def forget(self) -> None:
        self.depthwise.forget()

    def forward(self, x: Array, training: bool = False) -> Array:
        return self.pointwise.forward(self.depthwise.forward(x, training), training)

    def backward(self, dy: Array) -> Array | None:
        du = self.pointwise.backward(dy)
        return None if du is None else self.depthwise.backward(du)


def _parts(conv: SeparableConv2D) -> tuple[DepthwiseConv2D, Conv2D]:
    """The two convolutions of `conv` as layers, with its arrays."""
    first = DepthwiseConv2D(
        conv.kernel_size, conv.strides, conv.padding, conv.depth_multiplier,
        dilation_rate=conv.dilation_rate, use_bias=False, name=conv.name,
    )  # fmt: skip
    second = Conv2D(
        conv.filters, 1, activation=conv.activation, use_bias=conv.use_bias, name=conv.name
    )
    names = {"W": "depthwise_kernel"}, {"W": "pointwise_kernel", "b": "b"}
    for part, its in zip((first, second), names):
        vars(part)["params"] = _Renamed(conv.params, its)
        vars(part)["grads"] = _Renamed(conv.grads, its)
    return first, second


class _Renamed(Mapping[str, Array]):
    """A live view of another mapping, under other names."""

    def __init__(self, held: Mapping[str, Array], names: dict[str, str]) -> None:
        self._held, self._names = held, names

    def __getitem__(self, key: str) -> Array:
        return self._held[self._names[key]]

    def __iter__(self) -> Iterator[str]:
        return (key for key, name in self._names.items() if name in self._held)

    def __len__(self) -> int:
        return len(list(iter(self)))

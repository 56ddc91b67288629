"""The stages of depthwise and of separable convolutions."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.activations import activation_of, is_relu
from minicnn.engine.any_window import PointwiseConvolution
from minicnn.engine.convolutions import of_inference
from minicnn.engine.prepared import Prepared
from minicnn.engine.stages import FusedStage, first_layer
from minicnn.kernels import LazyModule
from minicnn.kernels.memory import flat
from minicnn.layers import BatchNormalization, Conv2D, DepthwiseConv2D, Layer, SeparableConv2D

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import tiles
else:
    tiles = LazyModule("minicnn.engine.tiles")


class DepthwiseStage(FusedStage):
    """A depthwise convolution with ReLU or nothing behind it: `depthwise.py`.

    To predict, a batch normalization before ReLU is part of the weights.
    """

    _layout: tiles.Depthwise | None = None

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        conv = self.conv = first_layer(layers, DepthwiseConv2D)
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
        x = np.ascontiguousarray(x, np.float32)
        at = self._layout
        if at is None or at.input_shape != x.shape[1:]:
            at = self._layout = tiles.Depthwise(self.conv.windows(x.shape), x.shape[1:])
        g, (W, bias) = at.geometry, self.weights()
        y = self.output("y", (len(x), g.H_out, g.W_out, g.C), x, training)
        at.forward(
            x.reshape(-1), len(x), g, at.heads, W.reshape(-1), bias, self.relu, at.X, y.reshape(-1),
        )  # fmt: skip
        self._x, self._y = x, y
        return y

    def backward(self, dy: Array) -> Array | None:
        at = self._layout
        if at is None:
            raise RuntimeError("expected a forward before backward")
        W, _ = self.weights()
        dW, db = self.buffer("dW", (at.blocks, len(W), 16)), self.buffer("db", (at.blocks, 16))
        dW[...], db[...] = 0, 0
        dx, phases = at.none, at.phases[:0]
        if self.needs_dx:
            dx, phases = self.passed(self._x.shape, dy), at.phases
            W = self.prepared(("W of dx", at.input_shape), W, at.weights_of_dx)
        at.backward(
            self._x.reshape(-1), flat(dy), self._y.reshape(-1), len(dy), at.geometry, at.heads,
            W.reshape(-1), at.none, self.relu, at.X, at.D, dW.reshape(-1), db.reshape(-1), phases,
            at.heads_of_dx, dx.reshape(-1),
        )  # fmt: skip
        at.merged(dW, self.conv.grads["W"].reshape(dW.shape[1], -1))
        at.merged(db, self.conv.grads.get("b", self._db))
        return dx if self.needs_dx else None


class SeparableStage(FusedStage):
    """A depthwise convolution, then a 1x1 convolution with the layers that may follow one."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        conv = first_layer(layers, SeparableConv2D)
        first, second = _parts(conv)
        self.depthwise = DepthwiseStage([first], needs_dx=needs_dx)
        self.pointwise = PointwiseConvolution([second, *layers[1:]], needs_dx=True)
        super().__init__(layers, needs_dx=needs_dx)

    def share(
        self, prepared: Prepared, number: Hashable, scratch: dict[str, Array], turns: list[Array]
    ) -> None:
        super().share(prepared, number, scratch, turns)
        for stage in (self.depthwise, self.pointwise):
            stage.share(prepared, number, scratch, turns)

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
        conv.kernel_size, conv.strides, conv.padding, dilation_rate=conv.dilation_rate,
        use_bias=False, name=conv.name,
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

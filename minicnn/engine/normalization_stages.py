"""The stages of normalizations: `normalization.py` (batch), `rows.py` (layer), `groups.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.activations import is_relu
from minicnn.engine.stages import FusedStage, first_layer
from minicnn.kernels import LazyModule
from minicnn.layers import BatchNormalization, GroupNormalization, Layer, LayerNormalization

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import groups, normalization, passes, rows
else:
    groups = LazyModule("minicnn.engine.groups")
    normalization = LazyModule("minicnn.engine.normalization")
    passes = LazyModule("minicnn.engine.passes")
    rows = LazyModule("minicnn.engine.rows")


@cache
def _together(n: int) -> int:
    """The largest divisor of n up to `passes.SUMMED`.

    >>> _together(64), _together(1000), _together(257)
    (64, 250, 1)
    """
    return next(k for k in range(min(n, passes.SUMMED), 0, -1) if n % k == 0)


def gamma_and_beta(layer: Layer, C: int) -> tuple[Array, Array]:
    """Those of a normalization of C channels; ones and zeros for what it does not have."""
    ones, zeros = np.ones(C, np.float32), np.zeros(C, np.float32)
    return layer.params.get("gamma", ones), layer.params.get("beta", zeros)


def _keep_sums(layer: Layer, dgamma: Array, dbeta: Array) -> None:
    """The gradients of those of gamma and beta that the layer has."""
    for key, total in (("gamma", dgamma), ("beta", dbeta)):
        if key in layer.grads:
            layer.grads[key][...] = total


class LayerNormalizationStage(FusedStage):
    """Layer normalization over the last axis: `rows.py`."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self.layer = first_layer(layers, LayerNormalization)

    def forward(self, x: Array, training: bool = False) -> Array:
        C = x.shape[-1]
        self._x = x = np.ascontiguousarray(x, np.float32)
        y = self.output("y", x.shape, x, training)
        self._gamma, beta = gamma_and_beta(self.layer, C)
        self._stats = self.buffer("stats", (x.size // C, 3))
        self.call(
            rows.normalize,
            x.reshape(-1), self._gamma, beta, np.float32(self.layer.epsilon), y.reshape(-1),
            self._stats,
        )  # fmt: skip
        return y

    def backward(self, dy: Array) -> Array | None:
        C, dx = self._x.shape[-1], self.passed(self._x.shape, dy)
        dgamma, dbeta = self.buffer("sums", (2, C), np.float64)
        rows.gradients(
            np.ascontiguousarray(dy, np.float32).reshape(-1), self._x.reshape(-1), self._stats,
            self._gamma, dx.reshape(-1), dgamma, dbeta, self.buffer("parts", (2 * C,)),
        )  # fmt: skip
        _keep_sums(self.layer, dgamma, dbeta)
        return dx if self.needs_dx else None


class GroupNormalizationStage(FusedStage):
    """Group normalization with the channels on the last axis: `groups.py`."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self.layer = first_layer(layers, GroupNormalization)

    def forward(self, x: Array, training: bool = False) -> Array:
        C, shape = x.shape[-1], x.shape
        y = self.output("y", shape, x, training)
        x = np.ascontiguousarray(x, np.float32)
        self._x = x = x.reshape(len(x), math.prod(shape[1:-2]), -1)  # (n, rows, columns)
        self._gamma, beta = gamma_and_beta(self.layer, C)
        self._stats = self.buffer("stats", (len(x), self.layer.groups_of(C), 3))
        self.call(
            groups.normalize,
            x, self._gamma, beta, self.layer.epsilon, y.reshape(x.shape), self._stats,
        )  # fmt: skip
        return y

    def backward(self, dy: Array) -> Array | None:
        dx = self.passed(dy.shape, dy)
        dgamma, dbeta = self.buffer("sums", (2, len(self._gamma)), np.float64)
        groups.gradients(
            np.ascontiguousarray(dy, np.float32).reshape(self._x.shape), self._x, self._stats,
            self._gamma, dx.reshape(self._x.shape), dgamma, dbeta,
        )  # fmt: skip
        _keep_sums(self.layer, dgamma, dbeta)
        return dx if self.needs_dx else None


class NormalizationStage(FusedStage):
    """Batch normalization with ReLU, 2x2 max-pooling and dropout behind it: `normalization.py`.

    In training the shards of a batch do it together, in two phases each way: each shard's `begin`
    returns its figures, `agree` gets those of all shards, then comes `forward`; and in the same way
    `begin_backward`, `agree_backward` and `backward`.
    """

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        layer = self.layer = first_layer(layers, BatchNormalization)
        self.together = layer.trainable  # frozen, it does the same in training as in inference
        self.pool = any(type(layer).__name__ == "MaxPooling2D" for layer in layers)
        self.relu = any(is_relu(layer) for layer in layers)
        self.channels = len(layer.state["moving_mean"])
        self._zeros = np.zeros(self.channels, np.float32)
        # cells, then means and sums of squared deviations
        self.figures = np.zeros(1 + 2 * self.channels)
        self.sums = np.zeros((2, self.channels))  # of d and of d * x_hat
        self.all_cells = 0  # a channel's, in the batch
        self.mean = self.rest = self.inverse = self.scale_of_x = self.shift = self._zeros
        self.means = np.zeros((2, self.channels), np.float32)  # of the sums, over the batch

    def begin(self, x: Array) -> Array:
        """Measure the shard; returns its figures (1 + 2 C,): cells, means, squared deviations."""
        images = self._images(x)
        cells = images.reshape(len(images), -1, self.channels)
        self.figures[0] = x.size // self.channels
        normalization.measure(cells, *self.figures[1:].reshape(2, -1))
        return self.figures

    def _images(self, x: Array) -> Array:
        """x as (n, H, W, C). Rows (n, C) are one image, cut as sums in float32 allow."""
        if x.ndim == 2:
            return x.reshape(1, -1, _together(len(x)), self.channels)
        return x.reshape(*x.shape[:-1], *[1] * (4 - x.ndim), self.channels)

    @staticmethod
    def agree(
        layer: BatchNormalization, stages: Sequence[NormalizationStage], figures: Array
    ) -> None:
        """Mean and variance of the batch, from the figures of its shards (shards, 1 + 2 C); moves
        the running ones.
        """
        C = len(layer.state["moving_mean"])
        gamma, beta = gamma_and_beta(layer, C)
        of_batch = np.empty((6, C), np.float32)
        normalization.agree(figures, gamma, beta, layer.epsilon, of_batch)
        mean, rest, variance, inverse, scale, shift = of_batch
        for key, now in (("moving_mean", mean), ("moving_variance", variance)):
            moving = layer.state[key]
            moving[...] = layer.momentum * moving + (1 - layer.momentum) * now
        cells = int(sum(figures[:, 0].tolist()))
        for stage in stages:
            stage.all_cells, stage.mean, stage.rest, stage.inverse = cells, mean, rest, inverse
            stage.scale_of_x, stage.shift = scale, shift

    def forward(self, x: Array, training: bool = False) -> Array:
        if not (training and self.together):
            moving = self.layer.state
            self.mean, self.rest = moving["moving_mean"], self._zeros
            gamma, self.shift = gamma_and_beta(self.layer, self.channels)
            self.inverse, self.scale_of_x = self.buffer("scales", (2, self.channels))
            epsilon, inverse = np.float32(self.layer.epsilon), self.inverse
            self.call(np.add, moving["moving_variance"], epsilon, inverse)
            self.call(np.sqrt, inverse, inverse)
            self.call(np.divide, np.float32(1), inverse, inverse)
            self.call(np.multiply, gamma, inverse, self.scale_of_x)
        images = self._images(x)
        n, H, W, C = images.shape
        shape = (n, H // 2, W // 2, C) if self.pool else x.shape
        y = self.output("y", shape, x, training)
        argmax = self.buffer("argmax", shape if self.pool else (1, 1, 1, 1), np.int8)
        *drawn, self._scale = self.drawn(training, y[0].size)
        self._drops = drawn[-1] > 0
        self.call(
            normalization.normalize,
            images, self.mean, self.scale_of_x, self.shift, self.pool, self.relu, self._images(y),
            argmax, *drawn, self._scale,
        )  # fmt: skip
        self._x, self._y, self._argmax, self._shape = images, self._images(y), argmax, x.shape
        return y

    def begin_backward(self, dy: Array) -> Array:
        """Sum up the shard's d and d * x_hat, its parts of dbeta and dgamma: returns (2 C,)."""
        dy = dy.reshape(self._y.shape)
        normalization.sums(
            dy, self._y, self._argmax, self._x, self.mean, self.rest, self.inverse,
            self.scale_of_x, self.shift, self.pool, self.relu, self._drops, self._scale, self.sums,
        )  # fmt: skip
        _keep_sums(self.layer, self.sums[1], self.sums[0])
        return self.sums.reshape(-1)

    @staticmethod
    def agree_backward(
        layer: BatchNormalization, stages: Sequence[NormalizationStage], figures: Array
    ) -> None:
        """The means over the batch, from the sums of its shards (shards, 2 C), in their order."""
        means = np.empty((2, figures.shape[1] // 2), np.float32)
        for first in stages[:1]:  # there is none where a process has no shard
            normalization.agree_backward(figures, first.all_cells, first.rest, first.inverse, means)
        for stage in stages:
            stage.means = means

    def backward(self, dy: Array) -> Array | None:
        if not self.together:
            self.begin_backward(dy)
            self.means = np.zeros((2, self.channels), np.float32)
        if not self.needs_dx:
            return None
        dx, (mean_d, mean_dx_hat) = self.passed(self._shape, dy), self.means
        normalization.gradients(
            dy.reshape(self._y.shape), self._y, self._argmax, self._x, self.mean, self.inverse,
            self.scale_of_x, self.shift, mean_d, mean_dx_hat, self.pool, self.relu, self._drops,
            self._scale, self._images(dx),
        )  # fmt: skip
        return dx

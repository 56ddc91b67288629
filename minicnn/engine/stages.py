"""The stages of a plan: each does the work of one or more layers in fewer passes over memory.

A stage is used like a layer, `forward(x, training)` and `backward(dy)`, on a shard; it reads the
parameters of its layers' replicas and writes their gradients. What it returns lies in a
buffer that its next call reuses, or is for the next stage alone (`passed`). What `forward` does to
the numbers of x and of weights goes through `call`, so that it can be repeated (`calls.py`).
`backward` returns None unless a layer before it has parameters (`needs_dx`). Dense layers' are in
`dense_stages.py`, convolutions' in `convolutions.py`, `any_window.py` and `separable.py`,
normalizations' in `normalization_stages.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.activations import activation_of, curve_of
from minicnn.engine.calls import Calls
from minicnn.engine.prepared import Prepared
from minicnn.kernels import LazyModule
from minicnn.kernels.memory import aligned
from minicnn.layers import (
    AveragePooling2D,
    Dropout,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    Rescaling,
    UpSampling2D,
)
from minicnn.layers.windows import windows

Array = NDArray[Any]
T = TypeVar("T")
NOTHING = np.zeros((1, 1, 1, 1), np.int8)  # where an argmax is not needed
L = TypeVar("L", bound=Layer)

if TYPE_CHECKING:
    from minicnn.engine import curves, pooling
else:
    curves = LazyModule("minicnn.engine.curves")
    pooling = LazyModule("minicnn.engine.pooling")


class Stage(Protocol):
    """What a lane runs, one after the other: fused stages, and layers that none covers."""

    def forward(self, x: Array, training: bool = False) -> Array: ...
    def backward(self, dy: Array) -> Array | None: ...
    def seek(self, step: int, sample: int) -> None: ...


class Shared(NamedTuple):
    """What the stages of a lane have in common; `prepared` those of all lanes of a network."""

    prepared: Prepared
    scratch: dict[str, Array]  # memory of intermediate results
    turns: list[Array]  # the memory of `passed`
    calls: Calls

    @classmethod
    def new(cls, prepared: Prepared | None = None) -> Shared:
        return cls(prepared or Prepared(), {}, _two_turns(), Calls())

    def of_one_stage(self) -> Shared:
        """The same, but memory of its own to pass on."""
        return self._replace(turns=_two_turns())


class FusedStage:
    """Buffers, and the dropout that may end the stage."""

    behind: Any = None  # a stage that works on the output of this one

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        self.needs_dx = needs_dx
        last = layers[-1]
        self.dropout = last if isinstance(last, Dropout) else None
        self._buffers: dict[str, Array] = {}
        self.share(0, Shared.new())

    def share(self, number: Hashable, shared: Shared) -> None:
        """Share what is made of the weights with the same stage, of that number, in other lanes;
        and memory and calls with the other stages of this one.
        """
        self._prepared, self._scratch, self._turns, self.call = shared
        self._number = number
        if isinstance(self.behind, FusedStage):
            self.behind.call = self.call

    @property
    def repeats(self) -> bool:
        """Whether a forward to predict may be repeated: see `calls.py`."""
        return self.behind is None or isinstance(self.behind, FusedStage)

    def scratch(self, key: str, size: int) -> Array:
        """A flat array that no longer holds what it did when the next stage runs: so it stays in
        the cache.
        """
        held = self._scratch.get(key)
        if held is None or len(held) < size:
            held = self._scratch[key] = aligned((size,))
        return held[:size]

    def output(self, key: str, shape: tuple[int, ...], given: Array, training: bool) -> Array:
        """An array for what `forward` makes of `given`: in training it is kept for `backward`."""
        return self.buffer(key, shape) if training else self.passed(shape, given)

    def passed(self, shape: tuple[int, ...], given: Array) -> Array:
        """An array for what is made of `given` and is read by the next stage alone: a dx, a dz, or
        an output of inference.

        The stages of a lane take turns with two pieces of memory: that of `given`, where it is one
        of them, and the other. So they stay in the cache.
        """
        size = math.prod(shape)
        # not by `given.base`: a user's function may have made a view of another kind, as PyTorch's
        turn = 1 if np.may_share_memory(self._turns[0], given) else 0
        if len(self._turns[turn]) < size:
            self._turns[turn] = aligned((size,))
        return self._turns[turn][:size].reshape(shape)

    def prepared(self, what: Hashable, weights: Array, make: Callable[[Array], T]) -> T:
        """What `make` makes of the weights, once for all lanes; see `prepared.py`."""
        given = (self._number, what), weights, make
        made = self._prepared.of(*given)
        self.call.expect(made, self._prepared.of, *given)
        return made

    def buffer(self, key: str, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
        """An array of `shape`, the same memory each time; grows with the largest first axis."""
        held = self._buffers.get(key)
        if held is None or len(held) < shape[0] or held.shape[1:] != shape[1:]:
            held = self._buffers[key] = aligned(shape, dtype)
        return held[: shape[0]]

    def seek(self, step: int, sample: int) -> None:
        if self.dropout is not None:
            self.dropout.seek(step, sample)

    def forget(self) -> None:
        """Let go of the inputs of the last forward, which may be the user's own array."""
        for name in ("_x", "_z"):
            vars(self).pop(name, None)

    def drawn(self, training: bool, size: int) -> tuple[int, int, int, int, np.float32]:
        """Keys, first counter, threshold and scale of the dropout for samples of `size` cells."""
        if self.dropout is None or not training:
            return 0, 0, 0, 0, np.float32(1)
        return self.dropout.draw(size)


def _two_turns() -> list[Array]:
    """The memory of `passed`, before the first of it is asked for."""
    return [aligned((0,)), aligned((0,))]


def first_layer(layers: Sequence[Layer], kind: type[L]) -> L:
    """The first of a stage's layers; TypeError unless it is of that class."""
    layer = layers[0]
    if not isinstance(layer, kind):
        raise TypeError(f"expected a stage that begins with {kind.__name__}, received {layer.who}")
    return layer


class RescalingStage(FusedStage):
    """Images scaled before anything else, in a buffer."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        rescaling = first_layer(layers, Rescaling)
        self.scale = np.asarray(rescaling.scale, np.float32)  # one number, or one for each channel
        self.offset = np.asarray(rescaling.offset, np.float32)

    def forward(self, x: Array, training: bool = False) -> Array:
        y = self.output("y", x.shape, x, training)
        self.call(np.multiply, x, self.scale, y)
        self.call(np.add, y, self.offset, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        return None


class ActivationStage(FusedStage):
    """An activation that maps each number by itself, and dropout, in one pass: `curves.py`.

    Dense and convolutions have one for what follows their product; it then adds the bias, too.
    """

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool = True) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        curve = curve_of(activation_of(layers))
        if curve is None:
            raise TypeError(f"expected an activation of `activations.py`, received {layers[0].who}")
        self.kernels = curves.curve(curve.name)
        self.settings = tuple(np.float32(setting) for setting in curve.settings)
        self._row = np.zeros(0, np.float32)  # the bias of each number in a row

    def forward(self, x: Array, training: bool = False, bias: Array | None = None) -> Array:
        z = self._z = as_rows(x)
        if bias is not None and len(bias) == z.shape[2]:  # one pixel a row: without a copy
            self._row = bias
        else:
            self._row = self.buffer("row", (z.shape[2],))
            rows = self._row.reshape(-1, x.shape[-1])
            self.call(np.copyto, rows, np.float32(0) if bias is None else bias)
        y, self._shape = self.output("y", x.shape, x, training), x.shape
        self._y = y.reshape(z.shape)
        *drawn, scale = self._drawn = self.drawn(training, y[0].size)
        out = self.buffer("out", x.shape) if drawn[-1] else y
        self.call(
            self.kernels.forward,
            z, self._row, self.settings, *drawn, scale, self._y, out.reshape(z.shape),
        )  # fmt: skip
        return out

    def backward(self, dy: Array, db: Array | None = None) -> Array:
        """dz, and the sums of each channel into db."""
        z, dz = self._z, self.passed(self._shape, dy)
        sums = self.buffer("sums", self._row.shape)
        if db is not None and db.shape == sums.shape:
            sums = db
        self.kernels.backward(
            as_rows(dy), z, self._row, self._y, self.settings, *self._drawn, dz.reshape(z.shape),
            sums,
        )  # fmt: skip
        if db is not None and sums is not db:
            np.sum(sums.reshape(-1, len(db)), axis=0, out=db)
        return dz


class LayerBehind:
    """An activation that no curve is known for, used like an `ActivationStage` behind a product."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def forward(self, z: Array, training: bool, bias: Array | None = None) -> Array:
        if bias is not None:
            z += bias
        return self.layer.forward(z, training)

    def backward(self, dy: Array, db: Array | None = None) -> Array:
        dz = self.layer.backward(dy)
        if db is not None:
            np.sum(dz.reshape(-1, len(db)), axis=0, out=db)
        return dz

    def seek(self, step: int, sample: int) -> None:
        self.layer.seek(step, sample)


def behind_product(layers: Sequence[Layer]) -> ActivationStage | LayerBehind:
    """What follows the product of a Dense or a convolution, which is one of the layers."""
    activation = activation_of(layers)
    if curve_of(activation) is None:
        return LayerBehind(activation)
    return ActivationStage([activation, *layers[-1:]] if is_dropout(layers[-1]) else [activation])


def is_dropout(layer: Layer) -> bool:
    """Whether it drops each cell by itself."""
    return type(layer) is Dropout and layer.noise_shape is None


def as_rows(x: Array) -> Array:
    """x (n, ...) as (n, rows, columns), with columns as long as vectorized loops want them."""
    x = np.ascontiguousarray(x, np.float32)
    if x.ndim == 2:
        return x[None]
    return x.reshape(len(x), math.prod(x.shape[1:-2]), -1)


class PoolingStage(FusedStage):
    """The mean or the largest number of windows or of the whole image: `pooling.py`."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self.layer = layers[0]
        if not isinstance(self.layer, POOLINGS):
            raise TypeError(f"expected a pooling, received {self.layer.who}")
        self.averages = isinstance(self.layer, (AveragePooling2D, GlobalAveragePooling2D))
        self._image: tuple[int, ...] = ()  # the shape that the windows are of

    def _measure(self, shape: tuple[int, ...]) -> None:
        """Where the windows lie. Kept, as that takes as long as pooling a small image."""
        self._image = shape[1:]
        if isinstance(self.layer, (MaxPooling2D, AveragePooling2D)):
            self._win = self.layer.windows(shape)
        else:
            self._win = windows(shape, (shape[1], shape[2]), (1, 1), "valid", self.layer.who)
        self._pooled = self.layer.output_shape(shape)[1:]

    def forward(self, x: Array, training: bool = False) -> Array:
        if x.shape[1:] != self._image:
            self._measure(x.shape)
        win, C = self._win, x.shape[3]
        rows = np.ascontiguousarray(x, np.float32).reshape(*x.shape[:2], -1)
        y = self.output("y", (len(x), win.H_out, win.W_out, C), x, training)
        if self.averages:
            self.call(pooling.mean, rows, *win[:6], y)
        else:
            self._place = self.buffer("place", y.shape, np.int32)
            self.call(pooling.largest, rows, *win[:6], y, self._place)
        self._x, self._y, self._shape = rows, y, x.shape
        return y.reshape(len(x), *self._pooled)

    def backward(self, dy: Array) -> Array:
        n, _, _, C = self._shape
        dx = self.passed(self._shape, dy)
        dy = np.ascontiguousarray(dy, np.float32).reshape(self._y.shape)
        if self.averages:
            pooling.mean_backward(dy, *self._win[:6], dx.reshape(self._x.shape))
        elif isinstance(self.layer, GlobalMaxPooling2D):
            image = n, -1, C
            pooling.share(dy[:, 0, 0], self._y[:, 0, 0], self._x.reshape(image), dx.reshape(image))
        else:
            pooling.scatter(dy.reshape(n, -1), self._place.reshape(n, -1), dx.reshape(n, -1))
        return dx


POOLINGS = MaxPooling2D, AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D


class UpSamplingStage(FusedStage):
    """Nearest-neighbour upsampling: `pooling.py`."""

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self.size: tuple[int, int] = first_layer(layers, UpSampling2D).size

    def forward(self, x: Array, training: bool = False) -> Array:
        (n, H, W, C), (S_h, S_w) = x.shape, self.size
        self._shape = x.shape
        y = self.output("y", (n, S_h * H, S_w * W, C), x, training)
        self.call(pooling.repeat, np.ascontiguousarray(x, np.float32), S_h, S_w, y)
        return y

    def backward(self, dy: Array) -> Array | None:
        if not self.needs_dx:
            return None
        dx = self.passed(self._shape, dy)
        pooling.add_repeats(np.ascontiguousarray(dy, np.float32), *self.size, dx)
        return dx

"""The stages of Dense layers: several in one call of a kernel, or one with anything behind it."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.activations import activation_of, is_linear, is_relu
from minicnn.engine.stages import NOTHING, FusedStage, behind_product, is_dropout
from minicnn.kernels import LazyModule
from minicnn.layers import Dense, Layer

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import dense, passes, products
else:
    dense = LazyModule("minicnn.engine.dense")
    passes = LazyModule("minicnn.engine.passes")
    products = LazyModule("minicnn.engine.products")


# Of a `DenseStage`: kernels are made for tuples of one length, and tiles for inputs from WIDE on
# and for units from WIDE to WIDEST, or fewer than NARROW.
MOST_LAYERS, NARROW, WIDE, WIDEST = 4, 16, 32, 2048


def fits(inputs: int, units: int) -> bool:
    """Whether a Dense layer of that size can be one of a `DenseStage`."""
    return inputs >= WIDE and (units < NARROW or WIDE <= units <= WIDEST)


class DenseStage(FusedStage):
    """Two to four Dense layers one behind the other, with ReLU or nothing behind each, in one call
    of a kernel; flattens images on the way in.
    """

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self.dropout = None  # those among the layers of a plan to predict do nothing
        self.layers = [layer for layer in layers if isinstance(layer, Dense)]
        starts = [k for k, layer in enumerate(layers) if isinstance(layer, Dense)]
        runs = [layers[start:stop] for start, stop in pairwise([*starts, len(layers)])]
        self._relus = filled(is_relu(activation_of(run)) for run in runs)
        self._units = [layer.units for layer in self.layers]
        self._dbs = [np.zeros(units, np.float32) for units in self._units]
        self._weights: list[Array] = []
        self._gradients: list[Array] = []
        self._size, self._sized = 0, (0, False)  # of the kernels' memory, and for which call

    def forward(self, x: Array, training: bool = False) -> Array:
        n, self._shape = len(x), x.shape
        self._x = x = np.ascontiguousarray(x, np.float32).reshape(n, -1)
        weights = [array for layer in self.layers for array in layer.params.values()]
        if not same(weights, self._weights):  # another model may have taken them into its vector
            params = [layer.params for layer in self.layers]
            self._W = filled(read_only(one["W"]) for one in params)
            self._b = filled(read_only(one.get("b", products.NO_BIAS)) for one in params)
            self._weights = weights
        *first, last = [(n, units) for units in self._units]
        between = [self.buffer(f"y{k}", shape) for k, shape in enumerate(first)]
        y = self.output("y", last, x, training)
        self._outputs = filled([*between, y])
        if (n, training) != self._sized:
            widths = [x.shape[1], *self._units]
            self._sized, self._size = (n, training), dense.memory_size(n, widths, back=training)
        self.call(
            dense.forward(products.samples_in_a_tile(n)),
            x, self._W, self._b, self._relus, self._outputs, products.ONE,
            self.scratch("dense", self._size), len(self.layers), n, NARROW,
        )  # fmt: skip
        return y

    def backward(self, dy: Array) -> Array | None:
        dy = np.ascontiguousarray(dy, np.float32)
        gradients = [array for layer in self.layers for array in layer.grads.values()]
        if not same(gradients, self._gradients):
            grads = [layer.grads for layer in self.layers]
            self._dW = filled(one["W"] for one in grads)
            self._db = filled(one.get("b", db) for one, db in zip(grads, self._dbs))
            self._gradients = gradients
        n, widest = len(dy), max(self._x.shape[1], *self._units)
        dx = self.passed(self._x.shape, dy) if self.needs_dx else dense.NO_MATRIX
        dense.backward(products.samples_in_a_tile(n))(
            self._x, self._W, self._relus, self._outputs, dy, self._dW, self._db, dx, self.needs_dx,
            NOTHING, products.NO_BIAS, products.ONE,
            self.scratch("dense", self._size), widest, len(self.layers), n, NARROW, False, 0,
        )  # fmt: skip
        return dx.reshape(self._shape) if self.needs_dx else None


def filled(given: Iterable[Any]) -> tuple[Any, ...]:
    """As many as a kernel takes; it does not look at those that are added."""
    held = tuple(given)
    return held + held[-1:] * (MOST_LAYERS - len(held))


def read_only(array: Array) -> Array:
    """A view that is not to be written to: a kernel's tuples hold arrays of one type, and a user
    may have made some of the weights read-only.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def same(a: list[Array], b: list[Array]) -> bool:
    """Whether both hold the same arrays."""
    return len(a) == len(b) and all(map(operator.is_, a, b))


class SingleDenseStage(FusedStage):
    """One Dense layer of any size, with any activation and with dropout behind it; flattens images
    on the way in.

    ReLU, or no activation, is part of the product where no dropout follows.
    """

    def __init__(self, layers: Sequence[Layer], *, needs_dx: bool) -> None:
        super().__init__(layers, needs_dx=needs_dx)
        self.dense = next(layer for layer in layers if isinstance(layer, Dense))
        self.behind, self.dropout = behind_product(layers), None
        activation = activation_of(layers)
        self.relu, self._drops = is_relu(activation), is_dropout(layers[-1])
        self._simple = self.relu or is_linear(activation)
        self._no_bias = np.zeros(self.dense.units, np.float32)
        self._db = np.zeros(self.dense.units, np.float32)

    def seek(self, step: int, sample: int) -> None:
        self.behind.seek(step, sample)

    def forward(self, x: Array, training: bool = False) -> Array:
        self._shape = x.shape
        self._x = x = np.ascontiguousarray(x, np.float32).reshape(len(x), -1)
        params = self.dense.params
        W, bias = params["W"], params.get("b", self._no_bias)
        self._z = z = self.output("z", (len(x), self.dense.units), x, training)
        self._ends_here = self._simple and not (training and self._drops)
        if self._ends_here:
            products.forward(x, W, z, self.buffer, bias, relu=self.relu, call=self.call)
            return z
        products.forward(x, W, z, self.buffer, call=self.call)
        return self.behind.forward(z, training, bias)

    def backward(self, dy: Array) -> Array | None:
        grads = self.dense.grads
        db = grads.get("b", self._db)
        dz = self._dz(dy, db) if self._ends_here else self.behind.backward(dy, db)
        products.backward_weights(self._x, dz, grads["W"], self.buffer)
        if not self.needs_dx:
            return None
        dx = self.passed(self._x.shape, dz)
        products.backward_inputs(dz, self.dense.params["W"], dx, self.buffer)
        return dx.reshape(self._shape)

    def _dz(self, dy: Array, db: Array) -> Array:
        """dz from the dy behind ReLU or nothing; fills db."""
        dy = np.ascontiguousarray(dy, np.float32)
        if not self.relu:
            np.sum(dy, axis=0, out=db)
            return dy
        dz, images = self.passed(dy.shape, dy), (len(dy), 1, 1, -1)
        passes.gradient_of_product(
            dy.reshape(images), self._z.reshape(images), NOTHING, False, True, np.float32(1),
            dz.reshape(images), db,
        )  # fmt: skip
        return dz

"""An ONNX graph in the making, and in which order its values are held.

Layers see images as (N, H, W, C); ONNX's convolutions and poolings take (N, C, H, W). So each value
carries the order in which it is held. A layer that maps every number by itself leaves the order
alone, one that has numbers for each channel brings them into it (`beside`), and only a layer that
needs another order has the value transposed: never between two convolutions.

Flatten has no need to transpose either: the row that it makes is held in the order (C, H, W), and
the Dense behind it has the rows of its kernel in that order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.export.orders import flattened
from minicnn.layers.base import Shape

Array = NDArray[Any]

CHANNELS_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True)
class Value:
    """The result of a node, or the graph's input.

    Attributes
    ----------
    name : str
        In the graph.
    shape : tuple
        As the layers see it, batch axis first.
    order : tuple of int
        Axis k of the value in the graph is axis order[k] of `shape`.
    rows : ndarray or None
        For vectors: number k of the one in the graph is number rows[k] of the layers'.
    """

    name: str
    shape: Shape
    order: tuple[int, ...]
    rows: Array | None = None

    def at(self, axis: int) -> int:
        """Where the graph has the axis that the layers call `axis`."""
        return self.order.index(axis % len(self.order))

    def named(self, name: str) -> Value:
        """The result of another node, of the same shape and held in the same order."""
        return replace(self, name=name)

    @property
    def held(self) -> list[int]:
        """The sizes in the graph, without the batch axis."""
        return [int(self.shape[k]) for k in self.order[1:]]


class Graph:
    """Nodes and constants, each under the name of the layer that they come from.

    Attributes
    ----------
    nodes, constants : list
        As `onnx.helper.make_node` and `onnx.numpy_helper.from_array` make them.
    bytes : int
        What the constants take.
    layer : str
        What the names of new nodes and constants begin with.
    """

    def __init__(self, dtype: Any) -> None:
        from onnx import helper, numpy_helper

        self._node, self._tensor = helper.make_node, numpy_helper.from_array
        self.dtype = np.dtype(dtype)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.bytes = 0
        self.layer = ""
        self._taken = {"input", "output"}

    def _name(self, what: str) -> str:
        wanted = name = f"{self.layer}/{what}"
        number = 1
        while name in self._taken:
            name = f"{wanted}_{number}"
            number += 1
        self._taken.add(name)
        return name

    # -- constants --------------------------------------------------------------------------------

    def constant(self, values: Any, what: str) -> str:
        """The name of a new constant, in the model's float type."""
        return self._constant(np.asarray(values, self.dtype), what)

    def integers(self, values: Any, what: str) -> str:
        """The name of a new constant of whole numbers."""
        return self._constant(np.asarray(values, np.int64), what)

    def scales(self, values: Any, what: str) -> str:
        """The name of a new constant of factors, which ONNX takes in float32 alone."""
        return self._constant(np.asarray(values, np.float32), what)

    def _constant(self, values: Array, what: str) -> str:
        name = self._name(what)
        self.bytes += values.nbytes
        self.constants.append(self._tensor(np.ascontiguousarray(values), name))
        return name

    def beside(self, x: Value, values: Any, what: str) -> str:
        """A constant that stretches over x, from an array that does so in the layers' order."""
        values = np.asarray(values).transpose(x.order)
        if x.rows is not None and values.shape[1] > 1:
            values = values[:, x.rows]
        return self.constant(values, what)

    # -- nodes ------------------------------------------------------------------------------------

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The name of the result of a new node."""
        name = self._name(operator)
        self.nodes.append(self._node(operator, inputs, [name], name=name, **attributes))
        return name

    def falling(self, x: Value, axis: int) -> str:
        """The numbers of x along an axis of the layers', the largest first."""
        values, places = self._name("TopK"), self._name("places")
        count = self.integers([x.shape[axis]], "count")
        node = self._node("TopK", [x.name, count], [values, places], name=values, axis=x.at(axis))
        self.nodes.append(node)
        return values

    def halves(self, x: Value, axis: int) -> tuple[str, str]:
        """The two halves of x along an axis of the layers'."""
        first, second = self._name("Split"), self._name("Split")
        where = x.at(axis)
        node = self._node("Split", [x.name], [first, second], first, num_outputs=2, axis=where)
        self.nodes.append(node)
        return first, second

    def apply(self, x: Value, operator: str, *others: str, **attributes: Any) -> Value:
        """What a node makes of x that leaves shape and order alone."""
        return x.named(self.node(operator, x.name, *others, **attributes))

    def mean(self, x: Value, axes: list[int]) -> str:
        """Mean over some axes of the graph, which stay with size 1."""
        return self.node("ReduceMean", x.name, self.integers(axes, "axes"), keepdims=1)

    # -- order ------------------------------------------------------------------------------------

    def ordered(self, x: Value, order: tuple[int, ...]) -> Value:
        """x, held in that order of its axes."""
        if x.order == order:
            return x
        permutation = [x.order.index(axis) for axis in order]
        return Value(self.node("Transpose", x.name, perm=permutation), x.shape, order)

    def channels_first(self, x: Value) -> Value:
        """The images x, held as (N, C, H, W)."""
        return self.ordered(x, CHANNELS_FIRST)

    def plain(self, x: Value) -> Value:
        """x, held as the layers see it."""
        if x.rows is not None:
            places = self.integers(np.argsort(x.rows), "order")
            return Value(self.node("Gather", x.name, places, axis=1), x.shape, x.order)
        return self.ordered(x, tuple(range(len(x.shape))))

    def reshaped(self, x: Value, shape: Shape) -> Value:
        """The samples of x in another shape, in the layers' row-major order."""
        order = tuple(range(len(shape)))
        if len(shape) == 2:
            rows = x.rows if len(x.shape) == 2 else flattened(x.shape[1:], x.order)
            if x.shape == shape:
                return x
            if len(x.shape) > 1:
                return Value(self.node("Flatten", x.name, axis=1), shape, order, rows)
        x = self.plain(x)
        return Value(self.as_sizes(x.name, list(shape[1:])), shape, order)

    def as_sizes(self, name: str, sizes: list[int]) -> str:
        """Samples in another shape, without a look at what the axes mean."""
        # 0: the batch axis as it comes
        return self.node("Reshape", name, self.integers([0, *sizes], "shape"))

    def result(self, x: Value) -> None:
        """Make x the graph's output, by the name "output"."""
        x = self.plain(x)
        if x.name == "input":
            x = self.apply(x, "Identity")
        for node in self.nodes:
            for names in (node.input, node.output):
                for k, name in enumerate(names):
                    if name == x.name:
                        names[k] = "output"

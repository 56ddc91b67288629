"""All parameters of a model as one vector, and all gradients as another of the same length.

Each `layer.params[key]` and `layer.grads[key]` is a view into them:

    params   | conv2d/W ........ | conv2d/b | dense/W ....... | dense/b |  room |
    grads    | the same places                                          |

An optimizer's step is then a few lines on vectors. The vectors have room for more, so that adding
one layer after the other does not copy everything each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, constraints, regularizers
from minicnn.kernels.memory import aligned, aligned_zeros
from minicnn.layers.arrays import replacement
from minicnn.layers.base import Layer
from minicnn.layers.contents import IN_PASSING, Parts, layers_inside, replace_arrays
from minicnn.weights import KERAS_NAMES

Array = NDArray[Any]

_layout = attrgetter("shape", "strides", "dtype")
MOST_LISTED = 8  # times that layers are listed to see later what of them was replaced


class View(NamedTuple):
    """A parameter's place in the vectors, and the views that its layer has been given."""

    layer: Layer
    key: str
    place: slice
    param: Array
    grad: Array


class Ruled(NamedTuple):
    """A parameter with a regularizer or a constraint."""

    place: slice
    shape: tuple[int, ...]
    rule: Any
    who: str

    def penalty(self, w: Array) -> float:
        """What the regularizer makes of the parameter in the vector w."""
        return regularizers.penalty(self.rule, w[self.place].reshape(self.shape), self.who)

    def add_gradient(self, w: Array, g: Array) -> None:
        """Add the gradient of the penalty to the vector g."""
        w, g = w[self.place].reshape(self.shape), g[self.place].reshape(self.shape)
        g += regularizers.slope(self.rule, w, self.who)

    def constrain(self, w: Array) -> None:
        """Hold the parameter in the vector w to its constraint."""
        w = w[self.place].reshape(self.shape)
        w[...] = constraints.applied(self.rule, w, self.who)


class FlatParameters:
    """The two vectors of a model, and which part of them belongs to which layer.

    Attributes
    ----------
    params, grads : ndarray of shape (parameters,)
    made_of : Parts or None
        What the layers were made of when `separate_states` was last called, unless that was too
        often.
    """

    def __init__(self, layers: Iterable[Layer], dtype: Any) -> None:
        layers = list(layers)
        self._views: list[View] = []
        self.made_of: Parts | None = None
        self._listed = 0
        self._arrays: list[Array] = []  # the parameters then, and their shapes, strides and types
        self._layouts: list[tuple[Any, ...]] = []
        self._make_room(sum(map(_size, layers)), np.dtype(dtype))
        self.extend(layers)

    def extend(self, layers: list[Layer]) -> None:
        """Give layers their places behind the others; their parameters keep their values."""
        added = sum(map(_size, layers))
        start = self.params.size
        if start + added > self._all_params.size:
            self._make_room(2 * (start + added), self.params.dtype)
        self._resize(start + added)
        views = []
        for layer in layers:
            for key, array in layer.params.items():
                place = slice(start, start + array.size)
                self.params[place] = array.ravel()
                self.grads[place] = 0
                views.append(self._view(layer, key, place, array.shape))
                start = place.stop
        self._views = [*self._views, *views]
        self._hand_out(views)

    def remove_last(self, layer: Layer) -> None:
        """The last layer's arrays are its own again, and the vectors that much shorter."""
        while self._views and self._views[-1].layer is layer:
            *self._views, view = self._views
            layer.params[view.key], layer.grads[view.key] = view.param.copy(), view.grad.copy()
            self._resize(view.place.start)

    def untouched(self, layers: list[Layer]) -> bool:
        """Whether nothing of these layers was replaced since `separate_states` of the same ones."""
        if self.made_of is None or not self.made_of.same(layers):
            return False
        # nor any view given another shape or type in its place
        return list(map(_layout, self._arrays)) == self._layouts

    def absorb(self) -> None:
        """Copy arrays that have replaced a view into the vector, and hand out the view again.

        Views of the vector at another place, or transposed ones, are copied as well.

        Raises TypeError or ValueError unless they are arrays of that shape and of finite numbers,
        and for keys that are missing or new.
        """
        torn = [
            (number, self._values(view, given))  # a copy: it may be a view of the vector
            for number, view in enumerate(self._views)
            if not _intact(view, given := view.layer.params.get(view.key))
        ]
        self._expect_no_more()
        for number, values in torn:
            view = self._views[number]
            self.params[view.place] = values.ravel()
            self._views[number] = self._view(view.layer, view.key, view.place, values.shape)
        self._hand_out(self._views)

    def hand_out_again(self) -> None:
        """Put the views back that have been replaced in a step, whose values are older than these.

        Another model of the same layers takes them when a loss, a metric or a constraint asks it.
        """
        taken = [view for view in self._views if view.layer.params.get(view.key) is not view.param]
        if taken:
            self._hand_out(taken)

    def separate_states(self, layers: list[Layer]) -> None:
        """Give each layer state arrays apart from the vector and from other layers'.

        Raises TypeError or ValueError unless they are arrays of finite numbers.
        """
        seen: set[int] = set()
        for layer in layers:
            layer.take_in()
            for key, array in layer.state.items():
                memory = id(array if array.base is None else array.base)
                if memory in seen or np.may_share_memory(array, self._all_params):
                    layer.state[key] = array.copy()
                seen.add(memory)
        self._listed += 1  # not for a layer of the user's that keeps a new object in every step
        arrays = [view.layer.params[view.key] for view in self._views]
        listed = self._listed <= MOST_LISTED and all(map(_intact, self._views, arrays))
        self.made_of = Parts(layers, IN_PASSING) if listed else None
        self._arrays, self._layouts = arrays, [_layout(view.grad) for view in self._views]

    def collect_gradients(self) -> None:
        """Copy in the gradients of layers that put an array into `grads` instead of writing."""
        for view in self._views:
            given = view.layer.grads[view.key]
            if given is not view.grad:
                view.grad[...] = given
                view.layer.grads[view.key] = view.grad

    def parts(self, layers: Iterable[Layer]) -> list[slice]:
        """Where the parameters of the trainable ones of `layers` lie, one slice for each."""
        chosen = {id(layer) for layer in layers if layer.trainable}
        return [view.place for view in self._views if id(view.layer) in chosen]

    def views(self) -> list[View]:
        """Every parameter with its place in the vectors, in their order."""
        return list(self._views)

    def shapes(self) -> dict[int, tuple[int, ...]]:
        """The shape of each parameter, by where it begins in the vectors."""
        return {view.place.start: view.param.shape for view in self._views}

    def paths(self, parts: Iterable[slice]) -> list[str]:
        """The parameters at these `parts` by Keras's names: "dense/kernel"."""
        starts = {part.start for part in parts}
        return [
            f"{view.layer.name}/{KERAS_NAMES.get(view.key, view.key)}"
            for view in self._views
            if view.place.start in starts
        ]

    def ruled(self, table: str, parts: Iterable[slice]) -> list[Ruled]:
        """The parameters at these `parts` that have a regularizer, or a constraint.

        `table` is the layers' attribute, "regularizers" or "constraints". A layer inside another
        may share the array that the outer one shows; its rules count.
        """
        starts = {part.start for part in parts}
        return [
            Ruled(view.place, view.param.shape, rule, f"{view.layer.who}: {view.key}")
            for view in self._views
            if view.place.start in starts
            for rule in _rules(view, table)
        ]

    def _values(self, view: View, given: Any) -> Array:
        name = f"params[{checks.shown(view.key)}]"
        return replacement(given, view.grad.shape, self.params.dtype, name, view.layer.who)

    def _expect_no_more(self) -> None:
        known: dict[int, dict[str, Layer]] = {}  # by the layer's id: its keys
        for view in self._views:
            known.setdefault(id(view.layer), {})[view.key] = view.layer
        for keys in known.values():
            layer = next(iter(keys.values()))
            for key in layer.params:
                if key not in keys:
                    names = ", ".join(sorted(map(str, keys)))
                    raise ValueError(
                        f"{layer.who}: expected params to hold {names}, as build made them, "
                        f"received {checks.shown(key)} besides. Call add_param in build"
                    )

    def _view(self, layer: Layer, key: str, place: slice, shape: tuple[int, ...]) -> View:
        vectors = (self._all_params, self._all_grads)
        param, grad = (vector[place].reshape(shape) for vector in vectors)
        return View(layer, key, place, param, grad)

    def _hand_out(self, views: Iterable[View]) -> None:
        """Give layers their views, also under other names: `self.kernel = self.params["W"]`."""
        new: dict[int, dict[int, Array]] = {}
        for view in views:
            tables = (view.layer.params, view.param), (view.layer.grads, view.grad)
            for table, array in tables:
                before = table.get(view.key)
                if isinstance(before, np.ndarray) and before is not array:
                    new.setdefault(id(view.layer), {})[id(before)] = array
                table[view.key] = array
        for layer in {id(view.layer): view.layer for view in views}.values():
            if id(layer) in new:
                replace_arrays(layer, new[id(layer)])

    def _make_room(self, capacity: int, dtype: np.dtype[Any]) -> None:
        """New vectors of `capacity` numbers that begin with the contents of the old ones."""
        used = 0
        if self._views:
            self.absorb()
            used = self._views[-1].place.stop
        params, grads = aligned((capacity,), dtype), aligned_zeros(capacity, dtype)
        for view in self._views:
            params[view.place] = view.param.ravel()
            grads[view.place] = view.grad.ravel()
        self._all_params, self._all_grads = params, grads
        self._views = [self._view(*v[:3], v.param.shape) for v in self._views]
        self._resize(used)
        self._hand_out(self._views)

    def _resize(self, size: int) -> None:
        self.params, self.grads = self._all_params[:size], self._all_grads[:size]


def _rules(view: View, table: str) -> Iterator[Any]:
    for layer in layers_inside(view.layer):
        for key, rule in getattr(layer, table).items():
            if layer.params.get(key) is view.layer.params[view.key]:
                yield rule


def _size(layer: Layer) -> int:
    """How many numbers its parameters hold, including arrays that a user has assigned."""
    layer.take_in()
    return sum(array.size for array in layer.params.values())


def _intact(view: View, given: Any) -> bool:
    """Whether `given` is the view that the layer was given, with its shape, strides and dtype."""
    return given is view.param and _layout(given) == _layout(view.grad)

"""Layers in a row: put together, built for one shape of input, and laid into one vector.

    items      what was added: layers, and models that serve as layers
    leaves     the layers that compute: the items, with nested models opened
    store      `FlatParameters`: all parameters of the leaves in one vector

A layer may be in several models. Its `params` are views into the vector of the model that was last
trained, or asked for its vector; each model `gathers` its layers anew when they have moved, which
copies their values. So all models see the same weights, whichever of them is trained.
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config, optimizers, seeds
from minicnn.items import checked_items, fits, leaves_of, shapes_along, unchanged_on_error
from minicnn.keras_attributes import ModelAttributes
from minicnn.layers import contents
from minicnn.layers.arrays import checked_weights
from minicnn.layers.base import Layer, Shape, penalties
from minicnn.layers.input import InputLayer
from minicnn.layers.names import unique_name
from minicnn.parameters import FlatParameters
from minicnn.settings import HasSettings, Setting
from minicnn.weights import HasWeights, Weight

Array = NDArray[Any]

HOW_TO_BUILD = (
    "Give the first layer input_shape=(H, W, C), or call build((None, H, W, C)) or fit first"
)

# the model whose parameters an optimizer has taken steps on
_served: weakref.WeakKeyDictionary[optimizers.Optimizer, weakref.ref[Stack]] = (
    weakref.WeakKeyDictionary()
)


class Stack(ModelAttributes, HasSettings, HasWeights):
    """What `Sequential` is before it is compiled: layers, shapes and weights."""

    name = Setting(checks.text)

    def __init__(self, name: str | None) -> None:
        self.name = unique_name(type(self).__name__) if name is None else name
        self.rng = seeds.new_generator()  # of initial values, masks and shuffling
        seeds.differ_after_fork(self)
        self.optimizer: optimizers.Optimizer = optimizers.RMSprop()
        self.built = False
        self._items: list[Item] = []
        self._leaves: list[Layer] = []
        self._input: InputLayer | None = None
        self._input_shape: Shape | None = None
        self._output_shapes: list[Shape] = []  # of each leaf, once the model is built
        self._store = FlatParameters([], config.floatx())
        self._trainable_parts: list[slice] | None = None  # None: compiled before it was built
        self._kept: dict[str, tuple[Any, Any]] = {}  # by use: settings, and what was made from them

    def __repr__(self) -> str:
        return f"<Sequential name={self.name}, built={self.built}>"

    @property
    def who(self) -> str:
        return f"Sequential '{self.name}'"

    # -- what it holds ----------------------------------------------------------------------------

    @property
    def layers(self) -> list[Item]:
        """The layers, first to last, without the `Input`; change them with `add` and `pop`."""
        return list(self._items)

    @property
    def leaves(self) -> list[Layer]:
        """The layers that compute, first to last: as `layers`, with nested models opened."""
        return list(self._leaves) if self.built else leaves_of(self._items)

    @property
    def store(self) -> FlatParameters:
        """The vectors of all parameters and gradients, as they were last gathered."""
        return self._store

    @property
    def declared_input(self) -> InputLayer | None:
        """The `Input` that was added first, if there was one."""
        return self._input

    @property
    def trainable(self) -> bool:
        """Whether any layer learns; setting it sets every layer. `compile` makes it count."""
        return any(layer.trainable for layer in self._items)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._items:
            layer.trainable = checks.boolean(value, "trainable", self.who)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float type that the model computes in."""
        return self._store.params.dtype

    @property
    def flat_params(self) -> Array:
        """All parameters as one vector; what is assigned to it is copied into it."""
        self.gather()
        return self._store.params

    @flat_params.setter
    def flat_params(self, values: Any) -> None:
        given = checks.numeric(values, "flat_params", self.who)
        if given.shape != self.flat_params.shape:
            raise ValueError(
                f"{self.who}: expected flat_params of shape {self.flat_params.shape}, received "
                f"{given.shape}"
            )
        checks.finite(given, "flat_params", self.who, dtype=self.dtype)
        self._store.params[...] = given

    @property
    def flat_grads(self) -> Array:
        """The gradient of the loss at the last step, in the order of `flat_params`."""
        return self._store.grads

    @property
    def trainable_parts(self) -> list[slice]:
        """Where the parameters lie in the vector that training changes, by the last `compile`.

        One slice for each parameter.
        """
        if self._trainable_parts is None:
            return self._store.parts(self._leaves)
        return self._trainable_parts

    @trainable_parts.setter
    def trainable_parts(self, parts: list[slice]) -> None:
        self._trainable_parts = parts

    @property
    def losses(self) -> list[float]:
        """The penalties now: on the outputs of the last call, then on the parameters.

        Those of frozen layers do not count. See `regularizers.py`.
        """
        return penalties(self.leaves)

    @property
    def input_shape(self) -> Shape:
        """Shape of a batch that goes in, (None, ...); AttributeError before it is built."""
        if self._input_shape is None:
            raise AttributeError(f"{self.who}: input_shape is not known yet. {HOW_TO_BUILD}")
        return (self._batch_size(), *self._input_shape[1:])

    @property
    def output_shape(self) -> Shape:
        """Shape of a batch that comes out, (None, ...); AttributeError before it is built."""
        if not self._output_shapes:
            raise AttributeError(f"{self.who}: output_shape is not known yet. {HOW_TO_BUILD}")
        return (self._batch_size(), *self._output_shapes[-1][1:])

    @property
    def sample_shape(self) -> Shape | None:
        """Shape of one sample, if the model is built or its first layer declares one."""
        return self._declared_sample() if self._input_shape is None else self._input_shape[1:]

    def shapes(self, input_shape: Shape) -> list[Shape]:
        """Input shape of each leaf, and the output shape of the last one."""
        return shapes_along(self.leaves, input_shape)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Item:
        """The layer of that name, or at that place.

        Raises ValueError if there is none, or unless exactly one of the two is given.
        """
        if (name is None) == (index is None):
            raise ValueError(f"{self.who}: get_layer takes either a name or an index")
        if index is not None:
            count = len(self._items)
            index = checks.integer(index, "index", self.who, minimum=-count)
            if index >= count:
                raise ValueError(
                    f"{self.who}: expected index to be that of a layer, and there are {count}, "
                    f"received {checks.shown(index)}"
                )
            return self._items[index]
        if not isinstance(name, str):
            raise TypeError(
                f"{self.who}: expected name to be a text, received {checks.shown(name)}"
            )
        for layer in self._items:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self._items)
        raise ValueError(
            f"{self.who}: no such layer: {checks.shown(name)}. Existing layers are: {names}"
        )

    # -- add and pop ------------------------------------------------------------------------------

    def add(self, layer: Item) -> None:
        """Put `layer` on top. Once the input's shape is known, it is built at once.

        A layer of another model may be added, and a whole model: they share its weights. A compiled
        model stays compiled.

        Raises
        ------
        ValueError
            If it is not a layer, its name is taken, it does not fit on the layer below, or it is
            in the model already. The model is then unchanged.
        """
        self.add_all([layer])

    def add_all(self, layers: list[Item]) -> None:
        """As `add` for each in turn, in a time that grows with their number alone.

        Raises as `add`; none of them is added then.
        """
        given, items = checked_items(layers, self)
        self.expect_at_rest("add")
        if self._output_shapes:
            self._grow(items, self._output_shapes[-1])
            return
        with unchanged_on_error(self, items):
            self._input = given or self._input
            self._items = [*self._items, *items]
            self._common_dtype(self.leaves)
            sample = self._declared_sample()
            if items and sample is not None:
                self.build((None, *sample))

    def _grow(self, items: list[Item], below: Shape) -> None:
        """Put layers on top of a built model that gives outputs of the shape `below`."""
        leaves = leaves_of(items)
        self._common_dtype(leaves)
        shapes = shapes_along(leaves, below)  # raises before anything is changed
        with unchanged_on_error(self, items):
            self._build_items(items, below)
            self._items, self._leaves = [*self._items, *items], [*self._leaves, *leaves]
            self._store.extend(leaves)
            self._output_shapes = [*self._output_shapes, *shapes[1:]]
            self._note_inputs(leaves, shapes)
            if self._trainable_parts is not None:
                self._trainable_parts = [*self._trainable_parts, *self._store.parts(leaves)]
            self._resized()

    def pop(self) -> Item:
        """Take the top layer off and return it. Raises ValueError if there is none.

        A compiled model stays compiled.
        """
        if not self._items:
            raise ValueError(f"{self.who}: there are no layers to pop")
        self.expect_at_rest("pop")
        *below, layer = self._items
        self.gather()
        self._items = below
        if self.built:
            for leaf in reversed(leaves_of([layer])):
                self._store.remove_last(leaf)
                self._leaves, self._output_shapes = self._leaves[:-1], self._output_shapes[:-1]
            size = self._store.params.size
            parts = [slice(p.start, min(p.stop, size)) for p in self.trainable_parts]
            if self._trainable_parts is not None:
                self._trainable_parts = [part for part in parts if part.start < part.stop]
            self._resized()
            if not below:
                self.built, self._input_shape = False, None
        return layer

    def _resized(self) -> None:
        """The vector is longer or shorter: the slots of an optimizer that serves it follow."""
        self._kept = {}
        if served_by(self.optimizer) is self:
            self.optimizer.resize(self._store.params)

    # -- build ------------------------------------------------------------------------------------

    def build(self, input_shape: Shape | None = None) -> None:
        """Create all parameters for inputs of `input_shape`, (None, ...) with the batch axis first.

        Raises ValueError where a layer cannot take what it would get; nothing is built then.
        """
        if input_shape is None:
            sample = self._declared_sample()
            if sample is None:
                raise ValueError(f"{self.who}: expected an input_shape such as (None, 28, 28, 1)")
            input_shape = (None, *sample)
        given = self._checked_shape(input_shape)
        if not self._items:
            raise ValueError(f"{self.who}: there are no layers to build; add some first")
        input_shape = (None, *given[1:])
        leaves = self.leaves
        try:
            shapes = shapes_along(leaves, input_shape)
        except ValueError as error:
            if given[0] is None or not fits(leaves, (None, *given)):
                raise
            raise ValueError(
                f"{self.who}: expected input_shape to have the batch axis first, received {given}. "
                f"Write build({(None, *given)})"
            ) from error
        dtype = self._common_dtype(leaves)
        with unchanged_on_error(self, self._items):
            if not self.built:
                self._store = FlatParameters([], dtype)
                self._build_items(self._items, input_shape)
                self._leaves = leaves
                self.bind(dtype)
                if self._trainable_parts is not None:
                    self._trainable_parts = self._store.parts(leaves)
                self._resized()
            self._input_shape, self._output_shapes = input_shape, shapes[1:]
            self._note_inputs(leaves, shapes)
            self._kept = {}
            self.built = True

    def _checked_shape(self, input_shape: Any) -> Shape:
        if not isinstance(input_shape, (list, tuple)) or not input_shape:
            raise TypeError(
                f"{self.who}: expected input_shape to be a tuple, batch axis first, such as "
                f"(None, 28, 28, 1), received {checks.shown(input_shape)}"
            )
        if input_shape[0] is not None:
            checks.size(input_shape[0], "the batch axis of input_shape", self.who)
        if not all(isinstance(n, (int, np.integer)) and n > 0 for n in input_shape[1:]):
            raise ValueError(
                f"{self.who}: expected all sizes of input_shape behind the batch axis to be "
                f"integers of at least 1, received {checks.shown(tuple(input_shape))}"
            )
        return tuple(input_shape)

    def _build_items(self, items: list[Item], below: Shape) -> None:
        """Build layers in a row, for inputs of the shape `below`."""
        for item in items:
            for leaf in leaves_of([item]):
                if leaf.awaits_build:
                    leaf.set_dtype(self.dtype)
            if isinstance(item, Stack):
                if not item.built:
                    item.build(below)
            elif item.awaits_build:
                item.rng = self.rng
                item.build(below)
            below = shapes_along(leaves_of([item]), below)[-1]

    def _declared_sample(self) -> Shape | None:
        """The shape of one sample that Input or the first layer declares."""
        if self._input is not None:
            return self._input.declared_shape
        if not self._items:
            return None
        first = self._items[0]
        return first.sample_shape if isinstance(first, Stack) else first.declared_shape

    def _common_dtype(self, leaves: list[Layer]) -> np.dtype[Any]:
        given = {layer.dtype for layer in (self._input, *leaves) if layer is not None}
        if self.built:
            given.add(self.dtype)
        given.discard(None)
        if len(given) > 1:
            raise ValueError(
                f"{self.who}: expected layers of one dtype, since their parameters are one vector, "
                f"received {sorted(map(str, given))}. Give all of them the same dtype; a layer "
                "that is built keeps its own"
            )
        return given.pop() if given else np.dtype(config.floatx())  # type: ignore[return-value]

    def common_dtype(self) -> np.dtype[Any]:
        """The float type of the model, or that which `build` will choose."""
        return self.dtype if self.built else self._common_dtype(self.leaves)

    # -- weights ----------------------------------------------------------------------------------

    def bind(self, dtype: Any) -> None:
        """Lay all parameters into one vector, gradients into another; layers get views of them."""
        self._store = FlatParameters(self._leaves, dtype)
        self._kept = {}

    def gather(self) -> None:
        """Copy in the arrays that have replaced this model's views: a user's, or views of another
        model that shares the layer.

        Raises TypeError or ValueError unless they fit, and for nested models that have changed.
        """
        if not self.built:
            return
        leaves = leaves_of(self._items)
        if self._store.untouched(leaves):
            return
        if list(map(id, leaves)) != list(map(id, self._leaves)):
            raise ValueError(
                f"{self.who}: expected the models inside it to keep the layers that it was "
                "built with. Put the new ones together: Sequential([...])"
            )
        self._store.absorb()
        self._store.separate_states(self._leaves)

    def expect_at_rest(self, what: str, *, but_for_hooks: bool = False) -> None:
        """Raise ValueError if the model is being trained; `but_for_hooks` lets callbacks pass."""

    def expect_built(self, what: str) -> None:
        """Raise ValueError before the model is built; `what` needs it to be."""
        if not self.built:
            raise ValueError(f"{self.who}: {what} needs a built model. {HOW_TO_BUILD}")

    def _needs_weights(self, what: str) -> None:
        """A new model of layers that another one has built has their weights, as in Keras."""
        if not self.leaves or not all(layer.built for layer in self.leaves):
            self.expect_built(what)

    def count_params(self) -> int:
        """Numbers that the model holds. Raises ValueError before it is built."""
        self.expect_built("count_params")
        return sum(layer.count_params() for layer in self.leaves)

    @property
    def weights(self) -> list[Weight]:
        """All arrays with Keras's names, in the order of `get_weights`; views, no copies.

        Of layers that are not built there are none.
        """
        found: list[Weight] = []
        for item in self._items:
            prefix = f"{item.name}/" if isinstance(item, Stack) else ""
            found += [replace(weight, path=prefix + weight.path) for weight in item.weights]
        return found

    def get_weights(self) -> list[Array]:
        """Copies of all weights, in Keras's order and shapes: layer by layer, kernel then bias."""
        self._needs_weights("get_weights")
        return [array for layer in self.leaves for array in layer.get_weights()]

    def set_weights(self, weights: list[Any]) -> None:
        """Copy `weights`, as `get_weights` of this or of Keras's model returns them.

        Raises ValueError before the model is built, or if the count or a shape differs; nothing is
        changed then.
        """
        self._needs_weights("set_weights")
        arrays = {
            f"{layer.name}/{key}": array
            for layer in self.leaves
            for key, array in layer.arrays().items()
        }
        for target, values in checked_weights(arrays, weights, self.who):
            target[...] = values

    # -- copies -----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: the layers hold all numbers that the vectors do."""
        return {**self.__dict__, "_kept": {}, "_store": self.dtype}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        dtype = state["_store"]
        self._store = FlatParameters([], dtype)
        if self.built:
            self.bind(dtype)
        seeds.differ_after_fork(self)
        if self.optimizer.state:
            _served[self.optimizer] = weakref.ref(self)

    def __copy__(self) -> Stack:
        """As `copy.deepcopy`; `Sequential(model.layers)` is a model over the same layers."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[Any, Any]) -> Stack:
        if contents.WORKER in memo:  # a layer's reference to its model, say
            return self
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return twin

    def reseed(self) -> None:
        """Draw other numbers from now on; for forked processes."""
        bits = self.rng.bit_generator
        bits.state = type(bits)().state


Item: TypeAlias = Layer | Stack


def served_by(optimizer: optimizers.Optimizer) -> Stack | None:
    """The model on whose parameters the optimizer has taken steps."""
    return _served.get(optimizer, lambda: None)()


def serve(optimizer: optimizers.Optimizer, model: Stack) -> None:
    """From now on the optimizer's slots belong to the parameters of `model`."""
    _served[optimizer] = weakref.ref(model)

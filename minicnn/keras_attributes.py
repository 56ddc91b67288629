"""What Keras's scripts read of layers and models: weights by name, shapes of inputs and outputs.

There is no graph: `input` and `output` are shape and float type, no numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from minicnn import checks, config
from minicnn.symbolic import KerasTensor
from minicnn.weights import KERAS_NAMES, OF_LAYERS

Shape = tuple[Any, ...]

# Keras 1's arguments of layers, and what to write instead
ARGUMENTS_OF_KERAS_1 = {
    "batch_input_shape": "Write input_shape, without the batch axis",
    "border_mode": "Write padding",
    "dim_ordering": "Leave it out: images are (N, H, W, C)",
    "init": "Write kernel_initializer",
    "nb_col": "Write kernel_size=(rows, columns)",
    "nb_filter": "Write filters",
    "nb_row": "Write kernel_size=(rows, columns)",
    "output_dim": "Write units",
    "subsample": "Write strides",
    "W_constraint": "Write kernel_constraint",
    "W_regularizer": "Write kernel_regularizer",
    "b_constraint": "Write bias_constraint",
    "b_regularizer": "Write bias_regularizer",
}


class LayerAttributes:
    """Of layers. An attribute that a class sets itself comes first.

    Attributes
    ----------
    kernel, bias, gamma, moving_mean and the like : Weight
        The parameters and the state by Keras's names, once they are built; None for a bias that
        the layer does without.
    input, output : KerasTensor
        Shape and float type of the batches that go in and come out, in the model that was built
        last with the layer; no numbers.
    """

    if TYPE_CHECKING:

        @property
        def who(self) -> str: ...

        name: Any
        params: dict[str, Any]
        state: dict[str, Any]
        _dtype: Any
        _x_shape: Shape | None

        def output_shape(self, input_shape: Shape) -> Shape: ...

    if not TYPE_CHECKING:  # which would let every name pass

        def __getattr__(self, name: str) -> Any:
            """The weight of that name of Keras's, `input` or `output`; attributes come first."""
            if name in ("input", "output") and "_x_shape" in vars(self):
                return self._symbol(name)
            key = key_of(self, name)
            if key is not None:
                return self.weights[[*self.params, *self.state].index(key)]
            kind, message = type(self).__name__, ""
            if not vars(self).get("built"):
                if name in OF_LAYERS:
                    message = ". It has one when it is built: call build(input_shape) or fit first"
            elif f"{name}_initializer" in dir(type(self)):
                return None  # such as the bias, with use_bias=False
            raise AttributeError(f"{kind!r} object has no attribute {name!r}{message}")

    def _symbol(self, name: str) -> KerasTensor:
        """`input` or `output`."""
        shape = self._x_shape
        if shape is None:
            raise AttributeError(
                f"{self.who}: {name} is not known before the layer is in a model that is built. "
                f"For an x of your choice: layer.compute_output_shape(x.shape)"
            )
        dtype = self._dtype or np.dtype(config.floatx())
        if name == "output":
            shape = self.output_shape(shape)
        return KerasTensor(shape, dtype, self.name)

    def add_weight(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Keras's name for `add_param` and `add_state`: raises a TypeError that translates it."""
        by_name = bool(args) and isinstance(args[0], str)  # Keras 2 has the name first
        names = ("name", "shape", "dtype", "initializer") if by_name else ("shape", "initializer")
        given = {"name": "w", "shape": (), "initializer": "glorot_uniform", "trainable": True}
        given |= {**dict(zip(names, args)), **kwargs}
        learns = given["trainable"] is not False
        method, table = ("add_param", "params") if learns else ("add_state", "state")
        key, shape, initializer = (
            checks.shown(given[name]) for name in ("name", "shape", "initializer")
        )
        raise TypeError(
            f"{self.who}: expected {method}, received add_weight, which is Keras's name for it. "
            f"Write self.{method}({key}, {shape}, {initializer}), read it as self.{table}[{key}]"
        )

    def note_input(self, shape: Shape) -> None:
        """Remember the shape of the batches in the model that has just been built."""
        self._x_shape = shape

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of y for an x of `input_shape`, batch axis first: `output_shape`, by Keras's name.

        Raises TypeError or ValueError if x cannot be of that shape.
        """
        return self.output_shape(input_shape)


def key_of(layer: Any, name: str) -> str | None:
    """The key in `params` or `state` of the array that Keras calls `name`."""
    held = vars(layer)
    tables = (held.get("params"), held.get("state"))
    keys = [key for table in tables for key in table or () if isinstance(key, str)]
    return next((key for key in keys if KERAS_NAMES.get(key, key) == name), None)


def shape_of(input_shape: Any, input_dim: Any, who: str) -> Any:
    """The `input_shape` argument, or what `input_dim` says in its place."""
    if input_dim is None:
        return input_shape
    if input_shape is not None:
        raise ValueError(
            f"{who}: expected input_shape or input_dim, received both. Leave out input_dim"
        )
    return (checks.size(input_dim, "input_dim", who),)


class ModelAttributes:
    """Of models, once they are built."""

    if TYPE_CHECKING:
        dtype: Any
        input_shape: Any
        output_shape: Any
        _input: Any
        _items: Any

        def shapes(self, input_shape: Any) -> Any: ...
        def _checked_shape(self, input_shape: Any) -> Any: ...

    @property
    def inputs(self) -> list[KerasTensor]:
        """Shape and float type of a batch that goes in, as the one entry of a list.

        AttributeError before the model is built. There are no numbers, and no graph, in it.
        """
        name = self._items[0].name if self._input is None and self._items else "input_layer"
        name = name if self._input is None else self._input.name
        return [KerasTensor(self.input_shape, self.dtype, name)]

    @property
    def outputs(self) -> list[KerasTensor]:
        """The same of a batch that comes out."""
        return [KerasTensor(self.output_shape, self.dtype, self._items[-1].name)]

    @property
    def input(self) -> KerasTensor:
        """The one of `inputs`."""
        return self.inputs[0]

    @property
    def output(self) -> KerasTensor:
        """The one of `outputs`."""
        return self.outputs[0]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the outputs for a batch of `input_shape`, batch axis first.

        Raises TypeError or ValueError if a layer cannot take what it would get.
        """
        return self.shapes(self._checked_shape(input_shape))[-1]

    def _batch_size(self) -> int | None:
        """What `Input` says of the batch axis; batches may have any size."""
        return None if self._input is None else self._input.batch_size

    def _note_inputs(self, leaves: list[Any], shapes: list[Shape]) -> None:
        for leaf, shape in zip(leaves, shapes):
            leaf.note_input((self._batch_size(), *shape[1:]))

"""What Keras's scripts read of layers and models: weights by name, shapes of inputs and outputs.

There is no graph: `input` and `output` are shape and float type, no numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import config
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
    """Of layers. An attribute that a class sets itself comes first."""

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

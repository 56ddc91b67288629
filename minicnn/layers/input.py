"""Input: says what one sample looks like, so that a model can be built before it sees data."""

from __future__ import annotations

from typing import Any

from minicnn.layers.activations import Linear


class InputLayer(Linear):
    """First entry of a `Sequential`; it declares the shape of one sample and computes nothing.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample, without the batch axis: (28, 28, 1).
    dtype : "float32", "float64" or None
        Float type of the model.

    Raises
    ------
    TypeError, ValueError
        If `shape` is not a tuple of integers of at least 1.
    """

    ignored = {
        "batch_shape": (None,),
        "batch_size": (None,),
        "input_tensor": (None,),
        "optional": (False,),
        "ragged": (None, False),
        "sparse": (None, False),
        "tensor": (None,),
    }

    def __init__(self, shape: tuple[int, ...], **kwargs: Any) -> None:
        if shape is None:
            raise TypeError(
                "Input: expected shape to be a tuple such as (28, 28, 1), received None"
            )
        super().__init__(input_shape=shape, **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["shape"] = config.pop("input_shape")
        return config


def Input(shape: tuple[int, ...], **kwargs: Any) -> InputLayer:
    """`InputLayer(shape)`, under the name that Keras's examples use."""
    return InputLayer(shape, **kwargs)

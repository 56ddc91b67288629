"""Input: says what one sample looks like, so that a model can be built before it sees data."""

from __future__ import annotations

from typing import Any

from minicnn import checks
from minicnn.layers.activations import Linear
from minicnn.settings import Setting
from minicnn.symbolic import Symbolic


def _size_or_none(value: Any, name: str, who: str) -> int | None:
    return None if value is None else checks.size(value, name, who)


class InputLayer(Symbolic, Linear):
    """First entry of a `Sequential`; it declares the shape of one sample and computes nothing.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample, without the batch axis: (28, 28, 1).
    batch_size : int, optional
        What the model's shapes say of the batch axis; batches may have any size.
    dtype : "float32", "float64" or None
        Float type of the model.
    batch_shape : tuple
        (batch_size, *shape), in the place of these two.
    input_shape : tuple of int
        Another name of `shape`.

    Raises
    ------
    TypeError, ValueError
        If `shape` is not a tuple of integers of at least 1, or given twice.
    """

    batch_size = Setting(_size_or_none)
    ignored = {
        "input_tensor": (None,),
        "optional": (False,),
        "ragged": (None, False),
        "sparse": (None, False),
        "tensor": (None,),
    }

    def __init__(
        self,
        shape: tuple[int, ...] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        *,
        batch_shape: tuple[Any, ...] | None = None,
        input_shape: tuple[int, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        given = {"shape": shape, "batch_shape": batch_shape, "input_shape": input_shape}
        names = [name for name, one in given.items() if one is not None]
        if not names:
            raise TypeError(
                "Input: expected shape to be a tuple such as (28, 28, 1), received None"
            )
        if len(names) > 1 or (batch_shape is not None and batch_size is not None):
            names += ["batch_size"] if batch_size is not None else []
            raise ValueError(
                f"Input: expected shape or batch_shape, received {' and '.join(names)}. Write "
                "Input(shape=(28, 28, 1), batch_size=32)"
            )
        if batch_shape is not None:
            batch_size, *sample = checks.batch_shape(batch_shape, "batch_shape", "Input")
            given["batch_shape"] = tuple(sample)
        super().__init__(input_shape=given[names[0]], dtype=dtype, **kwargs)
        self.batch_size = batch_size

    @property
    def shape(self) -> tuple[Any, ...]:
        """Shape of a batch, (batch_size or None, ...)."""
        return (self.batch_size, *(self.declared_shape or ()))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["shape"] = config.pop("input_shape")
        return config


def Input(
    shape: tuple[int, ...] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    **kwargs: Any,
) -> InputLayer:
    """`InputLayer(shape)`, under the name that Keras's examples use."""
    return InputLayer(shape, batch_size, dtype, **kwargs)

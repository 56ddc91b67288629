"""What `model.weights` lists: each array with its name, under Keras's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from minicnn import checks

Array = NDArray[Any]

KERAS_NAMES = {"W": "kernel", "b": "bias"}  # the others have the same name there
OF_LAYERS = (  # that a layer may have once it is built
    *("kernel", "bias", "depthwise_kernel", "pointwise_kernel"),
    *("gamma", "beta", "scale", "moving_mean", "moving_variance", "alpha"),
)


@dataclass(frozen=True, eq=False)
class Weight(NDArrayOperatorsMixin):
    """One array of a layer: a parameter, or a running statistic.

    Arithmetic, comparisons, indices and NumPy's functions work on the numbers and give plain
    arrays.

    Attributes
    ----------
    name, path : str
        Keras's names: "kernel", "dense/kernel".
    value : ndarray
        The array itself, no copy; what is written into it, the model computes with.
    trainable : bool
        Whether training changes it.

    Examples
    --------
    >>> Weight("kernel", "dense/kernel", np.zeros((2, 3)), True)
    <Weight path=dense/kernel, shape=(2, 3)>
    """

    name: str
    path: str
    value: Array
    trainable: bool

    __hash__ = object.__hash__  # which the mixin's == took away

    def __repr__(self) -> str:
        return f"<Weight path={self.path}, shape={self.shape}>"

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __len__(self) -> int:
        return len(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    @property
    def ndim(self) -> int:
        return self.value.ndim

    def numpy(self) -> Array:
        """A copy of the numbers."""
        return self.value.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.value, dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [one.value if isinstance(one, Weight) else one for one in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)

    def assign(self, value: Any) -> None:
        """Copy `value` in. Raises TypeError or ValueError unless type, shape and numbers fit."""
        given = checks.numeric(value, self.path, "assign")
        if given.shape != self.shape:
            raise ValueError(
                f"assign: expected {self.path} of shape {self.shape}, received {given.shape}"
            )
        checks.finite(given, self.path, "assign", dtype=self.dtype)
        self.value[...] = given


class HasWeights:
    """Base of layers and models: their `weights`, divided by whether training changes them."""

    @property
    def weights(self) -> list[Weight]:
        raise NotImplementedError

    @property
    def trainable_weights(self) -> list[Weight]:
        """Those of `weights` that training changes."""
        return [weight for weight in self.weights if weight.trainable]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The others: running statistics, and everything in frozen layers."""
        return [weight for weight in self.weights if not weight.trainable]

    @property
    def variables(self) -> list[Weight]:
        """`weights`, by Keras's other name."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Weight]:
        """`trainable_weights`, by Keras's other name."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Weight]:
        """`non_trainable_weights`, by Keras's other name."""
        return self.non_trainable_weights

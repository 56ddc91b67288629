"""What data, callbacks and the training loop know of a model; `Sequential` is all of it.

They are below the model in the order of imports, so they name what they use, not the class.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minicnn.layers.base import Layer, Shape

Array = NDArray[Any]


class Model(Protocol):
    """A built model, or one about to be built for its data."""

    loss: Any
    optimizer: Any
    history: Any
    rng: np.random.Generator
    stop_training: bool
    stop_evaluating: bool
    stop_predicting: bool
    steps_taken: int
    loss_weight: float

    @property
    def who(self) -> str: ...
    @property
    def unweighted_metrics(self) -> int: ...
    @property
    def leaves(self) -> list[Layer]: ...
    @property
    def store(self) -> Any: ...
    @property
    def trainable_parts(self) -> list[slice]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def input_shape(self) -> Shape: ...
    @property
    def output_shape(self) -> Shape: ...
    @property
    def sample_shape(self) -> Shape | None: ...
    def common_dtype(self) -> np.dtype[Any]: ...
    def shapes(self, input_shape: Shape) -> list[Shape]: ...
    @property
    def metrics(self) -> list[Any]: ...
    def chosen_metrics(self, output_shape: Shape, loss: Any = None) -> list[Any]: ...
    def plan_of(self, layers: list[Layer], *, training: bool = True) -> Any: ...
    def runner(self, *, training: bool, arrays: bool = True) -> Any: ...
    def network(self) -> tuple[Any, bool]: ...

"""Numbers that are NaN or infinite: where they came from, and the errors that say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine import ranks
from minicnn.inputs import Batch
from minicnn.layers import Layer
from minicnn.layers.contents import layers_inside, replicas
from minicnn.layers.regularization import OutputPenalty
from minicnn.protocols import Model

Array = NDArray[Any]


class NotFinite(FloatingPointError):
    """Something became NaN or infinite; of several ranks that work together, all raise it."""


class NotFiniteError(NotFinite):
    """A step that was not applied, since it would have made something NaN or infinite.

    `values` are the loss and the metrics of its batch, as `Runner.step` returns them.
    """

    def __init__(self, message: str, values: Any) -> None:
        super().__init__(message)
        self.values = values


def expect_finite(model: Model, batch: Batch, y: Array | None, who: str) -> None:
    """Raise FloatingPointError if y, or else what the model gives for `batch`, is not finite."""
    if y is not None and np.isfinite(y).all():
        return
    where, _ = first_not_finite(model.leaves, batch.all_inputs(model.input_shape[1:]))
    where = first_found(where)
    if where or y is not None:
        where = where or "the output"
        raise NotFinite(
            f"{who}: {where} is NaN or infinite. Its weights may be, or be too large: see "
            "model.get_weights(), and put good ones in with model.set_weights()"
        )


def first_found(where: str) -> str:
    """What the first rank has found that has found anything."""
    return next(filter(None, ranks.group().objects(where)), "")


def first_not_finite(
    layers: Iterable[Layer], x: Array, step: int | None = None, sample: int = 0
) -> tuple[str, Array]:
    """The first layer whose output for x is not finite, "" if there is none, and the last output.

    With a `step`, the layers are run as in that step of training, on the samples of a batch from
    number `sample` on.
    """
    if len(x) == 0:
        return "", x
    with np.errstate(all="ignore"):
        for layer in replicas(layers):
            for inner in layers_inside(layer) if step is not None else ():
                inner.seek(step, sample)
            x = layer.forward(x, step is not None)
            if not np.isfinite(x).all():
                return f"the output of {layer.who}", x
            if isinstance(layer, OutputPenalty) and not np.isfinite(layer.penalty):
                return f"the penalty of {layer.layer_name}: its output", x
    return "", x


def not_finite(step: int, what: str) -> str:
    return (
        f"fit: {what} became NaN or infinite at step {step}. The model keeps the weights of "
        "the last whole step. Try a smaller learning rate, or inputs scaled to [0, 1]"
    )

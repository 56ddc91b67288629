"""Penalties on what layers put out: ActivityRegularization, and what a model does for any layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minicnn import checks, regularizers
from minicnn.layers.base import Array, Layer
from minicnn.layers.contents import layers_inside
from minicnn.settings import Setting


class ActivityRegularization(Layer):
    """y = x, and a penalty on it: l1 * sum of |y| + l2 * sum of y^2, divided by N.

    Why: it keeps the activations of the layer below small, or most of them 0. Every other layer has
    the same as an argument, `activity_regularizer`.

    Parameters
    ----------
    l1, l2 : float >= 0

    Raises
    ------
    ValueError
        For other factors.

    Examples
    --------
    >>> import numpy as np
    >>> layer = ActivityRegularization(l2=0.01)
    >>> y = layer(np.full((3, 5), 2.0))
    >>> [round(loss, 6) for loss in layer.losses]       # 0.01 * 5 * 4, whatever N is
    [0.2]
    """

    built_when_made = True
    l1 = Setting(regularizers.factor)
    l2 = Setting(regularizers.factor)

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kwargs.get("activity_regularizer") is not None:
            raise TypeError(
                "ActivityRegularization: expected l1 and l2, received activity_regularizer="
                f"{checks.shown(kwargs['activity_regularizer'])}. That is for other layers, this "
                "one's is L1L2(l1, l2)"
            )
        self.l1 = l1
        self.l2 = l2

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("l1", "l2"):
            factors = {key: vars(self).get(key, 0.0) for key in ("l1", "l2")}
            self.activity_regularizer = regularizers.L1L2(**factors)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("activity_regularizer", None)  # l1 and l2 are all there is to it
        return config

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        self._cache = ()
        return x

    def backward(self, dy: Array) -> Array:
        dy, _ = self._recall(dy)
        return dy


class OutputPenalty(Layer):
    """What a model runs behind a layer with an `activity_regularizer`: y = x, and its penalty.

    Backward
        dx = dy + d penalty(y) / dy / N

    Attributes
    ----------
    samples : int or None
        N of the batch, of which x may be a part; None where x is the whole batch.
    penalty : float
        Of the last forward: of x's part in the penalty.
    """

    built_when_made = True

    def __init__(self, layer: Layer) -> None:
        super().__init__(name=f"{layer.name}_activity")
        self.regularizer = layer.activity_regularizer
        self.layer_name = layer.who
        self.samples: int | None = None
        self.penalty = 0.0

    @property
    def mixes_samples(self) -> bool:  # type: ignore[override]
        return not getattr(self.regularizer, "additive", False)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        N = self.samples or len(x)
        self.penalty = regularizers.penalty(self.regularizer, x, self.layer_name) / N
        self._cache = x, N
        return x

    def backward(self, dy: Array) -> Array:
        dy, (x, N) = self._recall(dy)
        slope = regularizers.slope(self.regularizer, x, self.layer_name)
        return dy + slope / dy.dtype.type(N)


def with_penalties(layers: Iterable[Layer]) -> list[Layer]:
    """The layers that a batch passes: these, each followed by the penalty on its output, if any.

    Raises ValueError for a penalty on the output of a layer inside another, which no model sees.
    """
    walk: list[Layer] = []
    for layer in layers:
        walk.append(layer)
        for inner in layers_inside(layer)[1:]:
            if inner.activity_regularizer is not None:
                raise ValueError(
                    f"{layer.who}: expected no activity_regularizer inside it, received that of "
                    f"{inner.who}. Give it to a layer of the model, or put an "
                    "ActivityRegularization behind"
                )
        if layer.activity_regularizer is not None:
            walk.append(OutputPenalty(layer))
    return walk

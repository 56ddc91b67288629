"""`compile(loss="crossentropy")`: the cross-entropy that suits the targets."""

from __future__ import annotations

from typing import Any

from minicnn.losses.base import Loss
from minicnn.losses.binary import BinaryCrossentropy
from minicnn.losses.crossentropy import CategoricalCrossentropy, SparseCategoricalCrossentropy

NAMES = ("crossentropy", "ce")


class Crossentropy(Loss):
    """Stands for a cross-entropy until the first targets are there, whose shape decides.

    As in Keras: binary for one output; sparse for targets that lack the outputs' last axis or have
    1 there; else categorical.
    """

    name = "crossentropy"

    def chosen(self, shape: tuple[int, ...], output_shape: tuple[Any, ...]) -> Loss:
        if output_shape[-1] == 1:
            return BinaryCrossentropy()
        if len(shape) < len(output_shape) or shape[-1] == 1:
            return SparseCategoricalCrossentropy()
        return CategoricalCrossentropy()

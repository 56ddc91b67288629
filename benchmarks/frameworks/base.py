"""What the benchmark asks of a framework.

The calls that are timed come as functions without arguments: everything that a user would do once
(building, compiling, putting arrays into tensors) has happened when they are returned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.networks import Model, Weights

Setting = dict[str, Any]
BATCHES = [256, 32, 64, 128, 512, 1024]  # tried for predict; the first one is the default
LEARNING_RATE, EPSILON = 1e-3, 1e-7


class Framework:
    """Base class; `load` comes before everything else."""

    model: Model
    weights: Weights | None

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def versions(self) -> dict[str, str]:
        raise NotImplementedError

    def load(self, model: Model, weights: Weights | None) -> None:
        """Take `weights` (minicnn's order and shapes) for the `model`; forget what was before."""
        self.model, self.weights = model, weights

    def axes(self, work: str) -> dict[str, list[Any]]:
        """What can be chosen for "train" or "predict", and the values worth trying."""
        return {"batch": BATCHES} if work == "predict" else {}

    def first_losses(self, x: np.ndarray, y: np.ndarray, batch: int, steps: int, setting: Setting):
        """Losses of the first steps from the loaded weights, in order, without dropout."""
        raise NotImplementedError

    def training(
        self, x: np.ndarray, y: np.ndarray, batch: int, epochs: int, setting: Setting
    ) -> Callable[[], Any]:
        """A function that trains, with shuffling, dropout and accuracy, from the loaded weights."""
        raise NotImplementedError

    def epoch(self, train: tuple, validation: tuple, batch: int, setting: Setting):
        """A function that trains for one epoch and then judges the validation data."""
        raise NotImplementedError

    def predicting(self, x: np.ndarray, setting: Setting) -> Callable[[], np.ndarray]:
        """A function that returns the probabilities of all of `x`."""
        raise NotImplementedError

"""History: the figures of every epoch, which `fit` returns."""

from __future__ import annotations

import weakref
from typing import Any

from minicnn.callbacks.base import Callback, Logs


class History(Callback):
    """What `fit` returns.

    Attributes
    ----------
    history : dict of str to list of float
        One figure an epoch: loss and metrics, and the same with `val_` before; keys sorted.
    epoch : list of int
        The numbers of those epochs, from 0.
    model : Sequential or None
        The model that was trained, as long as it lives: a History does not keep it alive.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self._model: weakref.ref[Any] | None = None

    @property
    def model(self) -> Any:
        return None if self._model is None else self._model()

    def set_model(self, model: Any) -> None:
        self._model = weakref.ref(model)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_model": None}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for key, value in sorted((logs or {}).items(), key=lambda item: str(item[0])):
            self.history.setdefault(key, []).append(value)

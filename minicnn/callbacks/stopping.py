"""Callbacks that end the training: when nothing gets better, or when the loss is not finite."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, console
from minicnn.callbacks.base import Callback, Logs
from minicnn.callbacks.monitor import MonitorCallback, optional_number
from minicnn.settings import Setting

count = partial(checks.integer, minimum=0, maximum=2**62)


class EarlyStopping(MonitorCallback):
    """Ends the training once a figure has not improved for `patience` epochs.

    Parameters
    ----------
    monitor, min_delta, mode
        The figure, and what counts as better; see MonitorCallback.
    patience : int >= 0
        Epochs without an improvement that are allowed; the first epoch never ends the training.
    verbose : 0 or 1
        Whether to say at the end when it stopped, and what was restored.
    baseline : float, optional
        An improvement that is not better than this too does not count against `patience`.
    restore_best_weights : bool
        At the end give the model the weights of its best epoch, whether or not it stopped early.
    start_from_epoch : int
        Epochs before this one, from 0, are not looked at.

    Attributes
    ----------
    stopped_epoch, best_epoch : int
        From 0; `stopped_epoch` is 0 where training was not stopped.
    best : float or None
    """

    patience = Setting(count)
    verbose = Setting(count)
    baseline = Setting(optional_number)
    restore_best_weights = Setting(checks.boolean)
    start_from_epoch = Setting(count)

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, 0
        self.best_weights: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.watched(logs or {})
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)  # the best so far, even if it is NaN
        self.wait += 1
        if self.better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self._keep(epoch)
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch and self.verbose:
            console.say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                console.say(f"Restored the weights of epoch {self.best_epoch + 1}, the best one")
            self.model.set_weights(self.best_weights)

    def _keep(self, epoch: int) -> None:
        self.best_epoch, self.best_weights = epoch, self.model.get_weights()


class TerminateOnNaN(Callback):
    """Ends the training at a loss that is NaN or infinite, without an error.

    Without it `fit` raises FloatingPointError; both leave the weights of the last whole step.

    Parameters
    ----------
    raise_error : bool
        Raise RuntimeError instead.
    """

    raise_error = Setting(checks.boolean)

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss: Any = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"TerminateOnNaN: the loss is {loss} at batch {batch}")
        console.say(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True

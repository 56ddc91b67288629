"""Callbacks that change the learning rate between epochs.

A rate for every step is a schedule of `minicnn.optimizers.schedules`, given to the optimizer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, console
from minicnn.callbacks.base import Callback, Logs
from minicnn.callbacks.monitor import MonitorCallback
from minicnn.callbacks.stopping import count
from minicnn.settings import Setting


def _below_one(value: Any, name: str, who: str) -> float:
    number = checks.real(value, name, who, low=0)
    if number >= 1:
        raise ValueError(f"{who}: expected {name} to be below 1, received {number}")
    return number


def _function(value: Any, name: str, who: str) -> Any:
    if not callable(value):
        raise TypeError(
            f"{who}: expected {name} to be a function of the epoch, or of the epoch and the rate, "
            f"received {checks.shown(value)}"
        )
    return value


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of every epoch; the logs show it at the end.

    Parameters
    ----------
    schedule : callable
        `schedule(epoch, rate)` or `schedule(epoch)` returns the new rate, a float; epochs from 0.
    verbose : 0 or 1
        Whether to print it.

    Raises ValueError if the function returns anything else.
    """

    schedule = Setting(_function)
    verbose = Setting(count)

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        given = (epoch, optimizer.learning_rate)
        rate = self.schedule(*given[: self._takes()])
        if not isinstance(rate, (float, np.floating)):
            raise ValueError(
                "LearningRateScheduler: expected schedule to return a float, received "
                f"{checks.shown(rate)} for epoch {epoch}"
            )
        optimizer.learning_rate = float(rate)
        if self.verbose:
            console.say(f"Epoch {epoch + 1}: learning rate {optimizer.learning_rate}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)

    def _takes(self) -> int:
        """How many of epoch and rate the function takes."""
        try:
            inspect.signature(self.schedule).bind(0, 0.0)
        except TypeError:
            return 1
        except ValueError:  # of a builtin that does not say
            return 2
        return 2


class ReduceLROnPlateau(MonitorCallback):
    """Lowers the learning rate when a figure has not improved for `patience` epochs.

    Parameters
    ----------
    monitor, mode, min_delta
        The figure, and what counts as better; see MonitorCallback.
    factor : float in [0, 1)
        The new rate is the old one times this.
    patience : int >= 0
        Epochs without an improvement before that.
    verbose : 0 or 1
        Whether to print it.
    cooldown : int >= 0
        Epochs after it that do not count.
    min_lr : float >= 0
        The rate stays at least this.
    """

    factor = Setting(_below_one)
    patience = Setting(count)
    verbose = Setting(count)
    cooldown = Setting(count)
    min_lr = Setting(partial(checks.real, low=0))

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.on_train_begin()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.wait, self.cooldown_counter = 0, 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer, logs = self.model.optimizer, {} if logs is None else logs
        logs["learning_rate"] = rate = float(optimizer.learning_rate)
        value = self.watched(logs)
        if value is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter, self.wait = self.cooldown_counter - 1, 0
        if self.better(value, self.best):
            self.best, self.wait = value, 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience and rate > np.float32(self.min_lr):
                optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.cooldown_counter, self.wait = self.cooldown, 0
                if self.verbose:
                    console.say(f"Epoch {epoch + 1}: learning rate {optimizer.learning_rate}")

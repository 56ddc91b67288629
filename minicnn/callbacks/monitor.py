"""Which of two values of a figure is the better one."""

from __future__ import annotations

import warnings
from typing import Any

from minicnn import checks
from minicnn.callbacks.base import Callback
from minicnn.settings import Setting

MODES = ("auto", "min", "max")


def optional_number(value: Any, name: str, who: str) -> float | None:
    return None if value is None else checks.real(value, name, who)


class MonitorCallback(Callback):
    """Base of the callbacks that watch one figure of the epoch's logs.

    Parameters
    ----------
    monitor : str
        Its name in the logs: "loss", "val_accuracy".
    mode : "auto", "min" or "max"
        Whether less or more is better. "auto": less for "loss", and what the metric of that name
        says of itself (`Metric.direction`).
    min_delta : float >= 0
        How much better it has to be.
    """

    monitor = Setting(checks.text)
    mode = Setting(lambda value, name, who: checks.one_of(value, MODES, name, who))
    min_delta = Setting(checks.real)

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        min_delta: float = 0.0,
    ) -> None:
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        self.best: float | None = None

    def watched(self, logs: dict[str, Any]) -> float | None:
        """The value of the figure; None, and a warning, where the logs lack it.

        Raises ValueError where `mode` is "auto" and nothing says what better means.
        """
        self._less_is_better()
        if self.monitor in logs:
            return float(logs[self.monitor])
        warnings.warn(
            f"{type(self).__name__}: expected {self.monitor!r} in the epoch's figures, which are "
            f"{', '.join(sorted(logs)) or 'none'}. Give fit validation data, or monitor one of "
            "these",
            stacklevel=2,
        )
        return None

    def better(self, value: float, best: float | None) -> bool:
        """Whether `value` is better than `best`, by more than `min_delta`; any is, if None."""
        if best is None:
            return True
        delta = abs(self.min_delta)
        return value + delta < best if self._less_is_better() else value - delta > best

    def _less_is_better(self) -> bool:
        if self.mode != "auto":
            return self.mode == "min"
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return True
        for metric in self.model.chosen_metrics(self.model.output_shape):
            if metric.name == name and metric.direction:
                return bool(metric.direction == "down")
        raise ValueError(
            f"{type(self).__name__}: expected monitor to be the loss or a metric that says whether "
            f"more is better, received {self.monitor!r}. Say it: mode='min' or mode='max'"
        )

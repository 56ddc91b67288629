"""A callback that looks for faults while the model trains."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import checks
from minicnn.callbacks.base import Callback, Logs
from minicnn.console import say
from minicnn.settings import Setting

if TYPE_CHECKING:
    from minicnn.diagnosis import Diagnosis


def _printer(value: Any, name: str, who: str) -> Any:
    if value is None or callable(value):
        return value
    raise TypeError(
        f"{who}: expected {name} to be a function of a text, received {checks.shown(value)}"
    )


class Watch(Callback):
    """Diagnoses the model before training and after each epoch, and prints the last report.

    Before the report it says which problems there were on the way, and when they were seen. Each
    look takes a walk through the layers with at most 512 samples and ten steps of a copy; see
    `minicnn.diagnose`. The training itself is not changed. A loss that is not finite is reported
    at once, since `fit` ends with an error then.

    Parameters
    ----------
    x, y : array
        Data to look at: those of the training, or a part of them.
    print_fn : callable, optional
        Receives the text instead of standard output.

    Attributes
    ----------
    diagnoses : list of (int, Diagnosis)
        After how many epochs of this `fit`, from 0, and what was found then.

    Raises TypeError or ValueError for other arguments; `fit` does for data that the model cannot
    take.
    """

    x = Setting(checks.numeric)
    y = Setting(checks.numeric)
    print_fn = Setting(_printer)

    def __init__(self, x: Any, y: Any, print_fn: Callable[[str], Any] | None = None) -> None:
        self.x, self.y, self.print_fn = x, y, print_fn
        checks.same_length({"'x' sizes": self.x, "'y' sizes": np.atleast_1d(self.y)}, "Watch")
        self.curves: dict[str, list[float]] = {}
        self.diagnoses: list[tuple[int, Diagnosis]] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.curves, self.diagnoses = {}, []
        self._look()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            self._note({"loss": loss})
            self._look()
            self._print()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if all(math.isfinite(loss) for loss in self.curves.get("loss", ())):
            self._note(logs or {})
            self._look()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if all(math.isfinite(loss) for loss in self.curves.get("loss", ())):
            self._print()

    def _note(self, logs: Logs) -> None:
        for name, value in logs.items():
            self.curves.setdefault(str(name), []).append(value)

    def _look(self) -> None:
        from minicnn.diagnosis import diagnose  # which needs the models, and they the callbacks

        found = diagnose(self.model, self.x, self.y, self.curves)
        self.diagnoses.append((len(self.curves.get("loss", ())), found))

    def _print(self) -> None:
        if not self.diagnoses:
            return
        seen: dict[str, list[int]] = {}
        for epochs, found in self.diagnoses:
            for kind in found.kinds:
                seen.setdefault(kind, []).append(epochs)
        lines = [f"{kind}: seen {_when(epochs)}" for kind, epochs in seen.items()]
        lines = ["While it trained", *[f"  - {line}" for line in lines], ""] if lines else []
        (self.print_fn or say)("\n".join([*lines, str(self.diagnoses[-1][1])]))


def _when(epochs: list[int]) -> str:
    """The epochs after which it was seen, 0 being before the first."""
    if epochs == [0]:
        return "before training"
    first = "before training" if epochs[0] == 0 else f"after epoch {epochs[0]}"
    return first if len(epochs) == 1 else f"{first} until after epoch {epochs[-1]}"

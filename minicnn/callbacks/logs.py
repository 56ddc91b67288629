"""Callbacks that hand the figures on: to a file, or to functions."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicnn import checks
from minicnn.callbacks.base import Callback, Logs
from minicnn.settings import Setting
from minicnn.subclasses import nearest


def _separator(value: Any, name: str, who: str) -> str:
    if isinstance(value, str) and len(value) == 1 and value not in '\r\n"':
        return value
    raise (ValueError if isinstance(value, str) else TypeError)(
        f"{who}: expected {name} to be one character, received {checks.shown(value)}"
    )


class CSVLogger(Callback):
    """Writes a row of figures to a file after each epoch.

    The columns are `epoch`, from 0, and the figures of the first epoch, sorted. If none of them is
    of the validation, columns for those follow, which hold NA until there are any. Lines end in
    CR LF. Each row is on disk before the next epoch begins.

    Parameters
    ----------
    filename : str or path
    separator : str
        One character.
    append : bool
        Go on behind what the file holds.

    Raises TypeError or ValueError for other arguments, OSError if the file cannot be written.
    """

    writes = True
    filename = Setting(checks.path)
    separator = Setting(_separator)
    append = Setting(checks.boolean)

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename = filename
        self.separator = separator
        self.append = append
        self.keys: list[str] | None = None
        self.before = ""  # what the file held
        self.written = ""  # in this run

    def on_train_begin(self, logs: Logs | None = None) -> None:
        file = Path(self.filename)
        self.before = _text(file) if self.append and file.exists() else ""
        self.keys, self.written = None, ""
        self._write("", "a" if self.append else "w")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        header = self.keys is None
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys]
        row = {"epoch": epoch, **{key: logs.get(key, "NA") for key in self.keys}}
        lines = self._lines(row, header=header and not self.before)
        self.written += lines
        self._write(lines, "a")

    def set_state(self, state: dict[str, Any]) -> None:
        """Rewrite the file from the saved rows: epochs after them will be run again."""
        super().set_state(state)
        self._write(self.before + self.written, "w")

    def _lines(self, row: dict[str, Any], *, header: bool) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(row), delimiter=self.separator)
        if header:
            writer.writeheader()
        writer.writerow(row)
        return text.getvalue()

    def _write(self, text: str, mode: str) -> None:
        with open(self.filename, mode, newline="", encoding="utf-8") as file:
            file.write(text)
            file.flush()


def _text(file: Path) -> str:
    with open(file, newline="", encoding="utf-8") as text:
        return text.read()


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end, on_train_begin, on_train_end, on_train_batch_begin, \
on_train_batch_end, **others : callable, optional
        Each is called as the method of its name: those of epochs and batches as
        `f(number, logs)`, the others as `f(logs)`.

    Raises TypeError for a name that is no hook, or a value that cannot be called.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **others: Callable[..., Any] | None,
    ) -> None:
        functions = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **others,
        }
        hooks = [name for name in vars(Callback) if name.startswith("on_")]
        for name, function in functions.items():
            if name not in hooks:
                close = nearest(name, hooks, 0.6)
                raise TypeError(
                    f"LambdaCallback got an unexpected keyword argument {name!r}"
                    + (f". Did you mean {close[0]}?" if close else "")
                )
            if function is not None:
                if not callable(function):
                    raise TypeError(
                        f"LambdaCallback: expected {name} to be a function, received "
                        f"{checks.shown(function)}"
                    )
                vars(self)[name] = function  # found before the method

"""What a person sees while a model works: a bar on a terminal, one plain line elsewhere."""

from __future__ import annotations

import numbers
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

CELLS = 20


def checked_verbose(verbose: Any, who: str) -> int:
    """The `verbose` argument: 0 silent, 1 bar, 2 a line an epoch; "auto" is 1."""
    if isinstance(verbose, str) and verbose.lower() == "auto":
        return 1
    if isinstance(verbose, bool):
        return int(verbose)
    number = isinstance(verbose, numbers.Real)
    if not number or verbose not in (0, 1, 2):
        raise ValueError(f"{who}: expected verbose to be 0, 1, 2 or 'auto', received {verbose!r}")
    return int(verbose)


def figures(logs: Mapping[str, Any]) -> str:
    """The logs as Keras prints them, sorted by name.

    >>> figures({"loss": 0.51239, "accuracy": 0.81, "learning_rate": 0.0001})
    ' - accuracy: 0.8100 - learning_rate: 1.0000e-04 - loss: 0.5124'
    """
    return "".join(f" - {name}: {_figure(value)}" for name, value in _sorted(logs))


def _sorted(logs: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return sorted(logs.items(), key=lambda item: str(item[0]))


def _figure(value: Any) -> str:
    """A number with four digits; what a callback has put in that is no number, as it is."""
    if not isinstance(value, numbers.Real):
        return str(value)
    number = float(value)
    return f"{number:.4f}" if abs(number) > 1e-3 else f"{number:.4e}"


def per_step(seconds: float) -> str:
    """Time of one step in the largest unit that is not below 1.

    >>> per_step(2.4), per_step(0.031), per_step(0.000045)
    ('2s/step', '31ms/step', '45us/step')
    """
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/step"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/step"
    return f"{seconds * 1e6:.0f}us/step"


class Progress:
    """The progress of one epoch of `steps` batches, or of one evaluate or predict.

    With verbose=1, a bar where standard output is a terminal, else one line at the end, which
    `title` (such as "Epoch 1/2") begins. With verbose=2 the title stands on a line of its own.
    """

    def __init__(self, steps: int, verbose: int, title: str = "") -> None:
        self.steps = steps
        self.verbose = verbose
        self.title = title
        self.done = 0
        self.start = time.perf_counter()
        self.bar: Any = None
        on_terminal = sys.stdout is not None and sys.stdout.isatty()  # None under pythonw
        if title and (verbose == 2 or (verbose == 1 and on_terminal)):
            print(title, flush=True)
            self.title = ""
        if verbose == 1 and on_terminal:
            from tqdm import tqdm

            columns, lines = shutil.get_terminal_size()
            self.bar = tqdm(
                total=steps,
                file=sys.stdout,
                ascii=" \N{BOX DRAWINGS HEAVY HORIZONTAL}",
                bar_format=f"{{n_fmt}}/{{total_fmt}} {{bar:{CELLS}}} {{desc}}",
                mininterval=0.05,
                ncols=columns,
                nrows=lines,
            )

    def step(self, logs: Mapping[str, float], steps: int = 1) -> None:
        """So many more batches are done; `logs` are the figures so far."""
        self.done += steps
        if self.bar is not None:
            elapsed = time.perf_counter() - self.start
            left = elapsed / self.done * (self.steps - self.done)
            self.bar.set_description_str(f"{left:.0f}s left{figures(logs)}", refresh=False)
            self.bar.update(steps)

    def end(self, logs: Mapping[str, float]) -> None:
        """All batches are done; `logs` are the final figures."""
        elapsed = time.perf_counter() - self.start
        pace = per_step(elapsed / max(self.done, 1))
        if self.bar is not None:
            self.bar.set_description_str(f"{elapsed:.0f}s {pace}{figures(logs)}", refresh=True)
            self.bar.close()
        elif self.verbose:
            title = f"{self.title} - " if self.title else ""
            count = f"{self.done}/{self.steps}"
            print(f"{title}{count} - {elapsed:.0f}s - {pace}{figures(logs)}", flush=True)

    def abandon(self) -> None:
        """Leave the terminal tidy where an error or Ctrl-C ends the work."""
        if self.bar is not None:
            self.bar.close()

"""What a person sees while a model works: a bar on a terminal, one plain line elsewhere."""

from __future__ import annotations

import math
import numbers
import shutil
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from minicnn import checks, console
from minicnn.console import columns, one_line

CELLS = 20  # of the bar, where there is room
FEWEST = 5


def checked_verbose(verbose: Any, who: str) -> int:
    """The `verbose` argument: 0 silent, 1 bar, 2 a line an epoch; "auto" is 1."""
    if isinstance(verbose, str) and verbose.lower() == "auto":
        return 1
    if isinstance(verbose, bool):
        return int(verbose)
    number = isinstance(verbose, numbers.Real)
    if not number or verbose not in (0, 1, 2):
        raise ValueError(
            f"{who}: expected verbose to be 0, 1, 2 or 'auto', received {checks.shown(verbose)}"
        )
    return int(verbose)


def figures(logs: Mapping[str, Any]) -> str:
    """The logs as Keras prints them, sorted by name.

    >>> figures({"loss": 0.51239, "accuracy": 0.81, "learning_rate": 0.0001})
    ' - accuracy: 0.8100 - learning_rate: 1.0000e-04 - loss: 0.5124'
    """
    return "".join(f" - {figure}" for figure in _figures(logs))


def _figures(logs: Mapping[str, Any]) -> list[str]:
    return [one_line(f"{name}: {_figure(value)}") for name, value in _sorted(logs)]


def _sorted(logs: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return sorted(logs.items(), key=lambda item: str(item[0]))


def _figure(value: Any) -> str:
    """A number with four digits; what a callback has put in that is no number, as it is."""
    if not isinstance(value, numbers.Real):
        return str(value)
    try:
        number = float(value)
    except OverflowError:  # an integer that is beyond all floats
        number = -math.inf if value < 0 else math.inf
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


def lines(
    done: int, total: int | None, times: Sequence[str], logs: Mapping[str, Any], width: int
) -> list[str]:
    """Steps done, bar, times and figures for a terminal of `width` columns: one line, if possible.

    For the figures all else gives way: the bar shrinks and goes, then all `times` but the first,
    then the steps, then the first. Only where the figures do not fit by themselves do they go on in
    further lines, each of them whole. Without a known `total` there is no bar.

    >>> for width in (65, 53, 42, 36):
    ...     lines(2, 4, ["9s", "31ms/step"], {"accuracy": 0.81, "loss": 0.51239}, width)
    ['2/4 ━━━━━━━        9s 31ms/step - accuracy: 0.8100 - loss: 0.5124']
    ['2/4 9s 31ms/step - accuracy: 0.8100 - loss: 0.5124']
    ['2/4 9s - accuracy: 0.8100 - loss: 0.5124']
    ['9s - accuracy: 0.8100 - loss: 0.5124']
    >>> lines(2, 4, ["9s", "31ms/step"], {"accuracy": 0.81, "loss": 0.51239}, 30)
    ['2/4 9s 31ms/step', 'accuracy: 0.8100', 'loss: 0.5124']
    >>> lines(2, None, ["9s", "31ms/step"], {"loss": 0.51239}, 65)
    ['2/Unknown 9s 31ms/step - loss: 0.5124']
    """
    count, after = f"{done}/{'Unknown' if total is None else total}", figures(logs)
    heads = [[count, *times], [count, times[0]], [times[0]], []]
    cells = min(CELLS, width - columns(" ".join([count, "", *times]) + after))
    if cells >= FEWEST and total is not None:
        full = "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * (cells * done // max(total, 1))
        heads.insert(0, [count, full.ljust(cells), *times])
    for head in heads:
        line = (" ".join(head) + after).removeprefix(" - ")
        if columns(line) <= width:
            return [line]

    several = [" ".join(heads[0])]
    for figure in _figures(logs):
        joined = f"{several[-1]} - {figure}"
        if columns(joined) <= width:
            several[-1] = joined
        else:
            several.append(figure)
    return several


def _bars(out: console.Output) -> tuple[Any, bool]:
    """The class of the bar, and whether it is a notebook's widget."""
    if not out.of_notebook():
        from tqdm import tqdm

        return tqdm, False
    with warnings.catch_warnings():  # that there is no ipywidgets: the bar is then of text
        warnings.simplefilter("ignore")
        from tqdm import auto, std

    widget = auto.notebook_tqdm is not std.tqdm
    return (auto.tqdm if widget else std.tqdm), widget


class Progress:
    """The progress of one epoch of `steps` batches, or of one evaluate or predict. Where `steps` is
    None, their number is known at the end.

    With verbose=1, a bar where standard output is a terminal or the output of a notebook's cell,
    else one line at the end, which `title` (such as "Epoch 1/2") begins. With verbose=2 the title
    stands on a line by itself. A notebook that has ipywidgets shows its own bar, see tqdm.auto;
    the line that is left at the end is the same everywhere.
    """

    def __init__(self, steps: int | None, verbose: int, title: str = "") -> None:
        self.steps = steps
        self.verbose = verbose
        self.title = title
        self.done = 0
        self.start = time.perf_counter()
        self.bar: Any = None
        self.widget = False
        self.out = console.Output(sys.stdout)
        moves = verbose == 1 and (self.out.isatty() or self.out.of_notebook())
        if title and (verbose == 2 or moves):
            console.say(title)
            self.title = ""
        if moves:
            tqdm, self.widget = _bars(self.out)
            size = shutil.get_terminal_size()
            # in text, desc is the whole line: tqdm itself cuts at the terminal's edge
            how: dict[str, Any] = {"bar_format": "{desc}", "nrows": size.lines}
            self.bar = tqdm(
                total=steps,
                file=self.out,
                desc=f"0/{'Unknown' if steps is None else steps}",
                mininterval=0.05,
                ncols=None if self.widget else size.columns,
                **({"bar_format": "{desc}{bar}{postfix}"} if self.widget else how),
            )

    def step(self, logs: Mapping[str, float], steps: int = 1) -> None:
        """So many more batches are done; `logs` are the figures so far."""
        self.done += steps
        if self.bar is not None:
            elapsed = time.perf_counter() - self.start
            time_now = f"{elapsed:.0f}s"
            if self.steps is not None:
                time_now = f"{elapsed / self.done * (self.steps - self.done):.0f}s left"
            if self.widget:
                count = f"{self.done}/{'Unknown' if self.steps is None else self.steps}"
                self.bar.set_description_str(count, refresh=False)
                self.bar.set_postfix_str(f"{time_now}{figures(logs)}", refresh=False)
            else:
                # The window may have been resized; in the last column some begin a new line.
                self.bar.ncols = max(1, shutil.get_terminal_size().columns - 1)
                now = lines(self.done, self.steps, [time_now], logs, self.bar.ncols)
                self.bar.set_description_str(now[0], refresh=False)
            self.bar.update(steps)

    def end(self, logs: Mapping[str, float]) -> None:
        """All batches are done; `logs` are the final figures."""
        if not self.verbose:
            return
        elapsed = time.perf_counter() - self.start
        pace = per_step(elapsed / max(self.done, 1))
        total = self.done if self.steps is None else self.steps
        if self.bar is not None:
            width = shutil.get_terminal_size().columns
            final = lines(self.done, total, [f"{elapsed:.0f}s", pace], logs, width)
            self.bar.leave = False
            self.bar.close()
            self.bar.write("\n".join(final), file=self.out)  # above bars of the user's
            self.out.flush()
        else:
            title = f"{self.title} - " if self.title else ""
            count = f"{self.done}/{total}"
            console.say(f"{title}{count} - {elapsed:.0f}s - {pace}{figures(logs)}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Where an error or Ctrl-C ends the work, what is printed next begins a new line."""
        if kind is not None and self.bar is not None:
            self.bar.close()

"""Items that threads make while those before them are in use, handed out in their order."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")

AHEAD = 2  # items that one thread makes beyond the one in use
PATIENCE = 0.1  # seconds of waiting between two looks for Ctrl-C


class End(Exception):
    """There are no more items; raised by the function that makes them."""


def no_pause() -> None:
    """Where nothing holds back Ctrl-C."""


def made_ahead(
    make: Callable[[int], T],
    count: int | None = None,
    *,
    workers: int = 1,
    most: int = AHEAD,
    pause: Callable[[], None] = no_pause,
) -> Generator[T, None, bool]:
    """`make(0)`, `make(1)` and so on, made by threads; returns whether `make` raised End.

    Parameters
    ----------
    make : function of the item's number
        One worker calls it with one number after the other, several call it at the same time. An
        error of its is raised here when the items before it have been handed out.
    count : int, optional
        How many there are; `make` is called for no more.
    workers : int
        0 makes the items in the calling thread.
    most : int
        How many may be made, or be in the making, that have not been asked for.
    pause : function
        Called while this waits; may raise, as Ctrl-C does.

    However it ends, the threads have ended when `close` returns.
    """
    shelf = _Shelf(make, math.inf if count is None else count, most)
    names = [f"minicnn_batches_{k}" for k in range(workers)]
    threads = [threading.Thread(target=shelf.fill, name=name, daemon=True) for name in names]
    running = []
    try:
        for thread in threads:
            try:
                thread.start()
            except RuntimeError:  # the system grants no more
                break
            running.append(thread)
        while shelf.taken < shelf.count:
            if not running:
                shelf.put(shelf.taken)
            try:
                item = shelf.take(pause)
            except End:
                return True
            yield item
            del item  # no reference keeps its arrays alive while this waits for the next
        return False
    finally:
        shelf.close()
        for thread in running:
            thread.join()


class _Shelf:
    """Where the threads put what they make."""

    def __init__(self, make: Callable[[int], Any], count: float, most: int) -> None:
        self.make, self.count, self.most = make, count, most
        self.begun, self.taken = 0, 0
        self.items: dict[int, tuple[Any, BaseException | None]] = {}
        self.closed = False
        self.changed = threading.Condition()

    def fill(self) -> None:
        """Make items until there are no more; what each thread does."""
        while (number := self._claim()) is not None:
            self.put(number)

    def _claim(self) -> int | None:
        """The number of an item to make, once one more may be made; None if none will be."""
        with self.changed:
            while not self.closed and self.taken + self.most <= self.begun < self.count:
                self.changed.wait()
            if self.closed or self.begun >= self.count:
                return None
            self.begun += 1
            return self.begun - 1

    def put(self, number: int) -> None:
        """Make that item, or keep the error in its place; then none behind it will be begun."""
        item, error = None, None
        try:
            item = self.make(number)
        except BaseException as raised:
            error = raised
        with self.changed:
            self.items[number] = item, error
            if error is not None:
                self.count = min(self.count, number + 1)
            self.changed.notify_all()
        del item, error  # the error's traceback holds this frame

    def take(self, pause: Callable[[], None]) -> Any:
        """The next item, once it is made. Raises what making it raised."""
        with self.changed:
            while self.taken not in self.items:
                self.changed.wait(PATIENCE)
                pause()
            item, error = self.items.pop(self.taken)
            self.taken += 1
            self.changed.notify_all()
        if error is None:
            return item
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.items.clear()
            self.changed.notify_all()

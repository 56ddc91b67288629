"""BLAS held to one thread while a model is at work.

Its own threads would fight with ours for the cores, and a product cut for two threads differs in
its last bits from one that is not. What a limit reaches differs from library to library:

    process   OpenBLAS on POSIX threads (NumPy's wheels), BLIS: one number for all threads
    thread    OpenBLAS over OpenMP, MKL: each thread has its own number, so every thread that
              works for us has to set it

The libraries are found by threadpoolctl, and limited through it. From version 3.7 on only
the first Python thread that sets a limit may set others while it lives; the limits of other threads
are silently ignored. So each call here clears that thread, for which there is a method. OpenBLAS on
POSIX threads is asked directly: a call of predict sets a limit and takes it back, and through
threadpoolctl that took as long as the network itself takes for an image.

Accelerate, on macOS, cannot be limited: results may depend on it, which `minicnn.show_config` says.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

Threads = list[tuple[Any, int]]  # a library, and how many threads it uses


class _Blas:
    """The users that need BLAS on one thread, and how many threads it had before."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users: dict[object, tuple[int, Threads]] = {}  # thread, and its libraries' threads
        self.before: Threads = []  # of the libraries that have one number for the process
        self.libraries: list[Any] = []
        self.by_thread = False  # whether any of them has one number for each thread
        self._modules = -1

    def find(self) -> list[Any]:
        """The BLAS libraries in the process, looked for again when modules have been imported.

        Looking takes 2 ms.
        """
        if self._modules != len(sys.modules):
            from threadpoolctl import ThreadpoolController

            self._modules = len(sys.modules)
            controller = ThreadpoolController().select(user_api="blas")
            self.libraries = list(controller.lib_controllers)
        return self.libraries

    def enter(self, user: object) -> None:
        with self.lock:
            if not self.users:
                now = [(library, threads_of(library)) for library in self.find()]
                self.before = [(lib, threads) for lib, threads in now if not of_a_thread(lib)]
            own = [(lib, threads_of(lib)) for lib in self.libraries if of_a_thread(lib)]
            self.users[user] = threading.get_ident(), own
            self.by_thread = bool(own)
        self.hold()

    def hold(self) -> None:
        """Limit BLAS to one thread again, while there are users: other code may have changed it."""
        with self.lock:  # a helper may come when the last user has left
            for library in self.libraries if self.users else ():
                if threads_of(library) != 1:
                    limit(library, 1)

    def leave(self, user: object) -> None:
        with self.lock:
            if user in self.users:
                _, own = self.users.pop(user)
                self.give_back(own)

    def give_back(self, own: Threads) -> None:
        for library, threads in [*own, *(() if self.users else self.before)]:
            if threads_of(library) != threads:
                limit(library, threads)

    def after_fork(self) -> None:
        """In the child only the thread that forked goes on; the other users never leave."""
        self.lock = threading.Lock()
        here, known = threading.get_ident(), len(self.users)
        self.users = {user: held for user, held in self.users.items() if held[0] == here}
        if known and not self.users:
            self.give_back([])


def threads_of(library: Any) -> int:
    """How many threads the library uses, when this thread calls it."""
    return int(_switch(library)[0]())


def limit(library: Any, threads: int) -> None:
    """Have the library use so many threads, from whichever thread this is called."""
    _switch(library)[1](threads)


@lru_cache(maxsize=16)
def _switch(library: Any) -> tuple[Callable[[], int], Callable[[int], None]]:
    """What reads a library's number of threads, and what sets it."""
    symbol = getattr(library, "_get_symbol", None)  # not all versions of threadpoolctl have it
    if symbol and library.internal_api == "openblas" and not of_a_thread(library):
        read, write = symbol("openblas_get_num_threads"), symbol("openblas_set_num_threads")
        if read is not None and write is not None:
            return read, write
    return lambda: library.num_threads, partial(_limit, library)


def _limit(library: Any, threads: int) -> None:
    """`limit` through threadpoolctl."""
    forget = getattr(type(library), "clear_controlling_thread", None)
    for _ in range(10):  # another thread may set its limit in between
        if forget is not None:
            forget(force=True)
        library.set_num_threads(threads)
        if library.num_threads == threads:
            break
    if forget is not None:
        forget(force=True)


_blas = _Blas()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Inside, each matrix product runs on the thread that asks for it."""
    user = object()
    try:  # Ctrl-C may come before `enter` has returned
        _blas.enter(user)
        yield
    finally:
        _blas.leave(user)


def hold() -> None:
    """At the start of a step inside `single_threaded_blas`."""
    _blas.hold()


def hold_thread() -> None:
    """At the start of a piece of that step on another thread, for libraries that count by thread.

    The others need not be asked: each call to a library gives up the interpreter's lock, and
    waiting to get it back cost 5 % of the tutorial's step.
    """
    if _blas.by_thread:
        _blas.hold()


def libraries() -> list[dict[str, Any]]:
    """The BLAS libraries in use: name, version, threads, and how far a limit reaches."""
    return [
        {
            "name": library.internal_api,
            "version": library.version,
            "threads": threads_of(library),
            "limit": "thread" if of_a_thread(library) else "process",
        }
        for library in _blas.find()
    ]


def of_a_thread(library: Any) -> bool:
    """Whether a limit applies only to the thread that sets it."""
    openmp = library.internal_api == "openblas" and library.threading_layer == "openmp"
    return openmp or bool(library.internal_api == "mkl")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _blas.after_fork())

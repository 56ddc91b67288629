"""The threads that run the shards.

The kernels and NumPy's matrix product let go of the interpreter's lock, so a few Python threads
keep all cores busy. BLAS is held to one thread meanwhile: its own threads would fight with ours for
the cores, and would make the last bits of a result depend on their number.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from minicnn import checks

VARIABLES = ("MINICNN_NUM_THREADS", "OMP_NUM_THREADS")

_lock = threading.RLock()
_num_threads: int | None = None
_pool: ThreadPoolExecutor | None = None


def get_num_threads() -> int:
    """Threads in use: what `set_num_threads` or the environment says, else all available cores.

    Raises ValueError if MINICNN_NUM_THREADS is no integer of at least 1.
    """
    if _num_threads is not None:
        return _num_threads
    for variable in VARIABLES:
        value = os.environ.get(variable, "").strip()
        if value.isdecimal() and int(value) > 0:
            return int(value)
        if value and variable == VARIABLES[0]:  # the others belong to others, who know more forms
            raise ValueError(
                f"{variable}: expected an integer >= 1, received {value!r}. Set it to the number "
                "of threads, or unset it for all cores"
            )
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Use `n` threads from now on. Results do not depend on it, to the last bit.

    Raises TypeError or ValueError unless `n` is an integer of at least 1.
    """
    global _num_threads
    n = checks.integer(n, "n", "set_num_threads", minimum=1)
    with _lock:
        _num_threads = n
        _forget_pool()


def run(task: Callable[[Any], None], items: Iterable[Any]) -> None:
    """`task(item)` for every item, spread over the threads; returns when all have ended.

    If some fail, the error of the first of them, in the order of `items`, is raised.
    """
    items = list(items)
    n = min(get_num_threads(), len(items))
    if n <= 1:
        for item in items:
            task(item)
        return
    with _lock:  # no set_num_threads between finding the pool and handing it the work
        futures = [_ready_pool().submit(task, item) for item in items]
    wait(futures)
    for future in futures:
        future.result()


def _ready_pool() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(get_num_threads(), thread_name_prefix="minicnn")
    return _pool


def _forget_pool() -> None:
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False)
    _pool = None


def _after_fork() -> None:
    """In a forked child the threads are gone and locks may be held for ever: begin anew."""
    global _lock, _pool, _blas
    _lock, _pool, _blas = threading.RLock(), None, _Blas()


class _Blas:
    """Holds BLAS to one thread while anyone needs it, and gives the threads back after the last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.limit: Any = None

    def enter(self) -> None:
        from threadpoolctl import threadpool_limits

        with self.lock:
            if self.users == 0:
                self.limit = threadpool_limits(1, user_api="blas")
            self.users += 1

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.limit.restore_original_limits()


_blas = _Blas()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Inside, each matrix product runs on the thread that asks for it."""
    blas = _blas
    blas.enter()
    try:
        yield
    finally:
        blas.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""The threads that run the shards.

The kernels and NumPy's matrix product let go of the interpreter's lock, so a few Python threads
keep all cores busy, while BLAS is held to one thread (`blas.py`).

The calling thread works through its jobs itself, and idle threads help:

    run(task, items)    takes items one by one until none is left;  so does each helper that comes
                        -> waits for the items that helpers have begun
    run_in_phases       the same items again and again; helpers stay until the last phase has ended

Nothing waits for a helper that is busy elsewhere, so calls from many threads, and a task that calls
`run` itself, cannot block each other; and the caller loses no time waiting for a thread to wake up.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

from minicnn import checks
from minicnn.engine import blas

VARIABLES = ("MINICNN_NUM_THREADS", "OMP_NUM_THREADS")

_lock = threading.RLock()
_num_threads: int | None = None
_helpers: _Helpers | None = None


def get_num_threads() -> int:
    """Threads in use: what `set_num_threads` or the environment says, else all available cores.

    Raises ValueError if MINICNN_NUM_THREADS is no integer of at least 1.
    """
    if _num_threads is not None:
        return _num_threads
    for variable in VARIABLES:
        value = os.environ.get(variable, "").strip()
        if value.isdecimal() and len(value) < 10 and int(value) > 0:
            return int(value)
        if value and variable == VARIABLES[0]:  # other libraries read other forms
            raise ValueError(
                f"{variable}: expected an integer >= 1, received {checks.shown(value)}. "
                "Set it to the number of threads, or unset it for all cores"
            )
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def are_set() -> bool:
    """Whether `set_num_threads` or the environment says how many threads there are."""
    return _num_threads is not None or any(os.environ.get(name, "").strip() for name in VARIABLES)


def set_num_threads(n: int) -> None:
    """Use `n` threads from now on. Results do not depend on it, to the last bit.

    Raises TypeError or ValueError unless `n` is an integer of at least 1.
    """
    global _num_threads, _helpers
    n = checks.size(n, "n", "set_num_threads")
    with _lock:
        _num_threads = n
        if _helpers is not None:
            _helpers.dismiss()
        _helpers = None


def run(task: Callable[[Any], object], items: Iterable[Any], *, alone: bool = False) -> None:
    """`task(item)` for every item, spread over the threads; returns when all have ended.

    `alone` runs them all on the calling thread: work that is done before a helper has woken up,
    which takes some 50 us.
    If some fail, the error of the first of them, in the order of `items`, is raised.
    """
    items = list(items)
    n = _threads_for(items, alone)
    if n <= 1:
        for item in items:
            task(item)
    else:
        _work(_Job(task, items), n)


def run_in_phases(
    task: Callable[[Any], object],
    items: Iterable[Any],
    settle: Callable[[], bool],
    *,
    alone: bool = False,
) -> None:
    """`task(item)` for every item, as in `run`; then `settle()`, and all again if it returns True.

    The thread that ends the last item of a phase settles and goes on with the next phase, while
    the others wake up. With a call of `run` for each phase, a helper would have to wake up first,
    and then the caller, who waits for it. Helpers stay with the job until its last phase. An error
    of `settle` is raised as one of the item that was the last.
    """
    items = list(items)
    n = _threads_for(items, alone)
    if n > 1:
        _work(_PhasedJob(task, items, settle), n)
        return
    while True:
        for item in items:
            task(item)
        if not settle():
            return


def _threads_for(items: list[Any], alone: bool) -> int:
    return min(get_num_threads(), len(items)) if len(items) > 1 and not alone else 1


def _work(job: _Job, n: int) -> None:
    """Work on the job with n - 1 helpers, until its end."""
    try:
        try:
            _ready_helpers().join(job, n - 1)
            job.work()
        finally:
            job.close()
    except BaseException:  # Ctrl-C may come even before `close` has begun
        job.close()
        raise
    if job.errors:
        raise job.errors[min(job.errors)]


class _Job:
    """The items of one call of `run`, shared by the threads that work on them."""

    def __init__(self, task: Callable[[Any], object], items: list[Any]) -> None:
        self.task = task
        self.waiting = deque(enumerate(items))
        self.errors: dict[int, BaseException] = {}  # by the item's place
        self.closed = False
        self.helping = 0
        self.lock = threading.Lock()
        self.last_left = threading.Lock()  # held until the last helper has left a closed job
        self.last_left.acquire()

    def work(self) -> None:
        """Take items until none is left, or one has failed."""
        while True:
            try:
                place, item = self.waiting.popleft()
            except IndexError:
                return
            try:
                self.do(place, item)
            except BaseException as error:
                self.errors[place] = error
                self.stop()

    def do(self, place: int, item: Any) -> None:
        self.task(item)

    def stop(self) -> None:
        """Begin no more items."""
        self.waiting.clear()

    def help(self) -> None:
        """Work in another thread; does nothing once the job is closed."""
        with self.lock:
            if self.closed:
                return
            self.helping += 1
        self.work()
        with self.lock:
            self.helping -= 1
            if self.closed and self.helping == 0:
                self.last_left.release()

    def close(self) -> None:
        """Begin no more items, and wait for those that helpers have begun.

        Ctrl-C does not cut this short: helpers write into arrays that are in use elsewhere.
        """
        interrupt: BaseException | None = None
        while True:
            try:
                self.stop()
                with self.lock:
                    self.closed = True
                    if self.helping == 0:
                        break
                self.last_left.acquire()
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt


class _PhasedJob(_Job):
    """The items of `run_in_phases`."""

    def __init__(
        self, task: Callable[[Any], object], items: list[Any], settle: Callable[[], bool]
    ) -> None:
        super().__init__(task, items)
        self.settle = settle
        self.phase = list(self.waiting)
        self.unfinished = len(items)  # of this phase
        self.ended = False
        # One of each thread without an item, which wakes up when anything is put there. A signal's
        # exception may come anywhere: putting twice does no harm, and no Python code holds a lock.
        self.asleep: list[SimpleQueue[None]] = []

    def work(self) -> None:
        """Take items, phase after phase, until the last one or an error."""
        while not self.ended:
            super().work()
            resumed: SimpleQueue[None] = SimpleQueue()
            with self.lock:
                if self.waiting or self.ended:
                    continue
                self.asleep.append(resumed)
            resumed.get()

    def do(self, place: int, item: Any) -> None:
        self.task(item)
        with self.lock:
            self.unfinished -= 1
            last = self.unfinished == 0 and not self.ended
        if last and self.settle():
            with self.lock:
                if not self.ended:
                    self.unfinished = len(self.phase)
                    # first the one whose data this thread has in its cache
                    self.waiting.extend(self.phase[place:] + self.phase[:place])
            self._wake()
        elif last:
            self.stop()

    def _wake(self) -> None:
        with self.lock:
            for resumed in self.asleep:
                resumed.put(None)
            self.asleep.clear()

    def stop(self) -> None:
        with self.lock:
            self.ended = True
            self.waiting.clear()
        self._wake()


class _Helpers:
    """Threads that wait for jobs: `count` of them, or as many as the system grants."""

    def __init__(self, count: int) -> None:
        self.count = 0
        self.calls: SimpleQueue[_Job | None] = SimpleQueue()
        for k in range(count):
            helper = threading.Thread(target=self._serve, name=f"minicnn_{k}", daemon=True)
            try:
                helper.start()
            except (RuntimeError, MemoryError):  # go on with fewer
                break
            self.count += 1

    def _serve(self) -> None:
        while (job := self.calls.get()) is not None:
            blas.hold_thread()  # where a limit is a thread's own, this one has to set it too
            job.help()
            del job  # and its arrays, while this thread waits for the next

    def join(self, job: _Job, count: int) -> None:
        for _ in range(min(count, self.count)):
            self.calls.put(job)

    def dismiss(self) -> None:
        for _ in range(self.count):
            self.calls.put(None)


def _ready_helpers() -> _Helpers:
    global _helpers
    with _lock:
        if _helpers is None:
            _helpers = _Helpers(get_num_threads() - 1)
        return _helpers


def _after_fork() -> None:
    """In a forked child the threads are gone and locks may be held for ever: begin anew."""
    global _lock, _helpers
    _lock, _helpers = threading.RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

"""How the kernels are compiled: once, without holding the interpreter's lock, kept on disk."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import numba
from numba.core import event

F = TypeVar("F", bound=Callable[..., Any])


class BestEffortCache:
    """A disk cache that may fail: a full disk or a damaged file costs a compilation, no error."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *args: Any) -> Any:
        try:
            return self._cache.load_overload(*args)
        except Exception:  # whatever the files hold, compiling anew answers it
            with suppress(OSError):
                self._cache.flush()
            return None

    def save_overload(self, *args: Any) -> None:
        with suppress(OSError):
            self._cache.save_overload(*args)


class CompileNotice(event.Listener):  # type: ignore[misc]
    """Says once, in one line, that kernels are being compiled; silent when the cache has them."""

    def __init__(self) -> None:
        self.cached = True
        self.said = False

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if self.said or not function.__module__.startswith("minicnn."):
            return
        self.said = True
        after = (
            "later runs load them from disk"
            if self.cached
            else "no cache folder can be written here, so every run does: set NUMBA_CACHE_DIR"
        )
        print(f"minicnn: compiling kernels, a few seconds; {after}", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


notice = CompileNotice()
event.register("numba:compile", notice)


def jit(function: F) -> F:
    """Compile `function` at its first call for each kind of argument."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write to
        notice.cached = False
        compiled = numba.njit(**options)(function)
    if hasattr(compiled, "_cache"):  # absent where NUMBA_DISABLE_JIT leaves the plain function
        compiled._cache = BestEffortCache(compiled._cache)
    return compiled

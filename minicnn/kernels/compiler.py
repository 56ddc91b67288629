"""How the kernels are compiled: once, without holding the interpreter's lock, kept on disk."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import event, types
from numba.extending import intrinsic

# where nothing is compiled, NumPy's own scalars would warn of every overflow that is meant
uint32: Any = (lambda n: int(n) & 0xFFFFFFFF) if numba.config.DISABLE_JIT else np.uint32

F = TypeVar("F", bound=Callable[..., Any])


def _sources() -> str:
    """Digest of all files that hold kernels.

    numba asks only whether the file of a kernel itself has changed, by its date; but kernels call
    each other across files, and a kernel compiled with an old callee would stay in the cache.
    """
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for folder in ("kernels", "engine"):
        for file in sorted((package / folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


class BestEffortCache:
    """A disk cache that may fail: a full disk or a damaged file costs a compilation, no error."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        if hasattr(cache, "_cache_file"):
            cache._cache_file._source_stamp = SOURCES

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
        if self.said or not str(function.__module__).startswith("minicnn."):
            return
        self.said = True
        after = (
            "later runs load them from disk"
            if self.cached
            else "no cache folder can be written here, so every run does: set NUMBA_CACHE_DIR"
        )
        print(f"minicnn: compiling kernels, a few seconds; {after}", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        pass


SOURCES = _sources()
notice = CompileNotice()
event.register("numba:compile", notice)


def jit(function: F) -> F:
    """Compile `function` at its first call for each kind of argument."""
    return _compile(function, fastmath=False)


def jit_fused(function: F) -> F:
    """As `jit`, and lets a product and a sum become one instruction, rounded once (FMA)."""
    return _compile(function, fastmath={"contract"})


def _wide_vectors(typing_context: Any) -> Any:
    """As the first line of a kernel: use the processor's 512-bit registers, where it has them.

    LLVM keeps to 256 bits on processors that once ran at a lower clock with the wide ones. A loop
    of many multiplications over 16 or more channels gains up to a quarter; one that mostly moves
    memory gains nothing.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        # llvmlite's own `add` takes only attributes that have no value
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


wide_vectors: Any = (lambda: None) if numba.config.DISABLE_JIT else intrinsic(_wide_vectors)


def _compile(function: F, **options: Any) -> F:
    options.update(nogil=True, error_model="numpy")
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write to
        notice.cached = False
        compiled = numba.njit(**options)(function)
    if hasattr(compiled, "_cache"):  # absent where NUMBA_DISABLE_JIT leaves the plain function
        compiled._cache = BestEffortCache(compiled._cache)
    return compiled

"""How the kernels are compiled: once, without holding the interpreter's lock, kept on disk."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import event, types
from numba.core.caching import IndexDataCacheFile
from numba.extending import intrinsic

from minicnn import console

# where nothing is compiled, NumPy's own scalars would warn of every overflow that is meant
uint32: Any = (lambda n: int(n) & 0xFFFFFFFF) if numba.config.DISABLE_JIT else np.uint32
uint64: Any = int if numba.config.DISABLE_JIT else np.uint64

F = TypeVar("F", bound=Callable[..., Any])

DIGEST = hashlib.sha256().digest_size
FIRST_REPORT = 5.0  # seconds of compiling after which there is a second line
KEPT = "later runs load them from disk"


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


class CheckedFiles(IndexDataCacheFile):  # type: ignore[misc]
    """numba's files for one function, each behind a digest of what it holds and what it is for.

    numba unpickles what it finds and hands the machine code in it to LLVM, which ends the process
    where a single bit is wrong. And it numbers the files by an index: two processes that write at
    the same time can leave one kernel under the name of another. So nothing is unpickled before
    its digest is found right: over the content, the function, the signature with the processor,
    numba's version and the sources. Anything else is as if it were not there, and the kernel that
    is then compiled takes its place.
    """

    def load(self, key: Any) -> Any:
        name = self._load_index().get(key)
        return None if name is None else self._read(self._data_path(name), key)

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))

    def _save_data(self, name: str, data: Any) -> None:
        key, content = data
        self._write(self._data_path(name), key, content)

    def _load_index(self) -> dict[Any, str]:
        return self._read(self._index_path, "index") or {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, "index", overloads)

    def _read(self, path: str, key: Any) -> Any:
        """What was written to the file for that key; None where it is anything else."""
        try:
            if not Path(path).is_file():  # to read a pipe would wait for ever
                return None
            content = Path(path).read_bytes()
        except OSError:
            return None
        digest, pickled = content[:DIGEST], content[DIGEST:]
        return pickle.loads(pickled) if digest == self._digest(key, pickled) else None

    def _write(self, path: str, key: Any, content: Any) -> None:
        pickled = self._dump(content)
        with self._open_for_write(path) as file:  # under another name until it is whole
            file.write(self._digest(key, pickled) + pickled)

    def _digest(self, key: Any, pickled: bytes) -> bytes:
        # repr, as equal keys can have different pickles
        purpose = repr((self._version, self._source_stamp, self._index_name, key))
        return hashlib.sha256(purpose.encode() + b"\0" + pickled).digest()


class BestEffortCache:
    """A disk cache that may fail: a full disk or a damaged file costs a compilation, no error."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        if hasattr(cache, "_cache_file"):
            cache._cache_file = CheckedFiles(cache._cache_path, cache._impl.filename_base, SOURCES)
            cache._index_key = self._index_key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        """As numba's own, but equal in all processes.

        numba takes the pickles of the variables around a function. That of a compiled one, around
        which the kernels of activations are made, has a random number in it: they were never found.
        """
        made = hashlib.sha256(_identity(self._cache._py_func).encode()).hexdigest()
        return signature, codegen.magic_tuple(), made

    def load_overload(self, *args: Any) -> Any:
        found, ask = self._load(*args), before_compiling  # which another thread may take away
        if found is None and ask is not None and notice.depth == 0:
            ask(name_of(self._cache._py_func, args[0]))  # it may be on disk then
            found = self._load(*args)
        return found

    def _load(self, *args: Any) -> Any:
        try:
            return self._cache.load_overload(*args)
        except Exception:  # what is stored may fit another llvmlite; compiling anew answers it
            with suppress(OSError):
                self._cache.flush()
            return None

    def save_overload(self, *args: Any) -> None:
        with suppress(OSError):
            self._cache.save_overload(*args)


def name_of(function: Any, arguments: Any) -> str:
    """A name for a kernel with arguments of these types, the same in all processes."""
    whole = repr((_identity(function), [str(one) for one in arguments]))
    return hashlib.sha256(whole.encode()).hexdigest()


def _identity(value: Any) -> str:
    """What tells a function, compiled or not, from others: its code, and the variables around it.

    The names that it takes from its module are in `SOURCES`.
    """
    function = getattr(value, "py_func", value)
    if not isinstance(function, FunctionType):
        return repr(value)
    around = [_identity(cell.cell_contents) for cell in function.__closure__ or ()]
    return repr((function.__module__, function.__qualname__, function.__code__.co_code, around))


class CompileNotice(event.Listener):  # type: ignore[misc]
    """Shows which kernel is compiled and how far it is; silent when the disk has them all.

    A kernel is compiled when it is first called, so how many will follow is not known. On a
    terminal there is one line, which is written anew for each kernel and leaves nothing behind.
    Elsewhere there is a line at the beginning, and one more after 5, 10, 20, ... seconds.
    """

    def __init__(self) -> None:
        self.cached = True
        self.depth = 0  # the kernels that a kernel calls are compiled within its time
        self.count = 0
        self.seconds = 0.0
        self.next_line = FIRST_REPORT
        self.start = 0.0

    def on_start(self, event: Any) -> None:
        function = _kernel(event)
        if function is None:
            return
        self.depth += 1
        if self.depth > 1:
            return
        self.count += 1
        self.start = time.perf_counter()
        terminal = console.Output(sys.stderr).isatty()
        if self.count == 1 and not self.cached:
            console.note(
                "compiling kernels; no cache folder can be written here, so every run does: "
                "set NUMBA_CACHE_DIR"
            )
        elif self.count == 1 and not terminal:
            console.note(f"compiling kernels; {KEPT}")
        if terminal:
            line = f"minicnn: compiling kernel {self.count}, {self.seconds:.0f} s so far: "
            line += _described(function)
            self._show(f"{line}; {KEPT}" if self.cached else line, line)

    def on_end(self, event: Any) -> None:
        function = _kernel(event)
        if function is None:
            return
        self.depth -= 1
        if self.depth > 0:
            return
        self.seconds += time.perf_counter() - self.start
        if console.Output(sys.stderr).isatty():
            self._show("")
        elif self.seconds >= self.next_line:
            console.note(
                f"compiled {self.count} kernels so far, {self.seconds:.0f} s; the last one: "
                f"{_described(function)}"
            )
            while self.next_line <= self.seconds:
                self.next_line *= 2

    def elsewhere(self, count: int, processes: int) -> None:
        """Of so many processes, with this one, the others have compiled so many kernels."""
        if console.Output(sys.stderr).isatty():
            count += self.count
            line = f"minicnn: compiling kernels in {processes} processes, {count} so far"
            self._show(f"{line}; {KEPT}", line)

    def back(self, count: int) -> None:
        """So many kernels other processes have compiled."""
        self.count += count
        if console.Output(sys.stderr).isatty():
            self._show("")

    def _show(self, *texts: str) -> None:
        """Put the first text that fits into the terminal's line, over what is there."""
        width = shutil.get_terminal_size().columns - 1
        text = next((text for text in texts if len(text) <= width), texts[-1][:width])
        stream = console.Output(sys.stderr)
        with suppress(OSError, ValueError):  # it is closed, or a pipe that is no longer read
            stream.write(f"\r{text.ljust(width)}\r")
            stream.flush()


def _kernel(event: Any) -> Any:
    """The function that an event of numba is about, where it is one of ours."""
    function = event.data["dispatcher"].py_func
    return function if str(function.__module__).startswith("minicnn.") else None


def _described(function: Any) -> str:
    """Where a kernel stands: "winograd.patches"."""
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


SOURCES = _sources()
notice = CompileNotice()
before_compiling: Callable[[str], None] | None = None  # see `engine/ahead.py`
event.register("numba:compile", notice)


def jit(function: F) -> F:
    """Compile `function` at its first call for each kind of argument."""
    return _compile(function, fastmath=False)


def jit_fma(function: F) -> F:
    """As `jit`, and lets a product and a sum become one instruction, rounded once (FMA)."""
    return _compile(function, fastmath={"contract"})


def jit_sums(function: F) -> F:
    """As `jit_fma`, for sums that may be taken in any order, which lets them be vectorized."""
    return _compile(function, fastmath={"contract", "reassoc"})


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
    # none is passed on as a pointer to a C function, whose wrapper takes 5 % of the time
    options.update(nogil=True, error_model="numpy", no_cfunc_wrapper=True)
    if function.__closure__:
        # numba names the machine code after the function and a counter of this process. Two
        # processes could cache closures over different values under the same name, and a process
        # that loads both would call the wrong one
        made = hashlib.sha256(_identity(function).encode()).hexdigest()
        function.__qualname__ += f"_{made[:16]}"
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write to
        notice.cached = False
        compiled = numba.njit(**options)(function)
    if hasattr(compiled, "_cache"):  # absent where NUMBA_DISABLE_JIT leaves the plain function
        compiled._cache = BestEffortCache(compiled._cache)
    return compiled

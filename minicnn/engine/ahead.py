"""The kernels of a network that are on no disk yet, compiled in several processes.

numba compiles one kernel at a time, however many threads ask: it holds a lock, and most of its work
is Python. Which kernels a network needs is known only when its layers have called them. So, when
the first batch of a network meets a kernel that is on no disk,

    this process starts others     `Others`
    each of them walks through the network with kernels that do nothing, and so learns which are
    called; it compiles those that no other has begun, long ones first, and leaves them on disk
    (`main`)
    this process compiles the kernels that its batch calls; where another has begun one, it
    compiles those that no one has until that one is there (`help`)

Whatever goes wrong in the others, it compiles what it does not find there.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core.dispatcher import Dispatcher

from minicnn.engine import ranks
from minicnn.engine.plan import Plan
from minicnn.kernels import compiler

LONGEST = 300.0  # seconds that this process waits for a kernel of the others
DONE = ".done"  # behind a kernel's name, once it is on disk
FOUND = "found"  # the file with the kernels that the walk has met
MOST = 4  # processes, with this one; each takes some 200 MB
ROOT = Path(__file__).parents[2]
# `-c` looks for modules in the working directory first: it would run a json.py of the user's
START = "import sys; sys.path[:] = sys.argv[1:-1]; from minicnn.engine import ahead; ahead.main()"


@contextlib.contextmanager
def compiling(plan: Plan, n: int, *, training: bool) -> Iterator[None]:
    """While shards of `n` samples run through `plan` for the first time."""
    if processes() < 2 or compiler.before_compiling is not None:  # another network's first batch
        yield
        return
    others = Others(plan, n, training)
    compiler.before_compiling = others.before_compiling
    try:
        yield
    finally:
        compiler.before_compiling = None
        others.end()


def processes() -> int:
    """How many may compile, with this one: as many as it has processors, or MINICNN_COMPILERS."""
    if numba.config.DISABLE_JIT or not compiler.notice.cached or ranks.group().size > 1:
        return 0
    if getattr(sys, "frozen", False) or not sys.executable:  # it would start the user's program
        return 0
    given = os.environ.get("MINICNN_COMPILERS", "").strip()
    if given.isdecimal() and len(given) < 10:
        return int(given)
    available = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return min(MOST, len(available(0)))


class Others:
    """The processes that compile the kernels of shards of `n` samples."""

    def __init__(self, plan: Plan, n: int, training: bool) -> None:
        self.recipe: Callable[[], str | None] = partial(recipe_of, plan, n, training)
        self.asked = False
        self.lock = threading.Lock()  # another network may ask while this one's batch ends
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.started: list[subprocess.Popen[bytes]] = []
        self.own: set[str] = set()  # the kernels that this process compiles
        self.found: list[Found] | None = None  # those of the walk that it has not looked at

    def before_compiling(self, name: str) -> None:
        """The kernel of that name is on no disk: returns when another process has compiled it, or
        if this one is to.
        """
        with contextlib.suppress(OSError):  # a full disk, or no more processes are to be had
            if not self.asked:
                with self.lock:
                    self.start()
            if not self.started or self.folder is None or name in self.own:
                return
            if claimed(self.folder.name, name):
                self.own.add(name)
            else:
                self.wait(name)

    def start(self) -> None:
        if self.asked:
            return
        self.asked = True
        recipe = self.recipe()
        if recipe is None:
            return
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        Path(self.folder.name, "recipe").write_text(recipe, encoding="utf-8")
        paths = [path for path in sys.path if path and isinstance(path, str)]
        command = [sys.executable, "-c", START, *paths, str(ROOT), self.folder.name]
        quiet: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        for _ in range(processes() - 1):
            self.started.append(subprocess.Popen(command, **quiet))

    def done(self) -> int:
        """How many kernels they have compiled."""
        assert self.folder is not None
        return sum(name.endswith(DONE) for name in os.listdir(self.folder.name))

    def wait(self, name: str) -> None:
        """Until one of them has compiled that kernel, or all have ended: something went wrong."""
        assert self.folder is not None
        start, path = time.perf_counter(), Path(self.folder.name, name + DONE)
        while not path.exists() and any(one.poll() is None for one in self.started):
            compiler.notice.elsewhere(self.done(), 1 + len(self.started))
            if time.perf_counter() - start > LONGEST:
                self.end()
                break
            if not self.help():
                time.sleep(0.02)

    def help(self) -> bool:
        """Compile one kernel that none has begun; False if there is none, or the walk goes on."""
        assert self.folder is not None
        if self.found is None:
            with contextlib.suppress(OSError):
                self.found = pickle.loads(Path(self.folder.name, FOUND).read_bytes())
        while self.found:
            one = self.found.pop(0)
            if claimed(self.folder.name, one.name):
                self.own.add(one.name)
                kernel = getattr(importlib.import_module(one.module), one.function)
                kernel.compile(one.arguments)
                return True
        return False

    def end(self) -> None:
        """End those that still run; from now on there are none to ask."""
        with self.lock:
            self.asked = True
            if self.started:
                with contextlib.suppress(OSError):
                    compiler.notice.back(self.done())
            for one in self.started:
                one.kill()
                one.wait()
            self.started = []
            if self.folder is not None:
                self.folder.cleanup()


def recipe_of(plan: Plan, n: int, training: bool) -> str | None:
    """How another process makes the network anew, if every step of it is a fused one of ours."""
    layers = plan.layers
    ours = all(type(layer).__module__.startswith("minicnn.layers") for layer in layers)
    if not ours or not all(entry.kind for entry in plan.entries):
        return None
    try:
        # without names: in models inside one another they need not differ
        configs = [(type(one).__name__, {**one.get_config(), "name": None}) for one in layers]
        shape = plan.sample_shape
        return json.dumps({"layers": configs, "shape": shape, "n": n, "training": training})
    except Exception:  # a setting is the user's own, which JSON does not know or which raises
        return None


class Found(NamedTuple):
    """A kernel that a walk has met, where it stands, and the types of its arguments."""

    name: str
    module: str
    function: str
    arguments: tuple[Any, ...]


# -- in the other processes -----------------------------------------------------------------------


def main() -> None:
    """Compile the kernels of the recipe in the folder that is the program's last argument."""
    folder = Path(sys.argv[-1])
    recipe = json.loads((folder / "recipe").read_text(encoding="utf-8"))
    met = called_by(recipe)
    with contextlib.suppress(OSError):
        tell(folder, met)
    for kernel, arguments in met:
        name = compiler.name_of(kernel.py_func, arguments)
        try:
            if not claimed(folder, name):
                continue
            kernel.compile(arguments)
            (folder / (name + DONE)).touch()
        except OSError:  # the folder is gone: the process that waited has ended
            return


def tell(folder: Path, met: list[tuple[Any, tuple[Any, ...]]]) -> None:
    """Write down which kernels were met: those that another process finds in their module."""
    found = []
    for kernel, arguments in met:
        function = kernel.py_func
        if getattr(sys.modules[function.__module__], function.__name__, None) is kernel:
            name = compiler.name_of(function, arguments)
            found.append(Found(name, function.__module__, function.__name__, arguments))
    part = folder / f"{FOUND}.{os.getpid()}"
    part.write_bytes(pickle.dumps(found))
    part.replace(folder / FOUND)  # whole, as soon as it is there


def claimed(folder: str | Path, name: str) -> bool:
    """Whether the kernel is this process's to compile: it has made a file that only one can make.

    Raises OSError if the folder is gone.
    """
    try:
        os.close(os.open(Path(folder, name), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def called_by(recipe: dict[str, Any]) -> list[tuple[Any, tuple[Any, ...]]]:
    """The kernels of the recipe's network, each with the types of its arguments; long ones first.

    In the order that every process finds.
    """
    from minicnn import Sequential, layers
    from minicnn.engine.lanes import Lane
    from minicnn.engine.plan import lower

    made = [getattr(layers, name).from_config(config) for name, config in recipe["layers"]]
    model = Sequential([layers.Input(tuple(recipe["shape"])), *made])
    plan = lower(model.leaves, model.input_shape[1:], np.float32, training=recipe["training"])
    gradient = np.zeros(model.flat_params.size, np.float32) if recipe["training"] else None
    x = np.zeros((recipe["n"], *recipe["shape"]), np.float32)
    lane = Lane(plan, gradient)
    found: dict[tuple[Any, tuple[Any, ...]], None] = {}

    def call(kernel: Any, *arguments: Any) -> Any:
        types = tuple(map(kernel.typeof_pyval, arguments))
        found[kernel, types] = None
        return lambda *arguments: None  # what the caller gets as the compiled kernel

    kinds: Any = Dispatcher
    compile_for_args, kinds._compile_for_args = kinds._compile_for_args, call
    try:
        with np.errstate(all="ignore"):  # no kernel has written what NumPy then reads
            walk(lane, x, recipe["training"])
    finally:
        kinds._compile_for_args = compile_for_args
    return sorted(found, key=lambda one: -length(one[0], set()))


def walk(lane: Any, x: np.ndarray, training: bool) -> None:
    """Through the network and, to train it, back."""
    from minicnn.engine.lanes import alone

    if not training:
        lane.forward(x)
        return
    y = alone(lane.forward_in_phases(x))
    alone(lane.backward_in_phases(np.zeros_like(y)))


def length(kernel: Any, seen: set[Any]) -> int:
    """Of its code and that of the kernels in it, which says how long compiling it takes."""
    seen.add(kernel)
    function = kernel.py_func
    around = [cell.cell_contents for cell in function.__closure__ or ()]
    named = [function.__globals__.get(name) for name in function.__code__.co_names]
    inner = [one for one in (*around, *named) if isinstance(one, Dispatcher) and one not in seen]
    return len(function.__code__.co_code) + sum(length(one, seen) for one in inner)

"""The kernels on the disk, which may be damaged, and what is said while they are compiled."""

import io
import json
import os
import pickle
import random
import re
import subprocess
import sys
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from minicnn.kernels import compiler

# -- the cache ------------------------------------------------------------------------------------

KERNELS = """
from minicnn.kernels.compiler import jit

@jit
def doubled(x):
    return x[0] + x[0]

@jit
def squared(x):
    return x[0] * x[0]
"""

# What a child does with the cache: it says whether it had to compile, or dies.
CHILDREN = """
import json, os, random, sys
from pathlib import Path
import numba
import numpy as np
from numba.core import event
import pair_of_kernels

numba.njit(lambda x: x[0] + 1)(np.ones(1))  # what numba does once is done for all children

REFUSED, LOADED, COMPILED, WRONG = 3, 4, 5, 6

class Watch(event.Listener):
    def __init__(self, leave):
        self.leave, self.compiled = leave, False
    def on_start(self, event):
        self.compiled = True
        if self.leave:
            os._exit(REFUSED)
    def on_end(self, event):
        pass

def use(dtype, leave=False):
    watch = Watch(leave)
    event.register("numba:compile", watch)
    three = np.full(1, 3, dtype)
    if (pair_of_kernels.doubled(three), pair_of_kernels.squared(three)) != (6, 9):
        return WRONG
    return COMPILED if watch.compiled else LOADED

def start(*args):
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = use(*args)
        finally:
            os._exit(code)
    return child

def end(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def files(suffix=""):
    found = Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*" + suffix)
    return sorted(path for path in found if path.is_file())
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def in_children(folder, code):
    """What `code` prints, with the kernels in a module of that folder and a cache below it."""
    (folder / "pair_of_kernels.py").write_text(KERNELS)
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    env["PYTHONPATH"] = os.pathsep.join([str(folder), env.get("PYTHONPATH", "")])
    env.pop("NUMBA_DISABLE_JIT", None)
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN + code],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@needs_fork
def test_no_flipped_bit_of_the_cache_is_loaded(tmp_path):
    """Every child meets one flipped bit; it has to compile, and no other end will do."""
    ends = in_children(
        tmp_path,
        """
assert end(start(np.float32)) == COMPILED
assert end(start(np.float32)) == LOADED
assert {path.suffix for path in files()} == {".nbi", ".nbc"}
draw = random.Random(9)
good = {path: path.read_bytes() for path in files()}
ends = []
for path in good:
    for _ in range(15):
        bit = draw.randrange(8 * len(good[path]))
        damaged = bytearray(good[path])
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        ends.append([path.name, bit, end(start(np.float32, True))])
        for each in good:
            each.write_bytes(good[each])
assert end(start(np.float32)) == LOADED
print(json.dumps(ends))
""",
    )
    assert len(ends) == 60
    refused = 3
    assert [end for end in ends if end[2] != refused] == []


DAMAGES = {
    "index and code cut": "for path in files(): path.write_bytes(path.read_bytes()[:40])",
    "index cut": "for path in files('.nbi'): path.write_bytes(path.read_bytes()[:-1])",
    "code cut": "for path in files('.nbc'): path.write_bytes(path.read_bytes()[:-1])",
    "all empty": "for path in files(): path.write_bytes(b'')",
    "index without code": "for path in files('.nbc'): path.unlink()",
    "code without index": "for path in files('.nbi'): path.unlink()",
    "longer": "for path in files(): path.write_bytes(path.read_bytes() + b'0')",
    "signatures swapped": "swap(*files('doubled*.nbc'))",
    "functions swapped": "swap(files('doubled*.nbc')[0], files('squared*.nbc')[0])",
    "indices swapped": "swap(*files('.nbi'))",
    "both of the functions swapped": """
for a, b in zip(files('doubled*'), files('squared*')):
    swap(a, b)""",
    "code for index": "files('.nbi')[0].write_bytes(files('.nbc')[0].read_bytes())",
    "index for code": "files('.nbc')[0].write_bytes(files('.nbi')[0].read_bytes())",
    "what numba itself writes": """
import pickle, numba
from numba.core.serialize import dumps
from minicnn.kernels import compiler
for path in files('.nbi'):
    path.write_bytes(pickle.dumps(numba.__version__) + dumps((compiler.SOURCES, {})))""",
    "folder for code": "[path.unlink() or path.mkdir() for path in files('.nbc')[:1]]",
}


@pytest.mark.slow
@needs_fork
def test_a_damaged_or_exchanged_file_of_the_cache_is_compiled_anew_and_repaired(tmp_path):
    ends = in_children(
        tmp_path,
        f"""
def swap(a, b):
    one, other = a.read_bytes(), b.read_bytes()
    a.write_bytes(other)
    b.write_bytes(one)

both = np.float32, np.float64
for dtype in both:
    assert end(start(dtype)) == COMPILED
assert len(files("doubled*.nbc")) == len(files("squared*.nbc")) == 2
ends = {{}}
for name, damage in {DAMAGES!r}.items():
    exec(damage, globals())
    ends[name] = [[end(start(dtype)) for dtype in both] for _ in range(2)]
print(json.dumps(ends))
""",
    )
    loaded, compiled = 4, 5
    assert set(ends) == set(DAMAGES)
    for name, (first, second) in ends.items():
        assert compiled in first, name
        assert set(first) <= {compiled, loaded}, name
        if name != "folder for code":  # no file can take its place
            assert second == [loaded, loaded], name


@pytest.mark.slow
@needs_fork
def test_processes_that_fill_and_read_one_cache_at_once(tmp_path):
    """What one overwrites for another is compiled again, and some time all is there."""
    rounds = in_children(
        tmp_path,
        """
dtypes = [np.float32, np.float64] * 3
rounds = [[end(child) for child in [start(dtype) for dtype in dtypes]]]
for _ in range(4):
    rounds.append([end(start(dtype)) for dtype in dtypes])
for path in files():
    path.write_bytes(path.read_bytes()[:100])
rounds.append([end(child) for child in [start(dtype) for dtype in dtypes]])
assert not [path for path in files() if ".tmp" in path.name]
print(json.dumps(rounds))
""",
    )
    loaded, compiled = 4, 5
    assert {end for ends in rounds for end in ends} == {loaded, compiled}
    assert set(rounds[4]) == {loaded}


KEYS = {
    dtype: ((numba.types.Array(dtype, 4, "C"), numba.types.int64), ("x86", "cpu"), ("a", "b"))
    for dtype in (numba.types.float32, numba.types.float64)
}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Two kernels' files in a folder, with a payload under each key; unpickling is counted."""
    loads, loaded = pickle.loads, []

    def count(pickled):
        loaded.append(bytes(pickled))
        return loads(pickled)

    def make(function, sources=compiler.SOURCES):
        return compiler.CheckedFiles(str(tmp_path), f"fast.{function}-17.py311", sources)

    noise = np.random.default_rng(0)
    for function in ("im2col", "col2im"):
        for key in KEYS.values():
            make(function).save(key, (function, key, noise.bytes(3000)))
    monkeypatch.setattr(compiler.pickle, "loads", count)
    make.loaded = loaded
    return make


def test_what_is_stored_is_found_again_by_its_key_alone(stored):
    for function in ("im2col", "col2im"):
        for key in KEYS.values():
            assert stored(function).load(key)[:2] == (function, key)
    float32, other_processor, other_closure = next(iter(KEYS.values()))
    assert stored("im2col").load((float32, ("x86", "other"), other_closure)) is None
    assert stored("im2col").load((float32, other_processor, ("a", "c"))) is None
    assert stored("max_pool").load(KEYS[numba.types.float32]) is None
    assert stored("im2col", sources="changed").load(KEYS[numba.types.float32]) is None
    of_another_numba = stored("im2col")
    of_another_numba._version = "0.0"
    assert of_another_numba.load(KEYS[numba.types.float32]) is None


def test_no_damaged_file_is_unpickled(stored, tmp_path):
    """Any bit, any length: where the digest is wrong, the content is not even looked at."""
    draw = random.Random(9)
    key = KEYS[numba.types.float32]
    index, data = tmp_path / "fast.im2col-17.py311.nbi", tmp_path / "fast.im2col-17.py311.1.nbc"
    for path, unpickled in ((index, 0), (data, 1)):  # the index is sound where the data are not
        good = path.read_bytes()
        bits = [*range(8 * 40), *(draw.randrange(8 * len(good)) for _ in range(150))]
        cuts = [*range(40), *(draw.randrange(len(good)) for _ in range(50))]
        flips = [bytearray(good) for _ in bits]
        for damaged, bit in zip(flips, bits, strict=True):
            damaged[bit // 8] ^= 1 << bit % 8
        for damaged in (*flips, *(good[:cut] for cut in cuts), good + b"0"):
            path.write_bytes(damaged)
            stored.loaded.clear()
            assert stored("im2col").load(key) is None
            assert len(stored.loaded) == unpickled
        path.write_bytes(good)
    assert stored("im2col").load(key)[:2] == ("im2col", key)


@pytest.mark.parametrize("suffix", [".nbi", ".1.nbc"])
def test_a_damaged_file_is_replaced(suffix, stored, tmp_path):
    path = tmp_path / f"fast.im2col-17.py311{suffix}"
    path.write_bytes(path.read_bytes()[:-1])
    stored("im2col").save(KEYS[numba.types.float32], "anew")
    assert stored("im2col").load(KEYS[numba.types.float32]) == "anew"


def test_two_writers_that_took_the_same_number(stored, tmp_path):
    """numba numbers the files by an index that each process reads before either has written."""
    first, second = KEYS.values()
    code = tmp_path / "fast.im2col-17.py311.1.nbc"
    code.write_bytes((tmp_path / "fast.im2col-17.py311.2.nbc").read_bytes())
    assert stored("im2col").load(first) is None
    assert stored("im2col").load(second)[1] == second


# -- the notice -----------------------------------------------------------------------------------


def compilation(name, module="minicnn.engine.winograd"):
    """The event for a kernel of that name."""

    def kernel():
        return None

    kernel.__name__, kernel.__module__ = name, module
    return SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=kernel)})


class Clock:
    """Time as a test wants it."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(compiler.time, "perf_counter", lambda: self.now)

    def compile(self, notice, kernel, seconds):
        notice.on_start(kernel)
        self.now += seconds
        notice.on_end(kernel)


class Terminal(io.StringIO):
    encoding = "ascii"

    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [200, 80, 40])
def test_a_terminal_shows_which_kernel_is_compiled_in_one_line(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stderr", Terminal())
    clock, notice = Clock(monkeypatch), compiler.CompileNotice()
    clock.compile(notice, compilation("patches"), 2.5)
    clock.compile(notice, compilation("double", "someone.else"), 100)
    clock.compile(notice, compilation("adam", "minicnn.engine.passes"), 7)
    clock.compile(notice, compilation("tiles"), 1)
    shown = sys.stderr.getvalue()
    assert "\n" not in shown
    drawn = [line for line in shown.split("\r") if line]
    assert {len(line) for line in drawn} == {columns - 1}
    lines = [
        "minicnn: compiling kernel 1, 0 s so far: winograd.patches",
        "minicnn: compiling kernel 2, 2 s so far: passes.adam",
        "minicnn: compiling kernel 3, 10 s so far: winograd.tiles",
    ]
    assert len(drawn) == 6
    assert not "".join(drawn[1::2]).strip()  # taken away when the kernel is done
    for line, expected in zip(drawn[::2], lines, strict=True):
        assert line.startswith(expected[: columns - 1])
        if columns == 200:
            assert line.rstrip().endswith("; later runs load them from disk")


def test_no_terminal_gets_few_lines_however_much_is_compiled(monkeypatch, capsys):
    clock, notice = Clock(monkeypatch), compiler.CompileNotice()
    for number in range(100):
        clock.compile(notice, compilation(f"kernel_{number}"), 0.9)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "minicnn: compiling kernels; later runs load them from disk",
        "minicnn: compiled 6 kernels so far, 5 s; the last one: winograd.kernel_5",
        "minicnn: compiled 12 kernels so far, 11 s; the last one: winograd.kernel_11",
        "minicnn: compiled 23 kernels so far, 21 s; the last one: winograd.kernel_22",
        "minicnn: compiled 45 kernels so far, 40 s; the last one: winograd.kernel_44",
        "minicnn: compiled 89 kernels so far, 80 s; the last one: winograd.kernel_88",
    ]


def test_a_kernel_that_another_one_calls_is_no_line_and_no_time_more(monkeypatch, capsys):
    clock, notice = Clock(monkeypatch), compiler.CompileNotice()
    outer, inner = compilation("forward"), compilation("keep")
    for _ in range(2):
        notice.on_start(outer)
        clock.compile(notice, inner, 2)
        clock.now += 1
        notice.on_end(outer)
    assert (notice.count, notice.seconds) == (2, 6)
    assert (
        "compiled 2 kernels so far, 6 s; the last one: winograd.forward" in capsys.readouterr().err
    )


def test_compiling_goes_on_without_standard_error(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", None)
    clock, notice = Clock(monkeypatch), compiler.CompileNotice()
    for _ in range(3):
        clock.compile(notice, compilation("patches"), 10)
    monkeypatch.undo()
    assert capfd.readouterr() == ("", "")


def test_where_nothing_can_be_kept_a_terminal_is_told_to_stay(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    notice = compiler.CompileNotice()
    notice.cached = False
    for _ in range(2):
        Clock(monkeypatch).compile(notice, compilation("patches"), 1)
    (line, rest) = sys.stderr.getvalue().split("\n")
    assert line.endswith("so every run does: set NUMBA_CACHE_DIR")
    assert "later runs" not in rest


USE = """
import numpy as np
from minicnn import kernels
for dtype in (np.float32, np.float64):
    cols = np.empty((1, 1, 1, 2, 2, 1), dtype)
    kernels.im2col(np.ones((1, 2, 2, 1), dtype), 1, 1, 0, 0, 1, 1, cols)
"""


@needs_fork
@pytest.mark.in_ci
def test_first_use_on_a_real_terminal(tmp_path):
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "COLUMNS": "100"}
    env.pop("NUMBA_DISABLE_JIT", None)
    shown = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", USE], env=env, stderr=theirs, check=True, timeout=600)
        os.write(theirs, b"|")
        read = b""
        while not read.endswith(b"|"):
            read += os.read(ours, 1000)
        shown.append(read.decode())
    os.close(ours)
    os.close(theirs)
    first, second = shown
    assert re.search(r"compiling kernel 1, 0 s so far: fast.im2col; later runs load", first)
    assert re.search(r"compiling kernel 2, [0-9]+ s so far: fast.im2col; later runs load", first)
    assert "\n" not in first
    assert first.endswith(f"\r{99 * ' '}\r|")
    assert second == "|"

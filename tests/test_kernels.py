"""Each compiled kernel against its plain twin, and the ways in which compiling can go wrong."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from counts import draws
from hypothesis import given
from hypothesis import strategies as st
from numba.core import event

import minicnn
from minicnn import kernels
from minicnn.kernels import compiler, reference
from minicnn.layers import Dropout
from minicnn.layers.windows import along, reach

DTYPES = st.sampled_from([np.float32, np.float64])


@st.composite
def geometries(draw, gaps=False):
    """N, C, sizes, windows, strides, gaps and padding, with everything that fits."""
    K_h, K_w = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    D_h, D_w = (draw(st.integers(1, 3)) for _ in range(2)) if gaps else (1, 1)
    padding = draw(st.sampled_from(["valid", "same"]))
    k_h, k_w = reach(K_h, D_h), reach(K_w, D_w)
    low_h, low_w = (k_h, k_w) if padding == "valid" else (1, 1)
    H_in, W_in = draw(st.integers(low_h, low_h + 8)), draw(st.integers(low_w, low_w + 8))
    S_h, S_w = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    H_out, P_top = along(H_in, k_h, S_h, padding)
    W_out, P_left = along(W_in, k_w, S_w, padding)
    return {
        "gaps": (D_h, D_w),
        "image": (draw(st.integers(1, 3)), H_in, W_in, draw(st.integers(1, 5))),
        "window": (K_h, K_w),
        "strides": (S_h, S_w),
        "padding": (P_top, P_left),
        "out": (H_out, W_out),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def values(seed, shape, dtype, *, ties=False):
    rng = np.random.default_rng(seed)
    if ties:
        return rng.integers(-2, 2, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def both(name, dtype_of_out, shape, *args):
    """What the two twins write into buffers that were full of NaN (or of nonsense)."""
    results = []
    for module in (kernels, reference):
        fill = np.nan if np.dtype(dtype_of_out).kind == "f" else -77
        buffer = np.full(shape, fill, dtype_of_out)
        getattr(module, name)(*args, buffer)
        results.append(buffer)
    return results


@draws(60)
@given(geometries(gaps=True), DTYPES)
def test_im2col(g, dtype):
    N, _, _, C = g["image"]
    x = values(g["seed"], g["image"], dtype)
    steps = *g["strides"], *g["padding"], *g["gaps"]
    fast, plain = both("im2col", dtype, (N, *g["out"], *g["window"], C), x, *steps)
    np.testing.assert_array_equal(fast, plain)


@draws(60)
@given(geometries(gaps=True), DTYPES)
def test_col2im(g, dtype):
    N, _, _, C = g["image"]
    dcols = values(g["seed"], (N, *g["out"], *g["window"], C), dtype)
    steps = *g["strides"], *g["padding"], *g["gaps"]
    fast, plain = both("col2im", dtype, g["image"], dcols, *steps)
    np.testing.assert_array_equal(fast, plain)


@draws(60)
@given(geometries(gaps=True), DTYPES)
def test_col2im_is_the_transpose_of_im2col(g, dtype):
    N, _, _, C = g["image"]
    x = values(g["seed"], g["image"], np.float64)
    dcols = values(g["seed"] + 1, (N, *g["out"], *g["window"], C), np.float64)
    cols, dx = np.empty_like(dcols), np.empty_like(x)
    steps = *g["strides"], *g["padding"], *g["gaps"]
    kernels.im2col(x, *steps, cols)
    kernels.col2im(dcols, *steps, dx)
    assert np.vdot(cols, dcols) == pytest.approx(np.vdot(x, dx), rel=1e-12, abs=1e-12)


@draws(60)
@given(geometries(gaps=True), DTYPES)
def test_depthwise_and_its_backward(g, dtype):
    shape = (*g["image"][:1], *g["out"], *g["image"][3:])
    x, dy = values(g["seed"], g["image"], dtype), values(g["seed"] + 1, shape, dtype)
    W = values(g["seed"] + 2, (*g["window"], g["image"][3]), dtype)
    steps = *g["strides"], *g["padding"], *g["gaps"]
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"atol": 1e-13}
    fast, plain = both("depthwise", dtype, shape, x, W, *steps)
    np.testing.assert_allclose(fast, plain, **tolerance)
    results = []
    for module in (kernels, reference):
        dx, dW = np.full_like(x, np.nan), np.full(W.shape, np.nan)
        module.depthwise_backward(x, W, dy, *steps, dx, dW)
        results.append((dx, dW))
        assert np.vdot(plain, dy) == pytest.approx(np.vdot(dx, x), rel=1e-4, abs=1e-3)
        assert np.vdot(plain, dy) == pytest.approx(np.vdot(dW, W), rel=1e-4, abs=1e-3)
    for fast, plain in zip(*results):
        np.testing.assert_allclose(fast, plain, **tolerance)


@draws(60)
@given(geometries(), DTYPES, st.booleans())
def test_max_pool_and_its_backward(g, dtype, ties):
    N, _, _, C = g["image"]
    x = values(g["seed"], g["image"], dtype, ties=ties)
    shape = (N, *g["out"], C)
    results = []
    for module in (kernels, reference):
        y, argmax = np.full(shape, np.nan, dtype), np.full(shape, -77, np.int32)
        module.max_pool(x, *g["window"], *g["strides"], *g["padding"], y, argmax)
        results.append((y, argmax))
    (y, argmax), (y_plain, argmax_plain) = results
    np.testing.assert_array_equal(y, y_plain)
    np.testing.assert_array_equal(argmax, argmax_plain)

    dy = values(g["seed"] + 1, shape, dtype)
    args = (dy, argmax, g["window"][1], *g["strides"], *g["padding"])
    fast, plain = both("max_pool_backward", dtype, g["image"], *args)
    np.testing.assert_array_equal(fast, plain)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("module", [kernels, reference])
def test_max_pool_hands_nan_on(module, place):
    x = np.array([1.0, 5.0, 2.0, 3.0]).reshape(1, 2, 2, 1)
    x.flat[place] = np.nan
    y, argmax = np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1, 1), np.int32)
    module.max_pool(x, 2, 2, 2, 2, 0, 0, y, argmax)
    assert np.isnan(y).all()
    assert argmax.item() == place


@draws(60)
@given(geometries(), DTYPES)
def test_average_pool_and_its_backward(g, dtype):
    N, _, _, C = g["image"]
    shape = (N, *g["out"], C)
    rest = (*g["window"], *g["strides"], *g["padding"])
    tolerance = {"rtol": 1e-6 if dtype == np.float32 else 1e-14, "atol": 1e-6}
    fast, plain = both("average_pool", dtype, shape, values(g["seed"], g["image"], dtype), *rest)
    np.testing.assert_allclose(fast, plain, **tolerance)
    dy = values(g["seed"], shape, dtype)
    fast, plain = both("average_pool_backward", dtype, g["image"], dy, *rest)
    np.testing.assert_allclose(fast, plain, **tolerance)


@draws(60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**40),
    st.integers(0, 2**32),
)
def test_keep_mask(key_1, key_2, first, dropped):
    fast, plain = both("keep_mask", np.bool_, 40, key_1, key_2, first, dropped)
    np.testing.assert_array_equal(fast, plain)


def test_keep_mask_does_not_depend_on_how_the_cells_are_cut():
    whole = np.empty(1000, np.bool_)
    kernels.keep_mask(3, 4, 50, 2**31, whole)
    parts = np.empty(1000, np.bool_)
    kernels.keep_mask(3, 4, 50, 2**31, parts[:333])
    kernels.keep_mask(3, 4, 383, 2**31, parts[333:])
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_keep_mask_is_as_random_as_coins(rate):
    n = 400_000
    drawn = []
    for seed, step in [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]:
        layer = Dropout(rate, seed=seed)
        layer.build((None, n))
        layer.seek(step, 0)
        keep = np.empty(n, np.bool_)
        kernels.keep_mask(*layer.draw(n)[:4], keep)
        drawn.append(keep.astype(float) - (1 - rate))
    sigma = np.sqrt(rate * (1 - rate))
    for keep in drawn:
        assert abs(keep.mean()) < 4.5 * sigma / np.sqrt(n)
        for lag in (1, 2, 3, 32, 1024, 5408):  # neighbours, channels, rows, images
            assert abs((keep[lag:] * keep[:-lag]).mean()) < 4.5 * sigma**2 / np.sqrt(n)
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert abs((one * other).mean()) < 4.5 * sigma**2 / np.sqrt(n)


def murmur(counter, key_1, key_2):
    """The hash of a dropout cell, with its constants written out once more."""
    h = ((counter * 0x9E3779B9 + key_1) % 2**32) ^ key_2
    h = (h ^ h >> 16) * 0x85EBCA6B % 2**32
    h = (h ^ h >> 13) * 0xC2B2AE35 % 2**32
    return h ^ h >> 16


@pytest.mark.parametrize("module", [kernels, reference])
@pytest.mark.parametrize("counter", [0, 1, 77, 2**31, 2**40 + 3])
def test_the_hash_of_a_dropout_cell_to_its_last_bit(module, counter):
    exact = murmur(counter, 123456789, 987654321)
    for dropped, stays in ((exact - 1, True), (exact, True), (exact + 1, False)):
        keep = np.array([not stays])
        module.keep_mask(123456789, 987654321, counter, dropped, keep)
        assert keep[0] == stays


# -- compiling ------------------------------------------------------------------------------------

USE = """
import numpy as np
import minicnn
from minicnn import kernels
for dtype in (np.float32, np.float64):
    cols = np.empty((1, 1, 1, 2, 2, 1), dtype)
    kernels.im2col(np.ones((1, 2, 2, 1), dtype), 1, 1, 0, 0, 1, 1, cols)
    assert cols.sum() == 4
"""


def use_kernels(cache, before="", **environment):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment}
    env.pop("NUMBA_DISABLE_JIT", None)
    return subprocess.run(
        [sys.executable, "-c", before + USE], env=env, capture_output=True, text=True, timeout=600
    )


def said(done):
    """The lines on standard error, without the count that a slow machine gets now and then."""
    return [line for line in done.stderr.splitlines() if "kernels so far" not in line]


@pytest.mark.in_ci
def test_first_use_says_once_that_kernels_are_compiled_and_the_second_run_is_silent(tmp_path):
    first, second = use_kernels(tmp_path), use_kernels(tmp_path)
    assert first.returncode == 0, first.stderr
    assert said(first) == ["minicnn: compiling kernels; later runs load them from disk"]
    assert first.stdout == ""
    assert (second.returncode, second.stderr) == (0, "")


def test_functions_of_other_people_compile_in_silence(capfd):
    """One that was made by exec belongs to no module at all."""
    own = {}
    exec("def double(n):\n    return 2 * n", own)
    with event.install_listener("numba:compile", compiler.CompileNotice()):
        assert numba.njit(own["double"])(3) == 6
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_damaged_cache_is_compiled_anew(tmp_path):
    use_kernels(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.suffix in {".nbi", ".nbc"}]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:10])
    again, repaired = use_kernels(tmp_path), use_kernels(tmp_path)
    assert again.returncode == 0, again.stderr
    assert "compiling" in again.stderr
    assert (repaired.returncode, repaired.stderr) == (0, "")


@pytest.mark.in_ci
def test_a_disk_that_is_full_costs_only_the_cache(tmp_path):
    full = """
import numba.core.caching as caching
def no_space(*args, **kwargs):
    raise OSError(28, "No space left on device")
caching.IndexDataCacheFile.save = no_space
"""
    done = use_kernels(tmp_path, before=full)
    assert done.returncode == 0, done.stderr
    assert len(said(done)) == 1


@pytest.mark.in_ci
def test_a_machine_without_any_cache_folder_works_and_says_so(tmp_path):
    nowhere = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
"""
    done = use_kernels(tmp_path, before=nowhere)
    assert done.returncode == 0, done.stderr
    (line,) = said(done)
    assert "NUMBA_CACHE_DIR" in line


def test_importing_the_package_neither_loads_numba_nor_matplotlib():
    code = "import sys, minicnn; print({'numba', 'matplotlib', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


MADE_AROUND_ANOTHER = """
from minicnn.kernels import compiler
from numba.core import event
compiled = []
class Watch(event.Listener):
    def on_start(self, event):
        compiled.append(event)
    def on_end(self, event):
        pass
event.register("numba:compile", Watch())

def made(n):
    @compiler.jit
    def inner(x):
        return x + n
    @compiler.jit
    def outer(x):
        return 10 * inner(x)
    return outer

print(made(2)(1), made(3)(1), len(compiled))
"""


@pytest.mark.in_ci
def test_a_kernel_that_is_made_around_another_is_found_by_the_next_process(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(MADE_AROUND_ANOTHER)
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    env.pop("NUMBA_DISABLE_JIT", None)
    runs = [
        subprocess.run(
            [sys.executable, program], env=env, capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    assert [done.stdout for done in runs] == ["30 40 4\n", "30 40 0\n"]


@pytest.mark.in_ci
def test_kernels_around_different_values_never_share_a_name(tmp_path):
    """Two processes compile one each; a third that loads both has to call the right ones."""
    program = """
import sys
import numpy as np
from minicnn.engine import curves
kernel = curves.curve(sys.argv[1]).forward
z, y, out = np.ones((3, 1, 1, 16), np.float32)
kernel(z, np.zeros(16, np.float32), (), 0, 0, 0, 0, np.float32(1), y, out)
print([one.fndesc.mangled_name for one in kernel.overloads.values()])
"""
    names = []
    for curve in ("tanh", "softsign"):
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
        env.pop("NUMBA_DISABLE_JIT", None)
        command = [sys.executable, "-c", program, curve]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        names.append(done.stdout)
    assert names[0] != names[1]


@pytest.mark.slow
def test_a_kernel_is_compiled_anew_when_one_that_it_calls_has_changed(tmp_path):
    """The hash of dropout is in one file, the kernels that call it in others."""
    shutil.copytree(Path(minicnn.__file__).parent, tmp_path / "minicnn")
    draw = """
import numpy as np
from minicnn.engine import curves
z, y, out = np.ones((3, 1, 1, 64), np.float32)
of_relu, drawn = (np.float32(0),), (1, 2, 0, 2**31, np.float32(2))
curves.curve("relu").forward(z, np.zeros(64, np.float32), of_relu, *drawn, y, out)
print(out.tolist())
"""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    env.pop("NUMBA_DISABLE_JIT", None)

    def run():
        return subprocess.run(
            [sys.executable, "-c", draw], env=env, cwd=tmp_path, capture_output=True, text=True
        )

    before, again = run(), run()
    assert "compiling" in before.stderr
    assert (again.stdout, again.stderr) == (before.stdout, "")
    file = tmp_path / "minicnn" / "kernels" / "fast.py"
    file.write_text(file.read_text().replace("0xC2B2AE35", "0xC2B2AE37"))
    changed = run()
    assert "compiling" in changed.stderr
    assert changed.stdout != before.stdout


class Written:
    """An event of numba: the compilation of a function of some module."""

    def __init__(self, module):
        self.data = {"dispatcher": type("Dispatcher", (), {"py_func": self})}
        self.__module__ = module


def test_the_notice_of_compiling_is_said_once_and_of_minicnns_own_kernels(capsys):
    notice = compiler.CompileNotice()
    for module in ("numpy.linalg", "minicnn_of_mine"):
        notice.on_start(Written(module))
        assert capsys.readouterr().err == ""
    notice.on_start(Written("minicnn.kernels.fast"))
    assert "later runs load them from disk" in capsys.readouterr().err
    notice.on_start(Written("minicnn.kernels.fast"))
    assert capsys.readouterr().err == ""


def test_the_notice_where_nothing_can_be_kept(capsys):
    notice = compiler.CompileNotice()
    notice.cached = False
    notice.on_start(Written("minicnn.engine.direct"))
    printed = capsys.readouterr()
    assert "set NUMBA_CACHE_DIR" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("compile_it", "fastmath"), [(compiler.jit, False), (compiler.jit_fma, {"contract"})]
)
def test_kernels_are_compiled_for_threads_and_kept(monkeypatch, compile_it, fastmath):
    asked = []

    def njit(**options):
        asked.append(options)
        if "cache" in options and len(asked) == 1:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiler.numba, "njit", njit)
    monkeypatch.setattr(compiler.notice, "cached", True)

    def kernel(x):
        return x

    assert compile_it(kernel) is kernel
    always = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    always["fastmath"] = fastmath
    assert asked == [{"cache": True, **always}, always]
    assert compiler.notice.cached is False


def test_a_cache_that_fails_costs_a_compilation():
    class Failing:
        _cache_file = None
        _cache_path = "there"
        _impl = SimpleNamespace(filename_base="fast.im2col-17.py311")
        flush_denormals = 0
        path = "here"

        def load_overload(self, *args):
            raise EOFError("Ran out of input")

        def flush(self):
            self.flush_denormals += 1
            raise PermissionError

        def save_overload(self, *args):
            raise OSError("No space left on device")

    failing = Failing()
    cache = compiler.BestEffortCache(failing)
    assert type(failing._cache_file) is compiler.CheckedFiles
    assert failing._cache_file._source_stamp == compiler.SOURCES
    assert cache.path == "here"
    assert cache.load_overload("signature", "target") is None
    assert failing.flush_denormals == 1
    cache.save_overload("signature", "data")


def test_words_wrap_where_nothing_is_compiled_and_nothing_warns():
    code = """
import numpy as np
from minicnn.kernels import compiler, fast, reference
assert [compiler.uint32(n) for n in (5, -1, 2**32 + 7)] == [5, 2**32 - 1, 7]
kept = np.zeros((2, 64), np.bool_)
for module, keep in zip((fast, reference), kept):
    module.keep_mask(2**32 - 1, 2**31 + 5, 2**32 - 7, 2**31, keep)
assert (kept[0] == kept[1]).all()
assert compiler.wide_vectors() is None
"""
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_wide_vectors_are_compiled_for_512_bits():
    @numba.njit
    def twice(x):
        compiler.wide_vectors()
        return 2 * x

    assert twice(3) == 6
    assert '"prefer-vector-width"="512"' in twice.inspect_llvm(twice.signatures[0])


def test_a_lazy_module_looks_a_name_up_once():
    module = kernels.LazyModule("math")
    assert module.tau == math.tau
    assert vars(module)["tau"] == math.tau


def test_names_that_python_asks_for_do_not_load_the_kernels():
    with pytest.raises(AttributeError, match="module 'minicnn.kernels' has no attribute '_none'"):
        kernels._none  # noqa: B018

"""What holds for all tests: which of them run, how many examples they draw, and by which way.

    pytest                     the quick ones, each with a few of its examples
    pytest --slow              all of them, with the full counts
    pytest --slow-sample 0.1   only a tenth of what --slow adds, chosen by --slow-seed

Tests marked `slow` are left out unless an option or `-m` asks for them. Tests that draw examples
belong to both: their quick run draws fewer. Those marked `in_ci` are slow ones, too: they start
processes, watch terminals, fill disks, compile kernels that no other quick test needs or are one
more of a kind of which the quick run has another, and .ci/run runs them all, not a sample.

Tests marked `both_ways` run twice: with the engine's fused stages, and layer by layer. Those of
such a module that are marked `one_way` run once.
"""

import contextlib
import gc
import os
import re
import zlib

import numpy as np
import pytest
from counts import FULL, QUICK
from hypothesis import is_hypothesis_test, settings
from numba.core import event

from minicnn import Sequential, seeds
from minicnn.engine import shards
from minicnn.engine.plan import as_layers
from minicnn.kernels import compiler

# tests run in several processes already, and each would start others to compile for it
os.environ["MINICNN_COMPILERS"] = "0"

# run the tests' small models on several threads, too
shards.SMALL = 0

# scripts that test_scripts.py and test_distributed.py run
collect_ignore_glob = ["scripts/*.py", "distributed/*.py"]

settings.register_profile("quick", derandomize=True, deadline=None, max_examples=QUICK)
settings.register_profile("full", derandomize=True, deadline=None, max_examples=FULL)


# What is said where a kernel is compiled for the first time would stand in the output of some test.
# pytest may run several times in a process (tools/mutants.py): the second time it is done already.
with contextlib.suppress(ValueError):
    event.unregister("numba:compile", compiler.notice)


def pytest_addoption(parser):
    group = parser.getgroup("slow tests")
    group.addoption("--slow", action="store_true", help="all tests, with their full counts")
    group.addoption(
        "--slow-sample", type=float, metavar="SHARE", help="only this share of what --slow adds"
    )
    group.addoption(
        "--slow-seed", type=int, default=0, metavar="N", help="which ones --slow-sample takes"
    )


def pytest_configure(config):
    share = config.option.slow_sample
    if share is not None and not 0 < share <= 1:
        raise pytest.UsageError(f"--slow-sample: expected a share in (0, 1], not {share}")
    # before the test modules are imported, which read their counts from it
    settings.load_profile("full" if config.option.slow or share else "quick")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect 20,000 tests, all of which stay: the garbage collector need not look at them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # until the end, when pytest collects garbage five times
        gc.enable()


def asks_for_slow(config):
    """Whether `-m` names what the quick run leaves out, and not behind a "not"."""
    return re.search(r"(?<!not )\b(slow|in_ci)\b", config.option.markexpr) is not None


def pytest_report_header(config):
    if config.option.slow:
        return "slow tests: all, with full counts"
    if config.option.slow_sample:
        return f"slow tests: a share of {config.option.slow_sample}, seed {config.option.slow_seed}"
    if asks_for_slow(config):
        return f"slow tests: those of -m {config.option.markexpr!r}"
    return "slow tests: left out (--slow runs them)"


def pytest_collection_modifyitems(config, items):
    share, seed = config.option.slow_sample, config.option.slow_seed
    if config.option.slow or (not share and asks_for_slow(config)):
        return

    def is_slow(item):
        return any(item.get_closest_marker(mark) for mark in ("slow", "in_ci"))

    def is_in_sample(item):
        has_more = is_slow(item) or is_hypothesis_test(getattr(item, "obj", None))
        return has_more and zlib.crc32(f"{seed} {item.nodeid}".encode()) < share * 2**32

    chosen, left_out = [], []
    for item in items:
        runs = is_in_sample(item) if share else not is_slow(item)
        (chosen if runs else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = chosen


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Fix what models without a seed draw, before any fixture builds one.

    With fresh weights at every run, a test of a small network now and then meets one whose ReLUs
    are all dead, which no change of the code explains.
    """
    seeds._root = np.random.SeedSequence(zlib.crc32(item.nodeid.encode()))
    seeds._fixed = False


def pytest_generate_tests(metafunc):
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if "both_ways" in marks and "one_way" not in marks:
        metafunc.parametrize("way", ["engine", "layers"], indirect=True)


@pytest.fixture(autouse=True)
def way(request):
    """How models run in this test, whatever they are compiled with."""
    way = getattr(request, "param", "engine")
    if way == "layers":
        walk = lambda model, layers, training=True: as_layers(layers, "walked by the tests")  # noqa: E731
        request.getfixturevalue("monkeypatch").setattr(Sequential, "plan_of", walk)
    return way

"""The kernels of a network are compiled by several processes; `engine/ahead.py`."""

import importlib
import json
import os
import pickle
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_models import deeper, tutorial

from minicnn import Sequential, layers
from minicnn.constraints import Constraint
from minicnn.engine import ahead, passes
from minicnn.engine.plan import lower
from minicnn.kernels import compiler
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Input,
    LayerNormalization,
    ReLU,
)

TRAIN = """
import numpy as np
from numba.core import event
from minicnn import Sequential, set_num_threads
from minicnn.kernels.compiler import _kernel
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from minicnn.utils import set_random_seed

class Compiled(event.Listener):
    depth, names = 0, []
    def on_start(self, event):
        self.depth += 1
        if self.depth == 1 and _kernel(event) is not None:
            self.names.append(_kernel(event).__name__)
    def on_end(self, event):
        self.depth -= 1

event.register("numba:compile", Compiled())
set_random_seed(1)
model = Sequential([Conv2D(20, 3, input_shape=(12, 12, 1)), MaxPooling2D(), Flatten(),
                    Dense(8, activation="tanh"), Dense(3)])
model.compile("adam", "mse")
x = np.linspace(-1, 1, 16 * 144, dtype=np.float32).reshape(16, 12, 12, 1)
model.train_on_batch(x, np.eye(3)[np.arange(16) % 3])
print(Compiled.names)
print(np.abs(model.flat_params).sum(dtype=np.float64).hex())
"""


def trained(cache, compilers):
    """Names of the kernels that a new process has compiled itself, and what it has learned."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "MINICNN_COMPILERS": str(compilers)}
    env.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, "-c", TRAIN]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    names, learned = result.stdout.splitlines()
    return names, learned


@pytest.mark.in_ci
def test_other_processes_leave_the_kernels_on_disk(tmp_path):
    helped, learned = trained(tmp_path, 2)
    assert "'adam'" in helped  # of the update, which is no part of the network
    assert helped.count(",") < 11, "it has compiled all twelve kernels itself"
    assert trained(tmp_path, 0) == ("[]", learned)


WALK = """
import json, sys
import numpy as np
from minicnn.engine import ahead, passes
for recipe in json.load(sys.stdin):
    found = ahead.called_by(recipe)
    print(len(found), found == ahead.called_by(recipe))
"""


@pytest.mark.in_ci
def test_the_walk_goes_through_every_fused_network():
    """Kernels that do nothing write nothing, so no stage may depend on their results."""
    from test_engine import network

    recipes = []
    for seed in range(150):
        make, shape, n = network(seed)
        leaves = Sequential(make()).leaves[:-1]  # the softmax belongs to the loss
        for training in (True, False):
            plan = lower(leaves, shape, np.float32, training=training)
            recipe = ahead.recipe_of(plan, n, training)
            if recipe is not None:
                recipes.append(json.loads(recipe))
    assert len(recipes) > 100
    result = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", WALK],  # whatever a buffer held
        input=json.dumps(recipes),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert len(lines) == len(recipes)
    assert all(int(count) > 0 and same == "True" for count, same in lines)


class Own(Dense):
    """Of the user's: another process does not know it."""


class Unsaved(Constraint):
    """Of the user's: cannot say how it is made."""

    def __call__(self, w):
        return w

    def get_config(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    "own",
    [
        [Flatten(), Own(3)],
        [Flatten(), Dense(3, kernel_constraint=Unsaved())],
        [Flatten(), Dense(3, kernel_initializer=lambda shape, dtype: np.ones(shape, dtype))],
        [LayerNormalization(axis=[1, 2]), Conv2D(4, 3)],  # not fused
    ],
    ids=["a layer", "a constraint", "a function", "no fused stage"],
)
def test_what_another_process_cannot_make_anew_has_no_recipe(own):
    model = Sequential([Input((9, 9, 4)), *own])
    assert ahead.recipe_of(model.plan(), 8, True) is None


def of_equal_names():
    inner = Sequential([Conv2D(20, 3, name="conv")])
    return Sequential([Input((28, 28, 1)), inner, Conv2D(20, 3, name="conv")])


def test_a_recipe_makes_the_same_plan():
    for model in (tutorial(), deeper(), of_equal_names()):
        plan = lower(model.leaves, (28, 28, 1), np.float32, training=True)
        recipe = json.loads(ahead.recipe_of(plan, 64, True))
        assert recipe["n"] == 64
        made = [getattr(layers, name).from_config(config) for name, config in recipe["layers"]]
        again = Sequential([Input(tuple(recipe["shape"])), *made])
        anew = lower(again.leaves, (28, 28, 1), np.float32, training=True)
        assert [one.kind for one in anew.entries] == [one.kind for one in plan.entries]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.setenv("MINICNN_COMPILERS", " 3 "), 3),
        (lambda m: m.setattr(sys, "frozen", True, raising=False), 0),
        (lambda m: m.setattr(sys, "executable", None), 0),
        (lambda m: m.setattr(compiler.notice, "cached", False), 0),
        (lambda m: m.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False), 4),
        (lambda m: m.setattr(os, "sched_getaffinity", lambda _: range(1), raising=False), 1),
    ],
    ids=["asked for", "a frozen program", "embedded", "nothing is kept", "many", "one"],
)
def test_how_many_processes_there_are(change, expected, monkeypatch):
    monkeypatch.setattr(ahead.numba.config, "DISABLE_JIT", 0)
    monkeypatch.delenv("MINICNN_COMPILERS")
    change(monkeypatch)
    assert ahead.processes() == expected


@pytest.mark.parametrize("nonsense", ["", "some", "-2", "1.5", "9" * 5000])
def test_a_number_that_is_none_counts_as_not_given(nonsense, monkeypatch):
    monkeypatch.setattr(ahead.numba.config, "DISABLE_JIT", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3), raising=False)
    monkeypatch.setenv("MINICNN_COMPILERS", nonsense)
    assert ahead.processes() == 3


def test_where_nothing_is_compiled_there_are_none(monkeypatch):
    monkeypatch.setenv("MINICNN_COMPILERS", "3")
    monkeypatch.setattr(ahead.numba.config, "DISABLE_JIT", 1)
    assert ahead.processes() == 0


@pytest.fixture
def others(monkeypatch):
    monkeypatch.setattr(ahead.numba.config, "DISABLE_JIT", 0)
    monkeypatch.setenv("MINICNN_COMPILERS", "3")
    plan = Sequential([Input((4,)), Dense(3)]).plan()
    made = ahead.Others(plan, 8, True)
    yield made
    made.end()


def waits(seconds, monkeypatch):
    """The other processes have begun the kernel "k" at once, and take so long."""
    code = (
        "import sys, time; path = sys.argv[-1] + '/k'; open(path, 'w'); "
        f"time.sleep({seconds}); open(path + '.done', 'w')"
    )
    monkeypatch.setattr(ahead, "START", code)


def until_begun(others):
    deadline = time.monotonic() + 60
    while not Path(others.folder.name, "k").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.in_ci
def test_it_waits_for_what_others_have_begun(others, monkeypatch):
    waits(0.5, monkeypatch)
    monkeypatch.setattr(compiler, "notice", compiler.CompileNotice())
    others.before_compiling("first")
    running = list(others.started)
    assert len(running) == 2
    until_begun(others)
    assert others.done() == 0
    others.before_compiling("another")  # which is for this process
    others.before_compiling("another")
    assert others.done() == 0
    others.before_compiling("k")
    assert others.done() == 1
    folder = others.folder.name
    others.end()
    assert all(one.poll() is not None for one in running)
    assert not Path(folder).exists()
    assert compiler.notice.count == 1
    others.before_compiling("k")  # they are asked once
    assert not others.started


@pytest.mark.in_ci
def test_a_process_compiles_only_what_no_other_has_begun(others, monkeypatch):
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    others.before_compiling("first")
    assert [one.wait(300) for one in others.started] == [0, 0]
    names = set(os.listdir(others.folder.name)) - {"recipe", "first", "found"}
    begun = {name for name in names if not name.endswith(".done")}
    assert len(begun) == others.done() == len(names) - len(begun) > 0
    assert all(not ahead.claimed(others.folder.name, name) for name in begun)
    assert ahead.claimed(others.folder.name, "last")


@pytest.mark.in_ci
def test_while_it_waits_it_compiles_what_none_has_begun(others, monkeypatch):
    waits(0.5, monkeypatch)
    compiled = []
    for name in ("copy", "add"):
        kernel = SimpleNamespace(compile=lambda types, name=name: compiled.append((name, types)))
        monkeypatch.setattr(passes, name, kernel)
    others.before_compiling("first")
    until_begun(others)
    found = [
        ahead.Found(name, "minicnn.engine.passes", name, (number,))
        for number, name in enumerate(("copy", "begun", "add"))
    ]
    folder = Path(others.folder.name)
    assert ahead.claimed(folder, "begun")
    (folder / "found").write_bytes(pickle.dumps(found))
    others.before_compiling("k")
    assert compiled == [("copy", (0,)), ("add", (2,))]
    assert not ahead.claimed(folder, "add")
    assert not others.help()


@pytest.mark.in_ci
def test_the_walk_tells_which_kernels_it_has_met(others, monkeypatch):
    plan = Sequential([Input((4, 4, 1)), layers.AveragePooling2D(2)]).plan()
    others.recipe = partial(ahead.recipe_of, plan, 8, True)
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    others.before_compiling("first")
    assert [one.wait(300) for one in others.started] == [0, 0]
    folder = Path(others.folder.name)
    found = pickle.loads((folder / "found").read_bytes())
    assert found
    for one in found:
        kernel = getattr(importlib.import_module(one.module), one.function)
        assert one.name == compiler.name_of(kernel, one.arguments)
        assert (folder / one.name).exists()


@pytest.mark.in_ci
def test_they_import_nothing_from_the_working_directory(others, tmp_path, monkeypatch):
    for name in ("json", "numpy", "minicnn"):
        (tmp_path / f"{name}.py").write_text(f"open({name!r}, 'w')")
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # as in an interactive session
    others.before_compiling("first")
    assert [one.wait(300) for one in others.started] == [0, 0]
    assert others.done() > 0
    assert not [path for path in tmp_path.iterdir() if not path.suffix]


@pytest.mark.in_ci
def test_others_that_hang_or_fail_are_ended(others, monkeypatch):
    waits(600, monkeypatch)
    monkeypatch.setattr(ahead, "LONGEST", 0.2)
    others.before_compiling("first")
    running = list(others.started)
    until_begun(others)
    others.before_compiling("k")
    assert all(one.poll() not in (None, 0) for one in running)


@pytest.mark.in_ci
def test_a_kernel_whose_process_has_died_is_not_waited_for(others, monkeypatch):
    waits("1 / 0", monkeypatch)
    others.before_compiling("first")
    until_begun(others)
    others.before_compiling("k")
    assert [one.poll() for one in others.started] == [1, 1]


@pytest.mark.in_ci
def test_an_error_in_the_batch_ends_the_others(monkeypatch):
    monkeypatch.setattr(ahead.numba.config, "DISABLE_JIT", 0)
    monkeypatch.setenv("MINICNN_COMPILERS", "3")
    waits(600, monkeypatch)
    plan, made = Sequential([Input((4,)), Dense(3)]).plan(), []
    start = ahead.Others.start
    monkeypatch.setattr(
        ahead.Others, "start", lambda self: (start(self), made.extend(self.started))
    )

    def batch():
        with ahead.compiling(plan, 8, training=True):
            compiler.before_compiling("first")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch()
    assert compiler.before_compiling is None
    assert len(made) == 2
    assert all(one.poll() is not None for one in made)


def test_a_network_that_begins_meanwhile_leaves_the_first_ones_others(monkeypatch):
    monkeypatch.setattr(ahead.numba.config, "DISABLE_JIT", 0)
    monkeypatch.setenv("MINICNN_COMPILERS", "2")
    plan = Sequential([Input((4,)), Dense(3)]).plan()
    with ahead.compiling(plan, 8, training=True):
        first = compiler.before_compiling
        with ahead.compiling(plan, 8, training=True):
            assert compiler.before_compiling == first
        assert compiler.before_compiling == first
    assert compiler.before_compiling is None
    first("late")  # of a thread that has found a kernel missing just before
    assert not first.__self__.started


def test_a_batch_may_end_while_another_network_misses_a_kernel(monkeypatch):
    class Notice:
        @property
        def depth(self):
            compiler.before_compiling = None  # by another thread
            return 0

    asked = []
    monkeypatch.setattr(compiler, "notice", Notice())
    monkeypatch.setattr(compiler, "before_compiling", asked.append)
    kernel = SimpleNamespace(load_overload=lambda *_: None, _py_func=waits)
    assert compiler.BestEffortCache(kernel).load_overload((1, 2), None) is None
    assert asked == [compiler.name_of(waits, (1, 2))]


@pytest.mark.in_ci
def test_a_folder_that_is_gone_does_no_harm(others, monkeypatch):
    waits(600, monkeypatch)
    others.before_compiling("first")
    until_begun(others)
    others.folder.cleanup()
    others.before_compiling("another")


@pytest.mark.parametrize("what", ["process", "folder"])
def test_without_processes_or_a_folder_it_goes_on_alone(what, others, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no more")

    if what == "process":
        monkeypatch.setattr(ahead.subprocess, "Popen", refuse)
    else:
        monkeypatch.setattr(ahead.tempfile, "TemporaryDirectory", refuse)
    others.before_compiling("first")
    others.before_compiling("second")
    assert not others.started


def test_a_batch_whose_kernels_are_there_starts_nothing(monkeypatch):
    monkeypatch.setenv("MINICNN_COMPILERS", "2")
    monkeypatch.setattr(ahead.Others, "start", lambda self: None)  # the first may compile
    for _ in range(2):
        model = Sequential([Input((9, 9, 4)), Conv2D(4, 3), BatchNormalization(), ReLU()])
        model.predict(np.zeros((8, 9, 9, 4)), verbose=0)
        monkeypatch.setattr(ahead.Others, "start", None)
        assert compiler.before_compiling is None

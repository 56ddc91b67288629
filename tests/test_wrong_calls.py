"""No call ends in anything but a TypeError or ValueError that names the argument.

`wrong_calls.py` generates and judges the calls; here a sample of them is made, always the same one
(all of them: `make wrong-calls`), and the generator itself is put to the test.
"""

import fnmatch
import itertools
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import wrong_calls
from argument_kinds import KINDS, integers, kind_of
from valid_calls import CALLS, NOT_CALLED, Assign, Valid, public
from wrong_calls import Call, Subject, arguments, by_workers, generated

TESTS = Path(__file__).parent


@pytest.mark.parametrize(
    ("entries", "sample", "pairs"),
    [
        (30, 60, 30),
        pytest.param(200, 400, 200, marks=pytest.mark.in_ci),
        pytest.param(10_000, 3000, 500, marks=pytest.mark.slow),
    ],
)
def test_a_sample_of_all_wrong_calls(entries, sample, pairs):
    counts = ["--entries", str(entries), "--sample", str(sample), "--pairs", str(pairs)]
    command = [sys.executable, TESTS / "wrong_calls.py", *counts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"{done.stdout}{done.stderr}\n"
        "Each line: the call, its fault, [the values], and what the call says. To see all that one "
        "argument says: python tests/wrong_calls.py NAME --show VALUE"
    )


def entries():
    """The names of the entries in CALLS, without what tells several entries of one name apart."""
    return {name.partition(" ")[0] for name in CALLS}


def test_every_public_callable_has_a_right_call():
    left_out = [
        name
        for name in public()
        if name not in entries() and not any(fnmatch.fnmatch(name, key) for key in NOT_CALLED)
    ]
    assert not left_out, (
        f"write a right call of {', '.join(left_out)} into CALLS of tests/valid_calls.py, such as "
        f'"{left_out[0]}": of_function(..., argument=...), or say in NOT_CALLED why users do not '
        "call it with arguments of theirs"
    )


def test_what_is_left_out_is_there():
    names = public()
    assert [key for key in NOT_CALLED if not fnmatch.filter(names, key)] == []


def test_every_argument_is_of_a_known_kind():
    unknown = []
    for name, make in CALLS.items():
        valid = make()
        unknown += [
            f"{name}.{argument}"
            for argument in arguments(valid)
            if kind_of(name, argument) is None and argument not in valid.keras
        ]
    assert not unknown, (
        f"write what {', '.join(unknown)} may be into KINDS of tests/argument_kinds.py, such as "
        f'"{unknown[0].rpartition(".")[2]}": POSITIVE'
    )


def test_the_right_values_are_right():
    wrong = [
        f"{name}.{argument}"
        for name, make in CALLS.items()
        for argument, right in make().given.items()
        if argument != "arrays"  # *arrays, of which one is replaced
        and not kind_of(name, argument).may_take(right, right)
    ]
    assert not wrong, "KINDS of tests/argument_kinds.py refuses what CALLS gives"


@pytest.mark.slow
def test_the_calls_are_many_and_always_the_same():
    sample = generated([], sample=2000, pairs=500, seed=3)
    assert sample == generated([], sample=2000, pairs=500, seed=3)
    assert sample != generated([], sample=2000, pairs=500, seed=4)
    assert {call.name for call in sample} == set(CALLS)
    assert len(generated([])) > 10_000


# -- would it notice? -----------------------------------------------------------------------------


class Counter:
    def __init__(self):
        self.count = 0


def obscure(size):
    return size + 1


def of_another_type(size):
    return {}[size]


def without_a_check(size):
    return None


def without_the_name(size):
    raise TypeError("expected an integer")


def of_no_use(size):
    raise TypeError(f"expected size to be an integer, received {'None' * 1000}")


def without_end(size):
    for _ in itertools.count():
        time.sleep(0.01)


def with_a_warning(size):
    warnings.warn("invalid value encountered in size", RuntimeWarning, stacklevel=2)


def as_it_should_be(size):
    raise TypeError(f"expected size to be an integer, received {size}")


@pytest.fixture(autouse=True)
def _sizes(monkeypatch):
    monkeypatch.setitem(KINDS, "size", integers(1))


def verdict(monkeypatch, valid, *changes):
    monkeypatch.setitem(CALLS, "function", lambda: valid)
    monkeypatch.setattr(Subject, "_right_call", lambda self: "")
    return Subject("function").judge(Call("function", changes or (("size", "None"),)))


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (obscure, "internal"),
        (of_another_type, "other error"),
        (without_a_check, "accepted"),
        (without_the_name, "nameless"),
        (of_no_use, "long"),
        (without_end, "endless"),
        (with_a_warning, "warning"),
        (as_it_should_be, ""),
    ],
)
def test_a_fault_is_noticed(monkeypatch, function, fault):
    if function is without_end:
        monkeypatch.setattr(wrong_calls, "SECONDS", 0.2)
    assert verdict(monkeypatch, Valid(function, {"size": 1})).fault == fault


def test_a_value_that_is_right_may_be_taken(monkeypatch):
    valid = Valid(without_a_check, {"size": 1})
    assert verdict(monkeypatch, valid, ("size", "3")).fault == ""
    assert verdict(monkeypatch, valid, ("size", "-1")).fault == "accepted"


def test_a_refused_call_that_changes_something_is_noticed(monkeypatch):
    sizes = []

    def change(size):
        sizes.append(size)
        as_it_should_be(size)

    assert verdict(monkeypatch, Valid(change, {"size": 1}, sizes)).fault == "changed"
    assert verdict(monkeypatch, Valid(as_it_should_be, {"size": 1}, sizes)).fault == ""


def test_a_keyword_that_is_swallowed_is_noticed(monkeypatch):
    def swallow(size, **others):
        return size

    wrong = (wrong_calls.MISSPELT, "sise")
    assert verdict(monkeypatch, Valid(swallow, {"size": 1}), wrong).fault == "accepted"
    assert verdict(monkeypatch, Valid(without_a_check, {"size": 1}), wrong).fault == ""
    missing = (wrong_calls.MISSING, "size")
    assert verdict(monkeypatch, Valid(without_a_check, {"size": 1}), missing).fault == ""


def test_an_attribute_that_fails_at_its_use_is_noticed(monkeypatch):
    thing = Counter()
    thing.size = 1
    valid = Valid(Assign(lambda value: setattr(thing, "size", value), lambda: thing.size + 1))
    valid.given = {"size": 1}
    assert verdict(monkeypatch, valid).fault == "internal"


def test_a_right_call_that_fails_is_noticed(monkeypatch):
    monkeypatch.setitem(CALLS, "function", lambda: Valid(as_it_should_be, {"size": 1}))
    found = Subject("function").judge(Call("function", (("size", "None"),)))
    assert found.fault == "right call fails"


def test_a_call_that_kills_the_process_is_noticed():
    """The worker writes one verdict and dies; the next one writes those that are left."""
    calls = [Call("function", (("size", value),)) for value in ("None", "-1", "2.5")]
    worker = """
import json, os, sys
start, log = int(sys.argv[1]), open(sys.argv[2], "w")
for _ in range(start, 3):
    print(json.dumps(["", "right"]), file=log, flush=True)
    if start == 0:
        os._exit(134)
"""
    verdicts = by_workers(calls, [sys.executable, "-c", worker])
    assert [verdict.call for verdict in verdicts] == calls
    assert [verdict.fault for verdict in verdicts] == ["", "crash", ""]

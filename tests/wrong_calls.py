"""Wrong calls by the thousand: what does the library say to each?

    make wrong-calls                                 all of them, a few minutes
    make wrong-calls ARGS="fit summary"              those whose name contains one of these words
    make wrong-calls ARGS="--pairs 5000 --seed 7"    two wrong arguments at a time

Every argument of every public callable (`valid_calls.py`) is replaced by every value of `VALUES`,
and by variants of the right value: an array with one axis more, a list with None in it, a word with
a letter missing. Keywords are misspelt, arguments left out, and one too many is given. A call that
cannot be right has to end in a TypeError or ValueError that names the argument, soon, and leave
everything unchanged; a call that may be right has to succeed, or to end in the same way.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import decimal
import faulthandler
import fractions
import inspect
import io
import itertools
import json
import math
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import unittest.mock
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from argument_kinds import is_integer, is_real, kind_of
from valid_calls import CALLS, Assign, Valid

import minicnn
from minicnn.datasets import cifar10, cifar100, fashion_mnist, mnist

SECONDS = 120.0  # that a call may take: its kernels may have to be compiled, on a busy machine
MEMORY = 4 << 30  # bytes beyond what is in use at the start
LONGEST = 2000  # characters in a message
MANY_LETTERS = "a" * 100_000

# -- wrong values ---------------------------------------------------------------------------------


class Refuses:
    """Fails where it is asked for anything: for its length, its items, its numbers."""

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("this object refuses")

    __array__ = __len__ = __iter__ = __getitem__ = __bool__ = _refuse
    __int__ = __float__ = __index__ = __eq__ = __lt__ = __contains__ = __fspath__ = _refuse
    __hash__ = None  # type: ignore[assignment]


class OnDevice:
    """Looks like an array of another library, whose numbers NumPy cannot fetch."""

    shape, ndim, dtype = (2, 3), 2, np.dtype("f")

    def __len__(self) -> int:
        return 2

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("can't convert a device's tensor to numpy")


def _endless_list() -> list[Any]:
    items: list[Any] = [1]
    items.append(items)
    return items


def _masked() -> Any:
    return np.ma.masked_array([1.0, 2.0, 3.0], mask=[False, True, False])


VALUES: dict[str, Callable[[], Any]] = {
    # nothing, or of no use
    "None": lambda: None,
    "object()": object,
    "...": lambda: ...,
    "slice": lambda: slice(1, 2),
    "a module": lambda: np,
    "a class": lambda: int,
    "a layer's class": lambda: minicnn.layers.ReLU,
    "a function": lambda: len,
    "a lambda": lambda: lambda *args: None,
    "an error": lambda: ValueError("a"),
    "an error's class": lambda: ValueError,
    "what refuses": Refuses,
    "what answers to all": unittest.mock.MagicMock,
    "a device's array": OnDevice,
    # numbers
    "-1": lambda: -1,
    "0": lambda: 0,
    "1": lambda: 1,
    "3": lambda: 3,
    "2**31": lambda: 2**31,
    "2**63": lambda: 2**63,
    "2**64": lambda: 2**64,
    "-2**63 - 1": lambda: -(2**63) - 1,
    "10**400": lambda: 10**400,
    "10**5000": lambda: 10**5000,
    "-10**5000": lambda: -(10**5000),
    "2.5": lambda: 2.5,
    "0.5": lambda: 0.5,
    "-0.5": lambda: -0.5,
    "1e300": lambda: 1e300,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: -float("inf"),
    "True": lambda: True,
    "False": lambda: False,
    "1j": lambda: 1j,
    "Fraction": lambda: fractions.Fraction(1, 3),
    "Decimal": lambda: decimal.Decimal("0.5"),
    "float32(2.5)": lambda: np.float32(2.5),
    "float64(nan)": lambda: np.float64("nan"),
    "longdouble(2)": lambda: np.longdouble(2),
    "int64(-1)": lambda: np.int64(-1),
    "uint8(3)": lambda: np.uint8(3),
    "uint64(2**63)": lambda: np.uint64(2**63),
    "bool_(True)": lambda: np.bool_(True),
    "complex64": lambda: np.complex64(1),
    "datetime64": lambda: np.datetime64("2020-01-01"),
    "a date": lambda: datetime.date(2020, 1, 1),
    # text
    "''": lambda: "",
    "'nonsense'": lambda: "nonsense",
    "'3'": lambda: "3",
    "'None'": lambda: "None",
    "'auto'": lambda: "auto",
    "NUL": lambda: "a\0b",
    "a lone surrogate": lambda: "a\udce4",
    "'$$'": lambda: "$$",
    "many letters": lambda: MANY_LETTERS,
    "str_": lambda: np.str_("nonsense"),
    "bytes": lambda: b"nonsense",
    "b''": lambda: b"",
    "bytearray": lambda: bytearray(b"ab"),
    "memoryview": lambda: memoryview(b"ab"),
    "a path": lambda: pathlib.Path("nowhere"),
    # containers
    "[]": list,
    "()": tuple,
    "{}": dict,
    "set()": set,
    "[None]": lambda: [None],
    "[1]": lambda: [1],
    "[[1]]": lambda: [[1]],
    "['a', 'b']": lambda: ["a", "b"],
    "[['x']]": lambda: [["x"]],
    "[0.5, nan]": lambda: [0.5, float("nan")],
    "(1, 2)": lambda: (1, 2),
    "(2, -1)": lambda: (2, -1),
    "(2, 2.5)": lambda: (2, 2.5),
    "(None, 3)": lambda: (None, 3),
    "(2**40, 2**40)": lambda: (2**40, 2**40),
    "(1, -10**5000)": lambda: (1, -(10**5000)),
    "(array, array)": lambda: (np.eye(2), np.eye(2)),
    "ragged": lambda: [[1, 2], [3]],
    "a dict": lambda: {"a": 1},
    "a dict of None": lambda: {None: None},
    "{1, 2}": lambda: {1, 2},
    "a list in itself": _endless_list,
    "a long list": lambda: [0.5] * 5000,
    "many numbers": lambda: list(range(5000)),
    "many words": lambda: [f"word {i}" for i in range(5000)],
    "many letters as a key": lambda: {MANY_LETTERS: [1.0, 2.0]},
    "deeply nested": lambda: [[[[[[[[[[[1]]]]]]]]]]],
    "[array]": lambda: [np.arange(3.0)],
    "[object()]": lambda: [object()],
    "range(3)": lambda: range(3),
    "a generator": lambda: (i for i in range(3)),
    "an iterator of text": lambda: iter("abc"),
    "endless": itertools.count,
    "dict keys": lambda: {"a": 1}.keys(),
    # arrays
    "0-d array": lambda: np.array(2.5),
    "0-d array of an int": lambda: np.array(1),
    "0-d array of text": lambda: np.array("nonsense"),
    "0-d array of None": lambda: np.array(None),
    "1-d array": lambda: np.array([1.5, 2.5]),
    "1-d array of ints": lambda: np.arange(1, 3),
    "array of one": lambda: np.ones(1),
    "2-d array": lambda: np.eye(2),
    "4-d array": lambda: np.ones((2, 3, 3, 1)),
    "bool array": lambda: np.array([True, False]),
    "object array": lambda: np.array([None, "a", 2], object),
    "text array": lambda: np.array(["a", "b"]),
    "bytes array": lambda: np.array([b"a", b"b"]),
    "empty array": lambda: np.array([]),
    "empty 2-d array": lambda: np.empty((0, 4)),
    "structured array": lambda: np.zeros(2, [("a", "f"), ("b", "i")]),
    "complex array": lambda: np.ones(3, complex),
    "datetime array": lambda: np.array(["2020-01-01"], "M8[D]"),
    "masked array": _masked,
    "array of nan": lambda: np.full(3, np.nan),
    # things of the library, in the wrong place
    "a layer": lambda: minicnn.layers.Dense(2),
    "an optimizer": lambda: minicnn.optimizers.SGD(),
    "a loss": lambda: minicnn.losses.MeanSquaredError(),
    "a model": lambda: minicnn.Sequential(),
    "a callback": lambda: minicnn.callbacks.Callback(),
    "a Generator": lambda: np.random.default_rng(0),
}


def variants(right: Any) -> dict[str, Callable[[], Any]]:
    """Values that differ from the right one in one thing each; some are as right as it is."""
    made: dict[str, Callable[[], Any]] = {
        "in a list": lambda: [right],
        "in a tuple": lambda: (right,),
        "in a dict": lambda: {"a": right},
        "in an object array": lambda: _boxed(right),
        "its class": lambda: type(right),
        "its text": lambda: str(right),
        "a function of it": lambda: lambda *args: right,
        "an iterator of it": lambda: iter([right]),
    }
    if isinstance(right, np.ndarray):
        made |= _array_variants(right)
    elif isinstance(right, (bool, int, float)):
        made |= _number_variants(right)
    elif isinstance(right, str):
        made |= _text_variants(right)
    elif isinstance(right, (list, tuple)):
        made |= _list_variants(right)
    elif isinstance(right, dict):
        made |= _dict_variants(right)
    return made


def _boxed(value: Any) -> np.ndarray:
    box = np.empty((), object)
    box[()] = value
    return box


def _array_variants(right: np.ndarray) -> dict[str, Callable[[], Any]]:
    def with_first(value: Any) -> np.ndarray:
        array = np.array(right, float)
        array.flat[0] = value
        return array

    return {
        "first sample": lambda: right[0],
        "axis before": lambda: right[None],
        "axis behind": lambda: right[..., None],
        "two axes behind": lambda: right[..., None, None],
        "transposed": lambda: right.T,
        "flat": lambda: right.ravel(),
        "doubled along the last axis": lambda: np.concatenate([right, right], -1),
        "one sample less": lambda: right[:-1],
        "one sample more": lambda: np.concatenate([right, right[:1]]),
        "no sample": lambda: right[:0],
        "as object": lambda: right.astype(object),
        "as text": lambda: right.astype(str),
        "as bytes": lambda: right.astype(str).astype("S"),
        "as complex": lambda: right.astype(complex),
        "as bool": lambda: right.astype(bool),
        "as longdouble": lambda: right.astype(np.longdouble),
        "as datetime": lambda: right.astype(int).astype("M8[s]"),
        "as uint64": lambda: np.abs(right).astype("u8"),
        "records": lambda: np.zeros(right.shape, [("a", "f")]),
        "masked": lambda: np.ma.masked_array(right, np.arange(right.size).reshape(right.shape) < 1),
        "with nan": lambda: with_first(np.nan),
        "with inf": lambda: with_first(np.inf),
        "with 1e300": lambda: with_first(1e300),
        "with -1": lambda: with_first(-1),
        "with 1000": lambda: with_first(1000),
        "plus a half": lambda: right + 0.5,
        "negated": lambda: -right.astype(float),
        "a list": lambda: right.tolist(),
        "a list with None": lambda: [*right.tolist()[1:], None],
        "a list with text": lambda: [*right.tolist()[1:], "a"],
        "a list of arrays": lambda: list(right),
        "a generator of it": lambda: (row for row in right),
        "a dict of it": lambda: dict(enumerate(right)),
        "a pair of it": lambda: (right, right),
    }


def _number_variants(right: float) -> dict[str, Callable[[], Any]]:
    return {
        "negated": lambda: -right - 1,
        "and a half": lambda: right + 0.5,
        "as float": lambda: float(right),
        "as complex": lambda: complex(right),
        "as Decimal": lambda: decimal.Decimal(right),
        "as bytes": lambda: str(right).encode(),
        "much more": lambda: (right + 1) * 10**30,
        "as 0-d array": lambda: np.array(right),
        "as 1-d array": lambda: np.array([right]),
        "thrice": lambda: (right, right, right),
    }


def _text_variants(right: str) -> dict[str, Callable[[], Any]]:
    return {
        "upper case": lambda: right.upper(),
        "a letter less": lambda: right[:-1],
        "a letter more": lambda: right + "s",
        "blanks around": lambda: f" {right} ",
        "as bytes": lambda: right.encode(),
        "as 0-d array": lambda: np.array(right),
        "as 1-d array": lambda: np.array([right]),
        "its letters": lambda: list(right),
        "twice": lambda: [right, right],
    }


def _list_variants(right: Any) -> dict[str, Callable[[], Any]]:
    kind = type(right)
    return {
        "as the other sequence": lambda: list(right) if kind is tuple else tuple(right),
        "without the last": lambda: right[:-1],
        "without any": lambda: right[:0],
        "and None": lambda: kind([*right, None]),
        "and the first again": lambda: kind([*right, *right[:1]]),
        "None first": lambda: kind([None, *right[1:]]),
        "text first": lambda: kind(["nonsense", *right[1:]]),
        "an array first": lambda: kind([np.eye(2), *right[1:]]),
        "an object first": lambda: kind([object(), *right[1:]]),
        "a list first": lambda: kind([[], *right[1:]]),
        "-1 first": lambda: kind([-1, *right[1:]]),
        "nan first": lambda: kind([float("nan"), *right[1:]]),
        "reversed": lambda: right[::-1],
        "an iterator": lambda: iter(right),
        "as dict": lambda: dict(enumerate(right)),
        "as set": lambda: set(map(str, right)),
        "of texts": lambda: kind(str(item) for item in right),
        "of lists": lambda: kind([item] for item in right),
        "of classes": lambda: kind(type(item) for item in right),
    }


def _dict_variants(right: dict[Any, Any]) -> dict[str, Callable[[], Any]]:
    made: dict[str, Callable[[], Any]] = {
        "its items": lambda: list(right.items()),
        "its keys": lambda: list(right),
        "without any": dict,
        "other keys": lambda: {f"{key}s": value for key, value in right.items()},
        "values as text": lambda: {key: str(value) for key, value in right.items()},
        "and key None": lambda: {**right, None: next(iter(right.values()), 1)},
        "and key -1": lambda: {**right, -1: next(iter(right.values()), 1)},
        "and key 1000": lambda: {**right, 1000: next(iter(right.values()), 1)},
        "and key 10**5000": lambda: {**right, 10**5000: next(iter(right.values()), 1)},
        "and key 0.5": lambda: {**right, 0.5: next(iter(right.values()), 1)},
        "and a tuple as key": lambda: {**right, (1, 2): next(iter(right.values()), 1)},
    }
    for name in ("None", "nan", "-1", "'nonsense'", "[]", "object()", "2-d array", "ragged", "1j"):
        made[f"values {name}"] = lambda name=name: dict.fromkeys(right, VALUES[name]())
    return made


# -- calls ----------------------------------------------------------------------------------------

# in the place of an argument's name
MISSPELT, MISSING, SURPLUS = "a misspelt keyword", "a missing argument", "a surplus argument"


@dataclass(frozen=True)
class Call:
    """A call by the name of its entry in `CALLS`, and what is changed in it: argument, value."""

    name: str
    changes: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{key}: {value}' for key, value in self.changes)})"


def arguments(valid: Valid) -> list[str]:
    """The arguments whose values are replaced."""
    return list(dict.fromkeys([*valid.parameters(), *valid.given, *valid.keras]))


def right_value(valid: Valid, argument: str) -> Any:
    if argument in valid.keras:
        return valid.keras[argument][-1]
    default = inspect.Parameter.empty
    if argument in valid.parameters():
        default = valid.parameters()[argument].default
    right = valid.given.get(argument, default)
    return None if right is inspect.Parameter.empty else right


def calls_of(name: str, valid: Valid) -> Iterator[Call]:
    """All calls with one thing wrong."""
    for argument in arguments(valid):
        values = {**VALUES, **variants(right_value(valid, argument))}
        yield from (Call(name, ((argument, value),)) for value in values)
    if isinstance(valid.function, Assign):
        return
    for argument, parameter in valid.parameters().items():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            for word in (argument[:-1] or "nonsense", f"{argument}s", argument.title()):
                yield Call(name, ((MISSPELT, word),))
            if parameter.default is parameter.empty:
                yield Call(name, ((MISSING, argument),))
    yield Call(name, ((SURPLUS, "positional"),))


def pairs_of(name: str, valid: Valid, rng: random.Random, count: int) -> Iterator[Call]:
    """`count` calls with two wrong values, drawn at random."""
    names = arguments(valid)
    for _ in range(count if len(names) > 1 else 0):
        chosen = rng.sample(names, 2)
        values = [
            rng.choice([*VALUES, *variants(right_value(valid, argument))]) for argument in chosen
        ]
        yield Call(name, tuple(zip(chosen, values)))


def generated(
    wanted: list[str],
    *,
    entries: int | None = None,
    sample: int | None = None,
    pairs: int = 0,
    seed: int = 0,
) -> list[Call]:
    """The calls to make, those of one entry of `CALLS` side by side.

    With `entries`, only those of that many entries. With `sample`, only about that many calls with
    one wrong argument, some of each entry.
    """
    rng = random.Random(seed)
    names = [one for one in CALLS if not wanted or any(word in one for word in wanted)]
    if entries is not None and entries < len(names):
        names = sorted(rng.sample(names, entries))
    every: list[list[Call]] = []
    doubles: list[list[Call]] = []
    for name in names:
        valid = CALLS[name]()
        every.append(list(calls_of(name, valid)))
        doubles.append(list(pairs_of(name, valid, rng, max(1, pairs // len(CALLS)))))
    total = sum(map(len, every))
    if sample is not None and sample < total:
        every = [rng.sample(some, max(1, len(some) * sample // total)) for some in every]
    if not pairs:
        return [call for some in every for call in some]
    return [call for some, two in zip(every, doubles) for call in (*some, *two)]


# -- the verdict ----------------------------------------------------------------------------------

# what Python and NumPy say of code that was not meant for such a value
INTERNAL = re.compile(
    "truth value|not subscriptable|unsupported operand|bad operand|has no attribute|"
    "cannot unpack|values to unpack|not iterable|not an iterator|(?<!<)ufunc|object of type|"
    r"has no len\(\)|not supported between|cannot be interpreted|setting an array element|"
    "inhomogeneous|could not convert|invalid literal|must be real number|unhashable|"
    "not callable|only integer|only length-1|only 0-dimensional|Cannot interpret|not understood|"
    "too large to convert|int too large|cannot convert|cannot reshape|out of range|"
    "os.PathLike, not|bytes-like object|Maximum allowed|Exceeds the limit|broadcast|"
    r"Unable to allocate|not JSON|unexpected type|list indices|positional argument|__\w+__\(\)"
)
FROM_PYTHON = re.compile(
    r"unexpected keyword argument|missing \d+ required|positional arguments? but|takes no argument"
)


class Overtime(BaseException):
    """The call took more than `SECONDS`."""


def state_of(thing: Any, seen: frozenset[int] = frozenset()) -> Any:
    """All that `thing` holds, in a form that compares: numbers, texts, and the bytes of arrays."""
    if id(thing) in seen:
        return "seen"
    if thing is None or isinstance(thing, (bool, int, float, str, bytes, np.generic, np.dtype)):
        return repr(thing)
    if isinstance(thing, np.ndarray):
        held = thing.tolist() if thing.dtype.kind == "O" else thing.tobytes()
        return thing.shape, thing.dtype.str, str(held)
    if isinstance(thing, np.random.Generator):
        return repr(thing.bit_generator.state)
    seen |= {id(thing)}
    if isinstance(thing, dict):
        return [(repr(key), state_of(value, seen)) for key, value in thing.items()]
    if isinstance(thing, (list, tuple)):
        return [state_of(item, seen) for item in thing]
    parts = ("layers", "models", "optimizers", "losses", "metrics", "initializers", "callbacks")
    if type(thing).__module__.startswith(tuple(f"minicnn.{part}" for part in parts)):
        return type(thing).__name__, state_of(vars(thing), seen)
    return type(thing).__name__


def global_state() -> Any:
    """What belongs to no object."""
    figures = []
    if "matplotlib.pyplot" in sys.modules:
        figures = sys.modules["matplotlib.pyplot"].get_fignums()
    threads = minicnn.get_num_threads()
    return minicnn.config.floatx(), threads, str(np.random.get_state()), figures


class Subject:
    """The entry of `CALLS` at work; made anew whenever a call may have changed it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.valid: Valid | None = None
        self.before: Any = None
        self.right = self._right_call()

    def _right_call(self) -> str:
        """What is wrong with the right call, made once: it also compiles the kernels."""
        valid = self.ready()
        self.valid = None
        args, given, _ = _prepared(Call(self.name, ()), valid)
        ending = run(lambda: valid.function(*args, **given), math.inf)
        close_figures()
        return ending.text if valid.succeeds and ending.error is not None else ""

    def ready(self) -> Valid:
        if self.valid is None:
            minicnn.utils.set_random_seed(0)
            minicnn.config.set_floatx("float32")
            minicnn.set_num_threads(2)
            minicnn.set_shard_size(None)
            self.valid = CALLS[self.name]()
            self.before = self._state(self.valid)
        return self.valid

    def _state(self, valid: Valid) -> Any:
        return state_of(valid.watched), state_of(valid.given), global_state()

    def judge(self, call: Call) -> Verdict:
        """What the call ends in, and what is wrong with that."""
        if self.right:
            return Verdict(call, "right call fails", self.right)
        valid = self.ready()
        try:
            args, given, may = _prepared(call, valid)
        except Exception as error:
            return Verdict(call, "", f"(cannot be made: {error!r})")
        ending = run(lambda: valid.function(*args, **given), SECONDS)
        fault = self._fault(call, ending, may)
        # a value that was assigned stays, and fit keeps what it learned before numbers overflowed
        stays = getattr(valid.function, "done", False) or isinstance(ending.error, ArithmeticError)
        if not fault and ending.error is not None and not stays:
            fault = "" if self._state(valid) == self.before else "changed"
        if fault or stays or ending.error is None or isinstance(valid.function, Assign):
            self.valid = None
            close_figures()
        return Verdict(call, fault, ending.text)

    def _fault(self, call: Call, ending: Ending, may: list[bool]) -> str:
        """`may` says of each change whether it may be right."""
        error, legitimate = ending.error, all(may)
        if isinstance(error, Overtime):
            return "endless"
        if ending.warning and not legitimate:
            return "warning"
        if error is None:
            return "" if legitimate else "accepted"
        kinds = [kind_of(call.name, argument) for argument, _ in call.changes]
        if legitimate and any(kind and kind.called_back for kind in kinds):
            return ""
        meant: tuple[type[BaseException], ...] = (TypeError, ValueError)
        if legitimate:  # numbers that are right one by one may still be too much together
            meant = (*meant, FloatingPointError)
        places = ("path", "label_mode", "directory", "save_to_dir")  # which need not be there
        if any(argument in places for argument, _ in call.changes):
            meant = (*meant, OSError)
        if not isinstance(error, meant):
            return "other error"
        message = str(error)
        if len(message.replace(MANY_LETTERS, "")) > LONGEST:  # as a name they may be right
            return "long"
        if any(key in (MISSPELT, MISSING, SURPLUS) for key, _ in call.changes):
            ((key, word),) = call.changes
            said = FROM_PYTHON.search(message) or "expected" in message
            return "" if said and (key == SURPLUS or names(message, word)) else "nameless"
        if INTERNAL.search(message):
            return "internal"
        if legitimate:  # then it may be another argument that does not fit this one
            return ""
        words = [argument for argument, _ in call.changes]
        if any(may):  # likewise
            words = arguments(self.ready())
        kinds = [kind_of(call.name, word) for word in words]
        called = [word for kind in kinds if kind for word in kind.called]
        return "" if names(message, *words, *called) else "nameless"


def names(message: str, *words: str) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message) for word in words)


def _prepared(call: Call, valid: Valid) -> tuple[list[Any], dict[str, Any], list[bool]]:
    """Positional and keyword arguments of the call, and of each change whether it may be right."""
    given = dict(valid.given)
    args: list[Any] = []
    may = []
    for argument, label in call.changes:
        if argument == MISSPELT:
            given[label] = None
        elif argument == MISSING:
            del given[label]
        elif argument == SURPLUS:
            args = [None] * (len(valid.parameters()) + 1)
            given = {}
        else:
            right = right_value(valid, argument)
            value = {**VALUES, **variants(right)}[label]()
            may.append(_may_take(call, valid, argument, value, right))
            given[argument] = value
        if argument in (MISSPELT, MISSING, SURPLUS):
            may.append(False)
    for name, parameter in valid.parameters().items():
        if parameter.kind is parameter.VAR_POSITIONAL and name in given:
            first = given.pop(name)
            args = [first, *valid.given[name][1:]] if first is not valid.given[name] else first
    return args, given, may


def _may_take(call: Call, valid: Valid, argument: str, value: Any, right: Any) -> bool:
    if argument in valid.keras and argument not in valid.parameters():
        return any(_same(value, one) for one in valid.keras[argument])
    parameter = valid.parameters().get(argument)
    if value is right or (parameter is not None and value is parameter.default):
        return True
    kind = kind_of(call.name, argument)
    return kind is not None and kind.may_take(value, right)


def _same(value: Any, one: Any) -> bool:
    if isinstance(one, tuple) and isinstance(value, list):
        return tuple(value) == one
    number = (is_integer(value) and is_integer(one)) or (isinstance(one, float) and is_real(value))
    flag = isinstance(value, np.bool_) and isinstance(one, bool)
    return (number or flag or type(value) is type(one)) and value == one


@dataclass
class Ending:
    """What a call has ended in."""

    error: BaseException | None
    warning: str
    text: str


def run(function: Callable[[], Any], seconds: float) -> Ending:
    """Call it, within so many seconds, and with everything that it prints kept away."""
    error: BaseException | None = None
    with warnings.catch_warnings(record=True) as caught, time_limit(seconds):
        warnings.simplefilter("always")
        sink = io.StringIO()
        try:
            with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
                function()
        except (Exception, Overtime) as raised:
            error = raised
    # the library's own warnings are UserWarning, and meant
    unmeant = [w for w in caught if not issubclass(w.category, UserWarning)]
    warning = f"{unmeant[0].category.__name__}: {unmeant[0].message}" if unmeant else ""
    text = warning or (f"{type(error).__name__}: {error}" if error is not None else "no error")
    return Ending(error, warning, text)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises Overtime after so many seconds, where there are such signals."""
    if not hasattr(signal, "setitimer") or seconds == math.inf:
        yield
        return

    def end(number: int, frame: Any) -> None:
        raise Overtime(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def close_figures() -> None:
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@dataclass(frozen=True)
class Verdict:
    """`fault` is "" where all is right; `text` is what the call ended in."""

    call: Call
    fault: str
    text: str


def judged(calls: list[Call]) -> Iterator[Verdict]:
    subjects: dict[str, Subject] = {}
    for call in calls:
        if call.name not in subjects:  # one at a time: a model's memory is let go of
            subjects = {call.name: Subject(call.name)}
        faulthandler.dump_traceback_later(4 * SECONDS, exit=True)  # for what hangs outside Python
        yield subjects[call.name].judge(call)
        faulthandler.cancel_dump_traceback_later()


# -- the command ----------------------------------------------------------------------------------


def report(verdicts: list[Verdict]) -> str:
    """The faults, one line for each argument and way of being wrong."""
    groups: dict[tuple[str, ...], list[Verdict]] = collections.defaultdict(list)
    for verdict in verdicts:
        if verdict.fault:
            arguments = " and ".join(
                f"{key} {value}" if key in (MISSPELT, MISSING, SURPLUS) else key
                for key, value in verdict.call.changes
            )
            groups[verdict.call.name, arguments, verdict.fault].append(verdict)
    lines = []
    for (name, arguments, fault), group in groups.items():
        values = [" and ".join(value for _, value in verdict.call.changes) for verdict in group]
        shown = "; ".join(values[:6]) + (f"; {len(values) - 6} more" if len(values) > 6 else "")
        first = " ".join(group[0].text.split())
        lines.append(f"{name}({arguments}): {fault} [{shown}] {first[:160]}")
    faults = sum(len(group) for group in groups.values())
    return "\n".join([*lines, f"{len(verdicts):,} calls, {faults:,} faults"])


@contextlib.contextmanager
def harmless() -> Iterator[None]:
    """No network, no folder of the user's, no memory without end, no pictures on a screen."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        places = dict.fromkeys(("HOME", "MINICNN_CACHE", "KERAS_HOME"), folder)
        stack.enter_context(unittest.mock.patch.dict(os.environ, places))
        for module in cifar10, cifar100, fashion_mnist, mnist:
            stack.enter_context(unittest.mock.patch.object(module, "MIRRORS", ()))
        stack.enter_context(unittest.mock.patch.object(mnist, "IDX_MIRRORS", ()))
        stack.callback(os.chdir, os.getcwd())
        os.chdir(folder)
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource  # on Unix

            with open("/proc/self/statm", encoding="ascii") as sizes:
                in_use = int(sizes.read().split()[0]) * resource.getpagesize()
            limits = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, limits[1]))
            stack.callback(resource.setrlimit, resource.RLIMIT_AS, limits)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only calls whose name contains one of these")
    parser.add_argument("--entries", type=int, help="only so many callables, drawn at random")
    parser.add_argument("--sample", type=int, help="about so many calls, drawn at random")
    parser.add_argument("--pairs", type=int, default=0, help="so many with two wrong arguments")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random")
    parser.add_argument("--show", help="only this value, and all that it ends in")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return 0
    calls = generated(
        options.words,
        entries=options.entries,
        sample=options.sample,
        pairs=options.pairs,
        seed=options.seed,
    )
    if options.show:
        calls = [call for call in calls if any(v == options.show for _, v in call.changes)]
    with tempfile.TemporaryDirectory() as folder:
        drawn = pathlib.Path(folder, "calls")
        drawn.write_text(json.dumps([[call.name, call.changes] for call in calls]))
        verdicts = by_workers(calls, [sys.executable, sys.argv[0], "--work", str(drawn)])
    if options.show:
        for verdict in verdicts:
            print(verdict.fault or "right", verdict.call, verdict.text, sep=" | ")
    print(report(verdicts))
    return int(any(verdict.fault for verdict in verdicts))


def work(drawn: str, start: str, log: str) -> None:
    """Make the calls of the file `drawn` from number `start` on, and write down each verdict."""
    told = json.loads(pathlib.Path(drawn).read_text(encoding="utf-8"))
    calls = [Call(name, tuple(map(tuple, changes))) for name, changes in told[int(start) :]]
    with open(log, "w", encoding="utf-8") as lines, harmless():
        for verdict in judged(calls):
            print(json.dumps([verdict.fault, verdict.text]), file=lines, flush=True)


def by_workers(calls: list[Call], command: list[str]) -> list[Verdict]:
    """The verdicts on all calls, made in a process which they may kill: then another goes on.

    `command` starts one; it gets the number of its first call, and the file for the verdicts.
    """
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "verdicts")
        while len(verdicts) < len(calls):
            run_it = [*command, str(len(verdicts)), log]
            worker = subprocess.run(run_it, stderr=subprocess.PIPE, text=True)
            with open(log, encoding="utf-8") as lines:
                for call, line in zip(calls[len(verdicts) :], lines):
                    verdicts.append(Verdict(call, *json.loads(line)))
            if worker.returncode:
                end = worker.stderr.strip().partition("\n")[0]
                text = f"exit code {worker.returncode}: {end}"
                verdicts.append(Verdict(calls[len(verdicts)], "crash", text))
    return verdicts


if __name__ == "__main__":
    sys.exit(main())

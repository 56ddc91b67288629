"""What is inside a layer: one definition of what a model's workers share and what each has alone.

A batch is run in pieces on several threads. Each worker walks through replicas of the layers, so
that no worker overwrites what another keeps between forward and backward:

    shared        `params` and `state`, of the layer and of every layer inside it
    a worker's    all else: gradients, `_cache`, other attributes, containers, inner layers

So a layer may keep whatever it likes from `forward` for the `backward` that follows. What it wants
to know after `fit` belongs in `state`: the other attributes of a replica go with the replica, and
a layer that counts its calls in an attribute reads 0.

`walk` says what is inside: attributes, lists, tuples, sets, deques, dicts and the user's plain
objects, however deep. Shared are also models, and what cannot be copied, such as a lock; a large
table that never changes is shared if it is made read-only (`table.setflags(write=False)`). Out of
reach are class attributes, globals and functions that hold on to a layer: `gradcheck.check_layer`
finds a layer that shares by one of these.
"""

from __future__ import annotations

import copy
import functools
import random
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, compress
from operator import is_
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minicnn import seeds
from minicnn.copies import own_arrays
from minicnn.initializers import Initializer
from minicnn.layers.changes import Table, latest, note_change
from minicnn.layers.subclassing import definer
from minicnn.subclasses import of_the_user

Array = NDArray[Any]
R = TypeVar("R", bound="Replicable")

PLAIN = (type(None), bool, int, float, str, np.dtype)  # never changed, so never copied
SEQUENCES = (list, tuple, set, frozenset, deque)
OF_ONE_PASS = ("_cache", "_y_shape", "activity_penalty")
# what training and the place in the batch change, unlike settings
IN_PASSING = ("rng", "_step", "_sample", *OF_ONE_PASS)
CHANGING = ("params", "grads", "state", *IN_PASSING)
WORKER = "worker"  # key in deepcopy's memo, whose other keys are ids: the copy is for a worker


class Replicable:
    """What all layers can, whatever they hold: be replicated, copied and pickled."""

    params: dict[str, Array]
    grads: dict[str, Array]
    state: dict[str, Array]

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name not in IN_PASSING:
            note_change()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        note_change()

    def replica(self: R) -> R:
        """A worker's copy of this layer: the same parameters and state, all else its own."""
        (twin,) = replicas([self])
        return twin

    def __copy__(self: R) -> R:
        """As `copy.deepcopy`: two layers over the same parameters would train each other."""
        return copy.deepcopy(self)

    def __deepcopy__(self: R, memo: dict[Any, Any]) -> R:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        if WORKER not in memo and type(self).__getstate__ is not Replicable.__getstate__:
            twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))  # the user's way to copy
            return twin
        for name, value in _attributes(self):
            if WORKER in memo and name in OF_ONE_PASS:
                new = None
            elif _is_plain(value):
                new = value
            elif WORKER not in memo:
                new = copy.deepcopy(value, memo)
            elif isinstance(value, Initializer) or (name == "rng" and not of_the_user(type(self))):
                new = value  # for `build` alone, which is over
            else:
                new = _own(value, memo)
            _put(twin, name, new)
        if WORKER not in memo:
            seeds.differ_after_fork(twin)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: without what the next forward and backward work out anew."""
        kept = dict(_attributes(self))
        return {**kept, **dict.fromkeys(OF_ONE_PASS), "grads": dict.fromkeys(self.grads)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            _put(self, name, value)
        own_arrays(self)
        for inner in layers_inside(self)[1:]:
            if inner.params is self.params:  # whose gradients inner's backward fills
                self.grads = inner.grads
        for key, array in self.params.items():
            if self.grads.get(key) is None:
                self.grads[key] = np.zeros_like(array)
        seeds.differ_after_fork(self)

    def reseed(self) -> None:
        """Draw other numbers from now on; called in forked processes, where no seed is set."""


# -- what is inside -------------------------------------------------------------------------------


def walk(
    thing: Any, leave_out: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any, Any, Any]]:
    """Everything inside `thing`, outer things first: its place, its holder, its name there, itself.

    Each holder is entered once, so that things which hold each other come to an end. Attributes of
    layers that are named in `leave_out` are passed over.
    """
    seen: set[int] = set()
    waiting: deque[tuple[tuple[Any, ...], Any]] = deque([((), thing)])
    while waiting:
        place, holder = waiting.popleft()
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        passed_over = leave_out if isinstance(holder, Replicable) else ()
        for name, part in held_by(holder):
            if name in passed_over:
                continue
            inner = (*place, name)
            yield inner, holder, name, part
            if not _is_plain(part):
                waiting.append((inner, part))


def layers_inside(thing: Any) -> list[Any]:
    """`thing`, if it is a layer, and all layers that it holds; each once, outer ones first."""
    found = {id(thing): thing} if isinstance(thing, Replicable) else {}
    for _, _, _, part in walk(thing):
        if isinstance(part, Replicable):
            found.setdefault(id(part), part)
    return list(found.values())


def held_by(value: Any) -> Iterable[tuple[Any, Any]]:
    """What a layer, a container or a plain object holds, by name or place; nothing of others."""
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, SEQUENCES):
        return list(enumerate(value))
    return _attributes(value) if isinstance(value, Replicable) or _is_plain_object(value) else ()


def _is_plain(value: Any) -> bool:
    """Whether it is a number, a word, nothing, or a tuple of these."""
    if isinstance(value, PLAIN):
        return True
    return type(value) is tuple and all(isinstance(part, PLAIN) for part in value)


def _attributes(value: Any) -> list[tuple[str, Any]]:
    kind: Any = type(value)
    held = [(name, getattr(value, name)) for name in _slots(kind) if hasattr(value, name)]
    return [*getattr(value, "__dict__", {}).items(), *held]


def _put(thing: Any, name: str, value: Any) -> None:
    """What `_attributes` has told, set on another object; past all checks, which it has passed."""
    kind: Any = type(thing)
    if name in _slots(kind):
        object.__setattr__(thing, name, value)
    else:
        vars(thing)[name] = value
    note_change()


@functools.cache
def _slots(kind: Any) -> list[str]:
    return [name for one in kind.__mro__ for name in getattr(one, "__slots__", ())]


def _is_plain_object(value: Any) -> bool:
    """Whether it is an object of the user's that only holds others: a namespace, a dataclass."""
    kind = type(value)
    if not hasattr(value, "__dict__") or isinstance(value, (type, types.ModuleType, np.ndarray)):
        return False
    if hasattr(value, "py_func"):  # a function that numba has compiled
        return False
    if kind is types.SimpleNamespace:
        return True
    return of_the_user(kind) and kind.__module__.partition(".")[0] not in sys.stdlib_module_names


def replace_arrays(thing: Any, new: dict[int, Array]) -> None:
    """Put arrays in the place of others, which `new` names by id, wherever `thing` holds these."""
    for _, holder, name, part in list(walk(thing)):
        if id(part) in new:
            if isinstance(holder, (dict, list, deque)):
                holder[name] = new[id(part)]
            elif not isinstance(holder, SEQUENCES):
                _put(holder, name, new[id(part)])


# -- replicas -------------------------------------------------------------------------------------


def replicas(layers: Iterable[R]) -> list[R]:
    """A worker's copies of `layers`; one that refers to another refers to its copy, too."""
    layers = list(layers)
    memo: dict[Any, Any] = {WORKER: True}
    for one in layers_inside(layers):
        for table in (one.params, one.state):  # memo: what stands for an object in the copy
            memo[id(table)] = table
            memo.update((id(array), array) for array in table.values())
        memo.update((id(array), np.zeros_like(array)) for array in one.grads.values())
        for rules in (one.regularizers, one.constraints, {"": one.activity_regularizer}):
            memo.update((id(rule), rule) for rule in rules.values())  # so that changes reach all
    return [copy.deepcopy(layer, memo) for layer in layers]


def _own(value: Any, memo: dict[Any, Any]) -> Any:
    """A copy of `value`; where a part cannot be copied, that part itself."""
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        return value
    trial = dict(memo)  # a copy that fails leaves halves of objects in its memo
    try:
        whole = copy.deepcopy(value, trial)
        # under its own id a memo keeps alive what it has copied, so that no id is used again
        memo.setdefault(id(memo), []).append(trial.pop(id(trial), None))
        memo.update(trial)
        return whole
    except Exception:
        whole = value
        if type(value) is dict:
            whole = {key: _own(part, memo) for key, part in value.items()}
        elif type(value) in SEQUENCES:
            whole = type(value)(_own(part, memo) for part in value)
        elif _is_plain_object(value):
            kind: Any = type(value)
            whole = kind.__new__(kind)
            for name, part in _attributes(value):
                _put(whole, name, _own(part, memo))
        memo[id(value)] = whole
        return whole


# -- settings -------------------------------------------------------------------------------------


class Settings:
    """What says how layers compute, at one moment: all that training does not change.

    `chosen` is what was decided beside the layers: loss, optimizer and the like.
    """

    def __init__(self, chosen: tuple[Any, ...], layers: list[Any]) -> None:
        self.chosen = chosen
        self._look(layers)

    def _look(self, layers: list[Any]) -> None:
        self._found = {
            place: (value, value.copy() if _may_change(value) else None)
            for place, value in _settings(layers)
        }
        # the arrays among them, whose numbers may have changed
        found = self._found.values()
        self._arrays = [(value, before) for value, before in found if before is not None]
        self._parts = Parts(layers, CHANGING)
        self._seen: Parts | None = None  # the caller's, when nothing had changed

    def changed(
        self, layers: list[Any], *, arrays: bool = True, made_of: Parts | None = None
    ) -> bool:
        """Whether those of `layers` differ now; with `arrays=False` arrays by identity alone.

        `made_of` is what the caller has just found them to be made of, settings and all; where it
        is what it was the last time, nothing has to be looked at again.
        """
        seen, self._seen = self._seen, None
        if (made_of is not None and made_of is seen) or self._parts.same(layers):
            self._seen = made_of
            return arrays and not all(np.array_equal(a, b) for a, b in self._arrays)
        count = 0
        for place, value in _settings(layers):
            count += 1
            known = self._found.get(place)
            if known is None or not _same(*known, value, arrays):
                return True
        if count != len(self._found):
            return True
        if arrays:  # else what is in them may have changed, and the next call is to see it
            self._look(layers)  # equal, but other objects
        return False


class Parts:
    """The very objects that layers are made of, at one moment.

    Each call of a model asks whether any has been replaced, and to walk through all of them takes
    longer than to predict an image. So what holds them is listed once, and compared by loops that
    run in C; and not even that where all of them note their changes, and none has been noted.
    Attributes named in `passed_over` may change.
    """

    def __init__(self, layers: list[Any], passed_over: tuple[str, ...]) -> None:
        self._layers = list(layers)
        self._dicts: list[dict[Any, Any]] = []
        self._sequences: list[Any] = []
        self._known = True  # False: some hold their parts in other ways, such as slots
        self._notes, self._looked_at = True, -1  # whether all note changes, and the last one seen
        passes: list[bool] = []
        inside = {id(part): part for _, _, _, part in walk(layers, passed_over)}
        for part in inside.values():
            kind: Any = type(part)
            is_layer = isinstance(part, Replicable)
            if _is_plain(part):
                continue
            if is_layer or _is_plain_object(part):
                self._known &= not _slots(kind)
                self._notes &= is_layer and _notes_changes(kind)
                self._dicts.append(vars(part) if hasattr(part, "__dict__") else {})
            elif isinstance(part, dict):
                self._notes &= type(part) is Table
                self._dicts.append(part)
            elif isinstance(part, SEQUENCES):
                self._known &= not isinstance(part, (set, frozenset))
                self._notes &= isinstance(part, tuple)
                self._sequences.append(part)
                continue
            else:
                continue
            passes += [not (is_layer and name in passed_over) for name in self._dicts[-1]]
        self._stays = passes
        self._names = list(chain.from_iterable(self._dicts))
        self._values = list(compress(self._dict_values(), passes))
        self._items = list(chain.from_iterable(self._sequences))

    def _dict_values(self) -> Iterator[Any]:
        return chain.from_iterable(map(dict.values, self._dicts))

    def same(self, layers: list[Any]) -> bool:
        """Whether `layers` are these, and made of the same objects under the same names."""
        if len(layers) != len(self._layers) or not all(map(is_, layers, self._layers)):
            return False
        change = latest()
        if change != self._looked_at:
            if not self._same_parts():
                return False
            self._looked_at = change if self._notes else -1
        return True

    def _same_parts(self) -> bool:
        return (
            self._known
            and list(chain.from_iterable(self._dicts)) == self._names
            and all(map(is_, compress(self._dict_values(), self._stays), self._values))
            and sum(map(len, self._sequences)) == len(self._items)
            and all(map(is_, chain.from_iterable(self._sequences), self._items))
        )


def _notes_changes(kind: type) -> bool:
    """Whether to set an attribute of a layer of this class comes to `Replicable.__setattr__`."""
    return not any(of_the_user(definer(kind, name)) for name in ("__setattr__", "__delattr__"))


def _settings(layers: list[Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for place, _, _, value in walk(layers, CHANGING):
        container = isinstance(value, (dict, *SEQUENCES)) and not _is_plain(value)
        yield place, type(value) if container else value  # which counts by what is in it


def _may_change(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.flags.writeable


def _same(old: Any, numbers: Any, new: Any, arrays: bool) -> bool:
    """Whether the setting is the same object, with the same numbers, or an equal plain one."""
    if new is old:
        return numbers is None or not arrays or np.array_equal(numbers, new)
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        before = old if numbers is None else numbers
        return before.dtype == new.dtype and np.array_equal(before, new)
    return _is_plain(new) and type(old) is type(new) and bool(old == new)


# -- random numbers -------------------------------------------------------------------------------


class Streams:
    """The random generators inside a worker's layers, which go on from the place in the batch.

    Each worker has a copy of every generator. Left alone, the copies would all draw the same
    numbers, and which samples get which would depend on how many workers there are.

    Generators of the package's own layers are left alone: these only draw when they are built.
    """

    def __init__(self, layers: Iterable[Any]) -> None:
        self._sources: dict[int, tuple[Any, list[int]]] = {}
        kinds = (np.random.Generator, np.random.RandomState, random.Random)
        for _, holder, name, value in walk(list(layers)):
            of_the_package = isinstance(holder, Replicable) and not of_the_user(type(holder))
            if isinstance(value, kinds) and not (name == "rng" and of_the_package):
                drawn = copy.deepcopy(value)
                draw = drawn.integers if isinstance(drawn, np.random.Generator) else drawn.randint
                self._sources[id(value)] = value, [int(draw(0, 2**31 - 1)) for _ in range(4)]

    def seek(self, step: int, sample: int) -> None:
        """Samples from number `sample` on, in step `step`, come next."""
        for generator, source in self._sources.values():
            place = [*source, step, sample]
            if isinstance(generator, random.Random):
                generator.seed(repr(place))
            elif isinstance(generator, np.random.RandomState):
                generator.seed([number % 2**32 for number in place])
            else:
                bits = generator.bit_generator
                bits.state = type(bits)(np.random.SeedSequence(place)).state

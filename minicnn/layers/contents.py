"""What is inside a layer: one definition of what a model's workers share and what each has alone.

A batch is run in pieces on several threads. Each worker walks through replicas of the layers, so
that no worker overwrites what another keeps between forward and backward:

    shared        `params` and `state`, of the layer and of every layer inside it
    a worker's    all else: gradients, `_cache`, other attributes, containers, inner layers

So a layer may keep whatever it likes from `forward` for the `backward` that follows. What it wants
to know after `fit` belongs in `state`: the other attributes of a replica go with the replica, and
a layer that counts its calls in an attribute reads 0.

Inner layers are looked for in attributes and in lists, tuples, sets, deques and dicts, however
deep. What cannot be copied at all, such as a lock or an open file, is shared.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minicnn.copies import own_arrays
from minicnn.initializers import Initializer
from minicnn.subclasses import of_the_user

Array = NDArray[Any]
R = TypeVar("R", bound="Replicable")

SEQUENCES = (list, tuple, set, frozenset, deque)
PLAIN = (type(None), bool, int, float, str, np.dtype)  # never changed, so never copied
OF_ONE_PASS = ("_cache", "_y_shape")
# what training and the place in the batch change, unlike settings
CHANGING = ("params", "grads", "state", "rng", "_step", "_sample", *OF_ONE_PASS)
WORKER = "worker"  # key in deepcopy's memo, whose other keys are ids: the copy is for a worker


class Replicable:
    """What all layers can, whatever they hold: be replicated, copied and pickled."""

    params: dict[str, Array]
    grads: dict[str, Array]
    state: dict[str, Array]

    def replica(self: R) -> R:
        """A worker's copy of this layer: the same parameters and state, all else its own."""
        memo: dict[Any, Any] = {WORKER: True}
        for one in layers_inside(self):
            for table in (one.params, one.state):  # memo: what stands for an object in the copy
                memo[id(table)] = table
                memo.update((id(array), array) for array in table.values())
            memo.update((id(array), np.zeros_like(array)) for array in one.grads.values())
        return copy.deepcopy(self, memo)

    def __copy__(self: R) -> R:
        """As `copy.deepcopy`: two layers over the same parameters would train each other."""
        return copy.deepcopy(self)

    def __deepcopy__(self: R, memo: dict[Any, Any]) -> R:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        for name, value in vars(self).items():
            if isinstance(value, PLAIN):
                vars(twin)[name] = value
            elif WORKER not in memo:
                vars(twin)[name] = copy.deepcopy(value, memo)
            elif isinstance(value, Initializer) or (name == "rng" and not of_the_user(type(self))):
                vars(twin)[name] = value  # for `build` alone, which is over
            else:
                vars(twin)[name] = None if name in OF_ONE_PASS else _own(value, memo)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: without what the next forward and backward work out anew."""
        return {**vars(self), **dict.fromkeys(OF_ONE_PASS), "grads": dict.fromkeys(self.grads)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        own_arrays(self)
        for inner in layers_inside(self)[1:]:
            if inner.params is self.params:  # whose gradients inner's backward fills
                self.grads = inner.grads
        for key, array in self.params.items():
            if self.grads.get(key) is None:
                self.grads[key] = np.zeros_like(array)


HOLDERS = (Replicable, dict, *SEQUENCES)  # what may have layers inside


def parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """Names or places of what a layer or container holds, and what is there; else nothing."""
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, SEQUENCES):
        return list(enumerate(value))
    return list(vars(value).items()) if isinstance(value, Replicable) else ()


def layers_inside(thing: Any) -> list[Any]:
    """`thing`, if it is a layer, and all layers that it holds; each once, outer ones first."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting = deque([thing])
    while waiting:
        value = waiting.popleft()
        if id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Replicable):
                found.append(value)
            waiting.extend(part for _, part in parts(value) if isinstance(part, HOLDERS))
    return found


# -- copies ---------------------------------------------------------------------------------------


def _own(value: Any, memo: dict[Any, Any]) -> Any:
    """A copy of `value`; where a part cannot be copied, that part itself."""
    try:
        return copy.deepcopy(value, memo)
    except Exception:
        whole = value
        if type(value) is dict:
            whole = {key: _own(part, memo) for key, part in value.items()}
        elif type(value) in SEQUENCES:
            whole = type(value)(_own(part, memo) for part in value)
        memo[id(value)] = whole
        return whole


# -- settings -------------------------------------------------------------------------------------


def settings(layer: Any) -> dict[tuple[Any, ...], Any]:
    """What says how `layer` computes, by its place: all that training does not change."""
    found: dict[tuple[Any, ...], Any] = {}
    seen: set[int] = set()

    def look(place: tuple[Any, ...], value: Any) -> None:
        layer = isinstance(value, Replicable)
        if not layer and not isinstance(value, (dict, *SEQUENCES)):
            found[place] = value.copy() if isinstance(value, np.ndarray) else value
            return
        found[place] = value if layer else type(value)
        if id(value) not in seen:
            seen.add(id(value))
            for key, part in parts(value):
                if layer and key in CHANGING:
                    continue
                inner = (*place, key)
                if isinstance(part, PLAIN):
                    found[inner] = part
                else:
                    look(inner, part)

    look((), layer)
    return found


def unchanged(before: dict[Any, Any], now: dict[Any, Any]) -> bool:
    """Whether two dicts hold the same objects, or equal numbers, words and arrays, by key."""

    def same(one: Any, other: Any) -> bool:
        if one is other:
            return True
        if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            return one.dtype == other.dtype and np.array_equal(one, other)
        return isinstance(one, (int, float, str)) and type(one) is type(other) and one == other

    return before.keys() == now.keys() and all(same(before[key], now[key]) for key in before)


# -- random numbers -------------------------------------------------------------------------------


class Streams:
    """The random generators inside a worker's layers, which go on from the place in the batch.

    Each worker has a copy of every generator. Left alone, the copies would all draw the same
    numbers, and which samples get which would depend on how many workers there are.

    Generators of the package's own layers are left alone: these only draw when they are built.
    """

    def __init__(self, layers: Iterable[Any]) -> None:
        self._sources: list[tuple[Any, list[int]]] = []
        held = [one for layer in layers for one in layers_inside(layer)]
        for value in _generators([one for one in held if of_the_user(type(one))]):
            drawn = copy.deepcopy(value)
            draw = drawn.integers if isinstance(drawn, np.random.Generator) else drawn.randint
            self._sources.append((value, [int(draw(0, 2**31 - 1)) for _ in range(4)]))

    def seek(self, step: int, sample: int) -> None:
        """Samples from number `sample` on, in step `step`, come next."""
        for generator, source in self._sources:
            place = [*source, step, sample]
            if isinstance(generator, random.Random):
                generator.seed(repr(place))
            elif isinstance(generator, np.random.RandomState):
                generator.seed([number % 2**32 for number in place])
            else:
                bits = generator.bit_generator
                bits.state = type(bits)(np.random.SeedSequence(place)).state


def _generators(things: list[Any]) -> list[Any]:
    """The generators in the attributes and containers of `things`, each once."""
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    found: list[Any] = []
    seen: set[int] = set()
    waiting = deque(part for thing in things for _, part in parts(thing))
    while waiting:
        value = waiting.popleft()
        if id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, kinds):
                found.append(value)
            elif not isinstance(value, Replicable):  # those are among `things`
                waiting.extend(part for _, part in parts(value))
    return found

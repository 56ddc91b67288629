"""Copies that share nothing with what they were made of, and arrays that can be written into.

A pickle may come back with arrays that are views of someone else's memory: joblib maps large ones
from a file, read-only, and with pickle's protocol 5 they lie in buffers that the sender still owns.
"""

from __future__ import annotations

import contextlib
import copy
from collections import deque
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


class Copied:
    """Base of the objects whose copies, however made, are whole, writable and independent."""

    def __copy__(self: T) -> T:
        """As `copy.deepcopy`: two optimizers over the same slots, say, would disturb each other."""
        return own_copy(self)

    def __setstate__(self, state: Any) -> None:
        """The last step of a deep copy and of unpickling."""
        named, slotted = state if isinstance(state, tuple) else (state, None)
        vars(self).update(named or {})
        for name, value in (slotted or {}).items():
            object.__setattr__(self, name, value)
        own_arrays(self)


def twin(thing: T) -> T:
    """Another object with the same attributes, one of which can then be set to something else."""
    other = type(thing).__new__(type(thing))
    vars(other).update(vars(thing))
    return other


def own_copy(thing: T, shared: Iterable[Any] = ()) -> T:
    """A deep copy, save for the `shared` objects and for what cannot be copied, such as a lock."""

    def memo() -> dict[int, Any]:  # of deepcopy: what stands for an object in the copy
        return {id(one): one for one in shared}

    try:
        return copy.deepcopy(thing, memo())
    except Exception:  # an attribute that cannot be copied; the others can
        other, known = twin(thing), memo()
    known[id(thing)] = other
    for name, value in vars(thing).items():
        with contextlib.suppress(Exception):
            vars(other)[name] = copy.deepcopy(value, known)
    own_arrays(other)
    return other


def own_arrays(thing: Any) -> None:
    """Replace each array in the attributes and containers of `thing` that is not its own."""
    owned: dict[int, tuple[Any, Any]] = {}  # id: (the value, which keeps the id; what replaces it)

    def own(value: Any) -> Any:
        if id(value) not in owned:
            owned[id(value)] = value, value  # a container may hold itself
            owned[id(value)] = value, replaced(value)
        return owned[id(value)][1]

    def replaced(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            good = value.flags.owndata and value.flags.writeable and type(value) is np.ndarray
            return value if good else np.array(value, subok=hasattr(value, "assign_add"))
        if isinstance(value, dict):
            value.update({key: own(part) for key, part in value.items()})
        elif isinstance(value, (list, deque)):
            for place, part in enumerate(value):
                value[place] = own(part)
        elif type(value) is tuple:
            return tuple(own(part) for part in value)
        return value

    for name, value in list(vars(thing).items()):
        vars(thing)[name] = own(value)
    owned.clear()  # the two functions refer to each other, and would keep it for a while

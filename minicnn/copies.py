"""Copies that are whole and independent, however they are made."""

from __future__ import annotations

from typing import Any

import numpy as np


def own_arrays(thing: Any) -> None:
    """Replace each array in the attributes and containers of `thing` that is not its own.

    For what has just been unpickled: joblib maps large arrays from a file, read-only, and with
    pickle's protocol 5 they may be views of a buffer that the sender still writes to.
    """
    owned: dict[int, tuple[Any, Any]] = {}  # id: (the value, which keeps the id; what replaces it)

    def own(value: Any) -> Any:
        if id(value) not in owned:
            owned[id(value)] = value, value
            owned[id(value)] = value, replaced(value)
        return owned[id(value)][1]

    def replaced(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            good = value.flags.owndata and value.flags.writeable and type(value) is np.ndarray
            return value if good else np.array(value)
        if isinstance(value, dict):
            value.update({key: own(part) for key, part in value.items()})
        elif isinstance(value, list):
            value[:] = [own(part) for part in value]
        elif type(value) is tuple:
            return tuple(own(part) for part in value)
        return value

    for name, value in list(vars(thing).items()):
        vars(thing)[name] = own(value)

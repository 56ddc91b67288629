"""A number that moves on when a layer is changed, whichever layer of the process it is.

Each call of a model asks whether anything that its layers are made of was replaced. To look takes
10 to 100 us, as long as to predict an image. But an attribute is replaced through the layer's
`__setattr__`, and an array through one of its tables, and both note it here. So while the number is
what it was when somebody looked, nobody has to look again. What notes nothing, such as a list in an
attribute, is looked at each time: see `contents.Parts`. Code that writes into `vars(layer)` calls
`note_change` itself.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

_numbers = itertools.count(1)
_latest = 0


def latest() -> int:
    """The number of the last change."""
    return _latest


def note_change() -> None:
    """Called behind each change: who looks before it has looked too early, and looks again."""
    global _latest
    _latest = next(_numbers)  # in one step: threads never note the same number


class Table(dict[Any, Any]):
    """A dict that notes its changes, as a layer's `params`, `grads` and `state` are."""


def _noting(name: str) -> Any:
    method = getattr(dict, name)

    @functools.wraps(method)
    def noting(self: Table, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        finally:  # an update may fail half way
            note_change()

    return noting


for _name in (
    "__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update",
):  # fmt: skip
    setattr(Table, _name, _noting(_name))

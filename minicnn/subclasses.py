"""Methods of a user's subclass that nothing would ever call, refused where the class is defined.

Someone who comes from another library writes `call` where minicnn calls `forward`: a subclass of
Dense would silently stay a Dense. The same holds for a method whose name is misspelt. A method is
left alone where the user's classes define what is called instead, or where one of them calls it:
then it is a helper.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import Any

CLOSE = 0.88  # difflib's ratio for names of one letter more, less or other, save very short ones

_LAYER = "Put what it computes into a layer: subclass minicnn.layers.Layer"
_LOSS = "Put what it computes into a loss: subclass minicnn.losses.Loss"
_HOOK = "Do what it does in a callback, or write the loop yourself around train_on_batch"

# methods that subclasses of other libraries' models define, and what to do here instead
OF_OTHER_MODELS = {
    "call": _LAYER,
    "forward": _LAYER,
    "backward": _LAYER,
    "compute_loss": _LOSS,
    "compute_metrics": "Put what it computes into a metric: subclass minicnn.metrics.Metric",
    "train_step": _HOOK,
    "training_step": _HOOK,
    "test_step": _HOOK,
    "validation_step": _HOOK,
    "predict_step": _HOOK,
}


def of_the_user(cls: type) -> bool:
    """Whether a class stands outside of this package."""
    return cls.__module__.partition(".")[0] != __name__.partition(".")[0]


def refuse_vain_methods(
    cls: type, base: type, called: Iterable[str], elsewhere: Mapping[str, tuple[str, ...]]
) -> None:
    """Raise TypeError if `cls`, or a class that it mixes in, has a method that nothing would call.

    Parameters
    ----------
    cls : type
        The subclass that is being defined.
    base : type
        The package's class that it derives from; has all methods in `called`.
    called : names of the methods that a subclass may define and the package calls
    elsewhere : dict of str to tuple of str
        Names that other libraries call, and the methods in `called` that stand for them.
    """
    if not of_the_user(cls):
        return
    known = {name for kind in cls.__mro__ if not of_the_user(kind) for name in vars(kind)}
    defined: dict[str, Any] = {}
    for kind in reversed(cls.__mro__):
        if of_the_user(kind):
            defined.update(vars(kind))
    for name, value in defined.items():
        instead = elsewhere.get(name, ())
        if not instead and name not in known and not name.startswith("_"):
            instead = nearest(name, called)
        if not instead or not _is_method(value) or instead[0] in defined:
            continue
        if any(name in _names_in(other) for key, other in defined.items() if key != name):
            continue
        signatures = " and ".join(_signature(base, one) for one in instead)
        is_call = "backward" in instead and "call" in name
        why = ", since there is no automatic differentiation" if is_call else ""
        raise TypeError(
            f"{cls.__name__}: expected {signatures}{why}, received {name}, which nothing would "
            f"call. Rename it, with these arguments; a helper is free where {instead[0]} calls it"
        )


def nearest(name: str, known: Iterable[str], close: float = CLOSE) -> tuple[str, ...]:
    """The `known` name that `name` is a misspelling of, if any: forwrad, onEpochEnd, backwards."""

    def letters(word: str) -> tuple[str, list[str]]:
        return word[:1], sorted(word.replace("_", ""))

    known, name = list(known), name.lower()
    swapped = [one for one in known if letters(one) == letters(name)]
    return tuple((swapped or difflib.get_close_matches(name, known, 1, close))[:1])


def _is_method(value: Any) -> bool:
    if isinstance(value, (staticmethod, classmethod)):
        return True
    return callable(value) and not isinstance(value, type)


def _names_in(value: Any) -> set[str]:
    """The names of attributes and globals that a method uses."""
    held = [getattr(value, part, None) for part in ("__func__", "fget", "fset")]
    functions = [inspect.unwrap(one) for one in (value, *held) if callable(one)]
    codes = [function.__code__ for function in functions if hasattr(function, "__code__")]
    return {name for code in codes for one in _nested(code) for name in one.co_names}


def _nested(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _signature(base: type, name: str) -> str:
    signature = inspect.signature(getattr(base, name))
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return f"{name}{signature.replace(parameters=plain, return_annotation=signature.empty)}"

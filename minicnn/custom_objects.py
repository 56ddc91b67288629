"""A user's own classes and functions, by the names under which configs and files hold them.

    @register_keras_serializable(package="mine")
    class Scaled(Layer): ...

A name in a file is looked up here and in the package's own tables, and nowhere else: nothing is
imported by name. See `minicnn.saving`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from minicnn import checks

T = TypeVar("T")

_registered: dict[str, Any] = {}  # by "Package>Name"
_names: dict[Any, str] = {}
_scopes: ContextVar[tuple[Mapping[str, Any], ...]] = ContextVar("custom objects", default=())


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[T], T]:
    """A decorator: files that hold the class or function can be loaded without `custom_objects`.

    It is known as "package>name", with its own name where none is given.

    Raises TypeError unless it is a class or a function, and the two names are texts.
    """
    who = "register_keras_serializable"
    checks.text(package, "package", who)
    if name is not None:
        checks.text(name, "name", who)

    def register(thing: T) -> T:
        if not callable(thing) or not hasattr(thing, "__name__"):
            raise TypeError(
                f"{who}: expected a class or a function, received {checks.shown(thing)}. "
                "Write @register_keras_serializable() above its definition"
            )
        known_as = f"{package}>{name or thing.__name__}"
        _registered[known_as] = thing
        _names[thing] = known_as
        return thing

    return register


class custom_object_scope:
    """Inside, `custom_objects` are known by their names, as in `load_model(custom_objects=...)`.

    >>> class Mine:
    ...     pass
    >>> with custom_object_scope({"Mine": Mine}):
    ...     get_registered_object("Mine") is Mine
    True

    Raises TypeError unless it is a dict of classes and functions by their names.
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self.custom_objects = checked(custom_objects, "custom_object_scope")

    def __enter__(self) -> custom_object_scope:
        self._token = _scopes.set((self.custom_objects, *_scopes.get()))
        return self

    def __exit__(self, *error: object) -> None:
        _scopes.reset(self._token)


def checked(custom_objects: Any, who: str) -> Mapping[str, Any]:
    """The argument `custom_objects`, if it is a dict of classes and functions; None is empty."""
    if custom_objects is None:
        return {}
    if not isinstance(custom_objects, Mapping) or not all(
        isinstance(name, str) and callable(thing) for name, thing in custom_objects.items()
    ):
        raise TypeError(
            f"{who}: expected custom_objects to be a dict of classes and functions by their "
            f"names, received {checks.shown(custom_objects)}. Write {{'MyLayer': MyLayer}}"
        )
    return dict(custom_objects)


def get_registered_name(thing: Any) -> str:
    """ "Package>Name" of a class or function that was registered, its own name otherwise."""
    return _names.get(thing, getattr(thing, "__name__", type(thing).__name__))


def get_registered_object(name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The class or function of that name: of `custom_objects`, of a scope, or registered.

    None where there is none.
    """
    for known in (custom_objects or {}, *_scopes.get(), _registered):
        if name in known:
            return known[name]
    return None

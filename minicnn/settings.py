"""Settings: what a constructor is given and a user may change, declared once, on the class.

    class Scaled(Layer):
        factor = Setting(partial(checks.real, low=0))
        axis = Setting(checks.integer, fixed=True)

        def __init__(self, factor=1.0, axis=-1, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor
            self.axis = axis

From the declaration follow

    the check     of the constructor's argument and of every later assignment
    fixed         such a setting cannot change once the object is built
    get_config    every argument of the constructor that is a setting, in a form that JSON can hold
    from_config   another object from that
    repr          the same settings as a call

`check(value, name, who)` returns what is kept or raises TypeError or ValueError (`checks.py` has
most of them). A default that differs from class to class, such as the name of a loss, is written as
a plain class attribute over the setting: `name = "mean_squared_error"`.

`ignored` names the arguments that only Keras's constructor has, with the values that change
nothing; `instead` maps obsolete names to what to write.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import numpy as np

from minicnn import checks, custom_objects
from minicnn.subclasses import nearest, of_the_user

T = TypeVar("T")
C = TypeVar("C", bound="Configured")

CLOSE = 0.85  # difflib's ratio for names of eight letters with a wrong one: momemtum
NO_DEFAULT: Any = object()
# what Keras writes beside a config, and nothing here depends on
BESIDE = ("module", "registered_name", "build_config", "shared_object_id")


class Setting(Generic[T]):
    """An attribute that is checked whenever it is set, by the constructor or later."""

    def __init__(
        self,
        check: Callable[[Any, str, str], T],
        *,
        fixed: bool = False,
        default: Any = NO_DEFAULT,
        none: Callable[[Any], Any] | None = None,
    ) -> None:
        """`none(thing)` is the value that None stands for."""
        self.check, self.fixed, self.default, self.none = check, fixed, default, none

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, thing: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, thing: object, owner: type) -> T: ...
    def __get__(self, thing: object | None, owner: type) -> Setting[T] | T:
        """The default, or the setting itself: what an object holds is found before this is asked.

        That is why there is no `__set__` here; a step of training reads fifty settings.
        """
        if self.default is not NO_DEFAULT:
            return self.default
        if thing is None:
            return self
        raise AttributeError(f"{owner.__name__} has no {self.name} yet")

    if TYPE_CHECKING:  # that any value may be assigned, whatever type is held

        def __set__(self, thing: Any, value: Any) -> None: ...

    def given(self, thing: Any) -> Any:
        """What stands for the setting in `get_config` and `repr`."""
        return getattr(thing, self.name)

    def put(self, thing: Any, value: Any) -> None:
        """Check the value, and have `thing` hold what the check returns."""
        held = vars(thing)
        who = getattr(thing, "who", type(thing).__name__)
        if self.fixed and self.name in held and thing.settled:
            raise ValueError(
                f"{who}: expected {self.name} to stay {checks.shown(held[self.name])}, for "
                f"which the layer was built, received {checks.shown(value)}. Make a new layer"
            )
        if value is None and self.none is not None:
            value = self.none(thing)
        before = held.get(self.name, NO_DEFAULT)
        held[self.name] = self.check(value, self.name, who)
        if before is not NO_DEFAULT and isinstance(thing, Configured):
            try:
                thing.expect_consistent()
            except BaseException:
                held[self.name] = before
                raise


class ReadSetting(Setting[T]):
    """A setting that is asked at every reading: a subclass defines `__get__`."""

    def __set__(self, thing: Any, value: Any) -> None:
        self.put(thing, value)


class HasSettings:
    """Every assignment to a `Setting` of the class is checked."""

    _declared: ClassVar[Mapping[str, Setting[Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A plain class attribute over a setting is the setting's default."""
        super().__init_subclass__(**kwargs)
        for name, value in list(vars(cls).items()):
            inherited = [vars(base)[name] for base in cls.__mro__[1:] if name in vars(base)]
            plain = not hasattr(type(value), "__get__")
            if plain and inherited and isinstance(setting := inherited[0], Setting):
                new = Setting(setting.check, fixed=setting.fixed, default=value, none=setting.none)
                new.__set_name__(cls, name)
                setattr(cls, name, new)
        found = {
            name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()
        }
        cls._declared = {name: one for name, one in found.items() if isinstance(one, Setting)}

    def __setattr__(self, name: str, value: Any) -> None:
        setting = self._declared.get(name)
        if setting is None:
            super().__setattr__(name, value)
        else:
            setting.put(self, value)


class Configured(HasSettings):
    """Base of everything with settings: layers, optimizers, losses, metrics and the rest.

    Attributes
    ----------
    ignored : dict of str to tuple
        Arguments of the Keras class that have no effect here, and the values they may have; those
        of the base classes are added.
    instead : dict of str to str
        Names that are wrong here, and what to write; those of the base classes are added.
    settled : bool
        Whether settings that are `fixed` can no longer change.
    """

    ignored: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    instead: ClassVar[Mapping[str, str]] = {}
    settled: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse a name that is likely meant for a setting; other new attributes are free."""
        if name not in vars(self) and name not in self._declared:
            kind: Any = type(self)
            new = not hasattr(kind, name) and not of_the_user(kind)
            if new and (advice := _advice(kind, name)):
                raise TypeError(f"{kind.__name__} has no attribute {name!r}. {advice}")
        super().__setattr__(name, value)

    def expect_consistent(self) -> None:
        """Raise ValueError if settings do not go together.

        A constructor calls it at its end, and every later change of a setting does.
        """

    def __repr__(self) -> str:
        return self._written()

    def _written(self, without: Iterable[str] = ()) -> str:
        settings = {k: v for k, v in _settings(self).items() if k not in without}
        written = ", ".join(f"{k}={checks.shown(v)}" for k, v in settings.items())
        return f"{type(self).__name__}({written})"

    def get_config(self) -> dict[str, Any]:
        """The settings by the names of the constructor's arguments, in a form for JSON.

        An argument of a subclass is among them if the class declares a `Setting` of its name.

        Raises TypeError for a value that JSON cannot hold.
        """
        who = getattr(self, "who", type(self).__name__)
        return {name: encoded(value, name, who) for name, value in _settings(self).items()}

    def as_setting(self) -> Any:
        """What stands for this object in the config of another."""
        return described(self)

    @classmethod
    def from_config(cls: type[C], config: Mapping[str, Any]) -> C:
        """An object with the settings in `config`, as `get_config` returns them.

        Raises TypeError unless it is such a dict, and for an unknown or a missing key.
        """
        who = cls.__name__
        kind: Any = cls
        if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
            raise TypeError(
                f"{who}: expected config to be a dict, as get_config returns it, received "
                f"{checks.shown(config)}"
            )
        known = arguments(cls)
        for key in config:
            if key not in known and key not in ignored(cls):
                advice = _advice(kind, key) or f"Known are {', '.join(known) or 'none'}"
                raise TypeError(
                    f"{who}: expected config to hold arguments of {who}, received "
                    f"{checks.shown(key)}. {advice}"
                )
        for name, parameter in known.items():
            if parameter.default is parameter.empty and name not in config:
                hint = f" Declare {name} as a Setting of {who}, or define get_config"
                raise TypeError(
                    f"{who}: expected config to hold {name!r}, received "
                    f"{', '.join(map(repr, config)) or 'an empty one'}."
                    + (hint if of_the_user(cls) else " Add it")
                )
        return cls(**config)

    def _refuse_unknown(self, given: Mapping[str, Any]) -> None:
        """Accept the arguments in `ignored` at their defaults, and raise for any other name.

        Raises ValueError for another value of one of these, TypeError for an unknown name.
        """
        kind: Any = type(self)
        for name in given:
            if name not in ignored(kind):
                advice = _advice(kind, name)
                raise TypeError(
                    f"{kind.__name__} got an unexpected keyword argument {checks.shown(name)}"
                    + (f". {advice}" if advice else "")
                )
        checks.expect_defaults(given, ignored(kind), kind.__name__)


def arguments(kind: type) -> dict[str, inspect.Parameter]:
    """The constructor's arguments by name, with those of the base classes that it hands on to."""
    return dict(_arguments(kind))


@functools.lru_cache(1000)
def _arguments(kind: Any) -> dict[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    for one in kind.__mro__[:-1]:
        if "__init__" not in vars(one):
            continue
        parameters = list(inspect.signature(vars(one)["__init__"]).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def ignored(kind: type) -> dict[str, tuple[Any, ...]]:
    """Keras's arguments that a class accepts at certain values only, with these values."""
    return _merged(kind, "ignored")


def _merged(kind: type, table: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in reversed(kind.__mro__):
        found.update(vars(one).get(table, {}))
    return found


def _is_setting(kind: type, name: str) -> bool:
    return isinstance(inspect.getattr_static(kind, name, None), Setting)


def has_settings(kind: type, beyond: type) -> bool:
    """Whether a class has settings besides those of its base class `beyond`."""
    return any(_is_setting(kind, name) for name in arguments(kind) if not hasattr(beyond, name))


def _settings(thing: Configured) -> dict[str, Any]:
    """The constructor's arguments that are settings, with their values."""
    kind = type(thing)
    names = [name for name in arguments(kind) if _is_setting(kind, name)]
    settings = {name: inspect.getattr_static(kind, name) for name in names if hasattr(thing, name)}
    return {name: setting.given(thing) for name, setting in settings.items()}


@functools.lru_cache(10_000)
def _advice(kind: Any, name: str) -> str:
    """What to write instead of `name`, or nothing if it resembles no setting."""
    instead = _merged(kind, "instead")
    if name in instead:
        return str(instead[name])
    declared = any(name in inspect.get_annotations(one) for one in kind.__mro__)  # model: Any
    if name.startswith("_") or name in arguments(kind) or declared:
        return ""
    hooks = [one for one in dir(kind) if one.startswith("on_") and callable(getattr(kind, one))]
    known = dict.fromkeys([*sorted(kind._declared), *arguments(kind), *ignored(kind), *hooks])
    close = nearest(name, known, CLOSE)
    return f"Did you mean {close[0]}?" if close else ""


# -- configs --------------------------------------------------------------------------------------


def encoded(value: Any, name: str, who: str) -> Any:
    """`value` as lists, dicts, numbers and strings, which JSON can hold."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Configured):
        return value.as_setting()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, (list, tuple)):
        return [encoded(one, name, who) for one in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: encoded(one, name, who) for key, one in value.items()}
    raise TypeError(
        f"{who}: expected {name} to be a setting that JSON can hold, received "
        f"{checks.shown(value)}. Define get_config and from_config"
    )


def described(thing: Configured) -> dict[str, Any]:
    """An object inside a config: Keras's form, without what only Keras needs."""
    kind: Any = type(thing)
    description = {"class_name": kind.__name__, "config": thing.get_config()}
    if of_the_user(kind):
        description["registered_name"] = custom_objects.get_registered_name(kind)
    return description


def restored(description: Mapping[str, Any], known: Iterable[type[C]], name: str, who: str) -> C:
    """The object that `{"class_name": ..., "config": ...}` describes.

    It is of one of the `known` classes, or of one of the user's that `custom_objects.py` knows and
    that derives from the same base. A name is never looked up anywhere else, so that a file cannot
    have other code run.

    Raises TypeError or ValueError for anything else.
    """
    classes = {cls.__name__: cls for cls in known}
    keys = {"class_name", "config"}
    unknown = [key for key in description if key not in keys and key not in BESIDE]
    if unknown or keys - description.keys():
        raise ValueError(
            f"{who}: expected {name} to have the keys class_name and config, received "
            f"{checks.shown(dict(description))}"
        )
    kind = description["class_name"]
    if not isinstance(kind, str):
        raise TypeError(
            f"{who}: expected class_name of {name} to be a text, received {checks.shown(kind)}"
        )
    own = own_class(description)
    if own is None and kind in classes:
        return classes[kind].from_config(description["config"])
    base = common_base(classes.values())
    if own is None:
        raise ValueError(
            f"{who}: expected class_name of {name} to be one of {', '.join(sorted(classes))}, "
            f"received {checks.shown(kind)}. Give a class of your own as custom_objects="
            f"{{{checks.shown(kind)}: ...}}, or write @register_keras_serializable() above it"
        )
    if not (isinstance(own, type) and issubclass(own, base)):
        raise TypeError(
            f"{who}: expected {name} to be of a class derived from {base.__name__}, received "
            f"{checks.shown(own)}, which custom_objects have as {checks.shown(kind)}"
        )
    made: Any = own
    return made.from_config(description["config"])


def own_class(description: Mapping[str, Any]) -> Any:
    """The user's class or function that a description names, by either name; None if none."""
    names = (description.get("registered_name"), description["class_name"])
    found = (custom_objects.get_registered_object(one) for one in names if isinstance(one, str))
    return next((one for one in found if one is not None), None)


def common_base(classes: Iterable[type]) -> Any:
    """The nearest public class that all of them derive from."""
    first, *others = classes
    return next(
        kind
        for kind in first.__mro__
        if not kind.__name__.startswith("_") and all(issubclass(one, kind) for one in others)
    )

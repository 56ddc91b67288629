"""What an optimizer's `learning_rate` may be: a number, a schedule, or a function."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.optimizers.schedules import KNOWN, LearningRateSchedule
from minicnn.settings import ReadSetting, restored


def _checked(value: Any, name: str, who: str) -> Any:
    """What `learning_rate` may be: a number, a schedule or its description, or a function."""
    if isinstance(value, dict):
        return restored(value, KNOWN.values(), name, who)
    if isinstance(value, type) and issubclass(value, LearningRateSchedule):
        raise TypeError(
            f"{who}: expected {name} to be a number or a schedule, received the class "
            f"{value.__name__}. Make an object of it: {value.__name__}(...)"
        )
    if isinstance(value, LearningRateSchedule) or _takes_nothing(value):
        return value
    return checks.real(value, name, who, low=0)


def _takes_nothing(value: Any) -> bool:
    """Whether it is a function that can be called without arguments."""
    if not callable(value) or isinstance(value, type):
        return False
    try:
        inspect.signature(value).bind()
    except TypeError:
        return False
    except ValueError:  # of a builtin that does not say
        return True
    return True


class LearningRate(float):
    """The rate of an optimizer, as a number that Keras's scripts can also set.

    Examples
    --------
    >>> from minicnn.optimizers import SGD
    >>> sgd = SGD(0.5)
    >>> sgd.learning_rate.assign(0.25)
    >>> sgd.learning_rate, sgd.learning_rate / 2, sgd.learning_rate.numpy().dtype
    (0.25, 0.125, dtype('float32'))
    """

    optimizer: Any

    def assign(self, value: Any) -> None:
        """Set the optimizer's learning rate. Raises as an assignment to `learning_rate`."""
        self.optimizer.learning_rate = value

    def numpy(self) -> np.float32:
        """The number in Keras's float type."""
        return np.float32(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return float, (float(self),)  # a copy is a number, without the optimizer


class Rate(ReadSetting[Any]):
    """The setting `learning_rate`: reading it gives the number now, whatever it comes from."""

    def __init__(self) -> None:
        super().__init__(_checked)

    def given(self, thing: Any) -> Any:
        return vars(thing)[self.name]

    def __get__(self, thing: Any, owner: type) -> Any:
        if thing is None or self.name not in vars(thing):
            return super().__get__(thing, owner)
        held = vars(thing)
        if held.get("_rate") is not None:  # of the step that is being taken
            return held["_rate"]
        rate = LearningRate(self._now(thing))
        rate.optimizer = thing
        return rate

    def _now(self, thing: Any) -> float:
        held = vars(thing)
        given = held[self.name]
        if isinstance(given, float):
            return given
        if isinstance(given, LearningRateSchedule):
            # as in Keras, gradients count here, not steps, where several make one step
            every = held.get("gradient_accumulation_steps") or 1
            given_step = held["iterations"] * every + held["waiting"]
            value, what = given(given_step), f"{type(given).__name__}({given_step})"
        else:
            value, what = given(), "the function given as learning_rate"
        value = value.item() if hasattr(value, "item") else value
        return checks.real(value, f"the value of {what}", type(thing).__name__, low=0)

    def put(self, thing: Any, value: Any) -> None:
        before = vars(thing).get(self.name)
        if isinstance(before, LearningRateSchedule) and not callable(value):
            raise TypeError(
                f"{type(thing).__name__}: expected {self.name} to stay with its schedule "
                f"{checks.shown(before)}, received {checks.shown(value)}. Give another schedule, "
                "or make the optimizer with a number, which may be set at any time"
            )
        super().put(thing, value)

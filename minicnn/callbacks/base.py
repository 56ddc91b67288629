"""The hooks that `fit`, `evaluate` and `predict` call as they go along."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from minicnn import checks
from minicnn.copies import Copied, own_copy
from minicnn.engine import ranks
from minicnn.settings import Configured
from minicnn.subclasses import refuse_vain_methods

if TYPE_CHECKING:
    from minicnn.training.run import Run

Logs = dict[str, Any]
C = TypeVar("C", bound="Callback")

# hooks that other libraries call, and what stands for them here
ELSEWHERE = {
    "on_fit_begin": ("on_train_begin",),
    "on_fit_start": ("on_train_begin",),
    "on_train_start": ("on_train_begin",),
    "on_fit_end": ("on_train_end",),
    "on_epoch_start": ("on_epoch_begin",),
    "on_train_epoch_begin": ("on_epoch_begin",),
    "on_train_epoch_start": ("on_epoch_begin",),
    "on_train_epoch_end": ("on_epoch_end",),
    "on_batch_start": ("on_train_batch_begin",),
    "on_step_begin": ("on_train_batch_begin",),
    "on_train_batch_start": ("on_train_batch_begin",),
    "on_step_end": ("on_train_batch_end",),
    "on_iteration_begin": ("on_train_batch_begin",),
    "on_iteration_end": ("on_train_batch_end",),
    "on_train_finish": ("on_train_end",),
    "on_epoch_finish": ("on_epoch_end",),
    "on_batch_finish": ("on_train_batch_end",),
    "on_test_start": ("on_test_begin",),
    "on_evaluate_begin": ("on_test_begin",),
    "on_val_begin": ("on_test_begin",),
    "on_validation_begin": ("on_test_begin",),
    "on_validation_start": ("on_test_begin",),
    "on_validation_epoch_start": ("on_test_begin",),
    "on_evaluate": ("on_test_end",),
    "on_evaluate_end": ("on_test_end",),
    "on_val_end": ("on_test_end",),
    "on_validation_end": ("on_test_end",),
    "on_validation_epoch_end": ("on_test_end",),
    "on_test_batch_start": ("on_test_batch_begin",),
    "on_validation_batch_start": ("on_test_batch_begin",),
    "on_validation_batch_end": ("on_test_batch_end",),
    "on_predict_start": ("on_predict_begin",),
    "on_predict_batch_start": ("on_predict_batch_begin",),
}


class Callback(Copied, Configured):
    """Base class: define the methods you need; the others do nothing.

    `logs` holds the figures so far: loss and metrics, and at the end of an epoch those of the
    validation, with `val_` before their names. Set `self.model.stop_training = True` to end `fit`:
    in a hook of a batch after this batch, else after the epoch. A step whose loss or gradient is
    not finite is not applied, but its loss is shown to `on_train_batch_end`; `fit` then ends with
    FloatingPointError, unless a callback has set `stop_training`.

    Attributes
    ----------
    model : Sequential
        The model at work.
    params : dict
        `verbose`, `epochs`, `steps`.
    writes : bool
        True for a class that writes files: in a run of several processes
        (`minicnn.distributed`) its hooks are called on rank 0 alone.
    """

    writes = False
    model: Any
    params: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        hooks = [name for name in vars(Callback) if name.startswith("on_")]
        without_on = {name.removeprefix("on_"): (name,) for name in hooks}
        refuse_vain_methods(cls, Callback, hooks, {**ELSEWHERE, **without_on})

    def __copy__(self: C) -> C:
        """A callback of the same model with figures, lists and arrays that are its alone."""
        return own_copy(self, shared=[getattr(self, "model", None)])

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def get_state(self) -> dict[str, Any]:
        """What has to be kept so that a `fit` that was cut off goes on; see BackupAndRestore.

        Without a method of your own: every attribute that is made of numbers, strings, arrays,
        lists, tuples, dicts, sets and deques, but the settings, which the program gives anew. Other
        attributes, such as open files, are left out.
        """
        left_out = {"model", "params", *self._declared}
        return {
            name: copy.deepcopy(value)
            for name, value in vars(self).items()
            if name not in left_out and _storable(value)
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned, after `on_train_begin`. Methods stay."""
        kind = type(self)
        vars(self).update({k: v for k, v in state.items() if not callable(getattr(kind, k, None))})

    def on_train_begin(self, logs: Logs | None = None) -> None: ...
    def on_train_end(self, logs: Logs | None = None) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None: ...
    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_begin(batch, logs)  # the older name, as in Keras

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None: ...
    def on_test_end(self, logs: Logs | None = None) -> None: ...
    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_begin(self, logs: Logs | None = None) -> None: ...
    def on_predict_end(self, logs: Logs | None = None) -> None: ...
    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None: ...
    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None: ...


class RunCallback(Callback):
    """A callback that saves the progress of `fit`, or restores it."""

    def resume(self, run: Run) -> None:
        """Called after every `on_train_begin`: may restore the progress from a file."""

    def checkpoint(self, run: Run) -> None:
        """Called after all hooks of a batch or of an epoch, when `fit` could go on from here."""


def _storable(value: Any) -> bool:
    if type(value) in (list, tuple, set, frozenset, deque):
        return all(map(_storable, value))
    if type(value) is dict:
        return all(_storable(key) and _storable(one) for key, one in value.items())
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind in "biuf"
    return value is None or isinstance(value, (bool, int, float, str))


def _nothing(*args: Any) -> None:
    pass


class CallbackList:
    """Hands every call (`on_epoch_end(...)`, `set_model(...)`) on to each callback in turn."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = list(callbacks)

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if not hook.startswith(("on_", "set_")):
            raise AttributeError(hook)
        if not self.callbacks:
            return _nothing

        def call_each(*args: Any) -> None:
            group = ranks.group()
            for callback in self.callbacks:
                if group.size == 1 or not callback.writes:
                    getattr(callback, hook)(*args)
                elif group.rank == 0:
                    with ranks.alone():  # what it predicts, other ranks do not wait for
                        getattr(callback, hook)(*args)

        return call_each


def checked(callbacks: Any, who: str) -> list[Callback]:
    """The `callbacks` argument as a list; TypeError unless it is Callback objects."""
    if callbacks is None:
        return []
    given = [callbacks] if isinstance(callbacks, Callback) else callbacks
    if not isinstance(given, (list, tuple)) or not all(isinstance(c, Callback) for c in given):
        raise TypeError(
            f"{who}: expected callbacks to be a list of minicnn.callbacks.Callback objects, "
            f"received {checks.shown(callbacks)}"
        )
    return list(given)

"""What `fit`, `evaluate` and `predict` call as they go along."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from minicnn import checks
from minicnn.copies import Copied, own_copy
from minicnn.settings import Configured
from minicnn.subclasses import refuse_vain_methods

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
    """

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


class History(Callback):
    """What `fit` returns.

    Attributes
    ----------
    history : dict of str to list of float
        One figure an epoch: loss and metrics, and the same with `val_` before; keys sorted.
    epoch : list of int
        The numbers of those epochs, from 0.
    model : Sequential or None
        The model that was trained, as long as it lives: a History does not keep it alive.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self._model: weakref.ref[Any] | None = None

    @property
    def model(self) -> Any:
        return None if self._model is None else self._model()

    def set_model(self, model: Any) -> None:
        self._model = weakref.ref(model)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_model": None}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for key, value in sorted((logs or {}).items(), key=lambda item: str(item[0])):
            self.history.setdefault(key, []).append(value)


class CallbackList:
    """Hands every call (`on_epoch_end(...)`, `set_model(...)`) on to each callback in turn."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = list(callbacks)

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if not hook.startswith(("on_", "set_")):
            raise AttributeError(hook)

        def call_each(*args: Any) -> None:
            for callback in self.callbacks:
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

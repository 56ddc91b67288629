"""PyDataset: batches of the user's own that have numbers."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

from minicnn import checks
from minicnn.subclasses import refuse_vain_methods

HOOKS = ("on_epoch_begin", "on_epoch_end")
ELSEWHERE = {
    "on_epoch_start": ("on_epoch_begin",),
    "on_train_epoch_end": ("on_epoch_end",),
    "on_epoch_finish": ("on_epoch_end",),
}

_DEFAULTS = {"workers": 1, "use_multiprocessing": False, "max_queue_size": 10}


class PyDataset:
    """Base class of a data set that gives its batches by number, to `fit`, `evaluate` or `predict`.

    A subclass defines `__getitem__(index)`, which returns batch number `index` as (x,), (x, y) or
    (x, y, sample_weight), and `__len__`, the number of batches; or, where there is no end, the
    property `num_batches`, which is None then. It may define `on_epoch_begin` and `on_epoch_end`.

    While a batch is used, threads make those that come; each is used once an epoch. What is
    returned is copied, so an array may be used again, with one worker.

    In a run of several processes (`minicnn.distributed`) each makes some of the batches and hands
    out the samples. Where a batch depends on those before it, as with a generator of random numbers
    that goes on from one to the next, set the class's `independent = False`: then each process
    makes all of them.

    Parameters
    ----------
    workers : int
        Threads that call `__getitem__`; with more than one it is called from several at the same
        time. With 0 nothing is made ahead.
    use_multiprocessing : bool
        Accepted as in Keras, but the workers are threads: NumPy and file access release the
        interpreter's lock.
    max_queue_size : int
        Batches that several workers may have made ahead.

    Raises TypeError or ValueError for other values.

    Examples
    --------
    >>> import numpy as np
    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...
    ...     def __getitem__(self, index):
    ...         x = np.full((2, 1), index, "float32")
    ...         return x, x**2
    >>> [float(y[0, 0]) for x, y in Squares()]
    [0.0, 1.0, 4.0]
    """

    workers: int
    use_multiprocessing: bool
    max_queue_size: int

    independent = True

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, PyDataset, HOOKS, ELSEWHERE)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CHECKS:
            value = _CHECKS[name](value, name, type(self).__name__)
        super().__setattr__(name, value)

    def __getitem__(self, index: int) -> Any:
        """Batch number `index`, from 0."""
        raise NotImplementedError(f"{type(self).__name__} has to define __getitem__(index)")

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None where there is no end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(
            f"{type(self).__name__} has to define __len__, the number of batches, or the property "
            "num_batches, which is None where there is no end"
        )

    def on_epoch_begin(self) -> None:
        """Called before the batches of an epoch are made."""

    def on_epoch_end(self) -> None:
        """Called after the last batch of an epoch was used."""

    def __iter__(self) -> Iterator[Any]:
        count = self.num_batches
        for index in itertools.count() if count is None else range(count):
            yield self[index]

    def expect_ready(self) -> None:
        """Warn where a subclass's `__init__` has not called this one; the defaults then hold."""
        missing = [name for name in _DEFAULTS if name not in vars(self)]
        for name in missing:
            setattr(self, name, _DEFAULTS[name])
        if missing:
            warnings.warn(
                f"Your `PyDataset` class should call `super().__init__(**kwargs)` in its "
                f"constructor: {type(self).__name__} has no {', '.join(missing)}",
                UserWarning,
                stacklevel=2,
            )


_CHECKS: dict[str, Any] = {
    "workers": partial(checks.integer, minimum=0, maximum=1000),
    "use_multiprocessing": checks.boolean,
    "max_queue_size": partial(checks.integer, minimum=1),
}

"""Where `fit` is: what has to be kept so that it can go on in another process.

Weights, optimizer and generators are in the model's own file. The rest is

    epoch, step   of the next batch, from 0; the step within the epoch
    place         of the epoch's first batch in the pass over the data: 0 unless `steps_per_epoch`
                  lets a pass take more than one epoch
    order         state of the model's generator before it drew the pass's order of samples
    sums, count   of the epoch's running means
    rate          the optimizer's, in all its digits, where no schedule gives it
    optimizer     its settings as the program gave them
    logs          the figures of the last epoch
    stopped       whether a callback has ended the training
    callbacks     their states, the History's among them
    data          what the place in the epoch means: samples or batches, batch size, shuffle

so that a run that goes on draws the same order again, skips the batches that are done, and has the
figures of all epochs at its end.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from minicnn import checks
from minicnn.protocols import Model
from minicnn.saving.errors import SavedFileError

if TYPE_CHECKING:
    from minicnn.callbacks import Callback
    from minicnn.training.figures import Means

ADDRESS = re.compile(" at 0x[0-9a-f]+")  # of a function; another in each process


class Run:
    """One call of `fit`, at the place that it has come to.

    Parameters
    ----------
    model : Model
    callbacks : list of Callback
        The user's, then the History.
    epoch : int
        The first one.
    data : dict
        Samples, batch size and shuffle, which a backup has to agree with.
    rewinds : bool
        Whether the data can be given again; an iterator's cannot.

    Attributes
    ----------
    missed : int
        Epochs that were done before this process.
    """

    def __init__(
        self,
        model: Model,
        callbacks: Sequence[Callback],
        epoch: int,
        data: dict[str, Any],
        *,
        rewinds: bool = True,
    ) -> None:
        self.model, self.callbacks, self.data = model, list(callbacks), data
        self.rewinds = rewinds
        self.epoch, self.step, self.place = epoch, 0, 0
        self.missed = 0
        self.order: dict[str, Any] | None = None
        self.means: Means | None = None
        self.stopped = False  # before it was cut off
        self.logs: dict[str, Any] = {}
        self.optimizer = ADDRESS.sub("", checks.shown(model.optimizer))
        self._sums: tuple[list[float], int] | None = None  # of the means, from a file

    @property
    def inside_an_epoch(self) -> bool:
        """Whether the epoch that comes is one that another process has begun."""
        return self._sums is not None

    def order_of(self, samples: int, *, shuffle: bool) -> Any:
        """The order of the pass's samples or batches; None for the order that they have."""
        bits: Any = self.model.rng.bit_generator
        if self.order is None:
            self.order = bits.state
            return self.model.rng.permutation(samples) if shuffle else None
        now, bits.state = bits.state, self.order
        order = self.model.rng.permutation(samples) if shuffle else None
        bits.state = now
        return order

    def begin_means(self, means: Means) -> Means:
        """The epoch's means, with what a part of it that is done has put into them."""
        if self._sums is not None:
            means.sums[...], means.count = self._sums
        self.means, self._sums = means, None
        return means

    def end_epoch(self, logs: dict[str, Any], *, pass_over: bool) -> None:
        self.epoch, self.place, self.step = self.epoch + 1, self.place + self.step, 0
        self.logs, self.means = logs, None
        if pass_over:
            self.place, self.order = 0, None

    # -- files ------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model and this place to a `.keras` file.

        Raises OSError if it cannot be written, TypeError for a state that cannot be kept.
        """
        from minicnn.saving import files

        model: Any = self.model
        files.save_backup(model, Path(path), self.get_state())

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Take the model and the place from a file that `save` wrote.

        Raises SavedFileError for a damaged file, ValueError for one of another model, other data
        or other callbacks; nothing is changed then.
        """
        from minicnn.saving import files

        model: Any = self.model
        same = partial(self._expect_the_same_run, path=os.fspath(path))
        state = files.restore_backup(model, Path(path), same)
        self.set_state(state)
        if state["optimizer"] != self.optimizer:
            warnings.warn(
                f"fit: the run that {path} was saved by began with {state['optimizer']}, and this "
                f"one with {self.optimizer}. The learning rate goes on from the backup, "
                f"{model.optimizer.learning_rate:g}; other settings are those of now. Remove the "
                "backup to start from the beginning",
                UserWarning,
                stacklevel=6,
            )

    def get_state(self) -> dict[str, Any]:
        rate = vars(self.model.optimizer)["learning_rate"]  # or what it comes from
        return {
            "epoch": self.epoch,
            "step": self.step,
            "place": self.place,
            "order": self.order,
            "rate": rate if isinstance(rate, float) else None,
            "sums": None if self.means is None else self.means.sums.tolist(),
            "count": 0 if self.means is None else self.means.count,
            "optimizer": self.optimizer,
            "logs": self.logs,
            "stopped": self.model.stop_training,
            "data": self.data,
            "callbacks": [[type(one).__name__, one.get_state()] for one in self.callbacks],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.missed = max(0, state["epoch"] - self.epoch)
        self.epoch, self.step, self.order = state["epoch"], state["step"], state["order"]
        self.logs = state["logs"]
        self.place = state["place"]
        if state["rate"] is not None:
            self.model.optimizer.learning_rate = state["rate"]
        self.stopped = self.model.stop_training = state["stopped"]
        self._sums = None if state["sums"] is None else (state["sums"], state["count"])
        for one, (_, its) in zip(self.callbacks, state["callbacks"]):
            one.set_state(its)

    def _expect_the_same_run(self, state: Any, path: str) -> None:
        """Raise SavedFileError for what is no state, ValueError for that of another run."""
        if not _is_state(state) or not self._is_order(state["order"]):
            raise SavedFileError(f"{path}: its state of the training is damaged")
        if not self.rewinds:
            raise ValueError(
                f"fit: expected data that can be given again, to go on from {path}, received an "
                f"iterator, which cannot be rewound to batch {state['step']} of epoch "
                f"{state['epoch'] + 1}. Give a minicnn.utils.PyDataset or arrays, or remove the "
                "backup to start from the beginning. The file is a model, which "
                "minicnn.models.load_model loads"
            )
        wrong = [key for key, value in self.data.items() if state["data"].get(key) != value]
        if wrong:
            saved, given = (
                ", ".join(f"{key}={one.get(key)}" for key in wrong)
                for one in (state["data"], self.data)
            )
            raise ValueError(
                f"fit: expected the run that {path} was saved by, with {saved}, received {given}. "
                "Give the same data, or remove the backup to start from the beginning"
            )
        names = [type(one).__name__ for one in self.callbacks]
        before = [name for name, _ in state["callbacks"]]
        if before != names:
            raise ValueError(
                f"fit: expected the callbacks of the run that {path} was saved by, "
                f"{', '.join(before[:-1])}, received {', '.join(names[:-1])}. Give the same ones, "
                "or remove the backup to start from the beginning"
            )

    def _is_order(self, order: Any) -> bool:
        """Whether the model's generator can take it for its state."""
        if order is None:
            return True
        try:
            trial: Any = type(self.model.rng.bit_generator)(0)
            trial.state = order
        except (TypeError, ValueError, KeyError, OverflowError, IndexError):
            return False
        return True


def _is_state(state: Any) -> bool:
    """Whether it is of the form that `get_state` returns."""
    kinds: dict[str, tuple[type, ...]] = {
        "epoch": (int,),
        "step": (int,),
        "place": (int,),
        "order": (dict, NoneType),
        "rate": (float, int, NoneType),
        "sums": (list, NoneType),
        "count": (int,),
        "optimizer": (str,),
        "logs": (dict,),
        "stopped": (bool,),
        "data": (dict,),
        "callbacks": (list,),
    }
    if not isinstance(state, dict) or state.keys() != kinds.keys():
        return False
    numbers = [state["epoch"], state["step"], state["place"], state["count"], state["rate"] or 0]
    return (
        all(isinstance(state[key], kind) for key, kind in kinds.items())
        and all(0 <= number < 2**62 for number in numbers)
        and all(isinstance(one, (int, float)) for one in state["sums"] or ())
        and all(
            isinstance(one, list) and len(one) == 2 and isinstance(one[1], dict)
            for one in state["callbacks"]
        )
    )

"""Models on disk while they train: the best of a run, and what a killed run goes on from."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn import checks, console
from minicnn.callbacks.base import Logs, RunCallback
from minicnn.callbacks.monitor import MonitorCallback, optional_number
from minicnn.engine import ranks
from minicnn.settings import Setting

if TYPE_CHECKING:
    from minicnn.training.run import Run


def _frequency(value: Any, name: str, who: str) -> Any:
    """ "epoch", or a number of batches."""
    if isinstance(value, str):
        if value == "epoch":
            return value
        raise ValueError(
            f"{who}: expected {name} to be 'epoch' or a number of batches, received "
            f"{checks.shown(value)}"
        )
    return checks.integer(value, name, who, minimum=1)


class ModelCheckpoint(MonitorCallback):
    """Saves the model after every epoch, or every so many batches.

    Parameters
    ----------
    filepath : str or path
        Ends in ".keras", or with `save_weights_only` in ".weights.h5". `{epoch:02d}` becomes the
        number of the epoch, from 1, `{batch}` that of the batch, `{val_loss:.2f}` and the like the
        epoch's figures. Folders are made.
    monitor, mode
        The figure that `save_best_only` compares; see MonitorCallback.
    verbose : 0 or 1
        Whether to print a line at every save.
    save_best_only : bool
        Keep the file of the best epoch so far.
    save_weights_only : bool
        `model.save_weights` instead of `model.save`.
    save_freq : "epoch" or int
        An int counts batches, through the epochs.
    initial_value_threshold : float, optional
        Save nothing that is not better than this.

    Raises TypeError or ValueError for other arguments, KeyError for a name in `filepath` that the
    logs lack, OSError where the file cannot be written: `fit` then ends after a whole step.
    """

    writes = True
    filepath = Setting(checks.path)
    verbose = Setting(partial(checks.integer, minimum=0, maximum=1))
    save_best_only = Setting(checks.boolean)
    save_weights_only = Setting(checks.boolean)
    save_freq = Setting(_frequency)
    initial_value_threshold = Setting(optional_number)

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.filepath = filepath
        self.initial_value_threshold = initial_value_threshold
        self.expect_consistent()
        self.best = self.initial_value_threshold
        self.epoch = 0
        self.batches = 0  # since the last save

    def expect_consistent(self) -> None:
        end = ".weights.h5" if self.save_weights_only else ".keras"
        if not self.filepath.endswith(end):
            also = "with save_weights_only=True " if self.save_weights_only else ""
            raise ValueError(
                f"ModelCheckpoint: {also}expected filepath to end in {end!r}, received "
                f"{checks.shown(self.filepath)}"
            )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        super().on_train_batch_end(batch, logs)
        if self.save_freq == "epoch":
            return
        self.batches += 1
        if self.batches >= self.save_freq:
            self.batches = 0
            self._save({**(logs or {}), "batch": batch + 1})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(logs or {})

    def _save(self, logs: Logs) -> None:
        number = self.epoch + 1
        try:
            file = self.filepath.format_map({**logs, "epoch": number})
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise KeyError(
                f"ModelCheckpoint: expected the names in filepath {self.filepath!r} to be among "
                f"epoch, {', '.join(sorted(logs))}: {error}"
            ) from None
        if self.save_best_only and not self._is_best(logs, number):
            return
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(file)
        else:
            self.model.save(file)
        if self.verbose:
            console.say(f"Epoch {number}: saved {file}")

    def _is_best(self, logs: Logs, number: int) -> bool:
        value = self.watched(logs)
        if value is None:  # as in Keras: rather one file too many than none
            return True
        best = self.best
        improved = self.better(value, best)
        if improved:
            self.best = value
        if self.verbose:
            said = "improved" if improved else "did not improve"
            since = "" if best is None else f" from {best:.5f}"
            now = f" to {value:.5f}" if improved else f": {value:.5f}"
            console.say(f"Epoch {number}: {self.monitor} {said}{since}{now}")
        return improved


class BackupAndRestore(RunCallback):
    """Lets a `fit` that was killed go on where it was: run the same program again.

    Everything is kept that has a part in what comes: weights, optimizer, the generators of data
    order, dropout and augmentation, the place in the epoch, the figures so far, and the states of
    the other callbacks (`Callback.get_state`). So the run ends with the weights and the history
    that it would have had, to the last bit, where the data are the same: arrays, a PyDataset that
    gives the same batch for the same number, a loader that gives the same batches in every epoch.

    A loader that shuffles by itself, and an ImageDataGenerator, draw their orders outside of `fit`,
    so the backup does not have them: in a new process they begin with the order of their first
    epoch. The batches that an unfinished epoch has used are asked for and passed over; the run goes
    on with the right number of steps, but some samples of that epoch may come twice and others not
    at all. Where every bit counts, let `fit` shuffle: arrays, or the batches of a PyDataset. An
    iterator cannot be rewound, so a run from one does not go on.

    A departure from Keras, whose resumed history holds the remaining epochs only. The learning
    rate goes on from the backup, as in Keras, whatever the program gives; the optimizer's other
    settings are those that the program gives now. A warning says where the two differ.

    Parameters
    ----------
    backup_dir : str or path
        A folder of this run; it is made. `latest.keras` in it is a model that `load_model` reads.
    save_freq : "epoch" or int
        When to save, besides once before the first epoch; an int counts batches.
    double_checkpoint : bool
        Keep the save before the last one too, as `previous.keras`, for disks that lose data.
    delete_checkpoint : bool
        Remove the backup when `fit` has come to its end.

    Raises ValueError where the backup is of another model or another run, or the data come from an
    iterator, OSError where it cannot be written or read. A learning rate that is a function stays
    the program's: what it keeps in variables of its program is not in the backup.
    """

    writes = True
    backup_dir = Setting(checks.path)
    save_freq = Setting(_frequency)
    double_checkpoint = Setting(checks.boolean)
    delete_checkpoint = Setting(checks.boolean)

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        self.backup_dir = backup_dir
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self.batches = 0  # since the last save

    @property
    def _latest(self) -> Path:
        return Path(self.backup_dir) / "latest.keras"

    @property
    def _previous(self) -> Path:
        return Path(self.backup_dir) / "previous.keras"

    def resume(self, run: Run) -> None:
        from minicnn.saving.errors import SavedFileError

        found = [file for file in (self._latest, self._previous) if file.exists()]
        found = ranks.group().from_first(found)
        if not found:
            self._write(run)  # what other callbacks do before the next backup can then be undone
            return
        try:
            run.restore(found[0])
        except SavedFileError:
            if len(found) == 1:
                raise
            run.restore(found[1])
        ranks.group().objects(None)  # rank 0 may remove the file once all have read it

    def checkpoint(self, run: Run) -> None:
        if run.step and self.save_freq == "epoch":
            return
        self.batches += bool(run.step)
        if self.save_freq != "epoch":
            if self.batches < self.save_freq:
                return
            self.batches = 0
        self._write(run)

    def _write(self, run: Run) -> None:
        if ranks.group().rank:
            return
        Path(self.backup_dir).mkdir(parents=True, exist_ok=True)
        if self.double_checkpoint:
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._latest, self._previous)
        run.save(self._latest)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if not self.delete_checkpoint:
            return
        for file in (self._latest, self._previous):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something of the user's is in it
            Path(self.backup_dir).rmdir()

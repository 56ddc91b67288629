"""TensorBoard: the figures of training as curves in a browser."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from typing import Any

from minicnn import checks
from minicnn.callbacks.base import Callback, Logs
from minicnn.settings import Setting


def _frequency(value: Any, name: str, who: str) -> int | str:
    if isinstance(value, str):
        return checks.one_of(value, ("batch", "epoch"), name, who)
    return checks.size(value, name, who)


class TensorBoard(Callback):
    """Writes the figures for TensorBoard, into `log_dir`/train and `log_dir`/validation.

    Look at them with `tensorboard --logdir logs`. Needs the package tensorboard: pip install
    'minicnn[tensorboard]'. Scalars are written under Keras's names:

        epoch_loss, epoch_accuracy ...     of each epoch, in both folders
        epoch_learning_rate                in train
        batch_loss, batch_accuracy ...     so far in the epoch, in train, by `update_freq`
        evaluation_loss_vs_iterations ...  of each evaluation, in validation

    Parameters
    ----------
    log_dir : str or path
        Each run should have its own: runs that share one are drawn as one curve.
    write_graph : bool
        Accepted, and does nothing: there is no graph.
    write_steps_per_second : bool
        Also write how many batches a second an epoch or a batch has done.
    update_freq : "epoch", "batch" or int
        Write the figures of batches as well: of all, or of every so many.

    Histograms, images of weights, profiles and embeddings are not written: other values than the
    defaults of their arguments are refused.

    Raises
    ------
    ImportError
        Without the package tensorboard.
    OSError
        If the folders cannot be written.
    """

    writes = True
    log_dir = Setting(checks.path)
    write_graph = Setting(checks.boolean)
    write_steps_per_second = Setting(checks.boolean)
    update_freq = Setting(_frequency)

    ignored = {
        "histogram_freq": (0,),
        "write_images": (False,),
        "profile_batch": (0,),
        "embeddings_freq": (0,),
        "embeddings_metadata": (None,),
    }

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        *,
        write_graph: bool = True,
        write_steps_per_second: bool = False,
        update_freq: int | str = "epoch",
        **keras: Any,
    ) -> None:
        self._refuse_unknown(keras)
        self.log_dir = log_dir
        self.write_graph = write_graph
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = update_freq
        self.batches = 0  # of all epochs
        self._writers: dict[str, Any] = {}
        self._fitting = False
        self._epoch_began = self._batch_began = 0.0
        self._batches_before = 0
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError(
                "TensorBoard: expected the package tensorboard to be installed, which writes its "
                "files. Install it: pip install 'minicnn[tensorboard]'"
            )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._close()  # what a fit that failed has left
        self.batches, self._fitting = 0, True
        self._writer("train")  # a folder that cannot be written ends fit before it trains

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch_began, self._batches_before = time.perf_counter(), self.batches

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._batch_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.batches += 1
        every = 1 if self.update_freq == "batch" else self.update_freq
        if isinstance(every, str) or self.batches % every:
            return
        figures = dict(logs or {})
        if self.write_steps_per_second:
            figures["steps_per_second"] = _rate(1, self._batch_began)
        self._write("train", "batch_{}", figures, self.batches)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        figures = dict(logs or {})
        of_validation = {
            name.removeprefix("val_"): figures.pop(name)
            for name in list(figures)
            if name.startswith("val_")
        }
        if "learning_rate" not in figures:
            figures["learning_rate"] = float(self.model.optimizer.learning_rate)
        if self.write_steps_per_second:
            done = self.batches - self._batches_before
            figures["steps_per_second"] = _rate(done, self._epoch_began)
        self._write("train", "epoch_{}", figures, epoch)
        self._write("validation", "epoch_{}", of_validation, epoch)
        self._flush()  # so that the curves grow while it trains

    def on_test_end(self, logs: Logs | None = None) -> None:
        iterations = self.model.optimizer.iterations
        self._write("validation", "evaluation_{}_vs_iterations", logs or {}, iterations)
        self._flush()
        if not self._fitting:
            self._close()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._fitting = False
        self._close()

    def _write(self, part: str, form: str, figures: Logs, step: int) -> None:
        for name, value in figures.items():
            if getattr(value, "ndim", 0) == 0:  # a metric may give several numbers
                self._writer(part).add_scalar(form.format(name), float(value), step)

    def _writer(self, part: str) -> Any:
        if part not in self._writers:
            from tensorboard.summary import Writer

            folder = Path(self.log_dir) / part
            folder.mkdir(parents=True, exist_ok=True)
            self._writers[part] = Writer(str(folder))
        return self._writers[part]

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _rate(batches: int, began: float) -> float:
    return batches / max(time.perf_counter() - began, 1e-9)

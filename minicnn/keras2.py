"""The methods of a model that Keras 2 had beside fit, evaluate and predict, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks

if TYPE_CHECKING:
    from minicnn.callbacks import History

Array = NDArray[Any]

WORKERS = "Give it to PyDataset: super().__init__(workers=..., max_queue_size=...)"
# what fit, evaluate and predict took in Keras 2 for sequences of batches
MOVED = dict.fromkeys(("workers", "use_multiprocessing", "max_queue_size"), WORKERS)
# the same of fit, with Keras 1's words
RENAMED = {
    **MOVED,
    "nb_epoch": "Write epochs",
    "nb_val_samples": "Write validation_steps, which counts batches",
    "nb_worker": WORKERS,
    "samples_per_epoch": "Write steps_per_epoch, which counts batches",
    "show_accuracy": 'Write metrics=["accuracy"] in compile',
}


class Keras2Methods:
    """What `Sequential` inherits. `fit`, `evaluate` and `predict` say what each argument is."""

    fit: Any
    evaluate: Any
    predict: Any

    def fit_generator(
        self,
        generator: Any,
        steps_per_epoch: int | None = None,
        epochs: int = 1,
        verbose: int | str = 1,
        callbacks: Any = None,
        validation_data: Any = None,
        validation_steps: int | None = None,
        validation_freq: Any = 1,
        class_weight: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        shuffle: bool = True,
        initial_epoch: int = 0,
    ) -> History:
        """`fit`, by Keras 2's name for batches. A thread makes them ahead, whatever is asked for
        by `max_queue_size`, `workers` and `use_multiprocessing`."""
        _expect_queue(max_queue_size, workers, use_multiprocessing, "fit_generator")
        return self.fit(
            generator,
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_data=validation_data,
            validation_steps=validation_steps,
            validation_freq=validation_freq,
            class_weight=class_weight,
            shuffle=shuffle,
            initial_epoch=initial_epoch,
        )

    def evaluate_generator(
        self,
        generator: Any,
        steps: int | None = None,
        callbacks: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        verbose: int | str = 0,
    ) -> Any:
        """`evaluate`, by Keras 2's name for batches."""
        _expect_queue(max_queue_size, workers, use_multiprocessing, "evaluate_generator")
        return self.evaluate(generator, steps=steps, callbacks=callbacks, verbose=verbose)

    def predict_generator(
        self,
        generator: Any,
        steps: int | None = None,
        callbacks: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        verbose: int | str = 0,
    ) -> Array:
        """`predict`, by Keras 2's name for batches."""
        _expect_queue(max_queue_size, workers, use_multiprocessing, "predict_generator")
        return self.predict(generator, steps=steps, callbacks=callbacks, verbose=verbose)

    def predict_proba(self, x: Any, batch_size: int | None = None, verbose: int | str = 0) -> Array:
        """`predict`, by Keras 2's name for probabilities."""
        return self.predict(x, batch_size=batch_size, verbose=verbose)

    def predict_classes(
        self, x: Any, batch_size: int | None = None, verbose: int | str = 0
    ) -> Array:
        """The largest output's place for each sample; of one output, whether it is above 0.5."""
        y = self.predict(x, batch_size=batch_size, verbose=verbose)
        return y.argmax(axis=-1) if y.shape[-1] > 1 else (y > 0.5).astype(np.int32)


def _expect_queue(max_queue_size: Any, workers: Any, use_multiprocessing: Any, who: str) -> None:
    checks.integer(max_queue_size, "max_queue_size", who, minimum=1)
    checks.integer(workers, "workers", who, minimum=0)
    checks.boolean(use_multiprocessing, "use_multiprocessing", who)

"""What the curves of a training say: one figure an epoch, as `fit` returns them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.callbacks import History
from minicnn.diagnosis.result import Fact, Problem

Curves = dict[str, list[float]]

FEWEST = 3  # epochs: with fewer, a curve's shape is chance
STILL = 0.02  # of the first loss: less than the noise between two epochs
HARDLY_LEARNED = 0.8  # of the loss of guessing: above it, what was learned is next to nothing
UNDERFITTED = 0.6  # of the loss of guessing, once the loss falls no more
LEVELLED_AFTER = 5  # epochs before a curve can be called level
RISEN = 1.1  # validation's loss by its best: a tenth is beyond its usual ups and downs
APART = 0.7  # training's loss by that of validation: below, it is the training set that is learned
GAP = 0.15  # of accuracy, training over validation: three times what a good model usually has
RISING = 1.5  # the last loss by the smallest: training loss rises for no good reason


def curves_of(history: Any, who: str) -> Curves:
    """The `history` argument as lists of numbers by name."""
    if isinstance(history, History):
        history = history.history
    if not isinstance(history, Mapping):
        raise TypeError(
            f"{who}: expected history to be what fit returns, or its dict, received "
            f"{checks.shown(history)}"
        )
    curves: Curves = {}
    for name, values in history.items():
        if not isinstance(name, str):
            raise TypeError(
                f"{who}: expected the keys of history to be names, received {checks.shown(name)}"
            )
        array = checks.numeric(values, f"history[{name!r}]", who)
        if array.ndim == 1:  # a metric may be an array for each class
            curves[name] = [float(value) for value in array]
    if curves and not curves.get("loss"):
        raise ValueError(
            f"{who}: expected history to hold the loss of each epoch, received "
            f"{', '.join(sorted(curves))}. Pass what fit returned"
        )
    return curves


def read(curves: Curves, chance: float | None, randomness: list[str]) -> Iterator[Fact | Problem]:
    """Facts and problems. `chance` is the loss of guessing; `randomness` names layers that draw."""
    loss = np.array(curves["loss"])
    epochs = len(loss)
    yield Fact("training", f"Training: {epochs} epochs, loss {loss[0]:.3g} to {loss[-1]:.3g}.")
    if not np.isfinite(loss).all():
        bad = int(np.argmin(np.isfinite(loss)))
        yield Problem(
            "loss_not_finite",
            f"the loss of epoch {bad + 1} is {loss[bad]}",
            "A step was so long that numbers overflowed.",
            "A learning rate ten times smaller, clipnorm=1.0 in the optimizer, scaled inputs.",
        )
        return
    validation = np.array(curves.get("val_loss", []))
    if len(validation) and np.isfinite(validation).all():
        yield from _beside_validation(curves, loss, validation, chance, randomness)
    if epochs < FEWEST:
        return
    if chance and np.ptp(loss) < STILL * abs(loss[0]) and loss[-1] > HARDLY_LEARNED * chance:
        yield Problem(
            "loss_does_not_move",
            f"after {epochs} epochs the loss is {loss[-1]:.3g}, from {loss[0]:.3g}; guessing "
            f"gives {chance:.3g}",
            "Nothing is learned: the gradient does not reach the weights, the steps are far too "
            "short or too long, or the labels have nothing to do with the inputs.",
            "Fix the other warnings first. Then minicnn.tuning.find_learning_rate, and train on "
            "20 samples alone: a model that cannot learn those by heart has a fault in it.",
        )
    elif loss[-1] > RISING * loss.min() and loss[-1] > (chance or 0.0) * UNDERFITTED:
        yield Problem(
            "learning_rate_too_large",
            f"the training loss rose again from {loss.min():.3g} to {loss[-1]:.3g}",
            "The steps jump over the valley instead of descending into it.",
            "A learning rate three to ten times smaller; minicnn.tuning.find_learning_rate "
            "suggests one.",
        )
    elif chance and epochs >= LEVELLED_AFTER and loss[-1] > UNDERFITTED * chance:
        recent = loss[-FEWEST:]
        if recent[0] - recent[-1] < STILL * loss[0]:
            yield Problem(
                "underfitting",
                f"the training loss has levelled off at {loss[-1]:.3g}; guessing gives "
                f"{chance:.3g}",
                "The model does not fit even the data that it is trained on.",
                "More units, filters or layers, less regularization and dropout, another "
                "learning rate.",
            )


def _beside_validation(
    curves: Curves, loss: Any, validation: Any, chance: float | None, randomness: list[str]
) -> Iterator[Fact | Problem]:
    best, last = int(validation.argmin()), float(validation[-1])
    yield Fact(
        "validation",
        f"Validation: loss {last:.3g} in the end, the best {validation[best]:.3g} in epoch "
        f"{best + 1}.",
    )
    if last < loss[-1]:
        why = "the figures of training are means over an epoch in which the model still improved"
        if randomness:
            why = f"{', '.join(randomness)} makes training harder than validation, and {why}"
        yield Fact(
            "validation_above_training",
            f"Validation is better than training ({last:.3g} to {loss[-1]:.3g}): {why}. This is "
            "no fault. model.evaluate(x, y) on the training data compares like with like.",
        )
    accuracy, checked = (curves.get(key) for key in ("accuracy", "val_accuracy"))
    gap = accuracy[-1] - checked[-1] if accuracy and checked else 0.0
    epochs = len(validation)
    risen = epochs - 1 - best >= 2 and last > RISEN * validation[best] and loss[-1] < APART * last
    apart = epochs >= FEWEST and gap > GAP and loss[-1] < APART * last
    if risen or apart:
        said = f", accuracy {accuracy[-1]:.3f} to {checked[-1]:.3f}" if accuracy and checked else ""
        yield Problem(
            "overfitting",
            f"training loss {loss[-1]:.3g} to validation's {last:.3g}{said}; validation was best "
            f"in epoch {best + 1} of {epochs}",
            "The model learns its training data by heart: what it gains no longer helps with new "
            "ones.",
            "callbacks.EarlyStopping(restore_best_weights=True); more data or augmentation "
            "(RandomFlip, RandomTranslation); Dropout; weight decay; a smaller model.",
        )

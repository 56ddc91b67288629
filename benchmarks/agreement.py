"""Before anything is timed: do all frameworks compute the same?

All get the same initial weights. They have to agree on predictions, and on the losses of the first
training steps (Adam, without dropout and shuffling), which is where a wrong gradient, layout,
padding or optimizer shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

IMAGES = 256  # predicted
# Losses drift apart later: Adam makes whole steps out of gradients that are only rounding, such as
# that of a bias before a batch normalization.
STEPS = 3
PREDICTIONS = 1e-4  # largest difference of a probability
LOSSES = 2e-3  # relative


class DisagreementError(RuntimeError):
    """The frameworks do not compute the same, so nothing about their times would mean anything."""


def compare(name: str, answers: dict[str, Any], reference: dict[str, Any]) -> dict[str, float]:
    """The largest differences between `answers` and the `reference`.

    Both hold "predictions" (rows of probabilities) and "losses"; None where a framework does not
    train.

    Raises
    ------
    DisagreementError
        If shapes differ, something is not finite, or a difference is above its limit.
    """
    differences = {}
    for key, limit in (("predictions", PREDICTIONS), ("losses", LOSSES)):
        if answers.get(key) is None:
            continue
        ours, theirs = np.asarray(reference[key], float), np.asarray(answers[key], float)
        if ours.shape != theirs.shape:
            raise DisagreementError(
                f"{name}: expected {key} of shape {ours.shape}, received {theirs.shape}"
            )
        difference = np.abs(theirs - ours)
        if key == "losses":
            difference /= np.abs(ours)
        differences[key] = float(difference.max())
        if not differences[key] <= limit:  # also where it is NaN
            raise DisagreementError(
                f"{name}: its {key} differ from minicnn's by {differences[key]:.2g}, above "
                f"{limit:g}. Nothing is timed before they agree"
            )
    return differences

"""Choosing settings by trying them: the learning-rate finder."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.engine.blas import single_threaded_blas
from minicnn.models import Sequential
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.training.feeds import BATCH_SIZE
from minicnn.training.interrupts import interrupts_between_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]

WHO = "find_learning_rate"


class LearningRateRange:
    """What `find_learning_rate` has seen.

    Attributes
    ----------
    learning_rates : ndarray of shape (steps,)
        The rate of each step, ascending.
    losses : ndarray of shape (steps,)
        The loss of each step's batch, before the step.
    smoothed : ndarray of shape (steps,)
        Running means of the losses, by which the rest is judged.
    suggestion : float or None
        Where the smoothed loss falls fastest: a good rate to begin with, or the largest of a
        OneCycle. None if the loss does not fall.
    diverged : bool
        Whether the loss has grown so much that the test stopped before its last step.
    """

    def __init__(self, learning_rates: Array, losses: Array, smoothed: Array, diverged: bool):
        self.learning_rates = learning_rates
        self.losses = losses
        self.smoothed = smoothed
        self.diverged = diverged
        self.suggestion = _steepest(learning_rates, smoothed)

    def __repr__(self) -> str:
        steps = len(self.losses)
        if not steps:
            return "<LearningRateRange: no step had a finite loss>"
        first, last = self.learning_rates[0], self.learning_rates[-1]
        how = "until the loss diverged" if self.diverged else "without diverging"
        best = "none: the loss never fell" if self.suggestion is None else f"{self.suggestion:.2g}"
        return (
            f"<LearningRateRange: {steps} steps from {first:.2g} to {last:.2g}, {how}; "
            f"suggestion {best}>"
        )

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw losses over rates, and the suggestion; see `plotting.learning_rate_range`."""
        from minicnn import plotting

        return plotting.learning_rate_range(self, ax=ax)


class _Ramp(LearningRateSchedule):
    """From `low` to `high` in `steps` steps behind `first` others, each by the same factor."""

    def __init__(self, first: int, low: float, high: float, steps: int) -> None:
        super().__init__()
        self.first, self.low, self.high, self.steps = first, low, high, steps

    def __call__(self, step: float) -> float:
        p = (step - self.first) / (self.steps - 1)
        return self.low * (self.high / self.low) ** p


def find_learning_rate(
    model: Sequential,
    x: Any,
    y: Any,
    *,
    batch_size: int | None = None,
    sample_weight: Any = None,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    divergence: float = 4.0,
) -> LearningRateRange:
    """Train a copy of the model at ever larger learning rates, and see where the loss falls.

    Each step multiplies the rate by the same factor. Too small a rate leaves the loss where it is,
    a good one lets it fall, too large a one lets it grow: then the test ends. The model, its
    optimizer and its random numbers stay untouched, whatever happens.

    Parameters
    ----------
    model : Sequential
        Compiled; built or not. Its optimizer's other settings hold, a schedule does not.
    x, y : array
        As for `fit`: the training data. They are gone through more than once if they are few.
    batch_size : int, optional
        As for `fit`, 32 if not given. Rates depend on it: use that of the training.
    sample_weight : array of shape (N,), optional
    low, high : float > 0
        The first rate and the last.
    steps : int >= 2
    smoothing : float in [0, 1)
        Share of the old in the running mean of the losses.
    divergence : float > 1
        The test ends where the smoothed loss is so many times its smallest.

    Returns
    -------
    LearningRateRange
        `.suggestion`, `.learning_rates`, `.losses`, `.plot()`.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, and a model without layers or not compiled.

    Source: Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.

    Examples
    --------
    >>> from minicnn.layers import Dense
    >>> x = np.linspace(-1, 1, 64).reshape(64, 1)
    >>> model = Sequential([Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> found = find_learning_rate(model, x, 3 * x, steps=50)
    >>> 0.01 < found.suggestion < 3
    True
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"{WHO}: expected model to be a Sequential, received {checks.shown(model)}")
    model.expect_compiled(WHO)
    model.expect_at_rest(WHO)
    size = checks.integer(
        BATCH_SIZE if batch_size is None else batch_size, "batch_size", WHO, minimum=1
    )
    low = checks.real(low, "low", WHO, low=0, open_low=True)
    high = checks.real(high, "high", WHO, low=low, open_low=True)
    steps = checks.integer(steps, "steps", WHO, minimum=2, maximum=1_000_000)
    smoothing = checks.real(smoothing, "smoothing", WHO, low=0, high=1, open_high=True)
    divergence = checks.real(divergence, "divergence", WHO, low=1, open_low=True)

    twin = copy.deepcopy(model)
    data = twin.checked_data(x, WHO, y, sample_weight)
    twin.build_for_training(data)
    optimizer = twin.optimizer
    every = optimizer.gradient_accumulation_steps or 1
    ramp = _Ramp(optimizer.iterations * every + optimizer.waiting, low, high, steps)
    optimizer.learning_rate = ramp
    runner = twin.runner(training=True)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    mean, diverged = 0.0, False
    with single_threaded_blas(), interrupts_between_steps() as pause:
        while len(losses) < steps and not diverged:
            for batch in data.batches(size, twin.rng.permutation(len(data))):
                rate = optimizer.learning_rate
                try:
                    measured = runner.step(twin, batch)
                    loss = float(measured.sums[0]) / measured.samples
                except FloatingPointError:  # the step before was too long for a finite loss
                    diverged = True
                    break
                rates.append(rate)
                losses.append(loss)
                mean = smoothing * mean + (1 - smoothing) * loss
                smoothed.append(mean / (1 - smoothing ** len(losses)))  # it began at 0
                pause()
                diverged = _diverged(smoothed, divergence)
                if diverged or len(losses) == steps:
                    break
    return LearningRateRange(np.array(rates), np.array(losses), np.array(smoothed), diverged)


def _diverged(smoothed: list[float], divergence: float) -> bool:
    """Whether the last mean is too far above the smallest.

    Losses below 0 are measured by the size of the first.
    """
    best, last = min(smoothed), smoothed[-1]
    if best > 0:
        return last > divergence * best and last > smoothed[0]
    return last > best + divergence * max(abs(smoothed[0]), abs(best))


def _steepest(rates: Array, smoothed: Array) -> float | None:
    """The rate where the smoothed loss falls fastest, up to its smallest value.

    Only places count where a tenth of the whole fall has been seen: before, the rates are too small
    to do anything, and the mean of a few first losses moves by chance alone.
    """
    until = int(np.argmin(smoothed)) + 1 if len(smoothed) else 0
    if until < 2:
        return None
    start = float(np.median(smoothed[: max(1, until // 5)]))
    fall = start - float(smoothed[until - 1])
    seen = smoothed[:until] <= start - 0.1 * fall
    slope = np.gradient(smoothed[:until], np.log(rates[:until]))
    steepest = int(np.argmin(np.where(seen, slope, np.inf)))
    falls = bool(fall > 0 and slope[steepest] < 0 and math.isfinite(slope[steepest]))
    return float(rates[steepest]) if falls else None

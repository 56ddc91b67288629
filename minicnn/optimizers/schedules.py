"""Learning rates that follow from the number of steps, given as an optimizer's `learning_rate`.

    optimizer = SGD(CosineDecay(0.1, decay_steps=1000))

A schedule is called with the number of steps done so far, 0 at the first one; those here take an
array of such numbers, too. One of your own subclasses `LearningRateSchedule` and defines
`__call__(step)`. A function without arguments may be given, too; it is called at each step.

Letters: s step, L initial learning rate.
"""

from __future__ import annotations

import math
import numbers
from functools import partial
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.copies import Copied
from minicnn.settings import Configured, Setting
from minicnn.subclasses import refuse_vain_methods

_rate = partial(checks.real, low=0)
_factor = partial(checks.real, low=0, open_low=True)


def _number(value: Any, name: str, who: str, **limits: Any) -> float:
    """As `checks.real`, but an integer stays one, as in Keras's configs."""
    number = checks.real(value, name, who, **limits)
    return int(value) if isinstance(value, numbers.Integral) else number


_steps = partial(_number, low=0, open_low=True)


def _rates(value: Any, name: str, who: str) -> tuple[float, ...]:
    rates = checks.listed(value, name, who)
    return tuple(checks.real(one, f"each of {name}", who, low=0) for one in rates)


def _numbers(value: Any, name: str, who: str) -> tuple[float, ...]:
    return tuple(_number(one, f"each of {name}", who) for one in checks.listed(value, name, who))


class LearningRateSchedule(Copied, Configured):
    """Base class: `schedule(step)` is the learning rate of the step behind `step` others."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        instead = dict.fromkeys(("call", "get_lr", "step"), ("__call__",))
        refuse_vain_methods(cls, LearningRateSchedule, ("__call__",), instead)

    def __init__(self, **unknown: Any) -> None:
        self._refuse_unknown(unknown)

    def __call__(self, step: float) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has to define __call__(step)")


class _Named(LearningRateSchedule):
    """Base of the schedules here, which have a name, as in Keras."""

    name = Setting(checks.text, none=lambda schedule: type(schedule).__name__)

    def __init__(self, name: str | None, **unknown: Any) -> None:
        super().__init__(**unknown)
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The rate at `step`; for an array or a list of steps, an array of their rates.

        Raises TypeError or ValueError unless each is a number of at least 0.
        """
        who = type(self).__name__
        if isinstance(step, (list, tuple, np.ndarray)):
            steps = checks.numeric(step, "step", who)
            rates = [self(one) for one in steps.ravel().tolist()]
            return np.array(rates, np.float64).reshape(steps.shape)
        step = checks.real(step, "step", who, low=0)
        try:
            return self.rate(step)
        except OverflowError:  # a rate that grows with every step
            return math.inf

    def rate(self, step: float) -> float:
        """The rate at one step."""
        raise NotImplementedError


class ExponentialDecay(_Named):
    """L * decay_rate^(s / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float >= 0
    decay_steps : number > 0
    decay_rate : float >= 0
    staircase : bool
        Lower the rate every `decay_steps` steps only: the exponent is rounded down.

    Examples
    --------
    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(10)
    0.05
    """

    initial_learning_rate = Setting(_rate)
    decay_steps = Setting(_steps)
    decay_rate = Setting(_rate)
    staircase = Setting(checks.boolean)

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = "ExponentialDecay",
        **unknown: Any,
    ) -> None:
        super().__init__(name, **unknown)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase

    def rate(self, step: float) -> float:
        p = step / self.decay_steps
        rate: float = self.decay_rate ** (math.floor(p) if self.staircase else p)
        return self.initial_learning_rate * rate


class InverseTimeDecay(_Named):
    """L / (1 + decay_rate * s / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float >= 0
    decay_steps : number > 0
    decay_rate : float >= 0
    staircase : bool
        Lower the rate every `decay_steps` steps only: s / decay_steps is rounded down.

    Examples
    --------
    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10)
    0.05
    """

    initial_learning_rate = Setting(_rate)
    decay_steps = Setting(_steps)
    decay_rate = Setting(_rate)
    staircase = Setting(checks.boolean)

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = "InverseTimeDecay",
        **unknown: Any,
    ) -> None:
        super().__init__(name, **unknown)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase

    def rate(self, step: float) -> float:
        p = step / self.decay_steps
        return self.initial_learning_rate / (
            1 + self.decay_rate * (math.floor(p) if self.staircase else p)
        )


class PiecewiseConstantDecay(_Named):
    """values[0] up to step boundaries[0], values[1] up to boundaries[1], ..., then the last.

    Parameters
    ----------
    boundaries : list of numbers, ascending
    values : list of float >= 0, one more than boundaries

    Examples
    --------
    >>> [PiecewiseConstantDecay([5, 10], [1, 0.5, 0.1])(s) for s in (0, 5, 6, 11)]
    [1.0, 1.0, 0.5, 0.1]
    """

    boundaries = Setting(_numbers)
    values = Setting(_rates)

    def __init__(
        self,
        boundaries: Any,
        values: Any,
        name: str | None = "PiecewiseConstant",
        **unknown: Any,
    ) -> None:
        super().__init__(name, **unknown)
        self.boundaries = boundaries
        self.values = values
        self.expect_consistent()

    def expect_consistent(self) -> None:
        who = type(self).__name__
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{who}: expected values to be one more than boundaries, received "
                f"{len(self.values)} values and {len(self.boundaries)} boundaries. Make a new "
                "schedule to change both"
            )
        if sorted(self.boundaries) != list(self.boundaries):
            raise ValueError(
                f"{who}: expected boundaries to ascend, received {checks.shown(self.boundaries)}"
            )

    def rate(self, step: float) -> float:
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class PolynomialDecay(_Named):
    """(L - end) * (1 - s / decay_steps)^power + end, and `end` from decay_steps on.

    Parameters
    ----------
    initial_learning_rate, end_learning_rate : float >= 0
    decay_steps : number > 0
    power : float >= 0
        1 is a straight line.
    cycle : bool
        Instead of staying at the end, begin again with twice, three times, ... the `decay_steps`.

    Examples
    --------
    >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5)
    0.05
    """

    initial_learning_rate = Setting(_rate)
    decay_steps = Setting(_steps)
    end_learning_rate = Setting(_rate)
    power = Setting(_rate)
    cycle = Setting(checks.boolean)

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str | None = "PolynomialDecay",
        **unknown: Any,
    ) -> None:
        super().__init__(name, **unknown)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle

    def rate(self, step: float) -> float:
        steps = self.decay_steps
        if self.cycle:
            steps *= max(1, math.ceil(step / steps))
        p = min(step / steps, 1.0)
        slope: float = (1 - p) ** self.power
        return (
            self.initial_learning_rate - self.end_learning_rate
        ) * slope + self.end_learning_rate


class CosineDecay(_Named):
    """Half a wave of a cosine from L down to alpha * L, after a straight warm-up where asked for.

        L * ((1 - alpha) * (1 + cos(pi * s / decay_steps)) / 2 + alpha)

    With `warmup_target` the rate goes from L to that in `warmup_steps`, and the wave begins there.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Parameters
    ----------
    initial_learning_rate : float >= 0
    decay_steps : number > 0
        Of the wave, without the warm-up.
    alpha : float >= 0
    warmup_target : float >= 0, optional
    warmup_steps : number >= 0

    Examples
    --------
    >>> schedule = CosineDecay(0.0, 10, warmup_target=0.1, warmup_steps=5)
    >>> [round(schedule(s), 6) for s in (0, 1, 5, 10, 15, 99)]
    [0.0, 0.02, 0.1, 0.05, 0.0, 0.0]
    """

    initial_learning_rate = Setting(_rate)
    decay_steps = Setting(_steps)
    alpha = Setting(_rate)
    warmup_target = Setting(lambda v, name, who: None if v is None else _rate(v, name, who))
    warmup_steps = Setting(partial(_number, low=0))

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str | None = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
        **unknown: Any,
    ) -> None:
        super().__init__(name, **unknown)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def rate(self, step: float) -> float:
        start, top = self.initial_learning_rate, self.warmup_target
        if top is None:
            return _wave(start, min(step / self.decay_steps, 1), self.alpha)
        if step < self.warmup_steps:
            return start + (top - start) * step / self.warmup_steps
        return _wave(top, min((step - self.warmup_steps) / self.decay_steps, 1), self.alpha)


class CosineDecayRestarts(_Named):
    """CosineDecay again and again; each wave is `t_mul` times as long and `m_mul` times as high.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Parameters
    ----------
    initial_learning_rate : float >= 0
    first_decay_steps : number > 0
    t_mul : float >= 1
    m_mul, alpha : float >= 0

    Examples
    --------
    >>> schedule = CosineDecayRestarts(0.1, 5, t_mul=2.0, m_mul=0.5)
    >>> [round(schedule(s), 6) for s in (0, 5, 10, 15)]
    [0.1, 0.05, 0.025, 0.025]
    """

    initial_learning_rate = Setting(_rate)
    first_decay_steps = Setting(_steps)
    t_mul = Setting(partial(checks.real, low=1))
    m_mul = Setting(_rate)
    alpha = Setting(_rate)

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str | None = "SGDRDecay",
        **unknown: Any,
    ) -> None:
        super().__init__(name, **unknown)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha

    def rate(self, step: float) -> float:
        f, t = step / self.first_decay_steps, self.t_mul
        if t == 1:
            wave = math.floor(f)
            place = f - wave
        else:
            wave = math.floor(math.log(1 - f * (1 - t)) / math.log(t) + 1e-12)
            place = max(0.0, (f - (1 - t**wave) / (1 - t)) / t**wave)
        low = 0.5 * self.m_mul**wave * (1 + math.cos(math.pi * place))
        return self.initial_learning_rate * ((1 - self.alpha) * low + self.alpha)


class OneCycle(_Named):
    """Up to the largest rate and down again, to almost 0: one cycle in all of the training.

    The rate goes from max_learning_rate / initial_factor up in the first `warmup` part of the
    steps, then down to max_learning_rate / initial_factor / final_factor at the last one, each time
    along half a wave of a cosine.

    Why: large rates in the middle pass over narrow minima, which generalize worse; with the warm-up
    they do so without diverging, and the end settles.

    Source: Smith and Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018. The waves are those of PyTorch's OneCycleLR.

    Parameters
    ----------
    max_learning_rate : float >= 0
    total_steps : int >= 2
        epochs * ceil(samples / batch_size).
    warmup : float in (0, 1)
    initial_factor, final_factor : float > 0

    Examples
    --------
    >>> schedule = OneCycle(0.1, total_steps=100)
    >>> [round(schedule(s), 6) for s in (0, 29, 99)]
    [0.004, 0.1, 0.0]
    """

    max_learning_rate = Setting(_rate)
    total_steps = Setting(partial(checks.integer, minimum=2))
    warmup = Setting(partial(checks.real, low=0, high=1, open_low=True, open_high=True))
    initial_factor = Setting(_factor)
    final_factor = Setting(_factor)

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        warmup: float = 0.3,
        initial_factor: float = 25.0,
        final_factor: float = 1e4,
        name: str | None = "OneCycle",
        **unknown: Any,
    ) -> None:
        super().__init__(name, **unknown)
        self.max_learning_rate = max_learning_rate
        self.total_steps = total_steps
        self.warmup = warmup
        self.initial_factor = initial_factor
        self.final_factor = final_factor

    def rate(self, step: float) -> float:
        top, last = self.max_learning_rate, self.total_steps - 1
        start = top / self.initial_factor
        peak = max(self.warmup * self.total_steps - 1, 0.0)
        if step < peak:
            return _between(start, top, step / peak)
        if last <= peak:
            return top
        return _between(top, start / self.final_factor, min((step - peak) / (last - peak), 1))


def _wave(top: float, p: float, alpha: float) -> float:
    return top * ((1 - alpha) * 0.5 * (1 + math.cos(math.pi * p)) + alpha)


def _between(start: float, end: float, p: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * p))


KNOWN: dict[str, type[LearningRateSchedule]] = {
    kind.__name__: kind
    for kind in (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        OneCycle,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
}

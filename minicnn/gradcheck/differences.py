"""Central differences, and the kinks that spoil them.

Along a line t -> y(t), with y a vector of outputs,

    right(h) = (y(h) - y(0)) / h        left(h) = (y(0) - y(-h)) / h
    mean(h)  = (right(h) + left(h)) / 2 = y'(0) + y''' h^2 / 6 + ...        central difference
    bend(h)  = right(h) - left(h)       = y'' h + ...

Each is taken at h and at h / 2. From the means follows the derivative, (4 mean(h/2) - mean(h)) / 3,
in which the h^2 terms cancel (Richardson). From the bends follows whether y has a kink: a smooth
bend halves with h, so bend(h) - 2 bend(h/2) is nothing but rounding, while at a kink, where the
slope jumps by J, it is of the size of J. Only outputs are looked at, never the gradient that is
being checked, so no gradient, however wrong, can make a smooth place look like a kink.

Where a kink lies within h, smaller steps may still pass between it and 0; where even the smallest
one does not, there are two slopes, and a gradient has to lie between them. How much of a difference
is rounding is measured: fourth differences, in which what is smooth cancels to the order h^4, leave
sqrt(70) times the noise of y.

A forward that rounds to float32 is refused. That y has few digits proves nothing: the mean of four
bytes has few, too. So the inputs are first moved to numbers that use all their digits.

Sources: Richardson, "The approximate arithmetical solution by finite differences of physical
problems", 1911; Moré and Wild, "Estimating computational noise", 2011.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from minicnn.gradcheck.copies import unchanged
from minicnn.gradcheck.subjects import Subject
from minicnn.layers.base import Array

SHRINK = 2.0**-3  # of a step, again and again, until one passes between the kinks
SHORTEST = 2.0**-10  # step, as a part of the first one
VISIBLE = 1e-4  # part of y by which a step of 1 has to move it
VISIBLE_JUMP = 0.05  # of what may be wrong: smaller kinks do not count
UNRESOLVED = 0.01  # part of a slope by which half the step may change it
SMALLEST_STEP = 1e-8  # along a direction
ROUNDING = 2.0**-52
PLACES = 4  # at which forward is tested for rounding to float32; three have to show it
SEEN_BY_FLOAT32, UNSEEN_BY_FLOAT32 = 2.0**-18, 2.0**-26  # steps, as parts of each number
MISSED = 2.0**-6  # share of a slope that has to be lost
FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0])  # of y at -2h ... 2h
BEND_NOISE = 48.0  # noise of y to four sigma of the bend's, times h
SLOPE_NOISE = 24.0  # more than four sigma of the slope's: half a kink that rounding may hide


@dataclass(frozen=True)
class Slope:
    """How each output moves along a line; all arrays of shape (outputs,)."""

    value: Array  # the derivative, where there is one
    left: Array
    right: Array
    kink: Array  # what no smooth output has: bend(h) - 2 bend(h/2), mean(h) far from mean(h/2)
    moved: Array  # whether the output moved at all
    unsettled: Array  # what half the step still changes; of the order of h where y'' jumps
    step: float


def slope(y: Callable[[float], Array], y_0: Array, h: float, *, linear: bool = False) -> Slope:
    """The slope of y at 0, from y(+-h) and y(+-h/2), or from y(+-h) alone where y is linear.

    >>> s = slope(lambda t: np.array([t * t + 3 * t, abs(t)]), np.zeros(2), 1e-3)
    >>> s.value.round(9), s.kink.round(9)
    (array([3., 0.]), array([0., 2.]))
    """
    right, left = (y(h) - y_0) / h, (y_0 - y(-h)) / h
    mean, bend = (right + left) / 2, right - left
    moved = (right != 0) | (left != 0)
    if linear:
        return Slope(mean, left, right, np.abs(bend), moved, np.zeros_like(mean), h)
    right, left = (y(h / 2) - y_0) / (h / 2), (y_0 - y(-h / 2)) / (h / 2)
    half, kink = (right + left) / 2, np.abs(bend - 2 * (right - left))
    change = np.abs(half - mean)
    kink = np.where(change > UNRESOLVED * np.abs(half), np.maximum(kink, change), kink)
    return Slope((4 * half - mean) / 3, left, right, kink, moved, change, h)


def norm(numbers: Array) -> float:
    """Root of the sum of squares, which themselves may be too large for float64."""
    return float(np.hypot.reduce(numbers, initial=0.0))


class Differences:
    """What the differences say about one tensor, number by number or direction by direction.

    Arrays of shape (count,): `numeric`, the derivatives of <dy, y>, the largest of them `scale`;
    `rounding`, the error that rounding in y alone may cause in them; `kinked`, where a kink leaves
    no derivative; `low` and `high`, the slopes on its two sides; `whole`, whether no output is left
    out. `kept` (count, outputs) is dy, with 0 for the outputs that are; `slopes` are the outputs'
    own derivatives; `left_out` is how many numbers, or outputs on the ways, and of how many.

    Where even the shortest step crosses a kink, the number is left out; along one of the
    `directions` (count, numbers), only the outputs that cross it are. `directions` may also be a
    list of places: then only the numbers there are moved.
    """

    def __init__(
        self, probe: Probe, dy: Array, tolerance: float, linear: bool, directions: Any = None
    ) -> None:
        self._probe, self.tolerance, self.linear = probe, tolerance, linear
        self._weights, self._y_shape = dy.reshape(-1), dy.shape
        self.directions, self.by_number = directions, not isinstance(directions, np.ndarray)
        self._noise = np.abs(self._weights) * probe.rounding
        self._y_0 = y_0 = probe.y()
        h, unit = (1.0, max(1.0, probe.unit)) if linear else (probe.eps, probe.unit)
        along = range(probe.tensor.size) if directions is None else directions
        lines = [(y, y.step(h, unit, None if linear else y_0)) for y in map(probe.line, along)]
        self.numeric, self.rounding, self.low, self.high = np.zeros((4, len(lines)))
        self.kinked = np.zeros(len(lines), bool)
        self.kept, self.slopes = np.tile(self._weights, (2, len(lines), 1))
        slopes = [slope(y, y_0, h, linear=linear) for y, h in lines]
        largest = max((abs(float(self._weights @ s.value)) for s in slopes), default=0.0)
        for k, ((y, h), first) in enumerate(zip(lines, slopes)):
            s = first
            while True:
                size = largest if self.by_number else norm(self._weights * s.value)
                # what may be rounding is no jump, and a small one does not count
                rounding = BEND_NOISE * self._noise / s.step
                least = np.maximum(rounding, VISIBLE_JUMP * tolerance * size)
                smooth = np.abs(self._weights * s.kink) <= least
                if smooth.all() or linear or s.step <= SHORTEST * h:
                    break
                s = slope(y, y_0, s.step * SHRINK)
            self._put(k, s, smooth)
            one = (first, largest, probe.unit) if self.by_number else (s, abs(self.numeric[k]), 1.0)
            self._add_hidden(k, y, *one)
        self.whole: Array = (self.kept != 0).all(axis=1)
        self.scale = float(np.abs(self.numeric[~self.kinked]).max(initial=0))
        missing = self.kinked if self.by_number else self.kept == 0
        self.left_out = int(missing.sum()), int(missing.size)

    def _put(self, k: int, s: Slope, smooth: Array) -> None:
        """Enter what `s` says about place `k`, where these outputs (bool) have been `smooth`."""
        self.kept[k], self.slopes[k] = self._weights * smooth, s.value
        self.kinked[k] = not (smooth.all() if self.by_number else smooth.any())
        weights = self._weights if self.by_number else self.kept[k]
        self.numeric[k] = weights @ s.value
        self.rounding[k] = SLOPE_NOISE * norm(self._noise[s.moved]) / s.step
        self.rounding[k] += float(np.abs(weights) @ s.unsettled)
        sides = self._weights * s.left, self._weights * s.right
        self.low[k], self.high[k] = np.minimum(*sides).sum(), np.maximum(*sides).sum()

    def _add_hidden(self, k: int, y: Line, s: Slope, size: float, unit: float) -> None:
        """Add slopes that last digits of y hide from a short step, unless they are tolerable.

        The 1 of a saturated softmax follows its input without showing it; an output that even a
        long step does not move does not depend on the numbers at all.
        """
        weights = self._weights if self.by_number else self.kept[k]
        largest = 8 * self._noise.max(initial=0)  # no noise is seen where nothing moves
        lost = np.maximum(np.abs(weights) * np.spacing(np.abs(self._y_0)), largest) * (weights != 0)
        if lost.max(initial=0) / s.step > self.tolerance * size:
            far = 3 * max(1.0, unit) * y.span()
            hidden = ((y(far) != self._y_0) | (y(-far) != self._y_0)) & ~s.moved
            self.rounding[k] += float(np.linalg.norm(lost[hidden])) / s.step

    def values_of(self, gradient: Array) -> Array:
        """The values of a gradient of <dy, y> that belong to `numeric`, where that is `whole`."""
        with np.errstate(all="ignore"):  # it may hold NaN, which is for the verdict to find
            flat = gradient.reshape(-1)
            if self.directions is None:
                return flat.copy()
            return flat[self.directions] if self.by_number else self.directions @ flat

    def analytic(self, gradient: Array) -> Array:
        """The values of the claimed gradient that belong to `numeric`."""
        values = self.values_of(gradient)
        for k in () if self.by_number else np.flatnonzero(~self.whole):
            of_kept = self._probe.backward(self.kept[k].reshape(self._y_shape))
            values[k] = self.values_of(of_kept)[k]
        return values

    def error(self, analytic: Array, scale: float = 0.0) -> float:
        """The greatest difference, as a part of the largest number, be it only rounding."""
        good = ~self.kinked
        gap = float(np.abs(analytic - self.numeric)[good].max(initial=0))
        largest = float(np.nan_to_num(np.abs(analytic[good])).max(initial=0))
        rounding = float(self.rounding.max(initial=0)) / self.tolerance
        error = gap / (max(scale, self.scale, largest, rounding) or 1.0)
        return error if np.isfinite(error) else np.inf


class Line:
    """y on the line that leaves the present values of `tensor` in `direction`."""

    def __init__(self, subject: Subject, tensor: Array, direction: Any) -> None:
        """`direction` is an array like `tensor`, or the place of one number in its flat view."""
        self._subject, self._flat = subject, tensor.reshape(-1)
        self._where: Any = direction if isinstance(direction, int) else slice(None)
        self._along: Any = 1.0 if isinstance(direction, int) else np.ravel(direction)
        self._start = self._flat[self._where].copy()

    def __call__(self, t: float) -> Array:
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # a far step may lead anywhere
                self._flat[self._where] = self._start + t * self._along
                return self._subject.forward().reshape(-1)
        finally:
            self._flat[self._where] = self._start

    def step(self, h: float, unit: float, y_0: Array | None) -> float:
        """The first step: along one number `h`, times what its size and `unit` ask for, as a power
        of 2, which adds to the number without rounding.

        In a direction many parts add up: `h` is made smaller if y moves by more than that from
        `y_0`, if given, but no step is so small that it is lost in the numbers it moves.
        """
        if isinstance(self._where, int):
            return 2.0 ** round(math.log2(h) + math.log2(float(sizes(self._start, unit))))
        if y_0 is None:
            return h
        moved = float(np.abs(self(h) - y_0).max(initial=0))
        moved /= max(1.0, float(np.abs(y_0).max(initial=0)))
        return max(h / max(1.0, moved / h), min(h, SMALLEST_STEP))

    def span(self) -> float:
        """A step by which any number of the tensor passes all the others."""
        return max(1.0, float(np.abs(self._flat).max()))


def sizes(tensor: Array, unit: float) -> Array:
    """How far each number moves in a step of 1: as far as its size, at least 1, times the unit."""
    return np.maximum(max(1.0, unit), unit * np.abs(tensor))


def ways(tensor: Array, rng: Generator, count: int, unit: float = 1.0) -> Array:
    """Random directions (count, numbers), in which each number moves in proportion to its size."""
    return rng.normal(size=(count, tensor.size)) * sizes(tensor.reshape(-1), unit)


def multiple(found: Array, right: Array, tolerance: Any) -> float:
    """How many times `right` (count,) `found` is; NaN if they differ by more than one factor.

    >>> multiple(np.array([2.0, 4.0]), np.array([1.0, 2.0]), 1e-9)
    2.0
    """
    square = float(right @ right)
    c = float(found @ right) / square if square and np.isfinite(found).all() else np.nan
    return c if (np.abs(found - c * right) <= max(1.0, abs(c)) * tolerance).all() else np.nan


def rounds_to_float32(subject: Subject, names: Iterable[str], rng: Generator) -> bool:
    """Whether forward rounds y, or something on the way from the tensors of these names to it.

    It does if all values of an output have the 24 bits of a float32, or if a step too small for
    float32 gives another slope than a larger one, by more than rounding in float64 explains.
    """
    tensors = [subject.tensors[name] for name in names]
    values, short = [], []
    with unchanged(*tensors) as saved, np.errstate(all="ignore"):  # out there may be anything
        for _ in range(PLACES):
            for tensor, start in zip(tensors, saved):  # of the same signs and sizes
                by = rng.uniform(0.1, 0.3, start.shape) * rng.choice([-1.0, 1.0], start.shape)
                from_0 = np.abs(by) * (np.abs(start).mean() or 1.0)
                tensor[...] = np.where(start == 0, from_0, (1 + by) * start)
            values.append(subject.forward().reshape(-1))
            short.append([_stops_short(subject, t, values[-1], rng) for t in tensors])
        most = np.sum(short, axis=0) >= PLACES - 1
        return _has_24_digits(np.stack(values)) or bool(most.any())


def _stops_short(subject: Subject, tensor: Array, y_0: Array, rng: Generator) -> Array:
    """Which outputs follow a step that float32 can hold, but not one that it cannot."""
    sign = rng.choice([-1.0, 1.0], tensor.shape)
    y = Line(subject, tensor, tensor * sign * rng.uniform(0.5, 1.5, tensor.shape))
    seen, unseen = ((y(h) - y(-h)) / (2 * h) for h in (SEEN_BY_FLOAT32, UNSEEN_BY_FLOAT32))
    gap, slope = np.abs(seen - unseen), np.maximum(np.abs(seen), np.abs(unseen))
    largest = max(y.span(), float(np.abs(y_0).max()))  # of what float64 rounds
    return (gap > MISSED * slope) & (gap * UNSEEN_BY_FLOAT32 > 8 * ROUNDING * largest)


def _has_24_digits(values: Array) -> bool:
    """Whether an output, in (places, outputs), has no digits but those of float32, and all of them.

    Whole numbers and short fractions are no float32: they may be counts, or steps of a quarter. Nor
    are small remainders of numbers of the size of 1, such as a sigmoid near 0.
    """
    narrow = values.astype(np.float32)
    long = (narrow.view(np.uint32) & 7 != 0) & (values != np.round(values))
    long &= (np.abs(values) > 2.0**-26) | (values * 2.0**54 % 1 != 0)
    float32 = (narrow == values).all(axis=0) & (long.sum(axis=0) >= 2)
    return bool((float32 & (np.ptp(values, axis=0) > 0)).any())


def _fourth_difference(y: Line, h: float) -> tuple[Array, Array]:
    """|fourth difference| of y, in standard deviations of noise of 1; which outputs have moved."""
    table = np.stack([y(k * h) for k in range(-2, 3)])
    return np.abs(FOURTH @ table) / np.linalg.norm(FOURTH), (table != table[2]).any(axis=0)


class Probe:
    """One tensor of a subject, which is moved to see how y follows."""

    def __init__(
        self, subject: Subject, name: str, rng: Generator, eps: float, unit: float = 0.0
    ) -> None:
        self.subject, self.name, self.tensor = subject, name, subject.tensors[name]
        self.rng, self.eps = rng, eps
        self.unit = unit or self._fitting_unit()  # how long steps have to be
        self.rounding = self._noise()

    def y(self) -> Array:
        return self.subject.forward().reshape(-1)

    def line(self, direction: Any) -> Line:
        return Line(self.subject, self.tensor, direction)

    def backward(self, dy: Array) -> Array:
        """The claimed gradient of <dy, y> by the tensor."""
        return np.asarray(self.subject.backward(dy)[self.name], np.float64)

    def _fitting_unit(self) -> float:
        """The unit of the steps: 1, unless y shows that they are too long or too short.

        Too long are steps seen beside numbers of 1e7, if differences of 1 are what counts, as among
        the scores of a softmax. Too short are any that are not seen in y: of a bias beside 1e20,
        say, or of a weight by which inputs of 1e-20 are multiplied.
        """
        y_0, flat = self.y(), self.tensor.reshape(-1)
        way = self.rng.normal(size=flat.size)
        largest = max(1.0, float(np.abs(flat).max()))
        noise = 64 * ROUNDING * max(largest, float(np.abs(y_0).max()))

        def line(unit: float) -> Line:
            return self.line(way * sizes(flat, unit))

        def visible(power: int) -> bool:
            moved = float(np.abs(line(2.0**power)(1.0) - y_0).max())
            return VISIBLE * float(np.abs(y_0).max()) < moved < np.inf

        with np.errstate(all="ignore"):
            unit = 1.0
            while unit * largest > 1:
                s = slope(line(unit), y_0, self.eps)
                change = self.eps * np.abs(s.value - (s.left + s.right) / 2)
                resolved = UNRESOLVED * self.eps * np.abs(s.value)
                if not (change > np.maximum(noise, resolved)).any():
                    break
                unit /= 8
            if unit < 1:
                return max(unit / 64, 1 / largest)
            high = next(filter(visible, (0, *(2**k for k in range(10)), 1000)), 0)
            return 2.0 ** bisect_left(range(high), True, high // 2, key=visible)

    def _noise(self) -> Array:
        """Standard deviation of the rounding in each output, shape (outputs,).

        Taken at places a little beside the present values, where ties are broken; the largest is
        passed over, since a kink may be near. Steps of 0.001 eps pass most kinks, but may change no
        digit at all; so steps of eps are taken, too, or of 1000 eps where those change none either,
        and believed as far as the rounding of numbers of the size of 1, of y or of the tensor goes.
        A few samples may show too little, so the rounding of y to its last digit is added.
        """
        flat, near, far, y_0 = self.tensor.reshape(-1), [], [], self.y()
        width = 0.01 * max(1.0, float(np.ptp(flat)))  # far away the rounding may be another
        largest = max(1.0, float(np.abs(flat).max()), float(np.abs(y_0).max(initial=0)))
        with unchanged(flat) as (saved,):
            for _ in range(3 + 12 // y_0.size):  # few outputs say little, each time
                flat[:] = saved + width * self.rng.uniform(-1, 1, flat.size)
                direction = self.rng.normal(size=flat.size)
                y = self.line(direction * sizes(flat, self.unit) / np.linalg.norm(direction))
                near.append(_fourth_difference(y, 1e-3 * self.eps)[0])
                seen, moved = _fourth_difference(y, self.eps)
                if not moved.all():
                    seen = np.where(moved, seen, _fourth_difference(y, 1e3 * self.eps)[0])
                far.append(seen)
        small, large = (np.sort(seen, axis=0)[-2] for seen in (near, far))
        least = np.spacing(np.abs(y_0)) / math.sqrt(12)  # of any number that is rounded
        return np.nan_to_num(np.maximum(small, np.minimum(large, 4 * ROUNDING * largest)) + least)

    def is_linear(self) -> bool:
        """Whether y is (affine) linear in the tensor, as far as a few long lines tell."""
        y_0 = self.y()
        for way in ways(self.tensor, self.rng, 3, max(1.0, self.unit)):
            y = self.line(way)
            once = y(1.0) - y_0
            size = max(float(np.abs(once).max()), float(np.abs(y_0).max()))
            if any(np.abs(y(f) - y_0 - f * once).max() > 1e-12 * size for f in (-1.0, 3.0)):
                return False
        return True

    def claimed_jacobian(self, y_shape: tuple[int, ...]) -> Array:
        """dy_o / d(tensor)_k from backward, one output after another; (outputs, numbers)."""
        size = math.prod(y_shape)
        unit_vectors = (np.eye(1, size, o).reshape(y_shape) for o in range(size))
        return np.stack([self.backward(dy).ravel() for dy in unit_vectors])

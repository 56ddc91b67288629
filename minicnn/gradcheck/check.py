"""One subject checked: what backward says of each tensor beside what the differences say.

    layer, loss or model -> Subject      a copy in float64 that gives the same y at every call
    forward              -> Differences  of <dy, y>, for a random dy; kinks left out
    backward             -> gradients    which claim to be those of <dy, y>
    both                 -> Comparison   one row: verdict, places of wrong numbers, likely mistake

Beside the numbers, a pass may not write into its inputs nor add to old gradients, and workers may
share nothing but parameters and state: `Subject.problems`, `workers.shared_state`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.random import Generator

from minicnn import checks
from minicnn.gradcheck import differences, mistakes
from minicnn.gradcheck.copies import unchanged
from minicnn.gradcheck.differences import Differences, Probe, multiple
from minicnn.gradcheck.result import CheckResult, Mistake, TensorCheck, Wrong
from minicnn.gradcheck.subjects import ModelSubject, Subject
from minicnn.gradcheck.workers import shared_state
from minicnn.layers.base import Array
from minicnn.settings import HasSettings, Setting

TOLERANCE = 1e-7  # of the largest number of the gradient
LINEAR_TOLERANCE = 1e-12  # where y is linear there is no truncation error, whatever the step
TIE_TOLERANCE = 1e-3  # of the gradient's norm; one whole gradient too many is of the size of 1
KINK_TOLERANCE = 1e-6  # of the slopes on both sides of a kink
TIE_PRODUCTS = 8  # directions
TOO_MANY_KINKS = "too many kinks"
SHOWN = 5  # wrong numbers that are listed
SAMPLE = 32  # numbers of a large tensor that are looked at
PART = partial(checks.real, low=0, high=0.1, open_low=True)


def _names(value: Any, name: str, who: str) -> list[str]:
    ordered = list(value) if isinstance(value, (set, frozenset)) else value
    names: list[str] = checks.listed(ordered, name, who)
    if not all(isinstance(one, str) for one in names):
        received = f"received {checks.shown(names)}"
        raise TypeError(f"{who}: expected {name} to be a list of names, {received}")
    if not names:
        received = "received none. None stands for all"
        raise ValueError(f"{who}: expected {name} to hold names, {received}")
    return names


class Options(HasSettings):
    """Arguments that the checks have in common, each checked as it is set; see `check_layer`."""

    eps = Setting(PART)
    seed = Setting(partial(checks.integer, minimum=0))
    tolerance = Setting(PART, default=None)
    training = Setting(checks.boolean)
    perturb = Setting(checks.boolean)
    linear = Setting(checks.boolean, default=None)
    max_elements = Setting(partial(checks.integer, minimum=1))
    max_kinks = Setting(partial(checks.real, low=0, high=1))
    wrt = Setting(_names, default=None)

    def __init__(self, who: str, products: int, given: dict[str, Any]) -> None:
        """`products` directions are taken for a large tensor; `given` holds what the user gave."""
        self.who, self.products = who, products
        for name, setting in self._declared.items():
            if name in given and (given[name] is not None or setting.default is not None):
                setattr(self, name, given[name])
        self.rng = np.random.default_rng(self.seed)


def check(subject: Subject, options: Options) -> tuple[CheckResult, Array]:
    """What is found about the tensors that `options` name; and the dy used."""
    for name in options.wrt or ():
        if name not in subject.tensors:
            known = f"name some of {', '.join(subject.tensors)}"
            received = checks.shown(name)
            raise ValueError(f"{options.who}: expected wrt to {known}; received {received}")
    rng, wanted = options.rng, options.wrt or subject.tensors
    names = [name for name in subject.tensors if name in wanted]
    y = _sound_forward(subject, names, rng)
    dy = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)
    gradients = subject.backward(dy)
    rows = [Comparison(subject, name, dy, gradients.get(name), options).row() for name in names]
    problems = list(subject.problems(dy))
    right = not problems and all(row.ok for row in rows)
    look = right or isinstance(subject, ModelSubject)  # of its layers, others may be right
    for layer, x in subject.layers_and_inputs() if look else ():
        told = shared_state(layer, x, training=subject.training, rng=rng)
        problems += [Mistake("shared state", told)] if told else []
    name, tensor = next(iter(subject.tensors.items()))
    return CheckResult(f"{subject.who}, {name} {tensor.shape}", tuple(rows), tuple(problems)), dy


def _sound_forward(subject: Subject, names: Iterable[str], rng: Generator) -> Array:
    """y, if differences of it can mean anything."""
    y, again = subject.forward(), subject.forward()
    if y.dtype != np.float64:
        raise ValueError(
            f"{subject.who}: expected forward to return float64 for float64, received {y.dtype}. "
            "Differences need the digits: make buffers with dtype=x.dtype"
        )
    if not y.size:
        raise ValueError(f"{subject.who}: forward returns an empty array, of shape {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError(f"{subject.who}: forward returns NaN or infinity for this x")
    if y.shape != again.shape or not np.array_equal(y, again):
        raise ValueError(
            f"{subject.who}: forward returns different numbers for the same x. Take random numbers "
            "from a np.random.Generator kept as an attribute, which the check can restore, or "
            "define seek(step, sample), or check with training=False"
        )
    if subject.y_shape not in (None, y.shape):
        shape = next(iter(subject.tensors.values())).shape
        raise ValueError(
            f"{subject.who}: forward returns shape {y.shape}, but output_shape({shape}) is "
            f"{subject.y_shape}. Define output_shape(input_shape) to say the same"
        )
    if differences.rounds_to_float32(subject, names, rng):
        raise ValueError(
            f"{subject.who}: forward rounds to float32 on its way, but differences need the "
            "digits. Make buffers and constants with dtype=x.dtype"
        )
    return y


class Comparison(Probe):
    """One tensor: its differences, and `raw`, what backward gave as its gradient for `dy`."""

    def __init__(self, subject: Subject, name: str, dy: Array, raw: Any, options: Options) -> None:
        super().__init__(subject, name, options.rng, options.eps)
        self.dy, self.raw, self.options = dy, raw, options
        linear = self.is_linear() if options.linear is None else options.linear
        self._measure(linear)
        if linear and options.linear is None and self.found.left_out[0]:
            self._measure(False)  # a kink where the long lines passed none

    def _measure(self, linear: bool) -> None:
        """The differences, which of them count (`use`), and what the error of each may be."""
        options, unit, directions = self.options, self.unit, None
        self.tolerance = options.tolerance or (LINEAR_TOLERANCE if linear else TOLERANCE)
        if self.tensor.size > options.max_elements:
            longest = max(1.0, unit) if linear else unit
            directions = differences.ways(self.tensor, options.rng, options.products, longest)
        self.found = found = Differences(self, self.dy, self.tolerance, linear, directions)
        self.allowed = np.maximum(self.tolerance * found.scale, found.rounding)
        self.use = ~found.kinked & found.whole
        self.numeric = found.numeric[self.use]

    def row(self) -> TensorCheck:
        """The verdict."""
        found, fault = self.found, self._unusable()
        story: dict[str, Any] = {"reason": fault or self._on_kinks()}
        checked, kinks, error = len(found.numeric), 0, np.inf
        if not fault:
            checked, kinks = int((~found.kinked).sum()), found.left_out[0]
            analytic = found.analytic(self.given)
            error = found.error(analytic)
            off = self._off(analytic)
            if off.any():
                story |= {"wrong_count": int(off.sum()), "mistake": self._explained(off)}
                if found.by_number:
                    story["wrong"] = self._listed(found, off, np.arange(off.size))
                    story["where"] = _in_common(off.reshape(self.tensor.shape))
                else:
                    story["wrong"] = self._listed(*self._sample())
        elif isinstance(self.raw, np.ndarray) and self.raw.dtype.kind == "f":
            story["mistake"] = self._explained()
        of = self.name, self.tensor.shape, error, self.tolerance, checked, kinks
        return TensorCheck(*of, by_products=not found.by_number, **story)

    def _off(self, analytic: Array) -> Array:
        """Which of the values are wrong; on a kink, those beside the slopes of its two sides."""
        found = self.found  # both slopes are of the smallest step: rounding takes most digits
        slack = KINK_TOLERANCE * np.maximum(np.abs(found.low), np.abs(found.high))
        slack = np.maximum(self.allowed, slack)
        beside = ~((analytic >= found.low - slack) & (analytic <= found.high + slack))
        off = ~(np.abs(analytic - found.numeric) <= self.allowed)  # NaN is off, too
        return np.where(found.kinked, beside & found.by_number, off)

    def _unusable(self) -> str:
        """Why what backward gave cannot be compared, if that is so."""
        name, shape, array = self.name, self.tensor.shape, np.asarray(self.raw)
        what = "dx" if name == "x" else f"the gradient of {name}"
        if self.raw is None:
            duty = "return dx" if name in ("x", "y_pred") else f"set grads[{name!r}]"
            return f"there is no gradient: backward has to {duty}"
        if array.dtype.kind not in "fiu":
            return f"expected {what} to be an array of numbers, received dtype {array.dtype}"
        if array.dtype.kind == "f" and array.dtype != np.float64:
            received = f"received {array.dtype}: make buffers with dtype=x.dtype"
            return f"expected {what} in float64, as all that went in, {received}"
        if array.shape != shape:
            return f"expected {what} of shape {shape}, received {array.shape}"
        return ""

    def _on_kinks(self) -> str:
        """Why too little could be compared; empty if it was enough."""
        kinks, count = self.found.left_out
        if self.options.linear and kinks:
            return "y is not linear in it: leave linear=True out"
        if not self.found.kinked.all() and kinks <= max(1, self.options.max_kinks * count):
            return ""
        ways = f"outputs on the {len(self.found.numeric)} ways"
        return (
            f"{TOO_MANY_KINKS}: {kinks} of {count} {'numbers' if self.found.by_number else ways} "
            "lie on one (ties in a maximum, 0 in a ReLU), where there is no gradient to compare "
            "with. Use an x without ties, or a shape"
        )

    def _explained(self, off: Array | None = None) -> Mistake | None:
        """The mistake that fits, judged where there are no kinks."""
        if off is not None and not off[~self.found.kinked].any():
            told = "it is right but for the kinks (0 in a ReLU, ties in a maximum)"
            return Mistake("kink", f"{told}, where it has to lie between the slopes on both sides")
        with np.errstate(all="ignore"):  # a wrong gradient may hold anything
            return mistakes.explain(self) if self.use.any() else None

    @cached_property
    def given(self) -> Array:
        return np.asarray(self.raw, np.float64)

    def gap(self, gradient: Array) -> Array:
        """How far a gradient of the tensor's shape is from the differences."""
        return np.abs(self.found.values_of(gradient)[self.use] - self.numeric)

    def agrees(self, gradient: Array) -> bool:
        """Whether `gradient` is the right one."""
        same_shape = gradient.shape == self.tensor.shape
        return same_shape and bool((self.gap(gradient) <= self.allowed[self.use]).all())

    @cached_property
    def factor(self) -> float:
        """How many times the right gradient the given one is; NaN if it is no multiple."""
        values = self.found.values_of(self.given)[self.use]
        return multiple(values, self.numeric, self.allowed[self.use])

    def jacobian(self) -> Array:
        """dy_o / d(tensor)_k from differences, shape (outputs, numbers)."""
        return Differences(self, self.dy, mistakes.FIT, self.found.linear).slopes.T

    J = cached_property(jacobian)

    @cached_property
    def B(self) -> Array:
        """The same from backward."""
        return self.claimed_jacobian(self.dy.shape)

    def same(self, a: Array, b: Array) -> bool:
        """Whether parts of Jacobians agree."""
        allowed = mistakes.FIT * max(float(np.abs(self.J).max()), 1e-300)
        return bool((np.abs(a - b) <= allowed).all())

    @property
    def is_image(self) -> bool:
        """Whether x and y are images, whichever tensor is looked at."""
        x = self.subject.tensors.get("x", self.tensor)
        return x.ndim == self.dy.ndim == 4 and len(x) == len(self.dy)

    def _listed(self, found: Differences, off: Array, places: Array) -> tuple[Wrong, ...]:
        """The numbers that are `off` the most, of those at these places."""
        gap = np.nan_to_num(np.abs(found.values_of(self.given) - found.numeric), nan=np.inf)
        wrong = []
        for n in np.argsort(np.where(off, -gap, 1), kind="stable")[: min(SHOWN, int(off.sum()))]:
            sides = f" (on a kink, between {found.low[n]:.6g} and {found.high[n]:.6g})"
            index = tuple(map(int, np.unravel_index(places[n], self.tensor.shape)))
            values = float(self.given[index]), float(found.numeric[n])
            wrong.append(Wrong(index, *values, sides if found.kinked[n] else ""))
        return tuple(wrong)

    def _sample(self) -> tuple[Differences, Array, Array]:
        """Some numbers of a large tensor: the one that halving leads to, and a few others."""
        size = self.tensor.size
        places = self.rng.choice(size, size=min(SAMPLE, size), replace=False)
        not_finite = np.flatnonzero(~np.isfinite(self.given))
        places[0] = not_finite[0] if not_finite.size else self._halving()
        found = Differences(self, self.dy, self.tolerance, False, places.tolist())
        near = np.abs(found.values_of(self.given) - found.numeric) <= 1e-6 * found.scale
        return found, ~near, places

    def _halving(self) -> int:
        """The place of a wrong number: of two halves, always the one that is more wrong."""
        begin, end = 0, self.tensor.size
        exact = copy.copy(self)
        exact.rounding = np.zeros(self.dy.size)
        while end - begin > 1:
            middle = (begin + end) // 2
            ways = np.zeros((2, self.tensor.size))
            for way, half in zip(ways, (slice(begin, middle), slice(middle, end))):
                way[half] = self.rng.choice([-1.0, 1.0], size=half.stop - half.start)
            found = Differences(exact, self.dy, 1e-4, self.found.linear, ways)
            gap = np.abs(found.analytic(self.given) - found.numeric)
            begin, end = (middle, end) if gap[1] > gap[0] else (begin, middle)
        return begin


def _in_common(off: Array) -> str:
    """What the places of the wrong numbers share, if they lie together."""
    said = []
    for axis, size in enumerate(off.shape if off.sum() >= 3 else ()):
        present = set(np.nonzero(off)[axis].tolist())
        if size > 2 and (len(present) == 1 or present == {0, size - 1}):
            said.append(f"axis {axis} at {' or '.join(map(str, sorted(present)))} of {size}")
    return f"all of them have {', '.join(said)}" if said else ""


def check_ties(subject: Subject, dy: Array, options: Options) -> tuple[TensorCheck, ...]:
    """A row for x with many equal numbers, if the gradient is wrong there.

    Equal numbers are moved together, by the same amount. So they stay equal and y stays smooth:
    whichever of the equal cells gets the gradient, the sum over them is the same.
    """
    x, rng = subject.tensors["x"], options.rng
    levels = np.quantile(x, rng.uniform(0.05, 0.95, size=4))
    which = rng.integers(len(levels), size=x.shape)
    together = differences.ways(levels, rng, TIE_PRODUCTS)[:, which.reshape(-1)]
    with unchanged(x):
        x[...] = levels[which]
        probe, given = Probe(subject, "x", rng, options.eps, unit=1.0), subject.backward(dy)["x"]
        found = Differences(probe, dy, TIE_TOLERANCE, False, together)
        analytic = found.analytic(given)
        scale = max(found.scale, float(np.linalg.norm(given * differences.sizes(x, 1.0))))
        allowed = TIE_TOLERANCE * (scale or 1.0) + found.rounding
        off = ~(np.abs(analytic - found.numeric) <= allowed) & ~found.kinked
        if not off.any():
            return ()
        likely = mistakes.tie(probe, dy)
    error = found.error(analytic, scale)
    of = "x, ties", x.shape, error, TIE_TOLERANCE, int((~found.kinked).sum()), found.left_out[0]
    return (TensorCheck(*of, by_products=True, wrong_count=int(off.sum()), mistake=likely),)

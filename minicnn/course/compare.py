"""A reader's function is run on the cases of an exercise, compared, and its mistake is found.

_outcomes     the function is called; what it raises, returns and changes
_in_order     the answers, if they are there, in the order that they should have
_slips        for each wrong answer: the mistakes that lead to just these numbers
_by_gradcheck where none does: what `minicnn.gradcheck` says of the gradient
"""

from __future__ import annotations

import inspect
import itertools
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.course.exercise import Array, Case, Exercise, Slip
from minicnn.course.result import Answer, Difference, Finding
from minicnn.gradcheck import CheckResult, Mistake, check_layer

SEED = 0
TOLERANCE = 1e-9  # of the largest number of an answer, or of 1
SINGLE = 1e-5  # the same, where float32 has cut off digits
UNTOUCHED = 1e-12  # by which an input may differ after the call: x + h - h need not be x
LONGEST_TRACEBACK = 12  # lines
MOST_SHOWN = 4  # numbers of an array


@dataclass
class Trial:
    """One call: the case, the right answers, and the reader's."""

    case: Case
    expected: tuple[Array, ...]
    received: tuple[Array, ...] = ()
    mistakes: list[Mistake] = field(default_factory=list)
    error: str = ""


def examine(exercise: Exercise, function: Callable[..., Any]) -> Answer:
    """What is found about the function."""
    trials: list[Trial] = []

    def answer(**found: Any) -> Answer:
        return Answer(exercise.name, exercise.signature, cases=len(trials), **found)

    if told := _other_arguments(exercise, function):
        return answer(mistakes=(Mistake("arguments", told),))
    for case in exercise.cases(np.random.default_rng(SEED)):
        trial = _trial(exercise, function, case)
        if not (trial.error or trial.mistakes):
            trials.append(trial)
        elif all(_right(exercise, earlier) for earlier in trials):
            seen = f"; the {len(trials)} cases before it are right" if len(trials) > 1 else ""
            found = {"error": trial.error, "mistakes": tuple(trial.mistakes)}
            return answer(**found, case=told_of(case), seen=seen)
        else:  # first things first: the simpler cases are wrong already
            break
    order = _in_order(exercise, trials)
    also = _passes_as(exercise, trials)
    if order or not (also or all(_right(exercise, trial) for trial in trials)):
        return answer(**_what_is_wrong(exercise, function, trials, order))

    gradients: CheckResult | None = None
    mistakes: list[Mistake] = []
    remarks = [also] if also else []
    if exercise.gradient is not None:
        try:
            gradients = gradient_check(exercise, function, trials[-1].case)
        except Exception as error:
            return answer(error=_told(error), seen="", case="numbers a little beside these cases")
        mistakes += gradients.problems
        if not gradients.ok and not mistakes:
            told = "it gives other numbers when it is called again: they may depend on its "
            mistakes.append(Mistake("not repeatable", f"{told}arguments alone"))
    mistakes += exercise.more(function) if exercise.more is not None else []
    remarks += _in_single_precision(exercise, function, trials[0])
    return answer(mistakes=tuple(mistakes), remarks=tuple(remarks), gradients=gradients)


def _what_is_wrong(
    exercise: Exercise,
    function: Callable[..., Any],
    trials: Sequence[Trial],
    order: list[Mistake],
) -> dict[str, Any]:
    """The parts of an `Answer` to a function that is wrong in some of the trials."""
    bad = [trial for trial in trials if not _right(exercise, trial)]
    wrong = [name for k, name in enumerate(exercise.outputs) if not _all_right(trials, k)]
    mistakes: dict[tuple[str, str], list[str]] = {}  # kind and text: the answers that have it
    differences = []
    for name in wrong:
        k = exercise.outputs.index(name)
        for mistake in _mistakes(exercise, function, trials, k, may_call=not order):
            mistakes.setdefault((mistake.kind, mistake.text), []).append(name)
        if (worst := _difference(exercise, trials, k)) is not None:
            differences.append(worst)
    verb = "is" if len(bad) == 1 else "are"
    return {
        "mistakes": (
            *order,
            *(Finding(kind, text, tuple(names)) for (kind, text), names in mistakes.items()),
        ),
        "differences": tuple(differences),
        "right": tuple(name for name in exercise.outputs if name not in wrong) if wrong else (),
        "case": told_of((bad or trials)[0].case),
        "seen": f"; {len(bad)} of {len(trials)} cases {verb} wrong"
        if 0 < len(bad) < len(trials)
        else "",
    }


# -- calls ----------------------------------------------------------------------------------------


def _other_arguments(exercise: Exercise, function: Callable[..., Any]) -> str:
    """What is wrong with the arguments that the function takes; empty if nothing is."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a compiled function has none
        return ""
    try:
        signature.bind(*exercise.arguments)
    except TypeError:
        return f"it is called as {exercise.signature}; yours takes {signature}"
    return ""


def _trial(exercise: Exercise, function: Callable[..., Any], case: Case) -> Trial:
    """The function called with copies of a case's arguments."""
    with np.errstate(all="ignore"):
        trial = Trial(case, tuple(map(np.asarray, exercise.right(**case))))
    given = [_copied(value) for value in case.values()]
    try:
        with np.errstate(all="ignore"):  # what overflows shows in what is returned
            returned = function(*given)
    except Exception as error:
        trial.error = _told(error)
        return trial
    told = _unusable(exercise.outputs, returned)
    if told is not None:
        trial.mistakes.append(told)
        return trial
    values = (returned,) if len(exercise.outputs) == 1 else returned
    trial.received = tuple(map(np.array, values))
    for (name, before), after in zip(case.items(), given):
        if isinstance(before, np.ndarray) and not _same(after, before, UNTOUCHED):
            told = Mistake(
                "input changed",
                f"it writes into {name}, which the caller still needs: make a new array "
                f"({name} = {name}.copy(), or {name} = {name} * ... instead of {name} *= ...)",
            )
            trial.mistakes.append(told)
    return trial


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _told(error: Exception) -> str:
    """The traceback, from the reader's function on."""
    frames = error.__traceback__
    frames = frames.tb_next if frames is not None else None
    lines = "".join(traceback.format_exception(type(error), error, frames)).splitlines()
    if len(lines) > LONGEST_TRACEBACK:
        lines = [*lines[:3], "  ...", *lines[3 - LONGEST_TRACEBACK :]]
    return "\n".join(lines)


def _unusable(outputs: Sequence[str], returned: Any) -> Mistake | None:
    """Why what the function returned cannot be compared."""
    names = ", ".join(outputs)
    if returned is None:
        return Mistake("nothing returned", f"it returned None: end with `return {names}`")
    values = [returned]
    if len(outputs) > 1:
        if not isinstance(returned, (tuple, list)) or len(returned) != len(outputs):
            what = type(returned).__name__
            if isinstance(returned, (tuple, list)):
                what = f"{len(returned)} values"
            elif isinstance(returned, np.ndarray):
                what = f"one array, of shape {returned.shape}"
            return Mistake(
                "number of answers",
                f"expected {len(outputs)} answers, `return {names}`; received {what}",
            )
        values = list(returned)
    for name, value in zip(outputs, values):
        if value is None:
            return Mistake("nothing returned", f"{name} is None: it has not been worked out yet")
        try:
            array = np.asarray(value)
        except Exception:  # lists of different lengths, another library's arrays
            array = np.asarray(None)
        if array.dtype.kind not in "biuf":
            what = f"dtype {array.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
            told = f"expected {name} to be an array of real numbers, received {what}"
            return Mistake("type", told)
    return None


def told_of(case: Case) -> str:
    """A case in a line: short rows and numbers as they are, of other arrays the shape."""
    return ", ".join(
        f"{name} {value.shape}"
        if isinstance(value, np.ndarray) and (value.ndim > 1 or value.size > MOST_SHOWN)
        else f"{name} = {_short(value)}"
        for name, value in case.items()
    )


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"[{', '.join(map(_short, value.tolist()))}]"
    if callable(value):
        return value.__doc__ or "a function"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# -- comparisons ----------------------------------------------------------------------------------


def _same(a: Any, b: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two arrays agree, in shape too; NaN with NaN."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and not _off(a, b, tolerance).any()


def _off(a: Array, b: Array, tolerance: float = TOLERANCE) -> Array:
    """True where numbers differ."""
    finite = np.abs(b[np.isfinite(b)])
    near = tolerance * max(1.0, float(finite.max(initial=0)))
    return ~np.isclose(np.asarray(a, np.float64), b, rtol=0, atol=near, equal_nan=True)


def _all_right(trials: Iterable[Trial], k: int) -> bool:
    return all(_same(trial.received[k], trial.expected[k]) for trial in trials)


def _right(exercise: Exercise, trial: Trial) -> bool:
    return all(_same(trial.received[k], trial.expected[k]) for k in range(len(exercise.outputs)))


def _difference(exercise: Exercise, trials: Sequence[Trial], k: int) -> Difference | None:
    """The worst number of the first case in which answer `k` has the right shape and is off."""
    for trial in trials:
        received, expected = trial.received[k], trial.expected[k]
        if received.shape != expected.shape or not (off := _off(received, expected)).any():
            continue
        gap = np.nan_to_num(np.abs(received - expected), nan=np.inf)
        place = np.unravel_index(int(np.argmax(np.where(off, gap, -1))), gap.shape)
        return Difference(
            exercise.outputs[k],
            tuple(map(int, place)),
            float(received[place]),
            float(expected[place]),
            int(off.sum()),
            off.size,
            told_of(trial.case),
        )
    return None


def _passes_as(exercise: Exercise, trials: Sequence[Trial]) -> str:
    """What is said of another right answer, if this is one."""
    for function, remark in exercise.also_right:
        others = (tuple(map(np.asarray, function(**trial.case))) for trial in trials)
        if all(
            _same(a, b)
            for trial, other in zip(trials, others)
            for a, b in zip(trial.received, other)
        ):
            return remark if any(not _right(exercise, trial) for trial in trials) else ""
    return ""


def _in_single_precision(
    exercise: Exercise, function: Callable[..., Any], trial: Trial
) -> list[str]:
    """A remark, if float32 that goes in comes out as something else."""

    def lower(value: Any) -> Any:
        is_array = isinstance(value, np.ndarray) and value.dtype == np.float64
        return value.astype(np.float32) if is_array else _copied(value)

    if not any(isinstance(v, np.ndarray) and v.dtype == np.float64 for v in trial.case.values()):
        return []
    try:
        with np.errstate(all="ignore"):
            returned = function(*map(lower, trial.case.values()))
    except Exception as error:
        return [f"remark: with float32 it raises {type(error).__name__}: {error}"]
    values = (returned,) if len(exercise.outputs) == 1 else returned
    for name, value in zip(exercise.outputs, values):
        if isinstance(value, np.ndarray) and value.ndim and value.dtype != np.float32:
            return [
                f"remark: from float32, {name} comes out as {value.dtype}. Layers work in float32: "
                "make buffers with np.zeros_like(...), or with dtype=x.dtype"
            ]
    return []


# -- mistakes -------------------------------------------------------------------------------------


def _in_order(exercise: Exercise, trials: Sequence[Trial]) -> list[Mistake]:
    """The mistake of returning the answers in another order, which is then undone."""
    names = exercise.outputs

    def fits(order: Sequence[int], test: Callable[[Array, Array], bool]) -> bool:
        return all(test(t.received[o], t.expected[k]) for t in trials for k, o in enumerate(order))

    def shaped(a: Array, b: Array) -> bool:
        return bool(a.shape == b.shape)

    unchanged = tuple(range(len(names)))
    if len(names) == 1 or fits(unchanged, _same):
        return []
    others = [order for order in itertools.permutations(unchanged) if order != unchanged]
    exact = [order for order in others if fits(order, _same)]
    if not exact and not fits(unchanged, shaped):
        exact = [order for order in others if fits(order, shaped)]
    if len(exact) != 1:
        return []
    for trial in trials:
        trial.received = tuple(trial.received[o] for o in exact[0])
    returned = ", ".join(names[exact[0].index(k)] for k in unchanged)
    told = f"the answers come as {returned}; they are asked for as {', '.join(names)}"
    return [Mistake("order of answers", told)]


def _mistakes(
    exercise: Exercise,
    function: Callable[..., Any],
    trials: Sequence[Trial],
    k: int,
    *,
    may_call: bool,
) -> list[Mistake]:
    """The mistakes that explain answer `k`, their texts without its name."""
    if found := _slips(exercise, trials, k):
        return [Mistake(slip.kind, slip.text) for slip in found]
    if all(not trial.received[k].any() for trial in trials):
        return [Mistake("zero", "it is 0 everywhere: it has not been worked out yet")]
    if factor := _factor(trials, k):
        if factor == -1:
            return [Mistake("sign", "it has the wrong sign: minus it is right")]
        return [Mistake("factor", f"it is {factor:.6g} times the right one")]
    if all(_same(trial.received[k], trial.expected[k], SINGLE) for trial in trials):
        told = "it has lost digits: make buffers with dtype=x.dtype, and keep float32 out of it"
        return [Mistake("float32", told)]
    if exercise.gradient is not None and may_call:
        by_differences = _by_gradcheck(exercise, function, trials, k)
        if by_differences is not None:
            return [by_differences]
    for trial in trials:
        received, expected = trial.received[k].shape, trial.expected[k].shape
        if received != expected:
            told = f"expected an array of shape {expected}, received {received}"
            return [Mistake("shape", told)]
    return []


def _factor(trials: Sequence[Trial], k: int) -> float:
    """The number by which answer `k` is too large, the same in cases of all sizes; 0 if none."""
    received, expected = trials[0].received[k], trials[0].expected[k]
    if received.shape != expected.shape or not np.isfinite(received).all() or not expected.any():
        return 0.0
    factor = float(np.vdot(expected, received) / np.vdot(expected, expected))
    fits = all(_same(trial.received[k], factor * trial.expected[k]) for trial in trials)
    return round(factor, 9) if fits and len(trials) > 1 else 0.0


def _slips(exercise: Exercise, trials: Sequence[Trial], k: int) -> tuple[Slip, ...]:
    """The one mistake, or two, that lead to just these numbers in every case."""
    slips = [slip for slip in exercise.slips if slip.output == exercise.outputs[k]]
    pairs = [
        (a, b)
        for a, b in itertools.combinations(slips, 2)
        if a.wrong is b.wrong and not a.flags.keys() & b.flags.keys()
    ]
    for together in (*((slip,) for slip in slips), *pairs):
        flags = {key: value for slip in together for key, value in slip.flags.items()}
        if all(_made(together[0].wrong, trial, k, flags) for trial in trials):
            return together
    return ()


def _made(wrong: Callable[..., Any], trial: Trial, k: int, flags: dict[str, Any]) -> bool:
    try:
        with np.errstate(all="ignore"):
            return _same(trial.received[k], wrong(**trial.case, **flags))
    except (ValueError, IndexError, ArithmeticError):  # the mistake cannot be made in this case
        return False


# -- the gradient checker -------------------------------------------------------------------------


class _Asked:
    """The package's forward with the reader's backward, as `check_layer` wants it."""

    def __init__(self, exercise: Exercise, function: Callable[..., Any], case: Case) -> None:
        assert exercise.gradient is not None
        self._of, self._function = exercise.gradient, function
        self._names = exercise.outputs
        unseen = self._of.unseen(case)
        self._case = case
        known = {**case, **unseen}
        self.params = {name: known[name].copy() for name in self._of.outputs if name != self._of.x}
        self.grads: dict[str, Any] = {}
        self._x: Array = case[self._of.x]

    def __deepcopy__(self, memo: dict[int, Any]) -> _Asked:
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        twin.params = {name: p.copy() for name, p in self.params.items()}
        twin.grads = {}
        return twin

    def forward(self, x: Array) -> Array:
        self._x = x
        given = {key: value for key, value in self._case.items() if key != "dy"}
        return np.asarray(self._of.y(**{**given, **self.params, self._of.x: x}))

    def backward(self, dy: Array) -> Array:
        known = {**self._case, **self.params, self._of.x: self._x, "dy": dy}
        with np.errstate(all="ignore"):
            returned = self._function(*(known[name] for name in self._case))
        values = (returned,) if len(self._names) == 1 else returned
        by_name = dict(zip(self._names, values))
        scale = 1 if "dy" in self._case else dy.reshape(-1)[0]
        answers = {key: by_name[name] * scale for key, name in self._of.outputs.items()}
        self.grads = {key: value for key, value in answers.items() if key != self._of.x}
        return answers[self._of.x]


def gradient_check(exercise: Exercise, function: Callable[..., Any], case: Case) -> CheckResult:
    """What `minicnn.gradcheck` says of the function as the backward of the package's forward."""
    assert exercise.gradient is not None
    asked = _Asked(exercise, function, case)
    return check_layer(asked, case[exercise.gradient.x], perturb=False)


def _by_gradcheck(
    exercise: Exercise, function: Callable[..., Any], trials: Sequence[Trial], k: int
) -> Mistake | None:
    """The mistake that the checker names in both the simplest and the last wrong case."""
    assert exercise.gradient is not None
    tensors = {output: key for key, output in exercise.gradient.outputs.items()}
    tensor = tensors.get(exercise.outputs[k])
    row = "x" if tensor == exercise.gradient.x else tensor
    wrong = [trial for trial in trials if not _same(trial.received[k], trial.expected[k])]
    found: list[Mistake | None] = []
    for number in dict.fromkeys((0, len(wrong) - 1)) if row is not None else ():
        try:
            result = gradient_check(exercise, function, wrong[number].case)
        except Exception:  # ties or shapes of which differences cannot be taken
            return None
        found += [one.mistake for one in result.rows if one.name == row]
    kinds = {None if mistake is None else mistake.kind for mistake in found}
    return found[-1] if len(kinds) == 1 else None

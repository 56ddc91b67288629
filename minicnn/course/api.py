"""check, exercises, hint and solution: their arguments checked."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from minicnn import checks
from minicnn.course import solutions
from minicnn.course.compare import examine
from minicnn.course.exercise import Exercise
from minicnn.course.pages import EXERCISES
from minicnn.course.result import Answer, Text


def exercises() -> list[str]:
    """The names of the exercises, in the order of the pages.

    >>> exercises()[:3]
    ['neuron_backward', 'numeric_gradient', 'dense_forward']
    """
    return list(EXERCISES)


def check(name: str, function: Callable[..., Any]) -> Answer:
    """Run a reader's function, compare it with the package, and name the mistake.

    The function is called with copies of small arrays in float64, drawn with a fixed seed, by
    position. What it returns is compared with the package's own layers; gradients are also held to
    central differences by `minicnn.gradcheck`. A wrong answer is compared with what the common
    mistakes give, one or two of them at a time.

    Parameters
    ----------
    name : str
        An exercise: one of `exercises()`.
    function : callable
        Your function; the page, and the answer if the function does not fit, say how it is called.

    Returns
    -------
    Answer
        True if it passed. Prints as one line, or as what is wrong; `.kinds` are the short names of
        the mistakes. What the function raises is part of it, and not raised again.

    Raises
    ------
    TypeError
        If `name` is no str, or `function` cannot be called.
    ValueError
        For an exercise that there is not, with the names of those that there are.

    Examples
    --------
    >>> import numpy as np
    >>> check("relu_backward", lambda dy, x: dy * (x > 0))
    relu_backward: passed (3 cases and central differences agree)
    >>> answer = check("relu_backward", lambda dy, x: dy * (dy > 0))
    >>> answer.ok, answer.kinds
    (False, ['mask from dy'])
    """
    exercise = _exercise(name, "check")
    if not callable(function):
        raise TypeError(
            f"check: expected function to be the function itself, to be called as "
            f"{exercise.signature}; received {checks.shown(function)}. Leave out the parentheses "
            "behind its name"
        )
    return examine(exercise, function)


def hint(name: str, number: int = 1) -> Text:
    """The first hint for an exercise, or the one of that number; the first says how many there are.

    Raises TypeError or ValueError for a name or number that there is not.

    >>> hint("relu_backward")
    relu_backward(dy, x) -> dx: the gradient of y = max(x, 0)
    Hint 1 of 2: move one x a little. Does y move with it, and by how much, if x is negative?
    """
    exercise = _exercise(name, "hint")
    count = len(exercise.hints)
    number = checks.integer(number, "number", "hint", minimum=1, maximum=count)
    told = f"Hint {number} of {count}: {exercise.hints[number - 1]}"
    return Text(f"{exercise.signature}: {exercise.task}\n{told}")


def solution(name: str) -> Text:
    """The source of a solution, from `minicnn/course/solutions.py`.

    Raises TypeError or ValueError for a name that there is not.

    >>> solution("relu_backward")
    def relu_backward(dy, x):
        return dy * (x > 0)
    """
    exercise = _exercise(name, "solution")
    return Text(inspect.getsource(getattr(solutions, exercise.name)).rstrip())


def _exercise(name: Any, who: str) -> Exercise:
    known = ", ".join(EXERCISES)
    if not isinstance(name, str):
        raise TypeError(
            f"{who}: expected name to be the name of an exercise, one of {known}; received "
            f"{checks.shown(name)}"
        )
    if name not in EXERCISES:
        near = difflib.get_close_matches(name, EXERCISES, n=1)
        advice = f". Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"{who}: expected name to be one of {known}; received {checks.shown(name)}{advice}"
        )
    return EXERCISES[name]

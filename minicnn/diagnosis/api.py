"""`diagnose` itself: copies, measures, judges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.diagnosis import history as curves
from minicnn.diagnosis import judge, measure
from minicnn.diagnosis.classes import Classes, classes_of, outside
from minicnn.diagnosis.result import Diagnosis, Fact, Problem
from minicnn.gradcheck.copies import copy_of
from minicnn.layers.randomness import RandomLayer
from minicnn.models import Sequential

Array = NDArray[Any]

WHO = "diagnose"


def diagnose(model: Sequential, x: Any, y: Any, history: Any = None) -> Diagnosis:
    """Say in plain words what is wrong with a training: before it, during it, or after it.

    Up to 512 of the samples are taken through a copy of the model, layer by layer, and the copy
    takes ten steps on one batch of at most 128. The model, its optimizer and its random numbers
    stay untouched.

    Parameters
    ----------
    model : Sequential
        Compiled; built or not, trained or not.
    x, y : array
        As for `fit`: the training data, as the model gets them.
    history : History or dict, optional
        What `fit` returned, or its `.history`; that of the model's last fit, if not given.

    Returns
    -------
    Diagnosis
        Prints as a report. `.facts` are always there, `.warnings` where something is wrong, each
        with what was measured, what it means and what to try; true where there is none.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, and a model without layers or not compiled. Labels that the
        model has no output for are a warning instead.

    Examples
    --------
    >>> from minicnn.layers import Dense
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.integers(0, 256, (200, 8)), rng.integers(0, 3, 200)
    >>> model = Sequential([Dense(16, "relu", input_shape=(8,)), Dense(3, "softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> diagnose(model, x, y).kinds
    ['inputs_not_scaled']
    >>> diagnose(model, x / 255, y).ok
    True
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"{WHO}: expected model to be a Sequential, received {checks.shown(model)}")
    model.expect_compiled(WHO)
    model.expect_at_rest(WHO, but_for_hooks=True)
    past = model.history if history is None else history
    figures = {} if past is None else curves.curves_of(past, WHO)
    twin = copy_of(model, WHO)
    found = _once_each(_findings(twin, x, y, figures))
    return Diagnosis(
        [one for one in found if isinstance(one, Fact)],
        [one for one in found if isinstance(one, Problem)],
    )


def _once_each(found: Iterable[Fact | Problem]) -> list[Fact | Problem]:
    """Of several problems of a kind the first: the batch and the history may tell the same."""
    kept: dict[Any, Fact | Problem] = {}
    for number, one in enumerate(found):
        kept.setdefault(one.kind if isinstance(one, Problem) else number, one)
    return list(kept.values())


def _findings(twin: Sequential, x: Any, y: Any, figures: curves.Curves) -> Iterator[Fact | Problem]:
    try:
        data = twin.checked_data(x, WHO, y)
    except ValueError:
        problem, inside = outside(twin, x, y)
        if problem is None:
            raise
        twin.checked_data(x, WHO, inside)  # raises if something else is wrong, too
        yield judge.inputs_fact(np.asarray(x))
        yield problem
        return
    twin.build_for_training(data)
    loss: Any = twin.loss
    rows = np.random.default_rng(0).permutation(len(data))[: measure.SAMPLES]
    targets = loss.targets(data.y, twin.output_shape, WHO)
    classes = classes_of(loss, targets, twin.output_shape)
    trained = bool(twin.optimizer.iterations)

    with np.errstate(all="ignore"):  # what overflows is found by its result
        walked = measure.walk(twin, data, rows)
        spare = copy_of(twin, WHO)
        steps = measure.take_steps(spare, data, rows)

    yield judge.inputs_fact(np.asarray(data.x))
    if classes is not None:
        yield from classes.judged()
    yield from judge.judged(
        twin, walked, steps, classes, None if classes else _spread(loss, targets), trained=trained
    )
    if figures:
        drawing = [one.name for one in twin.leaves if isinstance(one, RandomLayer)]
        yield from curves.read(figures, _chance(classes, loss, targets), drawing)
    if classes is not None and trained and np.isfinite(walked.outputs).all():
        yield from classes.confused(rows, walked.outputs, loss)


def _spread(loss: Any, targets: Array) -> float:
    """By which gradients of a regression are measured: they grow with its targets."""
    return max(1.0, float(np.std(targets, dtype=np.float64)))


def _chance(classes: Classes | None, loss: Any, targets: Array) -> float | None:
    """The loss of the best guess that does not look at x, where there is a formula for it."""
    if classes is not None:
        return classes.guessing if "crossentropy" in loss.name else None
    if loss.name == "mean_squared_error":
        return float(targets.astype(np.float64).var(axis=0).mean())
    return None

"""check_layer, check_loss and check_model: their arguments checked, their subjects made."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicnn import checks, losses
from minicnn.gradcheck.check import TOO_MANY_KINKS, Options, check, check_ties
from minicnn.gradcheck.copies import move_apart
from minicnn.gradcheck.engine import check_engine
from minicnn.gradcheck.result import CheckResult
from minicnn.gradcheck.subjects import LayerSubject, LossSubject, ModelSubject
from minicnn.items import fits
from minicnn.layers.base import Array, Layer, Shape
from minicnn.models import Sequential

EPS = 1e-5
MODEL_TOLERANCE = 1e-6
MAX_KINKS = 0.1  # part of the numbers that may be left out
PRODUCTS, MODEL_PRODUCTS = 8, 4  # directions for a large tensor
DRAWS = 4  # inputs that are tried, until one does not sit on kinks
BATCH = 3  # samples, where the shape leaves it open; differs from the 2 in so many formulas
LARGEST = 10_000_000  # numbers of an x that is drawn
CHECKS = {
    Layer: "For a layer there is check_layer",
    losses.Loss: "There is check_loss for losses",
    Sequential: "For a model there is check_model",
}


def check_layer(
    layer: Any,
    input_shape_or_x: Any,
    *,
    training: bool = True,
    eps: float = EPS,
    seed: int = 0,
    tolerance: float | None = None,
    linear: bool | None = None,
    max_elements: int = 1000,
    max_kinks: float = MAX_KINKS,
    perturb: bool = True,
    wrt: Sequence[str] | None = None,
) -> CheckResult:
    """Compare the gradients that a layer works out with central differences of its forward.

    The gradient is that of <dy, y> for a random dy, of a float64 copy. Masks are frozen: before
    each pass `layer.seek` is called, and generators and running statistics are restored. Replicas
    of the layer, with which `fit` works, run in turns and in threads: none may disturb another. The
    result prints as a table; a failure lists the numbers that are off and names the mistake that
    explains them, if it is a common one.

    Parameters
    ----------
    layer : Layer, or any object with `forward(x)` and `backward(dy)`
        Its parameters and their gradients are looked for in the dicts `params` and `grads`.
    input_shape_or_x : tuple of int, or array of shape (N, ...)
        A shape has the batch axis first, None for any: (None, 28, 28, 1). If the layer's
        `output_shape` takes it only with a batch axis before it, as a Conv2D does (28, 28, 1), that
        is what is meant. The numbers are random, between -2 and 2, and keep a distance from each
        other and from 0, so that few lie on kinks. An array is used exactly as it is.
    training : bool
        Handed to `forward`. True by default: that is where `fit` uses the gradient.
    eps : float
        Step of the differences, times the largest number that is moved if that is above 1.
    seed : int
        Of x, dy and the first weights.
    tolerance : float, optional
        Of the error, as a part of the gradient's largest number; 1e-7, or 1e-12 where y is linear.
    linear : bool, optional
        Where y is linear in a parameter, differences have no truncation error: the step is 1 then.
        None finds out for each parameter, True takes it for granted, False uses `eps` always.
    max_elements : int
        Parameters up to this size are checked number by number, larger ones by products:
        <dy, J v> from differences against <J^T dy, v> from backward, for 8 random v.
    max_kinks : float in [0, 1]
        Part of the numbers that may be left out because they lie on a kink (one may always).
    perturb : bool
        Give random numbers to parameters that are constant, such as zero biases: next to them some
        wrong gradients are right.
    wrt : sequence of str, optional
        Check only these: "x", and the keys of `params`.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit; for a forward that returns NaN, another type than float64 for
        float64, or different numbers for the same x.

    Examples
    --------
    >>> from minicnn.layers import Dense
    >>> class Halved(Dense):
    ...     def backward(self, dy):
    ...         dx = super().backward(dy)
    ...         self.grads["b"] /= len(dy)
    ...         return dx
    >>> check_layer(Dense(2), (4, 3)).ok
    True
    >>> check_layer(Halved(2, name="wrong"), (4, 3))  # doctest: +ELLIPSIS
    Halved 'wrong', x (4, 3): FAILED
      parameter  shape   worst error  tolerance  checked  kinks  verdict
      x          (4, 3)  ...          1e-12      12 each  0      ok
      W          (3, 2)  ...          1e-12      6 each   0      ok
      b          (2,)    7.5e-01      1e-12      2 each   0      FAILED
    b: 2 of 2 numbers are off
        b[1]: backward says -0.8455596, the differences say -3.3822384
        b[0]: backward says 0.061902648, the differences say 0.24761059
        likely mistake: it is 0.25 times the right one: 1/N. A mean instead of a sum? The loss ...
    """
    options = Options("check_layer", PRODUCTS, locals())
    _expect(layer, Layer, "a layer with forward(x) and backward(dy)", options.who)
    x, sizes = input_shape_or_x, (numbers.Integral, type(None))
    drawn = isinstance(x, (tuple, list)) and bool(x) and all(isinstance(n, sizes) for n in x)
    shape = _full_shape(layer, x) if drawn else ()
    if not drawn:
        expected = "a shape such as (None, 28, 28, 1), or a batch of at least one sample"
        x = _batch(x, "input_shape_or_x", options.who, f"input_shape_or_x to be {expected}")
    for _ in range(DRAWS if drawn else 1):
        x = _spaced(shape, options.rng) if drawn else x
        subject = LayerSubject(layer, x, training=training, rng=options.rng)
        if perturb:
            subject.perturb(options.rng)
        result, dy = check(subject, options)
        if not any(row.reason.startswith(TOO_MANY_KINKS) for row in result.rows):
            break
    if (first := result.rows[0]).name == "x" and first.ok and x.size > 1:
        result = replace(result, rows=result.rows + check_ties(subject, dy, options))
    if drawn and not result.ok:
        result = _by_smaller(result, layer, x.shape, training=training, seed=seed)
    return result


def _expect(thing: Any, kind: type, expected: str, caller: str) -> None:
    """Raise TypeError for what another check is for, and for what has no passes."""
    if isinstance(thing, kind):
        return
    advice = [told for other, told in CHECKS.items() if isinstance(thing, other)]
    missing = [name for name in ("forward", "backward") if not callable(getattr(thing, name, None))]
    received = checks.shown(thing)
    if isinstance(thing, type):
        received = f"the class {thing.__name__}. Make an object of it: {thing.__name__}(...)"
    elif advice:
        expected, received = expected.partition(" with ")[0], f"{received}. {advice[0]}"
    elif missing:
        received += f", which has no {missing[0]}"
    elif kind is not Sequential:
        return
    raise TypeError(f"{caller}: expected {expected}, received {received}")


def _full_shape(layer: Any, given: Sequence[Any]) -> Shape:
    """The shape of a batch: the one given, or that with a batch axis before it."""
    batch, *sizes = checks.batch_shape(given, "input_shape_or_x", "check_layer")
    expected = "check_layer: expected input_shape_or_x to"
    if None in sizes:
        received = f"received {checks.shown(given)}. Give the other sizes as numbers, small ones do"
        raise ValueError(f"{expected} have None for the batch axis only, {received}")
    full: Shape = (BATCH if batch is None else int(batch), *map(int, sizes))
    if callable(output_shape := getattr(layer, "output_shape", None)):
        try:
            output_shape(full)
        except ValueError as error:
            full = (BATCH, *full)
            if batch is None or not fits([layer], full):
                raise error from None
    if math.prod(full) > LARGEST:
        received = f"received {tuple(given)}. Gradients are right or wrong on small inputs, too"
        raise ValueError(f"{expected} hold at most {LARGEST:,} numbers, {received}")
    return full


def _spaced(shape: Shape, rng: np.random.Generator) -> Array:
    """Random numbers between -2 and 2, all apart from each other and from 0.

    >>> x = _spaced((2, 3), np.random.default_rng(0))
    >>> x.shape, bool(np.diff(np.sort(x.ravel())).min() > 0.3)
    ((2, 3), True)
    """
    size = math.prod(shape)
    grid = np.arange(size) + 0.5 - size / 2  # no whole number of steps from 0 ...
    grid += 0.5 * (size % 2) + rng.uniform(-0.2, 0.2, size)  # ... for odd sizes too
    return rng.permutation(grid * (4 / (size + 1))).reshape(shape)


def _batch(value: Any, name: str, caller: str, expected: str, axes: int = 1) -> Array:
    """`value` as an array in float64 that has samples, and numbers that are finite."""
    array = checks.numeric(value, name, caller)
    if array.ndim < axes or 0 in array.shape:
        raise ValueError(f"{caller}: expected {expected}, received shape {array.shape}")
    checks.finite(array, name, caller)
    return array.astype(np.float64)


def _by_smaller(result: CheckResult, layer: Any, shape: Shape, **same: Any) -> CheckResult:
    """Where x is too large for a diagnosis, one on a smaller x; once there are weights, only height
    and width are made smaller.
    """
    fixed = getattr(layer, "built", False) or getattr(layer, "params", None)
    shrinks = range(1, min(3, len(shape) - 1) if fixed else len(shape))
    rows = {row.name: row for row in result.rows}
    for size in (7, 8, 9, 11) if max(shape[1:], default=0) >= 12 else ():
        puzzles = [name for name, row in rows.items() if row.wrong_count and row.mistake is None]
        sizes = [min(n, size) if axis in shrinks else n for axis, n in enumerate(shape)]
        smaller = (BATCH, *sizes[1:])
        try:
            found = check_layer(layer, smaller, **same).rows if puzzles else ()
        except Exception:  # the layer may want just the size that it was given
            continue
        for row in found:
            if row.name in puzzles and row.mistake is not None:
                told = replace(row.mistake, text=f"(seen on x {smaller}) {row.mistake.text}")
                rows[row.name] = replace(rows[row.name], mistake=told)
    return replace(result, rows=tuple(rows.values()))


def check_loss(
    loss: Any,
    y_true: Any,
    y_pred: Any,
    *,
    eps: float = EPS,
    seed: int = 0,
    tolerance: float | None = None,
    max_elements: int = 1000,
    max_kinks: float = MAX_KINKS,
) -> CheckResult:
    """Compare a loss's `backward` with central differences of its `forward`, in float64.

    The losses of the samples are weighted at random, so that a sample whose gradient goes to
    another one is found. What is not listed is as for `check_layer`.

    Parameters
    ----------
    loss : Loss, str, or an object with `forward(y_true, y_pred)` and `backward(y_true, y_pred)`
        forward gives one number a sample, backward the gradient of each of these.
    y_true : array
        Targets, as the loss takes them.
    y_pred : array of shape (N, ..., C)
        Predictions; probabilities between 1e-7 and 1 - 1e-7 where the loss clips them there.

    Raises
    ------
    TypeError, ValueError
        For targets and predictions that do not fit the loss or each other.

    Examples
    --------
    >>> check_loss("mse", [[0.0, 1.0]], [[0.3, 0.4]]).ok
    True
    """
    options = Options("check_loss", PRODUCTS, locals())
    caller = options.who
    if isinstance(loss, (str, type)):
        loss = losses.get(loss, caller)
    expected = "a loss with forward(y_true, y_pred) and backward(y_true, y_pred)"
    _expect(loss, losses.Loss, expected, caller)
    predicted = _batch(y_pred, "y_pred", caller, "y_pred of shape (N, ..., C)", axes=2)
    true = checks.numeric(y_true, "y_true", caller)
    if callable(getattr(loss, "targets", None)):
        try:
            true = loss.targets(true, predicted.shape, caller)
        except ValueError as error:  # in the words of fit
            raise ValueError(str(error).replace("expected y ", "expected y_true ", 1)) from None
    checks.same_length({"y_true": np.atleast_1d(true), "y_pred": predicted}, caller)

    subject = LossSubject(loss, true, predicted)
    values = subject.forward()
    if values.shape != (len(predicted),):
        expected = f"the loss of each sample, shape ({len(predicted)},)"
        raise ValueError(
            f"{caller}: expected {subject.who}.forward to return {expected}, received shape "
            f"{values.shape}. The mean over the batch is taken by fit"
        )
    return check(subject, options)[0]


def check_model(
    model: Sequential,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    training: bool = True,
    eps: float = EPS,
    seed: int = 0,
    tolerance: float = MODEL_TOLERANCE,
    max_elements: int = 100,
    max_kinks: float = MAX_KINKS,
    perturb: bool = True,
    wrt: Sequence[str] | None = None,
) -> CheckResult:
    """Compare the gradients that `fit` would use, of every parameter and of x, with differences.

    Runs the loss on the logits, in shards, as `fit` does, on a float64 copy, with samples weighted
    at random. After a failure, the last lines say which layer or loss is wrong by itself. In
    training, the gradients that the engine itself works out for a float32 model, with its fused
    stages, are then held to those which the differences have confirmed, and each step that is off
    is named: `.engine`. What is not listed is as for `check_layer`.

    Parameters
    ----------
    model : Sequential
        Compiled or not, built or not.
    x, y : array
        A few samples, as for `fit`. `perturb` also moves equal numbers in x apart, by up to 0.01 of
        its range, since flat parts of an image are ties for a max-pooling.
    loss : str or Loss, optional
        Instead of the one that the model was compiled with.
    wrt : sequence of str, optional
        Check only these: "x", and "layer name/key".

    Raises
    ------
    TypeError, ValueError
        For data that do not fit the model or the loss, and if there is no loss.

    Examples
    --------
    >>> from minicnn.layers import Dense
    >>> model = Sequential([Dense(4, activation="relu"), Dense(3, activation="softmax")])
    >>> x, y = np.random.default_rng(0).normal(size=(5, 2)), [0, 1, 2, 0, 1]
    >>> check_model(model, x, y, loss="sparse_categorical_crossentropy").ok
    True
    """
    options = Options("check_model", MODEL_PRODUCTS, {**locals(), "linear": False})
    caller, rng = options.who, options.rng
    _expect(model, Sequential, "model to be a Sequential", caller)
    if not model.layers:
        raise ValueError(f"{caller}: {model.who} has no layers")
    x = _batch(x, "x", caller, "x to have a batch axis and no empty axis")
    subject = ModelSubject(model, x, y, loss, training=training, rng=rng)
    if perturb:
        subject.perturb(rng)
        if len(np.unique(subject.x)) < subject.x.size:
            move_apart(subject.x, rng)
    result, dy = check(subject, options)
    confirmed = [row.name for row in result.rows if row.ok and row.name != "x"]
    if training and subject.dtype == np.float32 and confirmed:
        result = replace(result, engine=check_engine(subject, dy, confirmed, rng))
    if any(row.wrong_count for row in result.rows):
        result = replace(result, hints=tuple(_wrong_parts(subject, seed)))
    return result


def _wrong_parts(subject: ModelSubject, seed: int) -> list[str]:
    """Which layers, or regularizers, or the loss, fail by themselves."""
    parts = [
        check_layer(part, x.shape, training=subject.training, seed=seed)
        for part, x in (*subject.layers_and_inputs(), *subject.penalties_and_inputs())
    ]  # not on these x, where L1 has kinks: zero biases
    parts.append(check_loss(subject.loss, subject.y_true, subject.outputs()[-1], seed=seed))
    failed = [f"by itself, {part}" for part in parts if not part.ok]
    right = "each layer and the loss are right by themselves: look at how they are joined"
    return failed or [right]

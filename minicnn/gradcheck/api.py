"""check_layer, check_loss and check_model: their arguments checked, their subjects made."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, losses
from minicnn.gradcheck.check import TOO_MANY_KINKS, Options, check, check_ties
from minicnn.gradcheck.copies import move_apart
from minicnn.gradcheck.engine import check_engine
from minicnn.gradcheck.result import CheckResult
from minicnn.gradcheck.subjects import LayerSubject, LossSubject, ModelSubject
from minicnn.layers import Layer
from minicnn.models import Sequential

Array = NDArray[Any]
Shape = tuple[Any, ...]

EPS = 1e-5
MODEL_TOLERANCE = 1e-6
MAX_KINKS = 0.1  # part of the numbers that may be left out
PRODUCTS, MODEL_PRODUCTS = 8, 4  # directions for a large tensor
DRAWS = 4  # inputs that are tried, until one does not sit on kinks
BATCH = 3  # samples, where the shape leaves it open; differs from the 2 in so many formulas
LARGEST = 10_000_000  # numbers of an x that is drawn


# -- layers ---------------------------------------------------------------------------------------


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

    Works on a float64 copy: the layer, its parameters, gradients and caches stay as they are. The
    gradient is that of <dy, y> for a random dy. Masks are frozen: before each pass `layer.seek` is
    called, and generators and running statistics that the layer holds are restored. Replicas of the
    layer, with which `fit` works, are run in turns and in threads: none may disturb another.

    Parameters
    ----------
    layer : Layer, or any object with `forward(x)` and `backward(dy)`
        Its parameters and their gradients are looked for in the dicts `params` and `grads`.
    input_shape_or_x : tuple of int, or array of shape (N, ...)
        A shape has the batch axis first, None for any: (None, 28, 28, 1). If the layer's
        `output_shape` refuses the shape but takes it with a batch axis before it, as a Conv2D does
        with (28, 28, 1), that is what is meant. The numbers are then random, between -2 and 2, and
        keep a distance from each other and from 0, so that few lie on kinks. An array is used
        exactly as it is.
    training : bool
        Handed to `forward`. True by default: that is where `fit` uses the gradient.
    eps : float
        Step of the differences, times the largest number that is moved if that is above 1.
    seed : int
        Of x, dy and the first weights.
    tolerance : float, optional
        What the error may be, as a part of the largest number of the gradient; if not given, 1e-7,
        or 1e-12 where y is linear.
    linear : bool, optional
        Where y is linear in a parameter, differences have no truncation error: the step is 1 then.
        None finds out for each parameter, True takes it for granted, False uses `eps` always.
    max_elements : int
        Parameters up to this size are checked number by number, larger ones by products:
        <dy, J v> from differences against <J^T dy, v> from backward, for 8 random v.
    max_kinks : float in [0, 1]
        Part of the numbers that may be left out because they lie on a kink (one may always).
    perturb : bool
        Give random numbers to the copy's parameters that are constant, such as zero biases: next
        to them some wrong gradients are right.
    wrt : sequence of str, optional
        Check only these: "x", and the keys of `params`.

    Returns
    -------
    CheckResult
        Prints as a table; `.ok`, `.rows`, `.raise_if_failed()`. A failure lists the numbers that
        are off and names the mistake that explains them, if it is a common one.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit; for a forward that returns NaN, another type than float64 for
        float64, or different numbers for the same x.

    Examples
    --------
    >>> from minicnn.layers import Dense
    >>> print(check_layer(Dense(2, name="dense"), (4, 3)))  # doctest: +ELLIPSIS
    Dense 'dense', x (4, 3): ok
      parameter  shape   worst error  tolerance  checked  kinks  verdict
      x          (4, 3)  ...          1e-12      12 each  0      ok
      W          (3, 2)  ...          1e-12      6 each   0      ok
      b          (2,)    ...          1e-12      2 each   0      ok

    A common mistake:

    >>> class Halved(Dense):
    ...     def backward(self, dy):
    ...         dx = super().backward(dy)
    ...         self.grads["b"] /= len(dy)
    ...         return dx
    >>> result = check_layer(Halved(2), (4, 3))
    >>> result.ok, result.mistakes
    (False, {'b': 'factor'})
    >>> print(result["b"].mistake.text)
    it is 0.25 times the right one: 1/N. A mean instead of a sum? The loss divides by N, once
    """
    caller = "check_layer"
    training = checks.boolean(training, "training", caller)
    perturb = checks.boolean(perturb, "perturb", caller)
    _expect_layer(layer)
    options = Options(
        caller, PRODUCTS, eps, seed, tolerance, max_elements, max_kinks, linear=linear, wrt=wrt
    )
    x = input_shape_or_x
    drawn = _is_shape(x)
    shape = _full_shape(layer, x) if drawn else ()
    if not drawn:
        expected = "input_shape_or_x to be a shape such as (None, 28, 28, 1), or a batch of at "
        x = _batch(x, "input_shape_or_x", caller, f"{expected}least one sample")
    for _ in range(DRAWS if drawn else 1):
        if drawn:
            x = _spaced(shape, options.rng)
        subject = LayerSubject(layer, x, training=training, rng=options.rng, perturb=perturb)
        result, dy = check(subject, options)
        if not any(row.reason.startswith(TOO_MANY_KINKS) for row in result.rows):
            break
    first = result.rows[0]
    if first.name == "x" and first.ok and x.size > 1:
        result = replace(result, rows=result.rows + check_ties(subject, dy, options))
    if drawn and not result.ok:
        result = _explained_by_smaller(result, layer, x.shape, training, seed)
    return result


def _expect_layer(layer: Any) -> None:
    received = ""
    if isinstance(layer, type):
        received = f"the class {layer.__name__}. Make an object of it: {layer.__name__}(...)"
    elif isinstance(layer, Sequential):
        received = f"{layer.who}. For models there is check_model"
    elif isinstance(layer, losses.Loss):
        received = f"the loss {layer.name}. There is check_loss for it"
    if received:
        raise TypeError(f"check_layer: expected a layer, received {received}")
    _expect_passes(layer, "a layer with forward(x) and backward(dy)", "check_layer")


def _expect_passes(thing: Any, expected: str, caller: str) -> None:
    for method in ("forward", "backward"):
        if not callable(getattr(thing, method, None)):
            raise TypeError(
                f"{caller}: expected {expected}, received {checks.shown(thing)}, which has no "
                f"{method}"
            )


def _is_shape(value: Any) -> bool:
    kinds = (numbers.Integral, type(None))
    shape = isinstance(value, (tuple, list)) and all(isinstance(size, kinds) for size in value)
    return shape and bool(value)


def _full_shape(layer: Any, given: Sequence[Any]) -> Shape:
    """The shape of a batch: the one given, or that with a batch axis before it."""
    shape = checks.batch_shape(given, "input_shape_or_x", "check_layer")
    if None in shape[1:]:
        raise ValueError(
            f"check_layer: expected input_shape_or_x to have None for the batch axis only, "
            f"received {checks.shown(given)}. Give the other sizes as numbers, small ones do"
        )
    known = (BATCH, *shape[1:]) if shape[0] is None else shape
    full: Shape = tuple(map(int, known))
    output_shape: Any = getattr(layer, "output_shape", None)
    try:
        if callable(output_shape):
            output_shape(full)
    except ValueError as error:
        if shape[0] is None:
            raise
        full = (BATCH, *full)
        try:
            output_shape(full)
        except ValueError:
            raise error from None
    if math.prod(full) > LARGEST:
        raise ValueError(
            f"check_layer: expected input_shape_or_x to hold at most {LARGEST:,} numbers, received "
            f"{shape}. Gradients are right or wrong on small inputs, too"
        )
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


def _explained_by_smaller(
    result: CheckResult, layer: Any, shape: Shape, training: bool, seed: int
) -> CheckResult:
    """Where x is too large for a diagnosis, try one on a smaller x."""
    for smaller in _smaller_shapes(layer, shape):
        puzzles = [row.name for row in result.rows if row.wrong_count and row.mistake is None]
        if not puzzles:
            break
        try:
            found = check_layer(layer, smaller, training=training, seed=seed)
        except Exception:  # the layer may want just the size that it was given
            continue
        named = {
            row.name: replace(row.mistake, text=f"(seen on x {smaller}) {row.mistake.text}")
            for row in found.rows
            if row.name in puzzles and row.mistake is not None
        }
        rows = [replace(row, mistake=named.get(row.name, row.mistake)) for row in result.rows]
        result = replace(result, rows=tuple(rows))
    return result


def _smaller_shapes(layer: Any, shape: Shape) -> Iterator[Shape]:
    """Shapes to try instead: all axes smaller, or height and width only once there are weights."""
    fixed = getattr(layer, "built", False) or getattr(layer, "params", None)
    shrinks = range(1, min(3, len(shape) - 1)) if fixed else range(1, len(shape))
    for size in (7, 8, 9, 11) if max(shape[1:], default=0) >= 12 else ():
        smaller = (3, *shape[1:])
        yield tuple(min(s, size) if k in shrinks else s for k, s in enumerate(smaller))


# -- losses ---------------------------------------------------------------------------------------


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
    another one is found.

    Parameters
    ----------
    loss : Loss, str, or an object with `forward(y_true, y_pred)` and `backward(y_true, y_pred)`
        forward gives one number a sample, backward the gradient of each of these.
    y_true : array
        Targets, as the loss takes them.
    y_pred : array of shape (N, ..., C)
        Predictions; probabilities between 1e-7 and 1 - 1e-7 where the loss clips them there.
    eps, seed, tolerance, max_elements, max_kinks
        As for `check_layer`.

    Returns
    -------
    CheckResult

    Raises
    ------
    TypeError, ValueError
        For targets and predictions that do not fit the loss or each other.

    Examples
    --------
    >>> check_loss("mse", [[0.0, 1.0]], [[0.3, 0.4]]).ok
    True
    """
    caller = "check_loss"
    if isinstance(loss, (str, type)):
        loss = losses.get(loss, caller)
    if isinstance(loss, (Layer, Sequential)):
        raise TypeError(
            f"{caller}: expected a loss, received {checks.shown(loss)}. There is check_layer for "
            "layers, and check_model for models"
        )
    _expect_passes(loss, "a loss with forward(y_true, y_pred) and backward(y_true, y_pred)", caller)
    options = Options(caller, PRODUCTS, eps, seed, tolerance, max_elements, max_kinks)
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
        raise ValueError(
            f"{caller}: expected {subject.who}.forward to return the loss of each sample, shape "
            f"({len(predicted)},), received shape {values.shape}. The mean over the batch is taken "
            "by fit"
        )
    return check(subject, options)[0]


# -- models ---------------------------------------------------------------------------------------


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

    Runs the loss on the logits, in shards, as `fit` does, on a float64 copy: the model stays as it
    is. The samples are weighted at random. In training, the gradients that the engine itself works
    out for a float32 model, with its fused stages, are then held to those which the differences
    have confirmed, and each step that is off is named; how near they have to be, `engine.py` says.

    Parameters
    ----------
    model : Sequential
        Compiled or not, built or not.
    x, y : array
        A few samples, as for `fit`. Equal numbers in x are moved apart by up to 0.01 of its range
        first, since flat parts of an image are ties for a max-pooling; see `perturb`.
    loss : str or Loss, optional
        Instead of the one that the model was compiled with.
    training : bool
        Whether the layers are run as in training (dropout with a frozen mask) or in inference.
    eps, seed, max_elements, max_kinks
        As for `check_layer`.
    tolerance : float
        What the error may be, as a part of the largest number of the gradient.
    perturb : bool
        Move equal numbers in x apart, and give random numbers to the copy's constant parameters,
        such as zero biases. False checks the model exactly as it is.
    wrt : sequence of str, optional
        Check only these: "x", and "layer name/key".

    Returns
    -------
    CheckResult
        `.engine` is what was found about the engine's own gradients. After a failure, the last
        lines say which of the layers, or the loss, is wrong by itself.

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
    caller = "check_model"
    training = checks.boolean(training, "training", caller)
    perturb = checks.boolean(perturb, "perturb", caller)
    if not isinstance(model, Sequential):
        raise TypeError(
            f"{caller}: expected model to be a Sequential, received {checks.shown(model)}. For a "
            "layer there is check_layer"
        )
    if not model.layers:
        raise ValueError(f"{caller}: {model.who} has no layers")
    options = Options(
        caller, MODEL_PRODUCTS, eps, seed, tolerance, max_elements, max_kinks, linear=False, wrt=wrt
    )
    rng = options.rng
    x = _batch(x, "x", caller, "x to have a batch axis and no empty axis")
    subject = ModelSubject(model, x, y, loss, training=training, rng=rng, perturb=perturb)
    if perturb and len(np.unique(subject.x)) < subject.x.size:
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
    logits = subject.outputs()[-1]
    parts = [
        check_layer(layer, x.shape, training=subject.training, seed=seed)
        for layer, x in subject.layers_and_inputs()
    ]
    for layer, x in subject.penalties_and_inputs():
        found = check_layer(layer, x.shape, seed=seed)  # not on x, where L1 has kinks: zero biases
        parts.append(replace(found, title=f"the regularizer of {layer.who}, x {x.shape}"))
    parts.append(check_loss(subject.loss, subject.y_true, logits, seed=seed))
    failed = [part for part in parts if not part.ok]
    if not failed:
        return ["each layer and the loss are right by themselves: look at how they are joined"]
    return [f"by itself, {result}" for result in failed]

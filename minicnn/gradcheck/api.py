"""check_layer, check_loss and check_model."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, losses
from minicnn.gradcheck import differences, mistakes
from minicnn.gradcheck.differences import Differences
from minicnn.gradcheck.engine import check_engine
from minicnn.gradcheck.result import CheckResult, Mistake, TensorCheck, Wrong
from minicnn.gradcheck.subjects import (
    BATCH,
    LayerSubject,
    LossSubject,
    ModelSubject,
    Subject,
    move_apart,
)
from minicnn.gradcheck.workers import shared_state
from minicnn.layers import Layer
from minicnn.losses import Loss
from minicnn.models import Sequential

Array = NDArray[Any]
Shape = tuple[Any, ...]

EPS = 1e-5
BAR = 1e-7  # greatest error that passes, as a part of the greatest number
LINEAR_BAR = 1e-12  # where y is linear there is no truncation error, whatever the step
MODEL_BAR = 1e-6
TIE_BAR = 1e-3  # of the gradient's norm; one whole gradient too many is of the size of 1
KINK_BAR = 1e-6  # of the slopes on both sides of a kink
MAX_KINKS = 0.1  # part of the numbers that may be left out
SHOWN = 5  # wrong numbers that are listed
PRODUCTS, MODEL_PRODUCTS = 8, 4  # directions for a large tensor
TOO_MANY_KINKS = "too many kinks"
DRAWS = 4  # inputs that are tried, until one does not sit on kinks
LARGEST = 10_000_000  # numbers of an x that is drawn


@dataclass(frozen=True)
class Settings:
    """The options that all three checks share."""

    eps: float
    bar: float
    linear: bool | None
    max_elements: int
    max_kinks: float
    products: int
    rng: np.random.Generator


# -- layers ---------------------------------------------------------------------------------------


def check_layer(
    layer: Any,
    input_shape_or_x: Any,
    *,
    training: bool = True,
    eps: float = EPS,
    seed: int = 0,
    bar: float | None = None,
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
    bar : float, optional
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
      parameter  shape   worst error  bar    checked  kinks  verdict
      x          (4, 3)  ...          1e-12  12 each  0      ok
      W          (3, 2)  ...          1e-12  6 each   0      ok
      b          (2,)    ...          1e-12  2 each   0      ok

    A mistake that everybody makes once:

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
    who = "check_layer"
    training = checks.boolean(training, "training", who)
    perturb = checks.boolean(perturb, "perturb", who)
    _expect_layer(layer)
    chosen = _names(wrt, who)
    settings = _settings(who, eps, bar, linear, max_elements, max_kinks, PRODUCTS, seed)
    rng = settings.rng
    shape = _as_shape(input_shape_or_x)
    given = None if shape is not None else _as_batch(input_shape_or_x)
    full = () if shape is None else _full_shape(layer, shape)
    if math.prod(full) > LARGEST:
        raise ValueError(
            f"{who}: expected input_shape_or_x to hold at most {LARGEST:,} numbers, received "
            f"{shape}. Gradients are right or wrong on small inputs, too"
        )

    for draw in range(DRAWS):
        x = spaced(full, rng) if given is None else given
        subject = LayerSubject(layer, x, training=training, rng=rng, perturb=perturb)
        names = _chosen(subject, chosen, who)
        rows, problems, dy = _check(subject, names, settings)
        on_kinks = any(row.reason.startswith(TOO_MANY_KINKS) for row in rows)
        if given is not None or not on_kinks or draw == DRAWS - 1:
            break
    if "x" in names and rows[0].ok and x.size > 1:
        rows += _ties(subject, dy, settings)
    result = CheckResult(f"{subject.who}, x {x.shape}", tuple(rows), tuple(problems))
    if given is None and not result.ok:
        result = _explained_by_smaller(result, layer, x.shape, training, seed)
    return result


def spaced(shape: Shape, rng: np.random.Generator) -> Array:
    """Random numbers between -2 and 2, all apart from each other and from 0.

    >>> x = spaced((2, 3), np.random.default_rng(0))
    >>> x.shape, bool(np.diff(np.sort(x.ravel())).min() > 0.3)
    ((2, 3), True)
    """
    size = math.prod(shape)
    grid = np.arange(size) + 0.5 - size / 2  # no whole number of steps from 0 ...
    grid += 0.5 * (size % 2) + rng.uniform(-0.2, 0.2, size)  # ... for odd sizes too
    return rng.permutation(grid * (4 / (size + 1))).reshape(shape)


def _expect_layer(layer: Any) -> None:
    if isinstance(layer, type):
        raise TypeError(
            f"check_layer: expected a layer, received the class {layer.__name__}. "
            f"Make an object of it: {layer.__name__}(...)"
        )
    if isinstance(layer, Sequential):
        raise TypeError(
            f"check_layer: expected a layer, received {layer.who}. For models there is check_model"
        )
    if isinstance(layer, Loss):
        raise TypeError(
            f"check_layer: expected a layer, received the loss {layer.name}. There is check_loss "
            "for it"
        )
    for method in ("forward", "backward"):
        if not callable(getattr(layer, method, None)):
            raise TypeError(
                f"check_layer: expected a layer with forward(x) and backward(dy), received "
                f"{checks.shown(layer)}, which has no {method}"
            )


def _as_shape(value: Any) -> Shape | None:
    """The argument as a shape, or None if it is an array."""
    if not isinstance(value, (tuple, list)) or not value:
        return None
    if all(item is None or isinstance(item, numbers.Integral) for item in value):
        sizes = value[1:] if value[0] is None else value
        if any(size is None for size in sizes):
            raise ValueError(
                f"check_layer: expected input_shape_or_x to have None for the batch axis only, "
                f"received {checks.shown(value)}. Give the other sizes as numbers, small ones do"
            )
        name = "each size of input_shape_or_x"
        known = [checks.size(size, name, "check_layer") for size in sizes]
        return (None, *known) if value[0] is None else tuple(known)
    return None


def _as_batch(value: Any) -> Array:
    x = checks.numeric(value, "input_shape_or_x", "check_layer")
    if x.ndim < 1 or 0 in x.shape:
        raise ValueError(
            "check_layer: expected input_shape_or_x to be a shape such as (None, 28, 28, 1), or a "
            f"batch of at least one sample, received {checks.shown(value)}"
        )
    checks.finite(x, "input_shape_or_x", "check_layer")
    return x.astype(np.float64)


def _full_shape(layer: Any, shape: Shape) -> Shape:
    """The shape of a batch: the one given, or that with a batch axis before it."""
    full = (BATCH if shape[0] is None else shape[0], *shape[1:])
    output_shape = getattr(layer, "output_shape", None)
    if not callable(output_shape):
        return full
    try:
        output_shape(full)
    except ValueError:
        if shape[0] is not None:
            try:
                output_shape((BATCH, *shape))
            except ValueError:
                pass
            else:
                return BATCH, *shape
        raise
    return full


def _names(wrt: Any, who: str) -> list[str] | None:
    """The argument `wrt` as a list of names; None for all."""
    if wrt is None:
        return None
    names = list(wrt) if isinstance(wrt, (set, frozenset)) else checks.listed(wrt, "wrt", who)
    if not names:
        raise ValueError(f"{who}: expected wrt to hold names, received none. None stands for all")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f"{who}: expected wrt to be a list of names, received {checks.shown(name)} in it"
            )
    return names


def _chosen(subject: Subject, names: list[str] | None, who: str) -> list[str]:
    for name in names or ():
        if name not in subject.tensors:
            known = ", ".join(subject.tensors)
            raise ValueError(
                f"{who}: expected wrt to name some of {known}; received {checks.shown(name)}"
            )
    return [name for name in subject.tensors if names is None or name in names]


def _ties(subject: LayerSubject, dy: Array, settings: Settings) -> list[TensorCheck]:
    """A line for x with many equal numbers, if the gradient is wrong there.

    Equal numbers are moved together, by the same amount, so they stay equal and y stays smooth:
    whichever of the equal cells gets the gradient, the sum over them is the same.
    """
    x, rng = subject.x, settings.rng
    saved = x.copy()
    levels = np.quantile(saved, rng.uniform(0.05, 0.95, size=4))
    which = rng.integers(len(levels), size=x.shape)
    x[...] = levels[which]
    try:
        together = differences.ways(levels, rng, PRODUCTS)[:, which.reshape(-1)]
        rounding = differences.noise(subject, x, rng, eps=settings.eps)
        for linear in (True, False) if differences.is_linear(subject, x, rng) else (False,):
            found = differences.by_direction(
                subject, x, dy, eps=settings.eps, bar=TIE_BAR, linear=linear,
                directions=together, rounding=rounding,
            )  # fmt: skip
            if not found.left_out[0]:
                break
        gradient = np.asarray(subject.backward(dy)["x"], np.float64)
        gap = np.abs(_project(subject, "x", gradient, found, dy) - found.numeric)
        moved = gradient * differences.sizes(x, 1.0)
        size = max(found.scale, float(np.linalg.norm(moved))) or 1.0
        off = ~(gap <= TIE_BAR * size + found.tolerance) & ~found.kinked
        if not off.any():
            return []
        row = TensorCheck(
            "x, ties", x.shape, float(gap[~found.kinked].max()) / size, TIE_BAR,
            int((~found.kinked).sum()), found.left_out[0], True, False,
            wrong_count=int(off.sum()), mistake=mistakes.tie(subject, settings.eps),
        )  # fmt: skip
        return [row]
    finally:
        x[...] = saved


def _explained_by_smaller(
    result: CheckResult, layer: Any, shape: Shape, training: bool, seed: int
) -> CheckResult:
    """Where x is too large for a diagnosis, try one on a smaller x."""
    for smaller in _smaller_shapes(layer, shape):
        puzzles = {row.name for row in result.rows if row.wrong_count and row.mistake is None}
        if not puzzles:
            break
        try:
            found = check_layer(layer, smaller, training=training, seed=seed)
        except Exception:  # the layer may want just the size that it was given
            continue
        named = {row.name: _on(row.mistake, smaller) for row in found.rows if row.name in puzzles}
        rows = [replace(r, mistake=named.get(r.name, r.mistake)) for r in result.rows]
        result = replace(result, rows=tuple(rows))
    return result


def _smaller_shapes(layer: Any, shape: Shape) -> list[Shape]:
    """Shapes to try instead: all axes smaller, or height and width only once there are weights."""
    if max(shape[1:], default=0) < 12:
        return []
    fixed = getattr(layer, "built", False) or getattr(layer, "params", None)
    may_shrink = {1, 2} & set(range(len(shape) - 1)) if fixed else set(range(1, len(shape)))
    return [
        tuple(min(s, size if k in may_shrink else s) for k, s in enumerate((3, *shape[1:])))
        for size in (7, 8, 9, 11)
    ]


def _on(mistake: Mistake | None, shape: Shape) -> Mistake | None:
    return mistake and replace(mistake, text=f"(seen on x {shape}) {mistake.text}")


# -- losses ---------------------------------------------------------------------------------------


def check_loss(
    loss: Any,
    y_true: Any,
    y_pred: Any,
    *,
    eps: float = EPS,
    seed: int = 0,
    bar: float | None = None,
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
    eps, seed, bar, max_elements, max_kinks
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
    who = "check_loss"
    if isinstance(loss, (str, type)):
        loss = losses.get(loss, who)
    if isinstance(loss, (Layer, Sequential)):
        raise TypeError(
            f"{who}: expected a loss, received {checks.shown(loss)}. There is check_layer for "
            "layers, and check_model for models"
        )
    for method in ("forward", "backward"):
        if not callable(getattr(loss, method, None)):
            raise TypeError(
                f"{who}: expected a loss with forward(y_true, y_pred) and backward(y_true, "
                f"y_pred), received {checks.shown(loss)}, which has no {method}"
            )
    settings = _settings(who, eps, bar, None, max_elements, max_kinks, PRODUCTS, seed)
    predicted = checks.numeric(y_pred, "y_pred", who).astype(np.float64)
    if predicted.ndim < 2 or 0 in predicted.shape:
        raise ValueError(f"{who}: expected y_pred of shape (N, ..., C), received {predicted.shape}")
    checks.finite(predicted, "y_pred", who)
    true = checks.numeric(y_true, "y_true", who)
    if callable(getattr(loss, "targets", None)):
        try:
            true = loss.targets(true, predicted.shape, who)
        except ValueError as error:  # in the words of fit
            raise ValueError(str(error).replace("expected y ", "expected y_true ", 1)) from None
    checks.same_length({"y_true": np.atleast_1d(true), "y_pred": predicted}, who)

    subject = LossSubject(loss, true, predicted)
    values = subject.forward()
    if values.shape != (len(predicted),):
        raise ValueError(
            f"{who}: expected {subject.who}.forward to return the loss of each sample, shape "
            f"({len(predicted)},), received shape {values.shape}. The mean over the batch is taken "
            "by fit"
        )
    rows, problems, _ = _check(subject, ["y_pred"], settings)
    return CheckResult(f"{subject.who}, y_pred {predicted.shape}", tuple(rows), tuple(problems))


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
    bar: float = MODEL_BAR,
    max_elements: int = 100,
    max_kinks: float = MAX_KINKS,
    perturb: bool = True,
    wrt: Sequence[str] | None = None,
) -> CheckResult:
    """Compare the gradients that `fit` would use, of every parameter and of x, with differences.

    Runs the loss on the logits, in shards, as `fit` does, on a float64 copy: the model stays as it
    is. The samples are weighted at random. In training, the gradients that the engine itself works
    out for a float32 model, with its fused steps, are then held to those which the differences have
    confirmed, and each step that is off is named; how near they have to be, `engine.py` says.

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
    bar : float
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
    who = "check_model"
    training = checks.boolean(training, "training", who)
    perturb = checks.boolean(perturb, "perturb", who)
    if not isinstance(model, Sequential):
        raise TypeError(
            f"{who}: expected model to be a Sequential, received {checks.shown(model)}. For a "
            "layer there is check_layer"
        )
    if not model.layers:
        raise ValueError(f"{who}: {model.who} has no layers")
    chosen = _names(wrt, who)
    settings = _settings(who, eps, bar, False, max_elements, max_kinks, MODEL_PRODUCTS, seed)
    rng = settings.rng
    subject = ModelSubject(model, x, y, loss, training=training, rng=rng, perturb=perturb)
    if perturb and len(np.unique(subject.x)) < subject.x.size:
        move_apart(subject.x, rng)
    rows, problems, dy = _check(subject, _chosen(subject, chosen, who), settings)
    result = CheckResult(f"{subject.who}, x {subject.x.shape}", tuple(rows), tuple(problems))
    confirmed = [row.name for row in rows if row.ok and row.name != "x"]
    if training and subject.dtype == np.float32 and confirmed:
        result = replace(result, engine=check_engine(subject, dy, confirmed, rng))
    if any(row.wrong_count for row in rows):
        result = replace(result, hints=tuple(_wrong_parts(subject, seed)))
    return result


def _wrong_parts(subject: ModelSubject, seed: int) -> list[str]:
    """Which layers, or the loss, fail by themselves."""
    *inputs, logits = subject.outputs()
    parts = [
        check_layer(layer, x.shape, training=subject.training, seed=seed)
        for layer, x in zip(subject.layers, inputs)
    ]
    parts.append(check_loss(subject.loss, subject.y_true, logits, seed=seed))
    failed = [part for part in parts if not part.ok]
    if not failed:
        return ["each layer and the loss are right by themselves: look at how they are joined"]
    return [f"by itself, {result}" for result in failed]


# -- what all three share -------------------------------------------------------------------------


def _settings(
    who: str,
    eps: Any,
    bar: Any,
    linear: Any,
    max_elements: Any,
    max_kinks: Any,
    products: int,
    seed: Any,
) -> Settings:
    """The options, checked; a bar of 0 stands for the default ones."""
    if linear is not None and not isinstance(linear, (bool, np.bool_)):
        raise TypeError(
            f"{who}: expected linear to be True, False or None, received {checks.shown(linear)}"
        )
    return Settings(
        checks.real(eps, "eps", who, low=0, high=0.1, open_low=True),
        0.0 if bar is None else checks.real(bar, "bar", who, low=0, high=0.1, open_low=True),
        None if linear is None else bool(linear),
        checks.integer(max_elements, "max_elements", who, minimum=1),
        checks.real(max_kinks, "max_kinks", who, low=0, high=1),
        products,
        np.random.default_rng(checks.integer(seed, "seed", who, minimum=0)),
    )


def _check(
    subject: Subject, names: list[str], settings: Settings
) -> tuple[list[TensorCheck], list[Mistake], Array]:
    """Rows for the tensors of these names, the problems beside them, and the dy used."""
    rng = settings.rng
    y = _sound_forward(subject, names, rng)
    dy = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)
    gradients = subject.backward(dy)
    rows = [_check_tensor(subject, name, dy, gradients.get(name), settings) for name in names]
    problems = [Mistake(*problem) for problem in subject.problems(dy)]
    right = not problems and all(row.ok for row in rows)
    for layer, x in subject.walked() if right or isinstance(subject, ModelSubject) else ():
        told = shared_state(layer, x, training=subject.training, rng=rng)
        problems += [Mistake("shared state", told)] if told else []
    return rows, problems, dy


def _sound_forward(subject: Subject, names: list[str], rng: np.random.Generator) -> Array:
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
    subject.expect(y)
    if differences.rounds_to_float32(subject, names, rng):
        raise ValueError(
            f"{subject.who}: forward rounds to float32 on its way, but differences need the "
            "digits. Make buffers and constants with dtype=x.dtype"
        )
    return y


def _check_tensor(
    subject: Subject,
    name: str,
    dy: Array,
    given: Any,
    settings: Settings,
) -> TensorCheck:
    """The row of one tensor, of which backward says that `given` is its gradient."""
    tensor = subject.tensors[name]
    by_number = tensor.size <= settings.max_elements
    found, bar = _differences(subject, tensor, dy, settings, by_number)
    if (fault := _unusable(name, given, tensor.shape)) is not None:
        mistake = None
        if isinstance(given, np.ndarray) and given.dtype.kind == "f":
            mistake = _explain(subject, name, dy, given, found, bar, settings)
        count = len(found.numeric)
        return TensorCheck(
            name, tensor.shape, np.inf, bar, count, 0, not by_number, False, reason=fault,
            mistake=mistake,
        )  # fmt: skip

    gradient = np.asarray(given, np.float64)
    analytic = _project(subject, name, gradient, found, dy)
    tolerance = np.maximum(bar * found.scale, found.tolerance)
    off = ~(np.abs(analytic - found.numeric) <= tolerance)  # NaN is off, too
    # the slopes on both sides are those of the smallest step, of which rounding takes most digits
    slack = np.maximum(tolerance, KINK_BAR * np.maximum(np.abs(found.low), np.abs(found.high)))
    beside = ~((analytic >= found.low - slack) & (analytic <= found.high + slack))
    off = np.where(found.kinked, beside & by_number, off)

    good = ~found.kinked
    size = max(found.scale, float(np.nan_to_num(np.abs(analytic[good])).max(initial=0)))
    size = max(size, float(found.tolerance.max(initial=0)) / bar)
    error = float(np.abs(analytic - found.numeric)[good].max(initial=0)) / (size or 1.0)
    kinks, of = found.left_out
    reason = ""
    if settings.linear and kinks:
        reason = "y is not linear in it: leave linear=True out"
    elif not good.any() or kinks > max(1, settings.max_kinks * of):
        what = "numbers" if by_number else f"outputs on the {len(good)} ways"
        reason = (
            f"{TOO_MANY_KINKS}: {kinks} of {of} {what} lie on one (ties in a maximum, 0 in a "
            "ReLU), where there is no gradient to compare with. Use an x without ties, or a shape"
        )
    row = TensorCheck(
        name, tensor.shape, error if np.isfinite(error) else np.inf, bar, int(good.sum()), kinks,
        not by_number, not off.any() and not reason, reason=reason,
    )  # fmt: skip
    if not off.any():
        return row
    row = replace(row, wrong_count=int(off.sum()))
    if by_number:
        row = replace(
            row,
            wrong=_worst(tensor.shape, analytic, found, off),
            where=_where(np.argwhere(off.reshape(tensor.shape)), tensor.shape),
        )
    else:
        row = replace(row, wrong=_sample(subject, name, dy, gradient, settings, found.linear))
    mistake = _explain(subject, name, dy, gradient, found, bar, settings, off)
    return replace(row, mistake=mistake)


def _unusable(name: str, given: Any, shape: Shape) -> str | None:
    what = "dx" if name == "x" else f"the gradient of {name}"
    if given is None:
        return f"there is no gradient: backward has to {_duty(name)}"
    array = np.asarray(given)
    if array.dtype.kind not in "fiu":
        return f"expected {what} to be an array of numbers, received dtype {array.dtype}"
    if array.dtype.kind == "f" and array.dtype != np.float64:
        return (
            f"expected {what} in float64, as all that went in, received {array.dtype}: "
            "make buffers with dtype=x.dtype"
        )
    if array.shape != shape:
        return f"expected {what} of shape {shape}, received {array.shape}"
    return None


def _duty(name: str) -> str:
    return "return dx" if name in ("x", "y_pred") else f"set grads[{checks.shown(name)}]"


def _differences(
    subject: Subject,
    tensor: Array,
    dy: Array,
    settings: Settings,
    by_number: bool,
) -> tuple[Differences, float]:
    """The differences, and the bar: the strict one if y is linear in the tensor."""
    rng = settings.rng
    unit = differences.fitting_unit(subject, tensor, rng, eps=settings.eps)
    rounding = differences.noise(subject, tensor, rng, eps=settings.eps, unit=unit)

    def measure(linear: bool) -> tuple[Differences, float]:
        bar = settings.bar or (LINEAR_BAR if linear else BAR)
        options: Any = {"eps": settings.eps, "bar": bar, "linear": linear, "rounding": rounding}
        if by_number:
            return differences.by_number(subject, tensor, dy, unit=unit, **options), bar
        longest = max(1.0, unit) if linear else unit
        ways = differences.ways(tensor, rng, settings.products, longest)
        return differences.by_direction(subject, tensor, dy, directions=ways, **options), bar

    linear = settings.linear
    if linear is None:
        linear = differences.is_linear(subject, tensor, rng, unit)
    found, bar = measure(linear)
    if linear and settings.linear is None and found.left_out[0]:
        found, bar = measure(False)  # a kink where the long lines passed none
    return found, bar


def _project(subject: Subject, name: str, gradient: Array, found: Differences, dy: Array) -> Array:
    """The values of the analytic gradient that belong to `found.numeric`."""
    if found.directions is None or found.kept is None:
        return gradient.reshape(-1).copy()
    values = []
    for direction, kept in zip(found.directions, found.kept):
        whole = np.array_equal(kept, dy)
        mine = gradient if whole else np.asarray(subject.backward(kept)[name], np.float64)
        with np.errstate(all="ignore"):  # it may hold NaN, which is for the verdict to find
            values.append(float(mine.reshape(-1) @ direction))
    return np.array(values)


def _worst(shape: Shape, analytic: Array, found: Differences, off: Array) -> tuple[Wrong, ...]:
    """The numbers that are off the most."""
    gap = np.where(off, np.nan_to_num(np.abs(analytic - found.numeric), nan=np.inf), -1)
    listed = []
    for k in np.argsort(-gap, kind="stable")[: min(SHOWN, int(off.sum()))]:
        note = ""
        if found.kinked[k]:
            note = f" (on a kink, between {found.low[k]:.6g} and {found.high[k]:.6g})"
        listed.append(Wrong(_index(k, shape), float(analytic[k]), float(found.numeric[k]), note))
    return tuple(listed)


def _where(indices: Array, shape: Shape) -> str:
    """What the places of the wrong numbers have in common, if they lie together."""
    if len(indices) < 3:
        return ""
    said = []
    for axis, size in enumerate(shape):
        present = set(indices[:, axis].tolist())
        if size > 2 and (len(present) == 1 or present == {0, size - 1}):
            said.append(f"axis {axis} at {' or '.join(map(str, sorted(present)))} of {size}")
    return f"all of them have {', '.join(said)}" if said else ""


def _sample(
    subject: Subject, name: str, dy: Array, gradient: Array, settings: Settings, linear: bool
) -> tuple[Wrong, ...]:
    """Some wrong numbers of a large tensor: the one that halving leads to, and a few others."""
    tensor, rng = subject.tensors[name], settings.rng
    places = rng.choice(tensor.size, size=min(32, tensor.size), replace=False)
    not_finite = np.flatnonzero(~np.isfinite(gradient.reshape(-1)))
    if not_finite.size:
        places[0] = not_finite[0]
    else:
        places[0] = _halving(subject, name, dy, gradient, settings, linear)
    y_0, numeric = subject.forward().reshape(-1), np.zeros(len(places))
    for n, k in enumerate(places):
        line = differences.Line(subject, tensor, int(k))
        s = differences.slope(line, y_0, line.step(settings.eps))
        numeric[n] = dy.reshape(-1) @ s.value
    analytic = gradient.reshape(-1)[places]
    gap = np.nan_to_num(np.abs(analytic - numeric), nan=np.inf)
    least = 1e-6 * float(np.abs(numeric).max(initial=0))
    return tuple(
        Wrong(_index(places[n], tensor.shape), float(analytic[n]), float(numeric[n]))
        for n in np.argsort(-gap, kind="stable")[:SHOWN]
        if gap[n] > least
    )


def _halving(
    subject: Subject, name: str, dy: Array, gradient: Array, settings: Settings, linear: bool
) -> int:
    """The place of a wrong number: of two halves, again and again the one that is more wrong."""
    tensor = subject.tensors[name]
    begin, end = 0, tensor.size
    no_rounding = np.zeros(dy.size)
    while end - begin > 1:
        middle = (begin + end) // 2
        ways = np.zeros((2, tensor.size))
        for way, half in zip(ways, (slice(begin, middle), slice(middle, end))):
            way[half] = settings.rng.choice([-1.0, 1.0], size=half.stop - half.start)
        found = differences.by_direction(
            subject, tensor, dy, eps=settings.eps, bar=1e-4, linear=linear,
            directions=ways, rounding=no_rounding,
        )  # fmt: skip
        gap = np.abs(_project(subject, name, gradient, found, dy) - found.numeric)
        begin, end = (middle, end) if gap[1] > gap[0] else (begin, middle)
    return begin


def _index(place: int, shape: Shape) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(place, shape))


def _explain(
    subject: Subject,
    name: str,
    dy: Array,
    gradient: Array,
    found: Differences,
    bar: float,
    settings: Settings,
    off: Array | None = None,
) -> Mistake | None:
    """The mistake that fits, judged where there are no kinks."""
    use = ~found.kinked
    if off is not None and not off[use].any():
        return Mistake(
            "kink",
            "it is right but for the kinks (0 in a ReLU, ties in a maximum), where it has to lie "
            "between the slopes on both sides",
        )
    if found.kept is not None:
        use &= np.array([np.array_equal(kept, dy) for kept in found.kept])
    if not use.any():
        return None

    def project(candidate: Array) -> Array:
        flat = candidate.reshape(-1)
        values = flat if found.directions is None else found.directions @ flat
        return values[use]

    evidence = mistakes.Evidence(
        subject, name, gradient, dy, found.numeric[use],
        np.maximum(bar * found.scale, found.tolerance)[use], project,
        linear=found.linear, eps=settings.eps,
    )  # fmt: skip
    with np.errstate(all="ignore"):  # a wrong gradient may hold anything
        return mistakes.explain(evidence)

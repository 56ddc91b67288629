"""What a model is trained to make small.

A loss gives one number a sample, and the gradient of that number; the training loop takes the mean
over the batch. Shapes: predictions (N, ..., C), with classes or outputs on the last axis.

Softmax and cross-entropy belong together. With logits z, probabilities p = softmax(z) and a target
distribution t,

    L = -sum over q of t_q log p_q = logsumexp(z) - sum over q of t_q z_q        dL/dz = p - t

which is exact for logits of any size. Computed from the finished probabilities instead, log p needs
a clip to stay finite, and the clip's gradient is zero: samples that are most wrong teach nothing.
So `Sequential.fit` hands a loss the logits wherever a model ends in softmax.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.copies import Copied, twin
from minicnn.settings import Configured, Setting, restored
from minicnn.subclasses import of_the_user, refuse_vain_methods

Array = NDArray[Any]

EPSILON = 1e-7  # probabilities that come from elsewhere are clipped to [EPSILON, 1 - EPSILON]

# what a subclass may define, and the names that other libraries have for it
CALLED = ("forward", "backward", "targets", "on_logits")
ELSEWHERE = dict.fromkeys(("call", "__call__"), ("forward", "backward"))


class Loss(Copied, Configured):
    """Base class. A loss of your own defines `forward` and `backward`.

    Attributes
    ----------
    name : str
        Keras's name for it, or the one it is given.
    from_logits : bool or None
        Whether y_pred are logits; None where the question does not arise.
    """

    name = Setting(checks.text, default="loss")
    from_logits: bool | None = None
    ignored = {"dtype": (None,), "reduction": ("sum_over_batch_size", "mean")}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A user's class gets its forward and backward watched; the package's have their tests."""
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, Loss, CALLED, ELSEWHERE)
        if of_the_user(cls):
            for method in ("forward", "backward"):
                if method in vars(cls):
                    setattr(cls, method, _watched(vars(cls)[method], method))

    def __init__(self, *, name: str | None = None, **keras: Any) -> None:
        self._refuse_unknown(keras)
        if name is not None:
            self.name = name

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        """Loss of each sample, shape (N,)."""
        raise NotImplementedError(f"{type(self).__name__} has to define forward(y_true, y_pred)")

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        """Gradient of each sample's loss with respect to y_pred, shape of y_pred."""
        raise NotImplementedError(f"{type(self).__name__} has to define backward(y_true, y_pred)")

    def targets(self, y_true: Any, output_shape: tuple[Any, ...], who: str) -> Array:
        """`y_true` checked against a model's output shape (None, ..., C), in the form it is used.

        Raises TypeError or ValueError that names what was expected.
        """
        y, output_shape = checks.numeric(y_true, "y", who), checked_outputs(output_shape, who)
        if y.shape[1:] != tuple(output_shape[1:]):
            if (*y.shape[1:], 1) == tuple(output_shape[1:]):
                y = y[..., None]
            else:
                raise ValueError(
                    f"{who}: expected y of shape (N, {', '.join(map(str, output_shape[1:]))}), as "
                    f"the model's output, received {y.shape}"
                )
        self.check_values(y, output_shape, who)
        return y

    def check_values(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        """Raise ValueError unless the numbers in `y` can be targets.

        `fit` asks again for each batch, since the user's array may have changed since.
        """
        checks.finite(y, "y", who)

    def on_logits(self) -> Loss:
        """The same loss, told that y_pred are logits."""
        told = twin(self)
        told.from_logits = True
        return told

    def on_probabilities(self) -> Loss:
        """The same loss, told that y_pred are probabilities."""
        told = twin(self)
        told.from_logits = False
        return told

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """Mean over the samples, each times its weight where weights are given, as in Keras.

        Parameters
        ----------
        y_true, y_pred : array
            One-dimensional ones are N samples with one output each, whose weights count by their
            mean; with a cross-entropy they are one sample, with an output for each class.
        sample_weight : float or array of shape (N,), (N, 1) or the shape of y_pred less its last
            axis, then one factor for each position in a sample. The sum is divided by the number of
            samples or positions, whatever they weigh.

        Raises TypeError or ValueError where targets, predictions and weights do not fit.
        """
        who = type(self).__name__
        y, predicted = checks.numeric(y_true, "y_true", who), checks.numeric(y_pred, "y_pred", who)
        if predicted.dtype.kind != "f":
            predicted = predicted.astype(np.float64)
        if predicted.ndim < 1 or 0 in predicted.shape:
            raise ValueError(
                f"{who}: expected y_pred of shape (N, ..., C), received {predicted.shape}"
            )
        one_loss = predicted.ndim == y.ndim == 1 and self.from_logits is None
        if predicted.ndim == 1 and self.from_logits is None:
            predicted = predicted[:, None]
        elif predicted.ndim == 1:
            y, predicted = y[None], predicted[None]
        elif y.ndim == 0:
            raise ValueError(f"{who}: expected y_true to be an array of samples, received {y}")
        y = self.targets(y, predicted.shape, who)
        checks.same_length({"y_true": y, "y_pred": predicted}, who)
        if sample_weight is None:
            return float(self.forward(y, predicted).astype(np.float64).mean())
        weights = checks.numeric(sample_weight, "sample_weight", who)
        if one_loss and weights.size == len(y):
            weights = np.full(len(y), weights.mean())
        losses = self._weighted(y, predicted, weights, who)
        return float(losses.mean())

    def _weighted(self, y: Array, y_pred: Array, weights: Array, who: str) -> Array:
        """Losses times weights, of each sample or of each position, as the weights' shape asks."""
        positions = y_pred.shape[:-1]
        if weights.ndim == len(positions) + 1 and weights.shape[-1] == 1:
            weights = weights[..., 0]
        for_samples = weights.size == 1 or weights.shape == positions[:1]
        for_positions = weights.ndim == len(positions) and all(
            size in (1, n) for size, n in zip(weights.shape, positions)
        )
        if not for_samples and not (for_positions and y.shape[: len(positions)] == positions):
            n = len(y_pred)
            inner = f", or {positions} for each position" if len(positions) > 1 else ""
            raise ValueError(
                f"{who}: expected sample_weight to be a number or of shape ({n},) or ({n}, 1)"
                f"{inner}, received {weights.shape}"
            )
        checks.not_negative(weights, "sample_weight", who)
        weights = weights.astype(np.float64)
        if for_samples:
            return self.forward(y, y_pred) * weights.reshape(-1)
        y = y.reshape(-1, *y.shape[len(positions) :])
        losses = self.forward(y, y_pred.reshape(-1, y_pred.shape[-1]))  # positions as samples
        return losses.reshape(positions) * weights


def checked_outputs(output_shape: Any, who: str) -> tuple[Any, ...]:
    """The shape of a model's outputs, (None, ..., C)."""
    shape = checks.batch_shape(output_shape, "output_shape", who)
    if len(shape) < 2:
        raise ValueError(f"{who}: expected output_shape to be (None, ..., C), received {shape}")
    return shape


def _watched(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A user's `forward` or `backward`, with an error if it returns another shape than it has to.

    A loss that is one number for the batch would be taken for that of each sample.
    """

    @functools.wraps(function)
    def watched(self: Loss, y_true: Array, y_pred: Array) -> Any:
        values = function(self, y_true, y_pred)
        shape, what = y_pred.shape, "the gradient, of y_pred's shape"
        if method == "forward":
            shape, what = shape[:1], "the loss of each sample, shape"
        if getattr(values, "shape", None) != shape:
            received = f"shape {np.shape(values)}" if values is not None else "None"
            raise ValueError(
                f"{type(self).__name__}: expected {method} to return {what} {shape}, received "
                f"{received}. Take no sum or mean over the samples, and return the result"
            )
        return values

    return watched


def _per_sample(values: Array) -> Array:
    """Mean over all axes but the first."""
    return values if values.ndim == 1 else values.reshape(len(values), -1).mean(axis=1)


def _log_softmax(z: Array) -> Array:
    """log softmax(z) along the last axis; the row's maximum is taken out, so exp stays finite."""
    shifted = z - z.max(axis=-1, keepdims=True)
    log_p: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_p


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy with whole-number labels.

    Shapes
        y_true   (N, ...) or (N, ..., 1): classes 0 to C-1, of any integer or integral float type
        y_pred   (N, ..., C): probabilities, or logits with from_logits=True

    Forward, with k the label
        logits          L = logsumexp(z) - z_k
        probabilities   L = log(sum of p) - log p_k,   p = y_pred clipped to [1e-7, 1 - 1e-7]

    Backward
        logits          dL/dz_q = softmax(z)_q - [q = k]
        probabilities   dL/dy_q = 1/(sum of p) - [q = k] / p_k,   0 where the clip acts on y_q

    Why: the loss only sees the probability of the right class. Raising any other logit takes
    probability from it, in proportion to what that other class already has.

    Examples
    --------
    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> z = np.array([[0.0, 0.0], [0.0, 10000.0]])
    >>> loss.forward(np.array([0, 0]), z)
    array([6.93147181e-01, 1.00000000e+04])
    >>> loss.backward(np.array([0, 0]), z)
    array([[-0.5,  0.5],
           [-1. ,  1. ]])
    """

    name = "sparse_categorical_crossentropy"
    from_logits = Setting(checks.boolean)
    ignored = {"axis": (-1,), "ignore_class": (None,)}

    def __init__(self, from_logits: bool = False, **keras: Any) -> None:
        super().__init__(**keras)
        self.from_logits = from_logits

    def targets(self, y_true: Any, output_shape: tuple[Any, ...], who: str) -> Array:
        y, output_shape = checks.numeric(y_true, "y", who), checked_outputs(output_shape, who)
        *inner, classes = output_shape[1:]
        if y.ndim == len(inner) + 2 and y.shape[-1] == 1:
            y = y[..., 0]
        if y.shape[1:] != tuple(inner):
            fix = (
                "For one-hot rows use loss='categorical_crossentropy', or y.argmax(axis=-1)"
                if y.shape[1:] == (*inner, classes)
                else "Give one whole-number label for each prediction"
            )
            shape = f"({', '.join(['N', *map(str, inner)])}{'' if inner else ','})"
            raise ValueError(
                f"{who}: expected y of shape {shape} for "
                f"sparse_categorical_crossentropy, received {y.shape}. {fix}"
            )
        self.check_values(y, output_shape, who)
        return y.astype(np.int64) if y.dtype.kind == "f" else y

    def check_values(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        checks.finite(y, "y", who)
        classes = output_shape[-1]
        if y.dtype.kind == "f" and (fractional := y != np.floor(y)).any():
            raise ValueError(
                f"{who}: expected y to hold labels, whole numbers, received {y[fractional][0]}"
            )
        if y.size and (y.min() < 0 or y.max() >= classes):
            wrong = y.min() if y.min() < 0 else y.max()
            raise ValueError(
                f"{who}: expected y to hold labels from 0 to {classes - 1}, since the model has "
                f"{classes} outputs, received {wrong}"
            )

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        label = y_true[..., None].astype(np.intp)
        if self.from_logits:
            losses = -np.take_along_axis(_log_softmax(y_pred), label, -1)
        else:
            p = np.clip(y_pred, EPSILON, 1 - EPSILON)
            losses = np.log(p.sum(axis=-1, keepdims=True)) - np.log(
                np.take_along_axis(p, label, -1)
            )
        return _per_sample(losses[..., 0])

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        one_hot = np.zeros_like(y_pred)
        np.put_along_axis(one_hot, y_true[..., None].astype(np.intp), 1, -1)
        if self.from_logits:
            return _per_row(np.exp(_log_softmax(y_pred)) - one_hot)
        p = np.clip(y_pred, EPSILON, 1 - EPSILON)
        gradient = 1 / p.sum(axis=-1, keepdims=True) - one_hot / p
        return _per_row(gradient * (p == y_pred))


class CategoricalCrossentropy(Loss):
    """Cross-entropy with one-hot targets, or any distribution over the classes.

    Shapes
        y_true   (N, ..., C): rows that sum to 1
        y_pred   (N, ..., C): probabilities, or logits with from_logits=True

    Forward
        logits          L = -sum over q of t_q log softmax(z)_q
        probabilities   L = -sum over q of t_q log p_q,   p = y_pred / its sum, then clipped to
                        [1e-7, 1 - 1e-7]

    Backward
        logits          dL/dz = softmax(z) * (sum of t) - t
        probabilities   dL/dy_q = (sum of t - t_q / p_q) / (sum of y), t_q = 0 where the clip acts

    Why: as in SparseCategoricalCrossentropy, of which this is the mean under the distribution t.

    Examples
    --------
    >>> loss = CategoricalCrossentropy()
    >>> round(loss(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])), 4)    # log 2
    0.6931
    """

    name = "categorical_crossentropy"
    from_logits = Setting(checks.boolean)
    ignored = {"axis": (-1,), "label_smoothing": (0.0,)}

    def __init__(self, from_logits: bool = False, **keras: Any) -> None:
        super().__init__(**keras)
        self.from_logits = from_logits

    def targets(self, y_true: Any, output_shape: tuple[Any, ...], who: str) -> Array:
        y, output_shape = checks.numeric(y_true, "y", who), checked_outputs(output_shape, who)
        if y.shape[1:] != tuple(output_shape[1:]):
            fix = (
                "For whole-number labels use loss='sparse_categorical_crossentropy', or "
                f"minicnn.utils.to_categorical(y, {output_shape[-1]})"
                if y.ndim < len(output_shape) or y.shape[-1] == 1
                else f"Give one-hot rows of {output_shape[-1]} classes"
            )
            raise ValueError(
                f"{who}: expected y of shape (N, {', '.join(map(str, output_shape[1:]))}) for "
                f"categorical_crossentropy, received {y.shape}. {fix}"
            )
        self.check_values(y, output_shape, who)
        return y

    def check_values(self, y: Array, output_shape: tuple[Any, ...], who: str) -> None:
        checks.finite(y, "y", who)
        if y.size and y.min() < 0:
            raise ValueError(
                f"{who}: expected y to hold probabilities, received {y.min()}. "
                "Give one-hot rows: minicnn.utils.to_categorical(labels)"
            )

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        if self.from_logits:
            log_p = _log_softmax(y_pred)
        else:
            p = y_pred / y_pred.sum(axis=-1, keepdims=True)
            log_p = np.log(np.clip(p, EPSILON, 1 - EPSILON))
        return _per_sample(-(y_true.astype(y_pred.dtype) * log_p).sum(axis=-1))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        target = y_true.astype(y_pred.dtype)
        if self.from_logits:
            gradient = np.exp(_log_softmax(y_pred)) * target.sum(axis=-1, keepdims=True) - target
            return _per_row(gradient)
        total = y_pred.sum(axis=-1, keepdims=True)
        p = y_pred / total
        inside = (p >= EPSILON) & (p <= 1 - EPSILON)  # elsewhere the clip is flat
        ratio = np.divide(target, p, out=np.zeros_like(p), where=inside)
        return _per_row(((target * inside).sum(axis=-1, keepdims=True) - ratio) / total)


def _per_row(gradient: Array) -> Array:
    """The gradient of the mean over a sample's rows, from that of each row."""
    rows = gradient.size // (len(gradient) * gradient.shape[-1])
    return gradient / rows if rows > 1 else gradient


class MeanSquaredError(Loss):
    """Mean of the squared differences.

    Shapes
        y_true, y_pred   (N, ..., C)

    Forward
        L = mean over a sample's C (and inner) numbers of (y_pred - y_true)^2

    Backward
        dL/dy_pred = 2 (y_pred - y_true) / (numbers in a sample)

    Why: the slope of a square, once for each of the numbers that the mean is taken over.

    Examples
    --------
    >>> loss = MeanSquaredError()
    >>> loss.forward(np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]]))
    array([5.])
    >>> loss.backward(np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]]))
    array([[1., 3.]])
    """

    name = "mean_squared_error"

    def forward(self, y_true: Array, y_pred: Array) -> Array:
        return _per_sample(np.square(y_pred - y_true.astype(y_pred.dtype)))

    def backward(self, y_true: Array, y_pred: Array) -> Array:
        gradient: Array = (y_pred - y_true.astype(y_pred.dtype)) * (2 * len(y_pred) / y_pred.size)
        return gradient


KNOWN: dict[str, type[Loss]] = {
    "categorical_crossentropy": CategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}


def get(identifier: Any, who: str = "losses") -> Loss:
    """The loss of that name ("mse", "MeanSquaredError"), class or object.

    {"class_name": ..., "config": ...} stands for the object that it describes.

    Raises ValueError for an unknown name (the message lists the known ones), TypeError for
    anything else.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier):
        raise TypeError(
            f"{who}: expected loss to be a name or a minicnn.losses.Loss, received "
            f"{checks.shown(identifier)}. "
            "A plain function has no gradient here: subclass Loss and give it forward and backward"
        )
    if isinstance(identifier, dict):
        return restored(identifier, KNOWN.values(), "loss", who)
    by_class = {cls.__name__: cls for cls in KNOWN.values()}
    if isinstance(identifier, str) and identifier in by_class:
        return by_class[identifier]()
    return checks.lookup(identifier, KNOWN, "loss", who)()

"""What goes into a model: samples, targets and weights, checked, and cut into batches."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import mmap
import numbers
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.engine import ranks, threads
from minicnn.engine.lanes import Lane
from minicnn.kernels import LazyModule
from minicnn.layers import Layer
from minicnn.layers.base import Shape
from minicnn.protocols import Model

Array = NDArray[Any]

if TYPE_CHECKING:
    from minicnn.engine import passes
else:
    passes = LazyModule("minicnn.engine.passes")

# dtypes that the kernel `gather` is compiled for; NumPy gathers the others
GATHERED = [np.dtype(name) for name in ("uint8", "int32", "int64", "float32", "float64")]


@dataclass
class Data:
    """Samples, checked: inputs, and where there are any, targets and weights of the samples.

    x and y may be the user's own arrays, which other threads or callbacks may write to later. So
    each batch is checked again, and but for inputs that are predicted from where they are it is a
    copy that is checked: kernels use labels as indices.

    Attributes
    ----------
    who : str
        The call that the data were given to, for messages.
    dtype : float type of the model, which x has to fit into
    verify : function of a batch of y
        Raises ValueError for targets that the loss cannot take.
    targets : function of a batch of y
        In the place of `verify` where y has not been looked at yet: returns the targets in the form
        that the loss takes.
    seen : bool
        Whether all values were checked when the call began; else each batch's are, as it comes.
    loss : Loss
        What the model's loss is for these targets.
    """

    x: Array
    y: Array | None = None
    weight: Array | None = None
    who: str = "fit"
    dtype: Any = None
    verify: Callable[[Array], None] | None = None
    targets: Callable[[Array], Array] | None = None
    seen: bool = True
    loss: Any = None

    def __len__(self) -> int:
        return len(self.x)

    def split(self, at: int) -> tuple[Data, Data]:
        """The samples before number `at` and those from it on; views, no copies."""
        arrays = (self.x, self.y, self.weight)
        first, rest = zip(*[(None, None) if a is None else (a[:at], a[at:]) for a in arrays])
        names = ("x", "y", "weight")
        return replace(self, **dict(zip(names, first))), replace(self, **dict(zip(names, rest)))

    def batches(
        self, batch_size: int, order: Array | None = None, first: int = 0, end: int | None = None
    ) -> Generator[Batch, None, None]:
        """Batch after batch, from number `first` on up to sample `end`, the last one shorter if
        need be; in `order`, if one is given.
        """
        in_order = order is None
        order = (np.arange(len(self)) if order is None else order)[:end]
        for start in range(first * batch_size, len(order), batch_size):
            yield Batch(self, order[start : start + batch_size], in_order=in_order)


class Batch:
    """Some rows of the data. Targets and weights are gathered at once, inputs shard by shard; to
    predict, inputs in their order are used where they are, if it is as float32 that they lie there.

    Raises ValueError for targets or inputs that have become invalid since the call began.

    Attributes
    ----------
    there : slice
        The samples whose inputs this process has: all, unless another has made the batch.
    """

    there = slice(None)

    def __init__(self, data: Data, rows: Array, *, in_order: bool = False) -> None:
        self.rows = rows
        self.y = None if data.y is None else data.y[rows]
        self.weight = None if data.weight is None else data.weight[rows]
        if data.verify is not None and self.y is not None:
            try:
                data.verify(self.y)
            except ValueError as error:
                raise _changed_since_the_call_began(error) from None
        elif data.targets is not None:
            self.y = data.targets(self.y)  # type: ignore[arg-type]
        self.data, self._x = data, data.x
        plain = data.x.flags.c_contiguous and data.x.dtype in GATHERED
        self._flat = data.x.reshape(len(data.x), -1) if plain else None
        # for a read-only array kernels would be compiled anew
        self._as_they_lie = in_order and data.x.dtype == np.float32 and data.x.flags.writeable

    def __len__(self) -> int:
        return len(self.rows)

    def targets(self, shard: slice) -> Array:
        """Targets of the shard."""
        y: Array = self.y[shard]  # type: ignore[index]
        return y

    def inputs(self, shard: slice, sample_shape: tuple[int, ...], lane: Lane | None) -> Array:
        """Inputs of the shard, each in `sample_shape`; in the lane's buffer, if its plan fuses and
        they cannot be used where they are.
        """
        rows = self.rows[shard]
        if lane is None or not lane.fuses or self._flat is None:
            x = self._x[rows]
            if x.dtype.kind == "f":
                with np.errstate(over="ignore"):  # what the model's type cannot hold is infinite
                    cast = x if self.data.dtype is None else x.astype(self.data.dtype, copy=False)
                if not np.isfinite(np.vdot(cast, cast)):
                    self._expect_finite(rows)
            if lane is not None and lane.fuses:
                x = x.astype(np.float32)
            return x.reshape(len(rows), *sample_shape)  # else the first layer casts it
        if self._as_they_lie and lane.only_reads:
            x = self._flat[rows[0] : rows[-1] + 1]
            if not np.isfinite(np.vdot(x, x)):
                self._expect_finite(rows)
            return x.reshape(len(rows), *sample_shape)
        x = lane.inputs(len(rows), self._flat.shape[1])
        if not passes.gather(self._flat, rows, x):
            self._expect_finite(rows)
        return x.reshape(len(rows), *sample_shape)

    def all_inputs(self, sample_shape: tuple[int, ...]) -> Array:
        """Inputs of the batch, as the first layer takes them; those that are there."""
        return self.inputs(self.there, sample_shape, None)

    def _expect_finite(self, rows: Array) -> None:
        """Raise ValueError if these rows of x, or float32's numbers for them, are not finite."""
        try:
            checks.finite(self._x[rows], "x", self.data.who, dtype=self.data.dtype, places=rows)
        except ValueError as error:
            if not self.data.seen:
                raise
            raise _changed_since_the_call_began(error) from None


def _changed_since_the_call_began(error: ValueError) -> ValueError:
    """The error of a batch, which says that the data were valid when the call began."""
    return ValueError(
        f"{error}. They were valid when the call began: leave the arrays alone while it works, "
        "or give it a copy"
    )


# -- arguments ------------------------------------------------------------------------------------


WITHOUT_Y = (  # the calls that take x alone
    "predict",
    "predict_on_batch",
    "Sequential()",
    "explain",
    "activations",
    "receptive_field",
)


def checked(
    model: Model,
    x: Any,
    who: str,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    *,
    like: Shape | None = None,
    batch: str = "",
) -> Data:
    """The arguments of a call of the model as `Data`; changes nothing, copies no array.

    Before the model is built, samples have to be of shape `like`, if it is given. The values of
    arrays on disk, those of a `batch`, if it has a name, and those that a built model is to predict
    are left to be checked when they are used; but not by ranks, which one's error would end.
    """
    without_y = who in WITHOUT_Y
    who = f"{who}, {batch}" if batch else who
    predicts = who == "predict" and model.sample_shape is not None and ranks.group().size == 1
    later = bool(batch) or on_disk(x) or predicts
    expect_array(x, "x", who)
    x = checks.numeric(x, "x", who)
    if x.ndim < 1 or len(x) == 0:
        raise ValueError(f"{who}: expected at least one sample in x, received shape {x.shape}")
    sample = model.sample_shape or like
    if sample is not None and not same_sample(x.shape[1:], sample):
        raise ValueError(wrong_sample(who, x.shape, sample))
    threads.get_num_threads()  # raises for a bad environment variable before any change
    dtype = model.common_dtype()
    if not later:
        checks.finite(x, "x", who, dtype=dtype, run=threads.run)
    if without_y:
        return Data(x.view(), who=who, dtype=dtype, seen=not later)
    if y is None:
        raise TypeError(f"{who}: expected y, the targets, received None")
    output = model.shapes((None, *(sample or x.shape[1:])))[-1]
    if model.loss is None:
        raise ValueError(f"{who}: expected a compiled model")
    expect_array(y, "y", who)
    y_later = on_disk(y)
    y = checks.numeric(y, "y", who)
    checks.same_length({"'x' sizes": x, "'y' sizes": np.atleast_1d(y)}, who)
    if y.ndim == 0:
        raise ValueError(f"{who}: expected y to be an array, received the number {y}")
    loss = model.loss.chosen(y.shape, output)
    targets = functools.partial(_targets, loss, output_shape=output, who=who, dtype=dtype)
    checked_y = targets(y[:1] if y_later else y)
    y = y if y_later else checked_y
    for metric in model.chosen_metrics(output, loss):
        metric.check(checked_y, output, f"{who}: metric {metric.name}")
    if class_weight is not None:
        if sample_weight is not None:
            raise ValueError(
                f"{who}: expected class_weight or sample_weight, received both. Multiply the "
                "sample_weight of each sample by the factor of its class"
            )
        by_class(checked_y, class_weight, int(output[-1]), who)  # raises early
    weight = None
    if sample_weight is not None:
        shape = (len(y), *output[1:])
        weight = loss.checked_weights(sample_weight, shape, who, or_one=False)
        weight = np.broadcast_to(weight, (len(y), *weight.shape[1:]))
    # views: a shape that is set on the user's arrays later does not reach these
    data = Data(x.view(), y.view(), weight, who=who, dtype=dtype, seen=not later, loss=loss)
    if y_later:
        return replace(data, targets=targets)
    if batch:  # a copy that is checked already
        return data
    verify = functools.partial(loss.check_values, output_shape=output, who=who)
    return replace(data, verify=verify)


def _targets(loss: Any, y: Array, output_shape: Shape, who: str, dtype: Any) -> Array:
    """Targets in the form that the loss takes, all their values checked."""
    y = loss.targets(y, output_shape, who)
    checks.finite(y, "y", who, dtype=dtype)
    return y


def on_disk(array: Any) -> bool:
    """Whether it is a numpy.memmap, or a view of one: reading all of it takes long."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return isinstance(array, mmap.mmap)


def weighted(model: Model, data: Data, class_weight: Any, who: str) -> Data:
    """The training data, each sample's weight multiplied by the factor of its class."""
    if class_weight is None or data.y is None:
        return data
    output = model.shapes((None, *(model.sample_shape or data.x.shape[1:])))[-1]
    factors = by_class(data.y, class_weight, int(output[-1]), who)
    return replace(data, weight=factors if data.weight is None else data.weight * factors)


def expect_array(given: Any, name: str, who: str) -> None:
    """Raise TypeError, with a fix, for containers of samples that are not arrays."""
    if given is None:
        raise TypeError(f"{who}: expected {name} to be an array, received None")
    if isinstance(given, Layer):
        raise TypeError(
            f"{who}: expected {name} to be an array, received the layer {given.who}. There is no "
            "functional API: put layers together as Sequential([Input(shape), Dense(10)])"
        )
    if inspect.isgeneratorfunction(given):
        raise TypeError(
            f"{who}: expected {name} to be an array or to give batches, received the function "
            f"{given.__name__}. Call it: {who.split(',')[0]}({given.__name__}())"
        )
    if gives_batches(given) or (hasattr(given, "__getitem__") and not _is_array_like(given)):
        raise TypeError(
            f"{who}: expected {name} to be an array, received {type(given).__name__}, which gives "
            "its batches one by one. Put them together first: "
            "x, y = map(np.concatenate, zip(*batches))"
        )


def gives_batches(given: Any) -> bool:
    """Whether it is no array, but gives batches one by one: an iterator, a loader, a sequence."""
    if _is_array_like(given) or isinstance(given, type):
        return False
    sequence = hasattr(given, "__getitem__") and hasattr(given, "__len__")
    return isinstance(given, Iterable) or sequence


def _is_array_like(given: Any) -> bool:
    plain = (list, tuple, dict, str, bytes, numbers.Number, np.ndarray, np.generic)
    if isinstance(given, plain):
        return True
    if any(hasattr(given, way) for way in ("__array__", "__array_interface__", "__buffer__")):
        return True
    with contextlib.suppress(TypeError):
        memoryview(given)  # before Python 3.12 a buffer has no attribute that says so
        return True
    return False


def same_sample(given: Shape, sample: Shape) -> bool:
    """Whether the shapes agree, give or take a last axis of size 1."""
    given, sample = tuple(given), tuple(sample)
    return given == sample or (*given, 1) == sample or given == (*sample, 1)


def wrong_sample(who: str, shape: Shape, sample: Shape) -> str:
    expected = f"({', '.join(['N', *map(str, sample)])})"
    message = f"{who}: expected x of shape {expected}, received {tuple(shape)}."
    if tuple(shape) == tuple(sample) or (*shape, 1) == tuple(sample):
        return f"{message} For one sample add a batch axis: x[None]"
    if (*shape[1:], 1) == tuple(sample):
        return f"{message} Add a channel axis: x[..., None]"
    if len(shape) > 2 and shape[0] == 1 and same_sample(shape[2:], sample):
        return f"{message} For a list that holds one array, give the array itself: x[0]"
    if len(shape) == 1:
        return f"{message} Each sample has to be an array of its own; is x what was meant?"
    return f"{message} Reshape the data, or build the model for input_shape={tuple(shape[1:])}"


def is_zero(value: Any) -> bool:
    """Whether it is the number 0; an array of them, or False, is not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and value == 0


def share(validation_split: Any) -> float:
    """The `validation_split` argument, where it is not 0."""
    return checks.real(
        validation_split, "validation_split", "fit", low=0, high=1, open_low=True, open_high=True
    )


def split(data: Data, part: float) -> tuple[Data, Data]:
    """What is trained on, and the last `part` of the samples, which is kept for validation."""
    at = math.floor(len(data) * (1 - part))
    if at == 0 or at == len(data):
        raise ValueError(
            f"fit: expected validation_split={part} of {len(data)} samples to leave some on both "
            f"sides, received {at} to train on and {len(data) - at} to validate"
        )
    return data.split(at)


def by_class(y: Array, class_weight: Any, classes: int, who: str) -> Array:
    """The factor of each sample's class."""
    if not isinstance(class_weight, dict):
        raise TypeError(
            f"{who}: expected class_weight to be a dict of class to factor, "
            f"received {type(class_weight).__name__}"
        )
    labels = y if y.ndim == 1 else y[..., 0] if y.shape[-1] == 1 else y.argmax(axis=-1)
    if labels.ndim != 1:
        raise ValueError(
            f"{who}: expected one label a sample for class_weight, received y of {y.shape}"
        )
    if labels.dtype.kind == "f":
        labels = np.round(labels)  # a number is of the class nearest to it, as in Keras
    factors = np.ones(len(y))
    for label, factor in class_weight.items():
        label = checks.integer(label, "each key of class_weight", who, minimum=0)
        if label >= classes > 1:
            raise ValueError(
                f"{who}: expected the keys of class_weight to be classes from 0 to "
                f"{classes - 1}, received {checks.shown(label)}"
            )
        factor = checks.real(factor, f"class_weight[{checks.shown(label)}]", who, low=0)
        factors[labels == label] = factor
    return factors

"""What the arguments of the public callables are: which values each may take, and its names.

An argument without an entry in `KINDS` fails `test_wrong_calls.py`, which says what to write.
"""

from __future__ import annotations

import fnmatch
import math
import numbers
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import (
    constraints,
    course,
    initializers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from minicnn.callbacks import Callback, History
from minicnn.checks import LARGEST_SIZE, MOST_AXES
from minicnn.layers import ActivationLayer, Layer
from minicnn.layers import activations as activation_layers
from minicnn.models import Sequential
from minicnn.optimizers import Optimizer
from minicnn.utils import images, resampling


@dataclass(frozen=True)
class Kind:
    """What an argument is.

    Attributes
    ----------
    takes : (value, right) -> bool
        Whether `value` may be accepted in the place of the value `right`. It need not be; but where
        it is refused, the message has to be as good as for a wrong one.
    called : tuple of str
        Words by which a message may name the argument, beside the argument's own name.
    called_back : bool
        Whether it is a function that the library calls: its errors are the caller's own.
    """

    takes: Callable[[Any, Any], bool]
    called: tuple[str, ...] = ()
    called_back: bool = False

    def may_take(self, value: Any, right: Any) -> bool:
        try:
            return bool(self.takes(value, right))
        except Exception:  # values that refuse to be compared are not what was asked for
            return False

    def or_(self, takes: Callable[[Any], bool]) -> Kind:
        both = lambda value, right: takes(value) or self.takes(value, right)  # noqa: E731
        return Kind(both, self.called, self.called_back)

    def named(self, *called: str) -> Kind:
        return Kind(self.takes, called, self.called_back)


def is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, (bool, np.bool_))


def is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def is_size(value: Any) -> bool:
    return is_integer(value) and 1 <= value <= LARGEST_SIZE


def is_axis(value: Any) -> bool:
    return is_integer(value) and 1 <= value <= MOST_AXES


def is_none(value: Any) -> bool:
    return value is None


def is_list_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(test(item) for item in value)


def is_row_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """As a list, or an array of one axis."""
    return lambda value: (
        is_list_of(test)(value)
        or (isinstance(value, np.ndarray) and value.ndim == 1 and all(map(test, value.tolist())))
    )


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def as_numbers(value: Any) -> np.ndarray | None:
    """`value` as an array of real numbers, none of them masked, or None if it is no such array."""
    if np.ma.is_masked(value) or value is None:
        return None
    try:
        array = np.asarray(value)
    except Exception:
        return None
    return array if array.dtype.kind in "buif" else None


def integers(low: float, high: float = math.inf) -> Kind:
    return Kind(lambda value, right: is_integer(value) and low <= value <= high)


def reals(low: float = -math.inf, high: float = math.inf, *, without: Iterable[float] = ()) -> Kind:
    return Kind(
        lambda value, right: (
            is_real(value)
            and low <= float(value) <= high
            and math.isfinite(float(value))
            and value not in without
        )
    )


def words(*known: str) -> Kind:
    return Kind(lambda value, right: isinstance(value, str) and value.lower() in known)


def classes_to(last: int) -> Kind:
    """Some classes from 0 on: a list, or what gives one. An iterator cannot be looked into."""

    def accepts(value: Any, right: Any) -> bool:
        if isinstance(value, (range, np.ndarray)) and np.ndim(value) == 1:
            value = list(value)
        few = is_list_of(is_integer)(value) and bool(value)
        return isinstance(value, Iterator) or (few and all(0 <= one <= last for one in value))

    return Kind(accepts)


def named_class(known: Mapping[str, type], base: type) -> Kind:
    """A name of a class, in any case, the class or an object of it."""
    names = {*known, *(kind.__name__.lower() for kind in known.values())}

    def takes(value: Any, right: Any) -> bool:
        if isinstance(value, str):
            return value.lower() in names
        return isinstance(value, base) or (isinstance(value, type) and issubclass(value, base))

    return Kind(takes)


def arrays(fits: Callable[[np.ndarray, np.ndarray], bool], *, finite: bool = True) -> Kind:
    """Arrays of numbers that `fits(array, right)` finds right in shape and range."""

    def takes(value: Any, right: Any) -> bool:
        array = as_numbers(value)
        if array is None or (finite and not np.isfinite(array).all()):
            return False
        return fits(array, np.asarray(right))

    return Kind(takes)


def _float32(array: np.ndarray) -> bool:
    return bool(np.abs(array.astype("float64")).max(initial=0) <= np.finfo("float32").max)


def _whole(array: np.ndarray, classes: int) -> bool:
    return bool((array == np.floor(array)).all() and (array >= 0).all() and (array < classes).all())


TABLE = Kind(lambda value, right: all(value[key] is right[key] for key in right))
ANYTHING = Kind(lambda value, right: True)


def is_two_numbers(value: Any) -> bool:
    return is_list_of(is_real)(value) and len(value) == 2 and all(map(math.isfinite, value))


PICTURE_SIZE = Kind(
    lambda value, right: (
        value is None
        or (is_integer(value) and 1 <= value <= 65535)
        or (is_list_of(is_size)(value) and len(value) == 2 and max(value) <= 65535)
    )
)
FOLDERS = Kind(
    lambda value, right: (
        isinstance(value, Iterator) or (len(value) > 0 and set(value) <= {"a", "b"})
    )
)
NUMBER_TYPE = Kind(
    lambda value, right: (
        value is None
        or (isinstance(value, (str, type, np.dtype)) and np.dtype(value).kind in "fiu")
    )
)
SHIFTS = Kind(
    lambda value, right: (
        (is_real(value) and math.isfinite(value))
        or (isinstance(value, (list, tuple, np.ndarray)) and all(map(math.isfinite, value)))
    )
)
NOTHING_ELSE = Kind(lambda value, right: value is right)
TEXT = Kind(lambda value, right: isinstance(value, str))
NAME = Kind(lambda value, right: is_text(value))
BOOLEAN = Kind(lambda value, right: isinstance(value, (bool, np.bool_)))
SIZE = integers(1, LARGEST_SIZE)
POSITIVE = integers(1)
NATURAL = integers(0)
SEED = integers(0).or_(is_none)
SHARE = reals(0, 1, without=(1,))
PAIR = Kind(lambda value, right: is_size(value) or (is_list_of(is_size)(value) and len(value) == 2))
AXIS = integers(-32)
AXES = Kind(
    lambda value, right: is_integer(value) or (is_list_of(is_integer)(value) and len(value) > 0)
)
OUTPUT_PADDING = Kind(  # less than the strides, which are (2, 3) in the case; one stands for both
    lambda value, right: (
        value is None
        or (is_integer(value) and 0 <= value < 2)
        or (is_list_of(is_integer)(value) and len(value) == 2 and value[0] in (0, 1))
    )
)
SHAPE = Kind(lambda value, right: is_list_of(is_size)(value))
BATCH_SHAPE = Kind(
    lambda value, right: is_list_of(lambda size: size is None or is_size(size))(value) and value
)
DTYPE = Kind(lambda value, right: np.dtype(value) in (np.dtype("f"), np.dtype("d")))
ACTIVATION = named_class(activation_layers.KNOWN, ActivationLayer).or_(is_none)
INITIALIZER = named_class(initializers.KNOWN, initializers.Initializer).or_(
    lambda value: (
        value in initializers.ALIASES
        if isinstance(value, str)
        else (isinstance(value, (np.ndarray, np.generic)) and as_numbers(value) is not None)
        or (callable(value) and not isinstance(value, type))
    )
)
REGULARIZER = (
    named_class(regularizers.KNOWN, regularizers.Regularizer)
    .or_(is_none)
    .or_(lambda value: callable(value) and hasattr(value, "gradient"))
)
CONSTRAINT = named_class(constraints.KNOWN, constraints.Constraint).or_(is_none).or_(callable)
OPTIMIZER = named_class(optimizers.KNOWN, Optimizer)
LOSS = named_class(losses.KNOWN, losses.Loss)


def _one_of_one(value: Any, right: Any) -> bool:
    """A list or a dict of the one output's loss."""
    if isinstance(value, (list, tuple, dict)) and len(value) == 1:
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return LOSS.takes(value, right)


VERBOSE = Kind(
    lambda value, right: value == "auto" if isinstance(value, str) else value in (0, 1, 2)
)
CALLBACKS = Kind(
    lambda value, right: (
        value is None
        or isinstance(value, Callback)
        or is_list_of(lambda item: isinstance(item, Callback))(value)
    )
)


def _is_metric(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() in {"accuracy", "acc", *metrics.KNOWN}
    return isinstance(value, metrics.Metric) or callable(value)


def _are_metrics(value: Any) -> bool:
    """A list, or a dict of the one output, of metrics or of lists of them."""
    if isinstance(value, dict) and len(value) < 2:
        value = list(value.values())
    return is_list_of(lambda one: _is_metric(one) or is_list_of(_is_metric)(one))(value)


METRIC = Kind(lambda value, right: _is_metric(value))
METRICS = Kind(lambda value, right: _are_metrics(value), ("metric",))
LAYER = Kind(lambda value, right: isinstance(value, Layer))


def _are_shares(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = list(value)
    return is_list_of(is_real)(value) and bool(value) and all(0 <= one <= 1 for one in value)


SAMPLES = arrays(
    lambda x, right: x.shape[1:] in (right.shape[1:], (*right.shape[1:], 1)) and _float32(x)
)
SAME_SHAPE = arrays(lambda x, right: x.shape == right.shape and _float32(x))
NUMBERS = arrays(lambda x, right: x.ndim > 0 and x.size > 0)  # of a shape that may fit or not
LABELS = arrays(lambda y, right: y.shape in (right.shape, (*right.shape, 1)) and _whole(y, 3))
WEIGHTS = arrays(lambda w, right: (w >= 0).all() and w.size in (0, 1, right.size))
# of the layers and losses themselves, whose numbers may be anything that a float is
PASSED_BACK = arrays(lambda x, right: x.shape == right.shape, finite=False)
ANY_SHAPE = arrays(lambda x, right: x.ndim > 0 and x.size > 0, finite=False).named("input")
LAST_AXIS = arrays(
    lambda x, right: x.ndim > 1 and x.shape[-1] == right.shape[-1] and x.size > 0, finite=False
).named("input")
CLASSES = Kind(lambda value, right: np.size(value) == len(value) > 0)  # numbers or text
FACTORS = reals().or_(lambda value: isinstance(value, np.ndarray) and is_real(value[()]))
FACTORS = FACTORS.or_(
    lambda value: (
        isinstance(value, (list, tuple, np.ndarray))
        and (array := as_numbers(value)) is not None
        and array.dtype.kind != "b"
        and array.size in (1, max(array.shape, default=1))
        and np.isfinite(array).all()
    )
)  # one, or one for each channel
NO_LIST = (str, bytes, bytearray, memoryview, dict, set, frozenset)
NAMES = Kind(lambda value, right: isinstance(value, Iterable) and not isinstance(value, NO_LIST))
CLASS_WEIGHT = Kind(
    lambda value, right: (
        isinstance(value, dict)
        and all(is_integer(key) and 0 <= key < 3 for key in value)
        and all(is_real(factor) and 0 <= float(factor) < math.inf for factor in value.values())
    )
)
SPLIT = Kind(
    lambda value, right: is_real(value) and (0 <= value < 1 or (is_integer(value) and value < 12))
)

SIDES = Kind(
    lambda value, right: (
        (is_integer(value) and value >= 0)
        or (
            len(value) == 2 and all(np.min(side) >= 0 and np.size(side) in (1, 2) for side in value)
        )
    )
)


def numbers_or_pairs(low: float, high: float, *, without: Iterable[float] = ()) -> Kind:
    """A number, or a list or tuple of two."""
    one = reals(low, high, without=without)
    return one.or_(
        lambda value: (
            isinstance(value, (list, tuple))
            and len(value) == 2
            and all(one.may_take(v, None) for v in value)
        )
    )


PART = numbers_or_pairs(-1, 1)
SHARES = numbers_or_pairs(0, 1)
ZOOM = numbers_or_pairs(-1, 1, without=(-1,))

# By the name of the argument, which means the same wherever it occurs; or, where it does not, by
# the name of the callable and the argument.
KINDS: dict[str, Kind] = {
    # layers
    "activation": ACTIVATION,
    **dict.fromkeys(
        (
            "activity_regularizer",
            "alpha_regularizer",
            "beta_regularizer",
            "bias_regularizer",
            "depthwise_regularizer",
            "gamma_regularizer",
            "kernel_regularizer",
            "pointwise_regularizer",
            "regularizer",
        ),
        REGULARIZER,
    ),
    **dict.fromkeys(
        (
            "alpha_constraint",
            "beta_constraint",
            "bias_constraint",
            "constraint",
            "depthwise_constraint",
            "gamma_constraint",
            "kernel_constraint",
            "pointwise_constraint",
        ),
        CONSTRAINT,
    ),
    "l1": reals(0).or_(is_none),
    "l2": reals(0).or_(is_none),
    "layers.regularization.*.l1": reals(0),
    "layers.regularization.*.l2": reals(0),
    "regularizers.*.factor": reals(0),
    "regularizers.*.mode": words("rows", "columns"),
    "regularizers.*.x": arrays(lambda x, right: True, finite=False),
    "regularizers.OrthogonalRegularizer.*.x": arrays(
        lambda x, right: x.ndim == 2 and len(x) > 1, finite=False
    ),
    "regularizers.get.identifier": REGULARIZER.named("regularizer"),
    "constraints.*.min_value": reals(0),
    "constraints.*.max_value": reals(0),
    "constraints.*.rate": reals(0, 1),
    "constraints.*.axis": Kind(
        lambda value, right: (
            is_integer(value) or (is_list_of(is_integer)(value) and len(set(value)) == len(value))
        )
    ),
    "constraints.*.__call__.w": arrays(lambda w, right: w.ndim > 0, finite=False),
    "constraints.NonNeg.__call__.w": arrays(lambda w, right: True, finite=False),
    "constraints.get.identifier": CONSTRAINT.named("constraint"),
    **{
        f"optimizers.schedules.*.{name}": kind
        for names, kind in {
            ("alpha", "decay_rate", "end_learning_rate", "initial_learning_rate"): reals(0),
            ("m_mul", "max_learning_rate", "power", "warmup_steps"): reals(0),
            ("decay_steps", "final_factor", "first_decay_steps"): reals(0, without=(0,)),
            ("initial_factor",): reals(0, without=(0,)),
            ("warmup_target",): reals(0).or_(is_none),
            ("t_mul",): reals(1),
            ("warmup",): reals(0, 1, without=(0, 1)),
            ("total_steps",): integers(2),
            ("staircase", "cycle"): BOOLEAN,
            ("name",): NAME.or_(is_none),
            ("boundaries",): Kind(
                lambda value, right: (
                    isinstance(value, Iterator)
                    or (len(value) == 2 and sorted(value) == list(value))
                )
            ),
            ("values",): Kind(
                lambda value, right: (
                    isinstance(value, Iterator)
                    or (len(value) == 3 and all(reals(0).takes(v, 0) for v in value))
                )
            ),
            ("step",): reals(0).or_(
                lambda value: as_numbers(value) is not None and (as_numbers(value) >= 0).all()
            ),
        }.items()
        for name in names
    },
    "axis": integers(-1),
    "bias_initializer": INITIALIZER.named("initializer"),
    "center": BOOLEAN,
    "data_format": Kind(lambda value, right: value is None or value == "channels_last"),
    "depth_multiplier": SIZE,
    "depthwise_initializer": INITIALIZER.named("initializer"),
    "dilation_rate": PAIR,
    "dtype": DTYPE,
    "epsilon": reals(0, without=(0,)),
    "filters": SIZE,
    "groups": SIZE,
    "input_shape": SHAPE,
    "input_dim": SIZE.or_(is_none),
    "batch_shape": NOTHING_ELSE,  # beside shape
    "layers.input.Input*.batch_size": SIZE.or_(is_none),
    "kernel_initializer": INITIALIZER.named("initializer"),
    "keepdims": BOOLEAN,
    "kernel_size": PAIR,
    "momentum": reals(0, 1),
    "name": NAME,
    "layers.*.name.name": NAME.or_(is_none),
    "layers.pooling.*.strides.strides": PAIR.or_(is_none),
    "negative_slope": reals(0),
    "offset": reals(),
    "output_padding": OUTPUT_PADDING,
    "padding": words("valid", "same"),
    "pointwise_initializer": INITIALIZER.named("initializer"),
    "pool_size": PAIR,
    "rate": reals(0, 1),
    "scale": reals(),
    "seed": SEED,
    "shape": SHAPE,
    "strides": PAIR,
    "trainable": BOOLEAN,
    "training": BOOLEAN,
    "units": SIZE,
    "use_bias": BOOLEAN,
    "layers.batchnorm.*.scale": BOOLEAN,
    "layers.groupnorm.*.scale": BOOLEAN,
    # the case with most arguments has neither gamma nor beta, which would fix the channels
    "layers.layernorm.LayerNormalization.forward.x": ANY_SHAPE,
    "layers.layernorm.LayerNormalization.__call__.x": ANY_SHAPE,
    "layers.layernorm.LayerNormalization*.scale": BOOLEAN,
    # and another one has the channels on axis 1
    **dict.fromkeys(
        (
            "layers.batchnorm.BatchNormalization.forward.x",
            "layers.batchnorm.BatchNormalization.__call__.x",
        ),
        arrays(lambda x, _: x.ndim > 1 and x.shape[1] == 3 and x.size > 0, finite=False).named(
            "input"
        ),
    ),
    "layers.layernorm.RMSNormalization*.scale": PASSED_BACK,
    **dict.fromkeys(
        (
            "layers.groupnorm.GroupNormalization.forward.x",
            "layers.groupnorm.GroupNormalization.__call__.x",
        ),
        arrays(lambda x, _: x.ndim > 1 and x.shape[1] % 3 == 0 and x.size > 0, finite=False).named(
            "input"
        ),
    ),
    **dict.fromkeys(
        (
            "beta_initializer",
            "gamma_initializer",
            "moving_mean_initializer",
            "moving_variance_initializer",
        ),
        INITIALIZER.named("initializer"),
    ),
    "layers.batchnorm.*.axis": AXES,
    "layers.layernorm.*.axis": AXES,
    "layers.groupnorm.*.axis": AXIS,
    "layers.groupnorm.*.groups": Kind(
        lambda value, right: is_integer(value) and value >= -1 and value
    ),
    "layers.rescaling.Rescaling*.scale": FACTORS,
    "layers.rescaling.Rescaling*.offset": FACTORS,
    "layers.input.InputLayer.shape": SHAPE.named("input_shape"),
    "layers.input.Input.shape": SHAPE.named("input_shape"),
    "layers.*.forward.x": ANY_SHAPE,
    "layers.*.__call__.x": ANY_SHAPE,
    **{
        f"layers.{file}.*.{method}.x": LAST_AXIS
        for file in (
            *("batchnorm", "conv", "conv_transpose", "dense", "depthwise"),
            *("groupnorm", "layernorm"),
        )
        for method in ("forward", "__call__")
    },
    "layers.*.forward.training": ANYTHING,  # most layers do the same whatever it is
    "layers.batchnorm.*.forward.training": BOOLEAN,
    "layers.dropout.*.forward.training": BOOLEAN,
    "layers.noise.*.forward.training": BOOLEAN,
    "layers.noise.*Dropout*.rate": SHARE,
    "layers.augmentation.*.forward.training": BOOLEAN,
    "layers.augmentation.*.__call__.training": BOOLEAN,
    "fill_mode": words("constant", "nearest", "reflect", "wrap"),
    "factor": PART,
    "height_factor": PART,
    "width_factor": PART,
    "layers.augmentation.geometry.RandomZoom*.height_factor": ZOOM,
    "layers.augmentation.geometry.RandomZoom*.width_factor": ZOOM.or_(is_none),
    "layers.augmentation.color.RandomContrast*.factor": SHARES,
    "layers.augmentation.erasing.RandomErasing*.factor": SHARES,
    "layers.augmentation.erasing.RandomErasing*.scale": SHARES,
    "layers.augmentation.erasing.RandomErasing*.fill_value": reals()
    .or_(is_none)
    .or_(lambda value: isinstance(value, (list, tuple)) and all(map(is_real, value)) and value),
    "value_range": Kind(
        lambda value, right: (
            isinstance(value, (list, tuple))
            and len(value) == 2
            and all(is_real(v) and math.isfinite(v) for v in value)
            and value[0] != value[1]
        )
    ),
    "layers.augmentation.geometry.RandomFlip*.mode": words(
        "horizontal", "vertical", "horizontal_and_vertical"
    ),
    "stddev": reals(0, 1),
    "layers.padding.*.padding": SIDES,
    "cropping": SIDES,
    "crop_to_aspect_ratio": BOOLEAN,
    "pad_to_aspect_ratio": BOOLEAN,
    "dims": Kind(lambda value, right: sorted(value) == list(range(1, len(value) + 1))),
    "fill_value": reals(),
    "height": SIZE,
    "interpolation": words("bilinear", "nearest"),
    "invert": BOOLEAN,
    "layers.reshaping.RepeatVector*.n": SIZE,
    "layers.resizing.Resizing*.fill_mode": Kind(lambda value, right: value == "constant"),
    "layers.resizing.UpSampling2D*.size": PAIR,
    "layers.standardize.*.axis": Kind(
        lambda value, right: value is None or is_integer(value) or is_list_of(is_integer)(value)
    ),
    "layers.standardize.*.mean": arrays(lambda x, right: True).or_(is_none),
    "layers.standardize.*.variance": arrays(lambda x, right: (x >= 0).all()).or_(is_none),
    "layers.standardize.Normalization.adapt.data": Kind(lambda v, right: True, called_back=True),
    "target_shape": Kind(lambda value, right: is_list_of(is_integer)(value)),
    "width": SIZE,
    "noise_shape": Kind(
        lambda value, right: (
            value is None
            or (is_list_of(lambda size: size is None or is_size(size))(value) and value)
        )
    ),
    "layers.*.backward.dy": PASSED_BACK,
    "alpha": PASSED_BACK,
    "layers.*.ELU*.alpha": reals(),
    "activations.elu.alpha": reals(),
    "layers.*.CELU*.alpha": reals(0, without=(0,)),
    "activations.celu.alpha": reals(0, without=(0,)),
    "alpha_initializer": INITIALIZER.named("initializer"),
    "approximate": BOOLEAN,
    "max_value": reals(0).or_(is_none),
    "threshold": reals(0),
    "shared_axes": Kind(
        lambda value, right: value is None or is_axis(value) or is_list_of(is_axis)(value)
    ),
    "layers.*.Squareplus*.b": reals(0),
    "layers.*.HardShrink*.threshold": reals(),
    "layers.*.SoftShrink*.threshold": reals(),
    "activations.*_shrink.threshold": reals(),
    "layers.*.Threshold*.threshold": reals(),
    "activations.threshold.threshold": reals(),
    "default_value": reals(),
    "layers.*.Sparsemax*.axis": Kind(lambda value, right: is_integer(value)),
    "activations.sparsemax.axis": Kind(lambda value, right: is_integer(value)),
    "layers.*.GLU*.axis": Kind(lambda value, right: is_integer(value)),
    "activations.glu.axis": Kind(lambda value, right: is_integer(value)),
    "layers.activations.softmax.*.axis": Kind(
        lambda value, right: is_integer(value) or (is_list_of(is_integer)(value) and value)
    ),
    "activations.squareplus.b": reals(0),
    "activations.*softmax.axis": Kind(
        lambda value, right: is_integer(value) or (is_list_of(is_integer)(value) and value)
    ),
    "activations.*.x": arrays(lambda x, right: True, finite=False),
    "activations.get.identifier": ACTIVATION.named("activation"),
    "layers.*.Function*.function": Kind(lambda value, right: callable(value), called_back=True),
    "layers.*.Function*.derivative": Kind(lambda value, right: callable(value), called_back=True),
    "layers.*.build.input_shape": BATCH_SHAPE.named("input"),
    "layers.*.output_shape.input_shape": BATCH_SHAPE.named("input"),
    "layers.base.Layer.add_*.key": NAME,
    "key": NAME,
    "initializer": Kind(
        lambda value, right: INITIALIZER.takes(value, right) or callable(value), called_back=True
    ),
    "weights": Kind(
        lambda value, right: (
            isinstance(value, (list, tuple))
            and len(value) == len(right)
            and all(SAME_SHAPE.takes(one, other) for one, other in zip(value, right))
        ),
        (
            *("arrays", "W", "b", "depthwise_kernel", "pointwise_kernel"),
            *("gamma", "beta", "scale", "moving_mean", "moving_variance", "alpha"),
        ),
    ),
    # initializers
    "distribution": words("truncated_normal", "untruncated_normal", "uniform", "normal"),
    "gain": reals(),
    "maxval": reals(),
    "mean": reals(),
    "minval": reals(),
    "mode": words("fan_in", "fan_out", "fan_avg"),
    "initializers.*.stddev": reals(0),
    "initializers.VarianceScaling*.scale": reals(0, without=(0,)),
    "initializers.Constant.value": Kind(
        lambda value, right: is_real(value) or as_numbers(value) is not None
    ),
    "rng": Kind(lambda value, right: isinstance(value, np.random.Generator)),
    "W": PASSED_BACK,
    "b": PASSED_BACK,
    "gamma": PASSED_BACK,
    "beta": PASSED_BACK,
    "depthwise_kernel": PASSED_BACK,
    "pointwise_kernel": PASSED_BACK,
    "moving_mean": PASSED_BACK,
    "moving_variance": PASSED_BACK,
    # losses, metrics, optimizers
    "y_pred": ANY_SHAPE.named("outputs"),
    "y_true": arrays(lambda y, right: y.size > 0).named("y"),
    "beta_1": SHARE,
    "beta_2": SHARE,
    "weight_decay": reals(0).or_(is_none),
    "optimizers.adam.AdamW*.weight_decay": reals(0),
    "optimizers.adam.Lion*.beta_1": reals(0, 1, without=(0,)),
    "amsgrad": BOOLEAN,
    "centered": BOOLEAN,
    "clipnorm": reals(0).or_(is_none),
    "clipvalue": reals(0).or_(is_none),
    "global_clipnorm": reals(0).or_(is_none),
    "use_ema": BOOLEAN,
    "ema_momentum": reals(0, 1),
    "ema_overwrite_frequency": integers(1).or_(is_none),
    "gradient_accumulation_steps": integers(2).or_(is_none),
    "initial_accumulator_value": reals(0),
    "from_logits": BOOLEAN,
    "decay": reals(0),
    "learning_rate": reals(0).or_(
        lambda value: (
            callable(value) or isinstance(value, optimizers.schedules.LearningRateSchedule)
        )
    ),
    "lr": reals(0)
    .or_(
        lambda value: (
            callable(value) or isinstance(value, optimizers.schedules.LearningRateSchedule)
        )
    )
    .or_(is_none)
    .named("learning_rate"),
    "loss": LOSS,
    "reduction": words("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none").or_(
        is_none
    ),
    "label_smoothing": reals(0, 1),
    "apply_class_balancing": BOOLEAN,
    "losses.regression.Huber*.delta": reals(0, without=(0,)),
    "losses.functions.huber.delta": reals(0, without=(0,)),
    "losses.*.axis": integers(-MOST_AXES, MOST_AXES),
    "losses.*.alpha": reals(0).or_(
        lambda value: is_row_of(is_real)(value) and len(value) > 0 and min(value) >= 0
    ),
    "losses.binary.*.alpha": reals(0, 1),
    "losses.functions.binary_focal_crossentropy.alpha": reals(0, 1),
    "losses.*.gamma": reals(0),
    "losses.own.Function.function": Kind(lambda value, right: callable(value)),
    "losses.own.Function.gradient": Kind(lambda value, right: callable(value)),
    "ignore_class": integers(-(2**63), 2**63 - 1).or_(is_none),
    "losses.serialize.loss": LOSS,
    "compiled.Compiled.compile.loss": Kind(_one_of_one).or_(is_none),
    "losses.deserialize.name": LOSS.named("loss"),
    "nesterov": BOOLEAN,
    "rho": SHARE,
    "sample_weight": WEIGHTS,
    "metrics.get.output_shape": BATCH_SHAPE,
    "initializers.get.identifier": INITIALIZER.named("initializer"),
    "losses.get.identifier": LOSS.named("loss"),
    "metrics.get.identifier": METRIC.named("metric"),
    "optimizers.get.identifier": OPTIMIZER.named("optimizer"),
    "optimizers.base.Optimizer.update.w": PASSED_BACK,
    "optimizers.base.Optimizer.update.g": PASSED_BACK,
    "optimizers.base.Optimizer.update.names": NAMES,
    "optimizers.base.Optimizer.exclude_from_weight_decay.*": NAMES.or_(is_none),
    "optimizers.base.Optimizer.update.parts": Kind(
        lambda value, right: all(isinstance(part, slice) for part in value)
    ),
    # callbacks
    **{
        f"callbacks.*.{name}": Kind(lambda value, right: isinstance(value, (str, os.PathLike)))
        for name in ("backup_dir", "filename", "log_dir")
    },
    "callbacks.*TensorBoard*.update_freq": integers(1).or_(
        lambda value: value in ("batch", "epoch")
    ),
    "callbacks.*TensorBoard*.write_*": BOOLEAN,
    "callbacks.*.filepath": Kind(lambda value, right: str(value).endswith(".keras")),
    "callbacks.*.mode": words("auto", "min", "max"),
    "callbacks.*LambdaCallback*": Kind(
        lambda value, right: value is None or callable(value), called_back=True
    ),
    **{
        f"callbacks.*Watch*.{name}": arrays(
            lambda x, right: x.ndim > 0 and len(x) == len(right), finite=False
        )
        for name in "xy"
    },
    "append": BOOLEAN,
    "baseline": reals().or_(is_none),
    "cooldown": integers(0),
    "callbacks.*ReduceLROnPlateau*.factor": reals(0, 1, without=(1,)),
    "delete_checkpoint": BOOLEAN,
    "double_checkpoint": BOOLEAN,
    "initial_value_threshold": reals().or_(is_none),
    "min_delta": reals(),
    "min_lr": reals(0),
    "monitor": NAME,
    "patience": integers(0),
    "raise_error": BOOLEAN,
    "restore_best_weights": BOOLEAN,
    "save_best_only": BOOLEAN,
    "save_freq": integers(1).or_(lambda value: isinstance(value, str) and value == "epoch"),
    "save_weights_only": BOOLEAN,
    "schedule": Kind(lambda value, right: callable(value), called_back=True),
    "separator": Kind(
        lambda value, right: isinstance(value, str) and len(value) == 1 and value not in '\r\n"'
    ),
    "start_from_epoch": integers(0),
    "callbacks.*.verbose": integers(0),
    # models
    "batch_size": POSITIVE,
    "callbacks": CALLBACKS,
    "class_weight": CLASS_WEIGHT,
    "epochs": NATURAL,
    "index": integers(-4, 3),
    "initial_epoch": NATURAL,
    "jit_compile": BOOLEAN.or_(lambda value: isinstance(value, str) and value == "auto"),
    "layer": LAYER,
    "layers": Kind(lambda value, right: is_list_of(lambda item: isinstance(item, Layer))(value)),
    "line_length": integers(1, 10_000),
    "loss_weights": Kind(
        lambda value, right: is_real(value) or (is_list_of(is_real)(value) and len(value) == 1)
    ),
    "metrics": METRICS,
    "weighted_metrics": METRICS,
    "run_eagerly": Kind(lambda value, right: value is False),
    "steps_per_execution": SIZE,
    "metrics.*.threshold": reals(0, 1),
    "metrics.fscore.*.threshold": reals(0, 1, without=(0,)).or_(is_none),
    "thresholds": reals(0, 1).or_(lambda value: _are_shares(value)).or_(is_none),
    "metrics.curves.AUC.thresholds": Kind(lambda value, right: _are_shares(value)).or_(is_none),
    "num_thresholds": integers(1, 1_000_000),
    "metrics.curves.AUC.num_thresholds": integers(2, 1_000_000),
    "curve": words("roc", "pr", "prgain"),
    "summation_method": words("interpolation", "majoring", "minoring"),
    "multi_label": BOOLEAN,
    "num_labels": SIZE.or_(is_none),
    "label_weights": Kind(
        lambda value, right: is_row_of(is_real)(value) and all(0 <= one < math.inf for one in value)
    ).or_(is_none),
    "top_k": SIZE.or_(is_none),
    "class_id": integers(0).or_(is_none),
    "metrics.*.k": SIZE,
    "from_sorted_ids": BOOLEAN,
    "average": words("macro", "micro", "weighted").or_(is_none),
    "metrics.*.beta": reals(0, without=(0,)),
    "class_aggregation": words("uniform_average", "variance_weighted_average").or_(is_none),
    "num_regressors": integers(0),
    "metrics.iou.*.num_classes": integers(1, 20_000),
    "sparse_y_true": BOOLEAN,
    "sparse_y_pred": BOOLEAN,
    "metrics.*.axis": integers(-MOST_AXES, MOST_AXES),
    "metrics.iou.IoU.num_classes": integers(2, 20_000),  # beside class 1
    "metrics.iou.OneHotIoU.num_classes": integers(2, 20_000),
    "metrics.iou.*.target_class_ids": classes_to(2),
    "metrics.iou.BinaryIoU.target_class_ids": classes_to(1),
    "specificity": reals(0, 1),
    "sensitivity": reals(0, 1),
    "metrics.curves.*.recall": reals(0, 1),
    "metrics.curves.*.precision": reals(0, 1),
    "metrics.base.Metric.add_*.dtype": Kind(lambda value, right: True),  # does nothing
    "metrics.base.*.values": arrays(lambda x, right: x.size > 0, finite=False).named("values"),
    "fn": Kind(lambda value, right: callable(value)),
    "metrics.serialize.metric": Kind(lambda value, right: isinstance(value, metrics.Metric)),
    "metrics.deserialize.config": Kind(lambda value, right: isinstance(value, dict)),
    "metrics.base.*.initializer": Kind(
        lambda value, right: (
            isinstance(value, (str, type(None))) and value in ("zeros", "zero", None)
        )
    ),
    "optimizer": OPTIMIZER,
    "print_fn": Kind(lambda value, right: callable(value), called_back=True),
    "return_dict": BOOLEAN,
    "show_trainable": BOOLEAN,
    "expand_nested": BOOLEAN,
    "shuffle": BOOLEAN,
    "validation_data": Kind(
        lambda value, right: (
            isinstance(value, (list, tuple))
            and len(value) in (2, 3)
            and SAMPLES.takes(value[0], right[0])
            and LABELS.takes(value[1], right[1])
        )
    ).or_(lambda value: isinstance(value, Iterator)),
    "steps_per_epoch": POSITIVE,
    "validation_batch_size": POSITIVE,
    "validation_freq": POSITIVE.or_(is_list_of(lambda one: is_integer(one) and one >= 1)),
    "validation_split": SPLIT,
    "validation_steps": POSITIVE,
    "workers": integers(0, 1000),
    "use_multiprocessing": BOOLEAN,
    "max_queue_size": POSITIVE,
    "verbose": VERBOSE,
    "savable.Savable.export.filepath": Kind(lambda value, right: str(value) == str(right)),
    "savable.Savable.export.format": words("onnx"),
    "interop.torch.*.model": NOTHING_ELSE,
    "interop.torch.*.state_dict": TABLE,
    "interop.torch.*.like": TABLE.or_(lambda value: value is None),
    "stack.Stack.get_layer.name": TEXT,
    "models.Sequential.*.steps": POSITIVE,
    "models.Sequential.forward.x": LAST_AXIS,
    "models.Sequential.predict.x": SAMPLES.or_(lambda x: isinstance(x, Iterator)),
    "models.Sequential.*.x": SAMPLES,
    "keras2.Keras2Methods.predict_*.x": SAMPLES.or_(lambda x: isinstance(x, Iterator)),
    "models.Sequential.__call__.x": SAMPLES,
    "models.Sequential.*.y": LABELS,
    "diagnosis.api.diagnose.x": SAMPLES,
    "diagnosis.api.diagnose.y": arrays(  # labels that are out of range are a warning
        lambda y, right: y.shape in (right.shape, (*right.shape, 1)) and bool((y % 1 == 0).all())
    ),
    "diagnosis.api.diagnose.history": Kind(
        lambda value, right: value is None or isinstance(value, (History, Mapping))
    ),
    "tuning.find_learning_rate.x": SAMPLES,
    "tuning.find_learning_rate.y": LABELS,
    "models.Sequential.backward.dy": PASSED_BACK,
    "stack.Stack.build.input_shape": BATCH_SHAPE,
    "keras_attributes.ModelAttributes.compute_output_shape.input_shape": BATCH_SHAPE.named("input"),
    # files
    "clone_function": Kind(lambda value, right: callable(value), called_back=True),
    "compile": BOOLEAN,
    "custom_objects": Kind(
        lambda value, right: (
            value is None or (isinstance(value, Mapping) and all(map(callable, value.values())))
        )
    ),
    "filepath": NOTHING_ELSE.or_(lambda value: isinstance(value, bytes)),
    "input_tensors": NOTHING_ELSE.or_(lambda value: value is None),
    "json_string": Kind(lambda value, right: value.strip() == right),
    "overwrite": BOOLEAN,
    "max_shard_size": Kind(lambda value, right: value is None),
    "safe_mode": Kind(lambda value, right: BOOLEAN.takes(value, right) and bool(value)),
    "saving.*.model": Kind(lambda value, right: isinstance(value, Sequential)),
    "skip_mismatch": BOOLEAN,
    "zipped": Kind(
        lambda value, right: value is None or (BOOLEAN.takes(value, right) and bool(value))
    ),
    # data
    "data": Kind(lambda value, right: isinstance(value, (bytes, bytearray, memoryview))),
    "path": NOTHING_ELSE,
    "sha256": TEXT,
    "source": TEXT,
    "datasets.cifar100.load_data.label_mode": words("fine", "coarse"),
    "n_train": POSITIVE,
    "n_test": POSITIVE,
    "datasets.idx.verify.size": NATURAL,
    "datasets.idx.parse_idx.shape": Kind(
        lambda value, right: is_list_of(lambda size: size is None or is_size(size))(value)
    ),
    # pictures
    "utils.images.*.scale": BOOLEAN,
    "directory": NOTHING_ELSE.or_(lambda value: value == ""),
    "save_to_dir": NOTHING_ELSE,
    "save_prefix": Kind(lambda value, right: isinstance(value, str)),
    "save_format": Kind(lambda value, right: isinstance(value, str)),
    "color_mode": words("rgb", "rgba", "grayscale"),
    "target_size": PICTURE_SIZE,
    "image_size": PICTURE_SIZE,
    "utils.*.interpolation": words(*resampling.INTERPOLATIONS, *images.INTERPOLATIONS),
    "preprocessing.*.interpolation": words(*images.INTERPOLATIONS),
    "keep_aspect_ratio": BOOLEAN,
    "utils.images.*.data_format": words("channels_last", "channels_first").or_(is_none),
    "backend.set_image_data_format.data_format": words("channels_last"),
    "utils.images.*.dtype": NUMBER_TYPE,
    "utils.images.save_img.path": Kind(
        lambda value, right: hasattr(value, "write") or isinstance(value, (str, os.PathLike))
    ),
    "utils.images.load_img.path": NOTHING_ELSE.or_(lambda value: isinstance(value, bytes)),
    "file_format": Kind(lambda value, right: isinstance(value, str)).or_(is_none),
    "img": arrays(lambda x, right: x.ndim in (2, 3)),
    "utils.images.*.x": arrays(lambda x, right: x.ndim == 3 and x.size > 0),
    "utils.image_folders.*.labels": Kind(lambda value, right: value in (None, "inferred")),
    "utils.image_folders.*.label_mode": words("int", "categorical", "binary").or_(is_none),
    "utils.image_folders.*.class_names": FOLDERS.or_(is_none),
    "utils.image_folders.*.batch_size": POSITIVE.or_(is_none),
    "utils.image_folders.*.validation_split": reals(0, 1, without=(0, 1)),
    "subset": words("training", "validation", "both"),
    "follow_links": BOOLEAN,
    "utils.image_folders.*.verbose": BOOLEAN,
    "utils.normalize.x": arrays(lambda x, right: x.ndim > 0),
    "utils.normalize.axis": integers(-2, 1),
    "order": reals().or_(lambda value: value in (math.inf, -math.inf)),
    "featurewise_center": BOOLEAN,
    "samplewise_center": BOOLEAN,
    "featurewise_std_normalization": BOOLEAN,
    "samplewise_std_normalization": BOOLEAN,
    "zca_whitening": BOOLEAN,
    "zca_epsilon": reals(),
    "rotation_range": reals(),
    "shear_range": reals(),
    "channel_shift_range": reals(),
    "cval": reals(),
    "width_shift_range": SHIFTS,
    "height_shift_range": SHIFTS,
    "zoom_range": reals().or_(is_two_numbers),
    "brightness_range": Kind(lambda value, right: value is None or is_two_numbers(value)),
    "horizontal_flip": BOOLEAN,
    "vertical_flip": BOOLEAN,
    "rescale": reals().or_(is_none),
    "preprocessing_function": Kind(
        lambda value, right: value is None or callable(value), called_back=True
    ),
    "interpolation_order": integers(0, 1),
    "preprocessing.*.fill_mode": words("nearest", "constant", "reflect", "wrap"),
    "preprocessing.*.validation_split": reals(0, 1, without=(1,)),
    "preprocessing.*.dtype": NUMBER_TYPE,
    "preprocessing.*.flow.x": arrays(
        lambda x, right: x.ndim == 4 and len(x) == len(right), finite=False
    ),
    "preprocessing.*.flow.y": arrays(
        lambda y, right: y.ndim > 0 and len(y) == len(right), finite=False
    ),
    "preprocessing.*.flow.sample_weight": arrays(
        lambda y, right: y.ndim > 0 and len(y) == len(right), finite=False
    ),
    "ignore_class_split": BOOLEAN,
    "classes": FOLDERS.or_(is_none),
    "class_mode": words("categorical", "binary", "sparse", "input").or_(is_none),
    "preprocessing.*.standardize.x": arrays(
        lambda x, right: x.ndim in (3, 4) and x.size > 0, finite=False
    ),
    "preprocessing.*_transform.x": arrays(
        lambda x, right: x.ndim == 3 and x.size > 0, finite=False
    ),
    "preprocessing.*.fit.x": arrays(lambda x, right: x.ndim == 4 and x.size > 0),
    "img_shape": Kind(lambda value, right: len(value) == 3),
    "transform_parameters": Kind(lambda value, right: isinstance(value, dict), called_back=True),
    "augment": BOOLEAN,
    "rounds": integers(1, 1000),
    "preprocessing.*.seed": integers(0, 2**32 - 1).or_(is_none),
    "utils.image_folders.*.seed": integers(0, 2**32 - 1),
    # the backend
    "free_memory": BOOLEAN,
    "backend.*.x": Kind(lambda value, right: True),
    "backend.set_value.x": Kind(
        lambda value, right: np.shape(value) == (2, 3) or hasattr(value, "assign")
    ),
    "backend.set_value.value": arrays(lambda x, right: x.shape == (2, 3), finite=False),
    "backend.set_epsilon.value": reals(1e-7, 1e-7),
    # utils, config, model_selection
    "n": integers(1, 10_000),
    "engine.shards.set_shard_size.samples": integers(8, LARGEST_SIZE).or_(is_none),
    "num_classes": integers(1, 10_000_000),
    "utils.to_categorical.x": arrays(lambda x, right: x.size > 0 and _whole(x, 10_000_000)),
    "config.set_floatx.value": words("float32", "float64"),
    "seeds.set_random_seed.seed": integers(0, 2**32 - 1),
    "arrays": Kind(lambda value, right: len(value) == len(right[0]), ("array",)),
    "random_state": integers(0, 2**32 - 1).or_(
        lambda value: isinstance(value, (np.random.RandomState, np.random.Generator))
    ),
    "stratify": Kind(lambda value, right: np.shape(value) == np.shape(right)),
    "test_size": Kind(lambda value, right: is_real(value) and 0 < value < 12),
    "train_size": Kind(lambda value, right: is_real(value) and 0 < value < 12),
    # plotting, reports
    "class_names": NAMES,
    "colors": NAMES,
    "columns": integers(1, 10_000),
    "digits": integers(0, 10_000),
    "history": Kind(lambda value, right: isinstance(value, (History, Mapping))),
    "images": arrays(lambda x, right: x.ndim in (3, 4) and x.size > 0),
    "labels": Kind(lambda value, right: np.size(value) == len(value) > 0),
    "image": arrays(lambda x, right: x.ndim in (2, 3) and x.size > 0),
    "plotting.grids.augmentation_grid.layer": Kind(
        lambda value, right: isinstance(value, (Layer, Sequential))
    ),
    "kernel": arrays(lambda x, right: x.ndim in (2, 3) and x.size > 0).named("window"),
    "kernels": arrays(lambda x, right: x.ndim == 4 and x.size > 0).named("window"),
    "plotting.*.bias": Kind(
        lambda value, right: (
            value is None or is_real(value) if np.ndim(right) == 0 else np.shape(value) == (3,)
        )
    ).or_(is_none),
    "plotting.*.at": Kind(
        lambda value, right: (
            is_list_of(is_integer)(value) and len(value) == 2 and all(-5 <= k < 5 for k in value)
        )
    ).or_(is_none),
    "plotting.*.model": Kind(lambda value, right: isinstance(value, (Layer, Sequential))),
    "plotting.*.layer": Kind(
        lambda value, right: value in (None, "conv") or isinstance(value, (Layer, Sequential))
    ),
    "plotting.*.x": arrays(lambda x, right: len(x) > 1 and x[0].size == right[0].size).or_(is_none),
    "plotting.networks.*.image": Kind(lambda value, right: is_integer(value) and -3 <= value < 3),
    "plotting.fields.*.image": Kind(lambda value, right: is_integer(value) and -3 <= value < 3),
    "plotting.*.kind": words("max", "average"),
    "plotting.*.path": Kind(
        lambda value, right: value is None or os.fsdecode(value).endswith((".gif", ".html"))
    ),
    "channel": Kind(lambda value, right: is_integer(value) and -1 <= value < 1),
    "figure": NOTHING_ELSE,
    "seconds": reals(0.02, 60),
    "normalize": words("true", "pred", "all"),
    "output_dict": BOOLEAN,
    "rows": integers(1, 10_000),
    "size": reals(0, 1000, without=(0,)),
    "suptitle": TEXT,
    "ax": Kind(lambda value, right: value is None),
    "found": NOTHING_ELSE,
    "divergence": reals(1, without=(1,)),
    "high": reals(0, without=(0,)),
    "low": reals(0, without=(0,)),
    "smoothing": SHARE,
    "steps": integers(2, 1_000_000),
    "diagnosis.api.diagnose.model": Kind(lambda value, right: isinstance(value, Sequential)),
    "tuning.find_learning_rate.model": Kind(lambda value, right: isinstance(value, Sequential)),
    "target_names": NAMES,
    "titles": NAMES,
    "zero_division": Kind(
        lambda value, right: is_real(value) and (value in (0, 1) or math.isnan(value))
    ),
    "plotting.*.y_true": CLASSES,
    "plotting.*.y_pred": CLASSES,
    "reports.*.y_true": CLASSES,
    "reports.*.y_pred": CLASSES,
    # course
    "course.api.*.name": words(*course.exercises()),
    "course.api.check.function": Kind(lambda value, right: callable(value), called_back=True),
    "course.api.hint.number": integers(1, 3),
    # explain
    "explain.api.explain.model": Kind(lambda value, right: isinstance(value, Sequential)),
    "explain.api.explain.image": Kind(
        lambda value, right: is_integer(value) and -12 <= value < 12  # of as many samples
    ),
    "explain.api.explain.path": Kind(
        lambda value, right: os.fsdecode(value).endswith((".html", ".htm"))
    ),
    "explain.api.explain.class_names": NAMES,
    "explain.api.explain.x": arrays(lambda x, right: x.size == right.size),
    "explain.api.explain.y": LABELS.or_(is_none),
    "megabytes": reals(0, 1000, without=(0,)),
    # gradcheck
    "tolerance": reals(0, 0.1, without=(0,)),
    "eps": reals(0, 0.1, without=(0,)),
    "linear": BOOLEAN,
    "max_elements": POSITIVE,
    "max_kinks": reals(0, 1),
    "perturb": BOOLEAN,
    "wrt": Kind(
        lambda value, right: (
            isinstance(value, Iterable) and not isinstance(value, str) and len(set(value)) > 0
        )
    ),
    "gradcheck.api.check_layer.layer": Kind(
        lambda value, right: hasattr(value, "forward") and hasattr(value, "backward")
    ),
    "gradcheck.api.check_layer.input_shape_or_x": Kind(
        lambda value, right: BATCH_SHAPE.takes(value, right) or NUMBERS.takes(value, right)
    ),
    "gradcheck.api.check_loss.loss": LOSS.or_(lambda value: hasattr(value, "backward")),
    "gradcheck.api.check_model.model": Kind(lambda value, right: isinstance(value, Sequential)),
    "gradcheck.api.check_model.x": arrays(lambda x, right: x.size == right.size),
    "gradcheck.api.check_model.tolerance": reals(0, 0.1, without=(0,)).or_(is_none),
    "gradcheck.api.check_model.y": LABELS,
    # attributes
    "v": PASSED_BACK.named("state"),
    "iterations": NATURAL,
    "flat_params": SAME_SHAPE,
    "stop_training": BOOLEAN,
    "params": TABLE,
    "grads": TABLE,
    "state": TABLE,
    "optimizers.*.state": Kind(
        lambda value, right: all(
            isinstance(slot, str) and PASSED_BACK.takes(vector, next(iter(right.values())))
            for slot, vector in value.items()
        )
    ),
    "weights.Weight.assign.value": SAME_SHAPE.named("dense/kernel"),
}


SPECIAL = {key: re.compile(fnmatch.translate(key)).match for key in KINDS if "." in key}


def kind_of(call: str, argument: str) -> Kind | None:
    """What the argument of that call is."""
    name = f"{call.partition(' ')[0]}.{argument}"
    special = [key for key, fits in SPECIAL.items() if fits(name)]
    return KINDS[max(special, key=len)] if special else KINDS.get(argument)

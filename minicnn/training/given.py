"""What the caller of fit, evaluate or predict gave, as a feed of batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, inputs
from minicnn.inputs import Data
from minicnn.layers.base import Shape
from minicnn.protocols import Model
from minicnn.py_dataset import PyDataset
from minicnn.training.feeds import ArrayFeed, DatasetFeed, Feed, LoaderFeed, described

Array = NDArray[Any]


MOST = 2**62


class Sizes(NamedTuple):
    """How many samples a batch of arrays has, and how many batches are wanted; None: not said."""

    batch_size: int | None
    steps: int | None

    @classmethod
    def checked(cls, who: str, **given: Any) -> Sizes:
        """Two arguments, in this order, by the names that the caller knows."""
        return cls(
            *(
                None if value is None else checks.integer(value, name, who, minimum=1, maximum=MOST)
                for name, value in given.items()
            )
        )


def feed_of(
    model: Model,
    x: Any,
    who: str,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    *,
    sizes: Sizes,
    shuffle: bool = False,
    like: Shape | None = None,
) -> Feed:
    """The batches of a call; changes nothing.

    Raises TypeError or ValueError for arguments that do not fit, or a first batch that does not.
    """
    if not inputs.gives_batches(x):
        data = inputs.checked(model, x, who, y, sample_weight, class_weight, like=like)
        data = inputs.weighted(model, data, class_weight, who)
        return ArrayFeed(data, *sizes, shuffle=shuffle)
    for name, value, what in (
        ("y", y, "the targets"),
        ("sample_weight", sample_weight, "the sample weights"),
    ):
        if value is not None:
            kind = "PyDataset" if isinstance(x, PyDataset) else "generator"
            raise ValueError(
                checks.in_other_words(
                    f"{who}: expected no {name} beside {described(x)}, which gives {what} with "
                    "each batch, as (x, y) or (x, y, sample_weight)",
                    "Keras",
                    f"When providing `x` as a {kind}, `{name}` should not be passed. Instead, "
                    f"{what} should be included as part of the {kind}.",
                )
            )
    once = not isinstance(x, PyDataset) and isinstance(x, Iterator)
    if class_weight is not None and once:
        raise ValueError(
            checks.in_other_words(
                f"{who}: expected no class_weight beside {described(x)}. Give the weight of each "
                "sample with the batches, as (x, y, sample_weight), or a minicnn.utils.PyDataset",
                "Keras",
                "Argument `class_weight` is not supported for Python generator inputs",
            )
        )
    prepare = partial(_prepared, model=model, who=who, class_weight=class_weight, like=like)
    if isinstance(x, PyDataset):
        return DatasetFeed(x, prepare, sizes.steps, who, shuffle=shuffle)
    return LoaderFeed(x, prepare, sizes.steps, who)


def _prepared(
    given: Any, name: str, *, model: Model, who: str, class_weight: Any, like: Shape | None
) -> Data:
    """A copy of what was given for a batch, checked."""
    where = f"{who}, {name}"
    x, y, weight = unpacked(given, where, alone=who == "predict")
    if who == "predict":
        y = weight = None
    x, y = _own(x, "x", where), None if y is None else _own(y, "y", where)
    weight = None if weight is None else _own(weight, "sample_weight", where)
    data = inputs.checked(model, x, who, y, weight, class_weight, like=like, batch=name)
    return inputs.weighted(model, data, class_weight, where)


def unpacked(given: Any, who: str, *, alone: bool) -> tuple[Any, Any, Any]:
    """A batch as x, y and sample_weight; `alone` lets it be x by itself."""
    a_list = isinstance(given, list) and all(hasattr(one, "shape") for one in given)
    if isinstance(given, tuple) or a_list:
        if 1 <= len(given) <= 3:
            x, y, weight = [*given, None, None][:3]
            return x, y, weight
        raise ValueError(
            f"{who}: expected (x, y) or (x, y, sample_weight), received {len(given)} values"
        )
    if alone and not isinstance(given, dict):
        return given, None, None
    received = type(given).__name__
    if isinstance(given, dict):
        received += " (a Sequential has one input and one output)"
    raise TypeError(
        checks.in_other_words(
            f"{who}: expected (x, y) or (x, y, sample_weight), received {received}",
            "Keras",
            "the generator must return a tuple, either (input,) or (inputs, targets) or (inputs, "
            "targets, sample_weights)",
        )
    )


def _own(value: Any, name: str, who: str) -> Array:
    """A copy: a loader may use its array again for the next batch."""
    if not hasattr(value, "__array__") and callable(getattr(value, "numpy", None)):
        value = value.numpy()  # a tensor
    inputs.expect_array(value, name, who)
    return np.array(checks.numeric(value, name, who), order="C")


def feeds_of_fit(
    model: Model,
    x: Any,
    targets: tuple[Any, Any, Any],
    validation_data: Any,
    validation_split: float,
    *,
    sizes: Sizes,
    validation_sizes: Sizes,
    shuffle: bool,
) -> tuple[Feed, Feed | None]:
    """What `fit` trains on, and what it validates on, if anything.

    `targets` are y, sample_weight and class_weight; `validation_split` is 0 where nothing is split.
    """
    if validation_data is not None:
        x_val, y_val, weight_val = _validation(validation_data)
        feed = feed_of(model, x, "fit", *targets, sizes=sizes, shuffle=shuffle)
        like = feed.data.x.shape[1:]
        who = "fit validation_data"
        return feed, feed_of(
            model, x_val, who, y_val, weight_val, sizes=validation_sizes, like=like
        )
    if not validation_split:
        return feed_of(model, x, "fit", *targets, sizes=sizes, shuffle=shuffle), None
    if inputs.gives_batches(x):
        raise ValueError(
            checks.in_other_words(
                f"fit: expected x to be an array beside validation_split, received {described(x)}, "
                "whose batches come one by one. Give validation_data",
                "Keras",
                "Argument `validation_split` is only supported for tensors or NumPy arrays",
            )
        )
    whole = inputs.checked(model, x, "fit", *targets)
    data, kept = inputs.split(whole, validation_split)
    data = inputs.weighted(model, data, targets[-1], "fit")
    return ArrayFeed(data, *sizes, shuffle=shuffle), ArrayFeed(kept, *validation_sizes)


def _validation(given: Any) -> tuple[Any, Any, Any]:
    """The `validation_data` argument as x, y and sample_weight."""
    if isinstance(given, (list, tuple)) and len(given) in (2, 3):
        x, y, weight = [*given, None][:3]
        return x, y, weight
    if not inputs.gives_batches(given):
        raise ValueError(
            "fit: expected validation_data to be (x_val, y_val), (x_val, y_val, sample_weight) or "
            f"something that gives batches, received {type(given).__name__}"
        )
    return given, None, None

"""Every layer and every loss of the package, in many configurations, and whole models.

No layer is listed: what it is given follows from the names of its arguments (`VALUES`). One with an
argument that has no default and no values is without a case, which is a failure (`missing`).
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from minicnn import layers, losses
from minicnn.gradcheck.api import check_layer, check_loss, check_model
from minicnn.gradcheck.result import CheckResult
from minicnn.items import fits
from minicnn.layers import AveragePooling2D, Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D
from minicnn.layers.base import Shape
from minicnn.losses import Loss
from minicnn.models import Sequential

RANDOM_MODELS = 30
SPARSE, ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"


class Case(NamedTuple):
    """One thing to check: `run(seed)` checks it."""

    kind: str
    label: str
    run: Callable[[int], CheckResult]


def cases(random_models: int = RANDOM_MODELS) -> Iterator[Case]:
    """All cases, layers first, then losses and models."""
    for name, cls in LAYERS.items():
        defaults = {key: one.default for key, one in inspect.signature(cls).parameters.items()}
        defaults["training"] = True
        for layer, arguments, shape in _examples(cls):
            told = ", ".join(f"{k}={v}" for k, v in arguments.items() if v != defaults[k])
            run = partial(_check_layer, layer, shape, arguments.get("training", True))
            yield Case(name, f"{told} x {shape}".strip(), run)
    for name, loss in LOSSES.items():
        choices = (True, False) if "from_logits" in inspect.signature(loss).parameters else (None,)
        for shape, logits in itertools.product(LOSS_SHAPES, choices):
            kind = {True: "logits", False: "probabilities", None: "y_pred"}[logits]
            yield Case(name, f"{kind} {shape}", partial(_check_loss, loss, shape, logits))
    for label, made in _models().items():
        yield Case("Sequential", label, partial(_check_model, *made))
    for number in range(random_models):
        yield Case("Sequential", f"random network {number}", partial(_check_random, number))


def missing() -> list[str]:
    """Layers and losses of the package that no case covers."""
    covered = {name for name, layer in LAYERS.items() if any(_examples(layer))} | LOSSES.keys()
    return [name for name in (*layer_classes(), *loss_classes()) if name not in covered]


def layer_classes() -> dict[str, type[Layer]]:
    """The layers that the package offers, by name; abstract ones left out."""
    found = _offered(layers, Layer)
    return {name: cls for name, cls in found.items() if cls.forward is not Layer.forward}


def loss_classes() -> dict[str, type[Loss]]:
    """The losses that the package offers, by name; `Function` is what a user makes of one."""
    return {name: cls for name, cls in _offered(losses, Loss).items() if name != "Function"}


def _offered(module: Any, base: type) -> dict[str, Any]:
    """The classes of that base in a module; other names for the same class left out."""
    return {
        name: cls
        for name, cls in vars(module).items()
        if isinstance(cls, type) and issubclass(cls, base) and cls is not base
        if cls.__name__ == name and not name.startswith("_")
    }


# What an argument of this name, or "Class.name", is given. The first value stands where others are
# varied. A flag is given both of its values; whatever is not listed keeps its default.
VALUES: dict[str, tuple[Any, ...]] = {
    "activation": (None, "relu", "sigmoid", "softmax", "tanh"),
    "axis": (-1, 1, -2, [1, 3], [1, 2, 3]),
    "cropping": (((1, 0), (2, 1)),),
    "default_value": (0.25,),
    "depth_multiplier": (1, 2),
    "dilation_rate": ((1, 1), (1, 2)),
    "dims": ((3, 1, 2),),
    "factor": (0.3,),
    "fill_mode": ("constant", "nearest", "reflect", "wrap"),
    "filters": (4,),
    "groups": (1, 2),
    "GroupNormalization.groups": (2, 1, -1),
    "height": (3, 7),
    "height_factor": (0.7,),
    "interpolation": ("bilinear", "nearest"),
    "kernel_size": ((3, 3), (3, 2), (1, 1)),
    "max_value": (None, 1.0),
    "mode": ("horizontal", "vertical", "horizontal_and_vertical"),
    "n": (3,),
    "negative_slope": (0.0, 0.25),
    "noise_shape": (None, (None, 1, 1, 2)),  # whole channels
    "output_padding": (None, (0, 1)),
    "padding": ("same", "valid"),
    "pool_size": ((3, 3), (2, 2), (2, 3)),
    "RandomErasing.factor": ((1, 1),),
    "rate": (0.5, 0.0, 0.25, 0.9),
    "Rescaling.offset": (-0.5, [3.0, 0.5]),
    "Rescaling.scale": (1 / 255, [0.5, -2.0]),
    "shape": ((6, 5, 2),),
    "shared_axes": (None, [1, 2]),
    "size": ((2, 2), (1, 3)),
    "stddev": (0.5,),
    "strides": ((2, 2), (1, 1), (3, 2)),
    "target_shape": ((4, -1),),
    "Threshold.threshold": (0.5,),
    "units": (4,),
    "value_range": ((-9, 9),),
    "width": (2, 6),
    "width_factor": (0.7, None),
    "ZeroPadding2D.padding": (((1, 0), (2, 1)),),
}
# arguments that act on each other: all combinations are checked
TOGETHER = {
    *("kernel_size", "pool_size", "strides", "padding", "dilation_rate"),
    *("height", "width", "interpolation", "fill_mode"),
}
# numbers, vectors, sequences, images: all for a layer's first arguments, and for others the last
# that it takes; (2, 3, 2, 1) is smaller than some windows, and large ones are checked by products
SHAPES: tuple[Shape, ...] = (
    *((7,), (1, 2), (5, 4), (8, 300), (2, 5, 3)),
    *((2, 3, 2, 1), (4, 14, 14, 4), (2, 6, 5, 2)),
)
LAYERS = layer_classes()


def _examples(cls: type[Layer]) -> Iterator[tuple[Layer, dict[str, Any], Shape]]:
    """Layers, their arguments and shapes that they take.

    >>> list(_examples(layers.Permute))[-1][1:]
    ({'dims': (3, 1, 2)}, (2, 6, 5, 2))
    """
    first = 0
    for arguments in _arguments(cls):
        try:
            layer = cls(**{name: value for name, value in arguments.items() if name != "training"})
        except (TypeError, ValueError):  # of two arguments that exclude each other
            continue
        shapes = [shape for shape in SHAPES if fits([layer], (None, *shape[1:]))]
        yield from ((layer, arguments, shape) for shape in shapes[first:])
        first = -1 if shapes else first


def _arguments(cls: type[Layer]) -> Iterator[dict[str, Any]]:
    """All combinations of the arguments in TOGETHER, then the other ones in turn."""
    tried: dict[str, tuple[Any, ...]] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        listed = VALUES.get(f"{cls.__name__}.{name}", VALUES.get(name))
        if listed is not None:
            tried[name] = listed
        elif isinstance(parameter.default, bool) and name != "trainable":
            tried[name] = parameter.default, not parameter.default
        elif name in ("momentum", "seed"):  # in inference it computes something else
            tried["training"] = True, False
    first = {name: values[0] for name, values in tried.items()}
    together = {name: tried.pop(name) for name in first if name in TOGETHER}
    for chosen in itertools.product(*together.values()):
        yield {**first, **dict(zip(together, chosen))}
    for name, values in tried.items():
        yield from ({**first, name: value} for value in values[1:])


def _check_layer(layer: Layer, shape: Shape, training: bool, seed: int) -> CheckResult:
    return check_layer(layer, shape, training=training, seed=seed)


LOSS_SHAPES: tuple[Shape, ...] = ((5, 3), (1, 2), (4, 2, 3), (2, 3, 2, 4))
LOSSES = loss_classes()


def _check_loss(cls: type[Loss], shape: Shape, logits: bool | None, seed: int) -> CheckResult:
    rng = np.random.default_rng(seed)
    uniform = partial(rng.uniform, 0.1, 0.9, shape)
    y_true: Any = uniform() if logits is None else _targets(cls.__name__, shape, rng)
    # probabilities that do not sum to 1 exactly, nor come near the clip
    y_pred = 3 * rng.normal(size=shape) if logits else uniform()
    loss = cls() if logits is None else cls(from_logits=logits)
    return check_loss(loss, y_true, y_pred, seed=seed)


def _targets(loss: str, shape: Shape, rng: Generator) -> Any:
    """Labels, or probabilities of the classes."""
    if loss.lower().startswith("sparse"):
        return rng.integers(shape[-1], size=shape[:-1])
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


IN_NETWORKS = (Conv2D, Conv2D, MaxPooling2D, AveragePooling2D, Dropout, layers.Activation)


def _models() -> dict[str, tuple[Shape, list[Layer], str, int]]:
    """By label: shape of a sample, layers, loss, and number of samples."""
    dense = [Flatten(), Dense(8, "relu"), Dropout(0.5)]
    tutorial = [Conv2D(16, 3, activation="relu"), MaxPooling2D(2), Dropout(0.25), *dense]
    tutorial += [Dense(3, "softmax")]
    strided = [Conv2D(3, 3, 2, "same", activation="tanh"), AveragePooling2D(3, 2, "same")]
    strided += [Flatten(), Dense(4), layers.Softmax()]
    fused = [layers.Rescaling(1 / 2, 0.1), Conv2D(16, 3, padding="same", activation="relu")]
    fused += [Dropout(0.2), Conv2D(32, 3, activation="relu"), MaxPooling2D(2), *dense]
    fused += [Dense(3), layers.Softmax()]
    regression: list[Layer] = [Dense(6, "sigmoid"), Dense(2)]
    return {
        "conv, pool, dropout, dense: softmax": ((12, 12, 1), tutorial, SPARSE, 20),
        "strided conv, average pool, softmax layer": ((7, 8, 2), strided, ONE_HOT, 5),
        "dense: mean squared error": ((5,), regression, "mean_squared_error", 9),
        "all steps fused": ((9, 10, 1), fused, SPARSE, 20),
        "all steps fused, several shards for each lane": ((9, 10, 1), fused, SPARSE, 300),
    }


def _check_model(sample: Shape, stack: list[Layer], loss: str, n: int, seed: int) -> CheckResult:
    rng = np.random.default_rng(seed)
    return _checked(_seeded(copy.deepcopy(stack), sample, rng), loss, n, rng, seed)


def _check_random(number: int, seed: int) -> CheckResult:
    rng = np.random.default_rng([seed, number])
    model, loss = random_model(rng), str(rng.choice([SPARSE, ONE_HOT]))
    return _checked(model, loss, int(rng.integers(2, 12)), rng, seed)


def _checked(model: Sequential, loss: str, n: int, rng: Generator, seed: int) -> CheckResult:
    x = rng.normal(size=(n, *model.input_shape[1:]))
    y = _targets(loss, (n, *model.output_shape[1:]), rng)
    return check_model(model, x, y, loss=loss, seed=seed)


def _seeded(stack: list[Layer], sample: Shape, rng: Generator) -> Sequential:
    """A model for samples of this shape, built; its first weights come from `rng`."""
    model = Sequential(stack)
    model.rng = rng
    model.build((None, *sample))
    return model


def random_model(rng: Generator) -> Sequential:
    """A network of 2 to 6 layers for small images, drawn from the cases of some; built.

    >>> model = random_model(np.random.default_rng(1))
    >>> 2 <= len(model.layers) <= 6, len(model.input_shape)
    (True, 4)
    """
    sample = (*map(int, rng.integers(4, 7, size=2)), int(rng.integers(1, 3)))
    stack: list[Layer] = []
    for _ in range(rng.integers(5)):
        kind = IN_NETWORKS[rng.integers(len(IN_NETWORKS))]
        made = [layer for layer, *_ in _examples(kind)]
        fitting = [layer for layer in made if fits([*stack, layer], (None, *sample))]
        stack.append(fitting[rng.integers(len(fitting))])
    stack += [Flatten(), Dense(int(rng.integers(2, 5)), activation="softmax")]
    return _seeded(stack, sample, rng)
